//! What V makes of held-out frames, and of nothing, in the course of its training: `figures/vae_epoch_NNNN.png`, in TensorBoard too.
//!
//! ```text
//! held-out frames
//! their reconstructions from the mean latent
//! samples of the prior
//! ```
//! The same frames and the same draws each time, so that the pictures compare.

use crate::agent::v::Preprocessing;
use crate::data::dataset::Dataset;
use crate::run::folder::{RunDir, write_atomic};
use crate::run::picture::{Grid, byte};
use crate::run::tensorboard;
use crate::world::nets::{inputs, matrix, normals, rows, to_vec};
use crate::world::vae::Vae;
use anyhow::Result;
use dreamstep_core::rng::{Philox, Stream};
use tch::{Device, Tensor};

/// Frames in a row.
const COLUMNS: usize = 10;

/// What is shown of a training.
#[derive(Debug)]
pub struct Samples {
    frame: [usize; 3],
    /// `[N, O]`
    held_out: Tensor,
    /// `[N, Z]`
    prior: Tensor,
    /// Epochs from one picture to the next.
    every: usize,
}

impl Samples {
    /// Frames from all over the first of the held-out episodes `ids`; a picture `every` so many of `epochs`, 0 for a tenth of them.
    ///
    /// # Errors
    /// The episode cannot be read, or does not hold frames.
    pub fn new(
        data: &Dataset,
        ids: &[usize],
        frame: [usize; 3],
        latent: usize,
        [every, epochs]: [usize; 2],
        device: Device,
    ) -> Result<Self> {
        let all = rows(data, &ids[..1], &Preprocessing::Scale, device)?;
        let n = all.size()[0] as usize;
        let shown = COLUMNS.min(n);
        let at: Vec<i64> = (0..shown).map(|i| (i * (n - 1) / (shown - 1).max(1)) as i64).collect();
        let held_out = all.index_select(0, &Tensor::from_slice(&at).to_device(device));
        // No run's own: what the prior looks like depends on V alone.
        let prior = normals(Philox::new(0), Stream::Report, u64::MAX, COLUMNS * latent);
        let every = if every == 0 { epochs.div_ceil(10) } else { every };
        Ok(Self { frame, held_out, prior: matrix(&prior, latent, device), every })
    }

    /// Removes the pictures of a training before.
    ///
    /// # Errors
    /// One line naming the file that cannot be removed.
    pub fn clear(run: &RunDir) -> Result<()> {
        for (_, path) in run.samples() {
            std::fs::remove_file(&path).map_err(|error| anyhow::anyhow!("{}: cannot remove: {error}", path.display()))?;
        }
        Ok(())
    }

    /// Draws what `vae` makes of them after `epoch`, where that is due.
    ///
    /// # Errors
    /// One line naming the file that cannot be written.
    pub fn draw(&self, run: &RunDir, vae: &Vae, epoch: usize) -> Result<()> {
        if !epoch.is_multiple_of(self.every) {
            return Ok(());
        }
        let x = inputs(&self.held_out);
        let [reconstructed, sampled] = tch::no_grad(|| [vae.decode(&vae.encode(&x).0), vae.decode(&self.prior)]);
        let mut grid = Grid::new(self.frame);
        for row in [x, reconstructed, sampled] {
            grid.add(&to_vec(&row)?.into_iter().map(byte).collect::<Vec<_>>());
        }
        write_atomic(&run.sample(epoch), &grid.png()?)?;
        tensorboard::append_sample(run, epoch)
    }
}
