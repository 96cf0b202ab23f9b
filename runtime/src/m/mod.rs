//! M at run time: from `[u, z, h]` and c to the next h and c, for one vector or many, and from h to what is expected next.

mod gru;
mod lstm;

use crate::buffers::{Buffers, Need, affine};
use crate::kernels::{Isa, dispatch};
use crate::layer::Layer;
use crate::matvec::Rows;
use dreamstep_core::dims::Dims;
use dreamstep_core::error::LoadError;
use dreamstep_core::m::{Memory, head};
use dreamstep_core::reader::File;
use dreamstep_core::schema::Settings;

/// M, its weights in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum M<'f> {
    None,
    Lstm { gates: Layer<'f>, head: Option<Layer<'f>> },
    Gru { gates: gru::Gates<'f>, head: Option<Layer<'f>> },
}

/// What M's layers work in: the gates, or the head after them, in one buffer; a GRU's second layer in the other.
pub(crate) const fn need(dims: &Dims) -> Need {
    let need = Need::of(&dims.m.layers(dims.unit_len(), dims.latent_len()));
    let pong = match dims.m {
        Memory::Gru(r) => dreamstep_core::layout::Panels::gru(r.hidden, 1).outputs(),
        _ => 0,
    };
    Need { pong, ..need }
}

/// The recurrent state of one vector or many.
#[derive(Debug)]
pub(crate) struct States<'a> {
    /// `[count, stride]`: `[u, z, h]` of each.
    pub(crate) x: &'a mut [f32],
    /// From one `[u, z, h]` to the next.
    pub(crate) x_stride: usize,
    /// `[count, c]` padded each; empty where the cell has none.
    pub(crate) c: &'a mut [f32],
    /// How many.
    pub(crate) count: usize,
}

impl<'f> M<'f> {
    pub(crate) fn read(file: &File<'f>, settings: &Settings) -> Result<Self, LoadError> {
        let (dims, precision) = (&settings.dims, settings.precision);
        let (u, z) = (dims.unit_len(), dims.latent_len());
        let head = |recurrent| Layer::read_optional(file, &head::layer(&recurrent, z), precision);
        match dims.m {
            Memory::None => Ok(Self::None),
            Memory::Lstm(r) => {
                let gates = dreamstep_core::m::lstm::gates(u, z, r.hidden);
                Ok(Self::Lstm { gates: Layer::read(file, &gates, precision)?, head: head(r)? })
            }
            Memory::Gru(r) => Ok(Self::Gru { gates: gru::Gates::read(file, precision, [u, z, r.hidden])?, head: head(r)? }),
            _ => Err(LoadError::BadParts { what: "m.kind", expected: "none, lstm or gru" }),
        }
    }

    /// The MDN head, where there is an M and the file has it.
    pub(crate) const fn head(&self) -> Option<&Layer<'f>> {
        match self {
            Self::None => None,
            Self::Lstm { head, .. } | Self::Gru { head, .. } => head.as_ref(),
        }
    }

    /// `([u, z, h], c)` → `(h', c')` of each vector for which `is_active` says so; the others stay as they are.
    #[inline(always)]
    pub(crate) fn remember(
        &self,
        isa: Isa,
        dims: &Dims,
        states: States<'_>,
        is_active: impl Fn(usize) -> bool,
        buffers: &mut Buffers<'_>,
    ) {
        self.sum_gates(isa, dims, &states, buffers);
        self.apply_cell(isa, dims, states, is_active, buffers);
    }

    /// The gates' layers: `[u, z, h]` → `buffers.ping` (and `buffers.pong`).
    #[inline(always)]
    pub(crate) fn sum_gates(&self, isa: Isa, dims: &Dims, states: &States<'_>, buffers: &mut Buffers<'_>) {
        let rows = Rows { values: states.x, stride: states.x_stride, count: states.count };
        match self {
            Self::None => {}
            Self::Lstm { gates, .. } => affine(isa, gates, rows, buffers.scratch, buffers.ping), // [4H]
            Self::Gru { gates, .. } => gates.sum(isa, rows, dims.unit_len() + dims.latent_len(), buffers),
        }
    }

    /// The gates, h and c → h' and c'.
    #[inline(always)]
    pub(crate) fn apply_cell(
        &self,
        isa: Isa,
        dims: &Dims,
        states: States<'_>,
        is_active: impl Fn(usize) -> bool,
        buffers: &mut Buffers<'_>,
    ) {
        let (at, hidden) = (dims.unit_len() + dims.latent_len(), dims.hidden_len());
        for index in (0..states.count).filter(|&index| is_active(index)) {
            let x = states.x.get_mut(index * states.x_stride + at..).unwrap_or_default();
            let h = x.get_mut(..hidden).unwrap_or_default();
            match self {
                Self::None => {}
                Self::Lstm { gates, .. } => lstm::apply(isa, gates, index, h, states.c, buffers),
                Self::Gru { gates, .. } => gates.apply(isa, index, h, buffers),
            }
        }
    }

    /// h of each of `rows` → the head's outputs in `buffers.ping`, `[count, outputs]` padded each; false where there is no head.
    #[inline(always)]
    pub(crate) fn expect(&self, isa: Isa, rows: Rows<'_>, buffers: &mut Buffers<'_>) -> bool {
        let Some(head) = self.head() else { return false };
        affine(isa, head, rows, buffers.scratch, buffers.ping);
        let outputs = buffers.ping.get_mut(..rows.count * head.outputs()).unwrap_or_default();
        dispatch!(isa, no_nan(outputs));
        true
    }
}
