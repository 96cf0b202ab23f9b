//! V, M and C as one file: made out of checkpoints, taken from PyTorch, loaded, inspected.

pub mod action;
pub mod controller;
pub mod convolution;
pub mod file;
pub mod inspect;
pub mod mlp;
pub mod pack;
mod sizes;
pub mod v;
pub mod weights;
