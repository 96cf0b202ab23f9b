//! The log of a run: what every epoch came to, also written as TensorBoard events; what a stage took (its cost); the clock.

use super::fault;
use super::folder::RunDir;
use super::tensorboard;
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use std::io::Write;
use std::time::Instant;

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

/// Appends `record`, with the time of day, to the run's `metrics.jsonl` and to its events ([`crate::run::tensorboard`]).
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
    let write = || -> std::io::Result<()> {
        fault::point("log")?;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
        let before = file.metadata()?.len();
        // One write, so that two lines never mix; a kill can still cut the last one short. A full disk cuts none: what fits is taken back.
        file.write_all(line.as_bytes()).inspect_err(|_| drop(file.set_len(before)))?;
        fault::point("log.done")
    };
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
