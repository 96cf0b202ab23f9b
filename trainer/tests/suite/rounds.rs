//! Rounds resume where they were stopped, and C survives a change of V and M. Whole processes, on CartPole.

use crate::common::{changes, command, json, refused, results, succeed};
use serde_json::Value;

const SETTINGS: &str = "--set env=CartPole-v1 --set collect.steps=500 --set rounds.steps=300 --set vae.latent=4 --set vae.hidden=[16,16] \
                        --set vae.epochs=2 --set mdnrnn.epochs=2 --set mdnrnn.hidden=16 --set controller.steps=4000 \
                        --set controller.directions=5 --set controller.sigma=0.3 --set collect.exploration=0.2 --set threads=2 \
                        --set rounds.then=[\"controller.input=z\"]";

#[test]
fn rounds_that_were_killed_end_as_rounds_that_were_not() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    succeed(at, &format!("rounds --rounds 2 --episodes 5 --run whole {SETTINGS}"));
    let whole = results(&at.join("whole"));
    let report: Value = serde_json::from_slice(&whole["rounds.json"]).unwrap();
    let rounds = report["rounds"].as_array().unwrap();
    let recorded: Vec<u64> = rounds.iter().map(|round| round["recorded_steps"].as_u64().unwrap()).collect();
    assert!(recorded.len() == 2 && recorded[0] >= 500 && recorded[1] >= 800, "{recorded:?}");
    // The second round has what the first recorded, and begins as its agent.
    for (name, bytes) in whole.iter().filter(|(name, _)| name.starts_with("round-1/rollouts/") && name.ends_with(".npz")) {
        assert!(whole[&name.replace("round-1", "round-2")] == *bytes, "{name}");
    }
    assert!(whole["round-2/teacher.safetensors"] == whole["round-1/agent.safetensors"]);
    assert!(whole["round-2/vae.safetensors"] != whole["round-1/vae.safetensors"]);
    // What later rounds have otherwise.
    let reads = |round: u32| {
        let config = String::from_utf8_lossy(&whole[&format!("round-{round}/config.toml")]).into_owned();
        config.lines().find(|line| line.starts_with("input = ")).unwrap().to_owned()
    };
    assert_eq!([reads(1), reads(2)], ["input = \"z+h\"", "input = \"z\""]);

    // One round first, a second later; killed again and again on the way, whatever it was at.
    succeed(at, &format!("rounds --rounds 1 --episodes 5 --run parts {SETTINGS}"));
    let mut kills = 0;
    for n in (1..).step_by(4) {
        let fault = format!("{}:{n}", ["write.half", "write.rename", "write.done"][kills % 3]);
        let output =
            command(at, "rounds --rounds 2 --episodes 5 --run parts").env("DREAMSTEP_FAULT", fault).output().unwrap();
        if output.status.success() {
            break;
        }
        kills += 1;
    }
    assert!(kills > 2, "{kills} kills");
    let parts = results(&at.join("parts"));
    assert_eq!(changes(&whole, &parts), Vec::<String>::new());

    // An evaluation is read where it is of the very agent, and of as many episodes; else the episodes are played.
    let evaluations = || -> Vec<_> {
        let file = |round| at.join(format!("whole/round-{round}/evaluation.json"));
        [1, 2].map(|round| std::fs::metadata(file(round)).unwrap().modified().unwrap()).into()
    };
    let played = evaluations();
    succeed(at, "rounds --rounds 2 --episodes 5 --run whole");
    assert_eq!(evaluations(), played);
    assert!(results(&at.join("whole")) == whole);
    let first = at.join("whole/round-1/evaluation.json");
    let other = std::fs::read_to_string(&first).unwrap().replacen("\"agent\": \"", "\"agent\": \"0", 1);
    std::fs::write(&first, other).unwrap();
    succeed(at, "rounds --rounds 2 --episodes 5 --run whole");
    assert!(results(&at.join("whole")) == whole, "another agent's evaluation was taken");
    succeed(at, "rounds --rounds 2 --episodes 4 --run whole");
    assert!(evaluations().iter().zip(&played).all(|(now, before)| now > before), "of other episodes");

    // Settings that would train a round further which another follows are refused before anything changes.
    refused(
        at,
        "rounds --rounds 2 --episodes 5 --run whole --set controller.steps=8000",
        "round-1: would be trained further",
    );

    // A round that follows another agent than the one before it is left alone.
    std::fs::copy(at.join("whole/round-2/agent.safetensors"), at.join("parts/round-1/other")).unwrap();
    succeed(at, &format!("rounds --rounds 1 --episodes 5 --run other {SETTINGS} --set seed=7"));
    std::fs::copy(at.join("other/round-1/agent.safetensors"), at.join("parts/round-2/teacher.safetensors")).unwrap();
    let before = results(&at.join("parts"));
    let output = command(at, "rounds --rounds 2 --episodes 5 --run parts").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = error.lines().find(|line| line.starts_with("error:")).unwrap_or_default();
    assert!(!output.status.success() && line.contains("parts/round-2: expected a round that follows"), "{error}");
    assert!(before == results(&at.join("parts")));
}

/// C after a change of V and M does at once what it did before it: learnt from the agent, not evolved (the budget is spent).
#[test]
fn a_controller_survives_other_eyes_and_another_memory() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let small = SETTINGS.replace("controller.steps=4000", "controller.steps=40000").replace("vae.epochs=2", "vae.epochs=20");
    succeed(at, &format!("collect --run a {small}"));
    succeed(at, "train --run a --stage all");
    succeed(at, "pack --run a");
    let mean = |agent: &str| {
        let report = json(at, &format!("evaluate --agent {agent} --episodes 50 --json"));
        report["rows"][0]["return"]["mean"].as_f64().unwrap()
    };
    let taught = mean("a/agent.safetensors");
    assert!(taught > 100.0, "the teacher returns {taught}");
    // On what the agent recorded, as in a round that follows: on random episodes alone a linear C learns too little of where the teacher goes.
    let others = small.replace("vae.latent=4", "vae.latent=6").replace("mdnrnn.hidden=16", "mdnrnn.hidden=24");
    let student = others.replace("controller.steps=40000", "controller.steps=1 --set controller.sigma=0.000001");
    let student = student.replace("collect.steps=500", "collect.steps=3000");
    // A student among few is better or worse by half, as its V and M happen to be: their mean says whether C survives.
    let mut students = Vec::new();
    for (run, seed) in [("c", 6), ("d", 7), ("e", 8), ("f", 9), ("b", 5)] {
        succeed(at, &format!("collect --run {run} {student} --set seed={seed} --agent a/agent.safetensors"));
        succeed(at, &format!("train --run {run} --stage all --teacher a/agent.safetensors"));
        succeed(at, &format!("pack --run {run}"));
        students.push(mean(&format!("{run}/agent.safetensors")));
    }
    let learnt = students.iter().sum::<f64>() / students.len() as f64;
    assert!(learnt > 0.7 * taught, "the teacher returns {taught}, the students {students:?}");

    // The run remembers its teacher; another's it becomes only by force.
    let other = "train --run b --stage controller --teacher b/agent.safetensors";
    refused(at, other, "expected a controller that begins as b/agent.safetensors");
    succeed(at, "train --run b --stage controller --teacher a/agent.safetensors");
}

/// An episode may be longer than a round is to add: there is one more all the same.
#[test]
fn a_round_follows_however_far_the_last_episode_went() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let short = "--set collect.steps=100 --set rounds.steps=1 --set controller.steps=300";
    succeed(at, &format!("rounds --rounds 3 --episodes 2 --run r {SETTINGS} {short}"));
    let report: Value = serde_json::from_slice(&results(&at.join("r"))["rounds.json"]).unwrap();
    let recorded: Vec<u64> =
        report["rounds"].as_array().unwrap().iter().map(|round| round["recorded_steps"].as_u64().unwrap()).collect();
    assert!(recorded.len() == 3 && recorded[0] >= 101 && recorded.is_sorted_by(|a, b| a < b), "{recorded:?}");
}
