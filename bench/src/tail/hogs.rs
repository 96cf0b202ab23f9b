//! What else runs? Threads that want a core all the time and write over memory larger than a core's own caches, at normal priority and
//! on any core: what a planner or a camera does beside a control loop.

use anyhow::{Context, Result};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

/// Of each hog: several times the second-level cache of any core.
const BYTES: usize = 16 << 20;
const LINE: usize = 64 / size_of::<u64>();

/// Hogs at work, until this is dropped; being threads, they also end with the process, however it ends.
#[derive(Debug)]
pub struct Hogs {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

impl Hogs {
    /// Starts `count` of them and returns when all are at work.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn start(count: usize) -> Result<Self> {
        let mut hogs = Self { stop: Arc::default(), threads: Vec::new() };
        let (ready, all_ready) = mpsc::channel();
        for index in 0..count {
            let (stop, ready) = (Arc::clone(&hogs.stop), ready.clone());
            let thread = Builder::new().name(format!("hog {index}")).spawn(move || work(&stop, &ready));
            hogs.threads.push(thread.with_context(|| format!("cannot start hog {index} of {count}"))?);
        }
        for _ in 0..count {
            all_ready.recv().context("a hog ended before it was at work")?;
        }
        Ok(hogs)
    }

    /// Ends them; how often they wrote to a cache line, all together.
    #[must_use]
    pub fn stop(mut self) -> u64 {
        self.end()
    }

    fn end(&mut self) -> u64 {
        self.stop.store(true, Relaxed);
        self.threads.drain(..).map(|thread| thread.join().unwrap_or(0)).sum()
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.end();
    }
}

fn work(stop: &AtomicBool, ready: &mpsc::Sender<()>) -> u64 {
    let mut memory = vec![1_u64; BYTES / size_of::<u64>()];
    // Whoever waited for this may be gone.
    let _ = ready.send(());
    let mut writes = 0;
    loop {
        // A few pages at a time, so that an end does not wait for a whole pass beside many other hogs.
        for pages in memory.chunks_mut(512 * LINE) {
            for line in pages.chunks_mut(LINE) {
                line[0] = line[0].wrapping_mul(3);
                writes += 1;
            }
            black_box(pages);
            if stop.load(Relaxed) {
                return writes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hogs_work_until_they_are_stopped() {
        let hogs = Hogs::start(2).unwrap();
        assert_eq!(hogs.threads.len(), 2);
        let stop = Arc::downgrade(&hogs.stop);
        assert_eq!(stop.strong_count(), 3, "both are at work");
        assert!(hogs.stop() >= 2 * 512);
        assert_eq!(stop.strong_count(), 0, "every thread has ended");
    }

    #[test]
    fn dropping_them_ends_them() {
        let hogs = Hogs::start(1).unwrap();
        let stop = Arc::downgrade(&hogs.stop);
        drop(hogs);
        assert_eq!(stop.strong_count(), 0);
    }
}
