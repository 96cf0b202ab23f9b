//! M: an LSTM or a GRU with a mixture-density head, which predicts the next latent, the reward and the end (Bishop 1994; Graves 2013; Ha & Schmidhuber 2018 §2.2, A.2).
//!
//! ```text
//! [a_t, z_t] [U+Z] ─rnn──▶ h_{t+1} [H] ─linear─▶ means [K,Z], log-sigmas [K,Z], logits [K], reward_t, terminal_t
//! ```
//! Everything is about one and the same step `t`: the action `a_t` taken in `z_t` leads to `z_{t+1}` and earns `reward_t`. One
//! mixture spans the whole latent vector (TorchWM's convention): `p(z') = Σ_k π_k Π_j N(z'_j; µ_kj, σ_kj)`.

use super::nets::{forward, linear, uniform};
use crate::agent::pack::{mixture, target};
use crate::run::checkpoint::Checkpoint;
use anyhow::Result;
use dreamstep_core::m::{MemoryCell, Mixture};
use dreamstep_core::names::metadata;
use dreamstep_core::rng::Philox;
use dreamstep_core::schema::Target;
use tch::{Device, Kind, Tensor, nn};

/// Sizes and ranges of an MDN-RNN.
#[derive(Clone, Debug, PartialEq)]
pub struct MdnRnnShape {
    /// `U`: values of an action as M hears it.
    pub action: usize,
    /// `Z`
    pub latent: usize,
    /// `H`
    pub hidden: usize,
    /// What remembers.
    pub cell: MemoryCell,
    /// What one mixture spans.
    pub mixture: Mixture,
    /// What it is of.
    pub target: Target,
    /// `K`
    pub mixtures: usize,
    /// log σ = max(raw, this).
    pub log_sigma_min: f64,
}

impl MdnRnnShape {
    /// The sizes and modes of the M in `file`.
    ///
    /// # Errors
    /// One line naming the file and what is missing or wrong in its metadata.
    pub fn of(file: &Checkpoint) -> Result<Self> {
        Ok(Self {
            action: file.meta(metadata::DIM_ACTION)?,
            latent: file.meta(metadata::DIM_LATENT)?,
            hidden: file.meta(metadata::DIM_HIDDEN)?,
            cell: file.cell()?,
            mixture: mixture(file)?,
            target: target(file)?,
            mixtures: file.meta(metadata::DIM_MIXTURES)?,
            log_sigma_min: file.meta(metadata::GMM_LOG_SIGMA_MIN)?,
        })
    }
}

/// Memory and head.
#[derive(Debug)]
pub struct MdnRnn {
    /// weight_ih, weight_hh, bias_ih, bias_hh: the order libtorch wants.
    rnn: [Tensor; 4],
    gmm_linear: nn::Linear,
    shape: MdnRnnShape,
}

/// What the memory holds, `[B, H]` each.
#[derive(Debug)]
pub struct MemoryState {
    /// Hidden.
    pub h: Tensor,
    /// An LSTM's cell; a GRU has none.
    pub c: Option<Tensor>,
}

impl MemoryState {
    /// The states of some rows.
    #[must_use]
    pub fn rows(&self, at: &Tensor) -> Self {
        let rows = |t: &Tensor| t.index_select(0, at);
        Self { h: rows(&self.h), c: self.c.as_ref().map(rows) }
    }

    /// Puts the rows of `from` at `at`.
    pub fn put_rows(&mut self, at: &Tensor, from: &Self) {
        let _ = self.h.index_copy_(0, at, &from.h);
        if let (Some(c), Some(from)) = (&mut self.c, &from.c) {
            let _ = c.index_copy_(0, at, from);
        }
    }
}

/// What the head says about `N` steps.
#[derive(Debug)]
pub struct Prediction {
    /// `[N, K, Z]`
    pub means: Tensor,
    /// `[N, K, Z]`, floored.
    pub log_sigmas: Tensor,
    /// `[N, K, 1]` of a joint mixture, `[N, K, Z]` of one per dimension.
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
        let (path, gates) = (root / "rnn", shape.cell.gates() as i64 * h);
        let rnn = [
            uniform(&path, "weight_ih_l0", &[gates, a + z], bound, rng),
            uniform(&path, "weight_hh_l0", &[gates, h], bound, rng),
            uniform(&path, "bias_ih_l0", &[gates], bound, rng),
            uniform(&path, "bias_hh_l0", &[gates], bound, rng),
        ];
        let logits = if shape.mixture == Mixture::Joint { k } else { k * z };
        let gmm_linear = linear(&(root / "gmm_linear"), h, 2 * z * k + logits + 2, rng);
        Self { rnn, gmm_linear, shape }
    }

    /// Runs `B` sequences of unequal lengths, longest first, without padding. `z` and `a` hold all first steps, then all second
    /// steps of those that have one, and so on, `[N, Z]`, `[N, U]`; `batch_sizes` (on the host) says how many each step has.
    ///
    /// Returns the hidden vectors `[N, H]` in the same order, and the state after each sequence's own last step.
    pub fn sequences(&self, z: &Tensor, a: &Tensor, batch_sizes: &Tensor, state: &MemoryState) -> (Tensor, MemoryState) {
        self.sequences_in(Kind::Float, z, a, batch_sizes, state)
    }

    /// The same in numbers of `kind`; what is returned is float32.
    pub(crate) fn sequences_in(
        &self,
        kind: Kind,
        z: &Tensor,
        a: &Tensor,
        batch_sizes: &Tensor,
        state: &MemoryState,
    ) -> (Tensor, MemoryState) {
        let input = Tensor::cat(&[a, z], 1).to_kind(kind); // [N, U+Z]
        let state: Vec<Tensor> = [Some(&state.h), state.c.as_ref()].into_iter().flatten().map(|s| s.to_kind(kind)).collect();
        let (out, end) = match z.device() {
            Device::Cuda(_) => self.fused(&input, batch_sizes, &state),
            _ => self.unrolled(&input, batch_sizes, state),
        };
        let mut end = end.into_iter().map(|s| s.to_kind(Kind::Float));
        let h = end.next().expect("every memory has a hidden vector");
        (out.to_kind(Kind::Float), MemoryState { h, c: end.next() })
    }

    /// As [`Self::sequences_in`], but from step `from` on, of 0, 1, …, with its own expectation of the latent in place of the recorded one:
    /// what a dream feeds it. Gradients go back through what it was fed.
    ///
    /// Returns the hidden vectors `[N, H]` and the latents that it was fed `[N, Z]`.
    pub(crate) fn fed_back(
        &self,
        kind: Kind,
        [z, a]: [&Tensor; 2],
        batch_sizes: &Tensor,
        state: &MemoryState,
        from: usize,
    ) -> (Tensor, Tensor) {
        let sizes = Vec::<i64>::try_from(batch_sizes).expect("sizes are integers on the host");
        let from = from.clamp(1, sizes.len());
        let observed: i64 = sizes[..from].iter().sum();
        let first = |t: &Tensor| t.narrow(0, 0, observed);
        let (hidden, mut state) = self.sequences_in(kind, &first(z), &first(a), &Tensor::from_slice(&sizes[..from]), state);
        let last = sizes[from - 1];
        let mut expected =
            self.predict_in(kind, &hidden.narrow(0, observed - last, last), &z.narrow(0, observed - last, last));
        let (mut hiddens, mut latents) = (vec![hidden], vec![first(z)]);
        let mut row = observed;
        for &n in &sizes[from..] {
            let some = |t: &Tensor| t.narrow(0, 0, n);
            let fed = some(&expected.expected_next());
            let before = MemoryState { h: some(&state.h), c: state.c.as_ref().map(some) };
            state = self.step(&fed, &a.narrow(0, row, n), &before);
            expected = self.predict_in(kind, &state.h, &fed);
            hiddens.push(state.h.shallow_clone());
            latents.push(fed);
            row += n;
        }
        (Tensor::cat(&hiddens, 0), Tensor::cat(&latents, 0))
    }

    /// All steps in one call of libtorch: on a GPU one kernel. A state is `[h]`, or `[h, c]`, `[B, H]` each.
    fn fused(&self, input: &Tensor, batch_sizes: &Tensor, state: &[Tensor]) -> (Tensor, Vec<Tensor>) {
        let hx: Vec<Tensor> = state.iter().map(|s| s.unsqueeze(0)).collect(); // [1, B, H]
        let rnn = self.rnn.each_ref().map(|weight| weight.to_kind(input.kind()));
        match self.shape.cell {
            MemoryCell::Lstm => {
                let (out, h, c) = Tensor::lstm_data(input, batch_sizes, &hx, &rnn, true, 1, 0.0, false, false);
                (out, vec![h.squeeze_dim(0), c.squeeze_dim(0)])
            }
            MemoryCell::Gru => {
                let (out, h) = Tensor::gru_data(input, batch_sizes, &hx[0], &rnn, true, 1, 0.0, false, false);
                (out, vec![h.squeeze_dim(0)])
            }
        }
    }

    /// Step by step. On a processor libtorch's one call takes the steps one by one as well, but the gradient of each step's slice of the
    /// inputs is a matrix as large as all steps together, filled with zeros and added up: an LSTM's training step on 16 windows of 24 steps
    /// takes 1.3 times as long as this one, on 64 windows 1.5 times. Here one split has one gradient.
    fn unrolled(&self, input: &Tensor, batch_sizes: &Tensor, mut state: Vec<Tensor>) -> (Tensor, Vec<Tensor>) {
        let [w_ih, w_hh, b_ih, b_hh] = self.rnn.each_ref().map(|weight| weight.to_kind(input.kind()));
        let sizes = Vec::<i64>::try_from(batch_sizes).expect("sizes are integers on the host");
        // A GRU's gate weighs what comes from h with its bias, so that only an LSTM's two biases are one.
        let bias = if self.shape.cell == MemoryCell::Lstm { b_ih + &b_hh } else { b_ih };
        let from_input = input.linear(&w_ih, Some(bias)).split_with_sizes(&sizes, 0); // [n_t, 4H or 3H]
        let w_hh = w_hh.tr(); // [H, 4H or 3H]
        let mut out = Vec::with_capacity(sizes.len());
        // States of sequences that have ended, the shortest first.
        let mut ended = Vec::new();
        for (x, &n) in from_input.iter().zip(&sizes) {
            let before = state[0].size()[0];
            if n < before {
                ended.push(state.iter().map(|s| s.narrow(0, n, before - n)).collect::<Vec<_>>());
                state = state.iter().map(|s| s.narrow(0, 0, n)).collect();
            }
            let h = &state[0]; // [n_t, H]
            state = match self.shape.cell {
                MemoryCell::Lstm => {
                    let gates = x.addmm(h, &w_hh).chunk(4, 1); // i, f, g, o
                    let c = gates[1].sigmoid() * &state[1] + gates[0].sigmoid() * gates[2].tanh();
                    vec![gates[3].sigmoid() * c.tanh(), c]
                }
                MemoryCell::Gru => {
                    let (x, from_h) = (x.chunk(3, 1), b_hh.addmm(h, &w_hh).chunk(3, 1)); // r, z, n
                    let [r, z] = [0, 1].map(|gate: usize| (&x[gate] + &from_h[gate]).sigmoid());
                    let new = (&x[2] + r * &from_h[2]).tanh();
                    vec![&new + z * (h - &new)]
                }
            };
            out.push(state[0].shallow_clone());
        }
        ended.push(state);
        ended.reverse();
        let end = (0..ended[0].len()).map(|i| Tensor::cat(&ended.iter().map(|s| &s[i]).collect::<Vec<_>>(), 0)).collect();
        (Tensor::cat(&out, 0), end)
    }

    /// One step of `B` agents: `z` `[B, Z]`, `a` `[B, U]`. The new `h` is what [`Self::predict`] reads.
    #[must_use]
    pub fn step(&self, z: &Tensor, a: &Tensor, state: &MemoryState) -> MemoryState {
        let [w_ih, w_hh, b_ih, b_hh] = &self.rnn;
        let input = Tensor::cat(&[a, z], 1); // [B, U+Z]
        match &state.c {
            Some(c) => {
                let (h, c) = input.lstm_cell(&[&state.h, c], w_ih, w_hh, Some(b_ih), Some(b_hh));
                MemoryState { h, c: Some(c) }
            }
            None => MemoryState { h: input.gru_cell(&state.h, w_ih, w_hh, Some(b_ih), Some(b_hh)), c: None },
        }
    }

    /// The head's reading of hidden vectors `[N, H]`.
    #[must_use]
    pub fn predict(&self, hidden: &Tensor, z: &Tensor) -> Prediction {
        self.predict_in(Kind::Float, hidden, z)
    }

    /// The same, the linear layer in numbers of `kind`.
    pub(crate) fn predict_in(&self, kind: Kind, hidden: &Tensor, z: &Tensor) -> Prediction {
        let out = forward(&self.gmm_linear, kind, &hidden.to_kind(kind)).to_kind(Kind::Float); // [N, 2KZ+K+2 or 3KZ+2]
        let [size, k] = [self.shape.latent, self.shape.mixtures].map(|n| n as i64);
        let block = |start: i64, size: i64| out.narrow(1, start, k * size).reshape([-1, k, size]);
        let spans = if self.shape.mixture == Mixture::Joint { 1 } else { size };
        let means = block(0, size);
        let end = k * (2 * size + spans);
        Prediction {
            means: if self.shape.target == Target::Delta { means + z.unsqueeze(1) } else { means },
            log_sigmas: block(k * size, size).clamp_min(self.shape.log_sigma_min),
            logits: block(2 * k * size, spans),
            reward: out.select(1, end),
            terminal_logit: out.select(1, end + 1),
        }
    }

    /// Takes `log_odds` off the terminal logit.
    pub fn shift_terminal(&self, log_odds: f64) {
        let Some(bias) = &self.gmm_linear.bs else { return };
        let last = bias.size()[0] - 1;
        let _ = tch::no_grad(|| bias.narrow(0, last, 1).g_sub_scalar_(log_odds));
    }

    /// The zero state of `batch` sequences: what an episode starts with.
    #[must_use]
    pub fn zero_state(&self, batch: usize) -> MemoryState {
        let zeros = || Tensor::zeros([batch as i64, self.shape.hidden as i64], (Kind::Float, self.rnn[0].device()));
        MemoryState { h: zeros(), c: (self.shape.cell == MemoryCell::Lstm).then(zeros) }
    }
}

impl Prediction {
    /// The mixture's mean: the expected next latent, `[N, Z]`.
    pub fn expected_next(&self) -> Tensor {
        let weights = self.logits.softmax(1, Kind::Float); // [N, K, 1 or Z]
        (weights * &self.means).sum_dim_intlist(1, false, Kind::Float)
    }

    /// Negative log-likelihood of `target` `[N, Z]` in nats, summed over the latent, `[N]`. By log-sum-exp: no density is ever
    /// formed, so none underflows.
    pub fn nll(&self, target: &Tensor) -> Tensor {
        let dims = self.means.size()[2];
        let scaled = (target.unsqueeze(1) - &self.means) * self.log_sigmas.neg().exp(); // [N, K, Z]
        let each = scaled.square() * 0.5 + &self.log_sigmas; // [N, K, Z], less the constant
        // What one mixture spans is multiplied within a component, what several span between them.
        let joint = self.logits.size()[2] < dims;
        let each = if joint { each.sum_dim_intlist(2, true, Kind::Float) } else { each };
        let log_density = (self.logits.log_softmax(1, Kind::Float) - each).logsumexp(1, false); // [N, 1 or Z]
        log_density.sum_dim_intlist(1, false, Kind::Float).neg() + 0.5 * dims as f64 * (2.0 * std::f64::consts::PI).ln()
    }
}

#[cfg(test)]
mod tests {
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
                let of_all =
                    || (0..k).map(|j| weight(i, j, 0) * (0..z).map(|d| density(i, j, d)).product::<f64>()).sum::<f64>();
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
}
