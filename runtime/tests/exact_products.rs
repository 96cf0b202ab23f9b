//! Does a layer round its inputs where the contract says so, and nowhere else? A controller that reads observations is a layer whose inputs
//! and outputs can be seen: the chain of sums is written out here, with and without rounding, fused and not, and held to every back end's
//! bits.

use dreamstep_core::layout::Panels;
use dreamstep_core::names::packed;
use dreamstep_core::pack::controller_panels;
use dreamstep_core::precision::{BF16_INPUT_BITS, F16_INPUT_BITS, bf16_to_f32, f16_to_f32, round_input};
use dreamstep_core::reader::File;
use dreamstep_core::schema::Settings;
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Agent, Backend, Dims, Model, Precision, memory_len};

/// A panel of each width, and an odd number of inputs.
const SIZES: [usize; 4] = [7, 20, 33, 100];

fn dims(action: usize) -> Dims {
    Dims::reactive(301, action)
}

fn settings(dims: &Dims, precision: Precision) -> Settings {
    let mut settings = synthetic::settings(dims);
    settings.precision = precision;
    settings
}

fn floats(file: &File<'_>, name: &str) -> Vec<f32> {
    let words = file.tensor(name).unwrap().data.as_chunks().0;
    words.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// The controller's weights `[A, I]` as they stand in the file, widened.
fn weights(file: &File<'_>, dims: &Dims) -> Vec<Vec<f32>> {
    let tensor = file.tensor(packed::FC.panels).unwrap();
    let panels = Panels::dense(dims.action_len(), dims.obs_len());
    let halves: Vec<u16> = tensor.data.as_chunks().0.iter().map(|&bytes| u16::from_le_bytes(bytes)).collect();
    let at = |n: usize, k: usize| {
        let (panel, lane) = (n / panels.width, n % panels.width);
        match tensor.dtype {
            "F32" => floats(file, packed::FC.panels)[panels.index(Precision::F32, panel, lane, k)],
            "F16" => f16_to_f32(halves[panels.index(Precision::F16, panel, lane, k)]),
            "BF16" => bf16_to_f32(halves[panels.index(Precision::Bf16, panel, lane, k)]),
            other => panic!("{other}"),
        }
    };
    (0..dims.action_len()).map(|n| (0..dims.obs_len()).map(|k| at(n, k)).collect()).collect()
}

/// `b + w[0]·x[0] + w[1]·x[1] + …`, clamped to an action, as bits.
fn chain(weights: &[Vec<f32>], bias: &[f32], x: &[f32], round: fn(f32) -> f32, fused: bool) -> Vec<u32> {
    let output = |(row, &bias): (&Vec<f32>, &f32)| {
        let sum = row.iter().zip(x).fold(bias, |sum, (&w, &x)| {
            let x = round(x);
            if fused { w.mul_add(x, sum) } else { sum + w * x }
        });
        sum.clamp(-1.0, 1.0).to_bits()
    };
    weights.iter().zip(bias).map(output).collect()
}

/// What `model` answers to observations, as bits, and what its controller read.
fn answers(model: &Model<'_>, file: &File<'_>) -> Vec<(Vec<f32>, Vec<u32>)> {
    let dims = *model.dims();
    let (mean, inv_std) = (floats(file, packed::OBSERVATION_MEAN), floats(file, packed::OBSERVATION_INV_STD));
    let clip = model.settings().obs_clip;
    let mut memory = vec![f32::NAN; memory_len(&dims)];
    let mut agent = Agent::new(*model, &mut memory).unwrap();
    let one = |t: u64| {
        let mut observation = synthetic::observation(&dims, 5, t);
        // Inputs that count as zero, and both zeros.
        observation[..4].copy_from_slice(&[mean[0], -0.0, 0.0, mean[3] + 1e-25]);
        let white = observation.iter().zip(mean.iter().zip(&inv_std)).map(|(o, (mean, inv_std))| (o - mean) * inv_std);
        let x: Vec<f32> = white.map(|x| x.clamp(-clip, clip)).collect();
        agent.step(&observation, &mut vec![0.0; dims.action_len()]).unwrap();
        (x, agent.unit_action().iter().map(|u| u.to_bits()).collect())
    };
    (0..6).map(one).collect()
}

const ROUNDINGS: [fn(f32) -> f32; 3] = [|x| x, round_input::<F16_INPUT_BITS>, round_input::<BF16_INPUT_BITS>];

#[test]
fn inputs_are_rounded_by_the_files_precision() {
    for (action, precision) in SIZES.into_iter().flat_map(|action| Precision::ALL.map(|precision| (action, precision))) {
        let settings = settings(&dims(action), precision);
        let bytes = synthetic::agent_with(&settings, 7);
        let file = File::parse(&bytes).unwrap();
        let (weights, bias) = (weights(&file, &settings.dims), floats(&file, packed::FC.bias));
        // An i8 file's controller is f16, and reads its inputs whole.
        let own = match precision {
            Precision::F32 | Precision::I8 => 0,
            Precision::F16 => 1,
            Precision::Bf16 => 2,
        };
        for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
            let model = Model::load_with(&bytes, backend).unwrap();
            let answers = answers(&model, &file);
            let found: Vec<_> = answers.iter().map(|(_, found)| found.clone()).collect();
            let what = format!("{precision:?}, {action} outputs on {}", backend.name());
            for (which, round) in ROUNDINGS.into_iter().enumerate() {
                let expected =
                    |fused| -> Vec<_> { answers.iter().map(|(x, _)| chain(&weights, &bias, x, round, fused)).collect() };
                assert_eq!(found == expected(false), which == own, "{what}: rounding {which}");
                // Fused comes to the same where products are exact, and only there.
                assert_eq!(found == expected(true), own > 0 && which == own, "{what}: rounding {which}, fused");
            }
        }
    }
}

/// A candidate of evolution's is f32 whatever the agent's precision.
#[test]
fn another_controller_reads_its_inputs_whole() {
    let dims = dims(33);
    let source = synthetic::agent(&dims, 9);
    let source = File::parse(&source).unwrap();
    let (weights, bias) = (weights(&source, &dims), floats(&source, packed::FC.bias));
    let candidate = controller_panels(&dims, &[&weights.concat(), &bias[..dims.action_len()]].concat());
    for precision in Precision::ALL {
        let bytes = synthetic::agent_with(&settings(&dims, precision), 7);
        let file = File::parse(&bytes).unwrap();
        for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
            let model = Model::load_with(&bytes, backend).unwrap();
            let model = model.with_controller(&candidate).unwrap();
            for (x, found) in answers(&model, &file) {
                assert!(found == chain(&weights, &bias, &x, ROUNDINGS[0], false), "{precision:?} on {}", backend.name());
                assert!(found != chain(&weights, &bias, &x, ROUNDINGS[1], false), "{precision:?} on {}", backend.name());
            }
        }
    }
}
