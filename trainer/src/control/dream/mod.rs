//! Scores in dreams of M (Ha & Schmidhuber 2018, §"Learning inside of a dream"). What decides whether they hold on the real environment:
//!
//! 1. What imagines is what runs ([`runtime`]). Or libtorch computes the same dreams, on a GPU where there is one ([`torch`],
//!    `dream.engine`).
//! 2. Dreams begin at recorded latents, and where they go beyond what was recorded they end ([`recorded`]).
//! 3. Where every recorded step earns the same, steps are counted; else M predicts rewards.
//! 4. All candidates of a generation have the same dreams. The mean of the search distribution is validated in dreams of its own, and plays
//!    real episodes where that is asked for: where dreams promise more and real episodes give less, evolution stops.
//!
//! Real and imagined steps are counted apart.

pub mod engine;
pub mod recorded;
pub mod runtime;
#[cfg(feature = "torch")]
pub mod torch;

use super::candidate::Candidates;
use super::real::{Returns, returns};
use super::scored::Scored;
use super::search::Search;
use crate::agent::controller;
use crate::env::pool::EnvPool;
use crate::run::config::Config;
use crate::world::device::Device;
use anyhow::{Result, anyhow};
use dreamstep_core::pack::AlignedBytes;
use dreamstep_runtime::Model;
use engine::Engine;
use recorded::Recorded;
pub use runtime::Score;

/// Names the real episodes of validations and of the last choice, among all that evolution resets.
const VALIDATION: u64 = u64::MAX - 1;

/// Dreams that score candidates, and real episodes for validation where they are asked for.
pub struct Imagined<'a> {
    config: &'a Config,
    /// The agent's own V and M, with some controller.
    model: &'a Model<'a>,
    engine: Engine<'a>,
    pool: Option<EnvPool>,
}

impl<'a> Imagined<'a> {
    /// Dreams of the M's in `agents`, which `models` are loaded from, the agent's own first; `device` is libtorch's.
    ///
    /// # Errors
    /// As [`Engine::new`]'s, or the environment cannot be made.
    pub fn new(
        config: &'a Config,
        agents: &[AlignedBytes],
        models: &'a [Model<'a>],
        recorded: &'a Recorded,
        device: Device,
    ) -> Result<Self> {
        let plays = config.dream.validation_episodes > 0 || config.dream.rerank_episodes > 0;
        let pool = plays.then(|| EnvPool::new(&config.env, config.worker_threads())).transpose()?;
        let engine = Engine::new(config, agents, models, recorded, device)?;
        Ok(Self { config, model: &models[0], engine, pool })
    }

    /// Scores of the candidates `which` in `count` dreams that no other generation has; in others, where `again` is set.
    pub(super) fn score(
        &self,
        candidates: &Candidates<'_>,
        which: &[usize],
        number: u64,
        count: usize,
        again: bool,
    ) -> Result<Vec<Scored>> {
        let dream = &self.config.dream;
        let most = if self.config.controller.noise_handling { 2 * dream.max_dreams } else { dream.dreams };
        let first = number.wrapping_mul(most as u64) as u32;
        let first = if again { first.wrapping_add(dream.max_dreams as u32) } else { first };
        let (dims, episodes) = (self.model.dims(), count * dream.ensemble);
        let mut scored = vec![Scored::default(); which.len()];
        let mut sound = Vec::new();
        for (scored, &index) in scored.iter_mut().zip(which) {
            let values = candidates.values(index);
            match controller::check(dims, &values) {
                Ok(()) => sound.push((scored, values)),
                Err(error) => *scored = Scored::failed(&error.context(format!("candidate {index}"))),
            }
        }
        let (places, values): (Vec<_>, Vec<_>) = sound.into_iter().unzip();
        for (place, Score { value, steps, .. }) in places.into_iter().zip(self.engine.score(&values, first, count)?) {
            *place = Scored { score: value, mean_return: value, episodes, steps, ..Scored::default() };
        }
        Ok(scored)
    }

    /// Score and steps of the controller with plain weights `values` in the dreams of validations, the same each time.
    pub(super) fn validate(&self, values: &[f32]) -> Result<(f64, u64)> {
        let count = self.config.dream.validation_dreams;
        let scores = self.engine.score(&[values.to_vec()], u32::MAX - count as u32, count)?;
        Ok((scores[0].value, scores[0].steps))
    }

    /// How it does in `episodes` real ones; none where that is none.
    pub(super) fn play(&self, values: &[f32], episodes: usize) -> Result<Option<Returns>> {
        if episodes == 0 {
            return Ok(None);
        }
        let pool = self.pool.as_ref().ok_or_else(|| anyhow!("expected an environment to play in, found none"))?;
        returns(pool, self.config, self.model, values, VALIDATION, episodes).map(Some)
    }
}

impl Search {
    /// Puts the best of the best means first: the one that does best in real episodes, where that is asked for.
    pub(super) fn rerank(&mut self, config: &Config, imagined: &Imagined<'_>) -> Result<()> {
        for (validation, values) in self.state.best.iter_mut().zip(&self.best) {
            if let Some(played) = imagined.play(values, config.dream.rerank_episodes)? {
                validation.real = Some(played.mean);
                self.state.steps += played.steps;
            }
        }
        if config.dream.rerank_episodes > 0 {
            let real = |i: &usize| self.state.best[*i].real.unwrap_or(f64::NEG_INFINITY);
            // Of equals the one that dreams prefer.
            let chosen = (0..self.best.len()).rev().max_by(|a, b| real(a).total_cmp(&real(b))).unwrap_or(0);
            self.state.best[..=chosen].rotate_right(1);
            self.best[..=chosen].rotate_right(1);
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "torch"))]
pub(super) mod tests;
#[cfg(all(test, feature = "torch"))]
mod torch_tests;
