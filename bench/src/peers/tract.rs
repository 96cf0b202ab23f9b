//! What does tract take for the step? The graph of [`super::onnx`], optimised, in one state that is used again, the recurrent tensors
//! handed from run to run without a copy.

use super::Step;
use super::onnx::{self, Cell, Numbers};
use super::weights::Weights;
use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use tract_onnx::prelude::*;

/// The agent in a plan.
pub struct Tract {
    state: TypedSimpleState,
    observation: Arc<Tensor>,
    zeros: TValue,
    h: TValue,
    c: TValue,
}

impl Tract {
    /// At the start of an episode.
    ///
    /// # Errors
    /// tract refuses the model.
    pub fn new(weights: &Weights, cell: Cell) -> Result<Self> {
        let model = onnx::model(weights, cell, Numbers::Float32);
        let plan = tract_onnx::onnx().model_for_read(&mut &model[..])?.into_optimized()?.into_runnable()?;
        let zeros = |shape: &[usize]| Tensor::zero::<f32>(shape);
        let state: TValue = zeros(&onnx::state_shape(cell, weights.dims.hidden_len()))?.into();
        let observation = Arc::new(zeros(&[1, weights.dims.obs_len()])?);
        Ok(Self { state: plan.spawn()?, observation, zeros: state.clone(), h: state.clone(), c: state })
    }
}

impl Step for Tract {
    fn reset(&mut self) -> Result<()> {
        (self.h, self.c) = (self.zeros.clone(), self.zeros.clone());
        Ok(())
    }

    fn step(&mut self, observation: &[f32], action: &mut [f32]) -> Result<()> {
        // Between runs nobody else holds the tensor, so that this copies the observation and nothing more.
        let mut input = Arc::make_mut(&mut self.observation).try_as_plain_ram_mut()?;
        input.as_slice_mut::<f32>()?.copy_from_slice(observation);
        let inputs = tvec!(TValue::from_const(self.observation.clone()), self.h.clone(), self.c.clone());
        let mut outputs = self.state.run(inputs).context("tract")?;
        ensure!(outputs.len() == 3, "tract: expected 3 outputs, found {}", outputs.len());
        action.copy_from_slice(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?);
        (self.h, self.c) = (outputs.swap_remove(1), outputs.swap_remove(1));
        Ok(())
    }
}
