//! Which Python runs the embedded programs.

use super::EnvConfig;
use std::ffi::OsString;
use std::path::Path;

/// `env.python`, the active virtual environment's, or what the path finds.
pub(crate) fn interpreter(env: &EnvConfig) -> OsString {
    match std::env::var_os("VIRTUAL_ENV") {
        _ if !env.python.is_empty() => env.python.clone().into(),
        Some(folder) if !folder.is_empty() => Path::new(&folder).join("bin/python").into(),
        _ => "python3".into(),
    }
}
