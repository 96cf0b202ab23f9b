//! Working memory: what the parts of an agent compute in, derived from its layers, and cut from the caller's block.

use crate::kernels::{Isa, dispatch};
use crate::layer::Layer;
use crate::matvec::{Rows, scratch_len, tiles_scratch_len};
use crate::mdn::HEAD_SLACK;
use dreamstep_core::dims::{Dims, padded};
use dreamstep_core::layers::LayerList;
use dreamstep_core::layout::Panels;

/// What the layers of `count` vectors compute in; nothing in it outlives a call.
#[derive(Debug)]
pub(crate) struct Buffers<'m> {
    /// `count` vectors of the outputs of any layer, and what the MDN head's reader needs after them.
    pub(crate) ping: &'m mut [f32],
    /// Another `count` vectors, of those parts that need two: a layer reads what the one before it wrote.
    pub(crate) pong: &'m mut [f32],
    /// `[H]` padded: one vector's next h.
    pub(crate) next: &'m mut [f32],
    /// A layer's inputs as its kernel wants them.
    pub(crate) scratch: &'m mut [f32],
}

/// What the layers of one part need for one vector: outputs in `ping`, outputs in `pong`, and inputs of any layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    pub(crate) ping: usize,
    pub(crate) pong: usize,
    pub(crate) inputs: usize,
}

impl Need {
    /// Of `layers`, each of which may write to either buffer.
    pub(crate) const fn of(layers: &LayerList) -> Self {
        let (mut outputs, mut inputs, mut i) = (0, 0, 0);
        while i < layers.len() {
            let panels = layers.at(i).panels();
            outputs = greater(outputs, panels.outputs());
            inputs = greater(inputs, panels.inputs);
            i += 1;
        }
        Self { ping: outputs, pong: outputs, inputs }
    }

    /// The greater of each: parts run one after the other.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            ping: greater(self.ping, other.ping),
            pong: greater(self.pong, other.pong),
            inputs: greater(self.inputs, other.inputs),
        }
    }
}

pub(crate) const fn greater(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// Lengths of [`Buffers`]' slices for `count` vectors, in its order; `usize::MAX` where one does not fit a `usize`.
pub(crate) const fn lengths(dims: &Dims, need: Need, count: usize) -> [usize; 4] {
    let Need { ping, pong, inputs } = need;
    let scratch = if count == 1 { scratch_len(inputs) } else { tiles_scratch_len(inputs, count) };
    [ping.saturating_mul(count).saturating_add(HEAD_SLACK), pong.saturating_mul(count), padded(dims.hidden_len()), scratch]
}

/// The most `f32` that a slice holds.
const MOST: usize = isize::MAX as usize / size_of::<f32>();

/// The sum of lengths; `usize::MAX` where no memory holds so many.
pub(crate) const fn total<const N: usize>(lengths: [usize; N]) -> usize {
    let (mut sum, mut i) = (0_usize, 0);
    while i < N {
        sum = sum.saturating_add(lengths[i]);
        i += 1;
    }
    if sum <= MOST { sum } else { usize::MAX }
}

/// A dense layer's outputs, padded to whole panels.
pub(crate) const fn outputs(n: usize) -> usize {
    Panels::dense(n, 1).outputs()
}

/// Cuts slices from a block of memory, one after the other; none where too little is left.
#[derive(Debug)]
pub(crate) struct Cutter<'m>(&'m mut [f32]);

impl<'m> Cutter<'m> {
    /// Cuts from `memory`, which is filled with zeros.
    pub(crate) fn new(memory: &'m mut [f32]) -> Self {
        memory.fill(0.0);
        Self(memory)
    }

    /// The next `len` values.
    pub(crate) fn cut(&mut self, len: usize) -> Option<&'m mut [f32]> {
        let (slice, after) = core::mem::take(&mut self.0).split_at_mut_checked(len)?;
        self.0 = after;
        Some(slice)
    }

    /// The next values as [`Buffers`] of these [`lengths`].
    pub(crate) fn buffers(&mut self, [ping, pong, next, scratch]: [usize; 4]) -> Option<Buffers<'m>> {
        Some(Buffers { ping: self.cut(ping)?, pong: self.cut(pong)?, next: self.cut(next)?, scratch: self.cut(scratch)? })
    }
}

/// `W·x + b` for each of `rows`; `out` is `[rows.count, P·W]`.
#[inline(always)]
pub(crate) fn affine(isa: Isa, layer: &Layer<'_>, rows: Rows<'_>, scratch: &mut [f32], out: &mut [f32]) {
    if rows.count == 1 {
        dispatch!(isa, affine(layer, rows.values, scratch, out));
    } else {
        dispatch!(isa, affine_tiles(layer, rows, scratch, out));
    }
}

/// The first values of `to` become those of `from`; what one has beyond the other is left alone.
#[inline(always)]
pub(crate) fn copy(from: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
}

/// Row `index` of rows of `width`; empty where there is none, whatever the index.
#[inline(always)]
pub(crate) fn row(values: &[f32], index: usize, width: usize) -> &[f32] {
    values.get(index.saturating_mul(width)..).and_then(|rest| rest.get(..width)).unwrap_or_default()
}

/// The same, to write to.
#[inline(always)]
pub(crate) fn row_mut(values: &mut [f32], index: usize, width: usize) -> &mut [f32] {
    values.get_mut(index.saturating_mul(width)..).and_then(|rest| rest.get_mut(..width)).unwrap_or_default()
}
