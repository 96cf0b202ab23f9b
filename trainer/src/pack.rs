//! `pack`: how do V, M and C become the one file that a robot needs? Their checkpoints go in, with the environment's action range;
//! a packed agent comes out that carries its own proof: recorded observations, and the actions and state that they must give.

use crate::checkpoint::{Checkpoint, meta};
use crate::config::{Config, Squash};
use crate::env::{AnyEnv, Env, EnvSpec};
use crate::rollouts::{Episode, list};
use crate::run_dir::{RunDir, digest, write_atomic};
use anyhow::{Context, Result, anyhow, ensure};
use dreamstep_core::dims::Dims;
use dreamstep_core::names::{checkpoint as names, metadata as key};
use dreamstep_core::pack::{AlignedBytes, Parts, SelfTest, Tensors, pack as pack_parts};
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

    /// Sizes, from the tensors' shapes.
    fn dims(&self) -> Result<Dims> {
        let shape = |checkpoint: &Checkpoint, name: &str, rank: usize| -> Result<Vec<usize>> {
            let array =
                checkpoint.tensors.get(name).ok_or_else(|| anyhow!("{}: tensor {name}: not found", checkpoint.origin))?;
            let found = &array.shape;
            ensure!(
                found.len() == rank,
                "{}: tensor {name}: expected {rank} axes, found shape {found:?}",
                checkpoint.origin
            );
            Ok(found.clone())
        };
        let obs = shape(&self.vae, names::NORMALIZER_MEAN, 1)?[0];
        let widths = [0, 1, 2].map(|layer| shape(&self.vae, names::ENCODER_WEIGHT[layer], 2).map(|shape| shape[0]));
        let [e1, e2, twice_latent] = widths;
        let latent = twice_latent? / 2;
        let inputs = shape(&self.mdnrnn, names::RNN_WEIGHT_IH, 2)?[1];
        let hidden = shape(&self.mdnrnn, names::RNN_WEIGHT_HH, 2)?[1];
        ensure!(
            inputs > latent,
            "{}: tensor {}: expected an action and the {latent} latents of {} as inputs, found {inputs} inputs",
            self.mdnrnn.origin,
            names::RNN_WEIGHT_IH,
            self.vae.origin
        );
        let mixtures = self.mdnrnn.meta(key::DIM_MIXTURES)?;
        Ok(Dims { obs, action: inputs - latent, latent, hidden, mixtures, encoder: [e1?, e2?] })
    }

    fn settings(&self, config: &Config) -> Result<Settings> {
        let mixture: String = self.mdnrnn.meta(key::GMM_MIXTURE)?;
        ensure!(mixture == "joint", "{}: {}: expected joint, found {mixture}", self.mdnrnn.origin, key::GMM_MIXTURE);
        let predicts: String = self.mdnrnn.meta(key::GMM_TARGET)?;
        let target = match predicts.as_str() {
            "z" => Target::Next,
            "delta" => Target::Delta,
            other => anyhow::bail!("{}: {}: expected z or delta, found {other}", self.mdnrnn.origin, key::GMM_TARGET),
        };
        Ok(Settings {
            dims: self.dims()?,
            obs_clip: self.vae.meta(key::OBS_CLIP)?,
            squash: match config.controller.squash {
                Squash::Clamp => schema::Squash::Clamp,
                Squash::Tanh => schema::Squash::Tanh,
            },
            target,
            log_sigma_min: self.mdnrnn.meta(key::GMM_LOG_SIGMA_MIN)?,
            reward_offset: self.mdnrnn.meta(key::REWARD_OFFSET)?,
            selftest_digest: None,
        })
    }

    fn tensors(&self) -> Tensors {
        let stages = [Some(&self.vae), Some(&self.mdnrnn), self.controller.as_ref()];
        let all = stages.into_iter().flatten().flat_map(|checkpoint| &checkpoint.tensors);
        all.map(|(name, array)| (name.clone(), (array.shape.clone(), array.data.clone()))).collect()
    }
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
fn made_from(result: &Checkpoint, stage: &str, path: &Path) -> Result<()> {
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
    let n = dims.latent + dims.hidden;
    let mut tensors = ingredients.tensors();
    tensors.insert(names::FC_WEIGHT.into(), (vec![dims.action, n], vec![0.0; dims.action * n]));
    tensors.insert(names::FC_BIAS.into(), (vec![dims.action], vec![0.0; dims.action]));
    assemble(&tensors, &settings, &spec(config, dims)?, None, &BTreeMap::new())
}

/// Packs the run's V, M and C into `out`. Returns the file's bytes.
///
/// # Errors
/// One line: a part is missing or does not fit, or `out` cannot be written.
pub fn pack(config: &Config, run: &RunDir, out: &Path) -> Result<AlignedBytes> {
    let ingredients = Ingredients::read_all(run)?;
    let mut settings = ingredients.settings(config)?;
    let (tensors, spec) = (ingredients.tensors(), spec(config, &settings.dims)?);
    let provenance = provenance(config, &ingredients);
    let first =
        list(&run.rollouts())?.into_iter().next().context("rollouts: expected an episode for the self-test, found none")?;
    let episode = Episode::read(&first)?;
    ensure!(
        episode.dims() == (settings.dims.obs, settings.dims.action),
        "{}: expected observations of {} and actions of {}, found {:?}",
        first.display(),
        settings.dims.obs,
        settings.dims.action,
        episode.dims()
    );

    // Once without the proof, to make it; the portable back end is the specification.
    let bare = assemble(&tensors, &settings, &spec, None, &provenance)?;
    let model = Model::load_with(&bare, Backend::Portable).map_err(|error| anyhow!("packed agent: {error}"))?;
    let mut memory = vec![0.0; memory_len(model.dims())];
    let mut agent = Agent::new(&model, &mut memory)?;
    let mut selftest = SelfTest::default();
    for row in episode.observations.rows().into_iter().take(SELFTEST_STEPS) {
        let (observation, mut action) = (row.to_vec(), vec![0.0; settings.dims.action]);
        agent.step(&observation, &mut action)?;
        selftest.observations.push(observation);
        selftest.actions.push(action);
    }
    settings.selftest_digest = Some(agent.proof_digest());
    let bytes = assemble(&tensors, &settings, &spec, Some(&selftest), &provenance)?;

    // Nothing leaves that this machine's own back ends do not all agree on.
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        let model = Model::load_with(&bytes, backend).map_err(|error| anyhow!("packed agent: {error}"))?;
        model.self_test(&mut memory).with_context(|| format!("back end {}", backend.name()))?;
    }
    write_atomic(out, &bytes)?;
    Ok(bytes)
}

fn spec(config: &Config, dims: &Dims) -> Result<EnvSpec> {
    let spec = AnyEnv::make(&config.env)?.spec().clone();
    ensure!(
        (spec.obs, spec.action) == (dims.obs, dims.action),
        "{}: expected networks for observations of {} and actions of {}, found {} and {}",
        config.env,
        spec.obs,
        spec.action,
        dims.obs,
        dims.action
    );
    Ok(spec)
}

fn assemble(
    tensors: &Tensors,
    settings: &Settings,
    spec: &EnvSpec,
    selftest: Option<&SelfTest>,
    provenance: &BTreeMap<String, String>,
) -> Result<AlignedBytes> {
    let (action_low, action_high) = (&spec.action_low, &spec.action_high);
    let parts = Parts { tensors, settings: *settings, action_low, action_high, selftest, provenance };
    pack_parts(&parts).map(|bytes| AlignedBytes::new(&bytes)).map_err(|error| anyhow!("pack: {error}"))
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
