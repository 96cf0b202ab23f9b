//! Weights and learning rates for n parameters and λ candidates: table 1 of Hansen's tutorial (arXiv:1604.00772), of which
//! only the rates of C differ for a diagonal.

/// Weights and learning rates. Derived from n and λ, so never saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Constants {
    /// w `[λ]`, from the best candidate's to the worst's: the first μ are positive and sum to 1, the others are not.
    pub weights: Vec<f64>,
    /// μ
    pub parents: usize,
    /// μ_eff
    pub mu_eff: f64,
    /// c_σ
    pub c_sigma: f64,
    /// d_σ
    pub d_sigma: f64,
    /// c_c
    pub c_c: f64,
    /// c_1
    pub c_1: f64,
    /// c_μ
    pub c_mu: f64,
}

/// How C learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rates {
    /// c_c
    pub(super) c_c: f64,
    /// c_1
    pub(super) c_1: f64,
    /// c_μ
    pub(super) c_mu: f64,
    /// The negative weights may not sum to less than minus this, so that C stays positive definite; infinite where its update sees to that.
    pub(super) negative_limit: f64,
}

/// λ where none is asked for (48).
#[must_use]
pub fn default_population(n: usize) -> usize {
    4 + (3.0 * (n as f64).ln()) as usize
}

/// E‖N(0, I)‖ in n dimensions, approximated as below (44).
#[must_use]
pub fn expected_norm(n: usize) -> f64 {
    let n = n as f64;
    n.sqrt() * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n))
}

impl Constants {
    /// Those of `population` candidates with `n` parameters; `rates` of (n, λ, μ_eff).
    pub(super) fn new(n: usize, population: usize, rates: impl Fn(f64, f64, f64) -> Rates) -> Self {
        assert!(population >= 2, "CMA-ES: at least two candidates, not {population}");
        let (dimension, lambda) = (n as f64, population as f64);
        // (49)
        let mut weights: Vec<f64> = (1..=population).map(|i| ((lambda + 1.0) / 2.0).ln() - (i as f64).ln()).collect();
        let parents = weights.iter().filter(|&&w| w > 0.0).count();
        let (positive, negative) = weights.split_at_mut(parents);
        let sum = |w: &[f64]| w.iter().sum::<f64>();
        // μ_eff and μ_eff⁻: (Σw)² / Σw²
        let effective = |w: &[f64]| sum(w).powi(2) / w.iter().map(|w| w * w).sum::<f64>();
        let (mu_eff, mu_eff_minus) = (effective(positive), effective(negative));
        let Rates { c_c, c_1, c_mu, negative_limit } = rates(dimension, lambda, mu_eff);
        // (50) to (53)
        let alpha = (1.0 + c_1 / c_mu).min(1.0 + 2.0 * mu_eff_minus / (mu_eff + 2.0)).min(negative_limit);
        let (positive_sum, negative_sum) = (sum(positive), sum(negative));
        positive.iter_mut().for_each(|w| *w /= positive_sum);
        negative.iter_mut().for_each(|w| *w *= -alpha / negative_sum);
        // (55); c_σ as pycma has it, with 3 in place of 5, and at most ½
        let c_sigma = (mu_eff + 2.0) / (dimension + mu_eff + 3.0).max(2.0 * (mu_eff + 2.0));
        let d_sigma = 1.0 + 2.0 * (((mu_eff - 1.0) / (dimension + 1.0)).sqrt() - 1.0).max(0.0) + c_sigma;
        Self { weights, parents, mu_eff, c_sigma, d_sigma, c_c, c_1, c_mu }
    }
}
