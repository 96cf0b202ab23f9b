//! Checkpoints: a network as a safetensors file, row-major tensors under PyTorch's names and a `__metadata__` map of strings.
//!
//! No libtorch here: `pack` and `inspect` read checkpoints without it. The bytes depend on the content alone (every key is
//! sorted), so that equal training runs write equal files.

use crate::run::folder::write_atomic;
use anyhow::{Context, Result, anyhow, ensure};
use dreamstep_core::c::ControllerInput;
use dreamstep_core::m::MemoryCell;
use dreamstep_core::names::metadata;
use dreamstep_core::pack::{Entry, safetensors_bytes};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::Path;

/// Metadata that only the trainer reads; the rest is named in [`dreamstep_core::names::metadata`].
pub mod meta {
    use dreamstep_core::m::MemoryCell;

    /// `dreamstep` version that wrote the file.
    pub const VERSION: &str = "dreamstep.version";
    /// Which stage wrote it: `vae`, `mdnrnn` or `controller`.
    pub const STAGE: &str = "stage";
    /// The run's seed.
    pub const SEED: &str = "seed";
    /// TOML text of every value in force.
    pub const CONFIG: &str = "config";
    /// One line about the data it was trained on.
    pub const DATA: &str = "data";
    /// The encoder's log-variance is clamped to at least this.
    pub const LOG_VAR_MIN: &str = "log_var.min";
    /// The encoder's log-variance is clamped to at most this.
    pub const LOG_VAR_MAX: &str = "log_var.max";
    /// A convolutional V's decoder: see [`crate::agent::convolution`].
    pub const V_DECODER: &str = "v.decoder";
    /// What M remembers with, `lstm` or `gru`.
    pub const RNN_CELL: &str = "rnn.cell";
    /// Order of the memory's gates, see [`gates`].
    pub const GATES: &str = "rnn.gates";
    /// `[A]`, comma-separated: M's input of a continuous action is `(a − mid)/half`.
    pub const ACTION_MID: &str = "action.mid";
    /// `[A]`, comma-separated: see [`ACTION_MID`].
    pub const ACTION_HALF: &str = "action.half";
    /// `sampled` or `mean`: which latents M was trained on.
    pub const LATENTS: &str = "latents";
    /// Prefix of the digests of the files that a stage's result was made from: `upstream.vae`, `upstream.mdnrnn`.
    pub const UPSTREAM: &str = "upstream.";
    /// Prefix of the figures on held-out episodes.
    pub const VALIDATION: &str = "validation.";

    /// PyTorch's order of a memory's gates.
    #[must_use]
    pub const fn gates(cell: MemoryCell) -> &'static str {
        match cell {
            MemoryCell::Lstm => "i,f,g,o",
            MemoryCell::Gru => "r,z,n",
        }
    }
    /// Which epoch's weights these are, where not the best's.
    pub const EPOCH: &str = "epoch";
}

/// A row-major tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<T = f32> {
    /// Sizes, slowest axis first.
    pub shape: Vec<usize>,
    /// `shape`'s product many values.
    pub data: Vec<T>,
}

/// Tensors by name, and metadata. Plain data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Where it was read from, for messages; empty where it was made in memory.
    pub origin: String,
    /// Tensors, widened to f32.
    pub tensors: BTreeMap<String, Array>,
    /// Tensors of a state that needs all of f64; a network has none.
    pub doubles: BTreeMap<String, Array<f64>>,
    /// `__metadata__`.
    pub metadata: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Reads a file. F16 and BF16 tensors are widened to f32 (exactly); so a PyTorch checkpoint saved in half opens.
    ///
    /// # Errors
    /// One line that names the file, and the tensor where one is at fault.
    pub fn read(path: &Path) -> Result<Self> {
        let origin = path.display().to_string();
        let bytes = std::fs::read(path).with_context(|| format!("{origin}: cannot read the checkpoint"))?;
        Self::from_bytes(&origin, &bytes)
    }

    /// Reads a saved state, which may hold F64 tensors beside; these are kept as they are.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_state(path: &Path) -> Result<Self> {
        let origin = path.display().to_string();
        let bytes = std::fs::read(path).with_context(|| format!("{origin}: cannot read the state"))?;
        Self::parse(&origin, &bytes, true)
    }

    /// Of `tensors`, which come from `origin`.
    pub fn of(origin: &str, tensors: impl Iterator<Item = (String, (Vec<usize>, Vec<f32>))>) -> Self {
        let tensors = tensors.map(|(name, (shape, data))| (name, Array { shape, data })).collect();
        Self { origin: origin.to_owned(), tensors, ..Self::default() }
    }

    /// Reads the bytes of a file called `origin`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_bytes(origin: &str, bytes: &[u8]) -> Result<Self> {
        Self::parse(origin, bytes, false)
    }

    fn parse(origin: &str, bytes: &[u8], with_doubles: bool) -> Result<Self> {
        let broken = |e| anyhow!("{origin}: not a safetensors file: {e}");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        let (mut tensors, mut doubles) = (BTreeMap::new(), BTreeMap::new());
        for (name, view) in file.iter() {
            let shape = view.shape().to_vec();
            let not_finite =
                |at, value: f64| anyhow!("{origin}: tensor {name}: expected finite values, found {value} at index {at}");
            if with_doubles && view.dtype() == Dtype::F64 {
                let data: Vec<f64> = view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
                if let Some(at) = data.iter().position(|v| !v.is_finite()) {
                    return Err(not_finite(at, data[at]));
                }
                doubles.insert(name.to_owned(), Array { shape, data });
                continue;
            }
            let data = widen(view.dtype(), view.data()).ok_or_else(|| {
                anyhow!("{origin}: tensor {name}: expected dtype F32, F16 or BF16, found {}", view.dtype())
            })?;
            if let Some(at) = data.iter().position(|v| !v.is_finite()) {
                return Err(not_finite(at, f64::from(data[at])));
            }
            tensors.insert(name.to_owned(), Array { shape, data });
        }
        let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Self { origin: origin.to_owned(), tensors, doubles, metadata })
    }

    /// The file's bytes. Equal content gives equal bytes.
    ///
    /// # Errors
    /// A tensor's shape does not fit its data, or a name stands for two tensors.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let singles = self.tensors.iter().map(|(name, array)| (name, &array.shape, array.data.len()));
        let doubles = self.doubles.iter().map(|(name, array)| (name, &array.shape, array.data.len()));
        for (name, shape, len) in singles.chain(doubles) {
            ensure!(shape.iter().product::<usize>() == len, "tensor {name}: expected {shape:?} values, found {len} values");
        }
        let twice = self.doubles.keys().find(|name| self.tensors.contains_key(*name));
        ensure!(twice.is_none(), "tensor {}: expected one of this name, found an F32 and an F64", twice.map_or("", |n| n));
        // The wider ones first, so that every value lies on a multiple of its size.
        let doubles = self.doubles.iter().map(|(name, array)| Entry {
            name,
            dtype: "F64",
            shape: array.shape.clone(),
            data: array.data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        let singles = self.tensors.iter().map(|(name, array)| Entry::f32(name, array.shape.clone(), &array.data));
        let tensors: Vec<_> = doubles.chain(singles).collect();
        let bytes = safetensors_bytes(&tensors, &self.metadata);
        // Our own writer keeps the metadata in order, which the crate's does not; the crate is its judge.
        SafeTensors::deserialize(&bytes).map_err(|e| anyhow!("checkpoint does not read back: {e}"))?;
        Ok(bytes)
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// As [`Self::to_bytes`] and [`write_atomic`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes().with_context(|| path.display().to_string())?;
        write_atomic(path, &bytes)
    }

    /// The data of tensor `name`, which must have `shape`.
    ///
    /// # Errors
    /// One line naming the file, the tensor, and the shape expected and found.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        self.of_shape(self.tensors.get(name), name, shape)
    }

    /// The data of the F64 tensor `name`, which must have `shape`.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn tensor_f64(&self, name: &str, shape: &[usize]) -> Result<&[f64]> {
        self.of_shape(self.doubles.get(name), name, shape)
    }

    fn of_shape<'a, T>(&self, array: Option<&'a Array<T>>, name: &str, shape: &[usize]) -> Result<&'a [T]> {
        let array = array
            .ok_or_else(|| anyhow!("{}: tensor {name}: expected shape {shape:?}, found no such tensor", self.origin))?;
        ensure!(array.shape == shape, "{}: tensor {name}: expected shape {shape:?}, found {:?}", self.origin, array.shape);
        Ok(&array.data)
    }

    /// The metadata under `key`, parsed.
    ///
    /// # Errors
    /// One line naming the file, the key, and what was found.
    pub fn meta<T: std::str::FromStr>(&self, key: &str) -> Result<T> {
        let text = self.metadata.get(key).ok_or_else(|| anyhow!("{}: metadata {key}: not found", self.origin))?;
        let expected = std::any::type_name::<T>();
        text.parse().map_err(|_| anyhow!("{}: metadata {key}: expected {expected}, found {text:?}", self.origin))
    }

    /// What M remembers with; a checkpoint that does not say has an LSTM.
    ///
    /// # Errors
    /// One line naming the file, the key, and what was found.
    pub fn cell(&self) -> Result<MemoryCell> {
        let Some(found) = self.metadata.get(meta::RNN_CELL) else { return Ok(MemoryCell::Lstm) };
        let known = MemoryCell::ALL.into_iter().find(|cell| cell.name() == found);
        known.with_context(|| format!("{}: {}: expected lstm or gru, found {found}", self.origin, meta::RNN_CELL))
    }

    /// What C reads; a checkpoint that does not say reads z and h.
    ///
    /// # Errors
    /// One line naming the file, the key, and what was found.
    pub fn input(&self) -> Result<ControllerInput> {
        let Some(found) = self.metadata.get(metadata::CONTROLLER_INPUT) else { return Ok(ControllerInput::LatentHidden) };
        let known = ControllerInput::ALL.into_iter().find(|input| input.name() == found);
        let expected =
            || format!("{}: {}: expected z+h, z, h, obs or obs+h, found {found}", self.origin, metadata::CONTROLLER_INPUT);
        known.with_context(expected)
    }

    /// Says what C reads; the usual goes without saying.
    pub fn set_input(&mut self, input: ControllerInput) {
        if input != ControllerInput::LatentHidden {
            self.set_meta(metadata::CONTROLLER_INPUT, input.name());
        }
    }

    /// Adds a tensor.
    pub fn insert(&mut self, name: &str, shape: &[usize], data: Vec<f32>) {
        self.tensors.insert(name.to_owned(), Array { shape: shape.to_vec(), data });
    }

    /// Adds an F64 tensor, which [`Self::read_state`] reads back.
    pub fn insert_f64(&mut self, name: &str, shape: &[usize], data: Vec<f64>) {
        self.doubles.insert(name.to_owned(), Array { shape: shape.to_vec(), data });
    }

    /// Adds metadata: what `value` displays, which for a float is the shortest text that reads back as the same bits.
    pub fn set_meta(&mut self, key: &str, value: impl ToString) {
        self.metadata.insert(key.to_owned(), value.to_string());
    }
}

/// Little-endian floats widened to f32; `None` for any other type.
fn widen(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let half_words = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    Some(match dtype {
        Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => half_words().map(|w| half::f16::from_bits(w).to_f32()).collect(),
        Dtype::BF16 => half_words().map(|w| half::bf16::from_bits(w).to_f32()).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        let mut c = Checkpoint::default();
        c.insert("b.weight", &[2, 3], vec![1.0, -0.0, 3.5, f32::MIN_POSITIVE, 1e30, -7.0]);
        c.insert("a.bias", &[2], vec![0.25, 0.5]);
        for key in ["z", "seed", "config \"quoted\"\nlines", "a"] {
            c.set_meta(key, format!("{key} value"));
        }
        c
    }

    /// A file with one tensor `w` of `dtype` and `shape`.
    fn raw(dtype: Dtype, shape: Vec<usize>, data: &[u8]) -> Vec<u8> {
        let view = safetensors::tensor::TensorView::new(dtype, shape, data).unwrap();
        safetensors::serialize([("w", view)], None).unwrap()
    }

    #[test]
    fn a_round_trip_keeps_every_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let written = sample();
        written.write(&path).unwrap();
        let read = Checkpoint::read(&path).unwrap();
        assert_eq!((&read.tensors, &read.metadata), (&written.tensors, &written.metadata));
        let bits = |c: &Checkpoint| c.tensors["b.weight"].data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&read), bits(&written)); // -0.0 == 0.0, their bits are not
        assert_eq!(read.to_bytes().unwrap(), std::fs::read(&path).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn every_truncation_is_an_error_that_names_the_file() {
        let bytes = sample().to_bytes().unwrap();
        for len in 0..bytes.len() {
            let error = format!("{:#}", Checkpoint::from_bytes("cut.safetensors", &bytes[..len]).unwrap_err());
            assert!(error.starts_with("cut.safetensors: ") && !error.contains('\n'), "{len}: {error}");
        }
    }

    #[test]
    fn missing_and_misshapen_tensors_are_named() {
        let mut c = Checkpoint::from_bytes("v.safetensors", &sample().to_bytes().unwrap()).unwrap();
        let error = c.tensor("b.weight", &[3, 2]).unwrap_err().to_string();
        assert_eq!(error, "v.safetensors: tensor b.weight: expected shape [3, 2], found [2, 3]");
        let error = c.tensor("c.weight", &[1]).unwrap_err().to_string();
        assert_eq!(error, "v.safetensors: tensor c.weight: expected shape [1], found no such tensor");
        c.set_meta("k", "many");
        let error = c.meta::<f32>("k").unwrap_err().to_string();
        assert_eq!(error, "v.safetensors: metadata k: expected f32, found \"many\"");
    }

    #[test]
    fn foreign_dtypes_and_non_finite_weights_are_named() {
        let error = Checkpoint::from_bytes("i.safetensors", &raw(Dtype::I64, vec![1], &[0; 8])).unwrap_err().to_string();
        assert_eq!(error, "i.safetensors: tensor w: expected dtype F32, F16 or BF16, found I64");
        let bytes: Vec<u8> = [1.0_f32, f32::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        let error = Checkpoint::from_bytes("n.safetensors", &raw(Dtype::F32, vec![2], &bytes)).unwrap_err().to_string();
        assert_eq!(error, "n.safetensors: tensor w: expected finite values, found NaN at index 1");
    }

    #[test]
    fn a_state_keeps_every_bit_of_its_doubles_and_a_network_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        let mut written = sample();
        let values = vec![0.1, -0.0, f64::MIN_POSITIVE, 1e300, 1.0 + f64::EPSILON, 5e-324];
        written.insert_f64("covariance", &[3, 2], values.clone());
        written.write(&path).unwrap();
        let read = Checkpoint::read_state(&path).unwrap();
        assert_eq!((&read.tensors, &read.doubles), (&written.tensors, &written.doubles));
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(read.tensor_f64("covariance", &[3, 2]).unwrap()), bits(&values));
        assert_eq!(read.to_bytes().unwrap(), std::fs::read(&path).unwrap());
        let error = read.tensor_f64("covariance", &[2, 3]).unwrap_err().to_string();
        assert!(error.ends_with("state.safetensors: tensor covariance: expected shape [2, 3], found [3, 2]"), "{error}");
        let error = Checkpoint::read(&path).unwrap_err().to_string();
        assert!(error.ends_with("tensor covariance: expected dtype F32, F16 or BF16, found F64"), "{error}");
        let bytes = f64::INFINITY.to_le_bytes();
        let error = Checkpoint::parse("s", &raw(Dtype::F64, vec![1], &bytes), true).unwrap_err().to_string();
        assert_eq!(error, "s: tensor w: expected finite values, found inf at index 0");
        written.insert("covariance", &[1], vec![1.0]);
        let error = written.to_bytes().unwrap_err().to_string();
        assert_eq!(error, "tensor covariance: expected one of this name, found an F32 and an F64");
    }

    #[test]
    fn half_precision_widens_exactly() {
        // Values worked out by hand: sign, exponent, fraction.
        let f16 =
            [(0x3C00_u16, 1.0_f32), (0xC500, -5.0), (0x0001, 5.960_464_5e-8), (0x7BFF, 65504.0), (0x3555, 0.333_251_95)];
        let bytes: Vec<u8> = f16.iter().flat_map(|(w, _)| w.to_le_bytes()).collect();
        let c = Checkpoint::from_bytes("h", &raw(Dtype::F16, vec![5], &bytes)).unwrap();
        assert_eq!(c.tensor("w", &[5]).unwrap(), f16.map(|(_, v)| v));
        // bfloat16 is the upper half of binary32.
        let bf16 = [1.0_f32, -2.5, 1.0e-38, 3.0e38].map(|v| (v.to_bits() >> 16) as u16);
        let bytes: Vec<u8> = bf16.iter().flat_map(|w| w.to_le_bytes()).collect();
        let c = Checkpoint::from_bytes("b", &raw(Dtype::BF16, vec![2, 2], &bytes)).unwrap();
        assert_eq!(c.tensor("w", &[2, 2]).unwrap(), bf16.map(|w| f32::from_bits(u32::from(w) << 16)));
    }
}
