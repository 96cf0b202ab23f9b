//! `evaluate`: an agent's returns, lengths and distances, over many episodes on fixed seeds, in the environment's own physics and with the
//! delays and noise that `[env]` asks for: the mean of the returns with its standard error, and their interquartile mean with its bootstrap
//! interval; beside the two policies that any agent has to beat.

use crate::env::pool::{EnvPool, Outcome, Policy};
use crate::run::progress::Progress;
use crate::stats::{RESAMPLES, Summary};
use anyhow::Result;
use dreamstep_runtime::Model;
use serde::Serialize;

/// A policy's record.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `agent`, `zero` or `random`.
    pub policy: &'static str,
    /// Sum of rewards of an episode.
    #[serde(rename = "return")]
    pub episode_return: Summary,
    /// Steps.
    pub length: Summary,
    /// Metres along x; none where the environment does not say.
    pub distance_m: Option<Summary>,
    /// Every episode, in the order of the seeds.
    pub outcomes: Vec<Outcome>,
}

impl Row {
    /// Of the episodes that `policy` played.
    #[must_use]
    pub fn of(policy: &'static str, outcomes: Vec<Outcome>) -> Self {
        let summary = |value: fn(&Outcome) -> f64| Summary::of(&outcomes.iter().map(value).collect::<Vec<_>>());
        let (episode_return, length) = (summary(|o| o.episode_return), summary(|o| o.length as f64));
        let distances: Option<Vec<f64>> = outcomes.iter().map(|outcome| outcome.distance_m).collect();
        Self { policy, episode_return, length, distance_m: distances.map(|all| Summary::of(&all)), outcomes }
    }
}

/// What `evaluate` reports.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Environment id.
    pub env: String,
    /// What the episodes are under: delays, noise, randomised physics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<String>,
    /// Episode i is `reset(seed + i)`.
    pub seed: u64,
    /// Episodes per policy.
    pub episodes: usize,
    /// Back end that stepped the agent.
    pub backend: Option<&'static str>,
    /// One row per policy.
    pub rows: Vec<Row>,
}

/// Plays `count` episodes with every policy asked for.
///
/// # Errors
/// The agent does not fit the environment, or an episode failed.
pub fn evaluate(
    pool: &EnvPool,
    env: &str,
    model: Option<&Model<'_>>,
    baselines: bool,
    seed: u64,
    count: usize,
    progress: &Progress,
) -> Result<Report> {
    let baselines: &[_] = if baselines { &[("random", Policy::Random), ("zero", Policy::Zero)] } else { &[] };
    let agent = model.map(|model| ("agent", Policy::Agent(model)));
    let policies: Vec<_> = baselines.iter().copied().chain(agent).collect();
    progress.set_total((policies.len() * count) as u64);
    let mut rows = Vec::new();
    for (policy, who) in policies {
        rows.push(Row::of(policy, pool.episodes(who, seed, count, || progress.add(1))?));
    }
    Ok(Report {
        env: env.to_string(),
        conditions: pool.conditions().map(ToOwned::to_owned),
        seed,
        episodes: count,
        backend: model.map(|m| m.backend().name()),
        rows,
    })
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = self.seed + self.episodes as u64 - 1;
        writeln!(f, "{}, {} episodes each, reset(seed) for seeds {} to {last}", self.env, self.episodes, self.seed)?;
        if let Some(conditions) = &self.conditions {
            writeln!(f, "with {conditions}")?;
        }
        writeln!(
            f,
            "IQM: mean of the middle half of the episodes, with its 95 % interval over {RESAMPLES} bootstrap resamples"
        )?;
        writeln!(f, "{:<8} {:<14} {:>22} {:>28}", "policy", "", "mean ± standard error", "IQM [95 %]")?;
        for row in &self.rows {
            let always = [("return", &row.episode_return, 1), ("length (steps)", &row.length, 1)];
            let distance = row.distance_m.iter().map(|distance| ("distance (m)", distance, 2));
            let quantities = always.into_iter().chain(distance);
            for (i, (quantity, summary, digits)) in quantities.enumerate() {
                let policy = if i == 0 { row.policy } else { "" };
                let (mean, iqm) = (summary.mean_text(digits), summary.iqm_text(digits));
                writeln!(f, "{policy:<8} {quantity:<14} {mean:>22} {iqm:>28}")?;
            }
        }
        Ok(())
    }
}
