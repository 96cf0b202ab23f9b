//! What does candle take for the step, on one thread of the processor? Its tensors and its matrix product, which for one row goes a
//! matrix-times-vector way. The weights are transposed beforehand and limits are whole tensors: that measured 4 % faster than
//! `candle_nn::Linear` and `clamp`, which makes tensors of its limits at every call.

use super::Step;
use super::weights::{Layer, Weights};
use anyhow::{Result, bail};
use candle_core::{D, Device, Storage, Tensor};
use candle_nn::ops::sigmoid;
use dreamstep_core::schema::Squash;

/// The agent in tensors.
pub struct Candle {
    mean: Tensor,
    inv_std: Tensor,
    clip: [Tensor; 2], // [1, O] each
    unit: [Tensor; 2], // [1, A] each
    squash: Squash,
    encoder: [Affine; 3],
    controller: Affine,
    rnn: Affine, // [a, z, h], gates i, f, o, g: one sigmoid for the first three
    action_mid: Tensor,
    action_half: Tensor,
    hidden: usize,
    h: Tensor, // [1, H]
    c: Tensor, // [1, H]
}

fn row(values: &[f32]) -> candle_core::Result<Tensor> {
    Tensor::from_slice(values, (1, values.len()), &Device::Cpu)
}

fn limits(n: usize, limit: f32) -> candle_core::Result<[Tensor; 2]> {
    Ok([row(&vec![-limit; n])?, row(&vec![limit; n])?])
}

fn clamp(x: &Tensor, [low, high]: &[Tensor; 2]) -> candle_core::Result<Tensor> {
    x.maximum(low)?.minimum(high)
}

pub(super) struct Affine {
    weight: Tensor, // [K, N]
    bias: Tensor,   // [1, N]
}

impl Affine {
    pub(super) fn new(layer: &Layer) -> candle_core::Result<Self> {
        let weight = Tensor::from_slice(&layer.transposed(), (layer.inputs, layer.outputs()), &Device::Cpu)?;
        Ok(Self { weight, bias: row(&layer.bias)? })
    }

    pub(super) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.matmul(&self.weight)? + &self.bias
    }
}

impl Candle {
    /// At the start of an episode.
    ///
    /// # Errors
    /// candle refuses a shape.
    pub fn new(weights: &Weights) -> Result<Self> {
        let [l0, l1, l2] = &weights.encoder;
        let hidden = weights.dims.hidden_len();
        let zeros = row(&vec![0.0; hidden])?;
        Ok(Self {
            mean: row(&weights.mean)?,
            inv_std: row(&weights.inv_std)?,
            clip: limits(weights.dims.obs_len(), weights.obs_clip)?,
            unit: limits(weights.dims.action_len(), 1.0)?,
            squash: weights.squash,
            encoder: [Affine::new(l0)?, Affine::new(l1)?, Affine::new(l2)?],
            controller: Affine::new(&weights.controller)?,
            rnn: Affine::new(&weights.rnn.with_blocks(hidden, &[0, 1, 3, 2]))?,
            action_mid: row(&weights.action_mid)?,
            action_half: row(&weights.action_half)?,
            hidden,
            h: zeros.clone(),
            c: zeros,
        })
    }
}

impl Step for Candle {
    fn reset(&mut self) -> Result<()> {
        self.h = self.h.zeros_like()?;
        self.c = self.c.zeros_like()?;
        Ok(())
    }

    fn step(&mut self, observation: &[f32], action: &mut [f32]) -> Result<()> {
        let [encoder_0, encoder_2, encoder_mean] = &self.encoder;
        let x = clamp(&((row(observation)? - &self.mean)? * &self.inv_std)?, &self.clip)?;
        let e1 = encoder_0.forward(&x)?.relu()?;
        let e2 = encoder_2.forward(&e1)?.relu()?;
        let z = encoder_mean.forward(&e2)?;
        let zh = Tensor::cat(&[&z, &self.h], D::Minus1)?;
        let u = self.controller.forward(&zh)?;
        let u = match self.squash {
            Squash::Clamp => clamp(&u, &self.unit)?,
            Squash::Tanh => u.tanh()?,
        };
        let new = (&self.action_mid + (&self.action_half * &u)?)?;

        let gates = self.rnn.forward(&Tensor::cat(&[&u, &zh], D::Minus1)?)?;
        let ifo = sigmoid(&gates.narrow(1, 0, 3 * self.hidden)?)?;
        let g = gates.narrow(1, 3 * self.hidden, self.hidden)?.tanh()?;
        let gate = |index| ifo.narrow(1, index * self.hidden, self.hidden);
        self.c = ((gate(1)? * &self.c)? + (gate(0)? * g)?)?;
        self.h = (gate(2)? * self.c.tanh()?)?;

        copy(&new, action)
    }
}

/// A result's values.
pub(super) fn copy(result: &Tensor, values: &mut [f32]) -> Result<()> {
    let (storage, layout) = result.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((from, to))) => values.copy_from_slice(&storage.as_slice::<f32>()?[from..to]),
        _ => bail!("candle: expected contiguous results in main memory, found others"),
    }
    Ok(())
}
