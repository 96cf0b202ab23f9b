//! Is any sequence of bytes either a state, for all that look at it, or refused by all without a trace?
//!
//! An input's first byte chooses the model, the next how its agent has lived so far, the third what the rest is: 0, bytes as
//! they stand; otherwise changes to a state that an agent saved, most often with the digest put right.

use crate::agents::{models, saved};
use crate::script::{ODD, Script, identical};
use dreamstep_core::digest::Digest;
use dreamstep_core::maths::CANONICAL_NAN;
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Agent, Model, StateError, StateMatch, memory_len};

/// Header of a state, in bytes.
const HEADER: usize = 56;

/// See above.
pub fn run(input: &[u8]) {
    let mut script = Script(input);
    let models = script.pick(models());
    let life = script.byte();
    let state = match script.byte() {
        0 => script.0.to_vec(),
        form => changed(&models[0], form, &mut script),
    };
    let checks = models.each_ref().map(|model| model.check_state(&state));
    assert_eq!(checks[0], checks[1], "the back ends judge differently");
    if let Err(error) = checks[0] {
        assert_eq!(error.to_string().lines().count(), 1, "not one line: {error}");
    }
    let fingerprint = models[0].fingerprint();
    let load = match checks[0] {
        Ok(StateMatch::SameDims) => {
            let found = u64::from_le_bytes(state[8..16].try_into().expect("eight bytes"));
            assert_ne!(found, fingerprint, "of other sizes, it claims to be of this model");
            Err(StateError::OtherModel { expected: fingerprint, found })
        }
        check => check,
    };
    taken(models, life, &state, load, |agent| agent.load_state(&state).map(|()| StateMatch::SameModel));
    taken(models, life, &state, checks[0], |agent| agent.adopt_state(&state));
}

/// Brings an agent to somewhere in an episode.
fn live(agent: &mut Agent<'_, '_>, life: u8) {
    let dims = *agent.model().dims();
    agent.set_seed(u64::from(life) << 40 | 3);
    for t in 0..u64::from(life % 4) {
        agent.act_in_place(&synthetic::observation(&dims, 7, t)).expect("a step does not fail");
        agent.advance().expect("it acted");
    }
    if life & 4 != 0 {
        agent.act_in_place(&synthetic::observation(&dims, 8, 0)).expect("a step does not fail");
    }
}

/// A state of `model`, or of another, after the script's changes.
fn changed(model: &Model<'static>, form: u8, script: &mut Script<'_>) -> Vec<u8> {
    let source = if form.is_multiple_of(4) { &script.pick(models())[0] } else { model };
    let mut memory = vec![0.0; memory_len(source.dims())];
    let mut agent = Agent::new(*source, &mut memory).expect("enough memory");
    live(&mut agent, script.byte());
    let mut state = saved(&agent);
    for _ in 0..24 {
        if script.is_empty() {
            break;
        }
        let numbers = state.len().saturating_sub(HEADER + 8) / 4;
        match script.byte() % 8 {
            0 => {
                let at = script.below(state.len());
                state.get_mut(at).into_iter().for_each(|slot| *slot ^= 1 << script.below(8));
            }
            1 => {
                let at = 4 * script.below(HEADER / 4);
                let value = [script.byte(), script.byte(), script.byte(), script.byte()];
                state.get_mut(at..at + 4).into_iter().for_each(|slot| slot.copy_from_slice(&value));
            }
            2 => state.resize((state.len() + script.below(130)).saturating_sub(64).min(4096), 0),
            3 => {
                let value = [0, 1, 2, 255][script.below(4)];
                state.get_mut(48).into_iter().for_each(|slot| *slot = value);
            }
            4 => state.get_mut(8..16).into_iter().for_each(|slot| slot.copy_from_slice(&model.fingerprint().to_le_bytes())),
            what => {
                let from = script.below(numbers);
                let value = if what == 5 { script.float() } else { *script.pick(&ODD) };
                let count = if what == 7 { 1 + script.below(16) } else { 1 };
                for number in from..(from + count).min(numbers) {
                    state[HEADER + 4 * number..][..4].copy_from_slice(&value.to_le_bytes());
                }
            }
        }
    }
    if form < 192
        && let Some((body, digest)) = state.split_last_chunk_mut()
    {
        *digest = Digest::default().update_bytes(body).value().to_le_bytes();
    }
    state
}

/// What `take` does to agents on both back ends is what `expected` says; taken, they live on alike.
fn taken(
    models: &[Model<'static>; 2],
    life: u8,
    state: &[u8],
    expected: Result<StateMatch, StateError>,
    take: impl Fn(&mut Agent<'_, '_>) -> Result<StateMatch, StateError>,
) {
    let dims = *models[0].dims();
    let mut memory = [(); 2].map(|()| vec![f32::NAN; memory_len(&dims)]);
    let [first, second] = &mut memory;
    let mut agents = [Agent::new(models[0], first).unwrap(), Agent::new(models[1], second).unwrap()];
    for agent in &mut agents {
        live(agent, life);
        let of = |agent: &Agent<'_, '_>| (saved(agent), agent.digest(), agent.tick(), agent.has_acted(), agent.seed());
        let before = of(agent);
        assert_eq!(take(agent), expected, "not what check_state says");
        if expected.is_err() {
            assert_eq!(of(agent), before, "refused, yet the agent changed");
            continue;
        }
        let now = saved(agent);
        let end = state.len() - 8;
        assert_eq!(now[16..end], state[16..end], "taken, it is another state");
        assert!(expected != Ok(StateMatch::SameModel) || now == state, "a state of this model is written otherwise");
        assert_eq!(agent.model().check_state(&now), Ok(StateMatch::SameModel), "taken, it is not this model's");
    }
    for t in 0..4 {
        assert_eq!(saved(&agents[0]), saved(&agents[1]), "tick {t}: states");
        let digests =
            agents.each_mut().map(|agent| (agent.digest(), agent.self_test_digest(), agent.tick(), agent.has_acted()));
        assert_eq!(digests[0], digests[1], "tick {t}: digests");
        let [a, b] = &agents;
        let numbers = [a.hidden(), a.cell(), a.latent(), a.unit_action()].concat();
        let strange = numbers.iter().find(|value| value.is_nan() && value.to_bits() != CANONICAL_NAN.to_bits());
        assert_eq!(strange, None, "tick {t}: a NaN that is not the canonical one");
        assert!(identical(&numbers, &[b.hidden(), b.cell(), b.latent(), b.unit_action()].concat()), "tick {t}: numbers");
        let before = agents[0].tick();
        let actions = agents.each_mut().map(|agent| {
            // In the middle of a tick: once to its end as it is.
            if agent.has_acted() {
                agent.advance().expect("it acted");
                return Vec::new();
            }
            let mut action = vec![0.0; dims.action_len()];
            agent.step(&synthetic::observation(&dims, 9, t), &mut action).expect("a step does not fail on the state");
            action
        });
        assert!(identical(&actions[0], &actions[1]), "tick {t}: actions {actions:?}");
        assert_eq!(agents[0].tick(), before.wrapping_add(1), "tick {t}");
    }
}
