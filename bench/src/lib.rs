//! What is the least a step could take? The time that this processor needs to load the step's weights and do nothing with them.
//!
//! Ratios only: step and floor are timed in turn, round by round, in one run, so that whatever else the machine does meets both.

use dreamstep_core::names::packed;
use dreamstep_core::reader::File;
use dreamstep_runtime::{Agent, Backend, Model, memory_len};
use std::hint::black_box;
use std::time::Instant;

/// The weights that one `act` + `advance` reads, as they lie in a packed file.
#[must_use]
pub fn step_weights<'f>(file: &File<'f>) -> Vec<&'f [f32]> {
    let names = [packed::ENCODER_0, packed::ENCODER_2, packed::ENCODER_MEAN, packed::FC, packed::RNN];
    names.iter().filter_map(|name| file.tensor(name)).map(|tensor| bytemuck::cast_slice(tensor.data)).collect()
}

/// Loads every value once, in order, with the registers of `backend`, and folds them so that no load can be left out.
///
/// # Panics
/// If the processor does not run `backend`.
#[must_use]
pub fn load_all(backend: Backend, weights: &[&[f32]]) -> u32 {
    assert!(backend.is_available(), "this processor does not run {}", backend.name());
    weights.iter().fold(0, |sum, values| {
        sum ^ match backend {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the assertion above saw AVX2.
            Backend::Avx2 => unsafe { fold_avx2(values) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the assertion above saw AVX-512F.
            Backend::Avx512 => unsafe { fold_avx512(values) },
            _ => fold(values),
        }
    })
}

/// Exclusive or of all bits, in 64 lanes: as many accumulators as a panel has.
#[inline(always)]
fn fold(values: &[f32]) -> u32 {
    let mut lanes = [0_u32; 64];
    let rows: &[[u32; 64]] = bytemuck::cast_slice(values.as_chunks::<64>().0);
    for row in rows {
        for (lane, value) in lanes.iter_mut().zip(row) {
            *lane ^= value;
        }
    }
    let rest = values.as_chunks::<64>().1;
    lanes.iter().fold(0, |a, b| a ^ b) ^ rest.iter().fold(0, |a, b| a ^ b.to_bits())
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fold_avx2(values: &[f32]) -> u32 {
    fold(values)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn fold_avx512(values: &[f32]) -> u32 {
    fold(values)
}

/// One back end's times, in microseconds, each the median over rounds.
#[derive(Clone, Copy, Debug)]
pub struct Roofline {
    /// The back end.
    pub backend: Backend,
    /// `act` + `advance`.
    pub step_us: f64,
    /// Loading the same weights.
    pub floor_us: f64,
    /// Median over rounds of step / floor.
    pub ratio: f64,
}

/// Times `act` + `advance` against [`load_all`] on one back end, in `rounds` interleaved rounds of `steps` steps.
///
/// # Panics
/// If `bytes` is no packed agent, or the processor does not run `backend`.
#[must_use]
pub fn roofline(bytes: &[u8], backend: Backend, rounds: usize, steps: usize) -> Roofline {
    let model = Model::load_with(bytes, backend).expect("a packed agent and a back end that runs");
    let weights = step_weights(&File::parse(bytes).expect("loaded above"));
    let dims = *model.dims();
    let mut memory = vec![0.0; memory_len(&dims)];
    let mut agent = Agent::new(&model, &mut memory).expect("the memory has the length asked for");
    let observation: Vec<f32> = dreamstep_fixtures::synthetic::observation(&dims, 0, 0);
    let mut action = vec![0.0; dims.action];
    let per_step = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..steps {
            work();
        }
        start.elapsed().as_secs_f64() * 1e6 / steps as f64
    };
    let (mut step_us, mut floor_us, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let floor = per_step(&mut || {
            black_box(load_all(backend, black_box(&weights)));
        });
        let step = per_step(&mut || {
            agent.step(black_box(&observation), &mut action).expect("a finite observation");
        });
        // The first round warms caches and clocks.
        if round > 0 {
            step_us.push(step);
            floor_us.push(floor);
            ratios.push(step / floor);
        }
    }
    Roofline { backend, step_us: median(step_us), floor_us: median(floor_us), ratio: median(ratios) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dreamstep_fixtures::HUMANOID;

    #[test]
    fn the_floor_reads_every_weight_of_a_step() {
        let file = File::parse(HUMANOID).unwrap();
        let weights = step_weights(&file);
        let dims = dreamstep_runtime::Dims::HUMANOID;
        assert!(weights.iter().map(|w| w.len()).sum::<usize>() >= dims.step_weights());
        let expected = weights.iter().flat_map(|w| w.iter()).fold(0, |sum, w| sum ^ w.to_bits());
        for backend in Backend::ALL.into_iter().filter(|b| b.is_available()) {
            assert_eq!(load_all(backend, &weights), expected, "{}", backend.name());
        }
    }

    #[test]
    fn the_roofline_runs() {
        let result = roofline(HUMANOID, Backend::detect(), 3, 10);
        assert!(result.step_us > 0.0 && result.floor_us > 0.0 && result.ratio.is_finite());
    }
}
