//! Which agents and precisions does the suite run? This packs them on the building machine, since the target only reads them: each
//! file goes into `OUT_DIR`, and so does `files.rs`, the list that embeds them.

use dreamstep_core::dims::{Dims, Mixture};
use dreamstep_core::precision::Precision;
use dreamstep_core::schema::{Acting, Settings, Squash, Target};
use dreamstep_fixtures::synthetic;
use std::fmt::Write;
use std::path::PathBuf;

/// What an agent of the suite is: name, sizes, and what makes its settings other than the usual.
type Recipe = (&'static str, Dims, fn(Settings) -> Settings);

/// Agents with random weights. Odd sizes, so that every layer has a partly filled register; each mode once.
const AGENTS: &[Recipe] = &[
    (
        "small",
        Dims { obs: 19, action: 3, latent: 5, hidden: 21, mixtures: 3, mixture: Mixture::Joint, encoder: [33, 17] },
        |settings| settings,
    ),
    (
        "smooth",
        Dims { obs: 5, action: 1, latent: 17, hidden: 7, mixtures: 2, mixture: Mixture::PerDimension, encoder: [9, 70] },
        |settings| Settings { squash: Squash::Tanh, target: Target::Delta, acting: Acting::Sampled, ..settings },
    ),
    #[cfg(feature = "humanoid")]
    ("humanoid", Dims::HUMANOID, |settings| settings),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    // `Dims` print as the expression that makes them, once `Mixture` has its name.
    let mut list = String::from("&[\n");
    for (seed, (agent, dims, settings)) in (1..).zip(AGENTS) {
        for precision in Precision::ALL {
            let settings = settings(Settings { precision, ..synthetic::settings(dims) });
            let precision = precision.name();
            let name = format!("{agent}.{precision}.safetensors");
            std::fs::write(out.join(&name), &*synthetic::agent_with(&settings, seed)).expect("OUT_DIR is writable");
            writeln!(
                list,
                "File {{ agent: {agent:?}, precision: {precision:?}, dims: {dims:?}, bytes: embedded!({name:?}) }},"
            )
            .expect("a string takes any text");
        }
    }
    let narrow = synthetic::in_precision(dreamstep_fixtures::HUMANOID, Precision::I8);
    std::fs::write(out.join("shipped.i8.safetensors"), &*narrow).expect("OUT_DIR is writable");
    std::fs::write(out.join("files.rs"), list.replace("mixture: ", "mixture: Mixture::") + "]")
        .expect("OUT_DIR is writable");
}
