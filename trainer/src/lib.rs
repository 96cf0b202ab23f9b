//! Trains world-model agents on a workstation and exports them for the dreamstep runtime.
//!
//! One readable file per stage, in the order the data flows.

pub mod checkpoint;
pub mod collect;
pub mod config;
pub mod env;
pub mod nets;
pub mod progress;
pub mod rollouts;
pub mod run_dir;
pub mod stage;
pub mod stats;
pub mod train_mdnrnn;
pub mod train_vae;
