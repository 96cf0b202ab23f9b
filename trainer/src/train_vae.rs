//! `train --stage vae`: fit the normaliser, then V, to single observations (Ha & Schmidhuber 2018 §2.1).
//!
//! In: recorded episodes. Out: `vae.safetensors` with `normalizer.*`, `encoder.*`, `decoder.*`.

use crate::checkpoint::{Checkpoint, meta};
use crate::config::VaeConfig;
use crate::interrupt;
use crate::nets::optim::Optimizer;
use crate::nets::vae::{Vae, VaeLoss, VaeShape};
use crate::nets::{self, indices, matrix, normals};
use crate::resume::{Network, Training};
use crate::stage::{EpochRecord, Split, StageInput, check_episodes, cosine, provenance, whiten};
use crate::stats::Normalizer;
use anyhow::Result;
use dreamstep_core::names::{checkpoint as names, metadata};
use dreamstep_core::rng::{Philox, Stream};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;
use tch::{Device, Tensor, nn};

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

/// Trains V and writes the run's `vae.safetensors`; goes on from the state of a training that was killed ([`crate::resume`]).
///
/// # Errors
/// The data is unusable, a state is damaged or of another training, the loss stops being finite, or a file cannot be written.
/// [`interrupt::Interrupted`], where somebody asked to stop.
pub fn train_vae(input: &StageInput) -> Result<VaeFigures> {
    let config = &input.config.vae;
    let rng = Philox::new(input.config.seed);
    tch::set_num_threads(input.config.torch_threads as i32);

    // ---- data: every observation of an episode is a row, its last one too
    check_episodes(input.episodes, input.action_mid.len())?;
    let split = Split::new(input.config.seed, input.episodes.len(), config.validation)?;
    let pick = |ids: &[usize]| ids.iter().map(|&i| &input.episodes[i]).collect::<Vec<_>>();
    let (train, validation) = (pick(&split.train), pick(&split.validation));
    let normalizer = Normalizer::fit(train.iter().flat_map(|e| e.observations.rows()), config.min_std)?;
    let alive = normalizer.alive();
    let clip = config.obs_clip as f32;
    let x = whiten(train.into_iter(), &normalizer, clip, input.device); // [N, O]
    let x_val = whiten(validation.into_iter(), &normalizer, clip, input.device); // [V, O]
    let (n, n_val) = (x.size()[0] as usize, x_val.size()[0] as usize);

    // ---- network
    let vs = nn::VarStore::new(input.device);
    let shape =
        VaeShape { obs: alive.len(), hidden: config.hidden, latent: config.latent, log_var_range: config.log_var_range };
    let vae = Vae::new(&vs.root(), shape, &alive, rng);
    let noise = |epoch: usize, rows: usize| {
        matrix(&normals(rng, Stream::VaeNoise, epoch as u64, rows * config.latent), config.latent, input.device)
    };
    // Epoch 0's noise, the same after every epoch: validation losses compare.
    let noise_val = noise(0, n_val); // [V, Z]

    // ---- epochs
    let updates = n.div_ceil(config.batch_size);
    let optimizer = Optimizer::new(&vs, config.optimizer, config.learning_rate);
    let mut training = Training::start(Network::Vae, input, &vs, optimizer)?;
    for epoch in training.next_epoch()..=config.epochs {
        let start = Instant::now();
        let mut order: Vec<i64> = (0..n as i64).collect();
        rng.shuffle(Stream::VaeOrder, epoch as u64, &mut order);
        let noise = noise(epoch, n); // [N, Z]
        let mut sums = Sums::default();
        for (i, batch) in order.chunks(config.batch_size).enumerate() {
            interrupt::check()?;
            let rows = indices(batch, input.device);
            let rate = cosine(config.learning_rate, (epoch - 1) * updates + i, config.epochs * updates);
            training.optimizer.set_learning_rate(rate);
            let [x, noise] = [&x, &noise].map(|all| all.index_select(0, &rows));
            let loss = update(&vae, &mut training.optimizer, config, &x, &noise);
            sums.add(batch.len(), [&loss.total, &loss.reconstruction, &loss.kl]);
        }
        let train = sums.means();
        let figures = tch::no_grad(|| evaluate(&vae, config, &x_val, &noise_val));
        let seconds = start.elapsed().as_secs_f64();
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
            seconds,
            items_per_s: n as f64 / seconds,
        })?;
    }

    // ---- the best epoch's weights, and where they come from
    let (best_epoch, _, weights) = training.best()?;
    // The figures that its epoch had, to the bit.
    let figures = VaeFigures { best_epoch, ..tch::no_grad(|| evaluate(&vae, config, &x_val, &noise_val)) };
    let mut checkpoint = provenance("vae", input, &split);
    checkpoint.tensors = weights;
    checkpoint.insert(names::NORMALIZER_MEAN, &[alive.len()], normalizer.mean.to_vec());
    checkpoint.insert(names::NORMALIZER_INV_STD, &[alive.len()], normalizer.inv_std.to_vec());
    checkpoint.set_meta(metadata::DIM_OBS, alive.len());
    checkpoint.set_meta(metadata::DIM_LATENT, config.latent);
    for (key, size) in metadata::DIM_ENCODER.iter().zip(config.hidden) {
        checkpoint.set_meta(key, size);
    }
    checkpoint.set_meta(metadata::OBS_CLIP, clip);
    checkpoint.set_meta(meta::LOG_VAR_MIN, config.log_var_range[0]);
    checkpoint.set_meta(meta::LOG_VAR_MAX, config.log_var_range[1]);
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

/// One update of V's weights: the loss of whitened observations `x` `[B, O]` with standard normal `noise` `[B, Z]`, its gradient, and
/// the optimiser's step. Returns the loss before the step.
pub fn update(vae: &Vae, optimizer: &mut Optimizer, config: &VaeConfig, x: &Tensor, noise: &Tensor) -> VaeLoss {
    let loss = loss(vae, config, x, noise);
    optimizer.backward_step(&loss.total, None);
    loss
}

fn loss(vae: &Vae, config: &VaeConfig, x: &Tensor, noise: &Tensor) -> VaeLoss {
    vae.loss(x, noise, config.kl_weight, config.kl_tolerance)
}

/// Figures of `x` `[V, O]`.
fn evaluate(vae: &Vae, config: &VaeConfig, x: &Tensor, noise: &Tensor) -> VaeFigures {
    let mut sums = Sums::default();
    let (mut error, mut total) = (0.0, 0.0);
    let mut means = Vec::new();
    for (x, noise) in x.split(EVAL_BATCH, 0).iter().zip(noise.split(EVAL_BATCH, 0)) {
        let loss = loss(vae, config, x, &noise);
        sums.add(x.size()[0] as usize, [&loss.total, &loss.reconstruction, &loss.kl]);
        let (mean, _) = vae.encode(x);
        error += (vae.decode(&mean) - x).square().sum(tch::Kind::Double).double_value(&[]);
        total += x.square().sum(tch::Kind::Double).double_value(&[]);
        means.push(mean);
    }
    let [loss, reconstruction, kl] = sums.means();
    let spread = Tensor::cat(&means, 0).std_dim(0, false, false); // [Z]
    let active_latents = spread.gt(0.1).sum(tch::Kind::Int64).int64_value(&[]) as usize;
    VaeFigures { loss, reconstruction, kl, nmse: error / total, active_latents, best_epoch: 0 }
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
        let rows = |name: &str| file.tensors.get(name).and_then(|t| t.shape.first().copied()).unwrap_or(0);
        let shape = VaeShape {
            obs: rows(names::NORMALIZER_MEAN),
            hidden: [rows(names::ENCODER_BIAS[0]), rows(names::ENCODER_BIAS[1])],
            latent: rows(names::ENCODER_BIAS[2]) / 2,
            log_var_range: [file.meta(meta::LOG_VAR_MIN)?, file.meta(meta::LOG_VAR_MAX)?],
        };
        let mean = file.tensor(names::NORMALIZER_MEAN, &[shape.obs])?.to_vec();
        let inv_std = file.tensor(names::NORMALIZER_INV_STD, &[shape.obs])?.to_vec();
        let normalizer = Normalizer { mean: mean.into(), inv_std: inv_std.into() };
        let vs = nn::VarStore::new(device);
        let vae = Vae::new(&vs.root(), shape.clone(), &normalizer.alive(), Philox::new(0));
        nets::import(&vs, &file)?;
        Ok(Self { normalizer, vae, shape, obs_clip: file.meta(metadata::OBS_CLIP)? })
    }

    /// Mean and log-variance of every observation of `episodes`, one below the other, `[Σ(T+1), Z]` each.
    pub fn encode(&self, episodes: &[&crate::rollouts::Episode], device: Device) -> (Tensor, Tensor) {
        // A few episodes at a time: the whitened observations of all would be the largest thing in memory.
        let encoded: Vec<(Tensor, Tensor)> = tch::no_grad(|| {
            episodes
                .chunks(64)
                .map(|some| self.vae.encode(&whiten(some.iter().copied(), &self.normalizer, self.obs_clip, device)))
                .collect()
        });
        let (means, log_vars): (Vec<_>, Vec<_>) = encoded.into_iter().unzip();
        (Tensor::cat(&means, 0), Tensor::cat(&log_vars, 0))
    }
}
