//! Does a dream dream what it dreams alone, whoever dreams beside it? Batches of many sizes, in any order, split over threads, on every
//! back end and in every precision, against dreams of one; a dream's tick against the agent's own pieces; endings, temperature and
//! samples against the distributions that they claim.

use dreamstep_core::names::checkpoint;
use dreamstep_core::pack::{AlignedBytes, Parts, pack};
use dreamstep_core::rng::{Philox, Stream, dream_step};
use dreamstep_core::schema::{Acting, Settings, Squash, Target};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Agent, Backend, Dims, DreamError, DreamOptions, Dreams, Ending, Mixture, Model, Precision, Start, dreams_memory_len,
    memory_len, state_len,
};
use std::collections::BTreeMap;

/// Panels of every width, and rows that end in the middle of everything.
const DIMS: Dims =
    Dims { obs: 21, action: 3, latent: 19, hidden: 21, mixtures: 2, mixture: Mixture::Joint, encoder: [9, 17] };
const SMALL: Dims = Dims { obs: 5, action: 1, latent: 3, hidden: 7, mixtures: 2, mixture: Mixture::Joint, encoder: [9, 4] };

/// Ticks that a dream is followed for.
const TICKS: u32 = 6;
const SEED: u64 = 0x0bad_5eed_0000_0007;

fn available() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

fn options(ending: Ending) -> DreamOptions {
    DreamOptions { seed: SEED, temperature: 1.15, ending }
}

fn normal(number: u32, n: usize) -> Vec<f32> {
    let mut values = vec![0.0; n];
    Philox::new(9).fill_normal(Stream::SyntheticObservation, number.into(), &mut values);
    values
}

/// Begins dream `number` at a place of its own, every other one in the middle of an episode.
fn start(dreams: &mut Dreams<'_, '_>, dims: &Dims, index: usize, number: u32) {
    let (h, c) = (normal(1000 + number, dims.hidden), normal(2000 + number, dims.hidden));
    let state = Some((h.as_slice(), c.as_slice())).filter(|_| number % 2 == 1);
    dreams.start(index, number, Start { latent: &normal(number, dims.latent), state }).unwrap();
}

/// Dream `number`'s digests, tick by tick, with nobody beside it. Odd ticks are steps; at even ones the third part of the dreams is
/// told what to do.
fn alone(model: &Model<'_>, number: u32, ending: Ending) -> Vec<u64> {
    batch(model, &[number], ending).remove(0)
}

/// The same for a batch: dream `numbers[index]` is at `index`.
fn batch(model: &Model<'_>, numbers: &[u32], ending: Ending) -> Vec<Vec<u64>> {
    let dims = model.dims();
    let mut memory = vec![f32::NAN; dreams_memory_len(dims, numbers.len())];
    let mut dreams = Dreams::new(model, &mut memory, numbers.len(), options(ending)).unwrap();
    numbers.iter().enumerate().for_each(|(index, &number)| start(&mut dreams, dims, index, number));
    let mut digests: Vec<Vec<u64>> = (0..numbers.len()).map(|index| vec![dreams.digest(index)]).collect();
    for tick in 0..TICKS {
        if tick % 2 == 1 {
            dreams.step();
        } else {
            dreams.act();
            for (index, &number) in numbers.iter().enumerate().filter(|(_, number)| *number % 3 == 0) {
                dreams.set_action(index, &vec![(number as f32 + tick as f32).sin(); dims.action]).unwrap();
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
    ];
    modes.into_iter().flat_map(|(dims, mixture, target, squash)| {
        let dims = Dims { mixture, ..dims };
        Precision::ALL.map(|precision| Settings { precision, target, squash, ..synthetic::settings(&dims) })
    })
}

#[test]
fn a_dream_in_a_batch_is_the_dream_alone() {
    const MOST: u32 = 130;
    for settings in settings() {
        let file = synthetic::agent_with(&settings, 1);
        let portable = Model::load_with(&file, Backend::Portable).unwrap();
        let alone: Vec<_> = (0..MOST).map(|number| alone(&portable, number, Ending::Sampled)).collect();
        let distinct: std::collections::BTreeSet<_> = alone.iter().map(|digests| digests.last()).collect();
        assert_eq!(distinct.len(), MOST as usize, "no two dreams are the same");
        for backend in available() {
            let model = Model::load_with(&file, backend).unwrap();
            for count in [1, 2, 7, 8, 9, 64, 65, MOST] {
                // Backwards, and in a stride that meets every number once.
                for order in [|i: u32, n: u32| n - 1 - i, |i, n| (i * 53 + 7) % n] {
                    let numbers: Vec<u32> = (0..count).map(|i| order(i, count)).collect();
                    for (digests, &number) in batch(&model, &numbers, Ending::Sampled).iter().zip(&numbers) {
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
                            move || batch(model, &numbers, Ending::Sampled)
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

#[test]
fn a_name_is_seed_and_number() {
    let file = synthetic::agent(&DIMS, 1);
    let model = Model::load(&file).unwrap();
    let last = |seed: u64, number: u32| {
        let mut memory = vec![0.0; dreams_memory_len(&DIMS, 1)];
        let options = DreamOptions { seed, temperature: 1.0, ending: Ending::Never };
        let mut dreams = Dreams::new(&model, &mut memory, 1, options).unwrap();
        dreams.start(0, number, Start { latent: &[0.5; DIMS.latent], state: None }).unwrap();
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
    let file = synthetic::agent_with(&Settings { precision: Precision::I8, ..synthetic::settings(&DIMS) }, 1);
    let model = Model::load(&file).unwrap();
    let expected: Vec<_> = (0..20).map(|number| alone_by_steps(&model, number)).collect();
    let mut memory = vec![f32::NAN; dreams_memory_len(&DIMS, 9)];
    let mut dreams = Dreams::new(&model, &mut memory, 9, options(Ending::Never)).unwrap();
    // At each tick another index begins another dream, in the middle of the batch.
    let mut running: Vec<Option<(u32, usize)>> = vec![None; 9];
    for tick in 0..20_u32 {
        let index = (tick * 4 % 9) as usize;
        start(&mut dreams, &DIMS, index, tick);
        running[index] = Some((tick, 0));
        assert_eq!(dreams.going_on(), running.iter().flatten().count());
        assert_eq!(dreams.step(), dreams.going_on());
        for (index, run) in running.iter_mut().enumerate() {
            let Some((number, age)) = run else {
                assert!(dreams.is_over(index) && dreams.tick(index) == 0, "not begun");
                continue;
            };
            *age += 1;
            assert_eq!(dreams.tick(index) as usize, *age);
            let expected = expected[*number as usize].get(*age - 1);
            assert!(expected.is_none_or(|&digest| digest == dreams.digest(index)), "dream {number}, tick {age}");
        }
    }
}

/// Digests of dream `number` after each of its first steps.
fn alone_by_steps(model: &Model<'_>, number: u32) -> Vec<u64> {
    let mut memory = vec![0.0; dreams_memory_len(model.dims(), 1)];
    let mut dreams = Dreams::new(model, &mut memory, 1, options(Ending::Never)).unwrap();
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
            let mut agent = Agent::new(&model, &mut memory).unwrap();
            let mut memory = vec![f32::NAN; dreams_memory_len(&dims, 3)];
            let mut dreams = Dreams::new(&dreaming, &mut memory, 3, options(Ending::Never)).unwrap();
            // An episode as it was, then on from there in a dream.
            for t in 0..4 {
                agent.step(&synthetic::observation(&dims, 3, t), &mut vec![0.0; dims.action]).unwrap();
            }
            agent.act_in_place(&synthetic::observation(&dims, 3, 4)).unwrap();
            let (number, mut latent) = (41, agent.latent().to_vec());
            let begin = Start { latent: &latent, state: Some((agent.hidden(), agent.cell())) };
            dreams.start(1, number, begin).unwrap();
            dreams.act();
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            let what = format!("{} and {}, {settings:?}", backend.name(), other.name());
            assert_eq!(bits(dreams.unit_action(1)), bits(agent.unit_action()), "the controller's: {what}");
            for tick in 0..8 {
                if tick > 0 {
                    // Somebody else's action, for one that the agent would only take from an observation.
                    let action: Vec<f32> = (0..dims.action).map(|i| ((tick + 3 * i as u32) as f32).cos()).collect();
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
        let mut dreams = Dreams::new(&model, &mut memory, 2, options(Ending::Never)).unwrap();
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
    let mut dreams = Dreams::new(&model, &mut memory, 1, options(Ending::Never)).unwrap();
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

/// Terminal probabilities and digests of dreams that never end.
fn endless(model: &Model<'_>, count: u32, ticks: u32) -> Vec<Vec<(f32, u64)>> {
    let mut memory = vec![0.0; dreams_memory_len(model.dims(), count as usize)];
    let mut dreams = Dreams::new(model, &mut memory, count as usize, options(Ending::Never)).unwrap();
    (0..count).for_each(|number| start(&mut dreams, model.dims(), number as usize, number));
    let mut seen = vec![Vec::new(); count as usize];
    for _ in 0..ticks {
        assert_eq!(dreams.step(), count as usize, "none ends");
        for (index, seen) in seen.iter_mut().enumerate() {
            seen.push((dreams.terminal_probability(index), dreams.digest(index)));
        }
    }
    seen
}

#[test]
fn a_dream_ends_at_the_threshold_and_not_before() {
    const COUNT: u32 = 70;
    let file = synthetic::agent(&SMALL, 1);
    let model = Model::load(&file).unwrap();
    let seen = endless(&model, COUNT, 12);
    let mut sorted: Vec<f32> = seen.iter().flatten().map(|&(probability, _)| probability).collect();
    sorted.sort_by(f32::total_cmp);
    let middle = sorted[sorted.len() / 2];
    // A probability that occurs ends its dream; the next number above it does not.
    for threshold in [middle, middle.next_up(), sorted[sorted.len() - 1], sorted[0], f32::MIN_POSITIVE, 1.0] {
        let mut memory = vec![0.0; dreams_memory_len(&SMALL, COUNT as usize)];
        let mut dreams = Dreams::new(&model, &mut memory, COUNT as usize, options(Ending::Threshold(threshold))).unwrap();
        (0..COUNT).for_each(|number| start(&mut dreams, &SMALL, number as usize, number));
        let mut frozen = vec![None; COUNT as usize];
        for tick in 0..12 {
            let going = dreams.step();
            for (index, seen) in seen.iter().enumerate() {
                let end = seen.iter().position(|&(probability, _)| probability >= threshold);
                let over = end.is_some_and(|end| tick >= end);
                assert_eq!(dreams.is_over(index), over, "dream {index}, tick {tick}, threshold {threshold}");
                let last = end.filter(|_| over).unwrap_or(tick);
                assert_eq!(dreams.digest(index), seen[last].1, "dream {index}, tick {tick}, threshold {threshold}");
                assert_eq!(dreams.tick(index) as usize, last + 1);
                // It is as it was in its last tick, actions included.
                if over {
                    let action = dreams.unit_action(index).to_vec();
                    assert_eq!(frozen[index].get_or_insert(action.clone()), &action, "dream {index}");
                    dreams.set_action(index, &[0.987]).unwrap();
                    assert_eq!(dreams.unit_action(index), action, "dream {index} acts no more");
                }
            }
            assert_eq!(going, dreams.going_on());
            assert_eq!(going, (0..COUNT as usize).filter(|&index| !dreams.is_over(index)).count());
        }
    }
    assert!(sorted[0] < middle && middle < sorted[sorted.len() - 1], "the thresholds differ");
}

#[test]
fn dreams_end_as_often_as_their_model_says() {
    const COUNT: u32 = 4096;
    let file = synthetic::agent(&SMALL, 1);
    let model = Model::load(&file).unwrap();
    let mut memory = vec![0.0; dreams_memory_len(&SMALL, COUNT as usize)];
    let mut dreams = Dreams::new(&model, &mut memory, COUNT as usize, options(Ending::Sampled)).unwrap();
    (0..COUNT).for_each(|number| start(&mut dreams, &SMALL, number as usize, number));
    let (mut expected, mut variance, mut ended) = (0.0, 0.0, 0.0);
    for tick in 0..3 {
        let before: Vec<bool> = (0..COUNT as usize).map(|index| dreams.is_over(index)).collect();
        dreams.step();
        for (index, _) in before.into_iter().enumerate().filter(|(_, over)| !over) {
            let p = dreams.terminal_probability(index);
            // The rule itself: draw `Terminal` of this dream's tick, below the probability.
            let word = Philox::new(SEED).words(Stream::Terminal, (index as u64) << 32 | tick, 0)[0];
            let draw = (f64::from(word >> 9) + 0.5) / 8_388_608.0;
            assert_eq!(dreams.is_over(index), draw < f64::from(p), "dream {index}, tick {tick}");
            let p = f64::from(p);
            (expected, variance) = (expected + p, variance + p * (1.0 - p));
            ended += f64::from(u8::from(dreams.is_over(index)));
        }
    }
    assert!(expected > 100.0 && (ended - expected).abs() < 4.0 * f64::sqrt(variance), "{ended} ended, {expected} expected");
}

/// An agent whose MDN head says `head` whatever it remembers.
fn constant(settings: &Settings, head: &[f32]) -> AlignedBytes {
    let mut tensors = synthetic::tensors(&settings.dims, 1);
    tensors.get_mut(checkpoint::GMM_WEIGHT).unwrap().1.fill(0.0);
    tensors.get_mut(checkpoint::GMM_BIAS).unwrap().1.copy_from_slice(head);
    let (mid, half) = (vec![0.0; settings.dims.action], vec![1.0; settings.dims.action]);
    let parts = Parts {
        tensors: &tensors,
        settings: *settings,
        action_mid: &mid,
        action_half: &half,
        selftest: None,
        provenance: &BTreeMap::new(),
    };
    AlignedBytes::new(&pack(&parts).unwrap())
}

/// Three components over two dimensions: `[K,Z]` means, `[K,Z]` standard deviations, `[K,Z]` logits (of dimension 0 alone where the
/// mixture is joint).
const MEANS: [[f64; 2]; 3] = [[-4.0, -2.0], [0.5, 0.25], [3.0, 2.0]];
const SIGMAS: [[f64; 2]; 3] = [[0.5, 0.25], [1.0, 0.5], [0.125, 2.0]];
const LOGITS: [[f64; 2]; 3] = [[0.0, 1.0], [1.0, -1.0], [-0.5, 0.25]];

fn three(mixture: Mixture, target: Target) -> AlignedBytes {
    let dims = Dims { obs: 4, action: 1, latent: 2, hidden: 5, mixtures: 3, mixture, encoder: [4, 4] };
    let flat = |table: &[[f64; 2]; 3]| table.as_flattened().iter().map(|&v| v as f32).collect::<Vec<_>>();
    let logits = match mixture {
        Mixture::Joint => LOGITS.map(|[logit, _]| logit as f32).to_vec(),
        Mixture::PerDimension => flat(&LOGITS),
    };
    let log_sigmas: Vec<f32> = flat(&SIGMAS).iter().map(|sigma| sigma.ln()).collect();
    let head = [flat(&MEANS), log_sigmas, logits, vec![0.25, -30.0]].concat();
    constant(&Settings { target, ..synthetic::settings(&dims) }, &head)
}

/// First latents of many dreams that begin at `at`.
fn samples(file: &[u8], temperature: f32, count: u32, at: [f32; 2]) -> Vec<[f64; 2]> {
    let model = Model::load(file).unwrap();
    let mut memory = vec![0.0; dreams_memory_len(model.dims(), count as usize)];
    let options = DreamOptions { seed: SEED, temperature, ending: Ending::Never };
    let mut dreams = Dreams::new(&model, &mut memory, count as usize, options).unwrap();
    for number in 0..count {
        dreams.start(number as usize, number, Start { latent: &at, state: None }).unwrap();
    }
    dreams.step();
    let latent = |index| dreams.latent(index).iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    (0..count as usize).map(|index| latent(index).try_into().unwrap()).collect()
}

/// The components' weights at a temperature.
fn weights(logits: [f64; 3], temperature: f64) -> [f64; 3] {
    let exp = logits.map(|logit| (logit / temperature).exp());
    exp.map(|weight| weight / exp.iter().sum::<f64>())
}

#[test]
fn samples_have_the_moments_of_their_mixture() {
    const COUNT: u32 = 20_000;
    let n = f64::from(COUNT);
    for (mixture, target) in [
        (Mixture::Joint, Target::Next),
        (Mixture::PerDimension, Target::Next),
        (Mixture::Joint, Target::Delta),
        (Mixture::PerDimension, Target::Delta),
    ] {
        let file = three(mixture, target);
        for temperature in [1.0_f32, 0.5, 2.0] {
            let at = [7.0, -3.0];
            let samples = samples(&file, temperature, COUNT, at);
            let what = format!("{mixture:?}, {target:?}, temperature {temperature}");
            let t = f64::from(temperature);
            let of =
                |i: usize| weights(LOGITS.map(|logits| if mixture == Mixture::Joint { logits[0] } else { logits[i] }), t);
            let offset = |i: usize| if target == Target::Delta { f64::from(at[i]) } else { 0.0 };
            let mut means = [0.0; 2];
            for i in 0..2 {
                // Raw moments of a Gaussian mixture, up to the fourth, about its mean.
                let mean = (0..3).map(|k| of(i)[k] * MEANS[k][i]).sum::<f64>();
                let moment = |gaussian: &dyn Fn(f64, f64) -> f64| -> f64 {
                    (0..3).map(|k| of(i)[k] * gaussian(MEANS[k][i] - mean, SIGMAS[k][i].powi(2) * t)).sum()
                };
                let variance = moment(&|d, v| d * d + v);
                let fourth = moment(&|d, v| d.powi(4) + 6.0 * d * d * v + 3.0 * v * v);
                means[i] = mean + offset(i);
                let found_mean = samples.iter().map(|z| z[i]).sum::<f64>() / n;
                let found_variance = samples.iter().map(|z| (z[i] - means[i]).powi(2)).sum::<f64>() / n;
                let (mean_error, variance_error) = ((variance / n).sqrt(), ((fourth - variance * variance) / n).sqrt());
                assert!((found_mean - means[i]).abs() < 4.0 * mean_error, "{what}: mean {found_mean}, not {}", means[i]);
                let far = (found_variance - variance).abs();
                assert!(far < 4.0 * variance_error, "{what}: variance {found_variance}, not {variance} ± {variance_error}");
            }
            // One component for both dimensions, or one for each: the covariance tells.
            let found = samples.iter().map(|z| (z[0] - means[0]) * (z[1] - means[1])).sum::<f64>() / n;
            let joint: f64 =
                (0..3).map(|k| of(0)[k] * (MEANS[k][0] + offset(0) - means[0]) * (MEANS[k][1] + offset(1) - means[1])).sum();
            let expected = if mixture == Mixture::Joint { joint } else { 0.0 };
            let spread = samples.iter().map(|z| ((z[0] - means[0]) * (z[1] - means[1]) - found).powi(2)).sum::<f64>() / n;
            assert!((found - expected).abs() < 4.0 * (spread / n).sqrt(), "{what}: covariance {found}, not {expected}");
            assert!(mixture == Mixture::PerDimension || joint.abs() > 0.2, "{what}: a covariance to be seen");
        }
    }
}

#[test]
fn temperature_divides_the_logits_and_its_root_multiplies_sigma() {
    // With one component, the same draw at four times the temperature lies twice as far from the mean.
    let dims = Dims { obs: 4, action: 1, latent: 2, hidden: 5, mixtures: 1, mixture: Mixture::Joint, encoder: [4, 4] };
    let file = constant(&synthetic::settings(&dims), &[1.5, -0.5, 0.0, 1.0, 0.0, 0.25, -30.0]);
    let (cool, hot) = (samples(&file, 1.0, 300, [0.0; 2]), samples(&file, 4.0, 300, [0.0; 2]));
    for (cool, hot) in cool.iter().zip(&hot) {
        for (i, mean) in [1.5, -0.5].into_iter().enumerate() {
            let (near, far) = (cool[i] - mean, hot[i] - mean);
            assert!((far - 2.0 * near).abs() < 1e-6 * (1.0 + far.abs()), "{far} is not twice {near}");
        }
    }
    assert!(cool.iter().any(|z| (z[0] - 1.5).abs() > 1.0), "they differ from the mean");
    // Cold, the likeliest component is drawn alone; hot, all alike. Their means lie a hundred standard deviations apart.
    for mixture in [Mixture::Joint, Mixture::PerDimension] {
        let dims = Dims { mixtures: 3, mixture, ..dims };
        let logits: &[f32] = if mixture == Mixture::Joint { &[0.0, 1.0, -0.5] } else { &[0.0, 1.0, 1.0, 0.0, -0.5, 0.5] };
        let means: Vec<f32> = [-100.0, 0.0, 100.0].iter().flat_map(|&mean| [mean; 2]).collect();
        let head = [&means, &[0.0; 6][..], logits, &[0.0, -30.0]].concat();
        let file = constant(&synthetic::settings(&dims), &head);
        for temperature in [0.01, 0.5, 1.0, 3.0, 30.0] {
            let samples = samples(&file, temperature, 6000, [0.0; 2]);
            for i in 0..2 {
                let of_dimension =
                    |k: usize| f64::from(if mixture == Mixture::Joint { logits[k] } else { logits[2 * k + i] });
                let expected = weights([0, 1, 2].map(of_dimension), temperature.into());
                for (k, p) in expected.into_iter().enumerate() {
                    let centre = 100.0 * (k as f64 - 1.0);
                    let found = samples.iter().filter(|z| (z[i] - centre).abs() < 50.0).count() as f64 / 6000.0;
                    let error = (p * (1.0 - p) / 6000.0).sqrt();
                    assert!((found - p).abs() <= 4.0 * error, "{mixture:?}, temperature {temperature}: {found}, not {p}");
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_dreamt_is_refused() {
    let file = synthetic::agent(&SMALL, 1);
    let model = Model::load(&file).unwrap();
    let need = dreams_memory_len(&SMALL, 3);
    let refused = |count: usize, memory: usize, options: DreamOptions| {
        let mut memory = vec![f32::NAN; memory];
        Dreams::new(&model, &mut memory, count, options)
            .map(|dreams| dreams.count())
            .map_err(|error| (error, error.to_string()))
    };
    let error = |error: DreamError, message: String| Err((error, message));
    for found in [0, 1, need / 2, need - 1] {
        let message = format!("dream memory: expected at least {need} values, found {found}");
        assert_eq!(refused(3, found, DreamOptions::default()), error(DreamError::Memory { expected: need, found }, message));
    }
    assert_eq!(refused(3, need, DreamOptions::default()), Ok(3));
    assert_eq!(refused(0, dreams_memory_len(&SMALL, 0), DreamOptions::default()), Ok(0));
    for found in [0.0, -0.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        let result = refused(3, need, DreamOptions { temperature: found, ..DreamOptions::default() });
        let Err((DreamError::Temperature { found: value }, message)) = result else { panic!("{found}: {result:?}") };
        assert_eq!(value.to_bits(), found.to_bits());
        assert_eq!(message, format!("temperature: expected a positive number, found {found}"));
    }
    for found in [0.0, -0.5, 1.0_f32.next_up(), f32::INFINITY, f32::NAN] {
        let result = refused(3, need, DreamOptions { ending: Ending::Threshold(found), ..DreamOptions::default() });
        let Err((DreamError::Threshold { found: value }, message)) = result else { panic!("{found}: {result:?}") };
        assert_eq!(value.to_bits(), found.to_bits());
        assert_eq!(message, format!("terminal threshold: expected above 0, at most 1, found {found}"));
    }
    for threshold in [1.0, 0.5, f32::from_bits(1)] {
        assert_eq!(refused(3, need, options(Ending::Threshold(threshold))), Ok(3));
    }
    let mut tensors = synthetic::tensors(&SMALL, 1);
    tensors.remove(checkpoint::GMM_WEIGHT);
    let parts = Parts {
        tensors: &tensors,
        settings: synthetic::settings(&SMALL),
        action_mid: &[0.0],
        action_half: &[1.0],
        selftest: None,
        provenance: &BTreeMap::new(),
    };
    let headless = AlignedBytes::new(&pack(&parts).unwrap());
    let headless = Model::load(&headless).unwrap();
    let error = Dreams::new(&headless, &mut vec![0.0; need], 3, DreamOptions::default()).unwrap_err();
    assert_eq!(
        (error, error.to_string().as_str()),
        (DreamError::NoHead, "dreams: expected a model with an MDN head, found none in the file",)
    );
}

#[test]
fn a_refused_call_changes_no_dream() {
    let file = synthetic::agent(&SMALL, 1);
    let model = Model::load(&file).unwrap();
    let mut memory = vec![f32::NAN; dreams_memory_len(&SMALL, 3)];
    let mut dreams = Dreams::new(&model, &mut memory, 3, options(Ending::Never)).unwrap();
    let (latent, h) = ([0.5; 3], [0.25; 7]);
    start(&mut dreams, &SMALL, 0, 0);
    start(&mut dreams, &SMALL, 2, 2);
    dreams.step();
    let shown = |dreams: &Dreams<'_, '_>| {
        let one =
            |index| (dreams.digest(index), dreams.unit_action(index).to_vec(), dreams.tick(index), dreams.is_over(index));
        [0, 1, 2].map(one)
    };
    let before = shown(&dreams);
    let mut refused = |call: &dyn Fn(&mut Dreams<'_, '_>) -> Result<(), DreamError>, error: DreamError, message: &str| {
        assert_eq!((call(&mut dreams), error.to_string().as_str()), (Err(error), message));
        assert_eq!(shown(&dreams), before, "{message}");
    };
    for found in [3, 4, usize::MAX] {
        let (error, message) = (DreamError::Index { count: 3, found }, format!("dream {found}: expected one of 3"));
        refused(&|dreams| dreams.start(found, 0, Start { latent: &latent, state: None }), error, &message);
        refused(&|dreams| dreams.set_action(found, &[0.0]), error, &message);
    }
    for found in [0, 1, 2, 4, 16] {
        let message = |what: &str, expected: usize| format!("dream {what}: expected {expected} values, found {found}");
        let error = |what, expected| DreamError::Length { what, expected, found };
        let other = vec![0.5; found];
        let begin = Start { latent: &other, state: None };
        refused(&|dreams| dreams.start(2, 9, begin), error("latent", 3), &message("latent", 3));
        let begin = Start { latent: &latent, state: Some((&other, &h)) };
        refused(&|dreams| dreams.start(2, 9, begin), error("h", 7), &message("h", 7));
        let begin = Start { latent: &latent, state: Some((&h, &other)) };
        refused(&|dreams| dreams.start(2, 9, begin), error("c", 7), &message("c", 7));
        if found != 1 {
            refused(&|dreams| dreams.set_action(2, &other), error("action", 1), &message("action", 1));
        }
    }
    for (bad, index) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().flat_map(|bad| [(bad, 0), (bad, 2)]) {
        let broken = |n: usize| {
            let mut values = vec![0.5; n];
            values[index] = bad;
            values
        };
        let message = |what: &str| format!("dream {what}[{index}]: expected a finite value");
        let error = |what| DreamError::NonFinite { what, index };
        let (z, state) = (broken(3), broken(7));
        refused(&|dreams| dreams.start(2, 9, Start { latent: &z, state: None }), error("latent"), &message("latent"));
        let begin = Start { latent: &latent, state: Some((&state, &h)) };
        refused(&|dreams| dreams.start(2, 9, begin), error("h"), &message("h"));
        let begin = Start { latent: &latent, state: Some((&h, &state)) };
        refused(&|dreams| dreams.start(2, 9, begin), error("c"), &message("c"));
        if index == 0 {
            refused(&|dreams| dreams.set_action(2, &[bad]), error("action"), &message("action"));
        }
    }
    // No dream takes a step while one waits for its action.
    let message = |index: usize| format!("dream {index}: expected an action before imagine, found none");
    refused(&|dreams| dreams.imagine(), DreamError::NoAction { index: 0 }, &message(0));
    dreams.set_action(0, &[0.5]).unwrap();
    let (digest, error) = (dreams.digest(0), dreams.imagine().unwrap_err());
    assert_eq!((error, error.to_string()), (DreamError::NoAction { index: 2 }, message(2)));
    assert_eq!(dreams.digest(0), digest);
    dreams.set_action(2, &[0.5]).unwrap();
    dreams.imagine().unwrap();
    assert_eq!([0, 1, 2].map(|index| dreams.tick(index)), [2, 0, 2]);
}

#[test]
fn a_dream_that_there_is_not_shows_nothing() {
    let file = synthetic::agent(&SMALL, 1);
    let model = Model::load(&file).unwrap();
    let mut memory = vec![f32::NAN; dreams_memory_len(&SMALL, 2) + 3];
    let mut dreams = Dreams::new(&model, &mut memory[3..], 2, options(Ending::Never)).unwrap();
    // None has begun: a step has nothing to do.
    assert_eq!((dreams.count(), dreams.going_on(), dreams.step()), (2, 0, 0));
    assert_eq!(dreams.imagine(), Ok(()));
    dreams.set_action(0, &[0.5]).unwrap();
    assert_eq!((dreams.going_on(), dreams.step()), (0, 0), "an action does not begin one");
    // The last two times a row's width are 0 in 64 bits.
    for index in [0, 1, 2, usize::MAX, 1 << 60, 1 << 61] {
        let there = index < 2;
        assert!(dreams.is_over(index));
        assert_eq!((dreams.tick(index), dreams.reward(index), dreams.terminal_probability(index)), (0, 0.0, 0.0));
        assert_eq!(dreams.latent(index), if there { &[0.0; 3][..] } else { &[] });
        assert_eq!(dreams.hidden(index), if there { &[0.0; 7][..] } else { &[] });
        assert_eq!(dreams.cell(index), if there { &[0.0; 7][..] } else { &[] });
        assert_eq!(dreams.unit_action(index), if there { &[0.0][..] } else { &[] });
    }
    // A dream that begins stands where it was told to.
    dreams.start(1, 7, Start { latent: &[0.5, -0.25, 2.0], state: Some((&[0.125; 7], &[-3.0; 7])) }).unwrap();
    assert_eq!(dreams.latent(1), [0.5, -0.25, 2.0]);
    assert_eq!((dreams.hidden(1), dreams.cell(1)), (&[0.125; 7][..], &[-3.0; 7][..]));
    assert_eq!((dreams.going_on(), dreams.step()), (1, 1));
    dreams.start(1, 7, Start { latent: &[0.5; 3], state: None }).unwrap();
    assert_eq!((dreams.hidden(1), dreams.cell(1)), (&[0.0; 7][..], &[0.0; 7][..]));
    assert_eq!((dreams.tick(1), dreams.reward(1), dreams.terminal_probability(1)), (0, 0.0, 0.0));
}

#[test]
fn an_agent_that_samples_its_latents_dreams_the_same() {
    // How the first latent is found has no say in what follows.
    let dreams = |acting| {
        let file = synthetic::agent_with(&Settings { acting, ..synthetic::settings(&DIMS) }, 1);
        let model = Model::load(&file).unwrap();
        (0..5).map(|number| alone(&model, number, Ending::Never)).collect::<Vec<_>>()
    };
    assert_eq!(dreams(Acting::Mean), dreams(Acting::Sampled));
}
