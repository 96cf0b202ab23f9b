//! How does data move between dreamstep and the systems that others use? Rollouts in ([`rollouts_in`]) and out ([`rollouts_out`]), and
//! trained weights in ([`weights`]); our own checkpoints open in PyTorch as they are.

pub mod npy;
pub mod rollouts_in;
pub mod rollouts_out;
pub mod weights;
