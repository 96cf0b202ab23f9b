//! How a candidate did, and what a generation took.

use crate::stats::Spread;
use std::time::Duration;

/// How a candidate did.
#[derive(Clone, Debug, Default)]
pub struct Scored {
    /// What evolution climbs; not finite where the candidate failed.
    pub score: f64,
    /// Mean return of its episodes; the score of its dreams.
    pub mean_return: f64,
    /// Its episodes, or dreams.
    pub episodes: usize,
    /// Steps of all of them.
    pub steps: u64,
    /// Making its weights.
    pub making: Duration,
    /// Moments of the features that it observed, where whitening follows them.
    pub observed: Option<Spread>,
    /// Why it failed.
    pub error: Option<String>,
}

impl Scored {
    /// A candidate that could not be scored.
    pub(super) fn failed(error: &anyhow::Error) -> Self {
        Self { score: f64::NAN, error: Some(format!("{error:#}")), ..Self::default() }
    }
}

/// What a generation took and came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Steps, those of second scores included.
    pub steps: u64,
    /// Episodes of a candidate.
    pub episodes: usize,
    /// Mean over the candidates that did not fail.
    pub mean_return: f64,
    /// Mean length of the candidates' episodes, in steps.
    pub mean_length: f64,
    /// Candidates that failed.
    pub failed: usize,
    /// Drawing the perturbations.
    pub ask: Duration,
    /// Making the candidates' weights, all workers added up.
    pub candidates: Duration,
    /// Moving the search distribution.
    pub tell: Duration,
}
