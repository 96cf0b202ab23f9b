//! `[env.randomise]`: a model whose masses, friction, damping, armature and gains are a little others in every episode, so that what is
//! learnt does not live off one simulator's numbers.
//!
//! ```text
//! number = the model's · factor,   factor uniform in [low, high], named by (episode's seed, Stream::Randomise, which, index)
//! ```
//! An episode's factors depend on its seed alone, and each begins with the model's own numbers: who played what before does not matter.

use crate::run::config::RandomiseConfig;
use anyhow::{Context, Result, anyhow, bail};
use dreamstep_core::rng::{Philox, Stream};
use mujoco_rs::wrappers::mj_model::{MjtBias, MjtGain, MjtObjBase};
use mujoco_rs::wrappers::{MjData, MjModel};
use std::sync::Arc;

/// Draws models.
pub(super) struct Randomise {
    config: RandomiseConfig,
    base: Arc<MjModel>,
}

/// Which of the model's numbers, as draws are named.
#[derive(Clone, Copy)]
enum Which {
    Mass,
    Friction,
    Damping,
    Armature,
    Gain,
}

/// An episode's factors.
struct Factors<'a> {
    config: &'a RandomiseConfig,
    rng: Philox,
}

impl Factors<'_> {
    /// Of number `index`; none where that is left alone.
    fn get(&self, which: Which, index: usize) -> Option<f64> {
        let range = match which {
            Which::Mass => &self.config.mass,
            Which::Friction => &self.config.friction,
            Which::Damping => &self.config.damping,
            Which::Armature => &self.config.armature,
            Which::Gain => &self.config.gain,
        };
        let &[low, high] = &range[..] else { return None };
        let draw = self.rng.uniform(Stream::Randomise, which as u64, u32::try_from(index).ok()?);
        Some(low + (high - low) * f64::from(draw))
    }
}

impl Randomise {
    /// Of the model that `data` simulates, which from now on has a copy of its own; none where nothing is asked for.
    ///
    /// # Errors
    /// One line: an actuator that has no one gain.
    pub(super) fn new(config: &RandomiseConfig, data: &mut MjData<Arc<MjModel>>) -> Result<Option<Self>> {
        if !config.is_on() {
            return Ok(None);
        }
        let base = data.model_clone();
        if !config.gain.is_empty() {
            let kinds = base.actuator_gaintype().iter().zip(base.actuator_biastype());
            let is_odd = |(gain, bias): (&MjtGain, &MjtBias)| {
                *gain != MjtGain::mjGAIN_FIXED || !matches!(bias, MjtBias::mjBIAS_NONE | MjtBias::mjBIAS_AFFINE)
            };
            if let Some(i) = kinds.map(is_odd).position(|odd| odd) {
                let name = base.id_to_name(MjtObjBase::mjOBJ_ACTUATOR, i).unwrap_or_default();
                bail!("env.randomise.gain: actuator {i} (`{name}`) is neither a motor nor a servo of one gain");
            }
        }
        swap(data, Arc::new(MjModel::clone(&base)))?;
        Ok(Some(Self { config: config.clone(), base }))
    }

    /// Gives `data` the model of the episode `seed`.
    ///
    /// # Errors
    /// One line: no memory.
    pub(super) fn draw(&self, seed: u64, data: &mut MjData<Arc<MjModel>>) -> Result<()> {
        let mut own = swap(data, Arc::clone(&self.base))?;
        self.write(&Factors { config: &self.config, rng: Philox::new(seed) }, Arc::make_mut(&mut own))?;
        swap(data, own)?;
        Ok(())
    }

    fn write(&self, factors: &Factors<'_>, model: &mut MjModel) -> Result<()> {
        let base = &self.base;
        let scale = |numbers: &mut [f64], base: &[f64], factor: f64| {
            numbers.iter_mut().zip(base).for_each(|(number, base)| *number = base * factor);
        };
        for body in 0..base.body_mass().len() {
            let Some(factor) = factors.get(Which::Mass, body) else { break };
            model.body_mass_mut()[body] = base.body_mass()[body] * factor;
            scale(&mut model.body_inertia_mut()[body], &base.body_inertia()[body], factor);
        }
        if let Some(factor) = factors.get(Which::Friction, 0) {
            scale(model.geom_friction_mut().as_flattened_mut(), base.geom_friction().as_flattened(), factor);
            scale(model.pair_friction_mut().as_flattened_mut(), base.pair_friction().as_flattened(), factor);
        }
        for (dof, joint) in base.dof_jntid().iter().enumerate() {
            if let Some(factor) = factors.get(Which::Damping, *joint as usize) {
                model.dof_damping_mut()[dof] = base.dof_damping()[dof] * factor;
                scale(&mut model.dof_dampingpoly_mut()[dof], &base.dof_dampingpoly()[dof], factor);
            }
            if let Some(factor) = factors.get(Which::Armature, *joint as usize) {
                model.dof_armature_mut()[dof] = base.dof_armature()[dof] * factor;
            }
        }
        // The force is gear · (gain · control + bias on gear · length): a longer lever that is read as the old one is a greater gain.
        let outputs = base.actuator_outadr().iter().zip(base.actuator_outnum());
        for (actuator, (from, count)) in outputs.enumerate() {
            let Some(factor) = factors.get(Which::Gain, actuator) else { break };
            let rows = *from as usize..(from + count) as usize;
            scale(
                model.actuator_gear_mut()[rows.clone()].as_flattened_mut(),
                base.actuator_gear()[rows].as_flattened(),
                factor,
            );
            if base.actuator_biastype()[actuator] == MjtBias::mjBIAS_AFFINE {
                scale(
                    &mut model.actuator_biasprm_mut()[actuator][1..3],
                    &base.actuator_biasprm()[actuator][1..3],
                    1.0 / factor,
                );
            }
        }
        if !self.config.mass.is_empty() || !self.config.armature.is_empty() {
            // What MuJoCo derives from masses when it compiles a model.
            let data = MjData::try_new(model);
            data.map_err(|e| anyhow!("env.randomise: no memory for a simulation: {e}"))?.set_const();
        }
        Ok(())
    }
}

fn swap(data: &mut MjData<Arc<MjModel>>, model: Arc<MjModel>) -> Result<Arc<MjModel>> {
    data.try_swap_model(model).context("env.randomise: another model")
}

#[cfg(test)]
mod tests {
    use super::super::{AnyEnv, Env, EnvConfig, Physics};
    use super::*;

    fn config(id: &str, set: impl Fn(&mut RandomiseConfig)) -> EnvConfig {
        let mut env = EnvConfig::from(id);
        set(&mut env.randomise);
        env
    }

    /// Bits of an episode's observations and rewards.
    fn play(env: &mut AnyEnv, seed: u64) -> Vec<u64> {
        let mut obs = vec![0.0; env.spec().obs];
        env.reset(seed, &mut obs).unwrap();
        let mut seen = obs.clone();
        for step in 0..20 {
            let action = vec![if step % 2 == 0 { 0.3 } else { -0.2 }; env.spec().action()];
            seen.push(env.step(&action, &mut obs).unwrap().reward);
            seen.extend(&obs);
        }
        seen.into_iter().map(f64::to_bits).collect()
    }

    /// A factor of 1 is the model as it is: nothing of the episodes before is left, and what is derived is what MuJoCo's compiler derives.
    #[test]
    fn factors_of_one_change_no_bit() {
        for id in ["Ant-v5", "Humanoid-v5", "Hopper-v5", "Pusher-v5", "Swimmer-v5"] {
            let mut own = AnyEnv::make(&EnvConfig::from(id)).unwrap();
            let ones = |all: &mut RandomiseConfig| {
                let one = || vec![1.0, 1.0];
                *all = RandomiseConfig { mass: one(), friction: one(), damping: one(), armature: one(), gain: one() };
            };
            let mut ones = AnyEnv::make(&config(id, ones)).unwrap();
            for seed in [3, 4, 3] {
                assert_eq!(play(&mut own, seed), play(&mut ones, seed), "{id}");
            }
        }
    }

    /// Each key moves something; and an episode is its seed's, whoever played what before.
    #[test]
    fn an_episode_has_the_factors_of_its_seed() {
        let set: [fn(&mut RandomiseConfig); 5] = [
            |all| all.mass = vec![0.5, 1.5],
            |all| all.friction = vec![0.5, 1.5],
            |all| all.damping = vec![0.5, 1.5],
            |all| all.armature = vec![0.5, 1.5],
            |all| all.gain = vec![0.5, 1.5],
        ];
        for (which, set) in set.into_iter().enumerate() {
            for physics in [Physics::Task, Physics::Heun] {
                let made = || AnyEnv::with(&config("Hopper-v5", set), physics).unwrap();
                let (mut a, mut b) = (made(), made());
                let mut own = AnyEnv::with(&EnvConfig::from("Hopper-v5"), physics).unwrap();
                let first = play(&mut a, 7);
                assert_eq!(first[..11], play(&mut own, 7)[..11], "{which}: the start is the seed's");
                assert_ne!(first, play(&mut own, 7), "{which}");
                play(&mut b, 8);
                play(&mut b, 9);
                assert_eq!(first, play(&mut b, 7), "{which}");
            }
        }
    }

    #[test]
    fn factors_are_uniform_in_their_range_and_each_its_own() {
        let AnyEnv::Mujoco(env) = AnyEnv::make(&EnvConfig::from("Humanoid-v5")).unwrap() else { panic!("MuJoCo") };
        let mut data = MjData::try_new(Arc::new(MjModel::clone(env.model()))).unwrap();
        let range = vec![0.8, 1.4];
        let all = RandomiseConfig {
            mass: range.clone(),
            friction: range.clone(),
            damping: range.clone(),
            armature: range.clone(),
            gain: range,
        };
        let randomise = Randomise::new(&all, &mut data).unwrap().unwrap();
        let (mut masses, mut sum) = (Vec::new(), 0.0);
        for seed in 0..200 {
            randomise.draw(seed, &mut data).unwrap();
            let (base, model) = (env.model(), data.model());
            let ratio = |a: f64, b: f64| a / b;
            let of: Vec<f64> = (1..14).map(|body| ratio(model.body_mass()[body], base.body_mass()[body])).collect();
            for (body, mass) in (1..14).zip(&of) {
                let inertia = ratio(model.body_inertia()[body][1], base.body_inertia()[body][1]);
                assert!((inertia - mass).abs() < 1e-12 && (0.8..1.4).contains(mass), "{body}: {inertia} {mass}");
            }
            // One factor for all that touches.
            let friction: Vec<f64> =
                model.geom_friction().iter().zip(base.geom_friction()).map(|(a, b)| ratio(a[0], b[0])).collect();
            assert!(friction.iter().all(|f| (f - friction[0]).abs() < 1e-12) && (0.8..1.4).contains(&friction[0]));
            let gear = ratio(model.actuator_gear()[4][0], base.actuator_gear()[4][0]);
            let other = ratio(model.actuator_gear()[5][0], base.actuator_gear()[5][0]);
            assert!((0.8..1.4).contains(&gear) && gear != other && gear != of[4]);
            // Derived: what hangs on the torso weighs what its parts weigh.
            let total: f64 = model.body_mass().iter().sum();
            assert!((model.body_subtreemass()[0] - total).abs() < 1e-9);
            sum += of.iter().sum::<f64>();
            masses.extend(of);
        }
        let n = masses.len() as f64;
        assert!((sum / n - 1.1).abs() < 0.01, "{}", sum / n);
        assert!(masses.iter().any(|m| *m < 0.81) && masses.iter().any(|m| *m > 1.39));
    }

    /// A gain is a factor of the whole force, a servo's springs and dampers included.
    #[test]
    fn a_servos_force_is_scaled_as_a_whole() {
        let text = |gear: &str, servo: &str| {
            format!(
                "<mujoco><worldbody><body><joint name='j'/><geom size='0.1'/></body></worldbody><actuator>\
                 <{servo} joint='j' gear='{gear}'/></actuator></mujoco>"
            )
        };
        for servo in ["position kp='3' kv='0.5'", "velocity kv='2'", "motor"] {
            let base = Arc::new(MjModel::from_xml_string(&text("2", servo)).unwrap());
            let mut data = MjData::try_new(base).unwrap();
            let torque = |data: &mut MjData<Arc<MjModel>>| {
                (data.qpos_mut()[0], data.qvel_mut()[0], data.ctrl_mut()[0]) = (0.3, -0.7, 0.9);
                data.forward();
                data.qfrc_actuator()[0]
            };
            let own = torque(&mut data);
            let gain = RandomiseConfig { gain: vec![1.3, 1.3], ..RandomiseConfig::default() };
            Randomise::new(&gain, &mut data).unwrap().unwrap().draw(5, &mut data).unwrap();
            let found = torque(&mut data);
            assert!((found / own - 1.3).abs() < 1e-12 && own.abs() > 0.1, "{servo}: {own} {found}");
        }
    }

    #[test]
    fn what_has_no_gain_or_is_no_model_is_refused() {
        let mut other = config("CartPole-v1", |all| all.mass = vec![0.5, 2.0]);
        let error = format!("{:#}", AnyEnv::make(&other).err().unwrap());
        assert!(error.contains("env.randomise: CartPole-v1 is no MuJoCo model of ours"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.xml");
        let muscle = "<mujoco><worldbody><body><joint name='j' range='-1 1' limited='true'/><geom size='0.1'/></body></worldbody>\
                      <actuator><muscle name='m' joint='j' ctrlrange='0 1' ctrllimited='true' lengthrange='-1 1'/></actuator></mujoco>";
        std::fs::write(&path, muscle).unwrap();
        other.id = "Muscle".into();
        other.mjcf = path.display().to_string();
        other.task.observe = vec![crate::run::config::QuantityConfig { of: "qpos".into(), ..Default::default() }];
        other.task.reward = vec![crate::run::config::QuantityConfig { of: "one".into(), ..Default::default() }];
        AnyEnv::make(&other).unwrap();
        other.randomise.gain = vec![0.5, 2.0];
        let error = format!("{:#}", AnyEnv::make(&other).err().unwrap());
        assert!(error.contains("env.randomise.gain: actuator 0 (`m`)") && !error.contains('\n'), "{error}");
    }
}
