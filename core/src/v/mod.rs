//! V: what makes a latent vector `[Z]` of an observation.
//!
//! | kind | z is | layers |
//! |---|---|---|
//! | none | absent: C reads the whitened observation | none |
//! | identity | the first Z values of the whitened observation | none |
//! | MLP | the mean of a VAE's encoder, or a draw from its Gaussian | [`mlp`] |

pub mod mlp;

use crate::error::LoadError;
use crate::layers::LayerList;
use crate::metadata::{dim, one_of, widths};
use crate::names::metadata as key;
use crate::reader::File;
use crate::sizes::Widths;

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
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    None,
    Identity,
    Mlp,
}

const KINDS: [(&str, Kind); 3] = [("none", Kind::None), ("identity", Kind::Identity), ("mlp", Kind::Mlp)];

impl Encoder {
    /// `Z`; 0 without V.
    #[must_use]
    pub const fn latent(&self) -> usize {
        match *self {
            Self::None => 0,
            Self::Identity { latent } | Self::Mlp { latent, .. } => latent,
        }
    }

    /// Its kind's name in metadata.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Identity { .. } => "identity",
            Self::Mlp { .. } => "mlp",
        }
    }

    /// The hidden layers' widths.
    #[must_use]
    pub const fn hidden(&self) -> Widths<MAX_HIDDEN> {
        match *self {
            Self::None | Self::Identity { .. } => Widths::NONE,
            Self::Mlp { hidden, .. } => hidden,
        }
    }

    /// Its layers on observations of `inputs` values.
    #[must_use]
    pub const fn layers(&self, inputs: usize) -> LayerList {
        match *self {
            Self::None | Self::Identity { .. } => LayerList::NONE,
            Self::Mlp { hidden, latent } => mlp::layers(inputs, hidden, latent).all(),
        }
    }

    pub(crate) fn read(file: &File<'_>) -> Result<Self, LoadError> {
        Ok(match one_of(file, key::V_KIND, "none, identity or mlp", &KINDS)? {
            Kind::None => Self::None,
            Kind::Identity => Self::Identity { latent: dim(file, key::DIM_LATENT)? },
            Kind::Mlp => Self::Mlp {
                hidden: widths(file, key::V_HIDDEN, "one to four widths from 1 to 65536, separated by commas")?,
                latent: dim(file, key::DIM_LATENT)?,
            },
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
        }
    }
}
