//! Learning-rate schedules, and early stopping.
//!
//! - `cosine`: from the peak to 0 on half a cosine over all epochs (Loshchilov & Hutter 2017).
//! - `plateau`: the peak, multiplied with `factor` whenever `patience` epochs have passed without a better validation loss, as PyTorch's
//!   `ReduceLROnPlateau` does it.
//! - `constant`: the peak.
//!
//! With any of them training ends early after `stop_after` epochs without a better validation loss. Better means by more than 1e-4 of
//! the best: PyTorch's default threshold, measured here from the best's magnitude, since M's loss may be negative.

use crate::run::checkpoint::Checkpoint;
use crate::run::config::{ScheduleConfig, ScheduleRule};
use anyhow::Result;

/// The smallest relative gain that counts.
const THRESHOLD: f64 = 1e-4;

/// Metadata of a saved state.
const BEST: &str = "schedule.best";
const SCALE: &str = "schedule.scale";
const SINCE_CUT: &str = "schedule.since_cut";
const SINCE_BEST: &str = "schedule.since_best";

/// The learning rate of a training, and the validation losses that it depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    config: ScheduleConfig,
    peak: f64,
    best: f64,
    /// What `plateau` has multiplied the peak with.
    scale: f64,
    /// Epochs without a gain since the best or the last cut, and since the best.
    since_cut: usize,
    since_best: usize,
}

impl Schedule {
    /// Before the first epoch.
    #[must_use]
    pub fn new(config: &ScheduleConfig, peak: f64) -> Self {
        Self { config: config.clone(), peak, best: f64::INFINITY, scale: 1.0, since_cut: 0, since_best: 0 }
    }

    /// The learning rate where `done` of the whole training, from 0 to 1, is done.
    #[must_use]
    pub fn rate(&self, done: f64) -> f64 {
        match self.config.rule {
            ScheduleRule::Cosine => cosine(self.peak, done),
            ScheduleRule::Plateau => self.peak * self.scale,
            ScheduleRule::Constant => self.peak,
        }
    }

    /// An epoch ended with this validation loss.
    pub fn epoch_ended(&mut self, loss: f64) {
        // Infinity less infinity is no number: the first loss is a gain in any case.
        if self.best.is_infinite() && loss.is_finite() || loss < self.best - THRESHOLD * self.best.abs() {
            (self.best, self.since_cut, self.since_best) = (loss, 0, 0);
            return;
        }
        self.since_cut += 1;
        self.since_best += 1;
        if self.config.rule == ScheduleRule::Plateau && self.since_cut > self.config.patience {
            self.scale *= self.config.factor;
            self.since_cut = 0;
        }
    }

    /// Whether to end here.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.config.stop_after > 0 && self.since_best >= self.config.stop_after
    }

    /// Adds what it remembers to `state`.
    pub fn save(&self, state: &mut Checkpoint) {
        state.set_meta(BEST, self.best);
        state.set_meta(SCALE, self.scale);
        state.set_meta(SINCE_CUT, self.since_cut);
        state.set_meta(SINCE_BEST, self.since_best);
    }

    /// Restores what [`Self::save`] added.
    ///
    /// # Errors
    /// One line naming the file and what is missing or no number.
    pub fn load(&mut self, state: &Checkpoint) -> Result<()> {
        self.best = state.meta(BEST)?;
        self.scale = state.meta(SCALE)?;
        self.since_cut = state.meta(SINCE_CUT)?;
        self.since_best = state.meta(SINCE_BEST)?;
        Ok(())
    }
}

/// `peak`, falling to 0 on half a cosine, where `done` from 0 to 1 is done.
#[must_use]
pub fn cosine(peak: f64, done: f64) -> f64 {
    0.5 * peak * (1.0 + (std::f64::consts::PI * done).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rule: ScheduleRule, stop_after: usize) -> Schedule {
        Schedule::new(&ScheduleConfig { rule, patience: 2, factor: 0.5, stop_after }, 0.1)
    }

    /// What `torch.optim.lr_scheduler.ReduceLROnPlateau(patience=2, factor=0.5)` of torch 2.11 sets after each of these losses.
    #[test]
    fn plateau_cuts_where_pytorch_does() {
        let losses = [5.0, 4.0, 4.0, 3.9999, 4.1, 4.0, 3.5, 3.6, 3.6, 3.6, 3.6, 3.6, 3.6, 3.0];
        let rates = [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.0125, 0.0125];
        let mut plateau = schedule(ScheduleRule::Plateau, 0);
        for (i, (loss, rate)) in losses.into_iter().zip(rates).enumerate() {
            plateau.epoch_ended(loss);
            assert_eq!(plateau.rate(0.5), rate, "after loss {i}");
            assert!(!plateau.is_done());
        }
    }

    #[test]
    fn training_ends_after_epochs_without_a_gain() {
        let mut schedule = schedule(ScheduleRule::Constant, 3);
        for (loss, over) in
            [(-1.0, false), (-1.00005, false), (-0.5, false), (-1.1, false), (-1.1, false), (f64::NAN, false)]
        {
            schedule.epoch_ended(loss);
            assert_eq!(schedule.is_done(), over, "{loss}");
        }
        schedule.epoch_ended(0.0);
        assert!(schedule.is_done());
        assert_eq!(schedule.rate(0.9), 0.1);
    }

    #[test]
    fn what_is_saved_goes_on_alike() {
        let mut one = schedule(ScheduleRule::Plateau, 4);
        [3.0, 3.0, 3.0, 3.0].into_iter().for_each(|loss| one.epoch_ended(loss));
        let mut state = Checkpoint::default();
        one.save(&mut state);
        let mut two = schedule(ScheduleRule::Plateau, 4);
        assert_ne!(one, two);
        two.load(&state).unwrap();
        assert_eq!(one, two);
        let fresh = schedule(ScheduleRule::Plateau, 4);
        fresh.save(&mut state);
        two.load(&state).unwrap();
        assert_eq!(fresh, two, "before the first epoch the best is infinite");
    }

    #[test]
    fn the_cosine_begins_at_the_peak_and_ends_at_0() {
        let schedule = schedule(ScheduleRule::Cosine, 0);
        assert!((schedule.rate(0.0) - 0.1).abs() < 1e-12 && schedule.rate(1.0).abs() < 1e-12);
        assert!((schedule.rate(0.5) - 0.05).abs() < 1e-12);
    }
}
