//! Sixteen lanes as one 512-bit register (AVX-512F). No FMA: the contract is multiply, then add.

use super::{F32x16, entry_points};
use core::arch::x86_64::*;
use dreamstep_core::dims::LANES;
use dreamstep_core::maths::{CANONICAL_NAN, Lane};

cpufeatures::new!(has_avx512, "avx512f");

/// Proof that this processor has AVX-512F.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token(());

impl Token {
    pub(crate) fn detect() -> Option<Self> {
        has_avx512::get().then_some(Self(()))
    }
}

entry_points!("avx512f");

/// Sixteen lanes.
#[derive(Clone, Copy)]
pub(crate) struct Register(__m512);

/// An expression of AVX-512F intrinsics.
macro_rules! avx512 {
    ($e:expr) => {{
        // SAFETY: `Register` is private to the kernels and its methods are inlined into `Token`'s entry points alone, which run
        // only where a `Token` proves AVX-512F. None of the intrinsics used here takes a pointer (loads and stores say their own).
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
}

impl F32x16 for Register {
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
}
