//! M's open loops, fed its own predictions: up to 50 steps with the recorded actions, from states warmed
//! on the recorded beginnings of held-out episodes, beside what needs no network.
//!
//! ```text
//! z_0 … z_t, a_0 … a_t ─M─▶ ẑ_{t+1} ─┐      ridge        ẑ ← W·[ẑ, a] + b
//!        ▲                      a_{t+1} ┤      persistence  ẑ = z_t
//!        └──────── fed back ◀───────────┘      velocity     ẑ_{t+k} = z_t + k·(z_t − z_{t−1})
//! ```
//! M is fed the mixture's mean, or one sample of it. Everything is in V's mean latents, as acting sees them.

use super::errors::single;
use super::recorded::{COMPONENT_DRAWS, Chunk, LOOP_DRAWS};
use crate::run::interrupt;
use crate::stats::Ridge;
use crate::world::mdnrnn::{MemoryState, Prediction};
use crate::world::nets::{indices, matrix, normals};
use crate::world::trained::TrainedMdnRnn;
use anyhow::Result;
use dreamstep_core::rng::{Philox, Stream, dream_step};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

/// The longest open loop.
pub const STEPS: usize = 50;
/// Open loops, about, over all held-out episodes.
const STARTS: usize = 10_000;
/// Open loops of one episode at most: more would be nearly copies of each other.
const STARTS_OF_ONE: usize = 200;
/// Episodes side by side.
const BATCH: usize = 64;
/// A horizon that fewer loops reach says nothing.
const MIN_LOOPS: usize = 30;

/// What is compared, in the order of the columns.
pub const METHODS: [&str; 5] = ["M, mean", "M, sampled", "ridge", "persistence", "constant velocity"];

/// Squared error over the variance after `k` steps.
#[derive(Clone, Debug, Serialize)]
pub struct Horizon {
    /// Steps since the last recorded latent.
    pub k: usize,
    /// Loops that reached it.
    pub loops: usize,
    /// M, fed the mixture's mean.
    pub mdnrnn: f64,
    /// M, fed one sample.
    pub mdnrnn_sampled: f64,
    /// Ridge, iterated.
    pub ridge: f64,
    /// Nothing changes.
    pub persistence: f64,
    /// A constant velocity.
    pub velocity: f64,
}

impl Horizon {
    /// As [`METHODS`] orders them.
    #[must_use]
    pub fn errors(&self) -> [f64; 5] {
        [self.mdnrnn, self.mdnrnn_sampled, self.ridge, self.persistence, self.velocity]
    }
}

/// Every horizon that enough loops reach, and where M stops being worth it.
#[derive(Clone, Debug, Serialize)]
pub struct OpenLoop {
    /// k = 1, 2, …
    pub horizons: Vec<Horizon>,
    /// The first k at which persistence is at least as good as M's mean; none within the horizons.
    pub crossover: Option<usize>,
}

/// A measurement under way.
pub struct Measure {
    centre: Tensor,      // [Z] the constant that earns 1
    errors: Vec<Tensor>, // [k] of [5]: sums of squared errors, as METHODS orders them
    totals: Vec<Tensor>, // [k] of []: sums of squared distances from the centre
    loops: Vec<usize>,   // [k]
    weight: Tensor,      // [Z+A, Z] ridge
    bias: Tensor,        // [1, Z]
    seed: u64,
    stride: usize,
    batches: u32,
}

impl Measure {
    /// Beside `ridge` of the next latent on `[z, a]`. `centre` `[Z]` is the constant that earns 1; there are `steps` held-out steps.
    #[must_use]
    pub fn new(ridge: &Ridge, centre: &[f64], seed: u64, steps: usize) -> Self {
        let zeros = |shape: &[i64]| (0..STEPS).map(|_| Tensor::zeros(shape, (Kind::Double, Device::Cpu))).collect();
        Self {
            centre: Tensor::from_slice(centre),
            errors: zeros(&[METHODS.len() as i64]),
            totals: zeros(&[]),
            loops: vec![0; STEPS],
            weight: single(&ridge.weight),
            bias: single(&ridge.bias.clone().insert_axis(ndarray::Axis(0))),
            seed,
            stride: steps.div_ceil(STARTS).max(1),
            batches: 0,
        }
    }

    /// Adds held-out episodes.
    ///
    /// # Errors
    /// [`interrupt::Interrupted`]; or libtorch cannot hand a result over.
    pub fn add(&mut self, m: &TrainedMdnRnn, chunk: &Chunk) -> Result<()> {
        let lengths = chunk.lengths();
        let rows: Vec<usize> = lengths.iter().scan(0, |row, t| Some(std::mem::replace(row, *row + t + 1))).collect();
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(lengths[i])); // stable
        for some in order.chunks(BATCH) {
            interrupt::check()?;
            let batch = Batch {
                lengths: some.iter().map(|&i| lengths[i]).collect(),
                rows: some.iter().map(|&i| rows[i]).collect(),
                z: &chunk.mean,
                action: &chunk.action,
            };
            tch::no_grad(|| self.add_batch(m, &batch))?;
            self.batches += 1;
        }
        Ok(())
    }

    /// Warms the state step by step; every `stride`-th step, from the second on, starts a loop for all episodes at once.
    fn add_batch(&mut self, m: &TrainedMdnRnn, batch: &Batch) -> Result<()> {
        let stride = self.stride.max(batch.lengths[0].div_ceil(STARTS_OF_ONE));
        let mut state = m.model.zero_state(batch.lengths.len());
        for t in 0..batch.lengths[0] {
            let (z, action) = (batch.at(batch.z, t), batch.at(batch.action, t));
            if t >= 1 && (t - 1).is_multiple_of(stride) {
                self.add_loops(m, batch, t, &state)?;
            }
            state = m.step(&z, &action, &state).1;
        }
        Ok(())
    }

    /// One loop for each episode, from step `start` on and `state` before it.
    fn add_loops(&mut self, m: &TrainedMdnRnn, batch: &Batch, start: usize, state: &MemoryState) -> Result<()> {
        let z = batch.at(batch.z, start);
        let velocity = &z - batch.at(batch.z, start - 1);
        let (mut mean, mut sampled, mut ridge) = (z.shallow_clone(), z.shallow_clone(), z.shallow_clone());
        let (mut mean_state, mut sampled_state): (Option<MemoryState>, Option<MemoryState>) = (None, None);
        for k in 1..=STEPS {
            let reach = batch.lengths.iter().take_while(|&&length| length >= start + k).count();
            if reach == 0 {
                break;
            }
            let action = batch.at(batch.action, start + k - 1);
            let (prediction, next) = m.step(&mean, &action, mean_state.as_ref().unwrap_or(state));
            (mean, mean_state) = (prediction.expected_next(), Some(next));
            let (prediction, next) = m.step(&sampled, &action, sampled_state.as_ref().unwrap_or(state));
            let name = dream_step(self.batches, (start * (STEPS + 1) + k) as u32);
            (sampled, sampled_state) = (sample(&prediction, self.seed, name), Some(next));
            ridge = Tensor::cat(&[&ridge, &action], 1).matmul(&self.weight) + &self.bias;
            let moved = &z + &velocity * k as f64;
            let target = batch.at(batch.z, start + k);
            let all = Tensor::stack(&[&mean, &sampled, &ridge, &z, &moved], 0); // [5, B, Z]
            // The longest come first: those that are still there.
            let (all, target) = (all.narrow(1, 0, reach as i64), target.narrow(0, 0, reach as i64));
            let error = (all.to_kind(Kind::Double) - &target).square();
            let total = (target.to_kind(Kind::Double) - &self.centre).square();
            self.errors[k - 1] = &self.errors[k - 1] + error.sum_dim_intlist([1, 2].as_slice(), false, Kind::Double);
            self.totals[k - 1] = &self.totals[k - 1] + total.sum(Kind::Double);
            self.loops[k - 1] += reach;
        }
        Ok(())
    }

    /// What it comes to.
    #[must_use]
    pub fn finish(&self) -> OpenLoop {
        let horizons: Vec<Horizon> = (1..)
            .zip(self.loops.iter().enumerate())
            .take_while(|(_, (_, loops))| **loops >= MIN_LOOPS)
            .map(|(k, (i, &loops))| {
                let share = |method: i64| self.errors[i].double_value(&[method]) / self.totals[i].double_value(&[]);
                let [mdnrnn, mdnrnn_sampled, ridge, persistence, velocity] = [0, 1, 2, 3, 4].map(share);
                Horizon { k, loops, mdnrnn, mdnrnn_sampled, ridge, persistence, velocity }
            })
            .collect();
        let crossover = horizons.iter().find(|h| h.mdnrnn >= h.persistence).map(|h| h.k);
        OpenLoop { horizons, crossover }
    }
}

/// Episodes side by side, longest first.
struct Batch<'a> {
    lengths: Vec<usize>,
    /// Each episode's first row in the tables.
    rows: Vec<usize>,
    z: &'a Tensor,
    action: &'a Tensor,
}

impl Batch<'_> {
    /// Row `t` of every episode in `table`; of one that is shorter, its last.
    fn at(&self, table: &Tensor, t: usize) -> Tensor {
        let rows: Vec<i64> =
            self.rows.iter().zip(&self.lengths).map(|(row, &length)| (row + t.min(length)) as i64).collect();
        table.index_select(0, &indices(&rows, Device::Cpu))
    }
}

/// One draw of every row's mixture, `[N, Z]`, by the draws that `name` names.
fn sample(prediction: &Prediction, seed: u64, name: u64) -> Tensor {
    let size = prediction.means.size(); // N, K, Z
    let (n, z, mixtures) = (size[0], size[2], prediction.logits.size()[2]);
    let rng = Philox::new(seed);
    let uniform: Vec<f32> =
        (0..(n * mixtures) as u32).map(|i| rng.uniform(Stream::Report, COMPONENT_DRAWS | name, i)).collect();
    let below = prediction.logits.softmax(1, Kind::Float).cumsum(1, Kind::Float); // [N, K, 1 or Z]
    let uniform = Tensor::from_slice(&uniform).reshape([n, 1, mixtures]);
    let component = uniform.gt_tensor(&below).sum_dim_intlist(1, true, Kind::Int64); // [N, 1, 1 or Z]
    let component = component.clamp_max(size[1] - 1).expand([n, 1, z], false);
    let of = |table: &Tensor| table.gather(1, &component, false).squeeze_dim(1); // [N, Z]
    let noise = normals(rng, Stream::Report, LOOP_DRAWS | name, (n * z) as usize);
    of(&prediction.means) + of(&prediction.log_sigmas).exp() * matrix(&noise, z as usize, Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::nets::to_vec;

    #[test]
    fn samples_have_the_mixtures_moments() {
        let n = 20_000;
        let row = |v: [f32; 4]| Tensor::from_slice(&v).reshape([1, 2, 2]).expand([n, 2, 2], false).contiguous();
        let prediction = Prediction {
            means: row([-1.0, 0.0, 3.0, 1.0]),
            log_sigmas: row([-1.0, -2.0, 0.0, -2.0]),
            logits: Tensor::from_slice(&[0.75_f32.ln(), 0.25_f32.ln()]).reshape([1, 2, 1]).expand([n, 2, 1], false),
            reward: Tensor::zeros([n], (Kind::Float, Device::Cpu)),
            terminal_logit: Tensor::zeros([n], (Kind::Float, Device::Cpu)),
        };
        let draws = sample(&prediction, 3, 7);
        let mean = to_vec(&draws.mean_dim(0, false, Kind::Float)).unwrap();
        assert!((mean[0] - 0.0).abs() < 0.05 && (mean[1] - 0.25).abs() < 0.02, "{mean:?}");
        // Within plus between: ¾·e⁻² + ¼·1 + ¾·1 + ¼·9.
        let variance = to_vec(&draws.var_dim(0, false, false)).unwrap();
        assert!((variance[0] - (0.75 * (-2.0_f32).exp() + 0.25 + 3.0)).abs() < 0.08, "{variance:?}");
        assert_eq!(to_vec(&sample(&prediction, 3, 7)).unwrap(), to_vec(&draws).unwrap());
        // One component for the whole vector: the two columns move together.
        let high = to_vec(&draws).unwrap().chunks(2).filter(|v| v[0] > 1.0 && v[1] > 0.5).count();
        assert!((high as f64 / n as f64 - 0.25).abs() < 0.02, "{high}");
    }
}
