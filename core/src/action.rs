//! What an agent does: continuous actions in a range, or one of a few choices.
//!
//! C's outputs `[U]` become an action in two steps, of which M hears the first and the environment takes the second:
//!
//! | kind | what M hears `[U]` | what the environment takes `[A]` |
//! |---|---|---|
//! | continuous | u in [-1, 1], squashed | mid + half·u, in the environment's units |
//! | discrete, n choices | one-hot of the greatest score, the first of equals; NaN counts as less than any number | its number, 0 to n − 1 |

use crate::error::LoadError;
use crate::metadata::{dim, one_of};
use crate::names::metadata as key;
use crate::reader::File;

/// An action's kind and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// `[A]` values, each in its range (the file's `action.mid` and `action.half`).
    Continuous {
        /// `A`.
        len: usize,
    },
    /// One of so many choices.
    Discrete {
        /// `n`, from 1.
        choices: usize,
    },
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Continuous,
    Discrete,
}

const KINDS: [(&str, Kind); 2] = [("continuous", Kind::Continuous), ("discrete", Kind::Discrete)];

impl Action {
    /// `A`: values of an action as the environment takes it.
    #[must_use]
    pub const fn len(&self) -> usize {
        match *self {
            Self::Continuous { len } => len,
            Self::Discrete { .. } => 1,
        }
    }

    /// Never: an action has at least one value.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `U`: values of an action as C scores it and M hears it.
    #[must_use]
    pub const fn unit_len(&self) -> usize {
        match *self {
            Self::Continuous { len } => len,
            Self::Discrete { choices } => choices,
        }
    }

    /// Its kind's name in metadata.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Continuous { .. } => "continuous",
            Self::Discrete { .. } => "discrete",
        }
    }

    pub(crate) fn read(file: &File<'_>) -> Result<Self, LoadError> {
        let n = dim(file, key::DIM_ACTION)?;
        Ok(match one_of(file, key::ACTION_KIND, "continuous or discrete", &KINDS)? {
            Kind::Continuous => Self::Continuous { len: n },
            Kind::Discrete => Self::Discrete { choices: n },
        })
    }

    #[cfg(feature = "host")]
    pub(crate) fn write(&self, entries: &mut std::vec::Vec<(&'static str, std::string::String)>) {
        use std::string::ToString;
        entries.push((key::ACTION_KIND, self.kind().to_string()));
        entries.push((key::DIM_ACTION, self.unit_len().to_string()));
    }
}

/// The greatest of `scores`, the first of equals; NaN counts as less than any number. 0 where there is none.
#[inline]
#[must_use]
pub fn greatest(scores: &[f32]) -> usize {
    let (mut best, mut top) = (0, f32::NEG_INFINITY);
    let mut found = false;
    for (index, &score) in scores.iter().enumerate() {
        // The first number is taken whatever it is: −∞ is a number too.
        if score > top || !found && !score.is_nan() {
            (best, top, found) = (index, score, true);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_is_the_first_of_equals_and_no_nan() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        for (scores, expected) in [
            (&[1.0, 3.0, 3.0][..], 1),
            (&[nan, -1.0, nan, -2.0], 1),
            (&[nan, nan], 0),
            (&[nan, -inf], 1),
            (&[-inf, -inf, inf, inf], 2),
            (&[0.0, -0.0], 0),
            (&[-0.0, 0.0], 0),
            (&[], 0),
        ] {
            assert_eq!(greatest(scores), expected, "{scores:?}");
        }
    }
}
