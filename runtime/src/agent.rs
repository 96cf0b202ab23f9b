//! What happens in one tick of the control loop?
//!
//! ```text
//! obs [O] ─normalise→ x [O] ─encoder→ z [Z] ─controller(z,h)→ action [A]      ← act():     what the actuators wait for
//!                                       └────── lstm([a,z], h, c) → h', c' [H] ← advance(): after the command is out
//! ```
//!
//! Where M is a GRU, the last line is `gru([a,z], h) → h'`, and c is empty. A controller may read less than `(z,h)`, or x in place of
//! z: see [`ControllerInput`]. One that reads x alone needs neither V nor M, and neither runs:
//!
//! ```text
//! obs [O] ─normalise→ x [O] ─controller(x)→ action [A]                           ← act(); advance() counts the tick
//! ```
//!
//! z, h and c of such an agent are 0 for ever, and it expects nothing ([`Agent::predict`]).

#[cfg(feature = "parts")]
mod parts;

#[cfg(feature = "parts")]
pub use parts::Part;

use crate::kernels::dispatch;
use crate::matvec;
use crate::mdn::{HEAD_SLACK, Prediction};
use crate::model::Model;
use core::fmt;
use dreamstep_core::digest::Digest;
use dreamstep_core::dims::{ControllerInput, Dims, MemoryCell, padded};
use dreamstep_core::layout::Panels;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_core::schema::{Acting, Rnn};

/// An agent in its loop: a constant [`Model`] and the memory of what it has seen.
///
/// No method allocates, locks, makes a system call, or runs longer on one observation than on another.
#[derive(Debug)]
pub struct Agent<'m, 'f> {
    model: &'m Model<'f>,
    work: Work<'m>,
    acted: bool,
    seed: u64,
    tick: u64,
}

/// Everything that changes, cut from the caller's block. What is padded is padded to whole panels.
#[derive(Debug)]
struct Work<'m> {
    x: &'m mut [f32],      // [A+Z+H] the memory's input: action in [-1, 1], latent, h; the recurrent h lives here
    c: &'m mut [f32],      // [H] recurrent, padded; empty with a GRU
    z: &'m mut [f32],      // [Z] latent of the newest observation, padded
    u: &'m mut [f32],      // [A] newest action in [-1, 1], padded
    action: &'m mut [f32], // [A] in the action range, padded
    obs: &'m mut [f32],    // [O] the observation, then whitened, padded
    e1: &'m mut [f32],     // [E1] padded
    e2: &'m mut [f32],     // [E2] padded
    input: &'m mut [f32],  // [O+H] what a controller of both reads, padded; empty with any other
    log_var: &'m mut [f32], // [Z] padded
    noise: &'m mut [f32],  // [Z] padded
    gates: &'m mut [f32],  // [H/16, 4, 16]; a GRU's [3, H], over inputs,
    gates_h: &'m mut [f32], // [3, H] and over h
    h_next: &'m mut [f32], // [H] padded
    head: &'m mut [f32],   // MDN outputs, padded, and slack
    saved: &'m mut [f32],  // [Z+A] what peek puts back, padded each
    scratch: &'m mut [f32], // a layer's inputs as integers
}

/// Why a step was refused. The state is as it was before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepError {
    /// An observation of another length.
    ObservationLength {
        /// `O`.
        expected: usize,
        /// The slice's length.
        found: usize,
    },
    /// An action buffer of another length.
    ActionLength {
        /// `A`.
        expected: usize,
        /// The slice's length.
        found: usize,
    },
    /// An observation that is infinite or NaN.
    NonFinite {
        /// The first such component.
        index: usize,
        /// Its value.
        found: f32,
    },
    /// An overriding action that is infinite or NaN.
    NonFiniteAction {
        /// The first such component.
        index: usize,
        /// Its value.
        found: f32,
    },
    /// `advance` without an `act` since the last `advance` or `reset`: there is no action to remember.
    AdvanceBeforeAct,
}

/// Why an agent does not take another model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplaceModelError {
    /// A model of other sizes.
    Dims {
        /// The present model's.
        expected: Dims,
        /// The other model's.
        found: Dims,
    },
    /// Between `act` and `advance`: the new model would remember a latent that it did not see.
    MidTick,
}

/// The caller's block is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryError {
    /// Values needed: [`memory_len`].
    pub expected: usize,
    /// Values given.
    pub found: usize,
}

/// How many `f32` an agent of these sizes works in.
#[must_use]
pub const fn memory_len(dims: &Dims) -> usize {
    let lengths = lengths(dims);
    let mut sum = 0;
    let mut i = 0;
    while i < lengths.len() {
        sum += lengths[i];
        i += 1;
    }
    sum
}

/// Lengths of [`Work`]'s slices, in its order.
const fn lengths(dims: &Dims) -> [usize; 17] {
    let [e1, e2] = dims.encoder;
    let (z, a, h) = (outputs(dims.latent), outputs(dims.action), padded(dims.hidden));
    let [gates, gates_h] = gates(dims);
    let inputs = widest([dims.obs, e1, e2, dims.rnn_inputs(), dims.controller_inputs()]);
    let input = match dims.input {
        ControllerInput::ObservationHidden => padded(dims.controller_inputs()),
        _ => 0, // it lies in one piece already
    };
    [
        padded(dims.rnn_inputs()),
        padded(dims.cell_state()),
        z,
        a,
        a,
        padded(dims.obs),
        outputs(e1),
        outputs(e2),
        input,
        z,
        z,
        gates,
        gates_h,
        h,
        outputs(dims.mdn_outputs()) + HEAD_SLACK,
        z + a,
        matvec::scratch_len(inputs),
    ]
}

/// A dense layer's outputs, padded to whole panels.
pub(crate) const fn outputs(n: usize) -> usize {
    Panels::dense(n, 1).outputs()
}

/// Outputs of the memory's layers, padded to whole panels: all gates of an LSTM; a GRU's over inputs, and over h.
pub(crate) const fn gates(dims: &Dims) -> [usize; 2] {
    match dims.cell {
        MemoryCell::Lstm => [Panels::lstm(dims.hidden, 1).outputs(), 0],
        MemoryCell::Gru => [Panels::gru(dims.hidden, 1).outputs(); 2],
    }
}

pub(crate) const fn widest<const N: usize>(inputs: [usize; N]) -> usize {
    let (mut widest, mut i) = (0, 0);
    while i < N {
        if inputs[i] > widest {
            widest = inputs[i];
        }
        i += 1;
    }
    widest
}

/// What the controller reads, where it lies; what follows it there is of no consequence. (A macro: it borrows one part of the work.)
macro_rules! reads {
    ($dims:expr, $work:expr) => {
        match $dims.input {
            ControllerInput::LatentHidden => $work.x.get($dims.action..).unwrap_or_default(),
            ControllerInput::Latent => &$work.z[..],
            ControllerInput::Hidden => $work.x.get($dims.action + $dims.latent..).unwrap_or_default(),
            ControllerInput::Observation => &$work.obs[..],
            ControllerInput::ObservationHidden => &$work.input[..],
        }
    };
}

impl<'m, 'f> Agent<'m, 'f> {
    /// An agent at the start of an episode. `memory` holds at least [`memory_len`] values; what they are does not matter.
    ///
    /// # Errors
    /// The memory is too small.
    pub fn new(model: &'m Model<'f>, memory: &'m mut [f32]) -> Result<Self, MemoryError> {
        let dims = model.dims();
        let error = MemoryError { expected: memory_len(dims), found: memory.len() };
        if error.found < error.expected {
            return Err(error);
        }
        memory.fill(0.0);
        let mut rest = memory;
        let mut cut = |len| {
            let (slice, after) = core::mem::take(&mut rest).split_at_mut_checked(len).ok_or(error)?;
            rest = after;
            Ok(slice)
        };
        let [x, c, z, u, action, obs, e1, e2, input, log_var, noise, gates, gates_h, h_next, head, saved, scratch] =
            lengths(dims);
        let work = Work {
            x: cut(x)?,
            c: cut(c)?,
            z: cut(z)?,
            u: cut(u)?,
            action: cut(action)?,
            obs: cut(obs)?,
            e1: cut(e1)?,
            e2: cut(e2)?,
            input: cut(input)?,
            log_var: cut(log_var)?,
            noise: cut(noise)?,
            gates: cut(gates)?,
            gates_h: cut(gates_h)?,
            h_next: cut(h_next)?,
            head: cut(head)?,
            saved: cut(saved)?,
            scratch: cut(scratch)?,
        };
        Ok(Self { model, work, acted: false, seed: 0, tick: 0 })
    }

    /// From an observation `[O]` to an action `[A]`, in the environment's units. The recurrent state is read, not changed: until
    /// [`Self::advance`], acting again answers another observation from the same state. A controller that does not read h
    /// ([`ControllerInput::has_hidden`]) acts the same without any [`Self::advance`], the mean latent taken.
    ///
    /// # Errors
    /// Wrong lengths or a non-finite observation; nothing has changed then.
    #[inline]
    pub fn act(&mut self, observation: &[f32], action: &mut [f32]) -> Result<(), StepError> {
        let expected = self.model.dims().action;
        if action.len() != expected {
            return Err(StepError::ActionLength { expected, found: action.len() });
        }
        for (slot, &value) in action.iter_mut().zip(self.act_in_place(observation)?) {
            *slot = value;
        }
        Ok(())
    }

    /// Like [`Self::act`], the action staying in the agent's memory.
    ///
    /// # Errors
    /// As for [`Self::act`].
    #[inline]
    pub fn act_in_place(&mut self, observation: &[f32]) -> Result<&[f32], StepError> {
        let dims = self.model.dims();
        if observation.len() != dims.obs {
            return Err(StepError::ObservationLength { expected: dims.obs, found: observation.len() });
        }
        if let Some((index, &found)) = observation.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(StepError::NonFinite { index, found });
        }
        copy(observation, self.work.obs);
        self.whiten();
        if dims.input != ControllerInput::Observation {
            self.encode();
        }
        self.control();
        self.acted = true;
        Ok(self.work.action.get(..dims.action).unwrap_or_default())
    }

    /// What [`Self::act`] would answer, without a trace: whatever the agent was about to do, it still is.
    ///
    /// # Errors
    /// As for [`Self::act`].
    pub fn peek(&mut self, observation: &[f32], action: &mut [f32]) -> Result<(), StepError> {
        let acted = self.acted;
        let n = self.work.z.len();
        if let Some((z, u)) = self.work.saved.split_at_mut_checked(n) {
            copy(self.work.z, z);
            copy(self.work.u, u);
        }
        self.act(observation, action)?;
        if let Some((z, u)) = self.work.saved.split_at_checked(n) {
            copy(z, self.work.z);
            copy(u, self.work.u);
        }
        self.acted = acted;
        Ok(())
    }

    /// Observation → x: whitened and clipped, in `work.obs` `[O]`.
    #[inline]
    fn whiten(&mut self) {
        let (model, isa, work) = (self.model, self.model.isa, &mut self.work);
        dispatch!(isa, whiten(model, work.obs));
    }

    /// x → latent: the encoder's three layers. Ha & Schmidhuber (2018), V.
    ///
    /// Reads `work.obs` `[O]`, which stays, and writes `work.z` `[Z]`.
    #[inline]
    fn encode(&mut self) {
        let (model, isa, work) = (self.model, self.model.isa, &mut self.work);
        dispatch!(isa, affine(&model.encoder_0, work.obs, work.scratch, work.e1)); // [E1]
        dispatch!(isa, relu(work.e1));
        dispatch!(isa, affine(&model.encoder_2, work.e1, work.scratch, work.e2)); // [E2]
        dispatch!(isa, relu(work.e2));
        dispatch!(isa, affine(&model.encoder_mean, work.e2, work.scratch, work.z)); // [Z]
        if let (Acting::Sampled, Some(log_var)) = (model.settings.acting, &model.encoder_log_var) {
            dispatch!(isa, affine(log_var, work.e2, work.scratch, work.log_var)); // [Z]
            Philox::new(self.seed).fill_normal(Stream::ActingLatent, self.tick, work.noise);
            dispatch!(isa, draw(model.settings.log_var_range, work.log_var, work.noise, work.z));
        }
        dispatch!(isa, no_nan(work.z));
    }

    /// `[z, h]`, or another [`ControllerInput`], → action: the linear controller, its squashing, and the affine map to the environment's units.
    /// Ha & Schmidhuber (2018), equation 1.
    ///
    /// Reads of `work.z`, h and `work.obs` (x) what the controller does, writes `work.u` (in [-1, 1]) and `work.action` (in the action
    /// range), both `[A]`.
    #[inline]
    fn control(&mut self) {
        self.gather();
        self.sum_control();
        let (model, isa, work) = (self.model, self.model.isa, &mut self.work);
        dispatch!(isa, squash(model.settings.squash, work.u));
        dispatch!(isa, actuate(model, work.u, work.action));
    }

    /// Brings together what the controller reads, where it does not lie in one piece.
    #[inline]
    fn gather(&mut self) {
        let (dims, work) = (self.model.dims(), &mut self.work);
        match dims.input {
            ControllerInput::LatentHidden => {
                let z = work.z.get(..dims.latent).unwrap_or_default();
                copy(z, work.x.get_mut(dims.action..).unwrap_or_default()); // beside h, which lives there
            }
            ControllerInput::ObservationHidden => {
                let (x, h) = work.input.split_at_mut_checked(dims.obs).unwrap_or_default();
                copy(work.obs, x);
                copy(work.x.get(dims.action + dims.latent..).unwrap_or_default(), h);
            }
            ControllerInput::Latent | ControllerInput::Hidden | ControllerInput::Observation => {}
        }
    }

    /// What the controller reads → `work.u`: its layer.
    #[inline]
    fn sum_control(&mut self) {
        let (model, isa, work) = (self.model, self.model.isa, &mut self.work);
        let input = reads!(model.dims(), work);
        dispatch!(isa, affine(&model.controller, input, work.scratch, work.u)); // [A]
    }

    /// `([a, z], h, c)` → `(h', c')`: the memory, an LSTM, or a GRU, which has no c.
    ///
    /// Reads `work.u`, `work.z`, h and `work.c`; writes h and `work.c`.
    #[inline]
    fn remember(&mut self) {
        let (dims, work) = (self.model.dims(), &mut self.work);
        copy(work.u.get(..dims.action).unwrap_or_default(), work.x);
        copy(work.z.get(..dims.latent).unwrap_or_default(), work.x.get_mut(dims.action..).unwrap_or_default());
        self.sum_gates();
        self.apply_cell();
    }

    /// `[a, z, h]` → `work.gates` and `work.gates_h`: the layers of the memory.
    #[inline]
    fn sum_gates(&mut self) {
        let (model, isa, work) = (self.model, self.model.isa, &mut self.work);
        match &model.rnn {
            Rnn::Lstm(gates) => dispatch!(isa, affine(gates, work.x, work.scratch, work.gates)), // [4H]
            Rnn::Gru { input, hidden } => {
                let h = work.x.get(model.dims().action + model.dims().latent..).unwrap_or_default();
                dispatch!(isa, affine(input, work.x, work.scratch, work.gates)); // [3H]
                dispatch!(isa, affine(hidden, h, work.scratch, work.gates_h)); // [3H]
            }
        }
    }

    /// The gates, h and `work.c` → h and `work.c`: what follows the memory's layers.
    #[inline]
    fn apply_cell(&mut self) {
        let (model, isa, work) = (self.model, self.model.isa, &mut self.work);
        let dims = model.dims();
        let h = work.x.get_mut(dims.action + dims.latent..).and_then(|rest| rest.get_mut(..dims.hidden)).unwrap_or_default();
        match &model.rnn {
            Rnn::Lstm(_) => dispatch!(isa, lstm_cell(work.gates, work.c, work.h_next)),
            Rnn::Gru { .. } => {
                copy(h, work.h_next); // whole blocks, which h need not end in
                dispatch!(isa, gru_cell(work.gates, work.gates_h, work.h_next));
            }
        }
        copy(work.h_next, h);
    }

    /// h → the MDN head's outputs; false where the file has no head, or M does not run.
    fn head(&mut self) -> bool {
        let (isa, work) = (self.model.isa, &mut self.work);
        let Some(gmm) = self.model.gmm.as_ref().filter(|_| self.model.has_mdn()) else { return false };
        let at = self.model.dims().action + self.model.dims().latent;
        dispatch!(isa, affine(gmm, work.x.get(at..).unwrap_or_default(), work.scratch, work.head));
        dispatch!(isa, no_nan(work.head));
        true
    }

    /// Tells the agent what was really sent to the actuators `[A]`, where that is not what [`Self::act`] asked for: a safety filter
    /// cut it, or a person or another policy is in command. [`Self::advance`] then remembers this action.
    ///
    /// # Errors
    /// Wrong length, a non-finite value, or no [`Self::act`] to correct; nothing has changed then.
    pub fn override_action(&mut self, applied: &[f32]) -> Result<(), StepError> {
        let expected = self.model.dims().action;
        if applied.len() != expected {
            return Err(StepError::ActionLength { expected, found: applied.len() });
        }
        if let Some((index, &found)) = applied.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(StepError::NonFiniteAction { index, found });
        }
        if !self.acted {
            return Err(StepError::AdvanceBeforeAct);
        }
        let map = self.model.action_mid.iter().zip(self.model.action_half);
        for ((unit, &action), (&mid, &half)) in self.work.u.iter_mut().zip(applied).zip(map) {
            // An actuator without range has one action, whatever the controller asked for.
            if half != 0.0 {
                *unit = ((action - mid) / half).clamp(-1.0, 1.0);
            }
        }
        Ok(())
    }

    /// Takes the newest observation and action into the recurrent state, which an agent of [`ControllerInput::Observation`] does not have. Call it
    /// when the command is out.
    ///
    /// # Errors
    /// There was no [`Self::act`] since the last `advance` or `reset`.
    #[inline]
    pub fn advance(&mut self) -> Result<(), StepError> {
        if !self.acted {
            return Err(StepError::AdvanceBeforeAct);
        }
        if self.model.dims().input != ControllerInput::Observation {
            self.remember();
        }
        self.tick = self.tick.wrapping_add(1);
        self.acted = false;
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

    /// Forgets everything: the start of an episode. The seed stays.
    pub fn reset(&mut self) {
        self.work.x.fill(0.0);
        self.work.c.fill(0.0);
        self.work.z.fill(0.0);
        self.work.u.fill(0.0);
        self.tick = 0;
        self.acted = false;
    }

    /// Goes on with another model of the same sizes, the state kept: a newer training, another precision.
    ///
    /// # Errors
    /// Other sizes, or not between two ticks; the present model stays then.
    pub fn replace_model(&mut self, model: &'m Model<'f>) -> Result<(), ReplaceModelError> {
        if self.acted {
            return Err(ReplaceModelError::MidTick);
        }
        if model.dims() != self.model.dims() {
            return Err(ReplaceModelError::Dims { expected: *self.model.dims(), found: *model.dims() });
        }
        self.model = model;
        Ok(())
    }

    /// The model that steps it.
    #[must_use]
    pub const fn model(&self) -> &'m Model<'f> {
        self.model
    }

    /// The seed that names the draws of a latent that is sampled while acting ([`Acting::Sampled`]); 0 until set.
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
    /// None where the file has no MDN head, or the controller reads observations alone, so that M does not run.
    pub fn predict(&mut self) -> Option<Prediction<'_>> {
        if !self.head() {
            return None;
        }
        Prediction::new(&self.model.settings, self.work.head, self.work.z)
    }

    /// Digest of the recurrent state (h, then an LSTM's c): equal on every target, back end and machine.
    #[must_use]
    pub fn digest(&self) -> u64 {
        Digest::default().update(self.hidden()).update(self.cell()).value()
    }

    /// Digest of everything that the model computes from the present state: h and an LSTM's c, and the MDN head's outputs where
    /// [`Self::predict`] answers. What the self-test compares.
    pub fn self_test_digest(&mut self) -> u64 {
        let head = self.head();
        let state = Digest::default().update(self.hidden()).update(self.cell());
        if !head {
            return state.value();
        }
        state.update(self.work.head.get(..self.model.dims().mdn_outputs()).unwrap_or_default()).value()
    }

    /// `h` `[H]`.
    #[must_use]
    pub fn hidden(&self) -> &[f32] {
        let dims = self.model.dims();
        let from = dims.action + dims.latent;
        self.work.x.get(from..from + dims.hidden).unwrap_or_default()
    }

    /// `c` `[H]`; empty with a GRU.
    #[must_use]
    pub fn cell(&self) -> &[f32] {
        self.work.c.get(..self.model.dims().cell_state()).unwrap_or_default()
    }

    /// `z` `[Z]` of the newest observation.
    #[must_use]
    pub fn latent(&self) -> &[f32] {
        self.work.z.get(..self.model.dims().latent).unwrap_or_default()
    }

    /// The newest action `[A]`, in [-1, 1].
    #[must_use]
    pub fn unit_action(&self) -> &[f32] {
        self.work.u.get(..self.model.dims().action).unwrap_or_default()
    }

    /// What the controller read in the newest [`Self::act`], in the order of its weights' columns (see [`ControllerInput`]), where
    /// [`Self::advance`] has not come yet.
    #[must_use]
    pub fn controller_input(&self) -> &[f32] {
        let dims = self.model.dims();
        reads!(dims, self.work).get(..dims.controller_inputs()).unwrap_or_default()
    }

    /// Takes over a state: h, c, z and action are read from `values` in this order.
    pub(crate) fn put_state(&mut self, seed: u64, tick: u64, acted: bool, values: &mut impl Iterator<Item = f32>) {
        let dims = self.model.dims();
        let (from, work) = (dims.action + dims.latent, &mut self.work);
        let parts = [
            work.x.get_mut(from..from + dims.hidden),
            work.c.get_mut(..dims.cell_state()),
            work.z.get_mut(..dims.latent),
            work.u.get_mut(..dims.action),
        ];
        for slot in parts.into_iter().flatten().flatten() {
            *slot = values.next().unwrap_or_default();
        }
        (self.seed, self.tick, self.acted) = (seed, tick, acted);
    }
}

/// The first values of `to` become those of `from`; what one has beyond the other is left alone.
#[inline(always)]
pub(crate) fn copy(from: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ObservationLength { expected, found } => {
                write!(f, "observation: expected {expected} values, found {found}")
            }
            Self::ActionLength { expected, found } => write!(f, "action buffer: expected {expected} values, found {found}"),
            Self::NonFinite { index, found } => write!(f, "observation[{index}]: expected a finite value, found {found}"),
            Self::NonFiniteAction { index, found } => write!(f, "action[{index}]: expected a finite value, found {found}"),
            Self::AdvanceBeforeAct => {
                f.write_str("advance: expected an act before it, found none since the last advance or reset")
            }
        }
    }
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agent memory: expected at least {} values, found {}", self.expected, self.found)
    }
}

impl fmt::Display for ReplaceModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dims { expected, found } => write!(f, "replace model: expected a model of {expected:?}, found {found:?}"),
            Self::MidTick => {
                f.write_str("replace model: expected to stand between two ticks, found an act without its advance")
            }
        }
    }
}

impl core::error::Error for StepError {}
impl core::error::Error for ReplaceModelError {}
impl core::error::Error for MemoryError {}
