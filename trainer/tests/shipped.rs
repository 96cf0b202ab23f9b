//! Do the shipped agents act as they are said to? The packed file, on the runtime, in the unmodified environment, on the protocol's seeds.

use dreamstep::play::{Arena, Estimate, Policy};
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
