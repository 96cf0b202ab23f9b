//! Does any sequence of calls do on the widest back end what it does on the portable one, and is a call refused exactly
//! where the documentation says, without leaving a trace?
//!
//! An input's first byte chooses the agent; then each byte is a call, followed by its arguments.

use crate::agents::sound;
use crate::pieces::Pieces;
use crate::script::{ODD, Script, identical, same};
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::rng::Philox;
use dreamstep_runtime::{Agent, Backend, Model, StepError, memory_len};
use std::sync::OnceLock;

/// Every sound agent with each squash and target, on the portable back end and on the widest. Loaded once: this target is
/// about what comes after.
fn models() -> &'static [[Model<'static>; 2]] {
    static FILES: OnceLock<Vec<AlignedBytes>> = OnceLock::new();
    static MODELS: OnceLock<Vec<[Model<'static>; 2]>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let modes = [("clamp", "z"), ("tanh", "delta")];
        let variants = sound().iter().flat_map(|pieces| modes.map(|mode| (pieces, mode)));
        let file = |(pieces, (squash, target)): (&Pieces, (&str, &str))| {
            let mut pieces = pieces.clone();
            pieces.metadata.insert("action.squash".to_string(), squash.to_string());
            pieces.metadata.insert("gmm.target".to_string(), target.to_string());
            AlignedBytes::new(&pieces.bytes(0))
        };
        variants.map(file).collect()
    });
    MODELS.get_or_init(|| {
        let load = |file: &'static AlignedBytes, backend| Model::load_with(file, backend).expect("a sound agent loads");
        files.iter().map(|file| [Backend::Portable, Backend::detect()].map(|backend| load(file, backend))).collect()
    })
}

/// What the caller sees of an agent, but for its head.
fn seen(agent: &Agent<'_, '_>) -> Vec<f32> {
    [agent.hidden(), agent.cell(), agent.latent(), agent.unit_action()].concat()
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

/// A refusal, a NaN in it as its bits.
fn plain(result: Result<(), StepError>) -> Result<(), (String, u32)> {
    result.map_err(|error| match error {
        StepError::NonFinite { found, .. } | StepError::NonFiniteAction { found, .. } => {
            (error.to_string(), found.to_bits())
        }
        _ => (error.to_string(), 0),
    })
}

/// See above.
pub fn run(input: &[u8]) {
    let mut script = Script(input);
    let models = script.pick(models());
    let dims = *models[0].dims();
    let mut memory = [(); 2].map(|()| vec![f32::NAN; memory_len(&dims)]);
    let [first, second] = &mut memory;
    let mut agents = [Agent::new(&models[0], first).unwrap(), Agent::new(&models[1], second).unwrap()];
    let fresh = agents[0].digest();
    let mut acted = false; // what the documentation's rules depend on
    for call in 0..64 {
        if script.is_empty() {
            break;
        }
        let before = (agents[0].digest(), seen(&agents[0]));
        let what = script.byte() % 8;
        let (results, allowed) = match what {
            0..=2 => {
                let observation = vector(&mut script, dims.obs);
                let room = if script.byte() == 255 { script.below(20) } else { dims.action };
                let mut actions = [(); 2].map(|()| vec![0.0; room]);
                let fits = room == dims.action && observation.len() == dims.obs;
                let allowed = fits && observation.iter().all(|value| value.is_finite());
                let mut act = |i: usize| match what {
                    0 => plain(agents[i].step(&observation, &mut actions[i])),
                    _ => plain(agents[i].act(&observation, &mut actions[i])),
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
                let applied = vector(&mut script, dims.action);
                let allowed = acted && applied.len() == dims.action && applied.iter().all(|value| value.is_finite());
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
            _ => {
                dream(&mut agents, &mut script, dims.latent);
                assert_eq!(agents[0].digest(), before.0, "call {call}: looking ahead changed the recurrent state");
                assert!(identical(&seen(&agents[0]), &before.1), "call {call}: looking ahead changed what is seen");
                ([Ok(()), Ok(())], true)
            }
        };
        assert_eq!(results[0], results[1], "call {call}");
        assert_eq!(results[0].is_ok(), allowed, "call {call} ({what}): {:?}", results[0]);
        if !allowed {
            assert!(identical(&seen(&agents[0]), &before.1), "call {call} ({what}): refused, yet the state changed");
        }
        assert!(agents[0].unit_action().iter().all(|u| u.abs() <= 1.0), "call {call} ({what}): an action beyond ±1");
        assert_eq!(agents[0].digest(), agents[1].digest(), "call {call} ({what}): digests");
        assert!(identical(&seen(&agents[0]), &seen(&agents[1])), "call {call} ({what}): states");
    }
    let proofs = agents.each_mut().map(Agent::proof_digest);
    assert_eq!(proofs[0], proofs[1], "digests with the head");
}

/// Predicts, samples at any temperature, and takes the mean.
fn dream(agents: &mut [Agent<'_, '_>; 2], script: &mut Script<'_>, latent: usize) {
    let temperature = if script.byte().is_multiple_of(2) { 0.1 + script.small().abs() } else { script.float() };
    let (rng, draw) = (Philox::new(u64::from(script.byte())), u64::from(script.byte()));
    let length = if script.byte() == 255 { script.below(40) } else { latent };
    let dreams = agents.each_mut().map(|agent| {
        let prediction = agent.predict().expect("a head");
        let (mut sampled, mut expected) = (vec![0.0; length], vec![0.0; length]);
        prediction.sample_latent(temperature, rng, draw, &mut sampled);
        prediction.expected_latent(&mut expected);
        [sampled, expected, vec![prediction.reward(), prediction.terminal_probability()]].concat()
    });
    assert!(same(&dreams[0], &dreams[1]), "temperature {temperature}: {dreams:?}");
}
