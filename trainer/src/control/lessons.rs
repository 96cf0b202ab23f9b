//! What a student is taught: the rows of all lessons and what comes of them, kept in the run's folder lesson by lesson, so that a run that was killed
//! goes on with the next one and ends in the same bytes.

#[cfg(feature = "torch")]
use super::cloning::Cloning;
use super::distillation::Iteration;
use super::search::{anew, fingerprint};
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::config::Config;
use crate::run::folder::RunDir;
use crate::stats::{Chosen, Moments, Ridge, Softmax};
use crate::world::device::needs_torch;
use anyhow::{Context, Result, ensure};
use dreamstep_core::action::{Action, greatest};
use dreamstep_core::c::ControllerKind;
use dreamstep_core::dims::Dims;
use ndarray::{Array1, Array2, ArrayView1, s};
use std::path::PathBuf;

/// Ridge, per row, on whitened features.
const RIDGE: f64 = 1e-4;
/// The same, where the teacher's answers are a linear map of what the student reads, and are to be met to the last digit.
const EXACT_RIDGE: f64 = 1e-9;
/// They are, where this share of each answer's variance is all that such a map leaves.
const EXACT: f64 = 1e-3;

/// Of a lesson that was kept: its rows, and C's parameters on whitened features after it.
const ROWS: &str = "rows";
const LEARNT: &str = "learnt";
const FINGERPRINT: &str = "fingerprint";
const STEPS: &str = "lesson.steps";
const MEAN_RETURN: &str = "lesson.mean_return";

/// Where a run keeps the lessons of a C that has not had all of them: a file each, of tens of megabytes.
pub(super) struct Notebook<'a> {
    run: &'a RunDir,
    /// Of the configuration, V, M and the teacher.
    fingerprint: String,
}

impl<'a> Notebook<'a> {
    /// That of `run`, under `config`.
    ///
    /// # Errors
    /// One line: V, M or the teacher cannot be read.
    pub(super) fn new(config: &Config, run: &'a RunDir) -> Result<Self> {
        Ok(Self { run, fingerprint: fingerprint(config, run)? })
    }

    fn path(&self, number: u32) -> PathBuf {
        self.run.lessons().join(format!("{number}.safetensors"))
    }

    /// Lesson `number`, if it was kept.
    ///
    /// # Errors
    /// One line: it cannot be read, or is of another configuration, V, M or teacher.
    pub(super) fn read(&self, number: u32) -> Result<Option<Checkpoint>> {
        let path = self.path(number);
        if !path.exists() {
            return Ok(None);
        }
        let kept = Checkpoint::read(&path)?;
        ensure!(
            kept.metadata.get(FINGERPRINT) == Some(&self.fingerprint),
            "{}: expected a lesson with this configuration, V, M and teacher, found another's; {}",
            path.display(),
            anew(self.run)
        );
        Ok(Some(kept))
    }

    /// Keeps `rows` and what was `learnt` by then.
    ///
    /// # Errors
    /// The file cannot be written.
    #[cfg_attr(not(feature = "torch"), expect(unused_variables, reason = "only gradient descent has a state"))]
    pub(super) fn write(&self, of: &Iteration, rows: &Array2<f32>, learnt: &[f32], lessons: &Lessons) -> Result<()> {
        let mut kept = Checkpoint::default();
        kept.insert(ROWS, rows.shape(), rows.iter().copied().collect());
        kept.insert(LEARNT, &[learnt.len()], learnt.to_vec());
        #[cfg(feature = "torch")]
        if let Some(cloning) = &lessons.cloning {
            cloning.save(&mut kept)?;
        }
        kept.set_meta(FINGERPRINT, &self.fingerprint);
        kept.set_meta(meta::VERSION, env!("CARGO_PKG_VERSION"));
        kept.set_meta(STEPS, of.steps);
        kept.set_meta(MEAN_RETURN, of.mean_return);
        std::fs::create_dir_all(self.run.lessons()).with_context(|| self.run.lessons().display().to_string())?;
        kept.write(&self.path(of.number))
    }

    /// Throws all of them away, if there are any.
    ///
    /// # Errors
    /// The folder cannot be removed.
    pub(super) fn remove(&self) -> Result<()> {
        let folder = self.run.lessons();
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("{}: cannot remove it", folder.display()))?;
        }
        Ok(())
    }
}

impl Iteration {
    /// What `kept`, lesson `number`, says of it.
    pub(super) fn of(kept: &Checkpoint, number: u32) -> Result<Self> {
        Ok(Self { number, steps: kept.meta(STEPS)?, mean_return: kept.meta(MEAN_RETURN)?, kept: true })
    }
}

/// What there is to learn from: rows `[I+U+U]` of what the student's controller reads, whitened, what the teacher answers, as far as it makes a
/// difference, and what its answer is before that cut.
pub(super) struct Lessons {
    /// `I`, and `U`.
    features: usize,
    answers: usize,
    pub(super) moments: Moments,
    /// The rows' features, and what the teacher chose in each; none where it does not choose.
    pub(super) chosen: Option<Vec<Chosen>>,
    /// Who learns by gradient descent; of the others there are nothing but moments.
    #[cfg(feature = "torch")]
    cloning: Option<Cloning>,
}

impl Lessons {
    /// None yet, for a student of `dims`.
    #[cfg_attr(not(feature = "torch"), expect(unused_variables, reason = "only gradient descent has settings"))]
    pub(super) fn new(dims: &Dims, config: &Config) -> Result<Self> {
        let (features, answers) = (dims.controller_inputs(), dims.unit_len());
        let is_linear = dims.c.kind == ControllerKind::Linear;
        if !is_linear {
            needs_torch("a controller with hidden layers that learns from a teacher")?;
        }
        let chosen = (is_linear && matches!(dims.action, Action::Discrete { .. })).then(Vec::new);
        Ok(Self {
            features,
            answers,
            moments: Moments::new(features + 2 * answers),
            chosen,
            #[cfg(feature = "torch")]
            cloning: (!is_linear).then(|| Cloning::new(dims, config)),
        })
    }

    /// Adds rows `[T, I+U+U]`.
    pub(super) fn add(&mut self, rows: &Array2<f32>) {
        #[cfg(feature = "torch")]
        if let Some(cloning) = &mut self.cloning {
            return cloning.add(rows.view(), self.features, self.answers);
        }
        self.moments.add(rows.view());
        if let (Some(chosen), false) = (&mut self.chosen, rows.is_empty()) {
            let scores = rows.slice(s![.., self.features..self.features + self.answers]);
            let choices = scores.rows().into_iter().map(|scores| greatest(&scores.to_vec())).collect();
            chosen.push((rows.slice(s![.., ..self.features]).to_owned(), choices));
        }
    }

    /// C's parameters on whitened features. Of a linear one, weights `[U, I]` and biases `[U]`: the regression of the teacher's whole answers where that
    /// meets them exactly (another V that shows the same); else, of choices, the softmax regression; else that of what makes a difference.
    pub(super) fn fit(&mut self) -> Result<Vec<f32>> {
        #[cfg(feature = "torch")]
        if let Some(cloning) = &mut self.cloning {
            return cloning.fit();
        }
        let Self { features, answers, moments, chosen, .. } = &*self;
        let regress = |first: usize, ridge: f64| {
            let columns: Vec<usize> = (0..*features).chain(first..first + answers).collect();
            Ridge::from_moments(&moments.select(&columns), *features, ridge * moments.count() as f64)
        };
        let whole = regress(features + answers, EXACT_RIDGE)?;
        let scatter = moments.scatter();
        let variance = |answer: usize| scatter[[features + answers + answer; 2]] / moments.count() as f64;
        let exact = whole.residual_variance.iter().enumerate().all(|(answer, &left)| left <= EXACT * variance(answer));
        let (weight, bias) = match chosen {
            _ if exact => (whole.weight, whole.bias),
            Some(chosen) => self.choose(chosen)?,
            None => {
                let ridge = regress(*features, RIDGE)?;
                (ridge.weight, ridge.bias)
            }
        };
        Ok(weight.t().iter().chain(&bias).map(|&value| value as f32).collect())
    }

    /// Adds a lesson that was [kept](Notebook), and says what C was after it.
    pub(super) fn resume(&mut self, kept: &Checkpoint) -> Result<Vec<f32>> {
        let columns = self.features + 2 * self.answers;
        let rows = &kept.tensors.get(ROWS).with_context(|| format!("{}: tensor {ROWS} is missing", kept.origin))?;
        let rows = Array2::from_shape_vec((rows.data.len() / columns, columns), rows.data.clone())
            .with_context(|| format!("{}: tensor {ROWS}: expected rows of {columns} numbers", kept.origin))?;
        self.add(&rows);
        #[cfg(feature = "torch")]
        if let Some(cloning) = &mut self.cloning {
            cloning.load(kept)?;
        }
        let learnt = kept.tensors.get(LEARNT).with_context(|| format!("{}: tensor {LEARNT} is missing", kept.origin))?;
        Ok(learnt.data.clone())
    }

    /// The softmax regression of what was `chosen`, its scores as far apart as the teacher's: a search goes on from there, and its steps are of
    /// the size that suits those.
    fn choose(&self, chosen: &[Chosen]) -> Result<(Array2<f64>, Array1<f64>)> {
        let learnt = Softmax::fit(chosen, self.answers, RIDGE)?;
        let square = |scores: ArrayView1<'_, f64>| {
            let mean = scores.sum() / scores.len() as f64;
            scores.fold(0.0, |sum, score| sum + (score - mean).powi(2))
        };
        let of_rows = |(rows, _): &Chosen| learnt.scores(rows.view()).rows().into_iter().map(square).sum::<f64>();
        let mine: f64 = chosen.iter().map(of_rows).sum();
        let (scatter, mean) = (self.moments.scatter(), self.moments.mean());
        let columns = self.features..self.features + self.answers;
        let theirs: f64 = columns.map(|i| scatter[[i; 2]] + self.moments.count() as f64 * mean[i].powi(2)).sum();
        let factor = if mine > 0.0 && theirs > 0.0 { (theirs / mine).sqrt() } else { 1.0 };
        Ok((learnt.weight * factor, learnt.bias * factor))
    }
}
