//! One generation of evolution: candidates are drawn, scored in the same episodes or dreams, and move the search; what they observed moves
//! the whitening. Where noise is handled, some of them are scored a second time, which says how many episodes the next generation has.
//!
//! A candidate that cannot be scored (its weights overflow, the simulator fails, an observation or reward is not finite) ranks last.

use super::candidate::Candidates;
use super::real::{RealEpisodes, Returns, Terms};
use super::scored::{Scored, Spent};
use super::search::Search;
use super::strategies::noise::Noise;
use crate::control::dream::Imagined;
use crate::run::config::Config;
use anyhow::{Result, bail};
use std::time::Instant;

/// What scores candidates.
pub enum Scorer<'a> {
    /// Real episodes.
    Real(RealEpisodes<'a>),
    /// Dreams of M.
    Dream(Imagined<'a>),
}

impl Scorer<'_> {
    /// How many episodes, or dreams, a candidate has where their number does not follow the noise, and the most where it does.
    fn episodes(&self, config: &Config) -> [usize; 2] {
        match self {
            Self::Real(_) => [config.controller.episodes, config.controller.max_episodes],
            Self::Dream(_) => [config.dream.dreams, config.dream.max_dreams],
        }
    }

    /// Scores of the candidates `which` in generation `number`: in its first `count` episodes, or in others where `again` is set.
    fn score(
        &self,
        candidates: &Candidates<'_>,
        which: &[usize],
        number: u64,
        count: usize,
        again: bool,
        terms: Terms,
    ) -> Result<Vec<Scored>> {
        match self {
            Self::Real(real) => {
                let first = if again { count } else { 0 };
                real.score(candidates, which, number, first..first + count, terms)
            }
            Self::Dream(imagined) => imagined.score(candidates, which, number, count, again),
        }
    }
}

impl Search {
    /// One generation.
    ///
    /// # Errors
    /// One line: no candidate could be scored, with the first one's reason; or a worker is lost.
    pub fn generation(&mut self, config: &Config, scorer: &Scorer<'_>) -> Result<Spent> {
        let controller = &config.controller;
        let assistance = self.state.assistance;
        let terms = Terms {
            reward_offset: controller.reward_offset_at(self.state.steps),
            action_change_cost: controller.action_change_cost,
            assistance,
            cut: controller.cut(assistance),
        };
        let count = self.noise.as_ref().map_or(scorer.episodes(config)[0], Noise::episodes);
        let number = self.strategy.generation();
        let start = Instant::now();
        let drawn = self.strategy.ask();
        let ask = start.elapsed();
        let candidates = Candidates { strategy: &self.strategy, drawn: &drawn, whitening: &self.whitening };
        let all: Vec<usize> = (0..self.strategy.candidates()).collect();
        let first = scorer.score(&candidates, &all, number, count, false, terms)?;
        let scores: Vec<f64> = first.iter().map(|scored| scored.score).collect();
        if !scores.iter().any(|score| score.is_finite()) {
            let reason = first.iter().find_map(|scored| scored.error.clone());
            let reason = reason.unwrap_or_else(|| format!("candidate 0: its score is {}", scores[0]));
            bail!("generation {}: expected a candidate that can be scored, found none: {reason}", number + 1);
        }
        let mut second = Vec::new();
        if let Some(noise) = &mut self.noise {
            let again = noise.choose(&scores);
            second = scorer.score(&candidates, &again, number, count, true, terms)?;
            noise.tell(&scores, &again, &second.iter().map(|scored| scored.score).collect::<Vec<_>>());
        }
        let start = Instant::now();
        self.strategy.tell(&drawn, &scores);
        let tell = start.elapsed();
        self.observe(first.iter().chain(&second), controller.carry_controller);

        let sound: Vec<&Scored> = first.iter().filter(|scored| scored.score.is_finite()).collect();
        let sum = |of: fn(&Scored) -> f64| sound.iter().map(|scored| of(scored)).sum::<f64>();
        let spent = Spent {
            steps: first.iter().chain(&second).map(|scored| scored.steps).sum(),
            episodes: count,
            mean_return: sum(|scored| scored.mean_return) / sound.len() as f64,
            mean_length: sum(|scored| scored.steps as f64) / sum(|scored| scored.episodes as f64),
            failed: first.len() - sound.len(),
            ask,
            candidates: first.iter().chain(&second).map(|scored| scored.making).sum(),
            tell,
        };
        self.state.generation = self.strategy.generation();
        self.state.stopped = self.strategy.stopped().map(|stop| stop.name().to_string());
        self.state.failed += spent.failed as u64;
        match scorer {
            Scorer::Real(real) => {
                self.state.steps += spent.steps;
                self.state.assistance = controller.annealed(assistance, spent.mean_length, real.time_limit());
            }
            Scorer::Dream(_) => self.state.dream_steps += spent.steps,
        }
        Ok(spent)
    }

    /// Moves the whitening by what candidates observed, in their order, whoever played them.
    fn observe<'s>(&mut self, scored: impl Iterator<Item = &'s Scored>, carry: bool) {
        let sound = scored.filter(|scored| scored.score.is_finite());
        let all = sound.filter_map(|scored| scored.observed.as_ref()).cloned().reduce(|mut all, observed| {
            all.merge(&observed);
            all
        });
        let Some(observed) = all else { return };
        let before = self.whitening.clone();
        self.whitening.add(&observed);
        if carry {
            self.strategy.convert(|parameters| self.whitening.carry(&before, parameters));
        }
    }

    /// Validates the mean of the search distribution, and keeps it where it is among the best.
    ///
    /// # Errors
    /// A worker is lost, or M cannot dream.
    pub fn validate(&mut self, config: &Config, scorer: &Scorer<'_>) -> Result<()> {
        let values = self.whitening.fold(&self.strategy.mean());
        let (dream, real, kept) = match scorer {
            Scorer::Real(real) => (None, Some(real.validate(&values, config.controller.validation_episodes)?), 1),
            Scorer::Dream(imagined) => {
                let (score, steps) = imagined.validate(&values)?;
                self.state.dream_steps += steps;
                (Some(score), imagined.play(&values, config.dream.validation_episodes)?, config.dream.rerank)
            }
        };
        self.state.steps += real.map_or(0, |real| real.steps);
        self.record(dream, real.map(|real: Returns| real.mean), values, kept);
        Ok(())
    }
}
