//! `train --stage controller` with `controller.scored_on = "dream"`: C is evolved inside M (Ha & Schmidhuber 2018, §"Learning inside of a
//! dream"). What decides whether what was learnt there holds awake:
//!
//! 1. V and M are packed into an agent, as for evolution on real episodes: what dreams is what runs ([`arena`]). Or libtorch computes the
//!    same dreams, on a GPU where there is one ([`torch`], `dream.engine`).
//! 2. Where the run has a teacher (`RUN/teacher.safetensors`: in a later round the agent before), C begins as what answers as it does on
//!    the recorded episodes; else as zeros, which hold still.
//! 3. Dreams begin at recorded latents, and where they go beyond what was recorded they end ([`recorded`]).
//! 4. Surviving is counted, not predicted; the rest of the reward is M's.
//! 5. All candidates of a generation dream the same dreams. Now and then the mean of the search distribution dreams some of its own, and
//!    plays real episodes where that is asked for: where dreams promise more and reality gives less, evolution stops ([`search`]).
//! 6. The best of these means is the result; of the best few the one that does best in reality, where that is asked for.
//!
//! Real steps and dreamt ones are counted apart. As everywhere, draws are named, so neither the number of threads nor a kill changes a byte.

pub mod arena;
pub mod engine;
pub mod recorded;
pub mod search;
#[cfg(feature = "torch")]
pub mod torch;

use crate::agent::controller;
use crate::agent::pack::{Ingredients, base_agent};
use crate::agent::v::Codec;
use crate::control::Whitening;
use crate::control::distillation::Teacher;
use crate::control::real::cost;
use crate::data::dataset::Dataset;
use crate::env;
use crate::env::pool::EnvPool;
use crate::run::checkpoint::Checkpoint;
use crate::run::config::{Config, DreamEngine};
use crate::run::folder::RunDir;
use crate::run::interrupt::{self, Interrupted};
use crate::run::metrics::Clock;
use crate::run::progress::Progress;
use crate::world::device::{self, Device};
use crate::world::ensemble;
use anyhow::{Result, anyhow, ensure};
use dreamstep_core::rng::Philox;
use dreamstep_runtime::Model;
use engine::Engine;
use recorded::Recorded;
use search::{FINGERPRINT, Look, Place, Search};

/// What evolution in dreams came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Generations.
    pub generations: u64,
    /// Steps dreamt.
    pub dream_steps: u64,
    /// Environment steps spent, beyond the recorded ones.
    pub real_steps: u64,
    /// The result.
    pub best: Look,
    /// Whether dreams and reality drifted apart.
    pub drifted: bool,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { generations, dream_steps, real_steps, best, drifted } = self;
        write!(f, "{generations} generations in dreams, {dream_steps} dreamt and {real_steps} real steps")?;
        if *drifted {
            f.write_str(", stopped because dreams and reality drifted apart")?;
        }
        write!(f, "; the best mean is that of generation {}: score of its dreams {:.1}", best.generation, best.dream)?;
        best.real.map_or(Ok(()), |real| write!(f, ", real return {real:.1}"))
    }
}

/// Evolves C in `run`, which holds V, M and the recorded episodes; writes `controller.safetensors`. Goes on from a saved state of the
/// same configuration, V and M, unless `force` starts anew. `device` is where libtorch dreams, if it is libtorch that dreams.
///
/// # Errors
/// One line: an ingredient is missing or does not fit, a saved state is of another configuration (`force` replaces it), or M cannot
/// dream. [`Interrupted`], where somebody asked to stop: after the generation that was under way, and saved.
pub fn train(
    config: &Config,
    run: &RunDir,
    data: &Dataset,
    force: bool,
    device: Device,
    progress: &Progress,
) -> Result<Summary> {
    let dream = &config.dream;
    let spec = env::spec(&config.env)?;
    let agents = ensemble::agents(config, run, data, &spec, force)?;
    let load = |agent| Model::load(agent).map_err(|error| anyhow!("base agent: {error}"));
    let models: Vec<Model<'_>> = agents.iter().map(|agent| load(agent)).collect::<Result<_>>()?;
    let model = &models[0];
    let features = Whitening::measure(model, data)?;
    let vae = Codec::read(&run.vae())?;
    let recorded = Recorded::gather(&models, &vae, data, spec.healthy_bonus, Philox::new(config.seed))?;
    ensure!(
        !recorded.rewards.varies || config.mdnrnn.reward_weight > 0.0,
        "mdnrnn.reward_weight = 0: must be a positive number where rewards differ: M has to predict them in dreams"
    );
    let dreams = Engine::new(config, &agents, &models, &recorded, device)?;
    let asks = dream.validation_episodes > 0 || dream.rerank_episodes > 0;
    let real = if asks { Some(EnvPool::new(&config.env, config.worker_threads())?) } else { None };
    let place = Place { config, model, features: &features, dreams: &dreams, real: real.as_ref() };

    let mut search = Search::start(config, run, model.dims(), force, || {
        let Some(teacher) = Teacher::of(run)?.filter(|_| dream.teacher) else { return Ok(None) };
        let controller = match teacher.hand_over(&agents[0])? {
            Some(controller) => controller,
            None => teacher.recall(model, &features, data)?,
        };
        Ok(Some(features.unfold(&controller)))
    })?;
    progress.set_total(dream.generations);
    progress.resume_at(search.standing.generation);
    let (mut clock, mut logged) = (Clock::start(), search.standing.dream_steps);
    while !search.standing.is_done(dream) {
        if interrupt::requested() {
            search.save(run, config)?;
            return Err(Interrupted.into());
        }
        search.generation(&place)?;
        let generation = search.standing.generation;
        if search.standing.is_done(dream) || generation.is_multiple_of(dream.validate_every) {
            search.look(&place)?;
            search.log(run, search.standing.dream_steps - logged, &clock)?;
            (clock, logged) = (Clock::start(), search.standing.dream_steps);
            search.save(run, config)?;
        }
        progress.set(generation);
        if let Some(best) = search.standing.best.first() {
            let real = best.real.map_or(String::new(), |real| format!(", real return {real:.0}"));
            progress.message(format!("best: dreams {:.0}{real}", best.dream));
        }
    }
    let summary = finish(&mut search, &place, run)?;
    cost(run).append(run, "controller")?;
    Ok(summary)
}

/// Chooses the result among the best means, and writes it.
fn finish(search: &mut Search, place: &Place<'_>, run: &RunDir) -> Result<Summary> {
    let (config, dims) = (place.config, place.model.dims());
    let mut standing = search.standing.clone();
    let mut chosen = 0;
    if config.dream.rerank_episodes > 0 {
        for (look, mean) in standing.best.iter_mut().zip(&search.means) {
            let (steps, earned) = place.play(mean, config.dream.rerank_episodes)?;
            look.real = Some(earned);
            standing.real_steps += steps;
        }
        let real = |i: &usize| standing.best[*i].real.unwrap_or(f64::NEG_INFINITY);
        // Of equals the one that dreams prefer.
        chosen = (0..standing.best.len()).rev().max_by(|a, b| real(a).total_cmp(&real(b))).unwrap_or(0);
    }
    let mut result = Checkpoint { metadata: search::provenance(config, run, &standing)?, ..Checkpoint::default() };
    controller::insert(&mut result, dims, &place.features.fold(&search.means[chosen]));
    result.write(&run.controller())?;
    Ok(Summary {
        generations: standing.generation,
        dream_steps: standing.dream_steps,
        real_steps: standing.real_steps,
        best: standing.best[chosen],
        drifted: standing.has_drifted(&config.dream),
    })
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
    let same = result.metadata.get(FINGERPRINT) == Some(&search::fingerprint(config, run)?);
    Ok(same && search::standing(&result)?.is_done(&config.dream))
}

/// That [`train`] would find in `run` what it begins with: so that a refusal comes before anything is written.
///
/// # Errors
/// As [`train`]'s.
pub fn check(config: &Config, run: &RunDir, force: bool) -> Result<()> {
    if config.dream.engine == DreamEngine::Torch {
        device::needs_torch("dream.engine = \"torch\"")?;
    }
    ensemble::check(config, run, force)?;
    base_agent(&Ingredients::read(run)?, config)?;
    if run.evolution().exists() && !force {
        search::read(config, run)?;
    }
    Ok(())
}

#[cfg(all(test, feature = "torch"))]
mod tests;
#[cfg(all(test, feature = "torch"))]
mod torch_tests;
