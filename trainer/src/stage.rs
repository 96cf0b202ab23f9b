//! What do the gradient-trained stages share? Their inputs, the split by episode, whitened rows, and how an epoch is reported.

use crate::checkpoint::{Checkpoint, meta};
use crate::config::Config;
use crate::dataset::Dataset;
use crate::nets;
use crate::run_dir::RunDir;
use crate::stats::Normalizer;
use crate::tensorboard;
use anyhow::{Context, Result, ensure};
use dreamstep_core::names::metadata;
use dreamstep_core::rng::{Philox, Stream};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;
use tch::{Device, Tensor};

/// What a stage is given. Its result is a pure function of `config`, `data` and the action range: a stage that was killed
/// goes on from its last epoch and, on one machine with one thread count, writes the same bytes as one that was not.
pub struct StageInput<'a> {
    /// Every value in force.
    pub config: &'a Config,
    /// Recorded episodes, training and validation together.
    pub data: &'a Dataset,
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

/// Which episodes train and which are held out, by index, each ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Episodes to learn from.
    pub train: Vec<usize>,
    /// Episodes held out.
    pub validation: Vec<usize>,
}

impl Split {
    /// Holds out about `fraction` of `episodes` episodes, at least one and never all. Whole episodes: neighbouring steps are nearly
    /// copies, so that a split by step would test on what was trained on. Each episode has a draw of its own, so that one that is held out
    /// stays so when more are recorded.
    ///
    /// # Errors
    /// There are fewer than two episodes.
    pub fn new(seed: u64, episodes: usize, fraction: f64) -> Result<Self> {
        ensure!(episodes >= 2, "training: expected at least 2 episodes (one is held out), found {episodes}");
        let draw = |episode: usize| Philox::new(seed).uniform(Stream::Split, episode as u64, 0);
        let (mut train, mut validation): (Vec<_>, Vec<_>) = (0..episodes).partition(|&id| f64::from(draw(id)) >= fraction);
        let by_draw = |a: &usize, b: &usize| draw(*a).total_cmp(&draw(*b));
        if validation.is_empty() {
            validation.extend(train.iter().copied().min_by(by_draw));
            train.retain(|id| !validation.contains(id));
        } else if train.is_empty() {
            train.extend(validation.iter().copied().max_by(by_draw));
            validation.retain(|id| !train.contains(id));
        }
        Ok(Self { train, validation })
    }
}

impl StageInput<'_> {
    /// That the episodes' actions are what the environment takes.
    ///
    /// # Errors
    /// One line: what was expected and what was found.
    pub fn check_sizes(&self) -> Result<()> {
        let (expected, found) = (self.action_mid.len(), self.data.dims().1);
        ensure!(expected == found, "recorded episodes: expected actions of size {expected}, found {found}");
        Ok(())
    }
}

/// The whitened observations of the episodes `ids`, one below the other, `[Σ(T+1), O]`.
///
/// # Errors
/// [`Dataset::read`]'s.
///
/// # Panics
/// Never: an array in the standard layout is a slice.
pub fn whiten(data: &Dataset, ids: &[usize], normalizer: &Normalizer, clip: f32, device: Device) -> Result<Tensor> {
    let obs = normalizer.mean.len();
    let mut rows = vec![0.0; data.rows(ids) * obs];
    let mut out = rows.chunks_exact_mut(obs);
    for &id in ids {
        let episode = data.read(id)?;
        let observations = episode.observations.as_standard_layout();
        let values = observations.as_slice().expect("the standard layout is a slice");
        for (row, out) in values.chunks_exact(obs).zip(&mut out) {
            normalizer.apply(row, clip, out);
        }
    }
    Ok(nets::matrix(&rows, obs, device))
}

/// Measures what an epoch takes.
pub struct Clock {
    wall: Instant,
    cpu: f64,
}

impl Clock {
    /// From now on.
    ///
    /// # Panics
    /// Never: every Unix has the clock. So for the others.
    #[must_use]
    pub fn start() -> Self {
        Self { wall: Instant::now(), cpu: process_seconds() }
    }

    /// Wall time so far, s.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.wall.elapsed().as_secs_f64()
    }

    /// Processor time so far, s: all threads of the process together.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        process_seconds() - self.cpu
    }
}

fn process_seconds() -> f64 {
    let now = nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID.now().expect("a clock that every Unix has");
    std::time::Duration::from(now).as_secs_f64()
}

/// Appends `record`, with the time of day, to the run's `metrics.jsonl` and to its events ([`crate::tensorboard`]).
///
/// # Errors
/// One line naming the file.
pub fn append_metrics(run: &RunDir, record: &impl Serialize) -> Result<()> {
    append_line(run, &metrics_line(record)?)
}

/// `record` as a line of `metrics.jsonl`, with its end.
///
/// # Errors
/// It does not serialise.
pub fn metrics_line(record: &impl Serialize) -> Result<String> {
    #[derive(Serialize)]
    struct Timed<'a, R> {
        #[serde(flatten)]
        record: &'a R,
        /// When, in seconds since 1970.
        unix_time: f64,
    }
    // To the millisecond.
    let unix_time = (tensorboard::now() * 1e3).round() / 1e3;
    Ok(serde_json::to_string(&Timed { record, unix_time })? + "\n")
}

/// Appends `line`, with its end, to the run's `metrics.jsonl`, and its numbers to its events.
///
/// # Errors
/// One line naming the file.
pub fn append_line(run: &RunDir, line: &str) -> Result<()> {
    let path = run.metrics();
    // One write, so that two lines never mix; a kill can still cut the last one short.
    let write = || std::fs::OpenOptions::new().create(true).append(true).open(&path)?.write_all(line.as_bytes());
    write().with_context(|| format!("{}: cannot append", path.display()))?;
    tensorboard::append(run, line)
}

/// What a stage took: a line of `metrics.jsonl` when it ends. The lines of a stage add up to all that it took in the run. Of V, M and C
/// they hold what the log holds, over all processes; of other stages, what processes took that were not killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Steps (of V: observations) that were worked on; one that was worked on twice counts twice.
    pub steps: u64,
    /// Wall time, s.
    pub seconds: f64,
    /// Processor time of all threads, s.
    pub cpu_seconds: f64,
}

impl Cost {
    /// Of `lines` of the log, each of which says what it took.
    #[must_use]
    pub fn of<'a>(lines: impl Iterator<Item = &'a Value>) -> Self {
        lines.fold(Self::default(), |sum, line| {
            let number = |key: &str| line[key].as_f64().unwrap_or(0.0);
            Self {
                steps: sum.steps + number("items") as u64,
                seconds: sum.seconds + number("seconds"),
                cpu_seconds: sum.cpu_seconds + number("cpu_seconds"),
            }
        })
    }

    /// Logs it as `stage`'s.
    ///
    /// # Errors
    /// One line naming the file.
    pub fn append(&self, run: &RunDir, stage: &str) -> Result<()> {
        append_metrics(run, &serde_json::json!({ "stage": stage, "cost": self }))
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
    checkpoint.set_meta(metadata::ENV, &input.config.env);
    checkpoint.set_meta(meta::CONFIG, input.config.provenance());
    checkpoint.set_meta(meta::DATA, data_line(train, validation));
    checkpoint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_is_a_partition_by_episode_that_the_seed_fixes() {
        let split = Split::new(3, 100, 0.1).unwrap();
        assert!((4..=18).contains(&split.validation.len()), "{}", split.validation.len());
        let mut all = [split.train.clone(), split.validation.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(split, Split::new(3, 100, 0.1).unwrap());
        assert_ne!(split, Split::new(4, 100, 0.1).unwrap());
        let smallest = Split::new(0, 2, 0.0).unwrap();
        assert_eq!((smallest.train.len(), smallest.validation.len()), (1, 1));
        assert!(Split::new(0, 1, 0.5).is_err());
    }

    #[test]
    fn what_is_held_out_stays_so_when_more_is_recorded() {
        let (before, after) = (Split::new(3, 100, 0.1).unwrap(), Split::new(3, 300, 0.1).unwrap());
        let old: Vec<usize> = after.validation.iter().copied().filter(|&id| id < 100).collect();
        assert_eq!(old, before.validation);
        assert!(after.validation.len() > old.len());
    }
}
