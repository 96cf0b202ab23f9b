//! The suite's agents: what is packed when the suite is built, and what the suite runs.

use dreamstep_core::c::ControllerInput;
use dreamstep_core::dims::Dims;
use dreamstep_core::m::{MemoryCell, Mixture};
use dreamstep_core::schema::{Acting, Settings, Squash, Target};

/// What an agent of the suite is: name, seed of its weights, sizes, and what makes its settings other than the usual.
pub(crate) type Recipe = (&'static str, u64, Dims, fn(&mut Settings));

/// Agents with random weights. Odd sizes, so that every layer has a partly filled register; each mode once.
pub(crate) const AGENTS: &[Recipe] = &[
    ("small", 1, Dims::vector(19, 3, &[33, 17], 5, 21, 3), |_| {}),
    ("smooth", 2, Dims::vector(5, 1, &[9, 70], 17, 7, 2).with_mixture(Mixture::PerDimension), |settings| {
        (settings.squash, settings.target, settings.acting) = (Squash::Tanh, Target::Delta, Acting::Sampled)
    }),
    #[cfg(feature = "humanoid")]
    ("humanoid", 3, Dims::HUMANOID, |_| {}),
    ("gated", 4, Dims::vector(11, 2, &[18, 33], 6, 37, 2).with_cell(MemoryCell::Gru), |settings| {
        settings.acting = Acting::Sampled
    }),
    ("reads-z", 5, READER.with_input(ControllerInput::Latent), |_| {}),
    ("reads-h", 6, READER.with_input(ControllerInput::Hidden), |_| {}),
    ("reads-obs", 7, READER.with_input(ControllerInput::Observation), |_| {}),
    ("reads-obs+h", 8, READER.with_input(ControllerInput::ObservationHidden), |_| {}),
];

/// Small, for controllers that read one thing or another.
const READER: Dims = Dims::vector(13, 2, &[7, 5], 6, 9, 2);
