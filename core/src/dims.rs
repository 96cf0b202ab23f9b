//! How large is everything? One letter per axis, used in every shape comment of the project.
//!
//! | letter | axis | Humanoid-v5 |
//! |---|---|---|
//! | `O` | observation | 348 |
//! | `A` | action | 17 |
//! | `Z` | latent vector of the VAE | 32 |
//! | `H` | hidden units of the memory (LSTM or GRU) | 256 |
//! | `K` | Gaussians of the mixture | 5 |
//! | `E1`, `E2` | the encoder's two hidden layers | 256, 128 |

/// Lanes that every stored vector is padded to: 16 × binary32 = 64 bytes, one cache line and one AVX-512 register.
pub const LANES: usize = 16;

/// The largest value any single dimension may have. Caps the memory that a model file can ask for.
pub const MAX_DIM: usize = 1 << 16;

/// Most outputs of the MDN head: what an agent's memory is sized by, even where a file leaves the head out.
pub const MAX_MDN_OUTPUTS: u64 = 1 << 20;

/// What one mixture of Gaussians spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mixture {
    /// The whole latent vector: one component is drawn for all of it (TorchWM).
    Joint,
    /// One dimension of it: every dimension draws a component of its own (Ha & Schmidhuber 2018).
    PerDimension,
}

impl Mixture {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Joint, Self::PerDimension];

    /// Its name in metadata and configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Joint => "joint",
            Self::PerDimension => "per-dimension",
        }
    }
}

/// What remembers: the recurrent cell of M.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryCell {
    /// Long short-term memory: four gates, state h and c (Hochreiter & Schmidhuber 1997).
    Lstm,
    /// Gated recurrent unit: three gates, state h alone (Cho et al. 2014, in the form of PyTorch's `GRU`).
    Gru,
}

impl MemoryCell {
    /// Both, the paper's first.
    pub const ALL: [Self; 2] = [Self::Lstm, Self::Gru];

    /// Its name in metadata and configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lstm => "lstm",
            Self::Gru => "gru",
        }
    }

    /// Gates: rows of PyTorch's weight matrices for each hidden unit.
    #[must_use]
    pub const fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }
}

/// What the controller reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControllerInput {
    /// `[z, h]`: the latent vector and what M remembers (Ha & Schmidhuber 2018, equation 1).
    LatentHidden,
    /// `z` alone: V without M.
    Latent,
    /// `h` alone: what M remembers of the steps before, not the newest observation.
    Hidden,
    /// `x` alone: the whitened and clipped observation that the encoder sees. Neither V nor M.
    Observation,
    /// `[x, h]`: M without V's bottleneck on the newest observation.
    ObservationHidden,
}

impl ControllerInput {
    /// All of them, the paper's first.
    pub const ALL: [Self; 5] = [Self::LatentHidden, Self::Latent, Self::Hidden, Self::Observation, Self::ObservationHidden];

    /// Its name in metadata and configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LatentHidden => "z+h",
            Self::Latent => "z",
            Self::Hidden => "h",
            Self::Observation => "obs",
            Self::ObservationHidden => "obs+h",
        }
    }

    /// Whether an observation is part of it. A dream has none.
    #[must_use]
    pub const fn has_observation(self) -> bool {
        matches!(self, Self::Observation | Self::ObservationHidden)
    }

    /// Whether h is part of it, so that an agent that acts must advance.
    #[must_use]
    pub const fn has_hidden(self) -> bool {
        matches!(self, Self::LatentHidden | Self::Hidden | Self::ObservationHidden)
    }
}

/// The sizes of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dims {
    /// `O`: observation.
    pub obs: usize,
    /// `A`: action.
    pub action: usize,
    /// `Z`: latent.
    pub latent: usize,
    /// `H`: hidden units of the memory.
    pub hidden: usize,
    /// `K`: mixture components.
    pub mixtures: usize,
    /// What a mixture spans: decides how many logits the MDN head has.
    pub mixture: Mixture,
    /// `[E1, E2]`: the encoder's hidden layers.
    pub encoder: [usize; 2],
    /// What remembers.
    pub cell: MemoryCell,
    /// What the controller reads.
    pub input: ControllerInput,
}

impl Dims {
    /// Humanoid-v5 as Ha & Schmidhuber's sizes would have it: z = 32, hidden = 256, 5 Gaussians.
    pub const HUMANOID: Self = Self {
        obs: 348,
        action: 17,
        latent: 32,
        hidden: 256,
        mixtures: 5,
        mixture: Mixture::Joint,
        encoder: [256, 128],
        cell: MemoryCell::Lstm,
        input: ControllerInput::LatentHidden,
    };

    /// Mixture logits: `[K]` of a joint mixture, `[K,Z]` of one per dimension.
    #[must_use]
    pub const fn mixture_logits(&self) -> usize {
        match self.mixture {
            Mixture::Joint => self.mixtures,
            Mixture::PerDimension => self.mixtures * self.latent,
        }
    }

    /// Outputs of the MDN head: means `[K,Z]`, log-sigmas `[K,Z]`, mixture logits, reward, terminal logit.
    #[must_use]
    pub const fn mdn_outputs(&self) -> usize {
        2 * self.latent * self.mixtures + self.mixture_logits() + 2
    }

    /// Whether the MDN head has at most [`MAX_MDN_OUTPUTS`]. In 64 bits: the product of two dims may not fit a small machine's usize.
    #[must_use]
    pub const fn mdn_outputs_fit(&self) -> bool {
        let (z, k) = (self.latent as u64, self.mixtures as u64);
        let logits = match self.mixture {
            Mixture::Joint => k,
            Mixture::PerDimension => k * z,
        };
        2 * z * k + logits + 2 <= MAX_MDN_OUTPUTS
    }

    /// Values of c, the state that an LSTM has beside h `[H]`: `H`, and 0 with a GRU.
    #[must_use]
    pub const fn cell_state(&self) -> usize {
        match self.cell {
            MemoryCell::Lstm => self.hidden,
            MemoryCell::Gru => 0,
        }
    }

    /// Inputs of the memory: `[a, z, h]`.
    #[must_use]
    pub const fn rnn_inputs(&self) -> usize {
        self.action + self.latent + self.hidden
    }

    /// Inputs of the controller.
    #[must_use]
    pub const fn controller_inputs(&self) -> usize {
        match self.input {
            ControllerInput::LatentHidden => self.latent + self.hidden,
            ControllerInput::Latent => self.latent,
            ControllerInput::Hidden => self.hidden,
            ControllerInput::Observation => self.obs,
            ControllerInput::ObservationHidden => self.obs + self.hidden,
        }
    }

    /// Weights (biases left out) that one `act` + `advance` reads with the mean latent.
    #[must_use]
    pub const fn step_weights(&self) -> usize {
        let [e1, e2] = self.encoder;
        let controller = self.action * self.controller_inputs();
        if let ControllerInput::Observation = self.input {
            return controller; // neither V nor M runs
        }
        self.obs * e1 + e1 * e2 + e2 * self.latent + self.cell.gates() * self.hidden * self.rnn_inputs() + controller
    }
}

/// `n` rounded up to a whole number of [`LANES`].
#[must_use]
pub const fn padded(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
}
