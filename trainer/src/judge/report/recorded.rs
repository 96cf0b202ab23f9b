//! The recorded episodes, split as training splits them and read a few at a time: no figure needs all of them in memory.
//!
//! Rows of a chunk lie as in training: an episode of `T` steps has `T + 1` observations, of which the last starts no step.

use crate::data::dataset::Dataset;
use crate::data::rollouts::Episode;
use crate::data::split::Split;
use crate::env::EnvSpec;
use crate::world::nets::{indices, inputs, matrix, normals, rows_of};
use crate::world::trained::TrainedVae;
use anyhow::{Context, Result, ensure};
use dreamstep_core::rng::{Philox, Stream};
use std::borrow::Cow;
use std::path::Path;
use tch::{Device, Tensor};

/// Observations read at a time, but for the last episode that goes past it.
const CHUNK_ROWS: usize = 16_384;

/// The same of frames, each as large as dozens of vectors.
const CHUNK_FRAMES: usize = 1024;

/// Names of draws, so that no two are the same: samples of training chunks count from 0, those of held-out chunks from here.
pub const HELD_OUT_DRAWS: u64 = 1 << 61;
/// Noise of open loops.
pub const LOOP_DRAWS: u64 = 1 << 63;
/// Mixture components of open loops.
pub const COMPONENT_DRAWS: u64 = 1 << 63 | 1 << 62;

/// Recorded episodes, split.
pub struct Recorded {
    data: Dataset,
    /// Which of them the networks learned from, and which they never saw.
    pub split: Split,
}

impl Recorded {
    /// The episodes in `folder`, of the environment `spec`, split by `seed` and `fraction`.
    ///
    /// # Errors
    /// One line: the folder is missing, holds fewer than two episodes, or one that cannot be read or is not of `spec`.
    pub fn open(folder: &Path, spec: &EnvSpec, seed: u64, fraction: f64, threads: usize) -> Result<Self> {
        let data = Dataset::open(folder, threads)?;
        let (EnvSpec { id, obs, .. }, action) = (spec, spec.action());
        let obs = *obs;
        let (found_obs, found_action) = data.dims();
        ensure!(
            (found_obs, found_action) == (obs, action),
            "{}: expected observations of {obs} and actions of {action} for {id}, found {found_obs} and {found_action}",
            folder.display()
        );
        let split = Split::new(seed, data.len(), fraction)?;
        Ok(Self { data, split })
    }

    /// Height, width and channels, where observations are frames.
    #[must_use]
    pub const fn frame(&self) -> Option<[usize; 3]> {
        self.data.frame()
    }

    /// Steps of the episodes `ids`.
    #[must_use]
    pub fn steps(&self, ids: &[usize]) -> usize {
        self.data.steps(ids)
    }

    /// Reads the episodes `ids` in order, about 16,000 vectors or 1,000 frames at a time.
    pub fn read<'a>(&'a self, ids: &'a [usize]) -> impl Iterator<Item = Result<Vec<Episode>>> + 'a {
        let mut rest = ids;
        let most = if self.data.frame().is_some() { CHUNK_FRAMES } else { CHUNK_ROWS };
        std::iter::from_fn(move || {
            let mut rows = 0;
            let fits = |&&id: &&usize| {
                let fits = rows < most;
                rows += self.data.rows(&[id]);
                fits
            };
            let count = rest.iter().take_while(fits).count();
            let (chunk, others) = rest.split_at(count);
            rest = others;
            let read = || chunk.iter().map(|&id| Ok(self.data.read(id)?.into_owned())).collect();
            (count > 0).then(read)
        })
    }
}

/// What V sees of `episodes`, as [`rows_of`] has it.
fn rows(episodes: &[Episode], vae: &TrainedVae) -> Result<Tensor> {
    let sizes = [episodes.iter().map(|e| e.steps() + 1).sum(), vae.shape.obs];
    rows_of(episodes.iter().map(|e| Ok(Cow::Borrowed(e))), sizes, &vae.preprocessing, Device::Cpu)
}

/// x `[R, O]` of `episodes`, one below the other.
///
/// # Errors
/// They are not what V takes.
pub fn seen(episodes: &[Episode], vae: &TrainedVae) -> Result<Tensor> {
    Ok(inputs(&rows(episodes, vae)?))
}

/// A few episodes, seen through V. `R` observations, `N` steps.
pub struct Chunk {
    /// As recorded.
    pub episodes: Vec<Episode>,
    /// `[R, O]` whitened vectors, or frames scaled into 0 to 1.
    pub x: Tensor,
    /// `[R, Z]` V's mean.
    pub mean: Tensor,
    /// `[R, Z]` V's log-variance.
    pub log_var: Tensor,
    /// `[R, U]`: as M hears them; 0 in the last row of an episode.
    pub action: Tensor,
    /// `[N]` the rows that start a step.
    pub steps: Tensor,
}

impl Chunk {
    /// Encodes `episodes`, recorded in `spec`.
    ///
    /// # Errors
    /// One line: a choice that there is none of in `spec`.
    pub fn new(episodes: Vec<Episode>, vae: &TrainedVae, spec: &EnvSpec) -> Result<Self> {
        let rows = rows(&episodes, vae)?;
        let ((mean, log_var), x) = (vae.encode_rows(&rows), inputs(&rows));
        let ear = spec.actions.ear();
        let (mut action, mut steps, mut row) = (Vec::new(), Vec::new(), 0);
        for episode in &episodes {
            for values in episode.actions.rows() {
                ear.hear(values, &mut action).with_context(|| format!("episode of seed {}", episode.seed))?;
                steps.push(row);
                row += 1;
            }
            action.resize(action.len() + ear.len(), 0.0);
            row += 1;
        }
        let (action, steps) = (matrix(&action, ear.len(), Device::Cpu), indices(&steps, Device::Cpu));
        Ok(Self { episodes, x, mean, log_var, action, steps })
    }

    /// `[R, Z]` latents drawn from V's posterior, by the draws that `name` names.
    pub fn sampled(&self, seed: u64, name: u64) -> Tensor {
        let (rows, latent) = (self.mean.size()[0] as usize, self.mean.size()[1] as usize);
        let noise = matrix(&normals(Philox::new(seed), Stream::Report, name, rows * latent), latent, Device::Cpu);
        &self.mean + (&self.log_var * 0.5).exp() * noise
    }

    /// Steps of each episode.
    #[must_use]
    pub fn lengths(&self) -> Vec<usize> {
        self.episodes.iter().map(Episode::steps).collect()
    }

    /// `[N]` the reward of every step.
    #[must_use]
    pub fn rewards(&self) -> Vec<f32> {
        self.episodes.iter().flat_map(|e| e.rewards.iter().copied()).collect()
    }

    /// `[N]` whether the step ended the task.
    #[must_use]
    pub fn terminals(&self) -> Vec<bool> {
        self.episodes.iter().flat_map(|e| e.terminals.iter().copied()).collect()
    }

    /// The rows of `table` `[R, _]` that start a step, `[N, _]`.
    pub fn at_steps(&self, table: &Tensor) -> Tensor {
        table.index_select(0, &self.steps)
    }

    /// The rows of `table` `[R, _]` where the steps led, `[N, _]`.
    pub fn after_steps(&self, table: &Tensor) -> Tensor {
        table.index_select(0, &(&self.steps + 1))
    }
}
