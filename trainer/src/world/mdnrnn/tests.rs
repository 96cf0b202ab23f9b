//! M against its equations, written out in binary64.

use super::*;
use crate::world::nets::{export, matrix, normals, to_vec};
use dreamstep_core::names::checkpoint as names;
use dreamstep_core::rng::Stream;

const SHAPE: MdnRnnShape = MdnRnnShape {
    action: 2,
    latent: 3,
    hidden: 7,
    cell: MemoryCell::Lstm,
    mixture: Mixture::Joint,
    target: Target::Next,
    mixtures: 4,
    log_sigma_min: -1.0,
};
const GRU: MdnRnnShape = MdnRnnShape { cell: MemoryCell::Gru, ..SHAPE };

fn noise(step: u64, n: usize, columns: usize) -> Tensor {
    matrix(&normals(Philox::new(5), Stream::LatentNoise, step, n * columns), columns, Device::Cpu)
}

#[test]
fn variables_have_the_checkpoints_names_and_shapes() {
    for (shape, gates) in [(SHAPE, 28), (GRU, 21)] {
        let vs = nn::VarStore::new(Device::Cpu);
        let _ = MdnRnn::new(&vs.root(), shape, Philox::new(0));
        let found = export(&vs).unwrap();
        let expected = [
            (names::RNN_WEIGHT_IH, vec![gates, 5]),
            (names::RNN_WEIGHT_HH, vec![gates, 7]),
            (names::RNN_BIAS_IH, vec![gates]),
            (names::RNN_BIAS_HH, vec![gates]),
            (names::GMM_WEIGHT, vec![30, 7]),
            (names::GMM_BIAS, vec![30]),
        ];
        assert_eq!(found.len(), expected.len());
        for (name, shape) in expected {
            assert_eq!(found[name].shape, shape, "{name}");
        }
    }
}

#[test]
fn every_parameter_gets_a_gradient() {
    tch::set_num_threads(1);
    for shape in [SHAPE, GRU] {
        let vs = nn::VarStore::new(Device::Cpu);
        let m = MdnRnn::new(&vs.root(), shape, Philox::new(0));
        let sizes = Tensor::from_slice(&[4_i64, 4, 2]);
        let (hidden, _) = m.sequences(&noise(0, 10, 3), &noise(1, 10, 2), &sizes, &m.zero_state(4));
        let p = m.predict(&hidden, &noise(1, 10, 3));
        let loss = p.nll(&noise(2, 10, 3)).sum(Kind::Float)
            + p.reward.square().sum(Kind::Float)
            + p.terminal_logit.exp().sum(Kind::Float);
        loss.backward();
        for (name, v) in vs.variables() {
            let zero_rows = v.grad().reshape([v.size()[0], -1]).abs().sum_dim_intlist(1, false, Kind::Float).eq(0.0);
            // The floor of log σ cuts some rows of the head off; every other row must move.
            let allowed = if name.starts_with("gmm") { 12.0 } else { 0.0 };
            assert!(zero_rows.sum(Kind::Float).double_value(&[]) <= allowed, "{name}: rows without a gradient");
        }
    }
}

#[test]
fn the_nll_agrees_with_a_naive_sum_of_densities() {
    let (n, k, z) = (6, 4, 3);
    let draw = |step, n: usize| normals(Philox::new(6), Stream::LatentNoise, step, n);
    let (means, raw, target) = (draw(0, n * k * z), draw(1, n * k * z), draw(3, n * z));
    let floored: Vec<f32> = raw.iter().map(|v| v.max(-1.0)).collect();
    let [k_, z_] = [k, z].map(|v| v as i64);
    // One mixture over all dimensions, or one for each: `spans` logits a component.
    for spans in [1, z] {
        let logits = draw(2, n * k * spans);
        let p = Prediction {
            means: Tensor::from_slice(&means).reshape([-1, k_, z_]),
            log_sigmas: Tensor::from_slice(&floored).reshape([-1, k_, z_]),
            logits: Tensor::from_slice(&logits).reshape([-1, k_, spans as i64]),
            reward: Tensor::zeros([6], (Kind::Float, Device::Cpu)),
            terminal_logit: Tensor::zeros([6], (Kind::Float, Device::Cpu)),
        };
        let (found, expected_next) =
            (to_vec(&p.nll(&matrix(&target, z, Device::Cpu))).unwrap(), to_vec(&p.expected_next()).unwrap());
        let weight = |i: usize, j: usize, d: usize| {
            let logit = |j: usize| f64::from(logits[(i * k + j) * spans + d.min(spans - 1)]).exp();
            logit(j) / (0..k).map(logit).sum::<f64>()
        };
        let density = |i: usize, j: usize, d: usize| {
            let at = (i * k + j) * z + d;
            let sigma = f64::from(floored[at]).exp();
            let distance = (f64::from(target[i * z + d]) - f64::from(means[at])) / sigma;
            (-0.5 * distance * distance).exp() / (sigma * std::f64::consts::TAU.sqrt())
        };
        for i in 0..n {
            let of_all = || (0..k).map(|j| weight(i, j, 0) * (0..z).map(|d| density(i, j, d)).product::<f64>()).sum::<f64>();
            let of_each = || (0..z).map(|d| (0..k).map(|j| weight(i, j, d) * density(i, j, d)).sum::<f64>()).product();
            let expected: f64 = if spans == 1 { of_all() } else { of_each() };
            assert!(
                (f64::from(found[i]) + expected.ln()).abs() < 1e-4,
                "{spans}, row {i}: {} and {}",
                found[i],
                -expected.ln()
            );
            for d in 0..z {
                let mean: f64 = (0..k).map(|j| weight(i, j, d) * f64::from(means[(i * k + j) * z + d])).sum();
                assert!((f64::from(expected_next[i * z + d]) - mean).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn the_head_is_laid_out_as_the_checkpoint_says() {
    let vs = nn::VarStore::new(Device::Cpu);
    let m = MdnRnn::new(&vs.root(), SHAPE, Philox::new(0));
    // A zero hidden vector leaves the bias, here 0, 1, 2, …
    let bias: Vec<f32> = (0..30).map(|i| i as f32).collect();
    tch::no_grad(|| vs.variables()[names::GMM_BIAS].shallow_clone().copy_(&Tensor::from_slice(&bias)));
    let p = m.predict(&m.zero_state(1).h, &noise(9, 1, 3));
    assert_eq!(to_vec(&p.means).unwrap(), bias[..12]);
    assert_eq!(to_vec(&p.log_sigmas).unwrap(), bias[12..24]);
    assert_eq!(to_vec(&p.logits).unwrap(), bias[24..28]);
    assert_eq!([p.reward, p.terminal_logit].map(|t| t.double_value(&[0])), [28.0, 29.0]);
}

/// Outputs, end states and gradients of sequences of unequal lengths that begin in unequal states.
#[test]
fn step_by_step_is_what_libtorch_computes_in_one_call() {
    tch::set_num_threads(1);
    for shape in [SHAPE, GRU] {
        let vs = nn::VarStore::new(Device::Cpu);
        let model = MdnRnn::new(&vs.root(), shape.clone(), Philox::new(0));
        let sizes = Tensor::from_slice(&[4_i64, 4, 3, 1, 1]);
        let (input, weigh) = (noise(0, 13, 5).set_requires_grad(true), noise(1, 13, 7));
        let start = || {
            let h = noise(2, 4, 7);
            if shape.cell == MemoryCell::Lstm { vec![h, noise(3, 4, 7)] } else { vec![h] }
        };
        let gradients = |(out, end): (Tensor, Vec<Tensor>)| {
            let of_end = end.iter().map(|s| (s.square() * noise(4, 4, 7)).sum(Kind::Float));
            let loss = of_end.fold((&out * &weigh).sum(Kind::Float), |sum, term| sum + term);
            let wanted: Vec<&Tensor> = model.rnn.iter().chain([&input]).collect();
            let mut all = Tensor::run_backward(&[loss], &wanted, false, false);
            all.push(out);
            all.extend(end);
            all
        };
        let one_call = gradients(model.fused(&input, &sizes, &start()));
        let steps = gradients(model.unrolled(&input, &sizes, start()));
        assert_eq!(one_call.len(), steps.len());
        for (i, (a, b)) in one_call.iter().zip(&steps).enumerate() {
            assert_eq!(a.size(), b.size());
            let (difference, size) = ((a - b).abs().max().double_value(&[]), a.abs().max().double_value(&[]));
            assert!(size > 0.0 && difference < 1e-5 * size.max(1.0), "{:?} {i}: {difference} of {size}", shape.cell);
        }
    }
}

#[test]
fn stepping_equals_a_naive_gru_and_the_packed_sequence() {
    let vs = nn::VarStore::new(Device::Cpu);
    let m = MdnRnn::new(&vs.root(), GRU, Philox::new(2));
    let (z, a) = (noise(0, 5, 3), noise(1, 5, 2));
    let (all, end) = m.sequences(&z, &a, &Tensor::from_slice(&[1_i64; 5]), &m.zero_state(1));
    let all = to_vec(&all).unwrap();
    let w = export(&vs).unwrap();
    let (zs, actions) = (to_vec(&z).unwrap(), to_vec(&a).unwrap());
    let affine = |weight: &str, bias: &str, row: usize, x: &[f64]| -> f64 {
        let weights = &w[weight].data[row * x.len()..][..x.len()];
        f64::from(w[bias].data[row]) + x.iter().zip(weights).map(|(x, &w)| x * f64::from(w)).sum::<f64>()
    };
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let (mut state, mut h) = (m.zero_state(1), vec![0.0_f64; 7]);
    for t in 0..5 {
        state = m.step(&z.narrow(0, t as i64, 1), &a.narrow(0, t as i64, 1), &state);
        let x: Vec<f64> = actions[2 * t..2 * t + 2].iter().chain(&zs[3 * t..3 * t + 3]).map(|&v| f64::from(v)).collect();
        let unit = |j: usize| {
            let [r, z, n] = [0, 1, 2].map(|gate| {
                let row = 7 * gate + j;
                (
                    affine(names::RNN_WEIGHT_IH, names::RNN_BIAS_IH, row, &x),
                    affine(names::RNN_WEIGHT_HH, names::RNN_BIAS_HH, row, &h),
                )
            });
            let (r, z) = (sigmoid(r.0 + r.1), sigmoid(z.0 + z.1));
            (1.0 - z) * (n.0 + r * n.1).tanh() + z * h[j]
        };
        h = (0..7).map(unit).collect();
        let stepped = to_vec(&state.h).unwrap();
        for j in 0..7 {
            assert!((f64::from(stepped[j]) - h[j]).abs() < 1e-5 && (stepped[j] - all[7 * t + j]).abs() < 1e-6);
        }
    }
    assert!(state.c.is_none() && end.c.is_none());
    assert_eq!(to_vec(&end.h).unwrap(), all[28..]);
}

/// Windows of unequal lengths, some of which end before M is on its own, against each one alone, step by step.
#[test]
fn on_its_own_it_is_fed_what_it_expects() {
    tch::set_num_threads(1);
    for (shape, from) in [(SHAPE, 2), (MdnRnnShape { target: Target::Delta, ..GRU }, 3)] {
        let vs = nn::VarStore::new(Device::Cpu);
        let m = MdnRnn::new(&vs.root(), shape.clone(), Philox::new(0));
        let sizes = [4_i64, 4, 3, 1, 1];
        let (z, a) = (noise(0, 13, 3), noise(1, 13, 2));
        let c = (shape.cell == MemoryCell::Lstm).then(|| noise(3, 4, 7));
        let start = MemoryState { h: noise(2, 4, 7), c };
        let (hidden, fed) = m.fed_back(Kind::Float, [&z, &a], &Tensor::from_slice(&sizes), &start, from);
        assert_eq!((hidden.size(), fed.size()), (vec![13, 7], vec![13, 3]));
        for window in 0..4_i64 {
            let mut state = start.rows(&Tensor::from_slice(&[window]));
            let mut expected: Option<Tensor> = None;
            let mut first = 0;
            for (t, &n) in sizes.iter().enumerate().take_while(|&(_, &n)| n > window) {
                let row = first + window;
                let observed = z.narrow(0, row, 1);
                let latent = expected.filter(|_| t >= from).unwrap_or(observed);
                state = m.step(&latent, &a.narrow(0, row, 1), &state);
                expected = Some(m.predict(&state.h, &latent).expected_next());
                let near = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]) < 1e-5;
                assert!(near(&hidden.narrow(0, row, 1), &state.h) && near(&fed.narrow(0, row, 1), &latent));
                assert_eq!(near(&latent, &z.narrow(0, row, 1)), t < from, "step {t}");
                first += n;
            }
        }
    }
}

#[test]
fn rows_of_a_state_are_taken_and_put_back() {
    let rows = |of: &Tensor, at: &[i64]| of.index_select(0, &Tensor::from_slice(at));
    for cell in [Some(noise(4, 4, 7)), None] {
        let state = MemoryState { h: noise(3, 4, 7), c: cell };
        let some = state.rows(&Tensor::from_slice(&[2_i64, 0]));
        let mut other = MemoryState { h: state.h.zeros_like(), c: state.c.as_ref().map(Tensor::zeros_like) };
        other.put_rows(&Tensor::from_slice(&[1_i64, 3]), &some);
        let pairs = [Some((&state.h, &other.h)), state.c.as_ref().zip(other.c.as_ref())];
        for (from, to) in pairs.into_iter().flatten() {
            assert_eq!(rows(to, &[1, 3]), rows(from, &[2, 0]));
            assert_eq!(to.get(0).abs().sum(Kind::Float).double_value(&[]), 0.0);
        }
        assert_eq!(some.c.is_some(), state.c.is_some());
    }
}

#[test]
fn stepping_equals_a_naive_lstm_and_the_packed_sequence() {
    let vs = nn::VarStore::new(Device::Cpu);
    let m = MdnRnn::new(&vs.root(), SHAPE, Philox::new(2));
    let (z, a) = (noise(0, 5, 3), noise(1, 5, 2));
    let (all, _) = m.sequences(&z, &a, &Tensor::from_slice(&[1_i64; 5]), &m.zero_state(1));
    let all = to_vec(&all).unwrap();
    let w = export(&vs).unwrap();
    let (zs, actions) = (to_vec(&z).unwrap(), to_vec(&a).unwrap());
    let mut state = m.zero_state(1);
    let (mut h, mut c) = (vec![0.0_f64; 7], vec![0.0_f64; 7]);
    for t in 0..5 {
        state = m.step(&z.narrow(0, t as i64, 1), &a.narrow(0, t as i64, 1), &state);
        let x: Vec<f64> = actions[2 * t..2 * t + 2].iter().chain(&zs[3 * t..3 * t + 3]).map(|&v| f64::from(v)).collect();
        let gate = |row: usize| {
            let dot = |name: &str, v: &[f64]| -> f64 {
                v.iter().enumerate().map(|(i, v)| v * f64::from(w[name].data[row * v_len(name) + i])).sum()
            };
            f64::from(w[names::RNN_BIAS_IH].data[row])
                + f64::from(w[names::RNN_BIAS_HH].data[row])
                + dot(names::RNN_WEIGHT_IH, &x)
                + dot(names::RNN_WEIGHT_HH, &h)
        };
        let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
        let gates: Vec<f64> = (0..28).map(gate).collect();
        for j in 0..7 {
            c[j] = sigmoid(gates[7 + j]) * c[j] + sigmoid(gates[j]) * gates[14 + j].tanh();
            h[j] = sigmoid(gates[21 + j]) * c[j].tanh();
        }
        let stepped = to_vec(&state.h).unwrap();
        for j in 0..7 {
            assert!((f64::from(stepped[j]) - h[j]).abs() < 1e-5 && (stepped[j] - all[7 * t + j]).abs() < 1e-6);
        }
    }
    fn v_len(name: &str) -> usize {
        if name == names::RNN_WEIGHT_IH { 5 } else { 7 }
    }
}
