//! A controller of every input from the command line, end to end. Evolved, packed, proved, evaluated; and says the file what
//! it reads, whatever the configuration says later?

use crate::common::{dreamstep, json, refused};
use dreamstep::run::checkpoint::Checkpoint;
use dreamstep_core::names::{checkpoint as names, metadata as key};
use serde_json::Value;
use std::collections::BTreeMap;

const SETTINGS: &str = "--set env=CartPole-v1 --set vae.latent=3 --set vae.kl_weight=0.1 --set collect.steps=600 --set vae.epochs=1 \
                        --set mdnrnn.epochs=1 --set mdnrnn.hidden=20 --set controller.steps=400 --set controller.directions=3";

#[test]
fn every_input_is_evolved_packed_and_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    dreamstep(at, &format!("collect --run r {SETTINGS}")).unwrap();
    for stage in ["vae", "mdnrnn"] {
        dreamstep(at, &format!("train --run r --stage {stage}")).unwrap();
    }
    // Observation 4, latent 3, hidden 20.
    for (input, width) in [("z+h", 23), ("z", 3), ("h", 20), ("obs", 4), ("obs+h", 24)] {
        // Nothing of the other input is gone on from or replaced unasked.
        if input == "z" {
            refused(at, "train --run r --stage controller --set controller.input=z", "--force");
        }
        dreamstep(at, &format!("train --run r --stage controller --set controller.input={input} --force")).unwrap();
        let controller = Checkpoint::read(&at.join("r/controller.safetensors")).unwrap();
        assert_eq!(controller.tensors[names::FC_WEIGHT].shape, [1, width], "{input}");
        let said = controller.metadata.get(key::CONTROLLER_INPUT).map(String::as_str);
        assert_eq!(said, Some(input).filter(|&input| input != "z+h"));

        // What the controller was trained with belongs to it: a configuration that says otherwise is refused.
        let other = if input == "h" { "z" } else { "h" };
        let message = format!("trained with controller.input = \"{input}\", expected \"{other}\"");
        refused(at, &format!("pack --run r --set controller.input={other}"), &message);
        dreamstep(at, "pack --run r").unwrap();
        let found = json(at, "inspect r/agent.safetensors --json");
        assert_eq!((&found["input"], &found["self_test_passed"]), (&input.into(), &true.into()));
        // `evaluate` leaves out what no action depends on, `run` does all: the same return.
        let evaluated = json(at, "evaluate --agent r/agent.safetensors --episodes 2 --json");
        let run = json(at, "run --agent r/agent.safetensors --episodes 2 --json");
        let returns = |report: &Value| -> Vec<f64> {
            report.as_array().unwrap().iter().map(|outcome| outcome["return"].as_f64().unwrap()).collect()
        };
        assert_eq!(returns(&evaluated["rows"][0]["outcomes"]), returns(&run["outcomes"]), "{input}: {evaluated} {run}");
    }
    // Of V and M likewise; what was recorded since says nothing.
    refused(at, "pack --run r --set vae.obs_clip=3", "vae.safetensors: made with vae.obs_clip = 10.0, expected 3.0");
    dreamstep(at, "pack --run r --set collect.steps=1").unwrap();
    // A result whose search is gone is not replaced unasked; one of an earlier version is kept where nothing else is asked for.
    std::fs::remove_file(at.join("r/evolution.safetensors")).unwrap();
    refused(at, "train --run r --stage controller --set controller.steps=9000", "its search cannot be continued");
    let mut earlier = Checkpoint::read(&at.join("r/controller.safetensors")).unwrap();
    for key in ["search.state", "fingerprint"] {
        earlier.metadata.remove(key);
    }
    earlier.write(&at.join("r/controller.safetensors")).unwrap();
    let said = dreamstep(at, "train --run r --stage controller").unwrap();
    assert!(said.contains("controller.safetensors: kept"), "{said}");
    dreamstep(at, "pack --agent r/agent.safetensors --precision i8 --out i8.safetensors --episodes 2").unwrap();
    let text = dreamstep(at, "inspect i8.safetensors").unwrap();
    assert!(text.contains("\nC: linear, reads obs+h\n") && text.contains(": passed"), "{text}");
    assert_eq!(json(at, "inspect r/controller.safetensors --json")["input"], "obs+h");
    assert_eq!(json(at, "inspect r/vae.safetensors --json")["input"], Value::Null);

    // One that says it reads something else than it does, or something unknown.
    let path = at.join("r/controller.safetensors");
    let whole = Checkpoint::read(&path).unwrap();
    for (said, message) in [
        ("z", "tensor `fc.weight`: expected shape [1, 3], found [1, 24]"),
        ("x", "r/controller.safetensors: controller.input: expected z+h, z, h, obs or obs+h, found x"),
    ] {
        let mut other = whole.clone();
        other.set_meta(key::CONTROLLER_INPUT, said);
        other.write(&path).unwrap();
        refused(at, "pack --run r --out other.safetensors", message);
    }
    // One that PyTorch trained reads what it is said to read, and fits by that.
    Checkpoint { metadata: BTreeMap::new(), ..whole }.write(&at.join("fc.safetensors")).unwrap();
    refused(at, "import-weights --run r fc.safetensors --set controller.input=z --force", "a controller that reads z has 3");
    dreamstep(at, "import-weights --run r fc.safetensors --set controller.input=obs+h --force").unwrap();
    dreamstep(at, "pack --run r --out other.safetensors").unwrap();
    assert_eq!(json(at, "inspect other.safetensors --json")["input"], "obs+h");
    refused(at, "pack --run r --set controller.input=y --out third.safetensors", "obs+h");
}
