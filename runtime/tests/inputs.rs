//! What follows from what the controller reads? That the latent and the memory do not depend on it, that a controller which does not
//! read h acts alike whether the agent advances or not, and that one which reads observations alone runs neither V nor M. What the
//! action is, `against_f64.rs` says; that every back end gives the same bits, `backends.rs`.

use dreamstep_core::names::checkpoint;
use dreamstep_core::pack::{AlignedBytes, Parts, Tensors, pack};
use dreamstep_core::reader::File;
use dreamstep_core::schema::{Acting, Settings};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Agent, ControllerInput, Dims, DreamBatch, DreamOptions, DreamStart, MemoryCell, Model, Precision, StateError,
    Termination, dreams_memory_len, memory_len, state_len,
};
use std::collections::BTreeMap;

const SMALL: Dims = synthetic::ODD;
const STEPS: u64 = 12;

fn file(settings: &Settings, tensors: &Tensors) -> AlignedBytes {
    let n = settings.dims.action_len();
    let parts = Parts {
        tensors,
        settings: *settings,
        action_mid: &vec![0.0; n],
        action_half: &vec![1.0; n],
        selftest: None,
        frames: &[],
        provenance: &BTreeMap::new(),
    };
    AlignedBytes::new(&pack(&parts).unwrap())
}

/// Every choice of input, memory and precision, acting on the mean latent.
fn all() -> impl Iterator<Item = Settings> {
    let kinds = ControllerInput::ALL
        .into_iter()
        .flat_map(|input| MemoryCell::ALL.map(|cell| SMALL.with_cell(cell).with_input(input)));
    kinds.flat_map(|dims| {
        Precision::ALL.map(|precision| synthetic::with(synthetic::settings(&dims), |s| s.precision = precision))
    })
}

fn observation(t: u64) -> Vec<f32> {
    synthetic::observation(&SMALL, 2, t)
}

fn saved(agent: &Agent<'_, '_>) -> Vec<u8> {
    let mut state = vec![0; state_len(agent.model().dims())];
    agent.save_state(&mut state).unwrap();
    state
}

/// Runs `test` with an agent of `file`.
fn with_agent<T>(file: &[u8], test: impl FnOnce(&mut Agent<'_, '_>) -> T) -> T {
    let model = Model::load(file).unwrap();
    let mut memory = vec![f32::NAN; memory_len(model.dims())];
    test(&mut Agent::new(model, &mut memory).unwrap())
}

/// The actions of an episode, as bits; without advancing where `advance` is false.
fn actions(file: &[u8], advance: bool) -> Vec<u32> {
    with_agent(file, |agent| {
        let act = |t| {
            let mut action = [f32::NAN];
            agent.act(&observation(t), &mut action).unwrap();
            if advance {
                agent.advance().unwrap();
            }
            action[0].to_bits()
        };
        (0..STEPS).map(act).collect()
    })
}

#[test]
fn what_does_not_read_h_need_not_advance() {
    for settings in all() {
        let file = synthetic::agent_with(&settings, 1);
        let same = actions(&file, true) == actions(&file, false);
        assert_eq!(same, matches!(settings.dims.input().name(), "z" | "obs"), "{settings:?}");
        assert_eq!(same, !settings.dims.input().has_hidden());
    }
}

/// The same actions taken, agents of every input remember and expect the same: all but the one that remembers nothing.
#[test]
fn the_memory_does_not_depend_on_what_the_controller_reads() {
    for cell in MemoryCell::ALL {
        let trace = |input| {
            with_agent(&synthetic::agent(&SMALL.with_cell(cell).with_input(input), 1), |agent| {
                let mut trace = Vec::new();
                for t in 0..STEPS {
                    agent.act_in_place(&observation(t)).unwrap();
                    agent.override_action(&[0.3 - 0.05 * t as f32]).unwrap();
                    agent.advance().unwrap();
                    trace.extend([agent.latent(), agent.hidden(), agent.cell()].concat());
                    trace.extend(agent.predict().map(|prediction| prediction.reward()));
                }
                trace
            })
        };
        let expected = trace(ControllerInput::LatentHidden);
        for input in ControllerInput::ALL {
            let found = trace(input);
            if input == ControllerInput::Observation {
                assert!(found.is_empty(), "neither latent nor memory: {found:?}");
            } else {
                assert_eq!(found, expected, "{input:?}, {cell:?}");
            }
        }
    }
}

/// Whatever the weights of V and M: those of a controller on observations are never read, the others' are.
#[test]
fn a_controller_on_observations_alone_runs_neither_v_nor_m() {
    let own = [checkpoint::FC_WEIGHT, checkpoint::FC_BIAS, checkpoint::NORMALIZER_MEAN, checkpoint::NORMALIZER_INV_STD];
    for settings in all() {
        let (one, mut other) = (synthetic::tensors(&settings.dims, 1), synthetic::tensors(&settings.dims, 2));
        own.iter().for_each(|&name| drop(other.insert(name.to_string(), one[name].clone())));
        let [one, other] = [one, other].map(|tensors| file(&settings, &tensors));
        let same = actions(&one, true) == actions(&other, true);
        assert_eq!(same, settings.dims.input() == ControllerInput::Observation, "{settings:?}");
    }
    let file = synthetic::agent(&SMALL.with_input(ControllerInput::Observation), 1);
    let read = File::parse(&file).unwrap();
    let names: Vec<_> = read.tensors().map(|tensor| tensor.name).collect();
    let expected = ["observation.mean", "observation.inv_std", "action.mid", "action.half", "fc.panels", "fc.bias"];
    assert_eq!(names, expected, "nor does its file hold them");
    with_agent(&file, |agent| {
        assert!(agent.latent().is_empty() && agent.hidden().is_empty() && agent.cell().is_empty());
        assert_eq!(agent.model().dims(), &Dims::reactive(5, 1));
        let start = agent.digest();
        let ticks: Vec<u64> = (0..STEPS)
            .map(|t| {
                agent.step(&observation(t), &mut [0.0]).unwrap();
                agent.tick()
            })
            .collect();
        assert_eq!(ticks, (1..=STEPS).collect::<Vec<_>>());
        assert_eq!((agent.digest(), agent.predict().is_none(), agent.model().has_mdn()), (start, true, false));
    });
}

#[test]
fn a_look_ahead_and_a_saved_state_go_with_every_input() {
    for settings in all() {
        let settings = synthetic::with(settings, |s| s.acting = Acting::Sampled);
        let file = synthetic::agent_with(&settings, 1);
        let expected = actions(&file, true);
        with_agent(&file, |agent| {
            let mut found = Vec::new();
            for t in 0..STEPS {
                let mut action = [f32::NAN];
                agent.act(&observation(t), &mut action).unwrap();
                let state = saved(agent);
                // In the middle of a tick: neither a look at another observation nor another episode leaves a trace.
                agent.peek(&observation(50 + t), &mut [0.0]).unwrap();
                assert_eq!(saved(agent), state, "{settings:?}");
                agent.step(&observation(70 + t), &mut [0.0]).unwrap();
                agent.load_state(&state).unwrap();
                agent.advance().unwrap();
                found.push(action[0].to_bits());
            }
            assert_eq!(found, expected, "{settings:?}");
        });
    }
}

#[test]
fn a_state_of_another_input_is_refused_by_name() {
    let of = |input| synthetic::agent(&SMALL.with_input(input), 1);
    for (own, other) in ControllerInput::ALL.into_iter().flat_map(|own| ControllerInput::ALL.map(|other| (own, other))) {
        let state = with_agent(&of(other), |agent| saved(agent));
        with_agent(&of(own), |agent| {
            let before = saved(agent);
            let result = agent.adopt_state(&state);
            if own == other {
                assert!(result.is_ok());
            } else {
                let error = result.unwrap_err();
                // One that reads observations alone has neither latent nor memory: it differs in sizes first.
                let (expected, found) = match (own, other) {
                    (ControllerInput::Observation, _) => (0, 3),
                    (_, ControllerInput::Observation) => (3, 0),
                    _ => (3, 3),
                };
                if expected == found {
                    let (expected, found) = (own.name(), other.name());
                    assert_eq!(error, StateError::Kind { what: "controller input", expected, found });
                    let message = format!("state: expected one of an agent with controller input {expected}, found {found}");
                    assert_eq!(error.to_string(), message);
                } else {
                    assert_eq!(error, StateError::Dims { axis: "latent", expected, found });
                }
                assert_eq!(saved(agent), before);
            }
        });
    }
}

/// In a dream, a controller on z or h alone gives what its agent gives in the same place.
#[test]
fn z_or_h_alone_acts_in_dreams() {
    for settings in all().filter(|settings| !settings.dims.input().has_observation()) {
        let model = synthetic::agent_with(&settings, 1);
        let model = Model::load(&model).unwrap();
        let mut memory = [vec![0.0; memory_len(&settings.dims)], vec![0.0; dreams_memory_len(&settings.dims, 9)]];
        let [left, right] = &mut memory;
        let mut agent = Agent::new(model, left).unwrap();
        let options = DreamOptions { seed: 1, temperature: 1.0, termination: Termination::Never };
        let mut dreams = DreamBatch::new(model, right, 9, options).unwrap();
        for t in 0..STEPS {
            // Nine dreams begin where the agent stands, with its newest observation's latent.
            let state = (agent.hidden().to_vec(), agent.cell().to_vec());
            agent.act_in_place(&observation(t)).unwrap();
            for index in 0..9 {
                let start = DreamStart { latent: agent.latent(), state: Some((&state.0, &state.1)) };
                dreams.start(index, 0, start).unwrap();
            }
            dreams.act();
            for index in 0..9 {
                assert_eq!(dreams.unit_action(index), agent.unit_action(), "{settings:?}");
            }
            dreams.imagine().unwrap();
            agent.advance().unwrap();
            assert_eq!((dreams.hidden(4), dreams.cell(8)), (agent.hidden(), agent.cell()), "{settings:?}");
        }
    }
}
