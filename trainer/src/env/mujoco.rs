//! An environment in MuJoCo: starts an episode from a seed, advances by one action, keeps the clock. What tells one task from another is a
//! row of `tasks.rs`.

use super::assist::AssistiveForce;
use super::heun::Heun;
use super::model::{compiled, frame_skip};
use super::numpy_random::NumpyRandom;
use super::task::{Observed, StepContext, Task, View, World};
use super::{ActionSpace, Env, EnvSpec, Physics, Pose, Step};
use anyhow::{Context, Result, anyhow, ensure};
use mujoco_rs::wrappers::mj_model::MjtObjBase;
use mujoco_rs::wrappers::{MjData, MjModel};
use std::sync::Arc;

/// One of Gymnasium's MuJoCo tasks, version 5.
pub struct Mujoco {
    task: &'static Task,
    world: World,
    spec: EnvSpec,
    /// Simulator steps in one environment step.
    frame_skip: u32,
    /// Where the simulator does not integrate by itself.
    heun: Option<Heun>,
    assist: Option<AssistiveForce>,
    elapsed: u32,
    /// Keeps its memory from one observation to the next.
    observation: Vec<f64>,
}

impl Mujoco {
    /// An environment that waits for its first [`Env::reset`].
    ///
    /// # Errors
    /// One line: the model file is missing, does not compile or lacks a body.
    pub(super) fn new(task: &'static Task, spec: EnvSpec, physics: Physics) -> Result<Self> {
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
        let range = |of: fn(&[f64; 2]) -> f64| model.actuator_ctrlrange().iter().map(|range| of(range) as f32).collect();
        let found = EnvSpec {
            obs: observation.len(),
            actions: ActionSpace::Continuous { low: range(|&[low, _]| low), high: range(|&[_, high]| high) },
            dt_s: model.opt().timestep * f64::from(frame_skip),
            ..spec.clone()
        };
        ensure!(
            spec == found,
            "{}: expected the model of Gymnasium 1.4.0, found another in {}: observations of {} (expected {}), actions of {} ({}), {} s a \
             step ({}), or another range of actions",
            task.id,
            task.file,
            found.obs,
            spec.obs,
            found.action(),
            spec.action(),
            found.dt_s,
            spec.dt_s
        );
        let heun = (physics == Physics::Heun).then(Heun::default);
        Ok(Self { task, world, spec, frame_skip, heun, assist: None, elapsed: 0, observation })
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
        obs.copy_from_slice(&self.observation);
    }

    /// Holds `action [A]` for one environment step.
    fn advance(&mut self, action: &[f32]) {
        let data = &mut self.world.data;
        for (control, &a) in data.ctrl_mut().iter_mut().zip(action) {
            *control = f64::from(a);
        }
        for _ in 0..self.frame_skip {
            if let Some(assist) = &self.assist {
                assist.apply(data);
            }
            match &mut self.heun {
                None => data.step(),
                Some(heun) => heun.step(data),
            }
        }
        if let Some(assist) = &self.assist {
            assist.release(data);
        }
        // A step leaves the bodies' external forces (cfrc_ext) uncomputed: without this they stay zero.
        data.rne_post_constraint();
        self.elapsed = self.elapsed.saturating_add(1);
    }
}

impl Env for Mujoco {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    /// External forces stay zero until the first step, as in Gymnasium.
    fn reset(&mut self, seed: u64, obs: &mut [f64]) -> Result<()> {
        self.spec.check_obs(obs)?;
        self.elapsed = 0;
        let data = &mut self.world.data;
        data.reset();
        let (mut positions, mut velocities) = (data.qpos().to_vec(), data.qvel().to_vec());
        (self.task.start)(&mut NumpyRandom::new(seed), &mut positions, &mut velocities);
        data.qpos_mut().copy_from_slice(&positions);
        data.qvel_mut().copy_from_slice(&velocities);
        data.forward();
        self.observe(obs);
        Ok(())
    }

    fn step(&mut self, action: &[f32], obs: &mut [f64]) -> Result<Step> {
        self.spec.check_action(action)?;
        self.spec.check_obs(obs)?;
        let before = (self.task.track)(&self.world);
        self.advance(action);
        let velocity_x = ((self.task.track)(&self.world) - before) / self.spec.dt_s;
        self.observe(obs);
        let (reward, terminated) = (self.task.reward)(&StepContext { world: &self.world, action, velocity_x });
        Ok(Step { reward, terminated, truncated: self.elapsed >= self.spec.time_limit })
    }

    fn position_x(&self) -> Option<f64> {
        Some((self.task.position_x)(&self.world))
    }

    /// The state.
    fn pose(&self) -> Option<Pose> {
        let data = &self.world.data;
        Some(Pose { positions: data.qpos().to_vec(), velocities: data.qvel().to_vec() })
    }

    /// How many positions, the first ones, are not observed.
    fn unobserved(&self) -> usize {
        match self.task.observed {
            Observed::AllBut(unobserved) => unobserved,
            Observed::By(_) => 0,
        }
    }

    /// Writes the part of `pose` that is observed, out of an observation `[O]`; the rest stays.
    ///
    /// # Panics
    /// If the observation or the pose is not of this task.
    fn read_pose(&self, obs: &[f64], pose: &mut Pose) {
        assert!(
            obs.len() == self.spec.obs,
            "{}: expected {} observations, found {}",
            self.task.id,
            self.spec.obs,
            obs.len()
        );
        let Pose { positions, velocities } = pose;
        match self.task.observed {
            Observed::AllBut(unobserved) => {
                let (observed, rest) = obs.split_at(positions.len() - unobserved);
                positions[unobserved..].copy_from_slice(observed);
                velocities.iter_mut().zip(rest).for_each(|(velocity, observed)| *velocity = *observed);
            }
            Observed::By(read) => read(self.model(), obs, positions, velocities),
        }
    }

    /// Holds the torso upright with `force` times the torque that would topple a rigid body of the agent's mass and height; 0 lets go.
    ///
    /// # Errors
    /// The task has no torso that moves freely.
    fn assist(&mut self, force: f64) -> Result<()> {
        self.assist = (force != 0.0).then(|| AssistiveForce::new(self.task, self.world.data.model(), force)).transpose()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tasks::TASKS;
    use super::*;
    use std::path::Path;

    /// The one error that no file on disk can provoke while the rows are right.
    #[test]
    fn a_missing_body_is_named() {
        static TASK: Task = Task { bodies: &["tail"], ..TASKS[0] };
        let error = format!("{:#}", Mujoco::new(&TASK, TASK.spec(), Physics::Task).err().unwrap());
        assert!(error.contains(TASKS[0].id) && error.contains("`tail`") && error.contains(TASKS[0].file), "{error}");
    }

    /// A model of the same name with other actuators, as another version of Gymnasium may have one.
    #[test]
    fn another_model_is_refused() {
        static TASK: Task = Task { actuators: (8, 0.5), ..TASKS[0] };
        let error = format!("{:#}", Mujoco::new(&TASK, TASK.spec(), Physics::Task).err().unwrap());
        assert!(error.contains("Ant-v5: expected the model of Gymnasium 1.4.0") && !error.contains('\n'), "{error}");
    }

    /// MuJoCo warns of a state that is no number, and starts it anew: on neither stream, in no file.
    #[test]
    fn a_diverging_simulation_leaves_no_log() {
        let log = Path::new("MUJOCO_LOG.TXT");
        if log.exists() {
            std::fs::remove_file(log).unwrap();
        }
        let task = TASKS.iter().find(|task| task.id == "Hopper-v5").unwrap();
        let mut env = Mujoco::new(task, task.spec(), Physics::Task).unwrap();
        let mut obs = [0.0; 11];
        env.reset(0, &mut obs).unwrap();
        env.world.data.qvel_mut()[3] = 1e12;
        env.step(&[0.0; 3], &mut obs).unwrap();
        assert!(env.world.data.qvel()[3].abs() < 1e3, "MuJoCo reset what diverged");
        assert!(!log.exists());
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
            let mut env = Mujoco::new(task, task.spec(), Physics::Task).unwrap();
            let mut is_done = |value: f64| {
                env.world.data.reset();
                env.world.data.qpos_mut()[position] = value;
                let action = vec![0.0; env.spec.action()];
                (task.reward)(&StepContext { world: &env.world, action: &action, velocity_x: 0.0 })
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
            let mut env = Mujoco::new(task, task.spec(), Physics::Task).unwrap();
            let mut reward = |force: f64| {
                env.world.data.cfrc_ext_mut()[3][1] = force;
                (task.reward)(&StepContext { world: &env.world, action: &[0.0; 17], velocity_x: 0.0 }).0
            };
            let still = reward(0.0);
            assert_eq!((still - reward(4000.0), still - reward(1e6)), (8.0, 10.0), "{id}");
        }
    }
}
