//! The normaliser of observations: subtract a mean, multiply by 1/std, clamp.
//!
//! Sums are taken in `f64`; what is stored and applied is `f32`, in the operations and the order that the runtime uses.

use super::Spread;
use anyhow::{Result, ensure};
use ndarray::Array1;

/// Whitens observations: `clamp((x − mean)·inv_std, ±clip)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalizer {
    /// `[O]`
    pub mean: Array1<f32>,
    /// `[O]` 1/std; 0 where the dimension is dead (its standard deviation is below the threshold it was fitted with).
    pub inv_std: Array1<f32>,
}

impl Normalizer {
    /// Of rows whose mean and variance are known. A dimension whose standard deviation is below `min_std` is dead.
    ///
    /// # Errors
    /// There are no rows, or a value was not finite.
    pub fn from_spread(spread: &Spread, min_std: f64) -> Result<Self> {
        ensure!(spread.count() > 0, "normaliser: expected at least one observation, found none");
        let variance = spread.variance();
        if let Some(k) = variance.iter().zip(spread.mean()).position(|(v, m)| !v.is_finite() || !m.is_finite()) {
            anyhow::bail!("normaliser: expected finite observations, found mean {} in dimension {k}", spread.mean()[k]);
        }
        let inv_std = variance.mapv(|variance| inv_std(variance, min_std));
        Ok(Self { mean: spread.mean().mapv(|m| m as f32), inv_std })
    }

    /// Whitens one observation `x` `[O]` into `out` `[O]`. Subtract, multiply, clamp: the runtime does exactly the same.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn apply(&self, x: &[f32], clip: f32, out: &mut [f32]) {
        assert!(x.len() == self.mean.len() && out.len() == x.len(), "normaliser: lengths differ");
        for (((y, &x), &mean), &inv_std) in out.iter_mut().zip(x).zip(&self.mean).zip(&self.inv_std) {
            *y = ((x - mean) * inv_std).clamp(-clip, clip);
        }
    }

    /// Dimensions that carry information.
    #[must_use]
    pub fn alive(&self) -> Vec<bool> {
        self.inv_std.iter().map(|&s| s != 0.0).collect()
    }
}

fn inv_std(variance: f64, min_std: f64) -> f32 {
    let std = variance.sqrt();
    // `max` keeps a constant dimension dead even where the threshold is 0.
    if std < min_std.max(f64::MIN_POSITIVE) { 0.0 } else { (1.0 / std) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    fn fit(x: &Array2<f32>, min_std: f64) -> Result<Normalizer> {
        let mut spread = Spread::new(x.ncols());
        x.axis_chunks_iter(ndarray::Axis(0), 3).for_each(|rows| spread.add(rows));
        Normalizer::from_spread(&spread, min_std)
    }

    #[test]
    fn the_normaliser_whitens_and_silences_dead_dimensions() {
        // Dimension 1 is constant, dimension 2 varies by less than the threshold.
        let x = array![[1.0_f32, 7.0, 0.0], [3.0, 7.0, 1e-7], [5.0, 7.0, 0.0], [7.0, 7.0, 1e-7]];
        let n = fit(&x, 1e-6).unwrap();
        assert_eq!(n.alive(), [true, false, false]);
        let mut y = [9.0; 3];
        n.apply(&[4.0 + 5.0_f32.sqrt(), 1e9, 1e9], 10.0, &mut y);
        assert!((y[0] - 1.0).abs() < 1e-6, "one standard deviation above the mean is 1, found {}", y[0]);
        assert_eq!(y[1..], [0.0, 0.0]);
        n.apply(&[1e9, 7.0, 0.0], 10.0, &mut y);
        assert_eq!(y[0], 10.0);
    }

    #[test]
    fn a_constant_dimension_is_dead_at_threshold_0() {
        let x = array![[3.0_f32], [3.0]];
        assert_eq!(fit(&x, 0.0).unwrap().inv_std, array![0.0]);
    }

    #[test]
    fn a_non_finite_observation_is_named() {
        let x = array![[1.0_f32, 2.0], [3.0, f32::NAN]];
        let error = fit(&x, 1e-6).unwrap_err().to_string();
        assert!(error.contains("in dimension 1"), "{error}");
    }

    #[test]
    fn what_it_whitens_has_mean_0_and_standard_deviation_1() {
        let x = array![[1.0_f32, 7.0, 3000.0], [3.0, 7.0, 3001.0], [5.0, 7.0, 3000.5], [8.0, 7.0, 3002.0]];
        let normalizer = fit(&x, 1e-6).unwrap();
        assert_eq!(normalizer.alive(), [true, false, true]);
        let mut sums = [[0.0; 2]; 3];
        for row in x.rows() {
            let mut y = [0.0; 3];
            normalizer.apply(&row.to_vec(), 10.0, &mut y);
            sums.iter_mut().zip(y).for_each(|(sum, y)| *sum = [sum[0] + y, sum[1] + y * y]);
        }
        let near = |a: f32, b: f32| (a - b).abs() < 1e-3;
        assert!([0, 2].iter().all(|&k| near(sums[k][0], 0.0) && near(sums[k][1] / 4.0, 1.0)), "{sums:?}");
    }
}
