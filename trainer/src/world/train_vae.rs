//! `train --stage vae`: fit the normaliser, then V, to single observations (Ha & Schmidhuber 2018 §2.1).
//!
//! In: recorded episodes. Out: `vae.safetensors` with `normalizer.*`, `encoder.*`, `decoder.*`.

use crate::data::dataset::{Dataset, Pools, Reading, pool_step};
use crate::data::prefetch::prefetch;
use crate::data::split::Split;
use crate::env::{AnyEnv, Env};
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::config::{VaeConfig, VaeStart};
use crate::run::interrupt;
use crate::run::metrics::Clock;
use crate::stats::Normalizer;
use crate::world::nets::{self, indices, matrix, normals, whiten};
use crate::world::optim::Optimizer;
use crate::world::resume::{Network, Training};
use crate::world::schedule::Schedule;
use crate::world::stage::{EpochRecord, StageInput, provenance};
use crate::world::vae::{Vae, VaeLoss, VaeShape};
use anyhow::{Context, Result, ensure};
use dreamstep_core::names::{checkpoint as names, metadata};
use dreamstep_core::rng::{Philox, Stream};
use serde::Serialize;
use std::path::Path;
use tch::{Device, Kind, Tensor, nn};

/// Rows encoded at a time where no gradient is kept.
const EVAL_BATCH: i64 = 4096;

/// How good V is on the held-out episodes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct VaeFigures {
    /// Loss, as trained.
    pub loss: f64,
    /// Squared error of the reconstruction from a sampled z, summed over whitened dimensions.
    pub reconstruction: f64,
    /// KL divergence, nats.
    pub kl: f64,
    /// Squared error of the reconstruction from the *mean* z over the observations' variance: 0 is perfect, 1 is the mean.
    pub nmse: f64,
    /// Latent dimensions in use: their mean varies by more than 0.1 (standard deviation).
    pub active_latents: usize,
    /// Epoch whose weights were kept, from 1.
    pub best_epoch: usize,
}

impl std::fmt::Display for VaeFigures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "on held-out episodes: reconstruction error {:.3} of the variance, KL {:.1} nats, {} latents in use",
            self.nmse, self.kl, self.active_latents
        )
    }
}

/// What an error in each dimension weighs, `[O]`: as much as its block.
fn weights(of_blocks: &[f64], blocks: &[(&str, usize)]) -> Result<Vec<f32>> {
    let names = || blocks.iter().map(|&(name, _)| name).collect::<Vec<_>>().join(", ");
    ensure!(
        of_blocks.len() == blocks.len(),
        "vae.block_weights: expected {} ({}) or none, found {}",
        blocks.len(),
        names(),
        of_blocks.len()
    );
    let every = of_blocks.iter().zip(blocks).flat_map(|(&weight, &(_, len))| std::iter::repeat_n(weight as f32, len));
    Ok(every.collect())
}

/// Trains V and writes the run's `vae.safetensors` (the best epoch's weights) and `vae.last.safetensors`; goes on from the state of a
/// training that was killed ([`crate::world::resume`]).
///
/// # Errors
/// The data is unusable, a state is damaged or of another training, the loss stops being finite, or a file cannot be written.
/// [`interrupt::Interrupted`], where somebody asked to stop.
pub fn train_vae(input: &StageInput) -> Result<VaeFigures> {
    let (config, data) = (&input.config.vae, input.data);
    let rng = Philox::new(input.config.seed);
    tch::set_num_threads(input.config.torch_threads as i32);

    // ---- data: every observation of an episode is a row, its last one too
    input.check_sizes()?;
    let split = Split::new(input.config.seed, data.len(), config.validation)?;
    let normalizer = data.normalizer(&split.train, config.min_std)?;
    let alive = normalizer.alive();
    let clip = config.obs_clip as f32;
    let feed = Feed {
        data,
        config,
        device: input.device.into(),
        normalizer: &normalizer,
        rng,
        pools: Reading {
            train: Pools::new(data, &split.train, config.pool, rng, Stream::VaeOrder),
            validation: Pools::new(data, &split.validation, config.pool, rng, Stream::VaeOrder),
        },
    };
    let n = data.rows(&split.train);

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
        let blocks = AnyEnv::make(&input.config.env)?.spec().blocks;
        vae = vae.weighed(Tensor::from_slice(&weights(&config.block_weights, blocks)?).to_device(input.device.into()));
    }

    // ---- epochs
    let optimizer = Optimizer::new(&vs, config.optimizer, config.learning_rate);
    let schedule = Schedule::new(&config.schedule, config.learning_rate);
    let mut training = Training::start(Network::Vae, input, &vs, optimizer, schedule)?;
    std::thread::scope(|scope| -> Result<()> {
        let mut pools = prefetch(scope, feed.epochs(training.next_epoch()..=config.epochs));
        let mut next = || pools.next().context("vae: expected another pool, found none")?;
        while let Some(epoch) = training.begin_epoch() {
            let clock = Clock::start();
            let mut done = (epoch - 1) * n;
            let mut sums = Sums::default();
            for _ in feed.pools.train.shuffled(data, epoch) {
                let Rows { x, noise, order } = next()?;
                for batch in order.chunks(config.batch_size) {
                    interrupt::check()?;
                    training.optimizer.set_learning_rate(training.schedule.rate(done as f64 / (n * config.epochs) as f64));
                    let rows = indices(batch, input.device.into());
                    let [x, noise] = [&x, &noise].map(|all| all.index_select(0, &rows));
                    let loss = update(&vae, &mut training.optimizer, config, &x, &noise);
                    sums.add(batch.len(), [&loss.total, &loss.reconstruction, &loss.kl]);
                    done += batch.len();
                }
            }
            let train = sums.means();
            let mut measure = Measure::default();
            for _ in feed.pools.validation.in_order(data) {
                let rows = next()?;
                tch::no_grad(|| measure.add(&vae, config, &rows));
            }
            let figures = measure.figures();
            training.finish_epoch(EpochRecord {
                stage: Network::Vae.name(),
                epoch,
                epochs: config.epochs,
                train: [("loss", train[0]), ("reconstruction", train[1]), ("kl", train[2])].into(),
                validation: [
                    ("loss", figures.loss),
                    ("reconstruction", figures.reconstruction),
                    ("kl", figures.kl),
                    ("nmse", figures.nmse),
                ]
                .into(),
                best: false,
                learning_rate: training.optimizer.learning_rate(),
                seconds: clock.seconds(),
                cpu_seconds: clock.cpu_seconds(),
                items: n,
                items_per_s: n as f64 / clock.seconds(),
            })?;
        }
        Ok(())
    })?;

    // ---- the last epoch's weights and the best one's, and where they come from
    let mut checkpoint = provenance("vae", input, &split);
    checkpoint.insert(names::NORMALIZER_MEAN, &[alive.len()], normalizer.mean.to_vec());
    checkpoint.insert(names::NORMALIZER_INV_STD, &[alive.len()], normalizer.inv_std.to_vec());
    checkpoint.set_meta(metadata::DIM_OBS, alive.len());
    checkpoint.set_meta(metadata::DIM_LATENT, config.latent);
    checkpoint.set_meta(metadata::V_KIND, shape.encoder()?.kind());
    checkpoint.set_meta(metadata::V_HIDDEN, shape.widths());
    checkpoint.set_meta(metadata::OBS_CLIP, clip);
    checkpoint.set_meta(meta::LOG_VAR_MIN, config.log_var_range[0]);
    checkpoint.set_meta(meta::LOG_VAR_MAX, config.log_var_range[1]);
    training.write_last(&checkpoint)?;
    let (best_epoch, _, weights) = training.best()?;
    // The figures that its epoch had, to the bit.
    let mut measure = Measure::default();
    for (number, ids) in feed.pools.validation.in_order(data).iter().enumerate() {
        let rows = feed.rows(ids, 0, number)?;
        tch::no_grad(|| measure.add(&vae, config, &rows));
    }
    let figures = VaeFigures { best_epoch, ..measure.figures() };
    checkpoint.tensors.extend(weights);
    for (key, value) in
        [("loss", figures.loss), ("reconstruction", figures.reconstruction), ("kl", figures.kl), ("nmse", figures.nmse)]
    {
        checkpoint.set_meta(&format!("{}{key}", meta::VALIDATION), value);
    }
    checkpoint.set_meta(&format!("{}active_latents", meta::VALIDATION), figures.active_latents);
    checkpoint.write(&input.run.vae())?;
    training.finish()?;
    Ok(figures)
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

    fn rows(&self, ids: &[usize], epoch: usize, number: usize) -> Result<Rows> {
        Ok(self.drawn(self.whitened(ids)?, epoch, number))
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

/// How good V is on rows that come a pool at a time.
#[derive(Default)]
struct Measure {
    losses: Sums,
    /// Squared error of the reconstruction from the mean, and what there was to reconstruct.
    error: f64,
    total: f64,
    /// Sums of the latent means and of their squares, `[Z]` in double precision.
    spread: Option<[Tensor; 2]>,
}

impl Measure {
    fn add(&mut self, vae: &Vae, config: &VaeConfig, rows: &Rows) {
        for (x, noise) in rows.x.split(EVAL_BATCH, 0).iter().zip(rows.noise.split(EVAL_BATCH, 0)) {
            let loss = vae.loss(x, &noise, config.kl_weight, config.kl_tolerance, false);
            self.losses.add(x.size()[0] as usize, [&loss.total, &loss.reconstruction, &loss.kl]);
            let (mean, _) = vae.encode(x);
            self.error += (vae.decode(&mean) - x).square().sum(Kind::Double).double_value(&[]);
            self.total += x.square().sum(Kind::Double).double_value(&[]);
            let mean = mean.to_kind(Kind::Double);
            let sums = [mean.sum_dim_intlist(0, false, Kind::Double), mean.square().sum_dim_intlist(0, false, Kind::Double)];
            self.spread = Some(match self.spread.take() {
                None => sums,
                Some([a, b]) => [a + &sums[0], b + &sums[1]],
            });
        }
    }

    fn figures(&self) -> VaeFigures {
        let [loss, reconstruction, kl] = self.losses.means();
        let n = self.losses.items as f64;
        let active_latents = self.spread.as_ref().map_or(0, |[sum, squares]| {
            let variance = squares / n - (sum / n).square(); // [Z]
            variance.gt(0.1 * 0.1).sum(Kind::Int64).int64_value(&[]) as usize
        });
        VaeFigures { loss, reconstruction, kl, nmse: self.error / self.total, active_latents, best_epoch: 0 }
    }
}

/// Means of losses over batches of unequal sizes.
#[derive(Default)]
struct Sums {
    sums: [f64; 3],
    items: usize,
}

impl Sums {
    fn add(&mut self, items: usize, losses: [&Tensor; 3]) {
        for (sum, loss) in self.sums.iter_mut().zip(losses) {
            *sum += loss.double_value(&[]) * items as f64;
        }
        self.items += items;
    }

    fn means(&self) -> [f64; 3] {
        self.sums.map(|s| s / self.items as f64)
    }
}

/// V as the later stages use it: a normaliser and an encoder, read from a checkpoint.
pub struct TrainedVae {
    /// Whitens observations.
    pub normalizer: Normalizer,
    /// Encoder and decoder.
    pub vae: Vae,
    /// Sizes.
    pub shape: VaeShape,
    /// Whitened observations are clipped to ± this.
    pub obs_clip: f32,
}

impl TrainedVae {
    /// Reads `vae.safetensors`; the tensors' shapes say how large everything is.
    ///
    /// # Errors
    /// One line naming the file and the tensor or the metadata that is missing or wrong.
    pub fn read(path: &Path, device: Device) -> Result<Self> {
        let file = Checkpoint::read(path)?;
        let shape = VaeShape::of(&file)?;
        let mean = file.tensor(names::NORMALIZER_MEAN, &[shape.obs])?.to_vec();
        let inv_std = file.tensor(names::NORMALIZER_INV_STD, &[shape.obs])?.to_vec();
        let normalizer = Normalizer { mean: mean.into(), inv_std: inv_std.into() };
        let vs = nn::VarStore::new(device);
        let vae = Vae::new(&vs.root(), shape.clone(), &normalizer.alive(), Philox::new(0));
        nets::import(&vs, &file)?;
        Ok(Self { normalizer, vae, shape, obs_clip: file.meta(metadata::OBS_CLIP)? })
    }

    /// Mean and log-variance of every observation of the episodes `ids`, one below the other, `[Σ(T+1), Z]` each.
    ///
    /// # Errors
    /// [`Dataset::read`]'s.
    pub fn encode(&self, data: &Dataset, ids: &[usize], device: Device) -> Result<(Tensor, Tensor)> {
        // A few episodes at a time: the whitened observations of all would be the largest thing in memory.
        let encode = |ids: &[usize]| -> Result<(Tensor, Tensor)> {
            let x = whiten(data, ids, &self.normalizer, self.obs_clip, device)?;
            Ok(tch::no_grad(|| self.vae.encode(&x)))
        };
        let encoded: Vec<_> = ids.chunks(64).map(encode).collect::<Result<_>>()?;
        let (means, log_vars): (Vec<_>, Vec<_>) = encoded.into_iter().unzip();
        Ok((Tensor::cat(&means, 0), Tensor::cat(&log_vars, 0)))
    }
}
