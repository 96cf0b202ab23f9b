//! How does a checkpoint become the file that the runtime reads? (Feature `host`; needs an allocator.)
//!
//! Row-major tensors under PyTorch's names go in; panels (see [`crate::layout`]) with their settings come out, as one safetensors
//! file whose data begin on a multiple of 64 bytes. The same input gives the same bytes: the header is written in a fixed order,
//! which is why the `safetensors` crate (its metadata is a hash map) is not the writer here but the judge in the tests.

use crate::dims::{Dims, LANES, padded};
use crate::layout::Panels;
use crate::names::packed::LayerNames;
use crate::names::{checkpoint, packed};
use crate::precision::{EXACT_RANGE, Precision, bf16_to_f32, is_exact_weight};
use crate::reader::File;
use crate::schema::{self, LayerSpec, Settings};
use half::{bf16, f16};
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
    /// `[T][O]`
    pub observations: Vec<Vec<f32>>,
    /// `[T][A]`
    pub actions: Vec<Vec<f32>>,
}

/// What an agent is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Checkpoint tensors under [`crate::names::checkpoint`]'s names. The decoder is ignored, the MDN head optional.
    pub tensors: &'a Tensors,
    /// Sizes, precision and modes; `selftest_digest` belongs to `selftest`.
    pub settings: Settings,
    /// `[A]` middle of the action range, in the environment's units, see [`action_map`].
    pub action_mid: &'a [f32],
    /// `[A]` half of the action range.
    pub action_half: &'a [f32],
    /// Vectors to replay; none while they are being made.
    pub selftest: Option<&'a SelfTest>,
    /// Further metadata: where the agent comes from.
    pub provenance: &'a BTreeMap<String, String>,
}

/// A tensor of a safetensors file.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its dtype, as the format spells it.
    pub dtype: &'a str,
    /// Its axes, outermost first.
    pub shape: Vec<usize>,
    /// Its values, little-endian.
    pub data: Vec<u8>,
}

impl<'a> Entry<'a> {
    /// A tensor of binary32 values.
    #[must_use]
    pub fn f32(name: &'a str, shape: Vec<usize>, values: &[f32]) -> Self {
        Self { name, dtype: "F32", shape, data: values.iter().flat_map(|value| value.to_le_bytes()).collect() }
    }
}

/// The packed file's bytes.
///
/// # Errors
/// One line that names a missing tensor, a wrong shape, a non-finite value or one that the precision cannot hold.
pub fn pack(parts: &Parts<'_>) -> Result<Vec<u8>, String> {
    let Settings { dims, precision, .. } = parts.settings;
    let get = |name: &str, shape: &[usize]| tensor(parts.tensors, name, shape);
    let mut out = Vec::new();
    let mut vector = |name, values: &[f32]| out.push(Entry::f32(name, vec![padded(values.len())], &pad(values)));
    vector(packed::OBSERVATION_MEAN, get(checkpoint::NORMALIZER_MEAN, &[dims.obs])?);
    vector(packed::OBSERVATION_INV_STD, get(checkpoint::NORMALIZER_INV_STD, &[dims.obs])?);
    for (name, values) in [(packed::ACTION_MID, parts.action_mid), (packed::ACTION_HALF, parts.action_half)] {
        if values.len() != dims.action {
            return Err(format!("{name}: expected {} values, found {}", dims.action, values.len()));
        }
        vector(name, values);
    }
    for spec in schema::layers(&dims).iter() {
        if spec.names == packed::GMM && !parts.tensors.contains_key(checkpoint::GMM_WEIGHT) {
            continue;
        }
        let Rows { weight, bias } = rows(parts.tensors, &dims, spec.names)?;
        layer(&mut out, &spec, spec.precision(precision), &source(&spec, &dims), &weight, &bias)?;
    }
    if let Some(selftest) = parts.selftest {
        let rows = |rows: &[Vec<f32>]| rows.iter().flat_map(|row| pad(row)).collect::<Vec<_>>();
        let t = selftest.observations.len();
        let observations = vec![t, padded(dims.obs)];
        out.push(Entry::f32(packed::SELFTEST_OBSERVATIONS, observations, &rows(&selftest.observations)));
        out.push(Entry::f32(packed::SELFTEST_ACTIONS, vec![t, padded(dims.action)], &rows(&selftest.actions)));
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
    let mut tensors = Tensors::new();
    tensors.insert(checkpoint::NORMALIZER_MEAN.into(), (vec![dims.obs], vector(packed::OBSERVATION_MEAN, dims.obs)?));
    tensors.insert(checkpoint::NORMALIZER_INV_STD.into(), (vec![dims.obs], vector(packed::OBSERVATION_INV_STD, dims.obs)?));
    for spec in schema::layers(&dims).iter() {
        if spec.optional && file.tensor(spec.names.panels).is_none() {
            continue;
        }
        let (panels, k) = (spec.panels, spec.panels.inputs);
        let (stored, stored_bias) = (values(spec.names.panels)?, values(spec.names.bias)?);
        let n = outputs(&spec, &dims);
        let (mut weight, mut bias) = (vec![0.0; n * k], vec![0.0; n]);
        let row = source(&spec, &dims);
        for (panel, lane) in (0..panels.count).flat_map(|panel| (0..panels.width).map(move |lane| (panel, lane))) {
            let Some(n) = row(panel, lane) else { continue };
            let at = |values: &[f32], index: usize| {
                values.get(index).copied().ok_or_else(|| format!("tensor `{}`: too short for its shape", spec.names.panels))
            };
            bias[n] = at(&stored_bias, panel * panels.width + lane)?;
            for input in 0..k {
                weight[n * k + input] = at(&stored, panels.index(Precision::F32, panel, lane, input))?;
            }
        }
        put_rows(&mut tensors, &dims, spec.names, Rows { weight: weight.into(), bias: bias.into() });
    }
    let table = |name: &str, n: usize| -> Result<Vec<Vec<f32>>, String> {
        if file.tensor(name).is_none() {
            return Ok(Vec::new());
        }
        Ok(values(name)?.chunks(padded(n)).map(|row| row[..n.min(row.len())].to_vec()).collect())
    };
    let ours = settings.entries();
    let unescape = |text: &str| serde_json::from_str::<String>(&format!("\"{text}\"")).unwrap_or_else(|_| text.to_string());
    Ok(Unpacked {
        tensors,
        settings,
        action_mid: vector(packed::ACTION_MID, dims.action)?,
        action_half: vector(packed::ACTION_HALF, dims.action)?,
        selftest: SelfTest {
            observations: table(packed::SELFTEST_OBSERVATIONS, dims.obs)?,
            actions: table(packed::SELFTEST_ACTIONS, dims.action)?,
        },
        provenance: file
            .metadata_entries()
            .filter(|(key, _)| ours.iter().all(|(known, _)| known != key))
            .map(|(key, value)| (key.to_string(), unescape(value)))
            .collect(),
    })
}

/// Middle and half of the action range, both `[A]`: the runtime's actions are `mid + half·u` with u in [-1, 1], and M is trained on u.
#[must_use]
pub fn action_map(low: &[f32], high: &[f32]) -> (Vec<f32>, Vec<f32>) {
    low.iter().zip(high).map(|(&low, &high)| (0.5 * low + 0.5 * high, 0.5 * high - 0.5 * low)).unzip()
}

/// Controller weights `[A, I]`, I = [`Dims::controller_inputs`] (`Z+H` for `[z, h]`), and biases `[A]` as f32 panels and padded biases,
/// for [`Panels::dense`]`(A, I)`.
#[must_use]
pub fn controller_panels(dims: &Dims, weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let panels = Panels::dense(dims.action, dims.controller_inputs());
    let arrange = Arrangement { panels, precision: Precision::F32, row: &panels.dense_row(dims.action) };
    (arrange.weights(weight, 0.0), arrange.outputs(bias, 0.0))
}

/// A safetensors file: header in the given order, metadata sorted, data from a multiple of 64 bytes on.
#[must_use]
pub fn safetensors_bytes(tensors: &[Entry<'_>], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    // A string always serialises.
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    let pairs: Vec<String> = metadata.iter().map(|(key, value)| format!("{}:{}", quote(key), quote(value))).collect();
    let mut header = format!("{{\"__metadata__\":{{{}}}", pairs.join(","));
    let mut end = 0;
    for Entry { name, dtype, shape, data } in tensors {
        let begin = end;
        end += data.len();
        let axes: Vec<String> = shape.iter().map(ToString::to_string).collect();
        let (name, axes) = (quote(name), axes.join(","));
        header += &format!(",{name}:{{\"dtype\":\"{dtype}\",\"shape\":[{axes}],\"data_offsets\":[{begin},{end}]}}");
    }
    header.push('}');
    header.extend(core::iter::repeat_n(' ', (8 + header.len()).next_multiple_of(64) - 8 - header.len()));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    tensors.iter().for_each(|tensor| bytes.extend(&tensor.data));
    bytes
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
struct Rows<'a> {
    weight: Cow<'a, [f32]>,
    bias: Cow<'a, [f32]>,
}

/// Outputs, without padding.
fn outputs(spec: &LayerSpec, dims: &Dims) -> usize {
    let [e1, e2] = dims.encoder;
    match spec.names {
        packed::ENCODER_0 => e1,
        packed::ENCODER_2 => e2,
        packed::ENCODER_MEAN | packed::ENCODER_LOG_VAR => dims.latent,
        packed::FC => dims.action,
        packed::RNN | packed::RNN_IH | packed::RNN_HH => dims.cell.gates() * dims.hidden,
        _ => dims.mdn_outputs(),
    }
}

/// Which output stands at `(panel, lane)`.
fn source(spec: &LayerSpec, dims: &Dims) -> std::boxed::Box<dyn Fn(usize, usize) -> Option<usize>> {
    match spec.names {
        packed::RNN => std::boxed::Box::new(Panels::lstm_row(dims.hidden)),
        packed::RNN_IH | packed::RNN_HH => std::boxed::Box::new(Panels::gru_row(dims.hidden)),
        _ => std::boxed::Box::new(spec.panels.dense_row(outputs(spec, dims))),
    }
}

/// A layer's part of the checkpoint.
fn rows<'a>(tensors: &'a Tensors, dims: &Dims, names: LayerNames) -> Result<Rows<'a>, String> {
    let [e1, e2] = dims.encoder;
    let (a, z, h) = (dims.action, dims.latent, dims.hidden);
    let get = |name: &str, shape: &[usize]| tensor(tensors, name, shape);
    let dense =
        |weight: &str, bias: &str, n, k| Ok(Rows { weight: get(weight, &[n, k])?.into(), bias: get(bias, &[n])?.into() });
    let (weights, biases) = (checkpoint::ENCODER_WEIGHT, checkpoint::ENCODER_BIAS);
    match names {
        packed::ENCODER_0 => dense(weights[0], biases[0], e1, dims.obs),
        packed::ENCODER_2 => dense(weights[1], biases[1], e2, e1),
        packed::ENCODER_MEAN | packed::ENCODER_LOG_VAR => {
            let (mean_w, log_var_w) = get(weights[2], &[2 * z, e2])?.split_at(z * e2);
            let (mean_b, log_var_b) = get(biases[2], &[2 * z])?.split_at(z);
            let mean = names == packed::ENCODER_MEAN;
            let (weight, bias) = if mean { (mean_w, mean_b) } else { (log_var_w, log_var_b) };
            Ok(Rows { weight: weight.into(), bias: bias.into() })
        }
        packed::FC => dense(checkpoint::FC_WEIGHT, checkpoint::FC_BIAS, a, dims.controller_inputs()),
        packed::RNN => {
            let w_ih = get(checkpoint::RNN_WEIGHT_IH, &[4 * h, a + z])?;
            let w_hh = get(checkpoint::RNN_WEIGHT_HH, &[4 * h, h])?;
            let b_ih = get(checkpoint::RNN_BIAS_IH, &[4 * h])?;
            let b_hh = get(checkpoint::RNN_BIAS_HH, &[4 * h])?;
            let rows = w_ih.chunks(a + z).zip(w_hh.chunks(h));
            let weight: Vec<f32> = rows.flat_map(|(ih, hh)| ih.iter().chain(hh).copied()).collect();
            let bias: Vec<f32> = b_ih.iter().zip(b_hh).map(|(ih, hh)| ih + hh).collect();
            Ok(Rows { weight: weight.into(), bias: bias.into() })
        }
        packed::RNN_IH => dense(checkpoint::RNN_WEIGHT_IH, checkpoint::RNN_BIAS_IH, 3 * h, a + z),
        packed::RNN_HH => dense(checkpoint::RNN_WEIGHT_HH, checkpoint::RNN_BIAS_HH, 3 * h, h),
        _ => dense(checkpoint::GMM_WEIGHT, checkpoint::GMM_BIAS, dims.mdn_outputs(), h),
    }
}

/// The inverse of [`rows`].
fn put_rows(tensors: &mut Tensors, dims: &Dims, names: LayerNames, rows: Rows<'_>) {
    let (a, z, h) = (dims.action, dims.latent, dims.hidden);
    let (weight, bias) = (rows.weight.into_owned(), rows.bias.into_owned());
    let mut put = |name: &str, shape: Vec<usize>, values: Vec<f32>| tensors.insert(name.into(), (shape, values));
    let n = bias.len();
    let k = weight.len() / n.max(1);
    let dense = match names {
        packed::ENCODER_0 => (checkpoint::ENCODER_WEIGHT[0], checkpoint::ENCODER_BIAS[0]),
        packed::ENCODER_2 => (checkpoint::ENCODER_WEIGHT[1], checkpoint::ENCODER_BIAS[1]),
        packed::FC => (checkpoint::FC_WEIGHT, checkpoint::FC_BIAS),
        packed::GMM => (checkpoint::GMM_WEIGHT, checkpoint::GMM_BIAS),
        packed::RNN_IH => (checkpoint::RNN_WEIGHT_IH, checkpoint::RNN_BIAS_IH),
        packed::RNN_HH => (checkpoint::RNN_WEIGHT_HH, checkpoint::RNN_BIAS_HH),
        packed::RNN => {
            let part = |from: usize, to: usize| weight.chunks(k).flat_map(|row| row[from..to].to_vec()).collect();
            put(checkpoint::RNN_WEIGHT_IH, vec![4 * h, a + z], part(0, a + z));
            put(checkpoint::RNN_WEIGHT_HH, vec![4 * h, h], part(a + z, k));
            put(checkpoint::RNN_BIAS_IH, vec![4 * h], bias);
            put(checkpoint::RNN_BIAS_HH, vec![4 * h], vec![0.0; 4 * h]);
            return;
        }
        // Mean, then log-variance: two halves of one tensor, the second of which a file may lack.
        _ => {
            let halves =
                [(checkpoint::ENCODER_WEIGHT[2], vec![2 * z, k], weight), (checkpoint::ENCODER_BIAS[2], vec![2 * z], bias)];
            for (name, shape, half) in halves {
                let (_, values) = tensors.entry(name.into()).or_insert_with(|| (shape, vec![0.0; 2 * half.len()]));
                let at = if names == packed::ENCODER_LOG_VAR { half.len() } else { 0 };
                values[at..at + half.len()].copy_from_slice(&half);
            }
            return;
        }
    };
    put(dense.0, vec![n, k], weight);
    put(dense.1, vec![n], bias);
}

/// Puts a row-major layer into its place in panels.
struct Arrangement<'a> {
    panels: Panels,
    precision: Precision,
    row: &'a dyn Fn(usize, usize) -> Option<usize>,
}

impl Arrangement<'_> {
    /// Calls `put(place among the outputs, panel, lane, row)` for each output that is not padding.
    fn each(&self, mut put: impl FnMut(usize, usize, usize, usize)) {
        for (panel, lane) in (0..self.panels.count).flat_map(|p| (0..self.panels.width).map(move |lane| (p, lane))) {
            if let Some(n) = (self.row)(panel, lane) {
                put(panel * self.panels.width + lane, panel, lane, n);
            }
        }
    }

    /// `[N, K]` weights in panels.
    fn weights<T: Copy>(&self, weight: &[T], zero: T) -> Vec<T> {
        let k = self.panels.inputs;
        let mut out = vec![zero; self.panels.len(self.precision)];
        self.each(|_, panel, lane, n| {
            for (input, &value) in weight[n * k..(n + 1) * k].iter().enumerate() {
                out[self.panels.index(self.precision, panel, lane, input)] = value;
            }
        });
        out
    }

    /// `[N]` values of the outputs, in the order of the panels.
    fn outputs<T: Copy>(&self, values: &[T], zero: T) -> Vec<T> {
        let mut out = vec![zero; self.panels.outputs()];
        self.each(|place, _, _, n| out[place] = values[n]);
        out
    }
}

/// A layer's tensors in a precision.
fn layer(
    out: &mut Vec<Entry<'static>>,
    spec: &LayerSpec,
    precision: Precision,
    row: &dyn Fn(usize, usize) -> Option<usize>,
    weight: &[f32],
    bias: &[f32],
) -> Result<(), String> {
    let arrange = Arrangement { panels: spec.panels, precision, row };
    let shape: Vec<usize> = spec.panels.shape(precision).into_iter().filter(|&axis| axis > 0).collect();
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
            let rounded = integers.insert(Integers::round(weight, spec.panels.inputs));
            arrange.weights(&rounded.weights, 0).iter().map(|value| value.to_le_bytes()[0]).collect()
        }
    };
    let outputs = vec![spec.panels.outputs()];
    out.push(Entry { name: spec.names.panels, dtype: precision.dtype(), shape, data });
    out.push(Entry::f32(spec.names.bias, outputs.clone(), &arrange.outputs(bias, 0.0)));
    if let Some(integers) = integers {
        out.push(Entry::f32(spec.names.scale, outputs.clone(), &arrange.outputs(&integers.scales, 0.0)));
        out.push(Entry::f32(spec.names.input, vec![padded(integers.inputs.len())], &pad(&integers.inputs)));
        let sums = arrange.outputs(&integers.sums, 0).iter().flat_map(|sum| sum.to_le_bytes()).collect();
        out.push(Entry { name: spec.names.sum, dtype: "I32", shape: outputs, data: sums });
    }
    Ok(())
}

/// A layer's weights as integers, see [`crate::precision`].
struct Integers {
    weights: Vec<i8>,
    scales: Vec<f32>,
    inputs: Vec<f32>,
    sums: Vec<i32>,
}

impl Integers {
    /// Rounds `[N, K]` weights with the factors for which the expected error is least.
    fn round(weight: &[f32], k: usize) -> Self {
        let candidates = (0..=10).map(|tenths| Self::with_exponent(weight, k, tenths));
        let error = |candidate: &Self| {
            let squares = |values: &[f32]| values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
            squares(&candidate.scales) * squares(&candidate.inputs)
        };
        let best = candidates.min_by(|a, b| error(a).total_cmp(&error(b)));
        best.unwrap_or_else(|| Self::with_exponent(weight, k, 0))
    }

    /// Rounds them with `c[k] = max|w[·,k]|^(tenths/10)`.
    fn with_exponent(weight: &[f32], k: usize, tenths: i32) -> Self {
        let mut largest = vec![0.0_f32; k];
        for row in weight.chunks(k) {
            largest.iter_mut().zip(row).for_each(|(largest, value)| *largest = largest.max(value.abs()));
        }
        // `powf` differs between platforms' libraries; `c` and the weights that it divides come from the same one, and stand in the
        // file. A column of zeros takes no part.
        let factor = |&largest: &f32| if largest > 0.0 { largest.powf(tenths as f32 / 10.0) } else { 0.0 };
        let inputs: Vec<f32> = largest.iter().map(factor).collect();
        let mut all = Self { weights: Vec::with_capacity(weight.len()), scales: Vec::new(), inputs, sums: Vec::new() };
        for row in weight.chunks(k) {
            let scaled = |(&value, &factor): (&f32, &f32)| if factor > 0.0 { value / factor } else { 0.0 };
            let row: Vec<f32> = row.iter().zip(&all.inputs).map(scaled).collect();
            let scale = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())) / 127.0;
            // A row so small that its scale underflows is a row of zeros.
            let integer =
                |&value: &f32| if scale > 0.0 { (value / scale).round_ties_even().clamp(-127.0, 127.0) as i8 } else { 0 };
            let start = all.weights.len();
            all.weights.extend(row.iter().map(integer));
            all.scales.push(scale);
            all.sums.push(all.weights[start..].iter().map(|&q| i32::from(q)).sum());
        }
        all
    }
}

fn pad(values: &[f32]) -> Vec<f32> {
    let mut out = values.to_vec();
    out.resize(values.len().div_ceil(LANES) * LANES, 0.0);
    out
}
