//! A build of the C library, loaded while the program runs: two commits' builds in one process can be timed in turn, also across the
//! break of format and names from packed-2 to packed-3 (`calls`).
//!
//! Only what a control loop and a dream call; sizes are asked of the library, so that builds may differ in them.

mod calls;

use anyhow::{Context, Result, anyhow, ensure};
use calls::{Calls, Common};
use dreamstep_core::dims::Dims;
use dreamstep_core::names::metadata as key;
use dreamstep_core::pack::{Entry, packed2, safetensors_bytes};
use dreamstep_core::reader::File;
use dreamstep_core::v::Encoder;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::path::{Path, PathBuf};

/// A loaded build.
pub struct Library {
    common: Common,
    calls: Calls,
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
        let (common, calls) = (Common::of(&library, path)?, Calls::of(&library, path)?);
        Ok(Self { common, calls, path: path.to_path_buf(), _library: library })
    }

    /// What it calls its version.
    #[must_use]
    pub fn version(&self) -> String {
        // SAFETY: the library answers with a constant string.
        unsafe { CStr::from_ptr((self.common.version)()) }.to_string_lossy().into_owned()
    }

    /// Whether it runs back end `number` on this processor.
    #[must_use]
    pub fn runs(&self, number: i32) -> bool {
        // SAFETY: takes any number.
        unsafe { (self.common.backend_is_available)(number) }
    }

    /// The packed-3 agent `file` in the format that this build reads: as it stands, or with the header of packed-2, every tensor's bytes
    /// the same.
    ///
    /// # Errors
    /// The build reads packed-2, and that format cannot say what the agent is.
    pub fn agent<'f>(&self, file: &'f [u8]) -> Result<Cow<'f, [u8]>> {
        Ok(match self.calls {
            Calls::First(_) => as_packed2(file).with_context(|| self.path.display().to_string())?.into(),
            Calls::Second(_) => file.into(),
        })
    }

    fn said(&self, what: &str, result: Result<(), String>) -> Result<()> {
        result.map_err(|text| anyhow!("{}: {what}: {text}", self.path.display()))
    }
}

/// The packed-3 agent `file` with the header of packed-2, which says the sizes of V's two layers and the cell in keys of its own, and what
/// kinds the parts are not at all. Readers of it pass over the keys that it did not have.
fn as_packed2(file: &[u8]) -> Result<Vec<u8>> {
    let file = File::parse(file).map_err(|error| anyhow!("{error}"))?;
    let dims = Dims::read(&file).map_err(|error| anyhow!("{error}"))?;
    let (Encoder::Mlp { hidden, .. }, Some(cell)) = (dims.v, dims.cell()) else {
        return Err(anyhow!("packed-2: expected an MLP for V, and an M, found {} and {}", dims.v.kind(), dims.m.kind()));
    };
    let &[first, second] = hidden.as_slice() else {
        return Err(anyhow!("packed-2: expected two hidden layers in V, found {}", hidden.len()));
    };
    let mut metadata: BTreeMap<String, String> =
        file.metadata_entries().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let old = [
        (key::FORMAT, packed2::FORMAT.to_string()),
        ("dims.encoder.0", first.to_string()),
        ("dims.encoder.1", second.to_string()),
        ("rnn.cell", cell.name().to_string()),
    ];
    metadata.extend(old.map(|(key, value)| (key.to_string(), value)));
    Ok(safetensors_bytes(&file.tensors().map(Entry::of).collect::<Vec<_>>(), &metadata))
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
    /// Loads the packed-3 agent `file`, in the format that the build reads, on back end `backend`, and begins an episode and `sizes.dreams`
    /// dreams.
    ///
    /// # Errors
    /// What the library says.
    pub fn new(library: &'l Library, file: &[u8], backend: i32, sizes: Sizes) -> Result<Self> {
        let (common, calls, file) = (&library.common, &library.calls, library.agent(file)?);
        let words = |bytes: usize| vec![0_u64; bytes.div_ceil(8)];
        // On a 64-byte boundary: eight words more than needed, and the file where the boundary lies.
        let mut copy = vec![0_u64; file.len().div_ceil(8) + 8];
        let offset = copy.as_ptr().align_offset(64) * 8;
        bytemuck::cast_slice_mut(&mut copy)[offset..offset + file.len()].copy_from_slice(&file);
        let bytes = &bytemuck::cast_slice::<u64, u8>(&copy)[offset..offset + file.len()];
        // SAFETY: takes nothing.
        let sizes_in_bytes = unsafe { [(common.model_size)(), (common.agent_size)(), (common.dreams_size)()] };
        // From here on every block is of the size that the library asked for, on the heap, where it stays as long as `Self` lives; nothing
        // else uses it. That is what all calls ask for.
        let [mut model, mut agent, mut dreams] = sizes_in_bytes.map(words);
        // SAFETY: as above.
        library.said("load", unsafe { calls.load(&mut model, bytes, backend) })?;
        // SAFETY: as above.
        let [mut memory, mut dreams_memory] = unsafe { calls.memory_lens(&model, &sizes) }.map(|len| vec![0.0_f32; len]);
        // SAFETY: as above.
        library.said("agent", unsafe { calls.agent(&mut agent, &model, &mut memory) })?;
        let latent = vec![0.25_f32; sizes.dims.latent_len()];
        let wanted = (sizes.dreams, latent.as_slice());
        // SAFETY: as above.
        library.said("dreams", unsafe { calls.dreams(&mut dreams, &model, &mut dreams_memory, wanted) })?;
        let action = vec![0.0; sizes.dims.action_len()];
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
        // SAFETY: the agent was made in `new`.
        let status = unsafe { self.library.calls.act(&mut self.agent, observation, &mut self.action) };
        assert_eq!(status, 0, "act");
    }

    /// `advance`.
    ///
    /// # Panics
    /// If there was no [`Self::act`].
    pub fn advance(&mut self) {
        // SAFETY: the agent was made in `new`.
        let status = unsafe { self.library.calls.advance(&mut self.agent) };
        assert_eq!(status, 0, "advance");
    }

    /// A tick of every dream.
    ///
    /// # Panics
    /// Never: dreams that were made can be stepped.
    pub fn dream(&mut self) {
        // SAFETY: the dreams were made in `new`.
        let status = unsafe { self.library.calls.dream(&mut self.dreams) };
        assert_eq!(status, 0, "dreams");
    }

    /// What it computed so far: digests of the agent's recurrent state and of every dream, and the newest action's bits.
    ///
    /// # Panics
    /// Never: an agent and dreams that were made have states.
    #[must_use]
    pub fn proof(&self) -> Vec<u64> {
        let (calls, mut digest) = (&self.library.calls, 0);
        // SAFETY: the agent was made in `new`.
        let mut status = unsafe { calls.digest(&self.agent, &mut digest) };
        let mut proof = vec![digest];
        for index in 0..self.sizes.dreams {
            // SAFETY: the dreams were made in `new`.
            status |= unsafe { calls.dream_digest(&self.dreams, index, &mut digest) };
            proof.push(digest);
        }
        assert_eq!(status, 0, "digest");
        proof.extend(self.action.iter().map(|a| u64::from(a.to_bits())));
        proof
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Size;
    use dreamstep_runtime::MemoryCell;

    #[test]
    fn an_agent_goes_to_packed_2_and_comes_back() {
        for file in MemoryCell::ALL.iter().flat_map(|&cell| Size::Small.precisions_with(cell)) {
            let old = as_packed2(&file).unwrap();
            assert!(packed2::is_one(&old) && !packed2::is_one(&file));
            let back = packed2::convert(&old, None).unwrap();
            let (back, file) = (File::parse(&back).unwrap(), File::parse(&file).unwrap());
            assert_eq!(Dims::read(&back).unwrap(), Dims::read(&file).unwrap());
            assert!(back.tensors().eq(file.tensors()));
        }
    }

    #[test]
    fn what_packed_2_cannot_say_is_named() {
        let dims = Size::Small.dims();
        let of = |dims: Dims| as_packed2(&dreamstep_fixtures::synthetic::agent(&dims, 1)).unwrap_err().to_string();
        let identity = of(dims.with_encoder(Encoder::Identity { latent: dims.latent_len() }));
        assert_eq!(identity, "packed-2: expected an MLP for V, and an M, found identity and lstm");
    }
}
