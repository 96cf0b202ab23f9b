//! Tests that need no program of their own: one program links libtorch once, and runs them all side by side.

#[path = "../common/mod.rs"]
mod common;

mod bridge;
mod bridge_ends;
mod bridge_faults;
mod choices;
mod collect;
mod controller_costs;
mod convert;
mod defects;
mod documents;
mod dream;
mod evolution;
mod frames;
mod gru;
mod imperfect;
mod import;
mod inputs;
mod kinds;
mod lessons;
mod minari;
mod mujoco_log;
mod output;
mod own_model;
mod pictures;
mod ppo;
mod racing;
mod recorded;
mod road;
mod rounds;
mod run_folder;
mod sampled;
mod shipped;
mod take_cover;
mod tensorboard;
mod weights;
