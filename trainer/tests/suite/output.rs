//! Pipes, and disks that are full: what cannot be printed or logged ends no work, or ends it in one line with nothing lost.

use crate::common::BINARY;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

const SMALL: &str = "--set env=CartPole-v1 --set collect.steps=300 --set vae.epochs=2 --set mdnrnn.epochs=1 --set vae.latent=4 \
                     --set mdnrnn.hidden=8 --set vae.hidden=[8,8] --set controller.steps=300 --set controller.pgpe.directions=2";

/// `script` in `folder`, where `$B` is the binary.
fn shell(folder: &Path, script: &str) -> Output {
    let mut shell = Command::new("bash");
    shell.args(["-c", script]).current_dir(folder).env("B", BINARY).env_remove("RUST_BACKTRACE").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_reader_that_is_gone_ends_no_work() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (command, results) in [
        ("collect", &["rollouts"][..]),
        ("train", &["vae.safetensors", "mdnrnn.safetensors", "controller.safetensors"]),
        ("pack", &["agent.safetensors"]),
    ] {
        let settings = if command == "collect" { SMALL } else { "" };
        let output = shell(at, &format!("$B {command} --run r {settings} | true; exit ${{PIPESTATUS[0]}}"));
        assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)), "{command}");
        results.iter().for_each(|name| assert!(at.join("r").join(name).exists(), "{command}: {name}"));
    }
    // Reports are not lost on a reader that has seen enough.
    for command in [
        "evaluate --agent r/agent.safetensors --episodes 3",
        "inspect r/agent.safetensors",
        "inspect --json r/agent.safetensors",
    ] {
        let output = shell(at, &format!("$B {command} | true; exit ${{PIPESTATUS[0]}}"));
        assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)), "{command}");
    }

    // A full disk under the log: the work is done, and one warning says what is missing; a report that cannot be written is an error.
    let output = shell(at, &format!("$B collect --run q {SMALL} >/dev/full"));
    let error = text(&output.stderr);
    assert!(output.status.success() && error.starts_with("warning: stdout: cannot write"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    let output = shell(at, "$B inspect r/agent.safetensors >/dev/full");
    let error = text(&output.stderr);
    assert!(output.status.code() == Some(1) && error.starts_with("error: stdout: cannot write"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");

    // Standard error closed or full, and both: nothing to read, and the same exit status.
    for redirected in ["2>/dev/full", "2>&-", ">&- 2>&-", ">/dev/full 2>/dev/full"] {
        let output = shell(at, &format!("$B train --run q --stage vae --force {redirected}"));
        assert_eq!(output.status.code(), Some(0), "train {redirected}: {}", text(&output.stderr));
        let output = shell(at, &format!("$B train --run nowhere {redirected}"));
        assert_eq!(output.status.code(), Some(1), "a refusal {redirected}: {}", text(&output.stderr));
    }
}

/// Every file below `folder` but those that tell times.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = files.filter(|path| path.is_file() && !path.ends_with("metrics.jsonl"));
    named.map(|path| (path.file_name().unwrap().to_str().unwrap().to_string(), std::fs::read(&path).unwrap())).collect()
}

/// The log meets the limit of its size: the training ends in one line, no line of the log is cut, and the same command resumes it.
#[test]
fn a_log_that_cannot_grow_ends_a_training_in_one_line_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for run in ["whole", "r"] {
        assert!(shell(at, &format!("$B collect --run {run} {SMALL}")).status.success());
    }
    assert!(shell(at, "$B train --run whole").status.success());
    let log = at.join("r/metrics.jsonl");
    let before = std::fs::read_to_string(&log).unwrap();
    // 100 bytes short of 256 KiB, which no other file of so small a run comes near.
    let filler = "{\"filler\":1}\n".repeat((256 * 1024 - 100 - before.len()) / 13);
    std::fs::write(&log, before + &filler).unwrap();
    for stage in ["vae", "vae", "mdnrnn", "controller"] {
        let full = std::fs::metadata(&log).unwrap().len();
        let output = shell(at, &format!("ulimit -f 256; trap '' XFSZ; exec $B train --run r --stage {stage}"));
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(1) && error.starts_with("error: r/metrics.jsonl: cannot "), "{error}");
        assert_eq!((error.lines().count(), std::fs::metadata(&log).unwrap().len()), (1, full), "{stage}: {error}");
        if stage != "vae" || at.join("r/again").exists() {
            assert!(shell(at, &format!("$B train --run r --stage {stage}")).status.success());
            // As full as before, for the next stage.
            let text = std::fs::read_to_string(&log).unwrap();
            std::fs::write(&log, &text[..full as usize]).unwrap();
        } else {
            std::fs::write(at.join("r/again"), "").unwrap();
        }
    }
    std::fs::remove_file(at.join("r/again")).unwrap();
    assert!(contents(&at.join("whole")) == contents(&at.join("r")));
}
