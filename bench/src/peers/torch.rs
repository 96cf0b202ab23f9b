//! What does libtorch take for the step, called from Rust through tch? Eager, operator by operator, and as a traced TorchScript
//! module. No gradients, one thread, tensors made once where the interface allows it; the operators are those that measured fastest.

use super::Step;
use super::weights::{Layer, Weights};
use anyhow::{Context, Result, ensure};
use dreamstep_core::schema::Squash;
use tch::{CModule, Device, Kind, Tensor};

/// How the step is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Operators one by one, the recurrent part by PyTorch's own `lstm_cell`.
    LstmCell,
    /// Operators one by one, the cell written out over one matrix for `[a, z, h]`.
    Eager,
    /// The written-out form, traced once and run as a TorchScript module.
    Script,
}

/// Sets libtorch's threads to one, for the process.
pub fn one_thread() {
    tch::set_num_threads(1);
    // It can be set once in a process.
    if tch::get_num_interop_threads() != 1 {
        tch::set_num_interop_threads(1);
    }
}

/// The agent in tensors.
pub struct Torch {
    input: Box<[f32]>, // [O], what `observation` looks at
    observation: Tensor,
    run: Run,
}

enum Run {
    Eager { net: Box<Net>, form: Form, h: Tensor, c: Tensor },
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

struct Affine {
    weight: Tensor, // [N, K]
    bias: Tensor,   // [N]
}

impl Affine {
    fn new(layer: &Layer) -> Self {
        let (n, k) = (layer.outputs() as i64, layer.inputs as i64);
        Self { weight: Tensor::from_slice(&layer.weight).view([n, k]), bias: Tensor::from_slice(&layer.bias) }
    }

    /// For a vector `[K]`: a matrix times a vector, where `linear` would multiply matrices.
    fn of(&self, x: &Tensor) -> Tensor {
        self.bias.addmv(&self.weight, x)
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
        let input = vec![0.0_f32; weights.dims.obs].into_boxed_slice();
        // SAFETY: the tensor looks at `input`, whose block stays where it is and lives as long as the tensor, both being fields of
        // one value; it is written only in `step`, which has that value to itself, and no operator writes to an observation.
        let observation =
            unsafe { Tensor::from_blob(input.as_ptr().cast(), &[input.len() as i64], &[1], Kind::Float, Device::Cpu) };
        let hidden = net.hidden;
        let zeros = || Tensor::zeros([hidden], (Kind::Float, Device::Cpu));
        let run = match form {
            Form::LstmCell | Form::Eager => Run::Eager { net: Box::new(net), form, h: zeros(), c: zeros() },
            Form::Script => {
                // A traced module has one output: action, h and c behind one another, `[A+2H]`, from where the next step takes h and c.
                let actions = weights.dims.action as i64;
                let last = Tensor::zeros([actions + 2 * net.hidden], (Kind::Float, Device::Cpu));
                let mut trace = |x: &[Tensor]| {
                    let state = |index| x[1].narrow(0, actions + index * net.hidden, net.hidden);
                    vec![Tensor::cat(&net.step(&x[0], &state(0), &state(1), Form::Eager), 0)]
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
        let (hidden, inputs) = (dims.hidden as i64, dims.action + dims.latent);
        Self {
            mean: Tensor::from_slice(&weights.mean),
            inv_std: Tensor::from_slice(&weights.inv_std),
            clip: f64::from(weights.obs_clip),
            squash: weights.squash,
            encoder: [0, 1, 2].map(|layer| Affine::new(&weights.encoder[layer])),
            controller: Affine::new(&weights.controller),
            rnn: Affine::new(&rnn.with_blocks(dims.hidden, &[0, 1, 3, 2])),
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
    fn step(&self, observation: &Tensor, h: &Tensor, c: &Tensor, form: Form) -> [Tensor; 3] {
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
        if form == Form::LstmCell {
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

impl Step for Torch {
    fn reset(&mut self) -> Result<()> {
        match &mut self.run {
            Run::Eager { h, c, .. } => (*h, *c) = (h.zeros_like(), c.zeros_like()),
            Run::Script { last, .. } => *last = last.zeros_like(),
        }
        Ok(())
    }

    fn step(&mut self, observation: &[f32], action: &mut [f32]) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        self.input.copy_from_slice(observation);
        match &mut self.run {
            Run::Eager { net, form, h, c } => {
                let [new, h_next, c_next] = net.step(&self.observation, h, c, *form);
                ensure!(new.numel() == action.len(), "libtorch: expected {} actions, found {}", action.len(), new.numel());
                new.copy_data(action, action.len());
                (*h, *c) = (h_next, c_next);
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
