//! `train --stage controller`: which map from [z, h], or what else `controller.input` names, to actions earns the most? A linear one, or
//! an MLP where `controller.hidden` asks for it.
//! Evolved on real episodes (Ha & Schmidhuber 2018, C), each stepped by the runtime crate itself: what is trained is what will run.
//!
//! 1. V and M are packed into a base agent.
//! 2. The recorded episodes are replayed through it, for the mean and standard deviation of every feature that C reads.
//!    Where the run has a teacher (`RUN/teacher.safetensors`, an agent of other eyes or another memory), C begins as what answers as it
//!    does (`teacher`); else with a last layer of zeros, which holds still.
//! 3. An evolution strategy ([`crate::control::strategies`], `controller.strategy`) searches over weights on *whitened* features ([`Whitening`]); all candidates of a generation meet the same episodes
//!    ([`generation()`]), more of them where scores are noisy and `controller.noise_handling` is on, in the task's physics or in cheaper
//!    ones (`controller.physics`), held upright at first where `controller.assist.force` says so.
//! 4. Now and then the mean of the search distribution plays a fixed set of validation episodes, in the task's own physics; the best of
//!    these means is the result.
//!
//! The state is saved every few generations, and when somebody asks to stop, and a run that was killed goes on from there: every random
//! number is named, so it ends in the same bytes as one that was not. Neither depends on the number of threads.

use super::distillation::Teacher;
use super::generation::{Terms, generation};
use super::search::{FINGERPRINT, STEPS, STOPPED, Search, fingerprint, read_state};
use super::whitening::Whitening;
use crate::agent::pack::{Ingredients, base_agent};
use crate::data::dataset::Dataset;
use crate::env::Physics;
use crate::env::pool::EnvPool;
use crate::run::checkpoint::Checkpoint;
use crate::run::config::Config;
use crate::run::folder::RunDir;
use crate::run::interrupt::{self, Interrupted};
use crate::run::metrics::{Clock, Cost};
use crate::run::progress::Progress;
use anyhow::Result;
use dreamstep_runtime::Model;

/// Generations between two looks at the validation episodes, which are also the points that a killed run goes on from.
const VALIDATE_EVERY: u64 = 10;

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
    let controller = &config.controller;
    let own = EnvPool::new(&config.env, config.worker_threads())?;
    let rehearsal = match controller.physics {
        Physics::Task => None,
        physics => Some(EnvPool::under(&config.env, physics, config.worker_threads())?),
    };
    let arena = rehearsal.as_ref().unwrap_or(&own);

    let mut search = Search::start(config, run, &dims, force, || {
        let whitening = Whitening::measure(&model, data)?;
        let Some(teacher) = Teacher::of(run)? else { return Ok((whitening, None, 0)) };
        if let Some(controller) = teacher.hand_over(&base)? {
            return Ok((whitening, Some(controller), 0));
        }
        let mut spent = 0;
        let learnt = teacher.teach(&model, &whitening, data, arena, config, |lesson| {
            spent += lesson.steps;
            progress.message(format!("learning from {}: mean return {:.0}", run.teacher().display(), lesson.mean_return));
        })?;
        Ok((whitening, Some(learnt), spent))
    })?;
    // What a teacher handed over is kept, should evolution lose it.
    if run.teacher().exists() && search.best == f64::NEG_INFINITY {
        search.validate(config, &model, &own)?;
    }
    progress.set_total(controller.steps);
    progress.resume_at(search.steps);
    let (mut clock, mut logged) = (Clock::start(), search.steps);
    while search.steps < controller.steps && search.strategy.stopped().is_none() {
        if interrupt::requested() {
            search.save(run, config)?;
            return Err(Interrupted.into());
        }
        let Search { strategy, noise, whitening, steps, support, .. } = &mut search;
        let terms =
            Terms { reward_offset: controller.reward_offset_at(*steps), support: *support, cut: controller.cut(*support) };
        let newest = generation(strategy, noise.as_mut(), config, terms, &model, whitening, arena)?;
        *steps += newest.steps;
        *support = controller.annealed(*support, newest.mean_length, own.time_limit());
        let finished = search.steps >= controller.steps || search.strategy.stopped().is_some();
        if finished || search.strategy.generation().is_multiple_of(VALIDATE_EVERY) {
            search.validate(config, &model, &own)?;
            search.log(run, config, search.steps - logged, &newest, &clock)?;
            (clock, logged) = (Clock::start(), search.steps);
            search.save(run, config)?;
        }
        progress.set(search.steps.min(controller.steps));
        progress.message(format!("generation {}, best mean return {:.0}", search.strategy.generation(), search.best));
    }
    search.result(run, config)?.write(&run.controller())?;
    cost(run).append(run, "controller")?;
    Ok(Summary { generations: search.strategy.generation(), steps: search.steps, best: search.best })
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
    Ok(same && (result.meta::<u64>(STEPS)? >= config.controller.steps || result.metadata.contains_key(STOPPED)))
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
