//! Environments, defined as Gymnasium defines them, down to the bits of observations and rewards.
//!
//! ```text
//! spec(id) → sizes, ranges, times        reset(seed) → obs [O]        step(action [A]) → obs [O], reward, terminated | truncated
//! ```
//!
//! A specification is had without making a simulator.
//!
//! A MuJoCo task is a text, a user's own as much as one of Gymnasium's (`configs/tasks`); anything else is one file and one variant of
//! [`AnyEnv`]. MuJoCo is bit-identical to itself in one version on one kind of machine; nothing is promised across either.

mod actions;
mod assist;
mod bridge;
mod builtin;
pub mod car_racing;
mod cart_pole;
mod eye;
mod heun;
mod imperfect;
mod model;
mod mujoco;
mod numpy_math;
mod numpy_normal;
pub mod numpy_random;
pub mod pool;
mod python;
mod randomise;
mod recorded;
mod task;

pub use crate::run::config::{EnvConfig, OnError, Physics};
use crate::run::config::{ImageConfig, Observation, RecordedConfig, TaskConfig};
use crate::run::interrupt::Interrupted;
pub use actions::{ActionSpace, Ear, size_text};
use anyhow::{Result, bail, ensure};
pub use bridge::{Bridge, Picture};
pub use car_racing::CarRacing;
#[cfg(test)]
pub(crate) use cart_pole::CHOICES;
pub use cart_pole::CartPole;
pub(crate) use cart_pole::geometry as cart_pole_geometry;
use dreamstep_core::obs::Image;
pub(crate) use eye::Eye;
pub use imperfect::Imperfect;
pub use mujoco::Mujoco;
pub(crate) use python::interpreter;
pub use recorded::expect_playable;
pub use task::View;

/// What an environment is, before anything moves.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvSpec {
    /// Its name in Gymnasium.
    pub id: String,
    /// `O`: numbers in an observation.
    pub obs: usize,
    /// What may be done.
    pub actions: ActionSpace,
    /// Seconds of simulated time in one step.
    pub dt_s: f64,
    /// Steps after which an episode is truncated.
    pub time_limit: u32,
    /// What an observation is made of: the name and length of each part, in order. Their sum is `obs`.
    pub blocks: Vec<(String, usize)>,
    /// Where an observation is a picture: the frame that is drawn, and what is made of it. An observation is what is prepared, `obs`
    /// numbers from 0 to 255.
    pub image: Option<Image>,
    /// What the reward holds of a constant, in every step but one that terminates the task: 5 in Humanoid. 0 where there is none.
    pub healthy_bonus: f64,
}

impl EnvSpec {
    /// `A`: numbers in an action as the environment takes it.
    #[must_use]
    pub fn action(&self) -> usize {
        self.actions.len()
    }

    /// Height, width and channels of an observation that is a picture, as it is recorded.
    #[must_use]
    pub fn frame(&self) -> Option<[usize; 3]> {
        self.image.map(|image| image.prepared())
    }

    /// As `env` changes what is built in, or a task on a model of the user's own: only where an episode is cut.
    fn adjusted(mut self, env: &EnvConfig) -> Result<Self> {
        let Self { id, dt_s, .. } = &self;
        let is_own = !env.mjcf.is_empty();
        ensure!(
            env.period_s == 0.0 || env.period_s == *dt_s,
            "env.period_s = {}: {id} has its own: expected 0 or {dt_s}",
            env.period_s
        );
        ensure!(
            is_own || env.action_range.is_empty(),
            "env.action_range: {id} has its own: expected [], found {:?}",
            env.action_range
        );
        let whose = if is_own { String::new() } else { format!(" (`gym:{id}` is Gymnasium's own)") };
        let given = env.kwargs.keys().cloned().collect::<Vec<_>>().join(", ");
        ensure!(env.kwargs.is_empty() || id == car_racing::ID, "env.kwargs: {id} takes none{whose}, found {given}");
        if env.time_limit > 0 {
            self.time_limit = env.time_limit;
        }
        Ok(self)
    }

    /// That an observation buffer `[O]` has the right length.
    fn check_obs(&self, obs: &[f64]) -> Result<()> {
        let Self { id, obs: expected, .. } = self;
        ensure!(obs.len() == *expected, "{id}: expected an observation buffer of {expected}, found {}", obs.len());
        Ok(())
    }

    /// That an action is `[A]` finite numbers, or a choice that there is. MuJoCo would answer another by resetting the simulation.
    fn check_action(&self, action: &[f32]) -> Result<()> {
        let Self { id, actions, .. } = self;
        ensure!(action.len() == actions.len(), "{id}: expected {} actions, found {}", actions.len(), action.len());
        if let Some(i) = action.iter().position(|a| !a.is_finite()) {
            bail!("{id}: action[{i}]: expected a finite number, found {}", action[i]);
        }
        if let ActionSpace::Discrete { choices } = actions {
            ensure!(
                actions.allows(0, action[0]),
                "{id}: action: expected a choice from 0 to {}, found {}",
                choices - 1,
                action[0]
            );
        }
        Ok(())
    }
}

/// Names and lengths as [`EnvSpec::blocks`].
pub(crate) fn blocks(blocks: &[(&str, usize)]) -> Vec<(String, usize)> {
    blocks.iter().map(|&(name, len)| (name.to_owned(), len)).collect()
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

/// The environment itself failed: it died, it hung, it raised, or its answer makes no sense. Found by `downcast_ref` in the error of a
/// reset or step, where it tells this from an action that is refused or an agent that could not act.
#[derive(Debug)]
pub struct Fault(pub String);

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// Whether `error`, of an episode in `env`, is none of the agent's that played it and ends the run: a fault of the environment's that the
/// configuration does not tell to bear, or an interruption.
#[must_use]
pub fn ends_run(error: &anyhow::Error, env: &EnvConfig) -> bool {
    error.is::<Interrupted>() || env.on_error == OnError::Fail && error.is::<Fault>()
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
    /// # Errors
    /// `obs` has another length than `spec().obs`, or the environment cannot start.
    fn reset(&mut self, seed: u64, obs: &mut [f64]) -> Result<()>;

    /// Applies `action [A]` for `dt_s` seconds and writes the observation that follows into `obs [O]`. An action outside
    /// the range is not clipped here: actuators obey its nearest bound, and a control cost charges what was asked for. Actions
    /// are binary32, as Gymnasium's action space is; everything after that is binary64.
    ///
    /// # Errors
    /// A length is not the spec's, or an action is not finite: nothing has moved. Or the environment cannot step.
    fn step(&mut self, action: &[f32], obs: &mut [f64]) -> Result<Step>;

    /// How far the agent has come: metres along the world's x axis, of the torso or the cart. Always 0 in Pusher and Reacher, whose
    /// arms stay where they are; none where an environment does not say.
    fn position_x(&self) -> Option<f64> {
        None
    }

    /// What a privileged teacher sees now, of [`privileged_spec`].
    fn privileged(&self) -> Option<Vec<f64>> {
        None
    }

    /// The state, where an environment tells.
    fn pose(&self) -> Option<Pose> {
        None
    }

    /// Whether an observation tells the state, all but the first [`Self::unobserved`] positions.
    fn tells_pose(&self) -> bool {
        false
    }

    /// Writes the part of `pose` that is observed, out of an observation `[O]`; the rest stays.
    ///
    /// # Panics
    /// If the observation or the pose is not of this environment.
    fn read_pose(&self, _obs: &[f64], _pose: &mut Pose) {}

    /// How many positions, the first ones, are not observed: where the agent is in the world.
    fn unobserved(&self) -> usize {
        0
    }

    /// Sets the assistive force, an external spring on the torso: [`Mujoco::assist`].
    ///
    /// # Errors
    /// One line: nothing to hold.
    fn assist(&mut self, force: f64) -> Result<()> {
        ensure!(force == 0.0, "{}: assistive force: expected a torso that moves freely", self.spec().id);
        Ok(())
    }
}

/// Any of the environments.
pub enum AnyEnv {
    /// A task in MuJoCo.
    Mujoco(Box<Mujoco>),
    /// CartPole-v1.
    CartPole(Box<CartPole>),
    /// CarRacing-v3.
    CarRacing(Box<CarRacing>),
    /// Any of Gymnasium's, in Python.
    Bridge(Box<Bridge>),
    /// Any of them, late and noisy.
    Imperfect(Box<Imperfect>),
}

/// The ids that [`AnyEnv::make`] knows.
pub fn ids() -> impl Iterator<Item = &'static str> {
    builtin::ids().chain([cart_pole::ID, car_racing::ID])
}

/// The specification of `env`. No simulator is made: of a MuJoCo task its model is compiled, one of Gymnasium's is asked; each once in a
/// process.
///
/// # Errors
/// One line: an unknown id, with the known ones; a key that this environment has no use for; a model file or a task that is wrong; or as
/// [`Bridge::new`].
pub fn spec(env: &EnvConfig) -> Result<EnvSpec> {
    let spec = match Kind::of(env)? {
        Kind::Recorded => return recorded::spec(env),
        Kind::Bridge => bridge::spec(env)?,
        Kind::Mujoco => model::compiled(env, Physics::Task)?.spec.clone().adjusted(env)?,
        Kind::CartPole => cart_pole::spec().adjusted(env)?,
        Kind::CarRacing => car_racing::spec(env)?.adjusted(env)?,
        #[cfg(test)]
        Kind::Choices => cart_pole::choices().adjusted(env)?,
    };
    if spec.image.is_none() {
        eye::image(env, None)?;
    }
    imperfect::deviations(env, &spec)?;
    Ok(spec)
}

/// Whether two ids name one environment: `ID` is what `gym:ID` is, bit for bit.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    one.strip_prefix("gym:").unwrap_or(one) == other.strip_prefix("gym:").unwrap_or(other)
}

/// What a privileged teacher sees of `env`, whose own observations are pictures: the same with [`Observation::State`]. None where there is no such
/// choice, or it is made.
///
/// # Errors
/// As [`spec`]'s.
pub fn privileged_spec(env: &EnvConfig) -> Result<Option<EnvSpec>> {
    if Kind::of(env)? != Kind::CarRacing || env.observation == Observation::State {
        return Ok(None);
    }
    spec(&EnvConfig { observation: Observation::State, image: ImageConfig::default(), ..env.clone() }).map(Some)
}

/// Who makes an environment.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Mujoco,
    CartPole,
    CarRacing,
    #[cfg(test)]
    Choices,
    Bridge,
    Recorded,
}

impl Kind {
    /// Of `env`, which has no keys that another kind reads.
    fn of(env: &EnvConfig) -> Result<Self> {
        let (id, is_own) = (env.id.as_str(), !env.mjcf.is_empty());
        ensure!(
            is_own || env.task == TaskConfig::default(),
            "env.task: expected a model file, env.mjcf, beside it, and a name of your own in env.id; found env.id = {id:?} alone"
        );
        let kind = match id {
            _ if env.is_recorded() => Self::Recorded,
            _ if id.starts_with(bridge::PREFIX) => Self::Bridge,
            cart_pole::ID => Self::CartPole,
            car_racing::ID => Self::CarRacing,
            #[cfg(test)]
            cart_pole::CHOICES => Self::Choices,
            _ if is_own || builtin::ids().any(|known| known == id) => Self::Mujoco,
            _ => bail!(
                "environment `{id}`: unknown; known: {}, recorded; Gymnasium's own: gym:ID; a model of your own: env.mjcf",
                ids().collect::<Vec<_>>().join(", ")
            ),
        };
        let is_taken = kind != Self::Mujoco || builtin::ids().any(|known| known == id);
        ensure!(!is_own || !is_taken, "env.id = {id:?}: means another; give the task of env.mjcf a name of your own");
        ensure!(
            kind == Self::Recorded || env.recorded == RecordedConfig::default(),
            "env.recorded: {id} has sizes of its own: expected env.id = \"recorded\""
        );
        ensure!(
            kind == Self::CarRacing || env.observation == Observation::Own,
            "env.observation = \"state\": {id} has one kind of observation: expected \"own\""
        );
        ensure!(
            kind == Self::Mujoco || !env.randomise.is_on(),
            "env.randomise: {id} is no MuJoCo model of ours: expected none of its keys"
        );
        Ok(kind)
    }
}

/// [`EnvConfig::label`], in which a model of the user's own stands for itself: not where its file lies, but what is in it.
///
/// # Errors
/// As [`spec`]'s.
pub fn label(env: &EnvConfig) -> Result<String> {
    if env.mjcf.is_empty() {
        return Ok(env.label());
    }
    let mjcf = model::compiled(env, Physics::Task)?.digest()?;
    Ok(EnvConfig { mjcf, ..env.clone() }.label())
}

impl AnyEnv {
    /// Makes the environment `env`. A MuJoCo model is compiled once per process and shared.
    ///
    /// # Errors
    /// One line: an unknown id, with the known ones; or a model file that is missing or does not compile.
    pub fn make(env: &EnvConfig) -> Result<Self> {
        Self::with(env, Physics::Task)
    }

    /// The environment `env`, under these `physics`.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub fn with(env: &EnvConfig, physics: Physics) -> Result<Self> {
        Self::new(env, physics, false)
    }

    /// The environment `env`, that can be looked at.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub fn visible(env: &EnvConfig) -> Result<Self> {
        Self::new(env, Physics::Task, true)
    }

    fn new(env: &EnvConfig, physics: Physics, visible: bool) -> Result<Self> {
        let kind = Kind::of(env)?;
        expect_playable(env)?;
        ensure!(
            physics == Physics::Task || kind == Kind::Mujoco,
            "{}: has no other physics than its own: expected controller.physics = \"task\"",
            env.id
        );
        let perfect = match kind {
            Kind::Bridge => Self::Bridge(Box::new(Bridge::new(env, visible)?)),
            Kind::Mujoco => Self::Mujoco(Box::new(Mujoco::new(model::compiled(env, physics)?, spec(env)?, env, physics)?)),
            Kind::CarRacing => Self::CarRacing(Box::new(CarRacing::new(env, spec(env)?)?)),
            _ => Self::CartPole(Box::new(CartPole::new(spec(env)?))),
        };
        Ok(match imperfect::is_asked_for(env) {
            true => Self::Imperfect(Box::new(Imperfect::new(perfect, env)?)),
            false => perfect,
        })
    }

    /// What it looks like now, where it draws itself: where it is drawn by its [`Env::pose`], none.
    ///
    /// # Errors
    /// A [`Fault`]: it does not, although it should.
    pub fn picture(&mut self) -> Result<Option<Picture>> {
        match self {
            Self::Bridge(env) => env.picture().map(Some),
            Self::CarRacing(env) => Ok(Some(env.picture())),
            Self::Imperfect(env) => env.inner_mut().picture(),
            _ => Ok(None),
        }
    }

    fn env(&self) -> &dyn Env {
        match self {
            Self::Mujoco(env) => env.as_ref(),
            Self::CartPole(env) => env.as_ref(),
            Self::CarRacing(env) => env.as_ref(),
            Self::Bridge(env) => env.as_ref(),
            Self::Imperfect(env) => env.as_ref(),
        }
    }

    fn env_mut(&mut self) -> &mut dyn Env {
        match self {
            Self::Mujoco(env) => env.as_mut(),
            Self::CartPole(env) => env.as_mut(),
            Self::CarRacing(env) => env.as_mut(),
            Self::Bridge(env) => env.as_mut(),
            Self::Imperfect(env) => env.as_mut(),
        }
    }
}

impl Env for AnyEnv {
    fn spec(&self) -> &EnvSpec {
        self.env().spec()
    }

    fn reset(&mut self, seed: u64, obs: &mut [f64]) -> Result<()> {
        self.env_mut().reset(seed, obs)
    }

    fn step(&mut self, action: &[f32], obs: &mut [f64]) -> Result<Step> {
        self.env_mut().step(action, obs)
    }

    fn position_x(&self) -> Option<f64> {
        self.env().position_x()
    }

    fn privileged(&self) -> Option<Vec<f64>> {
        self.env().privileged()
    }

    fn pose(&self) -> Option<Pose> {
        self.env().pose()
    }

    fn tells_pose(&self) -> bool {
        self.env().tells_pose()
    }

    fn read_pose(&self, obs: &[f64], pose: &mut Pose) {
        self.env().read_pose(obs, pose);
    }

    fn unobserved(&self) -> usize {
        self.env().unobserved()
    }

    fn assist(&mut self, force: f64) -> Result<()> {
        self.env_mut().assist(force)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smoke entry of every environment: its spec is coherent, a reset forgets what went before, a step moves.
    #[test]
    fn every_environment_starts_moves_and_starts_again() {
        for id in ids() {
            let mut env = AnyEnv::make(&EnvConfig::from(id)).unwrap();
            let spec = env.spec().clone();
            assert_eq!(spec, super::spec(&EnvConfig::from(id)).unwrap(), "what the simulator says");
            assert_eq!(spec.id, id);
            assert_eq!(spec.blocks.iter().map(|(_, len)| len).sum::<usize>(), spec.obs, "{id}: {:?}", spec.blocks);
            let ranges: Vec<_> = (0..spec.action()).map(|i| spec.actions.range(i)).collect();
            assert!(!ranges.is_empty() && ranges.iter().all(|(low, high)| low < high), "{id}");
            let (mut first, mut again) = (vec![f64::NAN; spec.obs], vec![f64::NAN; spec.obs]);
            env.reset(3, &mut first).unwrap();
            let step = env.step(&vec![0.1; spec.action()], &mut again).unwrap();
            assert!(step.reward.is_finite() && !step.truncated, "{id}: {step:?}");
            assert!(first.iter().chain(&again).all(|x| x.is_finite()), "{id}");
            assert_ne!(first, again, "{id}: a step must move something");
            env.reset(3, &mut again).unwrap();
            assert_eq!(first, again, "{id}: the same seed starts the same episode");
            env.reset(4, &mut again).unwrap();
            assert_ne!(first, again, "{id}: another seed starts another episode");
        }
    }

    /// The same start, a little another step; and after a fall a state that is still near, since its errors are of the second order.
    #[test]
    fn surrogate_physics_start_the_same_and_move_a_little_otherwise() {
        for id in ["Humanoid-v5", "Hopper-v5", "Swimmer-v5"] {
            let [mut own, mut surrogate] =
                [Physics::Task, Physics::Heun].map(|physics| AnyEnv::with(&EnvConfig::from(id), physics).unwrap());
            let spec = spec(&EnvConfig::from(id)).unwrap();
            let (mut a, mut b) = (vec![0.0; spec.obs], vec![0.0; spec.obs]);
            own.reset(3, &mut a).unwrap();
            surrogate.reset(3, &mut b).unwrap();
            assert_eq!(a, b, "{id}");
            let action = vec![0.1; spec.action()];
            for (steps, bound) in [(1, 0.05), (14, 0.5)] {
                for _ in 0..steps {
                    own.step(&action, &mut a).unwrap();
                    surrogate.step(&action, &mut b).unwrap();
                }
                let (a, b) = (own.pose().unwrap().positions, surrogate.pose().unwrap().positions);
                let furthest = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(furthest > 0.0 && furthest < bound, "{id}: {furthest}");
            }
        }
    }

    /// A humanoid stands while the force acts, observes nothing of it, and falls without.
    #[test]
    fn a_humanoid_stands_while_the_assistive_force_acts() {
        let mut env = AnyEnv::with(&EnvConfig::from("Humanoid-v5"), Physics::Heun).unwrap();
        let mut obs = vec![0.0; env.spec().obs];
        let mut last = |force: f64| {
            env.assist(force).unwrap();
            env.reset(3, &mut obs).unwrap();
            let steps = (1..=200).find(|_| env.step(&[0.0; 17], &mut obs).unwrap().terminated);
            (steps, obs.clone())
        };
        let free = last(0.0);
        assert!(free.0.is_some_and(|steps| steps < 60), "{:?}", free.0);
        let assisted = last(1.0);
        assert_eq!(assisted.0, None);
        assert!(assisted.1.iter().all(|x| x.is_finite()));
        // The torso's external force, of which the assistive one would be the greatest part: nothing touches it.
        assert_eq!(assisted.1[270..276], [0.0; 6], "cfrc_ext of the torso");
        assert_eq!(last(0.0), free, "without the force it is the task again");
    }

    #[test]
    fn what_has_no_free_torso_takes_no_assistive_force() {
        for id in ["CartPole-v1", "Hopper-v5", "Swimmer-v5"] {
            let mut env = AnyEnv::make(&EnvConfig::from(id)).unwrap();
            let error = format!("{:#}", env.assist(0.5).unwrap_err());
            assert!(error.contains(id) && error.contains("torso that moves freely"), "{error}");
            env.assist(0.0).unwrap();
        }
    }

    #[test]
    fn what_is_no_choice_is_an_error_and_moves_nothing() {
        let mut env = AnyEnv::make(&EnvConfig::from(CHOICES)).unwrap();
        let mut obs = vec![0.0; 4];
        env.reset(0, &mut obs).unwrap();
        let pose = env.pose();
        for bad in [3.0, -1.0, 1.5] {
            let error = env.step(&[bad], &mut obs).unwrap_err().to_string();
            assert_eq!(error, format!("{CHOICES}: action: expected a choice from 0 to 2, found {bad}"));
        }
        let error = env.step(&[0.0, 1.0, 0.0], &mut obs).unwrap_err().to_string();
        assert_eq!(error, format!("{CHOICES}: expected 1 actions, found 3"));
        assert_eq!(env.pose(), pose);
        let mut after = |choice| {
            env.reset(0, &mut obs).unwrap();
            env.step(&[choice], &mut obs).unwrap();
            obs[1]
        };
        assert!(after(0.0) < after(1.0) && after(1.0) < after(2.0));
    }

    #[test]
    fn an_unknown_id_is_answered_with_the_known_ones() {
        let error = format!("{:#}", AnyEnv::make(&EnvConfig::from("Humanoid-v4")).err().unwrap());
        assert_eq!(error, format!("{:#}", spec(&EnvConfig::from("Humanoid-v4")).unwrap_err()));
        assert!(error.contains("`Humanoid-v4`") && ids().all(|id| error.contains(id)) && !error.contains('\n'), "{error}");
    }

    #[test]
    fn what_the_caller_got_wrong_is_an_error_and_moves_nothing() {
        for id in ids() {
            let mut env = AnyEnv::make(&EnvConfig::from(id)).unwrap();
            let spec = env.spec().clone();
            let (mut obs, action) = (vec![0.0; spec.obs], vec![0.0; spec.action()]);
            env.reset(0, &mut obs).unwrap();
            let (before, pose) = (obs.clone(), env.pose());
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut action = action.clone();
                action[spec.action() - 1] = bad;
                let error = env.step(&action, &mut obs).unwrap_err().to_string();
                assert_eq!(error, format!("{id}: action[{}]: expected a finite number, found {bad}", spec.action() - 1));
            }
            let error = env.step(&[&action[..], &[0.0]].concat(), &mut obs).unwrap_err().to_string();
            assert_eq!(error, format!("{id}: expected {0} actions, found {1}", spec.action(), spec.action() + 1));
            let short = format!("{id}: expected an observation buffer of {}, found {}", spec.obs, spec.obs - 1);
            assert_eq!(env.step(&action, &mut obs[1..]).unwrap_err().to_string(), short);
            assert_eq!((&before, pose), (&obs, env.pose()));
            assert_eq!(env.reset(0, &mut obs[1..]).unwrap_err().to_string(), short);
        }
    }
}
