//! A refusal: its status and its line. The runtime's errors pass through with their own text; those that only a C caller can make are stated
//! here. Small and plain, so that an object can keep one until it is asked for.

use crate::types::dreamstep_status;
use core::ffi::c_char;
use core::fmt::{self, Write};
use dreamstep_runtime::{DreamError, LoadError, MemoryError, ReplaceModelError, SelfTestError, StateError, StepError};

/// Why a call was refused.
#[derive(Clone, Copy)]
pub(crate) enum Error {
    /// A pointer is NULL.
    Null {
        what: &'static str,
    },
    /// An address is not a multiple of its type's alignment.
    Misaligned {
        what: &'static str,
        align: usize,
    },
    /// A struct without its tag.
    NotMade {
        what: &'static str,
    },
    /// More values than memory can hold at this address.
    TooLong {
        what: &'static str,
        found: usize,
    },
    /// Input and output share memory.
    Overlap {
        input: &'static str,
        output: &'static str,
    },
    /// Another number of values.
    Length {
        what: &'static str,
        expected: usize,
        found: usize,
    },
    /// A number that names nothing.
    Choice {
        what: &'static str,
        expected: &'static str,
        found: i32,
    },
    /// h without the c that an LSTM has, or c without h.
    HalfState,
    /// A prediction or a surprise of a model without the MDN head.
    NoHead {
        what: &'static str,
    },
    /// A prediction or a surprise of a model without M.
    NoMemory {
        what: &'static str,
    },
    /// A surprise without an observation.
    SurpriseBeforeAct,
    Load(LoadError),
    SelfTest(SelfTestError),
    Memory(MemoryError),
    Step(StepError),
    Replace(ReplaceModelError),
    State(StateError),
    Dream(DreamError),
}

macro_rules! from {
    ($($variant:ident: $error:ty,)*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from! {
    Load: LoadError,
    SelfTest: SelfTestError,
    Memory: MemoryError,
    Step: StepError,
    Replace: ReplaceModelError,
    State: StateError,
    Dream: DreamError,
}

impl From<Error> for dreamstep_status {
    fn from(error: Error) -> Self {
        error.status()
    }
}

impl Error {
    pub(crate) const fn status(&self) -> dreamstep_status {
        use dreamstep_status as status;
        match self {
            Self::Null { .. } => status::Null,
            Self::Misaligned { .. } => status::Misaligned,
            Self::NotMade { .. } => status::NotMade,
            Self::Overlap { .. } => status::Overlap,
            Self::TooLong { .. } | Self::Choice { .. } | Self::HalfState => status::Argument,
            Self::Length { .. } => status::Length,
            Self::NoHead { .. } => status::NoHead,
            Self::NoMemory { .. } => status::Kind,
            Self::SurpriseBeforeAct => status::Order,
            Self::Load(error) => match error {
                LoadError::Read(_) => status::File,
                LoadError::Misaligned { .. } => status::Misaligned,
                LoadError::Backend { .. } => status::Backend,
                _ => status::NotAnAgent,
            },
            Self::SelfTest(error) => match error {
                SelfTestError::FloatEnvironment { .. } => status::FloatEnvironment,
                SelfTestError::Absent => status::SelfTestAbsent,
                SelfTestError::Memory { .. } => status::Memory,
                _ => status::SelfTestFailed,
            },
            Self::Memory(_) => status::Memory,
            Self::Step(error) => match error {
                StepError::ObservationLength { .. } | StepError::ActionLength { .. } | StepError::FrameLength { .. } => {
                    status::Length
                }
                StepError::ObservationKind { .. } => status::Kind,
                StepError::NonFinite { .. } | StepError::NonFiniteAction { .. } => status::NonFinite,
                StepError::AdvanceBeforeAct | StepError::OverrideBeforeAct => status::Order,
                _ => status::Argument,
            },
            Self::Replace(error) => match error {
                ReplaceModelError::MidTick => status::Order,
                _ => status::Dims,
            },
            Self::State(error) => match error {
                StateError::Length { .. } => status::Length,
                StateError::Dims { .. } | StateError::Kind { .. } => status::Dims,
                StateError::OtherModel { .. } => status::OtherModel,
                _ => status::State,
            },
            Self::Dream(error) => match error {
                DreamError::NoHead => status::NoHead,
                DreamError::Input { .. } => status::Kind,
                DreamError::Memory { .. } => status::Memory,
                DreamError::Length { .. } => status::Length,
                DreamError::NonFinite { .. } => status::NonFinite,
                DreamError::NoAction { .. } => status::Order,
                _ => status::Argument,
            },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null { what } => write!(f, "{what}: expected a pointer, found NULL"),
            Self::Misaligned { what, align } => write!(f, "{what}: expected an address that is a multiple of {align}"),
            Self::NotMade { what } => write!(f, "{what}: expected one that was made, found none"),
            Self::TooLong { what, found } => write!(f, "{what}: {found} values do not fit into memory"),
            Self::Overlap { input, output } => write!(f, "{input} and {output}: expected separate memory, found an overlap"),
            Self::Length { what, expected, found } => write!(f, "{what}: expected {expected} values, found {found}"),
            Self::Choice { what, expected, found } => write!(f, "{what}: expected {expected}, found {found}"),
            Self::HalfState => f.write_str("h and c: expected both or neither (a GRU has no c), found one"),
            Self::NoHead { what } => write!(f, "{what}: expected a model with an MDN head, found none in the file"),
            Self::NoMemory { what } => write!(f, "{what}: expected a model with a memory, found none in the file"),
            Self::SurpriseBeforeAct => {
                f.write_str("surprise: expected an act before it, found none since the last advance or reset")
            }
            Self::Load(error) => error.fmt(f),
            Self::SelfTest(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
            Self::Step(error) => error.fmt(f),
            Self::Replace(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
            Self::Dream(error) => error.fmt(f),
        }
    }
}

/// A caller's buffer: a string that always ends in NUL, cut between two characters where it is too long.
pub(crate) struct Line {
    at: *mut u8,
    /// Bytes left, the NUL's too; 0 where there is no buffer.
    room: usize,
}

impl Line {
    /// # Safety
    /// `buffer` is NULL or `len` writable bytes that nothing else refers to, as long as the line is used.
    pub(crate) unsafe fn new(buffer: *mut c_char, len: usize) -> Self {
        Self { at: buffer.cast(), room: if buffer.is_null() { 0 } else { len } }
    }

    /// Writes the line of an error, or an empty one. Returns the buffer, or an empty string where there is none.
    pub(crate) fn say(mut self, error: Option<Error>) -> *const c_char {
        if self.room == 0 {
            return c"".as_ptr();
        }
        let buffer = self.at;
        if let Some(error) = error {
            // Fails where the line is full: it is cut there.
            let _ = write!(self, "{error}");
        }
        // SAFETY: `new`'s caller says that the buffer is writable, and a byte of it is left.
        unsafe { self.at.write(0) };
        buffer.cast_const().cast()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let n = text.floor_char_boundary(self.room.saturating_sub(1));
        // SAFETY: `n` bytes are fewer than the buffer has left, and `new`'s caller says that nothing else refers to them.
        unsafe {
            self.at.copy_from_nonoverlapping(text.as_ptr(), n);
            self.at = self.at.add(n);
        }
        self.room -= n;
        if n < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}
