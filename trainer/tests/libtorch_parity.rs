//! The runtime computes what libtorch computes on the same weights. V, M and a random controller of Humanoid's sizes
//! are written as checkpoints and packed as `dreamstep pack` packs them. One side is the runtime on the packed file; the
//! other is libtorch's own linear layers and `nn::LSTM` or `nn::GRU`, which read the same checkpoints under PyTorch's names. Both run on
//! their own for 200 steps: each is fed the same observations and its own past.
//!
//! Contract: |a − b| / max(|b|, r) ≤ 1e-5 after one step and ≤ 1e-3 in each of 200, where b is libtorch's value and r the
//! root mean square of libtorch's values of that vector over all steps. r keeps a component that happens to be near zero
//! from asking for more digits than the sums behind it have.

use dreamstep::agent::pack;
use dreamstep::data::rollouts::{Episode, file_name};
use dreamstep::run::checkpoint::{Checkpoint, meta};
use dreamstep::run::config::Config;
use dreamstep::run::folder::RunDir;
use dreamstep::world::mdnrnn::{MdnRnn, MdnRnnShape};
use dreamstep::world::nets::{export, matrix, normals, to_vec};
use dreamstep::world::vae::{Vae, VaeLayers, VaeShape};
use dreamstep_core::c::ControllerInput;
use dreamstep_core::dims::Dims;
use dreamstep_core::m::{MemoryCell, Mixture};
use dreamstep_core::names::{checkpoint as names, metadata as key};
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_core::schema::Target;
use dreamstep_runtime::{Agent, Backend, Model, memory_len};
use ndarray::{Array1, Array2};
use std::collections::BTreeMap;
use tch::nn::{self, Module, RNN};
use tch::{Device, Kind, Tensor};

const DIMS: Dims = Dims::HUMANOID;
const STEPS: usize = 200;
const CLIP: f64 = 2.5;
/// High enough for the floor to hold some of the log-sigmas.
const LOG_SIGMA_MIN: f32 = -0.08;
const REWARD_OFFSET: f32 = 4.75;
/// Humanoid's actuators.
const ACTION_HALF: f64 = 0.4;

/// Every vector of one step that is compared, by name.
type Step = BTreeMap<&'static str, Vec<f64>>;

/// An agent of random weights, once as checkpoints and once packed.
struct Fixture {
    dims: Dims,
    _folder: tempfile::TempDir,
    run: RunDir,
    packed: AlignedBytes,
    observations: Vec<Vec<f32>>, // [T][O]
}

impl Fixture {
    fn new(cell: MemoryCell, input: ControllerInput, seed: u64) -> Self {
        tch::set_num_threads(1);
        let rng = Philox::new(seed);
        let (o, a, z, h) = (DIMS.obs_len(), DIMS.action_len(), DIMS.latent_len(), DIMS.hidden_len());
        let draw = |name: u64, n: usize| normals(rng, Stream::LatentNoise, name, n);
        // Scales from 0.01 to 100, as Humanoid's are; every tenth dimension is dead.
        let mean: Vec<f32> = draw(1, o).iter().map(|n| 3.0 * n).collect();
        let std: Vec<f32> = draw(2, o).iter().map(|n| 10.0_f32.powf(0.8 * n)).collect();
        let alive: Vec<bool> = (0..o).map(|i| i % 10 != 3).collect();
        let inv_std: Vec<f32> = std.iter().zip(&alive).map(|(s, &alive)| if alive { 1.0 / s } else { 0.0 }).collect();

        let mut vae = Checkpoint::default();
        let vs = nn::VarStore::new(Device::Cpu);
        let shape = VaeShape {
            obs: o,
            layers: VaeLayers::Mlp(DIMS.v.hidden().as_slice().to_vec()),
            latent: z,
            log_var_range: [-10.0, 10.0],
        };
        let _ = Vae::new(&vs.root(), shape, &alive, rng);
        vae.tensors = export(&vs).unwrap();
        // A trained V spreads its latents to about 1; a new one is some twenty times quieter.
        vae.tensors.get_mut(names::ENCODER_WEIGHT[2]).unwrap().data.iter_mut().for_each(|w| *w *= 20.0);
        vae.insert(names::NORMALIZER_MEAN, &[o], mean.clone());
        vae.insert(names::NORMALIZER_INV_STD, &[o], inv_std);
        vae.set_meta(key::OBS_CLIP, CLIP as f32);
        vae.set_meta(meta::LOG_VAR_MIN, -10);
        vae.set_meta(meta::LOG_VAR_MAX, 10);

        let mut mdnrnn = Checkpoint::default();
        let vs = nn::VarStore::new(Device::Cpu);
        let shape = MdnRnnShape {
            action: a,
            latent: z,
            hidden: h,
            cell,
            mixture: Mixture::Joint,
            target: Target::Next,
            mixtures: DIMS.mixtures(),
            log_sigma_min: f64::from(LOG_SIGMA_MIN),
        };
        let _ = MdnRnn::new(&vs.root(), shape, rng);
        mdnrnn.tensors = export(&vs).unwrap();
        if cell == MemoryCell::Gru {
            mdnrnn.set_meta(meta::RNN_CELL, "gru"); // an LSTM's checkpoint need not say
        }
        mdnrnn.set_meta(key::DIM_MIXTURES, DIMS.mixtures());
        mdnrnn.set_meta(key::GMM_MIXTURE, "joint");
        mdnrnn.set_meta(key::GMM_TARGET, "z");
        mdnrnn.set_meta(key::GMM_LOG_SIGMA_MIN, LOG_SIGMA_MIN);
        mdnrnn.set_meta(key::REWARD_OFFSET, REWARD_OFFSET);

        let mut controller = Checkpoint::default();
        let dims = DIMS.with_cell(cell).with_input(input);
        let inputs = dims.controller_inputs();
        let scale = if input == ControllerInput::Hidden { 0.8 } else { 0.1 }; // h alone is quiet
        controller.insert(names::FC_WEIGHT, &[a, inputs], draw(3, a * inputs).iter().map(|n| scale * n).collect());
        controller.set_input(input);
        controller.insert(names::FC_BIAS, &[a], draw(4, a).iter().map(|n| 0.1 * n).collect());

        let observations: Vec<Vec<f32>> = (0..STEPS)
            .map(|t| draw(100 + t as u64, o).iter().zip(&mean).zip(&std).map(|((n, m), s)| m + n * s).collect())
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(folder.path());
        vae.write(&run.vae()).unwrap();
        mdnrnn.write(&run.mdnrnn()).unwrap();
        controller.write(&run.controller()).unwrap();
        // The packer takes its self-test's observations from a recorded episode.
        let rows = 20;
        let recorded = Episode {
            seed,
            observations: Array2::from_shape_fn((rows + 1, o), |(t, i)| observations[t][i]).into(),
            actions: Array2::zeros((rows, a)),
            rewards: Array1::zeros(rows),
            terminals: Array1::from_shape_fn(rows, |t| t + 1 == rows),
            truncations: Array1::from_elem(rows, false),
        };
        recorded.write(&run.rollouts().join(file_name(0))).unwrap();
        let packed = pack::pack(&Config::default(), &run).unwrap();
        Self { dims, _folder: folder, run, packed, observations }
    }

    /// What the runtime computes.
    fn runtime(&self, backend: Backend) -> Vec<Step> {
        let model = Model::load_with(&self.packed, backend).unwrap();
        assert_eq!((*model.dims(), model.backend()), (self.dims, backend));
        let mut memory = vec![0.0; memory_len(&self.dims)];
        let mut agent = Agent::new(model, &mut memory).unwrap();
        let mut action = vec![0.0; DIMS.action_len()];
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let step = |observation: &Vec<f32>| {
            agent.act(observation, &mut action).unwrap();
            agent.advance().unwrap();
            let mut step = Step::from([
                ("action", wide(&action)),
                ("z", wide(agent.latent())),
                ("h", wide(agent.hidden())),
                ("c", wide(agent.cell())),
            ]);
            let Some(head) = agent.predict() else {
                assert_eq!(self.dims.input(), ControllerInput::Observation);
                step.retain(|&name, _| name == "action");
                return step;
            };
            let grid = || (0..DIMS.mixtures()).flat_map(|k| (0..DIMS.latent_len()).map(move |i| (k, i)));
            step.insert("means", grid().map(|(k, i)| f64::from(head.mean(k, i))).collect());
            // The runtime's interface has σ, π and a probability; their logarithms and log-odds are what the head computed.
            step.insert("log-sigmas", grid().map(|(k, i)| f64::from(head.sigma(k, i)).ln()).collect());
            step.insert("log-weights", (0..DIMS.mixtures()).map(|k| f64::from(head.weight(k, 0)).ln()).collect());
            step.insert("reward", vec![f64::from(head.reward())]);
            let p = f64::from(head.terminal_probability());
            step.insert("terminal logit", vec![(p / (1.0 - p)).ln()]);
            step
        };
        self.observations.iter().map(step).collect()
    }

    /// What libtorch computes. `spoil` may change M's variables first.
    fn libtorch(&self, spoil: impl Fn(&nn::VarStore)) -> Vec<Step> {
        let (o, a, z, h) =
            (DIMS.obs_len() as i64, DIMS.action_len() as i64, DIMS.latent_len() as i64, DIMS.hidden_len() as i64);
        let [e1, e2] = [0, 1].map(|i| DIMS.v.hidden().at(i)).map(|n| n as i64);
        let k = DIMS.mixtures() as i64;

        // The layers as anybody would write them; each file is opened by libtorch itself, under PyTorch's names.
        let mut v = nn::VarStore::new(Device::Cpu);
        let path = v.root();
        let normalizer = [names::NORMALIZER_MEAN, names::NORMALIZER_INV_STD]
            .map(|name| (&path / "normalizer").zeros_no_train(name.strip_prefix("normalizer.").unwrap(), &[o]));
        let encoder = nn::seq()
            .add(nn::linear(&path / "encoder" / "0", o, e1, Default::default()))
            .add_fn(Tensor::relu)
            .add(nn::linear(&path / "encoder" / "2", e1, e2, Default::default()))
            .add_fn(Tensor::relu)
            .add(nn::linear(&path / "encoder" / "4", e2, 2 * z, Default::default()));
        v.load(self.run.vae()).unwrap();
        let mut m = nn::VarStore::new(Device::Cpu);
        let rnn = match self.dims.cell().unwrap_or(MemoryCell::Lstm) {
            MemoryCell::Lstm => Memory::Lstm(nn::lstm(m.root() / "rnn", a + z, h, Default::default())),
            MemoryCell::Gru => Memory::Gru(nn::gru(m.root() / "rnn", a + z, h, Default::default())),
        };
        let head = nn::linear(m.root() / "gmm_linear", h, (2 * z + 1) * k + 2, Default::default());
        m.load(self.run.mdnrnn()).unwrap();
        tch::no_grad(|| spoil(&m));
        let mut c = nn::VarStore::new(Device::Cpu);
        let fc = nn::linear(c.root() / "fc", self.dims.controller_inputs() as i64, a, Default::default());
        c.load(self.run.controller()).unwrap();

        let wide = |t: &Tensor| to_vec(t).unwrap().into_iter().map(f64::from).collect::<Vec<_>>();
        let zeros = || Tensor::zeros([1, h], (Kind::Float, Device::Cpu));
        let mut state = [zeros(), zeros()]; // h, c [1, H]; a GRU's c is of no use
        let step = |observation: &Vec<f32>| {
            let x = (matrix(observation, DIMS.obs_len(), Device::Cpu) - &normalizer[0]) * &normalizer[1];
            let x = x.clamp(-CLIP, CLIP); // [1, O]
            let latent = encoder.forward(&x).narrow(1, 0, z); // [1, Z]
            let parts: &[&Tensor] = match self.dims.input() {
                ControllerInput::LatentHidden => &[&latent, &state[0]],
                ControllerInput::Latent => &[&latent],
                ControllerInput::Hidden => &[&state[0]],
                ControllerInput::Observation => &[&x],
                ControllerInput::ObservationHidden => &[&x, &state[0]],
            };
            let unit = fc.forward(&Tensor::cat(parts, 1)).clamp(-1.0, 1.0); // [1, A]
            state = rnn.step(&Tensor::cat(&[&unit, &latent], 1), &state);
            let out = head.forward(&state[0]).squeeze_dim(0); // [(2Z+1)K+2]
            let reward = out.get((2 * z + 1) * k) + f64::from(REWARD_OFFSET);
            if self.dims.input() == ControllerInput::Observation {
                return Step::from([("action", wide(&(unit * ACTION_HALF)))]);
            }
            Step::from([
                ("action", wide(&(unit * ACTION_HALF))),
                ("z", wide(&latent)),
                ("h", wide(&state[0])),
                (
                    "c",
                    if self.dims.cell().unwrap_or(MemoryCell::Lstm) == MemoryCell::Lstm {
                        wide(&state[1])
                    } else {
                        Vec::new()
                    },
                ),
                ("means", wide(&out.narrow(0, 0, k * z))),
                ("log-sigmas", wide(&out.narrow(0, k * z, k * z).clamp_min(f64::from(LOG_SIGMA_MIN)))),
                ("log-weights", wide(&out.narrow(0, 2 * k * z, k).log_softmax(0, Kind::Float))),
                ("reward", wide(&reward)),
                ("terminal logit", wide(&out.get((2 * z + 1) * k + 1))),
            ])
        };
        tch::no_grad(|| self.observations.iter().map(step).collect())
    }
}

/// libtorch's own memory.
enum Memory {
    Lstm(nn::LSTM),
    Gru(nn::GRU),
}

impl Memory {
    fn step(&self, input: &Tensor, [h, c]: &[Tensor; 2]) -> [Tensor; 2] {
        let layer = |t: &Tensor| t.unsqueeze(0); // [1, 1, H]
        match self {
            Self::Lstm(lstm) => {
                let state = lstm.step(input, &nn::LSTMState((layer(h), layer(c))));
                [state.h().squeeze_dim(0), state.c().squeeze_dim(0)]
            }
            Self::Gru(gru) => [gru.step(input, &nn::GRUState(layer(h))).value().squeeze_dim(0), c.shallow_clone()],
        }
    }
}

fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
}

/// Of each step the largest |a − b| / max(|b|, r), and where.
fn errors(found: &[Step], expected: &[Step]) -> Vec<(f64, &'static str, usize)> {
    assert_eq!(found.len(), expected.len());
    let all = |name| expected.iter().flat_map(|step| step[name].clone()).collect::<Vec<_>>();
    let scale: BTreeMap<_, _> = expected[0].keys().map(|&name| (name, rms(&all(name)))).collect();
    let worst = |(found, expected): (&Step, &Step)| {
        assert!(found.keys().eq(expected.keys()));
        let mut worst = (0.0, "nothing", 0);
        for (&name, expected) in expected {
            assert_eq!(found[name].len(), expected.len(), "{name}");
            for (i, (a, b)) in found[name].iter().zip(expected).enumerate() {
                let error = (a - b).abs() / b.abs().max(scale[name]);
                assert!(error.is_finite(), "{name}[{i}]: {a} and {b}");
                if error > worst.0 {
                    worst = (error, name, i);
                }
            }
        }
        worst
    };
    found.iter().zip(expected).map(worst).collect()
}

fn longest(errors: &[(f64, &'static str, usize)]) -> f64 {
    errors.iter().map(|error| error.0).fold(0.0, f64::max)
}

#[test]
fn the_runtime_computes_what_libtorch_computes() {
    let paper = [(MemoryCell::Lstm, 1), (MemoryCell::Lstm, 2), (MemoryCell::Gru, 1), (MemoryCell::Gru, 2)];
    let paper = paper.map(|(cell, seed)| (cell, ControllerInput::LatentHidden, seed));
    let others = ControllerInput::ALL
        .into_iter()
        .filter(|&input| input != ControllerInput::LatentHidden)
        .map(|input| (MemoryCell::Lstm, input, 1));
    for (cell, input, seed) in paper.into_iter().chain(others) {
        let fixture = Fixture::new(cell, input, seed);
        let expected = fixture.libtorch(|_| ());
        assert_alive(cell, input, seed, &expected);
        for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
            let found = fixture.runtime(backend);
            let errors = errors(&found, &expected);
            for (t, &(error, name, i)) in errors.iter().enumerate() {
                let allowed = if t == 0 { 1e-5 } else { 1e-3 };
                let (found, expected) = (found[t][name][i], expected[t][name][i]);
                assert!(
                    error <= allowed,
                    "{cell:?}, {input:?}, seed {seed}, {}, step {t}: {name}[{i}]: libtorch {expected}, runtime {found}: {error:.1e} > {allowed:.0e}",
                    backend.name()
                );
            }
            println!(
                "{cell:?}, {input:?}, seed {seed}, {}: {:?} in the first step, {:.1e} in {STEPS}",
                backend.name(),
                errors[0],
                longest(&errors)
            );
        }
    }
}

/// That the comparison is about something: nothing is stuck at zero, at a bound or at its first value.
fn assert_alive(cell: MemoryCell, input: ControllerInput, seed: u64, steps: &[Step]) {
    let share = |name: &str, of: &dyn Fn(f64) -> bool| {
        let all: Vec<f64> = steps.iter().flat_map(|step| step[name].clone()).collect();
        all.iter().filter(|&&v| of(v)).count() as f64 / all.len() as f64
    };
    let saturated = share("action", &|a| a.abs() > 0.9999 * ACTION_HALF);
    assert!((0.02..0.7).contains(&saturated), "seed {seed}: {saturated} of the actions are at a bound");
    if input == ControllerInput::Observation {
        return; // the action is all there is
    }
    let floored = share("log-sigmas", &|s| s <= f64::from(LOG_SIGMA_MIN) + 1e-9);
    assert!((0.02..0.7).contains(&floored), "seed {seed}: {floored} of the log-sigmas are at the floor");
    let (first, last) = (&steps[0], &steps[STEPS - 1]);
    let state: &[&str] = if cell == MemoryCell::Lstm { &["h", "c"] } else { &["h"] };
    for name in [&["z", "means"], state].concat() {
        let moved: Vec<f64> = first[name].iter().zip(&last[name]).map(|(a, b)| a - b).collect();
        assert!(rms(&moved) > 0.1 * rms(&last[name]), "seed {seed}: {name} hardly moves");
    }
    let z = rms(&last["z"]);
    assert!((0.2..5.0).contains(&z), "seed {seed}: a latent is about 1, these are {z}");
}

/// The measure sees what a packer or a kernel might get wrong: a bias left out, gates exchanged, one weight of 266,240 off
/// by a tenth.
#[test]
fn the_measure_sees_small_mistakes() {
    MemoryCell::ALL.into_iter().for_each(mistakes);
}

fn mistakes(cell: MemoryCell) {
    let fixture = Fixture::new(cell, ControllerInput::LatentHidden, 3);
    let found = fixture.runtime(Backend::Portable);
    let h = DIMS.hidden_len() as i64;
    let variable = |vs: &nn::VarStore, name: &str| vs.variables()[name].shallow_clone();
    let a_bias = |vs: &nn::VarStore| drop(variable(vs, names::RNN_BIAS_HH).zero_());
    let two_gates = |vs: &nn::VarStore| {
        let w = variable(vs, names::RNN_WEIGHT_HH);
        let rest = w.size()[0] - 2 * h;
        let parts = [w.narrow(0, h, h), w.narrow(0, 0, h), w.narrow(0, 2 * h, rest)];
        variable(vs, names::RNN_WEIGHT_HH).copy_(&Tensor::cat(&parts, 0));
    };
    // A GRU's candidate takes its second bias times the reset gate: folded into the first, it is another network.
    let folded = |vs: &nn::VarStore| {
        let [ih, hh] = [names::RNN_BIAS_IH, names::RNN_BIAS_HH].map(|name| variable(vs, name));
        variable(vs, names::RNN_BIAS_IH).copy_(&(ih + &hh));
        drop(variable(vs, names::RNN_BIAS_HH).zero_());
    };
    if cell == MemoryCell::Gru {
        let longest = longest(&errors(&found, &fixture.libtorch(folded)));
        assert!(longest > 1e-3, "a bias folded into the other: {longest:.1e} in {STEPS} steps passes for rounding");
    }
    let one_weight = |vs: &nn::VarStore| drop(variable(vs, names::RNN_WEIGHT_IH).get(700).get(20).g_add_scalar_(0.1));
    for (mistake, libtorch) in [
        ("a bias", fixture.libtorch(a_bias)),
        ("two gates", fixture.libtorch(two_gates)),
        ("one weight", fixture.libtorch(one_weight)),
    ] {
        let longest = longest(&errors(&found, &libtorch));
        assert!(longest > 1e-3, "{cell:?}, {mistake}: {longest:.1e} in {STEPS} steps passes for rounding");
    }
}
