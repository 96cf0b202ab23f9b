//! The shortest honest program: load the embedded Humanoid-v5 agent, prove that this machine computes what its packer did, and
//! step it. No native library, no file system, no allocator.

use dreamstep_fixtures::HUMANOID;
use dreamstep_runtime::{Agent, Dims, Model, memory_len};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = Model::load(HUMANOID)?;
    let mut memory = [0.0; memory_len(&Dims::HUMANOID)];
    model.self_test(&mut memory)?;
    println!("self-test passed on back end {}", model.backend().name());

    let mut agent = Agent::new(model, &mut memory)?;
    let mut observation = [0.0; Dims::HUMANOID.obs_len()];
    observation[0] = 1.4; // the torso's height, standing
    observation[1] = 1.0; // and its orientation: upright
    let mut action = [0.0; Dims::HUMANOID.action_len()];
    for tick in 0..3 {
        agent.act(&observation, &mut action)?; // what the actuators wait for
        agent.advance()?; // after the command is out
        println!(
            "tick {tick}: first torques {:+.4} {:+.4} {:+.4}, state {:016x}",
            action[0],
            action[1],
            action[2],
            agent.digest()
        );
    }
    Ok(())
}
