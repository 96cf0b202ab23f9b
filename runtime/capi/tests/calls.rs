//! What does each call of the C API promise? Every status with its message, nothing done where it refuses, and the bits that Rust
//! gives where it does not.

#[path = "../../tests/common/float_mode.rs"]
#[allow(dead_code)] // the runtime's own tests look closer
mod float_mode;

use dreamstep_capi::{dreamstep_backend as backend, dreamstep_status as status, *};
use dreamstep_core::names::checkpoint;
use dreamstep_core::pack::{AlignedBytes, Parts, pack};
use dreamstep_core::precision::Precision;
use dreamstep_core::rng::Philox;
use dreamstep_fixtures::{HUMANOID, synthetic};
use dreamstep_runtime::{
    Agent, Backend, ControllerInput, Dims, DreamBatch, DreamOptions, DreamStart, MemoryCell, Mixture, Model, Termination,
    dreams_memory_len, memory_len,
};
use float_mode::{MODES, under};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

const DIMS: Dims = Dims {
    obs: 21,
    action: 3,
    latent: 5,
    hidden: 19,
    mixtures: 2,
    mixture: Mixture::Joint,
    encoder: [9, 17],
    cell: MemoryCell::Lstm,
    input: ControllerInput::LatentHidden,
};
const GRU: Dims = Dims { cell: MemoryCell::Gru, ..DIMS };
const OTHER: Dims = Dims { obs: 22, mixture: Mixture::PerDimension, ..DIMS };

fn dims(dims: &Dims) -> dreamstep_dims {
    dreamstep_dims {
        obs: dims.obs as u32,
        action: dims.action as u32,
        latent: dims.latent as u32,
        hidden: dims.hidden as u32,
        mixtures: dims.mixtures as u32,
        mixture: i32::from(dims.mixture == Mixture::PerDimension),
        encoder: dims.encoder.map(|n| n as u32),
        cell: i32::from(dims.cell == MemoryCell::Gru),
        input: ControllerInput::ALL.into_iter().zip([0, 1, 2, 3, 4]).find(|(input, _)| *input == dims.input).unwrap().1,
    }
}

/// Calls a function with a message buffer; its status and message.
macro_rules! call {
    ($function:ident($($argument:expr),* $(,)?)) => {{
        let mut message = [0x7f as c_char; 256];
        // SAFETY: every test passes pointers to its own variables, or those that the function must refuse.
        let status = unsafe { $function($($argument,)* message.as_mut_ptr(), message.len()) };
        (status, text(&message))
    }};
}

fn text(message: &[c_char]) -> String {
    let bytes: Vec<u8> = message.iter().map(|&c| c as u8).collect();
    CStr::from_bytes_until_nul(&bytes).unwrap().to_str().unwrap().to_owned()
}

fn ok() -> (status, String) {
    (status::Ok, String::new())
}

fn refused(number: status, message: impl ToString) -> (status, String) {
    (number, message.to_string())
}

/// Memory in which a function makes a struct.
fn unmade<T>() -> Box<T> {
    // SAFETY: the structs are arrays of integers.
    unsafe { Box::new(MaybeUninit::zeroed().assume_init()) }
}

/// A model of a copy of `file`, which is never freed: models borrow it.
fn loaded(file: &[u8]) -> Box<dreamstep_model> {
    let file = Box::leak(Box::new(AlignedBytes::new(file)));
    let mut model = unmade();
    assert_eq!(call!(dreamstep_model_load(&mut *model, file.as_ptr(), file.len(), -1)), ok());
    model
}

/// A file with some bytes changed.
fn changed(file: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> AlignedBytes {
    let mut bytes = file.to_vec();
    change(&mut bytes);
    AlignedBytes::new(&bytes)
}

/// A model and an agent of it. The boxes keep their addresses.
struct Made {
    dims: Dims,
    file: AlignedBytes,
    model: Box<dreamstep_model>,
    agent: Box<dreamstep_agent>,
    memory: Vec<f32>,
}

fn made() -> Made {
    made_of(DIMS)
}

fn made_of(dims: Dims) -> Made {
    let file = synthetic::agent(&dims, 1);
    let model = loaded(&file);
    let mut made = Made { dims, file, model, agent: unmade(), memory: vec![f32::NAN; memory_len(&dims)] };
    let (memory, len) = (made.memory.as_mut_ptr(), made.memory.len());
    assert_eq!(call!(dreamstep_agent_new(&mut *made.agent, &*made.model, memory, len)), ok());
    made
}

impl Made {
    fn act(&mut self, t: u64) -> Vec<u32> {
        let (observation, mut action) = (synthetic::observation(&DIMS, 2, t), [f32::NAN; 3]);
        let (from, to) = (observation.as_ptr(), action.as_mut_ptr());
        assert_eq!(call!(dreamstep_act(&mut *self.agent, from, observation.len(), to, 3)), ok());
        action.map(f32::to_bits).to_vec()
    }

    fn step(&mut self, t: u64) -> Vec<u32> {
        let action = self.act(t);
        assert_eq!(call!(dreamstep_advance(&mut *self.agent)), ok());
        action
    }

    fn digest(&self) -> u64 {
        let mut digest = 0;
        assert_eq!(call!(dreamstep_digest(&*self.agent, &mut digest)), ok());
        digest
    }

    fn save(&self) -> Vec<u8> {
        // SAFETY: a reference is a pointer.
        let mut bytes = vec![0; unsafe { dreamstep_state_len(&dims(&self.dims)) }];
        assert_eq!(call!(dreamstep_state_save(&*self.agent, bytes.as_mut_ptr(), bytes.len())), ok());
        bytes
    }
}

/// Runs `test` with Rust's agent of the same file.
fn with_rust(file: &[u8], test: impl FnOnce(&mut Agent<'_, '_>)) {
    let model = Model::load(file).unwrap();
    let mut memory = vec![0.0; memory_len(model.dims())];
    test(&mut Agent::new(&model, &mut memory).unwrap());
}

#[test]
fn the_numbers_stay() {
    let statuses = [
        status::Ok,
        status::Null,
        status::Misaligned,
        status::NotMade,
        status::Overlap,
        status::Argument,
        status::Length,
        status::Memory,
        status::NonFinite,
        status::Order,
        status::Backend,
        status::File,
        status::NotAnAgent,
        status::SelfTestAbsent,
        status::SelfTestFailed,
        status::NoSuchKey,
        status::NoHead,
        status::Dims,
        status::State,
        status::OtherModel,
        status::Input,
    ];
    for (number, status) in statuses.into_iter().enumerate() {
        assert_eq!(status as usize, number);
    }
}

#[test]
fn back_ends_have_their_names_and_are_those_of_this_processor() {
    let name = |number| {
        let name = dreamstep_backend_name(number);
        // SAFETY: not NULL, and the names are constants.
        (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_str().unwrap())
    };
    for (number, known) in (0..).zip(Backend::ALL) {
        assert_eq!(name(number), Some(known.name()));
        assert_eq!(dreamstep_backend_is_available(number), known.is_available());
    }
    assert_eq!((name(-1), name(7), name(-2), name(i32::MAX)), (Some("auto"), None, None, None));
    assert!(dreamstep_backend_is_available(-1));
    assert!(!dreamstep_backend_is_available(7));
    assert_eq!(name(dreamstep_backend_detect() as i32), Some(Backend::detect().name()));
    // SAFETY: a constant.
    assert_eq!(unsafe { CStr::from_ptr(dreamstep_version()) }.to_str(), Ok(env!("CARGO_PKG_VERSION")));
}

#[test]
fn sizes_are_rusts_and_those_that_no_file_can_have_are_zero() {
    // SAFETY: NULL or references.
    unsafe {
        for sizes in [Dims::HUMANOID, DIMS, GRU, OTHER] {
            assert_eq!(dreamstep_memory_len(&dims(&sizes)), memory_len(&sizes));
            assert_eq!(dreamstep_state_len(&dims(&sizes)), dreamstep_runtime::state_len(&sizes));
            for count in [0, 1, 64, 65, 1000] {
                assert_eq!(dreamstep_dreams_memory_len(&dims(&sizes), count), dreams_memory_len(&sizes, count));
            }
        }
        let good = dims(&DIMS);
        for many in [usize::MAX / 100, usize::MAX / 2 + 1, usize::MAX] {
            assert_eq!(dreamstep_dreams_memory_len(&good, many), 0);
        }
        for bad in [
            dreamstep_dims { obs: 0, ..good },
            dreamstep_dims { hidden: 65_537, ..good },
            dreamstep_dims { mixture: 2, ..good },
            dreamstep_dims { cell: 2, ..good },
            dreamstep_dims { cell: -1, ..good },
            dreamstep_dims { input: 5, ..good },
            dreamstep_dims { input: -1, ..good },
            dreamstep_dims { encoder: [9, u32::MAX], ..good },
            dreamstep_dims { mixtures: 65_536, latent: 9, ..good },
        ] {
            assert_eq!((dreamstep_memory_len(&bad), dreamstep_state_len(&bad)), (0, 0), "{bad:?}");
        }
        assert_eq!((dreamstep_memory_len(null()), dreamstep_dreams_memory_len(null(), 1)), (0, 0));
        assert_eq!(dreamstep_memory_len((&raw const good).byte_add(2)), 0);
    }
    assert_eq!(
        (dreamstep_model_size(), dreamstep_agent_size(), dreamstep_dreams_size()),
        (size_of::<dreamstep_model>(), size_of::<dreamstep_agent>(), size_of::<dreamstep_dreams>())
    );
}

#[test]
fn a_model_says_what_it_is() {
    let model = loaded(HUMANOID);
    let rust = Model::load(HUMANOID).unwrap();
    let mut info = MaybeUninit::<dreamstep_model_info>::uninit();
    assert_eq!(call!(dreamstep_model_get_info(&*model, info.as_mut_ptr())), ok());
    // SAFETY: filled where the status is 0.
    let info = unsafe { info.assume_init() };
    assert_eq!(info.dims, dims(&Dims::HUMANOID));
    assert_eq!((info.precision, info.has_mdn, info.fingerprint), (dreamstep_precision::F32, true, rust.fingerprint()));
    assert_eq!(info.backend, dreamstep_backend_detect());

    let lookup = |key: &CStr| {
        let (mut value, mut len) = (null(), 0);
        let answer = call!(dreamstep_model_metadata(&*model, key.as_ptr(), &mut value, &mut len));
        // SAFETY: what was found lies in the file.
        (answer.0 == status::Ok).then(|| unsafe { std::slice::from_raw_parts(value.cast::<u8>(), len) }).ok_or(answer)
    };
    assert_eq!(lookup(c"env").unwrap(), b"Humanoid-v5");
    assert_eq!(lookup(c"no\nkey").unwrap_err(), refused(status::NoSuchKey, "metadata `no\\nkey`: expected, not found"));
    assert_eq!(lookup(c"\xff").unwrap_err(), refused(status::Argument, "key: expected UTF-8"));

    for precision in Precision::ALL {
        let model = loaded(&synthetic::in_precision(&synthetic::agent(&DIMS, 1), precision));
        let mut info = MaybeUninit::<dreamstep_model_info>::uninit();
        assert_eq!(call!(dreamstep_model_get_info(&*model, info.as_mut_ptr())), ok());
        // SAFETY: filled where the status is 0.
        assert_eq!(unsafe { info.assume_init() }.precision as usize, precision as usize);
    }
}

#[test]
fn the_self_test_passes_and_says_why_not() {
    let (model, mut memory) = (loaded(HUMANOID), vec![0.0; memory_len(&Dims::HUMANOID)]);
    let (at, len) = (memory.as_mut_ptr(), memory.len());
    assert_eq!(call!(dreamstep_self_test(&*model, at, len)), ok());
    let rust = Model::load(HUMANOID).unwrap();
    assert_eq!(
        call!(dreamstep_self_test(&*model, at, len - 1)),
        refused(status::Memory, rust.self_test(&mut memory[1..]).unwrap_err())
    );

    let absent = loaded(&synthetic::agent(&DIMS, 1));
    let expected = refused(status::SelfTestAbsent, "self-test: the file holds no vectors");
    assert_eq!(call!(dreamstep_self_test(&*absent, at, len)), expected);

    let at_digest = HUMANOID.windows(18).position(|text| text == b"\"selftest.digest\":").unwrap() + 19;
    let bytes = changed(HUMANOID, |bytes| bytes[at_digest] = if bytes[at_digest] == b'0' { b'1' } else { b'0' });
    let expected = Model::load(&bytes).unwrap().self_test(&mut memory).unwrap_err();
    let failed = loaded(&bytes);
    assert_eq!(call!(dreamstep_self_test(&*failed, at, len)), refused(status::SelfTestFailed, expected));

    for &(bits, _) in MODES {
        let expected = under(bits, || rust.self_test(&mut memory)).unwrap_err();
        let found = under(bits, || call!(dreamstep_self_test(&*model, at, len)));
        assert_eq!(found, refused(status::SelfTestFailed, expected));
        assert!(found.1.contains("this thread's floating-point mode"), "{found:?}");
    }
    assert_eq!(call!(dreamstep_self_test(&*model, at, len)), ok());
}

#[test]
fn a_file_that_is_no_agent_is_refused_in_rusts_words() {
    let good = synthetic::agent(&DIMS, 1);
    let mut model = unmade::<dreamstep_model>();
    let mut load = |bytes: &[u8], backend| call!(dreamstep_model_load(&mut *model, bytes.as_ptr(), bytes.len(), backend));
    let words = |bytes: &[u8]| Model::load(bytes).unwrap_err().to_string();

    assert_eq!(load(&good[..7], -1), refused(status::File, words(&good[..7])));
    assert_eq!(load(&good[..good.len() - 1], -1), refused(status::File, words(&good[..good.len() - 1])));
    let at = good.windows(8).position(|text| text == b"packed-2").unwrap();
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

    // What failed to load is none.
    let mut digest = 0_u64;
    let not_made = refused(status::NotMade, "model: expected one that was made, found none");
    assert_eq!(call!(dreamstep_model_get_info(&*model, (&raw mut digest).cast())), not_made);
}

#[test]
fn a_loop_in_c_is_a_loop_in_rust() {
    [DIMS, GRU].into_iter().for_each(a_loop);
}

fn a_loop(dims: Dims) {
    let mut c = made_of(dims);
    with_rust(&synthetic::agent(&dims, 1), |rust| {
        for t in 0..8 {
            let (observation, mut action) = (synthetic::observation(&DIMS, 2, t), [0.0; 3]);
            let (from, len) = (observation.as_ptr(), observation.len());
            let mut peeked = [f32::NAN; 3];
            assert_eq!(call!(dreamstep_peek(&mut *c.agent, from, len, peeked.as_mut_ptr(), 3)), ok());
            if t % 2 == 0 {
                rust.act(&observation, &mut action).unwrap();
                assert_eq!(c.act(t), action.map(f32::to_bits));
                let applied = [0.1, -0.2, 0.3];
                rust.override_action(&applied).unwrap();
                assert_eq!(call!(dreamstep_override_action(&mut *c.agent, applied.as_ptr(), 3)), ok());
                rust.advance().unwrap();
                assert_eq!(call!(dreamstep_advance(&mut *c.agent)), ok());
            } else {
                rust.step(&observation, &mut action).unwrap();
                let mut found = [f32::NAN; 3];
                assert_eq!(call!(dreamstep_step(&mut *c.agent, from, len, found.as_mut_ptr(), 3)), ok());
                assert_eq!(found, action);
            }
            assert_eq!(peeked, action);
            assert_eq!(c.digest(), rust.digest());
            let copied = |function: unsafe extern "C" fn(_, _, _, _, _) -> _, len| {
                let mut values = vec![f32::NAN; len];
                // SAFETY: as many values as the function copies.
                assert_eq!(unsafe { function(&raw const *c.agent, values.as_mut_ptr(), len, null_mut(), 0) }, status::Ok);
                values
            };
            assert_eq!(copied(dreamstep_latent, DIMS.latent), rust.latent());
            assert_eq!(copied(dreamstep_hidden, DIMS.hidden), rust.hidden());
            assert_eq!(copied(dreamstep_cell, dims.cell_state()), rust.cell());
            assert_eq!(copied(dreamstep_unit_action, DIMS.action), rust.unit_action());
        }
        let (mut reward, mut end, mut z) = (0.0, 0.0, [0.0; 5]);
        let prediction = rust.predict().unwrap();
        assert_eq!(call!(dreamstep_predict(&mut *c.agent, &mut reward, &mut end)), ok());
        assert_eq!((reward, end), (prediction.reward(), prediction.terminal_probability()));
        assert_eq!(call!(dreamstep_predict(&mut *c.agent, null_mut(), null_mut())), ok());
        let mut expected = [0.0; 5];
        prediction.expected_latent(&mut expected);
        assert_eq!(call!(dreamstep_expected_latent(&mut *c.agent, z.as_mut_ptr(), 5)), ok());
        assert_eq!(z, expected);
        prediction.sample_latent(0.7, Philox::new(9), 4, &mut expected);
        assert_eq!(call!(dreamstep_sample_latent(&mut *c.agent, 0.7, 9, 4, z.as_mut_ptr(), 5)), ok());
        assert_eq!(z, expected);
        let wrong = refused(status::Argument, "temperature: expected a positive number, found -1");
        assert_eq!(call!(dreamstep_sample_latent(&mut *c.agent, -1.0, 9, 4, z.as_mut_ptr(), 5)), wrong);
        let short = refused(status::Length, "latent: expected 5 values, found 4");
        assert_eq!(call!(dreamstep_expected_latent(&mut *c.agent, z.as_mut_ptr(), 4)), short);
        assert_eq!(call!(dreamstep_latent(&*c.agent, z.as_mut_ptr(), 4)), short);

        let mut info = dreamstep_agent_info { seed: 9, tick: 9, has_acted: true };
        assert_eq!(call!(dreamstep_set_seed(&mut *c.agent, 77)), ok());
        assert_eq!(call!(dreamstep_agent_get_info(&*c.agent, &mut info)), ok());
        assert_eq!(info, dreamstep_agent_info { seed: 77, tick: 8, has_acted: false });
        rust.reset();
        assert_eq!(call!(dreamstep_reset(&mut *c.agent)), ok());
        assert_eq!(c.digest(), rust.digest());
    });
}

#[test]
fn a_refused_step_says_why_in_rusts_words_and_changes_nothing() {
    let mut c = made();
    c.step(0);
    let before = c.save();
    let (mut observation, mut action) = (synthetic::observation(&DIMS, 2, 1), [7.0; 3]);
    with_rust(&synthetic::agent(&DIMS, 1), |rust| {
        let to = action.as_mut_ptr();
        let length = rust.act(&observation[1..], &mut [0.0; 3]).unwrap_err();
        assert_eq!(call!(dreamstep_act(&mut *c.agent, observation.as_ptr(), 20, to, 3)), refused(status::Length, length));
        let length = rust.act(&observation, &mut [0.0; 2]).unwrap_err();
        assert_eq!(call!(dreamstep_step(&mut *c.agent, observation.as_ptr(), 21, to, 2)), refused(status::Length, length));
        let order = rust.advance().unwrap_err();
        assert_eq!(call!(dreamstep_advance(&mut *c.agent)), refused(status::Order, order));
        assert_eq!(call!(dreamstep_override_action(&mut *c.agent, to, 3)), refused(status::Order, order));
        observation[4] = f32::NAN;
        let nan = rust.act(&observation, &mut [0.0; 3]).unwrap_err();
        assert_eq!(call!(dreamstep_peek(&mut *c.agent, observation.as_ptr(), 21, to, 3)), refused(status::NonFinite, nan));
        let infinite = [f32::INFINITY; 3];
        let message = "action[0]: expected a finite value, found inf";
        assert_eq!(
            call!(dreamstep_override_action(&mut *c.agent, infinite.as_ptr(), 3)),
            refused(status::NonFinite, message)
        );
    });
    assert_eq!(action, [7.0; 3]);
    assert_eq!(c.save(), before);
}

#[test]
fn pointers_that_cannot_be_followed_are_refused() {
    let mut c = made();
    let (observation, mut action, mut digest) = (synthetic::observation(&DIMS, 2, 0), [0.0_f32; 64], 0);
    let (from, to) = (observation.as_ptr(), action.as_mut_ptr());
    let agent = &raw mut *c.agent;
    let null_pointer = |what: &str| refused(status::Null, format!("{what}: expected a pointer, found NULL"));
    let misaligned =
        |what: &str, n| refused(status::Misaligned, format!("{what}: expected an address that is a multiple of {n}"));
    assert_eq!(call!(dreamstep_act(null_mut(), from, 21, to, 3)), null_pointer("agent"));
    assert_eq!(call!(dreamstep_act(agent, null(), 21, to, 3)), null_pointer("observation"));
    assert_eq!(call!(dreamstep_act(agent, from, 21, null_mut(), 3)), null_pointer("action"));
    assert_eq!(call!(dreamstep_digest(agent, null_mut())), null_pointer("digest"));
    assert_eq!(call!(dreamstep_model_load(&mut *c.model, null(), 0, -1)), null_pointer("model file"));
    let mut other = unmade::<dreamstep_model>();
    assert_eq!(call!(dreamstep_model_load(null_mut(), c.file.as_ptr(), c.file.len(), -1)), null_pointer("model"));
    assert_eq!(call!(dreamstep_model_load(&mut *other, c.file.as_ptr(), c.file.len(), -1)), ok());
    assert_eq!(call!(dreamstep_model_metadata(&*other, null(), null_mut(), null_mut())), null_pointer("key"));
    let env = c"origin".as_ptr();
    assert_eq!(
        call!(dreamstep_model_metadata(&*other, c"precision".as_ptr(), null_mut(), null_mut())),
        null_pointer("value")
    );
    assert_ne!(call!(dreamstep_model_metadata(&*other, env, null_mut(), null_mut())), ok());
    assert_eq!(call!(dreamstep_state_check(null(), null(), 0, null_mut())), null_pointer("model"));

    let off = |at: *const f32| at.wrapping_byte_add(2);
    assert_eq!(call!(dreamstep_act(agent, off(from), 20, to, 3)), misaligned("observation", 4));
    assert_eq!(call!(dreamstep_act(agent, from, 21, off(to).cast_mut(), 3)), misaligned("action", 4));
    assert_eq!(call!(dreamstep_advance(agent.wrapping_byte_add(4))), misaligned("agent", 8));
    assert_eq!(call!(dreamstep_digest(agent, (&raw mut digest).wrapping_byte_add(4))), misaligned("digest", 8));

    let too_long = format!("observation: {} values do not fit into memory", usize::MAX);
    assert_eq!(call!(dreamstep_act(agent, from, usize::MAX, to, 3)), refused(status::Argument, too_long));

    let overlap = refused(status::Overlap, "observation and action: expected separate memory, found an overlap");
    assert_eq!(call!(dreamstep_act(agent, to, 21, to.wrapping_add(20), 3)), overlap);
    assert_eq!(call!(dreamstep_act(agent, to.wrapping_add(2), 21, to, 3)), overlap);
    assert_eq!(call!(dreamstep_act(agent, to.wrapping_add(3), 21, to, 3)), ok());
    assert_eq!(call!(dreamstep_act(agent, to, 21, to.wrapping_add(21), 3)), ok());
}

#[test]
fn a_struct_that_was_never_made_is_refused() {
    let (mut agent, mut dreams) = (unmade::<dreamstep_agent>(), unmade::<dreamstep_dreams>());
    let model = unmade::<dreamstep_model>();
    let not_made = |what| refused(status::NotMade, format!("{what}: expected one that was made, found none"));
    assert_eq!(call!(dreamstep_advance(&mut *agent)), not_made("agent"));
    assert_eq!(call!(dreamstep_dreams_act(&mut *dreams)), not_made("dreams"));
    let mut memory = [0.0_f32; 8];
    assert_eq!(call!(dreamstep_self_test(&*model, memory.as_mut_ptr(), 8)), not_made("model"));
    assert_eq!(call!(dreamstep_agent_new(&mut *agent, &*model, memory.as_mut_ptr(), 8)), not_made("model"));
    // An agent is no model, whatever its bytes.
    let c = made();
    assert_eq!(call!(dreamstep_self_test((&raw const *c.agent).cast(), memory.as_mut_ptr(), 8)), not_made("model"));
    // What was made once and then failed is none.
    let mut c = made();
    let small = "agent memory: expected at least ";
    let (status, message) = call!(dreamstep_agent_new(&mut *c.agent, &*c.model, memory.as_mut_ptr(), 8));
    assert!(status == status::Memory && message.starts_with(small) && message.ends_with("found 8"), "{message}");
    assert_eq!(call!(dreamstep_advance(&mut *c.agent)), not_made("agent"));
}

#[test]
fn messages_are_cut_between_two_characters_and_always_end() {
    let model = loaded(HUMANOID);
    let key = c"äöü€";
    let whole = "metadata `äöü€`: expected, not found";
    for len in 0..=64 {
        let mut buffer = [0x55_u8; 65];
        let (mut value, mut n) = (null(), 0);
        let at = buffer.as_mut_ptr().cast();
        // SAFETY: the buffer has at least `len` bytes.
        let status = unsafe { dreamstep_model_metadata(&*model, key.as_ptr(), &mut value, &mut n, at, len) };
        assert_eq!(status, status::NoSuchKey);
        assert!(buffer[len..].iter().all(|&byte| byte == 0x55), "writes past {len} bytes");
        if len == 0 {
            continue;
        }
        let found = CStr::from_bytes_until_nul(&buffer[..len]).unwrap().to_str().unwrap();
        let end = (0..len).rev().find(|&end| whole.is_char_boundary(end)).unwrap();
        assert_eq!(found, &whole[..end.min(whole.len())]);
    }
    // SAFETY: no buffer, whatever its length.
    unsafe {
        assert_eq!(dreamstep_advance(null_mut(), null_mut(), 99), status::Null);
        assert_eq!(dreamstep_advance(null_mut(), null_mut(), 0), status::Null);
    }
}

#[test]
fn a_state_leaves_and_comes_back() {
    let mut c = made();
    (0..3).for_each(|t| drop(c.step(t)));
    c.act(3);
    let (saved, mut same) = (c.save(), false);
    with_rust(&synthetic::agent(&DIMS, 1), |rust| {
        rust.load_state(&saved).unwrap();
        assert_eq!(rust.tick(), 3);
        assert!(rust.has_acted());
    });
    assert_eq!(call!(dreamstep_advance(&mut *c.agent)), ok());
    let later: Vec<_> = (4..6).map(|t| (c.step(t), c.digest())).collect();

    let (at, len) = (saved.as_ptr(), saved.len());
    let mut fresh = made();
    assert_eq!(call!(dreamstep_state_check(&*fresh.model, at, len, &mut same)), ok());
    assert!(same);
    assert_eq!(call!(dreamstep_state_load(&mut *fresh.agent, at, len)), ok());
    assert_eq!(call!(dreamstep_advance(&mut *fresh.agent)), ok());
    assert_eq!((4..6).map(|t| (fresh.step(t), fresh.digest())).collect::<Vec<_>>(), later);

    // Another model of the same sizes may adopt it, not load it.
    let (other, mut memory) = (loaded(&synthetic::agent(&OTHER, 1)), vec![0.0; memory_len(&OTHER)]);
    let file = synthetic::in_precision(&synthetic::agent(&DIMS, 1), Precision::F16);
    let narrow = loaded(&file);
    let mut agent = unmade::<dreamstep_agent>();
    assert_eq!(call!(dreamstep_agent_new(&mut *agent, &*narrow, memory.as_mut_ptr(), memory.len())), ok());
    let rust = Model::load(&file).unwrap().fingerprint();
    let expected = Model::load(&fresh.file).unwrap().fingerprint();
    let message = format!("state: expected one of model {rust:016x}, found one of model {expected:016x}");
    assert_eq!(call!(dreamstep_state_load(&mut *agent, at, len)), refused(status::OtherModel, message));
    assert_eq!(call!(dreamstep_state_adopt(&mut *agent, at, len, &mut same)), ok());
    assert!(!same);
    assert_eq!(call!(dreamstep_state_adopt(&mut *agent, at, len, null_mut())), ok());

    let message = "state: expected observation size 22, found 21";
    assert_eq!(call!(dreamstep_state_check(&*other, at, len, null_mut())), refused(status::Dims, message));
    let short = format!("state: expected {len} bytes, found {}", len - 1);
    assert_eq!(call!(dreamstep_state_load(&mut *agent, at, len - 1)), refused(status::Length, &short));
    let mut bytes = saved.clone();
    assert_eq!(call!(dreamstep_state_save(&*agent, bytes.as_mut_ptr(), len - 1)), refused(status::Length, &short));
    bytes[70] ^= 1;
    let damaged = Model::load(&file).unwrap().check_state(&bytes).unwrap_err();
    assert_eq!(call!(dreamstep_state_load(&mut *agent, bytes.as_ptr(), len)), refused(status::State, damaged));
}

#[test]
fn memories_are_not_mixed() {
    let info = |model: &dreamstep_model| {
        let mut info = MaybeUninit::<dreamstep_model_info>::uninit();
        assert_eq!(call!(dreamstep_model_get_info(model, info.as_mut_ptr())), ok());
        // SAFETY: filled where the status is 0.
        unsafe { info.assume_init() }.dims
    };
    let [mut lstm, mut gru] = [DIMS, GRU].map(made_of);
    assert_eq!([info(&lstm.model), info(&gru.model)], [dims(&DIMS), dims(&GRU)]);
    assert_eq!([dims(&DIMS).cell, dims(&GRU).cell], [dreamstep_cell_kind::Lstm as i32, dreamstep_cell_kind::Gru as i32]);
    (0..3).for_each(|t| drop((lstm.step(t), gru.step(t))));
    let (states, digests) = ([lstm.save(), gru.save()], [lstm.digest(), gru.digest()]);
    assert_eq!([states[0].len(), states[1].len()], [248, 172]);
    for (into, from, names) in [(&mut lstm, &states[1], ["lstm", "gru"]), (&mut gru, &states[0], ["gru", "lstm"])] {
        let [expected, found] = names;
        let message = format!("state: expected one of a model with memory {expected}, found {found}");
        let (at, len) = (from.as_ptr(), from.len());
        assert_eq!(call!(dreamstep_state_load(&mut *into.agent, at, len)), refused(status::Dims, &message));
        assert_eq!(call!(dreamstep_state_check(&*into.model, at, len, null_mut())), refused(status::Dims, &message));
    }
    let (status, message) = call!(dreamstep_swap(&mut *lstm.agent, &*gru.model));
    assert!(status == status::Dims && message.starts_with("replace model: expected a model of Dims {"), "{message}");
    assert_eq!([lstm.digest(), gru.digest()], digests);
    assert_eq!(call!(dreamstep_state_load(&mut *gru.agent, states[1].as_ptr(), 172)), ok());

    // A GRU's dream begins at h alone.
    let len = dreams_memory_len(&GRU, 1);
    let (mut memory, mut dreams) = (vec![0.0; len], unmade::<dreamstep_dreams>());
    assert_eq!(call!(dreamstep_dreams_new(&mut *dreams, &*gru.model, memory.as_mut_ptr(), len, 1, null())), ok());
    let (latent, h) = ([0.0; 5], [0.5; 19]);
    let mut start = |h, c| call!(dreamstep_dreams_start(&mut *dreams, 0, 0, latent.as_ptr(), 5, h, c, 19));
    assert_eq!(start(h.as_ptr(), null()), ok());
    assert_eq!(start(h.as_ptr(), h.as_ptr()), refused(status::Length, "dream c: expected 0 values, found 19"));
    let half = "h and c: expected both or neither (a GRU has no c), found one";
    assert_eq!(start(null(), h.as_ptr()), refused(status::Argument, half));
}

#[test]
fn an_agent_goes_on_with_another_model_of_its_sizes() {
    let (mut c, file) = (made(), synthetic::agent(&DIMS, 5));
    let (newer, larger) = (loaded(&file), loaded(&synthetic::agent(&OTHER, 1)));
    let first = synthetic::agent(&DIMS, 1);
    let (old, new) = (Model::load(&first).unwrap(), Model::load(&file).unwrap());
    let mut memory = vec![0.0; memory_len(&DIMS)];
    let mut rust = Agent::new(&old, &mut memory).unwrap();
    let mut action = [0.0; 3];
    rust.step(&synthetic::observation(&DIMS, 2, 0), &mut action).unwrap();
    c.step(0);
    let before = c.digest();
    let (status, message) = call!(dreamstep_swap(&mut *c.agent, &*larger));
    assert!(status == status::Dims && message.starts_with("replace model: expected a model of Dims {"), "{message}");
    c.act(1);
    let mid_tick =
        refused(status::Order, "replace model: expected to stand between two ticks, found an act without its advance");
    assert_eq!(call!(dreamstep_swap(&mut *c.agent, &*newer)), mid_tick);
    assert_eq!(call!(dreamstep_reset(&mut *c.agent)), ok());
    c.step(0);
    assert_eq!(c.digest(), before);
    assert_eq!(call!(dreamstep_swap(&mut *c.agent, &*newer)), ok());
    rust.replace_model(&new).unwrap();
    rust.step(&synthetic::observation(&DIMS, 2, 1), &mut action).unwrap();
    assert_eq!(c.step(1), action.map(f32::to_bits));
    assert_eq!(c.digest(), rust.digest());
}

#[test]
fn dreams_in_c_are_dreams_in_rust() {
    [DIMS, GRU].into_iter().for_each(dreams);
}

fn dreams(dims: Dims) {
    const COUNT: usize = 70; // more than are stepped together
    let (c, file) = (made_of(dims), synthetic::agent(&dims, 1));
    let rust_model = Model::load(&file).unwrap();
    let len = dreams_memory_len(&dims, COUNT);
    let (mut memory, mut rust_memory) = (vec![f32::NAN; len], vec![0.0; len]);
    let at = memory.as_mut_ptr();
    let rust_options = DreamOptions { seed: 3, temperature: 0.8, termination: Termination::Threshold(0.9) };
    let mut rust = DreamBatch::new(&rust_model, &mut rust_memory, COUNT, rust_options).unwrap();
    let options = dreamstep_dream_options { seed: 3, temperature: 0.8, ending: 1, threshold: 0.9 };
    let mut dreams = unmade::<dreamstep_dreams>();
    assert_eq!(call!(dreamstep_dreams_new(&mut *dreams, &*c.model, at, len, COUNT, &options)), ok());
    let (h, cell) = (vec![0.25; dims.hidden], vec![-0.5; dims.cell_state()]);
    for index in 0..COUNT {
        let latent = [index as f32 / 100.0; 5];
        let state = (index % 2 == 0).then_some((&h[..], &cell[..]));
        rust.start(index, index as u32, DreamStart { latent: &latent, state }).unwrap();
        let (h, cell) = state.map_or((null(), null()), |(h, c)| (h.as_ptr(), c.first().map_or(null(), |c| c)));
        let started =
            call!(dreamstep_dreams_start(&mut *dreams, index, index as u32, latent.as_ptr(), 5, h, cell, DIMS.hidden));
        assert_eq!(started, ok());
    }
    let mut active_count = 0;
    for _ in 0..5 {
        rust.step();
        assert_eq!(call!(dreamstep_dreams_step(&mut *dreams, &mut active_count)), ok());
        assert_eq!(active_count, rust.active_count());
    }
    rust.act();
    assert_eq!(call!(dreamstep_dreams_act(&mut *dreams)), ok());
    let action = [2.0, 0.5, -0.5];
    rust.set_action(1, &action).unwrap();
    assert_eq!(call!(dreamstep_dreams_set_action(&mut *dreams, 1, action.as_ptr(), 3)), ok());
    rust.imagine().unwrap();
    assert_eq!(call!(dreamstep_dreams_imagine(&mut *dreams)), ok());
    for index in 0..COUNT {
        let (mut digest, mut z, mut u) = (0, [0.0; 5], [0.0; 3]);
        assert_eq!(call!(dreamstep_dreams_digest(&*dreams, index, &mut digest)), ok());
        assert_eq!(digest, rust.digest(index));
        assert_eq!(call!(dreamstep_dreams_latent(&*dreams, index, z.as_mut_ptr(), 5)), ok());
        assert_eq!(z, rust.latent(index));
        assert_eq!(call!(dreamstep_dreams_unit_action(&*dreams, index, u.as_mut_ptr(), 3)), ok());
        assert_eq!(u, rust.unit_action(index));
        let (mut h, mut c) = ([0.0; 19], vec![0.0; dims.cell_state()]);
        assert_eq!(call!(dreamstep_dreams_hidden(&*dreams, index, h.as_mut_ptr(), 19)), ok());
        assert_eq!(call!(dreamstep_dreams_cell(&*dreams, index, c.as_mut_ptr(), c.len())), ok());
        assert_eq!((&h[..], &c[..]), (rust.hidden(index), rust.cell(index)));
        let mut info = dreamstep_dream_info { reward: 0.0, terminal_probability: 0.0, tick: 0, is_done: false };
        assert_eq!(call!(dreamstep_dreams_get_info(&*dreams, index, &mut info)), ok());
        let expected = dreamstep_dream_info {
            reward: rust.reward(index),
            terminal_probability: rust.terminal_probability(index),
            tick: rust.tick(index),
            is_done: rust.is_done(index),
        };
        assert_eq!(info, expected);
    }
}

#[test]
fn dreams_are_refused_in_rusts_words() {
    let c = made();
    let len = dreams_memory_len(&DIMS, 2);
    let mut memory = vec![0.0; len];
    let (at, model) = (memory.as_mut_ptr(), &raw const *c.model);
    let mut dreams = unmade::<dreamstep_dreams>();
    let good = dreamstep_dream_options { seed: 0, temperature: 1.0, ending: 2, threshold: 0.0 };
    let mut new = |len, count, options: &dreamstep_dream_options| {
        call!(dreamstep_dreams_new(&mut *dreams, model, at, len, count, options))
    };
    let small = format!("dream memory: expected at least {len} values, found {}", len - 1);
    assert_eq!(new(len - 1, 2, &good), refused(status::Memory, small));
    for many in [usize::MAX / 8, usize::MAX / 2 + 1, usize::MAX] {
        let message = format!("dreams: {many} do not fit into any memory");
        assert_eq!(new(len, many, &good), refused(status::Argument, message));
    }
    let cold = dreamstep_dream_options { temperature: 0.0, ..good };
    assert_eq!(new(len, 2, &cold), refused(status::Argument, "temperature: expected a positive number, found 0"));
    let never = dreamstep_dream_options { ending: 1, threshold: 1.5, ..good };
    let message = "terminal threshold: expected above 0, at most 1, found 1.5";
    assert_eq!(new(len, 2, &never), refused(status::Argument, message));
    let unknown = dreamstep_dream_options { ending: 3, ..good };
    assert_eq!(new(len, 2, &unknown), refused(status::Argument, "ending: expected 0, 1 or 2, found 3"));
    assert_eq!(call!(dreamstep_dreams_new(&mut *dreams, model, at, len, 2, null())), ok());

    let (latent, h) = ([0.0; 5], [f32::NAN; 19]);
    let (z, nan) = (latent.as_ptr(), h.as_ptr());
    let half = refused(status::Argument, "h and c: expected both or neither (a GRU has no c), found one");
    assert_eq!(call!(dreamstep_dreams_start(&mut *dreams, 0, 0, z, 5, nan, null(), 19)), half);
    let infinite = refused(status::NonFinite, "dream h[0]: expected a finite value");
    assert_eq!(call!(dreamstep_dreams_start(&mut *dreams, 0, 0, z, 5, nan, nan, 19)), infinite);
    let short = refused(status::Length, "dream latent: expected 5 values, found 4");
    assert_eq!(call!(dreamstep_dreams_start(&mut *dreams, 0, 0, z, 4, null(), null(), 0)), short);
    assert_eq!(call!(dreamstep_dreams_start(&mut *dreams, 0, 0, z, 5, null(), null(), 0)), ok());
    let order = refused(status::Order, "dream 0: expected an action before imagine, found none");
    assert_eq!(call!(dreamstep_dreams_imagine(&mut *dreams)), order);
    let mut digest = 0;
    let index = refused(status::Argument, "dream 2: expected one of 2");
    assert_eq!(call!(dreamstep_dreams_digest(&*dreams, 2, &mut digest)), index);
    let index = refused(status::Argument, format!("dream {}: expected one of 2", usize::MAX));
    assert_eq!(call!(dreamstep_dreams_digest(&*dreams, usize::MAX, &mut digest)), index);
}

#[test]
fn a_model_without_the_head_predicts_and_dreams_nothing() {
    let mut tensors = synthetic::tensors(&DIMS, 1);
    tensors.remove(checkpoint::GMM_WEIGHT).unwrap();
    let parts = Parts {
        tensors: &tensors,
        settings: synthetic::settings(&DIMS),
        action_mid: &[0.0; 3],
        action_half: &[1.0; 3],
        selftest: None,
        provenance: &BTreeMap::new(),
    };
    let file = AlignedBytes::new(&pack(&parts).unwrap());
    let (model, mut agent, mut dreams) = (loaded(&file), unmade::<dreamstep_agent>(), unmade::<dreamstep_dreams>());
    let mut memory = vec![0.0; dreams_memory_len(&DIMS, 1).max(memory_len(&DIMS))];
    let (at, len) = (memory.as_mut_ptr(), memory.len());
    assert_eq!(call!(dreamstep_agent_new(&mut *agent, &*model, at, len)), ok());
    let (mut reward, mut z) = (0.0, [0.0; 5]);
    let none = refused(status::NoHead, "prediction: expected a model with an MDN head, found none in the file");
    assert_eq!(call!(dreamstep_predict(&mut *agent, &mut reward, null_mut())), none);
    assert_eq!(call!(dreamstep_expected_latent(&mut *agent, z.as_mut_ptr(), 5)), none);
    assert_eq!(call!(dreamstep_sample_latent(&mut *agent, 1.0, 0, 0, z.as_mut_ptr(), 5)), none);
    let none = refused(status::NoHead, "dreams: expected a model with an MDN head, found none in the file");
    assert_eq!(call!(dreamstep_dreams_new(&mut *dreams, &*model, at, len, 1, null())), none);
    let mut info = MaybeUninit::<dreamstep_model_info>::uninit();
    assert_eq!(call!(dreamstep_model_get_info(&*model, info.as_mut_ptr())), ok());
    // SAFETY: filled where the status is 0.
    assert!(!unsafe { info.assume_init() }.has_mdn);
}

#[test]
fn a_controller_on_observations_predicts_and_dreams_nothing() {
    for input in ControllerInput::ALL {
        let dims = Dims { input, ..DIMS };
        let file = synthetic::agent(&dims, 1);
        let (model, mut agent, mut dreams) = (loaded(&file), unmade::<dreamstep_agent>(), unmade::<dreamstep_dreams>());
        let of_c = self::dims(&dims);
        // SAFETY: `of_c` is readable.
        assert_eq!(unsafe { dreamstep_memory_len(&of_c) }, memory_len(&dims));
        let mut memory = vec![0.0; dreams_memory_len(&dims, 1).max(memory_len(&dims))];
        let (at, len) = (memory.as_mut_ptr(), memory.len());
        let mut info = MaybeUninit::<dreamstep_model_info>::uninit();
        assert_eq!(call!(dreamstep_model_get_info(&*model, info.as_mut_ptr())), ok());
        // SAFETY: filled where the status is 0.
        let info = unsafe { info.assume_init() };
        assert_eq!((info.dims, info.has_mdn), (of_c, input != ControllerInput::Observation));

        assert_eq!(call!(dreamstep_agent_new(&mut *agent, &*model, at, len)), ok());
        let (observation, mut action, mut expected) = (synthetic::observation(&dims, 1, 0), [0.0; 3], [0.0; 3]);
        let (mut reward, mut z) = (0.0, [0.0; 5]);
        assert_eq!(call!(dreamstep_act(&mut *agent, observation.as_ptr(), 21, action.as_mut_ptr(), 3)), ok());
        assert_eq!(call!(dreamstep_advance(&mut *agent)), ok());
        with_rust(&file, |agent| agent.step(&observation, &mut expected).unwrap());
        assert_eq!(action, expected);
        let none = refused(
            status::Input,
            "prediction: expected a controller that needs M, found one that reads observations alone",
        );
        let none = if input == ControllerInput::Observation { none } else { ok() };
        assert_eq!(call!(dreamstep_predict(&mut *agent, &mut reward, null_mut())), none);
        assert_eq!(call!(dreamstep_expected_latent(&mut *agent, z.as_mut_ptr(), 5)), none);
        assert_eq!(call!(dreamstep_sample_latent(&mut *agent, 1.0, 0, 0, z.as_mut_ptr(), 5)), none);

        let message = "dreams: expected a controller that reads z, h or z+h (a dream has no observations), found ";
        let none = refused(status::Input, format!("{message}{}", input.name()));
        let none =
            if matches!(input, ControllerInput::Observation | ControllerInput::ObservationHidden) { none } else { ok() };
        assert_eq!(call!(dreamstep_dreams_new(&mut *dreams, &*model, at, len, 1, null())), none);
    }
}
