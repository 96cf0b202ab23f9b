//! Trains world-model agents on a workstation and exports them for the dreamstep runtime.
//!
//! ```text
//! env ─collect→ rollouts ─train V→ vae ─train M→ mdnrnn ─evolve C→ controller ─pack→ agent ─evaluate, run, report
//! ```
//!
//! One room a question, each standing only on those above it:
//!
//! | module | is |
//! |---|---|
//! | [`stats`] | the mathematics: moments, regression, PCA, bootstrap, ranks |
//! | [`run`] | a run's folder and everything in it that is not data: configuration, checkpoints, log, output, progress, interruption |
//! | [`mod@env`] | environments, and the pool of threads that plays episodes in them |
//! | [`agent`] | V, M and C as one file: packed, converted, inspected |
//! | [`data`] | recorded episodes: collected, imported, read back for training |
//! | [`world`] | V and M, and their training by gradient descent (libtorch) |
//! | [`control`] | C: evolution strategies, and the search on real episodes or in dreams |
//! | [`judge`] | what was learnt: evaluation, the real-time loop, report, film, ablation, correlation |
//! | [`pipeline`] | the stages in their order, with what forces and what resumes them |

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod agent;
pub mod control;
pub mod data;
pub mod env;
pub mod judge;
pub mod pipeline;
pub mod run;
pub mod stats;
pub mod world;
