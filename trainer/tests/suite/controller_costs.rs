//! The log holds all that evolution spent, however it ended; and a budget that is spent already ends with a validated result. Whole
//! processes, on CartPole.

use crate::common::{command, succeed};
use dreamstep::run::checkpoint::Checkpoint;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Evolution's records since the newest run of the stage began.
fn records(at: &Path, since: usize) -> Vec<Value> {
    let text = std::fs::read_to_string(at.join("r/metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["stage"] == "controller").skip(since).collect()
}

fn sum(records: &[Value], key: &str) -> f64 {
    records.iter().filter_map(|record| record[key].as_f64()).sum()
}

/// Ctrl-C, once the setup is logged, lessons and all.
fn interrupt(at: &Path, mut child: Child, since: usize) {
    let begin = Instant::now();
    while !records(at, since).iter().any(|record| record["phase"] == "setup") {
        assert!(begin.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none(), "no setup was logged");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(30));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn all_that_was_spent_is_in_the_log_over_interrupts_and_a_lower_budget_ends_validated() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let small =
        "--set collect.steps=500 --set vae.hidden=[16,16] --set vae.epochs=2 --set mdnrnn.epochs=2 --set mdnrnn.hidden=16";
    succeed(at, &format!("collect --run r --preset cartpole {small}"));
    succeed(at, "train --run r --stage vae");
    succeed(at, "train --run r --stage mdnrnn");
    succeed(at, "train --run r --stage controller --set dream.generations=2 --set dream.bound=2");
    succeed(at, "pack --run r --episodes 0");
    std::fs::rename(at.join("r/agent.safetensors"), at.join("teacher.safetensors")).unwrap();
    let state = || Checkpoint::read_state(&at.join("r/evolution.safetensors")).unwrap();
    for (on, budget, lower, steps) in [
        // Distilled from a policy that reads other features, so that the setup has steps of its own.
        (
            "controller.scored_on=episodes --set controller.input=z --teacher teacher.safetensors",
            "controller.steps=100000000",
            "controller.steps=1",
            "validation.steps",
        ),
        ("controller.scored_on=dreams", "dream.generations=100000", "dream.generations=1", "validation.dream_steps"),
    ] {
        let since = records(at, 0).len();
        let args = format!("train --run r --stage controller --set {on}");
        let begin = |more: &str| {
            command(at, &format!("{args} --set {budget} --set dream.bound=2 --set dream.validate_every=1000 {more}"))
                .stderr(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        interrupt(at, begin("--force"), since);
        let lines = records(at, since);
        let lessons: Vec<_> = lines.iter().take_while(|line| line["phase"] == "lesson").collect();
        assert_eq!(lessons.len(), if on.contains("teacher") { 4 } else { 0 });
        assert!(lessons.iter().all(|lesson| lesson["items"].as_f64() > Some(0.0)), "{lessons:?}");
        assert_eq!(lines[lessons.len()]["phase"], "setup");
        assert_eq!(sum(&lines, "items"), state().meta::<f64>(steps).unwrap(), "{lines:?}");
        let again = since + lines.len();
        interrupt(at, begin(""), again);
        assert_eq!(sum(&records(at, since), "items"), state().meta::<f64>(steps).unwrap());
        succeed(at, &format!("{args} --set {lower} --set dream.bound=2 --set dream.validate_every=1000"));
        let result = Checkpoint::read(&at.join("r/controller.safetensors")).unwrap();
        let lines = records(at, since);
        assert_eq!(sum(&lines, "items"), result.meta::<f64>(steps).unwrap());
        let cost = &lines.last().unwrap()["cost"];
        for (key, of_lines) in [("steps", "items"), ("seconds", "seconds"), ("cpu_seconds", "cpu_seconds")] {
            let (found, expected) = (cost[key].as_f64().unwrap(), sum(&lines, of_lines));
            assert!(found > 0.0 && (found - expected).abs() < 1e-9 * expected, "{key}: {found}, {expected}");
        }
        let figure: f64 = result.meta("validation.return").or_else(|_| result.meta("validation.dream_score")).unwrap();
        assert!(figure.is_finite() && figure >= 1.0, "{figure}");
        assert_eq!(result.metadata["validation.generation"], state().metadata["validation.generation"]);
    }
}
