//! Do dreams end as often as their model says, and are their latents drawn from its mixture? Each draw against its rule, then many
//! against the moments of their distribution: joint and per dimension, at several temperatures.

#[path = "common/dreaming.rs"]
mod dreaming;

use dreaming::{SEED, SMALL, options, start};
use dreamstep_core::names::checkpoint;
use dreamstep_core::pack::{AlignedBytes, Parts, pack};
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_core::schema::{Settings, Target};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Dims, DreamBatch, DreamOptions, DreamStart, Mixture, Model, Termination, dreams_memory_len};
use std::collections::BTreeMap;

/// Terminal probabilities and digests of dreams that never end.
fn endless(model: &Model<'_>, count: u32, ticks: u32) -> Vec<Vec<(f32, u64)>> {
    let mut memory = vec![0.0; dreams_memory_len(model.dims(), count as usize)];
    let mut dreams = DreamBatch::new(*model, &mut memory, count as usize, options(Termination::Never)).unwrap();
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
        let mut dreams =
            DreamBatch::new(model, &mut memory, COUNT as usize, options(Termination::Threshold(threshold))).unwrap();
        (0..COUNT).for_each(|number| start(&mut dreams, &SMALL, number as usize, number));
        let mut frozen = vec![None; COUNT as usize];
        for tick in 0..12 {
            let going = dreams.step();
            for (index, seen) in seen.iter().enumerate() {
                let end = seen.iter().position(|&(probability, _)| probability >= threshold);
                let over = end.is_some_and(|end| tick >= end);
                assert_eq!(dreams.is_done(index), over, "dream {index}, tick {tick}, threshold {threshold}");
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
            assert_eq!(going, dreams.active_count());
            assert_eq!(going, (0..COUNT as usize).filter(|&index| !dreams.is_done(index)).count());
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
    let mut dreams = DreamBatch::new(model, &mut memory, COUNT as usize, options(Termination::Sampled)).unwrap();
    (0..COUNT).for_each(|number| start(&mut dreams, &SMALL, number as usize, number));
    let (mut expected, mut variance, mut ended) = (0.0, 0.0, 0.0);
    for tick in 0..3 {
        let before: Vec<bool> = (0..COUNT as usize).map(|index| dreams.is_done(index)).collect();
        dreams.step();
        for (index, _) in before.into_iter().enumerate().filter(|(_, over)| !over) {
            let p = dreams.terminal_probability(index);
            // The rule itself: draw `Terminal` of this dream's tick, below the probability.
            let word = Philox::new(SEED).words(Stream::Terminal, (index as u64) << 32 | tick, 0)[0];
            let draw = (f64::from(word >> 9) + 0.5) / 8_388_608.0;
            assert_eq!(dreams.is_done(index), draw < f64::from(p), "dream {index}, tick {tick}");
            let p = f64::from(p);
            (expected, variance) = (expected + p, variance + p * (1.0 - p));
            ended += f64::from(u8::from(dreams.is_done(index)));
        }
    }
    assert!(expected > 100.0 && (ended - expected).abs() < 4.0 * f64::sqrt(variance), "{ended} ended, {expected} expected");
}

/// An agent whose MDN head says `head` whatever it remembers.
fn constant(settings: &Settings, head: &[f32]) -> AlignedBytes {
    let mut tensors = synthetic::tensors(&settings.dims, 1);
    tensors.get_mut(checkpoint::GMM_WEIGHT).unwrap().1.fill(0.0);
    tensors.get_mut(checkpoint::GMM_BIAS).unwrap().1.copy_from_slice(head);
    let (mid, half) = (vec![0.0; settings.dims.action_len()], vec![1.0; settings.dims.action_len()]);
    let parts = Parts {
        tensors: &tensors,
        settings: *settings,
        action_mid: &mid,
        action_half: &half,
        selftest: None,
        frames: &[],
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
    let dims = Dims::vector(4, 1, &[4, 4], 2, 5, 3).with_mixture(mixture);
    let flat = |table: &[[f64; 2]; 3]| table.as_flattened().iter().map(|&v| v as f32).collect::<Vec<_>>();
    let logits = match mixture {
        Mixture::Joint => LOGITS.map(|[logit, _]| logit as f32).to_vec(),
        Mixture::PerDimension => flat(&LOGITS),
    };
    let log_sigmas: Vec<f32> = flat(&SIGMAS).iter().map(|sigma| sigma.ln()).collect();
    let head = [flat(&MEANS), log_sigmas, logits, vec![0.25, -30.0]].concat();
    constant(&synthetic::with(synthetic::settings(&dims), |s| s.target = target), &head)
}

/// First latents of many dreams that begin at `at`.
fn samples(file: &[u8], temperature: f32, count: u32, at: [f32; 2]) -> Vec<[f64; 2]> {
    let model = Model::load(file).unwrap();
    let mut memory = vec![0.0; dreams_memory_len(model.dims(), count as usize)];
    let options = DreamOptions { seed: SEED, temperature, termination: Termination::Never };
    let mut dreams = DreamBatch::new(model, &mut memory, count as usize, options).unwrap();
    for number in 0..count {
        dreams.start(number as usize, number, DreamStart { latent: &at, state: None }).unwrap();
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
    let dims = Dims::vector(4, 1, &[4, 4], 2, 5, 1);
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
        let dims = Dims::vector(4, 1, &[4, 4], 2, 5, 3).with_mixture(mixture);
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
