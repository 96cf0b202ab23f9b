//! The command line of dreamstep: each stage a subcommand. `dreamstep help` lists them.

mod cli;
mod rounds;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use cli::{AgentArgs, Cli, Command, RunArgs, Stage};
use dreamstep::agent::file;
use dreamstep::agent::weights;
use dreamstep::agent::{inspect, pack};
use dreamstep::control::{dream, real};
use dreamstep::data::collect;
use dreamstep::data::dataset::Dataset;
use dreamstep::data::export::{self, Form};
use dreamstep::data::import;
use dreamstep::data::split::Split;
use dreamstep::env::pool::EnvPool;
use dreamstep::env::{self, EnvSpec};
use dreamstep::judge::correlation;
use dreamstep::judge::evaluate::evaluate;
#[cfg(feature = "torch")]
use dreamstep::judge::report;
use dreamstep::judge::{ablation, compare, realtime, render};
use dreamstep::run::checkpoint::{Checkpoint, meta};
use dreamstep::run::config::{CollectPolicy, Config, ScoredOn};
use dreamstep::run::folder::{RunDir, write_atomic};
use dreamstep::run::interrupt::{self, Interrupted};
use dreamstep::run::metrics::{Clock, Cost};
use dreamstep::run::progress::Progress;
use dreamstep::world::device::{self, Device};
use dreamstep::world::resume::{self, Network, UnderWay};
use dreamstep::world::stage::{EpochRecord, StageInput};
use dreamstep_core::names::metadata;
use dreamstep_core::pack::{AlignedBytes, action_map, packed2};
use dreamstep_runtime::Precision;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Collect { run, append, agent } => {
            resumable(&run.run, "collect", || collect_stage(&run, append, agent.as_deref()))
        }
        Command::Import { run, files, append, episode_length, observations, repeat_final } => {
            let episode_length = episode_length.map(|length| length as usize);
            let options = import::Options { append, episode_length, rows: observations, repeat_final };
            import_rollouts(&run, &files, &options)
        }
        Command::Export { run, out, format } => export_rollouts(&run, &out, format),
        Command::ImportWeights { run, file, actions, input, sigma, log_sigma_min, obs_clip, force } => {
            let obs_clip = obs_clip.unwrap_or(weights::Options::default().obs_clip);
            import_weights(&run, &file, &weights::Options { actions, input, sigma, log_sigma_min, obs_clip, force })
        }
        Command::Train { run, stage, force, teacher, device } => {
            let command = format!("train --stage {}", stage.name());
            resumable(&run.run, &command, || {
                device::prepare(device)?;
                let (config, run) = run.open()?;
                train_stages(&config, &run, stage, force, teacher.as_deref(), device)
            })
        }
        Command::Rounds { run, rounds, episodes, device } => {
            resumable(&run.run, &format!("rounds --rounds {rounds}"), || {
                play_rounds(&run, rounds, episodes as usize, device)
            })
        }
        Command::Pack { run, agent, identity, precision, out, episodes, seed, threads, json } => {
            let comparison = Comparison { episodes: episodes as usize, seed, threads, json };
            pack_stage(&run, agent, identity, precision, out, &comparison)
        }
        Command::Evaluate { agent, episodes, seed, baselines, threads, json } => {
            evaluate_agent(&agent, episodes as usize, seed, baselines, threads, json)
        }
        Command::Run { agent, episodes, seed, realtime, json } => run_agent(&agent, episodes, seed, realtime, json),
        Command::Report { run, episodes, seed, threads, check, json } => {
            report_run(&run, episodes as usize, seed, threads, check, json)
        }
        Command::Render { run, agent, env, policy: actor, seed, steps, size, fps, temperature, panels, out } => {
            let options = render::Options { agent, env, actor, seed, steps, size, fps, temperature, panels, out };
            render_episode(&run, &options)
        }
        Command::Ablation { run, arms, episodes, seed, force, json } => {
            let options = ablation::Options { arms, seed, episodes: episodes as usize, force };
            ablate_run(&run, &options, json)
        }
        Command::Correlate { run, temperatures, episodes, seed, draws, json } => {
            let options = correlation::Options { temperatures, episodes: episodes as usize, seed, draws };
            correlate_run(&run, &options, json)
        }
        Command::Inspect { file, json } => inspect_file(&file, json),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("interrupted; {error}");
            ExitCode::from(interrupt::EXIT_CODE)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a stage that can be gone on with. Where somebody asked to stop, the error says by which command: the settings are on record in
/// the run, and so is what `--force` was for.
fn resumable(run: &Path, command: &str, stage: impl FnOnce() -> Result<()>) -> Result<()> {
    interrupt::listen()?;
    stage().map_err(|error| match error.is::<Interrupted>() {
        true => error.context(format!("to go on: dreamstep {command} --run {}", shell_word(&run.display().to_string()))),
        false => error,
    })
}

/// `text` as a shell reads it back.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if text.chars().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

impl RunArgs {
    /// The configuration in force and the folder it is for.
    fn open(&self) -> Result<(Config, RunDir)> {
        let run = RunDir::new(&self.run);
        let base = match self.preset {
            Some(preset) => preset.config(),
            None if run.config().exists() => Config::default().overlay_file(&run.config(), &[])?,
            None => Config::default(),
        };
        let config = match &self.config {
            Some(file) => base.overlay_file(file, &self.overrides)?,
            None => base.overlay("command line", "", &self.overrides)?,
        };
        Ok((config, run))
    }
}

impl AgentArgs {
    /// The environment asked for, or else the one that the agent in `bytes` says it was made for.
    fn env(&self, bytes: &[u8]) -> Result<String> {
        match &self.env {
            Some(env) => Ok(env.clone()),
            None => file::env(&self.agent, bytes),
        }
    }
}

/// Writes what is in force beside the results. Everything that may refuse a command comes first: a refusal changes nothing.
fn put_on_record(config: &Config, run: &RunDir) -> Result<()> {
    write_atomic(&run.config(), config.to_toml().as_bytes())
}

fn collect_stage(args: &RunArgs, append: bool, agent: Option<&Path>) -> Result<()> {
    let (mut config, run) = args.open()?;
    if agent.is_some() {
        config.collect.policy = CollectPolicy::Agent;
    }
    collect_into(&config, &run, append, agent)
}

fn collect_into(config: &Config, run: &RunDir, append: bool, agent: Option<&Path>) -> Result<()> {
    let request = collect::Request { append, agent };
    if !run.root().exists() {
        // So that a refusal makes no folder.
        collect::plan(config, run.root(), &request)?;
    }
    let _lock = run.lock()?;
    let plan = collect::plan(config, run.root(), &request)?;
    // The claim first: what the run asked for before says whether the part that it adds to is complete.
    plan.claim()?;
    put_on_record(config, run)?;
    let clock = Clock::start();
    let summary = plan.record(&Progress::new("collect", config.collect.steps, "steps"))?;
    Cost { steps: summary.steps, seconds: clock.seconds(), cpu_seconds: clock.cpu_seconds() }.append(run, "collect")?;
    println!(
        "collect: {} episodes, {} steps, mean return {:.1}, mean length {:.1} -> {}",
        summary.episodes,
        summary.steps,
        summary.mean_return,
        summary.mean_length,
        run.rollouts().display()
    );
    Ok(())
}

fn import_rollouts(args: &RunArgs, files: &[PathBuf], options: &import::Options) -> Result<()> {
    let (config, run) = args.open()?;
    let report = import::import(&config, &run, files, options)?;
    report.notes.iter().for_each(|note| println!("import: {note}"));
    println!("import: {} episodes, {} steps -> {}", report.episodes, report.steps, run.rollouts().display());
    Ok(())
}

fn export_rollouts(run: &Path, out: &Path, form: Form) -> Result<()> {
    let run = RunDir::new(run);
    let config = if run.config().exists() { Config::default().overlay_file(&run.config(), &[])? } else { Config::default() };
    let (episodes, steps) = export::export(&config.env, &run.rollouts(), out, form)?;
    println!("export: {episodes} episodes, {steps} steps -> {}", out.display());
    Ok(())
}

fn import_weights(args: &RunArgs, file: &Path, options: &weights::Options) -> Result<()> {
    let (config, run) = args.open()?;
    let report = weights::import(&config, &run, file, options)?;
    report.notes.iter().for_each(|note| println!("import-weights: {note}"));
    report.written.iter().for_each(|path| println!("import-weights: -> {}", path.display()));
    Ok(())
}

/// The rounds of the run in `args`.
fn play_rounds(args: &RunArgs, count: u32, episodes: usize, device: Device) -> Result<()> {
    device::needs_torch("rounds")?;
    device::prepare(device)?;
    let (config, root) = args.open()?;
    // Everything that may refuse comes first: an unknown environment, a value out of its range.
    env::spec(&config.env)?;
    let _lock = root.lock()?;
    put_on_record(&config, &root)?;
    let stages = rounds::Stages {
        collect: &|config, run, agent| collect_into(config, run, agent.is_some(), agent),
        train: &|config, run, teacher| train_stages(config, run, Stage::All, false, teacher, device),
    };
    rounds::rounds(&config, &root, count, episodes, &stages)?;
    Ok(())
}

fn train_stages(
    config: &Config,
    run: &RunDir,
    stage: Stage,
    force: bool,
    teacher: Option<&Path>,
    device: Device,
) -> Result<()> {
    let _lock = if run.root().exists() { Some(run.lock()?) } else { None };
    let data = Dataset::open(&run.rollouts(), config.worker_threads())?;
    let spec = env::spec(&config.env)?;
    let dims = data.dims();
    ensure!(
        dims == (spec.obs, spec.action),
        "{}: expected observations of {} and actions of {} for {}, found {} and {}",
        run.rollouts().display(),
        spec.obs,
        spec.action,
        spec.id,
        dims.0,
        dims.1
    );
    let steps = data.entries().iter().map(|episode| episode.steps as u64).sum::<u64>();
    ensure!(
        steps >= config.collect.steps,
        "{}: expected collect.steps = {} steps, found {steps}; run `dreamstep collect` to complete them",
        run.rollouts().display(),
        config.collect.steps
    );
    let teacher = teacher.map(|path| read_teacher(path, run, &spec, force)).transpose()?.flatten();
    let wants = |one| stage == one || stage == Stage::All;
    let under_way = |network, anew: bool| match anew {
        true => Ok(None),
        false => resume::under_way(network, config, run, &data),
    };
    let vae_under_way = if wants(Stage::Vae) { under_way(Network::Vae, force)? } else { None };
    let makes_vae = makes(Network::Vae, &run.vae(), wants(Stage::Vae), config, force, vae_under_way.is_some())?;
    // What `--force` was for: the command that goes on has to do it.
    let force_mdnrnn = force || vae_under_way.is_some_and(|training| training.forces_later);
    let goes_on = wants(Stage::Mdnrnn) && !makes_vae && run.vae().exists();
    let mdnrnn_under_way = if goes_on { under_way(Network::Mdnrnn, force_mdnrnn)? } else { None };
    let makes_mdnrnn =
        makes(Network::Mdnrnn, &run.mdnrnn(), wants(Stage::Mdnrnn), config, force_mdnrnn, mdnrnn_under_way.is_some())?;
    let force_controller = force_mdnrnn || mdnrnn_under_way.is_some_and(|training| training.forces_later);
    if makes_mdnrnn && !makes_vae {
        pack::expect(&run.vae(), "vae")?;
    }
    for (network, makes) in [(Network::Vae, makes_vae), (Network::Mdnrnn, makes_mdnrnn)] {
        if makes {
            device::needs_torch(&format!("train --stage {}", network.name()))?;
        }
    }
    if makes_vae || makes_mdnrnn {
        Split::new(config.seed, data.len(), config.vae.validation)?;
    }
    let networks_stay = !makes_vae && !makes_mdnrnn;
    // A budget raised since last time is gone on with.
    let in_dreams = config.controller.scored_on == ScoredOn::Dreams;
    let finished = if in_dreams { dream::is_finished } else { real::is_finished };
    let is_finished = || Ok::<_, anyhow::Error>(networks_stay && !force_controller && finished(config, run)?);
    let makes_controller = wants(Stage::Controller) && !is_finished()?;
    if makes_controller && networks_stay {
        let check = if in_dreams { dream::check } else { real::check };
        check(config, run, force_controller)?;
    }
    for (network, training) in [(Network::Vae, vae_under_way), (Network::Mdnrnn, mdnrnn_under_way)] {
        if let Some(training) = training {
            println!("{}: goes on after epoch {}", run.training(network.name()).display(), training.epoch);
        }
    }
    put_on_record(config, run)?;
    if let Some(bytes) = teacher {
        write_atomic(&run.teacher(), &bytes)?;
    }
    let (action_mid, action_half) = action_map(&spec.action_low, &spec.action_high);
    let train = |network: Network, epochs: usize, under_way: Option<UnderWay>, force: bool| {
        let label = network.name();
        let bar = Progress::new(label, epochs as u64, "epochs");
        bar.resume_at(under_way.map_or(0, |training| training.epoch) as u64);
        let report = |record: &EpochRecord| {
            bar.set(record.epoch as u64);
            bar.message(format!("loss {:.3}, held out {:.3}", record.train["loss"], record.validation["loss"]));
        };
        let input = StageInput {
            config,
            data: &data,
            action_mid: &action_mid,
            action_half: &action_half,
            run,
            device,
            force,
            forces_later: force && stage == Stage::All,
            progress: &report,
        };
        let figures = dreamstep::world::train(network, &input)?;
        drop(bar);
        println!("{label}: {figures}");
        Ok::<_, anyhow::Error>(())
    };
    if makes_vae {
        train(Network::Vae, config.vae.epochs, vae_under_way, force)?;
    }
    if makes_mdnrnn {
        train(Network::Mdnrnn, config.mdnrnn.epochs, mdnrnn_under_way, force_mdnrnn)?;
    }
    if wants(Stage::Controller) && !makes_controller {
        println!("{}: kept (--force evolves it anew)", run.controller().display());
    }
    if makes_controller && in_dreams {
        let bar = Progress::new("controller", config.dream.generations, "generations");
        let summary = dream::train(config, run, &data, force_controller, device, &bar)?;
        drop(bar);
        println!("controller: {summary}");
    } else if makes_controller {
        let bar = Progress::new("controller", config.controller.steps, "steps");
        let summary = real::train(config, run, &data, force_controller, &bar)?;
        drop(bar);
        println!(
            "controller: {} generations, {} steps, return on the validation episodes {:.1}",
            summary.generations, summary.steps, summary.best
        );
    }
    Ok(())
}

/// The bytes of the agent at `path`, where they are not the run's teacher yet.
fn read_teacher(path: &Path, run: &RunDir, spec: &EnvSpec, force: bool) -> Result<Option<AlignedBytes>> {
    let bytes = file::read(path)?;
    file::check(path, &file::load(path, &bytes, None)?, spec)?;
    let there = if run.teacher().exists() { Some(file::read(&run.teacher())?) } else { None };
    if there.as_ref().is_some_and(|there| there[..] == bytes[..]) {
        return Ok(None);
    }
    let began = run.evolution().exists() || run.controller().exists();
    ensure!(
        force || !began,
        "{}: expected a controller that begins as {}, found one that began otherwise; --force starts anew",
        run.root().display(),
        path.display()
    );
    Ok(Some(bytes))
}

/// Whether a network has to be trained: it is wanted, and its result is not there yet, or is `force`d anew, or its training is under
/// way. A result that stays must have been made with the values in force, so that `config.toml` never stands beside one that it does not
/// describe.
fn makes(network: Network, path: &Path, wanted: bool, config: &Config, force: bool, under_way: bool) -> Result<bool> {
    if !path.exists() || wanted && (force || under_way) {
        return Ok(wanted);
    }
    let result = Checkpoint::read(path)?;
    let recorded = result.metadata.get(meta::CONFIG).map(String::as_str).unwrap_or_default();
    if let Some((key, then, now)) = config.first_difference(recorded, network.unread())? {
        bail!("{}: made with {key} = {then}, expected {now} as asked for; --force trains it again", path.display());
    }
    if wanted {
        println!("{}: kept (--force trains it again)", path.display());
    }
    Ok(false)
}

/// How a precision is compared with f32.
struct Comparison {
    episodes: usize,
    seed: u64,
    threads: usize,
    json: bool,
}

fn pack_stage(
    args: &RunArgs,
    agent: Option<PathBuf>,
    identity: bool,
    precision: Precision,
    out: Option<PathBuf>,
    comparison: &Comparison,
) -> Result<()> {
    let Comparison { episodes, seed, threads, json } = *comparison;
    check_seeds(seed, episodes as u64)?;
    let mut notes = Vec::new();
    let (original, source) = match agent {
        Some(path) => {
            let mut bytes = file::read(&path)?;
            let named = || path.display().to_string();
            if packed2::is_one(&bytes) {
                bytes = pack::convert(&bytes).with_context(named)?;
                notes.push(format!("{}: {} converted to {}", named(), packed2::FORMAT, metadata::FORMAT_PACKED));
            }
            if identity {
                let (without, replaced) = pack::with_identity(&bytes).with_context(named)?;
                let pack::Replaced { weights, action_error } = replaced;
                notes.push(format!(
                    "{}: V, a copy of its input, replaced by the identity: {weights} weights fewer a step, actions of the self-test changed by \
                     {action_error:.1e} of the range at most",
                    named()
                ));
                bytes = without;
            }
            file::load(&path, &bytes, None)?;
            (bytes, path)
        }
        None => {
            let (config, run) = args.open()?;
            (pack::pack(&config, &run)?, run.agent())
        }
    };
    let named = || match precision {
        Precision::F32 => source.clone(),
        _ => source.with_extension(format!("{}.safetensors", precision.name())),
    };
    let out = out.unwrap_or_else(named);
    let narrow = match precision {
        Precision::F32 => None,
        _ => Some(pack::in_precision(&original, precision).with_context(|| source.display().to_string())?),
    };
    let bytes = narrow.as_ref().unwrap_or(&original);
    write_atomic(&out, bytes)?;
    if !json {
        notes.iter().for_each(|note| println!("pack: {note}"));
        println!("pack: {} bytes, self-test passed -> {}", bytes.len(), out.display());
    }
    if let (Some(packed), 1..) = (&narrow, episodes) {
        let models = [file::load(&source, &original, None)?, file::load(&out, packed, None)?];
        let env = file::env(&out, packed)?;
        let threads = Config { threads, ..Config::default() }.worker_threads();
        let progress = Progress::new("compare", 2 * episodes as u64, "episodes");
        let sizes = [original.len(), packed.len()];
        let change =
            compare::compare(&EnvPool::new(&env, threads)?, [&models[0], &models[1]], sizes, seed, episodes, || {
                progress.add(1)
            })?;
        drop(progress);
        print(&change, json)?;
    }
    Ok(())
}

#[cfg(not(feature = "torch"))]
fn report_run(_: &RunArgs, _: usize, _: u64, _: usize, _: bool, _: bool) -> Result<()> {
    device::needs_torch("report")
}

#[cfg(feature = "torch")]
fn report_run(args: &RunArgs, episodes: usize, seed: u64, threads: usize, check: bool, json: bool) -> Result<()> {
    check_seeds(seed, episodes as u64)?;
    ensure!(args.run.is_dir(), "{}: expected a run's folder, found none", args.run.display());
    let (config, run) = args.open()?;
    let threads = Config { threads, ..Config::default() }.worker_threads();
    let report = report::report(&config, &run, &report::Options { episodes, seed, threads })?;
    report.write(&run)?;
    print(&report, json)?;
    let failed = report.failed();
    let names: Vec<_> = failed.iter().map(|gate| gate.name.as_str()).collect();
    ensure!(
        !check || failed.is_empty(),
        "{} of {} gates not reached: {}",
        failed.len(),
        report.gates.len(),
        names.join("; ")
    );
    Ok(())
}

fn ablate_run(args: &RunArgs, options: &ablation::Options, json: bool) -> Result<()> {
    check_seeds(options.seed, options.episodes as u64)?;
    ensure!(args.run.is_dir(), "{}: expected a run's folder, found none", args.run.display());
    interrupt::listen()?;
    let (config, run) = args.open()?;
    let _lock = run.lock()?;
    let report = ablation::ablate(&config, &run, options).map_err(|error| match error.is::<Interrupted>() {
        true => error.context("to go on: the same command (without --force)"),
        false => error,
    })?;
    print(&report, json)
}

fn correlate_run(args: &RunArgs, options: &correlation::Options, json: bool) -> Result<()> {
    check_seeds(options.seed, options.episodes as u64)?;
    ensure!(args.run.is_dir(), "{}: expected a run's folder, found none", args.run.display());
    interrupt::listen()?;
    let (config, run) = args.open()?;
    let _lock = run.lock()?;
    let progress = Progress::new("correlate", 0, "episodes and dreams");
    let report =
        correlation::correlate(&config, &run, options, &progress).map_err(|error| match error.is::<Interrupted>() {
            true => error.context("nothing was written"),
            false => error,
        })?;
    drop(progress);
    print(&report, json)
}

fn render_episode(run: &Path, options: &render::Options) -> Result<()> {
    interrupt::listen()?;
    let summary = render::render(&RunDir::new(run), options).map_err(|error| match error.is::<Interrupted>() {
        true => error.context("nothing was written"),
        false => error,
    })?;
    write_out(&summary.to_string())
}

fn inspect_file(file: &Path, json: bool) -> Result<()> {
    let bytes = file::read(file)?;
    let report = inspect::inspect(file, &bytes)?;
    print(&report, json)?;
    ensure!(report.self_test_passed != Some(false), "{}: the self-test failed", file.display());
    Ok(())
}

fn evaluate_agent(args: &AgentArgs, episodes: usize, seed: u64, baselines: bool, threads: usize, json: bool) -> Result<()> {
    check_seeds(seed, episodes as u64)?;
    let bytes = file::read(&args.agent)?;
    let model = file::load(&args.agent, &bytes, args.backend)?;
    let threads = Config { threads, ..Config::default() }.worker_threads();
    let env = args.env(&bytes)?;
    file::check(&args.agent, &model, &env::spec(&env)?)?;
    let arena = EnvPool::new(&env, threads)?;
    let progress = Progress::new("evaluate", 0, "episodes");
    let report = evaluate(&arena, &env, Some(&model), baselines, seed, episodes, &progress)
        .with_context(|| args.agent.display().to_string())?;
    drop(progress);
    print(&report, json)
}

fn run_agent(args: &AgentArgs, episodes: u64, seed: u64, realtime: bool, json: bool) -> Result<()> {
    check_seeds(seed, episodes)?;
    let bytes = file::read(&args.agent)?;
    let model = file::load(&args.agent, &bytes, args.backend)?;
    let env = args.env(&bytes)?;
    file::check(&args.agent, &model, &env::spec(&env)?)?;
    let report = realtime::run(&model, &env, seed, episodes, realtime).with_context(|| args.agent.display().to_string())?;
    print(&report, json)
}

/// That `seed`, `seed + 1`, … do not wrap around.
fn check_seeds(seed: u64, episodes: u64) -> Result<()> {
    let last = u64::MAX - episodes;
    ensure!(seed <= last, "--seed {seed}: expected at most {last} for {episodes} episodes");
    Ok(())
}

fn print<T: std::fmt::Display + serde::Serialize>(report: &T, json: bool) -> Result<()> {
    let text = if json { format!("{}\n", serde_json::to_string_pretty(report)?) } else { report.to_string() };
    write_out(&text)
}

fn write_out(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // `dreamstep inspect … | head`: the reader has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("stdout: cannot write"),
    }
}
