//! Reads a packed agent from disk for the commands that run it.

use crate::env::pool::check_fit;
use crate::env::{self, EnvConfig, EnvSpec, privileged_spec};
use crate::run::config::{Config, RECORDED};
use crate::run::output;
use anyhow::{Context, Result, anyhow, ensure};
use dreamstep_core::names::metadata;
use dreamstep_core::pack::{AlignedBytes, packed2};
use dreamstep_core::reader::File;
use dreamstep_runtime::{Backend, LoadError, Model, SelfTestError, memory_len};
use std::path::Path;

/// The largest file read: a typing slip should not fill the memory.
const MAX_BYTES: u64 = 1 << 30;

/// Where a packed agent says in which world it was made, where that is more than an id: [`env::label`].
pub const WORLD: &str = "provenance.world";

/// Where a packed agent says with which configuration it was made.
pub const CONFIG: &str = "provenance.config";

/// The file's bytes, aligned.
///
/// # Errors
/// One line: missing, unreadable or too large.
pub fn read(path: &Path) -> Result<AlignedBytes> {
    let name = || format!("{}: cannot read the agent", path.display());
    let metadata = std::fs::metadata(path).with_context(name)?;
    ensure!(metadata.is_file(), "{}: expected a packed agent, found a folder or device", path.display());
    ensure!(metadata.len() <= MAX_BYTES, "{}: expected at most {MAX_BYTES} bytes, found {}", path.display(), metadata.len());
    Ok(AlignedBytes::new(&std::fs::read(path).with_context(name)?))
}

/// The model in `bytes`, on `backend` or the widest that this machine has. Where the file holds self-test vectors (every file that
/// `pack` made does), they are replayed first.
///
/// # Errors
/// One line that names `path` and what is wrong, a failed self-test included.
pub fn load<'a>(path: &Path, bytes: &'a AlignedBytes, backend: Option<Backend>) -> Result<Model<'a>> {
    let backend = backend.unwrap_or_else(Backend::detect);
    let model = Model::load_with(bytes, backend).map_err(|error| refused(path, &error))?;
    match model.self_test(&mut vec![0.0; memory_len(model.dims())]) {
        Ok(()) | Err(SelfTestError::Absent) => Ok(model),
        Err(error) => Err(anyhow!("{}: back end {}: {error}", path.display(), backend.name())),
    }
}

/// Why the file at `path` is no agent that runs, and what helps where it is one of an older format.
#[must_use]
pub fn refused(path: &Path, error: &LoadError) -> anyhow::Error {
    let path = path.display();
    match error {
        LoadError::BadValue { key: metadata::FORMAT, found, .. } if found.as_str() == packed2::FORMAT => {
            anyhow!("{path}: {error}; to convert it: dreamstep pack --agent {path}")
        }
        _ => anyhow!("{path}: {error}"),
    }
}

/// As [`check`] for the environment `env`, whose `spec` is given; `model` may also be one of vectors that sees what is behind its pictures.
///
/// # Errors
/// As [`check`]'s.
pub fn check_privileged(path: &Path, model: &Model<'_>, env: &EnvConfig, spec: &EnvSpec) -> Result<()> {
    let privileged = privileged_spec(env)?.filter(|_| model.dims().obs.image().is_none());
    check(path, model, privileged.as_ref().unwrap_or(spec))
}

/// That `model`, which the file at `path` holds, was made for the environment `spec`. A file that does not say for what is used, with a warning.
///
/// # Errors
/// One line that names `path`, and what it was made for: see [`check_fit`].
pub fn check(path: &Path, model: &Model<'_>, spec: &EnvSpec) -> Result<()> {
    check_fit(model, spec).with_context(|| path.display().to_string())?;
    let unsaid = [("environment", model.environment().is_none()), ("control period", model.period_s().is_none())];
    let unsaid: Vec<_> = unsaid.iter().filter(|(_, unsaid)| *unsaid).map(|(what, _)| *what).collect();
    if !unsaid.is_empty() {
        let (path, what, id) = (path.display(), unsaid.join(" and "), &spec.id);
        output::warning(format!("{path}: does not say for which {what} the agent was made; used in {id}"));
    }
    if model.environment() == Some(RECORDED) && spec.id != RECORDED {
        output::warning(format!("{}: made of recorded data; used in {}", path.display(), spec.id));
    }
    Ok(())
}

/// Resolves JSON's escapes, which the reader leaves as they stand.
pub(super) fn unescape(value: &str) -> String {
    serde_json::from_str(&format!("\"{value}\"")).unwrap_or_else(|_| value.to_string())
}

/// Warns where the agent in `bytes`, the contents of `path`, was made in another world of that name than `env`: with other settings, or on
/// another model.
///
/// # Errors
/// As [`env::label`]'s.
pub fn warn_of_another_world(path: &Path, bytes: &[u8], env: &EnvConfig) -> Result<()> {
    // One that does not say its environment, or another, is told of by `check`.
    let Some(own) = self::env(path, bytes).ok().filter(|own| own.id == env.id) else { return Ok(()) };
    let said = File::parse(bytes).ok().and_then(|file| file.metadata(WORLD).map(unescape));
    let (then, now) = (said.unwrap_or_else(|| own.label()), env::label(env)?);
    if then != now {
        output::warning(format!("{}: made in {then}; played in {now}", path.display()));
    }
    Ok(())
}

/// The environment that the agent in `bytes`, the contents of `path`, was made for, as the configuration in its provenance makes it.
///
/// # Errors
/// One line that names `path`: it does not say, or is no model file.
pub fn env(path: &Path, bytes: &[u8]) -> Result<EnvConfig> {
    let file = File::parse(bytes).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    let id = file.metadata(metadata::ENV).map(unescape).with_context(|| {
        format!("{}: metadata {}: not found; name the environment with --env", path.display(), metadata::ENV)
    })?;
    // Of the configuration it is the environment's table alone that counts: a key of another version elsewhere is no reason not to run the agent. Where the
    // table has one, the environment is what its name says.
    let own = |text: &str| {
        let table = unescape(text).parse::<toml::Table>().ok()?.remove_entry("env")?;
        Config::default().overlay(CONFIG, &toml::Table::from_iter([table]).to_string(), &[]).ok()
    };
    let made = file.metadata(CONFIG).and_then(own);
    Ok(made.map(|config| config.env).filter(|env| env.id == id).unwrap_or_else(|| EnvConfig::from(id.as_str())))
}
