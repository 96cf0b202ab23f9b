//! Recorded episodes: written by `collect` and `import`, read back for training.

pub mod collect;
pub mod dataset;
pub mod export;
pub mod import;
pub mod npy;
pub mod prefetch;
pub mod rollouts;
pub mod split;
