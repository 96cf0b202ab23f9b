//! Ridge regression (Hoerl & Kennard 1970) with normal residuals: M's baseline.

use super::Moments;
use super::linalg::{cholesky, forward, solve};
use anyhow::{Result, ensure};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, s};

/// A ridge regression with an intercept: `y ≈ x·weight + bias`.
#[derive(Clone, Debug)]
pub struct Ridge {
    /// `[X, Y]`
    pub weight: Array2<f64>,
    /// `[Y]`
    pub bias: Array1<f64>,
    /// `[Y]` variance of the residuals on the data it was fitted to.
    pub residual_variance: Array1<f64>,
    /// `[Y, Y]` their covariance.
    pub residual_covariance: Array2<f64>,
}

impl Ridge {
    /// Minimises `Σ‖y − x·W − b‖² + lambda·‖W‖²` (the intercept is not charged), given the moments of rows `[x, y]`, of which the first
    /// `inputs` columns are `x`.
    ///
    /// # Errors
    /// There are no rows, or the normal equations are singular (then `lambda` is too small).
    ///
    /// # Panics
    /// If there are fewer columns than `inputs`.
    pub fn from_moments(moments: &Moments, inputs: usize, lambda: f64) -> Result<Self> {
        let n = moments.count();
        ensure!(n > 0, "ridge: expected rows, found none");
        let scatter = moments.scatter();
        let (gram, cross, total) = (
            scatter.slice(s![..inputs, ..inputs]),
            scatter.slice(s![..inputs, inputs..]),
            scatter.slice(s![inputs.., inputs..]),
        );
        let mut penalised = gram.to_owned();
        penalised.diag_mut().mapv_inplace(|d| d + lambda);
        let weight = solve(penalised.view(), cross, "ridge: normal equations")?; // [X, Y]
        let mean = moments.mean();
        let bias = &mean.slice(s![inputs..]) - &mean.slice(s![..inputs]).dot(&weight);
        // Σ r·rᵀ of the residuals r = y − mean_y − (x − mean_x)·W.
        let explained = weight.t().dot(&cross);
        let unpenalised = weight.t().dot(&gram).dot(&weight);
        let residual_covariance = (unpenalised - &explained - explained.t() + total) / n as f64;
        let residual_variance = residual_covariance.diag().mapv(|v| v.max(0.0));
        Ok(Self { weight, bias, residual_variance, residual_covariance })
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
    /// The same under a normal with the residuals' whole covariance: what a linear model can say at best.
    ///
    /// # Errors
    /// The residuals' covariance is singular: a column of `y` is a linear function of the others.
    pub fn joint_nll(&self, x: ArrayView2<f32>, y: ArrayView2<f32>) -> Result<f64> {
        let residual = y.mapv(f64::from) - self.predict(x); // [N, Y]
        let factor = cholesky(self.residual_covariance.view(), "ridge: residuals' covariance")?; // [Y, Y]
        let half_log_det = factor.diag().mapv(f64::ln).sum();
        let whitened = forward(&factor, residual.t()); // [Y, N]
        let (y, n) = whitened.dim();
        let square = whitened.mapv(|w| w * w).sum() / n as f64;
        Ok(0.5 * (square + y as f64 * (2.0 * std::f64::consts::PI).ln()) + half_log_det)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dreamstep_core::rng::{Philox, Stream};
    use ndarray::{Axis, array, concatenate};

    fn fit(x: ArrayView2<f32>, y: ArrayView2<f32>, lambda: f64) -> Result<Ridge> {
        let mut moments = Moments::new(x.ncols() + y.ncols());
        moments.add(concatenate![Axis(1), x, y].view());
        Ridge::from_moments(&moments, x.ncols(), lambda)
    }

    #[test]
    fn ridge_recovers_a_linear_map_and_its_noise() {
        let rng = Philox::new(3);
        let draw = |i: usize, j: u32| rng.uniform(Stream::Split, i as u64, j) - 0.5;
        let x = Array2::from_shape_fn((4000, 3), |(i, j)| draw(i, j as u32));
        let w = array![[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]];
        let noise = Array2::from_shape_fn((4000, 2), |(i, j)| 0.1 * draw(i, 10 + j as u32));
        let y = x.mapv(f64::from).dot(&w).mapv(|v| v as f32) + 5.0 + &noise;
        let ridge = fit(x.view(), y.view(), 1e-6).unwrap();
        assert!(ridge.weight.iter().zip(&w).all(|(a, b)| (a - b).abs() < 0.01), "{}", ridge.weight);
        assert!(ridge.bias.iter().all(|b| (b - 5.0).abs() < 0.01));
        let variance = 0.01 / 12.0; // of a uniform of width 0.1
        assert!(ridge.residual_variance.iter().all(|v| (v / variance - 1.0).abs() < 0.1));
    }

    #[test]
    fn singular_normal_equations_are_an_error() {
        let x = array![[1.0_f32, 1.0], [2.0, 2.0], [3.0, 3.0]];
        assert!(fit(x.view(), x.view(), 0.0).is_err());
        assert!(fit(x.view(), x.view(), 1e-3).is_ok());
    }

    #[test]
    fn moments_of_chunks_give_the_same_line_as_arrays() {
        let rng = Philox::new(5);
        let rows = Array2::from_shape_fn((700, 5), |(i, j)| rng.uniform(Stream::Split, i as u64, j as u32) + 7.0);
        let (x, y) = rows.view().split_at(Axis(1), 3);
        let whole = fit(x, y, 0.5).unwrap();
        let mut moments = Moments::new(5);
        rows.axis_chunks_iter(Axis(0), 33).for_each(|chunk| moments.add(chunk));
        let streamed = Ridge::from_moments(&moments, 3, 0.5).unwrap();
        let close = |a: &Array2<f64>, b: &Array2<f64>| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-10);
        assert!(close(&whole.weight, &streamed.weight) && close(&whole.residual_covariance, &streamed.residual_covariance));
        // What the algebra says of the residuals is what they are.
        let residual = y.mapv(f64::from) - streamed.predict(x);
        let covariance = residual.t().dot(&residual) / 700.0;
        assert!(close(&covariance, &streamed.residual_covariance));
    }

    /// y = 2x₀ + e, e normal with covariance S: the expected NLL of independent normals is ½Σ(ln 2πS_jj + 1), of the joint normal
    /// ½(ln det 2πS + Y).
    #[test]
    fn both_likelihoods_agree_with_the_entropy_of_the_noise() {
        let n = 40_000;
        let mut draws = vec![0.0; 3 * n];
        Philox::new(6).fill_normal(Stream::LatentNoise, 0, &mut draws);
        let rows = Array2::from_shape_fn((n, 3), |(i, j)| match j {
            0 => draws[3 * i],
            1 => 2.0 * draws[3 * i] + draws[3 * i + 1],
            _ => 2.0 * draws[3 * i] + 0.8 * draws[3 * i + 1] + 0.6 * draws[3 * i + 2],
        });
        let (x, y) = rows.view().split_at(Axis(1), 1);
        let ridge = fit(x, y, 1e-6).unwrap();
        let entropy = 0.5 * ((2.0 * std::f64::consts::PI).ln() + 1.0); // of a standard normal
        let independent = 2.0 * entropy; // both variances are 1
        let joint = independent + 0.5 * (1.0 - 0.8_f64 * 0.8).ln();
        let (found, found_joint) = (ridge.nll(x, y), ridge.joint_nll(x, y).unwrap());
        assert!((found - independent).abs() < 0.02, "expected {independent}, found {found}");
        assert!((found_joint - joint).abs() < 0.02, "expected {joint}, found {found_joint}");
    }
}
