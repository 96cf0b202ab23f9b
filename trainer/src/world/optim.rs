//! The optimisers: Adam (Kingma & Ba 2015, algorithm 1) and RMSprop (Hinton 2012), computed as PyTorch's
//! `torch.optim.Adam` and `torch.optim.RMSprop` do, gradients cut to a greatest length as its `clip_grad_norm_` does.
//!
//! ```text
//! g ← g · min(1, max / (‖g‖ + 1e-6))                      over all weights together, where a greatest length is given
//! s ← β₂ s + g²                                            so that v = (1−β₂) s: a factor less in every update
//! Adam:     m ← m + (1−β₁)(g − m),   w ← w − α/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)
//! RMSprop:  w ← w − α · g / (√v + ε)
//! ```
//!
//! tch has both, but its C++ side keeps `m`, `v` and `t` to itself, so that a training could not be saved and resumed. Here they
//! are tensors with names: `optimizer.mean.<weight>` (`m`) and `optimizer.squares.<weight>` (`s`). Rounding differs from tch's in the
//! last bits.

use super::nets::to_vec;
use crate::run::checkpoint::Checkpoint;
use crate::run::config::OptimizerRule;
use anyhow::{Result, ensure};
use tch::{Tensor, nn};

/// Added to the root, outside of it: PyTorch's default for both.
const EPSILON: f64 = 1e-8;
/// Adam's decay of the gradient's mean.
const BETA_1: f64 = 0.9;
/// Adam's decay of the gradient's squares.
const BETA_2: f64 = 0.999;
/// RMSprop's decay of the gradient's squares, as in Ha & Schmidhuber's reimplementation by Tallec et al. (2018); PyTorch's default
/// is 0.99.
const ALPHA: f64 = 0.9;

/// Metadata of a saved state.
const KIND: &str = "optimizer";
const UPDATES: &str = "optimizer.updates";

/// A weight, and what is remembered of its gradients.
#[derive(Debug)]
struct Parameter {
    name: String,
    weight: Tensor,
    /// `m`; RMSprop has none.
    mean: Option<Tensor>,
    /// `s`
    squares: Tensor,
}

/// Moves the trainable variables of a store.
#[derive(Debug)]
pub struct Optimizer {
    rule: OptimizerRule,
    learning_rate: f64,
    /// `t`
    updates: u64,
    /// In the order of their names, which the store itself does not keep.
    parameters: Vec<Parameter>,
}

impl Optimizer {
    /// For all variables of `vs`, which must be complete; nothing is remembered yet.
    #[must_use]
    pub fn new(vs: &nn::VarStore, rule: OptimizerRule, learning_rate: f64) -> Self {
        let mut variables: Vec<_> = vs.variables().into_iter().filter(|(_, weight)| weight.requires_grad()).collect();
        variables.sort_by(|(a, _), (b, _)| a.cmp(b));
        let parameter = |(name, weight): (String, Tensor)| {
            let zeros = || weight.detach().zeros_like();
            Parameter { name, mean: (rule == OptimizerRule::Adam).then(zeros), squares: zeros(), weight }
        };
        Self { rule, learning_rate, updates: 0, parameters: variables.into_iter().map(parameter).collect() }
    }

    /// The step size from now on.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }

    /// The step size in force.
    #[must_use]
    pub const fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// Updates so far.
    #[must_use]
    pub const fn updates(&self) -> u64 {
        self.updates
    }

    /// One update: the gradient of `loss`, cut to the length `clip`, and a step along it. A weight that the loss does not depend on
    /// stays as it is, and so does what is remembered of it.
    pub fn backward_step(&mut self, loss: &Tensor, clip: Option<f64>) {
        let weights: Vec<&Tensor> = self.parameters.iter().map(|p| &p.weight).collect();
        // Not through `.grad()`: nothing has to be zeroed before nor added up.
        let gradients = Tensor::run_backward(&[loss], &weights, false, false);
        tch::no_grad(|| {
            let scale = clip.map_or(1.0, |max| clip_scale(&gradients, max));
            self.updates += 1;
            let t = self.updates.min(i32::MAX as u64) as i32;
            let (decay, correction, step) = match self.rule {
                OptimizerRule::Adam => (BETA_2, (1.0 - BETA_2.powi(t)).sqrt(), self.learning_rate / (1.0 - BETA_1.powi(t))),
                OptimizerRule::RmsProp => (ALPHA, 1.0, self.learning_rate),
            };
            for (p, gradient) in self.parameters.iter_mut().zip(&gradients).filter(|(_, gradient)| gradient.defined()) {
                // A new tensor: autograd may hand out one gradient for two weights.
                let cut = (scale < 1.0).then(|| gradient.g_mul_scalar(scale));
                let gradient = cut.as_ref().unwrap_or(gradient);
                let _ = p.squares.g_mul_scalar_(decay);
                let _ = p.squares.addcmul_(gradient, gradient);
                if let Some(mean) = &mut p.mean {
                    let _ = mean.lerp_(gradient, 1.0 - BETA_1);
                }
                if step == 0.0 {
                    continue;
                }
                // The step and s's factor are taken into the denominator: one pass over the weights less than scaling what is added.
                let mut scratch = p.squares.sqrt();
                let _ = scratch.g_mul_scalar_(-(1.0 - decay).sqrt() / (step * correction));
                let _ = scratch.g_add_scalar_(-EPSILON / step);
                let direction = p.mean.as_ref().unwrap_or(gradient);
                let _ = p.weight.addcdiv_(direction, &scratch);
            }
        });
    }

    /// Adds everything that is remembered to `state`.
    ///
    /// # Errors
    /// libtorch cannot hand a tensor over.
    pub fn save(&self, state: &mut Checkpoint) -> Result<()> {
        for (name, tensor) in self.memory() {
            let shape: Vec<usize> = tensor.size().iter().map(|&s| s as usize).collect();
            state.insert(&name, &shape, to_vec(tensor)?);
        }
        state.set_meta(KIND, self.rule.name());
        state.set_meta(UPDATES, self.updates);
        Ok(())
    }

    /// Restores what [`Self::save`] added. The learning rate is not part of it.
    ///
    /// # Errors
    /// One line naming the file and what is missing, misshapen or of another rule.
    pub fn load(&mut self, state: &Checkpoint) -> Result<()> {
        let (expected, found) = (self.rule.name(), state.meta::<String>(KIND)?);
        ensure!(expected == found, "{}: metadata {KIND}: expected {expected}, found {found}", state.origin);
        for (name, tensor) in self.memory() {
            let size = tensor.size();
            let shape: Vec<usize> = size.iter().map(|&s| s as usize).collect();
            let values = Tensor::from_slice(state.tensor(&name, &shape)?).reshape(&size);
            tensor.shallow_clone().copy_(&values);
        }
        self.updates = state.meta(UPDATES)?;
        Ok(())
    }

    /// What is remembered, by name.
    fn memory(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.parameters.iter().flat_map(|p| {
            let mean = p.mean.iter().map(|mean| (format!("optimizer.mean.{}", p.name), mean));
            mean.chain([(format!("optimizer.squares.{}", p.name), &p.squares)])
        })
    }
}

/// What gradients are multiplied with so that all together are no longer than `max`; not below 1 where one is not a number.
fn clip_scale(gradients: &[Tensor], max: f64) -> f64 {
    let norms: Vec<Tensor> = gradients.iter().filter(|gradient| gradient.defined()).map(Tensor::norm).collect();
    let norm = Tensor::stack(&norms, 0).norm().double_value(&[]);
    max / (norm + 1e-6)
}

#[cfg(test)]
#[path = "optim_tests.rs"]
mod tests;
