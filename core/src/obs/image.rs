//! A picture on its way to V: of a camera's or an environment's frame a part is cut out, its colours are reduced or reversed, it is resized,
//! and perhaps inverted. All in integers, so that it is the same bytes everywhere.
//!
//! ```text
//! frame [h, w, c] ─crop→ ─colour→ ─resize→ ─invert→ prepared [h', w', c'] bytes ─ · scale → x [h', w', c']
//! ```
//!
//! Rows follow one another, columns in a row, channels innermost. What is prepared is what rollouts record and V is trained on; a file says how
//! ([`Image`]), so that the frame itself is all that a control loop hands over.

use super::resample::{self, taps};
use crate::error::LoadError;
use crate::metadata::{numbers, one_of};
use crate::names::{metadata as key, packed};
use crate::reader::File;

/// Most pixels of a picture: more would not fit a small machine's usize with their channels.
pub const MAX_PIXELS: usize = 1 << 22;

/// Most channels of a picture.
pub const MAX_CHANNELS: usize = 4;

/// Which of a frame's channels are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Colour {
    /// All, in their order.
    AsIs,
    /// Of red, green and blue their luminance by ITU-R BT.601, `(19595·r + 38470·g + 7471·b + 2¹⁵) >> 16`, as Pillow's mode `L` has it.
    Grey,
    /// Three, the last one first: RGB for a camera's BGR.
    Reversed,
}

/// How a picture is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// A triangle as wide as two source pixels or two of the smaller picture's, whichever is wider: Pillow's `BILINEAR` in 8 bits, to the bit.
    Bilinear,
    /// The mean over the area that a pixel covers.
    Area,
}

/// What a frame is, and what is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Image {
    /// Height, width and channels of the frame as the camera or the environment has it.
    pub frame: [usize; 3],
    /// Top, left, height and width of the part that is kept, in pixels.
    pub crop: [usize; 4],
    /// Which channels are kept.
    pub colour: Colour,
    /// Height and width that V sees.
    pub size: [usize; 2],
    /// How they come about, where they are not the part's own.
    pub filter: Filter,
    /// Whether every value becomes 255 less it.
    pub inverted: bool,
}

impl Image {
    /// A picture that is taken as it is: `[height, width, channels]`.
    #[must_use]
    pub const fn plain(frame: [usize; 3]) -> Self {
        let [height, width, _] = frame;
        let (crop, size) = ([0, 0, height, width], [height, width]);
        Self { frame, crop, colour: Colour::AsIs, size, filter: Filter::Bilinear, inverted: false }
    }

    /// The same of a part: top, left, height, width. Not resized.
    #[must_use]
    pub const fn cropped(self, crop: [usize; 4]) -> Self {
        Self { crop, size: [crop[2], crop[3]], ..self }
    }

    /// The same, resized to height and width.
    #[must_use]
    pub const fn resized(self, size: [usize; 2], filter: Filter) -> Self {
        Self { size, filter, ..self }
    }

    /// The same with other channels.
    #[must_use]
    pub const fn coloured(self, colour: Colour) -> Self {
        Self { colour, ..self }
    }

    /// The same, each value 255 less what it was.
    #[must_use]
    pub const fn inverted(self) -> Self {
        Self { inverted: !self.inverted, ..self }
    }

    /// Height, width and channels of what is prepared.
    #[must_use]
    pub const fn prepared(&self) -> [usize; 3] {
        [self.size[0], self.size[1], self.channels()]
    }

    /// Values of what is prepared: `O`.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.size[0] * self.size[1] * self.channels()
    }

    /// Never: a picture has at least one pixel.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of a frame whose rows follow one another without a gap.
    #[must_use]
    pub const fn frame_len(&self) -> usize {
        self.frame[0] * self.frame[1] * self.frame[2]
    }

    const fn channels(&self) -> usize {
        match self.colour {
            Colour::Grey => 1,
            Colour::AsIs | Colour::Reversed => self.frame[2],
        }
    }

    /// Shapes `[n, 1 + taps]` of the tables by which columns, then rows are resized ([`resample`]); none where their number stays.
    #[must_use]
    pub const fn tables(&self) -> [Option<[usize; 2]>; 2] {
        let [_, _, height, width] = self.crop;
        [table(width, self.size[1]), table(height, self.size[0])]
    }

    /// Bytes that [`prepare`] works in.
    #[must_use]
    pub const fn scratch_len(&self) -> usize {
        let (channels, line) = (self.channels(), self.line_len());
        match self.tables()[1] {
            Some([_, entries]) => line.saturating_add((entries - 1).saturating_mul(self.size[1]).saturating_mul(channels)),
            None => line,
        }
    }

    /// Bytes of a row whose colours are changed, before it is resized.
    const fn line_len(&self) -> usize {
        match self.colour {
            Colour::AsIs => 0,
            Colour::Grey | Colour::Reversed => self.crop[3] * self.channels(),
        }
    }

    /// That its numbers fit each other.
    ///
    /// # Errors
    /// [`LoadError::BadParts`] with the metadata key of what does not.
    pub fn check(&self) -> Result<(), LoadError> {
        let bad = |what, expected| Err(LoadError::BadParts { what, expected });
        let [height, width, channels] = self.frame;
        let [top, left, rows, columns] = self.crop;
        let fits = |[height, width]: [usize; 2]| {
            height > 0 && width > 0 && height.checked_mul(width).is_some_and(|pixels| pixels <= MAX_PIXELS)
        };
        if !fits([height, width]) || !(1..=MAX_CHANNELS).contains(&channels) {
            return bad(key::OBS_FRAME, "height, width and channels: one to four channels of one to 4194304 pixels");
        }
        let inside = |from: usize, len: usize, all| len > 0 && from.checked_add(len).is_some_and(|end| end <= all);
        if !inside(top, rows, height) || !inside(left, columns, width) {
            return bad(key::OBS_CROP, "top, left, height and width of a part of the frame");
        }
        if !fits(self.size) {
            return bad(key::OBS_IMAGE[0], "one to 4194304 pixels");
        }
        // Beyond that a row of weights would be longer than some small machine's memory, and no picture is looked at so.
        let [from, to] = [[rows, columns], self.size];
        if from.iter().zip(to).any(|(&from, to)| from.div_ceil(to) > resample::MAX_RATIO) {
            return bad(key::OBS_IMAGE[0], "at least a 128th of the part's height and width");
        }
        if self.colour != Colour::AsIs && channels != 3 {
            return bad(key::OBS_COLOUR, "as-is where the frame has not three channels");
        }
        Ok(())
    }

    pub(super) fn read(file: &File<'_>, [height, width, channels]: [usize; 3]) -> Result<Self, LoadError> {
        let frame = numbers(file, key::OBS_FRAME, "height, width and channels, separated by commas")?;
        let crop = numbers(file, key::OBS_CROP, "top, left, height and width, separated by commas")?;
        let colour = one_of(file, key::OBS_COLOUR, "as-is, grey or reversed", &COLOURS)?;
        let filter = one_of(file, key::OBS_FILTER, "bilinear or area", &FILTERS)?;
        let inverted = one_of(file, key::OBS_INVERTED, "true or false", &[("false", false), ("true", true)])?;
        let image = Self { frame, crop, colour, size: [height, width], filter, inverted };
        image.check()?;
        if image.channels() != channels {
            return Err(LoadError::BadParts { what: key::OBS_IMAGE[2], expected: "as many as observation.colour keeps" });
        }
        Ok(image)
    }

    #[cfg(feature = "host")]
    pub(super) fn write(&self, entries: &mut std::vec::Vec<(&'static str, std::string::String)>) {
        use crate::metadata::comma_separated;
        use std::string::ToString;
        entries.extend(key::OBS_IMAGE.into_iter().zip(self.prepared().map(|n| n.to_string())));
        entries.push((key::OBS_FRAME, comma_separated(&self.frame)));
        entries.push((key::OBS_CROP, comma_separated(&self.crop)));
        entries.push((key::OBS_COLOUR, self.colour.name().into()));
        entries.push((key::OBS_FILTER, self.filter.name().into()));
        entries.push((key::OBS_INVERTED, self.inverted.to_string()));
    }
}

const fn table(from: usize, to: usize) -> Option<[usize; 2]> {
    if from == to { None } else { Some([to, 1 + taps(from, to)]) }
}

const COLOURS: [(&str, Colour); 3] =
    [(Colour::AsIs.name(), Colour::AsIs), (Colour::Grey.name(), Colour::Grey), (Colour::Reversed.name(), Colour::Reversed)];

impl Colour {
    /// Its name in metadata.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsIs => "as-is",
            Self::Grey => "grey",
            Self::Reversed => "reversed",
        }
    }
}

const FILTERS: [(&str, Filter); 2] = [(Filter::Bilinear.name(), Filter::Bilinear), (Filter::Area.name(), Filter::Area)];

impl Filter {
    /// Its name in metadata and configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bilinear => "bilinear",
            Self::Area => "area",
        }
    }
}

/// What the packed file calls the tables of [`Image::tables`].
pub const TABLES: [&str; 2] = [packed::OBSERVATION_COLUMNS, packed::OBSERVATION_ROWS];

/// Makes of a frame what V sees.
///
/// `frame` holds the rows, `stride` bytes from one to the next; `tables` are those of [`Image::tables`] (empty where there is none), which
/// [`resample::check`] has passed; `scratch` has [`Image::scratch_len`] bytes and `out` [`Image::len`]. Where one is shorter, rows are left out: the
/// caller sees to it that none is.
#[inline(always)] // as the loops are: compiled for the instructions of the caller
pub fn prepare(image: &Image, tables: [&[i32]; 2], frame: &[u8], stride: usize, scratch: &mut [u8], out: &mut [u8]) {
    match image.channels() {
        1 => rows::<1>(image, tables, frame, stride, scratch, out),
        2 => rows::<2>(image, tables, frame, stride, scratch, out),
        3 => rows::<3>(image, tables, frame, stride, scratch, out),
        _ => rows::<4>(image, tables, frame, stride, scratch, out),
    }
}

#[inline(always)]
fn rows<const C: usize>(
    image: &Image,
    [columns, rows]: [&[i32]; 2],
    frame: &[u8],
    stride: usize,
    scratch: &mut [u8],
    out: &mut [u8],
) {
    let ([column_table, row_table], [height, width]) = (image.tables(), image.size);
    let (line, ring) = scratch.split_at_mut_checked(image.line_len()).unwrap_or_default();
    let source = Source::<C> { image, frame, stride, columns, entries: column_table.map_or(0, |[_, entries]| entries) };
    let bytes = width * C;
    // (No chunks: their number is a division, which would be a panic in the control loop.)
    match row_table {
        None => (0..height).for_each(|y| source.row(y, line, piece_mut(out, y, bytes))),
        Some([_, entries]) => {
            // The ring holds the last rows that were resized in width: as many as one of the output is made of.
            let (taps, mut done) = (entries - 1, 0);
            for y in 0..height {
                let (first, weights) = resample::entry(rows, y, entries, image.crop[2]);
                done = if done > first { done } else { first };
                while done < first + weights.len() {
                    source.row(done, line, piece_mut(ring, done.checked_rem(taps).unwrap_or(0), bytes));
                    done += 1;
                }
                resample::column(
                    weights,
                    |tap| piece(ring, (first + tap).checked_rem(taps).unwrap_or(0), bytes),
                    piece_mut(out, y, bytes),
                );
            }
        }
    }
    if image.inverted {
        out.iter_mut().for_each(|value| *value = !*value);
    }
}

/// Where a frame's rows come from, `C` channels of them kept.
struct Source<'a, const C: usize> {
    image: &'a Image,
    frame: &'a [u8],
    stride: usize,
    columns: &'a [i32],
    /// Numbers of the table to a column; 0 where columns stay.
    entries: usize,
}

impl<const C: usize> Source<'_, C> {
    /// Row `y` of the part that is kept, its colours changed (in `line`), resized in width.
    #[inline(always)]
    fn row(&self, y: usize, line: &mut [u8], out: &mut [u8]) {
        let ([_, _, channels], [top, left, _, width]) = (self.image.frame, self.image.crop);
        let from = (top + y) * self.stride + left * channels;
        let row = self.frame.get(from..).and_then(|rest| rest.get(..width * channels)).unwrap_or_default();
        let pixels = match self.image.colour {
            Colour::AsIs => row,
            Colour::Grey => {
                line.iter_mut().zip(row.as_chunks().0).for_each(|(grey, &pixel)| *grey = luminance(pixel));
                line
            }
            Colour::Reversed => {
                let pixels = line.as_chunks_mut().0.iter_mut().zip(row.as_chunks().0);
                pixels.for_each(|(reversed, &[a, b, c])| *reversed = [c, b, a]);
                line
            }
        };
        match self.entries {
            0 => out.iter_mut().zip(pixels).for_each(|(out, &value)| *out = value),
            entries => resample::row::<C>(self.columns, entries, pixels.as_chunks().0, out.as_chunks_mut().0),
        }
    }
}

/// ITU-R BT.601, in Pillow's integers.
const fn luminance([red, green, blue]: [u8; 3]) -> u8 {
    ((19_595 * red as u32 + 38_470 * green as u32 + 7_471 * blue as u32 + 0x8000) >> 16) as u8
}

fn piece(values: &[u8], index: usize, len: usize) -> &[u8] {
    values.get(index * len..).and_then(|rest| rest.get(..len)).unwrap_or_default()
}

fn piece_mut(values: &mut [u8], index: usize, len: usize) -> &mut [u8] {
    values.get_mut(index * len..).and_then(|rest| rest.get_mut(..len)).unwrap_or_default()
}

/// An [`Image`] with its tables and memory, for hosts.
#[cfg(feature = "host")]
#[derive(Clone, Debug)]
pub struct Preparer {
    image: Image,
    tables: [std::vec::Vec<i32>; 2],
    scratch: std::vec::Vec<u8>,
}

#[cfg(feature = "host")]
impl Preparer {
    /// What prepares frames of `image`.
    ///
    /// # Errors
    /// As [`Image::check`].
    pub fn new(image: Image) -> Result<Self, LoadError> {
        image.check()?;
        Ok(Self { image, tables: resample::tables(&image), scratch: std::vec![0; image.scratch_len()] })
    }

    /// What is prepared.
    #[must_use]
    pub const fn image(&self) -> &Image {
        &self.image
    }

    /// Makes of a frame, whose rows begin `stride` bytes apart, the picture `[h', w', c']` that V sees.
    ///
    /// # Panics
    /// If the frame is shorter than its rows, the stride than one of them, or `out` of another length than [`Image::len`].
    pub fn prepare(&mut self, frame: &[u8], stride: usize, out: &mut [u8]) {
        let [height, width, channels] = self.image.frame;
        assert!(stride >= width * channels && frame.len() >= (height - 1) * stride + width * channels, "a frame's bytes");
        assert_eq!(out.len(), self.image.len(), "a prepared picture's bytes");
        let [columns, rows] = &self.tables;
        prepare(&self.image, [columns, rows], frame, stride, &mut self.scratch, out);
    }
}

#[cfg(test)]
mod tests;
