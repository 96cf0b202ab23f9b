//! `dreamstep report`, as a user runs it. A tiny run, whole; the same with stages missing; and folders that do not
//! fit together, each refused in a line. And are the figures right? numpy works them out anew.

mod common;

use common::{check_refusal, command, copy, json, python, refused_naming, set, succeed};
use dreamstep::data::split::Split;
use dreamstep::env::{AnyEnv, Env};
use dreamstep::run::config::Config;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const SETTINGS: [&str; 9] = [
    "env=InvertedPendulum-v5",
    "collect.steps=600",
    "vae.epochs=2",
    "vae.latent=2",
    "vae.hidden=[16,16]",
    "mdnrnn.epochs=2",
    "mdnrnn.hidden=16",
    "controller.steps=400",
    "controller.directions=2",
];

/// The files of a report, and their bytes.
fn written(run: &Path) -> Vec<(String, Vec<u8>)> {
    let figures = fs::read_dir(run.join("figures")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = figures.chain([run.join("report.md")]).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect()
}

/// A trained run `r` in a new folder.
fn trained() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    succeed(folder.path(), &format!("collect --run r{}", set(&SETTINGS)));
    succeed(folder.path(), "train --run r");
    succeed(folder.path(), "pack --run r");
    folder
}

#[test]
fn a_whole_run_is_reported_the_same_way_twice_and_parts_of_it_as_far_as_they_go() {
    let trained = trained();
    let (folder, r) = (trained.path(), trained.path().join("r"));

    // ---- everything there
    let printed = succeed(folder, "report --run r --episodes 5 --threads 1");
    let first = written(&r);
    let names: Vec<_> = first.iter().map(|(name, _)| name.as_str()).collect();
    let expected = "blocks.svg coverage.svg evolution.svg latents.svg mdnrnn_loss.svg open_loop.svg reconstruction.svg report.md \
                    rewards.svg vae_loss.svg";
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted.join(" "), expected);
    let markdown = fs::read_to_string(r.join("report.md")).unwrap();
    for name in names.iter().filter(|name| name.ends_with(".svg")) {
        assert!(markdown.contains(&format!("](figures/{name})")), "{name} is not shown");
        let picture = fs::read_to_string(r.join("figures").join(name)).unwrap();
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"), "{name}");
    }
    // What is printed is the report less its pictures.
    let lines: Vec<_> = printed.lines().filter(|line| line.starts_with('|') || line.starts_with('#')).collect();
    assert!(lines.len() > 30 && lines.iter().all(|line| markdown.contains(line)));
    assert!(printed.contains("constant"), "the pendulum's reward is nothing but its healthy bonus: {printed}");

    let report = json(folder, "report --run r --episodes 5 --threads 2 --json");
    assert_eq!(written(&r), first, "the same run gives the same bytes, whatever the threads");
    assert_eq!(report["mdnrnn"]["reward_r2"], Value::Null);
    assert_eq!(report["missing"], Value::Array(Vec::new()));
    let (steps, held_out) = (&report["data"]["held_out_steps"], &report["mdnrnn"]["steps"]);
    assert!(steps == held_out && steps.as_u64().unwrap() > 10);
    for error in ["mdnrnn", "ridge", "persistence", "velocity"] {
        assert!(report["mdnrnn"]["latent"][error].as_f64().unwrap() > 0.0, "{error}");
    }
    // What training keeps of its own is its loss.
    let trained = json(folder, "inspect r/mdnrnn.safetensors --json");
    let kept: Vec<_> =
        trained["metadata"].as_object().unwrap().keys().filter_map(|key| key.strip_prefix("validation.")).collect();
    assert_eq!(kept, ["best_epoch", "loss", "nll_per_dim", "reward", "terminal"]);
    assert_eq!(report["acting"]["returns"]["rows"].as_array().unwrap().len(), 3);
    assert_eq!(report["gates"].as_array().unwrap().len(), 6, "V in qpos, qvel and overall, M in three: {}", report["gates"]);

    // ---- gates
    let missed = report["gates"].as_array().unwrap().iter().filter(|gate| gate["verdict"] == "miss").count();
    assert!(missed > 0, "two epochs do not beat anything: {}", report["gates"]);
    let check = |run: &str, parts: &[&str]| {
        let args = format!("report --run {run} --episodes 0 --check");
        check_refusal(&command(folder, &args).output().unwrap(), &args, parts);
    };
    check("r", &[&format!("{missed} of 6 gates not reached"), "V: "]);

    // ---- a line that a killed process left unfinished
    let metrics = fs::read_to_string(r.join("metrics.jsonl")).unwrap();
    fs::write(r.join("metrics.jsonl"), &metrics[..metrics.len() - 10]).unwrap();
    let printed = succeed(folder, "report --run r --episodes 0");
    assert!(printed.contains(&format!("line {}: cut short", metrics.lines().count())), "{printed}");

    // ---- without M, without V, without episodes
    let other = folder.join("no_m");
    copy(&r, &other);
    fs::remove_file(other.join("mdnrnn.safetensors")).unwrap();
    let printed = succeed(folder, "report --run no_m --episodes 0");
    assert!(printed.contains("Missing: M is not trained; run `dreamstep train --stage mdnrnn`"), "{printed}");
    assert!(printed.contains("## V: ") && !printed.contains("## M: ") && printed.contains("not measured"), "{printed}");
    check("no_m", &["M: every gate"]);
    fs::remove_file(other.join("vae.safetensors")).unwrap();
    fs::remove_dir_all(other.join("rollouts")).unwrap();
    let printed = succeed(folder, "report --run no_m --episodes 2");
    assert!(printed.contains("Missing: V is not trained") && printed.contains("Missing: no recorded episodes"), "{printed}");
    assert!(printed.contains("## C: returns") && printed.contains("## Training"), "{printed}");

    // ---- what does not fit together
    let other = folder.join("other");
    copy(&r, &other);
    let config = fs::read_to_string(other.join("config.toml")).unwrap();
    fs::write(other.join("config.toml"), config.replace("InvertedPendulum-v5", "Hopper-v5")).unwrap();
    refused_naming(folder, "report --run other", &["vae.safetensors", "expected a V of Hopper-v5", "InvertedPendulum-v5"]);
    fs::write(other.join("config.toml"), &config).unwrap();
    let one = dreamstep::data::rollouts::list(&other.join("rollouts")).unwrap().swap_remove(0);
    fs::copy(&one, other.join("rollouts/zzz.npz")).unwrap();
    refused_naming(folder, "report --run other", &["rollouts", "what vae.safetensors was trained on", "; found "]);
    fs::remove_file(other.join("rollouts/zzz.npz")).unwrap();
    let bytes = fs::read(&one).unwrap();
    fs::write(&one, &bytes[..bytes.len() / 2]).unwrap();
    refused_naming(
        folder,
        "report --run other",
        &[&*one.file_name().unwrap().to_string_lossy(), "expected a whole .npz file"],
    );
    fs::write(&one, &bytes).unwrap();
    fs::remove_file(other.join("mdnrnn.safetensors")).unwrap();
    succeed(folder, "train --run other --stage vae --set vae.kl_weight=0.5 --force");
    fs::copy(r.join("mdnrnn.safetensors"), other.join("mdnrnn.safetensors")).unwrap();
    refused_naming(folder, "report --run other", &["mdnrnn.safetensors", "vae.safetensors"]);
    refused_naming(folder, "report --run nowhere", &["nowhere", "expected a run's folder"]);
    assert!(!folder.join("nowhere").exists());
}

/// The numbers in `value`, which is a number or an array of numbers.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap_or(f64::NAN)],
    }
}

/// Every measure of V and M on a short Humanoid run, beside numpy's in float64.
#[test]
fn numpy_finds_the_same() {
    let trained = tempfile::tempdir().unwrap();
    let (folder, r) = (trained.path(), trained.path().join("r"));
    let settings = "--set mdnrnn.sample_latents=false --set mdnrnn.hidden=32 --set vae.epochs=4 --set mdnrnn.epochs=6 --set vae.latent=6";
    succeed(folder, &format!("collect --run r --set collect.steps=1500 {settings}"));
    succeed(folder, "train --run r --stage vae");
    succeed(folder, "train --run r --stage mdnrnn");
    let report = json(folder, "report --run r --json");

    let config = Config::default();
    let spec = AnyEnv::make(&config.env).unwrap().spec().clone();
    let episodes = dreamstep::data::rollouts::list(&r.join("rollouts")).unwrap().len();
    let held_out = Split::new(config.seed, episodes, config.vae.validation).unwrap().validation;
    let input = json!({ "held_out": held_out, "blocks": spec.blocks, "healthy_bonus": spec.healthy_bonus });
    fs::write(folder.join("input.json"), input.to_string()).unwrap();
    let [script, run, input] = [python::script("report_reference.py"), r, folder.join("input.json")];
    let reference: Value =
        serde_json::from_slice(&python::run(&[&script, &run, &input].map(|path| path.to_str().unwrap()))).unwrap();

    let mut compared = 0;
    let mut same = |what: &str, found: &Value, expected: &Value, tolerance: f64| {
        let (found, expected) = (numbers(found), numbers(expected));
        assert_eq!(found.len(), expected.len(), "{what}");
        for (found, expected) in found.into_iter().zip(expected) {
            let near = (found - expected).abs() <= tolerance * expected.abs().max(0.05);
            assert!(near, "{what}: numpy says {expected}, the report {found}");
            compared += 1;
        }
    };
    let (vae, m) = (&report["vae"], &report["mdnrnn"]);
    for key in ["nmse", "pca_nmse", "clipped_rows"] {
        same(key, &vae[key], &reference["vae"][key], 1e-4);
    }
    same("KL", &vae["kl_per_latent"], &reference["vae"]["kl"], 1e-4);
    for (block, expected) in vae["blocks"].as_array().unwrap().iter().zip(reference["vae"]["blocks"].as_array().unwrap()) {
        same(&block["name"].to_string(), &json!([block["vae"], block["pca"]]), expected, 1e-4);
    }
    for part in ["latent", "observation"] {
        for (key, expected) in reference[part].as_object().unwrap() {
            same(&format!("{part} {key}"), &m[part][key], expected, 1e-3);
        }
    }
    let nll = json!([m["nll_per_dim"], m["gaussian_nll_per_dim"], m["joint_gaussian_nll_per_dim"]]);
    same("NLL", &nll, &reference["nll"], 1e-3);
    let shares = |row: &Value| json!([row["mdnrnn"], row["gaussian"]]);
    let coverage: Vec<Value> = m["coverage"].as_array().unwrap().iter().map(shares).collect();
    same("coverage", &Value::Array(coverage), &reference["coverage"], 1e-2);
    same("reward without its bonus", &json!([m["reward_r2"], m["ridge_reward_r2"]]), &reference["rest_r2"], 1e-3);
    same("whole reward", &m["whole_reward_r2"], &reference["whole_r2"], 1e-3);
    same("Brier", &m["terminal"]["brier"], &reference["brier"], 1e-3);
    for (k, expected) in reference["open_loop"].as_object().unwrap() {
        let horizon = &m["open_loop"]["horizons"][k.parse::<usize>().unwrap() - 1];
        let keys = ["loops", "mdnrnn", "ridge", "persistence", "velocity"];
        same(&format!("k = {k}"), &json!(keys.map(|key| &horizon[key])), expected, 1e-3);
    }
    assert!(compared > 100, "{compared} numbers compared");
}
