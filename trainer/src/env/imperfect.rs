//! What lies between an agent and a robot, around any environment: sensors that are late and noisy, actuators that obey late.
//!
//! ```text
//! action of step t ─▶ action_delay d ─▶ the environment does, in step t, the action of step t − d; before there was one, 0 (or the
//!                                       nearest to it in the range), the first of some choices
//! observation k ─▶ + noise ─▶ observation_delay d ─▶ the agent sees, in step t, the measurement of step t − d; before, that of reset
//! ```
//! A measurement's noise is Gaussian, independent from number to number and from step to step, in the observation's own units, and drawn
//! once: a late measurement is the same one. It is named by the episode's seed, the step and the number, so that it depends on nothing
//! else. Rewards, ends, the pose and the distance are the environment's own, undelayed.

use super::{AnyEnv, Env, EnvConfig, EnvSpec, Pose, Step};
use anyhow::{Result, bail, ensure};
use dreamstep_core::rng::{Philox, Stream};
use std::collections::VecDeque;

/// An environment, late and noisy.
pub struct Imperfect {
    env: AnyEnv,
    /// `[O]` standard deviations; empty: no noise.
    deviations: Vec<f64>,
    /// `[O]` each: measurements that the agent has not seen yet, the oldest first; so many as it is late.
    measured: VecDeque<Vec<f64>>,
    /// `[A]` each: actions that have not been done yet.
    commanded: VecDeque<Vec<f32>>,
    /// `[O]` one measurement's draws.
    draws: Vec<f32>,
    rng: Philox,
    step: u64,
}

/// Whether `env` has anything of it.
pub(super) fn is_asked_for(env: &EnvConfig) -> bool {
    env.action_delay > 0 || env.observation_delay > 0 || env.observation_noise.iter().any(|&deviation| deviation > 0.0)
}

/// The standard deviation of each number of an observation `[O]`, or none where there is no noise.
///
/// # Errors
/// One line: `env.observation_noise` has another number of values than there are numbers or parts, or the observation is a picture.
pub(super) fn deviations(env: &EnvConfig, spec: &EnvSpec) -> Result<Vec<f64>> {
    let (noise, blocks) = (&env.observation_noise, &spec.blocks);
    ensure!(
        noise.is_empty() || spec.image.is_none(),
        "env.observation_noise: {}: expected [] where an observation is a picture, found {noise:?}",
        spec.id
    );
    Ok(match noise.len() {
        0 => Vec::new(),
        1 => vec![noise[0]; spec.obs],
        n if n == blocks.len() => {
            blocks.iter().zip(noise).flat_map(|((_, size), &deviation)| vec![deviation; *size]).collect()
        }
        n if n == spec.obs => noise.clone(),
        n => {
            let names: Vec<&str> = blocks.iter().map(|(name, _)| name.as_str()).collect();
            bail!(
                "env.observation_noise: {}: expected one number, {} (one each for {}) or {}, found {n}",
                spec.id,
                blocks.len(),
                names.join(", "),
                spec.obs
            )
        }
    })
}

impl Imperfect {
    /// Around `inner`, as `env` says.
    ///
    /// # Errors
    /// As [`deviations`]'s.
    pub(super) fn new(inner: AnyEnv, env: &EnvConfig) -> Result<Self> {
        let (o, a) = (inner.spec().obs, inner.spec().action());
        Ok(Self {
            deviations: deviations(env, inner.spec())?,
            measured: vec![vec![0.0; o]; env.observation_delay as usize].into(),
            commanded: vec![vec![0.0; a]; env.action_delay as usize].into(),
            draws: vec![0.0; o],
            rng: Philox::new(0),
            step: 0,
            env: inner,
        })
    }

    /// The environment itself.
    #[must_use]
    pub fn inner(&self) -> &AnyEnv {
        &self.env
    }

    /// The environment itself.
    pub(super) fn inner_mut(&mut self) -> &mut AnyEnv {
        &mut self.env
    }

    /// Adds the noise of this step to `obs [O]`.
    fn measure(&mut self, obs: &mut [f64]) {
        if self.deviations.is_empty() {
            return;
        }
        self.rng.fill_normal(Stream::ObservationNoise, self.step, &mut self.draws);
        for ((x, &draw), &deviation) in obs.iter_mut().zip(&self.draws).zip(&self.deviations) {
            // Not even the sign of a zero changes where there is no noise.
            if deviation > 0.0 {
                *x += deviation * f64::from(draw);
            }
        }
    }
}

impl Env for Imperfect {
    fn spec(&self) -> &EnvSpec {
        self.env.spec()
    }

    fn reset(&mut self, seed: u64, obs: &mut [f64]) -> Result<()> {
        self.env.reset(seed, obs)?;
        (self.rng, self.step) = (Philox::new(seed), 0);
        self.measure(obs);
        self.measured.iter_mut().for_each(|late| late.copy_from_slice(obs));
        let actions = &self.env.spec().actions;
        for late in &mut self.commanded {
            for (i, value) in late.iter_mut().enumerate() {
                let (low, high) = actions.range(i);
                *value = 0.0_f32.clamp(low, high);
            }
        }
        Ok(())
    }

    fn step(&mut self, action: &[f32], obs: &mut [f64]) -> Result<Step> {
        // Now, and not when its turn comes.
        self.env.spec().check_action(action)?;
        let step = match self.commanded.pop_front() {
            None => self.env.step(action, obs)?,
            Some(mut oldest) => {
                let step = self.env.step(&oldest, obs);
                oldest.copy_from_slice(action);
                self.commanded.push_back(oldest);
                step?
            }
        };
        self.step += 1;
        self.measure(obs);
        if let Some(mut oldest) = self.measured.pop_front() {
            oldest.swap_with_slice(obs);
            self.measured.push_back(oldest);
        }
        Ok(step)
    }

    fn position_x(&self) -> Option<f64> {
        self.env.position_x()
    }

    fn privileged(&self) -> Option<Vec<f64>> {
        self.env.privileged()
    }

    fn pose(&self) -> Option<Pose> {
        self.env.pose()
    }

    fn read_pose(&self, obs: &[f64], pose: &mut Pose) {
        self.env.read_pose(obs, pose);
    }

    fn unobserved(&self) -> usize {
        self.env.unobserved()
    }

    fn assist(&mut self, force: f64) -> Result<()> {
        self.env.assist(force)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{CHOICES, spec};

    const SEED: u64 = 7;

    fn config(id: &str, action_delay: u32, observation_delay: u32, observation_noise: &[f64]) -> EnvConfig {
        let observation_noise = observation_noise.to_vec();
        EnvConfig { action_delay, observation_delay, observation_noise, ..EnvConfig::from(id) }
    }

    /// Observations `[T+1, O]`, and what each of `actions` earned.
    fn play(env: &EnvConfig, seed: u64, actions: &[Vec<f32>]) -> (Vec<Vec<f64>>, Vec<Step>) {
        let mut env = AnyEnv::make(env).unwrap();
        let mut obs = vec![f64::NAN; env.spec().obs];
        // Whatever went before.
        env.reset(99, &mut obs).unwrap();
        env.step(&actions[1], &mut obs).unwrap();
        env.reset(seed, &mut obs).unwrap();
        let mut seen = vec![obs.clone()];
        let steps = actions.iter().map(|action| {
            let step = env.step(action, &mut obs).unwrap();
            seen.push(obs.clone());
            step
        });
        let steps = steps.collect();
        (seen, steps)
    }

    fn actions(id: &str, count: u64) -> Vec<Vec<f32>> {
        let space = spec(&EnvConfig::from(id)).unwrap().actions;
        let one = |t| {
            let mut action = vec![0.0; space.len()];
            space.uniform(Philox::new(3), t, &mut action);
            action
        };
        (0..count).map(one).collect()
    }

    /// By hand: the environment is given the actions of some steps before, and its observations are kept, with noise, and shown later.
    #[test]
    fn what_is_late_comes_so_many_steps_late_and_noise_is_a_measurements_own() {
        // HalfCheetah observes 8 positions and 9 velocities.
        for (id, late, behind, noise) in [
            ("HalfCheetah-v5", 2, 3, vec![0.01, 0.5]),
            ("HalfCheetah-v5", 0, 1, vec![]),
            ("HalfCheetah-v5", 1, 0, vec![0.1]),
            ("CartPole-v1", 0, 0, vec![0.0, 0.1, 0.0, 0.2]),
            (CHOICES, 3, 2, vec![]),
        ] {
            let done = actions(id, 8);
            let nothing = vec![0.0; done[0].len()];
            let shifted: Vec<_> = vec![nothing; late].into_iter().chain(done.iter().cloned()).take(done.len()).collect();
            let (mut measured, expected) = play(&EnvConfig::from(id), SEED, &shifted);
            let parts = spec(&EnvConfig::from(id)).unwrap().blocks;
            for (t, observation) in measured.iter_mut().enumerate() {
                let mut draws = vec![0.0; observation.len()];
                Philox::new(SEED).fill_normal(Stream::ObservationNoise, t as u64, &mut draws);
                for (i, (x, draw)) in observation.iter_mut().zip(draws).enumerate() {
                    let part = if i < parts[0].1 { 0 } else { 1 };
                    let deviation = match noise.len() {
                        0 => 0.0,
                        1 => noise[0],
                        2 => noise[part],
                        _ => noise[i],
                    };
                    if deviation > 0.0 {
                        *x += deviation * f64::from(draw);
                    }
                }
            }
            let late = late as u32;
            let (seen, steps) = play(&config(id, late, behind as u32, &noise), SEED, &done);
            assert_eq!(steps, expected, "{id}: rewards and ends are not late");
            for (t, observation) in seen.iter().enumerate() {
                assert_eq!(observation, &measured[t.saturating_sub(behind)], "{id}: step {t}");
            }
        }
    }

    #[test]
    fn noise_is_of_the_seed_and_as_wide_as_asked_for() {
        let id = "InvertedPendulum-v5";
        let done = actions(id, 400);
        let (clean, _) = play(&EnvConfig::from(id), SEED, &done);
        let noisy = |seed| play(&config(id, 0, 0, &[0.25]), seed, &done).0;
        let found = noisy(SEED);
        assert_eq!(found, noisy(SEED));
        let noise: Vec<f64> = found.iter().flatten().zip(clean.iter().flatten()).map(|(a, b)| a - b).collect();
        let n = noise.len() as f64;
        let (mean, square) = (noise.iter().sum::<f64>() / n, noise.iter().map(|x| x * x).sum::<f64>() / n);
        assert!(mean.abs() < 0.03 && (square.sqrt() - 0.25).abs() < 0.02, "{mean} {}", square.sqrt());
        let (other, _) = play(&EnvConfig::from(id), SEED + 1, &done);
        let others: Vec<f64> = noisy(SEED + 1)[0].iter().zip(&other[0]).map(|(a, b)| a - b).collect();
        assert!(others.iter().zip(&noise).all(|(a, b)| (a - b).abs() > 1e-6), "of the seed");
    }

    /// Off, there is nothing around an environment.
    #[test]
    fn without_any_of_it_an_environment_is_itself() {
        assert!(matches!(AnyEnv::make(&config("Hopper-v5", 0, 0, &[])).unwrap(), AnyEnv::Mujoco(_)));
        assert!(matches!(AnyEnv::make(&config("CartPole-v1", 0, 0, &[0.0])).unwrap(), AnyEnv::CartPole(_)));
        assert_eq!(config("Hopper-v5", 0, 0, &[0.0, 0.0]).imperfections(), None);
        let said = config("Hopper-v5", 1, 2, &[0.01]).imperfections().unwrap();
        assert_eq!(
            said,
            "actions 1 step late, observations 2 steps late, observations with noise of standard deviation 0.01"
        );
        let mut drawn = config("Hopper-v5", 1, 0, &[]);
        (drawn.randomise.mass, drawn.randomise.gain) = (vec![0.9, 1.1], vec![0.8, 1.0]);
        assert_eq!(drawn.conditions().unwrap(), "actions 1 step late, randomised mass, gain");
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_one_line() {
        let error = |env: &EnvConfig| format!("{:#}", spec(env).unwrap_err());
        let found = error(&config("HalfCheetah-v5", 0, 0, &[0.1; 3]));
        assert_eq!(
            found,
            "env.observation_noise: HalfCheetah-v5: expected one number, 2 (one each for qpos, qvel) or 17, found 3"
        );
        let mut env = AnyEnv::make(&config("HalfCheetah-v5", 2, 0, &[])).unwrap();
        let mut obs = vec![0.0; 17];
        env.reset(0, &mut obs).unwrap();
        let error = env.step(&[0.0, 0.0, f32::NAN, 0.0, 0.0, 0.0], &mut obs).unwrap_err().to_string();
        assert!(
            error.contains("action[2]: expected a finite number, found NaN"),
            "in the step that it is asked for: {error}"
        );
    }
}
