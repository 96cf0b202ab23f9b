//! C as an MLP: one or two hidden layers with tanh or ReLU, then one that scores the action.

use super::MAX_HIDDEN;
use crate::layers::{LayerList, LayerSpec, Source};
use crate::layout::Rows;
use crate::names::{checkpoint, packed};
use crate::sizes::Widths;

/// The layers from `inputs` inputs to `outputs` outputs `[U]`: the hidden ones, then the last.
#[must_use]
pub const fn layers(inputs: usize, hidden: Widths<MAX_HIDDEN>, outputs: usize) -> LayerList {
    let (mut list, mut inputs, mut i) = (LayerList::NONE, inputs, 0);
    while i <= hidden.len() {
        let width = if i < hidden.len() { hidden.at(i) } else { outputs };
        let source = Source::Whole { weight: checkpoint::FC_WEIGHTS[i], bias: checkpoint::FC_BIASES[i] };
        list = list.and(LayerSpec::new(packed::FC_LAYERS[i], Rows::Dense(width), inputs, source).near_the_action());
        inputs = width;
        i += 1;
    }
    list
}
