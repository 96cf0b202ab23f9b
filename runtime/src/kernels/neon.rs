//! Sixteen lanes as four 128-bit registers (NEON, which every aarch64 has but soft-float targets). Only exact products are fused
//! ([`F32x16::add_exact_product`]): everywhere else the contract is multiply, then add. Maxima and minima are compare and select, because
//! the instructions of those names order zeros and NaN in their own way.

use super::{ByteSums, F32x16, I32x16, Quad, chunk_of_sixteen, entry_points};
use core::arch::aarch64::*;
use dreamstep_core::dims::LANES;
use dreamstep_core::maths::{CANONICAL_NAN, Lane, SQRT_HALF_BITS};
use dreamstep_core::precision::F16_BIAS;

/// A program compiled with NEON runs where NEON is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token(());

struct Vectors;

impl super::Vectors for Vectors {
    type Register = Register;
    type Sums = Sums;
    type ByteSums = Sums;
    type Chunk = Register;
}

// Thirty-two registers: sixteen sums.
entry_points!([], columns = [4, 2, 1], tile = [1, 1, 4], pixels = 6);

/// Four quarters of four lanes.
#[derive(Clone, Copy)]
pub(crate) struct Register([float32x4_t; 4]);

/// An expression of NEON intrinsics.
macro_rules! neon {
    ($e:expr) => {{
        // SAFETY: NEON is part of this target. None of the intrinsics used here takes a pointer (loads and stores say their own).
        #[allow(unused_unsafe)]
        unsafe {
            $e
        }
    }};
}

impl Register {
    #[inline(always)]
    fn each(self, f: impl Fn(float32x4_t) -> float32x4_t) -> Self {
        Self(self.0.map(f))
    }
    #[inline(always)]
    fn pair(self, rhs: Self, f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
        let ([a, b, c, d], [e, g, h, i]) = (self.0, rhs.0);
        Self([f(a, e), f(b, g), f(c, h), f(d, i)])
    }
}

/// The bits of √½ less those of `a`, shifted: see [`Lane::split_at_sqrt_half`].
#[inline(always)]
fn exponent(a: float32x4_t) -> int32x4_t {
    neon!(vshrq_n_s32::<23>(vsubq_s32(vreinterpretq_s32_f32(a), vdupq_n_s32(SQRT_HALF_BITS as i32))))
}

impl Lane for Register {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([neon!(vdupq_n_f32(value)); 4])
    }
    #[inline(always)]
    fn add(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| neon!(vaddq_f32(a, b)))
    }
    #[inline(always)]
    fn sub(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| neon!(vsubq_f32(a, b)))
    }
    #[inline(always)]
    fn mul(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| neon!(vmulq_f32(a, b)))
    }
    #[inline(always)]
    fn div(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| neon!(vdivq_f32(a, b)))
    }
    #[inline(always)]
    fn max(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| neon!(vbslq_f32(vcgtq_f32(a, b), a, b)))
    }
    #[inline(always)]
    fn min(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| neon!(vbslq_f32(vcltq_f32(a, b), a, b)))
    }
    #[inline(always)]
    fn select_lt(a: Self, b: Self, yes: Self, no: Self) -> Self {
        let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (a.0, b.0);
        let ([y0, y1, y2, y3], [n0, n1, n2, n3]) = (yes.0, no.0);
        let select = |a, b, yes, no| neon!(vbslq_f32(vcltq_f32(a, b), yes, no));
        Self([select(a0, b0, y0, n0), select(a1, b1, y1, n1), select(a2, b2, y2, n2), select(a3, b3, y3, n3)])
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.each(|a| neon!(vabsq_f32(a)))
    }
    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        self.pair(sign, |a, s| neon!(vbslq_f32(vdupq_n_u32(0x8000_0000), s, a)))
    }
    #[inline(always)]
    fn nan_where_nan(self, of: Self) -> Self {
        self.pair(of, |a, x| neon!(vbslq_f32(vceqq_f32(x, x), a, vdupq_n_f32(CANONICAL_NAN))))
    }
    #[inline(always)]
    fn pow2_of_magic(self) -> Self {
        self.each(|a| {
            neon!({
                let shifted = vshlq_n_u32::<23>(vreinterpretq_u32_f32(a));
                vreinterpretq_f32_u32(vaddq_u32(shifted, vdupq_n_u32(0x3f80_0000)))
            })
        })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.each(|a| neon!(vsqrtq_f32(a)))
    }
    #[inline(always)]
    fn split_at_sqrt_half(self) -> (Self, Self) {
        let mantissa = |a| neon!(vreinterpretq_f32_s32(vsubq_s32(vreinterpretq_s32_f32(a), vshlq_n_s32::<23>(exponent(a)))));
        (self.each(|a| neon!(vcvtq_f32_s32(exponent(a)))), self.each(mantissa))
    }
}

impl F32x16 for Register {
    const FUSES: bool = true;
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        let from = from.as_ptr();
        // SAFETY: NEON as above; `from` is the start of sixteen readable values.
        Self([0, 4, 8, 12].map(|at| unsafe { vld1q_f32(from.add(at)) }))
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        for (quarter, to) in self.0.into_iter().zip(to.as_chunks_mut::<4>().0) {
            // SAFETY: NEON as above; `to` are four writable values.
            unsafe { vst1q_f32(to.as_mut_ptr(), quarter) };
        }
    }
    #[inline(always)]
    fn load_f16(from: &[u16; LANES]) -> Self {
        let from = from.as_ptr();
        // SAFETY: NEON as above; `from` is the start of sixteen readable values.
        let halves = [0, 4, 8, 12].map(|at| unsafe { vld1_u16(from.add(at)) });
        // Exponent and fraction into place, the bias put right by a product; see `dreamstep_core::precision::f16_to_f32`.
        Self(halves.map(|halves| {
            neon!({
                let half = vmovl_u16(halves);
                let magnitude = vreinterpretq_f32_u32(vshlq_n_u32::<13>(vandq_u32(half, vdupq_n_u32(0x7fff))));
                let magnitude = vmulq_f32(magnitude, vdupq_n_f32(F16_BIAS));
                let sign = vshlq_n_u32::<16>(vandq_u32(half, vdupq_n_u32(0x8000)));
                vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(magnitude), sign))
            })
        }))
    }
    #[inline(always)]
    fn load_bf16(from: &[u32; LANES]) -> (Self, Self) {
        let from = from.as_ptr();
        // SAFETY: NEON as above; `from` is the start of sixteen readable values.
        let pairs = [0, 4, 8, 12].map(|at| unsafe { vld1q_u32(from.add(at)) });
        let low = pairs.map(|pairs| neon!(vreinterpretq_f32_u32(vshlq_n_u32::<16>(pairs))));
        let high = pairs.map(|pairs| neon!(vreinterpretq_f32_u32(vandq_u32(pairs, vdupq_n_u32(0xffff_0000)))));
        (Self(low), Self(high))
    }
    #[inline(always)]
    fn add_exact_product(self, a: Self, b: Self) -> Self {
        let ([s0, s1, s2, s3], [a0, a1, a2, a3], [b0, b1, b2, b3]) = (self.0, a.0, b.0);
        let fused = |sum, a, b| neon!(vfmaq_f32(sum, a, b));
        Self([fused(s0, a0, b0), fused(s1, a1, b1), fused(s2, a2, b2), fused(s3, a3, b3)])
    }
}

chunk_of_sixteen!(Register);

/// Four quarters of four sums.
#[derive(Clone, Copy)]
pub(crate) struct Sums([int32x4_t; 4]);

impl I32x16 for Sums {
    type Total = Register;
    #[inline(always)]
    fn zero() -> Self {
        Self([neon!(vdupq_n_s32(0)); 4])
    }
    #[inline(always)]
    fn dot(mut self, weights: &[[i8; 4]; LANES], &[first, second]: &Quad) -> Self {
        let pair = |inputs| neon!(vreinterpret_s16_u32(vdup_n_u32(inputs)));
        let (first, second) = (pair(first), pair(second));
        for (sum, weights) in self.0.iter_mut().zip(weights.as_chunks::<4>().0) {
            // SAFETY: NEON as above; `weights` are 16 readable bytes.
            let bytes = unsafe { vreinterpretq_s16_s8(vld1q_s8(weights.as_ptr().cast())) };
            *sum = neon!({
                // The even bytes, then the odd ones, as 16-bit integers; their products, added up in pairs.
                let (even, odd) = (vshrq_n_s16::<8>(vshlq_n_s16::<8>(bytes)), vshrq_n_s16::<8>(bytes));
                let low = vmlal_s16(vmull_s16(vget_low_s16(even), first), vget_low_s16(odd), second);
                let high = vmlal_s16(vmull_s16(vget_high_s16(even), first), vget_high_s16(odd), second);
                vaddq_s32(*sum, vpaddq_s32(low, high))
            });
        }
        self
    }
    #[inline(always)]
    fn total(self, _weight_sums: &[i32; LANES]) -> Register {
        Register(self.0.map(|sum| neon!(vcvtq_f32_s32(sum))))
    }
}

impl ByteSums for Sums {
    type Total = Register;
    #[inline(always)]
    fn zero() -> Self {
        I32x16::zero()
    }
    #[inline(always)]
    fn dot(mut self, weights: &[[i8; 4]; LANES], inputs: [u8; 4]) -> Self {
        let inputs = neon!(vreinterpretq_s8_u32(vdupq_n_u32(u32::from_le_bytes(inputs))));
        for (sum, weights) in self.0.iter_mut().zip(weights.as_chunks::<4>().0) {
            // SAFETY: NEON as above; `weights` are 16 readable bytes.
            let bytes = unsafe { vld1q_s8(weights.as_ptr().cast()) };
            *sum = neon!({
                let low = vmull_s8(vget_low_s8(bytes), vget_low_s8(inputs));
                let high = vmull_s8(vget_high_s8(bytes), vget_high_s8(inputs));
                // Pairs of products add up to 2·127·128 at most: nothing overflows.
                vpadalq_s16(*sum, vpaddq_s16(low, high))
            });
        }
        self
    }
    #[inline(always)]
    fn total(self) -> Register {
        I32x16::total(self, &[0; LANES])
    }
}
