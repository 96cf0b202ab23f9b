//! V at run time: from a whitened observation to a latent vector.

mod conv;
pub(crate) mod decoder;
mod mlp;

use crate::buffers::{Buffers, Need, affine, copy, greater, outputs};
use crate::kernels::{Isa, dispatch};
use crate::layer::Layer;
use crate::matvec::Rows;
use dreamstep_core::dims::Dims;
use dreamstep_core::error::LoadError;
use dreamstep_core::obs::Observation;
use dreamstep_core::reader::File;
use dreamstep_core::rng::{Philox, Stream};
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
    Conv(conv::Conv<'f>),
}

/// What V's layers work in.
pub(crate) const fn need(dims: &Dims) -> Need {
    match (dims.v, &dims.obs) {
        (Encoder::Conv { convolutions, latent }, Observation::Image(image)) => {
            let need = conv::need(image.prepared(), convolutions);
            // The log-variance and the noise of a latent that is drawn; and what a frame is prepared in.
            let least = greater(outputs(latent), image.scratch_len().div_ceil(size_of::<f32>()));
            need.and(Need { ping: least, pong: least, inputs: 0 })
        }
        _ => Need::of(&dims.v.layers(&dims.obs)),
    }
}

/// What names the draws of a latent that is sampled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    pub(crate) rng: Philox,
    pub(crate) tick: u64,
}

impl Draw {
    /// z, the mean, becomes a draw: the log-variance is made in `to`, and the layer's input `from`, which is read by then, takes the noise.
    #[inline(always)]
    fn sample(self, isa: Isa, range: [f32; 2], log_var: &Layer<'_>, [from, to, scratch]: [&mut [f32]; 3], z: &mut [f32]) {
        affine(isa, log_var, Rows::one(from), scratch, to); // [Z]
        let noise = from.get_mut(..z.len()).unwrap_or_default();
        self.rng.fill_normal(Stream::ActingLatent, self.tick, noise);
        dispatch!(isa, draw(range, to, noise, z));
    }
}

impl<'f> V<'f> {
    pub(crate) fn read(file: &File<'f>, settings: &Settings) -> Result<Self, LoadError> {
        let Dims { v, obs, .. } = settings.dims;
        match v {
            Encoder::None => Ok(Self::None),
            Encoder::Identity { .. } => Ok(Self::Identity),
            Encoder::Mlp { hidden, latent } => mlp::Mlp::read(file, settings, obs.len(), hidden, latent).map(Self::Mlp),
            Encoder::Conv { convolutions, latent } => {
                let image = obs
                    .image()
                    .ok_or(LoadError::BadParts { what: "observation.kind", expected: "image where v.kind is conv" })?;
                conv::Conv::read(file, settings, image.prepared(), convolutions, latent).map(Self::Conv)
            }
            _ => Err(LoadError::BadParts { what: "v.kind", expected: "none, identity, mlp or conv" }),
        }
    }

    /// x `[O]`, or a prepared picture, → z `[Z]`, padded.
    #[inline(always)]
    pub(crate) fn encode(
        &self,
        isa: Isa,
        settings: &Settings,
        draw: Draw,
        (x, picture): (&[f32], &[u8]),
        buffers: &mut Buffers<'_>,
        z: &mut [f32],
    ) {
        match self {
            Self::None => return,
            Self::Identity => copy(x, z.get_mut(..settings.dims.latent_len()).unwrap_or_default()),
            Self::Mlp(mlp) => mlp.encode(isa, settings, draw, x, buffers, z),
            Self::Conv(conv) => conv.encode(isa, settings, draw, picture, buffers, z),
        }
        dispatch!(isa, no_nan(z));
    }
}
