//! Does the control loop of `tail` allocate? Then its tail would be the allocator's. A counting allocator stands under the program;
//! between two marks around whole runs of the loop, it must see nothing; it does see an allocation made by a tick on purpose.
//!
//! The count is the thread's own: what the test harness does meanwhile on its threads is not counted.
#![cfg(target_os = "linux")]

use dreamstep_bench::agents::Size;
use dreamstep_bench::tail::Wait;
use dreamstep_bench::tail::control::{Body, Robot, Yardstick, control_loop};
use dreamstep_bench::tail::pace::{Pace, Tick};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Agent, Model, StepError, memory_len};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

thread_local! {
    // Constant and without a destructor: reading it never allocates.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// What it does not define goes through what it does.
struct Counting;

// SAFETY: both methods hand their arguments on to the system's allocator unchanged and return what that returns; counting touches
// neither the block nor its layout, and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
        // SAFETY: the caller keeps `alloc`'s contract, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
        // SAFETY: `block` came from this allocator, so from the system's, with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PACE: Pace = Pace { period_ns: 200_000, ticks: 50 };

/// The allocator's calls while the loop runs `body`, and the ticks that were run.
fn calls(wait: Wait, body: &mut impl Body) -> (u64, usize) {
    let mut samples = vec![Tick::default(); PACE.ticks];
    let before = CALLS.get();
    let run = control_loop(&PACE, wait, body, Yardstick::new(1000), &mut samples);
    (CALLS.get() - before, run.unwrap())
}

#[test]
fn the_loop_allocates_nothing() {
    for file in Size::Humanoid.precisions() {
        let model = Model::load(&file).unwrap();
        let (mut memory, mut action) = (vec![0.0; memory_len(model.dims())], vec![0.0; model.dims().action_len()]);
        let observations: Vec<_> = (0..4).map(|t| synthetic::observation(model.dims(), 0, t)).collect();
        let agent = Agent::new(model, &mut memory).unwrap();
        let mut robot = Robot { agent, observations: &observations, action: &mut action };
        for wait in [Wait::Sleep, Wait::Spin, Wait::Hybrid] {
            let (calls, run) = calls(wait, &mut robot);
            assert_eq!(calls, 0, "{wait:?}, {}", model.settings().precision.name());
            assert!(run >= 1);
        }
    }
}

/// The negative control: an allocation and a free in every tick are seen, each.
#[test]
fn the_count_sees_what_a_tick_allocates() {
    struct Wasteful;

    impl Body for Wasteful {
        fn act(&mut self, tick: usize) -> Result<(), StepError> {
            black_box(Box::new(tick));
            Ok(())
        }

        fn advance(&mut self) -> Result<(), StepError> {
            Ok(())
        }
    }

    let (calls, run) = calls(Wait::Sleep, &mut Wasteful);
    assert_eq!(calls, 2 * run as u64);
}
