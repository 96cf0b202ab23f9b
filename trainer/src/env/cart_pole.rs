//! CartPole-v1: keep a pole upright by pushing its cart left or right (Barto, Sutton & Anderson, 1983; this definition:
//! Gymnasium 1.4.0). No simulator is needed: the motion is two equations and Euler's step.
//!
//! ```text
//! obs [4]  = x m | v m/s | θ rad | ω rad/s, rounded to binary32
//! θ̈        = (g·sin θ − cos θ·f) / (l·(4/3 − m·cos² θ / M)),   f = (F + m·l·ω²·sin θ) / M
//! ẍ        = f − m·l·θ̈·cos θ / M
//! reward   = 1, also in the step that ends the task (|x| > 2.4 m or |θ| > 12°)
//! ```
//!
//! The action is one number where Gymnasium's is a choice of two: `a ≥ 0` pushes to the right (Gymnasium's 1), `a < 0` to the
//! left (its 0). So a linear controller, the uniform policy on [-1, 1] and an agent's action map work as they are, and the uniform
//! policy is Gymnasium's.

use super::numpy_random::NumpyRandom;
use super::{ActionSpace, Env, EnvSpec, Pose, Step, blocks};
use anyhow::Result;

/// Its name in Gymnasium.
pub(super) const ID: &str = "CartPole-v1";

const GRAVITY: f64 = 9.8; // m/s²
const POLE_MASS: f64 = 0.1; // kg, m
const TOTAL_MASS: f64 = POLE_MASS + 1.0; // kg, M
const HALF_LENGTH: f64 = 0.5; // m, l
const POLE_MOMENT: f64 = POLE_MASS * HALF_LENGTH; // kg·m, m·l
const FORCE: f64 = 10.0; // N, F
const DT_S: f64 = 0.02;
const MAX_X_M: f64 = 2.4;
const MAX_ANGLE: f64 = 12.0 * 2.0 * std::f64::consts::PI / 360.0;
const RESET_NOISE: f64 = 0.05;

/// What the environment is.
pub(super) fn spec() -> EnvSpec {
    EnvSpec {
        id: ID.into(),
        obs: 4,
        actions: ActionSpace::symmetric(1, 1.0),
        dt_s: DT_S,
        time_limit: 500,
        blocks: blocks(&[("position", 1), ("velocity", 1), ("angle", 1), ("angular_velocity", 1)]),
        image: None,
        // Its 1 is paid in the step that ends the task, too.
        healthy_bonus: 0.0,
    }
}

/// What tests of choices play: to the left, not at all, or to the right.
#[cfg(test)]
pub(crate) const CHOICES: &str = "CartPole-choices";

/// What [`CHOICES`] is.
#[cfg(test)]
pub(super) fn choices() -> EnvSpec {
    EnvSpec { id: CHOICES.into(), actions: ActionSpace::Discrete { choices: 3 }, ..spec() }
}

/// How far the cart may go to either side, and how long the pole is, in metres.
pub(crate) const fn geometry() -> (f64, f64) {
    (MAX_X_M, 2.0 * HALF_LENGTH)
}

/// CartPole-v1. Its one action is a choice of two: `a ≥ 0` pushes to the right (Gymnasium's 1), `a < 0` to the left (its 0).
pub struct CartPole {
    spec: EnvSpec,
    /// x, v, θ, ω
    state: [f64; 4],
    elapsed: u32,
    /// The task has ended: a step that finds it ended once more earns nothing.
    over: bool,
}

impl CartPole {
    /// A cart that waits for its first [`Env::reset`].
    pub(super) fn new(spec: EnvSpec) -> Self {
        Self { spec, state: [0.0; 4], elapsed: 0, over: false }
    }

    /// What `action` pushes with, in newtons.
    fn force(&self, action: f32) -> f64 {
        #[cfg(test)]
        if self.spec.id == CHOICES {
            return FORCE * (f64::from(action) - 1.0);
        }
        if action >= 0.0 { FORCE } else { -FORCE }
    }

    fn observe(&self, obs: &mut [f64]) {
        obs.iter_mut().zip(self.state).for_each(|(o, x)| *o = f64::from(x as f32));
    }

    /// The order of the operations is part of the definition: it decides the bits.
    fn advance(&mut self, force: f64) {
        let [x, v, angle, omega] = self.state;
        let (sin, cos) = (angle.sin(), angle.cos());
        let push = (force + POLE_MOMENT * (omega * omega) * sin) / TOTAL_MASS;
        let angular_acceleration =
            (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * (cos * cos) / TOTAL_MASS));
        let acceleration = push - POLE_MOMENT * angular_acceleration * cos / TOTAL_MASS;
        self.state = [x + DT_S * v, v + DT_S * acceleration, angle + DT_S * omega, omega + DT_S * angular_acceleration];
        self.elapsed = self.elapsed.saturating_add(1);
    }
}

impl Env for CartPole {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn reset(&mut self, seed: u64, obs: &mut [f64]) -> Result<()> {
        self.spec.check_obs(obs)?;
        let mut rng = NumpyRandom::new(seed);
        self.state = std::array::from_fn(|_| rng.uniform(-RESET_NOISE, RESET_NOISE));
        (self.elapsed, self.over) = (0, false);
        self.observe(obs);
        Ok(())
    }

    fn step(&mut self, action: &[f32], obs: &mut [f64]) -> Result<Step> {
        self.spec.check_action(action)?;
        self.spec.check_obs(obs)?;
        self.advance(self.force(action[0]));
        self.observe(obs);
        let [x, _, angle, _] = self.state;
        let terminated = x.abs() > MAX_X_M || angle.abs() > MAX_ANGLE;
        let reward = if terminated && self.over { 0.0 } else { 1.0 };
        self.over |= terminated;
        Ok(Step { reward, terminated, truncated: self.elapsed >= self.spec.time_limit })
    }

    fn position_x(&self) -> Option<f64> {
        Some(self.state[0])
    }

    fn pose(&self) -> Option<Pose> {
        let [x, v, angle, omega] = self.state;
        Some(Pose { positions: vec![x, angle], velocities: vec![v, omega] })
    }

    fn tells_pose(&self) -> bool {
        true
    }

    fn read_pose(&self, obs: &[f64], pose: &mut Pose) {
        pose.positions.copy_from_slice(&[obs[0], obs[2]]);
        pose.velocities.copy_from_slice(&[obs[1], obs[3]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the two halves of the range meet, and that only the sign matters.
    #[test]
    fn an_action_is_its_sign() {
        let after = |action: f32| {
            let (mut env, mut obs) = (CartPole::new(spec()), [0.0; 4]);
            env.reset(0, &mut obs).unwrap();
            env.step(&[action], &mut obs).unwrap();
            obs
        };
        let (right, left) = (after(1.0), after(-1.0));
        assert!(right[1] > 0.1 && left[1] < -0.1, "a push moves the cart: {right:?} {left:?}");
        assert!([0.0, -0.0, f32::MIN_POSITIVE, 7.0].into_iter().all(|action| after(action) == right));
        assert!([-f32::MIN_POSITIVE, -0.5, -7.0].into_iter().all(|action| after(action) == left));
    }

    /// What random play hardly meets: each of the four limits, from either side.
    #[test]
    fn limits_end_the_task() {
        let degree = std::f64::consts::PI / 180.0;
        for (x, angle, expected) in [
            (2.39, 0.0, false),
            (2.41, 0.0, true),
            (-2.39, 0.0, false),
            (-2.41, 0.0, true),
            (0.0, 11.9 * degree, false),
            (0.0, 12.1 * degree, true),
            (0.0, -11.9 * degree, false),
            (0.0, -12.1 * degree, true),
        ] {
            let mut env = CartPole { state: [x, 0.0, angle, 0.0], ..CartPole::new(spec()) };
            let step = env.step(&[1.0], &mut [0.0; 4]).unwrap();
            assert_eq!((step.terminated, step.reward), (expected, 1.0), "{x} m, {angle} rad");
        }
    }

    /// Past the end a step earns where the pole has come back within its limits, and only there.
    #[test]
    fn a_pole_that_comes_back_earns_again() {
        let falling = [0.0, 0.0, MAX_ANGLE - 0.001, 0.2];
        let mut env = CartPole { state: falling, ..CartPole::new(spec()) };
        // Pushing the cart under the pole rights it.
        let steps: Vec<_> = (0..20).map(|_| env.step(&[1.0], &mut [0.0; 4]).unwrap()).collect();
        let back = steps.iter().position(|step| !step.terminated).unwrap();
        assert!(back > 1, "it falls first: {steps:?}");
        assert_eq!((steps[0].reward, steps[1].reward, steps[back].reward), (1.0, 0.0, 1.0));
    }
}
