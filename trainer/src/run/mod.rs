//! A run: its folder, configuration, checkpoints, log, output, progress and interruption.

pub mod checkpoint;
pub mod config;
pub mod fault;
pub mod folder;
pub mod interrupt;
pub mod memory;
pub mod metrics;
pub mod output;
pub mod picture;
pub mod progress;
pub mod tensorboard;
