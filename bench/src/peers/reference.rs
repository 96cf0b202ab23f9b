//! What is the right answer? The step in f64, written down from its definition, layer by layer and in no kernel's order; every
//! contender's actions are held to it before its time counts.

use super::weights::{Layer, Weights};
use dreamstep_core::schema::Squash;

/// The agent and what it remembers.
#[derive(Clone, Debug)]
pub struct Reference<'w> {
    weights: &'w Weights,
    h: Vec<f64>, // [H]
    c: Vec<f64>, // [H]
}

impl<'w> Reference<'w> {
    /// At the start of an episode.
    #[must_use]
    pub fn new(weights: &'w Weights) -> Self {
        let zeros = vec![0.0; weights.dims.hidden_len()];
        Self { weights, h: zeros.clone(), c: zeros }
    }

    /// From an observation `[O]` to an action `[A]`; the state goes on by one tick.
    pub fn step(&mut self, observation: &[f32]) -> Vec<f64> {
        let Weights { obs_clip, squash, mean, inv_std, encoder, controller, rnn, action_mid, action_half, .. } =
            self.weights;
        let clip = f64::from(*obs_clip);
        let statistics = mean.iter().zip(inv_std);
        let white = observation
            .iter()
            .zip(statistics)
            .map(|(&x, (&mean, &inv_std))| ((f64::from(x) - f64::from(mean)) * f64::from(inv_std)).clamp(-clip, clip));
        let e1 = relu(affine(&encoder[0], &white.collect::<Vec<_>>())); // [E1]
        let e2 = relu(affine(&encoder[1], &e1)); // [E2]
        let z = affine(&encoder[2], &e2); // [Z]

        let mut u = affine(controller, &[&z[..], &self.h].concat()); // [A]
        for u in &mut u {
            *u = match squash {
                Squash::Clamp => u.clamp(-1.0, 1.0),
                Squash::Tanh => u.tanh(),
            };
        }

        let gates = affine(rnn, &[&u[..], &z, &self.h].concat()); // [4H]: i, f, g, o
        let hidden = self.h.len();
        for unit in 0..hidden {
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| gates[gate * hidden + unit]);
            self.c[unit] = sigmoid(f) * self.c[unit] + sigmoid(i) * g.tanh();
            self.h[unit] = sigmoid(o) * self.c[unit].tanh();
        }
        let map = action_mid.iter().zip(action_half);
        u.iter().zip(map).map(|(u, (&mid, &half))| f64::from(mid) + f64::from(half) * u).collect()
    }
}

fn affine(layer: &Layer, x: &[f64]) -> Vec<f64> {
    let row = |(row, &bias): (&[f32], &f32)| {
        f64::from(bias) + row.iter().zip(x).map(|(&weight, x)| f64::from(weight) * x).sum::<f64>()
    };
    layer.weight.chunks_exact(layer.inputs).zip(&layer.bias).map(row).collect()
}

fn relu(x: Vec<f64>) -> Vec<f64> {
    x.into_iter().map(|x| x.max(0.0)).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dreamstep_runtime::Dims;

    /// One unit everywhere, so that a step fits on a line of a notebook.
    #[test]
    fn a_step_worked_out_by_hand() {
        let layer = |weight: &[f32], bias: &[f32]| Layer {
            weight: weight.to_vec(),
            bias: bias.to_vec(),
            inputs: weight.len() / bias.len(),
        };
        let dims = Dims::vector(1, 1, &[1, 1], 1, 1, 5);
        let mut weights = Weights {
            dims,
            obs_clip: 2.0,
            squash: Squash::Clamp,
            mean: vec![1.0],
            inv_std: vec![0.5],
            encoder: [layer(&[2.0], &[1.0]), layer(&[0.5], &[0.0]), layer(&[-1.0], &[0.5])],
            controller: layer(&[0.5, 2.0], &[0.25]),
            rnn: layer(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, 0.0, 0.0], &[0.0; 4]),
            action_mid: vec![0.125],
            action_half: vec![0.5],
        };
        let mut reference = Reference::new(&weights);
        // White (2 − 1)/2 = 0.5 → 2 → 1 → z = −0.5; u = −0.25 + 0.25 = 0; g = tanh(0 + 0.5), the other gates 1/2.
        let action = reference.step(&[2.0]);
        assert!((action[0] - 0.125).abs() < 1e-12, "{action:?}");
        let c = 0.5 * 0.5_f64.tanh();
        assert!((reference.c[0] - c).abs() < 1e-12 && (reference.h[0] - 0.5 * c.tanh()).abs() < 1e-12);
        // White 49.5, clipped to 2 → 5 → 2.5 → z = −2; u = −1 + 2h + 0.25.
        let u = -0.75 + c.tanh();
        assert!((reference.step(&[100.0])[0] - (0.125 + 0.5 * u)).abs() < 1e-12);
        // The same far beyond the range: clamped, or squashed.
        weights.controller.bias[0] = 5.0;
        assert!((Reference::new(&weights).step(&[2.0])[0] - 0.625).abs() < 1e-12);
        weights.squash = Squash::Tanh;
        assert!((Reference::new(&weights).step(&[2.0])[0] - (0.125 + 0.5 * 4.75_f64.tanh())).abs() < 1e-12);
    }
}
