//! C: the evolution of the controller. [`strategies`] search, on a scale ([`Whitening`]); a [`Scorer`] says how candidates do, on real
//! episodes ([`real`]) or in dreams ([`dream`]); [`train()`] is the loop.
//!
//! ```text
//! Search ─draws→ Candidates ─fold→ weights ─Scorer→ scores ─▶ Search        every generation
//!        ─mean→  validation ─▶ the best so far, evolution.safetensors      now and then, and at the end
//! ```

mod candidate;
#[cfg(feature = "torch")]
mod cloning;
mod distillation;
pub mod dream;
mod generation;
mod lessons;
pub mod real;
mod scored;
mod search;
pub mod strategies;
mod train;
mod whitening;

pub use candidate::{Candidates, Controller};
pub use generation::Scorer;
pub use scored::{Scored, Spent};
pub use search::{Search, State, Validation};
pub use train::{Summary, budget, check, is_finished, train};
pub use whitening::Whitening;

#[cfg(all(test, feature = "torch"))]
mod tests;
