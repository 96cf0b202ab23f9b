//! Prints, for every precision and back end of this processor, what a whole step costs beside loading the same weights, and what a
//! tick of a dream costs in a batch; and what an encoder of pictures costs beside its multiply-adds alone.
//!
//! `cargo run --release -p dreamstep-bench --bin roofline`

use anyhow::Result;
use clap::Parser;
use dreamstep_bench::agents::{self, Size, Walker};
use dreamstep_bench::report::{Cell, Table, publish};
use dreamstep_bench::roofline::{dream_times, picture_times, roofline};
use dreamstep_bench::timing::Samples;
use dreamstep_bench::{Common, exit};
use dreamstep_core::obs::{Filter, Image};
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
    /// Only the encoder of pictures, 64 x 64 x 3
    #[arg(long)]
    pictures: bool,
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

fn run(Cli { common, size, cell, pictures: only_pictures }: Cli) -> Result<ExitCode> {
    if only_pictures {
        publish(&common, "roofline", &[pictures(&common)])?;
        return Ok(ExitCode::SUCCESS);
    }
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
        tables.push(pictures(&common));
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

/// The encoder of pictures over what the core's arithmetic allows.
fn pictures(common: &Common) -> Table {
    let (rounds, looks) = common.effort((101, 8), (3, 1));
    let image = Image::plain([96, 96, 3]).cropped([0, 0, 84, 96]).resized([64, 64], Filter::Bilinear);
    let files = agents::pictures(image);
    let columns = [
        "back end",
        "precision",
        "multiply-adds",
        "picture µs p50",
        "picture µs min",
        "limit µs p50",
        "picture / limit",
        "min / min",
        "to f32",
        "frame / picture",
    ];
    let mut table = Table::new("A look at a picture over its multiply-adds alone, 64 x 64 x 3", &columns);
    let times = picture_times(&files.iter().map(|file| &**file).collect::<Vec<_>>(), rounds, looks);
    for of in &times {
        let first = times.iter().find(|first| first.backend == of.backend).unwrap_or(of);
        let us = [of.look.p50(), of.look.min(), of.limit.p50()].map(|us| Cell::Number(us, 1));
        let ratios = [
            of.look.ratio_to(&of.limit),
            of.look.min() / of.limit.min(),
            of.look.p50() / first.look.p50(),
            of.frame.ratio_to(&of.look),
        ];
        let names = [of.backend.name().into(), of.precision.name().into(), of.arithmetic.into()];
        table.row(names.into_iter().chain(us).chain(ratios.map(|ratio| Cell::Number(ratio, 3))));
    }
    table.note(format!(
        "The paper's encoder and a linear C on one prepared picture; {rounds} interleaved rounds of {looks}; ratios are medians of a round's, \
         but for the one to f32. The limit is as many multiply-adds in twelve registers, without loads. A frame is 96 x 96 x 3, of which 84 \
         rows are resized."
    ));
    table
}
