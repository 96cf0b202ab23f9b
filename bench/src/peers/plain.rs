//! What does safe Rust without a library cost? The step in the two ways in which one writes a matrix times a vector: a dot product
//! for each row, as it comes to mind, and column by column, which lets the compiler use vectors. No intrinsics, no unsafe; the
//! instructions are those of the build's target, for x86-64 without further flags SSE2.

use super::Step;
use super::weights::{Layer, Weights};
use anyhow::Result;
use dreamstep_core::schema::Squash;

/// How a matrix is multiplied by a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A dot product for each row: `iter().zip().map().sum()`, which floats allow no compiler to vectorise.
    Rows,
    /// A multiple of a column for each input, over the transposed matrix.
    Columns,
}

/// The agent in vectors of its own.
#[derive(Clone, Debug)]
pub struct Plain<'w> {
    weights: &'w Weights,
    layers: [Matrix; 5], // encoder, controller, rnn
    x: Vec<f32>,         // [O]
    e1: Vec<f32>,        // [E1]
    e2: Vec<f32>,        // [E2]
    azh: Vec<f32>,       // [A+Z+H] the recurrent h lives here
    gates: Vec<f32>,     // [4H]
    c: Vec<f32>,         // [H]
}

#[derive(Clone, Debug)]
struct Matrix {
    order: Order,
    weight: Vec<f32>, // [N, K], or [K, N] by columns
    bias: Vec<f32>,   // [N]
}

impl Matrix {
    fn new(layer: &Layer, order: Order) -> Self {
        let weight = match order {
            Order::Rows => layer.weight.clone(),
            Order::Columns => layer.transposed(),
        };
        Self { order, weight, bias: layer.bias.clone() }
    }

    fn times(&self, x: &[f32], out: &mut [f32]) {
        match self.order {
            Order::Rows => {
                let rows = self.weight.chunks_exact(x.len()).zip(&self.bias);
                for (out, (row, bias)) in out.iter_mut().zip(rows) {
                    *out = bias + row.iter().zip(x).map(|(weight, x)| weight * x).sum::<f32>();
                }
            }
            Order::Columns => {
                out.copy_from_slice(&self.bias);
                // Four columns at a time: the sums are loaded and stored a quarter as often.
                let (blocks, rest) = x.as_chunks::<4>();
                let n = out.len();
                let mut columns = self.weight.chunks_exact(4 * n);
                for (x, columns) in blocks.iter().zip(&mut columns) {
                    let (a, bcd) = columns.split_at(n);
                    let (b, cd) = bcd.split_at(n);
                    let (c, d) = cd.split_at(n);
                    for ((((out, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                        *out += (a * x[0] + b * x[1]) + (c * x[2] + d * x[3]);
                    }
                }
                for (x, column) in rest.iter().zip(columns.remainder().chunks_exact(n)) {
                    out.iter_mut().zip(column).for_each(|(out, weight)| *out += weight * x);
                }
            }
        }
    }
}

impl<'w> Plain<'w> {
    /// At the start of an episode.
    #[must_use]
    pub fn new(weights: &'w Weights, order: Order) -> Self {
        let Weights { dims, encoder: [l0, l1, l2], controller, rnn, .. } = weights;
        let zeros = |n| vec![0.0; n];
        Self {
            weights,
            layers: [l0, l1, l2, controller, rnn].map(|layer| Matrix::new(layer, order)),
            x: zeros(dims.obs_len()),
            e1: zeros(l0.bias.len()),
            e2: zeros(l1.bias.len()),
            azh: zeros(dims.memory_inputs()),
            gates: zeros(4 * dims.hidden_len()),
            c: zeros(dims.hidden_len()),
        }
    }
}

impl Step for Plain<'_> {
    fn reset(&mut self) -> Result<()> {
        self.azh.fill(0.0);
        self.c.fill(0.0);
        Ok(())
    }

    fn step(&mut self, observation: &[f32], action: &mut [f32]) -> Result<()> {
        let Weights { dims, obs_clip: clip, squash, mean, inv_std, action_mid, action_half, .. } = self.weights;
        let (a, z, hidden) = (dims.action_len(), dims.latent_len(), dims.hidden_len());
        let [encoder_0, encoder_2, encoder_mean, controller, rnn] = &self.layers;
        let statistics = mean.iter().zip(inv_std);
        for (white, (x, (mean, inv_std))) in self.x.iter_mut().zip(observation.iter().zip(statistics)) {
            *white = ((x - mean) * inv_std).clamp(-clip, *clip);
        }
        encoder_0.times(&self.x, &mut self.e1);
        self.e1.iter_mut().for_each(|x| *x = x.max(0.0));
        encoder_2.times(&self.e1, &mut self.e2);
        self.e2.iter_mut().for_each(|x| *x = x.max(0.0));
        encoder_mean.times(&self.e2, &mut self.azh[a..a + z]);

        let (u, zh) = self.azh.split_at_mut(a);
        controller.times(zh, u);
        for (u, (action, (mid, half))) in u.iter_mut().zip(action.iter_mut().zip(action_mid.iter().zip(action_half))) {
            *u = match squash {
                Squash::Clamp => u.clamp(-1.0, 1.0),
                Squash::Tanh => u.tanh(),
            };
            *action = mid + half * *u;
        }

        rnn.times(&self.azh, &mut self.gates);
        let (i, fgo) = self.gates.split_at(hidden);
        let (f, go) = fgo.split_at(hidden);
        let (g, o) = go.split_at(hidden);
        let gates = i.iter().zip(f).zip(g.iter().zip(o));
        for ((h, c), ((i, f), (g, o))) in self.azh[a + z..].iter_mut().zip(&mut self.c).zip(gates) {
            *c = sigmoid(*f) * *c + sigmoid(*i) * g.tanh();
            *h = sigmoid(*o) * c.tanh();
        }
        Ok(())
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
