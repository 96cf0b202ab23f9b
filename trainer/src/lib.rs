//! Trains world-model agents on a workstation and exports them for the dreamstep runtime.
//!
//! One readable file per stage, in the order the data flows.

pub mod checkpoint;
pub mod config;
pub mod nets;
pub mod rollouts;
pub mod stage;
pub mod stats;
pub mod train_mdnrnn;
pub mod train_vae;
