//! Why dreams were refused.

use core::fmt;
use dreamstep_core::c::ControllerInput;

/// Why dreams cannot be dreamt as asked.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum DreamError {
    /// The model has no MDN head to dream with.
    NoHead,
    /// The controller reads observations, of which a dream has none.
    Input {
        /// What it reads.
        found: ControllerInput,
    },
    /// More dreams than any memory holds.
    Count {
        /// The number asked for.
        found: usize,
    },
    /// A controller of another kind than the batch's model has.
    ControllerKind,
    /// The memory is too small, see [`crate::dreams_memory_len`].
    Memory {
        /// Values needed.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// A temperature that is not positive and finite.
    Temperature {
        /// The value.
        found: f32,
    },
    /// A threshold outside (0, 1].
    Threshold {
        /// The value.
        found: f32,
    },
    /// There is no such dream.
    Index {
        /// Dreams.
        count: usize,
        /// The index.
        found: usize,
    },
    /// A slice of another length.
    Length {
        /// Which.
        what: &'static str,
        /// Its length should be.
        expected: usize,
        /// Its length.
        found: usize,
    },
    /// A value that is infinite or NaN.
    NonFinite {
        /// Of which slice.
        what: &'static str,
        /// The first such component.
        index: usize,
    },
    /// `imagine` without an action for a dream since its last.
    NoAction {
        /// The dream.
        index: usize,
    },
}

impl fmt::Display for DreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoHead => f.write_str("dreams: expected a model with an MDN head, found none in the file"),
            Self::Input { found } => {
                let found = found.name();
                write!(
                    f,
                    "dreams: expected a controller that reads z, h or z+h (a dream has no observations), found {found}"
                )
            }
            Self::Count { found } => write!(f, "dreams: {found} do not fit into any memory"),
            Self::ControllerKind => {
                f.write_str("dreams: expected a controller of the kind that the batch's model has, found another")
            }
            Self::Memory { expected, found } => {
                write!(f, "dream memory: expected at least {expected} values, found {found}")
            }
            Self::Temperature { found } => write!(f, "temperature: expected a positive number, found {found}"),
            Self::Threshold { found } => write!(f, "terminal threshold: expected above 0, at most 1, found {found}"),
            Self::Index { count, found } => write!(f, "dream {found}: expected one of {count}"),
            Self::Length { what, expected, found } => write!(f, "dream {what}: expected {expected} values, found {found}"),
            Self::NonFinite { what, index } => write!(f, "dream {what}[{index}]: expected a finite value"),
            Self::NoAction { index } => write!(f, "dream {index}: expected an action before imagine, found none"),
        }
    }
}

impl core::error::Error for DreamError {}
