//! What does C see of a model, an agent, a batch of dreams? Numbers that stay, plain structs, and structs of known size that
//! hold the runtime's own.

#![allow(non_camel_case_types)] // the names that C sees

use crate::pointers::Tagged;
use dreamstep_core::dims::{ControllerInput, Dims, MAX_DIM, MemoryCell, Mixture};
use dreamstep_core::precision::Precision;
use dreamstep_runtime::{Agent, Backend, DreamBatch, DreamOptions, Model, Termination};

/// 64-bit words of a `dreamstep_model`.
pub const DREAMSTEP_MODEL_WORDS: usize = 192;
/// 64-bit words of a `dreamstep_agent`.
pub const DREAMSTEP_AGENT_WORDS: usize = 64;
/// 64-bit words of a `dreamstep_dreams`.
pub const DREAMSTEP_DREAMS_WORDS: usize = 96;
/// Bytes of a `dreamstep_model`.
pub const DREAMSTEP_MODEL_SIZE: usize = DREAMSTEP_MODEL_WORDS * 8;
/// Bytes of a `dreamstep_agent`.
pub const DREAMSTEP_AGENT_SIZE: usize = DREAMSTEP_AGENT_WORDS * 8;
/// Bytes of a `dreamstep_dreams`.
pub const DREAMSTEP_DREAMS_SIZE: usize = DREAMSTEP_DREAMS_WORDS * 8;
/// What the address of a `dreamstep_model`, `dreamstep_agent` or `dreamstep_dreams` is a multiple of, where memory for it is
/// not declared as such. Enough on every target; the compiler's own alignment of the struct may be less.
pub const DREAMSTEP_ALIGN: usize = 8;

/// How a call ended. The numbers stay.
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
    /// Out of turn: an advance without an act, dreams imagined without an action, a model swapped inside a tick.
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
    /// A model or state of other sizes.
    Dims = 17,
    /// The bytes are no state, or a damaged one.
    State = 18,
    /// A state of another model.
    OtherModel = 19,
    /// The controller reads observations: of which a dream has none; and where it reads them alone, nothing is predicted.
    Input = 20,
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

/// What one mixture of Gaussians spans.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_mixture {
    /// The whole latent vector.
    Joint = 0,
    /// One dimension of it.
    PerDimension = 1,
}

/// What remembers.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_cell_kind {
    /// Long short-term memory: h and c.
    Lstm = 0,
    /// Gated recurrent unit: h alone.
    Gru = 1,
}

/// What the controller reads.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_input {
    /// The latent vector and h.
    LatentHidden = 0,
    /// The latent vector alone.
    Latent = 1,
    /// h alone.
    Hidden = 2,
    /// The whitened observation alone: neither V nor M runs.
    Observation = 3,
    /// The whitened observation and h.
    ObservationHidden = 4,
}

/// When a dream ends.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dreamstep_ending {
    /// At random, with the terminal probability.
    Sampled = 0,
    /// Where the terminal probability reaches the threshold.
    Threshold = 1,
    /// Never.
    Never = 2,
}

/// The sizes of an agent.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct dreamstep_dims {
    /// `O`: observation.
    pub obs: u32,
    /// `A`: action.
    pub action: u32,
    /// `Z`: latent.
    pub latent: u32,
    /// `H`: hidden units of the memory.
    pub hidden: u32,
    /// `K`: mixture components.
    pub mixtures: u32,
    /// What a mixture spans: a `dreamstep_mixture`.
    pub mixture: i32,
    /// `E1`, `E2`: the encoder's hidden layers.
    pub encoder: [u32; 2],
    /// What remembers: a `dreamstep_cell_kind`.
    pub cell: i32,
    /// What the controller reads: a `dreamstep_input`.
    pub input: i32,
}

impl dreamstep_dims {
    pub(crate) const fn of(dims: &Dims) -> Self {
        let [e1, e2] = dims.encoder;
        Self {
            obs: dims.obs as u32,
            action: dims.action as u32,
            latent: dims.latent as u32,
            hidden: dims.hidden as u32,
            mixtures: dims.mixtures as u32,
            mixture: match dims.mixture {
                Mixture::Joint => dreamstep_mixture::Joint,
                Mixture::PerDimension => dreamstep_mixture::PerDimension,
            } as i32,
            encoder: [e1 as u32, e2 as u32],
            cell: match dims.cell {
                MemoryCell::Lstm => dreamstep_cell_kind::Lstm,
                MemoryCell::Gru => dreamstep_cell_kind::Gru,
            } as i32,
            input: match dims.input {
                ControllerInput::LatentHidden => dreamstep_input::LatentHidden,
                ControllerInput::Latent => dreamstep_input::Latent,
                ControllerInput::Hidden => dreamstep_input::Hidden,
                ControllerInput::Observation => dreamstep_input::Observation,
                ControllerInput::ObservationHidden => dreamstep_input::ObservationHidden,
            } as i32,
        }
    }

    /// None where no model file can have these sizes.
    pub(crate) fn dims(&self) -> Option<Dims> {
        let size = |n: u32| usize::try_from(n).ok().filter(|n| (1..=MAX_DIM).contains(n));
        let mixture = match self.mixture {
            0 => Mixture::Joint,
            1 => Mixture::PerDimension,
            _ => return None,
        };
        let cell = match self.cell {
            0 => MemoryCell::Lstm,
            1 => MemoryCell::Gru,
            _ => return None,
        };
        let input = match self.input {
            0 => ControllerInput::LatentHidden,
            1 => ControllerInput::Latent,
            2 => ControllerInput::Hidden,
            3 => ControllerInput::Observation,
            4 => ControllerInput::ObservationHidden,
            _ => return None,
        };
        let [e1, e2] = self.encoder;
        let dims = Dims {
            obs: size(self.obs)?,
            action: size(self.action)?,
            latent: size(self.latent)?,
            hidden: size(self.hidden)?,
            mixtures: size(self.mixtures)?,
            mixture,
            encoder: [size(e1)?, size(e2)?],
            cell,
            input,
        };
        dims.mdn_outputs_fit().then_some(dims)
    }
}

/// What a model is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct dreamstep_model_info {
    /// Sizes.
    pub dims: dreamstep_dims,
    /// The precision of its weights.
    pub precision: dreamstep_precision,
    /// The back end that runs it.
    pub backend: dreamstep_backend,
    /// Whether the MDN head is in the file, so that there is something to predict and dream with.
    pub has_mdn: bool,
    /// Tells models apart: what a saved state says it belongs to.
    pub fingerprint: u64,
}

/// Where an agent stands.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct dreamstep_agent_info {
    /// Names the draws of a latent that is sampled while acting.
    pub seed: u64,
    /// How often the agent advanced since its reset.
    pub tick: u64,
    /// Whether an act waits for its advance.
    pub has_acted: bool,
}

/// How dreams are dreamt.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct dreamstep_dream_options {
    /// Names the draws, together with each dream's number.
    pub seed: u64,
    /// Above 0: divides the mixture logits, and its square root multiplies sigma. 1 is the model's own distribution.
    pub temperature: f32,
    /// When a dream ends: a `dreamstep_ending`.
    pub ending: i32,
    /// In (0, 1]; read where the ending is `DREAMSTEP_ENDING_THRESHOLD`.
    pub threshold: f32,
}

impl dreamstep_dream_options {
    /// None where the ending is none.
    pub(crate) const fn options(&self) -> Option<DreamOptions> {
        let ending = match self.ending {
            0 => Termination::Sampled,
            1 => Termination::Threshold(self.threshold),
            2 => Termination::Never,
            _ => return None,
        };
        Some(DreamOptions { seed: self.seed, temperature: self.temperature, termination: ending })
    }
}

/// Where a dream stands.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct dreamstep_dream_info {
    /// The reward that the model expected for the newest tick; 0 before the first.
    pub reward: f32,
    /// The probability that it gave the end at the newest tick; 0 before the first.
    pub terminal_probability: f32,
    /// Ticks that the dream lasted so far.
    pub tick: u32,
    /// Whether it has ended, or never began.
    pub is_done: bool,
}

/// A model, in the caller's memory: made by `dreamstep_model_load`. Holds no resource, so there is nothing to free. Agents
/// and dreams point to it: it stays where it is as long as they are used.
#[repr(C)]
pub struct dreamstep_model {
    opaque: [u64; DREAMSTEP_MODEL_WORDS],
}

/// An agent, in the caller's memory: made by `dreamstep_agent_new`. Holds no resource, so there is nothing to free. Not to
/// be copied.
#[repr(C)]
pub struct dreamstep_agent {
    opaque: [u64; DREAMSTEP_AGENT_WORDS],
}

/// A batch of dreams, in the caller's memory: made by `dreamstep_dreams_new`. Holds no resource, so there is nothing to
/// free. Not to be copied.
#[repr(C)]
pub struct dreamstep_dreams {
    opaque: [u64; DREAMSTEP_DREAMS_WORDS],
}

/// A model and the file that it borrows from.
pub(crate) struct Loaded {
    pub(crate) model: Model<'static>,
    pub(crate) file: &'static [u8],
}

/// A struct of C's that holds one of the runtime's.
pub(crate) trait Holder: Sized {
    /// What it holds.
    type Held;
    /// What messages call it.
    const NAME: &'static str;
    /// Stands before what it holds, once that is there.
    const TAG: u64;
    /// Whether the struct has room, and its alignment suffices.
    const FITS: bool =
        size_of::<Tagged<Self::Held>>() <= size_of::<Self>() && align_of::<Tagged<Self::Held>>() <= align_of::<Self>();
}

impl Holder for dreamstep_model {
    type Held = Loaded;
    const NAME: &'static str = "model";
    const TAG: u64 = u64::from_le_bytes(*b"DSmodel1");
}

impl Holder for dreamstep_agent {
    type Held = Agent<'static, 'static>;
    const NAME: &'static str = "agent";
    const TAG: u64 = u64::from_le_bytes(*b"DSagent1");
}

impl Holder for dreamstep_dreams {
    type Held = DreamBatch<'static, 'static>;
    const NAME: &'static str = "dreams";
    const TAG: u64 = u64::from_le_bytes(*b"DSdream1");
}

const _: () = assert!(dreamstep_model::FITS && dreamstep_agent::FITS && dreamstep_dreams::FITS);
const _: () = assert!(align_of::<dreamstep_model>() <= DREAMSTEP_ALIGN);
