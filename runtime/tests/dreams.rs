//! Does a dream dream what it dreams alone, whoever dreams beside it? Batches of many sizes, in any order, split over threads, on every
//! back end and in every precision, against dreams of one; and a dream's tick against the agent's own pieces.

#[path = "common/dreaming.rs"]
mod dreaming;
#[path = "common/kinds.rs"]
mod kinds;

use dreaming::{SEED, SMALL, options, start};
use dreamstep_core::rng::{Philox, dream_step};
use dreamstep_core::schema::{Acting, Settings, Squash, Target};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Agent, Backend, Dims, DreamBatch, DreamOptions, DreamStart, MemoryCell, Mixture, Model, Precision, Termination,
    dreams_memory_len, memory_len, state_len,
};
use kinds::kinds;

/// Panels of every width, and rows that end in the middle of everything.
const DIMS: Dims = Dims::vector(21, 3, &[9, 17], 19, 21, 2);

/// Ticks that a dream is followed for.
const TICKS: u32 = 6;

fn available() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

/// Dream `number`'s digests, tick by tick, with nobody beside it. Odd ticks are steps; at even ones the third part of the dreams is
/// told what to do.
fn alone(model: &Model<'_>, number: u32, termination: Termination) -> Vec<u64> {
    batch(model, &[number], termination).remove(0)
}

/// The same for a batch: dream `numbers[index]` is at `index`.
fn batch(model: &Model<'_>, numbers: &[u32], termination: Termination) -> Vec<Vec<u64>> {
    let dims = model.dims();
    let mut memory = vec![f32::NAN; dreams_memory_len(dims, numbers.len())];
    let mut dreams = DreamBatch::new(*model, &mut memory, numbers.len(), options(termination)).unwrap();
    numbers.iter().enumerate().for_each(|(index, &number)| start(&mut dreams, dims, index, number));
    let mut digests: Vec<Vec<u64>> = (0..numbers.len()).map(|index| vec![dreams.digest(index)]).collect();
    for tick in 0..TICKS {
        if tick % 2 == 1 {
            dreams.step();
        } else {
            dreams.act();
            for (index, &number) in numbers.iter().enumerate().filter(|(_, number)| *number % 3 == 0) {
                dreams.set_action(index, &vec![(number as f32 + tick as f32).sin(); dims.unit_len()]).unwrap();
            }
            dreams.imagine().unwrap();
        }
        digests.iter_mut().enumerate().for_each(|(index, digests)| digests.push(dreams.digest(index)));
    }
    digests
}

/// Every precision with every mode in which a dream has a part, one way or the other.
fn settings() -> impl Iterator<Item = Settings> {
    let modes = [
        (DIMS, Mixture::Joint, Target::Next, Squash::Tanh),
        (DIMS, Mixture::PerDimension, Target::Delta, Squash::Clamp),
        (SMALL, Mixture::Joint, Target::Delta, Squash::Clamp),
        (SMALL, Mixture::PerDimension, Target::Next, Squash::Tanh),
        (DIMS.with_cell(MemoryCell::Gru), Mixture::PerDimension, Target::Next, Squash::Tanh),
        (SMALL.with_cell(MemoryCell::Gru), Mixture::Joint, Target::Delta, Squash::Clamp),
    ];
    modes.into_iter().flat_map(|(dims, mixture, target, squash)| {
        let dims = dims.with_mixture(mixture);
        Precision::ALL.map(|precision| {
            synthetic::with(synthetic::settings(&dims), |s| (s.precision, s.target, s.squash) = (precision, target, squash))
        })
    })
}

#[test]
fn a_dream_in_a_batch_is_the_dream_alone() {
    const MOST: u32 = 130;
    for settings in settings() {
        let file = synthetic::agent_with(&settings, 1);
        let portable = Model::load_with(&file, Backend::Portable).unwrap();
        let alone: Vec<_> = (0..MOST).map(|number| alone(&portable, number, Termination::Sampled)).collect();
        let distinct: std::collections::BTreeSet<_> = alone.iter().map(|digests| digests.last()).collect();
        assert_eq!(distinct.len(), MOST as usize, "no two dreams are the same");
        for backend in available() {
            let model = Model::load_with(&file, backend).unwrap();
            for count in [1, 2, 7, 8, 9, 64, 65, MOST] {
                // Backwards, and in a stride that meets every number once.
                for order in [|i: u32, n: u32| n - 1 - i, |i, n| (i * 53 + 7) % n] {
                    let numbers: Vec<u32> = (0..count).map(|i| order(i, count)).collect();
                    for (digests, &number) in batch(&model, &numbers, Termination::Sampled).iter().zip(&numbers) {
                        let what = format!("dream {number} of {count}, {}, {settings:?}", backend.name());
                        assert_eq!(digests, &alone[number as usize], "{what}");
                    }
                }
            }
            // Shared out among threads.
            let (left, right): (Vec<u32>, Vec<u32>) = (0..MOST).partition(|number| number % 5 < 2);
            let model = &model;
            std::thread::scope(|scope| {
                let threads = [left, right].map(|numbers| {
                    (
                        scope.spawn({
                            let numbers = numbers.clone();
                            move || batch(model, &numbers, Termination::Sampled)
                        }),
                        numbers,
                    )
                });
                for (thread, numbers) in threads {
                    for (digests, number) in thread.join().unwrap().iter().zip(numbers) {
                        assert_eq!(digests, &alone[number as usize], "dream {number} of two threads, {}", backend.name());
                    }
                }
            });
        }
    }
}

/// And whatever kind its parts are of.
#[test]
fn a_dream_of_any_kind_in_a_batch_is_the_dream_alone() {
    const COUNT: u32 = 67;
    let dreams = |dims: &Dims| dims.hidden_len() > 0 && !dims.input().has_observation();
    for (settings, precision) in kinds().flat_map(|settings| Precision::ALL.map(|precision| (settings, precision))) {
        if !dreams(&settings.dims) {
            continue;
        }
        let settings = synthetic::with(settings, |s| s.precision = precision);
        let file = synthetic::agent_with(&settings, 1);
        let portable = Model::load_with(&file, Backend::Portable).unwrap();
        let numbers: Vec<u32> = (0..COUNT).map(|i| i * 53 % COUNT).collect();
        let expected: Vec<_> = numbers.iter().map(|&number| alone(&portable, number, Termination::Sampled)).collect();
        for backend in available() {
            let model = Model::load_with(&file, backend).unwrap();
            assert_eq!(batch(&model, &numbers, Termination::Sampled), expected, "{}, {settings:?}", backend.name());
        }
    }
}

#[test]
fn a_name_is_seed_and_number() {
    let file = synthetic::agent(&DIMS, 1);
    let model = Model::load(&file).unwrap();
    let last = |seed: u64, number: u32| {
        let mut memory = vec![0.0; dreams_memory_len(&DIMS, 1)];
        let options = DreamOptions { seed, temperature: 1.0, termination: Termination::Never };
        let mut dreams = DreamBatch::new(model, &mut memory, 1, options).unwrap();
        dreams.start(0, number, DreamStart { latent: &[0.5; DIMS.latent_len()], state: None }).unwrap();
        dreams.step();
        let first = dreams.latent(0).to_vec();
        dreams.step();
        (first, dreams.digest(0))
    };
    let expected = last(1, 1);
    assert_eq!(last(1, 1), expected);
    for (seed, number) in [(0, 1), (2, 1), (1 | 1 << 32, 1), (1, 0), (1, 2), (1, u32::MAX)] {
        assert_ne!(last(seed, number).0, expected.0, "seed {seed}, number {number}");
    }
}

#[test]
fn a_dream_may_begin_anew_while_others_go_on() {
    for cell in MemoryCell::ALL {
        let dims = DIMS.with_cell(cell);
        let file = synthetic::agent_with(&synthetic::with(synthetic::settings(&dims), |s| s.precision = Precision::I8), 1);
        let model = Model::load(&file).unwrap();
        let expected: Vec<_> = (0..20).map(|number| alone_by_steps(&model, number)).collect();
        let mut memory = vec![f32::NAN; dreams_memory_len(&dims, 9)];
        let mut dreams = DreamBatch::new(model, &mut memory, 9, options(Termination::Never)).unwrap();
        // At each tick another index begins another dream, in the middle of the batch.
        let mut running: Vec<Option<(u32, usize)>> = vec![None; 9];
        for tick in 0..20_u32 {
            let index = (tick * 4 % 9) as usize;
            start(&mut dreams, &dims, index, tick);
            running[index] = Some((tick, 0));
            assert_eq!(dreams.active_count(), running.iter().flatten().count());
            assert_eq!(dreams.step(), dreams.active_count());
            for (index, run) in running.iter_mut().enumerate() {
                let Some((number, age)) = run else {
                    assert!(dreams.is_done(index) && dreams.tick(index) == 0, "not begun");
                    continue;
                };
                *age += 1;
                assert_eq!(dreams.tick(index) as usize, *age);
                let expected = expected[*number as usize].get(*age - 1);
                assert!(expected.is_none_or(|&digest| digest == dreams.digest(index)), "dream {number}, tick {age}");
            }
        }
    }
}

/// Digests of dream `number` after each of its first steps.
fn alone_by_steps(model: &Model<'_>, number: u32) -> Vec<u64> {
    let mut memory = vec![0.0; dreams_memory_len(model.dims(), 1)];
    let mut dreams = DreamBatch::new(*model, &mut memory, 1, options(Termination::Never)).unwrap();
    start(&mut dreams, model.dims(), 0, number);
    let mut step = || {
        dreams.step();
        dreams.digest(0)
    };
    (0..12).map(|_| step()).collect()
}

/// FNV-1a, written out.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(14_695_981_039_346_656_037, |hash: u64, &b| (hash ^ u64::from(b)).wrapping_mul(1_099_511_628_211))
}

/// A saved state in the middle of a tick with another latent and action (see `state.rs`'s table): what a dreamt latent is to an agent.
fn mid_tick(agent: &Agent<'_, '_>, latent: &[f32], unit_action: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; state_len(agent.model().dims())];
    agent.save_state(&mut bytes).unwrap();
    bytes[48..52].copy_from_slice(&1_u32.to_le_bytes());
    let end = bytes.len() - 8;
    let values: Vec<u8> = latent.iter().chain(unit_action).flat_map(|v| v.to_le_bytes()).collect();
    bytes[end - values.len()..end].copy_from_slice(&values);
    let digest = fnv(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest.to_le_bytes());
    bytes
}

#[test]
fn a_tick_is_what_the_agents_own_pieces_make_it() {
    for settings in settings() {
        let dims = settings.dims;
        let file = synthetic::agent_with(&settings, 1);
        for (backend, other) in available().flat_map(|a| available().map(move |b| (a, b))) {
            let (model, dreaming) = (Model::load_with(&file, backend).unwrap(), Model::load_with(&file, other).unwrap());
            let mut memory = vec![f32::NAN; memory_len(&dims)];
            let mut agent = Agent::new(model, &mut memory).unwrap();
            let mut memory = vec![f32::NAN; dreams_memory_len(&dims, 3)];
            let mut dreams = DreamBatch::new(dreaming, &mut memory, 3, options(Termination::Never)).unwrap();
            // An episode as it was, then on from there in a dream.
            for t in 0..4 {
                agent.step(&synthetic::observation(&dims, 3, t), &mut vec![0.0; dims.action_len()]).unwrap();
            }
            agent.act_in_place(&synthetic::observation(&dims, 3, 4)).unwrap();
            let (number, mut latent) = (41, agent.latent().to_vec());
            let begin = DreamStart { latent: &latent, state: Some((agent.hidden(), agent.cell())) };
            dreams.start(1, number, begin).unwrap();
            dreams.act();
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            let what = format!("{} and {}, {settings:?}", backend.name(), other.name());
            assert_eq!(bits(dreams.unit_action(1)), bits(agent.unit_action()), "the controller's: {what}");
            for tick in 0..8 {
                if tick > 0 {
                    // Somebody else's action, for one that the agent would only take from an observation.
                    let action: Vec<f32> = (0..dims.action_len()).map(|i| ((tick + 3 * i as u32) as f32).cos()).collect();
                    dreams.set_action(1, &action).unwrap();
                    agent.load_state(&mid_tick(&agent, &latent, &action)).unwrap();
                }
                dreams.imagine().unwrap();
                agent.advance().unwrap();
                let prediction = agent.predict().unwrap();
                prediction.sample_latent(1.15, Philox::new(SEED), dream_step(number, tick), &mut latent);
                let expected = [prediction.reward(), prediction.terminal_probability()];
                assert_eq!(
                    bits(&[dreams.reward(1), dreams.terminal_probability(1)]),
                    bits(&expected),
                    "tick {tick}: {what}"
                );
                assert_eq!(bits(dreams.latent(1)), bits(&latent), "tick {tick}: {what}");
                assert_eq!(bits(dreams.hidden(1)), bits(agent.hidden()), "tick {tick}: {what}");
                assert_eq!(bits(dreams.cell(1)), bits(agent.cell()), "tick {tick}: {what}");
                assert_eq!(dreams.tick(1), tick + 1);
            }
        }
    }
}

#[test]
fn a_given_action_is_clamped_and_the_last_one_counts() {
    let file = synthetic::agent(&SMALL, 1);
    let model = Model::load(&file).unwrap();
    let run = |actions: &[f32]| {
        let mut memory = vec![0.0; dreams_memory_len(&SMALL, 2)];
        let mut dreams = DreamBatch::new(model, &mut memory, 2, options(Termination::Never)).unwrap();
        (0..2).for_each(|index| start(&mut dreams, &SMALL, index, 4));
        dreams.act();
        for &action in actions {
            dreams.set_action(1, &[action]).unwrap();
        }
        assert_eq!(dreams.unit_action(1), [actions.last().unwrap().clamp(-1.0, 1.0)]);
        dreams.imagine().unwrap();
        (dreams.digest(0), dreams.digest(1))
    };
    let half = run(&[0.5]);
    assert_eq!(run(&[-1.0, 0.25, 0.5]), half);
    assert_eq!(run(&[7.0]), run(&[1.0]));
    assert_eq!(run(&[f32::MIN]), run(&[-1.0]));
    assert_ne!(run(&[0.25]).1, half.1, "the dream remembers what was done");
    assert_eq!(run(&[0.25]).0, half.0, "the other one does not");
    // The controller's act takes back what was given.
    let mut memory = vec![0.0; dreams_memory_len(&SMALL, 1)];
    let mut dreams = DreamBatch::new(model, &mut memory, 1, options(Termination::Never)).unwrap();
    let mut digest = |given: bool| {
        start(&mut dreams, &SMALL, 0, 4);
        if given {
            dreams.set_action(0, &[0.125]).unwrap();
        }
        dreams.step();
        dreams.digest(0)
    };
    assert_eq!(digest(true), digest(false));
}

#[test]
fn an_agent_that_samples_its_latents_dreams_the_same() {
    // How the first latent is found has no say in what follows.
    let dreams = |acting| {
        let file = synthetic::agent_with(&synthetic::with(synthetic::settings(&DIMS), |s| s.acting = acting), 1);
        let model = Model::load(&file).unwrap();
        (0..5).map(|number| alone(&model, number, Termination::Never)).collect::<Vec<_>>()
    };
    assert_eq!(dreams(Acting::Mean), dreams(Acting::Sampled));
}
