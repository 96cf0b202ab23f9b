//! Makes a record of what the programs wrote as JSON; `scripts/bench.sh` runs them and then this.
//!
//! `cargo run --release -p dreamstep-bench --bin record -- --date 2026-01-31 roofline.json tail.json`

use anyhow::{Context, Result};
use clap::Parser;
use dreamstep_bench::exit;
use dreamstep_bench::report::record;
use std::path::PathBuf;
use std::process::ExitCode;

/// Prints, as one Markdown record, what programs of this crate wrote as JSON on one machine and commit.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The day, for the title
    #[arg(long)]
    date: String,
    /// Results, in the order that the record has
    #[arg(required = true)]
    results: Vec<PathBuf>,
}

fn main() -> ExitCode {
    exit(run(Cli::parse()))
}

fn run(Cli { date, results }: Cli) -> Result<ExitCode> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok((path.display().to_string(), text))
    };
    print!("{}", record(&date, &results.iter().map(read).collect::<Result<Vec<_>>>()?)?);
    Ok(ExitCode::SUCCESS)
}
