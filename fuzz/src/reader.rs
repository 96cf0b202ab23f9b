//! Does our reader agree with the `safetensors` crate about any bytes at all?

use crate::differential::verdict;

/// The input is a file.
pub fn run(input: &[u8]) {
    if let Err(disagreement) = verdict(input) {
        panic!("{disagreement}");
    }
}
