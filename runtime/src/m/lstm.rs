//! The LSTM cell after its gates' sums, for one of many vectors.

use crate::buffers::{Buffers, copy, row, row_mut};
use crate::kernels::{Isa, dispatch};
use crate::layer::Layer;
use dreamstep_core::dims::padded;

/// Sums `index` of `buffers.ping` and row `index` of `c` → `h` and that row.
#[inline(always)]
pub(super) fn apply(isa: Isa, gates: &Layer<'_>, index: usize, h: &mut [f32], c: &mut [f32], buffers: &mut Buffers<'_>) {
    let sums = row(buffers.ping, index, gates.outputs());
    let c = row_mut(c, index, padded(h.len()));
    dispatch!(isa, lstm_cell(sums, c, buffers.next));
    copy(buffers.next, h);
}
