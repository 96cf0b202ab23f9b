//! A run's recorded episodes as training reads them: more than fits in memory, if need be.
//!
//! Every file is read and validated once, when the list is made; later its numbers are read when they are needed. What a training stage
//! holds at a time is a *pool*: some episodes, drawn at random, whose rows are shuffled together. Memory is then a matter of the pool's
//! size, not of the data's: while one is trained on, another thread reads the next ([`crate::data::prefetch`]). Data that fits one pool is
//! read once and shuffled as a whole.

use crate::data::observations::Observations;
use crate::data::rollouts::{self, Episode, Sizes};
use crate::run::interrupt;
use crate::stats::{Normalizer, Spread};
use anyhow::{Context, Result, ensure};
use dreamstep_core::rng::{Philox, Stream};
use ndarray::{Array4, ArrayView2, Axis};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Episodes read at a time by one worker: enough to outweigh handing them out.
const CHUNK: usize = 64;

/// Bytes of frames in one pool at most: 65,536 frames of 64 x 64 x 3. Training holds the pool that it is at, the next one, and the held-out
/// one where that is all of them: so many frames as there may be, they are trained on within 4 GiB.
const POOL_BYTES: usize = 768 << 20;

/// What is known of an episode without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The seed it was reset with.
    pub seed: u64,
    /// `T`: steps taken; it has `T + 1` observations.
    pub steps: usize,
    /// Of every number in it.
    digest: u64,
}

/// Recorded episodes.
#[derive(Debug)]
pub struct Dataset {
    entries: Vec<Entry>,
    source: Source,
    sizes: Sizes,
}

/// Where the numbers are.
#[derive(Debug)]
enum Source {
    Memory(Vec<Episode>),
    Files(Vec<PathBuf>),
}

impl Dataset {
    /// The episodes in `folder`, in the order of the file names, each read and validated; at most `threads` at a time are in memory.
    ///
    /// # Errors
    /// One line: the folder is missing or holds no episode; or the first file that cannot be read, or whose observations or actions
    /// have another size than the first file's. [`interrupt::Interrupted`] on Ctrl-C.
    pub fn open(folder: &Path, threads: usize) -> Result<Self> {
        let files = rollouts::files(folder)?;
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("threads: cannot start the readers")?;
        // Errors are kept in their places: the first file's is reported, whichever thread met one first.
        let read: Vec<Result<_>> = pool.install(|| {
            let one = |file: &PathBuf| {
                interrupt::check()?;
                Episode::read(file).map(|episode| (entry(&episode), episode.sizes()))
            };
            files.par_iter().with_min_len(CHUNK).map(one).collect()
        });
        let mut entries = Vec::with_capacity(files.len());
        let mut sizes = None;
        for (file, read) in files.iter().zip(read) {
            let (entry, found) = read?;
            rollouts::check_sizes(file, found, &files[0], *sizes.get_or_insert(found))?;
            entries.push(entry);
        }
        Ok(Self { entries, source: Source::Files(files), sizes: sizes.unwrap_or_default() })
    }

    /// Episodes that are in memory already.
    ///
    /// # Errors
    /// One line: there are none, one is not valid, or sizes differ.
    pub fn from_episodes(episodes: Vec<Episode>) -> Result<Self> {
        let sizes = episodes.first().context("training: expected episodes, found none")?.sizes();
        for (i, episode) in episodes.iter().enumerate() {
            let name = || format!("episode {i} (seed {})", episode.seed);
            episode.validate().with_context(name)?;
            let found = episode.sizes();
            ensure!(found == sizes, "{}: expected {sizes:?}, found {found:?}", name());
        }
        Ok(Self { entries: episodes.iter().map(entry).collect(), source: Source::Memory(episodes), sizes })
    }

    /// How many episodes there are: at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a list without episodes is not made")]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// What is known of each.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// `(O, A)`: numbers in an observation and in an action.
    #[must_use]
    pub const fn dims(&self) -> (usize, usize) {
        (self.sizes.obs, self.sizes.action)
    }

    /// Height, width and channels, where observations are frames.
    #[must_use]
    pub const fn frame(&self) -> Option<[usize; 3]> {
        self.sizes.frame
    }

    /// Rows of a pool that holds observations, where `rows` are asked for: so many, or of frames no more than `POOL_BYTES` are.
    #[must_use]
    pub fn pool_rows(&self, rows: usize) -> usize {
        self.sizes.frame.map_or(rows, |_| rows.min((POOL_BYTES / self.sizes.obs.max(1)).max(1)))
    }

    /// Steps of the episodes `ids`.
    #[must_use]
    pub fn steps(&self, ids: &[usize]) -> usize {
        ids.iter().map(|&i| self.entries[i].steps).sum()
    }

    /// Observations of the episodes `ids`: one more than steps in each.
    #[must_use]
    pub fn rows(&self, ids: &[usize]) -> usize {
        self.steps(ids) + ids.len()
    }

    /// Episode `id`, with its numbers.
    ///
    /// # Errors
    /// One line naming the file: it cannot be read any more, or is not what it was when the list was made.
    pub fn read(&self, id: usize) -> Result<Cow<'_, Episode>> {
        match &self.source {
            Source::Memory(episodes) => Ok(Cow::Borrowed(&episodes[id])),
            Source::Files(files) => {
                let episode = Episode::read(&files[id])?;
                let (expected, found) = (self.entries[id], (episode.seed, episode.steps(), episode.sizes()));
                ensure!(
                    (expected.seed, expected.steps, self.sizes) == found,
                    "{}: changed while it was in use: expected seed {} and {} steps, found seed {} and {}",
                    files[id].display(),
                    expected.seed,
                    expected.steps,
                    found.0,
                    found.1
                );
                Ok(Cow::Owned(episode))
            }
        }
    }

    /// The frames of the episodes `ids`, one after the other, `[Σ(T+1), h, w, c]` bytes; read on every core of the current thread pool.
    ///
    /// # Errors
    /// [`Self::read`]'s; or observations are vectors.
    pub fn frames(&self, ids: &[usize]) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.rows(ids) * self.sizes.obs];
        let mut rest = bytes.as_mut_slice();
        let mut parts = Vec::with_capacity(ids.len());
        for &id in ids {
            let (part, others) = rest.split_at_mut(self.rows(&[id]) * self.sizes.obs);
            parts.push((id, part));
            rest = others;
        }
        parts.into_par_iter().try_for_each(|(id, part)| -> Result<()> {
            interrupt::check()?;
            let episode = self.read(id)?;
            let frames = episode.observations.frames()?;
            part.copy_from_slice(frames.as_standard_layout().as_slice().context("frames: expected rows one after another")?);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Of every number in every episode, in order.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.entries.iter().fold(FNV_START, |hash, entry| fnv(hash, [entry.digest as u32, (entry.digest >> 32) as u32]))
    }

    /// Mean and variance of the rewards of the episodes `ids`, `[1]`; on every core, as [`Self::normalizer`].
    ///
    /// # Errors
    /// [`Self::read`]'s.
    pub fn rewards(&self, ids: &[usize]) -> Result<Spread> {
        self.spread(ids, 1, |episode| Ok(episode.rewards.view().insert_axis(Axis(1))))
    }

    /// Mean and standard deviation (population) of the observations of `ids`, in one pass and on every core of the current thread pool;
    /// the result does not depend on how many there are. A dimension whose standard deviation is below `min_std` is dead.
    ///
    /// # Errors
    /// [`Self::read`]'s; or `ids` is empty, or observations are frames.
    pub fn normalizer(&self, ids: &[usize], min_std: f64) -> Result<Normalizer> {
        let spread = self.spread(ids, self.sizes.obs, |episode| episode.observations.vectors())?;
        Normalizer::from_spread(&spread, min_std)
    }

    fn spread(
        &self,
        ids: &[usize],
        columns: usize,
        rows: impl for<'e> Fn(&'e Episode) -> Result<ArrayView2<'e, f32>> + Sync,
    ) -> Result<Spread> {
        let part = |ids: &[usize]| -> Result<Spread> {
            let mut spread = Spread::new(columns);
            for &id in ids {
                interrupt::check()?;
                spread.add(rows(&*self.read(id)?)?);
            }
            Ok(spread)
        };
        // Parts of one size, added in order: the sums are the same however many threads there are.
        let parts: Vec<Spread> = ids.par_chunks(CHUNK).map(part).collect::<Result<_>>()?;
        let mut all = Spread::new(columns);
        parts.iter().for_each(|part| all.merge(part));
        Ok(all)
    }
}

/// How some episodes are cut into pools, epoch by epoch.
#[derive(Clone, Debug)]
pub struct Pools {
    ids: Vec<usize>,
    rows: usize,
    fits: bool,
    rng: Philox,
    stream: Stream,
}

impl Pools {
    /// Pools of `rows` rows or a few more of the episodes `ids`; their order in an epoch is drawn from `stream`.
    #[must_use]
    pub fn new(dataset: &Dataset, ids: &[usize], rows: usize, rng: Philox, stream: Stream) -> Self {
        Self { ids: ids.to_vec(), rows, fits: dataset.rows(ids) <= rows, rng, stream }
    }

    /// Whether all is one pool, the same in every epoch.
    #[must_use]
    pub const fn is_one(&self) -> bool {
        self.fits
    }

    /// The pools of `epoch`: every episode once, in an order of the epoch's own; or, where all fit one pool, in their own order.
    #[must_use]
    pub fn shuffled(&self, dataset: &Dataset, epoch: usize) -> Vec<Vec<usize>> {
        let mut ids = self.ids.clone();
        if !self.fits {
            self.rng.shuffle(self.stream, pool_step(epoch, None), &mut ids);
        }
        self.cut(dataset, ids)
    }

    /// The pools in the episodes' own order: to measure on.
    #[must_use]
    pub fn in_order(&self, dataset: &Dataset) -> Vec<Vec<usize>> {
        self.cut(dataset, self.ids.clone())
    }

    fn cut(&self, dataset: &Dataset, ids: Vec<usize>) -> Vec<Vec<usize>> {
        let mut pools = Vec::new();
        let (mut pool, mut rows) = (Vec::new(), 0);
        for id in ids {
            rows += dataset.rows(&[id]);
            pool.push(id);
            if rows >= self.rows && !self.fits {
                pools.push(std::mem::take(&mut pool));
                rows = 0;
            }
        }
        if !pool.is_empty() {
            pools.push(pool);
        }
        pools
    }
}

/// What a training reads: pools to train on and pools held out.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Shuffled anew in every epoch.
    pub train: Pools,
    /// The same in every epoch.
    pub validation: Pools,
}

impl Reading {
    /// Every epoch's pools, in the order in which a training wants them: those to train on, then the held-out ones. `load` reads a pool;
    /// what is the same in every epoch is read once and then handed out by `again`. `draw` adds what is random in a pool, by epoch and
    /// number; for held-out pools the epoch is 0, so that it is the same after every epoch and validation losses compare.
    pub fn stream<'a, P: Send + 'a, T>(
        &'a self,
        data: &'a Dataset,
        epochs: RangeInclusive<usize>,
        load: impl Fn(&[usize]) -> Result<P> + Send + 'a,
        again: fn(&P) -> P,
        draw: impl Fn(P, usize, usize) -> T + Send + 'a,
    ) -> impl Iterator<Item = Result<T>> + Send + 'a {
        let mut kept: [Option<P>; 2] = [None, None];
        let pools = epochs.flat_map(move |epoch| {
            let train = self.train.shuffled(data, epoch).into_iter().enumerate();
            let validation = self.validation.in_order(data).into_iter().enumerate();
            train.map(move |(n, ids)| (0, epoch, n, ids)).chain(validation.map(|(n, ids)| (1, 0, n, ids)))
        });
        pools.map(move |(role, epoch, number, ids)| {
            let pool = match &kept[role] {
                Some(pool) => again(pool),
                None => load(&ids)?,
            };
            if [&self.train, &self.validation][role].is_one() {
                kept[role] = Some(again(&pool));
            }
            Ok(draw(pool, epoch, number))
        })
    }
}

/// The step by which draws for one pool of one epoch are named; for the order of the pools themselves, `None`.
#[must_use]
pub fn pool_step(epoch: usize, pool: Option<usize>) -> u64 {
    (epoch as u64) << 32 | pool.map_or(u64::from(u32::MAX), |pool| pool as u64)
}

fn entry(episode: &Episode) -> Entry {
    let bits = |value: &f32| value.to_bits();
    let observed = match &episode.observations {
        Observations::Vectors(rows) => fnv(FNV_START, rows.iter().map(bits)),
        Observations::Frames(frames) => fnv_bytes(FNV_START, frames),
    };
    let digest = fnv(observed, episode.actions.iter().chain(&episode.rewards).map(bits));
    let digest = fnv(digest, episode.terminals.iter().map(|&terminal| u32::from(terminal)));
    Entry { seed: episode.seed, steps: episode.steps(), digest }
}

/// FNV-1a taken 32 bits at a time: byte by byte, gigabytes would take longer to digest than to read.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(start: u64, words: impl IntoIterator<Item = u32>) -> u64 {
    words.into_iter().fold(start, |hash, word| (hash ^ u64::from(word)).wrapping_mul(0x0100_0000_01b3))
}

/// [`fnv`] of four bytes at a time, whatever the frames' layout is; frames of another shape and the same bytes have another digest.
fn fnv_bytes(start: u64, frames: &Array4<u8>) -> u64 {
    let frames = frames.as_standard_layout();
    let bytes = frames.as_slice().unwrap_or_default();
    let (words, rest) = bytes.as_chunks();
    let hash = fnv(start, frames.shape().iter().map(|&size| size as u32));
    let hash = fnv(hash, words.iter().map(|&word| u32::from_le_bytes(word)));
    fnv(hash, rest.iter().map(|&byte| u32::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, Array2};

    /// Episodes of 3, 4, 5, … steps whose numbers are all different.
    fn episodes(n: usize) -> Vec<Episode> {
        (0..n)
            .map(|e| {
                let t = 3 + e;
                Episode {
                    seed: e as u64,
                    observations: Array2::from_shape_fn((t + 1, 2), |(i, j)| [1e4 + (e * 31 + i) as f32, 7.0][j]).into(),
                    actions: Array2::from_shape_fn((t, 1), |(i, _)| i as f32 * 0.1),
                    rewards: Array1::from_shape_fn(t, |i| i as f32),
                    terminals: Array1::from_shape_fn(t, |i| i + 1 == t),
                    truncations: Array1::from_elem(t, false),
                }
            })
            .collect()
    }

    fn written(episodes: &[Episode]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (i, episode) in episodes.iter().enumerate() {
            episode.write(&folder.path().join(rollouts::file_name(i as u64))).unwrap();
        }
        folder
    }

    #[test]
    fn files_and_memory_are_the_same_data() {
        let episodes = episodes(200);
        let folder = written(&episodes);
        let [files, memory] = [Dataset::open(folder.path(), 2).unwrap(), Dataset::from_episodes(episodes.clone()).unwrap()];
        assert_eq!((files.entries(), files.fingerprint()), (memory.entries(), memory.fingerprint()));
        assert_eq!(files.dims(), (2, 1));
        for i in [0, 17, 199] {
            assert_eq!((&*files.read(i).unwrap(), &*memory.read(i).unwrap()), (&episodes[i], &episodes[i]));
        }
        assert_eq!((files.steps(&[0, 2]), files.rows(&[0, 2])), (8, 10));
        let mut other = episodes;
        other[3].rewards[0] = -0.0;
        assert_ne!(Dataset::from_episodes(other).unwrap().fingerprint(), memory.fingerprint());
    }

    #[test]
    fn the_normaliser_is_numpys_mean_and_std_whatever_the_threads() {
        let data = Dataset::from_episodes(episodes(150)).unwrap();
        let ids: Vec<usize> = (0..150).step_by(2).collect();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| data.normalizer(&ids, 0.0).unwrap())
        };
        let (one, two) = (on(1), on(2));
        assert_eq!(one, two);
        let values: Vec<f64> = ids
            .iter()
            .flat_map(|&i| data.read(i).unwrap().observations.vectors().unwrap().column(0).mapv(f64::from).to_vec())
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
        assert!((f64::from(one.mean[0]) - mean).abs() < 1e-3 && (f64::from(one.inv_std[0]) * std - 1.0).abs() < 1e-6);
        assert_eq!((one.mean[1], one.inv_std[1]), (7.0, 0.0), "a constant dimension is dead");
        assert!(data.normalizer(&[], 0.0).is_err());
    }

    #[test]
    fn pools_hold_every_episode_once_and_epochs_differ() {
        let data = Dataset::from_episodes(episodes(50)).unwrap();
        let ids: Vec<usize> = (0..50).filter(|i| i % 5 != 0).collect();
        let pools = Pools::new(&data, &ids, 100, Philox::new(1), Stream::VaeOrder);
        let (first, second) = (pools.shuffled(&data, 1), pools.shuffled(&data, 2));
        for cut in [&first, &second, &pools.in_order(&data)] {
            let mut all = cut.concat();
            all.sort_unstable();
            assert_eq!(all, ids);
            assert!(cut.len() > 5);
            for pool in &cut[..cut.len() - 1] {
                let rows = data.rows(pool);
                assert!((100..200).contains(&rows), "{rows} rows");
            }
        }
        assert_ne!(first, second);
        assert_eq!(first, pools.shuffled(&data, 1));
        let one = Pools::new(&data, &ids, 100_000, Philox::new(1), Stream::VaeOrder);
        assert!(one.is_one());
        assert_eq!((one.shuffled(&data, 1), one.shuffled(&data, 2)), (vec![ids.clone()], vec![ids]));
    }

    fn filmed(n: usize, frame: (usize, usize, usize)) -> Vec<Episode> {
        let filmed = |(e, episode): (usize, Episode)| {
            let (h, w, c) = frame;
            let frames =
                Array4::from_shape_fn((episode.steps() + 1, h, w, c), |(t, y, x, c)| (e * 7 + t * 31 + y * x + c) as u8);
            Episode { observations: frames.into(), ..episode }
        };
        episodes(n).into_iter().enumerate().map(filmed).collect()
    }

    #[test]
    fn frames_have_a_digest_and_a_size_and_no_normaliser() {
        let episodes = filmed(20, (5, 3, 3));
        let folder = written(&episodes);
        let [files, memory] = [Dataset::open(folder.path(), 2).unwrap(), Dataset::from_episodes(episodes.clone()).unwrap()];
        assert_eq!((files.entries(), files.fingerprint()), (memory.entries(), memory.fingerprint()));
        assert_eq!((files.dims(), files.frame()), ((45, 1), Some([5, 3, 3])));
        assert_eq!(&*files.read(17).unwrap(), &episodes[17]);
        let one_by_one =
            [4, 0, 19].map(|id| episodes[id].observations.frames().unwrap().iter().copied().collect::<Vec<u8>>());
        assert_eq!(files.frames(&[4, 0, 19]).unwrap(), one_by_one.concat());
        for change in [(0, 0, 0, 0), (3, 4, 2, 2)] {
            let mut other = episodes.clone();
            let Observations::Frames(frames) = &mut other[3].observations else { unreachable!("filmed") };
            frames[change] ^= 1;
            assert_ne!(Dataset::from_episodes(other).unwrap().fingerprint(), memory.fingerprint());
        }
        // The same bytes, cut otherwise.
        assert_ne!(Dataset::from_episodes(filmed(20, (45, 1, 1))).unwrap().fingerprint(), memory.fingerprint());
        let error = files.normalizer(&[0, 1], 0.0).unwrap_err().to_string();
        assert_eq!(error, "observations: expected vectors of numbers, found frames of 5 x 3 x 3 bytes");
        let mut mixed = episodes;
        mixed.push(filmed(1, (3, 5, 3)).remove(0));
        let error = Dataset::from_episodes(mixed).unwrap_err().to_string();
        assert!(error.contains("episode 20") && error.contains("[5, 3, 3]") && error.contains("[3, 5, 3]"), "{error}");
    }

    /// Of a million frames of 64 x 64 x 3 no more than 65,536 are in a pool, however many rows are asked for.
    #[test]
    fn pools_of_frames_are_bounded_in_bytes() {
        let sized = |frame| Dataset::from_episodes(filmed(2, frame)).unwrap();
        let small = sized((64, 64, 3));
        assert_eq!([1000, 65_536, 131_072].map(|rows| small.pool_rows(rows)), [1000, 65_536, 65_536]);
        assert_eq!(sized((96, 96, 3)).pool_rows(131_072), (768 << 20) / 27_648);
        assert_eq!(Dataset::from_episodes(episodes(2)).unwrap().pool_rows(131_072), 131_072);
    }

    #[test]
    fn a_file_that_changes_or_spoils_is_named() {
        let episodes = episodes(100);
        let folder = written(&episodes);
        let data = Dataset::open(folder.path(), 1).unwrap();
        let file = |i: u64| folder.path().join(rollouts::file_name(i));
        episodes[4].write(&file(3)).unwrap();
        let error = format!("{:#}", data.read(3).unwrap_err());
        assert!(error.contains("episode_0000003.npz") && error.contains("seed 3") && error.contains("seed 4"), "{error}");
        // Of several, the first.
        std::fs::write(file(70), b"not a file").unwrap();
        std::fs::write(file(40), b"neither").unwrap();
        let error = format!("{:#}", Dataset::open(folder.path(), 2).unwrap_err());
        assert!(error.contains("episode_0000040.npz"), "{error}");
    }
}
