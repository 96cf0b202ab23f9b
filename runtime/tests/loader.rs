//! Is every damaged agent refused, each fault with its own error in one line? Valid packed agents are taken apart, damaged
//! in one place and put together again as valid safetensors files, so that it is the loader that must notice and not the
//! reader. Then the same by chance: what loads in spite of a mutation must run.

mod common;

use common::{STEPS, agent_with_selftest};
use dreamstep_core::names::{checkpoint, metadata as key, packed};
use dreamstep_core::pack::{AlignedBytes, Entry, controller_panels, safetensors_bytes};
use dreamstep_core::reader::File;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_core::schema::{Acting, Settings};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Agent, Dims, DreamOptions, Dreams, LoadError, Mixture, Model, Precision, SelfTestError, Start, dreams_memory_len,
    memory_len,
};
use std::collections::BTreeMap;

const DIMS: Dims = Dims { obs: 5, action: 2, latent: 3, hidden: 7, mixtures: 2, mixture: Mixture::Joint, encoder: [9, 4] };

/// A packed agent of [`DIMS`] with self-test vectors, as bytes.
fn agent() -> Vec<u8> {
    agent_in(Precision::F32)
}

/// The same in another precision.
fn agent_in(precision: Precision) -> Vec<u8> {
    agent_with_selftest(&Settings { precision, ..synthetic::settings(&DIMS) }, &synthetic::tensors(&DIMS, 1))
}

/// One tensor, taken out of its file.
#[derive(Clone)]
struct Loose {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    data: Vec<u8>,
}

/// A file in pieces.
#[derive(Clone)]
struct Pieces {
    metadata: BTreeMap<String, String>,
    tensors: Vec<Loose>,
}

impl Pieces {
    fn of(bytes: &[u8]) -> Self {
        let file = File::parse(bytes).unwrap();
        let owned = |(key, value): (&str, &str)| (key.to_string(), value.to_string());
        let tensors = file.tensors().map(|t| Loose {
            name: t.name.to_string(),
            dtype: t.dtype.to_string(),
            shape: t.shape().to_vec(),
            data: t.data.to_vec(),
        });
        Self { metadata: file.metadata_entries().map(owned).collect(), tensors: tensors.collect() }
    }

    fn tensor(&mut self, name: &str) -> &mut Loose {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no tensor `{name}`"))
    }

    fn remove(&mut self, name: &str) {
        assert!(self.tensors.iter().any(|tensor| tensor.name == name), "no tensor `{name}`");
        self.tensors.retain(|tensor| tensor.name != name);
    }

    fn set(&mut self, key: &str, value: &str) {
        assert!(self.metadata.insert(key.to_string(), value.to_string()).is_some(), "no key `{key}`");
    }

    /// The file's bytes, its data `shift` bytes after a multiple of 64.
    fn bytes(&self, shift: usize) -> Vec<u8> {
        let pairs: Vec<_> = self.metadata.iter().map(|(key, value)| format!("{key:?}:{value:?}")).collect();
        let mut header = format!("{{\"__metadata__\":{{{}}}", pairs.join(","));
        let mut data = Vec::new();
        for Loose { name, dtype, shape, data: own } in &self.tensors {
            let begin = data.len();
            data.extend(own);
            header +=
                &format!(",{name:?}:{{\"dtype\":{dtype:?},\"shape\":{shape:?},\"data_offsets\":[{begin},{}]}}", data.len());
        }
        header += "}";
        let padding = (8 + header.len()).next_multiple_of(64) - 8 - header.len() + shift;
        header.extend(std::iter::repeat_n(' ', padding));
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
    }

    fn load<T>(&self, look: impl FnOnce(Result<Model<'_>, LoadError<'_>>) -> T) -> T {
        let bytes = AlignedBytes::new(&self.bytes(0));
        look(Model::load(&bytes))
    }
}

impl Loose {
    /// Fits the data to the shape, with zeros.
    fn reshape(&mut self, shape: &[usize]) {
        self.shape = shape.to_vec();
        self.data.resize(4 * shape.iter().product::<usize>(), 0);
    }

    fn put(&mut self, index: usize, value: f32) {
        self.data[4 * index..][..4].copy_from_slice(&value.to_le_bytes());
    }

    fn flip_lowest_bit(&mut self, index: usize) {
        self.data[4 * index] ^= 1;
    }
}

/// Each message must be one line; the file must be refused with this one.
#[track_caller]
fn refused(what: &str, message: &str, damage: impl FnOnce(&mut Pieces)) {
    refused_in(Precision::F32, what, message, damage);
}

#[track_caller]
fn refused_in(precision: Precision, what: &str, message: &str, damage: impl FnOnce(&mut Pieces)) {
    let mut pieces = Pieces::of(&agent_in(precision));
    damage(&mut pieces);
    pieces.load(|result| match result {
        Ok(_) => panic!("{what}: loaded, expected `{message}`"),
        Err(error) => assert_eq!(error.to_string(), message, "{what}"),
    });
    assert_eq!(message.lines().count(), 1, "{what}");
}

const KEYS: [&str; 20] = [
    key::FORMAT,
    key::PRECISION,
    key::ACTION_LATENT,
    key::RNN_INPUT,
    key::GMM_MIXTURE,
    key::GMM_SIGMA,
    key::DIM_OBS,
    key::DIM_ACTION,
    key::DIM_LATENT,
    key::DIM_HIDDEN,
    key::DIM_MIXTURES,
    key::DIM_ENCODER[0],
    key::DIM_ENCODER[1],
    key::OBS_CLIP,
    key::ACTION_SQUASH,
    key::GMM_TARGET,
    key::LOG_VAR_RANGE[0],
    key::LOG_VAR_RANGE[1],
    key::GMM_LOG_SIGMA_MIN,
    key::REWARD_OFFSET,
];

/// Every tensor of the packed f32 file and its shape for [`DIMS`], written out.
const TENSORS: [(&str, &[usize]); 20] = [
    ("observation.mean", &[16]),
    ("observation.inv_std", &[16]),
    ("action.mid", &[16]),
    ("action.half", &[16]),
    ("encoder.0.panels", &[1, 5, 16]),
    ("encoder.0.bias", &[16]),
    ("encoder.2.panels", &[1, 9, 16]),
    ("encoder.2.bias", &[16]),
    ("encoder.mean.panels", &[1, 4, 16]),
    ("encoder.mean.bias", &[16]),
    ("encoder.log_var.panels", &[1, 4, 16]),
    ("encoder.log_var.bias", &[16]),
    ("fc.panels", &[1, 10, 16]),
    ("fc.bias", &[16]),
    ("rnn.panels", &[1, 12, 64]),
    ("rnn.bias", &[64]),
    ("gmm_linear.panels", &[1, 7, 16]),
    ("gmm_linear.bias", &[16]),
    ("selftest.observations", &[STEPS, 16]),
    ("selftest.actions", &[STEPS, 16]),
];

/// Layers, whether an agent can do without them, and how many groups of four inputs they have.
const LAYERS: [(&str, bool, usize); 7] = [
    ("encoder.0", false, 2),
    ("encoder.2", false, 3),
    ("encoder.mean", false, 1),
    ("encoder.log_var", true, 1),
    ("fc", false, 3),
    ("rnn", false, 3),
    ("gmm_linear", true, 2),
];

#[test]
fn an_agent_that_is_whole_loads() {
    let pieces = Pieces::of(&agent());
    assert_eq!(pieces.metadata.len(), KEYS.len() + 1, "{:?}", pieces.metadata.keys());
    let found: BTreeMap<_, _> = pieces.tensors.iter().map(|t| (t.name.as_str(), t.shape.as_slice())).collect();
    assert_eq!(found, TENSORS.into_iter().collect());
    pieces.load(|model| {
        let model = model.unwrap();
        assert!(*model.dims() == DIMS && model.has_mdn());
        assert_eq!(model.self_test(&mut vec![0.0; memory_len(&DIMS)]), Ok(()));
    });
}

#[test]
fn metadata() {
    for key in KEYS {
        let message = format!("metadata `{key}`: expected, not found (is this a packed agent?)");
        refused("missing", &message, |file| drop(file.metadata.remove(key)));
    }
    let one_of = [
        (key::FORMAT, "packed-2", ["packed-1", "packed-2 ", "checkpoint-1"]),
        (key::PRECISION, "f32, f16, bf16 or i8", ["f64", "I8", "F32"]),
        (key::PRECISION, "f32, f16, bf16 or i8", ["", "f32,", "int8"]),
        (key::ACTION_LATENT, "mean or sampled", ["sample", "Mean", ""]),
        (key::RNN_INPUT, "action,z", ["z,action", "action, z", "z"]),
        (key::GMM_MIXTURE, "joint or per-dimension", ["dimension", "", "joint,"]),
        (key::GMM_SIGMA, "exp", ["softplus", "", "e"]),
        (key::ACTION_SQUASH, "clamp or tanh", ["none", "Tanh", "clamp,tanh"]),
        (key::GMM_TARGET, "z or delta", ["dz", "Z", "z,delta"]),
        (key::OBS_CLIP, "a positive number", ["0", "-10", "inf"]),
        (key::OBS_CLIP, "a positive number", ["NaN", "ten", ""]),
        (key::LOG_VAR_RANGE[0], "a finite number", ["-inf", "1e39", "NaN"]),
        (key::LOG_VAR_RANGE[1], "a finite number", ["inf", "", "ten"]),
        (key::LOG_VAR_RANGE[1], "at least encoder.log_var_min", ["-10.1", "-11", "-1e30"]),
        (key::GMM_LOG_SIGMA_MIN, "a finite number", ["-inf", "1e39", "NaN"]),
        (key::REWARD_OFFSET, "a finite number", ["infinity", "0,5", " 0"]),
        (key::SELFTEST_DIGEST, "16 hexadecimal digits", ["", "0123456789abcde", "0123456789abcdefg"]),
        (key::SELFTEST_DIGEST, "16 hexadecimal digits", ["0123456789abcdeg", "+123456789abcdef", "0x23456789abcdef"]),
    ];
    for (key, expected, values) in one_of {
        for found in values {
            let message = format!("metadata `{key}`: expected {expected}, found `{found}`");
            refused("bad value", &message, |file| file.set(key, found));
        }
    }
    for key in KEYS.into_iter().filter(|key| key.starts_with("dims.")) {
        for found in ["0", "65537", "-1", "5.0", "5 ", "", "0x5", "18446744073709551616"] {
            let message = format!("metadata `{key}`: expected an integer from 1 to 65536, found `{found}`");
            refused("bad size", &message, |file| file.set(key, found));
        }
    }
}

#[test]
fn sizes_that_the_tensors_do_not_have() {
    let cases = [
        (key::DIM_OBS, "6", "encoder.0.panels", "[1, 6, 16]", "[1, 5, 16]"),
        (key::DIM_OBS, "17", "observation.mean", "[32]", "[16]"),
        (key::DIM_ACTION, "3", "rnn.panels", "[1, 13, 64]", "[1, 12, 64]"),
        (key::DIM_ACTION, "17", "fc.panels", "[1, 10, 32]", "[1, 10, 16]"),
        (key::DIM_LATENT, "2", "fc.panels", "[1, 9, 16]", "[1, 10, 16]"),
        (key::DIM_LATENT, "65536", "encoder.mean.panels", "[1024, 4, 64]", "[1, 4, 16]"),
        (key::DIM_HIDDEN, "8", "fc.panels", "[1, 11, 16]", "[1, 10, 16]"),
        (key::DIM_MIXTURES, "3", "gmm_linear.panels", "[1, 7, 32]", "[1, 7, 16]"),
        (key::DIM_MIXTURES, "65536", "gmm_linear.panels", "[7169, 7, 64]", "[1, 7, 16]"),
        (key::GMM_MIXTURE, "per-dimension", "gmm_linear.panels", "[1, 7, 32]", "[1, 7, 16]"),
        (key::DIM_ENCODER[0], "10", "encoder.2.panels", "[1, 10, 16]", "[1, 9, 16]"),
        (key::DIM_ENCODER[1], "3", "encoder.mean.panels", "[1, 3, 16]", "[1, 4, 16]"),
    ];
    for (key, value, name, expected, found) in cases {
        let message = format!("tensor `{name}`: expected shape {expected}, found {found}");
        refused(key, &message, |file| file.set(key, value));
    }
    // A head whose outputs alone would take more memory than any agent's.
    for (latent, mixture, mixtures) in [("65536", "joint", "8"), ("65536", "per-dimension", "6"), ("3", "joint", "65536")] {
        let damage = |file: &mut Pieces| {
            file.set(key::DIM_LATENT, latent);
            file.set(key::GMM_MIXTURE, mixture);
            file.set(key::DIM_MIXTURES, mixtures);
        };
        if latent == "3" {
            refused(
                "a head below the limit",
                "tensor `gmm_linear.panels`: expected shape [7169, 7, 64], found [1, 7, 16]",
                damage,
            );
        } else {
            let message =
                format!("metadata `dims.mixtures`: expected at most 1048576 outputs of the MDN head, found `{mixtures}`");
            refused("a head beyond the limit", &message, damage);
        }
    }
}

#[test]
fn tensors() {
    for (name, shape) in TENSORS {
        refused("missing", &format!("tensor `{name}`: expected, not found"), |file| file.remove(name));
        refused("renamed", &format!("tensor `{name}2`: not part of a packed agent"), |file| {
            file.tensor(name).name.push('2');
        });
        for dtype in ["I32", "U32"] {
            let message = format!("tensor `{name}`: expected dtype F32, found {dtype}");
            refused("dtype", &message, |file| file.tensor(name).dtype = dtype.to_string());
        }
        let message = format!("tensor `{name}`: expected dtype F32, found BF16");
        refused("dtype of another size", &message, |file| {
            let tensor = file.tensor(name);
            (tensor.dtype, tensor.data) = ("BF16".to_string(), tensor.data[..tensor.data.len() / 2].to_vec());
        });

        let rank = shape.len();
        for (what, other) in [("an axis more", [shape, &[1]].concat()), ("one axis", vec![shape.iter().product()])] {
            if other.len() != rank {
                let message = format!("tensor `{name}`: expected {rank} axes, found {}", other.len());
                refused(what, &message, |file| file.tensor(name).reshape(&other));
            }
        }
        refused("a scalar", &format!("tensor `{name}`: expected {rank} axes, found 0"), |file| {
            file.tensor(name).reshape(&[]);
        });
        // The steps of a self-test are any number.
        for axis in usize::from(name.starts_with("selftest"))..rank {
            for size in [0, shape[axis] - 1, shape[axis] + 1] {
                let mut other = shape.to_vec();
                other[axis] = size;
                let message = format!("tensor `{name}`: expected shape {shape:?}, found {other:?}");
                refused("an axis of another size", &message, |file| file.tensor(name).reshape(&other));
            }
        }

        let count: usize = shape.iter().product();
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7f80_0001)] {
            for index in [0, count / 2, count - 1] {
                let message = format!("tensor `{name}`: expected finite values, found a non-finite one at {index}");
                refused("not finite", &message, |file| file.tensor(name).put(index, value));
            }
        }
    }
    refused("one more", "tensor `decoder.0.weight`: not part of a packed agent", |file| {
        let mut tensor = file.tensor(packed::ACTION_MID).clone();
        tensor.name = "decoder.0.weight".to_string();
        file.tensors.push(tensor);
    });
}

#[test]
fn an_agent_can_do_without_the_head_and_the_log_variance() {
    let mut tensors = synthetic::tensors(&DIMS, 1);
    tensors.remove(checkpoint::GMM_WEIGHT);
    let mut pieces = Pieces::of(&agent_with_selftest(&synthetic::settings(&DIMS), &tensors));
    pieces.remove(packed::ENCODER_LOG_VAR.panels);
    pieces.remove(packed::ENCODER_LOG_VAR.bias);
    pieces.load(|model| {
        let (model, mut memory) = (model.unwrap(), vec![0.0; memory_len(&DIMS)]);
        assert!(!model.has_mdn());
        assert_eq!(model.self_test(&mut memory), Ok(()));
        let mut agent = Agent::new(&model, &mut memory).unwrap();
        assert!(agent.predict().is_none());
        assert_eq!(agent.proof_digest(), agent.digest());
    });
    // Cut out of a packed file, the head takes its part of the proof with it.
    let mut pieces = Pieces::of(&agent());
    pieces.remove(packed::GMM.panels);
    pieces.remove(packed::GMM.bias);
    pieces.load(|model| {
        let (model, mut memory) = (model.unwrap(), vec![0.0; memory_len(&DIMS)]);
        assert!(matches!(model.self_test(&mut memory), Err(SelfTestError::Digest { .. })));
    });
}

#[test]
fn bytes_off_the_boundary() {
    Precision::ALL.into_iter().for_each(off_the_boundary);
}

fn off_the_boundary(precision: Precision) {
    let pieces = Pieces::of(&agent_in(precision));
    let message =
        "tensor `observation.mean`: expected its data on a 4-byte boundary in memory (align the file's bytes to 64)";
    for shift in 1..8 {
        // The whole file moved, then the data moved by the header's length.
        let moved = AlignedBytes::new(&[vec![0; shift], pieces.bytes(0)].concat());
        let (moved, longer) = (&moved[shift..], AlignedBytes::new(&pieces.bytes(shift)));
        for bytes in [moved, &longer[..]] {
            match Model::load(bytes) {
                Ok(model) => {
                    assert_eq!(shift % 4, 0, "loaded {shift} bytes off");
                    assert_eq!(model.self_test(&mut vec![0.0; memory_len(&DIMS)]), Ok(()));
                }
                Err(error) => {
                    assert_eq!(error, LoadError::Misaligned { name: packed::OBSERVATION_MEAN }, "{shift} bytes off");
                    assert_eq!(error.to_string(), message);
                }
            }
        }
    }
}

#[test]
fn files_of_another_kind() {
    let tensors = synthetic::tensors(&DIMS, 1);
    let rows: Vec<_> = tensors.iter().map(|(name, (shape, values))| Entry::f32(name, shape.clone(), values)).collect();
    let settings = synthetic::settings(&DIMS).entries();
    let mut metadata: BTreeMap<_, _> = settings.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    metadata.insert(key::FORMAT.to_string(), key::FORMAT_CHECKPOINT.to_string());
    let error = |bytes: &[u8]| Model::load(&AlignedBytes::new(bytes)).map(|_| ()).unwrap_err().to_string();
    let expected = "metadata `dreamstep.format`: expected packed-2, found `checkpoint-1`";
    assert_eq!(error(&safetensors_bytes(&rows, &metadata)), expected);
    let expected = "metadata `dreamstep.format`: expected, not found (is this a packed agent?)";
    assert_eq!(error(&safetensors_bytes(&rows, &BTreeMap::new())), expected);
    metadata.insert(key::FORMAT.to_string(), key::FORMAT_PACKED.to_string());
    let expected = format!("tensor `{}`: not part of a packed agent", checkpoint::ENCODER_WEIGHT[0]);
    assert_eq!(error(&safetensors_bytes(&rows, &metadata)), expected, "a checkpoint that claims to be packed");
    let zip = *b"PK\x03\x04\x14\0\0\0\x08\0"; // how a PyTorch archive begins
    let length = u64::from_le_bytes(*zip.first_chunk().unwrap());
    let expected = format!("not a safetensors file: header of {length} bytes, expected at most 1048576");
    assert_eq!(error(&zip), expected);
    assert_eq!(error(b""), "not a safetensors file, or cut short: expected at least 8 bytes, found 0");
    let whole = agent();
    let cut = error(&whole[..whole.len() - 1]);
    assert!(cut.starts_with("tensor `selftest.actions`: offsets "), "{cut}");
}

/// Damages the agent, loads it, and replays its self-test.
fn self_test(damage: impl FnOnce(&mut Pieces)) -> Result<(), SelfTestError> {
    let mut pieces = Pieces::of(&agent());
    damage(&mut pieces);
    pieces.load(|model| model.unwrap().self_test(&mut vec![f32::NAN; memory_len(&DIMS)]))
}

#[test]
fn a_self_test_sees_one_bit() {
    assert_eq!(self_test(|_| ()), Ok(()));
    for step in 0..STEPS {
        for index in 0..DIMS.action {
            let error = self_test(|file| file.tensor(packed::SELFTEST_ACTIONS).flip_lowest_bit(16 * step + index));
            let Err(SelfTestError::Action { step: s, index: i, expected, found }) = error else { panic!("{error:?}") };
            assert_eq!((s, i, expected.to_bits() ^ found.to_bits()), (step, index, 1));
            let message = format!("self-test: step {step}, action {index}: expected {expected:?}, found {found:?}");
            assert_eq!(error.unwrap_err().to_string(), message);
        }
        // What pads a row is not part of it.
        assert_eq!(self_test(|file| file.tensor(packed::SELFTEST_ACTIONS).flip_lowest_bit(16 * step + 15)), Ok(()));
    }
    let digest = Pieces::of(&agent()).metadata[key::SELFTEST_DIGEST].clone();
    let digest = u64::from_str_radix(&digest, 16).unwrap();
    for bit in 0..64 {
        let other = digest ^ 1 << bit;
        let error = self_test(|file| file.set(key::SELFTEST_DIGEST, &format!("{other:016x}")));
        assert_eq!(error, Err(SelfTestError::Digest { expected: other, found: digest }));
        let message = format!("self-test: expected state digest {other:016x}, found {digest:016x}");
        assert_eq!(error.unwrap_err().to_string(), message);
    }
    // A bit of a weight: of the controller's bias in an action, of the LSTM's in the state.
    let error = self_test(|file| file.tensor(packed::FC.bias).data[2] ^= 1); // the first bias, sixteen bits up: no sum rounds it away
    assert!(matches!(error, Err(SelfTestError::Action { index: 0, .. })), "{error:?}");
    let error = self_test(|file| file.tensor(packed::RNN.bias).data[2] ^= 1); // an input gate's bias, as far up
    assert!(matches!(error, Err(SelfTestError::Action { .. } | SelfTestError::Digest { .. })), "{error:?}");
}

#[test]
fn a_self_test_that_is_not_whole() {
    let (observations, actions) = (packed::SELFTEST_OBSERVATIONS, packed::SELFTEST_ACTIONS);
    let no_digest = format!("metadata `{}`: expected, not found (is this a packed agent?)", key::SELFTEST_DIGEST);
    refused("no digest", &no_digest, |file| drop(file.metadata.remove(key::SELFTEST_DIGEST)));
    refused("a digest alone", &format!("tensor `{observations}`: expected, not found"), |file| {
        file.remove(observations);
        file.remove(actions);
    });
    for (steps, message) in [
        (STEPS - 1, "tensor `selftest.actions`: expected shape [4, 16], found [3, 16]"),
        (0, "tensor `selftest.actions`: expected shape [1, 16], found [0, 16]"),
    ] {
        refused("actions of other steps", message, |file| file.tensor(actions).reshape(&[steps, 16]));
    }
    refused("no steps", "tensor `selftest.observations`: expected shape [1, 16], found [0, 16]", |file| {
        file.tensor(observations).reshape(&[0, 16]);
        file.tensor(actions).reshape(&[0, 16]);
    });
    let absent = self_test(|file| {
        file.remove(observations);
        file.remove(actions);
        file.metadata.remove(key::SELFTEST_DIGEST);
    });
    assert_eq!(absent, Err(SelfTestError::Absent));
    assert_eq!(SelfTestError::Absent.to_string(), "self-test: the file holds no vectors");
    let (expected, found) = (memory_len(&DIMS), memory_len(&DIMS) - 1);
    Pieces::of(&agent()).load(|model| {
        let error = model.unwrap().self_test(&mut vec![0.0; found]).unwrap_err();
        assert_eq!(error, SelfTestError::Memory { expected, found });
        assert_eq!(error.to_string(), format!("self-test: expected memory for {expected} values, found {found}"));
    });
}

#[test]
fn another_controller() {
    let file = AlignedBytes::new(&agent());
    let model = Model::load(&file).unwrap();
    let tensors = synthetic::tensors(&DIMS, 1);
    let (panels, bias) = controller_panels(&DIMS, &tensors[checkpoint::FC_WEIGHT].1, &tensors[checkpoint::FC_BIAS].1);
    for (name, whole) in [("fc.panels", &panels), ("fc.bias", &bias)] {
        let with = |part: Vec<f32>| {
            let (panels, bias) = if name == "fc.panels" { (&part, &bias) } else { (&panels, &part) };
            model.with_controller(panels, bias).map(|_| ()).map_err(|error| error.to_string())
        };
        for found in [0, 1, whole.len() - 16, whole.len() - 1, whole.len() + 1] {
            let message = format!("tensor `{name}`: expected shape [{}], found [{found}]", whole.len());
            assert_eq!(with(vec![0.0; found]), Err(message));
        }
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for index in [0, whole.len() / 2, whole.len() - 1] {
                let mut other = whole.clone();
                other[index] = value;
                let message = format!("tensor `{name}`: expected finite values, found a non-finite one at {index}");
                assert_eq!(with(other), Err(message));
            }
        }
        assert_eq!(with(whole.clone()), Ok(()));
    }
    // The file's own weights act as before; zeros do nothing; a bias alone is the action.
    let act = |model: &Model<'_>| {
        let mut memory = vec![0.0; memory_len(&DIMS)];
        let mut action = vec![f32::NAN; DIMS.action];
        Agent::new(model, &mut memory).unwrap().act(&synthetic::observation(&DIMS, 2, 0), &mut action).unwrap();
        action
    };
    let (no_panels, no_bias) = (vec![0.0; panels.len()], vec![0.0; bias.len()]);
    assert_eq!(act(&model.with_controller(&panels, &bias).unwrap()), act(&model));
    assert_eq!(act(&model.with_controller(&no_panels, &no_bias).unwrap()), [0.0; 2]);
    let mut some_bias = no_bias.clone();
    some_bias[..2].copy_from_slice(&[0.5, -2.0]);
    assert_eq!(act(&model.with_controller(&no_panels, &some_bias).unwrap()), [0.5 * 0.4, -0.4]);
    assert_ne!(act(&model), [0.0; 2]);
    // In whatever precision the rest is.
    for precision in Precision::ALL {
        let file = AlignedBytes::new(&agent_in(precision));
        let model = Model::load(&file).unwrap();
        let tried = model.with_controller(&no_panels, &some_bias).unwrap();
        assert_eq!(act(&tried), [0.5 * 0.4, -0.4], "{precision:?}");
        assert_eq!(tried.settings(), model.settings());
    }
}

#[test]
fn a_fingerprint_tells_models_apart() {
    let fingerprint = |damage: &dyn Fn(&mut Pieces)| {
        let mut pieces = Pieces::of(&agent());
        damage(&mut pieces);
        pieces.load(|model| model.unwrap().fingerprint())
    };
    let own = fingerprint(&|_| ());
    assert_eq!(fingerprint(&|_| ()), own);
    let different: [&dyn Fn(&mut Pieces); 4] = [
        &|file| file.set(key::REWARD_OFFSET, "0.25"),
        &|file| file.set(key::SELFTEST_DIGEST, "0123456789abcdef"),
        &|file| drop(file.metadata.insert("origin".into(), "elsewhere".into())),
        &|file| {
            file.remove("gmm_linear.panels");
            file.remove("gmm_linear.bias");
        },
    ];
    let mut all = vec![own];
    all.extend(different.map(fingerprint));
    for precision in [Precision::F16, Precision::Bf16, Precision::I8] {
        let file = AlignedBytes::new(&agent_in(precision));
        all.push(Model::load(&file).unwrap().fingerprint());
    }
    let file = AlignedBytes::new(&agent());
    let model = Model::load(&file).unwrap();
    let (mut panels, mut bias) = (vec![0.0; 160], vec![0.0; 16]);
    all.push(model.with_controller(&panels, &bias).unwrap().fingerprint());
    panels[159] = 1e-9;
    all.push(model.with_controller(&panels, &bias).unwrap().fingerprint());
    bias[1] = 1e-9;
    all.push(model.with_controller(&panels, &bias).unwrap().fingerprint());
    for (i, fingerprint) in all.iter().enumerate() {
        assert!(!all[..i].contains(fingerprint), "{i}");
    }
}

/// What an agent's layers are stored in: an i8 file's last layer of the encoder and its controller are f16.
fn stored_in(layer: &str, precision: Precision) -> (&'static str, usize) {
    match precision {
        Precision::F32 => ("F32", 1),
        Precision::Bf16 => ("BF16", 2),
        Precision::I8 if !["encoder.mean", "encoder.log_var", "fc"].contains(&layer) => ("I8", 4),
        Precision::F16 | Precision::I8 => ("F16", 1),
    }
}

/// What the precisions have that f32 does not: a dtype, a fourth axis.
#[test]
fn precisions() {
    for precision in [Precision::F16, Precision::Bf16, Precision::I8] {
        let whole = Pieces::of(&agent_in(precision));
        whole.load(|model| {
            let model = model.unwrap();
            assert_eq!(model.settings().precision, precision);
            assert_eq!(model.self_test(&mut vec![0.0; memory_len(&DIMS)]), Ok(()));
        });
        for (layer, _, _) in LAYERS {
            let name = &format!("{layer}.panels");
            let stored = whole.tensors.iter().find(|tensor| tensor.name == *name).unwrap();
            let (dtype, group) = stored_in(layer, precision);
            let shape = stored.shape.clone();
            assert_eq!((stored.dtype.as_str(), shape.len()), (dtype, if group == 1 { 3 } else { 4 }), "{name}");
            assert_eq!(shape.get(3).copied().unwrap_or(1), group, "{name}");
            refused_in(precision, "missing", &format!("tensor `{name}`: expected, not found"), |file| file.remove(name));
            // A dtype of the same size, then one of another.
            let same = if dtype == "I8" { "U8" } else { "I16" };
            refused_in(precision, "dtype", &format!("tensor `{name}`: expected dtype {dtype}, found {same}"), |file| {
                file.tensor(name).dtype = same.to_string();
            });
            refused_in(precision, "wider", &format!("tensor `{name}`: expected dtype {dtype}, found F32"), |file| {
                let tensor = file.tensor(name);
                tensor.dtype = "F32".to_string();
                tensor.data.resize(4 * shape.iter().product::<usize>(), 0);
            });
            let flat = vec![shape.iter().product::<usize>()];
            let message = format!("tensor `{name}`: expected {} axes, found 1", shape.len());
            refused_in(precision, "flat", &message, |file| file.tensor(name).shape = flat);
            if group > 1 {
                // The same bytes, cut another way.
                let other = [shape[0], shape[1] * group, shape[2], 1];
                let message = format!("tensor `{name}`: expected shape {shape:?}, found {other:?}");
                refused_in(precision, "another group", &message, |file| file.tensor(name).shape = other.to_vec());
            }
        }
        // Each file's weights are for its own precision's loader.
        for other in Precision::ALL.into_iter().filter(|&other| other != precision) {
            let mut pieces = Pieces::of(&agent_in(precision));
            pieces.set(key::PRECISION, other.name());
            pieces.load(|model| assert!(model.is_err(), "{precision:?} as {other:?}"));
        }
    }
}

#[test]
fn patterns_that_are_no_number() {
    let f16 = [0x7c00_u16, 0xfc00, 0x7c01, 0x7fff, 0xfe00];
    let bf16 = [0x7f80_u16, 0xff80, 0x7f81, 0x7fff, 0xffc0];
    let (f16_largest, bf16_largest) = ([0x7bff_u16, 0xfbff, 0x03ff, 0x8000], [0x7f7f_u16, 0xff7f, 0x007f, 0x8000]);
    for (precision, bad, good) in [(Precision::F16, f16, f16_largest), (Precision::Bf16, bf16, bf16_largest)] {
        for (layer, _, _) in LAYERS {
            let name = &format!("{layer}.panels");
            let put = |file: &mut Pieces, index: usize, bits: u16| {
                file.tensor(name).data[2 * index..][..2].copy_from_slice(&bits.to_le_bytes());
            };
            let mut whole = Pieces::of(&agent_in(precision));
            let count = whole.tensor(name).data.len() / 2;
            for (index, bits) in [0, 1, count / 2, count - 1].into_iter().flat_map(|index| bad.map(|bits| (index, bits))) {
                let message = format!("tensor `{name}`: expected finite values, found a non-finite one at {index}");
                refused_in(precision, &format!("{bits:04x}"), &message, |file| put(file, index, bits));
            }
            for (index, bits) in good.into_iter().enumerate() {
                put(&mut whole, index, bits);
            }
            whole.load(|model| assert!(model.is_ok(), "{precision:?}, {name}: the largest and the least numbers"));
        }
    }
}

#[test]
fn integers_with_their_scales_factors_and_sums() {
    let refused = |what: &str, message: &str, damage: &dyn Fn(&mut Pieces)| refused_in(Precision::I8, what, message, damage);
    for (layer, _, groups) in LAYERS {
        let [panels, scale, input, sum] = ["panels", "scale", "input", "sum"].map(|part| format!("{layer}.{part}"));
        let others = if stored_in(layer, Precision::I8).0 == "I8" { &Precision::ALL[..3] } else { &Precision::ALL };
        // In the other precisions they have no place.
        for (&precision, name) in others.iter().flat_map(|precision| [&scale, &input, &sum].map(|name| (precision, name))) {
            let message = format!("tensor `{name}`: not part of a packed agent");
            refused_in(precision, "integers' tensors", &message, |file| {
                let mut tensor = file.tensor(&format!("{layer}.bias")).clone();
                tensor.name = name.clone();
                file.tensors.push(tensor);
            });
        }
        if others.len() == 4 {
            continue;
        }
        let width = if layer == "rnn" { 64 } else { 16 };
        // No layer of these sizes has more than sixteen inputs.
        for (name, dtype, width) in [(&scale, "F32", width), (&input, "F32", 16), (&sum, "I32", width)] {
            refused("missing", &format!("tensor `{name}`: expected, not found"), &|file| file.remove(name));
            let other = if dtype == "F32" { "I32" } else { "F32" };
            refused("dtype", &format!("tensor `{name}`: expected dtype {dtype}, found {other}"), &|file| {
                file.tensor(name).dtype = other.to_string();
            });
            for size in [0, width - 1, width + 1, 2 * width] {
                let message = format!("tensor `{name}`: expected shape [{width}], found [{size}]");
                refused("size", &message, &|file| file.tensor(name).reshape(&[size]));
            }
            refused("rank", &format!("tensor `{name}`: expected 1 axes, found 2"), &|file| {
                file.tensor(name).reshape(&[1, width]);
            });
        }
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (name, index) in [(&scale, 0), (&scale, width - 1), (&input, 0), (&input, 15)] {
                let message = format!("tensor `{name}`: expected finite values, found a non-finite one at {index}");
                refused("not finite", &message, &|file| file.tensor(name).put(index, value));
            }
        }
        let stored = |file: &mut Pieces, output: usize| {
            i32::from_le_bytes(file.tensor(&sum).data[4 * output..][..4].try_into().unwrap())
        };
        let mut whole = Pieces::of(&agent_in(Precision::I8));
        for output in [0, 1, 7, width - 1] {
            let own = stored(&mut whole, output);
            // A sum that is wrong in one bit, the highest too.
            for bit in [0, 1, 8, 31] {
                let other = own ^ 1 << bit;
                let message = format!("tensor `{sum}`: output {output}'s weights add up to {own}, found {other}");
                refused("sum", &message, &|file| {
                    file.tensor(&sum).data[4 * output..][..4].copy_from_slice(&other.to_le_bytes());
                });
            }
            // A weight that is off by one, whichever group and place it stands at: padding is looked at too.
            for (group, within) in (0..groups).flat_map(|group| (0..4).map(move |within| (group, within))) {
                let at = (group * width + output) * 4 + within;
                let weight = i32::from(whole.tensor(&panels).data[at] as i8);
                let delta = if weight == 127 { -1 } else { 1 };
                let message = format!("tensor `{sum}`: output {output}'s weights add up to {}, found {own}", own + delta);
                refused("weight", &message, &|file| {
                    file.tensor(&panels).data[at] = (weight + delta) as i8 as u8;
                });
            }
        }
    }
}

#[test]
fn a_layer_is_there_whole_or_not_at_all() {
    for precision in Precision::ALL {
        for (layer, optional, _) in LAYERS {
            let parts: Vec<_> = Pieces::of(&agent_in(precision)).tensors.into_iter().map(|tensor| tensor.name).collect();
            let parts: Vec<_> = parts.iter().filter(|name| name.rsplit_once('.').unwrap().0 == layer).collect();
            // Every part of it that is not all: the first that is missing is named.
            for mask in 1..1_usize << parts.len() {
                let gone: Vec<_> = (0..parts.len()).filter(|i| mask >> i & 1 == 1).map(|i| parts[i]).collect();
                if optional && gone.len() == parts.len() {
                    continue;
                }
                let message = format!("tensor `{}`: expected, not found", gone[0]);
                refused_in(precision, "in part", &message, |file| gone.iter().for_each(|name| file.remove(name)));
            }
        }
    }
}

#[test]
fn who_samples_needs_a_log_variance() {
    for precision in Precision::ALL {
        let settings = Settings { precision, acting: Acting::Sampled, ..synthetic::settings(&DIMS) };
        let mut pieces = Pieces::of(&agent_with_selftest(&settings, &synthetic::tensors(&DIMS, 1)));
        let live = |model: Result<Model<'_>, LoadError<'_>>| {
            model.map(|model| model.self_test(&mut vec![0.0; memory_len(&DIMS)])).map_err(|error| error.to_string())
        };
        assert_eq!(pieces.load(live), Ok(Ok(())), "{precision:?}");
        pieces.tensors.retain(|tensor| !tensor.name.starts_with("encoder.log_var."));
        let message = "tensor `encoder.log_var.panels`: expected, not found";
        assert_eq!(pieces.load(live), Err(message.to_string()), "{precision:?}");
        // Who acts on the mean does not.
        pieces.set(key::ACTION_LATENT, "mean");
        assert!(matches!(pieces.load(live), Ok(Err(_))), "{precision:?}: it loads, and acts differently");
    }
}

#[test]
fn a_model_without_a_head_does_not_dream() {
    let mut tensors = synthetic::tensors(&DIMS, 1);
    tensors.remove(checkpoint::GMM_WEIGHT);
    let file = AlignedBytes::new(&agent_with_selftest(&synthetic::settings(&DIMS), &tensors));
    let model = Model::load(&file).unwrap();
    let error = Dreams::new(&model, &mut vec![0.0; dreams_memory_len(&DIMS, 1)], 1, DreamOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "dreams: expected a model with an MDN head, found none in the file");
}

/// Damages a file in one to three places, half of the time within its header.
fn mutate(base: &[u8], rng: Philox, step: u64) -> Vec<u8> {
    let mut index = 0;
    let mut below = |n: usize| {
        index += 1;
        rng.below(Stream::Evolution, step, index, n as u64) as usize
    };
    let header = 8 + u64::from_le_bytes(*base.first_chunk().unwrap()) as usize;
    let mut bytes = base.to_vec();
    for _ in 0..=below(3) {
        let reach = if below(2) == 0 { header } else { bytes.len() };
        let at = below(reach.min(bytes.len()));
        match below(6) {
            0 => bytes[at] ^= 1 << below(8),
            1 => bytes[at] = below(256) as u8,
            2 => {
                if let Some(digit) = bytes[at..].iter_mut().find(|byte| byte.is_ascii_digit()) {
                    *digit = b'0' + below(10) as u8;
                }
            }
            3 => {
                // A weight as large, as small or as odd as they come.
                let from = (header + below((bytes.len() - header).max(4)) / 4 * 4).min(bytes.len() - 4);
                let values = [f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, -0.0, 1e30, f32::NAN];
                bytes[from..from + 4].copy_from_slice(&values[below(7)].to_le_bytes());
            }
            4 if below(8) == 0 => bytes.truncate(at.max(header + 4)),
            _ => {
                // A few bytes from one place to another.
                let (from, length) = (below(bytes.len()), 1 + below(8));
                let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
                let to = at.min(bytes.len() - piece.len());
                bytes[to..to + piece.len()].copy_from_slice(&piece);
            }
        }
    }
    bytes
}

/// Loads and, if that works, lives a little: three steps, what M expects, the self-test.
fn live(bytes: &[u8]) -> Result<(), String> {
    let bytes = AlignedBytes::new(bytes);
    let model = Model::load(&bytes).map_err(|error| error.to_string())?;
    let dims = *model.dims();
    let mut memory = vec![0.0; memory_len(&dims)];
    let _ = model.self_test(&mut memory); // what it finds is not the point: it must return
    let mut agent = Agent::new(&model, &mut memory).unwrap();
    let (mut action, mut z) = (vec![0.0; dims.action], vec![0.0; dims.latent]);
    for t in 0..3 {
        agent.step(&synthetic::observation(&dims, 5, t), &mut action).expect("a step does not fail on the model");
        if let Some(prediction) = agent.predict() {
            prediction.sample_latent(1.0, Philox::new(6), t, &mut z);
            prediction.expected_latent(&mut z);
        }
    }
    let mut memory = vec![0.0; dreams_memory_len(&dims, 3)];
    if let Ok(mut dreams) = Dreams::new(&model, &mut memory, 3, DreamOptions::default()) {
        for index in 0..3 {
            let start = Start { latent: &vec![0.5; dims.latent], state: None };
            dreams.start(index, index as u32, start).expect("a start of the model's sizes");
        }
        dreams.step();
        dreams.step();
    }
    Ok(())
}

#[test]
fn what_loads_in_spite_of_a_mutation_runs() {
    const SEED: u64 = 14;
    const MUTATIONS: u64 = 20_000;
    let bases = Precision::ALL.map(agent_in);
    let (mut ran, mut errors) = (0_u64, BTreeMap::<String, u64>::new());
    for step in 0..MUTATIONS {
        let bytes = mutate(&bases[step as usize % 4], Philox::new(SEED), step);
        match std::panic::catch_unwind(|| live(&bytes)) {
            Ok(Ok(())) => ran += 1,
            Ok(Err(error)) => {
                assert_eq!(error.lines().count(), 1, "seed {SEED}, mutation {step}: {error}");
                *errors.entry(error).or_default() += 1;
            }
            Err(_) => panic!("seed {SEED}, mutation {step} panicked"),
        }
    }
    println!("{MUTATIONS} mutations: {ran} ran, {} were refused in {} ways", MUTATIONS - ran, errors.len());
    assert!(ran > MUTATIONS / 20 && errors.len() > 200, "{ran} ran, {} kinds of refusal", errors.len());
}
