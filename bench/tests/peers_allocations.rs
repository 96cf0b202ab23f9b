//! Does the allocation counter count, and count right? A test of its own, in a process of its own: the count is the whole process's.

use dreamstep_bench::agents::Size;
use dreamstep_bench::peers::weights::Weights;
use dreamstep_bench::peers::{Ours, Trace, allocations, peers};
use std::hint::black_box;

#[test]
fn blocks_are_counted_wherever_they_are_asked_for() {
    allocations::control().unwrap();

    let count = allocations::count(|| {
        for n in 1..=10 {
            black_box(Vec::<u8>::with_capacity(black_box(n)));
        }
    });
    assert_eq!(count, 10);
    let mut grows = Vec::<u64>::with_capacity(1);
    assert_eq!(allocations::count(|| grows.reserve_exact(black_box(1000))), 1, "realloc");
    let aligned = std::alloc::Layout::from_size_align(100, 64).unwrap();
    let count = allocations::count(|| {
        // SAFETY: the layout has a size; the block is given back with it.
        unsafe { std::alloc::dealloc(black_box(std::alloc::alloc(aligned)), aligned) }
    });
    assert_eq!(count, 1, "posix_memalign");
    drop(black_box(vec![1_u8; 100]));
    assert_eq!(allocations::count(|| ()), 0, "what was asked for outside");

    let files = Size::Small.precisions();
    let weights = Weights::of(&files[0]).unwrap();
    let trace = Trace::new(&weights, 10);
    let mut ours = Ours::load(&files).unwrap();
    for mut contestant in ours.contestants().unwrap() {
        assert_eq!(trace.allocations(&mut contestant).unwrap(), 0.0, "{}", contestant.name);
    }
    // Libraries that make a tensor for a result ask for blocks at every step; C++'s are seen like Rust's.
    for mut contestant in peers(&weights).unwrap() {
        let plain = contestant.name.starts_with("plain Rust");
        let count = trace.allocations(&mut contestant).unwrap();
        assert!(if plain { count == 0.0 } else { count >= 1.0 }, "{}: {count}", contestant.name);
    }
}
