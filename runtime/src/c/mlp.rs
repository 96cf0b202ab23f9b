//! C as an MLP (see [`dreamstep_core::c::mlp`]), for one vector or many.

use crate::buffers::{Buffers, affine};
use crate::kernels::{Isa, dispatch};
use crate::layer::Layer;
use crate::matvec::Rows;
use dreamstep_core::c::{Activation, MAX_HIDDEN};
use dreamstep_core::error::LoadError;
use dreamstep_core::schema::{LayerList, LayerSpec, Squash};

/// Its layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mlp<'f> {
    hidden: [Option<Layer<'f>>; MAX_HIDDEN],
    last: Layer<'f>,
    activation: Activation,
}

impl<'f> Mlp<'f> {
    pub(super) fn of_layers(
        layers: &LayerList,
        activation: Activation,
        mut each: impl FnMut(&LayerSpec) -> Result<Layer<'f>, LoadError>,
    ) -> Result<Self, LoadError> {
        let count = layers.len() - 1;
        let mut hidden = [None; MAX_HIDDEN];
        for (slot, spec) in hidden.iter_mut().zip(layers.iter().take(count)) {
            *slot = Some(each(spec)?);
        }
        Ok(Self { hidden, last: each(&layers.at(count))?, activation })
    }

    /// What it reads in each of `rows` → scores, `[count, U]` padded each.
    #[inline(always)]
    pub(super) fn score(&self, isa: Isa, rows: Rows<'_>, buffers: &mut Buffers<'_>, scores: &mut [f32]) {
        let count = rows.count;
        // Each hidden layer reads what the one before it wrote: the two buffers take turns.
        let (mut from, mut to) = (&mut *buffers.pong, &mut *buffers.ping);
        let mut stride = None;
        for layer in self.hidden.iter().flatten() {
            let out = to.get_mut(..count * layer.outputs()).unwrap_or_default();
            let inputs = stride.map_or(rows, |stride| Rows { values: from, stride, count });
            affine(isa, layer, inputs, buffers.scratch, out);
            match self.activation {
                Activation::Tanh => dispatch!(isa, squash(Squash::Tanh, out)),
                Activation::Relu => dispatch!(isa, relu(out)),
            }
            stride = Some(layer.outputs());
            core::mem::swap(&mut from, &mut to);
        }
        let inputs = stride.map_or(rows, |stride| Rows { values: from, stride, count });
        affine(isa, &self.last, inputs, buffers.scratch, scores);
    }
}
