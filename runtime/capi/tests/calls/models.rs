//! The calls of models.

use crate::float_mode::{MODES, under};
use crate::{DIMS, GRU, OTHER, change, changed, facts, line, loaded, made, ok, read, refused, unmade, without_head};
use dreamstep_capi::{dreamstep_backend as backend, dreamstep_status as status, *};
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::precision::Precision;
use dreamstep_fixtures::{CARTPOLE, HUMANOID, synthetic};
use dreamstep_runtime::{
    Action, Activation, Backend, Controller, ControllerInput, Dims, Encoder, Memory, Model, dreams_memory_len, memory_len,
    state_len,
};
use std::ffi::{CStr, CString};
use std::ptr::{null, null_mut};

const DISCRETE: Dims = DIMS.with_action(Action::Discrete { choices: 4 });

/// Lengths, in the order in which [`Dims`] has them.
fn lengths(model: *const dreamstep_model) -> [usize; 10] {
    [
        read!(dreamstep_model_obs_len(model)),
        read!(dreamstep_model_action_len(model)),
        read!(dreamstep_model_choices(model)),
        read!(dreamstep_model_unit_len(model)),
        read!(dreamstep_model_latent_len(model)),
        read!(dreamstep_model_hidden_len(model)),
        read!(dreamstep_model_cell_len(model)),
        read!(dreamstep_model_memory_len(model)),
        read!(dreamstep_model_state_len(model)),
        read!(dreamstep_model_dreams_memory_len(model, 3)),
    ]
}

#[test]
fn lengths_are_rusts_and_zero_without_a_model() {
    for (dims, choices) in [(DIMS, 0), (GRU, 0), (OTHER, 0), (DISCRETE, 4), (Dims::reactive(7, 2), 0)] {
        let model = loaded(&synthetic::agent(&dims, 1));
        let expected = [
            dims.obs_len(),
            dims.action_len(),
            choices,
            dims.unit_len(),
            dims.latent_len(),
            dims.hidden_len(),
            dims.cell_len(),
            memory_len(&dims),
            state_len(&dims),
            dreams_memory_len(&dims, 3),
        ];
        assert_eq!(lengths(&*model), expected);
    }
    let model = loaded(&synthetic::agent(&DIMS, 1));
    for count in [0, 1, 64, 65, 1000, usize::MAX / 8] {
        assert_eq!(read!(dreamstep_model_dreams_memory_len(&*model, count)), dreams_memory_len(&DIMS, count));
    }
    assert_eq!(read!(dreamstep_model_dreams_memory_len(&*model, usize::MAX / 8)), usize::MAX);
    let none = unmade::<dreamstep_model>();
    for model in [null(), &raw const *none, (&raw const *model).wrapping_byte_add(4)] {
        assert_eq!(lengths(model), [0; 10]);
    }
}

#[test]
fn a_model_says_what_it_is() {
    use {
        dreamstep_action_kind as action, dreamstep_controller as controller, dreamstep_controller_input as input,
        dreamstep_encoder as encoder, dreamstep_memory as memory, dreamstep_mixture as mixture,
    };
    let kinds = |dims: Dims| {
        let facts = facts(&loaded(&synthetic::agent(&dims, 1)));
        assert_eq!(facts.observation, dreamstep_observation_kind::Vector);
        assert_eq!(facts.mixtures as usize, dims.mixtures());
        (facts.encoder, facts.memory, facts.mixture, facts.controller, facts.controller_input, facts.action)
    };
    let expected = (encoder::Mlp, memory::Lstm, mixture::Joint, controller::Linear, input::LatentHidden, action::Continuous);
    assert_eq!(kinds(DIMS), expected);
    assert_eq!(kinds(GRU).1, memory::Gru);
    assert_eq!(kinds(OTHER).2, mixture::PerDimension);
    assert_eq!(kinds(DISCRETE).5, action::Discrete);
    assert_eq!(kinds(DIMS.with_encoder(Encoder::Identity { latent: 5 })).0, encoder::Identity);
    let mlp = Controller::mlp(ControllerInput::LatentHidden, &[7], Activation::Tanh);
    assert_eq!(kinds(DIMS.with_controller(mlp)).3, controller::Mlp);
    let memoryless = DIMS.with_memory(Memory::None).with_input(ControllerInput::Latent);
    let expected = (encoder::Mlp, memory::None, mixture::None, controller::Linear, input::Latent, action::Continuous);
    assert_eq!(kinds(memoryless), expected);
    let of_input = ControllerInput::ALL.map(|input| kinds(DIMS.with_input(input)).4 as i32);
    assert_eq!(of_input, [0, 1, 2, 3, 4]);
    let reactive = kinds(Dims::reactive(7, 2));
    assert_eq!((reactive.0, reactive.1), (encoder::None, memory::None));
}

#[test]
fn a_model_says_how_it_was_made() {
    for file in [HUMANOID, CARTPOLE, &without_head(), &synthetic::agent(&DIMS, 1)] {
        let (facts, rust) = (facts(&loaded(file)), Model::load(file).unwrap());
        assert_eq!((facts.fingerprint, facts.has_mdn), (rust.fingerprint(), rust.has_mdn()));
        assert_eq!(facts.backend, dreamstep_backend_detect());
        assert_eq!(facts.period_s, rust.period_s().unwrap_or(0.0));
        assert_eq!(facts.surprise_limit, rust.settings().surprise_limit.unwrap_or(f32::INFINITY));
    }
    let mut settings = synthetic::settings(&DIMS);
    (settings.period_s, settings.surprise_limit) = (Some(0.015), Some(2.5));
    let said = facts(&loaded(&synthetic::agent_with(&settings, 1)));
    assert_eq!((said.period_s, said.surprise_limit), (0.015, 2.5));

    for precision in Precision::ALL {
        let file = synthetic::in_precision(&synthetic::agent(&DIMS, 1), precision);
        assert_eq!(facts(&loaded(&file)).precision as usize, precision as usize);
    }
    let model = loaded(HUMANOID);
    assert_eq!(read!(dreamstep_model_info(&*model, null_mut())), status::Null);
}

#[test]
fn every_metadata_key_is_found() {
    let model = loaded(HUMANOID);
    let lookup = |key: &CStr| {
        let (mut value, mut len) = (null(), 0);
        let status = read!(dreamstep_model_metadata(&*model, key.as_ptr(), &mut value, &mut len));
        // SAFETY: what was found lies in the file.
        (status == status::Ok).then(|| unsafe { std::slice::from_raw_parts(value.cast::<u8>(), len) }).ok_or(status)
    };
    let rust = Model::load(HUMANOID).unwrap();
    assert!(rust.metadata_entries().count() > 20);
    for (key, value) in rust.metadata_entries() {
        assert_eq!(lookup(&CString::new(key).unwrap()).unwrap(), value.as_bytes());
    }
    assert_eq!(lookup(c"env").unwrap(), b"Humanoid-v5");
    assert_eq!(lookup(c"dreamstep.format").unwrap(), rust.format().as_bytes());
    assert_eq!(lookup(c"no\nkey").unwrap_err(), status::NoSuchKey);
    assert_eq!(lookup(c"\xff").unwrap_err(), status::Argument);
    let (mut value, mut len, key) = (null(), 9, c"env".as_ptr());
    assert_eq!(read!(dreamstep_model_metadata(&*model, null(), &mut value, &mut len)), status::Null);
    assert_eq!(read!(dreamstep_model_metadata(&*model, key, null_mut(), &mut len)), status::Null);
    assert_eq!(read!(dreamstep_model_metadata(&*model, key, &mut value, null_mut())), status::Null);
    assert_eq!((value, len), (null(), 9), "nothing is written where it is refused");
}

#[test]
fn a_continuous_action_has_its_range() {
    let (model, rust) = (loaded(HUMANOID), Model::load(HUMANOID).unwrap());
    let range = |model: &dreamstep_model, index| {
        let (mut low, mut high) = (f32::NAN, f32::NAN);
        match read!(dreamstep_model_action_range(model, index, &mut low, &mut high)) {
            status::Ok => Ok([low, high]),
            status => Err(status),
        }
    };
    for index in 0..17 {
        assert_eq!(range(&model, index).ok(), rust.action_range(index));
    }
    assert_eq!(range(&model, 17), Err(status::Argument));
    assert_eq!(range(&loaded(&synthetic::agent(&DISCRETE, 1)), 0), Err(status::Kind));
    assert_eq!(read!(dreamstep_model_action_range(&*model, 0, null_mut(), null_mut())), status::Ok);
}

#[test]
fn the_self_test_passes_and_says_why_not() {
    let (mut model, mut memory) = (loaded(HUMANOID), vec![0.0; memory_len(&Dims::HUMANOID)]);
    let (at, len) = (memory.as_mut_ptr(), memory.len());
    assert_eq!(change!(dreamstep_model_self_test(&mut *model, at, len)), ok());
    let rust = Model::load(HUMANOID).unwrap();
    let small = rust.self_test(&mut memory[1..]).unwrap_err();
    assert_eq!(change!(dreamstep_model_self_test(&mut *model, at, len - 1)), refused(status::Memory, small));

    let mut absent = loaded(&synthetic::agent(&DIMS, 1));
    let expected = refused(status::SelfTestAbsent, "self-test: the file holds no vectors");
    assert_eq!(change!(dreamstep_model_self_test(&mut *absent, at, len)), expected);

    let at_digest = HUMANOID.windows(18).position(|text| text == b"\"selftest.digest\":").unwrap() + 19;
    let bytes = changed(HUMANOID, |bytes| bytes[at_digest] = if bytes[at_digest] == b'0' { b'1' } else { b'0' });
    let expected = Model::load(&bytes).unwrap().self_test(&mut memory).unwrap_err();
    let mut failed = loaded(&bytes);
    assert_eq!(change!(dreamstep_model_self_test(&mut *failed, at, len)), refused(status::SelfTestFailed, expected));
}

#[test]
fn the_self_test_sees_the_threads_floating_point_mode() {
    let (mut model, mut memory) = (loaded(HUMANOID), vec![0.0; memory_len(&Dims::HUMANOID)]);
    let (at, len) = (memory.as_mut_ptr(), memory.len());
    for &(bits, _) in MODES {
        // SAFETY: a model that was made, and its own memory.
        let number = under(bits, || unsafe { dreamstep_model_self_test(&mut *model, at, len) });
        let expected =
            "self-test: this thread's floating-point mode: expected rounding to nearest even, subnormals kept; found ";
        assert_eq!(number, status::FloatEnvironment);
        assert!(line(&*model).starts_with(expected), "{}", line(&*model));
    }
    assert_eq!(change!(dreamstep_model_self_test(&mut *model, at, len)), ok());
}

#[test]
fn a_file_that_is_no_agent_is_refused_in_rusts_words() {
    let good = synthetic::agent(&DIMS, 1);
    let mut model = unmade::<dreamstep_model>();
    let mut load = |bytes: &[u8], backend| change!(dreamstep_model_load(&mut *model, bytes.as_ptr(), bytes.len(), backend));
    let words = |bytes: &[u8]| Model::load(bytes).unwrap_err().to_string();

    assert_eq!(load(&good[..7], -1), refused(status::File, words(&good[..7])));
    assert_eq!(load(&good[..good.len() - 1], -1), refused(status::File, words(&good[..good.len() - 1])));
    let at = good.windows(8).position(|text| text == b"packed-3").unwrap();
    let foreign = changed(&good, |bytes| bytes[at] = b'P');
    assert_eq!(load(&foreign, -1), refused(status::NotAnAgent, words(&foreign)));
    let nan = changed(&good, |bytes| bytes.iter_mut().rev().take(64).for_each(|byte| *byte = 0xff));
    assert_eq!(load(&nan, -1), refused(status::NotAnAgent, words(&nan)));
    let shifted = changed(&good, |bytes| bytes.insert(0, 0));
    assert_eq!(load(&shifted[1..], -1), refused(status::Misaligned, words(&shifted[1..])));

    for (number, known) in (0..).zip(Backend::ALL) {
        let expected = match Model::load_with(&good, known) {
            Ok(_) => ok(),
            Err(error) => refused(status::Backend, error),
        };
        assert_eq!(load(&good, number), expected);
    }
    let wrong = "back end: expected a number from -1 to 6, found 7";
    assert_eq!(load(&good, backend::Simd128 as i32 + 1), refused(status::Argument, wrong));

    // What failed to load is none, and still says why.
    assert_eq!(read!(dreamstep_model_info(&*model, null_mut())), status::NotMade);
    assert_eq!(change!(dreamstep_model_self_test(&mut *model, null_mut(), 0)), refused(status::NotMade, wrong));
}

#[test]
fn an_unknown_kind_is_named() {
    let good = synthetic::agent(&DIMS, 1);
    let at = good.windows(14).position(|text| text == b"\"v.kind\":\"mlp\"").unwrap() + 10;
    let bad = changed(&good, |bytes| bytes[at..at + 3].copy_from_slice(b"mlq"));
    let mut model = unmade::<dreamstep_model>();
    let line = Model::load(&bad).unwrap_err().to_string();
    assert_eq!(line, "metadata `v.kind`: expected none, identity, mlp or conv, found `mlq`");
    let found = change!(dreamstep_model_load(&mut *model, bad.as_ptr(), bad.len(), -1));
    assert_eq!(found, refused(status::NotAnAgent, line));
}

#[test]
fn a_model_may_be_copied_moved_and_freed() {
    let mut c = made();
    // SAFETY: a model is plain bytes.
    let copy = Box::new(unsafe { std::ptr::read(&raw const *c.model) });
    *c.model = *unmade();
    let (mut agent, mut memory) = (unmade::<dreamstep_agent>(), vec![0.0; memory_len(&DIMS)]);
    assert_eq!(change!(dreamstep_agent_new(&mut *agent, &*copy, memory.as_mut_ptr(), memory.len())), ok());
    drop(copy);
    let mut other = crate::Made { dims: DIMS, file: AlignedBytes::new(&c.file), model: unmade(), agent, memory };
    assert_eq!(other.step(0), c.step(0));
    // An agent may be moved.
    // SAFETY: an agent is plain bytes, and the one that stays behind is not used.
    let moved = Box::new(unsafe { std::ptr::read(&raw const *other.agent) });
    other = crate::Made { agent: moved, ..other };
    assert_eq!(other.step(1), c.step(1));
    assert_eq!(other.digest(), c.digest());
}
