//! What can an agent act in? Environments defined as Gymnasium defines them, down to the bits of observations and rewards.
//!
//! ```text
//! reset(seed) → obs [O]        step(action [A]) → obs [O], reward, terminated | truncated
//! ```
//!
//! A new MuJoCo task is one row of `tasks.rs`; anything else is one file and one variant of [`AnyEnv`]. MuJoCo is bit-identical
//! to itself in one version on one kind of machine; nothing is promised across either.

mod cart_pole;
mod mujoco;
mod numpy_math;
mod numpy_normal;
pub mod numpy_random;
pub mod pool;
mod tasks;

pub use crate::run::config::Physics;
pub use cart_pole::CartPole;
pub(crate) use cart_pole::geometry as cart_pole_geometry;
pub use mujoco::{Mujoco, View};

/// What an environment is, before anything moves.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvSpec {
    /// Its name in Gymnasium.
    pub id: &'static str,
    /// `O`: numbers in an observation.
    pub obs: usize,
    /// `A`: numbers in an action. A choice among discrete actions is one number too: the environment says how it is read.
    pub action: usize,
    /// `[A]`: the least that each actuator obeys.
    pub action_low: Vec<f32>,
    /// `[A]`: the most that each actuator obeys.
    pub action_high: Vec<f32>,
    /// Seconds of simulated time in one step.
    pub dt_s: f64,
    /// Steps after which an episode is truncated.
    pub time_limit: u32,
    /// What an observation is made of: the name and length of each part, in order. Their sum is `obs`.
    pub blocks: &'static [(&'static str, usize)],
    /// What the reward holds of a constant, in every step but one that terminates the task: 5 in Humanoid. 0 where there is none.
    pub healthy_bonus: f64,
}

impl EnvSpec {
    /// The promise that every [`Env::step`] begins with.
    ///
    /// # Panics
    /// If the length is wrong or an action is not finite.
    fn check_action(&self, action: &[f32]) {
        let Self { id, action: expected, .. } = self;
        assert!(action.len() == *expected, "{id}: expected {expected} actions, found {}", action.len());
        if let Some(i) = action.iter().position(|a| !a.is_finite()) {
            panic!("{id}: action[{i}] = {}: must be finite", action[i]);
        }
    }
}

/// An action `[A]` of the environment's units as M takes it: in [-1, 1] over the range of middle `mid` and half width `half`, 0 where that
/// has no width. What lies outside is clamped, as the runtime clamps an action that it is told: an actuator does no more.
pub fn unit_action<'a>(
    action: impl IntoIterator<Item = &'a f32>,
    mid: &'a [f32],
    half: &'a [f32],
) -> impl Iterator<Item = f32> {
    let unit = |(a, (mid, half)): (&f32, (&f32, &f32))| if *half == 0.0 { 0.0 } else { ((a - mid) / half).clamp(-1.0, 1.0) };
    action.into_iter().zip(mid.iter().zip(half)).map(unit)
}

/// What a step led to, besides the observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The step's reward.
    pub reward: f64,
    /// The task ended (the robot fell): nothing comes after.
    pub terminated: bool,
    /// The time limit was reached: something would have come after. Both flags can be true.
    pub truncated: bool,
}

/// Where everything is, in the order of MuJoCo's `qpos` and `qvel`. CartPole: x and θ, v and ω.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pose {
    /// Metres, radians, and quaternions of what turns freely.
    pub positions: Vec<f64>,
    /// Per second.
    pub velocities: Vec<f64>,
}

/// One simulated world. Stepping on after an end is allowed and means what it means in Gymnasium; a fresh episode needs
/// [`Env::reset`].
pub trait Env: Send {
    /// Sizes, ranges and times.
    fn spec(&self) -> &EnvSpec;

    /// Starts the episode that `seed` names (Gymnasium's `reset(seed=seed)`), whatever went before, and writes its first
    /// observation into `obs [O]`.
    ///
    /// # Panics
    /// If `obs` has another length than `spec().obs`.
    fn reset(&mut self, seed: u64, obs: &mut [f64]);

    /// Applies `action [A]` for `dt_s` seconds and writes the observation that follows into `obs [O]`. An action outside
    /// the range is not clipped here: actuators obey its nearest bound, and a control cost charges what was asked for. Actions
    /// are binary32, as Gymnasium's action space is; everything after that is binary64.
    ///
    /// # Panics
    /// If a length is not the spec's, or if an action is not finite. That is the caller's bug, and MuJoCo would answer it by
    /// resetting the simulation and leaving a `MUJOCO_LOG.TXT` in the current folder.
    fn step(&mut self, action: &[f32], obs: &mut [f64]) -> Step;

    /// How far the agent has come: metres along the world's x axis, of the torso or the cart. Always 0 in Pusher and Reacher, whose
    /// arms stay where they are.
    fn position_x(&self) -> f64;
}

/// Any of the environments.
pub enum AnyEnv {
    /// A task in MuJoCo.
    Mujoco(Mujoco),
    /// CartPole-v1.
    CartPole(CartPole),
}

/// The ids that [`AnyEnv::make`] knows.
pub fn ids() -> impl Iterator<Item = &'static str> {
    tasks::TASKS.iter().map(|task| task.id).chain([cart_pole::ID])
}

impl AnyEnv {
    /// Makes the environment that Gymnasium calls `id`. A MuJoCo model is compiled once per process and shared.
    ///
    /// # Errors
    /// One line: an unknown id, with the known ones; or a model file that is missing or does not compile.
    pub fn make(id: &str) -> anyhow::Result<Self> {
        Self::with(id, Physics::Task)
    }

    /// The environment that Gymnasium calls `id`, under these `physics`.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub fn with(id: &str, physics: Physics) -> anyhow::Result<Self> {
        if id == cart_pole::ID {
            return Ok(Self::CartPole(CartPole::new()));
        }
        match tasks::TASKS.iter().find(|task| task.id == id) {
            Some(task) => Ok(Self::Mujoco(Mujoco::new(task, physics)?)),
            None => anyhow::bail!("environment `{id}`: unknown; known: {}", ids().collect::<Vec<_>>().join(", ")),
        }
    }

    /// The state.
    #[must_use]
    pub fn pose(&self) -> Pose {
        match self {
            Self::Mujoco(env) => env.pose(),
            Self::CartPole(env) => env.pose(),
        }
    }

    /// How many positions, the first ones, no observation tells of: where the agent is in the world.
    #[must_use]
    pub fn untold(&self) -> usize {
        match self {
            Self::Mujoco(env) => env.untold(),
            Self::CartPole(_) => 0,
        }
    }

    /// Writes into `pose` what an observation `[O]` tells of it; the rest stays.
    ///
    /// # Panics
    /// If the observation or the pose is not of this environment.
    pub fn read_pose(&self, obs: &[f64], pose: &mut Pose) {
        match self {
            Self::Mujoco(env) => env.read_pose(obs, pose),
            Self::CartPole(_) => {
                pose.positions.copy_from_slice(&[obs[0], obs[2]]);
                pose.velocities.copy_from_slice(&[obs[1], obs[3]]);
            }
        }
    }

    /// Holds the agent's torso upright, as a hand would that lets go little by little: [`Mujoco::assist`].
    ///
    /// # Errors
    /// As [`Mujoco::assist`]'s, or the environment has no body to hold.
    pub fn assist(&mut self, support: f64) -> anyhow::Result<()> {
        match self {
            Self::Mujoco(env) => env.assist(support),
            Self::CartPole(_) if support == 0.0 => Ok(()),
            Self::CartPole(_) => {
                anyhow::bail!("{}: cannot be held upright: expected a torso that moves freely", cart_pole::ID)
            }
        }
    }

    fn env(&self) -> &dyn Env {
        match self {
            Self::Mujoco(env) => env,
            Self::CartPole(env) => env,
        }
    }

    fn env_mut(&mut self) -> &mut dyn Env {
        match self {
            Self::Mujoco(env) => env,
            Self::CartPole(env) => env,
        }
    }
}

impl Env for AnyEnv {
    fn spec(&self) -> &EnvSpec {
        self.env().spec()
    }

    fn reset(&mut self, seed: u64, obs: &mut [f64]) {
        self.env_mut().reset(seed, obs);
    }

    fn step(&mut self, action: &[f32], obs: &mut [f64]) -> Step {
        self.env_mut().step(action, obs)
    }

    fn position_x(&self) -> f64 {
        self.env().position_x()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smoke entry of every environment: its spec is coherent, a reset forgets what went before, a step moves.
    #[test]
    fn every_environment_starts_moves_and_starts_again() {
        for id in ids() {
            let mut env = AnyEnv::make(id).unwrap();
            let spec = env.spec().clone();
            assert_eq!(spec.id, id);
            assert_eq!(spec.blocks.iter().map(|(_, len)| len).sum::<usize>(), spec.obs, "{id}: {:?}", spec.blocks);
            assert_eq!((spec.action_low.len(), spec.action_high.len()), (spec.action, spec.action));
            assert!(spec.action_low.iter().zip(&spec.action_high).all(|(low, high)| low < high), "{id}");
            let (mut first, mut again) = (vec![f64::NAN; spec.obs], vec![f64::NAN; spec.obs]);
            env.reset(3, &mut first);
            let step = env.step(&vec![0.1; spec.action], &mut again);
            assert!(step.reward.is_finite() && !step.truncated, "{id}: {step:?}");
            assert!(first.iter().chain(&again).all(|x| x.is_finite()), "{id}");
            assert_ne!(first, again, "{id}: a step must move something");
            env.reset(3, &mut again);
            assert_eq!(first, again, "{id}: the same seed starts the same episode");
            env.reset(4, &mut again);
            assert_ne!(first, again, "{id}: another seed starts another episode");
        }
    }

    /// A rehearsal is the same task in all but its integrator: the same start, a little another step.
    #[test]
    fn a_rehearsal_starts_the_same_and_moves_a_little_otherwise() {
        let rehearsals = [Physics::Euler, Physics::Coarse, Physics::Heun];
        for (id, physics) in
            ["Humanoid-v5", "Hopper-v5", "Swimmer-v5"].into_iter().flat_map(|id| rehearsals.map(|p| (id, p)))
        {
            let [mut own, mut rehearsal] = [Physics::Task, physics].map(|physics| AnyEnv::with(id, physics).unwrap());
            assert_eq!(own.spec(), rehearsal.spec());
            let spec = own.spec().clone();
            let (mut a, mut b) = (vec![0.0; spec.obs], vec![0.0; spec.obs]);
            own.reset(3, &mut a);
            rehearsal.reset(3, &mut b);
            assert_eq!(a, b, "{id}");
            let action = vec![0.1; spec.action];
            own.step(&action, &mut a);
            rehearsal.step(&action, &mut b);
            let (a, b) = (own.pose().positions, rehearsal.pose().positions);
            let furthest = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(furthest > 0.0 && furthest < 0.05, "{id} {physics:?}: {furthest}");
        }
    }

    /// Heun's errors are of a higher order: when a humanoid has just come down on its feet they are a fraction of Euler's. (Later each fall
    /// is one of its own.)
    #[test]
    fn heun_stays_closer_to_the_task_than_euler() {
        let fall = |physics| {
            let mut env = AnyEnv::with("Humanoid-v5", physics).unwrap();
            let mut obs = vec![0.0; env.spec().obs];
            env.reset(3, &mut obs);
            for _ in 0..15 {
                env.step(&[0.1; 17], &mut obs);
            }
            env.pose().positions
        };
        let own = fall(Physics::Task);
        let error = |physics| own.iter().zip(fall(physics)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let [euler, coarse, heun] = [Physics::Euler, Physics::Coarse, Physics::Heun].map(error);
        assert!(heun < 0.5 * coarse && heun < euler, "heun {heun}, coarse {coarse}, euler {euler}");
    }

    /// Who is held stays upright, feels nothing of it, and falls when let go.
    #[test]
    fn a_held_humanoid_stands_and_one_that_is_let_go_falls() {
        let mut env = AnyEnv::with("Humanoid-v5", Physics::Heun).unwrap();
        let mut obs = vec![0.0; env.spec().obs];
        let mut last = |support: f64| {
            env.assist(support).unwrap();
            env.reset(3, &mut obs);
            let steps = (1..=200).find(|_| env.step(&[0.0; 17], &mut obs).terminated);
            (steps, obs.clone())
        };
        let free = last(0.0);
        assert!(free.0.is_some_and(|steps| steps < 60), "{:?}", free.0);
        let held = last(1.0);
        assert_eq!(held.0, None);
        assert!(held.1.iter().all(|x| x.is_finite()));
        // The torso's external force, of which straps would be the greatest part: nothing touches it.
        assert_eq!(held.1[270..276], [0.0; 6], "cfrc_ext of the torso");
        assert_eq!(last(0.0), free, "let go, it is the task again");
    }

    #[test]
    fn what_has_no_free_torso_cannot_be_held() {
        for id in ["CartPole-v1", "Hopper-v5", "Swimmer-v5"] {
            let mut env = AnyEnv::make(id).unwrap();
            let error = format!("{:#}", env.assist(0.5).unwrap_err());
            assert!(error.contains(id) && error.contains("torso that moves freely"), "{error}");
            env.assist(0.0).unwrap();
        }
    }

    #[test]
    fn an_unknown_id_is_answered_with_the_known_ones() {
        let error = format!("{:#}", AnyEnv::make("Humanoid-v4").err().unwrap());
        assert!(error.contains("`Humanoid-v4`") && ids().all(|id| error.contains(id)) && !error.contains('\n'), "{error}");
    }

    #[test]
    #[should_panic(expected = "Humanoid-v5: action[3] = NaN: must be finite")]
    fn a_nan_action_never_reaches_the_simulator() {
        let mut env = AnyEnv::make("Humanoid-v5").unwrap();
        let mut obs = vec![0.0; env.spec().obs];
        env.reset(0, &mut obs);
        let mut action = vec![0.0; env.spec().action];
        action[3] = f32::NAN;
        env.step(&action, &mut obs);
    }

    #[test]
    #[should_panic(expected = "CartPole-v1: action[0] = inf: must be finite")]
    fn an_infinite_action_never_moves_a_cart() {
        let mut env = AnyEnv::make("CartPole-v1").unwrap();
        env.step(&[f32::INFINITY], &mut [0.0; 4]);
    }
}
