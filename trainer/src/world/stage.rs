//! What the trainings of V and M share: their inputs, the record of an epoch, and the provenance of a result.

use crate::data::dataset::Dataset;
use crate::data::split::Split;
use crate::env::ActionSpace;
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::config::Config;
use crate::run::folder::RunDir;
use crate::world::device::Device;
use anyhow::{Result, ensure};
use dreamstep_core::names::metadata;
use serde::Serialize;
use std::collections::BTreeMap;

/// What a stage is given. Its result is a pure function of `config`, `data` and the action space: a stage that was killed
/// resumes after its last epoch and, on one machine with one thread count, writes the same bytes as one that was not.
pub struct StageInput<'a> {
    /// Every value in force.
    pub config: &'a Config,
    /// Recorded episodes, training and validation together.
    pub data: &'a Dataset,
    /// What may be done.
    pub actions: &'a ActionSpace,
    /// The run's folder.
    pub run: &'a RunDir,
    /// Where libtorch computes.
    pub device: Device,
    /// Start anew where a state could be resumed from.
    pub force: bool,
    /// The stages after this one are to be made anew, too: put down in the state, for the command that resumes from it.
    pub forces_later: bool,
    /// Called after each epoch.
    pub progress: &'a dyn Fn(&EpochRecord),
}

/// One epoch of one stage: a line of `metrics.jsonl`, and what a progress bar shows.
#[derive(Clone, Debug, Serialize)]
pub struct EpochRecord {
    /// `vae` or `mdnrnn`.
    pub stage: &'static str,
    /// From 1.
    pub epoch: usize,
    /// How many there will be.
    pub epochs: usize,
    /// Training `loss` and its parts, by name.
    pub train: BTreeMap<&'static str, f64>,
    /// The same for the held-out episodes.
    pub validation: BTreeMap<&'static str, f64>,
    /// Whether this is the best validation loss so far, whose weights are kept.
    pub best: bool,
    /// The optimiser's step size at the end of the epoch.
    pub learning_rate: f64,
    /// Wall time of the epoch, s.
    pub seconds: f64,
    /// Processor time of the epoch, s: all threads of the process together.
    pub cpu_seconds: f64,
    /// Observations (V) or steps (M) trained on.
    pub items: usize,
    /// So many per second.
    pub items_per_s: f64,
}

impl StageInput<'_> {
    /// That the episodes' actions are what the environment takes.
    ///
    /// # Errors
    /// One line: what was expected and what was found.
    pub fn check_sizes(&self) -> Result<()> {
        let (expected, found) = (self.actions.len(), self.data.dims().1);
        ensure!(expected == found, "recorded episodes: expected actions of size {expected}, found {found}");
        Ok(())
    }
}

/// What a result says of the data that it was made from: episodes and steps, trained on and held out.
#[must_use]
pub fn data_line(train: (usize, usize), validation: (usize, usize)) -> String {
    format!("{} training episodes, {} steps; {} validation episodes, {} steps", train.0, train.1, validation.0, validation.1)
}

/// A checkpoint that says where it comes from.
#[must_use]
pub fn provenance(stage: &str, input: &StageInput, split: &Split) -> Checkpoint {
    let [train, validation] = [&split.train, &split.validation].map(|ids| (ids.len(), input.data.steps(ids)));
    let mut checkpoint = Checkpoint::default();
    checkpoint.set_meta(metadata::FORMAT, metadata::FORMAT_CHECKPOINT);
    checkpoint.set_meta(meta::VERSION, env!("CARGO_PKG_VERSION"));
    checkpoint.set_meta(meta::STAGE, stage);
    checkpoint.set_meta(meta::SEED, input.config.seed);
    checkpoint.set_meta(metadata::ENV, &input.config.env.id);
    checkpoint.set_meta(meta::CONFIG, input.config.provenance());
    checkpoint.set_meta(meta::DATA, data_line(train, validation));
    checkpoint
}
