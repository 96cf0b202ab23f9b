//! What does the slowest tick of a real control loop cost? A paced loop does what a robot does, wait, `act`, command out, `advance`,
//! under every pair of a condition (what else runs) and a set-up (what the kernel was asked for the control thread); every pair is a row.
//!
//! | file | answers |
//! |---|---|
//! | [`pace`] | when a tick is due, which are skipped, whose fault a missed deadline is |
//! | `control` | the loop, and what it measures of a tick (Linux) |
//! | `setup` | plain, pinned, real-time; in force or refused in words (Linux) |
//! | [`hogs`] | what else runs |
//! | [`distribution`] | quantiles, the share of slower ticks, a histogram |
//! | [`tables`], [`picture`] | what is printed and drawn |
//!
//! Quantiles and maxima are *observed*: what this run met, never a worst case.

#[cfg(target_os = "linux")]
pub mod control;
pub mod distribution;
pub mod hogs;
#[cfg(target_os = "linux")]
mod matrix;
pub mod pace;
pub mod picture;
#[cfg(target_os = "linux")]
pub mod setup;
pub mod tables;

use crate::Common;
use crate::agents::Size;
use anyhow::{Result, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use distribution::Quantiles;
use dreamstep_runtime::Precision;
use pace::Pace;
use std::iter::once;

/// What else the machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing that this program started.
    Idle,
    /// [`hogs::Hogs`].
    Hogs,
}

impl Condition {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Idle, Self::Hogs];

    /// Its name in tables and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Hogs => "hogs",
        }
    }
}

/// What the kernel is asked for the control thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Nothing: any core, the normal scheduler.
    Plain,
    /// One core, which others may use too.
    Pinned,
    /// One core, SCHED_FIFO, all memory locked, and processors kept out of slow idle states where the machine lets one.
    Realtime,
}

impl Setup {
    /// All three, each asking for more than the one before.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Pinned, Self::Realtime];

    /// Its name in tables and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Pinned => "pinned",
            Self::Realtime => "realtime",
        }
    }
}

/// How the loop waits for a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Wait {
    /// Sleep until the tick is due: what a loop does that shares its core
    Sleep,
    /// Read the clock until it is due: no wake-up, no idle state, and a whole core; under SCHED_FIFO the kernel may stop it for 5 % of
    /// the time
    Spin,
    /// Sleep until 100 µs before it is due, then read the clock
    Hybrid,
}

/// What `tail` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Ticks a second
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub rate_hz: u32,
    /// Time of each row [default: 60, with --quick 0.1]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub seconds: Option<f64>,
    /// What else runs: nothing, or CPU hogs
    #[arg(long, default_value = "all", value_parser = one_or_all(&Condition::ALL, Condition::name))]
    pub condition: &'static [Condition],
    /// The control thread: as it comes; on one core; on one core, SCHED_FIFO, memory locked
    #[arg(long, default_value = "all", value_parser = one_or_all(&Setup::ALL, Setup::name))]
    pub setup: &'static [Setup],
    /// Threads that compete for the cores in condition `hogs`; as many as cores meet every one
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub hogs: usize,
    /// Core to pin to [default: the last that this process may use]
    #[arg(long, value_name = "CORE")]
    pub core: Option<usize>,
    /// How the loop waits for the next tick
    #[arg(long, value_enum, default_value_t = Wait::Sleep)]
    pub wait: Wait,
    /// Agent
    #[arg(long, value_enum, default_value_t = Size::Humanoid)]
    pub size: Size,
    /// Number of a weight
    #[arg(long, default_value = "f32", value_parser = one_of(&Precision::ALL, Precision::name))]
    pub precision: Precision,
}

fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|&value| name(value)))
        .try_map(move |found| all.iter().copied().find(|&value| name(value) == found).ok_or("not one of them"))
}

fn one_or_all<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = &'static [T]> {
    let parser = PossibleValuesParser::new(once("all").chain(all.iter().map(|&value| name(value))));
    parser.map(move |found| match all.iter().position(|&value| name(value) == found) {
        Some(at) => &all[at..=at],
        None => all,
    })
}

/// [`Options`] that were found to make sense.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As given.
    pub options: Options,
    /// Of every row.
    pub pace: Pace,
}

impl Plan {
    /// The hogs that one may ask for.
    const MAX_HOGS: usize = 256;

    /// Checks `options`; `common` shortens the rows where they do not say how long they are.
    ///
    /// # Errors
    /// An option that makes no sense, in one line.
    pub fn new(common: &Common, options: Options) -> Result<Self> {
        let pace = Pace::new(options.rate_hz, options.seconds.unwrap_or(common.effort(60.0, 0.1)))?;
        let (max, found) = (Self::MAX_HOGS, options.hogs);
        ensure!((1..=max).contains(&found), "--hogs: expected 1 to {max} (none: --condition idle), found {found}");
        Ok(Self { options, pace })
    }

    /// Measures every row of the matrix, one after the other.
    ///
    /// # Errors
    /// A core that this process may not use, no more threads, or another system than Linux.
    #[cfg(target_os = "linux")]
    pub fn measure(&self) -> Result<Vec<Row>> {
        matrix::measure(self)
    }

    /// See above.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(target_os = "linux"))]
    pub fn measure(&self) -> Result<Vec<Row>> {
        anyhow::bail!("tail: expected Linux, whose clocks and scheduling it measures with; found {}", std::env::consts::OS)
    }
}

/// One pair of a condition and a set-up.
#[derive(Clone, Debug)]
pub struct Row {
    /// What else ran.
    pub condition: Condition,
    /// What was asked for.
    pub setup: Setup,
    /// What was measured, or why nothing was.
    pub outcome: Result<Measured, String>,
}

impl Row {
    /// What tables and legends call it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}, {}", self.condition.name(), self.setup.name())
    }
}

/// Times of one kind, of every tick that was run.
#[derive(Clone, Debug)]
pub struct Times {
    /// Observed quantiles.
    pub quantiles: Quantiles,
    /// See [`distribution::slower_than`].
    pub slower_than: Vec<(f64, f64)>,
}

/// What a row measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The set-up in force, in words.
    pub in_force: String,
    /// Ticks that were run; the others of the pace were skipped.
    pub run: usize,
    /// `act`.
    pub act: Times,
    /// `advance`.
    pub advance: Quantiles,
    /// From the time a tick was due to the end of `advance`.
    pub whole: Times,
    /// From the time a tick was due to the time the loop woke.
    pub late: Quantiles,
    /// CPU time of `act` and `advance`.
    pub own: Quantiles,
    /// Missed deadlines: more CPU time than the period has.
    pub missed_own: usize,
    /// Ticks whose yardstick took more CPU time than the period has.
    pub yardstick_over: usize,
    /// CPU time of the yardstick.
    pub yardstick: Quantiles,
    /// Missed deadlines: woken too late.
    pub missed_late: usize,
    /// Missed deadlines: the core was away between wake-up and end.
    pub missed_preempted: usize,
    /// How often the core was taken from the thread.
    pub involuntary_switches: usize,
    /// How often it touched memory that was not mapped.
    pub page_faults: usize,
    /// Time that the host took from all cores of this virtual machine; none where the kernel does not say.
    pub stolen_ms: Option<f64>,
    /// One reading of the clock of CPU time, in microseconds.
    pub cpu_clock_us: f64,
    /// `act` by time, for a terminal.
    pub histogram: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        options: Options,
    }

    fn plan(arguments: &[&str]) -> Result<Plan> {
        let Cli { common, options } = Cli::parse_from(once(&"tail").chain(arguments));
        Plan::new(&common, options)
    }

    #[test]
    fn the_default_is_the_whole_matrix_for_a_minute_each() {
        let defaults = plan(&[]).unwrap();
        assert_eq!(defaults.pace, Pace { period_ns: 1_000_000, ticks: 60_000 });
        assert_eq!((defaults.options.condition, defaults.options.setup), (&Condition::ALL[..], &Setup::ALL[..]));
        assert_eq!((defaults.options.hogs, defaults.options.wait), (2, Wait::Sleep));
        assert_eq!(plan(&["--quick"]).unwrap().pace.ticks, 100);
        assert_eq!(plan(&["--quick", "--seconds", "2"]).unwrap().pace.ticks, 2000, "what is said holds");
    }

    #[test]
    fn one_row_can_be_chosen() {
        let one =
            plan(&["--condition", "hogs", "--setup", "pinned", "--precision", "i8", "--wait", "hybrid"]).unwrap().options;
        assert_eq!((one.condition, one.setup), (&[Condition::Hogs][..], &[Setup::Pinned][..]));
        assert_eq!((one.precision, one.wait), (Precision::I8, Wait::Hybrid));
    }

    #[test]
    fn silly_options_are_refused_in_one_line() {
        for (arguments, expected) in [
            (["--rate-hz", "0"], "--rate-hz: expected 1 to 100000 (a period of at least 10 µs), found 0"),
            (["--rate-hz", "200000"], "--rate-hz: expected 1 to 100000 (a period of at least 10 µs), found 200000"),
            (["--seconds", "0"], "--seconds: expected more than 0, found 0"),
            (["--seconds", "-3"], "--seconds: expected more than 0, found -3"),
            (["--hogs", "0"], "--hogs: expected 1 to 256 (none: --condition idle), found 0"),
            (["--hogs", "257"], "--hogs: expected 1 to 256 (none: --condition idle), found 257"),
        ] {
            assert_eq!(plan(&arguments).unwrap_err().to_string(), expected);
        }
    }
}
