//! CarRacing-v3: drive a lap of a random track, seen from above (this definition: Gymnasium 1.4.0, with Box2D 2.3.10).
//!
//! ```text
//! seed ─ track ─▶ car, road (race) ─▶ state [S]: what a privileged driver sees
//!                        ▲        └─▶ scene ─▶ picture [96, 96, 3] ─ [env.image] ─▶ obs [O]
//! action [3] ────────────┘
//! reward = 1000/n for each of n tiles that a wheel touches first, −0.1 a step; −100 for leaving the field
//! ```
//!
//! Tracks, physics, rewards and ends are Gymnasium's, bit for bit, by `track`, `world`, `car` and `race`. Box2D is no part of this: of it
//! only the solver of five bodies and four joints is needed, and whether two polygons touch. One thing is not Gymnasium's: it plays all its episodes
//! in one world, whose memory decides the order in which the first tiles are found to be touched; here each is played in a new one. The order
//! decides nothing but whether a `lap_complete_percent` between 1/n and 2/n ends the episode at once.
//!
//! Actions are steering (−1 left to 1 right), gas and brake (0 to 1; from 0.9 on the wheels lock), or one of five choices: nothing, right, left,
//! gas, brake. Outside their range gas is clipped, steering and brake are not, as in Gymnasium.

mod car;
mod picture;
mod plane;
mod race;
pub mod scene;
mod shape;
mod state;
mod track;
mod world;

use super::{ActionSpace, Env, EnvConfig, EnvSpec, Eye, Picture, Step, blocks, eye};
use crate::run::config::Observation;
use anyhow::{Result, anyhow, ensure};
use dreamstep_core::obs::Image;
use picture::{Painter, SIDE, ScoreTable};
use race::{Controls, Race, Rules};
use scene::Scene;
use serde::Deserialize;
use state::Place;
use toml::Value;

/// Its name in Gymnasium.
pub(super) const ID: &str = "CarRacing-v3";

/// Where in the picture the score begins.
const SCORE_ROW: usize = 87;

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
        ensure!(
            lap_complete_percent.is_finite(),
            "env.kwargs.lap_complete_percent = {lap_complete_percent}: expected a finite number"
        );
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
        Observation::Own => {
            let image = eye::image(env, Some([SIDE, SIDE, 3]))?;
            (image, blocks(&[("observation", image.map_or(0, |image| image.len()))]))
        }
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
    seen: Seen,
    painter: Painter,
    /// `[96, 96, 3]`
    frame: Vec<u8>,
}

/// What an observation is.
enum Seen {
    State,
    Picture(Eye),
}

impl CarRacing {
    /// A car on the track of seed 0, until its first [`Env::reset`].
    ///
    /// # Errors
    /// One line: `env.kwargs` holds what it does not take; or the picture shows the score, and the table of scores is missing.
    pub(super) fn new(env: &EnvConfig, spec: EnvSpec) -> Result<Self> {
        let Arguments { domain_randomize, lap_complete_percent, .. } = Arguments::of(env)?;
        let rules = Rules { domain_randomize, lap_complete_percent };
        let seen = spec.image.map_or(Ok(Seen::State), |image| Eye::new(image).map(Seen::Picture))?;
        // The score stands below all that a crop to the road leaves.
        let shows_score = spec.image.is_some_and(|Image { crop: [top, _, rows, _], .. }| top + rows > SCORE_ROW);
        let scores = if shows_score { Some(ScoreTable::find()?) } else { ScoreTable::find().ok() };
        let (painter, frame) = (Painter::new(scores), vec![0; SIDE * SIDE * 3]);
        Ok(Self { spec, rules, race: Race::new(0, rules), elapsed: 0, place: Place::default(), seen, painter, frame })
    }

    /// The picture as it is now, 96 × 96.
    pub(super) fn picture(&mut self) -> Picture {
        self.painter.paint(&self.race.scene(), &mut self.frame);
        Picture { width: SIDE, height: SIDE, rgb: self.frame.clone() }
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
        self.place.follow(&self.race);
        match &mut self.seen {
            Seen::State => state::observe(&self.race, self.place, obs),
            Seen::Picture(eye) => {
                self.painter.paint(&self.race.scene(), &mut self.frame);
                eye.see(&self.frame, obs);
            }
        }
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

    fn privileged(&self) -> Option<Vec<f64>> {
        matches!(self.seen, Seen::Picture(_)).then(|| {
            let mut state = vec![0.0; state::BLOCKS.iter().map(|(_, len)| len).sum()];
            state::observe(&self.race, self.place, &mut state);
            state
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::AnyEnv;

    fn config(keys: &str) -> EnvConfig {
        toml::from_str(&format!("id = \"{ID}\"\n{keys}")).unwrap()
    }

    /// The state of a car that has driven straight ahead for a second, part by part.
    #[test]
    fn the_state_is_the_cars_own_view() {
        let mut env = AnyEnv::make(&config("observation = \"state\"")).unwrap();
        let mut obs = vec![f64::NAN; env.spec().obs];
        env.reset(1, &mut obs).unwrap();
        let parts = |obs: &[f64]| -> std::collections::BTreeMap<&str, Vec<f64>> {
            let mut from = 0;
            let part = state::BLOCKS.map(|(name, len)| {
                from += len;
                (name, obs[from - len..from].to_vec())
            });
            part.into()
        };
        let start = parts(&obs);
        assert!(start["velocity"].iter().all(|v| v.abs() < 1.0) && start["gas"] == [0.0], "{start:?}");
        assert!(start["road"][..2].iter().all(|x| x.abs() < 2.0), "it stands on the road: {start:?}");
        for _ in 0..50 {
            env.step(&[0.0, 1.0, 0.0], &mut obs).unwrap();
        }
        let driven = parts(&obs);
        let [aside, forward] = driven["velocity"][..] else { panic!("{driven:?}") };
        assert!(forward > 15.0 && aside.abs() < 3.0 && driven["gas"] == [1.0], "{driven:?}");
        assert!(driven["wheels"].iter().all(|&omega| omega > 20.0) && driven["grip"] == [1.0; 4], "{driven:?}");
        let ahead: Vec<f64> = driven["road"].chunks(2).map(|point| point[1]).collect();
        assert!(ahead[0].abs() < 4.0 && ahead.windows(2).all(|pair| pair[0] < pair[1]), "{driven:?}");
        // To the right: clockwise, by wheels that turn to the right; what is ahead comes to lie on the left.
        for _ in 0..10 {
            env.step(&[1.0, 0.0, 0.0], &mut obs).unwrap();
        }
        let turned = parts(&obs);
        assert!(turned["yaw_rate"][0] < -0.1 && turned["steering"][0] < -0.1, "{turned:?}");
        assert!(turned["road"][18] < driven["road"][18], "{turned:?} {driven:?}");
    }

    #[test]
    fn arguments_are_gymnasiums() {
        let actions = |keys: &str| spec(&config(keys)).map(|spec| spec.actions).map_err(|error| error.to_string());
        assert_eq!(
            actions("kwargs = { continuous = false, domain_randomize = true }"),
            Ok(ActionSpace::Discrete { choices: 5 })
        );
        assert_eq!(actions("kwargs = { lap_complete_percent = 1 }").unwrap().len(), 3);
        for (keys, expected) in [
            (
                "kwargs = { continuos = false }",
                "env.kwargs: CarRacing-v3: unknown field `continuos`, expected one of `continuous`, ",
            ),
            ("kwargs = { continuous = 3 }", "env.kwargs: CarRacing-v3: invalid type: integer `3`, expected a boolean"),
            ("kwargs = { lap_complete_percent = inf }", "env.kwargs.lap_complete_percent = inf: expected a finite number"),
            ("image = { crop = [0, 0, 97, 96] }", "CarRacing-v3"),
        ] {
            let error = actions(keys).unwrap_err();
            assert!(error.starts_with(expected) && !error.contains('\n'), "{error}");
        }
        let error =
            crate::env::spec(&config("observation = \"state\"\nimage = { size = [64, 64] }")).unwrap_err().to_string();
        assert!(error.starts_with("env.image: CarRacing-v3: expected none of its keys"), "{error}");
        let other = EnvConfig { observation: Observation::State, ..EnvConfig::from("Hopper-v5") };
        let error = crate::env::spec(&other).unwrap_err().to_string();
        assert_eq!(error, "env.observation = \"state\": Hopper-v5 has one kind of observation: expected \"own\"");
    }
}
