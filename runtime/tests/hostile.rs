//! Does every file of `hostile/` give the one answer that a person wrote down for it? Real files, read from disk: what a
//! robot with a bad download, a worn flash or an ill-meant neighbour finds at its boot. How each was made stands in
//! `hostile/make.rs`.

mod common;
#[path = "hostile/make.rs"]
mod make;
#[path = "common/pieces.rs"]
mod pieces;

use make::{SOUND, answer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile")
}

/// The files on disk, by name.
fn names() -> BTreeSet<String> {
    let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".safetensors")).collect()
}

#[test]
fn every_file_gives_its_own_answer() {
    let expected = std::fs::read_to_string(folder().join("expected.txt")).unwrap();
    let lines = expected.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut expected = BTreeMap::new();
    for line in lines {
        let (name, message) = line.split_once(": ").unwrap_or_else(|| panic!("expected.txt: no `: ` in `{line}`"));
        assert!(expected.insert(name.to_string(), message).is_none(), "expected.txt: `{name}` stands twice");
    }
    let names = names();
    let listed: BTreeSet<_> = expected.keys().cloned().collect();
    assert_eq!(names, listed, "files of the folder (left) and lines of expected.txt (right)");

    let mut failures = Vec::new();
    for (name, expected) in &expected {
        let bytes = std::fs::read(folder().join(name)).unwrap();
        assert!(bytes.len() <= 16 << 10, "{name}: {} bytes", bytes.len());
        let found = answer(&bytes);
        if found != *expected {
            failures.push(format!("{name}: expected `{expected}`, found `{found}`"));
        }
    }
    assert!(failures.is_empty(), "{} of {} files:\n{}", failures.len(), names.len(), failures.join("\n"));

    // The negative controls are there, and no two faults give the same answer: an error that always came first would show.
    let (sound, faults): (Vec<_>, Vec<_>) = expected.iter().partition(|(name, _)| name.starts_with("sound"));
    assert!(sound.len() >= 3 && sound.iter().all(|(_, message)| **message == SOUND), "{sound:?}");
    let answers: BTreeSet<_> = faults.iter().map(|(_, message)| **message).collect();
    assert_eq!(answers.len(), faults.len(), "two files with the same answer");
    assert!(!answers.contains(SOUND));
    assert!(expected.len() > 40, "{} files", expected.len());
}

/// So that no file here is a mystery, and none is forgotten when the format changes.
#[test]
fn every_file_is_the_one_that_the_table_makes() {
    let made: BTreeMap<_, _> =
        make::files().into_iter().map(|(name, bytes)| (format!("{name}.safetensors"), bytes)).collect();
    assert_eq!(names(), made.keys().cloned().collect());
    for (name, bytes) in made {
        let found = std::fs::read(folder().join(&name)).unwrap();
        assert!(found == bytes, "{name}: other bytes than its line makes (example make_hostile makes them anew)");
    }
}
