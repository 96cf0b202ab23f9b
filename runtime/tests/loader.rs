//! Is every damaged agent refused, each fault with its own error in one line? Valid packed agents are taken apart, damaged
//! in one place and put together again as valid safetensors files, so that it is the loader that must notice and not the
//! reader.

mod common;
#[path = "common/damage.rs"]
mod damage;
#[path = "common/pieces.rs"]
mod pieces;

use common::{STEPS, agent_with_selftest};
use damage::{DIMS, agent_of, refused_of};
use dreamstep_core::names::{checkpoint, metadata as key, packed};
use dreamstep_core::pack::{AlignedBytes, Entry, safetensors_bytes};
use dreamstep_core::schema::Squash;
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Action, Agent, ControllerInput, Dims, Encoder, LoadError, Memory, MemoryCell, Model, Precision, SelfTestError, Widths,
    memory_len,
};
use pieces::{Loose, Pieces};
use std::collections::{BTreeMap, BTreeSet};

/// A packed agent of [`DIMS`] with self-test vectors, as bytes.
fn agent() -> Vec<u8> {
    agent_of(MemoryCell::Lstm, Precision::F32)
}

/// Each message must be one line; the file must be refused with this one.
#[track_caller]
fn refused(what: &str, message: &str, damage: impl FnOnce(&mut Pieces)) {
    refused_of(MemoryCell::Lstm, Precision::F32, what, message, damage);
}

const KEYS: [&str; 26] = [
    key::FORMAT,
    key::PRECISION,
    key::OBS_KIND,
    key::OBS_NORMALIZER,
    key::V_KIND,
    key::V_HIDDEN,
    key::M_KIND,
    key::C_KIND,
    key::CONTROLLER_INPUT,
    key::ACTION_KIND,
    key::ACTION_LATENT,
    key::RNN_INPUT,
    key::GMM_MIXTURE,
    key::GMM_SIGMA,
    key::DIM_OBS,
    key::DIM_ACTION,
    key::DIM_LATENT,
    key::DIM_HIDDEN,
    key::DIM_MIXTURES,
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
        (key::FORMAT, "packed-3", ["packed-2", "packed-3 ", "checkpoint-1"]),
        (key::OBS_KIND, "vector or image", ["", "Vector", "pixels"]),
        (key::OBS_NORMALIZER, "mean-std or none, of a picture scale", ["", "std", "None"]),
        (key::V_KIND, "none, identity, mlp or conv", ["", "MLP", "cnn"]),
        (key::M_KIND, "none, lstm or gru", ["LSTM", "rnn", ""]),
        (key::M_KIND, "none, lstm or gru", ["lstm,gru", "elman", "None"]),
        (key::C_KIND, "linear or mlp", ["", "transformer", "Linear"]),
        (key::CONTROLLER_INPUT, "z+h, z, h, obs or obs+h", ["z,h", "Z", ""]),
        (key::ACTION_KIND, "continuous or discrete", ["", "Discrete", "box"]),
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
    for found in ["", "0", "9,0", "65537", "9,", ",4", "9, 4", "9;4", "9,4.0", "-9,4", "9,4,1,2,3"] {
        let expected = "one to four widths from 1 to 65536, separated by commas";
        let message = format!("metadata `v.hidden`: expected {expected}, found `{found}`");
        refused("bad widths", &message, |file| file.set(key::V_HIDDEN, found));
    }
    // What a file need not say, it may not say wrongly.
    for (key, expected, values) in [
        (key::CONTROL_PERIOD_S, "a positive number", ["0", "-0.01", "NaN", "inf", "10 ms", ""]),
        (key::SURPRISE_LIMIT, "a finite number", ["NaN", "inf", "-inf", "1e39", "two", ""]),
    ] {
        for found in values {
            let message = format!("metadata `{key}`: expected {expected}, found `{found}`");
            refused("bad value", &message, |file| drop(file.metadata.insert(key.to_string(), found.to_string())));
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
        (key::DIM_ACTION, "17", "action.mid", "[32]", "[16]"),
        (key::DIM_LATENT, "2", "fc.panels", "[1, 9, 16]", "[1, 10, 16]"),
        (key::DIM_LATENT, "65536", "encoder.mean.panels", "[1024, 4, 64]", "[1, 4, 16]"),
        (key::DIM_HIDDEN, "8", "fc.panels", "[1, 11, 16]", "[1, 10, 16]"),
        (key::DIM_MIXTURES, "3", "gmm_linear.panels", "[1, 7, 32]", "[1, 7, 16]"),
        (key::DIM_MIXTURES, "65536", "gmm_linear.panels", "[7169, 7, 64]", "[1, 7, 16]"),
        (key::GMM_MIXTURE, "per-dimension", "gmm_linear.panels", "[1, 7, 32]", "[1, 7, 16]"),
        (key::V_HIDDEN, "10,4", "encoder.2.panels", "[1, 10, 16]", "[1, 9, 16]"),
        (key::V_HIDDEN, "9,3", "encoder.mean.panels", "[1, 3, 16]", "[1, 4, 16]"),
    ];
    for (key, value, name, expected, found) in cases {
        let message = format!("tensor `{name}`: expected shape {expected}, found {found}");
        refused(key, &message, |file| file.set(key, value));
    }
    refused("more actions", "tensor `fc.panels`: expected shape [1, 10, 32], found [1, 10, 16]", |file| {
        file.set(key::DIM_ACTION, "17");
        ["action.mid", "action.half"].into_iter().for_each(|name| file.tensor(name).reshape(&[32]));
    });
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
            let message = "metadata `dims.mixtures`: expected at most 1048576 outputs of the MDN head, found more";
            refused("a head beyond the limit", message, damage);
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

/// A GRU's tensors in place of an LSTM's, with [`DIMS`]: inputs `[a, z]`, and h.
const GRU: [(&str, &[usize]); 4] =
    [("rnn.ih.panels", &[1, 5, 64]), ("rnn.ih.bias", &[64]), ("rnn.hh.panels", &[1, 7, 64]), ("rnn.hh.bias", &[64])];

#[test]
fn a_grus_tensors() {
    let refused = |what: &str, message: &str, damage: &dyn Fn(&mut Pieces)| {
        refused_of(MemoryCell::Gru, Precision::F32, what, message, damage);
    };
    let pieces = Pieces::of(&agent_of(MemoryCell::Gru, Precision::F32));
    assert_eq!(pieces.metadata["m.kind"], "gru");
    let found: BTreeMap<_, _> = pieces.tensors.iter().map(|t| (t.name.as_str(), t.shape.as_slice())).collect();
    let shared = TENSORS.into_iter().filter(|(name, _)| !name.starts_with("rnn."));
    assert_eq!(found, shared.chain(GRU).collect());
    pieces.load(|model| {
        let model = model.unwrap();
        assert!(*model.dims() == DIMS.with_cell(MemoryCell::Gru) && model.has_mdn());
        assert_eq!(model.self_test(&mut vec![0.0; memory_len(model.dims())]), Ok(()));
    });
    for (name, shape) in GRU {
        refused("missing", &format!("tensor `{name}`: expected, not found"), &|file| file.remove(name));
        refused("dtype", &format!("tensor `{name}`: expected dtype F32, found I32"), &|file| {
            file.tensor(name).dtype = "I32".to_string();
        });
        for (axis, size) in (0..shape.len()).flat_map(|axis| [0, shape[axis] - 1, shape[axis] + 1].map(|size| (axis, size)))
        {
            let mut other = shape.to_vec();
            other[axis] = size;
            let message = format!("tensor `{name}`: expected shape {shape:?}, found {other:?}");
            refused("an axis of another size", &message, &|file| file.tensor(name).reshape(&other));
        }
        let last = shape.iter().product::<usize>() - 1;
        for (value, index) in [(f32::NAN, 0), (f32::INFINITY, last)] {
            let message = format!("tensor `{name}`: expected finite values, found a non-finite one at {index}");
            refused("not finite", &message, &|file| file.tensor(name).put(index, value));
        }
        // Every tensor has a say in what the self-test proves. (Sixteen bits up: no sum rounds it away.)
        let mut pieces = pieces.clone();
        pieces.tensor(name).data[2] ^= 1;
        let found =
            pieces.load(|model| model.map(|model| model.self_test(&mut vec![0.0; memory_len(model.dims())])).unwrap());
        assert!(matches!(found, Err(SelfTestError::Action { .. } | SelfTestError::Digest { .. })), "{name}: {found:?}");
    }
    refused("other sizes", "tensor `rnn.ih.panels`: expected shape [1, 6, 64], found [1, 5, 64]", &|file| {
        file.set(key::DIM_ACTION, "3");
        file.tensor("fc.panels").reshape(&[1, 10, 16]);
    });
}

/// A packed agent of these sizes, in pieces.
fn pieces_of(dims: Dims) -> Pieces {
    Pieces::of(&agent_with_selftest(&synthetic::settings(&dims), &synthetic::tensors(&dims, 1)))
}

/// What loading the pieces answers.
fn answer(pieces: &Pieces) -> Result<(), String> {
    pieces.load(|model| model.map(|_| ()).map_err(|error| error.to_string()))
}

#[test]
fn a_file_holds_what_its_parts_need_and_no_more() {
    let vs = [
        (DIMS.v, &["encoder.0", "encoder.2", "encoder.mean", "encoder.log_var"][..]),
        (Encoder::Mlp { hidden: Widths::new(&[9]).unwrap(), latent: 3 }, &["encoder.0", "encoder.mean", "encoder.log_var"]),
        (
            Encoder::Mlp { hidden: Widths::new(&[9, 4, 6, 2]).unwrap(), latent: 3 },
            &["encoder.0", "encoder.2", "encoder.4", "encoder.6", "encoder.mean", "encoder.log_var"],
        ),
        (Encoder::Identity { latent: 5 }, &[]),
    ];
    let ms = [
        (DIMS.m, ControllerInput::LatentHidden, &["rnn", "gmm_linear"][..]),
        (DIMS.with_cell(MemoryCell::Gru).m, ControllerInput::Hidden, &["rnn.ih", "rnn.hh", "gmm_linear"]),
        (Memory::None, ControllerInput::Latent, &[]),
    ];
    let actions = [(DIMS.action, &["action.mid", "action.half"][..]), (Action::Discrete { choices: 4 }, &[])];
    let mut agents = vec![];
    for ((v, of_v), (m, input, of_m)) in vs.into_iter().flat_map(|v| ms.map(|m| (v, m))) {
        agents.push((DIMS.with_encoder(v).with_memory(m).with_input(input), [of_v, of_m].concat()));
    }
    agents.push((Dims::reactive(5, 2), vec![]));
    for ((dims, layers), (action, range)) in
        agents.into_iter().flat_map(|agent| actions.map(|action| (agent.clone(), action)))
    {
        let dims = dims.with_action(action);
        let mut pieces = pieces_of(dims);
        let shared = ["observation.mean", "observation.inv_std", "selftest.observations", "selftest.actions"];
        let of_layers = [&layers[..], &["fc"]].concat();
        let of_layers = of_layers.iter().flat_map(|layer| ["panels", "bias"].map(|part| format!("{layer}.{part}")));
        let expected: BTreeSet<String> = shared.iter().chain(range).map(ToString::to_string).chain(of_layers).collect();
        assert_eq!(pieces.tensors.iter().map(|tensor| tensor.name.clone()).collect::<BTreeSet<_>>(), expected, "{dims:?}");
        pieces.load(|model| {
            let model = model.unwrap();
            assert_eq!((*model.dims(), model.has_mdn()), (dims, dims.hidden_len() > 0));
            assert_eq!(model.self_test(&mut vec![0.0; memory_len(&dims)]), Ok(()));
        });
        // One of another part, or one missing.
        for other in ["encoder.8.panels", "encoder.4.bias", "rnn.ih.bias", "rnn.panels", "action.mid"] {
            if !expected.contains(other) {
                let mut more = pieces.clone();
                let tensor = Loose { name: other.into(), ..more.tensor("fc.bias").clone() };
                more.tensors.push(tensor);
                assert_eq!(answer(&more), Err(format!("tensor `{other}`: not part of a packed agent")));
            }
        }
        for name in expected {
            let mut less = pieces.clone();
            less.remove(&name);
            assert_eq!(answer(&less), Err(format!("tensor `{name}`: expected, not found")), "{dims:?}");
        }
        // Without a normaliser, its two vectors have no place either.
        pieces.set(key::OBS_NORMALIZER, "none");
        assert_eq!(answer(&pieces), Err("tensor `observation.mean`: not part of a packed agent".to_string()));
        ["observation.mean", "observation.inv_std"].into_iter().for_each(|name| pieces.remove(name));
        pieces.metadata.remove(key::OBS_CLIP);
        assert_eq!(answer(&pieces), Ok(()), "{dims:?}");
    }
}

#[test]
fn parts_that_do_not_fit_each_other() {
    let memory = "none where v.kind is none: M remembers latent vectors (`identity` makes one of the observation)";
    for (changes, what, expected) in [
        (&[(key::V_KIND, "none")][..], key::M_KIND, memory),
        (&[(key::V_KIND, "none"), (key::M_KIND, "none")], key::CONTROLLER_INPUT, "obs where v.kind is none"),
        (&[(key::M_KIND, "none")], key::CONTROLLER_INPUT, "z or obs where m.kind is none"),
        (
            &[(key::M_KIND, "none"), (key::CONTROLLER_INPUT, "obs")],
            key::V_KIND,
            "none where neither M nor C reads a latent vector",
        ),
        (&[(key::V_KIND, "identity"), (key::DIM_LATENT, "6")], key::DIM_LATENT, "at most dims.obs where v.kind is identity"),
    ] {
        refused(what, &format!("metadata `{what}`: expected {expected}"), |file| {
            changes.iter().for_each(|(key, value)| file.set(key, value));
        });
    }
}

/// An image is one of a frame, which a file must say; what else can be wrong with one, hostile files show.
#[test]
fn an_image_says_its_size_and_its_frame() {
    let with = |height: &str, width: &str, channels: &str| {
        let mut pieces = pieces_of(Dims::reactive(12, 2));
        pieces.set(key::OBS_KIND, "image");
        pieces.metadata.remove(key::DIM_OBS);
        let sizes = key::OBS_IMAGE.into_iter().zip([height, width, channels]);
        pieces.metadata.extend(sizes.map(|(key, value)| (key.to_string(), value.to_string())));
        pieces
    };
    let refused = |message: &str| Err(format!("metadata `observation.{message}"));
    let missing = "frame`: expected, not found (is this a packed agent?)";
    assert_eq!(answer(&with("2", "2", "3")), refused(missing));
    assert_eq!(answer(&with("2", "0", "3")), refused("width`: expected an integer from 1 to 65536, found `0`"));
    for key in key::OBS_IMAGE {
        let mut pieces = with("2", "2", "3");
        pieces.metadata.remove(key);
        assert_eq!(answer(&pieces), Err(format!("metadata `{key}`: expected, not found (is this a packed agent?)")));
    }
    let mut pieces = pieces_of(DIMS);
    pieces.set(key::OBS_KIND, "image");
    pieces.metadata.extend(key::OBS_IMAGE.map(|key| (key.to_string(), "1".to_string())));
    assert_eq!(answer(&pieces), refused(missing));
}

#[test]
fn inputs_are_not_mixed() {
    let key = key::CONTROLLER_INPUT;
    let of = |input, precision| {
        let dims = DIMS.with_input(input);
        Pieces::of(&agent_with_selftest(
            &synthetic::with(synthetic::settings(&dims), |s| (s.precision, s.squash) = (precision, Squash::Tanh)),
            &synthetic::tensors(&dims, 1),
        ))
    };
    let message = |pieces: &Pieces| pieces.load(|model| model.map(|_| ()).map_err(|error| error.to_string()));
    let width = |input| match input {
        ControllerInput::LatentHidden => 10, // z 3, h 7, x 5
        ControllerInput::Latent => 3,
        ControllerInput::Hidden => 7,
        ControllerInput::Observation => 5,
        ControllerInput::ObservationHidden => 12,
    };
    for (own, said) in ControllerInput::ALL.into_iter().flat_map(|own| ControllerInput::ALL.map(|said| (own, said))) {
        let mut pieces = of(own, Precision::F32);
        assert_eq!(pieces.tensor("fc.panels").shape, [1, width(own), 16]);
        assert_eq!(pieces.metadata.get(key).map(String::as_str), Some(own.name()));
        pieces.set(key, said.name());
        if own == said {
            pieces.load(|model| {
                let model = model.unwrap();
                assert_eq!(*model.dims(), DIMS.with_input(own));
                assert_eq!(model.self_test(&mut vec![0.0; memory_len(model.dims())]), Ok(()));
            });
        } else {
            // An agent on observations alone has no V and no M that another controller could read.
            let expected = match (own, said.has_latent()) {
                (ControllerInput::Observation, true) => format!("metadata `{key}`: expected obs where v.kind is none"),
                (ControllerInput::Observation, _) => format!("metadata `{key}`: expected z or obs where m.kind is none"),
                _ => {
                    let (said, own) = (width(said), width(own));
                    format!("tensor `fc.panels`: expected shape [1, {said}, 16], found [1, {own}, 16]")
                }
            };
            assert_eq!(message(&pieces), Err(expected));
        }
        for unknown in ["z,h", "Z", "", "obs+z"] {
            pieces.set(key, unknown);
            let expected = format!("metadata `{key}`: expected z+h, z, h, obs or obs+h, found `{unknown}`");
            assert_eq!(message(&pieces), Err(expected));
        }
    }
    for (input, precision) in ControllerInput::ALL.into_iter().flat_map(|input| Precision::ALL.map(|p| (input, p))) {
        // What the controller reads is part of what the self-test proves, and every weight of it.
        let proof =
            |pieces: &Pieces| pieces.load(|model| model.map(|m| m.self_test(&mut vec![0.0; memory_len(m.dims())])).unwrap());
        let mut pieces = of(input, precision);
        assert_eq!(proof(&pieces), Ok(()), "{input:?}, {precision:?}");
        for weight in 0..width(input) {
            let mut other = pieces.clone();
            let data = &mut other.tensor("fc.panels").data;
            // The first output's, in a panel of sixteen; bf16 has its inputs in pairs.
            let (bytes, at) = match precision {
                Precision::F32 => (4, weight * 16),
                Precision::F16 | Precision::I8 => (2, weight * 16),
                Precision::Bf16 => (2, weight / 2 * 32 + weight % 2),
            };
            data[at * bytes + bytes - 1] ^= 0x80;
            let found = proof(&other);
            assert!(matches!(found, Err(SelfTestError::Action { .. })), "{input:?}, {precision:?}, {weight}: {found:?}");
        }
        if input == ControllerInput::Observation {
            assert!(
                !pieces.tensors.iter().any(|tensor| tensor.name.starts_with("encoder") || tensor.name.starts_with("rnn"))
            );
            continue;
        }
        pieces.tensor("encoder.0.bias").data[2] ^= 1; // V has a say
        assert!(proof(&pieces).is_err(), "{input:?}, {precision:?}");
        pieces.remove("encoder.0.bias");
        assert_eq!(message(&pieces), Err("tensor `encoder.0.bias`: expected, not found".to_string()));
    }
}

#[test]
fn memories_are_not_mixed() {
    let key = key::M_KIND;
    for precision in Precision::ALL {
        // A GRU that says it is an LSTM, or none, or nothing; an LSTM that says it is a GRU.
        let message = "tensor `rnn.ih.panels`: not part of a packed agent";
        refused_of(MemoryCell::Gru, precision, "says it is an LSTM", message, |file| file.set(key, "lstm"));
        let message = "metadata `m.kind`: expected, not found (is this a packed agent?)";
        refused_of(MemoryCell::Gru, precision, "says nothing", message, |file| drop(file.metadata.remove(key)));
        let message = "metadata `controller.input`: expected z or obs where m.kind is none";
        refused_of(MemoryCell::Gru, precision, "says it is none", message, |file| file.set(key, "none"));
        let message = "tensor `rnn.panels`: not part of a packed agent";
        refused_of(MemoryCell::Lstm, precision, "says it is a GRU", message, |file| file.set(key, "gru"));
    }
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
        let mut agent = Agent::new(model, &mut memory).unwrap();
        assert!(agent.predict().is_none());
        assert_eq!(agent.self_test_digest(), agent.digest());
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
    let pieces = Pieces::of(&agent_of(MemoryCell::Lstm, precision));
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
    let expected = "metadata `dreamstep.format`: expected packed-3, found `checkpoint-1`";
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
