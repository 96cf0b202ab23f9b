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
