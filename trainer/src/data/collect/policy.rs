//! The policies that act while an episode is recorded. Each is a function of the episode's number and of named draws, so that an episode
//! can be recorded again, alone, to the same bytes.

use crate::data::manifest::{Noise, Policy};
use crate::data::observations::Observations;
use crate::data::rollouts::Episode;
use crate::env::pool::sees_behind;
use crate::env::{ActionSpace, AnyEnv, Env, EnvSpec};
use anyhow::{Context, Result};
use dreamstep_core::action::greatest;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::{Agent, Model, memory_len};
use ndarray::{Array1, Array2, Array4};

/// Plays one episode to its end. `act(t, env, obs [O], action [A])` fills in the action of step `t`.
///
/// # Errors
/// What `act` gives; what the environment gives, with the seed and the step.
///
/// # Panics
/// As [`Env::step`] does, on an action that is not finite.
pub fn record(
    env: &mut AnyEnv,
    seed: u64,
    mut act: impl FnMut(u32, &AnyEnv, &[f64], &mut [f32]) -> Result<()>,
) -> Result<Episode> {
    let (o, a) = (env.spec().obs, env.spec().action());
    let (mut obs, mut action) = (vec![0.0; o], vec![0.0; a]);
    let (mut observed, mut actions, mut rewards) = (Observed::of(env.spec()), Vec::new(), Vec::new());
    env.reset(seed, &mut obs).with_context(|| format!("seed {seed}"))?;
    observed.add(&obs);
    let mut t = 0;
    let end = loop {
        act(t, env, &obs, &mut action)?;
        let step = env.step(&action, &mut obs).with_context(|| format!("seed {seed}, step {t}"))?;
        observed.add(&obs);
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
        observations: observed.rows(o),
        actions: Array2::from_shape_vec((steps, a), actions).expect("one row per action"),
        rewards: Array1::from_vec(rewards),
        terminals: last(end.terminated),
        truncations: last(end.truncated),
    })
}

/// Observations as they come, in what they are kept in.
enum Observed {
    Numbers(Vec<f32>),
    Bytes([usize; 3], Vec<u8>),
}

impl Observed {
    fn of(spec: &EnvSpec) -> Self {
        spec.image.map_or(Self::Numbers(Vec::new()), |image| Self::Bytes(image.prepared(), Vec::new()))
    }

    fn add(&mut self, obs: &[f64]) {
        match self {
            Self::Numbers(rows) => rows.extend(obs.iter().map(|&x| x as f32)),
            Self::Bytes(_, frames) => frames.extend(obs.iter().map(|&x| x as u8)),
        }
    }

    fn rows(self, columns: usize) -> Observations {
        match self {
            Self::Numbers(rows) => {
                Array2::from_shape_vec((rows.len() / columns, columns), rows).expect("one row per observation").into()
            }
            Self::Bytes([height, width, channels], frames) => {
                let shape = (frames.len() / columns, height, width, channels);
                Array4::from_shape_vec(shape, frames).expect("one frame per observation").into()
            }
        }
    }
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
    match policy {
        Policy::Uniform => record(env, reset_seed(seed, index), |t, _, _, action| {
            spec.actions.uniform(rng, name(t), action);
            Ok(())
        }),
        Policy::Zero => record(env, reset_seed(seed, index), |_, _, _, action| {
            action.fill(0.0);
            Ok(())
        }),
        Policy::Noise(noise) => {
            let mut walk = Walk::new(*noise, &spec.actions);
            record(env, reset_seed(seed, index), |t, _, _, action| {
                walk.step(rng, name(t));
                walk.act(action);
                Ok(())
            })
        }
        Policy::Agent(_, exploration) => {
            let model = model.expect("an agent's model");
            let mut memory = vec![0.0; memory_len(model.dims())];
            let mut agent = Agent::new(*model, &mut memory)?;
            agent.set_seed(reset_seed(seed, index)); // of an agent that samples its latent
            let mut walk = exploration.map(|noise| Walk::new(noise, &spec.actions));
            let mut single = Vec::new();
            let is_privileged = sees_behind(model, env);
            record(env, reset_seed(seed, index), |t, env, obs, action| {
                let behind = if is_privileged { env.privileged() } else { None };
                single.clear();
                single.extend(behind.as_deref().unwrap_or(obs).iter().map(|&o| o as f32));
                agent.act(&single, action).with_context(|| format!("{}: episode {index}, step {t}", spec.id))?;
                if let Some(walk) = &mut walk {
                    walk.step(rng, name(t));
                    walk.explore(action);
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
///
/// | actions | noise is | acts alone | on an agent's action |
/// |---|---|---|---|
/// | continuous | of each value, `scale` halves of the range wide | the middle of the range and the noise, clipped | the action and the noise, clipped |
/// | discrete | a score of each choice | the greatest score's choice | that one, in a share min(1, `scale`) of the steps |
///
/// In which steps an agent's choice is replaced is drawn anew with probability 1 − ρ a step, and else stays as it is: so that a choice of
/// the noise is kept about as long as the noise itself.
struct Walk<'a> {
    actions: &'a ActionSpace,
    scale: f32,
    /// ρ and √(1−ρ²).
    keep: [f32; 2],
    started: bool,
    /// Whether the noise chooses in place of an agent.
    exploring: bool,
    /// `[U]`
    state: Vec<f32>,
    fresh: Vec<f32>,
}

impl<'a> Walk<'a> {
    fn new(noise: Noise, actions: &'a ActionSpace) -> Self {
        let rho = if noise.correlation > 0.0 { (-1.0 / noise.correlation).exp() } else { 0.0 };
        let keep = [rho as f32, (1.0 - rho * rho).sqrt() as f32];
        let zeros = vec![0.0; actions.unit_len()];
        Self {
            actions,
            scale: noise.scale as f32,
            keep,
            started: false,
            exploring: false,
            state: zeros.clone(),
            fresh: zeros,
        }
    }

    /// The noise of the next step, with draws that `step` names.
    fn step(&mut self, rng: Philox, step: u64) {
        rng.fill_normal(Stream::CollectNoise, step, &mut self.fresh);
        let [keep, renew] = if self.started { self.keep } else { [0.0, 1.0] };
        if !self.started || rng.uniform(Stream::CollectAction, step, 0) >= keep {
            self.exploring = rng.uniform(Stream::CollectAction, step, 1) < self.scale;
        }
        self.started = true;
        self.state.iter_mut().zip(&self.fresh).for_each(|(state, fresh)| *state = keep * *state + renew * fresh);
    }

    /// What the noise does by itself.
    fn act(&self, action: &mut [f32]) {
        match self.actions {
            ActionSpace::Continuous { low, high } => {
                action.iter_mut().zip(low.iter().zip(high)).for_each(|(a, (low, high))| *a = 0.5 * (low + high));
                self.add(action);
            }
            ActionSpace::Discrete { .. } => action.fill(greatest(&self.state) as f32),
        }
    }

    /// What the noise makes of an agent's `action`.
    fn explore(&self, action: &mut [f32]) {
        match self.actions {
            ActionSpace::Continuous { .. } => self.add(action),
            ActionSpace::Discrete { .. } if self.exploring => self.act(action),
            ActionSpace::Discrete { .. } => {}
        }
    }

    /// Adds the noise to a continuous `action` and clips the sum to the action range.
    fn add(&self, action: &mut [f32]) {
        for (i, a) in action.iter_mut().enumerate() {
            let (low, high) = self.actions.range(i);
            *a = (*a + 0.5 * (high - low) * self.scale * self.state[i]).clamp(low, high);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{CHOICES, EnvConfig};

    /// Episodes 0 to 39 of `policy` in an environment of three choices: every choice.
    fn choices(policy: &Policy) -> Vec<Vec<f32>> {
        let mut env = AnyEnv::make(&EnvConfig::from(CHOICES)).unwrap();
        let played = (0..40).map(|index| episode(&mut env, policy, None, 5, index).unwrap());
        played.map(|episode| episode.actions.iter().copied().collect()).collect()
    }

    fn shares(choices: &[Vec<f32>]) -> [f64; 3] {
        let all: Vec<f32> = choices.concat();
        [0.0, 1.0, 2.0].map(|choice| all.iter().filter(|&&a| a == choice).count() as f64 / all.len() as f64)
    }

    /// How often a step's choice is the one of the step before.
    fn kept(choices: &[Vec<f32>]) -> f64 {
        let pairs: Vec<_> = choices.iter().flat_map(|episode| episode.windows(2)).collect();
        pairs.iter().filter(|pair| pair[0] == pair[1]).count() as f64 / pairs.len() as f64
    }

    #[test]
    fn policies_of_choices_choose() {
        let noise = |scale, correlation| Policy::Noise(Noise { scale, correlation });
        assert_eq!(shares(&choices(&Policy::Zero)), [1.0, 0.0, 0.0]);
        for policy in [Policy::Uniform, noise(1.0, 0.0), noise(0.1, 3.0)] {
            let found = shares(&choices(&policy));
            assert!(found.iter().all(|share| (0.25..0.42).contains(share)), "{policy:?}: {found:?}");
        }
        // White noise keeps a choice as often as a draw of three does; noise that remembers, for a while.
        let [uniform, white, correlated] = [Policy::Uniform, noise(1.0, 0.0), noise(1.0, 10.0)].map(|p| kept(&choices(&p)));
        assert!((uniform - 1.0 / 3.0).abs() < 0.05 && (white - 1.0 / 3.0).abs() < 0.05, "{uniform} {white}");
        assert!((0.7..0.95).contains(&correlated), "{correlated}");
        assert_eq!(choices(&noise(1.0, 10.0)), choices(&noise(7.0, 10.0)), "of scores only the order counts");
    }

    /// What an agent that always chooses `own` ends up doing in `steps` steps.
    fn explored(scale: f64, correlation: f64, own: f32, steps: u64) -> Vec<(bool, f32)> {
        let space = ActionSpace::Discrete { choices: 3 };
        let mut walk = Walk::new(Noise { scale, correlation }, &space);
        let step = |t| {
            let mut action = [own];
            walk.step(Philox::new(9), t);
            walk.explore(&mut action);
            assert!(walk.exploring || action[0] == own);
            (walk.exploring, action[0])
        };
        (0..steps).map(step).collect()
    }

    #[test]
    fn an_agents_choice_is_replaced_in_the_share_that_was_asked_for() {
        for (scale, correlation) in [(0.3, 0.0), (0.3, 5.0), (1.0, 5.0), (4.0, 0.0)] {
            let steps = explored(scale, correlation, 1.0, 20_000);
            let exploring = steps.iter().filter(|(exploring, _)| *exploring).count() as f64 / 20_000.0;
            assert!((exploring - scale.min(1.0)).abs() < 0.03, "{scale}, {correlation}: {exploring}");
            // Noise chooses the agent's own now and then, too.
            let other = steps.iter().filter(|(_, action)| *action != 1.0).count() as f64 / 20_000.0;
            assert!((other - 2.0 / 3.0 * exploring).abs() < 0.03, "{scale}, {correlation}: {other} of {exploring}");
        }
        // One by one, or for a while.
        let switches = |correlation| {
            let steps = explored(0.3, correlation, 1.0, 20_000);
            steps.windows(2).filter(|pair| pair[0].0 != pair[1].0).count()
        };
        assert!(switches(5.0) * 4 < switches(0.0), "{} {}", switches(5.0), switches(0.0));
    }
}
