//! Through what does every network see observations? Subtract a mean, multiply by 1/std, clamp.
//!
//! Sums are taken in `f64`; what is stored and applied is `f32`, in the operations and the order that the runtime uses.

use super::Spread;
use anyhow::{Result, ensure};
use ndarray::{Array1, ArrayView1, Zip};

/// Whitens observations: `clamp((x − mean)·inv_std, ±clip)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalizer {
    /// `[O]`
    pub mean: Array1<f32>,
    /// `[O]` 1/std; 0 where the dimension is dead (its standard deviation is below the threshold it was fitted with).
    pub inv_std: Array1<f32>,
}

impl Normalizer {
    /// Fits the mean and standard deviation (population, two passes) of `rows` `[N, O]`.
    ///
    /// # Errors
    /// There are no rows, or a value is not finite.
    pub fn fit<'a>(rows: impl Iterator<Item = ArrayView1<'a, f32>> + Clone, min_std: f64) -> Result<Self> {
        let obs = rows.clone().next().map_or(0, |row| row.len());
        let mut count = 0_usize;
        let mut mean = Array1::<f64>::zeros(obs); // [O]
        for row in rows.clone() {
            ensure!(row.len() == obs, "observation {count}: expected {obs} values, found {}", row.len());
            for (k, (m, &x)) in mean.iter_mut().zip(row).enumerate() {
                ensure!(x.is_finite(), "observation {count}, dimension {k}: expected a finite value, found {x}");
                *m += f64::from(x);
            }
            count += 1;
        }
        ensure!(count > 0, "normaliser: expected at least one observation, found none");
        mean /= count as f64;
        let mut square = Array1::<f64>::zeros(obs); // [O]
        for row in rows {
            Zip::from(&mut square).and(&mean).and(row).for_each(|s, &m, &x| *s += (f64::from(x) - m).powi(2));
        }
        let inv_std = square.mapv(|s| inv_std(s / count as f64, min_std));
        Ok(Self { mean: mean.mapv(|m| m as f32), inv_std })
    }

    /// The normaliser of rows whose mean and variance are known: as [`Self::fit`] makes it, but in one pass over data that need not be in
    /// memory at once.
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
    use ndarray::array;

    #[test]
    fn the_normaliser_whitens_and_silences_dead_dimensions() {
        // Dimension 1 is constant, dimension 2 varies by less than the threshold.
        let x = array![[1.0_f32, 7.0, 0.0], [3.0, 7.0, 1e-7], [5.0, 7.0, 0.0], [7.0, 7.0, 1e-7]];
        let n = Normalizer::fit(x.rows().into_iter(), 1e-6).unwrap();
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
        assert_eq!(Normalizer::fit(x.rows().into_iter(), 0.0).unwrap().inv_std, array![0.0]);
    }

    #[test]
    fn a_non_finite_observation_is_named() {
        let x = array![[1.0_f32, 2.0], [3.0, f32::NAN]];
        let error = Normalizer::fit(x.rows().into_iter(), 1e-6).unwrap_err().to_string();
        assert!(error.contains("observation 1, dimension 1"), "{error}");
    }

    #[test]
    fn one_pass_in_chunks_fits_what_two_passes_fit() {
        let x = array![[1.0_f32, 7.0, 3000.0], [3.0, 7.0, 3001.0], [5.0, 7.0, 3000.5], [8.0, 7.0, 3002.0]];
        let mut spread = Spread::new(3);
        x.axis_chunks_iter(ndarray::Axis(0), 3).for_each(|rows| spread.add(rows));
        let (one, two) =
            (Normalizer::from_spread(&spread, 1e-6).unwrap(), Normalizer::fit(x.rows().into_iter(), 1e-6).unwrap());
        assert_eq!(one.alive(), [true, false, true]);
        assert!(
            one.mean
                .iter()
                .zip(&two.mean)
                .chain(one.inv_std.iter().zip(&two.inv_std))
                .all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs())
        );
        assert!(Normalizer::from_spread(&Spread::new(3), 1e-6).is_err());
        spread.add(array![[f32::INFINITY, 0.0, 0.0]].view());
        let error = Normalizer::from_spread(&spread, 1e-6).unwrap_err().to_string();
        assert!(error.contains("finite") && error.contains("dimension 0"), "{error}");
    }
}
