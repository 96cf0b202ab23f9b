//! How is each file of this folder made? A table of names and faults. Faults of the format are tiny files written out;
//! faults of an agent are one change to a small agent that is sound.
//!
//! `cargo run --release -p dreamstep-runtime --example make_hostile` writes the files. What each must answer is not made: it
//! stands in `expected.txt`, read and judged by a person.

#[path = "pictures.rs"]
mod pictures;

use crate::common::agent_with_selftest;
use crate::pieces::{Loose, Pieces};
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::reader::{MAX_AXES, MAX_HEADER, MAX_METADATA, MAX_TENSORS};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Dims, MemoryCell, Model, Precision, memory_len};

/// As small as an agent gets with every layer wider than 1.
const DIMS: Dims = Dims::vector(3, 1, &[2, 2], 2, 2, 1);

/// Every file, by name without its ending: `sound…` loads and passes its self-test, all others must be refused.
pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    let sound = agent_with_selftest(&synthetic::settings(&DIMS), &synthetic::tensors(&DIMS, 1));
    let mut files = vec![("sound", sound.clone())];
    files.extend(lengths_and_text());
    files.extend(entries());
    files.extend(places());
    files.extend(whole_agents(&sound));
    let damaged = |(name, damage): Damage| {
        let mut pieces = Pieces::of(&sound);
        damage(&mut pieces);
        (name, pieces.bytes(0))
    };
    files.extend(SETTINGS.map(|(name, key, value)| {
        let mut pieces = Pieces::of(&sound);
        pieces.set(key, value);
        (name, pieces.bytes(0))
    }));
    files.extend(DAMAGES.map(damaged));
    let gru = DIMS.with_cell(MemoryCell::Gru);
    let gru = agent_with_selftest(&synthetic::settings(&gru), &synthetic::tensors(&gru, 1));
    files.extend(GRU_DAMAGES.map(|(name, damage)| {
        let mut pieces = Pieces::of(&gru);
        damage(&mut pieces);
        (name, pieces.bytes(0))
    }));
    files.extend(NARROW_DAMAGES.map(|(name, precision, damage)| {
        let settings = synthetic::with(synthetic::settings(&DIMS), |s| s.precision = precision);
        let mut pieces = Pieces::of(&agent_with_selftest(&settings, &synthetic::tensors(&DIMS, 1)));
        damage(&mut pieces);
        (name, pieces.bytes(0))
    }));
    files.extend(pictures::files());
    files
}

/// What `sound…` answers.
pub(crate) const SOUND: &str = "loads, and passes its self-test";

/// The line that the user of a file reads.
pub(crate) fn answer(bytes: &[u8]) -> String {
    let bytes = AlignedBytes::new(bytes);
    let model = match Model::load(&bytes) {
        Ok(model) => model,
        Err(error) => return error.to_string(),
    };
    match model.self_test(&mut vec![0.0; memory_len(model.dims())]) {
        Ok(()) => SOUND.to_string(),
        Err(error) => error.to_string(),
    }
}

/// A file of this header and as many bytes of data.
fn file(header: impl AsRef<[u8]>, data: usize) -> Vec<u8> {
    let header = header.as_ref();
    [&(header.len() as u64).to_le_bytes(), header, &vec![0; data]].concat()
}

/// Only a claim of how long the header is, then `rest`.
fn claim(length: u64, rest: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes(), rest].concat()
}

const F32: &str = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;

fn lengths_and_text() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", vec![]),
        ("seven-bytes", vec![0; 7]),
        ("header-length-alone", claim(2, b"")),
        ("header-cut-short", claim(100, b"{\"t\":{\"dtype\":")),
        ("header-length-huge", claim(u64::MAX, b"{}")),
        ("header-length-over-limit", claim(MAX_HEADER as u64 + 1, b"{}")),
        ("pytorch-archive", b"PK\x03\x04\x14\0\0\0\x08\0archive/data.pkl".to_vec()),
        ("header-not-utf8", file(b"{\"t\xff\":1}", 0)),
        ("header-empty", file("", 0)),
        ("header-left-open", file("{", 0)),
        ("header-byte-order-mark", file("  \u{feff}{}", 0)),
        ("header-text-after-the-end", file(format!(r#"{{"t":{F32}}}x"#), 4)),
        ("header-padded-with-zeros", file(format!("{{\"t\":{F32}}} \0\0"), 4)),
        ("comma-after-last-tensor", file(format!(r#"{{"t":{F32},}}"#), 4)),
        ("comma-missing", file(format!(r#"{{"t":{F32}"u":{F32}}}"#), 4)),
        ("colon-missing", file(format!(r#"{{"t"{F32}}}"#), 4)),
        ("name-without-end", file(r#"{"t"#, 0)),
        ("name-with-escape", file(format!(r#"{{"\u0074":{F32}}}"#), 4)),
        ("name-with-line-break", file(format!("{{\"t\n\":{F32}}}"), 4)),
        ("metadata-null", file(r#"{"__metadata__":null}"#, 0)),
        ("metadata-value-number", file(r#"{"__metadata__":{"k":1}}"#, 0)),
        ("metadata-value-half-a-surrogate", file(r#"{"__metadata__":{"k":"\ud83d"}}"#, 0)),
        ("metadata-key-twice", file(r#"{"__metadata__":{"k":"v","k":"w"}}"#, 0)),
        ("metadata-twice", file(r#"{"__metadata__":{},"__metadata__":{}}"#, 0)),
        ("metadata-keys-too-many", {
            let keys: Vec<_> = (0..=MAX_METADATA).map(|i| format!(r#""{i}":"""#)).collect();
            file(format!(r#"{{"__metadata__":{{{}}}}}"#, keys.join(",")), 0)
        }),
    ]
}

/// A tensor `t` of one F32 but for what is written instead.
fn tensor(dtype: &str, shape: &str, offsets: &str, data: usize) -> Vec<u8> {
    file(format!(r#"{{"t":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}}}"#), data)
}

fn entries() -> Vec<(&'static str, Vec<u8>)> {
    let f32 = r#""F32""#;
    vec![
        ("tensor-array", file(r#"{"t":["F32",[1],[0,4]]}"#, 4)),
        ("dtype-missing", file(r#"{"t":{"shape":[1],"data_offsets":[0,4]}}"#, 4)),
        ("shape-missing", file(r#"{"t":{"dtype":"F32","data_offsets":[0,4]}}"#, 4)),
        ("offsets-missing", file(r#"{"t":{"dtype":"F32","shape":[1]}}"#, 4)),
        ("tensor-key-unknown", file(r#"{"t":{"dtype":"F32","strides":[1],"shape":[1],"data_offsets":[0,4]}}"#, 4)),
        ("dtype-twice", file(r#"{"t":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}"#, 4)),
        ("tensor-twice", file(format!(r#"{{"t":{F32},"t":{F32}}}"#), 4)),
        ("dtype-number", tensor("32", "[1]", "[0,4]", 4)),
        ("dtype-unknown", tensor(r#""F31""#, "[1]", "[0,4]", 4)),
        ("dtype-half-a-byte", tensor(r#""F4""#, "[8]", "[0,4]", 4)),
        ("shape-number", tensor(f32, "1", "[0,4]", 4)),
        ("shape-float", tensor(f32, "[1.0]", "[0,4]", 4)),
        ("shape-negative", tensor(f32, "[-1]", "[0,4]", 4)),
        ("shape-2-to-the-64", tensor(f32, "[18446744073709551616]", "[0,4]", 4)),
        ("shape-product-overflows", tensor(f32, "[4294967296,4294967297]", "[0,4]", 4)),
        ("axes-too-many", tensor(f32, &format!("[1{}]", ",1".repeat(MAX_AXES)), "[0,4]", 4)),
        ("offsets-one", tensor(f32, "[1]", "[4]", 4)),
        ("offsets-three", tensor(f32, "[1]", "[0,4,8]", 4)),
        ("offsets-with-a-leading-zero", tensor(f32, "[1]", "[0,04]", 4)),
        ("tensors-too-many", {
            let one = |i| format!(r#""{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#);
            file(format!("{{{}}}", (0..=MAX_TENSORS).map(one).collect::<Vec<_>>().join(",")), 0)
        }),
    ]
}

/// A file of one-byte tensors `a`, `b`, … at these offsets.
fn bytes_at(offsets: &[(u64, u64)], data: usize) -> Vec<u8> {
    let one = |(name, &(begin, end)): (char, &(u64, u64))| {
        format!(r#""{name}":{{"dtype":"U8","shape":[{}],"data_offsets":[{begin},{end}]}}"#, end - begin)
    };
    file(format!("{{{}}}", ('a'..).zip(offsets).map(one).collect::<Vec<_>>().join(",")), data)
}

fn places() -> Vec<(&'static str, Vec<u8>)> {
    let f32 = r#""F32""#;
    vec![
        ("tensor-shorter-than-its-shape", tensor(f32, "[2]", "[0,4]", 4)),
        ("tensor-longer-than-its-shape", tensor(f32, "[1]", "[0,8]", 8)),
        ("scalar-without-bytes", tensor(f32, "[]", "[0,0]", 0)),
        ("offsets-past-the-data", tensor(f32, "[2]", "[0,8]", 7)),
        ("offsets-reversed", tensor(f32, "[1]", "[4,0]", 4)),
        ("offsets-at-2-to-the-64", tensor(f32, "[0]", "[18446744073709551615,18446744073709551615]", 4)),
        ("data-without-a-tensor", file("{}", 1)),
        ("hole-between-tensors", bytes_at(&[(0, 2), (3, 5)], 5)),
        ("overlapping-tensors", bytes_at(&[(0, 3), (2, 5)], 5)),
        ("two-tensors-on-the-same-bytes", bytes_at(&[(0, 7), (0, 7)], 7)),
        ("empty-tensor-inside-another", bytes_at(&[(0, 6), (5, 5)], 6)),
        ("bytes-after-the-last-tensor", bytes_at(&[(0, 2), (2, 4)], 5)),
    ]
}

/// Faults of an agent's bytes as a whole.
fn whole_agents(sound: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let pieces = Pieces::of(sound);
    vec![
        ("foreign-model", file(format!(r#"{{"model.embed.weight":{F32}}}"#), 4)),
        ("agent-cut-short", sound[..sound.len() - 1].to_vec()),
        ("agent-with-a-byte-more", [sound, b"\n"].concat()),
        ("agent-off-the-boundary", pieces.bytes(1)),
    ]
}

/// One metadata value replaced.
const SETTINGS: [(&str, &str, &str); 30] = [
    ("format-of-a-checkpoint", "dreamstep.format", "checkpoint-1"),
    ("format-of-the-future", "dreamstep.format", "packed-99"),
    ("precision-unknown", "precision", "f8"),
    ("acting-latent-unknown", "action.latent", "median"),
    ("rnn-inputs-swapped", "rnn.input", "z,action"),
    ("mixture-unknown", "gmm.mixture", "diagonal"),
    ("sigma-unknown", "gmm.sigma", "softplus"),
    ("target-unknown", "gmm.target", "dz"),
    ("squash-unknown", "action.squash", "sigmoid"),
    ("obs-zero", "dims.obs", "0"),
    ("obs-more-than-the-tensors-have", "dims.obs", "17"),
    ("action-not-a-number", "dims.action", "one"),
    ("latent-negative", "dims.latent", "-2"),
    ("latent-more-than-the-tensors-have", "dims.latent", "5"),
    ("hidden-too-many", "dims.hidden", "65537"),
    ("encoder-with-a-point", "v.hidden", "2,2.0"),
    ("encoder-of-five-layers", "v.hidden", "2,2,2,2,2"),
    ("encoder-of-one-layer", "v.hidden", "2"),
    ("encoder-unknown", "v.kind", "cnn"),
    ("encoder-said-to-be-none", "v.kind", "none"),
    ("controller-unknown", "c.kind", "transformer"),
    ("action-unknown", "action.kind", "box"),
    ("normaliser-unknown", "observation.normalizer", "minmax"),
    ("clip-zero", "observation.clip", "0"),
    ("clip-nan", "observation.clip", "NaN"),
    ("log-sigma-floor-infinite", "gmm.log_sigma_min", "-inf"),
    ("log-variance-range-reversed", "encoder.log_var_min", "10.5"),
    ("reward-offset-with-a-comma", "reward.offset", "0,5"),
    ("digest-too-short", "selftest.digest", "0123456789abcde"),
    ("digest-of-another-agent", "selftest.digest", "0123456789abcdef"),
];

/// A file's name, and what is done to the sound agent.
type Damage = (&'static str, fn(&mut Pieces));

/// One change to a tensor, or to which there are.
const DAMAGES: [Damage; 32] = [
    ("precision-missing", |file| drop(file.metadata.remove("precision"))),
    ("encoder-kind-missing", |file| drop(file.metadata.remove("v.kind"))),
    ("observation-said-to-be-an-image", |file| {
        file.set("observation.kind", "image");
        let sizes = [("height", "64"), ("width", "64"), ("channels", "3")];
        file.metadata.extend(sizes.map(|(axis, size)| (format!("observation.{axis}"), size.to_string())));
    }),
    ("identity-beyond-the-observation", |file| {
        file.set("v.kind", "identity");
        file.set("dims.latent", "4");
    }),
    ("memory-said-to-be-none", |file| file.set("m.kind", "none")),
    ("period-of-no-time", |file| drop(file.metadata.insert("control.period_s".into(), "0".into()))),
    ("dim-missing", |file| drop(file.metadata.remove("dims.hidden"))),
    ("mdn-head-without-end", |file| {
        // More outputs than the head may have, by a product that a 32-bit machine cannot hold.
        file.set("dims.latent", "65536");
        file.set("dims.mixtures", "65536");
    }),
    ("tensor-unknown", |file| {
        let other = Loose { name: "decoder.0.weight".into(), ..file.tensor("action.mid").clone() };
        file.tensors.push(other);
    }),
    ("tensor-misspelt", |file| file.tensor("rnn.panels").name = "rnn.panel".into()),
    ("lstm-missing", |file| file.remove("rnn.panels")),
    ("normaliser-missing", |file| file.remove("observation.mean")),
    ("weights-integers", |file| file.tensor("rnn.panels").dtype = "I32".into()),
    ("weights-doubles", |file| {
        let tensor = file.tensor("fc.panels");
        tensor.dtype = "F64".into();
        tensor.data.extend_from_within(..);
    }),
    ("weights-flat", |file| {
        let tensor = file.tensor("encoder.0.panels");
        tensor.shape = vec![tensor.shape.iter().product()];
    }),
    ("weights-transposed", |file| file.tensor("encoder.2.panels").shape.swap(1, 2)),
    ("weights-a-row-short", |file| {
        let tensor = file.tensor("encoder.mean.panels");
        let mut shape = tensor.shape.clone();
        shape[1] -= 1;
        tensor.reshape(&shape);
    }),
    ("normaliser-a-vector-more", |file| file.tensor("observation.inv_std").reshape(&[32])),
    ("weight-nan", |file| file.tensor("rnn.panels").put(70, f32::NAN)),
    ("weight-infinite", |file| file.tensor("encoder.0.panels").put(17, f32::INFINITY)),
    ("weight-minus-infinite", |file| file.tensor("fc.panels").put(0, f32::NEG_INFINITY)),
    ("weight-signalling-nan", |file| file.tensor("gmm_linear.panels").put(20, f32::from_bits(0x7f80_0001))),
    ("padding-nan", |file| file.tensor("encoder.2.panels").put(-1, f32::NAN)),
    ("normaliser-infinite", |file| file.tensor("observation.inv_std").put(2, f32::INFINITY)),
    ("action-range-infinite", |file| file.tensor("action.half").put(0, f32::INFINITY)),
    ("selftest-observation-nan", |file| file.tensor("selftest.observations").put(16, f32::NAN)),
    ("selftest-without-actions", |file| file.remove("selftest.actions")),
    ("selftest-without-digest", |file| drop(file.metadata.remove("selftest.digest"))),
    ("selftest-of-fewer-actions", |file| file.tensor("selftest.actions").reshape(&[1, 16])),
    ("scale-in-a-file-of-floats", |file| {
        let other = Loose { name: "rnn.scale".into(), ..file.tensor("rnn.bias").clone() };
        file.tensors.push(other);
    }),
    ("sampled-acting-without-log-variance", |file| {
        file.set("action.latent", "sampled");
        file.remove("encoder.log_var.panels");
        file.remove("encoder.log_var.bias");
    }),
    // Loads, and fails its self-test: a bit so far up that no sum rounds it away.
    ("weight-with-one-bit-flipped", |file| file.tensor("fc.panels").data[2] ^= 1),
];

/// One change to a sound agent with a GRU.
const GRU_DAMAGES: [Damage; 5] = [
    ("gru-memory-unknown", |file| file.set("m.kind", "elman")),
    ("gru-said-to-be-an-lstm", |file| file.set("m.kind", "lstm")),
    ("gru-without-its-layer-over-h", |file| file.remove("rnn.hh.panels")),
    ("gru-over-all-inputs-at-once", |file| file.tensor("rnn.ih.panels").reshape(&[1, 5, 64])),
    ("gru-bias-infinite", |file| file.tensor("rnn.hh.bias").put(33, f32::INFINITY)),
];

/// A file's name, the precision of the agent that it is made of, and the change.
type NarrowDamage = (&'static str, Precision, fn(&mut Pieces));

/// One change to the same agent in another precision.
const NARROW_DAMAGES: [NarrowDamage; 11] = [
    ("f16-weight-infinite", Precision::F16, |file| file.tensor("encoder.0.panels").put_half(5, 0x7c00)),
    ("f16-padding-nan", Precision::F16, |file| file.tensor("rnn.panels").put_half(319, 0xfe01)),
    ("bf16-weight-nan", Precision::Bf16, |file| file.tensor("fc.panels").put_half(3, 0x7fc0)),
    ("bf16-said-to-be-f16", Precision::Bf16, |file| file.set("precision", "f16")),
    ("i8-sum-wrong", Precision::I8, |file| file.tensor("rnn.sum").data[4] ^= 1),
    ("i8-weight-with-one-bit-flipped", Precision::I8, |file| file.tensor("encoder.0.panels").data[5] ^= 0x40),
    ("i8-sums-floats", Precision::I8, |file| file.tensor("encoder.2.sum").dtype = "F32".into()),
    ("i8-scale-missing", Precision::I8, |file| file.remove("rnn.scale")),
    ("i8-scale-nan", Precision::I8, |file| file.tensor("gmm_linear.scale").put(2, f32::NAN)),
    ("i8-input-factor-infinite", Precision::I8, |file| file.tensor("encoder.2.input").put(1, f32::INFINITY)),
    ("i8-weights-in-other-groups", Precision::I8, |file| file.tensor("gmm_linear.panels").shape = vec![1, 4, 16, 1]),
];

impl Loose {
    /// Fits the data to the shape, with zeros; for elements of four bytes.
    pub(crate) fn reshape(&mut self, shape: &[usize]) {
        self.shape = shape.to_vec();
        self.data.resize(4 * shape.iter().product::<usize>(), 0);
    }

    /// Puts a binary32 at `index`, counted from the end where it is negative.
    pub(crate) fn put(&mut self, index: isize, value: f32) {
        let index = index.rem_euclid((self.data.len() / 4) as isize) as usize;
        self.data[4 * index..][..4].copy_from_slice(&value.to_le_bytes());
    }

    /// Puts sixteen bits at `index`.
    pub(crate) fn put_half(&mut self, index: usize, bits: u16) {
        self.data[2 * index..][..2].copy_from_slice(&bits.to_le_bytes());
    }
}

impl Pieces {
    fn tensor(&mut self, name: &str) -> &mut Loose {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no tensor `{name}`"))
    }

    fn remove(&mut self, name: &str) {
        let before = self.tensors.len();
        self.tensors.retain(|tensor| tensor.name != name);
        assert!(self.tensors.len() < before, "no tensor `{name}`");
    }

    fn set(&mut self, key: &str, value: &str) {
        assert!(self.metadata.insert(key.to_string(), value.to_string()).is_some(), "no key `{key}`");
    }
}
