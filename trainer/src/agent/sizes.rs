//! What imported networks say of a robot's sizes, where `env = "recorded"` and its configuration does not.
//!
//! | size | said by |
//! |---|---|
//! | O, numbers observed | V: the columns of its first layer |
//! | A, numbers of an action | C: its rows; or M and V: M's inputs are an action and V's latent |

use crate::env::{self, EnvSpec};
use crate::run::checkpoint::{Array, Checkpoint};
use crate::run::config::{BlockConfig, EnvConfig, RangeConfig};
use crate::run::folder::RunDir;
use anyhow::{Result, bail};
use dreamstep_core::names::checkpoint as names;
use std::collections::BTreeMap;
use std::path::Path;

/// Seconds of a step that nobody has said yet: nothing here depends on them.
const ANY_S: f64 = 1.0;

/// Tensors under our names: those of the file at hand first, then what the run has.
pub(super) struct Known<'a> {
    file: &'a BTreeMap<String, Array>,
    run: Vec<Checkpoint>,
}

impl<'a> Known<'a> {
    /// # Errors
    /// One line: what the run has cannot be read.
    pub(super) fn new(file: &'a BTreeMap<String, Array>, run: &RunDir) -> Result<Self> {
        let there = [run.vae(), run.mdnrnn(), run.controller()].into_iter().filter(|path| path.exists());
        Ok(Self { file, run: there.map(|path| Checkpoint::read(&path)).collect::<Result<_>>()? })
    }

    /// Rows and columns.
    fn shape(&self, name: &str) -> Option<[usize; 2]> {
        let arrays = self.run.iter().filter_map(|file| file.tensors.get(name));
        self.file.get(name).into_iter().chain(arrays).find_map(|array| array.shape[..].try_into().ok())
    }

    /// `O`
    fn observed(&self) -> Option<usize> {
        self.shape(names::ENCODER_WEIGHT[0]).map(|[_, columns]| columns)
    }

    /// `Z`
    fn latent(&self) -> Option<usize> {
        let both = names::ENCODER_WEIGHT.iter().rev().find_map(|name| self.shape(name)).map(|[rows, _]| rows / 2);
        self.shape("encoder.fc_mu.weight").map(|[rows, _]| rows).or(both)
    }

    /// `A`, and what says so.
    fn acted(&self) -> Option<(usize, &'static str)> {
        if let Some([rows, _]) = self.shape(names::FC_WEIGHT) {
            return Some((rows, "C's rows"));
        }
        let [_, inputs] = self.shape(names::RNN_WEIGHT_IH)?;
        Some((inputs.checked_sub(self.latent()?).filter(|&len| len > 0)?, "M's inputs less V's latent"))
    }
}

/// The specification of `env`; where it is recorded data that nothing is said of, `known` says what it can, which is put into `env`.
///
/// # Errors
/// As [`env::spec`]'s, or one line: how many of M's inputs are an action is not to be found in the file at `origin`.
pub(super) fn spec(env: &mut EnvConfig, known: &Known<'_>, origin: &Path, notes: &mut Vec<String>) -> Result<EnvSpec> {
    if !env.is_recorded() {
        return env::spec(env);
    }
    if let (true, Some(size)) = (env.recorded.observation.is_empty() && env.recorded.image.is_empty(), known.observed()) {
        env.recorded.observation.push(BlockConfig::of(size));
        notes.push(format!("env.recorded.observation = [{{ size = {size} }}], by V's inputs"));
    }
    if env.recorded.action.is_empty() && env.recorded.choices == 0 {
        let Some((size, by)) = known.acted() else {
            let inputs = known.shape(names::RNN_WEIGHT_IH).map_or(0, |[_, inputs]| inputs);
            bail!(
                "{}: expected env.recorded.action, such as [{{ size = 3, low = -1.0, high = 1.0 }}], or env.recorded.choices: {inputs} inputs \
                 of M are an action and a latent, and neither a C nor a V says how many are which",
                origin.display()
            )
        };
        env.recorded.action.push(RangeConfig { size, low: -1.0, high: 1.0 });
        notes.push(format!(
            "env.recorded.action = [{{ size = {size}, low = -1.0, high = 1.0 }}], by {by}, in the networks' own units"
        ));
    }
    env::spec(&complete(env))
}

/// With something in the place of what is of no consequence for networks: it is asked for when the agent is packed.
pub(super) fn complete(env: &EnvConfig) -> EnvConfig {
    let mut env = env.clone();
    if env.is_recorded() {
        env.period_s = if env.period_s == 0.0 { ANY_S } else { env.period_s };
        if env.recorded.observation.is_empty() && env.recorded.image.is_empty() {
            env.recorded.observation.push(BlockConfig::of(1));
        }
    }
    env
}
