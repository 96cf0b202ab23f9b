//! Floating-point modes that a host program may leave a thread in, set in the processor itself: x86's MXCSR, aarch64's FPCR.

use dreamstep_runtime::{FloatEnvironment, Rounding};

/// What to set in the register, and what is then to be seen: rounding, flush-to-zero, denormals-are-zero.
pub(crate) type Mode = (u64, (Rounding, bool, bool));

/// FTZ is bit 15 and DAZ bit 6; bits 13 and 14 round down (1), up (2), towards zero (3).
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
pub(crate) const MODES: &[Mode] = &[
    (1 << 15, (Rounding::NearestEven, true, false)),
    (1 << 6, (Rounding::NearestEven, false, true)),
    (1 << 15 | 1 << 6, (Rounding::NearestEven, true, true)),
    (1 << 13, (Rounding::Down, false, false)),
    (2 << 13, (Rounding::Up, false, false)),
    (3 << 13, (Rounding::TowardsZero, false, false)),
    (3 << 13 | 1 << 15 | 1 << 6, (Rounding::TowardsZero, true, true)),
];

/// FZ is bit 24, for operands and results; bits 22 and 23 round up (1), down (2), towards zero (3).
#[cfg(target_arch = "aarch64")]
pub(crate) const MODES: &[Mode] = &[
    (1 << 24, (Rounding::NearestEven, true, true)),
    (1 << 22, (Rounding::Up, false, false)),
    (2 << 22, (Rounding::Down, false, false)),
    (3 << 22, (Rounding::TowardsZero, false, false)),
    (3 << 22 | 1 << 24, (Rounding::TowardsZero, true, true)),
];

/// How to set it is not known here.
#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) const MODES: &[Mode] = &[];

/// What `environment` says, as [`MODES`] does.
pub(crate) fn seen(environment: FloatEnvironment) -> (Rounding, bool, bool) {
    (environment.rounding, environment.flush_to_zero, environment.denormals_are_zero)
}

/// Does `call` with these bits set, and sets the register back.
pub(crate) fn under<T>(bits: u64, call: impl FnOnce() -> T) -> T {
    /// Sets the register back where `call` panics, too.
    struct Restore(u64);
    impl Drop for Restore {
        fn drop(&mut self) {
            write(self.0);
        }
    }
    let _restore = Restore(read());
    write(read() | bits);
    call()
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn read() -> u64 {
    let mut mxcsr = 0_u32;
    // SAFETY: it writes the four bytes of `mxcsr`; every processor with SSE has the register.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack)) };
    mxcsr.into()
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn write(mxcsr: u64) {
    let mxcsr = mxcsr as u32;
    // SAFETY: it reads the four bytes of `mxcsr`, in which only defined bits are set. The compiler assumes the default mode: what runs in
    // another is the check under test, whose operands and results the compiler does not know, and moves of integers and memory.
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mxcsr, options(nostack)) };
}

#[cfg(target_arch = "aarch64")]
fn read() -> u64 {
    let fpcr: u64;
    // SAFETY: every aarch64 with floating point has the register, and user programs may read it.
    unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) fpcr, options(nostack)) };
    fpcr
}

#[cfg(target_arch = "aarch64")]
fn write(fpcr: u64) {
    // SAFETY: user programs may write it, and only defined bits are set. The compiler assumes the default mode: what runs in another is the
    // check under test, whose operands and results the compiler does not know, and moves of integers and memory.
    unsafe { std::arch::asm!("msr fpcr, {}", in(reg) fpcr, options(nostack)) };
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn read() -> u64 {
    0
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn write(_: u64) {}
