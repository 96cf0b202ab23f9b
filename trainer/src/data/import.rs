//! `import`: how do rollouts that another program recorded become episodes here? Three forms, told apart by what is in the files:
//!
//! | form | files | rows |
//! |---|---|---|
//! | triplet | `X_observations.npy` and beside it `X_actions.npy`, `X_rewards.npy`, `X_dones.npy` (or `_done`, `_terminals`) | N steps of many episodes |
//! | TorchWM, ctallec | `.npz` with `observations`, `actions`, `rewards`, `terminals` (or `dones`, `done`) | N steps of one episode or more |
//! | dreamstep | `.npz` as [`crate::data::rollouts`] has them: one observation more than steps | one episode |
//!
//! # The last step
//! The first two have one observation a step, so where an episode's last step led is not on record. That step is dropped, and with it the
//! end that it brought: an episode of N rows has N − 1 steps, whose last one is no terminal. Who wants the ends kept for M to learn from
//! can have the last observation stand in for the one that is missing (`repeat_final`). What [`super::export`] wrote has the
//! missing observations beside it, and loses nothing.
//!
//! Row t is taken for what action t was taken in; programs that store what `step` returned have where it led ([`Rows::After`]), and then
//! it is an episode's first step that cannot be kept.
//!
//! # Ends
//! `terminals` say where the task ended, `dones` where an episode did: a done in the environment's time limit is a truncation. A triplet
//! without either is refused, unless its episodes are all of one length that the user names.

use super::npy::{Array, Npz, read_file, read_npy};
use crate::data::collect::claim::{self, Origin, Part};
use crate::data::collect::close;
use crate::data::rollouts::{Episode, file_name};
use crate::env::{self, EnvSpec};
use crate::run::config::Config;
use crate::run::folder::{RunDir, write_atomic};
use anyhow::{Context, Result, bail, ensure};
use dreamstep_core::digest::Digest;
use ndarray::{Array1, Array2};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What an observation's row is beside its action's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Rows {
    /// What the action was taken in.
    #[default]
    Before,
    /// Where the action led.
    After,
}

/// How files are to be understood.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// Add to a folder that has episodes already.
    pub append: bool,
    /// Every so many steps an episode ends, by truncation, where the files do not say.
    pub episode_length: Option<usize>,
    /// What an observation's row is.
    pub rows: Rows,
    /// Keep an episode's last step, with its last observation once more as where it led.
    pub repeat_final: bool,
}

/// What an import came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Episodes brought in.
    pub episodes: u64,
    /// Steps in them.
    pub steps: u64,
    /// Steps in the folder, with what was there before.
    pub steps_in_folder: u64,
    /// What was converted or dropped, one line each.
    pub notes: Vec<String>,
}

/// Rows of one file or triplet.
struct Table {
    origin: String,
    observations: Array2<f32>,
    actions: Array2<f32>,
    rewards: Vec<f32>,
    /// Where the task ended, and where the time limit did.
    terminals: Vec<bool>,
    truncations: Vec<bool>,
    /// Where an episode ends without either.
    borders: Vec<bool>,
    /// Where each episode's last step led, where that is on record.
    finals: Option<Array2<f32>>,
    seed: Option<u64>,
}

/// Reads `paths` (files, or folders of them) as episodes of `config.env` and puts them into `run`, all of them or, where one is at fault,
/// none. The same import again completes one that was cut short. A folder that has other episodes is refused unless `options.append`.
///
/// # Errors
/// One line: a file that cannot be read or does not fit the environment, what was expected and found.
pub fn import(config: &Config, run: &RunDir, paths: &[PathBuf], options: &Options) -> Result<Report> {
    let (folder, spec) = (run.rollouts(), env::spec(&config.env)?);
    // A refusal makes no folder: one that is not there yet is locked when nothing can be refused any more.
    let lock = if run.root().exists() { Some(run.lock()?) } else { None };
    let mut source = Source { spec: &spec, options, notes: BTreeSet::new(), digest: Digest::default(), dropped: [0; 3] };
    source.digest =
        source.digest.update_bytes(format!("{options:?}", options = Options { append: false, ..*options }).as_bytes());
    let mut episodes = Vec::new();
    for path in expand(paths)? {
        let table = source.table(&path)?;
        let name = table.origin.clone();
        source.cut(table, &mut episodes).with_context(|| name)?;
    }
    ensure!(!episodes.is_empty(), "import: expected at least one episode of two steps, found none");

    let origin = Origin::Imported(format!("{:016x}", source.digest.value()));
    let mut parts = claim::read(&folder, &format!("env = {}, policy = imported", spec.id))?;
    let count = episodes.len() as u64;
    let part = |first| Part { env: spec.id.clone(), origin: origin.clone(), first, end: Some(first + count) };
    let known = parts.iter().find(|part| part.origin == origin).cloned();
    let first = match (&known, parts.last_mut()) {
        (Some(known), _) => known.first,
        (None, None) => 0,
        (None, Some(last)) => {
            ensure!(
                options.append && last.env == spec.id,
                "{}: expected an empty folder for {}, found `{last}`; name another run{}",
                folder.join(claim::CLAIM).display(),
                spec.id,
                if last.env == spec.id { ", or add to it with --append" } else { "" }
            );
            let end = close(run, &spec, &parts)?;
            if let Some(last) = parts.last_mut() {
                last.end = Some(end);
            }
            end
        }
    };
    if known.is_none() {
        parts.push(part(first));
    }
    for (index, episode) in (first..).zip(&mut episodes) {
        // An episode without a seed of its own is named by its number.
        episode.seed = if episode.seed == NO_SEED { index } else { episode.seed };
    }

    let _lock = match lock {
        Some(lock) => lock,
        None => run.lock()?,
    };
    if known.is_none() {
        claim::write(&folder, &parts)?;
    }
    for (index, episode) in (first..).zip(&episodes) {
        let path = folder.join(file_name(index));
        if Episode::read(&path).ok().as_ref() != Some(episode) {
            episode.write(&path)?;
        }
    }
    let steps = episodes.iter().map(|e| e.steps() as u64).sum();
    let mut steps_in_folder = steps;
    for index in (0..first).chain(first + count..claim::files(&folder)?) {
        steps_in_folder += Episode::read(&folder.join(file_name(index)))?.steps() as u64;
    }
    let mut config = config.clone();
    config.collect.steps = steps_in_folder;
    write_atomic(&run.config(), config.to_toml().as_bytes())?;
    source.note_dropped();
    Ok(Report { episodes: count, steps, steps_in_folder, notes: source.notes.into_iter().collect() })
}

/// Of an episode whose file has none.
const NO_SEED: u64 = u64::MAX;

/// The files that `paths` name, in order: those of a folder by name, and of a triplet the observations.
fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| format!("{}: cannot list", path.display()))?;
        let mut found: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        let wanted = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            (name.ends_with(".npz") || name.ends_with("observations.npy") && !name.contains("final_"))
                && !name.starts_with('.')
        };
        found.retain(wanted);
        found.sort();
        ensure!(!found.is_empty(), "{}: expected .npz files or *observations.npy in it, found none", path.display());
        files.extend(found);
    }
    Ok(files)
}

/// Reads files, and remembers what there is to say about them.
struct Source<'a> {
    spec: &'a EnvSpec,
    options: &'a Options,
    notes: BTreeSet<String>,
    digest: Digest,
    /// Steps that were dropped, ends that went with them, and episodes of one step.
    dropped: [u64; 3],
}

impl Source<'_> {
    fn table(&mut self, path: &Path) -> Result<Table> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with("observations.npy") {
            return self.triplet(path, name.trim_end_matches("observations.npy"));
        }
        ensure!(
            name.ends_with(".npz"),
            "{}: expected rollouts as .npz, or the *observations.npy of a triplet, found another name",
            path.display()
        );
        let bytes = read_file(path)?;
        self.digest = self.digest.update_bytes(&bytes);
        self.npz(path, &bytes).with_context(|| path.display().to_string())
    }

    fn npz(&mut self, path: &Path, bytes: &[u8]) -> Result<Table> {
        let mut npz = Npz::new(bytes)?;
        let keys = npz.keys();
        let mut get = |key: &str| npz.find(key)?.with_context(|| format!("expected an array `{key}`, found {keys}"));
        let (observations, actions, rewards) = (get("observations")?, get("actions")?, get("rewards")?);
        let seed = npz.find("seed")?.and_then(|_| seed(bytes));
        let mut flags =
            |keys: &[&str]| -> Result<Option<Array>> { keys.iter().find_map(|key| npz.find(key).transpose()).transpose() };
        let (terminals, dones, truncations) = (flags(&["terminals"])?, flags(&["dones", "done"])?, flags(&["truncations"])?);
        let finals = npz.find("final_observation")?;
        let origin = path.display().to_string();
        self.assemble(origin, observations, actions, rewards, [terminals, dones, truncations], finals, seed)
    }

    fn triplet(&mut self, path: &Path, stem: &str) -> Result<Table> {
        let beside = |kind: &str| path.with_file_name(format!("{stem}{kind}.npy"));
        let mut get = |kind: &str| -> Result<Array> {
            let (array, bytes) = read_npy(&beside(kind))?;
            self.digest = self.digest.update_bytes(&bytes);
            Ok(array)
        };
        let (observations, actions, rewards) = (get("observations")?, get("actions")?, get("rewards")?);
        let mut flags = |kinds: &[&str]| -> Result<Option<Array>> {
            kinds.iter().find(|kind| beside(kind).exists()).map(|kind| get(kind)).transpose()
        };
        let (terminals, dones, truncations) = (flags(&["terminals"])?, flags(&["dones", "done"])?, flags(&["truncations"])?);
        let finals = flags(&["final_observations"])?;
        let origin = path.display().to_string();
        let assembled = self.assemble(origin, observations, actions, rewards, [terminals, dones, truncations], finals, None);
        assembled.with_context(|| path.display().to_string())
    }

    /// Checks shapes and puts them together.
    #[allow(clippy::too_many_arguments, reason = "the arrays of a file, each once")]
    fn assemble(
        &mut self,
        origin: String,
        observations: Array,
        actions: Array,
        rewards: Array,
        [terminals, dones, truncations]: [Option<Array>; 3],
        finals: Option<Array>,
        seed: Option<u64>,
    ) -> Result<Table> {
        let spec = self.spec;
        let observations = self.matrix("observations", observations, spec.obs)?;
        let n = rewards.values.len();
        ensure!(
            rewards.shape.iter().all(|&size| size == n || size == 1),
            "rewards: expected one number a step, found shape {:?}",
            rewards.shape
        );
        let rewards = self.converted("rewards", rewards);
        // A choice of two as Gymnasium numbers it; here the sign chooses.
        let choices = spec.id == "CartPole-v1" && actions.values.iter().all(|&a| a == 0.0 || a == 1.0);
        let mut actions = self.matrix("actions", actions, spec.action)?;
        if choices {
            actions.mapv_inplace(|a| 2.0 * a - 1.0);
            self.notes.insert("actions: Gymnasium's 0 and 1 became −1 and 1".into());
        }
        ensure!(actions.nrows() == n, "actions: expected {n} rows beside {n} rewards, found {}", actions.nrows());
        let flags = |key: &str, array: Option<Array>| -> Result<Option<Vec<bool>>> {
            let Some(array) = array else { return Ok(None) };
            let found = array.values.len();
            ensure!(found == n, "{key}: expected {n} flags beside {n} rewards, found {found}");
            if let Some(t) = array.values.iter().position(|&v| v != 0.0 && v != 1.0) {
                bail!("{key}[{t}]: expected 0 or 1, found {}", array.values[t]);
            }
            Ok(Some(array.values.iter().map(|&v| v == 1.0).collect()))
        };
        let (terminals, dones, truncations) =
            (flags("terminals", terminals)?, flags("dones", dones)?, flags("truncations", truncations)?);
        let rows = observations.nrows();
        if rows == n + 1 {
            // Our own form: one episode, and where its last step led.
            let none = || vec![false; n];
            let finals = Some(observations.slice(ndarray::s![n.., ..]).to_owned());
            let (terminals, truncations) = (terminals.unwrap_or_else(none), truncations.unwrap_or_else(none));
            if let Some(t) = (0..n - 1).find(|&t| terminals[t] || truncations[t]) {
                bail!(
                    "observations: expected {n} rows of many episodes beside {n} rewards, found {rows}, and an end at step {t}"
                );
            }
            let observations = observations.slice(ndarray::s![..n, ..]).to_owned();
            let borders = none();
            return Ok(Table { origin, observations, actions, rewards, terminals, truncations, borders, finals, seed });
        }
        ensure!(rows == n, "observations: expected {n} rows beside {n} rewards (or {}), found {rows}", n + 1);
        let borders = dones.clone().unwrap_or_else(|| vec![false; n]);
        let (terminals, truncations) = match (terminals, dones) {
            (None, None) => match self.options.episode_length {
                Some(length) => (vec![false; n], (1..=n).map(|t| t % length == 0).collect()),
                None => bail!(
                    "expected `dones` or `terminals` beside them, which say where episodes end, found neither; save the flags that `step` \
                     returned (one a step), or name the length of every episode with --episode-length"
                ),
            },
            (Some(terminals), dones) => {
                let cut = |t: usize| dones.as_ref().is_some_and(|dones| dones[t]) && !terminals[t];
                let truncations = truncations.unwrap_or_else(|| (0..n).map(cut).collect());
                (terminals, truncations)
            }
            (None, Some(dones)) => {
                let mut length = 0;
                let flags = dones.iter().zip(0..).map(|(&done, t)| {
                    length = if t > 0 && dones[t - 1] { 1 } else { length + 1 };
                    let cut = truncations.as_ref().map_or(length == spec.time_limit, |truncations| truncations[t]);
                    (done && !cut, done && cut)
                });
                flags.unzip()
            }
        };
        let finals = finals.map(|finals| self.matrix("final observations", finals, spec.obs)).transpose()?;
        Ok(Table { origin, observations, actions, rewards, terminals, truncations, borders, finals, seed })
    }

    /// `array` as a table of `columns`.
    fn matrix(&mut self, key: &str, array: Array, columns: usize) -> Result<Array2<f32>> {
        let (rows, found) = array.table().with_context(|| key.to_owned())?;
        let (rows, found) = if rows == columns && found == 1 && array.shape.len() == 1 && key.starts_with("final") {
            (1, columns) // the one observation of one episode
        } else {
            (rows, found)
        };
        let id = &self.spec.id;
        ensure!(
            found == columns,
            "{key}: expected {columns} numbers a step for {id}, found {found} (shape {:?})",
            array.shape
        );
        Ok(Array2::from_shape_vec((rows, columns), self.converted(key, array))?)
    }

    fn converted(&mut self, key: &str, array: Array) -> Vec<f32> {
        if array.dtype != "float32" {
            self.notes.insert(format!("{key}: {} became float32", array.dtype));
        }
        array.values
    }

    /// Cuts the rows of `table` at the ends of episodes.
    fn cut(&mut self, table: Table, episodes: &mut Vec<Episode>) -> Result<()> {
        let n = table.rewards.len();
        ensure!(n > 0, "rewards: expected at least one step, found none");
        let ends: Vec<usize> = (0..n)
            .filter(|&t| table.terminals[t] || table.truncations[t] || table.borders[t] || t + 1 == n)
            .map(|t| t + 1)
            .collect();
        if let Some(finals) = &table.finals {
            let (expected, found) = (ends.len(), finals.nrows());
            ensure!(expected == found, "final observations: expected {expected}, one an episode, found {found}");
        }
        let mut start = 0;
        for (e, &end) in ends.iter().enumerate() {
            let (after, repeat) = (self.options.rows == Rows::After, self.options.repeat_final);
            let has_final = table.finals.is_some();
            // Steps first..last, and the rows that they start from and lead to.
            let (first, last) = match (has_final, after) {
                (true, _) => (start, end),
                (false, true) => (start + 1, end),
                (false, false) if repeat => (start, end),
                (false, false) => (start, end - 1),
            };
            let dropped = (end - start - (last - first)) as u64;
            self.dropped[0] += dropped;
            let ended = table.terminals[end - 1];
            self.dropped[1] += u64::from(ended && last < end);
            let mut rows: Vec<usize> = (start..end).collect();
            if !has_final && !after && repeat {
                rows.push(end - 1);
                self.notes.insert("the last observation of each episode stands in for where its last step led".into());
            }
            let mut observations: Vec<f32> = rows.iter().flat_map(|&row| table.observations.row(row).to_vec()).collect();
            if let Some(finals) = &table.finals {
                observations.extend(finals.row(e));
            }
            start = end;
            if first == last {
                self.dropped[2] += 1;
                continue;
            }
            let steps = last - first;
            let flag = |flags: &[bool]| Array1::from_shape_fn(steps, |t| flags[first + t]);
            let episode = Episode {
                // One file may hold one seed, of one episode.
                seed: table.seed.filter(|_| ends.len() == 1).unwrap_or(NO_SEED),
                observations: Array2::from_shape_vec((steps + 1, self.spec.obs), observations)?,
                actions: table.actions.slice(ndarray::s![first..last, ..]).to_owned(),
                rewards: Array1::from_vec(table.rewards[first..last].to_vec()),
                terminals: flag(&table.terminals),
                truncations: flag(&table.truncations),
            };
            episode.validate().with_context(|| format!("episode {e}, rows {} to {}", end - (end - first), end - 1))?;
            episodes.push(episode);
        }
        Ok(())
    }

    fn note_dropped(&mut self) {
        let [steps, ends, short] = self.dropped;
        if steps > 0 {
            let which = if self.options.rows == Rows::After { "first" } else { "last" };
            let lost = if ends > 0 {
                format!("; {ends} ends of the task went with them (--repeat-final keeps them)")
            } else {
                String::new()
            };
            self.notes.insert(format!(
                "{steps} steps dropped: the {which} of each episode, which has no observation on its other side{lost}"
            ));
        }
        if short > 0 {
            self.notes.insert(format!("{short} episodes had no step left and were dropped"));
        }
    }
}

/// The seed in an archive that has one: more than an f32 holds.
fn seed(bytes: &[u8]) -> Option<u64> {
    use ndarray::Array0;
    let mut npz = ndarray_npy::NpzReader::new(std::io::Cursor::new(bytes)).ok()?;
    npz.by_name::<ndarray::OwnedRepr<u64>, ndarray::Ix0>("seed").ok().map(Array0::into_scalar)
}
