//! Prints, for every precision and back end of this processor, what a whole step costs beside loading the same weights, and what a
//! tick of a dream costs in a batch.
//!
//! `cargo run --release -p dreamstep-bench --bin roofline`

use anyhow::Result;
use clap::Parser;
use dreamstep_bench::agents::{self, Size, Walker};
use dreamstep_bench::report::{Cell, Table, publish};
use dreamstep_bench::roofline::{dream_times, roofline};
use dreamstep_bench::timing::Samples;
use dreamstep_bench::{Common, exit};
use dreamstep_runtime::{Backend, MemoryCell as Memory};
use std::process::ExitCode;

/// Times a step against a plain load of its weights, and dreams by batch size.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    /// Agent
    #[arg(long, value_enum, default_value_t = Size::Humanoid)]
    size: Size,
    /// What it remembers with: lstm, or gru (random weights)
    #[arg(long, value_parser = agents::cell, default_value = "lstm")]
    cell: Memory,
}

fn main() -> ExitCode {
    exit(run(Cli::parse()))
}

/// Rounds and steps in a round: about as many weights are read whatever the size.
const fn effort(size: Size) -> (usize, usize) {
    match size {
        Size::Small => (301, 100),
        Size::Humanoid => (301, 50),
        Size::Large => (101, 10),
    }
}

fn run(Cli { common, size, cell }: Cli) -> Result<ExitCode> {
    let (rounds, steps) = common.effort(effort(size), (3, 2));
    let files = size.precisions_with(cell);
    let memory = cell.name().to_uppercase();
    let name = if cell == Memory::Lstm { size.name().into() } else { format!("{}, {memory}", size.name()) };
    let backends: Vec<_> = Backend::ALL.into_iter().filter(|backend| backend.is_available()).collect();

    let columns = [
        "back end",
        "precision",
        "step µs p50",
        "step µs min",
        "load µs p50",
        "load µs min",
        "step / load",
        "min / min",
        "to f32",
    ];
    let mut table = Table::new(&format!("Whole step over a load of its weights, {name}"), &columns);
    for &backend in &backends {
        let pairs: Vec<_> = files.iter().map(|file| (&**file, backend)).collect();
        let results = roofline(&pairs, rounds, steps);
        for r in &results {
            let us = |value| Cell::Number(value, 2);
            let times = [r.step.p50(), r.step.min(), r.floor.p50(), r.floor.min()].map(us);
            let ratios = [r.step.ratio_to(&r.floor), r.step.min() / r.floor.min(), r.step.ratio_to(&results[0].step)];
            let names = [backend.name().into(), r.precision.name().into()];
            table.row(names.into_iter().chain(times).chain(ratios.map(|ratio| Cell::Number(ratio, 3))));
        }
    }
    table.note(format!(
        "Encoder + controller + {memory}; {rounds} interleaved rounds of {steps} steps, each back end's precisions together; ratios are medians of a \
         round's. The load loop exclusive-ors every word of the same weights, with the widest registers of the processor, whatever the back end."
    ));

    let counts = [1, 7, 64, 256];
    let columns =
        ["back end", "precision", "N = 1, µs p50", "N = 1, µs min", "7 to 1", "64 to 1", "256 to 1", "64 to 1, min / min"];
    let mut dreams = Table::new(&format!("A tick of one dream in a batch of N, {name}"), &columns);
    for &backend in &backends {
        for file in &files {
            let times = dream_times(file, backend, &counts, rounds.div_ceil(3), 2 * steps);
            let to_one = |samples: &Samples| Cell::Number(samples.ratio_to(&times[0].tick), 3);
            let names = [backend.name().into(), times[0].precision.name().into()];
            let one = [times[0].tick.p50(), times[0].tick.min()].map(|value| Cell::Number(value, 2));
            let batches = times[1..].iter().map(|t| to_one(&t.tick));
            let least = Cell::Number(times[2].tick.min() / times[0].tick.min(), 3);
            dreams.row(names.into_iter().chain(one).chain(batches).chain([least]));
        }
    }
    dreams.note(format!(
        "Controller + {memory} + MDN head + sampling; time over the number of dreams, medians of a round's ratios."
    ));
    let mut tables = vec![table, dreams];
    if size == Size::Humanoid && cell == Memory::Lstm {
        tables.push(walker(&backends, rounds, steps));
    }
    publish(&common, "roofline", &tables)?;
    Ok(ExitCode::SUCCESS)
}

/// What the walker's step costs without the MLP that only copies its input.
fn walker(backends: &[Backend], rounds: usize, steps: usize) -> Table {
    let Walker { mlp, identity, .. } = agents::walker();
    let columns =
        ["back end", "MLP µs p50", "MLP µs min", "identity µs p50", "identity µs min", "MLP / identity", "min / min"];
    let mut table = Table::new("A step of the shipped walker in f32, its V an MLP or the identity", &columns);
    for &backend in backends {
        let results = roofline(&[(&mlp, backend), (&identity, backend)], rounds, steps);
        let (mlp, identity) = (&results[0].step, &results[1].step);
        let times = [mlp.p50(), mlp.min(), identity.p50(), identity.min()].map(|us| Cell::Number(us, 2));
        let ratios = [mlp.ratio_to(identity), mlp.min() / identity.min()].map(|ratio| Cell::Number(ratio, 3));
        table.row([backend.name().into()].into_iter().chain(times).chain(ratios));
    }
    table.note(format!(
        "{rounds} interleaved rounds of {steps} steps; ratios are medians of a round's. The MLP copies 45 of 348 values."
    ));
    table
}
