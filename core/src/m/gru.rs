//! M as a GRU: two layers of three gates, over `[u, z]` and over h, which the reset gate keeps apart.

use crate::layers::{LayerSpec, Source};
use crate::layout::Rows;
use crate::names::{checkpoint, packed};

/// The gates of `hidden` units: r, z, n over `unit` action values and `latent` latents, then over h.
#[must_use]
pub const fn gates(unit: usize, latent: usize, hidden: usize) -> [LayerSpec; 2] {
    let input = Source::Whole { weight: checkpoint::RNN_WEIGHT_IH, bias: checkpoint::RNN_BIAS_IH };
    let recurrent = Source::Whole { weight: checkpoint::RNN_WEIGHT_HH, bias: checkpoint::RNN_BIAS_HH };
    [
        LayerSpec::new(packed::RNN_IH, Rows::Gru(hidden), unit + latent, input),
        LayerSpec::new(packed::RNN_HH, Rows::Gru(hidden), hidden, recurrent),
    ]
}
