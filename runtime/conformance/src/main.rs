//! Prints the suite's table: `conformance [BACKEND…]`, by default every back end that this processor runs.

use dreamstep_conformance::{MEMORY, run};
use dreamstep_runtime::Backend;
use std::process::ExitCode;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let names = Backend::ALL.map(Backend::name);
    if let Some(name) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
        eprintln!("back end {name:?}: expected one of {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    let mut memory = vec![0.0; MEMORY];
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        if wanted.is_empty() || wanted.iter().any(|name| name == backend.name()) {
            println!("# {}", backend.name());
            run(backend, &mut memory, &mut |agent, precision, check, digest| {
                println!("{agent} {precision} {check} {digest:016x}");
            });
        }
    }
    ExitCode::SUCCESS
}
