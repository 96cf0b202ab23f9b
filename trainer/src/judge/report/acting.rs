//! C's figures: returns of the run's agent beside the random policy and the zero action, and one episode of each step by step.

use crate::agent::file;
use crate::env::EnvConfig;
use crate::env::pool::{EnvPool, Policy};
use crate::judge::evaluate::{self, evaluate};
use crate::run::folder::RunDir;
use crate::run::interrupt;
use crate::run::progress::Progress;
use anyhow::{Context, Result};
use serde::Serialize;

/// Returns, and rewards step by step.
#[derive(Clone, Debug, Serialize)]
pub struct Acting {
    /// Returns of every policy.
    pub returns: evaluate::Report,
    /// The seed of the episode that is shown.
    pub seed: u64,
    /// The rewards of that episode, by policy.
    pub rewards: Vec<Rewards>,
}

/// One episode.
#[derive(Clone, Debug, Serialize)]
pub struct Rewards {
    /// `agent`, `random` or `zero`.
    pub policy: &'static str,
    /// Step by step.
    pub rewards: Vec<f64>,
}

/// Plays `episodes` episodes of each policy in `env`, from `reset(seed)` on, with `threads` workers.
///
/// # Errors
/// One line: the agent cannot be read or is of another environment, or an episode failed.
pub fn act(run: &RunDir, env: &EnvConfig, seed: u64, episodes: usize, threads: usize) -> Result<Acting> {
    let path = run.agent();
    let bytes = file::read(&path)?;
    let model = file::load(&path, &bytes, None)?;
    file::check(&path, &model, &crate::env::spec(env)?)?;
    let pool = EnvPool::new(env, threads)?;
    let progress = Progress::new("report: episodes", 0, "episodes");
    let named = || path.display().to_string();
    let returns = evaluate(&pool, &env.id, Some(&model), true, seed, episodes, &progress).with_context(named)?;
    let policies = [("agent", Policy::Agent(&model)), ("random", Policy::Random), ("zero", Policy::Zero)];
    let rewards = pool.map(policies.len(), |player, i| {
        interrupt::check()?;
        let (policy, who) = policies[i];
        Ok(Rewards { policy, rewards: player.rewards(who, seed)? })
    });
    Ok(Acting { returns, seed, rewards: rewards.with_context(named)? })
}
