//! Does a RISC-V processor compute the same bits? Runs the conformance suite and prints its table by semihosting.
#![no_std]
#![no_main]

use dreamstep_conformance::{MEMORY, run};
use dreamstep_runtime::Backend;
use riscv_rt::entry;
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
