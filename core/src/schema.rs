//! Which tensors and settings make an agent? What the packer writes and the runtime's loader demands, stated once.

use crate::dims::{Dims, MAX_DIM, padded};
use crate::error::LoadError;
use crate::layout::Panels;
use crate::names::{metadata as key, packed};
use crate::reader::File;

/// Most outputs of the MDN head: what an agent's memory is sized by, even where a file leaves the head out.
const MAX_MDN_OUTPUTS: u64 = 1 << 20;

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

/// Everything about an agent that is not a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Sizes.
    pub dims: Dims,
    /// Whitened observations are clipped to ± this.
    pub obs_clip: f32,
    /// From the controller's output to [-1, 1].
    pub squash: Squash,
    /// What the mixture predicts.
    pub target: Target,
    /// Floor of log sigma.
    pub log_sigma_min: f32,
    /// Added to the reward head's output.
    pub reward_offset: f32,
    /// Digest of h, c and the MDN head's outputs (where the file has the head) after the self-test vectors, where there are some.
    pub selftest_digest: Option<u64>,
}

/// One tensor of the packed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// Its shape; unused axes are 0.
    pub shape: [usize; 3],
    /// Whether an agent can do without it.
    pub optional: bool,
}

/// The packed file's tensors, self-test vectors left out (their first axis is free).
#[must_use]
pub fn tensors(dims: &Dims) -> [Spec; 11] {
    let [e1, e2] = dims.encoder;
    let vector = |name, n| Spec { name, shape: [padded(n), 0, 0], optional: false };
    let panels = |name, panels: Panels| Spec { name, shape: panels.shape(), optional: false };
    let optional = |spec: Spec| Spec { optional: true, ..spec };
    [
        vector(packed::OBSERVATION_MEAN, dims.obs),
        vector(packed::OBSERVATION_INV_STD, dims.obs),
        panels(packed::ENCODER_0, Panels::dense(e1, dims.obs)),
        panels(packed::ENCODER_2, Panels::dense(e2, e1)),
        panels(packed::ENCODER_MEAN, Panels::dense(dims.latent, e2)),
        optional(panels(packed::ENCODER_LOG_VAR, Panels::dense(dims.latent, e2))),
        panels(packed::FC, Panels::dense(dims.action, dims.latent + dims.hidden)),
        vector(packed::ACTION_MID, dims.action),
        vector(packed::ACTION_HALF, dims.action),
        panels(packed::RNN, Panels::lstm(dims.hidden, dims.action + dims.latent + dims.hidden)),
        optional(panels(packed::GMM, Panels::dense(dims.mdn_outputs(), dims.hidden))),
    ]
}

impl Settings {
    /// Reads them from a file's metadata.
    ///
    /// # Errors
    /// A key is missing, or its value is not one of those that this version knows.
    pub fn read<'a>(file: &File<'a>) -> Result<Self, LoadError<'a>> {
        one_of(file, key::FORMAT, key::FORMAT_PACKED, &[(key::FORMAT_PACKED, ())])?;
        one_of(file, key::PRECISION, "f32", &[("f32", ())])?;
        one_of(file, key::ACTION_LATENT, "mean", &[("mean", ())])?;
        one_of(file, key::RNN_INPUT, "action,z", &[("action,z", ())])?;
        one_of(file, key::GMM_MIXTURE, "joint", &[("joint", ())])?;
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
            encoder: [dim(file, key::DIM_ENCODER[0])?, dim(file, key::DIM_ENCODER[1])?],
        };
        // In 64 bits: the product of two dims may not fit a small machine's usize.
        if (2 * dims.latent as u64 + 1) * dims.mixtures as u64 + 2 > MAX_MDN_OUTPUTS {
            let found = value(file, key::DIM_MIXTURES)?;
            let expected = "at most 1048576 outputs of the MDN head, (2Z+1)K+2";
            return Err(LoadError::BadValue { key: key::DIM_MIXTURES, expected, found });
        }
        Ok(Self {
            dims,
            obs_clip: number(file, key::OBS_CLIP, "a positive number", |v| v > 0.0)?,
            squash: one_of(file, key::ACTION_SQUASH, "clamp or tanh", &[("clamp", Squash::Clamp), ("tanh", Squash::Tanh)])?,
            target: one_of(file, key::GMM_TARGET, "z or delta", &[("z", Target::Next), ("delta", Target::Delta)])?,
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
        let squash = match self.squash {
            Squash::Clamp => "clamp",
            Squash::Tanh => "tanh",
        };
        let target = match self.target {
            Target::Next => "z",
            Target::Delta => "delta",
        };
        let mut entries = std::vec![
            (key::FORMAT, key::FORMAT_PACKED.to_string()),
            (key::PRECISION, "f32".to_string()),
            (key::ACTION_LATENT, "mean".to_string()),
            (key::RNN_INPUT, "action,z".to_string()),
            (key::GMM_MIXTURE, "joint".to_string()),
            (key::GMM_SIGMA, "exp".to_string()),
            (key::DIM_OBS, dims.obs.to_string()),
            (key::DIM_ACTION, dims.action.to_string()),
            (key::DIM_LATENT, dims.latent.to_string()),
            (key::DIM_HIDDEN, dims.hidden.to_string()),
            (key::DIM_MIXTURES, dims.mixtures.to_string()),
            (key::DIM_ENCODER[0], dims.encoder[0].to_string()),
            (key::DIM_ENCODER[1], dims.encoder[1].to_string()),
            (key::OBS_CLIP, self.obs_clip.to_string()),
            (key::ACTION_SQUASH, squash.to_string()),
            (key::GMM_TARGET, target.to_string()),
            (key::GMM_LOG_SIGMA_MIN, self.log_sigma_min.to_string()),
            (key::REWARD_OFFSET, self.reward_offset.to_string()),
        ];
        entries.extend(self.selftest_digest.map(|digest| (key::SELFTEST_DIGEST, format!("{digest:016x}"))));
        entries
    }
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
