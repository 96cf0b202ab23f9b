//! `import`: rollouts that another program recorded, made episodes of a run.
//!
//! | form | files | rows |
//! |---|---|---|
//! | triplet | `X_observations.npy` and beside it `X_actions.npy`, `X_rewards.npy`, `X_dones.npy` (or another flag) | N steps of one episode or more |
//! | TorchWM, ctallec, D4RL, Gymnasium | `.npz` with `observations`, `actions`, `rewards` and flags | the same |
//! | Minari | `minari:ID`, or a dataset's folder | its episodes, read by its own package (`minari.rs`) |
//! | dreamstep | `.npz` as [`crate::data::rollouts`] has them | one episode |
//!
//! Names: `observations` or `obs`, `actions` or `acts`, `rewards` or `rews`. Every array that is not read, and everything that is dropped,
//! cut or converted, is counted in a note.
//!
//! # Ends
//! One flag a step. Where the task ended: `terminals`, `terminations`, `terminated`, `terminal`. Where a time limit cut it: `truncations`,
//! `truncated`, `timeouts`. Where an episode ended, for either reason: `dones`, `done`; at the time limit that is a truncation. A file
//! without any is refused, unless it holds one episode, or the user names the length of all. So is an episode longer than the time limit:
//! two that were glued together.
//!
//! # The last step
//! Where an episode's last step led is on record as one more row of observations in each episode, in `final_observations [E,O]`, or in
//! `next_observations [N,O]` (`next_obs`). Otherwise that step is dropped, and with it the end that it brought; with `repeat_final` the
//! last observation stands in for the one that is missing.
//!
//! Row t is what action t was taken in. Programs that store what `step` returned have where it led ([`Rows::After`]): then an episode's
//! first step is dropped.

use super::NewFiles;
use super::collect::close;
use super::contents::Contents;
use super::manifest::{self, Origin, Part};
use super::minari::{self, Frame};
use super::observations::Observations;
use super::rollouts::{Episode, Unseeded, file_name};
use super::table::{self, Finals, Notes, Numbers, Table, note};
pub use super::table::{Options, Rows};
use crate::env::{self, ActionSpace, EnvSpec};
use crate::run::config::{Config, RecordedConfig};
use crate::run::folder::{RunDir, write_atomic};
use crate::run::interrupt;
use anyhow::{Context, Result, anyhow, bail, ensure};
use dreamstep_core::digest::Digest;
use ndarray::{Array1, Array2, s};
use std::path::{Path, PathBuf};

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

/// An episode that was read, on its way into the folder.
struct Found {
    file: PathBuf,
    /// Without its frames, where it has some: they are in `packed`.
    episode: Episode,
    packed: Option<Unseeded>,
    /// Whether its seed is its own.
    seeded: bool,
    numbers: Numbers,
}

impl Found {
    /// All that was found is held until all of it is known to be good; of frames that would be too much as they are.
    fn new(file: &Path, mut episode: Episode, seeded: bool, numbers: Numbers) -> Result<Self> {
        let packed = episode.observations.frame().map(|_| episode.unseeded()).transpose()?;
        if packed.is_some() {
            episode.observations = Observations::Vectors(Array2::zeros((0, 0)));
        }
        Ok(Self { file: file.to_owned(), episode, packed, seeded, numbers })
    }
}

/// Reads `paths` (files, or folders of them) as episodes of `config.env` and puts them into `run`: all of them, or none where one is at
/// fault or on Ctrl-C. The same import again completes one that was killed. A folder that has other episodes is refused unless
/// `options.append`.
///
/// # Errors
/// One line: a file that cannot be read or does not fit the environment, what was expected and found. [`interrupt::Interrupted`].
pub fn import(config: &Config, run: &RunDir, paths: &[PathBuf], options: &Options) -> Result<Report> {
    let spec = env::spec(&config.env).map_err(|error| match hint(config, paths) {
        Some(hint) => anyhow!("{error:#}; as far as these data say: {hint}"),
        None => error,
    })?;
    let (folder, label) = (run.rollouts(), env::label(&config.env)?);
    let mut new = NewFiles::below(&[&folder, run.root()]);
    // A refusal makes no folder: one that is not there yet is locked when nothing can be refused any more.
    let lock = if run.root().exists() { Some(run.lock()?) } else { None };
    let mut notes = Notes::new();
    let meaning = format!("{options:?}", options = Options { append: false, ..*options });
    let mut digest = Digest::default().update_bytes(meaning.as_bytes());
    let mut found = Vec::new();
    for source in expand(paths)? {
        interrupt::check()?;
        match source {
            Source::File(path) => {
                let read = table::read(&path, &spec, options, &mut digest, &mut notes);
                let cut = read.and_then(|table| cut(&path, table, &spec, options, &mut found, &mut notes));
                cut.with_context(|| path.display().to_string())?;
            }
            Source::Minari(dataset) => {
                let path = PathBuf::from(dataset.name());
                let taken = dataset.read(&config.env, |frame| match frame {
                    Frame::Contents(contents) => fit(contents, &spec),
                    Frame::Episode(bytes) => {
                        let table = table::read_npz(bytes, &spec, options, &mut digest, &mut notes)?;
                        cut(&path, table, &spec, options, &mut found, &mut notes)
                    }
                });
                taken.with_context(|| dataset.name())?;
            }
        }
    }
    ensure!(!found.is_empty(), "import: expected at least one episode of two steps, found none");
    if spec.id == "CartPole-v1" {
        choices(&mut found, &mut notes)?;
    }
    let in_range = |(i, a): (usize, &f32)| spec.actions.allows(i % spec.action(), *a);
    let outside = found.iter().map(|found| found.episode.actions.iter().enumerate().filter(|&a| !in_range(a)).count()).sum();
    note(&mut notes, "actions outside the environment's range: M learns from the nearest end of it", outside);

    let origin = Origin::Imported(format!("{:016x}", digest.value()));
    let before = manifest::read(&folder, &format!("env = {label}, policy = imported"))?;
    let mut parts = before.clone();
    let count = found.len() as u64;
    let known = parts.iter().find(|part| part.origin == origin && part.env == label).map(|part| part.first);
    let first = match (known, parts.last_mut()) {
        (Some(first), _) => first,
        (None, None) => 0,
        (None, Some(last)) => {
            ensure!(
                options.append && last.env == label,
                "{}: expected an empty folder for {}, found `{last}`; name another run{}",
                folder.join(manifest::FILE).display(),
                label,
                if last.env == label { ", or add to it with --append" } else { "" }
            );
            let end = close(run, &spec, &before)?;
            last.end = Some(end);
            end
        }
    };
    for (index, found) in (first..).zip(&mut found) {
        if !found.seeded {
            found.episode.seed = index;
        }
    }

    let _lock = match lock {
        Some(lock) => lock,
        None => run.lock()?,
    };
    if known.is_none() {
        parts.push(Part { env: label, origin, first, end: Some(first + count) });
        manifest::write(&folder, &parts)?;
    }
    let steps = found.iter().map(|found| found.episode.steps() as u64).sum();
    let write = || -> Result<u64> {
        for (index, Found { episode, packed, .. }) in (first..).zip(found) {
            let path = folder.join(file_name(index));
            let unseeded = packed.map_or_else(|| episode.unseeded(), Ok);
            let bytes = unseeded.and_then(|file| file.seeded(episode.seed)).with_context(|| path.display().to_string())?;
            if std::fs::read(&path).ok().as_ref() != Some(&bytes) {
                new.write(path, &bytes)?;
            }
        }
        let mut config = config.clone();
        config.collect.steps = steps;
        for index in (0..first).chain(first + count..manifest::files(&folder)?) {
            interrupt::check()?;
            config.collect.steps += Episode::read(&folder.join(file_name(index)))?.steps() as u64;
        }
        write_atomic(&run.config(), config.to_toml().as_bytes())?;
        Ok(config.collect.steps)
    };
    let steps_in_folder = match write() {
        Ok(steps) => steps,
        Err(error) => {
            // The folder says what it said before; `new` takes its files away.
            match known {
                None if before.is_empty() => std::fs::remove_file(folder.join(manifest::FILE))?,
                None => manifest::write(&folder, &before)?,
                Some(_) => {}
            }
            return Err(error);
        }
    };
    new.keep();
    let notes = notes.into_iter().map(|(text, count)| format!("{count} {text}")).collect();
    Ok(Report { episodes: count, steps, steps_in_folder, notes })
}

/// Where episodes come from.
enum Source {
    /// An `.npz`, or the observations of a triplet.
    File(PathBuf),
    /// A dataset of Minari's.
    Minari(minari::Source),
}

/// What `paths` name, in order: the files of a folder by name, and of a triplet the observations.
fn expand(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        if let Some(dataset) = minari::Source::of(path) {
            sources.push(Source::Minari(dataset));
            continue;
        }
        if !path.is_dir() {
            sources.push(Source::File(path.clone()));
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| format!("{}: cannot list", path.display()))?;
        let mut found: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        found.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            (name.ends_with(".npz") || table::is_observations(&name)) && !name.starts_with('.')
        });
        found.sort();
        ensure!(!found.is_empty(), "{}: expected .npz files or *observations.npy in it, found none", path.display());
        sources.extend(found.into_iter().map(Source::File));
    }
    Ok(sources)
}

/// The options that would say what `paths` are of, where `[env.recorded]` does not and they can be read.
fn hint(config: &Config, paths: &[PathBuf]) -> Option<String> {
    let RecordedConfig { observation, image, action, choices } = &config.env.recorded;
    let observed = !observation.is_empty() || !image.is_empty();
    if !config.env.is_recorded() || observed && (!action.is_empty() || *choices > 0) {
        return None;
    }
    let mut all = Contents::default();
    for source in expand(paths).ok()? {
        match source {
            Source::File(path) => all.add(table::contents(&path).ok()?),
            Source::Minari(dataset) => {
                let mut found = None;
                // One frame is enough.
                let _ = dataset.read(&config.env, |frame| match frame {
                    Frame::Contents(contents) => {
                        found = Some(contents.clone());
                        bail!("seen")
                    }
                    Frame::Episode(_) => Ok(()),
                });
                all.add(found?);
            }
        }
    }
    Some(all.options())
}

/// That a dataset whose files say what they are of is of `spec`; sizes are asked episode by episode.
fn fit(contents: &Contents, spec: &EnvSpec) -> Result<()> {
    let (expected, found) = match spec.actions {
        ActionSpace::Discrete { choices } => (choices, contents.choices),
        ActionSpace::Continuous { .. } => (0, contents.choices),
    };
    // CartPole's choices are numbers here.
    ensure!(
        expected == found || expected == 0 && spec.id == "CartPole-v1",
        "actions: expected {} for {}, found {}",
        kind(expected),
        spec.id,
        kind(found)
    );
    Ok(())
}

fn kind(choices: usize) -> String {
    if choices == 0 { "numbers in a range".into() } else { format!("one of {choices} choices") }
}

/// Cuts the rows of `table`, from `file`, at the ends of episodes.
fn cut(
    file: &Path,
    table: Table,
    spec: &EnvSpec,
    options: &Options,
    found: &mut Vec<Found>,
    notes: &mut Notes,
) -> Result<()> {
    let after = options.rows == Rows::After && !matches!(table.finals, Finals::Rows);
    let missing = matches!(table.finals, Finals::Missing);
    ensure!(
        !after || missing,
        "--observations after: expected no final or next observations, which say where an action led, found some"
    );
    let repeat = options.repeat_final && missing && !after;
    let limit = options.episode_length.unwrap_or(spec.time_limit as usize);
    let which = if after { "first" } else { "last" };
    let mut start = 0;
    for (e, &end) in table.ends.iter().enumerate() {
        let length = end - start;
        ensure!(
            length <= limit,
            "episode {e}, steps {start} to {}: expected at most {limit} steps, the time limit of {}, found {length}: are flags of \
             truncations missing? (--episode-length N: a recording with a limit of N)",
            end - 1,
            spec.id
        );
        let lost = usize::from(missing && !repeat);
        let (first, last) = if after { (start + lost, end) } else { (start, end - lost) };
        let offset = if matches!(table.finals, Finals::Rows) { e } else { 0 };
        let final_row = match &table.finals {
            Finals::Missing => (&table.observations, end - 1),
            Finals::Rows => (&table.observations, end + e),
            Finals::Episodes(finals) => (finals, e),
            Finals::Steps(next) => (next, end - 1),
        };
        note(notes, "last observations repeated for where the last step of an episode led", usize::from(repeat));
        note(notes, format!("steps dropped: the {which} of each episode, which has no observation on its other side"), lost);
        let ended = table.terminals[end - 1] || table.truncations[end - 1];
        note(notes, "ends dropped with their steps (--repeat-final keeps them)", usize::from(ended && last < end));
        note(notes, "episodes had no step left and were dropped", usize::from(first == last));
        let steps = first..last;
        if !steps.is_empty() {
            // The row that step t starts from.
            let from = start + offset;
            let flag = |flags: &[bool]| Array1::from_vec(flags[steps.clone()].to_vec());
            let episode = Episode {
                // One file may hold one seed, of one episode.
                seed: table.seed.unwrap_or_default(),
                observations: table.observations.part(from..from + steps.len(), final_row)?,
                actions: table.actions.slice(s![steps.clone(), ..]).to_owned(),
                rewards: Array1::from_vec(table.rewards[steps.clone()].to_vec()),
                terminals: flag(&table.terminals),
                truncations: flag(&table.truncations),
            };
            episode.validate().with_context(|| format!("episode {e}, steps {start} to {}", end - 1))?;
            let seeded = table.seed.is_some() && table.ends.len() == 1;
            found.push(Found::new(file, episode, seeded, table.numbers)?);
        }
        start = end;
    }
    Ok(())
}

/// Gymnasium's choices of 0 and 1 as the numbers whose sign chooses here: −1 and 1. Floats are choices only where all of them are 0 or 1.
fn choices(found: &mut [Found], notes: &mut Notes) -> Result<()> {
    let is_choice = |&a: &f32| a == 0.0 || a == 1.0;
    let reals = found.iter().filter(|found| found.numbers == Numbers::Real).all(|f| f.episode.actions.iter().all(is_choice));
    for Found { file, episode, numbers, .. } in found {
        let signs = |a: &f32| a.abs() == 1.0;
        match numbers {
            Numbers::Real if reals => {}
            Numbers::Whole if episode.actions.iter().all(is_choice) => {}
            Numbers::Whole if !episode.actions.iter().all(signs) => {
                let odd = episode.actions.iter().find(|a| !is_choice(a)).copied().unwrap_or_default();
                bail!("{}: actions: expected choices of 0 or 1, found {odd}", file.display());
            }
            _ => continue,
        }
        episode.actions.mapv_inplace(|a| 2.0 * a - 1.0);
        note(notes, "actions: Gymnasium's 0 and 1 became −1 and 1", episode.actions.len());
    }
    Ok(())
}
