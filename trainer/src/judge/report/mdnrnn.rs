//! M's figures: one step ahead on held-out episodes, from the zero state that each begins with, beside models that need no network.
//!
//! Errors are of V's mean latents, as acting sees them, and of the observations decoded from them. Likelihoods and intervals are of the
//! latents that M was trained on: samples of V's posterior, or its mean. The linear models are fitted to the same training episodes and
//! the same kind of latents.

use super::calibration::{Coverage, LEVELS, Terminal, level, share_below};
use super::errors::{Block, SquaredErrors, host, single};

use super::open_loop::{self, OpenLoop};
use super::recorded::Chunk;
use crate::env::EnvSpec;
use crate::stats::{Moments, Ridge, Spread};
use crate::world::nets::to_vec;
use crate::world::trained::{TrainedMdnRnn, TrainedVae};
use anyhow::Result;
use ndarray::{Array1, Array2, Axis, concatenate, s};
use serde::Serialize;
use tch::{Kind, Tensor};

/// Ridge's λ, as in training: next to nothing against thousands of rows, enough to keep what is unused from making it singular.
const LAMBDA: f64 = 1e-3;

/// M's figures on held-out episodes.
#[derive(Clone, Debug, Serialize)]
pub struct MdnrnnFigures {
    /// Steps measured.
    pub steps: usize,
    /// `sampled` or `mean`: the latents that M was trained on, and that likelihoods and intervals are of.
    pub latents: &'static str,
    /// One-step errors over the variance, in latents.
    pub latent: Errors,
    /// The same in whitened observations, all parts together.
    pub observation: ObservationErrors,
    /// The same part by part.
    pub blocks: Vec<BlockErrors>,
    /// Negative log-likelihood, nats per latent dimension.
    pub nll_per_dim: f64,
    /// The same of independent normals around ridge's prediction.
    pub gaussian_nll_per_dim: f64,
    /// The same of one normal with the residuals' whole covariance; none where that is singular.
    pub joint_gaussian_nll_per_dim: Option<f64>,
    /// Central intervals.
    pub coverage: Vec<CoverageRow>,
    /// What the task pays in every step but one that ends it, and that is left out of `reward_r2`.
    pub healthy_bonus: f64,
    /// Share of the variance of the rest of the reward that M explains; none where that rest is constant.
    pub reward_r2: Option<f64>,
    /// The same of ridge, fitted to the rest.
    pub ridge_reward_r2: Option<f64>,
    /// The same of the whole reward, M and ridge.
    pub whole_reward_r2: [Option<f64>; 2],
    /// The terminal head.
    pub terminal: Terminal,
    /// Fed its own predictions.
    pub open_loop: OpenLoop,
}

/// Squared errors over the variance.
#[derive(Clone, Debug, Serialize)]
pub struct Errors {
    /// The mean of M's mixture.
    pub mdnrnn: f64,
    /// Ridge on `[z, a]`.
    pub ridge: f64,
    /// Nothing changes.
    pub persistence: f64,
    /// A constant velocity, where there was a step before.
    pub velocity: f64,
}

/// The same decoded, between what V alone loses and what a linear model does without V. None where nothing varies.
#[derive(Clone, Debug, Serialize)]
pub struct ObservationErrors {
    /// V's reconstruction of the next observation itself: what no prediction in latents can beat by much.
    pub reconstruction: Option<f64>,
    /// M's.
    pub mdnrnn: Option<f64>,
    /// Ridge's on `[z, a]`.
    pub ridge: Option<f64>,
    /// Nothing changes.
    pub persistence: Option<f64>,
    /// A constant velocity.
    pub velocity: Option<f64>,
    /// Ridge on the whole observation and the action, without latents.
    pub direct_ridge: Option<f64>,
}

/// Of one part of the observation.
#[derive(Clone, Debug, Serialize)]
pub struct BlockErrors {
    /// Which.
    #[serde(flatten)]
    pub block: Block,
    /// Its errors.
    #[serde(flatten)]
    pub errors: ObservationErrors,
}

/// How often the truth lies in the central interval that should hold `level` of it.
#[derive(Clone, Debug, Serialize)]
pub struct CoverageRow {
    /// Nominal.
    pub level: f64,
    /// Found, of the marginals of M's mixture.
    pub mdnrnn: f64,
    /// Found, of the linear model's normals.
    pub gaussian: f64,
}

/// What the linear models need of the training episodes.
pub struct Fit {
    latents: Moments,         // [z, a, z', rest of the reward, reward]
    sampled: Option<Moments>, // [z, a, z'] of samples
    direct: Option<Moments>,  // [x, a, x'], of vectors
    after: Spread,            // [x'] of frames, of which there are too many numbers for it
    healthy_bonus: f64,
}

impl Fit {
    /// Of no episodes yet, whose observations are vectors or `frames`.
    #[must_use]
    pub fn new(m: &TrainedMdnRnn, spec: &EnvSpec, frames: bool) -> Self {
        let (z, a, o) = (m.latent, spec.actions.unit_len(), spec.obs);
        Self {
            latents: Moments::new(2 * z + a + 2),
            sampled: m.on_samples.then(|| Moments::new(2 * z + a)),
            direct: (!frames).then(|| Moments::new(2 * o + a)),
            after: Spread::new(if frames { o } else { 0 }),
            healthy_bonus: spec.healthy_bonus,
        }
    }

    /// Adds training episodes; `name` names the draws of the samples.
    ///
    /// # Errors
    /// libtorch cannot hand a result over.
    pub fn add(&mut self, chunk: &Chunk, seed: u64, name: u64) -> Result<()> {
        let action = chunk.at_steps(&chunk.action);
        let regression = |table: &Tensor| {
            host(&Tensor::cat(&[chunk.at_steps(table), action.shallow_clone(), chunk.after_steps(table)], 1))
        };
        let rewards = rewards(chunk, self.healthy_bonus);
        self.latents.add(concatenate![Axis(1), regression(&chunk.mean)?, rewards].view());
        if let Some(moments) = &mut self.sampled {
            moments.add(regression(&chunk.sampled(seed, name))?.view());
        }
        match &mut self.direct {
            Some(moments) => moments.add(regression(&chunk.x)?.view()),
            None => self.after.add(host(&chunk.after_steps(&chunk.x))?.view()),
        }
        Ok(())
    }
}

/// `[N, 2]` the rest of the reward without the healthy bonus, and the whole.
fn rewards(chunk: &Chunk, healthy_bonus: f64) -> Array2<f32> {
    let rest = |reward: f32, end: bool| if end { reward } else { (f64::from(reward) - healthy_bonus) as f32 };
    let rows: Vec<[f32; 2]> = chunk.rewards().into_iter().zip(chunk.terminals()).map(|(r, end)| [rest(r, end), r]).collect();
    Array2::from(rows)
}

/// Share of the variance explained, chunk by chunk.
struct Explained {
    error: f64,
    spread: Spread,
}

impl Explained {
    fn new() -> Self {
        Self { error: 0.0, spread: Spread::new(1) }
    }

    fn add(&mut self, truth: &[f32], prediction: impl Iterator<Item = f64>) {
        self.error += truth.iter().zip(prediction).map(|(&t, p)| (f64::from(t) - p).powi(2)).sum::<f64>();
        self.spread.add(Array1::from(truth.to_vec()).insert_axis(Axis(1)).view());
    }

    /// None where the truth is constant but for rounding.
    fn r2(&self) -> Option<f64> {
        let variance = self.spread.variance()[0];
        (variance > 1e-10).then(|| 1.0 - self.error / (variance * self.spread.count() as f64))
    }
}

/// A measurement under way.
pub struct Measure {
    next: Ridge,
    reward: Ridge,
    direct: Option<Ridge>,
    likelihood: Ridge,
    healthy_bonus: f64,
    seed: u64,
    latent: [SquaredErrors; 4],
    observation: [SquaredErrors; 6],
    steps: usize,
    nll: f64,
    gaussian_nll: f64,
    joint_nll: Option<f64>,
    coverage: [Coverage; 2],
    explained: [Explained; 4],
    probabilities: Vec<f32>,
    ends: Vec<bool>,
    open_loop: open_loop::Measure,
}

impl Measure {
    /// Against the linear models that `fit` comes to. There are `steps` held-out steps.
    ///
    /// # Errors
    /// A linear model cannot be fitted.
    pub fn new(m: &TrainedMdnRnn, spec: &EnvSpec, fit: &Fit, seed: u64, steps: usize) -> Result<Self> {
        let (z, a, o) = (m.latent, spec.actions.unit_len(), spec.obs);
        let inputs = z + a;
        let columns = |range: std::ops::Range<usize>| (0..inputs).chain(range).collect::<Vec<_>>();
        let next = Ridge::from_moments(&fit.latents.select(&columns(inputs..inputs + z)), inputs, LAMBDA)?;
        let reward = Ridge::from_moments(&fit.latents.select(&columns(inputs + z..inputs + z + 2)), inputs, LAMBDA)?;
        let direct = fit.direct.as_ref().map(|moments| Ridge::from_moments(moments, o + a, LAMBDA)).transpose()?;
        let likelihood = fit.sampled.as_ref().map_or(Ok(next.clone()), |m| Ridge::from_moments(m, inputs, LAMBDA))?;
        let centre = fit.latents.mean().slice(s![inputs..inputs + z]).to_vec();
        let centre_x = match &fit.direct {
            Some(moments) => moments.mean().slice(s![o + a..]).to_vec(),
            None => fit.after.mean().to_vec(),
        };
        Ok(Self {
            open_loop: open_loop::Measure::new(&next, &centre, seed, steps),
            next,
            reward,
            direct,
            likelihood,
            healthy_bonus: spec.healthy_bonus,
            seed,
            latent: std::array::from_fn(|_| SquaredErrors::new(&centre)),
            observation: std::array::from_fn(|_| SquaredErrors::new(&centre_x)),
            steps: 0,
            nll: 0.0,
            gaussian_nll: 0.0,
            joint_nll: Some(0.0),
            coverage: Default::default(),
            explained: std::array::from_fn(|_| Explained::new()),
            probabilities: Vec::new(),
            ends: Vec::new(),
        })
    }

    /// Adds held-out episodes; `name` names the draws of the samples.
    ///
    /// # Errors
    /// [`crate::run::interrupt::Interrupted`]; or libtorch cannot hand a result over.
    pub fn add(&mut self, vae: &TrainedVae, m: &TrainedMdnRnn, chunk: &Chunk, name: u64) -> Result<()> {
        let lengths = chunk.lengths();
        let action = chunk.at_steps(&chunk.action);

        // ---- one step ahead, on V's mean
        let (z, next) = (chunk.at_steps(&chunk.mean), chunk.after_steps(&chunk.mean));
        let (x, next_x) = (chunk.at_steps(&chunk.x), chunk.after_steps(&chunk.x));
        let prediction = m.predict(&chunk.mean, &chunk.action, &lengths);
        let inputs = host(&Tensor::cat(&[&z, &action], 1))?;
        let (expected, ridge) = (prediction.expected_next(), single(&self.next.predict(inputs.view())));
        let decode = |z: &Tensor| tch::no_grad(|| vae.vae.decode(z));
        for (errors, prediction) in self.latent.iter_mut().zip([&expected, &ridge, &z]) {
            errors.add(&next, prediction)?;
        }
        for (errors, prediction) in self.observation.iter_mut().zip([&next, &expected, &ridge, &z]) {
            errors.add(&next_x, &decode(prediction))?;
        }
        if let Some(direct) = &self.direct {
            let direct = direct.predict(host(&Tensor::cat(&[&x, &action], 1))?.view());
            self.observation[5].add(&next_x, &single(&direct))?;
        }
        // A velocity needs a step before: those whose row follows another step's.
        let later = later_steps(&lengths);
        let of_later = |table: &Tensor| table.index_select(0, &later);
        let before = chunk.mean.index_select(0, &(of_later(&chunk.steps) - 1));
        let velocity = of_later(&z) * 2.0 - before;
        self.latent[3].add(&of_later(&next), &velocity)?;
        self.observation[4].add(&of_later(&next_x), &decode(&velocity))?;

        // ---- reward and end
        let rewards = rewards(chunk, self.healthy_bonus);
        let probabilities = to_vec(&prediction.terminal_logit.sigmoid())?;
        let whole: Vec<f64> = to_vec(&prediction.reward)?.iter().map(|&r| f64::from(r) + m.reward_offset).collect();
        let bonus = probabilities.iter().map(|&p| self.healthy_bonus * (1.0 - f64::from(p)));
        let rest: Vec<f64> = whole.iter().zip(bonus).map(|(whole, bonus)| whole - bonus).collect();
        let linear = self.reward.predict(inputs.view()); // [N, 2]
        let predictions = [rest, linear.column(0).to_vec(), whole, linear.column(1).to_vec()];
        for (i, (explained, prediction)) in self.explained.iter_mut().zip(predictions).enumerate() {
            explained.add(&rewards.column(i / 2).to_vec(), prediction.into_iter());
        }
        self.probabilities.extend(probabilities);
        self.ends.extend(chunk.terminals());

        // ---- likelihood and intervals, on the latents that M was trained on
        let table = if m.on_samples { chunk.sampled(self.seed, name) } else { chunk.mean.shallow_clone() };
        let prediction = if m.on_samples { m.predict(&table, &chunk.action, &lengths) } else { prediction };
        let next = chunk.after_steps(&table);
        let (n, dims) = (next.size()[0] as usize, m.latent as f64);
        self.nll += prediction.nll(&next).sum(Kind::Double).double_value(&[]) / dims;
        self.coverage[0].add(&share_below(&prediction, &next))?;
        let inputs = host(&Tensor::cat(&[&chunk.at_steps(&table), &action], 1))?;
        let target = host(&next)?;
        self.gaussian_nll += self.likelihood.nll(inputs.view(), target.view()) * n as f64 / dims;
        let joint = self.likelihood.joint_nll(inputs.view(), target.view());
        self.joint_nll = self.joint_nll.zip(joint.ok()).map(|(sum, nll)| sum + nll * n as f64 / dims);
        let residual = target.mapv(f64::from) - self.likelihood.predict(inputs.view());
        let scaled = residual / self.likelihood.residual_variance.mapv(f64::sqrt);
        self.coverage[1].add(&single(&scaled).to_kind(Kind::Double).special_ndtr())?;
        self.steps += n;

        // ---- fed its own predictions
        self.open_loop.add(m, chunk)
    }

    /// What it comes to, for the parts `blocks`.
    #[must_use]
    pub fn finish(self, m: &TrainedMdnRnn, blocks: &[Block]) -> MdnrnnFigures {
        let [mdnrnn, ridge, persistence, velocity] = self.latent.map(|errors| errors.overall().unwrap_or(f64::NAN));
        let observation = |columns: std::ops::Range<usize>| {
            let [reconstruction, mdnrnn, ridge, persistence, velocity, direct_ridge] =
                self.observation.each_ref().map(|errors| errors.share(columns.clone()));
            ObservationErrors { reconstruction, mdnrnn, ridge, persistence, velocity, direct_ridge }
        };
        let [covered, covered_gaussian] = self.coverage.map(|coverage| coverage.shares());
        let coverage = (0..LEVELS)
            .map(|i| CoverageRow { level: level(i), mdnrnn: covered[i], gaussian: covered_gaussian[i] })
            .collect();
        let [rest, ridge_rest, whole, ridge_whole] = self.explained.map(|explained| explained.r2());
        let per_step = |sum: f64| sum / self.steps as f64;
        MdnrnnFigures {
            steps: self.steps,
            latents: if m.on_samples { "sampled" } else { "mean" },
            latent: Errors { mdnrnn, ridge, persistence, velocity },
            observation: observation(0..blocks.last().map_or(0, |block| block.columns().end)),
            blocks: blocks
                .iter()
                .map(|block| BlockErrors { block: block.clone(), errors: observation(block.columns()) })
                .collect(),
            nll_per_dim: per_step(self.nll),
            gaussian_nll_per_dim: per_step(self.gaussian_nll),
            joint_gaussian_nll_per_dim: self.joint_nll.map(per_step),
            coverage,
            healthy_bonus: self.healthy_bonus,
            reward_r2: rest,
            ridge_reward_r2: ridge_rest,
            whole_reward_r2: [whole, ridge_whole],
            terminal: Terminal::of(&self.probabilities, &self.ends),
            open_loop: self.open_loop.finish(),
        }
    }
}

/// Which steps of episodes of these `lengths` are not their first.
fn later_steps(lengths: &[usize]) -> Tensor {
    let firsts = lengths.iter().flat_map(|&length| (0..length).map(|t| t == 0));
    let later: Vec<i64> = firsts.zip(0..).filter(|(first, _)| !first).map(|(_, step)| step).collect();
    Tensor::from_slice(&later)
}
