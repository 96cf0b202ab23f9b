//! CarRacing-v3: drive a lap of a random track, seen from above (this definition: Gymnasium 1.4.0, with Box2D 2.3.10).
//!
//! ```text
//! seed ─ track ─▶ car, road (race) ─▶ state [S]: what a privileged driver sees
//!                        ▲        └─▶ scene ─▶ picture [96, 96, 3] ─ [env.image] ─▶ obs [O]
//! action [3] ────────────┘
//! reward = 1000/n for each of n tiles that a wheel touches first, −0.1 a step; −100 for leaving the field
//! ```
//!
//! Tracks, physics, rewards and ends are Gymnasium's, bit for bit, by [`track`], [`world`], [`car`] and [`race`]. Box2D is no part of this: of it
//! only the solver of five bodies and four joints is needed, and whether two polygons touch. One thing is not Gymnasium's: it plays all its episodes
//! in one world, whose memory decides the order in which the first tiles are found to be touched; here each is played in a new one. The order
//! decides nothing but whether a `lap_complete_percent` between 1/n and 2/n ends the episode at once.
//!
//! Actions are steering (−1 left to 1 right), gas and brake (0 to 1; from 0.9 on the wheels lock), or one of five choices: nothing, right, left,
//! gas, brake. Outside their range gas is clipped, steering and brake are not, as in Gymnasium.

mod car;
mod plane;
mod race;
pub mod scene;
mod shape;
mod state;
mod track;
mod world;

use super::{ActionSpace, Env, EnvConfig, EnvSpec, Step, blocks};
use crate::run::config::Observation;
use anyhow::{Result, anyhow, ensure};
use race::{Controls, Race, Rules};
use scene::Scene;
use serde::Deserialize;
use state::Place;
use toml::Value;

/// Its name in Gymnasium.
pub(super) const ID: &str = "CarRacing-v3";

/// `env.kwargs`: what `gymnasium.make` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Arguments {
    /// Actions are three numbers, or one of five choices.
    continuous: bool,
    /// Colours of road, field and grass are drawn for each episode.
    domain_randomize: bool,
    /// What of the tiles ends the lap, where tile 0 is the last to be visited. See [`Race::step`].
    lap_complete_percent: f64,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { continuous: true, domain_randomize: false, lap_complete_percent: 0.95 }
    }
}

impl Arguments {
    fn of(env: &EnvConfig) -> Result<Self> {
        let arguments = Self::deserialize(Value::Table(env.kwargs.clone()));
        let arguments = arguments.map_err(|error| anyhow!("env.kwargs: {ID}: {}", error.message()))?;
        let Self { lap_complete_percent, .. } = arguments;
        ensure!(lap_complete_percent.is_finite(), "env.kwargs.lap_complete_percent = {lap_complete_percent}: expected a finite number");
        Ok(arguments)
    }
}

/// What the environment is.
///
/// # Errors
/// One line: `env.kwargs` holds what it does not take.
pub(super) fn spec(env: &EnvConfig) -> Result<EnvSpec> {
    let actions = match Arguments::of(env)?.continuous {
        true => ActionSpace::Continuous { low: vec![-1.0, 0.0, 0.0], high: vec![1.0; 3] },
        false => ActionSpace::Discrete { choices: 5 },
    };
    let (image, blocks) = match env.observation {
        Observation::State => (None, blocks(&state::BLOCKS)),
        Observation::Own => anyhow::bail!("{ID}: pictures"),
    };
    Ok(EnvSpec {
        id: ID.into(),
        obs: blocks.iter().map(|(_, len)| len).sum(),
        actions,
        dt_s: car::DT_S,
        time_limit: 1000,
        blocks,
        image,
        healthy_bonus: 0.0,
    })
}

/// CarRacing-v3.
pub struct CarRacing {
    spec: EnvSpec,
    rules: Rules,
    race: Race,
    elapsed: u32,
    place: Place,
}

impl CarRacing {
    /// A car on the track of seed 0, until its first [`Env::reset`].
    ///
    /// # Errors
    /// One line: `env.kwargs` holds what it does not take.
    pub(super) fn new(env: &EnvConfig, spec: EnvSpec) -> Result<Self> {
        let Arguments { domain_randomize, lap_complete_percent, .. } = Arguments::of(env)?;
        let rules = Rules { domain_randomize, lap_complete_percent };
        Ok(Self { spec, rules, race: Race::new(0, rules), elapsed: 0, place: Place::default() })
    }

    /// What a picture of it shows now: where everything is.
    #[must_use]
    pub fn scene(&self) -> Scene<'_> {
        self.race.scene()
    }

    fn controls(&self, action: &[f32]) -> Controls {
        const CHOICES: [Controls; 5] = {
            const NOTHING: Controls = Controls { steer: 0.0, gas: 0.0, brake: 0.0 };
            [
                NOTHING,
                Controls { steer: 0.6, ..NOTHING },
                Controls { steer: -0.6, ..NOTHING },
                Controls { gas: 0.2, ..NOTHING },
                Controls { brake: 0.8, ..NOTHING },
            ]
        };
        match self.spec.actions {
            ActionSpace::Discrete { .. } => CHOICES[action[0] as usize],
            ActionSpace::Continuous { .. } => {
                let [steer, gas, brake] = [action[0], action[1], action[2]].map(f64::from);
                Controls { steer, gas, brake }
            }
        }
    }

    fn observe(&mut self, obs: &mut [f64]) {
        state::observe(&self.race, &mut self.place, obs);
    }
}

impl Env for CarRacing {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn reset(&mut self, seed: u64, obs: &mut [f64]) -> Result<()> {
        self.spec.check_obs(obs)?;
        (self.race, self.elapsed, self.place) = (Race::new(seed, self.rules), 0, Place::default());
        self.observe(obs);
        Ok(())
    }

    fn step(&mut self, action: &[f32], obs: &mut [f64]) -> Result<Step> {
        self.spec.check_action(action)?;
        self.spec.check_obs(obs)?;
        let (reward, terminated) = self.race.step(self.controls(action));
        self.elapsed = self.elapsed.saturating_add(1);
        self.observe(obs);
        Ok(Step { reward, terminated, truncated: self.elapsed >= self.spec.time_limit })
    }
}
