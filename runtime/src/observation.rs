//! The observation at run time: from what the environment says to the x that V, or C, reads.

use crate::kernels::{Isa, dispatch};
use crate::layer::vector;
use dreamstep_core::error::LoadError;
use dreamstep_core::obs::Observation;
use dreamstep_core::reader::File;
use dreamstep_core::schema::{Normalizer, Settings, vectors};

/// What whitens an observation, where something does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whitener<'f> {
    statistics: Option<[&'f [f32]; 2]>, // [O] mean, [O] 1/std, padded
}

impl<'f> Whitener<'f> {
    pub(crate) fn read(file: &File<'f>, settings: &Settings) -> Result<Self, LoadError> {
        if !matches!(settings.dims.obs, Observation::Vector { .. }) {
            let expected = "vector (this version steps no images)";
            return Err(LoadError::BadParts { what: "observation.kind", expected });
        }
        let mut specs = vectors(settings);
        let statistics = match (settings.normalizer, specs.next(), specs.next()) {
            (Normalizer::MeanStd, Some(mean), Some(inv_std)) => Some([vector(file, &mean)?, vector(file, &inv_std)?]),
            _ => None,
        };
        Ok(Self { statistics })
    }

    /// `clamp((obs − mean)·inv_std, ±clip)`, in place, `[O]`.
    #[inline(always)]
    pub(crate) fn whiten(&self, isa: Isa, clip: f32, obs: &mut [f32]) {
        if let Some([mean, inv_std]) = self.statistics {
            dispatch!(isa, whiten(mean, inv_std, clip, obs));
        }
    }

    /// How many of the whitened observation's values stand at ±clip.
    pub(crate) fn clipped(&self, clip: f32, x: &[f32]) -> u32 {
        if self.statistics.is_none() {
            return 0;
        }
        // In 32 bits, as wide as the values, so that compilers turn it into vectors.
        x.iter().fold(0, |count, value| count + u32::from(value.abs() >= clip))
    }
}
