//! OpenAI-ES (Salimans, Ho, Chen, Sidor, Sutskever, *Evolution strategies as a scalable alternative to reinforcement learning*,
//! arXiv:1703.03864): the gradient of the expected rank under a Gaussian of fixed width, from antithetic samples, climbed by Adam
//! (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1) with weight decay.
//!
//! A score that is not finite ranks last. A generation whose scores are all the same says nothing and moves nothing, not even by
//! momentum.

use super::generation::{Generation, all_equal, centred_ranks, finite_or_worst};
use super::mirrored::{Mirrored, widen};
use crate::run::checkpoint::Checkpoint;
use anyhow::Result;

/// What does not change while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Names the perturbations.
    pub seed: u64,
    /// Antithetic pairs in a generation.
    pub directions: usize,
    /// Adam's step size α.
    pub learning_rate: f64,
    /// σ: standard deviation of the perturbations.
    pub sigma: f64,
    /// What a unit of weight pulls back towards zero, beside the gradient of the mean rank with respect to a perturbation of width 1 (the
    /// authors' `l2_coeff`).
    pub weight_decay: f64,
}

/// Adam's decay of the first moment, and of the second, and what keeps it from dividing by zero: the authors' values.
const BETA: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// The state between generations.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAiEs {
    settings: Settings,
    /// Around θ.
    pub base: Mirrored,
    /// Adam's first moment `[n]`
    first: Vec<f32>,
    /// Adam's second moment `[n]`
    second: Vec<f32>,
    /// Adam's steps.
    steps: u64,
}

impl OpenAiEs {
    /// A search around `mean` `[n]`.
    #[must_use]
    pub fn new(settings: Settings, mean: Vec<f32>) -> Self {
        let n = mean.len();
        let base = Mirrored::new(settings.seed, settings.directions, mean);
        Self { settings, base, first: vec![0.0; n], second: vec![0.0; n], steps: 0 }
    }

    pub(super) fn mean_sigma(&self) -> f64 {
        self.settings.sigma
    }

    pub(super) fn save(&self, to: &mut Checkpoint) {
        self.base.save(to);
        for (name, values) in [("adam.first", &self.first), ("adam.second", &self.second)] {
            to.insert(name, &[values.len()], values.clone());
        }
        to.set_meta("adam.steps", self.steps);
    }

    pub(super) fn resume(settings: Settings, n: usize, generation: u64, saved: &Checkpoint) -> Result<Self> {
        let vector = |name| saved.tensor(name, &[n]).map(<[f32]>::to_vec);
        let base = Mirrored::resume(settings.seed, settings.directions, n, generation, saved)?;
        let (first, second, steps) = (vector("adam.first")?, vector("adam.second")?, saved.meta("adam.steps")?);
        Ok(Self { settings, base, first, second, steps })
    }

    pub(super) fn ask(&self) -> Generation {
        self.base.ask(|epsilon| widen(epsilon, self.settings.sigma))
    }

    /// θ climbs g = 1/(2N) Σ (u⁺ − u⁻) ε − λθ, u the centred ranks (§2 and 2.1; the authors' code leaves the 1/σ to Adam, which does not
    /// heed the gradient's scale).
    ///
    /// # Panics
    /// If the number of scores is not that of the candidates, or they are of another generation.
    pub fn tell(&mut self, generation: &Generation, scores: &[f64]) {
        self.base.told(generation, scores);
        let scores = finite_or_worst(scores);
        if all_equal(&scores) {
            return;
        }
        let utilities = centred_ranks(&scores);
        let Settings { sigma, weight_decay, .. } = self.settings;
        let mut gradient: Vec<f64> = self.base.mean.iter().map(|&theta| -weight_decay * f64::from(theta)).collect();
        for (draw, utility) in generation.draws.iter().zip(utilities.as_chunks::<2>().0) {
            // The draws are σε.
            let difference = f64::from(utility[0] - utility[1]) / (scores.len() as f64 * sigma);
            gradient.iter_mut().zip(draw).for_each(|(gradient, &draw)| *gradient += difference * f64::from(draw));
        }
        self.climb(&gradient);
    }

    /// Adam, upwards.
    fn climb(&mut self, gradient: &[f64]) {
        self.steps += 1;
        let correction = |beta: f64| 1.0 - beta.powf(self.steps as f64);
        let rate = self.settings.learning_rate * correction(BETA[1]).sqrt() / correction(BETA[0]);
        for (((theta, first), second), gradient) in
            self.base.mean.iter_mut().zip(&mut self.first).zip(&mut self.second).zip(gradient)
        {
            *first = (BETA[0] * f64::from(*first) + (1.0 - BETA[0]) * gradient) as f32;
            *second = (BETA[1] * f64::from(*second) + (1.0 - BETA[1]) * gradient * gradient) as f32;
            *theta += (rate * f64::from(*first) / (f64::from(*second).sqrt() + EPSILON)) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { seed: 5, directions: 2, learning_rate: 0.1, sigma: 0.5, weight_decay: 0.25 };

    /// Adam's first step is α along the gradient's sign, and its second moment is the gradient's square.
    #[test]
    fn a_step_is_the_papers() {
        let mut es = OpenAiEs::new(SETTINGS, vec![1.0, -2.0, 0.5]);
        let (generation, before) = (es.ask(), es.base.mean.clone());
        let epsilon = |i: usize, j: usize| f64::from(generation.draws[i][j]) / 0.5;
        // Ranks of 7, 1, 3, 4: ½, -½, -1/6, 1/6.
        es.tell(&generation, &[7.0, 1.0, 3.0, 4.0]);
        for (j, &before) in before.iter().enumerate() {
            let gradient = (1.0 * epsilon(0, j) - 1.0 / 3.0 * epsilon(1, j)) / 4.0 - 0.25 * f64::from(before);
            let step = f64::from(es.base.mean[j] - before);
            assert!((step - 0.1 * gradient.signum()).abs() < 1e-5, "{j}: {step}, {gradient}");
            assert!((f64::from(es.second[j]) - 0.001 * gradient * gradient).abs() < 1e-8, "{j}");
        }
    }

    #[test]
    fn what_breaks_ranks_last_whatever_it_is() {
        let tell = |bad: f64| {
            let mut es = OpenAiEs::new(SETTINGS, vec![1.0, -2.0, 0.5]);
            es.tell(&es.ask(), &[7.0, bad, 3.0, 4.0]);
            es.base.mean
        };
        let last = tell(-1e9);
        assert!([f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY].into_iter().all(|bad| tell(bad) == last));
    }
}
