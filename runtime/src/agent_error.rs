//! Why a call of an agent was refused.

use core::fmt;

/// Why a step was refused. The state is as it was before.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum StepError {
    /// An observation of another length.
    ObservationLength {
        /// `O`.
        expected: usize,
        /// The slice's length.
        found: usize,
    },
    /// A picture was expected ([`crate::Agent::act_image`]), or none.
    ObservationKind {
        /// What the model observes: `vector` or `image`.
        expected: &'static str,
    },
    /// A frame with fewer bytes than its rows have.
    FrameLength {
        /// Bytes from the first row's beginning to the last one's end.
        expected: usize,
        /// The slice's length.
        found: usize,
    },
    /// Rows of a frame that begin fewer bytes apart than one has.
    FrameStride {
        /// Bytes of a row.
        expected: usize,
        /// The stride.
        found: usize,
    },
    /// A number that is no byte's value, in an observation that is a prepared picture.
    NotAByte {
        /// The first such component.
        index: usize,
        /// Its value.
        found: f32,
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
    /// An overriding action of a discrete agent that is none of its choices.
    NoSuchChoice {
        /// Choices.
        choices: usize,
        /// The value.
        found: f32,
    },
    /// `advance` without an `act` since the last `advance` or `reset`: there is no action to remember.
    AdvanceBeforeAct,
    /// `override_action` without an `act` since the last `advance` or `reset`: there is no action to put another in the place of.
    OverrideBeforeAct,
}

/// Why an agent does not take another model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplaceModelError {
    /// A model of other sizes or kinds.
    Dims {
        /// The first part that is another: `observation`, `V`, `M`, `C` or `action`.
        what: &'static str,
    },
    /// Between `act` and `advance`: the new model would remember a latent that it did not see.
    MidTick,
}

/// The caller's block is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryError {
    /// Values needed: [`crate::memory_len`].
    pub expected: usize,
    /// Values given.
    pub found: usize,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ObservationLength { expected, found } => {
                write!(f, "observation: expected {expected} values, found {found}")
            }
            Self::ObservationKind { expected } => write!(f, "observation: the model expects one of the kind {expected}"),
            Self::FrameLength { expected, found } => write!(f, "frame: expected at least {expected} bytes, found {found}"),
            Self::FrameStride { expected, found } => {
                write!(f, "frame: expected rows to begin at least {expected} bytes apart, found {found}")
            }
            Self::NotAByte { index, found } => {
                write!(f, "observation[{index}]: expected a whole number from 0 to 255, found {found}")
            }
            Self::ActionLength { expected, found } => write!(f, "action buffer: expected {expected} values, found {found}"),
            Self::NonFinite { index, found } => write!(f, "observation[{index}]: expected a finite value, found {found}"),
            Self::NonFiniteAction { index, found } => write!(f, "action[{index}]: expected a finite value, found {found}"),
            Self::NoSuchChoice { choices, found } => {
                write!(f, "action[0]: expected the number of one of {choices} choices, found {found}")
            }
            Self::AdvanceBeforeAct => {
                f.write_str("advance: expected an act before it, found none since the last advance or reset")
            }
            Self::OverrideBeforeAct => {
                f.write_str("override action: expected an act before it, found none since the last advance or reset")
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
            Self::Dims { what } => {
                write!(f, "replace model: expected one of the same sizes and kinds, found another {what}")
            }
            Self::MidTick => {
                f.write_str("replace model: expected to stand between two ticks, found an act without its advance")
            }
        }
    }
}

impl core::error::Error for StepError {}
impl core::error::Error for ReplaceModelError {}
impl core::error::Error for MemoryError {}
