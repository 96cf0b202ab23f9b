//! Is this file an agent, and where are its weights? [`Model`] borrows the file's bytes (flash, mmap, `include_bytes!`) and copies
//! nothing. Everything is checked here, once, so that a step cannot fail on the model.

use crate::agent::Agent;
use crate::kernels::{Backend, Isa};
use core::fmt;
use dreamstep_core::dims::Dims;
use dreamstep_core::error::LoadError;
use dreamstep_core::layout::Panels;
use dreamstep_core::names::packed;
use dreamstep_core::reader::{File, Tensor};
use dreamstep_core::schema::{self, Settings};

/// A layer's weights, in panels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer<'f> {
    weights: &'f [f32],
    shape: Panels,
}

impl<'f> Layer<'f> {
    /// `K`: inputs of every output.
    #[inline(always)]
    pub(crate) fn inputs(&self) -> usize {
        self.shape.inputs
    }

    /// `W`: outputs in a panel.
    #[inline(always)]
    pub(crate) fn width(&self) -> usize {
        self.shape.width
    }

    /// Panel after panel, each `[K+1, W]`.
    #[inline(always)]
    pub(crate) fn panels(&self) -> impl Iterator<Item = &'f [f32]> + use<'f> {
        let mut rest = self.weights;
        let size = (self.shape.inputs + 1) * self.shape.width;
        core::iter::from_fn(move || {
            let (panel, after) = rest.split_at_checked(size)?;
            rest = after;
            Some(panel)
        })
    }
}

/// An agent's constant part: what [`Agent`] needs beside its state.
#[derive(Clone, Copy, Debug)]
pub struct Model<'f> {
    pub(crate) settings: Settings,
    pub(crate) isa: Isa,
    pub(crate) observation_mean: &'f [f32],
    pub(crate) observation_inv_std: &'f [f32],
    pub(crate) encoder_0: Layer<'f>,
    pub(crate) encoder_2: Layer<'f>,
    pub(crate) encoder_mean: Layer<'f>,
    pub(crate) controller: Layer<'f>,
    pub(crate) action_mid: &'f [f32],
    pub(crate) action_half: &'f [f32],
    pub(crate) rnn: Layer<'f>,
    pub(crate) gmm: Option<Layer<'f>>,
    selftest: Option<SelfTestVectors<'f>>,
}

#[derive(Clone, Copy, Debug)]
struct SelfTestVectors<'f> {
    observations: &'f [f32],
    actions: &'f [f32],
    digest: u64,
}

/// Why a self-test failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SelfTestError {
    /// The file holds no vectors.
    Absent,
    /// The memory is too small, see [`crate::memory_len`].
    Memory {
        /// Values needed.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// A recorded observation is not finite.
    Observation {
        /// Step, from 0.
        step: usize,
    },
    /// An action differs in at least one bit.
    Action {
        /// Step, from 0.
        step: usize,
        /// Component.
        index: usize,
        /// The file's value.
        expected: f32,
        /// This runtime's.
        found: f32,
    },
    /// The state after the last step, or what the MDN head makes of it, differs.
    Digest {
        /// The file's.
        expected: u64,
        /// This runtime's.
        found: u64,
    },
}

impl<'f> Model<'f> {
    /// Reads a packed agent, to run on the widest back end of this processor.
    ///
    /// `bytes` must begin on a 4-byte boundary; on a 64-byte boundary (which keeps every panel row in whole cache lines) it runs best.
    ///
    /// # Errors
    /// The first thing found wrong, see [`LoadError`].
    pub fn load(bytes: &'f [u8]) -> Result<Self, LoadError<'f>> {
        Self::load_with(bytes, Backend::detect())
    }

    /// Like [`Self::load`], on a given back end. The results are the same bits.
    ///
    /// # Errors
    /// Also where the processor does not run the back end.
    pub fn load_with(bytes: &'f [u8], backend: Backend) -> Result<Self, LoadError<'f>> {
        let isa = Isa::new(backend).ok_or(LoadError::Backend { name: backend.name() })?;
        let file = File::parse(bytes)?;
        let settings = Settings::read(&file)?;
        let dims = &settings.dims;
        let specs = schema::tensors(dims);
        let known = |name: &str| {
            name == packed::SELFTEST_OBSERVATIONS
                || name == packed::SELFTEST_ACTIONS
                || specs.iter().any(|spec| spec.name == name)
        };
        if let Some(tensor) = file.tensors().find(|tensor| !known(tensor.name)) {
            return Err(LoadError::UnknownTensor { name: tensor.name });
        }
        for spec in &specs {
            match file.tensor(spec.name) {
                Some(tensor) => {
                    check(&tensor, spec.name, spec.shape)?;
                    finite(floats(&tensor, spec.name)?, spec.name)?;
                }
                None if spec.optional => {}
                None => return Err(LoadError::MissingTensor { name: spec.name }),
            }
        }
        let values =
            |name| file.tensor(name).ok_or(LoadError::MissingTensor { name }).and_then(|tensor| floats(&tensor, name));
        let layer = |name, shape| values(name).map(|weights| Layer { weights, shape });
        let [e1, e2] = dims.encoder;
        let inputs = dims.action + dims.latent + dims.hidden;
        let gmm = file.tensor(packed::GMM).map(|_| layer(packed::GMM, Panels::dense(dims.mdn_outputs(), dims.hidden)));
        Ok(Self {
            settings,
            isa,
            observation_mean: values(packed::OBSERVATION_MEAN)?,
            observation_inv_std: values(packed::OBSERVATION_INV_STD)?,
            encoder_0: layer(packed::ENCODER_0, Panels::dense(e1, dims.obs))?,
            encoder_2: layer(packed::ENCODER_2, Panels::dense(e2, e1))?,
            encoder_mean: layer(packed::ENCODER_MEAN, Panels::dense(dims.latent, e2))?,
            controller: layer(packed::FC, Panels::dense(dims.action, dims.latent + dims.hidden))?,
            action_mid: values(packed::ACTION_MID)?,
            action_half: values(packed::ACTION_HALF)?,
            rnn: layer(packed::RNN, Panels::lstm(dims.hidden, inputs))?,
            gmm: gmm.transpose()?,
            selftest: selftest(&file, &settings)?,
        })
    }

    /// The same agent with another linear controller, whose weights are panels of `[z, h]` → A (see
    /// [`dreamstep_core::layout`]). Evolution tries candidates this way. The self-test vectors, which no longer hold, are left out.
    ///
    /// # Errors
    /// The panels have another length, or hold a non-finite value.
    pub fn with_controller<'g>(&self, panels: &'g [f32]) -> Result<Model<'g>, LoadError<'g>>
    where
        'f: 'g,
    {
        let shape = self.controller.shape;
        if panels.len() != shape.len() {
            let found = [panels.len(), 0, 0];
            return Err(LoadError::WrongShape { name: packed::FC, expected: [shape.len(), 0, 0], found });
        }
        finite(panels, packed::FC)?;
        Ok(Model { controller: Layer { weights: panels, shape }, selftest: None, ..*self })
    }

    /// Sizes.
    #[must_use]
    pub const fn dims(&self) -> &Dims {
        &self.settings.dims
    }

    /// Modes and constants.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The back end that runs it.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.isa.backend()
    }

    /// Whether the MDN head is in the file, so that [`Agent::predict`] answers.
    #[must_use]
    pub const fn has_mdn(&self) -> bool {
        self.gmm.is_some()
    }

    /// Replays the file's self-test vectors: every action and the final state must be the packer's, bit for bit.
    /// `memory` is as for [`Agent::new`].
    ///
    /// # Errors
    /// The file has no vectors, or this runtime computes something else.
    pub fn self_test(&self, memory: &mut [f32]) -> Result<(), SelfTestError> {
        let vectors = self.selftest.ok_or(SelfTestError::Absent)?;
        let dims = self.dims();
        let mut agent = Agent::new(self, memory)
            .map_err(|error| SelfTestError::Memory { expected: error.expected, found: error.found })?;
        let observations = vectors.observations.chunks_exact(self.observation_mean.len());
        let actions = vectors.actions.chunks_exact(self.action_mid.len());
        for (step, (observation, expected)) in observations.zip(actions).enumerate() {
            let found = agent.act_in_place(&observation[..dims.obs]).map_err(|_| SelfTestError::Observation { step })?;
            let differs = |(a, b): &(&f32, &f32)| a.to_bits() != b.to_bits();
            if let Some(index) = expected[..dims.action].iter().zip(found).position(|pair| differs(&pair)) {
                return Err(SelfTestError::Action { step, index, expected: expected[index], found: found[index] });
            }
            agent.advance().map_err(|_| SelfTestError::Observation { step })?;
        }
        match agent.proof_digest() {
            found if found == vectors.digest => Ok(()),
            found => Err(SelfTestError::Digest { expected: vectors.digest, found }),
        }
    }
}

fn selftest<'f>(file: &File<'f>, settings: &Settings) -> Result<Option<SelfTestVectors<'f>>, LoadError<'f>> {
    use dreamstep_core::dims::padded;
    use dreamstep_core::names::metadata::SELFTEST_DIGEST;
    let rows = |name, width| {
        let Some(tensor) = file.tensor(name) else { return Ok(None) };
        let steps = tensor.shape().first().copied().unwrap_or(0);
        check(&tensor, name, [steps.max(1), padded(width), 0])?;
        finite(floats(&tensor, name)?, name).map(|values| Some((steps, values)))
    };
    let observations = rows(packed::SELFTEST_OBSERVATIONS, settings.dims.obs)?;
    let actions = rows(packed::SELFTEST_ACTIONS, settings.dims.action)?;
    match (observations, actions, settings.selftest_digest) {
        (None, None, None) => Ok(None),
        (Some((t, observations)), Some((steps, actions)), Some(digest)) => {
            if t != steps {
                let width = padded(settings.dims.action);
                let (expected, found) = ([t, width, 0], [steps, width, 0]);
                return Err(LoadError::WrongShape { name: packed::SELFTEST_ACTIONS, expected, found });
            }
            Ok(Some(SelfTestVectors { observations, actions, digest }))
        }
        (None, _, _) => Err(LoadError::MissingTensor { name: packed::SELFTEST_OBSERVATIONS }),
        (_, None, _) => Err(LoadError::MissingTensor { name: packed::SELFTEST_ACTIONS }),
        (_, _, None) => Err(LoadError::MissingKey { key: SELFTEST_DIGEST }),
    }
}

/// dtype and shape.
fn check<'f>(tensor: &Tensor<'f>, name: &'static str, expected: [usize; 3]) -> Result<(), LoadError<'f>> {
    if tensor.dtype != "F32" {
        return Err(LoadError::WrongDtype { name, expected: "F32", found: tensor.dtype });
    }
    let rank = expected.iter().take_while(|&&axis| axis > 0).count();
    if tensor.rank() != rank {
        return Err(LoadError::WrongRank { name, expected: rank, found: tensor.rank() });
    }
    if tensor.shape() != &expected[..rank] {
        let mut found = [0; 3];
        found.iter_mut().zip(tensor.shape()).for_each(|(slot, &axis)| *slot = axis);
        return Err(LoadError::WrongShape { name, expected, found });
    }
    Ok(())
}

/// The values, in place.
fn floats<'f>(tensor: &Tensor<'f>, name: &'static str) -> Result<&'f [f32], LoadError<'f>> {
    bytemuck::try_cast_slice(tensor.data).map_err(|_| LoadError::Misaligned { name })
}

/// The values, none of them infinite or NaN.
fn finite<'f>(values: &'f [f32], name: &'static str) -> Result<&'f [f32], LoadError<'f>> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(LoadError::NonFinite { name, index }),
        None => Ok(values),
    }
}

impl fmt::Display for SelfTestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Absent => f.write_str("self-test: the file holds no vectors"),
            Self::Memory { expected, found } => write!(f, "self-test: expected memory for {expected} values, found {found}"),
            Self::Observation { step } => write!(f, "self-test: step {step}: the recorded observation is not finite"),
            Self::Action { step, index, expected, found } => {
                write!(f, "self-test: step {step}, action {index}: expected {expected:?}, found {found:?}")
            }
            Self::Digest { expected, found } => {
                write!(f, "self-test: expected state digest {expected:016x}, found {found:016x}")
            }
        }
    }
}

impl core::error::Error for SelfTestError {}
