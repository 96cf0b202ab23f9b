//! What an agent observes: a vector of numbers, or an image of bytes.

use crate::error::LoadError;
use crate::metadata::{dim, one_of};
use crate::names::metadata as key;
use crate::reader::File;

/// Most pixels of an image: more would not fit a small machine's usize with their channels.
const MAX_IMAGE: u64 = 1 << 22;

/// An observation's kind and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Observation {
    /// `[O]` binary32 values.
    Vector {
        /// `O`.
        len: usize,
    },
    /// `[h, w, c]` bytes, row after row, channels innermost. Described here so that files can say it; no runtime steps one yet.
    Image {
        /// `h`, in pixels.
        height: usize,
        /// `w`, in pixels.
        width: usize,
        /// `c`.
        channels: usize,
    },
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Vector,
    Image,
}

const KINDS: [(&str, Kind); 2] = [("vector", Kind::Vector), ("image", Kind::Image)];

impl Observation {
    /// `O`: values of an observation.
    #[must_use]
    pub const fn len(&self) -> usize {
        match *self {
            Self::Vector { len } => len,
            Self::Image { height, width, channels } => height * width * channels,
        }
    }

    /// Never: an observation has at least one value.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its kind's name in metadata.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Vector { .. } => "vector",
            Self::Image { .. } => "image",
        }
    }

    pub(crate) fn read(file: &File<'_>) -> Result<Self, LoadError> {
        match one_of(file, key::OBS_KIND, "vector or image", &KINDS)? {
            Kind::Vector => Ok(Self::Vector { len: dim(file, key::DIM_OBS)? }),
            Kind::Image => {
                let [height, width, channels] = key::OBS_IMAGE;
                let [height, width, channels] = [dim(file, height)?, dim(file, width)?, dim(file, channels)?];
                let fits = height as u64 * width as u64 <= MAX_IMAGE && channels <= 4;
                if !fits {
                    let expected = "at most 4 channels of 4194304 pixels";
                    return Err(LoadError::BadParts { what: key::OBS_IMAGE[0], expected });
                }
                Ok(Self::Image { height, width, channels })
            }
        }
    }

    #[cfg(feature = "host")]
    pub(crate) fn write(&self, entries: &mut std::vec::Vec<(&'static str, std::string::String)>) {
        use std::string::ToString;
        entries.push((key::OBS_KIND, self.kind().to_string()));
        match *self {
            Self::Vector { len } => entries.push((key::DIM_OBS, len.to_string())),
            Self::Image { height, width, channels } => {
                entries.extend(key::OBS_IMAGE.into_iter().zip([height, width, channels].map(|n| n.to_string())));
            }
        }
    }
}
