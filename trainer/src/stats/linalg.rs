//! Dense linear algebra in `f64`, which libtorch does (LAPACK): between its tensors and the arrays of this module's callers.

use anyhow::{Context, Result, anyhow, ensure};
use ndarray::{Array1, Array2, ArrayView2};
use tch::{Kind, Tensor};

/// A pivot this small beside its column's own square is what cancellation leaves of a dependent column.
const PIVOT_MIN: f64 = 1e-13;

/// `[N, M]`
pub(super) fn tensor(a: ArrayView2<f64>) -> Tensor {
    let (n, m) = a.dim();
    // In rows, whatever order the view has.
    let values: Vec<f64> = a.iter().copied().collect();
    Tensor::from_slice(&values).reshape([n as i64, m as i64])
}

/// A tensor's values, row-major.
fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    let flat = tensor.to_kind(Kind::Double).contiguous().view(-1);
    Vec::try_from(&flat).map_err(|e| anyhow!("cannot read a tensor of shape {:?}: {e}", tensor.size()))
}

/// A `[N, M]` tensor as an array.
pub(super) fn array(tensor: &Tensor) -> Result<Array2<f64>> {
    let (n, m) = tensor.size2()?;
    Ok(Array2::from_shape_vec((n as usize, m as usize), values(tensor)?)?)
}

/// Cholesky's lower factor `[N, N]` of a symmetric positive definite matrix called `what`.
pub(super) fn cholesky(a: ArrayView2<f64>, what: &str) -> Result<Tensor> {
    let (factor, info) = tensor(a).f_linalg_cholesky_ex(false, false).with_context(|| what.to_string())?;
    let failed = info.int64_value(&[]);
    ensure!(failed == 0, "{what}: expected positive definite, found no pivot at column {}", failed - 1);
    let pivots = values(&factor.diagonal(0, 0, 1))?;
    let vanishing = pivots.iter().zip(a.diag()).position(|(l, d)| l * l <= PIVOT_MIN * d);
    if let Some(column) = vanishing {
        anyhow::bail!("{what}: expected positive definite, found column {column} to depend on those before");
    }
    Ok(factor)
}

/// Solves `a·w = b` for symmetric positive definite `a` `[X, X]` called `what`, `b` `[X, Y]`.
pub(super) fn solve(a: ArrayView2<f64>, b: ArrayView2<f64>, what: &str) -> Result<Array2<f64>> {
    array(&tensor(b).f_cholesky_solve(&cholesky(a, what)?, false)?)
}

/// Eigenvalues `[N]`, descending, and the eigenvectors in the columns of `[N, N]`, of a symmetric matrix.
pub(super) fn eigh(a: ArrayView2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    let (eigenvalues, eigenvectors) = tensor(a).f_linalg_eigh("L")?; // ascending
    Ok((Array1::from(values(&eigenvalues.flip([0]))?), array(&eigenvectors.flip([1]))?))
}
