//! One episode in the environment, every state and observation of it kept.

use crate::env::pool::{Policy, check_fit};
use crate::env::{AnyEnv, Env, Pose};
use crate::run::interrupt;
use anyhow::{Context, Result};
use dreamstep_core::rng::Philox;
use dreamstep_runtime::{Agent, memory_len};

/// `T` steps, and what was before, between and after them.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// `[T+1]`
    pub poses: Vec<Pose>,
    /// `[T+1, O]`
    pub observations: Vec<Vec<f64>>,
    /// `[T, A]`, in the environment's units.
    pub actions: Vec<Vec<f32>>,
    /// `[T+1]` rewards so far.
    pub returns: Vec<f64>,
    /// Whether the task ended it.
    pub terminated: bool,
}

impl Episode {
    /// Plays `reset(seed)` until it ends, or for `max_steps` where that is not 0: the episode that [`crate::env::pool::Player`] plays.
    ///
    /// # Errors
    /// The agent is of another environment, or the simulation gave a non-finite observation.
    pub fn play(env: &mut AnyEnv, policy: Policy<'_>, seed: u64, max_steps: u32) -> Result<Self> {
        let mut memory = Vec::new();
        let mut agent = match policy {
            Policy::Agent(model) => {
                check_fit(model, env.spec())?;
                memory.resize(memory_len(model.dims()), 0.0);
                let mut agent = Agent::new(*model, &mut memory)?;
                agent.set_seed(seed);
                Some(agent)
            }
            Policy::Random | Policy::Zero => None,
        };
        let mut observation = vec![0.0; env.spec().obs];
        let mut action = vec![0.0; env.spec().action()];
        env.reset(seed, &mut observation).with_context(|| format!("seed {seed}"))?;
        let mut episode = Self {
            poses: vec![env.pose().unwrap_or_default()],
            observations: vec![observation.clone()],
            actions: Vec::new(),
            returns: vec![0.0],
            terminated: false,
        };
        let mut earned = 0.0;
        for step in 0.. {
            interrupt::check()?;
            match (&mut agent, policy) {
                (Some(agent), _) => {
                    let single: Vec<f32> = observation.iter().map(|&o| o as f32).collect();
                    let refused = || format!("{}: seed {seed}, step {step}", env.spec().id);
                    agent.step(&single, &mut action).with_context(refused)?;
                }
                (None, Policy::Random) => env.spec().actions.uniform(Philox::new(seed), step, &mut action),
                (None, _) => {}
            }
            let outcome = env.step(&action, &mut observation).with_context(|| format!("seed {seed}, step {step}"))?;
            earned += outcome.reward;
            episode.poses.push(env.pose().unwrap_or_default());
            episode.observations.push(observation.clone());
            episode.actions.push(action.clone());
            episode.returns.push(earned);
            episode.terminated = outcome.terminated;
            if outcome.terminated || outcome.truncated || step + 1 == u64::from(max_steps) {
                break;
            }
        }
        Ok(episode)
    }

    /// `T`
    #[must_use]
    pub fn steps(&self) -> usize {
        self.actions.len()
    }
}
