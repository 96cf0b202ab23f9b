//! `train --stage controller`: C is evolved (Ha & Schmidhuber 2018, C and §"Learning inside of a dream").
//!
//! 1. V and M are packed into a base agent; the recorded episodes are replayed through it, for the scale of every feature that C reads.
//! 2. Where the run has a teacher policy (`RUN/teacher.safetensors`), C starts as what answers as it does ([`super::distillation`]); else
//!    with a last layer of zeros, which does not move.
//! 3. An evolution strategy searches over weights on whitened features; candidates are scored on real episodes or in dreams of M
//!    ([`Scorer`]).
//! 4. Now and then the mean of the search distribution is validated, and the state saved. The best of these means is the result; in dreams,
//!    of the best few the one that does best in real episodes, where that is asked for.
//!
//! Every random number is named, so a run that was killed and resumed ends in the same bytes as one that was not; neither do they depend on
//! the number of threads.

use super::distillation::{Iteration, Taught, Teacher};
use super::dream::{Imagined, recorded};
use super::generation::Scorer;
use super::lessons::Notebook;
use super::real::RealEpisodes;
use super::scored::Spent;
use super::search::{Search, State, Validation, anew, is_finished_earlier, is_of, read_state};
use super::whitening::Whitening;
use crate::agent::pack::{Ingredients, base_agent, base_agent_in, calibration_frames_of};
use crate::data::dataset::Dataset;
use crate::env;
use crate::run::checkpoint::Checkpoint;
use crate::run::config::{Config, DreamEngine, ScoredOn};
use crate::run::folder::RunDir;
use crate::run::interrupt;
use crate::run::metrics::{Clock, Cost, append_metrics};
use crate::run::progress::Progress;
use crate::world::device::{self, Device};
use crate::world::ensemble;
use anyhow::{Result, anyhow, ensure};
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::precision::Precision;
use dreamstep_runtime::Model;
use serde_json::{Value, json};
use std::fmt;

/// What evolution came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// What was spent, and the validations.
    pub state: State,
    /// That of the result.
    pub best: Validation,
    /// Whether dreams and real episodes drifted apart.
    pub drifted: bool,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { generation, steps, dream_steps, failed, .. } = self.state;
        match self.best.dream {
            None => write!(f, "{generation} generations, {steps} steps")?,
            Some(_) => write!(f, "{generation} generations in dreams, {dream_steps} imagined and {steps} real steps")?,
        }
        if self.drifted {
            f.write_str(", stopped because dreams and real episodes drifted apart")?;
        }
        if failed > 0 {
            write!(f, ", {failed} candidates failed")?;
        }
        write!(f, "; the best mean is that of {}", self.best)
    }
}

/// What evolution may spend, and in which unit.
#[must_use]
pub const fn budget(config: &Config) -> (u64, &'static str) {
    match config.controller.scored_on {
        ScoredOn::Episodes => (config.controller.steps, "steps"),
        ScoredOn::Dreams => (config.dream.generations, "generations"),
    }
}

/// Evolves C in `run`, which holds V, M and the recorded episodes; writes `controller.safetensors`. Resumes from a saved state of the same
/// configuration, V and M, unless `force` starts anew. `device` is libtorch's, where it is libtorch that dreams.
///
/// # Errors
/// One line: an ingredient is missing or does not fit, a saved state is of another configuration (`force` replaces it), M cannot dream, or
/// no candidate could be scored. [`interrupt::Interrupted`], where a signal came: after the generation under way, and saved.
pub fn train(
    config: &Config,
    run: &RunDir,
    data: &Dataset,
    force: bool,
    device: Device,
    progress: &Progress,
) -> Result<Summary> {
    let mut ledger = Ledger { run, clock: Clock::start(), steps: 0, total: 0 };
    let summary = evolve(config, run, data, force, device, progress, &mut ledger);
    // However it ended: what was spent since the last record is in the log.
    ledger.log(json!({ "phase": "end" }))?;
    if summary.is_ok() {
        cost(run).append(run, "controller")?;
    }
    summary
}

fn evolve(
    config: &Config,
    run: &RunDir,
    data: &Dataset,
    force: bool,
    device: Device,
    progress: &Progress,
    ledger: &mut Ledger<'_>,
) -> Result<Summary> {
    let in_dreams = config.controller.scored_on == ScoredOn::Dreams;
    let agents = match in_dreams {
        false => vec![base_agent(&Ingredients::read(run)?, config)?],
        true => ensemble::agents(config, run, data, &env::spec(&config.env)?, force)?,
    };
    // What plays episodes, where that is narrower.
    let narrow = match config.controller.precision {
        Precision::F32 => None,
        precision => {
            let frames = if precision == Precision::I8 { calibration_frames_of(data)? } else { Vec::new() };
            Some([base_agent_in(precision, &Ingredients::read(run)?, config, &frames)?])
        }
    };
    let load = |agent| Model::load(agent).map_err(|error| anyhow!("base agent: {error}"));
    let acting = narrow.as_ref().map_or(&agents[..], |narrow| &narrow[..]);
    let models: Vec<Model<'_>> = acting.iter().map(|agent| load(agent)).collect::<Result<_>>()?;
    let model = &models[0];
    let recorded = if in_dreams { Some(recorded::read(config, run, data, &models)?) } else { None };
    let scorer = match &recorded {
        None => Scorer::Real(RealEpisodes::new(config, model)?),
        Some(recorded) => Scorer::Dream(Imagined::new(config, &agents, &models, recorded, device)?),
    };
    let teacher = Teacher::of(run)?.filter(|_| !in_dreams || config.dream.teacher);
    let notebook = Notebook::new(config, run)?;
    if force {
        notebook.remove()?;
    }
    let mut search = if resumes(run, force) {
        Search::resume(config, run, model.dims())?
    } else {
        let whitening = Whitening::measure(model, data)?;
        let start = teacher.as_ref().map(|teacher| -> Result<Vec<f32>> {
            teacher.check(&agents[0], config)?;
            if let Some(controller) = teacher.hand_over(&agents[0])? {
                return Ok(controller);
            }
            // Only on real episodes does the student play.
            let school = if let Scorer::Real(real) = &scorer { Some((real, &notebook)) } else { None };
            let Taught { values, steps } = teacher.teach(
                model,
                &whitening,
                data,
                school,
                config,
                |Iteration { number, steps, mean_return, kept }| {
                    if kept {
                        ledger.total += steps;
                        return Ok(());
                    }
                    ledger.steps += steps;
                    progress.message(format!("learning from {}: mean return {mean_return:.0}", run.teacher().display()));
                    ledger.log(json!({ "phase": "lesson", "lesson": number, "mean_return": mean_return }))
                },
            )?;
            ledger.steps += steps;
            Ok(values)
        });
        let mut search = Search::new(config, model.dims(), whitening, start.transpose()?.as_deref())?;
        search.state.steps = ledger.total + ledger.steps;
        search
    };
    ledger.log(json!({ "phase": "setup" }))?;

    let place = |state: &State| if in_dreams { state.generation } else { state.steps.min(config.controller.steps) };
    progress.set_total(budget(config).0);
    progress.resume_at(place(&search.state));
    let mut newest = Spent::default();
    loop {
        let spent = |state: &State| if in_dreams { state.dream_steps } else { state.steps };
        let before = spent(&search.state);
        if search.is_due(config, teacher.is_some()) {
            search.validate(config, &scorer)?;
            ledger.steps += spent(&search.state) - before;
            ledger.log(search.line(config, &newest))?;
            search.save(config, run)?;
            notebook.remove()?;
            if let Some(best) = search.state.best.first() {
                progress.message(format!("best: {best}"));
            }
        }
        // A validation spends steps, and may find that dreams have drifted.
        if search.state.is_done(config) {
            break;
        }
        if let Err(interrupted) = interrupt::check() {
            search.save(config, run)?;
            return Err(interrupted);
        }
        let before = spent(&search.state);
        newest = search.generation(config, &scorer)?;
        ledger.steps += spent(&search.state) - before;
        progress.set(place(&search.state));
    }
    if let Scorer::Dream(imagined) = &scorer {
        search.rerank(config, imagined)?;
    }
    search.result(config, run, model.dims())?.write(&run.controller())?;
    let drifted = in_dreams && search.state.has_drifted(&config.dream);
    Ok(Summary { best: search.state.best[0], drifted, state: search.state })
}

/// Whether a search goes on; not where lessons are kept, for those are of one that was to begin anew.
fn resumes(run: &RunDir, force: bool) -> bool {
    !force && run.evolution().exists() && !run.lessons().exists()
}

/// What was spent since the newest record of the log.
struct Ledger<'a> {
    run: &'a RunDir,
    clock: Clock,
    steps: u64,
    /// Steps of the records before.
    total: u64,
}

impl Ledger<'_> {
    /// Logs it with `record`, an object.
    fn log(&mut self, mut record: Value) -> Result<()> {
        let (seconds, cpu_seconds) = (self.clock.seconds(), self.clock.cpu_seconds());
        record["stage"] = "controller".into();
        record["items"] = self.steps.into();
        record["seconds"] = seconds.into();
        record["cpu_seconds"] = cpu_seconds.into();
        record["items_per_s"] = (self.steps as f64 / seconds).into();
        self.total += self.steps;
        (self.clock, self.steps) = (Clock::start(), 0);
        append_metrics(self.run, &record)
    }
}

/// What the log says that evolution took since it last said so in one line.
fn cost(run: &RunDir) -> Cost {
    // A log that was removed says nothing.
    let text = std::fs::read_to_string(run.metrics()).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let own: Vec<_> = lines.filter(|line| line["stage"] == "controller").collect();
    let start = own.iter().rposition(|line| line["cost"].is_object()).map_or(0, |last| last + 1);
    Cost::of(own[start..].iter())
}

/// Whether `run` holds a finished C of this very configuration, V and M.
///
/// # Errors
/// One line: the result, V or M cannot be read.
pub fn is_finished(config: &Config, run: &RunDir) -> Result<bool> {
    if !run.controller().exists() || run.lessons().exists() {
        return Ok(false);
    }
    let result = Checkpoint::read(&run.controller())?;
    if !State::is_in(&result) {
        return is_finished_earlier(&result, config, run);
    }
    Ok(is_of(&result, config, run)? && State::read(&result)?.is_done(config))
}

/// That `config`, whose environment is recorded, asks for no episode of it.
fn expect_no_episodes(config: &Config) -> Result<()> {
    let why = "where env = \"recorded\": there is no simulator to play episodes in";
    ensure!(
        config.controller.scored_on == ScoredOn::Dreams,
        "controller.scored_on = \"episodes\": must be \"dreams\" {why}"
    );
    let dream = &config.dream;
    for (key, episodes) in [("validation", dream.validation_episodes), ("rerank", dream.rerank_episodes)] {
        ensure!(episodes == 0, "dream.{key}_episodes = {episodes}: must be 0 {why}");
    }
    Ok(())
}

/// That [`train`] would find what it begins with, so that a refusal comes before anything is written: in `run`, where V and M are there
/// (`networks_stay`), and in `teacher`, the packed agent that C is to begin as, where it is not the run's already.
///
/// # Errors
/// As [`train`]'s.
pub fn check(config: &Config, run: &RunDir, force: bool, networks_stay: bool, teacher: Option<&AlignedBytes>) -> Result<()> {
    if config.env.is_recorded() {
        expect_no_episodes(config)?;
    }
    if config.controller.scored_on == ScoredOn::Dreams {
        if config.dream.engine == DreamEngine::Torch {
            device::needs_torch("dream.engine = \"torch\"")?;
        }
        if networks_stay {
            ensemble::check(config, run, force)?;
        }
    }
    let teacher = match teacher {
        Some(bytes) => Some(Teacher::new(AlignedBytes::new(bytes))?),
        None => Teacher::of(run)?,
    };
    let teacher = teacher
        .filter(|_| !resumes(run, force) && (config.controller.scored_on == ScoredOn::Episodes || config.dream.teacher));
    if !networks_stay {
        return Ok(());
    }
    let base = base_agent(&Ingredients::read(run)?, config)?;
    if let Some(teacher) = teacher {
        teacher.check(&base, config)?;
    }
    let learns = !force && run.lessons().exists();
    if learns {
        Notebook::new(config, run)?.read(0)?;
    } else if resumes(run, force) {
        read_state(config, run)?;
    }
    ensure!(
        force || learns || run.evolution().exists() || !run.controller().exists(),
        "{}: imported, or made with other settings, V or M, or by an earlier version: its search cannot be continued; {}",
        run.controller().display(),
        anew(run)
    );
    Ok(())
}
