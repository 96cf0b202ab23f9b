//! M: what comes next? An LSTM with a mixture-density head (Bishop 1994; Graves 2013; Ha & Schmidhuber 2018 §2.2, A.2).
//!
//! ```text
//! [a_t, z_t] [A+Z] ─lstm─▶ h_{t+1} [H] ─linear─▶ means [K,Z], log-sigmas [K,Z], logits [K], reward_t, terminal_t
//! ```
//! Everything is about one and the same step `t`: the action `a_t` taken in `z_t` leads to `z_{t+1}` and earns `reward_t`. One
//! mixture spans the whole latent vector (TorchWM's convention): `p(z') = Σ_k π_k Π_j N(z'_j; µ_kj, σ_kj)`.

use super::{forward, linear, uniform};
use dreamstep_core::rng::Philox;
use tch::{Device, Kind, Tensor, nn};

/// Sizes and ranges of an MDN-RNN.
#[derive(Clone, Debug, PartialEq)]
pub struct MdnRnnShape {
    /// `A`
    pub action: usize,
    /// `Z`
    pub latent: usize,
    /// `H`
    pub hidden: usize,
    /// `K`
    pub mixtures: usize,
    /// log σ = max(raw, this).
    pub log_sigma_min: f64,
}

/// LSTM and head.
#[derive(Debug)]
pub struct MdnRnn {
    /// weight_ih, weight_hh, bias_ih, bias_hh: the order libtorch wants.
    rnn: [Tensor; 4],
    gmm_linear: nn::Linear,
    shape: MdnRnnShape,
}

/// The LSTM's memory, `[B, H]` each.
#[derive(Debug)]
pub struct LstmState {
    /// Hidden.
    pub h: Tensor,
    /// Cell.
    pub c: Tensor,
}

/// What the head says about `N` steps.
#[derive(Debug)]
pub struct Prediction {
    /// `[N, K, Z]`
    pub means: Tensor,
    /// `[N, K, Z]`, floored.
    pub log_sigmas: Tensor,
    /// `[N, K]`
    pub logits: Tensor,
    /// `[N]` less its training mean.
    pub reward: Tensor,
    /// `[N]`
    pub terminal_logit: Tensor,
}

impl MdnRnn {
    /// A new network under `root`, with weights drawn from `rng` as PyTorch initialises them: U(±1/√H) throughout.
    #[must_use]
    pub fn new(root: &nn::Path, shape: MdnRnnShape, rng: Philox) -> Self {
        let [a, z, h, k] = [shape.action, shape.latent, shape.hidden, shape.mixtures].map(|n| n as i64);
        let bound = 1.0 / (h as f64).sqrt();
        let path = root / "rnn";
        let rnn = [
            uniform(&path, "weight_ih_l0", &[4 * h, a + z], bound, rng),
            uniform(&path, "weight_hh_l0", &[4 * h, h], bound, rng),
            uniform(&path, "bias_ih_l0", &[4 * h], bound, rng),
            uniform(&path, "bias_hh_l0", &[4 * h], bound, rng),
        ];
        let gmm_linear = linear(&(root / "gmm_linear"), h, (2 * z + 1) * k + 2, rng);
        Self { rnn, gmm_linear, shape }
    }

    /// Runs `B` sequences of unequal lengths, longest first, without padding. `z` and `a` hold all first steps, then all second
    /// steps of those that have one, and so on, `[N, Z]`, `[N, A]`; `batch_sizes` (on the host) says how many each step has.
    ///
    /// Returns the hidden vectors `[N, H]` in the same order, and the state after each sequence's own last step.
    pub fn sequences(&self, z: &Tensor, a: &Tensor, batch_sizes: &Tensor, state: &LstmState) -> (Tensor, LstmState) {
        self.sequences_in(Kind::Float, z, a, batch_sizes, state)
    }

    /// The same in numbers of `kind`; what is returned is float32.
    pub(crate) fn sequences_in(
        &self,
        kind: Kind,
        z: &Tensor,
        a: &Tensor,
        batch_sizes: &Tensor,
        state: &LstmState,
    ) -> (Tensor, LstmState) {
        let input = Tensor::cat(&[a, z], 1).to_kind(kind); // [N, A+Z]
        let [h, c] = [&state.h, &state.c].map(|s| s.to_kind(kind)); // [B, H]
        let (out, h, c) = match z.device() {
            Device::Cuda(_) => self.fused(&input, batch_sizes, [h, c]),
            _ => self.unrolled(&input, batch_sizes, [h, c]),
        };
        let [out, h, c] = [out, h, c].map(|t| t.to_kind(Kind::Float));
        (out, LstmState { h, c })
    }

    /// All steps in one call of libtorch: on a GPU one kernel.
    fn fused(&self, input: &Tensor, batch_sizes: &Tensor, state: [Tensor; 2]) -> (Tensor, Tensor, Tensor) {
        let hx = state.map(|s| s.unsqueeze(0)); // [1, B, H]
        let rnn = self.rnn.each_ref().map(|weight| weight.to_kind(input.kind()));
        let (out, h, c) = Tensor::lstm_data(input, batch_sizes, &hx, &rnn, true, 1, 0.0, false, false);
        (out, h.squeeze_dim(0), c.squeeze_dim(0))
    }

    /// Step by step. On a processor libtorch's one call takes the steps one by one as well, but the gradient of each step's slice of the
    /// inputs is a matrix as large as all steps together, filled with zeros and added up: at 16 windows of 24 steps a training step takes
    /// 1.3 times as long as this one, at 64 windows 1.5 times. Here one split has one gradient.
    fn unrolled(&self, input: &Tensor, batch_sizes: &Tensor, [mut h, mut c]: [Tensor; 2]) -> (Tensor, Tensor, Tensor) {
        let [w_ih, w_hh, b_ih, b_hh] = self.rnn.each_ref().map(|weight| weight.to_kind(input.kind()));
        let sizes = Vec::<i64>::try_from(batch_sizes).expect("sizes are integers on the host");
        let from_input = input.linear(&w_ih, Some(b_ih + b_hh)).split_with_sizes(&sizes, 0); // [n_t, 4H]
        let w_hh = w_hh.tr(); // [H, 4H]
        let mut out = Vec::with_capacity(sizes.len());
        // States of sequences that have ended, the shortest first.
        let mut ended = Vec::new();
        for (from_input, &n) in from_input.iter().zip(&sizes) {
            let before = h.size()[0];
            if n < before {
                ended.push([&h, &c].map(|s| s.narrow(0, n, before - n)));
                [h, c] = [&h, &c].map(|s| s.narrow(0, 0, n));
            }
            let gates = from_input.addmm(&h, &w_hh).chunk(4, 1); // i, f, g, o [n_t, H]
            c = gates[1].sigmoid() * &c + gates[0].sigmoid() * gates[2].tanh();
            h = gates[3].sigmoid() * c.tanh();
            out.push(h.shallow_clone());
        }
        ended.push([h, c]);
        ended.reverse();
        let end = |i: usize| Tensor::cat(&ended.iter().map(|s| &s[i]).collect::<Vec<_>>(), 0);
        (Tensor::cat(&out, 0), end(0), end(1))
    }

    /// One step of `B` agents: `z` `[B, Z]`, `a` `[B, A]`. The new `h` is what [`Self::predict`] reads.
    #[must_use]
    pub fn step(&self, z: &Tensor, a: &Tensor, state: &LstmState) -> LstmState {
        let [w_ih, w_hh, b_ih, b_hh] = &self.rnn;
        let input = Tensor::cat(&[a, z], 1); // [B, A+Z]
        let (h, c) = input.lstm_cell(&[&state.h, &state.c], w_ih, w_hh, Some(b_ih), Some(b_hh));
        LstmState { h, c }
    }

    /// The head's reading of hidden vectors `[N, H]`.
    #[must_use]
    pub fn predict(&self, hidden: &Tensor) -> Prediction {
        self.predict_in(Kind::Float, hidden)
    }

    /// The same, the linear layer in numbers of `kind`.
    pub(crate) fn predict_in(&self, kind: Kind, hidden: &Tensor) -> Prediction {
        let out = forward(&self.gmm_linear, kind, &hidden.to_kind(kind)).to_kind(Kind::Float); // [N, (2Z+1)K+2]
        let [z, k] = [self.shape.latent, self.shape.mixtures].map(|n| n as i64);
        let block = |start: i64| out.narrow(1, start, k * z).reshape([-1, k, z]);
        Prediction {
            means: block(0),
            log_sigmas: block(k * z).clamp_min(self.shape.log_sigma_min),
            logits: out.narrow(1, 2 * k * z, k),
            reward: out.select(1, (2 * z + 1) * k),
            terminal_logit: out.select(1, (2 * z + 1) * k + 1),
        }
    }

    /// The zero state of `batch` sequences: what an episode starts with.
    #[must_use]
    pub fn zero_state(&self, batch: usize) -> LstmState {
        let zeros = || Tensor::zeros([batch as i64, self.shape.hidden as i64], (Kind::Float, self.rnn[0].device()));
        LstmState { h: zeros(), c: zeros() }
    }
}

impl Prediction {
    /// The mixture's mean: the expected next latent, `[N, Z]`.
    pub fn expected_next(&self) -> Tensor {
        let weights = self.logits.softmax(-1, Kind::Float).unsqueeze(-1); // [N, K, 1]
        (weights * &self.means).sum_dim_intlist(1, false, Kind::Float)
    }

    /// Negative log-likelihood of `target` `[N, Z]` in nats, summed over the latent, `[N]`. By log-sum-exp: no density is ever
    /// formed, so none underflows.
    pub fn nll(&self, target: &Tensor) -> Tensor {
        let dims = self.means.size()[2] as f64;
        let scaled = (target.unsqueeze(1) - &self.means) * self.log_sigmas.neg().exp(); // [N, K, Z]
        let sum = (scaled.square() * 0.5 + &self.log_sigmas).sum_dim_intlist(2, false, Kind::Float);
        let log_density = sum.neg() - 0.5 * dims * (2.0 * std::f64::consts::PI).ln(); // [N, K]
        (self.logits.log_softmax(-1, Kind::Float) + log_density).logsumexp(1, false).neg()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{export, matrix, normals, to_vec};
    use dreamstep_core::names::checkpoint as names;
    use dreamstep_core::rng::Stream;

    const SHAPE: MdnRnnShape = MdnRnnShape { action: 2, latent: 3, hidden: 7, mixtures: 4, log_sigma_min: -1.0 };

    fn noise(step: u64, n: usize, columns: usize) -> Tensor {
        matrix(&normals(Philox::new(5), Stream::LatentNoise, step, n * columns), columns, Device::Cpu)
    }

    #[test]
    fn variables_have_the_checkpoints_names_and_shapes() {
        let vs = nn::VarStore::new(Device::Cpu);
        let _ = MdnRnn::new(&vs.root(), SHAPE, Philox::new(0));
        let found = export(&vs).unwrap();
        let expected = [
            (names::RNN_WEIGHT_IH, vec![28, 5]),
            (names::RNN_WEIGHT_HH, vec![28, 7]),
            (names::RNN_BIAS_IH, vec![28]),
            (names::RNN_BIAS_HH, vec![28]),
            (names::GMM_WEIGHT, vec![30, 7]),
            (names::GMM_BIAS, vec![30]),
        ];
        assert_eq!(found.len(), expected.len());
        for (name, shape) in expected {
            assert_eq!(found[name].shape, shape, "{name}");
        }
    }

    #[test]
    fn every_parameter_gets_a_gradient() {
        tch::set_num_threads(1);
        let vs = nn::VarStore::new(Device::Cpu);
        let m = MdnRnn::new(&vs.root(), SHAPE, Philox::new(0));
        let sizes = Tensor::from_slice(&[4_i64, 4, 2]);
        let (hidden, _) = m.sequences(&noise(0, 10, 3), &noise(1, 10, 2), &sizes, &m.zero_state(4));
        let p = m.predict(&hidden);
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

    #[test]
    fn the_nll_agrees_with_a_naive_sum_of_densities() {
        let (n, k, z) = (6, 4, 3);
        let draw = |step, n: usize| normals(Philox::new(6), Stream::LatentNoise, step, n);
        let (means, raw, logits, target) = (draw(0, n * k * z), draw(1, n * k * z), draw(2, n * k), draw(3, n * z));
        let floored: Vec<f32> = raw.iter().map(|v| v.max(-1.0)).collect();
        let [k_, z_] = [k, z].map(|v| v as i64);
        let p = Prediction {
            means: Tensor::from_slice(&means).reshape([-1, k_, z_]),
            log_sigmas: Tensor::from_slice(&floored).reshape([-1, k_, z_]),
            logits: matrix(&logits, k, Device::Cpu),
            reward: Tensor::zeros([6], (Kind::Float, Device::Cpu)),
            terminal_logit: Tensor::zeros([6], (Kind::Float, Device::Cpu)),
        };
        let found = to_vec(&p.nll(&matrix(&target, z, Device::Cpu))).unwrap();
        for i in 0..n {
            let total: f64 = (0..k).map(|j| f64::from(logits[i * k + j]).exp()).sum();
            let mut density = 0.0;
            for j in 0..k {
                let mut product = f64::from(logits[i * k + j]).exp() / total;
                for d in 0..z {
                    let at = (i * k + j) * z + d;
                    let sigma = f64::from(floored[at]).exp();
                    let distance = (f64::from(target[i * z + d]) - f64::from(means[at])) / sigma;
                    product *= (-0.5 * distance * distance).exp() / (sigma * std::f64::consts::TAU.sqrt());
                }
                density += product;
            }
            assert!((f64::from(found[i]) + density.ln()).abs() < 1e-4, "row {i}: {} and {}", found[i], -density.ln());
        }
    }

    #[test]
    fn the_head_is_laid_out_as_the_checkpoint_says() {
        let vs = nn::VarStore::new(Device::Cpu);
        let m = MdnRnn::new(&vs.root(), SHAPE, Philox::new(0));
        // A zero hidden vector leaves the bias, here 0, 1, 2, …
        let bias: Vec<f32> = (0..30).map(|i| i as f32).collect();
        tch::no_grad(|| vs.variables()[names::GMM_BIAS].shallow_clone().copy_(&Tensor::from_slice(&bias)));
        let p = m.predict(&m.zero_state(1).h);
        assert_eq!(to_vec(&p.means).unwrap(), bias[..12]);
        assert_eq!(to_vec(&p.log_sigmas).unwrap(), bias[12..24]);
        assert_eq!(to_vec(&p.logits).unwrap(), bias[24..28]);
        assert_eq!([p.reward, p.terminal_logit].map(|t| t.double_value(&[0])), [28.0, 29.0]);
    }

    /// Outputs, end states and gradients of sequences of unequal lengths that begin in unequal states.
    #[test]
    fn step_by_step_is_what_libtorchs_lstm_computes() {
        tch::set_num_threads(1);
        let vs = nn::VarStore::new(Device::Cpu);
        let model = MdnRnn::new(&vs.root(), SHAPE, Philox::new(0));
        let sizes = Tensor::from_slice(&[4_i64, 4, 3, 1, 1]);
        let (input, weigh) = (noise(0, 13, 5).set_requires_grad(true), noise(1, 13, 7));
        let run = |f: fn(&MdnRnn, &Tensor, &Tensor, [Tensor; 2]) -> (Tensor, Tensor, Tensor)| {
            let (out, h, c) = f(&model, &input, &sizes, [noise(2, 4, 7), noise(3, 4, 7)]);
            let loss =
                (&out * &weigh).sum(Kind::Float) + (&h * noise(4, 4, 7)).sum(Kind::Float) + c.square().sum(Kind::Float);
            let mut wanted: Vec<&Tensor> = model.rnn.iter().collect();
            wanted.push(&input);
            let mut all = Tensor::run_backward(&[loss], &wanted, false, false);
            all.extend([out, h, c]);
            all
        };
        for (i, (a, b)) in run(MdnRnn::fused).iter().zip(&run(MdnRnn::unrolled)).enumerate() {
            assert_eq!(a.size(), b.size());
            let (difference, size) = ((a - b).abs().max().double_value(&[]), a.abs().max().double_value(&[]));
            assert!(size > 0.0 && difference < 1e-5 * size.max(1.0), "{i}: {difference} of {size}");
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
}
