//! What C sees: numbers that stay, plain structs, and structs of known size that hold the runtime's own.

#![allow(non_camel_case_types)] // the names that C sees

use crate::object::{Holder, Object};
use dreamstep_core::precision::Precision;
use dreamstep_runtime::{
    Action, Agent, Backend, ControllerInput, ControllerKind, DreamBatch, DreamOptions, Encoder, Memory, Mixture, Model,
    Observation, Termination,
};

/// 64-bit words of a `dreamstep_model`.
pub const DREAMSTEP_MODEL_WORDS: usize = 256;
/// 64-bit words of a `dreamstep_agent`.
pub const DREAMSTEP_AGENT_WORDS: usize = 320;
/// 64-bit words of a `dreamstep_dreams`.
pub const DREAMSTEP_DREAMS_WORDS: usize = 320;
/// Bytes of a `dreamstep_model`.
pub const DREAMSTEP_MODEL_SIZE: usize = DREAMSTEP_MODEL_WORDS * 8;
/// Bytes of a `dreamstep_agent`.
pub const DREAMSTEP_AGENT_SIZE: usize = DREAMSTEP_AGENT_WORDS * 8;
/// Bytes of a `dreamstep_dreams`.
pub const DREAMSTEP_DREAMS_SIZE: usize = DREAMSTEP_DREAMS_WORDS * 8;
/// What the address of a `dreamstep_model`, `dreamstep_agent` or `dreamstep_dreams` is a multiple of, where memory for it is
/// not declared as such. Enough on every target; the compiler's own alignment of the struct may be less.
pub const DREAMSTEP_ALIGN: usize = 8;

/// How a call ended; `dreamstep_status_text` says it in words. The numbers stay.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_status {
    /// It did what was asked.
    Ok = 0,
    /// A pointer is NULL.
    Null = 1,
    /// An address is not a multiple of what its type needs.
    Misaligned = 2,
    /// The struct does not hold what it should: no function made it, or the one that should have failed.
    NotMade = 3,
    /// Input and output overlap.
    Overlap = 4,
    /// An argument is outside its range.
    Argument = 5,
    /// Another number of values or bytes than expected.
    Length = 6,
    /// The memory given is too small.
    Memory = 7,
    /// A value is infinite or NaN.
    NonFinite = 8,
    /// Out of turn: an advance without an act, dreams imagined without an action, a model replaced inside a tick.
    Order = 9,
    /// This processor does not run the back end.
    Backend = 10,
    /// The bytes are no safetensors file, or cut short.
    File = 11,
    /// The file is no agent that this version runs.
    NotAnAgent = 12,
    /// The file has no self-test vectors.
    SelfTestAbsent = 13,
    /// The self-test gave other bits than the packer's, or would: the thread's floating-point mode is not the default.
    SelfTestFailed = 14,
    /// The file has no such metadata key.
    NoSuchKey = 15,
    /// The file has no MDN head, so there is nothing to predict or dream with.
    NoHead = 16,
    /// A model or state of other sizes or kinds.
    Dims = 17,
    /// The bytes are no state, or a damaged one.
    State = 18,
    /// A state of another model.
    OtherModel = 19,
    /// A model of this kind has none: a range where the action is discrete, a choice where it is continuous, a prediction where
    /// there is no memory, a dream where the controller reads observations.
    Kind = 20,
    /// The thread's floating-point mode is not the default: another rounding, or subnormals flushed.
    FloatEnvironment = 21,
}

/// An implementation of the layers. All give the same bits.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_backend {
    /// The widest that this processor runs.
    Auto = -1,
    /// Any target: the specification.
    Portable = 0,
    /// 128-bit vectors (x86-64 compiled with SSE2: all but soft-float targets).
    Sse2 = 1,
    /// 256-bit vectors (x86-64 with AVX2 and F16C).
    Avx2 = 2,
    /// 512-bit vectors (x86-64 with AVX-512F and BW).
    Avx512 = 3,
    /// The same with 8-bit dot products (AVX-512 VNNI).
    Avx512vnni = 4,
    /// 128-bit vectors (aarch64 compiled with NEON: all but soft-float targets).
    Neon = 5,
    /// 128-bit vectors (wasm32 compiled with simd128).
    Simd128 = 6,
}

impl dreamstep_backend {
    pub(crate) const fn of(backend: Backend) -> Self {
        match backend {
            Backend::Portable => Self::Portable,
            Backend::Sse2 => Self::Sse2,
            Backend::Avx2 => Self::Avx2,
            Backend::Avx512 => Self::Avx512,
            Backend::Avx512Vnni => Self::Avx512vnni,
            Backend::Neon => Self::Neon,
            Backend::Simd128 => Self::Simd128,
        }
    }
}

/// The precision that weights are stored in.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_precision {
    /// IEEE binary32.
    F32 = 0,
    /// IEEE binary16.
    F16 = 1,
    /// The upper 16 bits of a binary32.
    Bf16 = 2,
    /// 8-bit integers, one scale per output.
    I8 = 3,
}

impl dreamstep_precision {
    pub(crate) const fn of(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::F16 => Self::F16,
            Precision::Bf16 => Self::Bf16,
            Precision::I8 => Self::I8,
        }
    }
}

/// What is observed.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_observation_kind {
    /// One that this version has no number for.
    Unknown = -1,
    /// A vector of floats.
    Vector = 0,
    /// An image.
    Image = 1,
}

impl dreamstep_observation_kind {
    pub(crate) const fn of(observation: &Observation) -> Self {
        match observation {
            Observation::Vector { .. } => Self::Vector,
            Observation::Image { .. } => Self::Image,
            _ => Self::Unknown,
        }
    }
}

/// V: what makes a latent vector of an observation.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_encoder {
    /// One that this version has no number for.
    Unknown = -1,
    /// Nothing: there is no latent vector.
    None = 0,
    /// The observation itself, or its first values.
    Identity = 1,
    /// An MLP of one to four hidden layers.
    Mlp = 2,
    /// Convolutions over an image.
    Conv = 3,
}

impl dreamstep_encoder {
    pub(crate) const fn of(encoder: &Encoder) -> Self {
        match encoder {
            Encoder::None => Self::None,
            Encoder::Identity { .. } => Self::Identity,
            Encoder::Mlp { .. } => Self::Mlp,
            Encoder::Conv { .. } => Self::Conv,
            _ => Self::Unknown,
        }
    }
}

/// M: what remembers.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_memory {
    /// One that this version has no number for.
    Unknown = -1,
    /// Nothing.
    None = 0,
    /// Long short-term memory: h and c.
    Lstm = 1,
    /// Gated recurrent unit: h alone.
    Gru = 2,
}

impl dreamstep_memory {
    pub(crate) const fn of(memory: &Memory) -> Self {
        match memory {
            Memory::None => Self::None,
            Memory::Lstm(_) => Self::Lstm,
            Memory::Gru(_) => Self::Gru,
            _ => Self::Unknown,
        }
    }
}

/// What one mixture of Gaussians in M's MDN head spans.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_mixture {
    /// Nothing: there is no memory.
    None = 0,
    /// The whole latent vector.
    Joint = 1,
    /// One dimension of it.
    PerDimension = 2,
}

impl dreamstep_mixture {
    pub(crate) const fn of(mixture: Option<Mixture>) -> Self {
        match mixture {
            None => Self::None,
            Some(Mixture::Joint) => Self::Joint,
            Some(Mixture::PerDimension) => Self::PerDimension,
        }
    }
}

/// C: what acts.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_controller {
    /// One that this version has no number for.
    Unknown = -1,
    /// One layer.
    Linear = 0,
    /// An MLP of one or two hidden layers.
    Mlp = 1,
}

impl dreamstep_controller {
    pub(crate) const fn of(kind: &ControllerKind) -> Self {
        match kind {
            ControllerKind::Linear => Self::Linear,
            ControllerKind::Mlp { .. } => Self::Mlp,
            _ => Self::Unknown,
        }
    }
}

/// What the controller reads.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_controller_input {
    /// The latent vector and h.
    LatentHidden = 0,
    /// The latent vector alone.
    Latent = 1,
    /// h alone.
    Hidden = 2,
    /// The whitened observation alone: there is neither V nor M.
    Observation = 3,
    /// The whitened observation and h.
    ObservationHidden = 4,
}

impl dreamstep_controller_input {
    pub(crate) const fn of(input: ControllerInput) -> Self {
        match input {
            ControllerInput::LatentHidden => Self::LatentHidden,
            ControllerInput::Latent => Self::Latent,
            ControllerInput::Hidden => Self::Hidden,
            ControllerInput::Observation => Self::Observation,
            ControllerInput::ObservationHidden => Self::ObservationHidden,
        }
    }
}

/// What is done.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_action_kind {
    /// One that this version has no number for.
    Unknown = -1,
    /// Numbers, each in its range.
    Continuous = 0,
    /// One of a few choices.
    Discrete = 1,
}

impl dreamstep_action_kind {
    pub(crate) const fn of(action: &Action) -> Self {
        match action {
            Action::Continuous { .. } => Self::Continuous,
            Action::Discrete { .. } => Self::Discrete,
            _ => Self::Unknown,
        }
    }
}

/// When a dream ends.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_termination {
    /// At random, with the terminal probability.
    Sampled = 0,
    /// Where the terminal probability reaches the threshold.
    Threshold = 1,
    /// Never.
    Never = 2,
}

/// What a model is, but for its lengths (`dreamstep_model_obs_len` and so on).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct dreamstep_model_facts {
    /// Tells models apart: what a saved state says it belongs to.
    pub fingerprint: u64,
    /// Seconds from one tick to the next that the agent was made for; 0 where its file does not say.
    pub period_s: f64,
    /// Nats per dimension that the surprise seldom exceeded on held-out data; infinite where the file does not say.
    pub surprise_limit: f32,
    /// Components of a mixture `K`; 0 without a memory.
    pub mixtures: u32,
    /// What one mixture spans.
    pub mixture: dreamstep_mixture,
    /// What is observed.
    pub observation: dreamstep_observation_kind,
    /// V.
    pub encoder: dreamstep_encoder,
    /// M.
    pub memory: dreamstep_memory,
    /// C.
    pub controller: dreamstep_controller,
    /// What C reads.
    pub controller_input: dreamstep_controller_input,
    /// What is done.
    pub action: dreamstep_action_kind,
    /// The precision of the weights.
    pub precision: dreamstep_precision,
    /// The back end that runs it.
    pub backend: dreamstep_backend,
    /// Whether the MDN head is in the file, so that there is something to predict and dream with.
    pub has_mdn: bool,
}

impl dreamstep_model_facts {
    pub(crate) fn of(model: &Model<'_>) -> Self {
        let (dims, settings) = (model.dims(), model.settings());
        Self {
            fingerprint: model.fingerprint(),
            period_s: model.period_s().unwrap_or(0.0),
            surprise_limit: settings.surprise_limit.unwrap_or(f32::INFINITY),
            mixtures: dims.mixtures() as u32,
            mixture: dreamstep_mixture::of(dims.mixture()),
            observation: dreamstep_observation_kind::of(&dims.obs),
            encoder: dreamstep_encoder::of(&dims.v),
            memory: dreamstep_memory::of(&dims.m),
            controller: dreamstep_controller::of(&dims.c.kind),
            controller_input: dreamstep_controller_input::of(dims.input()),
            action: dreamstep_action_kind::of(&dims.action),
            precision: dreamstep_precision::of(settings.precision),
            backend: dreamstep_backend::of(model.backend()),
            has_mdn: model.has_mdn(),
        }
    }
}

/// Where an agent stands.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct dreamstep_agent_facts {
    /// Names the draws of a latent that is sampled while acting.
    pub seed: u64,
    /// How often the agent advanced since its reset.
    pub tick: u64,
    /// Whether an act waits for its advance.
    pub has_acted: bool,
}

/// What a running agent tells of itself: counts and statistics since it was made or reset, or took over a saved state.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct dreamstep_health {
    /// Ticks that were counted.
    pub ticks: u64,
    /// Observed values that the normaliser clipped, of `ticks·O`. Training data have next to none: many say that a sensor is
    /// off, or in another unit.
    pub clipped: u64,
    /// Action values at an end of their range, of `ticks·A`; 0 of a discrete action.
    pub saturated: u64,
    /// Ticks whose surprise was asked for.
    pub surprises: u64,
    /// The newest surprise, in nats per dimension of the latent vector; 0 before the first.
    pub surprise: f32,
    /// Mean of all, in nats per dimension; 0 before the first.
    pub surprise_mean: f32,
    /// Greatest of all, in nats per dimension; −infinity before the first.
    pub surprise_max: f32,
}

/// How dreams are dreamt.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct dreamstep_dream_options {
    /// Names the draws, together with each dream's number.
    pub seed: u64,
    /// Above 0: divides the mixture logits, and its square root multiplies sigma. 1 is the model's own distribution.
    pub temperature: f32,
    /// When a dream ends: a `dreamstep_termination`.
    pub termination: i32,
    /// In (0, 1]; read where the termination is `DREAMSTEP_TERMINATION_THRESHOLD`.
    pub threshold: f32,
}

impl dreamstep_dream_options {
    /// None where the termination is none.
    pub(crate) const fn options(&self) -> Option<DreamOptions> {
        let termination = match self.termination {
            0 => Termination::Sampled,
            1 => Termination::Threshold(self.threshold),
            2 => Termination::Never,
            _ => return None,
        };
        Some(DreamOptions { seed: self.seed, temperature: self.temperature, termination })
    }
}

/// Where a dream stands.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct dreamstep_dream_facts {
    /// The reward that the model expected for the newest tick; 0 before the first.
    pub reward: f32,
    /// The probability that it gave the end at the newest tick; 0 before the first.
    pub terminal_probability: f32,
    /// Ticks that the dream lasted so far.
    pub tick: u32,
    /// Whether it has ended, or never began.
    pub is_done: bool,
}

/// A model, in the caller's memory: made by `dreamstep_model_load`. Holds no resource, so there is nothing to free. It refers
/// to the file's bytes and to nothing else: it may be copied and moved.
#[repr(C)]
pub struct dreamstep_model {
    opaque: [u64; DREAMSTEP_MODEL_WORDS],
}

/// An agent, in the caller's memory: made by `dreamstep_agent_new`. Holds no resource, so there is nothing to free. It refers
/// to the file's bytes and to its memory, and holds its model: it may be moved, and not be used as two, which would share
/// that memory.
#[repr(C)]
pub struct dreamstep_agent {
    opaque: [u64; DREAMSTEP_AGENT_WORDS],
}

/// A batch of dreams, in the caller's memory: made by `dreamstep_dreams_new`. As an agent, it holds no resource, holds its
/// model, and may be moved, and not be used as two.
#[repr(C)]
pub struct dreamstep_dreams {
    opaque: [u64; DREAMSTEP_DREAMS_WORDS],
}

impl Holder for dreamstep_model {
    type Held = Model<'static>;
    const NAME: &'static str = "model";
    const TAG: u64 = u64::from_le_bytes(*b"DSmodel2");
}

impl Holder for dreamstep_agent {
    type Held = Agent<'static, 'static>;
    const NAME: &'static str = "agent";
    const TAG: u64 = u64::from_le_bytes(*b"DSagent2");
}

impl Holder for dreamstep_dreams {
    type Held = DreamBatch<'static, 'static>;
    const NAME: &'static str = "dreams";
    const TAG: u64 = u64::from_le_bytes(*b"DSdream2");
}

/// Whether C's struct has room, and its alignment suffices.
const fn fits<H: Holder>() -> bool {
    size_of::<Object<H::Held>>() <= size_of::<H>() && align_of::<Object<H::Held>>() <= align_of::<H>()
}

const _: () = assert!(fits::<dreamstep_model>() && fits::<dreamstep_agent>() && fits::<dreamstep_dreams>());
const _: () = assert!(align_of::<dreamstep_model>() <= DREAMSTEP_ALIGN);
