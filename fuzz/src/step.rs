//! Does any sequence of calls do on the widest back end what it does on the portable one, and is a call refused exactly
//! where the documentation says, without leaving a trace?
//!
//! An input's first byte chooses the agent; then each byte is a call, followed by its arguments.

use crate::agents::{models, saved};
use crate::script::{ODD, Script, identical, same};
use dreamstep_core::rng::Philox;
use dreamstep_runtime::{
    Action, Agent, Dims, DreamBatch, DreamOptions, DreamStart, Model, StateMatch, StepError, Termination, dreams_memory_len,
    memory_len,
};

/// What the caller sees of an agent, but for its head.
fn seen(agent: &Agent<'_, '_>) -> Vec<f32> {
    [agent.hidden(), agent.cell(), agent.latent(), agent.unit_action()].concat()
}

/// What an agent tells of itself: counts, and numbers.
fn health(agent: &Agent<'_, '_>) -> ([u64; 4], [f32; 3]) {
    let health = agent.health();
    let counts = [health.ticks, health.clipped, health.saturated, health.surprises];
    (counts, [health.surprise, health.surprise_mean, health.surprise_max])
}

/// An observation or an action: mostly as it should be.
fn vector(script: &mut Script<'_>, length: usize) -> Vec<f32> {
    match script.byte() % 8 {
        0 => (0..script.below(24)).map(|_| script.small()).collect(), // most likely of a wrong length
        1 => (0..length).map(|_| script.float()).collect(),
        2 => (0..length).map(|_| *script.pick(&ODD)).collect(),
        3 => {
            let mut values: Vec<f32> = (0..length).map(|_| script.small()).collect();
            values[script.below(length)] = *script.pick(&ODD);
            values
        }
        _ => (0..length).map(|_| script.small()).collect(),
    }
}

/// Mostly as it should be: of a picture the prepared one's bytes, as numbers.
fn observation(script: &mut Script<'_>, dims: &Dims) -> Vec<f32> {
    if dims.obs.image().is_none() || script.byte() >= 240 {
        return vector(script, dims.obs_len());
    }
    picture(script, dims.obs_len()).into_iter().map(f32::from).collect()
}

/// Bytes that two of the script's make, the second one their step.
fn picture(script: &mut Script<'_>, length: usize) -> Vec<u8> {
    let (first, step) = (script.byte(), script.byte());
    (0..length).map(|i| first.wrapping_add((i as u8).wrapping_mul(step))).collect()
}

/// A camera's frame, the distance between its rows, and whether there is all of it.
fn frame(script: &mut Script<'_>, [height, width, channels]: [usize; 3]) -> (Vec<u8>, usize, bool) {
    let row = width * channels;
    let stride = match script.byte() {
        0 => script.below(2 * row),
        1 => usize::MAX >> script.below(8),
        slack => row + usize::from(slack % 4),
    };
    let needed = (height - 1).saturating_mul(stride).saturating_add(row);
    let cut = usize::from(script.byte() == 255);
    let length = needed.min(height * (row + 4)).saturating_sub(cut);
    (picture(script, length), stride, stride >= row && length >= needed)
}

/// Whether an agent of these sizes takes it.
fn is_taken(observation: &[f32], dims: &Dims) -> bool {
    let is_byte = |value: &f32| (0.0..=255.0).contains(value) && value.fract() == 0.0;
    let fits = match dims.obs.image() {
        Some(_) => observation.iter().all(is_byte),
        None => observation.iter().all(|value| value.is_finite()),
    };
    observation.len() == dims.obs_len() && fits
}

/// A refusal, a NaN in it as its bits.
fn plain(result: Result<(), StepError>) -> Result<(), (String, u32)> {
    result.map_err(|error| match error {
        StepError::NonFinite { found, .. }
        | StepError::NonFiniteAction { found, .. }
        | StepError::NotAByte { found, .. } => (error.to_string(), found.to_bits()),
        _ => (error.to_string(), 0),
    })
}

/// See above.
pub fn run(input: &[u8]) {
    let mut script = Script(input);
    let mut models = script.pick(models());
    let dims = *models[0].dims();
    let mut memory = [(); 2].map(|()| vec![f32::NAN; memory_len(&dims)]);
    let [first, second] = &mut memory;
    let mut agents = [Agent::new(models[0], first).unwrap(), Agent::new(models[1], second).unwrap()];
    let fresh = agents[0].digest();
    let mut acted = false; // what the documentation's rules depend on
    let mut kept = saved(&agents[0]); // a state from before, perhaps of another model
    for call in 0..64 {
        if script.is_empty() {
            break;
        }
        let before = (agents[0].digest(), saved(&agents[0]));
        let what = script.byte() % 15;
        let (results, allowed) = match what {
            0..=2 => {
                // An agent that sees pictures is given a frame as often as what is prepared of one.
                let frame = match dims.obs.image() {
                    Some(image) if script.byte().is_multiple_of(2) => Some(frame(&mut script, image.frame)),
                    _ => None,
                };
                let observation = if frame.is_some() { Vec::new() } else { observation(&mut script, &dims) };
                let room = if script.byte() == 255 { script.below(20) } else { dims.action_len() };
                let mut actions = [(); 2].map(|()| vec![0.0; room]);
                let fits = frame.as_ref().map_or_else(|| is_taken(&observation, &dims), |(_, _, fits)| *fits);
                let allowed = fits && room == dims.action_len();
                let mut act = |i: usize| match (what, &frame) {
                    (0, Some((frame, stride, _))) => plain(agents[i].step_image(frame, *stride, &mut actions[i])),
                    (_, Some((frame, stride, _))) => plain(agents[i].act_image(frame, *stride, &mut actions[i])),
                    (0, None) => plain(agents[i].step(&observation, &mut actions[i])),
                    (_, None) => plain(agents[i].act(&observation, &mut actions[i])),
                };
                let results = [act(0), act(1)];
                assert!(identical(&actions[0], &actions[1]), "call {call}: actions {actions:?}");
                assert!(
                    allowed || actions[0].iter().all(|value| value.to_bits() == 0),
                    "call {call}: refused, yet an action"
                );
                if allowed {
                    acted = what != 0;
                }
                if what != 0 {
                    assert_eq!(agents[0].digest(), before.0, "call {call}: act changed the recurrent state");
                }
                (results, allowed)
            }
            3 => {
                let mut applied = vector(&mut script, dims.action_len());
                if matches!(dims.action, Action::Discrete { .. }) && script.byte().is_multiple_of(2) {
                    applied.iter_mut().for_each(|value| *value = value.abs().floor());
                }
                let is_action = |value: &f32| match dims.action {
                    Action::Discrete { choices } => *value >= 0.0 && *value < choices as f32 && value.fract() == 0.0,
                    _ => value.is_finite(),
                };
                let allowed = acted && applied.len() == dims.action_len() && applied.iter().all(is_action);
                (agents.each_mut().map(|agent| plain(agent.override_action(&applied))), allowed)
            }
            4 | 5 => {
                let allowed = std::mem::replace(&mut acted, false);
                (agents.each_mut().map(|agent| plain(agent.advance())), allowed)
            }
            6 => {
                agents.iter_mut().for_each(Agent::reset);
                acted = false;
                assert_eq!(agents[0].digest(), fresh, "call {call}: reset is not the start of an episode");
                ([Ok(()), Ok(())], true)
            }
            7 => {
                dream(&mut agents, &mut script, dims.latent_len());
                assert_eq!(saved(&agents[0]), before.1, "call {call}: looking ahead left a trace");
                ([Ok(()), Ok(())], true)
            }
            8 => {
                let observation = observation(&mut script, &dims);
                let allowed = is_taken(&observation, &dims);
                let results = peek(&mut agents, &observation);
                assert_eq!(saved(&agents[0]), before.1, "call {call}: peek left a trace");
                (results, allowed)
            }
            9 => {
                kept.clone_from(&before.1);
                // What one back end saved, the other goes on from.
                for agent in &mut agents {
                    agent.load_state(&kept).expect("what an agent saved, it loads");
                }
                assert_eq!(saved(&agents[0]), kept, "call {call}: loaded, it is another state");
                ([Ok(()), Ok(())], true)
            }
            10 => {
                let own = kept[8..16] == models[0].fingerprint().to_le_bytes();
                let fit = if own { StateMatch::SameModel } else { StateMatch::SameDims };
                let adopt = script.byte().is_multiple_of(2);
                let results = agents.each_mut().map(|agent| match adopt {
                    true => agent.adopt_state(&kept).map(|found| assert_eq!(found, fit)).map_err(|e| (e.to_string(), 0)),
                    false => agent.load_state(&kept).map_err(|error| (error.to_string(), 0)),
                });
                if adopt || own {
                    acted = kept[48] == 1;
                }
                (results, adopt || own)
            }
            11 => {
                let seed = u64::from(script.byte()) << 32 | u64::from(script.byte());
                agents.iter_mut().for_each(|agent| agent.set_seed(seed));
                assert_eq!(agents[0].digest(), before.0, "call {call}: a seed changed the recurrent state");
                ([Ok(()), Ok(())], true)
            }
            12 => {
                let others = script.pick(crate::agents::models());
                let allowed = !acted && others[0].dims() == &dims;
                let mut swap = |i: usize| agents[i].replace_model(others[i]).map_err(|error| (error.to_string(), 0));
                let results = [swap(0), swap(1)];
                if allowed {
                    models = others;
                }
                let state = saved(&agents[0]);
                assert_eq!(state[16..state.len() - 8], before.1[16..state.len() - 8], "call {call}: swap changed the state");
                (results, allowed)
            }
            13 => {
                dreams(models, &agents[0], &mut script);
                ([Ok(()), Ok(())], true)
            }
            _ => {
                let is_told = acted && agents[0].tick() > 0 && agents[0].model().has_mdn();
                let found = agents.each_mut().map(Agent::surprise);
                assert_eq!(found[0].is_some(), is_told, "call {call}: surprise {found:?}");
                let numbers = found.map(|surprise| surprise.into_iter().collect::<Vec<_>>());
                assert!(same(&numbers[0], &numbers[1]), "call {call}: surprise {numbers:?}");
                assert_eq!(saved(&agents[0]), before.1, "call {call}: surprise left a trace");
                ([Ok(()), Ok(())], true)
            }
        };
        assert_eq!(results[0], results[1], "call {call}");
        assert_eq!(results[0].is_ok(), allowed, "call {call} ({what}): {:?}", results[0]);
        if !allowed {
            assert_eq!(saved(&agents[0]), before.1, "call {call} ({what}): refused, yet the state changed");
        }
        assert!(agents[0].unit_action().iter().all(|u| u.abs() <= 1.0), "call {call} ({what}): an action beyond ±1");
        assert_eq!(agents[0].digest(), agents[1].digest(), "call {call} ({what}): digests");
        assert_eq!(agents[0].has_acted(), acted, "call {call} ({what}): whether an act waits for its advance");
        assert_eq!(saved(&agents[0]), saved(&agents[1]), "call {call} ({what}): saved states");
        assert!(identical(&seen(&agents[0]), &seen(&agents[1])), "call {call} ({what}): states");
        let told = agents.each_ref().map(health);
        assert_eq!(told[0].0, told[1].0, "call {call} ({what}): counts of health");
        assert!(same(&told[0].1, &told[1].1), "call {call} ({what}): health {told:?}");
        if let Some(choice) = agents[0].choice() {
            assert!(choice < dims.unit_len(), "call {call} ({what}): choice {choice} of {}", dims.unit_len());
        }
    }
    let proofs = agents.each_mut().map(Agent::self_test_digest);
    assert_eq!(proofs[0], proofs[1], "digests with the head");
}

/// Predicts, samples at any temperature, and takes the mean.
fn dream(agents: &mut [Agent<'_, '_>; 2], script: &mut Script<'_>, latent: usize) {
    let temperature = if script.byte().is_multiple_of(2) { 0.1 + script.small().abs() } else { script.float() };
    let (rng, draw) = (Philox::new(u64::from(script.byte())), u64::from(script.byte()));
    let length = if script.byte() == 255 { script.below(40) } else { latent };
    let dreams = agents.each_mut().map(|agent| {
        let has_mdn = agent.model().has_mdn();
        let Some(prediction) = agent.predict() else {
            assert!(!has_mdn, "a head, yet no prediction");
            return Vec::new();
        };
        let (mut sampled, mut expected) = (vec![0.0; length], vec![0.0; length]);
        prediction.sample_latent(temperature, rng, draw, &mut sampled);
        prediction.expected_latent(&mut expected);
        [sampled, expected, vec![prediction.reward(), prediction.terminal_probability()]].concat()
    });
    assert!(same(&dreams[0], &dreams[1]), "temperature {temperature}: {dreams:?}");
}

/// What act would answer: so it does, and the state from before it is put back.
fn peek(agents: &mut [Agent<'_, '_>; 2], observation: &[f32]) -> [Result<(), (String, u32)>; 2] {
    let mut peeked = [(); 2].map(|()| vec![0.0; agents[0].model().dims().action_len()]);
    let (before, told) = (saved(&agents[0]), health(&agents[0]));
    let results = [0, 1].map(|i| plain(agents[i].peek(observation, &mut peeked[i])));
    assert!(identical(&peeked[0], &peeked[1]), "peek: actions {peeked:?}");
    assert_eq!(health(&agents[0]).0, told.0, "peek was counted");
    assert_eq!(saved(&agents[0]), before, "peek left a trace");
    for (agent, peeked) in agents.iter_mut().zip(&peeked) {
        let mut action = vec![0.0; peeked.len()];
        assert_eq!(plain(agent.act(observation, &mut action)), results[0], "peek refuses what act does not, or the reverse");
        assert!(identical(&action, peeked), "peek {peeked:?}, act {action:?}");
        agent.load_state(&before).expect("what an agent saved, it loads");
    }
    results
}

/// A short batch from where the agent is: alike on both back ends, and each dream as alone.
fn dreams(models: &[Model<'static>; 2], agent: &Agent<'_, '_>, script: &mut Script<'_>) {
    let dims = *models[0].dims();
    let count = *script.pick(&[1, 2, 3, 6, 7, 13, 17, 65]);
    let temperature = if script.byte() < 240 { 0.1 + script.small().abs() } else { script.float() };
    let termination = match script.byte() % 8 {
        0 => Termination::Threshold(script.float()),
        1 | 2 => Termination::Threshold(0.25 + script.small().abs() / 8.0),
        3 | 4 => Termination::Sampled,
        _ => Termination::Never,
    };
    let options = DreamOptions { seed: script.byte().into(), temperature, termination };
    let in_range = match termination {
        Termination::Threshold(threshold) => threshold > 0.0 && threshold <= 1.0,
        _ => true,
    };
    let is_dreamer = models[0].has_mdn() && !dims.input().has_observation();
    let allowed = is_dreamer && temperature > 0.0 && temperature.is_finite() && in_range;
    let mut memory = [(); 2].map(|()| vec![f32::NAN; dreams_memory_len(&dims, count)]);
    let [first, second] = &mut memory;
    let batches = [(models[0], first), (models[1], second)];
    let batches = batches.map(|(model, memory)| DreamBatch::new(model, memory, count, options).map_err(|e| e.to_string()));
    let [Ok(portable), Ok(widest)] = batches else {
        let [portable, widest] = batches.map(|batch| batch.map(|_| ()));
        assert_eq!(portable, widest, "the back ends refuse dreams differently");
        assert!(!allowed, "dreams refused: {portable:?}, {options:?}");
        return;
    };
    assert!(allowed, "dreams of {options:?}");
    let mut batches = [portable, widest];

    // Every dream from a place of its own; some never begin. Alone: the first ones and the last.
    let alone: Vec<usize> = (0..count.min(3)).chain((3..count).last()).collect();
    let mut memories = vec![vec![f32::NAN; dreams_memory_len(&dims, 1)]; alone.len()];
    let single = |memory| DreamBatch::new(models[0], memory, 1, options).expect("as the batch");
    let mut singles: Vec<_> = memories.iter_mut().map(|memory| single(memory)).collect();
    let (latent, skipped, number) = (vector(script, dims.latent_len()), script.byte(), u32::from(script.byte()));
    let allowed = latent.len() == dims.latent_len() && latent.iter().all(|value| value.is_finite());
    for index in (0..count).filter(|index| skipped >> (index % 8) & 1 == 0) {
        let latent: Vec<_> = latent.iter().map(|value| value + index as f32 / 64.0).collect();
        let state = Some((agent.hidden(), agent.cell())).filter(|_| index % 3 != 0);
        let (start, number) = (DreamStart { latent: &latent, state }, number + index as u32);
        let begin = |dreams: &mut DreamBatch<'_, '_>, at| dreams.start(at, number, start).map_err(|e| e.to_string());
        let results = batches.each_mut().map(|dreams| begin(dreams, index));
        assert_eq!(results[0], results[1], "dream {index}: one back end refuses its start");
        assert_eq!(results[0].is_ok(), allowed, "dream {index}: {results:?}");
        if let Some(at) = alone.iter().position(|&other| other == index) {
            assert_eq!(begin(&mut singles[at], 0), results[0], "dream {index}, alone");
        }
    }
    let what = |dreams: &DreamBatch<'_, '_>, i| {
        (dreams.digest(i), dreams.tick(i), dreams.is_done(i), dreams.unit_action(i).iter().map(|u| u.to_bits()).collect())
    };
    for t in 0..=script.below(4) {
        let (steered, unit) = (script.below(2 * count), vector(script, dims.unit_len()));
        let allowed = steered < count && unit.len() == dims.unit_len() && unit.iter().all(|value| value.is_finite());
        let mut active_count = Vec::new();
        for dreams in &mut batches {
            dreams.act();
            let set = dreams.set_action(steered, &unit);
            assert_eq!(set.is_ok(), allowed, "tick {t}: an action for dream {steered} of {count}: {set:?}");
            dreams.imagine().expect("all have acted");
            active_count.push(dreams.active_count());
        }
        assert_eq!(active_count[0], active_count[1], "tick {t}: active dreams");
        for index in 0..count {
            let found: [(_, _, _, Vec<u32>); 2] = batches.each_ref().map(|dreams| what(dreams, index));
            assert_eq!(found[0], found[1], "tick {t}: dream {index} of {count}");
        }
        for (single, &index) in singles.iter_mut().zip(&alone) {
            single.act();
            if index == steered {
                assert_eq!(single.set_action(0, &unit).is_ok(), allowed, "tick {t}: dream {index}, alone");
            }
            single.imagine().expect("it has acted");
            let parts = [(single, 0), (&mut batches[0], index)]
                .map(|(d, i)| [d.hidden(i), d.cell(i), d.latent(i), &[d.reward(i), d.terminal_probability(i)]].concat());
            assert!(identical(&parts[0], &parts[1]), "tick {t}: dream {index} of {count}, alone and there: {parts:?}");
        }
    }
}
