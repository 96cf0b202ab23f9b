//! The steps of a pool of episodes as M is trained on them: one row below the other, cut into windows, and windows packed into batches.

use crate::data::dataset::Dataset;
use crate::env::Ear;
use crate::world::mdnrnn::{MdnRnn, MemoryState, Prediction};
use crate::world::nets::{indices, matrix};
use anyhow::{Context, Result};
use tch::{Device, Tensor};

/// Windows evaluated at a time where no gradient is kept.
const EVAL_WINDOWS: usize = 256;

/// A run of steps of one episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::world) struct Window {
    /// Its first step's row in the table.
    pub(super) row: usize,
    /// Steps, at least 1.
    pub(super) len: usize,
    /// How many windows of the same episode come before it.
    pub(super) number: usize,
}

/// All steps of the episodes of one pool. Row `r` is an observation; `r + 1` is where its step led. The row of an episode's last observation
/// starts no step, so no window holds it.
pub(super) struct Table {
    /// `[R, Z]` and `[R, Z]`: V's mean and standard deviation.
    pub(super) mean: Tensor,
    pub(super) std: Tensor,
    /// `[R, U]`: as M hears them.
    pub(super) action: Tensor,
    /// `[R]`
    pub(super) reward: Tensor,
    /// `[R]` 0 or 1.
    pub(super) terminal: Tensor,
    /// In the order of the rows.
    pub(super) windows: Vec<Window>,
    pub(super) device: Device,
}

/// Windows side by side, packed: all first steps, then all second steps of those that have one, and so on.
pub struct Batch {
    /// Row of each of the `N` steps.
    pub rows: Vec<i64>,
    /// How many windows have a first step, a second, … On the host, where libtorch wants it.
    pub sizes: Tensor,
    /// Which window is where: longest first.
    pub order: Vec<usize>,
    /// `[N, Z]`
    pub z: Tensor,
    /// `[N, U]`: as M hears them.
    pub action: Tensor,
    /// `[N, Z]`: where each step led.
    pub next: Tensor,
    /// `[N]`
    pub reward: Tensor,
    /// `[N]` 0 or 1.
    pub terminal: Tensor,
    /// `[B, H]`: what each window starts with.
    pub state: MemoryState,
}

impl Table {
    /// The steps of the episodes `ids`, whose latents are `(mean, log_var)`.
    pub(super) fn new(
        data: &Dataset,
        ids: &[usize],
        (mean, log_var): (Tensor, Tensor),
        ear: &Ear,
        sequence_length: usize,
    ) -> Result<Self> {
        let (mut action, mut reward, mut terminal) = (Vec::new(), Vec::new(), Vec::new());
        for &id in ids {
            let episode = data.read(id)?;
            for row in episode.actions.rows() {
                ear.hear(row, &mut action).with_context(|| format!("episode {id} (seed {})", episode.seed))?;
            }
            reward.extend(episode.rewards.iter());
            terminal.extend(episode.terminals.iter().map(|&t| f32::from(u8::from(t))));
            // The last observation's row, which starts no step.
            action.resize(action.len() + ear.len(), 0.0);
            reward.push(0.0);
            terminal.push(0.0);
        }
        let lengths = ids.iter().map(|&id| data.steps(&[id]));
        let device = mean.device();
        Ok(Self {
            mean,
            std: (log_var * 0.5).exp(),
            action: matrix(&action, ear.len(), device),
            reward: Tensor::from_slice(&reward).to_device(device),
            terminal: Tensor::from_slice(&terminal).to_device(device),
            windows: windows(lengths, sequence_length),
            device,
        })
    }

    /// The same table: its numbers are shared.
    pub(super) fn shallow_clone(&self) -> Self {
        let [mean, std, action, reward, terminal] =
            [&self.mean, &self.std, &self.action, &self.reward, &self.terminal].map(Tensor::shallow_clone);
        Self { mean, std, action, reward, terminal, windows: self.windows.clone(), device: self.device }
    }

    /// V's latents `[R, Z]`: sampled with standard normal `noise` `[R, Z]`, as Ha & Schmidhuber trained M, or the mean.
    pub(super) fn latents(&self, noise: Option<Tensor>) -> Tensor {
        noise.map_or_else(|| self.mean.shallow_clone(), |noise| &self.mean + &self.std * noise)
    }

    /// The states `[W, H]` that all windows start with: 0, or what `model` reaches at the end of the window before.
    pub(super) fn stored_states(&self, model: &MdnRnn, z: &Tensor) -> MemoryState {
        let mut states = model.zero_state(self.windows.len());
        let last = self.windows.iter().map(|w| w.number).max().unwrap_or(0);
        for number in 0..last {
            let followed: Vec<usize> = (0..self.windows.len() - 1)
                .filter(|&w| self.windows[w].number == number && self.windows[w + 1].number == number + 1)
                .collect();
            for some in followed.chunks(EVAL_WINDOWS) {
                let batch = self.batch(some, z, &states);
                let (_, end) = model.sequences(&batch.z, &batch.action, &batch.sizes, &batch.state);
                let next: Vec<i64> = batch.order.iter().map(|&w| w as i64 + 1).collect();
                let next = indices(&next, self.device);
                states.put_rows(&next, &end);
            }
        }
        states
    }

    pub(super) fn batch(&self, windows: &[usize], z: &Tensor, states: &MemoryState) -> Batch {
        let (order, rows, sizes) = pack(&self.windows, windows);
        let at = indices(&rows, self.device);
        let window = indices(&order.iter().map(|&w| w as i64).collect::<Vec<_>>(), self.device);
        Batch {
            z: z.index_select(0, &at),
            next: z.index_select(0, &(&at + 1)),
            action: self.action.index_select(0, &at),
            reward: self.reward.index_select(0, &at),
            terminal: self.terminal.index_select(0, &at),
            state: states.rows(&window),
            sizes: Tensor::from_slice(&sizes),
            rows,
            order,
        }
    }

    /// Hands `model`'s prediction of every step to `each`, batch by batch.
    pub(super) fn evaluate(&self, model: &MdnRnn, z: &Tensor, mut each: impl FnMut(&Prediction, &Batch)) {
        let states = self.stored_states(model, z);
        let all: Vec<usize> = (0..self.windows.len()).collect();
        for some in all.chunks(EVAL_WINDOWS) {
            let batch = self.batch(some, z, &states);
            let (hidden, _) = model.sequences(&batch.z, &batch.action, &batch.sizes, &batch.state);
            each(&model.predict(&hidden, &batch.z), &batch);
        }
    }
}

/// Cuts episodes of the given lengths, which lie one below the other with one row more than they have steps.
pub(in crate::world) fn windows(lengths: impl Iterator<Item = usize>, sequence_length: usize) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut row = 0;
    for length in lengths {
        for (number, start) in (0..length).step_by(sequence_length).enumerate() {
            windows.push(Window { row: row + start, len: sequence_length.min(length - start), number });
        }
        row += length + 1;
    }
    windows
}

/// Lays `chosen` windows side by side: their order (longest first), the row of each step, how many windows reach each step.
pub(in crate::world) fn pack(windows: &[Window], chosen: &[usize]) -> (Vec<usize>, Vec<i64>, Vec<i64>) {
    let mut order = chosen.to_vec();
    order.sort_by_key(|&w| std::cmp::Reverse(windows[w].len)); // stable: equal lengths keep their order
    let longest = order.first().map_or(0, |&w| windows[w].len);
    let (mut rows, mut sizes) = (Vec::new(), Vec::new());
    for t in 0..longest {
        let before = rows.len();
        rows.extend(order.iter().map(|&w| windows[w]).take_while(|w| w.len > t).map(|w| (w.row + t) as i64));
        sizes.push((rows.len() - before) as i64);
    }
    (order, rows, sizes)
}
