//! The outside baseline writes what `ablation` reads. stable-baselines3 is not part of set-up, so that this plays only where the
//! interpreter named by DREAMSTEP_PPO_PYTHON has it (its PYTHONPATH is the caller's); otherwise the script must say in one line what it
//! lacks, and write nothing.

use crate::common::json;
use dreamstep_fixtures::skip;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn script(interpreter: &Path, args: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/ppo_baseline.py");
    let mut command = Command::new(interpreter);
    command.arg(script).args(args).env("PYTHONDONTWRITEBYTECODE", "1");
    command.output().unwrap_or_else(|error| panic!("{}: {error}", interpreter.display()))
}

#[test]
fn the_baseline_writes_an_arms_result_or_says_what_it_lacks() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../third_party/venv/bin/python");
    let named = std::env::var_os("DREAMSTEP_PPO_PYTHON").map(PathBuf::from);
    let python = named.clone().unwrap_or(own);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();

    let help = script(&python, &["--help"]);
    assert!(help.status.success() && text(&help.stdout).contains("--cpu-hours"), "{}", text(&help.stderr));
    let wrong = script(&python, &["CartPole-v1", "--out", "nowhere.json"]);
    assert!(!wrong.status.success() && text(&wrong.stderr).contains("expected --steps, --cpu-hours or both"));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r/ablation/ppo/result.json");
    let out = file.to_str().unwrap();
    let played = script(&python, &["CartPole-v1", "--steps", "2000", "--episodes", "3", "--seed", "7", "--out", out]);
    if !played.status.success() {
        let error = text(&played.stderr);
        assert!(named.is_none(), "DREAMSTEP_PPO_PYTHON: {error}");
        assert!(error.starts_with("ppo_baseline.py: ") && error.contains("ppo-requirements.txt"), "{error}");
        assert!(error.trim_end().lines().count() == 1 && !file.exists(), "{error}");
        return skip::not_on_this_machine(&error);
    }
    let report = json(folder.path(), "ablation --run r --set env=CartPole-v1 --arms zero --episodes 3 --seed 7 --json");
    let row = &report["rows"][1];
    assert_eq!((&row["arm"], &row["real_steps"]), (&"ppo".into(), &2048.into()));
    // Pushing always to the right ends in about nine steps.
    assert!(row["return"]["mean"].as_f64() > report["rows"][0]["return"]["mean"].as_f64(), "{report}");
}
