//! The shipped agents act as the documents say. The packed file, on the runtime, in the unmodified environment, on the protocol's seeds.

use dreamstep::agent::file;
use dreamstep::env::pool::{EnvPool, Estimate, Outcome, Policy};
use dreamstep::run::config::EnvConfig;
use dreamstep_fixtures::CARTPOLE;
use dreamstep_runtime::{Model, memory_len};

/// It learnt in dreams alone, and keeps the pole up to the end of all 100 episodes.
#[test]
fn the_cart_poles_agent_balances() {
    let model = Model::load(CARTPOLE).unwrap();
    model.self_test(&mut vec![0.0; memory_len(model.dims())]).unwrap();
    let arena = EnvPool::new(&EnvConfig::from("CartPole-v1"), 2).unwrap();
    let returns = |policy| -> Vec<f64> {
        arena.episodes(policy, 1000, 100, || ()).unwrap().iter().map(|outcome| outcome.episode_return).collect()
    };
    let agent = Estimate::of(&returns(Policy::Agent(&model)));
    assert!(agent.mean >= 475.0, "{agent:?}");
    let random = Estimate::of(&returns(Policy::Random));
    assert!(random.mean < 50.0, "{random:?}");
}

/// It learnt in dreams alone, and runs awake.
#[test]
fn the_half_cheetahs_agent_runs() {
    let (earned, far) = of_shipped("half-cheetah.safetensors", "HalfCheetah-v5", 8, |model| {
        assert!(!model.dims().input().has_hidden(), "it reads z");
    });
    assert!(earned.mean >= 3000.0, "{earned:?}");
    assert!(far.mean >= 150.0, "{far:?}");
}

/// V, M and C of the walker: it goes on to the end of nearly every episode.
#[test]
fn the_humanoids_agent_walks() {
    let (earned, far) = of_shipped("humanoid-walker.safetensors", "Humanoid-v5", 16, |model| {
        assert!(model.dims().input().has_hidden(), "it reads [z, h]");
    });
    assert!(earned.mean >= 7500.0, "{earned:?}");
    assert!(far.mean >= 40.0, "it walks rather than stands: {far:?}");
}

/// It sees pictures alone, in i8, and drives nearly as well as the driver that taught it.
#[test]
fn the_cars_agent_drives() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/data/car-racing.safetensors");
    let bytes = file::read(&path).unwrap();
    let model = file::load(&path, &bytes, None).unwrap();
    assert!(model.dims().obs.image().is_some(), "it sees pictures");
    let arena = EnvPool::new(&file::env(&path, &bytes).unwrap(), 2).unwrap();
    let outcomes = arena.episodes(Policy::Agent(&model), 1000, 6, || ()).unwrap();
    let earned = Estimate::of(&outcomes.iter().map(|outcome| outcome.episode_return).collect::<Vec<_>>());
    assert!(earned.mean >= 890.0, "{earned:?}");

    // A key of another version says nothing of what it sees.
    let mut other = bytes.to_vec();
    let key = b"lesson_episodes";
    let at = other.windows(key.len()).position(|window| window == key).unwrap();
    other[at..at + key.len()].copy_from_slice(b"lesson_epizodes");
    assert_eq!(file::env(&path, &other).unwrap(), file::env(&path, &bytes).unwrap());
}

/// Return and distance of a shipped agent, over the first of the protocol's episodes.
fn of_shipped(file: &str, env: &str, episodes: usize, check: impl FnOnce(&Model<'_>)) -> (Estimate, Estimate) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/data").join(file);
    let bytes = file::read(&path).unwrap();
    let model = file::load(&path, &bytes, None).unwrap();
    check(&model);
    model.self_test(&mut vec![0.0; memory_len(model.dims())]).unwrap();
    let outcomes =
        EnvPool::new(&EnvConfig::from(env), 2).unwrap().episodes(Policy::Agent(&model), 1000, episodes, || ()).unwrap();
    let of = |value: fn(&Outcome) -> f64| Estimate::of(&outcomes.iter().map(value).collect::<Vec<_>>());
    (of(|outcome| outcome.episode_return), of(|outcome| outcome.distance_m.unwrap()))
}
