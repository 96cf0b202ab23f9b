//! An agent's state as bytes: it leaves the process and comes back, here or on another machine, bit for bit.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `DSSTATE2` |
//! | 8 | fingerprint of the model that the state belongs to |
//! | 4 × 4 | O, U, Z, H |
//! | 8 | seed of the latents that act, where they are sampled |
//! | 8 | tick: how often the agent advanced since its reset |
//! | 4 | 1 between `act` and `advance`, else 0 |
//! | 4 | kinds: M (0 none, 1 LSTM, 2 GRU) + 4 × what C reads (0 z+h, 1 z, 2 h, 3 obs, 4 obs+h) + 32 × action (0 continuous, 1 discrete) |
//! | 4 × (H + H + Z + Z + U) | h, c (an LSTM's), the latent that M took in last, the newest latent, the newest action as M hears it; binary32 |
//! | 8 | FNV-1a digest of all before |
//!
//! All little-endian. [`state_len`] is the length.

use crate::agent::Agent;
use crate::model::Model;
use core::fmt;
use dreamstep_core::action::Action;
use dreamstep_core::c::ControllerInput;
use dreamstep_core::digest::Digest;
use dreamstep_core::dims::Dims;
use dreamstep_core::m::Memory;

const MAGIC: [u8; 8] = *b"DSSTATE2";
const HEADER: usize = 8 + 8 + 4 * 4 + 8 + 8 + 4 + 4;

/// Bytes of an agent's state.
#[must_use]
pub const fn state_len(dims: &Dims) -> usize {
    HEADER + 4 * (dims.hidden_len() + dims.cell_len() + 2 * dims.latent_len() + dims.unit_len()) + 8
}

/// Whose state it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateMatch {
    /// Of this very model: continuing gives the bits that the saved agent would have given.
    SameModel,
    /// Of another model of the same sizes.
    SameDims,
}

/// Why bytes are not a state of this agent, or a state was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// An agent with another M, another controller input, or another kind of action.
    Kind {
        /// Which of them.
        what: &'static str,
        /// This model's.
        expected: &'static str,
        /// The state's.
        found: &'static str,
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
    [dims.obs_len(), dims.unit_len(), dims.latent_len(), dims.hidden_len()].map(|n| n as u32)
}

/// Kinds of M, in the order of their numbers.
const MEMORIES: [&str; 3] = ["none", "lstm", "gru"];
/// Kinds of action, in the order of their numbers.
const ACTIONS: [&str; 2] = ["continuous", "discrete"];

/// The kinds of an agent as numbers that stay: M, what C reads, action.
const fn kinds(dims: &Dims) -> [u32; 3] {
    let memory = match dims.m {
        Memory::Lstm(_) => 1,
        Memory::Gru(_) => 2,
        _ => 0,
    };
    let input = match dims.input() {
        ControllerInput::LatentHidden => 0,
        ControllerInput::Latent => 1,
        ControllerInput::Hidden => 2,
        ControllerInput::Observation => 3,
        ControllerInput::ObservationHidden => 4,
    };
    let action = match dims.action {
        Action::Discrete { .. } => 1,
        _ => 0,
    };
    [memory, input, action]
}

const fn code(dims: &Dims) -> u32 {
    let [memory, input, action] = kinds(dims);
    memory + 4 * input + 32 * action
}

/// That a state of these kinds is one of `dims`.
fn check_kinds(dims: &Dims, code: u32) -> Result<(), StateError> {
    let found = [code % 4, code / 4 % 8, code / 32];
    let names = |what, expected, found| StateError::Kind { what, expected, found };
    let inputs = ControllerInput::ALL.map(ControllerInput::name);
    let tables: [(&'static str, &[&'static str]); 3] =
        [("memory", &MEMORIES), ("controller input", &inputs), ("action", &ACTIONS)];
    let mut differs = None;
    for (((what, table), expected), found) in tables.into_iter().zip(kinds(dims)).zip(found) {
        let of = |number: u32| table.get(number as usize).copied();
        let (Some(expected_name), Some(found_name)) = (of(expected), of(found)) else {
            return Err(StateError::Value { at: HEADER - 4, expected: "kinds of memory, controller input and action" });
        };
        if expected != found {
            differs = differs.or(Some(names(what, expected_name, found_name)));
        }
    }
    differs.map_or(Ok(()), Err)
}

impl Model<'_> {
    /// Whether an agent of this model can continue from a saved state: every byte is checked.
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
        // A state of another kind may have another length: that is said first. One of this length is whole, or it is damaged.
        let Some((body, found)) = bytes.split_last_chunk().filter(|_| bytes.len() == state_len(self.dims())) else {
            check_kinds(self.dims(), header.kind)?;
            return Err(length);
        };
        let (expected, found) = (Digest::default().update_bytes(body).value(), u64::from_le_bytes(*found));
        if expected != found {
            return Err(StateError::Damaged { expected, found });
        }
        check_kinds(self.dims(), header.kind)?;
        if header.acted > 1 {
            return Err(StateError::Value { at: HEADER - 8, expected: "0 or 1" });
        }
        if let Some(index) = values(body).position(|value| !value.is_finite()) {
            return Err(StateError::Value { at: HEADER + 4 * index, expected: "a finite number" });
        }
        let fit = if header.fingerprint == self.fingerprint { StateMatch::SameModel } else { StateMatch::SameDims };
        Ok((header, fit))
    }
}

/// The numbers of a state without its digest.
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
        let bytes = header.bytes().chain(self.state().flat_map(f32::to_le_bytes));
        body.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
        *digest = Digest::default().update_bytes(body).value().to_le_bytes();
        Ok(())
    }

    /// Continues from a state that this model's agent saved, here or elsewhere: with the bits that it would have given.
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

    /// Continues from the state of an agent of the same sizes, whatever its model: of a newer training, say, or another precision.
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
            Self::NotAState => f.write_str("state: expected it to begin with DSSTATE2: not a state, or of another version"),
            Self::Damaged { expected, found } => {
                write!(f, "state: damaged: expected digest {expected:016x}, found {found:016x}")
            }
            Self::Dims { axis, expected, found } => write!(f, "state: expected {axis} size {expected}, found {found}"),
            Self::Kind { what, expected, found } => {
                write!(f, "state: expected one of an agent with {what} {expected}, found {found}")
            }
            Self::OtherModel { expected, found } => {
                write!(f, "state: expected one of model {expected:016x}, found one of model {found:016x}")
            }
            Self::Value { at, expected } => write!(f, "state: expected {expected} at byte {at}"),
        }
    }
}

impl core::error::Error for StateError {}
