//! Softmax regression (multinomial logistic regression): which of a few choices the numbers of a row call for, by a linear score of each.
//!
//! ```text
//! scores = x·W + b        P(choice = i | x) = exp(scores_i) / Σ_j exp(scores_j)
//! ```
//! Fitted by Nesterov's accelerated gradient in the metric of Böhning's bound: the curvature is nowhere more than half the scatter of the
//! inputs (Böhning 1992), so that a step needs no search for its length.

use super::linalg::solve;
use anyhow::{Result, ensure};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};

/// Steps: enough for the choices to stand, long before the likelihood of data that can be told apart does.
const STEPS: u32 = 100;
/// Rows at a time.
const CHUNK: usize = 4096;

/// A linear score of each choice.
#[derive(Clone, Debug)]
pub struct Softmax {
    /// `[X, U]`
    pub weight: Array2<f64>,
    /// `[U]`
    pub bias: Array1<f64>,
}

/// Rows `[N, X]` and the choice, from 0, of each.
pub type Chosen = (Array2<f32>, Vec<usize>);

impl Softmax {
    /// Minimises the mean over rows of −ln P(choice | x), and `lambda`/2·‖W‖² (the intercept is not charged), from W = 0.
    ///
    /// # Errors
    /// There are no rows, or the normal equations are singular (then `lambda` is too small).
    ///
    /// # Panics
    /// If a choice is not below `choices`, or rows differ in length.
    pub fn fit(data: &[Chosen], choices: usize, lambda: f64) -> Result<Self> {
        let n: usize = data.iter().map(|(_, chosen)| chosen.len()).sum();
        ensure!(n > 0, "softmax regression: expected rows, found none");
        let inputs = data[0].0.ncols();
        let charge = Array1::from_shape_fn(inputs + 1, |i| if i < inputs { lambda } else { 0.0 });
        let mut metric = Array2::zeros((inputs + 1, inputs + 1));
        each_chunk(data, |x, _| metric += &(x.t().dot(&x) * (0.5 / n as f64)));
        metric.diag_mut().scaled_add(1.0, &charge);
        let inverse = solve(metric.view(), Array2::eye(inputs + 1).view(), "softmax regression: normal equations")?;

        let mut weight = Array2::<f64>::zeros((inputs + 1, choices));
        let mut ahead = weight.clone();
        for step in 0..STEPS {
            let mut slope = &ahead * &charge.view().insert_axis(Axis(1));
            each_chunk(data, |x, chosen| {
                let mut share = x.dot(&ahead); // [N, U]
                for (mut row, &choice) in share.rows_mut().into_iter().zip(chosen) {
                    let most = row.fold(f64::NEG_INFINITY, |most, &score| most.max(score));
                    row.mapv_inplace(|score| (score - most).exp());
                    let sum = row.sum();
                    row.mapv_inplace(|weight| weight / sum);
                    row[choice] -= 1.0;
                }
                slope.scaled_add(1.0 / n as f64, &x.t().dot(&share));
            });
            let next = &ahead - &inverse.dot(&slope);
            let momentum = f64::from(step) / f64::from(step + 3);
            ahead = &next + &((&next - &weight) * momentum);
            weight = next;
        }
        Ok(Self { weight: weight.slice(s![..inputs, ..]).to_owned(), bias: weight.row(inputs).to_owned() })
    }

    /// `[N, U]`
    #[must_use]
    pub fn scores(&self, x: ArrayView2<f32>) -> Array2<f64> {
        x.mapv(f64::from).dot(&self.weight) + &self.bias
    }
}

/// Hands rows, with a last column of ones, and their choices to `work`, a few thousand at a time.
fn each_chunk(data: &[Chosen], mut work: impl FnMut(Array2<f64>, &[usize])) {
    for (rows, chosen) in data {
        for (rows, chosen) in rows.axis_chunks_iter(Axis(0), CHUNK).zip(chosen.chunks(CHUNK)) {
            let mut x = Array2::ones((rows.nrows(), rows.ncols() + 1));
            x.slice_mut(s![.., ..rows.ncols()]).assign(&rows.mapv(f64::from));
            work(x, chosen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dreamstep_core::rng::{Philox, Stream};

    /// `n` rows of three normal numbers in two parts, and the choice that `choose` makes of each.
    fn drawn(n: usize, mut choose: impl FnMut(usize, &[f32]) -> usize) -> Vec<Chosen> {
        let mut x = vec![0.0; 3 * n];
        Philox::new(4).fill_normal(Stream::LatentNoise, 0, &mut x);
        let chosen: Vec<usize> = x.chunks(3).enumerate().map(|(i, row)| choose(i, row)).collect();
        let part = |from: usize, to: usize| {
            (Array2::from_shape_vec((to - from, 3), x[3 * from..3 * to].to_vec()).unwrap(), chosen[from..to].to_vec())
        };
        vec![part(0, n / 3), part(n / 3, n)]
    }

    /// Chosen at random as the model has it, the scores come back, but for what they have in common.
    #[test]
    fn it_recovers_the_scores_that_choices_were_drawn_by() {
        let truth = [[1.0, -0.5, 0.0, 0.3], [-1.0, 0.25, 1.5, -0.2], [0.0, 0.25, -1.5, -0.1]]; // weights and bias of each; they add up to 0
        let score = |of: &[f64; 4], x: &[f32]| of[3] + x.iter().zip(of).map(|(&x, w)| f64::from(x) * w).sum::<f64>();
        let data = drawn(60_000, |i, x| {
            let weights = truth.each_ref().map(|of| score(of, x).exp());
            let mut draw = f64::from(Philox::new(5).uniform(Stream::Split, i as u64, 0)) * weights.iter().sum::<f64>();
            weights
                .iter()
                .position(|weight| {
                    draw -= weight;
                    draw < 0.0
                })
                .unwrap_or(2)
        });
        let found = Softmax::fit(&data, 3, 1e-9).unwrap();
        for (i, of) in truth.iter().enumerate() {
            for (j, expected) in of.iter().enumerate() {
                let value = if j < 3 { found.weight[[j, i]] } else { found.bias[i] };
                assert!((value - expected).abs() < 0.05, "{i}, {j}: expected {expected}, found {value}");
            }
        }
        // At the optimum the gradient is nothing: every choice is expected as often as it was made.
        let mut surplus = [0.0; 3];
        for (rows, chosen) in &data {
            for (scores, &choice) in found.scores(rows.view()).rows().into_iter().zip(chosen) {
                let sum: f64 = scores.iter().map(|score| score.exp()).sum();
                surplus.iter_mut().zip(scores).for_each(|(surplus, score)| *surplus += score.exp() / sum / 60_000.0);
                surplus[choice] -= 1.0 / 60_000.0;
            }
        }
        assert!(surplus.iter().all(|surplus| surplus.abs() < 1e-5), "{surplus:?}");
    }

    /// The middle one of three, which a regression on one-hot rows never finds (it is masked by the outer two).
    #[test]
    fn a_choice_between_two_others_is_found() {
        let band = |x: f32| if x < -0.5 { 0 } else { usize::from(x > 0.5) + 1 };
        let data = drawn(6000, |_, x| band(x[0]));
        let found = Softmax::fit(&data, 3, 1e-4).unwrap();
        let mut wrong = 0;
        for (rows, chosen) in &data {
            for (scores, &choice) in found.scores(rows.view()).rows().into_iter().zip(chosen) {
                let best = (0..3).max_by(|&i, &j| scores[i].total_cmp(&scores[j])).unwrap();
                wrong += usize::from(best != choice);
            }
        }
        assert!(wrong < 60, "{wrong} of 6000");
    }

    #[test]
    fn no_rows_and_singular_rows_are_errors() {
        assert!(Softmax::fit(&[], 2, 1e-4).unwrap_err().to_string().contains("expected rows, found none"));
        let twice: Vec<Chosen> = vec![(Array2::from_elem((5, 2), 1.0), vec![0, 1, 0, 1, 0])];
        assert!(Softmax::fit(&twice, 2, 0.0).is_err() && Softmax::fit(&twice, 2, 1e-3).is_ok());
    }
}
