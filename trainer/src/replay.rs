//! Which steps were seen lately? A ring of the newest `capacity` steps, and windows of consecutive ones drawn from it: what a model that
//! learns while it acts is fed from.
//!
//! ```text
//! push(obs [O], action [A], reward, terminal, truncation, next [O])      sample → [B, L, O], [B, L, A], [B, L] …, next [B, L, O]
//! ```
//!
//! Contract: a window is `L` consecutive steps of one episode, in the order of time. It crosses neither an episode's end nor the ring's
//! seam, where the newest step stands beside the oldest. Every window that the ring holds is equally likely. Where a step led is kept
//! beside it, so a target is never the input that it was computed from. Draw `(ReplaySample, batch, row)` chooses a row's window: the
//! buffer has no generator to save, and one that was saved and read back goes on as if nothing had been.

use crate::checkpoint::Checkpoint;
use anyhow::{Context, Result, ensure};
use dreamstep_core::names::metadata;
use dreamstep_core::rng::{Philox, Stream};
use ndarray::{Array2, Array3};
use std::path::Path;

/// Value of [`metadata::FORMAT`] in saved buffers.
const FORMAT: &str = "replay-1";

/// One step. Slices are `[O]`, `[A]` and `[O]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step<'a> {
    /// What the action was taken in.
    pub observation: &'a [f32],
    /// In the environment's own units.
    pub action: &'a [f32],
    /// What it earned.
    pub reward: f32,
    /// The task ended here.
    pub terminal: bool,
    /// The episode was cut here.
    pub truncation: bool,
    /// Where the action led: the episode's next observation, or its last.
    pub next: &'a [f32],
}

/// `B` windows of `L` steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Windows {
    /// `[B, L, O]`
    pub observations: Array3<f32>,
    /// `[B, L, A]`
    pub actions: Array3<f32>,
    /// `[B, L]`
    pub rewards: Array2<f32>,
    /// `[B, L]`: true in a window's last step at most.
    pub terminals: Array2<bool>,
    /// `[B, L]`: true in a window's last step at most.
    pub truncations: Array2<bool>,
    /// `[B, L, O]`: where each step led.
    pub next: Array3<f32>,
}

/// The ring.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    capacity: usize,
    obs: usize,
    action: usize,
    /// Steps ever pushed: the newest lies at `(pushed − 1) mod capacity`.
    pushed: u64,
    observations: Vec<f32>,
    actions: Vec<f32>,
    rewards: Vec<f32>,
    terminals: Vec<bool>,
    truncations: Vec<bool>,
    next: Vec<f32>,
    /// Steps of the same episode before this one.
    position: Vec<u32>,
}

impl Replay {
    /// An empty ring for `capacity` steps of observations `[obs]` and actions `[action]`. Memory grows as it fills.
    ///
    /// # Errors
    /// A size is 0.
    pub fn new(capacity: usize, obs: usize, action: usize) -> Result<Self> {
        ensure!(
            capacity > 0 && obs > 0 && action > 0,
            "replay: expected a capacity and sizes above 0, found {capacity} steps of {obs} and {action}"
        );
        let (pushed, none) = (0, Vec::new);
        Ok(Self {
            capacity,
            obs,
            action,
            pushed,
            observations: none(),
            actions: none(),
            rewards: none(),
            terminals: Vec::new(),
            truncations: Vec::new(),
            next: none(),
            position: Vec::new(),
        })
    }

    /// Steps that are held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rewards.len()
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Steps ever pushed.
    #[must_use]
    pub const fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Takes in the next step; where the ring is full, the oldest goes. The step after a terminal or a truncation begins an episode.
    ///
    /// # Errors
    /// One line, and nothing is taken in: another length, or a number that is not finite.
    pub fn push(&mut self, step: &Step<'_>) -> Result<()> {
        for (key, values, expected) in [
            ("observation", step.observation, self.obs),
            ("action", step.action, self.action),
            ("next", step.next, self.obs),
        ] {
            ensure!(values.len() == expected, "replay: {key}: expected {expected} numbers, found {}", values.len());
        }
        let numbers = step.observation.iter().chain(step.action).chain(step.next).chain([&step.reward]);
        if let Some(found) = numbers.into_iter().find(|v| !v.is_finite()) {
            anyhow::bail!("replay: step {}: expected finite numbers, found {found}", self.pushed);
        }
        let position = match self.newest() {
            Some(at) if !self.ends(at) => self.position[at].saturating_add(1),
            _ => 0,
        };
        let at = self.slot(self.pushed);
        if at == self.len() {
            self.observations.extend_from_slice(step.observation);
            self.actions.extend_from_slice(step.action);
            self.next.extend_from_slice(step.next);
            self.rewards.push(step.reward);
            self.terminals.push(step.terminal);
            self.truncations.push(step.truncation);
            self.position.push(position);
        } else {
            self.observations[at * self.obs..][..self.obs].copy_from_slice(step.observation);
            self.actions[at * self.action..][..self.action].copy_from_slice(step.action);
            self.next[at * self.obs..][..self.obs].copy_from_slice(step.next);
            (self.rewards[at], self.terminals[at], self.truncations[at]) = (step.reward, step.terminal, step.truncation);
            self.position[at] = position;
        }
        self.pushed += 1;
        Ok(())
    }

    /// Says that the newest step was its episode's last: somebody reset the environment in the middle.
    pub fn cut(&mut self) {
        if let Some(at) = self.newest() {
            self.truncations[at] = true;
        }
    }

    /// How many windows of `length` steps the ring holds.
    #[must_use]
    pub fn windows(&self, length: usize) -> usize {
        self.window_ends(length).len()
    }

    /// `rows` windows of `length` steps: those that the draws of `batch` name. With replacement.
    ///
    /// # Errors
    /// One line: the ring holds no such window.
    pub fn sample(&self, rng: Philox, batch: u64, rows: usize, length: usize) -> Result<Windows> {
        let ends = self.window_ends(length);
        ensure!(
            !ends.is_empty(),
            "replay: expected an episode with {length} consecutive steps among the {} that are held, found none",
            self.len()
        );
        let chosen =
            (0..rows).map(|row| ends[rng.below(Stream::ReplaySample, batch, row as u32, ends.len() as u64) as usize]);
        // Every step of every window, window by window.
        let steps: Vec<usize> = chosen
            .flat_map(|end| (0..length as u64).map(move |t| end + 1 - length as u64 + t))
            .map(|n| self.slot(n))
            .collect();
        let table = |values: &[f32], width: usize| -> Result<Array3<f32>> {
            let rows_of = steps.iter().flat_map(|&at| &values[at * width..][..width]).copied().collect();
            Ok(Array3::from_shape_vec((rows, length, width), rows_of)?)
        };
        let flags = |flags: &[bool]| Array2::from_shape_vec((rows, length), steps.iter().map(|&at| flags[at]).collect());
        Ok(Windows {
            observations: table(&self.observations, self.obs)?,
            actions: table(&self.actions, self.action)?,
            rewards: Array2::from_shape_vec((rows, length), steps.iter().map(|&at| self.rewards[at]).collect())?,
            terminals: flags(&self.terminals)?,
            truncations: flags(&self.truncations)?,
            next: table(&self.next, self.obs)?,
        })
    }

    /// Numbers of the steps that a window of `length` may end with, oldest first.
    fn window_ends(&self, length: usize) -> Vec<u64> {
        let oldest = self.pushed - self.len() as u64;
        let fits = |&n: &u64| {
            // Its episode reaches back far enough, and the ring has not forgotten that.
            length > 0 && self.position[self.slot(n)] as usize + 1 >= length && n - oldest + 1 >= length as u64
        };
        (oldest..self.pushed).filter(fits).collect()
    }

    /// Where step number `n` lies.
    const fn slot(&self, n: u64) -> usize {
        (n % self.capacity as u64) as usize
    }

    const fn newest(&self) -> Option<usize> {
        if self.pushed == 0 { None } else { Some(self.slot(self.pushed - 1)) }
    }

    fn ends(&self, at: usize) -> bool {
        self.terminals[at] || self.truncations[at]
    }

    /// Writes the ring to `path`, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let n = self.len();
        let flags = |flags: &[bool]| flags.iter().map(|&flag| f32::from(u8::from(flag))).collect::<Vec<_>>();
        let mut file = Checkpoint::default();
        file.insert("observations", &[n, self.obs], self.observations.clone());
        file.insert("actions", &[n, self.action], self.actions.clone());
        file.insert("rewards", &[n], self.rewards.clone());
        file.insert("terminals", &[n], flags(&self.terminals));
        file.insert("truncations", &[n], flags(&self.truncations));
        file.insert("next", &[n, self.obs], self.next.clone());
        // An episode may be longer than the ring: what is before its oldest step is not in the flags.
        let position = self.position.iter().flat_map(|&p| [(p >> 16) as f32, (p & 0xffff) as f32]).collect();
        file.insert("position", &[n, 2], position);
        file.set_meta(metadata::FORMAT, FORMAT);
        for (key, value) in self.sizes() {
            file.set_meta(key, value);
        }
        file.write(path)
    }

    fn sizes(&self) -> [(&'static str, u64); 4] {
        [
            ("capacity", self.capacity as u64),
            ("observation", self.obs as u64),
            ("action", self.action as u64),
            ("pushed", self.pushed),
        ]
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// One line that names `path`: not a saved buffer, or a damaged one.
    pub fn load(path: &Path) -> Result<Self> {
        let file = Checkpoint::read(path)?;
        let format: String = file.meta(metadata::FORMAT)?;
        ensure!(format == FORMAT, "{}: expected a replay buffer, {FORMAT}, found {format}", path.display());
        let mut replay = Self::new(file.meta("capacity")?, file.meta("observation")?, file.meta("action")?)
            .with_context(|| path.display().to_string())?;
        replay.pushed = file.meta("pushed")?;
        let n = replay.pushed.min(replay.capacity as u64) as usize;
        let flags = |key: &str| -> Result<Vec<bool>> { Ok(file.tensor(key, &[n])?.iter().map(|&v| v != 0.0).collect()) };
        replay.observations = file.tensor("observations", &[n, replay.obs])?.to_vec();
        replay.actions = file.tensor("actions", &[n, replay.action])?.to_vec();
        replay.rewards = file.tensor("rewards", &[n])?.to_vec();
        (replay.terminals, replay.truncations) = (flags("terminals")?, flags("truncations")?);
        replay.next = file.tensor("next", &[n, replay.obs])?.to_vec();
        let position = file.tensor("position", &[n, 2])?;
        replay.position = position.chunks_exact(2).map(|half| (half[0] as u32) << 16 | half[1] as u32).collect();
        Ok(replay)
    }
}

#[cfg(test)]
#[path = "replay/tests.rs"]
mod tests;
