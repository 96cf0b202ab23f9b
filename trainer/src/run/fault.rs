//! Fault points: the places where a test kills the process, interrupts it or fills the disk, at a moment that it chooses exactly.
//!
//! `DREAMSTEP_FAULT=name:n` kills the process where it comes to the point `name` for the `n`th time, counted from 1, as SIGKILL does from
//! outside; `name:n:interrupt` raises SIGINT there, as Ctrl-C does; `name:n:full` lets the write fail there, as a full disk does, and every
//! later one. Without the variable a point costs one load of memory.
//!
//! | point | where |
//! |---|---|
//! | `write`, `write.half`, `write.rename`, `write.done` | a result: nothing of it is there; half of it, under an unfinished file's name; all of it; it has its name |
//! | `log`, `log.done` | before and after a line of `metrics.jsonl` |
//! | `poll` | a loop asks whether it is to stop ([`crate::run::interrupt`]) |

use nix::sys::signal::{Signal, raise};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The variable that asks for a fault.
const VARIABLE: &str = "DREAMSTEP_FAULT";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Kill,
    Interrupt,
    Full,
}

#[derive(Debug)]
struct Fault {
    point: String,
    /// Which visit of the point, from 1.
    at: u64,
    action: Action,
    visits: AtomicU64,
}

impl Fault {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(':');
        let (point, at) = (words.next()?.to_owned(), words.next()?.parse().ok().filter(|&at| at > 0)?);
        let action = match words.next() {
            None | Some("kill") => Action::Kill,
            Some("interrupt") => Action::Interrupt,
            Some("full") => Action::Full,
            Some(_) => return None,
        };
        words.next().is_none().then_some(Self { point, at, action, visits: AtomicU64::new(0) })
    }

    fn visit(&self, point: &str) -> io::Result<()> {
        if self.point != point {
            return Ok(());
        }
        let visit = self.visits.fetch_add(1, Ordering::Relaxed) + 1;
        match self.action {
            Action::Kill if visit == self.at => raise(Signal::SIGKILL)?,
            Action::Interrupt if visit == self.at => raise(Signal::SIGINT)?,
            Action::Full if visit >= self.at => return Err(io::ErrorKind::StorageFull.into()),
            _ => {}
        }
        Ok(())
    }
}

/// Passes the point, unless `DREAMSTEP_FAULT` names it.
///
/// # Errors
/// The disk is said to be full.
///
/// # Panics
/// `DREAMSTEP_FAULT` is set, but not to `name:n`, `name:n:kill`, `name:n:interrupt` or `name:n:full`.
pub fn point(name: &str) -> io::Result<()> {
    static FAULT: OnceLock<Option<Fault>> = OnceLock::new();
    let fault = FAULT.get_or_init(|| {
        let text = std::env::var(VARIABLE).ok()?;
        Some(
            Fault::parse(&text)
                .unwrap_or_else(|| panic!("{VARIABLE}: expected name:n[:kill|interrupt|full], found `{text}`")),
        )
    });
    fault.as_ref().map_or(Ok(()), |fault| fault.visit(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_and_comes_at_its_visit() {
        let fault = Fault::parse("write:2:full").unwrap();
        assert_eq!((fault.point.as_str(), fault.at, fault.action), ("write", 2, Action::Full));
        assert!(fault.visit("log").is_ok() && fault.visit("write").is_ok());
        assert_eq!(fault.visit("write").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(fault.visit("write").is_err() && fault.visit("log").is_ok(), "a full disk stays full");
        assert_eq!(Fault::parse("poll:1").unwrap().action, Action::Kill);
        for wrong in ["", "poll", "poll:0", "poll:x", "poll:1:burn", "poll:1:kill:2"] {
            assert!(Fault::parse(wrong).is_none(), "{wrong}");
        }
    }
}
