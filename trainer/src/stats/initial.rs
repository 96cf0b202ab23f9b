//! Initial weights, drawn by the name of their variable.

use dreamstep_core::digest::Digest;
use dreamstep_core::rng::{Philox, Stream};

/// `n` draws from U(−bound, bound), named by the digest of the variable's full name, so that adding a layer changes no other layer's start.
#[must_use]
pub fn uniform_values(full: &str, n: usize, bound: f64, rng: Philox) -> Vec<f32> {
    let step = Digest::default().update_bytes(full.as_bytes()).value();
    (0..n as u32).map(|i| ((2.0 * f64::from(rng.uniform(Stream::Weights, step, i)) - 1.0) * bound) as f32).collect()
}
