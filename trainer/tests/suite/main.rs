//! Tests that need no program of their own: one program links libtorch once, and runs them all side by side.

#[path = "../common/mod.rs"]
mod common;

mod collect;
mod convert;
mod defects;
mod dream;
mod evolution;
mod gru;
mod inputs;
mod kinds;
mod output;
mod ppo;
mod road;
mod rounds;
mod run_folder;
mod shipped;
mod tensorboard;
mod weights;
