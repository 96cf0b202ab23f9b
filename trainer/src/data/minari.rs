//! Minari's datasets, in whichever storage: Minari's own Python package reads them, in a child process (`minari.py`), which writes their
//! episodes into a pipe as `.npz`, flat.

use super::contents::Contents;
use crate::env::{EnvConfig, interpreter};
use crate::run::interrupt;
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The program.
const PROGRAM: &str = include_str!("minari.py");
/// What a dataset's name begins with.
const PREFIX: &str = "minari:";
/// Bytes of one frame at most.
const BYTES_MAX: u64 = 1 << 32;

/// A dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// By the name under which Minari keeps it.
    Id(String),
    /// The folder with its `metadata.json`.
    Folder(PathBuf),
}

impl Source {
    /// The dataset that `path` names: `minari:ID`, a dataset's folder, its folder `data`, or the HDF5 file in it.
    pub(super) fn of(path: &Path) -> Option<Self> {
        if let Some(id) = path.to_str().and_then(|name| name.strip_prefix(PREFIX)) {
            return Some(Self::Id(id.to_owned()));
        }
        let folder = if path.ends_with("main_data.hdf5") { path.parent()? } else { path };
        // Any folder may have a metadata.json.
        let says = |folder: &Path| {
            let text = std::fs::read_to_string(folder.join("metadata.json")).unwrap_or_default();
            text.contains("\"data_format\"") && text.contains("\"total_episodes\"")
        };
        let inner = folder.join("data");
        [folder, &inner].into_iter().find(|folder| says(folder)).map(|folder| Self::Folder(folder.to_path_buf()))
    }

    /// As a user names it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Id(id) => format!("{PREFIX}{id}"),
            Self::Folder(folder) => folder.display().to_string(),
        }
    }

    /// Hands what the data are of and then each episode, the bytes of an `.npz` file, to `take`.
    ///
    /// # Errors
    /// One line that does not name the dataset: Python or a package is missing, there is no such dataset, its spaces are of another kind,
    /// or what `take` refuses. [`interrupt::Interrupted`].
    pub(super) fn read(&self, env: &EnvConfig, mut take: impl FnMut(Frame<'_>) -> Result<()>) -> Result<()> {
        let mut reader = Reader::start(self, env)?;
        let mut number = 0;
        loop {
            interrupt::check()?;
            let (kind, payload) = reader.frame()?;
            match kind {
                b'S' => take(Frame::Contents(&serde_json::from_slice(&payload).context("what the data are of")?))?,
                b'E' => {
                    take(Frame::Episode(&payload)).with_context(|| format!("episode {number}"))?;
                    number += 1;
                }
                b'.' => return Ok(()),
                b'X' => bail!("{}", String::from_utf8_lossy(&payload)),
                kind => bail!("expected an episode from {}, found a frame of kind {kind}", reader.python),
            }
        }
    }
}

/// What is read.
pub(super) enum Frame<'a> {
    /// Once, first.
    Contents(&'a Contents),
    /// The bytes of an `.npz` file.
    Episode(&'a [u8]),
}

/// The child, which ends with this.
struct Reader {
    child: Child,
    pipe: BufReader<ChildStdout>,
    python: String,
}

impl Reader {
    fn start(source: &Source, env: &EnvConfig) -> Result<Self> {
        let python = interpreter(env);
        let mut command = Command::new(&python);
        command.args(["-c", PROGRAM]).stdin(Stdio::null()).stdout(Stdio::piped());
        match source {
            Source::Id(id) => command.arg("id").arg(id),
            Source::Folder(folder) => command.arg("folder").arg(folder),
        };
        let python = python.to_string_lossy().into_owned();
        let started = command.spawn();
        let mut child = started.map_err(|e| anyhow!("cannot start {python}: {e} (env.python names another interpreter)"))?;
        let pipe = child.stdout.take().context("no pipe to the child")?;
        Ok(Self { child, pipe: BufReader::new(pipe), python })
    }

    /// What it is and what it holds.
    fn frame(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut header = [0; 9];
        if let Err(error) = self.pipe.read_exact(&mut header) {
            interrupt::check()?;
            bail!("{}: ended before the data did ({error})", self.python);
        }
        let [kind, length @ ..] = header;
        let length = u64::from_le_bytes(length);
        ensure!(length <= BYTES_MAX, "expected at most {BYTES_MAX} bytes of an episode, found {length}");
        let mut payload = Vec::new();
        let read = (&mut self.pipe).take(length).read_to_end(&mut payload)?;
        ensure!(read as u64 == length, "{}: ended in the middle of an episode", self.python);
        Ok((kind, payload))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // One that has ended is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
