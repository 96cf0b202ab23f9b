//! What does an agent promise its loop? A refused call changes nothing, the order of calls is kept, an episode repeats bit
//! for bit, a look ahead leaves no trace, and neither the memory, nor another agent, nor where the file lies has a say in the bits.

use dreamstep_core::names::checkpoint;
use dreamstep_core::pack::{AlignedBytes, Parts, pack};
use dreamstep_core::rng::Philox;
use dreamstep_core::schema::Acting;
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Action, Agent, Backend, ControllerInput, Dims, Encoder, MemoryCell, MemoryError, Mixture, Model, Precision,
    ReplaceModelError, StepError, memory_len, state_len,
};
use std::collections::BTreeMap;

const DIMS: Dims = synthetic::TWO_BLOCKS;

/// Steps of an episode.
const EPISODE: u64 = 12;

fn observation(t: u64) -> Vec<f32> {
    synthetic::observation(&DIMS, 2, t)
}

/// [`DIMS`] with either memory.
fn dims(cell: MemoryCell) -> Dims {
    DIMS.with_cell(cell)
}

/// An agent whose action range is -half..half, or as `mid` shifts it.
fn file(cell: MemoryCell, mid: f32, half: f32) -> AlignedBytes {
    let parts = Parts {
        tensors: &synthetic::tensors(&dims(cell), 1),
        settings: synthetic::settings(&dims(cell)),
        action_mid: &[mid; 3],
        action_half: &[half; 3],
        selftest: None,
        frames: &[],
        provenance: &BTreeMap::new(),
    };
    AlignedBytes::new(&pack(&parts).unwrap())
}

/// Runs `test` with a fresh agent of either memory on every back end that this processor has, and what its memory is.
fn on_every_back_end(test: impl Fn(&mut Agent<'_, '_>, MemoryCell)) {
    for cell in MemoryCell::ALL {
        let file = file(cell, 0.0, 0.5);
        for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
            let model = Model::load_with(&file, backend).unwrap();
            let mut memory = vec![f32::NAN; memory_len(&dims(cell))];
            test(&mut Agent::new(model, &mut memory).unwrap(), cell);
        }
    }
}

/// Everything that an agent shows, as bits.
fn bits(agent: &Agent<'_, '_>) -> Vec<u32> {
    let digest = agent.digest();
    let values = [agent.hidden(), agent.cell(), agent.latent(), agent.unit_action()].concat();
    [digest as u32, (digest >> 32) as u32].into_iter().chain(values.iter().map(|v| v.to_bits())).collect()
}

/// An action and what the agent shows after it, as bits.
fn shown(action: &[f32], agent: &Agent<'_, '_>) -> Vec<u32> {
    action.iter().map(|v| v.to_bits()).chain(bits(agent)).collect()
}

/// The actions and states of steps `range`, as bits.
fn live(agent: &mut Agent<'_, '_>, range: std::ops::Range<u64>) -> Vec<Vec<u32>> {
    let step = |t| {
        let mut action = [f32::NAN; 3];
        agent.step(&observation(t), &mut action).unwrap();
        shown(&action, agent)
    };
    range.map(step).collect()
}

/// What an undisturbed agent does.
fn undisturbed(cell: MemoryCell, range: std::ops::Range<u64>) -> Vec<Vec<u32>> {
    let file = file(cell, 0.0, 0.5);
    let model = Model::load(&file).unwrap();
    let mut memory = vec![0.0; memory_len(&dims(cell))];
    live(&mut Agent::new(model, &mut memory).unwrap(), range)
}

#[test]
fn a_refused_observation_is_as_if_it_had_never_come() {
    on_every_back_end(|agent, cell| {
        let expected = undisturbed(cell, 0..EPISODE);
        let mut found = live(agent, 0..4);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, f32::from_bits(0x7f80_0001)] {
            for index in [0, DIMS.obs_len() / 2, DIMS.obs_len() - 1] {
                let before = bits(agent);
                let (mut broken, mut action) = (observation(99), [7.0; 3]);
                broken[index] = bad;
                for error in [
                    agent.act(&broken, &mut action).unwrap_err(),
                    agent.step(&broken, &mut action).unwrap_err(),
                    agent.act_in_place(&broken).unwrap_err(),
                ] {
                    let StepError::NonFinite { index: at, found } = error else { panic!("{error:?}") };
                    assert_eq!((at, found.to_bits()), (index, bad.to_bits()));
                    let message = format!("observation[{index}]: expected a finite value, found {bad}");
                    assert_eq!(error.to_string(), message);
                }
                assert_eq!(action, [7.0; 3], "the action buffer is left alone");
                assert_eq!(bits(agent), before);
                assert_eq!(agent.advance(), Err(StepError::AdvanceBeforeAct), "a refused act is none");
            }
        }
        found.extend(live(agent, 4..EPISODE));
        assert_eq!(found, expected);
    });
}

#[test]
fn the_first_of_several_bad_values_is_named() {
    on_every_back_end(|agent, _| {
        let mut broken = observation(0);
        (broken[3], broken[9]) = (f32::INFINITY, f32::NAN);
        let error = agent.act(&broken, &mut [0.0; 3]);
        assert_eq!(error, Err(StepError::NonFinite { index: 3, found: f32::INFINITY }));
    });
}

#[test]
fn a_bad_observation_between_act_and_advance_leaves_the_act() {
    on_every_back_end(|agent, cell| {
        let expected = undisturbed(cell, 0..EPISODE);
        let mut found = live(agent, 0..3);
        let (mut action, mut other) = ([0.0; 3], [0.0; 3]);
        agent.act(&observation(3), &mut action).unwrap();
        agent.act(&[f32::NAN; 21], &mut other).unwrap_err();
        agent.act(&observation(4)[1..], &mut other).unwrap_err();
        agent.advance().unwrap();
        found.push(shown(&action, agent));
        found.extend(live(agent, 4..EPISODE));
        assert_eq!(found, expected);
    });
}

#[test]
fn the_largest_finite_observations_are_taken() {
    on_every_back_end(|agent, _| {
        let mut action = [0.0; 3];
        for value in [f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, -0.0] {
            agent.step(&[value; 21], &mut action).unwrap();
            assert!(action.iter().all(|v| v.abs() <= 0.5), "{value}: {action:?}");
            assert!(agent.hidden().iter().all(|v| v.is_finite()), "{value}");
        }
    });
}

#[test]
fn slices_of_another_length_are_refused() {
    on_every_back_end(|agent, cell| {
        let expected = undisturbed(cell, 0..EPISODE);
        let mut found = live(agent, 0..2);
        let before = bits(agent);
        for n in [0, 20, 22, 32] {
            let error = agent.step(&vec![0.0; n], &mut [0.0; 3]).unwrap_err();
            assert_eq!(error, StepError::ObservationLength { expected: 21, found: n });
            assert_eq!(error.to_string(), format!("observation: expected 21 values, found {n}"));
        }
        for n in [0, 2, 4, 16] {
            let error = agent.step(&observation(2), &mut vec![0.0; n]).unwrap_err();
            assert_eq!(error, StepError::ActionLength { expected: 3, found: n });
            assert_eq!(error.to_string(), format!("action buffer: expected 3 values, found {n}"));
            assert_eq!(agent.override_action(&vec![0.0; n]), Err(error));
        }
        assert_eq!(bits(agent), before);
        found.extend(live(agent, 2..EPISODE));
        assert_eq!(found, expected);
    });
}

#[test]
fn there_is_nothing_to_advance_or_override_before_an_act() {
    on_every_back_end(|agent, _| {
        let refused = |agent: &mut Agent<'_, '_>| {
            let before = bits(agent);
            assert_eq!(agent.advance(), Err(StepError::AdvanceBeforeAct));
            assert_eq!(agent.override_action(&[0.0; 3]), Err(StepError::OverrideBeforeAct));
            assert_eq!(bits(agent), before);
        };
        refused(agent);
        live(agent, 0..2);
        refused(agent);
        agent.act(&observation(2), &mut [0.0; 3]).unwrap();
        agent.reset();
        refused(agent);
        let message = "advance: expected an act before it, found none since the last advance or reset";
        assert_eq!(agent.advance().unwrap_err().to_string(), message);
        let message = "override action: expected an act before it, found none since the last advance or reset";
        assert_eq!(agent.override_action(&[0.0; 3]).unwrap_err().to_string(), message);
    });
}

#[test]
fn acting_again_answers_from_the_same_state_and_the_last_act_counts() {
    on_every_back_end(|agent, cell| {
        let expected = undisturbed(cell, 0..EPISODE);
        let mut found = live(agent, 0..3);
        let (mut first, mut again) = ([0.0; 3], [0.0; 3]);
        let digest = agent.digest();
        for t in [50, 51, 50] {
            agent.act(&observation(t), &mut again).unwrap();
            if t == 50 && first == [0.0; 3] {
                first = again;
            }
            assert_eq!(agent.digest(), digest, "act only reads the recurrent state");
        }
        assert_eq!(first, again, "the same observation from the same state");
        // As if only this one had come.
        found.extend(live(agent, 3..EPISODE));
        assert_eq!(found, expected);
    });
}

#[test]
fn predicting_changes_nothing() {
    on_every_back_end(|agent, cell| {
        let expected = undisturbed(cell, 0..EPISODE);
        let mut found = Vec::new();
        for t in 0..EPISODE {
            assert!(agent.predict().is_some());
            let mut action = [0.0; 3];
            agent.act(&observation(t), &mut action).unwrap();
            let before = bits(agent);
            agent.predict().unwrap();
            assert_eq!(bits(agent), before);
            agent.advance().unwrap();
            found.push(shown(&action, agent));
        }
        assert_eq!(found, expected, "step is act, then advance");
    });
}

#[test]
fn reset_begins_the_first_episode_again() {
    on_every_back_end(|agent, cell| {
        let expected = undisturbed(cell, 0..EPISODE);
        let fresh = bits(agent);
        assert!(fresh[2..].iter().all(|&v| v == 0), "an episode begins with zeros");
        for steps in [EPISODE, 1, 0, 7] {
            live(agent, 100..100 + steps);
            agent.act(&observation(200), &mut [0.0; 3]).unwrap(); // and no advance
            agent.reset();
            assert_eq!(bits(agent), fresh);
            assert_eq!(live(agent, 0..EPISODE), expected);
            agent.reset();
        }
    });
}

#[test]
fn overriding_with_the_own_action_changes_nothing() {
    // Where the action range is exact in binary: [-½, ½] is.
    on_every_back_end(|agent, cell| {
        let expected = undisturbed(cell, 0..EPISODE);
        let mut found = Vec::new();
        for t in 0..EPISODE {
            let mut action = [0.0; 3];
            agent.act(&observation(t), &mut action).unwrap();
            agent.override_action(&action).unwrap();
            agent.advance().unwrap();
            found.push(shown(&action, agent));
        }
        assert_eq!(found, expected);
    });
}

#[test]
fn overriding_with_another_action_is_remembered() {
    on_every_back_end(|agent, _| {
        let mut after = |applied: Option<[f32; 3]>| {
            agent.reset();
            live(agent, 0..2);
            agent.act(&observation(2), &mut [0.0; 3]).unwrap();
            let latent = agent.latent().to_vec();
            if let Some(applied) = applied {
                agent.override_action(&applied).unwrap();
            }
            assert_eq!(agent.latent(), latent, "only the action is overridden");
            let unit = agent.unit_action().to_vec();
            agent.advance().unwrap();
            (unit, agent.digest())
        };
        let own = after(None);
        let other = after(Some([0.25, -0.5, 0.0]));
        assert_eq!(other.0, [0.5, -1.0, 0.0], "in units of half the range");
        assert_ne!(other.1, own.1, "the state remembers what was applied");
        assert_eq!(after(Some([0.25, -0.5, 0.0])), other);
        // Beyond the range is at its end.
        assert_eq!(after(Some([3.0, -3.0, 0.0])), after(Some([0.5, -0.5, 0.0])));
        assert_eq!(after(Some([f32::MAX, f32::MIN, 0.0])), after(Some([0.5, -0.5, 0.0])));
        // The last override counts, and a new act forgets it.
        agent.reset();
        live(agent, 0..2);
        agent.act(&observation(2), &mut [0.0; 3]).unwrap();
        agent.override_action(&[0.125; 3]).unwrap();
        agent.override_action(&[0.25, -0.5, 0.0]).unwrap();
        assert_eq!(agent.unit_action(), other.0);
        agent.act(&observation(2), &mut [0.0; 3]).unwrap();
        agent.advance().unwrap();
        assert_eq!(agent.digest(), own.1);
    });
}

#[test]
fn an_override_that_is_not_finite_is_refused() {
    on_every_back_end(|agent, cell| {
        let expected = undisturbed(cell, 0..EPISODE);
        let mut found = live(agent, 0..2);
        let mut action = [0.0; 3];
        agent.act(&observation(2), &mut action).unwrap();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for index in 0..3 {
                let before = bits(agent);
                let mut applied = [0.25; 3];
                applied[index] = bad;
                let error = agent.override_action(&applied).unwrap_err();
                let StepError::NonFiniteAction { index: at, found } = error else { panic!("{error:?}") };
                assert_eq!((at, found.to_bits()), (index, bad.to_bits()));
                assert_eq!(error.to_string(), format!("action[{index}]: expected a finite value, found {bad}"));
                assert_eq!(bits(agent), before);
            }
        }
        agent.advance().unwrap();
        found.push(shown(&action, agent));
        found.extend(live(agent, 3..EPISODE));
        assert_eq!(found, expected);
    });
}

#[test]
fn an_override_is_in_the_environments_units() {
    for cell in MemoryCell::ALL {
        let dims = dims(cell);
        let file = file(cell, 1.0, 2.0); // actions from -1 to 3
        let model = Model::load(&file).unwrap();
        let mut memory = vec![0.0; memory_len(&dims)];
        let mut agent = Agent::new(model, &mut memory).unwrap();
        let mut action = [0.0; 3];
        agent.act(&observation(0), &mut action).unwrap();
        let mapped: Vec<f32> = agent.unit_action().iter().map(|u| 1.0 + 2.0 * u).collect();
        assert_eq!(action.as_slice(), mapped);
        agent.override_action(&[-1.0, 1.0, 2.0]).unwrap();
        assert_eq!(agent.unit_action(), [-1.0, 0.0, 0.5]);
        agent.override_action(&[-1.5, 3.5, 3.0]).unwrap();
        assert_eq!(agent.unit_action(), [-1.0, 1.0, 1.0]);
    }
}

#[test]
fn the_memory_is_measured_and_its_content_does_not_matter() {
    for cell in MemoryCell::ALL {
        let dims = dims(cell);
        let expected = undisturbed(cell, 0..EPISODE);
        let file = file(cell, 0.0, 0.5);
        let model = Model::load(&file).unwrap();
        let need = memory_len(&dims);
        for found in [0, 1, need / 2, need - 16, need - 1] {
            let mut memory = vec![0.0; found];
            let error = Agent::new(model, &mut memory).unwrap_err();
            assert_eq!(error, MemoryError { expected: need, found });
            assert_eq!(error.to_string(), format!("agent memory: expected at least {need} values, found {found}"));
        }
        for (found, content) in [(need, 1e30), (need + 1, f32::NAN), (need + 1000, -1.0), (need, f32::INFINITY)] {
            let mut memory = vec![content; found];
            // The agent may begin at any value of a larger block.
            let at = (found - need).min(3);
            let mut agent = Agent::new(model, &mut memory[at..]).unwrap();
            assert_eq!(live(&mut agent, 0..EPISODE), expected, "{found} values of {content}");
        }
    }
}

#[test]
fn two_agents_on_one_model_do_not_disturb_each_other() {
    for cell in MemoryCell::ALL {
        let dims = dims(cell);
        let (first, second) = (undisturbed(cell, 0..EPISODE), undisturbed(cell, 30..30 + EPISODE));
        let file = file(cell, 0.0, 0.5);
        let model = Model::load(&file).unwrap();
        let mut memory = vec![f32::NAN; 2 * memory_len(&dims)];
        let (left, right) = memory.split_at_mut(memory_len(&dims));
        let (mut a, mut b) = (Agent::new(model, left).unwrap(), Agent::new(model, right).unwrap());
        for t in 0..EPISODE {
            let (mut action, i) = ([0.0; 3], t as usize);
            a.act(&observation(t), &mut action).unwrap();
            assert_eq!(live(&mut b, 30 + t..31 + t), second[i..=i]);
            b.predict().unwrap();
            a.advance().unwrap();
            assert_eq!(shown(&action, &a), first[i]);
        }
        b.reset();
        assert_eq!(live(&mut a, EPISODE..EPISODE + 1), undisturbed(cell, 0..EPISODE + 1)[EPISODE as usize..]);
        assert_eq!(live(&mut b, 0..EPISODE), first);
    }
}

#[test]
fn a_models_place_in_memory_has_no_say() {
    for cell in MemoryCell::ALL {
        let dims = dims(cell);
        let expected = undisturbed(cell, 0..EPISODE);
        let file = file(cell, 0.0, 0.5);
        for offset in (0..128).step_by(4) {
            let moved = AlignedBytes::new(&[&vec![0xAA; offset], &file[..]].concat());
            for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
                let model = Model::load_with(&moved[offset..], backend).unwrap();
                let mut memory = vec![0.0; memory_len(&dims)];
                let found = live(&mut Agent::new(model, &mut memory).unwrap(), 0..EPISODE);
                assert_eq!(found, expected, "{} bytes off, {}", offset, backend.name());
            }
        }
    }
}

#[test]
fn a_controller_that_is_tried_leaves_the_model_as_it_was() {
    for cell in MemoryCell::ALL {
        let dims = dims(cell);
        let file = file(cell, 0.0, 0.5);
        let model = Model::load(&file).unwrap();
        let tensors = synthetic::tensors(&dims, 8);
        let weights = [&tensors[checkpoint::FC_WEIGHT].1[..], &tensors[checkpoint::FC_BIAS].1].concat();
        let values = dreamstep_core::pack::controller_panels(&dims, &weights);
        let other = model.with_controller(&values).unwrap();
        let run = |model: &Model<'_>| {
            let mut memory = vec![0.0; memory_len(&dims)];
            live(&mut Agent::new(*model, &mut memory).unwrap(), 0..EPISODE)
        };
        assert_ne!(run(&other), run(&model));
        assert_eq!(run(&model), undisturbed(cell, 0..EPISODE));
    }
}

/// The same agent in another precision, or sampling its latents.
fn file_with(cell: MemoryCell, precision: Precision, acting: Acting) -> AlignedBytes {
    synthetic::agent_with(
        &synthetic::with(synthetic::settings(&dims(cell)), |s| (s.precision, s.acting) = (precision, acting)),
        1,
    )
}

/// Everything that an agent shows and all that it will go on from, as bits; what M expects too.
fn all(agent: &mut Agent<'_, '_>) -> Vec<u32> {
    let mut state = vec![0; state_len(agent.model().dims())];
    agent.save_state(&mut state).unwrap();
    let mut all = bits(agent);
    all.extend(state.iter().map(|&byte| u32::from(byte)));
    all.extend([u32::from(agent.has_acted()), agent.tick() as u32]);
    all.extend(agent.controller_input().iter().map(|v| v.to_bits()));
    let health = agent.health();
    all.extend([health.ticks, health.clipped, health.saturated, health.surprises].map(|count| count as u32));
    all.extend([health.surprise, health.surprise_mean, health.surprise_max].map(f32::to_bits));
    let mut z = [0.0; DIMS.latent_len()];
    if let Some(prediction) = agent.predict() {
        prediction.sample_latent(1.0, Philox::new(3), 7, &mut z);
        all.extend([prediction.reward().to_bits(), prediction.terminal_probability().to_bits()]);
    }
    all.extend(z.map(f32::to_bits));
    all
}

#[test]
fn a_peek_answers_what_act_would_and_leaves_no_trace() {
    for cell in MemoryCell::ALL {
        let dims = dims(cell);
        for (precision, acting) in Precision::ALL.into_iter().flat_map(|p| [(p, Acting::Mean), (p, Acting::Sampled)]) {
            let file = file_with(cell, precision, acting);
            for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
                let model = Model::load_with(&file, backend).unwrap();
                let mut memory = [vec![0.0; memory_len(&dims)], vec![0.0; memory_len(&dims)]];
                let [left, right] = &mut memory;
                let (mut agent, mut twin) = (Agent::new(model, left).unwrap(), Agent::new(model, right).unwrap());
                let mut looks = 0;
                let mut look = |agent: &mut Agent<'_, '_>, twin: &mut Agent<'_, '_>| {
                    let before = all(agent);
                    let (mut peeked, mut acted) = ([f32::NAN; 3], [f32::NAN; 3]);
                    let other = observation(1000 + looks);
                    agent.peek(&other, &mut peeked).unwrap();
                    assert_eq!(all(agent), before, "{precision:?}, {acting:?}, {}", backend.name());
                    // What act answers is asked of an agent in the same state.
                    let mut state = vec![0; state_len(&dims)];
                    agent.save_state(&mut state).unwrap();
                    twin.load_state(&state).unwrap();
                    twin.act(&other, &mut acted).unwrap();
                    assert_eq!(peeked.map(f32::to_bits), acted.map(f32::to_bits));
                    // Refused, it leaves the buffer alone too.
                    for (bad, n) in [(vec![f32::NAN; 21], 3), (vec![0.0; 20], 3), (other, 2)] {
                        let mut buffer = vec![7.0; n];
                        let refused = agent.peek(&bad, &mut buffer).unwrap_err();
                        assert_eq!(twin.act(&bad, &mut vec![7.0; n]).unwrap_err().to_string(), refused.to_string());
                        assert_eq!(buffer, vec![7.0; n]);
                        assert_eq!(all(agent), before);
                    }
                    looks += 1;
                };
                let mut actions = Vec::new();
                for t in 0..EPISODE {
                    look(&mut agent, &mut twin);
                    let mut action = [0.0; 3];
                    agent.act(&observation(t), &mut action).unwrap();
                    look(&mut agent, &mut twin);
                    assert_eq!(agent.surprise().is_some(), t > 0);
                    look(&mut agent, &mut twin);
                    if t % 3 == 0 {
                        agent.override_action(&[0.1, -0.2, 0.3]).unwrap();
                        look(&mut agent, &mut twin);
                    }
                    agent.advance().unwrap();
                    actions.push(shown(&action, &agent));
                }
                agent.reset();
                let undisturbed = (0..EPISODE).map(|t| {
                    let mut action = [0.0; 3];
                    agent.act(&observation(t), &mut action).unwrap();
                    if t % 3 == 0 {
                        agent.override_action(&[0.1, -0.2, 0.3]).unwrap();
                    }
                    agent.advance().unwrap();
                    shown(&action, &agent)
                });
                assert_eq!(actions, undisturbed.collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn swapping_to_the_same_model_changes_nothing() {
    for cell in MemoryCell::ALL {
        let dims = dims(cell);
        let expected = undisturbed(cell, 0..EPISODE);
        let file = file(cell, 0.0, 0.5);
        // Two loads of one file, on whatever back end.
        let models: Vec<_> = Backend::ALL
            .into_iter()
            .filter(|backend| backend.is_available())
            .map(|backend| Model::load_with(&file, backend).unwrap())
            .collect();
        let mut memory = vec![f32::NAN; memory_len(&dims)];
        let mut agent = Agent::new(models[0], &mut memory).unwrap();
        let mut found = Vec::new();
        for t in 0..EPISODE {
            let model = &models[t as usize % models.len()];
            agent.replace_model(*model).unwrap();
            assert_eq!(agent.model().backend(), model.backend());
            found.extend(live(&mut agent, t..t + 1));
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn a_swap_keeps_the_state_and_brings_the_other_models_answers() {
    for cell in MemoryCell::ALL {
        let dims = dims(cell);
        let files = [
            file_with(cell, Precision::F32, Acting::Mean),
            file_with(cell, Precision::F16, Acting::Mean),
            file_with(cell, Precision::Bf16, Acting::Sampled),
            file_with(cell, Precision::I8, Acting::Mean),
            synthetic::agent(&dims, 8), // another training
        ];
        let models = files.each_ref().map(|file| Model::load(file).unwrap());
        for (from, to) in (0..5).flat_map(|from| (0..5).map(move |to| (from, to))) {
            let mut memory = [vec![0.0; memory_len(&dims)], vec![0.0; memory_len(&dims)]];
            let [left, right] = &mut memory;
            let mut agent = Agent::new(models[from], left).unwrap();
            agent.set_seed(9);
            live(&mut agent, 0..5);
            let before = (bits(&agent), agent.tick(), agent.seed());
            let mut state = vec![0; state_len(&dims)];
            agent.save_state(&mut state).unwrap();
            agent.replace_model(models[to]).unwrap();
            assert_eq!((bits(&agent), agent.tick(), agent.seed()), before, "{from} to {to}");
            assert_eq!(agent.model().fingerprint(), models[to].fingerprint());
            // As an agent of the other model that adopts the state.
            let mut other = Agent::new(models[to], right).unwrap();
            other.adopt_state(&state).unwrap();
            let found = live(&mut agent, 5..EPISODE);
            assert_eq!(found, live(&mut other, 5..EPISODE), "{from} to {to}");
            // And not as before: the models are different.
            let mut stayed = Agent::new(models[from], right).unwrap();
            stayed.adopt_state(&state).unwrap();
            assert_eq!(found == live(&mut stayed, 5..EPISODE), from == to, "{from} to {to}");
        }
    }
}

#[test]
fn a_swap_is_refused_mid_tick_and_for_other_sizes() {
    for cell in MemoryCell::ALL {
        let own = dims(cell);
        let expected = undisturbed(cell, 0..EPISODE);
        let of = |dims: Dims| dims.with_cell(cell);
        let others = [
            (own.with_cell(if cell == MemoryCell::Lstm { MemoryCell::Gru } else { MemoryCell::Lstm }), "M"),
            (of(Dims::vector(22, 3, &[9, 17], 5, 19, 2)), "observation"),
            (of(Dims::vector(21, 4, &[9, 17], 5, 19, 2)), "action"),
            (own.with_action(Action::Discrete { choices: 3 }), "action"),
            (of(Dims::vector(21, 3, &[9, 17], 6, 19, 2)), "V"),
            (own.with_encoder(Encoder::Identity { latent: 5 }), "V"),
            (own.with_hidden(20), "M"),
            (of(Dims::vector(21, 3, &[9, 17], 5, 19, 3)), "M"),
            (own.with_mixture(Mixture::PerDimension), "M"),
            (of(Dims::vector(21, 3, &[10, 17], 5, 19, 2)), "V"),
            (of(Dims::vector(21, 3, &[9, 18], 5, 19, 2)), "V"),
            (of(Dims::vector(21, 3, &[9, 17, 17], 5, 19, 2)), "V"),
            (own.with_input(ControllerInput::Latent), "C"),
            (own.with_input(ControllerInput::Observation), "V"),
        ];
        let files = others.each_ref().map(|(dims, _)| synthetic::agent(dims, 1));
        let models = files.each_ref().map(|file| Model::load(file).unwrap());
        let (file, second) = (file(cell, 0.0, 0.5), synthetic::agent(&own, 8));
        let (model, second) = (Model::load(&file).unwrap(), Model::load(&second).unwrap());
        let mut memory = vec![0.0; memory_len(&own)];
        let mut agent = Agent::new(model, &mut memory).unwrap();
        let mut found = Vec::new();
        for t in 0..EPISODE {
            for (&(_, what), other) in others.iter().zip(&models) {
                let before = all(&mut agent);
                let error = agent.replace_model(*other).unwrap_err();
                assert_eq!(error, ReplaceModelError::Dims { what });
                let message = format!("replace model: expected one of the same sizes and kinds, found another {what}");
                assert_eq!(error.to_string(), message);
                assert_eq!(all(&mut agent), before);
            }
            let mut action = [0.0; 3];
            agent.act(&observation(t), &mut action).unwrap();
            let before = all(&mut agent);
            let message = "replace model: expected to stand between two ticks, found an act without its advance";
            for other in [&second, &models[0]] {
                let error = agent.replace_model(*other).unwrap_err();
                assert_eq!((error, error.to_string().as_str()), (ReplaceModelError::MidTick, message));
            }
            assert_eq!(all(&mut agent), before);
            assert_eq!(agent.model().fingerprint(), model.fingerprint());
            agent.advance().unwrap();
            found.push(shown(&action, &agent));
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn a_sampled_latent_is_named_by_seed_and_tick() {
    for cell in MemoryCell::ALL {
        let dims = dims(cell);
        for precision in Precision::ALL {
            let file = file_with(cell, precision, Acting::Sampled);
            let model = Model::load(&file).unwrap();
            let mut memory = vec![f32::NAN; memory_len(&dims)];
            let mut agent = Agent::new(model, &mut memory).unwrap();
            assert_eq!((agent.seed(), agent.tick()), (0, 0), "until set");
            let mut run = |seed: u64, first: u64| {
                agent.reset();
                agent.set_seed(seed);
                assert_eq!(agent.seed(), seed);
                let found = live(&mut agent, first..first + EPISODE);
                assert_eq!(agent.tick(), EPISODE);
                found
            };
            let expected = run(7, 0);
            assert_eq!(run(7, 0), expected, "{precision:?}: the same names, the same latents");
            for other in [0, 8, 7 | 1 << 32, u64::MAX] {
                assert_ne!(run(other, 0)[0], expected[0], "{precision:?}: seed {other}");
            }
            assert_eq!(run(7, 0), expected, "{precision:?}: a reset keeps the seed and forgets the rest");
            // One observation at every tick: another latent each time, the same one for an act that is repeated.
            agent.reset();
            let mut latents = std::collections::BTreeSet::new();
            for tick in 0..EPISODE {
                let mut actions = [[0.0; 3]; 2];
                for action in &mut actions {
                    agent.act(&observation(0), action).unwrap();
                    latents.insert(agent.latent().iter().map(|v| v.to_bits()).collect::<Vec<_>>());
                }
                assert_eq!(actions[0], actions[1]);
                assert_eq!((agent.tick(), latents.len() as u64), (tick, tick + 1));
                agent.advance().unwrap();
            }
        }
    }
}

#[test]
fn a_seed_is_nothing_to_an_agent_that_acts_on_the_mean() {
    on_every_back_end(|agent, cell| {
        let expected = undisturbed(cell, 0..EPISODE);
        agent.set_seed(0xdead_beef);
        assert_eq!(live(agent, 0..EPISODE), expected);
    });
}

#[test]
fn a_refused_advance_is_no_tick() {
    on_every_back_end(|agent, _| {
        live(agent, 0..3);
        agent.advance().unwrap_err();
        agent.act(&[f32::NAN; 21], &mut [0.0; 3]).unwrap_err();
        assert_eq!((agent.tick(), agent.has_acted()), (3, false));
        agent.act(&observation(3), &mut [0.0; 3]).unwrap();
        assert_eq!((agent.tick(), agent.has_acted()), (3, true));
        agent.reset();
        assert_eq!((agent.tick(), agent.has_acted()), (0, false));
    });
}
