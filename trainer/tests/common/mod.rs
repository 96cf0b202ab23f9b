//! What the test programs share: the binary as a user runs it, the folders that it leaves, and the outside oracles in Python.

#![allow(dead_code, reason = "every test program has this module, and none needs all of it")]

pub(crate) mod python;

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_dreamstep");

/// Settings of a Humanoid-v5 run that takes seconds.
pub(crate) const TINY: [&str; 6] = [
    "collect.steps=400",
    "vae.epochs=1",
    "mdnrnn.epochs=1",
    "mdnrnn.hidden=16",
    "controller.steps=300",
    "controller.directions=2",
];

/// `--set` for each of `settings`, with a space before it.
pub(crate) fn set(settings: &[&str]) -> String {
    settings.iter().map(|setting| format!(" --set {setting}")).collect()
}

/// The binary in `folder`, with `args` split at spaces.
pub(crate) fn command(folder: &Path, args: &str) -> Command {
    let mut command = Command::new(BINARY);
    command.current_dir(folder).args(args.split_whitespace()).stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
    command
}

/// `bytes` as text.
#[track_caller]
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// What the binary says on standard output, or, where it refuses, on standard error.
pub(crate) fn dreamstep(folder: &Path, args: &str) -> Result<String, String> {
    let Output { status, stdout, stderr } = command(folder, args).output().unwrap();
    if status.success() { Ok(text(&stdout)) } else { Err(text(&stderr)) }
}

/// It must succeed. What it says on standard output.
#[track_caller]
pub(crate) fn succeed(folder: &Path, args: &str) -> String {
    dreamstep(folder, args).unwrap_or_else(|error| panic!("dreamstep {args}: {error}"))
}

/// It must succeed, with nothing on standard error and no terminal's escape codes.
#[track_caller]
pub(crate) fn succeed_silently(folder: &Path, args: &str) -> String {
    let Output { status, stdout, stderr } = command(folder, args).output().unwrap();
    let (stdout, stderr) = (text(&stdout), text(&stderr));
    assert!(status.success() && stderr.is_empty(), "dreamstep {args}: {status}\n{stderr}");
    assert!(!stdout.contains(['\u{1b}', '\r']), "dreamstep {args}: a progress bar without a terminal: {stdout:?}");
    stdout
}

/// What it says with `--json`.
#[track_caller]
pub(crate) fn json(folder: &Path, args: &str) -> Value {
    let said = succeed(folder, args);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("dreamstep {args}: {error}: {said}"))
}

/// The command is refused in one line, which has `message` in it, and nothing in `folder` changes.
#[track_caller]
pub(crate) fn refused(folder: &Path, args: &str, message: &str) {
    refused_naming(folder, args, &[message]);
}

/// As [`refused`]; the line has every one of `parts` in it.
#[track_caller]
pub(crate) fn refused_naming(folder: &Path, args: &str, parts: &[&str]) {
    refused_command(&mut command(folder, args), folder, parts);
}

/// As [`refused_naming`], of any command.
#[track_caller]
pub(crate) fn refused_command(command: &mut Command, folder: &Path, parts: &[&str]) {
    let before = snapshot(folder);
    let output = command.output().unwrap();
    check_refusal(&output, &format!("{command:?}"), parts);
    let changed = changes(&before, &snapshot(folder));
    assert!(changed.is_empty(), "{command:?}: expected nothing changed, found {changed:?}");
}

/// A refusal: exit code 1, and one line `error: …` that contains every one of `parts`.
#[track_caller]
pub(crate) fn check_refusal(Output { status, stdout, stderr }: &Output, what: &str, parts: &[&str]) {
    let stderr = text(stderr);
    let one_line = stderr.lines().count() == 1 && stderr.starts_with("error: ");
    assert!(status.code() == Some(1) && one_line, "{what}: {status}: {stderr:?} {:?}", text(stdout));
    assert!(parts.iter().all(|part| stderr.contains(part)), "{what}: expected {parts:?} in {stderr:?}");
}

/// Collects, trains and packs `run` in `folder`, with `flags` for its first command.
#[track_caller]
pub(crate) fn road(folder: &Path, run: &str, flags: &str) {
    succeed(folder, &format!("collect --run {run} {flags}"));
    succeed(folder, &format!("train --run {run} --stage all"));
    succeed(folder, &format!("pack --run {run}"));
}

/// Sends a signal, by the name that kill(1) has for it: `-INT`.
pub(crate) fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Everything in a folder: path → bytes; none for what is no regular file.
pub(crate) fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let kind = path.symlink_metadata().unwrap();
        if kind.is_dir() {
            all.extend(snapshot(&path));
        }
        let bytes = kind.is_file().then(|| fs::read(&path).unwrap());
        all.insert(path, bytes);
    }
    all
}

/// The paths of two snapshots that differ.
pub(crate) fn changes<K: Ord + Clone, V: PartialEq>(before: &BTreeMap<K, V>, after: &BTreeMap<K, V>) -> Vec<K> {
    let mut paths: Vec<_> = before.keys().chain(after.keys()).filter(|&path| before.get(path) != after.get(path)).collect();
    paths.sort();
    paths.dedup();
    paths.into_iter().cloned().collect()
}

/// A run's files by their paths in it, but what tells times (log and events) or belongs to a process (its lock, unfinished files).
pub(crate) fn results(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let apart = |name: &str| name == "metrics.jsonl" || name.starts_with("events.out") || name.starts_with('.');
    let files = snapshot(run).into_iter().filter(|(path, _)| !apart(&path.file_name().unwrap().to_string_lossy()));
    files.filter_map(|(path, bytes)| Some((path.strip_prefix(run).unwrap().display().to_string(), bytes?))).collect()
}

/// Two runs have the same results, to the byte.
#[track_caller]
pub(crate) fn same_results(found: &Path, expected: &Path, what: &str) {
    let different = changes(&results(expected), &results(found));
    assert!(different.is_empty(), "{what}: {different:?} differ from the uninterrupted run's");
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(path, target).unwrap()),
        }
    }
}
