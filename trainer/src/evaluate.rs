//! `evaluate`: how good is an agent? The mean return of many episodes on fixed seeds, in the unmodified environment, with its
//! standard error; beside the two policies that any agent has to beat.

use crate::play::{Arena, Estimate, Outcome, Policy};
use crate::progress::Progress;
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
    pub episode_return: Estimate,
    /// Steps.
    pub length: Estimate,
    /// Metres along x.
    pub distance_m: Estimate,
    /// Every episode, in the order of the seeds.
    pub outcomes: Vec<Outcome>,
}

/// What `evaluate` reports.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Environment id.
    pub env: String,
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
    arena: &Arena,
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
        let outcomes = arena.episodes(who, seed, count, || progress.add(1))?;
        let estimate = |value: fn(&Outcome) -> f64| Estimate::of(&outcomes.iter().map(value).collect::<Vec<_>>());
        rows.push(Row {
            policy,
            episode_return: estimate(|o| o.episode_return),
            length: estimate(|o| o.length as f64),
            distance_m: estimate(|o| o.distance_m),
            outcomes,
        });
    }
    Ok(Report { env: env.to_string(), seed, episodes: count, backend: model.map(|m| m.backend().name()), rows })
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = self.seed + self.episodes as u64 - 1;
        writeln!(
            f,
            "{}, {} episodes each, reset(seed) for seeds {} to {last}, mean ± standard error",
            self.env, self.episodes, self.seed
        )?;
        writeln!(f, "{:<8} {:>20} {:>18} {:>18}", "policy", "return", "length (steps)", "distance (m)")?;
        for row in &self.rows {
            let cell =
                |estimate: &Estimate, digits| format!("{:.digits$} ± {:.digits$}", estimate.mean, estimate.standard_error);
            let (reward, length, distance) = (cell(&row.episode_return, 1), cell(&row.length, 1), cell(&row.distance_m, 2));
            writeln!(f, "{:<8} {reward:>20} {length:>18} {distance:>18}", row.policy)?;
        }
        Ok(())
    }
}
