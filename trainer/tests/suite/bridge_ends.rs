//! However a run with bridged environments ends, no process of theirs is left; whatever fault ended it, what it wrote is whole, and the same
//! command goes on to the bytes of a run that met none.

use crate::common::{check_refusal, command, copy, results, set, signal, succeed, text};
use dreamstep_core::rng::{Philox, Stream};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SETTINGS: [&str; 14] = [
    "env=gym:bridge_envs:Slide-v0",
    "threads=2",
    "collect.steps=260",
    "vae.epochs=1",
    "vae.hidden=[8]",
    "vae.latent=3",
    "mdnrnn.epochs=1",
    "mdnrnn.hidden=8",
    "mdnrnn.mixtures=1",
    "mdnrnn.sequence_length=8",
    "controller.steps=300",
    "controller.directions=2",
    "controller.episodes=1",
    "env.timeout_s=1.5",
];

/// Flags of a first command.
fn flags() -> String {
    let python = crate::common::python::script("python/interpreter.sh");
    format!("{}{}", set(&SETTINGS), set(&[&format!("env.python={}", python.display())]))
}

/// A run of the binary whose processes, all that come of it, carry a mark.
struct Marked {
    mark: String,
    ready: PathBuf,
}

impl Marked {
    fn new(folder: &Path, name: &str) -> Self {
        let mark = format!("BRIDGE_MARK={}-{name}", folder.display());
        Self { mark, ready: folder.join(format!("{name}.ready")) }
    }

    /// `args` in `folder`; the environment's fault is `fault`, as `kind:step`.
    fn command(&self, folder: &Path, args: &str, fault: &str) -> Command {
        let (name, value) = self.mark.split_once('=').unwrap();
        let mut command = command(folder, args);
        command.env(name, value).env("BRIDGE_FAULT", fault).env("BRIDGE_READY", &self.ready);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Whether the fault happened, since this was last asked.
    fn happened(&self) -> bool {
        std::fs::remove_file(&self.ready).is_ok()
    }

    /// Its processes that live.
    fn processes(&self) -> Vec<String> {
        let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let marked = all.filter(|path| {
            let environment = std::fs::read(path.join("environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == self.mark.as_bytes())
        });
        marked
            .map(|path| text(&std::fs::read(path.join("cmdline")).unwrap_or_default()).chars().take(60).collect())
            .collect()
    }

    /// That none is left, soon: two seconds where there is a processor for them. How long it took.
    #[track_caller]
    fn all_gone(&self, what: &str) -> Duration {
        let start = Instant::now();
        while !self.processes().is_empty() {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{what}: {:?} after its end: {:?}",
                start.elapsed(),
                self.processes()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        start.elapsed()
    }
}

#[test]
fn no_process_is_left_whatever_ends_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let faults = ["hang", "hang-in-c", "deaf", "offspring-deaf"];
    let ends = faults.into_iter().flat_map(|fault| ["-KILL", "-INT", "-TERM"].map(|end| (fault, end)));
    let ends: Vec<_> = ends.collect();
    let here = folder.path();
    std::thread::scope(|scope| {
        for part in ends.chunks(3) {
            scope.spawn(move || {
                for (fault, end) in part {
                    let name = format!("{fault}{end}");
                    let marked = Marked::new(here, &name);
                    let args = format!("collect --run {name} {} --set env.timeout_s=600", flags());
                    let child = marked.command(here, &args, &format!("{fault}:30")).spawn().unwrap();
                    let start = Instant::now();
                    while !marked.happened() {
                        assert!(start.elapsed() < Duration::from_secs(120), "{name}: never came to its fault");
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    assert!(
                        marked.processes().len() >= 3,
                        "{name}: a program, a supervisor and a worker: {:?}",
                        marked.processes()
                    );
                    let start = Instant::now();
                    signal(&child, end);
                    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
                    let took = start.elapsed();
                    println!("{name}: ended after {took:.1?}, nothing left {:.1?} later", marked.all_gone(&name));
                    if *end != "-KILL" {
                        let stderr = text(&stderr);
                        assert_eq!(status.code(), Some(130), "{name}: {stderr}");
                        assert!(
                            stderr.starts_with("interrupted; to go on: dreamstep collect") && stderr.lines().count() == 1,
                            "{stderr}"
                        );
                        // Two of grace, and what a busy machine adds.
                        assert!(took < Duration::from_secs(15), "{name}: {took:?}");
                    }
                }
            });
        }
    });
}

#[test]
fn what_an_environment_starts_ends_with_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let marked = Marked::new(folder.path(), "offspring");
    let output = marked.command(folder.path(), &format!("collect --run r {}", flags()), "offspring:30").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(marked.happened());
    marked.all_gone("offspring");
}

/// Every command that plays ends in one line with the episode's seed and the step.
#[test]
fn a_fault_ends_every_command_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    crate::common::road(here, "r", &flags());
    let marked = Marked::new(here, "commands");
    let toml = format!("{}/env.toml", here.display());
    let python = crate::common::python::script("python/interpreter.sh");
    std::fs::write(
        &toml,
        format!("[env]\nid = \"gym:bridge_envs:Slide-v0\"\npython = {:?}\n", python.display().to_string()),
    )
    .unwrap();
    let agent = format!("--agent r/agent.safetensors --env {toml}");
    for (command, seed) in [
        (format!("collect --run other {}", flags()), "seed "),
        ("train --run r --stage controller --force".to_string(), "seed "),
        (format!("evaluate {agent} --episodes 4 --threads 1"), "seed 1000, step 4: "),
        (format!("run {agent} --episodes 1"), "seed 1000, step 4: "),
        (format!("render --run r {agent} --panels true --out x.gif"), "seed 1000, step 4: "),
    ] {
        let before = results(here);
        let output = marked.command(here, &command, "raise:5").output().unwrap();
        assert!(marked.happened(), "{command}: {}", text(&output.stderr));
        let said =
            [seed, ", step 4: ", "gym:bridge_envs:Slide-v0: step raised ValueError: the arm is broken (at ", "faults.py:"];
        check_refusal(&output, &command, &said);
        let new: Vec<_> = results(here).into_keys().filter(|name| !before.contains_key(name)).collect();
        assert!(new.iter().all(|name| name.starts_with("other/")), "{command}: {new:?}");
        marked.all_gone(&command);
    }
    // What the environment does is bad luck, where the configuration says so; as long as there is luck at all.
    let worst = "train --run r --stage controller --force --set env.on_error=worst";
    let output = marked.command(here, worst, "kill:40:once").output().unwrap();
    assert!(output.status.success() && marked.happened(), "{}", text(&output.stderr));
    let log = std::fs::read_to_string(here.join("r/metrics.jsonl")).unwrap();
    let failed = log.lines().filter(|line| !line.contains("\"failed\":0") && line.contains("\"failed\":")).count();
    assert!(failed > 0, "{log}");
    let output = marked.command(here, worst, "kill:1").output().unwrap();
    check_refusal(
        &output,
        worst,
        &["expected a candidate that can be scored, found none", "step 0", "died: signal: 9 (SIGKILL)"],
    );
    marked.all_gone(worst);
}

/// Faults that are asked for at random steps of children, and whether the run bears them.
const KINDS: [(&str, bool); 12] = [
    ("raise", false),
    ("exit", false),
    ("kill", false),
    ("crash", false),
    ("hang", false),
    ("hang-in-c", false),
    ("garbage", false),
    ("half", false),
    ("close", false),
    ("nan", false),
    ("slow", true),
    ("offspring", true),
];

/// How many happen, unless BRIDGE_FAULTS says another number (200 take minutes).
const FAULTS: usize = 50;

#[test]
fn random_faults_leave_whole_files_and_no_process_and_the_run_goes_on_to_the_same_bytes() {
    let start = Instant::now();
    let seed: u64 = std::env::var("BRIDGE_SEED").map_or(1, |seed| seed.parse().unwrap());
    let faults: usize = std::env::var("BRIDGE_FAULTS").map_or(FAULTS, |faults| faults.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    // What runs without faults come to.
    succeed(here, &format!("collect --run collected {}", flags()));
    copy(&here.join("collected"), &here.join("learnt"));
    succeed(here, "train --run learnt --stage vae");
    succeed(here, "train --run learnt --stage mdnrnn");
    copy(&here.join("learnt"), &here.join("evolved"));
    succeed(here, "train --run evolved --stage controller");
    // All but what says how many workers there were.
    let results = |run: &str| -> BTreeMap<_, _> {
        results(&here.join(run)).into_iter().filter(|(name, _)| name != "config.toml").collect()
    };
    let expected = [results("collected"), results("evolved")];

    let (happened, chains, kinds) = (AtomicUsize::new(0), AtomicUsize::new(0), KINDS.map(|_| AtomicUsize::new(0)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while happened.load(Ordering::Relaxed) < faults {
                    let chain = chains.fetch_add(1, Ordering::Relaxed) as u64;
                    let (run, marked) = (format!("run-{chain}"), Marked::new(here, &format!("chain-{chain}")));
                    let evolves = chain % 2 == 1;
                    // Results do not depend on the number of workers, and one child starts sooner than two.
                    let threads = if chain % 8 < 2 { "" } else { " --set threads=1" };
                    let (args, whole) = match evolves {
                        true => (format!("train --run {run} --stage controller{threads}"), &expected[1]),
                        false => (format!("collect --run {run} {}{threads}", flags()), &expected[0]),
                    };
                    if evolves {
                        copy(&here.join("learnt"), &here.join(&run));
                    }
                    // Some faults, each in a command that goes on from the one before, and then none.
                    for link in 0..7 {
                        let draw = Philox::new(seed).bits(Stream::EnvReset, chain * 100 + link, 0);
                        // In turn, so that few faults have every kind.
                        let kind = (chain * 7 + link) as usize % KINDS.len();
                        let (fault, borne) = KINDS[kind];
                        let fault = if link == 6 { String::new() } else { format!("{fault}:{}", 1 + draw % 60) };
                        let what = format!("seed {seed}, chain {chain}, link {link}: {args}: {fault}");
                        let output = marked.command(here, &args, &fault).output().unwrap();
                        let hit = marked.happened();
                        if hit {
                            happened.fetch_add(1, Ordering::Relaxed);
                            kinds[kind].fetch_add(1, Ordering::Relaxed);
                        }
                        // An episode beyond the last that is asked for may fail: it is not there.
                        let bears = !hit || borne || !evolves && output.status.success();
                        match bears {
                            true => assert!(output.status.success(), "{what}: {}", text(&output.stderr)),
                            false => check_refusal(&output, &what, &["seed ", "gym:bridge_envs:Slide-v0: step"]),
                        }
                        marked.all_gone(&what);
                        let found = results(&run);
                        if output.status.success() {
                            same_results_as(&found, whole, &what);
                            break;
                        }
                        // Each episode under its name is the whole one.
                        let other: Vec<_> = found
                            .iter()
                            .filter(|(name, bytes)| name.ends_with(".npz") && whole.get(*name) != Some(bytes))
                            .collect();
                        assert!(other.is_empty(), "{what}: {:?}", other.iter().map(|(name, _)| name).collect::<Vec<_>>());
                    }
                    std::fs::remove_dir_all(here.join(&run)).unwrap();
                }
            });
        }
    });
    let counts: BTreeMap<_, _> =
        KINDS.iter().zip(&kinds).map(|((name, _), count)| (name, count.load(Ordering::Relaxed))).collect();
    let (happened, chains) = (happened.into_inner(), chains.into_inner());
    println!("seed {seed}: {happened} faults in {chains} runs in {:.1} s: {counts:?}", start.elapsed().as_secs_f64());
    assert!(happened >= faults && counts.values().all(|&count| count > 0), "{counts:?}");
}

#[track_caller]
fn same_results_as(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>, what: &str) {
    let different = crate::common::changes(found, expected);
    assert!(different.is_empty(), "{what}: {different:?} differ from those of a run without faults");
}
