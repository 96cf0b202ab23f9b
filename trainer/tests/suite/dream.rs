//! Evolution in dreams is a stage like any other, as a user runs it. The same bytes from a run that was killed, asked to stop, or shared
//! out otherwise; what it costs in the log, dreamt and real steps apart; and one line for what cannot be.

use crate::common::{check_refusal, command, copy, refused, set, succeed, text};
use dreamstep::control::State;
use dreamstep::run::checkpoint::Checkpoint;
use dreamstep_fixtures::skip;
use serde_json::Value;
use std::fs;
use std::os::unix::process::ExitStatusExt;

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

/// A folder with a run `whole` that has V and M.
fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    succeed(folder.path(), &format!("collect --run whole --preset cartpole{}", set(&SETTINGS)));
    for stage in ["vae", "mdnrnn"] {
        succeed(folder.path(), &format!("train --run whole --stage {stage}"));
    }
    folder
}

const TRAIN: &str = "train --stage controller --run";

#[test]
fn a_run_that_was_killed_or_stopped_ends_in_the_same_bytes() {
    let folder = prepared();
    let at = folder.path();
    ["killed", "stopped"].iter().for_each(|run| copy(&at.join("whole"), &at.join(run)));
    let said = succeed(at, &format!("{TRAIN} whole"));
    assert!(said.contains("24 generations in dreams") && said.contains(", return "), "{said}");
    for fault in ["poll:1", "log:1", "write.half:2", "log.done:3", "write.rename:4", "write.done:9"] {
        let output = command(at, &format!("{TRAIN} killed")).env("DREAMSTEP_FAULT", fault).output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "{fault}: {}", text(&output.stderr));
    }
    drop(Checkpoint::read_state(&at.join("killed/evolution.safetensors")).unwrap());
    succeed(at, &format!("{TRAIN} killed --set threads=1"));
    for poll in [1, 2, 9] {
        let mut command = command(at, &format!("{TRAIN} stopped"));
        let output = command.env("DREAMSTEP_FAULT", format!("poll:{poll}:interrupt")).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{error}");
        assert!(error.contains("to go on: dreamstep train --stage controller --run"), "{error}");
    }
    succeed(at, &format!("{TRAIN} stopped"));
    for name in ["controller.safetensors", "evolution.safetensors", "ensemble/1/mdnrnn.safetensors"] {
        let read = |run: &str| fs::read(at.join(run).join(name)).unwrap();
        assert!(read("killed") == read("whole"), "killed: {name}");
        assert!(read("stopped") == read("whole"), "stopped: {name}");
    }
    assert!(succeed(at, &format!("{TRAIN} stopped")).contains("kept"), "what is finished is kept");

    // The log: dreamt steps and real ones apart, and what the stage took.
    let log = fs::read_to_string(at.join("whole/metrics.jsonl")).unwrap();
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
    succeed(at, "pack --run whole --episodes 0");
}

/// A GPU dreams what the processor dreams, but for rounding, and again the same; where there is none, that is one line.
#[test]
fn a_gpu_dreams_what_the_processor_dreams() {
    let folder = prepared();
    let at = folder.path();
    let settings = "--set dream.engine=torch --set dream.check_episodes=0 --set dream.generations=1 --force";
    let on = |device: &str| {
        let args = format!("{TRAIN} whole {settings} --device {device}");
        let output = command(at, &args).output().unwrap();
        if !output.status.success() {
            assert_eq!(device, "cuda", "{}", text(&output.stderr));
            check_refusal(&output, &args, &["--device cuda:0: expected a"]);
            return None;
        }
        let state = Checkpoint::read_state(&at.join("whole/evolution.safetensors")).unwrap();
        let latest = State::read(&state).unwrap().latest.unwrap();
        Some((latest.dream.unwrap(), fs::read(at.join("whole/controller.safetensors")).unwrap()))
    };
    let processor = on("cpu").unwrap();
    assert!(processor.0 > 0.0 && on("cpu").unwrap() == processor);
    let Some(gpu) = on("cuda") else {
        return skip::not_on_this_machine("libtorch has no GPU here");
    };
    assert!((gpu.0 - processor.0).abs() < 0.05 * processor.0, "{} and {}", gpu.0, processor.0);
    assert!(on("cuda").unwrap() == gpu);
}

/// 52 controllers in dreams and on the real environment: the files agree with each other, threads change no byte, and C's arena makes no difference.
#[test]
fn how_well_dreams_rank_is_measured_for_any_run() {
    let folder = prepared();
    let (at, run) = (folder.path(), folder.path().join("whole"));
    let correlate = |more: &str| {
        let quick =
            "--temperatures 0.1,0.5 --episodes 2 --set dream.check_dreams=20 --set dream.bound=0 --set dream.ensemble=1";
        format!("correlate --run whole {quick}{more}")
    };
    refused(at, &correlate(""), "train --stage controller");

    succeed(at, &format!("{TRAIN} whole --set controller.arena=real --set controller.steps=200"));
    let json = succeed(at, &correlate(" --json --set threads=1"));
    let figure = run.join("figures/correlation.svg");
    let written =
        || [run.join("correlation.json"), run.join("correlation.md"), figure.clone()].map(|file| fs::read(file).unwrap());
    let first = written();
    assert_eq!(json.as_bytes(), first[0]);
    let text = succeed(at, &correlate(" --set threads=3"));
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
    let folder = prepared();
    let at = folder.path();
    for (set, part) in [
        ("controller.input=obs", "controller.input"),
        ("dream.bound=-1", "dream.bound"),
        ("dream.recorded_starts=1.5", "dream.recorded_starts"),
        ("dream.rerank=0", "dream.rerank"),
        ("controller.arena=moon", "arena"),
        ("dream.engine=moon", "engine"),
    ] {
        refused(at, &format!("{TRAIN} whole --set {set}"), part);
    }
    assert!(!at.join("whole/evolution.safetensors").exists());
}
