//! V as an MLP (see [`dreamstep_core::v::mlp`]): hidden layers with ReLU, then the latent Gaussian's mean, or a draw from it.

use super::Draw;
use crate::buffers::{Buffers, affine};
use crate::kernels::{Isa, dispatch};
use crate::layer::Layer;
use crate::matvec::Rows;
use dreamstep_core::dims::Widths;
use dreamstep_core::error::LoadError;
use dreamstep_core::reader::File;
use dreamstep_core::schema::{Acting, Settings};
use dreamstep_core::v::{MAX_HIDDEN, mlp};

/// Its layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mlp<'f> {
    hidden: [Option<Layer<'f>>; MAX_HIDDEN],
    mean: Layer<'f>,
    /// Where the latent that acts is sampled.
    log_var: Option<Layer<'f>>,
}

impl<'f> Mlp<'f> {
    pub(super) fn read(
        file: &File<'f>,
        settings: &Settings,
        inputs: usize,
        hidden: Widths<MAX_HIDDEN>,
        latent: usize,
    ) -> Result<Self, LoadError> {
        let layers = mlp::layers(inputs, hidden, latent);
        let precision = settings.precision;
        let mut read = [None; MAX_HIDDEN];
        for (slot, spec) in read.iter_mut().zip(&layers.hidden) {
            *slot = Some(Layer::read(file, spec, precision)?);
        }
        let mean = Layer::read(file, &layers.mean, precision)?;
        let log_var = Layer::read_optional(file, &layers.log_var, precision)?;
        if settings.acting == Acting::Sampled && log_var.is_none() {
            return Err(LoadError::MissingTensor { name: layers.log_var.names.panels });
        }
        Ok(Self { hidden: read, mean, log_var })
    }

    /// The hidden layers, first to last.
    #[cfg(feature = "parts")]
    pub(crate) fn layers(&self) -> impl Iterator<Item = &Layer<'f>> {
        self.hidden.iter().flatten()
    }

    /// The layer of the mean.
    #[cfg(feature = "parts")]
    pub(crate) fn mean(&self) -> &Layer<'f> {
        &self.mean
    }

    #[inline(always)]
    pub(super) fn encode(
        &self,
        isa: Isa,
        settings: &Settings,
        draw: Draw,
        x: &[f32],
        buffers: &mut Buffers<'_>,
        z: &mut [f32],
    ) {
        // Each hidden layer reads what the one before it wrote: the two buffers take turns.
        let (mut from, mut to) = (&mut *buffers.pong, &mut *buffers.ping);
        let mut is_first = true;
        for layer in self.hidden.iter().flatten() {
            let out = to.get_mut(..layer.outputs()).unwrap_or_default();
            affine(isa, layer, Rows::one(if is_first { x } else { from }), buffers.scratch, out); // [E]
            dispatch!(isa, relu(out));
            core::mem::swap(&mut from, &mut to);
            is_first = false;
        }
        affine(isa, &self.mean, Rows::one(from), buffers.scratch, z); // [Z]
        if let (Acting::Sampled, Some(log_var)) = (settings.acting, &self.log_var) {
            draw.sample(isa, settings.log_var_range, log_var, [from, to, buffers.scratch], z);
        }
    }
}
