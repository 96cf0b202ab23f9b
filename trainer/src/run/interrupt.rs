//! Interruption: Ctrl-C (SIGINT) or SIGTERM sets a flag; loops check it where everything that they have done is on the disk, or can be put
//! there. A second signal ends the process at once, as SIGKILL would, and does no harm either.

use super::fault;
use anyhow::{Context, Result};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a process that was interrupted exits with, by the shells' convention 128 + SIGINT.
pub const EXIT_CODE: u8 = 130;

/// Signals are the process's, so the flag is too.
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// The error of a stage that a signal stopped. The same command resumes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// From now on signals set the flag. Without it they end the process, as usual.
///
/// # Errors
/// The system refuses.
pub fn listen() -> Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // In this order: the first signal finds the flag unset.
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(EXIT_CODE), &REQUESTED)
            .and_then(|_| signal_hook::flag::register(signal, &REQUESTED))
            .with_context(|| format!("signal {signal}: cannot listen"))?;
    }
    Ok(())
}

/// Whether a signal has come.
#[must_use]
pub fn requested() -> bool {
    // Of the faults a full disk has no meaning here.
    let _ = fault::point("poll");
    REQUESTED.load(Ordering::Relaxed)
}

/// # Errors
/// [`Interrupted`], once a signal has come.
pub fn check() -> Result<()> {
    if requested() { Err(Interrupted.into()) } else { Ok(()) }
}
