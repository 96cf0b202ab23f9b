//! Which Python runs the embedded programs.

use super::EnvConfig;
use std::ffi::OsString;
use std::path::Path;

/// `env.python`, else what `DREAMSTEP_PYTHON` names, else the active virtual environment's, else what the path finds.
pub(crate) fn interpreter(env: &EnvConfig) -> OsString {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if !env.python.is_empty() {
        return env.python.clone().into();
    }
    let active = || set("VIRTUAL_ENV").map(|folder| Path::new(&folder).join("bin/python").into());
    set("DREAMSTEP_PYTHON").or_else(active).unwrap_or_else(|| "python3".into())
}
