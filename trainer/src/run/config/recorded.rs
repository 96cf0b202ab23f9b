//! `[env.recorded]`: what recorded data are of, where there is no environment (`env = "recorded"`).

use super::EnvConfig;
use anyhow::{Result, ensure};
use dreamstep_core::dims::MAX_DIM;
use serde::{Deserialize, Serialize};

/// The id of data without an environment.
pub const RECORDED: &str = "recorded";

/// Sizes and ranges, which no file says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordedConfig {
    /// What an observation is made of, in order. Empty: not said.
    pub observation: Vec<BlockConfig>,
    /// `[height, width, channels]` of the frames, where observations are pictures, before `[env.image]`. Empty: they are not.
    pub image: Vec<usize>,
    /// What an action is made of, in order. Empty: not said, or one of some choices.
    pub action: Vec<RangeConfig>,
    /// An action is one of so many choices, numbered from 0; 0: it is not.
    pub choices: usize,
}

/// Some numbers of an observation, one after another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockConfig {
    /// What the report calls them.
    #[serde(default = "BlockConfig::usual")]
    pub name: String,
    /// How many they are.
    pub size: usize,
}

impl BlockConfig {
    fn usual() -> String {
        "observation".into()
    }

    /// The only ones, so many.
    #[must_use]
    pub fn of(size: usize) -> Self {
        Self { name: Self::usual(), size }
    }
}

/// Some numbers of an action, one after another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeConfig {
    /// How many they are.
    pub size: usize,
    /// The least that each may be, in the units of the recording.
    pub low: f64,
    /// The most.
    pub high: f64,
}

impl EnvConfig {
    /// Whether there is no environment, only what was recorded of one.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.id == RECORDED
    }
}

impl RecordedConfig {
    /// `O`; 0 where it is not said.
    #[must_use]
    pub fn obs(&self) -> usize {
        self.observation.iter().map(|block| block.size).sum()
    }

    /// Height, width and channels of a frame, where observations are pictures.
    #[must_use]
    pub fn frame(&self) -> Option<[usize; 3]> {
        <[usize; 3]>::try_from(self.image.as_slice()).ok()
    }

    pub(super) fn validate(&self) -> Result<()> {
        let Self { observation, image, action, choices } = self;
        let size = |key: &str, i: usize, size: usize| {
            ensure!(
                (1..=MAX_DIM).contains(&size),
                "env.recorded.{key}[{i}].size = {size}: must be a whole number from 1 to {MAX_DIM}"
            );
            Ok(())
        };
        for (i, block) in observation.iter().enumerate() {
            size("observation", i, block.size)?;
        }
        for (i, &RangeConfig { size: len, low, high }) in action.iter().enumerate() {
            size("action", i, len)?;
            let range = [low, high].map(|bound| bound as f32);
            ensure!(
                range[0] < range[1] && range.iter().all(|bound| bound.is_finite()),
                "env.recorded.action[{i}]: low = {low:?}, high = {high:?}: must be finite, the first below the second"
            );
        }
        for (key, sum) in [("observation", self.obs()), ("action", action.iter().map(|range| range.size).sum())] {
            ensure!(sum <= MAX_DIM, "env.recorded.{key}: must be {MAX_DIM} numbers at most, found {sum}");
        }
        ensure!(
            matches!(image.len(), 0 | 3),
            "env.recorded.image = {image:?}: must be empty, or [height, width, channels] of a frame"
        );
        ensure!(
            image.is_empty() || observation.is_empty(),
            "env.recorded.image = {image:?}: must be [] where env.recorded.observation says that observations are vectors of numbers"
        );
        ensure!(
            *choices == 0 || action.is_empty(),
            "env.recorded.choices = {choices}: must be 0 where env.recorded.action says that actions are numbers in a range"
        );
        Ok(())
    }
}
