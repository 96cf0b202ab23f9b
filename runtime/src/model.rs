//! Is this file an agent, and where are its weights? [`Model`] borrows the file's bytes (flash, mmap, `include_bytes!`) and copies
//! nothing. Everything is checked here, once, so that a step cannot fail on the model.

use crate::agent::Agent;
use crate::kernels::{Backend, Isa};
use bytemuck::AnyBitPattern;
use core::fmt;
use dreamstep_core::digest::Digest;
use dreamstep_core::dims::{ControllerInput, Dims};
use dreamstep_core::error::LoadError;
use dreamstep_core::layout::Panels;
use dreamstep_core::names::packed;
use dreamstep_core::precision::{Precision, bf16_to_f32, is_exact_weight};
use dreamstep_core::reader::{File, Tensor};
use dreamstep_core::schema::{self, Acting, LayerSpec, Rnn, Settings, Spec};

/// A layer: weights in panels, and a bias for each output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer<'f> {
    shape: Panels,
    pub(crate) bias: &'f [f32], // [P·W]
    pub(crate) weights: Weights<'f>,
}

/// `[P, ⌈K/g⌉, W, g]`, see [`dreamstep_core::layout`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Weights<'f> {
    F32(&'f [f32]),
    /// Of an f16 file: inputs are rounded, so that products are exact ([`dreamstep_core::precision`]).
    F16(&'f [u16]),
    /// Of an i8 file: inputs stay as they are.
    F16Unrounded(&'f [u16]),
    /// Inputs are rounded. Pairs of inputs: the even one in the lower half.
    Bf16(&'f [u32]),
    I8(Integers<'f>),
}

/// Integer weights, what they are worth, the factors of the inputs, and the weights' sums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Integers<'f> {
    pub(crate) weights: &'f [[i8; 4]],
    pub(crate) scales: &'f [f32], // [P·W]
    pub(crate) inputs: &'f [f32], // [K] padded
    pub(crate) sums: &'f [i32],   // [P·W]
}

impl<'f> Layer<'f> {
    /// `K`: inputs of every output.
    #[inline(always)]
    pub(crate) const fn inputs(&self) -> usize {
        self.shape.inputs
    }

    /// `W`: outputs in a panel.
    #[inline(always)]
    pub(crate) const fn width(&self) -> usize {
        self.shape.width
    }

    /// `P·W`: outputs, padding included.
    #[inline(always)]
    pub(crate) const fn outputs(&self) -> usize {
        self.shape.outputs()
    }

    /// Reads and checks a layer; none where it is optional and absent.
    fn read(file: &File<'f>, spec: &LayerSpec, precision: Precision) -> Result<Option<Self>, LoadError<'f>> {
        if spec.optional && spec.tensors(precision).all(|tensor| file.tensor(tensor.name).is_none()) {
            return Ok(None);
        }
        let (shape, names) = (spec.panels, spec.names);
        for tensor in spec.tensors(precision) {
            check(&file.tensor(tensor.name).ok_or(LoadError::MissingTensor { name: tensor.name })?, &tensor)?;
        }
        let bias = finite(values(file, names.bias)?, names.bias, f32::is_finite)?;
        let name = names.panels;
        let weights = match spec.precision(precision) {
            Precision::F32 => Weights::F32(finite(values(file, name)?, name, f32::is_finite)?),
            Precision::F16 => {
                let weights = finite(values(file, name)?, name, |bits: u16| bits & 0x7c00 != 0x7c00)?;
                if precision == Precision::F16 { Weights::F16(weights) } else { Weights::F16Unrounded(weights) }
            }
            Precision::Bf16 => {
                let weights = finite(values(file, name)?, name, |bits: u16| bits & 0x7f80 != 0x7f80)?;
                if let Some(index) = weights.iter().position(|&bits| !is_exact_weight(bf16_to_f32(bits))) {
                    return Err(LoadError::WeightRange { name, index });
                }
                Weights::Bf16(values(file, name)?)
            }
            Precision::I8 => {
                let weights: &[[i8; 4]] = values(file, name)?;
                let scales = finite(values(file, names.scale)?, names.scale, f32::is_finite)?;
                let inputs = finite(values(file, names.input)?, names.input, f32::is_finite)?;
                let sums: &[i32] = values(file, names.sum)?;
                check_sums(&shape, weights, sums, names.sum)?;
                Weights::I8(Integers { weights, scales, inputs, sums })
            }
        };
        Ok(Some(Self { shape, bias, weights }))
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
    pub(crate) encoder_log_var: Option<Layer<'f>>,
    pub(crate) controller: Layer<'f>,
    pub(crate) action_mid: &'f [f32],
    pub(crate) action_half: &'f [f32],
    pub(crate) rnn: Rnn<Layer<'f>>,
    pub(crate) gmm: Option<Layer<'f>>,
    /// Tells models apart: a digest of the file's header, in which settings, origin and the self-test's digest stand.
    pub(crate) fingerprint: u64,
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
        let (dims, precision) = (&settings.dims, settings.precision);
        let (layers, vectors) = (schema::layers(dims), schema::vectors(dims));
        let known = |name: &str| {
            let mut tensors = layers.iter().flat_map(|layer| layer.tensors(precision)).chain(vectors);
            [packed::SELFTEST_OBSERVATIONS, packed::SELFTEST_ACTIONS].contains(&name)
                || tensors.any(|spec| spec.name == name)
        };
        if let Some(tensor) = file.tensors().find(|tensor| !known(tensor.name)) {
            return Err(LoadError::UnknownTensor { name: tensor.name });
        }
        let vector = |spec: &Spec| {
            check(&file.tensor(spec.name).ok_or(LoadError::MissingTensor { name: spec.name })?, spec)?;
            finite(values(&file, spec.name)?, spec.name, f32::is_finite)
        };
        let [mean, inv_std, mid, half] = &vectors;
        let optional = |spec: &LayerSpec| Layer::read(&file, spec, precision);
        let layer = |spec: &LayerSpec| optional(spec)?.ok_or(LoadError::MissingTensor { name: spec.names.panels });
        let model = Self {
            settings,
            isa,
            observation_mean: vector(mean)?,
            observation_inv_std: vector(inv_std)?,
            encoder_0: layer(&layers.encoder_0)?,
            encoder_2: layer(&layers.encoder_2)?,
            encoder_mean: layer(&layers.encoder_mean)?,
            encoder_log_var: optional(&layers.encoder_log_var)?,
            controller: layer(&layers.controller)?,
            action_mid: vector(mid)?,
            action_half: vector(half)?,
            rnn: layers.rnn.try_map(|spec| layer(&spec))?,
            gmm: optional(&layers.gmm)?,
            fingerprint: Digest::default().update_bytes(file.header().as_bytes()).value(),
            selftest: selftest(&file, &settings)?,
        };
        if settings.acting == Acting::Sampled && model.encoder_log_var.is_none() {
            return Err(LoadError::MissingTensor { name: layers.encoder_log_var.names.panels });
        }
        Ok(model)
    }

    /// The same agent with another linear controller: f32 panels of `[z, h]` (or what else it reads) → A and padded biases (see
    /// [`dreamstep_core::layout`]), whatever the precision of the rest. Evolution tries candidates this way. The self-test vectors,
    /// which no longer hold, are left out.
    ///
    /// # Errors
    /// The panels or biases have another length, or hold a non-finite value.
    pub fn with_controller<'g>(&self, panels: &'g [f32], bias: &'g [f32]) -> Result<Model<'g>, LoadError<'g>>
    where
        'f: 'g,
    {
        let shape = self.controller.shape;
        for (name, values, expected) in
            [(packed::FC.panels, panels, shape.len(Precision::F32)), (packed::FC.bias, bias, shape.outputs())]
        {
            if values.len() != expected {
                let found = [values.len(), 0, 0, 0];
                return Err(LoadError::WrongShape { name, expected: [expected, 0, 0, 0], found });
            }
            finite(values, name, f32::is_finite)?;
        }
        let controller = Layer { shape, bias, weights: Weights::F32(panels) };
        let fingerprint =
            Digest::default().update_bytes(&self.fingerprint.to_le_bytes()).update(panels).update(bias).value();
        Ok(Model { controller, fingerprint, selftest: None, ..*self })
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

    /// Tells models apart: what a saved state says it belongs to. A digest of the file's header (sizes, settings, origin, the
    /// self-test's digest), not of every weight.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Whether the MDN head is in the file and M runs (it does not for [`ControllerInput::Observation`]), so that [`Agent::predict`] answers.
    #[must_use]
    pub const fn has_mdn(&self) -> bool {
        self.gmm.is_some() && !matches!(self.settings.dims.input, ControllerInput::Observation)
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
        match agent.self_test_digest() {
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
        check(&tensor, &Spec { name, dtype: "F32", shape: [steps.max(1), padded(width), 0, 0] })?;
        finite(values(file, name)?, name, f32::is_finite).map(|values| Some((steps, values)))
    };
    let observations = rows(packed::SELFTEST_OBSERVATIONS, settings.dims.obs)?;
    let actions = rows(packed::SELFTEST_ACTIONS, settings.dims.action)?;
    match (observations, actions, settings.selftest_digest) {
        (None, None, None) => Ok(None),
        (Some((t, observations)), Some((steps, actions)), Some(digest)) => {
            if t != steps {
                let width = padded(settings.dims.action);
                let (expected, found) = ([t, width, 0, 0], [steps, width, 0, 0]);
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
fn check<'f>(tensor: &Tensor<'f>, spec: &Spec) -> Result<(), LoadError<'f>> {
    let Spec { name, dtype: expected, shape } = *spec;
    if tensor.dtype != expected {
        return Err(LoadError::WrongDtype { name, expected, found: tensor.dtype });
    }
    let rank = shape.iter().take_while(|&&axis| axis > 0).count();
    if tensor.rank() != rank {
        return Err(LoadError::WrongRank { name, expected: rank, found: tensor.rank() });
    }
    if tensor.shape() != &shape[..rank] {
        let mut found = [0; 4];
        found.iter_mut().zip(tensor.shape()).for_each(|(slot, &axis)| *slot = axis);
        return Err(LoadError::WrongShape { name, expected: shape, found });
    }
    Ok(())
}

/// A tensor's values, in place.
fn values<'f, T: AnyBitPattern>(file: &File<'f>, name: &'static str) -> Result<&'f [T], LoadError<'f>> {
    let tensor = file.tensor(name).ok_or(LoadError::MissingTensor { name })?;
    bytemuck::try_cast_slice(tensor.data).map_err(|_| LoadError::Misaligned { name })
}

/// The values, none of them infinite or NaN.
fn finite<'f, T: Copy>(
    values: &'f [T],
    name: &'static str,
    is_finite: impl Fn(T) -> bool,
) -> Result<&'f [T], LoadError<'f>> {
    match values.iter().position(|&value| !is_finite(value)) {
        Some(index) => Err(LoadError::NonFinite { name, index }),
        None => Ok(values),
    }
}

/// That each output's integer weights add up to what the file says.
fn check_sums(shape: &Panels, weights: &[[i8; 4]], sums: &[i32], name: &'static str) -> Result<(), LoadError<'static>> {
    let panel = shape.groups(Precision::I8) * shape.width;
    for (p, (weights, sums)) in weights.chunks_exact(panel).zip(sums.chunks_exact(shape.width)).enumerate() {
        for (lane, &found) in sums.iter().enumerate() {
            let groups = weights.iter().skip(lane).step_by(shape.width);
            let expected = groups.flatten().fold(0, |sum: i32, &weight| sum.wrapping_add(i32::from(weight)));
            if expected != found {
                return Err(LoadError::WrongSum { name, index: p * shape.width + lane, expected, found });
            }
        }
    }
    Ok(())
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
