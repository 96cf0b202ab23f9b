//! What does a control tick cost: against the memory limit, against what one would pick instead, and in the worst of a million ticks?
//!
//! | program | asks | needs |
//! |---|---|---|
//! | `roofline` | step time over the time of loading the step's weights, every precision and back end; dreams in batches; an encoder of pictures over the core's arithmetic | – |
//! | `tail` | latencies of a paced loop, idle and beside other work | – |
//! | `peers` | the same step, and the look at a picture, in libtorch, ONNX Runtime, tract, candle and plain Rust | feature `peers` |
//! | `throughput` | simulator, training, evolution, dreams, bridge | feature `trainer` |
//! | `regress` | one commit's library against another's, in one process | two builds of the C library |
//!
//! Every figure that is kept is a ratio of times taken in turn, round by round, in one run, so that whatever else the machine does meets
//! all of them ([`timing`]). Every program prints its tables as Markdown and, with `--json FILE`, the same as JSON ([`report`]);
//! `--quick` does everything once, for the tests. `make bench` runs them and has `record` write a dated record into
//! `bench/record`; single layers have criterion benches (`benches/runtime.rs`).

pub mod agents;
pub mod arithmetic;
pub mod library;
pub mod machine;
#[cfg(feature = "peers")]
pub mod peers;
pub mod regress;
pub mod report;
pub mod roofline;
pub mod tail;
#[cfg(feature = "trainer")]
pub mod throughput;
pub mod timing;

use std::process::ExitCode;

/// How a program ends: a failure is one line on standard error, its causes in it. (The first line only: libtorch appends its call
/// stack.)
#[must_use]
pub fn exit(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", format!("{error:#}").lines().next().unwrap_or_default());
        ExitCode::FAILURE
    })
}

/// What every program takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Common {
    /// Do everything, but hardly measure: shows that it works
    #[arg(long)]
    pub quick: bool,
    /// Also write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<std::path::PathBuf>,
}

impl Common {
    /// `full`, or `quick` where that was asked for.
    #[must_use]
    pub fn effort<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}
