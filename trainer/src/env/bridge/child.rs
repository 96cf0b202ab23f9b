//! A child process that answers requests: how it is started, asked, waited for and ended.
//!
//! What was started is a supervisor; the worker that it forks does the work (`bridge.py`). The supervisor holds a socket, `life`, of which
//! this process has the other end: however this process ends, that end closes, and the supervisor kills the worker and all that it started.

use super::protocol::{Answer, HEADER, Operation, request};
use crate::run::interrupt;
use std::ffi::OsStr;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A wait is cut into such, so that it sees an interruption.
const SLICE: Duration = Duration::from_millis(200);
/// What is under way when a signal comes has so long.
const GRACE: Duration = Duration::from_secs(2);
/// A supervisor that was told to end has so long.
const ENDING: Duration = Duration::from_secs(3);
/// Bytes kept of what a child printed last.
const KEPT: usize = 4096;
/// Room for an answer that is no observation: a line of text.
const ROOM: usize = 1 << 16;

/// One that is alive, as far as is known.
pub(super) struct Child {
    process: std::process::Child,
    wire: UnixStream,
    life: UnixStream,
    /// The read timeout that `wire` has.
    slice: Duration,
    number: u32,
    frame: Vec<u8>,
    /// An answer, its header included.
    answer: Vec<u8>,
    printed: Printed,
    ended: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// A signal came, and the answer did not within the grace.
    Interrupted,
    /// What happened, in one line.
    Failed(String),
}

impl Child {
    /// Starts `interpreter -c script`.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn start(interpreter: &OsStr, script: &str) -> std::io::Result<Self> {
        let (wire, stdin) = UnixStream::pair()?;
        let (life, stdout) = UnixStream::pair()?;
        life.set_read_timeout(Some(ENDING))?;
        let mut command = Command::new(interpreter);
        command.args(["-c", script]).stdin(OwnedFd::from(stdin)).stdout(OwnedFd::from(stdout)).stderr(Stdio::piped());
        // The terminal's Ctrl-C is for this process alone.
        command.process_group(0);
        // One child a thread: more threads in each would be in each other's way. Sets of text have one order, so that what an environment
        // does with them is the same in every child.
        let pools = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"].map(|name| (name, "1"));
        for (name, value) in pools.into_iter().chain([("PYTHONHASHSEED", "0")]) {
            if std::env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
        let mut process = command.spawn()?;
        // The command held the child's ends of the sockets.
        drop(command);
        let printed = Printed::of(process.stderr.take());
        Ok(Self {
            process,
            wire,
            life,
            slice: Duration::ZERO,
            number: 0,
            frame: Vec::new(),
            answer: vec![0; ROOM],
            printed,
            ended: false,
        })
    }

    /// Whether it can still be asked.
    pub(super) fn lives(&mut self) -> bool {
        !self.ended && matches!(self.process.try_wait(), Ok(None))
    }

    /// The answer to one request, and its payload. Without one the child has ended.
    ///
    /// # Errors
    /// It died, gave no answer within `limit`, or answered with what is none.
    pub(super) fn ask(&mut self, operation: Operation, payload: &[u8], limit: Duration) -> Result<(Answer, &[u8]), Lost> {
        match self.exchange(operation, payload, limit) {
            Ok(answer) => Ok((answer, &self.answer[HEADER..HEADER + answer.length])),
            Err(lost) => {
                // Already so, but where it was interrupted.
                self.end(b"K");
                Err(lost)
            }
        }
    }

    /// The payload of the last `answer`.
    pub(super) fn payload(&self, answer: &Answer) -> &[u8] {
        &self.answer[HEADER..HEADER + answer.length]
    }

    fn exchange(&mut self, operation: Operation, payload: &[u8], limit: Duration) -> Result<Answer, Lost> {
        self.number = self.number.wrapping_add(1);
        request(&mut self.frame, self.number, operation, payload);
        let slice = SLICE.min(limit).max(Duration::from_millis(1));
        if slice != self.slice {
            let set = self.wire.set_read_timeout(Some(slice)).and_then(|()| self.wire.set_write_timeout(Some(slice)));
            set.map_err(|error| Lost::Failed(format!("socket: {error}")))?;
            self.slice = slice;
        }
        let mut wait = Wait { start: Instant::now(), limit, interrupted: None };
        let mut sent = 0;
        while sent < self.frame.len() {
            match self.wire.write(&self.frame[sent..]) {
                Ok(count) => sent += count,
                Err(error) => self.waited(&mut wait, &error)?,
            }
        }
        let (mut got, mut answer) = (0, None);
        loop {
            match self.wire.read(&mut self.answer[got..]) {
                Ok(0) => return Err(self.died()),
                Ok(count) => got += count,
                Err(error) => {
                    self.waited(&mut wait, &error)?;
                    continue;
                }
            }
            if let (None, Some(header)) = (&answer, self.answer[..got].first_chunk()) {
                let read = Answer::read(header).filter(|answer| answer.number == self.number);
                let Some(read) = read else { return Err(self.garbage(got)) };
                answer = Some(read);
                // One byte more, which tells of what follows an answer.
                let room = HEADER + read.length + 1;
                if room > self.answer.len() {
                    self.answer.resize(room, 0);
                }
            }
            match answer {
                Some(answer) if got == HEADER + answer.length => return Ok(answer),
                Some(answer) if got > HEADER + answer.length => return Err(self.garbage(got)),
                _ => {}
            }
        }
    }

    /// After a read or write without effect: whether there is a reason to go on.
    fn waited(&mut self, wait: &mut Wait, error: &std::io::Error) -> Result<(), Lost> {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => return Err(self.died()),
            _ => return Err(Lost::Failed(format!("socket: {error}"))),
        }
        if wait.interrupted.is_none() && interrupt::requested() {
            wait.interrupted = Some(Instant::now());
        }
        if wait.interrupted.is_some_and(|at| at.elapsed() >= GRACE) {
            return Err(Lost::Interrupted);
        }
        if wait.start.elapsed() >= wait.limit {
            // It prints where it is before it ends.
            self.end(b"T");
            let place = self.printed.stack().map_or(String::new(), |place| format!(" (it was at {place})"));
            return Err(Lost::Failed(format!("no answer within {} s{place}", wait.limit.as_secs_f64())));
        }
        Ok(())
    }

    /// The socket closed: how the worker ended.
    fn died(&mut self) -> Lost {
        let status = self.end(b"");
        let how = status.map_or("closed its socket".into(), |status| match status.code() {
            Some(code) => format!("exited with status {code}"),
            None => format!("died: {status}"),
        });
        let said = self.printed.last_words().map_or(String::new(), |words| format!("; the last that it printed: {words}"));
        Lost::Failed(format!("the process {how}{said}"))
    }

    fn garbage(&mut self, got: usize) -> Lost {
        let shown: Vec<String> = self.answer[..got.min(16)].iter().map(|byte| format!("{byte:02x}")).collect();
        self.end(b"K");
        Lost::Failed(format!("expected an answer on the socket, found {got} bytes that are none ({} …)", shown.join(" ")))
    }

    /// Ends it, with the supervisor's `word`: `K` at once, `T` after printing where it is; without a word it has ended by itself. The
    /// worker's status, where the supervisor tells it.
    fn end(&mut self, word: &[u8]) -> Option<ExitStatus> {
        if self.ended {
            return None;
        }
        self.ended = true;
        let _ = self.life.write(word);
        // A worker may close its socket and live: it is not waited for.
        let _ = self.life.set_read_timeout(Some(if word.is_empty() { GRACE } else { ENDING }));
        let mut status = [0; 4];
        let status = match self.life.read_exact(&mut status) {
            Ok(()) => {
                let _ = self.exited();
                Some(ExitStatus::from_raw(i32::from_le_bytes(status)))
            }
            // The supervisor itself ended, or never was one.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => self.exited(),
            Err(_) => {
                let _ = self.life.write(b"K");
                self.exited().and(None)
            }
        };
        self.printed.wait();
        status
    }

    /// Waits for what was started; it is killed where it stays, and its worker dies with it. The status, where it was not.
    fn exited(&mut self) -> Option<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < ENDING {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        None
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end(b"K");
    }
}

/// How long an answer has been waited for.
struct Wait {
    start: Instant,
    limit: Duration,
    interrupted: Option<Instant>,
}

/// The end of what a child printed, which a thread reads as it comes: a full pipe would stop the child.
struct Printed {
    kept: Arc<Mutex<Vec<u8>>>,
    /// Disconnected once there is no more.
    more: Receiver<()>,
}

impl Printed {
    fn of(stderr: Option<ChildStderr>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (open, more) = channel();
        let to = Arc::clone(&kept);
        std::thread::spawn(move || {
            let _open = open;
            let (mut stderr, mut chunk) = (stderr, [0; KEPT]);
            while let Some(Ok(count @ 1..)) = stderr.as_mut().map(|stderr| stderr.read(&mut chunk)) {
                let mut kept = to.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(&chunk[..count]);
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            }
        });
        Self { kept, more }
    }

    /// Until all of it is read; not for ever, where a process that nobody found has the pipe.
    fn wait(&self) {
        let _ = self.more.recv_timeout(Duration::from_millis(500));
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    fn stack(&self) -> Option<String> {
        stack(&self.text())
    }

    fn last_words(&self) -> Option<String> {
        last_words(&self.text())
    }
}

/// The places of the last stack that Python's fault handler wrote, innermost first.
fn stack(text: &str) -> Option<String> {
    let (_, stack) = text.rsplit_once("(most recent call first):")?;
    let places = stack.lines().filter_map(|line| {
        let (file, rest) = line.trim().strip_prefix("File \"")?.split_once("\", line ")?;
        let (line, name) = rest.split_once(" in ")?;
        (file != "<string>").then(|| format!("{file}:{line} in {name}"))
    });
    let places: Vec<String> = places.take(4).collect();
    (!places.is_empty()).then(|| places.join(", "))
}

/// The last line, or, of what the fault handler wrote, why and where.
fn last_words(text: &str) -> Option<String> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let fatal = lines().rfind(|line| line.starts_with("Fatal Python error"));
    let words = match (fatal, stack(text)) {
        (Some(fatal), Some(place)) => format!("{fatal} (at {place})"),
        (Some(fatal), None) => fatal.into(),
        (None, _) => lines().next_back()?.into(),
    };
    // Of no more than one line, and without a terminal's escape codes.
    Some(words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUNG: &str = "loading\nStack (most recent call first):\n  File \"/r/robot.py\", line 34 in wait\n  File \"/r/robot.py\", line 9 in step\n  \
                        File \"<string>\", line 200 in step\n";

    #[test]
    fn a_stack_is_told_innermost_first_and_without_the_bridge() {
        assert_eq!(stack(HUNG).unwrap(), "/r/robot.py:34 in wait, /r/robot.py:9 in step");
        assert_eq!(stack("nothing of the kind"), None);
        assert_eq!(stack("Stack (most recent call first):\n  File \"<string>\", line 1 in step\n"), None);
    }

    #[test]
    fn last_words_are_one_line() {
        let crash = "a warning\nFatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n  File \"/r/c.py\", \
                     line 3 in step\n\nExtension modules: numpy (total: 1)\n";
        assert_eq!(last_words(crash).unwrap(), "Fatal Python error: Segmentation fault (at /r/c.py:3 in step)");
        assert_eq!(last_words("one\n\u{1b}[33mtwo\n\n").unwrap(), " [33mtwo");
        assert_eq!(last_words("\n \n"), None);
    }

    /// Neither needs Python: a shell is a child, too.
    #[test]
    fn what_is_no_bridge_is_told_as_it_ends() {
        let said = |script: &str| {
            let mut child = Child::start("sh".as_ref(), script).unwrap();
            let lost = child.ask(Operation::Start, b"{}", Duration::from_secs(20)).unwrap_err();
            assert!(!child.lives());
            match lost {
                Lost::Failed(text) => text,
                Lost::Interrupted => unreachable!("no signal was sent"),
            }
        };
        let garbage = said("echo 'Welcome to this shell, in 24 letters' >&0; exec sleep 30");
        assert!(
            garbage.starts_with("expected an answer on the socket, found 37 bytes that are none (57 65 6c"),
            "{garbage}"
        );
        let ended = said("echo first >&2; echo last >&2; exit 3");
        assert!(ended.ends_with("; the last that it printed: last"), "{ended}");
    }
}
