//! The saved state of a training of V or M, from which a killed one resumes and ends in the same bytes: `<network>.training.safetensors`
//! in the run's folder holds the weights, the optimiser's memory, the best weights so far, how many epochs are done, and this training's lines of
//! `metrics.jsonl`.
//!
//! The file is written when a training begins, and after every epoch. Not more often: at the paper preset's sizes an epoch takes
//! seconds (V) to a minute (M), and what M's windows begin with belongs to the weights that its epoch began with. No generator's state
//! is in it, because there is none: the order of the data and all noise are draws named by the seed and the epoch.
//!
//! A state is of one configuration (as far as the network reads it), one version of dreamstep, one set of episodes and, for M, one V; any
//! other is refused, and so is one that was damaged. Once the result is written the state is removed: a number of epochs fixes the
//! schedule of the learning rate, so a finished training cannot be continued.

use crate::data::dataset::Dataset;
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::config::{Config, MdnrnnConfig};
use crate::run::folder::{RunDir, digest};
use anyhow::{Context, Result, bail, ensure};
use dreamstep_core::digest::Digest;

#[cfg(feature = "torch")]
mod training;

#[cfg(feature = "torch")]
pub use training::{Trained, Training};

/// The state's metadata.
const EPOCH: &str = "training.epoch";
const FORCES_LATER: &str = "training.forces_later";
const FINGERPRINT: &str = "fingerprint";
const CONTENTS: &str = "contents";

/// A network that is trained in epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// V.
    Vae,
    /// M.
    Mdnrnn,
}

impl Network {
    /// As the stage, the section of the configuration and the files are called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vae => "vae",
            Self::Mdnrnn => "mdnrnn",
        }
    }

    /// The sections of the configuration that its training does not read.
    #[must_use]
    pub const fn unread(self) -> &'static [&'static str] {
        match self {
            Self::Vae => &["controller", "dream", "mdnrnn", "rounds"],
            Self::Mdnrnn => &["controller", "dream", "rounds"],
        }
    }

    /// What a state depends on besides the code: the values that are read, the episodes, and for M the bytes of V.
    fn fingerprint(self, config: &Config, run: &RunDir, data: &Dataset) -> Result<String> {
        let Config { controller, dream, rounds, .. } = Config::default();
        let mut read = Config { controller, dream, rounds, ..config.clone() };
        if self == Self::Vae {
            read.mdnrnn = MdnrnnConfig::default();
        }
        let settings = Digest::default().update_bytes(read.provenance().as_bytes()).value();
        let upstream = if self == Self::Mdnrnn { digest(&run.vae())? } else { "-".into() };
        Ok(format!("{} {settings:016x} {:016x} {upstream}", env!("CARGO_PKG_VERSION"), data.fingerprint()))
    }
}

/// A training that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Epochs that are done.
    pub epoch: usize,
    /// The command that began it was to make the stages after it anew, too.
    pub forces_later: bool,
}

/// The training of `network` that `run` holds the state of, if any.
///
/// # Errors
/// One line: the state cannot be read, was damaged, or is of another configuration or other data.
pub fn under_way(network: Network, config: &Config, run: &RunDir, data: &Dataset) -> Result<Option<UnderWay>> {
    if !run.training(network.name()).exists() {
        return Ok(None);
    }
    let state = read(network, config, run, &network.fingerprint(config, run, data)?)?;
    Ok(Some(UnderWay { epoch: state.meta(EPOCH)?, forces_later: state.meta(FORCES_LATER)? }))
}

/// The state in `run`'s folder, whole and of this `fingerprint`.
fn read(network: Network, config: &Config, run: &RunDir, fingerprint: &str) -> Result<Checkpoint> {
    let path = run.training(network.name());
    let (name, instead) = (path.display(), "--force starts anew");
    let damaged = || format!("expected the state of a training to resume, found a damaged file ({instead})");
    let mut state = Checkpoint::read(&path).with_context(damaged)?;
    let expected: String = state.meta(CONTENTS).with_context(damaged)?;
    state.metadata.remove(CONTENTS);
    let found = contents(&state)?;
    ensure!(expected == found, "{}: {name}: expected contents {expected}, found {found}", damaged());
    if let Some((key, then, now)) = config.first_difference(&state.meta::<String>(meta::CONFIG)?, network.unread())? {
        bail!("{name}: state of a training with {key} = {then}, expected {now} as asked for; {instead}");
    }
    let found: String = state.meta(FINGERPRINT)?;
    ensure!(
        found == fingerprint,
        "{name}: expected the state of a training by this version on these episodes{}, found that of another version or other data; {instead}",
        if network == Network::Mdnrnn { " and this V" } else { "" }
    );
    Ok(state)
}

/// Digest of a state that does not have one yet: a flipped bit in a weight would make another result, silently.
fn contents(state: &Checkpoint) -> Result<String> {
    Ok(format!("{:016x}", Digest::default().update_bytes(&state.to_bytes()?).value()))
}
