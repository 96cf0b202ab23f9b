//! What happens in one tick of the control loop?
//!
//! ```text
//! obs [O] ─normalise→ x [O] ─encoder→ z [Z] ─controller(z,h)→ action [A]      ← act():     what the actuators wait for
//!                                       └────── lstm([a,z], h, c) → h', c' [H] ← advance(): after the command is out
//! ```

use crate::kernels::dispatch;
use crate::mdn::Prediction;
use crate::model::Model;
use core::fmt;
use dreamstep_core::digest::Digest;
use dreamstep_core::dims::{Dims, padded};
use dreamstep_core::layout::Panels;

/// An agent in its loop: a constant [`Model`] and the memory of what it has seen.
///
/// No method allocates, locks, makes a system call, or runs longer on one observation than on another.
#[derive(Debug)]
pub struct Agent<'m, 'f> {
    model: &'m Model<'f>,
    work: Work<'m>,
    acted: bool,
}

/// Everything that changes, cut from the caller's block. All lengths are padded to 16; the padding stays 0.
#[derive(Debug)]
pub(crate) struct Work<'m> {
    pub(crate) h: &'m mut [f32],           // [H] recurrent state
    pub(crate) c: &'m mut [f32],           // [H] recurrent state
    pub(crate) z: &'m mut [f32],           // [Z] latent of the newest observation
    pub(crate) unit_action: &'m mut [f32], // [A] in [-1, 1]
    pub(crate) action: &'m mut [f32],      // [A] in the action range
    pub(crate) obs: &'m mut [f32],         // [O] the observation, then whitened
    pub(crate) e1: &'m mut [f32],          // [E1]
    pub(crate) e2: &'m mut [f32],          // [E2]
    pub(crate) h_next: &'m mut [f32],      // [H]
    pub(crate) head: &'m mut [f32],        // [(2Z+1)K+2]
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
const fn lengths(dims: &Dims) -> [usize; 10] {
    let [e1, e2] = dims.encoder;
    let (z, a, h) = (Panels::dense(dims.latent, 1).outputs(), Panels::dense(dims.action, 1).outputs(), padded(dims.hidden));
    let (e1, e2) = (Panels::dense(e1, 1).outputs(), Panels::dense(e2, 1).outputs());
    [h, h, z, a, a, padded(dims.obs), e1, e2, h, Panels::dense(dims.mdn_outputs(), 1).outputs()]
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
        let [h, c, z, unit_action, action, obs, e1, e2, h_next, head] = lengths(dims);
        let work = Work {
            h: cut(h)?,
            c: cut(c)?,
            z: cut(z)?,
            unit_action: cut(unit_action)?,
            action: cut(action)?,
            obs: cut(obs)?,
            e1: cut(e1)?,
            e2: cut(e2)?,
            h_next: cut(h_next)?,
            head: cut(head)?,
        };
        Ok(Self { model, work, acted: false })
    }

    /// From an observation `[O]` to an action `[A]`, in the environment's units. The recurrent state is read, not changed: until
    /// [`Self::advance`], acting again answers another observation from the same state.
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
        for (slot, &value) in self.work.obs.iter_mut().zip(observation) {
            *slot = value;
        }
        dispatch!(self.model.isa, encode(self.model, &mut self.work));
        dispatch!(self.model.isa, control(self.model, &mut self.work));
        self.acted = true;
        Ok(self.work.action.get(..dims.action).unwrap_or_default())
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
        for ((unit, &action), (&mid, &half)) in self.work.unit_action.iter_mut().zip(applied).zip(map) {
            // An actuator without range has one action, whatever the controller asked for.
            if half != 0.0 {
                *unit = ((action - mid) / half).clamp(-1.0, 1.0);
            }
        }
        Ok(())
    }

    /// Takes the newest observation and action into the recurrent state. Call it when the command is out.
    ///
    /// # Errors
    /// There was no [`Self::act`] since the last `advance` or `reset`.
    #[inline]
    pub fn advance(&mut self) -> Result<(), StepError> {
        if !self.acted {
            return Err(StepError::AdvanceBeforeAct);
        }
        dispatch!(self.model.isa, remember(self.model, &mut self.work));
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

    /// Forgets everything: the start of an episode.
    pub fn reset(&mut self) {
        self.work.h.fill(0.0);
        self.work.c.fill(0.0);
        self.work.z.fill(0.0);
        self.work.unit_action.fill(0.0);
        self.acted = false;
    }

    /// What the model expects after the newest [`Self::advance`]: the mixture over the next latent vector, the reward, the end.
    /// None where the file has no MDN head.
    pub fn predict(&mut self) -> Option<Prediction<'_>> {
        let gmm = self.model.gmm.as_ref()?;
        dispatch!(self.model.isa, head(gmm, &mut self.work));
        Prediction::new(&self.model.settings, self.work.head, self.work.z)
    }

    /// Digest of the recurrent state (h, then c): equal on every target, back end and machine.
    #[must_use]
    pub fn digest(&self) -> u64 {
        Digest::default().update(self.hidden()).update(self.cell()).value()
    }

    /// Digest of everything that the model computes from the present state: h and c, and the MDN head's outputs where the file has the
    /// head. What the self-test compares.
    pub fn proof_digest(&mut self) -> u64 {
        let state = Digest::default().update(self.hidden()).update(self.cell());
        let Some(gmm) = self.model.gmm.as_ref() else { return state.value() };
        dispatch!(self.model.isa, head(gmm, &mut self.work));
        state.update(self.work.head.get(..self.model.dims().mdn_outputs()).unwrap_or_default()).value()
    }

    /// `h` `[H]`.
    #[must_use]
    pub fn hidden(&self) -> &[f32] {
        self.work.h.get(..self.model.dims().hidden).unwrap_or_default()
    }

    /// `c` `[H]`.
    #[must_use]
    pub fn cell(&self) -> &[f32] {
        self.work.c.get(..self.model.dims().hidden).unwrap_or_default()
    }

    /// `z` `[Z]` of the newest observation.
    #[must_use]
    pub fn latent(&self) -> &[f32] {
        self.work.z.get(..self.model.dims().latent).unwrap_or_default()
    }

    /// The newest action `[A]`, in [-1, 1].
    #[must_use]
    pub fn unit_action(&self) -> &[f32] {
        self.work.unit_action.get(..self.model.dims().action).unwrap_or_default()
    }
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

impl core::error::Error for StepError {}
impl core::error::Error for MemoryError {}
