//! V's figures: its reconstruction of held-out observations from the mean latent, block by block, beside principal components of the
//! same size, which are the best that a linear code can do on the episodes they were fitted to.
//!
//! Everything is measured on whitened, clipped observations; dimensions that never varied count nowhere.

use super::errors::{Block, SquaredErrors, doubles, host, single};
use super::recorded::Chunk;
use crate::stats::{Moments, Pca, Spread};
use crate::world::trained::TrainedVae;
use anyhow::Result;
use serde::Serialize;
use tch::{Kind, Tensor};

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
    clipped: f64,
    rows: u64,
    latents: Spread,
    kl: Tensor, // [Z]
}

impl Measure {
    /// Against the principal components of the whitened training observations with these moments.
    ///
    /// # Errors
    /// The components cannot be found.
    pub fn new(observations: &Moments, latent: usize) -> Result<Self> {
        let pca = Pca::fit(observations, latent.min(observations.mean().len()))?;
        let centre = observations.mean().to_vec();
        let errors = [SquaredErrors::new(&centre), SquaredErrors::new(&centre)];
        let kl = Tensor::zeros([latent as i64], (Kind::Double, tch::Device::Cpu));
        Ok(Self { pca, errors, clipped: 0.0, rows: 0, latents: Spread::new(latent), kl })
    }

    /// Adds held-out episodes.
    ///
    /// # Errors
    /// libtorch cannot hand a result over.
    pub fn add(&mut self, vae: &TrainedVae, chunk: &Chunk) -> Result<()> {
        let Chunk { x, mean, log_var, .. } = chunk;
        self.errors[0].add(x, &tch::no_grad(|| vae.vae.decode(mean)))?;
        self.errors[1].add(x, &single(&self.pca.decode(self.pca.encode(host(x)?.view()).view())))?;
        let clipped = x.abs().ge(f64::from(vae.obs_clip)).any_dim(1, false);
        self.clipped += clipped.sum(Kind::Double).double_value(&[]);
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
        })
    }
}
