//! Networks pass between PyTorch and here unchanged, both ways. State dicts that numpy and PyTorch itself wrote come in bit
//! for bit; our checkpoints open there under the same names and act alike.

use crate::common::{python, refused, succeed};
use dreamstep::agent::pack;
use dreamstep::agent::weights::{Actions, InputOrder, Options, Sigma, import};
use dreamstep::run::checkpoint::Checkpoint;
use dreamstep::run::config::Config;
use dreamstep::run::folder::RunDir;
use dreamstep_core::dims::Dims;
use dreamstep_core::m::MemoryCell;
use dreamstep_core::names::checkpoint as names;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Agent, Model, memory_len};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

fn config(env: &str) -> Config {
    Config { env: env.into(), ..Config::default() }
}

/// Random weights of every part for Hopper-v5, whose range is [-1, 1], under our names.
fn hopper() -> (Dims, Checkpoint) {
    let dims = Dims::vector(11, 3, &[24, 16], 5, 32, 4);
    let mut file = Checkpoint::default();
    for (name, (shape, data)) in synthetic::tensors(&dims, 3) {
        file.insert(&name, &shape, data);
    }
    (dims, file)
}

/// The tensors of `file` that `wanted` says, under other names.
fn part(file: &Checkpoint, wanted: impl Fn(&str) -> Option<String>) -> Checkpoint {
    let tensors = file.tensors.iter().filter_map(|(name, array)| Some((wanted(name)?, array.clone())));
    Checkpoint { tensors: tensors.collect(), ..Checkpoint::default() }
}

#[test]
fn state_dicts_come_in_bit_for_bit_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), |name: &str| folder.path().join(name));
    // Written by the library that PyTorch users save with.
    let program = "
import sys, os, numpy as np
from safetensors.numpy import save_file
os.chdir(sys.argv[1])
rng = np.random.default_rng(0)
draw = lambda *shape: (rng.standard_normal(shape) * 0.3).astype(np.float32)
A, Z, H, K, O, E1, E2 = 3, 5, 32, 4, 11, 24, 16
m = {'weight_ih': draw(4*H, A+Z), 'weight_hh': draw(4*H, H), 'bias_ih': draw(4*H), 'bias_hh': draw(4*H)}
head = {'gmm_linear.weight': draw((2*Z+1)*K+2, H), 'gmm_linear.bias': draw((2*Z+1)*K+2)}
save_file({**{'rnn.%s_l0' % k: v for k, v in m.items()}, **head}, 'mdrnn.safetensors')
save_file({'module.%s' % k: v for k, v in {**{'rnn.%s' % k: v for k, v in m.items()}, **head}.items()}, 'cell.safetensors')
sizes = {'encoder.0': (E1, O), 'encoder.2': (E2, E1), 'encoder.4': (2*Z, E2), 'decoder.0': (E2, Z), 'decoder.2': (E1, E2), 'decoder.4': (O, E1)}
save_file({k: v for n, s in sizes.items() for k, v in [(n + '.weight', draw(*s)), (n + '.bias', draw(s[0]))]}, 'vae.safetensors')
save_file({'fc.weight': draw(A, Z+H), 'fc.bias': draw(A)}, 'ctrl.safetensors')
save_file({'encoder.conv1.weight': draw(32, 3, 4, 4), 'encoder.conv1.bias': draw(32), 'encoder.fc_mu.weight': draw(32, 1024)}, 'conv.safetensors')
save_file({'rnn.weight_ih_l0': draw(3*H, A+Z), 'rnn.weight_hh_l0': draw(3*H, H), 'rnn.bias_ih_l0': draw(3*H), 'rnn.bias_hh_l0': draw(3*H), **head}, 'gru.safetensors')
save_file({'rnn.weight_ih_l0': draw(2*H, A+Z), 'rnn.weight_hh_l0': draw(2*H, H), 'rnn.bias_ih_l0': draw(2*H), 'rnn.bias_hh_l0': draw(2*H), **head}, 'gates.safetensors')
";
    python::run(&["-c", program, &folder.display().to_string()]);
    let run = RunDir::new(&path("r"));
    succeed(folder, "collect --run r --set env=Hopper-v5 --set collect.steps=100");
    for file in ["cell", "vae", "ctrl"] {
        succeed(folder, &format!("import-weights --run r {file}.safetensors"));
    }
    let read = |path: &Path| Checkpoint::read(path).unwrap().tensors;
    assert_eq!(read(&run.mdnrnn()), read(&path("mdrnn.safetensors")), "an LSTMCell's names behind module. are an LSTM's");
    assert_eq!(read(&run.controller()), read(&path("ctrl.safetensors")));
    let mut vae = read(&run.vae());
    for (name, value) in [(names::NORMALIZER_MEAN, 0.0), (names::NORMALIZER_INV_STD, 1.0)] {
        assert_eq!(vae.remove(name).unwrap().data, [value; 11]);
    }
    assert_eq!(vae, read(&path("vae.safetensors")));
    let in_force = Config::default().overlay_file(&run.config(), &[]).unwrap();
    assert_eq!((in_force.vae.latent, in_force.vae.hidden), (5, vec![24, 16]));
    assert_eq!((in_force.mdnrnn.hidden, in_force.mdnrnn.mixtures), (32, 4));

    // What came in is trained on, packed and run as what was trained here, and goes out again.
    succeed(folder, "pack --run r");
    succeed(folder, "evaluate --agent r/agent.safetensors --env Hopper-v5 --episodes 2");
    let said = python::run(&[&example("open_in_numpy.py").display().to_string(), &path("r").display().to_string()]);
    assert!(
        String::from_utf8(said).unwrap().starts_with("16 steps, largest difference"),
        "the script fails where it exceeds 1e-5"
    );
    python::run_with_torch(&[&example("open_in_pytorch.py").display().to_string(), &path("r").display().to_string()]);
    let evolve = "train --run r --stage controller --set controller.steps=50 --set controller.directions=2";
    refused(folder, evolve, "controller.safetensors: imported, or made with other settings");
    succeed(folder, &format!("{evolve} --force"));

    // ---- the same with a GRU
    succeed(folder, "collect --run g --set env=Hopper-v5 --set collect.steps=100");
    for file in ["gru", "vae", "ctrl"] {
        succeed(folder, &format!("import-weights --run g {file}.safetensors"));
    }
    let gru = RunDir::new(&path("g"));
    assert_eq!(read(&gru.mdnrnn()), read(&path("gru.safetensors")));
    assert_eq!(Config::default().overlay_file(&gru.config(), &[]).unwrap().mdnrnn.cell, MemoryCell::Gru);
    succeed(folder, "pack --run g");
    succeed(folder, "evaluate --agent g/agent.safetensors --env Hopper-v5 --episodes 2");
    let said = python::run(&[&example("open_in_numpy.py").display().to_string(), &path("g").display().to_string()]);
    assert!(String::from_utf8(said).unwrap().starts_with("16 steps, largest difference"), "as above");
    python::run_with_torch(&[&example("open_in_pytorch.py").display().to_string(), &path("g").display().to_string()]);

    // ---- what cannot run here, or is no part of this run
    let before = std::fs::read(run.mdnrnn()).unwrap();
    let refuse = |run: &str, file: &str, env: &str, options: Options, parts: &[&str]| {
        let error = import(&config(env), &RunDir::new(&path(run)), &path(file), &options).unwrap_err();
        let error = format!("{error:#}");
        assert!(parts.iter().all(|part| error.contains(part)) && !error.contains('\n'), "{error} should name {parts:?}");
    };
    let default = Options::default();
    refuse(
        "new",
        "conv.safetensors",
        "Hopper-v5",
        default,
        &["conv.safetensors", "expected an environment that shows pictures, found Hopper-v5 with 11 numbers"],
    );
    refuse(
        "new",
        "gates.safetensors",
        "Hopper-v5",
        default,
        &["rnn.weight_hh_l0", "128 rows of an LSTM of 32", "96 of a GRU", "found 64"],
    );
    refuse(
        "new",
        "mdrnn.safetensors",
        "Humanoid-v5",
        default,
        &["rnn.weight_ih_l0", "17 actions of Humanoid-v5", "found 8"],
    );
    refuse("new", "mdrnn.safetensors", "Walker2d-v5", default, &["gmm_linear.weight", "latent of 2", "found [46, 32]"]);
    refuse(
        "new",
        "vae.safetensors",
        "Walker2d-v5",
        default,
        &["encoder.0.weight", "17 numbers that Walker2d-v5", "found 11"],
    );
    refuse("new", "missing.safetensors", "Hopper-v5", default, &["missing.safetensors"]);
    refuse("r", "mdrnn.safetensors", "Hopper-v5", default, &["mdnrnn.safetensors", "--force replaces it"]);
    let (_, ours) = hopper();
    for (file, name, change) in [
        ("extra", "rnn.weight_ih_l1", ours.tensors["rnn.weight_ih_l0"].clone()),
        ("optimizer", "optimizer.lr", ours.tensors["fc.bias"].clone()),
        ("bias", "rnn.bias_hh_l0", ours.tensors["fc.bias"].clone()),
    ] {
        let mut file_ = part(&ours, |name| name.starts_with("rnn").then(|| name.into()));
        file_.tensors.extend(part(&ours, |name| name.starts_with("gmm").then(|| name.into())).tensors);
        file_.tensors.insert(name.into(), change);
        file_.write(&path(file)).unwrap();
        refuse("new", file, "Hopper-v5", default, &[file, name, "expected", "found"]);
    }
    let mut big = part(&ours, |name| name.starts_with("fc").then(|| name.into()));
    big.insert("fc.weight", &[3, 99], vec![0.0; 297]);
    big.write(&path("big")).unwrap();
    refuse("r", "big", "Hopper-v5", Options { force: true, ..default }, &["fc.weight", "[3, 37]", "[3, 99]"]);
    assert!(!path("new").exists() && before == std::fs::read(run.mdnrnn()).unwrap(), "a refusal changes nothing");
    // Humanoid's range is ±0.4: what the network means by an action has to be said.
    let mut controller = Checkpoint::default();
    controller.insert("fc.weight", &[17, 20], vec![0.1; 340]);
    controller.write(&path("humanoid")).unwrap();
    refuse("new", "humanoid", "Humanoid-v5", default, &["--actions unit or --actions raw", "-0.4 to 0.4"]);
}

/// A network with other conventions, brought to ours, says the same of the same: as a naive step in f64 shows.
#[test]
fn conventions_are_folded_into_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (a, z, h, k) = (17, 4, 8, 3); // Humanoid-v5: a range of ±0.4
    let draw = |tensor: u64, n: usize| -> Vec<f32> {
        let mut values = vec![0.0; n];
        Philox::new(9).fill_normal(Stream::SyntheticWeights, tensor, &mut values);
        values
    };
    let head = (2 * z + 1) * k + 2;
    let mut file = Checkpoint::default();
    for (tensor, (name, shape)) in (0..).zip([
        ("rnn.weight_ih_l0", vec![4 * h, a + z]),
        ("rnn.weight_hh_l0", vec![4 * h, h]),
        ("rnn.bias_ih_l0", vec![4 * h]),
        ("rnn.bias_hh_l0", vec![4 * h]),
        ("gmm_linear.weight", vec![head, h]),
        ("gmm_linear.bias", vec![head]),
        ("fc.weight", vec![a, z + h]),
        ("fc.bias", vec![a]),
    ]) {
        file.insert(name, &shape, draw(tensor, shape.iter().product()));
    }
    file.write(&path("foreign")).unwrap();
    let run = RunDir::new(&path("r"));
    let options =
        Options { actions: Some(Actions::Raw), input: InputOrder::ZAction, sigma: Sigma::LogVariance, ..Options::default() };
    let report = import(&config("Humanoid-v5"), &run, &path("foreign"), &options).unwrap();
    assert_eq!(report.written, [run.mdnrnn(), run.controller()]);
    assert_eq!(report.notes.len(), 4, "every change is told: {:?}", report.notes);
    let (m, c) = (Checkpoint::read(&run.mdnrnn()).unwrap(), Checkpoint::read(&run.controller()).unwrap());

    let affine = |file: &Checkpoint, weight: &str, bias: &str, x: &[f64]| -> Vec<f64> {
        let (weight, bias) = (&file.tensors[weight].data, &file.tensors[bias].data);
        let row =
            |(row, bias): (&[f32], &f32)| f64::from(*bias) + row.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum::<f64>();
        weight.chunks_exact(x.len()).zip(bias).map(row).collect()
    };
    let close = |a: &[f64], b: &[f64], what: &str| {
        assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{what}: {a:?} {b:?}");
    };
    let wide = |tensor, n| draw(tensor, n).into_iter().map(f64::from).collect::<Vec<_>>();
    let (latent, hidden, unit) = (wide(20, z), wide(21, h), wide(22, a).iter().map(|v| v.tanh()).collect::<Vec<_>>());
    let raw: Vec<f64> = unit.iter().map(|u| f64::from(0.4_f32) * u).collect();
    let (theirs, ours) = ([latent.clone(), raw].concat(), [unit, latent.clone()].concat());
    let (w, b) = ("rnn.weight_ih_l0", "rnn.bias_ih_l0");
    close(&affine(&file, w, b, &theirs), &affine(&m, w, b, &ours), "gates");
    let (w, b) = ("gmm_linear.weight", "gmm_linear.bias");
    let mut expected = affine(&file, w, b, &hidden);
    expected[k * z..2 * k * z].iter_mut().for_each(|log_variance| *log_variance /= 2.0);
    close(&expected, &affine(&m, w, b, &hidden), "head");
    let features = [latent, hidden].concat();
    let action: Vec<f64> = affine(&c, "fc.weight", "fc.bias", &features).iter().map(|u| f64::from(0.4_f32) * u).collect();
    close(&affine(&file, "fc.weight", "fc.bias", &features), &action, "controller");

    // Two heads of an encoder, log-sigma instead of log-variance, and layers by other names.
    let (dims, ours) = hopper();
    let mut split = part(&ours, |name| {
        let renamed = name.replace("encoder.0", "encoder.fc1").replace("encoder.2", "encoder.fc2");
        (name.starts_with("encoder") && !name.starts_with("encoder.4")).then_some(renamed)
    });
    let last = [&ours.tensors["encoder.4.weight"], &ours.tensors["encoder.4.bias"]];
    for (kind, array, shape) in
        [("weight", last[0], vec![dims.latent_len(), 16]), ("bias", last[1], vec![dims.latent_len()])]
    {
        let (mean, log_variance) = array.data.split_at(array.data.len() / 2);
        split.insert(&format!("encoder.fc_mu.{kind}"), &shape, mean.to_vec());
        split.insert(&format!("encoder.fc_logsigma.{kind}"), &shape, log_variance.iter().map(|v| v / 2.0).collect());
    }
    split.write(&path("split")).unwrap();
    let run = RunDir::new(&path("v"));
    import(&config("Hopper-v5"), &run, &path("split"), &Options::default()).unwrap();
    let found = Checkpoint::read(&run.vae()).unwrap();
    for name in ["encoder.0.weight", "encoder.2.bias", "encoder.4.weight", "encoder.4.bias"] {
        assert_eq!(found.tensors[name], ours.tensors[name], "{name}");
    }
}

/// Names that wrappers of the whole or of a part changed are the plain ones; two networks in one file stay two.
#[test]
fn what_wrappers_add_to_names_is_taken_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let m = part(&hopper().1, |name| (name.starts_with("rnn") || name.starts_with("gmm")).then(|| name.into()));
    for (i, (from, to, note)) in [
        ("", "module.", ""),
        ("", "module._orig_mod.", ""),
        ("rnn.", "rnn._orig_mod.", ""),
        ("rnn.", "rnn.module.", ""),
        ("rnn.", "_orig_mod.rnn._fsdp_wrapped_module._checkpoint_wrapped_module.", ""),
        ("", "_forward_module.model.", "names: the prefix model. taken off"),
        ("", "agent.mdnrnn.", "names: the prefix agent.mdnrnn. taken off"),
    ]
    .into_iter()
    .enumerate()
    {
        let file = path(&format!("{i}.safetensors"));
        part(&m, |name| Some(name.replacen(from, to, 1))).write(&file).unwrap();
        let run = RunDir::new(&path(&format!("run{i}")));
        let report = import(&config("Hopper-v5"), &run, &file, &Options::default()).unwrap();
        assert_eq!(Checkpoint::read(&run.mdnrnn()).unwrap().tensors, m.tensors, "{to}");
        assert_eq!(report.notes.join("; "), note, "{to}");
    }
    for (first, second, found) in [
        ("actor.fc", "critic.fc", "tensor actor.fc.bias: expected encoder"),
        ("fc", "module.fc", "expected fc.bias once, found it twice"),
        ("fc.parametrizations", "fc", "tensor fc.parametrizations.bias: expected no such tensor"),
    ] {
        let mut two = part(&hopper().1, |name| name.starts_with("fc").then(|| name.replacen("fc", first, 1)));
        two.tensors.extend(part(&hopper().1, |name| name.starts_with("fc").then(|| name.replacen("fc", second, 1))).tensors);
        two.write(&path("two.safetensors")).unwrap();
        let run = RunDir::new(&path("two"));
        let error =
            format!("{:#}", import(&config("Hopper-v5"), &run, &path("two.safetensors"), &Options::default()).unwrap_err());
        assert!(error.contains(found) && !error.contains('\n') && !run.root().exists(), "{error}");
    }
}

/// Files that PyTorch, Keras and numpy write themselves are refused by what they are, and the line says what to do.
#[test]
fn files_of_other_formats_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let program = "
import sys, os, zipfile, pickle, numpy as np
os.chdir(sys.argv[1])
with zipfile.ZipFile('best.tar', 'w') as z: z.writestr('best/data.pkl', pickle.dumps({'epoch': 3})); z.writestr('best/data/0', bytes(64))
for protocol in range(2, 6): open('old%d.pt' % protocol, 'wb').write(pickle.dumps({'epoch': 3}, protocol))
np.savez('weights.npz', a=np.ones(3))
open('keras.h5', 'wb').write(b'\\x89HDF\\r\\n\\x1a\\n' + bytes(100))
open('oldest.pt', 'wb').write(bytes(257) + b'ustar' + bytes(300))
open('empty.safetensors', 'wb'); open('text.safetensors', 'w').write('hello, world')
";
    python::run(&["-c", program, &folder.path().display().to_string()]);
    for (file, found) in [
        ("best.tar", "found a zip of PyTorch's torch.save"),
        ("old2.pt", "found a Python pickle, as torch.save wrote"),
        ("old5.pt", "found a Python pickle, as torch.save wrote"),
        ("oldest.pt", "found a tar archive, as the first versions of torch.save wrote"),
        ("weights.npz", "found an .npz of numpy; in Python: safetensors.numpy.save_file("),
        ("keras.h5", "found an HDF5 file"),
        ("empty.safetensors", "not a safetensors file"),
        ("text.safetensors", "not a safetensors file"),
        ("nowhere.safetensors", "cannot read"),
    ] {
        let run = RunDir::new(&folder.path().join("run"));
        let error = import(&config("Hopper-v5"), &run, &folder.path().join(file), &Options::default()).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(file) && error.contains(found) && !error.contains('\n') && !run.root().exists(), "{error}");
        assert_eq!(error.contains("save_file("), error.contains("expected a state dict as safetensors, found"), "{error}");
    }
}

/// PyTorch builds an MDN-RNN and saves it; what it says of a step is what the runtime says after the import.
#[test]
fn an_mdn_rnn_that_pytorch_built_predicts_the_same_here() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let script = example("save_mdnrnn.py").display().to_string();
    let out = path("mdrnn.safetensors").display().to_string();
    let said = python::run_with_torch(&[&script, &out, "3", "5", "32", "4"]);
    let expected: Vec<f32> = said.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert_eq!(expected.len(), 46);

    let (dims, ours) = hopper();
    part(&ours, |name| (!name.starts_with("rnn") && !name.starts_with("gmm")).then(|| name.into()))
        .write(&path("rest"))
        .unwrap();
    let run = RunDir::new(&path("r"));
    for file in ["rest", "mdrnn.safetensors"] {
        import(&config("Hopper-v5"), &run, &path(file), &Options::default()).unwrap();
    }
    let tensors = |path: &Path| Checkpoint::read(path).unwrap().tensors;
    assert_eq!(tensors(&run.mdnrnn()), tensors(&path("mdrnn.safetensors")));

    // An encoder that answers every observation with z = 0.04, 0.05, …: its last bias.
    let mut vae = Checkpoint::read(&run.vae()).unwrap();
    vae.tensors.get_mut(names::ENCODER_WEIGHT[2]).unwrap().data.fill(0.0);
    let bias = &mut vae.tensors.get_mut(names::ENCODER_BIAS[2]).unwrap().data;
    bias.iter_mut().zip(4_u8..).for_each(|(b, i)| *b = 0.01 * f32::from(i));
    vae.write(&run.vae()).unwrap();
    let ingredients = pack::Ingredients::read(&run).unwrap();
    let bytes = pack::base_agent(&ingredients, &config("Hopper-v5")).unwrap();
    let model = Model::load(&bytes).unwrap();
    let mut memory = vec![0.0; memory_len(model.dims())];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    agent.act(&[0.0; 11], &mut [0.0; 3]).unwrap();
    agent.override_action(&[0.01, 0.02, 0.03]).unwrap();
    agent.advance().unwrap();
    let prediction = agent.predict().unwrap();
    let (z, k) = (dims.latent_len(), dims.mixtures());
    let close =
        |found: f32, at: usize| assert!((found - expected[at]).abs() < 1e-5, "output {at}: {found} and {}", expected[at]);
    for i in 0..k {
        for j in 0..z {
            close(prediction.mean(i, j), i * z + j);
            close(prediction.sigma(i, j).ln(), (k + i) * z + j);
        }
    }
    close(prediction.reward(), (2 * z + 1) * k);
    let logits = expected[2 * k * z..][..k].iter().map(|logit| logit.exp());
    let total: f32 = logits.clone().sum();
    for (i, weight) in logits.enumerate() {
        assert!((prediction.weight(i, 0) - weight / total).abs() < 1e-5, "mixture weight {i}");
    }
    let terminal = 1.0 / (1.0 + (-expected[45]).exp());
    assert!((prediction.terminal_probability() - terminal).abs() < 1e-5, "terminal");
}

/// Sizes that no environment here has: a robot's. What the configuration does not say, the networks do.
#[test]
fn networks_of_any_sizes_come_in_as_a_robots() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), |name: &str| folder.path().join(name));
    let (o, a, z, h, k) = (29, 9, 37, 50, 3);
    let script = example("save_mdnrnn.py").display().to_string();
    let [actions, latents, units, mixtures] = [a, z, h, k].map(|size| size.to_string());
    let out = path("m.safetensors").display().to_string();
    python::run_with_torch(&[&script, &out, &actions, &latents, &units, &mixtures]);
    // V and C of TorchWM's sizes, and all three in one file.
    let file = Checkpoint::read(&path("m.safetensors")).unwrap();
    let dims = Dims::vector(o, a, &[24, 16], z, h, k);
    let others = synthetic::tensors(&dims, 3);
    let others = others.iter().filter(|(name, _)| !name.starts_with("rnn") && !name.starts_with("gmm"));
    let write = |name: &str, parts: &[&str]| {
        let tensors = others.clone().filter(|(name, _)| parts.iter().any(|part| name.starts_with(part)));
        let mut all = if parts.contains(&"rnn") { file.clone() } else { Checkpoint::default() };
        tensors.for_each(|(name, (shape, data))| all.insert(name, shape, data.clone()));
        all.write(&path(name)).unwrap();
    };
    write("mc.safetensors", &["rnn", "fc."]);
    write("v.safetensors", &["encoder", "decoder", "normalizer"]);
    write("all.safetensors", &["rnn", "fc.", "encoder", "decoder", "normalizer"]);
    let read = |path: &Path| Checkpoint::read(path).unwrap().tensors;
    let recorded = |run: &str| Config::default().overlay_file(&path(run).join("config.toml"), &[]).unwrap().env.recorded;

    // ---- M and C alone: C says how many actions there are
    let said = succeed(folder, "import-weights --run mc --set env=recorded mc.safetensors");
    let note = "env.recorded.action = [{ size = 9, low = -1.0, high = 1.0 }], by C's rows, in the networks' own units";
    assert!(said.contains(note), "{said}");
    let run = RunDir::new(&path("mc"));
    let both: BTreeMap<_, _> = read(&run.mdnrnn()).into_iter().chain(read(&run.controller())).collect();
    assert_eq!(both, read(&path("mc.safetensors")), "bit for bit");
    assert_eq!((recorded("mc").action[0].size, recorded("mc").obs()), (a, 0));
    // ---- then V
    let said = succeed(folder, "import-weights --run mc v.safetensors");
    assert!(said.contains("env.recorded.observation = [{ size = 29 }], by V's inputs"), "{said}");
    assert_eq!(recorded("mc").obs(), o);
    // ---- all at once, or V first: M's inputs less V's latent
    succeed(folder, "import-weights --run all --set env=recorded all.safetensors");
    succeed(folder, "import-weights --run v --set env=recorded --set env.recorded.choices=9 v.safetensors");
    succeed(
        folder,
        "import-weights --run vm --set env=recorded --set env.recorded.action=[{size=9,low=0,high=4}] v.safetensors",
    );
    refused(
        folder,
        "import-weights --run vm m.safetensors",
        "expected --actions unit or --actions raw: the actions of recorded span 0 to 4",
    );
    succeed(folder, "import-weights --run vm --actions raw m.safetensors");
    let names = ["vae.safetensors", "mdnrnn.safetensors", "controller.safetensors"];
    assert!(names.iter().all(|name| read(&path("all").join(name)) == read(&path("mc").join(name))));
    // ---- packed, once the period is known
    let episode = "
import numpy as np, sys
np.savez(sys.argv[1], observations=np.ones((9, 29)), actions=np.zeros((8, 9)), rewards=np.zeros(8), terminated=np.zeros(8, bool))
";
    python::run(&["-c", episode, &path("log.npz").display().to_string()]);
    refused(folder, "pack --run all", "expected keys such as env.period_s = 0.02; found none");
    succeed(folder, "import --run all --set env.period_s=0.05 log.npz");
    succeed(folder, "pack --run all");

    // ---- what nobody says is asked for
    refused(
        folder,
        "import-weights --run n --set env=recorded m.safetensors",
        "m.safetensors: expected env.recorded.action, such as [{ size = 3, low = -1.0, high = 1.0 }], or env.recorded.choices: 46 inputs of M",
    );
    refused(
        folder,
        "import-weights --run n --set env=recorded --set env.recorded.action=[{size=8,low=-1,high=1}] mc.safetensors",
        "tensor gmm_linear.weight: expected [(2·38+1)·K+2, 50]",
    );
}
