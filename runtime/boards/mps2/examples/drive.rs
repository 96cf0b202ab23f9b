//! Does a driver of pictures drive the same on a microcontroller? The shipped CarRacing-v3 agent, in i8 from flash, sees the recorded frames of its
//! self-test, and does bit for bit what it did where it was packed. What such a step takes says `frames`.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use dreamstep_fixtures::CAR_RACING;
use dreamstep_runtime::{Model, memory_len};
use semihosting::{println, process};

/// `f32` of memory, more than the agent needs.
const MEMORY: usize = 64 << 10;

#[entry]
fn main() -> ! {
    static mut WHOLE: [f32; MEMORY] = [0.0; MEMORY];
    let model = Model::load(CAR_RACING).expect("the shipped agent is valid");
    let needed = memory_len(model.dims());
    let memory = WHOLE.get_mut(..needed).expect("enough memory");
    match model.self_test(memory) {
        Ok(()) => println!(
            "= car-racing i8: {} bytes in flash, {} of memory: its recorded frames, the same bits",
            CAR_RACING.len(),
            4 * needed
        ),
        Err(error) => panic!("this processor does not compute what the packer's did: {error}"),
    }
    process::exit(0)
}
