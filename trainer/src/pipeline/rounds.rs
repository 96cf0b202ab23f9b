//! `rounds`: record with the agent there is, fit V and M to all that was recorded, evolve C, and again: a world model of random episodes
//! knows nothing of walking (Ha & Schmidhuber 2018, "Iterative training procedure").
//!
//! ```text
//! RUN/config.toml                     what every round begins with
//! RUN/round-1/                        a run: recorded as `collect.policy` says, trained, packed, evaluated
//! RUN/round-k/rollouts/               those of round k-1 (hard links), and `rounds.steps` of its agent's
//! RUN/round-k/teacher.safetensors     that agent: C begins as what it does; or RUN/teacher.safetensors in every round, where one was given
//! RUN/round-k/evaluation.json         every episode of the evaluation
//! RUN/rounds.json, rounds.md          return against steps, round by round
//! ```
//!
//! Each stage of a round is resumed or kept as in any run, and an evaluation is read where it is of the round's very agent: a kill costs at
//! most what a kill of that stage costs.

use super::plan::Plan;
use super::{Options, Stage, collect, train};
use crate::agent::{file, pack};
use crate::data::collect::Request;
use crate::data::dataset::Dataset;
use crate::data::manifest;
use crate::data::rollouts;
use crate::env;
use crate::env::pool::EnvPool;
use crate::judge::evaluate::{Report, evaluate};
use crate::run::checkpoint::Checkpoint;
use crate::run::config::{CollectPolicy, Config};
use crate::run::folder::{RunDir, digest, write_atomic};
use crate::run::output;
use crate::run::progress::Progress;
use crate::stats::Summary;
use crate::world::device::Device;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// First seed of the evaluation's episodes.
const SEED: u64 = 1000;

/// A round, when it is over.
#[derive(Clone, Debug, Serialize)]
struct Round {
    round: u32,
    /// Steps of the environment in its recorded episodes, those of the rounds before included.
    recorded_steps: u64,
    /// Steps of the environment that evolution took, in this round.
    evolution_steps: u64,
    #[serde(rename = "return")]
    episode_return: Summary,
    length: Summary,
    distance_m: Option<Summary>,
}

/// What `rounds.json` says.
#[derive(Clone, Debug, Serialize)]
struct Rounds {
    env: String,
    episodes: usize,
    rounds: Vec<Round>,
}

/// Plays rounds 1 to `count` of the run in `root`, which is locked; what is done is kept.
pub(super) fn play(config: &Config, root: &RunDir, count: u32, episodes: usize, device: Device) -> Result<()> {
    let mut all = Rounds { env: config.env.id.clone(), episodes, rounds: Vec::new() };
    let mut before: Option<RunDir> = None;
    let privileged = Some(root.teacher()).filter(|path| path.exists());
    for round in 1..=count {
        output::line(format!("round {round} of {count}"));
        let run = round_of(root, round);
        let own = if round == 1 { config.clone() } else { later(config, root, round)? };
        let agent = before.as_ref().map(RunDir::agent);
        let teacher = privileged.as_ref().or(agent.as_ref());
        if let (Some(before), Some(teacher)) = (&before, teacher) {
            inherit(before, &run, teacher)?;
        }
        // Where the first round, too, records an agent, it is the teacher that drives.
        let drives =
            agent.as_deref().or(teacher.filter(|_| own.collect.policy == CollectPolicy::Agent).map(PathBuf::as_path));
        collect(&own, &run, &Request { append: agent.is_some(), agent: drives })?;
        train(&own, &run, &Options { stage: Stage::All, force: false, teacher: teacher.map(PathBuf::as_path), device })?;
        // An agent that a later round follows stays what it is.
        if !round_of(root, round + 1).teacher().exists() {
            let bytes = pack::pack(&own, &run)?;
            if std::fs::read(run.agent()).ok().as_deref() != Some(&bytes[..]) {
                write_atomic(&run.agent(), &bytes)?;
            }
        }
        all.rounds.push(judge(&own, &run, round, episodes)?);
        // What is on record of later rounds stays until they are there again.
        if all.rounds.len() >= recorded(root) {
            write_atomic(&root.root().join("rounds.json"), format!("{}\n", serde_json::to_string_pretty(&all)?).as_bytes())?;
            write_atomic(&root.root().join("rounds.md"), all.markdown().as_bytes())?;
        }
        before = Some(run);
    }
    Ok(())
}

/// The run of round `round`.
fn round_of(root: &RunDir, round: u32) -> RunDir {
    RunDir::new(&root.root().join(format!("round-{round}")))
}

/// That no round changes which a later one follows: what it would be made of anew stands in the way of those after it.
///
/// # Errors
/// One line: which would, and what to remove; or what refuses its training.
pub(super) fn check(config: &Config, root: &RunDir, count: u32, device: Device) -> Result<()> {
    for round in 1..=count {
        let [run, next] = [round, round + 1].map(|round| round_of(root, round));
        if !next.teacher().exists() {
            continue;
        }
        let own = if round == 1 { config.clone() } else { later(config, root, round)? };
        let data = Dataset::open(&run.rollouts(), own.worker_threads())?;
        let options = Options { stage: Stage::All, force: false, teacher: None, device };
        let plan = Plan::new(&own, &run, &data, &env::spec(&own.env)?, &options)?;
        ensure!(
            plan.keeps_all(),
            "{}: would be trained further with these settings, and {} follows its agent; remove {} and the rounds after it to make them \
             again",
            run.root().display(),
            next.root().display(),
            next.root().display()
        );
    }
    Ok(())
}

/// The configuration of round `round`, not the first: the round before is complete. However far its last episode went beyond what was asked
/// for, there is one more.
fn later(config: &Config, root: &RunDir, round: u32) -> Result<Config> {
    let mut own = config.clone();
    let before = Dataset::open(&round_of(root, round - 1).rollouts(), config.worker_threads())?;
    let there: u64 = before.entries().iter().map(|episode| episode.steps as u64).sum();
    own.collect.steps = (own.collect.steps + u64::from(round - 1) * config.rounds.steps).max(there + 1);
    own = own.overlay("rounds.then", "", &config.rounds.then)?;
    own.collect.policy = CollectPolicy::Agent;
    Ok(own)
}

/// How many rounds `rounds.json` has.
fn recorded(root: &RunDir) -> usize {
    let text = std::fs::read_to_string(root.root().join("rounds.json")).unwrap_or_default();
    let value = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
    value["rounds"].as_array().map_or(0, Vec::len)
}

/// Gives `run`, whose C begins as `teacher`, the episodes of the round before it, once: the folder's description comes last, and says that they
/// are all there.
fn inherit(before: &RunDir, run: &RunDir, teacher: &Path) -> Result<()> {
    let agent = digest(teacher)?;
    if run.teacher().exists() {
        let found = digest(&run.teacher())?;
        ensure!(
            found == agent,
            "{}: expected a round that follows {} (digest {agent}), found one that follows another agent ({found}); remove {} and the \
             rounds after it to make them again",
            run.root().display(),
            teacher.display(),
            run.root().display()
        );
    }
    let (from, to) = (before.rollouts(), run.rollouts());
    let manifest = to.join(manifest::FILE);
    if manifest.exists() {
        return Ok(());
    }
    let cannot = || format!("{}: cannot take over the episodes of {}", to.display(), from.display());
    std::fs::create_dir_all(&to).with_context(cannot)?;
    let others = std::fs::read_dir(&from).with_context(cannot)?.collect::<std::io::Result<Vec<_>>>().with_context(cannot)?;
    let agents =
        others.into_iter().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "safetensors"));
    for path in rollouts::list(&from)?.into_iter().chain(agents) {
        let target = to.join(path.file_name().unwrap_or_default());
        // Episodes are never written again, so two names for one file do; where the disk knows no second name, a copy.
        if !target.exists() && std::fs::hard_link(&path, &target).is_err() {
            write_atomic(&target, &std::fs::read(&path).with_context(cannot)?)?;
        }
    }
    write_atomic(&manifest, &std::fs::read(from.join(manifest::FILE)).with_context(cannot)?)
}

/// The round's agent on the evaluation's episodes; read where they were played before.
fn judge(config: &Config, run: &RunDir, round: u32, episodes: usize) -> Result<Round> {
    let evaluation = match Evaluation::read(run, episodes)? {
        Some(evaluation) => evaluation,
        None => Evaluation::play(config, run, episodes)?,
    };
    let data = Dataset::open(&run.rollouts(), config.worker_threads())?;
    let round = Round {
        round,
        recorded_steps: data.entries().iter().map(|episode| episode.steps as u64).sum(),
        evolution_steps: Checkpoint::read(&run.controller())?.meta("validation.steps")?,
        episode_return: evaluation.episode_return,
        length: evaluation.length,
        distance_m: evaluation.distance_m,
    };
    output::line(format!("round {}: {}", round.round, round.line()));
    Ok(round)
}

/// What the evaluation found of the agent.
#[derive(Deserialize)]
struct Evaluation {
    #[serde(rename = "return")]
    episode_return: Summary,
    length: Summary,
    distance_m: Option<Summary>,
}

impl Evaluation {
    /// What `evaluation.json` says, where it is of the agent that is there, these seeds and so many episodes.
    fn read(run: &RunDir, episodes: usize) -> Result<Option<Self>> {
        /// What counts of the file; one of an earlier version does not say the agent.
        #[derive(Deserialize)]
        struct File {
            agent: String,
            seed: u64,
            episodes: usize,
            rows: [Evaluation; 1],
        }
        let Ok(text) = std::fs::read_to_string(run.evaluation()) else { return Ok(None) };
        let Ok(file) = serde_json::from_str::<File>(&text) else { return Ok(None) };
        let is_ours = (file.agent, file.seed, file.episodes) == (digest(&run.agent())?, SEED, episodes);
        Ok(is_ours.then(|| file.rows.into_iter().next()).flatten())
    }

    /// Plays the episodes and writes `evaluation.json`.
    fn play(config: &Config, run: &RunDir, episodes: usize) -> Result<Self> {
        #[derive(Serialize)]
        struct File<'a> {
            agent: String,
            #[serde(flatten)]
            report: &'a Report,
        }
        let bytes = file::read(&run.agent())?;
        let model = file::load(&run.agent(), &bytes, None)?;
        let pool = EnvPool::new(&config.env, config.worker_threads())?;
        let progress = Progress::new("evaluate", episodes as u64, "episodes");
        let report = evaluate(&pool, &config.env.id, Some(&model), false, SEED, episodes, &progress)?;
        drop(progress);
        let file = File { agent: digest(&run.agent())?, report: &report };
        write_atomic(&run.evaluation(), format!("{}\n", serde_json::to_string_pretty(&file)?).as_bytes())?;
        let row = report.rows.into_iter().next().context("evaluate: expected the agent's row, found none")?;
        Ok(Self { episode_return: row.episode_return, length: row.length, distance_m: row.distance_m })
    }
}

impl Round {
    fn line(&self) -> String {
        format!(
            "return {}, length {:.1}{}; {} steps recorded, {} of evolution",
            self.episode_return.mean_text(1),
            self.length.estimate.mean,
            self.distance_m.as_ref().map_or(String::new(), |it| format!(", distance {:.2} m", it.estimate.mean)),
            self.recorded_steps,
            self.evolution_steps
        )
    }
}

impl Rounds {
    fn markdown(&self) -> String {
        let mut text = format!(
            "# {}: rounds\n\n{} episodes each, reset(seed) from {SEED} on; mean ± standard error.\n\n\
             | round | steps recorded | steps of evolution | return | length | distance, m |\n|---|---|---|---|---|---|\n",
            self.env, self.episodes
        );
        for round in &self.rounds {
            text += &format!(
                "| {} | {} | {} | {} | {} | {} |\n",
                round.round,
                round.recorded_steps,
                round.evolution_steps,
                round.episode_return.mean_text(1),
                round.length.mean_text(1),
                round.distance_m.as_ref().map_or("–".into(), |distance| distance.mean_text(2))
            );
        }
        text
    }
}
