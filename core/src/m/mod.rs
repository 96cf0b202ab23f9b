//! M: what an agent remembers, and what it expects next.
//!
//! | kind | state | layers |
//! |---|---|---|
//! | none | none | none |
//! | LSTM | h, c | [`lstm`], and the MDN head |
//! | GRU | h | [`gru`], and the MDN head |
//!
//! The cells' equations stand in the [crate's documentation](crate); the head's outputs in [`head`].

pub mod gru;
pub mod head;
pub mod lstm;

pub use head::{MAX_MDN_OUTPUTS, Mixture};

use crate::error::LoadError;
use crate::layers::LayerList;
use crate::metadata::{dim, one_of};
use crate::names::metadata as key;
use crate::reader::File;

/// The recurrent cell of M.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryCell {
    /// Long short-term memory: four gates, state h and c (Hochreiter & Schmidhuber 1997).
    Lstm,
    /// Gated recurrent unit: three gates, state h alone (Cho et al. 2014, in the form of PyTorch's `GRU`).
    Gru,
}

impl MemoryCell {
    /// Both, the paper's first.
    pub const ALL: [Self; 2] = [Self::Lstm, Self::Gru];

    /// Its name in metadata and configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lstm => "lstm",
            Self::Gru => "gru",
        }
    }

    /// Gates: rows of PyTorch's weight matrices for each hidden unit.
    #[must_use]
    pub const fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }

    /// M with this cell.
    #[must_use]
    pub const fn memory(self, recurrent: Recurrent) -> Memory {
        match self {
            Self::Lstm => Memory::Lstm(recurrent),
            Self::Gru => Memory::Gru(recurrent),
        }
    }
}

/// The sizes of a recurrent M.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recurrent {
    /// `H`: hidden units.
    pub hidden: usize,
    /// `K`: components of a mixture.
    pub mixtures: usize,
    /// What one mixture spans.
    pub mixture: Mixture,
}

/// M's kind and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Memory {
    /// No M.
    None,
    /// An LSTM with an MDN head.
    Lstm(Recurrent),
    /// A GRU with an MDN head.
    Gru(Recurrent),
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    None,
    Lstm,
    Gru,
}

const KINDS: [(&str, Kind); 3] = [("none", Kind::None), ("lstm", Kind::Lstm), ("gru", Kind::Gru)];

impl Memory {
    /// Its sizes; none without M.
    #[must_use]
    pub const fn recurrent(&self) -> Option<Recurrent> {
        match *self {
            Self::None => None,
            Self::Lstm(recurrent) | Self::Gru(recurrent) => Some(recurrent),
        }
    }

    /// The recurrent cell; none without M.
    #[must_use]
    pub const fn cell(&self) -> Option<MemoryCell> {
        match self {
            Self::None => None,
            Self::Lstm(_) => Some(MemoryCell::Lstm),
            Self::Gru(_) => Some(MemoryCell::Gru),
        }
    }

    /// Its kind's name in metadata.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lstm(_) => "lstm",
            Self::Gru(_) => "gru",
        }
    }

    /// `H`; 0 without M.
    #[must_use]
    pub const fn hidden(&self) -> usize {
        match self.recurrent() {
            Some(recurrent) => recurrent.hidden,
            None => 0,
        }
    }

    /// `K`; 0 without M.
    #[must_use]
    pub const fn mixtures(&self) -> usize {
        match self.recurrent() {
            Some(recurrent) => recurrent.mixtures,
            None => 0,
        }
    }

    /// Values of c: `H` of an LSTM, 0 of any other.
    #[must_use]
    pub const fn cell_len(&self) -> usize {
        match self {
            Self::None | Self::Gru(_) => 0,
            Self::Lstm(recurrent) => recurrent.hidden,
        }
    }

    /// Outputs of the MDN head over `latent` dimensions; 0 without M.
    #[must_use]
    pub const fn mdn_outputs(&self, latent: usize) -> usize {
        match self.recurrent() {
            Some(recurrent) => head::outputs(&recurrent, latent),
            None => 0,
        }
    }

    pub(crate) const fn outputs_fit(&self, latent: usize) -> bool {
        match self.recurrent() {
            Some(recurrent) => head::outputs_fit(&recurrent, latent),
            None => true,
        }
    }

    const fn with(self, recurrent: Recurrent) -> Self {
        match self {
            Self::None => Self::None,
            Self::Lstm(_) => Self::Lstm(recurrent),
            Self::Gru(_) => Self::Gru(recurrent),
        }
    }

    pub(crate) const fn with_cell(self, cell: MemoryCell) -> Self {
        match self.recurrent() {
            Some(recurrent) => cell.memory(recurrent),
            None => self,
        }
    }

    pub(crate) const fn with_hidden(self, hidden: usize) -> Self {
        match self.recurrent() {
            Some(recurrent) => self.with(Recurrent { hidden, ..recurrent }),
            None => self,
        }
    }

    pub(crate) const fn with_mixture(self, mixture: Mixture) -> Self {
        match self.recurrent() {
            Some(recurrent) => self.with(Recurrent { mixture, ..recurrent }),
            None => self,
        }
    }

    /// Its layers over `unit` action values and `latent` latents.
    #[must_use]
    pub const fn layers(&self, unit: usize, latent: usize) -> LayerList {
        match *self {
            Self::None => LayerList::NONE,
            Self::Lstm(r) => LayerList::NONE.and(lstm::gates(unit, latent, r.hidden)).and(head::layer(&r, latent)),
            Self::Gru(r) => {
                let [input, hidden] = gru::gates(unit, latent, r.hidden);
                LayerList::NONE.and(input).and(hidden).and(head::layer(&r, latent))
            }
        }
    }

    pub(crate) fn read(file: &File<'_>) -> Result<Self, LoadError> {
        let kind = one_of(file, key::M_KIND, "none, lstm or gru", &KINDS)?;
        let recurrent = || head::read(file, dim(file, key::DIM_HIDDEN)?);
        Ok(match kind {
            Kind::None => Self::None,
            Kind::Lstm => Self::Lstm(recurrent()?),
            Kind::Gru => Self::Gru(recurrent()?),
        })
    }

    #[cfg(feature = "host")]
    pub(crate) fn write(&self, entries: &mut std::vec::Vec<(&'static str, std::string::String)>) {
        use std::string::ToString;
        entries.push((key::M_KIND, self.kind().to_string()));
        if let Some(recurrent) = self.recurrent() {
            entries.push((key::DIM_HIDDEN, recurrent.hidden.to_string()));
            head::write(&recurrent, entries);
        }
    }
}
