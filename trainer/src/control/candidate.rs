//! Candidates: parameters on whitened features that become plain weights, and those a model that acts.

use super::strategies::{Generation, Strategy};
use super::whitening::Whitening;
use crate::agent::controller;
use anyhow::{Result, anyhow};
use dreamstep_core::dims::Dims;
use dreamstep_runtime::Model;

/// What a generation of a search tries.
pub struct Candidates<'a> {
    /// The search.
    pub strategy: &'a Strategy,
    /// What it drew.
    pub drawn: &'a Generation,
    /// The scale of its parameters.
    pub whitening: &'a Whitening,
}

impl Candidates<'_> {
    /// Plain weights and biases of candidate `index`, in the order of [`controller`]; any number of threads may ask.
    ///
    /// # Panics
    /// If there is no such candidate.
    #[must_use]
    pub fn values(&self, index: usize) -> Vec<f32> {
        let mut parameters = Vec::new();
        self.strategy.candidate(self.drawn, index, &mut parameters);
        self.whitening.fold(&parameters)
    }
}

/// A controller in the order that the runtime reads it in.
pub struct Controller {
    panels: Vec<f32>,
}

impl Controller {
    /// Of plain weights and biases, for models of `dims`.
    ///
    /// # Errors
    /// As [`controller::check`]'s.
    pub fn new(dims: &Dims, values: &[f32]) -> Result<Self> {
        Ok(Self { panels: controller::panels(dims, values)? })
    }

    /// `base` with this controller.
    ///
    /// # Errors
    /// One line: it is of another size.
    pub fn model<'m>(&'m self, base: &Model<'m>) -> Result<Model<'m>> {
        base.with_controller(&self.panels).map_err(|error| anyhow!("{error}"))
    }
}
