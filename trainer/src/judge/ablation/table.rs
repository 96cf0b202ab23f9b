//! The ablation's table: one row an arm, with its return, the return's interval, and its cost.

use super::ArmResult;
use crate::judge::table::markdown_table;
use crate::stats::{RESAMPLES, Summary};
use serde::Serialize;
use std::fmt;

/// An arm.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name: that of its folder.
    pub arm: String,
    /// Sum of rewards of an episode.
    #[serde(rename = "return")]
    pub episode_return: Summary,
    /// Steps of an episode.
    pub length: Summary,
    /// What it cost, and every episode.
    #[serde(flatten)]
    pub result: ArmResult,
}

/// All of them: `ablation.json`; as text, `ablation.md`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Environment id.
    pub env: String,
    /// What the episodes are under: delays, noise, randomised physics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<String>,
    /// Episode i is `reset(seed + i)`.
    pub seed: u64,
    /// Episodes of each arm.
    pub episodes: usize,
    /// Recorded steps, which V and M were trained on and whitening began with; none where nothing was evolved.
    pub recorded_steps: Option<u64>,
    /// What V's and M's training took.
    pub network_cpu_hours: f64,
    /// In the order of the question; what others brought last.
    pub rows: Vec<Row>,
}

impl Row {
    /// Of an arm's episodes.
    #[must_use]
    pub fn of(arm: String, result: ArmResult) -> Self {
        let summary = |value: fn(&super::Played) -> f64| Summary::of(&result.outcomes.iter().map(value).collect::<Vec<_>>());
        let (episode_return, length) = (summary(|played| played.episode_return), summary(|played| played.length as f64));
        Self { arm, episode_return, length, result }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.seed + self.episodes as u64 - 1;
        writeln!(f, "# {}: what each part is worth\n", self.env)?;
        writeln!(
            f,
            "{} episodes each, reset(seed) for seeds {} to {last}, in the environment {}. IQM: mean of the middle half of the \
             episodes, with its 95 % interval over {RESAMPLES} bootstrap resamples; then mean ± standard error.\n",
            self.episodes,
            self.seed,
            self.conditions.as_ref().map_or("as it is".into(), |found| format!("with {found}"))
        )?;
        let header =
            ["arm", "what acts", "return, IQM [95 %]", "return", "length", "real steps", "dream steps", "CPU-hours"];
        let cells = |Row { arm, episode_return, length, result }: &Row| {
            let ArmResult { what, real_steps, dream_steps, cpu_hours, .. } = result;
            let (steps, hours) = ([real_steps, dream_steps].map(ToString::to_string), format!("{cpu_hours:.3}"));
            let texts =
                [arm.clone(), what.clone(), episode_return.iqm_text(1), episode_return.mean_text(1), length.mean_text(1)];
            texts.into_iter().chain(steps).chain([hours]).collect()
        };
        f.write_str(&markdown_table(&header, self.rows.iter().map(cells)))?;
        if let Some(recorded) = self.recorded_steps {
            writeln!(
                f,
                "\nReal steps are those that learning took, validation included. Before them, every evolved arm has {recorded} recorded steps: \
                 V and M were trained on them ({:.3} CPU-hours, not in the table), and observations and features whitened by them.",
                self.network_cpu_hours
            )?;
        }
        Ok(())
    }
}
