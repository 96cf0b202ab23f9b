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
use dreamstep_core::layout::PANEL;
use dreamstep_core::maths::{CANONICAL_NAN, Lane, MAGIC};
use dreamstep_core::precision::{BF16_INPUT_BITS, F16_INPUT_BITS, levels, round_input};

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

/// Scratch that [`affine`] needs for a layer of `inputs` inputs, in `f32`: room for them rounded, or as integers.
pub(crate) const fn scratch_len(inputs: usize) -> usize {
    inputs.div_ceil(LANES) * LANES
}

/// Quads of an i8 layer's inputs, padded to whole blocks of sixteen inputs.
const fn quads_len(inputs: usize) -> usize {
    inputs.div_ceil(LANES) * (LANES / 4)
}

/// Scratch that [`affine_tiles`] needs for `count` vectors, in `f32`, whatever the tile.
pub(crate) const fn tiles_scratch_len(inputs: usize, count: usize) -> usize {
    // The last tile is filled up.
    count.saturating_add(MAX_TILE - 1).saturating_mul(1 + inputs.div_ceil(LANES) * LANES)
}

/// No back end's tile holds more vectors.
const MAX_TILE: usize = 8;

/// `out [P·W] = W·x + b`. A pass takes `G` panels of four registers at once where products are fused.
#[inline(always)]
pub(crate) fn affine<V: Vectors, const FOUR: usize, const TWO: usize, const G: usize>(
    layer: &Layer<'_>,
    x: &[f32],
    scratch: &mut [f32],
    out: &mut [f32],
) {
    let mut x = x.get(..layer.inputs()).unwrap_or_default();
    let (mut scale, mut quads): (f32, &mut [[Quad; 1]]) = (0.0, &mut []);
    match layer.weights {
        Weights::F32(_) | Weights::F16Unrounded(_) | Weights::Bytes { .. } => {}
        Weights::F16(_) => x = rounded::<F16_INPUT_BITS>(x, scratch),
        Weights::Bf16(_) => x = rounded::<BF16_INPUT_BITS>(x, scratch),
        Weights::I8(integers) => {
            // As much as it takes: bytes of an odd number of values are no quads.
            let scratch = scratch.get_mut(..2 * quads_len(x.len())).unwrap_or_default();
            quads = bytemuck::try_cast_slice_mut(scratch).unwrap_or_default();
            // Without room for them the layer would be its biases, silently.
            debug_assert_eq!(quads.len(), quads_len(x.len()), "scratch of a layer");
            scale = quantise::<V>(x, integers.inputs, quads.iter_mut().map(|[quad]| quad));
        }
    }
    strips::<V, FOUR, TWO, FOUR, TWO, G, 1>(layer, x.as_chunks().0, quads, &[[scale]], out);
}

/// The same for each of `rows`; `out` is `[rows.count, P·W]`. A pass holds `I` columns of integer sums, `N` of others.
#[inline(always)]
pub(crate) fn affine_tiles<
    V: Vectors,
    const FOUR: usize,
    const TWO: usize,
    const G: usize,
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
        let groups = quads_len(inputs);
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
        for (tile, x) in pieces_mut(used.as_chunks_mut().0, inputs).enumerate() {
            for d in 0..D {
                match rows.row(tile * D + d, inputs) {
                    Some(row) => x.iter_mut().zip(row).for_each(|(x, &value)| x[d] = value),
                    None => x.iter_mut().for_each(|x: &mut [f32; D]| x[d] = 0.0),
                }
            }
        }
        // All in one piece, which is vectors' work.
        match layer.weights {
            Weights::F16(_) => used.iter_mut().for_each(|x| *x = round_input::<F16_INPUT_BITS>(*x)),
            Weights::Bf16(_) => used.iter_mut().for_each(|x| *x = round_input::<BF16_INPUT_BITS>(*x)),
            Weights::F32(_) | Weights::F16Unrounded(_) | Weights::I8(_) | Weights::Bytes { .. } => {}
        }
        x = used.as_chunks_mut().0;
    }
    strips::<V, N, N, I, I, 1, D>(layer, x, quads, scales, out);
    if let Some(row) = rows.row(tiles * D, inputs) {
        let Some(out) = out.get_mut(tiles * D * outputs..) else { return };
        affine::<V, FOUR, TWO, G>(layer, row, scratch, out);
    }
}

/// The inputs of a layer whose products are exact, rounded in scratch.
#[inline(always)]
fn rounded<'s, const BITS: u32>(x: &[f32], scratch: &'s mut [f32]) -> &'s [f32] {
    // Without room for them the layer would be its biases, silently.
    debug_assert!(scratch.len() >= x.len(), "scratch of a layer");
    let rounded = scratch.get_mut(..x.len()).unwrap_or_default();
    rounded.iter_mut().zip(x).for_each(|(rounded, &x)| *rounded = round_input::<BITS>(x));
    rounded
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
///
/// Products that are exact are fused where a back end can, which changes no bit. A panel of few registers waits for each sum before the
/// next product, and a fused one takes longer than a sum alone: there they are not.
#[inline(always)]
fn strips<
    V: Vectors,
    const FOUR: usize,
    const TWO: usize,
    const I4: usize,
    const I2: usize,
    const G: usize,
    const D: usize,
>(
    layer: &Layer<'_>,
    x: &[[f32; D]],
    quads: &[[Quad; D]],
    scales: &[[f32; D]],
    out: &mut [f32],
) {
    let (inputs, tiles) = (layer.inputs(), scales.len());
    let fuse = V::Register::FUSES && (D > 1 || layer.width() == PANEL);
    match layer.weights {
        Weights::F32(w) => strip::<V, FOUR, TWO, 1, D>(&F32 { w: blocks(w), x, inputs }, layer, tiles, out),
        Weights::F16(w) if fuse => {
            strip::<V, FOUR, TWO, G, D>(&F16::<D, true> { w: w.as_chunks().0, x, inputs }, layer, tiles, out);
        }
        Weights::F16(w) | Weights::F16Unrounded(w) => {
            strip::<V, FOUR, TWO, 1, D>(&F16::<D, false> { w: w.as_chunks().0, x, inputs }, layer, tiles, out);
        }
        Weights::Bf16(w) if fuse => {
            strip::<V, FOUR, TWO, G, D>(&Bf16::<D, true> { w: w.as_chunks().0, x, inputs }, layer, tiles, out);
        }
        Weights::Bf16(w) => {
            strip::<V, FOUR, TWO, 1, D>(&Bf16::<D, false> { w: w.as_chunks().0, x, inputs }, layer, tiles, out);
        }
        Weights::I8(integers) => {
            strip::<V, I4, I2, 1, D>(&I8 { integers, quads, scales, inputs }, layer, tiles, out);
        }
        // Of bytes there are convolutions alone ([`crate::convolution`]).
        Weights::Bytes { .. } => {}
    }
}

#[inline(always)]
fn strip<V: Vectors, const FOUR: usize, const TWO: usize, const G: usize, const D: usize>(
    format: &impl Format<D>,
    layer: &Layer<'_>,
    tiles: usize,
    out: &mut [f32],
) {
    match layer.width() / LANES {
        4 => panels::<V, 4, FOUR, G, D>(format, layer, tiles, out),
        2 => panels::<V, 2, TWO, 1, D>(format, layer, tiles, out),
        _ => panels::<V, 1, 1, 1, D>(format, layer, tiles, out),
    }
}

/// `G` panels at a time, then the rest one by one.
#[inline(always)]
fn panels<V: Vectors, const W: usize, const N: usize, const G: usize, const D: usize>(
    format: &impl Format<D>,
    layer: &Layer<'_>,
    tiles: usize,
    out: &mut [f32],
) {
    let mut out = Out { blocks: blocks_mut(out), stride: layer.outputs() / LANES };
    let (groups, rest) = blocks(layer.bias).as_chunks::<W>().0.as_chunks::<G>();
    for (group, biases) in groups.iter().enumerate() {
        columns::<V, W, N, G, D>(format, group * G, biases, tiles, &mut out);
    }
    if G > 1 {
        for (panel, bias) in rest.iter().enumerate() {
            columns::<V, W, N, 1, D>(format, groups.len() * G + panel, &[*bias], tiles, &mut out);
        }
    }
}

/// One column after the other, each for every tile: its weights stay near.
#[inline(always)]
fn columns<V: Vectors, const W: usize, const N: usize, const G: usize, const D: usize>(
    format: &impl Format<D>,
    panel: usize,
    biases: &[[[f32; LANES]; W]; G],
    tiles: usize,
    out: &mut Out<'_>,
) {
    // Columns beyond the panel's width are known not to run when this is compiled.
    macro_rules! columns {
        ($($c:literal)*) => {$(
            if $c * N < W {
                for tile in 0..tiles {
                    format.pass::<V, W, N, $c, G>(panel, tile, biases, out.at(tile * D, panel * W + $c * N));
                }
            }
        )*};
    }
    columns!(0 1 2 3);
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

    /// Stores a tile's results, `W` blocks from one panel's to the next; those of a vector that only fills the tile fall away.
    #[inline(always)]
    fn put<S: F32x16, const W: usize, const N: usize, const G: usize, const D: usize>(self, sums: [[[S; N]; D]; G]) {
        for (g, sums) in sums.into_iter().enumerate() {
            for (d, sums) in sums.into_iter().enumerate() {
                let from = d * self.stride + g * W;
                let Some(out) = self.blocks.get_mut(from..from + N) else { continue };
                out.iter_mut().zip(sums).for_each(|(out, sum)| sum.store(out));
            }
        }
    }
}

/// A precision's weights with the inputs they meet, `D` vectors to a tile.
trait Format<const D: usize> {
    /// Column `C` of each of `G` panels of `W` registers, from `panel` on: `N` registers of outputs for each of a tile's vectors.
    fn pass<V: Vectors, const W: usize, const N: usize, const C: usize, const G: usize>(
        &self,
        panel: usize,
        tile: usize,
        biases: &[[[f32; LANES]; W]; G],
        out: Out<'_>,
    );
}

struct F32<'a, const D: usize> {
    w: &'a [[f32; LANES]],
    x: &'a [[f32; D]],
    inputs: usize,
}

struct F16<'a, const D: usize, const FUSE: bool> {
    w: &'a [[u16; LANES]],
    x: &'a [[f32; D]],
    inputs: usize,
}

struct Bf16<'a, const D: usize, const FUSE: bool> {
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

/// Goes through the rows of `G` panels side by side, each row with its input. (A macro: what a closure does may be compiled outside of
/// the entry point, and without its instructions.)
macro_rules! sweep {
    ($rows:expr, $x:expr, $sums:expr, |$sum:ident, $row:ident, $input:pat_param| $step:expr) => {
        // One panel's rows are zipped: that is the better code where registers are few.
        if let ([rows], [$sum]) = ($rows.as_slice(), $sums.as_mut_slice()) {
            for ($row, $input) in rows.iter().zip($x) {
                $step
            }
        } else {
            for (k, $input) in $x.iter().enumerate() {
                for ($sum, rows) in $sums.iter_mut().zip(&$rows) {
                    let Some($row) = rows.get(k) else { return };
                    $step
                }
            }
        }
    };
}

impl<const D: usize> Format<D> for F32<'_, D> {
    #[inline(always)]
    fn pass<V: Vectors, const W: usize, const N: usize, const C: usize, const G: usize>(
        &self,
        panel: usize,
        tile: usize,
        biases: &[[[f32; LANES]; W]; G],
        out: Out<'_>,
    ) {
        let mut sums = start::<V::Register, W, N, C, G, D>(biases);
        let x = piece(self.x, tile, self.inputs);
        let Some(rows) = rows::<_, W, G>(self.w, panel, x.len()) else { return };
        sweep!(rows, x, sums, |sums, row, x| {
            for n in 0..N {
                multiply_add::<_, N, D, false>(sums, n, V::Register::load(at::<_, W>(row, C * N + n)), x);
            }
        });
        out.put::<_, W, N, G, D>(sums);
    }
}

impl<const D: usize, const FUSE: bool> Format<D> for F16<'_, D, FUSE> {
    #[inline(always)]
    fn pass<V: Vectors, const W: usize, const N: usize, const C: usize, const G: usize>(
        &self,
        panel: usize,
        tile: usize,
        biases: &[[[f32; LANES]; W]; G],
        out: Out<'_>,
    ) {
        let mut sums = start::<V::Register, W, N, C, G, D>(biases);
        let x = piece(self.x, tile, self.inputs);
        let Some(rows) = rows::<_, W, G>(self.w, panel, x.len()) else { return };
        sweep!(rows, x, sums, |sums, row, x| {
            for n in 0..N {
                multiply_add::<_, N, D, FUSE>(sums, n, V::Register::load_f16(at::<_, W>(row, C * N + n)), x);
            }
        });
        out.put::<_, W, N, G, D>(sums);
    }
}

impl<const D: usize, const FUSE: bool> Format<D> for Bf16<'_, D, FUSE> {
    #[inline(always)]
    fn pass<V: Vectors, const W: usize, const N: usize, const C: usize, const G: usize>(
        &self,
        panel: usize,
        tile: usize,
        biases: &[[[f32; LANES]; W]; G],
        out: Out<'_>,
    ) {
        let mut sums = start::<V::Register, W, N, C, G, D>(biases);
        let (pairs, last) = piece(self.x, tile, self.inputs).as_chunks::<2>();
        let Some(rows) = rows::<_, W, G>(self.w, panel, self.inputs.div_ceil(2)) else { return };
        sweep!(rows, pairs, sums, |sums, row, [even, odd]| {
            for n in 0..N {
                let (low, high) = V::Register::load_bf16(at::<_, W>(row, C * N + n));
                multiply_add::<_, N, D, FUSE>(sums, n, low, even);
                multiply_add::<_, N, D, FUSE>(sums, n, high, odd);
            }
        });
        if let [x] = last {
            for (sums, rows) in sums.iter_mut().zip(rows) {
                let Some(row) = rows.last() else { return };
                for n in 0..N {
                    let low = V::Register::load_bf16(at::<_, W>(row, C * N + n)).0;
                    multiply_add::<_, N, D, FUSE>(sums, n, low, x);
                }
            }
        }
        out.put::<_, W, N, G, D>(sums);
    }
}

impl<const D: usize> Format<D> for I8<'_, D> {
    #[inline(always)]
    fn pass<V: Vectors, const W: usize, const N: usize, const C: usize, const G: usize>(
        &self,
        panel: usize,
        tile: usize,
        biases: &[[[f32; LANES]; W]; G],
        mut out: Out<'_>,
    ) {
        // Quads are padded to whole blocks of sixteen inputs.
        let quads = piece(self.quads, tile, quads_len(self.inputs));
        for (g, bias) in biases.iter().enumerate() {
            let panel = panel + g;
            let mut sums = [[V::Sums::zero(); N]; D];
            let weights = self.integers.weights.as_chunks::<LANES>().0.as_chunks::<W>().0;
            for (row, quads) in piece(weights, panel, self.inputs.div_ceil(4)).iter().zip(quads) {
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
            out.at(0, g * W).put::<_, W, N, 1, D>([results]);
        }
    }
}

/// The rows of `G` panels of `W` registers from `panel` on, `count` of each.
#[inline(always)]
fn rows<T, const W: usize, const G: usize>(
    weights: &[[T; LANES]],
    panel: usize,
    count: usize,
) -> Option<[&[[[T; LANES]; W]]; G]> {
    let weights = weights.as_chunks::<W>().0;
    let mut rows: [&[[[T; LANES]; W]]; G] = [&[]; G];
    for (g, rows) in rows.iter_mut().enumerate() {
        *rows = weights.get((panel + g) * count..)?.get(..count)?;
    }
    Some(rows)
}

/// The biases: where every sum begins.
#[inline(always)]
fn start<S: F32x16, const W: usize, const N: usize, const C: usize, const G: usize, const D: usize>(
    biases: &[[[f32; LANES]; W]; G],
) -> [[[S; N]; D]; G] {
    let mut sums = [[[S::splat(0.0); N]; D]; G];
    for (sums, bias) in sums.iter_mut().zip(biases) {
        for sums in sums {
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum = S::load(at(bias, C * N + n));
            }
        }
    }
    sums
}

/// `sums[d][n] += weights·x[d]`: multiply, round, add, round. This order is the contract; where the product is exact, and so not
/// rounded, `FUSE` makes it one instruction.
#[inline(always)]
fn multiply_add<S: F32x16, const N: usize, const D: usize, const FUSE: bool>(
    sums: &mut [[S; N]; D],
    n: usize,
    weights: S,
    x: &[f32; D],
) {
    for (sums, &x) in sums.iter_mut().zip(x) {
        let x = S::splat(x);
        sums[n] = if FUSE { sums[n].add_exact_product(weights, x) } else { sums[n].add(weights.mul(x)) };
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
