//! C at run time: from what it reads to a score for each value of the action, for one vector or many.

mod mlp;

use crate::buffers::{Buffers, Need, affine};
use crate::kernels::Isa;
use crate::layer::Layer;
use crate::matvec::Rows;
use dreamstep_core::c::ControllerKind;
use dreamstep_core::dims::Dims;
use dreamstep_core::error::LoadError;
use dreamstep_core::reader::File;
use dreamstep_core::schema::{LayerSpec, Settings};

/// C, its weights in the file or in a block of its own.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant)] // without an allocator there is nowhere else to put it
pub(crate) enum C<'f> {
    Linear(Layer<'f>),
    Mlp(mlp::Mlp<'f>),
}

/// What C's layers work in. (The last one writes where the caller says, but it costs nothing to count it.)
pub(crate) const fn need(dims: &Dims) -> Need {
    Need::of(&dims.controller_layers())
}

impl<'f> C<'f> {
    pub(crate) fn read(file: &File<'f>, settings: &Settings) -> Result<Self, LoadError> {
        Self::of_layers(&settings.dims, |spec| Layer::read(file, spec, settings.precision))
    }

    /// C of the f32 layers in `values`: of each its panels, then its biases.
    ///
    /// # Errors
    /// There are too few values or too many, or one is not finite.
    pub(crate) fn of_values(dims: &Dims, values: &'f [f32]) -> Result<Self, LoadError> {
        let mut rest = values;
        let c = Self::of_layers(dims, |spec| {
            let (layer, after) = Layer::of_values(spec, rest)?;
            rest = after;
            Ok(layer)
        })?;
        let (expected, found) = ([values.len() - rest.len(), 0, 0, 0], [values.len(), 0, 0, 0]);
        let name = dreamstep_core::names::packed::FC.panels;
        if rest.is_empty() { Ok(c) } else { Err(LoadError::WrongShape { name, expected, found }) }
    }

    fn of_layers(dims: &Dims, mut each: impl FnMut(&LayerSpec) -> Result<Layer<'f>, LoadError>) -> Result<Self, LoadError> {
        let layers = dims.controller_layers();
        match dims.c.kind {
            ControllerKind::Linear => Ok(Self::Linear(each(&layers.at(0))?)),
            ControllerKind::Mlp { activation, .. } => mlp::Mlp::of_layers(&layers, activation, each).map(Self::Mlp),
            _ => Err(LoadError::BadParts { what: "c.kind", expected: "linear or mlp" }),
        }
    }

    /// What it reads in each of `rows` → scores, `[count, U]` padded each.
    #[inline(always)]
    pub(crate) fn score(&self, isa: Isa, rows: Rows<'_>, buffers: &mut Buffers<'_>, scores: &mut [f32]) {
        match self {
            Self::Linear(layer) => affine(isa, layer, rows, buffers.scratch, scores),
            Self::Mlp(mlp) => mlp.score(isa, rows, buffers, scores),
        }
    }
}
