//! CMA-ES converges as fast as pycma does. Evaluations until a function of known difficulty is below 1e-8, the median over seeds,
//! against pycma's of the same start.
//!
//! pycma's numbers are goldens: `pycma_evaluations.json`, which `pycma_evaluations.py` beside it makes anew. The quick half takes
//! under half a minute; the whole comparison runs pycma too, for an hour or two:
//! `cargo test --release -p dreamstep --test suite evolution -- --ignored --nocapture`.
//!
//! And does the controller's stage run on every strategy, heed the noise of scores, and go on where it was? Whole processes, on CartPole.

use crate::common::{command, dreamstep, python};
use dreamstep::control::Whitening;
use dreamstep::control::strategies::{Settings, Strategy, cma};
use dreamstep::run::checkpoint::Checkpoint;
use dreamstep_core::names::checkpoint as names;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

/// No slower than this many times pycma's median.
const MOST: f64 = 1.15;

#[derive(Deserialize)]
struct Pycma {
    pycma: String,
    start: f32,
    sigma: f64,
    target: f64,
    /// Case → evaluations of each seed; none where it stopped before.
    evaluations: BTreeMap<String, Vec<Option<u64>>>,
}

fn goldens() -> Pycma {
    serde_json::from_str(include_str!("../pycma_evaluations.json")).expect("pycma_evaluations.json")
}

/// What is to be made small.
type Function = Box<dyn Fn(&[f32]) -> f64>;

/// The test functions as pycma has them.
fn function(name: &str, n: usize) -> Function {
    let square = |v: f32| f64::from(v) * f64::from(v);
    match name {
        "sphere" => Box::new(move |x| x.iter().map(|&v| square(v)).sum()),
        "ellipsoid" => {
            let scales: Vec<f64> = (0..n).map(|i| 1e6_f64.powf(i as f64 / (n as f64 - 1.0))).collect();
            Box::new(move |x| x.iter().zip(&scales).map(|(&v, scale)| scale * square(v)).sum())
        }
        "rosenbrock" => Box::new(|x| {
            let term = |a: f64, b: f64| 100.0 * (a * a - b).powi(2) + (1.0 - a).powi(2);
            x.windows(2).map(|pair| term(f64::from(pair[0]), f64::from(pair[1]))).sum()
        }),
        _ => panic!("no function {name}"),
    }
}

/// Evaluations of `case` until the target; none where the search stopped before.
fn evaluations(case: &str, seed: u64, like: &Pycma) -> Option<u64> {
    let words: Vec<&str> = case.split(' ').collect();
    let n: usize = words[2].parse().expect("a number of parameters");
    let settings = cma::Settings { seed, population: 0, sigma: like.sigma, restarts: 0 };
    let settings = if words[0] == "cma-es" { Settings::CmaEs(settings) } else { Settings::SepCmaEs(settings) };
    let mut search = Strategy::new(settings, vec![like.start; n]);
    let function = function(words[1], n);
    let (mut spent, mut x) = (0, Vec::new());
    while search.stopped().is_none() {
        let generation = search.ask();
        let values: Vec<f64> = (0..search.candidates())
            .map(|i| {
                search.candidate(&generation, i, &mut x);
                function(&x)
            })
            .collect();
        spent += values.len() as u64;
        if values.iter().any(|&value| value <= like.target) {
            return Some(spent);
        }
        search.tell(&generation, &values.iter().map(|value| -value).collect::<Vec<_>>());
    }
    None
}

/// What did not get there took longer than all that did.
fn median(runs: &[Option<u64>]) -> f64 {
    let mut sorted: Vec<f64> = runs.iter().map(|run| run.map_or(f64::INFINITY, |n| n as f64)).collect();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 2] + sorted[(sorted.len() - 1) / 2]) / 2.0
}

/// Holds the median of `seeds` runs of `case` against pycma's.
fn compare(case: &str, seeds: u64, pycma: &Pycma) {
    let theirs = median(&pycma.evaluations[case]);
    let runs: Vec<_> = (1..=seeds).map(|seed| evaluations(case, seed, pycma)).collect();
    let ratio = median(&runs) / theirs;
    println!("{case}: {} of {seeds} seeds; pycma {}: {theirs}; ratio {ratio:.3}", median(&runs), pycma.pycma);
    assert!(ratio <= MOST, "{case}: {runs:?}, pycma's median {theirs}: {ratio:.3} times as many evaluations");
}

#[test]
fn it_needs_no_more_evaluations_than_pycma() {
    let pycma = goldens();
    for (case, seeds) in [
        ("cma-es sphere 10", 11),
        ("cma-es ellipsoid 10", 11),
        ("cma-es rosenbrock 10", 11),
        ("cma-es sphere 40", 11),
        ("cma-es ellipsoid 40", 11),
        ("cma-es rosenbrock 40", 11),
        ("sep-cma-es ellipsoid 100", 11),
        ("sep-cma-es ellipsoid 1000", 1),
    ] {
        compare(case, seeds, &pycma);
    }
}

#[test]
#[ignore = "an hour or two, nearly all of it pycma's"]
fn the_whole_comparison_with_pycma() {
    let script = python::script("pycma_evaluations.py").display().to_string();
    let pycma: Pycma = serde_json::from_slice(&python::run(&[&script])).expect("what the script prints");
    for (case, golden) in &goldens().evaluations {
        // Its seeds begin at 1, whether few or many.
        let (mut golden, mut found) = (golden.clone(), pycma.evaluations[case][..golden.len()].to_vec());
        golden.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, golden, "{case}: the goldens are of another pycma");
        compare(case, 11, &pycma);
    }
}

/// A folder with a run `r` on `env` that has V and M.
fn prepared(env: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let settings = "--set collect.steps=500 --set vae.latent=4 --set vae.hidden=[16,16] --set vae.epochs=2 \
                    --set mdnrnn.epochs=2 --set mdnrnn.hidden=4";
    dreamstep(folder.path(), &format!("collect --run r --set env={env} {settings}")).unwrap();
    for stage in ["vae", "mdnrnn"] {
        dreamstep(folder.path(), &format!("train --run r --stage {stage}")).unwrap();
    }
    folder
}

#[test]
fn the_controllers_stage_runs_on_every_strategy() {
    let folder = prepared("CartPole-v1");
    let at = folder.path();
    for (strategy, tensor) in [
        ("pgpe", "velocity"),
        ("cma-es", "covariance"),
        ("sep-cma-es", "deviations"),
        ("ars", "mean"),
        ("openai-es", "adam.second"),
    ] {
        let train = |steps: u64, force: &str| {
            let set =
                format!("--set controller.strategy={strategy} --set controller.steps={steps} --set controller.directions=4");
            dreamstep(
                at,
                &format!(
                    "train --run r --stage controller {set} --set controller.sigma=0.3 --set controller.restarts=10 {force}"
                ),
            )
        };
        let state = || Checkpoint::read_state(&at.join("r/evolution.safetensors")).unwrap();
        train(1500, "--force").unwrap_or_else(|error| panic!("{strategy}: {error}"));
        let first = state();
        assert!(
            first.tensors.contains_key(tensor) || first.doubles.contains_key(tensor),
            "{strategy}: {:?}",
            first.metadata
        );
        train(3000, "").unwrap_or_else(|error| panic!("{strategy}: {error}"));
        let generation = |state: &Checkpoint| state.meta::<u64>("validation.generation").unwrap();
        assert!(generation(&state()) > generation(&first), "{strategy}: it goes on");
        let best = |state: &Checkpoint| state.meta::<f64>("validation.return").unwrap();
        assert!(best(&state()) >= best(&first) && best(&first) >= 8.0, "{strategy}: {}", best(&first));
    }
    // Where no candidate is better than another, the search ends before its budget, and is finished.
    let set = "--set controller.strategy=cma-es --set controller.restarts=1 --set controller.max_episode_steps=1";
    dreamstep(at, &format!("train --run r --stage controller --set controller.steps=100000000 {set} --force")).unwrap();
    let result = Checkpoint::read(&at.join("r/controller.safetensors")).unwrap();
    assert_eq!(result.metadata["validation.stopped"], "tolflatfitness");
    assert_eq!(result.meta::<u64>("validation.generation").unwrap(), 4, "two flat generations, a restart, and two more");
    let again = dreamstep(at, "train --run r --stage controller").unwrap();
    assert!(again.contains("kept"), "{again}");
}

/// Whoever earns nothing is cut, and whoever acts by a narrower V and M comes to something else. What a validation finds is that one's, and is found again.
#[test]
fn who_earns_nothing_is_cut_and_precision_decides_who_acts() {
    let folder = prepared("HalfCheetah-v5 --set env.time_limit=100");
    let at = folder.path();
    let evolve = |set: &str| {
        let lines = log(at).len();
        let few = "--set controller.directions=3 --set controller.steps=1 --set controller.validation_episodes=2";
        dreamstep(at, &format!("train --run r --stage controller --force {few} {set}")).unwrap();
        let line = log(at)[lines..].last().unwrap().clone();
        let best = Checkpoint::read(&at.join("r/controller.safetensors")).unwrap().meta::<f64>("validation.return").unwrap();
        (line["candidates_length"].as_f64().unwrap(), line["candidates_return"].as_f64().unwrap(), best)
    };
    // No one falls: of who is not cut an episode has 100 steps.
    let whole = evolve("--set controller.max_episode_steps=0");
    let cut = evolve("--set controller.patience=5");
    assert!(whole.0 == 100.0 && cut.0 < 50.0 && cut.0 >= 5.0, "{whole:?} {cut:?}");
    let narrow = ["f16", "bf16", "i8"]
        .map(|precision| evolve(&format!("--set controller.patience=0 --set controller.precision={precision}")));
    assert_eq!(narrow[2], evolve("--set controller.precision=i8"));
    let distinct: std::collections::BTreeSet<u64> = narrow.iter().chain([&whole]).map(|found| found.1.to_bits()).collect();
    assert_eq!(distinct.len(), 4, "{whole:?} {narrow:?}");
}

/// Where evolution's own steps are too small to matter, what a teacher handed over is the same controller still when the scale has followed
/// the episodes; where it is asked so, it is the same numbers, which are another controller.
#[test]
fn a_controller_stays_what_it_is_when_the_scale_moves() {
    let folder = prepared("CartPole-v1");
    let at = folder.path();
    let evolve = "train --run r --stage controller --set controller.directions=4";
    dreamstep(at, &format!("{evolve} --set controller.steps=2000 --set controller.sigma=0.3")).unwrap();
    dreamstep(at, "pack --run r").unwrap();
    std::fs::copy(at.join("r/agent.safetensors"), at.join("teacher.safetensors")).unwrap();
    let weights = |checkpoint: &Checkpoint| checkpoint.tensors[names::FC_WEIGHT].data.clone();
    let taught = weights(&Checkpoint::read(&at.join("r/controller.safetensors")).unwrap());
    let largest = |values: &mut dyn Iterator<Item = f32>| values.map(f32::abs).fold(0.0, f32::max);
    // How far the mean has come from there, as a part of its largest weight.
    let moved = |set: &str| {
        let still = "--set controller.steps=4000 --set controller.sigma=1e-7 --set controller.max_speed=1e-7";
        dreamstep(at, &format!("{evolve} {still} {set} --teacher teacher.safetensors --force")).unwrap();
        let state = Checkpoint::read_state(&at.join("r/evolution.safetensors")).unwrap();
        let single = |name: &str| match state.doubles.get(name) {
            Some(values) => values.data.iter().map(|&value| value as f32).collect(),
            None => state.tensors[name].data.clone(),
        };
        let whitening =
            Whitening { units: 1, count: 1, mean: single("whitening.mean"), variance: single("whitening.variance") };
        let weight = whitening.fold(&single("mean"));
        largest(&mut weight.iter().zip(&taught).map(|(now, then)| now - then)) / largest(&mut taught.iter().copied())
    };
    for strategy in ["pgpe", "sep-cma-es", "ars"] {
        // A run remembers what it was told: each says both.
        let [carried, left, still] = [(true, true), (true, false), (false, true)].map(|(online, carry)| {
            moved(&format!(
                "--set controller.strategy={strategy} --set controller.online_whitening={online} \
                 --set controller.carry_controller={carry}"
            ))
        });
        assert!(carried < 1e-3 && still < 1e-3 && left > 0.01, "{strategy}: {carried}, {still}; left behind: {left}");
    }
}

/// Evolution's lines of the log, the newest run's last.
fn log(at: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(at.join("r/metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["stage"] == "controller" && line["generation"].is_u64()).collect()
}

/// Where where an episode begins decides more than who plays it, candidates get more episodes; where candidates differ more than that, or
/// all earn the same, they get fewer. Second scores are steps.
#[test]
fn noise_decides_how_many_episodes_a_candidate_plays() {
    let noise =
        "--set controller.noise_handling=true --set controller.max_episodes=9 --set dream.dreams=2 --set dream.max_dreams=9";
    let train = |at: &Path, set: &str| {
        dreamstep(at, &format!("train --run r --stage controller {noise} --set controller.directions=4 {set}"))
    };
    let folder = prepared("InvertedPendulum-v5");
    let at = folder.path();
    let most = |sigma: f64| {
        let lines = log(at).len();
        let sigma = format!("--set controller.sigma={sigma} --set controller.max_speed=0.0001");
        train(at, &format!("{sigma} --set controller.steps=6000 --force")).unwrap();
        log(at)[lines..].iter().map(|line| line["episodes"].as_u64().unwrap()).max().unwrap()
    };
    let (alike, different) = (most(1e-4), most(0.3));
    assert!(alike >= 4 && different <= 2, "of 1 to 9: {alike} and {different}");

    let folder = prepared("CartPole-v1");
    let at = folder.path();
    let train = |set: &str| train(at, set);
    // Nobody falls within five steps: 8 candidates and 2 of them again, as often as they play.
    let cut = "--set controller.max_episode_steps=5";
    train(&format!("{cut} --set controller.steps=1000 --force")).unwrap();
    let state = at.join("r/evolution.safetensors");
    let mut saved = Checkpoint::read_state(&state).unwrap();
    saved.set_meta("noise.episodes", 9);
    saved.write(&state).unwrap();
    let before = log(at).len();
    train(&format!("{cut} --set controller.steps=20000")).unwrap();
    let lines = log(at).split_off(before);
    let episodes: Vec<u64> = lines.iter().map(|line| line["episodes"].as_u64().unwrap()).collect();
    assert!(episodes.is_sorted_by(|a, b| a >= b) && episodes[0] < 9 && episodes[episodes.len() - 1] == 1, "{episodes:?}");
    let last = &lines[lines.len() - 2];
    let validation = 16.0 * last["validation_return"].as_f64().unwrap(); // CartPole pays 1 a step
    assert_eq!(last["items"].as_f64().unwrap(), 10.0 * 5.0 * f64::from(8 + 2) + validation, "{last}");

    // In dreams a candidate has more or fewer dreams.
    train("--set controller.arena=dream --set dream.generations=30 --set dream.horizon=20 --force").unwrap();
    let dreams = log(at).into_iter().filter(|line| line["scored_on"] == "dreams");
    let dreams: Vec<u64> = dreams.map(|line| line["episodes"].as_u64().unwrap()).collect();
    assert!(dreams.iter().all(|dreams| (2..=9).contains(dreams)) && dreams.iter().any(|&dreams| dreams > 2), "{dreams:?}");
    let error = train("--set controller.arena=dream --set dream.dreams=10").unwrap_err();
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    assert!(error.contains("dream.max_dreams = 9: must be at least 10"), "{error}");
    let error = train("--set controller.arena=real --set controller.episodes=10").unwrap_err();
    assert!(error.contains("controller.max_episodes = 9: must be at least 10"), "{error}");
}

#[test]
fn a_killed_evolution_under_noise_ends_in_the_same_bytes() {
    let folder = prepared("CartPole-v1");
    let at = folder.path();
    let arenas =
        ["--set controller.steps=20000", "--set controller.arena=dream --set dream.generations=60 --set dream.dreams=2"];
    for arena in arenas {
        let args = format!(
            "train --run r --stage controller --set controller.noise_handling=true --set controller.sigma=0.3 \
             --set controller.directions=4 --set dream.check_every=5 {arena}"
        );
        let results =
            || ["controller", "evolution"].map(|name| std::fs::read(at.join(format!("r/{name}.safetensors"))).unwrap());
        dreamstep(at, &format!("{args} --force")).unwrap();
        let (whole, state) = (results(), at.join("r/evolution.safetensors"));
        assert!(Checkpoint::read_state(&state).unwrap().metadata.contains_key("noise.episodes"));
        std::fs::remove_file(&state).unwrap();
        std::fs::remove_file(at.join("r/controller.safetensors")).unwrap();
        for fault in ["poll:1", "write.half:2", "log.done:2", "write.done:3"] {
            let output = command(at, &args).env("DREAMSTEP_FAULT", fault).output().unwrap();
            assert_eq!(output.status.signal(), Some(9), "{arena}, {fault}");
        }
        dreamstep(at, &args).unwrap();
        assert!(results() == whole, "{arena}");
    }
}
