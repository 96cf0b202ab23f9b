//! How does a Python program take part? As a child process that answers one line of JSON to each line of JSON, a round of work to a
//! line, and measures itself.
//!
//! Its first line says which version of what it has, `{"version": …}`, or what it lacks, `{"missing": …}`.

use anyhow::{Context, Result, anyhow, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

/// An interpreter.
#[derive(Clone, Debug)]
pub struct Python {
    /// What tables call it: a record should not hold paths of one machine.
    name: &'static str,
    interpreter: PathBuf,
    /// Where it looks for modules first.
    modules: Option<PathBuf>,
}

impl Python {
    /// The one that set-up installed, with its modules; others may be added by `PYTHONPATH`.
    ///
    /// # Errors
    /// It is not there.
    pub fn of_setup() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace of this package")?;
        let interpreter = root.join("third_party/venv/bin/python");
        ensure!(
            interpreter.exists(),
            "{}: expected the Python of set-up, found none; run `make setup`",
            interpreter.display()
        );
        Ok(Self { name: "the Python of set-up", interpreter, modules: Some(root.join("third_party/python")) })
    }

    /// The same, with PyTorch.
    ///
    /// # Errors
    /// As [`Self::of_setup`].
    pub fn with_torch() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace of this package")?;
        Ok(Self { interpreter: root.join("scripts/python_with_torch.sh"), modules: None, ..Self::of_setup()? })
    }

    /// The one at `interpreter`, as it is.
    #[must_use]
    pub fn at(interpreter: &Path) -> Self {
        Self { name: "the Python that was named", interpreter: interpreter.to_path_buf(), modules: None }
    }

    /// Starts `bench/python/<script>`.
    ///
    /// # Errors
    /// It cannot be started, or ends before its first line.
    pub fn start(&self, script: &'static str, arguments: &[&OsStr]) -> Result<Started> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
        let mut command = Command::new(&self.interpreter);
        command.arg(path).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(modules) = &self.modules {
            let inherited = std::env::var_os("PYTHONPATH").unwrap_or_default();
            let all = std::iter::once(modules.clone()).chain(std::env::split_paths(&inherited));
            let joined: OsString = std::env::join_paths(all).context("PYTHONPATH")?;
            command.env("PYTHONPATH", joined);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("{}: cannot start", self.interpreter.display()))?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take().context("a pipe")?);
        let mut child = Child { script, process, stdin, stdout: BufReader::new(stdout) };
        let Hello { version, missing } = child.read()?;
        match (version, missing) {
            (Some(version), _) => Ok(Started::Ready(child, version)),
            (None, Some(missing)) => Ok(Started::Missing(format!("{}: {missing}", self.name))),
            (None, None) => Err(anyhow!("{script}: expected a version or what is missing, found neither")),
        }
    }
}

/// What a start came to.
pub enum Started {
    /// It waits for its first line; its version of what it is about.
    Ready(Child, String),
    /// It lacks a module: which interpreter, and what.
    Missing(String),
}

#[derive(serde::Deserialize)]
struct Hello {
    version: Option<String>,
    missing: Option<String>,
}

/// A running script.
pub struct Child {
    script: &'static str,
    process: std::process::Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Child {
    /// Hands it `question` and waits for the answer.
    ///
    /// # Errors
    /// It ended (the last line it complained with), or answered something else.
    pub fn ask<T: DeserializeOwned>(&mut self, question: &impl Serialize) -> Result<T> {
        let line = serde_json::to_string(question)? + "\n";
        // One that has ended cannot be written to; what it ended with is found in reading.
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(line.as_bytes());
        }
        self.read()
    }

    fn read<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).with_context(|| format!("{}: cannot read", self.script))?;
        if line.is_empty() {
            drop(self.stdin.take());
            let mut complaint = String::new();
            if let Some(stderr) = &mut self.process.stderr {
                let _ = stderr.read_to_string(&mut complaint);
            }
            let last = complaint.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing on standard error");
            return Err(anyhow!("{}: expected an answer, found that it ended: {last}", self.script));
        }
        serde_json::from_str(&line).with_context(|| format!("{}: {}", self.script, line.trim()))
    }
}

impl Drop for Child {
    /// The end of its input ends it.
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_that_is_none_is_named() {
        let error = Python::at(Path::new("/nowhere/python")).start("cma_peer.py", &[]).err().unwrap();
        assert!(format!("{error:#}").starts_with("/nowhere/python: cannot start: "), "{error:#}");
    }

    #[test]
    fn a_script_that_ends_says_why() {
        let error = Python::of_setup().unwrap().start("simulator.py", &[OsStr::new("--nonsense")]).err().unwrap();
        let error = format!("{error:#}");
        assert!(error.starts_with("simulator.py: expected an answer, found that it ended: "), "{error}");
        assert!(error.contains("--nonsense"), "{error}");
    }
}
