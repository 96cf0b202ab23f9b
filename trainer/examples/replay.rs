//! A ring of 100,000 CartPole steps, filled with 5,000 random ones, and 32 windows of 16 steps drawn from it: what a world model that
//! learns while it acts is fed. `cargo run --release -p dreamstep --example replay`
//!
//! The shapes and the one prediction below are the point: what a step led to stands beside it, so the target is the *next* observation.

use dreamstep::env::{AnyEnv, Env};
use dreamstep::replay::{Replay, Step};
use dreamstep_core::rng::{Philox, Stream};

fn main() -> anyhow::Result<()> {
    let rng = Philox::new(0);
    let mut env = AnyEnv::make("CartPole-v1")?;
    let mut ring = Replay::new(100_000, env.spec().obs, env.spec().action)?;
    let mut state = [[0.0_f64; 4]; 2]; // before and after a step

    let mut episodes = 0;
    env.reset(rng.bits(Stream::EnvReset, episodes, 0), &mut state[1]);
    for t in 0..5_000 {
        state[0] = state[1];
        let action = [2.0 * rng.uniform(Stream::CollectAction, t, 0) - 1.0];
        let step = env.step(&action, &mut state[1]);
        let [observation, next] = state.map(|s| s.map(|x| x as f32));
        let (terminal, truncation) = (step.terminated, step.truncated);
        ring.push(&Step {
            observation: &observation,
            action: &action,
            reward: step.reward as f32,
            terminal,
            truncation,
            next: &next,
        })?;
        if terminal || truncation {
            episodes += 1;
            env.reset(rng.bits(Stream::EnvReset, episodes, 0), &mut state[1]);
        }
    }

    let batch = ring.sample(rng, 0, 32, 16)?;
    println!("{} steps of {episodes} episodes and one under way, {} windows of 16 steps", ring.len(), ring.windows(16));
    println!(
        "observations {:?}, actions {:?}, rewards {:?}",
        batch.observations.dim(),
        batch.actions.dim(),
        batch.rewards.dim()
    );

    // "The cart goes on as it went" against "nothing changes", in metres: with the current observation for a target the latter would win.
    let steps = || ndarray::indices((32, 16)).into_iter();
    let error = |dt: f32| {
        let off = |(b, t)| batch.next[[b, t, 0]] - batch.observations[[b, t, 0]] - dt * batch.observations[[b, t, 1]];
        steps().map(|at| off(at).powi(2)).sum::<f32>() / 512.0
    };
    println!("squared error of the next position: {:.2e} by its speed, {:.2e} by standing still", error(0.02), error(0.0));
    anyhow::ensure!(error(0.02) < 0.01 * error(0.0), "the target is the next observation");
    Ok(())
}
