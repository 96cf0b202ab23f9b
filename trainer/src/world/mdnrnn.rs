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
mod tests;
