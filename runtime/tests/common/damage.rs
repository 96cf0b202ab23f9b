//! What the programs that test the loader have in common: a small agent, taken apart and damaged, and that it is refused.

use crate::common::agent_with_selftest;
use crate::pieces::{Loose, Pieces};
use dreamstep_core::pack::AlignedBytes;
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Dims, LoadError, MemoryCell, Model, Precision};

pub(crate) const DIMS: Dims = Dims::vector(5, 2, &[9, 4], 3, 7, 2);

/// A packed agent of [`DIMS`] with either memory and self-test vectors, as bytes.
pub(crate) fn agent_of(cell: MemoryCell, precision: Precision) -> Vec<u8> {
    let dims = DIMS.with_cell(cell);
    agent_with_selftest(
        &synthetic::with(synthetic::settings(&dims), |s| s.precision = precision),
        &synthetic::tensors(&dims, 1),
    )
}

impl Pieces {
    pub(crate) fn tensor(&mut self, name: &str) -> &mut Loose {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no tensor `{name}`"))
    }

    pub(crate) fn remove(&mut self, name: &str) {
        assert!(self.tensors.iter().any(|tensor| tensor.name == name), "no tensor `{name}`");
        self.tensors.retain(|tensor| tensor.name != name);
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        assert!(self.metadata.insert(key.to_string(), value.to_string()).is_some(), "no key `{key}`");
    }

    pub(crate) fn load<T>(&self, look: impl FnOnce(Result<Model<'_>, LoadError>) -> T) -> T {
        let bytes = AlignedBytes::new(&self.bytes(0));
        look(Model::load(&bytes))
    }
}

impl Loose {
    /// Fits the data to the shape, with zeros.
    pub(crate) fn reshape(&mut self, shape: &[usize]) {
        self.shape = shape.to_vec();
        self.data.resize(4 * shape.iter().product::<usize>(), 0);
    }

    #[allow(dead_code, reason = "not every test program damages single values")]
    pub(crate) fn put(&mut self, index: usize, value: f32) {
        self.data[4 * index..][..4].copy_from_slice(&value.to_le_bytes());
    }
}

/// Each message must be one line; the file must be refused with this one.
#[track_caller]
pub(crate) fn refused_of(
    cell: MemoryCell,
    precision: Precision,
    what: &str,
    message: &str,
    damage: impl FnOnce(&mut Pieces),
) {
    let mut pieces = Pieces::of(&agent_of(cell, precision));
    damage(&mut pieces);
    pieces.load(|result| match result {
        Ok(_) => panic!("{what}: loaded, expected `{message}`"),
        Err(error) => assert_eq!(error.to_string(), message, "{what}"),
    });
    assert_eq!(message.lines().count(), 1, "{what}");
}
