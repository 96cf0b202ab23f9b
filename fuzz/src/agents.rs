//! The sound agents that the targets start from: sizes of one panel, several and padded ones, in every precision, with every kind of V, M, C
//! and action, every input of the controller, whitened observations or plain ones, acting on the latent's mean or on a draw. Each is
//! built once.

use crate::common::agent_with_selftest;
use crate::pieces::Pieces;
use dreamstep_core::obs::{Colour, Filter, Image};
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::v::{Convolution, Convolutions};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Acting, Action, Activation, Agent, Backend, Controller, ControllerInput, Dims, Encoder, Memory, MemoryCell, Mixture,
    Model, Normalizer, Precision, Settings, state_len,
};
use std::sync::OnceLock;

/// For what differs in one part only.
const SMALL: Dims = Dims::vector(5, 2, &[9, 4], 3, 7, 2);
const TINY: Dims = Dims::vector(3, 1, &[2, 2], 2, 2, 1);
const IDENTITY: Encoder = Encoder::Identity { latent: 3 };
const CHOICES: Action = Action::Discrete { choices: 4 };

/// Inputs and findings name an agent by its number: a new one goes to the end.
const DIMS: [Dims; 25] = [
    TINY,
    SMALL,
    Dims::vector(17, 17, &[65, 33], 16, 18, 4),
    Dims::vector(6, 3, &[17, 5], 18, 7, 3).with_mixture(Mixture::PerDimension),
    TINY.with_cell(MemoryCell::Gru),
    SMALL.with_cell(MemoryCell::Gru).with_hidden(18),
    SMALL.with_input(ControllerInput::Latent),
    SMALL.with_input(ControllerInput::Hidden),
    SMALL.with_input(ControllerInput::Observation),
    SMALL.with_input(ControllerInput::ObservationHidden),
    Dims::vector(5, 2, &[18], 3, 7, 2),
    Dims::vector(5, 2, &[9, 4, 17], 3, 7, 2).with_cell(MemoryCell::Gru),
    Dims::vector(5, 2, &[3, 18, 2, 9], 3, 7, 2).with_action(CHOICES),
    SMALL.with_encoder(IDENTITY),
    SMALL.with_encoder(Encoder::Identity { latent: 5 }).with_cell(MemoryCell::Gru).with_action(CHOICES),
    SMALL.with_memory(Memory::None).with_input(ControllerInput::Latent),
    SMALL.with_encoder(IDENTITY).with_memory(Memory::None).with_input(ControllerInput::Latent).with_action(CHOICES),
    SMALL.with_input(ControllerInput::ObservationHidden).with_encoder(IDENTITY).with_action(CHOICES),
    Dims::reactive(19, 2).with_action(Action::Discrete { choices: 18 }),
    TINY.with_action(Action::Discrete { choices: 1 }),
    SMALL.with_controller(Controller::mlp(ControllerInput::LatentHidden, &[18], Activation::Tanh)),
    SMALL
        .with_cell(MemoryCell::Gru)
        .with_controller(Controller::mlp(ControllerInput::Hidden, &[4, 9], Activation::Relu))
        .with_action(CHOICES),
    Dims::reactive(5, 2).with_controller(Controller::mlp(ControllerInput::Observation, &[9, 4], Activation::Tanh)),
    Dims::pictures(
        Image::plain([6, 5, 3]).resized([4, 4], Filter::Bilinear),
        2,
        chain(&[convolution(2, 2, 2, 1), convolution(3, 2, 1, 0)]),
        3,
        7,
        2,
    ),
    Dims::pictures(
        Image::plain([7, 6, 3]).cropped([1, 0, 6, 6]).coloured(Colour::Grey).inverted(),
        1,
        chain(&[convolution(17, 3, 2, 1), convolution(2, 2, 1, 1), convolution(5, 3, 1, 0)]),
        2,
        2,
        1,
    )
    .with_cell(MemoryCell::Gru)
    .with_action(CHOICES),
];

const fn convolution(channels: usize, kernel: usize, stride: usize, padding: usize) -> Convolution {
    Convolution { channels, kernel, stride, padding }
}

const fn chain(convolutions: &[Convolution]) -> Convolutions {
    match Convolutions::new(convolutions) {
        Some(chain) => chain,
        None => panic!("convolutions within the limits"),
    }
}

/// What of its settings is other than the usual.
#[derive(Clone, Copy)]
enum Mode {
    /// Nothing.
    Mean,
    /// The latent that acts is drawn.
    Sampled,
    /// The observation is not whitened.
    Plain,
}

/// Which of [`DIMS`], and how. Of each sizes at least two: agents are swapped, and take over each other's states.
const AGENTS: [(usize, Precision, Mode); 57] = [
    (0, Precision::F32, Mode::Mean),
    (1, Precision::F32, Mode::Mean),
    (2, Precision::F32, Mode::Mean),
    (1, Precision::F16, Mode::Mean),
    (1, Precision::Bf16, Mode::Mean),
    (1, Precision::I8, Mode::Mean),
    (2, Precision::F16, Mode::Sampled),
    (2, Precision::Bf16, Mode::Mean),
    (2, Precision::I8, Mode::Sampled),
    (3, Precision::F32, Mode::Sampled),
    (3, Precision::I8, Mode::Mean),
    (0, Precision::I8, Mode::Sampled),
    (4, Precision::F32, Mode::Mean),
    (5, Precision::F32, Mode::Sampled),
    (4, Precision::I8, Mode::Mean),
    (5, Precision::I8, Mode::Sampled),
    (6, Precision::F32, Mode::Mean),
    (6, Precision::I8, Mode::Sampled),
    (7, Precision::F32, Mode::Sampled),
    (7, Precision::I8, Mode::Mean),
    (8, Precision::F32, Mode::Mean),
    (8, Precision::Bf16, Mode::Mean),
    (9, Precision::F32, Mode::Sampled),
    (9, Precision::F16, Mode::Mean),
    (10, Precision::F32, Mode::Sampled),
    (10, Precision::I8, Mode::Mean),
    (11, Precision::F32, Mode::Mean),
    (11, Precision::Bf16, Mode::Sampled),
    (12, Precision::F32, Mode::Mean),
    (12, Precision::I8, Mode::Sampled),
    (13, Precision::F32, Mode::Mean),
    (13, Precision::F16, Mode::Plain),
    (13, Precision::I8, Mode::Mean),
    (14, Precision::F32, Mode::Plain),
    (14, Precision::I8, Mode::Mean),
    (15, Precision::F32, Mode::Sampled),
    (15, Precision::I8, Mode::Mean),
    (16, Precision::F32, Mode::Mean),
    (16, Precision::Bf16, Mode::Plain),
    (17, Precision::F32, Mode::Mean),
    (17, Precision::I8, Mode::Plain),
    (18, Precision::F32, Mode::Plain),
    (18, Precision::F16, Mode::Mean),
    (19, Precision::F32, Mode::Sampled),
    (19, Precision::I8, Mode::Mean),
    (20, Precision::F32, Mode::Mean),
    (20, Precision::F16, Mode::Sampled),
    (20, Precision::I8, Mode::Mean),
    (21, Precision::F32, Mode::Sampled),
    (21, Precision::I8, Mode::Mean),
    (22, Precision::F32, Mode::Mean),
    (22, Precision::I8, Mode::Plain),
    (23, Precision::F32, Mode::Mean),
    (23, Precision::F16, Mode::Sampled),
    (23, Precision::I8, Mode::Mean),
    (24, Precision::Bf16, Mode::Mean),
    (24, Precision::I8, Mode::Sampled),
];

/// Packed agents with self-test vectors, taken apart.
pub(crate) fn sound() -> &'static [Pieces] {
    static SOUND: OnceLock<Vec<Pieces>> = OnceLock::new();
    SOUND.get_or_init(|| {
        let agent = |(dims, precision, mode): (usize, Precision, Mode)| {
            let settings = synthetic::with(synthetic::settings(&DIMS[dims]), |s| of_mode(s, precision, mode));
            Pieces::of(&agent_with_selftest(&settings, &synthetic::tensors(&DIMS[dims], 1)))
        };
        AGENTS.map(agent).into()
    })
}

fn of_mode(settings: &mut Settings, precision: Precision, mode: Mode) {
    settings.precision = precision;
    match mode {
        Mode::Mean => (settings.period_s, settings.surprise_limit) = (Some(0.015), Some(2.5)),
        Mode::Sampled => settings.acting = Acting::Sampled,
        Mode::Plain => settings.normalizer = Normalizer::None,
    }
}

/// Every sound agent with each squash and target, on the portable back end and on the widest. Loaded once: for targets that
/// are about what comes after.
pub(crate) fn models() -> &'static [[Model<'static>; 2]] {
    static FILES: OnceLock<Vec<AlignedBytes>> = OnceLock::new();
    static MODELS: OnceLock<Vec<[Model<'static>; 2]>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let modes = [("clamp", "z"), ("tanh", "delta")];
        let variants = sound().iter().flat_map(|pieces| modes.map(|mode| (pieces, mode)));
        let file = |(pieces, (squash, target)): (&Pieces, (&str, &str))| {
            let mut pieces = pieces.clone();
            // Where there is such a choice: a discrete action is not squashed, and without M nothing is predicted.
            pieces.metadata.entry("action.squash".to_string()).and_modify(|value| *value = squash.to_string());
            pieces.metadata.entry("gmm.target".to_string()).and_modify(|value| *value = target.to_string());
            AlignedBytes::new(&pieces.bytes(0))
        };
        variants.map(file).collect()
    });
    MODELS.get_or_init(|| {
        let load = |file: &'static AlignedBytes, backend| Model::load_with(file, backend).expect("a sound agent loads");
        files.iter().map(|file| [Backend::Portable, Backend::detect()].map(|backend| load(file, backend))).collect()
    })
}

/// All that an agent remembers.
pub(crate) fn saved(agent: &Agent<'_, '_>) -> Vec<u8> {
    let mut state = vec![0; state_len(agent.model().dims())];
    agent.save_state(&mut state).expect("the right length");
    state
}
