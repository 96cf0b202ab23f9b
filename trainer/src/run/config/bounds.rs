//! The range of every number of the configuration, in one table.
//!
//! What is too large to be meant is refused by name, before it costs minutes, memory or a panic: the limits lie far beyond what any use
//! is known for. Real numbers stay where binary32, in which they are used, has room for their products.

use super::controller::MAX_VECTORS;
use anyhow::{Result, bail, ensure};
use dreamstep_core::dims::MAX_DIM;
use toml::{Table, Value};

/// Threads that may be asked for: more than any machine has cores, few enough to be started at once.
pub const MAX_THREADS: usize = 1024;

/// Values that a key may have, the limits included; of a list, each of its elements.
#[derive(Clone, Copy, Debug)]
enum Range {
    /// A whole number.
    Whole(i64, i64),
    /// A real number.
    Real(f64, f64),
    /// A fraction, below 1.
    BelowOne,
}

use Range::{BelowOne, Real, Whole};

/// Steps, and other counts that a budget may come to.
const MANY: i64 = 1_000_000_000_000;
/// Counts of what is made or waited out one by one.
const SOME: i64 = 1_000_000_000;
/// Sizes that memory is taken for.
const MEMORY: i64 = 1 << 24;
/// Dreams of a candidate: as many more than are ever useful would take hours for a generation.
const DREAMS: i64 = 1 << 16;
/// Widths of layers.
const WIDTH: i64 = MAX_DIM as i64;
/// The least and the greatest that a positive number is.
const LEAST: f64 = 1e-30;
const GREATEST: f64 = 1e30;

/// Every number of the configuration.
const RANGES: &[(&str, Range)] = &[
    // TOML has no whole numbers above.
    ("seed", Whole(0, i64::MAX)),
    ("threads", Whole(0, MAX_THREADS as i64)),
    ("torch_threads", Whole(1, MAX_THREADS as i64)),
    ("collect.steps", Whole(1, MANY)),
    ("collect.noise_scale", Real(LEAST, GREATEST)),
    ("collect.noise_correlation", Real(0.0, GREATEST)),
    ("collect.exploration", Real(0.0, GREATEST)),
    ("vae.latent", Whole(1, WIDTH)),
    ("vae.hidden", Whole(1, WIDTH)),
    ("vae.epochs", Whole(1, SOME)),
    ("vae.batch_size", Whole(1, MEMORY)),
    ("vae.learning_rate", Real(LEAST, GREATEST)),
    ("vae.kl_tolerance", Real(0.0, GREATEST)),
    ("vae.kl_weight", Real(0.0, GREATEST)),
    // e^±80 is all that binary32 holds.
    ("vae.log_var_range", Real(-80.0, 80.0)),
    ("vae.obs_clip", Real(LEAST, GREATEST)),
    ("vae.min_std", Real(0.0, GREATEST)),
    ("vae.validation", BelowOne),
    ("vae.pool", Whole(1, SOME)),
    ("vae.block_weights", Real(0.0, GREATEST)),
    ("vae.contrast_weight", Real(0.0, GREATEST)),
    ("vae.samples", Whole(0, SOME)),
    ("vae.schedule.patience", Whole(0, SOME)),
    ("vae.schedule.factor", Real(LEAST, GREATEST)),
    ("vae.schedule.stop_after", Whole(0, SOME)),
    ("mdnrnn.hidden", Whole(1, WIDTH)),
    ("mdnrnn.mixtures", Whole(1, WIDTH)),
    ("mdnrnn.epochs", Whole(1, SOME)),
    ("mdnrnn.batch_size", Whole(1, MEMORY)),
    ("mdnrnn.sequence_length", Whole(1, MEMORY)),
    ("mdnrnn.own_steps", Whole(0, MEMORY)),
    ("mdnrnn.learning_rate", Real(LEAST, GREATEST)),
    ("mdnrnn.grad_clip", Real(LEAST, GREATEST)),
    ("mdnrnn.reward_weight", Real(0.0, GREATEST)),
    ("mdnrnn.terminal_weight", Real(0.0, GREATEST)),
    ("mdnrnn.terminal_positive_weight", Real(LEAST, GREATEST)),
    ("mdnrnn.log_sigma_min", Real(-80.0, 80.0)),
    ("mdnrnn.pool", Whole(1, SOME)),
    ("mdnrnn.schedule.patience", Whole(0, SOME)),
    ("mdnrnn.schedule.factor", Real(LEAST, GREATEST)),
    ("mdnrnn.schedule.stop_after", Whole(0, SOME)),
    ("env.timeout_s", Real(1e-3, 86_400.0)),
    ("env.time_limit", Whole(0, SOME)),
    ("env.period_s", Real(0.0, 3600.0)),
    ("env.action_range", Real(-GREATEST, GREATEST)),
    ("env.task.frame_skip", Whole(1, 100_000)),
    ("env.task.time_limit", Whole(1, SOME)),
    ("env.task.camera.look_at", Real(-GREATEST, GREATEST)),
    ("env.task.camera.distance_m", Real(0.0, GREATEST)),
    ("env.task.camera.azimuth_deg", Real(-360.0, 360.0)),
    ("env.task.camera.elevation_deg", Real(-90.0, 90.0)),
    ("env.task.expect.observations", Whole(0, MEMORY)),
    ("env.task.expect.actions", Whole(0, MEMORY)),
    ("env.task.expect.action_range", Real(-GREATEST, GREATEST)),
    ("env.task.expect.period_s", Real(0.0, 3600.0)),
    ("env.randomise.mass", Real(1e-3, 1e3)),
    ("env.randomise.friction", Real(0.0, 1e3)),
    ("env.randomise.damping", Real(0.0, 1e3)),
    ("env.randomise.armature", Real(0.0, 1e3)),
    ("env.randomise.gain", Real(1e-3, 1e3)),
    ("env.image.crop", Whole(0, MEMORY)),
    ("env.image.size", Whole(1, MEMORY)),
    ("env.action_delay", Whole(0, 1000)),
    ("env.observation_delay", Whole(0, 1000)),
    ("env.observation_noise", Real(0.0, GREATEST)),
    ("env.recorded.image", Whole(1, MEMORY)),
    ("env.recorded.choices", Whole(0, WIDTH)),
    // How many layers there may be is checked beside. Evolution holds hundreds of such controllers.
    ("controller.hidden", Whole(1, 4096)),
    ("controller.steps", Whole(1, MANY)),
    ("controller.episodes", Whole(1, MAX_VECTORS as i64)),
    ("controller.max_episodes", Whole(1, MAX_VECTORS as i64)),
    ("controller.sigma", Real(LEAST, GREATEST)),
    ("controller.reward_offset", Real(-GREATEST, GREATEST)),
    ("controller.reward_offset_final", Real(-GREATEST, GREATEST)),
    ("controller.reward_offset_steps", Whole(0, MANY)),
    ("controller.max_episode_steps", Whole(0, SOME)),
    ("controller.validation_episodes", Whole(1, SOME)),
    ("controller.action_change_cost", Real(0.0, GREATEST)),
    ("controller.patience", Whole(0, SOME)),
    ("controller.lessons", Whole(0, 1000)),
    ("controller.lesson_episodes", Whole(1, SOME)),
    ("controller.pgpe.directions", Whole(1, MAX_VECTORS as i64)),
    ("controller.pgpe.sigma_learning_rate", Real(0.0, GREATEST)),
    // At 1 a generation could make sigma 0, from which it never grows again.
    ("controller.pgpe.sigma_max_change", BelowOne),
    ("controller.pgpe.max_speed", Real(LEAST, GREATEST)),
    ("controller.pgpe.momentum", BelowOne),
    ("controller.cma.population", Whole(0, MAX_VECTORS as i64)),
    // Each doubles the population.
    ("controller.cma.restarts", Whole(0, 12)),
    ("controller.ars.directions", Whole(1, MAX_VECTORS as i64)),
    ("controller.ars.top_directions", Whole(0, MAX_VECTORS as i64)),
    ("controller.ars.learning_rate", Real(LEAST, GREATEST)),
    ("controller.openai_es.directions", Whole(1, MAX_VECTORS as i64)),
    ("controller.openai_es.learning_rate", Real(LEAST, GREATEST)),
    ("controller.openai_es.weight_decay", Real(0.0, GREATEST)),
    // A hundred times what topples the agent; MuJoCo's steps are too long for a stiffer spring.
    ("controller.assist.force", Real(0.0, 100.0)),
    ("controller.assist.decay", BelowOne),
    ("controller.assist.min_length", BelowOne),
    ("controller.assist.max_steps", Whole(0, SOME)),
    ("dream.generations", Whole(1, SOME)),
    ("dream.temperature", Real(LEAST, GREATEST)),
    ("dream.horizon", Whole(1, MEMORY)),
    ("dream.dreams", Whole(1, DREAMS)),
    ("dream.max_dreams", Whole(1, DREAMS)),
    ("dream.recorded_starts", Real(0.0, 1.0)),
    ("dream.bound", Real(0.0, GREATEST)),
    // Each is trained, and all are in memory.
    ("dream.ensemble", Whole(1, 1000)),
    ("dream.pessimism", Real(0.0, GREATEST)),
    ("dream.validate_every", Whole(1, SOME)),
    ("dream.validation_dreams", Whole(1, DREAMS)),
    ("dream.validation_episodes", Whole(0, MAX_VECTORS as i64)),
    ("dream.patience", Whole(0, SOME)),
    ("dream.rerank", Whole(1, 10_000)),
    ("dream.rerank_episodes", Whole(0, MAX_VECTORS as i64)),
    ("rounds.steps", Whole(1, MANY)),
];

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Whole(least, greatest) => write!(f, "a whole number from {least} to {greatest}"),
            Real(least, greatest) => write!(f, "a number from {least:?} to {greatest:?}"),
            BelowOne => f.write_str("at least 0 and below 1"),
        }
    }
}

impl Range {
    fn has(self, value: &Value) -> bool {
        match (self, value) {
            (Whole(least, greatest), Value::Integer(value)) => (least..=greatest).contains(value),
            (Real(least, greatest), Value::Integer(value)) => (least..=greatest).contains(&(*value as f64)),
            (Real(least, greatest), Value::Float(value)) => (least..=greatest).contains(value),
            (BelowOne, Value::Integer(value)) => *value == 0,
            (BelowOne, Value::Float(value)) => (0.0..1.0).contains(value),
            _ => false,
        }
    }
}

/// Checks every number of `config`, which has every key.
///
/// # Errors
/// One line naming the key, the rule and the value found.
pub(super) fn check(config: &Table) -> Result<()> {
    for (key, range) in RANGES {
        match value(config, key) {
            Some(Value::Array(values)) => {
                for (i, value) in values.iter().enumerate() {
                    ensure!(range.has(value), "{key}[{i}] = {}: must be {range}", short(value));
                }
            }
            Some(value) => ensure!(range.has(value), "{key} = {}: must be {range}", short(value)),
            None => bail!("{key}: expected {range}, found no such key"),
        }
    }
    Ok(())
}

/// `value` as text; 1e308 in five characters, not in 309.
pub(super) fn short(value: &Value) -> String {
    match value {
        Value::Float(value) if value.is_finite() => format!("{value:?}"),
        value => value.to_string(),
    }
}

/// What stands at `key`, whose parts are separated by dots.
fn value<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((section, rest)) => value(table.get(section)?.as_table()?, rest),
    }
}

#[cfg(test)]
mod tests;
