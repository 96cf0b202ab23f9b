//! What is an evolution between two generations? The search distribution, the scale that it moves on, the best controller so far: saved
//! whole, so that a run that was killed goes on to the same bytes.

use super::generation::Spent;
use super::whitening::Whitening;
use crate::agent::controller;
use crate::control::strategies::noise::{self, Noise};
use crate::control::strategies::{self, GENERATION, Strategy};
use crate::env::pool::{EnvPool, Estimate, Policy};
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::config::{Config, DreamConfig, RoundsConfig, ScoredOn, StrategyName};
use crate::run::folder::{RunDir, digest};
use crate::run::metrics::{Clock, append_metrics};
use anyhow::{Context, Result, anyhow, ensure};
use dreamstep_core::digest::Digest;
use dreamstep_core::dims::Dims;
use dreamstep_core::names::metadata;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::Model;
use std::collections::BTreeMap;

/// Validation episodes.
const VALIDATION_EPISODES: usize = 16;

/// Parameters that a whole covariance matrix is bearable for: a decomposition of more takes minutes.
const MAX_FULL: usize = 2000;

/// Metadata of the result and of the saved state.
pub(super) const FINGERPRINT: &str = "fingerprint";
pub(super) const STEPS: &str = "validation.steps";
const BEST: &str = "validation.return";
/// Why evolution ended before its budget, where it did.
pub(super) const STOPPED: &str = "validation.stopped";
const FEATURES: &str = "whitening.count";
const SUPPORT: &str = "support";

/// Evolution between two generations.
pub(super) struct Search {
    pub(super) strategy: Strategy,
    /// Where noise is handled.
    pub(super) noise: Option<Noise>,
    pub(super) whitening: Whitening,
    /// Environment steps spent, validation's included.
    pub(super) steps: u64,
    /// How firmly candidates are held.
    pub(super) support: f64,
    /// Return of the best controller on the validation episodes.
    pub(super) best: f64,
    /// Its plain weights and biases.
    best_controller: Vec<f32>,
    dims: Dims,
    latest: f64,
}

impl Search {
    /// From the saved state, where there is one of the same configuration. Else from what `begin` makes: how features vary, the plain weights
    /// and biases to search around ([`controller::start`] where there are none: it holds still), and the steps that this took.
    pub(super) fn start(
        config: &Config,
        run: &RunDir,
        dims: &Dims,
        force: bool,
        begin: impl FnOnce() -> Result<(Whitening, Option<Vec<f32>>, u64)>,
    ) -> Result<Self> {
        let settings = settings(config);
        let features = dims.controller_inputs();
        let n = controller::len(dims);
        ensure!(
            config.controller.strategy != StrategyName::CmaEs || n <= MAX_FULL,
            "controller.strategy = \"cma-es\": expected at most {MAX_FULL} parameters, found {n}; sep-cma-es is for so many"
        );
        let path = run.evolution();
        if path.exists() && !force {
            let saved = read_state(config, run)?;
            let vector = |name, len| saved.tensor(name, &[len]).map(<[f32]>::to_vec);
            let strategy = Strategy::resume(settings, n, &saved)?;
            let noise = noise(config).map(|settings| Noise::resume(settings, &saved)).transpose()?;
            let whitening = Whitening {
                units: controller::units(dims),
                count: saved.meta(FEATURES)?,
                mean: vector("whitening.mean", features)?,
                variance: vector("whitening.variance", features)?,
            };
            let best_controller = controller::read(&saved, dims)?;
            let (steps, best, support) = (saved.meta(STEPS)?, saved.meta(BEST)?, saved.meta(SUPPORT)?);
            let dims = *dims;
            return Ok(Self { strategy, noise, whitening, steps, support, best, best_controller, dims, latest: best });
        }
        let (whitening, start, steps) = begin()?;
        let mean =
            start.map_or_else(|| controller::start(dims, Philox::new(config.seed)), |values| whitening.unfold(&values));
        let best_controller = whitening.fold(&mean);
        let strategy = Strategy::new(settings, mean);
        let noise = noise(config).map(Noise::new);
        let (best, latest, support) = (f64::NEG_INFINITY, f64::NAN, config.controller.assist.force);
        Ok(Self { strategy, noise, whitening, steps, support, best, best_controller, dims: *dims, latest })
    }

    /// Plays the mean on the validation episodes and keeps it where it is the best so far.
    pub(super) fn validate(&mut self, config: &Config, model: &Model<'_>, arena: &EnvPool) -> Result<()> {
        let panels = self.whitening.panels(model.dims(), &self.strategy.mean()).context("mean")?;
        let candidate = model.with_controller(&panels).map_err(|error| anyhow!("mean: {error}"))?;
        let outcomes = arena.map(VALIDATION_EPISODES, |player, i| {
            let seed = Philox::new(config.seed).bits(Stream::EvolutionReset, u64::MAX, i as u32);
            player.episode(Policy::Agent(&candidate), seed, 0)
        })?;
        self.steps += outcomes.iter().map(|outcome| outcome.length).sum::<u64>();
        let returns: Vec<f64> = outcomes.iter().map(|outcome| outcome.episode_return).collect();
        self.latest = Estimate::of(&returns).mean;
        if self.latest > self.best {
            self.best = self.latest;
            self.best_controller = self.whitening.fold(&self.strategy.mean());
        }
        Ok(())
    }

    /// With the `items` steps, and the time, that were taken since the line before, and what the `newest` generation came to.
    pub(super) fn log(&self, run: &RunDir, config: &Config, items: u64, newest: &Spent, clock: &Clock) -> Result<()> {
        let line = serde_json::json!({
            "stage": "controller", "generation": self.strategy.generation(), "steps": self.steps, "directions": config.controller.directions(),
            "strategy": config.controller.strategy, "candidates": self.strategy.candidates(), "restarts": self.strategy.restarts(),
            "validation_return": self.latest, "best_return": self.best, "mean_sigma": self.strategy.mean_sigma(), "items": items,
            "episodes": newest.episodes, "noise": self.noise.map(|noise| noise.level()), "support": self.support,
            "candidates_return": newest.mean_return, "candidates_length": newest.mean_length,
            "seconds": clock.seconds(), "cpu_seconds": clock.cpu_seconds(), "items_per_s": items as f64 / clock.seconds(),
        });
        append_metrics(run, &line)
    }

    pub(super) fn save(&self, run: &RunDir, config: &Config) -> Result<()> {
        let mut state = self.result(run, config)?;
        self.strategy.save(&mut state);
        if let Some(noise) = &self.noise {
            noise.save(&mut state);
        }
        let Whitening { mean, variance, .. } = &self.whitening;
        for (name, values) in [("whitening.mean", mean), ("whitening.variance", variance)] {
            state.insert(name, &[values.len()], values.clone());
        }
        state.set_meta(FEATURES, self.whitening.count);
        state.set_meta(SUPPORT, self.support);
        state.write(&run.evolution())
    }

    /// The best controller so far.
    pub(super) fn result(&self, run: &RunDir, config: &Config) -> Result<Checkpoint> {
        let mut result = Checkpoint { metadata: provenance(config, run, self)?, ..Checkpoint::default() };
        controller::insert(&mut result, &self.dims, &self.best_controller);
        Ok(result)
    }
}

/// The search that `config` asks for.
#[must_use]
pub fn settings(config: &Config) -> strategies::Settings {
    let c = &config.controller;
    let cma = strategies::cma::Settings {
        seed: config.seed,
        population: c.cma.population,
        sigma: c.sigma,
        restarts: c.cma.restarts,
    };
    match c.strategy {
        StrategyName::Pgpe => {
            let settings = strategies::pgpe::Settings {
                seed: config.seed,
                directions: c.pgpe.directions,
                sigma_learning_rate: c.pgpe.sigma_learning_rate as f32,
                sigma_max_change: c.pgpe.sigma_max_change as f32,
                max_speed: c.pgpe.max_speed as f32,
                momentum: c.pgpe.momentum as f32,
            };
            strategies::Settings::Pgpe(settings, c.sigma as f32)
        }
        StrategyName::CmaEs => strategies::Settings::CmaEs(cma),
        StrategyName::SepCmaEs => strategies::Settings::SepCmaEs(cma),
        StrategyName::Ars => strategies::Settings::Ars(strategies::ars::Settings {
            seed: config.seed,
            directions: c.ars.directions,
            top_directions: c.ars.top_directions,
            learning_rate: c.ars.learning_rate,
            sigma: c.sigma,
        }),
        StrategyName::OpenAiEs => strategies::Settings::OpenAiEs(strategies::openai::Settings {
            seed: config.seed,
            directions: c.openai_es.directions,
            learning_rate: c.openai_es.learning_rate,
            sigma: c.sigma,
            weight_decay: c.openai_es.weight_decay,
        }),
    }
}

/// How many episodes, or dreams, a candidate may have, where `config` leaves that to their noise.
#[must_use]
pub fn noise(config: &Config) -> Option<noise::Settings> {
    let (fewest, most) = match config.controller.scored_on {
        ScoredOn::Episodes => (config.controller.episodes, config.controller.max_episodes),
        ScoredOn::Dreams => (config.dream.dreams, config.dream.max_dreams),
    };
    config.controller.noise_handling.then(|| noise::Settings::new(fewest, most))
}

/// The saved state, which must be of this configuration, V and M.
pub(super) fn read_state(config: &Config, run: &RunDir) -> Result<Checkpoint> {
    let saved = Checkpoint::read_state(&run.evolution())?;
    ensure!(
        saved.metadata.get(FINGERPRINT) == Some(&fingerprint(config, run)?),
        "{}: expected the state of an evolution with this configuration, V and M, found another's; --force starts anew",
        run.evolution().display()
    );
    Ok(saved)
}

/// What a saved state depends on: the configuration but for the budget, and the bytes of V, M and the teacher.
pub(super) fn fingerprint(config: &Config, run: &RunDir) -> Result<String> {
    let mut config = config.clone();
    config.controller.steps = 1;
    (config.rounds, config.dream) = (RoundsConfig::default(), DreamConfig::default());
    let settings = Digest::default().update_bytes(config.provenance().as_bytes()).value();
    let teacher = if run.teacher().exists() { format!(" {}", digest(&run.teacher())?) } else { String::new() };
    Ok(format!("{settings:016x} {} {}{teacher}", digest(&run.vae())?, digest(&run.mdnrnn())?))
}

fn provenance(config: &Config, run: &RunDir, search: &Search) -> Result<BTreeMap<String, String>> {
    let entries = [
        (metadata::FORMAT, metadata::FORMAT_CHECKPOINT.to_string()),
        (meta::STAGE, "controller".to_string()),
        (meta::SEED, config.seed.to_string()),
        (meta::VERSION, env!("CARGO_PKG_VERSION").to_string()),
        (meta::CONFIG, config.provenance()),
        (metadata::ENV, config.env.clone()),
        (GENERATION, search.strategy.generation().to_string()),
        (STEPS, search.steps.to_string()),
        (BEST, search.best.to_string()),
    ];
    let mut map: BTreeMap<String, String> = entries.map(|(key, value)| (key.to_string(), value)).into();
    map.insert(format!("{}vae", meta::UPSTREAM), digest(&run.vae())?);
    map.insert(format!("{}mdnrnn", meta::UPSTREAM), digest(&run.mdnrnn())?);
    map.insert(FINGERPRINT.to_string(), fingerprint(config, run)?);
    if let Some(stop) = search.strategy.stopped() {
        map.insert(STOPPED.to_string(), stop.name().to_string());
    }
    Ok(map)
}
