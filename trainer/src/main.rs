//! The command line of dreamstep: each stage a subcommand. `dreamstep help` lists them.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cli;

use anyhow::{Context, Result, ensure};
use clap::{CommandFactory, FromArgMatches};
use cli::{AgentArgs, Cli, Command, RunArgs};
use dreamstep::agent::{file, inspect, weights};
use dreamstep::data::{collect, import};
use dreamstep::env;
use dreamstep::env::pool::EnvPool;
use dreamstep::judge::evaluate::evaluate;
use dreamstep::judge::{ablation, correlation, realtime, render};
use dreamstep::pipeline::{self, Source};
use dreamstep::run::config::{CollectPolicy, Config, EnvConfig, worker_threads};
use dreamstep::run::folder::RunDir;
use dreamstep::run::interrupt::{self, Interrupted};
use dreamstep::run::progress::Progress;
use dreamstep::run::{memory, output};
use dreamstep::world::device;
use dreamstep_runtime::Model;
use std::fmt::Display;
use std::process::ExitCode;

/// What an interruption of a command that writes all or nothing comes to.
const NOTHING: &str = "nothing was written";

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let resume = cli::ResumeHint(&matches);
    match memory::guard(|| execute(cli.command, &resume)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            output::error_line(format!("interrupted; {error}"));
            ExitCode::from(interrupt::EXIT_CODE)
        }
        Err(error) => {
            output::error_line(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command, resume: &dyn Display) -> Result<()> {
    match command {
        Command::Collect { run, append, agent } => interruptible(resume, || {
            let (mut config, run) = run.open()?;
            if agent.is_some() {
                config.collect.policy = CollectPolicy::Agent;
            }
            pipeline::collect(&config, &run, &collect::Request { append, agent: agent.as_deref() })
        }),
        Command::Import { run, files, append, episode_length, observations, repeat_final } => {
            let episode_length = episode_length.map(|length| length as usize);
            let options = import::Options { append, episode_length, rows: observations, repeat_final };
            let (config, run) = run.open()?;
            interruptible(&NOTHING, || pipeline::import(&config, &run, &files, &options))
        }
        Command::Export { run, out, format } => {
            interruptible(&NOTHING, || pipeline::export(&RunDir::new(&run), &out, format))
        }
        Command::ImportWeights { run, file, actions, input, sigma, log_sigma_min, obs_clip, force } => {
            let obs_clip = obs_clip.unwrap_or(weights::Options::default().obs_clip);
            let options = weights::Options { actions, input, sigma, log_sigma_min, obs_clip, force };
            let (config, run) = run.open()?;
            pipeline::import_weights(&config, &run, &file, &options)
        }
        Command::Train { run, stage, force, teacher, device } => interruptible(resume, || {
            device::prepare(device)?;
            let (config, run) = run.open()?;
            let teacher = teacher.as_deref();
            pipeline::train(&config, &run, &pipeline::Options { stage, force, teacher, device })
        }),
        Command::Rounds { run, rounds, episodes, teacher, device } => interruptible(resume, || {
            device::prepare(device)?;
            let (config, run) = run.open()?;
            pipeline::rounds(&config, &run, rounds, episodes as usize, teacher.as_deref(), device)
        }),
        Command::Pack { run, agent, identity, decoder, precision, out, episodes, seed, threads, json } => {
            check_seeds(seed, episodes)?;
            let packed = match &agent {
                Some(path) => pipeline::pack(Source::Agent { path, identity }, precision, out)?,
                None => {
                    let (config, run) = run.open()?;
                    pipeline::pack(Source::Run { config: &config, run: &run, decoder }, precision, out)?
                }
            };
            if !json {
                packed.notes.iter().for_each(|note| output::line(format!("pack: {note}")));
                let (bytes, path) = (packed.bytes().len(), packed.path.display());
                output::line(format!("pack: {bytes} bytes, self-test passed -> {path}"));
            }
            let change = packed.compare(seed, episodes as usize, worker_threads(threads))?;
            change.map_or(Ok(()), |change| print(&change, json))
        }
        Command::Evaluate { agent, episodes, seed, baselines, threads, json } => {
            check_seeds(seed, episodes)?;
            let report = agent.play(|model, env| {
                let (pool, progress) =
                    (EnvPool::new(env, worker_threads(threads))?, Progress::new("evaluate", 0, "episodes"));
                evaluate(&pool, &env.id, Some(model), baselines, seed, episodes as usize, &progress)
            })?;
            print(&report, json)
        }
        Command::Run { agent, episodes, seed, realtime, json } => {
            check_seeds(seed, episodes)?;
            print(&agent.play(|model, env| realtime::run(model, env, seed, episodes, realtime))?, json)
        }
        Command::Report { run, episodes, seed, threads, check, json } => {
            report(&run, episodes, seed, worker_threads(threads), check, json)
        }
        Command::Render { run, agent, env, policy: actor, seed, steps, size, fps, temperature, panels, out } => {
            let env = env.as_deref().map(EnvConfig::named).transpose()?;
            let options = render::Options { agent, env, actor, seed, steps, size, fps, temperature, panels, out };
            let summary = interruptible(&NOTHING, || render::render(&RunDir::new(&run), &options))?;
            output::result(&summary.to_string())
        }
        Command::Ablation { run, arms, episodes, seed, taught, force, json } => {
            check_seeds(seed, episodes)?;
            let (config, run) = run.open_existing()?;
            let _lock = run.lock()?;
            let options = ablation::Options { arms, seed, episodes: episodes as usize, force, taught };
            print(&interruptible(resume, || ablation::ablate(&config, &run, &options))?, json)
        }
        Command::Correlate { run, temperatures, episodes, seed, draws, json } => {
            check_seeds(seed, episodes)?;
            let (config, run) = run.open_existing()?;
            let _lock = run.lock()?;
            let options = correlation::Options { temperatures, episodes: episodes as usize, seed, draws };
            let progress = Progress::new("correlate", 0, "episodes and dreams");
            let correlate = || correlation::correlate(&config, &run, &options, &progress);
            let report = interruptible(&NOTHING, correlate)?;
            drop(progress);
            print(&report, json)
        }
        Command::Inspect { file, json } => {
            let report = inspect::inspect(&file, &file::read(&file)?)?;
            print(&report, json)?;
            ensure!(report.self_test_passed != Some(false), "{}: the self-test failed", file.display());
            Ok(())
        }
    }
}

#[cfg(not(feature = "torch"))]
fn report(_: &RunArgs, _: u32, _: u64, _: usize, _: bool, _: bool) -> Result<()> {
    device::needs_torch("report")
}

#[cfg(feature = "torch")]
fn report(args: &RunArgs, episodes: u32, seed: u64, threads: usize, check: bool, json: bool) -> Result<()> {
    use dreamstep::judge::report;
    check_seeds(seed, episodes)?;
    let (config, run) = args.open_existing()?;
    let report = report::report(&config, &run, &report::Options { episodes: episodes as usize, seed, threads })?;
    report.write(&run)?;
    print(&report, json)?;
    let missed: Vec<_> = report.failed().iter().map(|gate| gate.name.clone()).collect();
    let gates = report.gates.len();
    ensure!(!check || missed.is_empty(), "{} of {gates} gates not reached: {}", missed.len(), missed.join("; "));
    Ok(())
}

/// Does `work`, which a signal may stop; the error says `then` then.
fn interruptible<T>(then: &dyn Display, work: impl FnOnce() -> Result<T>) -> Result<T> {
    interrupt::listen()?;
    work().map_err(|error| match error.is::<Interrupted>() {
        true => error.context(then.to_string()),
        false => error,
    })
}

impl RunArgs {
    /// The configuration in force and the folder it is for.
    fn open(&self) -> Result<(Config, RunDir)> {
        let run = RunDir::new(&self.run);
        let base = self.preset.map_or_else(|| Config::of(&run), |preset| Ok(preset.config()))?;
        let config = match &self.config {
            Some(file) => base.overlay_file(file, &self.overrides)?,
            None => base.overlay("command line", "", &self.overrides)?,
        };
        Ok((config, run))
    }

    /// The same, of a run that is there.
    fn open_existing(&self) -> Result<(Config, RunDir)> {
        ensure!(self.run.is_dir(), "{}: expected a run's folder, found none", self.run.display());
        self.open()
    }
}

impl AgentArgs {
    /// Loads the agent for the environment asked for, or else the one that it says it was made for.
    fn play<T>(&self, play: impl FnOnce(&Model<'_>, &EnvConfig) -> Result<T>) -> Result<T> {
        let bytes = file::read(&self.agent)?;
        let model = file::load(&self.agent, &bytes, self.backend)?;
        let own = || file::env(&self.agent, &bytes);
        let env = match self.env.as_deref() {
            None => own()?,
            // The same in Gymnasium itself, or the other way round: it is seen as the agent's own is.
            Some(name) => match own() {
                Ok(own) if own.id != name && env::is_same(&own.id, name) => EnvConfig { id: name.into(), ..own },
                // Without the run's delays, noise and drawn physics, and seen as the agent's own.
                Ok(EnvConfig { id, observation, image, .. }) if id == name => {
                    EnvConfig { observation, image, ..EnvConfig::named(name)? }
                }
                _ => EnvConfig::named(name)?,
            },
        };
        file::check(&self.agent, &model, &env::spec(&env)?)?;
        file::warn_of_another_world(&self.agent, &bytes, &env)?;
        play(&model, &env).with_context(|| self.agent.display().to_string())
    }
}

/// That `seed`, `seed + 1`, … do not wrap around.
fn check_seeds(seed: u64, episodes: impl Into<u64>) -> Result<()> {
    let episodes = episodes.into();
    let last = u64::MAX - episodes;
    ensure!(seed <= last, "--seed {seed}: expected at most {last} for {episodes} episodes");
    Ok(())
}

fn print<T: std::fmt::Display + serde::Serialize>(report: &T, json: bool) -> Result<()> {
    output::result(&if json { format!("{}\n", serde_json::to_string_pretty(report)?) } else { report.to_string() })
}
