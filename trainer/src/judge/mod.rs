//! What was learnt: evaluation, the real-time control loop, the report on V and M, films, ablation, and how well dreams rank.

pub mod ablation;
pub mod compare;
pub mod correlation;
pub mod evaluate;
pub mod realtime;
pub mod render;
pub mod report;
mod table;
