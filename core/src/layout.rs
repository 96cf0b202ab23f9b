//! Where does weight `[n, k]` lie in the packed file? In *panels*: blocks of up to 64 outputs whose weights for one input lie
//! side by side, so that a kernel streams memory in order and keeps the panel's outputs in four registers of sixteen lanes.
//!
//! A panel of width `W` over `K` inputs is `[K+1, W]`: row 0 is the bias (each output's chain starts there), row `k+1` the weights
//! of input `k`. A layer is `[P, K+1, W]`, its last panel padded with zero outputs. Every panel is a multiple of 64 bytes.
//!
//! The LSTM's panels hold 16 hidden units each, `[i×16 | f×16 | g×16 | o×16]`, so that a panel's outputs are all that those
//! units need for their new state.

use crate::dims::LANES;

/// The most outputs a panel holds: four registers of sixteen lanes, which is what keeps the load ports busy.
pub const PANEL: usize = 4 * LANES;

/// A layer's weights as panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panels {
    /// `P`: panels.
    pub count: usize,
    /// `K`: inputs of every output.
    pub inputs: usize,
    /// `W`: outputs in a panel, a multiple of 16, at most 64.
    pub width: usize,
}

impl Panels {
    /// A dense layer of `outputs` outputs.
    #[must_use]
    pub const fn dense(outputs: usize, inputs: usize) -> Self {
        let width = if outputs >= PANEL { PANEL } else { outputs.div_ceil(LANES) * LANES };
        Self { count: outputs.div_ceil(width), inputs, width }
    }

    /// An LSTM's four gates of `hidden` units over `inputs` = A + Z + H.
    #[must_use]
    pub const fn lstm(hidden: usize, inputs: usize) -> Self {
        Self { count: hidden.div_ceil(LANES), inputs, width: PANEL }
    }

    /// Values stored.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count * (self.inputs + 1) * self.width
    }

    /// Whether there is nothing to store (no layer is).
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[P, K+1, W]`, as the file's header has it.
    #[must_use]
    pub const fn shape(&self) -> [usize; 3] {
        [self.count, self.inputs + 1, self.width]
    }

    /// Outputs, padding included: what a kernel writes.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        self.count * self.width
    }

    /// Writes the panels to `out`. `source(panel, lane)` names the row that stands there, or none where it is padding;
    /// `bias(row)` and `weight(row, k)` give its values.
    ///
    /// # Panics
    /// If `out` is not [`Self::len`] long.
    pub fn fill(
        &self,
        out: &mut [f32],
        source: impl Fn(usize, usize) -> Option<usize>,
        bias: impl Fn(usize) -> f32,
        weight: impl Fn(usize, usize) -> f32,
    ) {
        assert_eq!(out.len(), self.len(), "panels: length of the destination");
        for (p, panel) in out.chunks_exact_mut((self.inputs + 1) * self.width).enumerate() {
            for (r, row) in panel.chunks_exact_mut(self.width).enumerate() {
                for (lane, value) in row.iter_mut().enumerate() {
                    *value = match (source(p, lane), r) {
                        (None, _) => 0.0,
                        (Some(n), 0) => bias(n),
                        (Some(n), r) => weight(n, r - 1),
                    };
                }
            }
        }
    }

    /// The row of a dense layer of `outputs` outputs at `(panel, lane)`.
    pub fn dense_row(&self, outputs: usize) -> impl Fn(usize, usize) -> Option<usize> + use<> {
        let width = self.width;
        move |panel, lane| Some(panel * width + lane).filter(|&n| n < outputs)
    }

    /// The row of PyTorch's `[4H, …]` gate matrix (i, f, g, o) at `(panel, lane)`.
    pub fn lstm_row(hidden: usize) -> impl Fn(usize, usize) -> Option<usize> {
        move |panel, lane| {
            Some(panel * LANES + lane % LANES).filter(|&unit| unit < hidden).map(|unit| lane / LANES * hidden + unit)
        }
    }
}
