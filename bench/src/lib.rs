//! What is the least a step could take? The time that this processor needs to load the step's weights and do nothing with them.
//!
//! Ratios only: step and floor are timed in turn, round by round, in one run, so that whatever else the machine does meets both.

use dreamstep_core::names::packed;
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::reader::File;
use dreamstep_runtime::{
    Agent, Backend, DreamOptions, Dreams, Ending, Model, Precision, Start, dreams_memory_len, memory_len,
};
use std::hint::black_box;
use std::time::Instant;

/// The weights that one `act` + `advance` reads, as they lie in a packed file.
#[must_use]
pub fn step_weights<'f>(file: &File<'f>) -> Vec<&'f [u32]> {
    let layers = [packed::ENCODER_0, packed::ENCODER_2, packed::ENCODER_MEAN, packed::FC, packed::RNN];
    let panels = layers.iter().filter_map(|layer| file.tensor(layer.panels));
    panels.map(|tensor| bytemuck::cast_slice(tensor.data)).collect()
}

/// Loads every value once, in order, with the registers of `backend`, and folds them so that no load can be left out.
///
/// # Panics
/// If the processor does not run `backend`.
#[must_use]
pub fn load_all(backend: Backend, weights: &[&[u32]]) -> u32 {
    assert!(backend.is_available(), "this processor does not run {}", backend.name());
    weights.iter().fold(0, |sum, values| {
        sum ^ match backend {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the assertion above saw AVX2.
            Backend::Avx2 => unsafe { fold_avx2(values) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the assertion above saw AVX-512F.
            Backend::Avx512 | Backend::Avx512Vnni => unsafe { fold_avx512(values) },
            _ => fold(values),
        }
    })
}

/// Exclusive or of all bits, in 64 lanes: as many accumulators as a panel has.
#[inline(always)]
fn fold(values: &[u32]) -> u32 {
    let mut lanes = [0_u32; 64];
    let (rows, rest) = values.as_chunks::<64>();
    for row in rows {
        for (lane, value) in lanes.iter_mut().zip(row) {
            *lane ^= value;
        }
    }
    lanes.iter().chain(rest).fold(0, |a, b| a ^ b)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fold_avx2(values: &[u32]) -> u32 {
    fold(values)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn fold_avx512(values: &[u32]) -> u32 {
    fold(values)
}

/// One back end's times in one precision, in microseconds, each the median over rounds.
#[derive(Clone, Copy, Debug)]
pub struct Roofline {
    /// The precision.
    pub precision: Precision,
    /// The back end.
    pub backend: Backend,
    /// `act` + `advance`.
    pub step_us: f64,
    /// Loading the same weights.
    pub floor_us: f64,
    /// Median over rounds of step / floor.
    pub ratio: f64,
    /// Median over rounds of this step's time over that of the first of those timed together.
    pub to_first: f64,
}

/// Times `act` + `advance` against [`load_all`], for every pair of a file and a back end, in `rounds` interleaved rounds of `steps`
/// steps: in each round every pair has its turn.
///
/// # Panics
/// If a file is no packed agent, or the processor does not run a back end.
#[must_use]
pub fn roofline(pairs: &[(&[u8], Backend)], rounds: usize, steps: usize) -> Vec<Roofline> {
    let mut models = Vec::new();
    for &(bytes, backend) in pairs {
        models.push((backend, Model::load_with(bytes, backend).expect("a packed agent and a back end that runs")));
    }
    let weights: Vec<_> = pairs.iter().map(|(bytes, _)| step_weights(&File::parse(bytes).expect("loaded above"))).collect();
    let mut memories: Vec<_> = models.iter().map(|(_, model)| vec![0.0; memory_len(model.dims())]).collect();
    let mut agents: Vec<_> = models
        .iter()
        .zip(&mut memories)
        .map(|((_, model), memory)| Agent::new(model, memory).expect("the memory has the length asked for"))
        .collect();
    let mut times = vec![(Vec::new(), Vec::new(), Vec::new(), Vec::new()); pairs.len()];
    for round in 0..=rounds {
        let mut first = 0.0;
        for (i, ((backend, model), agent)) in models.iter().zip(&mut agents).enumerate() {
            let observation = dreamstep_fixtures::synthetic::observation(model.dims(), 0, 0);
            let mut action = vec![0.0; model.dims().action];
            let floor = per_call(steps, || {
                black_box(load_all(*backend, black_box(&weights[i])));
            });
            let step = per_call(steps, || {
                agent.step(black_box(&observation), &mut action).expect("a finite observation");
            });
            first = if i == 0 { step } else { first };
            // The first round warms caches and clocks.
            if round > 0 {
                let (floors, steps, ratios, to_first) = &mut times[i];
                floors.push(floor);
                steps.push(step);
                ratios.push(step / floor);
                to_first.push(step / first);
            }
        }
    }
    let result = |((backend, model), (floors, steps, ratios, to_first)): (&(Backend, Model<'_>), _)| Roofline {
        precision: model.settings().precision,
        backend: *backend,
        step_us: median(steps),
        floor_us: median(floors),
        ratio: median(ratios),
        to_first: median(to_first),
    };
    models.iter().zip(times).map(result).collect()
}

/// Dreams of one batch size, in microseconds per tick of one dream, each the median over rounds.
#[derive(Clone, Copy, Debug)]
pub struct DreamTimes {
    /// The precision.
    pub precision: Precision,
    /// Dreams in the batch.
    pub count: usize,
    /// Time of a tick over the number of dreams.
    pub tick_us: f64,
    /// Median over rounds of that over the first batch size's.
    pub to_first: f64,
}

/// Times dreams of several batch sizes, in `rounds` interleaved rounds of `ticks` ticks each.
///
/// # Panics
/// If `bytes` is no packed agent with an MDN head, or the processor does not run `backend`.
#[must_use]
pub fn dream_times(bytes: &[u8], backend: Backend, counts: &[usize], rounds: usize, ticks: usize) -> Vec<DreamTimes> {
    let model = Model::load_with(bytes, backend).expect("a packed agent and a back end that runs");
    let dims = *model.dims();
    let mut memories: Vec<_> = counts.iter().map(|&count| vec![0.0; dreams_memory_len(&dims, count)]).collect();
    let options = DreamOptions { ending: Ending::Never, ..DreamOptions::default() };
    let latent = vec![0.25; dims.latent];
    let mut batches = Vec::new();
    for (&count, memory) in counts.iter().zip(&mut memories) {
        let mut dreams = Dreams::new(&model, memory, count, options).expect("a head, and the memory asked for");
        for index in 0..count {
            dreams.start(index, index as u32, Start { latent: &latent, state: None }).expect("a finite latent");
        }
        batches.push(dreams);
    }
    let mut times = vec![(Vec::new(), Vec::new()); counts.len()];
    for round in 0..=rounds {
        let mut first = 0.0;
        for (i, dreams) in batches.iter_mut().enumerate() {
            let count = dreams.count();
            let tick = per_call(ticks.div_ceil(count), || {
                black_box(dreams.step());
            }) / count as f64;
            first = if i == 0 { tick } else { first };
            if round > 0 {
                times[i].0.push(tick);
                times[i].1.push(tick / first);
            }
        }
    }
    let precision = model.settings().precision;
    let result = |(&count, (ticks, to_first)): (&usize, _)| DreamTimes {
        precision,
        count,
        tick_us: median(ticks),
        to_first: median(to_first),
    };
    counts.iter().zip(times).map(result).collect()
}

/// The shipped agent in every precision, f32 first.
#[must_use]
pub fn precisions() -> Vec<AlignedBytes> {
    let in_precision = |precision| dreamstep_fixtures::synthetic::in_precision(dreamstep_fixtures::HUMANOID, precision);
    Precision::ALL.into_iter().map(in_precision).collect()
}

/// Microseconds that one of `calls` calls of `work` takes.
fn per_call(calls: usize, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        work();
    }
    start.elapsed().as_secs_f64() * 1e6 / calls as f64
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
        let expected = weights.iter().flat_map(|w| w.iter()).fold(0, |sum, w| sum ^ w);
        for backend in Backend::ALL.into_iter().filter(|b| b.is_available()) {
            assert_eq!(load_all(backend, &weights), expected, "{}", backend.name());
        }
    }

    #[test]
    fn the_roofline_runs() {
        let files = precisions();
        let pairs: Vec<_> = files.iter().map(|file| (&**file, Backend::detect())).collect();
        for result in roofline(&pairs, 3, 10) {
            assert!(result.step_us > 0.0 && result.floor_us > 0.0 && result.ratio.is_finite());
        }
        for result in dream_times(HUMANOID, Backend::detect(), &[1, 7], 3, 10) {
            assert!(result.tick_us > 0.0 && result.to_first.is_finite());
        }
    }
}
