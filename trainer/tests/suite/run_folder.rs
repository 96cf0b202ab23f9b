//! A run's folder that is busy, full, read-only, half-written or another's. One line that says so, a non-zero exit, and everything that
//! was in it is in it still. With real processes and, where the system lets a test mount something, real file systems.

use crate::common::{
    BINARY, changes, check_refusal, command, refused_naming, same_results, signal, snapshot, succeed, text,
};
use dreamstep::run::folder::{PARTIAL, RunDir, write_atomic};
use dreamstep_fixtures::skip;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A run that takes a second.
const TINY: &str = "--set env=CartPole-v1 --set collect.steps=400 --set vae.epochs=2 --set vae.hidden=[16,16] --set vae.latent=4 \
                    --set mdnrnn.epochs=1 --set mdnrnn.hidden=16 --set controller.steps=300 --set controller.directions=2";

/// A training that never ends, stopped in its tracks (SIGSTOP): alive, and it writes nothing more.
fn stopped_training(folder: &Path, run: &str) -> Child {
    let mut training = command(folder, &format!("train --run {run} --stage vae --set vae.epochs=1000000"));
    let mut child = training.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !folder.join(run).join("vae.training.safetensors").exists() {
        assert!(child.try_wait().unwrap().is_none(), "ended without a state");
    }
    signal(&child, "-STOP");
    // The signal is delivered before the state says so.
    let state = || fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    while !state().rsplit(')').next().unwrap().trim_start().starts_with('T') {}
    child
}

#[test]
fn one_command_at_a_time_changes_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(folder, &format!("collect --run r {TINY}"));
    succeed(folder, &format!("collect --run other {TINY} --set seed=7"));
    assert!(!folder.join("r/.lock").exists(), "a lock goes with its command");
    fs::write(folder.join("agent.safetensors"), dreamstep_fixtures::HUMANOID).unwrap();
    let mut training = stopped_training(folder, "r");
    let holder = format!("(process {})", training.id());
    for args in [
        "train --run r",
        "collect --run r --set collect.steps=900",
        "import --run r --append other/rollouts",
        "import-weights --run r agent.safetensors --set env=Humanoid-v5",
    ] {
        refused_naming(folder, args, &["r: expected a run that no other command is changing", &holder]);
    }
    // Who only reads is not kept out, and neither is another run.
    succeed(folder, "inspect agent.safetensors");
    succeed(folder, "export --run r --out copy");
    succeed(folder, "collect --run other --set collect.steps=500");

    // However it dies, the lock dies with it; what it left says where to go on.
    training.kill().unwrap();
    training.wait().unwrap();
    assert!(folder.join("r/.lock").exists(), "killed without a chance to tidy up");
    succeed(folder, "train --run r --stage vae --force --set vae.epochs=1");
    assert!(!folder.join("r/.lock").exists());
}

/// Many at once: the lock file comes and goes, and yet never are there two holders.
#[test]
fn a_lock_has_one_holder() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let folder = tempfile::tempdir().unwrap();
    let (inside, held, refused) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                for _ in 0..400 {
                    match RunDir::new(folder.path()).lock() {
                        Ok(lock) => {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two holders");
                            held.fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(lock);
                        }
                        Err(error) => {
                            let error = format!("{error:#}");
                            assert!(error.contains("no other command"), "{error}");
                            refused.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(held.load(Ordering::SeqCst) + refused.load(Ordering::SeqCst), 4800);
    assert!(held.load(Ordering::SeqCst) > 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays behind");
}

#[test]
fn what_the_dead_left_is_swept_out_and_what_the_living_write_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(folder, &format!("collect --run r {TINY}"));
    let partial = |place: &str, name: &str| folder.join(place).join(format!("{PARTIAL}{name}"));
    // The folders that a run's files are written in; one that is not there yet has none.
    let places = ["r", "r/rollouts", "r/tensorboard", "r/figures"];
    places[2..].iter().for_each(|place| fs::create_dir_all(folder.join(place)).unwrap());
    let dead = places.map(|place| partial(place, "a1b2"));
    dead.iter().for_each(|path| fs::write(path, "half").unwrap());
    let living = partial("r", "alive");
    let held = fs::File::create(&living).unwrap();
    held.lock().unwrap();
    succeed(folder, "train --run r --stage vae");
    assert!(dead.iter().all(|path| !path.exists()) && living.exists(), "{dead:?}");
    drop(held);
    succeed(folder, "train --run r --stage mdnrnn");
    assert!(!living.exists(), "its process has let go of it");
}

/// A file that is being written is marked as the living's.
#[test]
fn an_unfinished_file_is_locked_by_its_writer() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                dreamstep::run::folder::sweep(folder).unwrap();
            }
        });
        let written = (0..400).filter(|i| write_atomic(&folder.join("file"), &vec![*i as u8; 50_000]).is_ok()).count();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        // A sweep that comes between the creation and the lock wins; not more than now and then.
        assert!(written >= 360, "{written} of 400 writes survived sweeping without a pause");
    });
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(folder, &format!("collect --run r {TINY}"));
    fs::write(folder.join("file"), "a file").unwrap();
    fs::write(folder.join("agent.safetensors"), dreamstep_fixtures::HUMANOID).unwrap();
    for place in ["file", "file/below", "/proc/dreamstep/r", "/dev/null"] {
        refused_naming(folder, &format!("collect --run {place} {TINY}"), &[place, "cannot"]);
        refused_naming(folder, &format!("import --run {place} --set env=CartPole-v1 r/rollouts"), &[place, "cannot"]);
        refused_naming(folder, &format!("export --run r --out {place}"), &[place, "cannot"]);
        refused_naming(folder, &format!("train --run {place}"), &[place]);
    }
}

const NO_MOUNTS: &str = "this system lets no test mount a file system (unshare -rm, mount -t tmpfs)";

/// Runs `script` in a mount namespace of its own; `$B` is the binary. None where the system does not let it.
fn mounted(folder: &Path, script: &str) -> Option<Output> {
    let unshare = |args: &[&str], script: &str| {
        let mut command = Command::new("unshare");
        command.args(args).args(["sh", "-c", script]).current_dir(folder).env("B", BINARY).env_remove("RUST_BACKTRACE");
        command.stdin(Stdio::null()).output().ok()
    };
    fs::create_dir_all(folder.join("mnt")).unwrap();
    for args in [&["-m"][..], &["-rm"]] {
        if unshare(args, "mount -t tmpfs tmpfs mnt && mount -o remount,ro mnt").is_some_and(|output| output.status.success())
        {
            return unshare(args, script);
        }
    }
    None
}

/// Collects Hopper-v5, many small files.
fn hopper() -> String {
    TINY.replace("env=CartPole-v1", "env=Hopper-v5").replace("collect.steps=400", "collect.steps=1500")
}

#[test]
fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, settings) = (folder.path(), hopper());
    succeed(folder, &format!("collect --run whole {settings}"));
    let compare = "for f in whole/rollouts/*; do cmp $f mnt/r/rollouts/${f##*/} || exit 9; done";
    let script = format!(
        "mount -t tmpfs -o size=48k tmpfs mnt; $B collect --run mnt/r {settings} 2>mnt.err; echo $?; ls -A mnt/r mnt/r/rollouts; \
         for f in mnt/r/rollouts/*.npz; do cmp $f whole/rollouts/${{f##*/}} || exit 8; done; \
         mount -o remount,size=9m mnt; $B collect --run mnt/r && {compare}"
    );
    let Some(output) = mounted(folder, &script) else { return skip::not_on_this_machine(NO_MOUNTS) };
    let (stdout, error) = (text(&output.stdout), fs::read_to_string(folder.join("mnt.err")).unwrap());
    assert!(output.status.success(), "{stdout} {}", text(&output.stderr));
    assert!(stdout.starts_with("1\n") && stdout.contains("episode_") && !stdout.contains(PARTIAL), "{stdout}");
    assert!(error.lines().count() == 1 && error.contains("cannot write") && error.contains("No space left"), "{error}");
}

/// The same at every file of a collection in turn, by a fault; and, by a limit that every system has, where no file may grow past 1 KiB.
#[test]
fn a_write_that_fails_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, settings) = (folder.path(), hopper());
    succeed(folder, &format!("collect --run whole {settings}"));
    let args = format!("collect --run r {settings}");
    let faulty = |args: &str, point: &str, n: u32| {
        command(folder, args).env("DREAMSTEP_FAULT", format!("{point}:{n}:full")).output().unwrap()
    };
    for n in [1, 2, 3, 9] {
        for point in ["write", "write.half", "write.rename"] {
            check_refusal(&faulty(&args, point, n), &args, &["r/", "cannot write"]);
            assert!(snapshot(&folder.join("r")).keys().all(|path| !path.to_string_lossy().contains(PARTIAL)), "{point}:{n}");
        }
    }
    let limited = |args: &str| {
        let script = "ulimit -f 2; trap '' XFSZ; exec \"$0\" \"$@\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, BINARY]).args(args.split_whitespace()).current_dir(folder).env_remove("RUST_BACKTRACE");
        shell.output().unwrap()
    };
    check_refusal(&limited(&args), &args, &["r/", "cannot write"]);
    succeed(folder, &args);
    same_results(&folder.join("r"), &folder.join("whole"), "after full disks");
    let before = snapshot(&folder.join("r"));
    for args in ["train --run r --stage vae", "export --run r --out out"] {
        check_refusal(&limited(args), args, &["cannot write"]);
        check_refusal(&faulty(args, "write", 1), args, &["cannot write"]);
    }
    assert_eq!(changes(&before, &snapshot(&folder.join("r"))), Vec::<PathBuf>::new());
    check_refusal(&limited("import --run i --set env=Hopper-v5 r/rollouts"), "import", &["cannot write"]);
    succeed(folder, "import --run i --set env=Hopper-v5 r/rollouts");
}

#[test]
fn a_read_only_run_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(folder, &format!("collect --run r {TINY}"));
    succeed(folder, "train --run r");
    succeed(folder, "pack --run r");
    let before = snapshot(&folder.join("r"));
    let refused = [
        "collect --run mnt --set collect.steps=900",
        "train --run mnt --force",
        "pack --run mnt",
        "import --append --run mnt r/rollouts",
    ];
    let tries: String = refused.iter().map(|args| format!("$B {args} 2>>errors; echo $? >>codes; ")).collect();
    let script = format!(
        "mount --bind r mnt && mount -o remount,ro,bind mnt && {tries} \
         $B inspect mnt/agent.safetensors >/dev/null && $B evaluate --env CartPole-v1 --episodes 2 --agent mnt/agent.safetensors >/dev/null"
    );
    let Some(output) = mounted(folder, &script) else { return skip::not_on_this_machine(NO_MOUNTS) };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let errors = fs::read_to_string(folder.join("errors")).unwrap();
    assert_eq!(fs::read_to_string(folder.join("codes")).unwrap(), "1\n".repeat(refused.len()), "{errors}");
    let named = |line: &str| line.starts_with("error: mnt/") && line.contains("cannot") && line.contains("Read-only");
    assert!(errors.lines().count() == refused.len() && errors.lines().all(named), "{errors}");
    assert!(changes(&before, &snapshot(&folder.join("r"))).is_empty());
}

#[test]
fn another_environments_run_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(folder, &format!("collect --run r {TINY}"));
    succeed(folder, &format!("collect --run hop {} --set env=Hopper-v5", TINY.replace("--set env=CartPole-v1", "")));
    fs::write(folder.join("humanoid.safetensors"), dreamstep_fixtures::HUMANOID).unwrap();
    let found = "found `env = CartPole-v1";
    refused_naming(
        folder,
        "collect --run r --set env=Hopper-v5",
        &["r/rollouts/collect.txt", "expected `env = Hopper-v5", found],
    );
    refused_naming(folder, "collect --run r --append --set env=Hopper-v5", &["r/rollouts/collect.txt", found]);
    refused_naming(folder, "train --run r --set env=Hopper-v5", &["r/rollouts", "observations of 11", "found 4 and 1"]);
    refused_naming(
        folder,
        "import --run r --append --set env=Hopper-v5 hop/rollouts",
        &["expected an empty folder for Hopper-v5", found],
    );
    refused_naming(
        folder,
        "import --run r --append hop/rollouts",
        &["episode_0000000.npz", "expected 1 numbers", "CartPole-v1", "found 3"],
    );
    refused_naming(
        folder,
        "collect --run r --append --set collect.steps=900 --agent humanoid.safetensors",
        &["humanoid.safetensors", "made for CartPole-v1", "found one made for Humanoid-v5"],
    );
    refused_naming(
        folder,
        "import-weights --run r humanoid.safetensors",
        &["humanoid.safetensors", "expected a state dict", "packed"],
    );
}
