//! Dreams of libtorch: [`TorchDreams`] computes all dreams of all candidates as one batch, on a processor or a GPU.
//!
//! ```text
//! z, h [R] ─each candidate's own layers, one bmm each→ a ─M→ h' ─head→ mixture, reward, end ─named draws→ z' [R]
//! ```
//! `R = C·W` rows: of each of C candidates W dreams, which begin together. Every few ticks rows whose dreams are over are left out.
//!
//! The dreams are the runtime's ([`super::runtime`], [`dreamstep_runtime::DreamBatch`]): the same beginnings, the same ends, and the same draws
//! (Philox, made on the host: all candidates share them, so they are few). What differs is rounding: libtorch sums in another order, which
//! may depend on the number of rows. So the same batch on the same device gives the same bytes again (with `torch_threads = 1` on a
//! processor); on another device, or in the runtime, the same dream is as near as rounding leaves it, and where two choices of a discrete
//! action score the same to the last digit, rounding may choose the other.

use super::recorded::Recorded;
use super::runtime::{LEAST, Score, Tally, scores};
use crate::agent::controller;
use crate::run::checkpoint::Checkpoint;
use crate::run::config::{Config, DreamEnds};
use crate::world::mdnrnn::{MdnRnn, MdnRnnShape, MemoryState, Prediction};
use crate::world::nets::{import, indices, matrix};
use anyhow::{Context, Result, anyhow, ensure};
use dreamstep_core::action::Action;
use dreamstep_core::c::{Activation, ControllerInput, ControllerKind};
use dreamstep_core::m::{MemoryCell, Mixture, Recurrent};
use dreamstep_core::pack::{AlignedBytes, unpack};
use dreamstep_core::rng::{Philox, Stream, dream_step};
use dreamstep_core::schema::{LayerSpec, Settings, Squash};
use std::ops::Range;
use tch::{Device, Kind, Tensor, nn};

/// Ticks whose draws are made at once, and after which the host asks which dreams are active: on a GPU it waits for the device then.
const fn block(device: Device) -> u32 {
    match device {
        Device::Cpu => 4,
        _ => 16,
    }
}

/// Rows of a batch, at most: a head of 300 outputs takes 80 MB for so many.
const ROWS: usize = 1 << 16;

/// Dreams that libtorch computes.
pub struct TorchDreams<'a> {
    /// The first is the agent's own.
    members: Vec<Member>,
    /// The agent's.
    settings: Settings,
    /// `[Z]` least and greatest latents of what M knows; none where dreams may go anywhere.
    limits: Option<[Tensor; 2]>,
    recorded: &'a Recorded,
    config: &'a Config,
    device: Device,
}

/// An M that dreams.
struct Member {
    model: MdnRnn,
    /// What it leaves out of the rewards that it predicts.
    reward_offset: f64,
}

/// Dreams under way, `R = C·W` rows.
struct Batch {
    /// `[R]` which of all dreams: candidate · D + dream.
    jobs: Vec<usize>,
    /// `W`
    width: usize,
    /// Of each of C's layers, weights `[C, K, N]` and biases `[C, 1, N]`.
    layers: Vec<[Tensor; 2]>,
    /// `[R]` the dream among its candidate's.
    dream: Tensor,
    /// `[R, Z]`
    z: Tensor,
    /// The memory that the controllers read, `[R, H]`.
    own: MemoryState,
    /// That of the M which imagines, where it is another.
    other: Option<MemoryState>,
    /// `[R]`
    active: Tensor,
    score: Tensor,
    steps: Tensor,
    /// `[R]` how probable it is that the dream ended before: 0, where ends are drawn and it is active.
    gone: Tensor,
}

impl<'a> TorchDreams<'a> {
    /// The M's in `agents` dream, on `device`, and begin where `recorded` says.
    ///
    /// # Errors
    /// The controller reads observations, or an agent has no MDN head.
    pub fn new(agents: &[AlignedBytes], recorded: &'a Recorded, config: &'a Config, device: Device) -> Result<Self> {
        tch::set_num_threads(config.torch_threads as i32);
        let read = agents.iter().map(|agent| Member::read(agent, device)).collect::<Result<Vec<_>>>()?;
        let (members, settings): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        let settings = settings[0];
        let input = settings.dims.input();
        ensure!(
            !input.has_observation(),
            "dreams: expected a controller that reads z, h or z+h (a dream has no observations), found {}",
            input.name()
        );
        let bound = config.dream.bound as f32;
        let limits = (bound > 0.0).then(|| {
            [0, 1].map(|side: usize| {
                Tensor::from_slice(&recorded.limits(bound).map(|limits| limits[side]).collect::<Vec<f32>>())
                    .to_device(device)
            })
        });
        Ok(Self { members, settings, limits, recorded, config, device })
    }

    /// Every candidate in the dreams `first`, `first + 1`, …, `dreams` of each M.
    ///
    /// # Errors
    /// A candidate does not fit the agent, or is not finite.
    pub fn score(&self, candidates: &[Vec<f32>], first: u32, dreams: usize) -> Result<Vec<Score>> {
        for (index, values) in candidates.iter().enumerate() {
            controller::check(&self.settings.dims, values).with_context(|| format!("candidate {index}"))?;
        }
        let mut members = vec![Vec::with_capacity(candidates.len() * dreams); self.members.len()];
        for (member, tallies) in members.iter_mut().enumerate() {
            for some in candidates.chunks((ROWS / dreams).max(1)) {
                tallies.extend(tch::no_grad(|| self.dream(member, some, first, dreams))?);
            }
        }
        Ok(scores(&members, dreams, self.config.dream.pessimism))
    }

    /// What the dreams that the `member`th M tells came to, one candidate's after the other's.
    fn dream(&self, member: usize, candidates: &[Vec<f32>], first: u32, dreams: usize) -> Result<Vec<Tally>> {
        let (horizon, block) = (self.config.dream.horizon, block(self.device));
        let mut batch = self.begin(member, candidates, first, dreams);
        let mut tallies = vec![Tally::default(); candidates.len() * dreams];
        for from in (0..horizon).step_by(block as usize) {
            let ticks = from..horizon.min(from + block);
            let draws = self.draws(first, dreams, ticks.clone());
            for (at, tick) in ticks.enumerate() {
                let of_rows = draws.each_ref().map(|draws| draws.get(at as i64).index_select(0, &batch.dream));
                self.tick(&mut batch, member, of_rows, tick);
            }
            if !batch.compact(&mut tallies)? {
                break;
            }
        }
        batch.write_back(&mut tallies)?;
        Ok(tallies)
    }

    /// All dreams of `candidates`, before their first tick.
    fn begin(&self, member: usize, candidates: &[Vec<f32>], first: u32, dreams: usize) -> Batch {
        let dims = &self.settings.dims;
        let (latent, hidden) = (dims.latent_len(), dims.hidden_len());
        let (rng, middle) = (Philox::new(self.config.seed), self.config.dream.recorded_starts);
        let count = candidates.len() as i64;
        let rows = |values: &[f32], columns| matrix(values, columns, self.device).repeat([count, 1]);
        let mut latents = vec![0.0; dreams * latent];
        let mut memory = |member| {
            let (mut h, mut c) = (vec![0.0; dreams * hidden], vec![0.0; dreams * hidden]);
            for (dream, z) in latents.chunks_exact_mut(latent).enumerate() {
                // The same latent for every M.
                let start = self.recorded.start(rng, first.wrapping_add(dream as u32), middle, member, z);
                if let Some((h_0, c_0)) = start.state {
                    h[dream * hidden..][..hidden].copy_from_slice(h_0);
                    // A GRU has none.
                    c[dream * hidden..][..c_0.len()].copy_from_slice(c_0);
                }
            }
            MemoryState { h: rows(&h, hidden), c: (dims.cell() == Some(MemoryCell::Lstm)).then(|| rows(&c, hidden)) }
        };
        let (own, other) = (memory(0), (member > 0).then(|| memory(member)));
        let parts: Vec<_> = candidates.iter().map(|values| controller::tensors(dims, values)).collect();
        let stacked = |at: usize, outputs: i64| {
            let values: Vec<f32> = parts.iter().flat_map(|parts| parts[at].2).copied().collect();
            Tensor::from_slice(&values).to_device(self.device).reshape([count, outputs, -1]).transpose(1, 2)
        };
        let layers = dims.controller_layers();
        let layer = |(i, layer): (usize, &LayerSpec)| [2 * i, 2 * i + 1].map(|at| stacked(at, layer.rows.count() as i64));
        let jobs: Vec<usize> = (0..candidates.len() * dreams).collect();
        let each = |kind| Tensor::zeros([jobs.len() as i64], (kind, self.device));
        Batch {
            width: dreams,
            layers: layers.iter().enumerate().map(layer).collect(),
            dream: indices(&jobs.iter().map(|job| (job % dreams) as i64).collect::<Vec<_>>(), self.device),
            z: rows(&latents, latent),
            own,
            other,
            active: each(Kind::Bool).logical_not(),
            score: each(Kind::Double),
            steps: each(Kind::Int64),
            gone: each(Kind::Double),
            jobs,
        }
    }

    /// What is drawn in `ticks` T of dreams `first` and on: for the component `[T, D, 1 or Z]` and the noise `[T, D, Z]` of the next latent,
    /// and for the end `[T, D]`. Names and values are the runtime's.
    fn draws(&self, first: u32, dreams: usize, ticks: Range<u32>) -> [Tensor; 3] {
        let (rng, latent) = (Philox::new(self.config.seed), self.settings.dims.latent_len());
        let spans = if self.settings.dims.mixture() == Some(Mixture::Joint) { 1 } else { latent };
        let count = ticks.len() * dreams;
        let [mut component, mut noise, mut end] = [spans, latent, 1].map(|width| vec![0.0; count * width]);
        let names = ticks.clone().flat_map(|tick| (0..dreams as u32).map(move |d| dream_step(first.wrapping_add(d), tick)));
        let rows = component.chunks_exact_mut(spans).zip(noise.chunks_exact_mut(latent)).zip(&mut end);
        for (name, ((component, noise), end)) in names.zip(rows) {
            rng.fill_uniform(Stream::Component, name, component);
            rng.fill_normal(Stream::Latent, name, noise);
            *end = rng.uniform(Stream::Terminal, name, 0);
        }
        let [t, d] = [ticks.len() as i64, dreams as i64];
        let tensor = |values: &[f32]| Tensor::from_slice(values).to_device(self.device);
        [tensor(&component).reshape([t, d, -1]), tensor(&noise).reshape([t, d, -1]), tensor(&end).reshape([t, d])]
    }

    /// One tick of all rows, with what each draws.
    fn tick(&self, batch: &mut Batch, member: usize, [component, noise, end]: [Tensor; 3], tick: u32) {
        let action = self.act(batch);
        let own = self.members[0].model.step(&batch.z, &action, &batch.own);
        let teller = &self.members[member];
        batch.other = batch.other.as_ref().map(|other| teller.model.step(&batch.z, &action, other));
        let head = teller.model.predict(&batch.other.as_ref().unwrap_or(&own).h, &batch.z);
        batch.own = own;
        batch.z = self.sample(&head, &component, &noise);

        batch.steps += &batch.active;
        // How probable the end is here; where ends are drawn, 0 or 1. A dream that is over counts no more.
        let probability = head.terminal_logit.sigmoid();
        let ending = match (self.recorded.ends, self.config.dream.ends) {
            (false, _) => probability.zeros_like(),
            (true, DreamEnds::Drawn) => end.lt_tensor(&probability),
            (true, DreamEnds::Expected) => probability,
        };
        let ending = ending.to_kind(Kind::Double) * &batch.active;
        let ended = (1.0 - &batch.gone) * &ending;
        let stays: Tensor = (1.0 - &batch.gone) * (1.0 - &ending);
        batch.gone = 1.0 - &stays;
        let here = batch.active.logical_and(&stays.ge(LEAST));
        let finite = batch.z.isfinite().all_dim(1, false);
        let inside = match &self.limits {
            Some([low, high]) => batch.z.ge_tensor(low).logical_and(&batch.z.le_tensor(high)).all_dim(1, false),
            None => finite.shallow_clone(),
        };
        let goes_on = here.logical_and(&inside);
        let (rewards, offset) = (&self.recorded.rewards, self.config.controller.reward_offset);
        // As in the runtime's dreams, a latent that is not finite makes the score NaN.
        batch.score = batch.score.masked_fill(&here.logical_and(&finite.logical_not()), f64::NAN);
        let leaving = rewards.of_leaving(self.config.dream.horizon - tick, offset);
        if leaving != 0.0 {
            batch.score += here.logical_and(&goes_on.logical_not()).to_kind(Kind::Double) * &stays * leaving;
        }
        let counts = &stays * &goes_on;
        batch.score += if rewards.counted.is_some() {
            counts * rewards.of_step(0.0, false, offset) + ended * rewards.of_step(0.0, true, offset)
        } else {
            let predicted = (head.reward + teller.reward_offset).to_kind(Kind::Double) - offset;
            let weight: Tensor = counts + ended;
            predicted.masked_fill(&weight.le(0.0), 0.0) * weight
        };
        batch.active = goes_on;
    }

    /// Actions as M hears them `[R, U]`: each candidate's in its own rows.
    fn act(&self, batch: &Batch) -> Tensor {
        let features = match self.settings.dims.input() {
            ControllerInput::Latent => batch.z.shallow_clone(),
            ControllerInput::Hidden => batch.own.h.shallow_clone(),
            _ => Tensor::cat(&[&batch.z, &batch.own.h], 1),
        };
        let dims = &self.settings.dims;
        let mut read = features.reshape([-1, batch.width as i64, dims.controller_inputs() as i64]); // [C, W, K]
        for (i, [weight, bias]) in batch.layers.iter().enumerate() {
            read = bias.baddbmm(&read, weight, 1, 1);
            if let (true, ControllerKind::Mlp { activation, .. }) = (i + 1 < batch.layers.len(), dims.c.kind) {
                read = match activation {
                    Activation::Tanh => read.tanh(),
                    Activation::Relu => read.relu(),
                };
            }
        }
        let raw = read.reshape([-1, dims.unit_len() as i64]);
        match (dims.action, self.settings.squash) {
            (Action::Discrete { .. }, _) => one_hot_of_greatest(&raw),
            (_, Squash::Clamp) => raw.clamp(-1.0, 1.0),
            (_, Squash::Tanh) => raw.tanh(),
        }
    }

    /// The next latents `[R, Z]`: the temperature divides the logits, its root multiplies σ. By inverse transform, as the runtime draws:
    /// the last component before which no more than `component` of all weight lies.
    fn sample(&self, head: &Prediction, component: &Tensor, noise: &Tensor) -> Tensor {
        let temperature = self.config.dream.temperature as f32;
        let logits = &head.logits / f64::from(temperature); // [R, K, 1 or Z]
        let up_to = (&logits - logits.amax(1, true)).exp().cumsum(1, Kind::Float);
        let others = self.settings.dims.mixtures() as i64 - 1;
        let threshold = component.unsqueeze(1) * up_to.narrow(1, others, 1); // [R, 1, 1 or Z]
        let chosen = threshold.ge_tensor(&up_to.narrow(1, 0, others)).sum_dim_intlist(1, true, Kind::Int64);
        let at = chosen.expand([-1, 1, self.settings.dims.latent_len() as i64], false);
        let of = |block: &Tensor| block.gather(1, &at, false).squeeze_dim(1); // [R, Z]
        of(&head.means) + of(&head.log_sigmas).exp() * f64::from(temperature.sqrt()) * noise
    }
}

/// Of scores `[R, U]`, 1 at each row's greatest and 0 elsewhere, as the runtime chooses ([`dreamstep_core::action::greatest`]): the first of
/// equals; NaN counts as less than any number, and where there is no number the first is chosen.
fn one_hot_of_greatest(scores: &Tensor) -> Tensor {
    let is_number = scores.isnan().logical_not();
    let numbers = scores.masked_fill(&is_number.logical_not(), f64::NEG_INFINITY);
    let greatest = numbers.eq_tensor(&numbers.amax(1, true)).logical_and(&is_number);
    // −∞ is a number too, so that a row has none only where all are NaN.
    let none = greatest.any_dim(1, true).logical_not();
    let first = greatest.narrow(1, 0, 1).logical_or(&none);
    let greatest = Tensor::cat(&[first, greatest.narrow(1, 1, greatest.size()[1] - 1)], 1);
    let up_to = greatest.cumsum(1, Kind::Int64);
    greatest.logical_and(&up_to.eq(1)).to_kind(Kind::Float)
}

impl Member {
    /// The M in `agent`, and the agent's settings.
    fn read(agent: &AlignedBytes, device: Device) -> Result<(Self, Settings)> {
        let parts = unpack(agent).map_err(|error| anyhow!("base agent: {error}"))?;
        let settings = parts.settings;
        let dims = &settings.dims;
        let m = dims.m.recurrent().zip(dims.cell());
        let (Recurrent { hidden, mixtures, mixture }, cell) = m.context("base agent: expected an M to dream, found none")?;
        let shape = MdnRnnShape {
            action: dims.unit_len(),
            latent: dims.latent_len(),
            hidden,
            cell,
            mixture,
            target: settings.target,
            mixtures,
            log_sigma_min: f64::from(settings.log_sigma_min),
        };
        let variables = nn::VarStore::new(device);
        let model = MdnRnn::new(&variables.root(), shape, Philox::new(0));
        import(&variables, &Checkpoint::of("base agent", parts.tensors.into_iter()))?;
        Ok((Self { model, reward_offset: f64::from(settings.reward_offset) }, settings))
    }
}

impl Batch {
    /// Leaves out rows whose dreams are over, where that is a quarter of all or more; W is then the most that any candidate has under way,
    /// and who has fewer keeps some that are over. Returns whether any dream is active.
    fn compact(&mut self, tallies: &mut [Tally]) -> Result<bool> {
        let active: Vec<bool> = Vec::try_from(&self.active.to_device(Device::Cpu))?;
        let counts: Vec<usize> = active.chunks(self.width).map(|own| own.iter().filter(|&&on| on).count()).collect();
        let width = counts.iter().copied().max().unwrap_or(0);
        let kept: Vec<usize> = (0..counts.len()).filter(|&candidate| counts[candidate] > 0).collect();
        if kept.is_empty() || 4 * kept.len() * width > 3 * active.len() {
            return Ok(!kept.is_empty());
        }
        self.write_back(tallies)?;
        let of_candidate = |&candidate: &usize| {
            let mut rows: Vec<usize> = (candidate * self.width..(candidate + 1) * self.width).collect();
            rows.sort_by_key(|&row| !active[row]);
            rows.into_iter().take(width)
        };
        let rows: Vec<usize> = kept.iter().flat_map(of_candidate).collect();
        self.jobs = rows.iter().map(|&row| self.jobs[row]).collect();
        self.width = width;
        let index = |values: &[usize]| indices(&values.iter().map(|&v| v as i64).collect::<Vec<_>>(), self.z.device());
        let (rows, kept) = (index(&rows), index(&kept));
        for of_candidates in self.layers.iter_mut().flatten() {
            *of_candidates = of_candidates.index_select(0, &kept);
        }
        for of_rows in [&mut self.dream, &mut self.z, &mut self.active, &mut self.score, &mut self.steps, &mut self.gone] {
            *of_rows = of_rows.index_select(0, &rows);
        }
        self.own = self.own.rows(&rows);
        self.other = self.other.as_ref().map(|other| other.rows(&rows));
        Ok(true)
    }

    /// Writes down what each row's dream came to so far.
    fn write_back(&self, tallies: &mut [Tally]) -> Result<()> {
        let score: Vec<f64> = Vec::try_from(&self.score.to_device(Device::Cpu))?;
        let steps: Vec<i64> = Vec::try_from(&self.steps.to_device(Device::Cpu))?;
        for ((&job, score), steps) in self.jobs.iter().zip(score).zip(steps) {
            tallies[job] = Tally::of(score, steps as u32);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::nets::to_vec;
    use dreamstep_core::action::greatest;

    #[test]
    fn libtorch_chooses_as_the_runtime_does() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let values = [-1.0, 0.0, -0.0, 2.0, nan, inf, -inf];
        // Every row of three of them.
        let rows: Vec<[f32; 3]> = (0..343).map(|i| [values[i / 49], values[i / 7 % 7], values[i % 7]]).collect();
        let chosen = to_vec(&one_hot_of_greatest(&matrix(rows.as_flattened(), 3, Device::Cpu))).unwrap();
        for (row, chosen) in rows.iter().zip(chosen.chunks(3)) {
            let expected: Vec<f32> = (0..3).map(|i| f32::from(u8::from(i == greatest(row)))).collect();
            assert_eq!(chosen, expected, "{row:?}");
        }
        assert_eq!(
            to_vec(&one_hot_of_greatest(&matrix(&[nan, -7.0], 1, Device::Cpu))).unwrap(),
            [1.0, 1.0],
            "of one choice"
        );
    }
}
