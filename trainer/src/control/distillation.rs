//! Distillation of a teacher policy into C. The weights of an earlier controller mean nothing to a retrained V and M, whose [z, h] are
//! others; its actions do. C starts as the linear map from the new [z, h] that acts as the teacher does: behaviour cloning by ridge
//! regression on the recorded episodes, then DAgger (Ross, Gordon & Bagnell 2011, algorithm 3.1) on episodes that the student plays.

use super::candidate::Controller;
use super::whitening::Whitening;
use crate::agent::controller;
use crate::agent::file;
use crate::data::dataset::Dataset;
use crate::env::ends_run;
use crate::env::pool::{EnvPool, Player, Policy, Trajectory};
use crate::env::size_text;
use crate::run::checkpoint::Checkpoint;
use crate::run::config::Config;
use crate::run::folder::RunDir;
use crate::run::interrupt;
use crate::stats::{Moments, Ridge};
use anyhow::{Context, Result, anyhow, ensure};
use dreamstep_core::action::Action;
use dreamstep_core::c::ControllerKind;
use dreamstep_core::pack::{AlignedBytes, Unpacked, unpack};
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::{Agent, Model, memory_len};
use ndarray::Array2;

/// Recorded steps that are learnt from: the newest, which are likest to what the teacher does.
const RECORDED_STEPS: usize = 200_000;
/// DAgger iterations.
const ITERATIONS: u32 = 4;
/// Episodes of an iteration.
const EPISODES: usize = 64;
/// Ridge, per row, on whitened features.
const RIDGE: f64 = 1e-4;
/// The same, where the teacher's answers are a linear map of what the student reads, and are to be met to the last digit.
const EXACT_RIDGE: f64 = 1e-9;
/// They are, where this share of each answer's variance is all that such a map leaves.
const EXACT: f64 = 1e-3;
/// What the teacher asks of an actuator beyond so many times its range is learnt as this much: it makes no difference.
const MOST: f64 = 3.0;

/// The teacher policy: a packed agent.
pub(super) struct Teacher {
    bytes: AlignedBytes,
    parts: Unpacked,
    /// Plain weights and biases of its C.
    values: Vec<f32>,
}

/// A DAgger iteration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Iteration {
    pub(super) steps: u64,
    /// Mean return of the student.
    pub(super) mean_return: f64,
}

impl Teacher {
    /// The run's, where it has one.
    pub(super) fn of(run: &RunDir) -> Result<Option<Self>> {
        let path = run.teacher();
        if !path.exists() {
            return Ok(None);
        }
        let bytes = file::read(&path)?;
        Self::new(bytes).with_context(|| path.display().to_string()).map(Some)
    }

    /// The packed agent in `bytes`.
    pub(super) fn new(bytes: AlignedBytes) -> Result<Self> {
        let parts = unpack(&bytes).map_err(|error| anyhow!("{error}"))?;
        let tensors = parts.tensors.iter().map(|(name, (shape, data))| (name.clone(), (shape.clone(), data.clone())));
        let values = controller::read(&Checkpoint::of("teacher", tensors), &parts.settings.dims)?;
        Ok(Self { values, parts, bytes })
    }

    /// That the student (`base`, packed) can begin as this teacher.
    ///
    /// # Errors
    /// One line: the two are of different environments, or C cannot learn by regression what it is not handed over.
    pub(super) fn check(&self, base: &[u8]) -> Result<()> {
        let (mine, theirs) =
            (&self.parts.settings.dims, unpack(base).map_err(|error| anyhow!("base agent: {error}"))?.settings.dims);
        ensure!(
            (mine.obs_len(), mine.action) == (theirs.obs_len(), theirs.action),
            "teacher: expected observations of {} and actions of {}, found {} and {}",
            theirs.obs_len(),
            size_text(&theirs.action),
            mine.obs_len(),
            size_text(&mine.action)
        );
        ensure!(theirs.c.kind == ControllerKind::Linear || self.hand_over(base)?.is_some(), "{}", Self::LINEAR);
        Ok(())
    }

    /// Why an MLP does not begin as a teacher of another V and M.
    pub(super) const LINEAR: &'static str = "teacher: expected a linear controller to learn its answers (controller.hidden = []), or one of \
                                             its very V, M and C, found an MLP";

    /// Its weights and biases, where the student (`base`, packed) has its very V and M, and a C of its kind and input: then there is nothing
    /// to learn.
    pub(super) fn hand_over(&self, base: &[u8]) -> Result<Option<Vec<f32>>> {
        let student = unpack(base).map_err(|error| anyhow!("base agent: {error}"))?;
        let others = |parts: &Unpacked| {
            let mut tensors = parts.tensors.clone();
            let own = controller::tensors(&parts.settings.dims, &self.values);
            own.into_iter().for_each(|(name, ..)| drop(tensors.remove(name)));
            tensors
        };
        let same = self.parts.settings.dims == student.settings.dims && others(&self.parts) == others(&student);
        Ok(same.then(|| self.values.clone()))
    }

    fn model(&self) -> Result<Model<'_>> {
        Model::load(&self.bytes).map_err(|error| anyhow!("teacher: {error}"))
    }

    /// Plain weights and biases of a C of `student` that acts as this teacher does: on the recorded episodes, and then on episodes that the
    /// student plays in `pool`, where there is one. `done` hears of every iteration.
    ///
    /// # Errors
    /// An episode cannot be read, all of an iteration failed, or the data leave the regression
    /// open. [`interrupt::Interrupted`], where a signal came.
    pub(super) fn teach(
        &self,
        student: &Model<'_>,
        whitening: &Whitening,
        data: &Dataset,
        pool: Option<&EnvPool>,
        config: &Config,
        mut done: impl FnMut(Iteration),
    ) -> Result<Vec<f32>> {
        let mut moments = self.recorded(student, whitening, data)?;
        let features = student.dims().controller_inputs();
        let mut learnt = fit(&moments, features, whitening)?;
        let Some(pool) = pool else { return Ok(learnt) };
        for iteration in 0..ITERATIONS {
            let made = Controller::new(student.dims(), &learnt)?;
            let acting = made.model(student).context("student")?;
            let played = pool.map(EPISODES, |player, i| {
                interrupt::check()?;
                let seed = Philox::new(config.seed).bits(Stream::Lesson, u64::from(iteration), i as u32);
                let mut trajectory = Trajectory::new();
                let outcome =
                    player.trajectory(Policy::Agent(&acting), seed, config.controller.max_episode_steps, &mut trajectory);
                if let Err(error) = outcome {
                    if ends_run(&error, &config.env) {
                        return Err(error);
                    }
                    // Whatever the episode left half-done is not used again.
                    *player = Player::under(&config.env, config.controller.physics)?;
                    return Ok(Err(error));
                }
                let answers = self.answers(&self.model()?, student, whitening, trajectory.into_iter())?;
                Ok(outcome.map(|outcome| (outcome, answers)))
            })?;
            let (sound, failed): (Vec<_>, Vec<_>) = played.into_iter().partition(Result::is_ok);
            let sound: Vec<_> = sound.into_iter().flatten().collect();
            if let (true, Some(Err(error))) = (sound.is_empty(), failed.into_iter().next()) {
                return Err(error.context("student"));
            }
            sound.iter().for_each(|(_, answers)| moments.add(answers.view()));
            let sum: f64 = sound.iter().map(|(outcome, _)| outcome.episode_return).sum();
            let steps = sound.iter().map(|(outcome, _)| outcome.length).sum();
            done(Iteration { steps, mean_return: sum / sound.len() as f64 });
            learnt = fit(&moments, features, whitening)?;
        }
        Ok(learnt)
    }

    /// Moments of [`Self::answers`] on the newest recorded episodes.
    fn recorded(&self, student: &Model<'_>, whitening: &Whitening, data: &Dataset) -> Result<Moments> {
        let model = self.model()?;
        let dims = student.dims();
        let mut moments = Moments::new(dims.controller_inputs() + 2 * dims.unit_len());
        let mut rows = 0;
        for id in (0..data.len()).rev() {
            interrupt::check()?;
            let episode = data.read(id)?;
            let observed = episode.observations.rows().into_iter().map(|row| row.to_vec());
            let acted = episode.actions.rows().into_iter().map(|row| row.to_vec());
            let answers = self.answers(&model, student, whitening, observed.zip(acted))?;
            moments.add(answers.view());
            rows += answers.nrows();
            if rows >= RECORDED_STEPS {
                break;
            }
        }
        Ok(moments)
    }

    /// Of every step of a trajectory: what the student's controller would read, whitened, what the teacher would have
    /// answered, as far as it makes a difference, and what its answer was before that cut. `[T, I+U+U]`
    fn answers(
        &self,
        model: &Model<'_>,
        student: &Model<'_>,
        whitening: &Whitening,
        trajectory: impl Iterator<Item = (Vec<f32>, Vec<f32>)>,
    ) -> Result<Array2<f32>> {
        let (mut mine, mut theirs) = (vec![0.0; memory_len(model.dims())], vec![0.0; memory_len(student.dims())]);
        let answer = controller::mlp(model.dims(), &self.values);
        let (mut teacher, mut student) = (Agent::new(*model, &mut mine)?, Agent::new(*student, &mut theirs)?);
        let mut rows = Vec::new();
        let mut count = 0;
        for (observation, action) in trajectory {
            for agent in [&mut teacher, &mut student] {
                agent.act_in_place(&observation)?;
            }
            rows.extend(whitening.whiten(student.controller_input().iter().copied()));
            let answers = answer.forward(teacher.controller_input().iter().map(|&feature| f64::from(feature)))?;
            match model.dims().action {
                Action::Discrete { .. } => {
                    // What all scores have in common makes no difference.
                    let mean = answers.iter().sum::<f64>() / answers.len() as f64;
                    let scores = || answers.iter().map(|answer| (answer - mean) as f32);
                    rows.extend(scores().chain(scores()));
                }
                _ => {
                    rows.extend(answers.iter().map(|answer| answer.clamp(-MOST, MOST) as f32));
                    rows.extend(answers.iter().map(|&answer| answer as f32));
                }
            }
            count += 1;
            // Both remember the action that was taken.
            for agent in [&mut teacher, &mut student] {
                agent.override_action(&action)?;
                agent.advance()?;
            }
        }
        Ok(Array2::from_shape_vec((count, rows.len() / count.max(1)), rows)?)
    }
}

/// The regression of the answers, the last columns of `moments`, on its first `features`, as plain weights and biases: of the whole answers
/// where it meets them exactly (another V that shows the same), else of what makes a difference.
fn fit(moments: &Moments, features: usize, whitening: &Whitening) -> Result<Vec<f32>> {
    let actions = (moments.mean().len() - features) / 2;
    let regress = |first: usize, ridge: f64| {
        let columns: Vec<usize> = (0..features).chain(first..first + actions).collect();
        Ridge::from_moments(&moments.select(&columns), features, ridge * moments.count() as f64)
    };
    let whole = regress(features + actions, EXACT_RIDGE)?;
    let scatter = moments.scatter();
    let variance = |action: usize| scatter[[features + actions + action; 2]] / moments.count() as f64;
    let exact = whole.residual_variance.iter().enumerate().all(|(action, &left)| left <= EXACT * variance(action));
    let ridge = if exact { whole } else { regress(features, RIDGE)? };
    let weights = ridge.weight.t().iter().map(|&w| w as f32).collect::<Vec<_>>(); // [A, I]
    let parameters: Vec<f32> = weights.into_iter().chain(ridge.bias.iter().map(|&b| b as f32)).collect();
    Ok(whitening.fold(&parameters))
}
