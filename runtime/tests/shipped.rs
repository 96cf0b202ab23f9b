//! Is the shipped agent whole, and is it the same agent in every precision? Its self-test holds on every back end, taking it apart and
//! packing it anew gives its bytes, and rounded weights act nearly as the whole ones do.

use dreamstep_core::pack::{Parts, pack, unpack};
use dreamstep_fixtures::{HUMANOID, synthetic};
use dreamstep_runtime::{Agent, Backend, Model, Precision, memory_len};

#[test]
fn its_self_test_holds_on_every_back_end() {
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        let model = Model::load_with(HUMANOID, backend).unwrap();
        assert_eq!(model.self_test(&mut vec![f32::NAN; memory_len(model.dims())]), Ok(()), "{}", backend.name());
    }
}

#[test]
fn packed_anew_it_is_the_same_bytes() {
    let agent = unpack(HUMANOID).unwrap();
    assert!(!agent.selftest.actions.is_empty() && agent.provenance.values().any(|value| value.contains('\n')));
    let parts = Parts {
        tensors: &agent.tensors,
        settings: agent.settings,
        action_mid: &agent.action_mid,
        action_half: &agent.action_half,
        selftest: Some(&agent.selftest),
        frames: &[],
        provenance: &agent.provenance,
    };
    assert!(pack(&parts).unwrap() == HUMANOID);
}

/// The root of the mean square of what an action differs by from the self-test's, in halves of its range.
fn error(precision: Precision) -> f64 {
    let agent = unpack(HUMANOID).unwrap();
    let file = synthetic::in_precision(HUMANOID, precision);
    let model = Model::load(&file).unwrap();
    assert_eq!(model.settings().precision, precision);
    let mut memory = vec![0.0; memory_len(model.dims())];
    let mut loop_agent = Agent::new(model, &mut memory).unwrap();
    let (mut squares, mut count) = (0.0, 0.0);
    for (observation, expected) in agent.selftest.observations.iter().zip(&agent.selftest.actions) {
        let mut action = vec![0.0; expected.len()];
        loop_agent.step(observation, &mut action).unwrap();
        for ((found, expected), half) in action.iter().zip(expected).zip(&agent.action_half) {
            squares += (f64::from(found - expected) / f64::from(*half)).powi(2);
            count += 1.0;
        }
    }
    f64::sqrt(squares / count)
}

#[test]
fn rounded_weights_act_nearly_as_the_whole_ones() {
    let [f32, f16, bf16, i8] = Precision::ALL.map(error);
    println!("error of an action, of half its range: f16 {f16:.1e}, bf16 {bf16:.1e}, i8 {i8:.1e}");
    assert!(f32 == 0.0, "{f32}");
    // bf16 keeps three binary digits fewer than f16.
    assert!(0.0 < f16 && f16 < bf16 && 0.0 < i8, "{f16}, {bf16}, {i8}");
    assert!(f16 < 2e-3 && bf16 < 2e-2 && i8 < 2e-2, "{f16}, {bf16}, {i8}");
}
