//! What does an agent cost on a microcontroller? Steps the shipped Humanoid agent from flash, in f32 and in i8, prints its state's
//! digest, which is the host's, and per step the stack that it used and the instructions that it took. Then the same for the
//! suite's small agent with a GRU, in every precision. Before that, that the self-test would tell of another floating-point mode.
//!
//! Run it under QEMU with `-icount shift=0`: an instruction then takes 1 ns of the emulated clock, and the counts repeat.
#![no_std]
#![no_main]

use core::arch::asm;
use core::ptr;
use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::register::fpscr::{self, Fpscr, RMode};
use cortex_m_rt::entry;
use dreamstep_conformance::{FRAME, PAPER, PAPER_I8, PAPER_STEPS, SHIPPED_I8, SHIPPED_STEPS, gated, observe, picture};
use dreamstep_fixtures::HUMANOID;
use dreamstep_runtime::{Agent, Dims, FloatEnvironment, Model, Rounding, SelfTestError, memory_len};
use semihosting::{println, process};

const DIMS: Dims = Dims::HUMANOID;
/// The boards clock the processor with 25 MHz.
const NS_PER_TICK: u32 = 40;
/// How far below itself a caller looks for used stack.
const LOOK: usize = 32 * 1024;
const PAINT: u32 = 0xdead_beef;

#[entry]
fn main() -> ! {
    static mut MEMORY: [f32; memory_len(&DIMS)] = [0.0; memory_len(&DIMS)];
    static mut OBSERVATION: [f32; DIMS.obs_len()] = [0.0; DIMS.obs_len()];
    static mut ACTION: [f32; DIMS.action_len()] = [0.0; DIMS.action_len()];
    static mut FRAME_BYTES: [u8; FRAME] = [0; FRAME];
    static mut SIGHT: [f32; memory_len(&PAPER)] = [0.0; memory_len(&PAPER)];
    let mut clock = Peripherals::take().expect("taken once").SYST;
    clock.set_clock_source(SystClkSource::Core);
    clock.set_reload(0x00ff_ffff);
    clock.clear_current();
    clock.enable_counter();

    the_self_test_would_tell();
    println!("# portable");
    for (precision, file) in [("f32", HUMANOID), ("i8", SHIPPED_I8)] {
        let model = Model::load(file).expect("the shipped agent is valid");
        match model.self_test(MEMORY) {
            // Packed anew in another precision: its digest is its proof.
            Ok(()) | Err(SelfTestError::Absent) => {}
            Err(error) => panic!("this processor does not compute what the packer's did: {error}"),
        }
        let digest = live(precision, model, MEMORY, OBSERVATION, ACTION);
        println!("shipped {precision} 16-steps {digest:016x}");
        println!("= {precision}: model {} bytes in flash, agent memory {} bytes", file.len(), size_of_val(MEMORY));
    }
    for (precision, dims, file) in gated() {
        let model = Model::load(file).expect("the suite's agents are valid");
        let (observation, action) = (&mut OBSERVATION[..dims.obs_len()], &mut ACTION[..dims.action_len()]);
        println!("= a GRU of {} units, {} weights a step:", dims.hidden_len(), dims.step_weights());
        live(precision, model, MEMORY, observation, action);
    }
    // Frames of 64 x 64 x 3, seen with the paper's convolutions.
    let model = Model::load(PAPER_I8).expect("the suite's agents are valid");
    println!(
        "= frames, {} weights a step: model {} bytes in flash, agent memory {} bytes",
        PAPER.step_weights(),
        PAPER_I8.len(),
        size_of_val(SIGHT)
    );
    let mut agent = Agent::new(model, SIGHT).expect("memory_len is enough");
    let (mut act, mut advance) = (Cost::default(), Cost::default());
    for t in 0..PAPER_STEPS {
        let stride = picture(&PAPER, t, FRAME_BYTES);
        act.measure(|| agent.act_image(FRAME_BYTES, stride, &mut ACTION[..PAPER.action_len()]).expect("the frame is whole"));
        advance.measure(|| agent.advance().expect("act came before"));
    }
    report("i8", &act, &advance);
    process::exit(0)
}

/// The other modes of this processor's floating point are seen, and the one that it starts in is the contract's.
fn the_self_test_would_tell() {
    let started = fpscr::read();
    let under = |change: fn(&mut Fpscr)| {
        let mut mode = started;
        change(&mut mode);
        // SAFETY: it sets the mode of this thread, which is the only one. What runs in another than the default, the one that the compiler
        // assumes, is a check whose operands and results the compiler does not know.
        unsafe { fpscr::write(mode) };
        let found = FloatEnvironment::observe();
        // SAFETY: the mode is as it was.
        unsafe { fpscr::write(started) };
        (found.rounding, found.flush_to_zero, found.denormals_are_zero)
    };
    assert_eq!(under(|_| ()), (Rounding::NearestEven, false, false));
    assert_eq!(under(|mode| mode.set_fz(true)), (Rounding::NearestEven, true, true));
    assert_eq!(under(|mode| mode.set_rmode(RMode::PlusInfinity)), (Rounding::Up, false, false));
    assert_eq!(under(|mode| mode.set_rmode(RMode::MinusInfinity)), (Rounding::Down, false, false));
    assert_eq!(under(|mode| mode.set_rmode(RMode::Zero)), (Rounding::TowardsZero, false, false));
}

/// Lives an episode's first steps and says what they took; the state's digest after them.
fn live(precision: &str, model: Model<'_>, memory: &mut [f32], observation: &mut [f32], action: &mut [f32]) -> u64 {
    let mut agent = Agent::new(model, memory).expect("memory_len is enough");
    let (mut act, mut advance) = (Cost::default(), Cost::default());
    for t in 0..SHIPPED_STEPS {
        observe(t, observation);
        act.measure(|| agent.act(observation, action).expect("the observation is valid"));
        advance.measure(|| agent.advance().expect("act came before"));
    }
    report(precision, &act, &advance);
    agent.digest()
}

fn report(precision: &str, act: &Cost, advance: &Cost) {
    let (instructions, stack) = (act.instructions() + advance.instructions(), act.stack.max(advance.stack));
    println!(
        "= {precision}: {instructions} instructions a step (act {}, advance {}), {stack} bytes of stack",
        act.instructions(),
        advance.instructions()
    );
}

/// What a call took.
#[derive(Default)]
struct Cost {
    calls: u32,
    ticks: u32,
    stack: usize,
}

impl Cost {
    #[inline(never)]
    fn measure(&mut self, mut call: impl FnMut()) {
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
