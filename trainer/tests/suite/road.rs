//! The whole road once in small, as a user goes it: collected, trained, packed, evaluated, run, inspected; the same bytes from any number of
//! threads.

use crate::common::{TINY, changes, command, json, refused_naming, road, set, snapshot, succeed_silently as succeed, text};
use dreamstep::data::rollouts::file_name;
use dreamstep::run::checkpoint::Checkpoint;
use dreamstep::run::config::Config;
use dreamstep_fixtures::HUMANOID;
use dreamstep_runtime::Backend;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

#[test]
fn the_whole_road() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, run) = (folder.path(), folder.path().join("r"));
    let stdout = succeed(folder, &format!("collect --run r{} --set threads=2", set(&TINY)));
    assert!(stdout.starts_with("collect: ") && stdout.contains("steps") && stdout.lines().count() == 1, "{stdout}");
    let stdout = succeed(folder, "train --run r --stage all");
    let stages: Vec<_> = stdout.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(stages, ["vae", "mdnrnn", "controller"], "one line a stage: {stdout}");
    let stdout = succeed(folder, "pack --run r");
    assert!(stdout.contains("self-test passed") && stdout.contains("r/agent.safetensors"), "{stdout}");

    // Beside the results stands every value in force, whoever set it.
    let written = fs::read_to_string(run.join("config.toml")).unwrap();
    let settings: Vec<String> = TINY.iter().copied().chain(["threads=2"]).map(String::from).collect();
    let in_force = Config::default().overlay("test", "", &settings).unwrap();
    assert_eq!(written, in_force.to_toml());
    for line in fs::read_to_string(run.join("metrics.jsonl")).unwrap().lines() {
        let stage = serde_json::from_str::<Value>(line).unwrap()["stage"].clone();
        assert!(["collect", "vae", "mdnrnn", "controller"].map(Value::from).contains(&stage), "{line}");
    }
    let mut names: Vec<_> = fs::read_dir(&run).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected = "agent.safetensors config.toml controller.safetensors evolution.safetensors latents.json latents.npy \
                    mdnrnn.last.safetensors mdnrnn.safetensors metrics.jsonl rollouts tensorboard vae.last.safetensors vae.safetensors";
    assert_eq!(names.join(" "), expected);

    let report = json(folder, "evaluate --agent r/agent.safetensors --baselines --episodes 3 --seed 40 --json");
    assert_eq!((&report["env"], &report["seed"], &report["episodes"]), (&"Humanoid-v5".into(), &40.into(), &3.into()));
    assert_eq!(report["backend"], Backend::detect().name());
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["policy"].as_str().unwrap()).collect::<Vec<_>>(), ["random", "zero", "agent"]);
    for row in rows {
        let outcomes = row["outcomes"].as_array().unwrap();
        let returns: Vec<f64> = outcomes.iter().map(|outcome| outcome["return"].as_f64().unwrap()).collect();
        let mean = returns.iter().sum::<f64>() / 3.0;
        assert!(outcomes.len() == 3 && (mean - row["return"]["mean"].as_f64().unwrap()).abs() < 1e-9, "{row}");
        assert!(row["return"]["standard_error"].as_f64().unwrap() > 0.0, "{row}");
        assert!(
            outcomes.iter().all(|o| o["length"].as_u64() > Some(5) && o["distance_m"].is_f64() && o["terminated"] == true)
        );
        assert!(row["length"]["mean"].is_f64() && row["distance_m"]["mean"].is_f64(), "{row}");
    }

    let report = json(folder, "run --agent r/agent.safetensors --realtime --seed 40 --json");
    let played = &report["outcomes"][0];
    assert_eq!(played, &rows[2]["outcomes"][0], "run and evaluate play the same episode");
    assert_eq!((&report["ticks"], &report["realtime"]), (&played["length"], &Value::from(true)));
    for call in ["act", "advance"] {
        let [p50, p99, max] = ["p50_us", "p99_us", "max_us"].map(|name| report[call][name].as_f64().unwrap());
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{report}");
    }
    assert!(report["missed_by_agent"].is_u64() && report["missed_by_loop"].is_u64(), "{report}");
    let pace = report["wall_over_simulated"].as_f64().unwrap();
    assert!(pace >= 0.99, "66.7 ticks a second by the clock, found {pace} of the time");
    let free = json(folder, "run --agent r/agent.safetensors --seed 40 --episodes 2 --backend portable --json");
    assert_eq!((&free["outcomes"][0], &free["backend"]), (played, &"portable".into()));
    assert!(free["missed_by_loop"].is_null() && free["outcomes"].as_array().unwrap().len() == 2, "{free}");

    let report = json(folder, "inspect r/agent.safetensors --json");
    assert_eq!((&report["kind"], &report["file"]), (&"packed agent".into(), &"r/agent.safetensors".into()));
    for backend in Backend::ALL {
        let expected = if backend.is_available() { "passed" } else { "not on this processor" };
        assert_eq!(report["self_test"][backend.name()], expected);
    }
    assert_eq!(report["bytes"].as_u64(), Some(fs::metadata(run.join("agent.safetensors")).unwrap().len()));
    assert!(report["memory_bytes"].as_u64() > Some(0) && report["metadata"]["env"] == "Humanoid-v5", "{report}");
    assert_eq!(report["metadata"]["provenance.seed"], "0");
    let tensors = report["tensors"].as_array().unwrap();
    assert!(tensors.iter().any(|t| t["name"] == "rnn.panels" && t["dtype"] == "F32" && t["shape"][1] == 65), "{report}");
    for (name, tensor) in [("vae", "encoder.0.weight"), ("mdnrnn", "rnn.weight_ih_l0"), ("controller", "fc.weight")] {
        let report = json(folder, &format!("inspect r/{name}.safetensors --json"));
        assert_eq!(report["kind"], "checkpoint", "{name}");
        assert!(report["tensors"].as_array().unwrap().iter().any(|t| t["name"] == tensor), "{report}");
    }
    // The same for people.
    for (args, parts) in [
        ("evaluate --agent r/agent.safetensors --episodes 2", ["agent", "±"]),
        ("run --agent r/agent.safetensors", ["p99", "missed"]),
        ("inspect r/agent.safetensors", ["rnn.panels", "passed"]),
        ("inspect r/vae.safetensors", ["checkpoint", "encoder.0.weight"]),
        ("--help", ["collect", "evaluate"]),
    ] {
        let stdout = succeed(folder, args);
        assert!(parts.iter().all(|part| stdout.contains(part)), "dreamstep {args}: {stdout}");
    }

    // What is there stays, unless it is asked for again; and then it is the same.
    let before = snapshot(folder);
    let stdout = succeed(folder, "train --run r");
    assert!(stdout.lines().count() == 3 && stdout.lines().all(|line| line.contains("kept")), "{stdout}");
    assert_eq!(changes(&before, &snapshot(folder)), Vec::<PathBuf>::new());
    succeed(folder, "train --run r --force");
    let mut changed = changes(&before, &snapshot(folder));
    changed.retain(|path| !path.starts_with(run.join("tensorboard")));
    changed.sort();
    changed.dedup();
    assert_eq!(changed, [run.join("metrics.jsonl")], "trained again, only the log and its events have grown");
}

/// `dreamstep inspect … | head` must not end in a backtrace.
#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.safetensors"), HUMANOID).unwrap();
    let mut child =
        command(folder.path(), "inspect a.safetensors").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}: {}", output.status, text(&output.stderr));
}

#[test]
fn threads_change_no_byte_of_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for threads in ["1", "2"] {
        road(folder, threads, &set(&[TINY.as_slice(), &[&format!("threads={threads}"), "seed=5"]].concat()));
    }
    let read = |run: &str, name: &str| fs::read(folder.join(run).join(name)).unwrap();
    let episode = format!("rollouts/{}", file_name(0));
    for name in [episode.as_str(), "agent.safetensors", "controller.safetensors"] {
        assert!(read("1", name) == read("2", name), "{name} depends on the number of threads");
    }
    // Of the others the configuration that they record does.
    for name in ["vae.safetensors", "mdnrnn.safetensors"] {
        let tensors = |run: &str| Checkpoint::read(&folder.join(run).join(name)).unwrap().tensors;
        assert!(tensors("1") == tensors("2"), "{name} depends on the number of threads");
    }
    // And the seed is what it does depend on.
    succeed(folder, &format!("collect --run other{} --set seed=6", set(&TINY)));
    assert!(read("1", &episode) != read("other", &episode));
}

/// The shipped agent in each narrower precision: what `pack` says of it, on the protocol's 20 recorded episodes, and that the file
/// runs.
#[test]
fn a_narrower_precision_is_compared_with_f32() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("good.safetensors"), HUMANOID).unwrap();
    for (precision, bytes) in [("f16", 0.51), ("bf16", 0.51), ("i8", 0.29)] {
        let report = json(folder, &format!("pack --agent good.safetensors --precision {precision} --episodes 20 --json"));
        let file = format!("good.{precision}.safetensors");
        let number = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("{key}: {report}"));
        assert_eq!((&report["precision"], &report["recorded_episodes"]), (&precision.into(), &20.into()), "{report}");
        assert_eq!(number("bytes") as u64, fs::metadata(folder.join(&file)).unwrap().len(), "{report}");
        assert!(number("bytes") / number("bytes_f32") < bytes, "{report}");
        let error = &report["action_error"];
        let quantile = |key: &str| error[key].as_f64().unwrap();
        assert!(quantile("p99") > 0.0 && quantile("p99") <= 0.02 && quantile("max") <= 1.0, "{report}");
        assert!(quantile("p50") <= quantile("p99") && quantile("p99") <= quantile("max"), "{report}");
        assert!(number("return_z").abs() <= 2.0, "{report}");
        let inspected = json(folder, &format!("inspect {file} --json"));
        assert_eq!((&inspected["self_test_passed"], &inspected["metadata"]["precision"]), (&true.into(), &precision.into()));
        refused_naming(folder, &format!("pack --agent {file} --precision bf16"), &[&file, "expected f32", precision]);
    }
    // Again in f32: not a byte differs.
    assert!(succeed(folder, "pack --agent good.safetensors --out again.safetensors").contains("self-test passed"));
    assert!(fs::read(folder.join("again.safetensors")).unwrap() == HUMANOID);
    refused_naming(folder, "pack --agent none.safetensors --precision i8", &["none.safetensors"]);
}
