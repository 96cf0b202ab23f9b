//! What is an agent of each kind? An identity V is an MLP that copies, a discrete action is the greatest score's number and M hears it
//! one-hot, an agent without M remembers nothing; and what a file says of itself. What they compute, `against_f64.rs` says.

use dreamstep_core::names::checkpoint;
use dreamstep_core::pack::{AlignedBytes, Parts, Tensors, controller_panels, pack};
use dreamstep_core::schema::Settings;
use dreamstep_fixtures::synthetic::{self, ODD, TWO_BLOCKS};
use dreamstep_runtime::{
    Action, Agent, Backend, ControllerInput, Dims, DreamBatch, DreamError, DreamOptions, DreamStart, Encoder, Memory,
    MemoryCell, Model, Normalizer, Precision, StepError, Termination, Widths, dreams_memory_len, memory_len, state_len,
};
use std::collections::BTreeMap;

fn available() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

/// A packed agent; actions in ±1.
fn file(settings: &Settings, tensors: &Tensors) -> AlignedBytes {
    let n = settings.dims.action_len();
    let (mid, half, provenance) = (vec![0.0; n], vec![1.0; n], BTreeMap::new());
    let (settings, selftest) = (*settings, None);
    let parts =
        Parts { tensors, settings, action_mid: &mid, action_half: &half, selftest, frames: &[], provenance: &provenance };
    AlignedBytes::new(&pack(&parts).unwrap())
}

/// Runs `test` with a fresh agent of `file` on every back end.
fn on_every_back_end(file: &[u8], test: impl Fn(&mut Agent<'_, '_>)) {
    for backend in available() {
        let model = Model::load_with(file, backend).unwrap();
        let mut memory = vec![f32::NAN; memory_len(model.dims())];
        test(&mut Agent::new(model, &mut memory).unwrap());
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Weights `[2Z, O]` that copy the first Z inputs, each with its sign turned round beside it; then `[2Z, 2Z]`: mean rows that take the two
/// halves apart again, log-variance rows of zeros. `relu(x) − relu(−x)` is x, bit for bit.
fn copying(tensors: &Tensors, dims: &Dims) -> Tensors {
    let (o, z) = (dims.obs_len(), dims.latent_len());
    let one = |n: usize, k: usize, at: &dyn Fn(usize) -> Vec<(usize, f32)>| {
        let mut weight = vec![0.0; n * k];
        for row in 0..n {
            at(row).into_iter().for_each(|(column, value)| weight[row * k + column] = value);
        }
        (vec![n, k], weight)
    };
    let mut tensors = tensors.clone();
    let split = |row: usize| vec![(row / 2, [1.0, -1.0][row % 2])];
    let joined = |row: usize| if row < z { vec![(2 * row, 1.0), (2 * row + 1, -1.0)] } else { Vec::new() };
    tensors.insert(checkpoint::ENCODER_WEIGHT[0].into(), one(2 * z, o, &split));
    tensors.insert(checkpoint::ENCODER_BIAS[0].into(), (vec![2 * z], vec![0.0; 2 * z]));
    tensors.insert(checkpoint::ENCODER_WEIGHT[1].into(), one(2 * z, 2 * z, &joined));
    tensors.insert(checkpoint::ENCODER_BIAS[1].into(), (vec![2 * z], vec![0.0; 2 * z]));
    tensors
}

#[test]
fn the_identity_is_an_mlp_that_copies() {
    let cells = [ODD, TWO_BLOCKS].into_iter().flat_map(|dims| MemoryCell::ALL.map(|cell| dims.with_cell(cell)));
    // (An i8 file's MLP rounds its inputs, which no identity does.)
    for (dims, precision) in cells.flat_map(|dims| [Precision::F32, Precision::F16, Precision::Bf16].map(|p| (dims, p))) {
        let latent = dims.latent_len();
        let settings = |v| synthetic::with(synthetic::settings(&dims.with_encoder(v)), |s| s.precision = precision);
        let identity = settings(Encoder::Identity { latent });
        let tensors = synthetic::tensors(&identity.dims, 7);
        let mlp = settings(Encoder::Mlp { hidden: Widths::new(&[2 * latent]).unwrap(), latent });
        let files = [file(&identity, &tensors), file(&mlp, &copying(&tensors, &mlp.dims))];
        for backend in available() {
            let trace = |file: &[u8]| {
                let model = Model::load_with(file, backend).unwrap();
                let mut memory = vec![0.0; memory_len(model.dims())];
                let mut agent = Agent::new(model, &mut memory).unwrap();
                let (mut action, mut trace) = (vec![0.0; dims.action_len()], Vec::new());
                for t in 0..30 {
                    agent.step(&synthetic::observation(&dims, 5, t), &mut action).unwrap();
                    trace.extend(bits(&[&action, agent.hidden(), agent.cell()].concat()));
                    // The layers of an f16 or bf16 file round what they read: there an MLP's z is a rounded copy, and whatever
                    // reads the identity's rounds it just so.
                    if precision == Precision::F32 {
                        trace.extend(bits(agent.latent()));
                    }
                }
                trace
            };
            let [identity, mlp] = files.each_ref().map(|file| trace(file));
            assert_eq!(identity, mlp, "{}, {precision:?}, {dims:?}", backend.name());
        }
    }
}

#[test]
fn the_identity_is_the_beginning_of_what_is_whitened() {
    let dims = ODD.with_encoder(Encoder::Identity { latent: 4 });
    let settings = synthetic::with(synthetic::settings(&dims), |s| s.obs_clip = 1.5);
    let tensors = synthetic::tensors(&dims, 7);
    let [mean, inv_std] = [checkpoint::NORMALIZER_MEAN, checkpoint::NORMALIZER_INV_STD].map(|name| tensors[name].1.clone());
    on_every_back_end(&file(&settings, &tensors), |agent| {
        let observation = synthetic::observation(&dims, 5, 0);
        agent.act_in_place(&observation).unwrap();
        let x: Vec<f32> = (0..4).map(|i| ((observation[i] - mean[i]) * inv_std[i]).clamp(-1.5, 1.5)).collect();
        assert_eq!(bits(agent.latent()), bits(&x));
        assert!(x.iter().any(|x| x.abs() == 1.5) && x.iter().any(|x| x.abs() < 1.5), "{x:?}");
    });
    // Without a normaliser, of the observation itself, however large.
    let settings = synthetic::with(synthetic::settings(&dims), |s| s.normalizer = Normalizer::None);
    on_every_back_end(&file(&settings, &tensors), |agent| {
        agent.act_in_place(&[0.25, -3e38, 1e-45, -0.0, 7.0]).unwrap();
        assert_eq!(bits(agent.latent()), bits(&[0.25, -3e38, 1e-45, -0.0]));
        agent.advance().unwrap();
        assert_eq!(agent.health().clipped, 0, "nothing to be clipped");
    });
}

/// Four choices and a controller that scores them `[w·x0, −w·x0, bias, bias]`.
fn chooser() -> (Settings, Tensors) {
    let dims = ODD.with_encoder(Encoder::Identity { latent: 5 }).with_action(Action::Discrete { choices: 4 });
    let mut tensors = synthetic::tensors(&dims, 7);
    let inputs = dims.controller_inputs();
    let mut weight = vec![0.0; 4 * inputs];
    (weight[0], weight[inputs]) = (1.0, -1.0);
    tensors.insert(checkpoint::FC_WEIGHT.into(), (vec![4, inputs], weight));
    tensors.insert(checkpoint::FC_BIAS.into(), (vec![4], vec![0.0, 0.0, 0.5, 0.5]));
    (synthetic::with(synthetic::settings(&dims), |s| s.normalizer = Normalizer::None), tensors)
}

#[test]
fn the_greatest_score_is_chosen_and_the_first_of_equals() {
    let (settings, tensors) = chooser();
    assert_eq!((settings.dims.unit_len(), settings.dims.action_len()), (4, 1));
    on_every_back_end(&file(&settings, &tensors), |agent| {
        for (x, choice) in [(2.0, 0), (-2.0, 1), (0.25, 2), (0.5, 0), (-0.5, 1), (0.5_f32.next_down(), 2), (0.0, 2)] {
            let (mut action, mut peeked) = ([f32::NAN], [f32::NAN]);
            let observation = [x, 1.0, 1.0, 1.0, 1.0];
            agent.peek(&observation, &mut peeked).unwrap();
            agent.act(&observation, &mut action).unwrap();
            let mut one_hot = [0.0; 4];
            one_hot[choice] = 1.0;
            assert_eq!((action, peeked), ([choice as f32], [choice as f32]), "{x}");
            assert_eq!((agent.unit_action(), agent.choice()), (&one_hot[..], Some(choice)), "{x}");
            agent.advance().unwrap();
        }
        assert_eq!(agent.health().saturated, 0, "a choice has no range");
        assert_eq!(agent.model().action_range(0), None);
    });
}

#[test]
fn a_choice_is_overridden_with_a_choice() {
    let (settings, tensors) = chooser();
    on_every_back_end(&file(&settings, &tensors), |agent| {
        let mut after = |applied: &[f32]| {
            agent.reset();
            agent.act_in_place(&[2.0; 5]).unwrap();
            applied.iter().for_each(|&applied| agent.override_action(&[applied]).unwrap());
            let choice = agent.choice().unwrap();
            agent.advance().unwrap();
            (choice, bits(agent.hidden()))
        };
        let own = after(&[]);
        assert_eq!((own.0, after(&[0.0])), (0, own.clone()), "its own choice");
        assert_eq!(after(&[-0.0]), own);
        let others = [1.0, 2.0, 3.0].map(|applied| after(&[applied]));
        for (i, other) in others.iter().enumerate() {
            assert_eq!(other.0, i + 1);
            assert_ne!(other.1, own.1, "M hears it");
        }
        assert_eq!(after(&[1.0, 3.0]), others[2], "the last one counts");
        agent.act_in_place(&[2.0; 5]).unwrap();
        let mut before = vec![0; state_len(agent.model().dims())];
        agent.save_state(&mut before).unwrap();
        for found in [4.0, -1.0, 0.5, 3.000_000_2, 1e-45, f32::MAX, f32::MIN] {
            let error = agent.override_action(&[found]).unwrap_err();
            assert_eq!(error, StepError::NoSuchChoice { choices: 4, found });
            let message = format!("action[0]: expected the number of one of 4 choices, found {found}");
            assert_eq!(error.to_string(), message);
        }
        assert!(matches!(agent.override_action(&[f32::NAN]), Err(StepError::NonFiniteAction { index: 0, .. })));
        let length = StepError::ActionLength { expected: 1, found: 4 };
        assert_eq!(agent.override_action(&[1.0, 0.0, 0.0, 0.0]), Err(length), "an action, not what M hears");
        let mut state = before.clone();
        agent.save_state(&mut state).unwrap();
        assert_eq!(state, before, "a refused override changes nothing");
        agent.advance().unwrap();
        assert_eq!(agent.override_action(&[1.0]), Err(StepError::OverrideBeforeAct));
    });
}

/// M takes `[u, z, h]` in: with weights on one choice's place alone, only that choice moves it.
#[test]
fn the_memory_hears_a_choice_one_hot() {
    let (settings, mut tensors) = chooser();
    for name in [checkpoint::RNN_WEIGHT_IH, checkpoint::RNN_WEIGHT_HH, checkpoint::RNN_BIAS_IH, checkpoint::RNN_BIAS_HH] {
        tensors.get_mut(name).unwrap().1.fill(0.0);
    }
    let (shape, weight) = tensors.get_mut(checkpoint::RNN_WEIGHT_IH).unwrap();
    weight.chunks_mut(shape[1]).for_each(|row| row[2] = 1.0);
    on_every_back_end(&file(&settings, &tensors), |agent| {
        for choice in [0.0, 1.0, 2.0, 3.0] {
            agent.reset();
            agent.act_in_place(&[1.0; 5]).unwrap();
            agent.override_action(&[choice]).unwrap();
            agent.advance().unwrap();
            let moved = agent.hidden().iter().all(|&h| h > 0.1);
            assert_eq!((moved, agent.hidden().iter().all(|&h| h == 0.0)), (choice == 2.0, choice != 2.0), "{choice}");
        }
    });
}

/// In a dream too: the same controller scores the same latent, and another one is tried without unpacking.
#[test]
fn a_dream_chooses_as_its_agent_does() {
    let (settings, tensors) = chooser();
    let (dims, file) = (settings.dims, file(&settings, &tensors));
    for backend in available() {
        let model = Model::load_with(&file, backend).unwrap();
        let mut memory = vec![0.0; dreams_memory_len(&dims, 5)];
        let options = DreamOptions { termination: Termination::Never, ..DreamOptions::default() };
        let mut dreams = DreamBatch::new(model, &mut memory, 5, options).unwrap();
        for (index, x) in [2.0, -2.0, 0.25, 0.5, -0.5].into_iter().enumerate() {
            dreams.start(index, 0, DreamStart { latent: &[x, 1.0, 1.0, 1.0, 1.0], state: None }).unwrap();
        }
        dreams.act();
        let chosen = |dreams: &DreamBatch<'_, '_>, index| {
            let u = dreams.unit_action(index);
            assert_eq!(u.iter().sum::<f32>(), 1.0, "one-hot: {u:?}");
            u.iter().position(|&u| u == 1.0).unwrap()
        };
        assert_eq!([0, 1, 2, 3, 4].map(|index| chosen(&dreams, index)), [0, 1, 2, 0, 1]);
        let always_3 = controller_panels(&dims, &[vec![0.0; 4 * 12], vec![0.0, 0.0, 0.0, 1.0]].concat());
        dreams.act_with(1..3, &model.with_controller(&always_3).unwrap()).unwrap();
        assert_eq!([0, 1, 2, 3, 4].map(|index| chosen(&dreams, index)), [0, 3, 3, 0, 1]);
        dreams.imagine().unwrap();
    }
}

#[test]
fn without_a_memory_there_is_nothing_to_remember_expect_or_dream() {
    let dims = ODD.with_memory(Memory::None).with_input(ControllerInput::Latent);
    let file = synthetic::agent(&dims, 1);
    on_every_back_end(&file, |agent| {
        let mut action = [0.0];
        for t in 0..5 {
            agent.act(&synthetic::observation(&dims, 3, t), &mut action).unwrap();
            assert_eq!(agent.surprise(), None);
            agent.advance().unwrap();
        }
        assert!(agent.hidden().is_empty() && agent.cell().is_empty() && agent.predict().is_none());
        assert_eq!((agent.latent().len(), agent.tick(), agent.health().surprises), (3, 5, 0));
        assert!(!agent.model().has_mdn());
        assert_eq!(state_len(&dims), 56 + 4 * (3 + 3 + 1) + 8, "two latents and an action");
        let mut memory = vec![0.0; dreams_memory_len(&dims, 1)];
        let error = DreamBatch::new(*agent.model(), &mut memory, 1, DreamOptions::default()).unwrap_err();
        assert_eq!(error, DreamError::NoHead);
    });
}

#[test]
fn a_model_tells_what_its_file_says() {
    let settings = synthetic::with(synthetic::settings(&ODD), |s| s.period_s = Some(0.015));
    let said = [("env", "Humanoid-v5"), ("note", "a \"quoted\" word\n")];
    let provenance: BTreeMap<_, _> = said.map(|(key, value)| (key.to_string(), value.to_string())).into();
    let parts = Parts {
        tensors: &synthetic::tensors(&ODD, 1),
        settings,
        action_mid: &[1.0],
        action_half: &[0.25],
        selftest: None,
        frames: &[],
        provenance: &provenance,
    };
    let bytes = AlignedBytes::new(&pack(&parts).unwrap());
    let model = Model::load(&bytes).unwrap();
    assert_eq!((model.format(), model.environment(), model.period_s()), ("packed-3", Some("Humanoid-v5"), Some(0.015)));
    assert_eq!(model.metadata("v.hidden"), Some("9,4"));
    assert_eq!(model.metadata("note"), Some(r#"a \"quoted\" word\n"#), "escapes as they stand");
    assert_eq!(model.metadata("nothing"), None);
    let entries: BTreeMap<_, _> = model.metadata_entries().collect();
    assert_eq!(entries.len(), settings.entries().len() + 2);
    assert!(entries.iter().all(|(&key, &value)| model.metadata(key) == Some(value)));
    assert_eq!((model.action_range(0), model.action_range(1)), (Some([0.75, 1.25]), None));
    assert_eq!(model.action_range(15), None, "padding is no action");
    assert_eq!(model.settings(), &settings);
    // A file that says neither.
    let bytes = synthetic::agent(&ODD, 1);
    let model = Model::load(&bytes).unwrap();
    assert_eq!((model.environment(), model.period_s(), model.settings().surprise_limit), (None, None, None));
}
