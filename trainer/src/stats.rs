//! What do plain statistics say about the data? The normaliser that every network sees observations through, and the linear
//! model that M has to beat.
//!
//! Sums are taken in `f64`; what is stored and applied is `f32`, in the operations and the order that the runtime uses.

use anyhow::{Result, ensure};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Zip, s};

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
        let inv_std = square.mapv(|s| {
            let std = (s / count as f64).sqrt();
            // `max` keeps a constant dimension dead even where the threshold is 0.
            if std < min_std.max(f64::MIN_POSITIVE) { 0.0 } else { (1.0 / std) as f32 }
        });
        Ok(Self { mean: mean.mapv(|m| m as f32), inv_std })
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

/// A ridge regression with an intercept: `y ≈ x·weight + bias`.
#[derive(Clone, Debug)]
pub struct Ridge {
    /// `[X, Y]`
    pub weight: Array2<f64>,
    /// `[Y]`
    pub bias: Array1<f64>,
    /// `[Y]` variance of the residuals on the data it was fitted to.
    pub residual_variance: Array1<f64>,
}

impl Ridge {
    /// Minimises `Σ‖y − x·W − b‖² + lambda·‖W‖²` for `x` `[N, X]`, `y` `[N, Y]` (the intercept is not charged).
    ///
    /// # Errors
    /// The numbers of rows differ or are 0, or the normal equations are singular (then `lambda` is too small).
    pub fn fit(x: ArrayView2<f32>, y: ArrayView2<f32>, lambda: f64) -> Result<Self> {
        let n = x.nrows();
        ensure!(n > 0 && n == y.nrows(), "ridge: expected equally many rows, found {n} and {}", y.nrows());
        let (mean_x, x) = centred(x);
        let (mean_y, y) = centred(y);
        let mut gram = x.t().dot(&x); // [X, X]
        gram.diag_mut().mapv_inplace(|d| d + lambda);
        let weight = cholesky_solve(gram, x.t().dot(&y))?; // [X, Y]
        let residual = &y - &x.dot(&weight); // [N, Y]
        let residual_variance = residual.mapv(|r| r * r).sum_axis(Axis(0)) / n as f64;
        let bias = &mean_y - &mean_x.dot(&weight);
        Ok(Self { weight, bias, residual_variance })
    }

    /// `[N, Y]`
    #[must_use]
    pub fn predict(&self, x: ArrayView2<f32>) -> Array2<f64> {
        x.mapv(f64::from).dot(&self.weight) + &self.bias
    }

    /// Mean negative log-likelihood per row, in nats, of `y` `[N, Y]` under the linear-Gaussian model: independent normals
    /// around the prediction with the residuals' variances.
    #[must_use]
    pub fn nll(&self, x: ArrayView2<f32>, y: ArrayView2<f32>) -> f64 {
        let residual = y.mapv(f64::from) - self.predict(x);
        let per_row = |row: ArrayView1<f64>| -> f64 {
            row.iter()
                .zip(&self.residual_variance)
                .map(|(r, v)| 0.5 * (r * r / v + v.ln() + (2.0 * std::f64::consts::PI).ln()))
                .sum()
        };
        residual.rows().into_iter().map(per_row).sum::<f64>() / residual.nrows() as f64
    }
}

/// Column means and `x` less them.
fn centred(x: ArrayView2<f32>) -> (Array1<f64>, Array2<f64>) {
    let x = x.mapv(f64::from);
    // A mean exists: the callers have checked that there are rows.
    let mean = x.sum_axis(Axis(0)) / x.nrows() as f64;
    let centred = x - &mean;
    (mean, centred)
}

/// Solves `a·w = b` for symmetric positive definite `a` `[X, X]`, `b` `[X, Y]`, by Cholesky's `a = l·lᵀ`.
fn cholesky_solve(a: Array2<f64>, b: Array2<f64>) -> Result<Array2<f64>> {
    let n = a.nrows();
    let mut l = a;
    for j in 0..n {
        let head = l.slice(s![j, ..j]).to_owned();
        let pivot = l[[j, j]] - head.dot(&head);
        // What cancellation leaves of a dependent column is rounding, not a pivot.
        let pivot = if pivot > 1e-13 * l[[j, j]] { pivot } else { 0.0 };
        ensure!(pivot > 0.0, "ridge: expected positive definite normal equations, found pivot {pivot} at column {j}");
        let pivot = pivot.sqrt();
        l[[j, j]] = pivot;
        for i in j + 1..n {
            l[[i, j]] = (l[[i, j]] - l.slice(s![i, ..j]).dot(&head)) / pivot;
        }
    }
    let mut w = b;
    for i in 0..n {
        let done = l.slice(s![i, ..i]).dot(&w.slice(s![..i, ..])); // [Y]
        let row = (&w.row(i) - &done) / l[[i, i]];
        w.row_mut(i).assign(&row);
    }
    for i in (0..n).rev() {
        let done = l.slice(s![i + 1.., i]).dot(&w.slice(s![i + 1.., ..])); // [Y]
        let row = (&w.row(i) - &done) / l[[i, i]];
        w.row_mut(i).assign(&row);
    }
    Ok(w)
}

/// Σ‖target − prediction‖² / Σ‖target − centre‖² over all rows and dimensions: 0 is perfect, 1 is what the constant `centre`
/// `[Y]` earns.
#[must_use]
pub fn normalised_mse(target: ArrayView2<f32>, prediction: ArrayView2<f64>, centre: ArrayView1<f64>) -> f64 {
    let mut error = 0.0;
    let mut total = 0.0;
    for (target, prediction) in target.rows().into_iter().zip(prediction.rows()) {
        for ((&t, &p), &c) in target.iter().zip(prediction).zip(centre) {
            error += (f64::from(t) - p).powi(2);
            total += (f64::from(t) - c).powi(2);
        }
    }
    error / total
}

/// The chance that a random positive scores above a random negative (ties count half): the area under the ROC curve.
/// `None` where one of the two classes is empty.
#[must_use]
pub fn auroc(scores: &[f32], labels: &[bool]) -> Option<f64> {
    let positives = labels.iter().filter(|&&l| l).count();
    let negatives = labels.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    // Sum of the positives' ranks (Mann & Whitney), a tie taking the middle of its run.
    let mut rank_sum = 0.0;
    let mut start = 0;
    while start < order.len() {
        let run = order[start..].iter().take_while(|&&i| scores[i] == scores[order[start]]).count().max(1);
        let middle = start as f64 + (run as f64 + 1.0) / 2.0;
        rank_sum += middle * order[start..start + run].iter().filter(|&&i| labels[i]).count() as f64;
        start += run;
    }
    let positives = positives as f64;
    Some((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dreamstep_core::rng::{Philox, Stream};
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
    fn ridge_recovers_a_linear_map_and_its_noise() {
        let rng = Philox::new(3);
        let draw = |i: usize, j: u32| rng.uniform(Stream::Split, i as u64, j) - 0.5;
        let x = Array2::from_shape_fn((4000, 3), |(i, j)| draw(i, j as u32));
        let w = array![[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]];
        let noise = Array2::from_shape_fn((4000, 2), |(i, j)| 0.1 * draw(i, 10 + j as u32));
        let y = x.mapv(f64::from).dot(&w).mapv(|v| v as f32) + 5.0 + &noise;
        let ridge = Ridge::fit(x.view(), y.view(), 1e-6).unwrap();
        assert!(ridge.weight.iter().zip(&w).all(|(a, b)| (a - b).abs() < 0.01), "{}", ridge.weight);
        assert!(ridge.bias.iter().all(|b| (b - 5.0).abs() < 0.01));
        let variance = 0.01 / 12.0; // of a uniform of width 0.1
        assert!(ridge.residual_variance.iter().all(|v| (v / variance - 1.0).abs() < 0.1));
    }

    #[test]
    fn singular_normal_equations_are_an_error() {
        let x = array![[1.0_f32, 1.0], [2.0, 2.0], [3.0, 3.0]];
        assert!(Ridge::fit(x.view(), x.view(), 0.0).is_err());
        assert!(Ridge::fit(x.view(), x.view(), 1e-3).is_ok());
    }

    #[test]
    fn auroc_agrees_with_counting_pairs() {
        let scores = [0.1, 0.4, 0.4, 0.8, 0.4, 0.2];
        let labels = [false, true, false, true, false, true];
        let mut wins = 0.0;
        for i in 0..6 {
            for j in 0..6 {
                if labels[i] && !labels[j] {
                    wins += if scores[i] > scores[j] {
                        1.0
                    } else if scores[i] == scores[j] {
                        0.5
                    } else {
                        0.0
                    };
                }
            }
        }
        assert_eq!(auroc(&scores, &labels), Some(wins / 9.0));
        assert_eq!(auroc(&[1.0, 2.0], &[true, true]), None);
    }
}
