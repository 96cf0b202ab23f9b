//! Black-box optimisers: ask for candidates, tell their scores. No I/O, no threads, no torch; every random number is named by
//! (seed, generation, direction), so a generation is a function of the state before it and its scores.

pub mod pgpe;
