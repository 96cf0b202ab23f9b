//! Is M better than a straight line? Ridge regression on the same latents and actions, "nothing changes", and a linear Gaussian, measured
//! beside M on held-out steps, a pool at a time.

use super::table::{Table, host};
use super::{MdnrnnFigures, RIDGE_LAMBDA};
use crate::stats::{Moments, Ridge, Spread, auroc};
use crate::world::mdnrnn::MdnRnn;
use crate::world::nets::{indices, to_vec};
use anyhow::Result;
use ndarray::{Array1, ArrayView2, Axis, s};
use tch::{Kind, Tensor};

/// Rewards whose variance is below this are constant: nothing of it can be explained.
const REWARD_VARIANCE_MIN: f64 = 1e-12;

/// What is known of training steps: `[z, a, z', reward]` on mean latents, `[z, a, z']` on those M was trained on.
pub(super) struct Fit {
    latent: usize,
    mean: Moments,
    trained: Moments,
}

impl Fit {
    /// Of no steps yet.
    pub(super) fn new(latent: usize, action: usize) -> Self {
        let columns = 2 * latent + action;
        Self { latent, mean: Moments::new(columns + 1), trained: Moments::new(columns) }
    }

    /// Adds a pool, whose latents as trained on are `z`.
    pub(super) fn add(&mut self, table: &Table, z: &Tensor) -> Result<()> {
        self.mean.add(table.steps(&table.mean)?.view());
        self.trained.add(table.steps(z)?.slice(s![.., ..-1]));
        Ok(())
    }

    /// The linear models.
    pub(super) fn baseline(&self) -> Result<Baseline> {
        let inputs = self.mean.mean().len() - self.latent - 1;
        let fit = |moments: &Moments| Ridge::from_moments(moments, inputs, RIDGE_LAMBDA);
        let centre = self.mean.mean().slice(s![inputs..inputs + self.latent]).to_owned();
        Ok(Baseline { mean: fit(&self.mean)?, trained: fit(&self.trained)?, inputs, latent: self.latent, centre })
    }
}

/// Linear models given `[z, a]`: of `[z', reward]`, and of `z'`.
pub(super) struct Baseline {
    mean: Ridge,
    trained: Ridge,
    inputs: usize,
    latent: usize,
    /// `[Z]` mean of the training targets.
    centre: Array1<f64>,
}

/// Sums over held-out steps.
pub(super) struct Comparison<'a> {
    baseline: &'a Baseline,
    model: &'a MdnRnn,
    reward_offset: f64,
    /// Squared errors of the next latent: the constant's, M's, ridge's, persistence's.
    next: [f64; 4],
    /// Squared errors of the reward: M's, ridge's.
    reward: [f64; 2],
    rewards: Spread,
    /// Negative log-likelihoods, nats: M's, the linear Gaussian's.
    nll: [f64; 2],
    logits: Vec<f32>,
    terminals: Vec<bool>,
}

impl<'a> Comparison<'a> {
    /// Over no steps yet.
    pub(super) fn new(baseline: &'a Baseline, model: &'a MdnRnn, reward_offset: f64) -> Self {
        Self {
            baseline,
            model,
            reward_offset,
            next: [0.0; 4],
            reward: [0.0; 2],
            rewards: Spread::new(1),
            nll: [0.0; 2],
            logits: Vec::new(),
            terminals: Vec::new(),
        }
    }

    /// Adds a pool, whose latents as trained on are `z`.
    pub(super) fn add(&mut self, table: &Table, z: &Tensor) -> Result<()> {
        let Baseline { mean, trained, inputs, latent, centre } = self.baseline;
        let (inputs, latent) = (*inputs, *latent);
        // Batches hold steps in packed order; these rows put them back.
        let (mut rows, mut next, mut reward, mut logits) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut nll = 0.0;
        tch::no_grad(|| {
            table.evaluate(self.model, &table.mean, |p, batch| {
                rows.extend_from_slice(&batch.rows);
                next.push(p.expected_next());
                reward.push(&p.reward + self.reward_offset);
                logits.push(p.terminal_logit.shallow_clone());
            });
            table.evaluate(self.model, z, |p, batch| nll += p.nll(&batch.next).sum(Kind::Double).double_value(&[]));
        });
        let mut by_row: Vec<i64> = (0..rows.len() as i64).collect();
        by_row.sort_by_key(|&i| rows[i as usize]);
        let by_row = indices(&by_row, table.device);
        let sorted = |parts: &[Tensor]| Tensor::cat(parts, 0).index_select(0, &by_row);
        let next = host(&sorted(&next))?.mapv(f64::from); // [N, Z]
        let reward = host(&sorted(&reward).unsqueeze(1))?.mapv(f64::from); // [N, 1]

        let steps = table.steps(&table.mean)?; // [N, Z+A+Z+1]
        let (x, y) = (steps.slice(s![.., ..inputs]), steps.slice(s![.., inputs..inputs + latent]));
        let rewards = steps.slice(s![.., inputs + latent..]);
        let linear = mean.predict(x); // [N, Z+1]
        let persistence = x.slice(s![.., ..latent]).mapv(f64::from);
        self.next[0] += y.rows().into_iter().map(|row| (row.mapv(f64::from) - centre).mapv(|d| d * d).sum()).sum::<f64>();
        for (sum, prediction) in
            self.next[1..].iter_mut().zip([next.view(), linear.slice(s![.., ..latent]), persistence.view()])
        {
            *sum += squared_error(y, prediction);
        }
        for (sum, prediction) in self.reward.iter_mut().zip([reward.view(), linear.slice(s![.., latent..])]) {
            *sum += squared_error(rewards, prediction);
        }
        self.rewards.add(rewards);
        let steps = table.steps(z)?;
        let per_step = trained.nll(steps.slice(s![.., ..inputs]), steps.slice(s![.., inputs..inputs + latent]));
        self.nll[0] += nll;
        self.nll[1] += per_step * steps.nrows() as f64;
        self.logits.extend(to_vec(&sorted(&logits))?);
        self.terminals.extend(table.terminals()?);
        Ok(())
    }

    /// What all of it says. The loss and its epoch are somebody else's.
    pub(super) fn figures(&self) -> MdnrnnFigures {
        let [constant, model, ridge, persistence] = self.next;
        let n = self.rewards.count() as f64;
        let variance = self.rewards.variance()[0];
        let r2 = |error: f64| if variance > REWARD_VARIANCE_MIN { 1.0 - error / (variance * n) } else { f64::NAN };
        let per_dim = |nll: f64| nll / n / self.baseline.latent as f64;
        MdnrnnFigures {
            loss: f64::NAN,
            nmse: model / constant,
            ridge_nmse: ridge / constant,
            persistence_nmse: persistence / constant,
            nll_per_dim: per_dim(self.nll[0]),
            ridge_nll_per_dim: per_dim(self.nll[1]),
            reward_r2: r2(self.reward[0]),
            ridge_reward_r2: r2(self.reward[1]),
            terminal_auroc: auroc(&self.logits, &self.terminals).unwrap_or(f64::NAN),
            best_epoch: 0,
        }
    }
}

fn squared_error(target: ArrayView2<f32>, prediction: ArrayView2<f64>) -> f64 {
    let error = target.mapv(f64::from) - prediction;
    error.mapv(|d| d * d).sum_axis(Axis(1)).sum()
}
