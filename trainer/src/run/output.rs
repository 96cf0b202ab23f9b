//! Standard output and standard error: everything that is printed, is printed here.
//!
//! What a stage says on its way is worth less than the work: a reader that has gone away (`dreamstep train | head -1`), a full disk under
//! the log or a closed stderr ends nothing. What a command was run for (a report, JSON) is its result, and an error where it cannot be
//! written; a reader that has seen enough is none.

use anyhow::{Context, Result};
use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::Once;

/// Prints a line about the work to stdout. Where it cannot be written the work continues: one warning says so, unless the reader is gone.
pub fn line(text: impl Display) {
    static WARNED: Once = Once::new();
    match write(&mut std::io::stdout().lock(), &format!("{text}\n")) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            WARNED.call_once(|| warning(format!("stdout: cannot write: {error}; the work continues without it")));
        }
        _ => {}
    }
}

/// Prints `text`, a command's result, to stdout.
///
/// # Errors
/// It cannot be written, for another reason than that the reader is gone.
pub fn result(text: &str) -> Result<()> {
    match write(&mut std::io::stdout().lock(), text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("stdout: cannot write"),
    }
}

/// Prints `text` to stderr as a warning, if anyone can read it.
pub fn warning(text: impl Display) {
    error_line(format!("warning: {text}"));
}

/// Prints a line to stderr, if anyone can read it.
pub fn error_line(text: impl Display) {
    // There is no other place to report it to.
    let _ = write(&mut std::io::stderr().lock(), &format!("{text}\n"));
}

fn write(to: &mut impl Write, text: &str) -> std::io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}
