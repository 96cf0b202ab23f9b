//! Which agents are timed? The shipped one, and two of other sizes with random weights; of each size one with a GRU, too; each in
//! every precision.

use dreamstep_core::pack::AlignedBytes;
use dreamstep_fixtures::{HUMANOID, synthetic};
use dreamstep_runtime::{Dims, MemoryCell, Precision};

/// A size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Size {
    /// 64 hidden units: weights fit into a first- or second-level cache.
    Small,
    /// The shipped Humanoid-v5 agent: 256 hidden units, 450,000 weights in a step.
    Humanoid,
    /// 1,024 hidden units: 4.6 million weights in a step.
    Large,
}

impl Size {
    /// All of them, smallest first.
    pub const ALL: [Self; 3] = [Self::Small, Self::Humanoid, Self::Large];

    /// What tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small (64)",
            Self::Humanoid => "humanoid (256)",
            Self::Large => "large (1024)",
        }
    }

    /// Its sizes; all but the memory's are Humanoid's.
    #[must_use]
    pub fn dims(self) -> Dims {
        let hidden = match self {
            Self::Small => 64,
            Self::Humanoid => 256,
            Self::Large => 1024,
        };
        Dims::HUMANOID.with_hidden(hidden)
    }

    /// The packed f32 agent.
    #[must_use]
    pub fn agent(self) -> AlignedBytes {
        match self {
            Self::Humanoid => AlignedBytes::new(HUMANOID),
            Self::Small | Self::Large => synthetic::agent(&self.dims(), 1),
        }
    }

    /// The agent in every precision, f32 first.
    #[must_use]
    pub fn precisions(self) -> Vec<AlignedBytes> {
        self.precisions_with(MemoryCell::Lstm)
    }

    /// The agent, or one of its sizes with a GRU and random weights, in every precision, f32 first.
    #[must_use]
    pub fn precisions_with(self, cell: MemoryCell) -> Vec<AlignedBytes> {
        let agent = match cell {
            MemoryCell::Lstm => self.agent(),
            MemoryCell::Gru => synthetic::agent(&self.dims().with_cell(cell), 1),
        };
        Precision::ALL.into_iter().map(|precision| synthetic::in_precision(&agent, precision)).collect()
    }
}

/// A memory by its name, for command lines.
///
/// # Errors
/// One line: there is no such memory.
pub fn cell(name: &str) -> Result<MemoryCell, String> {
    let known = MemoryCell::ALL.into_iter().find(|cell| cell.name() == name);
    known.ok_or_else(|| format!("expected lstm or gru, found {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dreamstep_runtime::Model;

    #[test]
    fn they_have_their_sizes_in_every_precision() {
        for (size, cell) in Size::ALL.into_iter().flat_map(|size| MemoryCell::ALL.map(|cell| (size, cell))) {
            let files = size.precisions_with(cell);
            for (file, precision) in files.iter().zip(Precision::ALL) {
                let model = Model::load(file).unwrap();
                let dims = size.dims().with_cell(cell);
                assert_eq!((*model.dims(), model.settings().precision), (dims, precision));
            }
            assert_eq!(files.len(), 4);
        }
    }
}
