//! Scores on real episodes, stepped by the runtime itself: what is trained is what will run.
//!
//! All candidates of a generation play the same episodes, in the task's physics or in cheaper ones (`controller.physics`), and with an
//! assistive force at first where `controller.assist.force` asks for one. Validation episodes are in the task's physics, without assistance.

use super::candidate::{Candidates, Controller};
use super::scored::Scored;
use super::whitening::add_rows;
use crate::env::pool::{Cut, EnvPool, Estimate, Outcome, Player, Policy};
use crate::env::{EnvConfig, Physics, ends_run};
use crate::run::config::Config;
use crate::stats::Spread;
use anyhow::{Context, Result};
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::Model;
use std::ops::Range;
use std::time::Instant;

/// Names the validation episodes among the generations'.
pub(super) const VALIDATION: u64 = u64::MAX;

/// The terms on which candidates play.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// Taken off every step's reward.
    pub reward_offset: f64,
    /// Taken off for every squared change of an actuator ([`Outcome::action_change`]).
    pub action_change_cost: f64,
    /// The assistive force, see [`Player::assist`].
    pub assistance: f64,
    /// Where an episode is cut.
    pub cut: Cut,
}

/// Real episodes, and the threads that play them.
pub struct RealEpisodes<'a> {
    config: &'a Config,
    /// V and M, with some controller.
    model: &'a Model<'a>,
    pool: EnvPool,
    /// Environments under surrogate physics, where candidates play in such.
    surrogate: Option<EnvPool>,
}

/// Mean return and steps of some episodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Returns {
    /// −∞ where an episode failed.
    pub(super) mean: f64,
    pub(super) steps: u64,
}

impl<'a> RealEpisodes<'a> {
    /// Episodes of `config.env`, of `model` with other controllers.
    ///
    /// # Errors
    /// The environment cannot be made, or the threads not started.
    pub fn new(config: &'a Config, model: &'a Model<'a>) -> Result<Self> {
        let threads = config.worker_threads();
        let surrogate = match config.controller.physics {
            Physics::Task => None,
            physics => Some(EnvPool::under(&config.env, physics, threads)?),
        };
        Ok(Self { config, model, pool: EnvPool::new(&config.env, threads)?, surrogate })
    }

    /// The environments that candidates play in.
    pub(super) fn training_pool(&self) -> &EnvPool {
        self.surrogate.as_ref().unwrap_or(&self.pool)
    }

    /// Steps after which the environment cuts an episode.
    #[must_use]
    pub const fn time_limit(&self) -> u32 {
        self.pool.time_limit()
    }

    /// Scores of the candidates `which` in `episodes` of generation `number`.
    pub(super) fn score(
        &self,
        candidates: &Candidates<'_>,
        which: &[usize],
        number: u64,
        episodes: Range<usize>,
        terms: Terms,
    ) -> Result<Vec<Scored>> {
        self.training_pool().map(which.len(), |player, i| {
            let start = Instant::now();
            let values = candidates.values(which[i]);
            let controller = Controller::new(self.model.dims(), &values);
            let making = start.elapsed();
            let named = || format!("candidate {}", which[i]);
            let scored = match controller.and_then(|made| self.play(player, &made, number, episodes.clone(), terms)) {
                Err(error) if ends_run(&error, &self.config.env) => return Err(error),
                scored => scored.unwrap_or_else(|error| Scored::failed(&error.context(named()))),
            };
            if scored.error.is_some() {
                // Whatever the episode left half-done is not used again.
                *player = Player::under(&self.config.env, self.config.controller.physics)?;
            }
            Ok(Scored { making, ..scored })
        })
    }

    /// One candidate's episodes.
    fn play(
        &self,
        player: &mut Player,
        made: &Controller,
        number: u64,
        episodes: Range<usize>,
        terms: Terms,
    ) -> Result<Scored> {
        let model = made.model(self.model)?;
        let online = self.config.controller.online_whitening;
        let mut rows = Vec::new();
        player.assist(terms.assistance)?;
        let outcomes = episodes.clone().map(|episode| {
            let seed = Philox::new(self.config.seed).bits(Stream::EvolutionReset, number, episode as u32);
            match online {
                true => player.features(&model, seed, terms.cut, &mut rows),
                false => player.episode(Policy::Agent(&model), seed, terms.cut),
            }
        });
        let mut scored = Scored::of(outcomes, episodes.len(), &terms, &self.config.env)?;
        player.assist(0.0)?;
        if online {
            let mut observed = Spread::new(self.model.dims().controller_inputs());
            add_rows(&mut observed, &rows)?;
            scored.observed = Some(observed);
        }
        Ok(scored)
    }

    /// `episodes` validation episodes of the controller with plain weights `values`.
    pub(super) fn validate(&self, values: &[f32], episodes: usize) -> Result<Returns> {
        returns(&self.pool, self.config, self.model, values, VALIDATION, episodes)
    }
}

/// How `model` with the plain weights `values` does in real episodes, which `name` tells from others.
pub(super) fn returns(
    pool: &EnvPool,
    config: &Config,
    model: &Model<'_>,
    values: &[f32],
    name: u64,
    episodes: usize,
) -> Result<Returns> {
    let made = Controller::new(model.dims(), values).context("mean")?;
    let model = made.model(model).context("mean")?;
    let outcomes = pool.map(episodes, |player, i| {
        let seed = Philox::new(config.seed).bits(Stream::EvolutionReset, name, i as u32);
        match player.episode(Policy::Agent(&model), seed, Cut::default()) {
            Ok(outcome) => Ok(Some(outcome)),
            Err(error) if ends_run(&error, &config.env) => Err(error),
            Err(_) => {
                *player = Player::new(&config.env)?;
                Ok(None)
            }
        }
    })?;
    let returns: Option<Vec<f64>> = outcomes.iter().map(|outcome| outcome.map(|outcome| outcome.episode_return)).collect();
    let mean = returns.map_or(f64::NEG_INFINITY, |returns| Estimate::of(&returns).mean);
    let steps = outcomes.iter().flatten().map(|outcome| outcome.length).sum();
    Ok(Returns { mean: if mean.is_finite() { mean } else { f64::NEG_INFINITY }, steps })
}

impl Scored {
    /// Of the `outcomes` of `count` episodes in `env`: the mean return, less what `terms` take off. An episode that failed is the last.
    ///
    /// # Errors
    /// An episode's that ends the run.
    fn of(outcomes: impl Iterator<Item = Result<Outcome>>, count: usize, terms: &Terms, env: &EnvConfig) -> Result<Self> {
        let mut scored = Self { episodes: count, ..Self::default() };
        let count = count as f64;
        for outcome in outcomes {
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(error) if ends_run(&error, env) => return Err(error),
                Err(error) => return Ok(Self { steps: scored.steps, ..Self::failed(&error) }),
            };
            let taken = terms.reward_offset * outcome.length as f64 + terms.action_change_cost * outcome.action_change;
            scored.score += (outcome.episode_return - taken) / count;
            scored.mean_return += outcome.episode_return / count;
            scored.steps += outcome.length;
        }
        Ok(scored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Fault, OnError};
    use crate::run::interrupt::Interrupted;
    use anyhow::anyhow;

    /// What the simulator gives that is not finite, or a panic in it, is one candidate's bad luck.
    #[test]
    fn an_episode_that_fails_is_the_candidates_last_and_its_score_is_no_number() {
        let played = |episode_return, length| Ok(Outcome { episode_return, length, ..Outcome::default() });
        let (env, none) = (EnvConfig::default(), Terms::default());
        let sound = Scored::of(
            [played(3.0, 10), played(5.0, 20)].into_iter(),
            2,
            &Terms { reward_offset: 0.1, ..Terms::default() },
            &env,
        )
        .unwrap();
        assert!((sound.score - 2.5).abs() < 1e-12 && sound.mean_return == 4.0, "{sound:?}");
        assert_eq!((sound.steps, sound.episodes, &sound.error), (30, 2, &None));
        let thrown = Outcome { episode_return: 3.0, length: 10, action_change: 40.0, ..Outcome::default() };
        let terms = Terms { reward_offset: 0.1, action_change_cost: 0.01, ..Terms::default() };
        let taken = Scored::of([Ok(thrown)].into_iter(), 1, &terms, &env).unwrap();
        assert!((taken.score - 1.6).abs() < 1e-12 && taken.mean_return == 3.0, "{taken:?}");
        let unplayed = std::iter::once_with(|| unreachable!("none is played after one that failed"));
        let broken = [played(3.0, 10), Err(anyhow!("observation[2]: expected a finite value, found NaN"))];
        let failed = Scored::of(broken.into_iter().chain(unplayed), 3, &none, &env).unwrap();
        assert!(failed.score.is_nan() && failed.steps == 10 && failed.error.unwrap().contains("observation[2]"));
        // A reward that is not finite is no error, and no score either.
        assert!(!Scored::of([played(f64::INFINITY, 10)].into_iter(), 1, &none, &env).unwrap().score.is_finite());
    }

    /// What the environment itself does is the run's end, but where the configuration says that it is bad luck, too.
    #[test]
    fn a_fault_ends_the_run_or_is_the_candidate_s_last_as_the_configuration_says() {
        let faulty = || std::iter::once_with(|| Err(anyhow::Error::new(Fault("it died".into())).context("seed 3, step 5")));
        let none = Terms::default();
        let [fail, worst] = [OnError::Fail, OnError::Worst].map(|on_error| EnvConfig { on_error, ..EnvConfig::default() });
        let error = Scored::of(faulty(), 1, &none, &fail).unwrap_err();
        assert_eq!(format!("{error:#}"), "seed 3, step 5: it died");
        let scored = Scored::of(faulty(), 1, &none, &worst).unwrap();
        assert!(scored.score.is_nan() && scored.error.unwrap().contains("it died"));
        // An interruption is nobody's bad luck.
        for env in [fail, worst] {
            let interrupted = std::iter::once_with(|| Err(anyhow::Error::new(Interrupted).context("seed 3")));
            assert!(Scored::of(interrupted, 1, &none, &env).unwrap_err().is::<Interrupted>());
        }
    }
}
