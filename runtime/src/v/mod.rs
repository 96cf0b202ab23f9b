//! V at run time: from a whitened observation to a latent vector.

mod mlp;

use crate::buffers::{Buffers, Need, copy};
use crate::kernels::{Isa, dispatch};
use dreamstep_core::dims::Dims;
use dreamstep_core::error::LoadError;
use dreamstep_core::reader::File;
use dreamstep_core::rng::Philox;
use dreamstep_core::schema::Settings;
use dreamstep_core::v::Encoder;

/// V, its weights in the file.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant)] // without an allocator there is nowhere else to put it
pub(crate) enum V<'f> {
    None,
    /// z is the beginning of x.
    Identity,
    Mlp(mlp::Mlp<'f>),
}

/// What V's layers work in.
pub(crate) const fn need(dims: &Dims) -> Need {
    Need::of(&dims.v.layers(dims.obs_len()))
}

/// What names the draws of a latent that is sampled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    pub(crate) rng: Philox,
    pub(crate) tick: u64,
}

impl<'f> V<'f> {
    pub(crate) fn read(file: &File<'f>, settings: &Settings) -> Result<Self, LoadError> {
        let Dims { v, obs, .. } = settings.dims;
        match v {
            Encoder::None => Ok(Self::None),
            Encoder::Identity { .. } => Ok(Self::Identity),
            Encoder::Mlp { hidden, latent } => mlp::Mlp::read(file, settings, obs.len(), hidden, latent).map(Self::Mlp),
            _ => Err(LoadError::BadParts { what: "v.kind", expected: "none, identity or mlp" }),
        }
    }

    /// x `[O]` → z `[Z]`, padded.
    #[inline(always)]
    pub(crate) fn encode(
        &self,
        isa: Isa,
        settings: &Settings,
        draw: Draw,
        x: &[f32],
        buffers: &mut Buffers<'_>,
        z: &mut [f32],
    ) {
        match self {
            Self::None => return,
            Self::Identity => copy(x, z.get_mut(..settings.dims.latent_len()).unwrap_or_default()),
            Self::Mlp(mlp) => mlp.encode(isa, settings, draw, x, buffers, z),
        }
        dispatch!(isa, no_nan(z));
    }
}
