//! Which sound agents do the targets start from? Three sizes, so that one panel, several and padded ones are stepped; each
//! is built once.

use crate::common::agent_with_selftest;
use crate::pieces::Pieces;
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Dims, Mixture};
use std::sync::OnceLock;

const DIMS: [Dims; 3] = [
    Dims { obs: 3, action: 1, latent: 2, hidden: 2, mixtures: 1, mixture: Mixture::Joint, encoder: [2, 2] },
    Dims { obs: 5, action: 2, latent: 3, hidden: 7, mixtures: 2, mixture: Mixture::Joint, encoder: [9, 4] },
    Dims { obs: 17, action: 17, latent: 16, hidden: 18, mixtures: 4, mixture: Mixture::Joint, encoder: [65, 33] },
];

/// Packed agents with self-test vectors, taken apart.
pub(crate) fn sound() -> &'static [Pieces] {
    static SOUND: OnceLock<Vec<Pieces>> = OnceLock::new();
    SOUND.get_or_init(|| {
        DIMS.map(|dims| Pieces::of(&agent_with_selftest(&synthetic::settings(&dims), &synthetic::tensors(&dims, 1)))).into()
    })
}
