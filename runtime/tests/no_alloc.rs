//! Does anything the control loop calls allocate? A counting allocator stands under the whole program; between two marks, on
//! every back end, from `Model::load` to `reset`, it must see nothing. The same marks do see an allocation made on purpose.
//!
//! The count is the thread's own: what the test harness does meanwhile on its threads is not counted.

mod common;

use common::agent_with_selftest;
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::rng::Philox;
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Agent, Backend, Dims, LoadError, Model, SelfTestError, StepError, memory_len};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

thread_local! {
    // Constant and without a destructor: reading it never allocates.
    static CALLS: Cell<u64> = const { Cell::new(0) };
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

#[test]
fn nothing_the_loop_calls_allocates() {
    for dims in [
        Dims { obs: 5, action: 1, latent: 3, hidden: 7, mixtures: 2, mixture: Mixture::Joint, encoder: [9, 4] },
        Dims::HUMANOID,
    ] {
        let file = AlignedBytes::new(&agent_with_selftest(&synthetic::settings(&dims), &synthetic::tensors(&dims, 1)));
        let controller = vec![0.25; controller_len(&dims)];
        let mut memory = vec![0.0; memory_len(&dims)];
        let observations: Vec<_> = (0..20).map(|t| synthetic::observation(&dims, 3, t)).collect();
        let (mut action, mut z) = (vec![0.0; dims.action], vec![0.0; dims.latent]);
        for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
            let name = backend.name();
            let (model, n) = calls(|| Model::load_with(&file, backend).unwrap());
            assert_eq!(n, 0, "{name}: load");
            assert_eq!(calls(|| model.self_test(&mut memory)), (Ok(()), 0), "{name}: self_test");
            let (other, n) = calls(|| model.with_controller(&controller).unwrap());
            assert_eq!(n, 0, "{name}: with_controller");
            assert_eq!(calls(|| other.self_test(&mut memory)), (Err(SelfTestError::Absent), 0), "{name}: self_test, absent");

            let (agent, n) = calls(|| Agent::new(&model, &mut memory));
            assert_eq!(n, 0, "{name}: new");
            let mut agent = agent.unwrap();
            for (t, observation) in observations.iter().enumerate() {
                assert_eq!(calls(|| agent.act(observation, &mut action)), (Ok(()), 0), "{name}: act");
                assert_eq!(calls(|| agent.act_in_place(observation).map(<[f32]>::len)), (Ok(dims.action), 0), "{name}: act");
                assert_eq!(calls(|| agent.override_action(&action)), (Ok(()), 0), "{name}: override_action");
                assert_eq!(calls(|| agent.advance()), (Ok(()), 0), "{name}: advance");
                assert_eq!(calls(|| agent.step(observation, &mut action)), (Ok(()), 0), "{name}: step");
                let ((), n) = calls(|| {
                    let prediction = agent.predict().unwrap();
                    prediction.sample_latent(1.1, Philox::new(4), t as u64, &mut z);
                    prediction.expected_latent(&mut z);
                    black_box((prediction.reward(), prediction.terminal_probability()));
                });
                assert_eq!(n, 0, "{name}: predict, sample_latent");
                let (_, n) = calls(|| black_box((agent.digest(), agent.hidden().len(), agent.latent().len())));
                assert_eq!(n, 0, "{name}: digest");
            }
            // Refusals do not allocate either.
            let bad = &observations[0][1..];
            let refused = StepError::ObservationLength { expected: dims.obs, found: dims.obs - 1 };
            assert_eq!(calls(|| agent.step(bad, &mut action)), (Err(refused), 0), "{name}: a refused step");
            assert_eq!(calls(|| agent.advance()), (Err(StepError::AdvanceBeforeAct), 0), "{name}: a refused advance");
            assert_eq!(calls(|| agent.reset()), ((), 0), "{name}: reset");
        }
        let (refused, n) = calls(|| Model::load(&file[..file.len() - 4]).is_err_and(|e| matches!(e, LoadError::Read(_))));
        assert_eq!((refused, n), (true, 0), "a refused load");
    }
}

fn controller_len(dims: &Dims) -> usize {
    dreamstep_core::layout::Panels::dense(dims.action, dims.latent + dims.hidden).len()
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
