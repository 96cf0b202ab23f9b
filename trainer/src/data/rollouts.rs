//! A recorded episode and its file: one `.npz` each, in `RUN/rollouts/`, that `numpy.load` opens as it is:
//!
//! | key | dtype | shape | |
//! |---|---|---|---|
//! | `observations` | float32 | `[T+1, O]` | the last row is where the last step led |
//! | or | uint8 | `[T+1, h, w, c]` | where they are frames ([`Observations`]) |
//! | `actions` | float32 | `[T, A]` | in the environment's own units |
//! | `rewards` | float32 | `[T]` | |
//! | `terminals` | bool | `[T]` | true where the task ended: only ever the last |
//! | `truncations` | bool | `[T]` | true where the time limit cut it: only ever the last |
//! | `seed` | uint64 | `[]` | what it was reset with |
//!
//! The keys are TorchWM's, with the truncations apart and both flags as booleans, so that `data[terminals]` means in numpy what
//! it says. The same episode always gives the same bytes: stored, or deflated where its observations are frames, and dated 1980. What is
//! read is validated.

use super::npy::{Npz, dtype, exact, exact_bytes, read_file};
use super::observations::{Observations, observed_text};
use crate::run::folder::{PARTIAL, write_atomic};
use crate::run::interrupt;
use anyhow::{Context, Result, anyhow, ensure};
use ndarray::{Array1, Array2, Dimension, Ix0, Ix1, Ix2, Ix4};
use ndarray_npy::NpzWriter;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime};

/// One recorded episode of `T` steps. Step `t` took `actions[t]` in `observations[t]` and led to `observations[t + 1]`,
/// `rewards[t]`, `terminals[t]`, `truncations[t]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// The seed it was reset with.
    pub seed: u64,
    /// `[T+1, O]`, the last one being where the last step led.
    pub observations: Observations,
    /// `[T, A]`, in the environment's own units.
    pub actions: Array2<f32>,
    /// `[T]`
    pub rewards: Array1<f32>,
    /// `[T]`: true where the task ended (only ever the last).
    pub terminals: Array1<bool>,
    /// `[T]`: true where the time limit cut it (only ever the last).
    pub truncations: Array1<bool>,
}

/// What an episode's arrays are of, its length apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// `O`
    pub obs: usize,
    /// Height, width and channels, where observations are frames.
    pub frame: Option<[usize; 3]>,
    /// `A`
    pub action: usize,
}

/// The file name of episode `index`: names sort as numbers do.
#[must_use]
pub fn file_name(index: u64) -> String {
    format!("episode_{index:07}.npz")
}

impl Episode {
    /// `T`: steps taken.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.rewards.len()
    }

    /// `(O, A)`: numbers in an observation and in an action.
    #[must_use]
    pub fn dims(&self) -> (usize, usize) {
        (self.observations.columns(), self.actions.ncols())
    }

    /// [`Self::dims`], and what a frame is of.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let (obs, action) = self.dims();
        Sizes { obs, frame: self.observations.frame(), action }
    }

    /// Sum of rewards.
    #[must_use]
    pub fn episode_return(&self) -> f64 {
        self.rewards.iter().map(|&r| f64::from(r)).sum()
    }

    /// Checks that the shapes agree, that every number is finite, and that only the last step ends it.
    ///
    /// # Errors
    /// One line: the array, what was expected, what was found.
    pub fn validate(&self) -> Result<()> {
        let steps = self.steps();
        let (obs, action) = self.dims();
        ensure!(steps > 0, "rewards: expected at least one step, found none");
        ensure!(obs > 0 && action > 0, "expected observations and actions of at least one number, found {obs} and {action}");
        for (key, expected, found) in [
            ("observations", steps + 1, self.observations.rows()),
            ("actions", steps, self.actions.nrows()),
            ("terminals", steps, self.terminals.len()),
            ("truncations", steps, self.truncations.len()),
        ] {
            ensure!(expected == found, "{key}: expected {expected} rows beside {steps} rewards, found {found}");
        }
        if let Observations::Vectors(rows) = &self.observations {
            finite("observations", rows)?;
        }
        finite("actions", &self.actions)?;
        finite("rewards", &self.rewards)?;
        for (key, flags) in [("terminals", &self.terminals), ("truncations", &self.truncations)] {
            if let Some(t) = flags.iter().take(steps - 1).position(|&flag| flag) {
                anyhow::bail!("{key}[{t}]: expected only the last step, {}, to end the episode", steps - 1);
            }
        }
        Ok(())
    }

    /// Writes the episode to `path`, whole or not at all.
    ///
    /// # Errors
    /// One line that names `path`: [`Self::validate`] rejects it, or it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.validate().with_context(|| format!("{}: not written", path.display()))?;
        let bytes = self.to_npz().with_context(|| path.display().to_string())?;
        write_atomic(path, &bytes)
    }

    /// Reads what [`Self::write`] wrote, or what `numpy.savez` or `savez_compressed` wrote under the same keys.
    ///
    /// # Errors
    /// One line: the file, the array, what was expected, what was found.
    pub fn read(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let bytes = read_file(path)?;
            let mut npz = Npz::new(&bytes)?;
            let episode = Self {
                seed: npz.exact::<u64, Ix0>("seed", "uint64")?.into_scalar(),
                observations: read_observations(&mut npz)?,
                actions: npz.exact::<f32, Ix2>("actions", "float32")?,
                rewards: npz.exact::<f32, Ix1>("rewards", "float32")?,
                terminals: npz.exact::<bool, Ix1>("terminals", "bool")?,
                truncations: npz.exact::<bool, Ix1>("truncations", "bool")?,
            };
            episode.validate()?;
            Ok(episode)
        };
        read().with_context(|| path.display().to_string())
    }

    /// The bytes of the `.npz` file: a function of the episode alone.
    pub(super) fn to_npz(&self) -> Result<Vec<u8>> {
        self.unseeded()?.seeded(self.seed)
    }

    /// Those bytes, so far as they do not depend on the seed.
    pub(super) fn unseeded(&self) -> Result<Unseeded> {
        let mut npz = npz_writer(compression(&self.observations));
        match &self.observations {
            Observations::Vectors(rows) => npz.add_array("observations", rows)?,
            Observations::Frames(frames) => npz.add_array("observations", frames)?,
        }
        npz.add_array("actions", &self.actions)?;
        npz.add_array("rewards", &self.rewards)?;
        npz.add_array("terminals", &self.terminals)?;
        npz.add_array("truncations", &self.truncations)?;
        Ok(Unseeded(npz))
    }
}

/// An episode's file before it has a seed: deflated, of frames an eighth of the episode.
pub(super) struct Unseeded(NpzWriter<Cursor<Vec<u8>>>);

impl Unseeded {
    /// The file.
    pub(super) fn seeded(self, seed: u64) -> Result<Vec<u8>> {
        let Self(mut npz) = self;
        npz.add_array("seed", &ndarray::arr0(seed))?;
        Ok(npz.finish()?.into_inner())
    }
}

fn read_observations(npz: &mut Npz<'_>) -> Result<Observations> {
    let bytes = npz.find("observations")?.context("observations: expected an array of float32 or uint8, found none")?;
    let (kind, read) = match dtype(&bytes).is_ok_and(|found| found == "uint8") {
        true => ("uint8", exact_bytes::<Ix4>(bytes).map(Observations::from)),
        false => ("float32", exact::<f32, Ix2>(&bytes).map(Observations::from)),
    };
    read.map_err(|error| anyhow!("observations: expected an array of {kind}: {error}"))
}

/// How hard frames are deflated, by zlib's levels. CarRacing's, 64 x 64 x 3: level 1 makes 1,650 bytes of each in 40 µs, 2 makes 1,390 in 60,
/// 3 makes 1,200 in 115, 6 makes 1,040 in 235; all are read back in 25 to 40 µs.
const DEFLATE: i64 = 2;

/// How a file with these observations is packed: `None` is as it is, which numbers are; else zlib's level.
pub(super) fn compression(observations: &Observations) -> Option<i64> {
    observations.frame().map(|_| DEFLATE)
}

/// A writer of `.npz` bytes that depend on the arrays alone: what zip takes for itself (the clock, where a feature gives it one) is fixed.
/// `deflate` is as [`compression`] says.
pub(super) fn npz_writer(deflate: Option<i64>) -> NpzWriter<Cursor<Vec<u8>>> {
    let method = deflate.map_or(CompressionMethod::Stored, |_| CompressionMethod::Deflated);
    let options = SimpleFileOptions::default()
        .compression_method(method)
        .compression_level(deflate)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    NpzWriter::new_with_options(Cursor::new(Vec::new()), options)
}

/// Every episode in `folder`, in the order of the file names.
///
/// # Errors
/// As [`files`]; or the first file that cannot be read, or whose observations or actions have another size than the first file's.
/// [`interrupt::Interrupted`] on Ctrl-C.
pub fn read_dir(folder: &Path) -> Result<Vec<Episode>> {
    let files = files(folder)?;
    let mut episodes: Vec<Episode> = Vec::with_capacity(files.len());
    for file in &files {
        interrupt::check()?;
        let episode = Episode::read(file)?;
        check_sizes(file, episode.sizes(), &files[0], episodes.first().map_or(episode.sizes(), Episode::sizes))?;
        episodes.push(episode);
    }
    Ok(episodes)
}

/// That the episode in `file`, of sizes `found`, goes with that in `first`, of sizes `expected`.
pub(super) fn check_sizes(file: &Path, found: Sizes, first: &Path, expected: Sizes) -> Result<()> {
    ensure!(
        found == expected,
        "{}: expected observations of {} and actions of {} as in {}, found {} and {}",
        file.display(),
        observed_text(expected.obs, expected.frame),
        expected.action,
        first.display(),
        observed_text(found.obs, found.frame),
        found.action
    );
    Ok(())
}

/// As [`list`], and at least one.
///
/// # Errors
/// One line: the folder is missing or holds no episode.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = list(folder)?;
    let none = || format!("{}: expected recorded episodes (*.npz), found none; run `dreamstep collect`", folder.display());
    ensure!(!files.is_empty(), none());
    Ok(files)
}

/// The `.npz` files in `folder`, sorted by name.
///
/// # Errors
/// One line: the folder is missing or cannot be listed.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("{}: expected a folder of recorded episodes; run `dreamstep collect`", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        let partial = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL));
        if path.extension().is_some_and(|extension| extension == "npz") && !partial {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn finite<D: Dimension>(key: &str, values: &ndarray::Array<f32, D>) -> Result<()> {
    match values.iter().enumerate().find(|(_, x)| !x.is_finite()) {
        Some((i, x)) => {
            Err(anyhow!("{key}: expected finite numbers, found {x} at element {i} of shape {:?}", values.shape()))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array4, array as a};
    use std::fs::File;
    use tempfile::TempDir;

    fn episode() -> Episode {
        Episode {
            seed: u64::MAX,
            observations: a![[1.0, 2.0, 3.0], [-0.0, 1e-40, 6.0], [7.0, 8.0, 9.0]].into(),
            actions: a![[0.1, 0.2], [0.3, 0.4]],
            rewards: a![1.5, -2.5],
            terminals: a![false, true],
            truncations: a![false, false],
        }
    }

    /// Of two steps, seen in frames of 2 x 3 x 3 bytes.
    fn filmed() -> Episode {
        let frames = Array4::from_shape_fn((3, 2, 3, 3), |(t, y, x, c)| (t * 100 + y * 9 + x * 3 + c) as u8);
        Episode { observations: frames.into(), ..episode() }
    }

    /// The one-line error of reading `folder`.
    fn error(folder: &Path, parts: &[&str]) {
        let error = format!("{:#}", read_dir(folder).unwrap_err());
        assert!(!error.contains('\n'), "{error:?} should be one line");
        for part in parts {
            assert!(error.contains(part), "{error:?} should contain {part:?}");
        }
    }

    /// Writes an episode that `change` has spoilt, past the writer's own check, beside a good one.
    fn spoilt(change: impl FnOnce(&mut Episode)) -> TempDir {
        beside(&episode(), change)
    }

    fn beside(good: &Episode, change: impl FnOnce(&mut Episode)) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        good.write(&folder.path().join(file_name(0))).unwrap();
        let mut bad = good.clone();
        change(&mut bad);
        std::fs::write(folder.path().join(file_name(1)), bad.to_npz().unwrap()).unwrap();
        folder
    }

    #[test]
    fn what_is_written_reads_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for seed in [2, 0, 10, 1] {
            Episode { seed, ..episode() }.write(&folder.path().join(file_name(seed))).unwrap();
        }
        std::fs::write(folder.path().join("notes.txt"), "not an episode").unwrap();
        std::fs::write(folder.path().join(format!("{PARTIAL}x.npz")), "cut off").unwrap();
        let episodes = read_dir(folder.path()).unwrap();
        assert_eq!(episodes.iter().map(|e| e.seed).collect::<Vec<_>>(), [0, 1, 2, 10]);
        assert_eq!(episodes[0], Episode { seed: 0, ..episode() });
        assert_eq!(episodes[0].observations.row(1)[0].to_bits(), (-0.0_f32).to_bits());
    }

    #[test]
    fn the_same_episode_gives_the_same_bytes() {
        let bytes = episode().to_npz().unwrap();
        assert_eq!(bytes, episode().to_npz().unwrap());
        // MS-DOS time and date of the first local header: midnight, 1980-01-01.
        assert_eq!(bytes[10..14], [0, 0, 0x21, 0]);
    }

    /// Vectors as they always were: stored. Frames are deflated, and to the same bytes each time.
    #[test]
    fn frames_are_deflated_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file_name(0));
        filmed().write(&path).unwrap();
        assert_eq!(Episode::read(&path).unwrap(), filmed());
        assert_eq!(filmed().to_npz().unwrap(), filmed().to_npz().unwrap());
        let method = |bytes: &[u8]| u16::from_le_bytes([bytes[8], bytes[9]]);
        assert_eq!([method(&episode().to_npz().unwrap()), method(&filmed().to_npz().unwrap())], [0, 8]);
        // Even ones compress.
        let even = Episode { observations: Array4::from_elem((3, 64, 64, 3), 7_u8).into(), ..episode() };
        assert!(even.to_npz().unwrap().len() < 2000);
    }

    #[test]
    fn frames_of_another_size_type_or_number_are_named() {
        let other = |shape| Observations::Frames(Array4::zeros(shape));
        let bad = beside(&filmed(), |e| e.observations = other((3, 2, 4, 3)));
        error(
            bad.path(),
            &["episode_0000001.npz", "expected observations of 2 x 3 x 3 (frames)", "found 2 x 4 x 3 (frames)"],
        );
        // As many numbers.
        let bad = beside(&filmed(), |e| e.observations = other((3, 3, 2, 3)));
        error(bad.path(), &["expected observations of 2 x 3 x 3 (frames)", "found 3 x 2 x 3 (frames) and 2"]);
        let bad = beside(&filmed(), |e| e.observations = Array2::zeros((3, 18)).into());
        error(bad.path(), &["expected observations of 2 x 3 x 3 (frames)", "found 18 and 2"]);
        let bad = beside(&filmed(), |e| e.observations = other((2, 2, 3, 3)));
        error(bad.path(), &["observations", "expected 3 rows", "found 2"]);
        let bad = beside(&filmed(), |e| e.observations = other((3, 2, 0, 3)));
        error(bad.path(), &["observations and actions of at least one number", "found 0 and 2"]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file_name(0));
        for (frames, expected) in [
            (ndarray::Array3::<u8>::zeros((3, 2, 3)).into_dyn(), "expected 4 dimensions, found shape [3, 2, 3]"),
            (ndarray::Array1::<u8>::zeros(3).into_dyn(), "expected 4 dimensions, found shape [3]"),
        ] {
            let mut npz = NpzWriter::new(File::create(&path).unwrap());
            npz.add_array("seed", &ndarray::arr0(1_u64)).unwrap();
            npz.add_array("observations", &frames).unwrap();
            npz.finish().unwrap();
            error(folder.path(), &["observations: expected an array of uint8", expected]);
        }
        let mut npz = NpzWriter::new(File::create(&path).unwrap());
        npz.add_array("seed", &ndarray::arr0(1_u64)).unwrap();
        npz.add_array("observations", &ndarray::Array4::<i16>::zeros((3, 2, 3, 3))).unwrap();
        npz.finish().unwrap();
        error(folder.path(), &["observations: expected an array of float32", "<i2"]);
    }

    #[test]
    fn a_missing_or_empty_folder_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        error(folder.path(), &["expected recorded episodes", "found none", "dreamstep collect"]);
        error(&folder.path().join("nowhere"), &["nowhere", "dreamstep collect"]);
    }

    #[test]
    fn every_truncation_of_a_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [episode(), filmed()].map(|episode| episode.to_npz().unwrap()) {
            for length in 0..bytes.len() {
                std::fs::write(folder.path().join(file_name(0)), &bytes[..length]).unwrap();
                error(folder.path(), &["episode_0000000.npz"]);
            }
        }
    }

    #[test]
    fn no_flipped_byte_panics() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file_name(0));
        for bytes in [episode(), filmed()].map(|episode| episode.to_npz().unwrap()) {
            for i in 0..bytes.len() {
                for flip in [0x01, 0x80, 0xff] {
                    let mut bytes = bytes.clone();
                    bytes[i] ^= flip;
                    std::fs::write(&path, &bytes).unwrap();
                    if let Err(e) = Episode::read(&path) {
                        assert!(format!("{e:#}").contains("episode_0000000.npz"));
                    }
                }
            }
        }
    }

    #[test]
    fn a_huge_shape_is_an_error_and_not_an_allocation() {
        let folder = tempfile::tempdir().unwrap();
        let mut header =
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000, 3), }".to_vec();
        header.resize(127, b' ');
        header.push(b'\n');
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("seed.npy", SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
        ndarray_npy::WriteNpyExt::write_npy(&ndarray::arr0(1_u64), &mut zip).unwrap();
        zip.start_file("observations.npy", SimpleFileOptions::default().compression_method(CompressionMethod::Stored))
            .unwrap();
        std::io::Write::write_all(&mut zip, &header).unwrap();
        std::fs::write(folder.path().join(file_name(0)), zip.finish().unwrap().into_inner()).unwrap();
        error(folder.path(), &["episode_0000000.npz", "observations", "missing"]);
    }

    #[test]
    fn inconsistent_shapes_name_the_array() {
        let bad = spoilt(|e| e.actions = a![[0.1, 0.2]]);
        error(bad.path(), &["episode_0000001.npz", "actions", "expected 2 rows", "found 1"]);
        let bad = spoilt(|e| e.observations = a![[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]].into());
        error(bad.path(), &["observations", "expected 3 rows", "found 2"]);
        let bad = spoilt(|e| e.rewards = a![]);
        error(bad.path(), &["rewards", "at least one step"]);
        let bad = spoilt(|e| e.terminals = a![true, false]);
        error(bad.path(), &["terminals[0]", "only the last step"]);
    }

    #[test]
    fn other_dims_than_the_first_file_name_both_files() {
        let bad = spoilt(|e| e.actions = a![[0.1], [0.2]]);
        error(bad.path(), &["episode_0000001.npz", "episode_0000000.npz", "actions of 2", "found 3 and 1"]);
    }

    #[test]
    fn numbers_that_are_none_are_found() {
        let bad = spoilt(|e| e.observations = a![[1.0, 2.0, 3.0], [0.0, 0.0, 6.0], [7.0, f32::NAN, 9.0]].into());
        error(bad.path(), &["episode_0000001.npz", "observations", "NaN at element 7"]);
        let bad = spoilt(|e| e.rewards[1] = f32::INFINITY);
        error(bad.path(), &["rewards", "inf at element 1"]);
        let mut bad = episode();
        bad.actions[[0, 0]] = f32::NEG_INFINITY;
        let error = format!("{:#}", bad.write(Path::new("/nowhere/x.npz")).unwrap_err());
        assert!(error.contains("x.npz") && error.contains("actions") && error.contains("-inf"), "{error}");
    }

    #[test]
    fn another_dtype_or_dimension_or_a_missing_array_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file_name(0));
        let write = |add: &dyn Fn(&mut NpzWriter<File>)| {
            let mut npz = NpzWriter::new(File::create(&path).unwrap());
            npz.add_array("seed", &ndarray::arr0(1_u64)).unwrap();
            add(&mut npz);
            npz.finish().unwrap();
        };
        write(&|npz| npz.add_array("observations", &a![[1.0_f64]]).unwrap());
        error(folder.path(), &["observations", "float32", "<f8"]);
        write(&|npz| npz.add_array("observations", &a![1.0_f32]).unwrap());
        error(folder.path(), &["observations", "expected 2 dimensions", "[1]"]);
        write(&|_| ());
        error(folder.path(), &["observations", "float32", "found none"]);
    }
}
