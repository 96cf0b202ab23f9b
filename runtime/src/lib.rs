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
//! let mut agent = Agent::new(&model, &mut memory).unwrap();
//! let (observation, mut action) = ([0.0; 348], [0.0; 17]);
//! agent.act(&observation, &mut action).unwrap(); // what the actuators wait for
//! agent.advance().unwrap(); // after the command is out
//! ```
//!
//! # One tick
//!
//! ```text
//! obs [O] ─normalise→ x [O] ─encoder→ z [Z] ─controller(z,h)→ action [A]      ← act()
//!                                       └────── lstm([a,z], h, c) → h', c' [H] ← advance()
//! ```
//!
//! A file may have a GRU for a memory ([`MemoryCell::Gru`]): `gru([a,z], h) → h'`. Everything here holds for both; where c stands, a GRU has none.
//!
//! # Where things are
//!
//! | module | question it answers |
//! |---|---|
//! | `agent` | what happens in one tick? |
//! | `state` | what does an agent remember, as bytes? |
//! | `dreams` | what happens in one tick of a dream, or of many? |
//! | `layers`, `matvec` | what does each layer compute? |
//! | `mdn` | what does M expect to come next? |
//! | `model` | is this file an agent, and where are its weights? |
//! | `kernels` | which instructions compute the layers? |
//! | `float_environment` | does this thread round, and keep subnormals, as the contract assumes? |
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

mod agent;
mod dreams;
mod float_environment;
#[allow(unsafe_code)] // the instruction sets' files, and nothing else
mod kernels;
mod layers;
mod matvec;
mod mdn;
mod model;
mod state;

#[cfg(feature = "parts")]
pub use agent::Part;
pub use agent::{Agent, MemoryError, ReplaceModelError, StepError, memory_len};
pub use dreams::{DreamBatch, DreamError, DreamOptions, DreamStart, Termination, dreams_memory_len};
pub use dreamstep_core::dims::{ControllerInput, Dims, MemoryCell, Mixture};
pub use dreamstep_core::error::{LoadError, ReadError};
pub use dreamstep_core::precision::Precision;
pub use float_environment::{FloatEnvironment, Rounding};
pub use kernels::Backend;
pub use mdn::Prediction;
pub use model::{Model, SelfTestError};
pub use state::{StateError, StateMatch, state_len};
