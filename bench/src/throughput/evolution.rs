//! What does a generation of evolution spend on the optimiser, and what on episodes? And what would pycma's optimiser spend?
//!
//! The generation is the trainer's own ([`dreamstep::control::Search::generation`]), with the shipped agent's V and M, from two
//! starts: the zero weights that training starts with, whose short episodes make the optimiser's share largest, and the shipped
//! controller.

use super::python::{Python, Started};
use super::{Options, Turn, take_turns, thread_s};
use crate::report::{Cell, Table};
use crate::timing::{Samples, quantile};
use anyhow::{Context, Result, anyhow, ensure};
use dreamstep::control::real::RealEpisodes;
use dreamstep::control::strategies::{Settings, Strategy};
use dreamstep::control::{Scorer, Search, Spent, Whitening};
use dreamstep::run::config::{Config, Preset, StrategyName};
use dreamstep_core::names::checkpoint::{FC_BIAS, FC_WEIGHT};
use dreamstep_core::pack::unpack;
use dreamstep_fixtures::HUMANOID;
use dreamstep_runtime::Model;
use serde::Deserialize;
use std::cell::RefCell;
use std::ffi::OsStr;
use std::time::Instant;

/// The strategy that `config` asks for, around `mean`.
fn search(config: &Config, mean: Vec<f32>) -> Strategy {
    Strategy::new(Settings::of(config), mean)
}

/// Generations of one start on one number of threads.
#[derive(Default)]
struct Generations {
    wall_s: Vec<f64>,
    spent: Vec<Spent>,
}

impl Generations {
    fn p50(&self, of: impl Fn(&Spent, f64) -> f64) -> f64 {
        quantile(&self.spent.iter().zip(&self.wall_s).map(|(spent, &wall)| of(spent, wall)).collect::<Vec<_>>(), 0.5)
    }

    /// The optimiser's part of the wall time: asking and telling, which all workers wait for, and a worker's part of making candidates.
    fn share(&self, threads: usize) -> f64 {
        self.p50(|s, wall| (s.ask + s.tell + s.candidates / threads as u32).as_secs_f64() / wall)
    }

    /// Seconds of a worker for one episode.
    fn episode_s(&self, threads: usize, episodes: usize) -> f64 {
        let all =
            |s: &Spent, wall: f64| (wall - (s.ask + s.tell).as_secs_f64()) * threads as f64 - s.candidates.as_secs_f64();
        self.p50(all) / episodes as f64
    }
}

/// Measures.
///
/// # Errors
/// The environment cannot be made, or the number of threads changed what was found.
pub fn tables(options: &Options) -> Result<Vec<Table>> {
    let mut config = Preset::QUICK.config();
    config.controller.pgpe.directions = options.common.effort(config.controller.pgpe.directions, 3);
    let rounds = options.common.effort(5, 1);
    let agent = unpack(HUMANOID).map_err(|error| anyhow!("the shipped agent: {error}"))?;
    let tensor = |name: &str| -> Result<Vec<f32>> {
        let found =
            agent.tensors.get(name).with_context(|| format!("the shipped agent: expected a tensor {name}, found none"))?;
        Ok(found.1.clone())
    };
    let shipped: Vec<f32> = [tensor(FC_WEIGHT)?, tensor(FC_BIAS)?].concat();
    let zeros = vec![0.0; shipped.len()];
    let starts = [("zero weights", zeros), ("the shipped controller", shipped)];

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut threads = vec![1, 2];
    threads.extend((2..).map(|i| 1 << i).take_while(|&n| n <= cores));
    let measured = generations(&config, &starts, &threads, rounds)?;
    let episodes = 2 * config.controller.pgpe.directions * config.controller.episodes;
    let table = generation_table(&config, &starts, &threads, &measured, rounds, cores);
    // One worker's time for an episode of the shipped controller.
    let episode_s = measured[threads.len()].episode_s(1, episodes);
    let populations = options.common.effort(vec![30, 80, 400], vec![12]);
    let optimisers = optimiser_table(&config, &starts[1].1, &populations, episode_s, options.common.effort(15, 1))?;
    Ok(vec![table, optimisers])
}

/// A generation from every start on every number of threads, in turn; starts are the outer order. Every generation of a start does the
/// same, whatever the number of threads, or there is no result.
fn generations(config: &Config, starts: &[(&str, Vec<f32>)], threads: &[usize], rounds: usize) -> Result<Vec<Generations>> {
    let model = Model::load(HUMANOID).map_err(|error| anyhow!("the shipped agent: {error}"))?;
    // Plain weights: what a fold computes does not change with the numbers it is given.
    let features = Whitening::none(model.dims());
    let with = |&threads: &usize| Config { threads, ..config.clone() };
    let configs: Vec<Config> = threads.iter().map(with).collect();
    let real = configs.iter().map(|config| RealEpisodes::new(config, &model).map(Scorer::Real));
    let scorers = real.collect::<Result<Vec<_>>>()?;
    let mut all: Vec<Generations> = (0..starts.len() * threads.len()).map(|_| Generations::default()).collect();
    for round in 0..=rounds {
        for ((name, mean), rows) in starts.iter().zip(all.chunks_mut(threads.len())) {
            let mut first: Option<Search> = None;
            for ((scorer, threads), row) in scorers.iter().zip(threads).zip(rows) {
                let mut search = Search::new(config, model.dims(), features.clone(), Some(mean))?;
                let start = Instant::now();
                let spent = search.generation(config, scorer)?;
                let wall_s = start.elapsed().as_secs_f64();
                let same = *first.get_or_insert_with(|| search.clone()) == search;
                ensure!(same, "{name}: {threads} threads came to another search distribution or number of steps than one");
                if round > 0 {
                    row.wall_s.push(wall_s);
                    row.spent.push(spent);
                }
            }
        }
    }
    Ok(all)
}

fn generation_table(
    config: &Config,
    starts: &[(&str, Vec<f32>)],
    threads: &[usize],
    measured: &[Generations],
    rounds: usize,
    cores: usize,
) -> Table {
    let columns = [
        "start",
        "threads",
        "steps",
        "episodes / s, p50",
        "steps / s, p50",
        "to one thread",
        "optimiser's share, %",
        "ask ms",
        "candidates ms",
        "tell ms",
    ];
    let (directions, n) = (config.controller.pgpe.directions, starts[0].1.len());
    let title = format!("One generation of PGPE: {n} parameters, {} episodes of Humanoid-v5", 2 * directions);
    let mut table = Table::new(&title, &columns);
    for ((name, _), rows) in starts.iter().zip(measured.chunks(threads.len())) {
        let one = Samples(rows[0].wall_s.clone());
        for (row, &threads) in rows.iter().zip(threads) {
            let ms = |of: fn(&Spent) -> f64| Cell::Number(row.p50(|spent, _| of(spent) * 1e3), 2);
            table.row([
                (*name).into(),
                threads.into(),
                Cell::Number(row.spent[0].steps as f64, 0),
                Cell::Number(row.p50(|_, wall| 2.0 * directions as f64 / wall), 1),
                Cell::Number(row.p50(|spent, wall| spent.steps as f64 / wall), 0),
                Cell::Number(one.ratio_to(&Samples(row.wall_s.clone())), 2),
                Cell::Number(100.0 * row.share(threads), 2),
                ms(|s| s.ask.as_secs_f64()),
                ms(|s| s.candidates.as_secs_f64()),
                ms(|s| s.tell.as_secs_f64()),
            ]);
        }
    }
    table.note(format!(
        "The trainer's own function, V and M of the shipped agent; {rounds} interleaved rounds, wall time, medians; {cores} cores. The \
         optimiser's share: ask, tell, and a worker's part of making the candidates' weights (drawing, folding, packing; all workers' time \
         in the column). Every number of threads came to the same search distribution, bit for bit."
    ));
    table
}

#[derive(Deserialize)]
struct Seconds {
    seconds: f64,
}

/// One generation of `strategy`, whatever its candidates are worth. Seconds of this thread.
fn ask_and_tell(strategy: &mut Strategy, candidate: &mut Vec<f32>) -> f64 {
    let population = strategy.candidates();
    let scores: Vec<f64> = (0..population).map(|i| ((i * 7919) % population) as f64).collect();
    let start = thread_s();
    let generation = strategy.ask();
    for index in 0..population {
        strategy.candidate(&generation, index, candidate);
        std::hint::black_box(&mut *candidate);
    }
    strategy.tell(&generation, &scores);
    thread_s() - start
}

/// The optimisers alone, against pycma's.
fn optimiser_table(config: &Config, mean: &[f32], populations: &[usize], episode_s: f64, rounds: usize) -> Result<Table> {
    let columns = [
        "optimiser",
        "parameters",
        "population",
        "ask + tell ms, p50",
        "ms, min",
        "time to PGPE",
        "time to pycma",
        "share of a generation, %",
    ];
    let mut table = Table::new("The optimiser's own time in a generation, one thread", &columns);
    let python = Python::of_setup()?;
    let mut peer = Err("no population".to_string());
    for &population in populations {
        let mut config = config.clone();
        config.controller.pgpe.directions = population / 2;
        config.controller.cma.population = population;
        let mut pgpe = search(&config, mean.to_vec());
        config.controller.strategy = StrategyName::SepCmaEs;
        let mut separable = search(&config, mean.to_vec());
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let child;
        let mut turns: Vec<Turn<'_>> = vec![
            Box::new(|| Ok(ask_and_tell(&mut pgpe, &mut one) * 1e6)),
            Box::new(|| Ok(ask_and_tell(&mut separable, &mut other) * 1e6)),
        ];
        let arguments = [mean.len().to_string(), population.to_string(), config.controller.sigma.to_string()];
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        match python.start("cma_peer.py", &arguments)? {
            Started::Ready(started, version) => {
                peer = Ok(version);
                child = RefCell::new(started);
                turns.push(Box::new(|| Ok(child.borrow_mut().ask::<Seconds>(&"generation")?.seconds * 1e6)));
            }
            Started::Missing(what) => peer = Err(what),
        }
        let times = take_turns(&mut turns, rounds)?;
        let names = ["PGPE", "sep-CMA-ES", "pycma, diagonal"];
        for (name, time) in names.into_iter().zip(times.iter().map(Some).chain([None])) {
            let number =
                |of: &dyn Fn(&Samples) -> f64, decimals| time.map_or(Cell::Missing, |t| Cell::Number(of(t), decimals));
            let to_pycma = match (time, times.get(2)) {
                (Some(time), Some(pycma)) => Cell::Number(time.ratio_to(pycma), 2),
                _ => Cell::Missing,
            };
            table.row([
                name.into(),
                mean.len().into(),
                population.into(),
                number(&|t| t.p50() / 1e3, 2),
                number(&|t| t.min() / 1e3, 2),
                number(&|t| t.ratio_to(&times[0]), 2),
                to_pycma,
                number(&|t| 100.0 * t.p50() / (t.p50() + 1e6 * episode_s * population as f64), 2),
            ]);
        }
    }
    table.note(match peer {
        Ok(version) => format!(
            "{version}, CMA_diagonal; {rounds} interleaved rounds, processor time. The share is of a generation that plays an episode of {:.1} \
             ms (the shipped controller's, above) for each candidate, in one thread.",
            1e3 * episode_s
        ),
        Err(what) => format!("pycma: not measured: no Python with cma ({what})"),
    });
    Ok(table)
}
