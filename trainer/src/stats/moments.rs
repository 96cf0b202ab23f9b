//! Mean and second central moments of rows, chunk by chunk.
//!
//! Each chunk is centred on its own mean and then added (Chan, Golub & LeVeque 1979), so that a mean far from 0 costs no digits, as it
//! would in a difference of raw sums.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Zip};

/// Mean and variance of every column.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    count: u64,
    mean: Array1<f64>,    // [D]
    squares: Array1<f64>, // [D] Σ (x − mean)²
}

impl Spread {
    /// Of no rows yet, of `columns` numbers each.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self { count: 0, mean: Array1::zeros(columns), squares: Array1::zeros(columns) }
    }

    /// Of `count` rows with these means and (population) variances `[D]`.
    ///
    /// # Panics
    /// If the two differ in length.
    #[must_use]
    pub fn from_parts(count: u64, mean: &[f32], variance: &[f32]) -> Self {
        assert!(mean.len() == variance.len(), "spread: columns differ");
        let mean = mean.iter().map(|&mean| f64::from(mean)).collect();
        Self { count, mean, squares: variance.iter().map(|&variance| f64::from(variance) * count as f64).collect() }
    }

    /// Adds `rows` `[N, D]`.
    ///
    /// # Panics
    /// If the rows are not of `D` numbers.
    pub fn add(&mut self, rows: ArrayView2<f32>) {
        let (count, mean, centred) = centred(rows, self.mean.len());
        if count > 0 {
            self.merge(&Self { count, mean, squares: centred.map_axis(Axis(0), |column| column.dot(&column)) });
        }
    }

    /// Adds the rows that `other` saw.
    ///
    /// # Panics
    /// If `other`'s rows have another length.
    pub fn merge(&mut self, other: &Self) {
        assert!(self.mean.len() == other.mean.len(), "spread: columns differ");
        let (shift, weight) = combine(&mut self.count, &mut self.mean, other.count, &other.mean);
        Zip::from(&mut self.squares).and(&other.squares).and(&shift).for_each(|s, &o, &d| *s += o + weight * d * d);
    }

    /// Rows seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// `[D]`, 0 where there are no rows.
    #[must_use]
    pub fn mean(&self) -> ArrayView1<'_, f64> {
        self.mean.view()
    }

    /// `[D]` of the population: over the number of rows.
    #[must_use]
    pub fn variance(&self) -> Array1<f64> {
        &self.squares / self.count.max(1) as f64
    }
}

/// Mean of every column, and the scatter matrix of all columns: what [`super::Pca`] and [`super::Ridge`] need to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    count: u64,
    mean: Array1<f64>,    // [D]
    scatter: Array2<f64>, // [D, D] Σ (x − mean)(x − mean)ᵀ
}

impl Moments {
    /// Of no rows yet, of `columns` numbers each.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self { count: 0, mean: Array1::zeros(columns), scatter: Array2::zeros((columns, columns)) }
    }

    /// Adds `rows` `[N, D]`.
    ///
    /// # Panics
    /// If the rows are not of `D` numbers.
    pub fn add(&mut self, rows: ArrayView2<f32>) {
        let (count, mean, centred) = centred(rows, self.mean.len());
        if count > 0 {
            self.merge(&Self { count, mean, scatter: centred.t().dot(&centred) });
        }
    }

    /// Adds the rows that `other` saw.
    ///
    /// # Panics
    /// If `other`'s rows have another length.
    pub fn merge(&mut self, other: &Self) {
        assert!(self.mean.len() == other.mean.len(), "moments: columns differ");
        let (shift, weight) = combine(&mut self.count, &mut self.mean, other.count, &other.mean);
        self.scatter += &other.scatter;
        for (mut row, &d) in self.scatter.rows_mut().into_iter().zip(&shift) {
            row.scaled_add(weight * d, &shift);
        }
    }

    /// Rows seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// `[D]`, 0 where there are no rows.
    #[must_use]
    pub fn mean(&self) -> ArrayView1<'_, f64> {
        self.mean.view()
    }

    /// `[D, D]` Σ (x − mean)(x − mean)ᵀ.
    #[must_use]
    pub fn scatter(&self) -> ArrayView2<'_, f64> {
        self.scatter.view()
    }

    /// The moments of some columns, in the order of `columns`.
    ///
    /// # Panics
    /// If there is no such column.
    #[must_use]
    pub fn select(&self, columns: &[usize]) -> Self {
        let scatter = self.scatter.select(Axis(0), columns).select(Axis(1), columns);
        Self { count: self.count, mean: self.mean.select(Axis(0), columns), scatter }
    }

    /// `[D, D]` of the population: over the number of rows.
    #[must_use]
    pub fn covariance(&self) -> Array2<f64> {
        &self.scatter / self.count.max(1) as f64
    }
}

/// How many rows, their mean, and the rows less it.
fn centred(rows: ArrayView2<f32>, columns: usize) -> (u64, Array1<f64>, Array2<f64>) {
    assert!(rows.ncols() == columns, "moments: expected rows of {columns} numbers, found {}", rows.ncols());
    let x = rows.mapv(f64::from);
    let mean = x.sum_axis(Axis(0)) / x.nrows().max(1) as f64;
    let centred = x - &mean;
    (rows.nrows() as u64, mean, centred)
}

/// Moves `count` and `mean` to those of both parts. Returns the second part's mean less the first's, and the weight `n·m/(n + m)` that its
/// products count with in the second moments.
fn combine(count: &mut u64, mean: &mut Array1<f64>, more: u64, more_mean: &Array1<f64>) -> (Array1<f64>, f64) {
    let shift = more_mean - &*mean;
    let (n, m) = (*count as f64, more as f64);
    let total = (n + m).max(1.0);
    mean.scaled_add(m / total, &shift);
    *count += more;
    (shift, n * m / total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dreamstep_core::rng::{Philox, Stream};
    use ndarray::s;

    /// Far from 0, so that a difference of raw sums would have lost every digit of the variance.
    fn rows(n: usize) -> Array2<f32> {
        let draw = |i: usize, j: usize| Philox::new(8).uniform(Stream::Split, i as u64, j as u32);
        Array2::from_shape_fn((n, 3), |(i, j)| 1e4 * (j as f32 + 1.0) + draw(i, j) + 0.5 * draw(i, 0))
    }

    /// Two passes, element by element.
    fn naive(x: &Array2<f32>) -> (Vec<f64>, Array2<f64>) {
        let mean: Vec<f64> =
            x.columns().into_iter().map(|c| c.iter().map(|&v| f64::from(v)).sum::<f64>() / c.len() as f64).collect();
        let mut scatter = Array2::zeros((3, 3));
        for row in x.rows() {
            for i in 0..3 {
                for j in 0..3 {
                    scatter[[i, j]] += (f64::from(row[i]) - mean[i]) * (f64::from(row[j]) - mean[j]);
                }
            }
        }
        (mean, scatter)
    }

    #[test]
    fn any_cut_into_chunks_gives_the_moments_of_all_rows() {
        let x = rows(1000);
        let (mean, scatter) = naive(&x);
        for chunk in [1, 7, 1000] {
            let (mut moments, mut spread) = (Moments::new(3), Spread::new(3));
            for rows in x.axis_chunks_iter(Axis(0), chunk) {
                moments.add(rows);
                spread.add(rows);
            }
            assert_eq!((moments.count(), spread.count()), (1000, 1000));
            for i in 0..3 {
                assert!((moments.mean()[i] - mean[i]).abs() < 1e-9 && (spread.mean()[i] - mean[i]).abs() < 1e-9);
                assert!((spread.variance()[i] * 1000.0 / scatter[[i, i]] - 1.0).abs() < 1e-9, "chunks of {chunk}");
                for j in 0..3 {
                    let (found, expected) = (moments.scatter()[[i, j]], scatter[[i, j]]);
                    assert!((found - expected).abs() < 1e-9 * scatter[[0, 0]], "chunks of {chunk}: {found}, {expected}");
                }
            }
        }
    }

    #[test]
    fn some_columns_have_the_moments_that_they_have_alone() {
        let x = rows(50);
        let (mut all, mut some) = (Moments::new(3), Moments::new(2));
        all.add(x.view());
        some.add(x.select(Axis(1), &[2, 0]).view());
        let selected = all.select(&[2, 0]);
        assert!((&selected.scatter - &some.scatter).iter().all(|d| d.abs() < 1e-10) && selected.mean == some.mean);
    }

    #[test]
    fn two_halves_add_up_and_nothing_adds_nothing() {
        let x = rows(101);
        let [mut whole, mut first, mut second] = [(); 3].map(|()| Moments::new(3));
        whole.add(x.view());
        first.add(x.slice(s![..40, ..]));
        second.add(x.slice(s![40.., ..]));
        first.merge(&second);
        assert_eq!(first.count(), whole.count());
        assert!((&first.covariance() - &whole.covariance()).iter().all(|d| d.abs() < 1e-10));
        let before = first.clone();
        first.merge(&Moments::new(3));
        first.add(x.slice(s![..0, ..]));
        assert_eq!(first, before);
        let mut empty = Moments::new(3);
        empty.merge(&before);
        assert_eq!(empty, before);
    }
}
