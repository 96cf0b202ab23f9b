//! V as a chain of convolutions (see [`dreamstep_core::v::conv`]) with ReLU, then the latent Gaussian's mean, or a draw from it.
//!
//! A layer's output lies in memory with the zeros around it that the next one wants. The first map is the largest by far: of it a band of rows
//! is made at a time, as many as some rows of the second one read, and likewise of the picture as numbers.
//!
//! ```text
//! picture ─rows─→ band of numbers ─convolution─→ band of the first map ─convolution─→ second map ─convolution─→ third map … ─→ z
//!                 └────────────── pong ─────────────────┘                   ping              pong
//! ```

use super::Draw;
use crate::buffers::{Buffers, Need, affine};
use crate::convolution::{Filters, Window};
use crate::kernels::{Isa, dispatch};
use crate::layer::Layer;
use crate::matvec::Rows;
use dreamstep_core::error::LoadError;
use dreamstep_core::reader::File;
use dreamstep_core::schema::{Acting, Settings};
use dreamstep_core::v::conv::{MAX_CONVOLUTIONS, layers, stored};
use dreamstep_core::v::{Convolution, Convolutions};

/// Rows of the second map that are made of one band of the first.
const BAND: usize = 2;

/// Its layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv<'f> {
    chain: Chain,
    convolutions: [Option<Filters<'f>>; MAX_CONVOLUTIONS],
    mean: Layer<'f>,
    /// Where the latent that acts is sampled.
    log_var: Option<Layer<'f>>,
}

/// The chain on pictures `[h, w, c]`: what lies where.
#[derive(Clone, Copy, Debug)]
struct Chain {
    image: [usize; 3],
    convolutions: Convolutions,
}

impl Chain {
    /// What convolution `index` reads, its padding around it: rows, columns, values of a pixel.
    const fn input(&self, index: usize) -> [usize; 3] {
        let [height, width, channels] = self.convolutions.map(self.image, index);
        let around = 2 * self.convolutions.at(index).padding;
        [height.saturating_add(around), width.saturating_add(around), stored(index, channels)]
    }

    /// Values of a row of it.
    const fn row(&self, index: usize) -> usize {
        let [_, columns, channels] = self.input(index);
        columns.saturating_mul(channels)
    }

    const fn input_len(&self, index: usize) -> usize {
        self.input(index)[0].saturating_mul(self.row(index))
    }

    /// Values of the picture's band: the rows of one kernel, and what its last row's inputs are padded with.
    const fn picture_band(&self) -> usize {
        self.convolutions.at(0).kernel.saturating_mul(self.row(0)).saturating_add(4)
    }

    /// Rows of the first map's band.
    const fn band_rows(&self) -> usize {
        let Convolution { kernel, stride, .. } = self.convolutions.at(1);
        (BAND - 1) * stride + kernel
    }

    /// Values of both bands.
    const fn bands(&self) -> usize {
        let first = if self.convolutions.len() > 1 { self.band_rows().saturating_mul(self.row(1)) } else { 0 };
        self.picture_band().saturating_add(first)
    }

    const fn need(&self, flat: usize) -> Need {
        let (mut ping, mut pong, mut i) = (0, self.bands(), 2);
        // Map i is what convolution i reads: those that have been made by an even number of convolutions lie in `ping`.
        while i <= self.convolutions.len() {
            let len = if i == self.convolutions.len() { flat } else { self.input_len(i) };
            if i % 2 == 0 {
                ping = if len > ping { len } else { ping };
            } else {
                pong = if len > pong { len } else { pong };
            }
            i += 1;
        }
        if self.convolutions.len() == 1 {
            ping = flat;
        }
        Need { ping, pong, inputs: flat }
    }

    /// The window of convolution `index` over `pixels` of its output.
    const fn window(&self, index: usize, pixels: [usize; 2], at: usize, out: [usize; 2]) -> Window {
        let Convolution { kernel, stride, .. } = self.convolutions.at(index);
        let (row, pixel) = (self.row(index), self.input(index)[2]);
        let (run, step) = (self.convolutions.run(index, self.image[2]), [stride * row, stride * pixel]);
        Window { pixels, from: 0, base: 0, inputs: kernel * run, kernel, run, row, step, at, out, is_last: false }
    }

    /// Where convolution `index` writes its output to: its first value's place, and the distances from a pixel to those below it and to its right.
    /// The last one's has no padding.
    const fn output(&self, index: usize) -> (usize, [usize; 2]) {
        if index + 1 < self.convolutions.len() {
            let (padding, row, pixel) =
                (self.convolutions.at(index + 1).padding, self.row(index + 1), self.input(index + 1)[2]);
            return (padding * (row + pixel), [row, pixel]);
        }
        let [_, columns, channels] = self.convolutions.map(self.image, index + 1);
        (0, [columns * stored(1, channels), stored(1, channels)])
    }
}

/// What the chain works in on pictures `[h, w, c]`.
pub(super) const fn need(image: [usize; 3], convolutions: Convolutions) -> Need {
    Chain { image, convolutions }.need(convolutions.flat(image))
}

/// A value of a map: a number, or a byte in an i8 file.
trait Cell: bytemuck::Pod {
    /// A map of them, in working memory.
    fn of(memory: &mut [f32]) -> &mut [Self] {
        bytemuck::try_cast_slice_mut(memory).unwrap_or_default()
    }

    /// What a row of the picture is to the first layer.
    fn picture(isa: Isa, filters: &Filters<'_>, scale: f32, bytes: &[u8], to: &mut [Self]);

    fn convolve(isa: Isa, filters: &Filters<'_>, window: &Window, x: &[Self], out: &mut [Self]);

    /// The last convolution, whose outputs are numbers.
    fn last(isa: Isa, filters: &Filters<'_>, window: &Window, x: &[Self], out: &mut [f32]);
}

impl Cell for f32 {
    #[inline(always)]
    fn picture(isa: Isa, filters: &Filters<'_>, scale: f32, bytes: &[u8], to: &mut [Self]) {
        dispatch!(isa, numbers(filters, scale, bytes, to));
    }

    #[inline(always)]
    fn convolve(isa: Isa, filters: &Filters<'_>, window: &Window, x: &[Self], out: &mut [Self]) {
        dispatch!(isa, convolve(filters, window, x, out));
    }

    #[inline(always)]
    fn last(isa: Isa, filters: &Filters<'_>, window: &Window, x: &[Self], out: &mut [f32]) {
        dispatch!(isa, convolve(filters, window, x, out));
    }
}

impl Cell for u8 {
    #[inline(always)]
    fn picture(_: Isa, _: &Filters<'_>, _: f32, bytes: &[u8], to: &mut [Self]) {
        to.iter_mut().zip(bytes).for_each(|(to, &byte)| *to = byte >> 1);
    }

    #[inline(always)]
    fn convolve(isa: Isa, filters: &Filters<'_>, window: &Window, x: &[Self], out: &mut [Self]) {
        dispatch!(isa, convolve_bytes(filters, window, x, out));
    }

    #[inline(always)]
    fn last(isa: Isa, filters: &Filters<'_>, window: &Window, x: &[Self], out: &mut [f32]) {
        dispatch!(isa, convolve_last(filters, window, x, out));
    }
}

impl<'f> Conv<'f> {
    pub(super) fn read(
        file: &File<'f>,
        settings: &Settings,
        image: [usize; 3],
        convolutions: Convolutions,
        latent: usize,
    ) -> Result<Self, LoadError> {
        let layers = layers(image, convolutions, latent);
        let mut read = [None; MAX_CONVOLUTIONS];
        for (slot, spec) in read.iter_mut().zip(&layers.convolutions) {
            *slot = Filters::of(&Layer::read(file, spec, settings.precision)?);
        }
        let mean = Layer::read(file, &layers.mean, settings.precision)?;
        let log_var = Layer::read_optional(file, &layers.log_var, settings.precision)?;
        if settings.acting == Acting::Sampled && log_var.is_none() {
            return Err(LoadError::MissingTensor { name: layers.log_var.names.panels });
        }
        Ok(Self { chain: Chain { image, convolutions }, convolutions: read, mean, log_var })
    }

    /// A prepared picture `[h, w, c]` → z `[Z]`, padded.
    pub(super) fn encode(
        &self,
        isa: Isa,
        settings: &Settings,
        draw: Draw,
        picture: &[u8],
        buffers: &mut Buffers<'_>,
        z: &mut [f32],
    ) {
        let is_of_bytes = self.convolutions.iter().flatten().any(Filters::are_of_bytes);
        match is_of_bytes {
            true => self.run::<u8>(isa, settings.obs_scale, picture, buffers),
            false => self.run::<f32>(isa, settings.obs_scale, picture, buffers),
        }
        let in_ping = matches!(self.chain.convolutions.len(), 1 | 2 | 4 | 6);
        let (from, to) =
            if in_ping { (&mut *buffers.ping, &mut *buffers.pong) } else { (&mut *buffers.pong, &mut *buffers.ping) };
        affine(isa, &self.mean, Rows::one(from), buffers.scratch, z); // [Z]
        if let (Acting::Sampled, Some(log_var)) = (settings.acting, &self.log_var) {
            draw.sample(isa, settings.log_var_range, log_var, [from, to, buffers.scratch], z);
        }
    }

    /// The chain: its last map, as numbers, lies where an even number of convolutions puts it.
    fn run<T: Cell>(&self, isa: Isa, scale: f32, picture: &[u8], buffers: &mut Buffers<'_>) {
        let (chain, count) = (self.chain, self.chain.convolutions.len());
        self.begin::<T>(isa, scale, picture, buffers);
        for (i, filters) in self.convolutions.iter().enumerate().take(count).skip(2) {
            let Some(filters) = filters else { return };
            let (from, to) = match i % 2 {
                0 => (&mut *buffers.ping, &mut *buffers.pong),
                _ => (&mut *buffers.pong, &mut *buffers.ping),
            };
            let [rows, columns, _] = chain.convolutions.map(chain.image, i + 1);
            let (at, out) = chain.output(i);
            let window = chain.window(i, [rows, columns], at, out);
            if i + 1 == count {
                T::last(isa, filters, &window, T::of(from), to);
            } else {
                self.clear_edges(i + 1, T::of(to));
                T::convolve(isa, filters, &window, T::of(from), T::of(to));
            }
        }
    }

    /// Zeros around what convolution `index` reads.
    fn clear_edges<T: Cell>(&self, index: usize, map: &mut [T]) {
        if self.chain.convolutions.at(index).padding > 0 {
            map.get_mut(..self.chain.input_len(index)).unwrap_or_default().fill(T::zeroed());
        }
    }

    /// The first two convolutions, or the one that there is: the picture → a map in `ping`.
    fn begin<T: Cell>(&self, isa: Isa, scale: f32, picture: &[u8], buffers: &mut Buffers<'_>) {
        let (chain, count) = (self.chain, self.chain.convolutions.len());
        let ([Some(first), second, ..], ping) = (&self.convolutions, &mut *buffers.ping) else { return };
        let bands = T::of(buffers.pong).get_mut(..chain.bands()).unwrap_or_default();
        bands.fill(T::zeroed());
        let Some((numbers, band)) = bands.split_at_mut_checked(chain.picture_band()) else { return };
        let mut rows = PictureRows { isa, chain, scale, filters: first, picture, numbers, first: 0, end: 0 };
        let [height, width, _] = chain.convolutions.map(chain.image, 1);
        let Some(second) = second else {
            let (_, out) = chain.output(0);
            for y in 0..height {
                let window = chain.window(0, [1, width], y * out[0], out);
                rows.advance(y);
                T::last(isa, first, &window, rows.numbers, ping);
            }
            return;
        };
        let Convolution { kernel, stride, padding, .. } = chain.convolutions.at(1);
        let [second_height, second_width, _] = chain.convolutions.map(chain.image, 2);
        let (at, out) = chain.output(1);
        let row = chain.row(1);
        if count > 2 {
            self.clear_edges(2, T::of(ping));
        }
        // Rows of the first map, its padding counted, that the band holds.
        let (mut begin, mut end) = (0, 0);
        for y in (0..second_height).step_by(BAND) {
            let lines = if second_height - y < BAND { second_height - y } else { BAND };
            let (from, to) = (y * stride, (y + lines - 1) * stride + kernel);
            keep(band, row, &mut begin, end, from);
            end = if end > from { end } else { from };
            while end < to {
                let place = (end - begin) * row;
                match end.checked_sub(padding).filter(|&line| line < height) {
                    Some(line) => {
                        rows.advance(line);
                        let pixel = chain.input(1)[2];
                        let window = chain.window(0, [1, width], place + padding * pixel, [row, pixel]);
                        T::convolve(isa, first, &window, rows.numbers, band);
                    }
                    None => band.get_mut(place..place + row).unwrap_or_default().fill(T::zeroed()),
                }
                end += 1;
            }
            let window = chain.window(1, [lines, second_width], at + y * out[0], out);
            if count == 2 {
                T::last(isa, second, &window, band, ping);
            } else {
                T::convolve(isa, second, &window, band, T::of(ping));
            }
        }
    }
}

/// Moves rows `from..end` of a band that begins with row `begin` to its beginning, if they are there.
fn keep<T: Copy>(band: &mut [T], row: usize, begin: &mut usize, end: usize, from: usize) {
    let (start, stop) = (from.saturating_sub(*begin).saturating_mul(row), end.saturating_sub(*begin).saturating_mul(row));
    if start > 0 && start < stop && stop <= band.len() {
        band.copy_within(start..stop, 0);
    }
    *begin = from;
}

/// The rows of the picture that one row of the first convolution reads, as it wants them.
struct PictureRows<'a, 'l, T> {
    isa: Isa,
    chain: Chain,
    scale: f32,
    filters: &'a Filters<'l>,
    picture: &'a [u8],
    numbers: &'a mut [T],
    /// Rows, the padding counted, that are there: from, to.
    first: usize,
    end: usize,
}

impl<T: Cell> PictureRows<'_, '_, T> {
    /// Makes those of output row `y`.
    fn advance(&mut self, y: usize) {
        let Convolution { kernel, stride, padding, .. } = self.chain.convolutions.at(0);
        let ([height, width, channels], row) = (self.chain.image, self.chain.row(0));
        let (from, to) = (y * stride, y * stride + kernel);
        keep(self.numbers, row, &mut self.first, self.end, from);
        self.end = if self.end > from { self.end } else { from };
        while self.end < to {
            let place = (self.end - from) * row;
            let slot = self.numbers.get_mut(place..place + row).unwrap_or_default();
            match self.end.checked_sub(padding).filter(|&line| line < height) {
                Some(line) => {
                    let bytes = self.picture.get(line * width * channels..).unwrap_or_default();
                    let bytes = bytes.get(..width * channels).unwrap_or_default();
                    let slot = slot.get_mut(padding * channels..).unwrap_or_default();
                    T::picture(self.isa, self.filters, self.scale, bytes, slot);
                }
                None => slot.fill(T::zeroed()),
            }
            self.end += 1;
        }
    }
}
