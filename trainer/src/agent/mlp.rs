//! A multilayer perceptron on the host: linear layers with an activation between them.
//!
//! Every sum is taken in `f64` and in the order of its terms, so the result is the same bits on every machine.

use anyhow::Result;
use dreamstep_core::c::Activation;

/// Linear layers, and what is applied between two of them.
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    activation: Activation,
}

#[derive(Clone, Debug)]
struct Linear {
    /// `[K, N]`: transposed, so that a row is what one input adds to every output.
    weight: Vec<f64>,
    /// `[N]`
    bias: Vec<f64>,
}

impl Mlp {
    /// From weights `[N, K]`, row-major, and biases `[N]` of each layer in order.
    #[must_use]
    pub fn new<'w>(layers: impl IntoIterator<Item = (&'w [f32], &'w [f32])>, activation: Activation) -> Self {
        let layer = |(weight, bias): (&[f32], &[f32])| {
            let inputs = weight.len() / bias.len().max(1);
            let column = |k: usize| weight.iter().skip(k).step_by(inputs).map(|&w| f64::from(w));
            let weight = (0..inputs).flat_map(column).collect();
            Linear { weight, bias: bias.iter().map(|&b| f64::from(b)).collect() }
        };
        Self { layers: layers.into_iter().map(layer).collect(), activation }
    }

    /// Inputs `[K]` → outputs `[N]` of the last layer.
    ///
    /// # Errors
    /// The number of inputs is not the first layer's.
    pub fn forward(&self, inputs: impl IntoIterator<Item = f64>) -> Result<Vec<f64>> {
        let mut x: Vec<f64> = inputs.into_iter().collect();
        for (index, Linear { weight, bias }) in self.layers.iter().enumerate() {
            let (expected, found) = (weight.len() / bias.len().max(1), x.len());
            anyhow::ensure!(expected == found, "layer {index}: expected {expected} inputs, found {found}");
            if index > 0 {
                x.iter_mut().for_each(|x| *x = activate(self.activation, *x));
            }
            let mut sums = vec![0.0; bias.len()];
            for (row, x) in weight.chunks_exact(bias.len()).zip(&x) {
                sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += w * x);
            }
            sums.iter_mut().zip(bias).for_each(|(sum, b)| *sum += b);
            x = sums;
        }
        Ok(x)
    }
}

fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Tanh => x.tanh(),
        Activation::Relu => x.max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_layers_agree_with_the_sums_by_hand() {
        // y = W₂·f(W₁·x + b₁) + b₂, with W₁ [2, 3] and W₂ [1, 2].
        let (w1, b1) = ([1.0, -2.0, 0.5, 0.25, 1.0, -1.0], [0.5, -0.25]);
        let (w2, b2) = ([2.0, -3.0], [0.125]);
        let layers = [(&w1[..], &b1[..]), (&w2[..], &b2[..])];
        let x = [1.0, 0.5, -2.0];
        let hidden = [1.0 - 1.0 - 1.0 + 0.5, 0.25 + 0.5 + 2.0 - 0.25];
        let of = |activation| Mlp::new(layers, activation).forward(x).unwrap();
        assert_eq!(of(Activation::Relu), [-3.0 * hidden[1] + 0.125]);
        assert_eq!(of(Activation::Tanh), [2.0 * f64::tanh(hidden[0]) - 3.0 * f64::tanh(hidden[1]) + 0.125]);
        let error = Mlp::new(layers, Activation::Relu).forward([1.0]).unwrap_err().to_string();
        assert_eq!(error, "layer 0: expected 3 inputs, found 1");
    }
}
