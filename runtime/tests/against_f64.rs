//! Does the runtime compute the network that the checkpoint's names say? The oracle is written differently: row-major weights,
//! binary64, one plain loop per formula, the standard library's transcendental functions. Its weights are the checkpoint's, rounded
//! as their precision's definition has it, and so are the inputs of f16 and bf16; those of 8-bit layers are not rounded. That it tells
//! one precision from another is tested too. (Agents that see pictures have an oracle of their own, to the bit: `pictures.rs`.)

#[path = "common/kinds.rs"]
mod kinds;

use dreamstep_core::names::checkpoint as names;
use dreamstep_core::pack::Tensors;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_core::schema::{Acting, Settings, Squash, Target};
use dreamstep_fixtures::synthetic::{self, ODD};
use dreamstep_runtime::{
    Action, Agent, Backend, ControllerInput, Dims, DreamBatch, DreamOptions, DreamStart, Encoder, MemoryCell, Mixture,
    Model, Precision, Termination, dreams_memory_len, memory_len,
};
use kinds::kinds as all_kinds;

/// More inputs than 8-bit weights leave all of 16 bits to, and several panels to a layer.
const LONG: Dims = Dims::vector(1501, 2, &[67, 21], 17, 35, 3);

/// Those of vectors.
fn kinds() -> impl Iterator<Item = Settings> {
    all_kinds().filter(|settings| settings.dims.obs.image().is_none())
}

const fn gru(dims: Dims) -> Dims {
    dims.with_cell(MemoryCell::Gru)
}

fn available() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

/// Dims, modes, steps: every mode with small sizes and with large ones, with either memory.
fn cases() -> [(Settings, u64); 8] {
    let case = |dims: Dims, mixture, squash, target, acting| {
        let dims = dims.with_mixture(mixture);
        synthetic::with(synthetic::settings(&dims), |s| (s.squash, s.target, s.acting) = (squash, target, acting))
    };
    [
        (case(ODD, Mixture::Joint, Squash::Tanh, Target::Next, Acting::Mean), 200),
        (case(ODD, Mixture::PerDimension, Squash::Clamp, Target::Delta, Acting::Sampled), 200),
        (case(LONG, Mixture::PerDimension, Squash::Tanh, Target::Delta, Acting::Sampled), 60),
        (case(Dims::HUMANOID, Mixture::Joint, Squash::Clamp, Target::Next, Acting::Mean), 100),
        (case(Dims::HUMANOID, Mixture::PerDimension, Squash::Tanh, Target::Next, Acting::Sampled), 60),
        (case(gru(ODD), Mixture::Joint, Squash::Tanh, Target::Delta, Acting::Sampled), 200),
        (case(gru(LONG), Mixture::PerDimension, Squash::Clamp, Target::Next, Acting::Mean), 60),
        (case(gru(Dims::HUMANOID), Mixture::Joint, Squash::Clamp, Target::Delta, Acting::Sampled), 100),
    ]
}

/// Every other input of the controller, with small sizes and with large ones, with either memory.
fn other_inputs() -> impl Iterator<Item = (Settings, u64)> {
    let case = |input, dims: Dims, squash, acting| {
        let settings = synthetic::settings(&dims.with_input(input));
        (synthetic::with(settings, |s| (s.squash, s.acting) = (squash, acting)), 40)
    };
    ControllerInput::ALL.into_iter().filter(|&input| input != ControllerInput::LatentHidden).flat_map(move |input| {
        [case(input, gru(ODD), Squash::Clamp, Acting::Sampled), case(input, LONG, Squash::Tanh, Acting::Mean)]
    })
}

/// What an error may come to, relative to values above 1. In f32, a hundred roundings of binary32. In f16 and bf16, also a few inputs
/// that lie next to a tie and round the other way here, by a unit of their last digit. With 8-bit weights, also the rounding of inputs:
/// half of a level of a vector whose largest value is the clip, 10, and two and a half times that where the errors of several add up.
fn tolerance(precision: Precision, dims: &Dims) -> f64 {
    let widest = dims.layers().iter().map(|layer| layer.inputs).fold(dims.obs_len(), usize::max);
    let levels = f64::min(32_767.0, 2_147_483_648.0 / (512.0 * (widest as f64 / 4.0).ceil()));
    match precision {
        Precision::F32 => 1e-5,
        Precision::F16 => 3.0 * (-12_f64).exp2(),
        Precision::Bf16 => 3.0 * (-15_f64).exp2(),
        Precision::I8 => 12.5 / levels,
    }
}

/// One layer: rows of weights, as its precision has them, and biases.
struct Layer {
    rows: Vec<Vec<f64>>,
    bias: Vec<f64>,
    digits: Option<i32>, // that an input keeps
}

impl Layer {
    /// With weights of `precision`, in a file of `file`.
    fn new(rows: &[Vec<f32>], bias: Vec<f64>, precision: Precision, file: Precision) -> Self {
        let each = |round: &dyn Fn(f32) -> f64| rows.iter().map(|row| row.iter().map(|&w| round(w)).collect()).collect();
        let rows = match precision {
            Precision::F32 => each(&|w| w.into()),
            Precision::F16 => each(&|w| nearest(w.into(), 11, -14)),
            Precision::Bf16 => each(&|w| nearest(w.into(), 8, -126)),
            Precision::I8 => integers(rows),
        };
        let digits = match file {
            Precision::F16 => Some(13),
            Precision::Bf16 => Some(16),
            Precision::F32 | Precision::I8 => None,
        };
        Self { rows, bias, digits }
    }

    /// `W·x + b`.
    fn of(&self, x: &[f64]) -> Vec<f64> {
        let x: Vec<f64> = x.iter().map(|&x| self.digits.map_or(x, |digits| nearest(x, digits, -60))).collect();
        let dot = |row: &[f64]| row.iter().zip(&x).map(|(w, x)| w * x).sum::<f64>();
        assert_eq!(self.rows[0].len(), x.len());
        self.rows.iter().zip(&self.bias).map(|(row, b)| dot(row) + b).collect()
    }
}

/// The nearest number of `digits` binary digits whose exponent is at least `smallest`, ties to even.
fn nearest(value: f64, digits: i32, smallest: i32) -> f64 {
    let exponent = if value == 0.0 { smallest } else { (value.abs().log2().floor() as i32).max(smallest) };
    let unit = f64::from(exponent - digits + 1).exp2();
    (value / unit).round_ties_even() * unit
}

/// What 8-bit weights are worth, `q·s·c`, by the definition in [`dreamstep_core::precision`]. Quotients are binary32's, so that a
/// tie falls as it does there.
fn integers(rows: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let with = |tenths: u8| -> (f64, Vec<Vec<f64>>) {
        let column = |k: usize| rows.iter().map(|row| row[k].abs()).fold(0.0, f32::max);
        let c: Vec<f32> = (0..rows[0].len()).map(|k| column(k).powf(f32::from(tenths) / 10.0)).collect();
        let (mut s2, mut worth) = (0.0, Vec::new());
        for row in rows {
            let scaled: Vec<f32> = row.iter().zip(&c).map(|(w, c)| w / c).collect();
            let s = scaled.iter().fold(0.0_f32, |m, v| m.max(v.abs())) / 127.0;
            s2 += f64::from(s).powi(2);
            let value = |(v, &c): (&f32, &f32)| f64::from((v / s).round_ties_even()) * f64::from(s) * f64::from(c);
            worth.push(scaled.iter().zip(&c).map(value).collect());
        }
        (s2 * c.iter().map(|&c| f64::from(c).powi(2)).sum::<f64>(), worth)
    };
    (0..=10).map(with).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap().1
}

/// An agent in binary64.
struct Oracle {
    settings: Settings,
    mean: Vec<f64>,
    inv_std: Vec<f64>,
    encoder: Vec<Layer>, // of an MLP: hidden layers, mean, log-variance
    controller: Layer,
    rnn: Vec<Layer>, // an LSTM's; or a GRU's over the inputs, and over h; none
    head: Option<Layer>,
    h: Vec<f64>,
    c: Vec<f64>,
}

impl Oracle {
    fn new(tensors: &Tensors, settings: Settings) -> Self {
        let rows = |name: &str| -> Vec<Vec<f32>> {
            let (shape, values) = &tensors[name];
            values.chunks(shape[1]).map(<[f32]>::to_vec).collect()
        };
        let vector = |name: &str| -> Vec<f64> { tensors[name].1.iter().map(|&v| v.into()).collect() };
        let Settings { dims, precision, .. } = settings;
        let z = dims.latent_len();
        // What leads straight to the action is not made of integers.
        let near = if precision == Precision::I8 { Precision::F16 } else { precision };
        let layer = |rows: &[Vec<f32>], bias, of| Layer::new(rows, bias, of, precision);
        let mut encoder = Vec::new();
        if let Encoder::Mlp { hidden, .. } = dims.v {
            let of = |i: usize| (rows(&format!("encoder.{}.weight", 2 * i)), vector(&format!("encoder.{}.bias", 2 * i)));
            encoder.extend((0..hidden.len()).map(of).map(|(weight, bias)| layer(&weight, bias, precision)));
            let (weight, bias) = of(hidden.len());
            encoder.push(layer(&weight[..z], bias[..z].to_vec(), near));
            encoder.push(layer(&weight[z..], bias[z..].to_vec(), near));
        }
        let recurrent = || {
            let [ih, hh] = [names::RNN_WEIGHT_IH, names::RNN_WEIGHT_HH].map(rows);
            (ih, hh, vector(names::RNN_BIAS_IH), vector(names::RNN_BIAS_HH))
        };
        let rnn = match dims.cell() {
            None => Vec::new(),
            Some(MemoryCell::Gru) => {
                let (ih, hh, ih_bias, hh_bias) = recurrent();
                vec![layer(&ih, ih_bias, precision), layer(&hh, hh_bias, precision)]
            }
            Some(MemoryCell::Lstm) => {
                let (ih, hh, ih_bias, hh_bias) = recurrent();
                let gates: Vec<_> = ih.into_iter().zip(hh).map(|(ih, hh)| [ih, hh].concat()).collect();
                vec![layer(&gates, ih_bias.iter().zip(hh_bias).map(|(a, b)| a + b).collect(), precision)]
            }
        };
        let head = || layer(&rows(names::GMM_WEIGHT), vector(names::GMM_BIAS), precision);
        let lstm = dims.cell() == Some(MemoryCell::Lstm);
        Self {
            settings,
            mean: vector(names::NORMALIZER_MEAN),
            inv_std: vector(names::NORMALIZER_INV_STD),
            encoder,
            controller: layer(&rows(names::FC_WEIGHT), vector(names::FC_BIAS), near),
            head: dims.cell().map(|_| head()),
            rnn,
            h: vec![0.0; dims.hidden_len()],
            c: vec![0.0; if lstm { dims.hidden_len() } else { 0 }],
        }
    }

    /// The whitened observation.
    fn whiten(&self, observation: &[f32]) -> Vec<f64> {
        let clip = f64::from(self.settings.obs_clip);
        let whiten = |(i, &o): (usize, &f32)| ((f64::from(o) - self.mean[i]) * self.inv_std[i]).clamp(-clip, clip);
        observation.iter().enumerate().map(whiten).collect()
    }

    /// The latent that acts; `seed` and `tick` name its noise.
    fn encode(&self, x: &[f64], seed: u64, tick: u64) -> Vec<f64> {
        let [hidden @ .., mean, log_var] = self.encoder.as_slice() else {
            // The identity on the first values, or no V: then there are none.
            return x[..self.settings.dims.latent_len()].to_vec();
        };
        let mut x = x.to_vec();
        for layer in hidden {
            x = layer.of(&x).into_iter().map(|v| v.max(0.0)).collect();
        }
        let mut z = mean.of(&x);
        if self.settings.acting == Acting::Sampled {
            let [low, high] = self.settings.log_var_range.map(f64::from);
            for (i, (z, log_var)) in z.iter_mut().zip(log_var.of(&x)).enumerate() {
                *z += (log_var.clamp(low, high) / 2.0).exp() * normal(uniform(seed, Stream::ActingLatent, tick, i));
            }
        }
        z
    }

    /// C's scores of a whitened observation and its latent.
    fn score(&self, x: &[f64], z: &[f64]) -> Vec<f64> {
        let input = match self.settings.dims.input() {
            ControllerInput::LatentHidden => [z, &self.h].concat(),
            ControllerInput::Latent => z.to_vec(),
            ControllerInput::Hidden => self.h.clone(),
            ControllerInput::Observation => x.to_vec(),
            ControllerInput::ObservationHidden => [x, &self.h].concat(),
        };
        self.controller.of(&input)
    }

    /// From a whitened observation and its latent to what M hears: an action in [-1, 1], or one-hot.
    fn control(&self, x: &[f64], z: &[f64]) -> Vec<f64> {
        let scores = self.score(x, z);
        let squash = |v: f64| if self.settings.squash == Squash::Tanh { v.tanh() } else { v.clamp(-1.0, 1.0) };
        match self.settings.dims.action {
            Action::Discrete { .. } => {
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let first = scores.iter().position(|&score| score == top).unwrap();
                (0..scores.len()).map(|i| if i == first { 1.0 } else { 0.0 }).collect()
            }
            _ => scores.into_iter().map(squash).collect(),
        }
    }

    /// How far apart the two greatest scores lie: whether rounding may choose another.
    fn margin(&self, x: &[f64], z: &[f64]) -> f64 {
        let mut scores = self.score(x, z);
        scores.sort_by(|a, b| b.total_cmp(a));
        scores[0] - scores.get(1).copied().unwrap_or(f64::NEG_INFINITY)
    }

    /// Takes an action and a latent into h and c; gives the head's outputs.
    fn remember(&mut self, u: &[f64], z: &[f64]) -> Vec<f64> {
        let n = self.h.len();
        let Some(head) = &self.head else { return Vec::new() };
        if let [input, hidden] = self.rnn.as_slice() {
            // Cho et al. (2014) with PyTorch's biases: r, z, n. What is kept and what is new are weighed as one difference.
            let (of_input, of_h) = (input.of(&[u, z].concat()), hidden.of(&self.h));
            for unit in 0..n {
                let [reset, update, new] = [0, 1, 2].map(|g| g * n + unit);
                let reset = sigmoid(of_input[reset] + of_h[reset]);
                let candidate = (of_input[new] + reset * of_h[new]).tanh();
                self.h[unit] += sigmoid(-(of_input[update] + of_h[update])) * (candidate - self.h[unit]);
            }
            return head.of(&self.h);
        }
        let gates = self.rnn[0].of(&[u, z, &self.h].concat());
        for unit in 0..n {
            let gate = |g: usize| gates[g * n + unit];
            self.c[unit] = sigmoid(gate(1)) * self.c[unit] + sigmoid(gate(0)) * gate(2).tanh();
            self.h[unit] = sigmoid(gate(3)) * self.c[unit].tanh();
        }
        head.of(&self.h)
    }

    /// What the head's outputs mean, `z` being the latent that a predicted change is added to.
    fn mixture<'a>(&self, head: &'a [f64], z: &'a [f64]) -> Expected<'a> {
        Expected { settings: self.settings, head, z }
    }
}

/// The head's outputs in the paper's words.
struct Expected<'a> {
    settings: Settings,
    head: &'a [f64],
    z: &'a [f64],
}

impl Expected<'_> {
    fn sizes(&self) -> (usize, usize) {
        (self.settings.dims.mixtures(), self.settings.dims.latent_len())
    }

    /// The components' weights over dimension `i` at a temperature.
    fn weights(&self, i: usize, temperature: f64) -> Vec<f64> {
        let (k, z) = self.sizes();
        let logits = &self.head[2 * k * z..];
        let logit = |component| {
            if self.settings.dims.mixture() == Some(Mixture::Joint) { logits[component] } else { logits[component * z + i] }
        };
        let exp: Vec<f64> = (0..k).map(|component| (logit(component) / temperature).exp()).collect();
        let sum: f64 = exp.iter().sum();
        exp.into_iter().map(|v| v / sum).collect()
    }

    fn mean(&self, component: usize, i: usize) -> f64 {
        let (_, z) = self.sizes();
        let offset = if self.settings.target == Target::Delta { self.z[i] } else { 0.0 };
        offset + self.head[component * z + i]
    }

    fn sigma(&self, component: usize, i: usize) -> f64 {
        let (k, z) = self.sizes();
        self.head[(k + component) * z + i].max(self.settings.log_sigma_min.into()).exp()
    }

    /// The negative log-likelihood of `latent` for each of its dimensions.
    fn surprise(&self, latent: &[f64]) -> f64 {
        let (k, z) = self.sizes();
        let log_density = |component: usize, i: usize| {
            let variance = self.sigma(component, i).powi(2);
            let distance = latent[i] - self.mean(component, i);
            -0.5 * (distance * distance / variance + (2.0 * std::f64::consts::PI * variance).ln())
        };
        let log_sum = |logs: Vec<f64>| {
            let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            top + logs.iter().map(|log| (log - top).exp()).sum::<f64>().ln()
        };
        let weighted = |i: usize, log: &dyn Fn(usize) -> f64| {
            let weights = self.weights(i, 1.0);
            log_sum((0..k).map(|component| weights[component].ln() + log(component)).collect())
        };
        let log_likelihood: f64 = match self.settings.dims.mixture().unwrap() {
            Mixture::Joint => weighted(0, &|c| (0..z).map(|i| log_density(c, i)).sum()),
            Mixture::PerDimension => (0..z).map(|i| weighted(i, &|c| log_density(c, i))).sum(),
        };
        -log_likelihood / z as f64
    }

    fn reward(&self) -> f64 {
        self.head[self.head.len() - 2] + f64::from(self.settings.reward_offset)
    }

    fn terminal(&self) -> f64 {
        sigmoid(self.head[self.head.len() - 1])
    }
}

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

/// Draw `i` of four to a counter, see [`Philox::fill_uniform`].
fn uniform(seed: u64, stream: Stream, step: u64, i: usize) -> f64 {
    let word = Philox::new(seed).words(stream, step, i as u32 / 4)[i % 4];
    (f64::from(word >> 9) + 0.5) / 8_388_608.0
}

/// The standard normal quantile, by bisection of the cumulative's series: ½ + φ(z)·(z + z³/3 + z⁵/15 + …).
fn normal(u: f64) -> f64 {
    let cumulative = |z: f64| {
        let (mut term, mut sum, mut n) = (z, z, 3.0);
        while term.abs() > 1e-18 * sum.abs() {
            term *= z * z / n;
            sum += term;
            n += 2.0;
        }
        0.5 + sum * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
    };
    let (mut low, mut high) = (-6.0, 6.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if cumulative(middle) < u { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

fn worst(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(&f, &e)| error(f, e)).fold(0.0, f64::max)
}

/// Relative to values above 1.
fn error(found: f32, expected: f64) -> f64 {
    let error = (f64::from(found) - expected).abs() / expected.abs().max(1.0);
    if error.is_nan() { f64::INFINITY } else { error }
}

const SEED: u64 = 77;

/// The largest errors of an episode in action, latent, h, c, what M expects and how surprised it is, against an oracle whose weights have
/// the precision `oracle`.
fn episode(settings: Settings, backend: Backend, oracle: Precision, steps: u64) -> [f64; 6] {
    let dims = settings.dims;
    let file = synthetic::agent_with(&settings, 3);
    let model = Model::load_with(&file, backend).unwrap();
    let mut memory = vec![0.0; memory_len(&dims)];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    agent.set_seed(SEED);
    let mut oracle = Oracle::new(&synthetic::tensors(&dims, 3), synthetic::with(settings, |s| s.precision = oracle));
    let mut action = vec![0.0; dims.action_len()];
    let mut errors = [0.0_f64; 6];
    let mut before: Option<(Vec<f64>, Vec<f64>)> = None; // the head's outputs one step before, and the latent then
    for t in 0..steps {
        let observation = synthetic::observation(&dims, 4, t);
        agent.act(&observation, &mut action).unwrap();
        let surprise = agent.surprise();
        let x = oracle.whiten(&observation);
        let z = oracle.encode(&x, SEED, t);
        let mut u = oracle.control(&x, &z);
        let is_discrete = matches!(dims.action, Action::Discrete { .. });
        if is_discrete && oracle.margin(&x, &z) < tolerance(settings.precision, &dims) {
            u = agent.unit_action().iter().map(|&u| u.into()).collect(); // either will do
        }
        let in_units: Vec<f64> = match is_discrete {
            true => vec![u.iter().position(|&u| u == 1.0).unwrap() as f64],
            false => u.iter().map(|u| 0.4 * u).collect(),
        };
        assert_eq!(agent.choice(), is_discrete.then(|| action[0] as usize));
        let mut now = [worst(&action, &in_units).max(worst(agent.unit_action(), &u)), 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(surprise.is_some(), t > 0 && dims.hidden_len() > 0);
        if let (Some(surprise), Some((head, latent))) = (surprise, &before) {
            now[5] = error(surprise, oracle.mixture(head, latent).surprise(&z));
        }
        agent.advance().unwrap();
        before = Some((oracle.remember(&u, &z), z.clone()));
        let head = &before.as_ref().unwrap().0;
        let expected = oracle.mixture(head, &z);
        (now[1], now[2]) = (worst(agent.latent(), &z), worst(agent.hidden(), &oracle.h));
        now[3] = worst(agent.cell(), &oracle.c);
        let Some(prediction) = agent.predict() else {
            assert_eq!(dims.hidden_len(), 0, "M expects something");
            errors.iter_mut().zip(now).for_each(|(worst, now)| *worst = worst.max(now));
            continue;
        };
        let mut mixture = |found: f32, expected: f64| now[4] = now[4].max(error(found, expected));
        mixture(prediction.reward(), expected.reward());
        mixture(prediction.terminal_probability(), expected.terminal());
        let mut expected_latent = vec![0.0; dims.latent_len()];
        prediction.expected_latent(&mut expected_latent);
        for (i, &found) in expected_latent.iter().enumerate() {
            let weights = expected.weights(i, 1.0);
            mixture(found, (0..dims.mixtures()).map(|k| weights[k] * expected.mean(k, i)).sum());
            for (k, &weight) in weights.iter().enumerate() {
                mixture(prediction.weight(k, i), weight);
                mixture(prediction.mean(k, i), expected.mean(k, i));
                mixture(prediction.sigma(k, i), expected.sigma(k, i));
            }
        }
        errors.iter_mut().zip(now).for_each(|(worst, now)| *worst = worst.max(now));
    }
    errors
}

#[test]
fn follows_the_formulas_over_an_episode() {
    let small = kinds().flat_map(|settings| available().map(move |backend| (settings, backend, 40)));
    let detected = cases().into_iter().chain(other_inputs());
    for (settings, backend, steps) in detected.map(|(settings, steps)| (settings, Backend::detect(), steps)).chain(small) {
        for precision in Precision::ALL {
            let errors = episode(synthetic::with(settings, |s| s.precision = precision), backend, precision, steps);
            let tolerance = tolerance(precision, &settings.dims);
            assert!(
                errors.iter().all(|&error| error < tolerance),
                "{precision:?}: errors of action, latent, h, c, mixture, surprise: {errors:?} with {settings:?}"
            );
        }
    }
}

/// The negative control: an oracle with another precision's weights is seen to be another one.
#[test]
fn tells_one_precision_from_another() {
    for (settings, _) in cases() {
        for (own, other) in Precision::ALL.into_iter().flat_map(|own| Precision::ALL.map(|other| (own, other))) {
            let errors = episode(synthetic::with(settings, |s| s.precision = own), Backend::detect(), other, 5);
            let largest = errors.into_iter().fold(0.0, f64::max);
            assert_eq!(
                largest < tolerance(own, &settings.dims),
                own == other,
                "{own:?} by the weights of {other:?}: {errors:?}"
            );
        }
    }
}

/// The negative control of the inputs: all of one width, they are told apart all the same.
#[test]
fn tells_one_input_from_another() {
    let dims = Dims::vector(7, 1, &[9, 4], 7, 7, 2);
    let action = |own, oracle| {
        let settings = |input| synthetic::settings(&dims.with_input(input));
        let file = synthetic::agent_with(&settings(own), 3);
        let model = Model::load(&file).unwrap();
        let mut memory = vec![0.0; memory_len(model.dims())];
        let mut agent = Agent::new(model, &mut memory).unwrap();
        // V and M for an oracle that has them, where the agent has not.
        let mut tensors = synthetic::tensors(&dims, 3);
        tensors.extend(synthetic::tensors(&dims.with_input(own), 3));
        let mut oracle = Oracle::new(&tensors, settings(oracle));
        let mut worst_of_all = 0.0_f64;
        for t in 0..5 {
            let observation = synthetic::observation(&dims, 4, t);
            agent.step(&observation, &mut [0.0]).unwrap();
            let x = oracle.whiten(&observation);
            let z = oracle.encode(&x, 0, t);
            let u = oracle.control(&x, &z);
            worst_of_all = worst_of_all.max(worst(agent.unit_action(), &u));
            oracle.remember(&u, &z);
        }
        worst_of_all
    };
    let width = |input: ControllerInput| dims.with_input(input).controller_inputs();
    let mut told = 0;
    for (own, other) in ControllerInput::ALL.into_iter().flat_map(|own| ControllerInput::ALL.map(|other| (own, other))) {
        if width(own) == width(other) {
            assert_eq!(action(own, other) < 1e-5, own == other, "{own:?} by an oracle of {other:?}");
            told += usize::from(own != other);
        }
    }
    assert_eq!(told, 2 + 6, "z+h and obs+h; z, h and obs");
}

#[test]
fn dreams_follow_the_formulas_tick_by_tick() {
    const DREAMS: usize = 9;
    let (mut compared, mut skipped) = (0, 0);
    let dreams = |dims: &Dims| dims.hidden_len() > 0 && !dims.input().has_observation();
    let inputs = other_inputs().chain(kinds().map(|settings| (settings, 40))).filter(|(settings, _)| dreams(&settings.dims));
    let temperatures = [1.0, 0.7, 1.3, 1.0, 2.0, 1.3, 1.0, 0.7].into_iter().cycle();
    for ((settings, _), temperature) in cases().into_iter().chain(inputs).zip(temperatures) {
        for precision in Precision::ALL {
            let settings = synthetic::with(settings, |s| s.precision = precision);
            let (dims, tolerance) = (settings.dims, tolerance(precision, &settings.dims));
            let file = synthetic::agent_with(&settings, 3);
            let model = Model::load(&file).unwrap();
            let mut oracle = Oracle::new(&synthetic::tensors(&dims, 3), settings);
            let options = DreamOptions { seed: SEED, temperature, termination: Termination::Sampled };
            let mut memory = vec![0.0; dreams_memory_len(&dims, DREAMS)];
            let mut dreams = DreamBatch::new(model, &mut memory, DREAMS, options).unwrap();
            let start = |dreams: &mut DreamBatch<'_, '_>, index: usize, number: u32| {
                let latent: Vec<f32> = (0..dims.latent_len()).map(|i| ((number as usize + i) as f32 * 0.7).sin()).collect();
                dreams.start(index, number, DreamStart { latent: &latent, state: None }).unwrap();
            };
            let mut numbers: Vec<u32> = (0..DREAMS as u32).map(|n| 5 * n).collect();
            (0..DREAMS).for_each(|index| start(&mut dreams, index, numbers[index]));
            let wide = |values: &[f32]| values.iter().map(|&v| v.into()).collect::<Vec<f64>>();
            for _ in 0..10 {
                let before: Vec<_> = (0..DREAMS)
                    .map(|i| (wide(dreams.latent(i)), wide(dreams.hidden(i)), wide(dreams.cell(i)), dreams.tick(i)))
                    .collect();
                dreams.step();
                for (index, (z, h, c, tick)) in before.into_iter().enumerate() {
                    let what = format!("dream {index} at tick {tick}, {settings:?}");
                    let step = u64::from(numbers[index]) * (1 << 32) + u64::from(tick);
                    (oracle.h, oracle.c) = (h, c);
                    let mut u = oracle.control(&[], &z);
                    if matches!(dims.action, Action::Discrete { .. }) && oracle.margin(&[], &z) < tolerance {
                        u = wide(dreams.unit_action(index)); // either will do
                    }
                    let head = oracle.remember(&u, &z);
                    let expected = oracle.mixture(&head, &z);
                    let errors = [
                        worst(dreams.unit_action(index), &u),
                        worst(dreams.hidden(index), &oracle.h),
                        worst(dreams.cell(index), &oracle.c),
                        error(dreams.reward(index), expected.reward()),
                        error(dreams.terminal_probability(index), expected.terminal()),
                    ];
                    assert!(errors.iter().all(|&e| e < tolerance), "action, h, c, reward, end: {errors:?}: {what}");

                    // A draw next to where two components, or going on and ending, meet may fall on either side.
                    let near = tolerance;
                    for (i, &found) in dreams.latent(index).iter().enumerate() {
                        let draw = if dims.mixture() == Some(Mixture::Joint) { 0 } else { i };
                        let u = uniform(SEED, Stream::Component, step, draw);
                        let mut cumulative = 0.0;
                        let edges: Vec<f64> = expected
                            .weights(i, f64::from(temperature))
                            .into_iter()
                            .map(|weight| {
                                cumulative += weight;
                                cumulative
                            })
                            .collect();
                        if edges.iter().any(|edge| (edge - u).abs() < near) {
                            skipped += 1;
                            continue;
                        }
                        let k = edges.iter().position(|&edge| u < edge).unwrap();
                        let noise = normal(uniform(SEED, Stream::Latent, step, i));
                        let sample = expected.mean(k, i) + expected.sigma(k, i) * f64::from(temperature).sqrt() * noise;
                        assert!(error(found, sample) < 4.0 * tolerance, "latent {i}: {found}, not {sample}: {what}");
                        compared += 1;
                    }
                    let draw = uniform(SEED, Stream::Terminal, step, 0);
                    if (draw - expected.terminal()).abs() > near {
                        assert_eq!(dreams.is_done(index), draw < expected.terminal(), "{what}");
                    }
                    if dreams.is_done(index) {
                        numbers[index] += 1;
                        start(&mut dreams, index, numbers[index]);
                    }
                }
            }
        }
    }
    println!("{compared} sampled values compared, {skipped} next to an edge skipped");
    assert!(compared > 100 * skipped && compared > 45_000, "{compared} compared, {skipped} skipped");
}

/// The oracle's own judge: the quantile at values from a table.
#[test]
fn the_oracles_quantile_is_the_tables() {
    for (u, z) in [(0.5, 0.0), (0.841_344_746_068_543, 1.0), (0.975, 1.959_963_984_540_054), (1e-7, -5.199_337_582_187_471)]
    {
        assert!((normal(u) - z).abs() < 1e-8, "{u}: {}", normal(u));
    }
}
