//! How many blocks does a step ask for? Counted for the whole process, C++ libraries included: an executable that links this file
//! defines `malloc` and its relatives itself, which by the dynamic linker's rules takes the calls of every shared library too, counts
//! and hands them on to glibc. Rust's allocator and C++'s `new` end there as well.
//!
//! What a library gets otherwise (`mmap`) is not seen. [`control`] shows that the counter sees Rust, libtorch and ONNX Runtime before
//! any of its numbers is believed.

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
compile_error!("feature `peers` counts allocations under glibc's names: build it for Linux with glibc");

use anyhow::{Result, ensure};
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

static COUNTING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Blocks that the process asked for while `work` ran, on any thread.
pub fn count(work: impl FnOnce()) -> u64 {
    let before = COUNT.load(Relaxed);
    COUNTING.store(true, Relaxed);
    work();
    COUNTING.store(false, Relaxed);
    COUNT.load(Relaxed) - before
}

/// Shows that the counter counts: a vector, a tensor of libtorch and one of ONNX Runtime are seen, and nothing is seen where nothing is
/// asked for.
///
/// # Errors
/// One of them was not seen, or the counter counts by itself.
pub fn control() -> Result<()> {
    super::onnxruntime::environment()?;
    // Once uncounted: libraries set themselves up at the first call.
    let torch = || drop(black_box(tch::Tensor::from_slice(&[1.0_f32; 64])));
    let onnxruntime = || -> Result<()> {
        let allocator = ort::memory::Allocator::default();
        drop(black_box(ort::value::Tensor::<f32>::new(&allocator, [64_usize])?));
        Ok(())
    };
    torch();
    onnxruntime()?;
    let mut seen = Ok(());
    let counts = [
        ("a vector", count(|| drop(black_box(Vec::<u8>::with_capacity(black_box(100)))))),
        ("a zeroed vector", count(|| drop(black_box(vec![0_u8; black_box(100)])))),
        ("a tensor of libtorch", count(torch)),
        ("a tensor of ONNX Runtime", count(|| seen = onnxruntime())),
    ];
    seen?;
    for (what, count) in counts {
        ensure!(count >= 1, "allocation counter: expected {what} to be seen, found a count of {count}");
    }
    let idle = count(|| {
        black_box([0_u8; 100]);
    });
    ensure!(idle == 0, "allocation counter: expected 0 where nothing is asked for, found {idle}");
    Ok(())
}

fn one() {
    if COUNTING.load(Relaxed) {
        COUNT.fetch_add(1, Relaxed);
    }
}

// glibc's own, under the names that it exports for those who define the public ones.
unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(alignment: usize, size: usize) -> *mut c_void;
}

const EINVAL: c_int = 22;
const ENOMEM: c_int = 12;

// The functions below are defined as C defines them, and keep C's contract because glibc's keep it: each hands its arguments on
// unchanged, and touches but two atomics, which neither allocate nor need initialisation. `free` stays glibc's, to which every block
// belongs.

/// C's `malloc`.
// SAFETY: the name is C's, and so is what it does, see above.
#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut c_void {
    one();
    // SAFETY: any size may be asked for.
    unsafe { __libc_malloc(size) }
}

/// C's `calloc`.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    one();
    // SAFETY: any size may be asked for; glibc checks the product.
    unsafe { __libc_calloc(count, size) }
}

/// C's `realloc`.
///
/// # Safety
/// `block` is null or a live block of this allocator.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    one();
    // SAFETY: the caller's block came from this file or from glibc, which is the same allocator.
    unsafe { __libc_realloc(block, size) }
}

/// C's `aligned_alloc`.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    one();
    // SAFETY: glibc refuses what is no alignment.
    unsafe { __libc_memalign(alignment, size) }
}

/// The older name of the same.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
    one();
    // SAFETY: glibc refuses what is no alignment.
    unsafe { __libc_memalign(alignment, size) }
}

/// POSIX's `posix_memalign`.
///
/// # Safety
/// `out` can be written to.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    one();
    if !alignment.is_power_of_two() || !alignment.is_multiple_of(size_of::<*mut c_void>()) {
        return EINVAL;
    }
    // SAFETY: the alignment was checked; any size may be asked for.
    let block = unsafe { __libc_memalign(alignment, size) };
    if block.is_null() {
        return ENOMEM;
    }
    // SAFETY: the caller vouches for `out`.
    unsafe { out.write(block) };
    0
}
