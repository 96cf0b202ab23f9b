//! Sixteen lanes as four 128-bit registers (wasm32 with simd128, fixed when the module is compiled).

#![allow(clippy::redundant_closure)] // functions with target features are no `Fn`

use super::{ByteSums, F32x16, I32x16, Quad, chunk_of_sixteen, entry_points, pairs};
use core::arch::wasm32::*;
use dreamstep_core::dims::LANES;
use dreamstep_core::maths::{CANONICAL_NAN, Lane, SQRT_HALF_BITS};
use dreamstep_core::precision::F16_BIAS;

/// A module with simd128 runs where simd128 is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token(());

struct Vectors;

impl super::Vectors for Vectors {
    type Register = Register;
    type Sums = Sums;
    type ByteSums = Sums;
    type Chunk = Register;
}

entry_points!([], columns = [2, 2, 1], tile = [1, 1, 2], pixels = 3);

/// Four quarters of four lanes.
#[derive(Clone, Copy)]
pub(crate) struct Register([v128; 4]);

impl Register {
    #[inline(always)]
    fn each(self, f: impl Fn(v128) -> v128) -> Self {
        Self(self.0.map(f))
    }
    #[inline(always)]
    fn pair(self, rhs: Self, f: impl Fn(v128, v128) -> v128) -> Self {
        let ([a, b, c, d], [e, g, h, i]) = (self.0, rhs.0);
        Self([f(a, e), f(b, g), f(c, h), f(d, i)])
    }
}

/// The bits of √½ less those of `a`, shifted: see [`Lane::split_at_sqrt_half`].
#[inline(always)]
fn exponent(a: v128) -> v128 {
    i32x4_shr(i32x4_sub(a, i32x4_splat(SQRT_HALF_BITS as i32)), 23)
}

impl Lane for Register {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([f32x4_splat(value); 4])
    }
    #[inline(always)]
    fn add(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| f32x4_add(a, b))
    }
    #[inline(always)]
    fn sub(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| f32x4_sub(a, b))
    }
    #[inline(always)]
    fn mul(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| f32x4_mul(a, b))
    }
    #[inline(always)]
    fn div(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| f32x4_div(a, b))
    }
    #[inline(always)]
    fn max(self, rhs: Self) -> Self {
        // `pmax(a, b)` is `if a < b { b } else { a }`.
        self.pair(rhs, |a, b| f32x4_pmax(b, a))
    }
    #[inline(always)]
    fn min(self, rhs: Self) -> Self {
        // `pmin(a, b)` is `if b < a { b } else { a }`.
        self.pair(rhs, |a, b| f32x4_pmin(b, a))
    }
    #[inline(always)]
    fn select_lt(a: Self, b: Self, yes: Self, no: Self) -> Self {
        let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (a.0, b.0);
        let ([y0, y1, y2, y3], [n0, n1, n2, n3]) = (yes.0, no.0);
        let select = |a, b, yes, no| v128_bitselect(yes, no, f32x4_lt(a, b));
        Self([select(a0, b0, y0, n0), select(a1, b1, y1, n1), select(a2, b2, y2, n2), select(a3, b3, y3, n3)])
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.each(|a| v128_andnot(a, f32x4_splat(-0.0)))
    }
    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        self.pair(sign, |a, s| v128_bitselect(s, a, f32x4_splat(-0.0)))
    }
    #[inline(always)]
    fn nan_where_nan(self, of: Self) -> Self {
        self.pair(of, |a, x| v128_bitselect(a, f32x4_splat(CANONICAL_NAN), f32x4_eq(x, x)))
    }
    #[inline(always)]
    fn pow2_of_magic(self) -> Self {
        self.each(|a| i32x4_add(i32x4_shl(a, 23), i32x4_splat(0x3f80_0000)))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.each(|a| f32x4_sqrt(a))
    }
    #[inline(always)]
    fn split_at_sqrt_half(self) -> (Self, Self) {
        let mantissa = |a| i32x4_sub(a, i32x4_shl(exponent(a), 23));
        (self.each(|a| f32x4_convert_i32x4(exponent(a))), self.each(mantissa))
    }
}

impl F32x16 for Register {
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        let from: *const v128 = from.as_ptr().cast();
        // SAFETY: `from` is the start of 64 readable bytes, and these loads need no alignment.
        Self([0, 1, 2, 3].map(|at| unsafe { v128_load(from.add(at)) }))
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        for (quarter, to) in self.0.into_iter().zip(to.as_chunks_mut::<4>().0) {
            // SAFETY: `to` are 16 writable bytes, and this store needs no alignment.
            unsafe { v128_store(to.as_mut_ptr().cast(), quarter) };
        }
    }
    #[inline(always)]
    fn load_f16(from: &[u16; LANES]) -> Self {
        let from: *const v128 = from.as_ptr().cast();
        // SAFETY: `from` is the start of 32 readable bytes, and these loads need no alignment.
        let (a, b) = unsafe { (v128_load(from), v128_load(from.add(1))) };
        // Exponent and fraction into place, the bias put right by a product; see `dreamstep_core::precision::f16_to_f32`.
        let widen = |half| {
            let magnitude = f32x4_mul(i32x4_shl(v128_and(half, i32x4_splat(0x7fff)), 13), f32x4_splat(F16_BIAS));
            v128_or(magnitude, i32x4_shl(v128_and(half, i32x4_splat(0x8000)), 16))
        };
        let (low, high) = (|halves| u32x4_extend_low_u16x8(halves), |halves| u32x4_extend_high_u16x8(halves));
        Self([widen(low(a)), widen(high(a)), widen(low(b)), widen(high(b))])
    }
    #[inline(always)]
    fn load_bf16(from: &[u32; LANES]) -> (Self, Self) {
        let from: *const v128 = from.as_ptr().cast();
        // SAFETY: `from` is the start of 64 readable bytes, and these loads need no alignment.
        let pairs = [0, 1, 2, 3].map(|at| unsafe { v128_load(from.add(at)) });
        let high = pairs.map(|pairs| v128_and(pairs, i32x4_splat(0xffff_0000_u32 as i32)));
        (Self(pairs.map(|pairs| i32x4_shl(pairs, 16))), Self(high))
    }
}

chunk_of_sixteen!(Register);

/// Four quarters of four sums.
#[derive(Clone, Copy)]
pub(crate) struct Sums([v128; 4]);

impl I32x16 for Sums {
    type Total = Register;
    #[inline(always)]
    fn zero() -> Self {
        Self([i32x4_splat(0); 4])
    }
    #[inline(always)]
    fn dot(mut self, weights: &[[i8; 4]; LANES], &[first, second]: &Quad) -> Self {
        let (first, second) = (i32x4_splat(first as i32), i32x4_splat(second as i32));
        for (sum, weights) in self.0.iter_mut().zip(weights.as_chunks::<4>().0) {
            // SAFETY: `weights` are 16 readable bytes, and this load needs no alignment.
            let bytes = unsafe { v128_load(weights.as_ptr().cast()) };
            // The even bytes, then the odd ones, as 16-bit integers; pairs of them times pairs of inputs.
            let even = i32x4_dot_i16x8(i16x8_shr(i16x8_shl(bytes, 8), 8), first);
            let odd = i32x4_dot_i16x8(i16x8_shr(bytes, 8), second);
            *sum = i32x4_add(*sum, i32x4_add(even, odd));
        }
        self
    }
    #[inline(always)]
    fn total(self, _weight_sums: &[i32; LANES]) -> Register {
        Register(self.0.map(|sum| f32x4_convert_i32x4(sum)))
    }
}

impl ByteSums for Sums {
    type Total = Register;
    #[inline(always)]
    fn zero() -> Self {
        I32x16::zero()
    }
    /// As [`I32x16::dot`]'s, of which the even bytes are here the first and the third.
    #[inline(always)]
    fn dot(self, weights: &[[i8; 4]; LANES], inputs: [u8; 4]) -> Self {
        I32x16::dot(self, weights, &pairs(inputs))
    }
    #[inline(always)]
    fn total(self) -> Register {
        I32x16::total(self, &[0; LANES])
    }
}
