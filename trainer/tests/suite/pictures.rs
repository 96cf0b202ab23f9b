//! V of pictures from end to end, without a simulator: recorded frames of a dot that moves become V, M, C, an agent and a report; and
//! PyTorch's networks come in and go out.

use crate::common::{json, python, refused, succeed};
use dreamstep::agent::v::Codec;
use dreamstep::run::checkpoint::Checkpoint;
use dreamstep::run::folder::RunDir;
use dreamstep_core::pack::AlignedBytes;
use dreamstep_runtime::{Agent, Model, memory_len};
use serde_json::Value;
use std::path::Path;

/// A dot of 32 x 32 pixels in grey that goes where its two actions push it, from wall to wall.
const DOT: &str = "
import sys, os, numpy as np
os.chdir(sys.argv[1]); os.mkdir('logs')
y, x = np.mgrid[:32, :32]
for e in range(10):
    g, n = np.random.default_rng(e), 40
    a = np.repeat(g.uniform(-1, 1, (8, 2)), 5, axis=0).astype(np.float32)
    at = [g.uniform(6, 26, 2)]
    for push in a: at.append(np.clip(at[-1] + 2 * push, 4, 28))
    frames = np.stack([230 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 12) + 10 for px, py in at])
    reward = -np.abs(np.array(at[1:]) - 16).sum(1) / 16
    np.savez('logs/%d.npz' % e, observations=frames[..., None].astype(np.uint8), actions=a, rewards=reward.astype(np.float32),
             terminals=np.zeros(n, bool), truncations=np.arange(n) == n - 1)
";

const CONFIG: &str = "
[env]
id = \"recorded\"
period_s = 0.1
[env.recorded]
image = [32, 32, 1]
action = [{ size = 2, low = -1, high = 1 }]
[vae]
latent = 4
convolution = { encoder = \"8:4:2:0,16:4:2:1\", decoder = \"\" }
epochs = 30
batch_size = 8
learning_rate = 0.006
kl_weight = 0.02
kl_tolerance = 0.0
validation = 0.2
[mdnrnn]
hidden = 16
mixtures = 2
epochs = 2
sequence_length = 20
[controller]
scored_on = \"dreams\"
[dream]
generations = 2
dreams = 2
validation_dreams = 4
horizon = 10
";

fn dots() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    python::run(&["-c", DOT, &folder.path().display().to_string()]);
    std::fs::write(folder.path().join("dot.toml"), CONFIG).unwrap();
    succeed(folder.path(), "import --run r --config dot.toml logs");
    folder
}

#[test]
fn frames_become_an_agent_and_a_report() {
    let folder = dots();
    let folder = folder.path();
    succeed(folder, "train --run r");
    let run = RunDir::new(&folder.join("r"));

    // ---- V learns, and shows what
    let log = std::fs::read_to_string(run.metrics()).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let epochs: Vec<Value> = lines.filter(|line| line["stage"] == "vae" && line["epoch"].is_number()).collect();
    let loss = |epoch: &Value| epoch["validation"]["reconstruction"].as_f64().unwrap();
    assert!(epochs.len() == 30 && loss(&epochs[29]) < 0.5 * loss(&epochs[0]), "{epochs:?}");
    let pictures: Vec<usize> = run.samples().into_iter().map(|(epoch, _)| epoch).collect();
    assert_eq!(pictures, [3, 6, 9, 12, 15, 18, 21, 24, 27, 30], "every tenth of them");
    let events: Vec<u8> = std::fs::read_dir(run.tensorboard())
        .unwrap()
        .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    assert_eq!(events.windows(11).filter(|bytes| bytes == b"vae/samples").count(), 10);
    let vae = Checkpoint::read(&run.vae()).unwrap();
    for (key, value) in [
        ("v.kind", "conv"),
        ("v.convolutions", "8:4:2:0,16:4:2:1"),
        // 32 → 15 → 7, and back.
        ("v.decoder", "7x7x16,8:5:2:1,1:4:2:0"),
        ("observation.kind", "image"),
        ("observation.channels", "1"),
    ] {
        assert_eq!(vae.metadata[key], value, "{key}");
    }
    assert!(vae.tensors.keys().all(|name| !name.starts_with("normalizer")));

    // ---- the report
    let report = json(folder, "report --run r --json");
    let [v, pca] = &report["vae"]["pictures"].as_array().unwrap()[..] else { panic!("{report}") };
    let number = |of: &Value, key: &str| of[key].as_f64().unwrap();
    for of in [v, pca] {
        assert!(number(of, "squared_error") > 0.0 && number(of, "psnr_db") > 10.0 && number(of, "ssim") > 0.2, "{report}");
    }
    // Where the dot is, is not linear in pixels.
    assert!(number(v, "squared_error") < 0.7 * number(pca, "squared_error"), "{report}");
    assert!(report["mdnrnn"]["observation"]["direct_ridge"].is_null(), "of frames there is no regression on all pixels");
    assert!(number(&report["mdnrnn"]["observation"], "mdnrnn") > 0.0);
    let text = std::fs::read_to_string(run.report()).unwrap();
    assert!(text.contains("squared error a frame") && text.contains("PSNR (dB)"), "{text}");
    assert!(std::fs::read(run.figures().join("vae_frames.png")).unwrap().starts_with(b"\x89PNG"));
    // The same, once more.
    assert_eq!(report, json(folder, "report --run r --json"));

    // ---- the agent
    succeed(folder, "pack --run r");
    let said = succeed(folder, "inspect r/agent.safetensors");
    assert!(said.contains("image of 32 × 32 × 1") && said.contains("8:4:2:0,16:4:2:1"), "{said}");
    let narrow = json(folder, "pack --run r --precision i8 --json");
    assert!(narrow["recorded_episodes"] == 10 && narrow["action_error"]["max"].as_f64() < Some(0.2), "{narrow}");

    // ---- with the decoder: the runtime shows what a latent stands for, as V itself would
    succeed(folder, "pack --run r --decoder --out seen.safetensors");
    let said = succeed(folder, "inspect seen.safetensors");
    assert!(said.contains("with a decoder"), "{said}");
    let bytes = AlignedBytes::new(&std::fs::read(folder.join("seen.safetensors")).unwrap());
    let (decoder, codec) = (Model::load(&bytes).unwrap().decoder().unwrap(), Codec::read(&run.vae()).unwrap());
    let (mut memory, mut picture) = (vec![0.0; decoder.memory_len()], vec![0; 32 * 32]);
    for latent in [vec![0.0; 4], vec![0.5, -1.0, 1.5, 0.2]] {
        decoder.decode(&latent, &mut memory, &mut picture).unwrap();
        let of_codec = codec.decode(&[latent]).unwrap().remove(0);
        assert!(picture.iter().zip(of_codec).all(|(&byte, value)| f64::from(byte) == value));
    }

    // ---- what does not go together
    let train = |setting: &str| format!("train --run r --force --set {setting}");
    refused(
        folder,
        &train("vae.convolution.encoder=8:17:2:0"),
        "vae.convolution.encoder: expected channels:kernel:stride:padding of one to six convolutions, channels of 1 to 4096, a kernel of at most 16",
    );
    refused(
        folder,
        &train("vae.convolution.decoder=7x7x16,1:4:2:0"),
        "vae.convolution: 7x7x16,1:4:2:0: expected 32x32x1, found 16x16x1",
    );
    refused(
        folder,
        &train("vae.convolution.encoder=word"),
        "vae.convolution.encoder: expected channels:kernel:stride:padding",
    );
    refused(folder, &train("vae.start=identity"), "found frames");
    refused(folder, "train --run r --set controller.input=obs", "controller.input");
}

/// Mirrored frames are other frames: the losses differ, and held-out ones are never mirrored.
#[test]
fn frames_are_mirrored_on_demand() {
    let folder = dots();
    let folder = folder.path();
    let losses = |setting: &str| -> Vec<[f64; 2]> {
        succeed(folder, &format!("train --run r --stage vae --force --set vae.epochs=2 {setting}"));
        let log = std::fs::read_to_string(folder.join("r/metrics.jsonl")).unwrap();
        let epochs: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["stage"] == "vae" && line["epoch"].is_number())
            .collect();
        epochs[epochs.len() - 2..]
            .iter()
            .map(|e| ["train", "validation"].map(|part| e[part]["loss"].as_f64().unwrap()))
            .collect()
    };
    let plain = losses("");
    assert_eq!(plain, losses(""), "on one machine, the same");
    let flipped = losses("--set vae.flip=true");
    assert!(plain.iter().zip(&flipped).all(|(a, b)| a != b), "{plain:?} {flipped:?}");
    let contrasted = losses("--set vae.contrast_weight=10");
    assert!(plain.iter().flatten().zip(contrasted.iter().flatten()).all(|(a, b)| a < b), "{plain:?} {contrasted:?}");
}

fn answers(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[track_caller]
fn close(found: impl IntoIterator<Item = f64>, expected: &[f64], allowed: f64, what: &str) {
    let found: Vec<f64> = found.into_iter().collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.into_iter().zip(expected).enumerate() {
        assert!((found - expected).abs() < allowed, "{what}[{i}]: found {found}, expected {expected}");
    }
}

/// What PyTorch answers to frames with ctallec's VAE, MDRNN and controller, the agent made of them answers, to 1e-4; and PyTorch opens V
/// again.
#[test]
fn a_world_that_pytorch_built_acts_the_same_here() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), |name: &str| folder.path().join(name));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/convolutional_vae.py").display().to_string();
    python::run_with_torch(&[&script, "save", &folder.display().to_string()]);
    let expected = answers(&path("answers.json"));
    let env = "--set env=recorded --set env.period_s=0.02 --set env.recorded.image=[64,64,3] \
               --set env.recorded.action=[{size=3,low=-1,high=1}]";
    let said = succeed(folder, &format!("import-weights --run r {env} world.safetensors"));
    assert!(!said.contains("no decoder"), "{said}");
    let run = RunDir::new(&path("r"));
    let tensors = |path: &Path| Checkpoint::read(path).unwrap().tensors;
    let given = tensors(&path("world.safetensors"));
    for (name, array) in tensors(&run.vae()) {
        assert_eq!(array, given[&format!("module.{name}")], "{name}");
    }
    succeed(folder, "import --run r frames.npz");
    succeed(folder, "pack --run r");

    // ---- V alone
    let codec = Codec::read(&run.vae()).unwrap();
    let frames = frames(folder);
    let numbers_of = |frame: &Vec<u8>| frame.iter().map(|&byte| f32::from(byte)).collect::<Vec<_>>();
    for (t, [mean, log_var]) in codec.encode(frames.iter().map(numbers_of)).unwrap().iter().enumerate() {
        close(mean.iter().map(|&v| v.into()), &numbers(&expected["mean"][t]), 1e-4, "mean");
        close(log_var.iter().map(|&v| f64::from(v) / 2.0), &numbers(&expected["log_sigma"][t]), 1e-4, "log sigma");
    }
    let first: Vec<f32> = numbers(&expected["mean"][0]).iter().map(|&v| v as f32).collect();
    let decoded = codec.decode(&[first]).unwrap().remove(0);
    close(
        decoded,
        &numbers(&expected["decoded"]).iter().map(|v| v * 255.0).collect::<Vec<_>>(),
        0.5 + 0.03,
        "decoded, in bytes",
    );

    // ---- the agent
    let bytes = AlignedBytes::new(&std::fs::read(run.agent()).unwrap());
    let model = Model::load(&bytes).unwrap();
    let mut memory = vec![0.0; memory_len(model.dims())];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    let mut action = [0.0; 3];
    for (t, frame) in frames.iter().enumerate() {
        agent.act_image(frame, 64 * 3, &mut action).unwrap();
        close(agent.latent().iter().map(|&v| v.into()), &numbers(&expected["mean"][t]), 1e-4, "the agent's latent");
        close(action.iter().map(|&v| v.into()), &numbers(&expected["action"][t]), 1e-4, "action");
        agent.advance().unwrap();
        close(agent.hidden().iter().map(|&v| v.into()), &numbers(&expected["hidden"][t]), 1e-4, "h");
    }

    // ---- and back
    let vae = run.vae().display().to_string();
    let said = python::run_with_torch(&[&script, "open", &vae, &path("frames.npz").display().to_string()]);
    let opened: Value = serde_json::from_str(&said).unwrap();
    for t in 0..frames.len() {
        close(numbers(&opened["mean"][t]), &numbers(&expected["mean"][t]), 1e-4, "opened");
    }

    // ---- what TorchWM calls otherwise, what is missing, and what does not fit
    let with = |name: &str, change: &dyn Fn(&mut Checkpoint)| {
        let mut file = Checkpoint { tensors: given.clone(), ..Checkpoint::default() };
        change(&mut file);
        file.write(&path(name)).unwrap();
    };
    with("torchwm.safetensors", &|file| {
        for kind in ["weight", "bias"] {
            let array = file.tensors.remove(&format!("module.decoder.fc1.{kind}")).unwrap();
            file.tensors.insert(format!("module.decoder.fc.{kind}"), array);
        }
    });
    succeed(folder, &format!("import-weights --run t {env} torchwm.safetensors"));
    assert_eq!(tensors(&run.vae()), tensors(&path("t/vae.safetensors")));
    with("blind.safetensors", &|file| file.tensors.retain(|name, _| !name.contains("decoder")));
    let said = succeed(folder, &format!("import-weights --run b {env} blind.safetensors"));
    assert!(said.contains("V: no decoder"), "{said}");
    with("other.safetensors", &|file| {
        file.insert("module.encoder.conv2.weight", &[64, 32, 3, 3], vec![0.0; 64 * 32 * 9]);
    });
    refused(folder, &format!("import-weights --run o {env} other.safetensors"), "vae.convolution says");
    let vectors = "--set env=Hopper-v5";
    refused(
        folder,
        &format!("import-weights --run o {vectors} blind.safetensors"),
        "expected an environment that shows pictures",
    );
}

/// The frames of `frames.npz`, `[9][64·64·3]`.
fn frames(folder: &Path) -> Vec<Vec<u8>> {
    let program = "import sys, numpy as np; sys.stdout.buffer.write(np.load(sys.argv[1])['observations'].tobytes())";
    let bytes = python::run(&["-c", program, &folder.join("frames.npz").display().to_string()]);
    assert_eq!(bytes.len(), 9 * 64 * 64 * 3);
    bytes.chunks(64 * 64 * 3).map(<[u8]>::to_vec).collect()
}
