//! V's other half: from a latent vector back to a picture, so that what is dreamt can be looked at. A file may hold one; no tick needs it.
//!
//! ```text
//! z [Z] ─layer, ReLU→ [h, w, c] ─transposed convolution, ReLU→ … ─transposed convolution, sigmoid→ x [h, w, c]
//! ```
//!
//! Ha & Schmidhuber (2018), appendix A.1: 1 × 1 × 1024, then 128, 64, 32 and 3 channels with kernels of 5, 5, 6 and 6 pixels at a stride of 2.
//!
//! # Order
//!
//! Of a transposed convolution's kernel, an output pixel meets the taps that lie a whole number of strides apart: one *phase* of `stride²`. Each is
//! an ordinary convolution over the input, with its taps in reverse, so that the inputs of an output are added rows, columns and channels
//! ascending, zeros beyond the edge, as those of [`super::conv`] are. A layer's inputs `k` are its phases' one after the other. Two cases have
//! the same weights in another form ([`Form`]).

use super::conv::{Convolution, Convolutions, MAX_INPUTS};
use crate::error::LoadError;
use crate::layers::{LayerList, LayerSpec, Source};
use crate::layout::Rows;
use crate::metadata::value;
use crate::names::{checkpoint, metadata as key, packed};
use crate::reader::File;
use crate::sizes::padded;

/// Most values of a map.
const MAX_VALUES: usize = 1 << 26;

/// A decoder's sizes. (Small, because every model has room for one.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decoder {
    start: [u16; 3],
    /// The transposed convolutions.
    pub chain: Convolutions,
}

/// How a transposed convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Of one input pixel every output has one tap: a dense layer, its outputs the pixels' channels, padded.
    Dense,
    /// Phase by phase.
    Phases,
    /// The last one, where every phase has as many taps: all phases' channels are outputs of one convolution.
    Together,
}

impl Decoder {
    /// The paper's, of pictures of 64 × 64 pixels and so many channels.
    ///
    /// # Panics
    /// Where `channels` is none or more than a layer may have.
    #[must_use]
    pub const fn paper(channels: usize) -> Self {
        let layer = Convolution::new;
        let chain = [layer(128, 5, 2), layer(64, 5, 2), layer(32, 6, 2), layer(channels, 6, 2)];
        match Convolutions::new(&chain) {
            Some(chain) => Self { start: [1, 1, 1024], chain },
            None => panic!("V: expected one to four channels"),
        }
    }

    /// Height, width and channels of what the first layer makes.
    #[must_use]
    pub const fn start(&self) -> [usize; 3] {
        [self.start[0] as usize, self.start[1] as usize, self.start[2] as usize]
    }

    /// Height, width and channels of what transposed convolution `index` reads; of the picture where it is the chain's length.
    #[must_use]
    pub const fn map(&self, index: usize) -> [usize; 3] {
        let ([mut height, mut width, mut channels], mut i) = (self.start(), 0);
        while i < index && i < self.chain.len() {
            let layer = self.chain.at(i);
            height = upsampled(height, layer);
            width = upsampled(width, layer);
            channels = layer.channels;
            i += 1;
        }
        [height, width, channels]
    }

    /// How transposed convolution `index` is computed.
    #[must_use]
    pub const fn form(&self, index: usize) -> Form {
        let ([height, width, _], layer) = (self.map(index), self.chain.at(index));
        if height == 1 && width == 1 && layer.padding == 0 {
            return Form::Dense;
        }
        let fits = layer.kernel % layer.stride == 0;
        if index + 1 == self.chain.len() && fits { Form::Together } else { Form::Phases }
    }

    /// Taps of phase `phase` along an axis.
    #[must_use]
    pub const fn taps(&self, index: usize, phase: usize) -> usize {
        let Convolution { kernel, stride, .. } = self.chain.at(index);
        (kernel - phase).div_ceil(stride)
    }

    /// Where the inputs of phase `[row, column]` begin among a layer's; all of them where that is the last phase's successor.
    #[must_use]
    pub const fn base(&self, index: usize, [row, column]: [usize; 2]) -> usize {
        let (stride, [_, _, channels]) = (self.chain.at(index).stride, self.map(index));
        let (mut taps, mut i) = (0, 0);
        while i < row * stride + column {
            taps += self.taps(index, i / stride) * self.taps(index, i % stride);
            i += 1;
        }
        taps * padded(channels)
    }

    /// Outputs and inputs of transposed convolution `index` as a layer.
    const fn sizes(&self, index: usize) -> (usize, usize) {
        let ([_, _, channels], layer) = (self.map(index), self.chain.at(index));
        let (kernel, stride) = (layer.kernel, layer.stride);
        match self.form(index) {
            Form::Dense => (kernel * kernel * padded(layer.channels), padded(channels)),
            Form::Phases => (layer.channels, self.base(index, [stride, 0])),
            Form::Together => {
                let taps = self.taps(index, 0);
                (stride * stride * layer.channels, taps * taps * padded(channels))
            }
        }
    }

    /// Its layers for `latent` latents, in order: the first one, then the transposed convolutions. f16 in an i8 file, as what is near the action is.
    #[must_use]
    pub const fn layers(&self, latent: usize) -> LayerList {
        let [height, width, channels] = self.start();
        let [weight, bias] = checkpoint::DECODER_FC;
        let source = Source::Unflattened { weight, bias, map: self.start() };
        let outputs = height * width * padded(channels);
        let first = LayerSpec::new(packed::DECODER_FC, Rows::Dense(outputs), latent, source);
        let (mut list, mut i) = (LayerList::NONE.and(first.near_the_action()), 0);
        while i < self.chain.len() {
            let (outputs, inputs) = self.sizes(i);
            let (weight, bias) = (checkpoint::DECODER_DECONV_WEIGHT[i], checkpoint::DECODER_DECONV_BIAS[i]);
            let source = Source::Transposed { weight, bias, decoder: *self, index: i };
            let layer = LayerSpec::new(packed::DECODER_DECONV[i], Rows::Dense(outputs), inputs, source);
            let layer = layer.near_the_action();
            list = list.and(if matches!(self.form(i), Form::Dense) { layer } else { layer.convolution() });
            i += 1;
        }
        list
    }

    /// Output and input, as a layer's, of tap `[ky, kx]` from channel `from` to channel `to` of transposed convolution `index`.
    #[must_use]
    pub fn place(&self, index: usize, [from, to]: [usize; 2], [ky, kx]: [usize; 2]) -> (usize, usize) {
        let (Convolution { channels, kernel, stride, .. }, [_, _, inputs]) = (self.chain.at(index), self.map(index));
        let (phase, tap) = ([ky % stride, kx % stride], [ky / stride, kx / stride]);
        let [rows, columns] = phase.map(|phase| self.taps(index, phase));
        let within = ((rows - 1 - tap[0]) * columns + columns - 1 - tap[1]) * padded(inputs) + from;
        match self.form(index) {
            Form::Dense => ((ky * kernel + kx) * padded(channels) + to, from),
            Form::Phases => (to, self.base(index, phase) + within),
            Form::Together => ((phase[0] * stride + phase[1]) * channels + to, within),
        }
    }

    /// That it makes pictures `[h, w, c]` and no map is too large.
    ///
    /// # Errors
    /// [`LoadError::BadParts`] with `v.decoder`.
    pub fn check(&self, image: [usize; 3]) -> Result<(), LoadError> {
        let bad = |expected| Err(LoadError::BadParts { what: key::V_DECODER, expected });
        let mut values = MAX_VALUES + 1;
        for i in 0..=self.chain.len() {
            let [height, width, channels] = self.map(i);
            let layer = self.chain.at(i);
            if i < self.chain.len() && (upsampled(height, layer) == 0 || upsampled(width, layer) == 0) {
                return bad("paddings smaller than what is made");
            }
            values = height.saturating_mul(width).saturating_mul(channels.saturating_add(64));
            if values > MAX_VALUES || self.start.contains(&0) {
                return bad("maps of at most 67108864 values");
            }
            if i < self.chain.len() && (self.sizes(i).0 > 1 << 22 || self.sizes(i).1 > MAX_INPUTS) {
                return bad("at most 65536 inputs of an output");
            }
        }
        match self.map(self.chain.len()) == image && values <= MAX_VALUES {
            true => Ok(()),
            false => bad("transposed convolutions that make a picture as large as the observation's"),
        }
    }

    /// Reads it; none where the file does not say one.
    pub(crate) fn read(file: &File<'_>) -> Result<Option<Self>, LoadError> {
        let key = key::V_DECODER;
        if file.metadata(key).is_none() {
            return Ok(None);
        }
        let found = value(file, key)?;
        let expected = "heightxwidthxchannels, then channels:kernel:stride:padding of one to six, separated by commas, within the limits";
        Self::parse(found).map(Some).ok_or(LoadError::BadValue { key, expected, found: found.into() })
    }

    /// What `text` says: `HxWxC`, then `channels:kernel:stride:padding` of each transposed convolution, comma-separated; none where it says none
    /// within the limits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (start, chain) = text.split_once(',')?;
        let mut sizes = start.split('x').map(|size| size.parse::<u16>().ok().filter(|&size| size > 0));
        let mut next = || sizes.next().flatten();
        let start = [next()?, next()?, next()?];
        if sizes.next().is_some() {
            return None;
        }
        Some(Self { start, chain: Convolutions::parse(chain)? })
    }
}

impl core::fmt::Display for Decoder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [height, width, channels] = self.start;
        write!(f, "{height}x{width}x{channels},{}", self.chain)
    }
}

/// Pixels along an axis; 0 where padding leaves none.
const fn upsampled(input: usize, Convolution { kernel, stride, padding, .. }: Convolution) -> usize {
    (input.saturating_sub(1) * stride + kernel).saturating_sub(2 * padding)
}
