//! The sizes and kinds of an agent: what it observes, V, M and C, and what it does. One letter per axis, used in every shape comment.
//!
//! | letter | axis | Humanoid-v5 |
//! |---|---|---|
//! | `O` | observation | 348 |
//! | `U` | action as C scores it and M hears it: A of a continuous action, n of a discrete one | 17 |
//! | `A` | action as the environment takes it: U of a continuous action, 1 of a discrete one (the choice's number) | 17 |
//! | `Z` | latent vector of V | 32 |
//! | `H` | hidden units of M (LSTM or GRU) | 256 |
//! | `K` | Gaussians of the mixture | 5 |
//! | `E` | hidden layers of V | 256, 128 |
//!
//! Each part is one of a few kinds, and each kind is described in its own file: [`crate::obs`], [`crate::v`], [`crate::m`], [`crate::c`],
//! [`crate::action`]. [`Dims`] puts them together and derives every length from them.

use crate::action::Action;
use crate::c::{Controller, ControllerInput};
use crate::error::LoadError;
use crate::layers::LayerList;
use crate::m::{Memory, MemoryCell, Mixture, Recurrent};
use crate::obs::{Image, Observation};
use crate::reader::File;
use crate::v::{Convolutions, Encoder};

pub use crate::sizes::{LANES, MAX_DIM, Widths, padded};

/// The sizes and kinds of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Dims {
    /// What it observes.
    pub obs: Observation,
    /// V: from an observation to a latent vector.
    pub v: Encoder,
    /// M: what it remembers, and what it expects next.
    pub m: Memory,
    /// C: from a latent vector and what M remembers to an action.
    pub c: Controller,
    /// What it does.
    pub action: Action,
}

impl Dims {
    /// Humanoid-v5 as Ha & Schmidhuber's sizes would have it: z = 32, 256 hidden units, 5 Gaussians.
    pub const HUMANOID: Self = Self::vector(348, 17, &[256, 128], 32, 256, 5);

    /// An agent of these parts.
    #[must_use]
    pub const fn new(obs: Observation, v: Encoder, m: Memory, c: Controller, action: Action) -> Self {
        Self { obs, v, m, c, action }
    }

    /// The paper's agent on vectors: observations `[O]`, continuous actions `[A]`, an MLP for V, an LSTM with a joint mixture for M, and a
    /// linear C that reads `[z, h]`. The `with_…` methods change one part of it.
    ///
    /// # Panics
    /// If V has more than four hidden layers, or one of width 0.
    #[must_use]
    pub const fn vector(
        obs: usize,
        action: usize,
        hidden_v: &[usize],
        latent: usize,
        hidden: usize,
        mixtures: usize,
    ) -> Self {
        let Some(hidden_v) = Widths::new(hidden_v) else { panic!("V: expected at most 4 hidden layers, none of width 0") };
        Self {
            obs: Observation::Vector { len: obs },
            v: Encoder::Mlp { hidden: hidden_v, latent },
            m: Memory::Lstm(Recurrent { hidden, mixtures, mixture: Mixture::Joint }),
            c: Controller::linear(ControllerInput::LatentHidden),
            action: Action::Continuous { len: action },
        }
    }

    /// The paper's agent on pictures: a convolutional V, an LSTM with a joint mixture for M, and a linear C that reads `[z, h]`.
    #[must_use]
    pub const fn pictures(
        image: Image,
        action: usize,
        convolutions: Convolutions,
        latent: usize,
        hidden: usize,
        mixtures: usize,
    ) -> Self {
        Self {
            obs: Observation::Image(image),
            v: Encoder::Conv { convolutions, latent },
            m: Memory::Lstm(Recurrent { hidden, mixtures, mixture: Mixture::Joint }),
            c: Controller::linear(ControllerInput::LatentHidden),
            action: Action::Continuous { len: action },
        }
    }

    /// A controller that reads whitened observations `[O]` and nothing else: neither V nor M.
    #[must_use]
    pub const fn reactive(obs: usize, action: usize) -> Self {
        Self {
            obs: Observation::Vector { len: obs },
            v: Encoder::None,
            m: Memory::None,
            c: Controller::linear(ControllerInput::Observation),
            action: Action::Continuous { len: action },
        }
    }

    /// With another V.
    #[must_use]
    pub const fn with_encoder(self, v: Encoder) -> Self {
        Self { v, ..self }
    }

    /// With another M.
    #[must_use]
    pub const fn with_memory(self, m: Memory) -> Self {
        Self { m, ..self }
    }

    /// With another cell of the same size, where there is an M.
    #[must_use]
    pub const fn with_cell(self, cell: MemoryCell) -> Self {
        Self { m: self.m.with_cell(cell), ..self }
    }

    /// With so many hidden units in M, where there is one.
    #[must_use]
    pub const fn with_hidden(self, hidden: usize) -> Self {
        Self { m: self.m.with_hidden(hidden), ..self }
    }

    /// With another mixture, where there is an M.
    #[must_use]
    pub const fn with_mixture(self, mixture: Mixture) -> Self {
        Self { m: self.m.with_mixture(mixture), ..self }
    }

    /// With another C.
    #[must_use]
    pub const fn with_controller(self, c: Controller) -> Self {
        Self { c, ..self }
    }

    /// With a C that reads something else. One that reads observations alone needs neither V nor M: they are left out.
    #[must_use]
    pub const fn with_input(self, input: ControllerInput) -> Self {
        let c = self.c.with_input(input);
        match input {
            ControllerInput::Observation => Self { v: Encoder::None, m: Memory::None, c, ..self },
            _ => Self { c, ..self },
        }
    }

    /// With another action.
    #[must_use]
    pub const fn with_action(self, action: Action) -> Self {
        Self { action, ..self }
    }

    /// `O`.
    #[must_use]
    pub const fn obs_len(&self) -> usize {
        self.obs.len()
    }

    /// `A`: values of an action as the environment takes it.
    #[must_use]
    pub const fn action_len(&self) -> usize {
        self.action.len()
    }

    /// `U`: values of an action as C scores it and M hears it.
    #[must_use]
    pub const fn unit_len(&self) -> usize {
        self.action.unit_len()
    }

    /// `Z`; 0 without V.
    #[must_use]
    pub const fn latent_len(&self) -> usize {
        self.v.latent()
    }

    /// `H`; 0 without M.
    #[must_use]
    pub const fn hidden_len(&self) -> usize {
        self.m.hidden()
    }

    /// Values of c, the state that an LSTM has beside h `[H]`: `H`, and 0 of any other M.
    #[must_use]
    pub const fn cell_len(&self) -> usize {
        self.m.cell_len()
    }

    /// `K`; 0 without M.
    #[must_use]
    pub const fn mixtures(&self) -> usize {
        self.m.mixtures()
    }

    /// What one mixture spans; none without M.
    #[must_use]
    pub const fn mixture(&self) -> Option<Mixture> {
        match self.m.recurrent() {
            Some(recurrent) => Some(recurrent.mixture),
            None => None,
        }
    }

    /// The recurrent cell of M; none without M.
    #[must_use]
    pub const fn cell(&self) -> Option<MemoryCell> {
        self.m.cell()
    }

    /// What C reads.
    #[must_use]
    pub const fn input(&self) -> ControllerInput {
        self.c.input
    }

    /// Outputs of the MDN head; 0 without M.
    #[must_use]
    pub const fn mdn_outputs(&self) -> usize {
        self.m.mdn_outputs(self.latent_len())
    }

    /// Inputs of M: `[u, z, h]`.
    #[must_use]
    pub const fn memory_inputs(&self) -> usize {
        self.unit_len() + self.latent_len() + self.hidden_len()
    }

    /// Inputs of C.
    #[must_use]
    pub const fn controller_inputs(&self) -> usize {
        let (o, z, h) = (self.obs_len(), self.latent_len(), self.hidden_len());
        match self.c.input {
            ControllerInput::LatentHidden => z + h,
            ControllerInput::Latent => z,
            ControllerInput::Hidden => h,
            ControllerInput::Observation => o,
            ControllerInput::ObservationHidden => o + h,
        }
    }

    /// Every layer, in the order in which a tick reads them, which is the file's.
    #[must_use]
    pub const fn layers(&self) -> LayerList {
        let v = self.v.layers(&self.obs);
        v.and_all(self.controller_layers()).and_all(self.m.layers(self.unit_len(), self.latent_len()))
    }

    /// C's layers, in order.
    #[must_use]
    pub const fn controller_layers(&self) -> LayerList {
        self.c.layers(self.controller_inputs(), self.unit_len())
    }

    /// Weights (biases left out) that one `act` + `advance` reads with the mean latent; a convolution's count once.
    #[must_use]
    pub const fn step_weights(&self) -> usize {
        let (layers, mut sum, mut i) = (self.layers(), 0, 0);
        while i < layers.len() {
            let layer = layers.at(i);
            if !layer.optional {
                sum += layer.rows.count() * layer.inputs;
            }
            i += 1;
        }
        sum
    }

    /// Reads them from a packed file's metadata.
    ///
    /// # Errors
    /// A key is missing, its value is not one that this version knows, or the parts do not fit each other.
    pub fn read(file: &File<'_>) -> Result<Self, LoadError> {
        let dims = Self {
            obs: Observation::read(file)?,
            v: Encoder::read(file)?,
            m: Memory::read(file)?,
            c: Controller::read(file)?,
            action: Action::read(file)?,
        };
        dims.check()?;
        Ok(dims)
    }

    /// That the parts fit each other.
    ///
    /// # Errors
    /// What does not fit, see [`LoadError::BadParts`] and [`LoadError::TooManyOutputs`].
    pub fn check(&self) -> Result<(), LoadError> {
        let bad = |what, expected| Err(LoadError::BadParts { what, expected });
        let (input, has_v, has_m) = (self.c.input, self.latent_len() > 0, self.hidden_len() > 0);
        if has_m && !has_v {
            return bad(
                "m.kind",
                "none where v.kind is none: M remembers latent vectors (`identity` makes one of the observation)",
            );
        }
        if input.has_latent() && !has_v {
            return bad("controller.input", "obs where v.kind is none");
        }
        if input.has_hidden() && !has_m {
            return bad("controller.input", "z or obs where m.kind is none");
        }
        if !input.has_latent() && !has_m && has_v {
            return bad("v.kind", "none where neither M nor C reads a latent vector");
        }
        if let (Encoder::Identity { latent }, Observation::Vector { len }) = (self.v, self.obs)
            && latent > len
        {
            return bad("dims.latent", "at most dims.obs where v.kind is identity");
        }
        if matches!(self.v, Encoder::Mlp { hidden, .. } if hidden.is_empty()) {
            return bad("v.hidden", "one to four widths");
        }
        if let (Encoder::Identity { .. } | Encoder::Mlp { .. }, Observation::Image(_)) = (self.v, self.obs) {
            return bad("observation.kind", "vector where v.kind is identity or mlp");
        }
        if let (Encoder::Conv { .. }, Observation::Vector { .. }) = (self.v, self.obs) {
            return bad("observation.kind", "image where v.kind is conv");
        }
        if let Observation::Image(image) = &self.obs {
            image.check()?;
            if input.has_observation() {
                return bad("controller.input", "z, h or z+h of a picture");
            }
            if let Encoder::Conv { convolutions, .. } = self.v {
                convolutions.check(image.prepared())?;
            }
        }
        match self.m.outputs_fit(self.latent_len()) {
            true => Ok(()),
            false => Err(LoadError::TooManyOutputs { limit: crate::m::MAX_MDN_OUTPUTS }),
        }
    }

    /// The metadata entries that [`Self::read`] reads back.
    #[cfg(feature = "host")]
    #[must_use]
    pub fn entries(&self) -> std::vec::Vec<(&'static str, std::string::String)> {
        let mut entries = std::vec::Vec::new();
        self.obs.write(&mut entries);
        self.v.write(&mut entries);
        self.m.write(&mut entries);
        self.c.write(&mut entries);
        self.action.write(&mut entries);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v::Convolution;

    #[test]
    fn parts_that_do_not_fit_are_named() {
        let good = Dims::vector(5, 2, &[9, 4], 3, 7, 2);
        let of = |dims: Dims| match dims.check() {
            Ok(()) => "",
            Err(LoadError::BadParts { what, .. }) => what,
            Err(_) => "another",
        };
        assert_eq!(of(good), "");
        assert_eq!(of(good.with_input(ControllerInput::Observation)), "");
        assert_eq!(of(good.with_encoder(Encoder::Identity { latent: 5 })), "");
        assert_eq!(of(good.with_encoder(Encoder::Identity { latent: 6 })), "dims.latent");
        assert_eq!(of(good.with_encoder(Encoder::None)), "m.kind");
        assert_eq!(of(good.with_memory(Memory::None)), "controller.input");
        assert_eq!(of(good.with_memory(Memory::None).with_input(ControllerInput::Latent)), "");
        assert_eq!(of(Dims::reactive(5, 2).with_input(ControllerInput::Latent)), "controller.input");
        let unread =
            Dims::new(good.obs, good.v, Memory::None, Controller::linear(ControllerInput::Observation), good.action);
        assert_eq!(of(unread), "v.kind");
        let image = Dims { obs: Observation::Image(crate::obs::Image::plain([2, 2, 3])), ..good };
        assert_eq!(of(image), "observation.kind");
        let pictures = |frame, chain: &[Convolution]| {
            Dims::pictures(Image::plain(frame), 2, Convolutions::new(chain).unwrap(), 3, 7, 2)
        };
        let wide = |kernel| Convolution::new(4096, kernel, 1);
        assert_eq!(of(pictures([64, 64, 3], &[Convolution::new(32, 4, 2)])), "");
        assert_eq!(
            of(pictures([64, 64, 3], &[Convolution::new(32, 4, 2)]).with_input(ControllerInput::Observation)),
            "controller.input"
        );
        assert_eq!(of(pictures([4, 4, 4], &[wide(1); 6])), "", "as wide as a chain may be");
        assert_eq!(of(pictures([3, 4, 4], &[wide(4)])), "v.convolutions", "a kernel larger than the picture");
        assert_eq!(of(pictures([16, 16, 4], &[wide(1), wide(16)])), "v.convolutions", "inputs of an output");
        // Its values are 2³², which is 0 on 32 bits where it wraps.
        assert_eq!(of(pictures([1024, 1024, 1], &[wide(1)])), "v.convolutions", "inputs of the heads");
        let vector = Dims { obs: good.obs, ..pictures([4, 4, 3], &[wide(1)]) };
        assert_eq!(of(vector), "observation.kind");
    }

    #[test]
    fn a_step_reads_the_weights_of_its_layers() {
        let (z, h) = (32, 256);
        let expected = 348 * 256 + 256 * 128 + 128 * z + 4 * h * (17 + z + h) + 17 * (z + h);
        assert_eq!(Dims::HUMANOID.step_weights(), expected);
        assert_eq!(Dims::reactive(11, 3).step_weights(), 33);
        let identity = Dims::HUMANOID.with_encoder(Encoder::Identity { latent: z });
        assert_eq!(expected - identity.step_weights(), 348 * 256 + 256 * 128 + 128 * z);
    }
}
