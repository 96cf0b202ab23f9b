//! V of pictures: a chain of convolutions with ReLU, then two heads, the latent Gaussian's mean and its log-variance.
//!
//! ```text
//! x [h, w, c] ─convolution, ReLU→ [h1, w1, c1] ─convolution, ReLU→ … ─layer→ mean [Z]
//!                                                                     └─layer→ log-variance [Z]   (optional: where the latent that acts is sampled)
//! ```
//!
//! Ha & Schmidhuber (2018), appendix A.1: 32, 64, 128 and 256 channels, 4 × 4 pixels at a stride of 2, on 64 × 64 × 3.
//!
//! # Order
//!
//! A convolution is a layer over patches: the output of a pixel starts from the bias and adds weight times input for kernel rows, then
//! kernel columns, then channels ascending ([`crate::layout`]'s `k`). Pictures lie row after row, channels innermost, so that the inputs of a
//! kernel row lie side by side. Between layers a pixel's channels are padded with zeros to a multiple of [`LANES`]; of the picture itself a kernel
//! row's inputs are padded to a multiple of four, with what lies there and weights of 0. Beyond the edge x is 0.
//!
//! In a checkpoint weights are PyTorch's `[out, in, row, column]`, and the heads read the last map in the order channel, row, column; the second
//! head is log σ, half the log-variance (ctallec's and TorchWM's `fc_logsigma`).

use crate::error::LoadError;
use crate::layers::{LayerList, LayerSpec, Source};
use crate::layout::Rows;
use crate::metadata::value;
use crate::names::{checkpoint, metadata as key, packed};
use crate::reader::File;
use crate::sizes::{LANES, padded};

/// Most convolutions of a chain.
pub const MAX_CONVOLUTIONS: usize = 6;
/// The largest kernel, in pixels each way.
pub const MAX_KERNEL: usize = 16;
/// Most channels.
pub const MAX_CHANNELS: usize = 4096;
/// Most values of a map, its padding included.
const MAX_VALUES: usize = 1 << 26;
/// Most inputs of the heads, and of one output of a convolution: an i8 layer's sum stays within 32 bits.
pub const MAX_INPUTS: usize = 1 << 16;

/// One convolution: square, with as many zeros around its input on each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Convolution {
    /// Output channels.
    pub channels: usize,
    /// Pixels of the kernel, each way.
    pub kernel: usize,
    /// Pixels from one output to the next.
    pub stride: usize,
    /// Pixels of zeros around the input.
    pub padding: usize,
}

impl Convolution {
    /// None: what stands where there is none. (A stride of 1, so that one may divide by any convolution's.)
    const NONE: Self = Self { channels: 0, kernel: 0, stride: 1, padding: 0 };

    /// One of `channels` channels with `kernel` × `kernel` pixels at a stride, without padding.
    #[must_use]
    pub const fn new(channels: usize, kernel: usize, stride: usize) -> Self {
        Self { channels, kernel, stride, padding: 0 }
    }

    /// Pixels of its output along an axis of `input`; 0 where the kernel does not fit.
    #[must_use]
    pub const fn output(&self, input: usize) -> usize {
        let padded = input.saturating_add(2 * self.padding);
        if self.kernel == 0 || padded < self.kernel {
            return 0;
        }
        match (padded - self.kernel).checked_div(self.stride) {
            Some(steps) => steps + 1,
            None => 0,
        }
    }

    const fn is_sound(&self) -> bool {
        let kernel = 1 <= self.kernel && self.kernel <= MAX_KERNEL;
        let stride = 1 <= self.stride && self.stride <= self.kernel;
        1 <= self.channels && self.channels <= MAX_CHANNELS && kernel && stride && self.padding < self.kernel
    }
}

/// A chain of one to six convolutions: channels, kernel, stride and padding of each. (Small, because every model has room for one. Unused places
/// are 0, so that equal chains are equal values.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Convolutions([[u16; 4]; MAX_CONVOLUTIONS]);

impl Convolutions {
    /// The paper's, on 64 × 64 pixels.
    pub const PAPER: Self = Self::of(&[
        Convolution::new(32, 4, 2),
        Convolution::new(64, 4, 2),
        Convolution::new(128, 4, 2),
        Convolution::new(256, 4, 2),
    ]);

    /// These, or none where there are none, more than six, or one is not within the limits: a kernel of 1 to 16 pixels, a stride from 1 to the
    /// kernel's size, less padding than that, 1 to 4096 channels.
    #[must_use]
    pub const fn new(chain: &[Convolution]) -> Option<Self> {
        if chain.is_empty() || chain.len() > MAX_CONVOLUTIONS {
            return None;
        }
        let (mut all, mut i) = ([[0; 4]; MAX_CONVOLUTIONS], 0);
        while i < chain.len() {
            let Convolution { channels, kernel, stride, padding } = chain[i];
            if !chain[i].is_sound() {
                return None;
            }
            all[i] = [channels as u16, kernel as u16, stride as u16, padding as u16];
            i += 1;
        }
        Some(Self(all))
    }

    const fn of(chain: &[Convolution]) -> Self {
        match Self::new(chain) {
            Some(chain) => chain,
            None => panic!("V: expected one to six convolutions within the limits"),
        }
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        let mut len = 0;
        while len < MAX_CONVOLUTIONS && self.0[len][0] > 0 {
            len += 1;
        }
        len
    }

    /// Never: there is at least one.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Convolution `index`; one without channels where there is none.
    #[must_use]
    pub const fn at(&self, index: usize) -> Convolution {
        if index >= MAX_CONVOLUTIONS {
            return Convolution::NONE;
        }
        let [channels, kernel, stride, padding] = self.0[index];
        Convolution {
            channels: channels as usize,
            kernel: kernel as usize,
            stride: if stride == 0 { 1 } else { stride as usize },
            padding: padding as usize,
        }
    }

    /// The convolutions, in order.
    pub fn iter(&self) -> impl Iterator<Item = Convolution> + use<> {
        let chain = *self;
        (0..chain.len()).map(move |index| chain.at(index))
    }

    /// Height, width and channels of what convolution `index` reads; of what the heads read where it is the chain's length.
    #[must_use]
    pub const fn map(&self, image: [usize; 3], index: usize) -> [usize; 3] {
        let ([mut height, mut width, mut channels], mut i) = (image, 0);
        while i < index && i < self.len() {
            let convolution = self.at(i);
            height = convolution.output(height);
            width = convolution.output(width);
            channels = convolution.channels;
            i += 1;
        }
        [height, width, channels]
    }

    /// That every map has a pixel and none is too large.
    ///
    /// # Errors
    /// [`LoadError::BadParts`] with `v.convolutions`.
    pub fn check(&self, image: [usize; 3]) -> Result<(), LoadError> {
        let bad = |expected| Err(LoadError::BadParts { what: key::V_CONVOLUTIONS, expected });
        let mut channels = stored(0, image[2]);
        for (i, convolution) in self.iter().enumerate() {
            let [height, width, _] = self.map(image, i);
            let around = |n: usize| n.saturating_add(2 * convolution.padding);
            let values = around(height).saturating_mul(around(width)).saturating_mul(channels);
            if convolution.output(height) == 0 || convolution.output(width) == 0 {
                return bad("kernels no larger than what they read");
            }
            if values > MAX_VALUES {
                return bad("maps of at most 67108864 values");
            }
            if self.inputs(i, image[2]) > MAX_INPUTS {
                return bad("at most 65536 inputs of an output");
            }
            channels = padded(convolution.channels);
        }
        match self.flat(image) <= MAX_INPUTS {
            true => Ok(()),
            false => bad("at most 65536 values after the last one, each pixel's channels padded to a multiple of 16"),
        }
    }

    /// Values side by side of one row of convolution `index`'s kernel, padded to a multiple of four.
    #[must_use]
    pub const fn run(&self, index: usize, image_channels: usize) -> usize {
        let channels = if index == 0 { image_channels } else { self.at(index - 1).channels };
        (self.at(index).kernel * stored(index, channels)).next_multiple_of(4)
    }

    /// `K`: inputs of an output of convolution `index`, padding included.
    #[must_use]
    pub const fn inputs(&self, index: usize, image_channels: usize) -> usize {
        self.at(index).kernel * self.run(index, image_channels)
    }

    /// Inputs of the heads: the last map, its channels padded; `usize::MAX` where a usize does not hold their number.
    #[must_use]
    pub const fn flat(&self, image: [usize; 3]) -> usize {
        let [height, width, channels] = self.map(image, self.len());
        height.saturating_mul(width).saturating_mul(padded(channels))
    }

    /// Reads `channels:kernel:stride:padding` of each, comma-separated.
    pub(super) fn read(file: &File<'_>) -> Result<Self, LoadError> {
        let key = key::V_CONVOLUTIONS;
        let found = value(file, key)?;
        let expected = "channels:kernel:stride:padding of one to six convolutions, separated by commas, within the limits";
        Self::parse(found).ok_or(LoadError::BadValue { key, expected, found: found.into() })
    }

    /// The chain that `text` says: `channels:kernel:stride:padding` of each, comma-separated; none where it says none within the limits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mut all, mut len) = ([Convolution::NONE; MAX_CONVOLUTIONS], 0);
        for text in text.split(',') {
            let mut numbers = text.split(':').map(|number| number.parse::<u16>().map(usize::from).ok());
            let mut next = || numbers.next().flatten();
            let convolution = Convolution { channels: next()?, kernel: next()?, stride: next()?, padding: next()? };
            *all.get_mut(len)? = convolution;
            len += 1;
            if numbers.next().is_some() {
                return None;
            }
        }
        Self::new(all.get(..len)?)
    }
}

impl core::fmt::Display for Convolutions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (i, Convolution { channels, kernel, stride, padding }) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{channels}:{kernel}:{stride}:{padding}")?;
        }
        Ok(())
    }
}

/// Channels of a pixel as it lies in memory: the picture's own, a map's padded.
#[must_use]
pub const fn stored(index: usize, channels: usize) -> usize {
    if index == 0 { channels } else { channels.next_multiple_of(LANES) }
}

/// Its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvLayers {
    /// The convolutions, in order.
    pub convolutions: LayerList,
    /// The last map → mean.
    pub mean: LayerSpec,
    /// The last map → log-variance; optional.
    pub log_var: LayerSpec,
}

impl ConvLayers {
    /// Every layer, in the file's order.
    #[must_use]
    pub const fn all(&self) -> LayerList {
        self.convolutions.and(self.mean).and(self.log_var)
    }
}

/// The layers on pictures `[h, w, c]`.
#[must_use]
pub const fn layers(image: [usize; 3], chain: Convolutions, latent: usize) -> ConvLayers {
    let (mut list, mut i) = (LayerList::NONE, 0);
    while i < chain.len() {
        let [_, _, channels] = chain.map(image, i);
        let Convolution { channels: outputs, kernel, .. } = chain.at(i);
        let (weight, bias) = (checkpoint::ENCODER_CONV_WEIGHT[i], checkpoint::ENCODER_CONV_BIAS[i]);
        let source = Source::Convolution { weight, bias, channels, stored: stored(i, channels), kernel };
        let spec = LayerSpec::new(packed::ENCODER_CONV[i], Rows::Dense(outputs), chain.inputs(i, image[2]), source);
        list = list.and(spec.convolution().of_bytes());
        i += 1;
    }
    let map = chain.map(image, chain.len());
    let mean = Source::Flattened { weight: checkpoint::FC_MU[0], bias: checkpoint::FC_MU[1], map, times: 1 };
    let log_var =
        Source::Flattened { weight: checkpoint::FC_LOG_SIGMA[0], bias: checkpoint::FC_LOG_SIGMA[1], map, times: 2 };
    let (rows, inputs) = (Rows::Dense(latent), chain.flat(image));
    ConvLayers {
        convolutions: list,
        mean: LayerSpec::new(packed::ENCODER_MEAN, rows, inputs, mean).near_the_action(),
        log_var: LayerSpec::new(packed::ENCODER_LOG_VAR, rows, inputs, log_var).near_the_action().optional(),
    }
}
