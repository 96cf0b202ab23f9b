//! What does an agent remember, as bytes? A state leaves the process and comes back, here or on another machine, bit for bit.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `DSSTATE1` |
//! | 8 | fingerprint of the model that the state belongs to |
//! | 4 × 4 | O, A, Z, H |
//! | 8 | seed of the latents that act, where they are sampled |
//! | 8 | tick: how often the agent advanced since its reset |
//! | 4 | 1 between `act` and `advance`, else 0 |
//! | 4 | what remembers: 0 an LSTM, 1 a GRU; and 2 × what the controller reads: 0 z+h, 1 z, 2 h, 3 obs, 4 obs+h |
//! | 4 × (H + H + Z + A) | h, c (not a GRU's), z, action in [-1, 1]; binary32 |
//! | 8 | FNV-1a digest of all before |
//!
//! All little-endian. [`state_len`] is the length.

use crate::agent::Agent;
use crate::model::Model;
use core::fmt;
use dreamstep_core::digest::Digest;
use dreamstep_core::dims::{ControllerInput, Dims, MemoryCell};

const MAGIC: [u8; 8] = *b"DSSTATE1";
const HEADER: usize = 8 + 8 + 4 * 4 + 8 + 8 + 4 + 4;

/// Bytes of an agent's state.
#[must_use]
pub const fn state_len(dims: &Dims) -> usize {
    HEADER + 4 * (dims.hidden + dims.cell_state() + dims.latent + dims.action) + 8
}

/// Whose state it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateMatch {
    /// Of this very model: going on gives the bits that the saved agent would have given.
    SameModel,
    /// Of another model of the same sizes.
    SameDims,
}

/// Why bytes are not a state of this agent, or a state was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateError {
    /// Another number of bytes than [`state_len`].
    Length {
        /// Bytes of a state.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The first eight bytes are not a state's.
    NotAState,
    /// The digest at the end is not that of the bytes before.
    Damaged {
        /// Digest of the bytes.
        expected: u64,
        /// Digest that they claim.
        found: u64,
    },
    /// An agent of other sizes.
    Dims {
        /// Which size.
        axis: &'static str,
        /// This model's.
        expected: usize,
        /// The state's.
        found: usize,
    },
    /// An agent with another memory.
    Cell {
        /// This model's.
        expected: MemoryCell,
        /// The state's.
        found: MemoryCell,
    },
    /// An agent whose controller reads something else.
    Input {
        /// This model's.
        expected: ControllerInput,
        /// The state's.
        found: ControllerInput,
    },
    /// A state of another model, where one of the same model was asked for.
    OtherModel {
        /// This model's fingerprint.
        expected: u64,
        /// The state's.
        found: u64,
    },
    /// A value is not what a running agent can hold.
    Value {
        /// Byte where it begins.
        at: usize,
        /// What may stand there.
        expected: &'static str,
    },
}

/// The fixed part of a state.
#[derive(Clone, Copy, Debug)]
struct Header {
    fingerprint: u64,
    dims: [u32; 4],
    seed: u64,
    tick: u64,
    acted: u32,
    kind: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (&fingerprint, rest) = rest.split_first_chunk()?;
        let (dims, rest) = rest.split_at_checked(16)?;
        let [o, a, z, h] = *dims.as_chunks().0 else { return None };
        let (&seed, rest) = rest.split_first_chunk()?;
        let (&tick, rest) = rest.split_first_chunk()?;
        let (&acted, rest) = rest.split_first_chunk()?;
        let (&kind, _) = rest.split_first_chunk()?;
        Some(Self {
            fingerprint: u64::from_le_bytes(fingerprint),
            dims: [o, a, z, h].map(u32::from_le_bytes),
            seed: u64::from_le_bytes(seed),
            tick: u64::from_le_bytes(tick),
            acted: u32::from_le_bytes(acted),
            kind: u32::from_le_bytes(kind),
        })
    }

    fn bytes(&self) -> impl Iterator<Item = u8> + use<> {
        let dims = self.dims.map(u32::to_le_bytes);
        MAGIC
            .into_iter()
            .chain(self.fingerprint.to_le_bytes())
            .chain(dims.into_iter().flatten())
            .chain(self.seed.to_le_bytes())
            .chain(self.tick.to_le_bytes())
            .chain(self.acted.to_le_bytes())
            .chain(self.kind.to_le_bytes())
    }
}

const AXES: [&str; 4] = ["observation", "action", "latent", "hidden"];

/// The sizes that a state has in common with its model. None is above 65536.
fn sizes(dims: &Dims) -> [u32; 4] {
    [dims.obs, dims.action, dims.latent, dims.hidden].map(|n| n as u32)
}

/// What remembers, and what the controller reads, as a number that stays.
const fn code(dims: &Dims) -> u32 {
    let cell = match dims.cell {
        MemoryCell::Lstm => 0,
        MemoryCell::Gru => 1,
    };
    let input = match dims.input {
        ControllerInput::LatentHidden => 0,
        ControllerInput::Latent => 1,
        ControllerInput::Hidden => 2,
        ControllerInput::Observation => 3,
        ControllerInput::ObservationHidden => 4,
    };
    2 * input + cell
}

/// What the controller reads in a state of this `kind`; none where that is another memory's, or no state's.
fn reads(dims: &Dims, kind: u32) -> Option<ControllerInput> {
    ControllerInput::ALL.into_iter().find(|&input| code(&Dims { input, ..*dims }) == kind)
}

impl Model<'_> {
    /// Whether an agent of this model can go on from a saved state: every byte is checked.
    ///
    /// # Errors
    /// It cannot, see [`StateError`].
    pub fn check_state(&self, bytes: &[u8]) -> Result<StateMatch, StateError> {
        self.header_of(bytes).map(|(_, fit)| fit)
    }

    fn header_of(&self, bytes: &[u8]) -> Result<(Header, StateMatch), StateError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(StateError::NotAState);
        }
        let length = StateError::Length { expected: state_len(self.dims()), found: bytes.len() };
        let header = Header::read(bytes).ok_or(length)?;
        for ((axis, expected), found) in AXES.into_iter().zip(sizes(self.dims())).zip(header.dims) {
            if expected != found {
                return Err(StateError::Dims { axis, expected: expected as usize, found: found as usize });
            }
        }
        // One of the other memory's, which has that one's length; anything else is a damaged one.
        let others = |&cell: &MemoryCell| {
            let dims = Dims { cell, ..*self.dims() };
            dims != *self.dims() && reads(&dims, header.kind).is_some() && bytes.len() == state_len(&dims)
        };
        if let Some(found) = MemoryCell::ALL.into_iter().find(others) {
            return Err(StateError::Cell { expected: self.dims().cell, found });
        }
        let Some((body, found)) = bytes.split_last_chunk().filter(|_| bytes.len() == state_len(self.dims())) else {
            return Err(length);
        };
        let (expected, found) = (Digest::default().update_bytes(body).value(), u64::from_le_bytes(*found));
        if expected != found {
            return Err(StateError::Damaged { expected, found });
        }
        if header.acted > 1 {
            return Err(StateError::Value { at: HEADER - 8, expected: "0 or 1" });
        }
        match reads(self.dims(), header.kind) {
            Some(input) if input == self.dims().input => {}
            Some(found) => return Err(StateError::Input { expected: self.dims().input, found }),
            None => {
                return Err(StateError::Value { at: HEADER - 4, expected: "this model's memory and a controller's input" });
            }
        }
        if let Some(index) = values(body).position(|value| !value.is_finite()) {
            return Err(StateError::Value { at: HEADER + 4 * index, expected: "a finite number" });
        }
        let fit = if header.fingerprint == self.fingerprint { StateMatch::SameModel } else { StateMatch::SameDims };
        Ok((header, fit))
    }
}

/// The numbers of a state without its digest: h, an LSTM's c, z, action.
fn values(body: &[u8]) -> impl Iterator<Item = f32> {
    body.get(HEADER..).unwrap_or_default().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))
}

impl Agent<'_, '_> {
    /// Writes the state to `out`, [`state_len`] bytes.
    ///
    /// # Errors
    /// `out` has another length; nothing was written then.
    pub fn save_state(&self, out: &mut [u8]) -> Result<(), StateError> {
        let dims = self.model().dims();
        let expected = state_len(dims);
        let found = out.len();
        let Some((body, digest)) = out.split_last_chunk_mut().filter(|_| found == expected) else {
            return Err(StateError::Length { expected, found });
        };
        let header = Header {
            fingerprint: self.model().fingerprint,
            dims: sizes(dims),
            seed: self.seed(),
            tick: self.tick(),
            acted: u32::from(self.has_acted()),
            kind: code(dims),
        };
        let numbers = self.hidden().iter().chain(self.cell()).chain(self.latent()).chain(self.unit_action());
        let bytes = header.bytes().chain(numbers.flat_map(|value| value.to_le_bytes()));
        body.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
        *digest = Digest::default().update_bytes(body).value().to_le_bytes();
        Ok(())
    }

    /// Goes on from a state that this model's agent saved, here or elsewhere: with the bits that it would have given.
    ///
    /// # Errors
    /// The bytes are not such a state; nothing has changed then.
    pub fn load_state(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let (header, fit) = self.model().header_of(bytes)?;
        if fit == StateMatch::SameDims {
            return Err(StateError::OtherModel { expected: self.model().fingerprint, found: header.fingerprint });
        }
        self.take(header, bytes);
        Ok(())
    }

    /// Goes on from the state of an agent of the same sizes, whatever its model: of a newer training, say, or another precision.
    ///
    /// # Errors
    /// The bytes are not such a state; nothing has changed then.
    pub fn adopt_state(&mut self, bytes: &[u8]) -> Result<StateMatch, StateError> {
        let (header, fit) = self.model().header_of(bytes)?;
        self.take(header, bytes);
        Ok(fit)
    }

    fn take(&mut self, header: Header, bytes: &[u8]) {
        let mut values = values(bytes);
        self.put_state(header.seed, header.tick, header.acted == 1, &mut values);
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Length { expected, found } => write!(f, "state: expected {expected} bytes, found {found}"),
            Self::NotAState => f.write_str("state: expected it to begin with DSSTATE1: not a state, or of another version"),
            Self::Damaged { expected, found } => {
                write!(f, "state: damaged: expected digest {expected:016x}, found {found:016x}")
            }
            Self::Dims { axis, expected, found } => write!(f, "state: expected {axis} size {expected}, found {found}"),
            Self::Cell { expected, found } => {
                write!(f, "state: expected one of a model with memory {}, found {}", expected.name(), found.name())
            }
            Self::Input { expected, found } => {
                write!(f, "state: expected one of a controller that reads {}, found {}", expected.name(), found.name())
            }
            Self::OtherModel { expected, found } => {
                write!(f, "state: expected one of model {expected:016x}, found one of model {found:016x}")
            }
            Self::Value { at, expected } => write!(f, "state: expected {expected} at byte {at}"),
        }
    }
}

impl core::error::Error for StateError {}
