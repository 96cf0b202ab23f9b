//! What would one pick instead, and what does it take for the same step? The agent's weights in libtorch, ONNX Runtime, tract, candle
//! and plain Rust beside this project's runtime: the same observations, batch 1, one thread, the recurrent state carried along.
//!
//! | file | is |
//! |---|---|
//! | [`weights`] | the numbers that all are given |
//! | [`reference`](mod@reference) | the right answer, in f64 |
//! | [`torch`], [`onnxruntime`], [`tract`], [`candle`], [`plain`] | the peers, each in the form that measured fastest |
//! | [`onnx`] | the graph that two of them run |
//! | [`pictures`] | another network: the paper's convolutional encoder, in all but the last of them |
//! | [`allocations`] | a count of the blocks that a step asks for |
//!
//! Nobody's time counts who was not held to the reference first, over a whole sequence: [`Trace::check`].

pub mod allocations;
pub mod candle;
pub mod onnx;
pub mod onnxruntime;
pub mod pictures;
pub mod plain;
pub mod reference;
pub mod torch;
pub mod tract;
mod versions;
pub mod weights;

use crate::timing::{Contender, Samples, interleave};
use anyhow::{Context, Result, anyhow, ensure};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Agent, Backend, Model, Precision, memory_len};
use onnx::{Cell, Numbers};
use plain::{Order, Plain};
use reference::Reference;
pub use versions::versions;
use weights::Weights;

/// A network that is given one observation after another, whoever computes it: an agent in a control loop, or an encoder of pictures.
pub trait Step<X: ?Sized = [f32]> {
    /// Forgets everything: the start of an episode.
    ///
    /// # Errors
    /// Whatever the library says.
    fn reset(&mut self) -> Result<()>;

    /// From an observation, `[O]` numbers or a picture, to an action `[A]`, or a latent `[Z]`; a recurrent state goes on by one tick.
    ///
    /// # Errors
    /// Whatever the library says.
    fn step(&mut self, observation: &X, action: &mut [f32]) -> Result<()>;
}

impl Step for Agent<'_, '_> {
    fn reset(&mut self) -> Result<()> {
        Agent::reset(self);
        Ok(())
    }

    fn step(&mut self, observation: &[f32], action: &mut [f32]) -> Result<()> {
        Agent::step(self, observation, action).map_err(|error| anyhow!("{error}"))
    }
}

/// Whose it is, and what its weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This project's runtime.
    Ours(Precision),
    /// Another's, binary32.
    Float32,
    /// Another's, 8-bit integers.
    Int8,
}

impl Side {
    /// The largest difference of an action from the reference that is not an error, as a share of the action's range.
    ///
    /// Found over the three agents of [`crate::agents::Size`]: at most 1.4e-6 in binary32, whoever sums in whatever order; 0.1 % in f16,
    /// 1.0 % in bf16, 1.9 % in i8, whose inputs have 16 bits; 5.1 % in ONNX Runtime's int8, whose inputs have 8, all of a layer's with one
    /// scale. The limits are a little over twice that for rounded weights, which is far below what a wrong layer makes, and ten times for
    /// binary32, where one wrong weight shows.
    #[must_use]
    pub fn tolerance(self) -> f64 {
        match self {
            Self::Ours(Precision::F32) | Self::Float32 => 2e-5,
            Self::Ours(Precision::F16) => 2.5e-3,
            Self::Ours(Precision::Bf16) => 2.5e-2,
            Self::Ours(Precision::I8) => 4e-2,
            Self::Int8 => 1.2e-1,
        }
    }
}

/// Someone who takes part.
pub struct Contestant<'a, X: ?Sized = [f32]> {
    /// What tables call it.
    pub name: String,
    /// Whose it is.
    pub side: Side,
    /// The agent.
    pub agent: Box<dyn Step<X> + 'a>,
}

impl<'a, X: ?Sized> Contestant<'a, X> {
    fn new(name: impl Into<String>, side: Side, agent: impl Step<X> + 'a) -> Self {
        Self { name: name.into(), side, agent: Box::new(agent) }
    }
}

/// This project's runtime on files of one agent, and the memory that it works in.
#[derive(Debug)]
pub struct Ours<'f> {
    models: Vec<Model<'f>>,
    memories: Vec<Vec<f32>>,
}

impl<'f> Ours<'f> {
    /// Every file on the processor's best back end, then the first one on the portable back end.
    ///
    /// # Errors
    /// No packed agent.
    pub fn load(files: &'f [impl std::ops::Deref<Target = [u8]>]) -> Result<Self> {
        Self::load_on(files, [Backend::detect()])
    }

    /// Every file on each of `backends`, then the first one on the portable back end.
    ///
    /// # Errors
    /// No packed agent, or a back end that this processor does not run.
    pub fn load_on<const N: usize>(
        files: &'f [impl std::ops::Deref<Target = [u8]>],
        backends: [Backend; N],
    ) -> Result<Self> {
        let all = backends.into_iter().flat_map(|backend| files.iter().map(move |file| (file, backend)));
        let all = all.chain(files.first().map(|file| (file, Backend::Portable)));
        let load = |file: &'f [u8], backend| Model::load_with(file, backend).map_err(|error| anyhow!("{error}"));
        let models = all.map(|(file, backend)| load(file, backend)).collect::<Result<Vec<_>>>()?;
        let memories = models.iter().map(|model| vec![0.0; memory_len(model.dims())]).collect();
        Ok(Self { models, memories })
    }

    /// As those who take part.
    ///
    /// # Errors
    /// Never: the memory has the length that is asked for.
    pub fn contestants<X: ?Sized>(&mut self) -> Result<Vec<Contestant<'_, X>>>
    where
        for<'m, 'w> Agent<'m, 'w>: Step<X>,
    {
        let pairs = self.models.iter().zip(&mut self.memories);
        pairs
            .map(|(model, memory)| {
                let precision = model.settings().precision;
                let name = format!("dreamstep {}, {}", precision.name(), model.backend().name());
                let agent = Agent::new(*model, memory).map_err(|error| anyhow!("{error}"))?;
                Ok(Contestant::new(name, Side::Ours(precision), agent))
            })
            .collect()
    }
}

/// Everybody else.
///
/// # Errors
/// One cannot be loaded, or refuses the model: the line begins with its name.
pub fn peers(weights: &Weights) -> Result<Vec<Contestant<'_>>> {
    torch::one_thread();
    let mut peers = Vec::new();
    let forms = [
        ("libtorch, eager, lstm_cell", torch::Form::LstmCell),
        ("libtorch, eager, in place", torch::Form::InPlace),
        ("libtorch, TorchScript", torch::Form::Script),
    ];
    for (name, form) in forms {
        peers.push(Contestant::new(name, Side::Float32, torch::Torch::new(weights, form).context(name)?));
    }
    let graphs = [
        ("ONNX Runtime, LSTM", Cell::Lstm, Numbers::Float32, Side::Float32),
        ("ONNX Runtime, Gemm", Cell::Gemm, Numbers::Float32, Side::Float32),
        ("ONNX Runtime int8, LSTM", Cell::Lstm, Numbers::Int8, Side::Int8),
        ("ONNX Runtime int8, Gemm", Cell::Gemm, Numbers::Int8, Side::Int8),
    ];
    for (name, cell, numbers, side) in graphs {
        peers.push(Contestant::new(name, side, onnxruntime::OnnxRuntime::new(weights, cell, numbers).context(name)?));
    }
    for (name, cell) in [("tract, LSTM", Cell::Lstm), ("tract, Gemm", Cell::Gemm)] {
        peers.push(Contestant::new(name, Side::Float32, tract::Tract::new(weights, cell).context(name)?));
    }
    peers.push(Contestant::new("candle", Side::Float32, candle::Candle::new(weights).context("candle")?));
    for (name, order) in [("plain Rust, by rows", Order::Rows), ("plain Rust, by columns", Order::Columns)] {
        peers.push(Contestant::new(name, Side::Float32, Plain::new(weights, order)));
    }
    Ok(peers)
}

/// A sequence of observations and the right actions.
#[derive(Clone, Debug)]
pub struct Trace<X: ?Sized = [f32]> {
    observations: Vec<Box<X>>, // [T], of vectors [T][O]
    actions: Vec<Vec<f64>>,    // [T][A]
    range: Vec<(f64, f64)>,    // [A] its middle and half
}

impl Trace {
    /// `steps` observations, uniform in ±3 standard deviations about the agent's own means, and what the reference does on them.
    #[must_use]
    pub fn new(weights: &Weights, steps: usize) -> Self {
        let observation = |t| {
            let uniform = synthetic::observation(&weights.dims, 7, t);
            let statistics = weights.mean.iter().zip(&weights.inv_std);
            // A constant dimension stays at its mean.
            let scaled =
                |(x, (&mean, &inv_std)): (f32, (&f32, &f32))| if inv_std == 0.0 { mean } else { mean + x / inv_std };
            uniform.into_iter().zip(statistics).map(scaled).collect::<Box<[_]>>()
        };
        let observations: Vec<_> = (0..steps as u64).map(observation).collect();
        let mut reference = Reference::new(weights);
        let actions = observations.iter().map(|observation| reference.step(observation)).collect();
        let range = weights.action_mid.iter().zip(&weights.action_half).map(|(&mid, &half)| (mid.into(), half.into()));
        let range = range.collect();
        Self { observations, actions, range }
    }
}

impl<X: ?Sized> Trace<X> {
    /// The share of actions inside their range: a clamped one says little of what led to it.
    #[must_use]
    pub fn inside(&self) -> f64 {
        let clamped = |(action, &(mid, half)): (&f64, &(f64, f64))| (action - mid).abs() >= half * (1.0 - 1e-9);
        let all = self.actions.iter().flat_map(|actions| actions.iter().zip(&self.range));
        1.0 - all.clone().filter(|&pair| clamped(pair)).count() as f64 / all.count() as f64
    }

    /// Takes a contestant through the sequence from the start of an episode; the largest difference from the reference, as a share of
    /// the action's range.
    ///
    /// # Errors
    /// An action is further off than the contestant's side may be: name, step, expected, found.
    pub fn check(&self, contestant: &mut Contestant<'_, X>) -> Result<f64> {
        let Contestant { name, side, agent } = contestant;
        let tolerance = side.tolerance();
        let mut action = vec![f32::NAN; self.range.len()];
        let mut worst = 0.0_f64;
        agent.reset().with_context(|| name.clone())?;
        for (t, (observation, expected)) in self.observations.iter().zip(&self.actions).enumerate() {
            agent.step(observation, &mut action).with_context(|| format!("{name}, step {t}"))?;
            for (index, ((&found, &expected), &(_, half))) in action.iter().zip(expected).zip(&self.range).enumerate() {
                let range = 2.0 * half;
                let difference = (f64::from(found) - expected).abs() / range;
                // So written that NaN fails.
                ensure!(
                    difference <= tolerance,
                    "{name}: step {t}, action {index}: expected {expected:.6} ± {:.6}, found {found:.6}",
                    tolerance * range
                );
                worst = worst.max(difference);
            }
        }
        Ok(worst)
    }

    /// Blocks that a contestant asks for in a step, the mean over the sequence, once everything is warm.
    ///
    /// # Errors
    /// A step fails.
    pub fn allocations(&self, contestant: &mut Contestant<'_, X>) -> Result<f64> {
        let mut action = vec![0.0; self.range.len()];
        let mut pass = || self.observations.iter().try_for_each(|x| contestant.agent.step(x, &mut action));
        pass()?;
        let mut result = Ok(());
        let count = allocations::count(|| result = pass());
        result?;
        Ok(count as f64 / self.observations.len() as f64)
    }

    /// Times all contestants in `rounds` interleaved rounds of `steps` steps each, on the sequence's observations in turn.
    ///
    /// # Panics
    /// If a step fails that did not fail in [`Self::check`].
    #[must_use]
    pub fn time<'c>(&self, contestants: &'c mut [Contestant<'_, X>], rounds: usize, steps: usize) -> Vec<Samples> {
        let contender = |contestant: &'c mut Contestant<'_, X>| {
            let Contestant { name, agent, .. } = contestant;
            let mut observations = self.observations.iter().cycle();
            let mut action = vec![0.0; self.range.len()];
            Contender::new(name.clone(), steps, move || {
                let observation = observations.next().expect("a sequence of at least one");
                agent.step(observation, &mut action).expect("it did step");
                std::hint::black_box(&action);
            })
        };
        interleave(&mut contestants.iter_mut().map(contender).collect::<Vec<_>>(), rounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Size;
    use dreamstep_core::schema::Squash;
    use weights::Layer;

    #[test]
    fn the_runtime_agrees_with_the_reference_at_every_size() {
        for size in Size::ALL {
            let files = size.precisions();
            let weights = Weights::of(&files[0]).unwrap();
            let trace = Trace::new(&weights, 50);
            assert!(trace.inside() > 0.5, "{}: {} of the actions say something", size.name(), trace.inside());
            let mut ours = Ours::load(&files).unwrap();
            for mut contestant in ours.contestants().unwrap() {
                let worst = trace.check(&mut contestant).unwrap();
                let f32 = contestant.side == Side::Ours(Precision::F32);
                assert!(worst < if f32 { 1e-5 } else { 1.0 }, "{}, {}: {worst}", size.name(), contestant.name);
            }
        }
    }

    #[test]
    fn every_peer_agrees_with_the_reference() {
        let mut weights = Weights::of(&Size::Humanoid.agent()).unwrap();
        for squash in [Squash::Clamp, Squash::Tanh] {
            weights.squash = squash;
            let trace = Trace::new(&weights, 50);
            let peers = peers(&weights).unwrap();
            assert_eq!(peers.len(), 12);
            for mut contestant in peers {
                trace.check(&mut contestant).unwrap();
                // From the start of another episode the same: nothing is left of the first.
                trace.check(&mut contestant).unwrap();
            }
        }
    }

    #[test]
    fn one_wrong_weight_is_found_wherever_it_is() {
        let weights = Weights::of(&Size::Small.agent()).unwrap();
        let trace = Trace::new(&weights, 50);
        let layers: [fn(&mut Weights) -> &mut Layer; 5] = [
            |weights| &mut weights.encoder[0],
            |weights| &mut weights.encoder[1],
            |weights| &mut weights.encoder[2],
            |weights| &mut weights.controller,
            |weights| &mut weights.rnn,
        ];
        for (index, layer) in layers.into_iter().enumerate() {
            let mut wrong = weights.clone();
            layer(&mut wrong).weight[1] += 0.1;
            let mut contestant = Contestant::new("one off", Side::Float32, Plain::new(&wrong, Order::Columns));
            let error = trace.check(&mut contestant).expect_err(&format!("layer {index}")).to_string();
            assert!(error.starts_with("one off: step ") && error.contains("expected") && error.contains("found"), "{error}");
        }
    }

    #[test]
    fn what_is_no_number_is_found() {
        struct Silent;
        impl Step for Silent {
            fn reset(&mut self) -> Result<()> {
                Ok(())
            }
            fn step(&mut self, _: &[f32], _: &mut [f32]) -> Result<()> {
                Ok(())
            }
        }
        let weights = Weights::of(&Size::Small.agent()).unwrap();
        let mut contestant = Contestant::new("silent", Side::Int8, Silent);
        let error = Trace::new(&weights, 2).check(&mut contestant).unwrap_err().to_string();
        assert!(error.contains("silent: step 0, action 0") && error.contains("NaN"), "{error}");
    }
}
