//! Agents that sample their latent while acting: every episode has draws of its own, named by the episode's seed, whoever plays it.

use dreamstep::env::pool::{Cut, Player, Policy};
use dreamstep::env::{AnyEnv, Env};
use dreamstep::judge::realtime;
use dreamstep::judge::render::episode::Episode;
use dreamstep::run::config::EnvConfig;
use dreamstep_core::names::checkpoint as names;
use dreamstep_core::pack::{AlignedBytes, Parts, pack, unpack};
use dreamstep_core::schema::Acting;
use dreamstep_runtime::{Agent, Model, memory_len};

const ENV: &str = "Humanoid-v5";

/// The fixture, sampling its latent with a standard deviation of e⁻¹.
fn sampling() -> AlignedBytes {
    let mut agent = unpack(&AlignedBytes::new(dreamstep_fixtures::HUMANOID)).unwrap();
    let latent = agent.settings.dims.latent_len();
    agent.settings.acting = Acting::Sampled;
    agent.settings.selftest_digest = None;
    let last = agent.settings.dims.v.hidden().as_slice().len();
    for (name, value) in [(names::ENCODER_WEIGHT[last], 0.0), (names::ENCODER_BIAS[last], -2.0)] {
        let (shape, values) = agent.tensors.get_mut(name).unwrap();
        let means = values.len() / shape[0] * latent;
        values.truncate(means);
        values.resize(2 * means, value);
        shape[0] = 2 * latent;
    }
    let parts = Parts {
        tensors: &agent.tensors,
        settings: agent.settings,
        action_mid: &agent.action_mid,
        action_half: &agent.action_half,
        selftest: None,
        frames: &[],
        provenance: &agent.provenance,
    };
    AlignedBytes::new(&pack(&parts).unwrap())
}

/// The return of `reset(seed)` with the draws of `draws`, step by step.
fn by_hand(model: &Model<'_>, seed: u64, draws: u64) -> f64 {
    let mut env = AnyEnv::make(&EnvConfig::from(ENV)).unwrap();
    let (mut observation, mut action) = (vec![0.0; env.spec().obs], vec![0.0; env.spec().action()]);
    let mut memory = vec![0.0; memory_len(model.dims())];
    let mut agent = Agent::new(*model, &mut memory).unwrap();
    agent.set_seed(draws);
    env.reset(seed, &mut observation).unwrap();
    let mut sum = 0.0;
    loop {
        let single: Vec<f32> = observation.iter().map(|&o| o as f32).collect();
        agent.step(&single, &mut action).unwrap();
        let step = env.step(&action, &mut observation).unwrap();
        sum += step.reward;
        if step.terminated || step.truncated {
            return sum;
        }
    }
}

#[test]
fn every_episode_has_draws_of_its_own() {
    let bytes = sampling();
    let model = Model::load(&bytes).unwrap();
    let mut player = Player::new(&EnvConfig::from(ENV)).unwrap();
    for seed in [1, 1003] {
        let expected = by_hand(&model, seed, seed);
        assert_ne!(expected, by_hand(&model, seed, 0), "the draws matter");
        assert_eq!(player.episode(Policy::Agent(&model), seed, Cut::default()).unwrap().episode_return, expected);
        let filmed =
            Episode::play(&mut AnyEnv::make(&EnvConfig::from(ENV)).unwrap(), Policy::Agent(&model), seed, 0).unwrap();
        assert_eq!(filmed.returns[filmed.steps()], expected);
    }
    let outcomes = realtime::run(&model, &EnvConfig::from(ENV), 1003, 2, false).unwrap().outcomes;
    assert_eq!([outcomes[0].episode_return, outcomes[1].episode_return], [1003, 1004].map(|s| by_hand(&model, s, s)));
}
