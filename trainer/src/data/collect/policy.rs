//! The policies that act while an episode is recorded. Each is a function of the episode's number and of named draws, so that an episode
//! can be recorded again, alone, to the same bytes.

use crate::data::manifest::{Noise, Policy};
use crate::data::rollouts::Episode;
use crate::env::{AnyEnv, Env, EnvSpec};
use anyhow::{Context, Result};
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::{Agent, Model, memory_len};
use ndarray::{Array1, Array2};

/// Plays one episode to its end. `act(t, obs [O], action [A])` fills in the action of step `t`.
///
/// # Errors
/// What `act` gives; what the environment gives, with the seed and the step.
///
/// # Panics
/// As [`Env::step`] does, on an action that is not finite.
pub fn record(env: &mut AnyEnv, seed: u64, mut act: impl FnMut(u32, &[f64], &mut [f32]) -> Result<()>) -> Result<Episode> {
    let (o, a) = (env.spec().obs, env.spec().action());
    let (mut obs, mut action) = (vec![0.0; o], vec![0.0; a]);
    let (mut observations, mut actions, mut rewards) = (Vec::new(), Vec::new(), Vec::new());
    env.reset(seed, &mut obs).with_context(|| format!("seed {seed}"))?;
    observations.extend(obs.iter().map(|&x| x as f32));
    let mut t = 0;
    let end = loop {
        act(t, &obs, &mut action)?;
        let step = env.step(&action, &mut obs).with_context(|| format!("seed {seed}, step {t}"))?;
        observations.extend(obs.iter().map(|&x| x as f32));
        actions.extend_from_slice(&action);
        rewards.push(step.reward as f32);
        t += 1;
        if step.terminated || step.truncated {
            break step;
        }
    };
    let steps = rewards.len();
    let last = |flag: bool| Array1::from_shape_fn(steps, |t| flag && t + 1 == steps);
    Ok(Episode {
        seed,
        // Both hold what was pushed above, row by row.
        observations: Array2::from_shape_vec((steps + 1, o), observations).expect("one row per observation"),
        actions: Array2::from_shape_vec((steps, a), actions).expect("one row per action"),
        rewards: Array1::from_vec(rewards),
        terminals: last(end.terminated),
        truncations: last(end.truncated),
    })
}

/// What episode `index` of a collection is reset with.
#[must_use]
pub fn reset_seed(seed: u64, index: u64) -> u64 {
    Philox::new(seed).bits(Stream::EnvReset, index, 0)
}

/// Episode `index` under `policy`, whose agent, where it is one, is `model`. Draws are named by `index · 2³² + t`.
///
/// # Errors
/// One line: the simulation gave the agent an observation that is not finite.
///
/// # Panics
/// If the policy is an agent and `model` is not there.
pub(super) fn episode(
    env: &mut AnyEnv,
    policy: &Policy,
    model: Option<&Model<'_>>,
    seed: u64,
    index: u64,
) -> Result<Episode> {
    let spec = env.spec().clone();
    let rng = Philox::new(seed);
    let name = |t: u32| index << 32 | u64::from(t);
    let middle = |(low, high): (f32, f32)| 0.5 * (low + high);
    match policy {
        Policy::Uniform => record(env, reset_seed(seed, index), |t, _, action| {
            spec.actions.uniform(rng, name(t), action);
            Ok(())
        }),
        Policy::Zero => record(env, reset_seed(seed, index), |_, _, action| {
            action.fill(0.0);
            Ok(())
        }),
        Policy::Noise(noise) => {
            let mut walk = Walk::new(*noise, &spec);
            record(env, reset_seed(seed, index), |t, _, action| {
                action.iter_mut().enumerate().for_each(|(i, a)| *a = middle(spec.actions.range(i)));
                walk.add(rng, name(t), action);
                Ok(())
            })
        }
        Policy::Agent(_, exploration) => {
            let model = model.expect("an agent's model");
            let mut memory = vec![0.0; memory_len(model.dims())];
            let mut agent = Agent::new(*model, &mut memory)?;
            agent.set_seed(reset_seed(seed, index)); // of an agent that samples its latent
            let mut walk = exploration.map(|noise| Walk::new(noise, &spec));
            let mut single = vec![0.0; spec.obs];
            record(env, reset_seed(seed, index), |t, obs, action| {
                single.iter_mut().zip(obs).for_each(|(s, &o)| *s = o as f32);
                agent.act(&single, action).with_context(|| format!("{}: episode {index}, step {t}", spec.id))?;
                if let Some(walk) = &mut walk {
                    walk.add(rng, name(t), action);
                    // M's memory takes what was done.
                    agent.override_action(action)?;
                }
                agent.advance()?;
                Ok(())
            })
        }
    }
}

/// Correlated noise: `n₀ = ε₀`, `n_t = ρ n_{t−1} + √(1−ρ²) ε_t`, `ρ = e^(−1/correlation)`, a first-order autoregression: an
/// Ornstein–Uhlenbeck process seen at whole steps, stationary from its first one.
struct Walk<'a> {
    spec: &'a EnvSpec,
    scale: f32,
    /// ρ and √(1−ρ²).
    keep: [f32; 2],
    started: bool,
    state: Vec<f32>,
    fresh: Vec<f32>,
}

impl<'a> Walk<'a> {
    fn new(noise: Noise, spec: &'a EnvSpec) -> Self {
        let rho = if noise.correlation > 0.0 { (-1.0 / noise.correlation).exp() } else { 0.0 };
        let keep = [rho as f32, (1.0 - rho * rho).sqrt() as f32];
        let zeros = vec![0.0; spec.action()];
        Self { spec, scale: noise.scale as f32, keep, started: false, state: zeros.clone(), fresh: zeros }
    }

    /// Adds the noise of one step to `action` and clips the sum to the action range.
    fn add(&mut self, rng: Philox, step: u64, action: &mut [f32]) {
        rng.fill_normal(Stream::CollectNoise, step, &mut self.fresh);
        let [keep, renew] = if self.started { self.keep } else { [0.0, 1.0] };
        self.started = true;
        for (i, a) in action.iter_mut().enumerate() {
            let (low, high) = self.spec.actions.range(i);
            self.state[i] = keep * self.state[i] + renew * self.fresh[i];
            *a = (*a + 0.5 * (high - low) * self.scale * self.state[i]).clamp(low, high);
        }
    }
}
