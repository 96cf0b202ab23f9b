//! CMA-ES: a Gaussian whose mean, step size and covariance learn from ranks (Hansen, *The CMA evolution strategy: a tutorial*,
//! arXiv:1604.00772; equation numbers below are its, of 2023), with active updates, and with restarts of doubled population (IPOP:
//! Auger & Hansen, *A restart CMA evolution strategy with increasing population size*, CEC 2005).
//!
//! The covariance is [`Full`](full::Full) or [`Diagonal`](diagonal::Diagonal); all else is the same. Everything is f64, but a candidate
//! is what plays: f32. With x = m + σ y and y ~ N(0, C), a generation holds the vectors z ~ N(0, I) that y is made from.
//!
//! A score that is not finite ranks last. A generation whose scores are all the same says nothing: it moves nothing, and counts
//! towards the stop condition for flat scores.

pub mod constants;
pub mod diagonal;
pub mod full;
pub mod stop;

use super::generation::{Generation, all_equal, best_first, finite_or_worst};
use crate::run::checkpoint::Checkpoint;
use crate::run::config::MAX_VECTORS;
use anyhow::{Result, ensure};
use constants::Constants;
use stop::{Distribution, History, Stop};

/// What does not change while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Names the draws.
    pub seed: u64,
    /// λ: candidates in a generation, doubled by each restart; 0 is 4 + ⌊3 ln n⌋.
    pub population: usize,
    /// σ at the start and after each restart.
    pub sigma: f64,
    /// Restarts allowed; after that the search is over when it stops.
    pub restarts: u32,
}

/// What the two covariances do differently. `y = A z` with `A Aᵀ = C`.
pub trait Covariance: Clone + std::fmt::Debug + PartialEq + Sized {
    /// C = I `[n, n]`.
    fn identity(n: usize) -> Self;

    /// Learning rates and weights of a population.
    fn constants(n: usize, population: usize) -> Constants;

    /// y = A z
    fn shape(&self, z: impl Iterator<Item = f64>) -> Vec<f64>;

    /// C^-½ y of y = A z, for a z that is a sum of draws.
    fn isotropic(&self, z: &[f64]) -> Vec<f64>;

    /// (47) with the evolution path p_c and the draws from the best to the worst; `stalled` where h_σ is 0. `told` counts generations.
    fn update(&mut self, constants: &Constants, path: &[f64], stalled: bool, draws: &[&[f32]], told: u64);

    /// √C_jj
    fn deviation(&self, j: usize) -> f64;

    /// The shortest and the longest principal axis of C^½.
    fn axes(&self) -> [f64; 2];

    /// Adds its tensors.
    fn save(&self, to: &mut Checkpoint);

    /// Reads them.
    ///
    /// # Errors
    /// One line: a tensor is missing or has another shape.
    fn resume(n: usize, saved: &Checkpoint) -> Result<Self>;
}

/// The state between generations.
#[derive(Clone, Debug, PartialEq)]
pub struct Cma<C> {
    settings: Settings,
    /// Generations told, in all runs.
    pub generation: u64,
    /// Where every run starts `[n]`
    start: Vec<f64>,
    /// m `[n]`
    mean: Vec<f64>,
    /// σ
    sigma: f64,
    covariance: C,
    constants: Constants,
    /// p_σ `[n]`
    path_sigma: Vec<f64>,
    /// p_c `[n]`
    path_c: Vec<f64>,
    history: History,
    /// Restarts taken.
    restarts: u32,
    /// Why the last run ended, once no restart is left.
    stopped: Option<Stop>,
}

impl<C: Covariance> Cma<C> {
    /// A search around `mean` `[n]`.
    ///
    /// # Panics
    /// If `mean` is empty.
    #[must_use]
    pub fn new(settings: Settings, mean: &[f32]) -> Self {
        assert!(!mean.is_empty(), "CMA-ES: at least one parameter");
        let start: Vec<f64> = mean.iter().map(|&v| f64::from(v)).collect();
        Self::run(settings, start, 0, 0)
    }

    /// Run number `restarts`, from the start.
    fn run(settings: Settings, start: Vec<f64>, restarts: u32, generation: u64) -> Self {
        let n = start.len();
        Self {
            settings,
            generation,
            mean: start.clone(),
            sigma: settings.sigma,
            covariance: C::identity(n),
            constants: C::constants(n, population(&settings, n, restarts)),
            path_sigma: vec![0.0; n],
            path_c: vec![0.0; n],
            history: History::new(start.clone()),
            start,
            restarts,
            stopped: None,
        }
    }

    pub(super) fn save(&self, to: &mut Checkpoint) {
        for (name, values) in
            [("mean", &self.mean), ("start", &self.start), ("path_sigma", &self.path_sigma), ("path_c", &self.path_c)]
        {
            to.insert_f64(name, &[values.len()], values.clone());
        }
        to.set_meta("cma.sigma", self.sigma);
        to.set_meta("cma.restarts", self.restarts);
        to.set_meta("cma.stopped", self.stopped.map_or("", Stop::name));
        self.covariance.save(to);
        self.history.save(to);
    }

    pub(super) fn resume(settings: Settings, n: usize, generation: u64, saved: &Checkpoint) -> Result<Self> {
        let vector = |name| saved.tensor_f64(name, &[n]).map(<[f64]>::to_vec);
        let restarts = saved.meta("cma.restarts")?;
        ensure!(
            restarts <= settings.restarts,
            "{}: metadata cma.restarts: expected at most {}, found {restarts}",
            saved.origin,
            settings.restarts
        );
        let stopped: String = saved.meta("cma.stopped")?;
        Ok(Self {
            mean: vector("mean")?,
            sigma: saved.meta("cma.sigma")?,
            covariance: C::resume(n, saved)?,
            path_sigma: vector("path_sigma")?,
            path_c: vector("path_c")?,
            history: History::resume(n, saved)?,
            stopped: Stop::named(&stopped, &saved.origin)?,
            ..Self::run(settings, vector("start")?, restarts, generation)
        })
    }

    /// λ
    #[must_use]
    pub fn candidates(&self) -> usize {
        self.constants.weights.len()
    }

    /// Draws this generation's z. Asking twice draws the same.
    #[must_use]
    pub fn ask(&self) -> Generation {
        Generation::draw(self.settings.seed, self.generation, self.candidates(), self.mean.len(), |_| ())
    }

    /// x = m + σ A z (38 to 40)
    ///
    /// # Panics
    /// If there is no such candidate.
    pub fn candidate(&self, generation: &Generation, index: usize, out: &mut Vec<f32>) {
        let y = self.covariance.shape(generation.draws[index].iter().map(|&z| f64::from(z)));
        out.clear();
        out.extend(self.mean.iter().zip(&y).map(|(m, y)| (m + self.sigma * y) as f32));
    }

    /// m `[n]`: the favourite.
    #[must_use]
    pub fn mean(&self) -> Vec<f32> {
        self.mean.iter().map(|&m| m as f32).collect()
    }

    pub(super) fn convert(&mut self, convert: impl Fn(&mut [f64])) {
        for point in [&mut self.mean[..], &mut self.start, self.history.anchor()] {
            convert(point);
        }
    }

    /// σ √C_jj, averaged over the parameters.
    #[must_use]
    pub fn mean_sigma(&self) -> f64 {
        let n = self.mean.len();
        self.sigma * (0..n).map(|j| self.covariance.deviation(j)).sum::<f64>() / n as f64
    }

    /// Restarts taken.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Why the search is over: its last run has stopped, and no restart is left. Whatever it is told from then on moves nothing.
    #[must_use]
    pub fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    /// Moves the distribution towards what scored well, and starts anew with twice the population where the run has come to its end.
    ///
    /// # Panics
    /// If the number of scores is not that of the candidates, or they are of another generation.
    pub fn tell(&mut self, generation: &Generation, scores: &[f64]) {
        generation.check(self.generation, self.candidates(), scores);
        self.generation += 1;
        if self.stopped.is_some() {
            return;
        }
        let scores = finite_or_worst(scores);
        if all_equal(&scores) {
            self.history.all_equal();
        } else {
            let order = best_first(&scores);
            let draws: Vec<&[f32]> = order.iter().map(|&i| generation.draws[i].as_slice()).collect();
            self.learn(&draws);
            let sorted: Vec<f64> = order.iter().map(|&i| scores[i]).collect();
            self.history.tell(&sorted, &self.mean);
        }
        let Some(stop) = self.history.stop(&self.distribution()) else { return };
        let next = self.restarts + 1;
        if next <= self.settings.restarts && population(&self.settings, self.mean.len(), next) <= MAX_VECTORS {
            *self = Self::run(self.settings, std::mem::take(&mut self.start), next, self.generation);
        } else {
            self.stopped = Some(stop);
        }
    }

    /// One generation's update from its draws, best first.
    fn learn(&mut self, draws: &[&[f32]]) {
        let n = self.mean.len();
        let k = &self.constants;
        // ⟨z⟩_w, which makes ⟨y⟩_w.
        let mut z_w = vec![0.0; n];
        for (&weight, z) in k.weights[..k.parents].iter().zip(draws) {
            z_w.iter_mut().zip(*z).for_each(|(sum, &z)| *sum += weight * f64::from(z));
        }
        let y_w = self.covariance.shape(z_w.iter().copied());
        // (42) with c_m = 1
        self.mean.iter_mut().zip(&y_w).for_each(|(m, y)| *m += self.sigma * y);
        // (43)
        let (decay, gain) = (1.0 - k.c_sigma, (k.c_sigma * (2.0 - k.c_sigma) * k.mu_eff).sqrt());
        let isotropic = self.covariance.isotropic(&z_w);
        self.path_sigma.iter_mut().zip(isotropic).for_each(|(p, z)| *p = decay * *p + gain * z);
        let squared: f64 = self.path_sigma.iter().map(|p| p * p).sum();
        // h_σ: a path much longer than a random one, after its beginning is allowed for, stalls the path p_c.
        let told = self.history.generations + 1;
        let expected = n as f64 * (1.0 - decay.powf(2.0 * told as f64));
        let stalled = squared / expected >= 2.0 + 4.0 / (n as f64 + 1.0);
        // (45)
        let gain = if stalled { 0.0 } else { (k.c_c * (2.0 - k.c_c) * k.mu_eff).sqrt() };
        self.path_c.iter_mut().zip(&y_w).for_each(|(p, y)| *p = (1.0 - k.c_c) * *p + gain * y);
        self.covariance.update(k, &self.path_c, stalled, draws, told);
        // (44)
        let change = k.c_sigma / k.d_sigma * (squared.sqrt() / constants::expected_norm(n) - 1.0);
        self.sigma *= change.clamp(-1.0, 1.0).exp();
    }

    fn distribution(&self) -> Distribution<'_> {
        let n = self.mean.len();
        Distribution {
            mean: &self.mean,
            sigma: self.sigma,
            start_sigma: self.settings.sigma,
            population: self.candidates(),
            deviations: (0..n).map(|j| self.sigma * self.covariance.deviation(j)).collect(),
            path: &self.path_c,
            axes: self.covariance.axes(),
        }
    }
}

/// λ of run number `restarts`.
fn population(settings: &Settings, n: usize, restarts: u32) -> usize {
    let first = if settings.population == 0 { constants::default_population(n) } else { settings.population };
    first.saturating_mul(1_usize.checked_shl(restarts).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
