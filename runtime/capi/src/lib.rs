//! The runtime as a C library: what `include/dreamstep.h` declares. `no_std`, no allocation, no global state, no
//! thread-local: all memory is the caller's.
//!
//! # Where things are
//!
//! | module | question it answers |
//! |---|---|
//! | `types` | what does C see of a model, an agent, a batch of dreams? |
//! | `error` | which number and which line does a failure give? |
//! | `pointers` | may this pointer be followed? |
//! | `model` | the functions of models and back ends |
//! | `agent` | the functions of agents and their states |
//! | `dreams` | the functions of dreams |
//!
//! # What C can count on
//!
//! No function panics, unwinds, allocates, locks or makes a system call. What a pointer alone shows to be wrong (NULL, an
//! address that is not aligned, a struct that no function made, input that overlaps output) is a status. What it does not
//! show is for the caller to keep: each function's *Safety* section says what. Functions that take a message buffer write
//! one line to it, the text of the Rust error.
#![no_std]

#[cfg(feature = "std")]
extern crate std;

mod agent;
mod dreams;
mod error;
mod model;
mod pointers;
mod types;

pub use agent::*;
pub use dreams::*;
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
