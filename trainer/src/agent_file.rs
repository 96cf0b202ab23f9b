//! Reads a packed agent from disk for the commands that run it.

use anyhow::{Context, Result, anyhow, ensure};
use dreamstep_core::pack::AlignedBytes;
use dreamstep_runtime::{Backend, Model};
use std::path::Path;

/// The largest file read: a typing slip should not fill the memory.
const MAX_BYTES: u64 = 1 << 30;

/// The file's bytes, aligned.
///
/// # Errors
/// One line: missing, unreadable or too large.
pub fn read(path: &Path) -> Result<AlignedBytes> {
    let name = || format!("{}: cannot read the agent", path.display());
    let metadata = std::fs::metadata(path).with_context(name)?;
    ensure!(metadata.is_file(), "{}: expected a packed agent, found a folder or device", path.display());
    ensure!(metadata.len() <= MAX_BYTES, "{}: expected at most {MAX_BYTES} bytes, found {}", path.display(), metadata.len());
    Ok(AlignedBytes::new(&std::fs::read(path).with_context(name)?))
}

/// The model in `bytes`, on `backend` or the widest that this machine has.
///
/// # Errors
/// One line that names `path` and what is wrong.
pub fn load<'a>(path: &Path, bytes: &'a AlignedBytes, backend: Option<Backend>) -> Result<Model<'a>> {
    let backend = backend.unwrap_or_else(Backend::detect);
    Model::load_with(bytes, backend).map_err(|error| anyhow!("{}: {error}", path.display()))
}
