//! Every value that decides a run: one typed TOML file with defaults, presets and overrides.
//!
//! Precedence, lowest first: the preset, the run folder's `config.toml`, `--config FILE`, each `--set key=value`. What is in force
//! is written beside every result. An unknown key or a bad value is an error that names it.

use crate::env::Physics;
use crate::evolve::generation::MAX_VECTORS;
use crate::nets::optim::Rule;
use crate::nets::schedule::ScheduleConfig;
use anyhow::{Context, Result, bail, ensure};
use dreamstep_core::dims::{Cell, Input, Mixture};
use dreamstep_core::schema::Target;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The whole configuration of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The one seed that drives everything.
    pub seed: u64,
    /// Environment id, as Gymnasium names it: any of [`crate::env::ids`].
    pub env: String,
    /// Worker threads for rollouts; 0 takes every core. Results do not depend on it.
    pub threads: usize,
    /// Threads of libtorch. 1 makes training repeat bit for bit.
    pub torch_threads: usize,
    /// Recorded episodes.
    pub collect: CollectConfig,
    /// V.
    pub vae: VaeConfig,
    /// M.
    pub mdnrnn: MdnrnnConfig,
    /// C.
    pub controller: ControllerConfig,
    /// C, where it is evolved in dreams.
    pub dream: DreamConfig,
    /// What a later round adds.
    pub rounds: RoundsConfig,
}

/// `collect`: which policy is recorded, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectConfig {
    /// Environment steps in the folder, whoever took them (the last episode is finished, so a few more are).
    pub steps: u64,
    /// Who acts.
    pub policy: CollectPolicy,
    /// `noise`: its standard deviation, in halves of the action range.
    pub noise_scale: f64,
    /// `noise` and exploration: steps after which the noise has forgotten all but 1/e of itself; 0 is white noise.
    pub noise_correlation: f64,
    /// `agent`: standard deviation of the noise on its actions, in halves of the action range; 0 records it as it is.
    pub exploration: f64,
}

/// Who acts while episodes are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CollectPolicy {
    /// Uniform over the action range, every step anew.
    Random,
    /// The zero action (`CartPole-v1` reads it as a push to the right).
    Zero,
    /// Gaussian noise around the middle of the range, correlated in time.
    Noise,
    /// A packed agent.
    Agent,
}

/// `train --stage vae`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VaeConfig {
    /// `Z`: size of the latent vector.
    pub latent: usize,
    /// `[E1, E2]`: the encoder's hidden layers; the decoder mirrors them.
    pub hidden: [usize; 2],
    /// Passes over the data.
    pub epochs: usize,
    /// Observations in a batch.
    pub batch_size: usize,
    /// `adam` (Kingma & Ba 2015) or `rmsprop` with α = 0.9, both as PyTorch computes them.
    pub optimizer: Rule,
    /// The optimiser's greatest step size; it changes as `schedule` says.
    pub learning_rate: f64,
    /// Free bits: KL is charged only above `kl_tolerance · Z` nats per observation.
    pub kl_tolerance: f64,
    /// Weight of the KL term against the summed squared error of whitened observations.
    pub kl_weight: f64,
    /// Log-variance is clamped into this range.
    pub log_var_range: [f64; 2],
    /// Whitened observations are clipped to ± this.
    pub obs_clip: f64,
    /// A dimension whose standard deviation is below this is dead: it is whitened to 0.
    pub min_std: f64,
    /// Fraction of episodes held out, from V and M alike (at least one episode).
    pub validation: f64,
    /// Observations held in memory and shuffled together (and as many that are read meanwhile). Data that fits is read once.
    pub pool: usize,
    /// Mixed precision: the layers compute in bfloat16. For GPUs.
    pub amp: bool,
    /// How the learning rate falls, and when to stop.
    pub schedule: ScheduleConfig,
}

/// `train --stage mdnrnn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MdnrnnConfig {
    /// `H`: hidden units.
    pub hidden: usize,
    /// What remembers: `lstm`, or `gru`, which has three quarters of its weights and h alone as state.
    #[serde(with = "CellName")]
    pub cell: Cell,
    /// What one mixture of Gaussians spans: the whole latent vector (`joint`, as in TorchWM) or one dimension (`per-dimension`, as in Ha &
    /// Schmidhuber's code).
    #[serde(with = "MixtureName")]
    pub mixture: Mixture,
    /// What the mixture is of: the next latent (`z`) or its change (`delta`).
    #[serde(with = "TargetName")]
    pub target: Target,
    /// `K`: Gaussians of the mixture.
    pub mixtures: usize,
    /// Passes over the data.
    pub epochs: usize,
    /// Windows in a batch.
    pub batch_size: usize,
    /// Steps in a window. A window never crosses an episode's end.
    pub sequence_length: usize,
    /// `adam` or `rmsprop`, as for V.
    pub optimizer: Rule,
    /// The optimiser's greatest step size; it changes as `schedule` says.
    pub learning_rate: f64,
    /// Gradients are clipped to this Euclidean norm.
    pub grad_clip: f64,
    /// Weight of the reward's squared error, over its variance; 0 leaves the reward unlearned. It is predicted without its constant.
    pub reward_weight: f64,
    /// Weight of the terminal head's cross entropy.
    pub terminal_weight: f64,
    /// Weight, in that cross entropy, of a step that ends the episode against one that does not. What training makes of a weight other
    /// than 1 is taken back from the trained logit, so that it says probabilities in any case.
    pub terminal_positive_weight: f64,
    /// Floor of log σ: an unbounded likelihood diverges.
    pub log_sigma_min: f64,
    /// Train on latents sampled from V's posterior, anew each epoch, as Ha & Schmidhuber did (`true`), or on its mean.
    pub sample_latents: bool,
    /// Whether V encodes the data once, into `latents.npy`, or anew whenever it is read.
    pub latents: LatentSource,
    /// Steps held in memory and shuffled together, as for V.
    pub pool: usize,
    /// Mixed precision: LSTM and head compute in bfloat16. For GPUs.
    pub amp: bool,
    /// How the learning rate falls, and when to stop.
    pub schedule: ScheduleConfig,
}

/// When V encodes the data that M is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LatentSource {
    /// Once: 8·Z bytes an observation on the disk.
    Precomputed,
    /// Whenever it is read: nothing on the disk.
    OnTheFly,
}

/// `train --stage controller`: an evolution strategy on real episodes, or in dreams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControllerConfig {
    /// Where candidates are tried: in the environment, or in dreams of M ([`DreamConfig`]).
    pub arena: ControllerArena,
    /// What the controller reads: `z+h` (V's latent and M's memory), one of them alone (`z`, `h`), the whitened observation (`obs`:
    /// neither V nor M runs), or it in place of z (`obs+h`). A controller that reads observations cannot act in dreams.
    #[serde(with = "InputName")]
    pub input: Input,
    /// How the linear output becomes an action in [-1, 1]: `clamp` or `tanh`.
    pub squash: Squash,
    /// Environment steps that evolution may spend (the last generation is finished).
    pub steps: u64,
    /// Which strategy searches.
    pub strategy: StrategyName,
    /// Antithetic directions in a generation (two candidates each): `pgpe`, `ars`, `openai-es`.
    pub directions: usize,
    /// `ars`: how many directions, the best, make the step; 0 takes all.
    pub top_directions: usize,
    /// `cma-es`, `sep-cma-es`: candidates in a generation; 0 is 4 + ⌊3 ln n⌋ for n parameters.
    pub population: usize,
    /// `cma-es`, `sep-cma-es`: how often a search that has come to its end starts anew with twice the population, before evolution ends.
    pub restarts: u32,
    /// Episodes averaged per candidate.
    pub episodes: usize,
    /// Initial standard deviation of the search distribution, in units of whitened features; `ars` and `openai-es` keep it.
    pub sigma: f64,
    /// `ars`, `openai-es`: the step size α.
    pub learning_rate: f64,
    /// `openai-es`: pull towards zero.
    pub weight_decay: f64,
    /// PGPE's learning rate of sigma.
    pub sigma_learning_rate: f64,
    /// Sigma changes by at most this fraction in a generation.
    pub sigma_max_change: f64,
    /// ClipUp's bound on the length of a step.
    pub max_speed: f64,
    /// ClipUp's momentum.
    pub momentum: f64,
    /// Taken off every step's reward while evolving (never while evaluating): with Humanoid's whole healthy bonus of 5 left
    /// in, evolution learns to stand still first. Taking off more than a task pays would evolve agents that end it: where another
    /// `env` is set and this is not, it is 0.
    pub reward_offset: f64,
    /// What `reward_offset` becomes, linearly, within the first `reward_offset_steps` environment steps.
    pub reward_offset_final: f64,
    /// See `reward_offset_final`; 0 keeps `reward_offset` as it is.
    pub reward_offset_steps: u64,
    /// Whose physics candidates play in: the `task`'s, or those of a rehearsal: `euler` (the same model under Euler's integrator) or
    /// `coarse` (and in longer substeps). Humanoid's are three and ten times as fast as its own. The validation episodes, and every figure,
    /// are the task's.
    pub physics: Physics,
    /// Whether the scale on which evolution moves (mean and deviation of every feature) follows the episodes that it plays, or stays as
    /// it was measured on the recorded ones.
    pub online_whitening: bool,
    /// Episodes are cut here while evolving; 0 leaves the environment's own limit.
    pub max_episode_steps: u32,
}

/// Where C is evolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControllerArena {
    /// On episodes of the environment.
    Real,
    /// In dreams of M.
    Dream,
}

/// `train --stage controller` with `controller.arena = "dream"`: how candidates are judged without the environment
/// ([`crate::dream`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DreamConfig {
    /// Generations that evolution may take.
    pub generations: u64,
    /// τ of the dreams: above 1 they are wilder than M learnt, below 1 tamer.
    pub temperature: f64,
    /// A dream is cut after so many steps: M's errors add up.
    pub horizon: u32,
    /// Dreams a candidate, of each M. All candidates of a generation dream the same ones.
    pub dreams: usize,
    /// The fraction of dreams that begin in the middle of a recorded episode, with the memory that the episode left; the others begin where
    /// episodes begin.
    pub recorded_starts: f64,
    /// A dream ends where a latent leaves the range that it has in the recorded data by more than this fraction of it: M knows nothing
    /// there. 0 lets dreams go anywhere.
    pub bound: f64,
    /// M's that dream, trained from seeds of their own. Their dreams are a candidate's, but it is the first, the run's M, that remembers
    /// for it.
    pub ensemble: usize,
    /// A candidate's score is the mean over these M's less this times their standard deviation: what only one of them believes in is worth
    /// less.
    pub pessimism: f64,
    /// Generations between two looks at the mean of the search distribution, which are also the points that a killed run goes on from.
    pub check_every: u64,
    /// Dreams of such a look, the same each time.
    pub check_dreams: usize,
    /// Real episodes of such a look, whose steps are counted; 0 trains in dreams alone.
    pub check_episodes: usize,
    /// After so many looks in a row at which the mean did better in dreams and worse in reality, evolution stops; 0 never stops. The best
    /// in reality is the result.
    pub patience: u64,
    /// How many of the best means are played in reality at the end; the best of them is the result. At least 1.
    pub rerank: usize,
    /// Real episodes of each, whose steps are counted; 0 believes the dreams.
    pub rerank_episodes: usize,
}

/// `rounds`: what each round but the first adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoundsConfig {
    /// Environment steps of the agent before that are recorded; `collect.exploration` is the noise on its actions.
    pub steps: u64,
}

impl Default for RoundsConfig {
    fn default() -> Self {
        Self { steps: 30_000 }
    }
}

/// Which evolution strategy searches: [`crate::evolve`] says what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyName {
    /// Parameter-exploring policy gradients with ClipUp.
    Pgpe,
    /// CMA-ES with the whole covariance matrix: a few hundred parameters at most, since every decomposition is O(n³).
    CmaEs,
    /// CMA-ES with a diagonal covariance.
    SepCmaEs,
    /// Augmented random search, V2-t.
    Ars,
    /// OpenAI-ES.
    #[serde(rename = "openai-es")]
    OpenAiEs,
}

/// How the controller's linear output becomes an action in [-1, 1].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Squash {
    /// `min(max(u, -1), 1)`.
    Clamp,
    /// Hyperbolic tangent.
    Tanh,
}

/// How TOML spells a [`Mixture`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Mixture", rename_all = "kebab-case")]
enum MixtureName {
    Joint,
    PerDimension,
}

/// How TOML spells a [`Target`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Target")]
enum TargetName {
    #[serde(rename = "z")]
    Next,
    #[serde(rename = "delta")]
    Delta,
}

/// How TOML spells a [`Cell`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Cell", rename_all = "lowercase")]
enum CellName {
    Lstm,
    Gru,
}

/// How TOML spells an [`Input`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Input")]
enum InputName {
    #[serde(rename = "z+h")]
    LatentHidden,
    #[serde(rename = "z")]
    Latent,
    #[serde(rename = "h")]
    Hidden,
    #[serde(rename = "obs")]
    Observation,
    #[serde(rename = "obs+h")]
    ObservationHidden,
}

/// A named starting point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// Minutes on two cores: what `make demo` runs.
    Quick,
    /// Ha & Schmidhuber's sizes (z = 32, 256 hidden units, 5 Gaussians) on 250,000 steps, evolved over 50 million: hours.
    Paper,
    /// CartPole-v1, learnt in dreams alone from fewer than 3,000 random steps: a minute on two cores.
    Cartpole,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            env: "Humanoid-v5".into(),
            threads: 0,
            torch_threads: 1,
            collect: CollectConfig::default(),
            vae: VaeConfig::default(),
            mdnrnn: MdnrnnConfig::default(),
            controller: ControllerConfig::default(),
            dream: DreamConfig::default(),
            rounds: RoundsConfig::default(),
        }
    }
}

impl Default for CollectConfig {
    fn default() -> Self {
        Self { steps: 30_000, policy: CollectPolicy::Random, noise_scale: 0.5, noise_correlation: 10.0, exploration: 0.0 }
    }
}

impl Default for VaeConfig {
    fn default() -> Self {
        Self {
            latent: 32,
            hidden: [256, 128],
            epochs: 15,
            batch_size: 128,
            optimizer: Rule::Adam,
            learning_rate: 1e-3,
            kl_tolerance: 0.5,
            kl_weight: 0.1,
            log_var_range: [-10.0, 10.0],
            obs_clip: 10.0,
            min_std: 1e-6,
            validation: 0.1,
            pool: 131_072,
            amp: false,
            schedule: ScheduleConfig::default(),
        }
    }
}

impl Default for MdnrnnConfig {
    fn default() -> Self {
        Self {
            hidden: 256,
            cell: Cell::Lstm,
            mixture: Mixture::Joint,
            target: Target::Next,
            mixtures: 5,
            epochs: 15,
            batch_size: 16,
            sequence_length: 32,
            optimizer: Rule::Adam,
            learning_rate: 3e-3,
            grad_clip: 1.0,
            reward_weight: 0.1,
            terminal_weight: 0.3,
            terminal_positive_weight: 1.0,
            log_sigma_min: -5.0,
            sample_latents: true,
            latents: LatentSource::Precomputed,
            pool: 262_144,
            amp: false,
            schedule: ScheduleConfig::default(),
        }
    }
}

impl Default for ControllerConfig {
    fn default() -> Self {
        Self {
            arena: ControllerArena::Real,
            input: Input::LatentHidden,
            squash: Squash::Clamp,
            steps: 400_000,
            strategy: StrategyName::Pgpe,
            directions: 40,
            top_directions: 0,
            population: 0,
            restarts: 3,
            episodes: 1,
            sigma: 0.02,
            learning_rate: 0.02,
            weight_decay: 0.005,
            sigma_learning_rate: 0.1,
            sigma_max_change: 0.2,
            max_speed: 0.15,
            momentum: 0.9,
            reward_offset: 4.0,
            reward_offset_final: 0.0,
            reward_offset_steps: 0,
            physics: Physics::Task,
            online_whitening: true,
            max_episode_steps: 0,
        }
    }
}

impl Default for DreamConfig {
    fn default() -> Self {
        Self {
            generations: 200,
            temperature: 1.0,
            horizon: 300,
            dreams: 12,
            recorded_starts: 0.5,
            bound: 0.05,
            ensemble: 1,
            pessimism: 1.0,
            check_every: 10,
            check_dreams: 64,
            check_episodes: 0,
            patience: 3,
            rerank: 1,
            rerank_episodes: 0,
        }
    }
}

impl ControllerConfig {
    /// Checks what the strategy needs.
    fn validate(&self) -> Result<()> {
        let Self { directions, top_directions, population, restarts, .. } = *self;
        ensure!(
            top_directions <= directions,
            "controller.top_directions = {top_directions}: must be at most controller.directions = {directions}"
        );
        ensure!(
            population == 0 || population >= 4,
            "controller.population = {population}: must be 0 (4 + 3 ln n candidates) or at least 4"
        );
        ensure!(restarts <= 12, "controller.restarts = {restarts}: must be at most 12, as each doubles the population");
        for (key, vectors) in [("directions", directions), ("population", population.saturating_mul(1 << restarts))] {
            ensure!(
                vectors <= MAX_VECTORS,
                "controller.{key}: must come to at most {MAX_VECTORS} a generation, found {vectors}"
            );
        }
        Ok(())
    }

    /// What is taken off every step's reward after `steps` environment steps of evolution.
    #[must_use]
    pub fn reward_offset_at(&self, steps: u64) -> f64 {
        if self.reward_offset_steps == 0 {
            return self.reward_offset;
        }
        let done = (steps as f64 / self.reward_offset_steps as f64).min(1.0);
        self.reward_offset + done * (self.reward_offset_final - self.reward_offset)
    }
}

impl Preset {
    /// The preset's values.
    #[must_use]
    pub fn config(self) -> Config {
        let mut config = Config::default();
        if self == Self::Paper {
            config.collect.steps = 250_000;
            config.vae.epochs = 25;
            config.vae.batch_size = 256;
            config.vae.learning_rate = 1.5e-3;
            config.mdnrnn.epochs = 25;
            config.mdnrnn.batch_size = 64;
            config.mdnrnn.learning_rate = 5e-3;
            config.controller.steps = 50_000_000;
            config.controller.directions = 200;
            config.controller.reward_offset = 5.0;
        }
        if self == Self::Cartpole {
            config.cartpole();
        }
        config
    }
}

impl Config {
    /// What [`Preset::Cartpole`] is. A pole on a cart is deterministic, so M can be as exact as its data: V keeps the whole state (four
    /// latents, next to no price on them), M learns on its means and small batches. Both pushes are drawn equally often.
    fn cartpole(&mut self) {
        self.env = "CartPole-v1".into();
        // The last episode is finished: a random one takes up to a hundred steps.
        self.collect.steps = 2_880;
        self.collect.policy = CollectPolicy::Noise;
        (self.collect.noise_scale, self.collect.noise_correlation) = (1000.0, 0.0);
        (self.vae.latent, self.vae.hidden) = (4, [128, 128]);
        (self.vae.epochs, self.vae.batch_size, self.vae.learning_rate) = (60, 64, 3e-3);
        (self.vae.kl_weight, self.vae.kl_tolerance) = (0.0, 0.0);
        (self.mdnrnn.hidden, self.mdnrnn.target) = (64, Target::Delta);
        (self.mdnrnn.epochs, self.mdnrnn.batch_size, self.mdnrnn.learning_rate) = (60, 4, 5e-3);
        (self.mdnrnn.reward_weight, self.mdnrnn.terminal_weight) = (0.0, 1.0);
        (self.mdnrnn.terminal_positive_weight, self.mdnrnn.log_sigma_min) = (5.0, -7.0);
        self.mdnrnn.sample_latents = false;
        self.controller.arena = ControllerArena::Dream;
        (self.controller.strategy, self.controller.directions) = (StrategyName::Pgpe, 16);
        (self.controller.sigma, self.controller.max_speed) = (1.0, 1.0);
        self.controller.reward_offset = 0.0;
        (self.dream.generations, self.dream.horizon) = (40, 500);
    }

    /// Reads `text` over `self` (only the keys it names change), then applies each `key=value` of `overrides`.
    ///
    /// # Errors
    /// One line that names the unknown key or the bad value and `origin`.
    pub fn overlay(&self, origin: &str, text: &str, overrides: &[String]) -> Result<Self> {
        let mut table = toml::Table::try_from(self).context("configuration does not serialise")?;
        let over: toml::Table =
            text.parse().map_err(|e: toml::de::Error| anyhow::anyhow!("{origin}: {}", one_line(e.message())))?;
        let mut names_offset = names_offset(&over);
        merge(&mut table, over, origin, "")?;
        for item in overrides {
            let (key, value) =
                item.split_once('=').with_context(|| format!("--set {item}: expected key=value, e.g. vae.epochs=5"))?;
            // A bare word is a string: `--set controller.squash=tanh`.
            let assignment = format!("{} = {}", key.trim(), value.trim());
            let over: toml::Table =
                assignment
                    .parse()
                    .or_else(|_| format!("{} = {:?}", key.trim(), value.trim()).parse())
                    .map_err(|e: toml::de::Error| anyhow::anyhow!("--set {item}: {}", one_line(e.message())))?;
            names_offset |= self::names_offset(&over);
            merge(&mut table, over, &format!("--set {item}"), "")?;
        }
        let mut config: Self =
            table.try_into().map_err(|e: toml::de::Error| anyhow::anyhow!("{origin}: {}", one_line(&e.to_string())))?;
        if config.env != self.env && !names_offset {
            let default = Self::default();
            config.controller.reward_offset = if config.env == default.env { default.controller.reward_offset } else { 0.0 };
        }
        config.validate()?;
        Ok(config)
    }

    /// Reads a file over `self`.
    ///
    /// # Errors
    /// The file cannot be read, or [`Self::overlay`] rejects it.
    pub fn overlay_file(&self, path: &Path, overrides: &[String]) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{}: cannot read the configuration", path.display()))?;
        self.overlay(&path.display().to_string(), &text, overrides)
    }

    /// The TOML text of every value in force.
    ///
    /// # Panics
    /// Never: every field serialises.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("the configuration serialises")
    }

    /// The TOML text of every value that decides a result, for provenance: the number of worker threads decides none.
    #[must_use]
    pub fn provenance(&self) -> String {
        Self { threads: 0, ..self.clone() }.to_toml()
    }

    /// The first key, in alphabetical order, whose value in the TOML text `recorded` is not the one in force here: key, then, now. The
    /// sections of `ignored` and the number of worker threads do not count; neither does a key that `recorded` lacks.
    ///
    /// # Errors
    /// `recorded` is not TOML.
    ///
    /// # Panics
    /// Never: the configuration serialises.
    pub fn first_difference(&self, recorded: &str, ignored: &[&str]) -> Result<Option<(String, String, String)>> {
        let now = toml::Table::try_from(self).expect("the configuration serialises");
        let then: toml::Table = recorded.parse().context("recorded configuration")?;
        let skip = |key: &str| key == "threads" || ignored.contains(&key);
        Ok(then.iter().filter(|(key, _)| !skip(key)).find_map(|(key, then)| difference(key, then, now.get(key)?)))
    }

    /// Threads to use: `threads`, or every core where it is 0.
    #[must_use]
    pub fn worker_threads(&self) -> usize {
        if self.threads > 0 { self.threads } else { std::thread::available_parallelism().map_or(1, usize::from) }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// One line naming the key, the rule and the value found.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("torch_threads", self.torch_threads as f64),
            ("collect.steps", self.collect.steps as f64),
            ("collect.noise_scale", self.collect.noise_scale),
            ("vae.latent", self.vae.latent as f64),
            ("vae.hidden[0]", self.vae.hidden[0] as f64),
            ("vae.hidden[1]", self.vae.hidden[1] as f64),
            ("vae.epochs", self.vae.epochs as f64),
            ("vae.batch_size", self.vae.batch_size as f64),
            ("vae.learning_rate", self.vae.learning_rate),
            ("vae.obs_clip", self.vae.obs_clip),
            ("vae.pool", self.vae.pool as f64),
            ("vae.schedule.factor", self.vae.schedule.factor),
            ("mdnrnn.pool", self.mdnrnn.pool as f64),
            ("mdnrnn.terminal_positive_weight", self.mdnrnn.terminal_positive_weight),
            ("mdnrnn.schedule.factor", self.mdnrnn.schedule.factor),
            ("mdnrnn.hidden", self.mdnrnn.hidden as f64),
            ("mdnrnn.mixtures", self.mdnrnn.mixtures as f64),
            ("mdnrnn.epochs", self.mdnrnn.epochs as f64),
            ("mdnrnn.batch_size", self.mdnrnn.batch_size as f64),
            ("mdnrnn.sequence_length", self.mdnrnn.sequence_length as f64),
            ("mdnrnn.learning_rate", self.mdnrnn.learning_rate),
            ("mdnrnn.grad_clip", self.mdnrnn.grad_clip),
            ("controller.steps", self.controller.steps as f64),
            ("controller.directions", self.controller.directions as f64),
            ("controller.episodes", self.controller.episodes as f64),
            ("controller.sigma", self.controller.sigma),
            ("controller.learning_rate", self.controller.learning_rate),
            ("rounds.steps", self.rounds.steps as f64),
            ("controller.max_speed", self.controller.max_speed),
            ("dream.generations", self.dream.generations as f64),
            ("dream.temperature", self.dream.temperature),
            ("dream.horizon", f64::from(self.dream.horizon)),
            ("dream.dreams", self.dream.dreams as f64),
            ("dream.ensemble", self.dream.ensemble as f64),
            ("dream.check_every", self.dream.check_every as f64),
            ("dream.check_dreams", self.dream.check_dreams as f64),
            ("dream.rerank", self.dream.rerank as f64),
        ];
        for (key, value) in positive {
            ensure!(value > 0.0 && value.is_finite(), "{key} = {value}: must be a positive number");
        }
        let not_negative = [
            ("collect.noise_correlation", self.collect.noise_correlation),
            ("collect.exploration", self.collect.exploration),
            ("vae.kl_tolerance", self.vae.kl_tolerance),
            ("vae.kl_weight", self.vae.kl_weight),
            ("vae.min_std", self.vae.min_std),
            ("mdnrnn.reward_weight", self.mdnrnn.reward_weight),
            ("mdnrnn.terminal_weight", self.mdnrnn.terminal_weight),
            ("controller.weight_decay", self.controller.weight_decay),
            ("controller.sigma_learning_rate", self.controller.sigma_learning_rate),
            ("controller.sigma_max_change", self.controller.sigma_max_change),
            ("dream.bound", self.dream.bound),
            ("dream.pessimism", self.dream.pessimism),
        ];
        for (key, value) in not_negative {
            ensure!(value >= 0.0 && value.is_finite(), "{key} = {value}: must be zero or positive");
        }
        let fractions = [("vae.validation", self.vae.validation), ("controller.momentum", self.controller.momentum)];
        for (key, value) in fractions {
            ensure!((0.0..1.0).contains(&value), "{key} = {value}: must be at least 0 and below 1");
        }
        let recorded = self.dream.recorded_starts;
        ensure!((0.0..=1.0).contains(&recorded), "dream.recorded_starts = {recorded}: must be at least 0 and at most 1");
        self.controller.validate()?;
        ensure!(
            self.controller.arena == ControllerArena::Real || !self.controller.input.has_observation(),
            "controller.input = {:?}: must be z+h, z or h where controller.arena is dream: dreams have no observations",
            self.controller.input.name()
        );
        let [low, high] = self.vae.log_var_range;
        ensure!(low < high, "vae.log_var_range = [{low}, {high}]: the first must be below the second");
        for (key, value) in
            [("reward_offset", self.controller.reward_offset), ("reward_offset_final", self.controller.reward_offset_final)]
        {
            ensure!(value.is_finite(), "controller.{key} = {value}: must be finite");
        }
        ensure!(self.mdnrnn.log_sigma_min.is_finite(), "mdnrnn.log_sigma_min: must be finite");
        Ok(())
    }
}

/// Whether `over` sets `controller.reward_offset`.
fn names_offset(over: &toml::Table) -> bool {
    over.get("controller").and_then(|controller| controller.get("reward_offset")).is_some()
}

/// Writes `over` into `base`, key by key. A key that `base` lacks is unknown: every key has a default.
fn merge(base: &mut toml::Table, over: toml::Table, origin: &str, prefix: &str) -> Result<()> {
    for (key, value) in over {
        let path = format!("{prefix}{key}");
        match (base.get_mut(&key), value) {
            (None, _) => {
                bail!("{origin}: unknown key `{path}`; known here: {}", base.keys().cloned().collect::<Vec<_>>().join(", "))
            }
            (Some(toml::Value::Table(inner)), toml::Value::Table(over)) => merge(inner, over, origin, &format!("{path}."))?,
            (Some(slot), value) => {
                // TOML tells 1 from 1.0; a user need not.
                let value = match (&*slot, value) {
                    (toml::Value::Float(_), toml::Value::Integer(i)) => toml::Value::Float(i as f64),
                    (_, value) => value,
                };
                ensure!(
                    slot.same_type(&value),
                    "{origin}: {path} = {value}: expected a value of type {}, found {}",
                    slot.type_str(),
                    value.type_str()
                );
                *slot = value;
            }
        }
    }
    Ok(())
}

/// The first leaf below `path` that differs.
fn difference(path: &str, then: &toml::Value, now: &toml::Value) -> Option<(String, String, String)> {
    match (then, now) {
        (toml::Value::Table(then), toml::Value::Table(now)) => {
            then.iter().find_map(|(key, then)| difference(&format!("{path}.{key}"), then, now.get(key)?))
        }
        _ if then == now => None,
        _ => Some((path.to_string(), then.to_string(), now.to_string())),
    }
}

/// Error texts of the TOML crate span lines; ours are one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
