//! Do all back ends give the same bits? Every one that this processor runs is stepped beside the portable one, which is the
//! specification, over episodes and dreams of agents of odd and even sizes in every precision and mode, and actions, recurrent state,
//! latents, mixture and samples are compared bit for bit. Then the same for weights that no training makes: every bit pattern that
//! loads, and integers at their ends. Release flags, as shipped.
//!
//! A back end that is not seen is not compared. So detection is held to the standard library's, and a machine that is there to test certain
//! back ends says so: `DREAMSTEP_REQUIRE_BACKENDS=avx2,avx512 cargo test …` fails where one of them is missing.

#[path = "common/kinds.rs"]
mod kinds;

use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::reader::File;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_core::schema::{Acting, Settings, Squash, Target};
use dreamstep_fixtures::skip;
use dreamstep_fixtures::synthetic::{self, ODD};
use dreamstep_runtime::{
    Agent, Backend, ControllerInput, Dims, DreamBatch, DreamOptions, DreamStart, LoadError, MemoryCell, Mixture, Model,
    Precision, Termination, dreams_memory_len, memory_len,
};
use kinds::kinds;

const MIDDLE: Dims = Dims::vector(65, 33, &[100, 50], 47, 48, 3);
/// More inputs than 8-bit weights leave all of 16 bits to ([`dreamstep_core::precision::levels`]); no two of its layers end alike.
const LONG: Dims = Dims::vector(1501, 2, &[33, 21], 17, 18, 2);

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
    let mut agent = Agent::new(*model, &mut memory).unwrap();
    agent.set_seed(seed);
    let (mut action, mut z) = (vec![0.0; dims.action_len()], vec![0.0; dims.latent_len()]);
    let mut trace = Vec::new();
    for t in 0..steps {
        agent.act(&synthetic::observation(&dims, seed, t), &mut action).unwrap();
        trace.extend(agent.surprise().map(f32::to_bits));
        agent.advance().unwrap();
        let digest = agent.digest();
        trace.extend([digest as u32, (digest >> 32) as u32]);
        trace.extend(bits(&action).chain(bits(agent.latent())).chain(bits(agent.hidden())));
        let Some(prediction) = agent.predict() else {
            assert_eq!(dims.hidden_len(), 0);
            continue;
        };
        prediction.sample_latent(1.15, Philox::new(seed), t, &mut z);
        trace.extend(bits(&z));
        prediction.expected_latent(&mut z);
        trace.extend(bits(&z));
        trace.extend(bits(&[prediction.reward(), prediction.terminal_probability()]));
        for (k, i) in (0..dims.mixtures()).flat_map(|k| (0..dims.latent_len()).map(move |i| (k, i))) {
            trace.extend(bits(&[prediction.weight(k, i), prediction.mean(k, i), prediction.sigma(k, i)]));
        }
    }
    let health = *agent.health();
    trace.extend([health.ticks, health.clipped, health.saturated, health.surprises].map(|count| count as u32));
    trace.extend(bits(&[health.surprise, health.surprise_mean, health.surprise_max]));
    trace
}

/// The digests of a batch of dreams, tick by tick.
fn dreams(model: &Model<'_>, seed: u64, ticks: u64) -> Vec<u32> {
    let dims = *model.dims();
    let options = DreamOptions { seed, temperature: 1.1, termination: Termination::Sampled };
    let mut memory = vec![f32::NAN; dreams_memory_len(&dims, DREAMS)];
    let mut dreams = DreamBatch::new(*model, &mut memory, DREAMS, options).unwrap();
    let noise = |number: u32, n: usize| {
        let mut values = vec![0.0; n];
        Philox::new(seed).fill_normal(Stream::SyntheticObservation, number.into(), &mut values);
        values
    };
    for index in 0..DREAMS as u32 {
        let (h, c) = (noise(100 + index, dims.hidden_len()), noise(200 + index, dims.cell_len()));
        let state = Some((h.as_slice(), c.as_slice())).filter(|_| index % 2 == 1);
        dreams.start(index as usize, index, DreamStart { latent: &noise(index, dims.latent_len()), state }).unwrap();
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
        let dreamless = model.dims().input().has_observation() || !model.has_mdn();
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
    cases.into_iter().flat_map(|(dims, steps)| MemoryCell::ALL.map(|cell| (dims.with_cell(cell), steps)))
}

/// Every choice of the modes that a file has.
fn modes(dims: &Dims) -> impl Iterator<Item = Settings> {
    let dims = *dims;
    (0..16).map(move |choice: usize| {
        synthetic::with(synthetic::settings(&dims), |s| {
            (s.dims, s.squash, s.target, s.acting) = (
                dims.with_mixture(Mixture::ALL[choice & 1]),
                [Squash::Clamp, Squash::Tanh][choice >> 1 & 1],
                [Target::Next, Target::Delta][choice >> 2 & 1],
                [Acting::Mean, Acting::Sampled][choice >> 3 & 1],
            )
        })
    })
}

/// The back ends of this build's target. All but the portable one are a target's own.
const OF_THIS_TARGET: &[Backend] = if cfg!(all(target_arch = "x86_64", target_feature = "sse2")) {
    &[Backend::Portable, Backend::Sse2, Backend::Avx2, Backend::Avx512, Backend::Avx512Vnni]
} else if cfg!(all(target_arch = "aarch64", target_feature = "neon")) {
    &[Backend::Portable, Backend::Neon]
} else if cfg!(all(target_arch = "wasm32", target_feature = "simd128")) {
    &[Backend::Portable, Backend::Simd128]
} else {
    &[Backend::Portable]
};

/// What the standard library says of a feature.
#[cfg(target_arch = "x86_64")]
fn the_standard_library_sees(feature: &str) -> bool {
    macro_rules! one_of {
        ($($name:tt)*) => {
            match feature {
                $($name => std::arch::is_x86_feature_detected!($name),)*
                _ => panic!("`{feature}`: say here how to ask for it"),
            }
        };
    }
    one_of!("sse2" "avx2" "f16c" "fma" "avx512f" "avx512bw" "avx512vl" "avx512dq" "avx512vnni" "avx512bf16" "avxvnni")
}

#[cfg(target_arch = "aarch64")]
fn the_standard_library_sees(feature: &str) -> bool {
    assert_eq!(feature, "neon", "`{feature}`: say here how to ask for it");
    std::arch::is_aarch64_feature_detected!("neon")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn the_standard_library_sees(feature: &str) -> bool {
    assert_eq!(feature, "simd128", "`{feature}`: say here how to ask for it");
    cfg!(target_feature = "simd128")
}

#[test]
fn detection_is_the_standard_librarys() {
    for backend in Backend::ALL {
        let name = backend.name();
        assert_eq!(backend.features().is_some(), OF_THIS_TARGET.contains(&backend), "{name}");
        let of_the_target: &[&str] = match backend {
            Backend::Sse2 => &["sse2"],
            Backend::Neon => &["neon"],
            Backend::Simd128 => &["simd128"],
            _ => &[],
        };
        let expected = backend
            .features()
            .is_some_and(|asked| of_the_target.iter().chain(asked).all(|feature| the_standard_library_sees(feature)));
        assert_eq!(backend.is_available(), expected, "{name}, which asks for {:?}", backend.features());
    }
    // Each wider one of x86-64 asks for what sets it apart.
    let asks = |backend: Backend, feature| backend.features().is_some_and(|asked| asked.contains(&feature));
    if cfg!(all(target_arch = "x86_64", target_feature = "sse2")) {
        assert!(asks(Backend::Avx2, "avx2") && asks(Backend::Avx2, "f16c"));
        assert!(asks(Backend::Avx512, "avx512f") && asks(Backend::Avx512, "avx512bw"));
        assert!(asks(Backend::Avx512Vnni, "avx512vnni"));
        // Their kernels are in part the narrower one's.
        for (wide, narrow) in [(Backend::Avx512, Backend::Avx2), (Backend::Avx512Vnni, Backend::Avx512)] {
            assert!(narrow.features().unwrap().iter().all(|feature| asks(wide, feature)), "{}", wide.name());
        }
    }
    let widest = OF_THIS_TARGET.iter().rev().find(|backend| backend.is_available());
    assert_eq!(Some(&Backend::detect()), widest);
}

/// Why these back ends, by name with commas between, are not all here.
fn missing(required: &str) -> Result<(), String> {
    for name in required.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let names = Backend::ALL.map(Backend::name);
        let found = Backend::ALL.into_iter().find(|backend| backend.name() == name);
        let backend = found.ok_or_else(|| format!("back end `{name}`: expected one of {}", names.join(", ")))?;
        if !backend.is_available() {
            let here: Vec<_> = available().map(Backend::name).collect();
            return Err(format!("back end `{name}`: required, not on this processor, which has {}", here.join(", ")));
        }
    }
    Ok(())
}

#[test]
fn the_back_ends_that_are_required_are_here() {
    if let Ok(required) = std::env::var("DREAMSTEP_REQUIRE_BACKENDS") {
        missing(&required).unwrap_or_else(|error| panic!("DREAMSTEP_REQUIRE_BACKENDS={required}: {error}"));
    }
    // And one that is not would be told.
    assert_eq!(missing(""), Ok(()));
    assert_eq!(missing("portable, portable"), Ok(()));
    let unknown = "back end `avx1024`: expected one of portable, sse2, avx2, avx512, avx512vnni, neon, simd128";
    assert_eq!(missing("portable,avx1024"), Err(unknown.to_string()));
    let foreign = Backend::ALL.into_iter().find(|backend| backend.features().is_none()).unwrap().name();
    let error = missing(&format!("portable,{foreign}")).unwrap_err();
    assert!(
        error.starts_with(&format!("back end `{foreign}`: required, not on this processor, which has portable")),
        "{error}"
    );
}

/// Those that this processor lacks are tested elsewhere, and counted here.
#[test]
fn every_back_end_of_this_target_is_tested() {
    assert!(available().all(|backend| OF_THIS_TARGET.contains(&backend)));
    let lacking: Vec<_> =
        OF_THIS_TARGET.iter().filter(|backend| !backend.is_available()).map(|backend| backend.name()).collect();
    if !lacking.is_empty() {
        skip::not_on_this_machine(&format!("back ends that this processor lacks: {}", lacking.join(", ")));
    }
}

#[test]
fn every_back_end_gives_the_bits_of_the_portable_one() {
    let mut compared = 0;
    for (dims, steps) in with_either_memory([(ODD, 60), (MIDDLE, 20), (LONG, 20), (Dims::HUMANOID, 16)]) {
        for (mode, settings) in modes(&dims).enumerate() {
            for precision in Precision::ALL {
                let settings = synthetic::with(settings, |s| s.precision = precision);
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
            let settings = synthetic::with(synthetic::settings(&dims.with_input(input)), |s| {
                (s.precision, s.acting) = (precision, Acting::Sampled)
            });
            compare(&format!("{settings:?}"), &synthetic::agent_with(&settings, 3), steps);
        }
    }
}

#[test]
fn whatever_kind_each_part_is_of() {
    let mut compared = 0;
    for (settings, precision) in kinds().flat_map(|settings| Precision::ALL.map(|precision| (settings, precision))) {
        let settings = synthetic::with(settings, |s| s.precision = precision);
        compared += compare(&format!("{settings:?}"), &synthetic::agent_with(&settings, 3), 40);
    }
    assert_eq!(compared, (2 * 10 + 4) * 4 * available().count());
}

#[test]
fn nor_do_they_part_over_a_long_episode() {
    for (dims, steps) in with_either_memory([(ODD, 300), (MIDDLE, 300), (Dims::HUMANOID, 1000)]) {
        for precision in Precision::ALL {
            let settings = synthetic::with(synthetic::settings(&dims), |s| {
                (s.precision, s.squash, s.target) = (precision, Squash::Tanh, Target::Delta)
            });
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
    let inputs = ControllerInput::ALL.map(|input| (MIDDLE.with_input(input), 12));
    let sizes = sizes.chain(inputs);
    for (dims, steps, precision) in sizes.flat_map(|(dims, steps)| Precision::ALL.map(|p| (dims, steps, p))) {
        let settings =
            synthetic::with(synthetic::settings(&dims), |s| (s.precision, s.acting) = (precision, Acting::Sampled));
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
        let settings = synthetic::with(synthetic::settings(&dims), |s| s.precision = Precision::I8);
        let file = with_weights(&synthetic::agent_with(&settings, 1), |dtype, weight| {
            if dtype == "I8" {
                weight[0] = q as u8;
            }
        });
        let trace = |backend| {
            let model = Model::load_with(&file, backend).unwrap();
            let mut memory = vec![0.0; memory_len(&dims)];
            let mut agent = Agent::new(model, &mut memory).unwrap();
            let mut trace = Vec::new();
            // Every input at its clip: each sum is as large as one of its length can be.
            for value in [f32::MAX, f32::MIN, f32::MAX] {
                agent.step(&vec![value; dims.obs_len()], &mut vec![0.0; dims.action_len()]).unwrap();
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
