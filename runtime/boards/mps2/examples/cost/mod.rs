//! What calls cost on a board: instructions by the emulated clock, and stack by paint.

use core::arch::asm;
use core::ptr;
use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use semihosting::println;

/// The boards clock the processor with 25 MHz.
const NS_PER_TICK: u32 = 40;
/// How far below itself a caller looks for used stack.
const LOOK: usize = 32 * 1024;
const PAINT: u32 = 0xdead_beef;

/// Starts the clock; once.
pub(crate) fn start() {
    let mut clock = Peripherals::take().expect("taken once").SYST;
    clock.set_clock_source(SystClkSource::Core);
    clock.set_reload(0x00ff_ffff);
    clock.clear_current();
    clock.enable_counter();
}

/// Says what a step took.
pub(crate) fn report(precision: &str, act: &Cost, advance: &Cost) {
    let (instructions, stack) = (act.instructions() + advance.instructions(), act.stack.max(advance.stack));
    println!(
        "= {precision}: {instructions} instructions a step (act {}, advance {}), {stack} bytes of stack",
        act.instructions(),
        advance.instructions()
    );
}

/// What a call took.
#[derive(Default)]
pub(crate) struct Cost {
    calls: u32,
    ticks: u32,
    stack: usize,
}

impl Cost {
    #[inline(never)]
    pub(crate) fn measure(&mut self, mut call: impl FnMut()) {
        let stack = paint();
        let before = SYST::get_current();
        call();
        // The counter has 24 bits and counts down.
        self.ticks += before.wrapping_sub(SYST::get_current()) & 0x00ff_ffff;
        self.calls += 1;
        self.stack = self.stack.max(used(stack));
    }

    fn instructions(&self) -> u32 {
        self.ticks / self.calls * NS_PER_TICK
    }
}

/// Fills the unused stack below the caller and returns where it ends.
#[inline(always)]
fn paint() -> *mut u32 {
    let top: *mut u32;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) top, options(nomem, nostack, preserves_flags)) };
    for i in 1..=LOOK / 4 {
        // SAFETY: below the stack pointer, above the statics (the boards have 4 MB of RAM), and no interrupt is on: nobody's.
        unsafe { ptr::write_volatile(top.wrapping_sub(i), PAINT) };
    }
    top
}

/// Bytes below `top` down to the lowest that is no longer painted.
#[inline(always)]
fn used(top: *mut u32) -> usize {
    // SAFETY: the words that `paint` wrote.
    let painted = |i: &usize| unsafe { ptr::read_volatile(top.wrapping_sub(*i)) } == PAINT;
    4 * (LOOK / 4 - (1..=LOOK / 4).rev().take_while(painted).count())
}
