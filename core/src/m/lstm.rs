//! M as an LSTM: one layer of four gates over `[u, z, h]`. Its bias is the rounded sum of PyTorch's two.

use crate::layers::{LayerSpec, Source};
use crate::layout::Rows;
use crate::names::packed;

/// The gates of `hidden` units: i, f, g, o over `unit` action values, `latent` latents and h.
#[must_use]
pub const fn gates(unit: usize, latent: usize, hidden: usize) -> LayerSpec {
    let inputs = unit + latent;
    LayerSpec::new(packed::RNN, Rows::Lstm(hidden), inputs + hidden, Source::SideBySide { inputs })
}
