//! A kill leaves nothing behind that a later command would believe. Every stage is killed before, in the middle of, and after every file
//! that it writes and every line that it logs ([`dreamstep::run::fault`]), and then run to its end.
//!
//! Contract: at any moment every file under a result's name is whole; what carries the name of an unfinished file is no
//! result; and the run that was killed resumes from where it was and ends in the same bytes as the one that was not. Only
//! `metrics.jsonl`, the log, may differ: in the times it tells, and in what evolution tried twice. An epoch of V and M has one line.
//!
//! The same of a stage that is asked to stop, by Ctrl-C or SIGTERM, and resumed by the command that it prints.

mod common;

use common::{BINARY, copy, results, same_results, signal};
use dreamstep::data::rollouts::Episode;
use dreamstep::run::checkpoint::Checkpoint;
use dreamstep::run::config::Config;
use dreamstep::run::folder::PARTIAL;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Of V and of M.
const EPOCHS: u64 = 4;

const SETTINGS: [&str; 11] = [
    "collect.steps=120",
    "vae.epochs=4",
    "vae.hidden=[64,32]",
    "mdnrnn.epochs=4",
    "mdnrnn.optimizer=rmsprop",
    "mdnrnn.hidden=16",
    "controller.steps=2500",
    "controller.directions=2",
    "controller.max_episode_steps=20",
    "controller.physics=heun",
    "controller.support=1.0",
];

/// A stage: its command, its results (the last to be written comes first), and the state that it saves, with the key under which that
/// says how old it is.
struct Stage {
    args: &'static [&'static str],
    results: &'static [&'static str],
    state: Option<(&'static str, &'static str)>,
}

const STAGES: [Stage; 4] = [
    Stage { args: &["collect"], results: &["config.toml", "rollouts/collect.txt"], state: None },
    Stage {
        args: &["train", "--stage", "vae"],
        results: &["vae.safetensors", "vae.last.safetensors"],
        state: Some(("vae.training.safetensors", "training.epoch")),
    },
    Stage {
        args: &["train", "--stage", "mdnrnn"],
        results: &["mdnrnn.safetensors", "mdnrnn.last.safetensors", "latents.json", "latents.npy"],
        state: Some(("mdnrnn.training.safetensors", "training.epoch")),
    },
    Stage {
        args: &["train", "--stage", "controller"],
        results: &["controller.safetensors", "evolution.safetensors"],
        state: Some(("evolution.safetensors", "validation.generation")),
    },
];

/// The binary on `run`; its fault is `fault`, unless that is empty.
fn command(args: &[&str], run: &Path, fault: &str) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).arg("--run").arg(run).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if !fault.is_empty() {
        command.env("DREAMSTEP_FAULT", fault);
    }
    command
}

/// The stage's command in `run`. Settings are given to the first; the others find them in the run.
fn stage_command(stage: &Stage, run: &Path, fault: &str) -> Command {
    let mut command = command(stage.args, run, fault);
    if stage.args == ["collect"] {
        command.args(SETTINGS.iter().flat_map(|setting| ["--set", setting]));
    }
    command
}

/// Runs it to its end. Returns what it says.
#[track_caller]
fn complete(mut command: Command, what: &str) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{what}: {command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it with its fault. Whether that killed it; else it ended well before it came there.
#[track_caller]
fn killed(mut command: Command) -> bool {
    let output = command.output().unwrap();
    let status = output.status;
    assert!(
        status.success() || status.signal() == Some(9),
        "{command:?}: {status}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    !status.success()
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
            // Of a process that was killed: no one holds it.
            ".lock" => {}
            _ => panic!("{what}: {name}: not a name that a run has"),
        }
    }
}

/// Epochs or generations that the saved state has behind it.
fn reached(stage: &Stage, run: &Path) -> u64 {
    let Some((name, key)) = stage.state else { return 0 };
    // None, or none any more: the stage has finished.
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

/// A run in which all stages are done, and what it holds before each, without its log.
struct Whole {
    _folder: tempfile::TempDir,
    run: PathBuf,
    before: [PathBuf; 4],
}

impl Whole {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("whole");
        let before = std::array::from_fn(|s| folder.path().join(format!("before-{s}")));
        for (stage, before) in STAGES.iter().zip(&before) {
            fs::create_dir_all(&run).unwrap();
            copy(&run, before);
            let _ = fs::remove_file(before.join("metrics.jsonl"));
            let _ = fs::remove_dir_all(before.join("tensorboard"));
            complete(stage_command(stage, &run, ""), "uninterrupted");
            stage.results.iter().for_each(|name| assert!(run.join(name).exists(), "{:?} makes {name}", stage.args));
        }
        Self { _folder: folder, run, before }
    }

    /// What the run was when its stage `s` ended, but for its log.
    fn after(&self, s: usize) -> &Path {
        self.before.get(s + 1).unwrap_or(&self.run)
    }
}

#[test]
fn every_stage_survives_being_killed() {
    let whole = Whole::new();
    std::thread::scope(|scope| {
        for s in 0..STAGES.len() {
            let whole = &whole;
            scope.spawn(move || survives_being_killed(s, whole));
        }
    });
}

/// Runs that are killed at the `n`th file or line, for every `n`, once more on their way on, and then completed.
fn survives_being_killed(s: usize, whole: &Whole) {
    let (stage, after) = (&STAGES[s], whole.after(s));
    let (mut kills, mut left_behind) = (BTreeMap::<_, u32>::new(), 0);
    for n in 1.. {
        let before = kills.values().sum::<u32>();
        for point in [["write.half", "write.rename"][n % 2], "write.done", ["log", "log.done"][n % 2]] {
            let what = format!("{:?}, {point}:{n}", stage.args);
            let run = after.with_file_name(format!("killed-{s}-{n}-{point}"));
            copy(&whole.before[s], &run);
            let mut furthest = 0;
            for (point, n) in [(point, n), (["write", "poll"][n % 2], 3)] {
                if !killed(stage_command(stage, &run, &format!("{point}:{n}"))) {
                    break;
                }
                *kills.entry(point).or_default() += 1;
                check(&run, after, &what);
                let reached = reached(stage, &run);
                assert!(reached >= furthest || run.join(stage.results[0]).exists(), "{what}: {reached} after {furthest}");
                furthest = reached;
            }
            left_behind += files(&run, true).len();
            let (from, lines) = (reached(stage, &run), log(stage, &run));
            let said = complete(stage_command(stage, &run, ""), &what);
            if s == 1 || s == 2 {
                // Lines tell how long an epoch took: what is unchanged was not done again.
                assert_eq!(log(stage, &run)[..lines.len()], lines, "{what}");
                let resumed = said.contains(&format!("resumed after epoch {from}\n"));
                assert!(resumed || from == 0, "{what}: expected it to resume after epoch {from}, found {said}");
                check_log(stage, &run, &whole.run, &what);
            }
            check(&run, after, &what);
            same_results(&run, after, &what);
            assert!(files(&run, true).is_empty(), "{what}: not swept out: {:?}", files(&run, true));
            fs::remove_dir_all(run).unwrap();
        }
        // Past the last file and the last line of the stage.
        if kills.values().sum::<u32>() == before {
            break;
        }
    }
    println!("{:?}: kills {kills:?}; {left_behind} unfinished files were left behind", stage.args);
    assert!(kills.len() >= 6 && kills["write.done"] > 2 && left_behind > 0, "{:?}: {kills:?}", stage.args);
}

/// Ctrl-C: the process says by which command to go on, exits with 130, and that command ends in the bytes of the run that was not
/// interrupted.
#[test]
fn a_stage_that_is_interrupted_says_how_to_go_on() {
    let whole = Whole::new();
    for (s, stage) in STAGES.iter().enumerate() {
        let mut interrupted = 0;
        for n in [1, 2, 3, 7] {
            // A name that a shell has to be told with care.
            let run = whole.run.with_file_name(format!("it's run {s}-{n}"));
            copy(&whole.before[s], &run);
            let output = stage_command(stage, &run, &format!("poll:{n}:interrupt")).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            if output.status.success() {
                break;
            }
            interrupted += 1;
            assert_eq!(output.status.code(), Some(130), "{:?}: {stderr}", stage.args);
            check(&run, whole.after(s), &format!("{:?}, interrupted", stage.args));
            let at = reached(stage, &run);
            let rest = stderr.strip_prefix("interrupted; to go on: dreamstep ").and_then(|rest| rest.strip_suffix('\n'));
            let rest = rest.unwrap_or_else(|| panic!("{:?}: {stderr}", stage.args));
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("\"$0\" {rest}"), BINARY]);
            let said = complete(shell, rest);
            if s == 1 || s == 2 {
                assert!(at == 0 || said.contains(&format!("resumed after epoch {at}\n")), "{said}");
                check_log(stage, &run, &whole.run, &format!("{:?}, interrupted", stage.args));
            }
            same_results(&run, whole.after(s), &format!("{:?}, interrupted at {n}", stage.args));
        }
        assert!(interrupted > 1, "{:?}: interrupted {interrupted} times", stage.args);
    }
}

/// Signals from outside, at a training that would never end.
#[test]
fn a_signal_ends_a_training_where_it_can_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("r");
    let stage = &STAGES[1];
    complete(stage_command(&STAGES[0], &run, ""), "collect");
    let mut before = 0;
    for name in ["-KILL", "-INT", "-TERM"] {
        let mut child = command(stage.args, &run, "").args(["--set", "vae.epochs=1000000"]).spawn().unwrap();
        while reached(stage, &run) <= before {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
        }
        signal(&child, name);
        let output = Child::wait_with_output(child).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        if name == "-KILL" {
            assert_eq!(output.status.signal(), Some(9));
        } else {
            assert_eq!(output.status.code(), Some(130), "{name}: {stderr}");
            assert!(stderr.starts_with("interrupted; to go on: dreamstep train"), "{stderr}");
        }
        before = reached(stage, &run);
    }
}

/// `--force` with other settings, over a finished run: the command that resumes does not force again, and yet replaces what was asked for.
#[test]
fn what_force_was_for_is_resumed() {
    let before = Whole::new();
    let (whole, run) = (&before.run, &before.run.with_file_name("run"));
    copy(whole, run);
    let force = ["train", "--force", "--set", "vae.learning_rate=0.002", "--set", "controller.sigma=0.03"];
    complete(command(&force, whole, ""), "forced");
    // Killed in V, interrupted in M, and done.
    assert!(killed(command(&force, run, "log.done:2")));
    assert_eq!(reached(&STAGES[1], run), 2, "in the middle of V");
    // The rest of V's epochs, its cost, and two epochs of M's.
    let output = command(&["train"], run, &format!("log.done:{}:interrupt", EPOCHS - 2 + 1 + 2)).output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(reached(&STAGES[2], run) >= 1, "in M");
    complete(command(&["train"], run, ""), "resumed");
    same_results(run, whole, "forced");
}

/// A part that is added to a folder, by another policy: killed while its manifest is written, while it is recorded, and once more; the
/// command that resumes need not say that it adds.
#[test]
fn a_part_that_is_added_is_resumed_after_kills() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, run] = ["whole", "run"].map(|name| folder.path().join(name));
    complete(stage_command(&STAGES[0], &whole, ""), "the first part");
    copy(&whole, &run);
    let added = ["collect", "--append", "--set", "collect.policy=noise", "--set", "collect.steps=1500"];
    complete(command(&added, &whole, ""), "added");
    for fault in
        ["write:1", "write.half:1", "write.rename:1", "write.done:1", "write.half:2", "poll:3", "write.rename:5", "poll:9"]
    {
        // Until the part is on record, nothing else says what to resume.
        let claimed = fs::read_to_string(run.join("config.toml")).unwrap().contains("policy = \"noise\"");
        assert!(killed(command(if claimed { &["collect"] } else { &added }, &run, fault)), "{fault}");
        // The settings of the part are written after its manifest.
        for (name, bytes) in results(&run).into_iter().filter(|(name, _)| name.ends_with(".npz")) {
            assert!(bytes == fs::read(whole.join(&name)).unwrap(), "{fault}: {name}");
        }
    }
    complete(command(&added, &run, ""), "after kills");
    same_results(&run, &whole, "after kills");
    let manifest = fs::read_to_string(run.join("rollouts/collect.txt")).unwrap();
    assert!(manifest.lines().count() == 2 && manifest.contains("policy = noise"), "{manifest}");
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
        let output = Command::new(BINARY).args(args).arg("--run").arg(&run).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains("found none"), "{args:?}: {stderr}");
    }
    // … and no reason not to collect.
    complete(stage_command(&STAGES[0], &run, ""), "beside unfinished files");
    assert!(run.join("rollouts/collect.txt").exists());
}
