//! The self-test: a file's recorded observations must give, on this machine, the actions and the state that they gave the packer.

use crate::agent::Agent;
use crate::float_environment::FloatEnvironment;
use crate::model::{Model, Recorded};
use core::fmt;
use dreamstep_core::dims::padded;

/// Why a self-test failed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum SelfTestError {
    /// This thread's floating-point mode is not [`FloatEnvironment::DEFAULT`]. Looked at before anything else.
    FloatEnvironment {
        /// What it is.
        found: FloatEnvironment,
    },
    /// The file holds no vectors.
    Absent,
    /// The memory is too small, see [`crate::memory_len`].
    Memory {
        /// Values needed.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// A recorded observation is not finite.
    Observation {
        /// Step, from 0.
        step: usize,
    },
    /// An action differs in at least one bit.
    Action {
        /// Step, from 0.
        step: usize,
        /// Component.
        index: usize,
        /// The file's value.
        expected: f32,
        /// This runtime's.
        found: f32,
    },
    /// The state after the last step, or what the MDN head makes of it, differs.
    Digest {
        /// The file's.
        expected: u64,
        /// This runtime's.
        found: u64,
    },
}

impl Model<'_> {
    /// Replays the file's self-test vectors: every action and the final state must be the packer's, bit for bit.
    /// `memory` is as for [`Agent::new`]. Run it in the thread that steps the agent: the floating-point mode is each thread's own.
    ///
    /// # Errors
    /// The thread's floating-point mode is not the default, the file has no vectors, or this runtime computes something else.
    pub fn self_test(&self, memory: &mut [f32]) -> Result<(), SelfTestError> {
        match FloatEnvironment::observe() {
            FloatEnvironment::DEFAULT => {}
            found => return Err(SelfTestError::FloatEnvironment { found }),
        }
        let vectors = self.selftest.ok_or(SelfTestError::Absent)?;
        let (o, a) = (self.dims().obs_len(), self.dims().action_len());
        let mut agent = Agent::new(*self, memory)
            .map_err(|error| SelfTestError::Memory { expected: error.expected, found: error.found })?;
        for (step, expected) in vectors.actions.chunks_exact(padded(a)).enumerate() {
            let found = match vectors.observations {
                Recorded::Vectors(rows) => agent.act_in_place(&rows[step * padded(o)..][..o]),
                Recorded::Pictures(rows) => agent.act_prepared(&rows[step * o..][..o]),
            };
            let found = found.map_err(|_| SelfTestError::Observation { step })?;
            let differs = |(a, b): &(&f32, &f32)| a.to_bits() != b.to_bits();
            if let Some(index) = expected[..a].iter().zip(found).position(|pair| differs(&pair)) {
                return Err(SelfTestError::Action { step, index, expected: expected[index], found: found[index] });
            }
            agent.advance().map_err(|_| SelfTestError::Observation { step })?;
        }
        match agent.self_test_digest() {
            found if found == vectors.digest => Ok(()),
            found => Err(SelfTestError::Digest { expected: vectors.digest, found }),
        }
    }
}

impl fmt::Display for SelfTestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FloatEnvironment { found } => {
                let expected = FloatEnvironment::DEFAULT;
                write!(f, "self-test: this thread's floating-point mode: expected {expected}; found {found}")
            }
            Self::Absent => f.write_str("self-test: the file holds no vectors"),
            Self::Memory { expected, found } => write!(f, "self-test: expected memory for {expected} values, found {found}"),
            Self::Observation { step } => write!(f, "self-test: step {step}: the recorded observation is not finite"),
            Self::Action { step, index, expected, found } => {
                write!(f, "self-test: step {step}, action {index}: expected {expected:?}, found {found:?}")
            }
            Self::Digest { expected, found } => {
                write!(f, "self-test: expected state digest {expected:016x}, found {found:016x}")
            }
        }
    }
}

impl core::error::Error for SelfTestError {}
