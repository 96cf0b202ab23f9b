//! Bad input, to the binary: each a single line that names the thing, a non-zero exit, and not a byte created or changed.

mod common;

use common::{BINARY, TINY, command, copy, json, refused_command, refused_naming, road, set, snapshot, succeed, text};
use dreamstep::data::rollouts::{Episode, file_name};
use dreamstep::run::checkpoint::{Checkpoint, meta};
use dreamstep_core::dims::Dims;
use dreamstep_core::names::metadata as key;
use dreamstep_fixtures::{HUMANOID, synthetic};
use dreamstep_runtime::Backend;
use ndarray::{Array1, Array2};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// An episode of `steps` steps with observations of `obs` and actions of `action`.
fn episode(obs: usize, action: usize, steps: usize) -> Episode {
    Episode {
        seed: 1,
        observations: Array2::from_shape_fn((steps + 1, obs), |(t, i)| (t * 31 + i) as f32 * 0.01).into(),
        actions: Array2::from_shape_fn((steps, action), |(t, i)| 0.01 * (t + i) as f32),
        rewards: Array1::from_elem(steps, 1.0),
        terminals: Array1::from_shape_fn(steps, |t| t + 1 == steps),
        truncations: Array1::from_elem(steps, false),
    }
}

/// Writes an episode past the check that `Episode::write` makes.
fn write_unchecked(episode: &Episode, path: &Path) {
    let mut npz = ndarray_npy::NpzWriter::new(fs::File::create(path).unwrap());
    npz.add_array("observations", &episode.observations.vectors().unwrap()).unwrap();
    npz.add_array("actions", &episode.actions).unwrap();
    npz.add_array("rewards", &episode.rewards).unwrap();
    npz.add_array("terminals", &episode.terminals).unwrap();
    npz.add_array("truncations", &episode.truncations).unwrap();
    npz.add_array("seed", &ndarray::arr0(episode.seed)).unwrap();
    npz.finish().unwrap();
}

#[test]
fn files_that_are_no_agent_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    write("good", HUMANOID);
    write("notes.txt", b"Humanoid notes, nothing else.\n");
    write("empty", b"");
    episode(348, 17, 20).write(&folder.join("episode.npz")).unwrap();
    fs::create_dir(folder.join("folder")).unwrap();
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
        refused_naming(folder, &format!("{} {file}", ["inspect", "evaluate --agent", "run --agent"][i % 3]), parts);
    }
    for file in ["cut2", "cut3"] {
        for args in [format!("run --agent {file}"), format!("inspect {file} --json")] {
            refused_naming(folder, &args, &[file, "bytes of data"]);
        }
    }

    // A good file, but another one.
    let (tensors, mut checkpoint) = (synthetic::tensors(&Dims::HUMANOID, 1), Checkpoint::default());
    tensors.iter().for_each(|(name, (shape, data))| checkpoint.insert(name, shape, data.clone()));
    checkpoint.write(&folder.join("from-pytorch")).unwrap();
    checkpoint.set_meta(key::FORMAT, key::FORMAT_CHECKPOINT);
    checkpoint.write(&folder.join("checkpoint")).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
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
            refused_naming(folder, &format!("{command} --agent {file}"), parts);
        }
        refused_naming(folder, &format!("{command} --agent good --env Humanoid-v4"), &["`Humanoid-v4`", "Humanoid-v5"]);
        // The seeds would wrap around to 0.
        refused_naming(
            folder,
            &format!("{command} --agent good --seed {} --episodes 2", u64::MAX),
            &["seed", &u64::MAX.to_string()],
        );
        for backend in Backend::ALL.into_iter().filter(|backend| !backend.is_available()) {
            let name = backend.name();
            refused_naming(folder, &format!("{command} --agent good --backend {name}"), &["good", name, "this processor"]);
        }
    }
    refused_naming(folder, "inspect nan", &["nan", "rnn.panels", "expected finite"]);
    // Looked at, a checkpoint is welcome; and a flipped bit is seen by the self-test.
    for file in ["from-pytorch", "checkpoint"] {
        assert_eq!(json(folder, &format!("inspect {file} --json"))["kind"], "checkpoint");
    }
    let mut flipped = HUMANOID.to_vec();
    flipped[at + 2] ^= 0x40;
    fs::write(folder.join("flipped"), flipped).unwrap();
    for command in ["evaluate", "run"] {
        refused_naming(folder, &format!("{command} --agent flipped"), &["flipped", "self-test", "expected", "found"]);
    }
    let output = command(folder, "inspect flipped --json").output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["self_test"]["portable"].as_str().unwrap().starts_with("self-test: "), "{report}");
    assert_eq!(report["self_test_passed"], false);
    assert!(!output.status.success() && text(&output.stderr) == "error: flipped: the self-test failed\n");

    // What the parser of arguments refuses has its usage below, but says what is wrong first, and does nothing.
    for args in ["run", "run --agent good --episodes 0", "evaluate --agent good --episodes 4294967296", "fly"] {
        let before = snapshot(folder);
        let output = command(folder, args).output().unwrap();
        let stderr = text(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.starts_with("error: "), "dreamstep {args}: {stderr}");
        assert!(before == snapshot(folder), "dreamstep {args}");
    }
}

#[test]
fn runs_that_cannot_go_on_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("file"), "a file").unwrap();

    // ---- configuration, which all three commands read in one place
    let commands = ["collect", "train", "pack"];
    let settings: [(&str, &[&str]); 8] = [
        ("--set vae.latnet=3", &["unknown key `vae.latnet`", "latent"]),
        ("--set vea.latent=3", &["unknown key `vea`", "vae"]),
        ("--set vae.latent=0", &["vae.latent = 0", "from 1"]),
        ("--set vae.latent=big", &["vae.latent", "expected a value of type integer", "string"]),
        ("--set vae.latent", &["vae.latent", "key=value"]),
        ("--set mdnrnn.learning_rate=nan", &["mdnrnn.learning_rate = nan"]),
        ("--config nowhere.toml", &["nowhere.toml"]),
        ("--config file", &["file: "]),
    ];
    for (i, (flags, parts)) in settings.into_iter().enumerate() {
        refused_naming(folder, &format!("{} --run new {flags}", commands[i % 3]), parts);
    }
    refused_naming(folder, "collect --run new --set env=Nowhere-v0", &["Nowhere-v0", "Humanoid-v5"]);
    refused_naming(folder, "collect --run file --set collect.steps=10", &["file"]);
    refused_naming(folder, "collect --run file/below --set collect.steps=10", &["file/below"]);

    // ---- the run is missing, or is another
    refused_naming(folder, "train --run new", &["new/rollouts", "dreamstep collect"]);
    refused_naming(folder, "pack --run new", &["new/vae.safetensors", "expected", "found none"]);
    road(folder, "r", &set(&TINY));
    let good = snapshot(folder);
    refused_naming(folder, "collect --run r --set seed=9", &["collect.txt", "seed = 9", "found", "seed = 0"]);
    refused_naming(folder, "collect --run r --set collect.steps=50", &["r/rollouts", "collect.steps = 50", "found"]);
    fs::create_dir_all(folder.join("mine/rollouts")).unwrap();
    fs::write(folder.join("mine/rollouts/precious.npz"), "precious").unwrap();
    refused_naming(folder, "collect --run mine", &["mine/rollouts", "expected an empty folder"]);

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
    refused_naming(folder, "train --run none", &["none/rollouts", "expected recorded episodes", "found none"]);
    rollouts("one", &[episode(348, 17, 20)]);
    refused_naming(folder, "train --run one", &["one/rollouts", "collect.steps = 30000", "found 20", "dreamstep collect"]);
    refused_naming(folder, "train --run one --set collect.steps=20", &["expected at least 2 episodes", "found 1"]);
    rollouts("ant", &three(105, 8));
    refused_naming(folder, "train --run ant", &["ant/rollouts", "expected observations of 348", "found 105 and 8"]);
    rollouts("mixed", &[episode(348, 17, 20), episode(348, 16, 20)]);
    refused_naming(folder, "train --run mixed", &["episode_0000001.npz", "actions of 17", "found 348 and 16"]);
    let last = rollouts("nan", &three(348, 17));
    let mut spoilt = episode(348, 17, 22);
    let mut rows = spoilt.observations.vectors().unwrap().to_owned();
    rows[[21, 0]] = f32::NAN;
    spoilt.observations = rows.into();
    write_unchecked(&spoilt, &last);
    refused_naming(folder, "train --run nan", &["episode_0000002.npz", "observations", "expected finite", "NaN"]);
    let last = rollouts("cut", &three(348, 17));
    let whole = fs::read(&last).unwrap();
    fs::write(&last, &whole[..whole.len() / 2]).unwrap();
    refused_naming(folder, "train --run cut", &["episode_0000002.npz"]);
    fs::write(&last, "not an archive").unwrap();
    refused_naming(folder, "train --run cut", &["episode_0000002.npz"]);

    // ---- a stage without the one before, or with a broken one; settings that were asked for are not put on record
    let without = |name: &str, files: &[&str]| {
        copy(&folder.join("r"), &folder.join(name));
        files.iter().for_each(|file| fs::remove_file(folder.join(name).join(file)).unwrap());
    };
    without("w", &["vae.safetensors", "mdnrnn.safetensors", "controller.safetensors", "evolution.safetensors"]);
    refused_naming(folder, "train --run w --stage mdnrnn --set mdnrnn.hidden=8", &["w/vae.safetensors"]);
    refused_naming(
        folder,
        "train --run w --stage controller --set controller.steps=9",
        &["w/vae.safetensors", "--stage vae"],
    );
    fs::copy(folder.join("r/vae.safetensors"), folder.join("w/vae.safetensors")).unwrap();
    refused_naming(
        folder,
        "train --run w --stage controller --set controller.steps=9",
        &["w/mdnrnn.safetensors", "--stage mdnrnn"],
    );
    refused_naming(folder, "pack --run w", &["w/mdnrnn.safetensors", "--stage mdnrnn"]);
    fs::copy(folder.join("r/mdnrnn.safetensors"), folder.join("w/mdnrnn.safetensors")).unwrap();
    refused_naming(folder, "pack --run w", &["w/controller.safetensors", "--stage controller"]);
    let vae = fs::read(folder.join("r/vae.safetensors")).unwrap();
    fs::remove_file(folder.join("w/mdnrnn.safetensors")).unwrap();
    for bytes in [&vae[..vae.len() - 1], &vae[..5], b"text", b""] {
        fs::write(folder.join("w/vae.safetensors"), bytes).unwrap();
        refused_naming(folder, "train --run w --stage mdnrnn --set mdnrnn.hidden=8", &["w/vae.safetensors"]);
    }
    fs::remove_file(folder.join("w/vae.safetensors")).unwrap();
    let output = command(folder, "train --run w --stage vae --set vae.learning_rate=1e30").output().unwrap();
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
        let output = command(folder, &args).env("DREAMSTEP_FAULT", "log.done:1").output().unwrap();
        assert!(!output.status.success() && state.exists(), "{args}: ended without a state");
        // No one holds it any more; the next command takes it along.
        fs::remove_file(folder.join(run).join(".lock")).unwrap();

        let (name, stage) =
            (format!("{run}/{network}.training.safetensors"), format!("train --run {run} --stage {network}"));
        let epochs = format!("{network}.epochs = 100000, expected 1 as asked for");
        refused_naming(folder, &format!("{stage} --set {network}.epochs=1"), &[&name, &epochs, "--force starts anew"]);
        let rule = format!("{network}.optimizer = \"adam\", expected \"rmsprop\"");
        refused_naming(folder, &format!("{stage} --set {network}.optimizer=rmsprop"), &[&name, &rule, "--force"]);
        if network == "mdnrnn" {
            let path = folder.join("m/vae.safetensors");
            let mut other = Checkpoint::read(&path).unwrap();
            other.set_meta("note", "not the V that it began with");
            other.write(&path).unwrap();
            refused_naming(folder, &stage, &[&name, "and this V", "--force"]);
        }
        let whole = fs::read(&state).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for bytes in [&whole[..whole.len() / 2], &flipped, b"text", b""] {
            fs::write(&state, bytes).unwrap();
            refused_naming(folder, &stage, &[&name, "damaged", "--force starts anew"]);
        }
        succeed(folder, &format!("{stage} --force --set {network}.epochs=1"));
        assert!(!state.exists() && folder.join(run).join(format!("{network}.safetensors")).exists(), "{name}");
    }

    // ---- parts that do not fit each other
    let made_with = "made with vae.latent = 32, expected 16";
    refused_naming(folder, "train --run r --stage vae --force --set vae.latent=16", &["r/mdnrnn.safetensors", made_with]);
    refused_naming(folder, "train --run r --set vae.latent=16", &["r/vae.safetensors", made_with]);
    refused_naming(
        folder,
        "train --run r --stage controller --set controller.sigma=0.5",
        &["r/evolution.safetensors", "--force"],
    );
    // V made anew in another size, then in the same size at another pace, beside the old M and C.
    for (run, setting) in [("latent", "vae.latent=16"), ("twin", "vae.learning_rate=0.002")] {
        without(run, &["mdnrnn.safetensors", "controller.safetensors", "evolution.safetensors", "agent.safetensors"]);
        succeed(folder, &format!("train --run {run} --stage vae --force --set {setting}"));
        fs::copy(folder.join("r/mdnrnn.safetensors"), folder.join(run).join("mdnrnn.safetensors")).unwrap();
        fs::copy(folder.join("r/controller.safetensors"), folder.join(run).join("controller.safetensors")).unwrap();
        refused_naming(
            folder,
            &format!("pack --run {run}"),
            &["mdnrnn.safetensors", "expected", "vae.safetensors", "found"],
        );
    }
    // M of another size beside the old C.
    without("hidden", &["controller.safetensors", "evolution.safetensors", "agent.safetensors"]);
    succeed(folder, "train --run hidden --stage mdnrnn --force --set mdnrnn.hidden=8");
    fs::copy(folder.join("r/controller.safetensors"), folder.join("hidden/controller.safetensors")).unwrap();
    refused_naming(folder, "pack --run hidden", &["controller.safetensors", "expected", "mdnrnn.safetensors", "found"]);
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
        refused_naming(folder, &format!("pack --run {run}"), parts);
    }

    // ---- somewhere to write
    fs::create_dir(folder.join("taken")).unwrap();
    refused_naming(folder, "pack --run r --out taken", &["taken", "cannot write"]);
    refused_naming(folder, "pack --run r --out file/below", &["file/below", "cannot write"]);
    #[cfg(unix)]
    {
        // A rename would put a file in the place of a device: as root, `--out /dev/null` would do lasting harm.
        let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
        refused_naming(folder, "pack --run r --out socket", &["socket", "cannot write"]);
        // As full as a disk can be: no file may grow past 32 KiB.
        fs::write(folder.join("old"), "what was there").unwrap();
        for out in ["old", "fresh"] {
            let mut shell = Command::new("sh");
            let script = "ulimit -f 64; trap '' XFSZ; exec \"$0\" \"$@\"";
            shell
                .current_dir(folder)
                .env_remove("RUST_BACKTRACE")
                .args(["-c", script, BINARY, "pack", "--run", "r", "--out", out]);
            refused_command(&mut shell, folder, &[out, "cannot write"]);
        }
    }
    // Written whole and renamed: who holds the old file keeps the old file.
    fs::hard_link(folder.join("old"), folder.join("held")).unwrap();
    succeed(folder, "pack --run r --out old");
    assert!(fs::read(folder.join("old")).unwrap() == fs::read(folder.join("r/agent.safetensors")).unwrap());
    assert_eq!(fs::read(folder.join("held")).unwrap(), b"what was there");
    // As every writer here does, it makes the folders that its file lies in.
    succeed(folder, "pack --run r --out deep/down/agent");
    assert!(folder.join("deep/down/agent").is_file());

    let after = snapshot(folder);
    assert!(good.iter().all(|(path, bytes)| after.get(path) == Some(bytes)), "the good run was changed");
}
