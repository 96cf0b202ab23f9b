//! Principal components (Pearson 1901): V's baseline, the best linear code of `Z` numbers.

use super::Moments;
use super::linalg::eigh;
use anyhow::{Result, ensure};
use ndarray::{Array1, Array2, ArrayView2, s};

/// Mean and principal axes: `x ≈ mean + (x − mean)·axes·axesᵀ`.
#[derive(Clone, Debug)]
pub struct Pca {
    /// `[D]`
    pub mean: Array1<f64>,
    /// `[D, Z]` orthonormal columns, the direction of most variance first, each with its largest entry positive.
    pub axes: Array2<f64>,
    /// `[D]` variance along every axis, those left out too, descending.
    pub variances: Array1<f64>,
}

impl Pca {
    /// The `components` directions of most variance.
    ///
    /// # Errors
    /// There are no rows, fewer columns than components, or the eigenvalues do not converge.
    pub fn fit(moments: &Moments, components: usize) -> Result<Self> {
        let columns = moments.mean().len();
        ensure!(moments.count() > 0, "PCA: expected rows, found none");
        ensure!(components <= columns, "PCA: expected at most {columns} components, found {components}");
        let (variances, vectors) = eigh(moments.covariance().view());
        let mut axes = vectors.slice(s![.., ..components]).to_owned();
        for mut axis in axes.columns_mut() {
            // An axis has no sign of its own; this makes it the same wherever it is computed.
            let largest =
                axis.iter().copied().fold(0.0, |largest: f64, v| if v.abs() > largest.abs() { v } else { largest });
            if largest < 0.0 {
                axis.mapv_inplace(|v| -v);
            }
        }
        // Rounding can leave a variance of 0 on the wrong side.
        Ok(Self { mean: moments.mean().to_owned(), axes, variances: variances.mapv(|v| v.max(0.0)) })
    }

    /// Rows `[N, D]` → codes `[N, Z]`.
    #[must_use]
    pub fn encode(&self, x: ArrayView2<f32>) -> Array2<f64> {
        (x.mapv(f64::from) - &self.mean).dot(&self.axes)
    }

    /// Codes `[N, Z]` → rows `[N, D]`.
    #[must_use]
    pub fn decode(&self, code: ArrayView2<f64>) -> Array2<f64> {
        code.dot(&self.axes.t()) + &self.mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dreamstep_core::rng::{Philox, Stream};
    use ndarray::{Axis, array};

    #[test]
    fn two_columns_agree_with_the_closed_form() {
        // Covariance [[a, b], [b, c]]: eigenvalues (a + c)/2 ± √(((a − c)/2)² + b²), first axis at ½·atan2(2b, a − c).
        let x = array![[1.0_f32, 2.0], [2.0, 1.0], [4.0, 6.0], [-3.0, 0.5], [0.0, -2.5]];
        let mut moments = Moments::new(2);
        moments.add(x.view());
        let covariance = moments.covariance();
        let (a, b, c) = (covariance[[0, 0]], covariance[[0, 1]], covariance[[1, 1]]);
        let (middle, radius) = ((a + c) / 2.0, ((a - c) / 2.0).hypot(b));
        let angle = 0.5 * (2.0 * b).atan2(a - c);
        let pca = Pca::fit(&moments, 1).unwrap();
        assert!(
            (pca.variances[0] - (middle + radius)).abs() < 1e-12 && (pca.variances[1] - (middle - radius)).abs() < 1e-12
        );
        assert!((pca.axes[[0, 0]] - angle.cos()).abs() < 1e-12 && (pca.axes[[1, 0]] - angle.sin()).abs() < 1e-12);
    }

    #[test]
    fn what_is_lost_is_the_variance_of_the_axes_left_out() {
        let draw = |i: usize, j: usize| Philox::new(4).uniform(Stream::Split, i as u64, j as u32) - 0.5;
        let mix = Array2::from_shape_fn((6, 6), |(i, j)| draw(1_000_000 + i, j));
        let x = Array2::from_shape_fn((500, 6), |(i, j)| draw(i, j) * (j + 1) as f32).dot(&mix) + 3.0;
        let mut moments = Moments::new(6);
        x.axis_chunks_iter(Axis(0), 64).for_each(|rows| moments.add(rows));
        for components in 0..=6 {
            let pca = Pca::fit(&moments, components).unwrap();
            let error = pca.decode(pca.encode(x.view()).view()) - x.mapv(f64::from);
            let lost = error.mapv(|e| e * e).sum() / 500.0;
            let expected: f64 = pca.variances.iter().skip(components).sum();
            assert!((lost - expected).abs() < 1e-9 * pca.variances[0], "{components}: lost {lost}, expected {expected}");
            let gram = pca.axes.t().dot(&pca.axes);
            assert!((gram - Array2::<f64>::eye(components)).iter().all(|d| d.abs() < 1e-12));
        }
    }

    /// Humanoid's observations have 348 numbers.
    #[test]
    fn axes_of_many_columns_are_eigenvectors() {
        let draw = |i: usize, j: usize| Philox::new(5).uniform(Stream::Split, i as u64, j as u32) - 0.5;
        let x = Array2::from_shape_fn((800, 348), |(i, j)| draw(i, j) * (1 + j % 7) as f32 + draw(i, 400));
        let mut moments = Moments::new(348);
        moments.add(x.view());
        let pca = Pca::fit(&moments, 64).unwrap();
        let covariance = moments.covariance();
        for (axis, variance) in pca.axes.columns().into_iter().zip(&pca.variances) {
            let residual = covariance.dot(&axis) - &axis * *variance;
            assert!(residual.iter().all(|r| r.abs() < 1e-11 * pca.variances[0]), "{residual}");
        }
        let total = covariance.diag().sum();
        assert!((pca.variances.sum() - total).abs() < 1e-10 * total);
        assert!(pca.variances.iter().zip(pca.variances.iter().skip(1)).all(|(a, b)| a >= b));
    }

    #[test]
    fn too_many_components_and_no_rows_are_errors() {
        let mut moments = Moments::new(2);
        assert!(Pca::fit(&moments, 1).is_err());
        moments.add(array![[1.0_f32, 2.0], [3.0, 4.0]].view());
        let error = Pca::fit(&moments, 3).unwrap_err().to_string();
        assert!(error.contains("at most 2") && error.contains('3'), "{error}");
    }
}
