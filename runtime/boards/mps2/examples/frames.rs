//! What does seeing cost on a microcontroller? Steps the suite's agent with the paper's convolutions on frames of 64 x 64 x 3, in i8 from flash;
//! prints the digest of what it did, which is the host's, and what a step took.
//!
//! Run it under QEMU with `-icount shift=0`, as `agent`.
#![no_std]
#![no_main]

mod cost;

use cortex_m_rt::entry;
use cost::{Cost, report};
use dreamstep_conformance::{Digest, FRAME, PAPER, PAPER_I8, PAPER_STEPS, picture};
use dreamstep_runtime::{Agent, Model, memory_len};
use semihosting::{println, process};

#[entry]
fn main() -> ! {
    static mut BYTES: [u8; FRAME] = [0; FRAME];
    static mut MEMORY: [f32; memory_len(&PAPER)] = [0.0; memory_len(&PAPER)];
    cost::start();
    println!("# portable");
    let model = Model::load(PAPER_I8).expect("the suite's agents are valid");
    println!(
        "= frames of 64 x 64 x 3, {} weights: model {} bytes in flash, agent memory {} bytes",
        PAPER.step_weights(),
        PAPER_I8.len(),
        size_of_val(MEMORY)
    );
    let mut agent = Agent::new(model, MEMORY).expect("memory_len is enough");
    let (mut act, mut advance, mut digest) = (Cost::default(), Cost::default(), Digest::default());
    let mut action = [0.0; PAPER.action_len()];
    for t in 0..PAPER_STEPS {
        let stride = picture(&PAPER, t, BYTES);
        act.measure(|| agent.act_image(BYTES, stride, &mut action).expect("the frame is whole"));
        digest = digest.update(&action);
        advance.measure(|| agent.advance().expect("act came before"));
    }
    let digest = digest.update_bytes(&agent.self_test_digest().to_le_bytes()).value();
    println!("paper i8 4-frames {digest:016x}");
    report("i8", &act, &advance);
    process::exit(0)
}
