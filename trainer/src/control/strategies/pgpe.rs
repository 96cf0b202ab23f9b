//! PGPE: parameter-exploring policy gradients (Sehnke et al., *Parameter-exploring policy gradients*, Neural Networks 23, 2010) with
//! symmetric sampling, centred ranks, and ClipUp (Toklu, Liskowski, Srivastava, *ClipUp: a simple and powerful optimizer for
//! distribution-based policy evolution*, PPSN 2020).
//!
//! The search distribution is a Gaussian with one standard deviation per parameter. A generation draws `directions`
//! perturbations ε ~ N(0, σ²) and tries μ + ε and μ − ε for each.
//!
//! A score that is not finite ranks last. Scores that are all the same move nothing.

use super::generation::{Generation, centred_ranks, finite_or_worst, norm};
use super::mirrored::Mirrored;
use crate::run::checkpoint::Checkpoint;
use anyhow::Result;

/// What does not change while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Names the perturbations.
    pub seed: u64,
    /// Antithetic pairs in a generation.
    pub directions: usize,
    /// Learning rate of σ.
    pub sigma_learning_rate: f32,
    /// σ changes by at most this fraction of itself in a generation.
    pub sigma_max_change: f32,
    /// ClipUp: the longest step.
    pub max_speed: f32,
    /// ClipUp: momentum.
    pub momentum: f32,
}

/// The state between generations: save it and nothing else to go on later.
#[derive(Clone, Debug, PartialEq)]
pub struct Pgpe {
    settings: Settings,
    /// Around μ.
    pub base: Mirrored,
    /// σ `[n]`
    pub sigma: Vec<f32>,
    /// ClipUp's velocity `[n]`
    pub velocity: Vec<f32>,
}

/// ClipUp's step as a fraction of its maximum speed. The authors' guideline is one half; this is a little bolder.
const STEP_OF_MAX_SPEED: f32 = 0.75;

impl Pgpe {
    /// A search around `mean` `[n]` with standard deviation `sigma`.
    #[must_use]
    pub fn new(settings: Settings, mean: Vec<f32>, sigma: f32) -> Self {
        let n = mean.len();
        let base = Mirrored::new(settings.seed, settings.directions, mean);
        Self { settings, base, sigma: vec![sigma; n], velocity: vec![0.0; n] }
    }

    pub(super) fn mean_sigma(&self) -> f64 {
        self.sigma.iter().map(|&sigma| f64::from(sigma)).sum::<f64>() / self.sigma.len() as f64
    }

    pub(super) fn save(&self, to: &mut Checkpoint) {
        self.base.save(to);
        for (name, values) in [("sigma", &self.sigma), ("velocity", &self.velocity)] {
            to.insert(name, &[values.len()], values.clone());
        }
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// One line: a tensor is missing or has another shape.
    pub fn resume(settings: Settings, n: usize, generation: u64, saved: &Checkpoint) -> Result<Self> {
        let vector = |name| saved.tensor(name, &[n]).map(<[f32]>::to_vec);
        let base = Mirrored::resume(settings.seed, settings.directions, n, generation, saved)?;
        Ok(Self { settings, base, sigma: vector("sigma")?, velocity: vector("velocity")? })
    }

    pub(super) fn ask(&self) -> Generation {
        self.base.ask(|epsilon| epsilon.iter_mut().zip(&self.sigma).for_each(|(e, sigma)| *e *= sigma))
    }

    /// Moves the distribution towards what scored well. `scores` `[2·directions]`, higher is better, in the candidates' order.
    ///
    /// # Panics
    /// If the number of scores is not that of the candidates, or they are of another generation.
    pub fn tell(&mut self, generation: &Generation, scores: &[f64]) {
        self.base.told(generation, scores);
        let utilities = centred_ranks(&finite_or_worst(scores));
        let pairs = generation.draws.len() as f32;
        let n = self.base.mean.len();
        let (mut mean_gradient, mut sigma_gradient) = (vec![0.0_f32; n], vec![0.0_f32; n]);
        for (epsilon, utility) in generation.draws.iter().zip(utilities.chunks_exact(2)) {
            // Sehnke et al. 2010, symmetric sampling, with a baseline of 0: the mean of centred ranks.
            let difference = (utility[0] - utility[1]) / 2.0;
            let average = (utility[0] + utility[1]) / 2.0;
            for (((mean, sigma_gradient), epsilon), sigma) in
                mean_gradient.iter_mut().zip(&mut sigma_gradient).zip(epsilon).zip(&self.sigma)
            {
                *mean += difference * epsilon;
                *sigma_gradient += average * (epsilon * epsilon - sigma * sigma) / sigma;
            }
        }
        self.climb(&mean_gradient);
        for (sigma, gradient) in self.sigma.iter_mut().zip(&sigma_gradient) {
            let limit = self.settings.sigma_max_change * *sigma;
            *sigma += (self.settings.sigma_learning_rate * gradient / pairs).clamp(-limit, limit);
        }
    }

    /// ClipUp (Toklu et al. 2020, algorithm 1): a step of fixed length along the gradient, momentum, and a bound on the speed.
    fn climb(&mut self, gradient: &[f32]) {
        let length = norm(gradient);
        if length == 0.0 {
            return;
        }
        let step = STEP_OF_MAX_SPEED * self.settings.max_speed / length;
        for (velocity, gradient) in self.velocity.iter_mut().zip(gradient) {
            *velocity = self.settings.momentum * *velocity + step * gradient;
        }
        let speed = norm(&self.velocity);
        let scale = if speed > self.settings.max_speed { self.settings.max_speed / speed } else { 1.0 };
        for (mean, velocity) in self.base.mean.iter_mut().zip(&mut self.velocity) {
            *velocity *= scale;
            *mean += *velocity;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dreamstep_core::digest::Digest;

    const SETTINGS: Settings =
        Settings { seed: 3, directions: 20, sigma_learning_rate: 0.1, sigma_max_change: 0.2, max_speed: 0.2, momentum: 0.9 };

    fn sphere(x: &[f32]) -> f64 {
        -x.iter().enumerate().map(|(i, &v)| (f64::from(v) - i as f64 / 10.0).powi(2)).sum::<f64>()
    }

    fn run(mut pgpe: Pgpe, generations: usize) -> Pgpe {
        let mut x = Vec::new();
        for _ in 0..generations {
            let generation = pgpe.ask();
            let score = |i| {
                pgpe.base.candidate(&generation, i, &mut x);
                sphere(&x)
            };
            let scores: Vec<f64> = (0..2 * SETTINGS.directions).map(score).collect();
            pgpe.tell(&generation, &scores);
        }
        pgpe
    }

    #[test]
    fn climbs_a_sphere_and_narrows() {
        let start = Pgpe::new(SETTINGS, vec![3.0; 20], 0.3);
        let (before, end) = (sphere(&start.base.mean), run(start, 300));
        assert!(sphere(&end.base.mean) > before / 200.0, "from {before} to {}", sphere(&end.base.mean));
        assert!(end.sigma.iter().sum::<f32>() / 20.0 < 0.15, "sigma: {:?}", end.sigma);
    }

    /// Bits of a state saved before the other strategies were written: it goes on the same.
    #[test]
    fn its_bits_are_those_of_old() {
        let Pgpe { base: Mirrored { mean, .. }, sigma, velocity, .. } = run(Pgpe::new(SETTINGS, vec![1.0; 10], 0.1), 20);
        let digest = Digest::default().update(&mean).update(&sigma).update(&velocity);
        assert_eq!(digest.value(), 0xeabd_7e06_8a9b_b090);
    }

    #[test]
    fn equal_scores_move_nothing() {
        let mut pgpe = Pgpe::new(SETTINGS, vec![1.0; 5], 0.1);
        let before = pgpe.clone();
        let generation = pgpe.ask();
        pgpe.tell(&generation, &[7.0; 40]);
        assert_eq!((pgpe.base.mean, pgpe.sigma), (before.base.mean, before.sigma));
    }
}
