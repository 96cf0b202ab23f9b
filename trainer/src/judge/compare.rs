//! The cost of a narrower precision: the packed agent beside the f32 agent that it was made from: bytes, what it answers to
//! the same recorded observations, and what it earns in the real environment, where there is one, on the same seeds.

use crate::agent::action::Choices;
use crate::data::rollouts::Episode;
use crate::env::pool::{EnvPool, Policy};
use crate::run::interrupt;
use crate::stats::{Estimate, Quantiles};
use anyhow::Result;
use dreamstep_core::action::Action;
use dreamstep_runtime::{Agent, Model, memory_len};
use serde::Serialize;

/// Episodes of the original agent whose observations both agents answer.
pub const RECORDED_EPISODES: usize = 20;

/// What `pack` reports of a precision.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The packed agent's precision.
    pub precision: &'static str,
    /// Bytes of the f32 file.
    pub bytes_f32: usize,
    /// Bytes of the packed file.
    pub bytes: usize,
    /// Episodes whose observations were answered.
    pub recorded_episodes: usize,
    /// |action − f32's action| as a fraction of the action range, over all components and steps of the recorded episodes; none of choices.
    pub action_error: Option<Quantiles>,
    /// Choices that are others than f32's in the steps of the recorded episodes; none of continuous actions.
    pub choices: Option<Choices>,
    /// What both earn; none where there is no simulator to play in.
    #[serde(flatten)]
    pub returns: Option<Returns>,
}

/// What two agents earn in the real environment.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Returns {
    /// Episodes played by each agent.
    pub episodes: usize,
    /// Episode i is `reset(seed + i)`.
    pub seed: u64,
    /// Mean return of the f32 agent.
    pub return_f32: Estimate,
    /// Mean return of the packed agent.
    pub return_packed: Estimate,
    /// Difference of the means in units of its standard error (the two agents' added in quadrature).
    pub return_z: f64,
}

/// Compares `packed` with `original`, on `episodes` episodes each from `reset(seed)` on; of the first [`RECORDED_EPISODES`] the original's
/// observations are answered by both.
///
/// # Errors
/// An agent does not fit the environment, or an episode failed.
pub fn compare(
    pool: &EnvPool,
    [original, packed]: [&Model<'_>; 2],
    sizes: [usize; 2],
    seed: u64,
    episodes: usize,
    done: impl Fn() + Sync,
) -> Result<Change> {
    let recorded = RECORDED_EPISODES.min(episodes);
    let errors = pool.map(recorded, |player, i| {
        interrupt::check()?;
        let observations = player.record(Policy::Agent(original), seed + i as u64)?;
        errors(original, packed, seed + i as u64, &observations, &[])
    })?;
    let returns = |model| -> Result<Estimate> {
        let outcomes = pool.episodes(Policy::Agent(model), seed, episodes, &done)?;
        Ok(Estimate::of(&outcomes.iter().map(|outcome| outcome.episode_return).collect::<Vec<_>>()))
    };
    let (return_f32, return_packed) = (returns(original)?, returns(packed)?);
    let standard_error = return_f32.standard_error.hypot(return_packed.standard_error);
    let difference = return_packed.mean - return_f32.mean;
    let return_z = if difference == 0.0 { 0.0 } else { difference / standard_error };
    let returns = Returns { episodes, seed, return_f32, return_packed, return_z };
    Ok(Change { returns: Some(returns), ..Change::of([original, packed], sizes, &errors) })
}

/// Compares `packed` with `original` where there is no simulator: both answer the recorded `episodes`, and are told what was done there.
///
/// # Errors
/// The episodes are of other sizes than the agents.
pub fn compare_recorded(
    [original, packed]: [&Model<'_>; 2],
    sizes: [usize; 2],
    episodes: impl Iterator<Item = Result<Episode>>,
) -> Result<Change> {
    let errors = episodes.map(|episode| {
        interrupt::check()?;
        let Episode { seed, observations, actions, .. } = episode?;
        let observations: Vec<_> = observations.iter().take(actions.nrows()).collect();
        let actions: Vec<_> = actions.rows().into_iter().map(|row| row.to_vec()).collect();
        errors(original, packed, seed, &observations, &actions)
    });
    let errors: Vec<_> = errors.collect::<Result<_>>()?;
    Ok(Change::of([original, packed], sizes, &errors))
}

impl Change {
    /// By the answers to some episodes; what either earns is left open.
    fn of([original, packed]: [&Model<'_>; 2], [bytes_f32, bytes]: [usize; 2], errors: &[Vec<f64>]) -> Self {
        let is_discrete = matches!(original.dims().action, Action::Discrete { .. });
        Self {
            precision: packed.settings().precision.name(),
            bytes_f32,
            bytes,
            recorded_episodes: errors.len(),
            action_error: (!is_discrete).then(|| Quantiles::of(errors.iter().flatten().copied().collect())),
            choices: is_discrete.then(|| Choices::changed(errors.iter().flatten().map(|&error| error > 0.0))),
            returns: None,
        }
    }
}

/// |Δaction| over the action range, for each observation and component; of choices, 1 where they differ, for each observation. Each agent
/// keeps its own state, which hears of `recorded` actions, where they are on record.
fn errors(
    original: &Model<'_>,
    packed: &Model<'_>,
    seed: u64,
    observations: &[Vec<f32>],
    recorded: &[Vec<f32>],
) -> Result<Vec<f64>> {
    let dims = original.dims();
    let mut memories = [vec![0.0; memory_len(dims)], vec![0.0; memory_len(packed.dims())]];
    let [first, second] = &mut memories;
    let mut agents = [Agent::new(*original, first)?, Agent::new(*packed, second)?];
    agents.iter_mut().for_each(|agent| agent.set_seed(seed));
    let mut actions = [vec![0.0; dims.action_len()], vec![0.0; dims.action_len()]];
    let mut errors = Vec::with_capacity(observations.len() * dims.action_len());
    for (t, observation) in observations.iter().enumerate() {
        for (agent, action) in agents.iter_mut().zip(&mut actions) {
            agent.act(observation, action)?;
        }
        match agents[0].choice().zip(agents[1].choice()) {
            Some((a, b)) => {
                errors.push(f64::from(u8::from(a != b)));
                // What was observed next came of the original's choice.
                let [first, _] = &actions;
                agents[1].override_action(first)?;
            }
            None => {
                // In [-1, 1], so that half the difference is the fraction of the range.
                let [a, b] = [agents[0].unit_action(), agents[1].unit_action()];
                errors.extend(a.iter().zip(b).map(|(a, b)| 0.5 * f64::from((a - b).abs())));
            }
        }
        for agent in &mut agents {
            recorded.get(t).map_or(Ok(()), |action| agent.override_action(action))?;
            agent.advance()?;
        }
    }
    Ok(errors)
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { precision, bytes_f32, bytes, recorded_episodes, .. } = self;
        writeln!(f, "{precision} against f32")?;
        writeln!(f, "  bytes          {bytes} instead of {bytes_f32}: {:.3}", *bytes as f64 / *bytes_f32 as f64)?;
        if let Some(Quantiles { p50, p99, max }) = self.action_error {
            writeln!(
                f,
                "  action error   p50 {:.3} %, p99 {:.3} %, max {:.3} % of the range, on {recorded_episodes} recorded episodes",
                100.0 * p50,
                100.0 * p99,
                100.0 * max
            )?;
        }
        if let Some(choices) = self.choices {
            writeln!(f, "  other choices  {choices}, on {recorded_episodes} recorded episodes")?;
        }
        let Some(Returns { episodes, seed, return_f32: b, return_packed: a, return_z }) = self.returns else {
            return Ok(());
        };
        writeln!(
            f,
            "  return         {:.1} ± {:.1} instead of {:.1} ± {:.1} ({return_z:+.2} standard errors), {episodes} episodes from seed {seed} on",
            a.mean, a.standard_error, b.mean, b.standard_error
        )
    }
}
