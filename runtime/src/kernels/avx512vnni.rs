//! The AVX-512 back end with 8-bit dot products (AVX-512 VNNI): a quad of weights meets a quad of inputs in one instruction.
//!
//! The instruction multiplies unsigned by signed bytes, so an input's upper byte is offset by 128 and the weights' sum, times that
//! offset, taken off at the end. Everything wraps at 32 bits; the result fits, so it is exact.

use super::avx512::Register;
use super::{I32x16, Quad, entry_points};
use core::arch::x86_64::*;
use dreamstep_core::dims::LANES;

/// Proof that this processor has AVX-512 VNNI, and what [`super::avx512`] asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token(());

struct Vectors;

impl super::Vectors for Vectors {
    type Register = Register;
    type Sums = Sums;
    type ByteSums = ByteSums;
    type Chunk = Register;
}

entry_points!(
    ["avx512f", "avx512bw", "avx512vnni", "avx2", "fma", "f16c"],
    columns = [4, 2, 2],
    tile = [1, 2, 8],
    pixels = 8
);

/// An expression of AVX-512 intrinsics.
macro_rules! vnni {
    ($e:expr) => {{
        // SAFETY: `Sums` is used by `Token`'s entry points alone, into which its methods are inlined, and they run only where a
        // `Token` proves AVX-512F, BW and VNNI. None of the intrinsics used here takes a pointer (the load says its own).
        #[allow(unused_unsafe)]
        unsafe {
            $e
        }
    }};
}

/// Sixteen sums over the inputs' upper bytes, and sixteen over their lower ones.
#[derive(Clone, Copy)]
pub(crate) struct Sums {
    upper: __m512i,
    lower: __m512i,
}

impl I32x16 for Sums {
    type Total = Register;
    #[inline(always)]
    fn zero() -> Self {
        let zero = vnni!(_mm512_setzero_si512());
        Self { upper: zero, lower: zero }
    }
    #[inline(always)]
    fn dot(self, weights: &[[i8; 4]; LANES], &[upper, lower]: &Quad) -> Self {
        // SAFETY: AVX-512F as above; `weights` are 64 readable bytes, and this load needs no alignment.
        let weights = unsafe { _mm512_loadu_si512(weights.as_ptr().cast()) };
        Self {
            upper: vnni!(_mm512_dpbusd_epi32(self.upper, _mm512_set1_epi32(upper as i32), weights)),
            lower: vnni!(_mm512_dpbusd_epi32(self.lower, _mm512_set1_epi32(lower as i32), weights)),
        }
    }
    #[inline(always)]
    fn total(self, weight_sums: &[i32; LANES]) -> Register {
        // SAFETY: AVX-512F as above; `weight_sums` are sixteen readable integers, and this load needs no alignment.
        let weight_sums = unsafe { _mm512_loadu_si512(weight_sums.as_ptr().cast()) };
        Register::of_integers(vnni!({
            let sum = _mm512_add_epi32(_mm512_slli_epi32::<8>(self.upper), self.lower);
            _mm512_sub_epi32(sum, _mm512_slli_epi32::<15>(weight_sums))
        }))
    }
    /// The upper bytes, each plus 128, then the lower ones; in the order in which the weights stand: inputs 0, 2, 1, 3.
    #[inline(always)]
    fn quad([a, b, c, d]: [u16; 4]) -> Quad {
        let [a, b, c, d] = [a, b, c, d].map(|input| (input ^ 0x8000).to_be_bytes());
        [u32::from_le_bytes([a[0], c[0], b[0], d[0]]), u32::from_le_bytes([a[1], c[1], b[1], d[1]])]
    }
}

/// Sixteen sums of products with bytes: the instruction's own.
#[derive(Clone, Copy)]
pub(crate) struct ByteSums(__m512i);

impl super::ByteSums for ByteSums {
    type Total = Register;
    #[inline(always)]
    fn zero() -> Self {
        Self(vnni!(_mm512_setzero_si512()))
    }
    #[inline(always)]
    fn dot(self, weights: &[[i8; 4]; LANES], inputs: [u8; 4]) -> Self {
        // SAFETY: AVX-512F as above; `weights` are 64 readable bytes, and this load needs no alignment.
        let weights = unsafe { _mm512_loadu_si512(weights.as_ptr().cast()) };
        Self(vnni!(_mm512_dpbusd_epi32(self.0, _mm512_set1_epi32(i32::from_le_bytes(inputs)), weights)))
    }
    #[inline(always)]
    fn total(self) -> Register {
        Register::of_integers(self.0)
    }
}
