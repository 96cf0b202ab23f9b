//! Prints what a whole step costs in this runtime and in what one would pick instead, at three sizes, and what a convolutional encoder's
//! look at a picture costs; each contender is held to an f64 reference first, and its allocations are counted.
//!
//! `scripts/peers.sh` installs what is needed and runs it.

use anyhow::{Context, Result};
use clap::Parser;
use dreamstep_bench::agents::{self, Size};
use dreamstep_bench::peers::weights::Weights;
use dreamstep_bench::peers::{Contestant, Ours, Side, Trace, allocations, peers, pictures, versions};
use dreamstep_bench::report::{Cell, Table, publish};
use dreamstep_bench::timing::Samples;
use dreamstep_bench::{Common, exit};
use dreamstep_runtime::{Backend, Precision};
use std::process::ExitCode;

/// Times the step in other people's libraries beside this runtime.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    /// Networks; all by default
    #[arg(long, value_enum, num_args = 1..)]
    size: Vec<Network>,
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Network {
    /// The agent with 64 hidden units
    Small,
    /// The shipped Humanoid-v5 agent: 256 hidden units
    Humanoid,
    /// The agent with 1,024 hidden units
    Large,
    /// The paper's convolutional encoder on a picture 64 x 64 x 3
    Pictures,
}

impl Network {
    const ALL: [Self; 4] = [Self::Small, Self::Humanoid, Self::Large, Self::Pictures];

    /// What tables call it.
    fn name(self) -> &'static str {
        self.size().map_or("pictures (64 x 64 x 3)", Size::name)
    }

    /// The agent's size; none of the encoder.
    const fn size(self) -> Option<Size> {
        match self {
            Self::Small => Some(Size::Small),
            Self::Humanoid => Some(Size::Humanoid),
            Self::Large => Some(Size::Large),
            Self::Pictures => None,
        }
    }

    /// Rounds and steps in a round: large agents take milliseconds in the slower libraries.
    fn effort(self, common: &Common) -> (usize, usize) {
        match self {
            Self::Small => common.effort((201, 100), (3, 2)),
            Self::Humanoid => common.effort((151, 50), (3, 2)),
            Self::Large => common.effort((31, 20), (3, 1)),
            Self::Pictures => common.effort((101, 8), (3, 1)),
        }
    }

    /// What is timed, and how errors are counted.
    const fn what(self) -> [&'static str; 2] {
        match self {
            Self::Small | Self::Humanoid | Self::Large => {
                ["Encoder + controller + LSTM", "over 50 recurrent steps, as a share of an action's range"]
            }
            Self::Pictures => [
                "One prepared picture to the mean latent (peers are given scaled planes, this runtime bytes; its time holds a linear C)",
                "over 8 pictures of noise, as a share of the range of all latents",
            ],
        }
    }
}

/// A contestant's results.
struct Row {
    name: String,
    side: Side,
    worst: f64,
    allocations: f64,
    time: Samples,
}

fn main() -> ExitCode {
    // candle and the pool below it know no other way; libtorch and ONNX Runtime are told by their own.
    // SAFETY: the program's first statement: no other thread is there to read the environment meanwhile.
    unsafe {
        std::env::set_var("RAYON_NUM_THREADS", "1");
        std::env::set_var("CANDLE_NUM_THREADS", "1");
    }
    exit(run(Cli::parse()))
}

fn run(Cli { common, size }: Cli) -> Result<ExitCode> {
    let networks = if size.is_empty() { Network::ALL.to_vec() } else { size };
    allocations::control()?;

    let columns = ["size", "peers' weights", "fastest peer", "µs p50", "to f32", "to f16", "to bf16", "to i8"];
    let mut headline = Table::new("The fastest peer's time over ours", &columns);
    let mut tables = Vec::new();
    for network in networks {
        let (rows, inside) = measure(&common, network).with_context(|| network.name())?;
        tables.push(table(&common, network, &rows, inside)?);
        for (weights, side) in [("f32", Side::Float32), ("int8", Side::Int8)] {
            let peer = fastest(rows.iter().filter(|row| row.side == side)).context("no peers")?;
            let factors = Precision::ALL.map(|precision| Cell::Number(peer.time.ratio_to(&ours(&rows, precision).time), 2));
            let names = [network.name().into(), weights.into(), peer.name.clone().into(), Cell::Number(peer.time.p50(), 2)];
            headline.row(names.into_iter().chain(factors));
        }
    }
    headline.note(
        "Above 1: this runtime is faster. Medians of a round's ratios; the fastest peer is the one with the least median.",
    );
    headline.note(versions()?);
    tables.push(headline);
    publish(&common, "peers", &tables)?;
    Ok(ExitCode::SUCCESS)
}

/// Everybody's row, and the share of actions that are not clamped.
fn measure(common: &Common, network: Network) -> Result<(Vec<Row>, f64)> {
    let Some(size) = network.size() else {
        let files = agents::pictures(pictures::IMAGE);
        let encoder = pictures::Encoder::of(&files[0])?;
        let trace = Trace::pictures(&encoder, 8);
        // AVX2 alone, too, where the processor has more.
        let more = Some(Backend::Avx2).filter(|avx2| avx2.is_available() && *avx2 != Backend::detect());
        let mut runtime = match more {
            Some(avx2) => Ours::load_on(&files, [Backend::detect(), avx2])?,
            None => Ours::load(&files)?,
        };
        let mut contestants = runtime.contestants()?;
        contestants.extend(pictures::peers(&encoder)?);
        return Ok((rows(common, network, &trace, contestants)?, trace.inside()));
    };
    let files = size.precisions();
    let weights = Weights::of(&files[0])?;
    let trace = Trace::new(&weights, 50);
    let mut runtime = Ours::load(&files)?;
    let mut contestants = runtime.contestants()?;
    contestants.extend(peers(&weights)?);
    Ok((rows(common, network, &trace, contestants)?, trace.inside()))
}

fn rows<X: ?Sized>(
    common: &Common,
    network: Network,
    trace: &Trace<X>,
    mut contestants: Vec<Contestant<'_, X>>,
) -> Result<Vec<Row>> {
    let mut found = Vec::new();
    for contestant in &mut contestants {
        found.push((trace.check(contestant)?, trace.allocations(contestant)?));
    }
    let (rounds, steps) = network.effort(common);
    let times = trace.time(&mut contestants, rounds, steps);
    let row = |((contestant, (worst, allocations)), time): ((Contestant<'_, X>, _), _)| Row {
        name: contestant.name,
        side: contestant.side,
        worst,
        allocations,
        time,
    };
    Ok(contestants.into_iter().zip(found).zip(times).map(row).collect())
}

fn fastest<'r>(rows: impl Iterator<Item = &'r Row>) -> Option<&'r Row> {
    rows.min_by(|a, b| a.time.p50().total_cmp(&b.time.p50()))
}

/// Our row of a precision, on the best back end: it stands before the portable one.
fn ours(rows: &[Row], precision: Precision) -> &Row {
    rows.iter().find(|row| row.side == Side::Ours(precision)).expect("every precision takes part")
}

fn table(common: &Common, network: Network, rows: &[Row], inside: f64) -> Result<Table> {
    let columns = [
        "who",
        "step µs p50",
        "step µs min",
        "to our f32",
        "fastest peer / this",
        "worst error, ppm of the range",
        "allocations a step",
    ];
    let mut table = Table::new(&format!("The same step elsewhere, {}", network.name()), &columns);
    let peer = fastest(rows.iter().filter(|row| !matches!(row.side, Side::Ours(_)))).context("no peers")?;
    let f32 = ours(rows, Precision::F32);
    for row in rows {
        table.row([
            row.name.clone().into(),
            Cell::Number(row.time.p50(), 2),
            Cell::Number(row.time.min(), 2),
            Cell::Number(row.time.ratio_to(&f32.time), 3),
            Cell::Number(peer.time.ratio_to(&row.time), 3),
            Cell::Number(row.worst * 1e6, 2),
            Cell::Number(row.allocations, 1),
        ]);
    }
    let (rounds, steps) = network.effort(common);
    let [what, errors] = network.what();
    table.note(format!(
        "{what}, batch 1, one thread; {rounds} interleaved rounds of {steps} steps; ratios are medians of a round's. Errors: the largest \
         difference from an f64 reference {errors}; {:.0} % of the outputs are not clamped. Allocations: every malloc and relative of the \
         process. Fastest peer: {}.",
        100.0 * inside,
        peer.name
    ));
    table.note(versions()?);
    Ok(table)
}
