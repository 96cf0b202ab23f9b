//! What does evolution in dreams know between two generations? The search distribution, what was spent, the best means so far, and how
//! dreams and reality drift apart. It is saved whole, so that a run that was killed goes on to the same bytes.

use super::arena::Score;
use super::engine::Engine;
use crate::agent::controller;
use crate::control::strategies::Strategy;
use crate::control::strategies::noise::Noise;
use crate::control::{Whitening, noise, settings};
use crate::env::pool::{EnvPool, Estimate, Policy};
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::config::{Config, DreamConfig, RoundsConfig};
use crate::run::folder::{RunDir, digest};
use crate::run::metrics::{Clock, append_metrics};
use anyhow::{Context, Result, anyhow, ensure};
use dreamstep_core::digest::Digest;
use dreamstep_core::dims::Dims;
use dreamstep_core::names::metadata;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::Model;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Metadata of the result and of the saved state.
pub(super) const FINGERPRINT: &str = "fingerprint";
pub(super) const PROGRESS: &str = "dream.progress";
/// Steps of the environment that evolution took: under the key that evolution on real episodes has.
const STEPS: &str = "validation.steps";
/// Names the real episodes of looks and of the last choice, among all that evolution resets.
const LOOKS: u64 = u64::MAX - 1;

/// How a mean of the search distribution did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Generations before it.
    pub generation: u64,
    /// Score of the looks' own dreams.
    pub dream: f64,
    /// Mean return of real episodes, where any are played.
    pub real: Option<f64>,
}

impl Look {
    /// What the better mean has more of: where reality was asked, its answer.
    fn merit(&self) -> f64 {
        self.real.unwrap_or(self.dream)
    }
}

/// What was spent, and how it went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Generations told.
    pub generation: u64,
    /// Steps of dreams.
    pub dream_steps: u64,
    /// Steps of the environment, for looks.
    pub real_steps: u64,
    /// The newest look.
    pub latest: Option<Look>,
    /// Looks in a row at which dreams promised more and reality gave less.
    pub drifting: u64,
    /// The best looks, best first: whose means are kept.
    pub best: Vec<Look>,
    /// Why the strategy has nothing left to try, where it has not.
    pub stopped: Option<String>,
}

impl Standing {
    /// Takes in a look. Returns the place of its mean among the best `kept`, if it has one.
    pub fn look(&mut self, look: Look, kept: usize) -> Option<usize> {
        let drifts = self.latest.is_some_and(|before| {
            look.dream > before.dream && matches!((look.real, before.real), (Some(now), Some(then)) if now < then)
        });
        self.drifting = if drifts { self.drifting + 1 } else { 0 };
        self.latest = Some(look);
        // Of equals the later stands behind.
        let place = self.best.iter().position(|best| look.merit() > best.merit()).unwrap_or(self.best.len());
        self.best.insert(place, look);
        self.best.truncate(kept);
        (place < kept).then_some(place)
    }

    /// Whether evolution has come to its end.
    #[must_use]
    pub fn is_done(&self, config: &DreamConfig) -> bool {
        self.generation >= config.generations || self.stopped.is_some() || self.has_drifted(config)
    }

    /// Whether dreams and reality have drifted apart for too long.
    #[must_use]
    pub const fn has_drifted(&self, config: &DreamConfig) -> bool {
        config.patience > 0 && self.drifting >= config.patience
    }
}

/// Evolution between two generations.
pub struct Search {
    strategy: Strategy,
    /// Where noise is handled.
    noise: Option<Noise>,
    /// What was spent, and how it went.
    pub standing: Standing,
    /// The means of `standing.best`.
    pub means: Vec<Vec<f32>>,
}

/// Where candidates are made and tried.
pub struct Place<'a> {
    /// Every value in force.
    pub config: &'a Config,
    /// The agent's own V and M, with some controller.
    pub model: &'a Model<'a>,
    /// Scale of the parameters.
    pub features: &'a Whitening,
    /// Dreams.
    pub dreams: &'a Engine<'a>,
    /// Reality, where it is asked at all.
    pub real: Option<&'a EnvPool>,
}

impl Place<'_> {
    /// Steps and mean return of the mean `parameters` over `episodes` real episodes.
    ///
    /// # Errors
    /// An episode failed.
    pub fn play(&self, parameters: &[f32], episodes: usize) -> Result<(u64, f64)> {
        let arena = self.real.ok_or_else(|| anyhow!("expected an environment to play in, found none"))?;
        let panels = self.features.panels(self.model.dims(), parameters).context("mean")?;
        let candidate = self.model.with_controller(&panels).map_err(|error| anyhow!("mean: {error}"))?;
        let outcomes = arena.map(episodes, |player, i| {
            let seed = Philox::new(self.config.seed).bits(Stream::EvolutionReset, LOOKS, i as u32);
            player.episode(Policy::Agent(&candidate), seed, 0)
        })?;
        let returns: Vec<f64> = outcomes.iter().map(|outcome| outcome.episode_return).collect();
        Ok((outcomes.iter().map(|outcome| outcome.length).sum(), Estimate::of(&returns).mean))
    }
}

impl Search {
    /// From the saved state, where there is one of the same configuration; else from the parameters on whitened features that `begin`
    /// makes, or, where it makes none, from [`controller::start`]: one that holds still.
    ///
    /// # Errors
    /// The saved state cannot be read, or is of another configuration, V, M or teacher; or `begin` failed.
    pub fn start(
        config: &Config,
        run: &RunDir,
        dims: &Dims,
        force: bool,
        begin: impl FnOnce() -> Result<Option<Vec<f32>>>,
    ) -> Result<Self> {
        let settings = settings(config);
        let n = controller::len(dims);
        if !run.evolution().exists() || force {
            let strategy =
                Strategy::new(settings, begin()?.unwrap_or_else(|| controller::start(dims, Philox::new(config.seed))));
            let noise = noise(config).map(Noise::new);
            return Ok(Self { strategy, noise, standing: Standing::default(), means: Vec::new() });
        }
        let saved = read(config, run)?;
        let standing: Standing = standing(&saved)?;
        let mean = |i| saved.tensor(&format!("best.{i}"), &[n]).map(<[f32]>::to_vec);
        let means = (0..standing.best.len()).map(mean).collect::<Result<_>>()?;
        let strategy = Strategy::resume(settings, n, &saved)?;
        let noise = noise(config).map(|settings| Noise::resume(settings, &saved)).transpose()?;
        Ok(Self { strategy, noise, standing, means })
    }

    /// One generation: every candidate dreams the same dreams, which no other generation has. Where noise is handled, a few dream others as
    /// well, which says how many the next generation dreams.
    ///
    /// # Errors
    /// A candidate cannot be made, or the model not dream.
    pub fn generation(&mut self, place: &Place<'_>) -> Result<()> {
        let Place { config, features, dreams, .. } = place;
        let asked = self.strategy.ask();
        let mut parameters = Vec::new();
        let make = |index| {
            self.strategy.candidate(&asked, index, &mut parameters);
            features.fold(&parameters)
        };
        let candidates: Vec<Vec<f32>> = (0..self.strategy.candidates()).map(make).collect();
        let (count, most) = match &self.noise {
            Some(noise) => (noise.episodes(), 2 * config.dream.max_dreams),
            None => (config.dream.dreams, config.dream.dreams),
        };
        let first = self.standing.generation.wrapping_mul(most as u64) as u32;
        let scores = dreams.score(&candidates, first, count)?;
        let values = |scores: &[Score]| scores.iter().map(|score| score.value).collect::<Vec<_>>();
        let steps = |scores: &[Score]| scores.iter().map(|score| score.steps).sum::<u64>();
        if let Some(noise) = &mut self.noise {
            let again = noise.choose(&values(&scores));
            let chosen: Vec<Vec<f32>> = again.iter().map(|&index| candidates[index].clone()).collect();
            let second = dreams.score(&chosen, first.wrapping_add(config.dream.max_dreams as u32), count)?;
            noise.tell(&values(&scores), &again, &values(&second));
            self.standing.dream_steps += steps(&second);
        }
        self.strategy.tell(&asked, &values(&scores));
        self.standing.dream_steps += steps(&scores);
        self.standing.generation = self.strategy.generation();
        self.standing.stopped = self.strategy.stopped().map(|stop| stop.name().to_string());
        Ok(())
    }

    /// Looks at the mean: in dreams that are its own, and in as many real episodes as are asked for.
    ///
    /// # Errors
    /// As [`Self::generation`]'s, or an episode failed.
    pub fn look(&mut self, place: &Place<'_>) -> Result<()> {
        let config = &place.config.dream;
        let parameters = self.strategy.mean();
        let mean = place.features.fold(&parameters);
        let first = u32::MAX - config.validation_dreams as u32;
        let score = place.dreams.score(&[mean], first, config.validation_dreams)?[0];
        self.standing.dream_steps += score.steps;
        let real = match config.validation_episodes {
            0 => None,
            episodes => {
                let (steps, mean) = place.play(&parameters, episodes)?;
                self.standing.real_steps += steps;
                Some(mean)
            }
        };
        let look = Look { generation: self.standing.generation, dream: score.value, real };
        if let Some(at) = self.standing.look(look, config.rerank) {
            self.means.insert(at, parameters);
            self.means.truncate(config.rerank);
        }
        Ok(())
    }

    /// A line of the log, with the dreamt steps, and the time, that were taken since the line before.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn log(&self, run: &RunDir, items: u64, clock: &Clock) -> Result<()> {
        let Standing { generation, dream_steps, real_steps, latest, drifting, best, .. } = &self.standing;
        let best = best.first();
        let line = serde_json::json!({
            "stage": "controller", "arena": "dream", "generation": generation, "dream_steps": dream_steps, "real_steps": real_steps,
            "dream_score": latest.map(|look| look.dream), "real_return": latest.and_then(|look| look.real),
            "best_dream_score": best.map(|look| look.dream), "best_real_return": best.and_then(|look| look.real), "drifting": drifting,
            "dreams": self.noise.map(|noise| noise.episodes()), "noise": self.noise.map(|noise| noise.level()),
            "candidates": self.strategy.candidates(), "restarts": self.strategy.restarts(), "mean_sigma": self.strategy.mean_sigma(), "items": items, "seconds": clock.seconds(), "cpu_seconds": clock.cpu_seconds(),
            "items_per_s": items as f64 / clock.seconds(),
        });
        append_metrics(run, &line)
    }

    /// # Errors
    /// The state cannot be written.
    pub fn save(&self, run: &RunDir, config: &Config) -> Result<()> {
        let mut state = Checkpoint::default();
        self.strategy.save(&mut state);
        if let Some(noise) = &self.noise {
            noise.save(&mut state);
        }
        for (i, mean) in self.means.iter().enumerate() {
            state.insert(&format!("best.{i}"), &[mean.len()], mean.clone());
        }
        state.metadata.extend(provenance(config, run, &self.standing)?);
        state.write(&run.evolution())
    }
}

/// The saved state, which must be of this configuration, V and M.
///
/// # Errors
/// It cannot be read, or is another's.
pub(super) fn read(config: &Config, run: &RunDir) -> Result<Checkpoint> {
    let saved = Checkpoint::read_state(&run.evolution())?;
    ensure!(
        saved.metadata.get(FINGERPRINT) == Some(&fingerprint(config, run)?),
        "{}: expected the state of an evolution in dreams with this configuration, V and M, found another's; --force starts anew",
        run.evolution().display()
    );
    Ok(saved)
}

/// What `file` says of how evolution went.
pub(crate) fn standing(file: &Checkpoint) -> Result<Standing> {
    let text: String = file.meta(PROGRESS)?;
    serde_json::from_str(&text).map_err(|error| anyhow!("{}: {PROGRESS}: {error}", file.origin))
}

/// What a saved state depends on: the configuration but for the budget, and the bytes of V, M and the teacher.
pub(super) fn fingerprint(config: &Config, run: &RunDir) -> Result<String> {
    let mut config = config.clone();
    (config.controller.steps, config.dream.generations, config.rounds) = (1, 1, RoundsConfig::default());
    let settings = Digest::default().update_bytes(config.provenance().as_bytes()).value();
    let teacher = if run.teacher().exists() { format!(" {}", digest(&run.teacher())?) } else { String::new() };
    Ok(format!("dream {settings:016x} {} {}{teacher}", digest(&run.vae())?, digest(&run.mdnrnn())?))
}

pub(super) fn provenance(config: &Config, run: &RunDir, standing: &Standing) -> Result<BTreeMap<String, String>> {
    let entries = [
        (metadata::FORMAT, metadata::FORMAT_CHECKPOINT.to_string()),
        (meta::STAGE, "controller".to_string()),
        (meta::SEED, config.seed.to_string()),
        (meta::VERSION, env!("CARGO_PKG_VERSION").to_string()),
        (meta::CONFIG, config.provenance()),
        (metadata::ENV, config.env.clone()),
        (PROGRESS, serde_json::to_string(standing)?),
        (STEPS, standing.real_steps.to_string()),
        (FINGERPRINT, fingerprint(config, run)?),
    ];
    let mut map: BTreeMap<String, String> = entries.map(|(key, value)| (key.to_string(), value)).into();
    map.insert(format!("{}vae", meta::UPSTREAM), digest(&run.vae())?);
    map.insert(format!("{}mdnrnn", meta::UPSTREAM), digest(&run.mdnrnn())?);
    Ok(map)
}
