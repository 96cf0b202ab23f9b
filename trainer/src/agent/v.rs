//! V on the host, read from its checkpoint: its sizes, what it sees of an observation, its encoder and its decoder. No libtorch.
//!
//! ```text
//! vector [O] ─whiten──┐                                                     ┌─ undo whitening ─▶ vector [O]
//!                     ├─ x ─ encoder ─▶ mean, log-variance [Z] each    latent [Z] ─ decoder ─ x̂ ─┤
//! frame [O] ─ / 255 ──┘                                                     └─ · 255 ──────────▶ frame [O]
//! ```

use super::convolution::{Chain, Halves, Map};
use super::mlp::Mlp;
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::config::{ConvolutionConfig, VaeConfig, VaeStart};
use crate::stats::Normalizer;
use anyhow::{Context, Result, bail, ensure};
use dreamstep_core::c::Activation;
use dreamstep_core::dims::Widths;
use dreamstep_core::names::{checkpoint as names, metadata};
use dreamstep_core::v::Encoder;
use std::path::Path;

/// What a byte of a frame is multiplied by: x is between 0 and 1.
pub const BYTE_SCALE: f32 = 1.0 / 255.0;

/// Sizes and ranges of a VAE.
#[derive(Clone, Debug, PartialEq)]
pub struct VaeShape {
    /// `O`
    pub obs: usize,
    /// What encoder and decoder are made of.
    pub layers: VaeLayers,
    /// `Z`
    pub latent: usize,
    /// The log-variance is clamped into this range.
    pub log_var_range: [f64; 2],
}

/// What encoder and decoder are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaeLayers {
    /// z is the first Z values of x, without an encoder; the decoder has hidden layers of these widths, backwards.
    Identity(Vec<usize>),
    /// Dense layers: the encoder's hidden ones have widths `E`; the decoder mirrors them.
    Mlp(Vec<usize>),
    /// Convolutions over frames.
    Convolutional(Chain),
}

impl VaeShape {
    /// The sizes that `config` asks for, of a V of observations of `obs` numbers, which are a `frame` where there is one.
    ///
    /// # Errors
    /// One line: the key that does not go with such observations.
    pub fn asked(config: &VaeConfig, obs: usize, frame: Option<Map>) -> Result<Self> {
        let layers = match (frame, config.start) {
            (None, VaeStart::Random) => VaeLayers::Mlp(config.hidden.clone()),
            (None, VaeStart::Identity) => VaeLayers::Identity(config.hidden.clone()),
            (Some(_), VaeStart::Identity) => {
                bail!("vae.start = \"identity\": expected observations that are vectors, found frames")
            }
            (Some(frame), VaeStart::Random) => {
                let ConvolutionConfig { encoder, decoder } = &config.convolution;
                VaeLayers::Convolutional(Chain::new(frame, encoder, decoder).context("vae.convolution")?)
            }
        };
        ensure!(frame.is_some() || !config.flip, "vae.flip = true: expected observations that are frames, found vectors");
        let contrast = config.contrast_weight;
        ensure!(
            frame.is_some() || contrast <= 0.0,
            "vae.contrast_weight = {contrast}: expected observations that are frames, found vectors"
        );
        Ok(Self { obs, layers, latent: config.latent, log_var_range: config.log_var_range })
    }

    /// The sizes of the V in `file`: of its tensors, and of its metadata where these do not say.
    ///
    /// # Errors
    /// One line naming the file, and the tensor or the metadata that is missing or wrong.
    pub fn of(file: &Checkpoint) -> Result<Self> {
        let rows = |name: &str| {
            let array = file.tensors.get(name).with_context(|| format!("{}: tensor {name}: not found", file.origin))?;
            Ok::<_, anyhow::Error>(array.shape.first().copied().unwrap_or(0))
        };
        // The layers between the first's inputs and the last's outputs.
        let hidden = |biases: &[&str; 5]| -> Result<(Vec<usize>, usize)> {
            let there = biases.iter().take_while(|name| file.tensors.contains_key(**name)).count();
            let last = there.max(2) - 1;
            Ok((biases[..last].iter().map(|name| rows(name)).collect::<Result<_>>()?, rows(biases[last])?))
        };
        let log_var_range = || Ok::<_, anyhow::Error>([file.meta(meta::LOG_VAR_MIN)?, file.meta(meta::LOG_VAR_MAX)?]);
        let (obs, layers, latent) = match file.metadata.get(metadata::V_KIND).map(String::as_str) {
            Some("identity") => {
                // The decoder is all there is.
                let obs = rows(names::NORMALIZER_MEAN)?;
                let (mut hidden, _) = hidden(&names::DECODER_BIAS)?;
                hidden.reverse();
                (obs, VaeLayers::Identity(hidden), file.meta(metadata::DIM_LATENT)?)
            }
            // One that does not say is older than the question.
            None | Some("mlp") => {
                let obs = rows(names::NORMALIZER_MEAN)?;
                let (hidden, outputs) = hidden(&names::ENCODER_BIAS)?;
                (obs, VaeLayers::Mlp(hidden), outputs / 2)
            }
            Some("conv") => {
                let chain = said_chain(file)?;
                (chain.frame.iter().product(), VaeLayers::Convolutional(chain), rows("encoder.fc_mu.bias")?)
            }
            Some(found) => {
                bail!("{}: {}: expected identity, mlp or conv, found {found}", file.origin, metadata::V_KIND)
            }
        };
        Ok(Self { obs, layers, latent, log_var_range: log_var_range()? })
    }

    /// V as the runtime has it.
    ///
    /// # Errors
    /// One line: no hidden layer, more than four, or one without units.
    pub fn encoder(&self) -> Result<Encoder> {
        let latent = self.latent;
        match &self.layers {
            VaeLayers::Identity(_) => Ok(Encoder::Identity { latent }),
            VaeLayers::Mlp(hidden) => match Widths::new(hidden).filter(|widths| !widths.is_empty()) {
                Some(hidden) => Ok(Encoder::Mlp { hidden, latent }),
                None => bail!("expected one to four hidden layers of V, none of them empty, found {hidden:?}"),
            },
            VaeLayers::Convolutional(chain) => Ok(Encoder::Conv { convolutions: chain.encoder, latent }),
        }
    }

    /// Its kind and its layers in `file`'s metadata.
    pub fn say(&self, file: &mut Checkpoint) {
        file.set_meta(metadata::DIM_OBS, self.obs);
        file.set_meta(metadata::DIM_LATENT, self.latent);
        file.set_meta(meta::LOG_VAR_MIN, self.log_var_range[0]);
        file.set_meta(meta::LOG_VAR_MAX, self.log_var_range[1]);
        let widths = |hidden: &[usize]| hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let kind = match &self.layers {
            VaeLayers::Identity(hidden) => ("identity", metadata::V_HIDDEN, widths(hidden)),
            VaeLayers::Mlp(hidden) => ("mlp", metadata::V_HIDDEN, widths(hidden)),
            VaeLayers::Convolutional(chain) => {
                file.set_meta(metadata::OBS_KIND, "image");
                for (key, size) in metadata::OBS_IMAGE.into_iter().zip(chain.frame) {
                    file.set_meta(key, size);
                }
                file.set_meta(metadata::OBS_SCALE, BYTE_SCALE);
                if let Some(decoder) = chain.decoder {
                    file.set_meta(meta::V_DECODER, decoder);
                }
                ("conv", metadata::V_CONVOLUTIONS, chain.encoder.to_string())
            }
        };
        file.set_meta(metadata::V_KIND, kind.0);
        file.set_meta(kind.1, kind.2);
    }
}

/// What `file`'s metadata says of a convolutional V.
fn said_chain(file: &Checkpoint) -> Result<Chain> {
    let [h, w, c] = metadata::OBS_IMAGE.map(|key| file.meta::<usize>(key));
    let encoder: String = file.meta(metadata::V_CONVOLUTIONS)?;
    let decoder = file.metadata.get(meta::V_DECODER).map(String::as_str);
    Chain::parse([h?, w?, c?], &encoder, decoder).with_context(|| file.origin.clone())
}

/// What makes x, V's inputs, of an observation.
#[derive(Clone, Debug, PartialEq)]
pub enum Preprocessing {
    /// Vectors are whitened, then clipped to ± `clip`.
    Whiten {
        /// Mean and scale.
        normalizer: Normalizer,
        /// Limit.
        clip: f32,
    },
    /// Bytes of frames are scaled into 0 to 1.
    Scale,
}

impl Preprocessing {
    /// As `file` says, the checkpoint of a V of `shape`.
    ///
    /// # Errors
    /// One line naming the file, and the tensor or the metadata that is missing or wrong.
    pub fn read(file: &Checkpoint, shape: &VaeShape) -> Result<Self> {
        if let VaeLayers::Convolutional(_) = shape.layers {
            return Ok(Self::Scale);
        }
        let mean = file.tensor(names::NORMALIZER_MEAN, &[shape.obs])?.to_vec();
        let inv_std = file.tensor(names::NORMALIZER_INV_STD, &[shape.obs])?.to_vec();
        let normalizer = Normalizer { mean: mean.into(), inv_std: inv_std.into() };
        Ok(Self::Whiten { normalizer, clip: file.meta(metadata::OBS_CLIP)? })
    }

    /// Puts what it needs into `file`.
    pub fn write(&self, file: &mut Checkpoint) {
        if let Self::Whiten { normalizer, clip } = self {
            let shape = [normalizer.mean.len()];
            file.insert(names::NORMALIZER_MEAN, &shape, normalizer.mean.to_vec());
            file.insert(names::NORMALIZER_INV_STD, &shape, normalizer.inv_std.to_vec());
            file.set_meta(metadata::OBS_CLIP, clip);
        }
    }

    /// x `[O]` of `observation` `[O]`; a frame's numbers are 0 to 255.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn apply(&self, observation: &[f32], x: &mut [f32]) {
        match self {
            Self::Whiten { normalizer, clip } => normalizer.apply(observation, *clip, x),
            Self::Scale => {
                assert!(observation.len() == x.len(), "frame: lengths differ");
                x.iter_mut().zip(observation).for_each(|(x, byte)| *x = byte * BYTE_SCALE);
            }
        }
    }

    /// The observation `[O]` that x `[O]` stands for. A dimension that never varied has its one value.
    #[must_use]
    pub fn undo(&self, x: Vec<f64>) -> Vec<f64> {
        match self {
            Self::Whiten { normalizer, .. } => {
                let undo = |((x, &mean), &inv_std): ((f64, &f32), &f32)| {
                    f64::from(mean) + if inv_std == 0.0 { 0.0 } else { x / f64::from(inv_std) }
                };
                x.into_iter().zip(&normalizer.mean).zip(&normalizer.inv_std).map(undo).collect()
            }
            Self::Scale => x.into_iter().map(|x| x * 255.0).collect(),
        }
    }

    /// Which of `obs` numbers carry information.
    #[must_use]
    pub fn alive(&self, obs: usize) -> Vec<bool> {
        match self {
            Self::Whiten { normalizer, .. } => normalizer.alive(),
            Self::Scale => vec![true; obs],
        }
    }
}

/// V's encoder and decoder.
#[derive(Debug)]
pub struct Codec {
    /// Sizes.
    pub shape: VaeShape,
    preprocessing: Preprocessing,
    halves: CodecHalves,
}

#[derive(Debug)]
enum CodecHalves {
    /// The encoder, which an identity has not, and the decoder.
    Dense(Option<Mlp>, Mlp),
    Convolutional(Halves),
}

impl Codec {
    /// Reads V's checkpoint.
    ///
    /// # Errors
    /// One line naming the file, and the tensor or the metadata that is missing or wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let file = Checkpoint::read(path)?;
        let shape = VaeShape::of(&file)?;
        let preprocessing = Preprocessing::read(&file, &shape)?;
        let mlp = |weights: &[&str], biases: &[&str], widths: &[usize]| -> Result<Mlp> {
            let layers = widths.windows(2).zip(weights.iter().zip(biases)).map(|(ends, (weight, bias))| {
                Ok((file.tensor(weight, &[ends[1], ends[0]])?, file.tensor(bias, &[ends[1]])?))
            });
            Ok(Mlp::new(layers.collect::<Result<Vec<_>>>()?, Activation::Relu))
        };
        let encoder = |hidden: &[usize]| {
            mlp(&names::ENCODER_WEIGHT, &names::ENCODER_BIAS, &[&[shape.obs], hidden, &[2 * shape.latent]].concat())
        };
        let decoder = |hidden: &[usize]| {
            let widths: Vec<usize> =
                [shape.latent].into_iter().chain(hidden.iter().rev().copied()).chain([shape.obs]).collect();
            mlp(&names::DECODER_WEIGHT, &names::DECODER_BIAS, &widths)
        };
        let halves = match &shape.layers {
            VaeLayers::Identity(hidden) => CodecHalves::Dense(None, decoder(hidden)?),
            VaeLayers::Mlp(hidden) => CodecHalves::Dense(Some(encoder(hidden)?), decoder(hidden)?),
            VaeLayers::Convolutional(chain) => CodecHalves::Convolutional(Halves::read(&file, chain, shape.latent)?),
        };
        Ok(Self { shape, preprocessing, halves })
    }

    /// Observations `[O]` → mean and log-variance `[Z]` of each.
    ///
    /// # Errors
    /// An observation has another length, or is no picture where V sees pictures.
    pub fn encode(&self, observations: impl IntoIterator<Item = impl AsRef<[f32]>>) -> Result<Vec<[Vec<f32>; 2]>> {
        let VaeShape { obs, latent, log_var_range: [low, high], .. } = self.shape;
        let clamped = |log_var: &[f32]| log_var.iter().map(|v| v.clamp(low as f32, high as f32)).collect();
        let encoder = match &self.halves {
            CodecHalves::Dense(encoder, _) => encoder,
            CodecHalves::Convolutional(halves) => {
                let all = halves.encode(observations)?.into_iter();
                return Ok(all.map(|[mean, log_var]| [mean, clamped(&log_var)]).collect());
            }
        };
        let one = |observation: &[f32]| {
            ensure!(observation.len() == obs, "V: expected an observation of {obs}, found {}", observation.len());
            let mut x = vec![0.0; obs];
            self.preprocessing.apply(observation, &mut x);
            let Some(encoder) = encoder else { return Ok([x[..latent].to_vec(), vec![low as f32; latent]]) };
            let out: Vec<f32> = encoder.forward(x.iter().map(|&x| f64::from(x)))?.into_iter().map(|v| v as f32).collect(); // [2Z]
            let (mean, log_var) = out.split_at(latent);
            Ok([mean.to_vec(), clamped(log_var)])
        };
        observations.into_iter().map(|observation| one(observation.as_ref())).collect()
    }

    /// Latents `[Z]` → the observation `[O]` that each stands for, of pictures in whole numbers. A dimension that never varied has its one
    /// value.
    ///
    /// # Errors
    /// A latent has another length, or V has no decoder.
    pub fn decode(&self, latents: &[Vec<f32>]) -> Result<Vec<Vec<f64>>> {
        match &self.halves {
            CodecHalves::Dense(_, decoder) => {
                let one = |latent: &Vec<f32>| decoder.forward(latent.iter().map(|&z| f64::from(z)));
                latents.iter().map(|latent| Ok(self.preprocessing.undo(one(latent)?))).collect()
            }
            CodecHalves::Convolutional(halves) => {
                let pictures = halves.decode(latents)?.into_iter();
                Ok(pictures.map(|picture| picture.into_iter().map(f64::from).collect()).collect())
            }
        }
    }
}
