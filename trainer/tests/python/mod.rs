//! The Python that `make setup` installed: now in `common`.

#[path = "../common/python.rs"]
mod inner;

#[allow(unused_imports)]
pub(crate) use inner::{run, script};
