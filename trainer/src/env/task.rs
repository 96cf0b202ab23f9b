//! What a MuJoCo task is: sizes, start, observation, reward and camera. The tasks themselves are the rows of `tasks.rs`.

use super::numpy_random::NumpyRandom;
use super::{ActionSpace, EnvSpec, blocks};
use mujoco_rs::wrappers::{MjData, MjModel};
use std::sync::Arc;

/// What defines a task on top of its model. The functions are the rows' own; none of them keeps anything between calls.
pub(super) struct Task {
    /// Its name in Gymnasium.
    pub(super) id: &'static str,
    /// The model's file name.
    pub(super) file: &'static str,
    /// Seconds of a simulator step.
    pub(super) timestep_s: f64,
    /// Simulator steps in one environment step.
    pub(super) frame_skip: u32,
    /// `A`, and the bound of each actuator's range, which is symmetric.
    pub(super) actuators: (usize, f32),
    /// Steps after which an episode is truncated.
    pub(super) time_limit: u32,
    /// [`EnvSpec::blocks`].
    pub(super) blocks: &'static [(&'static str, usize)],
    /// [`EnvSpec::healthy_bonus`], of which `reward` holds as much.
    pub(super) healthy_bonus: f64,
    /// The bodies that [`World::body`] is asked for.
    pub(super) bodies: &'static [&'static str],
    /// Moves positions and velocities from the model's initial pose to an episode's start. The order of the draws is part of the
    /// definition.
    pub(super) start: fn(&mut NumpyRandom, &mut [f64], &mut [f64]),
    /// x in metres, whose change over a step becomes [`StepContext::velocity_x`].
    pub(super) track: fn(&World) -> f64,
    /// [`super::Env::position_x`].
    pub(super) position_x: fn(&World) -> f64,
    /// Appends one observation.
    pub(super) observe: fn(&World, &mut Vec<f64>),
    /// Which part of the state is observed.
    pub(super) observed: Observed,
    /// The camera of its films.
    pub(super) view: View,
    /// The reward, and whether the task is over. The order of the additions is part of the definition: it decides the bits.
    pub(super) reward: fn(&StepContext<'_>) -> (f64, bool),
}

impl Task {
    /// What the environment is; no simulator is made.
    pub(super) fn spec(&self) -> EnvSpec {
        let (action, bound) = self.actuators;
        EnvSpec {
            id: self.id.into(),
            obs: self.blocks.iter().map(|(_, len)| len).sum(),
            actions: ActionSpace::symmetric(action, bound),
            dt_s: self.timestep_s * f64::from(self.frame_skip),
            time_limit: self.time_limit,
            blocks: blocks(self.blocks),
            image: None,
            healthy_bonus: self.healthy_bonus,
        }
    }
}

/// How positions and velocities are read back out of an observation `[O]`.
#[derive(Clone, Copy)]
pub(super) enum Observed {
    /// All positions but so many at the front (where the agent is in the world), then all velocities.
    AllBut(usize),
    /// All positions, by this function. Velocities that are not observed stay as they are.
    By(fn(&MjModel, &[f64], &mut [f64], &mut [f64])),
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

impl View {
    /// From the side and a little above.
    pub(super) const fn fixed(look_at: [f64; 3], distance_m: f64) -> Self {
        Self { body: 0, look_at, distance_m, azimuth_deg: 90.0, elevation_deg: -15.0 }
    }

    pub(super) const fn follow(body: usize, height_m: f64, distance_m: f64) -> Self {
        Self { body, ..Self::fixed([0.0, 0.0, height_m], distance_m) }
    }
}

/// A simulator.
pub(super) struct World {
    pub(super) data: MjData<Arc<MjModel>>,
    pub(super) bodies: Vec<(&'static str, usize)>,
}

impl World {
    /// The frame's position of a body, in metres.
    ///
    /// # Panics
    /// If the task does not list it.
    pub(super) fn body(&self, name: &str) -> [f64; 3] {
        let (_, index) = self.bodies.iter().find(|(listed, _)| *listed == name).expect("a body that the task lists");
        self.data.xpos()[*index]
    }
}

/// What a reward function reads: the state after a step, and the action.
pub(super) struct StepContext<'a> {
    pub(super) world: &'a World,
    /// `[A]`, as it was asked for.
    pub(super) action: &'a [f32],
    /// Mean over the step, in m/s, of what the task tracks.
    pub(super) velocity_x: f64,
}
