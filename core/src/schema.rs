//! The tensors and settings that make an agent: what the packer writes and the loader demands, stated once.
//!
//! The layers come from the parts ([`Dims::layers`]); each describes itself ([`LayerSpec`]): its names, its rows and inputs, where in a
//! checkpoint it comes from. Packing, unpacking, loading and the sizes of working memory follow from that.

use crate::action::Action;
use crate::dims::{Dims, MAX_DIM, Widths, padded};
use crate::error::LoadError;
use crate::layout::{Panels, Rows};
use crate::names::packed::LayerNames;
use crate::names::{metadata as key, packed};
use crate::precision::Precision;
use crate::reader::File;
use crate::v::Encoder;

/// How the controller's linear output becomes an action in [-1, 1].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Squash {
    /// `min(max(u, -1), 1)`.
    Clamp,
    /// Hyperbolic tangent.
    Tanh,
}

/// What the mixture predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The next latent vector.
    Next,
    /// Its change: the next latent is the present one plus the prediction.
    Delta,
}

impl Target {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Next, Self::Delta];

    /// Its name in metadata and configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Next => "z",
            Self::Delta => "delta",
        }
    }
}

/// Which latent vector acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acting {
    /// The encoder's mean.
    Mean,
    /// A draw from the encoder's Gaussian.
    Sampled,
}

/// What makes x of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Normalizer {
    /// `clamp((obs − mean)·inv_std, ±clip)`, with the file's `observation.mean` and `observation.inv_std`.
    MeanStd,
    /// Nothing: x is the observation.
    None,
}

/// Everything about an agent that is not a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Sizes and kinds.
    pub dims: Dims,
    /// What number a weight is.
    pub precision: Precision,
    /// Seconds from one tick to the next, where the file says.
    pub period_s: Option<f64>,
    /// What makes x of an observation.
    pub normalizer: Normalizer,
    /// Whitened observations are clipped to ± this.
    pub obs_clip: f32,
    /// From the controller's output to [-1, 1], of continuous actions.
    pub squash: Squash,
    /// Which z acts.
    pub acting: Acting,
    /// An MLP's log-variance is clamped into this range.
    pub log_var_range: [f32; 2],
    /// What the mixture predicts.
    pub target: Target,
    /// Floor of log sigma.
    pub log_sigma_min: f32,
    /// Added to the reward head's output.
    pub reward_offset: f32,
    /// Nats per dimension that M's surprise seldom exceeds on held-out data, where the file says.
    pub surprise_limit: Option<f32>,
    /// Digest of h, c (an LSTM's) and the MDN head's outputs (where the file has the head) after the self-test vectors, where there
    /// are some.
    pub selftest_digest: Option<u64>,
}

impl Settings {
    /// The usual ones: f32, observations whitened and clipped to ± 10, clamped actions, the mean latent, log-variance in ± 10, a mixture over
    /// the next latent with log sigma at least −5, no offset, no self-test.
    #[must_use]
    pub const fn new(dims: Dims) -> Self {
        Self {
            dims,
            precision: Precision::F32,
            period_s: None,
            normalizer: Normalizer::MeanStd,
            obs_clip: 10.0,
            squash: Squash::Clamp,
            acting: Acting::Mean,
            log_var_range: [-10.0, 10.0],
            target: Target::Next,
            log_sigma_min: -5.0,
            reward_offset: 0.0,
            surprise_limit: None,
            selftest_digest: None,
        }
    }
}

/// One tensor of the packed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// Its dtype, as safetensors spells it.
    pub dtype: &'static str,
    /// Its shape; unused axes are 0.
    pub shape: [usize; 4],
}

/// Where in a checkpoint a layer's weights `[N, K]` and biases `[N]` are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Two tensors of its own.
    Whole {
        /// `[N, K]`.
        weight: &'static str,
        /// `[N]`.
        bias: &'static str,
    },
    /// The first or the second half of the rows of two tensors.
    Half {
        /// `[2N, K]`.
        weight: &'static str,
        /// `[2N]`.
        bias: &'static str,
        /// Which half.
        second: bool,
    },
    /// PyTorch's two matrices of a recurrent layer side by side, `[N, inputs]` and `[N, H]`; their biases add up.
    SideBySide {
        /// Columns of the first.
        inputs: usize,
    },
}

/// One layer of the packed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerSpec {
    /// What its tensors are called.
    pub names: LayerNames,
    /// What its outputs are.
    pub rows: Rows,
    /// `K`: inputs of every output.
    pub inputs: usize,
    /// Where a checkpoint has it.
    pub source: Source,
    /// Whether an agent can do without it.
    pub optional: bool,
    /// Whether its outputs are the action, or what the controller reads: f16 in an i8 file.
    pub near_the_action: bool,
}

impl LayerSpec {
    /// A layer that is needed.
    #[must_use]
    pub const fn new(names: LayerNames, rows: Rows, inputs: usize, source: Source) -> Self {
        Self { names, rows, inputs, source, optional: false, near_the_action: false }
    }

    /// The same, but an agent can do without it.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// The same, but f16 in an i8 file.
    #[must_use]
    pub const fn near_the_action(self) -> Self {
        Self { near_the_action: true, ..self }
    }

    /// How its weights are cut.
    #[must_use]
    pub const fn panels(&self) -> Panels {
        self.rows.panels(self.inputs)
    }

    /// The precision of its weights in a file of `precision`: small layers that lead straight to the action are f16 in an i8 file.
    #[must_use]
    pub fn precision(&self, precision: Precision) -> Precision {
        if precision == Precision::I8 && self.near_the_action { Precision::F16 } else { precision }
    }

    /// Its tensors in a file of `precision`: panels and bias; scale, input and sum too where the weights are integers.
    pub fn tensors(&self, precision: Precision) -> impl Iterator<Item = Spec> + use<> {
        let (precision, panels) = (self.precision(precision), self.panels());
        let outputs = [panels.outputs(), 0, 0, 0];
        let all = [
            Spec { name: self.names.panels, dtype: precision.dtype(), shape: panels.shape(precision) },
            Spec { name: self.names.bias, dtype: "F32", shape: outputs },
            Spec { name: self.names.scale, dtype: "F32", shape: outputs },
            Spec { name: self.names.input, dtype: "F32", shape: [padded(panels.inputs), 0, 0, 0] },
            Spec { name: self.names.sum, dtype: "I32", shape: outputs },
        ];
        all.into_iter().take(if precision == Precision::I8 { 5 } else { 2 })
    }
}

/// Most layers of an agent.
pub const MAX_LAYERS: usize = 12;

/// Layers, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerList {
    specs: [LayerSpec; MAX_LAYERS],
    len: usize,
}

impl LayerList {
    /// No layer.
    pub const NONE: Self = {
        let none = LayerSpec::new(packed::FC, Rows::Dense(0), 0, Source::SideBySide { inputs: 0 });
        Self { specs: [none; MAX_LAYERS], len: 0 }
    };

    /// These and one more.
    ///
    /// # Panics
    /// If there are [`MAX_LAYERS`] already: no kinds' layers add up to more.
    #[must_use]
    pub const fn and(mut self, spec: LayerSpec) -> Self {
        self.specs[self.len] = spec;
        self.len += 1;
        self
    }

    /// These and those of `others`.
    #[must_use]
    pub const fn and_all(mut self, others: Self) -> Self {
        let mut i = 0;
        while i < others.len {
            self = self.and(others.specs[i]);
            i += 1;
        }
        self
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Layer `index`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub const fn at(&self, index: usize) -> LayerSpec {
        assert!(index < self.len, "a layer of the list");
        self.specs[index]
    }

    /// The layers.
    pub fn iter(&self) -> core::slice::Iter<'_, LayerSpec> {
        self.specs[..self.len].iter()
    }
}

impl<'a> IntoIterator for &'a LayerList {
    type Item = &'a LayerSpec;
    type IntoIter = core::slice::Iter<'a, LayerSpec>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The packed file's vectors, self-test left out (its first axis is free).
pub fn vectors(settings: &Settings) -> impl Iterator<Item = Spec> + use<> {
    let vector = |name, n| Spec { name, dtype: "F32", shape: [padded(n), 0, 0, 0] };
    let (obs, action) = (settings.dims.obs_len(), settings.dims.action_len());
    let normalizer = [vector(packed::OBSERVATION_MEAN, obs), vector(packed::OBSERVATION_INV_STD, obs)];
    let range = [vector(packed::ACTION_MID, action), vector(packed::ACTION_HALF, action)];
    let normalizer = normalizer.into_iter().take(if settings.normalizer == Normalizer::MeanStd { 2 } else { 0 });
    let is_continuous = matches!(settings.dims.action, Action::Continuous { .. });
    normalizer.chain(range.into_iter().take(if is_continuous { 2 } else { 0 }))
}

const PRECISIONS: [(&str, Precision); 4] = [
    (Precision::F32.name(), Precision::F32),
    (Precision::F16.name(), Precision::F16),
    (Precision::Bf16.name(), Precision::Bf16),
    (Precision::I8.name(), Precision::I8),
];
const NORMALIZERS: [(&str, Normalizer); 2] = [("mean-std", Normalizer::MeanStd), ("none", Normalizer::None)];
const SQUASHES: [(&str, Squash); 2] = [("clamp", Squash::Clamp), ("tanh", Squash::Tanh)];
const ACTINGS: [(&str, Acting); 2] = [("mean", Acting::Mean), ("sampled", Acting::Sampled)];
const TARGETS: [(&str, Target); 2] = [(Target::Next.name(), Target::Next), (Target::Delta.name(), Target::Delta)];

impl Settings {
    /// Reads them from a packed file's metadata. What belongs to a part that the agent has not is not asked for, and is as
    /// [`Settings::new`] has it.
    ///
    /// # Errors
    /// A key is missing, or its value is not one of those that this version knows.
    pub fn read(file: &File<'_>) -> Result<Self, LoadError> {
        one_of(file, key::FORMAT, key::FORMAT_PACKED, &[(key::FORMAT_PACKED, ())])?;
        let mut all = Self::new(Dims::read(file)?);
        all.precision = one_of(file, key::PRECISION, "f32, f16, bf16 or i8", &PRECISIONS)?;
        if file.metadata(key::CONTROL_PERIOD_S).is_some() {
            let expected = "a positive number";
            all.period_s = Some(parsed(file, key::CONTROL_PERIOD_S, expected, |v: f64| v.is_finite() && v > 0.0)?);
        }
        all.normalizer = one_of(file, key::OBS_NORMALIZER, "mean-std or none", &NORMALIZERS)?;
        if all.normalizer == Normalizer::MeanStd {
            all.obs_clip = parsed(file, key::OBS_CLIP, "a positive number", |v: f32| v.is_finite() && v > 0.0)?;
        }
        if matches!(all.dims.action, Action::Continuous { .. }) {
            all.squash = one_of(file, key::ACTION_SQUASH, "clamp or tanh", &SQUASHES)?;
        }
        if matches!(all.dims.v, Encoder::Mlp { .. }) {
            all.acting = one_of(file, key::ACTION_LATENT, "mean or sampled", &ACTINGS)?;
            let [low, high] = key::LOG_VAR_RANGE;
            all.log_var_range = [number(file, low)?, number(file, high)?];
            if all.log_var_range[0] > all.log_var_range[1] {
                let expected = "at least encoder.log_var_min";
                return Err(LoadError::BadValue { key: high, expected, found: value(file, high)?.into() });
            }
        }
        if all.dims.hidden_len() > 0 {
            all.target = one_of(file, key::GMM_TARGET, "z or delta", &TARGETS)?;
            all.log_sigma_min = number(file, key::GMM_LOG_SIGMA_MIN)?;
            all.reward_offset = number(file, key::REWARD_OFFSET)?;
            if file.metadata(key::SURPRISE_LIMIT).is_some() {
                all.surprise_limit = Some(number(file, key::SURPRISE_LIMIT)?);
            }
        }
        if let Some(found) = file.metadata(key::SELFTEST_DIGEST) {
            let digits = Some(found).filter(|text| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit()));
            let digest = digits.and_then(|text| u64::from_str_radix(text, 16).ok());
            let expected = "16 hexadecimal digits";
            let error = LoadError::BadValue { key: key::SELFTEST_DIGEST, expected, found: found.into() };
            all.selftest_digest = Some(digest.ok_or(error)?);
        }
        Ok(all)
    }

    /// The metadata entries that [`Self::read`] reads back.
    #[cfg(feature = "host")]
    #[must_use]
    pub fn entries(&self) -> std::vec::Vec<(&'static str, std::string::String)> {
        use std::format;
        use std::string::ToString;
        let mut entries = self.dims.entries();
        let mut put = |key, value| entries.push((key, value));
        put(key::FORMAT, key::FORMAT_PACKED.to_string());
        put(key::PRECISION, self.precision.name().to_string());
        if let Some(period_s) = self.period_s {
            put(key::CONTROL_PERIOD_S, period_s.to_string());
        }
        put(key::OBS_NORMALIZER, name_of(&NORMALIZERS, self.normalizer));
        if self.normalizer == Normalizer::MeanStd {
            put(key::OBS_CLIP, self.obs_clip.to_string());
        }
        if matches!(self.dims.action, Action::Continuous { .. }) {
            put(key::ACTION_SQUASH, name_of(&SQUASHES, self.squash));
        }
        if matches!(self.dims.v, Encoder::Mlp { .. }) {
            put(key::ACTION_LATENT, name_of(&ACTINGS, self.acting));
            put(key::LOG_VAR_RANGE[0], self.log_var_range[0].to_string());
            put(key::LOG_VAR_RANGE[1], self.log_var_range[1].to_string());
        }
        if self.dims.hidden_len() > 0 {
            put(key::GMM_TARGET, name_of(&TARGETS, self.target));
            put(key::GMM_LOG_SIGMA_MIN, self.log_sigma_min.to_string());
            put(key::REWARD_OFFSET, self.reward_offset.to_string());
            if let Some(limit) = self.surprise_limit {
                put(key::SURPRISE_LIMIT, limit.to_string());
            }
        }
        if let Some(digest) = self.selftest_digest {
            put(key::SELFTEST_DIGEST, format!("{digest:016x}"));
        }
        entries
    }
}

/// What a choice is called: the inverse of [`one_of`].
#[cfg(feature = "host")]
fn name_of<T: PartialEq>(choices: &[(&'static str, T)], choice: T) -> std::string::String {
    choices.iter().find(|(_, known)| *known == choice).map_or("", |(name, _)| name).into()
}

/// Widths as [`widths`] reads them.
#[cfg(feature = "host")]
pub(crate) fn comma_separated(widths: &[usize]) -> std::string::String {
    use std::string::ToString;
    widths.iter().map(ToString::to_string).collect::<std::vec::Vec<_>>().join(",")
}

fn value<'a>(file: &File<'a>, key: &'static str) -> Result<&'a str, LoadError> {
    file.metadata(key).ok_or(LoadError::MissingKey { key })
}

pub(crate) fn one_of<T: Copy>(
    file: &File<'_>,
    key: &'static str,
    expected: &'static str,
    choices: &[(&str, T)],
) -> Result<T, LoadError> {
    let found = value(file, key)?;
    let choice = choices.iter().find(|(name, _)| *name == found);
    choice.map(|&(_, choice)| choice).ok_or(LoadError::BadValue { key, expected, found: found.into() })
}

/// A size: 1 to [`MAX_DIM`].
fn size(text: &str) -> Option<usize> {
    text.parse().ok().filter(|size| (1..=MAX_DIM).contains(size))
}

pub(crate) fn dim(file: &File<'_>, key: &'static str) -> Result<usize, LoadError> {
    let found = value(file, key)?;
    size(found).ok_or(LoadError::BadValue { key, expected: "an integer from 1 to 65536", found: found.into() })
}

/// One to `N` sizes, separated by commas.
pub(crate) fn widths<const N: usize>(
    file: &File<'_>,
    key: &'static str,
    expected: &'static str,
) -> Result<Widths<N>, LoadError> {
    let found = value(file, key)?;
    let (mut sizes, mut len) = ([0; N], 0);
    for text in found.split(',') {
        match (sizes.get_mut(len), size(text)) {
            (Some(slot), Some(size)) => *slot = size,
            _ => return Err(LoadError::BadValue { key, expected, found: found.into() }),
        }
        len += 1;
    }
    let widths = sizes.get(..len).and_then(Widths::new);
    widths.ok_or(LoadError::BadValue { key, expected, found: found.into() })
}

fn number(file: &File<'_>, key: &'static str) -> Result<f32, LoadError> {
    parsed(file, key, "a finite number", f32::is_finite)
}

fn parsed<T: Copy + core::str::FromStr>(
    file: &File<'_>,
    key: &'static str,
    expected: &'static str,
    rule: impl Fn(T) -> bool,
) -> Result<T, LoadError> {
    let found = value(file, key)?;
    let parsed = found.parse().ok().filter(|&value| rule(value));
    parsed.ok_or(LoadError::BadValue { key, expected, found: found.into() })
}
