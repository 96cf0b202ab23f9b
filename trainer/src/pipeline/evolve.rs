//! C's evolution, on episodes of the environment or in dreams.

use crate::control::{dream, real};
use crate::data::dataset::Dataset;
use crate::run::config::{Config, ScoredOn};
use crate::run::folder::RunDir;
use crate::run::progress::Progress;
use crate::world::device::Device;
use anyhow::Result;

/// What evolution may spend, and in which unit.
pub(super) const fn budget(config: &Config) -> (u64, &'static str) {
    match config.controller.scored_on {
        ScoredOn::Episodes => (config.controller.steps, "steps"),
        ScoredOn::Dreams => (config.dream.generations, "generations"),
    }
}

pub(super) fn is_finished(config: &Config, run: &RunDir) -> Result<bool> {
    match config.controller.scored_on {
        ScoredOn::Episodes => real::is_finished(config, run),
        ScoredOn::Dreams => dream::is_finished(config, run),
    }
}

pub(super) fn check(config: &Config, run: &RunDir, force: bool) -> Result<()> {
    match config.controller.scored_on {
        ScoredOn::Episodes => real::check(config, run, force),
        ScoredOn::Dreams => dream::check(config, run, force),
    }
}

pub(super) fn train(
    config: &Config,
    run: &RunDir,
    data: &Dataset,
    force: bool,
    device: Device,
    bar: &Progress,
) -> Result<String> {
    Ok(match config.controller.scored_on {
        ScoredOn::Episodes => {
            let summary = real::train(config, run, data, force, bar)?;
            let (generations, steps, best) = (summary.generations, summary.steps, summary.best);
            format!("{generations} generations, {steps} steps, return on the validation episodes {best:.1}")
        }
        ScoredOn::Dreams => dream::train(config, run, data, force, device, bar)?.to_string(),
    })
}
