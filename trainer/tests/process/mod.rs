//! The binary, as a user runs it: in some folder, with arguments in a line.

#![allow(dead_code, reason = "every test program has this module, and none needs all of it")]

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Runs `dreamstep` in `folder`; what it says on standard output, or, where it refuses, on standard error.
pub(crate) fn dreamstep(folder: &Path, args: &str) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dreamstep"));
    let output = command.current_dir(folder).args(args.split_whitespace()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// What it says with `--json`.
pub(crate) fn json(folder: &Path, args: &str) -> Value {
    serde_json::from_str(&dreamstep(folder, args).unwrap()).unwrap()
}

/// That it is refused in one line, which has `message` in it.
#[track_caller]
pub(crate) fn refused(folder: &Path, args: &str, message: &str) {
    let error = dreamstep(folder, args).unwrap_err();
    assert!(error.contains(message) && error.trim_end().lines().count() == 1, "{args}: {error}");
}
