//! C: what it is evolved by ([`strategies`]), on which scale ([`Whitening`]), and where: on real episodes ([`real`]) or in dreams
//! ([`dream`]).

mod distillation;
pub mod dream;
mod generation;
pub mod real;
mod search;
pub mod strategies;
mod whitening;

pub use generation::{Spent, Terms, generation};
pub use search::{noise, settings};
pub use whitening::Whitening;
