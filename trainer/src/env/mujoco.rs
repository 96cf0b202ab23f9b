//! An environment in MuJoCo: starts an episode from a seed, advances by one action, keeps the clock. What tells one task from another is
//! its `Task`.

use super::assist::AssistiveForce;
use super::heun::Heun;
use super::model::Compiled;
use super::numpy_random::NumpyRandom;
use super::randomise::Randomise;
use super::task::{Memory, View, World};
use super::{Env, EnvConfig, EnvSpec, Physics, Pose, Step};
use anyhow::{Result, anyhow};
use mujoco_rs::wrappers::{MjData, MjModel};
use std::sync::Arc;

/// A task on a MuJoCo model.
pub struct Mujoco {
    compiled: Arc<Compiled>,
    world: World,
    spec: EnvSpec,
    memory: Memory,
    /// Where the simulator does not integrate by itself.
    heun: Option<Heun>,
    assist: Option<AssistiveForce>,
    /// Where every episode has a model of its own.
    randomise: Option<Randomise>,
    elapsed: u32,
}

impl Mujoco {
    /// An environment that waits for its first [`Env::reset`].
    ///
    /// # Errors
    /// One line: no memory, or nothing that could be randomised.
    pub(super) fn new(compiled: Arc<Compiled>, spec: EnvSpec, env: &EnvConfig, physics: Physics) -> Result<Self> {
        let id = &spec.id;
        let data = MjData::try_new(Arc::clone(&compiled.model));
        let mut data = data.map_err(|e| anyhow!("{id}: no memory for a simulation: {e}"))?;
        let randomise = Randomise::new(&env.randomise, &mut data)?;
        let world = World { data, action: vec![0.0; spec.action()], time_s: 0.0 };
        let heun = (physics == Physics::Heun).then(Heun::default);
        let memory = compiled.task.memory();
        Ok(Self { compiled, world, spec, memory, heun, assist: None, randomise, elapsed: 0 })
    }

    /// The model, as it is simulated.
    #[must_use]
    pub fn model(&self) -> &MjModel {
        self.world.data.model()
    }

    /// Where from the task is looked at.
    #[must_use]
    pub fn view(&self) -> View {
        self.compiled.task.view
    }

    /// What is observed in `pose`.
    #[cfg(test)]
    pub(crate) fn observe_at(&mut self, pose: &Pose, obs: &mut [f64]) {
        self.world.data.qpos_mut().copy_from_slice(&pose.positions);
        self.world.data.qvel_mut().copy_from_slice(&pose.velocities);
        self.world.data.forward();
        self.compiled.task.observe(&self.world, obs);
    }

    /// Holds `action [A]` for one environment step.
    fn advance(&mut self, action: &[f32]) {
        self.world.action.copy_from_slice(action);
        let data = &mut self.world.data;
        for (control, &a) in data.ctrl_mut().iter_mut().zip(action) {
            *control = f64::from(a);
        }
        for _ in 0..self.compiled.frame_skip {
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
        self.world.time_s = f64::from(self.elapsed) * self.spec.dt_s;
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
        if let Some(randomise) = &self.randomise {
            randomise.draw(seed, &mut self.world.data)?;
        }
        self.compiled.task.start(&mut NumpyRandom::new(seed), &mut self.world)?;
        self.world.data.forward();
        self.compiled.task.observe(&self.world, obs);
        Ok(())
    }

    fn step(&mut self, action: &[f32], obs: &mut [f64]) -> Result<Step> {
        self.spec.check_action(action)?;
        self.spec.check_obs(obs)?;
        self.compiled.task.mark(&self.world, &mut self.memory);
        self.advance(action);
        self.compiled.task.observe(&self.world, obs);
        let (reward, terminated) = self.compiled.task.judge(&self.world, &mut self.memory);
        Ok(Step { reward, terminated, truncated: self.elapsed >= self.spec.time_limit })
    }

    fn position_x(&self) -> Option<f64> {
        self.compiled.task.distance(&self.world)
    }

    /// The state.
    fn pose(&self) -> Option<Pose> {
        let data = &self.world.data;
        Some(Pose { positions: data.qpos().to_vec(), velocities: data.qvel().to_vec() })
    }

    fn tells_pose(&self) -> bool {
        self.compiled.task.tells_pose()
    }

    /// How many positions, the first ones, are not observed.
    fn unobserved(&self) -> usize {
        self.compiled.task.unobserved()
    }

    /// Writes the part of `pose` that is observed, out of an observation `[O]`; the rest stays.
    ///
    /// # Panics
    /// If the observation or the pose is not of this task.
    fn read_pose(&self, obs: &[f64], pose: &mut Pose) {
        let EnvSpec { id, obs: expected, .. } = &self.spec;
        assert!(obs.len() == *expected, "{id}: expected {expected} observations, found {}", obs.len());
        self.compiled.task.read_pose(obs, pose);
    }

    /// Holds the torso upright with `force` times the torque that would topple a rigid body of the agent's mass and height; 0 lets go.
    ///
    /// # Errors
    /// The task has no torso that moves freely.
    fn assist(&mut self, force: f64) -> Result<()> {
        let assist = || AssistiveForce::new(&self.spec.id, &self.compiled.model, force);
        self.assist = (force != 0.0).then(assist).transpose()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AnyEnv, model};
    use super::*;
    use std::path::Path;

    fn make(id: &str) -> Mujoco {
        let AnyEnv::Mujoco(env) = AnyEnv::make(&EnvConfig::from(id)).unwrap() else { panic!("{id}: a MuJoCo task") };
        *env
    }

    /// Ant-v5, one word of whose text is another.
    fn refused(word: &str, other: &str) -> String {
        format!("{:#}", model::altered("Ant-v5", word, other).err().unwrap())
    }

    /// The one error that no file on disk can provoke while the rows are right.
    #[test]
    fn a_missing_body_is_named() {
        let error = refused("body:torso[0]", "body:tail[0]");
        assert!(error.contains("Ant-v5") && error.contains("`tail`") && error.contains("ant.xml"), "{error}");
    }

    /// A model of the same name with other actuators, as another version of Gymnasium may have one.
    #[test]
    fn another_model_is_refused() {
        let error = refused("action_range = [-1, 1]", "action_range = [-0.5, 0.5]");
        assert!(error.contains("Ant-v5: expected the model of Gymnasium 1.4.0") && !error.contains('\n'), "{error}");
    }

    /// MuJoCo warns of a state that is no number, and starts it anew: on neither stream, in no file.
    #[test]
    fn a_diverging_simulation_leaves_no_log() {
        let log = Path::new("MUJOCO_LOG.TXT");
        if log.exists() {
            std::fs::remove_file(log).unwrap();
        }
        let mut env = make("Hopper-v5");
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
            let mut env = make(id);
            let mut is_done = |value: f64| {
                env.world.data.reset();
                env.world.data.qpos_mut()[position] = value;
                env.compiled.task.mark(&env.world, &mut env.memory);
                env.compiled.task.judge(&env.world, &mut env.memory)
            };
            let ((reward, over), (lost, lost_over)) = (is_done(inside), is_done(outside));
            // A step over the bound moves nothing else, but where it is large.
            let lost_bonus = (reward - lost - env.spec.healthy_bonus).abs() < 1e-9;
            assert!(!over && lost_over && lost_bonus, "{id}: position {position}: {inside}, {outside}: {reward}, {lost}");
        }
    }

    /// Impacts that random play does not reach cost both humanoids 10 and no more.
    #[test]
    fn impact_costs_are_bounded() {
        for id in ["Humanoid-v5", "HumanoidStandup-v5"] {
            let mut env = make(id);
            let mut reward = |force: f64| {
                env.world.data.cfrc_ext_mut()[3][1] = force;
                env.compiled.task.mark(&env.world, &mut env.memory);
                env.compiled.task.judge(&env.world, &mut env.memory).0
            };
            let still = reward(0.0);
            assert_eq!((still - reward(4000.0), still - reward(1e6)), (8.0, 10.0), "{id}");
        }
    }
}
