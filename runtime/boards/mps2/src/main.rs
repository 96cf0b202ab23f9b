//! Does a Cortex-M compute the same bits? Runs the conformance suite from flash and prints its table by semihosting.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use dreamstep_conformance::{MEMORY, run};
use dreamstep_runtime::Backend;
use semihosting::{println, process};

#[entry]
fn main() -> ! {
    let mut memory = [0.0; MEMORY];
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        println!("# {}", backend.name());
        run(backend, &mut memory, &mut |agent, precision, check, digest| {
            println!("{agent} {precision} {check} {digest:016x}");
        });
    }
    process::exit(0)
}
