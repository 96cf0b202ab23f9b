//! The runtime as a C library: what `include/dreamstep.h` declares. `no_std`, no allocation, no global state, no
//! thread-local: all memory is the caller's.
//!
//! # Where things are
//!
//! Each stands on those below it.
//!
//! | module | is |
//! |---|---|
//! | `model`, `agent`, `dreams` | the functions, by the noun they begin with |
//! | `library` | the functions that need no object: version, sizes, back ends, a status in words |
//! | `types` | what C sees of a model, an agent, a batch of dreams |
//! | `object` | what stands in C's structs: a tag, the newest refusal, and the runtime's own |
//! | `pointers` | which pointers are followed |
//! | `error` | a refusal: its status and its line |
//!
//! # What C can count on
//!
//! No function panics, unwinds, allocates, locks or makes a system call. What a pointer alone shows to be wrong (NULL, an
//! address that is not aligned, a struct that no function made, input that overlaps output) is a status. What it does not
//! show is for the caller to keep: each function's *Safety* section says what.
#![no_std]

#[cfg(feature = "std")]
extern crate std;

mod agent;
mod dreams;
mod error;
mod library;
mod model;
mod object;
mod pointers;
mod types;

pub use agent::*;
pub use dreams::*;
pub use library::*;
pub use model::*;
pub use types::*;

/// Nothing in this library panics in use; a program without std must have a handler all the same.
#[cfg(not(feature = "std"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
