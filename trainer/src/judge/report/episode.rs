//! The episode that is drawn: one held-out episode through V and M: a few numbers of the observation, recorded, reconstructed and predicted,
//! and latents beside an open loop.

use super::errors::{Block, host};
use super::recorded::Chunk;
use crate::world::trained::{TrainedMdnRnn, TrainedVae};
use anyhow::Result;
use ndarray::Array2;
use tch::Tensor;

/// Steps shown at most.
const STEPS: usize = 200;
/// Numbers of the observation that are shown at most.
const DIMENSIONS: usize = 6;
/// Latents shown at most.
const LATENTS: usize = 6;
/// The open loop starts here, or halfway through a shorter episode.
const WARM_UP: usize = 10;

/// One episode, `T + 1` observations.
pub struct Shown {
    /// `reset(seed)` it began with.
    pub seed: u64,
    /// Names of the numbers shown: of each part, the one that varies most; none where none varies.
    pub names: Vec<String>,
    /// `[T+1, D]` recorded, whitened.
    pub recorded: Array2<f32>,
    /// `[T+1, D]` V's reconstruction from the mean latent.
    pub reconstructed: Array2<f32>,
    /// `[T, D]` M's one-step prediction of observation `t + 1`, decoded; none without M.
    pub predicted: Option<Array2<f32>>,
    /// Which latents: those that vary most, in their own order.
    pub latent_numbers: Vec<usize>,
    /// `[T+1, L]` V's mean.
    pub latents: Array2<f32>,
    /// The step that the open loop starts from, and `[k, L]` what M's mean says of the steps after it; none without M.
    pub open_loop: Option<(usize, Array2<f32>)>,
}

impl Shown {
    /// The longest episode of `chunk` (the first of them), cut to 200 steps.
    ///
    /// # Errors
    /// libtorch cannot hand a result over.
    pub fn of(chunk: &Chunk, vae: &TrainedVae, m: Option<&TrainedMdnRnn>, blocks: &[Block]) -> Result<Self> {
        let lengths = chunk.lengths();
        let longest = (0..lengths.len()).max_by_key(|&i| (lengths[i], std::cmp::Reverse(i))).unwrap_or(0);
        let start: usize = lengths[..longest].iter().map(|length| length + 1).sum();
        let steps = lengths[longest].min(STEPS);
        let rows = |table: &Tensor| table.narrow(0, start as i64, steps as i64 + 1);
        let (x, z, action) = (rows(&chunk.x), rows(&chunk.mean), rows(&chunk.action));

        let observations = host(&x)?;
        let spread = |table: &Array2<f32>, column: usize| table.column(column).mapv(f64::from).std(0.0);
        let liveliest = |block: &Block| {
            let columns = block.columns().filter(|&k| spread(&observations, k) > 0.0);
            columns.max_by(|&a, &b| spread(&observations, a).total_cmp(&spread(&observations, b)).then(b.cmp(&a)))
        };
        let shown: Vec<_> = blocks.iter().filter_map(|block| Some((liveliest(block)?, block))).take(DIMENSIONS).collect();
        let names = shown.iter().map(|(k, block)| format!("{}[{}]", block.name, k - block.columns().start)).collect();
        let columns: Vec<usize> = shown.iter().map(|&(k, _)| k).collect();
        let of = |table: &Tensor| Ok::<_, anyhow::Error>(host(table)?.select(ndarray::Axis(1), &columns));
        let decode = |z: &Tensor| tch::no_grad(|| vae.vae.decode(z));

        let all = host(&z)?;
        let mut latent_numbers: Vec<usize> = (0..all.ncols()).collect();
        latent_numbers.sort_by(|&i, &j| spread(&all, j).total_cmp(&spread(&all, i)));
        latent_numbers.truncate(LATENTS);
        latent_numbers.sort_unstable();
        let latents = |table: &Tensor| Ok::<_, anyhow::Error>(host(table)?.select(ndarray::Axis(1), &latent_numbers));

        let predicted = m.map(|m| of(&decode(&m.predict(&z, &action, &[steps]).expected_next()))).transpose()?;
        let open_loop = m.map(|m| {
            let from = WARM_UP.min(steps / 2);
            Ok::<_, anyhow::Error>((from, latents(&open_loop(m, &z, &action, from, steps))?))
        });
        Ok(Self {
            seed: chunk.episodes[longest].seed,
            names,
            recorded: of(&x)?,
            reconstructed: of(&decode(&z))?,
            predicted,
            latents: latents(&z)?,
            open_loop: open_loop.transpose()?,
            latent_numbers,
        })
    }
}

/// What M's mean says of steps `from + 1` to `steps`, fed its own predictions and the recorded actions, `[steps − from, Z]`.
fn open_loop(m: &TrainedMdnRnn, z: &Tensor, action: &Tensor, from: usize, steps: usize) -> Tensor {
    let row = |table: &Tensor, t: usize| table.narrow(0, t as i64, 1);
    tch::no_grad(|| {
        let mut state = m.model.zero_state(1);
        for t in 0..from {
            state = m.step(&row(z, t), &row(action, t), &state).1;
        }
        let mut latent = row(z, from);
        let mut predicted = Vec::new();
        for t in from..steps {
            let (prediction, next) = m.step(&latent, &row(action, t), &state);
            (latent, state) = (prediction.expected_next(), next);
            predicted.push(latent.shallow_clone());
        }
        Tensor::cat(&predicted, 0)
    })
}
