//! How is a convolution computed? Written once over a register of sixteen lanes, as [`crate::matvec`] is; [`dreamstep_core::v::conv`] says in which
//! order, [`dreamstep_core::precision`] what, to the last bit.
//!
//! Maps lie row after row, channels innermost, so that the inputs of a kernel's row lie side by side: nothing is copied together first. A pass
//! holds the sums of sixteen output channels for `D` pixels; each output of each pixel is a chain of its own, so that
//! neither number changes a result. Where pixels are left over at the end, the last pass begins sooner and computes some a second time.

use crate::kernels::{ByteSums, F32x16, Vectors};
use crate::layer::{Layer, Weights};
use crate::matvec::blocks;
use dreamstep_core::dims::LANES;
use dreamstep_core::maths::{Lane, MAGIC};
use dreamstep_core::precision::{BF16_INPUT_BITS, F16_INPUT_BITS, round_input};

/// A convolution's weights `[P, K, 16]` in panels and its biases `[P·16]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filters<'f> {
    bias: &'f [f32],
    weights: Values<'f>,
}

#[derive(Clone, Copy, Debug)]
enum Values<'f> {
    F32(&'f [f32]),
    F16(&'f [u16]),
    F16Unrounded(&'f [u16]),
    Bf16(&'f [u32]),
    Bytes(Bytes<'f>),
}

/// Integer weights that meet bytes, and what a unit of their sums is worth.
#[derive(Clone, Copy, Debug)]
struct Bytes<'f> {
    weights: &'f [[i8; 4]],
    scales: &'f [f32], // [P·16]
}

impl<'f> Filters<'f> {
    /// Those of a layer that was read as a convolution's.
    pub(crate) fn of(layer: &Layer<'f>) -> Option<Self> {
        let weights = match layer.weights {
            Weights::F32(w) => Values::F32(w),
            Weights::F16(w) => Values::F16(w),
            Weights::Bf16(w) => Values::Bf16(w),
            Weights::Bytes { weights, scales } => Values::Bytes(Bytes { weights, scales }),
            Weights::F16Unrounded(w) => Values::F16Unrounded(w),
            Weights::I8(_) => return None,
        };
        Some(Self { bias: layer.bias, weights })
    }

    /// Whether they meet bytes.
    pub(crate) const fn are_of_bytes(&self) -> bool {
        matches!(self.weights, Values::Bytes(_))
    }
}

/// Which pixels a call computes, and where they and what they read lie. Distances are in values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Pixels of the output: rows and columns.
    pub(crate) pixels: [usize; 2],
    /// Where the first pixel's inputs begin.
    pub(crate) from: usize,
    /// Of the layer's inputs, the first that the kernel meets, and all.
    pub(crate) base: usize,
    pub(crate) inputs: usize,
    /// Rows of the kernel.
    pub(crate) kernel: usize,
    /// Inputs of one of them, side by side.
    pub(crate) run: usize,
    /// From one row of the input to the next.
    pub(crate) row: usize,
    /// From the first input of a pixel to that of the pixel below it, and to its right.
    pub(crate) step: [usize; 2],
    /// The first output's place.
    pub(crate) at: usize,
    /// From a pixel's outputs to those of the pixel below it, and to its right: at least as many as there are output channels, padded.
    pub(crate) out: [usize; 2],
    /// Whether outputs stay as they are: neither `max(y, 0)` nor rounded.
    pub(crate) is_last: bool,
}

impl Window {
    /// `D` pixels from pixel `first` on: where what each reads begins, and where its outputs go.
    #[inline(always)]
    fn places<const D: usize>(&self, first: usize) -> ([usize; D], [usize; D]) {
        let [_, columns] = self.pixels;
        // One division for all: it takes longer than some of what it counts.
        let (mut y, mut x) = (first.checked_div(columns).unwrap_or(0), first.checked_rem(columns).unwrap_or(0));
        let (mut from, mut to) = ([0; D], [0; D]);
        for (from, to) in from.iter_mut().zip(&mut to) {
            *from = self.from + y * self.step[0] + x * self.step[1];
            *to = self.at + y * self.out[0] + x * self.out[1];
            x += 1;
            (y, x) = if x == columns { (y + 1, 0) } else { (y, x) };
        }
        (from, to)
    }
}

/// Numbers in, numbers out, `max(y, 0)`: a layer of f32, f16 or bf16. In an f16 or bf16 file the inputs are rounded already, and the outputs are
/// left so.
#[inline(always)]
pub(crate) fn convolve<V: Vectors, const D: usize>(filters: &Filters<'_>, window: &Window, x: &[f32], out: &mut [f32]) {
    match filters.weights {
        Values::F32(w) => panels::<V, _, D>(&F32(blocks(w)), filters, window, x, out),
        Values::F16(w) => {
            panels::<V, _, D>(&F16::<'_, true>(w.as_chunks().0), filters, window, x, out);
            round_rows::<F16_INPUT_BITS>(window, out);
        }
        Values::F16Unrounded(w) => {
            panels::<V, _, D>(&F16::<'_, false>(w.as_chunks().0), filters, window, x, out);
        }
        Values::Bf16(w) => {
            panels::<V, _, D>(&Bf16(w.as_chunks().0), filters, window, x, out);
            round_rows::<BF16_INPUT_BITS>(window, out);
        }
        Values::Bytes(_) => {}
    }
}

/// Bytes in, bytes out: an i8 layer, its outputs in the next one's units.
#[inline(always)]
pub(crate) fn convolve_bytes<V: Vectors, const D: usize>(filters: &Filters<'_>, window: &Window, x: &[u8], out: &mut [u8]) {
    if let Values::Bytes(bytes) = filters.weights {
        panels::<V, _, D>(&ToBytes(bytes), filters, window, x, out);
    }
}

/// Bytes in, numbers out: an i8 chain's last layer.
#[inline(always)]
pub(crate) fn convolve_last<V: Vectors, const D: usize>(filters: &Filters<'_>, window: &Window, x: &[u8], out: &mut [f32]) {
    if let Values::Bytes(bytes) = filters.weights {
        panels::<V, _, D>(&ToNumbers(bytes), filters, window, x, out);
    }
}

/// A layer's inputs where no convolution wrote them: rounded where the file's products are exact.
#[inline(always)]
pub(crate) fn round(filters: &Filters<'_>, x: &mut [f32]) {
    match filters.weights {
        Values::F16(_) => x.iter_mut().for_each(|x| *x = round_input::<F16_INPUT_BITS>(*x)),
        Values::Bf16(_) => x.iter_mut().for_each(|x| *x = round_input::<BF16_INPUT_BITS>(*x)),
        _ => {}
    }
}

/// What a picture's bytes are to a layer of numbers: `byte · scale`, rounded where the file's products are exact.
#[inline(always)]
pub(crate) fn numbers(filters: &Filters<'_>, scale: f32, bytes: &[u8], x: &mut [f32]) {
    x.iter_mut().zip(bytes).for_each(|(x, &byte)| *x = f32::from(byte) * scale);
    round(filters, x.get_mut(..bytes.len()).unwrap_or_default());
}

/// The outputs of a window, rounded: once, for all that read them.
#[inline(always)]
fn round_rows<const BITS: u32>(window: &Window, out: &mut [f32]) {
    if window.is_last {
        return;
    }
    let [rows, columns] = window.pixels;
    for y in 0..rows {
        let row = out.get_mut(window.at + y * window.out[0]..).and_then(|rest| rest.get_mut(..columns * window.out[1]));
        row.unwrap_or_default().iter_mut().for_each(|value| *value = round_input::<BITS>(*value));
    }
}

/// A precision's weights, with what they meet and what comes out.
trait Format {
    /// An input.
    type X: Copy;
    /// An output.
    type Y;

    /// The outputs in panel `panel` of `D` pixels, whose inputs begin at `from`.
    fn sums<V: Vectors, const D: usize>(
        &self,
        window: &Window,
        panel: usize,
        bias: &[f32; LANES],
        x: &[Self::X],
        from: [usize; D],
    ) -> [V::Register; D];

    /// Sixteen outputs, none of them negative.
    fn store<S: F32x16>(outputs: S, to: &mut [Self::Y; LANES]);
}

struct F32<'a>(&'a [[f32; LANES]]);
/// With products that are exact, or multiply, then add.
struct F16<'a, const EXACT: bool>(&'a [[u16; LANES]]);
struct Bf16<'a>(&'a [[u32; LANES]]);
struct ToBytes<'a>(Bytes<'a>);
struct ToNumbers<'a>(Bytes<'a>);

/// Every panel over all pixels: its weights stay near.
#[inline(always)]
fn panels<V: Vectors, F: Format, const D: usize>(
    format: &F,
    filters: &Filters<'_>,
    window: &Window,
    x: &[F::X],
    out: &mut [F::Y],
) {
    let count = window.pixels[0] * window.pixels[1];
    for (panel, bias) in blocks(filters.bias).iter().enumerate() {
        // A map smaller than a tile takes tiles of four: of one pixel's sums alone, each waits for itself.
        match count {
            _ if count >= D => pixels::<V, F, D>(format, window, panel, bias, x, out),
            4.. if D > 4 => pixels::<V, F, 4>(format, window, panel, bias, x, out),
            _ => pixels::<V, F, 1>(format, window, panel, bias, x, out),
        }
    }
}

/// All pixels, `D` at a time, of which there are as many. The last tile begins sooner where it would not be full.
#[inline(always)]
fn pixels<V: Vectors, F: Format, const D: usize>(
    format: &F,
    window: &Window,
    panel: usize,
    bias: &[f32; LANES],
    x: &[F::X],
    out: &mut [F::Y],
) {
    let (count, mut first) = (window.pixels[0] * window.pixels[1], 0);
    let (zero, channel) = (V::Register::splat(0.0), panel * LANES);
    while first < count {
        let (from, to) = window.places::<D>(if first + D <= count { first } else { count - D });
        let sums = format.sums::<V, D>(window, panel, bias, x, from);
        for (sum, to) in sums.into_iter().zip(to) {
            if let Some(place) = out.get_mut(to + channel..).and_then(<[F::Y]>::first_chunk_mut) {
                F::store(if window.is_last { sum } else { sum.max(zero) }, place);
            }
        }
        first += D;
    }
}

/// Goes through the rows of a panel's weights, kernel row by kernel row, each with its group of inputs of every pixel. (A macro: what a closure does
/// may be compiled outside of the entry point, and without its instructions. Zipped, not indexed: an index is checked in the innermost loop.)
macro_rules! sweep {
    ($weights:expr, $group:literal, $window:expr, $panel:expr, $x:expr, $from:expr, |$row:ident, $inputs:ident| $step:expr) => {
        let run = $window.run / $group;
        for ky in 0..$window.kernel {
            let Some(rows) = $weights.get(($panel * $window.inputs + $window.base) / $group + ky * run..).and_then(|rest| rest.get(..run)) else { break };
            let mut there: [&[[_; $group]]; D] = [&[]; D];
            for (inputs, from) in there.iter_mut().zip($from) {
                let all = $x.get(from + ky * $window.row..).unwrap_or_default().as_chunks::<$group>().0;
                *inputs = all.get(..run).unwrap_or_default();
            }
            debug_assert!(there.iter().all(|inputs| inputs.len() == run), "a convolution's inputs");
            sweep!(@pixels rows, there, $row, $inputs, $step, 1 (a) 3 (a b c) 4 (a b c d) 6 (a b c d e f) 8 (a b c d e f g h));
        }
    };
    // As many pixels as there are: of each number an arm, of which one is compiled.
    (@pixels $rows:ident, $there:ident, $row:ident, $inputs:ident, $step:expr, $($count:literal ($($pixel:ident)*))*) => {$(
        if let (true, Some([$($pixel),*])) = (D == $count, $there.first_chunk::<$count>()) {
            for sweep!(@pattern [$row] $($pixel)*) in $rows.iter()$(.zip(*$pixel))* {
                let $inputs: [_; D] = exactly([$(*$pixel),*]);
                $step
            }
        }
    )*};
    (@pattern [$($pattern:tt)*]) => { $($pattern)* };
    (@pattern [$($pattern:tt)*] $pixel:ident $($more:ident)*) => { sweep!(@pattern [($($pattern)*, $pixel)] $($more)*) };
}

/// The same values where `M` is `D`, as it is.
#[inline(always)]
fn exactly<X: Copy, const M: usize, const D: usize>(values: [X; M]) -> [X; D] {
    let mut all = [values[0]; D];
    for (value, from) in all.iter_mut().zip(values) {
        *value = from;
    }
    all
}

impl Format for F32<'_> {
    type X = f32;
    type Y = f32;

    #[inline(always)]
    fn sums<V: Vectors, const D: usize>(
        &self,
        window: &Window,
        panel: usize,
        bias: &[f32; LANES],
        x: &[f32],
        from: [usize; D],
    ) -> [V::Register; D] {
        let mut sums = [V::Register::load(bias); D];
        sweep!(self.0, 1, window, panel, x, from, |row, inputs| {
            let w = V::Register::load(row);
            for (sum, [x]) in sums.iter_mut().zip(inputs) {
                *sum = sum.add(w.mul(V::Register::splat(x)));
            }
        });
        sums
    }

    #[inline(always)]
    fn store<S: F32x16>(outputs: S, to: &mut [f32; LANES]) {
        outputs.store(to);
    }
}

impl<const EXACT: bool> Format for F16<'_, EXACT> {
    type X = f32;
    type Y = f32;

    #[inline(always)]
    fn sums<V: Vectors, const D: usize>(
        &self,
        window: &Window,
        panel: usize,
        bias: &[f32; LANES],
        x: &[f32],
        from: [usize; D],
    ) -> [V::Register; D] {
        let mut sums = [V::Register::load(bias); D];
        sweep!(self.0, 1, window, panel, x, from, |row, inputs| {
            let w = V::Register::load_f16(row);
            for (sum, [x]) in sums.iter_mut().zip(inputs) {
                let x = V::Register::splat(x);
                *sum = if EXACT { sum.add_exact_product(w, x) } else { sum.add(w.mul(x)) };
            }
        });
        sums
    }

    #[inline(always)]
    fn store<S: F32x16>(outputs: S, to: &mut [f32; LANES]) {
        outputs.store(to);
    }
}

impl Format for Bf16<'_> {
    type X = f32;
    type Y = f32;

    #[inline(always)]
    fn sums<V: Vectors, const D: usize>(
        &self,
        window: &Window,
        panel: usize,
        bias: &[f32; LANES],
        x: &[f32],
        from: [usize; D],
    ) -> [V::Register; D] {
        let mut sums = [V::Register::load(bias); D];
        sweep!(self.0, 2, window, panel, x, from, |row, inputs| {
            let (low, high) = V::Register::load_bf16(row);
            for (sum, [even, odd]) in sums.iter_mut().zip(inputs) {
                *sum = sum.add_exact_product(low, V::Register::splat(even)).add_exact_product(high, V::Register::splat(odd));
            }
        });
        sums
    }

    #[inline(always)]
    fn store<S: F32x16>(outputs: S, to: &mut [f32; LANES]) {
        outputs.store(to);
    }
}

/// `b[n] + s[n]·Σ q[n,k]·a[k]`.
#[inline(always)]
fn of_bytes<V: Vectors, const D: usize>(
    bytes: &Bytes<'_>,
    window: &Window,
    panel: usize,
    bias: &[f32; LANES],
    x: &[u8],
    from: [usize; D],
) -> [V::Register; D] {
    let mut dots = [V::ByteSums::zero(); D];
    let weights = bytes.weights.as_chunks::<LANES>().0;
    sweep!(weights, 4, window, panel, x, from, |row, inputs| {
        for (dot, inputs) in dots.iter_mut().zip(inputs) {
            *dot = dot.dot(row, inputs);
        }
    });
    let mut sums = [V::Register::load(bias); D];
    let Some(scales) = blocks(bytes.scales).get(panel) else { return sums };
    for (sum, dot) in sums.iter_mut().zip(dots) {
        *sum = sum.add(dot.total().mul(V::Register::load(scales)));
    }
    sums
}

impl Format for ToBytes<'_> {
    type X = u8;
    type Y = u8;

    #[inline(always)]
    fn sums<V: Vectors, const D: usize>(
        &self,
        window: &Window,
        panel: usize,
        bias: &[f32; LANES],
        x: &[u8],
        from: [usize; D],
    ) -> [V::Register; D] {
        of_bytes::<V, D>(&self.0, window, panel, bias, x, from)
    }

    /// To the nearest integer, ties to even, at most 127.
    #[inline(always)]
    fn store<S: F32x16>(outputs: S, to: &mut [u8; LANES]) {
        let mut shifted = [0.0; LANES];
        outputs.min(S::splat(LARGEST)).add(S::splat(MAGIC)).store(&mut shifted);
        *to = shifted.map(|value| value.to_bits() as u8);
    }
}

impl Format for ToNumbers<'_> {
    type X = u8;
    type Y = f32;

    #[inline(always)]
    fn sums<V: Vectors, const D: usize>(
        &self,
        window: &Window,
        panel: usize,
        bias: &[f32; LANES],
        x: &[u8],
        from: [usize; D],
    ) -> [V::Register; D] {
        of_bytes::<V, D>(&self.0, window, panel, bias, x, from)
    }

    #[inline(always)]
    fn store<S: F32x16>(outputs: S, to: &mut [f32; LANES]) {
        outputs.store(to);
    }
}

/// The largest integer that an activation is.
const LARGEST: f32 = 127.0;
