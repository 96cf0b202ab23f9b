//! Which tensors and settings make an agent? What the packer writes and the runtime's loader demands, stated once.

use crate::dims::{ControllerInput, Dims, MAX_DIM, MemoryCell, Mixture, padded};
use crate::error::LoadError;
use crate::layout::Panels;
use crate::names::packed::LayerNames;
use crate::names::{metadata as key, packed};
use crate::precision::Precision;
use crate::reader::File;

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

/// Everything about an agent that is not a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Sizes.
    pub dims: Dims,
    /// What number a weight is.
    pub precision: Precision,
    /// Whitened observations are clipped to ± this.
    pub obs_clip: f32,
    /// From the controller's output to [-1, 1].
    pub squash: Squash,
    /// Which z acts.
    pub acting: Acting,
    /// The encoder's log-variance is clamped into this range.
    pub log_var_range: [f32; 2],
    /// What the mixture predicts.
    pub target: Target,
    /// Floor of log sigma.
    pub log_sigma_min: f32,
    /// Added to the reward head's output.
    pub reward_offset: f32,
    /// Digest of h, c (an LSTM's) and the MDN head's outputs (where the file has the head) after the self-test vectors, where there
    /// are some.
    pub selftest_digest: Option<u64>,
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

/// One layer of the packed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSpec {
    /// What its tensors are called.
    pub names: LayerNames,
    /// How its weights are cut.
    pub panels: Panels,
    /// Whether an agent can do without it.
    pub optional: bool,
}

impl LayerSpec {
    /// The precision of its weights in a file of `precision`: small layers that lead straight to the action are f16 in an i8 file.
    #[must_use]
    pub fn precision(&self, precision: Precision) -> Precision {
        let near_the_action = [packed::ENCODER_MEAN, packed::ENCODER_LOG_VAR, packed::FC].contains(&self.names);
        if precision == Precision::I8 && near_the_action { Precision::F16 } else { precision }
    }

    /// Its tensors in a file of `precision`: panels and bias; scale, input and sum too where the weights are integers.
    pub fn tensors(&self, precision: Precision) -> impl Iterator<Item = Spec> + use<> {
        let precision = self.precision(precision);
        let outputs = [self.panels.outputs(), 0, 0, 0];
        let all = [
            Spec { name: self.names.panels, dtype: precision.dtype(), shape: self.panels.shape(precision) },
            Spec { name: self.names.bias, dtype: "F32", shape: outputs },
            Spec { name: self.names.scale, dtype: "F32", shape: outputs },
            Spec { name: self.names.input, dtype: "F32", shape: [padded(self.panels.inputs), 0, 0, 0] },
            Spec { name: self.names.sum, dtype: "I32", shape: outputs },
        ];
        all.into_iter().take(if precision == Precision::I8 { 5 } else { 2 })
    }
}

/// The packed file's vectors, self-test left out (its first axis is free).
#[must_use]
pub fn vectors(dims: &Dims) -> [Spec; 4] {
    let vector = |name, n| Spec { name, dtype: "F32", shape: [padded(n), 0, 0, 0] };
    [
        vector(packed::OBSERVATION_MEAN, dims.obs),
        vector(packed::OBSERVATION_INV_STD, dims.obs),
        vector(packed::ACTION_MID, dims.action),
        vector(packed::ACTION_HALF, dims.action),
    ]
}

/// A memory's layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rnn<L> {
    /// All four gates, over `[a, z, h]`.
    Lstm(L),
    /// The three gates, over the inputs and over h.
    Gru {
        /// `[a, z]` → r, z, n.
        input: L,
        /// h → r, z, n.
        hidden: L,
    },
}

impl<L> Rnn<L> {
    /// The same of what `each` makes of its layers.
    ///
    /// # Errors
    /// That of `each`.
    pub fn try_map<M, E>(self, mut each: impl FnMut(L) -> Result<M, E>) -> Result<Rnn<M>, E> {
        Ok(match self {
            Self::Lstm(gates) => Rnn::Lstm(each(gates)?),
            Self::Gru { input, hidden } => Rnn::Gru { input: each(input)?, hidden: each(hidden)? },
        })
    }
}

impl<L> IntoIterator for Rnn<L> {
    type Item = L;
    type IntoIter = core::iter::Flatten<core::array::IntoIter<Option<L>, 2>>;

    /// Its layers, in the order in which a tick reads them.
    fn into_iter(self) -> Self::IntoIter {
        let layers = match self {
            Self::Lstm(gates) => [Some(gates), None],
            Self::Gru { input, hidden } => [Some(input), Some(hidden)],
        };
        layers.into_iter().flatten()
    }
}

/// The packed file's layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// The encoder's first layer, O → E1.
    pub encoder_0: LayerSpec,
    /// The encoder's second layer, E1 → E2.
    pub encoder_2: LayerSpec,
    /// The encoder's mean, E2 → Z.
    pub encoder_mean: LayerSpec,
    /// The encoder's log-variance, E2 → Z; optional.
    pub encoder_log_var: LayerSpec,
    /// The controller, `[z, h]` (or another [`ControllerInput`]) → A.
    pub controller: LayerSpec,
    /// The memory.
    pub rnn: Rnn<LayerSpec>,
    /// The MDN head; optional.
    pub gmm: LayerSpec,
}

impl Layers {
    /// In the order in which a tick reads them, which is the file's.
    pub fn iter(&self) -> impl Iterator<Item = LayerSpec> + use<> {
        [self.encoder_0, self.encoder_2, self.encoder_mean, self.encoder_log_var, self.controller]
            .into_iter()
            .chain(self.rnn)
            .chain([self.gmm])
    }
}

/// The packed file's layers.
#[must_use]
pub fn layers(dims: &Dims) -> Layers {
    let [e1, e2] = dims.encoder;
    let needed = |names, panels| LayerSpec { names, panels, optional: false };
    let optional = |names, panels| LayerSpec { names, panels, optional: true };
    Layers {
        encoder_0: needed(packed::ENCODER_0, Panels::dense(e1, dims.obs)),
        encoder_2: needed(packed::ENCODER_2, Panels::dense(e2, e1)),
        encoder_mean: needed(packed::ENCODER_MEAN, Panels::dense(dims.latent, e2)),
        encoder_log_var: optional(packed::ENCODER_LOG_VAR, Panels::dense(dims.latent, e2)),
        controller: needed(packed::FC, Panels::dense(dims.action, dims.controller_inputs())),
        rnn: match dims.cell {
            MemoryCell::Lstm => Rnn::Lstm(needed(packed::RNN, Panels::lstm(dims.hidden, dims.rnn_inputs()))),
            MemoryCell::Gru => Rnn::Gru {
                input: needed(packed::RNN_IH, Panels::gru(dims.hidden, dims.action + dims.latent)),
                hidden: needed(packed::RNN_HH, Panels::gru(dims.hidden, dims.hidden)),
            },
        },
        gmm: optional(packed::GMM, Panels::dense(dims.mdn_outputs(), dims.hidden)),
    }
}

const PRECISIONS: [(&str, Precision); 4] = [
    (Precision::F32.name(), Precision::F32),
    (Precision::F16.name(), Precision::F16),
    (Precision::Bf16.name(), Precision::Bf16),
    (Precision::I8.name(), Precision::I8),
];
const SQUASHES: [(&str, Squash); 2] = [("clamp", Squash::Clamp), ("tanh", Squash::Tanh)];
const ACTINGS: [(&str, Acting); 2] = [("mean", Acting::Mean), ("sampled", Acting::Sampled)];
const TARGETS: [(&str, Target); 2] = [(Target::Next.name(), Target::Next), (Target::Delta.name(), Target::Delta)];
const CELLS: [(&str, MemoryCell); 2] =
    [(MemoryCell::Lstm.name(), MemoryCell::Lstm), (MemoryCell::Gru.name(), MemoryCell::Gru)];
const INPUTS: [(&str, ControllerInput); 5] = [
    (ControllerInput::LatentHidden.name(), ControllerInput::LatentHidden),
    (ControllerInput::Latent.name(), ControllerInput::Latent),
    (ControllerInput::Hidden.name(), ControllerInput::Hidden),
    (ControllerInput::Observation.name(), ControllerInput::Observation),
    (ControllerInput::ObservationHidden.name(), ControllerInput::ObservationHidden),
];
const MIXTURES: [(&str, Mixture); 2] =
    [(Mixture::Joint.name(), Mixture::Joint), (Mixture::PerDimension.name(), Mixture::PerDimension)];

impl Settings {
    /// Reads them from a file's metadata.
    ///
    /// # Errors
    /// A key is missing, or its value is not one of those that this version knows.
    pub fn read<'a>(file: &File<'a>) -> Result<Self, LoadError<'a>> {
        one_of(file, key::FORMAT, key::FORMAT_PACKED, &[(key::FORMAT_PACKED, ())])?;
        one_of(file, key::RNN_INPUT, "action,z", &[("action,z", ())])?;
        one_of(file, key::GMM_SIGMA, "exp", &[("exp", ())])?;
        let digest = file.metadata(key::SELFTEST_DIGEST).map(|found| {
            let digits = Some(found).filter(|text| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit()));
            digits.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or(LoadError::BadValue {
                key: key::SELFTEST_DIGEST,
                expected: "16 hexadecimal digits",
                found,
            })
        });
        let dims = Dims {
            obs: dim(file, key::DIM_OBS)?,
            action: dim(file, key::DIM_ACTION)?,
            latent: dim(file, key::DIM_LATENT)?,
            hidden: dim(file, key::DIM_HIDDEN)?,
            mixtures: dim(file, key::DIM_MIXTURES)?,
            mixture: one_of(file, key::GMM_MIXTURE, "joint or per-dimension", &MIXTURES)?,
            encoder: [dim(file, key::DIM_ENCODER[0])?, dim(file, key::DIM_ENCODER[1])?],
            cell: match file.metadata(key::RNN_CELL) {
                None => MemoryCell::Lstm,
                Some(_) => one_of(file, key::RNN_CELL, "lstm or gru", &CELLS)?,
            },
            input: match file.metadata(key::CONTROLLER_INPUT) {
                None => ControllerInput::LatentHidden,
                Some(_) => one_of(file, key::CONTROLLER_INPUT, "z+h, z, h, obs or obs+h", &INPUTS)?,
            },
        };
        if !dims.mdn_outputs_fit() {
            let found = value(file, key::DIM_MIXTURES)?;
            let expected = "at most 1048576 outputs of the MDN head";
            return Err(LoadError::BadValue { key: key::DIM_MIXTURES, expected, found });
        }
        let [low, high] = key::LOG_VAR_RANGE;
        let log_var_range =
            [number(file, low, "a finite number", |_| true)?, number(file, high, "a finite number", |_| true)?];
        if log_var_range[0] > log_var_range[1] {
            let expected = "at least encoder.log_var_min";
            return Err(LoadError::BadValue { key: high, expected, found: value(file, high)? });
        }
        Ok(Self {
            dims,
            obs_clip: number(file, key::OBS_CLIP, "a positive number", |v| v > 0.0)?,
            precision: one_of(file, key::PRECISION, "f32, f16, bf16 or i8", &PRECISIONS)?,
            squash: one_of(file, key::ACTION_SQUASH, "clamp or tanh", &SQUASHES)?,
            acting: one_of(file, key::ACTION_LATENT, "mean or sampled", &ACTINGS)?,
            log_var_range,
            target: one_of(file, key::GMM_TARGET, "z or delta", &TARGETS)?,
            log_sigma_min: number(file, key::GMM_LOG_SIGMA_MIN, "a finite number", |_| true)?,
            reward_offset: number(file, key::REWARD_OFFSET, "a finite number", |_| true)?,
            selftest_digest: digest.transpose()?,
        })
    }

    /// The metadata entries that [`Self::read`] reads back.
    #[cfg(feature = "host")]
    #[must_use]
    pub fn entries(&self) -> std::vec::Vec<(&'static str, std::string::String)> {
        use std::format;
        use std::string::ToString;
        let dims = &self.dims;
        let mut entries = std::vec![
            (key::FORMAT, key::FORMAT_PACKED.to_string()),
            (key::PRECISION, self.precision.name().to_string()),
            (key::ACTION_LATENT, name_of(&ACTINGS, self.acting)),
            (key::RNN_INPUT, "action,z".to_string()),
            (key::GMM_MIXTURE, name_of(&MIXTURES, dims.mixture)),
            (key::GMM_SIGMA, "exp".to_string()),
            (key::DIM_OBS, dims.obs.to_string()),
            (key::DIM_ACTION, dims.action.to_string()),
            (key::DIM_LATENT, dims.latent.to_string()),
            (key::DIM_HIDDEN, dims.hidden.to_string()),
            (key::DIM_MIXTURES, dims.mixtures.to_string()),
            (key::DIM_ENCODER[0], dims.encoder[0].to_string()),
            (key::DIM_ENCODER[1], dims.encoder[1].to_string()),
            (key::OBS_CLIP, self.obs_clip.to_string()),
            (key::ACTION_SQUASH, name_of(&SQUASHES, self.squash)),
            (key::GMM_TARGET, name_of(&TARGETS, self.target)),
            (key::LOG_VAR_RANGE[0], self.log_var_range[0].to_string()),
            (key::LOG_VAR_RANGE[1], self.log_var_range[1].to_string()),
            (key::GMM_LOG_SIGMA_MIN, self.log_sigma_min.to_string()),
            (key::REWARD_OFFSET, self.reward_offset.to_string()),
        ];
        // See the keys.
        entries.extend(Some((key::RNN_CELL, dims.cell.name().to_string())).filter(|_| dims.cell != MemoryCell::Lstm));
        let input = (key::CONTROLLER_INPUT, dims.input.name().to_string());
        entries.extend(Some(input).filter(|_| dims.input != ControllerInput::LatentHidden));
        entries.extend(self.selftest_digest.map(|digest| (key::SELFTEST_DIGEST, format!("{digest:016x}"))));
        entries
    }
}

/// What a choice is called: the inverse of [`one_of`].
#[cfg(feature = "host")]
fn name_of<T: PartialEq>(choices: &[(&'static str, T)], choice: T) -> std::string::String {
    choices.iter().find(|(_, known)| *known == choice).map_or("", |(name, _)| name).into()
}

fn value<'a>(file: &File<'a>, key: &'static str) -> Result<&'a str, LoadError<'a>> {
    file.metadata(key).ok_or(LoadError::MissingKey { key })
}

fn one_of<'a, T: Copy>(
    file: &File<'a>,
    key: &'static str,
    expected: &'static str,
    choices: &[(&str, T)],
) -> Result<T, LoadError<'a>> {
    let found = value(file, key)?;
    let choice = choices.iter().find(|(name, _)| *name == found);
    choice.map(|&(_, choice)| choice).ok_or(LoadError::BadValue { key, expected, found })
}

fn dim<'a>(file: &File<'a>, key: &'static str) -> Result<usize, LoadError<'a>> {
    let found = value(file, key)?;
    let parsed = found.parse().ok().filter(|dim| (1..=MAX_DIM).contains(dim));
    parsed.ok_or(LoadError::BadValue { key, expected: "an integer from 1 to 65536", found })
}

fn number<'a>(
    file: &File<'a>,
    key: &'static str,
    expected: &'static str,
    rule: fn(f32) -> bool,
) -> Result<f32, LoadError<'a>> {
    let found = value(file, key)?;
    let parsed = found.parse::<f32>().ok().filter(|&v| v.is_finite() && rule(v));
    parsed.ok_or(LoadError::BadValue { key, expected, found })
}
