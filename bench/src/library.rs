//! A build of the C library, loaded while the program runs: two commits' builds in one process can be timed in turn.
//!
//! Only what a control loop and a dream call, by the names and signatures of `dreamstep.h`; sizes are asked of the library, so that
//! builds may differ in them.

use anyhow::{Context, Result, ensure};
use std::ffi::{CStr, c_char};
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};

type Status = i32;

/// `dreamstep_dims`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct CDims {
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

/// `dreamstep_dream_options`.
#[repr(C)]
struct CDreamOptions {
    seed: u64,
    temperature: f32,
    ending: i32,
    threshold: f32,
}

/// `DREAMSTEP_ENDING_NEVER`.
const ENDING_NEVER: i32 = 2;

macro_rules! functions {
    ($($field:ident = $name:literal: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions that are used here.
        struct Functions {
            $($field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            fn of(library: &libloading::Library, path: &Path) -> Result<Self> {
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
    version = "dreamstep_version": fn() -> *const c_char;
    model_size = "dreamstep_model_size": fn() -> usize;
    agent_size = "dreamstep_agent_size": fn() -> usize;
    dreams_size = "dreamstep_dreams_size": fn() -> usize;
    memory_len = "dreamstep_memory_len": fn(*const CDims) -> usize;
    dreams_memory_len = "dreamstep_dreams_memory_len": fn(*const CDims, usize) -> usize;
    backend_is_available = "dreamstep_backend_is_available": fn(i32) -> bool;
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

/// A loaded build.
pub struct Library {
    functions: Functions,
    path: PathBuf,
    _library: libloading::Library,
}

impl Library {
    /// Loads the shared library at `path`.
    ///
    /// # Errors
    /// There is none, or it lacks a function.
    pub fn open(path: &Path) -> Result<Self> {
        ensure!(path.is_file(), "{}: expected a build of the C library, found no such file", path.display());
        // SAFETY: the library is ours; it has no initialisers and no global state.
        let library =
            unsafe { libloading::Library::new(path) }.with_context(|| format!("cannot load {}", path.display()))?;
        Ok(Self { functions: Functions::of(&library, path)?, path: path.to_path_buf(), _library: library })
    }

    /// What it calls its version.
    #[must_use]
    pub fn version(&self) -> String {
        // SAFETY: the library answers with a constant string.
        unsafe { CStr::from_ptr((self.functions.version)()) }.to_string_lossy().into_owned()
    }

    /// Whether it runs back end `number` on this processor.
    #[must_use]
    pub fn runs(&self, number: i32) -> bool {
        // SAFETY: takes any number.
        unsafe { (self.functions.backend_is_available)(number) }
    }

    /// Calls one of the library's functions that take a buffer for a message.
    fn call(&self, what: &str, function: impl FnOnce(&Functions, *mut c_char, usize) -> Status) -> Result<()> {
        let mut message = [0; 256];
        let status = function(&self.functions, message.as_mut_ptr(), message.len());
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the library ends its message with a zero within the buffer, which began as zeros.
        let text = unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy().into_owned();
        anyhow::bail!("{}: {what}: {text} (status {status})", self.path.display())
    }
}

/// An agent and a batch of dreams of one model, of one build; nothing in it moves.
pub struct Subject<'l> {
    library: &'l Library,
    sizes: Sizes,
    _file: Vec<u64>,
    _model: Vec<u64>,
    agent: Vec<u64>,
    _memory: Vec<f32>,
    dreams: Vec<u64>,
    _dreams_memory: Vec<f32>,
    action: Vec<f32>,
}

/// The sizes that the calls need.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// The agent's.
    pub dims: dreamstep_runtime::Dims,
    /// Dreams in the batch.
    pub dreams: usize,
}

impl<'l> Subject<'l> {
    /// Loads the packed agent `file` on back end `backend`, and begins an episode and `sizes.dreams` dreams.
    ///
    /// # Errors
    /// What the library says.
    pub fn new(library: &'l Library, file: &[u8], backend: i32, sizes: Sizes) -> Result<Self> {
        let f = &library.functions;
        let words = |bytes: usize| vec![0_u64; bytes.div_ceil(8)];
        // On a 64-byte boundary: eight words more than needed, and the file where the boundary lies.
        let mut copy = vec![0_u64; file.len().div_ceil(8) + 8];
        let offset = copy.as_ptr().align_offset(64) * 8;
        bytemuck::cast_slice_mut(&mut copy)[offset..offset + file.len()].copy_from_slice(file);
        let bytes = &bytemuck::cast_slice::<u64, u8>(&copy)[offset..offset + file.len()];
        let d = sizes.dims;
        let dims = CDims {
            obs: d.obs as u32,
            action: d.action as u32,
            latent: d.latent as u32,
            hidden: d.hidden as u32,
            mixtures: d.mixtures as u32,
            mixture: i32::from(d.mixture == dreamstep_runtime::Mixture::PerDimension),
            encoder: d.encoder.map(|n| n as u32),
            cell: i32::from(d.cell == dreamstep_runtime::MemoryCell::Gru),
            input: 0, // z+h, which every build runs
        };
        // SAFETY: takes nothing.
        let sizes_in_bytes = unsafe { [(f.model_size)(), (f.agent_size)(), (f.dreams_size)()] };
        // From here on every pointer is to memory of the size that the library asked for, on the heap, where it stays as long as `Self`
        // lives; nothing else uses it.
        let [mut model, mut agent, mut dreams] = sizes_in_bytes.map(words);
        // SAFETY: `dims` is readable.
        let lens = unsafe { ((f.memory_len)(&dims), (f.dreams_memory_len)(&dims, sizes.dreams)) };
        let (mut memory, mut dreams_memory) = (vec![0.0_f32; lens.0], vec![0.0_f32; lens.1]);
        library.call("load", |f, m, n| {
            // SAFETY: as above.
            unsafe { (f.model_load)(model.as_mut_ptr(), bytes.as_ptr(), bytes.len(), backend, m, n) }
        })?;
        library.call("agent", |f, m, n| {
            // SAFETY: as above.
            unsafe { (f.agent_new)(agent.as_mut_ptr(), model.as_ptr(), memory.as_mut_ptr(), memory.len(), m, n) }
        })?;
        let options = CDreamOptions { seed: 1, temperature: 1.0, ending: ENDING_NEVER, threshold: 1.0 };
        let (at, len) = (dreams_memory.as_mut_ptr(), dreams_memory.len());
        library.call("dreams", |f, m, n| {
            // SAFETY: as above.
            unsafe { (f.dreams_new)(dreams.as_mut_ptr(), model.as_ptr(), at, len, sizes.dreams, &options, m, n) }
        })?;
        let latent = vec![0.25_f32; d.latent];
        for index in 0..sizes.dreams {
            library.call("dream", |f, m, n| {
                let (dreams, z) = (dreams.as_mut_ptr(), latent.as_ptr());
                // SAFETY: as above; no state is an episode's start.
                unsafe { (f.dreams_start)(dreams, index, index as u32, z, latent.len(), null(), null(), 0, m, n) }
            })?;
        }
        let action = vec![0.0; d.action];
        Ok(Self {
            library,
            sizes,
            _file: copy,
            _model: model,
            agent,
            _memory: memory,
            dreams,
            _dreams_memory: dreams_memory,
            action,
        })
    }

    /// `act` on `observation`.
    ///
    /// # Panics
    /// If the library refuses, which it does only where the observation is not one of its model's.
    pub fn act(&mut self, observation: &[f32]) {
        let (agent, action) = (self.agent.as_mut_ptr(), &mut self.action);
        let (o, a) = ((observation.as_ptr(), observation.len()), (action.as_mut_ptr(), action.len()));
        // SAFETY: the agent was made in `new`; observation and action are as long as said, and no message is wanted.
        let status = unsafe { (self.library.functions.act)(agent, o.0, o.1, a.0, a.1, null_mut(), 0) };
        assert_eq!(status, 0, "act");
    }

    /// `advance`.
    ///
    /// # Panics
    /// If there was no [`Self::act`].
    pub fn advance(&mut self) {
        // SAFETY: the agent was made in `new`, and no message is wanted.
        let status = unsafe { (self.library.functions.advance)(self.agent.as_mut_ptr(), null_mut(), 0) };
        assert_eq!(status, 0, "advance");
    }

    /// A tick of every dream.
    ///
    /// # Panics
    /// Never: dreams that were made can be stepped.
    pub fn dream(&mut self) {
        // SAFETY: the dreams were made in `new`; neither a count nor a message is wanted.
        let status = unsafe { (self.library.functions.dreams_step)(self.dreams.as_mut_ptr(), null_mut(), null_mut(), 0) };
        assert_eq!(status, 0, "dreams");
    }

    /// What it computed so far: digests of the agent's recurrent state and of every dream, and the newest action's bits.
    ///
    /// # Panics
    /// Never: an agent and dreams that were made have states.
    #[must_use]
    pub fn proof(&self) -> Vec<u64> {
        let f = &self.library.functions;
        let mut digest = 0;
        // SAFETY: the agent was made in `new`, `digest` is writable, and no message is wanted.
        let mut status = unsafe { (f.digest)(self.agent.as_ptr(), &raw mut digest, null_mut(), 0) };
        let mut proof = vec![digest];
        for index in 0..self.sizes.dreams {
            // SAFETY: the dreams were made in `new`; the rest as above.
            status |= unsafe { (f.dreams_digest)(self.dreams.as_ptr(), index, &raw mut digest, null_mut(), 0) };
            proof.push(digest);
        }
        assert_eq!(status, 0, "digest");
        proof.extend(self.action.iter().map(|a| u64::from(a.to_bits())));
        proof
    }
}
