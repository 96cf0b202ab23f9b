//! ARS: augmented random search (Mania, Guy, Recht, *Simple random search of static linear policies is competitive for reinforcement
//! learning*, NeurIPS 2018), version V2-t: finite differences along the best of random directions, the step divided by the standard
//! deviation of the returns that it uses. V2's whitening of what the policy sees is not here: the trainer has it for every strategy.
//!
//! A score that is not finite takes its whole direction out of the update. A generation that says nothing (every return it would
//! use is the same, or none is left) moves nothing.

use super::generation::{Generation, finite_or_worst};
use super::mirrored::{Mirrored, widen};
use crate::run::checkpoint::Checkpoint;
use anyhow::Result;

/// What does not change while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Names the directions.
    pub seed: u64,
    /// `N`: antithetic directions in a generation.
    pub directions: usize,
    /// `b`: how many of them, the best, make the step; 0 takes all.
    pub top_directions: usize,
    /// `α`
    pub learning_rate: f64,
    /// `ν`: standard deviation of the perturbations.
    pub sigma: f64,
}

/// The state between generations.
#[derive(Clone, Debug, PartialEq)]
pub struct Ars {
    settings: Settings,
    /// Around `M`.
    pub base: Mirrored,
}

impl Ars {
    /// A search around `mean` `[n]`.
    #[must_use]
    pub fn new(settings: Settings, mean: Vec<f32>) -> Self {
        Self { settings, base: Mirrored::new(settings.seed, settings.directions, mean) }
    }

    pub(super) fn mean_sigma(&self) -> f64 {
        self.settings.sigma
    }

    pub(super) fn save(&self, to: &mut Checkpoint) {
        self.base.save(to);
    }

    pub(super) fn resume(settings: Settings, n: usize, generation: u64, saved: &Checkpoint) -> Result<Self> {
        Ok(Self { settings, base: Mirrored::resume(settings.seed, settings.directions, n, generation, saved)? })
    }

    pub(super) fn ask(&self) -> Generation {
        self.base.ask(|delta| widen(delta, self.settings.sigma))
    }

    /// M ← M + α / (b σ_R) · Σ (r⁺ − r⁻) δ over the b directions with the greatest max(r⁺, r⁻): algorithm 2, lines 6 and 7. σ_R is the
    /// standard deviation of the 2b returns used.
    ///
    /// # Panics
    /// If the number of scores is not that of the candidates, or they are of another generation.
    pub fn tell(&mut self, generation: &Generation, scores: &[f64]) {
        self.base.told(generation, scores);
        let scores = finite_or_worst(scores);
        let pairs = scores.as_chunks::<2>().0;
        let mut order: Vec<usize> = (0..pairs.len()).filter(|&i| pairs[i].iter().all(|score| score.is_finite())).collect();
        let best = |i: usize| pairs[i][0].max(pairs[i][1]);
        order.sort_by(|&a, &b| best(b).total_cmp(&best(a)));
        if self.settings.top_directions > 0 {
            order.truncate(self.settings.top_directions);
        }
        let count = 2.0 * order.len() as f64;
        let mean = order.iter().map(|&i| pairs[i][0] + pairs[i][1]).sum::<f64>() / count;
        let squares: f64 = order.iter().flat_map(|&i| pairs[i]).map(|score| (score - mean).powi(2)).sum();
        let sigma_r = (squares / count).sqrt();
        // Nothing to use (0/0), all the same (0), or returns whose squares overflow.
        if !(sigma_r > 0.0 && sigma_r.is_finite()) {
            return;
        }
        let Settings { learning_rate, sigma, .. } = self.settings;
        // The draws are νδ.
        let rate = learning_rate / (order.len() as f64 * sigma_r * sigma);
        let mut step = vec![0.0; self.base.mean.len()];
        for i in order {
            let difference = rate * (pairs[i][0] - pairs[i][1]);
            step.iter_mut().zip(&generation.draws[i]).for_each(|(step, &draw)| *step += difference * f64::from(draw));
        }
        self.base.mean.iter_mut().zip(step).for_each(|(mean, step)| *mean += step as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { seed: 5, directions: 4, top_directions: 2, learning_rate: 0.3, sigma: 0.5 };

    /// Algorithm 2 by hand, on the directions that are seen to be drawn.
    #[test]
    fn a_step_is_the_papers() {
        let mut ars = Ars::new(SETTINGS, vec![1.0, -2.0, 0.5]);
        let generation = ars.ask();
        let mut plus = Vec::new();
        ars.base.candidate(&generation, 2, &mut plus);
        let delta = |i: usize| generation.draws[i].iter().map(|&v| f64::from(v) / 0.5).collect::<Vec<_>>();
        for (j, value) in plus.iter().enumerate() {
            assert!((f64::from(*value) - (f64::from(ars.base.mean[j]) + 0.5 * delta(1)[j])).abs() < 1e-6);
        }
        // Directions 1 (max 9) and 3 (max 8) are used; their returns 3, 9, 8, 4 have mean 6 and variance 6.5.
        let before = ars.base.mean.clone();
        ars.tell(&generation, &[1.0, 2.0, 3.0, 9.0, 7.0, 7.5, 8.0, 4.0]);
        for (j, &before) in before.iter().enumerate() {
            let step = 0.3 / (2.0 * 6.5_f64.sqrt()) * ((3.0 - 9.0) * delta(1)[j] + (8.0 - 4.0) * delta(3)[j]);
            assert!((f64::from(ars.base.mean[j]) - f64::from(before) - step).abs() < 1e-6, "{j}: {step}");
        }
    }

    #[test]
    fn a_broken_episode_takes_its_direction_out() {
        let tell = |scores: [f64; 8]| {
            let mut ars = Ars::new(SETTINGS, vec![1.0, -2.0, 0.5]);
            ars.tell(&ars.ask(), &scores);
            ars.base.mean
        };
        let without = tell([1.0, 2.0, 3.0, 9.0, f64::NAN, 70.0, 8.0, 4.0]);
        assert_eq!(without, tell([1.0, 2.0, 3.0, 9.0, 0.5, 0.5, 8.0, 4.0]));
        assert_eq!(tell([f64::NAN, 1.0, 2.0, f64::INFINITY, 0.0, f64::NAN, 0.0, f64::NEG_INFINITY]), [1.0, -2.0, 0.5]);
    }
}
