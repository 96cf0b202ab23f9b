//! Dreams of the runtime: [`RuntimeDreams`] scores controllers that share V and M, on threads, in batches of dreams.
//!
//! ```text
//! candidates [C] × dreams [D] ─▶ a queue of jobs ─▶ each worker: some dreams side by side, one step at a time
//!                                                   (z, h) ─its candidate's controller→ a ─M→ h', z', reward, end
//! ```
//! All candidates dream the dreams of the same numbers: the same beginnings and the same draws. Which worker dreams which job, and beside
//! which others, is a matter of time and changes no bit ([`dreamstep_runtime::DreamBatch`]); so neither does the number of threads.
//!
//! Several M's may dream (an ensemble). What another M expects is told to the first, the agent's own, whose memory is the one that the
//! controller reads, in real episodes too: hidden vectors of two networks have nothing in common.

use super::recorded::Recorded;
use crate::run::config::{Config, DreamEnds};
use anyhow::{Context, Result};
use dreamstep_core::rng::Philox;
use dreamstep_runtime::{DreamBatch, DreamOptions, Model, Termination, dreams_memory_len};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Dreams that a worker steps together, at most: what the runtime steps as one.
const SLOTS: usize = 64;

/// A dream that has come so far with a lower probability is over.
pub(super) const LEAST: f64 = 1e-3;

/// What a candidate came to in its dreams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// What evolution climbs: the mean over the M's, less `dream.pessimism` times their standard deviation.
    pub value: f64,
    /// Mean steps of a dream.
    pub length: f64,
    /// Steps of all its dreams.
    pub steps: u64,
}

/// Candidates' dreams, and the threads that dream them.
pub struct RuntimeDreams<'a> {
    /// The first is the agent's own.
    models: &'a [Model<'a>],
    recorded: &'a Recorded,
    config: &'a Config,
    pool: rayon::ThreadPool,
}

/// A dream under way.
#[derive(Clone, Copy)]
struct Job {
    number: usize,
    candidate: usize,
    dream: Tally,
}

/// Score and steps of a dream so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) score: f64,
    pub(super) steps: u32,
    /// How probable it is that it ended before: 0, where ends are drawn.
    gone: f64,
}

impl Tally {
    /// That it came to so much.
    #[cfg(feature = "torch")]
    pub(super) const fn of(score: f64, steps: u32) -> Self {
        Self { score, steps, gone: 0.0 }
    }
}

impl<'a> RuntimeDreams<'a> {
    /// `models` dream, and begin where `recorded` says.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub fn new(models: &'a [Model<'a>], recorded: &'a Recorded, config: &'a Config) -> Result<Self> {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(config.worker_threads());
        Ok(Self { models, recorded, config, pool: threads.build().context("cannot start the worker threads")? })
    }

    /// Every candidate in the dreams `first`, `first + 1`, …, `dreams` of each M. `candidates` are the first model with other controllers.
    ///
    /// # Errors
    /// A model cannot dream, or a candidate does not fit it.
    pub fn score(&self, candidates: &[Model<'_>], first: u32, dreams: usize) -> Result<Vec<Score>> {
        let jobs = candidates.len() * dreams;
        let slots = jobs.div_ceil(self.pool.current_num_threads()).clamp(1, SLOTS);
        let mut members = Vec::with_capacity(self.models.len());
        for member in 0..self.models.len() {
            let next = AtomicUsize::new(0);
            let worker =
                |_: rayon::BroadcastContext<'_>| self.worker(member, candidates, [first as usize, dreams, slots], &next);
            let mut tallies = vec![Tally::default(); jobs];
            for part in self.pool.broadcast(worker) {
                part?.into_iter().for_each(|(job, dream)| tallies[job] = dream);
            }
            members.push(tallies);
        }
        Ok(scores(&members, dreams, self.config.dream.pessimism))
    }

    /// The agent's own V and M.
    #[must_use]
    pub const fn own(&self) -> &Model<'a> {
        &self.models[0]
    }

    /// Takes jobs until there are none; what they came to, by job.
    fn worker(
        &self,
        member: usize,
        candidates: &[Model<'_>],
        [first, dreams, slots]: [usize; 3],
        next: &AtomicUsize,
    ) -> Result<Vec<(usize, Tally)>> {
        let (config, rng) = (&self.config.dream, Philox::new(self.config.seed));
        let drawn = self.recorded.ends && config.ends == DreamEnds::Drawn;
        let ending = if drawn { Termination::Sampled } else { Termination::Never };
        let options =
            |termination| DreamOptions { seed: self.config.seed, temperature: config.temperature as f32, termination };
        let room = |model: &Model<'_>| vec![0.0; dreams_memory_len(model.dims(), slots)];
        let (own_model, teller_model) = (&self.models[0], &self.models[member]);
        let (mut own_memory, mut teller_memory) = (room(own_model), room(teller_model));
        let mut own = DreamBatch::new(
            *own_model,
            &mut own_memory,
            slots,
            options(if member == 0 { ending } else { Termination::Never }),
        )?;
        let mut other = match member {
            0 => None,
            _ => Some(DreamBatch::new(*teller_model, &mut teller_memory, slots, options(ending))?),
        };
        let mut latent = vec![0.0; own_model.dims().latent_len()];
        let still = vec![0.0; own_model.dims().unit_len()];
        let mut running: Vec<Option<Job>> = vec![None; slots];
        let mut results = Vec::new();
        loop {
            for (slot, place) in running.iter_mut().enumerate().filter(|(_, place)| place.is_none()) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= candidates.len() * dreams {
                    break;
                }
                let dream = first.wrapping_add(number % dreams) as u32;
                own.start(slot, dream, self.recorded.start(rng, dream, config.recorded_starts, 0, &mut latent))?;
                if let Some(other) = &mut other {
                    let start = self.recorded.start(rng, dream, config.recorded_starts, member, &mut latent);
                    other.start(slot, dream, start)?;
                }
                *place = Some(Job { number, candidate: number / dreams, dream: Tally::default() });
            }
            if running.iter().all(Option::is_none) {
                return Ok(results);
            }
            act(&mut own, candidates, &running)?;
            if let Some(other) = &mut other {
                for (slot, job) in running.iter_mut().enumerate().filter_map(|(slot, job)| Some((slot, job.as_mut()?))) {
                    let action = own.unit_action(slot);
                    if action.iter().all(|a| a.is_finite()) {
                        other.set_action(slot, action)?;
                    } else {
                        // Its sums overflow: it ranks last, whatever its dream comes to.
                        job.dream.score = f64::NAN;
                        other.set_action(slot, &still)?;
                    }
                }
                other.imagine()?;
            }
            own.imagine()?;
            for (slot, place) in running.iter_mut().enumerate() {
                let Some(job) = place else { continue };
                let teller = other.as_ref().unwrap_or(&own);
                if self.is_active(teller, slot, &mut job.dream) {
                    if let Some(other) = &other {
                        own.set_latent(slot, other.latent(slot))?;
                    }
                } else {
                    results.push((job.number, job.dream));
                    *place = None;
                    own.stop(slot)?;
                    other.as_mut().map_or(Ok(()), |other| other.stop(slot))?;
                }
            }
        }
    }

    /// Adds the step just imagined to `dream`; whether there is another.
    fn is_active(&self, teller: &DreamBatch<'_, '_>, slot: usize, dream: &mut Tally) -> bool {
        let (config, rewards) = (&self.config.dream, &self.recorded.rewards);
        let offset = self.config.controller.reward_offset;
        dream.steps += 1;
        let earned = |ends| rewards.of_step(f64::from(teller.reward(slot)), ends, offset);
        let expected = config.ends == DreamEnds::Expected && self.recorded.ends;
        let end =
            if expected { f64::from(teller.terminal_probability(slot)) } else { f64::from(u8::from(teller.is_done(slot))) };
        let here = 1.0 - dream.gone;
        if end > 0.0 {
            dream.score += here * end * earned(true);
        }
        let stays = here * (1.0 - end);
        dream.gone = 1.0 - stays;
        if stays < LEAST {
            return false;
        }
        let latent = teller.latent(slot);
        if !latent.iter().all(|z| z.is_finite()) {
            // No dream any more: its candidate ranks last.
            dream.score = f64::NAN;
            return false;
        }
        if self.recorded.is_left(latent, config.bound as f32) {
            dream.score += stays * rewards.of_leaving(config.horizon - dream.steps + 1, offset);
            return false;
        }
        dream.score += stays * earned(false);
        dream.steps < config.horizon
    }
}

/// Every candidate acts in its dreams: neighbours of one candidate in one call.
fn act(own: &mut DreamBatch<'_, '_>, candidates: &[Model<'_>], running: &[Option<Job>]) -> Result<()> {
    let mut from = 0;
    for same in running.chunk_by(|a, b| a.map(|job| job.candidate) == b.map(|job| job.candidate)) {
        if let Some(job) = same[0] {
            own.act_with(from..from + same.len(), &candidates[job.candidate])?;
        }
        from += same.len();
    }
    Ok(())
}

/// Every candidate's score, where `members[m]` is what the dreams of the `m`th M came to: `dreams` of the first candidate, then the next's.
pub(super) fn scores(members: &[Vec<Tally>], dreams: usize, pessimism: f64) -> Vec<Score> {
    let candidates = members[0].len() / dreams;
    let score = |candidate: usize| {
        let own = || members.iter().map(|member| &member[candidate * dreams..][..dreams]);
        let means: Vec<f64> =
            own().map(|tallies| tallies.iter().map(|dream| dream.score).sum::<f64>() / dreams as f64).collect();
        let steps: u64 = own().flatten().map(|dream| u64::from(dream.steps)).sum();
        Score { value: pessimistic(&means, pessimism), length: steps as f64 / (dreams * members.len()) as f64, steps }
    };
    (0..candidates).map(score).collect()
}

/// Mean less `k` standard deviations (population).
fn pessimistic(values: &[f64], k: f64) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    mean - k * (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
}
