//! V and M read back from their checkpoints.

use crate::agent::pack::made_from;
use crate::agent::v::Preprocessing;
use crate::data::dataset::Dataset;
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::folder::RunDir;
use crate::run::interrupt;
use crate::world::mdnrnn::{MdnRnn, MdnRnnShape, MemoryState, Prediction};
use crate::world::nets::{self, indices};
use crate::world::train_mdnrnn::table::{pack, windows};
use crate::world::vae::{Vae, VaeLayers, VaeShape};
use anyhow::{Result, ensure};
use dreamstep_core::names::metadata;
use dreamstep_core::rng::Philox;
use std::path::Path;
use tch::{Device, Tensor, nn};

/// Frames encoded at a time: what their maps take is then no more than a training batch's.
const FRAMES: i64 = 256;

/// V as the later stages use it, read from a checkpoint.
pub struct TrainedVae {
    /// What makes x of observations.
    pub preprocessing: Preprocessing,
    /// Encoder and decoder.
    pub vae: Vae,
    /// Sizes.
    pub shape: VaeShape,
}

impl TrainedVae {
    /// Reads `vae.safetensors`; the tensors' shapes say how large everything is.
    ///
    /// # Errors
    /// One line naming the file and the tensor or the metadata that is missing or wrong.
    pub fn read(path: &Path, device: Device) -> Result<Self> {
        let file = Checkpoint::read(path)?;
        let shape = VaeShape::of(&file)?;
        let is_blind = matches!(&shape.layers, VaeLayers::Convolutional(chain) if chain.decoder.is_none());
        ensure!(!is_blind, "{}: expected a V with a decoder, found none", file.origin);
        let preprocessing = Preprocessing::read(&file, &shape)?;
        let vs = nn::VarStore::new(device);
        let vae = Vae::new(&vs.root(), shape.clone(), &preprocessing.alive(shape.obs), Philox::new(0));
        nets::import(&vs, &file)?;
        Ok(Self { preprocessing, vae, shape })
    }

    /// Mean and log-variance of every observation of the episodes `ids`, one below the other, `[Σ(T+1), Z]` each.
    ///
    /// # Errors
    /// [`Dataset::read`]'s. [`interrupt::Interrupted`].
    pub fn encode(&self, data: &Dataset, ids: &[usize], device: Device) -> Result<(Tensor, Tensor)> {
        // A few episodes at a time: the observations of all would be the largest thing in memory.
        let episodes = if matches!(self.preprocessing, Preprocessing::Scale) { 1 } else { 64 };
        let (mut means, mut log_vars) = (Vec::new(), Vec::new());
        for ids in ids.chunks(episodes) {
            interrupt::check()?;
            let rows = nets::rows(data, ids, &self.preprocessing, device)?;
            let (mean, log_var) = self.encode_rows(&rows);
            means.push(mean);
            log_vars.push(log_var);
        }
        Ok((Tensor::cat(&means, 0), Tensor::cat(&log_vars, 0)))
    }

    /// Mean and log-variance, `[N, Z]` each, of rows as [`nets::rows`] has them: vectors all at once, frames a batch at a time.
    pub fn encode_rows(&self, rows: &Tensor) -> (Tensor, Tensor) {
        let batches = rows.split(if nets::are_frames(rows) { FRAMES } else { rows.size()[0] }, 0);
        let encoded = batches.iter().map(|batch| tch::no_grad(|| self.vae.encode(&nets::inputs(batch))));
        let (means, log_vars): (Vec<_>, Vec<_>) = encoded.unzip();
        (Tensor::cat(&means, 0), Tensor::cat(&log_vars, 0))
    }
}

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
        let shape = MdnRnnShape::of(&file)?;
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

    /// What M says of every step of episodes of these `lengths`, in the order of their steps. `z` `[R, Z]` and `action` `[R, U]` have a row
    /// for each observation.
    #[must_use]
    pub fn predict(&self, z: &Tensor, action: &Tensor, lengths: &[usize]) -> Prediction {
        let windows = windows(lengths.iter().copied(), usize::MAX);
        let (_, rows, sizes) = pack(&windows, &(0..windows.len()).collect::<Vec<_>>());
        let mut places: Vec<i64> = (0..rows.len() as i64).collect();
        places.sort_by_key(|&place| rows[place as usize]); // where each step, in order, stands in the pack
        let at = indices(&rows, Device::Cpu);
        let places = indices(&places, Device::Cpu);
        tch::no_grad(|| {
            let (z, action) = (z.index_select(0, &at), action.index_select(0, &at));
            let state = self.model.zero_state(windows.len());
            let (hidden, _) = self.model.sequences(&z, &action, &Tensor::from_slice(&sizes), &state);
            self.model.predict(&hidden.index_select(0, &places), &z.index_select(0, &places))
        })
    }

    /// One step of `B` episodes: `z` `[B, Z]`, `action` `[B, U]`. What M says of it, and the state after it.
    #[must_use]
    pub fn step(&self, z: &Tensor, action: &Tensor, state: &MemoryState) -> (Prediction, MemoryState) {
        let batch = Tensor::from_slice(&[z.size()[0]]);
        let (hidden, state) = self.model.sequences(z, action, &batch, state);
        (self.model.predict(&hidden, z), state)
    }
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
}
