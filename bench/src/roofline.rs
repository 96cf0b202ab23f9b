//! What is the least a step could take? The time that this processor needs to load the step's weights and do nothing with them.
//!
//! Ratios only: step and floor are timed in turn, round by round, in one run, so that whatever else the machine does meets both.

use crate::arithmetic::{Arithmetic, multiply_adds};
use crate::timing::{Contender, Samples, interleave};
use dreamstep_core::reader::File;
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Agent, Backend, Dims, DreamBatch, DreamOptions, DreamStart, Encoder, Model, Precision, Termination, dreams_memory_len,
    memory_len,
};
use std::hint::black_box;

/// The weights that one `act` + `advance` reads, as they lie in a packed file.
///
/// # Panics
/// If it is no packed agent.
#[must_use]
pub fn step_weights<'f>(file: &File<'f>) -> Vec<&'f [u32]> {
    let dims = Dims::read(file).expect("a packed agent");
    let layers = dims.layers();
    let panels = layers.iter().filter(|layer| !layer.optional).filter_map(|layer| file.tensor(layer.names.panels));
    panels.map(|tensor| bytemuck::cast_slice(tensor.data)).collect()
}

/// Loads values once each, with the widest registers that this processor has, and folds them so that no load can be left out.
///
/// Made once, outside of what is timed: to ask a virtual machine's processor what it has takes microseconds.
#[derive(Clone, Copy, Debug)]
pub struct LoadLoop(fn(&[u32]) -> u32);

impl LoadLoop {
    /// The one for this processor.
    #[must_use]
    pub fn widest() -> Self {
        Self(match Backend::detect() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this back end was detected, so the processor has AVX2.
            Backend::Avx2 => |values| unsafe { fold_avx2(values) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: these back ends were detected, so the processor has AVX-512F.
            Backend::Avx512 | Backend::Avx512Vnni => |values| unsafe { fold_avx512(values) },
            _ => fold,
        })
    }

    /// Exclusive or of all of them.
    #[must_use]
    pub fn run(self, weights: &[&[u32]]) -> u32 {
        weights.iter().fold(0, |sum, values| sum ^ self.0(values))
    }
}

/// Exclusive or of all values, a line of a cache at a time and from four places at once: prefetchers follow each by itself. (Of the
/// loops tried, one place with or without prefetches, two, four, eight, this was the fastest.)
#[inline(always)]
fn fold(values: &[u32]) -> u32 {
    let (lines, rest) = values.as_chunks::<16>();
    let (first, second) = lines.split_at(lines.len() / 2);
    let ((a, b), (c, d)) = (first.split_at(first.len() / 2), second.split_at(second.len() / 2));
    let mut sums = [[0; 16]; 4];
    let mut add = |place: usize, line: &[u32; 16]| {
        for (sum, value) in sums[place].iter_mut().zip(line) {
            *sum ^= value;
        }
    };
    let n = a.len();
    for (((a, b), c), d) in a.iter().zip(&b[..n]).zip(&c[..n]).zip(&d[..n]) {
        add(0, a);
        add(1, b);
        add(2, c);
        add(3, d);
    }
    for line in [&b[n..], &c[n..], &d[n..]].into_iter().flatten() {
        add(0, line);
    }
    sums.iter().flatten().chain(rest).fold(0, |a, b| a ^ b)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fold_avx2(values: &[u32]) -> u32 {
    fold(values)
}

/// The same by intrinsics: of the loop above the compiler makes one for AVX-512 that takes seven times as long as a step.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn fold_avx512(values: &[u32]) -> u32 {
    use std::arch::x86_64::{__m512i, _mm512_loadu_si512, _mm512_setzero_si512, _mm512_storeu_si512, _mm512_xor_si512};
    let (lines, rest) = values.as_chunks::<16>();
    let n = lines.len() / 4;
    let mut sums: [__m512i; 4] = [_mm512_setzero_si512(); 4];
    // SAFETY: a line is 64 readable bytes; an unaligned load needs no more.
    let add = |sum, line: &[u32; 16]| _mm512_xor_si512(sum, unsafe { _mm512_loadu_si512(line.as_ptr().cast()) });
    let (first, second) = lines.split_at(2 * n);
    let ((a, b), (c, d)) = (first.split_at(n), second.split_at(n));
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        sums[0] = add(sums[0], a);
        sums[1] = add(sums[1], b);
        sums[2] = add(sums[2], c);
        sums[3] = add(sums[3], d);
    }
    sums[0] = d[n..].iter().fold(sums[0], add);
    let mut line = [0; 16];
    let all = _mm512_xor_si512(_mm512_xor_si512(sums[0], sums[1]), _mm512_xor_si512(sums[2], sums[3]));
    // SAFETY: `line` is 64 writable bytes.
    unsafe { _mm512_storeu_si512(line.as_mut_ptr().cast(), all) };
    line.iter().chain(rest).fold(0, |a, b| a ^ b)
}

/// One back end's times in one precision.
#[derive(Clone, Debug)]
pub struct Roofline {
    /// The precision.
    pub precision: Precision,
    /// The back end.
    pub backend: Backend,
    /// `act` + `advance`.
    pub step: Samples,
    /// Loading the same weights.
    pub floor: Samples,
}

/// Times `act` + `advance` against a [`LoadLoop`], for every pair of a file and a back end, in `rounds` interleaved rounds of `steps`
/// steps: in each round every pair has its turn.
///
/// # Panics
/// If a file is no packed agent, or the processor does not run a back end.
#[must_use]
pub fn roofline(pairs: &[(&[u8], Backend)], rounds: usize, steps: usize) -> Vec<Roofline> {
    let read = |&(bytes, backend): &(_, Backend)| {
        Model::load_with(bytes, backend).expect("a packed agent, and a back end that runs")
    };
    let models: Vec<_> = pairs.iter().map(read).collect();
    let load = LoadLoop::widest();
    let mut memories: Vec<_> = models.iter().map(|model| vec![0.0; memory_len(model.dims())]).collect();
    let mut contenders = Vec::new();
    for ((model, memory), (bytes, _)) in models.iter().zip(&mut memories).zip(pairs) {
        let weights = step_weights(&File::parse(bytes).expect("loaded above"));
        contenders.push(Contender::new("load", steps, move || {
            black_box(load.run(black_box(&weights)));
        }));
        let mut agent = Agent::new(*model, memory).expect("the memory has the length asked for");
        let observation = synthetic::observation(model.dims(), 0, 0);
        let mut action = vec![0.0; model.dims().action_len()];
        contenders.push(Contender::new("step", steps, move || {
            agent.step(black_box(&observation), &mut action).expect("a finite observation");
        }));
    }
    let samples = interleave(&mut contenders, rounds);
    drop(contenders);
    let result = |((model, backend), times): ((&Model<'_>, Backend), &[Samples; 2])| {
        let [floor, step] = times.clone();
        Roofline { precision: model.settings().precision, backend, step, floor }
    };
    models.iter().zip(pairs.iter().map(|pair| pair.1)).zip(samples.as_chunks().0).map(result).collect()
}

/// One back end's times of an encoder of pictures in one precision.
#[derive(Clone, Debug)]
pub struct PictureTimes {
    /// The precision.
    pub precision: Precision,
    /// The back end.
    pub backend: Backend,
    /// How its multiply-adds are done.
    pub arithmetic: &'static str,
    /// A prepared picture to an action.
    pub look: Samples,
    /// A camera's frame to an action: the same with the frame prepared.
    pub frame: Samples,
    /// As many multiply-adds as the encoder has, in registers.
    pub limit: Samples,
}

/// Times the encoders of `files`, agents of one `image` with a chain of convolutions, against [`Arithmetic`], on every back end that has such a
/// loop, in `rounds` interleaved rounds of `looks` pictures.
///
/// # Panics
/// If a file is no packed agent that sees pictures.
#[must_use]
pub fn picture_times(files: &[&[u8]], rounds: usize, looks: usize) -> Vec<PictureTimes> {
    let mut all = Vec::new();
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        for bytes in files {
            let model = Model::load_with(bytes, backend).expect("a packed agent, and a back end that runs");
            let (dims, precision) = (*model.dims(), model.settings().precision);
            let Some(arithmetic) = Arithmetic::of(backend, precision) else { continue };
            let (Some(&image), Encoder::Conv { convolutions, latent }) = (dims.obs.image(), dims.v) else {
                panic!("an agent that sees pictures")
            };
            let count = multiply_adds(&convolutions, image.prepared(), latent);
            let mut memories = [(); 2].map(|()| vec![0.0; memory_len(&dims)]);
            let [first, second] = memories.each_mut().map(|memory| Agent::new(model, memory).expect("enough memory"));
            let (mut look, mut see) = (first, second);
            let [_, width, channels] = image.frame;
            let picture = synthetic::picture(0, 0, image.len());
            let frame = synthetic::picture(0, 1, image.frame_len());
            let mut action = vec![0.0; dims.action_len()];
            let mut contenders = [
                Contender::new("look", looks, move || {
                    black_box(look.act_prepared(black_box(&picture)).expect("a picture"));
                }),
                Contender::new("frame", looks, move || {
                    see.act_image(black_box(&frame), width * channels, &mut action).expect("a frame");
                }),
                Contender::new("limit", looks, move || {
                    black_box(arithmetic.run(black_box(count)));
                }),
            ];
            let [look, frame, limit] = interleave(&mut contenders, rounds).try_into().expect("three contenders");
            all.push(PictureTimes { precision, backend, arithmetic: arithmetic.name, look, frame, limit });
        }
    }
    all
}

/// Dreams of one batch size: microseconds per tick of one dream.
#[derive(Clone, Debug)]
pub struct DreamTimes {
    /// The precision.
    pub precision: Precision,
    /// Dreams in the batch.
    pub count: usize,
    /// Time of a tick over the number of dreams.
    pub tick: Samples,
}

/// Times dreams of several batch sizes, in `rounds` interleaved rounds of about `ticks` ticks of a dream each.
///
/// # Panics
/// If `bytes` is no packed agent with an MDN head, or the processor does not run `backend`.
#[must_use]
pub fn dream_times(bytes: &[u8], backend: Backend, counts: &[usize], rounds: usize, ticks: usize) -> Vec<DreamTimes> {
    let model = Model::load_with(bytes, backend).expect("a packed agent and a back end that runs");
    let dims = *model.dims();
    let mut memories: Vec<_> = counts.iter().map(|&count| vec![0.0; dreams_memory_len(&dims, count)]).collect();
    let options = DreamOptions { termination: Termination::Never, ..DreamOptions::default() };
    let latent = vec![0.25; dims.latent_len()];
    let mut batches = Vec::new();
    for (&count, memory) in counts.iter().zip(&mut memories) {
        let mut dreams = DreamBatch::new(model, memory, count, options).expect("a head, and the memory asked for");
        for index in 0..count {
            dreams.start(index, index as u32, DreamStart { latent: &latent, state: None }).expect("a finite latent");
        }
        batches.push(Contender::new("dreams", ticks.div_ceil(count), move || {
            black_box(dreams.step());
        }));
    }
    let per_dream = |(&count, batch): (&usize, Samples)| DreamTimes {
        precision: model.settings().precision,
        count,
        tick: Samples(batch.0.iter().map(|time| time / count as f64).collect()),
    };
    counts.iter().zip(interleave(&mut batches, rounds)).map(per_dream).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Size;
    use dreamstep_fixtures::HUMANOID;
    use dreamstep_runtime::MemoryCell;

    #[test]
    fn the_floor_reads_every_weight_of_a_step() {
        let file = File::parse(HUMANOID).unwrap();
        let weights = step_weights(&file);
        let dims = Dims::HUMANOID;
        assert!(weights.iter().map(|w| w.len()).sum::<usize>() >= dims.step_weights());
        let gru = Size::Humanoid.precisions_with(MemoryCell::Gru);
        let of_gru = step_weights(&File::parse(&gru[0]).unwrap()).iter().map(|w| w.len()).sum::<usize>();
        assert!((dims.with_cell(MemoryCell::Gru).step_weights()..dims.step_weights()).contains(&of_gru), "{of_gru}");
        let expected = weights.iter().flat_map(|w| w.iter()).fold(0, |sum, w| sum ^ w);
        assert_eq!(LoadLoop::widest().run(&weights), expected);
        // Whatever is left over in a line or in a place.
        let values: Vec<u32> = (1..200).map(|i: u32| i.wrapping_mul(0x9e37_79b9)).collect();
        for len in 0..values.len() {
            let expected = values[..len].iter().fold(0, |sum, value| sum ^ value);
            assert_eq!(LoadLoop::widest().run(&[&values[..len]]), expected, "{len}");
            assert_eq!(fold(&values[..len]), expected, "{len}");
        }
    }

    #[test]
    fn every_pair_is_timed() {
        let files = Size::Humanoid.precisions();
        let pairs: Vec<_> = files.iter().map(|file| (&**file, Backend::detect())).collect();
        for (result, precision) in roofline(&pairs, 3, 10).into_iter().zip(Precision::ALL) {
            assert_eq!((result.precision, result.step.0.len()), (precision, 3));
            assert!(result.step.min() > 0.0 && result.floor.min() > 0.0);
        }
        for (result, count) in dream_times(HUMANOID, Backend::detect(), &[1, 7], 3, 10).into_iter().zip([1, 7]) {
            assert!(result.count == count && result.tick.min() > 0.0);
        }
    }
}
