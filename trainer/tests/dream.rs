//! Is evolution in dreams a stage like any other, as a user runs it? The same bytes from a run that was killed, asked to stop, or shared
//! out otherwise; what it costs in the log, dreamt and real steps apart; and one line for what cannot be.

use dreamstep::run::checkpoint::Checkpoint;
use serde_json::Value;
use std::fs;
use std::io::Write;
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
    assert!(said.contains("24 generations in dreams") && said.contains(", return "), "{said}");
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
    let validations: Vec<&Value> = lines.iter().filter(|line| line["scored_on"] == "dreams").collect();
    assert_eq!(validations.len(), 24);
    let last = validations[23];
    let count = |key: &str| last[key].as_u64().unwrap();
    assert!(count("dream_steps") > 24 * 12 * 12 && count("steps") >= 24 * 8, "{last}");
    assert_eq!(validations.iter().map(|line| line["items"].as_u64().unwrap()).sum::<u64>(), count("dream_steps"));
    let cost = lines.iter().rfind(|line| line["stage"] == "controller" && line["cost"].is_object()).unwrap();
    assert_eq!(cost["cost"]["steps"], last["dream_steps"]);
    assert!(cost["cost"]["cpu_seconds"].as_f64().unwrap() > 0.0);
    succeed(&format!("pack --run {} --episodes 0", whole.display()));
}

/// A GPU dreams what the processor dreams, but for rounding, and again the same; where there is none, that is one line.
#[test]
fn a_gpu_dreams_what_the_processor_dreams() {
    let folder = tempfile::tempdir().unwrap();
    let run = prepared(folder.path());
    let settings = "--set dream.engine=torch --set dream.check_episodes=0 --set dream.generations=1 --force";
    let on = |device: &str| {
        let output = dreamstep(&format!("{} {settings} --device {device}", train(&run))).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        if !output.status.success() {
            assert!(device == "cuda" && told.starts_with("error: --device cuda:0: expected a"), "{told}");
            assert_eq!(told.trim_end().lines().count(), 1, "{told}");
            return None;
        }
        let state = Checkpoint::read_state(&run.join("evolution.safetensors")).unwrap();
        Some((state.meta::<f64>("validation.dream_score").unwrap(), fs::read(run.join("controller.safetensors")).unwrap()))
    };
    let processor = on("cpu").unwrap();
    assert!(processor.0 > 0.0 && on("cpu").unwrap() == processor);
    let Some(gpu) = on("cuda") else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: dreams on a GPU: libtorch has none here");
        return;
    };
    assert!((gpu.0 - processor.0).abs() < 0.05 * processor.0, "{} and {}", gpu.0, processor.0);
    assert!(on("cuda").unwrap() == gpu);
}

/// 52 controllers in dreams and awake: the files agree with each other, threads change no byte, and C's arena makes no difference.
#[test]
fn how_well_dreams_rank_is_measured_for_any_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = prepared(folder.path());
    let correlate = |more: &str| {
        let quick =
            "--temperatures 0.1,0.5 --episodes 2 --set dream.check_dreams=20 --set dream.bound=0 --set dream.ensemble=1";
        format!("correlate --run {} {quick}{more}", run.display())
    };
    let without = dreamstep(&correlate("")).output().unwrap();
    assert!(!without.status.success() && String::from_utf8_lossy(&without.stderr).contains("train --stage controller"));

    succeed(&format!("{} --set controller.arena=real --set controller.steps=200", train(&run)));
    let json = succeed(&correlate(" --json --set threads=1"));
    let figure = run.join("figures/correlation.svg");
    let written =
        || [run.join("correlation.json"), run.join("correlation.md"), figure.clone()].map(|file| fs::read(file).unwrap());
    let first = written();
    assert_eq!(json.as_bytes(), first[0]);
    let text = succeed(&correlate(" --set threads=3"));
    assert!(written() == first, "threads change nothing");
    assert!(String::from_utf8_lossy(&first[1]).starts_with(&text) && text.contains("| 0.5 "), "{text}");

    let report: Value = serde_json::from_str(&json).unwrap();
    let controllers = report["controllers"].as_array().unwrap();
    assert_eq!(controllers.len(), 52);
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (at, row) in rows.iter().enumerate() {
        let numbers: Vec<[f64; 2]> = controllers
            .iter()
            .map(|c| [c["dream_scores"][at].as_f64().unwrap(), c["real_return"].as_f64().unwrap()])
            .collect();
        let rho = row["spearman"].as_f64().unwrap();
        assert!((rho - by_hand(&numbers)).abs() < 1e-9, "{rho} {}", by_hand(&numbers));
        let interval: Vec<f64> = row["interval"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert!(-1.0 <= interval[0] && interval[0] < rho && rho < interval[1] && interval[1] <= 1.0, "{row}");
    }
    assert_ne!(rows[0]["dream_score"], rows[1]["dream_score"], "the temperature is the dreams'");
    let returns = controllers.iter().flat_map(|c| c["returns"].as_array().unwrap()).map(|v| v.as_f64().unwrap());
    assert_eq!(returns.sum::<f64>(), report["real_steps"].as_f64().unwrap(), "a step of CartPole earns 1");
    assert_eq!(fs::read_to_string(figure).unwrap().matches("<circle").count(), 2 * 52 + 4, "a point each, and the legend's");
}

/// Spearman's ρ: of each value the share of others below it, and half of its equals.
fn by_hand(pairs: &[[f64; 2]]) -> f64 {
    let place = |side: usize, own: f64| -> f64 {
        let sign = |other: f64| {
            if other < own {
                1.0
            } else if other > own {
                -1.0
            } else {
                0.0
            }
        };
        pairs.iter().map(|pair| sign(pair[side])).sum()
    };
    let places: Vec<[f64; 2]> = pairs.iter().map(|pair| [place(0, pair[0]), place(1, pair[1])]).collect();
    let product = |i: usize, j: usize| places.iter().map(|p| p[i] * p[j]).sum::<f64>();
    product(0, 1) / (product(0, 0) * product(1, 1)).sqrt()
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
        ("dream.engine=moon", "engine"),
    ] {
        let Output { status, stderr, .. } = dreamstep(&format!("{} --set {set}", train(&run))).output().unwrap();
        let told = String::from_utf8(stderr).unwrap();
        assert!(!status.success() && told.contains(part) && told.trim_end().lines().count() == 1, "{set}: {told}");
    }
    assert!(!run.join("evolution.safetensors").exists());
}
