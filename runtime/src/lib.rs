//! Runs a dreamstep agent inside a control loop: `no_std`, no allocation, no panic path in a step, and the same bits on every
//! machine.
//!
//! ```
//! use dreamstep_fixtures::HUMANOID;
//! use dreamstep_runtime::{Agent, Dims, Model, memory_len};
//!
//! let model = Model::load(HUMANOID).unwrap(); // checks every byte, copies none
//! let mut memory = [0.0; memory_len(&Dims::HUMANOID)];
//! model.self_test(&mut memory).unwrap(); // this machine computes what the packer's did
//!
//! let mut agent = Agent::new(model, &mut memory).unwrap();
//! let (observation, mut action) = ([0.0; 348], [0.0; 17]);
//! agent.act(&observation, &mut action).unwrap(); // what the actuators wait for
//! agent.advance().unwrap(); // after the command is out
//! ```
//!
//! # One tick
//!
//! ```text
//! obs [O] ─whiten→ x [O] ─V→ z [Z] ─C(z,h)→ action [A]              ← act()
//!                                   └────── M([u,z], h, c) → h', c' [H] ← advance()
//! ```
//!
//! V may be an MLP, the identity or absent, M an LSTM, a GRU or absent, the action continuous or discrete: [`Dims`] says which.
//!
//! # Where things are
//!
//! Each stands on those below it.
//!
//! | module | is |
//! |---|---|
//! | `dreams`, `dream_error` | a batch of dreams; why it is refused |
//! | `self_test`, `state` | the file's proof on this machine; an agent's state as bytes |
//! | `agent`, `agent_error`, `health` | one tick of the control loop; why it is refused; what a running agent tells of itself |
//! | `model` | a packed agent in memory |
//! | `observation`, `v`, `m`, `c`, `action` | the parts, a file a kind |
//! | `buffers` | working memory, derived from the layers |
//! | `kernels` | the back ends: the layers compiled for each instruction set |
//! | `matvec`, `convolution`, `pointwise`, `mdn` | what is computed, written once over a register of lanes |
//! | `layer` | a dense layer in a packed file |
//! | `float_environment` | the floating-point mode of the calling thread, as far as results depend on it |
//!
//! # Determinism
//!
//! The arithmetic contract of [`dreamstep_core`] fixes every operation and its order; the portable back end states it in safe Rust,
//! and the others are tested to give the same bits. It assumes the processor's default floating-point mode: round to nearest
//! even, subnormals kept. Where a host program, or a library that it loads, changed that, [`Model::self_test`] in that thread tells, as does
//! [`FloatEnvironment::observe`] without a model.
#![no_std]
#![deny(unsafe_code)]

#[cfg(target_endian = "big")]
compile_error!("dreamstep-runtime reads weights in place, and files are little-endian");

mod action;
mod agent;
mod agent_error;
mod buffers;
mod c;
mod convolution;
mod dream_error;
mod dreams;
mod float_environment;
mod health;
#[allow(unsafe_code)] // the instruction sets' files, and nothing else
mod kernels;
mod layer;
mod m;
mod matvec;
mod mdn;
mod model;
mod observation;
#[cfg(feature = "parts")]
mod parts;
mod pointwise;
mod self_test;
mod state;
mod v;

pub use agent::{Agent, memory_len};
pub use agent_error::{MemoryError, ReplaceModelError, StepError};
pub use dream_error::DreamError;
pub use dreams::{DreamBatch, DreamOptions, DreamStart, Termination, dreams_memory_len};
pub use dreamstep_core::action::Action;
pub use dreamstep_core::c::{Activation, Controller, ControllerInput, ControllerKind};
pub use dreamstep_core::dims::{Dims, Widths};
pub use dreamstep_core::error::{LoadError, ReadError, Text};
pub use dreamstep_core::m::{Memory, MemoryCell, Mixture, Recurrent};
pub use dreamstep_core::obs::Observation;
pub use dreamstep_core::precision::Precision;
pub use dreamstep_core::rng::{Philox, Stream, dream_step};
pub use dreamstep_core::schema::{Acting, Normalizer, Settings, Squash, Target};
pub use dreamstep_core::v::Encoder;
pub use float_environment::{FloatEnvironment, Rounding};
pub use health::Health;
pub use kernels::Backend;
pub use mdn::Prediction;
pub use model::Model;
#[cfg(feature = "parts")]
pub use parts::Part;
pub use self_test::SelfTestError;
pub use state::{StateError, StateMatch, state_len};
pub use v::decoder::{DecodeError, Decoder};
