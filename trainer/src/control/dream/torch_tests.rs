//! libtorch's dreams are the runtime's: the same draws, so the same dreams but for rounding, whatever M, C and the settings are; then the
//! same distribution, and C learns as much in them.

use super::tests::{CHOICES, Small, small};
use super::*;
use crate::agent::controller;
use crate::env::pool::Estimate;
use crate::run::config::DreamEngine;
use dreamstep_core::rng::{Philox, Stream};

/// Plain weights and biases of candidates of very different skill.
fn controllers(model: &Model<'_>, count: u64) -> Vec<Vec<f32>> {
    let draw = |name, n| {
        let mut values = vec![0.0; n];
        Philox::new(3).fill_normal(Stream::Evolution, name, &mut values);
        values
    };
    let zeros = vec![0.0; controller::len(model.dims())];
    let tensors = controller::tensors(model.dims(), &zeros);
    let parts = tensors.len() as u64;
    let one = |k: u64| (parts * k..).zip(&tensors).flat_map(|(name, tensor)| draw(name, tensor.2.len())).collect();
    (0..count).map(one).collect()
}

/// Both engines, one after the other, on the same models.
fn both<T>(small: &Small, agents: &[AlignedBytes], set: &[&str], ask: impl Fn(&Engine<'_>, &[Vec<f32>]) -> T) -> [T; 2] {
    let models: Vec<Model<'_>> = agents.iter().map(|agent| Model::load(agent).unwrap()).collect();
    let recorded = small.recorded(&models);
    let candidates = controllers(&models[0], 7);
    [DreamEngine::Runtime, DreamEngine::Torch].map(|engine| {
        let mut config = small.with(set);
        config.dream.engine = engine;
        ask(&Engine::new(&config, agents, &models, &recorded, Device::Cpu).unwrap(), &candidates)
    })
}

#[test]
fn both_engines_dream_the_same_dreams() {
    let hopper = ["env=Hopper-v5", "controller.reward_offset=2", "vae.hidden=[16,16]", "collect.steps=600"];
    let variants: [(&[&str], &[&str]); 12] = [
        (&[], &["dream.ensemble=1"]),
        (&["mdnrnn.cell=gru", "mdnrnn.mixture=per-dimension", "controller.input=z"], &["controller.squash=tanh"]),
        (&["mdnrnn.target=z", "controller.input=h"], &["dream.recorded_starts=1"]),
        (&["dream.ensemble=3"], &["dream.pessimism=0.5"]),
        (&hopper, &["dream.bound=0.2"]),
        (&hopper, &["dream.ends=expected", "dream.ensemble=2"]),
        (&[], &["dream.ends=expected"]),
        (&["mdnrnn.mixtures=1"], &["dream.bound=0", "dream.horizon=33"]),
        (&["controller.hidden=[6]"], &[]),
        (&[CHOICES], &["dream.recorded_starts=0.5"]),
        (&[CHOICES, "controller.hidden=[6]", "mdnrnn.cell=gru", "dream.ensemble=2"], &["controller.squash=tanh"]),
        (&["controller.hidden=[6,5]", "controller.activation=relu", "controller.input=z", "vae.start=identity"], &[]),
    ];
    for (made, asked) in variants {
        let small = small(made);
        let agents = small.agents();
        // Of nearly no noise, the model's own, and of more; in all of them ends are drawn.
        for temperature in ["dream.temperature=1e-6", "dream.temperature=1", "dream.temperature=1.5"] {
            let set: Vec<&str> = asked.iter().copied().chain([temperature]).collect();
            let [runtime, torch] =
                both(&small, &agents, &set, |engine, candidates| engine.score(candidates, 50, 19).unwrap());
            for (runtime, torch) in runtime.iter().zip(&torch) {
                let (difference, size) = ((runtime.value - torch.value).abs(), runtime.value.abs().max(1.0));
                assert!(difference < 1e-3 * size && runtime.steps == torch.steps, "{made:?} {set:?}: {runtime:?} {torch:?}");
                assert_eq!(runtime.length, torch.length);
            }
            let distinct: std::collections::BTreeSet<_> = runtime.iter().map(|score| score.value.to_bits()).collect();
            assert!(distinct.len() > 1, "candidates differ: {runtime:?}");
        }
    }
}

#[test]
fn the_same_batch_gives_the_same_bytes_and_other_numbers_are_other_dreams() {
    let small = small(&[]);
    let agents = small.agents();
    let bits = |scores: &[Score]| scores.iter().map(|s| (s.value.to_bits(), s.steps)).collect::<Vec<_>>();
    let [_, ()] = both(&small, &agents, &[], |engine, candidates| {
        let score = |first, dreams| engine.score(candidates, first, dreams).unwrap();
        assert_eq!(bits(&score(50, 23)), bits(&score(50, 23)));
        assert_ne!(bits(&score(50, 23)), bits(&score(73, 23)));
        // Alone, a candidate's dreams are the same; the last number wraps around.
        assert_eq!(bits(&score(50, 23))[3], bits(&engine.score(&candidates[3..4], 50, 23).unwrap())[0]);
        assert_ne!(bits(&score(u32::MAX, 2)), bits(&score(u32::MAX, 1)));
        assert!(engine.score(&[], 0, 5).unwrap().is_empty());
        let mut broken = candidates.to_vec();
        broken[2][1] = f32::NAN;
        let error = engine.score(&broken, 0, 1).unwrap_err().to_string();
        assert!(error.starts_with("candidate 2") && !error.contains('\n'), "{error}");
    });
}

/// Over dreams that share no draw: each engine's mean is within its standard error of the other's.
#[test]
fn scores_of_many_dreams_have_one_mean() {
    let small = small(&[]);
    let agents = small.agents();
    let sample = |first: u32| {
        both(&small, &agents, &[], |engine, candidates| {
            let blocks: Vec<_> = (0..30).map(|i| engine.score(candidates, first + 40 * i, 40).unwrap()).collect();
            (0..candidates.len())
                .map(|k| Estimate::of(&blocks.iter().map(|scores| scores[k].value).collect::<Vec<_>>()))
                .collect::<Vec<_>>()
        })
    };
    let ([runtime, _], [_, torch]) = (sample(0), sample(100_000));
    for (runtime, torch) in runtime.iter().zip(&torch) {
        let error = runtime.standard_error.hypot(torch.standard_error);
        assert!(error > 0.0 && (runtime.mean - torch.mean).abs() < 4.0 * error, "{runtime:?} {torch:?}");
        assert!(runtime.standard_error < 0.1 * runtime.mean, "tells something: {runtime:?}");
    }
}

#[test]
fn what_is_learnt_in_libtorchs_dreams_is_worth_what_is_learnt_in_the_runtimes() {
    let small =
        small(&["collect.steps=900", "vae.epochs=30", "mdnrnn.epochs=40", "dream.horizon=60", "dream.generations=16"]);
    let learnt = |engine: &str| {
        let config = small.with(&[engine, "dream.validation_episodes=4"]);
        let summary = small.train(&config, true).unwrap();
        (summary.best.dream.unwrap(), summary.best.real.unwrap())
    };
    let [runtime, torch] = ["dream.engine=runtime", "dream.engine=torch"].map(learnt);
    let [first, _] = both(&small, &small.agents(), &[], |engine, candidates| {
        let still = vec![0.0; candidates[0].len()];
        engine.score(&[still], u32::MAX - 9, 9).unwrap()[0].value
    });
    assert!(runtime.0 > 1.5 * first, "{first} before, {runtime:?} after");
    assert!(torch.0 > 0.9 * runtime.0 && torch.1 > 0.7 * runtime.1, "{runtime:?} {torch:?}");
}

#[test]
fn an_evolution_that_is_gone_on_with_ends_in_the_same_bytes_and_stays_with_its_engine() {
    let small = small(&["dream.engine=torch", "dream.ensemble=2"]);
    let evolve = |set: &[&str], force| {
        small
            .train(&small.with(set), force)
            .map(|_| [small.run.controller(), small.run.evolution()].map(|file| std::fs::read(file).unwrap()))
    };
    let whole = evolve(&[], true).unwrap();
    let half = evolve(&["dream.generations=2"], true).unwrap();
    assert!(half != whole && evolve(&[], false).unwrap() == whole);
    let error = format!("{:#}", evolve(&["dream.engine=runtime"], false).unwrap_err());
    assert!(error.contains("evolution.safetensors") && error.contains("--force"), "{error}");
    assert!(evolve(&["dream.engine=runtime"], true).unwrap() != whole);
}
