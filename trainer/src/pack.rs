//! `pack`: how do V, M and C become the one file that a robot needs? Their checkpoints go in, with the environment's action range;
//! a packed agent comes out that carries its own proof: recorded observations, and the actions and state that they must give. Or a
//! packed f32 agent goes in, and the same agent in another precision comes out.

use crate::checkpoint::{Checkpoint, meta};
use crate::config::{Config, Squash};
use crate::controller;
use crate::env::{AnyEnv, Env, EnvSpec};
use crate::nets::vae::VaeShape;
use crate::rollouts::{Episode, list};
use crate::run_dir::{RunDir, digest};
use anyhow::{Context, Result, anyhow, ensure};
use dreamstep_core::action::Action;
use dreamstep_core::dims::Dims;
use dreamstep_core::m::{Mixture, Recurrent};
use dreamstep_core::names::{checkpoint as names, metadata as key};
use dreamstep_core::obs::Observation;
use dreamstep_core::pack::{AlignedBytes, Parts, SelfTest, Tensors, action_map, pack as pack_parts, unpack};
use dreamstep_core::precision::Precision;
use dreamstep_core::schema::{self, Settings, Target};
use dreamstep_runtime::{Agent, Backend, Model, memory_len};
use std::collections::BTreeMap;
use std::path::Path;

/// Most steps of a self-test: enough for the state to depend on every weight, few enough to stay small.
const SELFTEST_STEPS: usize = 16;

/// The checkpoints of a run.
#[derive(Clone, Debug)]
pub struct Ingredients {
    /// V.
    pub vae: Checkpoint,
    /// M.
    pub mdnrnn: Checkpoint,
    /// C.
    pub controller: Option<Checkpoint>,
}

impl Ingredients {
    /// Reads V and M of `run`; C is left out.
    ///
    /// # Errors
    /// One line: which is missing and what makes it, or what is wrong with it.
    pub fn read(run: &RunDir) -> Result<Self> {
        expect(&run.vae(), "vae")?;
        expect(&run.mdnrnn(), "mdnrnn")?;
        let (vae, mdnrnn) = (Checkpoint::read(&run.vae())?, Checkpoint::read(&run.mdnrnn())?);
        made_from(&mdnrnn, "vae", &run.vae())?;
        Ok(Self { vae, mdnrnn, controller: None })
    }

    /// Reads V, M and C.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_all(run: &RunDir) -> Result<Self> {
        let mut ingredients = Self::read(run)?;
        let path = run.controller();
        expect(&path, "controller")?;
        let controller = Checkpoint::read(&path)?;
        made_from(&controller, "vae", &run.vae())?;
        made_from(&controller, "mdnrnn", &run.mdnrnn())?;
        ingredients.controller = Some(controller);
        Ok(ingredients)
    }

    /// What V, M and C are: kinds from the metadata, sizes from the tensors' shapes. The only place where checkpoints become an agent's
    /// parts.
    fn dims(&self, config: &Config) -> Result<Dims> {
        let shape = |name: &str| -> Result<[usize; 2]> {
            let array = self.mdnrnn.tensors.get(name);
            let array = array.with_context(|| format!("{}: tensor {name}: not found", self.mdnrnn.origin))?;
            let expected =
                || format!("{}: tensor {name}: expected 2 axes, found shape {:?}", self.mdnrnn.origin, array.shape);
            array.shape[..].try_into().with_context(expected)
        };
        let v = VaeShape::of(&self.vae)?;
        let [_, inputs] = shape(names::RNN_WEIGHT_IH)?;
        let [_, hidden] = shape(names::RNN_WEIGHT_HH)?;
        ensure!(
            inputs > v.latent,
            "{}: tensor {}: expected an action and the {} latents of {} as inputs, found {inputs} inputs",
            self.mdnrnn.origin,
            names::RNN_WEIGHT_IH,
            v.latent,
            self.vae.origin
        );
        let recurrent =
            Recurrent { hidden, mixtures: self.mdnrnn.meta(key::DIM_MIXTURES)?, mixture: mixture(&self.mdnrnn)? };
        // A C that is there says what it is; one that is to be evolved is what the configuration says.
        let c = self.controller.as_ref().map_or_else(|| controller::wanted(&config.controller), controller::said)?;
        let dims = Dims::new(
            Observation::Vector { len: v.obs },
            v.encoder().with_context(|| self.vae.origin.clone())?,
            self.mdnrnn.cell()?.memory(recurrent),
            c,
            Action::Continuous { len: inputs - v.latent },
        );
        // Leaves out the V and M of a controller that reads observations alone.
        Ok(dims.with_input(c.input))
    }

    fn settings(&self, config: &Config) -> Result<Settings> {
        let mut settings = Settings::new(self.dims(config)?);
        settings.obs_clip = self.vae.meta(key::OBS_CLIP)?;
        settings.log_var_range = [self.vae.meta(meta::LOG_VAR_MIN)?, self.vae.meta(meta::LOG_VAR_MAX)?];
        settings.squash = match config.controller.squash {
            Squash::Clamp => schema::Squash::Clamp,
            Squash::Tanh => schema::Squash::Tanh,
        };
        settings.target = target(&self.mdnrnn)?;
        settings.log_sigma_min = self.mdnrnn.meta(key::GMM_LOG_SIGMA_MIN)?;
        settings.reward_offset = self.mdnrnn.meta(key::REWARD_OFFSET)?;
        Ok(settings)
    }

    fn tensors(&self) -> Tensors {
        let stages = [Some(&self.vae), Some(&self.mdnrnn), self.controller.as_ref()];
        let all = stages.into_iter().flatten().flat_map(|checkpoint| &checkpoint.tensors);
        all.map(|(name, array)| (name.clone(), (array.shape.clone(), array.data.clone()))).collect()
    }
}

/// What one mixture spans in M's checkpoint.
///
/// # Errors
/// One line: it does not say, or something else.
pub fn mixture(mdnrnn: &Checkpoint) -> Result<Mixture> {
    named(mdnrnn, key::GMM_MIXTURE, &Mixture::ALL, Mixture::name)
}

/// What the mixture is of in M's checkpoint.
///
/// # Errors
/// One line: it does not say, or something else.
pub fn target(mdnrnn: &Checkpoint) -> Result<Target> {
    named(mdnrnn, key::GMM_TARGET, &Target::ALL, Target::name)
}

/// The one of `all` that the metadata under `key` names.
fn named<T: Copy>(file: &Checkpoint, key: &str, all: &[T; 2], name: fn(T) -> &'static str) -> Result<T> {
    let found: String = file.meta(key)?;
    let known = all.iter().copied().find(|&value| name(value) == found);
    known.with_context(|| format!("{}: {key}: expected {} or {}, found {found}", file.origin, name(all[0]), name(all[1])))
}

/// That `stage`'s result is there.
///
/// # Errors
/// One line: it is not, and what makes it.
pub fn expect(path: &Path, stage: &str) -> Result<()> {
    ensure!(
        path.exists(),
        "{}: expected the stage's result, found none; run `dreamstep train --stage {stage}`",
        path.display()
    );
    Ok(())
}

/// That `result` was made from the very file at `path`: V, M and C of different trainings fit each other in size and in nothing
/// else. A checkpoint that does not say (one that was imported) is believed.
pub(crate) fn made_from(result: &Checkpoint, stage: &str, path: &Path) -> Result<()> {
    let Some(expected) = result.metadata.get(&format!("{}{stage}", meta::UPSTREAM)) else { return Ok(()) };
    let found = digest(path)?;
    ensure!(
        *expected == found,
        "{}: made from another {stage}: expected {} with digest {expected}, found {found}; train this stage again with --force",
        result.origin,
        path.display()
    );
    Ok(())
}

/// V and M with a controller of zeros, for evolution to fill in.
///
/// # Errors
/// One line: the parts do not fit each other or the environment.
pub fn base_agent(ingredients: &Ingredients, config: &Config) -> Result<AlignedBytes> {
    let settings = ingredients.settings(config)?;
    let dims = &settings.dims;
    let mut tensors = ingredients.tensors();
    let zeros = vec![0.0; controller::len(dims)];
    for (name, shape, values) in controller::tensors(dims, &zeros) {
        tensors.insert(name.into(), (shape, values.to_vec()));
    }
    let (mid, half) = action_range(config, dims)?;
    let provenance = BTreeMap::new();
    let parts =
        Parts { tensors: &tensors, settings, action_mid: &mid, action_half: &half, selftest: None, provenance: &provenance };
    assemble(&parts)
}

/// The run's V, M and C as one packed f32 agent.
///
/// # Errors
/// One line: a part is missing or does not fit.
pub fn pack(config: &Config, run: &RunDir) -> Result<AlignedBytes> {
    pack_proved_on(config, run, &run.rollouts())
}

/// The same, the self-test's observations taken from the first episode in the folder `rollouts`.
///
/// # Errors
/// One line: a part is missing or does not fit.
pub fn pack_proved_on(config: &Config, run: &RunDir, rollouts: &Path) -> Result<AlignedBytes> {
    let ingredients = Ingredients::read_all(run)?;
    let settings = ingredients.settings(config)?;
    let (tensors, (mid, half)) = (ingredients.tensors(), action_range(config, &settings.dims)?);
    let provenance = provenance(config, &ingredients);
    let first = list(rollouts)?.into_iter().next().context("rollouts: expected an episode for the self-test, found none")?;
    let episode = Episode::read(&first)?;
    ensure!(
        episode.dims() == (settings.dims.obs_len(), settings.dims.action_len()),
        "{}: expected observations of {} and actions of {}, found {:?}",
        first.display(),
        settings.dims.obs_len(),
        settings.dims.action_len(),
        episode.dims()
    );
    let observations: Vec<_> =
        episode.observations.rows().into_iter().take(SELFTEST_STEPS).map(|row| row.to_vec()).collect();
    let (action_mid, action_half) = (&mid, &half);
    seal(
        &Parts { tensors: &tensors, settings, action_mid, action_half, selftest: None, provenance: &provenance },
        &observations,
    )
}

/// The packed f32 agent in `bytes` in another precision, with a proof of its own over the same observations.
///
/// # Errors
/// One line: not a packed f32 agent, one without self-test observations, or weights that the precision cannot hold.
pub fn in_precision(bytes: &[u8], precision: Precision) -> Result<AlignedBytes> {
    let agent = unpack(bytes).map_err(|error| anyhow!("{error}"))?;
    ensure!(!agent.selftest.observations.is_empty(), "expected self-test observations, found none");
    let mut settings = agent.settings;
    (settings.precision, settings.selftest_digest) = (precision, None);
    let parts = Parts {
        tensors: &agent.tensors,
        settings,
        action_mid: &agent.action_mid,
        action_half: &agent.action_half,
        selftest: None,
        provenance: &agent.provenance,
    };
    seal(&parts, &agent.selftest.observations)
}

/// Packs `parts` with their proof: what the portable back end, the specification, makes of `observations`.
fn seal(parts: &Parts<'_>, observations: &[Vec<f32>]) -> Result<AlignedBytes> {
    let bare = assemble(parts)?;
    let model = Model::load_with(&bare, Backend::Portable).map_err(|error| anyhow!("packed agent: {error}"))?;
    let mut memory = vec![0.0; memory_len(model.dims())];
    let mut agent = Agent::new(model, &mut memory)?;
    let mut selftest = SelfTest::default();
    for observation in observations {
        let mut action = vec![0.0; model.dims().action_len()];
        agent.step(observation, &mut action)?;
        selftest.observations.push(observation.clone());
        selftest.actions.push(action);
    }
    let mut settings = parts.settings;
    settings.selftest_digest = Some(agent.self_test_digest());
    let bytes = assemble(&Parts { settings, selftest: Some(&selftest), ..*parts })?;

    // Nothing leaves that this machine's own back ends do not all agree on.
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        let model = Model::load_with(&bytes, backend).map_err(|error| anyhow!("packed agent: {error}"))?;
        model.self_test(&mut memory).with_context(|| format!("back end {}", backend.name()))?;
    }
    Ok(bytes)
}

/// Middle and half of the environment's action range.
fn action_range(config: &Config, dims: &Dims) -> Result<(Vec<f32>, Vec<f32>)> {
    let spec = spec(config, dims)?;
    Ok(action_map(&spec.action_low, &spec.action_high))
}

fn spec(config: &Config, dims: &Dims) -> Result<EnvSpec> {
    let spec = AnyEnv::make(&config.env)?.spec().clone();
    ensure!(
        (spec.obs, spec.action) == (dims.obs_len(), dims.action_len()),
        "{}: expected networks for observations of {} and actions of {}, found {} and {}",
        config.env,
        spec.obs,
        spec.action,
        dims.obs_len(),
        dims.action_len()
    );
    Ok(spec)
}

fn assemble(parts: &Parts<'_>) -> Result<AlignedBytes> {
    pack_parts(parts).map(|bytes| AlignedBytes::new(&bytes)).map_err(|error| anyhow!("pack: {error}"))
}

/// Where the agent comes from: versions, seeds, every value in force, and what each stage measured of itself.
fn provenance(config: &Config, ingredients: &Ingredients) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::from([
        (key::ENV.to_string(), config.env.clone()),
        ("provenance.version".to_string(), env!("CARGO_PKG_VERSION").to_string()),
        ("provenance.seed".to_string(), config.seed.to_string()),
        ("provenance.config".to_string(), config.provenance()),
    ]);
    let stages = [
        ("vae", Some(&ingredients.vae)),
        ("mdnrnn", Some(&ingredients.mdnrnn)),
        ("controller", ingredients.controller.as_ref()),
    ];
    for (stage, checkpoint) in stages {
        let figures = checkpoint.iter().flat_map(|checkpoint| &checkpoint.metadata);
        for (name, value) in figures.filter(|(name, _)| name.starts_with(meta::VALIDATION) || name.as_str() == meta::DATA) {
            entries.insert(format!("provenance.{stage}.{name}"), value.clone());
        }
    }
    entries
}
