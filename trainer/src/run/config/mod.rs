//! Every value that decides a run: one typed TOML file with defaults, presets and overrides.
//!
//! Precedence, lowest first: the preset, the run folder's `config.toml`, `--config FILE`, each `--set key=value`. What is in force
//! is written beside every result. An unknown key or a bad value is an error that names it.

mod controller;
mod dream;
mod networks;

pub use controller::{ControllerArena, ControllerConfig, MAX_VECTORS, Physics, StrategyName, controller_of};
pub use dream::{DreamConfig, DreamEngine, RoundsConfig};
pub use networks::{LatentSource, MdnrnnConfig, OptimizerRule, ScheduleConfig, ScheduleRule, VaeConfig, VaeStart};

use anyhow::{Context, Result, bail, ensure};
use dreamstep_core::dims::MAX_DIM;
use dreamstep_core::schema::Target;
use dreamstep_core::v::MAX_HIDDEN;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The whole configuration of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The one seed that drives everything.
    pub seed: u64,
    /// Environment id, as Gymnasium names it: any of `crate::env::ids`.
    pub env: String,
    /// Worker threads for rollouts; 0 takes every core. Results do not depend on it.
    pub threads: usize,
    /// Threads of libtorch. 1 makes training repeat bit for bit.
    pub torch_threads: usize,
    /// Recorded episodes.
    pub collect: CollectConfig,
    /// V.
    pub vae: VaeConfig,
    /// M.
    pub mdnrnn: MdnrnnConfig,
    /// C.
    pub controller: ControllerConfig,
    /// C, where it is evolved in dreams.
    pub dream: DreamConfig,
    /// What a later round adds.
    pub rounds: RoundsConfig,
}

/// `collect`: which policy is recorded, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectConfig {
    /// Environment steps in the folder, whoever took them (the last episode is finished, so a few more are).
    pub steps: u64,
    /// Who acts.
    pub policy: CollectPolicy,
    /// `noise`: its standard deviation, in halves of the action range.
    pub noise_scale: f64,
    /// `noise` and exploration: steps after which the noise has forgotten all but 1/e of itself; 0 is white noise.
    pub noise_correlation: f64,
    /// `agent`: standard deviation of the noise on its actions, in halves of the action range; 0 records it as it is.
    pub exploration: f64,
}

/// Who acts while episodes are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CollectPolicy {
    /// Uniform over the action range, every step anew.
    Random,
    /// The zero action (`CartPole-v1` reads it as a push to the right).
    Zero,
    /// Gaussian noise around the middle of the range, correlated in time.
    Noise,
    /// A packed agent.
    Agent,
}

/// A named starting point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// Minutes on two cores: what `make demo` runs.
    Quick,
    /// Ha & Schmidhuber's sizes (z = 32, 256 hidden units, 5 Gaussians) on 250,000 steps, evolved over 50 million: hours.
    Paper,
    /// CartPole-v1, learnt in dreams alone from fewer than 3,000 random steps: a minute on two cores.
    Cartpole,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            env: "Humanoid-v5".into(),
            threads: 0,
            torch_threads: 1,
            collect: CollectConfig::default(),
            vae: VaeConfig::default(),
            mdnrnn: MdnrnnConfig::default(),
            controller: ControllerConfig::default(),
            dream: DreamConfig::default(),
            rounds: RoundsConfig::default(),
        }
    }
}

impl Default for CollectConfig {
    fn default() -> Self {
        Self { steps: 30_000, policy: CollectPolicy::Random, noise_scale: 0.5, noise_correlation: 10.0, exploration: 0.0 }
    }
}

impl Preset {
    /// The preset's values.
    #[must_use]
    pub fn config(self) -> Config {
        let mut config = Config::default();
        if self == Self::Paper {
            config.collect.steps = 250_000;
            config.vae.epochs = 25;
            config.vae.batch_size = 256;
            config.vae.learning_rate = 1.5e-3;
            config.mdnrnn.epochs = 25;
            config.mdnrnn.batch_size = 64;
            config.mdnrnn.learning_rate = 5e-3;
            config.controller.steps = 50_000_000;
            config.controller.directions = 200;
            config.controller.reward_offset = 5.0;
        }
        if self == Self::Cartpole {
            config.cartpole();
        }
        config
    }
}

impl Config {
    /// What [`Preset::Cartpole`] is. A pole on a cart is deterministic, so M can be as exact as its data: V keeps the whole state (four
    /// latents, next to no price on them), M learns on its means and small batches. Both pushes are drawn equally often.
    fn cartpole(&mut self) {
        self.env = "CartPole-v1".into();
        // The last episode is finished: a random one takes up to a hundred steps.
        self.collect.steps = 2_880;
        self.collect.policy = CollectPolicy::Noise;
        (self.collect.noise_scale, self.collect.noise_correlation) = (1000.0, 0.0);
        (self.vae.latent, self.vae.hidden) = (4, vec![128, 128]);
        (self.vae.epochs, self.vae.batch_size, self.vae.learning_rate) = (60, 64, 3e-3);
        (self.vae.kl_weight, self.vae.kl_tolerance) = (0.0, 0.0);
        (self.mdnrnn.hidden, self.mdnrnn.target) = (64, Target::Delta);
        (self.mdnrnn.epochs, self.mdnrnn.batch_size, self.mdnrnn.learning_rate) = (60, 4, 5e-3);
        (self.mdnrnn.reward_weight, self.mdnrnn.terminal_weight) = (0.0, 1.0);
        (self.mdnrnn.terminal_positive_weight, self.mdnrnn.log_sigma_min) = (5.0, -7.0);
        self.mdnrnn.sample_latents = false;
        self.controller.arena = ControllerArena::Dream;
        (self.controller.strategy, self.controller.directions) = (StrategyName::Pgpe, 16);
        (self.controller.sigma, self.controller.max_speed) = (1.0, 1.0);
        self.controller.reward_offset = 0.0;
        (self.dream.generations, self.dream.horizon) = (40, 500);
    }

    /// Reads `text` over `self` (only the keys it names change), then applies each `key=value` of `overrides`.
    ///
    /// # Errors
    /// One line that names the unknown key or the bad value and `origin`.
    pub fn overlay(&self, origin: &str, text: &str, overrides: &[String]) -> Result<Self> {
        let mut table = toml::Table::try_from(self).context("configuration does not serialise")?;
        let over: toml::Table =
            text.parse().map_err(|e: toml::de::Error| anyhow::anyhow!("{origin}: {}", one_line(e.message())))?;
        let mut names_offset = names_offset(&over);
        merge(&mut table, over, origin, "")?;
        for item in overrides {
            let (key, value) =
                item.split_once('=').with_context(|| format!("--set {item}: expected key=value, e.g. vae.epochs=5"))?;
            // A bare word is a string: `--set controller.squash=tanh`.
            let assignment = format!("{} = {}", key.trim(), value.trim());
            let over: toml::Table =
                assignment
                    .parse()
                    .or_else(|_| format!("{} = {:?}", key.trim(), value.trim()).parse())
                    .map_err(|e: toml::de::Error| anyhow::anyhow!("--set {item}: {}", one_line(e.message())))?;
            names_offset |= self::names_offset(&over);
            merge(&mut table, over, &format!("--set {item}"), "")?;
        }
        let mut config: Self =
            table.try_into().map_err(|e: toml::de::Error| anyhow::anyhow!("{origin}: {}", one_line(&e.to_string())))?;
        if config.env != self.env && !names_offset {
            let default = Self::default();
            config.controller.reward_offset = if config.env == default.env { default.controller.reward_offset } else { 0.0 };
        }
        config.validate()?;
        Ok(config)
    }

    /// Reads a file over `self`.
    ///
    /// # Errors
    /// The file cannot be read, or [`Self::overlay`] rejects it.
    pub fn overlay_file(&self, path: &Path, overrides: &[String]) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{}: cannot read the configuration", path.display()))?;
        self.overlay(&path.display().to_string(), &text, overrides)
    }

    /// The TOML text of every value in force.
    ///
    /// # Panics
    /// Never: every field serialises.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("the configuration serialises")
    }

    /// The TOML text of every value that decides a result, for provenance: the number of worker threads decides none.
    #[must_use]
    pub fn provenance(&self) -> String {
        Self { threads: 0, ..self.clone() }.to_toml()
    }

    /// The first key, in alphabetical order, whose value in the TOML text `recorded` is not the one in force here: key, then, now. The
    /// sections of `ignored` and the number of worker threads do not count; neither does a key that `recorded` lacks.
    ///
    /// # Errors
    /// `recorded` is not TOML.
    ///
    /// # Panics
    /// Never: the configuration serialises.
    pub fn first_difference(&self, recorded: &str, ignored: &[&str]) -> Result<Option<(String, String, String)>> {
        let now = toml::Table::try_from(self).expect("the configuration serialises");
        let then: toml::Table = recorded.parse().context("recorded configuration")?;
        let skip = |key: &str| key == "threads" || ignored.contains(&key);
        Ok(then.iter().filter(|(key, _)| !skip(key)).find_map(|(key, then)| difference(key, then, now.get(key)?)))
    }

    /// Threads to use: `threads`, or every core where it is 0.
    #[must_use]
    pub fn worker_threads(&self) -> usize {
        if self.threads > 0 { self.threads } else { std::thread::available_parallelism().map_or(1, usize::from) }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// One line naming the key, the rule and the value found.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("torch_threads", self.torch_threads as f64),
            ("collect.steps", self.collect.steps as f64),
            ("collect.noise_scale", self.collect.noise_scale),
            ("vae.latent", self.vae.latent as f64),
            ("vae.epochs", self.vae.epochs as f64),
            ("vae.batch_size", self.vae.batch_size as f64),
            ("vae.learning_rate", self.vae.learning_rate),
            ("vae.obs_clip", self.vae.obs_clip),
            ("vae.pool", self.vae.pool as f64),
            ("vae.schedule.factor", self.vae.schedule.factor),
            ("mdnrnn.pool", self.mdnrnn.pool as f64),
            ("mdnrnn.terminal_positive_weight", self.mdnrnn.terminal_positive_weight),
            ("mdnrnn.schedule.factor", self.mdnrnn.schedule.factor),
            ("mdnrnn.hidden", self.mdnrnn.hidden as f64),
            ("mdnrnn.mixtures", self.mdnrnn.mixtures as f64),
            ("mdnrnn.epochs", self.mdnrnn.epochs as f64),
            ("mdnrnn.batch_size", self.mdnrnn.batch_size as f64),
            ("mdnrnn.sequence_length", self.mdnrnn.sequence_length as f64),
            ("mdnrnn.learning_rate", self.mdnrnn.learning_rate),
            ("mdnrnn.grad_clip", self.mdnrnn.grad_clip),
            ("controller.steps", self.controller.steps as f64),
            ("controller.directions", self.controller.directions as f64),
            ("controller.episodes", self.controller.episodes as f64),
            ("controller.sigma", self.controller.sigma),
            ("controller.learning_rate", self.controller.learning_rate),
            ("rounds.steps", self.rounds.steps as f64),
            ("controller.max_speed", self.controller.max_speed),
            ("dream.generations", self.dream.generations as f64),
            ("dream.temperature", self.dream.temperature),
            ("dream.horizon", f64::from(self.dream.horizon)),
            ("dream.dreams", self.dream.dreams as f64),
            ("dream.ensemble", self.dream.ensemble as f64),
            ("dream.check_every", self.dream.check_every as f64),
            ("dream.check_dreams", self.dream.check_dreams as f64),
            ("dream.rerank", self.dream.rerank as f64),
        ];
        for (key, value) in positive {
            ensure!(value > 0.0 && value.is_finite(), "{key} = {value}: must be a positive number");
        }
        let not_negative = [
            ("collect.noise_correlation", self.collect.noise_correlation),
            ("collect.exploration", self.collect.exploration),
            ("vae.kl_tolerance", self.vae.kl_tolerance),
            ("vae.kl_weight", self.vae.kl_weight),
            ("vae.min_std", self.vae.min_std),
            ("mdnrnn.reward_weight", self.mdnrnn.reward_weight),
            ("mdnrnn.terminal_weight", self.mdnrnn.terminal_weight),
            ("controller.weight_decay", self.controller.weight_decay),
            ("controller.sigma_learning_rate", self.controller.sigma_learning_rate),
            ("controller.sigma_max_change", self.controller.sigma_max_change),
            ("dream.bound", self.dream.bound),
            ("dream.pessimism", self.dream.pessimism),
        ];
        for (key, value) in not_negative {
            ensure!(value >= 0.0 && value.is_finite(), "{key} = {value}: must be zero or positive");
        }
        for (block, &weight) in self.vae.block_weights.iter().enumerate() {
            ensure!(weight >= 0.0 && weight.is_finite(), "vae.block_weights[{block}] = {weight}: must be zero or positive");
        }
        let support = self.controller.support;
        ensure!(support >= 0.0 && support.is_finite(), "controller.support = {support}: must be zero or positive");
        let fractions = [
            ("vae.validation", self.vae.validation),
            ("controller.momentum", self.controller.momentum),
            ("controller.support_decay", self.controller.support_decay),
            ("controller.support_length", self.controller.support_length),
        ];
        for (key, value) in fractions {
            ensure!((0.0..1.0).contains(&value), "{key} = {value}: must be at least 0 and below 1");
        }
        let recorded = self.dream.recorded_starts;
        ensure!((0.0..=1.0).contains(&recorded), "dream.recorded_starts = {recorded}: must be at least 0 and at most 1");
        ensure!(
            self.mdnrnn.own_steps < self.mdnrnn.sequence_length,
            "mdnrnn.own_steps = {}: must be below mdnrnn.sequence_length = {}",
            self.mdnrnn.own_steps,
            self.mdnrnn.sequence_length
        );
        ensure!(
            (1..=MAX_HIDDEN).contains(&self.vae.hidden.len())
                && self.vae.hidden.iter().all(|width| (1..=MAX_DIM).contains(width)),
            "vae.hidden = {:?}: must be one to {MAX_HIDDEN} widths from 1 to {MAX_DIM}",
            self.vae.hidden
        );
        self.controller.validate()?;
        ensure!(
            self.controller.arena == ControllerArena::Real || !self.controller.input.has_observation(),
            "controller.input = {:?}: must be z+h, z or h where controller.arena is dream: dreams have no observations",
            self.controller.input.name()
        );
        let (key, fewest, most) = match self.controller.arena {
            ControllerArena::Real => ("controller.max_episodes", self.controller.episodes, self.controller.max_episodes),
            ControllerArena::Dream => ("dream.max_dreams", self.dream.dreams, self.dream.max_dreams),
        };
        ensure!(
            !self.controller.noise_handling || most >= fewest,
            "{key} = {most}: must be at least {fewest}, which noise handling begins with"
        );
        let [low, high] = self.vae.log_var_range;
        ensure!(low < high, "vae.log_var_range = [{low}, {high}]: the first must be below the second");
        for (key, value) in
            [("reward_offset", self.controller.reward_offset), ("reward_offset_final", self.controller.reward_offset_final)]
        {
            ensure!(value.is_finite(), "controller.{key} = {value}: must be finite");
        }
        ensure!(self.mdnrnn.log_sigma_min.is_finite(), "mdnrnn.log_sigma_min: must be finite");
        Ok(())
    }
}

/// Whether `over` sets `controller.reward_offset`.
fn names_offset(over: &toml::Table) -> bool {
    over.get("controller").and_then(|controller| controller.get("reward_offset")).is_some()
}

/// Writes `over` into `base`, key by key. A key that `base` lacks is unknown: every key has a default.
fn merge(base: &mut toml::Table, over: toml::Table, origin: &str, prefix: &str) -> Result<()> {
    for (key, value) in over {
        let path = format!("{prefix}{key}");
        match (base.get_mut(&key), value) {
            (None, _) => {
                bail!("{origin}: unknown key `{path}`; known here: {}", base.keys().cloned().collect::<Vec<_>>().join(", "))
            }
            (Some(toml::Value::Table(inner)), toml::Value::Table(over)) => merge(inner, over, origin, &format!("{path}."))?,
            (Some(slot), value) => {
                // TOML tells 1 from 1.0; a user need not.
                let value = match (&*slot, value) {
                    (toml::Value::Float(_), toml::Value::Integer(i)) => toml::Value::Float(i as f64),
                    (_, value) => value,
                };
                ensure!(
                    slot.same_type(&value),
                    "{origin}: {path} = {value}: expected a value of type {}, found {}",
                    slot.type_str(),
                    value.type_str()
                );
                *slot = value;
            }
        }
    }
    Ok(())
}

/// The first leaf below `path` that differs.
fn difference(path: &str, then: &toml::Value, now: &toml::Value) -> Option<(String, String, String)> {
    match (then, now) {
        (toml::Value::Table(then), toml::Value::Table(now)) => {
            then.iter().find_map(|(key, then)| difference(&format!("{path}.{key}"), then, now.get(key)?))
        }
        _ if then == now => None,
        _ => Some((path.to_string(), then.to_string(), now.to_string())),
    }
}

/// Error texts of the TOML crate span lines; ours are one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
