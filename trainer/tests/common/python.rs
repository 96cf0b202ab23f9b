//! The Python that `make setup` installed: the outside oracle of these tests. A test that cannot have it fails.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the trainer lies in the workspace").to_path_buf()
}

/// Runs it with `args` and returns what it wrote to stdout.
pub(crate) fn run(args: &[&str]) -> Vec<u8> {
    output(command().args(args))
}

/// As [`run`], by the interpreter that bridged environments have.
pub(crate) fn run_as_bridged(args: &[&str]) -> Vec<u8> {
    output(Command::new(script("python/interpreter.sh")).args(args))
}

/// As [`run`], with PyTorch.
pub(crate) fn run_with_torch(args: &[&str]) -> String {
    let mut command = Command::new(root().join("scripts/python_with_torch.sh"));
    String::from_utf8(output(command.args(args))).unwrap()
}

fn command() -> Command {
    let interpreter = root().join("third_party/venv/bin/python");
    assert!(interpreter.exists(), "{} not found: run `make setup`; this test has no other reference", interpreter.display());
    let mut command = Command::new(&interpreter);
    command.env("PYTHONPATH", search_path(&root().join("third_party/python"))).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What `make setup` installed, and then whatever the caller's PYTHONPATH names.
fn search_path(installed: &Path) -> OsString {
    let more = std::env::var_os("PYTHONPATH").unwrap_or_default();
    let folders = std::iter::once(installed.to_path_buf()).chain(std::env::split_paths(&more));
    std::env::join_paths(folders).expect("a path without a separator in it")
}

/// The path of a script beside the tests.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}
