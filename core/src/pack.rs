//! How does a checkpoint become the file that the runtime reads? (Feature `host`; needs an allocator.)
//!
//! Row-major tensors under PyTorch's names go in; panels (see [`crate::layout`]) with their settings come out, as one safetensors
//! file whose data begin on a multiple of 64 bytes. The same input gives the same bytes: the header is written in a fixed order,
//! which is why the `safetensors` crate (its metadata is a hash map) is not the writer here but the judge in the tests.

use crate::dims::{Dims, padded};
use crate::layout::Panels;
use crate::names::{checkpoint, packed};
use crate::schema::Settings;
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
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// Checkpoint tensors under [`crate::names::checkpoint`]'s names. The decoder is ignored, the MDN head optional.
    pub tensors: &'a Tensors,
    /// Sizes and modes; `selftest_digest` belongs to `selftest`.
    pub settings: Settings,
    /// `[A]` lower end of the action range, in the environment's units.
    pub action_low: &'a [f32],
    /// `[A]` upper end.
    pub action_high: &'a [f32],
    /// Vectors to replay; none while they are being made.
    pub selftest: Option<&'a SelfTest>,
    /// Further metadata: where the agent comes from.
    pub provenance: &'a BTreeMap<String, String>,
}

/// The packed file's bytes.
///
/// # Errors
/// One line that names a missing tensor, a wrong shape or a non-finite value.
pub fn pack(parts: &Parts<'_>) -> Result<Vec<u8>, String> {
    let dims = &parts.settings.dims;
    let [e1, e2] = dims.encoder;
    let (a, z, h) = (dims.action, dims.latent, dims.hidden);
    let get = |name: &str, shape: &[usize]| tensor(parts.tensors, name, shape);
    let mut out: Vec<(&str, Vec<usize>, Vec<f32>)> = Vec::new();
    let mut vector = |name, values: &[f32]| out.push((name, vec![padded(values.len())], pad(values)));

    vector(packed::OBSERVATION_MEAN, get(checkpoint::NORMALIZER_MEAN, &[dims.obs])?);
    vector(packed::OBSERVATION_INV_STD, get(checkpoint::NORMALIZER_INV_STD, &[dims.obs])?);
    if parts.action_low.len() != a || parts.action_high.len() != a {
        return Err(format!("action range: expected {a} values, found {}", parts.action_low.len()));
    }
    let (mid, half) = action_map(parts.action_low, parts.action_high);
    vector(packed::ACTION_MID, &mid);
    vector(packed::ACTION_HALF, &half);

    let (weights, biases) = (checkpoint::ENCODER_WEIGHT, checkpoint::ENCODER_BIAS);
    out.push(dense(packed::ENCODER_0, e1, dims.obs, get(weights[0], &[e1, dims.obs])?, get(biases[0], &[e1])?));
    out.push(dense(packed::ENCODER_2, e2, e1, get(weights[1], &[e2, e1])?, get(biases[1], &[e2])?));
    let (mean_w, log_var_w) = get(weights[2], &[2 * z, e2])?.split_at(z * e2);
    let (mean_b, log_var_b) = get(biases[2], &[2 * z])?.split_at(z);
    out.push(dense(packed::ENCODER_MEAN, z, e2, mean_w, mean_b));
    out.push(dense(packed::ENCODER_LOG_VAR, z, e2, log_var_w, log_var_b));
    out.push(dense(packed::FC, a, z + h, get(checkpoint::FC_WEIGHT, &[a, z + h])?, get(checkpoint::FC_BIAS, &[a])?));

    let w_ih = get(checkpoint::RNN_WEIGHT_IH, &[4 * h, a + z])?;
    let w_hh = get(checkpoint::RNN_WEIGHT_HH, &[4 * h, h])?;
    let b_ih = get(checkpoint::RNN_BIAS_IH, &[4 * h])?;
    let b_hh = get(checkpoint::RNN_BIAS_HH, &[4 * h])?;
    let lstm = Panels::lstm(h, a + z + h);
    let mut panels = vec![0.0; lstm.len()];
    lstm.fill(
        &mut panels,
        Panels::lstm_row(h),
        |n| b_ih[n] + b_hh[n],
        |n, k| if k < a + z { w_ih[n * (a + z) + k] } else { w_hh[n * h + k - (a + z)] },
    );
    out.push((packed::RNN, lstm.shape().to_vec(), panels));
    if parts.tensors.contains_key(checkpoint::GMM_WEIGHT) {
        let n = dims.mdn_outputs();
        out.push(dense(packed::GMM, n, h, get(checkpoint::GMM_WEIGHT, &[n, h])?, get(checkpoint::GMM_BIAS, &[n])?));
    }
    if let Some(selftest) = parts.selftest {
        let rows = |rows: &[Vec<f32>]| rows.iter().flat_map(|row| pad(row)).collect::<Vec<_>>();
        let t = selftest.observations.len();
        out.push((packed::SELFTEST_OBSERVATIONS, vec![t, padded(dims.obs)], rows(&selftest.observations)));
        out.push((packed::SELFTEST_ACTIONS, vec![t, padded(a)], rows(&selftest.actions)));
    }
    let mut metadata = parts.provenance.clone();
    metadata.extend(parts.settings.entries().into_iter().map(|(key, value)| (key.to_string(), value)));
    Ok(safetensors_bytes(out.iter().map(|(name, shape, values)| (*name, shape.as_slice(), values.as_slice())), &metadata))
}

/// Middle and half of the action range, both `[A]`: the runtime's actions are `mid + half·u` with u in [-1, 1], and M is trained on u.
#[must_use]
pub fn action_map(low: &[f32], high: &[f32]) -> (Vec<f32>, Vec<f32>) {
    low.iter().zip(high).map(|(&low, &high)| (0.5 * low + 0.5 * high, 0.5 * high - 0.5 * low)).unzip()
}

/// Controller weights `[A, Z+H]` and biases `[A]` as panels, for [`Panels::dense`]`(A, Z+H)`.
#[must_use]
pub fn controller_panels(dims: &Dims, weight: &[f32], bias: &[f32]) -> Vec<f32> {
    dense(packed::FC, dims.action, dims.latent + dims.hidden, weight, bias).2
}

/// A safetensors file of F32 tensors: header in the given order, metadata sorted, data from a multiple of 64 bytes on.
#[must_use]
pub fn safetensors_bytes<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a [usize], &'a [f32])>,
    metadata: &BTreeMap<String, String>,
) -> Vec<u8> {
    // A string always serialises.
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    let pairs: Vec<String> = metadata.iter().map(|(key, value)| format!("{}:{}", quote(key), quote(value))).collect();
    let mut header = format!("{{\"__metadata__\":{{{}}}", pairs.join(","));
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        let begin = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let axes: Vec<String> = shape.iter().map(ToString::to_string).collect();
        let (name, axes, end) = (quote(name), axes.join(","), data.len());
        header += &format!(",{name}:{{\"dtype\":\"F32\",\"shape\":[{axes}],\"data_offsets\":[{begin},{end}]}}");
    }
    header.push('}');
    header.extend(core::iter::repeat_n(' ', (8 + header.len()).next_multiple_of(64) - 8 - header.len()));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
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

fn dense(name: &'static str, n: usize, k: usize, weight: &[f32], bias: &[f32]) -> (&'static str, Vec<usize>, Vec<f32>) {
    let panels = Panels::dense(n, k);
    let mut out = vec![0.0; panels.len()];
    panels.fill(&mut out, panels.dense_row(n), |n| bias[n], |n, input| weight[n * k + input]);
    (name, panels.shape().to_vec(), out)
}

fn pad(values: &[f32]) -> Vec<f32> {
    let mut out = values.to_vec();
    out.resize(padded(values.len()), 0.0);
    out
}
