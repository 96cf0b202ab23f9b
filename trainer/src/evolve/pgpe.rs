//! PGPE: parameter-exploring policy gradients (Sehnke et al., *Parameter-exploring policy gradients*, Neural Networks 23, 2010) with
//! symmetric sampling, centred ranks, and ClipUp (Toklu, Liskowski, Srivastava, *ClipUp: a simple and powerful optimizer for
//! distribution-based policy evolution*, PPSN 2020).
//!
//! The search distribution is a Gaussian with one standard deviation per parameter. A generation draws `directions`
//! perturbations ε ~ N(0, σ²) and tries μ + ε and μ − ε for each.

use dreamstep_core::rng::{Philox, Stream};

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
    /// Generations told.
    pub generation: u64,
    /// μ `[n]`
    pub mean: Vec<f32>,
    /// σ `[n]`
    pub sigma: Vec<f32>,
    /// ClipUp's velocity `[n]`
    pub velocity: Vec<f32>,
}

/// ClipUp's step as a fraction of its maximum speed. The authors' guideline is one half; this is a little bolder.
const STEP_OF_MAX_SPEED: f32 = 0.75;

/// One generation's perturbations.
#[derive(Clone, Debug)]
pub struct Generation {
    /// ε `[directions][n]`
    epsilon: Vec<Vec<f32>>,
}

impl Pgpe {
    /// A search around `mean` `[n]` with standard deviation `sigma`.
    #[must_use]
    pub fn new(settings: Settings, mean: Vec<f32>, sigma: f32) -> Self {
        let n = mean.len();
        Self { settings, generation: 0, mean, sigma: vec![sigma; n], velocity: vec![0.0; n] }
    }

    /// Goes on from a saved state.
    ///
    /// # Panics
    /// If the vectors differ in length.
    #[must_use]
    pub fn resume(settings: Settings, generation: u64, mean: Vec<f32>, sigma: Vec<f32>, velocity: Vec<f32>) -> Self {
        assert!(mean.len() == sigma.len() && mean.len() == velocity.len(), "PGPE: vectors of one length");
        Self { settings, generation, mean, sigma, velocity }
    }

    /// Draws this generation's perturbations. Asking twice draws the same.
    #[must_use]
    pub fn ask(&self) -> Generation {
        let rng = Philox::new(self.settings.seed);
        let draw = |direction: usize| {
            let mut epsilon = vec![0.0; self.mean.len()];
            rng.fill_normal(Stream::Evolution, self.generation << 20 | direction as u64, &mut epsilon);
            epsilon.iter_mut().zip(&self.sigma).for_each(|(e, sigma)| *e *= sigma);
            epsilon
        };
        Generation { epsilon: (0..self.settings.directions).map(draw).collect() }
    }

    /// Candidate `2i` is μ + ε\[i\], candidate `2i + 1` is μ − ε\[i\].
    ///
    /// # Panics
    /// If there is no such candidate.
    pub fn candidate(&self, generation: &Generation, index: usize, out: &mut Vec<f32>) {
        let sign = if index.is_multiple_of(2) { 1.0 } else { -1.0 };
        out.clear();
        out.extend(self.mean.iter().zip(&generation.epsilon[index / 2]).map(|(mean, epsilon)| mean + sign * epsilon));
    }

    /// Moves the distribution towards what scored well. `scores` `[2·directions]`, higher is better, in the candidates' order.
    ///
    /// # Panics
    /// If the number of scores is not that of the candidates.
    pub fn tell(&mut self, generation: &Generation, scores: &[f64]) {
        assert_eq!(scores.len(), 2 * generation.epsilon.len(), "PGPE: one score per candidate");
        let utilities = centred_ranks(scores);
        let pairs = generation.epsilon.len() as f32;
        let n = self.mean.len();
        let (mut mean_gradient, mut sigma_gradient) = (vec![0.0_f32; n], vec![0.0_f32; n]);
        for (epsilon, utility) in generation.epsilon.iter().zip(utilities.chunks_exact(2)) {
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
        self.generation += 1;
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
        for (mean, velocity) in self.mean.iter_mut().zip(&mut self.velocity) {
            *velocity *= scale;
            *mean += *velocity;
        }
    }
}

/// Ranks spread evenly over [-½, ½]; ties share the mean of their ranks, so that equal scores pull nowhere.
fn centred_ranks(scores: &[f64]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut ranks = vec![0.0; scores.len()];
    let top = (scores.len() - 1).max(1) as f32;
    for run in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let first = ranks_before(&order, run);
        let rank = first as f32 + (run.len() - 1) as f32 / 2.0;
        run.iter().for_each(|&i| ranks[i] = rank / top - 0.5);
    }
    ranks
}

/// How many entries of `order` stand before its sub-slice `run`.
fn ranks_before(order: &[usize], run: &[usize]) -> usize {
    order.iter().position(|&i| i == run[0]).unwrap_or(0)
}

fn norm(values: &[f32]) -> f32 {
    values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

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
                pgpe.candidate(&generation, i, &mut x);
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
        let (before, end) = (sphere(&start.mean), run(start, 300));
        assert!(sphere(&end.mean) > before / 200.0, "from {before} to {}", sphere(&end.mean));
        assert!(end.sigma.iter().sum::<f32>() / 20.0 < 0.15, "sigma: {:?}", end.sigma);
    }

    #[test]
    fn a_saved_state_goes_on_as_if_never_stopped() {
        let whole = run(Pgpe::new(SETTINGS, vec![1.0; 10], 0.1), 20);
        let half = run(Pgpe::new(SETTINGS, vec![1.0; 10], 0.1), 11);
        let resumed = Pgpe::resume(SETTINGS, half.generation, half.mean, half.sigma, half.velocity);
        assert_eq!(run(resumed, 9), whole);
    }

    #[test]
    fn ranks_are_centred_and_ties_are_equal() {
        assert_eq!(centred_ranks(&[10.0, -5.0, 3.0]), [0.5, -0.5, 0.0]);
        assert_eq!(centred_ranks(&[1.0, 1.0, 1.0, 1.0]), [0.0; 4]);
        assert_eq!(centred_ranks(&[2.0, 1.0, 2.0]), [0.25, -0.5, 0.25]);
    }

    #[test]
    fn equal_scores_move_nothing() {
        let mut pgpe = Pgpe::new(SETTINGS, vec![1.0; 5], 0.1);
        let before = pgpe.clone();
        let generation = pgpe.ask();
        pgpe.tell(&generation, &[7.0; 40]);
        assert_eq!((pgpe.mean, pgpe.sigma), (before.mean, before.sigma));
    }
}
