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

use crate::checkpoint::meta;
use crate::config::MdnrnnConfig;
use crate::interrupt;
use crate::nets::mdnrnn::{LstmState, MdnRnn, MdnRnnShape, Prediction};
use crate::nets::optim::Optimizer;
use crate::nets::{indices, matrix, normals, to_vec};
use crate::resume::{Network, Training};
use crate::rollouts::Episode;
use crate::run_dir::digest;
use crate::stage::{EpochRecord, Split, StageInput, check_episodes, cosine, provenance};
use crate::stats::{Ridge, auroc, normalised_mse};
use crate::train_vae::TrainedVae;
use anyhow::{Context, Result, ensure};
use dreamstep_core::names::metadata;
use dreamstep_core::rng::{Philox, Stream};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;
use tch::{Device, Kind, Reduction, Tensor, nn};

/// Windows evaluated at a time where no gradient is kept.
const EVAL_WINDOWS: usize = 256;

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

/// Trains M and writes the run's `mdnrnn.safetensors`; goes on from the state of a training that was killed ([`crate::resume`]). The run
/// holds V already.
///
/// # Errors
/// V is missing or does not fit, the data is unusable, a state is damaged or of another training, the loss stops being finite, or a file
/// cannot be written. [`interrupt::Interrupted`], where somebody asked to stop.
pub fn train_mdnrnn(input: &StageInput) -> Result<MdnrnnFigures> {
    let config = &input.config.mdnrnn;
    let rng = Philox::new(input.config.seed);
    tch::set_num_threads(input.config.torch_threads as i32);

    // ---- data: latents, normalised actions, rewards and terminals of every step, in one table each
    check_episodes(input.episodes, input.action_mid.len())?;
    let vae = TrainedVae::read(&input.run.vae(), input.device)?;
    let obs = input.episodes[0].observations.ncols();
    ensure!(
        vae.shape.obs == obs,
        "{}: expected observations of size {obs}, found {}",
        input.run.vae().display(),
        vae.shape.obs
    );
    let split = Split::new(input.config.seed, input.episodes.len(), input.config.vae.validation)?;
    let pick = |ids: &[usize]| ids.iter().map(|&i| &input.episodes[i]).collect::<Vec<_>>();
    let train = Table::new(&pick(&split.train), &vae, input, config.sequence_length);
    let validation = Table::new(&pick(&split.validation), &vae, input, config.sequence_length);
    let objective = Objective::new(config, train.reward_statistics());
    let reward_offset = objective.reward_offset;

    // ---- network
    let vs = nn::VarStore::new(input.device);
    let shape = MdnRnnShape {
        action: input.action_mid.len(),
        latent: vae.shape.latent,
        hidden: config.hidden,
        mixtures: config.mixtures,
        log_sigma_min: config.log_sigma_min,
    };
    let model = MdnRnn::new(&vs.root(), shape, rng);
    let noise = |epoch: usize, table: &Table| {
        let rows = table.mean.size()[0] as usize;
        let latent = vae.shape.latent;
        // Held-out noise is drawn as epoch 0's: the same after every epoch, so that validation losses compare.
        config
            .sample_latents
            .then(|| matrix(&normals(rng, Stream::LatentNoise, epoch as u64, rows * latent), latent, input.device))
    };
    let z_val = validation.latents(noise(0, &validation)); // [R, Z]

    // ---- epochs
    let steps: usize = train.windows.iter().map(|w| w.len).sum();
    let updates = train.windows.len().div_ceil(config.batch_size);
    let optimizer = Optimizer::new(&vs, config.optimizer, config.learning_rate);
    let mut training = Training::start(Network::Mdnrnn, input, &vs, optimizer)?;
    for epoch in training.next_epoch()..=config.epochs {
        let start = Instant::now();
        let z = train.latents(noise(epoch, &train)); // [R, Z], drawn anew each epoch
        let states = tch::no_grad(|| train.stored_states(&model, &z));
        let mut order: Vec<usize> = (0..train.windows.len()).collect();
        rng.shuffle(Stream::MdnrnnOrder, epoch as u64, &mut order);
        let mut sums = Sums::default();
        for (i, windows) in order.chunks(config.batch_size).enumerate() {
            interrupt::check()?;
            let batch = train.batch(windows, &z, &states);
            let rate = cosine(config.learning_rate, (epoch - 1) * updates + i, config.epochs * updates);
            training.optimizer.set_learning_rate(rate);
            let loss = objective.update(&model, &mut training.optimizer, &batch);
            sums.add(&batch, &loss);
        }
        let train_loss = sums.means();
        let mut sums = Sums::default();
        tch::no_grad(|| validation.evaluate(&model, &z_val, |p, batch| sums.add(batch, &objective.loss(p, batch))));
        let seconds = start.elapsed().as_secs_f64();
        training.finish_epoch(EpochRecord {
            stage: Network::Mdnrnn.name(),
            epoch,
            epochs: config.epochs,
            train: train_loss,
            validation: sums.means(),
            best: false,
            seconds,
            items_per_s: steps as f64 / seconds,
        })?;
    }

    // ---- the best epoch's weights, measured against the linear model
    let (best_epoch, loss, weights) = training.best()?;
    let baseline = Baseline::fit(&train, &validation)?;
    let mut figures = baseline.compare(&model, &validation, reward_offset)?;
    (figures.loss, figures.best_epoch) = (loss, best_epoch);
    let z_train = train.latents(noise(1, &train));
    let mut nll = (0.0, 0);
    tch::no_grad(|| {
        validation.evaluate(&model, &z_val, |p, batch| {
            nll.0 += p.nll(&batch.next).sum(Kind::Double).double_value(&[]);
            nll.1 += batch.rows.len();
        });
    });
    let dims = vae.shape.latent as f64;
    figures.nll_per_dim = nll.0 / nll.1 as f64 / dims;
    figures.ridge_nll_per_dim = {
        let (x, y) = train.regression(&z_train)?;
        let (x_val, y_val) = validation.regression(&z_val)?;
        Ridge::fit(x.view(), y.view(), RIDGE_LAMBDA)?.nll(x_val.view(), y_val.view()) / dims
    };

    let mut checkpoint = provenance("mdnrnn", input, &split);
    checkpoint.set_meta(&format!("{}vae", meta::UPSTREAM), digest(&input.run.vae())?);
    checkpoint.tensors = weights;
    let dims = [
        (metadata::DIM_ACTION, input.action_mid.len()),
        (metadata::DIM_LATENT, vae.shape.latent),
        (metadata::DIM_HIDDEN, config.hidden),
        (metadata::DIM_MIXTURES, config.mixtures),
    ];
    for (key, size) in dims {
        checkpoint.set_meta(key, size);
    }
    checkpoint.set_meta(metadata::GMM_MIXTURE, "joint");
    checkpoint.set_meta(metadata::GMM_TARGET, "z");
    checkpoint.set_meta(metadata::GMM_LOG_SIGMA_MIN, config.log_sigma_min as f32);
    checkpoint.set_meta(metadata::REWARD_OFFSET, reward_offset as f32);
    checkpoint.set_meta(metadata::RNN_INPUT, "action,z");
    checkpoint.set_meta(metadata::GMM_SIGMA, "exp");
    checkpoint.set_meta(meta::GATES, "i,f,g,o");
    checkpoint.set_meta(meta::LATENTS, if config.sample_latents { "sampled" } else { "mean" });
    let list = |v: &[f32]| v.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    checkpoint.set_meta(meta::ACTION_MID, list(input.action_mid));
    checkpoint.set_meta(meta::ACTION_HALF, list(input.action_half));
    if let serde_json::Value::Object(values) = serde_json::to_value(figures)? {
        for (key, value) in values {
            checkpoint.set_meta(&format!("{}{key}", meta::VALIDATION), value);
        }
    }
    checkpoint.write(&input.run.mdnrnn())?;
    training.finish()?;
    Ok(figures)
}

/// A run of steps of one episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    /// Its first step's row in the table.
    row: usize,
    /// Steps, at least 1.
    len: usize,
    /// How many windows of the same episode come before it.
    number: usize,
}

/// All steps of some episodes. Row `r` is an observation; `r + 1` is where its step led. The row of an episode's last observation
/// starts no step, so no window holds it.
struct Table {
    /// `[R, Z]` and `[R, Z]`: V's mean and standard deviation.
    mean: Tensor,
    std: Tensor,
    /// `[R, A]` in [-1, 1].
    action: Tensor,
    /// `[R]`
    reward: Tensor,
    /// `[R]` 0 or 1.
    terminal: Tensor,
    /// In the order of the rows.
    windows: Vec<Window>,
    device: Device,
}

/// Windows side by side, packed: all first steps, then all second steps of those that have one, and so on.
pub struct Batch {
    /// Row of each of the `N` steps.
    pub rows: Vec<i64>,
    /// How many windows have a first step, a second, … On the host, where libtorch wants it.
    pub sizes: Tensor,
    /// Which window is where: longest first.
    pub order: Vec<usize>,
    /// `[N, Z]`
    pub z: Tensor,
    /// `[N, A]` in [-1, 1].
    pub action: Tensor,
    /// `[N, Z]`: where each step led.
    pub next: Tensor,
    /// `[N]`
    pub reward: Tensor,
    /// `[N]` 0 or 1.
    pub terminal: Tensor,
    /// `[B, H]`: what each window starts with.
    pub state: LstmState,
}

impl Table {
    fn new(episodes: &[&Episode], vae: &TrainedVae, input: &StageInput, sequence_length: usize) -> Self {
        let (mean, log_var) = vae.encode(episodes, input.device);
        let (mut action, mut reward, mut terminal) = (Vec::new(), Vec::new(), Vec::new());
        for e in episodes {
            for row in e.actions.rows() {
                let range = input.action_mid.iter().zip(input.action_half);
                action.extend(row.iter().zip(range).map(|(a, (mid, half))| (a - mid) / half));
            }
            reward.extend(e.rewards.iter());
            terminal.extend(e.terminals.iter().map(|&t| f32::from(u8::from(t))));
            // The last observation's row, which starts no step.
            action.extend(input.action_mid.iter().map(|_| 0.0));
            reward.push(0.0);
            terminal.push(0.0);
        }
        let lengths = episodes.iter().map(|e| e.rewards.len());
        let device = input.device;
        Self {
            mean,
            std: (log_var * 0.5).exp(),
            action: matrix(&action, input.action_mid.len(), device),
            reward: Tensor::from_slice(&reward).to_device(device),
            terminal: Tensor::from_slice(&terminal).to_device(device),
            windows: windows(lengths, sequence_length),
            device,
        }
    }

    /// V's latents `[R, Z]`: sampled with `noise`, as Ha & Schmidhuber trained M, or the mean.
    fn latents(&self, noise: Option<Tensor>) -> Tensor {
        noise.map_or_else(|| self.mean.shallow_clone(), |noise| &self.mean + &self.std * noise)
    }

    /// Rows that start a step, ascending.
    fn step_rows(&self) -> Vec<i64> {
        self.windows.iter().flat_map(|w| w.row..w.row + w.len).map(|r| r as i64).collect()
    }

    /// Mean of the reward, and its variance (1 where it is constant).
    fn reward_statistics(&self) -> (f64, f64) {
        let reward = self.reward.index_select(0, &indices(&self.step_rows(), self.device)).to_kind(Kind::Double);
        let (mean, variance) = (reward.mean(Kind::Double), reward.var(false));
        let [mean, variance] = [mean, variance].map(|t| t.double_value(&[]));
        // As f32, because that is what the file says.
        (f64::from(mean as f32), if variance > 1e-12 { variance } else { 1.0 })
    }

    /// The states `[W, H]` that all windows start with: 0, or what `model` reaches at the end of the window before.
    fn stored_states(&self, model: &MdnRnn, z: &Tensor) -> LstmState {
        let mut states = model.zero_state(self.windows.len());
        let last = self.windows.iter().map(|w| w.number).max().unwrap_or(0);
        for number in 0..last {
            let followed: Vec<usize> = (0..self.windows.len() - 1)
                .filter(|&w| self.windows[w].number == number && self.windows[w + 1].number == number + 1)
                .collect();
            for some in followed.chunks(EVAL_WINDOWS) {
                let batch = self.batch(some, z, &states);
                let (_, end) = model.sequences(&batch.z, &batch.action, &batch.sizes, &batch.state);
                let next: Vec<i64> = batch.order.iter().map(|&w| w as i64 + 1).collect();
                let next = indices(&next, self.device);
                let _ = states.h.index_copy_(0, &next, &end.h);
                let _ = states.c.index_copy_(0, &next, &end.c);
            }
        }
        states
    }

    fn batch(&self, windows: &[usize], z: &Tensor, states: &LstmState) -> Batch {
        let (order, rows, sizes) = pack(&self.windows, windows);
        let at = indices(&rows, self.device);
        let window = indices(&order.iter().map(|&w| w as i64).collect::<Vec<_>>(), self.device);
        Batch {
            z: z.index_select(0, &at),
            next: z.index_select(0, &(&at + 1)),
            action: self.action.index_select(0, &at),
            reward: self.reward.index_select(0, &at),
            terminal: self.terminal.index_select(0, &at),
            state: LstmState { h: states.h.index_select(0, &window), c: states.c.index_select(0, &window) },
            sizes: Tensor::from_slice(&sizes),
            rows,
            order,
        }
    }

    /// Hands `model`'s prediction of every step to `each`, batch by batch.
    fn evaluate(&self, model: &MdnRnn, z: &Tensor, mut each: impl FnMut(&Prediction, &Batch)) {
        let states = self.stored_states(model, z);
        let all: Vec<usize> = (0..self.windows.len()).collect();
        for some in all.chunks(EVAL_WINDOWS) {
            let batch = self.batch(some, z, &states);
            let (hidden, _) = model.sequences(&batch.z, &batch.action, &batch.sizes, &batch.state);
            each(&model.predict(&hidden), &batch);
        }
    }

    /// `(z, a)` `[N, Z+A]` and the next z `[N, Z]` of every step, in the order of the rows.
    fn regression(&self, z: &Tensor) -> Result<(Array2<f32>, Array2<f32>)> {
        let rows = indices(&self.step_rows(), self.device);
        let x = host(&Tensor::cat(&[z, &self.action], 1).index_select(0, &rows))?;
        Ok((x, host(&z.index_select(0, &(rows + 1)))?))
    }

    /// The rewards `[N, 1]` of every step, in the order of the rows.
    fn rewards(&self) -> Result<Array2<f32>> {
        host(&self.reward.index_select(0, &indices(&self.step_rows(), self.device)).unsqueeze(1))
    }
}

/// Cuts episodes of the given lengths, which lie one below the other with one row more than they have steps.
fn windows(lengths: impl Iterator<Item = usize>, sequence_length: usize) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut row = 0;
    for length in lengths {
        for (number, start) in (0..length).step_by(sequence_length).enumerate() {
            windows.push(Window { row: row + start, len: sequence_length.min(length - start), number });
        }
        row += length + 1;
    }
    windows
}

/// Lays `chosen` windows side by side: their order (longest first), the row of each step, how many windows reach each step.
fn pack(windows: &[Window], chosen: &[usize]) -> (Vec<usize>, Vec<i64>, Vec<i64>) {
    let mut order = chosen.to_vec();
    order.sort_by_key(|&w| std::cmp::Reverse(windows[w].len)); // stable: equal lengths keep their order
    let longest = order.first().map_or(0, |&w| windows[w].len);
    let (mut rows, mut sizes) = (Vec::new(), Vec::new());
    for t in 0..longest {
        let before = rows.len();
        rows.extend(order.iter().map(|&w| windows[w]).take_while(|w| w.len > t).map(|w| (w.row + t) as i64));
        sizes.push((rows.len() - before) as i64);
    }
    (order, rows, sizes)
}

/// A `[N, M]` tensor as an array.
fn host(tensor: &Tensor) -> Result<Array2<f32>> {
    let (n, m) = tensor.size2()?;
    Ok(Array2::from_shape_vec((n as usize, m as usize), to_vec(tensor)?)?)
}

/// The loss of one batch, each part a mean over steps.
pub struct Loss {
    /// `nll + reward_weight·reward + terminal_weight·terminal`.
    pub total: Tensor,
    /// Per latent dimension, nats.
    pub nll: Tensor,
    /// Squared error over the reward's variance.
    pub reward: Tensor,
    /// Cross entropy, nats. The rare class is not weighted, so the logit is calibrated as it is.
    pub terminal: Tensor,
}

/// What M is trained for, and how hard.
pub struct Objective {
    /// The mean reward, which M does not predict.
    pub reward_offset: f64,
    /// What the reward's squared error is divided by.
    pub reward_variance: f64,
    reward_weight: f64,
    terminal_weight: f64,
    grad_clip: f64,
}

impl Objective {
    /// As configured, for rewards of this mean and variance.
    #[must_use]
    pub fn new(config: &MdnrnnConfig, (reward_offset, reward_variance): (f64, f64)) -> Self {
        let &MdnrnnConfig { reward_weight, terminal_weight, grad_clip, .. } = config;
        Self { reward_offset, reward_variance, reward_weight, terminal_weight, grad_clip }
    }

    fn loss(&self, prediction: &Prediction, batch: &Batch) -> Loss {
        let dims = batch.next.size()[1] as f64;
        let nll = prediction.nll(&batch.next).mean(Kind::Float) / dims;
        let reward_error = (&prediction.reward - (&batch.reward - self.reward_offset)).square().mean(Kind::Float);
        let reward = reward_error / self.reward_variance;
        let terminal = prediction.terminal_logit.binary_cross_entropy_with_logits::<Tensor>(
            &batch.terminal,
            None,
            None,
            Reduction::Mean,
        );
        let total = &nll + &reward * self.reward_weight + &terminal * self.terminal_weight;
        Loss { total, nll, reward, terminal }
    }

    /// One update of `model`'s weights: the loss of `batch`, its gradient, cut to its greatest length, and the optimiser's step. Returns
    /// the loss before the step.
    pub fn update(&self, model: &MdnRnn, optimizer: &mut Optimizer, batch: &Batch) -> Loss {
        let (hidden, _) = model.sequences(&batch.z, &batch.action, &batch.sizes, &batch.state);
        let loss = self.loss(&model.predict(&hidden), batch);
        optimizer.backward_step(&loss.total, Some(self.grad_clip));
        loss
    }
}

/// Means over steps of the losses of batches of unequal sizes.
#[derive(Default)]
struct Sums {
    sums: [f64; 4],
    steps: usize,
}

impl Sums {
    fn add(&mut self, batch: &Batch, loss: &Loss) {
        for (sum, part) in self.sums.iter_mut().zip([&loss.total, &loss.nll, &loss.reward, &loss.terminal]) {
            *sum += part.double_value(&[]) * batch.rows.len() as f64;
        }
        self.steps += batch.rows.len();
    }

    fn means(&self) -> BTreeMap<&'static str, f64> {
        let names = ["loss", "nll_per_dim", "reward", "terminal"];
        names.into_iter().zip(self.sums.map(|s| s / self.steps as f64)).collect()
    }
}

/// The linear model on V's mean latents, and the held-out steps it is measured on.
struct Baseline {
    next: Ridge,
    reward: Ridge,
    centre: Array1<f64>,  // [Z] mean of the training targets
    x: Array2<f32>,       // [N, Z+A] held out
    y: Array2<f32>,       // [N, Z]
    rewards: Array2<f32>, // [N, 1]
}

impl Baseline {
    fn fit(train: &Table, validation: &Table) -> Result<Self> {
        let (x, y) = train.regression(&train.mean)?;
        let next = Ridge::fit(x.view(), y.view(), RIDGE_LAMBDA)?;
        let reward = Ridge::fit(x.view(), train.rewards()?.view(), RIDGE_LAMBDA)?;
        let centre = y.mapv(f64::from).mean_axis(Axis(0)).context("mdnrnn: expected training steps, found none")?;
        let (x, y) = validation.regression(&validation.mean)?;
        Ok(Self { next, reward, centre, x, y, rewards: validation.rewards()? })
    }

    /// Measures `model` and the baselines on the held-out steps.
    fn compare(&self, model: &MdnRnn, validation: &Table, reward_offset: f64) -> Result<MdnrnnFigures> {
        // Batches hold steps in packed order; these rows put them back.
        let (mut rows, mut next, mut reward, mut terminal) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        tch::no_grad(|| {
            validation.evaluate(model, &validation.mean, |p, batch| {
                rows.extend_from_slice(&batch.rows);
                next.push(p.expected_next());
                reward.push(&p.reward + reward_offset);
                terminal.push(p.terminal_logit.shallow_clone());
            });
        });
        let mut by_row: Vec<i64> = (0..rows.len() as i64).collect();
        by_row.sort_by_key(|&i| rows[i as usize]);
        let by_row = indices(&by_row, validation.device);
        let sorted = |parts: &[Tensor]| Tensor::cat(parts, 0).index_select(0, &by_row);
        let next = host(&sorted(&next))?.mapv(f64::from); // [N, Z]
        let reward = host(&sorted(&reward).unsqueeze(1))?.mapv(f64::from); // [N, 1]
        let logits = to_vec(&sorted(&terminal))?;
        let labels = validation.terminal.index_select(0, &indices(&validation.step_rows(), validation.device));
        let labels: Vec<bool> = to_vec(&labels)?.iter().map(|&t| t > 0.5).collect();

        let z = self.y.ncols();
        let nmse = |prediction: ArrayView2<f64>| normalised_mse(self.y.view(), prediction, self.centre.view());
        let mean_reward = self.rewards.mapv(f64::from).mean_axis(Axis(0)).context("mdnrnn: no held-out steps")?;
        let r2 = |prediction: ArrayView2<f64>| 1.0 - normalised_mse(self.rewards.view(), prediction, mean_reward.view());
        let nan = f64::NAN;
        Ok(MdnrnnFigures {
            loss: nan,
            nmse: nmse(next.view()),
            ridge_nmse: nmse(self.next.predict(self.x.view()).view()),
            persistence_nmse: nmse(self.x.slice(ndarray::s![.., ..z]).mapv(f64::from).view()),
            nll_per_dim: nan,
            ridge_nll_per_dim: nan,
            reward_r2: r2(reward.view()),
            ridge_reward_r2: r2(self.reward.predict(self.x.view()).view()),
            terminal_auroc: auroc(&logits, &labels).unwrap_or(nan),
            best_epoch: 0,
        })
    }
}

#[cfg(test)]
mod tests;
