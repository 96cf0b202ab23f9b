//! The stop conditions of a run that has nothing more to find: pycma's, with its default tolerances (Hansen's tutorial, appendix B.3), for
//! scores that are to be high. A restart with more candidates may find more.

use crate::run::checkpoint::Checkpoint;
use anyhow::{Result, bail};
use std::collections::VecDeque;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The last scores, and the last generations' best ones, differ by less than 1e-11.
    TolFun,
    /// The best scores of the last generations, ten at least, differ by less than 1e-12.
    TolFunHist,
    /// Every deviation, and the path, is below 1e-11.
    TolX,
    /// A deviation has grown a thousandfold: σ was chosen far too small.
    TolFacUpX,
    /// σ has outgrown the covariance by 1e20.
    TolUpSigma,
    /// Neither the best nor the median score has improved for long.
    Stagnation,
    /// The mean has stayed within 1e-9 for long.
    XStagnation,
    /// The covariance's condition number is above 1e14.
    Condition,
    /// Steps along all coordinates are lost in rounding to f32, which candidates are in. (pycma, in f64, stops at the first.)
    NoEffectCoordinate,
    /// Two generations had as good a candidate at three quarters of their ranks as the best.
    FlatFitness,
    /// The run has had 100 + 150 (n + 3)² / √λ generations.
    MaxGenerations,
}

impl Stop {
    const ALL: [Self; 11] = [
        Self::TolFun,
        Self::TolFunHist,
        Self::TolX,
        Self::TolFacUpX,
        Self::TolUpSigma,
        Self::Stagnation,
        Self::XStagnation,
        Self::Condition,
        Self::NoEffectCoordinate,
        Self::FlatFitness,
        Self::MaxGenerations,
    ];

    /// pycma's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TolFun => "tolfun",
            Self::TolFunHist => "tolfunhist",
            Self::TolX => "tolx",
            Self::TolFacUpX => "tolfacupx",
            Self::TolUpSigma => "tolupsigma",
            Self::Stagnation => "tolstagnation",
            Self::XStagnation => "tolxstagnation",
            Self::Condition => "tolconditioncov",
            Self::NoEffectCoordinate => "noeffectcoord",
            Self::FlatFitness => "tolflatfitness",
            Self::MaxGenerations => "maxiter",
        }
    }

    /// The one called `name`; none where that is empty.
    pub(super) fn named(name: &str, origin: &str) -> Result<Option<Self>> {
        match Self::ALL.into_iter().find(|stop| stop.name() == name) {
            None if !name.is_empty() => bail!("{origin}: metadata cma.stopped: expected a stop condition, found {name:?}"),
            found => Ok(found),
        }
    }
}

/// What the conditions ask of the search distribution.
pub(super) struct Distribution<'a> {
    /// m `[n]`
    pub(super) mean: &'a [f64],
    /// σ
    pub(super) sigma: f64,
    /// σ at the start.
    pub(super) start_sigma: f64,
    /// λ
    pub(super) population: usize,
    /// σ √C_jj `[n]`
    pub(super) deviations: Vec<f64>,
    /// p_c `[n]`
    pub(super) path: &'a [f64],
    /// The shortest and the longest principal axis of C^½.
    pub(super) axes: [f64; 2],
}

/// What a run has seen so far.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct History {
    /// Generations told in this run.
    pub(super) generations: u64,
    /// Best score of the last generations, the newest last.
    recent: VecDeque<f64>,
    /// Best less worst score of the last generation.
    range: f64,
    /// Best score of every fifth generation.
    long_best: Vec<f64>,
    /// Median score of every fifth generation.
    long_median: Vec<f64>,
    /// The best score of all, and its generation.
    best: Option<(f64, u64)>,
    /// Flat generations in a row.
    flat: u64,
    /// Where the mean was when it last moved away `[n]`, and the generation.
    anchor: (Vec<f64>, u64),
}

const TOL_FUN: f64 = 1e-11;
const TOL_FUN_HIST: f64 = 1e-12;
const TOL_X: f64 = 1e-11;
const TOL_FAC_UP_X: f64 = 1e3;
const TOL_UP_SIGMA: f64 = 1e20;
const TOL_CONDITION: f64 = 1e14;
const TOL_FLAT: u64 = 1;
/// The mean's distance that is no move, and the generations that make stagnation: 20 and a tenth of all.
const X_STAGNATION: (f64, f64, f64) = (1e-9, 20.0, 0.1);
/// Every which generation goes into the long histories, and their length.
const LONG: (u64, usize) = (5, 20_000);

impl History {
    /// Of a run that starts at `mean`.
    pub(super) fn new(mean: Vec<f64>) -> Self {
        Self {
            generations: 0,
            recent: VecDeque::new(),
            range: f64::MAX,
            long_best: Vec::new(),
            long_median: Vec::new(),
            best: None,
            flat: 0,
            anchor: (mean, 0),
        }
    }

    /// Where the mean was when it last moved away `[n]`.
    pub(super) fn anchor(&mut self) -> &mut [f64] {
        &mut self.anchor.0
    }

    /// A generation whose scores are all the same.
    pub(super) fn all_equal(&mut self) {
        self.generations += 1;
        self.flat += 1;
    }

    /// A generation of `scores`, best first, that led to `mean`.
    pub(super) fn tell(&mut self, scores: &[f64], mean: &[f64]) {
        self.generations += 1;
        let (best, lambda) = (scores[0], scores.len());
        // What is not finite is as bad as the worst that is.
        let worst = scores.iter().rev().copied().find(|score| score.is_finite()).unwrap_or(best);
        let median = (scores[lambda / 2].max(worst) + scores[(lambda - 1) / 2].max(worst)) / 2.0;
        self.range = best - worst;
        self.flat = if best > scores[(0.75 * lambda as f64) as usize] { 0 } else { self.flat + 1 };
        self.recent.push_back(best);
        if self.recent.len() > 10 + 30 * mean.len() / lambda {
            self.recent.pop_front();
        }
        if self.generations.is_multiple_of(LONG.0) {
            for (history, value) in [(&mut self.long_best, best), (&mut self.long_median, median)] {
                history.push(value);
                if history.len() > LONG.1 {
                    history.remove(0);
                }
            }
        }
        if self.best.is_none_or(|(highest, _)| best > highest) {
            self.best = Some((best, self.generations));
        }
        let waited = (self.generations - self.anchor.1) as f64;
        let reach = X_STAGNATION.0 * (waited / self.patience()).max(1.0).sqrt();
        let moved: f64 = self.anchor.0.iter().zip(mean).map(|(a, b)| (a - b).powi(2)).sum();
        if moved.sqrt() > reach {
            self.anchor = (mean.to_vec(), self.generations);
        }
    }

    /// Generations without a move of the mean that make stagnation.
    fn patience(&self) -> f64 {
        X_STAGNATION.1 + X_STAGNATION.2 * self.generations as f64
    }

    /// The first condition that holds.
    pub(super) fn stop(&self, now: &Distribution<'_>) -> Option<Stop> {
        let (n, lambda) = (now.mean.len() as f64, now.population as f64);
        let history = self.recent.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b))
            - self.recent.iter().fold(f64::INFINITY, |a, &b| a.min(b));
        let seen = self.recent.len();
        let rounds_away = |m: f64, step: f64| m as f32 == (m + step) as f32;
        let conditions = [
            (Stop::TolFacUpX, now.deviations.iter().any(|&d| d > TOL_FAC_UP_X * now.start_sigma)),
            (
                Stop::TolX,
                now.deviations.iter().all(|&d| d < TOL_X) && now.path.iter().all(|p| (now.sigma * p).abs() < TOL_X),
            ),
            (Stop::TolFun, seen > 0 && self.range < TOL_FUN && history < TOL_FUN),
            (Stop::TolFunHist, seen > 9 && history < TOL_FUN_HIST),
            (Stop::Stagnation, self.stagnates(n, lambda)),
            (Stop::XStagnation, (self.generations - self.anchor.1) as f64 > self.patience()),
            (Stop::TolUpSigma, now.sigma / now.axes[1] > TOL_UP_SIGMA * now.start_sigma),
            (Stop::NoEffectCoordinate, now.mean.iter().zip(&now.deviations).all(|(&m, d)| rounds_away(m, 0.2 * d))),
            (Stop::Condition, now.axes[1] > TOL_CONDITION.sqrt() * now.axes[0]),
            (Stop::FlatFitness, self.flat > TOL_FLAT),
            (Stop::MaxGenerations, self.generations as f64 >= 100.0 + (150.0 * (n + 3.0).powi(2) / lambda.sqrt()).floor()),
        ];
        conditions.into_iter().find_map(|(stop, holds)| holds.then_some(stop))
    }

    /// Whether the latest of the long histories are no better than those before them.
    fn stagnates(&self, n: f64, lambda: f64) -> bool {
        let limit = (100.0 + 100.0 * n.powf(1.5) / lambda).floor();
        let seen = self.long_best.len();
        let window = (limit / 10.0).max(seen as f64 / 10.0) as usize;
        let since_best = self.best.map_or(0, |(_, generation)| self.generations - generation) as f64;
        let improved = |history: &[f64]| {
            let half = |from: usize| median(&history[seen - from..seen - from + window]);
            half(window) > half(2 * window)
        };
        seen > 100
            && 2 * window < seen
            && self.generations as f64 > n * (5.0 + 100.0 / lambda)
            && since_best > limit / 2.0
            && !improved(&self.long_median)
            && !improved(&self.long_best)
    }

    pub(super) fn save(&self, to: &mut Checkpoint) {
        let recent: Vec<f64> = self.recent.iter().copied().collect();
        for (name, values) in [
            ("history.recent", &recent),
            ("history.long_best", &self.long_best),
            ("history.long_median", &self.long_median),
            ("history.anchor", &self.anchor.0),
        ] {
            to.insert_f64(name, &[values.len()], values.clone());
        }
        to.set_meta("history.generations", self.generations);
        to.set_meta("history.range", self.range);
        to.set_meta("history.flat", self.flat);
        to.set_meta("history.anchored", self.anchor.1);
        if let Some((score, generation)) = self.best {
            to.set_meta("history.best", score);
            to.set_meta("history.best_generation", generation);
        }
    }

    pub(super) fn resume(n: usize, saved: &Checkpoint) -> Result<Self> {
        // Their lengths are the history's own.
        let list = |name: &str| {
            let len = saved.doubles.get(name).map_or(0, |array| array.data.len());
            saved.tensor_f64(name, &[len]).map(<[f64]>::to_vec)
        };
        let long_best = list("history.long_best")?;
        let best = saved.metadata.contains_key("history.best");
        Ok(Self {
            generations: saved.meta("history.generations")?,
            recent: list("history.recent")?.into(),
            range: saved.meta("history.range")?,
            long_median: saved.tensor_f64("history.long_median", &[long_best.len()])?.to_vec(),
            long_best,
            best: if best { Some((saved.meta("history.best")?, saved.meta("history.best_generation")?)) } else { None },
            flat: saved.meta("history.flat")?,
            anchor: (saved.tensor_f64("history.anchor", &[n])?.to_vec(), saved.meta("history.anchored")?),
        })
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    (sorted[n / 2] + sorted[(n - 1) / 2]) / 2.0
}

#[cfg(test)]
mod tests;
