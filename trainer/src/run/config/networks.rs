//! `[vae]` and `[mdnrnn]`: V and M, and their training.

use dreamstep_core::m::{MemoryCell, Mixture};
use dreamstep_core::schema::Target;
use serde::{Deserialize, Serialize};

/// `train --stage vae`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VaeConfig {
    /// `Z`: size of the latent vector.
    pub latent: usize,
    /// `E`, of vectors: widths of the encoder's hidden layers, one to four; the decoder mirrors them.
    pub hidden: Vec<usize>,
    /// Of pictures: the convolutions.
    pub convolution: ConvolutionConfig,
    /// What V is before its first epoch: `random`, or the `identity` on (the first of) the whitened observations.
    pub start: VaeStart,
    /// Passes over the data.
    pub epochs: usize,
    /// Observations in a batch.
    pub batch_size: usize,
    /// `adam` (Kingma & Ba 2015) or `rmsprop` with α = 0.9, both as PyTorch computes them.
    pub optimizer: OptimizerRule,
    /// The optimiser's greatest step size; it changes as `schedule` says.
    pub learning_rate: f64,
    /// Free bits: KL is charged only above `kl_tolerance · Z` nats per observation.
    pub kl_tolerance: f64,
    /// Weight of the KL term against the summed squared error of whitened observations.
    pub kl_weight: f64,
    /// Log-variance is clamped into this range.
    pub log_var_range: [f64; 2],
    /// Whitened observations are clipped to ± this.
    pub obs_clip: f64,
    /// A dimension whose standard deviation is below this is dead: it is whitened to 0.
    pub min_std: f64,
    /// Fraction of episodes held out, from V and M alike (at least one episode).
    pub validation: f64,
    /// Observations held in memory and shuffled together (and as many that are read meanwhile). Data that fits is read once. Of pictures, no
    /// more than 768 MiB of them.
    pub pool: usize,
    /// Mixed precision: the layers compute in bfloat16. For GPUs.
    pub amp: bool,
    /// What an error in each block of the observation weighs, in their order (Humanoid's: qpos, qvel, cinert, cvel, qfrc_actuator,
    /// cfrc_ext); none: 1 each. A latent that has not room for all keeps what weighs most: for a controller, positions and velocities
    /// rather than what follows from them.
    pub block_weights: Vec<f64>,
    /// Of pictures: each is mirrored, left to right, in half of the epochs, by lot. M's actions are not: where one means a side, V then sees
    /// a world that M is not told of.
    pub flip: bool,
    /// Of pictures: a pixel's squared error weighs 1 and this times the pixel's squared distance, over its channels, from that of the mean
    /// frame. What is small, rare and unlike what is usual there, as a ball that flies by, is otherwise too little of the loss to be seen.
    pub contrast_weight: f64,
    /// Of pictures: epochs from one grid of held-out frames, their reconstructions and samples of the prior to the next; 0: a tenth of all.
    pub samples: usize,
    /// How the learning rate falls, and when to stop.
    pub schedule: ScheduleConfig,
}

/// `[vae.convolution]`: V of pictures, as its checkpoint describes it ([`crate::agent::convolution`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConvolutionConfig {
    /// `channels:kernel:stride:padding` of each convolution, separated by commas; ReLU after each.
    pub encoder: String,
    /// The map that the decoder begins with, height x width x channels, then its transposed convolutions; the last one's channels, where they
    /// are 0, are the picture's. Empty: the encoder backwards, with kernels that make the sizes come out.
    pub decoder: String,
}

impl Default for ConvolutionConfig {
    /// Ha & Schmidhuber's network for 64 x 64.
    fn default() -> Self {
        Self {
            encoder: "32:4:2:0,64:4:2:0,128:4:2:0,256:4:2:0".into(),
            decoder: "1x1x1024,128:5:2:0,64:5:2:0,32:6:2:0,0:6:2:0".into(),
        }
    }
}

/// What V is before its first epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VaeStart {
    /// Weights drawn as PyTorch draws them; of pictures, then scaled by some of them (`Convolutions::scale`).
    Random,
    /// z is the whitened observation, or as many of its first dimensions as there are latents: there is no encoder, only the decoder learns. For
    /// observations that have nothing to leave out, or begin with all that matters, as MuJoCo's do with positions and velocities: a
    /// controller then finds each of them in a latent of its own, the same in every round.
    Identity,
}

/// `train --stage mdnrnn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MdnrnnConfig {
    /// `H`: hidden units.
    pub hidden: usize,
    /// What remembers: `lstm`, or `gru`, which has three quarters of its weights and h alone as state.
    #[serde(with = "CellName")]
    pub cell: MemoryCell,
    /// What one mixture of Gaussians spans: the whole latent vector (`joint`, as in TorchWM) or one dimension (`per-dimension`, as in Ha &
    /// Schmidhuber's code).
    #[serde(with = "MixtureName")]
    pub mixture: Mixture,
    /// What the mixture is of: the next latent (`z`) or its change (`delta`).
    #[serde(with = "TargetName")]
    pub target: Target,
    /// `K`: Gaussians of the mixture.
    pub mixtures: usize,
    /// Passes over the data.
    pub epochs: usize,
    /// Windows in a batch.
    pub batch_size: usize,
    /// Steps in a window. A window never crosses an episode's end.
    pub sequence_length: usize,
    /// In the last so many steps of a whole window M is fed its own expectation of the latent in training (closed loop, as in a dream), not
    /// the recorded one. Fewer than `sequence_length`; 0 always feeds it the recorded one (teacher forcing).
    pub own_steps: usize,
    /// `adam` or `rmsprop`, as for V.
    pub optimizer: OptimizerRule,
    /// The optimiser's greatest step size; it changes as `schedule` says.
    pub learning_rate: f64,
    /// Gradients are clipped to this Euclidean norm.
    pub grad_clip: f64,
    /// Weight of the reward's squared error, over its variance; 0 leaves the reward unlearned. It is predicted without its constant.
    pub reward_weight: f64,
    /// Weight of the terminal head's cross entropy.
    pub terminal_weight: f64,
    /// Weight, in that cross entropy, of a step that ends the episode against one that does not. What training makes of a weight other
    /// than 1 is taken back from the trained logit, so that it says probabilities in any case.
    pub terminal_positive_weight: f64,
    /// Floor of log σ: an unbounded likelihood diverges.
    pub log_sigma_min: f64,
    /// Train on latents sampled from V's posterior, anew each epoch, as Ha & Schmidhuber did (`true`), or on its mean.
    pub sample_latents: bool,
    /// Whether V encodes the data once, into `latents.npy`, or anew whenever it is read.
    pub latents: LatentSource,
    /// Steps held in memory and shuffled together, as for V.
    pub pool: usize,
    /// Mixed precision: LSTM and head compute in bfloat16. For GPUs.
    pub amp: bool,
    /// How the learning rate falls, and when to stop.
    pub schedule: ScheduleConfig,
}

/// Which rule moves the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerRule {
    /// β = (0.9, 0.999).
    Adam,
    /// α = 0.9.
    RmsProp,
}

impl OptimizerRule {
    /// As the configuration spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adam => "adam",
            Self::RmsProp => "rmsprop",
        }
    }
}

/// `[vae.schedule]`, `[mdnrnn.schedule]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// `cosine`, `plateau` or `constant`.
    pub rule: ScheduleRule,
    /// `plateau`: epochs without a better validation loss that are waited out.
    pub patience: usize,
    /// `plateau`: what the learning rate is multiplied with then.
    pub factor: f64,
    /// Training ends after this many epochs without a better validation loss; 0 never ends it early.
    pub stop_after: usize,
}

impl Default for ScheduleConfig {
    /// Patience and factor of TorchWM's and ctallec's trainers.
    fn default() -> Self {
        Self { rule: ScheduleRule::Cosine, patience: 5, factor: 0.5, stop_after: 0 }
    }
}

/// How the learning rate changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleRule {
    /// Falls to 0.
    Cosine,
    /// Falls where the validation loss does not.
    Plateau,
    /// Stays.
    Constant,
}

/// When V encodes the data that M is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LatentSource {
    /// Once: 8·Z bytes an observation on the disk.
    Precomputed,
    /// Whenever it is read: nothing on the disk.
    OnTheFly,
}

/// How TOML spells a [`Mixture`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Mixture", rename_all = "kebab-case")]
enum MixtureName {
    Joint,
    PerDimension,
}

/// How TOML spells a [`Target`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Target")]
enum TargetName {
    #[serde(rename = "z")]
    Next,
    #[serde(rename = "delta")]
    Delta,
}

/// How TOML spells a [`MemoryCell`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "MemoryCell", rename_all = "lowercase")]
enum CellName {
    Lstm,
    Gru,
}

impl Default for VaeConfig {
    fn default() -> Self {
        Self {
            latent: 32,
            hidden: vec![256, 128],
            convolution: ConvolutionConfig::default(),
            start: VaeStart::Random,
            epochs: 15,
            batch_size: 128,
            optimizer: OptimizerRule::Adam,
            learning_rate: 1e-3,
            kl_tolerance: 0.5,
            kl_weight: 0.1,
            log_var_range: [-10.0, 10.0],
            obs_clip: 10.0,
            min_std: 1e-6,
            validation: 0.1,
            pool: 131_072,
            amp: false,
            block_weights: Vec::new(),
            flip: false,
            contrast_weight: 0.0,
            samples: 0,
            schedule: ScheduleConfig::default(),
        }
    }
}

impl Default for MdnrnnConfig {
    fn default() -> Self {
        Self {
            hidden: 256,
            cell: MemoryCell::Lstm,
            mixture: Mixture::Joint,
            target: Target::Next,
            mixtures: 5,
            epochs: 15,
            batch_size: 16,
            sequence_length: 32,
            own_steps: 0,
            optimizer: OptimizerRule::Adam,
            learning_rate: 3e-3,
            grad_clip: 1.0,
            reward_weight: 0.1,
            terminal_weight: 0.3,
            terminal_positive_weight: 1.0,
            log_sigma_min: -5.0,
            sample_latents: true,
            latents: LatentSource::Precomputed,
            pool: 262_144,
            amp: false,
            schedule: ScheduleConfig::default(),
        }
    }
}
