//! `[dream]` and `[rounds]`: how candidates are scored in dreams, and what a later round of training adds.

use serde::{Deserialize, Serialize};

/// `train --stage controller` with `controller.scored_on = "dreams"`: how candidates are scored in dreams
/// ([`crate::control::dream`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DreamConfig {
    /// What computes dreams: the `runtime`, in batches on every core; or `torch`, all dreams of a generation as one batch, on a GPU with
    /// `--device cuda`. Their dreams are the same, but for rounding.
    pub engine: DreamEngine,
    /// Generations that evolution may take.
    pub generations: u64,
    /// τ of the dreams: above 1 their variance is higher than M learnt, below 1 lower.
    pub temperature: f64,
    /// A dream is cut after so many steps: M's errors add up.
    pub horizon: u32,
    /// How the ends of dreams count: `drawn` with M's probability, and there is nothing after one; or `expected`: none is drawn, and a step counts as
    /// much as it is probable that the dream comes so far. Scores have the same mean, and a smaller spread the more dreams end.
    pub ends: DreamEnds,
    /// Dreams a candidate, of each M. All candidates of a generation dream the same ones.
    pub dreams: usize,
    /// How many they may become with `controller.noise_handling`.
    pub max_dreams: usize,
    /// The fraction of dreams that begin in the middle of a recorded episode, with the memory that the episode left; the others begin where
    /// episodes begin.
    pub recorded_starts: f64,
    /// A dream ends where a latent leaves the range that it has in the recorded data by more than this fraction of it: M knows nothing
    /// there. 0 lets dreams go anywhere.
    pub bound: f64,
    /// M's that dream, trained from seeds of their own. Their dreams are a candidate's, but it is the first, the run's M, that remembers
    /// for it.
    pub ensemble: usize,
    /// A candidate's score is the mean over these M's less this times their standard deviation: what only one of them believes in is worth
    /// less.
    pub pessimism: f64,
    /// Whether C begins as what the run's teacher (in `rounds`, the agent of the round before) does on the recorded episodes, where there is
    /// one. Else, and in any run without a teacher, it begins as the action nearest to 0: a controller that holds still.
    pub teacher: bool,
    /// Generations between two validations of the mean of the search distribution; a killed run resumes from the last one.
    pub validate_every: u64,
    /// Dreams of a validation, the same each time.
    pub validation_dreams: usize,
    /// Real episodes of a validation, whose steps are counted; 0 trains in dreams alone.
    pub validation_episodes: usize,
    /// Evolution stops after so many validations in a row at which the mean did better in dreams and worse on real episodes; 0 never stops
    /// it. The best on real episodes is the result.
    pub patience: u64,
    /// How many of the best means play real episodes at the end; the best of them is the result. At least 1.
    pub rerank: usize,
    /// Real episodes of each, whose steps are counted; 0 trusts the dreams.
    pub rerank_episodes: usize,
}

/// What computes dreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DreamEngine {
    /// The runtime crate, on threads: the same bits everywhere.
    Runtime,
    /// libtorch, on a processor or a GPU: the same bits on one device.
    Torch,
}

/// How the ends of dreams count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DreamEnds {
    /// A dream is over, or it is not.
    Drawn,
    /// A dream is over by so much.
    Expected,
}

impl Default for DreamConfig {
    fn default() -> Self {
        Self {
            engine: DreamEngine::Runtime,
            generations: 200,
            temperature: 1.0,
            horizon: 300,
            ends: DreamEnds::Drawn,
            dreams: 12,
            max_dreams: 96,
            recorded_starts: 0.5,
            bound: 0.05,
            ensemble: 1,
            pessimism: 1.0,
            teacher: true,
            validate_every: 10,
            validation_dreams: 64,
            validation_episodes: 0,
            patience: 3,
            rerank: 1,
            rerank_episodes: 0,
        }
    }
}

/// `rounds`: what each round but the first adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoundsConfig {
    /// Environment steps of the agent before that are recorded; `collect.exploration` is the noise on its actions.
    pub steps: u64,
    /// What later rounds have otherwise than the first, as `--set` would: `"controller.input=z+h"`.
    pub then: Vec<String>,
}

impl Default for RoundsConfig {
    fn default() -> Self {
        Self { steps: 30_000, then: Vec::new() }
    }
}
