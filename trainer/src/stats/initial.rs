//! Named initial weights.

use dreamstep_core::rng::{Philox, Stream};

/// `n` draws from U(−bound, bound), named by the variable's full name (FNV-1a), so that adding a layer changes no other layer's start.
#[must_use]
pub fn uniform_values(full: &str, n: usize, bound: f64, rng: Philox) -> Vec<f32> {
    let step = full.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3));
    (0..n as u32).map(|i| ((2.0 * f64::from(rng.uniform(Stream::Weights, step, i)) - 1.0) * bound) as f32).collect()
}
