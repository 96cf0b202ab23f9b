//! `train --stage mdnrnn`: encode the episodes with V, then fit M to what comes next (Ha & Schmidhuber 2018 §2.2).
//!
//! In: recorded episodes and `vae.safetensors`. Out: `mdnrnn.safetensors` with `rnn.*`, `gmm_linear.*`.
//!
//! # Sequences
//! An episode of `T` steps is cut into windows of at most `sequence_length` steps; no window crosses its end. The window at an
//! episode's start begins with h = c = 0, exactly as acting does. A later window begins with the state that the model itself
//! reached there: a pass over the long episodes at the start of each epoch stores it ("stored state", Kapturowski et al. 2019),
//! so that windows of all times can be shuffled together. Windows of unequal lengths share a batch without padding.
//!
//! # Targets
//! Step `t`: `z_{t+1}`, `reward_t`, `terminal_t`, given `z_t`, `a_t` and what came before. An episode records where its last step
//! led, so the next latent exists there too and is learned from.
//!
//! # Sampled or mean latents
//! Acting uses V's mean. Training on the mean predicts the mean a little better (on 30,000 random steps of Humanoid-v5 an error of
//! 0.10 against 0.12 of the variance, ridge 0.17); training on samples, drawn anew each epoch, keeps the reward from overfitting
//! (R² 0.55 against 0.45) and leaves a dream fewer gaps to exploit. Samples, as in the paper, are the default.

use crate::data::dataset::{Dataset, Pools, Reading, pool_step};
use crate::data::prefetch::prefetch;
use crate::data::split::Split;
use crate::run::checkpoint::meta;
use crate::run::config::{Config, LatentSource};
use crate::run::folder::digest;
use crate::run::interrupt;
use crate::run::metrics::Clock;
use crate::world::latents::Latents;
use crate::world::mdnrnn::{MdnRnn, MdnRnnShape};
use crate::world::nets::{self, matrix, normals};
use crate::world::optim::Optimizer;
use crate::world::resume::{Network, Training};
use crate::world::schedule::Schedule;
use crate::world::stage::{EpochRecord, StageInput, provenance};
use crate::world::train_vae::TrainedVae;
use anyhow::{Context, Result, ensure};
use baseline::{Comparison, Fit};
use dreamstep_core::names::metadata;
use dreamstep_core::rng::{Philox, Stream};
use objective::Sums;
use serde::Serialize;
use table::Table;
use tch::{Device, Tensor, nn};

mod baseline;
mod objective;
mod table;

pub use objective::{Loss, Objective};
pub use table::Batch;

/// Ridge's λ: next to nothing against tens of thousands of rows, enough to keep unused latents from making it singular.
const RIDGE_LAMBDA: f64 = 1e-3;

/// How good M is on the held-out episodes, one step ahead, on V's mean latents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MdnrnnFigures {
    /// Loss, as trained.
    pub loss: f64,
    /// Squared error of the mixture's mean over the variance of the next latent: 0 is perfect, 1 is a constant.
    pub nmse: f64,
    /// The same of ridge regression on `(z, a)`. An M that does not beat this is a bug.
    pub ridge_nmse: f64,
    /// The same of "nothing changes".
    pub persistence_nmse: f64,
    /// Negative log-likelihood per latent dimension, nats, of the latents M was trained on (sampled or mean).
    pub nll_per_dim: f64,
    /// The same of independent normals around ridge's prediction, fitted to the same latents.
    pub ridge_nll_per_dim: f64,
    /// Fraction of the reward's variance that is explained.
    pub reward_r2: f64,
    /// The same of ridge.
    pub ridge_reward_r2: f64,
    /// Area under the ROC curve of the terminal head; NaN where no held-out episode ends, or every step ends one.
    pub terminal_auroc: f64,
    /// Epoch whose weights were kept, from 1.
    pub best_epoch: usize,
}

impl std::fmt::Display for MdnrnnFigures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { nmse, ridge_nmse, persistence_nmse, nll_per_dim, ridge_nll_per_dim, reward_r2, ridge_reward_r2, .. } =
            self;
        write!(
            f,
            "on held-out episodes: one-step error {nmse:.3} of the variance (ridge {ridge_nmse:.3}, persistence \
             {persistence_nmse:.3}), NLL {nll_per_dim:.2} nats per dimension (linear-Gaussian {ridge_nll_per_dim:.2}), reward R² \
             {reward_r2:.2} (ridge {ridge_reward_r2:.2}), terminal AUROC {:.3}",
            self.terminal_auroc
        )
    }
}

/// Trains M and writes the run's `mdnrnn.safetensors` (the best epoch's weights) and `mdnrnn.last.safetensors`; goes on from the state of a
/// training that was killed ([`crate::world::resume`]). The run holds V already.
///
/// # Errors
/// V is missing or does not fit, the data is unusable, a state is damaged or of another training, the loss stops being finite, or a file
/// cannot be written. [`interrupt::Interrupted`], where somebody asked to stop.
pub fn train_mdnrnn(input: &StageInput) -> Result<MdnrnnFigures> {
    let (config, data) = (&input.config.mdnrnn, input.data);
    let rng = Philox::new(input.config.seed);
    tch::set_num_threads(input.config.torch_threads as i32);

    // ---- data: latents, normalised actions, rewards and terminals of every step, in one table a pool
    input.check_sizes()?;
    let vae = TrainedVae::read(&input.run.vae(), input.device.into())?;
    let obs = data.dims().0;
    ensure!(
        vae.shape.obs == obs,
        "{}: expected observations of size {obs}, found {}",
        input.run.vae().display(),
        vae.shape.obs
    );
    let latent = vae.shape.latent;
    let split = Split::new(input.config.seed, data.len(), input.config.vae.validation)?;
    let rewards = data.rewards(&split.train)?;
    let (mean, variance) = (rewards.mean()[0], rewards.variance()[0]);
    // The mean as f32, because that is what the file says.
    let objective = Objective::new(config, (f64::from(mean as f32), if variance > 1e-12 { variance } else { 1.0 }));
    let reward_offset = objective.reward_offset;
    let feed = Feed {
        data,
        config: input.config,
        device: input.device.into(),
        action: [input.action_mid, input.action_half],
        rng,
        pools: Reading {
            train: Pools::new(data, &split.train, config.pool, rng, Stream::MdnrnnOrder),
            validation: Pools::new(data, &split.validation, config.pool, rng, Stream::MdnrnnOrder),
        },
    };

    // ---- network
    let vs = nn::VarStore::new(input.device.into());
    let shape = MdnRnnShape {
        action: input.action_mid.len(),
        latent,
        hidden: config.hidden,
        cell: config.cell,
        mixture: config.mixture,
        target: config.target,
        mixtures: config.mixtures,
        log_sigma_min: config.log_sigma_min,
    };
    let model = MdnRnn::new(&vs.root(), shape, rng);

    // ---- epochs
    let steps = data.steps(&split.train);
    let optimizer = Optimizer::new(&vs, config.optimizer, config.learning_rate);
    let schedule = Schedule::new(&config.schedule, config.learning_rate);
    let mut training = Training::start(Network::Mdnrnn, input, &vs, optimizer, schedule)?;
    std::thread::scope(|scope| -> Result<()> {
        let mut pools = prefetch(scope, feed.epochs(Latent::open(input)?, training.next_epoch()..=config.epochs));
        let mut next = || pools.next().context("mdnrnn: expected another pool, found none")?;
        while let Some(epoch) = training.begin_epoch() {
            let clock = Clock::start();
            let mut done = (epoch - 1) * steps;
            let mut sums = Sums::default();
            for (number, _) in feed.pools.train.shuffled(data, epoch).iter().enumerate() {
                let (table, z) = next()?;
                let states = tch::no_grad(|| table.stored_states(&model, &z));
                let mut order: Vec<usize> = (0..table.windows.len()).collect();
                rng.shuffle(Stream::MdnrnnOrder, pool_step(epoch, Some(number)), &mut order);
                for windows in order.chunks(config.batch_size) {
                    interrupt::check()?;
                    let batch = table.batch(windows, &z, &states);
                    training
                        .optimizer
                        .set_learning_rate(training.schedule.rate(done as f64 / (steps * config.epochs) as f64));
                    let loss = objective.update(&model, &mut training.optimizer, &batch);
                    sums.add(&batch, &loss);
                    done += batch.rows.len();
                }
            }
            let train = sums.means();
            let mut sums = Sums::default();
            for _ in feed.pools.validation.in_order(data) {
                let (table, z) = next()?;
                tch::no_grad(|| table.evaluate(&model, &z, |p, batch| sums.add(batch, &objective.loss(p, batch))));
            }
            training.finish_epoch(EpochRecord {
                stage: Network::Mdnrnn.name(),
                epoch,
                epochs: config.epochs,
                train,
                validation: sums.means(),
                best: false,
                learning_rate: training.optimizer.learning_rate(),
                seconds: clock.seconds(),
                cpu_seconds: clock.cpu_seconds(),
                items: steps,
                items_per_s: steps as f64 / clock.seconds(),
            })?;
        }
        Ok(())
    })?;

    // ---- the last epoch's weights and the best one's, measured against the linear model
    let mut checkpoint = provenance("mdnrnn", input, &split);
    checkpoint.set_meta(&format!("{}vae", meta::UPSTREAM), digest(&input.run.vae())?);
    let dims = [
        (metadata::DIM_ACTION, input.action_mid.len()),
        (metadata::DIM_LATENT, latent),
        (metadata::DIM_HIDDEN, config.hidden),
        (metadata::DIM_MIXTURES, config.mixtures),
    ];
    for (key, size) in dims {
        checkpoint.set_meta(key, size);
    }
    checkpoint.set_meta(metadata::GMM_MIXTURE, config.mixture.name());
    checkpoint.set_meta(metadata::GMM_TARGET, config.target.name());
    checkpoint.set_meta(metadata::GMM_LOG_SIGMA_MIN, config.log_sigma_min as f32);
    checkpoint.set_meta(metadata::REWARD_OFFSET, reward_offset as f32);
    checkpoint.set_meta(metadata::RNN_INPUT, "action,z");
    checkpoint.set_meta(metadata::GMM_SIGMA, "exp");
    checkpoint.set_meta(meta::RNN_CELL, config.cell.name());
    checkpoint.set_meta(meta::GATES, meta::gates(config.cell));
    checkpoint.set_meta(meta::LATENTS, if config.sample_latents { "sampled" } else { "mean" });
    let list = |v: &[f32]| v.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    checkpoint.set_meta(meta::ACTION_MID, list(input.action_mid));
    checkpoint.set_meta(meta::ACTION_HALF, list(input.action_half));
    model.shift_terminal(objective.terminal_log_odds());
    training.write_last(&checkpoint)?;
    let (best_epoch, loss, _) = training.best()?;
    model.shift_terminal(objective.terminal_log_odds());
    checkpoint.tensors = nets::export(&vs)?;
    let source = Latent::open(input)?;
    let mut fit = Fit::new(latent, input.action_mid.len());
    for (number, ids) in feed.pools.train.in_order(data).iter().enumerate() {
        interrupt::check()?;
        let (table, z) = feed.pool(&source, ids, 1, number)?;
        fit.add(&table, &z)?;
    }
    let baseline = fit.baseline()?;
    let mut comparison = Comparison::new(&baseline, &model, reward_offset);
    for (number, ids) in feed.pools.validation.in_order(data).iter().enumerate() {
        let (table, z) = feed.pool(&source, ids, 0, number)?;
        comparison.add(&table, &z)?;
    }
    let figures = MdnrnnFigures { loss, best_epoch, ..comparison.figures() };
    if let serde_json::Value::Object(values) = serde_json::to_value(figures)? {
        for (key, value) in values {
            checkpoint.set_meta(&format!("{}{key}", meta::VALIDATION), value);
        }
    }
    checkpoint.write(&input.run.mdnrnn())?;
    training.finish()?;
    Ok(figures)
}

/// Where latents come from.
enum Latent {
    Stored(Latents),
    Encoded(Box<TrainedVae>),
}

impl Latent {
    /// As configured.
    fn open(input: &StageInput) -> Result<Self> {
        let vae = TrainedVae::read(&input.run.vae(), input.device.into())?;
        Ok(match input.config.mdnrnn.latents {
            LatentSource::Precomputed => Self::Stored(Latents::open(input.run, input.data, &vae, input.device.into())?),
            LatentSource::OnTheFly => Self::Encoded(Box::new(vae)),
        })
    }

    /// Mean and log-variance of every observation of the episodes `ids`, `[R, Z]` each.
    fn of(&self, data: &Dataset, ids: &[usize], device: Device) -> Result<(Tensor, Tensor)> {
        match self {
            Self::Stored(latents) => latents.read(data, ids, device),
            Self::Encoded(vae) => vae.encode(data, ids, device),
        }
    }
}

/// What a training reads, in the order in which it does.
struct Feed<'a> {
    data: &'a Dataset,
    config: &'a Config,
    device: Device,
    /// `[A]` middle and half width of the action range.
    action: [&'a [f32]; 2],
    rng: Philox,
    pools: Reading,
}

impl Feed<'_> {
    /// Every epoch's pools, with the latents to use.
    fn epochs(
        &self,
        source: Latent,
        epochs: std::ops::RangeInclusive<usize>,
    ) -> impl Iterator<Item = Result<(Table, Tensor)>> + Send {
        let load = move |ids: &[usize]| self.table(&source, ids);
        self.pools.stream(self.data, epochs, load, Table::shallow_clone, |table, epoch, number| {
            self.with_latents(table, epoch, number)
        })
    }

    /// One pool, with the latents of `epoch`.
    fn pool(&self, source: &Latent, ids: &[usize], epoch: usize, number: usize) -> Result<(Table, Tensor)> {
        Ok(self.with_latents(self.table(source, ids)?, epoch, number))
    }

    fn with_latents(&self, table: Table, epoch: usize, number: usize) -> (Table, Tensor) {
        let z = table.latents(self.noise(&table, epoch, number));
        (table, z)
    }

    fn table(&self, source: &Latent, ids: &[usize]) -> Result<Table> {
        let latents = source.of(self.data, ids, self.device)?;
        Table::new(self.data, ids, latents, self.action, self.config.mdnrnn.sequence_length)
    }

    /// What latents are sampled with in pool `number` of `epoch`, `[R, Z]`; none where they are not.
    fn noise(&self, table: &Table, epoch: usize, number: usize) -> Option<Tensor> {
        let (rows, latent) = table.mean.size2().expect("a matrix");
        let step = pool_step(epoch, Some(number));
        let draw = || normals(self.rng, Stream::LatentNoise, step, (rows * latent) as usize);
        self.config.mdnrnn.sample_latents.then(|| matrix(&draw(), latent as usize, self.device))
    }
}

#[cfg(test)]
mod tests;
