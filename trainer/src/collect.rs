//! `collect`: what does the world do under random actions? Episodes of the uniform policy, recorded into `RUN/rollouts/`.
//!
//! Contract: the folder is a function of environment, seed and `collect.steps`. Episode `i` resets with one draw named `i` and
//! acts with draws named `(i, t, actuator)`, so neither the number of threads nor a kill and restart changes a byte. The
//! episodes are 0, 1, 2, … up to the first whose end brings the total to at least `collect.steps`.
//!
//! Resuming: a folder that records the same environment and seed is completed; the valid episodes in it are kept. Any other
//! folder that is not empty is refused.

use crate::config::Config;
use crate::env::{AnyEnv, Env, EnvSpec};
use crate::interrupt;
use crate::progress::Progress;
use crate::rollouts::{Episode, file_name, list};
use crate::run_dir::{PARTIAL, RunDir, write_atomic};
use anyhow::{Context, Result, ensure};
use dreamstep_core::rng::{Philox, Stream};
use ndarray::{Array1, Array2};
use rayon::prelude::*;
use std::path::Path;

/// Names what a folder's episodes are.
const CLAIM: &str = "collect.txt";

/// What was collected, whether now or before.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Episodes in the folder.
    pub episodes: u64,
    /// Environment steps in them.
    pub steps: u64,
    /// Mean over episodes of the sum of rewards.
    pub mean_return: f64,
    /// Mean steps of an episode.
    pub mean_length: f64,
}

/// That [`collect`] would go on in `run`: so that a refusal comes before anything is written.
///
/// # Errors
/// One line: an unknown environment, a folder with other contents, or more episodes in it than are asked for.
pub fn check(config: &Config, run: &Path) -> Result<()> {
    let folder = RunDir::new(run).rollouts();
    let spec = AnyEnv::make(&config.env)?.spec().clone();
    if !is_claimed(&folder, config)? {
        return Ok(());
    }
    let (mut index, mut steps) = (0, 0);
    while steps < config.collect.steps {
        // A gap is for `collect` to fill.
        let Some(episode) = kept(&folder, &spec, config.seed, index) else { return Ok(()) };
        steps += episode.steps() as u64;
        index += 1;
    }
    check_count(&folder, config, index)
}

/// One episode of a batch, and whether the disk has it already.
struct Entry {
    index: u64,
    kept: bool,
    episode: Episode,
}

/// Fills `run`'s rollouts folder. See the module for what is kept and what is refused. `progress` counts steps; its total is
/// set here.
///
/// # Errors
/// One line: an unknown environment, a folder with other contents, a file that cannot be written. [`interrupt::Interrupted`], where
/// somebody asked to stop: with the episodes that were finished in the folder.
///
/// # Panics
/// If a worker does: a lost worker must not look like a short run.
pub fn collect(config: &Config, run: &Path, progress: &Progress) -> Result<Summary> {
    let folder = RunDir::new(run).rollouts();
    let spec = AnyEnv::make(&config.env)?.spec().clone();
    claim(&folder, config)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(config.worker_threads())
        .build()
        .context("threads: cannot start the workers")?;

    let target = config.collect.steps;
    progress.set_total(target);
    let (mut episodes, mut steps, mut returns) = (0_u64, 0_u64, 0.0_f64);
    while steps < target {
        // Enough to keep every worker busy, few enough that hardly any is thrown away at the end.
        let mean_length = steps.checked_div(episodes).unwrap_or(1).max(1);
        let batch = (target - steps).div_ceil(mean_length).min(16 * pool.current_num_threads() as u64);
        let batch: Vec<Option<Entry>> = pool.install(|| {
            let make = || AnyEnv::make(&config.env);
            (episodes..episodes + batch)
                .into_par_iter()
                .map_init(make, |env, index| {
                    if interrupt::requested() {
                        return Ok(None);
                    }
                    if let Some(episode) = kept(&folder, &spec, config.seed, index) {
                        return Ok(Some(Entry { index, kept: true, episode }));
                    }
                    // The model was compiled above; a failure here is memory running out.
                    let env = env.as_mut().map_err(|e| anyhow::anyhow!("{e:#}"))?;
                    Ok(Some(Entry { index, kept: false, episode: uniform_episode(env, config.seed, index) }))
                })
                .collect::<Result<_>>()
        })?;
        // What was recorded before somebody asked to stop.
        let batch: Vec<Entry> = batch.into_iter().map_while(|entry| entry).collect();
        // The shortest prefix that is enough; what lies past it never touches the disk.
        let (mut prefix, mut all_kept) = (0, true);
        for entry in &batch {
            if steps >= target {
                break;
            }
            prefix += 1;
            all_kept &= entry.kept;
            steps += entry.episode.steps() as u64;
            returns += entry.episode.episode_return();
        }
        let new = batch[..prefix].par_iter().filter(|entry| !entry.kept);
        pool.install(|| new.try_for_each(|entry| entry.episode.write(&folder.join(file_name(entry.index)))))?;
        episodes += prefix as u64;
        if steps < target {
            interrupt::check()?;
        }
        if all_kept {
            progress.resume_at(steps.min(target));
        } else {
            progress.set(steps.min(target));
        }
    }
    check_count(&folder, config, episodes)?;
    let n = episodes as f64;
    Ok(Summary { episodes, steps, mean_return: returns / n, mean_length: steps as f64 / n })
}

/// Plays one episode to its end. `act(t, obs [O], action [A])` fills in the action of step `t`.
///
/// # Panics
/// As [`Env::step`] does, on an action that is not finite.
pub fn record(env: &mut AnyEnv, seed: u64, mut act: impl FnMut(u32, &[f64], &mut [f32])) -> Episode {
    let EnvSpec { obs: o, action: a, .. } = *env.spec();
    let (mut obs, mut action) = (vec![0.0; o], vec![0.0; a]);
    let (mut observations, mut actions, mut rewards) = (Vec::new(), Vec::new(), Vec::new());
    env.reset(seed, &mut obs);
    observations.extend(obs.iter().map(|&x| x as f32));
    let mut t = 0;
    let end = loop {
        act(t, &obs, &mut action);
        let step = env.step(&action, &mut obs);
        observations.extend(obs.iter().map(|&x| x as f32));
        actions.extend_from_slice(&action);
        rewards.push(step.reward as f32);
        t += 1;
        if step.terminated || step.truncated {
            break step;
        }
    };
    let steps = rewards.len();
    let last = |flag: bool| Array1::from_shape_fn(steps, |t| flag && t + 1 == steps);
    Episode {
        seed,
        // Both hold what was pushed above, row by row.
        observations: Array2::from_shape_vec((steps + 1, o), observations).expect("one row per observation"),
        actions: Array2::from_shape_vec((steps, a), actions).expect("one row per action"),
        rewards: Array1::from_vec(rewards),
        terminals: last(end.terminated),
        truncations: last(end.truncated),
    }
}

/// What episode `index` of a collection is reset with.
#[must_use]
pub fn reset_seed(seed: u64, index: u64) -> u64 {
    Philox::new(seed).bits(Stream::EnvReset, index, 0)
}

/// Episode `index` of the uniform policy. Draw `(CollectAction, index · 2³² + t, actuator)` sets one actuator in one step.
fn uniform_episode(env: &mut AnyEnv, seed: u64, index: u64) -> Episode {
    let EnvSpec { action_low, action_high, .. } = env.spec().clone();
    record(env, reset_seed(seed, index), |t, _, action| {
        for (i, a) in action.iter_mut().enumerate() {
            let u = Philox::new(seed).uniform(Stream::CollectAction, index << 32 | u64::from(t), i as u32);
            *a = action_low[i] + (action_high[i] - action_low[i]) * u;
        }
    })
}

/// Episode `index`, where the folder already holds it whole. Anything else under its name is recorded again.
fn kept(folder: &Path, spec: &EnvSpec, seed: u64, index: u64) -> Option<Episode> {
    let episode = Episode::read(&folder.join(file_name(index))).ok()?;
    (episode.seed == reset_seed(seed, index) && episode.dims() == (spec.obs, spec.action)).then_some(episode)
}

/// That `folder` holds `episodes` episodes, which are enough.
fn check_count(folder: &Path, config: &Config, episodes: u64) -> Result<()> {
    let (found, target) = (list(folder)?.len() as u64, config.collect.steps);
    ensure!(
        found == episodes,
        "{}: expected the {episodes} episodes that collect.steps = {target} asks for, found {found}; remove the folder to record it anew, \
         or ask for more steps",
        folder.display()
    );
    Ok(())
}

/// `collect.txt`: what a folder's episodes are.
fn claim_text(config: &Config) -> String {
    format!("env = {}, policy = uniform, seed = {}\n", config.env, config.seed)
}

/// Whether `folder` is ours already; an error where it is somebody else's.
fn is_claimed(folder: &Path, config: &Config) -> Result<bool> {
    let (claim, expected) = (folder.join(CLAIM), claim_text(config));
    if let Ok(found) = std::fs::read_to_string(&claim) {
        ensure!(
            found == expected,
            "{}: expected `{}`, found `{}`; name another run, or remove the folder",
            claim.display(),
            expected.trim(),
            found.lines().next().unwrap_or_default()
        );
        return Ok(true);
    }
    // What a killed process left of its claim is nobody's.
    let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    ensure!(
        entries.all(|entry| is_partial(&entry.path())),
        "{}: expected an empty folder, or one with the collect.txt of `{}`; name another run, or remove the folder",
        folder.display(),
        expected.trim()
    );
    Ok(false)
}

/// Makes `folder` ours, or refuses it: `collect.txt` in it says what its episodes are. What a killed process left is swept out.
fn claim(folder: &Path, config: &Config) -> Result<()> {
    if !is_claimed(folder, config)? {
        write_atomic(&folder.join(CLAIM), claim_text(config).as_bytes())?;
    }
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if is_partial(&path) {
            std::fs::remove_file(&path).with_context(|| format!("{}: cannot remove an unfinished file", path.display()))?;
        }
    }
    Ok(())
}

fn is_partial(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL))
}
