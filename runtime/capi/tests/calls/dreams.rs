//! The calls of dreams.

use crate::{DIMS, GRU, change, line, loaded, made, made_of, ok, read, refused, unmade, without_head};
use dreamstep_capi::{dreamstep_status as status, *};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Action, ControllerInput, Dims, DreamBatch, DreamOptions, DreamStart, Memory, Model, Termination, dreams_memory_len,
    memory_len,
};
use std::ptr::{null, null_mut};

#[test]
fn dreams_in_c_are_dreams_in_rust() {
    [DIMS, GRU, DIMS.with_action(Action::Discrete { choices: 4 })].into_iter().for_each(dreams);
}

fn dreams(dims: Dims) {
    const COUNT: usize = 70; // more than are stepped together
    let (c, file) = (made_of(dims), synthetic::agent(&dims, 1));
    let rust_model = Model::load(&file).unwrap();
    let len = read!(dreamstep_model_dreams_memory_len(&*c.model, COUNT));
    let (mut memory, mut rust_memory) = (vec![f32::NAN; len], vec![0.0; len]);
    let at = memory.as_mut_ptr();
    let rust_options = DreamOptions { seed: 3, temperature: 0.8, termination: Termination::Threshold(0.9) };
    let mut rust = DreamBatch::new(rust_model, &mut rust_memory, COUNT, rust_options).unwrap();
    let options = dreamstep_dream_options {
        seed: 3,
        temperature: 0.8,
        termination: dreamstep_termination::Threshold as i32,
        threshold: 0.9,
    };
    let mut dreams = unmade::<dreamstep_dreams>();
    assert_eq!(change!(dreamstep_dreams_new(&mut *dreams, &*c.model, at, len, COUNT, &options)), ok());
    drop(c); // the dreams keep a model of their own
    let (h, cell) = (vec![0.25; dims.hidden_len()], vec![-0.5; dims.cell_len()]);
    for index in 0..COUNT {
        let latent = [index as f32 / 100.0; 5];
        let state = (index % 2 == 0).then_some((&h[..], &cell[..]));
        rust.start(index, index as u32, DreamStart { latent: &latent, state }).unwrap();
        let (h, cell) = state.map_or((null(), null()), |(h, c)| (h.as_ptr(), c.first().map_or(null(), |c| c)));
        let (number, z) = (index as u32, latent.as_ptr());
        assert_eq!(change!(dreamstep_dreams_start(&mut *dreams, index, number, z, 5, h, cell, 19)), ok());
    }
    let mut active_count = 0;
    for _ in 0..5 {
        rust.step();
        assert_eq!(change!(dreamstep_dreams_step(&mut *dreams, &mut active_count)), ok());
        assert_eq!(active_count, rust.active_count());
    }
    assert_eq!(change!(dreamstep_dreams_act(&mut *dreams)), ok());
    rust.act();
    let action = [2.0, 0.5, -0.5, 0.0];
    rust.set_action(1, &action[..dims.unit_len()]).unwrap();
    let found = change!(dreamstep_dreams_set_action(&mut *dreams, 1, action.as_ptr(), dims.unit_len()));
    assert_eq!(found, ok());
    rust.imagine().unwrap();
    assert_eq!(change!(dreamstep_dreams_imagine(&mut *dreams)), ok());
    assert_eq!(change!(dreamstep_dreams_step(&mut *dreams, null_mut())), ok());
    rust.step();
    (0..COUNT).for_each(|index| compare(&dreams, &rust, index));
}

type Getter = unsafe extern "C" fn(*const dreamstep_dreams, usize, *mut f32, usize) -> status;

/// That one dream is the same in both.
fn compare(dreams: &dreamstep_dreams, rust: &DreamBatch<'_, '_>, index: usize) {
    let copied = |function: Getter, len: usize| {
        let mut values = vec![f32::NAN; len];
        assert_eq!(read!(function(dreams, index, values.as_mut_ptr(), len)), status::Ok);
        assert_eq!(read!(function(dreams, index, values.as_mut_ptr(), len + 1)), status::Length);
        values
    };
    let mut digest = 0;
    assert_eq!(read!(dreamstep_dreams_digest(dreams, index, &mut digest)), status::Ok);
    assert_eq!(digest, rust.digest(index));
    let dims = rust.model().dims();
    assert_eq!(copied(dreamstep_dreams_latent, dims.latent_len()), rust.latent(index));
    assert_eq!(copied(dreamstep_dreams_hidden, dims.hidden_len()), rust.hidden(index));
    assert_eq!(copied(dreamstep_dreams_cell, dims.cell_len()), rust.cell(index));
    assert_eq!(copied(dreamstep_dreams_unit_action, dims.unit_len()), rust.unit_action(index));
    let mut facts = dreamstep_dream_facts { reward: 0.0, terminal_probability: 0.0, tick: 0, is_done: false };
    assert_eq!(read!(dreamstep_dreams_info(dreams, index, &mut facts)), status::Ok);
    let expected = dreamstep_dream_facts {
        reward: rust.reward(index),
        terminal_probability: rust.terminal_probability(index),
        tick: rust.tick(index),
        is_done: rust.is_done(index),
    };
    assert_eq!(facts, expected);
}

#[test]
fn dreams_are_refused_in_rusts_words() {
    let c = made();
    let len = dreams_memory_len(&DIMS, 2);
    let mut memory = vec![0.0; len];
    let (at, model) = (memory.as_mut_ptr(), &raw const *c.model);
    let mut dreams = unmade::<dreamstep_dreams>();
    let good = dreamstep_dream_options { seed: 0, temperature: 1.0, termination: 2, threshold: 0.0 };
    let mut new = |len, count, options: &dreamstep_dream_options| {
        change!(dreamstep_dreams_new(&mut *dreams, model, at, len, count, options))
    };
    let small = format!("dream memory: expected at least {len} values, found {}", len - 1);
    assert_eq!(new(len - 1, 2, &good), refused(status::Memory, small));
    let many = format!("dreams: {} do not fit into any memory", usize::MAX / 8);
    assert_eq!(new(len, usize::MAX / 8, &good), refused(status::Argument, many));
    let cold = dreamstep_dream_options { temperature: 0.0, ..good };
    assert_eq!(new(len, 2, &cold), refused(status::Argument, "temperature: expected a positive number, found 0"));
    let never = dreamstep_dream_options { termination: 1, threshold: 1.5, ..good };
    let message = "terminal threshold: expected above 0, at most 1, found 1.5";
    assert_eq!(new(len, 2, &never), refused(status::Argument, message));
    let unknown = dreamstep_dream_options { termination: 3, ..good };
    assert_eq!(new(len, 2, &unknown), refused(status::Argument, "termination: expected 0, 1 or 2, found 3"));
    // What was not made says why, whatever is called.
    let wrong = "termination: expected 0, 1 or 2, found 3";
    assert_eq!(change!(dreamstep_dreams_act(&mut *dreams)), refused(status::NotMade, wrong));
    assert_eq!(change!(dreamstep_dreams_new(&mut *dreams, model, at, len, 2, null())), ok());

    let (latent, h) = ([0.0; 5], [f32::NAN; 19]);
    let (z, nan) = (latent.as_ptr(), h.as_ptr());
    let half = refused(status::Argument, "h and c: expected both or neither (a GRU has no c), found one");
    assert_eq!(change!(dreamstep_dreams_start(&mut *dreams, 0, 0, z, 5, nan, null(), 19)), half);
    assert_eq!(change!(dreamstep_dreams_start(&mut *dreams, 0, 0, z, 5, null(), nan, 19)), half);
    let infinite = refused(status::NonFinite, "dream h[0]: expected a finite value");
    assert_eq!(change!(dreamstep_dreams_start(&mut *dreams, 0, 0, z, 5, nan, nan, 19)), infinite);
    let short = refused(status::Length, "dream latent: expected 5 values, found 4");
    assert_eq!(change!(dreamstep_dreams_start(&mut *dreams, 0, 0, z, 4, null(), null(), 0)), short);
    let index = refused(status::Argument, "dream 2: expected one of 2");
    assert_eq!(change!(dreamstep_dreams_start(&mut *dreams, 2, 0, z, 5, null(), null(), 0)), index);
    assert_eq!(change!(dreamstep_dreams_start(&mut *dreams, 0, 0, z, 5, null(), null(), 0)), ok());
    let order = refused(status::Order, "dream 0: expected an action before imagine, found none");
    assert_eq!(change!(dreamstep_dreams_imagine(&mut *dreams)), order);
    assert_eq!(change!(dreamstep_dreams_set_action(&mut *dreams, 2, z, 3)), index);
    let short = refused(status::Length, "dream action: expected 3 values, found 2");
    assert_eq!(change!(dreamstep_dreams_set_action(&mut *dreams, 0, z, 2)), short);
    let infinite = refused(status::NonFinite, "dream action[0]: expected a finite value");
    assert_eq!(change!(dreamstep_dreams_set_action(&mut *dreams, 0, nan, 3)), infinite);

    let (mut digest, mut values, mut facts) = (0, [0.0; 19], unmade::<dreamstep_dream_facts>());
    for index in [2, usize::MAX] {
        let to = values.as_mut_ptr();
        assert_eq!(read!(dreamstep_dreams_digest(&*dreams, index, &mut digest)), status::Argument);
        assert_eq!(read!(dreamstep_dreams_info(&*dreams, index, &mut *facts)), status::Argument);
        assert_eq!(read!(dreamstep_dreams_latent(&*dreams, index, to, 5)), status::Argument);
        assert_eq!(read!(dreamstep_dreams_hidden(&*dreams, index, to, 19)), status::Argument);
        assert_eq!(read!(dreamstep_dreams_cell(&*dreams, index, to, 19)), status::Argument);
        assert_eq!(read!(dreamstep_dreams_unit_action(&*dreams, index, to, 3)), status::Argument);
    }
    assert_eq!(line(&*dreams), infinite.1, "what only reads keeps no line");
}

/// A GRU's dream begins at h alone.
#[test]
fn a_gru_has_no_c() {
    let (c, len) = (made_of(GRU), dreams_memory_len(&GRU, 1));
    let (mut memory, mut dreams) = (vec![0.0; len], unmade::<dreamstep_dreams>());
    assert_eq!(change!(dreamstep_dreams_new(&mut *dreams, &*c.model, memory.as_mut_ptr(), len, 1, null())), ok());
    let (latent, h) = ([0.0; 5], [0.5; 19]);
    let mut start = |h, c| change!(dreamstep_dreams_start(&mut *dreams, 0, 0, latent.as_ptr(), 5, h, c, 19));
    assert_eq!(start(h.as_ptr(), null()), ok());
    assert_eq!(start(h.as_ptr(), h.as_ptr()), refused(status::Length, "dream c: expected 0 values, found 19"));
    let half = "h and c: expected both or neither (a GRU has no c), found one";
    assert_eq!(start(null(), h.as_ptr()), refused(status::Argument, half));
}

#[test]
fn a_model_that_cannot_dream_says_why() {
    let mut dreams = unmade::<dreamstep_dreams>();
    let mut memory = vec![0.0; dreams_memory_len(&DIMS, 1).max(memory_len(&DIMS))];
    let (at, len) = (memory.as_mut_ptr(), memory.len());
    let mut new = |model: &dreamstep_model| change!(dreamstep_dreams_new(&mut *dreams, model, at, len, 1, null()));
    let no_head = refused(status::NoHead, "dreams: expected a model with an MDN head, found none in the file");
    assert_eq!(new(&loaded(&without_head())), no_head);
    let memoryless = DIMS.with_memory(Memory::None).with_input(ControllerInput::Latent);
    assert_eq!(new(&loaded(&synthetic::agent(&memoryless, 1))), no_head);
    for input in ControllerInput::ALL {
        let message = "dreams: expected a controller that reads z, h or z+h (a dream has no observations), found ";
        let expected =
            if input.has_observation() { refused(status::Kind, format!("{message}{}", input.name())) } else { ok() };
        assert_eq!(new(&loaded(&synthetic::agent(&DIMS.with_input(input), 1))), expected);
    }
    let none = refused(status::NotMade, "model: expected one that was made, found none");
    assert_eq!(new(&unmade::<dreamstep_model>()), none);
}
