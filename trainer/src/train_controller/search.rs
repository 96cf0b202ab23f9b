//! What is an evolution between two generations? The search distribution, the scale that it moves on, the best controller so far: saved
//! whole, so that a run that was killed goes on to the same bytes.

use super::whitening::Whitening;
use crate::checkpoint::{Checkpoint, meta};
use crate::config::Config;
use crate::evolve::pgpe::{Pgpe, Settings};
use crate::play::{Arena, Estimate, Policy};
use crate::run_dir::{RunDir, digest};
use crate::stage::{Clock, append_metrics};
use anyhow::{Result, anyhow, ensure};
use dreamstep_core::digest::Digest;
use dreamstep_core::dims::Dims;
use dreamstep_core::names::{checkpoint as names, metadata};
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::Model;
use std::collections::BTreeMap;

/// Validation episodes.
const VALIDATION_EPISODES: usize = 16;

/// Metadata of the result and of the saved state.
pub(super) const FINGERPRINT: &str = "fingerprint";
const GENERATION: &str = "validation.generation";
pub(super) const STEPS: &str = "validation.steps";
const BEST: &str = "validation.return";
const FEATURES: &str = "whitening.count";

/// Evolution between two generations.
pub(super) struct Search {
    pub(super) pgpe: Pgpe,
    pub(super) whitening: Whitening,
    /// Environment steps spent, validation's included.
    pub(super) steps: u64,
    /// Return of the best controller on the validation episodes.
    pub(super) best: f64,
    /// Its plain weights and biases.
    best_controller: (Vec<f32>, Vec<f32>),
    latest: f64,
}

impl Search {
    /// From the saved state, where there is one of the same configuration; else around `start`, in plain weights and biases, or around
    /// zero weights: a controller that holds still. `measure` says how features vary on the recorded episodes.
    pub(super) fn start(
        config: &Config,
        run: &RunDir,
        dims: &Dims,
        force: bool,
        start: Option<(&[f32], &[f32])>,
        measure: impl FnOnce() -> Result<Whitening>,
    ) -> Result<Self> {
        let settings = settings(config);
        let features = dims.latent + dims.hidden;
        let n = dims.action * (features + 1);
        let path = run.evolution();
        if path.exists() && !force {
            let saved = read_state(config, run)?;
            let vector = |name, len| saved.tensor(name, &[len]).map(<[f32]>::to_vec);
            let generation = saved.meta(GENERATION)?;
            let pgpe = Pgpe::resume(settings, generation, vector("mean", n)?, vector("sigma", n)?, vector("velocity", n)?);
            let whitening = Whitening {
                count: saved.meta(FEATURES)?,
                mean: vector("whitening.mean", features)?,
                variance: vector("whitening.variance", features)?,
            };
            let weight = saved.tensor(names::FC_WEIGHT, &[dims.action, features])?.to_vec();
            let best_controller = (weight, vector(names::FC_BIAS, dims.action)?);
            let (steps, best) = (saved.meta(STEPS)?, saved.meta(BEST)?);
            return Ok(Self { pgpe, whitening, steps, best, best_controller, latest: best });
        }
        let whitening = measure()?;
        let mean = start.map_or_else(|| vec![0.0; n], |(weight, bias)| whitening.unfold(weight, bias));
        let best_controller = whitening.fold(&mean);
        let pgpe = Pgpe::new(settings, mean, config.controller.sigma as f32);
        Ok(Self { pgpe, whitening, steps: 0, best: f64::NEG_INFINITY, best_controller, latest: f64::NAN })
    }

    /// Plays the mean on the validation episodes and keeps it where it is the best so far.
    pub(super) fn validate(&mut self, config: &Config, model: &Model<'_>, arena: &Arena) -> Result<()> {
        let (panels, bias) = self.whitening.panels(model.dims(), &self.pgpe.mean);
        let candidate = model.with_controller(&panels, &bias).map_err(|error| anyhow!("mean: {error}"))?;
        let outcomes = arena.map(VALIDATION_EPISODES, |player, i| {
            let seed = Philox::new(config.seed).bits(Stream::EvolutionReset, u64::MAX, i as u32);
            player.episode(Policy::Agent(&candidate), seed, 0)
        })?;
        self.steps += outcomes.iter().map(|outcome| outcome.length).sum::<u64>();
        let returns: Vec<f64> = outcomes.iter().map(|outcome| outcome.episode_return).collect();
        self.latest = Estimate::of(&returns).mean;
        if self.latest > self.best {
            self.best = self.latest;
            self.best_controller = self.whitening.fold(&self.pgpe.mean);
        }
        Ok(())
    }

    /// With the `items` steps, and the time, that were taken since the line before.
    pub(super) fn log(&self, run: &RunDir, config: &Config, items: u64, clock: &Clock) -> Result<()> {
        let sigma = Estimate::of(&self.pgpe.sigma.iter().map(|&s| f64::from(s)).collect::<Vec<_>>()).mean;
        let line = serde_json::json!({
            "stage": "controller", "generation": self.pgpe.generation, "steps": self.steps, "directions": config.controller.directions,
            "validation_return": self.latest, "best_return": self.best, "mean_sigma": sigma, "items": items,
            "seconds": clock.seconds(), "cpu_seconds": clock.cpu_seconds(), "items_per_s": items as f64 / clock.seconds(),
        });
        append_metrics(run, &line)
    }

    pub(super) fn save(&self, run: &RunDir, config: &Config) -> Result<()> {
        let mut state = self.result(run, config)?;
        for (name, values) in [
            ("mean", &self.pgpe.mean),
            ("sigma", &self.pgpe.sigma),
            ("velocity", &self.pgpe.velocity),
            ("whitening.mean", &self.whitening.mean),
            ("whitening.variance", &self.whitening.variance),
        ] {
            state.insert(name, &[values.len()], values.clone());
        }
        state.set_meta(FEATURES, self.whitening.count);
        state.write(&run.evolution())
    }

    /// The best controller so far.
    pub(super) fn result(&self, run: &RunDir, config: &Config) -> Result<Checkpoint> {
        let mut result = Checkpoint::default();
        let (weight, bias) = &self.best_controller;
        result.insert(names::FC_WEIGHT, &[bias.len(), weight.len() / bias.len()], weight.clone());
        result.insert(names::FC_BIAS, &[bias.len()], bias.clone());
        result.metadata = provenance(config, run, self)?;
        Ok(result)
    }
}

/// The search that `config` asks for.
#[must_use]
pub fn settings(config: &Config) -> Settings {
    let c = &config.controller;
    Settings {
        seed: config.seed,
        directions: c.directions,
        sigma_learning_rate: c.sigma_learning_rate as f32,
        sigma_max_change: c.sigma_max_change as f32,
        max_speed: c.max_speed as f32,
        momentum: c.momentum as f32,
    }
}

/// The saved state, which must be of this configuration, V and M.
pub(super) fn read_state(config: &Config, run: &RunDir) -> Result<Checkpoint> {
    let saved = Checkpoint::read(&run.evolution())?;
    ensure!(
        saved.metadata.get(FINGERPRINT) == Some(&fingerprint(config, run)?),
        "{}: expected the state of an evolution with this configuration, V and M, found another's; --force starts anew",
        run.evolution().display()
    );
    Ok(saved)
}

/// What a saved state depends on: the configuration but for the budget, and the bytes of V and M.
pub(super) fn fingerprint(config: &Config, run: &RunDir) -> Result<String> {
    let mut config = config.clone();
    config.controller.steps = 1;
    let settings = Digest::default().update_bytes(config.provenance().as_bytes()).value();
    Ok(format!("{settings:016x} {} {}", digest(&run.vae())?, digest(&run.mdnrnn())?))
}

fn provenance(config: &Config, run: &RunDir, search: &Search) -> Result<BTreeMap<String, String>> {
    let entries = [
        (metadata::FORMAT, metadata::FORMAT_CHECKPOINT.to_string()),
        (meta::STAGE, "controller".to_string()),
        (meta::SEED, config.seed.to_string()),
        (meta::VERSION, env!("CARGO_PKG_VERSION").to_string()),
        (meta::CONFIG, config.provenance()),
        (metadata::ENV, config.env.clone()),
        (GENERATION, search.pgpe.generation.to_string()),
        (STEPS, search.steps.to_string()),
        (BEST, search.best.to_string()),
    ];
    let mut map: BTreeMap<String, String> = entries.map(|(key, value)| (key.to_string(), value)).into();
    map.insert(format!("{}vae", meta::UPSTREAM), digest(&run.vae())?);
    map.insert(format!("{}mdnrnn", meta::UPSTREAM), digest(&run.mdnrnn())?);
    map.insert(FINGERPRINT.to_string(), fingerprint(config, run)?);
    Ok(map)
}
