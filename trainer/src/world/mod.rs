//! The world model: V ([`vae`]) and M ([`mdnrnn`]) as libtorch networks (through `tch`), and their training.

pub mod device;
pub mod ensemble;
pub mod epochs;
pub mod latents;
pub mod mdnrnn;
pub mod nets;
pub mod optim;
pub mod resume;
pub mod schedule;
pub mod stage;
pub mod train_mdnrnn;
pub mod train_vae;
pub mod trained;
pub mod vae;
