//! What a training will make and what it keeps: decided, without changing anything, before it begins.

use super::{Options, Stage};
use crate::agent::v::{VaeLayers, VaeShape};
use crate::agent::{file, pack};
use crate::control;
use crate::data::dataset::Dataset;
use crate::data::manifest;
use crate::data::observations::observed_text;
use crate::data::split::Split;
use crate::env::{self, EnvSpec};
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::config::{Config, VaeStart};
use crate::run::folder::RunDir;
use crate::run::{memory, output};
use crate::world::device;
use crate::world::resume::{self, Network};
use anyhow::{Result, bail, ensure};
use dreamstep_core::m::MemoryCell;
use dreamstep_core::pack::AlignedBytes;
use std::path::Path;

/// What becomes of a stage's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It was not asked for.
    Skip,
    /// It is there, and of the configuration in force.
    Keep,
    /// It is made: resumed after so many epochs (of C: where its state is), or begun.
    Make {
        /// Epochs that are done.
        after: usize,
        /// Begin anew, whatever is there.
        force: bool,
    },
}

/// The decisions of one training.
pub(super) struct Plan {
    pub(super) vae: Decision,
    pub(super) mdnrnn: Decision,
    pub(super) controller: Decision,
    /// The agent that C begins as, where the run does not have it yet.
    pub(super) teacher: Option<AlignedBytes>,
}

impl Decision {
    const fn makes(self) -> bool {
        matches!(self, Self::Make { .. })
    }
}

impl Plan {
    /// # Errors
    /// One line: everything that refuses the training.
    pub(super) fn new(config: &Config, run: &RunDir, data: &Dataset, spec: &EnvSpec, options: &Options<'_>) -> Result<Self> {
        check_data(config, run, data, spec)?;
        ensure!(
            spec.image.is_none() || !config.controller.input.has_observation(),
            "controller.input = {:?}: must be z+h, z or h where {} shows pictures, which V alone reads",
            config.controller.input.name(),
            spec.id
        );
        let teacher =
            options.teacher.map(|path| read_teacher(path, config, run, spec, options.force)).transpose()?.flatten();
        let wants = |stage| options.stage == stage || options.stage == Stage::All;
        let place = Place { config, run, data, spec };

        let (vae, force) = place.network(Network::Vae, wants(Stage::Vae), options.force, false)?;
        let (mdnrnn, force) = place.network(Network::Mdnrnn, wants(Stage::Mdnrnn), force, vae.makes())?;
        if mdnrnn.makes() && !vae.makes() {
            pack::expect(&run.vae(), "vae")?;
        }
        let networks_stay = !vae.makes() && !mdnrnn.makes();
        if !networks_stay {
            Split::new(config.seed, data.len(), config.vae.validation)?;
        }
        let controller = if !wants(Stage::Controller) {
            Decision::Skip
        } else if networks_stay && !force && control::is_finished(config, run)? {
            Decision::Keep
        } else {
            control::check(config, run, force, networks_stay, teacher.as_ref())?;
            Decision::Make { after: 0, force }
        };
        Ok(Self { vae, mdnrnn, controller, teacher })
    }

    /// Whether nothing is made.
    pub(super) const fn keeps_all(&self) -> bool {
        !(self.vae.makes() || self.mdnrnn.makes() || self.controller.makes())
    }

    /// Says what is kept and what is resumed.
    pub(super) fn announce(&self, run: &RunDir) {
        for (network, decision) in [(Network::Vae, self.vae), (Network::Mdnrnn, self.mdnrnn)] {
            match decision {
                Decision::Keep => {
                    output::line(format!("{}: kept (train --force trains it again)", result(network, run).display()))
                }
                Decision::Make { after, .. } if after > 0 => {
                    output::line(format!("{}: resumed after epoch {after}", run.training(network.name()).display()));
                }
                _ => {}
            }
        }
        if self.controller == Decision::Keep {
            output::line(format!("{}: kept (train --force evolves it anew)", run.controller().display()));
        }
    }
}

/// What decisions depend on.
struct Place<'a> {
    config: &'a Config,
    run: &'a RunDir,
    data: &'a Dataset,
    spec: &'a EnvSpec,
}

impl Place<'_> {
    /// What becomes of V or M, and whether the stages after it are forced, too: a training that is resumed remembers what its `--force` was
    /// for. A result that is kept must have been made with the values in force, so that `config.toml` never stands beside one that it does
    /// not describe.
    fn network(&self, network: Network, wanted: bool, force: bool, upstream_is_made: bool) -> Result<(Decision, bool)> {
        let Self { config, run, data, .. } = *self;
        let path = result(network, run);
        let may_resume = wanted && !force && !upstream_is_made && (network == Network::Vae || run.vae().exists());
        let under_way = if may_resume { resume::under_way(network, config, run, data)? } else { None };
        let force_later = force || under_way.is_some_and(|training| training.forces_later);
        if wanted && (force || under_way.is_some() || !path.exists()) {
            device::needs_torch(&format!("train --stage {}", network.name()))?;
            self.check_memory(network)?;
            return Ok((Decision::Make { after: under_way.map_or(0, |training| training.epoch), force }, force_later));
        }
        if !path.exists() {
            return Ok((Decision::Skip, force_later));
        }
        let again = if wanted { "--force trains it again" } else { "--force without --stage trains all again" };
        check_made(network, config, run, &[], again)?;
        Ok((if wanted { Decision::Keep } else { Decision::Skip }, force_later))
    }
}

impl Place<'_> {
    /// That there is memory for `network`'s parameters, their gradients, the optimiser's two moments, the best weights so far, and all but
    /// the gradients once more while they are saved.
    fn check_memory(&self, network: Network) -> Result<()> {
        let Config { vae, mdnrnn, .. } = self.config;
        let (obs, action) = (self.spec.obs, self.spec.actions.unit_len());
        let (parameters, what) = match network {
            Network::Vae if self.data.frame().is_some() => {
                let shape = VaeShape::asked(vae, obs, self.data.frame())?;
                let layers =
                    if let VaeLayers::Convolutional(chain) = &shape.layers { chain.layers(vae.latent) } else { vec![] };
                let weights = |(_, shape): &(String, Vec<usize>)| shape.iter().copied().fold(1, usize::saturating_mul);
                (
                    layers.iter().map(weights).fold(0, usize::saturating_add),
                    format!("a V of vae.convolution.encoder = {:?}", vae.convolution.encoder),
                )
            }
            Network::Vae => {
                VaeShape::asked(vae, obs, None)?;
                let widths: Vec<usize> = [&[obs], &vae.hidden[..], &[vae.latent]].concat();
                // The decoder mirrors the encoder, which an identity has not.
                let halves = if vae.start == VaeStart::Identity { 1 } else { 2 };
                let half: usize =
                    widths.windows(2).map(|pair| pair[0].saturating_mul(pair[1])).fold(0, usize::saturating_add);
                (half.saturating_mul(halves), format!("a V of vae.hidden = {:?}, vae.latent = {}", vae.hidden, vae.latent))
            }
            Network::Mdnrnn => {
                let (hidden, mixtures) = (mdnrnn.hidden, mdnrnn.mixtures);
                let gates = if mdnrnn.cell == MemoryCell::Lstm { 4 } else { 3 };
                let memory = (gates * hidden).saturating_mul(vae.latent + action + hidden);
                let head = (2 * mixtures * vae.latent).saturating_mul(hidden);
                (memory.saturating_add(head), format!("an M of mdnrnn.hidden = {hidden}, mdnrnn.mixtures = {mixtures}"))
            }
        };
        memory::expect(&what, parameters.saturating_mul(9 * size_of::<f32>()))
    }
}

/// That the run's V or M was made with the values of `config`, but for the sections `ignored`; one that was imported says none. `again` is
/// what makes it with them.
pub(super) fn check_made(network: Network, config: &Config, run: &RunDir, ignored: &[&str], again: &str) -> Result<()> {
    let path = result(network, run);
    let made = Checkpoint::read(&path)?;
    let recorded = made.metadata.get(meta::CONFIG).map(String::as_str).unwrap_or_default();
    if let Some((key, then, now)) = config.first_difference(recorded, &[network.unread(), ignored].concat())? {
        bail!("{}: made with {key} = {then}, expected {now} as asked for; {again}", path.display());
    }
    Ok(())
}

/// Where `network` is written to.
fn result(network: Network, run: &RunDir) -> std::path::PathBuf {
    match network {
        Network::Vae => run.vae(),
        Network::Mdnrnn => run.mdnrnn(),
    }
}

/// That the episodes are the environment's, and as many as are asked for.
fn check_data(config: &Config, run: &RunDir, data: &Dataset, spec: &EnvSpec) -> Result<()> {
    let (rollouts, dims) = (run.rollouts(), data.dims());
    ensure!(
        dims == (spec.obs, spec.action()) && data.frame() == spec.frame(),
        "{}: expected observations of {} and actions of {} for {}, found {} and {}",
        rollouts.display(),
        observed_text(spec.obs, spec.frame()),
        spec.action(),
        spec.id,
        observed_text(dims.0, data.frame()),
        dims.1
    );
    manifest::expect(&rollouts, &env::label(&config.env)?)?;
    let steps = data.entries().iter().map(|episode| episode.steps as u64).sum::<u64>();
    ensure!(
        steps >= config.collect.steps,
        "{}: expected collect.steps = {} steps, found {steps}; run `dreamstep collect` to complete them",
        rollouts.display(),
        config.collect.steps
    );
    Ok(())
}

/// The bytes of the agent at `path`, where they are not the run's teacher yet.
pub(super) fn read_teacher(
    path: &Path,
    config: &Config,
    run: &RunDir,
    spec: &EnvSpec,
    force: bool,
) -> Result<Option<AlignedBytes>> {
    let bytes = file::read(path)?;
    let model = file::load(path, &bytes, None)?;
    file::check_privileged(path, &model, &config.env, spec)?;
    let there = if run.teacher().exists() { Some(file::read(&run.teacher())?) } else { None };
    if there.as_ref().is_some_and(|there| there[..] == bytes[..]) {
        return Ok(None);
    }
    let began = run.evolution().exists() || run.controller().exists();
    ensure!(
        force || !began,
        "{}: expected a controller that begins as {}, found one that began otherwise; --force starts anew",
        run.root().display(),
        path.display()
    );
    Ok(Some(bytes))
}
