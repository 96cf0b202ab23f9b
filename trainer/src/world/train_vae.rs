//! `train --stage vae`: fit the normaliser, then V, to single observations (Ha & Schmidhuber 2018 §2.1).
//!
//! In: recorded episodes. Out: `vae.safetensors` with `normalizer.*`, `encoder.*`, `decoder.*`.

use crate::data::dataset::{Dataset, Pools, Reading, pool_step};
use crate::data::split::Split;
use crate::run::checkpoint::meta;
use crate::run::config::{VaeConfig, VaeStart};
use crate::stats::Normalizer;
use crate::world::epochs::{Sums, Updates};
use crate::world::nets::{indices, matrix, normals, whiten};
use crate::world::optim::Optimizer;
use crate::world::resume::{Network, Trained, Training};
use crate::world::schedule::Schedule;
use crate::world::stage::{StageInput, provenance};
use crate::world::vae::{Vae, VaeLoss, VaeShape};
use anyhow::{Result, ensure};
use dreamstep_core::names::{checkpoint as names, metadata};
use dreamstep_core::rng::{Philox, Stream};
use tch::{Device, Tensor, nn};

/// Rows validated at a time.
const EVAL_BATCH: i64 = 4096;

/// What an error in each dimension weighs, `[O]`: as much as its block.
fn weights(of_blocks: &[f64], blocks: &[(String, usize)]) -> Result<Vec<f32>> {
    let names = || blocks.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    ensure!(
        of_blocks.len() == blocks.len(),
        "vae.block_weights: expected {} ({}) or none, found {}",
        blocks.len(),
        names(),
        of_blocks.len()
    );
    let every = of_blocks.iter().zip(blocks).flat_map(|(&weight, (_, len))| std::iter::repeat_n(weight as f32, *len));
    Ok(every.collect())
}

/// Trains V and writes the run's `vae.safetensors` (the best epoch's weights) and `vae.last.safetensors`; resumes a
/// training that was killed ([`crate::world::resume`]).
///
/// # Errors
/// The data is unusable, a state is damaged or of another training, the loss stops being finite, or a file cannot be written.
/// [`crate::run::interrupt::Interrupted`].
pub fn train_vae(input: &StageInput) -> Result<Trained> {
    let (config, data) = (&input.config.vae, input.data);
    let rng = Philox::new(input.config.seed);
    tch::set_num_threads(input.config.torch_threads as i32);

    // ---- data: every observation of an episode is a row, its last one too
    input.check_sizes()?;
    let split = Split::new(input.config.seed, data.len(), config.validation)?;
    let normalizer = data.normalizer(&split.train, config.min_std)?;
    let alive = normalizer.alive();
    let feed = Feed {
        data,
        config,
        device: input.device.into(),
        normalizer: &normalizer,
        rng,
        pools: Reading {
            train: Pools::new(data, &split.train, data.pool_rows(config.pool), rng, Stream::VaeOrder),
            validation: Pools::new(data, &split.validation, data.pool_rows(config.pool), rng, Stream::VaeOrder),
        },
    };
    // ---- network
    let vs = nn::VarStore::new(input.device.into());
    let shape = VaeShape {
        obs: alive.len(),
        hidden: config.hidden.clone(),
        latent: config.latent,
        log_var_range: config.log_var_range,
        identity: config.start == VaeStart::Identity,
    };
    let mut vae = Vae::new(&vs.root(), shape.clone(), &alive, rng);
    if shape.identity {
        vae.decode_as_it_is(config.obs_clip)?;
    }
    if !config.block_weights.is_empty() {
        let blocks = crate::env::spec(&input.config.env)?.blocks;
        vae = vae.weighed(Tensor::from_slice(&weights(&config.block_weights, &blocks)?).to_device(input.device.into()));
    }

    // ---- epochs
    let optimizer = Optimizer::new(&vs, config.optimizer, config.learning_rate);
    let schedule = Schedule::new(&config.schedule, config.learning_rate);
    let mut training = Training::start(Network::Vae, input, &vs, optimizer, schedule)?;
    let pools = feed.epochs(training.next_epoch()..=config.epochs);
    let train = |rows: &Rows, _, updates: &mut Updates<'_>| {
        rows.order.chunks(config.batch_size).try_for_each(|batch| {
            let at = indices(batch, input.device.into());
            let [x, noise] = [&rows.x, &rows.noise].map(|all| all.index_select(0, &at));
            updates.take(batch.len(), |optimizer| update(&vae, optimizer, config, &x, &noise).parts())
        })
    };
    let validate = |rows: &Rows, sums: &mut Sums| {
        for (x, noise) in rows.x.split(EVAL_BATCH, 0).iter().zip(rows.noise.split(EVAL_BATCH, 0)) {
            let loss = vae.loss(x, &noise, config.kl_weight, config.kl_tolerance, false);
            sums.add(x.size()[0] as usize, &loss.parts());
        }
    };
    training.run(&feed.pools, pools, data.rows(&split.train), train, validate)?;

    // ---- result
    let mut frame = provenance("vae", input, &split);
    frame.insert(names::NORMALIZER_MEAN, &[alive.len()], normalizer.mean.to_vec());
    frame.insert(names::NORMALIZER_INV_STD, &[alive.len()], normalizer.inv_std.to_vec());
    frame.set_meta(metadata::DIM_OBS, alive.len());
    frame.set_meta(metadata::DIM_LATENT, config.latent);
    frame.set_meta(metadata::V_KIND, shape.encoder()?.kind());
    frame.set_meta(metadata::V_HIDDEN, shape.widths());
    frame.set_meta(metadata::OBS_CLIP, config.obs_clip as f32);
    frame.set_meta(meta::LOG_VAR_MIN, config.log_var_range[0]);
    frame.set_meta(meta::LOG_VAR_MAX, config.log_var_range[1]);
    training.write(&frame, || ())
}

/// What a training reads, in the order in which it does.
struct Feed<'a> {
    data: &'a Dataset,
    config: &'a VaeConfig,
    device: Device,
    normalizer: &'a Normalizer,
    rng: Philox,
    pools: Reading,
}

/// A pool, ready to be trained or measured on.
struct Rows {
    /// `[N, O]` whitened.
    x: Tensor,
    /// `[N, Z]` standard normal.
    noise: Tensor,
    /// The order in which to train on the rows.
    order: Vec<i64>,
}

impl Feed<'_> {
    fn epochs(&self, epochs: std::ops::RangeInclusive<usize>) -> impl Iterator<Item = Result<Rows>> + Send {
        let draw = |x, epoch, number| self.drawn(x, epoch, number);
        self.pools.stream(self.data, epochs, |ids| self.whitened(ids), Tensor::shallow_clone, draw)
    }

    fn whitened(&self, ids: &[usize]) -> Result<Tensor> {
        whiten(self.data, ids, self.normalizer, self.config.obs_clip as f32, self.device)
    }

    /// With what is drawn for pool `number` of `epoch`.
    fn drawn(&self, x: Tensor, epoch: usize, number: usize) -> Rows {
        let (n, latent) = (x.size()[0] as usize, self.config.latent);
        let step = pool_step(epoch, Some(number));
        let noise = matrix(&normals(self.rng, Stream::VaeNoise, step, n * latent), latent, self.device);
        let mut order: Vec<i64> = (0..n as i64).collect();
        self.rng.shuffle(Stream::VaeOrder, step, &mut order);
        Rows { x, noise, order }
    }
}

/// One update of V's weights: the loss of whitened observations `x` `[B, O]` with standard normal `noise` `[B, Z]`, its gradient, and
/// the optimiser's step. Returns the loss before the step.
pub fn update(vae: &Vae, optimizer: &mut Optimizer, config: &VaeConfig, x: &Tensor, noise: &Tensor) -> VaeLoss {
    let loss = vae.loss(x, noise, config.kl_weight, config.kl_tolerance, config.amp);
    optimizer.backward_step(&loss.total, None);
    loss
}
