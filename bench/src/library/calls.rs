//! The functions of the C library that are timed, by the names and signatures of `dreamstep.h`, in both generations of it: builds up to
//! format packed-2 take a buffer for a message in every call and sizes as a struct; builds from packed-3 on keep the message until it is
//! asked for, and tell the sizes of a model. A build reads the format of its generation, and no other.

use super::Sizes;
use anyhow::{Context, Result};
use std::ffi::{CStr, c_char};
use std::path::Path;
use std::ptr::{null, null_mut};

type Status = i32;

/// `dreamstep_dims` of the first generation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CDims {
    obs: u32,
    action: u32,
    latent: u32,
    hidden: u32,
    mixtures: u32,
    mixture: i32,
    encoder: [u32; 2],
    cell: i32,  // read by builds that know it
    input: i32, // the same
}

impl CDims {
    fn of(dims: &dreamstep_runtime::Dims) -> Self {
        Self {
            obs: dims.obs_len() as u32,
            action: dims.action_len() as u32,
            latent: dims.latent_len() as u32,
            hidden: dims.hidden_len() as u32,
            mixtures: dims.mixtures() as u32,
            mixture: i32::from(dims.mixture() == Some(dreamstep_runtime::Mixture::PerDimension)),
            encoder: [0, 1].map(|layer| dims.v.hidden().at(layer) as u32),
            cell: i32::from(dims.cell() == Some(dreamstep_runtime::MemoryCell::Gru)),
            input: 0, // z+h, which every build runs
        }
    }
}

/// `dreamstep_dream_options`, in both.
#[repr(C)]
pub(super) struct CDreamOptions {
    seed: u64,
    temperature: f32,
    termination: i32,
    threshold: f32,
}

/// Dreams that never end: 2 in both.
const OPTIONS: CDreamOptions = CDreamOptions { seed: 1, temperature: 1.0, termination: 2, threshold: 1.0 };

macro_rules! functions {
    ($(#[$doc:meta])* $table:ident; $($field:ident = $name:literal: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        $(#[$doc])*
        pub(super) struct $table {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl $table {
            pub(super) fn of(library: &libloading::Library, path: &Path) -> Result<Self> {
                Ok(Self {
                    $($field: {
                        let missing = || format!("{}: expected the function {}, found none", path.display(), $name);
                        // SAFETY: `dreamstep.h` gives the function this type, and `Library` keeps it loaded.
                        unsafe { *library.get(concat!($name, "\0").as_bytes()).with_context(missing)? }
                    },)*
                })
            }
        }
    };
}

functions! {
    /// What both have.
    Common;
    version = "dreamstep_version": fn() -> *const c_char;
    model_size = "dreamstep_model_size": fn() -> usize;
    agent_size = "dreamstep_agent_size": fn() -> usize;
    dreams_size = "dreamstep_dreams_size": fn() -> usize;
    backend_is_available = "dreamstep_backend_is_available": fn(i32) -> bool;
}

functions! {
    /// Builds that read packed-2.
    First;
    memory_len = "dreamstep_memory_len": fn(*const CDims) -> usize;
    dreams_memory_len = "dreamstep_dreams_memory_len": fn(*const CDims, usize) -> usize;
    model_load = "dreamstep_model_load": fn(*mut u64, *const u8, usize, i32, *mut c_char, usize) -> Status;
    agent_new = "dreamstep_agent_new": fn(*mut u64, *const u64, *mut f32, usize, *mut c_char, usize) -> Status;
    act = "dreamstep_act": fn(*mut u64, *const f32, usize, *mut f32, usize, *mut c_char, usize) -> Status;
    advance = "dreamstep_advance": fn(*mut u64, *mut c_char, usize) -> Status;
    digest = "dreamstep_digest": fn(*const u64, *mut u64, *mut c_char, usize) -> Status;
    dreams_new = "dreamstep_dreams_new":
        fn(*mut u64, *const u64, *mut f32, usize, usize, *const CDreamOptions, *mut c_char, usize) -> Status;
    dreams_start = "dreamstep_dreams_start":
        fn(*mut u64, usize, u32, *const f32, usize, *const f32, *const f32, usize, *mut c_char, usize) -> Status;
    dreams_digest = "dreamstep_dreams_digest": fn(*const u64, usize, *mut u64, *mut c_char, usize) -> Status;
    dreams_step = "dreamstep_dreams_step": fn(*mut u64, *mut usize, *mut c_char, usize) -> Status;
}

functions! {
    /// Builds that read packed-3.
    Second;
    memory_len = "dreamstep_model_memory_len": fn(*const u64) -> usize;
    dreams_memory_len = "dreamstep_model_dreams_memory_len": fn(*const u64, usize) -> usize;
    model_load = "dreamstep_model_load": fn(*mut u64, *const u8, usize, i32) -> Status;
    model_error = "dreamstep_model_error": fn(*const u64, *mut c_char, usize) -> *const c_char;
    agent_new = "dreamstep_agent_new": fn(*mut u64, *const u64, *mut f32, usize) -> Status;
    agent_error = "dreamstep_agent_error": fn(*const u64, *mut c_char, usize) -> *const c_char;
    act = "dreamstep_agent_act": fn(*mut u64, *const f32, usize, *mut f32, usize) -> Status;
    advance = "dreamstep_agent_advance": fn(*mut u64) -> Status;
    digest = "dreamstep_agent_digest": fn(*const u64, *mut u64) -> Status;
    dreams_new = "dreamstep_dreams_new": fn(*mut u64, *const u64, *mut f32, usize, usize, *const CDreamOptions) -> Status;
    dreams_error = "dreamstep_dreams_error": fn(*const u64, *mut c_char, usize) -> *const c_char;
    dreams_start = "dreamstep_dreams_start":
        fn(*mut u64, usize, u32, *const f32, usize, *const f32, *const f32, usize) -> Status;
    dreams_digest = "dreamstep_dreams_digest": fn(*const u64, usize, *mut u64) -> Status;
    dreams_step = "dreamstep_dreams_step": fn(*mut u64, *mut usize) -> Status;
}

/// The functions that differ.
pub(super) enum Calls {
    /// Of a build that reads packed-2.
    First(First),
    /// Of a build that reads packed-3.
    Second(Second),
}

/// Every call's precondition: objects are blocks of the size that the library asked for, on 8-byte boundaries, made by it before they are
/// used, and neither they nor the memory and the file that they were given move or go away; nothing else uses them.
impl Calls {
    /// Those that the library has: the second generation's where it has the first one of them that is new.
    pub(super) fn of(library: &libloading::Library, path: &Path) -> Result<Self> {
        // SAFETY: only whether the symbol is there is asked.
        let is_second = unsafe { library.get::<*const ()>(b"dreamstep_agent_act\0") }.is_ok();
        Ok(if is_second { Self::Second(Second::of(library, path)?) } else { Self::First(First::of(library, path)?) })
    }

    pub(super) unsafe fn load(&self, model: &mut [u64], bytes: &[u8], backend: i32) -> Result<(), String> {
        let (at, len) = (bytes.as_ptr(), bytes.len());
        match self {
            // SAFETY: this impl's precondition.
            Self::First(f) => told(|m, n| unsafe { (f.model_load)(model.as_mut_ptr(), at, len, backend, m, n) }),
            Self::Second(f) => {
                // SAFETY: this impl's precondition.
                let status = unsafe { (f.model_load)(model.as_mut_ptr(), at, len, backend) };
                // SAFETY: the same; a refused model keeps the reason.
                asked(status, |m, n| unsafe { (f.model_error)(model.as_ptr(), m, n) })
            }
        }
    }

    /// Floats that an agent and the dreams of `model` work in.
    pub(super) unsafe fn memory_lens(&self, model: &[u64], sizes: &Sizes) -> [usize; 2] {
        match self {
            Self::First(f) => {
                let dims = CDims::of(&sizes.dims);
                // SAFETY: `dims` is readable.
                unsafe { [(f.memory_len)(&dims), (f.dreams_memory_len)(&dims, sizes.dreams)] }
            }
            // SAFETY: this impl's precondition.
            Self::Second(f) => unsafe {
                [(f.memory_len)(model.as_ptr()), (f.dreams_memory_len)(model.as_ptr(), sizes.dreams)]
            },
        }
    }

    pub(super) unsafe fn agent(&self, agent: &mut [u64], model: &[u64], memory: &mut [f32]) -> Result<(), String> {
        let (model, at, len) = (model.as_ptr(), memory.as_mut_ptr(), memory.len());
        match self {
            // SAFETY: this impl's precondition.
            Self::First(f) => told(|m, n| unsafe { (f.agent_new)(agent.as_mut_ptr(), model, at, len, m, n) }),
            Self::Second(f) => {
                // SAFETY: this impl's precondition.
                let status = unsafe { (f.agent_new)(agent.as_mut_ptr(), model, at, len) };
                // SAFETY: the same; a refused agent keeps the reason.
                asked(status, |m, n| unsafe { (f.agent_error)(agent.as_ptr(), m, n) })
            }
        }
    }

    /// A batch of dreams, all of which begin an episode at `latent`.
    pub(super) unsafe fn dreams(
        &self,
        dreams: &mut [u64],
        model: &[u64],
        memory: &mut [f32],
        (count, latent): (usize, &[f32]),
    ) -> Result<(), String> {
        let (model, at, len) = (model.as_ptr(), memory.as_mut_ptr(), memory.len());
        let (z, latent_len) = (latent.as_ptr(), latent.len());
        match self {
            Self::First(f) => {
                let dreams = dreams.as_mut_ptr();
                // SAFETY: this impl's precondition.
                told(|m, n| unsafe { (f.dreams_new)(dreams, model, at, len, count, &OPTIONS, m, n) })?;
                (0..count).try_for_each(|index| {
                    told(|m, n| {
                        // SAFETY: the same; no state is an episode's start.
                        unsafe { (f.dreams_start)(dreams, index, index as u32, z, latent_len, null(), null(), 0, m, n) }
                    })
                })
            }
            Self::Second(f) => {
                let dreams = dreams.as_mut_ptr();
                // SAFETY: this impl's precondition; what was refused keeps the reason.
                let ask = |status| asked(status, |m, n| unsafe { (f.dreams_error)(dreams, m, n) });
                // SAFETY: this impl's precondition.
                ask(unsafe { (f.dreams_new)(dreams, model, at, len, count, &OPTIONS) })?;
                (0..count).try_for_each(|index| {
                    // SAFETY: the same; no state is an episode's start.
                    ask(unsafe { (f.dreams_start)(dreams, index, index as u32, z, latent_len, null(), null(), 0) })
                })
            }
        }
    }

    pub(super) unsafe fn act(&self, agent: &mut [u64], observation: &[f32], action: &mut [f32]) -> Status {
        let (agent, o, a) = (agent.as_mut_ptr(), observation, action);
        match self {
            // SAFETY: this impl's precondition; no message is wanted.
            Self::First(f) => unsafe { (f.act)(agent, o.as_ptr(), o.len(), a.as_mut_ptr(), a.len(), null_mut(), 0) },
            // SAFETY: this impl's precondition.
            Self::Second(f) => unsafe { (f.act)(agent, o.as_ptr(), o.len(), a.as_mut_ptr(), a.len()) },
        }
    }

    pub(super) unsafe fn advance(&self, agent: &mut [u64]) -> Status {
        match self {
            // SAFETY: this impl's precondition; no message is wanted.
            Self::First(f) => unsafe { (f.advance)(agent.as_mut_ptr(), null_mut(), 0) },
            // SAFETY: this impl's precondition.
            Self::Second(f) => unsafe { (f.advance)(agent.as_mut_ptr()) },
        }
    }

    pub(super) unsafe fn dream(&self, dreams: &mut [u64]) -> Status {
        match self {
            // SAFETY: this impl's precondition; neither a count nor a message is wanted.
            Self::First(f) => unsafe { (f.dreams_step)(dreams.as_mut_ptr(), null_mut(), null_mut(), 0) },
            // SAFETY: this impl's precondition; no count is wanted.
            Self::Second(f) => unsafe { (f.dreams_step)(dreams.as_mut_ptr(), null_mut()) },
        }
    }

    pub(super) unsafe fn digest(&self, agent: &[u64], digest: &mut u64) -> Status {
        match self {
            // SAFETY: this impl's precondition; no message is wanted.
            Self::First(f) => unsafe { (f.digest)(agent.as_ptr(), digest, null_mut(), 0) },
            // SAFETY: this impl's precondition.
            Self::Second(f) => unsafe { (f.digest)(agent.as_ptr(), digest) },
        }
    }

    pub(super) unsafe fn dream_digest(&self, dreams: &[u64], index: usize, digest: &mut u64) -> Status {
        match self {
            // SAFETY: this impl's precondition; no message is wanted.
            Self::First(f) => unsafe { (f.dreams_digest)(dreams.as_ptr(), index, digest, null_mut(), 0) },
            // SAFETY: this impl's precondition.
            Self::Second(f) => unsafe { (f.dreams_digest)(dreams.as_ptr(), index, digest) },
        }
    }
}

/// A call of the first generation: the message comes with it.
fn told(call: impl FnOnce(*mut c_char, usize) -> Status) -> Result<(), String> {
    let mut message = [0; 256];
    let status = call(message.as_mut_ptr(), message.len());
    if status == 0 { Ok(()) } else { Err(refusal(status, &message)) }
}

/// A call of the second: the message is asked for.
fn asked(status: Status, ask: impl FnOnce(*mut c_char, usize) -> *const c_char) -> Result<(), String> {
    if status == 0 {
        return Ok(());
    }
    let mut message = [0; 256];
    ask(message.as_mut_ptr(), message.len());
    Err(refusal(status, &message))
}

fn refusal(status: Status, message: &[c_char; 256]) -> String {
    // SAFETY: the library ends its message with a zero within the buffer, which began as zeros.
    let text = unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy();
    format!("{text} (status {status})")
}
