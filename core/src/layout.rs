//! Where does weight `[n, k]` lie in the packed file? In *panels*: blocks of up to 64 outputs whose weights for one input lie
//! side by side, so that a kernel streams memory in order and keeps the panel's outputs in four registers of sixteen lanes.
//!
//! A layer of `K` inputs is `[P, ⌈K/g⌉, W, g]`: panel, group of inputs, output, input in the group ([`Precision::group`]; the last axis is
//! left out where it is 1). The last panel is padded with zero outputs, the last group with zero weights. Every row of a panel is a
//! multiple of 16 bytes, every panel of 64. A layer's biases are `[P·W]` binary32, in the order of the panels' outputs; an i8 layer
//! has the outputs' scales and the sums of their weights in the same order.
//!
//! An LSTM's panels hold 16 hidden units each, `[i×16 | f×16 | g×16 | o×16]`, so that a panel's outputs are all that those
//! units need for their new state.
//!
//! A GRU's two layers are dense ones of three gates, `[r | z | n]`, each padded to whole blocks of sixteen units: a block of a gate
//! is a block of a panel, so that the cell reads the three gates of sixteen units at three places. (The reset gate scales the share
//! that the candidate takes from h, and only that, so the sums over inputs and over h cannot be one layer. Panels of three registers, a
//! gate each, would be a fourth width to compile every kernel for.)

use crate::precision::{I8_ORDER, Precision};
use crate::sizes::{LANES, padded};

/// The most outputs a panel holds: four registers of sixteen lanes, which is what keeps the load ports busy.
pub const PANEL: usize = 4 * LANES;

/// How a layer's outputs and inputs are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panels {
    /// `P`: panels.
    pub count: usize,
    /// `K`: inputs of every output.
    pub inputs: usize,
    /// `W`: outputs in a panel: 16, 32 or 64.
    pub width: usize,
}

impl Panels {
    /// A dense layer of `outputs` outputs.
    #[must_use]
    pub const fn dense(outputs: usize, inputs: usize) -> Self {
        let width = match outputs {
            0..=16 => LANES,
            17..=32 => 2 * LANES,
            _ => PANEL,
        };
        Self { count: outputs.div_ceil(width), inputs, width }
    }

    /// An LSTM's four gates of `hidden` units over `inputs` = A + Z + H.
    #[must_use]
    pub const fn lstm(hidden: usize, inputs: usize) -> Self {
        Self { count: hidden.div_ceil(LANES), inputs, width: PANEL }
    }

    /// A GRU's three gates of `hidden` units over `inputs`: A + Z, or H.
    #[must_use]
    pub const fn gru(hidden: usize, inputs: usize) -> Self {
        Self::dense(3 * padded(hidden), inputs)
    }

    /// Groups of inputs, the last one padded.
    #[must_use]
    pub const fn groups(&self, precision: Precision) -> usize {
        self.inputs.div_ceil(precision.group())
    }

    /// Weights stored, padding included.
    #[must_use]
    pub const fn len(&self, precision: Precision) -> usize {
        self.outputs() * self.groups(precision) * precision.group()
    }

    /// `[P, ⌈K/g⌉, W, g]` as the file's header has it; the last axis is 0 (absent) where g = 1.
    #[must_use]
    pub const fn shape(&self, precision: Precision) -> [usize; 4] {
        let group = if precision.group() == 1 { 0 } else { precision.group() };
        [self.count, self.groups(precision), self.width, group]
    }

    /// Outputs, padding included: what a kernel writes, and how many biases there are.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        self.count * self.width
    }

    /// Place of the weight of output `lane` of panel `panel` for input `k`.
    #[must_use]
    pub const fn index(&self, precision: Precision, panel: usize, lane: usize, k: usize) -> usize {
        let g = precision.group();
        let within = if g == 4 { I8_ORDER[k % 4] } else { k % g };
        ((panel * self.groups(precision) + k / g) * self.width + lane) * g + within
    }
}

/// What the rows of a layer's weight matrix are, and so where each lies in its panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// So many outputs, one after the other.
    Dense(usize),
    /// PyTorch's `[4H, …]` gate matrix of so many hidden units: i, f, g, o.
    Lstm(usize),
    /// PyTorch's `[3H, …]` gate matrix of so many hidden units: r, z, n.
    Gru(usize),
}

impl Rows {
    /// How many rows there are: the layer's outputs, without padding.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::Dense(outputs) => outputs,
            Self::Lstm(hidden) => 4 * hidden,
            Self::Gru(hidden) => 3 * hidden,
        }
    }

    /// The panels of a layer of these rows over `inputs` inputs.
    #[must_use]
    pub const fn panels(self, inputs: usize) -> Panels {
        match self {
            Self::Dense(outputs) => Panels::dense(outputs, inputs),
            Self::Lstm(hidden) => Panels::lstm(hidden, inputs),
            Self::Gru(hidden) => Panels::gru(hidden, inputs),
        }
    }

    /// The row at output `lane` of panel `panel`, none where it is padding.
    #[must_use]
    pub const fn at(self, panel: usize, lane: usize) -> Option<usize> {
        let row = match self {
            Self::Dense(outputs) => {
                let row = panel * Panels::dense(outputs, 1).width + lane;
                if row < outputs { row } else { return None }
            }
            Self::Lstm(hidden) => {
                let unit = panel * LANES + lane % LANES;
                if unit < hidden { lane / LANES * hidden + unit } else { return None }
            }
            Self::Gru(hidden) => {
                let (gate, place) = (padded(hidden), panel * PANEL + lane);
                let unit = place % gate;
                if unit < hidden && place < 3 * gate { place / gate * hidden + unit } else { return None }
            }
        };
        Some(row)
    }
}
