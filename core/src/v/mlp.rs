//! V as an MLP: one to four hidden layers with ReLU, then two heads, the latent Gaussian's mean and its log-variance.
//!
//! ```text
//! x [O] ─layer, ReLU→ [E1] ─layer, ReLU→ … ─layer→ mean [Z]
//!                                            └─layer→ log-variance [Z]      (optional: where the latent that acts is sampled)
//! ```
//!
//! In a checkpoint the two heads are the halves of one layer, mean rows first.

use super::MAX_HIDDEN;
use crate::layers::{LayerList, LayerSpec, Source};
use crate::layout::Rows;
use crate::names::{checkpoint, packed};
use crate::sizes::Widths;

/// Its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlpLayers {
    /// The hidden layers, in order.
    pub hidden: LayerList,
    /// The last hidden layer → mean.
    pub mean: LayerSpec,
    /// The last hidden layer → log-variance; optional.
    pub log_var: LayerSpec,
}

impl MlpLayers {
    /// Every layer, in the file's order.
    #[must_use]
    pub const fn all(&self) -> LayerList {
        self.hidden.and(self.mean).and(self.log_var)
    }
}

/// The layers of an MLP of `inputs` inputs.
#[must_use]
pub const fn layers(inputs: usize, hidden: Widths<MAX_HIDDEN>, latent: usize) -> MlpLayers {
    let (mut list, mut inputs, mut i) = (LayerList::NONE, inputs, 0);
    while i < hidden.len() {
        let source = Source::Whole { weight: checkpoint::ENCODER_WEIGHT[i], bias: checkpoint::ENCODER_BIAS[i] };
        list = list.and(LayerSpec::new(packed::ENCODER_HIDDEN[i], Rows::Dense(hidden.at(i)), inputs, source));
        inputs = hidden.at(i);
        i += 1;
    }
    let (weight, bias) = (checkpoint::ENCODER_WEIGHT[i], checkpoint::ENCODER_BIAS[i]);
    let mean = Source::Half { weight, bias, second: false };
    let log_var = Source::Half { weight, bias, second: true };
    MlpLayers {
        hidden: list,
        mean: LayerSpec::new(packed::ENCODER_MEAN, Rows::Dense(latent), inputs, mean).near_the_action(),
        log_var: LayerSpec::new(packed::ENCODER_LOG_VAR, Rows::Dense(latent), inputs, log_var).near_the_action().optional(),
    }
}
