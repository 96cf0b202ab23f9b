//! Is any file either refused in one line, or an agent that runs alike on every back end?
//!
//! An input's first byte says what the rest is: 0, a file as it stands; otherwise damage to a sound agent, so that the
//! fuzzer need not find its way through the reader by itself.

use crate::agents::sound;
use crate::pieces::{Loose, Pieces};
use crate::script::{ODD, ODD_HALVES, ODD_INTEGERS, Script, identical, same};
use dreamstep_core::maths::CANONICAL_NAN;
use dreamstep_core::names::metadata as key;
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::precision::{bf16_to_f32, f16_to_f32, is_exact_weight};
use dreamstep_core::reader::File;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Agent, Backend, DreamBatch, DreamOptions, DreamStart, LoadError, Model, Target, dreams_memory_len, memory_len,
};

/// See above.
pub fn run(input: &[u8]) {
    match input.split_first() {
        None => {}
        Some((0, file)) => load(file),
        Some((&form, script)) => load(&damaged(&sound()[usize::from(form) % sound().len()], &mut Script(script))),
    }
}

/// Values that metadata have, nearly have, or must not have.
#[rustfmt::skip] // a table
const VALUES: [&str; 80] = [
    "", "0", "1", "2", "3", "5", "16", "17", "32", "64", "65", "65536", "65537", "-1", "1.0", "0.1", "-0", "1e-45",
    "1e38", "1e39", "inf", "NaN", "clamp", "tanh", "z", "delta", "mean", "sampled", "joint", "per-dimension",
    "f32", "f16", "bf16", "i8", "lstm", "gru", "z+h", "h", "obs", "obs+h",
    "none", "identity", "mlp", "linear", "relu", "continuous", "discrete", "vector", "image", "mean-std", "packed-2", "packed-3",
    "9", "9,4", "4,9", "9,", ",4", "9,0", "9, 4", "1,2,3,4", "1,2,3,4,5", "65536,65536", "action,z", "exp",
    "conv", "scale", "as-is", "grey", "reversed", "bilinear", "area", "true", "6,5,3", "6,5,1", "0,0,6,5", "1,1,4,4",
    "2:2:2:1", "2:2:2:1,3:2:1:0", "17:3:1:2,2:2:2:1,4:1:1:0", "4096:16:1:15",
];

/// Keys that a file may have, or has in other agents only.
const KEYS: [&str; 27] = [
    key::OBS_KIND,
    key::OBS_IMAGE[0],
    key::OBS_IMAGE[1],
    key::OBS_IMAGE[2],
    key::OBS_NORMALIZER,
    key::OBS_CLIP,
    key::V_KIND,
    key::V_HIDDEN,
    key::DIM_LATENT,
    key::M_KIND,
    key::DIM_HIDDEN,
    key::DIM_MIXTURES,
    key::C_KIND,
    key::C_HIDDEN,
    key::C_ACTIVATION,
    key::CONTROLLER_INPUT,
    key::ACTION_KIND,
    key::ACTION_LATENT,
    key::CONTROL_PERIOD_S,
    key::SURPRISE_LIMIT,
    key::OBS_FRAME,
    key::OBS_CROP,
    key::OBS_COLOUR,
    key::OBS_FILTER,
    key::OBS_INVERTED,
    key::OBS_SCALE,
    key::V_CONVOLUTIONS,
];

const DTYPES: [&str; 8] = ["F32", "F16", "BF16", "I8", "U8", "I32", "F64", "F4"];

/// `sound` after the script's changes.
fn damaged(sound: &Pieces, script: &mut Script<'_>) -> Vec<u8> {
    let mut pieces = sound.clone();
    let mut shift = 0;
    let mut bytes = Vec::new(); // to be changed once the file is whole: place, value
    for _ in 0..32 {
        if script.is_empty() {
            break;
        }
        let what = script.byte() % 15;
        let keys = pieces.metadata.len();
        let value = script.byte(); // which key or which tensor, or the new value
        match what {
            0 | 1 => {
                let text = match what {
                    0 => String::from_utf8_lossy(script.bytes(24)).into_owned(),
                    _ => (*script.pick(&VALUES)).to_string(),
                };
                if let Some(slot) = pieces.metadata.values_mut().nth(usize::from(value) % keys.max(1)) {
                    *slot = text;
                }
            }
            2 => {
                if let Some(key) = pieces.metadata.keys().nth(usize::from(value) % keys.max(1)).cloned() {
                    pieces.metadata.remove(&key);
                }
            }
            3 => bytes.push((script.below(1 << 16), value)),
            4 => shift = usize::from(value) % 65,
            14 => {
                let (key, value) = (KEYS[usize::from(value) % KEYS.len()], *script.pick(&VALUES));
                pieces.metadata.insert(key.to_string(), value.to_string());
            }
            _ if pieces.tensors.is_empty() => {}
            _ => {
                let at = usize::from(value) % pieces.tensors.len();
                damage(&mut pieces, at, what, script);
            }
        }
    }
    let mut file = pieces.bytes(shift);
    for (place, value) in bytes {
        match file.len() {
            0 => {}
            length => file[place % length] = value,
        }
    }
    file
}

/// One change to the tensor at `at`. Integer weights keep true sums, or no change to them would get far.
fn damage(pieces: &mut Pieces, at: usize, what: u8, script: &mut Script<'_>) {
    let count = pieces.tensors.len();
    let Loose { name, dtype, shape, data } = &mut pieces.tensors[at];
    match what {
        5 | 6 => {
            // One value, any or an odd one.
            let width = width(dtype);
            let slot = script.below(data.len() / width);
            let value = if what == 5 { script.float().to_le_bytes() } else { odd(dtype, script) };
            if let Some(slot) = data.chunks_exact_mut(width).nth(slot) {
                slot.copy_from_slice(&value[..width]);
            }
            mend(pieces, at);
        }
        7 => {
            // Every value, so that sums overflow.
            let (width, value) = (width(dtype), odd(dtype, script));
            data.chunks_exact_mut(width).for_each(|slot| slot.copy_from_slice(&value[..width]));
            mend(pieces, at);
        }
        8 => *dtype = (*script.pick(&DTYPES)).to_string(),
        9 | 10 => {
            // Another shape; with 10, data to fit.
            let axis = script.below(shape.len() + 1);
            let size = script.below(300);
            match shape.get_mut(axis) {
                Some(slot) => *slot = size,
                None => shape.push(size),
            }
            let fitting =
                shape.iter().try_fold(width(dtype), |product, &axis| product.checked_mul(axis)).unwrap_or(usize::MAX);
            if what == 10 && fitting <= 1 << 20 {
                data.resize(fitting, 0);
            }
        }
        11 => *name = String::from_utf8_lossy(script.bytes(24)).into_owned(),
        12 => drop(pieces.tensors.remove(at)),
        _ => {
            let other = script.below(count);
            pieces.tensors.swap(at, other);
        }
    }
}

/// Bytes of a value.
fn width(dtype: &str) -> usize {
    match dtype {
        "I8" | "U8" => 1,
        "F16" | "BF16" => 2,
        _ => 4,
    }
}

/// An odd value of this dtype, and zeros.
fn odd(dtype: &str, script: &mut Script<'_>) -> [u8; 4] {
    match dtype {
        "I8" => [*script.pick(&ODD_INTEGERS) as u8, 0, 0, 0],
        "F16" | "BF16" => u32::from(*script.pick(&ODD_HALVES)).to_le_bytes(),
        _ => script.pick(&ODD).to_le_bytes(),
    }
}

/// Puts the sums of the integer weights at `at` right, where these are still such.
fn mend(pieces: &mut Pieces, at: usize) {
    let Loose { name, dtype, shape, data } = &pieces.tensors[at];
    let (Some(layer), "I8", &[_, groups, width, 4]) = (name.strip_suffix(".panels"), dtype.as_str(), shape.as_slice())
    else {
        return;
    };
    let panels = data.as_chunks::<4>().0.chunks((groups * width).max(1));
    let sum = |weights: &[[u8; 4]], lane: usize| -> i32 {
        weights.iter().skip(lane).step_by(width).flatten().map(|&weight| i32::from(weight as i8)).sum()
    };
    let sums: Vec<_> = panels.flat_map(|weights| (0..width).map(move |lane| sum(weights, lane))).collect();
    let name = format!("{layer}.sum");
    if let Some(tensor) = pieces.tensors.iter_mut().find(|tensor| tensor.name == name) {
        let slots = tensor.data.as_chunks_mut::<4>().0;
        slots.iter_mut().zip(sums).for_each(|(slot, sum)| *slot = sum.to_le_bytes());
    }
}

/// How many agents there are to damage, each under the numbers from 1 on, and how many tensors agent `form` has.
#[must_use]
pub fn tensors(form: u8) -> Option<usize> {
    (usize::from(form) <= sound().len()).then(|| sound()[usize::from(form) % sound().len()].tensors.len())
}

/// The property.
fn load(file: &[u8]) {
    let bytes = AlignedBytes::new(file);
    let models = match (Model::load_with(&bytes, Backend::Portable), Model::load(&bytes)) {
        (Ok(portable), Ok(widest)) => [portable, widest],
        (Err(portable), Err(widest)) => {
            let message = widest.to_string();
            assert_eq!(portable.to_string(), message, "the back ends refuse differently");
            assert_eq!(message.lines().count(), 1, "not one line: {message:?}");
            return;
        }
        (portable, widest) => panic!("one back end refuses: {:?}, {:?}", portable.err(), widest.err()),
    };
    let moved = AlignedBytes::new(&[&[0], file].concat());
    assert!(matches!(Model::load(&moved[1..]), Err(LoadError::Misaligned { .. })), "loaded a byte off its boundary");
    let file = File::parse(&bytes).expect("it loaded");
    for tensor in file.tensors() {
        let (halves, words) = (tensor.data.as_chunks().0.iter(), tensor.data.as_chunks().0.iter());
        let finite = match tensor.dtype {
            "F32" => words.copied().all(|value| f32::from_le_bytes(value).is_finite()),
            "F16" => halves.copied().all(|value| f16_to_f32(u16::from_le_bytes(value)).abs() < 65536.0),
            "BF16" => halves.copied().all(|value| is_exact_weight(bf16_to_f32(u16::from_le_bytes(value)))),
            _ => true,
        };
        assert!(finite, "loaded `{}`, not finite", tensor.name);
    }
    live(&models);
}

/// The self-test, then four steps of two agents side by side.
fn live(models: &[Model<'_>; 2]) {
    let dims = *models[0].dims();
    // A few bytes can ask for a picture of millions of pixels. Such an agent is as sound as a small one, and takes seconds.
    if memory_len(&dims) > 1 << 20 {
        return;
    }
    let mut memory = [(); 2].map(|()| vec![f32::NAN; memory_len(&dims)]);
    let [first, second] = &mut memory;
    let tests = [models[0].self_test(first), models[1].self_test(second)].map(|result| format!("{result:?}"));
    assert_eq!(tests[0], tests[1], "the self-test");
    // Means of the next latent are the head's outputs as they stand; of its change, they are sums.
    let prediction_is_raw = models[0].settings().target == Target::Next;
    let mut agents = [Agent::new(models[0], first).unwrap(), Agent::new(models[1], second).unwrap()];
    for t in 0..4 {
        let observation = synthetic::observation(&dims, 5, t);
        let actions = agents.each_mut().map(|agent| {
            let mut action = vec![0.0; dims.action_len()];
            agent.step(&observation, &mut action).expect("a step does not fail on the model");
            action
        });
        assert!(identical(&actions[0], &actions[1]), "step {t}: actions {actions:?}");
        let states = agents.each_ref().map(|a| [a.hidden(), a.cell(), a.latent(), a.unit_action()].concat());
        assert!(identical(&states[0], &states[1]), "step {t}: states {states:?}");
        let strange = |value: &&f32| value.is_nan() && value.to_bits() != CANONICAL_NAN.to_bits();
        assert_eq!(states[0].iter().chain(&actions[0]).find(strange), None, "step {t}: a NaN that is not the canonical one");
        let units = agents[0].unit_action().iter().chain(agents[0].hidden());
        assert!(units.clone().all(|u| u.is_nan() || u.abs() <= 1.0), "step {t}: an action or h beyond ±1");
        let digests = agents.each_mut().map(|agent| (agent.digest(), agent.self_test_digest()));
        assert_eq!(digests[0], digests[1], "step {t}: digests");
        let dreams = agents.each_mut().map(|agent| {
            let prediction = agent.predict()?;
            if prediction_is_raw {
                let means = (0..dims.mixtures()).flat_map(|k| (0..dims.latent_len()).map(move |i| prediction.mean(k, i)));
                assert_eq!(
                    means.into_iter().find(|mean| strange(&mean)),
                    None,
                    "step {t}: the head's NaN is not the canonical one"
                );
            }
            let (mut sampled, mut expected) = (vec![0.0; dims.latent_len()], vec![0.0; dims.latent_len()]);
            prediction.sample_latent(1.0, Philox::new(6), t, &mut sampled);
            prediction.expected_latent(&mut expected);
            Some([sampled, expected, vec![prediction.reward(), prediction.terminal_probability()]].concat())
        });
        assert_eq!(dreams[0].is_some(), models[0].has_mdn());
        assert!(
            same(&dreams[0].clone().unwrap_or_default(), &dreams[1].clone().unwrap_or_default()),
            "step {t}: {dreams:?}"
        );
    }
    dream(models);
}

/// Three dreams, the last of which never begins, for three ticks.
fn dream(models: &[Model<'_>; 2]) {
    let dims = *models[0].dims();
    let mut memory = [(); 2].map(|()| vec![f32::NAN; dreams_memory_len(&dims, 3)]);
    let [first, second] = &mut memory;
    let dreams = [(models[0], first), (models[1], second)];
    let [Ok(first), Ok(second)] = dreams.map(|(model, memory)| DreamBatch::new(model, memory, 3, DreamOptions::default()))
    else {
        assert!(!models[0].has_mdn() || dims.input().has_observation(), "a head, yet no dreams");
        return;
    };
    let mut dreams = [first, second];
    for dreams in &mut dreams {
        for index in 0..2 {
            let latent = Philox::new(11 + u64::from(index));
            let latent: Vec<_> = (0..dims.latent_len() as u32).map(|i| latent.uniform(Stream::Latent, 0, i) - 0.5).collect();
            dreams.start(index as usize, index, DreamStart { latent: &latent, state: None }).expect("a start");
        }
    }
    for t in 0..3 {
        let active_count = dreams.each_mut().map(DreamBatch::step);
        assert_eq!(active_count[0], active_count[1], "tick {t}: active dreams");
        for index in 0..3 {
            let digests = dreams.each_ref().map(|dreams| (dreams.digest(index), dreams.tick(index), dreams.is_done(index)));
            assert_eq!(digests[0], digests[1], "tick {t}: dream {index}");
        }
    }
}
