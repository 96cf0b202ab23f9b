//! What does an agent cost on a microcontroller? Steps the shipped Humanoid agent from flash, in f32 and in i8, prints its state's
//! digest, which is the host's, and per step the stack that it used and the instructions that it took. Then the same for the
//! suite's small agent with a GRU, in every precision. Before that, that the self-test would tell of another floating-point mode.
//!
//! Run it under QEMU with `-icount shift=0`: an instruction then takes 1 ns of the emulated clock, and the counts repeat.
#![no_std]
#![no_main]

mod cost;

use cortex_m::register::fpscr::{self, Fpscr, RMode};
use cortex_m_rt::entry;
use cost::{Cost, report};
use dreamstep_conformance::{SHIPPED_I8, SHIPPED_STEPS, gated, observe};
use dreamstep_fixtures::HUMANOID;
use dreamstep_runtime::{Agent, Dims, FloatEnvironment, Model, Rounding, SelfTestError, memory_len};
use semihosting::{println, process};

const DIMS: Dims = Dims::HUMANOID;

#[entry]
fn main() -> ! {
    static mut MEMORY: [f32; memory_len(&DIMS)] = [0.0; memory_len(&DIMS)];
    static mut OBSERVATION: [f32; DIMS.obs_len()] = [0.0; DIMS.obs_len()];
    static mut ACTION: [f32; DIMS.action_len()] = [0.0; DIMS.action_len()];
    cost::start();

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
