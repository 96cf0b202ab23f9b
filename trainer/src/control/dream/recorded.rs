//! What dreams take from the recorded episodes: where they begin, how far they may go, and what a step is worth.
//!
//! A dream begins at the latent of a recorded observation, sampled from V's posterior: where an episode began, with an empty memory, or in
//! the middle of one, with the memory that the recorded observations and actions leave there, exactly as acting would have left it.

use crate::agent::v::Codec;
use crate::data::dataset::Dataset;
use crate::data::rollouts::Episode;
use crate::env;
use crate::run::config::Config;
use crate::run::folder::RunDir;
use crate::run::interrupt;
use anyhow::{Result, ensure};
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::{Agent, DreamStart, Model, memory_len};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Recorded steps that dreams begin at, of either kind: enough that no generation knows them by heart, few enough to keep in memory.
const PLACES: usize = 2048;
/// What a step is taken to earn where M knows nothing: a bad one's reward, by this quantile of the recorded ones.
const BAD: f64 = 0.05;
/// Rewards that differ by no more than this are one and the same.
const SAME: f64 = 1e-6;

/// A recorded observation that dreams begin at.
struct Place {
    /// `[Z]` V's mean and standard deviation.
    mean: Vec<f32>,
    std: Vec<f32>,
    /// Every M's h and c before it sees the observation; none where an episode begins.
    memories: Vec<(Vec<f32>, Vec<f32>)>,
}

/// What a step earns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rewards {
    /// Of a step that does not end the task and of one that does, where all recorded ones of a kind earn the same: then steps are counted,
    /// and no error of M's is worth anything. Else M predicts every step's reward, that of the last one included.
    pub counted: Option<[f64; 2]>,
    /// What living pays: the healthy bonus, or all there is where steps are counted.
    pub living: f64,
    /// What a bad step earns that does not end the task.
    pub bad: f64,
    /// What a step earns on average that ends the task, where any does.
    pub end: Option<f64>,
}

/// The recorded episodes, as dreams need them.
pub struct Recorded {
    resets: Vec<Place>,
    middles: Vec<Place>,
    /// `[Z]` least and greatest value of each latent: of the means, a standard deviation to either side.
    range: Vec<[f32; 2]>,
    /// Of their steps.
    pub rewards: Rewards,
    /// Whether any of them ends the task.
    pub ends: bool,
}

/// What the dreams of `models` take from the recorded episodes of `run`.
///
/// # Errors
/// As [`Recorded::gather`]'s, V cannot be read, or rewards differ that M was not trained to predict.
pub fn read(config: &Config, run: &RunDir, data: &Dataset, models: &[Model<'_>]) -> Result<Recorded> {
    let vae = Codec::read(&run.vae())?;
    let healthy_bonus = env::spec(&config.env)?.healthy_bonus;
    let recorded = Recorded::gather(models, &vae, data, healthy_bonus, Philox::new(config.seed))?;
    ensure!(
        recorded.rewards.counted.is_some() || config.mdnrnn.reward_weight > 0.0,
        "mdnrnn.reward_weight = 0: must be a positive number where rewards differ: M has to predict them in dreams"
    );
    Ok(recorded)
}

impl Recorded {
    /// Reads every episode once, on every core of the current thread pool. `models` are the M's that dream, the first of which acts.
    ///
    /// # Errors
    /// An episode cannot be read, or holds what no model takes in. [`interrupt::Interrupted`], where a signal came.
    pub fn gather(models: &[Model<'_>], vae: &Codec, data: &Dataset, healthy_bonus: f64, rng: Philox) -> Result<Self> {
        let latent = vae.shape.latent;
        let steps: Vec<usize> = data.entries().iter().map(|entry| entry.steps).collect();
        let (resets, middles) = places(&steps, rng);
        let mut recorded = Self {
            resets: Vec::new(),
            middles: Vec::new(),
            range: vec![[f32::INFINITY, f32::NEG_INFINITY]; latent],
            rewards: Rewards { counted: None, living: 0.0, bad: 0.0, end: None },
            ends: false,
        };
        // A core an episode, and together in their order.
        let part = |id| Part::of(data.read(id)?.as_ref(), models, vae, resets.contains(&id), wanted(&middles, id));
        let parts: Vec<Part> = (0..data.len()).into_par_iter().map(part).collect::<Result<_>>()?;
        let (mut on, mut end) = (Vec::new(), Vec::new());
        for part in parts {
            recorded.ends |= !part.end.is_empty();
            on.extend(part.on);
            end.extend(part.end);
            for ([low, high], [least, most]) in recorded.range.iter_mut().zip(part.range) {
                (*low, *high) = (low.min(least), high.max(most));
            }
            recorded.resets.extend(part.reset);
            recorded.middles.extend(part.middles);
        }
        ensure!(!on.is_empty(), "recorded episodes: expected a step that does not end its episode, found none");
        recorded.rewards = Rewards::of(&mut on, &mut end, healthy_bonus);
        Ok(recorded)
    }

    /// Where dream `number` begins, in the `member`th model: a fraction `middle` of them in the middle of an episode. `latent` `[Z]` is
    /// room for the sample.
    pub fn start<'s>(
        &'s self,
        rng: Philox,
        number: u32,
        middle: f64,
        member: usize,
        latent: &'s mut [f32],
    ) -> DreamStart<'s> {
        let step = u64::from(number);
        let in_the_middle = f64::from(rng.uniform(Stream::DreamStart, step, 0)) < middle && !self.middles.is_empty();
        let places = if in_the_middle { &self.middles } else { &self.resets };
        let place = &places[rng.below(Stream::DreamStart, step, 1, places.len() as u64) as usize];
        rng.fill_normal(Stream::DreamStartLatent, step, latent);
        for ((z, mean), std) in latent.iter_mut().zip(&place.mean).zip(&place.std) {
            *z = mean + std * *z;
        }
        let state = place.memories.get(member).map(|(h, c)| (h.as_slice(), c.as_slice()));
        DreamStart { latent, state }
    }

    /// Whether `latent` `[Z]` lies outside what was recorded by more than `bound` of the range; never where `bound` is 0.
    #[must_use]
    pub fn is_left(&self, latent: &[f32], bound: f32) -> bool {
        let outside = |(&z, [low, high]): (&f32, [f32; 2])| !(z >= low && z <= high);
        bound > 0.0 && latent.iter().zip(self.limits(bound)).any(outside)
    }

    /// `[Z]` least and greatest value of each latent that is within `bound` of what was recorded.
    pub fn limits(&self, bound: f32) -> impl Iterator<Item = [f32; 2]> {
        self.range.iter().map(move |&[low, high]| {
            let margin = bound * (high - low);
            [low - margin, high + margin]
        })
    }
}

/// What one episode adds.
struct Part {
    /// Rewards of the steps that do not end the task, and of the one that does.
    on: Vec<f64>,
    end: Vec<f64>,
    range: Vec<[f32; 2]>,
    reset: Option<Place>,
    middles: Vec<Place>,
}

impl Part {
    /// Its beginning, where it is a `reset`, and its steps `wanted`, in their order.
    fn of(episode: &Episode, models: &[Model<'_>], vae: &Codec, reset: bool, wanted: Vec<usize>) -> Result<Self> {
        interrupt::check()?;
        let (mut on, mut end) = (Vec::new(), Vec::new());
        for (&reward, &ends) in episode.rewards.iter().zip(&episode.terminals) {
            if ends { &mut end } else { &mut on }.push(f64::from(reward));
        }
        let rows = vae.encode(episode.observations.iter())?;
        let mut range = vec![[f32::INFINITY, f32::NEG_INFINITY]; vae.shape.latent];
        for [mean, log_var] in &rows {
            for ((range, &mean), &log_var) in range.iter_mut().zip(mean).zip(log_var) {
                let std = (0.5 * log_var).exp();
                *range = [range[0].min(mean - std), range[1].max(mean + std)];
            }
        }
        let place = |t: usize, memories| {
            let [mean, log_var] = &rows[t];
            Place { mean: mean.clone(), std: log_var.iter().map(|v| (0.5 * v).exp()).collect(), memories }
        };
        let mut memories: Vec<Vec<_>> = vec![Vec::new(); wanted.len()];
        for model in models {
            let mut memory = vec![0.0; memory_len(model.dims())];
            let mut agent = Agent::new(*model, &mut memory)?;
            let mut next = 0;
            for (t, observation) in episode.observations.iter().enumerate() {
                if wanted.get(next) == Some(&t) {
                    memories[next].push((agent.hidden().to_vec(), agent.cell().to_vec()));
                    next += 1;
                }
                if next == wanted.len() {
                    break;
                }
                agent.act_in_place(&observation)?;
                agent.override_action(&episode.actions.row(t).to_vec())?;
                agent.advance()?;
            }
        }
        let reset = reset.then(|| place(0, Vec::new()));
        let middles = wanted.into_iter().zip(memories).map(|(t, memories)| place(t, memories)).collect();
        Ok(Self { on, end, range, reset, middles })
    }
}

/// The steps of episode `id` among `middles`.
fn wanted(middles: &BTreeSet<(usize, usize)>, id: usize) -> Vec<usize> {
    middles.range((id, 0)..(id + 1, 0)).map(|&(_, t)| t).collect()
}

impl Rewards {
    /// Of steps that earned `on` and did not end the task, and of those that earned `end` and did.
    fn of(on: &mut [f64], end: &mut [f64], healthy_bonus: f64) -> Self {
        let mean_end = (!end.is_empty()).then(|| end.iter().sum::<f64>() / end.len() as f64);
        let [on_range, end_range] = [&mut *on, end].map(|earned| {
            earned.sort_by(f64::total_cmp);
            Some([*earned.first()?, *earned.last()?])
        });
        let bad = on[(BAD * on.len() as f64) as usize];
        let same = |[least, most]: [f64; 2]| (most - least <= SAME).then_some(least);
        let constant = on_range.and_then(same);
        // Where nothing ended, no dream does.
        let at_end = end_range.map_or(Some(0.0), same);
        let counted = constant.zip(at_end).map(<[f64; 2]>::from);
        Self { counted, living: counted.map_or(healthy_bonus, |[on, _]| on), bad, end: mean_end }
    }

    /// What an imagined step earns that `ends` the task or does not, where M expects `predicted`. `offset` is taken off.
    #[must_use]
    pub fn of_step(&self, predicted: f64, ends: bool, offset: f64) -> f64 {
        self.counted.map_or(predicted, |counted| counted[usize::from(ends)]) - offset
    }

    /// What it is worth to leave what was recorded, `missing` steps before the horizon. Leaving must not be a way not to pay: where ends
    /// cost it costs as much, and where living does not pay, the missing steps count as bad ones.
    #[must_use]
    pub fn of_leaving(&self, missing: u32, offset: f64) -> f64 {
        let step = if self.living - offset > 0.0 { 0.0 } else { (self.bad - offset).min(0.0) };
        f64::from(missing) * step + self.end.map_or(0.0, |end| (end - offset).min(0.0))
    }
}

/// Which episodes' beginnings, and which later steps (episode, step), dreams may begin at, where episode `i` has `steps[i]`.
fn places(steps: &[usize], rng: Philox) -> (BTreeSet<usize>, BTreeSet<(usize, usize)>) {
    let mut ids: Vec<usize> = (0..steps.len()).collect();
    rng.shuffle(Stream::DreamPlaces, 0, &mut ids);
    let resets = ids.into_iter().take(PLACES).collect();
    // Numbered through: an episode of T steps has T − 1 that are not its first.
    let ends: Vec<usize> = steps
        .iter()
        .scan(0, |sum, t| {
            *sum += t - 1;
            Some(*sum)
        })
        .collect();
    let all = ends.last().copied().unwrap_or(0);
    let place = |number: usize| {
        let id = ends.partition_point(|&end| end <= number);
        (id, number + 1 - (ends[id] + 1 - steps[id]))
    };
    let middles = if all <= PLACES {
        (0..all).map(place).collect()
    } else {
        (0..PLACES as u32).map(|i| place(rng.below(Stream::DreamPlaces, 1, i, all as u64) as usize)).collect()
    };
    (resets, middles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_but_the_first_and_the_last_observation_is_a_place() {
        let (resets, middles) = places(&[3, 1, 4], Philox::new(1));
        assert_eq!(resets, [0, 1, 2].into());
        assert_eq!(middles, [(0, 1), (0, 2), (2, 1), (2, 2), (2, 3)].into());
        let (resets, middles) = places(&[1000; 3000], Philox::new(1));
        assert_eq!(resets.len(), PLACES);
        assert!(middles.len() > PLACES - 10 && middles.iter().all(|&(id, t)| id < 3000 && (1..1000).contains(&t)));
        assert!(middles.range((2000, 0)..).count() > PLACES / 4, "from everywhere");
    }

    #[test]
    fn equal_rewards_are_counted_and_others_predicted() {
        // CartPole: every step earns 1, the last one too. M may be wrong about it as much as it likes.
        let same = Rewards::of(&mut [1.0; 10], &mut [1.0; 3], 0.0);
        assert_eq!(same, Rewards { counted: Some([1.0, 1.0]), living: 1.0, bad: 1.0, end: Some(1.0) });
        assert_eq!([same.of_step(7.0, false, 0.0), same.of_step(7.0, true, 0.5), same.of_leaving(9, 0.0)], [1.0, 0.5, 0.0]);
        // InvertedPendulum: the step that ends the task does not earn the bonus. Elsewhere it pays, or costs.
        for end in [0.0, 100.0, -100.0] {
            let rewards = Rewards::of(&mut [1.0; 10], &mut [end; 3], 1.0);
            assert_eq!([rewards.of_step(7.0, false, 0.25), rewards.of_step(7.0, true, 0.25)], [0.75, end - 0.25]);
        }
        // Only ends differ: M predicts.
        assert_eq!(Rewards::of(&mut [0.0; 9], &mut [5.0, 9.0], 0.0).of_step(7.0, true, 0.0), 7.0);
        assert_eq!(Rewards::of(&mut [2.0; 9], &mut [], 0.0).counted, Some([2.0, 0.0]), "nothing ends");
        // Humanoid: 5 for living, and the rest; a fall forfeits the 5, as M has learnt.
        let mut earned: Vec<f64> = (0..100).map(|i| 5.0 + f64::from(i) / 100.0).collect();
        let living = Rewards::of(&mut earned, &mut [0.25, 0.5], 5.0);
        assert_eq!((living.living, living.counted), (5.0, None));
        assert_eq!(
            [living.of_step(5.5, false, 4.0), living.of_step(0.5, true, 4.0), living.of_leaving(9, 4.0)],
            [1.5, -3.5, 0.375 - 4.0]
        );
        // HalfCheetah: nothing for living; a dream that leaves must not be spared what staying costs.
        let mut earned: Vec<f64> = (0..100).map(|i| -1.0 + f64::from(i) / 100.0).collect();
        let free = Rewards::of(&mut earned, &mut [], 0.0);
        assert_eq!((free.of_step(0.25, false, 0.0), free.bad, free.of_leaving(2, 0.0)), (0.25, -0.95, -1.9));
    }
}
