//! What the programs that test every kind have in common: agents of each kind of V, M and action.

use dreamstep_core::schema::{Acting, Settings, Squash, Target};
use dreamstep_fixtures::synthetic::{self, ODD};
use dreamstep_runtime::{Action, ControllerInput, Dims, Encoder, Memory, MemoryCell, Mixture, Widths};

/// Every other kind of V, M and action: other numbers of hidden layers, the identity, none; no memory; choices. With small sizes and with
/// large ones, in every mode that goes with them.
pub(crate) fn kinds() -> impl Iterator<Item = Settings> {
    const SIZES: [Dims; 2] = [ODD, Dims::vector(65, 33, &[100, 50], 47, 35, 3)];
    const WIDTHS: [[&[usize]; 3]; 2] = [[&[9], &[9, 4, 6], &[9, 4, 6, 17]], [&[66], &[100, 50, 33], &[33, 17, 66, 50]]];
    let dims = SIZES.into_iter().zip(WIDTHS).flat_map(|(dims, widths)| {
        let (z, gru) = (dims.latent_len(), dims.with_cell(MemoryCell::Gru));
        let mlp = |hidden: &[usize]| Encoder::Mlp { hidden: Widths::new(hidden).unwrap(), latent: z };
        let [one, three, four] = widths.map(mlp);
        let choices = Action::Discrete { choices: 7 + 2 * z };
        let (identity, all) = (Encoder::Identity { latent: z }, Encoder::Identity { latent: dims.obs_len() });
        let (latent, both) = (ControllerInput::Latent, ControllerInput::ObservationHidden);
        [
            dims.with_encoder(one),
            gru.with_encoder(three).with_action(choices),
            dims.with_encoder(four).with_mixture(Mixture::PerDimension),
            dims.with_encoder(identity).with_action(choices).with_input(ControllerInput::Hidden),
            gru.with_encoder(all).with_mixture(Mixture::PerDimension),
            dims.with_action(choices).with_input(both),
            dims.with_memory(Memory::None).with_input(latent),
            dims.with_memory(Memory::None).with_input(latent).with_encoder(all).with_action(choices),
            Dims::reactive(dims.obs_len(), 3),
            Dims::reactive(dims.obs_len(), 3).with_action(choices),
        ]
    });
    dims.enumerate().map(|(i, dims)| {
        synthetic::with(synthetic::settings(&dims), |s| {
            s.target = Target::ALL[i / 2 % 2];
            s.squash = [Squash::Tanh, Squash::Clamp][i % 2];
            if let Encoder::Mlp { .. } = dims.v {
                s.acting = [Acting::Mean, Acting::Sampled][i % 2];
            }
        })
    })
}
