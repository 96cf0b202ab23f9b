//! The shared vocabulary of dreamstep: what the trainer writes and the runtime reads means the same thing to both.
//!
//! | module | question it answers |
//! |---|---|
//! | [`dims`] | how large is everything, in the letters that every shape comment uses? |
//! | [`names`] | what is each tensor and metadata key called? |
//! | [`precision`] | what number is a weight, in each of the four precisions? |
//! | [`layout`] | where does weight `[n, k]` lie in the packed file? |
//! | [`maths`] | what exactly are exp, tanh, sigmoid and ln here? |
//! | [`rng`] | which random number is draw (seed, stream, step, index)? |
//! | [`digest`] | when are two states the same? |
//! | [`reader`] | which bytes are a valid safetensors file, and where do its tensors lie? |
//! | [`schema`] | which tensors and settings make an agent? |
//! | [`error`] | what was expected, and what was found? |
//! | `pack` (feature `host`) | how does a checkpoint become the file that the runtime reads? |
//!
//! # The arithmetic contract
//!
//! All arithmetic of the runtime is IEEE binary32, round to nearest even, *multiply then add, never fused*. Every output is a
//! chain of its own: it starts from the bias and adds `w[k]·x[k]` for `k` ascending (8-bit weights sum exact integers instead, see
//! [`precision`]). The transcendental functions are one
//! polynomial each, made of the same operations on every target. So no result depends on instruction set, lane width, panel
//! width, batch size or thread count, and the safe portable Rust in this crate *is* the specification.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "host"))]
extern crate std;

pub mod digest;
pub mod dims;
pub mod error;
pub mod layout;
pub mod maths;
pub mod names;
pub mod precision;
pub mod reader;
pub mod rng;
pub mod schema;

#[cfg(feature = "host")]
pub mod pack;
