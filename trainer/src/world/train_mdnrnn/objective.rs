//! What M is trained for: the likelihood of the next latent, the reward and the terminal flag, in one loss.

use super::table::Batch;
use crate::run::config::MdnrnnConfig;
use crate::world::epochs::Parts;
use crate::world::mdnrnn::{MdnRnn, Prediction};
use crate::world::nets::layer_kind;
use crate::world::optim::Optimizer;
use tch::{Kind, Reduction, Tensor};

/// The loss of one batch, each part a mean over steps.
pub struct Loss {
    /// `nll + reward_weight·reward + terminal_weight·terminal`.
    pub total: Tensor,
    /// Per latent dimension, nats.
    pub nll: Tensor,
    /// Squared error over the reward's variance.
    pub reward: Tensor,
    /// Cross entropy, nats, steps that end an episode weighted as configured.
    pub terminal: Tensor,
}

impl Loss {
    /// By name, as they are logged.
    pub fn parts(self) -> Parts<4> {
        [("loss", self.total), ("nll_per_dim", self.nll), ("reward", self.reward), ("terminal", self.terminal)]
    }
}

/// What M is trained for, and how hard.
pub struct Objective {
    /// The mean reward, which M does not predict.
    pub reward_offset: f64,
    /// What the reward's squared error is divided by.
    pub reward_variance: f64,
    reward_weight: f64,
    terminal_weight: f64,
    terminal_positive_weight: f64,
    grad_clip: f64,
    amp: bool,
    /// Steps of a window after which M is fed its own expectation, where it ever is.
    observed_steps: Option<usize>,
}

impl Objective {
    /// As configured, for rewards of this mean and variance.
    #[must_use]
    pub fn new(config: &MdnrnnConfig, (reward_offset, reward_variance): (f64, f64)) -> Self {
        let &MdnrnnConfig { reward_weight, terminal_weight, terminal_positive_weight, grad_clip, amp, .. } = config;
        Self {
            reward_offset,
            reward_variance,
            reward_weight,
            terminal_weight,
            terminal_positive_weight,
            grad_clip,
            amp,
            observed_steps: (config.own_steps > 0).then(|| config.sequence_length - config.own_steps),
        }
    }

    pub(super) fn loss(&self, prediction: &Prediction, batch: &Batch) -> Loss {
        let dims = batch.next.size()[1] as f64;
        let nll = prediction.nll(&batch.next).mean(Kind::Float) / dims;
        let reward_error = (&prediction.reward - (&batch.reward - self.reward_offset)).square().mean(Kind::Float);
        let reward = reward_error / self.reward_variance;
        let weight = self.terminal_positive_weight;
        let positive_weight = (weight != 1.0).then(|| Tensor::from(weight as f32).to_device(batch.terminal.device()));
        let terminal = prediction.terminal_logit.binary_cross_entropy_with_logits::<Tensor>(
            &batch.terminal,
            None,
            positive_weight,
            Reduction::Mean,
        );
        let total = &nll + &reward * self.reward_weight + &terminal * self.terminal_weight;
        Loss { total, nll, reward, terminal }
    }

    /// What the weight of terminal steps has added to the log-odds that the head says: a probability `p` is learned as
    /// `w·p / (w·p + 1 − p)`.
    #[must_use]
    pub fn terminal_log_odds(&self) -> f64 {
        self.terminal_positive_weight.ln()
    }

    /// One update of `model`'s weights: the loss of `batch`, its gradient, cut to its greatest length, and the optimiser's step. Returns
    /// the loss before the step.
    pub fn update(&self, model: &MdnRnn, optimizer: &mut Optimizer, batch: &Batch) -> Loss {
        let kind = layer_kind(self.amp);
        let (hidden, z) = match self.observed_steps {
            Some(observed) => model.fed_back(kind, [&batch.z, &batch.action], &batch.sizes, &batch.state, observed),
            None => {
                let (hidden, _) = model.sequences_in(kind, &batch.z, &batch.action, &batch.sizes, &batch.state);
                (hidden, batch.z.shallow_clone())
            }
        };
        let loss = self.loss(&model.predict_in(kind, &hidden, &z), batch);
        optimizer.backward_step(&loss.total, Some(self.grad_clip));
        loss
    }
}
