//! `collect`: episodes of random, zero or correlated actions, or of an agent, recorded into `RUN/rollouts/`.
//!
//! Contract: the folder is a function of its manifest ([`crate::data::manifest`]) and of `collect.steps`. Episode `i` resets with one draw
//! named `i` and acts with draws named `(i, t, actuator)`, so neither the number of threads nor a kill and restart changes a byte. The
//! episodes are 0, 1, 2, … up to the first whose end brings the total to at least `collect.steps`.
//!
//! Resuming: a folder whose last part has the environment, policy and seed that are asked for is completed; the valid episodes in it are
//! kept. Others are refused, unless they are to be added to: then a new part begins where the last one ends, which is how the data of a
//! round of iterative training (collect with the agent, fit again) joins what was there. Episode numbers continue, so no draw is used twice.

mod policy;

pub use policy::{record, reset_seed};

use crate::agent::file;
use crate::data::manifest::{self, Origin, Part, Policy, agent_path};
use crate::data::rollouts::{Episode, file_name};
use crate::env::{self, AnyEnv, EnvSpec};
use crate::run::config::Config;
use crate::run::folder::{RunDir, digest, sweep, write_atomic};
use crate::run::interrupt;
use crate::run::progress::Progress;
use anyhow::{Context, Result, ensure};
use dreamstep_core::pack::AlignedBytes;
use dreamstep_runtime::Model;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

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

/// What the command line adds to the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Begin a new part where the folder's last one is another's, instead of refusing.
    pub append: bool,
    /// The packed agent that acts; a part that is resumed has its own.
    pub agent: Option<&'a Path>,
}

/// A collection that may begin: everything that could be refused was checked. Nothing is written yet.
pub struct Plan<'a> {
    config: &'a Config,
    folder: PathBuf,
    spec: EnvSpec,
    /// The last is the one that is asked for.
    parts: Vec<Part>,
    /// What the manifest says now.
    on_disk: Vec<Part>,
    /// The agents that recorded, by digest; a missing one matters only where an episode of its part is to be recorded.
    agents: BTreeMap<String, AlignedBytes>,
}

/// One episode of a batch, and whether the disk has it already.
struct Entry {
    index: u64,
    kept: bool,
    episode: Episode,
}

/// Compares what `run` holds with what `config` asks for.
///
/// # Errors
/// One line: an unknown environment, an agent that does not fit it, a folder with other contents, or more episodes in it than are asked
/// for.
pub fn plan<'a>(config: &'a Config, run: &Path, request: &Request<'_>) -> Result<Plan<'a>> {
    let run = RunDir::new(run);
    let folder = run.rollouts();
    env::expect_playable(&config.env)?;
    let spec = env::spec(&config.env)?;
    let mut agents = BTreeMap::new();
    let named = request.agent.map(|path| -> Result<String> {
        let digest = digest(path)?;
        agents.insert(digest.clone(), file::read(path)?);
        Ok(digest)
    });
    let named = named.transpose()?;
    let label = env::label(&config.env)?;
    let on_disk = manifest::read(&folder, &asked_for(config, &label, named.as_deref()))?;
    // An agent's part that is resumed knows its agent.
    let known = on_disk.last().and_then(|part| match &part.origin {
        Origin::Recorded { policy: Policy::Agent(digest, _), .. } => Some(digest.as_str()),
        _ => None,
    });
    let policy = Policy::of(config, named.as_deref().or(known))?;
    let mut asked = Part { env: label, origin: Origin::Recorded { policy, seed: config.seed }, first: 0, end: None };
    let mut parts = on_disk.clone();
    match parts.last_mut() {
        None => parts.push(asked),
        Some(last) if last.end.is_none() && (&last.env, &last.origin) == (&asked.env, &asked.origin) => {}
        Some(last) => {
            ensure!(
                request.append && last.env == asked.env,
                "{}: expected `{asked}`, found `{last}`; name another run, or remove the folder{}",
                folder.join(manifest::FILE).display(),
                if last.env == asked.env { ", or add to it with --append" } else { "" }
            );
            asked.first = close(&run, &spec, &on_disk)?;
            last.end = Some(asked.first);
            parts.push(asked);
        }
    }
    for part in &parts {
        if let Origin::Recorded { policy: Policy::Agent(digest, _), .. } = &part.origin {
            let path = agent_path(&folder, digest);
            if !agents.contains_key(digest) && path.exists() {
                let found = crate::run::folder::digest(&path)?;
                ensure!(found == *digest, "{}: expected digest {digest}, found {found}", path.display());
                agents.insert(digest.clone(), file::read(&path)?);
            }
            if let Some(bytes) = agents.get(digest) {
                let path = request.agent.filter(|_| named.as_ref() == Some(digest)).unwrap_or(&path);
                file::check_privileged(path, &file::load(path, bytes, None)?, &config.env, &spec)?;
            }
        }
    }
    let plan = Plan { config, folder, spec, parts, on_disk, agents };
    plan.survey()?;
    Ok(plan)
}

/// The line that a folder of its own would have.
fn asked_for(config: &Config, label: &str, agent: Option<&str>) -> String {
    let policy = Policy::of(config, agent.or(Some("…")));
    let part =
        |policy| Part { env: label.to_owned(), origin: Origin::Recorded { policy, seed: config.seed }, first: 0, end: None };
    policy.map_or(String::new(), |policy| part(policy).to_string())
}

/// How many episodes the folder of `run` has, whose last part is complete: then it can be closed.
///
/// # Errors
/// One line: it is not. [`interrupt::Interrupted`] on Ctrl-C.
pub(crate) fn close(run: &RunDir, spec: &EnvSpec, parts: &[Part]) -> Result<u64> {
    let folder = run.rollouts();
    let (mut index, mut steps) = (0, 0);
    while let Some(episode) = part_of(parts, index).and_then(|part| kept(&folder, spec, part, index)) {
        interrupt::check()?;
        steps += episode.steps() as u64;
        index += 1;
    }
    let last = parts.last().expect("a folder that is added to has a part");
    let found = manifest::files(&folder)?;
    ensure!(
        index == found && index > last.first && last.end.is_none_or(|end| index == end),
        "{}: expected whole episodes without a gap, found {found} of which the first {index} are; complete `{last}` before adding to it",
        folder.display()
    );
    // What was asked for when it was recorded, where the run still knows.
    if run.config().exists() {
        let asked = Config::default().overlay_file(&run.config(), &[])?.collect.steps;
        ensure!(
            steps >= asked,
            "{}: expected collect.steps = {asked} steps, found {steps}; complete `{last}` by `dreamstep collect --run {}` before adding to it",
            folder.display(),
            run.root().display()
        );
    }
    Ok(index)
}

/// The part that episode `index` belongs to.
fn part_of(parts: &[Part], index: u64) -> Option<&Part> {
    parts.iter().find(|part| part.first <= index && part.end.is_none_or(|end| index < end))
}

/// Fills `run`'s rollouts folder. See the module for what is kept and what is refused. `progress` counts steps; its total is
/// set here.
///
/// # Errors
/// As [`plan`], [`Plan::write_manifest`] and [`Plan::record`].
pub fn collect(config: &Config, run: &Path, request: &Request<'_>, progress: &Progress) -> Result<Summary> {
    let plan = plan(config, run, request)?;
    plan.write_manifest()?;
    plan.record(progress)
}

impl Plan<'_> {
    /// That no more is there than is asked for, and that what cannot be recorded again is there.
    fn survey(&self) -> Result<()> {
        let (mut index, mut steps) = (0, 0);
        while self.needs(index, steps) {
            let Some(part) = part_of(&self.parts, index) else { break };
            let Some(episode) = kept(&self.folder, &self.spec, part, index) else {
                ensure!(
                    matches!(part.origin, Origin::Recorded { .. }),
                    "{}: expected an episode of `{part}`, found none; import it again",
                    self.folder.join(file_name(index)).display()
                );
                // A gap is to be filled.
                return Ok(());
            };
            interrupt::check()?;
            steps += episode.steps() as u64;
            index += 1;
        }
        ensure!(
            self.parts.len() == self.on_disk.len() || self.on_disk.is_empty(),
            "{}: expected collect.steps above the {steps} steps that are there (it counts all parts), found {}",
            self.folder.display(),
            self.config.collect.steps
        );
        self.check_count(index)
    }

    /// Whether episode `index` belongs to the folder, where those before it have `steps` steps.
    fn needs(&self, index: u64, steps: u64) -> bool {
        steps < self.config.collect.steps || self.parts.last().is_some_and(|last| index < last.first)
    }

    /// That the folder holds `episodes` episodes, which are enough.
    fn check_count(&self, episodes: u64) -> Result<()> {
        let (found, target) = (manifest::files(&self.folder)?, self.config.collect.steps);
        ensure!(
            found == episodes,
            "{}: expected the {episodes} episodes that collect.steps = {target} asks for, found {found}; remove the folder to record it \
             anew, or ask for more steps",
            self.folder.display()
        );
        Ok(())
    }

    /// Writes the manifest, and the agents that act beside it. What a killed process left is removed.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_manifest(&self) -> Result<()> {
        if self.parts != self.on_disk {
            for (digest, bytes) in &self.agents {
                let path = agent_path(&self.folder, digest);
                if !path.exists() {
                    write_atomic(&path, bytes)?;
                }
            }
            manifest::write(&self.folder, &self.parts)?;
        }
        sweep(&self.folder)
    }

    /// Records what is missing.
    ///
    /// # Errors
    /// One line: a file cannot be written, an agent is missing or was refused an observation. [`interrupt::Interrupted`] on
    /// Ctrl-C, with the episodes that were finished in the folder.
    ///
    /// # Panics
    /// If a worker does: a lost worker must not look like a short run.
    pub fn record(&self, progress: &Progress) -> Result<Summary> {
        let Self { config, folder, spec, parts, .. } = self;
        let models = self
            .agents
            .iter()
            .map(|(digest, bytes)| Ok((digest.as_str(), file::load(&agent_path(folder, digest), bytes, None)?)));
        let models: BTreeMap<&str, Model<'_>> = models.collect::<Result<_>>()?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(config.worker_threads())
            .build()
            .context("threads: cannot start the workers")?;
        let one = |env: &mut Option<AnyEnv>, index: u64| -> Result<Entry> {
            let part = part_of(parts, index).context("collect.txt: expected a last part that is open")?;
            if let Some(episode) = kept(folder, spec, part, index) {
                return Ok(Entry { index, kept: true, episode });
            }
            let Origin::Recorded { policy, seed } = &part.origin else {
                anyhow::bail!("{}: expected an imported episode, found none", folder.join(file_name(index)).display())
            };
            let model = match policy {
                Policy::Agent(digest, _) => Some(models.get(digest.as_str()).with_context(|| {
                    format!(
                        "{}: expected the agent that recorded `{part}`, found none",
                        agent_path(folder, digest).display()
                    )
                })?),
                _ => None,
            };
            let env = match env {
                Some(env) => env,
                None => env.insert(AnyEnv::make(&config.env)?),
            };
            Ok(Entry { index, kept: false, episode: policy::episode(env, policy, model, *seed, index)? })
        };

        let target = config.collect.steps;
        progress.set_total(target);
        let closed = parts.last().map_or(0, |last| last.first);
        let (mut episodes, mut steps, mut returns) = (0_u64, 0_u64, 0.0_f64);
        while self.needs(episodes, steps) {
            // Enough to keep every worker busy, few enough that hardly any is thrown away at the end.
            let mean_length = steps.checked_div(episodes).unwrap_or(1).max(1);
            let missing = target.saturating_sub(steps).div_ceil(mean_length).max(closed.saturating_sub(episodes));
            // All of a batch is in memory until its length is known; episodes of frames are a hundred times as large.
            let ahead = if spec.image.is_some() { 1 } else { 16 };
            let batch = missing.min(ahead * pool.current_num_threads() as u64);
            let failed = AtomicBool::new(false);
            let mut batch: Vec<Option<Result<Entry>>> = pool.install(|| {
                (episodes..episodes + batch)
                    .into_par_iter()
                    .map_init(
                        || None,
                        |env, index| {
                            let go_on = !interrupt::requested() && !failed.load(Ordering::Relaxed);
                            go_on.then(|| one(env, index).inspect_err(|_| failed.store(true, Ordering::Relaxed)))
                        },
                    )
                    .collect()
            });
            // What was recorded before Ctrl-C, or before an episode that failed: it is kept, so that the same command goes on from there.
            let whole = batch.iter().take_while(|entry| matches!(entry, Some(Ok(_)))).count();
            let error = batch.split_off(whole).into_iter().flatten().find_map(Result::err);
            let batch: Vec<Entry> = batch.into_iter().flatten().flatten().collect();
            // The shortest prefix that is enough; what lies past it never touches the disk.
            let (mut prefix, mut all_kept) = (0, true);
            for entry in &batch {
                if !self.needs(entry.index, steps) {
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
            if self.needs(episodes, steps) {
                interrupt::check()?;
                if let Some(error) = error {
                    return Err(error);
                }
            }
            if all_kept {
                progress.resume_at(steps.min(target));
            } else {
                progress.set(steps.min(target));
            }
        }
        self.check_count(episodes)?;
        let n = episodes as f64;
        Ok(Summary { episodes, steps, mean_return: returns / n, mean_length: steps as f64 / n })
    }
}

/// Episode `index` of `part`, where the folder already holds it whole. Anything else under its name is recorded again.
fn kept(folder: &Path, spec: &EnvSpec, part: &Part, index: u64) -> Option<Episode> {
    let episode = Episode::read(&folder.join(file_name(index))).ok()?;
    let ours = match part.origin {
        Origin::Recorded { seed, .. } => episode.seed == reset_seed(seed, index),
        Origin::Imported(_) => true,
    };
    let fits = episode.dims() == (spec.obs, spec.action()) && episode.observations.frame() == spec.frame();
    (ours && fits).then_some(episode)
}
