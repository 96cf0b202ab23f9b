//! The GRU: its two layers of gates, and its cell after them.

use crate::buffers::{Buffers, affine, copy, row};
use crate::kernels::{Isa, dispatch};
use crate::layer::Layer;
use crate::matvec::Rows;
use dreamstep_core::error::LoadError;
use dreamstep_core::m::gru;
use dreamstep_core::precision::Precision;
use dreamstep_core::reader::File;

/// Its layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gates<'f> {
    /// `[u, z]` → r, z, n.
    input: Layer<'f>,
    /// h → r, z, n.
    hidden: Layer<'f>,
}

impl<'f> Gates<'f> {
    pub(super) fn read(file: &File<'f>, precision: Precision, [u, z, h]: [usize; 3]) -> Result<Self, LoadError> {
        let [input, hidden] = gru::gates(u, z, h);
        Ok(Self { input: Layer::read(file, &input, precision)?, hidden: Layer::read(file, &hidden, precision)? })
    }

    /// `[u, z]` → `buffers.ping` and h, which begins at `at`, → `buffers.pong`, `[3H]` each.
    #[inline(always)]
    pub(super) fn sum(&self, isa: Isa, rows: Rows<'_>, at: usize, buffers: &mut Buffers<'_>) {
        affine(isa, &self.input, rows, buffers.scratch, buffers.ping);
        let rows = Rows { values: rows.values.get(at..).unwrap_or_default(), ..rows };
        affine(isa, &self.hidden, rows, buffers.scratch, buffers.pong);
    }

    /// Sums `index` and `h` → `h`.
    #[inline(always)]
    pub(super) fn apply(&self, isa: Isa, index: usize, h: &mut [f32], buffers: &mut Buffers<'_>) {
        copy(h, buffers.next); // whole blocks, which h need not end in
        let input = row(buffers.ping, index, self.input.outputs());
        dispatch!(isa, gru_cell(input, row(buffers.pong, index, self.hidden.outputs()), buffers.next));
        copy(buffers.next, h);
    }
}
