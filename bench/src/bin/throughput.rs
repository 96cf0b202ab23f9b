//! Prints what the trainer's parts get done: steps of the simulator against Gymnasium's, optimiser steps against PyTorch's, a
//! generation of evolution and the optimiser's share of it, dreams by batch size and threads.
//!
//! `cargo run --release -p dreamstep-bench --features trainer --bin throughput -- all`

use clap::Parser;
use dreamstep_bench::exit;
use dreamstep_bench::report::publish;
use dreamstep_bench::throughput::{Options, Part, measure};
use std::process::ExitCode;

/// Times simulator, training, evolution and dreams, each against what one would use instead.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// What to measure
    #[arg(value_enum, default_value_t = Part::All)]
    part: Part,
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let Cli { part, options } = Cli::parse();
    let result = measure(part, &options).and_then(|tables| publish(&options.common, "throughput", &tables));
    exit(result.map(|()| ExitCode::SUCCESS))
}
