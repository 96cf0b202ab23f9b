//! The shared vocabulary of dreamstep: what the trainer writes and the runtime reads means the same thing to both.
//!
//! | module | question it answers |
//! |---|---|
//! | [`dims`] | which parts has an agent, and how large is everything, in the letters that every shape comment uses? |
//! | [`obs`], [`v`], [`m`], [`c`], [`action`] | which kinds of each part are there, and what are their layers? |
//! | [`obs::image`], [`obs::resample`] | what becomes of a camera's frame before V sees it? |
//! | [`v::conv`] | what is a chain of convolutions, and in which order does it add? |
//! | [`names`] | what is each tensor and metadata key called? |
//! | [`precision`] | what number is a weight, in each of the four precisions? |
//! | [`layout`] | where does weight `[n, k]` lie in the packed file? |
//! | [`maths`] | what exactly are exp, tanh, sigmoid and ln here? |
//! | [`rng`] | which random number is draw (seed, stream, step, index)? |
//! | [`digest`] | when are two states the same? |
//! | [`reader`] | which bytes are a valid safetensors file, and where do its tensors lie? |
//! | [`schema`] | which tensors and settings make an agent? |
//! | [`layers`] | what is a layer called, what are its outputs, and where in a checkpoint does it come from? |
//! | [`sizes`] | what are vectors padded to, and how large may a dimension be? |
//! | [`error`] | what was expected, and what was found? |
//! | `pack` (feature `host`) | how does a checkpoint become the file that the runtime reads? |
//!
//! # The arithmetic contract
//!
//! All arithmetic of the runtime is IEEE binary32, round to nearest even, *multiply then add, never fused* where that would show. Every
//! output is a chain of its own: it starts from the bias and adds `w[k]·x[k]` for `k` ascending (8-bit weights sum exact integers
//! instead, see [`precision`]). In an f16 or bf16 file a layer's inputs are first rounded to so few bits that every such product is
//! exact; fused or not, the sum is then the same bits, and a back end does what is fastest ([`precision`] has the rule and the proof).
//! The transcendental functions are one polynomial each, made of the same operations on every target. So no result depends on
//! instruction set, lane width, panel width, batch size or thread count, and the safe portable Rust in this crate *is* the
//! specification. (32-bit x86 without SSE2 is no target: x87 registers are wider than binary32.)
//!
//! A memory's cell is, elementwise and in this order of operations,
//!
//! ```text
//! LSTM  c' = σ(f)·c + σ(i)·tanh(g)        h' = σ(o)·tanh(c')
//!       i, f, g, o: one layer over [a, z, h], whose bias is the rounded sum of PyTorch's two
//! GRU   r = σ(u_r + v_r)     z = σ(u_z + v_z)     n = tanh(u_n + r·v_n)     h' = (1 − z)·n + z·h
//!       u: a layer over [a, z] with PyTorch's first bias; v: a layer over h with its second
//! ```
//!
//! (PyTorch computes a GRU's last equation as `n + z·(h − n)`, an operation less. Here a unit whose update gate is saturated keeps its h exactly,
//! for as long as it takes.)
//!
//! A picture is prepared in whole numbers ([`obs::image`]), and a convolution's output is one chain too: from the bias on, kernel rows, then kernel
//! columns, then channels ascending ([`v::conv`]).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(all(target_arch = "x86", not(target_feature = "sse2")))]
compile_error!(
    "dreamstep needs binary32 arithmetic. 32-bit x86 without SSE2 computes in x87 registers, whose wider results, rounded a second time \
     when they are stored, are other bits. Build for i686 with SSE2 (Pentium 4 or newer), or for x86-64."
);

#[cfg(any(test, feature = "host"))]
extern crate std;

pub mod action;
pub mod c;
pub mod digest;
pub mod dims;
pub mod error;
pub mod layers;
pub mod layout;
pub mod m;
pub mod maths;
mod metadata;
pub mod names;
pub mod obs;
pub mod precision;
pub mod reader;
pub mod rng;
pub mod schema;
pub mod sizes;
pub mod v;

#[cfg(feature = "host")]
pub mod pack;
