//! A run's folder, its lock, and files that are written whole or not at all: beside their place, flushed to the disk, and renamed.

use super::fault;
use anyhow::{Context, Result, bail};
use dreamstep_core::digest::Digest;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What the name of an unfinished file begins with. One that stays behind belongs to a process that was killed.
pub const PARTIAL: &str = ".partial-";

/// What the names of the pictures of V's training begin with.
const SAMPLE: &str = "vae_epoch_";

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

    /// Recorded episodes: [`crate::data::rollouts`].
    #[must_use]
    pub fn rollouts(&self) -> PathBuf {
        self.root.join("rollouts")
    }

    /// The trained V.
    #[must_use]
    pub fn vae(&self) -> PathBuf {
        self.root.join("vae.safetensors")
    }

    /// What V makes of the recorded observations: [`crate::world::latents`].
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

    /// The packed agent that C begins as, where it does not begin at zero: see [`crate::control::real`].
    #[must_use]
    pub fn teacher(&self) -> PathBuf {
        self.root.join("teacher.safetensors")
    }

    /// The lessons of a C that has not had all of them from its teacher.
    #[must_use]
    pub fn lessons(&self) -> PathBuf {
        self.root.join("lessons")
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

    /// What TensorBoard reads: [`crate::run::tensorboard`].
    #[must_use]
    pub fn tensorboard(&self) -> PathBuf {
        self.root.join("tensorboard")
    }

    /// One JSON object a line.
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// What [`mod@crate::pipeline::rounds`] found of the agent.
    #[must_use]
    pub fn evaluation(&self) -> PathBuf {
        self.root.join("evaluation.json")
    }

    /// What [`crate::judge::report`] found.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.root.join("report.md")
    }

    /// What V made of held-out frames after `epoch` of its training.
    #[must_use]
    pub fn sample(&self, epoch: usize) -> PathBuf {
        self.figures().join(format!("{SAMPLE}{epoch:04}.png"))
    }

    /// All of these that there are, by their epochs.
    #[must_use]
    pub fn samples(&self) -> Vec<(usize, PathBuf)> {
        let files = std::fs::read_dir(self.figures()).into_iter().flatten().flatten().map(|entry| entry.path());
        let epoch = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix(SAMPLE)?.strip_suffix(".png")?.parse().ok();
        let mut found: Vec<(usize, PathBuf)> = files.filter_map(|path| Some((epoch(&path)?, path))).collect();
        found.sort();
        found
    }

    /// Its pictures.
    #[must_use]
    pub fn figures(&self) -> PathBuf {
        self.root.join("figures")
    }
}

/// The right to change a run's folder: one process has it. Read-only commands do not ask for it. It goes with the value, or with the
/// process, however that ends.
#[derive(Debug)]
pub struct RunLock {
    file: File,
    path: PathBuf,
}

impl RunDir {
    /// Removes what dead processes left unfinished, in every folder of this run.
    ///
    /// # Errors
    /// As [`sweep`].
    pub fn sweep(&self) -> Result<()> {
        let folders = [self.root.clone(), self.rollouts(), self.lessons(), self.tensorboard(), self.figures()];
        folders.iter().filter(|folder| folder.is_dir()).try_for_each(|folder| sweep(folder))
    }

    /// Takes the lock of this run, whose folder is made where there is none, and sweeps out the unfinished files of processes that died.
    ///
    /// # Errors
    /// One line: another process has it, or the folder cannot be written in.
    pub fn lock(&self) -> Result<RunLock> {
        let path = self.root.join(".lock");
        let cannot = || format!("{}: cannot lock the run's folder", path.display());
        std::fs::create_dir_all(&self.root).with_context(cannot)?;
        loop {
            // Not truncated: what is in it says who holds it.
            let mut options = OpenOptions::new();
            let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).with_context(cannot)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    file.read_to_string(&mut holder).with_context(cannot)?;
                    bail!(
                        "{}: expected a run that no other command is changing, found one at work on it (process {}); wait for its end, \
                         or name another run",
                        self.root.display(),
                        holder.trim()
                    );
                }
                // A file system without locks: no other process can be kept out there.
                Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {}
                Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
            }
            // The holder before may have removed the file between our open and our lock: then ours keeps no one out.
            if is_still_at(&file, &path) {
                file.set_len(0).with_context(cannot)?;
                writeln!(file, "{}", std::process::id()).with_context(cannot)?;
                let lock = RunLock { file, path };
                self.sweep()?;
                return Ok(lock);
            }
        }
    }
}

/// Whether `path` still names the open `file`.
fn is_still_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let identity = |found: &std::fs::Metadata| (found.dev(), found.ino());
        matches!((file.metadata(), std::fs::metadata(path)), (Ok(ours), Ok(there)) if identity(&ours) == identity(&there))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Removed while it is held: whoever opened it before will see that it is gone.
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

/// Removes the unfinished files of dead processes from `folder`: a living one holds the lock of what it is writing.
///
/// # Errors
/// The folder cannot be listed, or a file in it not removed.
pub fn sweep(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        let partial = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL)) && path.is_file();
        if partial && File::open(&path).is_ok_and(|file| !matches!(file.try_lock(), Err(TryLockError::WouldBlock))) {
            match std::fs::remove_file(&path) {
                // Finished this moment.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.with_context(|| format!("{}: cannot remove an unfinished file", path.display()))?,
            }
        }
    }
    Ok(())
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
        // Marks the file as in use, for `sweep`; where there are no locks, sweeping relies on one command at a time.
        let _ = file.as_file().try_lock();
        fault::point("write")?;
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        fault::point("write.half")?;
        file.write_all(rest)?;
        file.as_file().sync_all()?;
        fault::point("write.rename")?;
        file.persist(path).map_err(|e| e.error)?;
        fault::point("write.done")?;
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

    /// Who opened the lock's file before its holder removed it must not take the lock of a file that no other process will find.
    #[test]
    #[cfg(unix)]
    fn a_lock_on_a_file_that_is_gone_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let file = File::create(&path).unwrap();
        assert!(is_still_at(&file, &path));
        std::fs::remove_file(&path).unwrap();
        assert!(!is_still_at(&file, &path), "gone");
        let other = File::create(&path).unwrap();
        assert!(!is_still_at(&file, &path) && is_still_at(&other, &path), "another's");
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
