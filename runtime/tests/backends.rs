//! Do all back ends give the same bits? Every one that this processor runs is stepped beside the portable one, which is the
//! specification, over episodes and dreams of agents of odd and even sizes in every precision and mode, and actions, recurrent state,
//! latents, mixture and samples are compared bit for bit. Then the same for weights that no training makes: every bit pattern that
//! loads, and integers at their ends. Release flags, as shipped.

use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::reader::File;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_core::schema::{Acting, Settings, Squash, Target};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Agent, Backend, ControllerInput, Dims, DreamBatch, DreamOptions, DreamStart, LoadError, MemoryCell, Mixture, Model,
    Precision, Termination, dreams_memory_len, memory_len,
};

const ODD: Dims = Dims {
    obs: 5,
    action: 1,
    latent: 3,
    hidden: 7,
    mixtures: 2,
    mixture: Mixture::Joint,
    encoder: [9, 4],
    cell: MemoryCell::Lstm,
    input: ControllerInput::LatentHidden,
};
const MIDDLE: Dims = Dims {
    obs: 65,
    action: 33,
    latent: 47,
    hidden: 48,
    mixtures: 3,
    mixture: Mixture::Joint,
    encoder: [100, 50],
    cell: MemoryCell::Lstm,
    input: ControllerInput::LatentHidden,
};
/// More inputs than 8-bit weights leave all of 16 bits to ([`dreamstep_core::precision::levels`]); no two of its layers end alike.
const LONG: Dims = Dims {
    obs: 1501,
    action: 2,
    latent: 17,
    hidden: 18,
    mixtures: 2,
    mixture: Mixture::Joint,
    encoder: [33, 21],
    cell: MemoryCell::Lstm,
    input: ControllerInput::LatentHidden,
};

/// Dreams in a batch: whole tiles of every back end and a rest.
const DREAMS: usize = 11;

fn available() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

fn bits(values: &[f32]) -> impl Iterator<Item = u32> {
    values.iter().map(|value| value.to_bits())
}

/// What an episode leaves behind, as bits.
fn episode(model: &Model<'_>, seed: u64, steps: u64) -> Vec<u32> {
    let dims = *model.dims();
    let mut memory = vec![f32::NAN; memory_len(&dims)];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    agent.set_seed(seed);
    let (mut action, mut z) = (vec![0.0; dims.action], vec![0.0; dims.latent]);
    let mut trace = Vec::new();
    for t in 0..steps {
        agent.step(&synthetic::observation(&dims, seed, t), &mut action).unwrap();
        let digest = agent.digest();
        trace.extend([digest as u32, (digest >> 32) as u32]);
        trace.extend(bits(&action).chain(bits(agent.latent())).chain(bits(agent.hidden())));
        let Some(prediction) = agent.predict() else {
            assert_eq!(dims.input, ControllerInput::Observation);
            continue;
        };
        prediction.sample_latent(1.15, Philox::new(seed), t, &mut z);
        trace.extend(bits(&z));
        prediction.expected_latent(&mut z);
        trace.extend(bits(&z));
        trace.extend(bits(&[prediction.reward(), prediction.terminal_probability()]));
        for (k, i) in (0..dims.mixtures).flat_map(|k| (0..dims.latent).map(move |i| (k, i))) {
            trace.extend(bits(&[prediction.weight(k, i), prediction.mean(k, i), prediction.sigma(k, i)]));
        }
    }
    trace
}

/// The digests of a batch of dreams, tick by tick.
fn dreams(model: &Model<'_>, seed: u64, ticks: u64) -> Vec<u32> {
    let dims = *model.dims();
    let options = DreamOptions { seed, temperature: 1.1, termination: Termination::Sampled };
    let mut memory = vec![f32::NAN; dreams_memory_len(&dims, DREAMS)];
    let mut dreams = DreamBatch::new(model, &mut memory, DREAMS, options).unwrap();
    let noise = |number: u32, n: usize| {
        let mut values = vec![0.0; n];
        Philox::new(seed).fill_normal(Stream::SyntheticObservation, number.into(), &mut values);
        values
    };
    for index in 0..DREAMS as u32 {
        let (h, c) = (noise(100 + index, dims.hidden), noise(200 + index, dims.cell_state()));
        let state = Some((h.as_slice(), c.as_slice())).filter(|_| index % 2 == 1);
        dreams.start(index as usize, index, DreamStart { latent: &noise(index, dims.latent), state }).unwrap();
    }
    let mut trace = Vec::new();
    for _ in 0..ticks {
        trace.push(dreams.step() as u32);
        trace.extend((0..DREAMS).map(|i| dreams.digest(i)).flat_map(|digest| [digest as u32, (digest >> 32) as u32]));
    }
    trace
}

/// Runs an agent's file on every back end; how many there were.
#[track_caller]
fn compare(what: &str, file: &[u8], steps: u64) -> usize {
    let trace = |backend: Backend| {
        let model = Model::load_with(file, backend).unwrap();
        assert_eq!(model.backend(), backend, "the back end that was asked for is the one that runs");
        let dreamless = model.dims().input.has_observation();
        (episode(&model, 2, steps), if dreamless { Vec::new() } else { dreams(&model, 2, steps.min(8)) })
    };
    let expected = trace(Backend::Portable);
    let mut compared = 0;
    for backend in available() {
        let found = trace(backend);
        for (which, expected, found) in [("episode", &expected.0, &found.0), ("dreams", &expected.1, &found.1)] {
            assert_eq!(expected.len(), found.len(), "{which}");
            let first = expected.iter().zip(found).position(|(a, b)| a != b);
            let name = backend.name();
            assert_eq!(first, None, "{name} differs from portable in value {first:?} of the {which}: {what}");
        }
        compared += 1;
    }
    compared
}

/// The same sizes with an LSTM, and with a GRU.
fn with_either_memory<const N: usize>(cases: [(Dims, u64); N]) -> impl Iterator<Item = (Dims, u64)> {
    cases.into_iter().flat_map(|(dims, steps)| MemoryCell::ALL.map(|cell| (Dims { cell, ..dims }, steps)))
}

/// Every choice of the modes that a file has.
fn modes(dims: &Dims) -> impl Iterator<Item = Settings> {
    let dims = *dims;
    (0..16).map(move |choice: usize| Settings {
        dims: Dims { mixture: [Mixture::Joint, Mixture::PerDimension][choice & 1], ..dims },
        squash: [Squash::Clamp, Squash::Tanh][choice >> 1 & 1],
        target: [Target::Next, Target::Delta][choice >> 2 & 1],
        acting: [Acting::Mean, Acting::Sampled][choice >> 3 & 1],
        ..synthetic::settings(&dims)
    })
}

#[test]
fn every_back_end_gives_the_bits_of_the_portable_one() {
    let mut compared = 0;
    for (dims, steps) in with_either_memory([(ODD, 60), (MIDDLE, 20), (LONG, 20), (Dims::HUMANOID, 16)]) {
        for (mode, settings) in modes(&dims).enumerate() {
            for precision in Precision::ALL {
                let settings = Settings { precision, ..settings };
                compared += compare(&format!("{settings:?}"), &synthetic::agent_with(&settings, mode as u64), steps);
            }
        }
    }
    let names: Vec<_> = available().map(Backend::name).collect();
    println!("back ends compared on this processor: {}", names.join(", "));
    assert_eq!(compared, 2 * 4 * 16 * 4 * names.len());
}

#[test]
fn whatever_the_controller_reads() {
    for (dims, steps) in with_either_memory([(ODD, 60), (MIDDLE, 20)]) {
        for (input, precision) in ControllerInput::ALL.into_iter().flat_map(|input| Precision::ALL.map(|p| (input, p))) {
            let settings = Settings { precision, acting: Acting::Sampled, ..synthetic::settings(&Dims { input, ..dims }) };
            compare(&format!("{settings:?}"), &synthetic::agent_with(&settings, 3), steps);
        }
    }
}

#[test]
fn nor_do_they_part_over_a_long_episode() {
    for (dims, steps) in with_either_memory([(ODD, 300), (MIDDLE, 300), (Dims::HUMANOID, 1000)]) {
        for precision in Precision::ALL {
            let settings = Settings { precision, squash: Squash::Tanh, target: Target::Delta, ..synthetic::settings(&dims) };
            compare(&format!("{settings:?}"), &synthetic::agent_with(&settings, 1), steps);
        }
    }
}

/// A packed agent whose weights are made anew by `weight(dtype, bytes of one)`, and the sums of integer ones with them.
fn with_weights(file: &[u8], mut weight: impl FnMut(&str, &mut [u8])) -> AlignedBytes {
    let mut bytes = file.to_vec();
    let parsed = File::parse(file).unwrap();
    let place = |name: &str| {
        let data = parsed.tensor(name)?.data;
        let at = data.as_ptr() as usize - file.as_ptr() as usize;
        Some(at..at + data.len())
    };
    for panels in parsed.tensors().filter(|tensor| tensor.name.ends_with(".panels")) {
        let name = panels.name.strip_suffix(".panels").unwrap();
        let weights = place(panels.name).unwrap();
        let one = weights.len() / panels.shape().iter().product::<usize>();
        bytes[weights.clone()].chunks_mut(one).for_each(|bytes| weight(panels.dtype, bytes));
        let Some(sums) = place(&format!("{name}.sum")) else { continue };
        let (groups, width) = (panels.shape()[1], panels.shape()[2]);
        let quads: Vec<i32> = bytes[weights].chunks(4).map(|quad| quad.iter().map(|&q| i32::from(q as i8)).sum()).collect();
        for (output, sum) in bytes[sums].chunks_mut(4).enumerate() {
            let (panel, lane) = (output / width, output % width);
            let total: i32 = (0..groups).map(|g| quads[(panel * groups + g) * width + lane]).sum();
            sum.copy_from_slice(&total.to_le_bytes());
        }
    }
    AlignedBytes::new(&bytes)
}

#[test]
fn whatever_the_weights_bits() {
    const SEED: u64 = 21;
    let sizes = with_either_memory([(ODD, 12), (MIDDLE, 12), (LONG, 12)]);
    let inputs = ControllerInput::ALL.map(|input| (Dims { input, ..MIDDLE }, 12));
    let sizes = sizes.chain(inputs);
    for (dims, steps, precision) in sizes.flat_map(|(dims, steps)| Precision::ALL.map(|p| (dims, steps, p))) {
        let settings = Settings { precision, acting: Acting::Sampled, ..synthetic::settings(&dims) };
        let file = synthetic::agent_with(&settings, 1);
        // Zeros, subnormals, and numbers up to 2, which leave an episode with sense; then up to the largest, in f32 with infinities
        // and NaN in it. An exponent of ones is refused by the loader: one of its bits is cleared, the highest or the lowest. Of bf16 it takes
        // zeros and what lies between 2⁻⁶⁰ and 2⁶⁰.
        for large in [false, true] {
            let mut draw = 0;
            let file = with_weights(&file, |dtype, weight| {
                let word = Philox::new(SEED).bits(Stream::SyntheticWeights, draw, 0).to_le_bytes();
                draw += 1;
                weight.copy_from_slice(&word[..weight.len()]);
                let last = weight.len() - 1;
                match (dtype, large) {
                    ("I8", _) => {}
                    ("BF16", _) => {
                        let (word, most) = (u16::from_le_bytes([weight[0], weight[1]]), if large { 0x5d80 } else { 0x4000 });
                        let magnitude = 0x2180 + (word & 0x7fff) % (most - 0x2180 + 1);
                        let magnitude = if word % 16 == 0 { 0 } else { magnitude };
                        weight.copy_from_slice(&(word & 0x8000 | magnitude).to_le_bytes());
                    }
                    (_, false) => weight[last] &= 0xbf,
                    ("F16", true) => weight[last] &= 0xfb,
                    (_, true) => weight[last - 1] &= 0x7f,
                }
            });
            compare(&format!("seed {SEED}, random {precision:?} of {dims:?}, large: {large}"), &file, steps);
        }
    }
}

#[test]
fn integers_at_their_ends() {
    // -128 is no weight that the packer writes, but one that loads.
    let sizes: Vec<Dims> = with_either_memory([(ODD, 0), (LONG, 0), (Dims::HUMANOID, 0)]).map(|(dims, _)| dims).collect();
    for (q, dims) in [-128_i8, -127, 127].into_iter().flat_map(|q| sizes.iter().map(move |&dims| (q, dims))) {
        let settings = Settings { precision: Precision::I8, ..synthetic::settings(&dims) };
        let file = with_weights(&synthetic::agent_with(&settings, 1), |dtype, weight| {
            if dtype == "I8" {
                weight[0] = q as u8;
            }
        });
        let trace = |backend| {
            let model = Model::load_with(&file, backend).unwrap();
            let mut memory = vec![0.0; memory_len(&dims)];
            let mut agent = Agent::new(&model, &mut memory).unwrap();
            let mut trace = Vec::new();
            // Every input at its clip: each sum is as large as one of its length can be.
            for value in [f32::MAX, f32::MIN, f32::MAX] {
                agent.step(&vec![value; dims.obs], &mut vec![0.0; dims.action]).unwrap();
                trace.extend(bits(agent.latent()).chain(bits(agent.hidden())).chain(bits(agent.cell())));
            }
            trace
        };
        let expected = trace(Backend::Portable);
        for backend in available() {
            assert_eq!(trace(backend), expected, "{}: all weights {q}, {dims:?}", backend.name());
        }
    }
}

#[test]
fn a_back_end_that_the_processor_lacks_is_refused() {
    let file = synthetic::agent(&ODD, 1);
    for backend in Backend::ALL {
        match Model::load_with(&file, backend) {
            Ok(model) => assert!(backend.is_available() && model.backend() == backend),
            Err(error) => assert!(!backend.is_available() && error == LoadError::Backend { name: backend.name() }),
        }
    }
    assert!(Backend::detect().is_available());
}
