//! Which agents and precisions does the suite run? This packs them on the building machine, since the target only reads them: each
//! file goes into `OUT_DIR`, and so does `files.rs`, the list that embeds them.

use dreamstep_core::dims::Dims;
use dreamstep_core::schema::{Settings, Squash, Target};
use dreamstep_fixtures::synthetic;
use std::fmt::Write;
use std::path::PathBuf;

/// Agents with random weights. Odd sizes, so that every layer has a partly filled register; each mode once.
const AGENTS: &[(&str, Dims, Squash, Target)] = &[
    (
        "small",
        Dims { obs: 19, action: 3, latent: 5, hidden: 21, mixtures: 3, encoder: [33, 17] },
        Squash::Clamp,
        Target::Next,
    ),
    (
        "smooth",
        Dims { obs: 5, action: 1, latent: 17, hidden: 7, mixtures: 2, encoder: [9, 70] },
        Squash::Tanh,
        Target::Delta,
    ),
    #[cfg(feature = "humanoid")]
    ("humanoid", Dims::HUMANOID, Squash::Clamp, Target::Next),
];

/// The weights' precisions, as the table names them.
const PRECISIONS: &[&str] = &["f32"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let mut list = String::from("&[\n");
    for (seed, &(agent, dims, squash, target)) in (1..).zip(AGENTS) {
        for precision in PRECISIONS {
            let settings = Settings { squash, target, ..synthetic::settings(&dims) };
            let name = format!("{agent}.{precision}.safetensors");
            std::fs::write(out.join(&name), &*synthetic::agent_with(&settings, seed)).expect("OUT_DIR is writable");
            writeln!(
                list,
                "File {{ agent: {agent:?}, precision: {precision:?}, dims: {dims:?}, bytes: embedded!({name:?}) }},"
            )
            .expect("a string takes any text");
        }
    }
    std::fs::write(out.join("files.rs"), list + "]").expect("OUT_DIR is writable");
}
