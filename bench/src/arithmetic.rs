//! What is the least a convolution could take? The time that a core needs for as many multiply-adds on values that lie in registers: no
//! loads, no stores, as many sums side by side as hide how long one takes.

use dreamstep_core::v::Convolutions;
use dreamstep_runtime::{Backend, Precision};

/// A number of multiply-adds, with the instructions that a back end has for a precision.
#[derive(Clone, Copy, Debug)]
pub struct Arithmetic {
    /// How they are done.
    pub name: &'static str,
    run: fn(usize) -> u32,
    /// Multiply-adds in a pass of `run`.
    pass: usize,
}

impl Arithmetic {
    /// Of a back end and a precision: f32 multiplies, then adds, since that is the contract; where products are exact, one instruction
    /// does both. `None` where this has no loop.
    #[must_use]
    pub fn of(backend: Backend, precision: Precision) -> Option<Self> {
        if !backend.is_available() {
            return None;
        }
        #[cfg(target_arch = "x86_64")]
        return x86::of(backend, precision);
        #[cfg(not(target_arch = "x86_64"))]
        return None.filter(|_: &Self| precision == Precision::F32);
    }

    /// Does `count` multiply-adds, rounded up to whole passes; what comes out is there to be used, so that nothing is left out.
    #[must_use]
    pub fn run(self, count: usize) -> u32 {
        (self.run)(count.div_ceil(self.pass))
    }
}

/// Multiply-adds of an encoder on a picture `[h, w, c]`, its latent of `latent` included.
#[must_use]
pub fn multiply_adds(convolutions: &Convolutions, image: [usize; 3], latent: usize) -> usize {
    let of = |(index, convolution): (usize, dreamstep_core::v::Convolution)| {
        let [rows, columns, outputs] = convolutions.map(image, index + 1);
        rows * columns * outputs * convolution.kernel.pow(2) * convolutions.map(image, index)[2]
    };
    convolutions.iter().enumerate().map(of).sum::<usize>() + convolutions.flat(image) * latent
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Arithmetic;
    use dreamstep_runtime::{Backend, Precision};
    use std::arch::asm;
    use std::arch::x86_64::{
        __m256i, __m512i, _mm_cvtsi128_si32, _mm256_add_epi32, _mm256_add_ps, _mm256_castps_si256, _mm256_castsi256_si128,
        _mm256_fmadd_ps, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16,
        _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm512_add_epi32, _mm512_add_ps, _mm512_castps_si512,
        _mm512_castsi512_si128, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_madd_epi16, _mm512_maddubs_epi16,
        _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512,
    };

    /// Sums side by side: twelve leave room for what is multiplied, as the kernels' tiles do.
    const SUMS: usize = 12;

    pub(super) fn of(backend: Backend, precision: Precision) -> Option<Arithmetic> {
        macro_rules! proven {
            ($name:ident) => {
                |passes| {
                    // SAFETY: `Arithmetic::of` has asked whether the processor has the back end, and with it these features.
                    unsafe { $name(passes) }
                }
            };
        }
        let (name, run, lanes): (_, fn(usize) -> u32, _) = match (backend, precision) {
            (Backend::Avx2, Precision::F32) => ("multiply, add", proven!(unfused_256), 8),
            (Backend::Avx2, Precision::F16 | Precision::Bf16) => ("fused", proven!(fused_256), 8),
            (Backend::Avx2, Precision::I8) => ("bytes in pairs", proven!(bytes_256), 32),
            (Backend::Avx512 | Backend::Avx512Vnni, Precision::F32) => ("multiply, add", proven!(unfused_512), 16),
            (Backend::Avx512 | Backend::Avx512Vnni, Precision::F16 | Precision::Bf16) => ("fused", proven!(fused_512), 16),
            (Backend::Avx512, Precision::I8) => ("bytes in pairs", proven!(bytes_512), 64),
            (Backend::Avx512Vnni, Precision::I8) => ("bytes in fours", proven!(vnni_512), 64),
            _ => return None,
        };
        Some(Arithmetic { name, run, pass: SUMS * lanes })
    }

    /// A loop of `passes` over twelve sums. What is multiplied goes through an empty `asm`, so that the compiler takes it for new each time.
    macro_rules! chains {
        ($name:ident, $features:literal, $class:ident, $zero:expr, $a:expr, $b:expr, |$sum:ident, $x:ident, $y:ident| $step:expr, |$all:ident| $end:expr) => {
            #[target_feature(enable = $features)]
            fn $name(passes: usize) -> u32 {
                let (mut sums, mut $x, $y) = ([$zero; SUMS], $a, $b);
                for _ in 0..passes {
                    for $sum in &mut sums {
                        // SAFETY: no instruction at all.
                        unsafe { asm!("/* {0} */", inlateout($class) $x, options(pure, nomem, nostack, preserves_flags)) };
                        *$sum = $step;
                    }
                }
                let $all = sums;
                $end
            }
        };
    }

    macro_rules! first_256 {
        ($sum:expr) => {
            _mm_cvtsi128_si32(_mm256_castsi256_si128($sum)) as u32
        };
    }
    macro_rules! first_512 {
        ($sum:expr) => {
            _mm_cvtsi128_si32(_mm512_castsi512_si128($sum)) as u32
        };
    }

    chains!(
        unfused_256,
        "avx2",
        ymm_reg,
        _mm256_setzero_ps(),
        _mm256_set1_ps(0.5),
        _mm256_set1_ps(0.25),
        |sum, x, y| _mm256_add_ps(*sum, _mm256_mul_ps(x, y)),
        |all| first_256!(_mm256_castps_si256(all.into_iter().fold(_mm256_setzero_ps(), |a, b| _mm256_add_ps(a, b))))
    );
    chains!(
        fused_256,
        "avx2,fma",
        ymm_reg,
        _mm256_setzero_ps(),
        _mm256_set1_ps(0.5),
        _mm256_set1_ps(0.25),
        |sum, x, y| _mm256_fmadd_ps(x, y, *sum),
        |all| first_256!(_mm256_castps_si256(all.into_iter().fold(_mm256_setzero_ps(), |a, b| _mm256_add_ps(a, b))))
    );
    chains!(
        bytes_256,
        "avx2",
        ymm_reg,
        _mm256_setzero_si256(),
        _mm256_set1_epi8(3),
        _mm256_set1_epi8(5),
        |sum, x, y| pairs_256(*sum, x, y),
        |all| first_256!(all.into_iter().fold(_mm256_setzero_si256(), |a, b| _mm256_add_epi32(a, b)))
    );
    chains!(
        unfused_512,
        "avx512f",
        zmm_reg,
        _mm512_setzero_ps(),
        _mm512_set1_ps(0.5),
        _mm512_set1_ps(0.25),
        |sum, x, y| _mm512_add_ps(*sum, _mm512_mul_ps(x, y)),
        |all| first_512!(_mm512_castps_si512(all.into_iter().fold(_mm512_setzero_ps(), |a, b| _mm512_add_ps(a, b))))
    );
    chains!(
        fused_512,
        "avx512f",
        zmm_reg,
        _mm512_setzero_ps(),
        _mm512_set1_ps(0.5),
        _mm512_set1_ps(0.25),
        |sum, x, y| _mm512_fmadd_ps(x, y, *sum),
        |all| first_512!(_mm512_castps_si512(all.into_iter().fold(_mm512_setzero_ps(), |a, b| _mm512_add_ps(a, b))))
    );
    chains!(
        bytes_512,
        "avx512f,avx512bw",
        zmm_reg,
        _mm512_setzero_si512(),
        _mm512_set1_epi8(3),
        _mm512_set1_epi8(5),
        |sum, x, y| pairs_512(*sum, x, y),
        |all| first_512!(all.into_iter().fold(_mm512_setzero_si512(), |a, b| _mm512_add_epi32(a, b)))
    );
    chains!(
        vnni_512,
        "avx512f,avx512vnni",
        zmm_reg,
        _mm512_setzero_si512(),
        _mm512_set1_epi8(3),
        _mm512_set1_epi8(5),
        |sum, x, y| _mm512_dpbusd_epi32(*sum, x, y),
        |all| first_512!(all.into_iter().fold(_mm512_setzero_si512(), |a, b| _mm512_add_epi32(a, b)))
    );

    #[inline]
    #[target_feature(enable = "avx2")]
    fn pairs_256(sum: __m256i, x: __m256i, y: __m256i) -> __m256i {
        _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), _mm256_set1_epi16(1)))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn pairs_512(sum: __m512i, x: __m512i, y: __m512i) -> __m512i {
        _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(x, y), _mm512_set1_epi16(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_encoder_has_fifteen_million() {
        // 31² · 32 · 48 + 14² · 64 · 512 + 6² · 128 · 1,024 + 2² · 256 · 2,048, and 1,024 · 32.
        assert_eq!(multiply_adds(&Convolutions::PAPER, [64, 64, 3], 32), 14_747_136);
    }

    /// Nothing is left out: a sum in each lane comes to what was added up.
    #[test]
    fn every_multiply_add_is_done() {
        for backend in Backend::ALL {
            for precision in Precision::ALL {
                let Some(arithmetic) = Arithmetic::of(backend, precision) else { continue };
                let expected = match (precision, arithmetic.name) {
                    // Of twelve sums, each 10 times; numbers by their bits.
                    (Precision::I8, _) => 12 * 10 * 4 * 15,
                    _ => (12.0 * 10.0 * 0.125_f32).to_bits(),
                };
                assert_eq!(arithmetic.run(10 * arithmetic.pass), expected, "{backend:?} {precision:?}");
            }
        }
    }
}
