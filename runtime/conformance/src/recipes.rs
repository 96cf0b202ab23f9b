//! The suite's agents: what is packed when the suite is built, and what the suite runs.

use dreamstep_core::action::Action;
use dreamstep_core::c::{Activation, Controller, ControllerInput};
use dreamstep_core::dims::Dims;
use dreamstep_core::m::{Memory, MemoryCell, Mixture};
use dreamstep_core::obs::{Colour, Filter, Image};
use dreamstep_core::schema::{Acting, Normalizer, Settings, Squash, Target};
use dreamstep_core::v::{Convolution, Convolutions, Encoder};

/// What an agent of the suite is: name, seed of its weights, sizes and kinds, and what makes its settings other than the usual.
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
    // A kind each of V, M and action, beside the LSTM, the MLP of two hidden layers and the continuous actions of the others.
    ("identity", 9, READER.with_encoder(Encoder::Identity { latent: 6 }), |_| {}),
    ("shallow", 10, Dims::vector(13, 2, &[7], 6, 9, 2).with_input(ControllerInput::Latent), |_| {}),
    ("deep", 11, Dims::vector(13, 2, &[7, 18, 5, 33], 6, 9, 2), |settings| settings.acting = Acting::Sampled),
    ("forgets", 12, READER.with_memory(Memory::None).with_input(ControllerInput::Latent), |_| {}),
    ("chooses", 13, READER.with_action(Action::Discrete { choices: 19 }), |_| {}),
    (
        "controlled",
        15,
        READER.with_controller(Controller::mlp(ControllerInput::LatentHidden, &[18], Activation::Tanh)),
        |_| {},
    ),
    (
        "steered",
        16,
        READER.with_controller(Controller::mlp(ControllerInput::Latent, &[33, 5], Activation::Relu)),
        |settings| settings.squash = Squash::Tanh,
    ),
    ("unscaled", 14, READER.with_cell(MemoryCell::Gru), |settings| settings.normalizer = Normalizer::None),
    ("reads-z", 5, READER.with_input(ControllerInput::Latent), |_| {}),
    ("reads-h", 6, READER.with_input(ControllerInput::Hidden), |_| {}),
    ("reads-obs", 7, READER.with_input(ControllerInput::Observation), |_| {}),
    ("reads-obs+h", 8, READER.with_input(ControllerInput::ObservationHidden), |_| {}),
    (
        "sees",
        17,
        Dims::pictures(
            Image::plain([24, 20, 3]).cropped([1, 2, 22, 17]).resized([13, 15], Filter::Bilinear),
            2,
            chain(&[(18, 3, 2, 1), (5, 2, 1, 0), (40, 3, 1, 1)]),
            5,
            9,
            2,
        ),
        |settings| settings.acting = Acting::Sampled,
    ),
    (
        "sees-grey",
        18,
        Dims::pictures(
            Image::plain([16, 12, 3]).coloured(Colour::Grey).resized([11, 12], Filter::Area).inverted(),
            1,
            chain(&[(70, 5, 2, 2)]),
            6,
            9,
            2,
        )
        .with_memory(Memory::None)
        .with_input(ControllerInput::Latent),
        |_| {},
    ),
];

/// Ha & Schmidhuber's on pictures: in i8, which is what a microcontroller runs.
pub(crate) const PAPER: Dims = Dims::pictures(Image::plain([64, 64, 3]), 3, Convolutions::PAPER, 32, 256, 5);

/// A chain of `(channels, kernel, stride, padding)`.
const fn chain<const N: usize>(all: &[(usize, usize, usize, usize); N]) -> Convolutions {
    let (mut chain, mut i) = ([Convolution::new(1, 1, 1); N], 0);
    while i < N {
        let (channels, kernel, stride, padding) = all[i];
        chain[i] = Convolution { channels, kernel, stride, padding };
        i += 1;
    }
    match Convolutions::new(&chain) {
        Some(chain) => chain,
        None => panic!("within the limits"),
    }
}

/// Small, for controllers that read one thing or another.
const READER: Dims = Dims::vector(13, 2, &[7, 5], 6, 9, 2);
