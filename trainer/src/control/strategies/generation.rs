//! The random vectors of a generation, and the order of its scores: what every strategy shares.
//!
//! Vector `index` of a generation is Philox draw (seed, `Evolution`, `number · 2²⁰ + index`): it depends on neither state nor
//! threads.

use crate::run::config::MAX_VECTORS;
use dreamstep_core::rng::{Philox, Stream};

/// What `ask` drew. Only the strategy that drew it can read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// Generations told before.
    number: u64,
    /// `[vectors][n]`
    pub(super) draws: Vec<Vec<f32>>,
}

impl Generation {
    /// `vectors` standard normal vectors `[n]`, each handed to `scale`.
    pub(super) fn draw(seed: u64, number: u64, vectors: usize, n: usize, scale: impl Fn(&mut [f32])) -> Self {
        assert!(vectors <= MAX_VECTORS, "evolution: at most {MAX_VECTORS} vectors a generation, not {vectors}");
        let rng = Philox::new(seed);
        let draw = |index: usize| {
            let mut vector = vec![0.0; n];
            rng.fill_normal(Stream::Evolution, number << 20 | index as u64, &mut vector);
            scale(&mut vector);
            vector
        };
        Self { number, draws: (0..vectors).map(draw).collect() }
    }

    /// That `scores` are of these candidates and the state is the one that asked.
    pub(super) fn check(&self, number: u64, candidates: usize, scores: &[f64]) {
        assert_eq!(scores.len(), candidates, "evolution: one score per candidate");
        assert_eq!(self.number, number, "evolution: scores of the generation that was asked for last");
    }
}

/// What is not finite counts as the worst score there is: a candidate that failed is no example to follow.
pub(super) fn finite_or_worst(scores: &[f64]) -> Vec<f64> {
    scores.iter().map(|&score| if score.is_finite() { score } else { f64::NEG_INFINITY }).collect()
}

/// Whether all of `scores` are the same, so that no candidate is better than another.
pub(super) fn all_equal(scores: &[f64]) -> bool {
    scores.windows(2).all(|pair| pair[0] == pair[1])
}

/// Candidates from the best to the worst; equal ones in their own order.
pub(super) fn best_first(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

/// Ranks spread evenly over [-½, ½]; ties share the mean of their ranks, so that equal scores pull nowhere.
pub(super) fn centred_ranks(scores: &[f64]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut ranks = vec![0.0; scores.len()];
    let top = (scores.len() - 1).max(1) as f32;
    let mut first = 0;
    for run in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let rank = first as f32 + (run.len() - 1) as f32 / 2.0;
        run.iter().for_each(|&i| ranks[i] = rank / top - 0.5);
        first += run.len();
    }
    ranks
}

/// Euclidean length.
pub(super) fn norm(values: &[f32]) -> f32 {
    values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_centred_and_ties_are_equal() {
        assert_eq!(centred_ranks(&[10.0, -5.0, 3.0]), [0.5, -0.5, 0.0]);
        assert_eq!(centred_ranks(&[1.0, 1.0, 1.0, 1.0]), [0.0; 4]);
        assert_eq!(centred_ranks(&[2.0, 1.0, 2.0]), [0.25, -0.5, 0.25]);
        assert_eq!(centred_ranks(&finite_or_worst(&[2.0, f64::NAN, f64::INFINITY])), [0.5, -0.25, -0.25]);
    }

    #[test]
    fn the_best_stands_first_and_what_is_not_finite_last() {
        let scores = finite_or_worst(&[1.0, f64::NAN, 5.0, f64::NEG_INFINITY, 1.0, -f64::NAN, f64::INFINITY]);
        assert_eq!(best_first(&scores), [2, 0, 4, 1, 3, 5, 6]);
        assert!(
            !all_equal(&scores) && all_equal(&finite_or_worst(&[f64::NAN, f64::NEG_INFINITY])) && all_equal(&[0.0, -0.0])
        );
    }

    #[test]
    fn a_vector_depends_on_its_name_alone() {
        let of = |number, vectors| Generation::draw(7, number, vectors, 5, |_| ());
        assert_eq!(of(3, 2).draws, of(3, 9).draws[..2]);
        assert_ne!(of(3, 1).draws, of(4, 1).draws);
    }
}
