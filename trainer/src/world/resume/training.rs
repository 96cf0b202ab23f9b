//! A training between two epochs: its state saved, restored, and turned into the result.

use super::{CONTENTS, EPOCH, FINGERPRINT, FORCES_LATER, Network, contents, read};
use crate::run::checkpoint::{Array, Checkpoint, meta};
use crate::run::folder::write_atomic;
use crate::run::metrics::{Cost, append_line, metrics_line};
use crate::run::tensorboard;
use crate::world::nets;
use crate::world::optim::Optimizer;
use crate::world::schedule::Schedule;
use crate::world::stage::{EpochRecord, StageInput};
use anyhow::{Context, Result, bail};
use dreamstep_core::names::metadata;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tch::nn;

/// Prefixes of the state's tensors; the optimiser's are its own.
const WEIGHTS: &str = "weights.";
const BEST: &str = "best.";

/// The state's metadata, besides what [`super::under_way`] reads.
const BEST_EPOCH: &str = "training.best_epoch";
const BEST_LOSS: &str = "training.best_loss";
const LOG: &str = "training.log";
const LOG_START: &str = "training.log_start";

/// Weights, and how good they are.
struct Best {
    epoch: usize,
    loss: f64,
    weights: BTreeMap<String, Array>,
}

/// What a training came to: the epoch of the least validation loss, whose weights are the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Counted from 1.
    pub best_epoch: usize,
    /// Epochs that were trained.
    pub epochs: usize,
    /// Its validation `loss` and the loss's parts, by name.
    pub validation: BTreeMap<String, f64>,
}

impl std::fmt::Display for Trained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let loss = self.validation.get("loss").copied().unwrap_or(f64::NAN);
        let parts = self.validation.iter().filter(|(name, _)| *name != "loss");
        let parts: Vec<_> = parts.map(|(name, value)| format!("{name} {value:.3}")).collect();
        let Self { best_epoch, epochs, .. } = self;
        write!(f, "validation loss {loss:.3} ({}), epoch {best_epoch} of {epochs}", parts.join(", "))
    }
}

/// A training between two epochs.
pub struct Training<'a> {
    pub(in crate::world) network: Network,
    pub(in crate::world) input: &'a StageInput<'a>,
    vs: &'a nn::VarStore,
    pub(in crate::world) optimizer: Optimizer,
    pub(in crate::world) schedule: Schedule,
    /// Epochs that are done, and that are asked for.
    epoch: usize,
    pub(in crate::world) epochs: usize,
    best: Option<Best>,
    /// This training's lines of the log, and how long the log was before the first.
    log: String,
    log_start: usize,
    fingerprint: String,
    forces_later: bool,
}

impl<'a> Training<'a> {
    /// Resumes from the state in the run's folder, or begins and writes one: from then on the training is under way.
    ///
    /// # Errors
    /// As [`super::under_way`]'s; or a file cannot be written.
    pub fn start(
        network: Network,
        input: &'a StageInput<'a>,
        vs: &'a nn::VarStore,
        optimizer: Optimizer,
        schedule: Schedule,
    ) -> Result<Self> {
        let fingerprint = network.fingerprint(input.config, input.run, input.data)?;
        let mut new = Self {
            network,
            input,
            vs,
            optimizer,
            schedule,
            epoch: 0,
            epochs: match network {
                Network::Vae => input.config.vae.epochs,
                Network::Mdnrnn => input.config.mdnrnn.epochs,
            },
            best: None,
            log: String::new(),
            log_start: 0,
            fingerprint,
            forces_later: input.forces_later,
        };
        if input.force || !input.run.training(network.name()).exists() {
            new.log_start = mend_log(&input.run.metrics(), None)?;
            tensorboard::rebuild(input.run)?;
            new.save()?;
            return Ok(new);
        }
        let state = read(network, input.config, input.run, &new.fingerprint)?;
        new.load(&state)?;
        mend_log(&input.run.metrics(), Some((network.name(), new.log_start, &new.log)))?;
        tensorboard::rebuild(input.run)?;
        Ok(new)
    }

    /// The epoch that comes next, from 1, whether or not it is to be trained.
    #[must_use]
    pub const fn next_epoch(&self) -> usize {
        self.epoch + 1
    }

    /// The epoch to train now, from 1; none where the configured number is done, or the schedule says that it is enough.
    #[must_use]
    pub(in crate::world) const fn begin_epoch(&self) -> Option<usize> {
        if self.epoch < self.epochs && !self.schedule.is_done() { Some(self.epoch + 1) } else { None }
    }

    /// An epoch is done: keeps its weights where they are the best so far, saves the state, logs and reports `record`, whose `best` is
    /// set here.
    ///
    /// # Errors
    /// The training loss is not finite, or a file cannot be written.
    pub(in crate::world) fn finish_epoch(&mut self, mut record: EpochRecord) -> Result<()> {
        let (name, epoch) = (self.network.name(), record.epoch);
        let [found, loss] = [&record.train, &record.validation].map(|losses| losses["loss"]);
        if !found.is_finite() {
            // Resuming would end here again, and another learning rate is another training.
            self.remove()?;
            let parts = record.train.iter().filter(|(name, value)| **name != "loss" && !value.is_finite());
            let parts: Vec<_> = parts.map(|(name, value)| format!("{name} {value}")).collect();
            let parts = parts.join(", ");
            bail!("{name}: epoch {epoch}: expected a finite loss, found {found} ({parts}); lower {name}.learning_rate");
        }
        record.best = loss.is_finite() && self.best.as_ref().is_none_or(|best| loss < best.loss);
        if record.best {
            self.best = Some(Best { epoch, loss, weights: nets::export(self.vs)? });
        }
        self.epoch = epoch;
        self.schedule.epoch_ended(loss);
        let line = metrics_line(&record)?;
        self.log += &line;
        // A kill after the first leaves a log that lacks a line: resuming mends it.
        self.save()?;
        append_line(self.input.run, &line)?;
        (self.input.progress)(&record);
        Ok(())
    }

    /// Ends the training: writes `frame` with the best epoch's weights as the result and with the last epoch's beside it, removes the
    /// state, and logs the cost. `ready` makes weights that were trained fit to be used.
    ///
    /// # Errors
    /// No epoch had a finite validation loss, or a file cannot be written.
    pub fn write(mut self, frame: &Checkpoint, ready: impl Fn()) -> Result<Trained> {
        let (name, run) = (self.network.name(), self.input.run);
        let frame_with_weights = || -> Result<Checkpoint> {
            ready();
            let mut file = frame.clone();
            file.tensors.extend(nets::export(self.vs)?);
            Ok(file)
        };
        let mut last = frame_with_weights()?;
        last.set_meta(meta::EPOCH, self.epoch);
        last.write(&run.last(name))?;

        let best = self.best.take().with_context(|| format!("{name}: expected a finite validation loss, found none"))?;
        nets::import(self.vs, &Checkpoint { origin: name.into(), tensors: best.weights, ..Checkpoint::default() })?;
        let mut result = frame_with_weights()?;
        let lines: Vec<Value> = self.log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let logged = lines.iter().find(|line| line["epoch"] == best.epoch).and_then(|line| line["validation"].as_object());
        let values = logged.into_iter().flatten().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
        let trained = Trained { best_epoch: best.epoch, epochs: self.epoch, validation: values.collect() };
        trained.validation.iter().for_each(|(name, value)| result.set_meta(&format!("{}{name}", meta::VALIDATION), value));
        result.set_meta(&format!("{}best_epoch", meta::VALIDATION), best.epoch);
        result.write(&match self.network {
            Network::Vae => run.vae(),
            Network::Mdnrnn => run.mdnrnn(),
        })?;
        self.remove()?;
        Cost::of(lines.iter()).append(run, name)?;
        Ok(trained)
    }

    fn remove(&self) -> Result<()> {
        let path = self.input.run.training(self.network.name());
        match std::fs::remove_file(&path) {
            // Another process was faster.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.with_context(|| format!("{}: cannot remove", path.display())),
        }
    }

    fn save(&self) -> Result<()> {
        let mut state = Checkpoint::default();
        let mut insert = |prefix: &str, tensors: BTreeMap<String, Array>| {
            state.tensors.extend(tensors.into_iter().map(|(name, array)| (format!("{prefix}{name}"), array)));
        };
        insert(WEIGHTS, nets::export(self.vs)?);
        if let Some(best) = &self.best {
            insert(BEST, best.weights.clone());
            state.set_meta(BEST_EPOCH, best.epoch);
            state.set_meta(BEST_LOSS, best.loss);
        }
        self.optimizer.save(&mut state)?;
        self.schedule.save(&mut state);
        if !state.tensors.values().flat_map(|array| &array.data).all(|value| value.is_finite()) {
            // The weights diverged in the epoch's last update, and the next epoch's loss will say so. The state before stays: resuming
            // from it ends in the same way.
            return Ok(());
        }
        state.set_meta(metadata::FORMAT, metadata::FORMAT_CHECKPOINT);
        state.set_meta(meta::VERSION, env!("CARGO_PKG_VERSION"));
        state.set_meta(meta::STAGE, self.network.name());
        state.set_meta(meta::CONFIG, self.input.config.provenance());
        state.set_meta(FINGERPRINT, &self.fingerprint);
        state.set_meta(EPOCH, self.epoch);
        state.set_meta(FORCES_LATER, self.forces_later);
        state.set_meta(LOG, &self.log);
        state.set_meta(LOG_START, self.log_start);
        state.set_meta(CONTENTS, contents(&state)?);
        state.write(&self.input.run.training(self.network.name()))
    }

    fn load(&mut self, state: &Checkpoint) -> Result<()> {
        let tensors = |prefix: &str| -> BTreeMap<String, Array> {
            let named = state.tensors.iter().filter_map(|(name, array)| Some((name.strip_prefix(prefix)?, array)));
            named.map(|(name, array)| (name.to_owned(), array.clone())).collect()
        };
        let weights = Checkpoint { origin: state.origin.clone(), tensors: tensors(WEIGHTS), ..Checkpoint::default() };
        nets::import(self.vs, &weights)?;
        self.optimizer.load(state)?;
        self.schedule.load(state)?;
        if state.metadata.contains_key(BEST_EPOCH) {
            let (epoch, loss) = (state.meta(BEST_EPOCH)?, state.meta(BEST_LOSS)?);
            self.best = Some(Best { epoch, loss, weights: tensors(BEST) });
        }
        self.epoch = state.meta(EPOCH)?;
        self.forces_later = state.meta(FORCES_LATER)?;
        self.log = state.meta(LOG)?;
        self.log_start = state.meta(LOG_START)?;
        Ok(())
    }
}

/// Puts the log at `path` right and returns its length. A last line that a kill cut short goes. With `(stage, start, lines)`: of all
/// that `stage` wrote from byte `start` on, `lines` remain, none twice and none lost; what other stages wrote there stays behind them.
fn mend_log(path: &Path, training: Option<(&str, usize, &str)>) -> Result<usize> {
    let found = match std::fs::read(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("{}: cannot read", path.display())),
    };
    let whole = found.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let mut mended = found[..whole].to_vec();
    if let Some((stage, start, lines)) = training {
        let tail = mended.split_off(start.min(whole));
        mended.extend_from_slice(lines.as_bytes());
        for line in tail.split_inclusive(|&byte| byte == b'\n') {
            let record = serde_json::from_slice::<Value>(line);
            if record.is_ok_and(|record| record["stage"] != stage) {
                mended.extend_from_slice(line);
            }
        }
    }
    if mended != found {
        write_atomic(path, &mended)?;
    }
    Ok(mended.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_mended_whatever_a_kill_left_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let line = |stage: &str, epoch: u32| format!("{{\"stage\":\"{stage}\",\"epoch\":{epoch}}}\n");
        let before = line("vae", 1);
        let (one, two, other) = (line("vae", 1), line("vae", 2), line("controller", 10));
        let lines = format!("{one}{two}");
        assert_eq!(mend_log(&path, None).unwrap(), 0);
        assert!(!path.exists(), "nothing to mend");
        for found in [
            format!("{before}{one}{two}"),
            format!("{before}{one}"),
            before.clone(),
            format!("{before}{one}{}", &two[..9]),
            format!("{before}{one}{two}{}", line("vae", 3)),
        ] {
            std::fs::write(&path, &found).unwrap();
            let length = mend_log(&path, Some(("vae", before.len(), &lines))).unwrap();
            let mended = std::fs::read_to_string(&path).unwrap();
            assert_eq!((mended.as_str(), length), (format!("{before}{lines}").as_str(), mended.len()), "{found:?}");
        }
        std::fs::write(&path, format!("{before}{one}{other}")).unwrap();
        mend_log(&path, Some(("vae", before.len(), &lines))).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{before}{lines}{other}"));
        // A training that begins leaves all but a line that was cut short.
        std::fs::write(&path, format!("{before}{other}{}", &one[..5])).unwrap();
        assert_eq!(mend_log(&path, None).unwrap(), before.len() + other.len());
        // A log that was removed has what is known of it.
        std::fs::remove_file(&path).unwrap();
        mend_log(&path, Some(("vae", before.len(), &lines))).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), lines);
    }
}
