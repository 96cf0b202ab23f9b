//! `env = "recorded"`: data of a robot, or of anything else that cannot be asked again. `[env.recorded]` and `[env]` say what a simulator
//! would: sizes, ranges, the period. What plays episodes is refused.

use super::{ActionSpace, EnvConfig, EnvSpec, eye};
use crate::run::config::RecordedConfig;
use anyhow::{Result, bail, ensure};

/// The keys without which nothing can be said, and what one looks like.
const KEYS: [(&str, &str); 3] = [
    ("env.recorded.observation", "[{ name = \"position\", size = 7 }] (or, of pictures, env.recorded.image = [96, 96, 3])"),
    (
        "env.recorded.action",
        "[{ size = 7, low = -1.0, high = 1.0 }] (or, of actions that are choices, env.recorded.choices = 4)",
    ),
    ("env.period_s", "0.02"),
];

/// The specification.
///
/// # Errors
/// One line: which keys are missing, or are of no use.
pub(super) fn spec(env: &EnvConfig) -> Result<EnvSpec> {
    let RecordedConfig { observation, image, action, choices } = &env.recorded;
    let missing = [observation.is_empty() && image.is_empty(), action.is_empty() && *choices == 0, env.period_s == 0.0];
    let missing: Vec<String> = KEYS
        .iter()
        .zip(missing)
        .filter(|(_, missing)| *missing)
        .map(|((key, example), _)| format!("{key} = {example}"))
        .collect();
    ensure!(
        missing.is_empty(),
        "environment {}: no simulator says what the data are of: expected keys such as {}; found none",
        env.id,
        missing.join(" and ")
    );
    ensure!(
        env.action_range.is_empty() && env.kwargs.is_empty(),
        "environment {}: expected no env.action_range and no env.kwargs: there is nothing to be made",
        env.id
    );
    if let Some(found) = env.imperfections() {
        bail!(
            "environment {}: expected data that are as they are, found {found} (env.action_delay, …): nothing is played",
            env.id
        );
    }
    let image = eye::image(env, env.recorded.frame())?;
    let blocks = observation.iter().map(|block| (block.name.clone(), block.size)).collect();
    Ok(EnvSpec {
        id: env.id.clone(),
        obs: image.map_or(env.recorded.obs(), |image| image.len()),
        actions: actions(&env.recorded),
        dt_s: env.period_s,
        // Episodes of any length, where none is said.
        time_limit: if env.time_limit == 0 { u32::MAX } else { env.time_limit },
        blocks: image.map_or(blocks, |image| super::blocks(&[("observation", image.len())])),
        image,
        healthy_bonus: 0.0,
    })
}

/// What may be done.
fn actions(recorded: &RecordedConfig) -> ActionSpace {
    if recorded.choices > 0 {
        return ActionSpace::Discrete { choices: recorded.choices };
    }
    let all = |bound: fn(&crate::run::config::RangeConfig) -> f64| {
        recorded.action.iter().flat_map(|range| vec![bound(range) as f32; range.size]).collect()
    };
    ActionSpace::Continuous { low: all(|range| range.low), high: all(|range| range.high) }
}

/// That `env` can be played in.
///
/// # Errors
/// One line: it is recorded data alone, with what can be done with such.
pub fn expect_playable(env: &EnvConfig) -> Result<()> {
    if env.is_recorded() {
        bail!(
            "environment {}: there are recorded data and no simulator: expected a command that plays no episodes (import, import-weights, \
             train with controller.scored_on = \"dreams\", report, pack, inspect), or an environment of the same sizes (--env ID, or \
             --set env.id=ID)",
            env.id
        );
    }
    Ok(())
}
