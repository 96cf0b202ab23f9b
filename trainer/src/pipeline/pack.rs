//! `pack`: one file for the runtime, of a run or of a packed agent, in the precision asked for.

use super::plan::check_made;
use crate::agent::{file, pack as agent};
use crate::data::rollouts::{Episode, list};
use crate::env::pool::EnvPool;
use crate::judge::compare::{Change, RECORDED_EPISODES, compare, compare_recorded};
use crate::run::config::Config;
use crate::run::folder::{RunDir, write_atomic};
use crate::run::progress::Progress;
use crate::world::resume::Network;
use anyhow::{Context, Result};
use dreamstep_core::names::metadata;
use dreamstep_core::pack::{AlignedBytes, packed2};
use dreamstep_runtime::Precision;
use std::path::{Path, PathBuf};

/// What is packed.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// V, M and C of a run, by its configuration.
    Run {
        /// Its configuration.
        config: &'a Config,
        /// The folder.
        run: &'a RunDir,
        /// With V's decoder of pictures.
        decoder: bool,
    },
    /// A packed agent; of an older format, it is converted.
    Agent {
        /// The file.
        path: &'a Path,
        /// Replace a V that copies its input by the identity.
        identity: bool,
    },
}

/// An agent that was packed.
#[derive(Debug)]
pub struct Packed {
    /// Where it lies.
    pub path: PathBuf,
    /// What was converted on the way, one line each.
    pub notes: Vec<String>,
    original: AlignedBytes,
    /// In another precision than f32.
    narrow: Option<AlignedBytes>,
    source: PathBuf,
    /// The run's recorded episodes.
    rollouts: Option<PathBuf>,
}

/// Packs `source` in `precision` into `out`, or beside the source under a name that says the precision.
///
/// # Errors
/// One line: an ingredient is missing or does not fit, the self-test fails, or the file cannot be written.
pub fn pack(source: Source<'_>, precision: Precision, out: Option<PathBuf>) -> Result<Packed> {
    let mut notes = Vec::new();
    let (original, source, rollouts) = match source {
        Source::Run { config, run, decoder } => {
            let packed = agent::pack(config, run)?;
            let packed = if decoder { agent::with_decoder(&packed, run)? } else { packed };
            for network in [Network::Vae, Network::Mdnrnn] {
                // What was recorded since, and how, says nothing of what is packed.
                let ignored = ["collect", "seed", "torch_threads"];
                check_made(network, config, run, &ignored, "dreamstep train --force makes it so")?;
            }
            (packed, run.agent(), Some(run.rollouts()))
        }
        Source::Agent { path, identity } => (read(path, identity, &mut notes)?, path.to_path_buf(), None),
    };
    let (path, narrow) = match precision {
        Precision::F32 => (source.clone(), None),
        _ => {
            let frames = match &rollouts {
                Some(rollouts) if precision == Precision::I8 => agent::calibration_frames(rollouts)?,
                _ => Vec::new(),
            };
            let narrow = agent::in_precision(&original, precision, &frames).with_context(|| source.display().to_string())?;
            (source.with_extension(format!("{}.safetensors", precision.name())), Some(narrow))
        }
    };
    if narrow.is_some() && rollouts.is_none() && plays_nothing(&source, &original) {
        notes.push("not compared with f32: recorded data have no simulator, and only a run has them (pack --run)".into());
    }
    let packed = Packed { path: out.unwrap_or(path), notes, original, narrow, source, rollouts };
    write_atomic(&packed.path, packed.bytes())?;
    Ok(packed)
}

/// The agent at `path`, in the format of this version.
fn read(path: &Path, identity: bool, notes: &mut Vec<String>) -> Result<AlignedBytes> {
    let mut bytes = file::read(path)?;
    let name = || path.display().to_string();
    if packed2::is_one(&bytes) {
        bytes = agent::convert(&bytes).with_context(name)?;
        notes.push(format!("{}: {} converted to {}", name(), packed2::FORMAT, metadata::FORMAT_PACKED));
    }
    if identity {
        let (without, agent::Replaced { weights, actions }) = agent::with_identity(&bytes).with_context(name)?;
        notes.push(format!(
            "{}: V, a copy of its input, replaced by the identity: {weights} weights fewer a step, {actions}",
            name()
        ));
        bytes = without;
    }
    file::load(path, &bytes, None)?;
    Ok(bytes)
}

/// Whether the agent in `bytes` is one of recorded data.
fn plays_nothing(path: &Path, bytes: &[u8]) -> bool {
    file::env(path, bytes).is_ok_and(|env| env.is_recorded())
}

impl Packed {
    /// The file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.narrow.as_ref().unwrap_or(&self.original)
    }

    /// What a precision other than f32 changed, on `episodes` episodes from `reset(seed)` on; of recorded data, on the run's own. None where nothing
    /// can have changed, or there are no episodes.
    ///
    /// # Errors
    /// One line: an agent does not say its environment or does not fit it, or an episode failed.
    pub fn compare(&self, seed: u64, episodes: usize, threads: usize) -> Result<Option<Change>> {
        let Some(narrow) = self.narrow.as_ref().filter(|_| episodes > 0) else { return Ok(None) };
        let models = [file::load(&self.source, &self.original, None)?, file::load(&self.path, narrow, None)?];
        let models = [&models[0], &models[1]];
        let sizes = [self.original.len(), narrow.len()];
        if plays_nothing(&self.source, &self.original) {
            let Some(rollouts) = &self.rollouts else { return Ok(None) };
            let recorded = list(rollouts)?.into_iter().take(RECORDED_EPISODES.min(episodes));
            return compare_recorded(models, sizes, recorded.map(|path| Episode::read(&path))).map(Some);
        }
        let pool = EnvPool::new(&file::env(&self.path, narrow)?, threads)?;
        let progress = Progress::new("compare", 2 * episodes as u64, "episodes");
        compare(&pool, models, sizes, seed, episodes, || progress.add(1)).map(Some)
    }
}
