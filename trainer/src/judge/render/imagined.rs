//! Observations decoded from V's latents: of the real episode, and of M's dream.
//!
//! ```text
//! observation [O] ─V's encoder→ mean [Z] ─V's decoder→ whitened [O] ─un-whiten→ observation [O]
//! first latent ─(z,h)→ action ─M→ z' ─…                 the dream: after its first step nothing real enters
//! ```

use super::episode::Episode;
use crate::agent::v;
use crate::env::Ear;
use anyhow::{Result, anyhow, ensure};
use dreamstep_runtime::{Agent, DreamBatch, DreamOptions, DreamStart, Model, Termination, dreams_memory_len, memory_len};
use std::path::Path;

/// V, there and back.
pub struct Codec(v::Codec);

impl Codec {
    /// Reads V of an environment with observations of `obs` numbers.
    ///
    /// # Errors
    /// One line naming the file and what is wrong with it.
    pub fn read(path: &Path, obs: usize) -> Result<Self> {
        let codec = v::Codec::read(path)?;
        let found = codec.shape.obs;
        ensure!(found == obs, "{}: expected a V of observations of {obs}, found {found}", path.display());
        Ok(Self(codec))
    }

    /// V's means of observations `[N, O]`, `[N, Z]`.
    ///
    /// # Errors
    /// An observation has another length.
    pub fn encode(&self, observations: &[Vec<f64>]) -> Result<Vec<Vec<f32>>> {
        let single = |observation: &Vec<f64>| observation.iter().map(|&o| o as f32).collect::<Vec<_>>();
        Ok(self.0.encode(observations.iter().map(single))?.into_iter().map(|[mean, _]| mean).collect())
    }

    /// Observations `[N, O]` that latents `[N, Z]` stand for.
    ///
    /// # Errors
    /// A latent has another length.
    pub fn decode(&self, latents: &[Vec<f32>]) -> Result<Vec<Vec<f64>>> {
        self.0.decode(latents)
    }
}

/// A dream beside an episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Dream {
    /// `[N+1, Z]`, from the first real one to the dream's end or the episode's.
    pub latents: Vec<Vec<f32>>,
    /// `[N+1]` rewards that M expected so far.
    pub returns: Vec<f64>,
    /// Whether it ended by itself, with its last latent.
    pub ended: bool,
}

/// The policy that acts in a dream.
#[derive(Clone, Copy, Debug)]
pub enum Dreamer<'a> {
    /// The model's controller.
    Controller,
    /// The episode's actions `[T, A]` once more, by a policy that looks at nothing; and how M hears them.
    Actions(&'a Ear),
}

impl Dream {
    /// Dreams for as long as `episode` took, from its first observation as `model` sees it. Ends are drawn with M's probability.
    ///
    /// # Errors
    /// The model has no M, its controller reads observations, or a temperature that is not above 0; or its V is not `codec`'s, so that its dreams cannot be decoded.
    pub fn of(
        episode: &Episode,
        model: &Model<'_>,
        codec: &Codec,
        dreamer: Dreamer<'_>,
        options: DreamOptions,
    ) -> Result<Self> {
        let dims = model.dims();
        let mut memory = vec![0.0; dreams_memory_len(dims, 1)];
        let mut dreams = DreamBatch::new(*model, &mut memory, 1, options).map_err(|error| anyhow!("{error}"))?;
        let first: Vec<f32> = episode.observations[0].iter().map(|&o| o as f32).collect();
        let mut memory = vec![0.0; memory_len(dims)];
        let mut agent = Agent::new(*model, &mut memory)?;
        agent.act(&first, &mut vec![0.0; dims.action_len()])?;
        let latent = agent.latent().to_vec();
        let known = codec.encode(&episode.observations[..1])?.remove(0);
        ensure!(is_same_v(&latent, &known), "its V is another than the run's, whose decoder would draw the dream");

        dreams.start(0, 0, DreamStart { latent: &latent, state: None }).map_err(|error| anyhow!("{error}"))?;
        let mut dream = Self { latents: vec![latent.clone()], returns: vec![0.0], ended: false };
        let mut earned = 0.0;
        for action in &episode.actions {
            match dreamer {
                Dreamer::Controller => dreams.act(),
                Dreamer::Actions(ear) => {
                    let mut unit = Vec::new();
                    ear.hear(action, &mut unit)?;
                    dreams.set_action(0, &unit).map_err(|error| anyhow!("{error}"))?;
                }
            }
            dreams.imagine().map_err(|error| anyhow!("{error}"))?;
            earned += f64::from(dreams.reward(0));
            dream.latents.push(dreams.latent(0).to_vec());
            dream.returns.push(earned);
            dream.ended = dreams.is_done(0);
            if dream.ended {
                break;
            }
        }
        Ok(dream)
    }
}

/// Whether two encodings of one observation are one V's: of the same size, and as far apart as a weight's precision moves them.
fn is_same_v(a: &[f32], b: &[f32]) -> bool {
    let largest = b.iter().fold(1.0_f32, |largest, z| largest.max(z.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 0.1 * largest)
}

/// The settings of a dream that is drawn.
#[must_use]
pub const fn dream_options(seed: u64, temperature: f32) -> DreamOptions {
    DreamOptions { seed, temperature, termination: Termination::Sampled }
}
