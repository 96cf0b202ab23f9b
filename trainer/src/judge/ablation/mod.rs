//! `ablation`: what each part of the agent contributes. From one run's V and M, controllers of different inputs are evolved with the same budget
//! of real steps, and all play the same episodes, beside the random policy and the zero action.
//!
//! ```text
//! RUN/vae, mdnrnn, rollouts             made once, the same for every arm
//! RUN/ablation/<arm>/                   a run: V, M (trained, or as training begins), config.toml, C, the agent, metrics
//! RUN/ablation/<arm>/made-from.txt      of which configuration, V and M it is, from before it begins
//! RUN/ablation/<arm>/result.json        what it cost and every episode that it played: an arm that has it is finished, and kept
//! RUN/ablation/<other>/result.json      the same of any other method, by whoever wrote it ([`ArmResult`]): a row of the table
//! RUN/ablation.json, ablation.md        the table
//! ```
//!
//! An arm that was interrupted resumes where it was, as any evolution does.

mod table;

pub use table::{Report, Row};

use crate::agent::file;
use crate::agent::pack::{self, Ingredients};
use crate::control;
use crate::data::dataset::Dataset;
use crate::env::pool::{EnvPool, Outcome, Policy};
use crate::env::{self, expect_playable};
use crate::run::checkpoint::Checkpoint;
use crate::run::config::{Config, ScoredOn};
use crate::run::folder::{RunDir, digest, write_atomic};
use crate::run::interrupt;
use crate::run::metrics::Cost;
use crate::run::progress::Progress;
use crate::world::device::{self, Device};
use anyhow::{Context, Result, ensure};
use dreamstep_core::c::ControllerInput;
use dreamstep_core::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Arm {
    /// Uniform over the action range.
    Random,
    /// The zero action.
    Zero,
    /// A linear controller on whitened observations: neither V nor M.
    #[value(name = "obs")]
    Observation,
    /// On V's latent alone.
    #[value(name = "z")]
    Latent,
    /// On M's memory alone.
    #[value(name = "h")]
    Hidden,
    /// On the whitened observation and M's memory.
    #[value(name = "obs+h")]
    ObservationHidden,
    /// On V's latent and the memory of an M that was never trained: what recurrence gives by itself.
    #[value(name = "z+h-untrained")]
    Untrained,
    /// On V's latent and M's memory.
    #[value(name = "z+h")]
    Full,
    /// The same, evolved in dreams of M (`[dream]` of the configuration).
    Dream,
    /// The same, evolved on real episodes from where the arm `dream` ended.
    #[value(name = "dream+real")]
    DreamThenReal,
}

impl Arm {
    /// Those of the usual table.
    pub const USUAL: [Self; 8] = [
        Self::Random,
        Self::Zero,
        Self::Observation,
        Self::Latent,
        Self::Untrained,
        Self::Full,
        Self::Dream,
        Self::DreamThenReal,
    ];
    /// In the order of the table; what an arm begins with comes before it.
    const ALL: [Self; 10] = [
        Self::Random,
        Self::Zero,
        Self::Observation,
        Self::Latent,
        Self::Hidden,
        Self::ObservationHidden,
        Self::Untrained,
        Self::Full,
        Self::Dream,
        Self::DreamThenReal,
    ];

    /// Its name: of its folder, and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Zero => "zero",
            Self::Untrained => "z+h-untrained",
            Self::Dream => "dream",
            Self::DreamThenReal => "dream+real",
            Self::Observation => ControllerInput::Observation.name(),
            Self::Latent => ControllerInput::Latent.name(),
            Self::Hidden => ControllerInput::Hidden.name(),
            Self::ObservationHidden => ControllerInput::ObservationHidden.name(),
            Self::Full => ControllerInput::LatentHidden.name(),
        }
    }

    /// What acts, in words.
    const fn what(self) -> &'static str {
        match self {
            Self::Random => "uniform actions",
            Self::Zero => "the zero action",
            Self::Observation => "linear on observations",
            Self::Latent => "V only",
            Self::Hidden => "M's memory only",
            Self::ObservationHidden => "observations and M's memory",
            Self::Untrained => "V and an untrained M",
            Self::Full => "V and M",
            Self::Dream => "V and M, in dreams",
            Self::DreamThenReal => "V and M, in dreams, then in real episodes",
        }
    }

    /// What its controller reads; none where nothing is evolved.
    const fn input(self) -> Option<ControllerInput> {
        match self {
            Self::Random | Self::Zero => None,
            Self::Observation => Some(ControllerInput::Observation),
            Self::Latent => Some(ControllerInput::Latent),
            Self::Hidden => Some(ControllerInput::Hidden),
            Self::ObservationHidden => Some(ControllerInput::ObservationHidden),
            Self::Untrained | Self::Full | Self::Dream | Self::DreamThenReal => Some(ControllerInput::LatentHidden),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which arms.
    pub arms: Vec<Arm>,
    /// Episode i is `reset(seed + i)`.
    pub seed: u64,
    /// Episodes of each.
    pub episodes: usize,
    /// Make anew what is there.
    pub force: bool,
    /// C begins as the run's teacher, but for the arms that dream.
    pub taught: bool,
}

/// One episode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Played {
    /// Sum of the unmodified rewards.
    #[serde(rename = "return")]
    pub episode_return: f64,
    /// Steps.
    pub length: u64,
}

/// What an arm came to: `result.json`. Other programs may write one, and may say more in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmResult {
    /// Environment id.
    pub env: String,
    /// Episode i is `reset(seed + i)`.
    pub seed: u64,
    /// What acts, in words.
    pub what: String,
    /// Steps of the environment that learning took, its own validation included; recorded episodes are not.
    pub real_steps: u64,
    /// Steps of dreams.
    pub dream_steps: u64,
    /// Processor time of learning, all threads; V's and M's training is not in it.
    pub cpu_hours: f64,
    /// Configuration, V and M: what a finished arm is known by. Others have none.
    #[serde(default)]
    pub made_from: String,
    /// Every episode, in the order of the seeds.
    pub outcomes: Vec<Played>,
}

/// Evolves and judges what is missing of `options.arms`, under `config`, from V, M and the episodes of `run`, which is locked; writes
/// `ablation.json` and `ablation.md`.
///
/// # Errors
/// One line: V or M is missing, something there is of another configuration (`force` makes it anew) or another protocol, an episode
/// failed. [`interrupt::Interrupted`]: the same command resumes.
pub fn ablate(config: &Config, run: &RunDir, options: &Options) -> Result<Report> {
    expect_playable(&config.env)?;
    let folder = run.root().join("ablation");
    // Of pictures V alone reads: such arms are in no table of theirs.
    let pictures = env::spec(&config.env)?.image.is_some();
    let fits = |arm: &Arm| !pictures || !arm.input().is_some_and(ControllerInput::has_observation);
    let arms: Vec<Job> = Arm::ALL
        .into_iter()
        .filter(|arm| options.arms.contains(arm) && fits(arm))
        .map(|arm| Job::new(arm, config, run, &folder, options.taught))
        .collect::<Result<_>>()?;
    // Everything that may refuse comes first.
    let mut others = other_results(&folder, config, options)?;
    for arm in &arms {
        arm.check(options)?;
    }
    let dreams = arms.iter().any(|job| job.arm == Arm::Dream) || result_of(&folder.join(Arm::Dream.name())).exists();
    ensure!(
        dreams || arms.iter().all(|job| job.arm != Arm::DreamThenReal),
        "ablation: the arm {} begins where the arm {} ends: expected both among --arms",
        Arm::DreamThenReal.name(),
        Arm::Dream.name()
    );
    let data = match arms.iter().any(|job| job.arm.input().is_some()) {
        true => Some(Dataset::open(&run.rollouts(), config.worker_threads())?),
        false => None,
    };
    let pool = EnvPool::new(&config.env, config.worker_threads())?;
    let mut rows = Vec::new();
    for job in &arms {
        interrupt::check()?;
        let result = match job.finished(options)? {
            Some(result) => result,
            None => job.make(run, data.as_ref(), &pool, options)?,
        };
        rows.push(Row::of(job.arm.name().to_string(), result));
    }
    rows.append(&mut others);
    let steps = data.map(|data| data.entries().iter().map(|episode| episode.steps as u64).sum());
    let report = Report {
        env: config.env.id.clone(),
        conditions: config.env.conditions(),
        seed: options.seed,
        episodes: options.episodes,
        recorded_steps: steps,
        network_cpu_hours: cpu_hours(run, &["vae", "mdnrnn"]),
        rows,
    };
    write_atomic(&run.root().join("ablation.json"), format!("{}\n", serde_json::to_string_pretty(&report)?).as_bytes())?;
    write_atomic(&run.root().join("ablation.md"), report.to_string().as_bytes())?;
    Ok(report)
}

/// An arm, and where it is made.
struct Job {
    arm: Arm,
    config: Config,
    own: RunDir,
    made_from: String,
    /// What C begins as.
    teacher: Option<PathBuf>,
}

impl Job {
    fn new(arm: Arm, config: &Config, run: &RunDir, folder: &Path, taught: bool) -> Result<Self> {
        if arm == Arm::Untrained {
            device::needs_torch("ablation --arms z+h-untrained")?;
        }
        let mut config = config.clone();
        let mut made_from = String::new();
        if let Some(input) = arm.input() {
            config.controller.input = input;
            config.controller.scored_on = if arm == Arm::Dream { ScoredOn::Dreams } else { ScoredOn::Episodes };
            Ingredients::read(run)?;
            // But for the budget: one that was raised is continued. The dreams' settings matter only to the arms that dream.
            let mut settings = config.clone();
            settings.controller.steps = 1;
            if !matches!(arm, Arm::Dream | Arm::DreamThenReal) {
                settings.dream = Config::default().dream;
            }
            let settings = Digest::default().update_bytes(settings.provenance().as_bytes()).value();
            made_from = format!("{settings:016x} {} {}", digest(&run.vae())?, digest(&run.mdnrnn())?);
        }
        let own = RunDir::new(&folder.join(arm.name()));
        let teacher = match arm {
            Arm::DreamThenReal => Some(RunDir::new(&own.root().with_file_name(Arm::Dream.name())).agent()),
            _ => (taught && arm.input().is_some() && arm != Arm::Dream).then(|| run.teacher()),
        };
        if let (Some(teacher), true) = (&teacher, taught && arm != Arm::DreamThenReal) {
            ensure!(teacher.exists(), "{}: --taught: expected the run's teacher, found none", teacher.display());
            made_from.push_str(&format!(" {}", digest(teacher)?));
        }
        Ok(Self { arm, config, own, made_from, teacher })
    }

    fn result(&self) -> PathBuf {
        result_of(self.own.root())
    }

    /// That nothing there is of another configuration.
    fn check(&self, options: &Options) -> Result<()> {
        if options.force {
            return Ok(());
        }
        let begun = std::fs::read_to_string(self.begun()).ok();
        let ended = if self.result().exists() { Some(read(&self.result())?.made_from) } else { None };
        for found in [begun, ended].into_iter().flatten() {
            ensure!(
                found == self.made_from,
                "{}: expected an arm of this configuration, V and M, found another's; --force makes it anew",
                self.own.root().display()
            );
        }
        Ok(())
    }

    fn begun(&self) -> PathBuf {
        self.own.root().join("made-from.txt")
    }

    /// The result that is there, where it is of this protocol and budget.
    fn finished(&self, options: &Options) -> Result<Option<ArmResult>> {
        if options.force || !self.result().exists() {
            return Ok(None);
        }
        let found = read(&self.result())?;
        let protocol =
            found.env == self.config.env.id && found.seed == options.seed && found.outcomes.len() == options.episodes;
        let budgeted = self.arm.input().is_some() && self.arm != Arm::Dream;
        let budget = !budgeted || found.real_steps >= self.config.controller.steps;
        Ok(Some(found).filter(|_| protocol && budget))
    }

    fn make(&self, run: &RunDir, data: Option<&Dataset>, pool: &EnvPool, options: &Options) -> Result<ArmResult> {
        let mut result = ArmResult {
            env: self.config.env.id.clone(),
            seed: options.seed,
            what: self.arm.what().to_string(),
            real_steps: 0,
            dream_steps: 0,
            cpu_hours: 0.0,
            made_from: self.made_from.clone(),
            outcomes: Vec::new(),
        };
        let bytes = match (self.arm.input(), data) {
            (Some(_), Some(data)) => {
                (result.real_steps, result.dream_steps) = self.evolve(run, data, options.force)?;
                result.cpu_hours = cpu_hours(&self.own, &["controller"]);
                if self.arm == Arm::DreamThenReal {
                    let before = read(&result_of(&self.beside(Arm::Dream)))?;
                    result.real_steps += before.real_steps;
                    result.dream_steps += before.dream_steps;
                    result.cpu_hours += before.cpu_hours;
                }
                let bytes = pack::pack_proved_on(&self.config, &self.own, &run.rollouts())?;
                write_atomic(&self.own.agent(), &bytes)?;
                Some(bytes)
            }
            _ => None,
        };
        let model = bytes.as_ref().map(|bytes| file::load(&self.own.agent(), bytes, None)).transpose()?;
        let policy = match (&model, self.arm) {
            (Some(model), _) => Policy::Agent(model),
            (None, Arm::Random) => Policy::Random,
            (None, _) => Policy::Zero,
        };
        let bar = Progress::new(self.arm.name(), options.episodes as u64, "episodes");
        let outcomes = pool.episodes(policy, options.seed, options.episodes, || bar.add(1))?;
        drop(bar);
        result.outcomes = outcomes.iter().map(Played::of).collect();
        let text = format!("{}\n", serde_json::to_string_pretty(&result)?);
        write_atomic(&self.result(), text.as_bytes())?;
        Ok(result)
    }

    /// The folder of another arm.
    fn beside(&self, arm: Arm) -> PathBuf {
        self.own.root().with_file_name(arm.name())
    }

    /// Evolves C; the real and the dream steps that it took.
    fn evolve(&self, run: &RunDir, data: &Dataset, force: bool) -> Result<(u64, u64)> {
        if force && self.own.root().exists() {
            std::fs::remove_dir_all(self.own.root())
                .with_context(|| format!("{}: cannot remove", self.own.root().display()))?;
        }
        let bytes_of = |path: PathBuf| std::fs::read(&path).with_context(|| format!("{}: cannot read", path.display()));
        // An arm has no lock of its own: its run's keeps others out.
        self.own.sweep()?;
        put(&self.begun(), self.made_from.as_bytes())?;
        put(&self.own.vae(), &bytes_of(run.vae())?)?;
        if self.arm == Arm::Untrained {
            untrained(&self.config, run)?.write(&self.own.mdnrnn())?;
        } else {
            put(&self.own.mdnrnn(), &bytes_of(run.mdnrnn())?)?;
        }
        write_atomic(&self.own.config(), self.config.to_toml().as_bytes())?;
        if let Some(teacher) = &self.teacher {
            put(&self.own.teacher(), &bytes_of(teacher.clone())?)?;
        }
        if !control::is_finished(&self.config, &self.own)? {
            let (budget, unit) = control::budget(&self.config);
            let bar = Progress::new(self.arm.name(), budget, unit);
            control::train(&self.config, &self.own, data, false, Device::Cpu, &bar)?;
        }
        let state = control::State::read(&Checkpoint::read(&self.own.controller())?)?;
        Ok((state.steps, state.dream_steps))
    }
}

impl Played {
    const fn of(outcome: &Outcome) -> Self {
        Self { episode_return: outcome.episode_return, length: outcome.length }
    }
}

/// The run's M with the weights that its training began with.
#[cfg(feature = "torch")]
fn untrained(config: &Config, run: &RunDir) -> Result<Checkpoint> {
    let mut checkpoint = Checkpoint::read(&run.mdnrnn())?;
    let vs = tch::nn::VarStore::new(tch::Device::Cpu);
    let rng = dreamstep_core::rng::Philox::new(config.seed);
    let shape = crate::world::mdnrnn::MdnRnnShape::of(&checkpoint)?;
    let _ = crate::world::mdnrnn::MdnRnn::new(&vs.root(), shape, rng);
    checkpoint.tensors = crate::world::nets::export(&vs)?;
    // What the trained one measured is not this one's.
    checkpoint.metadata.retain(|key, _| !key.starts_with(crate::run::checkpoint::meta::VALIDATION));
    Ok(checkpoint)
}

#[cfg(not(feature = "torch"))]
fn untrained(_: &Config, _: &RunDir) -> Result<Checkpoint> {
    Err(device::without_torch(Arm::Untrained.name()))
}

/// Writes what is not there yet.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    match std::fs::read(path) {
        Ok(found) if found == bytes => Ok(()),
        _ => write_atomic(path, bytes),
    }
}

/// Processor time that the run's log says these stages took, hours.
fn cpu_hours(run: &RunDir, stages: &[&str]) -> f64 {
    let text = std::fs::read_to_string(run.metrics()).unwrap_or_default();
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let own = |line: &&Value| line["stage"].as_str().is_some_and(|stage| stages.contains(&stage));
    Cost::of(lines.iter().filter(own)).cpu_seconds / 3600.0
}

fn result_of(folder: &Path) -> PathBuf {
    folder.join("result.json")
}

fn read(path: &Path) -> Result<ArmResult> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}: cannot read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}: expected an arm's result", path.display()))
}

/// What others wrote into `folder`, by name; all of the protocol that is asked for.
fn other_results(folder: &Path, config: &Config, options: &Options) -> Result<Vec<Row>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut rows = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if Arm::ALL.iter().any(|arm| arm.name() == name) || !result_of(&path).exists() {
            continue;
        }
        let found = read(&result_of(&path))?;
        ensure!(
            found.env == config.env.id && found.seed == options.seed && found.outcomes.len() == options.episodes,
            "{}: expected {} episodes of {} from seed {} on, found {} of {} from seed {} on",
            result_of(&path).display(),
            options.episodes,
            config.env.id,
            options.seed,
            found.outcomes.len(),
            found.env,
            found.seed
        );
        rows.push(Row::of(name, found));
    }
    rows.sort_by(|a, b| a.arm.cmp(&b.arm));
    Ok(rows)
}
