//! Mirrored (antithetic) sampling: what strategies share that try either side of their mean.

use super::generation::Generation;
use crate::run::checkpoint::Checkpoint;
use anyhow::Result;

/// A mean, and the pairs of candidates around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirrored {
    /// Names the draws.
    seed: u64,
    /// Pairs in a generation.
    directions: usize,
    /// Generations told.
    pub generation: u64,
    /// `[n]`
    pub mean: Vec<f32>,
}

impl Mirrored {
    /// `directions` pairs a generation around `mean` `[n]`.
    #[must_use]
    pub fn new(seed: u64, directions: usize, mean: Vec<f32>) -> Self {
        Self { seed, directions, generation: 0, mean }
    }

    pub(super) fn save(&self, to: &mut Checkpoint) {
        to.insert("mean", &[self.mean.len()], self.mean.clone());
    }

    /// # Errors
    /// One line: the mean is missing or has another shape.
    pub(super) fn resume(seed: u64, directions: usize, n: usize, generation: u64, saved: &Checkpoint) -> Result<Self> {
        Ok(Self { seed, directions, generation, mean: saved.tensor("mean", &[n])?.to_vec() })
    }

    /// Draws this generation's perturbations, standard normal vectors `[n]`, to which `widen` gives the width of the search distribution.
    /// Asking twice draws the same.
    pub(super) fn ask(&self, widen: impl Fn(&mut [f32])) -> Generation {
        Generation::draw(self.seed, self.generation, self.directions, self.mean.len(), widen)
    }

    /// Candidates in a generation.
    #[must_use]
    pub const fn candidates(&self) -> usize {
        2 * self.directions
    }

    /// Candidate `2i` is the mean + draw\[i\], candidate `2i + 1` is the mean − draw\[i\].
    ///
    /// # Panics
    /// If there is no such candidate.
    pub fn candidate(&self, generation: &Generation, index: usize, out: &mut Vec<f32>) {
        let sign = if index.is_multiple_of(2) { 1.0 } else { -1.0 };
        out.clear();
        out.extend(self.mean.iter().zip(&generation.draws[index / 2]).map(|(mean, draw)| mean + sign * draw));
    }

    /// That `scores` are of this generation's candidates, which are told now.
    ///
    /// # Panics
    /// If their number is not that of the candidates, or they are of another generation.
    pub(super) fn told(&mut self, generation: &Generation, scores: &[f64]) {
        generation.check(self.generation, self.candidates(), scores);
        self.generation += 1;
    }
}

/// Perturbations of one width.
pub(super) fn widen(draw: &mut [f32], sigma: f64) {
    draw.iter_mut().for_each(|v| *v *= sigma as f32);
}
