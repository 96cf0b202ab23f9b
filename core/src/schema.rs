//! The tensors and settings that make an agent: what the packer writes and the loader demands, stated once.
//!
//! The layers come from the parts ([`Dims::layers`]); each describes itself ([`LayerSpec`]): its names, its rows and inputs, where in a
//! checkpoint it comes from. Packing, unpacking, loading and the sizes of working memory follow from that.

use crate::action::Action;
use crate::dims::Dims;
use crate::error::LoadError;
use crate::metadata::{number, one_of, parsed, value};
use crate::names::{metadata as key, packed};
use crate::obs::Observation;
use crate::obs::image::TABLES;
use crate::precision::Precision;
use crate::reader::File;
use crate::sizes::padded;
use crate::v::{Decoder, Encoder};

pub use crate::layers::{LayerList, LayerSpec, MAX_LAYERS, Source, Spec};

/// How the controller's linear output becomes an action in [-1, 1].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Squash {
    /// `min(max(u, -1), 1)`.
    Clamp,
    /// Hyperbolic tangent.
    Tanh,
}

impl Squash {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Clamp, Self::Tanh];

    /// Its name in metadata and configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clamp => "clamp",
            Self::Tanh => "tanh",
        }
    }
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
    /// Of a picture: `value · scale`.
    Scale,
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
    /// What a picture's values are multiplied by.
    pub obs_scale: f32,
    /// From the controller's output to [-1, 1], of continuous actions.
    pub squash: Squash,
    /// Which z acts.
    pub acting: Acting,
    /// The encoder's log-variance is clamped into this range.
    pub log_var_range: [f32; 2],
    /// What makes a picture of a latent, where the file holds it: a convolutional V's.
    pub decoder: Option<Decoder>,
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
    /// The usual ones: f32, observations whitened and clipped to ± 10 (pictures in 0 to 1), clamped actions, the mean latent, log-variance in ± 10, a mixture over
    /// the next latent with log sigma at least −5, no offset, no self-test.
    #[must_use]
    pub const fn new(dims: Dims) -> Self {
        Self {
            dims,
            precision: Precision::F32,
            period_s: None,
            normalizer: match dims.obs {
                Observation::Vector { .. } => Normalizer::MeanStd,
                Observation::Image(_) => Normalizer::Scale,
            },
            obs_clip: 10.0,
            obs_scale: 1.0 / 255.0,
            squash: Squash::Clamp,
            acting: Acting::Mean,
            log_var_range: [-10.0, 10.0],
            decoder: None,
            target: Target::Next,
            log_sigma_min: -5.0,
            reward_offset: 0.0,
            surprise_limit: None,
            selftest_digest: None,
        }
    }
}

/// The packed file's vectors and a picture's tables, self-test left out (its first axis is free).
pub fn vectors(settings: &Settings) -> impl Iterator<Item = Spec> + use<> {
    let vector = |name, n| Spec { name, dtype: "F32", shape: [padded(n), 0, 0, 0] };
    let (obs, action) = (settings.dims.obs_len(), settings.dims.action_len());
    let normalizer = [vector(packed::OBSERVATION_MEAN, obs), vector(packed::OBSERVATION_INV_STD, obs)];
    let range = [vector(packed::ACTION_MID, action), vector(packed::ACTION_HALF, action)];
    let normalizer = normalizer.into_iter().take(if settings.normalizer == Normalizer::MeanStd { 2 } else { 0 });
    let is_continuous = matches!(settings.dims.action, Action::Continuous { .. });
    let tables = settings.dims.obs.image().map_or([None; 2], |image| image.tables());
    let tables = TABLES.into_iter().zip(tables).filter_map(|(name, shape)| {
        let [outputs, entries] = shape?;
        Some(Spec { name, dtype: "I32", shape: [outputs, entries, 0, 0] })
    });
    normalizer.chain(range.into_iter().take(if is_continuous { 2 } else { 0 })).chain(tables)
}

const PRECISIONS: [(&str, Precision); 4] = [
    (Precision::F32.name(), Precision::F32),
    (Precision::F16.name(), Precision::F16),
    (Precision::Bf16.name(), Precision::Bf16),
    (Precision::I8.name(), Precision::I8),
];
const NORMALIZERS: [(&str, Normalizer); 3] =
    [("mean-std", Normalizer::MeanStd), ("none", Normalizer::None), ("scale", Normalizer::Scale)];
const SQUASHES: [(&str, Squash); 2] = [(Squash::Clamp.name(), Squash::Clamp), (Squash::Tanh.name(), Squash::Tanh)];
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
        all.normalizer = one_of(file, key::OBS_NORMALIZER, "mean-std or none, of a picture scale", &NORMALIZERS)?;
        if (all.normalizer == Normalizer::Scale) != all.dims.obs.image().is_some() {
            let expected = "scale of a picture, mean-std or none of a vector";
            return Err(LoadError::BadParts { what: key::OBS_NORMALIZER, expected });
        }
        if all.normalizer == Normalizer::Scale {
            all.obs_scale = parsed(file, key::OBS_SCALE, "a positive number", |v: f32| v.is_finite() && v > 0.0)?;
        }
        if all.normalizer == Normalizer::MeanStd {
            all.obs_clip = parsed(file, key::OBS_CLIP, "a positive number", |v: f32| v.is_finite() && v > 0.0)?;
        }
        if matches!(all.dims.action, Action::Continuous { .. }) {
            all.squash = one_of(file, key::ACTION_SQUASH, "clamp or tanh", &SQUASHES)?;
        }
        if all.dims.v.has_gaussian() {
            all.acting = one_of(file, key::ACTION_LATENT, "mean or sampled", &ACTINGS)?;
            let [low, high] = key::LOG_VAR_RANGE;
            all.log_var_range = [number(file, low)?, number(file, high)?];
            if all.log_var_range[0] > all.log_var_range[1] {
                let expected = "at least encoder.log_var_min";
                return Err(LoadError::BadValue { key: high, expected, found: value(file, high)?.into() });
            }
        }
        if let (Encoder::Conv { .. }, Observation::Image(image)) = (all.dims.v, &all.dims.obs) {
            all.decoder = Decoder::read(file)?;
            if let Some(decoder) = &all.decoder {
                decoder.check(image.prepared())?;
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

    /// The decoder's layers; none where the file holds none.
    #[must_use]
    pub fn decoder_layers(&self) -> LayerList {
        self.decoder.map_or(LayerList::NONE, |decoder| decoder.layers(self.dims.latent_len()))
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
        if self.normalizer == Normalizer::Scale {
            put(key::OBS_SCALE, self.obs_scale.to_string());
        }
        if matches!(self.dims.action, Action::Continuous { .. }) {
            put(key::ACTION_SQUASH, name_of(&SQUASHES, self.squash));
        }
        if self.dims.v.has_gaussian() {
            put(key::ACTION_LATENT, name_of(&ACTINGS, self.acting));
            put(key::LOG_VAR_RANGE[0], self.log_var_range[0].to_string());
            put(key::LOG_VAR_RANGE[1], self.log_var_range[1].to_string());
        }
        if let Some(decoder) = self.decoder {
            put(key::V_DECODER, decoder.to_string());
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
