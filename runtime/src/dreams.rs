//! A batch of dreams: one tick of one dream, or of many.
//!
//! ```text
//! (z,h) ─C→ u ─M([u,z], h, c)→ h', c' ─mdn(h')→ mixture, reward, end ─sample→ z'
//! ```
//!
//! Ha & Schmidhuber (2018), §"Learning inside of a dream". Dreams are stepped side by side, so that the weights are read once for
//! many of them; each gives the bits that it gives alone, whatever the number, the order, or the threads among which they are shared
//! out: its arithmetic is its own ([`crate::matvec`]), and its draws are named by its own number (see [`DreamBatch::start`]).

use crate::buffers::{Buffers, Cutter, Need, copy, lengths as buffer_lengths, outputs, row, row_mut, total};
use crate::c;
use crate::dream_error::DreamError;
use crate::kernels::dispatch;
use crate::m::{self, States};
use crate::matvec::Rows;
use crate::mdn::Prediction;
use crate::model::Model;
use core::ops::Range;
use dreamstep_core::c::ControllerInput;
use dreamstep_core::digest::Digest;
use dreamstep_core::dims::{Dims, padded};
use dreamstep_core::m::Mixture;
use dreamstep_core::rng::{Philox, Stream, dream_step};

/// Dreams that are stepped together: enough to spread the reading of the weights thin, few enough for their state to stay in the
/// cache.
const GROUP: usize = 64;

/// When a dream ends.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Termination {
    /// Where the terminal probability reaches this, in (0, 1].
    Threshold(f32),
    /// At random, with the terminal probability.
    Sampled,
    /// Never.
    Never,
}

/// How dreams are dreamt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DreamOptions {
    /// Names the draws, together with each dream's number.
    pub seed: u64,
    /// τ > 0: divides the mixture logits, and √τ multiplies σ. 1 is the model's own distribution.
    pub temperature: f32,
    /// When a dream ends.
    pub termination: Termination,
}

impl Default for DreamOptions {
    /// Seed 0, temperature 1, ends drawn at random: the model as it was trained.
    fn default() -> Self {
        Self { seed: 0, temperature: 1.0, termination: Termination::Sampled }
    }
}

/// Where a dream begins.
#[derive(Clone, Copy, Debug)]
pub struct DreamStart<'a> {
    /// `[Z]` latent of the first observation.
    pub latent: &'a [f32],
    /// `[H]` h and `[H]` c (a GRU's is empty) before that observation is taken in; none for the start of an episode (zeros).
    pub state: Option<(&'a [f32], &'a [f32])>,
}

/// A batch of dreams of one model, in the caller's memory.
#[derive(Debug)]
pub struct DreamBatch<'m, 'f> {
    model: Model<'f>,
    options: DreamOptions,
    count: usize,
    sizes: Sizes,
    memory: Memory<'m>,
}

/// Lengths of a dream's rows, padded to whole panels.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    x: usize,
    c: usize,
    z: usize,
    u: usize,
    head: usize,
}

/// Everything that changes. One row for each dream, then what a group works in.
#[derive(Debug)]
struct Memory<'m> {
    x: &'m mut [f32],       // [N, U+Z+H] M's input; h lives here
    c: &'m mut [f32],       // [N, H]; empty where M has none
    z: &'m mut [f32],       // [N, Z]
    u: &'m mut [f32],       // [N, U] as M hears it
    outcome: &'m mut [f32], // [N, 2] reward, terminal probability
    status: &'m mut [u32],  // [N, 3] phase, number, tick
    actions: &'m mut [f32], // [GROUP, U]
    drawing: &'m mut [f32], // [3, Z] one dream's draws for component and noise, and its latent
    buffers: Buffers<'m>,
}

/// Phases of a dream.
mod phase {
    /// Ended, or not begun.
    pub(super) const OVER: u32 = 0;
    /// Waits for an action.
    pub(super) const PERCEIVED: u32 = 1;
    /// Waits for `imagine`.
    pub(super) const ACTED: u32 = 2;
}

const fn sizes(dims: &Dims) -> Sizes {
    Sizes {
        x: padded(dims.memory_inputs()),
        c: padded(dims.cell_len()),
        z: outputs(dims.latent_len()),
        u: outputs(dims.unit_len()),
        head: outputs(dims.mdn_outputs()),
    }
}

/// How many `f32` a batch of `count` dreams works in; [`usize::MAX`] where no memory holds so many, which [`DreamBatch::new`] refuses.
#[must_use]
pub const fn dreams_memory_len(dims: &Dims, count: usize) -> usize {
    total([total(lengths(dims, count)), total(buffer_lengths(dims, need(dims), group(count)))])
}

/// What a dream's tick works in: V does not run.
const fn need(dims: &Dims) -> Need {
    m::need(dims).and(c::need(dims))
}

/// Dreams of a batch of `count` that are stepped together.
const fn group(count: usize) -> usize {
    if count < GROUP { count } else { GROUP }
}

/// Lengths of [`Memory`]'s own slices, in its order; `usize::MAX` where one does not fit a `usize`.
const fn lengths(dims: &Dims, count: usize) -> [usize; 8] {
    let Sizes { x, c, z, u, .. } = sizes(dims);
    [
        count.saturating_mul(x),
        count.saturating_mul(c),
        count.saturating_mul(z),
        count.saturating_mul(u),
        count.saturating_mul(2),
        count.saturating_mul(3),
        group(count).saturating_mul(u),
        z.saturating_mul(3),
    ]
}

impl<'m, 'f> DreamBatch<'m, 'f> {
    /// `count` dreams, none of which has begun (see [`Self::start`]). `memory` holds at least [`dreams_memory_len`] values; what they
    /// are does not matter.
    ///
    /// # Errors
    /// The controller reads observations, the model has no MDN head, an option is out of its range, no memory holds so many dreams, or
    /// the memory is too small.
    pub fn new(model: Model<'f>, memory: &'m mut [f32], count: usize, options: DreamOptions) -> Result<Self, DreamError> {
        let dims = *model.dims();
        if dims.input().has_observation() {
            return Err(DreamError::Input { found: dims.input() });
        }
        if !model.has_mdn() {
            return Err(DreamError::NoHead);
        }
        let DreamOptions { temperature, termination, .. } = options;
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(DreamError::Temperature { found: temperature });
        }
        match termination {
            Termination::Threshold(found) if !(found > 0.0 && found <= 1.0) => return Err(DreamError::Threshold { found }),
            _ => {}
        }
        let expected = dreams_memory_len(&dims, count);
        if expected == usize::MAX {
            return Err(DreamError::Count { found: count });
        }
        let error = DreamError::Memory { expected, found: memory.len() };
        if memory.len() < expected {
            return Err(error);
        }
        let [x, c, z, u, outcome, status, actions, drawing] = lengths(&dims, count);
        let mut cutter = Cutter::new(memory);
        let mut cut = |len| cutter.cut(len).ok_or(error);
        let memory = Memory {
            x: cut(x)?,
            c: cut(c)?,
            z: cut(z)?,
            u: cut(u)?,
            outcome: cut(outcome)?,
            status: bytemuck::try_cast_slice_mut(cut(status)?).map_err(|_| error)?,
            actions: cut(actions)?,
            drawing: cut(drawing)?,
            buffers: cutter.buffers(buffer_lengths(&dims, need(&dims), group(count))).ok_or(error)?,
        };
        Ok(Self { model, options, count, sizes: sizes(&dims), memory })
    }

    /// Begins dream `index` (anew). `number` names its draws: the same number, seed and start dream the same dream in any batch.
    ///
    /// # Errors
    /// There is no such dream, or a slice has another length or a non-finite value; nothing has changed then.
    pub fn start(&mut self, index: usize, number: u32, start: DreamStart<'_>) -> Result<(), DreamError> {
        let dims = self.model.dims();
        self.check_index(index)?;
        check("latent", start.latent, dims.latent_len())?;
        if let Some((h, c)) = start.state {
            check("h", h, dims.hidden_len())?;
            check("c", c, dims.cell_len())?;
        }
        let (sizes, memory) = (self.sizes, &mut self.memory);
        let x = row_mut(memory.x, index, sizes.x);
        let c = row_mut(memory.c, index, sizes.c);
        let z = row_mut(memory.z, index, sizes.z);
        x.fill(0.0);
        c.fill(0.0);
        z.fill(0.0);
        row_mut(memory.u, index, sizes.u).fill(0.0);
        row_mut(memory.outcome, index, 2).fill(0.0);
        copy(start.latent, z);
        copy(start.latent, x.get_mut(dims.unit_len()..).unwrap_or_default());
        if let Some((h, cell)) = start.state {
            copy(h, x.get_mut(dims.unit_len() + dims.latent_len()..).unwrap_or_default());
            copy(cell, c);
        }
        self.set_status(index, [phase::PERCEIVED, number, 0]);
        Ok(())
    }

    /// The model's controller acts in every dream that is active.
    pub fn act(&mut self) {
        self.act_in(0..self.count, self.model);
    }

    /// The controller of `other` acts in those dreams of `range` that are active, as [`Self::act`] would let the model's own: the dreams'
    /// memory and what they expect stay the model's. So one batch tries many controllers of one V and M
    /// ([`Model::with_controller`]), and the memory's weights are read once for all of them. A dream gives the bits that it gives alone
    /// in a batch of a model with that controller.
    ///
    /// # Errors
    /// There is no such dream, the controller reads observations or is of another kind, or a size is another; nothing has changed then.
    pub fn act_with(&mut self, range: Range<usize>, other: &Model<'_>) -> Result<(), DreamError> {
        if range.is_empty() {
            return Ok(());
        }
        self.check_index(range.end - 1)?;
        let (dims, found, found_input) = (self.model.dims(), other.dims(), other.dims().input());
        let sizes = [
            ("latent", dims.latent_len(), found.latent_len()),
            ("h", dims.hidden_len(), found.hidden_len()),
            ("action", dims.unit_len(), found.unit_len()),
        ];
        if let Some((what, expected, found)) = sizes.into_iter().find(|(_, expected, found)| expected != found) {
            return Err(DreamError::Length { what, expected, found });
        }
        if found_input.has_observation() {
            return Err(DreamError::Input { found: found_input });
        }
        // The batch's buffers are those of its own model's layers.
        if found.c.kind != dims.c.kind {
            return Err(DreamError::ControllerKind);
        }
        self.act_in(range, *other);
        Ok(())
    }

    /// The controller of `acting` acts in those dreams of `range`, all of which there are, that are active.
    fn act_in(&mut self, range: Range<usize>, acting: Model<'_>) {
        let (dims, isa, sizes) = (*self.model.dims(), self.model.isa, self.sizes);
        // In a row of x, [u, z, h], what C reads begins with z, or is h.
        let z = if acting.dims().input() == ControllerInput::Hidden { dims.latent_len() } else { 0 };
        let at = dims.unit_len() + z;
        for from in range.clone().step_by(GROUP) {
            let count = GROUP.min(range.end - from);
            let memory = &mut self.memory;
            let values = memory.x.get(from * sizes.x + at..).unwrap_or_default();
            acting.c.score(isa, Rows { values, stride: sizes.x, count }, &mut memory.buffers, memory.actions);
            for index in 0..count {
                if self.status(from + index)[0] != phase::OVER {
                    let action = row_mut(self.memory.actions, index, sizes.u);
                    acting.actuator.decide(isa, action);
                    copy(action, row_mut(self.memory.u, from + index, sizes.u));
                    self.set_phase(from + index, phase::ACTED);
                }
            }
        }
    }

    /// Another policy acts in dream `index`, where that is active: `unit_action` `[U]` as M hears it, clamped to [-1, 1].
    ///
    /// # Errors
    /// There is no such dream, or the slice has another length or a non-finite value; nothing has changed then.
    pub fn set_action(&mut self, index: usize, unit_action: &[f32]) -> Result<(), DreamError> {
        self.check_index(index)?;
        check("action", unit_action, self.model.dims().unit_len())?;
        if self.status(index)[0] != phase::OVER {
            let slots = row_mut(self.memory.u, index, self.sizes.u);
            slots.iter_mut().zip(unit_action).for_each(|(slot, value)| *slot = value.clamp(-1.0, 1.0));
            self.set_phase(index, phase::ACTED);
        }
        Ok(())
    }

    /// Dream `index`, where that is active, stands at `latent` `[Z]` from now on, whatever M sampled: what another model, or an environment,
    /// says came next. With its own memory the dream follows a trajectory that comes from elsewhere.
    ///
    /// # Errors
    /// There is no such dream, or the slice has another length or a non-finite value; nothing has changed then.
    pub fn set_latent(&mut self, index: usize, latent: &[f32]) -> Result<(), DreamError> {
        let dims = self.model.dims();
        self.check_index(index)?;
        check("latent", latent, dims.latent_len())?;
        if self.status(index)[0] != phase::OVER {
            copy(latent, row_mut(self.memory.z, index, self.sizes.z));
            let x = row_mut(self.memory.x, index, self.sizes.x);
            copy(latent, x.get_mut(dims.unit_len()..).unwrap_or_default());
        }
        Ok(())
    }

    /// Dream `index` is over from now on, whatever M expects of it: its place is free, and it waits for no action.
    ///
    /// # Errors
    /// There is no such dream.
    pub fn stop(&mut self, index: usize) -> Result<(), DreamError> {
        self.check_index(index)?;
        self.set_phase(index, phase::OVER);
        Ok(())
    }

    /// M takes in the actions of all dreams that are active, and says what comes next: reward, end, and a sampled latent.
    ///
    /// # Errors
    /// A dream that is active has no action; nothing has changed then.
    pub fn imagine(&mut self) -> Result<(), DreamError> {
        if let Some(index) = (0..self.count).find(|&index| self.status(index)[0] == phase::PERCEIVED) {
            return Err(DreamError::NoAction { index });
        }
        let (a, sizes) = (self.model.dims().unit_len(), self.sizes);
        for from in (0..self.count).step_by(GROUP) {
            // Dreams that are over at either end of a group cost nothing; those between others are computed and dropped.
            let mut range = from..self.count.min(from + GROUP);
            while range.end > range.start && self.is_done(range.end - 1) {
                range.end -= 1;
            }
            while range.end > range.start && self.is_done(range.start) {
                range.start += 1;
            }
            let (from, count) = (range.start, range.len());
            if count == 0 {
                continue;
            }
            for index in range {
                let action = row(self.memory.u, index, sizes.u).get(..a).unwrap_or_default();
                copy(action, row_mut(self.memory.x, index, sizes.x));
            }
            self.remember(from, count);
            self.expect(from, count);
        }
        Ok(())
    }

    /// [`Self::act`], then [`Self::imagine`]. Returns how many dreams are active.
    pub fn step(&mut self) -> usize {
        self.act();
        // Every dream that is active has just acted.
        let _ = self.imagine();
        self.active_count()
    }

    /// M, for dreams `from..from + count`.
    fn remember(&mut self, from: usize, count: usize) {
        let (model, sizes) = (self.model, self.sizes);
        let Memory { x, c, status, buffers, .. } = &mut self.memory;
        let states = States {
            x: x.get_mut(from * sizes.x..).unwrap_or_default(),
            x_stride: sizes.x,
            c: c.get_mut(from * sizes.c..).unwrap_or_default(),
            count,
        };
        let status = status.as_chunks::<3>().0;
        let is_active = |index: usize| status.get(from + index).is_some_and(|status| status[0] != phase::OVER);
        model.m.remember(model.isa, model.dims(), states, is_active, buffers);
    }

    /// The MDN head and what it leads to, for dreams `from..from + count`.
    fn expect(&mut self, from: usize, count: usize) {
        let (model, isa, sizes) = (self.model, self.model.isa, self.sizes);
        let (a, z) = (model.dims().unit_len(), model.dims().latent_len());
        let values = self.memory.x.get(from * sizes.x + a + z..).unwrap_or_default();
        model.m.expect(isa, Rows { values, stride: sizes.x, count }, &mut self.memory.buffers);
        for index in 0..count {
            let [phase, number, tick] = self.status(from + index);
            if phase == phase::OVER {
                continue;
            }
            let (rng, name) = (Philox::new(self.options.seed), dream_step(number, tick));
            let memory = &mut self.memory;
            let (component, rest) = memory.drawing.split_at_mut_checked(sizes.z).unwrap_or_default();
            let (noise, present) = rest.split_at_mut_checked(sizes.z).unwrap_or_default();
            // A joint mixture draws one component.
            let drawn = if model.dims().mixture() == Some(Mixture::Joint) { 1 } else { z };
            rng.fill_uniform(Stream::Component, name, component.get_mut(..drawn).unwrap_or_default());
            rng.fill_uniform(Stream::Latent, name, noise.get_mut(..z).unwrap_or_default());
            let head = memory.buffers.ping.get(index * sizes.head..).unwrap_or_default();
            // From its own row: in `x` it may end before a whole chunk can be read.
            copy(row(memory.z, from + index, sizes.z), present);
            let Some(prediction) = Prediction::new(&model.settings, head, present) else { continue };
            let next = row_mut(memory.z, from + index, sizes.z);
            dispatch!(isa, sample(&prediction, self.options.temperature, [component, noise], next));
            let (reward, probability) = (prediction.reward(), prediction.terminal_probability());
            if let [slot_reward, slot_probability] = row_mut(memory.outcome, from + index, 2) {
                (*slot_reward, *slot_probability) = (reward, probability);
            }
            let next = row(memory.z, from + index, sizes.z).get(..z).unwrap_or_default();
            copy(next, row_mut(memory.x, from + index, sizes.x).get_mut(a..).unwrap_or_default());
            let over = match self.options.termination {
                Termination::Threshold(threshold) => probability >= threshold,
                Termination::Sampled => rng.uniform(Stream::Terminal, name, 0) < probability,
                Termination::Never => false,
            };
            let phase = if over { phase::OVER } else { phase::PERCEIVED };
            self.set_status(from + index, [phase, number, tick.wrapping_add(1)]);
        }
    }

    /// The model that dreams them.
    #[must_use]
    pub const fn model(&self) -> &Model<'f> {
        &self.model
    }

    /// Dreams, begun or not.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Dreams that are active.
    #[must_use]
    pub fn active_count(&self) -> usize {
        (0..self.count).filter(|&index| !self.is_done(index)).count()
    }

    /// Whether dream `index` has ended, or never began.
    #[must_use]
    pub fn is_done(&self, index: usize) -> bool {
        self.status(index)[0] == phase::OVER
    }

    /// Ticks that dream `index` lasted so far.
    #[must_use]
    pub fn tick(&self, index: usize) -> u32 {
        self.status(index)[2]
    }

    /// The reward that M expected for the newest tick of dream `index`; 0 before the first.
    #[must_use]
    pub fn reward(&self, index: usize) -> f32 {
        row(self.memory.outcome, index, 2).first().copied().unwrap_or_default()
    }

    /// The probability that M gave the end at the newest tick of dream `index`; 0 before the first.
    #[must_use]
    pub fn terminal_probability(&self, index: usize) -> f32 {
        row(self.memory.outcome, index, 2).last().copied().unwrap_or_default()
    }

    /// `z` `[Z]` that dream `index` stands at; empty where there is no such dream.
    #[must_use]
    pub fn latent(&self, index: usize) -> &[f32] {
        row(self.memory.z, index, self.sizes.z).get(..self.model.dims().latent_len()).unwrap_or_default()
    }

    /// `h` `[H]` of dream `index`.
    #[must_use]
    pub fn hidden(&self, index: usize) -> &[f32] {
        let dims = self.model.dims();
        let from = dims.unit_len() + dims.latent_len();
        row(self.memory.x, index, self.sizes.x).get(from..from + dims.hidden_len()).unwrap_or_default()
    }

    /// `c` `[H]` of dream `index`; empty with a GRU.
    #[must_use]
    pub fn cell(&self, index: usize) -> &[f32] {
        row(self.memory.c, index, self.sizes.c).get(..self.model.dims().cell_len()).unwrap_or_default()
    }

    /// The newest action `[A]` of dream `index`, in [-1, 1].
    #[must_use]
    pub fn unit_action(&self, index: usize) -> &[f32] {
        row(self.memory.u, index, self.sizes.u).get(..self.model.dims().unit_len()).unwrap_or_default()
    }

    /// Digest of dream `index`: h, an LSTM's c, z, reward, terminal probability. Equal on every target, in every batch.
    #[must_use]
    pub fn digest(&self, index: usize) -> u64 {
        let state = Digest::default().update(self.hidden(index)).update(self.cell(index)).update(self.latent(index));
        state.update(&[self.reward(index), self.terminal_probability(index)]).value()
    }

    fn status(&self, index: usize) -> [u32; 3] {
        let status = self.memory.status.as_chunks().0.get(index);
        status.copied().unwrap_or([phase::OVER, 0, 0])
    }

    fn set_status(&mut self, index: usize, status: [u32; 3]) {
        if let Some(slot) = self.memory.status.as_chunks_mut().0.get_mut(index) {
            *slot = status;
        }
    }

    fn set_phase(&mut self, index: usize, phase: u32) {
        let [_, number, tick] = self.status(index);
        self.set_status(index, [phase, number, tick]);
    }

    const fn check_index(&self, index: usize) -> Result<(), DreamError> {
        if index < self.count { Ok(()) } else { Err(DreamError::Index { count: self.count, found: index }) }
    }
}

/// That a slice has its length, and only finite values.
fn check(what: &'static str, values: &[f32], expected: usize) -> Result<(), DreamError> {
    if values.len() != expected {
        return Err(DreamError::Length { what, expected, found: values.len() });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(DreamError::NonFinite { what, index }),
        None => Ok(()),
    }
}
