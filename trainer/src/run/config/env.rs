//! `[env]`: which world, and how it is made. `env = "CartPole-v1"` is short for the table with that `id`.

use super::{Config, ImageConfig, RandomiseConfig, RecordedConfig, TaskConfig};
use anyhow::{Context, Result, ensure};
use dreamstep_core::digest::Digest;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::{Table, Value};

/// The world of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnvConfig {
    /// One of `crate::env::ids`; `gym:ID` or `gym:MODULE:ID`, what `gymnasium.make` takes; `recorded`: there is none; or, beside `mjcf`, a
    /// name of the user's own.
    pub id: String,
    /// Gymnasium's environments: the Python interpreter. Empty: the active virtual environment's, else `python3`.
    pub python: String,
    /// Gymnasium's environments: seconds that one reset or step may take.
    pub timeout_s: f64,
    /// What an environment's own fault comes to while candidates are scored.
    pub on_error: OnError,
    /// Steps after which an episode is truncated; 0: what the environment says.
    pub time_limit: u32,
    /// Seconds of one step; 0: what the environment says.
    pub period_s: f64,
    /// Empty, or `[low, high]`: stands in for the bounds of an action that has none.
    pub action_range: Vec<f64>,
    /// Gymnasium's environments: what `gymnasium.make` is given besides the id.
    pub kwargs: Table,
    /// Empty, or a MuJoCo model of the user's own: beside the configuration that names it, in the current folder, or one of Gymnasium's.
    pub mjcf: String,
    /// `mjcf`: what the task is. Not written where it is left as it is: a task that is built in has another.
    #[serde(skip_serializing_if = "TaskConfig::is_default")]
    pub task: TaskConfig,
    /// What is observed, where there is a choice.
    pub observation: Observation,
    /// Where an observation is a picture: what is made of it before V sees it.
    pub image: ImageConfig,
    /// MuJoCo models: what is a little other in every episode.
    pub randomise: RandomiseConfig,
    /// Steps by which an action is done late.
    pub action_delay: u32,
    /// Steps by which an observation is seen late.
    pub observation_delay: u32,
    /// Standard deviation of Gaussian noise on an observation, in its own units: one for all of its numbers, one for each of its parts, or
    /// one for each number. Empty: none.
    pub observation_noise: Vec<f64>,
    /// `env = "recorded"`: what the recorded data are of.
    pub recorded: RecordedConfig,
}

/// What is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Observation {
    /// What the environment itself says.
    Own,
    /// The state behind the picture, which a privileged driver sees: of CarRacing-v3.
    State,
}

/// What an environment's own fault (it died, it hung, it raised, its answer makes no sense) comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The run ends.
    Fail,
    /// The candidate that met it ranks last.
    Worst,
}

/// Keys that decide no result. Of a model it is not where its file lies that does, but what is in it: `crate::env::label`.
pub(super) const IMMATERIAL: [&str; 4] = ["python", "timeout_s", "on_error", "mjcf"];

/// Where keys are the user's own.
pub(super) const FREE: &str = "env.kwargs";

impl Default for EnvConfig {
    fn default() -> Self {
        Self {
            id: "Humanoid-v5".into(),
            python: String::new(),
            timeout_s: 60.0,
            on_error: OnError::Fail,
            time_limit: 0,
            period_s: 0.0,
            action_range: Vec::new(),
            kwargs: Table::new(),
            mjcf: String::new(),
            task: TaskConfig::default(),
            observation: Observation::Own,
            image: ImageConfig::default(),
            randomise: RandomiseConfig::default(),
            action_delay: 0,
            observation_delay: 0,
            observation_noise: Vec::new(),
            recorded: RecordedConfig::default(),
        }
    }
}

/// The environment of that id, as it is by itself.
impl From<&str> for EnvConfig {
    fn from(id: &str) -> Self {
        Self { id: id.into(), ..Self::default() }
    }
}

impl EnvConfig {
    /// What of it decides what happens: not which interpreter runs it, how long that may take, and what a fault comes to.
    #[must_use]
    pub fn essence(&self) -> Self {
        let Self { python, timeout_s, on_error, .. } = Self::default();
        Self { python, timeout_s, on_error, ..self.clone() }
    }

    /// Its id; where more than that decides what happens, with a digest of what is not as usual: a key that a later version adds changes no
    /// label. Equal labels, equal worlds.
    ///
    /// # Panics
    /// Never: the table serialises.
    #[must_use]
    pub fn label(&self) -> String {
        let table = |env: &Self| Table::try_from(env).expect("the environment's table serialises");
        let own = beyond(table(&self.essence()), &table(&Self::from(self.id.as_str())));
        if own.is_empty() {
            return self.id.clone();
        }
        format!("{} (settings {:016x})", self.id, Digest::default().update_bytes(own.to_string().as_bytes()).value())
    }

    /// What is between an agent and the environment, in words; none where nothing is.
    #[must_use]
    pub fn imperfections(&self) -> Option<String> {
        let late = |what: &str, steps: u32| {
            (steps > 0).then(|| format!("{what} {steps} step{} late", if steps == 1 { "" } else { "s" }))
        };
        let noise = &self.observation_noise;
        let noisy = noise.iter().any(|&deviation| deviation > 0.0);
        let noisy = noisy.then(|| match noise[..] {
            [one] => format!("observations with noise of standard deviation {one}"),
            _ => format!("observations with noise of standard deviations {noise:?}"),
        });
        let all = [late("actions", self.action_delay), late("observations", self.observation_delay), noisy];
        let all: Vec<String> = all.into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// What else than the environment itself its episodes are under, in words, for reports: [`Self::imperfections`] and `randomise`; none
    /// where nothing is.
    #[must_use]
    pub fn conditions(&self) -> Option<String> {
        let RandomiseConfig { mass, friction, damping, armature, gain } = &self.randomise;
        let factors = [("mass", mass), ("friction", friction), ("damping", damping), ("armature", armature), ("gain", gain)];
        let drawn: Vec<&str> = factors.iter().filter(|(_, range)| !range.is_empty()).map(|(name, _)| *name).collect();
        let randomised = (!drawn.is_empty()).then(|| format!("randomised {}", drawn.join(", ")));
        let all: Vec<String> = self.imperfections().into_iter().chain(randomised).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// The environment that a command line names: an id, or a TOML file with an `[env]` table.
    ///
    /// # Errors
    /// One line: the file cannot be read, or is no configuration.
    pub fn named(name: &str) -> Result<Self> {
        match name.ends_with(".toml") {
            true => Ok(Config::default().overlay_file(Path::new(name), &[])?.env),
            false => Ok(Self::from(name)),
        }
    }

    /// What relates keys to one another; their ranges are checked with all others.
    pub(super) fn validate(&self) -> Result<()> {
        let range = &self.action_range;
        ensure!(
            range.is_empty() || range.len() == 2 && range[0] < range[1] && range.iter().all(|bound| bound.is_finite()),
            "env.action_range = {range:?}: must be empty, or [low, high] with the first below the second"
        );
        self.image.validate()?;
        self.randomise.validate()?;
        self.recorded.validate()
    }
}

/// What of `table` differs from `usual`.
fn beyond(table: Table, usual: &Table) -> Table {
    let differs = |(key, value): (String, Value)| match (value, usual.get(&key)) {
        (Value::Table(value), Some(Value::Table(usual))) => {
            let own = beyond(value, usual);
            (!own.is_empty()).then_some((key, Value::Table(own)))
        }
        (value, usual) => (usual != Some(&value)).then_some((key, value)),
    };
    table.into_iter().filter_map(differs).collect()
}

/// A model file that `table`, which stands in `folder`, names and that lies there is named with its folder.
pub(super) fn beside(table: &mut Table, folder: &Path) {
    let Some(Value::String(file)) = table.get_mut("env").and_then(|env| env.get_mut("mjcf")) else { return };
    let path = folder.join(file.as_str());
    if !file.is_empty() && path.is_file() {
        *file = path.display().to_string();
    }
}

/// Every key of a configuration, those too that are not written where they are left as they are.
///
/// # Errors
/// Never: the defaults serialise.
pub(super) fn complete(mut table: Table) -> Result<Table> {
    if let Some(env) = table.get_mut("env").and_then(Value::as_table_mut).filter(|env| !env.contains_key("task")) {
        env.insert("task".into(), Value::try_from(TaskConfig::default()).context("env.task")?);
    }
    Ok(table)
}

/// Makes a table of `env = "ID"`.
pub(super) fn expand(table: &mut Table) {
    if let Some(value) = table.get_mut("env").filter(|value| value.is_str()) {
        let id = std::mem::replace(value, Value::Table(Table::new()));
        value.as_table_mut().map(|env| env.insert("id".into(), id));
    }
}
