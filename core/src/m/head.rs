//! The MDN head of M: one layer from h to a mixture of Gaussians over the next latent vector, the reward and the end.
//!
//! Outputs, in order: means `[K,Z]`, log-sigmas `[K,Z]`, mixture logits (`[K]` of a joint mixture, `[K,Z]` of one per dimension), reward,
//! terminal logit (Bishop 1994; Ha & Schmidhuber 2018, "MDN-RNN").

use super::Recurrent;
use crate::error::LoadError;
use crate::layers::{LayerSpec, Source};
use crate::layout::Rows;
use crate::metadata::{dim, one_of};
use crate::names::{checkpoint, metadata as key, packed};
use crate::reader::File;

/// Most outputs of the head: what an agent's memory is sized by, even where a file leaves the head out.
pub const MAX_MDN_OUTPUTS: u64 = 1 << 20;

/// What one mixture of Gaussians spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mixture {
    /// The whole latent vector: one component is drawn for all of it (TorchWM).
    Joint,
    /// One dimension of it: every dimension draws a component of its own (Ha & Schmidhuber 2018).
    PerDimension,
}

const MIXTURES: [(&str, Mixture); 2] =
    [(Mixture::Joint.name(), Mixture::Joint), (Mixture::PerDimension.name(), Mixture::PerDimension)];

impl Mixture {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Joint, Self::PerDimension];

    /// Its name in metadata and configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Joint => "joint",
            Self::PerDimension => "per-dimension",
        }
    }
}

/// Mixture logits: `[K]` of a joint mixture, `[K,Z]` of one per dimension.
const fn logits(recurrent: &Recurrent, latent: u64) -> u64 {
    match recurrent.mixture {
        Mixture::Joint => recurrent.mixtures as u64,
        Mixture::PerDimension => recurrent.mixtures as u64 * latent,
    }
}

/// Outputs, in 64 bits: the product of two dims may not fit a small machine's usize.
const fn outputs_64(recurrent: &Recurrent, latent: usize) -> u64 {
    let z = latent as u64;
    2 * z * recurrent.mixtures as u64 + logits(recurrent, z) + 2
}

/// Outputs of the head over `latent` dimensions.
#[must_use]
pub const fn outputs(recurrent: &Recurrent, latent: usize) -> usize {
    outputs_64(recurrent, latent) as usize
}

/// Whether they are at most [`MAX_MDN_OUTPUTS`].
#[must_use]
pub const fn outputs_fit(recurrent: &Recurrent, latent: usize) -> bool {
    outputs_64(recurrent, latent) <= MAX_MDN_OUTPUTS
}

/// The head's layer; optional: an agent that only acts can do without it.
#[must_use]
pub const fn layer(recurrent: &Recurrent, latent: usize) -> LayerSpec {
    let source = Source::Whole { weight: checkpoint::GMM_WEIGHT, bias: checkpoint::GMM_BIAS };
    LayerSpec::new(packed::GMM, Rows::Dense(outputs(recurrent, latent)), recurrent.hidden, source).optional()
}

pub(super) fn read(file: &File<'_>, hidden: usize) -> Result<Recurrent, LoadError> {
    one_of(file, key::RNN_INPUT, "action,z", &[("action,z", ())])?;
    one_of(file, key::GMM_SIGMA, "exp", &[("exp", ())])?;
    Ok(Recurrent {
        hidden,
        mixtures: dim(file, key::DIM_MIXTURES)?,
        mixture: one_of(file, key::GMM_MIXTURE, "joint or per-dimension", &MIXTURES)?,
    })
}

#[cfg(feature = "host")]
pub(super) fn write(recurrent: &Recurrent, entries: &mut std::vec::Vec<(&'static str, std::string::String)>) {
    use std::string::ToString;
    entries.push((key::RNN_INPUT, "action,z".to_string()));
    entries.push((key::GMM_SIGMA, "exp".to_string()));
    entries.push((key::DIM_MIXTURES, recurrent.mixtures.to_string()));
    entries.push((key::GMM_MIXTURE, recurrent.mixture.name().to_string()));
}
