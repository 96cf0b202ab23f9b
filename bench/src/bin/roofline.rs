//! Prints, for every precision and back end of this processor, what a whole step costs beside loading the same weights, and what a
//! tick of a dream costs in a batch.
//!
//! `cargo run --release -p dreamstep-bench --bin roofline`

use dreamstep_bench::{dream_times, precisions, roofline};
use dreamstep_runtime::Backend;

const ROUNDS: usize = 301;
const STEPS: usize = 50;

fn main() {
    let files = precisions();
    println!("Humanoid agent, whole step (encoder + controller + LSTM) against a plain load loop over the same weights;");
    println!("medians of {ROUNDS} interleaved rounds of {STEPS} steps\n");
    println!(
        "{:<12} {:<10} {:>10} {:>10} {:>12} {:>12}",
        "back end", "precision", "step µs", "load µs", "step / load", "to f32"
    );
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        let pairs: Vec<_> = files.iter().map(|file| (&**file, backend)).collect();
        for r in roofline(&pairs, ROUNDS, STEPS) {
            let (backend, precision) = (backend.name(), r.precision.name());
            let (step, floor, ratio, to_first) = (r.step_us, r.floor_us, r.ratio, r.to_first);
            println!("{backend:<12} {precision:<10} {step:>10.2} {floor:>10.2} {ratio:>12.3} {to_first:>12.3}");
        }
    }
    println!("\nDreams (controller + LSTM + MDN head + sampling): one tick of one dream, in batches of N\n");
    println!("{:<12} {:<10} {:>6} {:>10} {:>12}", "back end", "precision", "N", "tick µs", "to N = 1");
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        for file in &files {
            for d in dream_times(file, backend, &[1, 7, 64, 256], ROUNDS / 3, 2 * STEPS) {
                let (precision, count, tick, to_first) = (d.precision.name(), d.count, d.tick_us, d.to_first);
                println!("{:<12} {precision:<10} {count:>6} {tick:>10.2} {to_first:>12.3}", backend.name());
            }
        }
    }
}
