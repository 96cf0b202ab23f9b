//! The state that an observation was made from: the inverse of a task's observation function, step by step.
//!
//! ```text
//! observation [O] ─read_pose→ positions, velocities        where the agent is in the world: x ← x + v·dt from step to step
//! ```
//! An observation leaves out where the agent is in the world (x, or x and y); the velocities beside them do not, so their sum goes into
//! their place, from 0. To set the whole observation as the state would be another body in another pose: an observation's first number is
//! not `qpos[0]`. What a network decoded need not be a state: it is refused where MuJoCo itself would call it broken, and its quaternions
//! get their length back.

use crate::env::{AnyEnv, Env, Pose};
use mujoco_rs::wrappers::mj_model::MjtJoint;

/// The largest number that MuJoCo takes for a position or a velocity (`mjMAXVAL`).
const LARGEST: f64 = 1e10;

/// Rebuilds the states of one episode.
pub struct Rebuilder<'a> {
    env: &'a AnyEnv,
    blank: Pose,
    /// Of the positions that no observation tells of.
    travelled: Vec<f64>,
    /// Where quaternions begin.
    quaternions: Vec<usize>,
}

impl<'a> Rebuilder<'a> {
    /// At the start of an episode of `env`, whose own state does not matter.
    #[must_use]
    pub fn new(env: &'a AnyEnv) -> Self {
        let Pose { positions, velocities } = env.pose().unwrap_or_default();
        let blank = Pose { positions: vec![0.0; positions.len()], velocities: vec![0.0; velocities.len()] };
        Self { env, blank, travelled: vec![0.0; env.unobserved()], quaternions: quaternions(env) }
    }

    /// The state of the next step, from its observation `[O]` alone. None where that holds a number that no simulator takes.
    ///
    /// # Panics
    /// If the observation is not of this environment.
    pub fn next(&mut self, observation: &[f64]) -> Option<Pose> {
        let mut pose = self.blank.clone();
        self.env.read_pose(observation, &mut pose);
        pose.positions[..self.travelled.len()].copy_from_slice(&self.travelled);
        let numbers = pose.positions.iter().chain(&pose.velocities);
        if !numbers.clone().all(|x| x.abs() <= LARGEST) {
            return None;
        }
        let dt_s = self.env.spec().dt_s;
        // What moves and is not observed are slides, and the three of a free joint: position i has velocity i.
        self.travelled.iter_mut().zip(&pose.velocities).for_each(|(x, v)| *x += v * dt_s);
        Some(pose)
    }

    /// As [`Self::next`], of an observation that a network decoded.
    ///
    /// # Panics
    /// As [`Self::next`].
    pub fn next_decoded(&mut self, observation: &[f64]) -> Option<Pose> {
        let mut pose = self.next(observation)?;
        for &at in &self.quaternions {
            let quaternion = &mut pose.positions[at..at + 4];
            let length = quaternion.iter().map(|q| q * q).sum::<f64>().sqrt();
            if length < 1e-12 {
                quaternion.copy_from_slice(&[1.0, 0.0, 0.0, 0.0]);
            } else {
                quaternion.iter_mut().for_each(|q| *q /= length);
            }
        }
        Some(pose)
    }
}

/// Where quaternions begin among the positions of `env`.
fn quaternions(env: &AnyEnv) -> Vec<usize> {
    match env {
        AnyEnv::CartPole(_) | AnyEnv::CarRacing(_) | AnyEnv::Bridge(_) => Vec::new(),
        AnyEnv::Imperfect(env) => quaternions(env.inner()),
        AnyEnv::Mujoco(env) => {
            let joints = env.model().jnt_type().iter().zip(env.model().jnt_qposadr());
            let begin = joints.filter_map(|(kind, &at)| match kind {
                MjtJoint::mjJNT_FREE => Some(at as usize + 3),
                MjtJoint::mjJNT_BALL => Some(at as usize),
                _ => None,
            });
            begin.collect()
        }
    }
}
