//! `train --stage controller`: which linear map from [z, h] to actions earns the most? Evolved on real episodes (Ha & Schmidhuber
//! 2018, C), each stepped by the runtime crate itself: what is trained is what will run.
//!
//! 1. V and M are packed into a base agent.
//! 2. The recorded episodes are replayed through it, for the mean and standard deviation of every feature in [z, h].
//! 3. PGPE searches over weights on *whitened* features, where one step size suits all; a candidate is folded back into plain
//!    weights before it plays, so the deployed controller is one linear layer.
//! 4. All candidates of a generation meet the same episodes. Now and then the mean of the search distribution plays a fixed set
//!    of validation episodes; the best of these means is the result.
//!
//! The state is saved every few generations, and when somebody asks to stop, and a run that was killed goes on from there: every random
//! number is named, so it ends in the same bytes as one that was not. Neither depends on the number of threads.

use crate::checkpoint::{Checkpoint, meta};
use crate::config::{Config, ControllerConfig};
use crate::dataset::Dataset;
use crate::evolve::pgpe::{Pgpe, Settings};
use crate::interrupt::{self, Interrupted};
use crate::pack::{Ingredients, base_agent};
use crate::play::{Arena, Estimate, Policy};
use crate::progress::Progress;
use crate::run_dir::{RunDir, digest};
use crate::stage::{Clock, Cost, append_metrics};
use anyhow::{Result, ensure};
use dreamstep_core::digest::Digest;
use dreamstep_core::dims::Dims;
use dreamstep_core::names::{checkpoint as names, metadata};
use dreamstep_core::pack::controller_panels;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::{Agent, Model, memory_len};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Generations between two looks at the validation episodes, which are also the points that a killed run goes on from.
const VALIDATE_EVERY: u64 = 10;
/// Validation episodes.
const VALIDATION_EPISODES: usize = 16;
/// A feature that varies less than this on the data is whitened as if it varied this much.
const MIN_FEATURE_STD: f64 = 0.01;

/// What evolution came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Generations.
    pub generations: u64,
    /// Environment steps spent.
    pub steps: u64,
    /// Return of the result on the validation episodes.
    pub best: f64,
}

/// Evolves C in `run`, which holds V, M and the recorded episodes; writes `controller.safetensors`. Goes on from a saved state of the
/// same configuration, V and M, unless `force` starts anew.
///
/// # Errors
/// One line: an ingredient is missing or does not fit, a saved state is of another configuration (`force` replaces it), or an
/// episode failed. [`Interrupted`], where somebody asked to stop: after the generation that was under way, and saved.
pub fn train(config: &Config, run: &RunDir, data: &Dataset, force: bool, progress: &Progress) -> Result<Summary> {
    let ingredients = Ingredients::read(run)?;
    let base = base_agent(&ingredients, config)?;
    let model = Model::load(&base).map_err(|error| anyhow::anyhow!("base agent: {error}"))?;
    let dims = *model.dims();
    let features = Whitening::measure(&model, data)?;
    let arena = Arena::new(&config.env, config.worker_threads())?;
    let controller = &config.controller;

    let mut search = Search::start(config, run, &dims, force)?;
    progress.set_total(controller.steps);
    progress.resume_at(search.steps);
    let (mut clock, mut logged) = (Clock::start(), search.steps);
    while search.steps < controller.steps {
        if interrupt::requested() {
            search.save(run, config)?;
            return Err(Interrupted.into());
        }
        search.steps += generation(&mut search.pgpe, config, &model, &features, &arena)?.steps;
        let finished = search.steps >= controller.steps;
        if finished || search.pgpe.generation.is_multiple_of(VALIDATE_EVERY) {
            search.validate(config, &model, &features, &arena)?;
            search.log(run, config, search.steps - logged, &clock)?;
            (clock, logged) = (Clock::start(), search.steps);
            search.save(run, config)?;
        }
        progress.set(search.steps.min(controller.steps));
        progress.message(format!("generation {}, best mean return {:.0}", search.pgpe.generation, search.best));
    }
    let (weight, bias) = features.fold(&dims, &search.best_mean);
    let mut result = Checkpoint::default();
    result.insert(names::FC_WEIGHT, &[dims.action, dims.latent + dims.hidden], weight);
    result.insert(names::FC_BIAS, &[dims.action], bias);
    result.metadata = provenance(config, run, &search)?;
    result.write(&run.controller())?;
    cost(run).append(run, "controller")?;
    Ok(Summary { generations: search.pgpe.generation, steps: search.steps, best: search.best })
}

/// What the log says that evolution took since it last said so in one line.
pub(crate) fn cost(run: &RunDir) -> Cost {
    // A log that somebody removed says nothing.
    let text = std::fs::read_to_string(run.metrics()).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let own: Vec<_> = lines.filter(|line| line["stage"] == "controller").collect();
    let start = own.iter().rposition(|line| line["cost"].is_object()).map_or(0, |last| last + 1);
    Cost::of(own[start..].iter())
}

/// Whether `run` holds a finished C of this very configuration, V and M.
///
/// # Errors
/// One line: the result, V or M cannot be read.
pub fn is_finished(config: &Config, run: &RunDir) -> Result<bool> {
    if !run.controller().exists() {
        return Ok(false);
    }
    let result = Checkpoint::read(&run.controller())?;
    let same = result.metadata.get(FINGERPRINT) == Some(&fingerprint(config, run)?);
    Ok(same && result.meta::<u64>(STEPS)? >= config.controller.steps)
}

/// That [`train`] would find in `run` what it begins with: so that a refusal comes before anything is written.
///
/// # Errors
/// As [`train`]'s.
pub fn check(config: &Config, run: &RunDir, force: bool) -> Result<()> {
    base_agent(&Ingredients::read(run)?, config)?;
    if run.evolution().exists() && !force {
        read_state(config, run)?;
    }
    Ok(())
}

/// Mean and standard deviation of every feature in [z, h] on the recorded episodes.
pub struct Whitening {
    /// `[Z+H]`
    pub mean: Vec<f64>,
    /// `[Z+H]` above 0.
    pub std: Vec<f64>,
}

impl Whitening {
    /// Replays the episodes of `data` with the actions that were taken.
    pub(crate) fn measure(model: &Model<'_>, data: &Dataset) -> Result<Self> {
        let n = model.dims().latent + model.dims().hidden;
        let mut memory = vec![0.0; memory_len(model.dims())];
        let mut agent = Agent::new(model, &mut memory)?;
        let (mut sum, mut squares, mut count) = (vec![0.0; n], vec![0.0; n], 0.0_f64);
        for id in 0..data.len() {
            let episode = data.read(id)?;
            agent.reset();
            for (observation, action) in episode.observations.rows().into_iter().zip(episode.actions.rows()) {
                // Rows of an array in standard layout are slices.
                agent.act_in_place(&observation.to_vec())?;
                for (i, &value) in agent.latent().iter().chain(agent.hidden()).enumerate() {
                    sum[i] += f64::from(value);
                    squares[i] += f64::from(value) * f64::from(value);
                }
                count += 1.0;
                agent.override_action(&action.to_vec())?;
                agent.advance()?;
            }
        }
        ensure!(count > 0.0, "recorded episodes: expected at least one step, found none");
        let mean: Vec<f64> = sum.iter().map(|s| s / count).collect();
        let variance = squares.iter().zip(&mean).map(|(s, m)| (s / count - m * m).max(0.0));
        Ok(Self { std: variance.map(|v| v.sqrt().max(MIN_FEATURE_STD)).collect(), mean })
    }

    /// From parameters on whitened features (weights `[A, Z+H]`, then biases `[A]`) to plain weights and biases.
    pub(crate) fn fold(&self, dims: &Dims, parameters: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let n = self.mean.len();
        let (weights, biases) = parameters.split_at(dims.action * n);
        let mut weight = Vec::with_capacity(weights.len());
        let mut bias = Vec::with_capacity(biases.len());
        for (row, &b) in weights.chunks_exact(n).zip(biases) {
            let scaled = || row.iter().zip(&self.std).map(|(&w, std)| f64::from(w) / std);
            weight.extend(scaled().map(|w| w as f32));
            bias.push((f64::from(b) - scaled().zip(&self.mean).map(|(w, mean)| w * mean).sum::<f64>()) as f32);
        }
        (weight, bias)
    }

    /// `parameters` as the controller that plays, in panels, and its biases.
    pub(crate) fn panels(&self, dims: &Dims, parameters: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (weight, bias) = self.fold(dims, parameters);
        controller_panels(dims, &weight, &bias)
    }
}

/// What a generation took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Environment steps.
    pub steps: u64,
    /// Drawing the perturbations.
    pub ask: Duration,
    /// Making the candidates' weights, all workers added up.
    pub candidates: Duration,
    /// Moving the search distribution.
    pub tell: Duration,
}

/// One generation of `pgpe`: every candidate, folded into `model`'s controller, plays the same episodes in `arena`.
///
/// # Errors
/// An episode failed.
pub fn generation(
    pgpe: &mut Pgpe,
    config: &Config,
    model: &Model<'_>,
    features: &Whitening,
    arena: &Arena,
) -> Result<Spent> {
    let ControllerConfig { directions, episodes, reward_offset, max_episode_steps, .. } = config.controller;
    let (search, number) = (&*pgpe, pgpe.generation);
    let start = Instant::now();
    let generation = search.ask();
    let ask = start.elapsed();
    let results = arena.map(2 * directions, |player, index| {
        let start = Instant::now();
        let mut parameters = Vec::new();
        search.candidate(&generation, index, &mut parameters);
        let (panels, bias) = features.panels(model.dims(), &parameters);
        let candidate =
            model.with_controller(&panels, &bias).map_err(|error| anyhow::anyhow!("candidate {index}: {error}"))?;
        let making = start.elapsed();
        let (mut score, mut steps) = (0.0, 0);
        for episode in 0..episodes {
            let seed = Philox::new(config.seed).bits(Stream::EvolutionReset, number, episode as u32);
            let outcome = player.episode(Policy::Agent(&candidate), seed, max_episode_steps)?;
            score += outcome.episode_return - reward_offset * outcome.length as f64;
            steps += outcome.length;
        }
        Ok((score / episodes as f64, steps, making))
    })?;
    let scores: Vec<f64> = results.iter().map(|result| result.0).collect();
    let start = Instant::now();
    pgpe.tell(&generation, &scores);
    Ok(Spent {
        steps: results.iter().map(|result| result.1).sum(),
        ask,
        candidates: results.iter().map(|result| result.2).sum(),
        tell: start.elapsed(),
    })
}

/// The search that `config` asks for.
#[must_use]
pub fn settings(config: &Config) -> Settings {
    let c = &config.controller;
    Settings {
        seed: config.seed,
        directions: c.directions,
        sigma_learning_rate: c.sigma_learning_rate as f32,
        sigma_max_change: c.sigma_max_change as f32,
        max_speed: c.max_speed as f32,
        momentum: c.momentum as f32,
    }
}

/// Evolution between two generations.
struct Search {
    pgpe: Pgpe,
    steps: u64,
    best: f64,
    best_mean: Vec<f32>,
    latest: f64,
}

impl Search {
    /// From the saved state, where there is one of the same configuration; else from zero weights: a controller that holds still.
    fn start(config: &Config, run: &RunDir, dims: &Dims, force: bool) -> Result<Self> {
        let settings = settings(config);
        let n = dims.action * (dims.latent + dims.hidden + 1);
        let path = run.evolution();
        if path.exists() && !force {
            let saved = read_state(config, run)?;
            let vector = |name| saved.tensor(name, &[n]).map(<[f32]>::to_vec);
            let generation = saved.meta(GENERATION)?;
            let pgpe = Pgpe::resume(settings, generation, vector("mean")?, vector("sigma")?, vector("velocity")?);
            let (steps, best) = (saved.meta(STEPS)?, saved.meta(BEST)?);
            return Ok(Self { pgpe, steps, best, best_mean: vector("best_mean")?, latest: best });
        }
        let pgpe = Pgpe::new(settings, vec![0.0; n], config.controller.sigma as f32);
        Ok(Self { best_mean: pgpe.mean.clone(), pgpe, steps: 0, best: f64::NEG_INFINITY, latest: f64::NAN })
    }

    /// Plays the mean on the validation episodes and keeps it where it is the best so far.
    fn validate(&mut self, config: &Config, model: &Model<'_>, features: &Whitening, arena: &Arena) -> Result<()> {
        let (panels, bias) = features.panels(model.dims(), &self.pgpe.mean);
        let candidate = model.with_controller(&panels, &bias).map_err(|error| anyhow::anyhow!("mean: {error}"))?;
        let outcomes = arena.map(VALIDATION_EPISODES, |player, i| {
            let seed = Philox::new(config.seed).bits(Stream::EvolutionReset, u64::MAX, i as u32);
            player.episode(Policy::Agent(&candidate), seed, 0)
        })?;
        self.steps += outcomes.iter().map(|outcome| outcome.length).sum::<u64>();
        let returns: Vec<f64> = outcomes.iter().map(|outcome| outcome.episode_return).collect();
        self.latest = Estimate::of(&returns).mean;
        if self.latest > self.best {
            self.best = self.latest;
            self.best_mean = self.pgpe.mean.clone();
        }
        Ok(())
    }

    /// With the `items` steps, and the time, that were taken since the line before.
    fn log(&self, run: &RunDir, config: &Config, items: u64, clock: &Clock) -> Result<()> {
        let sigma = Estimate::of(&self.pgpe.sigma.iter().map(|&s| f64::from(s)).collect::<Vec<_>>()).mean;
        let line = serde_json::json!({
            "stage": "controller", "generation": self.pgpe.generation, "steps": self.steps, "directions": config.controller.directions,
            "validation_return": self.latest, "best_return": self.best, "mean_sigma": sigma, "items": items,
            "seconds": clock.seconds(), "cpu_seconds": clock.cpu_seconds(), "items_per_s": items as f64 / clock.seconds(),
        });
        append_metrics(run, &line)
    }

    fn save(&self, run: &RunDir, config: &Config) -> Result<()> {
        let mut state = Checkpoint::default();
        let n = self.pgpe.mean.len();
        for (name, values) in [
            ("mean", &self.pgpe.mean),
            ("sigma", &self.pgpe.sigma),
            ("velocity", &self.pgpe.velocity),
            ("best_mean", &self.best_mean),
        ] {
            state.insert(name, &[n], values.clone());
        }
        state.metadata = provenance(config, run, self)?;
        state.write(&run.evolution())
    }
}

/// The saved state, which must be of this configuration, V and M.
fn read_state(config: &Config, run: &RunDir) -> Result<Checkpoint> {
    let saved = Checkpoint::read(&run.evolution())?;
    ensure!(
        saved.metadata.get(FINGERPRINT) == Some(&fingerprint(config, run)?),
        "{}: expected the state of an evolution with this configuration, V and M, found another's; --force starts anew",
        run.evolution().display()
    );
    Ok(saved)
}

/// What a saved state depends on: the configuration but for the budget, and the bytes of V and M.
fn fingerprint(config: &Config, run: &RunDir) -> Result<String> {
    let mut config = config.clone();
    config.controller.steps = 1;
    let settings = Digest::default().update_bytes(config.provenance().as_bytes()).value();
    Ok(format!("{settings:016x} {} {}", digest(&run.vae())?, digest(&run.mdnrnn())?))
}

fn provenance(config: &Config, run: &RunDir, search: &Search) -> Result<BTreeMap<String, String>> {
    let entries = [
        (metadata::FORMAT, metadata::FORMAT_CHECKPOINT.to_string()),
        (meta::STAGE, "controller".to_string()),
        (meta::SEED, config.seed.to_string()),
        (meta::VERSION, env!("CARGO_PKG_VERSION").to_string()),
        (meta::CONFIG, config.provenance()),
        (metadata::ENV, config.env.clone()),
        (GENERATION, search.pgpe.generation.to_string()),
        (STEPS, search.steps.to_string()),
        (BEST, search.best.to_string()),
    ];
    let mut map: BTreeMap<String, String> = entries.map(|(key, value)| (key.to_string(), value)).into();
    map.insert(format!("{}vae", meta::UPSTREAM), digest(&run.vae())?);
    map.insert(format!("{}mdnrnn", meta::UPSTREAM), digest(&run.mdnrnn())?);
    map.insert(FINGERPRINT.to_string(), fingerprint(config, run)?);
    Ok(map)
}

/// Metadata of the result and of the saved state.
const FINGERPRINT: &str = "fingerprint";
const GENERATION: &str = "validation.generation";
const STEPS: &str = "validation.steps";
const BEST: &str = "validation.return";
