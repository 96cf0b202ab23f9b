//! Layers that describe themselves: what a layer's tensors are called, what its outputs are, and where in a checkpoint it comes from.
//!
//! Packing, unpacking, loading and the sizes of working memory follow from this description, so that a new kind of V, M or C states its
//! layers in its own file and nowhere else.

use crate::layout::{Panels, Rows};
use crate::names::packed::{self, LayerNames};
use crate::precision::Precision;
use crate::sizes::{LANES, padded};
use crate::v::Decoder;

/// One tensor of the packed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// Its dtype, as safetensors spells it.
    pub dtype: &'static str,
    /// Its shape; unused axes are 0.
    pub shape: [usize; 4],
}

/// Where in a checkpoint a layer's weights `[N, K]` and biases `[N]` are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Two tensors of its own.
    Whole {
        /// `[N, K]`.
        weight: &'static str,
        /// `[N]`.
        bias: &'static str,
    },
    /// The first or the second half of the rows of two tensors.
    Half {
        /// `[2N, K]`.
        weight: &'static str,
        /// `[2N]`.
        bias: &'static str,
        /// Which half.
        second: bool,
    },
    /// A convolution's `[N, channels, kernel, kernel]` and `[N]`; `K` runs over kernel rows, columns, then `stored` channels of a pixel, each
    /// row padded to a multiple of four ([`crate::v::conv`]).
    Convolution {
        /// `[N, channels, kernel, kernel]`.
        weight: &'static str,
        /// `[N]`.
        bias: &'static str,
        /// Input channels.
        channels: usize,
        /// Input channels as they lie in memory.
        stored: usize,
        /// Pixels of the kernel, each way.
        kernel: usize,
    },
    /// A layer over a map: `[N, channels · height · width]` and `[N]`, multiplied by `times`; `K` runs over rows, columns, then channels padded to
    /// a multiple of sixteen.
    Flattened {
        /// `[N, channels · height · width]`.
        weight: &'static str,
        /// `[N]`.
        bias: &'static str,
        /// Height, width and channels.
        map: [usize; 3],
        /// 1, or 2 for a log-variance of what is a log σ in the checkpoint.
        times: u8,
    },
    /// The inverse of a layer over a map: `[channels · height · width, K]` and as many biases; outputs run over rows, columns, then channels padded
    /// to a multiple of sixteen.
    Unflattened {
        /// `[channels · height · width, K]`.
        weight: &'static str,
        /// `[channels · height · width]`.
        bias: &'static str,
        /// Height, width and channels.
        map: [usize; 3],
    },
    /// A transposed convolution's `[in, out, row, column]` and `[out]` ([`crate::v::decoder`]).
    Transposed {
        /// `[in, out, row, column]`.
        weight: &'static str,
        /// `[out]`.
        bias: &'static str,
        /// The decoder that it is of.
        decoder: Decoder,
        /// Its number there.
        index: usize,
    },
    /// PyTorch's two matrices of a recurrent layer side by side, `[N, inputs]` and `[N, H]`; their biases add up.
    SideBySide {
        /// Columns of the first.
        inputs: usize,
    },
}

/// One layer of the packed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerSpec {
    /// What its tensors are called.
    pub names: LayerNames,
    /// What its outputs are.
    pub rows: Rows,
    /// `K`: inputs of every output.
    pub inputs: usize,
    /// Where a checkpoint has it.
    pub source: Source,
    /// Whether an agent can do without it.
    pub optional: bool,
    /// Whether its outputs are the action, or what the controller reads: f16 in an i8 file.
    pub near_the_action: bool,
    /// Whether it is a convolution, whose panels hold sixteen outputs: its weights are read anew for every few pixels, and lie side by side then.
    pub is_convolution: bool,
    /// Whether it takes bytes in an i8 file, instead of integers made of numbers anew at each step.
    pub of_bytes: bool,
}

impl LayerSpec {
    /// A layer that is needed.
    #[must_use]
    pub const fn new(names: LayerNames, rows: Rows, inputs: usize, source: Source) -> Self {
        Self { names, rows, inputs, source, optional: false, near_the_action: false, is_convolution: false, of_bytes: false }
    }

    /// The same, but an agent can do without it.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// The same, but f16 in an i8 file.
    #[must_use]
    pub const fn near_the_action(self) -> Self {
        Self { near_the_action: true, ..self }
    }

    /// The same, but a convolution.
    #[must_use]
    pub const fn convolution(self) -> Self {
        Self { is_convolution: true, ..self }
    }

    /// The same, but of bytes in an i8 file.
    #[must_use]
    pub const fn of_bytes(self) -> Self {
        Self { of_bytes: true, ..self }
    }

    /// How its weights are cut.
    #[must_use]
    pub const fn panels(&self) -> Panels {
        match self.is_convolution {
            true => Panels { count: self.rows.count().div_ceil(LANES), inputs: self.inputs, width: LANES },
            false => self.rows.panels(self.inputs),
        }
    }

    /// The row of its weights at output `lane` of panel `panel`, none where it is padding.
    #[must_use]
    pub const fn row(&self, panel: usize, lane: usize) -> Option<usize> {
        let row = panel * LANES + lane;
        match self.is_convolution {
            true if row < self.rows.count() => Some(row),
            true => None,
            false => self.rows.at(panel, lane),
        }
    }

    /// The precision of its weights in a file of `precision`: small layers that lead straight to the action are f16 in an i8 file.
    #[must_use]
    pub fn precision(&self, precision: Precision) -> Precision {
        if precision == Precision::I8 && self.near_the_action { Precision::F16 } else { precision }
    }

    /// Place of the weight of output `lane` of panel `panel` for input `k` in a file of `precision`. Groups of an i8 layer of bytes stand in
    /// their order.
    #[must_use]
    pub fn place(&self, precision: Precision, panel: usize, lane: usize, k: usize) -> usize {
        let (panels, precision) = (self.panels(), self.precision(precision));
        if precision == Precision::I8 && self.of_bytes {
            return panels.index(Precision::I8, panel, lane, k - k % 4) + k % 4;
        }
        panels.index(precision, panel, lane, k)
    }

    /// Its tensors in a file of `precision`: panels and bias; scale, sum and (but of bytes) input too where the weights are integers.
    pub fn tensors(&self, precision: Precision) -> impl Iterator<Item = Spec> + use<> {
        let (precision, panels) = (self.precision(precision), self.panels());
        let outputs = [panels.outputs(), 0, 0, 0];
        let all = [
            Spec { name: self.names.panels, dtype: precision.dtype(), shape: panels.shape(precision) },
            Spec { name: self.names.bias, dtype: "F32", shape: outputs },
            Spec { name: self.names.scale, dtype: "F32", shape: outputs },
            Spec { name: self.names.input, dtype: "F32", shape: [padded(panels.inputs), 0, 0, 0] },
            Spec { name: self.names.sum, dtype: "I32", shape: outputs },
        ];
        let (integers, factors) = (precision == Precision::I8, !self.of_bytes);
        let is_there = [true, true, integers, integers && factors, integers];
        all.into_iter().zip(is_there).filter_map(|(spec, is_there)| is_there.then_some(spec))
    }
}

/// What stands where there is no layer.
const ABSENT: LayerSpec = LayerSpec::new(packed::FC, Rows::Dense(0), 0, Source::SideBySide { inputs: 0 });

/// Most layers of an agent: eight of V, three of M, three of C.
pub const MAX_LAYERS: usize = 14;

/// Layers, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerList {
    specs: [LayerSpec; MAX_LAYERS],
    len: usize,
}

impl LayerList {
    /// No layer.
    pub const NONE: Self = Self { specs: [ABSENT; MAX_LAYERS], len: 0 };

    /// These and one more. (There is always room: no kinds' layers add up to more than [`MAX_LAYERS`]. Without a panic, because the sizes of
    /// working memory are asked for in control loops.)
    #[must_use]
    pub const fn and(mut self, spec: LayerSpec) -> Self {
        debug_assert!(self.len < MAX_LAYERS, "room for another layer");
        if self.len < MAX_LAYERS {
            self.specs[self.len] = spec;
            self.len += 1;
        }
        self
    }

    /// These and those of `others`.
    #[must_use]
    pub const fn and_all(mut self, others: Self) -> Self {
        let mut i = 0;
        while i < others.len() {
            self = self.and(others.at(i));
            i += 1;
        }
        self
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Layer `index`; one of no outputs where there is none.
    #[must_use]
    pub const fn at(&self, index: usize) -> LayerSpec {
        if index < self.len && index < MAX_LAYERS { self.specs[index] } else { ABSENT }
    }

    /// The layers.
    pub fn iter(&self) -> core::slice::Iter<'_, LayerSpec> {
        self.specs.get(..self.len).unwrap_or_default().iter()
    }
}

impl<'a> IntoIterator for &'a LayerList {
    type Item = &'a LayerSpec;
    type IntoIter = core::slice::Iter<'a, LayerSpec>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
