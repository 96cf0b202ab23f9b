//! A diagonal covariance: n parameters, learned (n + 2)/3 times as fast as a matrix (Ros & Hansen, *A simple modification in CMA-ES
//! achieving linear time and space complexity*, PPSN 2008). For many parameters, or separable ones.
//!
//! Their update is of the variances themselves, without active updates. Here, as in pycma's `CMA_diagonal`, the step is taken on their
//! logarithms, which is the same to first order and cannot turn negative: so candidates that did badly can be learned from too.

use super::Covariance;
use super::constants::{Constants, Rates};
use super::full;
use crate::run::checkpoint::Checkpoint;
use anyhow::Result;

/// C's diagonal.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagonal {
    /// √C_jj `[n]`
    d: Vec<f64>,
}

impl Covariance for Diagonal {
    fn identity(n: usize) -> Self {
        Self { d: vec![1.0; n] }
    }

    fn constants(n: usize, population: usize) -> Constants {
        Constants::new(n, population, |n, lambda, mu_eff| {
            let Rates { c_c, c_1, c_mu, .. } = full::rates(n, lambda, mu_eff);
            // Ros & Hansen's factor.
            let c_1 = c_1 * (n + 2.0) / 3.0;
            Rates { c_c, c_1, c_mu: (c_mu * (n + 2.0) / 3.0).min(1.0 - c_1), negative_limit: f64::INFINITY }
        })
    }

    fn shape(&self, z: impl Iterator<Item = f64>) -> Vec<f64> {
        z.zip(&self.d).map(|(z, d)| d * z).collect()
    }

    fn isotropic(&self, z: &[f64]) -> Vec<f64> {
        z.to_vec()
    }

    /// C_jj ← C_jj exp(c_1 ((p_j/d_j)² − 1) + c_μ Σ w (z_j² − 1)); to first order (47).
    fn update(&mut self, k: &Constants, path: &[f64], stalled: bool, draws: &[&[f32]], _: u64) {
        let delta = if stalled { k.c_c * (2.0 - k.c_c) } else { 0.0 };
        let decay = k.c_1 * (1.0 - delta) + k.c_mu * k.weights.iter().sum::<f64>();
        let mut exponent: Vec<f64> = path.iter().zip(&self.d).map(|(p, d)| k.c_1 * (p / d).powi(2) - decay).collect();
        for (&weight, z) in k.weights.iter().zip(draws) {
            let weight = k.c_mu * weight;
            exponent.iter_mut().zip(*z).for_each(|(e, &z)| *e += weight * f64::from(z) * f64::from(z));
        }
        self.d.iter_mut().zip(exponent).for_each(|(d, e)| *d *= (e / 2.0).exp());
    }

    fn deviation(&self, j: usize) -> f64 {
        self.d[j]
    }

    fn axes(&self) -> [f64; 2] {
        [self.d.iter().copied().fold(f64::INFINITY, f64::min), self.d.iter().copied().fold(0.0, f64::max)]
    }

    fn save(&self, to: &mut Checkpoint) {
        to.insert_f64("deviations", &[self.d.len()], self.d.clone());
    }

    fn resume(n: usize, saved: &Checkpoint) -> Result<Self> {
        Ok(Self { d: saved.tensor_f64("deviations", &[n])?.to_vec() })
    }
}
