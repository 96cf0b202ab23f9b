//! The assistive force: an external spring on the torso that holds an agent upright while it learns, and is annealed to nothing.

use anyhow::{Context, Result};
use mujoco_rs::wrappers::mj_model::MjtJoint;
use mujoco_rs::wrappers::{MjData, MjModel};
use std::sync::Arc;

/// A vertical spring that lifts a torso that sinks, and an angular spring and damper that turn it upright. The torso is the body of the
/// model's first joint, which is free.
pub(super) struct AssistiveForce {
    torso: usize,
    /// N: the greatest lift.
    lift: f64,
    /// Metres: the torso is lifted below this height.
    below: f64,
    /// N·m per radian.
    stiffness: f64,
}

/// The torso is lifted below this share of the height at which an episode starts (with the feet in the air).
const BELOW: f64 = 0.92;
/// Metres further down the lift is greatest.
const STRETCH: f64 = 0.1;
/// The damper's torque at 1 rad/s is the spring's at so many radians.
const DAMPING_S: f64 = 0.02;

impl AssistiveForce {
    /// Of `force` times the torque that would topple a rigid body of the agent's mass and height.
    ///
    /// # Errors
    /// The task has no torso that moves freely.
    pub(super) fn new(id: &str, model: &MjModel, force: f64) -> Result<Self> {
        let free = model.jnt_type().first() == Some(&MjtJoint::mjJNT_FREE);
        let torso = model.jnt_bodyid().first().filter(|_| free).map(|body| *body as usize);
        let torso = torso.with_context(|| format!("{id}: assistive force: expected a torso that moves freely"))?;
        let (mass, height, gravity) = (model.body_mass().iter().sum::<f64>(), model.qpos0()[2], -model.opt().gravity[2]);
        let lift = force * mass * gravity;
        Ok(Self { torso, lift, below: BELOW * height, stiffness: lift * height })
    }

    /// Acts until [`Self::release`].
    pub(super) fn apply(&self, data: &mut MjData<Arc<MjModel>>) {
        let m = data.xmat()[self.torso];
        // The torso's own axis spins freely: little turns with it, and a damper of this strength would shake it.
        let (roll, pitch) = (data.qvel()[3], data.qvel()[4]);
        let turn = |row: usize| m[3 * row] * roll + m[3 * row + 1] * pitch;
        // The torso's axis × the vertical turns the one towards the other.
        let tilt = [m[5], -m[2], 0.0];
        let sunk = ((self.below - data.qpos()[2]) / STRETCH).clamp(0.0, 1.0);
        let torque = |axis: usize| self.stiffness * (tilt[axis] - DAMPING_S * turn(axis));
        data.xfrc_applied_mut()[self.torso] = [0.0, 0.0, self.lift * sunk, torque(0), torque(1), torque(2)];
    }

    /// So that no observation and no reward holds anything of it.
    pub(super) fn release(&self, data: &mut MjData<Arc<MjModel>>) {
        data.xfrc_applied_mut()[self.torso] = [0.0; 6];
    }
}
