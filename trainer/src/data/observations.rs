//! What an episode's observations are: rows of numbers, or frames of bytes.
//!
//! | kind | in memory | in the file | a row as numbers |
//! |---|---|---|---|
//! | vectors | `[N, O]` binary32 | float32, stored | as it is |
//! | frames | `[N, h, w, c]` bytes | uint8, deflated | `[h·w·c]`, each byte 0..255 |
//!
//! A frame is a *prepared* one, what V sees: rows from the top, channels innermost. It stays bytes until it is part of a batch, a quarter
//! of what its numbers would take.

use anyhow::{Result, bail};
use ndarray::{Array2, Array4, ArrayView2, ArrayView4, Axis, Slice, concatenate};

/// The observations of one episode, each a row: `N = T + 1` of an episode of `T` steps.
#[derive(Clone, Debug, PartialEq)]
pub enum Observations {
    /// `[N, O]`
    Vectors(Array2<f32>),
    /// `[N, h, w, c]`
    Frames(Array4<u8>),
}

impl Observations {
    /// `N`.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Vectors(rows) => rows.nrows(),
            Self::Frames(frames) => frames.len_of(Axis(0)),
        }
    }

    /// `O`: numbers in a row.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.frame().map_or_else(|| self.vectors().map_or(0, |rows| rows.ncols()), |frame| frame.iter().product())
    }

    /// Height, width and channels of a frame.
    #[must_use]
    pub fn frame(&self) -> Option<[usize; 3]> {
        match self {
            Self::Vectors(_) => None,
            Self::Frames(frames) => {
                let (_, height, width, channels) = frames.dim();
                Some([height, width, channels])
            }
        }
    }

    /// Row `t` as numbers, `[O]`.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn row(&self, t: usize) -> Vec<f32> {
        match self {
            Self::Vectors(rows) => rows.row(t).to_vec(),
            Self::Frames(frames) => frames.index_axis(Axis(0), t).iter().map(|&byte| f32::from(byte)).collect(),
        }
    }

    /// Every row as numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = Vec<f32>> {
        (0..self.rows()).map(|t| self.row(t))
    }

    /// Rows `from..to`, and one more.
    ///
    /// # Errors
    /// One line: `last` is of another kind or size.
    pub(super) fn part(&self, rows: std::ops::Range<usize>, (other, last): (&Self, usize)) -> Result<Self> {
        let rows = Slice::from(rows);
        Ok(match (self, other) {
            (Self::Frames(frames), Self::Frames(other)) => {
                let last = other.index_axis(Axis(0), last).insert_axis(Axis(0));
                concatenate(Axis(0), &[frames.slice_axis(Axis(0), rows), last])?.into()
            }
            _ => {
                let (part, other) = (self.vectors()?, other.vectors()?);
                let last = other.row(last).insert_axis(Axis(0));
                concatenate(Axis(0), &[part.slice_axis(Axis(0), rows), last])?.into()
            }
        })
    }

    /// Whether row `t` is the same as row `i` of `other`.
    pub(super) fn same_row(&self, t: usize, (other, i): (&Self, usize)) -> bool {
        match (self, other) {
            (Self::Vectors(a), Self::Vectors(b)) => a.row(t) == b.row(i),
            (Self::Frames(a), Self::Frames(b)) => a.index_axis(Axis(0), t) == b.index_axis(Axis(0), i),
            _ => false,
        }
    }

    /// The rows of vectors, `[N, O]`.
    ///
    /// # Errors
    /// One line: they are frames.
    pub fn vectors(&self) -> Result<ArrayView2<'_, f32>> {
        match self {
            Self::Vectors(rows) => Ok(rows.view()),
            Self::Frames(_) => bail!("observations: expected vectors of numbers, found {}", self.size_text()),
        }
    }

    /// The frames, `[N, h, w, c]`.
    ///
    /// # Errors
    /// One line: they are vectors.
    pub fn frames(&self) -> Result<ArrayView4<'_, u8>> {
        match self {
            Self::Frames(frames) => Ok(frames.view()),
            Self::Vectors(_) => bail!("observations: expected frames of bytes, found {}", self.size_text()),
        }
    }

    /// `vectors of 11 numbers`, `frames of 64 x 64 x 3 bytes`.
    fn size_text(&self) -> String {
        match self {
            Self::Vectors(rows) => format!("vectors of {} numbers", rows.ncols()),
            Self::Frames(_) => format!("frames of {} bytes", frame_text(self.frame().unwrap_or_default())),
        }
    }
}

/// `64 x 64 x 3`: a frame's height, width and channels.
#[must_use]
pub fn frame_text([height, width, channels]: [usize; 3]) -> String {
    format!("{height} x {width} x {channels}")
}

/// What observations are, for an error: their size, or `64 x 64 x 3 (frames)`.
#[must_use]
pub fn observed_text(columns: usize, frame: Option<[usize; 3]>) -> String {
    frame.map_or_else(|| columns.to_string(), |frame| format!("{} (frames)", frame_text(frame)))
}

impl From<Array2<f32>> for Observations {
    fn from(rows: Array2<f32>) -> Self {
        Self::Vectors(rows)
    }
}

impl From<Array4<u8>> for Observations {
    fn from(frames: Array4<u8>) -> Self {
        Self::Frames(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_rows_of_whole_numbers() {
        let frames = Array4::from_shape_fn((3, 2, 4, 3), |(t, y, x, c)| (t * 100 + y * 12 + x * 3 + c) as u8);
        let observed = Observations::from(frames);
        assert_eq!((observed.rows(), observed.columns(), observed.frame()), (3, 24, Some([2, 4, 3])));
        assert_eq!(observed.row(1), (100..124).map(|v| v as f32).collect::<Vec<_>>());
        assert_eq!(observed.iter().nth(2).unwrap(), observed.row(2));
        assert_eq!(observed.frames().unwrap()[[2, 1, 3, 2]], 223);
        let error = observed.vectors().unwrap_err().to_string();
        assert_eq!(error, "observations: expected vectors of numbers, found frames of 2 x 4 x 3 bytes");
    }

    #[test]
    fn vectors_are_their_own_rows() {
        let observed = Observations::from(ndarray::array![[1.5, -2.0], [0.0, 4.0]]);
        assert_eq!((observed.rows(), observed.columns(), observed.frame()), (2, 2, None));
        assert_eq!(observed.row(0), [1.5, -2.0]);
        let error = observed.frames().unwrap_err().to_string();
        assert_eq!(error, "observations: expected frames of bytes, found vectors of 2 numbers");
    }
}
