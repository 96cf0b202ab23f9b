//! What do the MuJoCo environments share? Finding and compiling the model, starting an episode from a seed, advancing by one
//! action, and the clock. What tells one task from another is a row of `tasks.rs`.
//!
//! The MJCF files are Gymnasium's own (`make setup` installs them); nothing of them is kept here.

use super::numpy_random::NumpyRandom;
use super::{Env, EnvSpec, Physics, Pose, Step};
use anyhow::{Context, Result, anyhow, ensure};
use mujoco_rs::wrappers::mj_model::{MjtIntegrator, MjtJoint, MjtObjBase};
use mujoco_rs::wrappers::{MjData, MjModel};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What defines a task on top of its model. The functions are the rows' own; none of them keeps anything between calls.
pub(super) struct Task {
    /// Its name in Gymnasium.
    pub(super) id: &'static str,
    /// The model's file name.
    pub(super) file: &'static str,
    /// Simulator steps in one environment step.
    pub(super) frame_skip: u32,
    /// Steps after which an episode is truncated.
    pub(super) time_limit: u32,
    /// [`EnvSpec::blocks`].
    pub(super) blocks: &'static [(&'static str, usize)],
    /// [`EnvSpec::healthy_bonus`]: what `judge` adds.
    pub(super) healthy_bonus: f64,
    /// The bodies that [`World::body`] is asked for.
    pub(super) bodies: &'static [&'static str],
    /// Moves positions and velocities from the model's initial pose to an episode's start. The order of the draws is part of the
    /// definition.
    pub(super) start: fn(&mut NumpyRandom, &mut [f64], &mut [f64]),
    /// x in metres, whose change over a step becomes [`Moment::velocity_x`].
    pub(super) track: fn(&World) -> f64,
    /// [`Env::position_x`].
    pub(super) position_x: fn(&World) -> f64,
    /// Appends one observation.
    pub(super) observe: fn(&World, &mut Vec<f64>),
    /// What an observation says of the state.
    pub(super) told: Told,
    /// Where from it is looked at.
    pub(super) view: View,
    /// The reward, and whether the task is over. The order of the additions is part of the definition: it decides the bits.
    pub(super) judge: fn(&Moment<'_>) -> (f64, bool),
}

/// How positions and velocities are read back out of an observation `[O]`.
#[derive(Clone, Copy)]
pub(super) enum Told {
    /// All positions but so many at the front (where the agent is in the world), then all velocities.
    AllBut(usize),
    /// All positions; otherwise. Velocities that it does not tell of stay as they are.
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

/// Sweeps of the contact solver in [`Physics::Coarse`] and [`Physics::Heun`].
const COARSE_ITERATIONS: i32 = 20;

/// A simulator.
pub(super) struct World {
    pub(super) data: MjData<Arc<MjModel>>,
    bodies: Vec<(&'static str, usize)>,
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

/// What a step led to, for a task to judge.
pub(super) struct Moment<'a> {
    pub(super) world: &'a World,
    /// `[A]`, as it was asked for.
    pub(super) action: &'a [f32],
    /// Mean over the step, in m/s, of what the task tracks.
    pub(super) velocity_x: f64,
}

/// One of Gymnasium's MuJoCo tasks, version 5.
pub struct Mujoco {
    task: &'static Task,
    world: World,
    spec: EnvSpec,
    /// Simulator steps in one environment step.
    frame_skip: u32,
    /// Where the simulator does not integrate by itself.
    heun: Option<Heun>,
    support: Option<Support>,
    elapsed: u32,
    /// Keeps its memory from one observation to the next.
    observation: Vec<f64>,
}

impl Mujoco {
    /// An environment that waits for its first [`Env::reset`].
    ///
    /// # Errors
    /// One line: the model file is missing, does not compile or lacks a body.
    pub(super) fn new(task: &'static Task, physics: Physics) -> Result<Self> {
        let model = compiled(task, physics)?;
        let data =
            MjData::try_new(Arc::clone(&model)).map_err(|e| anyhow!("{}: no memory for a simulation: {e}", task.id))?;
        let find = |&name| {
            let index = model.name_to_id(MjtObjBase::mjOBJ_BODY, name);
            index.map(|index| (name, index)).with_context(|| format!("{}: no body `{name}` in {}", task.id, task.file))
        };
        let world = World { data, bodies: task.bodies.iter().map(find).collect::<Result<_>>()? };
        let mut observation = Vec::new();
        (task.observe)(&world, &mut observation);
        let frame_skip = frame_skip(task, physics);
        let range = model.actuator_ctrlrange();
        let spec = EnvSpec {
            id: task.id,
            obs: observation.len(),
            action: range.len(),
            action_low: range.iter().map(|&[low, _]| low as f32).collect(),
            action_high: range.iter().map(|&[_, high]| high as f32).collect(),
            dt_s: model.opt().timestep * f64::from(frame_skip),
            time_limit: task.time_limit,
            blocks: task.blocks,
            healthy_bonus: task.healthy_bonus,
        };
        let heun = (physics == Physics::Heun).then(Heun::default);
        Ok(Self { task, world, spec, frame_skip, heun, support: None, elapsed: 0, observation })
    }

    /// The model, as it is simulated.
    #[must_use]
    pub fn model(&self) -> &MjModel {
        self.world.data.model()
    }

    /// Where from the task is looked at.
    #[must_use]
    pub fn view(&self) -> View {
        self.task.view
    }

    /// The state.
    #[must_use]
    pub fn pose(&self) -> Pose {
        let data = &self.world.data;
        Pose { positions: data.qpos().to_vec(), velocities: data.qvel().to_vec() }
    }

    /// How many positions, the first ones, no observation tells of.
    #[must_use]
    pub fn untold(&self) -> usize {
        match self.task.told {
            Told::AllBut(untold) => untold,
            Told::By(_) => 0,
        }
    }

    /// Writes into `pose` what an observation `[O]` tells of it; the rest stays.
    ///
    /// # Panics
    /// If the observation or the pose is not of this task.
    pub fn read_pose(&self, obs: &[f64], pose: &mut Pose) {
        assert!(
            obs.len() == self.spec.obs,
            "{}: expected {} observations, found {}",
            self.task.id,
            self.spec.obs,
            obs.len()
        );
        let Pose { positions, velocities } = pose;
        match self.task.told {
            Told::AllBut(untold) => {
                let (told, rest) = obs.split_at(positions.len() - untold);
                positions[untold..].copy_from_slice(told);
                velocities.iter_mut().zip(rest).for_each(|(velocity, told)| *velocity = *told);
            }
            Told::By(read) => read(self.model(), obs, positions, velocities),
        }
    }

    /// Holds the torso upright with `support` times the torque that would topple a rigid body of the agent's mass and height; 0 lets go.
    ///
    /// # Errors
    /// The task has no torso that moves freely.
    pub fn assist(&mut self, support: f64) -> Result<()> {
        if support == 0.0 {
            self.support = None;
            return Ok(());
        }
        let model = self.world.data.model();
        let torso =
            model.name_to_id(MjtObjBase::mjOBJ_BODY, "torso").filter(|_| model.jnt_type()[0] == MjtJoint::mjJNT_FREE);
        let torso = torso
            .with_context(|| format!("{}: cannot be held upright: expected a torso that moves freely", self.task.id))?;
        let (mass, height, gravity) = (model.body_mass().iter().sum::<f64>(), model.qpos0()[2], -model.opt().gravity[2]);
        let lift = support * mass * gravity;
        self.support = Some(Support { torso, lift, slack_above: SLACK_ABOVE * height, stiffness: lift * height });
        Ok(())
    }

    /// What is observed in `pose`.
    #[cfg(test)]
    pub(crate) fn observe_at(&mut self, pose: &Pose, obs: &mut [f64]) {
        self.world.data.qpos_mut().copy_from_slice(&pose.positions);
        self.world.data.qvel_mut().copy_from_slice(&pose.velocities);
        self.world.data.forward();
        self.observe(obs);
    }

    fn observe(&mut self, obs: &mut [f64]) {
        self.observation.clear();
        (self.task.observe)(&self.world, &mut self.observation);
        let (expected, found) = (self.observation.len(), obs.len());
        assert!(expected == found, "{}: expected an observation buffer of {expected}, found {found}", self.task.id);
        obs.copy_from_slice(&self.observation);
    }

    /// Holds `action [A]` for one environment step.
    fn advance(&mut self, action: &[f32]) {
        self.spec.check_action(action);
        let data = &mut self.world.data;
        for (control, &a) in data.ctrl_mut().iter_mut().zip(action) {
            *control = f64::from(a);
        }
        for _ in 0..self.frame_skip {
            if let Some(support) = &self.support {
                support.apply(data);
            }
            match &mut self.heun {
                None => data.step(),
                Some(heun) => heun.step(data),
            }
        }
        // Nobody is to feel it.
        if let Some(support) = &self.support {
            support.release(data);
        }
        // A step leaves the bodies' external forces (cfrc_ext) uncomputed: without this they stay zero.
        data.rne_post_constraint();
        self.elapsed = self.elapsed.saturating_add(1);
    }
}

/// Straps: they lift a torso that sinks, and a spring and a damper turn it upright.
struct Support {
    torso: usize,
    /// N: what they lift at most.
    lift: f64,
    /// Metres: they are slack above.
    slack_above: f64,
    /// N·m per radian.
    stiffness: f64,
}

/// Straps are slack above this share of the height at which an episode starts (with the feet in the air).
const SLACK_ABOVE: f64 = 0.92;
/// Metres below where they are slack at which straps lift all that they can.
const STRETCH: f64 = 0.1;
/// The damper's torque at 1 rad/s is the spring's at so many radians.
const SUPPORT_DAMPING_S: f64 = 0.02;

impl Support {
    fn apply(&self, data: &mut MjData<Arc<MjModel>>) {
        let m = data.xmat()[self.torso];
        // The torso's own axis spins freely: little turns with it, and a damper of this strength would shake it.
        let (roll, pitch) = (data.qvel()[3], data.qvel()[4]);
        let turn = |row: usize| m[3 * row] * roll + m[3 * row + 1] * pitch;
        // The torso's axis × the vertical turns the one towards the other.
        let tilt = [m[5], -m[2], 0.0];
        let sunk = ((self.slack_above - data.qpos()[2]) / STRETCH).clamp(0.0, 1.0);
        let torque = |axis: usize| self.stiffness * (tilt[axis] - SUPPORT_DAMPING_S * turn(axis));
        data.xfrc_applied_mut()[self.torso] = [0.0, 0.0, self.lift * sunk, torque(0), torque(1), torque(2)];
    }

    fn release(&self, data: &mut MjData<Arc<MjModel>>) {
        data.xfrc_applied_mut()[self.torso] = [0.0; 6];
    }
}

/// Heun's second-order method: the mean of the rates at both ends of a substep, the second end foreseen by Euler. MuJoCo itself offers
/// the first order and the fourth. As after its fourth, what is derived (bodies, forces) is left as of the foreseen end.
#[derive(Default)]
struct Heun {
    positions: Vec<f64>,
    foreseen: Vec<f64>,
    velocities: Vec<f64>,
    accelerations: Vec<f64>,
}

impl Heun {
    fn step(&mut self, data: &mut MjData<Arc<MjModel>>) {
        let Self { positions, foreseen, velocities, accelerations } = self;
        let dt = data.model().opt().timestep;
        data.forward();
        let starts = [data.qpos(), data.qpos(), data.qvel(), data.qacc()];
        for (kept, now) in [&mut *positions, &mut *foreseen, &mut *velocities, &mut *accelerations].into_iter().zip(starts) {
            kept.clear();
            kept.extend_from_slice(now);
        }
        data.model().integrate_pos(foreseen, velocities, dt);
        data.qpos_mut().copy_from_slice(foreseen);
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

impl Env for Mujoco {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    /// External forces stay zero until the first step, as in Gymnasium.
    fn reset(&mut self, seed: u64, obs: &mut [f64]) {
        self.elapsed = 0;
        let data = &mut self.world.data;
        data.reset();
        let (mut positions, mut velocities) = (data.qpos().to_vec(), data.qvel().to_vec());
        (self.task.start)(&mut NumpyRandom::new(seed), &mut positions, &mut velocities);
        data.qpos_mut().copy_from_slice(&positions);
        data.qvel_mut().copy_from_slice(&velocities);
        data.forward();
        self.observe(obs);
    }

    fn step(&mut self, action: &[f32], obs: &mut [f64]) -> Step {
        let before = (self.task.track)(&self.world);
        self.advance(action);
        let velocity_x = ((self.task.track)(&self.world) - before) / self.spec.dt_s;
        self.observe(obs);
        let (reward, terminated) = (self.task.judge)(&Moment { world: &self.world, action, velocity_x });
        Step { reward, terminated, truncated: self.elapsed >= self.spec.time_limit }
    }

    fn position_x(&self) -> f64 {
        (self.task.position_x)(&self.world)
    }
}

/// The compiled model of `task`: compiled at its first use in this process, shared after that.
fn compiled(task: &Task, physics: Physics) -> Result<Arc<MjModel>> {
    static MODELS: Mutex<BTreeMap<(&'static str, Physics), Arc<MjModel>>> = Mutex::new(BTreeMap::new());
    // The map is whole even if a thread panicked with the lock in its hand: an entry is inserted in one piece.
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(model) = models.get(&(task.file, physics)) {
        return Ok(Arc::clone(model));
    }
    let path = model_file(&mjcf_dir()?, task)?;
    // Of HalfCheetah's model MuJoCo says on stderr, and in a `MUJOCO_LOG.TXT` in the current folder, that an attribute in it is
    // deprecated. It means nothing for the task; keeping it quiet would take unsafe code.
    // MuJoCo's errors span lines; ours are one.
    let mut model = MjModel::from_xml(&path).map_err(|e| {
        let message = e.to_string();
        anyhow!("{}: {}: {}", task.id, path.display(), message.split_whitespace().collect::<Vec<_>>().join(" "))
    })?;
    let skip = frame_skip(task, physics);
    let options = model.opt_mut();
    match physics {
        Physics::Task => {}
        Physics::Euler => options.integrator = MjtIntegrator::mjINT_EULER as i32,
        Physics::Coarse | Physics::Heun => {
            options.integrator = MjtIntegrator::mjINT_EULER as i32;
            options.timestep *= f64::from(task.frame_skip) / f64::from(skip);
            options.iterations = options.iterations.min(COARSE_ITERATIONS);
        }
    }
    let model = Arc::new(model);
    models.insert((task.file, physics), Arc::clone(&model));
    Ok(model)
}

/// Where the MJCF files lie: `DREAMSTEP_MJCF_DIR` now, else what it was when this was compiled.
fn mjcf_dir() -> Result<PathBuf> {
    std::env::var_os("DREAMSTEP_MJCF_DIR")
        .map(PathBuf::from)
        .or_else(|| option_env!("DREAMSTEP_MJCF_DIR").map(PathBuf::from))
        .context("DREAMSTEP_MJCF_DIR is not set: expected the folder of Gymnasium's MJCF models; run `make setup`")
}

/// Simulator steps in one environment step.
const fn frame_skip(task: &Task, physics: Physics) -> u32 {
    match physics {
        Physics::Task | Physics::Euler => task.frame_skip,
        Physics::Coarse | Physics::Heun => (task.frame_skip * 2).div_ceil(5),
    }
}

fn model_file(dir: &Path, task: &Task) -> Result<PathBuf> {
    let path = dir.join(task.file);
    ensure!(
        path.is_file(),
        "{}: {} not found: expected Gymnasium's MJCF models in {}; run `make setup` or set DREAMSTEP_MJCF_DIR",
        task.id,
        task.file,
        dir.display()
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::super::tasks::TASKS;
    use super::*;

    #[test]
    fn a_missing_model_says_what_to_do() {
        for task in &TASKS {
            let error = format!("{:#}", model_file(Path::new("/nowhere"), task).unwrap_err());
            let parts = [task.id, task.file, "/nowhere", "make setup"];
            assert!(parts.iter().all(|part| error.contains(part)) && !error.contains('\n'), "{error}");
        }
    }

    /// The one error that no file on disk can provoke while the rows are right.
    #[test]
    fn a_missing_body_is_named() {
        static TASK: Task = Task { bodies: &["tail"], ..TASKS[0] };
        let error = format!("{:#}", Mujoco::new(&TASK, Physics::Task).err().unwrap());
        assert!(error.contains(TASKS[0].id) && error.contains("`tail`") && error.contains(TASKS[0].file), "{error}");
    }

    /// What random play hardly meets: every bound of health, from either side. (id, position, inside, outside)
    #[test]
    fn bounds_of_health_end_the_task() {
        let above = |x: f64| x.next_up();
        let below = |x: f64| x.next_down();
        for (id, position, inside, outside) in [
            ("Ant-v5", 2, 0.2, below(0.2)),
            ("Ant-v5", 2, 1.0, above(1.0)),
            ("Ant-v5", 7, 1e6, f64::INFINITY),
            ("Hopper-v5", 1, above(0.7), 0.7),
            ("Hopper-v5", 1, 1e6, f64::NAN),
            ("Hopper-v5", 2, above(-0.2), -0.2),
            ("Hopper-v5", 2, below(0.2), 0.2),
            ("Hopper-v5", 3, above(-100.0), -100.0),
            ("Hopper-v5", 5, below(100.0), 100.0),
            ("Humanoid-v5", 2, above(1.0), 1.0),
            ("Humanoid-v5", 2, below(2.0), 2.0),
            ("InvertedPendulum-v5", 1, 0.2, above(0.2)),
            ("InvertedPendulum-v5", 1, -0.2, below(-0.2)),
            ("InvertedPendulum-v5", 0, 1e6, f64::NEG_INFINITY),
            ("Walker2d-v5", 1, above(0.8), 0.8),
            ("Walker2d-v5", 1, below(2.0), 2.0),
            ("Walker2d-v5", 2, above(-1.0), -1.0),
            ("Walker2d-v5", 2, below(1.0), 1.0),
        ] {
            let task = TASKS.iter().find(|task| task.id == id).unwrap();
            let mut env = Mujoco::new(task, Physics::Task).unwrap();
            let mut is_done = |value: f64| {
                env.world.data.reset();
                env.world.data.qpos_mut()[position] = value;
                let action = vec![0.0; env.spec.action];
                (task.judge)(&Moment { world: &env.world, action: &action, velocity_x: 0.0 })
            };
            let ((reward, over), (lost, lost_over)) = (is_done(inside), is_done(outside));
            // A step over the bound moves nothing else, but where it is large.
            let lost_bonus = (reward - lost - task.healthy_bonus).abs() < 1e-9;
            assert!(!over && lost_over && lost_bonus, "{id}: position {position}: {inside}, {outside}: {reward}, {lost}");
        }
    }

    /// Impacts that random play does not reach cost both humanoids 10 and no more.
    #[test]
    fn impact_costs_are_bounded() {
        for id in ["Humanoid-v5", "HumanoidStandup-v5"] {
            let task = TASKS.iter().find(|task| task.id == id).unwrap();
            let mut env = Mujoco::new(task, Physics::Task).unwrap();
            let mut reward = |force: f64| {
                env.world.data.cfrc_ext_mut()[3][1] = force;
                (task.judge)(&Moment { world: &env.world, action: &[0.0; 17], velocity_x: 0.0 }).0
            };
            let still = reward(0.0);
            assert_eq!((still - reward(4000.0), still - reward(1e6)), (8.0, 10.0), "{id}");
        }
    }
}
