//! What a MuJoCo task is, besides its model: what is observed, rewarded and drawn at the start, when it is over, where from it is
//! looked at. A text says so (`crate::run::config::TaskConfig`, Gymnasium's tasks in `configs/tasks`); here it is looked up in the
//! model, once, so that a step compares no names and takes no memory.
//!
//! ```text
//! text ──┬─ observe    → quantities (quantity.rs), and their inverse (pose.rs)
//!        ├─ reward     → terms, ┐
//!        ├─ terminate  → ranges ┴ judge.rs
//!        ├─ reset      → draws (start.rs)
//!        └─ camera     → View
//! ```

mod judge;
mod place;
mod pose;
mod quantity;
mod start;
#[cfg(test)]
mod tests;

use super::Pose;
use super::numpy_random::NumpyRandom;
use crate::run::config::{CameraConfig, QuantityConfig, TaskConfig};
use anyhow::{Context, Result, ensure};
use judge::{Judge, named, unused};
use mujoco_rs::wrappers::mj_model::{MjtJoint, MjtObjBase};
use place::Place;
use pose::Reader;
use quantity::Quantity;
use start::Start;
use std::ops::Range;

pub(super) use judge::Memory;
pub(super) use place::{Read, World};

/// A task on its model.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// Names and lengths of the parts of an observation.
    pub(super) blocks: Vec<(String, usize)>,
    /// Where the task is looked at from.
    pub(super) view: View,
    observe: Vec<(Range<usize>, Quantity)>,
    reader: Option<Reader>,
    judge: Judge,
    start: Start,
    distance: Option<Place>,
}

/// A camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// The body that it follows along the ground; 0, the world, stays where it is.
    pub body: usize,
    /// The point that it looks at, in metres: x and y from that body, z from the ground.
    pub look_at: [f64; 3],
    /// Metres from there.
    pub distance_m: f64,
    /// Degrees around the vertical; 90 looks along y.
    pub azimuth_deg: f64,
    /// Degrees above the horizon that it looks; below 0, it looks down.
    pub elevation_deg: f64,
}

impl Task {
    /// `config` on the model, of which a step takes `dt_s` seconds.
    ///
    /// # Errors
    /// One line that names the key, the element and what is wrong.
    pub(super) fn compile(read: Read<'_>, config: &TaskConfig, dt_s: f64) -> Result<Self> {
        ensure!(!config.observe.is_empty(), "env.task.observe: expected at least one block, found none");
        let (mut blocks, mut observe, mut from) = (Vec::new(), Vec::new(), 0);
        for (i, block) in config.observe.iter().enumerate() {
            let quantity = observed(read, block).with_context(|| named("observe", i, block))?;
            let of = block.of.split_once('[').map_or(block.of.as_str(), |(head, _)| head);
            let name = if block.name.is_empty() { of } else { &block.name };
            blocks.push((name.to_owned(), quantity.len()));
            let range = from..from + quantity.len();
            from = range.end;
            observe.push((range, quantity));
        }
        let distance = match config.distance.as_str() {
            "" => None,
            of => Some(distance(read, of).with_context(|| format!("env.task.distance = {of:?}"))?),
        };
        Ok(Self {
            blocks,
            view: View::compile(read, &config.camera, distance.is_some())?,
            reader: Reader::compile(read, &observe),
            observe,
            judge: Judge::compile(read, &config.reward, &config.terminate, dt_s)?,
            start: Start::compile(read, &config.keyframe, &config.reset)?,
            distance,
        })
    }

    /// `O`.
    pub(super) fn obs(&self) -> usize {
        self.observe.last().map_or(0, |(range, _)| range.end)
    }

    /// [`super::EnvSpec::healthy_bonus`].
    pub(super) fn healthy_bonus(&self) -> f64 {
        self.judge.healthy_bonus()
    }

    /// Room for what judging keeps from step to step.
    pub(super) fn memory(&self) -> Memory {
        self.judge.memory()
    }

    /// Puts the simulator at the start of the episode that `rng` draws.
    ///
    /// # Errors
    /// One line: nothing to be drawn.
    pub(super) fn start(&self, rng: &mut NumpyRandom, world: &mut World) -> Result<()> {
        world.action.fill(0.0);
        world.time_s = 0.0;
        self.start.start(rng, &mut world.data)
    }

    /// Writes an observation `[O]`.
    pub(super) fn observe(&self, world: &World, obs: &mut [f64]) {
        self.observe.iter().for_each(|(range, quantity)| quantity.read(world, &mut obs[range.clone()]));
    }

    /// Before a step.
    pub(super) fn mark(&self, world: &World, memory: &mut Memory) {
        self.judge.mark(world, memory);
    }

    /// After it: the reward, and whether the task is over.
    pub(super) fn judge(&self, world: &World, memory: &mut Memory) -> (f64, bool) {
        self.judge.judge(world, memory)
    }

    /// [`super::Env::position_x`].
    pub(super) fn distance(&self, world: &World) -> Option<f64> {
        self.distance.as_ref().map(|place| place.first(world))
    }

    /// Whether an observation tells the state, but for [`Self::unobserved`].
    pub(super) const fn tells_pose(&self) -> bool {
        self.reader.is_some()
    }

    /// How many positions, the first ones, are not observed.
    pub(super) fn unobserved(&self) -> usize {
        self.reader.as_ref().map_or(0, |reader| reader.unobserved)
    }

    /// Writes the part of `pose` that is observed, out of an observation `[O]`; the rest stays.
    pub(super) fn read_pose(&self, obs: &[f64], pose: &mut Pose) {
        if let Some(reader) = &self.reader {
            reader.read(obs, pose);
        }
    }
}

fn observed(read: Read<'_>, block: &QuantityConfig) -> Result<Quantity> {
    unused(
        block,
        &[
            ("take", block.take.is_some()),
            ("rate", block.rate),
            ("power", block.power.is_some()),
            ("exp", block.exp.is_some()),
            ("inside", block.inside.is_some()),
            ("outside", block.outside.is_some()),
            ("strict", block.strict),
            ("weight", block.weight != 1.0),
            ("limit", block.limit.is_some()),
            ("group", !block.group.is_empty()),
        ],
    )?;
    Quantity::compile(read, block)
}

fn distance(read: Read<'_>, of: &str) -> Result<Place> {
    let config = QuantityConfig { of: of.to_owned(), ..QuantityConfig::default() };
    let place = Quantity::compile(read, &config)?.place;
    ensure!(place.len() == 1, "expected one number, found {}; choose with [i]", place.len());
    Ok(place)
}

impl View {
    /// What `camera` leaves out follows from the model: it looks at its middle, from as far as it is large, and goes along with what
    /// `travels` or moves freely.
    fn compile(read: Read<'_>, camera: &CameraConfig, travels: bool) -> Result<Self> {
        let model = read.model;
        let (first, joint) = (model.jnt_bodyid().first(), model.jnt_type().first());
        let body = match camera.body.as_str() {
            "" if travels || joint == Some(&MjtJoint::mjJNT_FREE) => first.map_or(0, |body| *body as usize),
            "" => 0,
            name => read.find(MjtObjBase::mjOBJ_BODY, "body", name).context("env.task.camera.body")?,
        };
        let [x, y, z] = model.stat().center;
        let look_at = match *camera.look_at {
            [] if body == 0 => [x, y, z],
            [] => [0.0, 0.0, z],
            [x, y, z] => [x, y, z],
            _ => anyhow::bail!("env.task.camera.look_at: expected [x, y, z] or [], found {:?}", camera.look_at),
        };
        let distance_m = if camera.distance_m > 0.0 { camera.distance_m } else { 1.5 * model.stat().extent };
        Ok(Self { body, look_at, distance_m, azimuth_deg: camera.azimuth_deg, elevation_deg: camera.elevation_deg })
    }
}
