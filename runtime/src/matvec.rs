//! How is `W·x + b` computed, for one input vector and for many? Written once over a register of sixteen lanes, for each precision;
//! [`dreamstep_core::precision`] says what is computed, to the last bit.
//!
//! One pass goes over a panel's rows with some of its columns' sums in registers: `N` columns of sixteen outputs, for `D` input
//! vectors at once. Neither number changes a result: each output of each vector is a chain of its own.
//!
//! No path here panics, allocates or depends on the data: lengths were checked when the model was loaded, and where a slice
//! could still be too short for the type system, the loop ends.

use crate::kernels::{F32x16, I32x16, Quad, Vectors};
use crate::layer::{Integers, Layer, Weights};
use dreamstep_core::dims::LANES;
use dreamstep_core::maths::{CANONICAL_NAN, Lane, MAGIC};
use dreamstep_core::precision::levels;

/// Input vectors of a layer, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    /// From the first vector's first input on.
    pub(crate) values: &'a [f32],
    /// From one vector's first input to the next one's.
    pub(crate) stride: usize,
    /// Vectors.
    pub(crate) count: usize,
}

impl<'a> Rows<'a> {
    /// One vector.
    #[inline(always)]
    pub(crate) const fn one(values: &'a [f32]) -> Self {
        Self { values, stride: 0, count: 1 }
    }

    /// The first `inputs` values of vector `row`, none where there is no such vector.
    #[inline(always)]
    fn row(&self, row: usize, inputs: usize) -> Option<&'a [f32]> {
        if row >= self.count {
            return None;
        }
        self.values.get(row * self.stride..)?.get(..inputs)
    }
}

/// Scratch that [`affine`] needs for a layer of `inputs` inputs, in `f32`.
pub(crate) const fn scratch_len(inputs: usize) -> usize {
    inputs.div_ceil(LANES) * LANES / 2
}

/// Scratch that [`affine_tiles`] needs for `count` vectors, in `f32`, whatever the tile.
pub(crate) const fn tiles_scratch_len(inputs: usize, count: usize) -> usize {
    // The last tile is filled up.
    count.saturating_add(MAX_TILE - 1).saturating_mul(1 + inputs.div_ceil(LANES) * LANES)
}

/// No back end's tile holds more vectors.
const MAX_TILE: usize = 8;

/// `out [P·W] = W·x + b`.
#[inline(always)]
pub(crate) fn affine<V: Vectors, const FOUR: usize, const TWO: usize>(
    layer: &Layer<'_>,
    x: &[f32],
    scratch: &mut [f32],
    out: &mut [f32],
) {
    let x = x.get(..layer.inputs()).unwrap_or_default();
    let (mut scale, mut quads): (f32, &mut [[Quad; 1]]) = (0.0, &mut []);
    if let Weights::I8(integers) = layer.weights {
        // As much as it takes: bytes of an odd number of values are no quads.
        let scratch = scratch.get_mut(..scratch_len(x.len())).unwrap_or_default();
        quads = bytemuck::try_cast_slice_mut(scratch).unwrap_or_default();
        // Without room for them the layer would be its biases, silently.
        debug_assert_eq!(2 * quads.len(), scratch_len(x.len()), "scratch of a layer");
        scale = quantise::<V>(x, integers.inputs, quads.iter_mut().map(|[quad]| quad));
    }
    strips::<V, FOUR, TWO, FOUR, TWO, 1>(layer, x.as_chunks().0, quads, &[[scale]], out);
}

/// The same for each of `rows`; `out` is `[rows.count, P·W]`. A pass holds `I` columns of integer sums, `N` of others.
#[inline(always)]
pub(crate) fn affine_tiles<
    V: Vectors,
    const FOUR: usize,
    const TWO: usize,
    const I: usize,
    const N: usize,
    const D: usize,
>(
    layer: &Layer<'_>,
    rows: Rows<'_>,
    scratch: &mut [f32],
    out: &mut [f32],
) {
    let (inputs, outputs) = (layer.inputs(), layer.outputs());
    // A last vector alone is cheaper alone; two or more fill a tile, its rest with zeros.
    let tiles = if rows.count % D == 1 { rows.count / D } else { rows.count.div_ceil(D) };
    let Some((scales, scratch)) = scratch.split_at_mut_checked(tiles * D) else { return };
    let scales = scales.as_chunks_mut::<D>().0;
    let (mut x, mut quads): (&mut [[f32; D]], &mut [[Quad; D]]) = (&mut [], &mut []);
    if let Weights::I8(integers) = layer.weights {
        let groups = inputs.div_ceil(LANES) * (LANES / 4);
        let Some(used) = scratch.get_mut(..tiles * groups * 2 * D) else { return };
        quads = bytemuck::try_cast_slice_mut(used).unwrap_or_default();
        debug_assert_eq!(quads.len(), tiles * groups, "scratch of a batch");
        for (tile, (scales, quads)) in scales.iter_mut().zip(pieces_mut(quads, groups)).enumerate() {
            for (d, scale) in scales.iter_mut().enumerate() {
                let row = rows.row(tile * D + d, inputs).unwrap_or_default();
                *scale = quantise::<V>(row, integers.inputs, quads.iter_mut().filter_map(|quad| quad.get_mut(d)));
            }
        }
    } else {
        let Some(used) = scratch.get_mut(..tiles * inputs * D) else { return };
        x = used.as_chunks_mut().0;
        for (tile, x) in pieces_mut(x, inputs).enumerate() {
            for d in 0..D {
                match rows.row(tile * D + d, inputs) {
                    Some(row) => x.iter_mut().zip(row).for_each(|(x, &value)| x[d] = value),
                    None => x.iter_mut().for_each(|x| x[d] = 0.0),
                }
            }
        }
    }
    strips::<V, N, N, I, I, D>(layer, x, quads, scales, out);
    if let Some(row) = rows.row(tiles * D, inputs) {
        let Some(out) = out.get_mut(tiles * D * outputs..) else { return };
        affine::<V, FOUR, TWO>(layer, row, scratch, out);
    }
}

/// The inputs of an i8 layer, times their factors, as 16-bit integers in groups of four, and what one unit of theirs is worth. The
/// groups that `quads` has beyond the inputs are filled with zeros.
#[inline(always)]
fn quantise<'q, V: Vectors>(x: &[f32], factors: &[f32], mut quads: impl Iterator<Item = &'q mut Quad>) -> f32 {
    // As integers, magnitudes compare like numbers, NaN above all: whatever the order, the largest is the same.
    let mut largest = 0;
    for (x, factor) in x.iter().zip(factors) {
        largest = ((x * factor).to_bits() & 0x7fff_ffff).cast_signed().max(largest);
    }
    let largest = f32::from_bits(largest.cast_unsigned());
    let range = levels(x.len()) as f32;
    let m = if largest > SMALLEST { largest } else { SMALLEST };
    let per_unit = range / m;
    // Not zipped, see `pointwise::chunks`.
    let mut factors = factors.chunks(LANES);
    for x in x.chunks(LANES) {
        let factors = factors.next().unwrap_or_default();
        let mut integers = [0; LANES];
        for (integer, (x, factor)) in integers.iter_mut().zip(x.iter().zip(factors)) {
            let scaled = Lane::min(Lane::max(x * factor * per_unit, -range), range);
            *integer = (scaled + MAGIC).to_bits() as u16;
        }
        // In this order: `zip` takes from its first part before it sees that the second has ended.
        for (four, quad) in integers.as_chunks().0.iter().zip(quads.by_ref()) {
            *quad = V::Sums::quad(*four);
        }
    }
    quads.for_each(|quad| *quad = V::Sums::quad([0; 4]));
    // Infinity and NaN make the layer's outputs NaN: they cannot be told apart any more.
    if largest < f32::INFINITY { m / range } else { CANONICAL_NAN }
}

/// The least that an i8 layer's largest input counts as, so that its reciprocal is finite.
const SMALLEST: f32 = 1e-30;

/// Every panel, its columns one pass after the other, each for every tile. `x` are a float layer's inputs `[tiles·K]`, of which a pass
/// takes `FOUR` columns of a panel of four and `TWO` of one of two; `quads` and `scales` an integer one's, with `I4` and `I2`.
#[inline(always)]
fn strips<V: Vectors, const FOUR: usize, const TWO: usize, const I4: usize, const I2: usize, const D: usize>(
    layer: &Layer<'_>,
    x: &[[f32; D]],
    quads: &[[Quad; D]],
    scales: &[[f32; D]],
    out: &mut [f32],
) {
    let inputs = layer.inputs();
    match layer.weights {
        Weights::F32(w) => strip::<V, FOUR, TWO, D>(&F32 { w: blocks(w), x, inputs }, layer, scales.len(), out),
        Weights::F16(w) => strip::<V, FOUR, TWO, D>(&F16 { w: w.as_chunks().0, x, inputs }, layer, scales.len(), out),
        Weights::Bf16(w) => strip::<V, FOUR, TWO, D>(&Bf16 { w: w.as_chunks().0, x, inputs }, layer, scales.len(), out),
        Weights::I8(integers) => {
            strip::<V, I4, I2, D>(&I8 { integers, quads, scales, inputs }, layer, scales.len(), out);
        }
    }
}

#[inline(always)]
fn strip<V: Vectors, const FOUR: usize, const TWO: usize, const D: usize>(
    format: &impl Format<D>,
    layer: &Layer<'_>,
    tiles: usize,
    out: &mut [f32],
) {
    match layer.width() / LANES {
        4 => panels::<V, 4, FOUR, D>(format, layer, tiles, out),
        2 => panels::<V, 2, TWO, D>(format, layer, tiles, out),
        _ => panels::<V, 1, 1, D>(format, layer, tiles, out),
    }
}

#[inline(always)]
fn panels<V: Vectors, const W: usize, const N: usize, const D: usize>(
    format: &impl Format<D>,
    layer: &Layer<'_>,
    tiles: usize,
    out: &mut [f32],
) {
    let mut out = Out { blocks: blocks_mut(out), stride: layer.outputs() / LANES };
    for (panel, bias) in blocks(layer.bias).as_chunks::<W>().0.iter().enumerate() {
        // One column after the other, each for every tile: its weights stay near. Columns beyond the panel's width are known not to run
        // when this is compiled.
        macro_rules! columns {
            ($($c:literal)*) => {$(
                if $c * N < W {
                    for tile in 0..tiles {
                        format.pass::<V, W, N, $c>(panel, tile, bias, out.at(tile * D, panel * W + $c * N));
                    }
                }
            )*};
        }
        columns!(0 1 2 3);
    }
}

/// Where results go: `[vectors, P·W/16]` blocks of sixteen.
struct Out<'a> {
    blocks: &'a mut [[f32; LANES]],
    stride: usize,
}

impl Out<'_> {
    /// From one vector and block on.
    #[inline(always)]
    fn at(&mut self, row: usize, block: usize) -> Out<'_> {
        let blocks = self.blocks.get_mut(row * self.stride + block..).unwrap_or_default();
        Out { blocks, stride: self.stride }
    }

    /// Stores a tile's results; those of a vector that only fills the tile fall away.
    #[inline(always)]
    fn put<S: F32x16, const N: usize, const D: usize>(self, sums: [[S; N]; D]) {
        for (d, sums) in sums.into_iter().enumerate() {
            let Some(out) = self.blocks.get_mut(d * self.stride..d * self.stride + N) else { continue };
            out.iter_mut().zip(sums).for_each(|(out, sum)| sum.store(out));
        }
    }
}

/// A precision's weights with the inputs they meet, `D` vectors to a tile.
trait Format<const D: usize> {
    /// Column `C` of a panel of `W` registers: `N` registers of outputs for each of a tile's vectors.
    fn pass<V: Vectors, const W: usize, const N: usize, const C: usize>(
        &self,
        panel: usize,
        tile: usize,
        bias: &[[f32; LANES]; W],
        out: Out<'_>,
    );
}

struct F32<'a, const D: usize> {
    w: &'a [[f32; LANES]],
    x: &'a [[f32; D]],
    inputs: usize,
}

struct F16<'a, const D: usize> {
    w: &'a [[u16; LANES]],
    x: &'a [[f32; D]],
    inputs: usize,
}

struct Bf16<'a, const D: usize> {
    w: &'a [[u32; LANES]],
    x: &'a [[f32; D]],
    inputs: usize,
}

struct I8<'a, const D: usize> {
    integers: Integers<'a>,
    quads: &'a [[Quad; D]],
    scales: &'a [[f32; D]],
    inputs: usize,
}

impl<const D: usize> Format<D> for F32<'_, D> {
    #[inline(always)]
    fn pass<V: Vectors, const W: usize, const N: usize, const C: usize>(
        &self,
        panel: usize,
        tile: usize,
        bias: &[[f32; LANES]; W],
        out: Out<'_>,
    ) {
        let mut sums = start::<V::Register, W, N, C, D>(bias);
        let rows = piece(self.w.as_chunks::<W>().0, panel, self.inputs);
        for (row, x) in rows.iter().zip(piece(self.x, tile, self.inputs)) {
            for n in 0..N {
                multiply_add(&mut sums, n, V::Register::load(at::<_, W>(row, C * N + n)), x);
            }
        }
        out.put(sums);
    }
}

impl<const D: usize> Format<D> for F16<'_, D> {
    #[inline(always)]
    fn pass<V: Vectors, const W: usize, const N: usize, const C: usize>(
        &self,
        panel: usize,
        tile: usize,
        bias: &[[f32; LANES]; W],
        out: Out<'_>,
    ) {
        if D == 1 {
            self.widen::<V::Widening, W, N, C>(panel, tile, bias, out);
        } else {
            self.widen::<V::Register, W, N, C>(panel, tile, bias, out);
        }
    }
}

impl<const D: usize> F16<'_, D> {
    /// A pass in the registers that the weights are widened in.
    #[inline(always)]
    fn widen<S: F32x16, const W: usize, const N: usize, const C: usize>(
        &self,
        panel: usize,
        tile: usize,
        bias: &[[f32; LANES]; W],
        out: Out<'_>,
    ) {
        let mut sums = start::<S, W, N, C, D>(bias);
        let rows = piece(self.w.as_chunks::<W>().0, panel, self.inputs);
        for (row, x) in rows.iter().zip(piece(self.x, tile, self.inputs)) {
            for n in 0..N {
                multiply_add(&mut sums, n, S::load_f16(at::<_, W>(row, C * N + n)), x);
            }
        }
        out.put(sums);
    }
}

impl<const D: usize> Format<D> for Bf16<'_, D> {
    #[inline(always)]
    fn pass<V: Vectors, const W: usize, const N: usize, const C: usize>(
        &self,
        panel: usize,
        tile: usize,
        bias: &[[f32; LANES]; W],
        out: Out<'_>,
    ) {
        let mut sums = start::<V::Register, W, N, C, D>(bias);
        let rows = piece(self.w.as_chunks::<W>().0, panel, self.inputs.div_ceil(2));
        let (pairs, last) = piece(self.x, tile, self.inputs).as_chunks::<2>();
        for (row, [even, odd]) in rows.iter().zip(pairs) {
            for n in 0..N {
                let (low, high) = V::Register::load_bf16(at::<_, W>(row, C * N + n));
                multiply_add(&mut sums, n, low, even);
                multiply_add(&mut sums, n, high, odd);
            }
        }
        if let ([x], Some(row)) = (last, rows.last()) {
            for n in 0..N {
                multiply_add(&mut sums, n, V::Register::load_bf16(at::<_, W>(row, C * N + n)).0, x);
            }
        }
        out.put(sums);
    }
}

impl<const D: usize> Format<D> for I8<'_, D> {
    #[inline(always)]
    fn pass<V: Vectors, const W: usize, const N: usize, const C: usize>(
        &self,
        panel: usize,
        tile: usize,
        bias: &[[f32; LANES]; W],
        out: Out<'_>,
    ) {
        let mut sums = [[V::Sums::zero(); N]; D];
        let rows = piece(self.integers.weights.as_chunks::<LANES>().0.as_chunks::<W>().0, panel, self.inputs.div_ceil(4));
        // Quads are padded to whole blocks of sixteen inputs.
        for (row, quads) in rows.iter().zip(piece(self.quads, tile, self.inputs.div_ceil(LANES) * (LANES / 4))) {
            for n in 0..N {
                for (sums, quad) in sums.iter_mut().zip(quads) {
                    sums[n] = sums[n].dot(at::<_, W>(row, C * N + n), quad);
                }
            }
        }
        let worth = blocks(self.integers.scales).as_chunks::<W>().0.get(panel);
        let weight_sums = self.integers.sums.as_chunks::<LANES>().0.as_chunks::<W>().0.get(panel);
        let (Some(worth), Some(weight_sums), Some(scales)) = (worth, weight_sums, self.scales.get(tile)) else { return };
        let mut results = [[V::Register::splat(0.0); N]; D];
        for ((results, sums), &scale) in results.iter_mut().zip(sums).zip(scales) {
            for (n, (result, sum)) in results.iter_mut().zip(sums).enumerate() {
                let worth = V::Register::load(at::<_, W>(worth, C * N + n)).mul(Lane::splat(scale));
                let sum = sum.total(at::<_, W>(weight_sums, C * N + n));
                *result = V::Register::load(at::<_, W>(bias, C * N + n)).add(sum.mul(worth));
            }
        }
        out.put(results);
    }
}

/// The biases: where every sum begins.
#[inline(always)]
fn start<S: F32x16, const W: usize, const N: usize, const C: usize, const D: usize>(
    bias: &[[f32; LANES]; W],
) -> [[S; N]; D] {
    let mut sums = [[S::splat(0.0); N]; D];
    for sums in &mut sums {
        for (n, sum) in sums.iter_mut().enumerate() {
            *sum = S::load(at(bias, C * N + n));
        }
    }
    sums
}

/// `sums[d][n] += weights·x[d]`: multiply, round, add, round. This order is the contract.
#[inline(always)]
fn multiply_add<S: F32x16, const N: usize, const D: usize>(sums: &mut [[S; N]; D], n: usize, weights: S, x: &[f32; D]) {
    for (sums, &x) in sums.iter_mut().zip(x) {
        sums[n] = sums[n].add(weights.mul(S::splat(x)));
    }
}

/// Register `index` of a row of `W`. (The index is known when this is compiled; the last one stands in where it would leave the row,
/// which [`panels`] rules out.)
#[inline(always)]
fn at<T, const W: usize>(row: &[T; W], index: usize) -> &T {
    &row[if index < W { index } else { W - 1 }]
}

/// Piece `index` of a slice cut into pieces of `size`.
#[inline(always)]
pub(crate) fn piece<T>(slice: &[T], index: usize, size: usize) -> &[T] {
    slice.get(index * size..(index + 1) * size).unwrap_or_default()
}

/// The pieces of a slice, `size` each, as many as are whole.
#[inline(always)]
fn pieces_mut<T>(slice: &mut [T], size: usize) -> impl Iterator<Item = &mut [T]> {
    let mut rest = slice;
    let count = rest.len().checked_div(size).unwrap_or(0);
    (0..count).map_while(move |_| {
        let (piece, after) = core::mem::take(&mut rest).split_at_mut_checked(size)?;
        rest = after;
        Some(piece)
    })
}

/// A padded vector as registers' worth.
#[inline(always)]
pub(crate) fn blocks(values: &[f32]) -> &[[f32; LANES]] {
    values.as_chunks().0
}

#[inline(always)]
fn blocks_mut(values: &mut [f32]) -> &mut [[f32; LANES]] {
    values.as_chunks_mut().0
}
