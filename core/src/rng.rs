//! Which random number is draw (seed, stream, step, index)? Philox4x32-10 (Salmon et al., *Parallel random numbers: as easy as
//! 1, 2, 3*, SC 2011): a keyed bijection of a counter, so a draw depends on its name alone and on nothing drawn before it.
//!
//! Key: the 64-bit seed. Counter: `[index, step low, step high, stream]`. Dream 17 of a batch of 4096 on eight threads draws
//! what dream 17 alone draws.

/// One seed's generator. Stateless: every method names the draw it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Philox {
    key: [u32; 2],
}

/// A named stream of draws. The number is part of the counter, so it may never be reused for another purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// Seeds of environment resets.
    EnvReset = 1,
    /// Random actions during collection.
    CollectAction = 2,
    /// Which episodes are held out for validation.
    Split = 3,
    /// Order of the VAE's training rows.
    VaeOrder = 4,
    /// Order of the MDN-RNN's training windows.
    MdnrnnOrder = 5,
    /// Perturbations of evolution.
    Evolution = 6,
    /// Seeds of the episodes that evolution judges by.
    EvolutionReset = 10,
    /// Mixture component of a dreamt latent; the step is the dream's (see [`dream_step`]), index 0 or the latent's dimension.
    Component = 8,
    /// Gaussian noise of a dreamt latent; the step is the dream's, the index the dimension.
    Latent = 9,
    /// Whether a dream ends; the step is the dream's.
    Terminal = 11,
    /// Gaussian noise of the latent that acts, where the agent samples it; the step is the tick.
    ActingLatent = 12,
    /// Seeds of the episodes that a controller learns from a teacher in; the step is the lesson.
    Lesson = 13,
    /// Order of the rows that a student learns by gradient descent; the step is the epoch.
    LessonOrder = 14,
    /// Weights of agents made for tests; the step names the tensor.
    SyntheticWeights = 30,
    /// Observations made for tests; the step is the tick.
    SyntheticObservation = 31,
    /// Initial weights of V and M; the step names the tensor.
    Weights = 20,
    /// The VAE's reparameterisation noise; the step is the epoch.
    VaeNoise = 21,
    /// Which frames V's training mirrors; the step is the epoch.
    VaeFlip = 24,
    /// Noise of the latents that M is trained on; the step is the epoch.
    LatentNoise = 22,
    /// What `report` samples: latents, and what an open loop is fed; the step names the batch.
    Report = 23,
    /// Which recorded latent a dream of evolution begins at; the step is the dream's number.
    DreamStart = 50,
    /// Gaussian noise of that latent; the step is the dream's number.
    DreamStartLatent = 51,
    /// Which recorded steps dreams may begin at.
    DreamPlaces = 52,
    /// Perturbations of the controllers that dreams and reality both rank; the step is `draw·2³² + controller`.
    Correlation = 53,
    /// Gaussian noise of actions during collection; the step is `episode·2³² + tick`.
    CollectNoise = 40,
    /// Factors on the numbers of a simulated model, of the episode whose seed is the key; the step says which, the index of what.
    Randomise = 70,
    /// Episodes of a bootstrap resample; the step is the resample.
    Bootstrap = 60,
    /// Gaussian noise of an observation, in an episode of that seed; the step is the episode's.
    ObservationNoise = 71,
}

/// The step that names the draws of tick `tick` of dream `dream`: `dream·2³² + tick`.
#[must_use]
pub const fn dream_step(dream: u32, tick: u32) -> u64 {
    (dream as u64) << 32 | tick as u64
}

impl Philox {
    /// The generator of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32] }
    }

    /// The four 32-bit words at `(stream, step, index)`.
    #[must_use]
    pub const fn words(self, stream: Stream, step: u64, index: u32) -> [u32; 4] {
        philox4x32_10([index, step as u32, (step >> 32) as u32, stream as u32], self.key)
    }

    /// 64 random bits.
    #[must_use]
    pub const fn bits(self, stream: Stream, step: u64, index: u32) -> u64 {
        let w = self.words(stream, step, index);
        w[0] as u64 | (w[1] as u64) << 32
    }

    /// Uniform in (0, 1), never an end: `(top 23 bits + ½)·2⁻²³`, exact in binary32.
    #[must_use]
    pub const fn uniform(self, stream: Stream, step: u64, index: u32) -> f32 {
        open_unit(self.words(stream, step, index)[0])
    }

    /// Value `i` of [`Self::fill_uniform`] at `(stream, step)`.
    #[must_use]
    pub fn uniform_of_four(self, stream: Stream, step: u64, i: usize) -> f32 {
        let [a, b, c, d] = self.words(stream, step, (i / 4) as u32);
        open_unit(match i % 4 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        })
    }

    /// Fills `out` with uniform draws in (0, 1), four to a counter: value `i` is word `i mod 4` of draw `(stream, step, i / 4)`.
    #[inline(always)]
    pub fn fill_uniform(self, stream: Stream, step: u64, out: &mut [f32]) {
        for (index, four) in out.chunks_mut(4).enumerate() {
            for (value, word) in four.iter_mut().zip(self.words(stream, step, index as u32)) {
                *value = open_unit(word);
            }
        }
    }

    /// Fills `out` with standard normal deviates: [`Self::fill_uniform`] through the normal quantile.
    pub fn fill_normal(self, stream: Stream, step: u64, out: &mut [f32]) {
        self.fill_uniform(stream, step, out);
        out.iter_mut().for_each(|value| *value = crate::maths::normal_quantile(*value));
    }

    /// Uniform in `0..n` (Lemire's multiply-shift on 64 bits; bias below n·2⁻⁶⁴).
    ///
    /// # Panics
    /// If `n` is 0.
    #[must_use]
    pub const fn below(self, stream: Stream, step: u64, index: u32, n: u64) -> u64 {
        assert!(n > 0, "below: n must be positive");
        ((self.bits(stream, step, index) as u128 * n as u128) >> 64) as u64
    }

    /// Shuffles `items` (Fisher–Yates) with the draws of `(stream, step)`.
    pub fn shuffle<T>(self, stream: Stream, step: u64, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(stream, step, i as u32, i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}

/// `(top 23 bits + ½)·2⁻²³`.
const fn open_unit(word: u32) -> f32 {
    (word >> 9) as f32 * (1.0 / 8_388_608.0) + 0.5 / 8_388_608.0
}

const fn philox4x32_10(mut c: [u32; 4], mut k: [u32; 2]) -> [u32; 4] {
    let mut round = 0;
    while round < 10 {
        if round > 0 {
            k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
        }
        let p0 = 0xD251_1F53_u64 * c[0] as u64;
        let p1 = 0xCD9E_8D57_u64 * c[2] as u64;
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        round += 1;
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers published with the reference implementation (Random123, `kat_vectors`).
    #[test]
    fn known_answers() {
        assert_eq!(philox4x32_10([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox4x32_10([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox4x32_10([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn uniform_stays_inside_the_open_interval() {
        assert!(open_unit(0) > 0.0);
        assert!(open_unit(u32::MAX) < 1.0);
    }

    #[test]
    fn a_uniform_draw_has_one_name_in_whatever_way_it_is_asked_for() {
        let (rng, step) = (Philox::new(0x0123_4567_89ab_cdef), dream_step(3, 5));
        assert_eq!(step, 0x3_0000_0005);
        let mut values = [0.0; 39];
        rng.fill_uniform(Stream::Latent, step, &mut values);
        for (i, &value) in values.iter().enumerate() {
            assert_eq!(rng.uniform_of_four(Stream::Latent, step, i), value, "{i}");
            let word = philox4x32_10([i as u32 / 4, 5, 3, 9], [0x89ab_cdef, 0x0123_4567])[i % 4];
            assert_eq!(f64::from(value), (f64::from(word >> 9) + 0.5) / 8_388_608.0, "{i}");
            if i % 4 == 0 {
                assert_eq!(rng.uniform(Stream::Latent, step, i as u32 / 4), value, "{i}");
            }
        }
    }

    #[test]
    fn normal_deviates_have_the_moments_of_their_distribution() {
        let mut values = [0.0; 40_001];
        Philox::new(11).fill_normal(Stream::Evolution, 5, &mut values);
        let moment = |p: i32| values.iter().map(|&v| f64::from(v).powi(p)).sum::<f64>() / values.len() as f64;
        for (p, expected, error) in [(1, 0.0, 0.02), (2, 1.0, 0.03), (3, 0.0, 0.06), (4, 3.0, 0.2)] {
            assert!((moment(p) - expected).abs() < error, "moment {p}: {}", moment(p));
        }
        let mut longer = [0.0; 40_004];
        Philox::new(11).fill_normal(Stream::Evolution, 5, &mut longer);
        assert_eq!(values, longer[..40_001], "a value does not depend on how many are drawn");
    }

    #[test]
    fn a_shuffle_is_a_permutation_that_its_name_fixes() {
        let mut a: [u32; 100] = core::array::from_fn(|i| i as u32);
        let mut b = a;
        Philox::new(7).shuffle(Stream::VaeOrder, 3, &mut a);
        Philox::new(7).shuffle(Stream::VaeOrder, 3, &mut b);
        assert_eq!(a, b);
        Philox::new(7).shuffle(Stream::VaeOrder, 4, &mut b);
        assert_ne!(a, b);
        a.sort_unstable();
        assert!(a.iter().enumerate().all(|(i, &v)| i == v as usize));
    }
}
