//! Prints what the ticks of a paced control loop cost, the slowest of them above all: idle and beside CPU hogs, plain, pinned and with
//! real-time scheduling.
//!
//! `cargo run --release -p dreamstep-bench --bin tail`: six rows of a minute. SCHED_FIFO and locked memory need root (or CAP_SYS_NICE and
//! CAP_IPC_LOCK); rows that are not permitted say so.

use anyhow::Result;
use clap::Parser;
use dreamstep_bench::machine::Machine;
use dreamstep_bench::report::publish;
use dreamstep_bench::tail::{Options, Plan, picture, tables};
use dreamstep_bench::{Common, exit};
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures the observed tail of a paced control loop.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    options: Options,
    /// Also draw the share of slower ticks of every row
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit(run(Cli::parse()))
}

fn run(Cli { common, options, svg }: Cli) -> Result<ExitCode> {
    let plan = Plan::new(&common, options)?;
    // Before the hogs are part of its load.
    let machine = Machine::this();
    let rows = plan.measure()?;
    publish(&common, "tail", &tables::tables(&plan, &rows))?;
    println!("{}", tables::histograms(&rows));
    if let Some(path) = svg {
        picture::write_svg(&path, &plan, &machine, &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}
