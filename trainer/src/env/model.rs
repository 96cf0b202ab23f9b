//! Models: found, compiled once a process with the task that is theirs, and put into surrogate physics where that is asked for.
//!
//! Gymnasium's MJCF files are Gymnasium's own (`make setup` installs them); nothing of them is kept here.

use super::builtin;
use super::task::{Read, Task};
use super::{ActionSpace, EnvConfig, EnvSpec, Physics};
use crate::run::config::{ExpectConfig, TaskConfig};
use anyhow::{Context, Result, anyhow, bail, ensure};
use dreamstep_core::digest::Digest;
use mujoco_rs::logging::set_log_handler;
use mujoco_rs::wrappers::MjModel;
use mujoco_rs::wrappers::mj_logging::{MjtLogLevel, log_config, set_log_config};
use mujoco_rs::wrappers::mj_model::{MjtIntegrator, MjtObjBase};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};

/// Sweeps of the contact solver in [`Physics::Heun`], at most.
const SURROGATE_ITERATIONS: i32 = 20;

/// A task on its model: what all environments of one configuration share.
pub(super) struct Compiled {
    pub(super) model: Arc<MjModel>,
    pub(super) task: Task,
    pub(super) spec: EnvSpec,
    /// Simulator steps in one environment step.
    pub(super) frame_skip: u32,
}

/// The task of `env`, whose `id` is built in or whose `mjcf` is a model file, on its model: compiled at its first use in this process,
/// shared after that.
///
/// # Errors
/// One line: a file that is missing or does not compile, or a task that does not fit it, by the key.
pub(super) fn compiled(env: &EnvConfig, physics: Physics) -> Result<Arc<Compiled>> {
    static MODELS: Mutex<BTreeMap<(String, Physics), Arc<Compiled>>> = Mutex::new(BTreeMap::new());
    let key = (toml::to_string(env).context("[env]")?, physics);
    // The map is whole even if a thread panicked while it held the lock: an entry is inserted in one piece.
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(compiled) = models.get(&key) {
        return Ok(Arc::clone(compiled));
    }
    let compiled = Arc::new(Compiled::new(&Definition::of(env)?, physics)?);
    models.insert(key, Arc::clone(&compiled));
    Ok(compiled)
}

/// What is compiled: of the user's own, or what stands in a file of `configs/tasks`.
struct Definition {
    env: EnvConfig,
    path: PathBuf,
    is_own: bool,
}

impl Definition {
    fn of(env: &EnvConfig) -> Result<Self> {
        let is_own = !env.mjcf.is_empty();
        if is_own {
            return Ok(Self { path: own_file(&env.mjcf)?, env: env.clone(), is_own });
        }
        let built_in = builtin::task(&env.id).with_context(|| format!("{}: expected a task that is built in", env.id))?;
        let EnvConfig { mjcf, task, .. } = built_in?;
        let path = model_file(&mjcf_dir()?, &env.id, &mjcf)?;
        Ok(Self { env: EnvConfig { mjcf, task, ..env.clone() }, path, is_own })
    }
}

impl Compiled {
    fn new(definition: &Definition, physics: Physics) -> Result<Self> {
        let Definition { env, path, is_own } = definition;
        let EnvConfig { id, task: config, .. } = env;
        silence();
        // MuJoCo's errors span lines; ours are one.
        let mut model = MjModel::from_xml(path).map_err(|e| {
            let message = e.to_string();
            anyhow!("{id}: {}: {}", path.display(), message.split_whitespace().collect::<Vec<_>>().join(" "))
        })?;
        let dt_s = model.opt().timestep * f64::from(config.frame_skip);
        let frame_skip = frame_skip(config, physics);
        if physics == Physics::Heun {
            let options = model.opt_mut();
            options.integrator = MjtIntegrator::mjINT_EULER as i32;
            options.timestep *= f64::from(config.frame_skip) / f64::from(frame_skip);
            options.iterations = options.iterations.min(SURROGATE_ITERATIONS);
            ensure!(model.na() == 0, "{id}: physics = heun: expected actuators without activations, found {}", model.na());
        }
        let file = &path.file_name().map_or_else(|| env.mjcf.clone(), |name| name.to_string_lossy().into_owned());
        let read = Read { model: &model, file };
        let actions = actions(read, env).with_context(|| id.clone())?;
        let task = Task::compile(read, config, dt_s).with_context(|| id.clone())?;
        let healthy_bonus = task.healthy_bonus();
        let spec = EnvSpec {
            id: id.clone(),
            obs: task.obs(),
            actions,
            dt_s,
            time_limit: config.time_limit,
            blocks: task.blocks.clone(),
            image: None,
            healthy_bonus,
        };
        check(&spec, &config.expect, file, *is_own)?;
        Ok(Self { model: Arc::new(model), task, spec, frame_skip })
    }
}

impl Compiled {
    /// Of everything in the model, meshes and included files too.
    pub(super) fn digest(&self) -> Result<String> {
        let mut bytes = vec![0; self.model.size()];
        self.model.save_to_buffer(&mut bytes).context("[env] mjcf")?;
        Ok(format!("{:016x}", Digest::default().update_bytes(&bytes).value()))
    }
}

/// MuJoCo warns on stderr and in a `MUJOCO_LOG.TXT` in the current folder: of a deprecated attribute of HalfCheetah's model, and of a
/// simulation that diverges, which it then resets.
fn silence() {
    static SILENCE: Once = Once::new();
    SILENCE.call_once(|| {
        let config = log_config();
        // SAFETY: no other thread uses MuJoCo: nothing here does before it has a model, and the first one is compiled after this, by this
        // thread, which holds the lock of all models.
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
}

/// Simulator steps in one environment step.
const fn frame_skip(task: &TaskConfig, physics: Physics) -> u32 {
    match physics {
        Physics::Task => task.frame_skip,
        Physics::Heun => (task.frame_skip * 2).div_ceil(5),
    }
}

/// The range of every control: the model's, or `env.action_range` where that has none.
fn actions(read: Read<'_>, env: &EnvConfig) -> Result<ActionSpace> {
    let model = read.model;
    let (mut low, mut high, mut unlimited) = (Vec::new(), Vec::new(), None);
    for (i, (range, limited)) in model.actuator_ctrlrange().iter().zip(model.actuator_ctrllimited()).enumerate() {
        let range = match env.action_range[..] {
            _ if *limited => *range,
            [low, high] => [low, high],
            _ => [f64::NAN; 2],
        };
        unlimited = unlimited.or((!limited).then_some(i));
        low.push(range[0] as f32);
        high.push(range[1] as f32);
    }
    ensure!(!low.is_empty(), "{}: expected at least one actuator, found none", read.file);
    match (unlimited, env.action_range.is_empty()) {
        (Some(i), true) => {
            let name = model.id_to_name(MjtObjBase::mjOBJ_ACTUATOR, i).filter(|name| !name.is_empty());
            let name = name.map_or_else(|| i.to_string(), |name| format!("`{name}`"));
            bail!("{}: actuator {name} has no ctrlrange: give it one, or set env.action_range = [low, high]", read.file)
        }
        (None, false) => bail!(
            "env.action_range: {} has its own for every actuator: expected [], found {:?}",
            read.file,
            env.action_range
        ),
        _ => Ok(ActionSpace::Continuous { low, high }),
    }
}

/// That a model is the one that was expected.
fn check(found: &EnvSpec, expected: &ExpectConfig, file: &str, is_own: bool) -> Result<()> {
    let ExpectConfig { observations, actions, action_range, period_s } = expected;
    let is_range = |i| {
        let (low, high) = found.actions.range(i);
        action_range.is_empty() || action_range.iter().map(|bound| *bound as f32).eq([low, high])
    };
    let same = (*observations == 0 || *observations == found.obs)
        && (*actions == 0 || *actions == found.action())
        && (0..found.action()).all(is_range)
        && (*period_s == 0.0 || (period_s - found.dt_s).abs() <= 1e-9 * period_s);
    let whose = if is_own { "the model of env.task.expect" } else { "the model of Gymnasium 1.4.0" };
    ensure!(
        same,
        "{}: expected {whose}, found another in {file}: observations of {} (expected {observations}), actions of {} ({actions}), {} s a \
         step ({period_s}), or another range of actions",
        found.id,
        found.obs,
        found.action(),
        found.dt_s,
    );
    Ok(())
}

/// Where Gymnasium's MJCF files lie: `DREAMSTEP_MJCF_DIR` now, else what it was when this was compiled.
fn mjcf_dir() -> Result<PathBuf> {
    std::env::var_os("DREAMSTEP_MJCF_DIR")
        .map(PathBuf::from)
        .or_else(|| option_env!("DREAMSTEP_MJCF_DIR").map(PathBuf::from))
        .context("DREAMSTEP_MJCF_DIR is not set: expected the folder of Gymnasium's MJCF models; run `make setup`")
}

fn model_file(dir: &Path, id: &str, file: &str) -> Result<PathBuf> {
    let path = dir.join(file);
    ensure!(
        path.is_file(),
        "{id}: {file} not found: expected Gymnasium's MJCF models in {}; run `make setup` or set DREAMSTEP_MJCF_DIR",
        dir.display()
    );
    Ok(path)
}

/// A user's own: from the current folder (one beside the configuration that names it was found as that was read), else one of Gymnasium's.
fn own_file(file: &str) -> Result<PathBuf> {
    let gymnasiums = mjcf_dir().ok().map(|dir| dir.join(file));
    let places = [Some(PathBuf::from(file)), gymnasiums];
    let found = places.into_iter().flatten().find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "env.mjcf = {file:?}: no such file beside the configuration, in the current folder or among Gymnasium's models; of an agent, \
             --env FILE.toml names the text beside it"
        )
    })
}

/// A built-in task, `word` of whose text is `other`.
#[cfg(test)]
pub(super) fn altered(id: &str, word: &str, other: &str) -> Result<Compiled> {
    let env = builtin::altered(id, word, other);
    let path = model_file(&mjcf_dir()?, id, &env.mjcf)?;
    Compiled::new(&Definition { env, path, is_own: false }, Physics::Task)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_model_says_what_to_do() {
        for id in builtin::ids() {
            let file = builtin::task(id).unwrap().unwrap().mjcf;
            let error = format!("{:#}", model_file(Path::new("/nowhere"), id, &file).unwrap_err());
            let parts = [id, &file, "/nowhere", "make setup"];
            assert!(parts.iter().all(|part| error.contains(part)) && !error.contains('\n'), "{error}");
        }
    }
}
