//! The packer: a checkpoint becomes the file that the runtime reads, and that file a checkpoint again. (Feature `host`; needs an allocator.)
//!
//! Row-major tensors under PyTorch's names go in; panels (see [`crate::layout`]) with their settings come out, as one safetensors
//! file whose data begin on a multiple of 64 bytes. The same input gives the same bytes ([`writer`]).

mod conv;
mod integers;
pub mod packed2;
pub mod writer;

pub use writer::{Entry, safetensors_bytes};

use crate::action::Action;
use crate::dims::{Dims, LANES, padded};
use crate::layout::Panels;
use crate::names::{checkpoint, packed};
use crate::obs::Observation;
use crate::obs::image::TABLES;
use crate::obs::resample;
use crate::precision::{EXACT_RANGE, Precision, bf16_to_f32, is_exact_weight};
use crate::reader::File;
use crate::schema::{LayerSpec, Normalizer, Settings, Source};
use crate::v::{Convolution, Decoder};
use half::{bf16, f16};
use integers::Integers;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// Row-major tensors by name: shape and values.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A file's bytes from a 64-byte boundary on, as weights that are used in place want them.
#[derive(Debug)]
pub struct AlignedBytes {
    block: Vec<u8>,
    range: core::ops::Range<usize>,
}

impl AlignedBytes {
    /// A copy of `bytes`.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut block = vec![0; bytes.len() + 64];
        let start = block.as_ptr().align_offset(64);
        let range = start..start + bytes.len();
        block[range.clone()].copy_from_slice(bytes);
        Self { block, range }
    }
}

impl core::ops::Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block[self.range.clone()]
    }
}

/// A replayable proof that a runtime computes what the packer's did: observations in, actions out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelfTest {
    /// `[T][O]`; of pictures the values of prepared ones, whole numbers from 0 to 255.
    pub observations: Vec<Vec<f32>>,
    /// `[T][A]`
    pub actions: Vec<Vec<f32>>,
}

impl SelfTest {
    /// Its two tensors, that of pictures last: after so many bytes nothing would be aligned.
    fn entries(&self, dims: &Dims) -> [Entry<'static>; 2] {
        let table = |name, rows: &[Vec<f32>], width: usize| {
            let values: Vec<f32> = rows.iter().flat_map(|row| pad(row)).collect();
            Entry::f32(name, vec![rows.len(), padded(width)], &values)
        };
        let (name, rows) = (packed::SELFTEST_OBSERVATIONS, &self.observations);
        let actions = table(packed::SELFTEST_ACTIONS, &self.actions, dims.action_len());
        match dims.obs {
            Observation::Vector { len } => [table(name, rows, len), actions],
            Observation::Image(image) => {
                let data = rows.iter().flatten().map(|&value| value as u8).collect();
                [actions, Entry { name, dtype: "U8", shape: vec![rows.len(), image.len()], data }]
            }
        }
    }
}

/// The packed agent `bytes` with this self-test in place of its own: every other byte of data stays.
///
/// # Errors
/// One line: not a packed agent.
pub fn with_self_test(bytes: &[u8], selftest: &SelfTest, digest: u64) -> Result<Vec<u8>, String> {
    let file = File::parse(bytes).map_err(|error| error.to_string())?;
    let mut settings = Settings::read(&file).map_err(|error| error.to_string())?;
    settings.selftest_digest = Some(digest);
    let is_selftest = |name: &str| [packed::SELFTEST_OBSERVATIONS, packed::SELFTEST_ACTIONS].contains(&name);
    let mut entries: Vec<Entry<'_>> = file.tensors().filter(|tensor| !is_selftest(tensor.name)).map(Entry::of).collect();
    entries.extend(selftest.entries(&settings.dims));
    let mut metadata = all_metadata(&file);
    metadata.extend(settings.entries().into_iter().map(|(key, value)| (key.to_string(), value)));
    Ok(safetensors_bytes(&entries, &metadata))
}

/// A file's metadata, JSON escapes resolved.
pub fn all_metadata(file: &File<'_>) -> BTreeMap<String, String> {
    let unescape = |text: &str| serde_json::from_str::<String>(&format!("\"{text}\"")).unwrap_or_else(|_| text.to_string());
    file.metadata_entries().map(|(key, value)| (key.to_string(), unescape(value))).collect()
}

/// What an agent is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Checkpoint tensors under [`crate::names::checkpoint`]'s names. The MDN head is optional, and so is a decoder, which goes into the file where the
    /// settings say one.
    pub tensors: &'a Tensors,
    /// Sizes, precision and modes; `selftest_digest` belongs to `selftest`.
    pub settings: Settings,
    /// `[A]` middle of the action range, in the environment's units, see [`action_map`].
    pub action_mid: &'a [f32],
    /// `[A]` half of the action range.
    pub action_half: &'a [f32],
    /// Vectors to replay; none while they are being made.
    pub selftest: Option<&'a SelfTest>,
    /// Prepared pictures by which the ranges of an i8 file's activations are chosen; of no consequence otherwise.
    pub frames: &'a [Vec<u8>],
    /// Further metadata: where the agent comes from.
    pub provenance: &'a BTreeMap<String, String>,
}

/// The packed file's bytes.
///
/// # Errors
/// One line that names a missing tensor, a wrong shape, a non-finite value or one that the precision cannot hold.
pub fn pack(parts: &Parts<'_>) -> Result<Vec<u8>, String> {
    let Settings { dims, precision, normalizer, .. } = parts.settings;
    dims.check().map_err(|error| error.to_string())?;
    if let Some(decoder) = &parts.settings.decoder {
        let image = dims.obs.image().ok_or("v.decoder: expected none of an agent that observes vectors")?;
        decoder.check(image.prepared()).map_err(|error| error.to_string())?;
    }
    let mut out = Vec::new();
    let mut vector = |name, values: &[f32]| out.push(Entry::f32(name, vec![padded(values.len())], &pad(values)));
    if normalizer == Normalizer::MeanStd {
        let of = |name: &str| tensor(parts.tensors, name, &[dims.obs_len()]);
        vector(packed::OBSERVATION_MEAN, of(checkpoint::NORMALIZER_MEAN)?);
        vector(packed::OBSERVATION_INV_STD, of(checkpoint::NORMALIZER_INV_STD)?);
    }
    if let Action::Continuous { len } = dims.action {
        for (name, values) in [(packed::ACTION_MID, parts.action_mid), (packed::ACTION_HALF, parts.action_half)] {
            if values.len() != len {
                return Err(format!("{name}: expected {len} values, found {}", values.len()));
            }
            vector(name, values);
        }
    }
    for (name, table) in TABLES.into_iter().zip(dims.obs.image().map(resample::tables).unwrap_or_default()) {
        if !table.is_empty() {
            let shape =
                dims.obs.image().and_then(|image| image.tables()[usize::from(name != TABLES[0])]).unwrap_or_default();
            let data = table.iter().flat_map(|number| number.to_le_bytes()).collect();
            out.push(Entry { name, dtype: "I32", shape: shape.to_vec(), data });
        }
    }
    let mut calibration = None;
    for spec in dims.layers().iter().chain(&parts.settings.decoder_layers()) {
        if spec.optional && !spec.source.is_in(parts.tensors) {
            continue;
        }
        let mut weights = spec.source.read(parts.tensors, spec)?;
        let mut integers = None;
        if spec.of_bytes && precision == Precision::I8 {
            if calibration.is_none() {
                calibration = Some(conv::calibrate(parts)?);
            }
            let quantised = calibration.as_mut().and_then(Iterator::next);
            let (rounded, bias) = quantised.ok_or("V: more convolutions than were calibrated")?;
            weights.bias = bias.into();
            integers = Some(rounded);
        }
        layer(&mut out, spec, spec.precision(precision), &weights, integers)?;
    }
    if let Some(selftest) = parts.selftest {
        out.extend(selftest.entries(&dims));
    }
    let mut metadata = parts.provenance.clone();
    metadata.extend(parts.settings.entries().into_iter().map(|(key, value)| (key.to_string(), value)));
    Ok(safetensors_bytes(&out, &metadata))
}

/// What [`pack`] was given, read back from a packed f32 file: to pack the agent anew, in another precision.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// Row-major tensors under the checkpoint's names. An LSTM's two biases were added up: the second is 0 here.
    pub tensors: Tensors,
    /// Sizes and modes; the self-test's digest with them.
    pub settings: Settings,
    /// `[A]` middle of the action range.
    pub action_mid: Vec<f32>,
    /// `[A]` half of the action range.
    pub action_half: Vec<f32>,
    /// Self-test vectors, empty where the file has none.
    pub selftest: SelfTest,
    /// The metadata that are not settings, as they stand in the header (JSON escapes resolved).
    pub provenance: BTreeMap<String, String>,
}

/// Takes a packed f32 agent apart.
///
/// # Errors
/// One line: not a packed agent, or one whose weights were already rounded.
pub fn unpack(bytes: &[u8]) -> Result<Unpacked, String> {
    let file = File::parse(bytes).map_err(|error| error.to_string())?;
    let settings = Settings::read(&file).map_err(|error| error.to_string())?;
    let dims = settings.dims;
    if settings.precision != Precision::F32 {
        let found = settings.precision.name();
        return Err(format!("metadata `precision`: expected f32 (the weights before rounding), found `{found}`"));
    }
    let values = |name: &str| -> Result<Vec<f32>, String> {
        let tensor = file.tensor(name).ok_or_else(|| format!("tensor `{name}`: expected, not found"))?;
        Ok(tensor.data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    };
    let vector = |name: &str, n: usize| -> Result<Vec<f32>, String> {
        let mut vector = values(name)?;
        vector.truncate(n);
        Ok(vector)
    };
    let (mut tensors, o) = (Tensors::new(), dims.obs_len());
    if settings.normalizer == Normalizer::MeanStd {
        tensors.insert(checkpoint::NORMALIZER_MEAN.into(), (vec![o], vector(packed::OBSERVATION_MEAN, o)?));
        tensors.insert(checkpoint::NORMALIZER_INV_STD.into(), (vec![o], vector(packed::OBSERVATION_INV_STD, o)?));
    }
    for spec in dims.layers().iter().chain(&settings.decoder_layers()) {
        if spec.optional && file.tensor(spec.names.panels).is_none() {
            continue;
        }
        let (panels, k) = (spec.panels(), spec.inputs);
        let (stored, stored_bias) = (values(spec.names.panels)?, values(spec.names.bias)?);
        let (mut weight, mut bias) = (vec![0.0; spec.rows.count() * k], vec![0.0; spec.rows.count()]);
        for (panel, lane) in (0..panels.count).flat_map(|panel| (0..panels.width).map(move |lane| (panel, lane))) {
            let Some(n) = spec.row(panel, lane) else { continue };
            let at = |values: &[f32], index: usize| {
                values.get(index).copied().ok_or_else(|| format!("tensor `{}`: too short for its shape", spec.names.panels))
            };
            bias[n] = at(&stored_bias, panel * panels.width + lane)?;
            for input in 0..k {
                weight[n * k + input] = at(&stored, spec.place(Precision::F32, panel, lane, input))?;
            }
        }
        spec.source.write(&mut tensors, k, Weights { weight: weight.into(), bias: bias.into() });
    }
    let continuous = |name: &str| match dims.action {
        Action::Continuous { len } => vector(name, len),
        _ => Ok(Vec::new()),
    };
    let ours = settings.entries();
    Ok(Unpacked {
        tensors,
        settings,
        action_mid: continuous(packed::ACTION_MID)?,
        action_half: continuous(packed::ACTION_HALF)?,
        selftest: SelfTest {
            observations: table(&file, packed::SELFTEST_OBSERVATIONS, dims.obs_len()),
            actions: table(&file, packed::SELFTEST_ACTIONS, dims.action_len()),
        },
        provenance: all_metadata(&file).into_iter().filter(|(key, _)| ours.iter().all(|(known, _)| known != key)).collect(),
    })
}

/// The rows of a self-test's tensor, `n` values each; none where the file has not got it.
fn table(file: &File<'_>, name: &str, n: usize) -> Vec<Vec<f32>> {
    let Some(tensor) = file.tensor(name) else { return Vec::new() };
    if tensor.dtype == "U8" {
        return tensor.data.chunks(n).map(|row| row.iter().map(|&value| f32::from(value)).collect()).collect();
    }
    let values: Vec<f32> = tensor.data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    values.chunks(padded(n)).map(|row| row[..n.min(row.len())].to_vec()).collect()
}

/// Every tensor that a checkpoint of these sizes holds for the runtime, by name and shape: the normaliser's, V's, M's in PyTorch's order (both
/// weights, then both biases, then the MDN head), C's.
#[must_use]
pub fn checkpoint_shapes(dims: &Dims) -> Vec<(&'static str, Vec<usize>)> {
    let o = dims.obs_len();
    let mut shapes = match dims.obs {
        Observation::Vector { .. } => {
            vec![(checkpoint::NORMALIZER_MEAN, vec![o]), (checkpoint::NORMALIZER_INV_STD, vec![o])]
        }
        Observation::Image(_) => Vec::new(),
    };
    let m = dims.m.layers(dims.unit_len(), dims.latent_len());
    for part in [dims.v.layers(&dims.obs), m, dims.controller_layers()] {
        let from = shapes.len();
        for spec in &part {
            spec.source.shapes(spec, &mut shapes);
        }
        let order = [checkpoint::RNN_WEIGHT_IH, checkpoint::RNN_WEIGHT_HH, checkpoint::RNN_BIAS_IH, checkpoint::RNN_BIAS_HH];
        let rank = |name: &str| order.iter().position(|&known| known == name).unwrap_or(order.len());
        shapes[from..].sort_by_key(|(name, _)| rank(name));
    }
    shapes
}

/// Every tensor of a decoder for `latent` latents, by name and shape, in order.
#[must_use]
pub fn decoder_shapes(decoder: &Decoder, latent: usize) -> Vec<(&'static str, Vec<usize>)> {
    let mut shapes = Vec::new();
    decoder.layers(latent).iter().for_each(|spec| spec.source.shapes(spec, &mut shapes));
    shapes
}

/// Middle and half of the action range, both `[A]`: the runtime's actions are `mid + half·u` with u in [-1, 1], and M is trained on u.
#[must_use]
pub fn action_map(low: &[f32], high: &[f32]) -> (Vec<f32>, Vec<f32>) {
    low.iter().zip(high).map(|(&low, &high)| (0.5 * low + 0.5 * high, 0.5 * high - 0.5 * low)).unzip()
}

/// Layers of f32 weights in panels and padded biases, as the runtime's `Model::with_controller` takes C's: one after the other for each of
/// C's layers, its panels, then its biases. `weights` holds `[N, K]` and `[N]` of each, in the same order.
///
/// # Panics
/// If `weights` is shorter than C's layers.
#[must_use]
pub fn controller_panels(dims: &Dims, weights: &[f32]) -> Vec<f32> {
    let mut out = Vec::new();
    let mut rest = weights;
    for spec in &dims.controller_layers() {
        let (weight, after) = rest.split_at(spec.rows.count() * spec.inputs);
        let (bias, after) = after.split_at(spec.rows.count());
        rest = after;
        let arrange = Arrangement { spec, precision: Precision::F32 };
        out.extend(arrange.weights(weight, 0.0));
        out.extend(arrange.outputs(bias, 0.0));
    }
    out
}

fn tensor<'a>(tensors: &'a Tensors, name: &str, expected: &[usize]) -> Result<&'a [f32], String> {
    let (shape, values) = tensors.get(name).ok_or_else(|| format!("tensor `{name}`: expected, not found"))?;
    if shape != expected {
        return Err(format!("tensor `{name}`: expected shape {expected:?}, found {shape:?}"));
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(format!("tensor `{name}`: expected finite values, found {} at {index}", values[index])),
        None => Ok(values),
    }
}

/// A layer's weights `[N, K]`, row-major, and biases `[N]`.
struct Weights<'a> {
    weight: Cow<'a, [f32]>,
    bias: Cow<'a, [f32]>,
}

impl Source {
    /// Whether a checkpoint has this layer.
    fn is_in(&self, tensors: &Tensors) -> bool {
        match self {
            Self::Whole { weight, .. }
            | Self::Half { weight, .. }
            | Self::Convolution { weight, .. }
            | Self::Flattened { weight, .. }
            | Self::Unflattened { weight, .. }
            | Self::Transposed { weight, .. } => tensors.contains_key(*weight),
            Self::SideBySide { .. } => tensors.contains_key(checkpoint::RNN_WEIGHT_IH),
        }
    }

    /// Names and shapes of the checkpoint's tensors that the layer comes from. Those of two halves are listed with the first.
    fn shapes(&self, spec: &LayerSpec, shapes: &mut Vec<(&'static str, Vec<usize>)>) {
        let (n, k) = (spec.rows.count(), spec.inputs);
        match *self {
            Self::Whole { weight, bias } => shapes.extend([(weight, vec![n, k]), (bias, vec![n])]),
            Self::Half { weight, bias, second: false } => shapes.extend([(weight, vec![2 * n, k]), (bias, vec![2 * n])]),
            Self::Half { second: true, .. } => {}
            Self::Convolution { weight, bias, channels, kernel, .. } => {
                shapes.extend([(weight, vec![n, channels, kernel, kernel]), (bias, vec![n])]);
            }
            Self::Flattened { weight, bias, map: [h, w, c], .. } => {
                shapes.extend([(weight, vec![n, h * w * c]), (bias, vec![n])]);
            }
            Self::Unflattened { weight, bias, map: [h, w, c] } => {
                shapes.extend([(weight, vec![h * w * c, k]), (bias, vec![h * w * c])]);
            }
            Self::Transposed { weight, bias, decoder, index } => {
                let (layer, [_, _, channels]) = (decoder.chain.at(index), decoder.map(index));
                shapes.push((weight, vec![channels, layer.channels, layer.kernel, layer.kernel]));
                shapes.push((bias, vec![layer.channels]));
            }
            Self::SideBySide { inputs } => shapes.extend([
                (checkpoint::RNN_WEIGHT_IH, vec![n, inputs]),
                (checkpoint::RNN_WEIGHT_HH, vec![n, k - inputs]),
                (checkpoint::RNN_BIAS_IH, vec![n]),
                (checkpoint::RNN_BIAS_HH, vec![n]),
            ]),
        }
    }

    /// The layer's part of a checkpoint.
    fn read<'a>(&self, tensors: &'a Tensors, spec: &LayerSpec) -> Result<Weights<'a>, String> {
        let (n, k) = (spec.rows.count(), spec.inputs);
        let get = |name: &str, shape: &[usize]| tensor(tensors, name, shape);
        Ok(match *self {
            Self::Whole { weight, bias } => Weights { weight: get(weight, &[n, k])?.into(), bias: get(bias, &[n])?.into() },
            Self::Half { weight, bias, second } => {
                let (weights, biases) = (get(weight, &[2 * n, k])?.split_at(n * k), get(bias, &[2 * n])?.split_at(n));
                let (weight, bias) = if second { (weights.1, biases.1) } else { (weights.0, biases.0) };
                Weights { weight: weight.into(), bias: bias.into() }
            }
            Self::Convolution { weight, bias, channels, kernel, .. } => {
                let weights = get(weight, &[n, channels, kernel, kernel])?;
                let weight = self.spread(weights, channels * kernel * kernel, n, k, 0.0);
                Weights { weight: weight.into(), bias: get(bias, &[n])?.into() }
            }
            Self::Flattened { weight, bias, map: [h, w, c], times } => {
                let times = f32::from(times);
                let weight = self.spread(get(weight, &[n, h * w * c])?, h * w * c, n, k, 0.0);
                let bias = get(bias, &[n])?.iter().map(|b| b * times).collect::<Vec<_>>();
                Weights { weight: weight.iter().map(|w| w * times).collect::<Vec<_>>().into(), bias: bias.into() }
            }
            Self::Unflattened { weight, bias, map: [h, w, c] } => {
                let (weights, biases) = (get(weight, &[h * w * c, k])?, get(bias, &[h * w * c])?);
                let (mut weight, mut bias) = (vec![0.0; n * k], vec![0.0; n]);
                for (row, (from, &value)) in weights.chunks(k).zip(biases).enumerate() {
                    let to = row % (h * w) * padded(c) + row / (h * w);
                    weight[to * k..][..k].copy_from_slice(from);
                    bias[to] = value;
                }
                Weights { weight: weight.into(), bias: bias.into() }
            }
            Self::Transposed { weight, bias, decoder, index } => {
                let (layer, [_, _, channels]) = (decoder.chain.at(index), decoder.map(index));
                let weights = get(weight, &[channels, layer.channels, layer.kernel, layer.kernel])?;
                let biases = get(bias, &[layer.channels])?;
                let (mut weight, mut bias) = (vec![0.0; n * k], vec![0.0; n]);
                for (at, &value) in weights.iter().enumerate() {
                    let (ends, tap) = transposed(at, &layer);
                    let (row, input) = decoder.place(index, ends, tap);
                    weight[row * k + input] = value;
                    bias[row] = biases[ends[1]];
                }
                Weights { weight: weight.into(), bias: bias.into() }
            }
            Self::SideBySide { inputs } => {
                let w_ih = get(checkpoint::RNN_WEIGHT_IH, &[n, inputs])?;
                let w_hh = get(checkpoint::RNN_WEIGHT_HH, &[n, k - inputs])?;
                let (b_ih, b_hh) = (get(checkpoint::RNN_BIAS_IH, &[n])?, get(checkpoint::RNN_BIAS_HH, &[n])?);
                let rows = w_ih.chunks(inputs).zip(w_hh.chunks(k - inputs));
                let weight: Vec<f32> = rows.flat_map(|(ih, hh)| ih.iter().chain(hh).copied()).collect();
                let bias: Vec<f32> = b_ih.iter().zip(b_hh).map(|(ih, hh)| ih + hh).collect();
                Weights { weight: weight.into(), bias: bias.into() }
            }
        })
    }

    /// Where input `index` of a checkpoint's row, in its order of channels, rows and columns, lies among a layer's inputs.
    fn place(&self, index: usize) -> usize {
        match *self {
            Self::Convolution { stored, kernel, .. } => {
                let (c, y, x) = (index / (kernel * kernel), index / kernel % kernel, index % kernel);
                y * (kernel * stored).next_multiple_of(4) + x * stored + c
            }
            Self::Flattened { map: [h, w, c], .. } => {
                let (channel, pixel) = (index / (h * w), index % (h * w));
                pixel * padded(c) + channel
            }
            _ => index,
        }
    }

    /// `[N, size]` in the checkpoint's order as `[N, K]` in the layer's, with `zero` where there is none.
    fn spread<T: Copy>(&self, weights: &[T], size: usize, n: usize, k: usize, zero: T) -> Vec<T> {
        let mut out = vec![zero; n * k];
        for (row, out) in weights.chunks(size).zip(out.chunks_mut(k)) {
            row.iter().enumerate().for_each(|(index, &value)| out[self.place(index)] = value);
        }
        out
    }

    /// The inverse of [`Self::spread`].
    fn gather(&self, weights: &[f32], k: usize, n: usize, size: usize) -> Vec<f32> {
        (0..n * size).map(|at| weights[at / size * k + self.place(at % size)]).collect()
    }

    /// The inverse of [`Self::read`], for a layer of `k` inputs.
    fn write(&self, tensors: &mut Tensors, k: usize, weights: Weights<'_>) {
        let (values, biases) = (weights.weight.into_owned(), weights.bias.into_owned());
        let n = biases.len();
        match *self {
            Self::Whole { weight, bias } => {
                tensors.insert(weight.into(), (vec![n, k], values));
                tensors.insert(bias.into(), (vec![n], biases));
            }
            // The second half is one that a file may lack: it is 0 then.
            Self::Half { weight, bias, second } => {
                for (name, shape, half) in [(weight, vec![2 * n, k], values), (bias, vec![2 * n], biases)] {
                    let (_, all) = tensors.entry(name.into()).or_insert_with(|| (shape, vec![0.0; 2 * half.len()]));
                    let at = if second { half.len() } else { 0 };
                    all[at..at + half.len()].copy_from_slice(&half);
                }
            }
            Self::Convolution { weight, bias, channels, kernel, .. } => {
                let size = channels * kernel * kernel;
                tensors.insert(weight.into(), (vec![n, channels, kernel, kernel], self.gather(&values, k, n, size)));
                tensors.insert(bias.into(), (vec![n], biases));
            }
            Self::Flattened { weight, bias, map: [h, w, c], times } => {
                let half = |values: Vec<f32>| values.iter().map(|v| v / f32::from(times)).collect::<Vec<_>>();
                tensors.insert(weight.into(), (vec![n, h * w * c], half(self.gather(&values, k, n, h * w * c))));
                tensors.insert(bias.into(), (vec![n], half(biases)));
            }
            Self::Unflattened { weight, bias, map: [h, w, c] } => {
                let place = |row: usize| row % (h * w) * padded(c) + row / (h * w);
                let rows = (0..h * w * c).flat_map(|row| values[place(row) * k..][..k].to_vec()).collect();
                tensors.insert(weight.into(), (vec![h * w * c, k], rows));
                tensors.insert(bias.into(), (vec![h * w * c], (0..h * w * c).map(|row| biases[place(row)]).collect()));
            }
            Self::Transposed { weight, bias, decoder, index } => {
                let (layer, [_, _, channels]) = (decoder.chain.at(index), decoder.map(index));
                let shape = vec![channels, layer.channels, layer.kernel, layer.kernel];
                let (mut all, mut each) = (vec![0.0; shape.iter().product()], vec![0.0; layer.channels]);
                for (at, value) in all.iter_mut().enumerate() {
                    let (ends, tap) = transposed(at, &layer);
                    let (row, input) = decoder.place(index, ends, tap);
                    *value = values[row * k + input];
                    each[ends[1]] = biases[row];
                }
                tensors.insert(weight.into(), (shape, all));
                tensors.insert(bias.into(), (vec![layer.channels], each));
            }
            Self::SideBySide { inputs } => {
                let part = |from: usize, to: usize| values.chunks(k).flat_map(|row| row[from..to].to_vec()).collect();
                tensors.insert(checkpoint::RNN_WEIGHT_IH.into(), (vec![n, inputs], part(0, inputs)));
                tensors.insert(checkpoint::RNN_WEIGHT_HH.into(), (vec![n, k - inputs], part(inputs, k)));
                tensors.insert(checkpoint::RNN_BIAS_IH.into(), (vec![n], biases));
                tensors.insert(checkpoint::RNN_BIAS_HH.into(), (vec![n], vec![0.0; n]));
            }
        }
    }
}

/// What value `at` of a transposed convolution's `[in, out, row, column]` is: from which channel to which, and which tap.
fn transposed(at: usize, layer: &Convolution) -> ([usize; 2], [usize; 2]) {
    let (taps, kernel) = (layer.kernel * layer.kernel, layer.kernel);
    let (pair, tap) = (at / taps, at % taps);
    ([pair / layer.channels, pair % layer.channels], [tap / kernel, tap % kernel])
}

/// Puts a row-major layer into its place in panels.
struct Arrangement<'a> {
    spec: &'a LayerSpec,
    precision: Precision,
}

impl Arrangement<'_> {
    /// Calls `put(place among the outputs, panel, lane, row)` for each output that is not padding.
    fn each(&self, mut put: impl FnMut(usize, usize, usize, usize)) {
        let Panels { count, width, .. } = self.spec.panels();
        for (panel, lane) in (0..count).flat_map(|p| (0..width).map(move |lane| (p, lane))) {
            if let Some(n) = self.spec.row(panel, lane) {
                put(panel * width + lane, panel, lane, n);
            }
        }
    }

    /// `[N, K]` weights in panels.
    fn weights<T: Copy>(&self, weight: &[T], zero: T) -> Vec<T> {
        let k = self.spec.inputs;
        let mut out = vec![zero; self.spec.panels().len(self.precision)];
        self.each(|_, panel, lane, n| {
            for (input, &value) in weight[n * k..(n + 1) * k].iter().enumerate() {
                out[self.spec.place(self.precision, panel, lane, input)] = value;
            }
        });
        out
    }

    /// `[N]` values of the outputs, in the order of the panels.
    fn outputs<T: Copy>(&self, values: &[T], zero: T) -> Vec<T> {
        let mut out = vec![zero; self.spec.panels().outputs()];
        self.each(|place, _, _, n| out[place] = values[n]);
        out
    }
}

/// A layer's tensors in a precision.
fn layer(
    out: &mut Vec<Entry<'static>>,
    spec: &LayerSpec,
    precision: Precision,
    Weights { weight, bias }: &Weights<'_>,
    of_bytes: Option<Integers>,
) -> Result<(), String> {
    let arrange = Arrangement { spec, precision };
    let shape: Vec<usize> = spec.panels().shape(precision).into_iter().filter(|&axis| axis > 0).collect();
    let narrow = |narrow: fn(f32) -> (u16, bool)| -> Result<Vec<u8>, String> {
        let rounded: Vec<u16> = weight.iter().map(|&value| narrow(value).0).collect();
        match weight.iter().position(|&value| !narrow(value).1) {
            Some(at) => {
                let (name, what) = (spec.names.panels, precision.name());
                Err(format!("tensor `{name}`: expected weights that {what} can hold, found {}", weight[at]))
            }
            None => Ok(arrange.weights(&rounded, 0).iter().flat_map(|value| value.to_le_bytes()).collect()),
        }
    };
    let mut integers = None;
    let data = match precision {
        Precision::F32 => arrange.weights(weight, 0.0).iter().flat_map(|value| value.to_le_bytes()).collect(),
        Precision::F16 => narrow(|v| (f16::from_f32(v).to_bits(), f16::from_f32(v).is_finite()))?,
        Precision::Bf16 => narrow(|v| {
            let nearest = bf16::from_f32(v);
            let bits = if nearest.to_f32().abs() < EXACT_RANGE[0] { 0 } else { nearest.to_bits() };
            (bits, is_exact_weight(bf16_to_f32(bits)))
        })?,
        Precision::I8 => {
            let rounded = integers.insert(of_bytes.unwrap_or_else(|| Integers::round(weight, spec.inputs)));
            arrange.weights(&rounded.weights, 0).iter().map(|value| value.to_le_bytes()[0]).collect()
        }
    };
    let outputs = vec![spec.panels().outputs()];
    out.push(Entry { name: spec.names.panels, dtype: precision.dtype(), shape, data });
    out.push(Entry::f32(spec.names.bias, outputs.clone(), &arrange.outputs(bias, 0.0)));
    if let Some(integers) = integers {
        out.push(Entry::f32(spec.names.scale, outputs.clone(), &arrange.outputs(&integers.scales, 0.0)));
        if !spec.of_bytes {
            out.push(Entry::f32(spec.names.input, vec![padded(integers.inputs.len())], &pad(&integers.inputs)));
        }
        let sums = arrange.outputs(&integers.sums, 0).iter().flat_map(|sum| sum.to_le_bytes()).collect();
        out.push(Entry { name: spec.names.sum, dtype: "I32", shape: outputs, data: sums });
    }
    Ok(())
}

fn pad(values: &[f32]) -> Vec<f32> {
    let mut out = values.to_vec();
    out.resize(values.len().div_ceil(LANES) * LANES, 0.0);
    out
}
