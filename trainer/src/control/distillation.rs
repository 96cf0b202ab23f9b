//! Distillation of a teacher policy into C. The weights of an earlier controller mean nothing to a retrained V and M, whose [z, h] are
//! others; its actions do. C starts as the linear map from the new [z, h] that acts as the teacher does: behaviour cloning by ridge
//! regression on the recorded episodes, then DAgger (Ross, Gordon & Bagnell 2011, algorithm 3.1) on episodes that the student plays; the best in
//! validation is the result.
//!
//! A C with hidden layers learns the same rows by gradient descent ([`super::cloning`]).
//!
//! A privileged teacher sees what is behind the student's pictures (Chen et al. 2019, *Learning by Cheating*). Recorded pictures do not tell that:
//! its first lessons are episodes that it plays itself.
//!
//! Of a teacher that chooses, its scores are learnt where a linear map meets them exactly; else its choices, by softmax regression. To come
//! near the scores of another kind of C is to come near them everywhere, and not where two of them cross; to regress on one-hot choices is to
//! lose those between two others.

use super::candidate::Controller;
use super::lessons::{Lessons, Notebook};
use super::real::RealEpisodes;
use super::whitening::Whitening;
use crate::agent::controller;
use crate::agent::file;
use crate::agent::mlp::Mlp;
use crate::data::dataset::Dataset;
use crate::env::ends_run;
use crate::env::pool::{EnvPool, Player, Policy};
use crate::env::privileged_spec;
use crate::env::size_text;
use crate::run::checkpoint::Checkpoint;
use crate::run::config::{Config, ScoredOn};
use crate::run::folder::RunDir;
use crate::run::interrupt;
use anyhow::{Context, Result, anyhow, ensure};
use dreamstep_core::action::Action;
use dreamstep_core::dims::Dims;
use dreamstep_core::maths::tanh;
use dreamstep_core::obs::Observation;
use dreamstep_core::pack::{AlignedBytes, Unpacked, unpack};
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_core::schema::Squash;
use dreamstep_runtime::{Agent, Model, memory_len};
use ndarray::{Array2, Axis};

/// Recorded steps that are learnt from: the newest, which are likest to what the teacher does.
const RECORDED_STEPS: usize = 200_000;
/// Of the C's that lessons came to, so many are validated: the last, and those whose own episodes returned the most.
const FINALISTS: usize = 4;
/// What the teacher asks of an actuator beyond so many times its range is learnt as this much: it makes no difference.
const MOST: f32 = 3.0;

/// The teacher policy: a packed agent.
pub(super) struct Teacher {
    bytes: AlignedBytes,
    parts: Unpacked,
    /// Plain weights and biases of its C.
    values: Vec<f32>,
}

/// What lessons came to.
pub(super) struct Taught {
    /// Plain weights and biases of C.
    pub(super) values: Vec<f32>,
    /// Steps of the choice among several.
    pub(super) steps: u64,
}

/// A DAgger iteration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Iteration {
    /// From 0.
    pub(super) number: u32,
    pub(super) steps: u64,
    /// Mean return of the student; of a privileged teacher in the first.
    pub(super) mean_return: f64,
    /// Whether an earlier process played it.
    pub(super) kept: bool,
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

    /// Whether it sees what a student of `theirs` does not.
    fn is_privileged(&self, theirs: &Dims) -> bool {
        self.parts.settings.dims.obs != theirs.obs
    }

    /// That the student (`base`, packed) can begin as this teacher, as `config` has it.
    ///
    /// # Errors
    /// One line: the two are of different environments, or a privileged teacher has no episodes to play.
    pub(super) fn check(&self, base: &[u8], config: &Config) -> Result<()> {
        let (mine, theirs) =
            (&self.parts.settings.dims, unpack(base).map_err(|error| anyhow!("base agent: {error}"))?.settings.dims);
        let privileged = privileged_spec(&config.env)?.is_some_and(|spec| mine.obs == Observation::Vector { len: spec.obs });
        ensure!(
            !privileged || config.controller.scored_on == ScoredOn::Episodes,
            "teacher: one that sees what is behind the picture plays real episodes: expected controller.scored_on = \"episodes\""
        );
        ensure!(
            mine.action == theirs.action && (privileged || mine.obs_len() == theirs.obs_len()),
            "teacher: expected observations of {} and actions of {}, found {} and {}",
            theirs.obs_len(),
            size_text(&theirs.action),
            mine.obs_len(),
            size_text(&mine.action)
        );
        Ok(())
    }

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

    /// A C of `student` that acts as this teacher does: on the recorded episodes, and then on episodes that the student plays, where there are any to
    /// play; a lesson that is in the notebook is not played again. Of the C's that lessons came to, it is the one that does best in validation. `done` hears
    /// of every iteration.
    ///
    /// # Errors
    /// An episode cannot be read, all of an iteration failed, or the data leave the regression
    /// open. [`interrupt::Interrupted`], where a signal came.
    pub(super) fn teach(
        &self,
        student: &Model<'_>,
        whitening: &Whitening,
        data: &Dataset,
        school: Option<(&RealEpisodes<'_>, &Notebook<'_>)>,
        config: &Config,
        mut done: impl FnMut(Iteration) -> Result<()>,
    ) -> Result<Taught> {
        let is_privileged = self.is_privileged(student.dims());
        let mut lessons = Lessons::new(student.dims(), config)?;
        if !is_privileged {
            self.recorded(&mut lessons, student, whitening, data)?;
        }
        let mut learnt = if is_privileged { None } else { Some(whitening.fold(&lessons.fit()?)) };
        // What acted in a lesson, and came to so much.
        let mut acted = Vec::new();
        let last = school.map_or(0, |_| config.controller.lessons + u32::from(is_privileged));
        for number in 0..last {
            let Some((real, notebook)) = school else { break };
            let (of, next) = if let Some(kept) = notebook.read(number)? {
                (Iteration::of(&kept, number)?, lessons.resume(&kept)?)
            } else {
                let (of, rows) = self.lesson(student, whitening, real.training_pool(), config, learnt.as_deref(), number)?;
                lessons.add(&rows);
                let next = lessons.fit()?;
                notebook.write(&of, &rows, &next, &lessons)?;
                (of, next)
            };
            acted.extend(learnt.replace(whitening.fold(&next)).map(|values| (of.mean_return, values)));
            done(of)?;
        }
        let learnt = learnt.context("teacher: expected real episodes to play, found none")?;
        let Some((real, _)) = school.filter(|_| !acted.is_empty()) else { return Ok(Taught { values: learnt, steps: 0 }) };
        acted.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let mut best = Taught { values: Vec::new(), steps: 0 };
        let mut most = None;
        for values in [learnt].into_iter().chain(acted.into_iter().map(|(_, values)| values).take(FINALISTS - 1)) {
            interrupt::check()?;
            let returns = real.validate(&values, config.controller.validation_episodes)?;
            best.steps += returns.steps;
            if most.is_none_or(|most| returns.mean > most) {
                (most, best.values) = (Some(returns.mean), values);
            }
        }
        Ok(best)
    }

    /// Lesson `number`, in which the C with plain weights `acting` plays, or else the teacher: how it went, and its rows `[T, I+U+U]`.
    fn lesson(
        &self,
        student: &Model<'_>,
        whitening: &Whitening,
        pool: &EnvPool,
        config: &Config,
        acting: Option<&[f32]>,
        number: u32,
    ) -> Result<(Iteration, Array2<f32>)> {
        let (is_privileged, teacher) = (self.is_privileged(student.dims()), self.model()?);
        let rng = Philox::new(config.seed);
        let made = acting.map(|values| Controller::new(student.dims(), values)).transpose()?;
        let acting = made.as_ref().map(|made| made.model(student).context("student")).transpose()?;
        let policy = Policy::Agent(acting.as_ref().unwrap_or(&teacher));
        let played = pool.map(config.controller.lesson_episodes, |player, i| {
            interrupt::check()?;
            let seed = rng.bits(Stream::Lesson, u64::from(number), i as u32);
            let mut memories = Memories::new(&teacher, student);
            let mut lesson = Lesson::new(self, &teacher, student, whitening, &mut memories)?;
            let outcome = player.watch(policy, seed, config.controller.cut(0.0), |tick| {
                let single = |numbers: &[f64]| numbers.iter().map(|&o| o as f32).collect::<Vec<_>>();
                let acting = tick.agent.filter(|_| acting.is_some());
                let privileged = tick.privileged.filter(|_| is_privileged).map(single);
                lesson.see(&single(tick.observation), privileged.as_deref(), tick.action, acting)
            });
            if let Err(error) = outcome {
                if ends_run(&error, &config.env) {
                    return Err(error);
                }
                // Whatever the episode left half-done is not used again.
                *player = Player::under(&config.env, config.controller.physics)?;
                return Ok(Err(error));
            }
            let answers = lesson.rows()?;
            Ok(outcome.map(|outcome| (outcome, answers)))
        })?;
        let (sound, failed): (Vec<_>, Vec<_>) = played.into_iter().partition(Result::is_ok);
        let sound: Vec<_> = sound.into_iter().flatten().collect();
        if let (true, Some(Err(error))) = (sound.is_empty(), failed.into_iter().next()) {
            return Err(error.context("student, or its teacher"));
        }
        let sum: f64 = sound.iter().map(|(outcome, _)| outcome.episode_return).sum();
        let steps = sound.iter().map(|(outcome, _)| outcome.length).sum();
        let rows: Vec<_> = sound.iter().map(|(_, answers)| answers.view()).collect();
        Ok((
            Iteration { number, steps, mean_return: sum / sound.len() as f64, kept: false },
            ndarray::concatenate(Axis(0), &rows)?,
        ))
    }

    /// Adds the newest recorded episodes to `lessons`.
    fn recorded(&self, lessons: &mut Lessons, student: &Model<'_>, whitening: &Whitening, data: &Dataset) -> Result<()> {
        let model = self.model()?;
        let mut memories = Memories::new(&model, student);
        let mut rows = 0;
        for id in (0..data.len()).rev() {
            interrupt::check()?;
            let episode = data.read(id)?;
            let mut lesson = Lesson::new(self, &model, student, whitening, &mut memories)?;
            for (observation, action) in episode.observations.iter().zip(episode.actions.rows()) {
                lesson.see(&observation, None, &action.to_vec(), None)?;
            }
            let answers = lesson.rows()?;
            lessons.add(&answers);
            rows += answers.nrows();
            if rows >= RECORDED_STEPS {
                break;
            }
        }
        Ok(())
    }
}

/// What a teacher and its student remember.
struct Memories {
    teacher: Vec<f32>,
    student: Vec<f32>,
}

impl Memories {
    fn new(teacher: &Model<'_>, student: &Model<'_>) -> Self {
        let [teacher, student] = [teacher, student].map(|model| vec![0.0; memory_len(model.dims())]);
        Self { teacher, student }
    }
}

/// An episode that a teacher answers, and its student sees.
struct Lesson<'a> {
    teacher: Agent<'a, 'a>,
    student: Agent<'a, 'a>,
    whitening: &'a Whitening,
    /// The teacher's C.
    c: Mlp,
    squashes: [Squash; 2],
    /// Of every step: what the student's controller reads, whitened, what the teacher answers, as far as it makes a difference, and what its answer
    /// is before that cut. `[I+U+U]`
    rows: Vec<f32>,
}

impl<'a> Lesson<'a> {
    fn new(
        teacher: &'a Teacher,
        model: &'a Model<'a>,
        student: &'a Model<'a>,
        whitening: &'a Whitening,
        memories: &'a mut Memories,
    ) -> Result<Self> {
        Ok(Self {
            teacher: Agent::new(*model, &mut memories.teacher)?,
            student: Agent::new(*student, &mut memories.student)?,
            whitening,
            c: controller::mlp(model.dims(), &teacher.values),
            squashes: [model, student].map(|model| model.settings().squash),
            rows: Vec::new(),
        })
    }

    /// A step in which `action` is taken: by the student, where it is `acting`, whose V and M then need not run again.
    fn see(
        &mut self,
        observation: &[f32],
        privileged: Option<&[f32]>,
        action: &[f32],
        acting: Option<&Agent<'_, '_>>,
    ) -> Result<()> {
        let Self { teacher, student, whitening, c, squashes, rows } = self;
        teacher.act_in_place(privileged.unwrap_or(observation))?;
        match acting {
            Some(acting) => rows.extend(whitening.whiten(acting.controller_input().iter().copied())),
            None => {
                student.act_in_place(observation)?;
                rows.extend(whitening.whiten(student.controller_input().iter().copied()));
            }
        }
        let answers = c.forward(teacher.controller_input().iter().map(|&feature| f64::from(feature)))?;
        match teacher.model().dims().action {
            Action::Discrete { .. } => {
                // What all scores have in common makes no difference.
                let mean = answers.iter().sum::<f64>() / answers.len() as f64;
                let scores = || answers.iter().map(|answer| (answer - mean) as f32);
                rows.extend(scores().chain(scores()));
            }
            _ => {
                rows.extend(answers.iter().map(|&answer| as_asked(answer as f32, *squashes)));
                rows.extend(answers.iter().map(|&answer| answer as f32));
            }
        }
        // Both remember the action that was taken.
        for agent in [Some(teacher), Some(student).filter(|_| acting.is_none())].into_iter().flatten() {
            agent.override_action(action)?;
            agent.advance()?;
        }
        Ok(())
    }

    /// `[T, I+U+U]`
    fn rows(self) -> Result<Array2<f32>> {
        let columns = self.whitening.mean.len() + 2 * self.student.model().dims().unit_len();
        Ok(Array2::from_shape_vec((self.rows.len() / columns, columns), self.rows)?)
    }
}

/// What a student of the second squash asks of an actuator to have it do what a teacher of the first asks for with `answer`, as far as it makes a
/// difference.
fn as_asked(answer: f32, squashes: [Squash; 2]) -> f32 {
    match squashes {
        [Squash::Tanh, Squash::Clamp] => tanh(answer),
        [Squash::Clamp, Squash::Tanh] => controller::before_tanh(answer, MOST),
        [Squash::Clamp, Squash::Clamp] | [Squash::Tanh, Squash::Tanh] => answer.clamp(-MOST, MOST),
    }
}

#[cfg(all(test, feature = "torch"))]
mod tests {
    use super::*;
    use crate::agent::pack::{Ingredients, base_agent, pack};
    use crate::control::dream::tests::{CHOICES, small};

    /// A C drawn at random is the teacher: the share of its choices that a student of the same V and M makes on the recorded episodes, and
    /// how far apart the student's scores are, as a share of the teacher's.
    fn agreement(teacher: &[&str], student: &[&str], draw: u64) -> (f64, f64) {
        let small = small(&[&[CHOICES], teacher].concat());
        let agents = small.agents();
        let model = Model::load(&agents[0]).unwrap();
        let mut parameters = vec![0.0; controller::len(model.dims())];
        Philox::new(8).fill_normal(Stream::Evolution, draw, &mut parameters);
        let values = Whitening::measure(&model, &small.data).unwrap().fold(&parameters);
        let mut c = Checkpoint::default();
        controller::insert(&mut c, model.dims(), &values);
        c.write(&small.run.controller()).unwrap();
        let teacher = Teacher::new(pack(&small.config, &small.run).unwrap()).unwrap();

        let config = small.with(&[&["controller.hidden=[]"], student].concat());
        let base = base_agent(&Ingredients::read(&small.run).unwrap(), &config).unwrap();
        let base = Model::load(&base).unwrap();
        let whitening = Whitening::measure(&base, &small.data).unwrap();
        let learnt = teacher.teach(&base, &whitening, &small.data, None, &config, |_| Ok(())).unwrap().values;
        let made = Controller::new(base.dims(), &learnt).unwrap();
        let student = made.model(&base).unwrap();
        let model = teacher.model().unwrap();
        let mut lessons = Lessons::new(base.dims(), &config).unwrap();
        teacher.recorded(&mut lessons, &student, &whitening, &small.data).unwrap();
        let (mut same, mut steps, mut kinds) = (0, 0, std::collections::BTreeSet::new());
        for id in 0..small.data.len() {
            let episode = small.data.read(id).unwrap();
            let mut memories = [&model, &student].map(|model| vec![0.0; memory_len(model.dims())]);
            let [first, second] = &mut memories;
            let mut agents = [Agent::new(model, first).unwrap(), Agent::new(student, second).unwrap()];
            for (observation, action) in episode.observations.iter().zip(episode.actions.rows()) {
                for agent in &mut agents {
                    agent.act_in_place(&observation).unwrap();
                }
                let [theirs, mine] = [agents[0].choice().unwrap(), agents[1].choice().unwrap()];
                (same, steps) = (same + usize::from(theirs == mine), steps + 1);
                kinds.insert(theirs);
                for agent in &mut agents {
                    agent.override_action(&action.to_vec()).unwrap();
                    agent.advance().unwrap();
                }
            }
        }
        assert_eq!(kinds.len(), 3, "the teacher makes every choice");
        // As far apart as the teacher's scores are.
        let square = |values: &[f32]| -> f64 {
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
            values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum()
        };
        let (mut theirs, mut mine) = (0.0, 0.0);
        let plain = controller::mlp(base.dims(), &whitening.unfold(&learnt));
        for (features, _) in lessons.chosen.unwrap_or_default() {
            for row in features.rows() {
                let scores = plain.forward(row.iter().map(|&v| f64::from(v))).unwrap();
                mine += square(&scores.iter().map(|&v| v as f32).collect::<Vec<_>>());
            }
        }
        let (mean, features) = (lessons.moments.mean(), base.dims().controller_inputs());
        for i in features..features + 3 {
            theirs += lessons.moments.scatter()[[i; 2]] + lessons.moments.count() as f64 * mean[i].powi(2);
        }
        (same as f64 / f64::from(steps), mine / theirs)
    }

    #[test]
    fn a_student_chooses_as_its_teacher() {
        // Scores that are linear in what the student reads are met to the last digit; of others, the choices.
        for (teacher, student, draw, least) in [
            (&["controller.input=z"][..], &["controller.input=z+h"][..], 1, 0.999),
            (&["controller.input=z", "controller.hidden=[6]"], &["controller.input=z"], 4, 0.93),
            (
                &["controller.input=z+h", "controller.hidden=[6]", "controller.activation=relu"],
                &["controller.input=z+h"],
                1,
                0.93,
            ),
        ] {
            let (same, size) = agreement(teacher, student, draw);
            assert!(same >= least && (size - 1.0).abs() < 1e-3, "{teacher:?}: {same} of the choices, {size} of the size");
        }
        // By gradient descent, what a line does not meet.
        let teacher = ["controller.input=z", "controller.hidden=[6]"];
        let (same, _) = agreement(&teacher, &["controller.input=z", "controller.hidden=[32,16]"], 4);
        assert!(same >= 0.97, "{same} of the choices");
    }
}
