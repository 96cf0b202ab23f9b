//! What M expects to come next: the reading of its mixture density head (Bishop 1994; Ha & Schmidhuber 2018, §"MDN-RNN"): K Gaussians
//! with diagonal covariance over the whole latent vector or over each of its dimensions, a reward, and a terminal probability.

use crate::kernels::{Chunk, Vectors};
use crate::pointwise::{chunks, chunks_mut};
use dreamstep_core::dims::padded;
use dreamstep_core::m::Mixture;
use dreamstep_core::maths::{Lane, exp, ln, normal_quantile, sigmoid};
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_core::schema::{Settings, Target};

/// A view of the head's outputs.
#[derive(Clone, Copy, Debug)]
pub struct Prediction<'a> {
    head: &'a [f32], // [K,Z] means, [K,Z] log sigmas, [K] or [K,Z] logits, reward, terminal logit; then at least sixteen more
    z: &'a [f32],    // [Z] the latent that a predicted change is added to, padded
    reward: f32,
    terminal_logit: f32,
    latent: usize,
    mixtures: usize,
    mixture: Mixture,
    settings: &'a Settings,
}

/// ½·ln 2π.
const HALF_LN_TWO_PI: f32 = 0.918_938_5;

/// Values that must follow a head's outputs in memory: a chunk that begins at the last logit may be read whole.
pub(crate) const HEAD_SLACK: usize = dreamstep_core::dims::LANES;

impl<'a> Prediction<'a> {
    /// Reads the head's outputs; none only if they are too short, which a loaded model's never are.
    pub(crate) fn new(settings: &'a Settings, head: &'a [f32], z: &'a [f32]) -> Option<Self> {
        let dims = &settings.dims;
        let at = dims.mdn_outputs().checked_sub(2)?;
        let (&reward, &terminal_logit) = (head.get(at)?, head.get(at + 1)?);
        let (latent, mixtures, mixture) = (dims.latent_len(), dims.mixtures(), dims.mixture()?);
        Some(Self { head, z, reward: reward + settings.reward_offset, terminal_logit, latent, mixtures, mixture, settings })
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

    /// Component `k`'s weight in the mixture over dimension `i` (over all of them, where the mixture is joint), at temperature 1.
    #[must_use]
    pub fn weight(&self, k: usize, i: usize) -> f32 {
        let logits = self.logits::<f32>(i, 1.0);
        let top = top(self.mixtures, &logits);
        let sum = (0..self.mixtures).fold(0.0, |sum, k| sum + exp(logits(k) - top));
        exp(logits(k) - top) / sum
    }

    /// Component `k`'s mean of the next latent's component `i`.
    #[must_use]
    pub fn mean(&self, k: usize, i: usize) -> f32 {
        let mean = self.row::<f32>(0, k, i);
        match self.settings.target {
            Target::Next => mean,
            Target::Delta => self.z.get(i).copied().unwrap_or_default() + mean,
        }
    }

    /// Component `k`'s standard deviation of component `i`: e^max(raw, floor).
    #[must_use]
    pub fn sigma(&self, k: usize, i: usize) -> f32 {
        exp(Lane::max(self.row::<f32>(1, k, i), self.settings.log_sigma_min))
    }

    /// The expected next latent `[Z]`: the components' means by weight.
    pub fn expected_latent(&self, z: &mut [f32]) {
        for (i, slot) in z.iter_mut().enumerate() {
            *slot = (0..self.mixtures).fold(0.0, |sum, k| sum + self.weight(k, i) * self.mean(k, i));
        }
    }

    /// The negative log-likelihood of `latent` `[Z]`, in nats for each of its dimensions: how surprised M is that this came next.
    ///
    /// ```text
    /// joint          −(1/Z)·ln Σ_k π_k Π_i N(z_i; μ_ki, σ_ki)
    /// per dimension  −(1/Z)·Σ_i ln Σ_k π_ki N(z_i; μ_ki, σ_ki)
    /// ```
    ///
    /// At most [`f32::MAX`], which is what a latent gets that is too far from every mean for binary32 to hold its likelihood's logarithm.
    #[must_use]
    pub fn surprise(&self, latent: &[f32]) -> f32 {
        let log_density = |k: usize, i: usize, z: f32| {
            let log_sigma = Lane::max(self.row::<f32>(1, k, i), self.settings.log_sigma_min);
            let deviation = (z - self.mean(k, i)) / exp(log_sigma);
            -0.5 * deviation * deviation - log_sigma - HALF_LN_TWO_PI
        };
        let log_likelihood = match self.mixture {
            Mixture::Joint => {
                self.log_sum(0, |k| latent.iter().enumerate().fold(0.0, |sum, (i, &z)| sum + log_density(k, i, z)))
            }
            Mixture::PerDimension => {
                latent.iter().enumerate().fold(0.0, |sum, (i, &z)| sum + self.log_sum(i, |k| log_density(k, i, z)))
            }
        };
        let surprise = -log_likelihood / self.latent as f32;
        // No infinity and no NaN: a mean of many would never be rid of one.
        if surprise < f32::MAX { surprise } else { f32::MAX }
    }

    /// `ln Σ_k π_k·e^f(k)` of the mixture at dimension `i`, without overflow.
    fn log_sum(&self, i: usize, log_density: impl Fn(usize) -> f32) -> f32 {
        let logits = self.logits::<f32>(i, 1.0);
        let of = |value: &dyn Fn(usize) -> f32| {
            let top = top(self.mixtures, &|k| value(k));
            if top == f32::NEG_INFINITY {
                return top; // and not the NaN that its difference from itself is
            }
            top + ln((0..self.mixtures).fold(0.0, |sum, k| sum + exp(value(k) - top)))
        };
        of(&|k| logits(k) + log_density(k)) - of(&|k| logits(k))
    }

    /// A sampled next latent `[Z]`. The temperature divides the mixture logits and √τ multiplies σ (Ha & Schmidhuber 2018, appendix
    /// "MDN-RNN"; Ha & Eck, *A neural representation of sketch drawings*, 2017). The draw is named by `(rng, step)`: the same name
    /// draws the same latent, here and in [`crate::DreamBatch`].
    ///
    /// `temperature` is above 0; 1 is the model's own distribution.
    pub fn sample_latent(&self, temperature: f32, rng: Philox, step: u64, z: &mut [f32]) {
        let joint = self.joint(rng.uniform(Stream::Component, step, 0), temperature);
        for (i, slot) in z.iter_mut().enumerate() {
            let uniform = |stream| rng.uniform_of_four(stream, step, i);
            *slot = self.lanes::<f32>(i, joint, temperature, uniform(Stream::Component), uniform(Stream::Latent));
        }
    }

    /// Row `k` of block 0 (means), 1 (log sigmas) or 2 (logits of a mixture per dimension), from dimension `i` on.
    #[inline(always)]
    fn row<L: Chunk>(&self, block: usize, k: usize, i: usize) -> L {
        let (n, z) = (self.mixtures, self.latent);
        read(self.head, (block * n + k) * z + i)
    }

    /// The logits at dimension `i`, divided by the temperature.
    #[inline(always)]
    fn logits<L: Chunk>(&self, i: usize, temperature: f32) -> impl Fn(usize) -> L {
        let (n, z) = (self.mixtures, self.latent);
        move |k| {
            let logit = match self.mixture {
                Mixture::Joint => L::splat(self.head.get(2 * n * z + k).copied().unwrap_or_default()),
                Mixture::PerDimension => self.row(2, k, i),
            };
            logit.div(L::splat(temperature))
        }
    }

    /// The component that `uniform` draws from a joint mixture; none where the mixture is not joint.
    #[inline(always)]
    fn joint(&self, uniform: f32, temperature: f32) -> Option<usize> {
        if self.mixture != Mixture::Joint {
            return None;
        }
        Some(draw_component(self.mixtures, uniform, &self.logits(0, temperature), |k| k as f32) as usize)
    }

    /// A draw of the latent's dimensions from `i` on: of component `joint`, or else of one that `component` draws for each of them.
    #[inline(always)]
    fn lanes<L: Chunk>(&self, i: usize, joint: Option<usize>, temperature: f32, component: L, uniform: L) -> L {
        let (mean, log_sigma) = match joint {
            Some(k) => (self.row::<L>(0, k, i), self.row::<L>(1, k, i)),
            None => {
                let (n, logits) = (self.mixtures, self.logits::<L>(i, temperature));
                let of = |block| draw_component(n, component, &logits, |k| self.row(block, k, i));
                (of(0), of(1))
            }
        };
        let mean = match self.settings.target {
            Target::Next => mean,
            Target::Delta => read::<L>(self.z, i).add(mean),
        };
        let sigma = exp(log_sigma.max(L::splat(self.settings.log_sigma_min)));
        let scale = L::splat(temperature).sqrt();
        mean.add(sigma.mul(scale).mul(normal_quantile(uniform))).nan_is_canonical()
    }
}

/// The chunk that begins at value `from`.
#[inline(always)]
fn read<L: Chunk>(values: &[f32], from: usize) -> L {
    L::cells(values.get(from..).unwrap_or_default()).first().map_or_else(|| L::splat(0.0), L::read)
}

/// The largest logit.
#[inline(always)]
fn top<L: Lane>(n: usize, logits: &impl Fn(usize) -> L) -> L {
    (0..n).fold(L::splat(f32::NEG_INFINITY), |top, k| logits(k).max(top))
}

/// `value(k)` of the component drawn: the first whose cumulative weight exceeds `uniform` times their sum (inverse transform).
#[inline(always)]
fn draw_component<L: Lane>(n: usize, uniform: L, logits: &impl Fn(usize) -> L, value: impl Fn(usize) -> L) -> L {
    let top = top(n, logits);
    let weight = |k: usize| exp(logits(k).sub(top));
    let threshold = uniform.mul((0..n).fold(L::splat(0.0), |sum, k| sum.add(weight(k))));
    let (mut before, mut chosen) = (L::splat(0.0), value(0));
    for k in 0..n {
        // Taken unless an earlier one was.
        chosen = L::select_lt(threshold, before, chosen, value(k));
        before = before.add(weight(k));
    }
    chosen
}

/// A draw of the whole latent `[Z]`, padded, as [`Prediction::sample_latent`] makes it: `uniform` are the draws for the components
/// (one, or `[Z]` padded) and for the noise (`[Z]` padded).
#[inline(always)]
pub(crate) fn sample<V: Vectors>(prediction: &Prediction<'_>, temperature: f32, uniform: [&[f32]; 2], z: &mut [f32]) {
    let [component, noise] = uniform;
    let joint = prediction.joint(component.first().copied().unwrap_or_default(), temperature);
    let z = z.get_mut(..padded(prediction.latent)).unwrap_or_default();
    for (chunk, ((z, component), noise)) in
        chunks_mut::<V>(z).zip(chunks::<V>(component)).zip(chunks::<V>(noise)).enumerate()
    {
        let (component, noise) = (V::Chunk::read(component), V::Chunk::read(noise));
        prediction.lanes(chunk * V::Chunk::SIZE, joint, temperature, component, noise).write(z);
    }
}
