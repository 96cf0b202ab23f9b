//! The Python that `make setup` installed: the outside oracle of these tests. A test that cannot have it fails.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs it with `args` and returns what it wrote to stdout.
pub(crate) fn run(args: &[&str]) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the trainer lies in the workspace").to_path_buf();
    let interpreter = root.join("third_party/venv/bin/python");
    assert!(interpreter.exists(), "{} not found: run `make setup`; this test has no other reference", interpreter.display());
    let output = Command::new(&interpreter)
        .args(args)
        .env("PYTHONPATH", search_path(&root.join("third_party/python")))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", interpreter.display()));
    assert!(output.status.success(), "python {args:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What `make setup` installed, and then whatever the caller's PYTHONPATH names.
fn search_path(installed: &Path) -> std::ffi::OsString {
    let more = std::env::var_os("PYTHONPATH").unwrap_or_default();
    let folders = std::iter::once(installed.to_path_buf()).chain(std::env::split_paths(&more));
    std::env::join_paths(folders).expect("a path without a separator in it")
}

/// The path of a script beside the tests.
#[allow(dead_code, reason = "not every test that shares this file runs a script")]
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}
