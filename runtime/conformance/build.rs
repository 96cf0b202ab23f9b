//! Which agents and precisions does the suite run? This packs them on the building machine, since the target only reads them: each
//! file goes into `OUT_DIR`, and so does `files.rs`, the list that embeds them.

use dreamstep_core::dims::{ControllerInput, Dims, MemoryCell, Mixture};
use dreamstep_core::precision::Precision;
use dreamstep_core::schema::{Acting, Settings, Squash, Target};
use dreamstep_fixtures::synthetic;
use std::fmt::Write;
use std::path::PathBuf;

/// What an agent of the suite is: name, seed of its weights, sizes, and what makes its settings other than the usual.
type Recipe = (&'static str, u64, Dims, fn(Settings) -> Settings);

/// Agents with random weights. Odd sizes, so that every layer has a partly filled register; each mode once.
const AGENTS: &[Recipe] = &[
    (
        "small",
        1,
        Dims {
            obs: 19,
            action: 3,
            latent: 5,
            hidden: 21,
            mixtures: 3,
            mixture: Mixture::Joint,
            encoder: [33, 17],
            cell: MemoryCell::Lstm,
            input: ControllerInput::LatentHidden,
        },
        |settings| settings,
    ),
    (
        "smooth",
        2,
        Dims {
            obs: 5,
            action: 1,
            latent: 17,
            hidden: 7,
            mixtures: 2,
            mixture: Mixture::PerDimension,
            encoder: [9, 70],
            cell: MemoryCell::Lstm,
            input: ControllerInput::LatentHidden,
        },
        |settings| Settings { squash: Squash::Tanh, target: Target::Delta, acting: Acting::Sampled, ..settings },
    ),
    #[cfg(feature = "humanoid")]
    ("humanoid", 3, Dims::HUMANOID, |settings| settings),
    (
        "gated",
        4,
        Dims {
            obs: 11,
            action: 2,
            latent: 6,
            hidden: 37,
            mixtures: 2,
            mixture: Mixture::Joint,
            encoder: [18, 33],
            cell: MemoryCell::Gru,
            input: ControllerInput::LatentHidden,
        },
        |settings| Settings { acting: Acting::Sampled, ..settings },
    ),
    ("reads-z", 5, reading(ControllerInput::Latent), |settings| settings),
    ("reads-h", 6, reading(ControllerInput::Hidden), |settings| settings),
    ("reads-obs", 7, reading(ControllerInput::Observation), |settings| settings),
    ("reads-obs+h", 8, reading(ControllerInput::ObservationHidden), |settings| settings),
];

/// Small, with a controller that reads `input`.
const fn reading(input: ControllerInput) -> Dims {
    Dims {
        obs: 13,
        action: 2,
        latent: 6,
        hidden: 9,
        mixtures: 2,
        mixture: Mixture::Joint,
        encoder: [7, 5],
        cell: MemoryCell::Lstm,
        input,
    }
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    // `Dims` print as the expression that makes them, once `Mixture`, `MemoryCell` and `ControllerInput` have their names.
    let mut list = String::from("&[\n");
    for (agent, seed, dims, settings) in AGENTS {
        for precision in Precision::ALL {
            let settings = settings(Settings { precision, ..synthetic::settings(dims) });
            let precision = precision.name();
            let name = format!("{agent}.{precision}.safetensors");
            std::fs::write(out.join(&name), &*synthetic::agent_with(&settings, *seed)).expect("OUT_DIR is writable");
            writeln!(
                list,
                "File {{ agent: {agent:?}, precision: {precision:?}, dims: {dims:?}, bytes: embedded!({name:?}) }},"
            )
            .expect("a string takes any text");
        }
    }
    let narrow = synthetic::in_precision(dreamstep_fixtures::HUMANOID, Precision::I8);
    std::fs::write(out.join("shipped.i8.safetensors"), &*narrow).expect("OUT_DIR is writable");
    std::fs::write(
        out.join("files.rs"),
        list.replace("mixture: ", "mixture: Mixture::")
            .replace("cell: ", "cell: MemoryCell::")
            .replace("input: ", "input: ControllerInput::")
            + "]",
    )
    .expect("OUT_DIR is writable");
}
