//! Does a kill leave anything that a later command would believe? Every stage is killed again and again, at seeded random
//! moments and in the middle of writing a file, and then run to its end.
//!
//! Contract: at any moment every file under a result's name is whole; what carries the name of an unfinished file is no
//! result; and the run that was killed goes on from where it was and ends in the same bytes as the one that was not. Only
//! `metrics.jsonl`, the log, may differ: in the times it tells, and in what evolution tried twice. An epoch of V and M has one line.
//!
//! The same of a stage that is asked to stop, by Ctrl-C or SIGTERM, and gone on with by the command that it prints.

use dreamstep::data::rollouts::Episode;
use dreamstep::run::checkpoint::Checkpoint;
use dreamstep::run::config::Config;
use dreamstep::run::folder::PARTIAL;
use dreamstep_core::rng::{Philox, Stream};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SEED: u64 = 20;
/// Kills of each stage: a third at a random moment, a third at the sight of a new file, a third in the middle of a write. As many as
/// DREAMSTEP_KILLS says, or 6.
fn kills() -> u32 {
    std::env::var("DREAMSTEP_KILLS").map_or(6, |kills| kills.parse().expect("DREAMSTEP_KILLS: expected a number"))
}

/// Of V and of M.
const EPOCHS: u64 = 12;

const SETTINGS: [&str; 11] = [
    "collect.steps=1500",
    "vae.epochs=12",
    "vae.hidden=[64,32]",
    "mdnrnn.epochs=12",
    "mdnrnn.optimizer=rmsprop",
    "mdnrnn.hidden=16",
    "controller.steps=2500",
    "controller.directions=2",
    "controller.max_episode_steps=20",
    "controller.physics=heun",
    "controller.support=1.0",
];

/// A stage: its command, its results (a folder's name ends in a slash, and the last to be written comes first), how many files it
/// writes, or enough of them to choose from, and the state that it saves, with the key under which that says how old it is.
struct Stage {
    args: &'static [&'static str],
    results: &'static [&'static str],
    writes: u32,
    state: Option<(&'static str, &'static str)>,
}

const STAGES: [Stage; 4] = [
    Stage { args: &["collect"], results: &["config.toml", "rollouts/"], writes: 12, state: None },
    Stage {
        args: &["train", "--stage", "vae"],
        results: &["vae.safetensors", "vae.last.safetensors"],
        writes: EPOCHS as u32,
        state: Some(("vae.training.safetensors", "training.epoch")),
    },
    Stage {
        args: &["train", "--stage", "mdnrnn"],
        results: &["mdnrnn.safetensors", "mdnrnn.last.safetensors", "latents.json", "latents.npy"],
        writes: EPOCHS as u32,
        state: Some(("mdnrnn.training.safetensors", "training.epoch")),
    },
    Stage {
        args: &["train", "--stage", "controller"],
        results: &["controller.safetensors", "evolution.safetensors"],
        writes: 4,
        state: Some(("evolution.safetensors", "validation.generation")),
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

/// Runs the stage to its end. Returns what it says.
fn complete(stage: &Stage, run: &Path, what: &str) -> String {
    let output = command(stage, run, None).stdout(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{what}: {:?}: {}", stage.args, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn is_partial(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL))
}

/// Files in the run's folder and its rollouts; what TensorBoard reads is made from the log: path in the run → path. `partial` chooses which.
fn files(run: &Path, partial: bool) -> BTreeMap<String, PathBuf> {
    // A folder that is not there has no files; a file may go while its folder is listed.
    let entries = [run.to_path_buf(), run.join("rollouts")].into_iter().filter_map(|folder| fs::read_dir(folder).ok());
    let paths = entries.flatten().flatten().map(|entry| entry.path()).filter(|path| !path.is_dir());
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
            "evolution.safetensors" | "vae.training.safetensors" | "mdnrnn.training.safetensors" => {
                drop(Checkpoint::read(&path).unwrap_or_else(|e| panic!("{what}: {e:#}")))
            }
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
            "rollouts/collect.txt" | "latents.npy" | "latents.json" => same(),
            // Of a process that was killed: nobody holds it.
            ".lock" => {}
            _ => panic!("{what}: {name}: not a name that a run has"),
        }
    }
}

/// Epochs or generations that the saved state has behind it.
fn reached(stage: &Stage, run: &Path) -> u64 {
    let Some((name, key)) = stage.state else { return 0 };
    // It may go while it is looked at: then the stage has finished.
    let Ok(bytes) = fs::read(run.join(name)) else { return 0 };
    Checkpoint::from_bytes(name, &bytes).unwrap().meta(key).unwrap()
}

/// The lines that `stage` wrote to the log.
fn log(stage: &Stage, run: &Path) -> Vec<String> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let name = format!("\"stage\":\"{}\"", stage.args.last().unwrap());
    text.lines().filter(|line| line.contains(&name) && !line.contains("\"cost\"")).map(String::from).collect()
}

/// Every epoch of every training of V or M has one line, in order, and the last training's figures are the uninterrupted one's.
fn check_log(stage: &Stage, run: &Path, whole: &Path, what: &str) {
    let record = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let [found, expected] = [run, whole].map(|run| log(stage, run).iter().map(record).collect::<Vec<_>>());
    let epochs = (1..=EPOCHS).cycle().take(found.len());
    assert!(found.iter().map(|record| record["epoch"].as_u64().unwrap()).eq(epochs), "{what}: {found:#?}");
    assert!(found.len() >= expected.len() && expected.len() == EPOCHS as usize, "{what}: {} lines", found.len());
    for (found, expected) in found[found.len() - expected.len()..].iter().zip(&expected) {
        for key in ["epochs", "train", "validation", "best"] {
            assert_eq!(found[key], expected[key], "{what}: epoch {}", expected["epoch"]);
        }
    }
}

/// Starts the stage and waits until its state is `age` old. Returns the process, and whether it still runs.
fn run_until(command: &mut Command, stage: &Stage, run: &Path, age: u64) -> (Child, bool) {
    let mut child = command.spawn().unwrap();
    while reached(stage, run) < age {
        if child.try_wait().unwrap().is_some() {
            return (child, false);
        }
    }
    (child, true)
}

/// Copies the files that `wanted` says to.
fn copy(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) {
    for (name, path) in files(from, false).into_iter().filter(|(name, _)| wanted(name)) {
        let to = to.join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
}

/// Starts the stage and kills it. Returns whether it was still running. `largest` is the size of the largest file that it
/// will write, if any.
fn kill(stage: &Stage, run: &Path, duration: Duration, largest: Option<u64>, rng: Philox, number: u32) -> bool {
    let draw = |index| rng.uniform(Stream::Split, u64::from(number), index);
    if number % 3 == 2
        && let Some(largest) = largest
    {
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
        // Of the files that are still to be written: what is there already is not written again.
        let largest = || {
            let missing = files(&whole, false).into_iter().filter(|(name, _)| is_result(name) && !run.join(name).exists());
            missing.map(|(_, path)| fs::metadata(path).unwrap().len()).max()
        };
        let rng = Philox::new(SEED + s as u64);
        let (mut number, mut killed, mut furthest) = (0, 0, 0);
        // Some come too late: a loaded machine keeps no time.
        while killed < kills() && number < 3 * kills() {
            let what = format!("seed {SEED}, {:?}, kill {number}", stage.args);
            let met_it_running = kill(stage, &run, duration, largest(), rng, number);
            check(&run, &whole, &what);
            let finished = run.join(stage.results[0]).exists();
            let reached = reached(stage, &run);
            assert!(s == 0 || finished || reached >= furthest, "{what}: fell back from {furthest} to {reached}");
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

        // V and M once more in the middle, so that there is something to go on with, and where that is can be told.
        let is_network = s == 1 || s == 2;
        while is_network && reached(stage, &run) < EPOCHS / 2 {
            let (mut child, _) = run_until(command(stage, &run, None).stderr(Stdio::null()), stage, &run, EPOCHS / 2);
            child.kill().unwrap();
            child.wait().unwrap();
            if run.join(stage.results[0]).exists() {
                let results = files(&run, false).into_iter().filter(|(name, _)| is_result(name));
                results.for_each(|(_, path)| fs::remove_file(path).unwrap());
            }
        }
        let (going_on_after, log_before) = (reached(stage, &run), log(stage, &run));

        // Whatever a kill may leave: half of each result under an unfinished file's name, beside it.
        for (name, path) in files(&whole, false).into_iter().filter(|(name, _)| is_result(name)) {
            let bytes = fs::read(path).unwrap();
            let (parent, name) = name.rsplit_once('/').unwrap_or(("", &name));
            fs::create_dir_all(run.join(parent)).unwrap();
            fs::write(run.join(parent).join(format!("{PARTIAL}{name}")), &bytes[..bytes.len() / 2]).unwrap();
        }
        let said = complete(stage, &run, &format!("seed {SEED}, after {killed} kills"));
        if is_network {
            let line = format!("resumed after epoch {going_on_after}\n");
            assert!(said.contains(&line), "seed {SEED}, {:?}: expected `{line}`, found {said}", stage.args);
            // Lines tell how long an epoch took: what is unchanged was not done again.
            assert_eq!(log(stage, &run)[..log_before.len()], log_before, "seed {SEED}, {:?}", stage.args);
            check_log(stage, &run, &whole, &format!("seed {SEED}, {:?}", stage.args));
        }
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

/// Ctrl-C and SIGTERM: the process says by which command to go on, exits with 130, and that command ends in the bytes of the run that was
/// not interrupted.
#[test]
fn a_stage_that_is_interrupted_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let more = ["--set", "collect.steps=5000", "--set", "controller.steps=25000"];
    for (s, stage) in STAGES.iter().enumerate() {
        let of_stage = |run: &Path| {
            let mut command = command(stage, run, None);
            command.args(if s == 0 { more.as_slice() } else { &[] });
            command
        };
        let before: Vec<String> = files(&whole, false).into_keys().collect();
        assert!(of_stage(&whole).status().unwrap().success(), "{:?}", stage.args);
        // A process that was faster than the signal is no test; a loaded machine may need a second.
        let mut attempts = 0..10;
        let (run, stderr) = loop {
            let attempt = attempts.next().expect("a signal meets the process running, once in ten times");
            // A name that a shell has to be told with care.
            let run = folder.path().join(format!("it's run {s}-{attempt}"));
            copy(&whole, &run, |name| before.iter().any(|known| known == name) && name != "metrics.jsonl");
            let mut command = of_stage(&run);
            command.stderr(Stdio::piped());
            let mut child = match s {
                0 => command.spawn().unwrap(),
                _ => run_until(&mut command, stage, &run, [0, 3, 3, 1][s]).0,
            };
            while s == 0 && !run.join("rollouts").exists() && child.try_wait().unwrap().is_none() {}
            let signal = if s == 2 { "-TERM" } else { "-INT" };
            assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
            let output = child.wait_with_output().unwrap();
            if output.status.success() {
                continue;
            }
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(130), "{:?}: {stderr}", stage.args);
            break (run, stderr);
        };
        check(&run, &whole, &format!("{:?}, interrupted", stage.args));
        assert!(!run.join(stage.results[0]).exists() || s == 0, "{:?}: interrupted before its end", stage.args);
        let at = reached(stage, &run);
        let active_count = stderr.strip_prefix("interrupted; to go on: dreamstep ").and_then(|rest| rest.strip_suffix('\n'));
        let active_count = active_count.unwrap_or_else(|| panic!("{:?}: {stderr}", stage.args));
        let output = Command::new("sh")
            .args(["-c", &format!("\"$0\" {active_count}"), env!("CARGO_BIN_EXE_dreamstep")])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{active_count}: {}", String::from_utf8_lossy(&output.stderr));
        if s == 1 || s == 2 {
            assert!(at >= 3 && said.contains(&format!("resumed after epoch {at}\n")), "{said}");
            check_log(stage, &run, &whole, &format!("{:?}, interrupted", stage.args));
        }
        let names = |run: &Path| files(run, false).into_keys().collect::<Vec<_>>();
        assert_eq!(names(&run), names(&whole), "{:?}", stage.args);
        for name in names(&whole).iter().filter(|name| *name != "metrics.jsonl") {
            let read = |run: &Path| fs::read(run.join(name)).unwrap();
            assert!(read(&run) == read(&whole), "{:?}: {name} differs from the uninterrupted run's", stage.args);
        }
        println!("{:?}: interrupted at {at}", stage.args);
    }
}

/// `--force` with other settings, over a finished run: the command that goes on does not force again, and yet replaces what was asked for.
#[test]
fn what_force_was_for_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, run] = ["whole", "run"].map(|name| folder.path().join(name));
    STAGES.iter().for_each(|stage| drop(complete(stage, &whole, "before")));
    copy(&whole, &run, |_| true);
    let forced = |run: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dreamstep"));
        let args = ["train", "--force", "--set", "vae.learning_rate=0.002", "--set", "controller.sigma=0.03", "--run"];
        command.args(args).arg(run).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let plain = |run: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dreamstep"));
        command.args(["train", "--run"]).arg(run).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    assert!(forced(&whole).status().unwrap().success());

    // Killed in V, interrupted in M, and done.
    let (mut child, runs) = run_until(&mut forced(&run), &STAGES[1], &run, 2);
    assert!(runs, "ended before the kill");
    child.kill().unwrap();
    child.wait().unwrap();
    let (child, runs) = run_until(&mut plain(&run), &STAGES[2], &run, 2);
    assert!(runs, "ended before the signal");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let output = plain(&run).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["config.toml", "vae.safetensors", "mdnrnn.safetensors", "controller.safetensors", "evolution.safetensors"] {
        let [a, b] = [&whole, &run].map(|run| fs::read(run.join(name)).unwrap());
        assert!(a == b, "{name} differs from the uninterrupted run's");
    }
}

/// A part that is added to a folder, by another policy: killed while it is claimed, while it is recorded, and once more; the command that
/// goes on need not say that it adds.
#[test]
fn a_part_that_is_added_goes_on_after_kills() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, run] = ["whole", "run"].map(|name| folder.path().join(name));
    complete(&STAGES[0], &whole, "the first part");
    copy(&whole, &run, |_| true);
    let collect = |run: &Path, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dreamstep"));
        command
            .arg("collect")
            .args(more)
            .arg("--run")
            .arg(run)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    };
    let added = ["--append", "--set", "collect.policy=noise", "--set", "collect.steps=6000"];
    let start = Instant::now();
    assert!(collect(&whole, &added).status().unwrap().success());
    let duration = start.elapsed();
    let episodes = || files(&run, false).len();
    let (before, rng, mut killed) = (episodes(), Philox::new(SEED), 0);
    for number in 0..8 {
        // Until the part is on record, nothing else says what to go on with.
        let claimed = fs::read_to_string(run.join("config.toml")).unwrap().contains("policy = \"noise\"");
        let mut child = collect(&run, if claimed { &[] } else { &added }).spawn().unwrap();
        std::thread::sleep(duration.mul_f32(0.9 * rng.uniform(Stream::Split, number, 7)));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        // The settings of the part are written after its claim.
        for (name, path) in files(&run, false).into_iter().filter(|(name, _)| name.ends_with(".npz")) {
            assert!(fs::read(path).unwrap() == fs::read(whole.join(&name)).unwrap(), "kill {number}: {name}");
        }
    }
    assert!(killed >= 3, "{killed} of 8 kills met a running process");
    println!(
        "{killed} kills, {} of {} files of the part were there",
        episodes() - before,
        files(&whole, false).len() - before
    );
    assert!(collect(&run, &added).status().unwrap().success());
    let names = |run: &Path| files(run, false).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&run), names(&whole));
    for name in names(&whole).into_iter().filter(|name| name != "metrics.jsonl") {
        let [a, b] = [&whole, &run].map(|run| fs::read(run.join(&name)).unwrap());
        assert!(a == b, "{name} differs from the uninterrupted run's");
    }
    let claim = fs::read_to_string(run.join("rollouts/collect.txt")).unwrap();
    assert!(claim.lines().count() == 2 && claim.contains("policy = noise"), "{claim}");
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
