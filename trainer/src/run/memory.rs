//! Memory that runs out, and libtorch's exceptions, as errors of one line.
//!
//! What a configuration needs for certain is asked for beforehand ([`expect`]). What fails nevertheless: libtorch throws, the binding
//! panics, and [`guard`] makes a line of it; where Rust's own allocator fails, the standard library prints one and aborts, which becomes
//! the exit status of any other error.

use anyhow::{Context, Result, anyhow};
use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// That `bytes` can be had, which `what` needs.
///
/// # Errors
/// One line: they cannot.
pub fn expect(what: &str, bytes: usize) -> Result<()> {
    let had = Vec::<u8>::new().try_reserve_exact(bytes);
    had.map_err(|_| anyhow!("out of memory: {what} needs at least {:.1} GB", bytes as f64 / 1e9))
}

/// Does `work`. An exception of libtorch's is an error of one line; any other panic passes.
///
/// # Errors
/// `work`'s, or an exception.
pub fn guard<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGABRT, 1, Arc::new(AtomicBool::new(true)))
        .context("SIGABRT: cannot listen")?;
    let before: Arc<dyn Fn(&PanicHookInfo<'_>) + Send + Sync> = std::panic::take_hook().into();
    let hook = before.clone();
    std::panic::set_hook(Box::new(move |info| {
        if exception(info.payload()).is_none() {
            hook(info);
        }
    }));
    let done = catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(Box::new(move |info| before(info)));
    match done {
        Ok(Err(error)) => Err(one_line(&format!("{error:#}")).map_or(error, |line| anyhow!(line))),
        Ok(done) => done,
        Err(payload) => match exception(payload.as_ref()) {
            Some(line) => Err(anyhow!(line)),
            None => resume_unwind(payload),
        },
    }
}

/// The line for a panic, where it is the binding's for an exception, or for a size that no memory has.
fn exception(payload: &(dyn Any + Send)) -> Option<String> {
    let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied())?;
    one_line(text)
}

/// The line for an exception's text, which spans many; or none where it is none.
fn one_line(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let exhausted = ["can't allocate memory", "out of memory", "bad_alloc", "capacity overflow"];
    if lower.starts_with("out of memory: ") {
        return None;
    }
    if exhausted.iter().any(|part| lower.contains(part)) {
        let size = lower.split_once("tried to allocate ").and_then(|(_, rest)| {
            let mut words = rest.split([' ', '.', '\n', '\\']).filter(|word| !word.is_empty());
            let number = words.next()?;
            // Of `20.00 GiB`, both words: the first split took its fraction off.
            let unit = words.find(|word| word.chars().all(char::is_alphabetic))?;
            Some(format!(": expected {number} {unit} more"))
        });
        let size = size.unwrap_or_default();
        return Some(format!("out of memory{size}; a smaller network, batch or number of candidates needs less"));
    }
    // `Torch("text\nframes …")`, as the binding's error is written with {:?}.
    let (_, inner) = text.split_once("Torch(\"")?;
    let first = inner.split("\\n").next().unwrap_or(inner).trim_end_matches("\")");
    Some(format!("libtorch: {}", first.replace("\\\"", "\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_out_of_memory_is_one_line() {
        let cpu = "called `Result::unwrap()` on an `Err` value: Torch(\"[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: \
                   can't allocate memory: you tried to allocate 3600000000 bytes. Error code 12 (Cannot allocate memory)\\nframe #0: c10\")";
        let cuda = "Torch(\"CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 14.75 GiB\\nException raised\")";
        for (text, part) in
            [(cpu, "expected 3600000000 bytes more"), (cuda, "expected 20 gib more"), ("std::bad_alloc", "out of memory;")]
        {
            let line = one_line(text).unwrap();
            assert!(line.starts_with("out of memory") && line.contains(part) && !line.contains('\n'), "{line}");
            let caught = guard(|| -> Result<()> { std::panic::panic_any(text.to_string()) }).unwrap_err().to_string();
            assert_eq!(caught, line);
        }
    }

    #[test]
    fn other_exceptions_are_one_line_and_other_panics_pass() {
        let text = "called `Result::unwrap()` on an `Err` value: Torch(\"mat1 and mat2 shapes cannot be multiplied\\nException raised from\")";
        assert_eq!(one_line(text).unwrap(), "libtorch: mat1 and mat2 shapes cannot be multiplied");
        let passed = catch_unwind(|| guard(|| -> Result<()> { std::panic::panic_any("index out of bounds") }));
        assert!(passed.is_err());
        assert_eq!(guard(|| Ok(7)).unwrap(), 7);
        assert_eq!(guard(|| -> Result<()> { Err(anyhow!("r: cannot write")) }).unwrap_err().to_string(), "r: cannot write");
    }

    #[test]
    fn what_no_memory_has_is_refused_by_name() {
        let error = expect("vae.hidden = [65536, 65536]", 1 << 62).unwrap_err().to_string();
        assert!(error.starts_with("out of memory: vae.hidden = [65536, 65536] needs at least 46"), "{error}");
        expect("a page", 4096).unwrap();
    }
}
