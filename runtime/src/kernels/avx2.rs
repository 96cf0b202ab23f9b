//! Sixteen lanes as two 256-bit registers (AVX2, FMA, F16C). Only exact products are fused ([`F32x16::add_exact_product`]): everywhere
//! else the contract is multiply, then add.

use super::{ByteSums, F32x16, I32x16, Quad, chunk_of_sixteen, entry_points};
use core::arch::x86_64::*;
use dreamstep_core::dims::LANES;
use dreamstep_core::maths::{CANONICAL_NAN, Lane, SQRT_HALF_BITS};

/// Proof that this processor has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token(());

struct Vectors;

impl super::Vectors for Vectors {
    type Register = Register;
    type Sums = Sums;
    type ByteSums = Sums;
    type Chunk = Register;
}

entry_points!(["avx2", "fma", "f16c"], columns = [4, 2, 1], tile = [1, 1, 6], pixels = 6);

/// Two halves of eight lanes.
#[derive(Clone, Copy)]
pub(crate) struct Register(__m256, __m256);

/// An expression of AVX2 intrinsics.
macro_rules! avx2 {
    ($e:expr) => {{
        // SAFETY: `Register` is private to the kernels and its methods are inlined into `Token`'s entry points alone, which run
        // only where a `Token` proves AVX2, FMA and F16C. None of the intrinsics used here takes a pointer (loads and stores say their own).
        #[allow(unused_unsafe)]
        unsafe {
            $e
        }
    }};
}

impl Register {
    #[inline(always)]
    fn both(self, f: impl Fn(__m256) -> __m256) -> Self {
        Self(f(self.0), f(self.1))
    }
    #[inline(always)]
    fn pair(self, rhs: Self, f: impl Fn(__m256, __m256) -> __m256) -> Self {
        Self(f(self.0, rhs.0), f(self.1, rhs.1))
    }
}

impl Lane for Register {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        let half = avx2!(_mm256_set1_ps(value));
        Self(half, half)
    }
    #[inline(always)]
    fn add(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| avx2!(_mm256_add_ps(a, b)))
    }
    #[inline(always)]
    fn sub(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| avx2!(_mm256_sub_ps(a, b)))
    }
    #[inline(always)]
    fn mul(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| avx2!(_mm256_mul_ps(a, b)))
    }
    #[inline(always)]
    fn div(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| avx2!(_mm256_div_ps(a, b)))
    }
    #[inline(always)]
    fn max(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| avx2!(_mm256_max_ps(a, b)))
    }
    #[inline(always)]
    fn min(self, rhs: Self) -> Self {
        self.pair(rhs, |a, b| avx2!(_mm256_min_ps(a, b)))
    }
    #[inline(always)]
    fn select_lt(a: Self, b: Self, yes: Self, no: Self) -> Self {
        let select = |a, b, yes, no| avx2!(_mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)));
        Self(select(a.0, b.0, yes.0, no.0), select(a.1, b.1, yes.1, no.1))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.both(|a| avx2!(_mm256_andnot_ps(_mm256_set1_ps(-0.0), a)))
    }
    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        self.pair(sign, |a, s| {
            avx2!({
                let bit = _mm256_set1_ps(-0.0);
                _mm256_or_ps(_mm256_andnot_ps(bit, a), _mm256_and_ps(bit, s))
            })
        })
    }
    #[inline(always)]
    fn nan_where_nan(self, of: Self) -> Self {
        self.pair(of, |a, x| avx2!(_mm256_blendv_ps(a, _mm256_set1_ps(CANONICAL_NAN), _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x))))
    }
    #[inline(always)]
    fn pow2_of_magic(self) -> Self {
        self.both(|a| {
            avx2!({
                let shifted = _mm256_slli_epi32::<23>(_mm256_castps_si256(a));
                _mm256_castsi256_ps(_mm256_add_epi32(shifted, _mm256_set1_epi32(0x3f80_0000)))
            })
        })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.both(|a| avx2!(_mm256_sqrt_ps(a)))
    }
    #[inline(always)]
    fn split_at_sqrt_half(self) -> (Self, Self) {
        let split = |a| {
            avx2!({
                let bits = _mm256_castps_si256(a);
                let e = _mm256_srai_epi32::<23>(_mm256_sub_epi32(bits, _mm256_set1_epi32(SQRT_HALF_BITS as i32)));
                (_mm256_cvtepi32_ps(e), _mm256_castsi256_ps(_mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(e))))
            })
        };
        let ((e0, m0), (e1, m1)) = (split(self.0), split(self.1));
        (Self(e0, e1), Self(m0, m1))
    }
}

impl F32x16 for Register {
    const FUSES: bool = true;
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        let from = from.as_ptr();
        // SAFETY: AVX2 as above; `from` is the start of sixteen readable values, and these loads need no alignment.
        unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(LANES / 2))) }
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        let to = to.as_mut_ptr();
        // SAFETY: AVX2 as above; `to` is the start of sixteen writable values, and these stores need no alignment.
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(LANES / 2), self.1);
        }
    }
    #[inline(always)]
    fn load_f16(from: &[u16; LANES]) -> Self {
        let from: *const __m128i = from.as_ptr().cast();
        // SAFETY: F16C as above; `from` is the start of 32 readable bytes, and these loads need no alignment.
        unsafe { Self(_mm256_cvtph_ps(_mm_loadu_si128(from)), _mm256_cvtph_ps(_mm_loadu_si128(from.add(1)))) }
    }
    #[inline(always)]
    fn load_bf16(from: &[u32; LANES]) -> (Self, Self) {
        let from: *const __m256i = from.as_ptr().cast();
        // SAFETY: AVX2 as above; `from` is the start of 64 readable bytes, and these loads need no alignment.
        let (a, b) = unsafe { (_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))) };
        let low = |pairs| avx2!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs)));
        let high = |pairs| avx2!(_mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(0xffff_0000_u32 as i32))));
        (Self(low(a), low(b)), Self(high(a), high(b)))
    }
    #[inline(always)]
    fn add_exact_product(self, a: Self, b: Self) -> Self {
        Self(avx2!(_mm256_fmadd_ps(a.0, b.0, self.0)), avx2!(_mm256_fmadd_ps(a.1, b.1, self.1)))
    }
}

chunk_of_sixteen!(Register);

/// Two halves of eight sums.
#[derive(Clone, Copy)]
pub(crate) struct Sums(__m256i, __m256i);

impl I32x16 for Sums {
    type Total = Register;
    #[inline(always)]
    fn zero() -> Self {
        let zero = avx2!(_mm256_setzero_si256());
        Self(zero, zero)
    }
    #[inline(always)]
    fn dot(self, weights: &[[i8; 4]; LANES], &[first, second]: &Quad) -> Self {
        let from: *const __m256i = weights.as_ptr().cast();
        // SAFETY: AVX2 as above; `from` is the start of 64 readable bytes, and these loads need no alignment.
        let (a, b) = unsafe { (_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))) };
        let half = |sum, bytes| {
            avx2!({
                // The even bytes (times 1, the odd ones times 0), then the odd ones, as 16-bit integers; pairs of them times pairs
                // of inputs.
                let even = _mm256_maddubs_epi16(_mm256_set1_epi16(1), bytes);
                let odd = _mm256_srai_epi16::<8>(bytes);
                let even = _mm256_madd_epi16(even, _mm256_set1_epi32(first as i32));
                let odd = _mm256_madd_epi16(odd, _mm256_set1_epi32(second as i32));
                _mm256_add_epi32(sum, _mm256_add_epi32(even, odd))
            })
        };
        Self(half(self.0, a), half(self.1, b))
    }
    #[inline(always)]
    fn total(self, _weight_sums: &[i32; LANES]) -> Register {
        Register(avx2!(_mm256_cvtepi32_ps(self.0)), avx2!(_mm256_cvtepi32_ps(self.1)))
    }
}

impl ByteSums for Sums {
    type Total = Register;
    #[inline(always)]
    fn zero() -> Self {
        I32x16::zero()
    }
    #[inline(always)]
    fn dot(self, weights: &[[i8; 4]; LANES], inputs: [u8; 4]) -> Self {
        let from: *const __m256i = weights.as_ptr().cast();
        // SAFETY: AVX2 as above; `from` is the start of 64 readable bytes, and these loads need no alignment.
        let (a, b) = unsafe { (_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))) };
        // Pairs of products add up to 2·127·128 at most: nothing saturates.
        let half = |sum, bytes| {
            avx2!({
                let pairs = _mm256_maddubs_epi16(_mm256_set1_epi32(i32::from_le_bytes(inputs)), bytes);
                _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
            })
        };
        Self(half(self.0, a), half(self.1, b))
    }
    #[inline(always)]
    fn total(self) -> Register {
        I32x16::total(self, &[0; LANES])
    }
}
