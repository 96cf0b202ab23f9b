//! What do the MuJoCo environments share? Finding and compiling the model, seeding a start, advancing by one action, and the
//! few sums that have to be added up in numpy's order for rewards to have Gymnasium's bits.
//!
//! The MJCF files are Gymnasium's own (`make setup` installs them); nothing of them is kept here.

use super::EnvSpec;
use super::numpy_random::NumpyRandom;
use anyhow::{Context, Result, anyhow, ensure};
use mujoco_rs::wrappers::{MjData, MjModel};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The constants that define a task on top of its model.
pub(super) struct Task {
    /// Its name in Gymnasium.
    pub(super) id: &'static str,
    /// The model's file name.
    pub(super) file: &'static str,
    /// Simulator steps in one environment step.
    pub(super) frame_skip: u32,
    /// Steps after which an episode is truncated.
    pub(super) time_limit: u32,
}

/// A task's simulator and its clock.
pub(super) struct Simulation {
    pub(super) data: MjData<Arc<MjModel>>,
    pub(super) spec: EnvSpec,
    frame_skip: u32,
    elapsed: u32,
    /// kg of everything in the model, added up as numpy does.
    total_mass: f64,
}

impl Simulation {
    /// A simulator of `task` whose observations have `obs` numbers.
    ///
    /// # Errors
    /// One line: the model file is missing or does not compile.
    pub(super) fn new(task: &Task, obs: impl Fn(&MjData<Arc<MjModel>>) -> usize) -> Result<Self> {
        let model = compiled(task)?;
        let data =
            MjData::try_new(Arc::clone(&model)).map_err(|e| anyhow!("{}: no memory for a simulation: {e}", task.id))?;
        let range = model.actuator_ctrlrange();
        let spec = EnvSpec {
            id: task.id,
            obs: obs(&data),
            action: range.len(),
            action_low: range.iter().map(|&[low, _]| low as f32).collect(),
            action_high: range.iter().map(|&[_, high]| high as f32).collect(),
            dt_s: model.opt().timestep * f64::from(task.frame_skip),
            time_limit: task.time_limit,
        };
        Ok(Self { data, spec, frame_skip: task.frame_skip, elapsed: 0, total_mass: numpy_sum(model.body_mass()) })
    }

    /// Forgets the episode, puts the model into its initial pose with U(±`noise`) added to every position, then to every
    /// velocity, and computes what follows from them. External forces stay zero until the first step, as in Gymnasium.
    pub(super) fn reset_uniform(&mut self, seed: u64, noise: f64) {
        let mut rng = NumpyRandom::new(seed);
        self.elapsed = 0;
        self.data.reset();
        for q in self.data.qpos_mut().iter_mut() {
            *q += rng.uniform(-noise, noise);
        }
        for v in self.data.qvel_mut().iter_mut() {
            *v += rng.uniform(-noise, noise);
        }
        self.data.forward();
    }

    /// Holds `action [A]` for one environment step.
    ///
    /// # Panics
    /// If the length is wrong or an action is not finite.
    pub(super) fn advance(&mut self, action: &[f32]) {
        let EnvSpec { id, action: expected, .. } = self.spec;
        assert!(action.len() == expected, "{id}: expected {expected} actions, found {}", action.len());
        if let Some(i) = action.iter().position(|a| !a.is_finite()) {
            panic!("{id}: action[{i}] = {}: must be finite", action[i]);
        }
        for (control, &a) in self.data.ctrl_mut().iter_mut().zip(action) {
            *control = f64::from(a);
        }
        for _ in 0..self.frame_skip {
            self.data.step();
        }
        // A step leaves the bodies' external forces (cfrc_ext) uncomputed: without this they stay zero.
        self.data.rne_post_constraint();
        self.elapsed = self.elapsed.saturating_add(1);
    }

    /// Whether the time limit has been reached.
    pub(super) fn truncated(&self) -> bool {
        self.elapsed >= self.spec.time_limit
    }

    /// x of the centre of mass of everything in the model, in metres. It lags the positions as MuJoCo's derived quantities do.
    pub(super) fn center_of_mass_x(&self) -> f64 {
        let masses = self.data.model().body_mass();
        // numpy's einsum adds body after body, and does not fuse.
        let moment = masses.iter().zip(self.data.xipos()).fold(0.0, |sum, (mass, position)| sum + mass * position[0]);
        moment / self.total_mass
    }
}

/// Writes blocks one after another into an observation.
///
/// # Panics
/// If `obs` is not exactly filled.
pub(super) fn write_observation(id: &str, obs: &mut [f64], blocks: &[&[f64]]) {
    let found = obs.len();
    let expected: usize = blocks.iter().map(|block| block.len()).sum();
    assert!(expected == found, "{id}: expected an observation buffer of {expected}, found {found}");
    let mut rest = obs;
    for block in blocks {
        let (here, after) = rest.split_at_mut(block.len());
        here.copy_from_slice(block);
        rest = after;
    }
}

/// `numpy.sum` of a contiguous array: pairwise, with eight interleaved partial sums in blocks of up to 128. Another order gives
/// other bits. (Inputs here are masses and squares, so the sign of an empty or zero sum does not come up.)
pub(super) fn numpy_sum(values: &[f64]) -> f64 {
    let n = values.len();
    if n < 8 {
        return values.iter().fold(0.0, |sum, x| sum + x);
    }
    if n <= 128 {
        let (blocks, rest) = values.as_chunks::<8>();
        let mut r = blocks[0];
        for block in &blocks[1..] {
            for (sum, x) in r.iter_mut().zip(block) {
                *sum += x;
            }
        }
        let sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        return rest.iter().fold(sum, |sum, x| sum + x);
    }
    let (left, right) = values.split_at(n / 2 - n / 2 % 8);
    numpy_sum(left) + numpy_sum(right)
}

/// The compiled model of `task`: compiled at its first use in this process, shared after that.
fn compiled(task: &Task) -> Result<Arc<MjModel>> {
    static MODELS: Mutex<BTreeMap<&'static str, Arc<MjModel>>> = Mutex::new(BTreeMap::new());
    // The map is whole even if a thread panicked with the lock in its hand: an entry is inserted in one piece.
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(model) = models.get(task.file) {
        return Ok(Arc::clone(model));
    }
    let path = model_file(&mjcf_dir()?, task)?;
    // MuJoCo's messages span lines; ours are one.
    let model = MjModel::from_xml(&path).map_err(|e| {
        let message = e.to_string();
        anyhow!("{}: {}: {}", task.id, path.display(), message.split_whitespace().collect::<Vec<_>>().join(" "))
    })?;
    let model = Arc::new(model);
    models.insert(task.file, Arc::clone(&model));
    Ok(model)
}

/// Where the MJCF files lie: `DREAMSTEP_MJCF_DIR` now, else what it was when this was compiled.
fn mjcf_dir() -> Result<PathBuf> {
    std::env::var_os("DREAMSTEP_MJCF_DIR")
        .map(PathBuf::from)
        .or_else(|| option_env!("DREAMSTEP_MJCF_DIR").map(PathBuf::from))
        .context("DREAMSTEP_MJCF_DIR is not set: expected the folder of Gymnasium's MJCF models; run `make setup`")
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
    use super::*;

    /// Bits of numpy 2.3.5's `sum` of `1 / (i + 1)` for `i < n`; a plain loop gives other bits from 8 on.
    #[test]
    fn sums_have_the_bits_of_numpy() {
        for (n, bits) in SUMS {
            let values: Vec<f64> = (0..n).map(|i| 1.0 / (i as f64 + 1.0)).collect();
            assert_eq!(numpy_sum(&values).to_bits(), bits, "n = {n}");
        }
        let values: Vec<f64> = (0..300).map(|i| 1.0 / (f64::from(i) + 1.0)).collect();
        assert_ne!(values.iter().sum::<f64>().to_bits(), numpy_sum(&values).to_bits(), "the order must matter here");
    }

    #[rustfmt::skip]
    const SUMS: [(usize, u64); 9] = [
        (1, 0x3ff0_0000_0000_0000),
        (7, 0x4004_be2b_e2be_2be2),
        (8, 0x4005_be2b_e2be_2be2),
        (17, 0x400b_8434_1cec_ee4c),
        (84, 0x4014_0e4e_f27a_45c7),
        (128, 0x4015_bb8a_e954_1ca7),
        (129, 0x4015_c37b_0914_9ba9),
        (300, 0x4019_2172_a3e6_965a),
        (1000, 0x401d_f11f_45f4_e61a),
    ];

    #[test]
    fn a_missing_model_says_what_to_do() {
        let task = Task { id: "Humanoid-v5", file: "humanoid.xml", frame_skip: 5, time_limit: 1000 };
        let error = format!("{:#}", model_file(Path::new("/nowhere"), &task).unwrap_err());
        assert!(error.contains("humanoid.xml") && error.contains("/nowhere") && error.contains("make setup"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
