//! What are the numbers that every contender is given? The agent's own, row-major, as a checkpoint has them: taken out of the packed
//! f32 file, so that nobody steps weights that another does not.

use anyhow::{Result, anyhow, bail, ensure};
use dreamstep_core::names::checkpoint;
use dreamstep_core::pack::{Unpacked, unpack};
use dreamstep_runtime::{Acting, Controller, ControllerInput, Dims, Encoder, MemoryCell, Normalizer, Squash};

/// An affine map.
#[derive(Clone, Debug)]
pub struct Layer {
    /// `[N, K]`, row-major.
    pub weight: Vec<f32>,
    /// `[N]`
    pub bias: Vec<f32>,
    /// K
    pub inputs: usize,
}

impl Layer {
    /// N
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// `[K, N]`, row-major.
    #[must_use]
    pub fn transposed(&self) -> Vec<f32> {
        let rows = self.weight.chunks_exact(self.inputs);
        let mut transposed = vec![0.0; self.weight.len()];
        for (n, row) in rows.enumerate() {
            row.iter().enumerate().for_each(|(k, &weight)| transposed[k * self.outputs() + n] = weight);
        }
        transposed
    }

    /// The weights of the inputs from `from` to `to`, `[N, to - from]`.
    #[must_use]
    pub fn columns(&self, from: usize, to: usize) -> Vec<f32> {
        self.weight.chunks_exact(self.inputs).flat_map(|row| &row[from..to]).copied().collect()
    }

    /// The same layer with its outputs, blocks of `block` each, in another order.
    #[must_use]
    pub fn with_blocks(&self, block: usize, order: &[usize]) -> Self {
        let of = |values: &[f32], size: usize| order.iter().flat_map(|&b| values[b * size..][..size].to_vec()).collect();
        Self { weight: of(&self.weight, block * self.inputs), bias: of(&self.bias, block), inputs: self.inputs }
    }
}

/// Everything that a step with the mean latent needs.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Sizes.
    pub dims: Dims,
    /// Whitened observations are clipped to ± this.
    pub obs_clip: f32,
    /// From the controller's output to [-1, 1].
    pub squash: Squash,
    /// `[O]`
    pub mean: Vec<f32>,
    /// `[O]`
    pub inv_std: Vec<f32>,
    /// O → E1, E1 → E2, E2 → Z (the mean); ReLU after the first two.
    pub encoder: [Layer; 3],
    /// `[z, h]` → A
    pub controller: Layer,
    /// `[a, z, h]` → 4H, gates i, f, g, o.
    pub rnn: Layer,
    /// `[A]` middle of the action range.
    pub action_mid: Vec<f32>,
    /// `[A]` half of the action range.
    pub action_half: Vec<f32>,
}

impl Weights {
    /// Of a packed f32 agent.
    ///
    /// # Errors
    /// One line: no packed f32 agent, one that acts on sampled latents, or one with a GRU.
    pub fn of(file: &[u8]) -> Result<Self> {
        let Unpacked { tensors, settings, action_mid, action_half, .. } = unpack(file).map_err(|error| anyhow!(error))?;
        ensure!(settings.acting == Acting::Mean, "action.latent: expected mean (contenders draw nothing), found sampled");
        let dims = settings.dims;
        let Encoder::Mlp { hidden: hidden_v, latent: z } = dims.v else {
            bail!("v.kind: expected mlp (what contenders have), found {}", dims.v.kind())
        };
        let &[e1, e2] = hidden_v.as_slice() else {
            bail!("v.hidden: expected two layers (what contenders have), found {}", hidden_v.len())
        };
        let m = dims.m.kind();
        ensure!(dims.cell() == Some(MemoryCell::Lstm), "m.kind: expected lstm (what contenders have), found {m}");
        let (c, action) = (dims.c, dims.action.kind());
        ensure!(c == Controller::linear(ControllerInput::LatentHidden), "C: expected a linear one of z+h, found {c:?}");
        let is_whitened = settings.normalizer == Normalizer::MeanStd;
        ensure!(is_whitened, "observation.normalizer: expected mean-std (what contenders have), found none");
        ensure!(action == "continuous", "action.kind: expected continuous (what contenders have), found {action}");
        let get = |name: &str| -> Result<Vec<f32>> {
            let (_, values) = tensors.get(name).ok_or_else(|| anyhow!("tensor `{name}`: expected, not found"))?;
            Ok(values.clone())
        };
        let layer = |weight: &str, bias: &str, outputs: usize| -> Result<Layer> {
            let (mut weight, mut bias) = (get(weight)?, get(bias)?);
            let inputs = weight.len() / bias.len();
            // Of the encoder's last layer the log-variance's half is left out.
            weight.truncate(outputs * inputs);
            bias.truncate(outputs);
            Ok(Layer { weight, bias, inputs })
        };
        let encoder =
            |index: usize, outputs| layer(checkpoint::ENCODER_WEIGHT[index], checkpoint::ENCODER_BIAS[index], outputs);
        let (a, h) = (dims.action_len(), dims.hidden_len());
        let [w_ih, w_hh] = [get(checkpoint::RNN_WEIGHT_IH)?, get(checkpoint::RNN_WEIGHT_HH)?];
        let rows = w_ih.chunks_exact(a + z).zip(w_hh.chunks_exact(h));
        // The packer added PyTorch's two biases up; the second is 0.
        let rnn = Layer {
            weight: rows.flat_map(|(ih, hh)| ih.iter().chain(hh).copied()).collect(),
            bias: get(checkpoint::RNN_BIAS_IH)?,
            inputs: dims.memory_inputs(),
        };
        Ok(Self {
            dims,
            obs_clip: settings.obs_clip,
            squash: settings.squash,
            mean: get(checkpoint::NORMALIZER_MEAN)?,
            inv_std: get(checkpoint::NORMALIZER_INV_STD)?,
            encoder: [encoder(0, e1)?, encoder(1, e2)?, encoder(2, z)?],
            controller: layer(checkpoint::FC_WEIGHT, checkpoint::FC_BIAS, a)?,
            rnn,
            action_mid,
            action_half,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Size;

    #[test]
    fn layers_have_the_agents_sizes() {
        let weights = Weights::of(&Size::Small.agent()).unwrap();
        let layers = weights.encoder.iter().chain([&weights.controller, &weights.rnn]);
        assert_eq!(layers.map(|layer| layer.weight.len()).sum::<usize>(), weights.dims.step_weights());
        assert_eq!(weights.rnn.bias.len(), 4 * weights.dims.hidden_len());
    }

    #[test]
    fn a_gru_is_refused() {
        let Err(error) = Weights::of(&Size::Small.precisions_with(MemoryCell::Gru)[0]) else {
            panic!("contenders have an LSTM")
        };
        assert_eq!(error.to_string(), "m.kind: expected lstm (what contenders have), found gru");
    }

    #[test]
    fn views_of_a_layer() {
        let layer = Layer { weight: (1..=8).map(|w| w as f32).collect(), bias: vec![10.0, 20.0, 30.0, 40.0], inputs: 2 };
        assert_eq!(layer.transposed(), [1.0, 3.0, 5.0, 7.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(layer.columns(1, 2), [2.0, 4.0, 6.0, 8.0]);
        let swapped = layer.with_blocks(2, &[1, 0]);
        assert_eq!(swapped.weight, [5.0, 6.0, 7.0, 8.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(swapped.bias, [30.0, 40.0, 10.0, 20.0]);
    }
}
