//! A run: its folder, configuration, checkpoints, log, progress and interruption.

pub mod checkpoint;
pub mod config;
pub mod fault;
pub mod folder;
pub mod interrupt;
pub mod metrics;
pub mod progress;
pub mod tensorboard;
