//! Is every agent refused whose weights are not what its precision says? Damaged as in `loader.rs`: dtypes and axes, patterns that
//! are no number, integers without their scales, factors and sums, layers in part.

mod common;
#[path = "common/damage.rs"]
mod damage;
#[path = "common/pieces.rs"]
mod pieces;

use common::agent_with_selftest;
use damage::{DIMS, agent_of, refused_of};
use dreamstep_core::names::metadata as key;
use dreamstep_core::schema::Acting;
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{LoadError, MemoryCell, Model, Precision, memory_len};
use pieces::Pieces;

/// Layers, whether an agent can do without them, and how many groups of four inputs they have.
const LAYERS: [(&str, bool, usize); 9] = [
    ("encoder.0", false, 2),
    ("encoder.2", false, 3),
    ("encoder.mean", false, 1),
    ("encoder.log_var", true, 1),
    ("fc", false, 3),
    ("rnn", false, 3),
    ("rnn.ih", false, 2),
    ("rnn.hh", false, 2),
    ("gmm_linear", true, 2),
];

/// Whose layer it is, where not both memories have it.
fn cell(layer: &str) -> MemoryCell {
    if layer.starts_with("rnn.") { MemoryCell::Gru } else { MemoryCell::Lstm }
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
        for cell in MemoryCell::ALL {
            Pieces::of(&agent_of(cell, precision)).load(|model| {
                let model = model.unwrap();
                assert_eq!((model.settings().precision, model.dims().cell()), (precision, Some(cell)));
                assert_eq!(model.self_test(&mut vec![0.0; memory_len(model.dims())]), Ok(()));
            });
        }
        for (layer, _, _) in LAYERS {
            let cell = cell(layer);
            let whole = Pieces::of(&agent_of(cell, precision));
            let name = &format!("{layer}.panels");
            let stored = whole.tensors.iter().find(|tensor| tensor.name == *name).unwrap();
            let (dtype, group) = stored_in(layer, precision);
            let shape = stored.shape.clone();
            assert_eq!((stored.dtype.as_str(), shape.len()), (dtype, if group == 1 { 3 } else { 4 }), "{name}");
            assert_eq!(shape.get(3).copied().unwrap_or(1), group, "{name}");
            refused_of(cell, precision, "missing", &format!("tensor `{name}`: expected, not found"), |file| {
                file.remove(name)
            });
            // A dtype of the same size, then one of another.
            let same = if dtype == "I8" { "U8" } else { "I16" };
            refused_of(
                cell,
                precision,
                "dtype",
                &format!("tensor `{name}`: expected dtype {dtype}, found {same}"),
                |file| {
                    file.tensor(name).dtype = same.to_string();
                },
            );
            refused_of(cell, precision, "wider", &format!("tensor `{name}`: expected dtype {dtype}, found F32"), |file| {
                let tensor = file.tensor(name);
                tensor.dtype = "F32".to_string();
                tensor.data.resize(4 * shape.iter().product::<usize>(), 0);
            });
            let flat = vec![shape.iter().product::<usize>()];
            let message = format!("tensor `{name}`: expected {} axes, found 1", shape.len());
            refused_of(cell, precision, "flat", &message, |file| file.tensor(name).shape = flat);
            if group > 1 {
                // The same bytes, cut another way.
                let other = [shape[0], shape[1] * group, shape[2], 1];
                let message = format!("tensor `{name}`: expected shape {shape:?}, found {other:?}");
                refused_of(cell, precision, "another group", &message, |file| file.tensor(name).shape = other.to_vec());
            }
        }
        // Each file's weights are for its own precision's loader.
        let others = Precision::ALL.into_iter().filter(|&other| other != precision);
        for (other, cell) in others.flat_map(|other| MemoryCell::ALL.map(|cell| (other, cell))) {
            let mut pieces = Pieces::of(&agent_of(cell, precision));
            pieces.set(key::PRECISION, other.name());
            pieces.load(|model| assert!(model.is_err(), "{precision:?} as {other:?}"));
        }
    }
}

#[test]
fn patterns_that_are_no_number() {
    let f16 = [0x7c00_u16, 0xfc00, 0x7c01, 0x7fff, 0xfe00];
    let bf16 = [0x7f80_u16, 0xff80, 0x7f81, 0x7fff, 0xffc0];
    let (f16_largest, bf16_largest) = ([0x7bff_u16, 0xfbff, 0x03ff, 0x8000], [0x5d80_u16, 0xdd80, 0x2180, 0x8000]);
    for (precision, bad, good) in [(Precision::F16, f16, f16_largest), (Precision::Bf16, bf16, bf16_largest)] {
        for (layer, _, _) in LAYERS {
            let cell = cell(layer);
            let name = &format!("{layer}.panels");
            let put = |file: &mut Pieces, index: usize, bits: u16| {
                file.tensor(name).data[2 * index..][..2].copy_from_slice(&bits.to_le_bytes());
            };
            let mut whole = Pieces::of(&agent_of(cell, precision));
            let count = whole.tensor(name).data.len() / 2;
            for (index, bits) in [0, 1, count / 2, count - 1].into_iter().flat_map(|index| bad.map(|bits| (index, bits))) {
                let message = format!("tensor `{name}`: expected finite values, found a non-finite one at {index}");
                refused_of(cell, precision, &format!("{bits:04x}"), &message, |file| put(file, index, bits));
            }
            for (index, bits) in good.into_iter().enumerate() {
                put(&mut whole, index, bits);
            }
            whole.load(|model| assert!(model.is_ok(), "{precision:?}, {name}: the largest and the least numbers"));
        }
    }
}

/// Numbers of bf16 whose products with rounded inputs would not be exact: beyond 2⁶⁰, and below 2⁻⁶⁰, subnormal ones with them.
#[test]
fn bf16_beyond_the_range_of_exact_products() {
    for (layer, _, _) in LAYERS {
        let name = &format!("{layer}.panels");
        for (index, bits) in [0x5d81_u16, 0xdd81, 0x7f7f, 0x217f, 0xa17f, 0x0080, 0x007f, 0x8001].into_iter().enumerate() {
            let message =
                format!("tensor `{name}`: expected magnitudes of 0 or from 2^-60 to 2^60, found another at {index}");
            refused_of(cell(layer), Precision::Bf16, &format!("{bits:04x}"), &message, |file| {
                file.tensor(name).data[2 * index..][..2].copy_from_slice(&bits.to_le_bytes());
            });
        }
    }
}

#[test]
fn integers_with_their_scales_factors_and_sums() {
    for (layer, _, groups) in LAYERS {
        let cell = cell(layer);
        let refused = |what: &str, message: &str, damage: &dyn Fn(&mut Pieces)| {
            refused_of(cell, Precision::I8, what, message, damage);
        };
        let [panels, scale, input, sum] = ["panels", "scale", "input", "sum"].map(|part| format!("{layer}.{part}"));
        let others = if stored_in(layer, Precision::I8).0 == "I8" { &Precision::ALL[..3] } else { &Precision::ALL };
        // In the other precisions they have no place.
        for (&precision, name) in others.iter().flat_map(|precision| [&scale, &input, &sum].map(|name| (precision, name))) {
            let message = format!("tensor `{name}`: not part of a packed agent");
            refused_of(cell, precision, "integers' tensors", &message, |file| {
                let mut tensor = file.tensor(&format!("{layer}.bias")).clone();
                tensor.name = name.clone();
                file.tensors.push(tensor);
            });
        }
        if others.len() == 4 {
            continue;
        }
        let width = if layer.starts_with("rnn") { 64 } else { 16 };
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
        let mut whole = Pieces::of(&agent_of(cell, Precision::I8));
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
            let cell = cell(layer);
            let parts: Vec<_> =
                Pieces::of(&agent_of(cell, precision)).tensors.into_iter().map(|tensor| tensor.name).collect();
            let parts: Vec<_> = parts.iter().filter(|name| name.rsplit_once('.').unwrap().0 == layer).collect();
            // Every part of it that is not all: the first that is missing is named.
            for mask in 1..1_usize << parts.len() {
                let gone: Vec<_> = (0..parts.len()).filter(|i| mask >> i & 1 == 1).map(|i| parts[i]).collect();
                if optional && gone.len() == parts.len() {
                    continue;
                }
                let message = format!("tensor `{}`: expected, not found", gone[0]);
                refused_of(cell, precision, "in part", &message, |file| gone.iter().for_each(|name| file.remove(name)));
            }
        }
    }
}

#[test]
fn who_samples_needs_a_log_variance() {
    for precision in Precision::ALL {
        let settings =
            synthetic::with(synthetic::settings(&DIMS), |s| (s.precision, s.acting) = (precision, Acting::Sampled));
        let mut pieces = Pieces::of(&agent_with_selftest(&settings, &synthetic::tensors(&DIMS, 1)));
        let live = |model: Result<Model<'_>, LoadError>| {
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
