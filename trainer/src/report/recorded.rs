//! What was recorded, split as the stages split it, and read a few episodes at a time: no number in the report needs all of it in memory.
//!
//! Rows of a chunk lie as in training: an episode of `T` steps has `T + 1` observations, of which the last starts no step.

use crate::env::EnvSpec;
use crate::nets::{indices, matrix, normals};
use crate::rollouts::{self, Episode};
use crate::stage::{Split, whiten};
use crate::train_vae::TrainedVae;
use anyhow::{Result, ensure};
use dreamstep_core::pack::action_map;
use dreamstep_core::rng::{Philox, Stream};
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};

/// Observations read at a time, but for the last episode that goes past it.
const CHUNK_ROWS: usize = 16_384;

/// Names of draws, so that no two are the same: samples of training chunks count from 0, those of held-out chunks from here.
pub const HELD_OUT_DRAWS: u64 = 1 << 61;
/// Noise of open loops.
pub const LOOP_DRAWS: u64 = 1 << 63;
/// Mixture components of open loops.
pub const COMPONENT_DRAWS: u64 = 1 << 63 | 1 << 62;

/// Files of recorded episodes.
pub struct Recorded {
    /// What the networks learned from.
    pub train: Vec<PathBuf>,
    /// What they never saw.
    pub held_out: Vec<PathBuf>,
    spec: EnvSpec,
}

impl Recorded {
    /// The episodes in `folder`, of the environment `spec`, split by `seed` and `fraction`.
    ///
    /// # Errors
    /// One line: the folder is missing, or holds fewer than two episodes.
    pub fn open(folder: &Path, spec: EnvSpec, seed: u64, fraction: f64) -> Result<Self> {
        let files = rollouts::list(folder)?;
        ensure!(
            files.len() >= 2,
            "{}: expected at least 2 recorded episodes (one is held out), found {}; run `dreamstep collect`",
            folder.display(),
            files.len()
        );
        let split = Split::new(seed, files.len(), fraction)?;
        let pick = |ids: &[usize]| ids.iter().map(|&i| files[i].clone()).collect();
        Ok(Self { train: pick(&split.train), held_out: pick(&split.validation), spec })
    }

    /// Reads `files` in order, about 16,000 observations at a time.
    pub fn read<'a>(&'a self, files: &'a [PathBuf]) -> impl Iterator<Item = Result<Vec<Episode>>> + 'a {
        let mut rest = files.iter();
        std::iter::from_fn(move || {
            let (mut episodes, mut rows) = (Vec::new(), 0);
            while rows < CHUNK_ROWS {
                let Some(file) = rest.next() else { break };
                match self.read_one(file) {
                    Ok(episode) => {
                        rows += episode.steps() + 1;
                        episodes.push(episode);
                    }
                    Err(error) => return Some(Err(error)),
                }
            }
            (!episodes.is_empty()).then_some(Ok(episodes))
        })
    }

    fn read_one(&self, file: &Path) -> Result<Episode> {
        let episode = Episode::read(file)?;
        let EnvSpec { id, obs, action, .. } = self.spec;
        let (found_obs, found_action) = episode.dims();
        ensure!(
            (found_obs, found_action) == (obs, action),
            "{}: expected observations of {obs} and actions of {action} for {id}, found {found_obs} and {found_action}",
            file.display()
        );
        Ok(episode)
    }
}

/// A few episodes, seen through V. `R` observations, `N` steps.
pub struct Chunk {
    /// As recorded.
    pub episodes: Vec<Episode>,
    /// `[R, O]` whitened.
    pub x: Tensor,
    /// `[R, Z]` V's mean.
    pub mean: Tensor,
    /// `[R, Z]` V's log-variance.
    pub log_var: Tensor,
    /// `[R, A]` in [-1, 1]; 0 in the last row of an episode.
    pub action: Tensor,
    /// `[N]` the rows that start a step.
    pub steps: Tensor,
}

impl Chunk {
    /// Encodes `episodes`, recorded in `spec`.
    #[must_use]
    pub fn new(episodes: Vec<Episode>, vae: &TrainedVae, spec: &EnvSpec) -> Self {
        let x = whiten(episodes.iter(), &vae.normalizer, vae.obs_clip, Device::Cpu);
        let (mean, log_var) = tch::no_grad(|| vae.vae.encode(&x));
        let (mid, half) = action_map(&spec.action_low, &spec.action_high);
        let (mut action, mut steps, mut row) = (Vec::new(), Vec::new(), 0);
        for episode in &episodes {
            for values in episode.actions.rows() {
                action.extend(values.iter().zip(mid.iter().zip(&half)).map(|(a, (mid, half))| (a - mid) / half));
                steps.push(row);
                row += 1;
            }
            action.extend(mid.iter().map(|_| 0.0));
            row += 1;
        }
        let (action, steps) = (matrix(&action, mid.len(), Device::Cpu), indices(&steps, Device::Cpu));
        Self { episodes, x, mean, log_var, action, steps }
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
