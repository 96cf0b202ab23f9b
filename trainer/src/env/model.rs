//! Models: found, compiled once a process, and put into surrogate physics where that is asked for.
//!
//! The MJCF files are Gymnasium's own (`make setup` installs them); nothing of them is kept here.

use super::Physics;
use super::task::Task;
use anyhow::{Context, Result, anyhow, ensure};
use mujoco_rs::logging::set_log_handler;
use mujoco_rs::wrappers::MjModel;
use mujoco_rs::wrappers::mj_logging::{MjtLogLevel, log_config, set_log_config};
use mujoco_rs::wrappers::mj_model::MjtIntegrator;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};

/// Sweeps of the contact solver in [`Physics::Heun`], at most.
const SURROGATE_ITERATIONS: i32 = 20;

/// The compiled model of `task`: compiled at its first use in this process, shared after that.
pub(super) fn compiled(task: &Task, physics: Physics) -> Result<Arc<MjModel>> {
    static MODELS: Mutex<BTreeMap<(&'static str, Physics), Arc<MjModel>>> = Mutex::new(BTreeMap::new());
    static SILENCE: Once = Once::new();
    // The map is whole even if a thread panicked while it held the lock: an entry is inserted in one piece.
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(model) = models.get(&(task.file, physics)) {
        return Ok(Arc::clone(model));
    }
    let path = model_file(&mjcf_dir()?, task)?;
    // MuJoCo warns on stderr and in a `MUJOCO_LOG.TXT` in the current folder: of a deprecated attribute of HalfCheetah's model, and of a
    // simulation that diverges, which it then resets.
    SILENCE.call_once(|| {
        let config = log_config();
        // SAFETY: no other thread uses MuJoCo: nothing here does before it has a model, and the first one is compiled below, by this
        // thread, which holds the lock.
        unsafe {
            set_log_handler(|message| {
                if message.level() == MjtLogLevel::mjLOG_ERROR {
                    // MuJoCo cannot continue; the process ends after this.
                    crate::run::output::error_line(format!("error: MuJoCo: {}", message.subject()));
                }
            });
            // A handler is given every topic, those that steps would spend time on, too.
            set_log_config(config);
        }
    });
    // MuJoCo's errors span lines; ours are one.
    let mut model = MjModel::from_xml(&path).map_err(|e| {
        let message = e.to_string();
        anyhow!("{}: {}: {}", task.id, path.display(), message.split_whitespace().collect::<Vec<_>>().join(" "))
    })?;
    if physics == Physics::Heun {
        let skip = frame_skip(task, physics);
        let options = model.opt_mut();
        options.integrator = MjtIntegrator::mjINT_EULER as i32;
        options.timestep *= f64::from(task.frame_skip) / f64::from(skip);
        options.iterations = options.iterations.min(SURROGATE_ITERATIONS);
    }
    let model = Arc::new(model);
    models.insert((task.file, physics), Arc::clone(&model));
    Ok(model)
}

/// Simulator steps in one environment step.
pub(super) const fn frame_skip(task: &Task, physics: Physics) -> u32 {
    match physics {
        Physics::Task => task.frame_skip,
        Physics::Heun => (task.frame_skip * 2).div_ceil(5),
    }
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
}
