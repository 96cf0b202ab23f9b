//! `pack`: V, M and C become the one file that a robot needs. Their checkpoints go in, with the environment's action range;
//! a packed agent comes out that carries its own proof: recorded observations, and the actions and state that they must give. Or a
//! packed agent goes in, and comes out in another precision, in today's format, or without a V that only copies its input.

use crate::agent::action::{self, Choices};
use crate::agent::v::{VaeLayers, VaeShape};
use crate::agent::{controller, file};
use crate::data::dataset::Dataset;
use crate::data::manifest;
use crate::data::observations::frame_text;
use crate::data::rollouts::{Episode, list};
use crate::data::split::Split;
use crate::env::{self, EnvConfig, EnvSpec, size_text};
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::config::Config;
use crate::run::folder::{RunDir, digest};
use crate::stats::nearest_rank;
use anyhow::{Context, Result, anyhow, bail, ensure};
use dreamstep_core::action::Action;
use dreamstep_core::dims::Dims;
use dreamstep_core::m::{Mixture, Recurrent};
use dreamstep_core::names::{checkpoint as names, metadata as key};
use dreamstep_core::obs::Observation;
use dreamstep_core::pack::{AlignedBytes, Parts, SelfTest, Tensors, pack as pack_parts, packed2, unpack, with_self_test};
use dreamstep_core::precision::Precision;
use dreamstep_core::reader::File;
use dreamstep_core::schema::{Acting, Settings, Target};
use dreamstep_core::v::Encoder;
use dreamstep_runtime::{Agent, Backend, Model, memory_len};
use ndarray::Axis;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
        let c = self.controller.as_ref().map_or_else(|| config.controller.controller(), controller::said)?;
        let dims = Dims::new(
            self.observation(&v, config)?,
            v.encoder().with_context(|| self.vae.origin.clone())?,
            self.mdnrnn.cell()?.memory(recurrent),
            c,
            action::said(&self.mdnrnn, inputs - v.latent)?,
        );
        // Leaves out the V and M of a controller that reads observations alone.
        Ok(dims.with_input(c.input))
    }

    /// What V sees; of a picture, what the environment draws and what is made of it.
    fn observation(&self, v: &VaeShape, config: &Config) -> Result<Observation> {
        let VaeLayers::Convolutional(chain) = &v.layers else { return Ok(Observation::Vector { len: v.obs }) };
        let spec = env::spec(&config.env)?;
        let found = |frame: [usize; 3]| frame_text(frame);
        match spec.image {
            Some(image) if image.prepared() == chain.frame => Ok(Observation::Image(image)),
            image => bail!(
                "{}: expected a V of the pictures that {} shows, {}, found one of {}",
                self.vae.origin,
                spec.id,
                image.map_or_else(|| "which are none".into(), |image| found(image.prepared())),
                found(chain.frame)
            ),
        }
    }

    fn settings(&self, config: &Config) -> Result<Settings> {
        let mut settings = Settings::new(self.dims(config)?);
        if settings.dims.obs.image().is_none() {
            settings.obs_clip = self.vae.meta(key::OBS_CLIP)?;
        }
        settings.log_var_range = [self.vae.meta(meta::LOG_VAR_MIN)?, self.vae.meta(meta::LOG_VAR_MAX)?];
        let said = self.controller.as_ref().map(controller::said_squash).transpose()?.flatten();
        settings.squash = said.unwrap_or(config.controller.squash);
        settings.target = target(&self.mdnrnn)?;
        settings.log_sigma_min = self.mdnrnn.meta(key::GMM_LOG_SIGMA_MIN)?;
        settings.reward_offset = self.mdnrnn.meta(key::REWARD_OFFSET)?;
        Ok(settings)
    }

    fn all(&self) -> impl Iterator<Item = &Checkpoint> {
        [&self.vae, &self.mdnrnn].into_iter().chain(&self.controller)
    }

    /// That `config` asks for what the parts were trained with; those that do not say are believed.
    fn check_trained(&self, config: &Config) -> Result<()> {
        for part in self.all() {
            let (then, now) = (part.metadata.get(key::ENV).unwrap_or(&config.env.id), &config.env.id);
            ensure!(then == now, "{}: trained with env = {then:?}, expected {now:?} as asked for", part.origin);
        }
        self.controller.iter().try_for_each(|controller| controller::check_trained(controller, config))
    }

    fn tensors(&self) -> Tensors {
        let all = self.all().flat_map(|checkpoint| &checkpoint.tensors);
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
    base_agent_in(Precision::F32, ingredients, config, &[])
}

/// The same, V and M in `precision`; the ranges of an i8 V of pictures are chosen by `frames`, prepared ones.
///
/// # Errors
/// As [`base_agent`]'s, and weights that the precision cannot hold.
pub fn base_agent_in(
    precision: Precision,
    ingredients: &Ingredients,
    config: &Config,
    frames: &[Vec<u8>],
) -> Result<AlignedBytes> {
    let mut settings = ingredients.settings(config)?;
    settings.precision = precision;
    let dims = &settings.dims;
    let mut tensors = ingredients.tensors();
    let zeros = vec![0.0; controller::len(dims)];
    for (name, shape, values) in controller::tensors(dims, &zeros) {
        tensors.insert(name.into(), (shape, values.to_vec()));
    }
    let (mid, half) = action_range(config, dims)?;
    let provenance = BTreeMap::new();
    let parts = Parts {
        tensors: &tensors,
        settings,
        action_mid: &mid,
        action_half: &half,
        selftest: None,
        frames,
        provenance: &provenance,
    };
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
    ingredients.check_trained(config)?;
    let mut settings = ingredients.settings(config)?;
    let spec = spec(config, &settings.dims)?;
    settings.period_s = Some(spec.dt_s);
    let (tensors, (mid, half)) = (ingredients.tensors(), spec.actions.map());
    if let Some(controller) = &ingredients.controller {
        action::check(controller, &spec.actions)?;
    }
    let provenance = provenance(config, &ingredients)?;
    manifest::expect(rollouts, &env::label(&config.env)?)?;
    let files = list(rollouts)?;
    let first = files.first().context("rollouts: expected an episode for the self-test, found none")?;
    let episode = Episode::read(first)?;
    ensure!(
        episode.dims() == (settings.dims.obs_len(), settings.dims.action_len()),
        "{}: expected observations of {} and actions of {}, found {:?}",
        first.display(),
        settings.dims.obs_len(),
        settings.dims.action_len(),
        episode.dims()
    );
    let observations: Vec<_> = episode.observations.iter().take(SELFTEST_STEPS).collect();
    let (action_mid, action_half) = (&mid, &half);
    let mut parts =
        Parts { tensors: &tensors, settings, action_mid, action_half, selftest: None, frames: &[], provenance: &provenance };
    parts.settings.surprise_limit = surprise_limit(&parts, &held_out(config, files))?;
    seal(&parts, &observations)
}

/// The episodes among `files` that V and M were not trained on; none where there are too few to hold one out.
fn held_out(config: &Config, files: Vec<PathBuf>) -> Vec<PathBuf> {
    let split = Split::new(config.seed, files.len(), config.vae.validation);
    split.map_or(Vec::new(), |split| split.validation.into_iter().map(|id| files[id].clone()).collect())
}

/// Share of held-out steps whose surprise the limit is not to exceed.
const USUAL: f64 = 0.999;

/// What M's surprise, in nats per dimension, seldom exceeds on the recorded `episodes`, with the actions that were taken there; none
/// where there is no M with a head, or no step to tell.
fn surprise_limit(parts: &Parts<'_>, episodes: &[PathBuf]) -> Result<Option<f32>> {
    let bare = assemble(parts)?;
    let model = Model::load(&bare).map_err(|error| anyhow!("packed agent: {error}"))?;
    if !model.has_mdn() {
        return Ok(None);
    }
    let mut memory = vec![0.0; memory_len(model.dims())];
    let mut agent = Agent::new(model, &mut memory)?;
    let mut surprises = Vec::new();
    for path in episodes {
        let episode = Episode::read(path)?;
        agent.reset();
        for (observation, action) in episode.observations.iter().zip(episode.actions.rows()) {
            let refused = || path.display().to_string();
            agent.act_in_place(&observation).with_context(refused)?;
            surprises.extend(agent.surprise().map(f64::from));
            agent.override_action(&action.to_vec()).with_context(refused)?;
            agent.advance()?;
        }
    }
    Ok(nearest_rank(&mut surprises, USUAL).map(|limit| limit as f32))
}

/// The packed-2 agent in `bytes` as packed-3, in its own precision, with the control period of the environment that it names and a self-test
/// over the same observations. In f32 and i8 it acts as before.
///
/// # Errors
/// One line: not a packed-2 agent, one without self-test observations, or one that would act otherwise.
pub fn convert(bytes: &[u8]) -> Result<AlignedBytes> {
    let period_s = match env_of(bytes) {
        Some(id) if env::ids().any(|known| known == id) => Some(env::spec(&EnvConfig::from(id.as_str()))?.dt_s),
        _ => None,
    };
    let bare = AlignedBytes::new(&packed2::convert(bytes, period_s).map_err(|error| anyhow!("{error}"))?);
    let before = packed2::self_test(bytes).map_err(|error| anyhow!("{error}"))?;
    ensure!(!before.observations.is_empty(), "expected self-test observations, found none");
    let (selftest, digest, precision) = proof(&bare, &before.observations)?;
    if matches!(precision, Precision::F32 | Precision::I8) {
        let bits = |actions: &[Vec<f32>]| actions.iter().flatten().map(|a| a.to_bits()).collect::<Vec<_>>();
        let same = bits(&selftest.actions) == bits(&before.actions);
        ensure!(same, "expected the actions of the self-test, bit for bit, found others");
    }
    let bytes = with_self_test(&bare, &selftest, digest).map_err(|error| anyhow!("{error}"))?;
    prove(&bytes)
}

/// What the packed file in `bytes` says of the environment.
fn env_of(bytes: &[u8]) -> Option<String> {
    File::parse(bytes).ok()?.metadata(key::ENV).map(str::to_owned)
}

/// What became of actions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActionsChange {
    /// The largest change of a continuous one, as a fraction of the action range.
    OfRange(f64),
    /// Of discrete ones.
    Choices(Choices),
}

impl std::fmt::Display for ActionsChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OfRange(error) => write!(f, "actions of the self-test changed by {error:.1e} of the range at most"),
            Self::Choices(choices) => write!(f, "{choices} of the self-test changed"),
        }
    }
}

/// What became of V in [`with_identity`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replaced {
    /// Weights that a step no longer reads.
    pub weights: usize,
    /// What becomes of the actions on the self-test's observations.
    pub actions: ActionsChange,
}

/// The packed f32 agent in `bytes` with the identity for V, where its V is an MLP that copies its input, as `vae.start = "identity"` made
/// them: unit i is x_i plus a constant above the clip, all the way, and the constant less at the end. Such a copy is exact but for the
/// rounding of that sum (10 + x has 20 binary digits behind the point), so that the agent is another one by as much.
///
/// # Errors
/// One line: not a packed f32 agent, or one whose V is no such copy or samples its latent.
pub fn with_identity(bytes: &[u8]) -> Result<(AlignedBytes, Replaced)> {
    let mut agent = unpack(bytes).map_err(|error| anyhow!("{error}"))?;
    let before = agent.settings;
    let Encoder::Mlp { latent, .. } = before.dims.v else {
        bail!("--identity: expected a V that is an MLP, found {}", before.dims.v.kind());
    };
    ensure!(before.acting == Acting::Mean, "--identity: expected an agent that acts on V's mean, found one that samples");
    ensure!(!agent.selftest.observations.is_empty(), "expected self-test observations, found none");
    let is_copy = copies(&agent.tensors, &before.dims.v, before.obs_clip);
    ensure!(is_copy, "--identity: expected a V that copies its input (vae.start = \"identity\"), found another");
    agent.settings.dims = before.dims.with_encoder(Encoder::Identity { latent });
    agent.settings.selftest_digest = None;
    // Packing takes from the tensors what the kinds have: the encoder's stay behind.
    let parts = Parts {
        tensors: &agent.tensors,
        settings: agent.settings,
        action_mid: &agent.action_mid,
        action_half: &agent.action_half,
        selftest: None,
        frames: &[],
        provenance: &agent.provenance,
    };
    let sealed = seal(&parts, &agent.selftest.observations)?;
    let after = unpack(&sealed).map_err(|error| anyhow!("packed agent: {error}"))?;
    let pairs = || agent.selftest.actions.iter().flatten().zip(after.selftest.actions.iter().flatten());
    let actions = match before.dims.action {
        Action::Discrete { .. } => ActionsChange::Choices(Choices::changed(pairs().map(|(a, b)| a != b))),
        _ => {
            let halves = agent.action_half.iter().cycle();
            let errors = pairs().zip(halves).map(|((a, b), half)| 0.5 * f64::from((a - b).abs()) / f64::from(*half));
            ActionsChange::OfRange(errors.fold(0.0, f64::max))
        }
    };
    let weights = before.dims.step_weights() - agent.settings.dims.step_weights();
    Ok((sealed, Replaced { weights, actions }))
}

/// Whether the encoder `v` in `tensors` copies the first Z values of its input, which are within ± `clip`.
fn copies(tensors: &Tensors, v: &Encoder, clip: f32) -> bool {
    let (z, widths) = (v.latent(), v.hidden());
    let last = widths.len();
    let layer = |i: usize| -> Option<bool> {
        let ((shape, weight), (_, bias)) = (tensors.get(names::ENCODER_WEIGHT[i])?, tensors.get(names::ENCODER_BIAS[i])?);
        let columns = *shape.get(1)?;
        let is_row = |n: usize, row: &[f32]| row.iter().enumerate().all(|(k, &w)| w == f32::from(u8::from(k == n)));
        let rows = weight.chunks(columns).take(z).enumerate().all(|(n, row)| is_row(n, row));
        let (first, shift) = (tensors.get(names::ENCODER_BIAS[0])?.1.first().copied()?, bias.iter().take(z));
        let wanted = match i {
            0 => first,
            _ if i == last => -first,
            _ => 0.0,
        };
        Some(columns >= z && rows && first >= clip && shift.len() == z && shift.into_iter().all(|&b| b == wanted))
    };
    widths.as_slice().iter().all(|&width| width >= z) && (0..=last).all(|i| layer(i) == Some(true))
}

/// The packed f32 agent in `bytes` in another precision, with a proof of its own over the same observations. The ranges of an i8 V of pictures
/// are chosen by `frames`, prepared ones; without any, by the proof's.
///
/// # Errors
/// One line: not a packed f32 agent, one without self-test observations, or weights that the precision cannot hold.
pub fn in_precision(bytes: &[u8], precision: Precision, frames: &[Vec<u8>]) -> Result<AlignedBytes> {
    let agent = unpack(bytes).map_err(|error| anyhow!("{error}"))?;
    ensure!(!agent.selftest.observations.is_empty(), "expected self-test observations, found none");
    let mut settings = agent.settings;
    (settings.precision, settings.selftest_digest) = (precision, None);
    let bytes = |row: &Vec<f32>| row.iter().map(|&value| value as u8).collect();
    let of_proof: Vec<Vec<u8>> = match settings.dims.obs {
        Observation::Image(_) if frames.is_empty() => agent.selftest.observations.iter().map(bytes).collect(),
        _ => Vec::new(),
    };
    let parts = Parts {
        tensors: &agent.tensors,
        settings,
        action_mid: &agent.action_mid,
        action_half: &agent.action_half,
        selftest: None,
        frames: if frames.is_empty() { &of_proof } else { frames },
        provenance: &agent.provenance,
    };
    seal(&parts, &agent.selftest.observations)
}

/// Frames by which ranges are chosen, at most.
const CALIBRATION: usize = 1024;

/// The packed f32 agent `bytes` of `run`, with V's decoder, so that its latents can be looked at.
///
/// # Errors
/// One line: V has no decoder of pictures, or the file is no f32 agent.
pub fn with_decoder(bytes: &[u8], run: &RunDir) -> Result<AlignedBytes> {
    let file = Checkpoint::read(&run.vae())?;
    let decoder = match VaeShape::of(&file)?.layers {
        VaeLayers::Convolutional(chain) => chain.decoder,
        VaeLayers::Identity(_) | VaeLayers::Mlp(_) => None,
    };
    let mut agent = unpack(bytes).map_err(|error| anyhow!("{error}"))?;
    agent.settings.decoder =
        Some(decoder.with_context(|| format!("{}: expected a decoder of pictures, found none", file.origin))?);
    let of_decoder = file.tensors.iter().filter(|(name, _)| name.starts_with("decoder."));
    agent.tensors.extend(of_decoder.map(|(name, array)| (name.clone(), (array.shape.clone(), array.data.clone()))));
    let parts = Parts {
        tensors: &agent.tensors,
        settings: agent.settings,
        action_mid: &agent.action_mid,
        action_half: &agent.action_half,
        selftest: Some(&agent.selftest),
        frames: &[],
        provenance: &agent.provenance,
    };
    prove(&assemble(&parts)?)
}

/// Prepared frames from all over the episodes in the folder `rollouts`, to choose an i8 V's ranges by; none of vectors.
///
/// # Errors
/// One line naming the episode that cannot be read.
pub fn calibration_frames(rollouts: &Path) -> Result<Vec<Vec<u8>>> {
    let files = list(rollouts)?;
    frames_of(files.len(), |i| Episode::read(&files[i]))
}

/// The same of `data`, wherever it lies.
///
/// # Errors
/// As [`calibration_frames`]'s.
pub fn calibration_frames_of(data: &Dataset) -> Result<Vec<Vec<u8>>> {
    frames_of(data.len(), |i| data.read(i).map(Cow::into_owned))
}

fn frames_of(episodes: usize, read: impl Fn(usize) -> Result<Episode>) -> Result<Vec<Vec<u8>>> {
    let (taken, mut frames) = (episodes.min(CALIBRATION), Vec::new());
    for i in 0..taken {
        let episode = read(i * episodes / taken)?;
        let Ok(all) = episode.observations.frames() else { return Ok(frames) };
        // As many from each, from its beginning to its end.
        let (each, rows) = ((CALIBRATION / taken).min(all.len_of(Axis(0))), all.len_of(Axis(0)));
        frames.extend((0..each).map(|j| all.index_axis(Axis(0), (2 * j + 1) * rows / (2 * each)).iter().copied().collect()));
    }
    Ok(frames)
}

/// Packs `parts` with their proof: what the portable back end, the specification, makes of `observations`.
fn seal(parts: &Parts<'_>, observations: &[Vec<f32>]) -> Result<AlignedBytes> {
    let (selftest, digest, _) = proof(&assemble(parts)?, observations)?;
    let mut settings = parts.settings;
    settings.selftest_digest = Some(digest);
    prove(&assemble(&Parts { settings, selftest: Some(&selftest), ..*parts })?)
}

/// What the agent in `bytes` makes of `observations` on the portable back end: its answers, and the digest of its state after them.
fn proof(bytes: &AlignedBytes, observations: &[Vec<f32>]) -> Result<(SelfTest, u64, Precision)> {
    let model = Model::load_with(bytes, Backend::Portable).map_err(|error| anyhow!("packed agent: {error}"))?;
    let mut memory = vec![0.0; memory_len(model.dims())];
    let mut agent = Agent::new(model, &mut memory)?;
    let mut selftest = SelfTest::default();
    for observation in observations {
        let mut action = vec![0.0; model.dims().action_len()];
        agent.step(observation, &mut action)?;
        selftest.observations.push(observation.clone());
        selftest.actions.push(action);
    }
    Ok((selftest, agent.self_test_digest(), model.settings().precision))
}

/// Nothing leaves that this machine's own back ends do not all agree on.
fn prove(bytes: &[u8]) -> Result<AlignedBytes> {
    let bytes = AlignedBytes::new(bytes);
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        let model = Model::load_with(&bytes, backend).map_err(|error| anyhow!("packed agent: {error}"))?;
        let mut memory = vec![0.0; memory_len(model.dims())];
        model.self_test(&mut memory).with_context(|| format!("back end {}", backend.name()))?;
    }
    Ok(bytes)
}

/// Middle and half of the environment's action range.
fn action_range(config: &Config, dims: &Dims) -> Result<(Vec<f32>, Vec<f32>)> {
    let spec = spec(config, dims)?;
    Ok(spec.actions.map())
}

fn spec(config: &Config, dims: &Dims) -> Result<EnvSpec> {
    let spec = env::spec(&config.env)?;
    ensure!(
        (spec.obs, spec.actions.kind()) == (dims.obs_len(), dims.action),
        "{}: expected networks for observations of {} and actions of {}, found {} and {}",
        config.env.id,
        spec.obs,
        size_text(&spec.actions.kind()),
        dims.obs_len(),
        size_text(&dims.action)
    );
    Ok(spec)
}

fn assemble(parts: &Parts<'_>) -> Result<AlignedBytes> {
    pack_parts(parts).map(|bytes| AlignedBytes::new(&bytes)).map_err(|error| anyhow!("pack: {error}"))
}

/// Where the agent comes from: versions, seeds, every value in force, and what each stage measured of itself.
fn provenance(config: &Config, ingredients: &Ingredients) -> Result<BTreeMap<String, String>> {
    let mut entries = BTreeMap::from([
        (key::ENV.to_string(), config.env.id.clone()),
        ("provenance.version".to_string(), env!("CARGO_PKG_VERSION").to_string()),
        ("provenance.seed".to_string(), config.seed.to_string()),
        (file::CONFIG.to_string(), config.provenance()),
    ]);
    let world = env::label(&config.env)?;
    if world != config.env.id {
        entries.insert(file::WORLD.to_string(), world);
    }
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
    Ok(entries)
}
