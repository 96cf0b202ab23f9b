//! The environment pool: threads that play episodes, of an agent stepped by the runtime itself (what is trained is what will run), and of
//! the two baselines that any agent has to beat.

use crate::data::observations::frame_text;
use crate::env::{AnyEnv, Env, EnvConfig, EnvSpec, Physics, is_same, size_text, spec};
use crate::run::config::RECORDED;
use crate::run::interrupt;
pub use crate::stats::Estimate;
use anyhow::{Context, Result, bail, ensure};
use dreamstep_core::obs::Image;
use dreamstep_core::rng::Philox;
use dreamstep_core::schema::Acting;
use dreamstep_runtime::{Agent, Model, memory_len};
use rayon::prelude::*;
use serde::Serialize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

/// What one episode came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Sum of rewards.
    #[serde(rename = "return")]
    pub episode_return: f64,
    /// Steps.
    pub length: u64,
    /// Metres along x from start to end; none where the environment does not say.
    pub distance_m: Option<f64>,
    /// Whether the task ended it (else the time limit did).
    pub terminated: bool,
    /// Sum over its steps, but the first, of the squared changes of every actuator, in halves of its range; 0 of choices.
    #[serde(skip)]
    pub action_change: f64,
}

/// What acts.
#[derive(Clone, Copy, Debug)]
pub enum Policy<'a> {
    /// A packed agent.
    Agent(&'a Model<'a>),
    /// Uniform over the action range, or over the choices.
    Random,
    /// The zero action; of choices, the first.
    Zero,
}

/// Where an episode is cut that neither its task nor its time limit has ended; by default nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// After so many steps; 0: never.
    pub max_steps: u32,
    /// After so many steps in a row none of which paid (their rewards were 0 or less); 0: never.
    pub patience: u32,
}

/// One thread's tools: an environment and the memory that agents work in.
pub struct Player {
    env: AnyEnv,
    observation: Vec<f64>,
    single: Vec<f32>,
    action: Vec<f32>,
    memory: Vec<f32>,
}

impl Player {
    /// In the environment `env`.
    ///
    /// # Errors
    /// The environment cannot be made.
    pub fn new(env: &EnvConfig) -> Result<Self> {
        Self::under(env, Physics::Task)
    }

    /// In the environment `env` under these `physics`.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn under(env: &EnvConfig, physics: Physics) -> Result<Self> {
        let env = AnyEnv::with(env, physics)?;
        let (obs, action) = (env.spec().obs, env.spec().action());
        let (observation, single, action) = (vec![0.0; obs], vec![0.0; obs], vec![0.0; action]);
        Ok(Self { env, observation, single, action, memory: Vec::new() })
    }

    /// Sets the assistive force of the episodes to come: [`AnyEnv::assist`].
    ///
    /// # Errors
    /// As [`AnyEnv::assist`]'s.
    pub fn assist(&mut self, force: f64) -> Result<()> {
        self.env.assist(force)
    }

    /// Plays one episode from `reset(seed)`; or until `cut` says.
    ///
    /// # Errors
    /// The model is of another environment, or the simulation gave a non-finite observation, or panicked: the line names the episode's
    /// seed.
    pub fn episode(&mut self, policy: Policy<'_>, seed: u64, cut: Cut) -> Result<Outcome> {
        self.play(policy, seed, cut, |_| Ok(()), |_| ())
    }

    /// As [`Self::episode`], of an agent; what its controller reads (z `[Z]` and h `[H]`, or another input) is appended to `features` in every step.
    ///
    /// # Errors
    /// As for [`Self::episode`].
    pub fn features(&mut self, model: &Model<'_>, seed: u64, cut: Cut, features: &mut Vec<f32>) -> Result<Outcome> {
        let on_step = |tick: &Tick<'_>| {
            features.extend(tick.agent.into_iter().flat_map(Agent::controller_input));
            Ok(())
        };
        self.play(Policy::Agent(model), seed, cut, on_step, |_| ())
    }

    /// As [`Self::episode`]; `on_step` sees every step, before it is done, and may end the episode by an error.
    ///
    /// # Errors
    /// As for [`Self::episode`], and those of `on_step`.
    pub fn watch(
        &mut self,
        policy: Policy<'_>,
        seed: u64,
        cut: Cut,
        on_step: impl FnMut(&Tick<'_>) -> Result<()>,
    ) -> Result<Outcome> {
        self.play(policy, seed, cut, on_step, |_| ())
    }

    /// The observations of an episode, from `reset(seed)` to before its end: those that the policy answered.
    ///
    /// # Errors
    /// As for [`Self::episode`].
    pub fn record(&mut self, policy: Policy<'_>, seed: u64) -> Result<Vec<Vec<f32>>> {
        let mut observations = Vec::new();
        let on_step = |tick: &Tick<'_>| {
            observations.push(singles(tick.observation));
            Ok(())
        };
        self.play(policy, seed, Cut::default(), on_step, |_| ())?;
        Ok(observations)
    }

    /// The reward of every step of an episode from `reset(seed)`.
    ///
    /// # Errors
    /// As for [`Self::episode`].
    pub fn rewards(&mut self, policy: Policy<'_>, seed: u64) -> Result<Vec<f64>> {
        let mut rewards = Vec::new();
        self.play(policy, seed, Cut::default(), |_| Ok(()), |reward| rewards.push(reward))?;
        Ok(rewards)
    }

    /// [`Self::advance`], a panic in it made an error that names the episode.
    fn play(
        &mut self,
        policy: Policy<'_>,
        seed: u64,
        cut: Cut,
        on_step: impl FnMut(&Tick<'_>) -> Result<()>,
        on_reward: impl FnMut(f64),
    ) -> Result<Outcome> {
        let id = self.env.spec().id.clone();
        // What a panic left half-done is not used again: the error ends the run.
        let played = catch_unwind(AssertUnwindSafe(|| self.advance(policy, seed, cut, on_step, on_reward)));
        played.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
            bail!("{id}: seed {seed}: the episode's worker died: {text}")
        })
    }

    fn advance(
        &mut self,
        policy: Policy<'_>,
        seed: u64,
        cut: Cut,
        mut on_step: impl FnMut(&Tick<'_>) -> Result<()>,
        mut on_reward: impl FnMut(f64),
    ) -> Result<Outcome> {
        let Self { env, observation, single, action, memory } = self;
        let mut is_privileged = false;
        let mut agent = match policy {
            Policy::Agent(model) => {
                is_privileged = sees_behind(model, env);
                if !is_privileged {
                    check_fit(model, env.spec())?;
                }
                memory.resize(memory_len(model.dims()), 0.0);
                let mut agent = Agent::new(*model, memory)?;
                // Draws of its own for each episode, where the latent is sampled.
                agent.set_seed(seed);
                Some(agent)
            }
            Policy::Random | Policy::Zero => None,
        };
        // What M remembers and expects is of no consequence to an action that h has no part in; only draws are named by the tick.
        let advances = |agent: &Agent<'_, '_>| {
            agent.model().dims().input().has_hidden() || agent.model().settings().acting == Acting::Sampled
        };
        let advances = agent.as_ref().is_some_and(advances);
        env.reset(seed, observation).with_context(|| format!("seed {seed}"))?;
        action.fill(0.0);
        let mut before = vec![0.0; action.len()];
        let half = env.spec().actions.map().1;
        let start = env.position_x();
        let mut outcome = Outcome::default();
        let mut unpaid = 0;
        loop {
            let refused = || format!("{}: seed {seed}, step {}", env.spec().id, outcome.length);
            let privileged = env.privileged();
            match (&mut agent, policy) {
                (Some(agent), _) => {
                    let seen = privileged.as_ref().filter(|_| is_privileged);
                    let seen = seen.unwrap_or(observation);
                    single.clear();
                    single.extend(seen.iter().map(|&o| o as f32));
                    agent.act(single, action).with_context(refused)?;
                }
                (None, Policy::Random) => env.spec().actions.uniform(Philox::new(seed), outcome.length, action),
                (None, _) => {}
            }
            if outcome.length > 0 {
                let changes =
                    before.iter().zip(&*action).zip(&half).map(|((then, now), half)| f64::from((now - then) / half));
                outcome.action_change += changes.map(|change| change * change).sum::<f64>();
            }
            before.copy_from_slice(action);
            on_step(&Tick { observation, privileged: privileged.as_deref(), action, agent: agent.as_ref() })?;
            if let (Some(agent), true) = (&mut agent, advances) {
                agent.advance().with_context(refused)?;
            }
            let step = env.step(action, observation).with_context(|| format!("seed {seed}, step {}", outcome.length))?;
            on_reward(step.reward);
            outcome.episode_return += step.reward;
            outcome.length += 1;
            unpaid = if step.reward > 0.0 { 0 } else { unpaid + 1 };
            let is_cut = outcome.length == u64::from(cut.max_steps) || cut.patience > 0 && unpaid == cut.patience;
            if step.terminated || step.truncated || is_cut {
                outcome.distance_m = env.position_x().zip(start).map(|(end, start)| end - start);
                outcome.terminated = step.terminated;
                return Ok(outcome);
            }
        }
    }
}

/// A step, when its action is known and has not been done.
#[derive(Clone, Copy)]
pub struct Tick<'a> {
    /// `[O]`
    pub observation: &'a [f64],
    /// What is behind the picture, where the environment tells ([`Env::privileged`]).
    pub privileged: Option<&'a [f64]>,
    /// `[A]` in the environment's units.
    pub action: &'a [f32],
    /// The agent that acts, before it advances its memory.
    pub agent: Option<&'a Agent<'a, 'a>>,
}

/// Numbers as an agent sees them.
fn singles(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&o| o as f32).collect()
}

/// Whether `model` is one that acts on what is behind the pictures of `env` ([`Env::privileged`]).
#[must_use]
pub fn sees_behind(model: &Model<'_>, env: &AnyEnv) -> bool {
    let seen = model.dims().obs;
    seen.image().is_none() && env.privileged().is_some_and(|state| state.len() == seen.len())
}

/// That `model` was made for the environment `spec`: of its sizes, and, where its file says so, of its id and control period. Two tasks
/// may be of equal sizes, and an agent of the one would act in the other, badly. One of recorded data may be tried in any.
///
/// # Errors
/// One line with what was expected and what the agent was made for.
pub fn check_fit(model: &Model<'_>, spec: &EnvSpec) -> Result<()> {
    let dims = model.dims();
    if let Some(found) = model.environment().filter(|id| *id != RECORDED) {
        ensure!(is_same(found, &spec.id), "expected an agent made for {}, found one made for {found}", spec.id);
    }
    ensure!(
        (spec.obs, spec.actions.kind()) == (dims.obs_len(), dims.action),
        "agent does not fit {}: expected observations of {} and actions of {}, found a model for {} and {}",
        spec.id,
        spec.obs,
        size_text(&spec.actions.kind()),
        dims.obs_len(),
        size_text(&dims.action)
    );
    ensure!(
        spec.image.as_ref() == dims.obs.image(),
        "agent does not fit {}: expected one of {}, found a model of {}",
        spec.id,
        observed(spec.image.as_ref()),
        observed(dims.obs.image())
    );
    if let Some(found) = model.period_s() {
        ensure!(
            (found - spec.dt_s).abs() <= 1e-6 * spec.dt_s,
            "expected an agent made for the control period of {}, {} s, found one made for {found} s",
            spec.id,
            spec.dt_s
        );
    }
    Ok(())
}

/// What is observed, so far as it is a picture.
fn observed(image: Option<&Image>) -> String {
    let Some(image) = image else { return "vectors of numbers".into() };
    let Image { frame, crop, colour, filter, inverted, .. } = *image;
    format!(
        "pictures of {} ({} of a frame of {}, cut out {crop:?}, {}{})",
        frame_text(image.prepared()),
        colour.name(),
        frame_text(frame),
        filter.name(),
        if inverted { ", inverted" } else { "" }
    )
}

/// Worker threads, each with a player of its own.
pub struct EnvPool {
    pool: rayon::ThreadPool,
    players: Vec<Mutex<Player>>,
    time_limit: u32,
    conditions: Option<String>,
}

impl EnvPool {
    /// `threads` workers in the environment `env`.
    ///
    /// # Errors
    /// The environment cannot be made, or the threads not started.
    pub fn new(env: &EnvConfig, threads: usize) -> Result<Self> {
        Self::under(env, Physics::Task, threads)
    }

    /// `threads` workers in the environment `env` under these `physics`.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn under(env: &EnvConfig, physics: Physics, threads: usize) -> Result<Self> {
        let players = (0..threads).map(|_| Player::under(env, physics).map(Mutex::new)).collect::<Result<_>>()?;
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("cannot start the worker threads")?;
        Ok(Self { pool, players, time_limit: spec(env)?.time_limit, conditions: env.conditions() })
    }

    /// What the episodes are under ([`EnvConfig::conditions`]).
    #[must_use]
    pub fn conditions(&self) -> Option<&str> {
        self.conditions.as_deref()
    }

    /// Steps after which the environment cuts an episode.
    #[must_use]
    pub const fn time_limit(&self) -> u32 {
        self.time_limit
    }

    /// `work(player, 0)`, …, `work(player, count - 1)`, shared out among the workers as they come free; the results in order. They do
    /// not depend on the number of workers if `work` depends on its index alone.
    ///
    /// # Errors
    /// What `work` gives for the first index that fails.
    pub fn map<T: Send>(&self, count: usize, work: impl Fn(&mut Player, usize) -> Result<T> + Sync) -> Result<Vec<T>> {
        let one = |index| {
            // A worker's number names its player, so the lock is never waited for. A poisoned one means that a worker died,
            // and rayon passes its panic on.
            let worker = rayon::current_thread_index().unwrap_or(0);
            let mut player = self.players[worker].lock().map_err(|_| anyhow::anyhow!("a worker thread died"))?;
            work(&mut player, index)
        };
        // Episodes differ in length a hundredfold: hand them out one by one.
        self.pool.install(|| (0..count).into_par_iter().with_max_len(1).map(one).collect())
    }

    /// Plays `reset(seed)`, `reset(seed + 1)`, …, one episode each. `done` is called after each.
    ///
    /// # Errors
    /// The first episode that fails. [`interrupt::Interrupted`].
    pub fn episodes(&self, policy: Policy<'_>, seed: u64, count: usize, done: impl Fn() + Sync) -> Result<Vec<Outcome>> {
        self.map(count, |player, i| {
            interrupt::check()?;
            let outcome = player.episode(policy, seed + i as u64, Cut::default())?;
            done();
            Ok(outcome)
        })
    }
}
