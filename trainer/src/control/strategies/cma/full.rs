//! The whole covariance matrix: n²/2 parameters, learned in O(n²) evaluations; an eigendecomposition now and then.

use super::Covariance;
use super::constants::{Constants, Rates};
use crate::run::checkpoint::Checkpoint;
use anyhow::Result;
use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// C, and its eigendecomposition of some generations ago: C ≈ B D² Bᵀ.
#[derive(Clone, Debug, PartialEq)]
pub struct Full {
    /// C `[n, n]`; only its lower triangle is kept up to date.
    c: DMatrix<f64>,
    /// B `[n, n]`: eigenvectors in its columns.
    b: DMatrix<f64>,
    /// D `[n]`: roots of the eigenvalues, in B's order.
    d: DVector<f64>,
    /// Generations of this run when C was decomposed.
    decomposed: u64,
}

/// An eigenvalue is at least this fraction of the greatest: what rounding leaves of a smaller one may be negative.
const MIN_EIGENVALUE: f64 = 1e-15;

/// (56) to (58), c_1 as pycma has it for small populations, and the limit (52).
pub(super) fn rates(n: f64, lambda: f64, mu_eff: f64) -> Rates {
    let c_c = (4.0 + mu_eff / n) / (n + 4.0 + 2.0 * mu_eff / n);
    let c_1 = (lambda / 6.0).min(1.0) * 2.0 / ((n + 1.3).powi(2) + mu_eff);
    let c_mu = (2.0 * (0.25 + mu_eff + 1.0 / mu_eff - 2.0) / ((n + 2.0).powi(2) + mu_eff)).min(1.0 - c_1);
    Rates { c_c, c_1, c_mu, negative_limit: (1.0 - c_1 - c_mu) / (n * c_mu) }
}

impl Full {
    /// Σ_j B_j v_j
    fn columns(&self, v: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut sum = vec![0.0; self.d.len()];
        for (column, v) in self.b.column_iter().zip(v) {
            sum.iter_mut().zip(&column).for_each(|(sum, b)| *sum += b * v);
        }
        sum
    }

    /// C += w·y yᵀ, its lower triangle.
    fn add(&mut self, w: f64, y: &[f64]) {
        for (j, mut column) in self.c.column_iter_mut().enumerate() {
            let factor = w * y[j];
            column.iter_mut().zip(y).skip(j).for_each(|(c, y)| *c += factor * y);
        }
    }

    fn decompose(&mut self, told: u64) {
        // It reads the lower triangle.
        let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(self.c.clone());
        let least = MIN_EIGENVALUE * eigenvalues.max();
        self.d = eigenvalues.map(|value| value.max(least).sqrt());
        self.b = eigenvectors;
        self.decomposed = told;
    }
}

impl Covariance for Full {
    fn identity(n: usize) -> Self {
        Self { c: DMatrix::identity(n, n), b: DMatrix::identity(n, n), d: DVector::repeat(n, 1.0), decomposed: 0 }
    }

    fn constants(n: usize, population: usize) -> Constants {
        Constants::new(n, population, rates)
    }

    fn shape(&self, z: impl Iterator<Item = f64>) -> Vec<f64> {
        self.columns(z.zip(&self.d).map(|(z, d)| d * z))
    }

    /// B D⁻¹ Bᵀ · B D z = B z
    fn isotropic(&self, z: &[f64]) -> Vec<f64> {
        self.columns(z.iter().copied())
    }

    /// (47): C ← (1 + c_1 δ(h_σ) − c_1 − c_μ Σw) C + c_1 p_c p_cᵀ + c_μ Σ w° y yᵀ
    fn update(&mut self, k: &Constants, path: &[f64], stalled: bool, draws: &[&[f32]], told: u64) {
        let n = path.len() as f64;
        let delta = if stalled { k.c_c * (2.0 - k.c_c) } else { 0.0 };
        self.c *= 1.0 + k.c_1 * delta - k.c_1 - k.c_mu * k.weights.iter().sum::<f64>();
        self.add(k.c_1, path);
        for (&weight, z) in k.weights.iter().zip(draws) {
            // (46): ‖C^-½ y‖² = ‖z‖²
            let squared: f64 = z.iter().map(|&z| f64::from(z) * f64::from(z)).sum();
            let weight = if weight < 0.0 { weight * n / squared } else { weight };
            self.add(k.c_mu * weight, &self.shape(z.iter().map(|&z| f64::from(z))));
        }
        // Appendix B.2: a decomposition costs O(n³), and C hardly changes in 1 / (10 n (c_1 + c_μ)) generations.
        if (told - self.decomposed) as f64 > 1.0 / (10.0 * n * (k.c_1 + k.c_mu)) {
            self.decompose(told);
        }
    }

    fn deviation(&self, j: usize) -> f64 {
        self.c[(j, j)].sqrt()
    }

    fn axes(&self) -> [f64; 2] {
        [self.d.min(), self.d.max()]
    }

    fn save(&self, to: &mut Checkpoint) {
        let n = self.d.len();
        to.insert_f64("covariance", &[n, n], self.c.as_slice().to_vec());
        // Column by column, so the rows of what is saved are eigenvectors.
        to.insert_f64("axes", &[n, n], self.b.as_slice().to_vec());
        to.insert_f64("axis_lengths", &[n], self.d.as_slice().to_vec());
        to.set_meta("cma.decomposed", self.decomposed);
    }

    fn resume(n: usize, saved: &Checkpoint) -> Result<Self> {
        let matrix = |name| Ok::<_, anyhow::Error>(DMatrix::from_column_slice(n, n, saved.tensor_f64(name, &[n, n])?));
        let d = DVector::from_column_slice(saved.tensor_f64("axis_lengths", &[n])?);
        Ok(Self { c: matrix("covariance")?, b: matrix("axes")?, d, decomposed: saved.meta("cma.decomposed")? })
    }
}
