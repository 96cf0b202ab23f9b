//! Does a browser compute the same bits? The conformance suite as a module without imports other than a function that takes a
//! line; `run.mjs` prints the lines under node.
#![no_std]

use core::panic::PanicInfo;
use dreamstep_conformance::{MEMORY, run};
use dreamstep_runtime::Backend;

#[link(wasm_import_module = "host")]
unsafe extern "C" {
    /// Prints the bytes as UTF-8, without a line's end.
    safe fn print(text: *const u8, len: usize);
    /// Prints 16 hexadecimal digits and a line's end.
    safe fn print_digest(digest: u64);
}

fn say(text: &str) {
    print(text.as_ptr(), text.len());
}

/// Prints the table of every back end that the module was compiled with.
#[unsafe(no_mangle)]
extern "C" fn conformance() {
    let mut memory = [0.0; MEMORY];
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        say("# ");
        say(backend.name());
        say("\n");
        run(backend, &mut memory, &mut |agent, precision, check, digest| {
            for word in [agent, precision, check] {
                say(word);
                say(" ");
            }
            print_digest(digest);
        });
    }
}

/// A trap: node ends with an error that says where.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say(info.message().as_str().unwrap_or("panic"));
    say("\n");
    core::arch::wasm32::unreachable()
}
