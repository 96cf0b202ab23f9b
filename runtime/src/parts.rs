//! The parts of a tick one at a time (feature `parts`, for benches): the very calls that a tick is made of.

use crate::agent::Agent;
use crate::buffers::affine;
use crate::kernels::dispatch;
use crate::m::States;
use crate::matvec::Rows;
use crate::mdn::Prediction;
use crate::v::V;
use dreamstep_core::dims::padded;
use dreamstep_core::m::MemoryCell;

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
    /// until [`Agent::reset`]. A part that the agent has not is nothing.
    pub fn run(&mut self, part: Part) {
        match part {
            Part::Whiten => self.whiten(),
            Part::Encoder0 => self.run_encoder(0),
            Part::Encoder2 => self.run_encoder(1),
            Part::EncoderMean => self.run_encoder(usize::MAX),
            Part::Controller => self.score(),
            Part::Head => {
                self.expect();
            }
            Part::Relu | Part::Squash | Part::Actuate | Part::Gates | Part::Cell | Part::Sample => self.run_rest(part),
        }
    }

    /// A layer of V: hidden layer `index`, or that of the mean.
    fn run_encoder(&mut self, index: usize) {
        let (model, work) = (&self.model, &mut self.work);
        let V::Mlp(mlp) = &model.v else { return };
        let (layer, x) = match (index, mlp.layers().nth(index)) {
            (0, Some(layer)) => (layer, &work.tick.obs[..]),
            (_, Some(layer)) => (layer, &work.buffers.pong[..]),
            (_, None) => (mlp.mean(), &work.buffers.pong[..]),
        };
        affine(model.isa, layer, Rows::one(x), work.buffers.scratch, work.buffers.ping);
    }

    fn run_rest(&mut self, part: Part) {
        let (model, work) = (&self.model, &mut self.work);
        let (isa, dims) = (model.isa, model.dims());
        let states = States { x: work.x, x_stride: 0, c: work.c, count: 1 };
        match part {
            Part::Relu => {
                let V::Mlp(mlp) = &model.v else { return };
                let width = mlp.layers().next().map_or(0, |layer| layer.outputs());
                let out = work.buffers.ping.get_mut(..width).unwrap_or_default();
                dispatch!(isa, relu(out));
            }
            Part::Squash => model.actuator.decide(isa, work.tick.u),
            Part::Actuate => model.actuator.actuate(isa, work.tick.u, work.tick.action),
            Part::Gates => model.m.sum_gates(isa, dims, &states, &mut work.buffers),
            Part::Cell => model.m.apply_cell(isa, dims, states, |_| true, &mut work.buffers),
            Part::Sample => {
                let Some(prediction) = Prediction::new(&model.settings, work.buffers.ping, work.tick.z) else { return };
                let z = padded(dims.latent_len());
                let noise = work.buffers.pong.get(..z).unwrap_or_default();
                let next = work.before.get_mut(..z).unwrap_or_default();
                dispatch!(isa, sample(&prediction, 1.0, [noise, noise], next));
            }
            _ => {}
        }
    }
}
