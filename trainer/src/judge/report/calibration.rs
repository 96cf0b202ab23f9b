//! M's calibration: how often the truth lies in M's central intervals, and how often the task ends where M says that it is likely.

use super::errors::doubles;
use crate::stats::auroc;
use crate::world::mdnrnn::Prediction;
use anyhow::Result;
use serde::Serialize;
use tch::{Kind, Tensor};

/// Central intervals that are counted: 5 %, 10 %, … 95 %.
pub const LEVELS: usize = 19;
/// Bins of the terminal probability, of equally many steps.
const BINS: usize = 10;

/// The nominal share of interval `i`.
#[must_use]
pub fn level(i: usize) -> f64 {
    0.05 * (i + 1) as f64
}

/// How often the truth lay in a central interval.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    inside: [f64; LEVELS],
    count: f64,
}

impl Coverage {
    /// Adds `below` `[N, Z]`: the share of a predicted distribution that lies below the truth.
    ///
    /// # Errors
    /// libtorch cannot hand the counts over.
    pub fn add(&mut self, below: &Tensor) -> Result<()> {
        let outer = (below.to_kind(Kind::Double) - 0.5).abs() * 2.0; // the smallest central interval that holds the truth
        let bounds = Tensor::from_slice(&std::array::from_fn::<f64, LEVELS, _>(level));
        let inside = outer.reshape([-1, 1]).le_tensor(&bounds).sum_dim_intlist(0, false, Kind::Double);
        self.inside.iter_mut().zip(doubles(&inside)?).for_each(|(sum, more)| *sum += more);
        self.count += below.numel() as f64;
        Ok(())
    }

    /// The share found in each interval.
    #[must_use]
    pub fn shares(&self) -> [f64; LEVELS] {
        self.inside.map(|inside| inside / self.count)
    }
}

/// The share of each of the mixture's marginals that lies below `target` `[N, Z]`, `[N, Z]`: uniform on (0, 1) where the mixture is right
/// (the probability integral transform, Rosenblatt 1952).
pub(super) fn share_below(prediction: &Prediction, target: &Tensor) -> Tensor {
    let weights = prediction.logits.to_kind(Kind::Double).softmax(1, Kind::Double); // [N, K, 1 or Z]
    let distance = (target.unsqueeze(1) - &prediction.means).to_kind(Kind::Double);
    let scaled = distance * prediction.log_sigmas.to_kind(Kind::Double).neg().exp(); // [N, K, Z]
    (weights * scaled.special_ndtr()).sum_dim_intlist(1, false, Kind::Double)
}

/// How good the terminal head is.
#[derive(Clone, Debug, Serialize)]
pub struct Terminal {
    /// Steps that ended the task.
    pub ends: usize,
    /// Of all steps.
    pub steps: usize,
    /// Area under the ROC curve; none where no step ends the task, or every one does.
    pub auroc: Option<f64>,
    /// Mean squared difference of the probability and what happened (Brier 1950).
    pub brier: f64,
    /// The same of the constant that is right on average.
    pub brier_constant: f64,
    /// |mean probability − share that ended|, over bins of equally many steps weighted by their size.
    pub calibration_error: f64,
    /// From the least likely to the most.
    pub bins: Vec<Bin>,
}

/// Steps of like probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Mean predicted probability of an end.
    pub predicted: f64,
    /// Share that ended.
    pub found: f64,
    /// Steps.
    pub steps: usize,
}

impl Terminal {
    /// Of steps with predicted `probabilities` that did or did not `end`.
    #[must_use]
    pub fn of(probabilities: &[f32], ends: &[bool]) -> Self {
        let n = probabilities.len();
        let count = ends.iter().filter(|&&end| end).count();
        let rate = count as f64 / n.max(1) as f64;
        let square = |p: f64, end: bool| (p - f64::from(u8::from(end))).powi(2);
        let mean = |sum: f64| sum / n.max(1) as f64;
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b])); // stable
        let bin = |steps: &[usize]| Bin {
            predicted: steps.iter().map(|&i| f64::from(probabilities[i])).sum::<f64>() / steps.len() as f64,
            found: steps.iter().filter(|&&i| ends[i]).count() as f64 / steps.len() as f64,
            steps: steps.len(),
        };
        let bins: Vec<Bin> = order.chunks(n.div_ceil(BINS).max(1)).map(bin).collect();
        Self {
            ends: count,
            steps: n,
            auroc: auroc(probabilities, ends),
            brier: mean(probabilities.iter().zip(ends).map(|(&p, &end)| square(f64::from(p), end)).sum()),
            brier_constant: mean(ends.iter().map(|&end| square(rate, end)).sum()),
            calibration_error: mean(bins.iter().map(|b| (b.predicted - b.found).abs() * b.steps as f64).sum()),
            bins,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::nets::normals;
    use dreamstep_core::rng::{Philox, Stream};
    use tch::Device;

    /// Normals whose own distribution is predicted are covered as promised; predicted too narrow by half, the central 95 % interval holds
    /// 2Φ(1.96/2) − 1 = 67.3 % of them.
    #[test]
    fn coverage_of_normals_is_what_the_quantiles_say() {
        let x = Tensor::from_slice(&normals(Philox::new(4), Stream::Report, 0, 100_000)).reshape([-1, 4]);
        let shares = |scale: f64| {
            let mut coverage = Coverage::default();
            for rows in (&x * scale).split(7000, 0) {
                coverage.add(&rows.special_ndtr()).unwrap();
            }
            coverage.shares()
        };
        for (i, found) in shares(1.0).into_iter().enumerate() {
            assert!((found - level(i)).abs() < 0.01, "{}: found {found}", level(i));
        }
        assert!((shares(2.0)[18] - 0.6729).abs() < 0.01, "{}", shares(2.0)[18]);
    }

    #[test]
    fn a_calibrated_probability_has_no_calibration_error_and_a_constant_no_skill() {
        let rng = Philox::new(9);
        let p: Vec<f32> = (0..50_000).map(|i| rng.uniform(Stream::Report, i, 0).powi(2)).collect();
        let ends: Vec<bool> = p.iter().zip(0..).map(|(&p, i)| rng.uniform(Stream::Report, i, 1) < p).collect();
        let found = Terminal::of(&p, &ends);
        assert!(found.calibration_error < 0.01 && found.brier < 0.7 * found.brier_constant, "{found:?}");
        assert_eq!(found.bins.iter().map(|b| b.steps).sum::<usize>(), 50_000);
        let halved: Vec<f32> = p.iter().map(|p| p / 2.0).collect();
        let wrong = Terminal::of(&halved, &ends);
        assert!((wrong.calibration_error - 1.0 / 6.0).abs() < 0.01, "half of a mean of 1/3: {}", wrong.calibration_error);
        assert_eq!(wrong.auroc, found.auroc, "the order is the same");
        assert_eq!(Terminal::of(&[0.1, 0.2], &[false, false]).auroc, None);
    }

    #[test]
    fn the_share_below_is_the_integral_of_the_density() {
        let row = |v: &[f32]| Tensor::from_slice(v).reshape([1, 2, 1]);
        let prediction = Prediction {
            means: row(&[-1.0, 2.0]),
            log_sigmas: row(&[0.0, -0.5]),
            logits: Tensor::from_slice(&[0.3_f32, -0.2]).reshape([1, 2, 1]),
            reward: Tensor::zeros([1], (Kind::Float, Device::Cpu)),
            terminal_logit: Tensor::zeros([1], (Kind::Float, Device::Cpu)),
        };
        for target in [-2.5_f32, 0.0, 1.7, 4.0] {
            let target = Tensor::from_slice(&[target]).reshape([1, 1]);
            let found = share_below(&prediction, &target).double_value(&[0, 0]);
            // The midpoint rule on exp(−nll), an implementation of its own.
            let (from, step) = (-12.0, 1e-3);
            let steps = ((target.double_value(&[0, 0]) - from) / step).round() as i64;
            let integral: f64 = (0..steps)
                .map(|i| {
                    let x = Tensor::from_slice(&[(from + (i as f64 + 0.5) * step) as f32]).reshape([1, 1]);
                    prediction.nll(&x).neg().exp().double_value(&[0]) * step
                })
                .sum();
            assert!((found - integral).abs() < 2e-4, "expected {integral}, found {found}");
        }
    }
}
