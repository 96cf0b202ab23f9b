//! What the programs that test dreams have in common: how a dream begins.

use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::{ControllerInput, Dims, DreamBatch, DreamOptions, DreamStart, MemoryCell, Mixture, Termination};

pub(crate) const SMALL: Dims = dreamstep_fixtures::synthetic::ODD;

pub(crate) const SEED: u64 = 0x0bad_5eed_0000_0007;

pub(crate) fn options(termination: Termination) -> DreamOptions {
    DreamOptions { seed: SEED, temperature: 1.15, termination }
}

fn normal(number: u32, n: usize) -> Vec<f32> {
    let mut values = vec![0.0; n];
    Philox::new(9).fill_normal(Stream::SyntheticObservation, number.into(), &mut values);
    values
}

/// Begins dream `number` at a place of its own, every other one in the middle of an episode.
pub(crate) fn start(dreams: &mut DreamBatch<'_, '_>, dims: &Dims, index: usize, number: u32) {
    let (h, c) = (normal(1000 + number, dims.hidden_len()), normal(2000 + number, dims.cell_len()));
    let state = Some((h.as_slice(), c.as_slice())).filter(|_| number % 2 == 1);
    dreams.start(index, number, DreamStart { latent: &normal(number, dims.latent_len()), state }).unwrap();
}
