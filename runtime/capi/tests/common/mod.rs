//! What the tests of the C library share.

#![allow(dead_code)] // each test uses its own part

use std::path::PathBuf;
use std::process::Command;

/// This crate's folder.
pub(crate) const MANIFEST: &str = env!("CARGO_MANIFEST_DIR");

/// The shipped agent.
pub(crate) const HUMANOID: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/data/humanoid.safetensors");

/// Where the tests put what they compile.
pub(crate) fn scratch() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// The folder in which cargo built this test and the libraries that it is a test of.
pub(crate) fn built() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_path_buf()
}

/// Runs a command that must succeed; what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().unwrap_or_else(|error| panic!("`{program}`, which the tests need, does not start: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out
}
