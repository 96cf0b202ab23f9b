//! How positions and velocities are read back out of an observation `[O]`: the inverse of what is observed, as far as there is one.
//!
//! ```text
//! qpos, qvel (joints by name too), scaled or not      the number itself; what was clipped stays clipped
//! sin and cos of one position                         their angle
//! place of a body that only slides along the axes     less where the model has it
//! ```
//! What is left of the positions must be the first ones, which say where the agent is in the world: slides, or the three of a free
//! joint, whose velocities are observed.

use super::place::{Read, Source};
use super::quantity::Quantity;
use crate::env::Pose;
use crate::run::config::Map;
use mujoco_rs::wrappers::MjModel;
use mujoco_rs::wrappers::mj_model::MjtJoint;
use std::ops::Range;

/// Reads a state.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    positions: Vec<(usize, Reading)>,
    velocities: Vec<(usize, Reading)>,
    /// Positions, the first ones, that are not observed.
    pub(super) unobserved: usize,
}

/// Where in an observation it stands.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// The number times `factor`, then `plus`.
    Number { at: usize, factor: f64, plus: f64 },
    /// Sine and cosine. A network's need not have length 1.
    Turn { sin: usize, cos: usize },
}

impl Reading {
    fn of(self, obs: &[f64]) -> f64 {
        match self {
            // Untouched where there is nothing to do: −0 + 0 is 0.
            Self::Number { at, factor, plus } => {
                let number = if factor == 1.0 { obs[at] } else { obs[at] * factor };
                if plus == 0.0 { number } else { number + plus }
            }
            Self::Turn { sin, cos } => obs[sin].atan2(obs[cos]),
        }
    }
}

impl Reader {
    /// None where an observation does not tell the state.
    pub(super) fn compile(read: Read<'_>, blocks: &[(Range<usize>, Quantity)]) -> Option<Self> {
        let model = read.model;
        let (nq, nv) = (usize::try_from(model.nq()).ok()?, usize::try_from(model.nv()).ok()?);
        let (mut positions, mut velocities) = (vec![None; nq], vec![None; nv]);
        let (mut sines, mut cosines) = (vec![None; nq], vec![None; nq]);
        for (range, quantity) in blocks {
            let Some((factor, map)) = quantity.inverse() else { continue };
            let numbers = range.clone().zip(quantity.place.range.clone());
            let (source, number) = (quantity.place.source, |at| Reading::Number { at, factor, plus: 0.0 });
            match (source, map) {
                (Source::Qpos, None) => numbers.for_each(|(at, i)| positions[i] = Some(number(at))),
                (Source::Qvel, None) => numbers.for_each(|(at, i)| velocities[i] = Some(number(at))),
                (Source::Qpos, Some(Map::Sin)) => numbers.for_each(|(at, i)| sines[i] = Some(at)),
                (Source::Qpos, Some(Map::Cos)) => numbers.for_each(|(at, i)| cosines[i] = Some(at)),
                _ => {}
            }
        }
        for (position, (sin, cos)) in positions.iter_mut().zip(sines.into_iter().zip(cosines)) {
            let turn = sin.zip(cos).map(|(sin, cos)| Reading::Turn { sin, cos });
            *position = position.or(turn);
        }
        for (range, quantity) in blocks {
            if let (Source::Body(body), Some((factor, None))) = (quantity.place.source, quantity.inverse()) {
                for (at, axis) in range.clone().zip(quantity.place.range.clone()) {
                    if let Some((i, origin)) = slide(model, body, axis) {
                        positions[i] = positions[i].or(Some(Reading::Number { at, factor, plus: -origin }));
                    }
                }
            }
        }
        let unobserved = positions.iter().take_while(|position| position.is_none()).count();
        let travels = (0..unobserved).all(|i| velocities[i].is_some() && is_travel(model, i));
        let all = positions[unobserved..].iter().all(Option::is_some);
        let indexed = |readings: Vec<Option<Reading>>| -> Vec<(usize, Reading)> {
            readings.into_iter().enumerate().filter_map(|(i, reading)| Some((i, reading?))).collect()
        };
        (all && travels).then(|| Self { positions: indexed(positions), velocities: indexed(velocities), unobserved })
    }

    /// Writes what is observed; the rest stays.
    pub(super) fn read(&self, obs: &[f64], pose: &mut Pose) {
        self.positions.iter().for_each(|(i, reading)| pose.positions[*i] = reading.of(obs));
        self.velocities.iter().for_each(|(i, reading)| pose.velocities[*i] = reading.of(obs));
    }
}

/// Whether position `i` is metres through the world, and velocity `i` its rate.
fn is_travel(model: &MjModel, i: usize) -> bool {
    let joints = model.jnt_type().iter().zip(model.jnt_qposadr().iter().zip(model.jnt_dofadr()));
    let mut starts = joints.map(|(joint, (position, velocity))| (*joint, *position as usize, *velocity as usize));
    starts.any(|(joint, position, velocity)| match joint {
        MjtJoint::mjJNT_SLIDE => (position, velocity) == (i, i),
        MjtJoint::mjJNT_FREE => position == velocity && (position..position + 3).contains(&i),
        _ => false,
    })
}

/// The position that moves `body` along `axis` and nothing else does, and where the body is when that is 0. Of bodies in the world that
/// slide along its axes.
fn slide(model: &MjModel, body: usize, axis: usize) -> Option<(usize, f64)> {
    let upright = model.body_parentid()[body] == 0 && model.body_quat()[body] == [1.0, 0.0, 0.0, 0.0];
    let (from, count) = (usize::try_from(model.body_jntadr()[body]).ok()?, model.body_jntnum()[body] as usize);
    let mut found = None;
    for joint in from..from + count {
        let along = model.jnt_axis()[joint];
        let is_slide = model.jnt_type()[joint] == MjtJoint::mjJNT_SLIDE && along.iter().filter(|x| **x != 0.0).count() == 1;
        if !upright || !is_slide {
            return None;
        }
        if along[axis] == 1.0 {
            let position = model.jnt_qposadr()[joint] as usize;
            let origin = model.body_pos()[body][axis] - model.qpos0()[position];
            found = found.is_none().then_some((position, origin));
            found?;
        } else if along[axis] != 0.0 {
            return None;
        }
    }
    found
}
