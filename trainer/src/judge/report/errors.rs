//! Squared errors column by column as shares of the variance, added up chunk by chunk.

use crate::world::nets::matrix;
use anyhow::{Result, anyhow};
use ndarray::Array2;
use serde::Serialize;
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// Σ (prediction − target)² and Σ (target − centre)² of every column.
#[derive(Debug)]
pub struct SquaredErrors {
    centre: Tensor, // [D]
    error: Vec<f64>,
    total: Vec<f64>,
}

impl SquaredErrors {
    /// Of no rows yet; `centre` `[D]` is the constant that earns 1.
    #[must_use]
    pub fn new(centre: &[f64]) -> Self {
        Self { centre: Tensor::from_slice(centre), error: vec![0.0; centre.len()], total: vec![0.0; centre.len()] }
    }

    /// Adds rows `[N, D]`.
    ///
    /// # Errors
    /// libtorch cannot hand the sums over.
    pub fn add(&mut self, target: &Tensor, prediction: &Tensor) -> Result<()> {
        let target = target.to_kind(Kind::Double);
        let sums = |difference: Tensor| doubles(&difference.square().sum_dim_intlist(0, false, Kind::Double));
        add(&mut self.error, &sums(prediction.to_kind(Kind::Double) - &target)?);
        add(&mut self.total, &sums(target - &self.centre)?);
        Ok(())
    }

    /// The error of `columns` over their variance; none where they do not vary.
    #[must_use]
    pub fn share(&self, columns: Range<usize>) -> Option<f64> {
        let total: f64 = self.total[columns.clone()].iter().sum();
        (total > 0.0).then(|| self.error[columns].iter().sum::<f64>() / total)
    }

    /// Of all columns.
    #[must_use]
    pub fn overall(&self) -> Option<f64> {
        self.share(0..self.error.len())
    }
}

fn add(sums: &mut [f64], more: &[f64]) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

/// The values of a tensor, row-major.
///
/// # Errors
/// libtorch cannot hand them over.
pub fn doubles(tensor: &Tensor) -> Result<Vec<f64>> {
    let flat = tensor.to_kind(Kind::Double).contiguous().view(-1);
    Vec::try_from(&flat).map_err(|e| anyhow!("cannot read a tensor of shape {:?}: {e}", tensor.size()))
}

/// A `[N, M]` tensor as an array.
///
/// # Errors
/// libtorch cannot hand it over.
pub fn host(tensor: &Tensor) -> Result<Array2<f32>> {
    let (n, m) = tensor.size2()?;
    Ok(Array2::from_shape_vec((n as usize, m as usize), crate::world::nets::to_vec(tensor)?)?)
}

/// An array as a tensor of single precision.
pub fn single(array: &Array2<f64>) -> Tensor {
    let values: Vec<f32> = array.iter().map(|&v| v as f32).collect();
    matrix(&values, array.ncols(), Device::Cpu)
}

/// A part of the observation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Block {
    /// As the environment names it.
    pub name: String,
    /// Its numbers in an observation.
    pub size: usize,
    /// Those that vary: the others are whitened to 0 and count nowhere.
    pub alive: usize,
    #[serde(skip)]
    columns: (usize, usize),
}

impl Block {
    /// The parts that `blocks` names, of an observation whose dimensions are `alive` or dead.
    #[must_use]
    pub fn all(blocks: &[(String, usize)], alive: &[bool]) -> Vec<Self> {
        let mut start = 0;
        let block = |(name, size): &(String, usize)| {
            let (name, size) = (name.clone(), *size);
            let columns = (start, start + size);
            start += size;
            let alive = alive[columns.0..columns.1].iter().filter(|&&alive| alive).count();
            Self { name, size, alive, columns }
        };
        blocks.iter().map(block).collect()
    }

    /// Its columns.
    #[must_use]
    pub fn columns(&self) -> Range<usize> {
        self.columns.0..self.columns.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_columns_is_their_error_over_their_variance() {
        let mut errors = SquaredErrors::new(&[1.0, 0.0, 5.0]);
        let rows = |v: &[f32]| matrix(v, 3, Device::Cpu);
        errors.add(&rows(&[2.0, 3.0, 5.0]), &rows(&[2.5, 3.0, 5.0])).unwrap();
        errors.add(&rows(&[0.0, -1.0, 5.0]), &rows(&[0.0, 1.0, 5.0])).unwrap();
        assert_eq!(errors.share(0..1), Some(0.25 / 2.0));
        assert_eq!(errors.share(0..2), Some(4.25 / 12.0));
        assert_eq!(errors.share(2..3), None, "a constant column has no share");
        assert_eq!(errors.overall(), Some(4.25 / 12.0));
    }

    #[test]
    fn blocks_follow_each_other_and_count_what_varies() {
        let blocks = Block::all(&crate::env::blocks(&[("qpos", 2), ("qvel", 3)]), &[true, false, true, true, true]);
        assert_eq!((blocks[0].columns(), blocks[0].alive), (0..2, 1));
        assert_eq!((blocks[1].columns(), blocks[1].alive), (2..5, 3));
    }
}
