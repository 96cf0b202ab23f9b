//! Does the binary do what it says, as a user runs it? The whole road once in small, the same bytes from any number of
//! threads, and bad input: each a single line that names the thing, a non-zero exit, and not a byte created or changed.

use dreamstep::data::rollouts::{Episode, file_name};
use dreamstep::run::checkpoint::{Checkpoint, meta};
use dreamstep::run::config::Config;
use dreamstep_core::dims::Dims;
use dreamstep_core::names::metadata as key;
use dreamstep_fixtures::{HUMANOID, synthetic};
use dreamstep_runtime::Backend;
use ndarray::{Array1, Array2};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_dreamstep");

/// A run that takes seconds.
const TINY: [&str; 6] = [
    "collect.steps=400",
    "vae.epochs=1",
    "mdnrnn.epochs=1",
    "mdnrnn.hidden=16",
    "controller.steps=300",
    "controller.directions=2",
];

/// The binary in `folder`, as a shell would start it, with `args` split at spaces.
fn command(folder: &Path, args: &str) -> Command {
    let mut command = Command::new(BINARY);
    command.current_dir(folder).args(args.split_whitespace()).stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// Runs it; it must succeed, silently but for stdout, without a terminal's escape codes.
fn succeed(folder: &Path, args: &str) -> String {
    let Output { status, stdout, stderr } = command(folder, args).output().unwrap();
    let (stdout, stderr) = (text(&stdout), text(&stderr));
    assert!(status.success() && stderr.is_empty(), "dreamstep {args}: {status}\n{stderr}");
    assert!(!stdout.contains(['\u{1b}', '\r']), "dreamstep {args}: a progress bar without a terminal: {stdout:?}");
    stdout
}

fn json(folder: &Path, args: &str) -> Value {
    let stdout = succeed(folder, args);
    serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("dreamstep {args}: {e}: {stdout}"))
}

/// The flags of a tiny run in `run`, with more settings.
fn tiny(run: &str, more: &[&str]) -> String {
    let settings = TINY.iter().chain(more).map(|setting| format!(" --set {setting}"));
    settings.fold(format!("--run {run}"), |flags, setting| flags + &setting)
}

/// Collects, trains and packs `run`.
fn road(folder: &Path, run: &str, more: &[&str]) {
    succeed(folder, &format!("collect {}", tiny(run, more)));
    succeed(folder, &format!("train --run {run} --stage all"));
    succeed(folder, &format!("pack --run {run}"));
}

/// Everything in a folder: path → bytes; none for what is not a regular file.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap();
        all.insert(path.clone(), kind.is_file().then(|| fs::read(&path).unwrap()));
        if kind.is_dir() {
            all.extend(snapshot(&path));
        }
    }
    all
}

/// The paths that differ.
fn changes(before: &BTreeMap<PathBuf, Option<Vec<u8>>>, after: &BTreeMap<PathBuf, Option<Vec<u8>>>) -> Vec<PathBuf> {
    let differs = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let mut paths: Vec<PathBuf> = before.keys().chain(after.keys()).filter(differs).cloned().collect();
    paths.dedup();
    paths
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// Commands that must be refused, tried in one folder. All are tried before the first complaint.
struct Refusals {
    folder: tempfile::TempDir,
    complaints: Vec<String>,
    tried: usize,
}

impl Refusals {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), complaints: Vec::new(), tried: 0 }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The command must fail with one line on stderr that contains every one of `parts`, and change nothing.
    fn refuse(&mut self, args: &str, parts: &[&str]) {
        self.refuse_command(&mut command(self.path(), args), args, parts);
    }

    fn refuse_command(&mut self, command: &mut Command, name: &str, parts: &[&str]) {
        let before = snapshot(self.path());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let stderr = text(&stderr);
        self.tried += 1;
        let mut complain = |what: String| self.complaints.push(format!("dreamstep {name}\n    {what}\n    {stderr:?}"));
        if status.code() != Some(1) {
            complain(format!("expected exit code 1, found {status}, stdout {:?}", text(&stdout)));
        }
        if stderr.lines().count() != 1 || !stderr.starts_with("error: ") {
            complain("expected one line `error: …`".into());
        }
        if let Some(part) = parts.iter().find(|part| !stderr.contains(*part)) {
            complain(format!("expected the error to name {part:?}"));
        }
        let changed = changes(&before, &snapshot(self.folder.path()));
        if !changed.is_empty() {
            complain(format!("expected nothing changed, found {changed:?}"));
        }
    }

    fn finish(self) {
        let (failed, tried) = (self.complaints.len(), self.tried);
        assert!(failed == 0, "{failed} complaints in {tried} refusals\n{}", self.complaints.join("\n"));
    }
}

/// An episode of `steps` steps with observations of `obs` and actions of `action`.
fn episode(obs: usize, action: usize, steps: usize) -> Episode {
    Episode {
        seed: 1,
        observations: Array2::from_shape_fn((steps + 1, obs), |(t, i)| (t * 31 + i) as f32 * 0.01),
        actions: Array2::from_shape_fn((steps, action), |(t, i)| 0.01 * (t + i) as f32),
        rewards: Array1::from_elem(steps, 1.0),
        terminals: Array1::from_shape_fn(steps, |t| t + 1 == steps),
        truncations: Array1::from_elem(steps, false),
    }
}

/// Writes an episode past the check that `Episode::write` makes.
fn write_unchecked(episode: &Episode, path: &Path) {
    let mut npz = ndarray_npy::NpzWriter::new(fs::File::create(path).unwrap());
    npz.add_array("observations", &episode.observations).unwrap();
    npz.add_array("actions", &episode.actions).unwrap();
    npz.add_array("rewards", &episode.rewards).unwrap();
    npz.add_array("terminals", &episode.terminals).unwrap();
    npz.add_array("truncations", &episode.truncations).unwrap();
    npz.add_array("seed", &ndarray::arr0(episode.seed)).unwrap();
    npz.finish().unwrap();
}

#[test]
fn the_whole_road() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, run) = (folder.path(), folder.path().join("r"));
    let stdout = succeed(folder, &format!("collect {}", tiny("r", &["threads=2"])));
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
        road(folder, threads, &[&format!("threads={threads}"), "seed=5"]);
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
    succeed(folder, &format!("collect {}", tiny("other", &["seed=6"])));
    assert!(read("1", &episode) != read("other", &episode));
}

#[test]
fn files_that_are_no_agent_are_refused() {
    let mut tests = Refusals::new();
    let write = |name: &str, bytes: &[u8]| fs::write(tests.path().join(name), bytes).unwrap();
    write("good", HUMANOID);
    write("notes.txt", b"Humanoid notes, nothing else.\n");
    write("empty", b"");
    episode(348, 17, 20).write(&tests.path().join("episode.npz")).unwrap();
    fs::create_dir(tests.path().join("folder")).unwrap();
    let header = 8 + usize::try_from(u64::from_le_bytes(HUMANOID[..8].try_into().unwrap())).unwrap();
    for (name, length) in [("cut0", 7), ("cut1", header / 2), ("cut2", header), ("cut3", HUMANOID.len() - 1)] {
        write(name, &HUMANOID[..length]);
    }
    write("header", &[&u64::MAX.to_le_bytes()[..], &HUMANOID[8..]].concat());
    write("longer", &[HUMANOID, &[0; 4]].concat());
    let everywhere: [(&str, &[&str]); 11] = [
        ("missing", &["missing"]),
        ("folder", &["folder", "expected a packed agent", "found a folder"]),
        ("folder/", &["folder", "expected a packed agent", "found a folder"]),
        ("good/below", &["good/below"]),
        ("notes.txt", &["notes.txt", "not a safetensors file"]),
        ("episode.npz", &["episode.npz", "not a safetensors file"]),
        ("empty", &["empty", "not a safetensors file", "found 0"]),
        ("cut0", &["cut0", "expected at least 8 bytes, found 7"]),
        ("cut1", &["cut1", "expected at least", "found"]),
        ("header", &["header", "expected at most"]),
        ("longer", &["longer"]),
    ];
    // The three commands read files in one place; by turns they show it.
    for (i, (file, parts)) in everywhere.into_iter().enumerate() {
        tests.refuse(&format!("{} {file}", ["inspect", "evaluate --agent", "run --agent"][i % 3]), parts);
    }
    for file in ["cut2", "cut3"] {
        for args in [format!("run --agent {file}"), format!("inspect {file} --json")] {
            tests.refuse(&args, &[file, "bytes of data"]);
        }
    }

    // A good file, but another one.
    let (tensors, mut checkpoint) = (synthetic::tensors(&Dims::HUMANOID, 1), Checkpoint::default());
    tensors.iter().for_each(|(name, (shape, data))| checkpoint.insert(name, shape, data.clone()));
    checkpoint.write(&tests.path().join("from-pytorch")).unwrap();
    checkpoint.set_meta(key::FORMAT, key::FORMAT_CHECKPOINT);
    checkpoint.write(&tests.path().join("checkpoint")).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(tests.path().join(name), bytes).unwrap();
    write("small", &synthetic::agent(&Dims::vector(347, 17, &[256, 128], 32, 256, 5), 1));
    write("hands", &synthetic::agent(&Dims::vector(348, 16, &[256, 128], 32, 256, 5), 1));
    let rnn = dreamstep_core::reader::File::parse(HUMANOID).unwrap().tensor("rnn.panels").unwrap();
    let at = rnn.data.as_ptr() as usize - HUMANOID.as_ptr() as usize + 40;
    let mut nan = HUMANOID.to_vec();
    nan[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    write("nan", &nan);
    for command in ["evaluate", "run"] {
        for (file, parts) in [
            ("from-pytorch", &["from-pytorch", "is this a packed agent?"][..]),
            ("checkpoint", &["checkpoint: ", "dreamstep.format", "expected packed-3", "found `checkpoint-1`"]),
            ("small", &["small", "metadata env: not found", "--env"]),
            ("small --env Humanoid-v5", &["small", "Humanoid-v5", "of 348", "found a model for 347 and 17"]),
            ("hands --env Humanoid-v5", &["hands", "Humanoid-v5", "actions of 17", "found a model for 348 and 16"]),
            ("nan", &["nan", "rnn.panels", "expected finite", "at 10"]),
        ] {
            tests.refuse(&format!("{command} --agent {file}"), parts);
        }
        tests.refuse(&format!("{command} --agent good --env Humanoid-v4"), &["`Humanoid-v4`", "Humanoid-v5"]);
        // The seeds would wrap around to 0.
        tests.refuse(&format!("{command} --agent good --seed {} --episodes 2", u64::MAX), &["seed", &u64::MAX.to_string()]);
        for backend in Backend::ALL.into_iter().filter(|backend| !backend.is_available()) {
            let name = backend.name();
            tests.refuse(&format!("{command} --agent good --backend {name}"), &["good", name, "this processor"]);
        }
    }
    tests.refuse("inspect nan", &["nan", "rnn.panels", "expected finite"]);
    // Looked at, a checkpoint is welcome; and a flipped bit is seen by the self-test.
    for file in ["from-pytorch", "checkpoint"] {
        assert_eq!(json(tests.path(), &format!("inspect {file} --json"))["kind"], "checkpoint");
    }
    let mut flipped = HUMANOID.to_vec();
    flipped[at + 2] ^= 0x40;
    fs::write(tests.path().join("flipped"), flipped).unwrap();
    for command in ["evaluate", "run"] {
        tests.refuse(&format!("{command} --agent flipped"), &["flipped", "self-test", "expected", "found"]);
    }
    let output = command(tests.path(), "inspect flipped --json").output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["self_test"]["portable"].as_str().unwrap().starts_with("self-test: "), "{report}");
    assert_eq!(report["self_test_passed"], false);
    assert!(!output.status.success() && text(&output.stderr) == "error: flipped: the self-test failed\n");

    // What the parser of arguments refuses has its usage below, but says what is wrong first, and does nothing.
    for args in ["run", "run --agent good --episodes 0", "evaluate --agent good --episodes 4294967296", "fly"] {
        let before = snapshot(tests.path());
        let output = command(tests.path(), args).output().unwrap();
        let stderr = text(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.starts_with("error: "), "dreamstep {args}: {stderr}");
        assert!(before == snapshot(tests.path()), "dreamstep {args}");
    }
    tests.finish();
}

#[test]
fn runs_that_cannot_go_on_are_refused() {
    let mut tests = Refusals::new();
    let folder = tests.path().to_path_buf();
    fs::write(folder.join("file"), "a file").unwrap();

    // ---- configuration, which all three commands read in one place
    let commands = ["collect", "train", "pack"];
    let settings: [(&str, &[&str]); 8] = [
        ("--set vae.latnet=3", &["unknown key `vae.latnet`", "latent"]),
        ("--set vea.latent=3", &["unknown key `vea`", "vae"]),
        ("--set vae.latent=0", &["vae.latent = 0", "from 1"]),
        ("--set vae.latent=big", &["vae.latent", "expected a value of type integer", "string"]),
        ("--set vae.latent", &["vae.latent", "key=value"]),
        ("--set mdnrnn.learning_rate=nan", &["mdnrnn.learning_rate", "NaN"]),
        ("--config nowhere.toml", &["nowhere.toml"]),
        ("--config file", &["file: "]),
    ];
    for (i, (flags, parts)) in settings.into_iter().enumerate() {
        tests.refuse(&format!("{} --run new {flags}", commands[i % 3]), parts);
    }
    tests.refuse("collect --run new --set env=Nowhere-v0", &["Nowhere-v0", "Humanoid-v5"]);
    tests.refuse("collect --run file --set collect.steps=10", &["file"]);
    tests.refuse("collect --run file/below --set collect.steps=10", &["file/below"]);

    // ---- the run is missing, or is another
    tests.refuse("train --run new", &["new/rollouts", "dreamstep collect"]);
    tests.refuse("pack --run new", &["new/vae.safetensors", "expected", "found none"]);
    road(&folder, "r", &[]);
    let good = snapshot(&folder);
    tests.refuse("collect --run r --set seed=9", &["collect.txt", "seed = 9", "found", "seed = 0"]);
    tests.refuse("collect --run r --set collect.steps=50", &["r/rollouts", "collect.steps = 50", "found"]);
    fs::create_dir_all(folder.join("mine/rollouts")).unwrap();
    fs::write(folder.join("mine/rollouts/precious.npz"), "precious").unwrap();
    tests.refuse("collect --run mine", &["mine/rollouts", "expected an empty folder"]);

    // ---- rollouts
    let rollouts = |name: &str, episodes: &[Episode]| {
        let run = folder.join(name);
        fs::create_dir_all(run.join("rollouts")).unwrap();
        for (i, episode) in episodes.iter().enumerate() {
            episode.write(&run.join("rollouts").join(file_name(i as u64))).unwrap();
        }
        run.join("rollouts").join(file_name(episodes.len().saturating_sub(1) as u64))
    };
    let three = |obs, action| [episode(obs, action, 20), episode(obs, action, 21), episode(obs, action, 22)];
    rollouts("none", &[]);
    tests.refuse("train --run none", &["none/rollouts", "expected recorded episodes", "found none"]);
    rollouts("one", &[episode(348, 17, 20)]);
    tests.refuse("train --run one", &["one/rollouts", "collect.steps = 30000", "found 20", "dreamstep collect"]);
    tests.refuse("train --run one --set collect.steps=20", &["expected at least 2 episodes", "found 1"]);
    rollouts("ant", &three(105, 8));
    tests.refuse("train --run ant", &["ant/rollouts", "expected observations of 348", "found 105 and 8"]);
    rollouts("mixed", &[episode(348, 17, 20), episode(348, 16, 20)]);
    tests.refuse("train --run mixed", &["episode_0000001.npz", "actions of 17", "found 348 and 16"]);
    let last = rollouts("nan", &three(348, 17));
    let mut spoilt = episode(348, 17, 22);
    spoilt.observations[[21, 0]] = f32::NAN;
    write_unchecked(&spoilt, &last);
    tests.refuse("train --run nan", &["episode_0000002.npz", "observations", "expected finite", "NaN"]);
    let last = rollouts("cut", &three(348, 17));
    let whole = fs::read(&last).unwrap();
    fs::write(&last, &whole[..whole.len() / 2]).unwrap();
    tests.refuse("train --run cut", &["episode_0000002.npz"]);
    fs::write(&last, "not an archive").unwrap();
    tests.refuse("train --run cut", &["episode_0000002.npz"]);

    // ---- a stage without the one before, or with a broken one; settings that were asked for are not put on record
    let without = |name: &str, files: &[&str]| {
        copy(&folder.join("r"), &folder.join(name));
        files.iter().for_each(|file| fs::remove_file(folder.join(name).join(file)).unwrap());
    };
    without("w", &["vae.safetensors", "mdnrnn.safetensors", "controller.safetensors", "evolution.safetensors"]);
    tests.refuse("train --run w --stage mdnrnn --set mdnrnn.hidden=8", &["w/vae.safetensors"]);
    tests.refuse("train --run w --stage controller --set controller.steps=9", &["w/vae.safetensors", "--stage vae"]);
    fs::copy(folder.join("r/vae.safetensors"), folder.join("w/vae.safetensors")).unwrap();
    tests.refuse("train --run w --stage controller --set controller.steps=9", &["w/mdnrnn.safetensors", "--stage mdnrnn"]);
    tests.refuse("pack --run w", &["w/mdnrnn.safetensors", "--stage mdnrnn"]);
    fs::copy(folder.join("r/mdnrnn.safetensors"), folder.join("w/mdnrnn.safetensors")).unwrap();
    tests.refuse("pack --run w", &["w/controller.safetensors", "--stage controller"]);
    let vae = fs::read(folder.join("r/vae.safetensors")).unwrap();
    fs::remove_file(folder.join("w/mdnrnn.safetensors")).unwrap();
    for bytes in [&vae[..vae.len() - 1], &vae[..5], b"text", b""] {
        fs::write(folder.join("w/vae.safetensors"), bytes).unwrap();
        tests.refuse("train --run w --stage mdnrnn --set mdnrnn.hidden=8", &["w/vae.safetensors"]);
    }
    fs::remove_file(folder.join("w/vae.safetensors")).unwrap();
    let output = command(&folder, "train --run w --stage vae --set vae.learning_rate=1e30").output().unwrap();
    let stderr = text(&output.stderr);
    assert!(stderr.contains("expected a finite loss") && stderr.lines().count() == 1, "{stderr}");
    assert!(!folder.join("w/vae.safetensors").exists());

    // ---- a training to go on with, but another's, or damaged
    without(
        "s",
        &["vae.safetensors", "mdnrnn.safetensors", "controller.safetensors", "evolution.safetensors", "agent.safetensors"],
    );
    without("m", &["mdnrnn.safetensors", "controller.safetensors", "evolution.safetensors", "agent.safetensors"]);
    for (run, network) in [("s", "vae"), ("m", "mdnrnn")] {
        let state = folder.join(run).join(format!("{network}.training.safetensors"));
        let args = format!("train --run {run} --stage {network} --set {network}.epochs=100000");
        let mut child = command(&folder, &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !state.exists() {
            assert!(child.try_wait().unwrap().is_none(), "{args}: ended without a state");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // Nobody holds it any more; the next command takes it along.
        fs::remove_file(folder.join(run).join(".lock")).unwrap();

        let (name, stage) =
            (format!("{run}/{network}.training.safetensors"), format!("train --run {run} --stage {network}"));
        let epochs = format!("{network}.epochs = 100000, expected 1 as asked for");
        tests.refuse(&format!("{stage} --set {network}.epochs=1"), &[&name, &epochs, "--force starts anew"]);
        let rule = format!("{network}.optimizer = \"adam\", expected \"rmsprop\"");
        tests.refuse(&format!("{stage} --set {network}.optimizer=rmsprop"), &[&name, &rule, "--force"]);
        if network == "mdnrnn" {
            let path = folder.join("m/vae.safetensors");
            let mut other = Checkpoint::read(&path).unwrap();
            other.set_meta("note", "not the V that it began with");
            other.write(&path).unwrap();
            tests.refuse(&stage, &[&name, "and this V", "--force"]);
        }
        let whole = fs::read(&state).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for bytes in [&whole[..whole.len() / 2], &flipped, b"text", b""] {
            fs::write(&state, bytes).unwrap();
            tests.refuse(&stage, &[&name, "damaged", "--force starts anew"]);
        }
        succeed(&folder, &format!("{stage} --force --set {network}.epochs=1"));
        assert!(!state.exists() && folder.join(run).join(format!("{network}.safetensors")).exists(), "{name}");
    }

    // ---- parts that do not fit each other
    let made_with = "made with vae.latent = 32, expected 16";
    tests.refuse("train --run r --stage vae --force --set vae.latent=16", &["r/mdnrnn.safetensors", made_with]);
    tests.refuse("train --run r --set vae.latent=16", &["r/vae.safetensors", made_with]);
    tests.refuse("train --run r --stage controller --set controller.sigma=0.5", &["r/evolution.safetensors", "--force"]);
    // V made anew in another size, then in the same size at another pace, beside the old M and C.
    for (run, setting) in [("latent", "vae.latent=16"), ("twin", "vae.learning_rate=0.002")] {
        without(run, &["mdnrnn.safetensors", "controller.safetensors", "evolution.safetensors", "agent.safetensors"]);
        succeed(&folder, &format!("train --run {run} --stage vae --force --set {setting}"));
        fs::copy(folder.join("r/mdnrnn.safetensors"), folder.join(run).join("mdnrnn.safetensors")).unwrap();
        fs::copy(folder.join("r/controller.safetensors"), folder.join(run).join("controller.safetensors")).unwrap();
        tests.refuse(&format!("pack --run {run}"), &["mdnrnn.safetensors", "expected", "vae.safetensors", "found"]);
    }
    // M of another size beside the old C.
    without("hidden", &["controller.safetensors", "evolution.safetensors", "agent.safetensors"]);
    succeed(&folder, "train --run hidden --stage mdnrnn --force --set mdnrnn.hidden=8");
    fs::copy(folder.join("r/controller.safetensors"), folder.join("hidden/controller.safetensors")).unwrap();
    tests.refuse("pack --run hidden", &["controller.safetensors", "expected", "mdnrnn.safetensors", "found"]);
    // The same of parts that do not say what they were made from, as imported ones do not: then the sizes speak.
    for (run, parts) in
        [("latent", &["actions of 17", "found 348 and 33"][..]), ("hidden", &["fc.weight", "[17, 40]", "[17, 48]"])]
    {
        for part in ["mdnrnn", "controller"] {
            let path = folder.join(run).join(format!("{part}.safetensors"));
            let mut checkpoint = Checkpoint::read(&path).unwrap();
            checkpoint.metadata.retain(|key, _| !key.starts_with(meta::UPSTREAM));
            checkpoint.write(&path).unwrap();
        }
        tests.refuse(&format!("pack --run {run}"), parts);
    }

    // ---- somewhere to write
    fs::create_dir(folder.join("taken")).unwrap();
    tests.refuse("pack --run r --out taken", &["taken", "cannot write"]);
    tests.refuse("pack --run r --out file/below", &["file/below", "cannot write"]);
    #[cfg(unix)]
    {
        // A rename would put a file in the place of a device: as root, `--out /dev/null` would do lasting harm.
        let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
        tests.refuse("pack --run r --out socket", &["socket", "cannot write"]);
        // As full as a disk can be: no file may grow past 32 KiB.
        fs::write(folder.join("old"), "what was there").unwrap();
        for out in ["old", "fresh"] {
            let mut shell = Command::new("sh");
            let script = "ulimit -f 64; trap '' XFSZ; exec \"$0\" \"$@\"";
            shell
                .current_dir(&folder)
                .env_remove("RUST_BACKTRACE")
                .args(["-c", script, BINARY, "pack", "--run", "r", "--out", out]);
            tests.refuse_command(&mut shell, &format!("pack --out {out}, disk full"), &[out, "cannot write"]);
        }
    }
    // Written whole and renamed: who holds the old file keeps the old file.
    fs::hard_link(folder.join("old"), folder.join("held")).unwrap();
    succeed(&folder, "pack --run r --out old");
    assert!(fs::read(folder.join("old")).unwrap() == fs::read(folder.join("r/agent.safetensors")).unwrap());
    assert_eq!(fs::read(folder.join("held")).unwrap(), b"what was there");
    // As every writer here does, it makes the folders that its file lies in.
    succeed(&folder, "pack --run r --out deep/down/agent");
    assert!(folder.join("deep/down/agent").is_file());

    let after = snapshot(&folder);
    assert!(good.iter().all(|(path, bytes)| after.get(path) == Some(bytes)), "the good run was changed");
    tests.finish();
}

/// The shipped agent in each narrower precision: what `pack` says of it, on the protocol's 20 recorded episodes, and that the file
/// runs.
#[test]
fn a_narrower_precision_is_compared_with_f32() {
    let mut tests = Refusals::new();
    fs::write(tests.path().join("good.safetensors"), HUMANOID).unwrap();
    for (precision, bytes) in [("f16", 0.51), ("bf16", 0.51), ("i8", 0.29)] {
        let report =
            json(tests.path(), &format!("pack --agent good.safetensors --precision {precision} --episodes 20 --json"));
        let file = format!("good.{precision}.safetensors");
        let number = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("{key}: {report}"));
        assert_eq!((&report["precision"], &report["recorded_episodes"]), (&precision.into(), &20.into()), "{report}");
        assert_eq!(number("bytes") as u64, fs::metadata(tests.path().join(&file)).unwrap().len(), "{report}");
        assert!(number("bytes") / number("bytes_f32") < bytes, "{report}");
        let error = &report["action_error"];
        let quantile = |key: &str| error[key].as_f64().unwrap();
        assert!(quantile("p99") > 0.0 && quantile("p99") <= 0.02 && quantile("max") <= 1.0, "{report}");
        assert!(quantile("p50") <= quantile("p99") && quantile("p99") <= quantile("max"), "{report}");
        assert!(number("return_z").abs() <= 2.0, "{report}");
        let inspected = json(tests.path(), &format!("inspect {file} --json"));
        assert_eq!((&inspected["self_test_passed"], &inspected["metadata"]["precision"]), (&true.into(), &precision.into()));
        tests.refuse(&format!("pack --agent {file} --precision bf16"), &[&file, "expected f32", precision]);
    }
    // Again in f32: not a byte differs.
    assert!(succeed(tests.path(), "pack --agent good.safetensors --out again.safetensors").contains("self-test passed"));
    assert!(fs::read(tests.path().join("again.safetensors")).unwrap() == HUMANOID);
    tests.refuse("pack --agent none.safetensors --precision i8", &["none.safetensors"]);
    tests.finish();
}
