//! Recorded episodes: collected or imported into a run's folder, exported, and read back for training.

pub mod collect;
mod contents;
pub mod dataset;
pub mod export;
pub mod import;
pub mod manifest;
mod minari;
pub mod npy;
pub mod observations;
pub mod prefetch;
pub mod rollouts;
pub mod split;
mod table;

use crate::run::folder::write_atomic;
use crate::run::interrupt;
use std::path::{Path, PathBuf};

/// The new files of a command that leaves all of them or none: dropped before [`Self::keep`], it removes them again, and the folders that
/// it found missing.
struct NewFiles {
    files: Vec<PathBuf>,
    /// The innermost first.
    folders: Vec<PathBuf>,
}

impl NewFiles {
    /// `folders`: where files may be put, the innermost first.
    fn below(folders: &[&Path]) -> Self {
        let folders = folders.iter().filter(|folder| !folder.exists()).map(|folder| folder.to_path_buf()).collect();
        Self { files: Vec::new(), folders }
    }

    /// Writes one more file, in the place of any that is there; not after Ctrl-C.
    fn write(&mut self, path: PathBuf, bytes: &[u8]) -> anyhow::Result<()> {
        interrupt::check()?;
        write_atomic(&path, bytes)?;
        self.files.push(path);
        Ok(())
    }

    /// All is written.
    fn keep(mut self) {
        (self.files, self.folders) = (Vec::new(), Vec::new());
    }
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        // An error is on its way to the user; what cannot be removed either stays.
        self.files.iter().for_each(|file| drop(std::fs::remove_file(file)));
        self.folders.iter().for_each(|folder| drop(std::fs::remove_dir(folder)));
    }
}
