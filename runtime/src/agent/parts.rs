//! What does each part of a tick cost by itself (feature `parts`, for benches)? The very calls that a tick is made of, one at a time.

use super::Agent;
use crate::kernels::dispatch;
use dreamstep_core::dims::{MemoryCell, padded};

/// A part of a tick. Dense layers come without what follows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Whitening of the observation.
    Whiten,
    /// The encoder's first layer, `[E1, O]`.
    Encoder0,
    /// Its rectifier, `[E1]`.
    Relu,
    /// The encoder's second layer, `[E2, E1]`.
    Encoder2,
    /// The encoder's last layer, `[Z, E2]`.
    EncoderMean,
    /// The controller, `[A, Z+H]` (or of another input).
    Controller,
    /// Its squashing, `[A]`.
    Squash,
    /// From [-1, 1] to the action range, `[A]`.
    Actuate,
    /// The memory's gates' sums, `[4H, A+Z+H]`; a GRU's `[3H, A+Z]` and `[3H, H]`.
    Gates,
    /// The cell after them, `[H]`.
    Cell,
    /// The MDN head, where the file has one.
    Head,
    /// A draw of the next latent, where the file has a head: uniform numbers given.
    Sample,
}

impl Part {
    /// All of them, in the order in which a tick of an agent and then of a dream runs them.
    pub const ALL: [Self; 12] = [
        Self::Whiten,
        Self::Encoder0,
        Self::Relu,
        Self::Encoder2,
        Self::EncoderMean,
        Self::Controller,
        Self::Squash,
        Self::Actuate,
        Self::Gates,
        Self::Cell,
        Self::Head,
        Self::Sample,
    ];

    /// Its name, with what remembers.
    #[must_use]
    pub const fn name(self, cell: MemoryCell) -> &'static str {
        match self {
            Self::Whiten => "whiten",
            Self::Encoder0 => "encoder.0",
            Self::Relu => "relu",
            Self::Encoder2 => "encoder.2",
            Self::EncoderMean => "encoder mean",
            Self::Controller => "controller",
            Self::Squash => "squash",
            Self::Actuate => "actuate",
            Self::Gates => match cell {
                MemoryCell::Lstm => "lstm gates",
                MemoryCell::Gru => "gru gates",
            },
            Self::Cell => match cell {
                MemoryCell::Lstm => "lstm cell",
                MemoryCell::Gru => "gru cell",
            },
            Self::Head => "mdn head",
            Self::Sample => "sample",
        }
    }
}

impl Agent<'_, '_> {
    /// Runs `part` alone, on what the agent's memory holds: its time is the point, its result is of no use, and the agent is of none
    /// until [`Agent::reset`].
    pub fn run(&mut self, part: Part) {
        let (model, isa, work) = (self.model, self.model.isa, &mut self.work);
        match part {
            Part::Whiten => dispatch!(isa, whiten(model, work.obs)),
            Part::Encoder0 => dispatch!(isa, affine(&model.encoder_0, work.obs, work.scratch, work.e1)),
            Part::Relu => dispatch!(isa, relu(work.e1)),
            Part::Encoder2 => dispatch!(isa, affine(&model.encoder_2, work.e1, work.scratch, work.e2)),
            Part::EncoderMean => dispatch!(isa, affine(&model.encoder_mean, work.e2, work.scratch, work.z)),
            Part::Controller => self.sum_control(),
            Part::Squash => dispatch!(isa, squash(model.settings.squash, work.u)),
            Part::Actuate => dispatch!(isa, actuate(model, work.u, work.action)),
            Part::Gates => self.sum_gates(),
            Part::Cell => self.apply_cell(),
            Part::Head => {
                self.head();
            }
            Part::Sample => {
                let settings = &model.settings;
                let Some(prediction) = crate::Prediction::new(settings, work.head, work.z) else { return };
                let z = padded(settings.dims.latent);
                let noise = work.noise.get(..z).unwrap_or_default();
                let next = work.h_next.get_mut(..z).unwrap_or_default();
                dispatch!(isa, sample(&prediction, 1.0, [noise, noise], next));
            }
        }
    }
}
