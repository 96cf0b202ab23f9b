//! What was learnt: evaluation, the real-time control loop, the report on V and M, films, ablation, and how well dreams rank.

pub mod ablation;
pub mod compare;
pub mod correlation;
pub mod evaluate;
#[cfg_attr(not(feature = "torch"), allow(dead_code, reason = "for the report"))]
pub(crate) mod plot;
pub mod realtime;
pub mod render;
#[cfg(feature = "torch")]
pub mod report;
mod table;
