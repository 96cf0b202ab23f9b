//! Sixteen lanes in safe Rust: the specification of every other back end, and what runs where none of them does. Each lane is
//! `f32`'s own [`Lane`]; compilers turn the loops into whatever vectors the target has.

use super::{ByteSums, Chunk, F32x16, I32x16, Quad, entry_points};
use dreamstep_core::dims::LANES;
use dreamstep_core::maths::Lane;
use dreamstep_core::precision::{bf16_to_f32, f16_to_f32};

/// Every processor runs this.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token(());

struct Vectors;

impl super::Vectors for Vectors {
    type Register = Register;
    type Sums = Sums;
    type ByteSums = Sums;
    type Chunk = f32;
}

// One column of sixteen sums is what a microcontroller's registers hold; with 128-bit vectors it is four of them.
entry_points!([], columns = [1, 1, 1], tile = [1, 1, 2], pixels = 1);

/// Sixteen `f32`.
#[derive(Clone, Copy)]
pub(crate) struct Register([f32; LANES]);

/// Methods of [`Lane`] applied lane by lane. Zipped, not indexed: an index leaves a bounds check, and with it a panic, wherever the
/// compiler does not inline.
macro_rules! lanewise {
    (unary: $($name:ident),*) => {$(
        #[inline(always)]
        fn $name(mut self) -> Self {
            for lane in &mut self.0 {
                *lane = Lane::$name(*lane);
            }
            self
        }
    )*};
    (binary: $($name:ident),*) => {$(
        #[inline(always)]
        fn $name(mut self, rhs: Self) -> Self {
            for (lane, rhs) in self.0.iter_mut().zip(&rhs.0) {
                *lane = Lane::$name(*lane, *rhs);
            }
            self
        }
    )*};
}

impl Lane for Register {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }
    lanewise!(unary: abs, pow2_of_magic, sqrt);
    lanewise!(binary: add, sub, mul, div, max, min, copysign, nan_where_nan);
    #[inline(always)]
    fn select_lt(mut a: Self, b: Self, yes: Self, no: Self) -> Self {
        for ((a, b), (yes, no)) in a.0.iter_mut().zip(&b.0).zip(yes.0.iter().zip(&no.0)) {
            *a = Lane::select_lt(*a, *b, *yes, *no);
        }
        a
    }
    #[inline(always)]
    fn split_at_sqrt_half(mut self) -> (Self, Self) {
        let mut exponents = self;
        for (lane, exponent) in self.0.iter_mut().zip(&mut exponents.0) {
            (*exponent, *lane) = lane.split_at_sqrt_half();
        }
        (exponents, self)
    }
}

impl F32x16 for Register {
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        Self(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }
    #[inline(always)]
    fn load_f16(from: &[u16; LANES]) -> Self {
        Self(from.map(f16_to_f32))
    }
    #[inline(always)]
    fn load_bf16(from: &[u32; LANES]) -> (Self, Self) {
        (Self(from.map(|pair| bf16_to_f32(pair as u16))), Self(from.map(|pair| bf16_to_f32((pair >> 16) as u16))))
    }
}

/// Sixteen sums of integer products.
#[derive(Clone, Copy)]
pub(crate) struct Sums([i32; LANES]);

impl I32x16 for Sums {
    type Total = Register;
    #[inline(always)]
    fn zero() -> Self {
        Self([0; LANES])
    }
    #[inline(always)]
    fn dot(mut self, weights: &[[i8; 4]; LANES], &[first, second]: &Quad) -> Self {
        let signed = |half: u32| i32::from(half as u16 as i16);
        let inputs = [signed(first), signed(second), signed(first >> 16), signed(second >> 16)]; // 0, 2, 1, 3 as the weights stand
        for (sum, weights) in self.0.iter_mut().zip(weights) {
            // As one word: that is a load and shifts where there are vectors, and where there are none.
            let word = i32::from_le_bytes(weights.map(i8::cast_unsigned));
            // No sum of these leaves 32 bits, in whatever order: `levels` sees to it. Wrapping, because then nothing can panic.
            for (shift, input) in [24, 16, 8, 0].into_iter().zip(inputs) {
                *sum = sum.wrapping_add((word << shift >> 24).wrapping_mul(input));
            }
        }
        self
    }
    #[inline(always)]
    fn total(self, _weight_sums: &[i32; LANES]) -> Register {
        Register(self.0.map(|sum| sum as f32))
    }
}

impl ByteSums for Sums {
    type Total = Register;
    #[inline(always)]
    fn zero() -> Self {
        Self([0; LANES])
    }
    #[inline(always)]
    fn dot(mut self, weights: &[[i8; 4]; LANES], inputs: [u8; 4]) -> Self {
        let inputs = inputs.map(i32::from);
        for (sum, weights) in self.0.iter_mut().zip(weights) {
            let word = i32::from_le_bytes(weights.map(i8::cast_unsigned));
            // Wrapping, because then nothing can panic: no sum leaves 32 bits.
            for (shift, input) in [24, 16, 8, 0].into_iter().zip(inputs) {
                *sum = sum.wrapping_add((word << shift >> 24).wrapping_mul(input));
            }
        }
        self
    }
    #[inline(always)]
    fn total(self) -> Register {
        Register(self.0.map(|sum| sum as f32))
    }
}

impl Chunk for f32 {
    type Cell = f32;
    const SIZE: usize = 1;
    #[inline(always)]
    fn cells(values: &[f32]) -> &[f32] {
        values
    }
    #[inline(always)]
    fn cells_mut(values: &mut [f32]) -> &mut [f32] {
        values
    }
    #[inline(always)]
    fn read(from: &f32) -> Self {
        *from
    }
    #[inline(always)]
    fn write(self, to: &mut f32) {
        *to = self;
    }
}
