//! Who computes a candidate's dreams? [`Engine`], as `dream.engine` says: the runtime ([`super::arena`]) or libtorch ([`super::torch`]).

use super::arena::{RuntimeDreams, Score};
use super::recorded::Recorded;
#[cfg(feature = "torch")]
use super::torch::TorchDreams;
use crate::agent::controller;
use crate::run::config::{Config, DreamEngine};
use crate::world::device::Device;
use anyhow::{Context, Result, anyhow};
use dreamstep_core::pack::AlignedBytes;
use dreamstep_runtime::Model;

/// What candidates dream in.
pub enum Engine<'a> {
    /// The runtime, on threads.
    Runtime(RuntimeDreams<'a>),
    /// libtorch, on a device.
    #[cfg(feature = "torch")]
    Torch(Box<TorchDreams<'a>>),
}

impl<'a> Engine<'a> {
    /// Dreams of the M's in `agents`, which `models` are loaded from, that begin where `recorded` says. The first acts. `device` is
    /// libtorch's.
    ///
    /// # Errors
    /// The threads cannot be started, or an agent holds no M that libtorch can dream with.
    #[cfg_attr(not(feature = "torch"), expect(unused_variables, reason = "libtorch's"))]
    pub fn new(
        config: &'a Config,
        agents: &[AlignedBytes],
        models: &'a [Model<'a>],
        recorded: &'a Recorded,
        device: Device,
    ) -> Result<Self> {
        Ok(match config.dream.engine {
            DreamEngine::Runtime => Self::Runtime(RuntimeDreams::new(models, recorded, config)?),
            #[cfg(feature = "torch")]
            DreamEngine::Torch => Self::Torch(Box::new(TorchDreams::new(agents, recorded, config, device.into())?)),
            #[cfg(not(feature = "torch"))]
            DreamEngine::Torch => return Err(crate::world::device::without_torch("dream.engine = \"torch\"")),
        })
    }

    /// Every candidate (plain weights and biases, see [`controller`]) in the dreams `first`, `first + 1`, …, `dreams` of each M.
    ///
    /// # Errors
    /// A candidate does not fit the agent or is not finite, or a model cannot dream.
    pub fn score(&self, candidates: &[Vec<f32>], first: u32, dreams: usize) -> Result<Vec<Score>> {
        let arena = match self {
            #[cfg(feature = "torch")]
            Self::Torch(torch) => return torch.score(candidates, first, dreams),
            Self::Runtime(arena) => arena,
        };
        let own = arena.own();
        let made = candidates
            .iter()
            .enumerate()
            .map(|(index, values)| controller::panels(own.dims(), values).with_context(|| format!("candidate {index}")));
        let made: Vec<_> = made.collect::<Result<_>>()?;
        let mut models: Vec<Model<'_>> = Vec::with_capacity(made.len());
        for (index, panels) in made.iter().enumerate() {
            models.push(own.with_controller(panels).map_err(|error| anyhow!("candidate {index}: {error}"))?);
        }
        arena.score(&models, first, dreams)
    }
}
