//! V on the host, read from its checkpoint: its sizes, its encoder and its decoder. No libtorch.
//!
//! ```text
//! observation [O] ─whiten─ encoder ─▶ mean, log-variance [Z] each        latent [Z] ─ decoder ─ undo whitening ─▶ observation [O]
//! ```

use super::mlp::Mlp;
use crate::run::checkpoint::{Checkpoint, meta};
use crate::stats::Normalizer;
use anyhow::{Context, Result, bail};
use dreamstep_core::c::Activation;
use dreamstep_core::dims::Widths;
use dreamstep_core::names::{checkpoint as names, metadata};
use dreamstep_core::v::Encoder;
use std::path::Path;

/// Sizes and ranges of a VAE.
#[derive(Clone, Debug, PartialEq)]
pub struct VaeShape {
    /// `O`
    pub obs: usize,
    /// `E`; the decoder mirrors them.
    pub hidden: Vec<usize>,
    /// `Z`
    pub latent: usize,
    /// The log-variance is clamped into this range.
    pub log_var_range: [f64; 2],
    /// Whether z is the first Z values of x, without an encoder.
    pub identity: bool,
}

impl VaeShape {
    /// The sizes of the V in `file`: of its tensors, and of its metadata where there is no encoder.
    ///
    /// # Errors
    /// One line naming the file, and the tensor or the metadata that is missing or wrong.
    pub fn of(file: &Checkpoint) -> Result<Self> {
        let rows = |name: &str| {
            let array = file.tensors.get(name).with_context(|| format!("{}: tensor {name}: not found", file.origin))?;
            Ok::<_, anyhow::Error>(array.shape.first().copied().unwrap_or(0))
        };
        let obs = rows(names::NORMALIZER_MEAN)?;
        let identity = match file.metadata.get(metadata::V_KIND).map(String::as_str) {
            Some("identity") => true,
            // One that does not say is older than the question.
            None | Some("mlp") => false,
            Some(found) => bail!("{}: {}: expected identity or mlp, found {found}", file.origin, metadata::V_KIND),
        };
        // The layers between the first's inputs and the last's outputs, of the decoder where it is the only one.
        let biases = if identity { names::DECODER_BIAS } else { names::ENCODER_BIAS };
        let there = biases.iter().take_while(|name| file.tensors.contains_key(**name)).count();
        let mut hidden = biases[..there.max(2) - 1].iter().map(|name| rows(name)).collect::<Result<Vec<_>>>()?;
        let latent = match identity {
            true => {
                hidden.reverse();
                file.meta(metadata::DIM_LATENT)?
            }
            false => rows(biases[there.max(2) - 1])? / 2,
        };
        let log_var_range = [file.meta(meta::LOG_VAR_MIN)?, file.meta(meta::LOG_VAR_MAX)?];
        Ok(Self { obs, hidden, latent, log_var_range, identity })
    }

    /// V as the runtime has it.
    ///
    /// # Errors
    /// One line: no hidden layer, more than four, or one without units.
    pub fn encoder(&self) -> Result<Encoder> {
        let (latent, widths) = (self.latent, Widths::new(&self.hidden).filter(|widths| !widths.is_empty()));
        match (self.identity, widths) {
            (true, _) => Ok(Encoder::Identity { latent }),
            (false, Some(hidden)) => Ok(Encoder::Mlp { hidden, latent }),
            (false, None) => bail!("expected one to four hidden layers of V, none of them empty, found {:?}", self.hidden),
        }
    }

    /// Widths of the hidden layers, separated by commas.
    #[must_use]
    pub fn widths(&self) -> String {
        self.hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

/// V's encoder and decoder.
#[derive(Clone, Debug)]
pub struct Codec {
    /// Sizes.
    pub shape: VaeShape,
    normalizer: Normalizer,
    /// Whitened observations are clipped to ± this.
    obs_clip: f32,
    /// None as the identity.
    encoder: Option<Mlp>,
    decoder: Mlp,
}

impl Codec {
    /// Reads V's checkpoint.
    ///
    /// # Errors
    /// One line naming the file, and the tensor or the metadata that is missing or wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let file = Checkpoint::read(path)?;
        let shape = VaeShape::of(&file)?;
        let mean = file.tensor(names::NORMALIZER_MEAN, &[shape.obs])?.to_vec();
        let inv_std = file.tensor(names::NORMALIZER_INV_STD, &[shape.obs])?.to_vec();
        let mlp = |weights: &[&str], biases: &[&str], widths: &[usize]| -> Result<Mlp> {
            let layers = widths.windows(2).zip(weights.iter().zip(biases)).map(|(ends, (weight, bias))| {
                Ok((file.tensor(weight, &[ends[1], ends[0]])?, file.tensor(bias, &[ends[1]])?))
            });
            Ok(Mlp::new(layers.collect::<Result<Vec<_>>>()?, Activation::Relu))
        };
        let encoder = [&[shape.obs], &shape.hidden[..], &[2 * shape.latent]].concat();
        let decoder: Vec<usize> = [shape.latent].into_iter().chain(encoder.iter().rev().skip(1).copied()).collect();
        Ok(Self {
            normalizer: Normalizer { mean: mean.into(), inv_std: inv_std.into() },
            obs_clip: file.meta(metadata::OBS_CLIP)?,
            encoder: match shape.identity {
                true => None,
                false => Some(mlp(&names::ENCODER_WEIGHT, &names::ENCODER_BIAS, &encoder)?),
            },
            decoder: mlp(&names::DECODER_WEIGHT, &names::DECODER_BIAS, &decoder)?,
            shape,
        })
    }

    /// An observation `[O]` → mean and log-variance `[Z]`.
    ///
    /// # Errors
    /// The observation has another length.
    pub fn encode(&self, observation: &[f32]) -> Result<[Vec<f32>; 2]> {
        let VaeShape { obs, latent, log_var_range: [low, high], .. } = self.shape;
        anyhow::ensure!(observation.len() == obs, "V: expected an observation of {obs}, found {}", observation.len());
        let mut x = vec![0.0; obs];
        self.normalizer.apply(observation, self.obs_clip, &mut x);
        let Some(encoder) = &self.encoder else { return Ok([x[..latent].to_vec(), vec![low as f32; latent]]) };
        let out = encoder.forward(x.iter().map(|&x| f64::from(x)))?; // [2Z]
        let (mean, log_var) = out.split_at(latent);
        let log_var = log_var.iter().map(|v| v.clamp(low, high) as f32).collect();
        Ok([mean.iter().map(|&z| z as f32).collect(), log_var])
    }

    /// A latent `[Z]` → the observation `[O]` that it stands for. A dimension that never varied has its one value.
    ///
    /// # Errors
    /// The latent has another length.
    pub fn decode(&self, latent: &[f32]) -> Result<Vec<f64>> {
        let x = self.decoder.forward(latent.iter().map(|&z| f64::from(z)))?;
        let undo = |((x, &mean), &inv_std): ((f64, &f32), &f32)| {
            f64::from(mean) + if inv_std == 0.0 { 0.0 } else { x / f64::from(inv_std) }
        };
        Ok(x.into_iter().zip(&self.normalizer.mean).zip(&self.normalizer.inv_std).map(undo).collect())
    }
}
