//! The noise of scores, and the number of episodes that it calls for: the uncertainty measurement of UH-CMA-ES (Hansen,
//! Niederberger, Guzzella, Koumoutsakos, *A method for handling uncertainty in evolutionary optimization with an application to feedback
//! control of combustion*, IEEE Transactions on Evolutionary Computation 13(1), 2009): a few candidates of a generation are scored a
//! second time, and what that changes in the ranks is held against what chance would be allowed to change.
//!
//! ```text
//! let again = noise.choose(&scores);          // which to score again
//! noise.tell(&scores, &again, &second);       // their second scores
//! noise.episodes()                            // of each candidate from now on
//! ```
//!
//! Any strategy's scores will do, and dreams as well as episodes. Settings are pycma's `NoiseHandler`'s where they differ from the paper's,
//! but for the factor: pycma's, 1 + 2/(n + 10), takes n/3 generations to double the episodes, and a controller has thousands of parameters.
//!
//! Where candidates of a generation play the same episodes, the second scores are of others: what these do to all candidates alike counts
//! as noise too, so that the measurement errs on the side of more episodes. The strategy is told the first scores alone, as pycma does.

use super::generation::finite_or_worst;
use crate::run::checkpoint::Checkpoint;
use anyhow::{Result, ensure};

/// What does not change while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Fewest episodes of a candidate.
    pub fewest: f64,
    /// Most episodes of a candidate.
    pub most: f64,
    /// Factor on the episodes where the noise is too much (the paper's α_t); its fourth root is taken back where it is not.
    pub factor: f64,
}

impl Settings {
    /// From `fewest` to `most` episodes, by the paper's factor.
    #[must_use]
    pub fn new(fewest: usize, most: usize) -> Self {
        Self { fewest: fewest as f64, most: most as f64, factor: FACTOR }
    }
}

/// Rank changes up to this fraction of the possible ones are let pass (θ; the paper has 0.2).
const TOLERATED: f64 = 0.5;
/// The paper's α_t.
const FACTOR: f64 = 1.5;
/// Weight of the newest measurement (c_s; the paper has 1).
const NEWEST: f64 = 0.3;

/// The state between generations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    settings: Settings,
    /// s̄: ranks changed beyond what is tolerated; above 0, the scores are too noisy.
    level: f64,
    /// Episodes, as a real number.
    episodes: f64,
}

impl Noise {
    /// Nothing measured yet: the fewest episodes.
    ///
    /// # Panics
    /// If `settings` allow no number of episodes.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { fewest, most, factor } = settings;
        assert!(1.0 <= fewest && fewest <= most && factor > 1.0, "noise: 1 <= fewest <= most and a factor above 1");
        Self { settings, level: 0.0, episodes: fewest }
    }

    /// Adds its state.
    pub fn save(&self, to: &mut Checkpoint) {
        to.set_meta("noise.level", self.level);
        to.set_meta("noise.episodes", self.episodes);
    }

    /// Resumes from a saved state.
    ///
    /// # Errors
    /// One line: it is missing, or its episodes are none that `settings` allow.
    pub fn resume(settings: Settings, saved: &Checkpoint) -> Result<Self> {
        let (level, episodes): (f64, f64) = (saved.meta("noise.level")?, saved.meta("noise.episodes")?);
        let Settings { fewest, most, .. } = settings;
        ensure!(
            level.is_finite() && (fewest..=most).contains(&episodes),
            "{}: metadata noise: expected a level and {fewest} to {most} episodes, found {level} and {episodes}",
            saved.origin
        );
        Ok(Self { settings, level, episodes })
    }

    /// Episodes that a candidate should play.
    #[must_use]
    pub fn episodes(&self) -> usize {
        self.episodes as usize
    }

    /// s̄: above 0, the ranks change more than is tolerated.
    #[must_use]
    pub fn level(&self) -> f64 {
        self.level
    }

    /// Which candidates to score again: of λ candidates 2 + λ/20, half of them the first and half the best of the others.
    #[must_use]
    pub fn choose(&self, scores: &[f64]) -> Vec<usize> {
        let scores = finite_or_worst(scores);
        let count = (2 + scores.len() / 20).min(scores.len());
        let first = count - count / 2;
        let mut others: Vec<usize> = (first..scores.len()).collect();
        others.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        (0..first).chain(others.into_iter().take(count - first)).collect()
    }

    /// Takes in `second` scores of the candidates `again`, and what they say of the noise.
    ///
    /// # Panics
    /// If there is not one second score for each of `again`, or one of these is no candidate.
    pub fn tell(&mut self, scores: &[f64], again: &[usize], second: &[f64]) {
        assert_eq!(again.len(), second.len(), "noise: one second score for each candidate that was chosen");
        if again.is_empty() {
            return;
        }
        let first = finite_or_worst(scores);
        let mut both = first.clone();
        both.extend(&first);
        for (&i, score) in again.iter().zip(finite_or_worst(second)) {
            both[first.len() + i] = score;
        }
        let excess: f64 = again.iter().map(|&i| excess(&both, i)).sum::<f64>() / again.len() as f64;
        self.level += NEWEST * (excess - self.level);
        let Settings { fewest, most, factor } = self.settings;
        let change = if self.level > 0.0 { factor } else { factor.powf(-0.25) };
        self.episodes = (self.episodes * change).clamp(fewest, most);
    }
}

/// How far candidate `i`'s two ranks among `both` (λ first scores, then λ second) lie apart, less what is tolerated.
fn excess(both: &[f64], i: usize) -> f64 {
    let lambda = both.len() / 2;
    // Ties stand in their order; a score that did not change is not noise: its two ranks are taken for neighbours.
    let rank =
        |at: usize| both.iter().enumerate().filter(|&(j, &v)| v < both[at] || (v == both[at] && j < at)).count() as f64;
    let (old, new) = (rank(i), rank(lambda + i));
    if both[i] == both[lambda + i] {
        return -limit(old, new, lambda);
    }
    (old - new).abs() - 1.0 - limit(old, new, lambda)
}

/// The mean, over the two ranks, of the θ/2-quantile of how far a rank drawn at random from the others' would lie from it; one rank
/// may always change.
fn limit(old: f64, new: f64, lambda: usize) -> f64 {
    let quantile = |rank: f64, other: f64| {
        // Among the 2λ − 1 scores without the other one.
        let own = rank + 1.0 - f64::from(rank > other);
        let mut distances: Vec<f64> = (1..2 * lambda).map(|r| (r as f64 - own).abs()).collect();
        distances.sort_by(f64::total_cmp);
        // Sample i is the (i + ½)/n quantile.
        let at = (TOLERATED / 2.0 * distances.len() as f64 - 0.5).max(0.0);
        let (below, above) = (distances[at.floor() as usize], distances[at.ceil() as usize]);
        below + at.fract() * (above - below)
    };
    ((quantile(old, new) + quantile(new, old)) / 2.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dreamstep_core::rng::{Philox, Stream};

    const SETTINGS: Settings = Settings { fewest: 1.0, most: 30.0, factor: 1.5 };

    /// Generations of 20 candidates whose true scores are 1 apart, under normal noise of deviation `noise`, averaged over episodes.
    fn run(mut noise: Noise, deviation: f64, generations: u64) -> Noise {
        let rng = Philox::new(4);
        for generation in 0..generations {
            let mut draws = [0.0_f32; 40];
            rng.fill_normal(Stream::Evolution, generation, &mut draws);
            let spread = deviation / (noise.episodes() as f64).sqrt();
            // 7 and 20 share no divisor: every score, in no order.
            let score = |i: usize, draw: usize| (i * 7 % 20) as f64 + spread * f64::from(draws[draw]);
            let scores: Vec<f64> = (0..20).map(|i| score(i, i)).collect();
            let again = noise.choose(&scores);
            let second: Vec<f64> = again.iter().map(|&i| score(i, 20 + i)).collect();
            noise.tell(&scores, &again, &second);
        }
        noise
    }

    #[test]
    fn episodes_rise_with_the_noise_and_fall_without() {
        let start = Noise::new(SETTINGS);
        assert_eq!(run(start, 0.0, 20).episodes(), 1, "none");
        assert_eq!(run(start, 0.1, 20).episodes(), 1, "less than the candidates differ");
        let noisy = run(start, 100.0, 20);
        assert!(noisy.episodes() == 30 && noisy.level() > 0.0, "far more: {noisy:?}");
        let some = [5.0, 7.0, 10.0].map(|deviation| run(start, deviation, 200).episodes());
        assert!(
            1 < some[0] && some[0] < some[1] && some[1] < some[2] && some[2] < 30,
            "as many as make it bearable: {some:?}"
        );
        assert_eq!(run(noisy, 0.0, 60).episodes(), 1, "gone again");
    }

    /// Ranks by hand: of two candidates, the second falls from above the first to below it.
    #[test]
    fn a_measurement_is_the_papers() {
        let mut noise = Noise::new(SETTINGS);
        assert_eq!(noise.choose(&[1.0, 3.0]), [0, 1]);
        // Among 1, 3, 1, 0 the second's ranks are 3 and 0: two others between them. Chance: ranks 1 to 3, from own ranks 3 and 1, lie 0,
        // 1 and 2 away; the quarter quantile of that is 1/4, for either, and at least 1 is tolerated.
        assert_eq!(excess(&[1.0, 3.0, 1.0, 0.0], 1), 2.0 - 1.0);
        noise.tell(&[1.0, 3.0], &[1], &[0.0]);
        assert!((noise.level() - 0.3).abs() < 1e-12 && noise.episodes == 1.5, "{noise:?}");
    }

    /// What `update_measure` of pycma 4.5.0's `NoiseHandler` says of the same scores.
    #[test]
    fn a_measurement_is_pycmas() {
        let (mut six, mut eight) =
            ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0].repeat(2), [5.0, 3.0, 9.0, 1.0, 7.0, 2.0, 8.0, 0.0].repeat(2));
        (six[6 + 1], six[6 + 3]) = (5.5, 0.5);
        assert_eq!([excess(&six, 1), excess(&six, 3)], [3.75, 3.25]);
        (eight[8], eight[8 + 7]) = (8.5, 0.1);
        assert_eq!([excess(&eight, 0), excess(&eight, 7)], [2.0, -3.25]);
    }

    #[test]
    fn whom_to_score_again_are_the_first_and_the_best() {
        let noise = Noise::new(SETTINGS);
        let mut scores: Vec<f64> = (0..40).map(f64::from).collect();
        scores[39] = f64::NAN;
        assert_eq!(noise.choose(&scores), [0, 1, 38, 37]);
        assert_eq!(noise.choose(&[5.0]), [0]);
    }

    #[test]
    fn broken_scores_and_a_saved_state() {
        let mut noise = Noise::new(SETTINGS);
        noise.tell(&[1.0, f64::NAN, 2.0, 5.0], &[0, 1, 3], &[f64::NAN, f64::INFINITY, 4.0]);
        assert!(noise.level().is_finite() && (1.0..=30.0).contains(&noise.episodes));
        let noisy = run(noise, 30.0, 7);
        let mut state = Checkpoint { origin: "s".into(), ..Checkpoint::default() };
        noisy.save(&mut state);
        assert_eq!(Noise::resume(SETTINGS, &state).unwrap(), noisy);
        state.set_meta("noise.episodes", 31);
        assert!(
            Noise::resume(SETTINGS, &state)
                .unwrap_err()
                .to_string()
                .starts_with("s: metadata noise: expected a level and 1 to 30")
        );
    }
}
