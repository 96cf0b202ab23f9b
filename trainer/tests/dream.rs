//! Is evolution in dreams a stage like any other, as a user runs it? The same bytes from a run that was killed, asked to stop, or shared
//! out otherwise; what it costs in the log, dreamt and real steps apart; and one line for what cannot be.

use dreamstep::checkpoint::Checkpoint;
use serde_json::Value;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A CartPole run that takes a second, most of it dreams.
const SETTINGS: [&str; 12] = [
    "collect.steps=300",
    "vae.epochs=5",
    "vae.hidden=[16,16]",
    "mdnrnn.epochs=5",
    "mdnrnn.hidden=16",
    "controller.directions=6",
    "dream.generations=24",
    "dream.check_every=1",
    "dream.check_episodes=1",
    "dream.patience=0",
    "dream.horizon=60",
    "dream.ensemble=2",
];

fn dreamstep(args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dreamstep"));
    command.args(args.split_whitespace()).stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
    command
}

fn succeed(args: &str) -> String {
    let Output { status, stdout, stderr } = dreamstep(args).output().unwrap();
    assert!(status.success(), "dreamstep {args}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// A run with V and M, in `folder`.
fn prepared(folder: &Path) -> PathBuf {
    let run = folder.join("whole");
    let set: String = SETTINGS.iter().map(|setting| format!(" --set {setting}")).collect();
    succeed(&format!("collect --run {} --preset cartpole{set}", run.display()));
    for stage in ["vae", "mdnrnn"] {
        succeed(&format!("train --run {} --stage {stage}", run.display()));
    }
    run
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => assert!(fs::copy(entry.path(), target).is_ok()),
        }
    }
}

fn train(run: &Path) -> String {
    format!("train --stage controller --run {}", run.display())
}

/// The stage under way in `run`, once it has saved a state for the `n`th time since.
fn under_way(run: &Path, saves: usize) -> Child {
    let child = dreamstep(&train(run)).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (state, begin) = (run.join("evolution.safetensors"), Instant::now());
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < saves {
        assert!(begin.elapsed() < Duration::from_secs(120), "no state was saved");
        seen.extend(fs::metadata(&state).and_then(|file| file.modified()).ok());
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

#[test]
fn a_run_that_was_killed_or_stopped_ends_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let whole = prepared(folder.path());
    let [killed, stopped] = ["killed", "stopped"].map(|name| folder.path().join(name));
    copy(&whole, &killed);
    copy(&whole, &stopped);
    let said = succeed(&train(&whole));
    assert!(said.contains("24 generations in dreams") && said.contains("real return"), "{said}");
    let results = ["controller.safetensors", "evolution.safetensors", "ensemble/1/mdnrnn.safetensors"];
    let same = |run: &Path| {
        for name in results {
            assert!(fs::read(run.join(name)).unwrap() == fs::read(whole.join(name)).unwrap(), "{}: {name}", run.display());
        }
    };
    let mut kills = 0;
    for saves in [1, 2, 4] {
        let mut child = under_way(&killed, saves);
        child.kill().unwrap();
        kills += usize::from(child.wait().unwrap().signal() == Some(9));
        drop(Checkpoint::read_state(&killed.join("evolution.safetensors")).unwrap());
    }
    assert!(kills > 0, "it was always faster");
    succeed(&format!("{} --set threads=1", train(&killed)));
    same(&killed);

    let child = under_way(&stopped, 2);
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    if output.status.code() == Some(130) {
        assert!(told.contains("to go on: dreamstep train --stage controller --run"), "{told}");
    }
    succeed(&train(&stopped));
    same(&stopped);
    assert!(succeed(&train(&stopped)).contains("kept"), "what is finished is kept");

    // The log: dreamt steps and real ones apart, and what the stage took.
    let log = fs::read_to_string(whole.join("metrics.jsonl")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let looks: Vec<&Value> = lines.iter().filter(|line| line["arena"] == "dream").collect();
    assert_eq!(looks.len(), 24);
    let last = looks[23];
    let count = |key: &str| last[key].as_u64().unwrap();
    assert!(count("dream_steps") > 24 * 12 * 12 && count("real_steps") >= 24 * 8, "{last}");
    assert_eq!(looks.iter().map(|line| line["items"].as_u64().unwrap()).sum::<u64>(), count("dream_steps"));
    let cost = lines.iter().rfind(|line| line["stage"] == "controller" && line["cost"].is_object()).unwrap();
    assert_eq!(cost["cost"]["steps"], last["dream_steps"]);
    assert!(cost["cost"]["cpu_seconds"].as_f64().unwrap() > 0.0);
    succeed(&format!("pack --run {} --episodes 0", whole.display()));
}

#[test]
fn what_cannot_be_dreamt_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = prepared(folder.path());
    for (set, part) in [
        ("controller.input=obs", "controller.input"),
        ("dream.bound=-1", "dream.bound"),
        ("dream.recorded_starts=1.5", "dream.recorded_starts"),
        ("dream.rerank=0", "dream.rerank"),
        ("controller.arena=moon", "arena"),
    ] {
        let Output { status, stderr, .. } = dreamstep(&format!("{} --set {set}", train(&run))).output().unwrap();
        let told = String::from_utf8(stderr).unwrap();
        assert!(!status.success() && told.contains(part) && told.trim_end().lines().count() == 1, "{set}: {told}");
    }
    assert!(!run.join("evolution.safetensors").exists());
}
