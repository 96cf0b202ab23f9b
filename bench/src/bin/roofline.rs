//! Prints, for every back end of this processor, what a whole step costs beside loading the same weights.
//!
//! `cargo run --release -p dreamstep-bench --bin roofline`

use dreamstep_bench::roofline;
use dreamstep_fixtures::HUMANOID;
use dreamstep_runtime::Backend;

fn main() {
    println!(
        "Humanoid agent, f32, whole step (encoder + controller + LSTM) against a plain load loop over the same weights;"
    );
    println!("medians of 301 interleaved rounds of 50 steps\n");
    println!("{:<10} {:>10} {:>10} {:>12}", "back end", "step µs", "load µs", "step / load");
    for backend in Backend::ALL {
        if backend.is_available() {
            let result = roofline(HUMANOID, backend, 301, 50);
            println!("{:<10} {:>10.2} {:>10.2} {:>12.3}", backend.name(), result.step_us, result.floor_us, result.ratio);
        } else {
            println!("{:<10} this processor does not run it", backend.name());
        }
    }
}
