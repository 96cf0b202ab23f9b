//! Take Cover through the bridge is ViZDoom's, in the paper's conventions; skipped where ViZDoom is not installed (`make setup-doom`).

use crate::common::{python, refused, succeed, text};
use dreamstep::env::{EnvConfig, spec};
use dreamstep::run::config::Config;
use dreamstep_fixtures::skip;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `third_party/doom`'s interpreter; none where it is not installed.
fn interpreter() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../third_party/doom/bin/python");
    if path.exists() {
        return Some(path);
    }
    skip::not_installed("third_party/doom/bin/python not found: run `make setup-doom`");
    None
}

/// Tic by tic, all that is above the status bar, and a limit that not every episode lives to see.
const SMALL: &str = "--preset take_cover --set env.kwargs.skip=1 --set env.image.crop=[0,0,100,160] --set env.image.size=[64,64] \
    --set env.time_limit=170 --set collect.noise_correlation=10";

#[test]
fn episodes_are_those_of_vizdoom_s_own_wrapper() {
    let Some(python) = interpreter() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let collect = |threads: usize| {
        let args = format!(
            "collect --run {threads} {SMALL} --set env.python={} --set collect.steps=900 --set threads={threads}",
            python.display()
        );
        succeed(folder, &args);
        let files = folder.join(threads.to_string()).join("rollouts");
        let mut files: Vec<PathBuf> = std::fs::read_dir(files).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|kind| kind == "npz"));
        files.sort();
        files
    };
    let (one, two) = (collect(1), collect(2));
    let bytes = |files: &[PathBuf]| files.iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>();
    assert_eq!(bytes(&one), bytes(&two), "whatever the workers");
    // Doom's folder of its own is nobody's.
    let mut left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["1", "2"]);

    let empty = tempfile::tempdir().unwrap();
    // Pillow is among the wheels that `make setup` installs.
    let wheels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../third_party/python");
    let mut reference = Command::new(&python);
    reference.arg(python::script("python/take_cover_reference.py")).args(&one).current_dir(empty.path());
    let output = reference.env("PYTHONPATH", wheels).env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert_eq!(said.lines().count(), one.len());
    assert!(said.lines().any(|line| line.ends_with('T')), "nobody died: {said}");
    assert!(said.lines().any(|line| line == "170 L"), "nobody lived: {said}");
}

#[test]
fn what_take_cover_cannot_be_is_refused_in_one_line() {
    let Some(python) = interpreter() else { return };
    let folder = tempfile::tempdir().unwrap();
    let collect = |more: &str| format!("collect --run r --preset take_cover --set env.python={} {more}", python.display());
    for (more, message) in [
        ("--set env.kwargs.resolution=64x64", "resolution: expected one of ViZDoom's, such as 640x480, found '64x64'"),
        ("--set env.kwargs.skill=6", "skill: expected 1 to 5, found 6"),
        ("--set env.kwargs.skip=0", "skip: expected 1 to 2100, found 0"),
    ] {
        refused(folder.path(), &collect(more), message);
    }
}

/// The preset's own frames: a strip about the horizon, four tics apart.
#[test]
fn the_preset_sees_a_strip_every_four_tics() {
    let Some(python) = interpreter() else { return };
    let preset = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/take_cover.toml");
    let config = Config::default().overlay_file(&preset, &[]).unwrap();
    let env = EnvConfig { python: python.display().to_string(), ..config.env };
    let found = spec(&env).unwrap();
    assert_eq!((found.frame(), found.time_limit), (Some([24, 80, 3]), 525));
    assert_eq!(found.image.unwrap().frame, [120, 160, 3]);
    assert_eq!(found.dt_s, 4.0 / 35.0);
}
