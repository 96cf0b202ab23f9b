//! The observation at run time: from what the environment says to the x that V, or C, reads; of a picture, to what is prepared of it.

use crate::kernels::{Isa, dispatch};
use crate::layer::{integers, vector};
use dreamstep_core::error::LoadError;
use dreamstep_core::obs::image::TABLES;
use dreamstep_core::obs::resample;
use dreamstep_core::reader::File;
use dreamstep_core::schema::{Normalizer, Settings, Spec, vectors};

/// How a picture's columns and rows are resized ([`dreamstep_core::obs::resample`]); empty where they are not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables<'f>(pub(crate) [&'f [i32]; 2]);

impl<'f> Tables<'f> {
    pub(crate) fn read(file: &File<'f>, settings: &Settings) -> Result<Self, LoadError> {
        let Some(image) = settings.dims.obs.image() else { return Ok(Self([&[]; 2])) };
        let mut tables: [&[i32]; 2] = [&[]; 2];
        let [_, _, height, width] = image.crop;
        let axes = TABLES.into_iter().zip(image.tables()).zip([width, height]);
        for (slot, ((name, shape), from)) in tables.iter_mut().zip(axes) {
            let Some([outputs, entries]) = shape else { continue };
            *slot = integers(file, &Spec { name, dtype: "I32", shape: [outputs, entries, 0, 0] })?;
            resample::check(slot, entries, from).map_err(|index| LoadError::BadTable { name, index })?;
        }
        Ok(Self(tables))
    }
}

/// What whitens an observation, where something does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whitener<'f> {
    statistics: Option<[&'f [f32]; 2]>, // [O] mean, [O] 1/std, padded
}

impl<'f> Whitener<'f> {
    pub(crate) fn read(file: &File<'f>, settings: &Settings) -> Result<Self, LoadError> {
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
