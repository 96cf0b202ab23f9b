//! Packs the suite's agents on the building machine, since the target only reads them: each file goes into `OUT_DIR`, and so does
//! `files.rs`, the list that embeds them.

#[path = "src/recipes.rs"]
mod recipes;

use dreamstep_core::precision::Precision;
use dreamstep_fixtures::synthetic;
use recipes::AGENTS;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/recipes.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let (mut list, mut gated) = (String::from("&["), String::from("&["));
    for (recipe, (agent, seed, dims, settings)) in AGENTS.iter().enumerate() {
        for precision in Precision::ALL {
            let mut all = synthetic::settings(dims);
            all.precision = precision;
            settings(&mut all);
            let precision = precision.name();
            let name = format!("{agent}.{precision}.safetensors");
            std::fs::write(out.join(&name), &*synthetic::agent_with(&all, *seed)).expect("OUT_DIR is writable");
            let file = format!("File {{ recipe: {recipe}, precision: {precision:?}, bytes: embedded!({name:?}) }},\n");
            list += &file;
            if *agent == "gated" {
                gated += &file;
            }
        }
    }
    let mut paper = synthetic::settings(&recipes::PAPER);
    paper.precision = Precision::I8;
    std::fs::write(out.join("paper.i8.safetensors"), &*synthetic::agent_with(&paper, 19)).expect("OUT_DIR is writable");
    let narrow = synthetic::in_precision(dreamstep_fixtures::HUMANOID, Precision::I8);
    std::fs::write(out.join("shipped.i8.safetensors"), &*narrow).expect("OUT_DIR is writable");
    std::fs::write(out.join("files.rs"), list + "]").expect("OUT_DIR is writable");
    std::fs::write(out.join("gated.rs"), gated + "]").expect("OUT_DIR is writable");
}
