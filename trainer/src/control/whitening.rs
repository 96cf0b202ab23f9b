//! The scale on which evolution moves C's weights: *whitened* features, where one step size suits all: every feature of [z, h] minus its
//! mean, over its standard deviation. A candidate is folded back into plain weights before it acts: the scale goes into the
//! layer that reads the features, and the deployed controller has no more layers than were asked for.
//!
//! Mean and deviation come from the recorded episodes, and then from every episode that evolution plays (*online*, as ARS V2 has it:
//! Mania, Guy & Recht 2018, algorithm 2): an agent that begins to walk observes what no random policy does. There the same numbers become
//! another controller when the scale moves; here the search's mean is put in the new units ([`Whitening::carry`]), unless
//! `controller.carry_controller` is off.

use crate::agent::controller;
use crate::data::dataset::Dataset;
use crate::run::interrupt;
use crate::stats::Spread;
use anyhow::{Result, ensure};
use dreamstep_core::dims::Dims;
use dreamstep_runtime::{Agent, Model, memory_len};
use ndarray::Array2;

/// A feature that varies less than this is whitened as if it varied this much.
const MIN_STD: f64 = 0.01;

/// Mean and variance of every feature that the controller reads, [z, h] or another input. Kept in single precision, which is all that a scale needs, so that a saved state is the
/// state.
#[derive(Clone, Debug, PartialEq)]
pub struct Whitening {
    /// Outputs of the layer that reads the features ([`controller::units`]).
    pub units: usize,
    /// Rows seen.
    pub count: u64,
    /// `[Z+H]`, or as wide as the input is.
    pub mean: Vec<f32>,
    /// The same, of the population.
    pub variance: Vec<f32>,
}

impl Whitening {
    /// Plain features: mean 0, variance 1.
    #[must_use]
    pub fn none(dims: &Dims) -> Self {
        let features = dims.controller_inputs();
        Self { units: controller::units(dims), count: 1, mean: vec![0.0; features], variance: vec![1.0; features] }
    }

    /// Replays the episodes of `data` with the actions that were taken.
    ///
    /// # Errors
    /// An episode cannot be read, or there is none.
    pub fn measure(model: &Model<'_>, data: &Dataset) -> Result<Self> {
        let mut memory = vec![0.0; memory_len(model.dims())];
        let mut agent = Agent::new(*model, &mut memory)?;
        let mut spread = Spread::new(model.dims().controller_inputs());
        let mut rows = Vec::new();
        for id in 0..data.len() {
            interrupt::check()?;
            let episode = data.read(id)?;
            agent.reset();
            rows.clear();
            for (observation, action) in episode.observations.iter().zip(episode.actions.rows()) {
                agent.act_in_place(&observation)?;
                rows.extend(agent.controller_input());
                agent.override_action(&action.to_vec())?;
                agent.advance()?;
            }
            add_rows(&mut spread, &rows)?;
        }
        ensure!(spread.count() > 0, "recorded episodes: expected at least one step, found none");
        Ok(Self::of(controller::units(model.dims()), &spread))
    }

    fn of(units: usize, spread: &Spread) -> Self {
        let single = |values: ndarray::ArrayView1<'_, f64>| values.iter().map(|&value| value as f32).collect();
        Self { units, count: spread.count(), mean: single(spread.mean()), variance: single(spread.variance().view()) }
    }

    /// Takes in the rows that `spread` saw.
    pub fn add(&mut self, spread: &Spread) {
        let mut whole = Spread::from_parts(self.count, &self.mean, &self.variance);
        whole.merge(spread);
        *self = Self::of(self.units, &whole);
    }

    fn std(&self) -> impl Iterator<Item = f64> + '_ {
        self.variance.iter().map(|&variance| f64::from(variance).sqrt().max(MIN_STD))
    }

    /// Plain features, whitened.
    pub fn whiten(&self, features: impl Iterator<Item = f32>) -> impl Iterator<Item = f32> {
        let scaled = features.zip(&self.mean).zip(self.std());
        scaled.map(|((feature, &mean), std)| ((f64::from(feature) - f64::from(mean)) / std) as f32)
    }

    /// From parameters on whitened features to plain weights and biases, in the order of [`controller`]: of the first layer's weights
    /// `[N, Z+H]` and biases `[N]`; the layers behind it stay as they are.
    #[must_use]
    pub fn fold(&self, parameters: &[f32]) -> Vec<f32> {
        let std: Vec<f64> = self.std().collect();
        let (weights, biases, behind) = self.first_layer(parameters);
        let mut values = Vec::with_capacity(parameters.len());
        let mut shifted = Vec::with_capacity(biases.len());
        for (row, &b) in weights.chunks_exact(std.len()).zip(biases) {
            let scaled = || row.iter().zip(&std).map(|(&w, std)| f64::from(w) / std);
            values.extend(scaled().map(|w| w as f32));
            let shift: f64 = scaled().zip(&self.mean).map(|(w, &mean)| w * f64::from(mean)).sum();
            shifted.push((f64::from(b) - shift) as f32);
        }
        values.extend(shifted.iter().chain(behind));
        values
    }

    /// From plain weights and biases to parameters on whitened features: what [`Self::fold`] undoes.
    #[must_use]
    pub fn unfold(&self, values: &[f32]) -> Vec<f32> {
        let std: Vec<f64> = self.std().collect();
        let (weights, biases, behind) = self.first_layer(values);
        let rows = || weights.chunks_exact(std.len());
        let scaled = rows().flat_map(|row| row.iter().zip(&std).map(|(&w, std)| (f64::from(w) * std) as f32));
        let shifted = rows().zip(biases).map(|(row, &b)| {
            let shift: f64 = row.iter().zip(&self.mean).map(|(&w, &mean)| f64::from(w) * f64::from(mean)).sum();
            (f64::from(b) + shift) as f32
        });
        scaled.chain(shifted).chain(behind.iter().copied()).collect()
    }

    /// Weights and biases of the layer that reads the features, and the layers behind it.
    fn first_layer<'v>(&self, values: &'v [f32]) -> (&'v [f32], &'v [f32], &'v [f32]) {
        let (weights, rest) = values.split_at(self.units * self.mean.len());
        let (biases, behind) = rest.split_at(self.units);
        (weights, biases, behind)
    }

    /// Parameters on features that `before` whitened become those of the same controller on features that this whitens: in place.
    pub fn carry(&self, before: &Self, parameters: &mut [f64]) {
        let n = self.mean.len();
        let (weights, biases) = parameters.split_at_mut(self.units * n);
        let [old, new]: [Vec<f64>; 2] = [before, self].map(|whitening| whitening.std().collect());
        for (row, bias) in weights.chunks_exact_mut(n).zip(biases) {
            for (i, weight) in row.iter_mut().enumerate() {
                let plain = *weight / old[i];
                *bias += plain * (f64::from(self.mean[i]) - f64::from(before.mean[i]));
                *weight = plain * new[i];
            }
        }
    }
}

/// Adds features, row after row, to `spread`.
pub(super) fn add_rows(spread: &mut Spread, rows: &[f32]) -> Result<()> {
    let columns = spread.mean().len();
    spread.add(Array2::from_shape_vec((rows.len() / columns, columns), rows.to_vec())?.view());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Whitening {
        Whitening { units: 2, count: 10, mean: vec![1.0, -2.0, 0.5], variance: vec![4.0, 0.25, 0.0] }
    }

    #[test]
    fn folded_weights_answer_plain_features_as_parameters_answer_whitened_ones() {
        let whitening = some();
        let parameters = [0.5, -1.0, 0.01, 2.0, 0.25, -0.02, 0.1, -0.3];
        let values = whitening.fold(&parameters);
        let (weight, bias) = values.split_at(6);
        let plain = [3.0_f32, -1.0, 0.51];
        let std = [2.0, 0.5, MIN_STD as f32];
        for row in 0..2 {
            let whitened: f32 =
                (0..3).map(|i| parameters[3 * row + i] * (plain[i] - whitening.mean[i]) / std[i]).sum::<f32>()
                    + parameters[6 + row];
            let answer: f32 = (0..3).map(|i| weight[3 * row + i] * plain[i]).sum::<f32>() + bias[row];
            assert!((whitened - answer).abs() < 1e-5, "{whitened} {answer}");
        }
        for (back, was) in whitening.unfold(&values).iter().zip(parameters) {
            assert!((back - was).abs() < 1e-6, "{back} {was}");
        }
    }

    #[test]
    fn a_scale_that_moves_leaves_the_controller_where_it_is() {
        let before = some();
        let after = Whitening { units: 2, count: 90, mean: vec![0.0, -2.5, 3.0], variance: vec![9.0, 0.0, 0.36] };
        let parameters = [0.5, -1.0, 0.01, 2.0, 0.25, -0.02, 0.1, -0.3];
        let mut carried = parameters.map(f64::from);
        after.carry(&before, &mut carried);
        for (found, expected) in after.fold(&carried.map(|value| value as f32)).iter().zip(before.fold(&parameters)) {
            assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{found} {expected}");
        }
        assert!((carried[0] - 0.75).abs() < 1e-12, "half a unit of 2 is three quarters of a unit of 3: {}", carried[0]);
    }

    #[test]
    fn rows_seen_later_count_as_much_as_rows_seen_first() {
        let rows: Vec<f32> = (0..60).map(|i| ((i * 37) % 23) as f32 / 7.0).collect();
        let spread = |rows: &[f32]| {
            let mut spread = Spread::new(3);
            add_rows(&mut spread, rows).unwrap();
            spread
        };
        let mut parts = Whitening::of(2, &spread(&rows[..15]));
        parts.add(&spread(&rows[15..48]));
        parts.add(&spread(&rows[48..]));
        let whole = Whitening::of(2, &spread(&rows));
        assert_eq!(parts.count, 20);
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close(&parts.mean, &whole.mean) && close(&parts.variance, &whole.variance), "{parts:?} {whole:?}");
    }
}
