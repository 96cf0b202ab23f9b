//! Do the shipped agents act as they are said to? The packed file, on the runtime, in the unmodified environment, on the protocol's seeds.

use dreamstep::agent_file;
use dreamstep::play::{Arena, Estimate, Outcome, Policy};
use dreamstep_fixtures::CARTPOLE;
use dreamstep_runtime::{Model, memory_len};

/// It learnt in dreams alone, and keeps the pole up to the end of all 100 episodes.
#[test]
fn the_cart_poles_agent_balances() {
    let model = Model::load(CARTPOLE).unwrap();
    model.self_test(&mut vec![0.0; memory_len(model.dims())]).unwrap();
    let arena = Arena::new("CartPole-v1", 2).unwrap();
    let returns = |policy| -> Vec<f64> {
        arena.episodes(policy, 1000, 100, || ()).unwrap().iter().map(|outcome| outcome.episode_return).collect()
    };
    let agent = Estimate::of(&returns(Policy::Agent(&model)));
    assert!(agent.mean >= 475.0, "{agent:?}");
    let random = Estimate::of(&returns(Policy::Random));
    assert!(random.mean < 50.0, "{random:?}");
}

/// V, M and C of the walker: it goes on to the end of nearly every episode.
#[test]
fn the_humanoids_agent_walks() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/data/humanoid-walker.safetensors");
    let bytes = agent_file::read(&path).unwrap();
    let model = agent_file::load(&path, &bytes, None).unwrap();
    assert!(model.dims().input.has_hidden(), "it reads [z, h]");
    model.self_test(&mut vec![0.0; memory_len(model.dims())]).unwrap();
    // The first 16 of the protocol's 100.
    let outcomes = Arena::new("Humanoid-v5", 2).unwrap().episodes(Policy::Agent(&model), 1000, 16, || ()).unwrap();
    let of = |value: fn(&Outcome) -> f64| Estimate::of(&outcomes.iter().map(value).collect::<Vec<_>>());
    let (earned, far) = (of(|outcome| outcome.episode_return), of(|outcome| outcome.distance_m));
    assert!(earned.mean >= 6000.0, "{earned:?}");
    assert!(far.mean >= 20.0, "it walks rather than stands: {far:?}");
}
