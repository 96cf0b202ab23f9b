//! Sixteen lanes as one 512-bit register (AVX-512F and BW). Only exact products are fused
//! ([`F32x16::add_exact_product`]): everywhere else the contract is multiply, then add.

use super::{ByteSums, F32x16, I32x16, Quad, chunk_of_sixteen, entry_points};
use core::arch::x86_64::*;
use dreamstep_core::dims::LANES;
use dreamstep_core::maths::{CANONICAL_NAN, Lane, SQRT_HALF_BITS};

/// Proof that this processor has AVX-512F and BW, and what [`super::avx2`] asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token(());

struct Vectors;

impl super::Vectors for Vectors {
    type Register = Register;
    type Sums = Sums;
    type ByteSums = Sums;
    type Chunk = Register;
}

entry_points!(["avx512f", "avx512bw", "avx2", "fma", "f16c"], columns = [4, 2, 2], tile = [2, 2, 8], pixels = 8);

/// Sixteen lanes.
#[derive(Clone, Copy)]
pub(crate) struct Register(__m512);

/// An expression of AVX-512F intrinsics.
macro_rules! avx512 {
    ($e:expr) => {{
        // SAFETY: `Register` is private to the kernels and its methods are inlined into `Token`'s entry points alone, which run
        // only where a `Token` proves AVX-512F and BW. None of the intrinsics used here takes a pointer (loads and stores say their own).
        #[allow(unused_unsafe)]
        unsafe {
            $e
        }
    }};
}

/// The sign bit of every lane, as AVX-512F's integer operations want it (the float ones need AVX-512DQ).
const SIGN: i32 = i32::MIN;

impl Lane for Register {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(avx512!(_mm512_set1_ps(value)))
    }
    #[inline(always)]
    fn add(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_add_ps(self.0, rhs.0)))
    }
    #[inline(always)]
    fn sub(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_sub_ps(self.0, rhs.0)))
    }
    #[inline(always)]
    fn mul(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_mul_ps(self.0, rhs.0)))
    }
    #[inline(always)]
    fn div(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_div_ps(self.0, rhs.0)))
    }
    #[inline(always)]
    fn max(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_max_ps(self.0, rhs.0)))
    }
    #[inline(always)]
    fn min(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_min_ps(self.0, rhs.0)))
    }
    #[inline(always)]
    fn select_lt(a: Self, b: Self, yes: Self, no: Self) -> Self {
        Self(avx512!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a.0, b.0), no.0, yes.0)))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Self(avx512!(_mm512_castsi512_ps(_mm512_andnot_si512(_mm512_set1_epi32(SIGN), _mm512_castps_si512(self.0)))))
    }
    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        Self(avx512!({
            let bit = _mm512_set1_epi32(SIGN);
            let magnitude = _mm512_andnot_si512(bit, _mm512_castps_si512(self.0));
            _mm512_castsi512_ps(_mm512_or_si512(magnitude, _mm512_and_si512(bit, _mm512_castps_si512(sign.0))))
        }))
    }
    #[inline(always)]
    fn nan_where_nan(self, of: Self) -> Self {
        Self(avx512!({
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(of.0, of.0);
            _mm512_mask_blend_ps(nan, self.0, _mm512_set1_ps(CANONICAL_NAN))
        }))
    }
    #[inline(always)]
    fn pow2_of_magic(self) -> Self {
        Self(avx512!({
            let shifted = _mm512_slli_epi32::<23>(_mm512_castps_si512(self.0));
            _mm512_castsi512_ps(_mm512_add_epi32(shifted, _mm512_set1_epi32(0x3f80_0000)))
        }))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(avx512!(_mm512_sqrt_ps(self.0)))
    }
    #[inline(always)]
    fn split_at_sqrt_half(self) -> (Self, Self) {
        avx512!({
            let bits = _mm512_castps_si512(self.0);
            let e = _mm512_srai_epi32::<23>(_mm512_sub_epi32(bits, _mm512_set1_epi32(SQRT_HALF_BITS as i32)));
            let m = _mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(e));
            (Self(_mm512_cvtepi32_ps(e)), Self(_mm512_castsi512_ps(m)))
        })
    }
}

impl F32x16 for Register {
    const FUSES: bool = true;
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: AVX-512F as above; `from` is the start of sixteen readable values, and this load needs no alignment.
        Self(unsafe { _mm512_loadu_ps(from.as_ptr()) })
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: AVX-512F as above; `to` is the start of sixteen writable values, and this store needs no alignment.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn load_f16(from: &[u16; LANES]) -> Self {
        // SAFETY: AVX-512F as above; `from` is the start of 32 readable bytes, and this load needs no alignment.
        Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) })
    }
    #[inline(always)]
    fn load_bf16(from: &[u32; LANES]) -> (Self, Self) {
        // SAFETY: AVX-512F as above; `from` is the start of 64 readable bytes, and this load needs no alignment.
        let pairs = unsafe { _mm512_loadu_si512(from.as_ptr().cast()) };
        avx512!({
            let high = _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            (Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs))), Self(_mm512_castsi512_ps(high)))
        })
    }
    #[inline(always)]
    fn add_exact_product(self, a: Self, b: Self) -> Self {
        Self(avx512!(_mm512_fmadd_ps(a.0, b.0, self.0)))
    }
}

chunk_of_sixteen!(Register);

impl Register {
    /// Sixteen integers, rounded to binary32.
    #[inline(always)]
    pub(super) fn of_integers(integers: __m512i) -> Self {
        Self(avx512!(_mm512_cvtepi32_ps(integers)))
    }
}

/// Sixteen sums.
#[derive(Clone, Copy)]
pub(crate) struct Sums(__m512i);

impl I32x16 for Sums {
    type Total = Register;
    #[inline(always)]
    fn zero() -> Self {
        Self(avx512!(_mm512_setzero_si512()))
    }
    #[inline(always)]
    fn dot(self, weights: &[[i8; 4]; LANES], &[first, second]: &Quad) -> Self {
        // SAFETY: AVX-512F as above; `weights` are 64 readable bytes, and this load needs no alignment.
        let bytes = unsafe { _mm512_loadu_si512(weights.as_ptr().cast()) };
        Self(avx512!({
            // The even bytes, then the odd ones, as 16-bit integers; pairs of them times pairs of inputs.
            let even = _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(bytes));
            let odd = _mm512_srai_epi16::<8>(bytes);
            let even = _mm512_madd_epi16(even, _mm512_set1_epi32(first as i32));
            let odd = _mm512_madd_epi16(odd, _mm512_set1_epi32(second as i32));
            _mm512_add_epi32(self.0, _mm512_add_epi32(even, odd))
        }))
    }
    #[inline(always)]
    fn total(self, _weight_sums: &[i32; LANES]) -> Register {
        Register::of_integers(self.0)
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
        // SAFETY: AVX-512F as above; `weights` are 64 readable bytes, and this load needs no alignment.
        let bytes = unsafe { _mm512_loadu_si512(weights.as_ptr().cast()) };
        // Pairs of products add up to 2·127·128 at most: nothing saturates.
        Self(avx512!({
            let pairs = _mm512_maddubs_epi16(_mm512_set1_epi32(i32::from_le_bytes(inputs)), bytes);
            _mm512_add_epi32(self.0, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        }))
    }
    #[inline(always)]
    fn total(self) -> Register {
        I32x16::total(self, &[0; LANES])
    }
}
