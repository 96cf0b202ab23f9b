//! What an agent observes: a vector of numbers, or a picture of bytes, of which [`image`] makes what V sees.

pub mod image;
pub mod resample;

use crate::error::LoadError;
use crate::metadata::{dim, one_of};
use crate::names::metadata as key;
use crate::reader::File;

#[cfg(feature = "host")]
pub use image::Preparer;
pub use image::{Colour, Filter, Image};

/// An observation's kind and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Observation {
    /// `[O]` binary32 values.
    Vector {
        /// `O`.
        len: usize,
    },
    /// A picture: `[h, w, c]` bytes once it is prepared, row after row, channels innermost.
    Image(Image),
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
            Self::Image(ref image) => image.len(),
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
            Self::Image(_) => "image",
        }
    }

    pub(crate) fn read(file: &File<'_>) -> Result<Self, LoadError> {
        match one_of(file, key::OBS_KIND, "vector or image", &KINDS)? {
            Kind::Vector => Ok(Self::Vector { len: dim(file, key::DIM_OBS)? }),
            Kind::Image => {
                let [height, width, channels] = key::OBS_IMAGE;
                let [height, width, channels] = [dim(file, height)?, dim(file, width)?, dim(file, channels)?];
                Image::read(file, [height, width, channels]).map(Self::Image)
            }
        }
    }

    #[cfg(feature = "host")]
    pub(crate) fn write(&self, entries: &mut std::vec::Vec<(&'static str, std::string::String)>) {
        use std::string::ToString;
        entries.push((key::OBS_KIND, self.kind().to_string()));
        match *self {
            Self::Vector { len } => entries.push((key::DIM_OBS, len.to_string())),
            Self::Image(ref image) => image.write(entries),
        }
    }

    /// The picture, where it is one.
    #[must_use]
    pub const fn image(&self) -> Option<&Image> {
        match self {
            Self::Vector { .. } => None,
            Self::Image(image) => Some(image),
        }
    }
}
