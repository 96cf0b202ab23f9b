//! Is what the packer writes the checkpoint, each weight at its place and as near to its value as its precision allows? The oracle
//! walks a packed tensor from its first byte to its last and says what must stand there, padding included; it rounds by
//! arithmetic in binary64, not by moving bits.

use dreamstep_core::action::Action;
use dreamstep_core::c::ControllerInput;
use dreamstep_core::dims::Dims;
use dreamstep_core::layout::{Panels, Rows};
use dreamstep_core::m::{Memory, MemoryCell, Mixture};
use dreamstep_core::names::checkpoint;
use dreamstep_core::obs::{Colour, Filter, Image};
use dreamstep_core::pack::{Parts, SelfTest, Tensors, action_map, checkpoint_shapes, controller_panels, pack, unpack};
use dreamstep_core::precision::Precision;
use dreamstep_core::reader::File;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_core::schema::{Acting, Normalizer, Settings, Squash, Target};
use dreamstep_core::v::{Convolution, Convolutions, Encoder};
use std::collections::{BTreeMap, BTreeSet};

const ODD: Dims = Dims::vector(5, 1, &[9, 4], 3, 7, 2);
/// Panels of every width, several to a layer, and no size a multiple of any group.
const MIDDLE: Dims = Dims::vector(65, 33, &[101, 50], 47, 37, 3).with_mixture(Mixture::PerDimension);

/// The same with a GRU: gates that end in the middle of a block, of a panel, and with it.
const GRU: [Dims; 3] =
    [ODD.with_cell(MemoryCell::Gru), MIDDLE.with_cell(MemoryCell::Gru), MIDDLE.with_hidden(64).with_cell(MemoryCell::Gru)];

fn settings(dims: Dims, precision: Precision) -> Settings {
    let mut settings = Settings::new(dims);
    settings.precision = precision;
    if dims.hidden_len() > 0 {
        settings.reward_offset = 0.5;
    }
    settings
}

/// Other numbers of layers in V, V's other kinds, no M, choices for actions: sizes of no block, and several panels.
const KINDS: [Dims; 8] = [
    Dims::vector(5, 1, &[9], 3, 7, 2),
    Dims::vector(5, 2, &[9, 4, 6], 3, 7, 2),
    Dims::vector(65, 3, &[101, 50, 33, 17], 47, 37, 3),
    ODD.with_encoder(Encoder::Identity { latent: 4 }),
    GRU[1].with_encoder(Encoder::Identity { latent: 65 }).with_action(Action::Discrete { choices: 33 }),
    MIDDLE.with_memory(Memory::None).with_input(ControllerInput::Latent),
    ODD.with_action(Action::Discrete { choices: 18 }),
    Dims::reactive(65, 33).with_action(Action::Discrete { choices: 5 }),
];

/// A checkpoint of weights uniform in ±2, of every shape written out.
fn checkpoint(dims: &Dims, seed: u64) -> Tensors {
    let (o, u, z, h, k) = (dims.obs_len(), dims.unit_len(), dims.latent_len(), dims.hidden_len(), dims.mixtures());
    let mut shapes = vec![("normalizer.mean".to_string(), vec![o]), ("normalizer.inv_std".to_string(), vec![o])];
    let mut layer = |weight: &str, bias: &str, n: usize, k: usize| {
        shapes.extend([(weight.to_string(), vec![n, k]), (bias.to_string(), vec![n])]);
    };
    if let Encoder::Mlp { hidden, .. } = dims.v {
        let widths = [&[o], hidden.as_slice(), &[2 * z]].concat();
        for (i, pair) in widths.windows(2).enumerate().map(|(i, pair)| (2 * i, pair)) {
            layer(&format!("encoder.{i}.weight"), &format!("encoder.{i}.bias"), pair[1], pair[0]);
        }
    }
    let gates = match dims.m {
        Memory::Lstm(_) => 4 * h,
        Memory::Gru(_) => 3 * h,
        _ => 0,
    };
    if gates > 0 {
        layer("rnn.weight_ih_l0", "rnn.bias_ih_l0", gates, u + z);
        layer("rnn.weight_hh_l0", "rnn.bias_hh_l0", gates, h);
        let logits = if dims.mixture() == Some(Mixture::Joint) { k } else { k * z };
        layer("gmm_linear.weight", "gmm_linear.bias", 2 * z * k + logits + 2, h);
    }
    let inputs = match dims.input() {
        ControllerInput::LatentHidden => z + h,
        ControllerInput::Latent => z,
        ControllerInput::Hidden => h,
        ControllerInput::Observation => o,
        ControllerInput::ObservationHidden => o + h,
    };
    layer("fc.weight", "fc.bias", u, inputs);
    let rng = Philox::new(seed);
    let tensor = |step: usize, shape: &[usize]| {
        let draw = |i| 4.0 * rng.uniform(Stream::SyntheticWeights, step as u64, i) - 2.0;
        (shape.to_vec(), (0..shape.iter().product::<usize>() as u32).map(draw).collect())
    };
    shapes.into_iter().enumerate().map(|(step, (name, shape))| (name, tensor(step, &shape))).collect()
}

/// Packs with actions in -1..3 and no more than it takes.
fn packed(tensors: &Tensors, settings: Settings) -> Result<Vec<u8>, String> {
    let (mid, half) = (vec![1.0; settings.dims.action_len()], vec![2.0; settings.dims.action_len()]);
    let provenance = BTreeMap::new();
    pack(&Parts {
        tensors,
        settings,
        action_mid: &mid,
        action_half: &half,
        selftest: None,
        frames: &[],
        provenance: &provenance,
    })
}

/// How a layer's outputs stand in its panels.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Dense,
    Lstm,
    Gru,
}

impl Order {
    fn panels(self, n: usize, k: usize) -> Panels {
        match self {
            Self::Dense => Panels::dense(n, k),
            Self::Lstm => Panels::lstm(n / 4, k),
            Self::Gru => Panels::gru(n / 3, k),
        }
    }
}

/// A layer by name: weights `[N][K]`, biases `[N]`, and the order of its outputs.
type LooseLayer = (String, Vec<Vec<f32>>, Vec<f32>, Order);

/// Every layer of a checkpoint.
fn layers(tensors: &Tensors, dims: &Dims) -> Vec<LooseLayer> {
    let matrix = |name: &str| -> Vec<Vec<f32>> {
        let (shape, values) = &tensors[name];
        values.chunks(shape[1]).map(<[f32]>::to_vec).collect()
    };
    let vector = |name: &str| tensors[name].1.clone();
    let z = dims.latent_len();
    let mut layers = vec![("fc".to_string(), matrix("fc.weight"), vector("fc.bias"), Order::Dense)];
    if let Encoder::Mlp { hidden, .. } = dims.v {
        let of = |i: usize| (matrix(&format!("encoder.{i}.weight")), vector(&format!("encoder.{i}.bias")));
        for i in 0..hidden.len() {
            let (weight, bias) = of(2 * i);
            layers.push((format!("encoder.{}", 2 * i), weight, bias, Order::Dense));
        }
        let (weight, bias) = of(2 * hidden.len());
        layers.push(("encoder.mean".into(), weight[..z].to_vec(), bias[..z].to_vec(), Order::Dense));
        layers.push(("encoder.log_var".into(), weight[z..].to_vec(), bias[z..].to_vec(), Order::Dense));
    }
    let Some(cell) = dims.cell() else { return layers };
    layers.push(("gmm_linear".into(), matrix("gmm_linear.weight"), vector("gmm_linear.bias"), Order::Dense));
    let [ih, hh] = ["rnn.weight_ih_l0", "rnn.weight_hh_l0"].map(matrix);
    let [ih_bias, hh_bias] = ["rnn.bias_ih_l0", "rnn.bias_hh_l0"].map(vector);
    match cell {
        MemoryCell::Gru => {
            layers.extend([("rnn.ih".into(), ih, ih_bias, Order::Gru), ("rnn.hh".into(), hh, hh_bias, Order::Gru)]);
        }
        MemoryCell::Lstm => {
            let gates = ih.into_iter().zip(hh).map(|(ih, hh)| [ih, hh].concat()).collect();
            let bias = ih_bias.into_iter().zip(hh_bias).map(|(a, b)| a + b).collect();
            layers.push(("rnn".into(), gates, bias, Order::Lstm));
        }
    }
    layers
}

/// The nearest number of `digits` binary digits whose exponent is at least `smallest`, ties to even.
fn nearest(value: f32, digits: i32, smallest: i32) -> f64 {
    let value = f64::from(value);
    let exponent = if value == 0.0 { smallest } else { (value.abs().log2().floor() as i32).max(smallest) };
    let unit = f64::from(exponent - digits + 1).exp2();
    (value / unit).round_ties_even() * unit
}

/// A tensor's elements as numbers.
fn numbers(file: &File<'_>, name: &str) -> (Vec<usize>, Vec<f64>) {
    let tensor = file.tensor(name).unwrap_or_else(|| panic!("no tensor `{name}`"));
    let numbers = match tensor.dtype {
        "F32" => tensor.data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
        "I32" => tensor.data.chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
        "I8" => tensor.data.iter().map(|&b| f64::from(b as i8)).collect(),
        "BF16" => {
            tensor.data.chunks(2).map(|b| f32::from_bits(u32::from(b[0]) << 16 | u32::from(b[1]) << 24).into()).collect()
        }
        "F16" => tensor.data.chunks(2).map(|b| half_to_f64(u16::from_le_bytes([b[0], b[1]]))).collect(),
        dtype => panic!("dtype {dtype}"),
    };
    (tensor.shape().to_vec(), numbers)
}

/// By the definition of binary16.
fn half_to_f64(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
    assert!(exponent < 31, "{bits:04x} is not finite");
    let magnitude =
        if exponent == 0 { fraction * (-24_f64).exp2() } else { (1024.0 + fraction) * f64::from(exponent - 25).exp2() };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// The output that stands at `lane` of panel `panel`, by the prose of `layout`.
fn output(order: Order, n: usize, width: usize, panel: usize, lane: usize) -> Option<usize> {
    let place = panel * width + lane;
    match order {
        Order::Dense => return (place < n).then_some(place),
        // Reset gates, padding to a whole block, update gates, padding, candidates.
        Order::Gru => {
            let (hidden, gate) = (n / 3, (n / 3).next_multiple_of(16));
            return (0..n).find(|row| row / hidden * gate + row % hidden == place);
        }
        Order::Lstm => {}
    }
    // Panels of sixteen units: sixteen input gates, sixteen forget gates, sixteen candidates, sixteen output gates.
    let (gate, unit, hidden) = (lane / 16, panel * 16 + lane % 16, n / 4);
    (unit < hidden).then_some(gate * hidden + unit)
}

/// What an agent's layers are stored in: an i8 file's last layer of the encoder and its controller are f16.
fn stored_in(name: &str, precision: Precision) -> Precision {
    match name {
        "encoder.mean" | "encoder.log_var" | "fc" if precision == Precision::I8 => Precision::F16,
        _ => precision,
    }
}

#[test]
fn every_weight_stands_at_its_place_in_every_precision() {
    let all = [ODD, MIDDLE, MIDDLE.with_input(ControllerInput::ObservationHidden)].into_iter().chain(GRU).chain(KINDS);
    for (dims, precision) in all.flat_map(|dims| Precision::ALL.map(|precision| (dims, precision))) {
        let tensors = checkpoint(&dims, 1);
        let bytes = packed(&tensors, settings(dims, precision)).unwrap();
        let file = File::parse(&bytes).unwrap();
        for (name, weights, bias, order) in layers(&tensors, &dims) {
            let precision = stored_in(&name, precision);
            let what = format!("{name}, {}", precision.name());
            let dtype = file.tensor(&format!("{name}.panels")).unwrap().dtype;
            assert_eq!(dtype, ["F32", "F16", "BF16", "I8"][precision as usize], "{what}");
            let (shape, stored) = numbers(&file, &format!("{name}.panels"));
            let (count, groups, width) = (shape[0], shape[1], shape[2]);
            let group = shape.get(3).copied().unwrap_or(1);
            let (n, k) = (weights.len(), weights[0].len());
            assert_eq!(group, [1, 1, 2, 4][precision as usize], "{what}");
            assert_eq!(groups, k.div_ceil(group), "{what}");
            assert_eq!(width, if order != Order::Dense || n > 32 { 64 } else { n.div_ceil(16) * 16 }, "{what}");
            let integers = precision == Precision::I8;
            let part = |part: &str| if integers { numbers(&file, &format!("{name}.{part}")).1 } else { Vec::new() };
            let (scales, factors) = (part("scale"), part("input"));
            let (mut stored, mut padding) = (stored.into_iter(), 0);
            for (panel, g, lane, within) in nest([count, groups, width, group]) {
                let input = group * g + if group == 4 { [0, 2, 1, 3][within] } else { within };
                let weight = output(order, n, width, panel, lane).and_then(|row| weights[row].get(input));
                let found = stored.next().unwrap();
                let Some(&weight) = weight else {
                    assert_eq!(found, 0.0, "{what}: padding at {panel}, {g}, {lane}, {within}");
                    padding += 1;
                    continue;
                };
                let (expected, slack) = match precision {
                    Precision::F32 => (f64::from(weight), 0.0),
                    Precision::F16 => (nearest(weight, 11, -14), 0.0),
                    Precision::Bf16 => (nearest(weight, 8, -126), 0.0),
                    Precision::I8 => {
                        let exact = f64::from(weight) * factors[input].recip() / scales[panel * width + lane];
                        // The packer divides in binary32: next to a tie it may round the other way.
                        let tie = (exact.abs().fract() - 0.5).abs() < 1e-4;
                        (exact.round(), f64::from(u8::from(tie)))
                    }
                };
                assert!((found - expected).abs() <= slack, "{what}: {found} for {weight} at {panel}, {g}, {lane}, {within}");
            }
            assert_eq!(stored.next(), None, "{what}");
            assert_eq!(padding + n * k, count * groups * width * group, "{what}: every weight is stored once");

            let (shape, stored) = numbers(&file, &format!("{name}.bias"));
            assert_eq!(shape, [count * width], "{what}");
            for (place, found) in stored.into_iter().enumerate() {
                let expected = output(order, n, width, place / width, place % width).map_or(0.0, |row| bias[row]);
                assert_eq!(found, f64::from(expected), "{what}: bias {place}");
            }
        }
    }
}

/// All indices of four nested loops, the last the fastest.
fn nest([a, b, c, d]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |i| (i / (b * c * d), i / (c * d) % b, i / d % c, i % d))
}

#[test]
fn an_index_is_a_bijection_in_every_precision() {
    let panels =
        [Panels::dense(1, 1), Panels::dense(16, 3), Panels::dense(17, 5), Panels::dense(32, 4)].into_iter().chain([
            Panels::dense(33, 6),
            Panels::dense(65, 7),
            Panels::dense(256, 9),
            Panels::lstm(7, 11),
            Panels::lstm(33, 10),
            Panels::gru(7, 4),
            Panels::gru(33, 5),
        ]);
    for (panels, precision) in panels.flat_map(|panels| Precision::ALL.map(|precision| (panels, precision))) {
        // With the last group's padding as inputs, every place is taken once; without it, as many are left as there is padding.
        let padded = panels.groups(precision) * precision.group();
        for (inputs, free) in [(padded, 0), (panels.inputs, (padded - panels.inputs) * panels.outputs())] {
            let places: BTreeSet<usize> = nest([1, panels.count, panels.width, inputs])
                .map(|(_, panel, lane, k)| panels.index(precision, panel, lane, k))
                .collect();
            assert_eq!(places.len(), panels.outputs() * inputs, "{panels:?}, {precision:?}: no place twice");
            assert!(places.last().unwrap() < &panels.len(precision), "{panels:?}, {precision:?}");
            assert_eq!(places.len() + free, panels.len(precision), "{panels:?}, {precision:?}");
        }
        let shape = panels.shape(precision).into_iter().filter(|&axis| axis > 0).product::<usize>();
        assert_eq!(shape, panels.len(precision), "{panels:?}, {precision:?}");
        // What the kernels load: rows of whole 16 bytes, panels of whole 64.
        let row = panels.width * precision.group() * precision.bytes();
        assert_eq!((row % 16, panels.groups(precision) * row % 16), (0, 0), "{panels:?}, {precision:?}");
    }
}

#[test]
fn rows_stand_once_each() {
    for hidden in [1, 7, 16, 17, 48] {
        let panels = Panels::lstm(hidden, 1);
        let row = |panel, lane| Rows::Lstm(hidden).at(panel, lane);
        let mut rows: Vec<_> = nest([1, 1, panels.count, panels.width]).filter_map(|(_, _, p, lane)| row(p, lane)).collect();
        rows.sort_unstable();
        assert_eq!(rows, (0..4 * hidden).collect::<Vec<_>>());
    }
    for hidden in [1, 7, 16, 17, 48, 64, 65] {
        let panels = Panels::gru(hidden, 1);
        let row = |panel, lane| Rows::Gru(hidden).at(panel, lane);
        let rows: Vec<_> = nest([1, 1, panels.count, panels.width]).filter_map(|(_, _, p, lane)| row(p, lane)).collect();
        assert_eq!(rows, (0..3 * hidden).collect::<Vec<_>>());
    }
    for outputs in [1, 16, 17, 32, 33, 64, 65, 200] {
        let panels = Panels::dense(outputs, 1);
        let row = |panel, lane| Rows::Dense(outputs).at(panel, lane);
        let rows: Vec<_> = nest([1, 1, panels.count, panels.width]).filter_map(|(_, _, p, lane)| row(p, lane)).collect();
        assert_eq!(rows, (0..outputs).collect::<Vec<_>>());
    }
}

/// By the definition in `precision`: for the exponent `tenths`/10, each input's factor and each output's scale.
fn factors(weights: &[Vec<f32>], tenths: i32) -> (Vec<f64>, Vec<f64>) {
    let column = |k: usize| weights.iter().map(|row| f64::from(row[k].abs())).fold(0.0, f64::max);
    let power = |m: f64| if m > 0.0 { m.powf(f64::from(tenths) / 10.0) } else { 0.0 };
    let factors: Vec<f64> = (0..weights[0].len()).map(|k| power(column(k))).collect();
    let part = |(&w, &c): (&f32, &f64)| if c > 0.0 { f64::from(w.abs()) / c } else { 0.0 };
    let scales = weights.iter().map(|row| row.iter().zip(&factors).map(part).fold(0.0, f64::max) / 127.0).collect();
    (factors, scales)
}

/// The error that the packer is to make least.
fn expected_error((factors, scales): &(Vec<f64>, Vec<f64>)) -> f64 {
    let squares = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>();
    squares(factors) * squares(scales)
}

#[test]
fn an_integer_weight_is_within_half_a_scale_of_its_value() {
    let mut tensors = checkpoint(&MIDDLE, 3);
    let (shape, weights) = tensors.get_mut("encoder.2.weight").unwrap();
    let k = shape[1];
    weights[..k].fill(0.0); // a row of zeros
    weights[k..2 * k].fill(1e-45); // a row whose scale underflows
    weights[2 * k..3 * k].fill(-0.0);
    weights.chunks_mut(k).for_each(|row| row[5] = 0.0); // an input that is never used
    weights.chunks_mut(k).for_each(|row| row[7] *= 1e3); // one that is strong everywhere
    let (shape, weights) = tensors.get_mut("encoder.0.weight").unwrap();
    (weights[0], weights[1]) = (-1e30, 1.0); // a weight that rules its row
    let inputs = shape[1];
    let bytes = packed(&tensors, settings(MIDDLE, Precision::I8)).unwrap();
    let file = File::parse(&bytes).unwrap();
    let mut rows = 0;
    for (name, weights, _, order) in layers(&tensors, &MIDDLE) {
        if stored_in(&name, Precision::I8) != Precision::I8 {
            let parts = ["scale", "input", "sum"].map(|part| file.tensor(&format!("{name}.{part}")).is_some());
            assert_eq!(parts, [false; 3], "{name}");
            continue;
        }
        let (n, k) = (weights.len(), weights[0].len());
        let panels = order.panels(n, k);
        let (_, stored) = numbers(&file, &format!("{name}.panels"));
        let (scale_shape, scales) = numbers(&file, &format!("{name}.scale"));
        let (sum_shape, sums) = numbers(&file, &format!("{name}.sum"));
        let (input_shape, inputs) = numbers(&file, &format!("{name}.input"));
        assert_eq!((scale_shape, sum_shape), (vec![panels.outputs()], vec![panels.outputs()]), "{name}");
        assert_eq!(input_shape, [k.next_multiple_of(16)], "{name}");
        assert!(inputs[k..].iter().all(|&c| c == 0.0), "{name}: padding");

        // The factors are those of one exponent for all inputs, and of the best one.
        let close = |found: f64, expected: f64| (found - expected).abs() <= 1e-5 * expected;
        let all: Vec<_> = (0..=10).map(|tenths| factors(&weights, tenths)).collect();
        let chosen = all.iter().position(|(c, _)| c.iter().zip(&inputs).all(|(&c, &found)| close(found, c)));
        let chosen = chosen.unwrap_or_else(|| panic!("{name}: factors of no exponent: {inputs:?}"));
        let least = all.iter().map(expected_error).fold(f64::INFINITY, f64::min);
        assert!(expected_error(&all[chosen]) <= least * 1.0001, "{name}: exponent {chosen}/10");

        for place in 0..panels.outputs() {
            let (panel, lane) = (place / panels.width, place % panels.width);
            let (scale, sum) = (scales[place], sums[place]);
            let Some(row) = output(order, n, panels.width, panel, lane) else {
                assert_eq!((scale, sum), (0.0, 0.0), "{name}: padding");
                continue;
            };
            assert!(close(scale, all[chosen].1[row]) || scale == 0.0, "{name} [{row}]: {scale}");
            let q = |input| stored[panels.index(Precision::I8, panel, lane, input)];
            let (mut total, mut largest) = (0.0, 0.0_f64);
            for (input, (&weight, &factor)) in weights[row].iter().zip(&inputs).enumerate() {
                total += q(input);
                largest = largest.max(q(input).abs());
                if factor == 0.0 || scale == 0.0 {
                    assert_eq!(q(input), 0.0, "{name} [{row}, {input}]");
                    assert!(weight.abs() <= 1e-40, "{name} [{row}, {input}]: {weight} is lost");
                    continue;
                }
                // The quotients are rounded before they become an integer.
                let error = (f64::from(weight) * factor.recip() / scale - q(input)).abs();
                assert!(error <= 0.5 + 127.0 * 4.0 * f64::from(f32::EPSILON), "{name} [{row}, {input}]: {error} of a scale");
            }
            assert_eq!(sum, total, "{name} [{row}]");
            assert_eq!(largest, if scale > 0.0 { 127.0 } else { 0.0 }, "{name} [{row}]: all levels are used");
            rows += 1;
        }
    }
    assert_eq!(rows, 101 + 50 + 4 * 37 + MIDDLE.mdn_outputs());
    assert_eq!(numbers(&file, "encoder.2.scale").1[..3], [0.0; 3]);
    assert_eq!(numbers(&file, "encoder.2.input").1[5], 0.0);
    assert_eq!(inputs, 65);
}

/// The packer's powers are rounded once, from binary64: no host's `powf`, whose last bit is its own. In one of some two
/// thousand glibc's differs; these agents have some of those.
#[test]
fn the_factors_of_integer_weights_are_the_same_bits_on_every_host() {
    let mut factors = 0;
    for seed in 0..32 {
        let mut tensors = checkpoint(&MIDDLE, seed);
        for (_, weights) in tensors.values_mut().filter(|(shape, _)| shape.len() == 2) {
            let spread = |(i, weight): (usize, &mut f32)| *weight *= 1.0 + (i % 13) as f32; // an exponent between 0 and 1 is best
            weights.iter_mut().enumerate().for_each(spread);
        }
        let bytes = packed(&tensors, settings(MIDDLE, Precision::I8)).unwrap();
        let file = File::parse(&bytes).unwrap();
        for (name, weights, ..) in layers(&tensors, &MIDDLE) {
            if stored_in(&name, Precision::I8) != Precision::I8 {
                continue;
            }
            let inputs = numbers(&file, &format!("{name}.input")).1;
            let largest = |k: usize| weights.iter().map(|row| f64::from(row[k].abs())).fold(0.0, f64::max);
            let is_power = |tenths: u8| {
                let exponent = f64::from(f32::from(tenths) / 10.0);
                (0..weights[0].len()).all(|k| inputs[k] == f64::from(largest(k).powf(exponent) as f32))
            };
            assert!((0..=10).any(is_power), "seed {seed}, {name}: factors of no exponent: {inputs:?}");
            factors += weights[0].len();
        }
    }
    assert_eq!(factors, 32 * (65 + 101 + (33 + 47 + 37) + 37));
}

#[test]
fn unpacking_is_the_inverse_of_packing() {
    let digest = Some(0x0123_4567_89ab_cdef);
    let quirks: BTreeMap<String, String> =
        [("config", "env = \"Humanoid-v5\"\nseed = 0\n\t\\ é😀 \u{1}"), ("a", ""), ("zz.last", "{}")]
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .into();
    let cases = [(ODD, true, true), (ODD, false, false), (MIDDLE, true, true), (MIDDLE, false, true)];
    for (dims, head, test) in cases.into_iter().chain(GRU.into_iter().chain(KINDS).map(|dims| (dims, true, true))) {
        let mut tensors = checkpoint(&dims, 5);
        if !head {
            tensors.remove(checkpoint::GMM_WEIGHT);
        }
        let rows = |width: usize| -> Vec<Vec<f32>> {
            (0..3).map(|t| (0..width).map(|i| (t * 100 + i) as f32 - 50.5).collect()).collect()
        };
        let selftest = SelfTest { observations: rows(dims.obs_len()), actions: rows(dims.action_len()) };
        let range = if let Action::Continuous { len } = dims.action { len } else { 0 };
        let (low, high): (Vec<f32>, Vec<f32>) = (0..range).map(|i| (-0.3 - i as f32, 0.7 * i as f32)).unzip();
        let (mid, half) = action_map(&low, &high);
        let mut settings = settings(dims, Precision::F32);
        settings.selftest_digest = digest.filter(|_| test);
        let parts = Parts {
            tensors: &tensors,
            settings,
            action_mid: &mid,
            action_half: &half,
            selftest: Some(&selftest).filter(|_| test),
            frames: &[],
            provenance: &quirks,
        };
        let bytes = pack(&parts).unwrap();
        let found = unpack(&bytes).unwrap();
        assert_eq!(found.settings, settings);
        assert_eq!((&found.action_mid, &found.action_half, &found.provenance), (&mid, &half, &quirks));
        assert_eq!(found.selftest, if test { selftest.clone() } else { SelfTest::default() });
        let mut expected = tensors.clone();
        if dims.cell() == Some(MemoryCell::Lstm) {
            // Its two biases come back as one; a GRU's are apart in the file too.
            let none = (vec![4 * dims.hidden_len()], vec![0.0; 4 * dims.hidden_len()]);
            let hh = expected.insert("rnn.bias_hh_l0".into(), none).unwrap().1;
            expected.get_mut("rnn.bias_ih_l0").unwrap().1.iter_mut().zip(hh).for_each(|(ih, hh)| *ih += hh);
        }
        if !head {
            expected.remove(checkpoint::GMM_BIAS);
        }
        assert_eq!(found.tensors, expected);

        let (tensors, settings) = (&found.tensors, found.settings);
        let (action_mid, action_half) = (&found.action_mid, &found.action_half);
        let selftest = Some(&found.selftest).filter(|selftest| !selftest.actions.is_empty());
        let again =
            Parts { tensors, settings, action_mid, action_half, selftest, frames: &[], provenance: &found.provenance };
        assert!(pack(&again).unwrap() == bytes, "{dims:?}, head {head}, self-test {test}: the same bytes");
    }
}

#[test]
fn only_whole_weights_unpack() {
    let tensors = checkpoint(&ODD, 1);
    for precision in [Precision::F16, Precision::Bf16, Precision::I8] {
        let error = unpack(&packed(&tensors, settings(ODD, precision)).unwrap()).unwrap_err();
        let name = precision.name();
        assert_eq!(error, format!("metadata `precision`: expected f32 (the weights before rounding), found `{name}`"));
    }
    let bytes = packed(&tensors, settings(ODD, Precision::F32)).unwrap();
    assert!(unpack(&bytes).is_ok());
    for n in 0..bytes.len() {
        let error = unpack(&bytes[..n]).unwrap_err();
        assert_eq!(error.lines().count(), 1, "{n} bytes: {error}");
    }
}

/// A file of pictures, unpacked and packed again: the same weights in PyTorch's order, the same bytes.
#[test]
fn an_agent_of_pictures_unpacks_to_what_was_packed() {
    let chain = [
        Convolution { channels: 5, kernel: 3, stride: 2, padding: 1 },
        Convolution { channels: 18, kernel: 2, stride: 1, padding: 0 },
    ];
    let image =
        Image::plain([9, 7, 3]).cropped([1, 0, 8, 7]).coloured(Colour::Reversed).resized([6, 5], Filter::Area).inverted();
    for dims in [
        Dims::pictures(image, 2, Convolutions::new(&chain).unwrap(), 3, 7, 2).with_cell(MemoryCell::Gru),
        Dims::pictures(Image::plain([6, 5, 1]), 2, Convolutions::new(&chain[..1]).unwrap(), 3, 7, 2)
            .with_cell(MemoryCell::Gru),
    ] {
        let mut tensors = Tensors::new();
        for (name, shape) in checkpoint_shapes(&dims) {
            let len = shape.iter().product::<usize>();
            let values = (0..len).map(|i| ((i * 37 + tensors.len() * 11) % 101) as f32 / 64.0 - 0.75).collect();
            tensors.insert(name.to_string(), (shape, values));
        }
        // The frames of the self-test are bytes.
        let observations = (0..3).map(|t| (0..dims.obs_len()).map(|i| ((i * 7 + t * 50) % 256) as f32).collect()).collect();
        let selftest = SelfTest { observations, actions: vec![vec![0.25, -0.5]; 3] };
        let mut settings = settings(dims, Precision::F32);
        (settings.selftest_digest, settings.obs_scale) = (Some(7), 0.01);
        let provenance = BTreeMap::new();
        let parts = Parts {
            tensors: &tensors,
            settings,
            action_mid: &[0.0, 1.0],
            action_half: &[0.5, 2.0],
            selftest: Some(&selftest),
            frames: &[],
            provenance: &provenance,
        };
        let bytes = pack(&parts).unwrap();
        let file = File::parse(&bytes).unwrap();
        let frames = file.tensor("selftest.observations").unwrap();
        assert_eq!((frames.dtype, frames.shape()), ("U8", &[3, dims.obs_len()][..]));
        let found = unpack(&bytes).unwrap();
        assert_eq!((found.settings, &found.selftest), (settings, &selftest));
        assert_eq!(found.tensors, tensors);
        let again = Parts { tensors: &found.tensors, selftest: Some(&found.selftest), ..parts };
        assert!(pack(&again).unwrap() == bytes, "{dims:?}: the same bytes");
    }
}

/// In bf16, what lies below 2⁻⁶⁰ once rounded is 0, of either sign: products with it would not be exact.
#[test]
fn the_least_of_bf16_is_zero() {
    let with = |value: f32| {
        let mut tensors = checkpoint(&ODD, 1);
        tensors.get_mut("fc.weight").unwrap().1[2] = value;
        packed(&tensors, settings(ODD, Precision::Bf16)).unwrap()
    };
    let least = (-60_f32).exp2();
    for (value, as_if) in [
        (1e-45, 0.0),
        (-f32::MIN_POSITIVE, 0.0),
        (0.996 * least, 0.0),
        (-0.996 * least, 0.0),
        (0.999 * least, least),
        (-0.999 * least, -least),
    ] {
        assert!(with(value) == with(as_if), "{value:e} as {as_if:e}");
    }
    assert!(with(0.0) != with(least));
}

#[test]
fn what_a_precision_cannot_hold_is_refused() {
    // The least that rounds beyond the largest number, and the largest that does not.
    let f16 = (65_520.0, 65_519.996);
    // Products with larger ones than 2⁶⁰ would not be exact.
    let bf16 = (f32::from_bits(0x5d80_8001), f32::from_bits(0x5d80_8000));
    let names = [
        ("encoder.0.weight", "encoder.0.panels"),
        ("encoder.2.weight", "encoder.2.panels"),
        ("encoder.4.weight", "encoder.mean.panels"),
        ("fc.weight", "fc.panels"),
        ("rnn.weight_ih_l0", "rnn.panels"),
        ("rnn.weight_hh_l0", "rnn.panels"),
        ("gmm_linear.weight", "gmm_linear.panels"),
    ];
    for (source, name) in names {
        let with = |value: f32, precision| {
            let mut tensors = checkpoint(&ODD, 1);
            tensors.get_mut(source).unwrap().1[2] = value;
            packed(&tensors, settings(ODD, precision))
        };
        for (precision, bad, good) in [
            (Precision::F16, 1e6, 1e3),
            (Precision::F16, f16.0, f16.1),
            (Precision::F16, -f16.0, -f16.1),
            (Precision::Bf16, f32::MAX, 1e18),
            (Precision::Bf16, bf16.0, bf16.1),
            (Precision::Bf16, -bf16.0, -bf16.1),
        ] {
            let expected = format!("tensor `{name}`: expected weights that {} can hold, found {bad}", precision.name());
            assert_eq!(with(bad, precision).unwrap_err(), expected);
            assert!(with(good, precision).is_ok(), "{source}: {good}");
        }
        for value in [f32::MAX, f32::MIN] {
            assert!(with(value, Precision::F32).is_ok(), "{source}: {value}");
            // Integers have a scale, and hold any number; a few layers of an i8 file are f16.
            let expected = format!("tensor `{name}`: expected weights that f16 can hold, found {value}");
            match stored_in(name.trim_end_matches(".panels"), Precision::I8) {
                Precision::F16 => assert_eq!(with(value, Precision::I8), Err(expected)),
                _ => assert!(with(value, Precision::I8).is_ok(), "{source}: {value}"),
            }
        }
        for (precision, value) in Precision::ALL.into_iter().zip([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::NAN]) {
            let expected = format!("tensor `{source}`: expected finite values, found {value} at 2");
            assert_eq!(with(value, precision).unwrap_err(), expected);
        }
    }
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let whole = checkpoint(&ODD, 1);
    let every_name = |dims: Dims| checkpoint(&dims, 1).into_keys().map(move |name| (dims, name));
    for (dims, name) in [ODD, GRU[0]].into_iter().chain(KINDS).flat_map(every_name) {
        let whole = checkpoint(&dims, 1);
        let mut tensors = whole.clone();
        tensors.remove(&name);
        let result = packed(&tensors, settings(dims, Precision::F32));
        if name == checkpoint::GMM_WEIGHT {
            assert!(File::parse(&result.unwrap()).unwrap().tensor("gmm_linear.panels").is_none(), "the head is optional");
        } else {
            assert_eq!(result.unwrap_err(), format!("tensor `{name}`: expected, not found"));
        }
        let mut tensors = whole.clone();
        let shape = tensors[&name].0.clone();
        let longer: Vec<usize> = shape.iter().map(|axis| axis + 1).collect();
        tensors.insert(name.clone(), (longer.clone(), vec![0.0; longer.iter().product()]));
        let expected = format!("tensor `{name}`: expected shape {shape:?}, found {longer:?}");
        assert_eq!(packed(&tensors, settings(dims, Precision::I8)).unwrap_err(), expected);
    }
    for (mid, half, name, found) in [(0, 1, "mid", 0), (2, 1, "mid", 2), (1, 0, "half", 0), (1, 3, "half", 3)] {
        let error = pack(&Parts {
            tensors: &whole,
            settings: settings(ODD, Precision::F32),
            action_mid: &vec![0.0; mid],
            action_half: &vec![0.0; half],
            selftest: None,
            frames: &[],
            provenance: &BTreeMap::new(),
        });
        assert_eq!(error.unwrap_err(), format!("action.{name}: expected 1 values, found {found}"));
    }
}

#[test]
fn settings_come_back_from_a_file() {
    let tensors = checkpoint(&ODD, 1);
    for choice in 0..4 * 2 * 2 * 2 {
        let mut written = settings(ODD, Precision::ALL[choice % 4]);
        written.period_s = [None, Some(0.015), Some(1.0 / 3.0)][choice % 3];
        written.normalizer = [Normalizer::MeanStd, Normalizer::None][choice / 2 % 2];
        if written.normalizer == Normalizer::MeanStd {
            written.obs_clip = [10.0, f32::MIN_POSITIVE, f32::MAX][choice % 3];
        }
        written.squash = [Squash::Clamp, Squash::Tanh][choice / 4 % 2];
        written.acting = [Acting::Mean, Acting::Sampled][choice / 8 % 2];
        written.target = [Target::Next, Target::Delta][choice / 16 % 2];
        written.log_var_range = [[-10.0, 10.0], [0.1, 0.1], [-1e-45, 3.3e38]][choice % 3];
        written.log_sigma_min = [-5.0, 0.1 + 0.2, -0.0][choice % 3];
        written.reward_offset = [1e-7, -1.0 / 3.0, 16_777_217.0][choice % 3];
        written.surprise_limit = [Some(-1.25), None, Some(0.1 + 0.2)][choice % 3];
        let bytes = packed(&tensors, written).unwrap();
        assert_eq!(Settings::read(&File::parse(&bytes).unwrap()), Ok(written));
    }
    let inputs = ControllerInput::ALL.map(|input| ODD.with_input(input));
    for dims in [ODD.with_mixture(Mixture::PerDimension), GRU[0]].into_iter().chain(inputs).chain(KINDS) {
        let written = settings(dims, Precision::F32);
        let bytes = packed(&checkpoint(&dims, 1), written).unwrap();
        assert_eq!(Settings::read(&File::parse(&bytes).unwrap()), Ok(written));
    }
}

#[test]
fn a_file_says_what_each_part_is() {
    let said = |dims: Dims| {
        let bytes = packed(&checkpoint(&dims, 1), settings(dims, Precision::F32)).unwrap();
        let file = File::parse(&bytes).unwrap();
        let value = |key: &str| file.metadata(key).unwrap_or("-").to_string();
        ["v.kind", "v.hidden", "m.kind", "c.kind", "controller.input", "action.kind", "dims.action"].map(value).join(" ")
    };
    assert_eq!(said(ODD), "mlp 9,4 lstm linear z+h continuous 1");
    assert_eq!(said(GRU[0]), "mlp 9,4 gru linear z+h continuous 1");
    let expected = [
        "mlp 9 lstm linear z+h continuous 1",
        "mlp 9,4,6 lstm linear z+h continuous 2",
        "mlp 101,50,33,17 lstm linear z+h continuous 3",
        "identity - lstm linear z+h continuous 1",
        "identity - gru linear z+h discrete 33",
        "mlp 101,50 none linear z continuous 33",
        "mlp 9,4 lstm linear z+h discrete 18",
        "none - none linear obs discrete 5",
    ];
    assert_eq!(KINDS.map(said), expected);
    let bytes = packed(&checkpoint(&ODD, 1), settings(ODD, Precision::F32)).unwrap();
    let file = File::parse(&bytes).unwrap();
    let fixed = [("dreamstep.format", "packed-3"), ("observation.kind", "vector"), ("observation.normalizer", "mean-std")];
    for (key, value) in fixed {
        assert_eq!(file.metadata(key), Some(value));
    }
    for gone in ["rnn.cell", "dims.encoder.0", "dims.encoder.1"] {
        assert_eq!(file.metadata(gone), None);
    }
}

#[test]
fn a_controller_of_another_width_is_refused() {
    let key = "controller.input";
    for input in ControllerInput::ALL {
        let dims = ODD.with_input(input);
        let bytes = packed(&checkpoint(&dims, 1), settings(dims, Precision::F32)).unwrap();
        assert_eq!(File::parse(&bytes).unwrap().metadata(key), Some(input.name()));
        // Taken apart, it is the same agent.
        let agent = unpack(&bytes).unwrap();
        assert_eq!(
            (agent.settings.dims, agent.tensors["fc.weight"].clone()),
            (dims, checkpoint(&dims, 1)["fc.weight"].clone())
        );
        // A controller of another width does not go with it.
        let other = if input == ControllerInput::Latent { ControllerInput::Hidden } else { ControllerInput::Latent };
        let other = ODD.with_input(other);
        let mut tensors = checkpoint(&dims, 1);
        tensors.extend(["fc.weight", "fc.bias"].map(|name| (name.to_string(), checkpoint(&other, 1)[name].clone())));
        let error = packed(&tensors, settings(dims, Precision::F32)).unwrap_err();
        let (expected, found) = (dims.controller_inputs(), other.controller_inputs());
        assert_eq!(error, format!("tensor `fc.weight`: expected shape [1, {expected}], found [1, {found}]"));
    }
}

/// What no agent is made of is refused before a tensor is looked at.
#[test]
fn kinds_that_do_not_fit_are_not_packed() {
    let refused = |dims: Dims| packed(&Tensors::new(), settings(dims, Precision::F32)).unwrap_err();
    let wide = ODD.with_encoder(Encoder::Identity { latent: 6 });
    assert_eq!(refused(wide), "metadata `dims.latent`: expected at most dims.obs where v.kind is identity");
    let input = ODD.with_memory(Memory::None);
    assert_eq!(refused(input), "metadata `controller.input`: expected z or obs where m.kind is none");
    let head = Dims::vector(5, 1, &[9, 4], 65_536, 7, 8);
    assert_eq!(refused(head), "metadata `dims.mixtures`: expected at most 1048576 outputs of the MDN head, found more");
}

/// A checkpoint of the other memory has rows too many or too few.
#[test]
fn the_other_memorys_tensors_are_refused() {
    for (settings_of, tensors_of, expected, found) in [(ODD, GRU[0], 28, 21), (GRU[0], ODD, 21, 28)] {
        let error = packed(&checkpoint(&tensors_of, 1), settings(settings_of, Precision::F32)).unwrap_err();
        assert_eq!(error, format!("tensor `rnn.weight_ih_l0`: expected shape [{expected}, 4], found [{found}, 4]"));
    }
}

#[test]
fn a_candidate_controller_is_arranged_as_the_files_is() {
    let tensors = checkpoint(&MIDDLE, 9);
    let bytes = packed(&tensors, settings(MIDDLE, Precision::F32)).unwrap();
    let file = File::parse(&bytes).unwrap();
    let values = controller_panels(&MIDDLE, &[&tensors["fc.weight"].1[..], &tensors["fc.bias"].1].concat());
    let wide: Vec<f64> = values.into_iter().map(f64::from).collect();
    assert_eq!(wide, [numbers(&file, "fc.panels").1, numbers(&file, "fc.bias").1].concat());
}
