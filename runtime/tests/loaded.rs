//! A model that has been loaded: its self-test, controllers that are tried on it, its fingerprint; and what loads in spite of a mutation runs.

mod common;
#[path = "common/damage.rs"]
mod damage;
#[path = "common/pieces.rs"]
mod pieces;

use common::{STEPS, agent_with_selftest};
use damage::{DIMS, agent_of, refused_of};
use dreamstep_core::names::{checkpoint, metadata as key, packed};
use dreamstep_core::pack::{AlignedBytes, controller_panels};
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Action, Agent, ControllerInput, Dims, DreamBatch, DreamOptions, DreamStart, Encoder, Memory, MemoryCell, Model,
    Precision, SelfTestError, dreams_memory_len, memory_len,
};
use pieces::Pieces;
use std::collections::BTreeMap;

/// A packed agent of [`DIMS`] with self-test vectors, as bytes.
fn agent() -> Vec<u8> {
    agent_of(MemoryCell::Lstm, Precision::F32)
}

/// Each message must be one line; the file must be refused with this one.
#[track_caller]
fn refused(what: &str, message: &str, damage: impl FnOnce(&mut Pieces)) {
    refused_of(MemoryCell::Lstm, Precision::F32, what, message, damage);
}

/// A packed agent of these sizes, in pieces.
fn pieces_of(dims: Dims) -> Pieces {
    Pieces::of(&agent_with_selftest(&synthetic::settings(&dims), &synthetic::tensors(&dims, 1)))
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
        for index in 0..DIMS.action_len() {
            let error = self_test(|file| file.tensor(packed::SELFTEST_ACTIONS).data[4 * (16 * step + index)] ^= 1);
            let Err(SelfTestError::Action { step: s, index: i, expected, found }) = error else { panic!("{error:?}") };
            assert_eq!((s, i, expected.to_bits() ^ found.to_bits()), (step, index, 1));
            let message = format!("self-test: step {step}, action {index}: expected {expected:?}, found {found:?}");
            assert_eq!(error.unwrap_err().to_string(), message);
        }
        // What pads a row is not part of it.
        assert_eq!(self_test(|file| file.tensor(packed::SELFTEST_ACTIONS).data[4 * (16 * step + 15)] ^= 1), Ok(()));
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
    let whole = controller_panels(&DIMS, &[&tensors[checkpoint::FC_WEIGHT].1[..], &tensors[checkpoint::FC_BIAS].1].concat());
    const PANELS: usize = 10 * 16; // Z + H inputs of a panel of sixteen outputs; then sixteen biases
    assert_eq!(whole.len(), PANELS + 16);
    let with = |values: &[f32]| model.with_controller(values).map(|_| ()).map_err(|error| error.to_string());
    for found in [0, 1, 16, PANELS - 1, PANELS, PANELS + 1, PANELS + 15, PANELS + 17, 2 * (PANELS + 16)] {
        let message = match found {
            0..PANELS => format!("tensor `fc.panels`: expected shape [160], found [{found}]"),
            PANELS..=175 => format!("tensor `fc.bias`: expected shape [16], found [{}]", found - PANELS),
            _ => format!("tensor `fc.panels`: expected shape [176], found [{found}]"),
        };
        assert_eq!(with(&vec![0.5; found]), Err(message));
    }
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for (name, from, count) in [("fc.panels", 0, PANELS), ("fc.bias", PANELS, 16)] {
            for index in [0, count / 2, count - 1] {
                let mut other = whole.clone();
                other[from + index] = value;
                let message = format!("tensor `{name}`: expected finite values, found a non-finite one at {index}");
                assert_eq!(with(&other), Err(message));
            }
        }
    }
    assert_eq!(with(&whole), Ok(()));
    // The file's own weights act as before; zeros do nothing; a bias alone is the action.
    let act = |model: &Model<'_>| {
        let mut memory = vec![0.0; memory_len(&DIMS)];
        let mut action = vec![f32::NAN; DIMS.action_len()];
        Agent::new(*model, &mut memory).unwrap().act(&synthetic::observation(&DIMS, 2, 0), &mut action).unwrap();
        action
    };
    let zeros = vec![0.0; whole.len()];
    assert_eq!(act(&model.with_controller(&whole).unwrap()), act(&model));
    assert_eq!(act(&model.with_controller(&zeros).unwrap()), [0.0; 2]);
    let mut some_bias = zeros.clone();
    some_bias[PANELS..PANELS + 2].copy_from_slice(&[0.5, -2.0]);
    assert_eq!(act(&model.with_controller(&some_bias).unwrap()), [0.5 * 0.4, -0.4]);
    assert_ne!(act(&model), [0.0; 2]);
    // In whatever precision the rest is.
    for precision in Precision::ALL {
        let file = AlignedBytes::new(&agent_of(MemoryCell::Lstm, precision));
        let model = Model::load(&file).unwrap();
        let tried = model.with_controller(&some_bias).unwrap();
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
        let file = AlignedBytes::new(&agent_of(MemoryCell::Lstm, precision));
        all.push(Model::load(&file).unwrap().fingerprint());
    }
    let file = AlignedBytes::new(&agent());
    let model = Model::load(&file).unwrap();
    let mut values = vec![0.0; 160 + 16];
    for changed in [None, Some(159), Some(161)] {
        if let Some(index) = changed {
            values[index] = 1e-9;
        }
        all.push(model.with_controller(&values).unwrap().fingerprint());
    }
    for (i, fingerprint) in all.iter().enumerate() {
        assert!(!all[..i].contains(fingerprint), "{i}");
    }
}

#[test]
fn a_model_without_a_head_does_not_dream() {
    let mut tensors = synthetic::tensors(&DIMS, 1);
    tensors.remove(checkpoint::GMM_WEIGHT);
    let file = AlignedBytes::new(&agent_with_selftest(&synthetic::settings(&DIMS), &tensors));
    let model = Model::load(&file).unwrap();
    let error = DreamBatch::new(model, &mut vec![0.0; dreams_memory_len(&DIMS, 1)], 1, DreamOptions::default()).unwrap_err();
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
    let mut agent = Agent::new(model, &mut memory).unwrap();
    let (mut action, mut z) = (vec![0.0; dims.action_len()], vec![0.0; dims.latent_len()]);
    for t in 0..3 {
        agent.act(&synthetic::observation(&dims, 5, t), &mut action).expect("an act does not fail on the model");
        let _ = agent.surprise();
        let _ = agent.override_action(&action); // refused where weights without sense make a NaN of it
        agent.advance().expect("after an act");
        if let Some(prediction) = agent.predict() {
            prediction.sample_latent(1.0, Philox::new(6), t, &mut z);
            prediction.expected_latent(&mut z);
        }
    }
    let mut memory = vec![0.0; dreams_memory_len(&dims, 3)];
    if let Ok(mut dreams) = DreamBatch::new(model, &mut memory, 3, DreamOptions::default()) {
        for index in 0..3 {
            let start = DreamStart { latent: &vec![0.5; dims.latent_len()], state: None };
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
    let mut bases: Vec<_> =
        MemoryCell::ALL.into_iter().flat_map(|cell| Precision::ALL.map(|precision| agent_of(cell, precision))).collect();
    let identity = DIMS.with_encoder(Encoder::Identity { latent: 4 }).with_action(Action::Discrete { choices: 3 });
    let bare = DIMS.with_memory(Memory::None).with_input(ControllerInput::Latent);
    bases.extend([identity, bare, Dims::reactive(5, 2)].map(|dims| pieces_of(dims).bytes(0)));
    let (mut ran, mut errors) = (0_u64, BTreeMap::<String, u64>::new());
    for step in 0..MUTATIONS {
        let bytes = mutate(&bases[step as usize % bases.len()], Philox::new(SEED), step);
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
