//! Trains world-model agents on a workstation and exports them for the dreamstep runtime.
//!
//! One readable file per stage, in the order the data flows.

pub mod collect;
pub mod config;
pub mod env;
pub mod progress;
pub mod rollouts;
pub mod run_dir;
