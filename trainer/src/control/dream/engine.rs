//! The engine of dreams, as `dream.engine` says: the runtime ([`super::runtime`]) or libtorch ([`super::torch`]).

use super::recorded::Recorded;
use super::runtime::{RuntimeDreams, Score};
#[cfg(feature = "torch")]
use super::torch::TorchDreams;
use crate::control::candidate::Controller;
use crate::run::config::{Config, DreamEngine};
use crate::world::device::Device;
use anyhow::{Context, Result};
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

    /// Every candidate (plain weights and biases, see [`crate::agent::controller`]) in the dreams `first`, `first + 1`, …, `dreams` of each M.
    ///
    /// # Errors
    /// A candidate does not fit the agent or is not finite, or a model cannot dream.
    pub fn score(&self, candidates: &[Vec<f32>], first: u32, dreams: usize) -> Result<Vec<Score>> {
        let dreams_of = match self {
            #[cfg(feature = "torch")]
            Self::Torch(torch) => return torch.score(candidates, first, dreams),
            Self::Runtime(runtime) => runtime,
        };
        let own = dreams_of.own();
        let named = |index| move || format!("candidate {index}");
        let made =
            candidates.iter().enumerate().map(|(i, values)| Controller::new(own.dims(), values).with_context(named(i)));
        let made: Vec<Controller> = made.collect::<Result<_>>()?;
        let models = made.iter().enumerate().map(|(i, made)| made.model(own).with_context(named(i)));
        dreams_of.score(&models.collect::<Result<Vec<_>>>()?, first, dreams)
    }
}
