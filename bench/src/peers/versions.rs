//! Which versions were measured? Read from what is there: crates from the lock file that the program was built with, libraries from
//! themselves.

use super::onnxruntime;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// All of them, in one line.
///
/// # Errors
/// A crate or a library cannot be found.
pub fn versions() -> Result<String> {
    let of = |name: &str| locked(LOCK, name).with_context(|| format!("Cargo.lock: expected a package `{name}`, found none"));
    Ok(format!(
        "libtorch {} through tch {}; ONNX Runtime {} through ort {}; tract {}; candle {}.",
        libtorch().context("libtorch: expected version.py or build-version beside its lib folder, found neither")?,
        of("tch")?,
        onnxruntime::version()?,
        of("ort")?,
        of("tract-onnx")?,
        of("candle-core")?
    ))
}

const LOCK: &str = include_str!("../../../Cargo.lock");

fn locked<'l>(lock: &'l str, package: &str) -> Option<&'l str> {
    let (_, rest) = lock.split_once(&format!("name = \"{package}\"\n"))?;
    rest.strip_prefix("version = \"")?.split('"').next()
}

/// Of the library that this process has loaded: libtorch tells C++ its version at compile time only.
fn libtorch() -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    let root = PathBuf::from(&path[path.find('/')?..]).parent()?.parent()?.to_path_buf();
    let python = std::fs::read_to_string(root.join("version.py")).unwrap_or_default();
    let quoted = |line: &str| Some(line.strip_prefix("__version__ = ")?.trim_matches(['\'', '"']).to_string());
    let plain = || Some(std::fs::read_to_string(root.join("build-version")).ok()?.trim().to_string());
    python.lines().find_map(quoted).or_else(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_where_they_stand() {
        let lock = "[[package]]\nname = \"tract\"\nversion = \"9.9.9\"\n\n[[package]]\nname = \"tract-onnx\"\nversion = \"1.2.3\"\n";
        assert_eq!(locked(lock, "tract-onnx"), Some("1.2.3"));
        assert_eq!(locked(lock, "candle"), None);
        let line = versions().unwrap();
        assert!(line.matches(|c: char| c.is_ascii_digit()).count() > 12 && !line.contains("unknown"), "{line}");
    }
}
