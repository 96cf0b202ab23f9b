//! Where does everything of a run lie? One folder, and no half-written file in it: a file is written beside its place, flushed
//! to the disk, and renamed.

use anyhow::{Context, Result};
use dreamstep_core::digest::Digest;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What the name of an unfinished file begins with. One that stays behind belongs to a process that was killed.
pub const PARTIAL: &str = ".partial-";

/// A run's folder. Naming a path neither creates nor checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// The run in `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Every value in force.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// Recorded episodes: [`crate::rollouts`].
    #[must_use]
    pub fn rollouts(&self) -> PathBuf {
        self.root.join("rollouts")
    }

    /// The trained V.
    #[must_use]
    pub fn vae(&self) -> PathBuf {
        self.root.join("vae.safetensors")
    }

    /// What V makes of the recorded observations: [`crate::latents`].
    #[must_use]
    pub fn latents(&self) -> PathBuf {
        self.root.join("latents.npy")
    }

    /// Which V and which observations these are.
    #[must_use]
    pub fn latents_origin(&self) -> PathBuf {
        self.root.join("latents.json")
    }

    /// The trained M.
    #[must_use]
    pub fn mdnrnn(&self) -> PathBuf {
        self.root.join("mdnrnn.safetensors")
    }

    /// The evolved C.
    #[must_use]
    pub fn controller(&self) -> PathBuf {
        self.root.join("controller.safetensors")
    }

    /// The state of an evolution that is under way.
    #[must_use]
    pub fn evolution(&self) -> PathBuf {
        self.root.join("evolution.safetensors")
    }

    /// The state of a training of `network` that is under way.
    #[must_use]
    pub fn training(&self, network: &str) -> PathBuf {
        self.root.join(format!("{network}.training.safetensors"))
    }

    /// The weights that the training of `network` ended with; its result are those of its best epoch.
    #[must_use]
    pub fn last(&self, network: &str) -> PathBuf {
        self.root.join(format!("{network}.last.safetensors"))
    }

    /// What the robot gets: everything in one file.
    #[must_use]
    pub fn agent(&self) -> PathBuf {
        self.root.join("agent.safetensors")
    }

    /// What TensorBoard reads: [`crate::tensorboard`].
    #[must_use]
    pub fn tensorboard(&self) -> PathBuf {
        self.root.join("tensorboard")
    }

    /// One JSON object a line.
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// What [`crate::report`] found.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.root.join("report.md")
    }

    /// Its pictures.
    #[must_use]
    pub fn figures(&self) -> PathBuf {
        self.root.join("figures")
    }
}

/// Digest of the file at `path`, 16 hexadecimal digits: by it a result names what it was made from.
///
/// # Errors
/// One line: the file cannot be read.
pub fn digest(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))?;
    Ok(format!("{:016x}", Digest::default().update_bytes(&bytes).value()))
}

/// Puts `bytes` at `path`, whole or not at all, replacing what was there. Missing folders are made.
///
/// # Errors
/// One line that names `path`.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        // A rename would put a file in the place of a device: as root, `--out /dev/null` would do lasting harm.
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(std::io::Error::other("expected a file or nothing there, found a folder or a device"));
        }
        std::fs::create_dir_all(folder)?;
        // Readable by others as any new file is; tempfile's own default is for secrets.
        let mut builder = tempfile::Builder::new();
        builder.prefix(PARTIAL);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        // The rename itself lasts once the folder is on the disk; not every system lets a folder be opened.
        if cfg!(unix) {
            std::fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    write().with_context(|| format!("{}: cannot write {} bytes", path.display(), bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/down/file");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_names_the_file_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        let error = format!("{:#}", write_atomic(&taken, b"x").unwrap_err());
        assert!(error.contains("taken") && !error.contains('\n'), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only the folder that was there");
    }
}
