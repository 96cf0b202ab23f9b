//! What was expected, and what was found? Every way a model file can be wrong, each naming the place.
//!
//! The errors hold what they print, shortened where it is long ([`Text`]), so that they need neither an allocation nor the file.

use core::fmt;

/// Up to [`Text::MAX`] bytes of a text; a longer one is cut at a character and ends in `…` when it is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    bytes: [u8; Self::MAX],
    len: u8,
    cut: bool,
}

impl Text {
    /// Bytes kept.
    pub const MAX: usize = 62;

    /// The beginning of `text`, all of it where it fits.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let len = (0..=text.len().min(Self::MAX)).rev().find(|&len| text.is_char_boundary(len)).unwrap_or(0);
        let mut bytes = [0; Self::MAX];
        bytes.iter_mut().zip(text.as_bytes().iter().take(len)).for_each(|(slot, &byte)| *slot = byte);
        Self { bytes, len: len as u8, cut: len < text.len() }
    }

    /// What was kept.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.len)).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        if self.cut { f.write_str("…") } else { Ok(()) }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.as_str(), if self.cut { "…" } else { "" })
    }
}

/// Why bytes are not a valid safetensors file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// The file ends before its header does.
    Truncated {
        /// Bytes that the header needs.
        expected: u64,
        /// Bytes in the file.
        found: usize,
    },
    /// The header is larger than the reader allows.
    HeaderTooLarge {
        /// Bytes allowed.
        limit: usize,
        /// Bytes claimed.
        found: u64,
    },
    /// The header is not UTF-8 from this byte on.
    NotUtf8 {
        /// Offset in the header.
        at: usize,
    },
    /// The header is not the JSON that the format prescribes.
    Syntax {
        /// Offset in the header.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// The same tensor or metadata key twice.
    Duplicate {
        /// Its name.
        name: Text,
    },
    /// More tensors than the reader allows.
    TooManyTensors {
        /// Tensors allowed.
        limit: usize,
    },
    /// More metadata keys than the reader allows.
    TooManyKeys {
        /// Keys allowed.
        limit: usize,
    },
    /// A tensor has more axes than the reader allows.
    TooManyAxes {
        /// The tensor.
        name: Text,
        /// Axes allowed.
        limit: usize,
    },
    /// A tensor's dtype is not one of the format's.
    UnknownDtype {
        /// The tensor.
        name: Text,
        /// The dtype claimed.
        found: Text,
    },
    /// dtype × shape is not the number of bytes between the offsets.
    WrongLength {
        /// The tensor.
        name: Text,
        /// Bytes by dtype and shape; none where the product overflows.
        expected: Option<u64>,
        /// Bytes by the offsets.
        found: u64,
    },
    /// A tensor's offsets leave the file, or end before they begin.
    OutOfRange {
        /// The tensor.
        name: Text,
        /// First byte of its data.
        begin: u64,
        /// Byte after its data.
        end: u64,
        /// Bytes of data in the file.
        data: usize,
    },
    /// No tensor begins where another ended, or one begins inside another: a hole or an overlap.
    NotContiguous {
        /// Offset in the data.
        at: u64,
    },
}

/// Why a file is not an agent that the runtime can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// Not a safetensors file.
    Read(ReadError),
    /// A metadata key is missing.
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A metadata value is not one the runtime knows.
    BadValue {
        /// The key.
        key: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: Text,
    },
    /// Parts that do not fit each other, or that this version cannot run.
    BadParts {
        /// The key of what does not fit.
        what: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// The MDN head would have more outputs than is allowed.
    TooManyOutputs {
        /// Outputs allowed.
        limit: u64,
    },
    /// A tensor is missing.
    MissingTensor {
        /// The tensor.
        name: &'static str,
    },
    /// A tensor that the format does not have.
    UnknownTensor {
        /// The tensor.
        name: Text,
    },
    /// A tensor of another dtype.
    WrongDtype {
        /// The tensor.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: Text,
    },
    /// A tensor of another number of axes.
    WrongRank {
        /// The tensor.
        name: &'static str,
        /// What it should be.
        expected: usize,
        /// What it is.
        found: usize,
    },
    /// A tensor of another shape.
    WrongShape {
        /// The tensor.
        name: &'static str,
        /// What it should be; unused axes are 0.
        expected: [usize; 4],
        /// What it is, with as many axes.
        found: [usize; 4],
    },
    /// A tensor's data do not lie on a four-byte boundary in memory.
    Misaligned {
        /// The tensor.
        name: &'static str,
    },
    /// A weight is infinite or NaN.
    NonFinite {
        /// The tensor.
        name: &'static str,
        /// Index of the first such value.
        index: usize,
    },
    /// A bf16 weight's magnitude is neither 0 nor from 2⁻⁶⁰ to 2⁶⁰ ([`crate::precision::is_exact_weight`]).
    WeightRange {
        /// The tensor.
        name: &'static str,
        /// Index of the first such value.
        index: usize,
    },
    /// An entry of a table by which a picture is resized reads beyond it, goes back, or weighs more than bytes bear.
    BadTable {
        /// The table.
        name: &'static str,
        /// The entry.
        index: usize,
    },
    /// An output's integer weights do not add up to what the file says.
    WrongSum {
        /// The tensor of sums.
        name: &'static str,
        /// The output.
        index: usize,
        /// What the weights add up to.
        expected: i32,
        /// What the file says.
        found: i32,
    },
    /// The back end that was asked for does not run on this processor.
    Backend {
        /// Its name.
        name: &'static str,
    },
}

impl From<ReadError> for LoadError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { expected, found } => {
                write!(f, "not a safetensors file, or cut short: expected at least {expected} bytes, found {found}")
            }
            Self::HeaderTooLarge { limit, found } => {
                write!(f, "not a safetensors file: header of {found} bytes, expected at most {limit}")
            }
            Self::NotUtf8 { at } => write!(f, "safetensors header: byte {at} is not UTF-8"),
            Self::Syntax { at, expected } => write!(f, "safetensors header: expected {expected} at byte {at}"),
            Self::Duplicate { name } => write!(f, "safetensors header: `{name}` stands twice"),
            Self::TooManyTensors { limit } => write!(f, "safetensors header: more than {limit} tensors"),
            Self::TooManyKeys { limit } => write!(f, "safetensors header: more than {limit} metadata keys"),
            Self::TooManyAxes { name, limit } => write!(f, "tensor `{name}`: more than {limit} axes"),
            Self::UnknownDtype { name, found } => write!(f, "tensor `{name}`: unknown dtype `{found}`"),
            Self::WrongLength { name, expected: Some(expected), found } => {
                write!(f, "tensor `{name}`: dtype and shape take {expected} bytes, the offsets span {found}")
            }
            Self::WrongLength { name, expected: None, found } => {
                write!(f, "tensor `{name}`: dtype and shape take more bytes than can be counted, the offsets span {found}")
            }
            Self::OutOfRange { name, begin, end, data } => {
                write!(f, "tensor `{name}`: offsets {begin}..{end} do not lie in the {data} bytes of data")
            }
            Self::NotContiguous { at } => {
                write!(
                    f,
                    "safetensors header: tensors must follow each other without hole or overlap, and do not at byte {at}"
                )
            }
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Read(error) => error.fmt(f),
            Self::MissingKey { key } => write!(f, "metadata `{key}`: expected, not found (is this a packed agent?)"),
            Self::BadValue { key, expected, found } => write!(f, "metadata `{key}`: expected {expected}, found `{found}`"),
            Self::BadParts { what, expected } => write!(f, "metadata `{what}`: expected {expected}"),
            Self::TooManyOutputs { limit } => {
                write!(f, "metadata `dims.mixtures`: expected at most {limit} outputs of the MDN head, found more")
            }
            Self::MissingTensor { name } => write!(f, "tensor `{name}`: expected, not found"),
            Self::UnknownTensor { name } => write!(f, "tensor `{name}`: not part of a packed agent"),
            Self::WrongDtype { name, expected, found } => {
                write!(f, "tensor `{name}`: expected dtype {expected}, found {found}")
            }
            Self::WrongRank { name, expected, found } => {
                write!(f, "tensor `{name}`: expected {expected} axes, found {found}")
            }
            Self::WrongShape { name, expected, found } => {
                let rank = expected.iter().take_while(|&&axis| axis > 0).count();
                write!(f, "tensor `{name}`: expected shape {:?}, found {:?}", &expected[..rank], &found[..rank])
            }
            Self::Misaligned { name } => {
                write!(f, "tensor `{name}`: expected its data on a 4-byte boundary in memory (align the file's bytes to 64)")
            }
            Self::NonFinite { name, index } => {
                write!(f, "tensor `{name}`: expected finite values, found a non-finite one at {index}")
            }
            Self::WeightRange { name, index } => {
                write!(f, "tensor `{name}`: expected magnitudes of 0 or from 2^-60 to 2^60, found another at {index}")
            }
            Self::BadTable { name, index } => {
                write!(
                    f,
                    "tensor `{name}`: entry {index}: expected a place in the picture not before the last one's, and weights of 0 to 2 in all"
                )
            }
            Self::WrongSum { name, index, expected, found } => {
                write!(f, "tensor `{name}`: output {index}'s weights add up to {expected}, found {found}")
            }
            Self::Backend { name } => write!(f, "back end `{name}`: this processor does not run it"),
        }
    }
}

impl core::error::Error for ReadError {}
impl core::error::Error for LoadError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(Text::new("").to_string(), "");
        assert_eq!(
            (Text::new("packed-2").to_string(), format!("{:?}", Text::new("a\"b"))),
            ("packed-2".into(), "\"a\\\"b\"".into())
        );
        let fits = "x".repeat(Text::MAX);
        assert_eq!(Text::new(&fits).to_string(), fits);
        let two_bytes_each = "é".repeat(40);
        assert_eq!(Text::new(&two_bytes_each).to_string(), "é".repeat(31) + "…");
        let odd = format!("x{two_bytes_each}");
        assert_eq!(Text::new(&odd).to_string(), format!("x{}…", "é".repeat(30)));
        assert_ne!(Text::new(&fits), Text::new(&(fits.clone() + "y")), "cut and whole");
    }
}
