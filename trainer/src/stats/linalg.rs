//! Dense linear algebra in `f64`: Cholesky's factor, and the eigenvectors of a symmetric matrix.

use anyhow::{Result, ensure};
use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array1, Array2, ArrayView2, s};

/// A pivot this small beside its column's own square is what cancellation leaves of a dependent column.
const PIVOT_MIN: f64 = 1e-13;

/// Cholesky's lower factor L `[N, N]`, `L·Lᵀ = a`, of a symmetric positive definite matrix called `what`.
pub(super) fn cholesky(a: ArrayView2<f64>, what: &str) -> Result<Array2<f64>> {
    let n = a.nrows();
    let mut l = Array2::<f64>::zeros((n, n));
    for j in 0..n {
        let known = l.slice(s![j.., ..j]).dot(&l.slice(s![j, ..j]));
        let column = &a.slice(s![j.., j]) - &known; // [N - j]
        let pivot = column[0];
        ensure!(pivot > 0.0, "{what}: expected positive definite, found no pivot at column {j}");
        ensure!(
            pivot > PIVOT_MIN * a[[j, j]],
            "{what}: expected positive definite, found column {j} to depend on those before"
        );
        l.slice_mut(s![j.., j]).assign(&(column / pivot.sqrt()));
    }
    Ok(l)
}

/// `L⁻¹·b` for lower triangular `l` `[N, N]`, `b` `[N, M]`.
pub(super) fn forward(l: &Array2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    let mut x = b.to_owned();
    for i in 0..l.nrows() {
        let known = l.slice(s![i, ..i]).dot(&x.slice(s![..i, ..]));
        let row = (&x.row(i) - &known) / l[[i, i]];
        x.row_mut(i).assign(&row);
    }
    x
}

/// `L⁻ᵀ·b`.
fn backward(l: &Array2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    let mut x = b.to_owned();
    for i in (0..l.nrows()).rev() {
        let known = l.slice(s![i + 1.., i]).dot(&x.slice(s![i + 1.., ..]));
        let row = (&x.row(i) - &known) / l[[i, i]];
        x.row_mut(i).assign(&row);
    }
    x
}

/// Solves `a·w = b` for symmetric positive definite `a` `[X, X]` called `what`, `b` `[X, Y]`.
pub(super) fn solve(a: ArrayView2<f64>, b: ArrayView2<f64>, what: &str) -> Result<Array2<f64>> {
    let l = cholesky(a, what)?;
    Ok(backward(&l, forward(&l, b).view()))
}

/// Eigenvalues `[N]`, descending, and the eigenvectors in the columns of `[N, N]`, of a symmetric matrix.
pub(super) fn eigh(a: ArrayView2<f64>) -> (Array1<f64>, Array2<f64>) {
    let n = a.nrows();
    // Symmetric, so that rows are columns.
    let SymmetricEigen { eigenvalues, eigenvectors } = SymmetricEigen::new(DMatrix::from_iterator(n, n, a.iter().copied()));
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| eigenvalues[j].total_cmp(&eigenvalues[i]));
    let vectors = Array2::from_shape_fn((n, n), |(row, column)| eigenvectors[(row, order[column])]);
    (order.iter().map(|&i| eigenvalues[i]).collect(), vectors)
}
