//! Summaries of a sample: mean with standard error, interquartile mean with its interval, nearest-rank quantiles.

use super::{interquartile_interval, interquartile_mean, nearest_rank};
use serde::{Deserialize, Serialize};

/// A mean and its standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean.
    pub mean: f64,
    /// Standard error of the mean (sample standard deviation / √n).
    pub standard_error: f64,
}

impl Estimate {
    /// Of `values`; the error is 0 where there are fewer than two.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n.max(1.0);
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Self { mean, standard_error: (variance / n.max(1.0)).sqrt() }
    }
}

/// Variance of a statistic by the jackknife (Tukey 1958), given what it is without each one of the sample.
#[must_use]
pub fn jackknife_variance(without_each: &[f64]) -> f64 {
    let n = without_each.len().max(1) as f64;
    let mean = without_each.iter().sum::<f64>() / n;
    (n - 1.0) / n * without_each.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
}

/// What many episodes say of one quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The mean, with its standard error.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Interquartile mean.
    pub iqm: f64,
    /// Its 95 % bootstrap interval.
    pub iqm_interval: [f64; 2],
}

impl Summary {
    /// Of the episodes' `values`.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let (iqm, iqm_interval) = (interquartile_mean(values), interquartile_interval(values));
        Self { estimate: Estimate::of(values), iqm, iqm_interval }
    }

    /// The mean and its standard error, with so many decimals.
    #[must_use]
    pub fn mean_text(&self, digits: usize) -> String {
        format!("{:.digits$} ± {:.digits$}", self.estimate.mean, self.estimate.standard_error)
    }

    /// The interquartile mean and its interval, with so many decimals.
    #[must_use]
    pub fn iqm_text(&self, digits: usize) -> String {
        let [low, high] = self.iqm_interval;
        format!("{:.digits$} [{low:.digits$}, {high:.digits$}]", self.iqm)
    }
}

/// Quantiles of a sample.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

impl Quantiles {
    /// Of `values`, by the nearest rank.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        let mut rank = |q: f64| nearest_rank(&mut values, q).unwrap_or(0.0);
        Self { p50: rank(0.5), p99: rank(0.99), max: rank(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a mean the jackknife's variance is the standard error's square.
    #[test]
    fn the_jackknife_of_a_mean_is_its_standard_error() {
        let values = [3.0, -1.0, 4.0, 1.0, 5.0, 9.0];
        let without_each: Vec<f64> = values.iter().map(|value| (values.iter().sum::<f64>() - value) / 5.0).collect();
        let error = Estimate::of(&values).standard_error;
        assert!((jackknife_variance(&without_each) - error * error).abs() < 1e-12);
        assert_eq!([jackknife_variance(&[2.0]), jackknife_variance(&[])], [0.0; 2]);
    }

    #[test]
    fn quantiles_by_nearest_rank() {
        let Quantiles { p50, p99, max } = Quantiles::of((1..=200).map(f64::from).collect());
        assert_eq!((p50, p99, max), (100.0, 198.0, 200.0));
        let Quantiles { p50, p99, max } = Quantiles::of(vec![3.0]);
        assert_eq!((p50, p99, max), (3.0, 3.0, 3.0));
        assert_eq!(Quantiles::of(Vec::new()).max, 0.0);
    }
}
