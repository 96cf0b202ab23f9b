//! Trains world-model agents on a workstation and exports them for the dreamstep runtime.
//!
//! One readable file per stage, in the order the data flows.

pub mod config;
pub mod env;
pub mod rollouts;
