//! `[controller]`: the controller that evolution searches for, the strategy, and what candidates are scored on.

use crate::env::pool::Cut;
use anyhow::{Context, Result, ensure};
use dreamstep_core::c::{Activation, Controller, ControllerInput, ControllerKind, MAX_HIDDEN};
use dreamstep_core::dims::{MAX_DIM, Widths};
use dreamstep_core::precision::Precision;
use dreamstep_core::schema::Squash;
use serde::{Deserialize, Serialize};

/// `train --stage controller`: an evolution strategy, on episodes of the environment or in dreams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControllerConfig {
    /// What candidates are scored on: `episodes` of the environment, or `dreams` of M ([`super::DreamConfig`]).
    pub scored_on: ScoredOn,
    /// What the controller reads: `z+h` (V's latent and M's memory), one of them alone (`z`, `h`), the whitened observation (`obs`:
    /// neither V nor M runs), or it in place of z (`obs+h`). A controller that reads observations cannot act in dreams.
    #[serde(with = "InputName")]
    pub input: ControllerInput,
    /// Widths of the controller's hidden layers, two at most; `[]` is a linear controller.
    pub hidden: Vec<usize>,
    /// What follows a hidden layer: `tanh` or `relu`.
    #[serde(with = "ActivationName")]
    pub activation: Activation,
    /// How the last layer's output becomes an action in [-1, 1]: `clamp` or `tanh`.
    #[serde(with = "SquashName")]
    pub squash: Squash,
    /// Environment steps that evolution may take (the last generation is finished).
    pub steps: u64,
    /// Which strategy searches: `pgpe`, `cma-es`, `sep-cma-es`, `ars` or `openai-es`; each has a table of its own, the CMA-ES one.
    pub strategy: StrategyName,
    /// Episodes averaged per candidate.
    pub episodes: usize,
    /// Whether the episodes per candidate (the dreams, where `scored_on` is `dreams`) adapt to the noise of the scores, from `episodes` to
    /// `max_episodes` (`dream.dreams` to `dream.max_dreams`): some candidates of each generation are scored a second time, on other
    /// episodes, and the change of ranks decides ([`crate::control::strategies::noise`]).
    pub noise_handling: bool,
    /// See `noise_handling`.
    pub max_episodes: usize,
    /// Episodes of a validation, the same each time, where `scored_on` is `episodes` (else `dream.validation_episodes`): the mean of the search distribution that does best in them is the result. The luck of few of
    /// them hides that one in twenty goes wrong.
    pub validation_episodes: usize,
    /// Initial standard deviation of the search distribution, in units of whitened features; `ars` and `openai-es` keep it.
    pub sigma: f64,
    /// Taken off every step's reward while evolving (never while evaluating): with Humanoid's whole healthy bonus of 5 left
    /// in, evolution learns to stand still first. Taking off more than a task pays would evolve agents that end it: where another
    /// `env` is set and this is not, it is 0.
    pub reward_offset: f64,
    /// What `reward_offset` becomes, linearly, within the first `reward_offset_steps` environment steps.
    pub reward_offset_final: f64,
    /// See `reward_offset_final`; 0 keeps `reward_offset` as it is.
    pub reward_offset_steps: u64,
    /// Taken off an episode's return while evolving, for each squared change of an actuator from a step to the next, in halves of its range. Nothing else
    /// keeps a controller from throwing an actuator to and fro in every step, which wears a robot out.
    pub action_change_cost: f64,
    /// What candidates play in: the `task`'s physics, or surrogate physics (`heun`: longer substeps of the second order). The validation
    /// episodes, and every figure, are the task's.
    pub physics: Physics,
    /// What V and M are packed in where candidates play episodes: `f32`, `f16`, `bf16` or `i8`. C gets used to what it will read on the robot,
    /// and of pictures an i8 V takes less time.
    #[serde(with = "PrecisionName")]
    pub precision: Precision,
    /// Whether the scale on which evolution moves (mean and deviation of every feature) follows the episodes that it plays, or stays as
    /// it was measured on the recorded ones.
    pub online_whitening: bool,
    /// Whether, when that scale moves, the controller at the mean of the search stays what it is, its parameters put in the new units; or
    /// the parameters stay, and it becomes another (as ARS V2 has it): that does little harm to what is learnt from zeros, and undoes a gait
    /// that was distilled from a teacher.
    pub carry_controller: bool,
    /// Episodes are cut here while evolving; 0 leaves the environment's own limit.
    pub max_episode_steps: u32,
    /// Episodes are cut while evolving, and in lessons, after so many steps in a row whose rewards were 0 or less; 0 never does. Whoever has left
    /// the road need not be watched to the end.
    pub patience: u32,
    /// Where C begins as what a teacher does, how often it plays `lesson_episodes` and is told what the teacher would have done (DAgger's
    /// iterations).
    pub lessons: u32,
    /// See `lessons`.
    pub lesson_episodes: usize,
    /// PGPE's.
    pub pgpe: PgpeConfig,
    /// Of CMA-ES and separable CMA-ES.
    pub cma: CmaConfig,
    /// ARS's.
    pub ars: ArsConfig,
    /// OpenAI-ES's.
    pub openai_es: OpenAiEsConfig,
    /// The assistive force of a curriculum.
    pub assist: AssistConfig,
}

/// `[controller.pgpe]`: parameter-exploring policy gradients with ClipUp.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PgpeConfig {
    /// Mirrored directions in a generation: two candidates each.
    pub directions: usize,
    /// Learning rate of sigma.
    pub sigma_learning_rate: f64,
    /// Sigma changes by at most this fraction in a generation, below 1.
    pub sigma_max_change: f64,
    /// ClipUp's bound on the length of a step.
    pub max_speed: f64,
    /// ClipUp's momentum.
    pub momentum: f64,
}

/// `[controller.cma]`: CMA-ES, with the whole covariance matrix or a diagonal one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CmaConfig {
    /// Candidates in a generation; 0 is 4 + ⌊3 ln n⌋ for n parameters.
    pub population: usize,
    /// How often a search that has converged restarts with twice the population before evolution ends.
    pub restarts: u32,
}

/// `[controller.ars]`: augmented random search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArsConfig {
    /// Mirrored directions in a generation: two candidates each.
    pub directions: usize,
    /// How many directions, the best, make the step; 0 takes all.
    pub top_directions: usize,
    /// The step size α.
    pub learning_rate: f64,
}

/// `[controller.openai_es]`: OpenAI's evolution strategy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAiEsConfig {
    /// Mirrored directions in a generation: two candidates each.
    pub directions: usize,
    /// Adam's step size α.
    pub learning_rate: f64,
    /// Pull towards zero.
    pub weight_decay: f64,
}

/// `[controller.assist]`: an external spring holds the torso upright while candidates are scored, and is annealed (a curriculum of
/// assistance: Yu, Turk & Liu 2018, *Learning symmetric and low-energy locomotion*). The validation episodes are played without.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssistConfig {
    /// Its strength at first, in multiples of the torque that would topple the agent; 0 is none. It falls after every generation whose
    /// candidates last long enough.
    pub force: f64,
    /// By which fraction it falls.
    pub decay: f64,
    /// Which share of an episode candidates have to last on average before it does.
    pub min_length: f64,
    /// Episodes are cut here while the force acts; 0 leaves `controller.max_episode_steps`.
    pub max_steps: u32,
}

/// Whose physics an environment steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Physics {
    /// The task's own: every reported figure.
    Task,
    /// Surrogate physics: the same model by Heun's method, in longer substeps (two for the task's five), and with at most 20 sweeps of the
    /// contact solver. To evolve in, never to report from. CartPole's stays as it is.
    Heun,
}

/// Vectors that a generation may have: more, and their names would run into the next generation's.
pub const MAX_VECTORS: usize = 1 << 20;

/// C of these hidden layers, or none where they are too many or too wide.
#[must_use]
pub fn controller_of(input: ControllerInput, hidden: &[usize], activation: Activation) -> Option<Controller> {
    let fits = Widths::<MAX_HIDDEN>::new(hidden).is_some() && hidden.iter().all(|&width| width <= MAX_DIM);
    fits.then(|| match hidden {
        [] => Controller::linear(input),
        _ => Controller::mlp(input, hidden, activation),
    })
}

/// Which evolution strategy searches: [`crate::control::strategies`] says what they are.
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

/// How TOML spells a [`Squash`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Squash", rename_all = "lowercase")]
enum SquashName {
    Clamp,
    Tanh,
}

/// How TOML spells a [`Precision`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Precision", rename_all = "lowercase")]
enum PrecisionName {
    F32,
    F16,
    Bf16,
    I8,
}

/// How TOML spells an [`ControllerInput`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "ControllerInput")]
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

/// How TOML spells an [`Activation`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Activation", rename_all = "lowercase")]
enum ActivationName {
    Tanh,
    Relu,
}

/// What candidates are scored on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoredOn {
    /// Episodes of the environment.
    Episodes,
    /// Dreams of M.
    Dreams,
}

impl Default for ControllerConfig {
    fn default() -> Self {
        Self {
            scored_on: ScoredOn::Episodes,
            input: ControllerInput::LatentHidden,
            hidden: Vec::new(),
            activation: Activation::Tanh,
            squash: Squash::Clamp,
            steps: 400_000,
            strategy: StrategyName::Pgpe,
            episodes: 1,
            noise_handling: false,
            max_episodes: 16,
            sigma: 0.02,
            reward_offset: 4.0,
            reward_offset_final: 0.0,
            reward_offset_steps: 0,
            action_change_cost: 0.0,
            physics: Physics::Task,
            precision: Precision::F32,
            online_whitening: true,
            carry_controller: true,
            max_episode_steps: 0,
            validation_episodes: 16,
            patience: 0,
            lessons: 4,
            lesson_episodes: 64,
            pgpe: PgpeConfig {
                directions: 40,
                sigma_learning_rate: 0.1,
                sigma_max_change: 0.2,
                max_speed: 0.15,
                momentum: 0.9,
            },
            cma: CmaConfig { population: 0, restarts: 3 },
            ars: ArsConfig { directions: 40, top_directions: 0, learning_rate: 0.02 },
            openai_es: OpenAiEsConfig { directions: 40, learning_rate: 0.02, weight_decay: 0.005 },
            assist: AssistConfig { force: 0.0, decay: 0.02, min_length: 0.5, max_steps: 250 },
        }
    }
}

/// An assistive force below this is none.
const LEAST_FORCE: f64 = 0.01;

impl ControllerConfig {
    /// The C that is asked for.
    ///
    /// # Errors
    /// One line: more hidden layers than there may be, or one without units.
    pub fn controller(&self) -> Result<Controller> {
        controller_of(self.input, &self.hidden, self.activation).with_context(|| {
            let found = &self.hidden;
            format!("controller.hidden = {found:?}: must be at most {MAX_HIDDEN} widths from 1 to {MAX_DIM}")
        })
    }

    /// Asks for `c`: [`Self::controller`]'s inverse.
    pub fn ask_for(&mut self, c: &Controller) {
        self.input = c.input;
        self.hidden.clear();
        if let ControllerKind::Mlp { hidden, activation } = c.kind {
            self.hidden.extend(hidden.as_slice());
            self.activation = activation;
        }
    }

    /// Checks what relates keys to one another.
    pub(super) fn validate(&self) -> Result<()> {
        self.controller()?;
        ensure!(
            self.precision == Precision::F32 || self.scored_on == ScoredOn::Episodes,
            "controller.precision = \"{}\": must be \"f32\" where controller.scored_on = \"dreams\"",
            self.precision.name()
        );
        ensure!(
            self.action_change_cost == 0.0 || self.scored_on == ScoredOn::Episodes,
            "controller.action_change_cost = {}: must be 0 where controller.scored_on = \"dreams\"",
            self.action_change_cost
        );
        let (ArsConfig { directions, top_directions, .. }, CmaConfig { population, restarts }) = (&self.ars, &self.cma);
        ensure!(
            top_directions <= directions,
            "controller.ars.top_directions = {top_directions}: must be at most controller.ars.directions = {directions}"
        );
        ensure!(
            *population == 0 || *population >= 4,
            "controller.cma.population = {population}: must be 0 (4 + 3 ln n candidates) or at least 4"
        );
        let last = population.saturating_mul(1 << restarts);
        ensure!(
            last <= MAX_VECTORS,
            "controller.cma.population = {population}: must come to at most {MAX_VECTORS} after controller.cma.restarts = {restarts}, \
             each of which doubles it; found {last}"
        );
        Ok(())
    }

    /// Mirrored directions of the strategy in force, where it has any.
    #[must_use]
    pub const fn directions(&self) -> Option<usize> {
        match self.strategy {
            StrategyName::Pgpe => Some(self.pgpe.directions),
            StrategyName::Ars => Some(self.ars.directions),
            StrategyName::OpenAiEs => Some(self.openai_es.directions),
            StrategyName::CmaEs | StrategyName::SepCmaEs => None,
        }
    }

    /// Where episodes are cut while an assistive force of `force` acts.
    #[must_use]
    pub const fn cut(&self, force: f64) -> Cut {
        let max_steps =
            if force > 0.0 && self.assist.max_steps > 0 { self.assist.max_steps } else { self.max_episode_steps };
        Cut { max_steps, patience: self.patience }
    }

    /// The assistive force after a generation whose candidates lasted `length` steps on average, where the environment cuts episodes at
    /// `time_limit`.
    #[must_use]
    pub fn annealed(&self, force: f64, length: f64, time_limit: u32) -> f64 {
        let cut = if self.cut(force).max_steps == 0 { time_limit } else { self.cut(force).max_steps };
        let lasts = length >= self.assist.min_length * f64::from(cut);
        let next = if lasts { force * (1.0 - self.assist.decay) } else { force };
        if next < LEAST_FORCE { 0.0 } else { next }
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
