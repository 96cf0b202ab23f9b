//! How is the control thread set up, and may it be? Each set-up is applied to the thread that calls, so that it ends with the thread;
//! what is the process's (locked memory, the latency request) ends with [`InForce`].
//!
//! A set-up is in force as a whole or refused in words: a row never runs under another label. Only the latency request, which a machine
//! need not have, may be missing from `realtime`; the words say so.

use crate::tail::Setup;
use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::mman::{MlockAllFlags, mlockall, munlockall};
use nix::sys::prctl::get_timerslack;
use nix::unistd::Pid;
use std::fs::{File, OpenOptions};
use std::io::Write;

/// Above the kernel's threaded interrupt handlers, which run at 50, and below its watchdogs at 99.
const PRIORITY: i32 = 80;

/// While this is open and 0 was written to it, processors stay out of idle states that take time to leave.
const LATENCY: &str = "/dev/cpu_dma_latency";

/// A set-up that is in force, until this is dropped and the thread ends.
#[derive(Debug)]
pub struct InForce {
    /// What is in force, in words.
    pub words: String,
    locked: bool,
    _latency: Option<File>,
}

impl Drop for InForce {
    fn drop(&mut self) {
        if self.locked {
            // It cannot fail: it takes no argument and needs no permission.
            let _ = munlockall();
        }
    }
}

/// Applies `setup` to this thread, pinned to `core` where it pins.
///
/// # Errors
/// In words, what the kernel does not permit.
pub fn apply(setup: Setup, core: usize) -> Result<InForce, String> {
    // How late the kernel may make a timer, so as to wake for several at once; nothing under SCHED_FIFO.
    let slack_us = get_timerslack().map_or(f64::NAN, |ns| f64::from(ns) / 1e3);
    let mut in_force = InForce { words: format!("any core, timer slack {slack_us} µs"), locked: false, _latency: None };
    if setup == Setup::Plain {
        return Ok(in_force);
    }
    pin(core).map_err(|errno| refusal(&format!("affinity to core {core}"), errno))?;
    in_force.words = format!("core {core}, timer slack {slack_us} µs");
    if setup == Setup::Pinned {
        return Ok(in_force);
    }
    first_in_first_out().map_err(|errno| refusal("SCHED_FIFO", errno))?;
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE).map_err(|errno| refusal("mlockall", errno))?;
    in_force.locked = true;
    in_force.words = format!("core {core}, SCHED_FIFO {PRIORITY}, memory locked, {LATENCY} ");
    match hold_latency() {
        Ok(file) => {
            in_force._latency = Some(file);
            in_force.words += "held at 0";
        }
        Err(error) => in_force.words += &format!("not held ({error})"),
    }
    Ok(in_force)
}

fn refusal(what: &str, errno: Errno) -> String {
    match errno {
        Errno::EPERM | Errno::EACCES => format!("{what}: not permitted ({errno:?})"),
        Errno::ENOMEM => format!("{what}: not permitted ({errno:?}: more than the limit of locked memory, `ulimit -l`)"),
        _ => format!("{what}: failed ({errno:?}: {})", errno.desc()),
    }
}

fn pin(core: usize) -> nix::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &cores)
}

fn first_in_first_out() -> nix::Result<()> {
    let parameters = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: the thread is the one that calls, so it lives; `parameters` is a valid `sched_param` that the call only reads. musl's
    // `sched_setscheduler` always fails, hence the call for threads.
    match unsafe { libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_FIFO, &raw const parameters) } {
        0 => Ok(()),
        error => Err(Errno::from_raw(error)),
    }
}

fn hold_latency() -> std::io::Result<File> {
    let mut file = OpenOptions::new().write(true).open(LATENCY)?;
    file.write_all(&0_i32.to_ne_bytes())?;
    Ok(file)
}

/// The core to pin to: `wanted`, or the last of those that this process may use, since the first is where interrupts go.
///
/// # Errors
/// The process may not use `wanted`.
pub fn choose_core(wanted: Option<usize>) -> Result<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("cannot read this process's cores")?;
    let cores: Vec<_> = (0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap_or(false)).collect();
    let last = *cores.last().context("this process has no core")?;
    if let Some(core) = wanted {
        ensure!(cores.contains(&core), "--core: expected one of {cores:?}, which this process may use; found {core}");
    }
    Ok(wanted.unwrap_or(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The set-up's outcome, and whether the thread may run on `core` alone while it is in force.
    fn in_a_thread(setup: Setup, core: usize) -> (Result<String, String>, bool) {
        let work = move || {
            let result = apply(setup, core);
            let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
            let alone = (0..CpuSet::count()).all(|other| allowed.is_set(other).unwrap() == (other == core));
            (result.as_ref().map(|in_force| in_force.words.clone()).map_err(Clone::clone), alone)
        };
        std::thread::spawn(work).join().unwrap()
    }

    #[test]
    fn a_setup_is_in_force_or_refused_in_words() {
        let core = choose_core(None).unwrap();
        let before = sched_getaffinity(Pid::from_raw(0)).unwrap();
        assert!(in_a_thread(Setup::Plain, core).0.unwrap().starts_with("any core, timer slack "));
        for setup in [Setup::Pinned, Setup::Realtime] {
            match in_a_thread(setup, core) {
                (Ok(words), alone) => assert!(alone && words.starts_with(&format!("core {core}")), "{words}"),
                (Err(words), _) => assert!(words.contains("not permitted (E") || words.contains("failed (E"), "{words}"),
            }
        }
        assert_eq!(sched_getaffinity(Pid::from_raw(0)).unwrap(), before, "a thread's set-up ends with it");
    }

    #[test]
    fn a_core_that_is_not_ours_is_named() {
        let error = choose_core(Some(1 << 20)).unwrap_err().to_string();
        assert!(error.starts_with("--core: expected one of [") && error.ends_with("found 1048576"), "{error}");
        // Beyond what an affinity mask can say.
        assert!(in_a_thread(Setup::Pinned, 1 << 20).0.unwrap_err().contains("core 1048576: failed (EINVAL"));
    }

    #[test]
    fn refusals_name_the_thing_and_the_error() {
        assert_eq!(refusal("SCHED_FIFO", Errno::EPERM), "SCHED_FIFO: not permitted (EPERM)");
        assert!(refusal("mlockall", Errno::ENOMEM).starts_with("mlockall: not permitted (ENOMEM: "));
        assert!(refusal("affinity", Errno::EINVAL).starts_with("affinity: failed (EINVAL: "));
    }
}
