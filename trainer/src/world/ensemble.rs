//! The ensemble of M's that dream: the run's own, and as many more as `dream.ensemble` asks for, trained on the same latents with other
//! initial weights, another order of the data and other held-out episodes. `RUN/ensemble/1`, `2`, … are run folders of V and M, so that a
//! killed training resumes like any other.

use crate::agent::pack::{Ingredients, base_agent, made_from};
use crate::data::dataset::Dataset;
use crate::env::EnvSpec;
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::config::{Config, LatentSource};
use crate::run::folder::{RunDir, digest, write_atomic};
use crate::world::device::{self, Device};
use crate::world::resume::{self, Network};
use crate::world::stage::StageInput;
use anyhow::{Context, Result};
use dreamstep_core::pack::AlignedBytes;

/// V with each M and a controller of zeros, the run's own first. M's that are missing, or are of another V or configuration, are trained;
/// with `force` all but the run's own.
///
/// # Errors
/// V or M is missing or does not fit, or a training failed.
pub fn agents(config: &Config, run: &RunDir, data: &Dataset, spec: &EnvSpec, force: bool) -> Result<Vec<AlignedBytes>> {
    let mut agents = vec![base_agent(&Ingredients::read(run)?, config)?];
    for member in 1..config.dream.ensemble as u64 {
        let folder = folder(run, member);
        let config = member_config(config, member);
        train(&config, run, &folder, data, spec, force).with_context(|| format!("M {member} of the ensemble"))?;
        agents.push(base_agent(&Ingredients::read(&folder)?, &config)?);
    }
    Ok(agents)
}

/// That no M has to be trained, where there is no libtorch to do it.
///
/// # Errors
/// One line, where one has.
pub fn check(config: &Config, run: &RunDir, force: bool) -> Result<()> {
    let missing = (1..config.dream.ensemble as u64).any(|member| force || !folder(run, member).mdnrnn().exists());
    if missing { device::needs_torch(&format!("dream.ensemble = {}", config.dream.ensemble)) } else { Ok(()) }
}

fn folder(run: &RunDir, member: u64) -> RunDir {
    RunDir::new(&run.root().join("ensemble").join(member.to_string()))
}

/// What member `member` is trained with.
fn member_config(config: &Config, member: u64) -> Config {
    let mut config = config.clone();
    // Far from the seeds that a user counts through.
    config.seed = config.seed.wrapping_add(member << 32);
    config.mdnrnn.latents = LatentSource::OnTheFly;
    config
}

/// Trains one of them, unless it is there.
fn train(config: &Config, run: &RunDir, folder: &RunDir, data: &Dataset, spec: &EnvSpec, force: bool) -> Result<()> {
    if !folder.vae().exists() || digest(&folder.vae())? != digest(&run.vae())? {
        write_atomic(&folder.vae(), &std::fs::read(run.vae())?)?;
    }
    let force = force || folder.mdnrnn().exists() && !is_of(config, folder)?;
    let under_way = !force && resume::under_way(Network::Mdnrnn, config, folder, data).is_ok_and(|state| state.is_some());
    if folder.mdnrnn().exists() && !force && !under_way {
        return Ok(());
    }
    device::needs_torch(&format!("dream.ensemble = {}", config.dream.ensemble))?;
    let input = StageInput {
        config,
        data,
        actions: &spec.actions,
        run: folder,
        device: Device::Cpu,
        force: !under_way,
        forces_later: false,
        progress: &|_| (),
    };
    super::train(Network::Mdnrnn, &input).map(|_| ())
}

/// Whether the M in `folder` is of its V and of `config`.
fn is_of(config: &Config, folder: &RunDir) -> Result<bool> {
    let mdnrnn = Checkpoint::read(&folder.mdnrnn())?;
    let recorded = mdnrnn.metadata.get(meta::CONFIG).map(String::as_str).unwrap_or_default();
    let same = config.first_difference(recorded, Network::Mdnrnn.unread())?.is_none();
    Ok(same && made_from(&mdnrnn, "vae", &folder.vae()).is_ok())
}
