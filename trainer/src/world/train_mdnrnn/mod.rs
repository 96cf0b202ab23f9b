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

use crate::agent::action;
use crate::data::dataset::{Dataset, Pools, Reading, pool_step};
use crate::data::split::Split;
use crate::env::Ear;
use crate::run::checkpoint::meta;
use crate::run::config::{Config, LatentSource};
use crate::run::folder::digest;
use crate::stats::Spread;
use crate::world::epochs::{Sums, Updates};
use crate::world::latents::Latents;
use crate::world::mdnrnn::{MdnRnn, MdnRnnShape};
use crate::world::nets::{matrix, normals};
use crate::world::optim::Optimizer;
use crate::world::resume::{Network, Trained, Training};
use crate::world::schedule::Schedule;
use crate::world::stage::{StageInput, provenance};
use crate::world::trained::TrainedVae;
use anyhow::{Result, ensure};
use dreamstep_core::names::metadata;
use dreamstep_core::rng::{Philox, Stream};
use table::Table;
use tch::{Device, Tensor, nn};

mod objective;
pub(super) mod table;

pub use objective::{Loss, Objective};
pub use table::Batch;

/// Trains M and writes the run's `mdnrnn.safetensors` (the best epoch's weights) and `mdnrnn.last.safetensors`; resumes a
/// training that was killed ([`crate::world::resume`]). The run holds V already.
///
/// # Errors
/// V is missing or does not fit, the data is unusable, a state is damaged or of another training, the loss stops being finite, or a file
/// cannot be written. [`crate::run::interrupt::Interrupted`].
pub fn train_mdnrnn(input: &StageInput) -> Result<Trained> {
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
    check_rewards(&rewards)?;
    check_rewards(&data.rewards(&split.validation)?)?;
    let (mean, variance) = (rewards.mean()[0], rewards.variance()[0]);
    // Constant but for the rounding of their mean.
    let constant = variance <= 1e-12 * (1.0 + mean * mean);
    // The mean as f32, because that is what the file says.
    let objective = Objective::new(config, (f64::from(mean as f32), if constant { 1.0 } else { variance }));
    let reward_offset = objective.reward_offset;
    let feed = Feed {
        data,
        config: input.config,
        device: input.device.into(),
        ear: input.actions.ear(),
        rng,
        pools: Reading {
            train: Pools::new(data, &split.train, config.pool, rng, Stream::MdnrnnOrder),
            validation: Pools::new(data, &split.validation, config.pool, rng, Stream::MdnrnnOrder),
        },
    };

    // ---- network
    let vs = nn::VarStore::new(input.device.into());
    let shape = MdnRnnShape {
        action: input.actions.unit_len(),
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
    let optimizer = Optimizer::new(&vs, config.optimizer, config.learning_rate);
    let schedule = Schedule::new(&config.schedule, config.learning_rate);
    let mut training = Training::start(Network::Mdnrnn, input, &vs, optimizer, schedule)?;
    let pools = feed.epochs(Latent::open(input)?, training.next_epoch()..=config.epochs);
    let train = |(table, z): &(Table, Tensor), step, updates: &mut Updates<'_>| {
        let states = tch::no_grad(|| table.stored_states(&model, z));
        let mut order: Vec<usize> = (0..table.windows.len()).collect();
        rng.shuffle(Stream::MdnrnnOrder, step, &mut order);
        order.chunks(config.batch_size).try_for_each(|windows| {
            let batch = table.batch(windows, z, &states);
            updates.take(batch.rows.len(), |optimizer| objective.update(&model, optimizer, &batch).parts())
        })
    };
    let validate = |(table, z): &(Table, Tensor), sums: &mut Sums| {
        table
            .evaluate(&model, z, |prediction, batch| sums.add(batch.rows.len(), &objective.loss(prediction, batch).parts()));
    };
    training.run(&feed.pools, pools, data.steps(&split.train), train, validate, |_| Ok(()))?;

    // ---- result
    let mut checkpoint = provenance("mdnrnn", input, &split);
    checkpoint.set_meta(&format!("{}vae", meta::UPSTREAM), digest(&input.run.vae())?);
    let dims = [
        (metadata::DIM_ACTION, input.actions.unit_len()),
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
    action::say(&mut checkpoint, input.actions);
    training.write(&checkpoint, || model.shift_terminal(objective.terminal_log_odds()))
}

/// That the loss, which squares rewards in binary32, can be computed of all of them at once.
///
/// # Errors
/// One line.
fn check_rewards(rewards: &Spread) -> Result<()> {
    let (mean, variance) = (rewards.mean()[0], rewards.variance()[0]);
    ensure!(
        variance * (rewards.count() as f64) < f64::from(f32::MAX),
        "mdnrnn: recorded rewards: expected a spread whose squares binary32 holds, found mean {mean:.3e} and standard deviation {:.3e}; \
         scale the rewards",
        variance.sqrt()
    );
    Ok(())
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
    ear: Ear,
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
            let z = table.latents(self.noise(&table, epoch, number));
            (table, z)
        })
    }

    fn table(&self, source: &Latent, ids: &[usize]) -> Result<Table> {
        let latents = source.of(self.data, ids, self.device)?;
        Table::new(self.data, ids, latents, &self.ear, self.config.mdnrnn.sequence_length)
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
