//! Black-box optimisers: ask for candidates, tell their scores. No I/O, no threads, no torch; every random number is named by
//! (seed, generation, vector), so a generation is a function of the state before it and its scores.
//!
//! A score that is not finite (of a candidate that failed) counts as the worst there is; ARS leaves out its pair. None ever enters a state.

pub mod ars;
pub mod cma;
pub mod generation;
pub mod mirrored;
pub mod noise;
pub mod openai;
pub mod pgpe;

use crate::run::checkpoint::Checkpoint;
use crate::run::config::{Config, StrategyName};
use anyhow::{Result, ensure};
use ars::Ars;
use cma::Cma;
use cma::diagonal::Diagonal;
use cma::full::Full;
use cma::stop::Stop;
pub use generation::Generation;
use mirrored::Mirrored;
use openai::OpenAiEs;
use pgpe::Pgpe;

/// Which strategy, and its settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Settings {
    /// PGPE with ClipUp; the initial standard deviation.
    Pgpe(pgpe::Settings, f32),
    /// CMA-ES with the whole covariance matrix.
    CmaEs(cma::Settings),
    /// CMA-ES with a diagonal covariance.
    SepCmaEs(cma::Settings),
    /// ARS V2-t.
    Ars(ars::Settings),
    /// OpenAI-ES.
    OpenAiEs(openai::Settings),
}

impl Settings {
    /// Of the strategy that `config` asks for.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let (seed, c) = (config.seed, &config.controller);
        let cma = cma::Settings { seed, population: c.cma.population, sigma: c.sigma, restarts: c.cma.restarts };
        match c.strategy {
            StrategyName::Pgpe => {
                let settings = pgpe::Settings {
                    seed,
                    directions: c.pgpe.directions,
                    sigma_learning_rate: c.pgpe.sigma_learning_rate as f32,
                    sigma_max_change: c.pgpe.sigma_max_change as f32,
                    max_speed: c.pgpe.max_speed as f32,
                    momentum: c.pgpe.momentum as f32,
                };
                Self::Pgpe(settings, c.sigma as f32)
            }
            StrategyName::CmaEs => Self::CmaEs(cma),
            StrategyName::SepCmaEs => Self::SepCmaEs(cma),
            StrategyName::Ars => Self::Ars(ars::Settings {
                seed,
                directions: c.ars.directions,
                top_directions: c.ars.top_directions,
                learning_rate: c.ars.learning_rate,
                sigma: c.sigma,
            }),
            StrategyName::OpenAiEs => Self::OpenAiEs(openai::Settings {
                seed,
                directions: c.openai_es.directions,
                learning_rate: c.openai_es.learning_rate,
                sigma: c.sigma,
                weight_decay: c.openai_es.weight_decay,
            }),
        }
    }
}

/// A strategy between two generations.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// PGPE with ClipUp.
    Pgpe(Pgpe),
    /// CMA-ES with the whole covariance matrix: for up to some hundreds of parameters.
    CmaEs(Cma<Full>),
    /// CMA-ES with a diagonal covariance.
    SepCmaEs(Cma<Diagonal>),
    /// ARS V2-t.
    Ars(Ars),
    /// OpenAI-ES.
    OpenAiEs(OpenAiEs),
}

/// Metadata: generations told.
pub const GENERATION: &str = "validation.generation";

/// The same expression for whichever strategy it is; where `mirrored` is named, of the base of those that have it.
macro_rules! each {
    ($strategy:expr, mirrored $base:ident => $of_base:expr, $one:ident => $do:expr) => {
        match $strategy {
            Strategy::Pgpe(Pgpe { base: $base, .. })
            | Strategy::Ars(Ars { base: $base, .. })
            | Strategy::OpenAiEs(OpenAiEs { base: $base, .. }) => $of_base,
            Strategy::CmaEs($one) => $do,
            Strategy::SepCmaEs($one) => $do,
        }
    };
    ($strategy:expr, $one:ident => $do:expr) => {
        match $strategy {
            Strategy::Pgpe($one) => $do,
            Strategy::CmaEs($one) => $do,
            Strategy::SepCmaEs($one) => $do,
            Strategy::Ars($one) => $do,
            Strategy::OpenAiEs($one) => $do,
        }
    };
}

impl Strategy {
    /// A search around `mean` `[n]`.
    ///
    /// # Panics
    /// If `mean` is empty.
    #[must_use]
    pub fn new(settings: Settings, mean: Vec<f32>) -> Self {
        match settings {
            Settings::Pgpe(settings, sigma) => Self::Pgpe(Pgpe::new(settings, mean, sigma)),
            Settings::CmaEs(settings) => Self::CmaEs(Cma::new(settings, &mean)),
            Settings::SepCmaEs(settings) => Self::SepCmaEs(Cma::new(settings, &mean)),
            Settings::Ars(settings) => Self::Ars(Ars::new(settings, mean)),
            Settings::OpenAiEs(settings) => Self::OpenAiEs(OpenAiEs::new(settings, mean)),
        }
    }

    /// Adds the whole state: tensors and metadata from which [`Self::resume`] goes on as if it had never stopped.
    pub fn save(&self, to: &mut Checkpoint) {
        to.set_meta(GENERATION, self.generation());
        each!(self, one => one.save(to));
    }

    /// Goes on with `n` parameters from what [`Self::save`] of the same settings added.
    ///
    /// # Errors
    /// One line that names the file: a tensor or metadata is missing, has another shape or is no such value.
    pub fn resume(settings: Settings, n: usize, saved: &Checkpoint) -> Result<Self> {
        ensure!(n > 0, "{}: expected at least one parameter", saved.origin);
        let generation = saved.meta(GENERATION)?;
        Ok(match settings {
            Settings::Pgpe(settings, _) => Self::Pgpe(Pgpe::resume(settings, n, generation, saved)?),
            Settings::CmaEs(settings) => Self::CmaEs(Cma::resume(settings, n, generation, saved)?),
            Settings::SepCmaEs(settings) => Self::SepCmaEs(Cma::resume(settings, n, generation, saved)?),
            Settings::Ars(settings) => Self::Ars(Ars::resume(settings, n, generation, saved)?),
            Settings::OpenAiEs(settings) => Self::OpenAiEs(OpenAiEs::resume(settings, n, generation, saved)?),
        })
    }

    /// Draws this generation. Asking twice draws the same.
    #[must_use]
    pub fn ask(&self) -> Generation {
        each!(self, one => one.ask())
    }

    /// Candidates in this generation.
    #[must_use]
    pub fn candidates(&self) -> usize {
        each!(self, mirrored base => base.candidates(), one => one.candidates())
    }

    /// Candidate `index` of what was asked, into `out` `[n]`; any number of threads may.
    ///
    /// # Panics
    /// If there is no such candidate.
    pub fn candidate(&self, generation: &Generation, index: usize, out: &mut Vec<f32>) {
        each!(self, mirrored base => base.candidate(generation, index, out), one => one.candidate(generation, index, out));
    }

    /// Moves towards what scored well. `scores` in the candidates' order, higher is better.
    ///
    /// # Panics
    /// If the number of scores is not that of the candidates, or they are of another generation.
    pub fn tell(&mut self, generation: &Generation, scores: &[f64]) {
        each!(self, one => one.tell(generation, scores));
    }

    /// Generations told.
    #[must_use]
    pub fn generation(&self) -> u64 {
        each!(self, mirrored base => base.generation, one => one.generation)
    }

    /// The favourite `[n]`: what the search is around.
    #[must_use]
    pub fn mean(&self) -> Vec<f32> {
        each!(self, mirrored base => base.mean.clone(), one => one.mean())
    }

    /// Puts the search where `convert` does: its mean, and with it every point that it goes back to or compares the mean with (each
    /// `[n]`). Its spread and its paths stay as they are.
    pub fn convert(&mut self, convert: impl Fn(&mut [f64])) {
        let single = |base: &mut Mirrored| {
            let mean = &mut base.mean;
            let mut point: Vec<f64> = mean.iter().map(|&value| f64::from(value)).collect();
            convert(&mut point);
            mean.iter_mut().zip(point).for_each(|(value, converted)| *value = converted as f32);
        };
        each!(self, mirrored base => single(base), one => one.convert(convert));
    }

    /// Standard deviation of the candidates, averaged over the parameters.
    #[must_use]
    pub fn mean_sigma(&self) -> f64 {
        each!(self, one => one.mean_sigma())
    }

    /// Restarts taken; only the CMA family has any.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        each!(self, mirrored _base => 0, one => one.restarts())
    }

    /// Why the search is over, where it is.
    #[must_use]
    pub fn stopped(&self) -> Option<Stop> {
        each!(self, mirrored _base => None, one => one.stopped())
    }
}

#[cfg(test)]
mod tests;
