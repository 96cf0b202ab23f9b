//! Trains world-model agents on a workstation and exports them for the dreamstep runtime.
//!
//! One readable file per stage, in the order the data flows:
//!
//! ```text
//! env ─collect→ rollouts ─train_vae→ vae ─train_mdnrnn→ mdnrnn ─train_controller→ controller ─pack→ agent ─evaluate, run
//! ```

pub mod ablation;
pub mod agent_file;
pub mod checkpoint;
pub mod collect;
pub mod compare;
pub mod config;
pub mod controller;
pub mod convert;
pub mod dataset;
pub mod dream;
pub mod env;
pub mod evaluate;
pub mod evolve;
pub mod inspect;
pub mod interrupt;
pub mod latents;
pub mod nets;
pub mod pack;
pub mod play;
pub mod prefetch;
pub mod progress;
pub mod render;
pub mod replay;
pub mod report;
pub mod resume;
pub mod rollouts;
pub mod run;
pub mod run_dir;
pub mod stage;
pub mod stats;
pub mod tensorboard;
pub mod train_controller;
pub mod train_mdnrnn;
pub mod train_vae;
