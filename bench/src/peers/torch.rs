//! What does libtorch take for the step, called from Rust through tch? Eager, operator by operator, and as a traced TorchScript
//! module. No gradients, one thread, tensors made once where the interface allows it; the operators are those that measured fastest.

use super::Step;
use super::weights::{Layer, Weights};
use anyhow::{Context, Result, ensure};
use dreamstep_core::schema::Squash;
use std::sync::Once;
use tch::{CModule, Device, Kind, Tensor};

/// How the step is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Operators one by one, the recurrent part by PyTorch's own `lstm_cell`.
    LstmCell,
    /// Operators one by one that write into tensors made beforehand, the cell written out over one matrix for `[a, z, h]`.
    InPlace,
    /// The cell written out, traced once and run as a TorchScript module.
    Script,
}

/// Sets libtorch's threads to one, for the process.
pub fn one_thread() {
    // The second of them can be set once in a process.
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tch::set_num_threads(1);
        tch::set_num_interop_threads(1);
    });
}

/// The agent in tensors.
pub struct Torch {
    input: Box<[f32]>, // [O], what `observation` looks at
    observation: Tensor,
    run: Run,
}

enum Run {
    Eager { net: Box<Net>, h: Tensor, c: Tensor },
    InPlace { net: Box<Net>, buffers: Box<Buffers> },
    Script { module: CModule, last: Tensor },
}

struct Net {
    mean: Tensor,
    inv_std: Tensor,
    clip: f64,
    squash: Squash,
    encoder: [Affine; 3],
    controller: Affine,
    rnn: Affine,       // [a, z, h], gates i, f, o, g: one sigmoid for the first three
    cell: [Tensor; 4], // as `lstm_cell` wants them
    action_mid: Tensor,
    action_half: Tensor,
    hidden: i64,
}

/// What [`Net::step_in_place`] writes; of the views, each is made once.
struct Buffers {
    x: Tensor,          // [O]
    e1: Tensor,         // [E1]
    e2: Tensor,         // [E2]
    azh: Tensor,        // [A+Z+H] and views of it
    u: Tensor,          // [A]
    z: Tensor,          // [Z]
    zh: Tensor,         // [Z+H]
    h: Tensor,          // [H]
    c: Tensor,          // [H]
    action: Tensor,     // [A]
    sums: Tensor,       // [4H] and views of it
    ifo: Tensor,        // [3H]
    gates: [Tensor; 4], // [H] each: i, f, o, g
}

impl Buffers {
    fn new(weights: &Weights) -> Self {
        let Weights { dims, encoder: [l0, l1, _], .. } = weights;
        let zeros = |n: usize| Tensor::zeros([n as i64], (Kind::Float, Device::Cpu));
        let view = |of: &Tensor, from: usize, n: usize| of.narrow(0, from as i64, n as i64);
        let (a, z, h) = (dims.action_len(), dims.latent_len(), dims.hidden_len());
        let (azh, sums) = (zeros(a + z + h), zeros(4 * h));
        Self {
            x: zeros(dims.obs_len()),
            e1: zeros(l0.bias.len()),
            e2: zeros(l1.bias.len()),
            u: view(&azh, 0, a),
            z: view(&azh, a, z),
            zh: view(&azh, a, z + h),
            h: view(&azh, a + z, h),
            c: zeros(h),
            action: zeros(a),
            ifo: view(&sums, 0, 3 * h),
            gates: [0, 1, 2, 3].map(|gate| view(&sums, gate * h, h)),
            azh,
            sums,
        }
    }

    fn reset(&mut self) {
        let _ = (self.azh.zero_(), self.c.zero_());
    }
}

pub(super) struct Affine {
    weight: Tensor, // [N, K]
    bias: Tensor,   // [N]
}

impl Affine {
    pub(super) fn new(layer: &Layer) -> Self {
        let (n, k) = (layer.outputs() as i64, layer.inputs as i64);
        Self { weight: Tensor::from_slice(&layer.weight).view([n, k]), bias: Tensor::from_slice(&layer.bias) }
    }

    /// For a vector `[K]`: a matrix times a vector, where `linear` would multiply matrices.
    pub(super) fn of(&self, x: &Tensor) -> Tensor {
        self.bias.addmv(&self.weight, x)
    }

    /// The same into `out` `[N]`.
    fn write(&self, x: &Tensor, out: &Tensor) {
        let _ = self.bias.addmv_out(out, &self.weight, x);
    }
}

impl Torch {
    /// At the start of an episode.
    ///
    /// # Errors
    /// libtorch refuses the module.
    pub fn new(weights: &Weights, form: Form) -> Result<Self> {
        let _no_grad = tch::no_grad_guard();
        let net = Net::new(weights);
        let input = vec![0.0_f32; weights.dims.obs_len()].into_boxed_slice();
        // SAFETY: the tensor looks at `input`, whose block stays where it is and lives as long as the tensor, both being fields of
        // one value; it is written only in `step`, which has that value to itself, and no operator writes to an observation.
        let observation =
            unsafe { Tensor::from_blob(input.as_ptr().cast(), &[input.len() as i64], &[1], Kind::Float, Device::Cpu) };
        let hidden = net.hidden;
        let zeros = || Tensor::zeros([hidden], (Kind::Float, Device::Cpu));
        let run = match form {
            Form::LstmCell => Run::Eager { net: Box::new(net), h: zeros(), c: zeros() },
            Form::InPlace => Run::InPlace { buffers: Box::new(Buffers::new(weights)), net: Box::new(net) },
            Form::Script => {
                // A traced module has one output: action, h and c behind one another, `[A+2H]`, from where the next step takes h and c.
                let actions = weights.dims.action_len() as i64;
                let last = Tensor::zeros([actions + 2 * net.hidden], (Kind::Float, Device::Cpu));
                let mut trace = |x: &[Tensor]| {
                    let state = |index| x[1].narrow(0, actions + index * net.hidden, net.hidden);
                    vec![Tensor::cat(&net.step(&x[0], &state(0), &state(1), false), 0)]
                };
                let example = [observation.shallow_clone(), last.shallow_clone()];
                let module = CModule::create_by_tracing("Step", "forward", &example, &mut trace).context("TorchScript")?;
                Run::Script { module, last }
            }
        };
        Ok(Self { input, observation, run })
    }
}

impl Net {
    fn new(weights: &Weights) -> Self {
        let (dims, rnn) = (&weights.dims, &weights.rnn);
        let (hidden, inputs) = (dims.hidden_len() as i64, dims.action_len() + dims.latent_len());
        Self {
            mean: Tensor::from_slice(&weights.mean),
            inv_std: Tensor::from_slice(&weights.inv_std),
            clip: f64::from(weights.obs_clip),
            squash: weights.squash,
            encoder: [0, 1, 2].map(|layer| Affine::new(&weights.encoder[layer])),
            controller: Affine::new(&weights.controller),
            rnn: Affine::new(&rnn.with_blocks(dims.hidden_len(), &[0, 1, 3, 2])),
            cell: [
                Tensor::from_slice(&rnn.columns(0, inputs)).view([4 * hidden, inputs as i64]),
                Tensor::from_slice(&rnn.columns(inputs, rnn.inputs)).view([4 * hidden, hidden]),
                Tensor::from_slice(&rnn.bias),
                Tensor::zeros([4 * hidden], (Kind::Float, Device::Cpu)),
            ],
            action_mid: Tensor::from_slice(&weights.action_mid),
            action_half: Tensor::from_slice(&weights.action_half),
            hidden,
        }
    }

    /// `[O]`, `[H]`, `[H]` → action `[A]`, h', c'.
    fn step(&self, observation: &Tensor, h: &Tensor, c: &Tensor, lstm_cell: bool) -> [Tensor; 3] {
        let x = (observation - &self.mean).multiply_(&self.inv_std).clamp_(-self.clip, self.clip);
        let e1 = self.encoder[0].of(&x).relu_();
        let e2 = self.encoder[1].of(&e1).relu_();
        let z = self.encoder[2].of(&e2);
        let mut u = self.controller.of(&Tensor::cat(&[&z, h], 0));
        let u = match self.squash {
            Squash::Clamp => u.clamp_(-1.0, 1.0),
            Squash::Tanh => u.tanh_(),
        };
        let action = self.action_mid.addcmul(&self.action_half, &u);
        if lstm_cell {
            let input = Tensor::cat(&[&u, &z], 0).unsqueeze(0);
            let [w_ih, w_hh, b_ih, b_hh] = &self.cell;
            let (h, c) = (h.unsqueeze(0), c.unsqueeze(0));
            let (h, c) = input.lstm_cell(&[&h, &c], w_ih, w_hh, Some(b_ih), Some(b_hh));
            return [action, h.squeeze_dim(0), c.squeeze_dim(0)];
        }
        let gates = self.rnn.of(&Tensor::cat(&[&u, &z, h], 0));
        let ifo = gates.narrow(0, 0, 3 * self.hidden).sigmoid_();
        let g = gates.narrow(0, 3 * self.hidden, self.hidden).tanh_();
        let gate = |index| ifo.narrow(0, index * self.hidden, self.hidden);
        let c = (gate(1) * c).addcmul_(&gate(0), &g);
        let h = c.tanh().multiply_(&gate(2));
        [action, h, c]
    }
}

impl Net {
    /// The same step without a new tensor.
    fn step_in_place(&self, observation: &Tensor, buffers: &mut Buffers) {
        let Buffers { x, e1, e2, azh, u, z, zh, h, c, action, sums, ifo, gates: [i, f, o, g] } = buffers;
        let _ = observation.subtract_out(x, &self.mean);
        let _ = x.multiply_(&self.inv_std);
        let _ = x.clamp_(-self.clip, self.clip);
        self.encoder[0].write(x, e1);
        let _ = e1.relu_();
        self.encoder[1].write(e1, e2);
        let _ = e2.relu_();
        self.encoder[2].write(e2, z);
        self.controller.write(zh, u);
        let _ = match self.squash {
            Squash::Clamp => u.clamp_(-1.0, 1.0),
            Squash::Tanh => u.tanh_(),
        };
        let _ = self.action_mid.addcmul_out(action, &self.action_half, u);
        self.rnn.write(azh, sums);
        let _ = (ifo.sigmoid_(), g.tanh_());
        let _ = c.multiply_(f).addcmul_(i, g);
        let _ = c.tanh_out(h);
        let _ = h.multiply_(o);
    }
}

impl Step for Torch {
    fn reset(&mut self) -> Result<()> {
        match &mut self.run {
            Run::Eager { h, c, .. } => (*h, *c) = (h.zeros_like(), c.zeros_like()),
            Run::InPlace { buffers, .. } => buffers.reset(),
            Run::Script { last, .. } => *last = last.zeros_like(),
        }
        Ok(())
    }

    fn step(&mut self, observation: &[f32], action: &mut [f32]) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        self.input.copy_from_slice(observation);
        match &mut self.run {
            Run::Eager { net, h, c } => {
                let [new, h_next, c_next] = net.step(&self.observation, h, c, true);
                ensure!(new.numel() == action.len(), "libtorch: expected {} actions, found {}", action.len(), new.numel());
                new.copy_data(action, action.len());
                (*h, *c) = (h_next, c_next);
            }
            Run::InPlace { net, buffers } => {
                net.step_in_place(&self.observation, buffers);
                ensure!(
                    buffers.action.numel() == action.len(),
                    "libtorch: expected {} actions, found {}",
                    action.len(),
                    buffers.action.numel()
                );
                buffers.action.copy_data(action, action.len());
            }
            Run::Script { module, last } => {
                *last = module.forward_ts(&[&self.observation, last]).context("TorchScript")?;
                ensure!(
                    last.numel() >= action.len(),
                    "TorchScript: expected {} actions, found {}",
                    action.len(),
                    last.numel()
                );
                last.copy_data(action, action.len());
            }
        }
        Ok(())
    }
}
