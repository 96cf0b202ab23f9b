//! How much work do the trainer's parts get done: the simulator, an optimiser's step, a generation, a dream, a bridged step, a step of
//! a race?
//!
//! Everything is taken in turn with what it is compared with, round by round (`take_turns`). Where both sides compute in one thread
//! the clock is that of the processor, not of the wall: time that others took on the machine is in neither. Python does its rounds in a
//! child process ([`python`]), which reads its own clock, so that neither its start nor the pipe counts.

pub mod bridge;
pub mod dreams;
pub mod evolution;
pub mod python;
pub mod racing;
pub mod simulator;
pub mod training;

use crate::timing::Samples;
use crate::{Common, report::Table};
use anyhow::{Context, Result};
use dreamstep::world::device;
use nix::time::ClockId;
use std::path::PathBuf;

/// What is measured, and with what.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What every program takes.
    #[command(flatten)]
    pub common: Common,
    /// A Python that has torch and numpy, for the training steps
    #[arg(long, value_name = "PATH")]
    pub python: Option<PathBuf>,
    /// Where libtorch computes
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    pub device: Device,
}

/// Where libtorch computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Device {
    /// One thread of the processor.
    Cpu,
    /// The first GPU.
    Cuda,
}

impl Device {
    /// As PyTorch spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }

    /// Makes libtorch ready for it, on one thread. To be called before anything else of libtorch.
    ///
    /// # Errors
    /// There is no such device, or this libtorch cannot use it.
    pub fn open(self) -> Result<tch::Device> {
        if self == Self::Cuda {
            device::prepare(device::Device::Cuda(0))?;
        }
        tch::set_num_threads(1);
        Ok(match self {
            Self::Cpu => tch::Device::Cpu,
            Self::Cuda => tch::Device::Cuda(0),
        })
    }

    /// Seconds on the clock that is fair to it: the processor's, or the wall's where a GPU works.
    fn now_s(self) -> f64 {
        match self {
            Self::Cpu => seconds(ClockId::CLOCK_PROCESS_CPUTIME_ID),
            Self::Cuda => seconds(ClockId::CLOCK_MONOTONIC),
        }
    }
}

/// Seconds that this thread has computed.
fn thread_s() -> f64 {
    seconds(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn seconds(clock: ClockId) -> f64 {
    std::time::Duration::from(clock.now().expect("a clock that Linux has")).as_secs_f64()
}

/// Someone who does a round of work and says how many microseconds one piece of it took.
type Turn<'a> = Box<dyn FnMut() -> Result<f64> + 'a>;

/// Every contender in each of `rounds` rounds, after one that only warms up. Results stand in the order of `contenders`.
fn take_turns(contenders: &mut [Turn<'_>], rounds: usize) -> Result<Vec<Samples>> {
    let mut samples = vec![Samples::default(); contenders.len()];
    for round in 0..=rounds {
        for (turn, samples) in contenders.iter_mut().zip(&mut samples) {
            let one = turn()?;
            if round > 0 {
                samples.0.push(one);
            }
        }
    }
    Ok(samples)
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Humanoid-v5's steps against Gymnasium's, and with the agent in the loop
    Simulator,
    /// One optimiser step of V and of M against PyTorch in Python
    Training,
    /// A generation of PGPE: the optimiser's share, threads, and pycma
    Evolution,
    /// Dreams by batch and threads, against libtorch
    Dreams,
    /// A step of one of Gymnasium's environments beside its time in Python, and two workers
    Bridge,
    /// CarRacing-v3's steps against Gymnasium's, with its picture and without
    Racing,
    /// All of them
    All,
}

/// Measures `part`.
///
/// # Errors
/// Something needed is missing, or two sides that should do the same did not.
pub fn measure(part: Part, options: &Options) -> Result<Vec<Table>> {
    let device = options.device.open()?;
    let mut tables = Vec::new();
    let wanted = |one| part == one || part == Part::All;
    if wanted(Part::Simulator) {
        tables.extend(simulator::tables(options).context("simulator")?);
    }
    if wanted(Part::Training) {
        tables.extend(training::tables(options, device).context("training")?);
    }
    if wanted(Part::Evolution) {
        tables.extend(evolution::tables(options).context("evolution")?);
    }
    if wanted(Part::Dreams) {
        tables.extend(dreams::tables(options, device).context("dreams")?);
    }
    if wanted(Part::Bridge) {
        tables.extend(bridge::tables(options).context("bridge")?);
    }
    if wanted(Part::Racing) {
        tables.extend(racing::tables(options).context("racing")?);
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::ensure;

    #[test]
    fn the_first_round_does_not_count_and_a_failure_ends_all() {
        let mut left = 3.0;
        let first: Turn<'_> = Box::new(|| {
            left -= 1.0;
            ensure!(left >= 0.0, "spent");
            Ok(left)
        });
        let mut turns = [first, Box::new(|| Ok(7.0))];
        assert_eq!(take_turns(&mut turns, 2).unwrap(), [Samples(vec![1.0, 0.0]), Samples(vec![7.0, 7.0])]);
        assert_eq!(take_turns(&mut turns, 2).unwrap_err().to_string(), "spent");
    }

    #[test]
    fn sleep_is_not_on_the_processor_s_clock() {
        let (thread, wall) = (thread_s(), Device::Cuda.now_s());
        std::thread::sleep(std::time::Duration::from_millis(50));
        let (thread, wall) = (thread_s() - thread, Device::Cuda.now_s() - wall);
        assert!(wall >= 0.05 && thread < wall, "{thread} of {wall}");
    }
}
