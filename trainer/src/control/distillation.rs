//! How does C survive new eyes and a new memory? V and M that were fitted again speak of other [z, h], so the weights of the controller
//! before mean nothing to them. What carries over is what it did: C begins as the linear map from the new [z, h] that answers as that
//! *teacher* answered, by ridge regression on the recorded episodes, and then on episodes that the pupil itself plays while the teacher
//! says what it would have done (DAgger: Ross, Gordon & Bagnell 2011, algorithm 3.1).

use super::whitening::Whitening;
use crate::agent::controller;
use crate::agent::file;
use crate::data::dataset::Dataset;
use crate::env::pool::{EnvPool, Policy, Trajectory};
use crate::run::checkpoint::Checkpoint;
use crate::run::config::Config;
use crate::run::folder::RunDir;
use crate::stats::{Moments, Ridge};
use anyhow::{Result, anyhow, ensure};
use dreamstep_core::c::ControllerKind;
use dreamstep_core::pack::{AlignedBytes, Unpacked, unpack};
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::{Agent, Model, memory_len};
use ndarray::Array2;

/// Recorded steps that are learnt from: the newest, which are likest to what the teacher does.
const RECORDED_STEPS: usize = 200_000;
/// Times that the pupil plays and learns from what the teacher would have done.
const LESSONS: u32 = 4;
/// Episodes of a lesson.
const EPISODES: usize = 64;
/// Ridge, per row, on whitened features.
const RIDGE: f64 = 1e-4;
/// The same, where the teacher's answers are a linear map of what the pupil reads, and are to be met to the last digit.
const EXACT_RIDGE: f64 = 1e-9;
/// They are, where this share of each answer's variance is all that such a map leaves.
const EXACT: f64 = 1e-3;
/// What the teacher asks of an actuator beyond so many times its range is learnt as this much: it makes no difference.
const MOST: f64 = 3.0;

/// The agent whose controller is carried over.
pub(crate) struct Teacher {
    bytes: AlignedBytes,
    parts: Unpacked,
    /// Plain weights and biases of its C.
    values: Vec<f32>,
}

/// What a lesson cost and came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lesson {
    pub(super) steps: u64,
    /// Mean return of the pupil.
    pub(super) mean_return: f64,
}

impl Teacher {
    /// The run's, where it has one.
    pub(crate) fn of(run: &RunDir) -> Result<Option<Self>> {
        let path = run.teacher();
        if !path.exists() {
            return Ok(None);
        }
        let bytes = file::read(&path)?;
        let parts = unpack(&bytes).map_err(|error| anyhow!("{}: {error}", path.display()))?;
        let tensors = parts.tensors.iter().map(|(name, (shape, data))| (name.clone(), (shape.clone(), data.clone())));
        let values = controller::read(&Checkpoint::of(&path.display().to_string(), tensors), &parts.settings.dims)?;
        Ok(Some(Self { values, parts, bytes }))
    }

    /// Its weights and biases, where the pupil (`base`, packed) has its very V and M, and a C of its kind and input: then there is nothing
    /// to learn.
    pub(crate) fn hand_over(&self, base: &[u8]) -> Result<Option<Vec<f32>>> {
        let pupil = unpack(base).map_err(|error| anyhow!("base agent: {error}"))?;
        let others = |parts: &Unpacked| {
            let mut tensors = parts.tensors.clone();
            let own = controller::tensors(&parts.settings.dims, &self.values);
            own.into_iter().for_each(|(name, ..)| drop(tensors.remove(name)));
            tensors
        };
        let same = self.parts.settings.dims == pupil.settings.dims && others(&self.parts) == others(&pupil);
        Ok(same.then(|| self.values.clone()))
    }

    fn model(&self) -> Result<Model<'_>> {
        Model::load(&self.bytes).map_err(|error| anyhow!("teacher: {error}"))
    }

    /// The weights and biases on `pupil`'s input (`[z, h]`, `I = Z+H` of them, or another) that answer as this teacher does. `told` hears of every lesson.
    ///
    /// # Errors
    /// The two are of different environments, an episode cannot be read or failed, or the data leave the regression open.
    pub(super) fn teach(
        &self,
        pupil: &Model<'_>,
        whitening: &Whitening,
        data: &Dataset,
        arena: &EnvPool,
        config: &Config,
        mut told: impl FnMut(Lesson),
    ) -> Result<Vec<f32>> {
        let mut moments = self.recorded(pupil, whitening, data)?;
        let (theirs, features) = (pupil.dims(), pupil.dims().controller_inputs());
        let mut controller = fit(&moments, features, whitening)?;
        for lesson in 0..LESSONS {
            let panels = controller::panels(theirs, &controller)?;
            let acting = pupil.with_controller(&panels).map_err(|error| anyhow!("pupil: {error}"))?;
            let played = arena.map(EPISODES, |player, i| {
                let seed = Philox::new(config.seed).bits(Stream::Lesson, u64::from(lesson), i as u32);
                let mut story = Trajectory::new();
                let outcome =
                    player.trajectory(Policy::Agent(&acting), seed, config.controller.max_episode_steps, &mut story)?;
                let answers = self.answers(&self.model()?, pupil, whitening, story.into_iter())?;
                Ok((outcome, answers))
            })?;
            played.iter().for_each(|(_, answers)| moments.add(answers.view()));
            let sum: f64 = played.iter().map(|(outcome, _)| outcome.episode_return).sum();
            let steps = played.iter().map(|(outcome, _)| outcome.length).sum();
            told(Lesson { steps, mean_return: sum / EPISODES as f64 });
            controller = fit(&moments, features, whitening)?;
        }
        Ok(controller)
    }

    /// As [`Self::teach`], from the recorded episodes alone: in dreams nobody plays for lessons.
    ///
    /// # Errors
    /// As [`Self::teach`]'s.
    pub(crate) fn recall(&self, pupil: &Model<'_>, whitening: &Whitening, data: &Dataset) -> Result<Vec<f32>> {
        fit(&self.recorded(pupil, whitening, data)?, pupil.dims().controller_inputs(), whitening)
    }

    /// Moments of [`Self::answers`] on the newest recorded episodes.
    fn recorded(&self, pupil: &Model<'_>, whitening: &Whitening, data: &Dataset) -> Result<Moments> {
        let model = self.model()?;
        let (mine, theirs) = (model.dims(), pupil.dims());
        ensure!(
            (mine.obs_len(), mine.action_len()) == (theirs.obs_len(), theirs.action_len()),
            "teacher: expected observations of {} and actions of {}, found {} and {}",
            theirs.obs_len(),
            theirs.action_len(),
            mine.obs_len(),
            mine.action_len()
        );
        ensure!(
            theirs.c.kind == ControllerKind::Linear,
            "teacher: expected a linear controller to learn its answers (controller.hidden = []), or one of its very V, M and C, found an MLP"
        );
        let mut moments = Moments::new(theirs.controller_inputs() + 2 * theirs.action_len());
        let mut rows = 0;
        for id in (0..data.len()).rev() {
            let episode = data.read(id)?;
            let observed = episode.observations.rows().into_iter().map(|row| row.to_vec());
            let acted = episode.actions.rows().into_iter().map(|row| row.to_vec());
            let answers = self.answers(&model, pupil, whitening, observed.zip(acted))?;
            moments.add(answers.view());
            rows += answers.nrows();
            if rows >= RECORDED_STEPS {
                break;
            }
        }
        Ok(moments)
    }

    /// Of every step of an episode that somebody played: what the pupil's controller would read, whitened, what the teacher would have
    /// answered, as far as it makes a difference, and what its answer was before that cut. `[T, I+A+A]`
    fn answers(
        &self,
        model: &Model<'_>,
        pupil: &Model<'_>,
        whitening: &Whitening,
        story: impl Iterator<Item = (Vec<f32>, Vec<f32>)>,
    ) -> Result<Array2<f32>> {
        let (mut mine, mut theirs) = (vec![0.0; memory_len(model.dims())], vec![0.0; memory_len(pupil.dims())]);
        let answer = controller::mlp(model.dims(), &self.values);
        let (mut teacher, mut pupil) = (Agent::new(*model, &mut mine)?, Agent::new(*pupil, &mut theirs)?);
        let mut rows = Vec::new();
        let mut count = 0;
        for (observation, action) in story {
            for agent in [&mut teacher, &mut pupil] {
                agent.act_in_place(&observation)?;
            }
            rows.extend(whitening.whiten(pupil.controller_input().iter().copied()));
            let answers = answer.forward(teacher.controller_input().iter().map(|&feature| f64::from(feature)))?;
            rows.extend(answers.iter().map(|answer| answer.clamp(-MOST, MOST) as f32));
            rows.extend(answers.iter().map(|&answer| answer as f32));
            count += 1;
            // Both remember what was done, whoever did it.
            for agent in [&mut teacher, &mut pupil] {
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
