//! V's figures: its reconstruction of held-out observations from the mean latent, block by block, beside principal components of the
//! same size, which are the best that a linear code can do on the episodes they were fitted to.
//!
//! Everything is measured on whitened, clipped vectors, of which dimensions that never varied count nowhere; or on frames scaled into 0 to
//! 1, of which it is said besides how far off a whole one is.

use super::errors::{Block, SquaredErrors, doubles, host, single};
use super::pictures::{self, Likeness};
use super::recorded::Chunk;
use crate::agent::convolution::Map;
use crate::agent::v::Preprocessing;
use crate::run::picture::{Grid, byte};
use crate::stats::{Pca, Spread};
use crate::world::nets::to_vec;
use crate::world::trained::TrainedVae;
use anyhow::Result;
use serde::Serialize;
use tch::{Kind, Tensor};

/// Frames in the figure.
const SHOWN: i64 = 10;
/// Frames decoded at a time.
const FRAMES: i64 = 256;

/// V's figures on held-out episodes.
#[derive(Clone, Debug, Serialize)]
pub struct VaeFigures {
    /// `Z`
    pub latent: usize,
    /// Principal components: as many as latents, or as many as an observation has numbers.
    pub pca_components: usize,
    /// Observations measured.
    pub rows: u64,
    /// Part by part.
    pub blocks: Vec<BlockError>,
    /// Squared error of V over the variance, all parts together.
    pub nmse: f64,
    /// The same of principal components.
    pub pca_nmse: f64,
    /// Share of observations of which at least one number was clipped.
    pub clipped_rows: f64,
    /// Latents in use: their mean varies by more than 0.1 (standard deviation).
    pub active_latents: usize,
    /// KL divergence from the prior, nats, of every latent.
    pub kl_per_latent: Vec<f64>,
    /// Of frames: how alike they are to the recorded ones, V's reconstructions and the principal components'.
    pub pictures: Option<[Likeness; 2]>,
    /// Of frames: a few of them, V's reconstructions and the principal components'.
    #[serde(skip)]
    pub grid: Option<Grid>,
}

/// Squared error over the variance of one part of the observation; none where nothing in it varies.
#[derive(Clone, Debug, Serialize)]
pub struct BlockError {
    /// Which.
    #[serde(flatten)]
    pub block: Block,
    /// V's.
    pub vae: Option<f64>,
    /// The principal components'.
    pub pca: Option<f64>,
}

/// A measurement under way.
pub struct Measure {
    pca: Pca,
    errors: [SquaredErrors; 2],
    likeness: Option<[pictures::Measure; 2]>,
    grid: Option<Grid>,
    clipped: f64,
    rows: u64,
    latents: Spread,
    kl: Tensor, // [Z]
}

impl Measure {
    /// Against the principal components `pca` of what V sees of the training observations; of frames where there is a `frame`.
    #[must_use]
    pub fn new(pca: Pca, latent: usize, frame: Option<Map>) -> Self {
        let centre = pca.mean.to_vec();
        let errors = [SquaredErrors::new(&centre), SquaredErrors::new(&centre)];
        let kl = Tensor::zeros([latent as i64], (Kind::Double, tch::Device::Cpu));
        let likeness = frame.map(|frame| [(); 2].map(|()| pictures::Measure::new(frame)));
        let grid = frame.map(Grid::new);
        Self { pca, errors, likeness, grid, clipped: 0.0, rows: 0, latents: Spread::new(latent), kl }
    }

    /// Adds held-out episodes.
    ///
    /// # Errors
    /// libtorch cannot hand a result over.
    pub fn add(&mut self, vae: &TrainedVae, chunk: &Chunk) -> Result<()> {
        let Chunk { x, mean, log_var, .. } = chunk;
        // Frames a batch at a time: their maps are larger than they are.
        let batch = if self.likeness.is_some() { FRAMES } else { x.size()[0] };
        for (x, mean) in x.split(batch, 0).iter().zip(mean.split(batch, 0)) {
            let decoded = tch::no_grad(|| vae.vae.decode(&mean));
            let linear = single(&self.pca.decode(self.pca.encode(host(x)?.view()).view()));
            for (errors, prediction) in self.errors.iter_mut().zip([&decoded, &linear]) {
                errors.add(x, prediction)?;
            }
            if let Some(grid) = self.grid.as_mut().filter(|grid| grid.size() == [0; 2]) {
                let n = x.size()[0];
                let at: Vec<i64> = (0..SHOWN.min(n)).map(|i| i * n / SHOWN.min(n)).collect();
                for frames in [x, &decoded, &linear] {
                    let values = to_vec(&frames.index_select(0, &Tensor::from_slice(&at)))?;
                    grid.add(&values.into_iter().map(byte).collect::<Vec<_>>());
                }
            }
            for (likeness, prediction) in self.likeness.iter_mut().flatten().zip([decoded, linear]) {
                likeness.add(x, &prediction);
            }
        }
        if let Preprocessing::Whiten { clip, .. } = vae.preprocessing {
            let clipped = x.abs().ge(f64::from(clip)).any_dim(1, false);
            self.clipped += clipped.sum(Kind::Double).double_value(&[]);
        }
        self.rows += x.size()[0] as u64;
        self.latents.add(host(mean)?.view());
        // The summands of `kl_divergence`, which adds over the latents.
        let kl = (log_var + 1.0 - mean.square() - log_var.exp()) * -0.5; // [R, Z]
        self.kl = &self.kl + kl.sum_dim_intlist(0, false, Kind::Double);
        Ok(())
    }

    /// What it comes to, for the parts `blocks`.
    ///
    /// # Errors
    /// libtorch cannot hand a result over.
    pub fn finish(&self, blocks: &[Block]) -> Result<VaeFigures> {
        let [vae, pca] = &self.errors;
        let error = |block: &Block| {
            let columns = block.columns();
            BlockError { block: block.clone(), vae: vae.share(columns.clone()), pca: pca.share(columns) }
        };
        Ok(VaeFigures {
            latent: self.latents.mean().len(),
            pca_components: self.pca.axes.ncols(),
            rows: self.rows,
            blocks: blocks.iter().map(error).collect(),
            nmse: vae.overall().unwrap_or(f64::NAN),
            pca_nmse: pca.overall().unwrap_or(f64::NAN),
            clipped_rows: self.clipped / self.rows as f64,
            active_latents: self.latents.variance().iter().filter(|v| v.sqrt() > 0.1).count(),
            kl_per_latent: doubles(&(&self.kl / self.rows as f64))?,
            grid: self.grid.clone(),
            pictures: self.likeness.as_ref().map(|both| both.each_ref().map(pictures::Measure::finish)),
        })
    }
}
