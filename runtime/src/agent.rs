//! One tick of the control loop.
//!
//! ```text
//! obs [O] ─whiten→ x [O] ─V→ z [Z] ─C(z,h)→ u [U] ─→ action [A]     ← act():     what the actuators wait for
//!                                   └────── M([u,z], h, c) → h', c' [H] ← advance(): after the command is out
//! ```
//!
//! V, M and C are of one of a few kinds each, and may be absent ([`Dims`]): z, h and c are empty then, and the tick is what is left of it.
//! A controller that reads x alone has neither V nor M: its [`Agent::advance`] counts the tick.

use crate::agent_error::{MemoryError, ReplaceModelError, StepError};
use crate::buffers::{Buffers, Cutter, Need, copy, lengths as buffer_lengths, outputs, total};
use crate::c;
use crate::health::Health;
use crate::kernels::dispatch;
use crate::m::{self, States};
use crate::matvec::Rows;
use crate::mdn::Prediction;
use crate::model::Model;
use crate::v::{self, Draw};
use dreamstep_core::action::Action;
use dreamstep_core::c::ControllerInput;
use dreamstep_core::digest::Digest;
use dreamstep_core::dims::{Dims, padded};
use dreamstep_core::obs::Observation;
use dreamstep_core::rng::Philox;

/// An agent in its loop: a constant [`Model`] and the memory of what it has seen.
///
/// No method allocates, locks, makes a system call, or runs longer on one observation than on another.
#[derive(Debug)]
pub struct Agent<'m, 'f> {
    pub(crate) model: Model<'f>,
    pub(crate) work: Work<'m>,
    health: Health,
    /// Whether this tick's surprise is counted.
    surprised: bool,
    acted: bool,
    seed: u64,
    tick: u64,
}

/// Everything that changes, cut from the caller's block. What is padded is padded to whole panels.
#[derive(Debug)]
pub(crate) struct Work<'m> {
    pub(crate) x: &'m mut [f32], // [U+Z+H] M's input: the newest u and z that it took in, and h, which lives here
    pub(crate) c: &'m mut [f32], // [H] padded; empty where M has none
    pub(crate) before: &'m mut [f32], // [Z] padded: the latent before, as the head's reader wants it
    pub(crate) tick: Tick<'m>,
    spare: Tick<'m>,        // what peek works in
    picture: &'m mut [f32], // a prepared picture's bytes; empty of vectors
    pub(crate) buffers: Buffers<'m>,
}

/// What `act` writes and `advance` reads.
#[derive(Debug)]
pub(crate) struct Tick<'m> {
    pub(crate) obs: &'m mut [f32],    // [O] the observation, then x, padded; empty of pictures
    pub(crate) z: &'m mut [f32],      // [Z] padded
    pub(crate) u: &'m mut [f32],      // [U] padded
    pub(crate) action: &'m mut [f32], // [A] padded
    input: &'m mut [f32],             // what C reads, padded; empty where that lies in one piece elsewhere
}

/// How many `f32` an agent of these sizes works in; `usize::MAX` where that does not fit a `usize`.
#[must_use]
pub const fn memory_len(dims: &Dims) -> usize {
    let tick = total(tick_lengths(dims));
    total([total(state_lengths(dims)), tick, tick, picture_len(dims), total(buffer_lengths(dims, need(dims), 1))])
}

/// What a tick works in.
const fn need(dims: &Dims) -> Need {
    v::need(dims).and(m::need(dims)).and(c::need(dims))
}

/// Lengths of [`Work`]'s own slices, in its order.
const fn state_lengths(dims: &Dims) -> [usize; 3] {
    [padded(dims.memory_inputs()), padded(dims.cell_len()), padded(dims.latent_len())]
}

/// `f32`s that hold a prepared picture's bytes.
const fn picture_len(dims: &Dims) -> usize {
    match dims.obs {
        Observation::Image(image) => padded(image.len().div_ceil(size_of::<f32>())),
        _ => 0,
    }
}

/// Lengths of [`Tick`]'s slices, in its order.
const fn tick_lengths(dims: &Dims) -> [usize; 5] {
    let input = match dims.input() {
        ControllerInput::LatentHidden | ControllerInput::ObservationHidden => padded(dims.controller_inputs()),
        ControllerInput::Latent | ControllerInput::Hidden | ControllerInput::Observation => 0,
    };
    let obs = match dims.obs {
        Observation::Image(_) => 0,
        _ => padded(dims.obs_len()),
    };
    [obs, outputs(dims.latent_len()), outputs(dims.unit_len()), padded(dims.action_len()), input]
}

impl<'m> Tick<'m> {
    fn cut(cutter: &mut Cutter<'m>, [obs, z, u, action, input]: [usize; 5]) -> Option<Self> {
        Some(Self {
            obs: cutter.cut(obs)?,
            z: cutter.cut(z)?,
            u: cutter.cut(u)?,
            action: cutter.cut(action)?,
            input: cutter.cut(input)?,
        })
    }
}

impl<'m> Work<'m> {
    fn cut(cutter: &mut Cutter<'m>, dims: &Dims) -> Option<Self> {
        let [x, c, before] = state_lengths(dims);
        Some(Self {
            x: cutter.cut(x)?,
            c: cutter.cut(c)?,
            before: cutter.cut(before)?,
            tick: Tick::cut(cutter, tick_lengths(dims))?,
            spare: Tick::cut(cutter, tick_lengths(dims))?,
            picture: cutter.cut(picture_len(dims))?,
            buffers: cutter.buffers(buffer_lengths(dims, need(dims), 1))?,
        })
    }
}

/// What C reads, where it lies; what follows it there is of no consequence. (A macro: it borrows parts of the work.)
macro_rules! reads {
    ($dims:expr, $work:expr) => {
        match $dims.input() {
            ControllerInput::LatentHidden | ControllerInput::ObservationHidden => &$work.tick.input[..],
            ControllerInput::Latent => &$work.tick.z[..],
            ControllerInput::Hidden => $work.x.get($dims.unit_len() + $dims.latent_len()..).unwrap_or_default(),
            ControllerInput::Observation => &$work.tick.obs[..],
        }
    };
}

impl<'m, 'f> Agent<'m, 'f> {
    /// An agent at the start of an episode. `memory` holds at least [`memory_len`] values; what they are does not matter.
    ///
    /// # Errors
    /// The memory is too small.
    pub fn new(model: Model<'f>, memory: &'m mut [f32]) -> Result<Self, MemoryError> {
        let dims = *model.dims();
        let error = MemoryError { expected: memory_len(&dims), found: memory.len() };
        if error.found < error.expected {
            return Err(error);
        }
        let work = Work::cut(&mut Cutter::new(memory), &dims).ok_or(error)?;
        Ok(Self { model, work, health: Health::NEW, surprised: false, acted: false, seed: 0, tick: 0 })
    }

    /// From an observation `[O]` to an action `[A]`, in the environment's units. (Of a picture, the observation is what is prepared of it, as
    /// numbers; a control loop has its frame: [`Self::act_image`].) The recurrent state is read, not changed: until
    /// [`Self::advance`], acting again answers another observation from the same state. A controller that does not read h
    /// ([`ControllerInput::has_hidden`]) acts the same without any [`Self::advance`], the mean latent taken.
    ///
    /// # Errors
    /// Wrong lengths or a non-finite observation; nothing has changed then.
    #[inline]
    pub fn act(&mut self, observation: &[f32], action: &mut [f32]) -> Result<(), StepError> {
        self.check_action(action)?;
        copy(self.act_in_place(observation)?, action);
        Ok(())
    }

    /// Like [`Self::act`], the action staying in the agent's memory.
    ///
    /// # Errors
    /// As for [`Self::act`].
    #[inline]
    pub fn act_in_place(&mut self, observation: &[f32]) -> Result<&[f32], StepError> {
        let expected = self.model.dims().obs_len();
        if observation.len() != expected {
            return Err(StepError::ObservationLength { expected, found: observation.len() });
        }
        if let Observation::Image(_) = self.model.dims().obs {
            let is_byte = |value: &f32| f32::from(*value as u8) == *value;
            if let Some((index, &found)) = observation.iter().enumerate().find(|(_, value)| !is_byte(value)) {
                return Err(StepError::NotAByte { index, found });
            }
            bytes(self.work.picture).iter_mut().zip(observation).for_each(|(byte, &value)| *byte = value as u8);
            return Ok(self.decide());
        }
        if !all_finite(observation)
            && let Some((index, &found)) = observation.iter().enumerate().find(|(_, value)| !value.is_finite())
        {
            return Err(StepError::NonFinite { index, found });
        }
        copy(observation, self.work.tick.obs);
        Ok(self.decide())
    }

    /// From a frame, as the camera or the environment has it, to an action `[A]`: what V sees is made of it here, as the file says
    /// ([`dreamstep_core::obs::image`]). `frame` holds rows of `[width, channels]` bytes that begin `stride` bytes apart; the last one may end
    /// with its pixels.
    ///
    /// # Errors
    /// The model observes vectors, the action buffer has another length, or the frame too few bytes; nothing has changed then.
    #[inline]
    pub fn act_image(&mut self, frame: &[u8], stride: usize, action: &mut [f32]) -> Result<(), StepError> {
        self.check_action(action)?;
        let Observation::Image(image) = self.model.dims().obs else {
            return Err(StepError::ObservationKind { expected: "vector" });
        };
        let [height, width, channels] = image.frame;
        let row = width * channels;
        if stride < row {
            return Err(StepError::FrameStride { expected: row, found: stride });
        }
        let expected = (height - 1).saturating_mul(stride).saturating_add(row);
        if frame.len() < expected {
            return Err(StepError::FrameLength { expected, found: frame.len() });
        }
        let picture = bytes(self.work.picture).get_mut(..image.len()).unwrap_or_default();
        let (tables, scratch) = (self.model.tables.0, bytes(self.work.buffers.pong));
        dispatch!(self.model.isa, prepare(&image, tables, frame, stride, scratch, picture));
        copy(self.decide(), action);
        Ok(())
    }

    /// From a picture that is prepared already, `[h, w, c]` bytes, to an action `[A]`, which stays in the agent's memory.
    ///
    /// # Errors
    /// The model observes vectors, or the picture has another length; nothing has changed then.
    pub fn act_prepared(&mut self, picture: &[u8]) -> Result<&[f32], StepError> {
        let Observation::Image(image) = self.model.dims().obs else {
            return Err(StepError::ObservationKind { expected: "vector" });
        };
        if picture.len() != image.len() {
            return Err(StepError::ObservationLength { expected: image.len(), found: picture.len() });
        }
        bytes(self.work.picture).iter_mut().zip(picture).for_each(|(to, &from)| *to = from);
        Ok(self.decide())
    }

    fn check_action(&self, action: &[f32]) -> Result<(), StepError> {
        let expected = self.model.dims().action_len();
        match action.len() == expected {
            true => Ok(()),
            false => Err(StepError::ActionLength { expected, found: action.len() }),
        }
    }

    /// What was observed → z → action `[A]`.
    #[inline]
    fn decide(&mut self) -> &[f32] {
        self.whiten();
        self.encode();
        self.control();
        self.acted = true;
        self.work.tick.action.get(..self.model.dims().action_len()).unwrap_or_default()
    }

    /// What [`Self::act`] would answer, without a trace: whatever the agent was about to do, it still is, and whatever it tells of itself
    /// stays.
    ///
    /// # Errors
    /// As for [`Self::act`].
    pub fn peek(&mut self, observation: &[f32], action: &mut [f32]) -> Result<(), StepError> {
        self.without_a_trace(|agent| agent.act(observation, action))
    }

    /// What [`Self::act_image`] would answer, without a trace.
    ///
    /// # Errors
    /// As for [`Self::act_image`].
    pub fn peek_image(&mut self, frame: &[u8], stride: usize, action: &mut [f32]) -> Result<(), StepError> {
        self.without_a_trace(|agent| agent.act_image(frame, stride, action))
    }

    fn without_a_trace(&mut self, act: impl FnOnce(&mut Self) -> Result<(), StepError>) -> Result<(), StepError> {
        let acted = self.acted;
        core::mem::swap(&mut self.work.tick, &mut self.work.spare);
        let result = act(self);
        core::mem::swap(&mut self.work.tick, &mut self.work.spare);
        self.acted = acted;
        result
    }

    /// Observation → x `[O]`, in place.
    #[inline]
    pub(crate) fn whiten(&mut self) {
        let (model, tick) = (&self.model, &mut self.work.tick);
        model.whitener.whiten(model.isa, model.settings.obs_clip, tick.obs);
    }

    /// x `[O]` → z `[Z]`: V. Ha & Schmidhuber (2018), V.
    #[inline]
    fn encode(&mut self) {
        let (model, work) = (&self.model, &mut self.work);
        let draw = Draw { rng: Philox::new(self.seed), tick: self.tick };
        let seen = (&*work.tick.obs, &*bytes(work.picture));
        model.v.encode(model.isa, &model.settings, draw, seen, &mut work.buffers, work.tick.z);
    }

    /// `[z, h]`, or another [`ControllerInput`], → u `[U]` → action `[A]`: C. Ha & Schmidhuber (2018), equation 1.
    #[inline]
    fn control(&mut self) {
        self.gather();
        self.score();
        let (model, tick) = (&self.model, &mut self.work.tick);
        model.actuator.decide(model.isa, tick.u);
        model.actuator.actuate(model.isa, tick.u, tick.action);
    }

    /// Brings together what C reads, where it does not lie in one piece.
    #[inline]
    fn gather(&mut self) {
        let (dims, work) = (self.model.dims(), &mut self.work);
        let newest = match dims.input() {
            ControllerInput::LatentHidden => work.tick.z.get(..dims.latent_len()).unwrap_or_default(),
            ControllerInput::ObservationHidden => work.tick.obs.get(..dims.obs_len()).unwrap_or_default(),
            ControllerInput::Latent | ControllerInput::Hidden | ControllerInput::Observation => return,
        };
        let h = work.x.get(dims.unit_len() + dims.latent_len()..).and_then(|x| x.get(..dims.hidden_len()));
        copy(newest, work.tick.input);
        copy(h.unwrap_or_default(), work.tick.input.get_mut(newest.len()..).unwrap_or_default());
    }

    /// What C reads → its scores, in `tick.u`.
    #[inline]
    pub(crate) fn score(&mut self) {
        let (model, work) = (&self.model, &mut self.work);
        let rows = Rows::one(reads!(model.dims(), work));
        model.c.score(model.isa, rows, &mut work.buffers, work.tick.u);
    }

    /// `([u, z], h, c)` → `(h', c')`: M.
    #[inline]
    fn remember(&mut self) {
        let (model, work) = (&self.model, &mut self.work);
        let dims = model.dims();
        copy(work.tick.u.get(..dims.unit_len()).unwrap_or_default(), work.x);
        copy(
            work.tick.z.get(..dims.latent_len()).unwrap_or_default(),
            work.x.get_mut(dims.unit_len()..).unwrap_or_default(),
        );
        let states = States { x: work.x, x_stride: 0, c: work.c, count: 1 };
        model.m.remember(model.isa, dims, states, |_| true, &mut work.buffers);
    }

    /// h → the MDN head's outputs, in `buffers.ping`; false where the file has no head.
    pub(crate) fn expect(&mut self) -> bool {
        let (model, work) = (&self.model, &mut self.work);
        let at = model.dims().unit_len() + model.dims().latent_len();
        let h = Rows::one(work.x.get(at..).unwrap_or_default());
        model.m.expect(model.isa, h, &mut work.buffers)
    }

    /// Tells the agent what was really sent to the actuators `[A]`, where that is not what [`Self::act`] asked for: a safety filter
    /// cut it, or a person or another policy is in command. [`Self::advance`] then remembers this action.
    ///
    /// # Errors
    /// Wrong length, a non-finite value, a discrete action that is none of the choices, or no [`Self::act`] to correct; nothing has changed
    /// then.
    pub fn override_action(&mut self, applied: &[f32]) -> Result<(), StepError> {
        let expected = self.model.dims().action_len();
        if applied.len() != expected {
            return Err(StepError::ActionLength { expected, found: applied.len() });
        }
        if let Some((index, &found)) = applied.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(StepError::NonFiniteAction { index, found });
        }
        if !self.acted {
            return Err(StepError::OverrideBeforeAct);
        }
        let (choices, found) = (self.model.dims().unit_len(), applied.first().copied().unwrap_or_default());
        self.model.actuator.hear(applied, self.work.tick.u).map_err(|_| StepError::NoSuchChoice { choices, found })
    }

    /// Takes the newest observation and action into the recurrent state, where there is an M, and counts what [`Self::health`] tells. Call it
    /// when the command is out.
    ///
    /// # Errors
    /// There was no [`Self::act`] since the last `advance` or `reset`.
    #[inline]
    pub fn advance(&mut self) -> Result<(), StepError> {
        if !self.acted {
            return Err(StepError::AdvanceBeforeAct);
        }
        let (model, tick) = (&self.model, &self.work.tick);
        let clipped =
            model.whitener.clipped(model.settings.obs_clip, tick.obs.get(..model.dims().obs_len()).unwrap_or_default());
        let saturated = model.actuator.saturated(tick.u.get(..model.dims().unit_len()).unwrap_or_default());
        self.health.count(clipped, saturated);
        self.remember();
        self.tick = self.tick.wrapping_add(1);
        (self.acted, self.surprised) = (false, false);
        Ok(())
    }

    /// [`Self::act`], then [`Self::advance`].
    ///
    /// # Errors
    /// As for [`Self::act`].
    #[inline]
    pub fn step(&mut self, observation: &[f32], action: &mut [f32]) -> Result<(), StepError> {
        self.act(observation, action)?;
        self.advance()
    }

    /// [`Self::act_image`], then [`Self::advance`].
    ///
    /// # Errors
    /// As for [`Self::act_image`].
    #[inline]
    pub fn step_image(&mut self, frame: &[u8], stride: usize, action: &mut [f32]) -> Result<(), StepError> {
        self.act_image(frame, stride, action)?;
        self.advance()
    }

    /// Forgets everything: the start of an episode. The seed stays.
    pub fn reset(&mut self) {
        self.work.x.fill(0.0);
        self.work.c.fill(0.0);
        self.work.tick.z.fill(0.0);
        self.work.tick.u.fill(0.0);
        self.health = Health::NEW;
        self.tick = 0;
        (self.acted, self.surprised) = (false, false);
    }

    /// Continues with another model of the same sizes and kinds, the state kept: a newer training, another precision.
    ///
    /// # Errors
    /// Other sizes or kinds, or not between two ticks; the present model stays then.
    pub fn replace_model(&mut self, model: Model<'f>) -> Result<(), ReplaceModelError> {
        if self.acted {
            return Err(ReplaceModelError::MidTick);
        }
        let (own, other) = (self.model.dims(), model.dims());
        let parts = [
            ("observation", own.obs == other.obs),
            ("V", own.v == other.v),
            ("M", own.m == other.m),
            ("C", own.c == other.c),
            ("action", own.action == other.action),
        ];
        if let Some(&(what, _)) = parts.iter().find(|(_, is_same)| !is_same) {
            return Err(ReplaceModelError::Dims { what });
        }
        self.model = model;
        Ok(())
    }

    /// The model that steps it.
    #[must_use]
    pub const fn model(&self) -> &Model<'f> {
        &self.model
    }

    /// The seed that names the draws of a latent that is sampled while acting ([`crate::Acting::Sampled`]); 0 until set.
    pub const fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// The seed, see [`Self::set_seed`].
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// How often the agent advanced since its reset.
    #[must_use]
    pub const fn tick(&self) -> u64 {
        self.tick
    }

    /// Whether an `act` waits for its `advance`.
    #[must_use]
    pub const fn has_acted(&self) -> bool {
        self.acted
    }

    /// What the model expects after the newest [`Self::advance`]: the mixture over the next latent vector, the reward, the end.
    /// None where there is no M, or the file has no MDN head.
    pub fn predict(&mut self) -> Option<Prediction<'_>> {
        if !self.expect() {
            return None;
        }
        Prediction::new(&self.model.settings, self.work.buffers.ping, self.work.tick.z)
    }

    /// Counts since the agent was made or reset, or took over a saved state.
    #[must_use]
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// How surprised M is by the observation of the newest [`Self::act`]: the negative log-likelihood of its latent under what M predicted
    /// one step before, in nats per dimension ([`Prediction::surprise`]). It costs a run of the MDN head; call it between `act` and
    /// [`Self::advance`], when the command is out. It goes into [`Self::health`], once a tick, and changes nothing else.
    ///
    /// None where there is nothing to compare: no MDN head, no `act` since the last advance, or no step before in this episode. What
    /// is unusual depends on the environment: a packed file may say what held-out data seldom exceeded
    /// ([`crate::Settings::surprise_limit`]).
    pub fn surprise(&mut self) -> Option<f32> {
        if !self.acted || self.tick == 0 {
            return None;
        }
        let (model, work) = (&self.model, &mut self.work);
        let dims = model.dims();
        // h and the latent that it was advanced with still stand in x.
        let (u, z) = (dims.unit_len(), dims.latent_len());
        let h = Rows::one(work.x.get(u + z..).unwrap_or_default());
        if !model.m.expect(model.isa, h, &mut work.buffers) {
            return None;
        }
        copy(work.x.get(u..u + z).unwrap_or_default(), work.before);
        let surprise = Prediction::new(&model.settings, work.buffers.ping, work.before)?
            .surprise(work.tick.z.get(..z).unwrap_or_default());
        if !self.surprised {
            self.health.take(surprise);
            self.surprised = true;
        }
        Some(surprise)
    }

    /// Digest of the recurrent state (h, then an LSTM's c): equal on every target, back end and machine.
    #[must_use]
    pub fn digest(&self) -> u64 {
        Digest::default().update(self.hidden()).update(self.cell()).value()
    }

    /// Digest of everything that the model computes from the present state: h and an LSTM's c, and the MDN head's outputs where
    /// [`Self::predict`] answers. What the self-test compares.
    pub fn self_test_digest(&mut self) -> u64 {
        let has_head = self.expect();
        let state = Digest::default().update(self.hidden()).update(self.cell());
        if !has_head {
            return state.value();
        }
        state.update(self.work.buffers.ping.get(..self.model.dims().mdn_outputs()).unwrap_or_default()).value()
    }

    /// `h` `[H]`; empty without M.
    #[must_use]
    pub fn hidden(&self) -> &[f32] {
        let dims = self.model.dims();
        let from = dims.unit_len() + dims.latent_len();
        self.work.x.get(from..from + dims.hidden_len()).unwrap_or_default()
    }

    /// `c` `[H]`; empty where M has none.
    #[must_use]
    pub fn cell(&self) -> &[f32] {
        self.work.c.get(..self.model.dims().cell_len()).unwrap_or_default()
    }

    /// `z` `[Z]` of the newest observation; empty without V.
    #[must_use]
    pub fn latent(&self) -> &[f32] {
        self.work.tick.z.get(..self.model.dims().latent_len()).unwrap_or_default()
    }

    /// The newest action `[U]` as M hears it: in [-1, 1], or one-hot.
    #[must_use]
    pub fn unit_action(&self) -> &[f32] {
        self.work.tick.u.get(..self.model.dims().unit_len()).unwrap_or_default()
    }

    /// The newest choice, from 0, of a discrete agent; none of a continuous one.
    #[must_use]
    pub fn choice(&self) -> Option<usize> {
        match self.model.dims().action {
            Action::Discrete { .. } => Some(dreamstep_core::action::greatest(self.unit_action())),
            _ => None,
        }
    }

    /// What C read in the newest [`Self::act`], in the order of its weights' columns (see [`ControllerInput`]), where [`Self::advance`]
    /// has not come yet.
    #[must_use]
    pub fn controller_input(&self) -> &[f32] {
        let dims = self.model.dims();
        reads!(dims, self.work).get(..dims.controller_inputs()).unwrap_or_default()
    }

    /// The numbers of the state, in the order of [`Self::put_state`].
    pub(crate) fn state(&self) -> impl Iterator<Item = f32> {
        let dims = self.model.dims();
        let before = self.work.x.get(dims.unit_len()..).and_then(|x| x.get(..dims.latent_len())).unwrap_or_default();
        let parts = [self.hidden(), self.cell(), before, self.latent(), self.unit_action()];
        parts.into_iter().flatten().copied()
    }

    /// Takes over a state: h, c, the latent before, z and u are read from `values` in this order.
    pub(crate) fn put_state(&mut self, seed: u64, tick: u64, acted: bool, values: &mut impl Iterator<Item = f32>) {
        let (dims, work) = (self.model.dims(), &mut self.work);
        let (u, z) = (dims.unit_len(), dims.latent_len());
        let (before, h) = work.x.split_at_mut_checked(u + z).unwrap_or_default();
        let parts = [
            h.get_mut(..dims.hidden_len()),
            work.c.get_mut(..dims.cell_len()),
            before.get_mut(u..),
            work.tick.z.get_mut(..z),
            work.tick.u.get_mut(..u),
        ];
        for slot in parts.into_iter().flatten().flatten() {
            *slot = values.next().unwrap_or_default();
        }
        // What was observed is no part of a state, and another tick's is not to be counted as its.
        work.tick.obs.fill(0.0);
        (self.seed, self.tick, self.acted) = (seed, tick, acted);
        (self.health, self.surprised) = (Health::NEW, false);
    }
}

/// Working memory as bytes.
#[inline]
fn bytes(values: &mut [f32]) -> &mut [u8] {
    bytemuck::try_cast_slice_mut(values).unwrap_or_default()
}

/// Whether no value is infinite or NaN: in one pass without a way out of it, which compilers turn into vectors.
#[inline]
fn all_finite(values: &[f32]) -> bool {
    // Adding 1 to an exponent of ones carries into the sign bit.
    let carries = values.iter().fold(0, |all, value| all | ((value.to_bits() & 0x7fff_ffff) + 0x0080_0000));
    carries >> 31 == 0
}
