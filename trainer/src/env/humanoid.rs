//! Humanoid-v5: walk forward without falling (Tassa, Erez & Todorov, 2012; this definition: Gymnasium 1.4.0).
//!
//! ```text
//! obs [348] = qpos[2..] 22 | qvel 23 | cinert[1..] 13×10 | cvel[1..] 13×6 | qfrc_actuator[6..] 17 | cfrc_ext[1..] 13×6
//! reward    = 1.25·v_x + 5·healthy − (0.1·Σ ctrl² + min(5e-7·Σ cfrc_ext², 10))
//! ```
//!
//! `v_x` is the centre of mass's mean velocity over the step in m/s. An unhealthy step (torso not strictly between 1 m and 2 m)
//! terminates. x and y are left out of the observation; the world body (index 0) and the free joint's six forces are constants.

use super::mujoco::{Simulation, Task, numpy_sum, write_observation};
use super::{Env, EnvSpec, Step};

const TASK: Task = Task { id: "Humanoid-v5", file: "humanoid.xml", frame_skip: 5, time_limit: 1000 };

const FORWARD_WEIGHT: f64 = 1.25; // per m/s
const HEALTHY_REWARD: f64 = 5.0;
const HEALTHY_Z_M: (f64, f64) = (1.0, 2.0); // both excluded
const CONTROL_WEIGHT: f64 = 0.1;
const CONTACT_WEIGHT: f64 = 5e-7;
const CONTACT_COST_MAX: f64 = 10.0;
const RESET_NOISE: f64 = 1e-2;

/// x and y of the torso: the first positions, not observed.
const HIDDEN_QPOS: usize = 2;
/// The free joint's forces: no actuator reaches them.
const FREE_JOINT: usize = 6;

/// The environment.
pub struct Humanoid {
    sim: Simulation,
}

impl Humanoid {
    /// A humanoid that waits for its first [`Env::reset`].
    ///
    /// # Errors
    /// One line: the model file is missing or does not compile.
    pub fn new() -> anyhow::Result<Self> {
        let sim = Simulation::new(&TASK, |data| {
            let (positions, velocities, bodies) = (data.qpos().len(), data.qvel().len(), data.cinert().len());
            (positions - HIDDEN_QPOS) + velocities + (bodies - 1) * (10 + 6 + 6) + (velocities - FREE_JOINT)
        })?;
        Ok(Self { sim })
    }

    fn observe(&self, obs: &mut [f64]) {
        let data = &self.sim.data;
        let blocks = [
            &data.qpos()[HIDDEN_QPOS..],
            data.qvel(),
            data.cinert()[1..].as_flattened(),
            data.cvel()[1..].as_flattened(),
            &data.qfrc_actuator()[FREE_JOINT..],
            data.cfrc_ext()[1..].as_flattened(),
        ];
        write_observation(TASK.id, obs, &blocks);
    }

    fn healthy(&self) -> bool {
        let z_m = self.sim.data.qpos()[2];
        HEALTHY_Z_M.0 < z_m && z_m < HEALTHY_Z_M.1
    }

    /// The order of the additions is part of the definition: it decides the bits.
    fn reward(&self, velocity_x: f64, healthy: bool) -> f64 {
        let control_cost = CONTROL_WEIGHT * sum_of_squares(self.sim.data.ctrl());
        let contact_cost = CONTACT_WEIGHT * sum_of_squares(self.sim.data.cfrc_ext().as_flattened());
        let rewards = FORWARD_WEIGHT * velocity_x + if healthy { HEALTHY_REWARD } else { 0.0 };
        rewards - (control_cost + contact_cost.min(CONTACT_COST_MAX))
    }
}

impl Env for Humanoid {
    fn spec(&self) -> &EnvSpec {
        &self.sim.spec
    }

    fn reset(&mut self, seed: u64, obs: &mut [f64]) {
        self.sim.reset_uniform(seed, RESET_NOISE);
        self.observe(obs);
    }

    fn step(&mut self, action: &[f32], obs: &mut [f64]) -> Step {
        let x_before = self.sim.center_of_mass_x();
        self.sim.advance(action);
        let velocity_x = (self.sim.center_of_mass_x() - x_before) / self.sim.spec.dt_s;
        self.observe(obs);
        let healthy = self.healthy();
        Step { reward: self.reward(velocity_x, healthy), terminated: !healthy, truncated: self.sim.truncated() }
    }

    fn position_x(&self) -> f64 {
        self.sim.data.qpos()[0]
    }
}

/// `numpy.sum(numpy.square(values))`.
fn sum_of_squares(values: &[f64]) -> f64 {
    let squares: Vec<f64> = values.iter().map(|x| x * x).collect();
    numpy_sum(&squares)
}
