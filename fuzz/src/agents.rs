//! Which sound agents do the targets start from? Sizes of one panel, several and padded ones, in every precision, with
//! either memory and mixture, every input of the controller, acting on the latent's mean or on a draw. Each is built once.

use crate::common::agent_with_selftest;
use crate::pieces::Pieces;
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::schema::{Acting, Settings};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Agent, Backend, MemoryCell, Dims, ControllerInput, Mixture, Model, Precision, state_len};
use std::sync::OnceLock;

const DIMS: [Dims; 10] = [
    Dims {
        obs: 3,
        action: 1,
        latent: 2,
        hidden: 2,
        mixtures: 1,
        mixture: Mixture::Joint,
        encoder: [2, 2],
        cell: MemoryCell::Lstm,
        input: ControllerInput::LatentHidden,
    },
    Dims {
        obs: 5,
        action: 2,
        latent: 3,
        hidden: 7,
        mixtures: 2,
        mixture: Mixture::Joint,
        encoder: [9, 4],
        cell: MemoryCell::Lstm,
        input: ControllerInput::LatentHidden,
    },
    Dims {
        obs: 17,
        action: 17,
        latent: 16,
        hidden: 18,
        mixtures: 4,
        mixture: Mixture::Joint,
        encoder: [65, 33],
        cell: MemoryCell::Lstm,
        input: ControllerInput::LatentHidden,
    },
    Dims {
        obs: 6,
        action: 3,
        latent: 18,
        hidden: 7,
        mixtures: 3,
        mixture: Mixture::PerDimension,
        encoder: [17, 5],
        cell: MemoryCell::Lstm,
        input: ControllerInput::LatentHidden,
    },
    Dims {
        obs: 3,
        action: 1,
        latent: 2,
        hidden: 2,
        mixtures: 1,
        mixture: Mixture::Joint,
        encoder: [2, 2],
        cell: MemoryCell::Gru,
        input: ControllerInput::LatentHidden,
    },
    Dims {
        obs: 5,
        action: 2,
        latent: 3,
        hidden: 18,
        mixtures: 2,
        mixture: Mixture::Joint,
        encoder: [9, 4],
        cell: MemoryCell::Gru,
        input: ControllerInput::LatentHidden,
    },
    Dims { input: ControllerInput::Latent, ..SMALL },
    Dims { input: ControllerInput::Hidden, ..SMALL },
    Dims { input: ControllerInput::Observation, ..SMALL },
    Dims { input: ControllerInput::ObservationHidden, ..SMALL },
];

/// For controllers that read something else than `[z, h]`.
const SMALL: Dims = Dims {
    obs: 5,
    action: 2,
    latent: 3,
    hidden: 7,
    mixtures: 2,
    mixture: Mixture::Joint,
    encoder: [9, 4],
    cell: MemoryCell::Lstm,
    input: ControllerInput::Latent,
};

/// Which of [`DIMS`], and how. Of each sizes at least two: agents are swapped, and take over each other's states.
const AGENTS: [(usize, Precision, Acting); 24] = [
    (0, Precision::F32, Acting::Mean),
    (1, Precision::F32, Acting::Mean),
    (2, Precision::F32, Acting::Mean),
    (1, Precision::F16, Acting::Mean),
    (1, Precision::Bf16, Acting::Mean),
    (1, Precision::I8, Acting::Mean),
    (2, Precision::F16, Acting::Sampled),
    (2, Precision::Bf16, Acting::Mean),
    (2, Precision::I8, Acting::Sampled),
    (3, Precision::F32, Acting::Sampled),
    (3, Precision::I8, Acting::Mean),
    (0, Precision::I8, Acting::Sampled),
    (4, Precision::F32, Acting::Mean),
    (5, Precision::F32, Acting::Sampled),
    (4, Precision::I8, Acting::Mean),
    (5, Precision::I8, Acting::Sampled),
    (6, Precision::F32, Acting::Mean),
    (6, Precision::I8, Acting::Sampled),
    (7, Precision::F32, Acting::Sampled),
    (7, Precision::I8, Acting::Mean),
    (8, Precision::F32, Acting::Mean),
    (8, Precision::Bf16, Acting::Mean),
    (9, Precision::F32, Acting::Sampled),
    (9, Precision::F16, Acting::Mean),
];

/// Packed agents with self-test vectors, taken apart.
pub(crate) fn sound() -> &'static [Pieces] {
    static SOUND: OnceLock<Vec<Pieces>> = OnceLock::new();
    SOUND.get_or_init(|| {
        let agent = |(dims, precision, acting): (usize, Precision, Acting)| {
            let settings = Settings { precision, acting, ..synthetic::settings(&DIMS[dims]) };
            Pieces::of(&agent_with_selftest(&settings, &synthetic::tensors(&DIMS[dims], 1)))
        };
        AGENTS.map(agent).into()
    })
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
            pieces.metadata.insert("action.squash".to_string(), squash.to_string());
            pieces.metadata.insert("gmm.target".to_string(), target.to_string());
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
