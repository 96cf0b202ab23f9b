//! `numpy.random.Generator(PCG64(SeedSequence(seed)))`, which Gymnasium resets its environments with: the same seed gives the same start
//! here.
//!
//! Source: M. E. O'Neill, *PCG* (HMC-CS-2014-0905) for the generator, *Developing a seed_seq alternative* (2015) for the seed
//! sequence, and numpy's documentation of [`SeedSequence`](https://numpy.org/doc/stable/reference/random/bit_generators/),
//! whose stream is guaranteed not to change. The tests hold numpy's own answers.

use rand_pcg::Lcg128Xsl64;
use rand_pcg::rand_core::Rng;

/// numpy's default generator.
#[derive(Clone, Debug)]
pub struct NumpyRandom {
    pcg: Lcg128Xsl64,
    /// Of the last 64 bits that 32 were taken from, the other half.
    half: Option<u32>,
}

impl NumpyRandom {
    /// `numpy.random.default_rng(seed)`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let [state_high, state_low, stream_high, stream_low] = seed_sequence(seed);
        let join = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        Self { pcg: Lcg128Xsl64::new(join(state_high, state_low), join(stream_high, stream_low)), half: None }
    }

    /// The generator's own 64 bits, which every distribution is made of.
    pub(super) fn next_u64(&mut self) -> u64 {
        self.pcg.next_u64()
    }

    /// `Generator.random()`: uniform in [0, 1), a multiple of 2⁻⁵³.
    pub fn random(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// `Generator.uniform(low, high)`: multiply, then add, as numpy's x86-64 wheels do.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random()
    }

    /// `Generator.integers(n)`, for an `n` from 2 to 2³² − 1: uniform from 0 to n − 1, by Lemire's multiplication (2019) of 32 bits.
    pub(super) fn integer(&mut self, n: u32) -> u32 {
        let biased = n.wrapping_neg() % n;
        loop {
            let product = u64::from(self.next_u32()) * u64::from(n);
            if product as u32 >= biased {
                return (product >> 32) as u32;
            }
        }
    }

    /// 32 bits: of 64 the lower half, then the upper one.
    fn next_u32(&mut self) -> u32 {
        self.half.take().unwrap_or_else(|| {
            let bits = self.next_u64();
            self.half = Some((bits >> 32) as u32);
            bits as u32
        })
    }
}

/// Words in the pool of entropy.
const POOL: usize = 4;

/// `SeedSequence(seed).generate_state(4, uint64)`.
fn seed_sequence(seed: u64) -> [u64; 4] {
    let entropy = [seed as u32, (seed >> 32) as u32, 0, 0];
    let mut hash = Hash { constant: 0x43b0_d7e5, multiplier: 0x931e_8875 };
    let mut pool: [u32; POOL] = entropy.map(|word| hash.scramble(word));
    for source in 0..POOL {
        for target in (0..POOL).filter(|&target| target != source) {
            pool[target] = mix(pool[target], hash.scramble(pool[source]));
        }
    }
    let mut hash = Hash { constant: 0x8b51_f9dd, multiplier: 0x58f3_8ded };
    let words: [u32; 2 * POOL] = std::array::from_fn(|i| hash.scramble(pool[i % POOL]));
    std::array::from_fn(|i| u64::from(words[2 * i]) | u64::from(words[2 * i + 1]) << 32)
}

/// A multiplicative hash whose constant moves on with every word.
struct Hash {
    constant: u32,
    multiplier: u32,
}

impl Hash {
    fn scramble(&mut self, word: u32) -> u32 {
        let word = word ^ self.constant;
        self.constant = self.constant.wrapping_mul(self.multiplier);
        let word = word.wrapping_mul(self.constant);
        word ^ word >> 16
    }
}

fn mix(x: u32, y: u32) -> u32 {
    let word = x.wrapping_mul(0xca01_f9dd).wrapping_sub(y.wrapping_mul(0x4973_f715));
    word ^ word >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy 2.3.5: `SeedSequence(seed).generate_state(4, uint64)`, then the bits of `default_rng(seed)`'s first `random()`
    /// and of the `uniform(-0.01, 0.01)` after it.
    #[rustfmt::skip]
    const NUMPY: [(u64, [u64; 4], u64, u64); 7] = [
        (0, [0xdb2c_d7e7_b0f4_78be, 0xabf4_641a_2c71_ba49, 0x20c6_ed6d_9d7b_8d41, 0x2c40_99de_223c_39d4],
            0x3fe4_61fd_79fb_3850, 0xbf72_dbec_2b5b_3f6c),
        (1, [0x672d_8ee5_6d67_91ff, 0x8ae1_9ca1_4eb1_072c, 0x4915_796d_1322_fc4a, 0xd0cc_2bdc_aba0_49bd],
            0x3fe0_60d7_be6f_245c, 0x3f82_7374_4700_362f),
        (42, [0x9f1e_2e6d_cd54_0ab7, 0xd578_73dc_79fb_94b6, 0x7d28_2a1b_64d4_20b7, 0x3365_7971_4692_d5ff],
            0x3fe8_c43f_79a2_db24, 0xbf54_073f_8300_8cd8),
        (4294967295, [0x2a05_c5e2_76c1_fe08, 0x2032_e40f_c20e_8198, 0xed4a_c06d_787f_4396, 0x5689_6cb4_f3db_80fd],
            0x3fd0_1fd7_ea4c_363e, 0xbf77_039e_0587_3aca),
        (4294967296, [0x50ff_846c_ec53_f444, 0x7a49_18db_e827_8562, 0x3bff_9f6c_362e_2b19, 0xbdb1_7753_9a06_54e3],
            0x3fec_78bd_7c50_b582, 0x3f52_b916_48f3_7300),
        (1099511640121, [0xb364_5411_ceea_45fe, 0x7a13_d65c_96af_f0ff, 0x089f_970a_9b60_4084, 0x6a3a_5135_6072_5972],
            0x3fc8_55f7_f5a7_0390, 0x3f78_c3bd_af17_90e2),
        (18446744073709551615, [0xaebc_a151_928c_ad0d, 0x119c_3044_8638_dc7a, 0x1bbb_1556_59e6_42a7, 0xa76b_11e3_e8c4_a8f6],
            0x3fe5_c2c7_4f51_88ea, 0x3f7c_49b6_632f_1c32),
    ];

    #[test]
    fn known_answers_of_numpy() {
        for (seed, state, random, uniform) in NUMPY {
            assert_eq!(seed_sequence(seed), state, "seed {seed}");
            let mut rng = NumpyRandom::new(seed);
            assert_eq!(rng.random().to_bits(), random, "seed {seed}");
            assert_eq!(rng.uniform(-0.01, 0.01).to_bits(), uniform, "seed {seed}");
        }
    }
}
