//! `rounds`: what does an agent learn from what it did itself? A world model that saw random episodes knows nothing of walking. Ha &
//! Schmidhuber (2018), "Iterative training procedure": record with the agent there is, fit V and M to all that was recorded, evolve C,
//! and again.
//!
//! ```text
//! RUN/config.toml                     what every round begins with
//! RUN/round-1/                        a run: recorded as `collect.policy` says, trained, packed, evaluated
//! RUN/round-k/rollouts/               those of round k-1 (hard links), and `rounds.steps` of its agent's
//! RUN/round-k/teacher.safetensors     that agent: C begins as what it does
//! RUN/round-k/evaluation.json         the protocol's episodes, every one
//! RUN/rounds.json, rounds.md          return against steps, round by round
//! ```
//!
//! Each stage of a round is gone on with or kept as in any run, so a kill costs at most what a kill of that stage costs.

use anyhow::{Context, Result, ensure};
use dreamstep::agent::{file, pack};
use dreamstep::data::dataset::Dataset;
use dreamstep::data::rollouts;
use dreamstep::env::pool::EnvPool;
use dreamstep::judge::evaluate::{Report, evaluate};
use dreamstep::run::checkpoint::Checkpoint;
use dreamstep::run::config::{CollectPolicy, Config};
use dreamstep::run::folder::{RunDir, digest, write_atomic};
use dreamstep::run::progress::Progress;
use dreamstep::stats::Summary;
use serde::Serialize;
use std::path::Path;

/// First seed of the episodes that judge.
const SEED: u64 = 1000;

/// What every round does, in the caller's hands: the commands of the same names.
pub(crate) struct Stages<'a> {
    /// Records `config.collect.steps` in all, the last part by the agent, where one is given.
    pub(crate) collect: &'a Stage<'a>,
    /// Trains V, M and C, from the teacher where one is given.
    pub(crate) train: &'a Stage<'a>,
}

/// A command, on a run, with the agent of the round before.
type Stage<'a> = dyn Fn(&Config, &RunDir, Option<&Path>) -> Result<()> + 'a;

/// A round, when it is over.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Round {
    round: u32,
    /// Steps of the environment in its recorded episodes, those of the rounds before included.
    recorded_steps: u64,
    /// Steps of the environment that evolution took, in this round.
    evolution_steps: u64,
    #[serde(rename = "return")]
    episode_return: Summary,
    length: Summary,
    distance_m: Summary,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rounds {
    env: String,
    episodes: usize,
    rounds: Vec<Round>,
}

/// Plays rounds 1 to `count` of the run in `root`, which is locked; what is done is kept.
pub(crate) fn rounds(config: &Config, root: &RunDir, count: u32, episodes: usize, stages: &Stages<'_>) -> Result<Rounds> {
    let mut all = Rounds { env: config.env.clone(), episodes, rounds: Vec::new() };
    let mut before: Option<RunDir> = None;
    for round in 1..=count {
        println!("round {round} of {count}");
        let run = RunDir::new(&root.root().join(format!("round-{round}")));
        let mut own = config.clone();
        let agent = before.as_ref().map(RunDir::agent);
        if let Some(before) = &before {
            own.collect.steps += u64::from(round - 1) * config.rounds.steps;
            own = own.overlay("rounds.then", "", &config.rounds.then)?;
            own.collect.policy = CollectPolicy::Agent;
            inherit(before, &run)?;
        }
        (stages.collect)(&own, &run, agent.as_deref())?;
        (stages.train)(&own, &run, agent.as_deref())?;
        let bytes = pack::pack(&own, &run)?;
        if !run.agent().exists() || std::fs::read(run.agent()).ok().as_deref() != Some(&bytes[..]) {
            write_atomic(&run.agent(), &bytes)?;
        }
        all.rounds.push(judge(&own, &run, round, episodes)?);
        // Rounds that are gone through again say nothing new until they are all there.
        if all.rounds.len() >= told(root) {
            write_atomic(&root.root().join("rounds.json"), format!("{}\n", serde_json::to_string_pretty(&all)?).as_bytes())?;
            write_atomic(&root.root().join("rounds.md"), all.markdown().as_bytes())?;
        }
        before = Some(run);
    }
    Ok(all)
}

/// How many rounds `rounds.json` tells of.
fn told(root: &RunDir) -> usize {
    let text = std::fs::read_to_string(root.root().join("rounds.json")).unwrap_or_default();
    let value = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
    value["rounds"].as_array().map_or(0, Vec::len)
}

/// Gives `run` the episodes of the round before it, once: the folder's description comes last, and says that they are all there.
fn inherit(before: &RunDir, run: &RunDir) -> Result<()> {
    let agent = digest(&before.agent())?;
    if run.teacher().exists() {
        let found = digest(&run.teacher())?;
        ensure!(
            found == agent,
            "{}: expected a round that follows {} (digest {agent}), found one that follows another agent ({found}); remove {} and the \
             rounds after it to make them again",
            run.root().display(),
            before.agent().display(),
            run.root().display()
        );
    }
    let (from, to) = (before.rollouts(), run.rollouts());
    let claim = to.join(dreamstep::data::collect::claim::CLAIM);
    if claim.exists() {
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
    write_atomic(&claim, &std::fs::read(from.join(dreamstep::data::collect::claim::CLAIM)).with_context(cannot)?)
}

/// The protocol's episodes, with the packed agent; read where they were played before.
fn judge(config: &Config, run: &RunDir, round: u32, episodes: usize) -> Result<Round> {
    let bytes = file::read(&run.agent())?;
    let model = file::load(&run.agent(), &bytes, None)?;
    let arena = EnvPool::new(&config.env, config.worker_threads())?;
    let progress = Progress::new("evaluate", episodes as u64, "episodes");
    let report: Report = evaluate(&arena, &config.env, Some(&model), false, SEED, episodes, &progress)?;
    drop(progress);
    let text = format!("{}\n", serde_json::to_string_pretty(&report)?);
    write_atomic(&run.root().join("evaluation.json"), text.as_bytes())?;
    let row = report.rows.into_iter().next().context("evaluate: expected the agent's row, found none")?;
    let data = Dataset::open(&run.rollouts(), config.worker_threads())?;
    let controller = Checkpoint::read(&run.controller())?;
    let round = Round {
        round,
        recorded_steps: data.entries().iter().map(|episode| episode.steps as u64).sum(),
        evolution_steps: controller.meta("validation.steps")?,
        episode_return: row.episode_return,
        length: row.length,
        distance_m: row.distance_m,
    };
    println!("round {}: {}", round.round, round.line());
    Ok(round)
}

impl Round {
    fn line(&self) -> String {
        format!(
            "return {}, length {:.1}, distance {:.2} m; {} steps recorded, {} of evolution",
            self.episode_return.mean_text(1),
            self.length.estimate.mean,
            self.distance_m.estimate.mean,
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
                round.distance_m.mean_text(2)
            );
        }
        text
    }
}
