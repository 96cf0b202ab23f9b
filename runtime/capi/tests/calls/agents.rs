//! The calls of agents: the loop, what the model expects, health, choices.

use crate::{DIMS, GRU, change, facts, line, loaded, made, made_of, ok, read, refused, unmade, with_rust, without_head};
use dreamstep_capi::{dreamstep_status as status, *};
use dreamstep_core::rng::Philox;
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Action, Agent, ControllerInput, Dims, Memory, Model, memory_len};
use std::ptr::null_mut;

const DISCRETE: Dims = DIMS.with_action(Action::Discrete { choices: 4 });

type Getter = unsafe extern "C" fn(*const dreamstep_agent, *mut f32, usize) -> status;

/// The values that a function copies.
fn copied(function: Getter, agent: &dreamstep_agent, len: usize) -> Vec<f32> {
    let mut values = vec![f32::NAN; len];
    assert_eq!(read!(function(agent, values.as_mut_ptr(), len)), status::Ok);
    values
}

fn health(agent: &dreamstep_agent) -> dreamstep_health {
    let mut health = unmade::<dreamstep_health>();
    assert_eq!(read!(dreamstep_agent_health(agent, &mut *health)), status::Ok);
    *health
}

#[test]
fn a_loop_in_c_is_a_loop_in_rust() {
    [DIMS, GRU].into_iter().for_each(a_loop);
}

#[test]
fn a_loop_of_frames_in_c_is_one_in_rust() {
    use dreamstep_core::obs::{Filter, Image};
    use dreamstep_core::v::{Convolution, Convolutions};
    let image = Image::plain([12, 10, 3]).cropped([1, 0, 10, 10]).resized([8, 9], Filter::Bilinear);
    let chain = Convolutions::new(&[Convolution::new(5, 3, 2), Convolution::new(18, 2, 1)]).unwrap();
    let dims = Dims::pictures(image, 3, chain, 4, 6, 2);
    let mut c = made_of(dims);
    let axes = [0, 1, 2, 3].map(|axis| read!(dreamstep_model_frame(&*c.model, axis)));
    assert_eq!((axes, facts(&c.model).encoder), ([12, 10, 3, 0], dreamstep_encoder::Conv));
    assert_eq!(read!(dreamstep_model_frame(&*made().model, 0)), 0);
    with_rust(&synthetic::agent(&dims, 1), |rust| {
        for t in 0..4 {
            let frame = synthetic::picture(2, t, 11 * 31 + 30);
            let (mut action, mut found, mut peeked) = ([0.0; 3], [f32::NAN; 3], [f32::NAN; 3]);
            rust.step_image(&frame, 31, &mut action).unwrap();
            let (from, len) = (frame.as_ptr(), frame.len());
            assert_eq!(change!(dreamstep_agent_peek_image(&mut *c.agent, from, len, 31, peeked.as_mut_ptr(), 3)), ok());
            assert_eq!(change!(dreamstep_agent_act_image(&mut *c.agent, from, len, 31, found.as_mut_ptr(), 3)), ok());
            c.advance();
            assert_eq!((found, peeked, c.digest()), (action, action, rust.digest()));
        }
        let frame = [0_u8; 400];
        let mut act = |len, stride| {
            let mut action = [0.0; 3];
            change!(dreamstep_agent_act_image(&mut *c.agent, frame.as_ptr(), len, stride, action.as_mut_ptr(), 3))
        };
        assert_eq!(act(359, 30), refused(status::Length, "frame: expected at least 360 bytes, found 359"));
        let line = "frame: expected rows to begin at least 30 bytes apart, found 29";
        assert_eq!(act(400, 29), refused(status::Argument, line));
    });
    let mut vectors = made();
    let (frame, mut action) = ([0_u8; 4], [0.0; 3]);
    let found = change!(dreamstep_agent_act_image(&mut *vectors.agent, frame.as_ptr(), 4, 4, action.as_mut_ptr(), 3));
    assert_eq!(found, refused(status::Kind, "observation: the model expects one of the kind vector"));
}

fn a_loop(dims: Dims) {
    let mut c = made_of(dims);
    with_rust(&synthetic::agent(&dims, 1), |rust| {
        for t in 0..8 {
            let (observation, mut action) = (synthetic::observation(&DIMS, 2, t), [0.0; 3]);
            let (from, len) = (observation.as_ptr(), observation.len());
            let mut peeked = [f32::NAN; 3];
            assert_eq!(change!(dreamstep_agent_peek(&mut *c.agent, from, len, peeked.as_mut_ptr(), 3)), ok());
            if t % 2 == 0 {
                rust.act(&observation, &mut action).unwrap();
                assert_eq!(c.act(t), action.map(f32::to_bits));
                let applied = [0.1, -0.2, 0.3];
                rust.override_action(&applied).unwrap();
                assert_eq!(change!(dreamstep_agent_override_action(&mut *c.agent, applied.as_ptr(), 3)), ok());
                rust.advance().unwrap();
                c.advance();
            } else {
                rust.step(&observation, &mut action).unwrap();
                let mut found = [f32::NAN; 3];
                assert_eq!(change!(dreamstep_agent_step(&mut *c.agent, from, len, found.as_mut_ptr(), 3)), ok());
                assert_eq!(found, action);
            }
            assert_eq!(peeked, action);
            assert_eq!(c.digest(), rust.digest());
            assert_eq!(copied(dreamstep_agent_latent, &c.agent, dims.latent_len()), rust.latent());
            assert_eq!(copied(dreamstep_agent_hidden, &c.agent, dims.hidden_len()), rust.hidden());
            assert_eq!(copied(dreamstep_agent_cell, &c.agent, dims.cell_len()), rust.cell());
            assert_eq!(copied(dreamstep_agent_unit_action, &c.agent, dims.unit_len()), rust.unit_action());
        }
        expectations(&mut c.agent, rust);

        let mut facts = dreamstep_agent_facts { seed: 9, tick: 9, has_acted: true };
        assert_eq!(change!(dreamstep_agent_set_seed(&mut *c.agent, 77)), ok());
        assert_eq!(read!(dreamstep_agent_info(&*c.agent, &mut facts)), status::Ok);
        assert_eq!(facts, dreamstep_agent_facts { seed: 77, tick: 8, has_acted: false });
        rust.reset();
        assert_eq!(change!(dreamstep_agent_reset(&mut *c.agent)), ok());
        assert_eq!(c.digest(), rust.digest());
    });
}

/// What the model expects after an advance.
fn expectations(c: &mut dreamstep_agent, rust: &mut Agent<'_, '_>) {
    let (mut reward, mut end, mut z) = (0.0, 0.0, [0.0; 5]);
    let prediction = rust.predict().unwrap();
    assert_eq!(change!(dreamstep_agent_predict(c, &mut reward, &mut end)), ok());
    assert_eq!((reward, end), (prediction.reward(), prediction.terminal_probability()));
    assert_eq!(change!(dreamstep_agent_predict(c, null_mut(), null_mut())), ok());
    let mut expected = [0.0; 5];
    prediction.expected_latent(&mut expected);
    assert_eq!(change!(dreamstep_agent_expected_latent(c, z.as_mut_ptr(), 5)), ok());
    assert_eq!(z, expected);
    prediction.sample_latent(0.7, Philox::new(9), 4, &mut expected);
    assert_eq!(change!(dreamstep_agent_sample_latent(c, 0.7, 9, 4, z.as_mut_ptr(), 5)), ok());
    assert_eq!(z, expected);
    let wrong = refused(status::Argument, "temperature: expected a positive number, found -1");
    assert_eq!(change!(dreamstep_agent_sample_latent(c, -1.0, 9, 4, z.as_mut_ptr(), 5)), wrong);
    let short = refused(status::Length, "latent: expected 5 values, found 4");
    assert_eq!(change!(dreamstep_agent_sample_latent(c, 1.0, 9, 4, z.as_mut_ptr(), 4)), short);
    assert_eq!(change!(dreamstep_agent_expected_latent(c, z.as_mut_ptr(), 4)), short);
}

#[test]
fn a_getter_wants_as_many_values_as_there_are() {
    let c = made_of(GRU);
    let mut values = [7.0; 32];
    for function in
        [dreamstep_agent_latent as Getter, dreamstep_agent_hidden, dreamstep_agent_cell, dreamstep_agent_unit_action]
    {
        assert_eq!(read!(function(&*c.agent, values.as_mut_ptr(), 32)), status::Length);
        assert_eq!(read!(function(&*c.agent, null_mut(), 32)), status::Null);
    }
    assert_eq!(values, [7.0; 32]);
    assert_eq!(line(&*c.agent), "", "what only reads keeps no line");
    // What C allocates of no bytes may be NULL.
    assert_eq!(read!(dreamstep_agent_cell(&*c.agent, null_mut(), 0)), status::Ok);
    assert_eq!(read!(dreamstep_agent_latent(&*c.agent, null_mut(), 0)), status::Null);
}

#[test]
fn a_refused_step_says_why_in_rusts_words_and_changes_nothing() {
    let mut c = made();
    c.step(0);
    let before = c.save();
    let (mut observation, mut action) = (synthetic::observation(&DIMS, 2, 1), [7.0; 3]);
    let (from, to) = (observation.as_mut_ptr(), action.as_mut_ptr());
    let agent = &raw mut *c.agent;

    let length = refused(status::Length, "observation: expected 21 values, found 20");
    assert_eq!(change!(dreamstep_agent_act(agent, from, 20, to, 3)), length);
    assert_eq!(change!(dreamstep_agent_step(agent, from, 20, to, 3)), length);
    assert_eq!(change!(dreamstep_agent_peek(agent, from, 20, to, 3)), length);
    let length = refused(status::Length, "action buffer: expected 3 values, found 2");
    assert_eq!(change!(dreamstep_agent_act(agent, from, 21, to, 2)), length);
    assert_eq!(change!(dreamstep_agent_override_action(agent, to, 2)), length);
    let order = "advance: expected an act before it, found none since the last advance or reset";
    assert_eq!(change!(dreamstep_agent_advance(agent)), refused(status::Order, order));
    let order = "override action: expected an act before it, found none since the last advance or reset";
    assert_eq!(change!(dreamstep_agent_override_action(agent, to, 3)), refused(status::Order, order));
    let infinite = [0.0, f32::INFINITY, 0.0];
    let message = "action[1]: expected a finite value, found inf";
    let found = change!(dreamstep_agent_override_action(agent, infinite.as_ptr(), 3));
    assert_eq!(found, refused(status::NonFinite, message));
    // SAFETY: one of the observation's values.
    unsafe { from.add(4).write(f32::NAN) };
    let nan = refused(status::NonFinite, "observation[4]: expected a finite value, found NaN");
    assert_eq!(change!(dreamstep_agent_act(agent, from, 21, to, 3)), nan);
    assert_eq!(change!(dreamstep_agent_step(agent, from, 21, to, 3)), nan);
    assert_eq!(change!(dreamstep_agent_peek(agent, from, 21, to, 3)), nan);
    assert_eq!(action, [7.0; 3]);
    assert_eq!(c.save(), before);
}

#[test]
fn surprise_and_health_are_rusts() {
    let mut c = made();
    with_rust(&synthetic::agent(&DIMS, 1), |rust| {
        let agent = &raw mut *c.agent;
        let mut surprise = 7.0;
        let order = "surprise: expected an act before it, found none since the last advance or reset";
        assert_eq!(change!(dreamstep_agent_surprise(agent, &mut surprise)), refused(status::Order, order));
        assert_eq!(surprise, 7.0);
        for t in 0..6 {
            let (mut observation, mut action) = (synthetic::observation(&DIMS, 2, t), [0.0; 3]);
            observation[0] = 1e6; // clipped
            rust.act(&observation, &mut action).unwrap();
            let (from, to) = (observation.as_ptr(), action.as_mut_ptr());
            assert_eq!(change!(dreamstep_agent_act(agent, from, 21, to, 3)), ok());
            assert_eq!(change!(dreamstep_agent_surprise(agent, &mut surprise)), ok());
            match rust.surprise() {
                None => assert!(t == 0 && surprise.is_nan(), "nothing was predicted before the first tick"),
                Some(expected) => assert_eq!(surprise, expected),
            }
            assert_eq!(change!(dreamstep_agent_surprise(agent, null_mut())), ok());
            rust.advance().unwrap();
            assert_eq!(change!(dreamstep_agent_advance(agent)), ok());
        }
        let expected = rust.health();
        // SAFETY: an agent that was made.
        let found = health(unsafe { &*agent });
        assert_eq!(
            (found.ticks, found.clipped, found.saturated, found.surprises),
            (expected.ticks, expected.clipped, expected.saturated, expected.surprises)
        );
        assert_eq!(
            (found.surprise, found.surprise_mean, found.surprise_max),
            (expected.surprise, expected.surprise_mean, expected.surprise_max)
        );
        assert_eq!((found.ticks, found.surprises), (6, 5));
        assert!(found.clipped >= 6 && found.surprise_max >= found.surprise_mean);
        assert_eq!(read!(dreamstep_agent_health(agent, null_mut())), status::Null);
        assert_eq!(change!(dreamstep_agent_reset(agent)), ok());
        // SAFETY: as above.
        let fresh = health(unsafe { &*agent });
        assert_eq!((fresh.ticks, fresh.clipped, fresh.surprises, fresh.surprise_max), (0, 0, 0, f32::NEG_INFINITY));
    });
}

#[test]
fn a_discrete_agent_chooses() {
    let mut c = made_of(DISCRETE);
    let agent = &raw mut *c.agent;
    with_rust(&synthetic::agent(&DISCRETE, 1), |rust| {
        for t in 0..4 {
            let (observation, mut action, mut choice) = (synthetic::observation(&DISCRETE, 2, t), [f32::NAN], 9);
            assert_eq!(change!(dreamstep_agent_act(agent, observation.as_ptr(), 21, action.as_mut_ptr(), 1)), ok());
            rust.act(&observation, &mut [0.0]).unwrap();
            assert_eq!(read!(dreamstep_agent_choice(agent, &mut choice)), status::Ok);
            assert_eq!((Some(choice), action[0]), (rust.choice(), choice as f32));
            let (other, none) = ((choice + 1) % 4, [4.0]);
            let message = "action[0]: expected the number of one of 4 choices, found 4";
            let found = change!(dreamstep_agent_override_action(agent, none.as_ptr(), 1));
            assert_eq!(found, refused(status::Argument, message));
            assert_eq!(change!(dreamstep_agent_override_action(agent, [other as f32].as_ptr(), 1)), ok());
            rust.override_action(&[other as f32]).unwrap();
            assert_eq!(read!(dreamstep_agent_choice(agent, &mut choice)), status::Ok);
            assert_eq!(choice, other);
            assert_eq!(change!(dreamstep_agent_advance(agent)), ok());
            rust.advance().unwrap();
        }
        // SAFETY: an agent that was made.
        let one_hot = copied(dreamstep_agent_unit_action, unsafe { &*agent }, 4);
        assert_eq!(one_hot, rust.unit_action());
        assert_eq!(one_hot.iter().sum::<f32>(), 1.0);
    });
    assert_eq!(read!(dreamstep_agent_choice(agent, null_mut())), status::Null);
    let (continuous, mut choice) = (made(), 9);
    assert_eq!(read!(dreamstep_agent_choice(&*continuous.agent, &mut choice)), status::Kind);
    assert_eq!(choice, 9);
}

#[test]
fn an_agent_continues_with_another_model_of_its_sizes() {
    let (mut c, file) = (made(), synthetic::agent(&DIMS, 5));
    let newer = loaded(&file);
    let first = synthetic::agent(&DIMS, 1);
    let (old, new) = (Model::load(&first).unwrap(), Model::load(&file).unwrap());
    let mut memory = vec![0.0; memory_len(&DIMS)];
    let mut rust = Agent::new(old, &mut memory).unwrap();
    let mut action = [0.0; 3];
    rust.step(&synthetic::observation(&DIMS, 2, 0), &mut action).unwrap();
    c.step(0);
    let before = c.digest();
    for (other, part) in [
        (Dims::vector(22, 3, &[9, 17], 5, 19, 2), "observation"),
        (Dims::vector(21, 3, &[9, 16], 5, 19, 2), "V"),
        (GRU, "M"),
        (DIMS.with_input(ControllerInput::Latent), "C"),
        (DISCRETE, "action"),
    ] {
        let line = format!("replace model: expected one of the same sizes and kinds, found another {part}");
        let other = loaded(&synthetic::agent(&other, 1));
        assert_eq!(change!(dreamstep_agent_replace_model(&mut *c.agent, &*other)), refused(status::Dims, line));
    }
    let none = unmade::<dreamstep_model>();
    let line = "model: expected one that was made, found none";
    assert_eq!(change!(dreamstep_agent_replace_model(&mut *c.agent, &*none)), refused(status::NotMade, line));
    c.act(1);
    let mid_tick =
        refused(status::Order, "replace model: expected to stand between two ticks, found an act without its advance");
    assert_eq!(change!(dreamstep_agent_replace_model(&mut *c.agent, &*newer)), mid_tick);
    assert_eq!(change!(dreamstep_agent_reset(&mut *c.agent)), ok());
    c.step(0);
    assert_eq!(c.digest(), before);
    assert_eq!(change!(dreamstep_agent_replace_model(&mut *c.agent, &*newer)), ok());
    drop(newer);
    rust.replace_model(new).unwrap();
    rust.step(&synthetic::observation(&DIMS, 2, 1), &mut action).unwrap();
    assert_eq!(c.step(1), action.map(f32::to_bits));
    assert_eq!(c.digest(), rust.digest());
}

/// What every call says that needs the head.
fn says(agent: *mut dreamstep_agent, number: status, why: &str) {
    let (mut value, mut z) = (0.0, [0.0; 5]);
    let none = |what: &str| refused(number, format!("{what}: expected a model with {why}, found none in the file"));
    assert_eq!(change!(dreamstep_agent_predict(agent, &mut value, null_mut())), none("prediction"));
    assert_eq!(change!(dreamstep_agent_surprise(agent, &mut value)), none("surprise"));
    let mut len = 5;
    if change!(dreamstep_agent_expected_latent(agent, z.as_mut_ptr(), len)).0 == status::Length {
        len = 0; // without V
    }
    assert_eq!(change!(dreamstep_agent_expected_latent(agent, z.as_mut_ptr(), len)), none("prediction"));
    assert_eq!(change!(dreamstep_agent_sample_latent(agent, 1.0, 0, 0, z.as_mut_ptr(), len)), none("prediction"));
}

#[test]
fn a_model_without_head_or_memory_expects_nothing() {
    let (file, mut agent, mut memory) = (without_head(), unmade::<dreamstep_agent>(), vec![0.0; memory_len(&DIMS)]);
    let model = loaded(&file);
    assert_eq!(change!(dreamstep_agent_new(&mut *agent, &*model, memory.as_mut_ptr(), memory.len())), ok());
    says(&mut *agent, status::NoHead, "an MDN head");
    let memoryless = DIMS.with_memory(Memory::None).with_input(ControllerInput::Latent);
    for dims in [memoryless, Dims::reactive(21, 3)] {
        let mut c = made_of(dims);
        with_rust(&synthetic::agent(&dims, 1), |rust| {
            let mut action = [0.0; 3];
            rust.step(&synthetic::observation(&dims, 2, 0), &mut action).unwrap();
            assert_eq!(c.step(0), action.map(f32::to_bits));
        });
        says(&mut *c.agent, status::Kind, "a memory");
    }
}
