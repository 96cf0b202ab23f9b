//! C: what makes an action of what is seen and remembered. What it reads and what it is are separate choices.
//!
//! | kind | layers |
//! |---|---|
//! | linear | [`linear`] |
//! | MLP | [`mlp`] |

pub mod linear;
pub mod mlp;

use crate::error::LoadError;
use crate::layers::LayerList;
use crate::metadata::{one_of, widths};
use crate::names::metadata as key;
use crate::reader::File;
use crate::sizes::Widths;

/// What C reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControllerInput {
    /// `[z, h]`: the latent vector and what M remembers (Ha & Schmidhuber 2018, equation 1).
    LatentHidden,
    /// `z` alone: V without M.
    Latent,
    /// `h` alone: what M remembers of the steps before, not the newest observation.
    Hidden,
    /// `x` alone: the whitened and clipped observation that V sees. It needs neither V nor M: they are left out, unless a file keeps them to
    /// tell how surprised M is.
    Observation,
    /// `[x, h]`: M without V's bottleneck on the newest observation.
    ObservationHidden,
}

const INPUTS: [(&str, ControllerInput); 5] = [
    (ControllerInput::LatentHidden.name(), ControllerInput::LatentHidden),
    (ControllerInput::Latent.name(), ControllerInput::Latent),
    (ControllerInput::Hidden.name(), ControllerInput::Hidden),
    (ControllerInput::Observation.name(), ControllerInput::Observation),
    (ControllerInput::ObservationHidden.name(), ControllerInput::ObservationHidden),
];

impl ControllerInput {
    /// All of them, the paper's first.
    pub const ALL: [Self; 5] = [Self::LatentHidden, Self::Latent, Self::Hidden, Self::Observation, Self::ObservationHidden];

    /// Its name in metadata and configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LatentHidden => "z+h",
            Self::Latent => "z",
            Self::Hidden => "h",
            Self::Observation => "obs",
            Self::ObservationHidden => "obs+h",
        }
    }

    /// Whether an observation is part of it. A dream has none.
    #[must_use]
    pub const fn has_observation(self) -> bool {
        matches!(self, Self::Observation | Self::ObservationHidden)
    }

    /// Whether z is part of it.
    #[must_use]
    pub const fn has_latent(self) -> bool {
        matches!(self, Self::LatentHidden | Self::Latent)
    }

    /// Whether h is part of it, so that an agent that acts must advance.
    #[must_use]
    pub const fn has_hidden(self) -> bool {
        matches!(self, Self::LatentHidden | Self::Hidden | Self::ObservationHidden)
    }
}

/// Most hidden layers of an MLP.
pub const MAX_HIDDEN: usize = 2;

/// What follows a hidden layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// Hyperbolic tangent.
    Tanh,
    /// `max(x, 0)`.
    Relu,
}

const ACTIVATIONS: [(&str, Activation); 2] =
    [(Activation::Tanh.name(), Activation::Tanh), (Activation::Relu.name(), Activation::Relu)];

impl Activation {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tanh, Self::Relu];

    /// Its name in metadata and configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tanh => "tanh",
            Self::Relu => "relu",
        }
    }
}

/// C's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ControllerKind {
    /// One layer (the paper's).
    Linear,
    /// An MLP of one or two hidden layers.
    Mlp {
        /// Their widths.
        hidden: Widths<MAX_HIDDEN>,
        /// What follows each of them.
        activation: Activation,
    },
}

/// C: what it reads, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Controller {
    /// What it reads.
    pub input: ControllerInput,
    /// What it is.
    pub kind: ControllerKind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Linear,
    Mlp,
}

const KINDS: [(&str, Kind); 2] = [("linear", Kind::Linear), ("mlp", Kind::Mlp)];

impl Controller {
    /// A linear controller.
    #[must_use]
    pub const fn linear(input: ControllerInput) -> Self {
        Self { input, kind: ControllerKind::Linear }
    }

    /// An MLP of one or two hidden layers.
    ///
    /// # Panics
    /// If there is no hidden layer, there are more than two, or one has width 0.
    #[must_use]
    pub const fn mlp(input: ControllerInput, hidden: &[usize], activation: Activation) -> Self {
        match Widths::new(hidden) {
            Some(hidden) if !hidden.is_empty() => Self { input, kind: ControllerKind::Mlp { hidden, activation } },
            _ => panic!("C: expected one or two hidden layers, none of width 0"),
        }
    }

    /// The same of another input.
    #[must_use]
    pub const fn with_input(self, input: ControllerInput) -> Self {
        Self { input, ..self }
    }

    /// Its kind's name in metadata.
    #[must_use]
    pub const fn kind_name(&self) -> &'static str {
        match self.kind {
            ControllerKind::Linear => "linear",
            ControllerKind::Mlp { .. } => "mlp",
        }
    }

    /// Its layers from `inputs` inputs to `outputs` outputs `[U]`, in order.
    #[must_use]
    pub const fn layers(&self, inputs: usize, outputs: usize) -> LayerList {
        match self.kind {
            ControllerKind::Linear => LayerList::NONE.and(linear::layer(inputs, outputs)),
            ControllerKind::Mlp { hidden, .. } => mlp::layers(inputs, hidden, outputs),
        }
    }

    pub(crate) fn read(file: &File<'_>) -> Result<Self, LoadError> {
        let input = one_of(file, key::CONTROLLER_INPUT, "z+h, z, h, obs or obs+h", &INPUTS)?;
        let kind = match one_of(file, key::C_KIND, "linear or mlp", &KINDS)? {
            Kind::Linear => ControllerKind::Linear,
            Kind::Mlp => ControllerKind::Mlp {
                hidden: widths(file, key::C_HIDDEN, "one or two widths from 1 to 65536, separated by a comma")?,
                activation: one_of(file, key::C_ACTIVATION, "tanh or relu", &ACTIVATIONS)?,
            },
        };
        Ok(Self { input, kind })
    }

    #[cfg(feature = "host")]
    pub(crate) fn write(&self, entries: &mut std::vec::Vec<(&'static str, std::string::String)>) {
        use std::string::ToString;
        entries.push((key::CONTROLLER_INPUT, self.input.name().to_string()));
        entries.push((key::C_KIND, self.kind_name().to_string()));
        match self.kind {
            ControllerKind::Linear => {}
            ControllerKind::Mlp { hidden, activation } => {
                entries.push((key::C_HIDDEN, crate::metadata::comma_separated(hidden.as_slice())));
                entries.push((key::C_ACTIVATION, activation.name().to_string()));
            }
        }
    }
}
