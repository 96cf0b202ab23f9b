//! Which number and which line does a failure give? The runtime's errors pass through with their own text; those that only a
//! C caller can make are stated here.

use crate::types::dreamstep_status;
use core::ffi::c_char;
use core::fmt::{self, Write};
use dreamstep_runtime::{
    DreamError, LoadError, MemoryError, ReadError, ReplaceModelError, SelfTestError, StateError, StepError,
};

/// Why a call was refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Error<'a> {
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
    /// A string that is not UTF-8.
    NotUtf8 {
        what: &'static str,
    },
    /// h without the c that an LSTM has, or c without h.
    HalfState,
    /// The file has no such metadata key.
    NoSuchKey {
        key: &'a str,
    },
    /// A prediction of a model without the MDN head.
    NoHead,
    /// M, which would predict, does not run: the controller reads observations alone.
    Reactive,
    Load(LoadError<'a>),
    SelfTest(SelfTestError),
    Memory(MemoryError),
    Step(StepError),
    Swap(ReplaceModelError),
    State(StateError),
    Dream(DreamError),
}

macro_rules! from {
    ($($variant:ident: $error:ty,)*) => {
        $(impl<'a> From<$error> for Error<'a> {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from! {
    Load: LoadError<'a>,
    SelfTest: SelfTestError,
    Memory: MemoryError,
    Step: StepError,
    Swap: ReplaceModelError,
    State: StateError,
    Dream: DreamError,
}

impl<'a> From<ReadError<'a>> for Error<'a> {
    fn from(error: ReadError<'a>) -> Self {
        Self::Load(error.into())
    }
}

impl Error<'_> {
    const fn status(&self) -> dreamstep_status {
        use dreamstep_status as status;
        match self {
            Self::Null { .. } => status::Null,
            Self::Misaligned { .. } => status::Misaligned,
            Self::NotMade { .. } => status::NotMade,
            Self::Overlap { .. } => status::Overlap,
            Self::TooLong { .. } | Self::Choice { .. } | Self::NotUtf8 { .. } | Self::HalfState => status::Argument,
            Self::Length { .. } => status::Length,
            Self::NoSuchKey { .. } => status::NoSuchKey,
            Self::NoHead => status::NoHead,
            Self::Reactive => status::Input,
            Self::Load(error) => match error {
                LoadError::Read(_) => status::File,
                LoadError::Misaligned { .. } => status::Misaligned,
                LoadError::Backend { .. } => status::Backend,
                _ => status::NotAnAgent,
            },
            Self::SelfTest(error) => match error {
                SelfTestError::Absent => status::SelfTestAbsent,
                SelfTestError::Memory { .. } => status::Memory,
                _ => status::SelfTestFailed,
            },
            Self::Memory(_) => status::Memory,
            Self::Step(error) => match error {
                StepError::ObservationLength { .. } | StepError::ActionLength { .. } => status::Length,
                StepError::NonFinite { .. } | StepError::NonFiniteAction { .. } => status::NonFinite,
                StepError::AdvanceBeforeAct => status::Order,
            },
            Self::Swap(error) => match error {
                ReplaceModelError::Dims { .. } => status::Dims,
                ReplaceModelError::MidTick => status::Order,
            },
            Self::State(error) => match error {
                StateError::Length { .. } => status::Length,
                StateError::Dims { .. } | StateError::Cell { .. } | StateError::Input { .. } => status::Dims,
                StateError::OtherModel { .. } => status::OtherModel,
                StateError::NotAState | StateError::Damaged { .. } | StateError::Value { .. } => status::State,
            },
            Self::Dream(error) => match error {
                DreamError::NoHead => status::NoHead,
                DreamError::Input { .. } => status::Input,
                DreamError::Memory { .. } => status::Memory,
                DreamError::Count { .. }
                | DreamError::Temperature { .. }
                | DreamError::Threshold { .. }
                | DreamError::Index { .. } => status::Argument,
                DreamError::Length { .. } => status::Length,
                DreamError::NonFinite { .. } => status::NonFinite,
                DreamError::NoAction { .. } => status::Order,
            },
        }
    }
}

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null { what } => write!(f, "{what}: expected a pointer, found NULL"),
            Self::Misaligned { what, align } => write!(f, "{what}: expected an address that is a multiple of {align}"),
            Self::NotMade { what } => write!(f, "{what}: expected one that was made, found none"),
            Self::TooLong { what, found } => write!(f, "{what}: {found} values do not fit into memory"),
            Self::Overlap { input, output } => write!(f, "{input} and {output}: expected separate memory, found an overlap"),
            Self::Length { what, expected, found } => write!(f, "{what}: expected {expected} values, found {found}"),
            Self::Choice { what, expected, found } => write!(f, "{what}: expected {expected}, found {found}"),
            Self::NotUtf8 { what } => write!(f, "{what}: expected UTF-8"),
            Self::HalfState => f.write_str("h and c: expected both or neither (a GRU has no c), found one"),
            Self::NoSuchKey { key } => write!(f, "metadata `{}`: expected, not found", key.escape_debug()),
            Self::NoHead => f.write_str("prediction: expected a model with an MDN head, found none in the file"),
            Self::Reactive => {
                f.write_str("prediction: expected a controller that needs M, found one that reads observations alone")
            }
            Self::Load(error) => error.fmt(f),
            Self::SelfTest(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
            Self::Step(error) => error.fmt(f),
            Self::Swap(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
            Self::Dream(error) => error.fmt(f),
        }
    }
}

/// Does `call` and says how it ended: the status, and in `message` the error's line (nothing where there was none).
///
/// # Safety
/// `message` is NULL or `message_len` writable bytes that nothing else refers to.
#[inline(always)]
pub(crate) unsafe fn answer<'a>(
    message: *mut c_char,
    message_len: usize,
    call: impl FnOnce() -> Result<(), Error<'a>>,
) -> dreamstep_status {
    // Empty until there is something to say.
    let mut line = Line::new(message, message_len);
    line.end();
    match call() {
        Ok(()) => dreamstep_status::Ok,
        Err(error) => {
            say(&error, &mut line);
            error.status()
        }
    }
}

/// Apart from the calls, whose machine code then holds no formatting.
#[cold]
#[inline(never)]
fn say(error: &Error<'_>, line: &mut Line) {
    // Fails where the line is full: it is cut there.
    let _ = write!(line, "{error}");
    line.end();
}

/// A caller's message buffer: a string that always ends in NUL, cut between two characters where it is too long.
struct Line {
    at: *mut u8,
    /// Bytes left, the NUL's too; 0 where there is no buffer.
    room: usize,
}

impl Line {
    fn new(message: *mut c_char, len: usize) -> Self {
        Self { at: message.cast(), room: if message.is_null() { 0 } else { len } }
    }

    fn end(&mut self) {
        if self.room > 0 {
            // SAFETY: `answer`'s caller says that the buffer is writable, and a byte of it is left.
            unsafe { self.at.write(0) };
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let n = text.floor_char_boundary(self.room.saturating_sub(1));
        // SAFETY: `n` bytes are fewer than the buffer has left, and `answer`'s caller says that nothing else refers to them.
        unsafe {
            self.at.copy_from_nonoverlapping(text.as_ptr(), n);
            self.at = self.at.add(n);
        }
        self.room -= n;
        if n < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}
