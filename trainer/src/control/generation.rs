//! What is one generation? Every candidate of the search, folded into the agent that will run, plays the same episodes; their scores
//! move the search, and what they felt moves the whitening. Where noise is handled, a few of them play other episodes as well, which says how
//! many the next generation plays.

use super::whitening::{Whitening, add_rows};
use crate::control::strategies::Strategy;
use crate::control::strategies::noise::Noise;
use crate::env::pool::{EnvPool, Player, Policy};
use crate::run::config::{Config, ControllerConfig};
use crate::stats::Spread;
use anyhow::{Context, Result, anyhow};
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::Model;
use std::ops::Range;
use std::time::{Duration, Instant};

/// On what terms candidates play.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// Taken off every step's reward.
    pub reward_offset: f64,
    /// How firmly they are held upright ([`Player::assist`]).
    pub support: f64,
    /// Steps after which an episode is cut; 0: where the environment cuts it.
    pub cut: u32,
}

/// What a generation took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Environment steps, those of second scores included.
    pub steps: u64,
    /// Episodes of a candidate.
    pub episodes: usize,
    /// Mean return of the candidates' episodes.
    pub mean_return: f64,
    /// Mean length of the candidates' episodes, in steps.
    pub mean_length: f64,
    /// Drawing the perturbations.
    pub ask: Duration,
    /// Making the candidates' weights, all workers added up.
    pub candidates: Duration,
    /// Moving the search distribution.
    pub tell: Duration,
}

/// What a candidate's episodes came to.
struct Played {
    score: f64,
    episode_return: f64,
    steps: u64,
    making: Duration,
    felt: Option<Spread>,
}

/// One generation of `strategy`: every candidate, folded into `model`'s controller, plays
/// the same episodes in `arena`: as many as the configuration says, or as `noise` says, which then measures this generation's.
///
/// # Errors
/// An episode failed.
pub fn generation(
    strategy: &mut Strategy,
    noise: Option<&mut Noise>,
    config: &Config,
    terms: Terms,
    model: &Model<'_>,
    whitening: &mut Whitening,
    arena: &EnvPool,
) -> Result<Spent> {
    let ControllerConfig { online_whitening, carry_controller, .. } = config.controller;
    let episodes = noise.as_ref().map_or(config.controller.episodes, |noise| noise.episodes());
    let offset = terms.reward_offset;
    let (search, number) = (&*strategy, strategy.generation());
    let scale = &*whitening;
    let start = Instant::now();
    let generation = search.ask();
    let ask = start.elapsed();
    let play = |player: &mut Player, index: usize, episodes: Range<usize>| -> Result<Played> {
        let start = Instant::now();
        let mut parameters = Vec::new();
        search.candidate(&generation, index, &mut parameters);
        let panels = scale.panels(model.dims(), &parameters).with_context(|| format!("candidate {index}"))?;
        let candidate = model.with_controller(&panels).map_err(|error| anyhow!("candidate {index}: {error}"))?;
        let mut played = Played { score: 0.0, episode_return: 0.0, steps: 0, making: start.elapsed(), felt: None };
        let mut rows = Vec::new();
        player.assist(terms.support)?;
        let count = episodes.len() as f64;
        for episode in episodes {
            let seed = Philox::new(config.seed).bits(Stream::EvolutionReset, number, episode as u32);
            let outcome = match online_whitening {
                true => player.features(&candidate, seed, terms.cut, &mut rows)?,
                false => player.episode(Policy::Agent(&candidate), seed, terms.cut)?,
            };
            played.score += (outcome.episode_return - offset * outcome.length as f64) / count;
            played.episode_return += outcome.episode_return;
            played.steps += outcome.length;
        }
        // Who plays next is on his own.
        player.assist(0.0)?;
        if online_whitening {
            let mut felt = Spread::new(scale.mean.len());
            add_rows(&mut felt, &rows)?;
            played.felt = Some(felt);
        }
        Ok(played)
    };
    let results = arena.map(search.candidates(), |player, index| play(player, index, 0..episodes))?;
    let scores: Vec<f64> = results.iter().map(|played| played.score).collect();
    let mut second = Vec::new();
    if let Some(noise) = noise {
        let again = noise.choose(&scores);
        second = arena.map(again.len(), |player, i| play(player, again[i], episodes..2 * episodes))?;
        noise.tell(&scores, &again, &second.iter().map(|played| played.score).collect::<Vec<_>>());
    }
    // In the candidates' order, whoever played them.
    let all =
        results.iter().chain(&second).filter_map(|played| played.felt.as_ref()).fold(None, |all: Option<Spread>, felt| {
            match all {
                Some(mut all) => {
                    all.merge(felt);
                    Some(all)
                }
                None => Some(felt.clone()),
            }
        });
    let start = Instant::now();
    strategy.tell(&generation, &scores);
    let tell = start.elapsed();
    if let Some(felt) = all {
        let before = whitening.clone();
        whitening.add(&felt);
        if carry_controller {
            strategy.convert(|parameters| whitening.carry(&before, parameters));
        }
    }
    let steps = |results: &[Played]| results.iter().map(|played| played.steps).sum::<u64>();
    let played = (results.len() * episodes) as f64;
    Ok(Spent {
        steps: steps(&results) + steps(&second),
        episodes,
        mean_return: results.iter().map(|played| played.episode_return).sum::<f64>() / played,
        mean_length: steps(&results) as f64 / played,
        ask,
        candidates: results.iter().chain(&second).map(|played| played.making).sum(),
        tell,
    })
}
