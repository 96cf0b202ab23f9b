//! Sixteen lanes as four 128-bit registers (SSE2, which every x86-64 has but soft-float targets).

use super::{ByteSums, F32x16, I32x16, Quad, chunk_of_sixteen, entry_points, pairs};
use core::arch::x86_64::*;
use dreamstep_core::dims::LANES;
use dreamstep_core::maths::{CANONICAL_NAN, Lane, SQRT_HALF_BITS};
use dreamstep_core::precision::F16_BIAS;

/// A program compiled with SSE2 runs where SSE2 is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token(());

struct Vectors;

impl super::Vectors for Vectors {
    type Register = Register;
    type Sums = Sums;
    type ByteSums = Sums;
    type Chunk = Register;
}

entry_points!([], columns = [4, 2, 1], tile = [1, 1, 2], pixels = 3);

/// Four quarters of four lanes.
#[derive(Clone, Copy)]
pub(crate) struct Register([__m128; 4]);

/// An expression of SSE2 intrinsics.
macro_rules! sse2 {
    ($e:expr) => {{
        // SAFETY: SSE2 is part of this target. None of the intrinsics used here takes a pointer (loads and stores say their own).
        #[allow(unused_unsafe)]
        unsafe {
            $e
        }
    }};
}

/// `yes` where `mask` is set, `no` elsewhere.
#[inline(always)]
fn select(mask: __m128, yes: __m128, no: __m128) -> __m128 {
    sse2!(_mm_or_ps(_mm_and_ps(mask, yes), _mm_andnot_ps(mask, no)))
}

impl Register {
    #[inline(always)]
    fn each(self, f: impl Fn(__m128) -> __m128) -> Self {
        Self(self.0.map(f))
    }
    #[inline(always)]
    fn pair(self, rhs: Self, f: impl Fn(__m128, __m128) -> __m128) -> Self {
        let ([a, b, c, d], [e, g, h, i]) = (self.0, rhs.0);
        Self([f(a, e), f(b, g), f(c, h), f(d, i)])
    }
}

impl Lane for Register {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([sse2!(_mm_set1_ps(value)); 4])
    }
    #[inline(always)]
    fn add(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| sse2!(_mm_add_ps(a, b)))
    }
    #[inline(always)]
    fn sub(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| sse2!(_mm_sub_ps(a, b)))
    }
    #[inline(always)]
    fn mul(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| sse2!(_mm_mul_ps(a, b)))
    }
    #[inline(always)]
    fn div(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| sse2!(_mm_div_ps(a, b)))
    }
    #[inline(always)]
    fn max(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| sse2!(_mm_max_ps(a, b)))
    }
    #[inline(always)]
    fn min(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| sse2!(_mm_min_ps(a, b)))
    }
    #[inline(always)]
    fn select_lt(a: Self, b: Self, yes: Self, no: Self) -> Self {
        let mask = a.pair(b, |a, b| sse2!(_mm_cmplt_ps(a, b))).0;
        let ([y0, y1, y2, y3], [n0, n1, n2, n3]) = (yes.0, no.0);
        let [m0, m1, m2, m3] = mask;
        Self([select(m0, y0, n0), select(m1, y1, n1), select(m2, y2, n2), select(m3, y3, n3)])
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.each(|a| sse2!(_mm_andnot_ps(_mm_set1_ps(-0.0), a)))
    }
    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        self.pair(sign, |a, s| select(sse2!(_mm_set1_ps(-0.0)), s, a))
    }
    #[inline(always)]
    fn nan_where_nan(self, of: Self) -> Self {
        self.pair(of, |a, x| select(sse2!(_mm_cmpunord_ps(x, x)), sse2!(_mm_set1_ps(CANONICAL_NAN)), a))
    }
    #[inline(always)]
    fn pow2_of_magic(self) -> Self {
        self.each(|a| {
            sse2!({
                let shifted = _mm_slli_epi32::<23>(_mm_castps_si128(a));
                _mm_castsi128_ps(_mm_add_epi32(shifted, _mm_set1_epi32(0x3f80_0000)))
            })
        })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.each(|a| sse2!(_mm_sqrt_ps(a)))
    }
    #[inline(always)]
    fn split_at_sqrt_half(self) -> (Self, Self) {
        let exponent = |a| {
            sse2!({
                let above = _mm_sub_epi32(_mm_castps_si128(a), _mm_set1_epi32(SQRT_HALF_BITS as i32));
                _mm_srai_epi32::<23>(above)
            })
        };
        let mantissa = |a| {
            sse2!({
                let bits = _mm_castps_si128(a);
                _mm_castsi128_ps(_mm_sub_epi32(bits, _mm_slli_epi32::<23>(exponent(a))))
            })
        };
        (self.each(|a| sse2!(_mm_cvtepi32_ps(exponent(a)))), self.each(mantissa))
    }
}

impl F32x16 for Register {
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        let from = from.as_ptr();
        // SAFETY: SSE2 as above; `from` is the start of sixteen readable values, and these loads need no alignment.
        Self([0, 4, 8, 12].map(|at| unsafe { _mm_loadu_ps(from.add(at)) }))
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        for (quarter, to) in self.0.into_iter().zip(to.as_chunks_mut::<4>().0) {
            // SAFETY: SSE2 as above; `to` are four writable values, and this store needs no alignment.
            unsafe { _mm_storeu_ps(to.as_mut_ptr(), quarter) };
        }
    }
    #[inline(always)]
    fn load_f16(from: &[u16; LANES]) -> Self {
        let from: *const __m128i = from.as_ptr().cast();
        // SAFETY: SSE2 as above; `from` is the start of 32 readable bytes, and these loads need no alignment.
        let (a, b) = unsafe { (_mm_loadu_si128(from), _mm_loadu_si128(from.add(1))) };
        // Exponent and fraction into place, the bias put right by a product; see `dreamstep_core::precision::f16_to_f32`.
        let widen = |half| {
            sse2!({
                let magnitude = _mm_slli_epi32::<13>(_mm_and_si128(half, _mm_set1_epi32(0x7fff)));
                let sign = _mm_slli_epi32::<16>(_mm_and_si128(half, _mm_set1_epi32(0x8000)));
                let magnitude = _mm_mul_ps(_mm_castsi128_ps(magnitude), _mm_set1_ps(F16_BIAS));
                _mm_or_ps(magnitude, _mm_castsi128_ps(sign))
            })
        };
        let zero = sse2!(_mm_setzero_si128());
        let low = |halves| widen(sse2!(_mm_unpacklo_epi16(halves, zero)));
        let high = |halves| widen(sse2!(_mm_unpackhi_epi16(halves, zero)));
        Self([low(a), high(a), low(b), high(b)])
    }
    #[inline(always)]
    fn load_bf16(from: &[u32; LANES]) -> (Self, Self) {
        let from: *const __m128i = from.as_ptr().cast();
        // SAFETY: SSE2 as above; `from` is the start of 64 readable bytes, and these loads need no alignment.
        let pairs = [0, 1, 2, 3].map(|at| unsafe { _mm_loadu_si128(from.add(at)) });
        let low = pairs.map(|pairs| sse2!(_mm_castsi128_ps(_mm_slli_epi32::<16>(pairs))));
        let mask = sse2!(_mm_set1_epi32(0xffff_0000_u32 as i32));
        (Self(low), Self(pairs.map(|pairs| sse2!(_mm_castsi128_ps(_mm_and_si128(pairs, mask))))))
    }
}

chunk_of_sixteen!(Register);

/// Four quarters of four sums.
#[derive(Clone, Copy)]
pub(crate) struct Sums([__m128i; 4]);

impl I32x16 for Sums {
    type Total = Register;
    #[inline(always)]
    fn zero() -> Self {
        Self([sse2!(_mm_setzero_si128()); 4])
    }
    #[inline(always)]
    fn dot(mut self, weights: &[[i8; 4]; LANES], &[first, second]: &Quad) -> Self {
        let (first, second) = sse2!((_mm_set1_epi32(first as i32), _mm_set1_epi32(second as i32)));
        for (sum, weights) in self.0.iter_mut().zip(weights.as_chunks::<4>().0) {
            // SAFETY: SSE2 as above; `weights` are 16 readable bytes, and this load needs no alignment.
            let bytes = unsafe { _mm_loadu_si128(weights.as_ptr().cast()) };
            *sum = sse2!({
                // The even bytes, then the odd ones, as 16-bit integers; pairs of them times pairs of inputs.
                let even = _mm_madd_epi16(_mm_srai_epi16::<8>(_mm_slli_epi16::<8>(bytes)), first);
                let odd = _mm_madd_epi16(_mm_srai_epi16::<8>(bytes), second);
                _mm_add_epi32(*sum, _mm_add_epi32(even, odd))
            });
        }
        self
    }
    #[inline(always)]
    fn total(self, _weight_sums: &[i32; LANES]) -> Register {
        Register(self.0.map(|sum| sse2!(_mm_cvtepi32_ps(sum))))
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
