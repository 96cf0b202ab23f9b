//! What the manual says is run as it stands: every ```` ```sh ```` block of a page, in order, in an empty folder beside the checkout.

use crate::common::BINARY;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
}

/// The text of the page's blocks.
fn blocks(page: &str) -> String {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.collect::<Vec<_>>().join("\n")
}

/// Stands in for a program of that name.
fn program(folder: &Path, name: &str, script: &str) {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs `page`; what it printed, line by line.
fn follow(page: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (root, folder) = (root(), folder.path());
    for name in ["configs", "trainer", "third_party"] {
        symlink(root.join(name), folder.join(name)).unwrap();
    }
    // The binary under test, and libraries beside it.
    let release = Path::new(BINARY).parent().unwrap();
    fs::create_dir(folder.join("target")).unwrap();
    symlink(release, folder.join("target/release")).unwrap();
    let programs = folder.join("programs");
    // Set-up is there, and so is the trainer.
    program(&programs, "make", "[ \"$*\" = setup ]");
    let cargo = format!(
        "case \"$*\" in\n'build --release -p dreamstep') ;;\n*) cd '{}' && exec '{}' \"$@\" --locked -q --target-dir '{}' ;;\nesac",
        root.display(),
        env!("CARGO"),
        release.parent().unwrap().display()
    );
    program(&programs, "cargo", &cargo);
    let python = root.join("trainer/tests/python/interpreter.sh");
    program(&programs, "python3", &format!("exec '{}' \"$@\"", python.display()));

    let path = std::env::join_paths(
        std::iter::once(programs).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut shell = Command::new("sh");
    shell.args(["-euc", &blocks(page)]).current_dir(folder).env("PATH", path.unwrap());
    let output = shell.output().unwrap();
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{page}: {}\n{said}\n{error}", output.status);
    said.lines().map(ToOwned::to_owned).collect()
}

/// A hand's logs become an agent that does better than the hand, in a loop in Python, and what it logs makes another.
#[test]
fn the_page_about_logs_ends_in_an_agent_that_drives_the_robot() {
    let said = follow("docs/logs.md");
    let returns = |who: &str| -> Vec<f64> {
        let lines = said.iter().filter_map(|line| line.strip_prefix(who)?.strip_prefix(": mean return "));
        lines.map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect()
    };
    let (agent, hand) = (returns("agent"), returns("hand"));
    assert_eq!((agent.len(), hand.len()), (2, 2), "{said:#?}");
    assert!(hand.iter().all(|&earned| (-45.0..-30.0).contains(&earned)), "{hand:?}");
    assert!(agent.iter().all(|&earned| earned > -10.0), "{agent:?}: the hand earns {hand:?}");
    assert!(said.iter().any(|line| line == "import: 60 episodes, 6000 steps -> runs/slide/rollouts"), "{said:#?}");
}
