//! What several test programs need: packed agents that carry self-test vectors.

use dreamstep_core::pack::{Parts, SelfTest, Tensors, pack};
use dreamstep_core::schema::Settings;
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Agent, Model, memory_len};
use std::collections::BTreeMap;

/// Packs `tensors` without vectors, steps the agent, and packs it again with what it did. Actions in ±0.4.
pub(crate) fn agent_with_selftest(settings: &Settings, tensors: &Tensors) -> Vec<u8> {
    let (settings, dims) = (*settings, &settings.dims);
    let provenance = BTreeMap::new();
    let (mid, half) = (vec![0.0; dims.action_len()], vec![0.4; dims.action_len()]);
    let frames = synthetic::frames(dims, 1);
    let bare = Parts {
        tensors,
        settings,
        action_mid: &mid,
        action_half: &half,
        selftest: None,
        frames: &frames,
        provenance: &provenance,
    };
    let plain = dreamstep_core::pack::AlignedBytes::new(&pack(&bare).unwrap());
    let model = Model::load(&plain).unwrap();
    let mut memory = vec![0.0; memory_len(dims)];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    let mut selftest = SelfTest::default();
    for t in 0..STEPS as u64 {
        let mut action = vec![0.0; dims.action_len()];
        let observation = synthetic::observation(dims, 2, t);
        agent.step(&observation, &mut action).unwrap();
        selftest.observations.push(observation);
        selftest.actions.push(action);
    }
    let settings = synthetic::with(settings, |s| s.selftest_digest = Some(agent.self_test_digest()));
    pack(&Parts { settings, selftest: Some(&selftest), ..bare }).unwrap()
}

/// Steps of the self-test.
pub(crate) const STEPS: usize = 4;
