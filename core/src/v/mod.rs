//! V: what makes a latent vector `[Z]` of an observation.
//!
//! | kind | z is | layers |
//! |---|---|---|
//! | none | absent: C reads the whitened observation | none |
//! | identity | the first Z values of the whitened observation | none |
//! | MLP | the mean of a VAE's encoder, or a draw from its Gaussian | [`mlp`] |
//! | convolutional | the same, of a picture | [`conv`] |

pub mod conv;
pub mod decoder;
pub mod mlp;

use crate::error::LoadError;
use crate::layers::LayerList;
use crate::metadata::{dim, one_of, widths};
use crate::names::metadata as key;
use crate::obs::Observation;
use crate::reader::File;
use crate::sizes::Widths;

pub use conv::{Convolution, Convolutions};
pub use decoder::Decoder;

/// Most hidden layers of an MLP.
pub const MAX_HIDDEN: usize = 4;

/// V's kind and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoder {
    /// No V.
    None,
    /// The first `latent` values of the whitened observation.
    Identity {
        /// `Z`, at most `O`.
        latent: usize,
    },
    /// An MLP of one to four hidden layers with ReLU, and a Gaussian over the latent vector (Kingma & Welling 2014).
    Mlp {
        /// `E`.
        hidden: Widths<MAX_HIDDEN>,
        /// `Z`.
        latent: usize,
    },
    /// A chain of convolutions with ReLU over a picture, and a Gaussian over the latent vector.
    Conv {
        /// The chain.
        convolutions: Convolutions,
        /// `Z`.
        latent: usize,
    },
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    None,
    Identity,
    Mlp,
    Conv,
}

const KINDS: [(&str, Kind); 4] =
    [("none", Kind::None), ("identity", Kind::Identity), ("mlp", Kind::Mlp), ("conv", Kind::Conv)];

impl Encoder {
    /// `Z`; 0 without V.
    #[must_use]
    pub const fn latent(&self) -> usize {
        match *self {
            Self::None => 0,
            Self::Identity { latent } | Self::Mlp { latent, .. } | Self::Conv { latent, .. } => latent,
        }
    }

    /// Its kind's name in metadata.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Identity { .. } => "identity",
            Self::Mlp { .. } => "mlp",
            Self::Conv { .. } => "conv",
        }
    }

    /// Whether it has a Gaussian of its own, from which the latent that acts may be drawn.
    #[must_use]
    pub const fn has_gaussian(&self) -> bool {
        matches!(self, Self::Mlp { .. } | Self::Conv { .. })
    }

    /// The hidden layers' widths of an MLP.
    #[must_use]
    pub const fn hidden(&self) -> Widths<MAX_HIDDEN> {
        match *self {
            Self::None | Self::Identity { .. } | Self::Conv { .. } => Widths::NONE,
            Self::Mlp { hidden, .. } => hidden,
        }
    }

    /// Its layers on what is observed. (A convolutional V of vectors has none: [`crate::dims::Dims::check`] refuses it.)
    #[must_use]
    pub const fn layers(&self, obs: &Observation) -> LayerList {
        match (*self, obs) {
            (Self::None | Self::Identity { .. }, _) | (Self::Conv { .. }, Observation::Vector { .. }) => LayerList::NONE,
            (Self::Mlp { hidden, latent }, _) => mlp::layers(obs.len(), hidden, latent).all(),
            (Self::Conv { convolutions, latent }, Observation::Image(image)) => {
                conv::layers(image.prepared(), convolutions, latent).all()
            }
        }
    }

    pub(crate) fn read(file: &File<'_>) -> Result<Self, LoadError> {
        Ok(match one_of(file, key::V_KIND, "none, identity, mlp or conv", &KINDS)? {
            Kind::None => Self::None,
            Kind::Identity => Self::Identity { latent: dim(file, key::DIM_LATENT)? },
            Kind::Mlp => Self::Mlp {
                hidden: widths(file, key::V_HIDDEN, "one to four widths from 1 to 65536, separated by commas")?,
                latent: dim(file, key::DIM_LATENT)?,
            },
            Kind::Conv => Self::Conv { convolutions: Convolutions::read(file)?, latent: dim(file, key::DIM_LATENT)? },
        })
    }

    #[cfg(feature = "host")]
    pub(crate) fn write(&self, entries: &mut std::vec::Vec<(&'static str, std::string::String)>) {
        use std::string::ToString;
        entries.push((key::V_KIND, self.kind().to_string()));
        match self {
            Self::None => {}
            Self::Identity { latent } => entries.push((key::DIM_LATENT, latent.to_string())),
            Self::Mlp { hidden, latent } => {
                entries.push((key::V_HIDDEN, crate::metadata::comma_separated(hidden.as_slice())));
                entries.push((key::DIM_LATENT, latent.to_string()));
            }
            Self::Conv { convolutions, latent } => {
                entries.push((key::V_CONVOLUTIONS, convolutions.to_string()));
                entries.push((key::DIM_LATENT, latent.to_string()));
            }
        }
    }
}
