//! What does M expect to come next? The mixture density head (Bishop 1994; Ha & Schmidhuber 2018, §"MDN-RNN"): K Gaussians with
//! diagonal covariance over the whole latent vector, a reward, and a terminal probability.

use dreamstep_core::maths::{exp, ln, normal_quantile, sigmoid};
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_core::schema::{Settings, Target};

/// A view of the head's outputs.
#[derive(Clone, Copy, Debug)]
pub struct Prediction<'a> {
    means: &'a [f32],      // [K, Z]
    log_sigmas: &'a [f32], // [K, Z] raw, before the floor
    logits: &'a [f32],     // [K]
    z: &'a [f32],          // [Z] the latent that a predicted change is added to
    reward: f32,
    terminal_logit: f32,
    settings: &'a Settings,
}

impl<'a> Prediction<'a> {
    /// Cuts the head's outputs; none only if they are too short, which a loaded model's never are.
    pub(crate) fn new(settings: &'a Settings, head: &'a [f32], z: &'a [f32]) -> Option<Self> {
        let (k, n) = (settings.dims.mixtures, settings.dims.latent);
        let (means, rest) = head.split_at_checked(k * n)?;
        let (log_sigmas, rest) = rest.split_at_checked(k * n)?;
        let (logits, rest) = rest.split_at_checked(k)?;
        let [reward, terminal_logit, ..] = *rest else { return None };
        let reward = reward + settings.reward_offset;
        Some(Self { means, log_sigmas, logits, z: z.get(..n)?, reward, terminal_logit, settings })
    }

    /// The expected reward.
    #[must_use]
    pub const fn reward(&self) -> f32 {
        self.reward
    }

    /// The probability that the episode ends with this step.
    #[must_use]
    pub fn terminal_probability(&self) -> f32 {
        sigmoid(self.terminal_logit)
    }

    /// Log of component `k`'s weight at temperature τ, up to the same constant for all `k`: `logit / τ`.
    fn scaled_logit(&self, k: usize, temperature: f32) -> f32 {
        self.logits.get(k).map_or(f32::NEG_INFINITY, |logit| logit / temperature)
    }

    /// Component `k`'s weight, at temperature 1.
    #[must_use]
    pub fn weight(&self, k: usize) -> f32 {
        let top = (0..self.logits.len()).map(|k| self.scaled_logit(k, 1.0)).fold(f32::NEG_INFINITY, f32::max);
        let sum = (0..self.logits.len()).fold(0.0, |sum, k| sum + exp(self.scaled_logit(k, 1.0) - top));
        exp(self.scaled_logit(k, 1.0) - top) / sum
    }

    /// Component `k`'s mean of the next latent's component `i`.
    #[must_use]
    pub fn mean(&self, k: usize, i: usize) -> f32 {
        let n = self.settings.dims.latent;
        let mean = self.means.get(k * n + i).copied().unwrap_or_default();
        match self.settings.target {
            Target::Next => mean,
            Target::Delta => self.z.get(i).copied().unwrap_or_default() + mean,
        }
    }

    /// Component `k`'s standard deviation of component `i`: e^max(raw, floor).
    #[must_use]
    pub fn sigma(&self, k: usize, i: usize) -> f32 {
        let n = self.settings.dims.latent;
        let raw = self.log_sigmas.get(k * n + i).copied().unwrap_or_default();
        exp(if raw > self.settings.log_sigma_min { raw } else { self.settings.log_sigma_min })
    }

    /// The expected next latent `[Z]`: the components' means by weight.
    pub fn expected_latent(&self, z: &mut [f32]) {
        z.fill(0.0);
        for k in 0..self.logits.len() {
            let weight = self.weight(k);
            for (i, sum) in z.iter_mut().enumerate() {
                *sum += weight * self.mean(k, i);
            }
        }
    }

    /// A sampled next latent `[Z]`. The temperature divides the mixture logits and √τ multiplies σ (Ha & Schmidhuber 2018, appendix
    /// "MDN-RNN"; Ha & Eck, *A neural representation of sketch drawings*, 2017). The draw is named by `(rng, step)`: the same name
    /// draws the same latent.
    ///
    /// `temperature` is above 0; 1 is the model's own distribution.
    pub fn sample_latent(&self, temperature: f32, rng: Philox, step: u64, z: &mut [f32]) {
        // Gumbel's trick: the largest of logit + Gumbel noise is a draw from the categorical distribution.
        let mut best = (f32::NEG_INFINITY, 0);
        for k in 0..self.logits.len() {
            let gumbel = -ln(-ln(rng.uniform(Stream::Component, step, k as u32)));
            let score = self.scaled_logit(k, temperature) + gumbel;
            if score > best.0 {
                best = (score, k);
            }
        }
        let scale = dreamstep_core::maths::sqrt(temperature);
        for (i, slot) in z.iter_mut().enumerate() {
            let noise: f32 = normal_quantile(rng.uniform(Stream::Latent, step, i as u32));
            *slot = self.mean(best.1, i) + self.sigma(best.1, i) * scale * noise;
        }
    }
}
