//! C as one layer: `u = W·[z, h] + b` (Ha & Schmidhuber 2018, equation 1).

use crate::layers::{LayerSpec, Source};
use crate::layout::Rows;
use crate::names::{checkpoint, packed};

/// The layer from `inputs` inputs to `outputs` outputs `[U]`.
#[must_use]
pub const fn layer(inputs: usize, outputs: usize) -> LayerSpec {
    let source = Source::Whole { weight: checkpoint::FC_WEIGHT, bias: checkpoint::FC_BIAS };
    LayerSpec::new(packed::FC, Rows::Dense(outputs), inputs, source).near_the_action()
}
