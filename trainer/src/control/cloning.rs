//! Behaviour cloning by gradient descent: a C with hidden layers learns what its teacher answers, by Adam on the mean squared error. What it has learnt in
//! the lessons before is where it goes on from.

use crate::run::checkpoint::Checkpoint;
use crate::run::config::{Config, OptimizerRule};
use crate::run::interrupt;
use crate::world::nets::{export, import, indices, linear, to_vec};
use crate::world::optim::Optimizer;
use crate::world::schedule::cosine;
use anyhow::Result;
use dreamstep_core::c::{Activation, ControllerKind};
use dreamstep_core::dims::Dims;
use dreamstep_core::rng::{Philox, Stream};
use ndarray::{ArrayView2, Axis, s};
use tch::{Device, Kind, Reduction, Tensor, nn};

/// Passes over all rows after a lesson, at least, and updates in them, at least: few rows are passed over more often.
const EPOCHS: usize = 10;
const UPDATES: usize = 3000;
/// Rows of a batch.
const BATCH: usize = 128;
/// The learning rate at the beginning of the passes; it falls to 0 in their course.
const LEARNING_RATE: f64 = 1e-3;
/// Passes so far, in the metadata of a lesson that was kept.
const EPOCH: &str = "cloning.epoch";

/// A student, and what there is to learn from.
pub(super) struct Cloning {
    vs: nn::VarStore,
    layers: Vec<nn::Linear>,
    activation: Activation,
    optimizer: Optimizer,
    rng: Philox,
    epoch: u64,
    /// Whitened features `[T, I]` of each lesson, and the answers `[T, U]` to them.
    rows: Vec<[Tensor; 2]>,
}

impl Cloning {
    /// Of a C of `dims`, as PyTorch begins with one.
    pub(super) fn new(dims: &Dims, config: &Config) -> Self {
        tch::set_num_threads(config.torch_threads as i32);
        let (vs, rng) = (nn::VarStore::new(Device::Cpu), Philox::new(config.seed));
        let layer = |(index, layer): (usize, dreamstep_core::schema::LayerSpec)| {
            linear(&(vs.root() / "student" / index as i64), layer.inputs as i64, layer.rows.count() as i64, rng)
        };
        let layers = dims.controller_layers().iter().copied().enumerate().map(layer).collect();
        let activation = match dims.c.kind {
            ControllerKind::Mlp { activation, .. } => activation,
            // Nothing reads it.
            _ => Activation::Relu,
        };
        let optimizer = Optimizer::new(&vs, OptimizerRule::Adam, LEARNING_RATE);
        Self { vs, layers, activation, optimizer, rng, epoch: 0, rows: Vec::new() }
    }

    /// Adds `rows`, of which the first `features` numbers are what C reads and the `answers` next what it is to answer.
    pub(super) fn add(&mut self, rows: ArrayView2<'_, f32>, features: usize, answers: usize) {
        let tensor = |rows: ArrayView2<'_, f32>| {
            let values: Vec<f32> = rows.iter().copied().collect();
            Tensor::from_slice(&values).reshape([rows.nrows() as i64, rows.ncols() as i64])
        };
        let (read, rest) = rows.split_at(Axis(1), features);
        self.rows.push([tensor(read), tensor(rest.slice(s![.., ..answers]))]);
    }

    /// Learns, and says C's parameters on whitened features.
    ///
    /// # Errors
    /// [`interrupt::Interrupted`], where a signal came; or libtorch cannot hand a tensor over.
    pub(super) fn fit(&mut self) -> Result<Vec<f32>> {
        let [features, answers] =
            [0, 1].map(|of| Tensor::cat(&self.rows.iter().map(|rows| &rows[of]).collect::<Vec<_>>(), 0));
        let mut order: Vec<i64> = (0..features.size()[0]).collect();
        let batches = order.len().div_ceil(BATCH);
        let epochs = EPOCHS.max(UPDATES.div_ceil(batches.max(1)));
        for epoch in 0..epochs {
            interrupt::check()?;
            self.rng.shuffle(Stream::LessonOrder, self.epoch, &mut order);
            for (index, batch) in order.chunks(BATCH).enumerate() {
                let done = (epoch as f64 + index as f64 / batches as f64) / epochs as f64;
                self.optimizer.set_learning_rate(cosine(LEARNING_RATE, done));
                let batch = indices(batch, Device::Cpu);
                let answered = self.forward(&features.index_select(0, &batch));
                let loss = answered.mse_loss(&answers.index_select(0, &batch), Reduction::Mean);
                self.optimizer.backward_step(&loss, None);
            }
            self.epoch += 1;
        }
        let mut parameters = Vec::new();
        for layer in &self.layers {
            parameters.extend(to_vec(&layer.ws)?);
            parameters.extend(layer.bs.as_ref().map(to_vec).transpose()?.into_iter().flatten());
        }
        Ok(parameters)
    }

    /// Adds what the student is, and what the optimiser remembers, to `kept`; the rows are another's.
    ///
    /// # Errors
    /// libtorch cannot hand a tensor over.
    pub(super) fn save(&self, kept: &mut Checkpoint) -> Result<()> {
        kept.tensors.extend(export(&self.vs)?);
        kept.set_meta(EPOCH, self.epoch);
        self.optimizer.save(kept)
    }

    /// Becomes what [`Self::save`] added.
    ///
    /// # Errors
    /// One line naming the file and what is missing or misshapen.
    pub(super) fn load(&mut self, kept: &Checkpoint) -> Result<()> {
        import(&self.vs, kept)?;
        self.epoch = kept.meta(EPOCH)?;
        self.optimizer.load(kept)
    }

    /// `[B, I]` → `[B, U]`
    fn forward(&self, features: &Tensor) -> Tensor {
        let (last, hidden) = self.layers.split_last().expect("a C has a layer");
        let activate = |x: Tensor| match self.activation {
            Activation::Tanh => x.tanh(),
            Activation::Relu => x.relu(),
        };
        hidden.iter().fold(features.to_kind(Kind::Float), |x, layer| activate(x.apply(layer))).apply(last)
    }
}
