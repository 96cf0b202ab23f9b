//! M as the report asks it: every step of some episodes at once, from the zero state that an episode starts with; or step by step.

use crate::agent::pack::{made_from, mixture, target};
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::folder::RunDir;
use crate::world::mdnrnn::{MdnRnn, MdnRnnShape, MemoryState, Prediction};
use crate::world::nets::{self, indices};
use anyhow::Result;
use dreamstep_core::names::metadata;
use dreamstep_core::rng::Philox;
use tch::{Device, Kind, Tensor, nn};

/// M, read from a checkpoint.
pub struct TrainedMdnRnn {
    /// Memory and head.
    pub model: MdnRnn,
    /// `Z`
    pub latent: usize,
    /// What M leaves out of the rewards that it predicts.
    pub reward_offset: f64,
    /// Whether M was trained on latents sampled from V's posterior; else on the mean.
    pub on_samples: bool,
}

impl TrainedMdnRnn {
    /// Reads the run's M.
    ///
    /// # Errors
    /// One line naming the file and what is missing or wrong: a tensor, the metadata, or that it was made with another V.
    pub fn read(run: &RunDir) -> Result<Self> {
        let file = Checkpoint::read(&run.mdnrnn())?;
        made_from(&file, "vae", &run.vae())?;
        let shape = shape(&file)?;
        let latent = shape.latent;
        let vs = nn::VarStore::new(Device::Cpu);
        let model = MdnRnn::new(&vs.root(), shape, Philox::new(0));
        nets::import(&vs, &file)?;
        Ok(Self {
            model,
            latent,
            reward_offset: file.meta(metadata::REWARD_OFFSET)?,
            on_samples: file.meta::<String>(meta::LATENTS)? == "sampled",
        })
    }

    /// What M says of every step of episodes of these `lengths`, in the order of their steps. `z` `[R, Z]` and `action` `[R, A]` have a row
    /// for each observation.
    #[must_use]
    pub fn predict(&self, z: &Tensor, action: &Tensor, lengths: &[usize]) -> Prediction {
        let (rows, sizes) = packed(lengths);
        let mut places: Vec<i64> = (0..rows.len() as i64).collect();
        places.sort_by_key(|&place| rows[place as usize]); // where each step, in order, stands in the pack
        let at = indices(&rows, Device::Cpu);
        let places = indices(&places, Device::Cpu);
        tch::no_grad(|| {
            let (z, action) = (z.index_select(0, &at), action.index_select(0, &at));
            let state = self.model.zero_state(lengths.len());
            let (hidden, _) = self.model.sequences(&z, &action, &Tensor::from_slice(&sizes), &state);
            self.read_head(&hidden.index_select(0, &places), &z.index_select(0, &places))
        })
    }

    /// One step of `B` episodes: `z` `[B, Z]`, `action` `[B, A]`. What M says of it, and the state after it.
    #[must_use]
    pub fn step(&self, z: &Tensor, action: &Tensor, state: &MemoryState) -> (Prediction, MemoryState) {
        let batch = Tensor::from_slice(&[z.size()[0]]);
        let (hidden, state) = self.model.sequences(z, action, &batch, state);
        (self.read_head(&hidden, z), state)
    }

    /// The head's reading of hidden vectors `[N, H]` that `z` `[N, Z]` led to, about the next latent in any case.
    fn read_head(&self, hidden: &Tensor, z: &Tensor) -> Prediction {
        self.model.predict(hidden, z)
    }
}

/// Sizes and modes that M's checkpoint says.
///
/// # Errors
/// One line naming the file and what is missing or wrong in its metadata.
pub(crate) fn shape(file: &Checkpoint) -> Result<MdnRnnShape> {
    Ok(MdnRnnShape {
        action: file.meta(metadata::DIM_ACTION)?,
        latent: file.meta(metadata::DIM_LATENT)?,
        hidden: file.meta(metadata::DIM_HIDDEN)?,
        cell: file.cell()?,
        mixture: mixture(file)?,
        target: target(file)?,
        mixtures: file.meta(metadata::DIM_MIXTURES)?,
        log_sigma_min: file.meta(metadata::GMM_LOG_SIGMA_MIN)?,
    })
}

/// Lays episodes side by side, longest first: the row of each step, all first steps first; and how many episodes reach each step. An
/// episode of `T` steps has `T + 1` rows.
fn packed(lengths: &[usize]) -> (Vec<i64>, Vec<i64>) {
    let starts: Vec<usize> = lengths.iter().scan(0, |row, length| Some(std::mem::replace(row, *row + length + 1))).collect();
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(lengths[i])); // stable: equal lengths keep their order
    let longest = order.first().map_or(0, |&i| lengths[i]);
    let (mut rows, mut sizes) = (Vec::new(), Vec::new());
    for t in 0..longest {
        let before = rows.len();
        rows.extend(order.iter().take_while(|&&i| lengths[i] > t).map(|&i| (starts[i] + t) as i64));
        sizes.push((rows.len() - before) as i64);
    }
    (rows, sizes)
}

/// The share of each of the mixture's marginals that lies below `target` `[N, Z]`, `[N, Z]`: uniform on (0, 1) where the mixture is right
/// (the probability integral transform, Rosenblatt 1952).
pub(super) fn share_below(prediction: &Prediction, target: &Tensor) -> Tensor {
    let weights = prediction.logits.to_kind(Kind::Double).softmax(1, Kind::Double); // [N, K, 1 or Z]
    let distance = (target.unsqueeze(1) - &prediction.means).to_kind(Kind::Double);
    let scaled = distance * prediction.log_sigmas.to_kind(Kind::Double).neg().exp(); // [N, K, Z]
    (weights * scaled.special_ndtr()).sum_dim_intlist(1, false, Kind::Double)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::nets::{matrix, normals, to_vec};
    use dreamstep_core::m::{MemoryCell, Mixture};
    use dreamstep_core::rng::Stream;
    use dreamstep_core::schema::Target;

    fn network(target: Target) -> TrainedMdnRnn {
        let shape = MdnRnnShape {
            action: 2,
            latent: 3,
            hidden: 7,
            cell: MemoryCell::Lstm,
            mixture: Mixture::Joint,
            target,
            mixtures: 4,
            log_sigma_min: -1.0,
        };
        let model = MdnRnn::new(&nn::VarStore::new(Device::Cpu).root(), shape, Philox::new(1));
        TrainedMdnRnn { model, latent: 3, reward_offset: 0.0, on_samples: false }
    }

    #[test]
    fn all_steps_at_once_are_what_stepping_gives() {
        // One set of weights, read as the change of the latent and as the latent.
        let (m, plain) = (network(Target::Delta), network(Target::Next));
        let lengths = [2, 5, 1];
        let draw =
            |step, columns| matrix(&normals(Philox::new(2), Stream::Report, step, 11 * columns), columns, Device::Cpu);
        let (z, a) = (draw(0, 3), draw(1, 2));
        let found = to_vec(&m.predict(&z, &a, &lengths).expected_next()).unwrap();
        let (mut expected, mut row) = (Vec::new(), 0);
        for length in lengths {
            let mut state = plain.model.zero_state(1);
            for _ in 0..length {
                let z = z.narrow(0, row, 1);
                state = plain.model.step(&z, &a.narrow(0, row, 1), &state);
                expected.extend(to_vec(&(plain.model.predict(&state.h, &z).expected_next() + z)).unwrap());
                row += 1;
            }
            row += 1; // the last observation starts no step
        }
        assert_eq!(found.len(), 8 * 3);
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}\n{expected:?}");
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
