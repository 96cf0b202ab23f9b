//! What must hold of every input, whoever thinks of it? Each target is a plain function over bytes that panics where its
//! property does not hold. libFuzzer calls it with inputs of its own (`scripts/fuzz.sh`, nightly); `tests/corpus.rs` calls
//! it with those that were worth keeping (any toolchain, part of `make test`).
//!
//! | target | input | property |
//! |---|---|---|
//! | [`reader`] | a file | the `safetensors` crate reads the same, or ours refuses on purpose |
//! | [`load`] | a file, or damage to a sound agent | it is refused in one line, or it runs, alike on every back end |
//! | [`step`] | a sequence of calls | alike on every back end; refused where the documentation says, without a trace |
//! | [`state`] | a state, or changes to a saved one | refused by all without a trace, or taken by all, to live on alike |
//!
//! A target more: a module here, a line in [`TARGETS`], a file in `fuzz_targets/` and a `[[bin]]` in `Cargo.toml`.

#![allow(clippy::missing_panics_doc)] // panicking is what a property does

mod agents;
#[path = "../../runtime/tests/common/mod.rs"]
mod common;
#[path = "../../core/tests/differential/mod.rs"]
mod differential;
pub mod load;
#[path = "../../runtime/tests/common/pieces.rs"]
mod pieces;
pub mod reader;
mod script;
pub mod state;
pub mod step;

/// A property of an input.
pub type Target = fn(&[u8]);

/// All targets by name; `corpus/<name>` and `findings/<name>` hold their inputs.
pub const TARGETS: &[(&str, Target)] =
    &[("reader", reader::run), ("load", load::run), ("step", step::run), ("state", state::run)];
