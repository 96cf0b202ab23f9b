//! Heun's second-order integrator, which MuJoCo lacks: it offers the first order and the fourth.

use mujoco_rs::wrappers::{MjData, MjModel};
use std::sync::Arc;

/// Heun's method: the mean of the rates at both ends of a substep, the second end predicted by Euler's. As after MuJoCo's own Runge-Kutta,
/// what is derived (bodies, forces) is left as of the predicted end.
#[derive(Default)]
pub(super) struct Heun {
    positions: Vec<f64>,
    predicted: Vec<f64>,
    velocities: Vec<f64>,
    accelerations: Vec<f64>,
}

impl Heun {
    pub(super) fn step(&mut self, data: &mut MjData<Arc<MjModel>>) {
        let Self { positions, predicted, velocities, accelerations } = self;
        let dt = data.model().opt().timestep;
        data.forward();
        let starts = [data.qpos(), data.qpos(), data.qvel(), data.qacc()];
        for (kept, now) in [&mut *positions, &mut *predicted, &mut *velocities, &mut *accelerations].into_iter().zip(starts)
        {
            kept.clear();
            kept.extend_from_slice(now);
        }
        data.model().integrate_pos(predicted, velocities, dt);
        data.qpos_mut().copy_from_slice(predicted);
        data.qvel_mut().iter_mut().zip(&*accelerations).for_each(|(v, a)| *v += dt * a);
        data.forward();
        for (rate, end) in velocities.iter_mut().zip(data.qvel()) {
            *rate = 0.5 * (*rate + end);
        }
        for (rate, end) in accelerations.iter_mut().zip(data.qacc()) {
            *rate = 0.5 * (end - *rate);
        }
        // v + dt·a₁ stands there already: what the mean adds to it is dt·(a₂ − a₁)/2.
        data.qvel_mut().iter_mut().zip(&*accelerations).for_each(|(v, rest)| *v += dt * rest);
        data.model().integrate_pos(positions, velocities, dt);
        data.qpos_mut().copy_from_slice(positions);
    }
}
