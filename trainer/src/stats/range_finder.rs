//! Principal components of rows too long for a scatter matrix: a randomised range finder with subspace iteration (Halko, Martinsson &
//! Tropp 2011, algorithms 4.4 and 5.3), pass by pass over the rows.
//!
//! ```text
//! Q₀ = Gaussian [D, L]     pass: C·Q = Σ (x − m)(x − m)ᵀQ / N     Q ← orth(C·Q)     …     eig(QᵀCQ) ─▶ axes
//! ```
//! Memory is `2·D·L` numbers and a chunk of rows; never `D²`, which for 64 x 64 x 3 is more than a gigabyte.

use super::Pca;
use super::linalg::eigh;
use anyhow::{Result, ensure};
use dreamstep_core::rng::{Philox, Stream};
use nalgebra::DMatrix;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};

/// Directions looked for beside those that are asked for: as many again, and a few.
const BESIDE: usize = 10;

/// Passes over the rows that [`RangeFinder`] takes to find the axes of pictures: a pass more changes the error in the third digit.
pub const PASSES: usize = 3;

/// A pass over the rows.
#[derive(Clone, Debug)]
pub struct RangeFinder {
    components: usize,
    directions: Array2<f64>, // [D, L]
    /// `[D, L]` Σ x xᵀQ, of rows less `origin`.
    products: Array2<f64>,
    sum: Array1<f64>, // [D] of rows less `origin`
    /// `[D]` the first rows' mean: far less cancels in sums about it.
    origin: Option<Array1<f64>>,
    count: u64,
}

impl RangeFinder {
    /// The first pass, for `components` of rows of `columns` numbers.
    ///
    /// # Errors
    /// There are fewer columns than components.
    pub fn new(columns: usize, components: usize, rng: Philox) -> Result<Self> {
        ensure!(components <= columns, "PCA: expected at most {columns} components, found {components}");
        let found = (2 * components + BESIDE).min(columns);
        let mut draws = vec![0.0_f32; columns * found];
        rng.fill_normal(Stream::Report, u64::MAX, &mut draws);
        let directions = Array2::from_shape_vec((columns, found), draws.into_iter().map(f64::from).collect())?;
        Ok(Self::pass(components, directions))
    }

    fn pass(components: usize, directions: Array2<f64>) -> Self {
        let (products, sum) = (Array2::zeros(directions.raw_dim()), Array1::zeros(directions.nrows()));
        Self { components, directions, products, sum, origin: None, count: 0 }
    }

    /// Adds `rows` `[N, D]`.
    ///
    /// # Panics
    /// If the rows are not of `D` numbers.
    pub fn add(&mut self, rows: ArrayView2<f32>) {
        // A few at a time, as doubles.
        for rows in rows.axis_chunks_iter(Axis(0), 256) {
            let mut x = rows.mapv(f64::from);
            let origin = self.origin.get_or_insert_with(|| x.mean_axis(Axis(0)).unwrap_or_default());
            x -= &*origin;
            self.products += &x.t().dot(&x.dot(&self.directions));
            self.sum += &x.sum_axis(Axis(0));
            self.count += x.nrows() as u64;
        }
    }

    /// `[D, L]` the covariance times the directions.
    fn covariance_times_directions(&self) -> Array2<f64> {
        let n = self.count.max(1) as f64;
        let mean = &self.sum / n;
        let along = mean.dot(&self.directions); // [L]
        let outer = mean.insert_axis(Axis(1)).dot(&along.insert_axis(Axis(0)));
        &self.products / n - outer
    }

    /// The next pass, nearer to the axes of most variance.
    ///
    /// # Errors
    /// There were no rows.
    pub fn next(&self) -> Result<Self> {
        ensure!(self.count > 0, "PCA: expected rows, found none");
        let towards = self.covariance_times_directions();
        let (d, l) = towards.dim();
        // Column by column, as nalgebra has it.
        let columns = DMatrix::from_iterator(d, l, towards.t().iter().copied());
        let q = columns.qr().q();
        Ok(Self::pass(self.components, Array2::from_shape_fn((d, l), |(i, j)| q[(i, j)])))
    }

    /// The axes of most variance within the directions of this pass, which must not be the first.
    ///
    /// # Errors
    /// There were no rows.
    pub fn finish(&self) -> Result<Pca> {
        ensure!(self.count > 0, "PCA: expected rows, found none");
        let small = self.directions.t().dot(&self.covariance_times_directions()); // [L, L]
        let symmetric = (&small + &small.t()) / 2.0;
        let (variances, vectors) = eigh(symmetric.view());
        let axes = self.directions.dot(&vectors.slice(s![.., ..self.components]));
        let origin = self.origin.clone().unwrap_or_else(|| Array1::zeros(self.directions.nrows()));
        let mean = origin + &self.sum / self.count as f64;
        Ok(Pca { mean, axes, variances: variances.mapv(|v| v.max(0.0)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Moments;

    /// What exact components of the same rows lose, to a thousandth; and as good whatever the chunks.
    #[test]
    fn what_is_lost_is_what_exact_components_lose() {
        let draw = |i: usize, j: usize| Philox::new(7).uniform(Stream::Split, i as u64, j as u32) - 0.5;
        // A spectrum that falls as slowly as pictures' does.
        let mix = Array2::from_shape_fn((90, 120), |(i, j)| draw(9000 + i, j) * (1.0 / (1.0 + i as f32).powf(0.6)));
        let x = Array2::from_shape_fn((600, 90), |(i, j)| draw(i, j)).dot(&mix) + 4.0;
        let mut moments = Moments::new(120);
        moments.add(x.view());
        let lost = |pca: &Pca| {
            let error = pca.decode(pca.encode(x.view()).view()) - x.mapv(f64::from);
            error.mapv(|e| e * e).sum() / 600.0
        };
        for components in [1, 8, 60] {
            let exact = lost(&Pca::fit(&moments, components).unwrap());
            let mut finder = RangeFinder::new(120, components, Philox::new(1)).unwrap();
            for pass in 0..PASSES {
                x.axis_chunks_iter(Axis(0), 77).for_each(|rows| finder.add(rows));
                if pass + 1 < PASSES {
                    finder = finder.next().unwrap();
                }
            }
            let pca = finder.finish().unwrap();
            let found = lost(&pca);
            assert!(found >= exact - 1e-9 && found < 1.001 * exact, "{components}: expected {exact}, found {found}");
            let gram = pca.axes.t().dot(&pca.axes);
            assert!((gram - Array2::<f64>::eye(components)).iter().all(|d| d.abs() < 1e-12));
            assert!((&pca.mean - &moments.mean()).iter().all(|d| d.abs() < 1e-9));
        }
    }

    #[test]
    fn no_rows_and_too_many_components_are_errors() {
        let finder = RangeFinder::new(4, 2, Philox::new(1)).unwrap();
        assert!(finder.next().is_err() && finder.finish().is_err());
        let error = RangeFinder::new(4, 5, Philox::new(1)).unwrap_err().to_string();
        assert_eq!(error, "PCA: expected at most 4 components, found 5");
    }
}
