//! Compares two builds of the C library in one process; exits with 1 where the new one is slower. `scripts/regress.sh` builds both.
//!
//! `cargo run --release -p dreamstep-bench --bin regress -- --base OLD.so --new NEW.so`

use anyhow::Result;
use clap::Parser;
use dreamstep_bench::agents::Size;
use dreamstep_bench::regress::compare;
use dreamstep_bench::report::{Cell, Table, publish};
use dreamstep_bench::{Common, exit};
use std::path::PathBuf;
use std::process::ExitCode;

/// Times one build of the C library against another, in turn: act, step and dreams, every precision and back end.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    /// The build to compare with
    #[arg(long, value_name = "FILE")]
    base: PathBuf,
    /// The build to judge
    #[arg(long, value_name = "FILE")]
    new: PathBuf,
    /// Agent
    #[arg(long, value_enum, default_value_t = Size::Humanoid)]
    size: Size,
    /// Slower by more than this share of the base's time is too slow
    #[arg(long, default_value_t = 0.05)]
    limit: f64,
}

fn main() -> ExitCode {
    exit(run(Cli::parse()))
}

fn run(Cli { common, base, new, size, limit }: Cli) -> Result<ExitCode> {
    let rounds = common.effort(if size == Size::Large { 31 } else { 101 }, 3);
    let columns =
        ["back end", "precision", "task", "base µs p50", "new µs p50", "new / base", "base / base", "bits", "verdict"];
    let mut table = Table::new(&format!("Two builds of the C library, {}", size.name()), &columns);
    let mut slower = 0;
    for file in size.precisions() {
        for c in compare(&base, &new, &file, rounds)? {
            let verdict = if c.is_slower(limit) { "slower" } else { "" };
            slower += usize::from(c.is_slower(limit));
            let names: [Cell; 3] = [c.backend.name().into(), c.precision.name().into(), c.task.name().into()];
            let times = [c.base.p50(), c.new.p50()].map(|time| Cell::Number(time, 2));
            let ratios = [c.ratio(), c.noise()].map(|ratio| Cell::Number(ratio, 3));
            let words: [Cell; 2] = [if c.same_bits { "same" } else { "differ" }.into(), verdict.into()];
            table.row(names.into_iter().chain(times).chain(ratios).chain(words));
        }
    }
    table.note(format!(
        "Medians of {rounds} interleaved rounds; slower: by more than {:.0} % of the base's time and by more than twice what the base differs \
         from its own copy.",
        100.0 * limit
    ));
    publish(&common, "regress", &[table])?;
    Ok(if slower == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
