//! Does a kill leave anything that a later command would believe? Every stage is killed again and again, at seeded random
//! moments and in the middle of writing a file, and then run to its end.
//!
//! Contract: at any moment every file under a result's name is whole; what carries the name of an unfinished file is no
//! result; and the run that was killed ends in the same bytes as the one that was not. `collect` and the controller go on
//! from where they were, V and M start over. Only `metrics.jsonl`, the log, may differ: it has a line for everything that
//! was tried.

use dreamstep::checkpoint::Checkpoint;
use dreamstep::config::Config;
use dreamstep::rollouts::Episode;
use dreamstep::run_dir::PARTIAL;
use dreamstep_core::rng::{Philox, Stream};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SEED: u64 = 20;
/// Kills of each stage: a third at a random moment, a third at the sight of a new file, a third in the middle of a write.
const KILLS: u32 = 6;

const SETTINGS: [&str; 8] = [
    "collect.steps=1500",
    "vae.epochs=3",
    "vae.hidden=[64,32]",
    "mdnrnn.epochs=3",
    "mdnrnn.hidden=16",
    "controller.steps=2500",
    "controller.directions=2",
    "controller.max_episode_steps=20",
];

/// A stage: its command, its results (a folder's name ends in a slash, and the last to be written comes first), and how
/// many files it writes, or enough of them to choose from.
struct Stage {
    args: &'static [&'static str],
    results: &'static [&'static str],
    writes: u32,
}

const STAGES: [Stage; 4] = [
    Stage { args: &["collect"], results: &["config.toml", "rollouts/"], writes: 12 },
    Stage { args: &["train", "--stage", "vae"], results: &["vae.safetensors"], writes: 2 },
    Stage { args: &["train", "--stage", "mdnrnn"], results: &["mdnrnn.safetensors"], writes: 2 },
    Stage {
        args: &["train", "--stage", "controller"],
        results: &["controller.safetensors", "evolution.safetensors"],
        writes: 4,
    },
];

/// The stage's command in `run`. Settings are given to the first; the others find them in the run. Where there is a
/// `limit`, the system kills the process in the middle of the write that would take a file beyond that many bytes
/// (setrlimit(2), SIGXFSZ).
fn command(stage: &Stage, run: &Path, limit: Option<u64>) -> Command {
    let mut command = Command::new("sh");
    let limit = limit.map_or(String::new(), |bytes| format!("ulimit -f {}; ", bytes / 512));
    command.args(["-c", &format!("ulimit -c 0; {limit}exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_dreamstep")]);
    command.args(stage.args).arg("--run").arg(run).stdin(Stdio::null()).stdout(Stdio::null());
    if stage.args == ["collect"] {
        command.args(SETTINGS.iter().flat_map(|setting| ["--set", setting]));
    }
    command
}

fn complete(stage: &Stage, run: &Path, what: &str) {
    let output = command(stage, run, None).output().unwrap();
    assert!(output.status.success(), "{what}: {:?}: {}", stage.args, String::from_utf8_lossy(&output.stderr));
}

fn is_partial(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL))
}

/// Files in the run's folder and its rollouts: path in the run → path. `partial` chooses which.
fn files(run: &Path, partial: bool) -> BTreeMap<String, PathBuf> {
    // A folder that is not there has no files; a file may go while its folder is listed.
    let entries = [run.to_path_buf(), run.join("rollouts")].into_iter().filter_map(|folder| fs::read_dir(folder).ok());
    let paths = entries.flatten().flatten().map(|entry| entry.path()).filter(|path| path.file_name().unwrap() != "rollouts");
    paths
        .filter(|path| is_partial(path) == partial)
        .map(|path| (path.strip_prefix(run).unwrap().display().to_string(), path))
        .collect()
}

/// Every file that is called a result is whole: it reads, and where it is final it has the bytes of the uninterrupted run.
fn check(run: &Path, whole: &Path, what: &str) {
    for (name, path) in files(run, false) {
        let bytes = fs::read(&path).unwrap();
        let same = || assert!(bytes == fs::read(whole.join(&name)).unwrap(), "{what}: {name} is not what it should be");
        match name.as_str() {
            "evolution.safetensors" => drop(Checkpoint::read(&path).unwrap_or_else(|e| panic!("{what}: {e:#}"))),
            "metrics.jsonl" => {
                for line in String::from_utf8(bytes).unwrap().lines() {
                    serde_json::from_str::<serde_json::Value>(line)
                        .unwrap_or_else(|e| panic!("{what}: {name}: {e}: {line}"));
                }
            }
            name if name.ends_with(".safetensors") => {
                Checkpoint::read(&path).unwrap_or_else(|e| panic!("{what}: {e:#}"));
                same();
            }
            name if name.ends_with(".npz") => {
                Episode::read(&path).unwrap_or_else(|e| panic!("{what}: {e:#}"));
                same();
            }
            "config.toml" => {
                Config::default().overlay_file(&path, &[]).unwrap_or_else(|e| panic!("{what}: {e:#}"));
                same();
            }
            "rollouts/collect.txt" => same(),
            _ => panic!("{what}: {name}: not a name that a run has"),
        }
    }
}

/// Generations that the saved evolution has behind it.
fn generation(run: &Path) -> u64 {
    let path = run.join("evolution.safetensors");
    if !path.exists() {
        return 0;
    }
    let saved = Checkpoint::read(&path).unwrap();
    let (_, value) =
        saved.metadata.iter().find(|(key, _)| key.ends_with("generation")).expect("the state says how old it is");
    value.parse().unwrap()
}

/// Copies the files that `wanted` says to.
fn copy(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) {
    for (name, path) in files(from, false).into_iter().filter(|(name, _)| wanted(name)) {
        let to = to.join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
}

/// Starts the stage and kills it. Returns whether it was still running. `largest` is the size of its largest file.
fn kill(stage: &Stage, run: &Path, duration: Duration, largest: u64, rng: Philox, number: u32) -> bool {
    let draw = |index| rng.uniform(Stream::Split, u64::from(number), index);
    if number % 3 == 2 {
        let limit = (largest as f32 * (0.2 + 0.6 * draw(0))) as u64;
        let status = command(stage, run, Some(limit)).stderr(Stdio::null()).status().unwrap();
        assert!(
            status.signal().is_some(),
            "{:?}: expected its death at {limit} bytes of {largest}, found {status}",
            stage.args
        );
        return true;
    }
    let mut child = command(stage, run, None).stderr(Stdio::null()).spawn().unwrap();
    if number.is_multiple_of(3) {
        // Libraries load in the first part, where nothing can happen.
        std::thread::sleep(duration.mul_f32(0.2 + 0.8 * draw(0)));
    } else {
        // When the first, second, … new name appears: that file is being written, or has this moment been renamed.
        let names = || [false, true].into_iter().flat_map(|partial| files(run, partial).into_keys());
        let (mut left, mut seen) = (1 + (2.0 * stage.writes as f32 * draw(1)) as u32, names().collect::<BTreeSet<_>>());
        let deadline = Instant::now() + 10 * duration;
        while left > 0 && Instant::now() < deadline && child.try_wait().unwrap().is_none() {
            for name in names() {
                left -= u32::from(left > 0 && seen.insert(name));
            }
        }
    }
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

#[test]
fn every_stage_survives_being_killed() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let mut left_behind = 0;
    for (s, stage) in STAGES.iter().enumerate() {
        // What an uninterrupted run comes to; the stages before are done in both.
        let before: Vec<String> = files(&whole, false).into_keys().collect();
        let start = Instant::now();
        complete(stage, &whole, "uninterrupted");
        let duration = start.elapsed();
        for name in stage.results {
            assert!(whole.join(name).exists(), "{:?} makes {name}", stage.args);
        }
        let run = folder.path().join(format!("killed-{s}"));
        copy(&whole, &run, |name| before.iter().any(|known| known == name) && name != "metrics.jsonl");

        let is_result = |name: &str| {
            stage.results.iter().any(|result| name == *result || result.ends_with('/') && name.starts_with(result))
        };
        let sizes = files(&whole, false).into_iter().filter(|(name, _)| is_result(name));
        let largest = sizes.map(|(_, path)| fs::metadata(path).unwrap().len()).max().unwrap();
        let rng = Philox::new(SEED + s as u64);
        let (mut number, mut killed, mut furthest) = (0, 0, 0);
        // Some come too late: a loaded machine keeps no time.
        while killed < KILLS && number < 3 * KILLS {
            let what = format!("seed {SEED}, {:?}, kill {number}", stage.args);
            let met_it_running = kill(stage, &run, duration, largest, rng, number);
            check(&run, &whole, &what);
            let reached = generation(&run);
            assert!(reached >= furthest, "{what}: evolution fell back from generation {furthest} to {reached}");
            (number, killed, furthest) = (number + 1, killed + u32::from(met_it_running), reached);
            if !met_it_running || s > 0 && run.join(stage.results[0]).exists() {
                // It had finished: once more from the start.
                let results = files(&run, false).into_iter().filter(|(name, _)| is_result(name));
                results.for_each(|(_, path)| fs::remove_file(path).unwrap());
                furthest = 0;
            }
        }
        assert!(killed >= 2, "seed {SEED}, {:?}: {killed} of {number} kills met a running process", stage.args);
        left_behind += files(&run, true).len();

        // Whatever a kill may leave: half of each result under an unfinished file's name, beside it.
        for (name, path) in files(&whole, false).into_iter().filter(|(name, _)| is_result(name)) {
            let bytes = fs::read(path).unwrap();
            let (parent, name) = name.rsplit_once('/').unwrap_or(("", &name));
            fs::create_dir_all(run.join(parent)).unwrap();
            fs::write(run.join(parent).join(format!("{PARTIAL}{name}")), &bytes[..bytes.len() / 2]).unwrap();
        }
        complete(stage, &run, &format!("seed {SEED}, after {killed} kills"));
        check(&run, &whole, &format!("seed {SEED}, after {killed} kills and a whole run"));
        let names = |run: &Path| files(run, false).into_keys().collect::<Vec<_>>();
        assert_eq!(names(&run), names(&whole), "seed {SEED}, {:?}", stage.args);
        for name in names(&whole).iter().filter(|name| *name != "metrics.jsonl") {
            let read = |run: &Path| fs::read(run.join(name)).unwrap();
            assert!(
                read(&run) == read(&whole),
                "seed {SEED}, {:?}: {name} differs from the uninterrupted run's",
                stage.args
            );
        }
        if s == 0 {
            assert!(files(&run, true).keys().all(|name| !name.starts_with("rollouts/")), "collect sweeps its folder");
        }
        println!("{:?}: {duration:.1?} uninterrupted, {killed} of {number} kills met it running", stage.args);
    }
    println!("{left_behind} unfinished files were left behind by kills");
}

/// A kill in the very first write leaves an unfinished claim; the folder is still nobody's.
#[test]
fn a_folder_with_nothing_but_unfinished_files_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("r");
    fs::create_dir_all(run.join("rollouts")).unwrap();
    fs::write(run.join("rollouts").join(format!("{PARTIAL}x1y2z3")), "env = Huma").unwrap();
    for name in ["vae.safetensors", "x.safetensors"] {
        fs::write(run.join(format!("{PARTIAL}{name}")), "half").unwrap();
    }
    // Not a result for the stages that would read it …
    for args in [["train", "--stage", "mdnrnn"].as_slice(), &["pack"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_dreamstep")).args(args).arg("--run").arg(&run).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains("found none"), "{args:?}: {stderr}");
    }
    // … and no reason not to collect.
    complete(&STAGES[0], &run, "beside unfinished files");
    assert!(run.join("rollouts/collect.txt").exists());
}
