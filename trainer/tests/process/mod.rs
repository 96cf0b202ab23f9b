//! The binary, as a user runs it: now in `common`.

#[path = "../common/mod.rs"]
mod common;

pub(crate) use common::{dreamstep, json, refused};
