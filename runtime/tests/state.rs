//! Does a saved state bring an agent back, bit for bit, on any back end and at any point of a tick? And is every other row of bytes
//! refused, with the agent as it was? The bytes' places are written out here once more, as a reader in another language would.

#[path = "common/kinds.rs"]
mod kinds;

use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::rng::Philox;
use dreamstep_core::schema::{Acting, Settings, Target};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Action, Agent, Backend, Dims, MemoryCell, Model, Precision, StateError, StateMatch, memory_len, state_len,
};
use kinds::kinds;

const DIMS: Dims = synthetic::TWO_BLOCKS;

/// The same with a GRU, which has no c.
const GRU: Dims = DIMS.with_cell(MemoryCell::Gru);

/// Bytes of a state of [`DIMS`]: header, 19 + 19 + 5 + 5 + 3 values, digest.
const LEN: usize = 56 + 4 * 51 + 8;

const EPISODE: u64 = 9;

fn file_with(settings: Settings, seed: u64) -> AlignedBytes {
    synthetic::agent_with(&settings, seed)
}

fn plain() -> AlignedBytes {
    file_with(synthetic::settings(&DIMS), 1)
}

fn available() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

fn observation(t: u64) -> Vec<f32> {
    synthetic::observation(&DIMS, 2, t)
}

fn saved(agent: &Agent<'_, '_>) -> Vec<u8> {
    let mut bytes = vec![0xAA; state_len(agent.model().dims())];
    agent.save_state(&mut bytes).unwrap();
    bytes
}

/// FNV-1a, written out.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(14_695_981_039_346_656_037, |hash: u64, &b| (hash ^ u64::from(b)).wrapping_mul(1_099_511_628_211))
}

/// Writes `part` at `at`, and the digest anew: a state that someone made with care.
fn forged(state: &[u8], at: usize, part: &[u8]) -> Vec<u8> {
    let mut bytes = state.to_vec();
    bytes[at..at + part.len()].copy_from_slice(part);
    let end = bytes.len() - 8;
    let digest = fnv(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest.to_le_bytes());
    bytes
}

/// What an agent does from here on: actions, states, what M expects, as bits. It may stand in the middle of a tick.
fn future(agent: &mut Agent<'_, '_>, from: u64) -> Vec<u32> {
    let mut bits = Vec::new();
    let mut look = |agent: &mut Agent<'_, '_>, action: &[f32]| {
        let (mut z, tick) = ([0.0; DIMS.latent_len()], agent.tick());
        let prediction = agent.predict().unwrap();
        prediction.sample_latent(1.0, Philox::new(4), tick, &mut z);
        let expected = [prediction.reward(), prediction.terminal_probability()];
        let shown = [agent.hidden(), agent.cell(), agent.latent(), agent.unit_action(), action, &z, &expected].concat();
        bits.extend(shown.iter().map(|v| v.to_bits()));
        bits.push(agent.tick() as u32);
    };
    look(agent, &[]);
    if agent.has_acted() {
        agent.advance().unwrap();
        look(agent, &[]);
    }
    for t in from..from + EPISODE {
        let mut action = [0.0; 3];
        agent.step(&observation(t), &mut action).unwrap();
        look(agent, &action);
    }
    bits
}

/// Where an agent may be saved.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Fresh,
    Between,
    Acted,
    Overridden,
    ActedTwice,
    Refused,
}

impl Moment {
    const ALL: [Self; 6] = [Self::Fresh, Self::Between, Self::Acted, Self::Overridden, Self::ActedTwice, Self::Refused];

    fn reach(self, agent: &mut Agent<'_, '_>) {
        agent.reset();
        agent.set_seed(0x0123_4567_89ab_cdef);
        let mut action = [0.0; 3];
        let mut live = |agent: &mut Agent<'_, '_>, steps| {
            for t in 0..steps {
                agent.step(&observation(t), &mut action).unwrap();
            }
        };
        match self {
            Self::Fresh => {}
            Self::Between => live(agent, 5),
            Self::Acted | Self::Overridden | Self::ActedTwice | Self::Refused => {
                live(agent, 4);
                agent.act_in_place(&observation(4)).unwrap();
            }
        }
        match self {
            Self::Overridden => agent.override_action(&[0.1, -0.2, 0.05]).unwrap(),
            Self::ActedTwice => drop(agent.act_in_place(&observation(50)).unwrap().len()),
            Self::Refused => drop(agent.act_in_place(&[f32::NAN; DIMS.obs_len()]).unwrap_err()),
            Self::Fresh | Self::Between | Self::Acted => {}
        }
    }
}

#[test]
fn a_loaded_agent_goes_on_with_the_bits_of_the_saved_one() {
    let modes = Precision::ALL.into_iter().flat_map(|p| [(p, Acting::Mean), (p, Acting::Sampled)]);
    for (dims, (precision, acting)) in modes.flat_map(|mode| [DIMS, GRU].map(|dims| (dims, mode))) {
        let settings = synthetic::with(synthetic::settings(&dims), |s| {
            (s.precision, s.acting, s.target) = (precision, acting, Target::Delta)
        });
        let file = file_with(settings, 1);
        let elsewhere = AlignedBytes::new(&[&[0; 4], &file[..]].concat());
        for (from, to, moment) in available()
            .flat_map(|from| available().map(move |to| (from, to)))
            .flat_map(|(from, to)| Moment::ALL.map(|moment| (from, to, moment)))
        {
            let what = format!("{:?}, {precision:?}, {acting:?}, {moment:?}, {} to {}", dims.cell(), from.name(), to.name());
            let model = Model::load_with(&file, from).unwrap();
            let mut memory = vec![f32::NAN; memory_len(&dims)];
            let mut agent = Agent::new(model, &mut memory).unwrap();
            moment.reach(&mut agent);
            let state = saved(&agent);
            assert_eq!(saved(&agent), state, "{what}: saving changes nothing");
            let expected = future(&mut agent, 5);

            // In another process: the file lies elsewhere, the memory held something else, the agent lived another life.
            let model = Model::load_with(&elsewhere[4..], to).unwrap();
            assert_eq!(model.check_state(&state), Ok(StateMatch::SameModel), "{what}");
            let mut memory = vec![f32::INFINITY; memory_len(&dims)];
            let mut agent = Agent::new(model, &mut memory).unwrap();
            agent.load_state(&state).unwrap();
            assert_eq!(saved(&agent), state, "{what}: what was loaded is what is saved");
            assert_eq!(agent.seed(), 0x0123_4567_89ab_cdef);
            assert_eq!(future(&mut agent, 5), expected, "{what}");
            agent.act_in_place(&observation(99)).unwrap();
            assert_eq!(agent.adopt_state(&state), Ok(StateMatch::SameModel));
            assert_eq!(future(&mut agent, 5), expected, "{what}, in an agent that was in the middle of a tick");
        }
    }
}

#[test]
fn every_field_stands_at_its_place() {
    let file = plain();
    let model = Model::load(&file).unwrap();
    let mut memory = vec![0.0; memory_len(&DIMS)];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    let mut memory = vec![0.0; memory_len(&DIMS)];
    let mut twin = Agent::new(model, &mut memory).unwrap();
    assert_eq!(state_len(&DIMS), LEN);
    assert_eq!(state_len(&Dims::HUMANOID), 56 + 4 * (256 + 256 + 32 + 32 + 17) + 8);
    for moment in Moment::ALL {
        moment.reach(&mut agent);
        let state = saved(&agent);
        let u32_at = |at: usize| u32::from_le_bytes(state[at..at + 4].try_into().unwrap());
        let u64_at = |at: usize| u64::from_le_bytes(state[at..at + 8].try_into().unwrap());
        assert_eq!(&state[..8], b"DSSTATE2");
        assert_eq!(u64_at(8), model.fingerprint());
        assert_eq!([16, 20, 24, 28].map(u32_at), [21, 3, 5, 19], "O, U, Z, H");
        assert_eq!(state[32..40], [0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01], "the seed, little-endian");
        let ticks = match moment {
            Moment::Fresh => 0,
            Moment::Between => 5,
            _ => 4,
        };
        assert_eq!(u64_at(40), ticks);
        assert_eq!(u32_at(48), u32::from(!matches!(moment, Moment::Fresh | Moment::Between)), "{moment:?}");
        assert_eq!(u32_at(52), 1, "an LSTM, a controller of z and h, a continuous action");
        let values = |at: usize, n: usize| -> Vec<u32> { (0..n).map(|i| u32_at(at + 4 * i)).collect() };
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(values(56, 19), bits(agent.hidden()));
        assert_eq!(values(56 + 76, 19), bits(agent.cell()));
        // What M took in last: the latent of the tick before, or the newest where there is no newer one.
        twin.reset();
        for t in 0..ticks {
            twin.step(&observation(t), &mut [0.0; 3]).unwrap();
        }
        assert_eq!(values(56 + 152, 5), bits(twin.latent()), "{moment:?}");
        assert_eq!(values(56 + 172, 5), bits(agent.latent()));
        assert_eq!(values(56 + 192, 3), bits(agent.unit_action()));
        assert_eq!(u64_at(56 + 204), fnv(&state[..260]));
        assert_eq!(state.len(), 268);
    }
}

#[test]
fn a_grus_state_is_h_alone() {
    let file = synthetic::agent(&GRU, 1);
    let model = Model::load(&file).unwrap();
    let mut memory = vec![0.0; memory_len(&GRU)];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    assert_eq!(state_len(&GRU), LEN - 4 * 19);
    Moment::Acted.reach(&mut agent);
    let state = saved(&agent);
    let u32_at = |at: usize| u32::from_le_bytes(state[at..at + 4].try_into().unwrap());
    assert_eq!([16, 20, 24, 28].map(u32_at), [21, 3, 5, 19], "O, U, Z, H");
    assert_eq!([48, 52].map(u32_at), [1, 2], "acted; a GRU");
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let values = |at: usize, n: usize| -> Vec<u32> { (0..n).map(|i| u32_at(at + 4 * i)).collect() };
    assert!(agent.cell().is_empty() && agent.hidden().iter().all(|&h| h != 0.0));
    assert_eq!(values(56, 19), bits(agent.hidden()));
    assert_ne!(values(56 + 76, 5), bits(agent.latent()), "what M took in last");
    assert_eq!(values(56 + 96, 5), bits(agent.latent()));
    assert_eq!(values(56 + 116, 3), bits(agent.unit_action()));
    assert_eq!(state.len(), 56 + 128 + 8);
    assert_eq!(agent.digest(), fnv(&state[56..56 + 76]), "the digest is h's");
}

#[test]
fn a_state_of_the_other_memory_is_refused_by_name() {
    for (own, other) in [(DIMS, GRU), (GRU, DIMS)] {
        let files = [own, other].map(|dims| synthetic::agent(&dims, 1));
        let [mine, theirs] = files.each_ref().map(|file| Model::load(file).unwrap());
        let mut memory = [own, other].map(|dims| vec![0.0; memory_len(&dims)]);
        let [left, right] = &mut memory;
        let (mut agent, mut source) = (Agent::new(mine, left).unwrap(), Agent::new(theirs, right).unwrap());
        Moment::Between.reach(&mut agent);
        Moment::Acted.reach(&mut source);
        let state = saved(&source);
        let error = refused(&mut agent, &state, "of the other memory");
        let (expected, found) = (own.m.kind(), other.m.kind());
        assert_eq!(error, StateError::Kind { what: "memory", expected, found });
        assert_eq!(error.to_string(), format!("state: expected one of an agent with memory {expected}, found {found}"));
        // Of the other memory's length, whatever it says it is.
        let own_code = if own.cell() == Some(MemoryCell::Gru) { 2_u32 } else { 1 };
        let error = refused(&mut agent, &forged(&state, 52, &own_code.to_le_bytes()), "one that lies");
        assert_eq!(error, StateError::Length { expected: state_len(&own), found: state_len(&other) });
    }
}

/// Every kind of agent: what its state holds, and that another agent goes on from it.
#[test]
fn a_state_of_any_kind_goes_on() {
    for settings in kinds() {
        let dims = settings.dims;
        let file = file_with(settings, 1);
        let (h, c, z, u) = (dims.hidden_len(), dims.cell_len(), dims.latent_len(), dims.unit_len());
        assert_eq!(state_len(&dims), 56 + 4 * (h + c + 2 * z + u) + 8);
        for (from, to) in available().flat_map(|from| available().map(move |to| (from, to))) {
            let step = |agent: &mut Agent<'_, '_>, t| {
                agent.step(&synthetic::observation(&dims, 2, t), &mut vec![0.0; dims.action_len()]).unwrap();
            };
            let future = |agent: &mut Agent<'_, '_>| {
                agent.advance().unwrap();
                step(agent, 5);
                (agent.self_test_digest(), saved(agent))
            };
            let model = Model::load_with(&file, from).unwrap();
            let mut memory = vec![f32::NAN; memory_len(&dims)];
            let mut agent = Agent::new(model, &mut memory).unwrap();
            agent.set_seed(9);
            (0..4).for_each(|t| step(&mut agent, t));
            agent.act_in_place(&synthetic::observation(&dims, 2, 4)).unwrap();
            let state = saved(&agent);
            let memory_code = ["none", "lstm", "gru"].iter().position(|kind| *kind == dims.m.kind()).unwrap();
            let input_code = ["z+h", "z", "h", "obs", "obs+h"].iter().position(|name| *name == dims.input().name()).unwrap();
            let action_code = usize::from(agent.choice().is_some());
            assert_eq!(state[52..56], ((memory_code + 4 * input_code + 32 * action_code) as u32).to_le_bytes());
            assert_eq!(state[20..24], (u as u32).to_le_bytes());
            let expected = (agent.choice(), future(&mut agent));

            let model = Model::load_with(&file, to).unwrap();
            let mut memory = vec![f32::INFINITY; memory_len(&dims)];
            let mut other = Agent::new(model, &mut memory).unwrap();
            step(&mut other, 77);
            other.load_state(&state).unwrap();
            assert_eq!(saved(&other), state);
            assert_eq!((other.choice(), future(&mut other)), expected, "{} to {}, {settings:?}", from.name(), to.name());
        }
    }
}

#[test]
fn a_choice_is_no_continuous_action() {
    let sizes = [Action::Continuous { len: 3 }, Action::Discrete { choices: 3 }].map(|action| DIMS.with_action(action));
    for (own, other) in [(sizes[0], sizes[1]), (sizes[1], sizes[0])] {
        let files = [own, other].map(|dims| synthetic::agent(&dims, 1));
        let [mine, theirs] = files.each_ref().map(|file| Model::load(file).unwrap());
        let mut memory = [own, other].map(|dims| vec![0.0; memory_len(&dims)]);
        let [left, right] = &mut memory;
        let (mut agent, source) = (Agent::new(mine, left).unwrap(), Agent::new(theirs, right).unwrap());
        let error = refused(&mut agent, &saved(&source), "of the other action");
        let (expected, found) = (own.action.kind(), other.action.kind());
        assert_eq!(error, StateError::Kind { what: "action", expected, found });
    }
}

/// Asserts that all three ways in refuse `state` with one error in one line, and that the agent is as it was.
#[track_caller]
fn refused(agent: &mut Agent<'_, '_>, state: &[u8], what: &str) -> StateError {
    let before = saved(agent);
    let error = agent.model().check_state(state).expect_err(what);
    assert_eq!(agent.load_state(state), Err(error), "{what}");
    assert_eq!(agent.adopt_state(state), Err(error), "{what}");
    assert_eq!(saved(agent), before, "{what}: the agent is as it was");
    assert_eq!(error.to_string().lines().count(), 1, "{what}");
    error
}

#[test]
fn no_bit_may_flip() {
    for (dims, moment) in [DIMS, GRU].into_iter().flat_map(|dims| [(dims, Moment::Between), (dims, Moment::Acted)]) {
        let file = synthetic::agent(&dims, 1);
        let model = Model::load(&file).unwrap();
        let mut memory = vec![0.0; memory_len(&dims)];
        let mut agent = Agent::new(model, &mut memory).unwrap();
        moment.reach(&mut agent);
        let state = saved(&agent);
        for (at, bit) in (0..state.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut other = state.clone();
            other[at] ^= 1 << bit;
            let error = refused(&mut agent, &other, &format!("byte {at}, bit {bit}"));
            let expected = match at {
                0..8 => matches!(error, StateError::NotAState),
                16..32 => matches!(error, StateError::Dims { .. }),
                _ => matches!(error, StateError::Damaged { .. }),
            };
            assert!(expected, "byte {at}, bit {bit}: {error:?}");
        }
        // The negative control.
        assert_eq!(agent.load_state(&state), Ok(()));
    }
}

#[test]
fn what_a_damaged_state_says() {
    let file = plain();
    let model = Model::load(&file).unwrap();
    let mut memory = vec![0.0; memory_len(&DIMS)];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    Moment::Acted.reach(&mut agent);
    let state = saved(&agent);
    let (own, other) = (fnv(&state[..LEN - 8]), fnv(b""));
    let mut damaged = state.clone();
    damaged[LEN - 8..].copy_from_slice(&other.to_le_bytes());
    let error = refused(&mut agent, &damaged, "another digest");
    assert_eq!(error.to_string(), format!("state: damaged: expected digest {own:016x}, found {other:016x}"));

    let message = "state: expected it to begin with DSSTATE2: not a state, or of another version";
    assert_eq!(refused(&mut agent, &forged(&state, 0, b"DSSTATE1"), "of another version").to_string(), message);
    assert_eq!(refused(&mut agent, &file, "a model").to_string(), message);
    assert_eq!(refused(&mut agent, &state[1..], "a byte late").to_string(), message);
}

#[test]
fn a_state_of_another_length_is_none() {
    let file = plain();
    let model = Model::load(&file).unwrap();
    let mut memory = vec![0.0; memory_len(&DIMS)];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    Moment::Acted.reach(&mut agent);
    let state = saved(&agent);
    for found in (0..LEN).chain(LEN + 1..LEN + 70) {
        let mut other = state.clone();
        other.resize(found, 0);
        let error = refused(&mut agent, &other, &format!("{found} bytes"));
        if found < 8 {
            assert_eq!(error, StateError::NotAState);
        } else {
            assert_eq!(error, StateError::Length { expected: LEN, found });
            assert_eq!(error.to_string(), format!("state: expected {LEN} bytes, found {found}"));
        }
        // And none is written to a buffer of another length.
        let mut out = vec![0xAA; found];
        assert_eq!(agent.save_state(&mut out), Err(StateError::Length { expected: LEN, found }));
        assert!(out.iter().all(|&byte| byte == 0xAA), "{found} bytes");
    }
}

#[test]
fn a_state_of_other_sizes_is_refused_by_name() {
    let file = plain();
    let model = Model::load(&file).unwrap();
    let mut memory = vec![0.0; memory_len(&DIMS)];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    Moment::Acted.reach(&mut agent);
    let others = [
        (Dims::vector(22, 3, &[9, 17], 5, 19, 2), "observation", 21, 22),
        (Dims::vector(21, 2, &[9, 17], 5, 19, 2), "action", 3, 2),
        (Dims::vector(21, 3, &[9, 17], 6, 19, 2), "latent", 5, 6),
        (DIMS.with_hidden(18), "hidden", 19, 18),
        // As many bytes, cut another way.
        (Dims::vector(21, 3, &[9, 17], 3, 21, 2), "latent", 5, 3),
    ];
    for (dims, axis, expected, found) in others {
        let file = synthetic::agent(&dims, 1);
        let model = Model::load(&file).unwrap();
        let mut memory = vec![0.0; memory_len(&dims)];
        let state = saved(&Agent::new(model, &mut memory).unwrap());
        let error = refused(&mut agent, &state, axis);
        assert_eq!(error, StateError::Dims { axis, expected, found });
        assert_eq!(error.to_string(), format!("state: expected {axis} size {expected}, found {found}"));
    }
}

#[test]
fn a_state_of_another_model_is_adopted_but_not_loaded() {
    let whole = plain();
    let mine = Model::load(&whole).unwrap();
    let controller = vec![0.0; 24 * 16 + 16]; // Z + H = 24 inputs, a panel of sixteen outputs
    let settings = synthetic::settings(&DIMS);
    let files = [
        file_with(synthetic::with(settings, |s| s.precision = Precision::F16), 1),
        file_with(synthetic::with(settings, |s| s.precision = Precision::Bf16), 1),
        file_with(synthetic::with(settings, |s| s.precision = Precision::I8), 1),
        file_with(synthetic::with(settings, |s| s.reward_offset = 0.25), 1),
        // Sizes that no state has.
        synthetic::agent(&Dims::vector(21, 3, &[9, 17], 5, 19, 3), 1),
        synthetic::agent(&Dims::vector(21, 3, &[17, 9], 5, 19, 2), 1),
    ];
    let mut others: Vec<Model<'_>> = files.iter().map(|file| Model::load(file).unwrap()).collect();
    others.push(mine.with_controller(&controller).unwrap());
    for (index, other) in others.iter().enumerate() {
        let mut memory = [vec![0.0; memory_len(&DIMS)], vec![0.0; memory_len(other.dims())]];
        let [left, right] = &mut memory;
        let mut agent = Agent::new(mine, left).unwrap();
        for moment in Moment::ALL {
            let mut source = Agent::new(*other, right).unwrap();
            moment.reach(&mut source);
            let state = saved(&source);
            Moment::Between.reach(&mut agent);
            let before = saved(&agent);
            let error = agent.load_state(&state).unwrap_err();
            let (expected, found) = (mine.fingerprint(), other.fingerprint());
            assert_eq!(error, StateError::OtherModel { expected, found }, "model {index}");
            let message = format!("state: expected one of model {expected:016x}, found one of model {found:016x}");
            assert_eq!(error.to_string(), message);
            assert_eq!(saved(&agent), before, "model {index}: the agent is as it was");

            assert_eq!(mine.check_state(&state), Ok(StateMatch::SameDims), "model {index}");
            assert_eq!(agent.adopt_state(&state), Ok(StateMatch::SameDims), "model {index}");
            let adopted = saved(&agent);
            assert_eq!(adopted[16..LEN - 8], state[16..LEN - 8], "model {index}: all but whose it is");
            assert_eq!(adopted[8..16], expected.to_le_bytes());
            // From now on it is a state of this model.
            assert_eq!(mine.check_state(&adopted), Ok(StateMatch::SameModel));
        }
    }
}

#[test]
fn a_forged_state_is_no_more_than_an_agent_can_hold() {
    let file = plain();
    let model = Model::load(&file).unwrap();
    let mut memory = vec![0.0; memory_len(&DIMS)];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    Moment::Acted.reach(&mut agent);
    let state = saved(&agent);
    // Neither act nor none; kinds that there are not.
    for (at, value, expected) in [
        (48, 2_u32, "0 or 1"),
        (48, u32::MAX, "0 or 1"),
        (48, 1 << 24, "0 or 1"),
        (52, 3, "kinds of memory, controller input and action"),
        (52, 1 + 4 * 5, "kinds of memory, controller input and action"),
        (52, 1 + 32 * 2, "kinds of memory, controller input and action"),
        (52, 1 << 31, "kinds of memory, controller input and action"),
    ] {
        let error = refused(&mut agent, &forged(&state, at, &value.to_le_bytes()), &format!("{value} at {at}"));
        assert_eq!(error, StateError::Value { at, expected });
        assert_eq!(error.to_string(), format!("state: expected {expected} at byte {at}"));
    }
    // Other kinds in a state of this one's length and sizes.
    for (value, what, expected, found) in [
        (0_u32, "memory", "lstm", "none"),
        (2, "memory", "lstm", "gru"),
        (1 + 4, "controller input", "z+h", "z"),
        (1 + 4 * 4, "controller input", "z+h", "obs+h"),
        (1 + 32, "action", "continuous", "discrete"),
        (2 + 4 * 3 + 32, "memory", "lstm", "gru"),
    ] {
        let error = refused(&mut agent, &forged(&state, 52, &value.to_le_bytes()), &format!("kinds {value}"));
        assert_eq!(error, StateError::Kind { what, expected, found });
        assert_eq!(error.to_string(), format!("state: expected one of an agent with {what} {expected}, found {found}"));
    }
    for (index, bits) in
        (0..51).flat_map(|index| [0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0x7f80_0001_u32].map(|b| (index, b)))
    {
        let at = 56 + 4 * index;
        let error = refused(&mut agent, &forged(&state, at, &bits.to_le_bytes()), &format!("{bits:08x} at {at}"));
        assert_eq!(error, StateError::Value { at, expected: "a finite number" });
        assert_eq!(error.to_string(), format!("state: expected a finite number at byte {at}"));
    }
    // Any finite value, seed and tick is taken as it stands, and the agent lives on.
    for (at, part) in [
        (32, u64::MAX.to_le_bytes().to_vec()),
        (40, u64::MAX.to_le_bytes().to_vec()),
        (48, vec![0; 4]),
        (56, f32::MAX.to_le_bytes().to_vec()),
        (56 + 76, f32::MIN.to_le_bytes().to_vec()),
        (56 + 152, (-0.0_f32).to_le_bytes().to_vec()),
        (56 + 172, f32::MAX.to_le_bytes().to_vec()),
        (56 + 192, 1e-45_f32.to_le_bytes().to_vec()),
    ] {
        let forged = forged(&state, at, &part);
        assert_eq!(agent.load_state(&forged), Ok(()), "at {at}");
        assert_eq!(saved(&agent), forged, "at {at}");
        if agent.has_acted() {
            agent.advance().unwrap();
        }
        let mut action = [0.0; 3];
        agent.step(&observation(0), &mut action).unwrap();
        assert!(action.iter().chain(agent.hidden()).all(|v| v.abs() <= 1.0), "at {at}: {action:?}");
    }
    // The last tick of all is followed by the first.
    let mut late = forged(&state, 40, &u64::MAX.to_le_bytes());
    late = forged(&late, 48, &1_u32.to_le_bytes());
    agent.load_state(&late).unwrap();
    agent.advance().unwrap();
    assert_eq!(agent.tick(), 0);
}
