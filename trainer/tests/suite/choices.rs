//! An environment of choices on the whole road, as a user goes it, through the bridge: collected, trained in real episodes and in dreams of
//! both engines, packed, evaluated, run, inspected, reported on, correlated, put out and taken in, round after round. The same bytes from
//! any number of threads and after a kill.

use crate::common::{self, copy, python, refused_command, results, same_results, set, text};
use dreamstep::data::rollouts::read_dir;
use dreamstep::run::checkpoint::Checkpoint;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

/// A lander with three engines: it fires one of them, or none. A run of seconds.
const SETTINGS: [&str; 16] = [
    "env.id=gym:LunarLander-v3",
    "env.time_limit=60",
    "threads=1",
    "collect.steps=300",
    "vae.latent=8",
    "vae.hidden=[8,8]",
    "vae.start=identity",
    "vae.epochs=1",
    "mdnrnn.epochs=3",
    "mdnrnn.hidden=12",
    "controller.steps=1200",
    "controller.pgpe.directions=3",
    "controller.sigma=0.5",
    "dream.generations=4",
    "dream.horizon=30",
    "dream.validation_episodes=1",
];

fn flags(more: &[&str]) -> String {
    set(&[&SETTINGS[..], more].concat())
}

/// The binary in `folder`, with the tests' Python for the active virtual environment's.
fn command(folder: &Path, args: &str) -> Command {
    let interpreter = folder.join("venv/bin/python");
    if !interpreter.exists() {
        fs::create_dir_all(folder.join("venv/bin")).unwrap();
        let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", python::script("python/interpreter.sh").display());
        fs::write(&interpreter, script).unwrap();
        fs::set_permissions(&interpreter, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = common::command(folder, args);
    command.env("VIRTUAL_ENV", folder.join("venv"));
    command
}

#[track_caller]
fn succeed(folder: &Path, args: &str) -> String {
    let Output { status, stdout, stderr } = command(folder, args).output().unwrap();
    assert!(status.success(), "dreamstep {args}: {}", text(&stderr));
    text(&stdout)
}

#[track_caller]
fn json(folder: &Path, args: &str) -> Value {
    let said = succeed(folder, args);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("dreamstep {args}: {error}: {said}"))
}

/// A run in `folder` that is collected and has V and M.
fn prepared(folder: &Path, more: &[&str]) {
    succeed(folder, &format!("collect --run r{}", flags(more)));
    succeed(folder, "train --run r --stage vae");
    succeed(folder, "train --run r --stage mdnrnn");
}

#[test]
fn choices_on_the_whole_road() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepared(at, &["collect.policy=noise"]);
    for episode in read_dir(&at.join("r/rollouts")).unwrap() {
        assert_eq!(episode.dims(), (8, 1));
        assert!(episode.actions.iter().all(|choice| [0.0, 1.0, 2.0, 3.0].contains(choice)), "{:?}", episode.actions);
    }
    succeed(at, "train --run r --stage controller");
    succeed(at, "pack --run r");
    for name in ["mdnrnn", "controller"] {
        assert_eq!(Checkpoint::read(&at.join(format!("r/{name}.safetensors"))).unwrap().metadata["action.kind"], "discrete");
    }
    let inspected = json(at, "inspect r/agent.safetensors --json");
    let (agent, passed) = (&inspected["agent"], &inspected["self_test_passed"]);
    assert_eq!(
        (&agent["action"], &agent["action_range"], passed),
        (&"discrete, 4 choices".into(), &Value::Array(vec![]), &true.into())
    );
    let python = python::run(&[
        &python::script("../python/open_in_numpy.py").display().to_string(),
        &at.join("r").display().to_string(),
    ]);
    assert!(text(&python).contains("largest difference from dreamstep's actions 0.0e+00"), "{}", text(&python));

    let evaluated = json(at, "evaluate --agent r/agent.safetensors --baselines --episodes 2 --json");
    let rows = evaluated["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["policy"].as_str().unwrap()).collect::<Vec<_>>(), ["random", "zero", "agent"]);
    let played = json(at, "run --agent r/agent.safetensors --episodes 2 --seed 1000 --json");
    assert_eq!(played["outcomes"], rows[2]["outcomes"], "run and evaluate play the same episodes");

    // Choices are compared, not fractions of a range.
    for precision in ["f16", "i8"] {
        let change = json(at, &format!("pack --agent r/agent.safetensors --precision {precision} --episodes 2 --json"));
        let steps: u64 = rows[2]["outcomes"].as_array().unwrap().iter().map(|o| o["length"].as_u64().unwrap()).sum();
        assert!(change["action_error"].is_null() && change["choices"]["of"] == steps, "{change}");
        assert!(change["choices"]["changed"].as_u64().unwrap() <= steps / 4, "{change}");
    }
    let said = succeed(at, "pack --agent r/agent.safetensors --precision bf16 --episodes 2");
    assert!(said.contains("  other choices  ") && !said.contains("of the range"), "{said}");

    let report = json(at, "report --run r --episodes 2 --json");
    let m = &report["mdnrnn"];
    assert!(m["latent"]["ridge"].as_f64().unwrap() < 0.7 * m["latent"]["persistence"].as_f64().unwrap(), "{}", m["latent"]);
    assert!(fs::read_to_string(at.join("r/report.md")).unwrap().contains("| agent "));
    // Multiples of a linear C choose alike.
    let correlated = json(at, "correlate --run r --episodes 1 --temperatures 1 --json --set dream.validation_dreams=2");
    assert_eq!(correlated["controllers"].as_array().unwrap().len(), 2 + 39, "{correlated}");
    assert!(correlated["dream_steps"].as_u64() > Some(0), "{correlated}");

    // An M that hears choices one-hot and a C that scores them, as PyTorch saves them.
    copy(&at.join("r/rollouts"), &at.join("w/rollouts"));
    fs::copy(at.join("r/vae.safetensors"), at.join("w/vae.safetensors")).unwrap();
    for name in ["mdnrnn", "controller"] {
        let mut network = Checkpoint::read(&at.join(format!("r/{name}.safetensors"))).unwrap();
        network.metadata.clear();
        network.write(&at.join(format!("{name}.safetensors"))).unwrap();
        let import = format!("import-weights --run w {name}.safetensors{}", flags(&["collect.policy=noise"]));
        refused_command(&mut command(at, &format!("{import} --actions raw")), at, &["--actions raw", "4 choices"]);
        succeed(at, &import);
    }
    succeed(at, "pack --run w");
    let imported = json(at, "evaluate --agent w/agent.safetensors --episodes 2 --json");
    assert_eq!(imported["rows"][0]["outcomes"], rows[2]["outcomes"]);

    // As TorchWM's networks read them, and back.
    succeed(at, "export --run r --out out --format torchwm");
    succeed(at, &format!("import --run back out{}", flags(&[])));
    for (back, original) in
        read_dir(&at.join("back/rollouts")).unwrap().iter().zip(read_dir(&at.join("r/rollouts")).unwrap())
    {
        assert_eq!((&back.actions, &back.observations), (&original.actions, &original.observations));
    }
}

/// Dreams of both engines, of the run's own M and another; killed, resumed, and shared out otherwise.
#[test]
fn evolution_of_choices_ends_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepared(at, &["collect.steps=150"]);
    let episodes = "--set controller.scored_on=episodes --set controller.online_whitening=true";
    let dreams = "--set controller.scored_on=dreams --set dream.ensemble=2";
    for (name, how, point) in [
        ("episodes", episodes, "write.done:1"),
        ("runtime", dreams, "write.rename:2"),
        ("torch", "--set controller.scored_on=dreams --set dream.engine=torch", "write.half:2"),
    ] {
        let [whole, killed] = [name.to_owned(), format!("{name}-killed")];
        [&whole, &killed].into_iter().for_each(|run| copy(&at.join("r"), &at.join(run)));
        let train = |run: &str, threads| format!("train --stage controller --run {run} {how} --set threads={threads}");
        // The configuration on record has the number of threads.
        succeed(at, &train(&whole, 1));
        let output = command(at, &train(&killed, 1)).env("DREAMSTEP_FAULT", point).output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "{name}: {}", text(&output.stderr));
        succeed(at, &train(&killed, 2));
        let result = |run: &str| fs::read(at.join(run).join("controller.safetensors")).unwrap();
        assert!(result(&whole) == result(&killed), "{name}");
    }
}

/// The second round begins as the first one's agent, whose choices it learns.
#[test]
fn rounds_of_choices_hand_over_what_was_learnt() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let more = ["rounds.steps=150", "collect.exploration=0.3", "controller.input=z", "controller.steps=300"];
    succeed(at, &format!("rounds --rounds 2 --episodes 2 --run whole{}", flags(&more)));
    let whole = results(&at.join("whole"));
    assert!(whole["round-2/teacher.safetensors"] == whole["round-1/agent.safetensors"]);
    let claim = String::from_utf8_lossy(&whole["round-2/rollouts/collect.txt"]).into_owned();
    assert!(claim.contains("policy = agent") && claim.contains("noise_scale = 0.3"), "{claim}");
    for n in [3, 30] {
        let rounds = format!("rounds --rounds 2 --episodes 2 --run parts{}", flags(&more));
        let output = command(at, &rounds).env("DREAMSTEP_FAULT", format!("write.rename:{n}")).output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "{}", text(&output.stderr));
    }
    succeed(at, "rounds --rounds 2 --episodes 2 --run parts");
    same_results(&at.join("parts"), &at.join("whole"), "rounds that were killed");
}
