//! From a latent vector back to a picture (see [`dreamstep_core::v::decoder`]), where a file holds V's other half: dreams that can be looked at.
//!
//! A transposed convolution is computed as the ordinary ones that it consists of: its input lies in memory with zeros around it, and each phase
//! writes every `stride`-th pixel of the output.

use crate::buffers::{affine, copy, greater, total};
use crate::convolution::{Filters, Window};
use crate::kernels::{Isa, dispatch};
use crate::layer::Layer;
use crate::matvec::{Rows, scratch_len};
use crate::model::Model;
use core::fmt;
use core::num::NonZeroUsize;
use dreamstep_core::dims::padded;
use dreamstep_core::error::LoadError;
use dreamstep_core::reader::File;
use dreamstep_core::schema::Settings;
use dreamstep_core::v::conv::MAX_CONVOLUTIONS;
use dreamstep_core::v::decoder::Form;
use dreamstep_core::v::{Convolution, Decoder as Sizes};

/// A packed file's decoder.
#[derive(Clone, Copy, Debug)]
pub struct Decoder<'f> {
    isa: Isa,
    sizes: Sizes,
    latent: usize,
    /// What a picture's values were multiplied by.
    scale: f32,
    first: Layer<'f>,
    layers: [Option<Stage<'f>>; MAX_CONVOLUTIONS],
}

/// A transposed convolution.
#[derive(Clone, Copy, Debug)]
enum Stage<'f> {
    Dense(Layer<'f>),
    Filters(Filters<'f>),
}

/// Why a latent was not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// A slice of another length.
    Length {
        /// Which: `latent` or `picture`.
        what: &'static str,
        /// Its length should be.
        expected: usize,
        /// Its length.
        found: usize,
    },
    /// The memory is too small, see [`Decoder::memory_len`].
    Memory {
        /// Values needed.
        expected: usize,
        /// Values given.
        found: usize,
    },
}

impl<'f> Decoder<'f> {
    /// Reads and checks it; none where the file holds none.
    pub(crate) fn read(file: &File<'f>, settings: &Settings, isa: Isa) -> Result<Option<Self>, LoadError> {
        let Some(sizes) = settings.decoder else { return Ok(None) };
        let specs = settings.decoder_layers();
        let mut specs = specs.iter();
        let Some(first) = specs.next() else { return Ok(None) };
        let first = Layer::read(file, first, settings.precision)?;
        let mut layers = [None; MAX_CONVOLUTIONS];
        for ((index, slot), spec) in layers.iter_mut().enumerate().zip(specs) {
            let layer = Layer::read(file, spec, settings.precision)?;
            *slot = match sizes.form(index) {
                Form::Dense => Some(Stage::Dense(layer)),
                Form::Phases | Form::Together => Filters::of(&layer).map(Stage::Filters),
            };
        }
        Ok(Some(Self { isa, sizes, latent: settings.dims.latent_len(), scale: settings.obs_scale, first, layers }))
    }

    /// How many `f32` [`Self::decode`] works in; `usize::MAX` where that does not fit a `usize`.
    #[must_use]
    pub fn memory_len(&self) -> usize {
        let [from, to, scratch] = self.lengths();
        total([from, to, scratch])
    }

    /// Two maps, and a dense layer's inputs.
    fn lengths(&self) -> [usize; 3] {
        let (mut widest, mut inputs) = (self.first.outputs(), padded(self.latent));
        for index in 0..=self.sizes.chain.len() {
            widest = greater(widest, self.outputs(index));
            inputs = greater(inputs, padded(self.sizes.map(index)[2]));
        }
        [widest, widest, scratch_len(inputs)]
    }

    /// Values of map `index` as it lies in memory.
    fn outputs(&self, index: usize) -> usize {
        if let Some([rows, columns, channels]) = self.together(index) {
            return rows.saturating_mul(columns).saturating_mul(channels);
        }
        let ([height, width, channels], around) = (self.sizes.map(index), 2 * self.around(index));
        let map =
            height.saturating_add(around).saturating_mul(width.saturating_add(around)).saturating_mul(padded(channels));
        // A dense layer's panels are filled up.
        match index.checked_sub(1).and_then(|before| self.layers.get(before)) {
            Some(Some(Stage::Dense(layer))) => greater(map, layer.outputs()),
            _ => map,
        }
    }

    /// Zeros around map `index`: the taps of a phase but one.
    fn around(&self, index: usize) -> usize {
        if index >= self.sizes.chain.len() || self.sizes.form(index) == Form::Dense {
            return 0;
        }
        self.sizes.taps(index, 0) - 1
    }

    /// Rows and columns of the places at which a phase of transposed convolution `index` may stand.
    fn positions(&self, index: usize) -> [usize; 2] {
        let [height, width, _] = self.sizes.map(index);
        [height, width].map(|n| n + self.around(index))
    }

    /// The picture, map `index`, where its phases are made together: rows, columns, and the channels of all phases, padded.
    fn together(&self, index: usize) -> Option<[usize; 3]> {
        let last = index
            .checked_sub(1)
            .filter(|&last| index == self.sizes.chain.len() && self.sizes.form(last) == Form::Together)?;
        let (Convolution { channels, stride, .. }, [rows, columns]) = (self.sizes.chain.at(last), self.positions(last));
        Some([rows, columns, padded(stride * stride * channels)])
    }

    /// A latent vector `[Z]` → the picture `[h, w, c]` that it stands for, as bytes. `memory` holds at least [`Self::memory_len`] values.
    ///
    /// # Errors
    /// A length is another, or the memory too small.
    pub fn decode(&self, latent: &[f32], memory: &mut [f32], picture: &mut [u8]) -> Result<(), DecodeError> {
        let [height, width, channels] = self.sizes.map(self.sizes.chain.len());
        let expected = [("latent", self.latent, latent.len()), ("picture", height * width * channels, picture.len())];
        if let Some((what, expected, found)) = expected.into_iter().find(|(_, expected, found)| expected != found) {
            return Err(DecodeError::Length { what, expected, found });
        }
        let ([from, to, _], expected, found) = (self.lengths(), self.memory_len(), memory.len());
        if found < expected {
            return Err(DecodeError::Memory { expected, found });
        }
        let (mut from, rest) = memory.split_at_mut_checked(from).unwrap_or_default();
        let (mut to, scratch) = rest.split_at_mut_checked(to).unwrap_or_default();
        from.fill(0.0);
        copy(latent, from);
        affine(self.isa, &self.first, Rows::one(from), scratch, to.get_mut(..self.first.outputs()).unwrap_or_default());
        self.rectify(to.get_mut(..self.first.outputs()).unwrap_or_default());
        core::mem::swap(&mut from, &mut to);
        // Whether what lies in `from` has its zeros around it.
        let mut is_surrounded = false;
        for (index, stage) in self.layers.iter().enumerate().take(self.sizes.chain.len()) {
            match stage {
                Some(Stage::Dense(layer)) => {
                    let out = to.get_mut(..layer.outputs()).unwrap_or_default();
                    affine(self.isa, layer, Rows::one(from), scratch, out);
                    if index + 1 < self.sizes.chain.len() {
                        self.rectify(out);
                    }
                    is_surrounded = false;
                }
                Some(Stage::Filters(filters)) => {
                    if !is_surrounded {
                        self.surround(index, filters, from, to);
                        core::mem::swap(&mut from, &mut to);
                    }
                    to.fill(0.0);
                    self.upsample(index, filters, from, to);
                    is_surrounded = true;
                }
                None => {}
            }
            core::mem::swap(&mut from, &mut to);
        }
        self.look(from, picture);
        Ok(())
    }

    fn rectify(&self, x: &mut [f32]) {
        dispatch!(self.isa, relu(x));
    }

    /// A map without zeros around it, rounded as the layer's inputs are, with them.
    fn surround(&self, index: usize, filters: &Filters<'_>, from: &mut [f32], to: &mut [f32]) {
        let ([height, width, channels], around) = (self.sizes.map(index), self.around(index));
        let (pixel, row) = (padded(channels), (width + 2 * around) * padded(channels));
        dispatch!(self.isa, round(filters, from));
        to.fill(0.0);
        for y in 0..height {
            let line = from.get(y * width * pixel..).and_then(|rest| rest.get(..width * pixel)).unwrap_or_default();
            copy(line, to.get_mut((y + around) * row + around * pixel..).unwrap_or_default());
        }
    }

    /// Transposed convolution `index`.
    fn upsample(&self, index: usize, filters: &Filters<'_>, x: &[f32], out: &mut [f32]) {
        let (sizes, layer) = (&self.sizes, self.sizes.chain.at(index));
        let Convolution { channels, stride, padding, .. } = layer;
        let ([_, width, inputs], around) = (sizes.map(index), self.around(index));
        let (pixel, row) = (padded(inputs), (width + 2 * around) * padded(inputs));
        let is_last = index + 1 == sizes.chain.len();
        if let Some([rows, columns, to]) = self.together(index + 1) {
            let taps = sizes.taps(index, 0);
            let window = Window {
                pixels: [rows, columns],
                from: 0,
                base: 0,
                inputs: taps * taps * pixel,
                kernel: taps,
                run: taps * pixel,
                row,
                step: [row, pixel],
                at: 0,
                out: [columns * to, to],
                is_last,
            };
            dispatch!(self.isa, convolve(filters, &window, x, out));
            return;
        }
        let [height_out, width_out, _] = sizes.map(index + 1);
        let (edge, to) = (self.around(index + 1), padded(channels));
        let row_out = (width_out + 2 * edge) * to;
        for phase in (0..stride).flat_map(|y| (0..stride).map(move |x| [y, x])) {
            let [taps, columns] = phase.map(|phase| sizes.taps(index, phase));
            // The first output pixel of this phase that is not cut off by the padding, and the input that its last tap meets.
            let first = phase.map(|phase| (phase + stride - padding % stride) % stride);
            let begin = [(first[0], phase[0], taps), (first[1], phase[1], columns)]
                .map(|(first, phase, taps)| (first + padding - phase) / stride + around + 1 - taps);
            let pixels = [(height_out, first[0]), (width_out, first[1])]
                .map(|(size, first)| size.saturating_sub(first).div_ceil(stride));
            let window = Window {
                pixels,
                from: begin[0] * row + begin[1] * pixel,
                base: sizes.base(index, phase),
                inputs: sizes.base(index, [stride, 0]),
                kernel: taps,
                run: columns * pixel,
                row,
                step: [row, pixel],
                at: (first[0] + edge) * row_out + (first[1] + edge) * to,
                out: [stride * row_out, stride * to],
                is_last,
            };
            dispatch!(self.isa, convolve(filters, &window, x, out));
        }
    }

    /// The last map, whichever form it has, → bytes.
    fn look(&self, map: &mut [f32], picture: &mut [u8]) {
        let last = self.sizes.chain.len() - 1;
        let ([height, width, channels], Convolution { stride, padding, .. }) =
            (self.sizes.map(last + 1), self.sizes.chain.at(last));
        let together = self.together(last + 1);
        let [rows, columns, pixel] = together.unwrap_or([height, width, padded(channels)]);
        let used = rows * columns * pixel;
        dispatch!(self.isa, logistic(map.get_mut(..used).unwrap_or_default()));
        let per_unit = 1.0 / self.scale;
        // By its type what is divided by is not 0: no path to a panic.
        let stride = NonZeroUsize::new(stride).unwrap_or(NonZeroUsize::MIN);
        for (y, line) in picture.chunks_exact_mut((width * channels).max(1)).enumerate() {
            for (x, out) in line.chunks_exact_mut(channels.max(1)).enumerate() {
                let begin = match together {
                    Some(_) => {
                        let [(row, phase_row), (column, phase_column)] =
                            [y, x].map(|at| ((at + padding) / stride, (at + padding) % stride));
                        (row * columns + column) * pixel + (phase_row * stride.get() + phase_column) * channels
                    }
                    None => (y * width + x) * pixel,
                };
                let values = map.get(begin..).unwrap_or_default();
                // A conversion that saturates, and makes 0 of NaN: the same everywhere.
                out.iter_mut().zip(values).for_each(|(byte, &value)| *byte = (value * per_unit + 0.5) as u8);
            }
        }
    }
}

impl<'f> Model<'f> {
    /// V's decoder; none where the file holds none.
    #[must_use]
    pub fn decoder(&self) -> Option<Decoder<'f>> {
        // It was checked when the model was loaded.
        Decoder::read(self.file(), self.settings(), self.isa).ok().flatten()
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Length { what, expected, found } => write!(f, "{what}: expected {expected} values, found {found}"),
            Self::Memory { expected, found } => {
                write!(f, "decoder memory: expected at least {expected} values, found {found}")
            }
        }
    }
}

impl core::error::Error for DecodeError {}
