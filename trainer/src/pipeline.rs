//! The stages of a run in their order: what each makes, what is kept, what forces a stage and what resumes it.
//!
//! ```text
//! collect ─▶ rollouts/ ─▶ train: V ─▶ M ─▶ C ─▶ pack ─▶ agent.safetensors
//!               ▲                                           │
//!               └───────────── rounds: the next ────────────┘
//! ```
//!
//! Each stage takes the run's lock, asks everything that could refuse it, and then puts the configuration on record: a refusal changes
//! nothing. A killed or interrupted stage is resumed by the same command and ends in the same bytes.

mod pack;
mod plan;
pub mod rounds;

pub use pack::{Packed, Source, pack};

use crate::agent::weights;
use crate::control;
use crate::data::collect::{self, Request};
use crate::data::dataset::Dataset;
use crate::data::{export, import};
use crate::env::{self, EnvSpec};
use crate::run::config::Config;
use crate::run::folder::{RunDir, write_atomic};
use crate::run::metrics::{Clock, Cost};
use crate::run::output;
use crate::run::progress::Progress;
use crate::world;
use crate::world::device::{self, Device};
use crate::world::resume::Network;
use crate::world::stage::{EpochRecord, StageInput};
use anyhow::{Result, ensure};
use plan::{Decision, Plan};
use std::path::{Path, PathBuf};

/// What `train` trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Stage {
    /// V.
    Vae,
    /// M.
    Mdnrnn,
    /// C.
    Controller,
    /// V, then M, then C.
    All,
}

/// How `train` trains.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// What.
    pub stage: Stage,
    /// Train anew where a result exists, or a training was interrupted.
    pub force: bool,
    /// The packed agent that C begins as.
    pub teacher: Option<&'a Path>,
    /// Where libtorch computes.
    pub device: Device,
}

/// Writes what is in force beside the results.
fn put_on_record(config: &Config, run: &RunDir) -> Result<()> {
    write_atomic(&run.config(), config.to_toml().as_bytes())
}

/// Records episodes into `run` until it holds `config.collect.steps` steps.
///
/// # Errors
/// One line: see [`collect::plan`]; another command is changing the run, or a file cannot be written.
/// [`crate::run::interrupt::Interrupted`], where a signal came.
pub fn collect(config: &Config, run: &RunDir, request: &Request<'_>) -> Result<()> {
    if !run.root().exists() {
        // So that a refusal makes no folder.
        collect::plan(config, run.root(), request)?;
    }
    let _lock = run.lock()?;
    let plan = collect::plan(config, run.root(), request)?;
    // The manifest first: the configuration on record says whether the part that it adds to is complete.
    plan.write_manifest()?;
    put_on_record(config, run)?;
    let clock = Clock::start();
    let summary = plan.record(&Progress::new("collect", config.collect.steps, "steps"))?;
    Cost { steps: summary.steps, seconds: clock.seconds(), cpu_seconds: clock.cpu_seconds() }.append(run, "collect")?;
    output::line(format!(
        "collect: {} episodes, {} steps, mean return {:.1}, mean length {:.1} -> {}",
        summary.episodes,
        summary.steps,
        summary.mean_return,
        summary.mean_length,
        run.rollouts().display()
    ));
    Ok(())
}

/// Takes `files`, which another program recorded, as episodes of `run`.
///
/// # Errors
/// As [`import::import`]'s.
pub fn import(config: &Config, run: &RunDir, files: &[PathBuf], options: &import::Options) -> Result<()> {
    let report = import::import(config, run, files, options)?;
    report.notes.iter().for_each(|note| output::line(format!("import: {note}")));
    let into = run.rollouts();
    output::line(format!("import: {} episodes, {} steps -> {}", report.episodes, report.steps, into.display()));
    Ok(())
}

/// Writes the episodes of `run` into the folder `out`, as other programs read them.
///
/// # Errors
/// As [`export::export`]'s; or the run's configuration cannot be read.
pub fn export(run: &RunDir, out: &Path, form: export::Form) -> Result<()> {
    let (episodes, steps) = export::export(&Config::of(run)?.env, &run.rollouts(), out, form)?;
    output::line(format!("export: {episodes} episodes, {steps} steps -> {}", out.display()));
    Ok(())
}

/// Takes the network in `file`, which PyTorch trained, as the run's own.
///
/// # Errors
/// As [`weights::import`]'s.
pub fn import_weights(config: &Config, run: &RunDir, file: &Path, options: &weights::Options) -> Result<()> {
    let report = weights::import(config, run, file, options)?;
    report.notes.iter().for_each(|note| output::line(format!("import-weights: {note}")));
    report.written.iter().for_each(|path| output::line(format!("import-weights: -> {}", path.display())));
    Ok(())
}

/// Trains what `options.stage` names from the episodes in `run`: V, M and C, in this order. A result that is there is kept, an interrupted
/// training resumed.
///
/// # Errors
/// One line: episodes are missing, a result or a state is of another configuration, or a training failed.
/// [`crate::run::interrupt::Interrupted`], where a signal came.
pub fn train(config: &Config, run: &RunDir, options: &Options<'_>) -> Result<()> {
    let _lock = if run.root().exists() { Some(run.lock()?) } else { None };
    let data = Dataset::open(&run.rollouts(), config.worker_threads())?;
    let spec = env::spec(&config.env)?;
    let plan = Plan::new(config, run, &data, &spec, options)?;

    plan.announce(run);
    put_on_record(config, run)?;
    if let Some(teacher) = &plan.teacher {
        write_atomic(&run.teacher(), teacher)?;
    }
    for (network, decision) in [(Network::Vae, plan.vae), (Network::Mdnrnn, plan.mdnrnn)] {
        if let Decision::Make { after, force } = decision {
            train_network(network, after, force, config, run, &data, &spec, options)?;
        }
    }
    if let Decision::Make { force, .. } = plan.controller {
        let (budget, unit) = control::budget(config);
        let bar = Progress::new("controller", budget, unit);
        let summary = control::train(config, run, &data, force, options.device, &bar)?;
        drop(bar);
        output::line(format!("controller: {summary}"));
    }
    Ok(())
}

/// Trains V or M, of which `after` epochs are done.
#[expect(clippy::too_many_arguments, reason = "what a stage is given, from one caller")]
fn train_network(
    network: Network,
    after: usize,
    force: bool,
    config: &Config,
    run: &RunDir,
    data: &Dataset,
    spec: &EnvSpec,
    options: &Options<'_>,
) -> Result<()> {
    let name = network.name();
    let epochs = match network {
        Network::Vae => config.vae.epochs,
        Network::Mdnrnn => config.mdnrnn.epochs,
    };
    let bar = Progress::new(name, epochs as u64, "epochs");
    bar.resume_at(after as u64);
    let report = |record: &EpochRecord| {
        bar.set(record.epoch as u64);
        bar.message(format!("loss {:.3}, held out {:.3}", record.train["loss"], record.validation["loss"]));
    };
    let input = StageInput {
        config,
        data,
        actions: &spec.actions,
        run,
        device: options.device,
        force,
        forces_later: force && options.stage == Stage::All,
        progress: &report,
    };
    let figures = world::train(network, &input)?;
    drop(bar);
    output::line(format!("{name}: {figures}"));
    Ok(())
}

/// Plays `count` rounds of the run in `root` ([`mod@rounds`]); in each C begins as the agent of the round before, or as `teacher`, which is
/// copied into the run.
///
/// # Errors
/// One line: what refuses or ends a stage of a round. [`crate::run::interrupt::Interrupted`], where a signal came.
pub fn rounds(
    config: &Config,
    root: &RunDir,
    count: u32,
    episodes: usize,
    teacher: Option<&Path>,
    device: Device,
) -> Result<()> {
    device::needs_torch("rounds")?;
    env::expect_playable(&config.env)?;
    let spec = env::spec(&config.env)?;
    let _lock = root.lock()?;
    rounds::check(config, root, count, device)?;
    let teacher = teacher.map(|path| plan::read_teacher(path, config, root, &spec, false)).transpose()?.flatten();
    ensure!(
        teacher.is_none() || !RunDir::new(&root.root().join("round-1")).controller().exists(),
        "{}: expected the teacher that its rounds began with, found another (--teacher); give it to rounds in a new folder",
        root.root().display()
    );
    put_on_record(config, root)?;
    if let Some(teacher) = teacher {
        write_atomic(&root.teacher(), &teacher)?;
    }
    rounds::play(config, root, count, episodes, device)
}
