//! Has a commit become slower than another? Two builds of the C library in one process, timed in turn: ratios, never times.
//!
//! The base is loaded twice, from two files, so that the run shows what it takes two equal builds to differ: its noise.

use crate::library::{Library, Sizes, Subject};
use crate::timing::{Contender, Samples, interleave};
use anyhow::{Context, Result};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Backend, Model, Precision};
use std::cell::RefCell;
use std::path::Path;

/// Dreams in the batch that is timed.
const DREAMS: usize = 64;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// `act`.
    Act,
    /// `act`, then `advance`.
    Step,
    /// A tick of 64 dreams.
    Dreams,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Act, Self::Step, Self::Dreams];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Step => "step",
            Self::Dreams => "64 dreams",
        }
    }
}

/// One comparison.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The precision.
    pub precision: Precision,
    /// The back end.
    pub backend: Backend,
    /// What was timed.
    pub task: Task,
    /// The base's times.
    pub base: Samples,
    /// The new build's times.
    pub new: Samples,
    /// The base's once more.
    pub control: Samples,
    /// Whether both gave the same bits.
    pub same_bits: bool,
}

impl Comparison {
    /// Median over rounds of new / base.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.new.ratio_to(&self.base)
    }

    /// Median over rounds of base / base: how far from 1 two equal builds are.
    #[must_use]
    pub fn noise(&self) -> f64 {
        self.control.ratio_to(&self.base)
    }

    /// Whether the new build is slower by more than `limit`, as a share of the base, and by more than twice the noise.
    #[must_use]
    pub fn is_slower(&self, limit: f64) -> bool {
        self.ratio() - 1.0 > limit.max(2.0 * (self.noise() - 1.0).abs())
    }
}

/// Compares the builds at `base` and `new` on the packed-3 agent `file`, on every back end that both run. A build that reads packed-2 is given
/// the same tensors in that format.
///
/// # Errors
/// A library or the file cannot be loaded.
pub fn compare(base: &Path, new: &Path, file: &[u8], rounds: usize) -> Result<Vec<Comparison>> {
    let libraries = [Library::open(base)?, Library::open(new)?];
    let model = Model::load(file).map_err(|error| anyhow::anyhow!("this build: {error}"))?;
    let sizes = Sizes { dims: *model.dims(), dreams: DREAMS };
    let precision = model.settings().precision;
    // Another file is another library to the loader: the same one would only be counted once more.
    let folder = tempfile::tempdir().context("no temporary folder for the second copy of the base")?;
    let twin = folder.path().join("base.so");
    std::fs::copy(base, &twin).with_context(|| format!("cannot copy {}", base.display()))?;
    let [base, new] = libraries;
    let libraries = [base, new, Library::open(&twin)?];
    let mut comparisons = Vec::new();
    for (number, backend) in (0..).zip(Backend::ALL) {
        if !libraries.iter().all(|library| library.runs(number)) {
            continue;
        }
        let subjects = || -> Result<Vec<_>> {
            libraries.iter().map(|library| Ok(RefCell::new(Subject::new(library, file, number, sizes)?))).collect()
        };
        let observation = synthetic::observation(&sizes.dims, 0, 0);
        for task in Task::ALL {
            let subjects = subjects()?;
            let run = |subject: &RefCell<Subject<'_>>| {
                let mut subject = subject.borrow_mut();
                match task {
                    Task::Act => subject.act(&observation),
                    Task::Step => {
                        subject.act(&observation);
                        subject.advance();
                    }
                    Task::Dreams => subject.dream(),
                }
            };
            let calls = if task == Task::Dreams { 1 } else { 20 };
            let mut contenders: Vec<_> = subjects.iter().map(|subject| Contender::new("", calls, || run(subject))).collect();
            let samples = interleave(&mut contenders, rounds);
            drop(contenders);
            let proofs: Vec<_> = subjects.iter().map(|subject| subject.borrow().proof()).collect();
            let [base, new, control] = <[Samples; 3]>::try_from(samples).unwrap_or_default();
            let same_bits = proofs[0] == proofs[1];
            comparisons.push(Comparison { precision, backend, task, base, new, control, same_bits });
        }
    }
    Ok(comparisons)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(new: f64, control: f64) -> Comparison {
        Comparison {
            precision: Precision::F32,
            backend: Backend::Portable,
            task: Task::Step,
            base: Samples(vec![1.0, 2.0, 4.0]),
            new: Samples(vec![new, 2.0 * new, 4.0 * new]),
            control: Samples(vec![control, 2.0 * control, 4.0 * control]),
            same_bits: true,
        }
    }

    #[test]
    fn slower_is_beyond_the_limit_and_beyond_the_noise() {
        for (new, control, slower) in [
            (1.0, 1.0, false),
            (1.04, 1.0, false),
            (1.06, 1.0, true),
            (1.06, 1.04, false),
            (1.06, 0.96, false),
            (0.5, 1.0, false),
        ] {
            assert_eq!(comparison(new, control).is_slower(0.05), slower, "{new} {control}");
        }
    }
}
