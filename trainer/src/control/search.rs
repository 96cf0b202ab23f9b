//! The state of an evolution between two generations: the search distribution, the scale that it moves on, what was spent, the best
//! controllers so far. It is saved whole, so that a run that was killed resumes to the same bytes.

use super::scored::Spent;
use super::strategies::noise::{self, Noise};
use super::strategies::{GENERATION, Settings, Strategy};
use super::whitening::Whitening;
use crate::agent::controller;
use crate::agent::pack::made_from;
use crate::env;
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::config::{Config, DreamConfig, RoundsConfig, ScoredOn, StrategyName};
use crate::run::folder::{RunDir, digest};
use anyhow::{Result, anyhow, ensure};
use dreamstep_core::digest::Digest;
use dreamstep_core::dims::Dims;
use dreamstep_core::names::metadata;
use dreamstep_core::rng::Philox;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// Generations between two validations on real episodes, which are also the points that a killed run resumes from.
const VALIDATE_EVERY: u64 = 10;
/// Parameters that a whole covariance matrix is bearable for: a decomposition of more takes minutes.
const MAX_FULL: usize = 2000;

/// Metadata of the result and of the saved state.
const FINGERPRINT: &str = "fingerprint";
const STATE: &str = "search.state";
const FEATURES: &str = "whitening.count";

/// How a mean of the search distribution did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Generations before it.
    pub generation: u64,
    /// Score of dreams kept for validation, where C is evolved in dreams; −∞ where they fail.
    pub dream: Option<f64>,
    /// Mean return of real episodes, where any are played; −∞ where one fails.
    pub real: Option<f64>,
}

impl Validation {
    /// What the better mean has more of: the real return, where there is one.
    fn merit(&self) -> f64 {
        self.real.or(self.dream).unwrap_or(f64::NEG_INFINITY)
    }
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = [("score of dreams", self.dream), ("return", self.real)];
        let known: Vec<_> = figures.iter().filter_map(|(name, value)| Some(format!("{name} {:.1}", (*value)?))).collect();
        write!(f, "generation {}: {}", self.generation, known.join(", "))
    }
}

/// What was spent, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Generations told.
    pub generation: u64,
    /// Steps of the environment, those of validation and distillation included.
    pub steps: u64,
    /// Steps of dreams.
    pub dream_steps: u64,
    /// The assistive force on candidates.
    pub assistance: f64,
    /// Candidates that could not be scored.
    pub failed: u64,
    /// Validations in a row at which dreams promised more and real episodes gave less.
    pub drifting: u64,
    /// Why the strategy has nothing left to try, where it has not.
    pub stopped: Option<String>,
    /// The newest validation.
    pub latest: Option<Validation>,
    /// The best validations, best first: those whose controllers are kept.
    pub best: Vec<Validation>,
}

impl State {
    /// Takes in a validation. Returns the place of its mean among the best `kept`, if it has one; a mean that failed has none.
    pub fn record(&mut self, validation: Validation, kept: usize) -> Option<usize> {
        let drifts = self.latest.is_some_and(|before| {
            let promised = matches!((validation.dream, before.dream), (Some(now), Some(then)) if now > then);
            promised && matches!((validation.real, before.real), (Some(now), Some(then)) if now < then)
        });
        self.drifting = if drifts { self.drifting + 1 } else { 0 };
        self.latest = Some(validation);
        if !validation.merit().is_finite() {
            return None;
        }
        // Of equals the later stands behind.
        let place = self.best.iter().position(|best| validation.merit() > best.merit()).unwrap_or(self.best.len());
        self.best.insert(place, validation);
        self.best.truncate(kept);
        (place < kept).then_some(place)
    }

    /// Whether evolution has come to its end.
    #[must_use]
    pub fn is_done(&self, config: &Config) -> bool {
        let spent = match config.controller.scored_on {
            ScoredOn::Episodes => self.steps >= config.controller.steps,
            ScoredOn::Dreams => self.generation >= config.dream.generations || self.has_drifted(&config.dream),
        };
        spent || self.stopped.is_some()
    }

    /// Whether dreams and real episodes have drifted apart for too long.
    #[must_use]
    pub const fn has_drifted(&self, config: &DreamConfig) -> bool {
        config.patience > 0 && self.drifting >= config.patience
    }

    /// Whether `file` says anything of an evolution as this version writes it.
    #[must_use]
    pub fn is_in(file: &Checkpoint) -> bool {
        file.metadata.contains_key(STATE)
    }

    /// What `file`, a result or a saved state, says.
    ///
    /// # Errors
    /// One line: it says nothing, or something else.
    pub fn read(file: &Checkpoint) -> Result<Self> {
        let text: String = file.meta(STATE)?;
        toml::from_str(&text).map_err(|error| anyhow!("{}: metadata {STATE}: {}", file.origin, error.message()))
    }
}

/// An evolution between two generations.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// The search distribution.
    pub strategy: Strategy,
    /// How many episodes a candidate has, where that follows the noise.
    pub noise: Option<Noise>,
    /// The scale of the parameters.
    pub whitening: Whitening,
    /// What was spent, and what came of it.
    pub state: State,
    /// Plain weights and biases of the controllers of `state.best`.
    pub best: Vec<Vec<f32>>,
}

impl Search {
    /// A search around the plain weights and biases `start`, or, where there are none, around a controller that does not move
    /// ([`controller::start`]).
    ///
    /// # Errors
    /// One line: the strategy is not for so many parameters.
    pub fn new(config: &Config, dims: &Dims, whitening: Whitening, start: Option<&[f32]>) -> Result<Self> {
        check_size(config, dims)?;
        let mean = match start {
            Some(values) => whitening.unfold(values),
            None => {
                let (rng, actions) = (Philox::new(config.seed), env::spec(&config.env)?.actions);
                controller::start(dims, rng, config.controller.squash, &actions)
            }
        };
        let state = State { assistance: config.controller.assist.force, ..State::default() };
        let (strategy, noise) = (Strategy::new(Settings::of(config), mean), noise(config).map(Noise::new));
        Ok(Self { strategy, noise, whitening, state, best: Vec::new() })
    }

    /// The search saved in `run`.
    ///
    /// # Errors
    /// One line: it cannot be read, or is of another configuration, V, M or teacher policy.
    pub fn resume(config: &Config, run: &RunDir, dims: &Dims) -> Result<Self> {
        check_size(config, dims)?;
        let saved = read_state(config, run)?;
        let (n, features) = (controller::len(dims), dims.controller_inputs());
        let vector = |name: &str, len| saved.tensor(name, &[len]).map(<[f32]>::to_vec);
        let state = State::read(&saved)?;
        Ok(Self {
            strategy: Strategy::resume(Settings::of(config), n, &saved)?,
            noise: noise(config).map(|settings| Noise::resume(settings, &saved)).transpose()?,
            whitening: Whitening {
                units: controller::units(dims),
                count: saved.meta(FEATURES)?,
                mean: vector("whitening.mean", features)?,
                variance: vector("whitening.variance", features)?,
            },
            best: (0..state.best.len()).map(|i| vector(&format!("best.{i}"), n)).collect::<Result<_>>()?,
            state,
        })
    }

    /// Whether the mean as it is has been validated.
    #[must_use]
    pub fn is_validated(&self) -> bool {
        self.state.latest.is_some_and(|latest| latest.generation == self.strategy.generation())
    }

    /// Whether the mean is to be validated, and the state saved, before evolution continues or ends. `from_teacher`: a controller that a
    /// teacher policy handed over is validated before the first generation, and so kept, should evolution lose it.
    #[must_use]
    pub fn is_due(&self, config: &Config, from_teacher: bool) -> bool {
        let every = match config.controller.scored_on {
            ScoredOn::Episodes => VALIDATE_EVERY,
            ScoredOn::Dreams => config.dream.validate_every,
        };
        let generation = self.strategy.generation();
        let due = if generation == 0 { from_teacher } else { generation.is_multiple_of(every) };
        !self.is_validated() && (due || self.state.is_done(config))
    }

    /// Takes in how the controller `values`, the mean's, did.
    pub(super) fn record(&mut self, dream: Option<f64>, real: Option<f64>, values: Vec<f32>, kept: usize) {
        let validation = Validation { generation: self.strategy.generation(), dream, real };
        if let Some(place) = self.state.record(validation, kept) {
            self.best.insert(place, values);
            self.best.truncate(kept);
        }
    }

    /// A record for the log: what was reached, and how the `newest` generation went.
    #[must_use]
    pub fn line(&self, config: &Config, newest: &Spent) -> Value {
        let State { generation, steps, dream_steps, assistance, failed, drifting, latest, best, .. } = &self.state;
        let best = best.first();
        // A record may be of less than a generation.
        let played = newest.episodes > 0;
        json!({
            "scored_on": config.controller.scored_on, "strategy": config.controller.strategy, "generation": generation, "steps": steps,
            "dream_steps": dream_steps, "validation_return": latest.and_then(|validation| validation.real),
            "best_return": best.and_then(|best| best.real), "dream_score": latest.and_then(|validation| validation.dream),
            "best_dream_score": best.and_then(|best| best.dream), "drifting": drifting, "failed": failed,
            "candidates": self.strategy.candidates(), "restarts": self.strategy.restarts(), "mean_sigma": self.strategy.mean_sigma(),
            "episodes": newest.episodes, "noise": self.noise.map(|noise| noise.level()), "assistance": assistance,
            "candidates_return": played.then_some(newest.mean_return), "candidates_length": played.then_some(newest.mean_length),
        })
    }

    /// Saves it in `run`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, config: &Config, run: &RunDir) -> Result<()> {
        let mut state = self.provenance(config, run)?;
        self.strategy.save(&mut state);
        if let Some(noise) = &self.noise {
            noise.save(&mut state);
        }
        let Whitening { mean, variance, count, .. } = &self.whitening;
        let best = self.best.iter().enumerate().map(|(i, values)| (format!("best.{i}"), values));
        let whitening = [("whitening.mean".to_string(), mean), ("whitening.variance".to_string(), variance)];
        for (name, values) in whitening.into_iter().chain(best) {
            state.insert(&name, &[values.len()], values.clone());
        }
        state.set_meta(FEATURES, count);
        state.write(&run.evolution())
    }

    /// The best controller so far, which makes models of `dims` act, and what it was trained with.
    ///
    /// # Errors
    /// One line: no mean could be validated.
    pub fn result(&self, config: &Config, run: &RunDir, dims: &Dims) -> Result<Checkpoint> {
        let best = self.best.first().ok_or_else(|| {
            anyhow!(
                "controller: expected a mean whose validation succeeds, found none in {} generations",
                self.state.generation
            )
        })?;
        let mut result = self.provenance(config, run)?;
        controller::insert(&mut result, dims, best);
        let spec = env::spec(&config.env)?;
        controller::say_acting(&mut result, config.controller.squash, &spec.actions);
        Ok(result)
    }

    fn provenance(&self, config: &Config, run: &RunDir) -> Result<Checkpoint> {
        let mut to = Checkpoint::default();
        to.set_meta(metadata::FORMAT, metadata::FORMAT_CHECKPOINT);
        to.set_meta(meta::STAGE, "controller");
        to.set_meta(meta::SEED, config.seed);
        to.set_meta(meta::VERSION, env!("CARGO_PKG_VERSION"));
        to.set_meta(meta::CONFIG, config.provenance());
        to.set_meta(metadata::ENV, &config.env.id);
        to.set_meta(&format!("{}vae", meta::UPSTREAM), digest(&run.vae())?);
        to.set_meta(&format!("{}mdnrnn", meta::UPSTREAM), digest(&run.mdnrnn())?);
        to.set_meta(FINGERPRINT, fingerprint(config, run)?);
        to.set_meta(STATE, toml::to_string(&self.state)?);
        to.set_meta(GENERATION, self.state.generation);
        to.set_meta("validation.steps", self.state.steps);
        to.set_meta("validation.dream_steps", self.state.dream_steps);
        let best = self.state.best.first();
        let figures =
            [("validation.return", best.and_then(|b| b.real)), ("validation.dream_score", best.and_then(|b| b.dream))];
        figures.into_iter().for_each(|(key, value)| value.into_iter().for_each(|value| to.set_meta(key, value)));
        self.state.stopped.iter().for_each(|stopped| to.set_meta("validation.stopped", stopped));
        Ok(to)
    }
}

/// That the strategy is for so many parameters.
fn check_size(config: &Config, dims: &Dims) -> Result<()> {
    let n = controller::len(dims);
    ensure!(
        config.controller.strategy != StrategyName::CmaEs || n <= MAX_FULL,
        "controller.strategy = \"cma-es\": expected at most {MAX_FULL} parameters, found {n}; sep-cma-es is for so many"
    );
    Ok(())
}

/// How many episodes, or dreams, a candidate may have, where `config` leaves that to their noise.
fn noise(config: &Config) -> Option<noise::Settings> {
    let (fewest, most) = match config.controller.scored_on {
        ScoredOn::Episodes => (config.controller.episodes, config.controller.max_episodes),
        ScoredOn::Dreams => (config.dream.dreams, config.dream.max_dreams),
    };
    config.controller.noise_handling.then(|| noise::Settings::new(fewest, most))
}

/// The saved state, which must be of this configuration, V, M and teacher policy.
///
/// # Errors
/// One line: it cannot be read, or is another's.
pub(super) fn read_state(config: &Config, run: &RunDir) -> Result<Checkpoint> {
    let saved = Checkpoint::read_state(&run.evolution())?;
    let path = run.evolution();
    let (path, anew) = (path.display(), anew(run));
    ensure!(State::is_in(&saved), "{path}: made by an earlier version, expected one that this version can continue; {anew}");
    ensure!(
        is_of(&saved, config, run)?,
        "{path}: expected the state of an evolution with this configuration, V and M, found another's; {anew}"
    );
    Ok(saved)
}

/// What evolves the run's C anew: a command that helps whatever command was refused.
pub(super) fn anew(run: &RunDir) -> String {
    format!("`dreamstep train --stage controller --force --run {}` evolves C anew", run.root().display())
}

/// Whether `result` is finished and an earlier version's, of this configuration, budget, V and M: such a one is kept.
///
/// # Errors
/// One line: what it says of itself cannot be read.
pub(super) fn is_finished_earlier(result: &Checkpoint, config: &Config, run: &RunDir) -> Result<bool> {
    let Some(recorded) = result.metadata.get(meta::CONFIG) else { return Ok(false) };
    // What an interruption before the first validation left was no result.
    let was_validated = result.metadata.get("validation.return").is_none_or(|value| value.parse().is_ok_and(f64::is_finite));
    let unread: &[&str] = match config.controller.scored_on {
        ScoredOn::Episodes => &["rounds", "dream"],
        ScoredOn::Dreams => &["rounds"],
    };
    let upstream = [("vae", run.vae()), ("mdnrnn", run.mdnrnn())];
    let same = config.first_difference(recorded, unread)?.is_none();
    Ok(was_validated && same && upstream.iter().all(|(name, path)| made_from(result, name, path).is_ok()))
}

/// Whether `file`, a result or a saved state, is of this configuration, but for the budget, and of the run's V, M and teacher policy.
///
/// # Errors
/// One line: V or M cannot be read.
pub(super) fn is_of(file: &Checkpoint, config: &Config, run: &RunDir) -> Result<bool> {
    Ok(file.metadata.get(FINGERPRINT) == Some(&fingerprint(config, run)?))
}

pub(super) fn fingerprint(config: &Config, run: &RunDir) -> Result<String> {
    let mut config = config.clone();
    (config.controller.steps, config.dream.generations, config.rounds) = (1, 1, RoundsConfig::default());
    if config.controller.scored_on == ScoredOn::Episodes {
        config.dream = DreamConfig::default();
    }
    let settings = Digest::default().update_bytes(config.provenance().as_bytes()).value();
    let teacher = if run.teacher().exists() { format!(" {}", digest(&run.teacher())?) } else { String::new() };
    Ok(format!("{settings:016x} {} {}{teacher}", digest(&run.vae())?, digest(&run.mdnrnn())?))
}
