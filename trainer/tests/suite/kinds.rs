//! Every kind of V and C from the command line, end to end. Trained or evolved, packed, proved, evaluated. And do agents of
//! older versions come along: in format packed-2, and with a V that only copies its input?

use crate::common::{dreamstep, json, refused};
use dreamstep::agent::pack;
use dreamstep::run::checkpoint::{Checkpoint, meta};
use dreamstep::run::folder::{RunDir, digest};
use dreamstep_core::names::{checkpoint as names, metadata as key};
use dreamstep_core::pack::{Entry, packed2, safetensors_bytes, unpack};
use dreamstep_core::precision::Precision;
use dreamstep_core::reader::File;
use dreamstep_fixtures::CARTPOLE;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const SETTINGS: &str = "--set env=CartPole-v1 --set vae.latent=4 --set vae.hidden=[16,16] --set vae.kl_weight=0.1 \
                        --set collect.steps=600 --set vae.epochs=1 --set mdnrnn.epochs=1 --set mdnrnn.hidden=20 \
                        --set controller.steps=400 --set controller.directions=3";

/// A run in `folder/r` with V, M and C.
fn trained(folder: &Path, more: &str) {
    dreamstep(folder, &format!("collect --run r {SETTINGS} {more}")).unwrap();
    dreamstep(folder, "train --run r").unwrap();
    dreamstep(folder, "pack --run r").unwrap();
}

/// What `inspect` says of the packed agent at `path`, and that it plays: `evaluate`, which leaves out what no action depends on, as `run`,
/// which does all.
fn looked_at(folder: &Path, path: &str) -> Value {
    let found = json(folder, &format!("inspect {path} --json"));
    assert_eq!(found["self_test_passed"], true);
    let evaluated = json(folder, &format!("evaluate --agent {path} --episodes 2 --json"));
    let run = json(folder, &format!("run --agent {path} --episodes 2 --json"));
    let returns = |report: &Value| -> Vec<f64> {
        report.as_array().unwrap().iter().map(|outcome| outcome["return"].as_f64().unwrap()).collect()
    };
    assert_eq!(returns(&evaluated["rows"][0]["outcomes"]), returns(&run["outcomes"]), "{path}");
    found["agent"].clone()
}

#[test]
fn a_packed_agent_says_what_it_is_and_what_it_was_made_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    trained(at, "");
    let found = looked_at(at, "r/agent.safetensors");
    assert_eq!((&found["environment"], &found["period_s"]), (&"CartPole-v1".into(), &0.02.into()));
    assert_eq!(
        (&found["observation"], &found["v"]),
        (&"vector of 4".into(), &"mlp of 16, 16 hidden units, 4 latents".into())
    );
    assert_eq!((&found["m"], &found["c"]), (&"lstm of 20 units, 5 joint mixtures".into(), &"linear, reads z+h".into()));
    assert_eq!(
        (&found["action"], &found["action_range"]),
        (&"continuous, 1 value".into(), &serde_json::json!([[-1.0, 1.0]]))
    );
    // What held-out data seldom exceeds, M being what it is: a Gaussian's own entropy is 1.4 nats per dimension at σ = 1.
    let limit = found["surprise_limit"].as_f64().unwrap();
    assert!(limit.is_finite() && limit > 0.0 && limit < 100.0, "{limit}");
    let text = dreamstep(at, "inspect r/agent.safetensors").unwrap();
    for line in ["environment: CartPole-v1, control period: 0.02 s", "V: mlp of 16, 16", "surprise limit: "] {
        assert!(text.contains(&format!("\n{line}")), "{text}");
    }
    // Of held-out episodes and no others: those that trained are nearer to M.
    let half = "pack --run r --set vae.validation=0.5 --out half.safetensors";
    refused(at, half, "made with vae.validation = 0.1, expected 0.5");
    let run = RunDir::new(&at.join("r"));
    for path in [run.vae(), run.mdnrnn(), run.controller()] {
        let mut made = Checkpoint::read(&path).unwrap();
        let said = made.metadata.get_mut(meta::CONFIG).unwrap();
        *said = said.replace("validation = 0.1", "validation = 0.5");
        for (name, upstream) in [("vae", run.vae()), ("mdnrnn", run.mdnrnn())] {
            let key = format!("{}{name}", meta::UPSTREAM);
            made.metadata.get_mut(&key).into_iter().for_each(|said| *said = digest(&upstream).unwrap());
        }
        made.write(&path).unwrap();
    }
    dreamstep(at, half).unwrap();
    assert_ne!(json(at, "inspect half.safetensors --json")["agent"]["surprise_limit"], found["surprise_limit"]);
}

#[test]
fn v_may_be_the_identity_or_have_one_to_four_hidden_layers() {
    for (set, said, layers) in [
        ("--set vae.start=identity", "identity, 4 latents", 0),
        ("--set vae.hidden=[16]", "mlp of 16 hidden units, 4 latents", 2),
        ("--set vae.hidden=[16,12,8,8]", "mlp of 16, 12, 8, 8 hidden units, 4 latents", 5),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        trained(at, set);
        assert_eq!(looked_at(at, "r/agent.safetensors")["v"], said);
        let v = Checkpoint::read(&at.join("r/vae.safetensors")).unwrap();
        assert_eq!(v.tensors.keys().filter(|name| name.starts_with("encoder.")).count(), 2 * layers, "{set}");
        assert_eq!(v.metadata[key::V_KIND], if layers == 0 { "identity" } else { "mlp" });
        for command in ["report --run r --episodes 1", "correlate --run r --temperatures 1 --episodes 2 --draws 1"] {
            dreamstep(at, command).unwrap();
        }
        // PyTorch's names and shapes again, as if another had trained it.
        if layers > 0 {
            Checkpoint { metadata: BTreeMap::new(), ..v.clone() }.write(&at.join("v.safetensors")).unwrap();
            dreamstep(at, "import-weights --run other v.safetensors --set env=CartPole-v1").unwrap();
            let imported = Checkpoint::read(&at.join("other/vae.safetensors")).unwrap();
            assert_eq!((&imported.tensors, &imported.metadata[key::V_HIDDEN]), (&v.tensors, &v.metadata[key::V_HIDDEN]));
        }
        assert!(v.tensors.contains_key(names::DECODER_WEIGHT[0]));
    }
    let folder = tempfile::tempdir().unwrap();
    for (bad, part) in
        [("[]", "must be one to 4 widths"), ("[16,0]", "vae.hidden[1] = 0"), ("[1,2,3,4,5]", "must be one to 4 widths")]
    {
        refused(folder.path(), &format!("collect --run r --set vae.hidden={bad}"), part);
    }
}

#[test]
fn c_may_have_hidden_layers_and_need_neither_v_nor_m() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    trained(at, "");
    for (set, said, v, m) in [
        ("controller.hidden=[6]", "mlp of 6 hidden units, tanh, reads z+h", "mlp of 16, 16 hidden units, 4 latents", "lstm"),
        (
            "controller.activation=relu --set controller.hidden=[6,5]",
            "mlp of 6, 5 hidden units, relu, reads z+h",
            "mlp",
            "lstm",
        ),
        ("controller.input=obs", "mlp of 6, 5 hidden units, relu, reads obs", "none", "none"),
        ("controller.hidden=[]", "linear, reads obs", "none", "none"),
    ] {
        dreamstep(at, &format!("train --run r --stage controller --force --set {set}")).unwrap();
        dreamstep(at, "pack --run r").unwrap();
        let found = looked_at(at, "r/agent.safetensors");
        if !said.contains("obs") {
            let correlate =
                "correlate --run r --temperatures 1 --episodes 2 --draws 1 --set controller.hidden=[3] --set dream.engine";
            for engine in ["runtime", "torch"] {
                dreamstep(at, &format!("{correlate}={engine}")).unwrap();
            }
        }
        let begins = |part: &str, with: &str| found[part].as_str().unwrap().starts_with(with);
        assert!(found["c"] == said && begins("v", v) && begins("m", m), "{found}");
        // A killed run's state and its result are read back as they were written.
        dreamstep(at, "train --run r --stage controller --set controller.steps=800").unwrap();
        dreamstep(at, "pack --run r --precision i8 --episodes 0").unwrap();
        dreamstep(at, "inspect r/agent.i8.safetensors").unwrap();
    }
    dreamstep(at, "train --run r --stage controller --force --set controller.input=z --set controller.hidden=[7]").unwrap();
    // What its checkpoint says counts: a configuration that says otherwise is refused.
    refused(at, "pack --run r --set controller.hidden=[]", "trained with controller.hidden = [7], expected []");
    dreamstep(at, "pack --run r").unwrap();
    assert_eq!(looked_at(at, "r/agent.safetensors")["c"], "mlp of 7 hidden units, relu, reads z");
    refused(
        at,
        "collect --run other --set controller.hidden=[1,2,3]",
        "controller.hidden = [1, 2, 3]: must be at most 2 widths",
    );
    // It hands over to its like; others learn from it.
    fs::copy(at.join("r/agent.safetensors"), at.join("teacher.safetensors")).unwrap();
    let still = "--set controller.steps=100 --set controller.sigma=1e-9 --set controller.max_speed=1e-9";
    let evolve = format!("train --run r --stage controller --force --teacher teacher.safetensors {still}");
    let taught = Checkpoint::read(&at.join("r/controller.safetensors")).unwrap().tensors;
    dreamstep(at, &format!("{evolve} --set controller.online_whitening=false")).unwrap();
    for (name, array) in Checkpoint::read(&at.join("r/controller.safetensors")).unwrap().tensors {
        let far = array.data.iter().zip(&taught[&name].data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-4, "{name}: {far}");
    }
    for other in ["[5]", "[]"] {
        dreamstep(at, &format!("{evolve} --set controller.hidden={other}")).unwrap();
    }
}

/// A packed-3 agent with two hidden layers, an M and a linear C, in the words of packed-2.
fn as_packed_2(bytes: &[u8]) -> Vec<u8> {
    let file = File::parse(bytes).unwrap();
    let mut metadata: BTreeMap<String, String> =
        file.metadata_entries().map(|(k, v)| (k.into(), serde_json::from_str(&format!("\"{v}\"")).unwrap())).collect();
    let hidden = metadata.remove(key::V_HIDDEN).unwrap();
    for (i, width) in hidden.split(',').enumerate() {
        metadata.insert(format!("dims.encoder.{i}"), width.into());
    }
    let cell = metadata.remove(key::M_KIND).unwrap();
    metadata.insert("rnn.cell".into(), cell);
    for new in [
        key::V_KIND,
        key::C_KIND,
        key::OBS_KIND,
        key::ACTION_KIND,
        key::OBS_NORMALIZER,
        key::CONTROL_PERIOD_S,
        key::SURPRISE_LIMIT,
    ] {
        metadata.remove(new);
    }
    metadata.insert(key::FORMAT.into(), packed2::FORMAT.into());
    safetensors_bytes(&file.tensors().map(Entry::of).collect::<Vec<_>>(), &metadata)
}

#[test]
fn an_agent_of_packed_2_is_converted_and_acts_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let old = as_packed_2(CARTPOLE);
    fs::write(at.join("old.safetensors"), &old).unwrap();
    for command in ["evaluate --agent", "run --agent", "inspect", "collect --run r --set env=CartPole-v1 --agent"] {
        let message = "old.safetensors: metadata `dreamstep.format`: expected packed-3, found `packed-2`; to convert it: dreamstep pack \
                       --agent old.safetensors";
        refused(at, &format!("{command} old.safetensors"), message);
    }
    let said = dreamstep(at, "pack --agent old.safetensors --out new.safetensors").unwrap();
    assert!(said.contains("old.safetensors: packed-2 converted to packed-3"), "{said}");
    assert!(fs::read(at.join("new.safetensors")).unwrap() == CARTPOLE, "the shipped agent, byte for byte");
    // In its own precision; f16's arithmetic is another now, so that its self-test is made anew.
    for precision in [Precision::I8, Precision::F16, Precision::Bf16] {
        let narrow = pack::in_precision(CARTPOLE, precision, &[]).unwrap();
        let converted = pack::convert(&as_packed_2(&narrow)).unwrap();
        assert!(converted[..] == narrow[..], "{precision:?}");
    }
    // What would act otherwise is refused.
    let mut other = old.clone();
    let tensor = File::parse(&old).unwrap().tensor("selftest.actions").unwrap();
    let place = tensor.data.as_ptr() as usize - old.as_ptr() as usize;
    other[place] ^= 1;
    fs::write(at.join("other.safetensors"), &other).unwrap();
    refused(at, "pack --agent other.safetensors", "other.safetensors: expected the actions of the self-test, bit for bit");
    assert!(fs::read(at.join("other.safetensors")).unwrap() == other, "left as it was");
    // One with a GRU; and one that reads observations loses the V and M that it never used.
    let gru = at.join("gru");
    fs::create_dir(&gru).unwrap();
    trained(&gru, "--set mdnrnn.cell=gru");
    let agent = fs::read(gru.join("r/agent.safetensors")).unwrap();
    let kept = unpack(&pack::convert(&as_packed_2(&agent)).unwrap()).unwrap();
    assert_eq!(
        (&kept.tensors, kept.settings.dims),
        (&unpack(&agent).unwrap().tensors, unpack(&agent).unwrap().settings.dims)
    );
}

/// Weights of a V that copies its input: up by the clip, through, and down again.
fn copying(v: &mut Checkpoint, latent: usize, clip: f32) {
    for (i, shift) in [clip, 0.0, -clip].into_iter().enumerate() {
        let weight = v.tensors.get_mut(names::ENCODER_WEIGHT[i]).unwrap();
        let columns = weight.shape[1];
        for (n, row) in weight.data.chunks_mut(columns).take(latent).enumerate() {
            row.fill(0.0);
            row[n] = 1.0;
        }
        v.tensors.get_mut(names::ENCODER_BIAS[i]).unwrap().data[..latent].fill(shift);
    }
}

#[test]
fn a_v_that_only_copies_is_replaced_by_the_identity_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    dreamstep(at, &format!("collect --run r {SETTINGS}")).unwrap();
    dreamstep(at, "train --run r --stage vae").unwrap();
    let path = at.join("r/vae.safetensors");
    let mut v = Checkpoint::read(&path).unwrap();
    copying(&mut v, 4, 10.0);
    v.write(&path).unwrap();
    for stage in ["mdnrnn", "controller"] {
        dreamstep(at, &format!("train --run r --stage {stage}")).unwrap();
    }
    dreamstep(at, "pack --run r").unwrap();
    let before = json(at, "inspect r/agent.safetensors --json");
    assert_eq!(before["agent"]["v"], "mlp of 16, 16 hidden units, 4 latents");
    let said = dreamstep(at, "pack --agent r/agent.safetensors --identity --out without.safetensors").unwrap();
    let weights = 4 * 16 + 16 * 16 + 16 * 4;
    assert!(said.contains(&format!("replaced by the identity: {weights} weights fewer a step")), "{said}");
    let after = looked_at(at, "without.safetensors");
    assert_eq!((&after["v"], &after["m"]), (&"identity, 4 latents".into(), &before["agent"]["m"]));
    let actions = |file: &str| unpack(&fs::read(at.join(file)).unwrap()).unwrap().selftest.actions;
    for (a, b) in actions("r/agent.safetensors").iter().flatten().zip(actions("without.safetensors").iter().flatten()) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    // One weight off, or a unit that is cut off, and it is no copy; nor is what was trained.
    for (file, spoil) in [("weight", names::ENCODER_WEIGHT[1]), ("bias", names::ENCODER_BIAS[0])] {
        let mut agent = unpack(&fs::read(at.join("r/agent.safetensors")).unwrap()).unwrap();
        agent.tensors.get_mut(spoil).unwrap().1[2] -= 0.5;
        let parts = dreamstep_core::pack::Parts {
            tensors: &agent.tensors,
            settings: agent.settings,
            action_mid: &agent.action_mid,
            action_half: &agent.action_half,
            selftest: Some(&agent.selftest),
            frames: &[],
            provenance: &agent.provenance,
        };
        let bytes = dreamstep_core::pack::pack(&parts).unwrap();
        let error = pack::with_identity(&bytes).unwrap_err().to_string();
        assert!(error.contains("expected a V that copies its input"), "{file}: {error}");
    }
    fs::write(at.join("trained.safetensors"), CARTPOLE).unwrap();
    refused(at, "pack --agent trained.safetensors --identity", "expected a V that copies its input");
    refused(at, "pack --agent without.safetensors --identity", "expected a V that is an MLP, found identity");
}
