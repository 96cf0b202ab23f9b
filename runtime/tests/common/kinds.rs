//! What the programs that test every kind have in common: agents of each kind of V, M and action.

use dreamstep_core::obs::{Colour, Filter, Image};
use dreamstep_core::schema::{Acting, Settings, Squash, Target};
use dreamstep_core::v::{Convolution, Convolutions};
use dreamstep_fixtures::synthetic::{self, ODD};
use dreamstep_runtime::{Action, ControllerInput, Dims, Encoder, Memory, MemoryCell, Mixture, Widths};

/// Every other kind of V, M and action: other numbers of hidden layers, the identity, none, convolutions; no memory; choices. With small sizes
/// and with large ones, in every mode that goes with them.
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
    dims.chain(pictures()).enumerate().map(|(i, dims)| {
        synthetic::with(synthetic::settings(&dims), |s| {
            s.target = Target::ALL[i / 2 % 2];
            s.squash = [Squash::Tanh, Squash::Clamp][i % 2];
            if let Encoder::Mlp { .. } | Encoder::Conv { .. } = dims.v {
                s.acting = [Acting::Mean, Acting::Sampled][i % 2];
            }
        })
    })
}

/// Agents that see pictures, prepared in every way: one convolution, two, three; with either memory and without.
fn pictures() -> [Dims; 4] {
    let convolution = |channels, kernel, stride, padding| Convolution { channels, kernel, stride, padding };
    let chain = |all: &[Convolution]| Convolutions::new(all).unwrap();
    let choices = Action::Discrete { choices: 5 };
    let one = chain(&[convolution(17, 3, 2, 1)]);
    let two = chain(&[convolution(5, 3, 1, 1), convolution(18, 2, 2, 0)]);
    let three = chain(&[convolution(9, 4, 2, 1), convolution(33, 2, 1, 1), convolution(4, 3, 2, 0)]);
    let plain = Image::plain([6, 7, 1]);
    let resized = Image::plain([9, 7, 3]).cropped([1, 0, 8, 7]).resized([8, 6], Filter::Bilinear).coloured(Colour::Reversed);
    let grey = Image::plain([17, 12, 3]).coloured(Colour::Grey).resized([11, 9], Filter::Area).inverted();
    [
        Dims::pictures(resized, 2, two, 3, 7, 2),
        Dims::pictures(plain, 2, one, 3, 7, 2).with_cell(MemoryCell::Gru).with_action(choices),
        Dims::pictures(grey, 3, three, 19, 18, 3).with_mixture(Mixture::PerDimension).with_input(ControllerInput::Hidden),
        Dims::pictures(grey, 1, three, 5, 2, 1).with_memory(Memory::None).with_input(ControllerInput::Latent),
    ]
}
