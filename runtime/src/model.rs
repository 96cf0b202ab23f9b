//! A packed agent in memory: its settings and where its weights lie. [`Model`] borrows the file's bytes (flash, mmap, `include_bytes!`)
//! and copies nothing. Everything is checked here, once, so that a step cannot fail on the model.

use crate::action::Actuator;
use crate::c::C;
use crate::kernels::{Backend, Isa};
use crate::layer::{bytes_of, check, values_of};
use crate::m::M;
use crate::observation::{Tables, Whitener};
use crate::v::V;
use crate::v::decoder::Decoder;
use dreamstep_core::digest::Digest;
use dreamstep_core::dims::{Dims, padded};
use dreamstep_core::error::LoadError;
use dreamstep_core::names::{metadata as key, packed};
use dreamstep_core::obs::Observation;
use dreamstep_core::reader::File;
use dreamstep_core::schema::{Settings, Spec, vectors};

/// An agent's constant part: what [`crate::Agent`] needs beside its state. A small value that refers to the file's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Model<'f> {
    pub(crate) settings: Settings,
    pub(crate) isa: Isa,
    pub(crate) whitener: Whitener<'f>,
    pub(crate) tables: Tables<'f>,
    pub(crate) v: V<'f>,
    pub(crate) m: M<'f>,
    pub(crate) c: C<'f>,
    pub(crate) actuator: Actuator<'f>,
    /// Tells models apart: a digest of the file's header, in which settings, origin and the self-test's digest stand.
    pub(crate) fingerprint: u64,
    pub(crate) selftest: Option<SelfTestVectors<'f>>,
    file: File<'f>,
}

impl<'f> Model<'f> {
    /// Reads a packed agent, to run on the widest back end of this processor.
    ///
    /// `bytes` must begin on a 4-byte boundary; on a 64-byte boundary (which keeps every panel row in whole cache lines) it runs best.
    ///
    /// # Errors
    /// The first thing found wrong, see [`LoadError`].
    pub fn load(bytes: &'f [u8]) -> Result<Self, LoadError> {
        Self::load_with(bytes, Backend::detect())
    }

    /// Like [`Self::load`], on a given back end. The results are the same bits.
    ///
    /// # Errors
    /// Also where the processor does not run the back end.
    pub fn load_with(bytes: &'f [u8], backend: Backend) -> Result<Self, LoadError> {
        let isa = Isa::new(backend).ok_or(LoadError::Backend { name: backend.name() })?;
        let file = File::parse(bytes)?;
        let settings = Settings::read(&file)?;
        let (layers, decoder) = (settings.dims.layers(), settings.decoder_layers());
        let known = |name: &str| {
            let mut tensors =
                layers.iter().chain(&decoder).flat_map(|layer| layer.tensors(settings.precision)).chain(vectors(&settings));
            [packed::SELFTEST_OBSERVATIONS, packed::SELFTEST_ACTIONS].contains(&name)
                || tensors.any(|spec| spec.name == name)
        };
        if let Some(tensor) = file.tensors().find(|tensor| !known(tensor.name)) {
            return Err(LoadError::UnknownTensor { name: tensor.name.into() });
        }
        Decoder::read(&file, &settings, isa)?;
        Ok(Self {
            settings,
            isa,
            whitener: Whitener::read(&file, &settings)?,
            tables: Tables::read(&file, &settings)?,
            actuator: Actuator::read(&file, &settings)?,
            v: V::read(&file, &settings)?,
            c: C::read(&file, &settings)?,
            m: M::read(&file, &settings)?,
            fingerprint: Digest::default().update_bytes(file.header().as_bytes()).value(),
            selftest: SelfTestVectors::read(&file, &settings)?,
            file,
        })
    }

    /// The same agent with another controller of the same kind: f32 weights in panels, whatever the precision of the rest. `values` holds,
    /// of each of C's layers in order, its panels and then its padded biases (see [`dreamstep_core::layout`]; feature `host` of
    /// `dreamstep-core` has `pack::controller_panels`). Evolution tries candidates this way. The self-test vectors, which no longer hold,
    /// are left out.
    ///
    /// # Errors
    /// There are too few values or too many, or one is not finite.
    pub fn with_controller<'g>(&self, values: &'g [f32]) -> Result<Model<'g>, LoadError>
    where
        'f: 'g,
    {
        let c = C::of_values(self.dims(), values)?;
        let fingerprint = Digest::default().update_bytes(&self.fingerprint.to_le_bytes()).update(values).value();
        Ok(Model { c, fingerprint, selftest: None, ..*self })
    }

    /// Sizes and kinds.
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

    /// The metadata value of `key` in the file, JSON escapes as they stand there.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&'f str> {
        self.file.metadata(key)
    }

    /// Keys and values of the file's metadata, JSON escapes as they stand there.
    pub fn metadata_entries(&self) -> impl Iterator<Item = (&'f str, &'f str)> + use<'f> {
        self.file.metadata_entries()
    }

    /// The file's format: `packed-3`.
    #[must_use]
    pub fn format(&self) -> &'f str {
        self.metadata(key::FORMAT).unwrap_or_default()
    }

    /// The environment that the agent was made for, where the file says: Gymnasium's id, say.
    #[must_use]
    pub fn environment(&self) -> Option<&'f str> {
        self.metadata(key::ENV)
    }

    /// The control period that the agent was made for, in seconds, where the file says.
    #[must_use]
    pub const fn period_s(&self) -> Option<f64> {
        self.settings.period_s
    }

    /// Lower and upper end of value `index` of a continuous action, in the environment's units; none of a discrete one, or where there is
    /// no such value.
    #[must_use]
    pub fn action_range(&self, index: usize) -> Option<[f32; 2]> {
        let Actuator::Continuous { mid, half, .. } = self.actuator else { return None };
        if index >= self.dims().action_len() {
            return None;
        }
        let (&mid, &half) = (mid.get(index)?, half.get(index)?);
        Some([mid - half, mid + half])
    }

    pub(crate) const fn file(&self) -> &File<'f> {
        &self.file
    }

    /// Tells models apart: what a saved state says it belongs to. A digest of the file's header (sizes, settings, origin, the
    /// self-test's digest), not of every weight.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Whether there is an M and the file has its MDN head, so that [`crate::Agent::predict`] answers.
    #[must_use]
    pub const fn has_mdn(&self) -> bool {
        self.m.head().is_some()
    }
}

/// The file's self-test vectors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SelfTestVectors<'f> {
    pub(crate) observations: Recorded<'f>,
    pub(crate) actions: &'f [f32], // [T, A] rows padded
    pub(crate) digest: u64,
}

/// A self-test's observations, row by row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Recorded<'f> {
    /// `[T, O]`, rows padded.
    Vectors(&'f [f32]),
    /// `[T, O]` values of prepared pictures.
    Pictures(&'f [u8]),
}

impl<'f> SelfTestVectors<'f> {
    /// Reads and checks them; none where the file has none.
    pub(crate) fn read(file: &File<'f>, settings: &Settings) -> Result<Option<Self>, LoadError> {
        let rows = |name, width| {
            let Some(tensor) = file.tensor(name) else { return Ok(None) };
            let steps = tensor.shape().first().copied().unwrap_or(0);
            check(&tensor, &Spec { name, dtype: "F32", shape: [steps.max(1), padded(width), 0, 0] })?;
            values_of(file, name).map(|values| Some((steps, values)))
        };
        let (o, a) = (settings.dims.obs_len(), settings.dims.action_len());
        let name = packed::SELFTEST_OBSERVATIONS;
        let observations = match (settings.dims.obs, file.tensor(name)) {
            (Observation::Image(_), Some(tensor)) => {
                let steps = tensor.shape().first().copied().unwrap_or(0);
                check(&tensor, &Spec { name, dtype: "U8", shape: [steps.max(1), o, 0, 0] })?;
                Some((steps, Recorded::Pictures(bytes_of(file, name)?)))
            }
            _ => rows(name, o)?.map(|(steps, values)| (steps, Recorded::Vectors(values))),
        };
        let actions = rows(packed::SELFTEST_ACTIONS, a)?;
        match (observations, actions, settings.selftest_digest) {
            (None, None, None) => Ok(None),
            (Some((t, observations)), Some((steps, actions)), Some(digest)) => {
                if t != steps {
                    let (expected, found) = ([t, padded(a), 0, 0], [steps, padded(a), 0, 0]);
                    return Err(LoadError::WrongShape { name: packed::SELFTEST_ACTIONS, expected, found });
                }
                Ok(Some(Self { observations, actions, digest }))
            }
            (None, _, _) => Err(LoadError::MissingTensor { name: packed::SELFTEST_OBSERVATIONS }),
            (_, None, _) => Err(LoadError::MissingTensor { name: packed::SELFTEST_ACTIONS }),
            (_, _, None) => Err(LoadError::MissingKey { key: key::SELFTEST_DIGEST }),
        }
    }
}
