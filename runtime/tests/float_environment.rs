//! Does the self-test tell of a thread whose floating-point mode is not the contract's? The modes are set in the processor itself.

#[path = "common/float_mode.rs"]
mod float_mode;

use dreamstep_core::pack::AlignedBytes;
use dreamstep_fixtures::{HUMANOID, synthetic};
use dreamstep_runtime::{Backend, Dims, FloatEnvironment, Model, Rounding, SelfTestError, memory_len};
use float_mode::{MODES, seen, under};

#[test]
fn the_default_passes() {
    assert_eq!(FloatEnvironment::observe(), FloatEnvironment::DEFAULT);
    assert_eq!(seen(FloatEnvironment::DEFAULT), (Rounding::NearestEven, false, false));
    assert_eq!(FloatEnvironment::DEFAULT.to_string(), "rounding to nearest even, subnormals kept");
}

#[test]
fn every_other_mode_is_seen_and_named() {
    for &(bits, expected) in MODES {
        let found = under(bits, FloatEnvironment::observe);
        assert_eq!(seen(found), expected, "mode {bits:#x}");
        assert_eq!(FloatEnvironment::observe(), FloatEnvironment::DEFAULT, "after mode {bits:#x}");
    }
    #[cfg(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64"))]
    assert!(MODES.len() >= 5, "there was something to see");
}

#[test]
fn the_self_test_tells_before_anything_else() {
    let without_vectors = AlignedBytes::new(&synthetic::agent(&Dims::HUMANOID, 1));
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        let models = [HUMANOID, &without_vectors].map(|file| Model::load_with(file, backend).unwrap());
        let mut memory = vec![0.0; memory_len(&Dims::HUMANOID)];
        for &(bits, expected) in MODES {
            for model in &models {
                let result = under(bits, || model.self_test(&mut memory));
                let Err(error @ SelfTestError::FloatEnvironment { found }) = result else { panic!("{bits:#x}: {result:?}") };
                assert_eq!(seen(found), expected, "mode {bits:#x}");
                let rounding = match found.rounding {
                    Rounding::NearestEven => "rounding to nearest even",
                    Rounding::Up => "rounding up",
                    Rounding::Down => "rounding down",
                    _ => "rounding towards zero",
                };
                let subnormals = match (found.flush_to_zero, found.denormals_are_zero) {
                    (true, true) => "flush-to-zero, denormals-are-zero",
                    (true, false) => "flush-to-zero",
                    (false, true) => "denormals-are-zero",
                    (false, false) => "subnormals kept",
                };
                let message = format!(
                    "self-test: this thread's floating-point mode: expected rounding to nearest even, subnormals kept; \
                     found {rounding}, {subnormals}"
                );
                assert_eq!(error.to_string(), message);
            }
        }
        assert_eq!(models.map(|model| model.self_test(&mut memory)), [Ok(()), Err(SelfTestError::Absent)]);
    }
}
