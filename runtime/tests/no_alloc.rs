//! Does anything the control loop calls allocate? A counting allocator stands under the whole program; between two marks, on
//! every back end and in every precision, from `Model::load` to `reset`, through saved states and dreams, it must see nothing. The
//! same marks do see an allocation made on purpose.
//!
//! The count is the thread's own: what the test harness does meanwhile on its threads is not counted.

mod common;
#[path = "common/kinds.rs"]
mod kinds;

use common::agent_with_selftest;
use dreamstep_core::layout::Panels;
use dreamstep_core::obs::Image;
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::rng::Philox;
use dreamstep_core::schema::{Acting, Settings};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Agent, Backend, ControllerInput, Dims, DreamBatch, DreamError, DreamOptions, DreamStart, LoadError, MemoryCell, Mixture,
    Model, Precision, ReplaceModelError, SelfTestError, StateError, StateMatch, StepError, Termination, dreams_memory_len,
    memory_len, state_len,
};
use kinds::kinds;
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;

thread_local! {
    // Constant and without a destructor: reading it never allocates.
    static CALLS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

struct Counting;

impl Counting {
    fn count() {
        // A thread that is ending has no count any more.
        let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
    }
}

// SAFETY: every method hands its arguments on to the system's allocator unchanged and returns what that returns; counting
// touches neither the block nor its layout, and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: the caller keeps `alloc`'s contract, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: the caller keeps `alloc_zeroed`'s contract, which is the system's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count();
        // SAFETY: `block` came from this allocator, so from the system's, with this layout.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Self::count();
        // SAFETY: `block` came from this allocator, so from the system's, with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The allocator's calls (allocations, frees) that `work` makes on this thread.
fn calls<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = CALLS.get();
    let result = work();
    (result, CALLS.get() - before)
}

/// What `work` returns; it must not have called the allocator.
#[track_caller]
fn free<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (result, n) = calls(work);
    assert_eq!(n, 0, "{what}");
    result
}

/// Small and large sizes, every precision, both memories, both ways of mixing and of acting, every input; and every kind.
fn files() -> Vec<(Settings, AlignedBytes)> {
    let odd = synthetic::ODD;
    let per_dimension = odd.with_mixture(Mixture::PerDimension);
    let [gru, humanoid] = [odd.with_cell(MemoryCell::Gru), Dims::HUMANOID];
    let cases = [(odd, Acting::Mean), (per_dimension, Acting::Sampled), (gru, Acting::Sampled), (humanoid, Acting::Mean)];
    let inputs = ControllerInput::ALL.map(|input| (odd.with_input(input), Acting::Sampled));
    let cases = cases.into_iter().chain(inputs);
    let file = |(dims, acting): (Dims, Acting), precision| {
        let settings = synthetic::with(synthetic::settings(&dims), |s| (s.precision, s.acting) = (precision, acting));
        (settings, AlignedBytes::new(&agent_with_selftest(&settings, &synthetic::tensors(&dims, 1))))
    };
    let kinds = kinds().map(|settings| (settings.dims, settings.acting));
    cases.chain(kinds).flat_map(|case| Precision::ALL.map(|precision| file(case, precision))).collect()
}

fn back_ends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

#[test]
fn nothing_the_loop_calls_allocates() {
    for (settings, file) in files() {
        let dims = settings.dims;
        let shape = Panels::dense(dims.unit_len(), dims.controller_inputs());
        let controller = [vec![0.25; shape.len(Precision::F32)], vec![0.5; shape.outputs()]].concat();
        let mut memory = vec![0.0; memory_len(&dims)];
        let observations: Vec<_> = (0..20).map(|t| synthetic::observation(&dims, 3, t)).collect();
        let (mut action, mut z) = (vec![0.0; dims.action_len()], vec![0.0; dims.latent_len()]);
        for backend in back_ends() {
            let name = format!("{}, {:?}", backend.name(), settings.precision);
            let what = |call: &str| format!("{name}: {call}");
            let model = free(&what("load"), || Model::load_with(&file, backend).unwrap());
            assert_eq!(free(&what("self_test"), || model.self_test(&mut memory)), Ok(()));
            let told = free(&what("what the file says"), || {
                let said = (model.format(), model.environment(), model.period_s(), model.metadata("v.kind"));
                black_box((said, model.metadata_entries().count(), model.action_range(0), model.fingerprint()));
                model.format() == "packed-3"
            });
            assert!(told);
            let other = free(&what("with_controller"), || model.with_controller(&controller).unwrap());
            assert_eq!(free(&what("self_test, absent"), || other.self_test(&mut memory)), Err(SelfTestError::Absent));

            let mut agent = free(&what("new"), || Agent::new(model, &mut memory)).unwrap();
            free(&what("set_seed"), || agent.set_seed(5));
            for (t, observation) in observations.iter().enumerate() {
                assert_eq!(free(&what("peek"), || agent.peek(observation, &mut action)), Ok(()));
                assert_eq!(free(&what("act"), || agent.act(observation, &mut action)), Ok(()));
                let acted = free(&what("act_in_place"), || agent.act_in_place(observation).map(<[f32]>::len));
                assert_eq!(acted, Ok(dims.action_len()));
                let surprise = free(&what("surprise"), || agent.surprise());
                assert_eq!(surprise.is_some(), t > 0 && model.has_mdn());
                assert_eq!(free(&what("choice"), || agent.choice()).is_some(), dims.unit_len() != dims.action_len());
                assert_eq!(free(&what("health"), || agent.health().ticks), 2 * t as u64);
                assert_eq!(free(&what("override_action"), || agent.override_action(&action)), Ok(()));
                assert_eq!(free(&what("swap, refused"), || agent.replace_model(other)), Err(ReplaceModelError::MidTick));
                assert_eq!(free(&what("advance"), || agent.advance()), Ok(()));
                assert_eq!(free(&what("swap"), || agent.replace_model(other)), Ok(()));
                assert_eq!(free(&what("step"), || agent.step(observation, &mut action)), Ok(()));
                assert_eq!(free(&what("swap back"), || agent.replace_model(model)), Ok(()));
                free(&what("predict, sample_latent, surprise"), || {
                    let Some(prediction) = agent.predict() else { return };
                    black_box(prediction.surprise(&z));
                    prediction.sample_latent(1.1, Philox::new(4), t as u64, &mut z);
                    prediction.expected_latent(&mut z);
                    black_box((prediction.reward(), prediction.terminal_probability()));
                    black_box((prediction.weight(0, 0), prediction.mean(1, 0), prediction.sigma(1, 0)));
                });
                free(&what("digest"), || {
                    black_box((agent.digest(), agent.self_test_digest(), agent.hidden().len(), agent.latent().len()))
                });
            }
            if let Some(&image) = dims.obs.image() {
                pictures(&mut agent, image, &mut action, &what);
            }
            // Refusals do not allocate either.
            let bad = &observations[0][1..];
            let refused = StepError::ObservationLength { expected: dims.obs_len(), found: dims.obs_len() - 1 };
            assert_eq!(free(&what("a refused step"), || agent.step(bad, &mut action)), Err(refused));
            assert_eq!(free(&what("a refused peek"), || agent.peek(bad, &mut action)), Err(refused));
            assert_eq!(free(&what("a refused advance"), || agent.advance()), Err(StepError::AdvanceBeforeAct));
            let refused = free(&what("a refused override"), || agent.override_action(&action));
            assert_eq!(refused, Err(StepError::OverrideBeforeAct));
            free(&what("reset"), || agent.reset());
        }
        let cut = &file[..file.len() - 4];
        assert!(free("a refused load", || Model::load(cut).is_err_and(|error| matches!(error, LoadError::Read(_)))));
    }
}

/// What a camera's control loop calls.
fn pictures(agent: &mut Agent<'_, '_>, image: Image, action: &mut [f32], what: &dyn Fn(&str) -> String) {
    let [height, width, channels] = image.frame;
    let stride = width * channels + 3;
    let (frame, prepared) = (synthetic::picture(4, 0, height * stride), synthetic::picture(4, 1, image.len()));
    assert_eq!(free(&what("peek_image"), || agent.peek_image(&frame, stride, action)), Ok(()));
    assert_eq!(free(&what("act_image"), || agent.act_image(&frame, stride, action)), Ok(()));
    assert_eq!(free(&what("act_prepared"), || agent.act_prepared(&prepared).map(<[f32]>::len)), Ok(action.len()));
    assert_eq!(free(&what("step_image"), || agent.step_image(&frame, stride, action)), Ok(()));
    let refused = Err(StepError::FrameStride { expected: width * channels, found: 0 });
    assert_eq!(free(&what("a refused frame"), || agent.act_image(&frame, 0, action)), refused);
    let refused = Err(StepError::ObservationLength { expected: image.len(), found: image.len() - 1 });
    assert_eq!(free(&what("a refused picture"), || agent.act_prepared(&prepared[1..]).map(<[f32]>::len)), refused);
}

#[test]
fn nor_does_saving_and_loading_a_state() {
    for (settings, file) in files() {
        let dims = settings.dims;
        let (mut memory, mut state) = (vec![0.0; memory_len(&dims)], vec![0; state_len(&dims)]);
        let mut action = vec![0.0; dims.action_len()];
        let shape = Panels::dense(dims.unit_len(), dims.controller_inputs());
        let controller = vec![0.0; shape.len(Precision::F32) + shape.outputs()];
        for backend in back_ends() {
            let what = |call: &str| format!("{}, {:?}: {call}", backend.name(), settings.precision);
            let model = Model::load_with(&file, backend).unwrap();
            let other = model.with_controller(&controller).unwrap();
            let mut agent = Agent::new(model, &mut memory).unwrap();
            agent.act(&synthetic::observation(&dims, 3, 0), &mut action).unwrap();
            assert_eq!(free(&what("save_state"), || agent.save_state(&mut state)), Ok(()));
            assert_eq!(free(&what("check_state"), || model.check_state(&state)), Ok(StateMatch::SameModel));
            assert_eq!(free(&what("load_state"), || agent.load_state(&state)), Ok(()));
            assert_eq!(free(&what("adopt_state"), || agent.adopt_state(&state)), Ok(StateMatch::SameModel));
            assert_eq!(free(&what("check_state of another"), || other.check_state(&state)), Ok(StateMatch::SameDims));
            let refused = free(&what("a refused save"), || agent.save_state(&mut state[1..]));
            assert!(matches!(refused, Err(StateError::Length { .. })));
            for at in 0..state.len() {
                state[at] ^= 0xff;
                assert!(free(&what("a refused load"), || agent.load_state(&state).is_err()), "byte {at}");
                state[at] ^= 0xff;
            }
        }
    }
}

#[test]
fn nor_does_dreaming() {
    const DREAMS: usize = 11;
    for (settings, file) in files() {
        let dims = settings.dims;
        let (latent, zeros, action) =
            (vec![0.5; dims.latent_len()], vec![0.0; dims.hidden_len()], vec![0.1; dims.unit_len()]);
        let state = (zeros.as_slice(), &zeros[..dims.cell_len()]);
        let mut memory = vec![0.0; dreams_memory_len(&dims, DREAMS)];
        let shape = Panels::dense(dims.unit_len(), dims.controller_inputs());
        let controller = vec![0.0; shape.len(Precision::F32) + shape.outputs()];
        for backend in back_ends() {
            let what = |call: &str| format!("{}, {:?}: {call}", backend.name(), settings.precision);
            let model = Model::load_with(&file, backend).unwrap();
            if !model.has_mdn() && !dims.input().has_observation() {
                let refused = free(&what("new, refused"), || {
                    DreamBatch::new(model, &mut memory, DREAMS, DreamOptions::default()).map(|dreams| dreams.count())
                });
                assert_eq!(refused, Err(DreamError::NoHead));
                continue;
            }
            if dims.input().has_observation() {
                let refused = free(&what("new, refused"), || {
                    DreamBatch::new(model, &mut memory, DREAMS, DreamOptions::default()).map(|dreams| dreams.count())
                });
                assert_eq!(refused, Err(DreamError::Input { found: dims.input() }));
                continue;
            }
            let other = model.with_controller(&controller).unwrap();
            for termination in [Termination::Sampled, Termination::Threshold(0.9), Termination::Never] {
                let options = DreamOptions { seed: 1, temperature: 1.2, termination };
                let mut dreams = free(&what("new"), || DreamBatch::new(model, &mut memory, DREAMS, options)).unwrap();
                for index in 0..DREAMS {
                    let state = Some(state).filter(|_| index % 2 == 0);
                    let start = DreamStart { latent: &latent, state };
                    assert_eq!(free(&what("start"), || dreams.start(index, index as u32, start)), Ok(()));
                }
                let waits = free(&what("imagine, refused"), || dreams.imagine());
                assert_eq!(waits, Err(DreamError::NoAction { index: 0 }));
                for _ in 0..6 {
                    free(&what("act"), || dreams.act());
                    assert_eq!(free(&what("act_with"), || dreams.act_with(2..DREAMS, &other)), Ok(()));
                    let refused = free(&what("act_with, refused"), || dreams.act_with(0..DREAMS + 1, &other));
                    assert_eq!(refused, Err(DreamError::Index { count: DREAMS, found: DREAMS }));
                    assert_eq!(free(&what("set_latent"), || dreams.set_latent(4, &latent)), Ok(()));
                    assert_eq!(free(&what("stop"), || dreams.stop(5)), Ok(()));
                    assert_eq!(free(&what("set_action"), || dreams.set_action(3, &action)), Ok(()));
                    let refused = free(&what("set_action, refused"), || dreams.set_action(DREAMS, &action));
                    assert_eq!(refused, Err(DreamError::Index { count: DREAMS, found: DREAMS }));
                    assert_eq!(free(&what("imagine"), || dreams.imagine()), Ok(()));
                    free(&what("step"), || dreams.step());
                    free(&what("digest"), || {
                        black_box((
                            dreams.active_count(),
                            dreams.is_done(1),
                            dreams.digest(2),
                            dreams.reward(3),
                            dreams.tick(4),
                        ))
                    });
                }
            }
            let small = free(&what("new, refused"), || {
                DreamBatch::new(model, &mut memory[1..], DREAMS, DreamOptions::default()).map(|dreams| dreams.count())
            });
            assert!(matches!(small, Err(DreamError::Memory { .. })));
        }
    }
}

/// The negative control: one allocation and one free between the same marks are seen, each.
#[test]
fn the_count_sees_an_allocation_made_on_purpose() {
    let (block, n) = calls(|| black_box(Box::new([0.0_f32; 16])));
    assert_eq!(n, 1, "an allocation");
    assert_eq!(calls(|| drop(block)).1, 1, "a free");
    let (mut list, n) = calls(|| black_box(vec![0_u8; 64]));
    assert_eq!(n, 1, "a zeroed allocation");
    assert_eq!(calls(|| list.reserve_exact(4096)).1, 1, "a reallocation");
    drop(list);
}
