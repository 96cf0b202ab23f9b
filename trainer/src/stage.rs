//! What do the gradient-trained stages share? Their inputs, the split by episode, whitened rows, and how an epoch is reported.

use crate::checkpoint::{Checkpoint, meta};
use crate::config::Config;
use crate::nets;
use crate::rollouts::Episode;
use crate::run_dir::RunDir;
use crate::stats::Normalizer;
use anyhow::{Context, Result, ensure};
use dreamstep_core::names::metadata;
use dreamstep_core::rng::{Philox, Stream};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use tch::{Device, Tensor};

/// What a stage is given. Its result is a pure function of `config`, `episodes` and the action range: a stage that was killed
/// goes on from its last epoch and, on one machine with one thread count, writes the same bytes as one that was not.
pub struct StageInput<'a> {
    /// Every value in force.
    pub config: &'a Config,
    /// Recorded episodes, training and validation together.
    pub episodes: &'a [Episode],
    /// `[A]` middle of the environment's action range.
    pub action_mid: &'a [f32],
    /// `[A]` half of its width.
    pub action_half: &'a [f32],
    /// The run's folder.
    pub run: &'a RunDir,
    /// Where libtorch computes.
    pub device: Device,
    /// Start anew where a state could be gone on from.
    pub force: bool,
    /// The stages after this one are to be made anew, too: put down in the state, for the command that goes on from it.
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
    /// Wall time of the epoch, s.
    pub seconds: f64,
    /// Observations or steps trained on per second.
    pub items_per_s: f64,
}

/// Which episodes train and which are held out, by index, each ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Episodes to learn from.
    pub train: Vec<usize>,
    /// Episodes held out.
    pub validation: Vec<usize>,
}

impl Split {
    /// Holds out `fraction` of `episodes` episodes, at least one and never all. Whole episodes: neighbouring steps are nearly
    /// copies, so that a split by step would test on what was trained on.
    ///
    /// # Errors
    /// There are fewer than two episodes.
    pub fn new(seed: u64, episodes: usize, fraction: f64) -> Result<Self> {
        ensure!(episodes >= 2, "training: expected at least 2 episodes (one is held out), found {episodes}");
        let mut order: Vec<usize> = (0..episodes).collect();
        Philox::new(seed).shuffle(Stream::Split, 0, &mut order);
        let held_out = ((fraction * episodes as f64).round() as usize).clamp(1, episodes - 1);
        let mut train = order.split_off(held_out);
        let mut validation = order;
        train.sort_unstable();
        validation.sort_unstable();
        Ok(Self { train, validation })
    }
}

/// The whitened observations of `episodes`, one below the other, `[Σ(T+1), O]`.
pub fn whiten<'a>(
    episodes: impl Iterator<Item = &'a Episode>,
    normalizer: &Normalizer,
    clip: f32,
    device: Device,
) -> Tensor {
    let obs = normalizer.mean.len();
    let mut rows = Vec::new();
    let mut raw = vec![0.0; obs];
    for episode in episodes {
        for row in episode.observations.rows() {
            raw.iter_mut().zip(row).for_each(|(r, &x)| *r = x);
            let start = rows.len();
            rows.resize(start + obs, 0.0);
            normalizer.apply(&raw, clip, &mut rows[start..]);
        }
    }
    nets::matrix(&rows, obs, device)
}

/// Checks every episode, and that all have the same sizes and `actions` numbers in an action.
///
/// # Errors
/// One line naming the episode, what was expected and what was found.
pub fn check_episodes(episodes: &[Episode], actions: usize) -> Result<()> {
    let obs = episodes.first().context("training: expected episodes, found none")?.dims().0;
    for (i, episode) in episodes.iter().enumerate() {
        let name = || format!("episode {i} (seed {})", episode.seed);
        episode.validate().with_context(name)?;
        let (expected, found) = ((obs, actions), episode.dims());
        ensure!(expected == found, "{}: expected (observation, action) sizes {expected:?}, found {found:?}", name());
    }
    Ok(())
}

/// Appends `record` to the run's `metrics.jsonl`.
///
/// # Errors
/// One line naming the file.
pub fn append_metrics(run: &RunDir, record: &impl Serialize) -> Result<()> {
    append_line(run, &(serde_json::to_string(record)? + "\n"))
}

/// Appends `line`, with its end, to the run's `metrics.jsonl`.
///
/// # Errors
/// One line naming the file.
pub fn append_line(run: &RunDir, line: &str) -> Result<()> {
    let path = run.metrics();
    // One write, so that two lines never mix; a kill can still cut the last one short.
    let write = || std::fs::OpenOptions::new().create(true).append(true).open(&path)?.write_all(line.as_bytes());
    write().with_context(|| format!("{}: cannot append", path.display()))
}

/// A checkpoint that says where it comes from.
#[must_use]
pub fn provenance(stage: &str, input: &StageInput, split: &Split) -> Checkpoint {
    let steps = |episodes: &[usize]| episodes.iter().map(|&i| input.episodes[i].rewards.len()).sum::<usize>();
    let data = format!(
        "{} training episodes, {} steps; {} validation episodes, {} steps",
        split.train.len(),
        steps(&split.train),
        split.validation.len(),
        steps(&split.validation)
    );
    let mut checkpoint = Checkpoint::default();
    checkpoint.set_meta(metadata::FORMAT, metadata::FORMAT_CHECKPOINT);
    checkpoint.set_meta(meta::VERSION, env!("CARGO_PKG_VERSION"));
    checkpoint.set_meta(meta::STAGE, stage);
    checkpoint.set_meta(meta::SEED, input.config.seed);
    checkpoint.set_meta(metadata::ENV, &input.config.env);
    checkpoint.set_meta(meta::CONFIG, input.config.provenance());
    checkpoint.set_meta(meta::DATA, data);
    checkpoint
}

/// The learning rate at update `done` of `total`: `peak`, falling to 0 on half a cosine (Loshchilov & Hutter 2017).
#[must_use]
pub fn cosine(peak: f64, done: usize, total: usize) -> f64 {
    0.5 * peak * (1.0 + (std::f64::consts::PI * done as f64 / total as f64).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_is_a_partition_by_episode_that_the_seed_fixes() {
        let split = Split::new(3, 100, 0.1).unwrap();
        assert_eq!((split.train.len(), split.validation.len()), (90, 10));
        let mut all = [split.train.clone(), split.validation.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(split, Split::new(3, 100, 0.1).unwrap());
        assert_ne!(split, Split::new(4, 100, 0.1).unwrap());
        let smallest = Split::new(0, 2, 0.0).unwrap();
        assert_eq!((smallest.train.len(), smallest.validation.len()), (1, 1));
        assert!(Split::new(0, 1, 0.5).is_err());
    }
}
