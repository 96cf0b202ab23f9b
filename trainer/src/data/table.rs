//! One foreign file, or one set of `.npy` files, as a table of steps: which array is what, and where episodes end.

use super::contents::Contents;
use super::npy::{Array, Npz, dtype, exact, read_file};
use super::observations::{Observations, frame_text};
use crate::env::{ActionSpace, EnvSpec, Eye};
use anyhow::{Context, Result, bail, ensure};
use dreamstep_core::digest::Digest;
use dreamstep_core::obs::image::MAX_CHANNELS;
use ndarray::{Array2, Array4, Axis, Ix0, Ix3, Ix4, s};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The names that one thing goes by, ours first.
type Names = &'static [&'static str];
const OBSERVATIONS: Names = &["observations", "obs"];
const ACTIONS: Names = &["actions", "acts"];
const REWARDS: Names = &["rewards", "rews"];
const TERMINALS: Names = &["terminals", "terminations", "terminated", "terminal"];
const DONES: Names = &["dones", "done"];
const TRUNCATIONS: Names = &["truncations", "truncated", "timeouts"];
const FINALS: Names = &["final_observations", "final_observation"];
const NEXT: Names = &["next_observations", "next_obs"];
const SEED: &str = "seed";
/// Other marks of an episode's ends: not understood, so a file that has only these is refused.
const OTHER_MARKS: &str = "is_first is_last is_terminal discount discounts mask masks not_done not_dones dones_float episode_starts \
    episode_ends episode_id episode_ids episode_index traj_lengths lengths";

/// Lines about an import, each with how many times it is true.
pub(super) type Notes = BTreeMap<String, u64>;

pub(super) fn note(notes: &mut Notes, text: impl Into<String>, count: usize) {
    if count > 0 {
        *notes.entry(text.into()).or_default() += count as u64;
    }
}

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
    /// The time limit of the recording, where it is not the environment's: an episode that no flag ends sooner is cut after so many steps.
    pub episode_length: Option<usize>,
    /// What an observation's row is.
    pub rows: Rows,
    /// Keep an episode's last step, with its last observation once more as where it led.
    pub repeat_final: bool,
}

/// How a file's actions are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Written by dreamstep, in the environment's units.
    Ours,
    /// Whole numbers or flags.
    Whole,
    /// Floats.
    Real,
}

/// Where the last step of an episode led.
#[derive(Clone, Debug)]
pub(super) enum Finals {
    /// Not on record.
    Missing,
    /// One more row of observations in each episode.
    Rows,
    /// `[E, O]`
    Episodes(Observations),
    /// `[N, O]`, of every step.
    Steps(Observations),
}

/// `N` steps of `E` episodes.
pub(super) struct Table {
    /// `[N, O]`; `[N+E, O]` where the finals are [`Finals::Rows`]. Frames are prepared ones.
    pub observations: Observations,
    /// `[N, A]`
    pub actions: Array2<f32>,
    pub numbers: Numbers,
    /// `[N]`
    pub rewards: Vec<f32>,
    /// `[N]`: the task ended; and the time limit cut it.
    pub terminals: Vec<bool>,
    pub truncations: Vec<bool>,
    /// `[E]`: one past each episode's last step.
    pub ends: Vec<usize>,
    pub finals: Finals,
    pub seed: Option<u64>,
}

/// A file's arrays by name.
enum Store<'a> {
    Archive(Npz<'a>),
    /// The path up to the name: `folder/X_`.
    Files(&'a Path, &'a str),
}

impl Store<'_> {
    fn beside(path: &Path, stem: &str, name: &str) -> PathBuf {
        path.with_file_name(format!("{stem}{name}.npy"))
    }

    /// The names of the arrays. Of `.npy` files, which may lie among others: those that would be asked for.
    fn names(&self) -> Vec<String> {
        match self {
            Self::Archive(npz) => npz.names(),
            Self::Files(path, stem) => {
                let known = [OBSERVATIONS, ACTIONS, REWARDS, TERMINALS, DONES, TRUNCATIONS, FINALS, NEXT].concat();
                let known = known.into_iter().chain(OTHER_MARKS.split_whitespace());
                known.filter(|name| Self::beside(path, stem, name).exists()).map(ToOwned::to_owned).collect()
            }
        }
    }

    /// The `.npy` file of the array.
    fn find(&mut self, name: &str, digest: &mut Digest) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Archive(npz) => npz.find(name),
            Self::Files(path, stem) => {
                let file = Self::beside(path, stem, name);
                let shown = || file.file_name().unwrap_or_default().display().to_string();
                let bytes = file.exists().then(|| read_file(&file)).transpose().with_context(shown)?;
                Ok(bytes.inspect(|bytes| *digest = digest.update_bytes(bytes)))
            }
        }
    }
}

/// Reads the file at `path`; its bytes are added to `digest`, and what there is to say to `notes`.
///
/// # Errors
/// One line that does not name `path`.
pub(super) fn read(path: &Path, spec: &EnvSpec, options: &Options, digest: &mut Digest, notes: &mut Notes) -> Result<Table> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if is_observations(&name) {
        ensure!(path.exists(), "expected a file, found none");
        let store = Store::Files(path, name.trim_end_matches("observations.npy"));
        let ours = store.names().iter().any(|name| name == FINALS[0]);
        return Reader { store, spec, options, digest, notes, unread: BTreeSet::new() }.table(None, ours);
    }
    ensure!(name.ends_with(".npz"), "expected rollouts as .npz, or the *observations.npy of a triplet, found another name");
    read_npz(&read_file(path)?, spec, options, digest, notes)
}

/// As [`read`], of the `bytes` of an `.npz` file.
///
/// # Errors
/// As [`read`].
pub(super) fn read_npz(
    bytes: &[u8],
    spec: &EnvSpec,
    options: &Options,
    digest: &mut Digest,
    notes: &mut Notes,
) -> Result<Table> {
    *digest = digest.update_bytes(bytes);
    let mut npz = Npz::new(bytes)?;
    // More than an f32 holds; a Python int is written as int64, ours as uint64.
    let seed = npz.find(SEED)?;
    let own = seed.as_deref().and_then(|bytes| exact::<u64, Ix0>(bytes).ok()).map(|seed| seed.into_scalar());
    let other = seed.as_deref().and_then(|bytes| exact::<i64, Ix0>(bytes).ok());
    let seed = own.or_else(|| u64::try_from(other?.into_scalar()).ok());
    let ours = own.is_some() && [TERMINALS[0], TRUNCATIONS[0]].iter().all(|name| npz.names().iter().any(|n| n == name));
    Reader { store: Store::Archive(npz), spec, options, digest, notes, unread: BTreeSet::new() }.table(seed, ours)
}

/// What the file at `path` is of.
///
/// # Errors
/// One line: no observations or actions are to be found in it.
pub(super) fn contents(path: &Path) -> Result<Contents> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = if is_observations(&name) { Vec::new() } else { read_file(path)? };
    let mut store = match is_observations(&name) {
        true => Store::Files(path, name.trim_end_matches("observations.npy")),
        false => Store::Archive(Npz::new(&bytes)?),
    };
    let mut find = |names: Names| -> Result<Vec<u8>> {
        let found = names.iter().find_map(|name| store.find(name, &mut Digest::default()).transpose());
        found.with_context(|| format!("{}: expected, found none", names[0]))?
    };
    let (observations, actions) = (find(OBSERVATIONS)?, Array::from_npy(find(ACTIONS)?)?);
    let acted = actions.table()?.1;
    let of = |pick: fn(f32, f32) -> f32| actions.values.iter().copied().reduce(pick);
    let (low, high) = of(f32::min).zip(of(f32::max)).context("actions: expected some, found none")?;
    let image = frames(&observations).ok().map(|frames| frames.frame().unwrap_or_default());
    let observed = match image {
        Some(frame) => frame.iter().product(),
        None => Array::from_npy(observations)?.table()?.1,
    };
    let mut contents = Contents { observation: vec![("observation".into(), observed)], image, ..Contents::default() };
    if actions.is_whole() && acted == 1 && low >= 0.0 {
        contents.choices = high as usize + 1;
    } else {
        // The shortest decimals that a binary32 has.
        let decimal = |bound: f32| bound.to_string().parse().ok();
        contents.action.push((acted, decimal(low), decimal(high)));
    }
    Ok(contents)
}

/// The bytes of an `.npy` file, so far as its header is one.
fn with_header(bytes: Vec<u8>) -> Result<Vec<u8>> {
    dtype(&bytes)?;
    Ok(bytes)
}

/// Frames `[N, h, w, c]`, or grey ones `[N, h, w]`, of the bytes of an `.npy` file.
fn frames(bytes: &[u8]) -> Result<Observations> {
    let found = dtype(bytes)?;
    ensure!(found == "uint8", "expected frames of uint8, found {found}");
    let grey = || Ok(exact::<u8, Ix3>(bytes)?.insert_axis(Axis(3)).into());
    exact::<u8, Ix4>(bytes).map(Into::into).or_else(|error| grey().map_err(|_: anyhow::Error| error))
}

/// Whether a file of this name stands for a triplet.
pub(super) fn is_observations(name: &str) -> bool {
    name.ends_with("observations.npy") && !["next_", "final_"].iter().any(|other| name.contains(&format!("{other}obs")))
}

struct Reader<'a> {
    store: Store<'a>,
    spec: &'a EnvSpec,
    options: &'a Options,
    digest: &'a mut Digest,
    notes: &'a mut Notes,
    unread: BTreeSet<String>,
}

impl Reader<'_> {
    /// The table of a file, which dreamstep wrote where it is `ours`.
    fn table(mut self, seed: Option<u64>, ours: bool) -> Result<Table> {
        self.unread = self.store.names().into_iter().collect();
        if seed.is_some() {
            self.unread.remove(SEED);
        }
        let (observations, actions) = (self.get(OBSERVATIONS, with_header)?, self.get(ACTIONS, Array::from_npy)?);
        let rewards = self.get(REWARDS, Array::from_npy)?;
        let n = rewards.values.len();
        ensure!(n > 0, "rewards: expected at least one step, found none");
        ensure!(
            rewards.shape.iter().all(|&size| size == n || size == 1),
            "rewards: expected one number a step, found shape {:?}",
            rewards.shape
        );
        let rewards = self.converted("rewards", rewards);
        let whole = actions.is_whole();
        let actions = match self.spec.actions {
            ActionSpace::Continuous { .. } => self.matrix("actions", actions, self.spec.action())?,
            ActionSpace::Discrete { choices } => self.choices(actions, choices)?,
        };
        // A program that draws an episode's actions before it begins keeps those, too, that were never done.
        let drawn = actions.nrows().saturating_sub(n);
        let unused = self.options.rows == Rows::After && drawn > 0;
        note(self.notes, "actions after the last step of their file, never done, were dropped", usize::from(unused) * drawn);
        let actions = if unused { actions.slice_move(s![..n, ..]) } else { actions };
        ensure!(actions.nrows() == n, "actions: expected {n} rows beside {n} rewards, found {}", actions.nrows());
        let observations = self.observed("observations", observations, ours)?;
        let rows = observations.rows();

        let (terminals, dones, truncations) =
            (self.flags(TERMINALS, n)?, self.flags(DONES, n)?, self.flags(TRUNCATIONS, n)?);
        let finals =
            self.find(FINALS, with_header)?.map(|finals| self.observed("final observations", finals, ours)).transpose()?;
        let next = self.find(NEXT, with_header)?.map(|next| self.observed("next observations", next, ours)).transpose()?;
        let unmarked = terminals.is_none() && dones.is_none() && truncations.is_none();
        if unmarked && self.options.episode_length.is_none() {
            let other = OTHER_MARKS.split_whitespace().any(|mark| self.unread.contains(mark));
            ensure!(
                rows == n + 1 && !other,
                "expected flags of where episodes end, one a step: `dones` or `terminals`, found {}; save those that `step` returned, or \
                 name the length of every episode with --episode-length",
                self.store.names().join(", ")
            );
        }
        let (terminals, truncations, mut end) = self.ends(n, terminals, dones, truncations)?;
        if let Some(next) = &next {
            self.follow(&observations, next, &mut end)?;
        }
        let ends: Vec<usize> = (1..=n).filter(|&t| end[t - 1] || t == n).collect();
        note(
            self.notes,
            "episodes stop without a terminal or a truncation",
            ends.iter().filter(|&&t| !terminals[t - 1] && !truncations[t - 1]).count(),
        );

        let e = ends.len();
        let finals = match (finals, next) {
            (None, None) if rows == n + e => Finals::Rows,
            _ if rows != n => bail!(
                "observations: expected {n} rows beside {n} rewards, or {} with where the last step of each episode led ({e} by the \
                 flags), found {rows}",
                n + e
            ),
            (Some(finals), _) => {
                let found = finals.rows();
                ensure!(found == e, "final observations: expected {e}, one an episode, found {found}");
                Finals::Episodes(finals)
            }
            (None, Some(next)) => Finals::Steps(next),
            (None, None) => Finals::Missing,
        };
        if !self.unread.is_empty() {
            let names: Vec<&str> = self.unread.iter().map(String::as_str).collect();
            note(self.notes, format!("files with arrays that are not read: {}", names.join(", ")), 1);
        }
        let numbers = match (ours, whole) {
            (_, true) => Numbers::Whole,
            (true, false) => Numbers::Ours,
            (false, false) => Numbers::Real,
        };
        Ok(Table { observations, actions, numbers, rewards, terminals, truncations, ends, finals, seed })
    }

    /// The array under any of `names`, as `read` has it. Where it is there under several, they are one.
    fn find<T: PartialEq>(&mut self, names: Names, read: fn(Vec<u8>) -> Result<T>) -> Result<Option<T>> {
        let mut found: Option<(&str, T)> = None;
        for name in names {
            let Some(bytes) = self.store.find(name, self.digest)? else { continue };
            let array = read(bytes).with_context(|| (*name).to_owned())?;
            self.unread.remove(*name);
            if let Some((first, other)) = &found {
                ensure!(
                    *other == array,
                    "{first} and {name}: expected one of them, or the same numbers in both, found others"
                );
            } else {
                found = Some((name, array));
            }
        }
        Ok(found.map(|(_, array)| array))
    }

    fn get<T: PartialEq>(&mut self, names: Names, read: fn(Vec<u8>) -> Result<T>) -> Result<T> {
        let array = self.find(names, read)?;
        array.with_context(|| match &self.store {
            Store::Archive(npz) => format!("expected an array `{}`, found {}", names[0], npz.names().join(", ")),
            Store::Files(path, stem) => {
                format!("{}: expected a file, found none", Store::beside(path, stem, names[0]).display())
            }
        })
    }

    /// One flag a step, `[n]`.
    fn flags(&mut self, names: Names, n: usize) -> Result<Option<Vec<bool>>> {
        let Some(array) = self.find(names, Array::from_npy)? else { return Ok(None) };
        let (key, found) = (names[0], array.values.len());
        ensure!(found == n, "{key}: expected {n} flags beside {n} rewards, found {found}");
        if let Some(t) = array.values.iter().position(|&v| v != 0.0 && v != 1.0) {
            bail!("{key}[{t}]: expected 0 or 1, found {}", array.values[t]);
        }
        Ok(Some(array.values.iter().map(|&v| v == 1.0).collect()))
    }

    /// Observations in the bytes of an `.npy` file, rows of numbers or frames, whichever the environment shows. Frames as the environment
    /// draws them are prepared; those that dreamstep wrote have been, and so have others of that size.
    fn observed(&mut self, key: &str, bytes: Vec<u8>, ours: bool) -> Result<Observations> {
        let Some(image) = self.spec.image else {
            let mut array = Array::from_npy(bytes).with_context(|| key.to_owned())?;
            if array.shape == [self.spec.obs] && self.spec.obs > 1 && key.starts_with("final") {
                array.shape.insert(0, 1); // the one observation of one episode
            }
            return Ok(self.matrix(key, array, self.spec.obs)?.into());
        };
        let (id, wanted) = (&self.spec.id, image.prepared());
        let one = key.starts_with("final").then(|| exact::<u8, Ix3>(&bytes).ok()).flatten();
        let read = match one.filter(|one| one.len_of(Axis(2)) <= MAX_CHANNELS) {
            Some(one) => one.insert_axis(Axis(0)).into(), // the one observation of one episode
            None => frames(&bytes).with_context(|| format!("{key}: {id} shows pictures"))?,
        };
        let found = read.frame().unwrap_or_default();
        if found == wanted && (ours || found != image.frame) {
            return Ok(read);
        }
        ensure!(
            found == image.frame,
            "{key}: expected frames of {} for {id}, or prepared ones of {}, found {}",
            frame_text(image.frame),
            frame_text(wanted),
            frame_text(found)
        );
        let (mut eye, frames) = (Eye::new(image)?, read.frames()?);
        let mut prepared = Vec::with_capacity(read.rows() * image.len());
        for frame in frames.outer_iter() {
            let frame = frame.as_standard_layout();
            prepared.extend_from_slice(eye.prepared(frame.as_slice().unwrap_or_default()));
        }
        if found != wanted {
            note(self.notes, format!("arrays of {key}: frames of {} became {}", frame_text(found), frame_text(wanted)), 1);
        }
        let [height, width, channels] = wanted;
        Ok(Array4::from_shape_vec((read.rows(), height, width, channels), prepared)?.into())
    }

    /// `array` as a table of `columns`.
    fn matrix(&mut self, key: &str, array: Array, columns: usize) -> Result<Array2<f32>> {
        let (rows, found) = array.table().with_context(|| key.to_owned())?;
        let id = &self.spec.id;
        ensure!(
            found == columns,
            "{key}: expected {columns} numbers a step for {id}, found {found} (shape {:?})",
            array.shape
        );
        Ok(Array2::from_shape_vec((rows, columns), self.converted(key, array))?)
    }

    /// `array` as choices `[n, 1]`: numbers, or one-hot rows.
    fn choices(&mut self, array: Array, choices: usize) -> Result<Array2<f32>> {
        let (rows, columns) = array.table().context("actions")?;
        let id = &self.spec.id;
        ensure!(
            columns == 1 || columns == choices,
            "actions: expected one choice a step for {id}, or one-hot rows of {choices}, found shape {:?}",
            array.shape
        );
        let values = self.converted("actions", array);
        if columns == 1 {
            if let Some(t) = values.iter().position(|&choice| !self.spec.actions.allows(0, choice)) {
                bail!("actions[{t}]: expected a choice from 0 to {} for {}, found {}", choices - 1, self.spec.id, values[t]);
            }
            return Ok(Array2::from_shape_vec((rows, 1), values)?);
        }
        let mut numbers = Vec::with_capacity(rows);
        for (t, row) in values.chunks_exact(columns).enumerate() {
            let chosen = row.iter().position(|&value| value == 1.0);
            let others = row.iter().filter(|&&value| value != 0.0).count();
            let choice = chosen.filter(|_| others == 1);
            numbers.push(choice.with_context(|| format!("actions[{t}]: expected a one-hot row, found {row:?}"))? as f32);
        }
        note(self.notes, "arrays of actions: one-hot rows became the choices' numbers", 1);
        Ok(Array2::from_shape_vec((rows, 1), numbers)?)
    }

    fn converted(&mut self, key: &str, array: Array) -> Vec<f32> {
        if array.dtype != "float32" {
            note(self.notes, format!("arrays of {key}: {} became float32", array.dtype), 1);
        }
        array.values
    }

    /// `[n]` each: where the task ended, where a time limit did, and where an episode does.
    fn ends(
        &mut self,
        n: usize,
        terminals: Option<Vec<bool>>,
        dones: Option<Vec<bool>>,
        truncations: Option<Vec<bool>>,
    ) -> Result<(Vec<bool>, Vec<bool>, Vec<bool>)> {
        for (key, flags) in [("terminals", &terminals), ("truncations", &truncations)] {
            if let (Some(flags), Some(dones)) = (flags, &dones)
                && let Some(t) = (0..n).find(|&t| flags[t] && !dones[t])
            {
                bail!("dones[{t}]: expected true, as {key}[{t}] is, found false");
            }
        }
        let limit = self.options.episode_length.unwrap_or(self.spec.time_limit as usize);
        let task_known = terminals.is_some();
        let mut terminal = terminals.unwrap_or_else(|| vec![false; n]);
        let cut_known = truncations.is_some();
        let mut truncated = truncations.unwrap_or_else(|| vec![false; n]);
        let mut end = dones.clone().unwrap_or_else(|| vec![false; n]);
        let (mut length, mut at_limit, mut as_done, mut no_terminal, mut by_length) = (0, 0, 0, 0, 0);
        for t in 0..n {
            length += 1;
            if dones.as_ref().is_some_and(|dones| dones[t]) {
                // A done says that the episode ended, not why.
                if task_known && !cut_known && !terminal[t] {
                    truncated[t] = true;
                    no_terminal += 1;
                } else if !task_known && !cut_known && length == limit {
                    truncated[t] = true;
                    at_limit += 1;
                } else if !task_known {
                    terminal[t] = !truncated[t];
                }
            }
            // What `step` returned, in programs that store that, was `done`.
            let is_done = self.options.rows == Rows::After && dones.is_none() && !cut_known;
            if is_done && terminal[t] && length == limit {
                (terminal[t], truncated[t]) = (false, true);
                as_done += 1;
            }
            end[t] |= terminal[t] || truncated[t];
            if !end[t] && self.options.episode_length == Some(length) {
                (truncated[t], end[t]) = (true, true);
                by_length += 1;
            }
            if end[t] {
                length = 0;
            }
        }
        note(self.notes, format!("`dones` after {limit} steps, the time limit, taken for truncations"), at_limit);
        note(self.notes, format!("`terminals` after {limit} steps, the time limit, taken for truncations"), as_done);
        note(self.notes, "`dones` that are no `terminals` taken for truncations", no_terminal);
        note(self.notes, "episodes cut by --episode-length", by_length);
        Ok((terminal, truncated, end))
    }

    /// An episode ends, too, where the next step starts from elsewhere.
    fn follow(&mut self, observations: &Observations, next: &Observations, end: &mut [bool]) -> Result<()> {
        let n = end.len();
        let (rows, found) = (observations.rows(), next.rows());
        ensure!(rows == n, "observations: expected {n} rows beside next observations, found {rows}");
        ensure!(found == n, "next observations: expected {n} rows beside {n} rewards, found {found}");
        let breaks: Vec<usize> = (0..n - 1).filter(|&t| !end[t] && !next.same_row(t, (observations, t + 1))).collect();
        ensure!(
            breaks.len() * 2 < n,
            "next observations: expected the steps of an episode one after another, found {} of {n} followed by a step from elsewhere, the \
             first at {}: shuffled?",
            breaks.len(),
            breaks.first().map_or(0, |&t| t)
        );
        note(self.notes, "ends without a flag, where the next step starts from another observation", breaks.len());
        breaks.into_iter().for_each(|t| end[t] = true);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::rollouts::npz_writer;
    use crate::env::{self, CHOICES, EnvConfig};
    use ndarray::{Array, Dimension};
    use ndarray_npy::WritableElement;

    /// Three steps whose actions are `actions`, read as of an environment of three choices: the choices, and what is to be said.
    fn read_choices<T: WritableElement, D: Dimension>(actions: Array<T, D>) -> Result<(Vec<f32>, Notes), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npz");
        let mut npz = npz_writer(None);
        npz.add_array("observations", &Array2::<f32>::zeros((3, 4))).unwrap();
        npz.add_array("actions", &actions).unwrap();
        npz.add_array("rewards", &ndarray::arr1(&[1.0_f32; 3])).unwrap();
        npz.add_array("dones", &ndarray::arr1(&[false, false, true])).unwrap();
        std::fs::write(&path, npz.finish().unwrap().into_inner()).unwrap();
        let spec = env::spec(&EnvConfig::from(CHOICES)).unwrap();
        let mut notes = Notes::new();
        let table = read(&path, &spec, &Options::default(), &mut Digest::default(), &mut notes);
        let table = table.map_err(|error| format!("{error:#}"))?;
        assert_eq!(table.actions.dim(), (3, 1));
        Ok((table.actions.into_iter().collect(), notes))
    }

    #[test]
    fn choices_are_numbers_of_any_type_or_one_hot_rows() {
        let expected = [2.0, 0.0, 1.0];
        let choices = |found: Result<(Vec<f32>, Notes), String>| found.unwrap().0;
        assert_eq!(choices(read_choices(ndarray::arr1(&[2_i64, 0, 1]))), expected);
        assert_eq!(choices(read_choices(ndarray::arr1(&[2_u8, 0, 1]))), expected);
        assert_eq!(choices(read_choices(ndarray::arr2(&[[2.0_f64], [0.0], [1.0]]))), expected);
        assert_eq!(choices(read_choices(ndarray::arr1(&[true, false, true]))), [1.0, 0.0, 1.0]);
        let (found, notes) = read_choices(ndarray::arr2(&[[0_i32, 0, 1], [1, 0, 0], [0, 1, 0]])).unwrap();
        assert_eq!(found, expected);
        assert!(notes.contains_key("arrays of actions: one-hot rows became the choices' numbers"), "{notes:?}");
        let (_, notes) = read_choices(ndarray::arr2(&[[2.0_f32], [0.0], [1.0]])).unwrap();
        assert!(notes.keys().all(|note| !note.contains("actions")), "nothing was converted: {notes:?}");
    }

    #[test]
    fn what_is_no_choice_is_refused_by_its_step() {
        let refused = |found: Result<(Vec<f32>, Notes), String>| found.unwrap_err();
        for (numbers, found) in
            [([0.0, 3.0, 1.0], "3"), ([0.0, -1.0, 9.0], "-1"), ([0.0, 0.5, 1.0], "0.5"), ([0.0, f32::NAN, 1.0], "NaN")]
        {
            let error = refused(read_choices(ndarray::arr1(&numbers)));
            assert_eq!(error, format!("actions[1]: expected a choice from 0 to 2 for {CHOICES}, found {found}"));
        }
        for row in [[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.9, 0.1, 0.0], [0.0, 2.0, 0.0], [1.0, f32::NAN, 0.0]] {
            let error = refused(read_choices(ndarray::arr2(&[[1.0, 0.0, 0.0], row, row])));
            assert_eq!(error, format!("actions[1]: expected a one-hot row, found {row:?}"));
        }
        let error = refused(read_choices(Array2::<f32>::zeros((3, 2))));
        assert_eq!(
            error,
            format!("actions: expected one choice a step for {CHOICES}, or one-hot rows of 3, found shape [3, 2]")
        );
    }
}
