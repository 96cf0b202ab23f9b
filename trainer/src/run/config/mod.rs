//! The configuration of a run: one typed TOML file with defaults, presets and overrides.
//!
//! Precedence, lowest first: the preset, the run folder's `config.toml`, `--config FILE`, each `--set key=value`. What is in force
//! is written beside every result. An unknown key or a bad value is an error that names it; names of earlier versions are read.

mod aliases;
mod bounds;
mod controller;
mod dream;
mod env;
mod image;
mod networks;
mod presets;
mod recorded;
mod task;

pub use bounds::MAX_THREADS;
pub use controller::{
    ArsConfig, AssistConfig, CmaConfig, ControllerConfig, MAX_VECTORS, OpenAiEsConfig, PgpeConfig, Physics, ScoredOn,
    StrategyName, controller_of,
};
pub use dream::{DreamConfig, DreamEnds, DreamEngine, RoundsConfig};
pub use env::{EnvConfig, Observation, OnError};
pub use image::{ColourName, FilterName, ImageConfig};
pub use networks::{
    ConvolutionConfig, LatentSource, MdnrnnConfig, OptimizerRule, ScheduleConfig, ScheduleRule, VaeConfig, VaeStart,
};
pub use presets::Preset;
pub use recorded::{BlockConfig, RECORDED, RangeConfig, RecordedConfig};
pub use task::{
    CameraConfig, ExpectConfig, Map, Minus, Numbers, QuantityConfig, RandomiseConfig, Span, StartConfig, Take, TaskConfig,
};

use crate::agent::convolution::{parse_decoder, parse_encoder};
use crate::run::folder::RunDir;
use anyhow::{Context, Result, anyhow, bail, ensure};
use dreamstep_core::dims::MAX_DIM;
use dreamstep_core::v::MAX_HIDDEN;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The whole configuration of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The one seed that drives everything.
    pub seed: u64,
    /// The world.
    pub env: EnvConfig,
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
    /// The policy.
    pub policy: CollectPolicy,
    /// `noise`: its standard deviation, in halves of the action range; of choices it makes no difference.
    pub noise_scale: f64,
    /// `noise` and exploration: steps after which the noise has forgotten all but 1/e of itself; 0 is white noise.
    pub noise_correlation: f64,
    /// `agent`: standard deviation of the noise on its actions, in halves of the action range; of choices, the share of steps in which the
    /// noise chooses in its place. 0 records it as it is.
    pub exploration: f64,
}

/// The policy that episodes are recorded of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CollectPolicy {
    /// Uniform over the action range, or the choices, every step anew.
    Random,
    /// The zero action (`CartPole-v1` reads it as a push to the right); of choices, the first.
    Zero,
    /// Gaussian noise around the middle of the range, correlated in time; of choices, each is scored by such noise, and the greatest wins.
    Noise,
    /// A packed agent.
    Agent,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            env: EnvConfig::default(),
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

impl Config {
    /// Reads `text` over `self` (only the keys it names change), then applies each `key=value` of `overrides`.
    ///
    /// # Errors
    /// One line that names the unknown key or the bad value, and `origin` or the override.
    pub fn overlay(&self, origin: &str, text: &str, overrides: &[String]) -> Result<Self> {
        self.overlay_table(origin, parse(text).with_context(|| origin.to_string())?, overrides)
    }

    fn overlay_table(&self, origin: &str, first: toml::Table, overrides: &[String]) -> Result<Self> {
        let mut over = vec![(origin.to_string(), first)];
        for item in overrides {
            let origin = format!("--set {item}");
            over.push((origin.clone(), assignment(item).context(origin)?));
        }
        let mut table = self.table()?;
        let mut sets_offset = false;
        for (origin, mut over) in over {
            env::expand(&mut over);
            aliases::translate(&mut over).with_context(|| origin.clone())?;
            sets_offset |= over.get("controller").is_some_and(|controller| controller.get("reward_offset").is_some());
            merge(&mut table, over, "").with_context(|| origin.clone())?;
            bounds::check(&table).with_context(|| origin.clone())?;
            // Here, so that the error is this one's.
            Self::deserialize(table.clone()).map_err(|error| anyhow!("{origin}: {}", one_line(&error.to_string())))?;
        }
        let mut config = Self::deserialize(table).map_err(|error| anyhow!("{origin}: {}", one_line(&error.to_string())))?;
        if config.env.id != self.env.id && !sets_offset {
            let default = Self::default();
            config.controller.reward_offset =
                if config.env.id == default.env.id { default.controller.reward_offset } else { 0.0 };
        }
        config.validate()?;
        Ok(config)
    }

    /// What `run` has on record, or the defaults.
    ///
    /// # Errors
    /// As [`Self::overlay_file`].
    pub fn of(run: &RunDir) -> Result<Self> {
        if run.config().exists() { Self::default().overlay_file(&run.config(), &[]) } else { Ok(Self::default()) }
    }

    /// Reads a file over `self`.
    ///
    /// # Errors
    /// The file cannot be read, or [`Self::overlay`] rejects it.
    pub fn overlay_file(&self, path: &Path, overrides: &[String]) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{}: cannot read the configuration", path.display()))?;
        let origin = path.display().to_string();
        let mut table = parse(&text).with_context(|| origin.clone())?;
        env::beside(&mut table, path.parent().unwrap_or(Path::new("")));
        self.overlay_table(&origin, table, overrides)
    }

    /// Every key, with its value.
    fn table(&self) -> Result<toml::Table> {
        env::complete(toml::Table::try_from(self).context("configuration")?)
    }

    /// The TOML text of every value in force.
    ///
    /// # Panics
    /// Never: every field serialises.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("the configuration serialises")
    }

    /// The TOML text of every value that decides a result, for provenance: the number of worker threads decides none, nor does where an
    /// environment's interpreter lies ([`EnvConfig::essence`]).
    #[must_use]
    pub fn provenance(&self) -> String {
        Self { threads: 0, env: self.env.essence(), ..self.clone() }.to_toml()
    }

    /// The first key, in alphabetical order, whose value in the TOML text `recorded` is not the one in force here: key, then, now. The
    /// sections of `ignored` and what decides no result ([`Self::provenance`]) do not count; neither does a key that `recorded` lacks.
    ///
    /// # Errors
    /// `recorded` is not TOML.
    pub fn first_difference(&self, recorded: &str, ignored: &[&str]) -> Result<Option<(String, String, String)>> {
        let now = self.table()?;
        let mut then = parse(recorded).context("recorded configuration")?;
        env::expand(&mut then);
        aliases::translate(&mut then).context("recorded configuration")?;
        then = env::complete(then)?;
        if let Some(env) = then.get_mut("env").and_then(toml::Value::as_table_mut) {
            env.retain(|key, _| !env::IMMATERIAL.contains(&key));
        }
        let skip = |key: &str| key == "threads" || ignored.contains(&key);
        Ok(then.iter().filter(|(key, _)| !skip(key)).find_map(|(key, then)| difference(key, then, now.get(key)?)))
    }

    /// Threads to use: `threads`, or every core where it is 0.
    #[must_use]
    pub fn worker_threads(&self) -> usize {
        worker_threads(self.threads)
    }

    /// Checks every range (`bounds`), and what relates keys to one another.
    ///
    /// # Errors
    /// One line naming the key, the rule and the value found.
    pub fn validate(&self) -> Result<()> {
        bounds::check(&self.table()?)?;
        let Self { env, vae, mdnrnn, controller, dream, rounds, .. } = self;
        env.validate()?;
        ensure!(
            mdnrnn.own_steps < mdnrnn.sequence_length,
            "mdnrnn.own_steps = {}: must be below mdnrnn.sequence_length = {}",
            mdnrnn.own_steps,
            mdnrnn.sequence_length
        );
        ensure!(
            (1..=MAX_HIDDEN).contains(&vae.hidden.len()),
            "vae.hidden = {:?}: must be one to {MAX_HIDDEN} widths from 1 to {MAX_DIM}",
            vae.hidden
        );
        parse_encoder(&vae.convolution.encoder).context("vae.convolution.encoder")?;
        if !vae.convolution.decoder.is_empty() {
            parse_decoder(&vae.convolution.decoder, 1).context("vae.convolution.decoder")?;
        }
        let [low, high] = vae.log_var_range;
        ensure!(low < high, "vae.log_var_range = [{low}, {high}]: the first must be below the second");
        controller.validate()?;
        let in_dreams = controller.scored_on == ScoredOn::Dreams;
        ensure!(
            !in_dreams || !controller.input.has_observation(),
            "controller.input = {:?}: must be z+h, z or h where controller.scored_on is dreams, which have no observations",
            controller.input.name()
        );
        let (key, fewest, most) = match controller.scored_on {
            ScoredOn::Episodes => ("controller.max_episodes", controller.episodes, controller.max_episodes),
            ScoredOn::Dreams => ("dream.max_dreams", dream.dreams, dream.max_dreams),
        };
        ensure!(
            !controller.noise_handling || most >= fewest,
            "{key} = {most}: must be at least {fewest}, which noise handling begins with"
        );
        if !rounds.then.is_empty() {
            // Now, and not hours later, when the second round begins.
            let first = Self { rounds: RoundsConfig { then: Vec::new(), ..*rounds }, ..self.clone() };
            first.overlay("rounds.then", "", &rounds.then).context("rounds.then")?;
        }
        Ok(())
    }
}

/// `threads`, or every core where it is 0.
#[must_use]
pub fn worker_threads(threads: usize) -> usize {
    if threads > 0 { threads } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

/// `text` as a table.
fn parse(text: &str) -> Result<toml::Table> {
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        anyhow!("line {line}: {}: {}", text.lines().nth(line - 1).unwrap_or_default().trim(), one_line(error.message()))
    })
}

/// `key=value` as a table.
fn assignment(item: &str) -> Result<toml::Table> {
    let (key, value) = item.split_once('=').context("expected key=value, e.g. vae.epochs=5")?;
    let (key, value) = (key.trim(), value.trim());
    // A bare word is a string: `--set controller.squash=tanh`.
    let parsed = format!("{key} = {value}").parse().or_else(|_| format!("{key} = {value:?}").parse());
    parsed.map_err(|error: toml::de::Error| anyhow!("{}", one_line(error.message())))
}

/// Writes `over` into `base`, key by key. A key that `base` lacks is unknown: every key has a default.
fn merge(base: &mut toml::Table, over: toml::Table, prefix: &str) -> Result<()> {
    for (key, value) in over {
        let path = format!("{prefix}{key}");
        match (base.get_mut(&key), value) {
            (None, value)
                if prefix
                    .strip_suffix('.')
                    .is_some_and(|at| at == env::FREE || at.starts_with(&format!("{}.", env::FREE))) =>
            {
                base.insert(key, value);
            }
            (None, _) => {
                bail!("unknown key `{path}`; known here: {}", base.keys().cloned().collect::<Vec<_>>().join(", "))
            }
            (Some(toml::Value::Table(inner)), toml::Value::Table(over)) => merge(inner, over, &format!("{path}."))?,
            (Some(slot), value) => {
                // TOML tells 1 from 1.0; a user need not.
                let value = match (&*slot, value) {
                    (toml::Value::Float(_), toml::Value::Integer(i)) => toml::Value::Float(i as f64),
                    (_, value) => value,
                };
                let (expected, found) = (slot.type_str(), value.type_str());
                ensure!(
                    expected == found,
                    "{path} = {}: expected a value of type {expected}, found {found}",
                    bounds::short(&value)
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
        // Where keys are the user's own, one more or less counts.
        (toml::Value::Table(then), toml::Value::Table(now)) if path != env::FREE => {
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
