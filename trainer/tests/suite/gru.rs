//! A GRU from the command line, end to end. Recorded, trained, packed in two precisions, proved, evaluated; and is a
//! checkpoint whose metadata and tensors disagree about the memory refused?

use crate::common::{dreamstep, json};
use dreamstep::run::checkpoint::{Checkpoint, meta};
use dreamstep_core::names::checkpoint as names;
use serde_json::Value;

const SETTINGS: &str = "--set env=CartPole-v1 --set mdnrnn.cell=gru --set vae.latent=8 --set vae.kl_weight=0.1 --set collect.steps=600 \
                        --set vae.epochs=2 --set mdnrnn.epochs=2 --set mdnrnn.hidden=20 --set controller.steps=600 \
                        --set controller.directions=3";

#[test]
fn a_gru_is_trained_packed_and_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    dreamstep(at, &format!("collect --run r {SETTINGS}")).unwrap();
    dreamstep(at, "train --run r --stage all").unwrap();
    dreamstep(at, "pack --run r").unwrap();

    let path = at.join("r/mdnrnn.safetensors");
    let trained = Checkpoint::read(&path).unwrap();
    assert_eq!([&trained.metadata[meta::RNN_CELL], &trained.metadata[meta::GATES]], ["gru", "r,z,n"]);
    assert_eq!(trained.tensors[names::RNN_WEIGHT_IH].shape, [60, 9]);
    assert_eq!(json(at, "inspect r/mdnrnn.safetensors --json")["cell"], "gru");
    assert_eq!(json(at, "inspect r/vae.safetensors --json")["cell"], Value::Null);

    dreamstep(at, "pack --agent r/agent.safetensors --precision i8 --out i8.safetensors").unwrap();
    for agent in ["r/agent.safetensors", "i8.safetensors"] {
        let found = json(at, &format!("inspect {agent} --json"));
        assert_eq!((&found["cell"], &found["self_test_passed"]), (&"gru".into(), &true.into()), "{agent}");
        let tensors: Vec<_> = found["tensors"].as_array().unwrap().iter().map(|tensor| &tensor["name"]).collect();
        assert!(tensors.contains(&&"rnn.ih.panels".into()) && !tensors.contains(&&"rnn.panels".into()), "{agent}");
    }
    let text = dreamstep(at, "inspect i8.safetensors").unwrap();
    assert!(text.contains("\nM: gru of 20 units, "), "{text}");
    let evaluated = dreamstep(at, "evaluate --agent r/agent.safetensors --env CartPole-v1 --episodes 3").unwrap();
    assert!(evaluated.contains("agent"), "{evaluated}");

    // A checkpoint that says it has an LSTM, or something else, or nothing.
    for (said, message) in [
        (Some("lstm"), "tensor `rnn.weight_ih_l0`: expected shape [80, 9], found [60, 9]"),
        (Some("elman"), "r/mdnrnn.safetensors: rnn.cell: expected lstm or gru, found elman"),
        (None, "tensor `rnn.weight_ih_l0`: expected shape [80, 9], found [60, 9]"),
    ] {
        let mut other = trained.clone();
        other.metadata.remove(meta::RNN_CELL);
        other.metadata.extend(said.map(|said| (meta::RNN_CELL.to_string(), said.to_string())));
        other.write(&path).unwrap();
        // C was made from the file as it was: without that mark it is believed.
        let mut controller = Checkpoint::read(&at.join("r/controller.safetensors")).unwrap();
        controller.metadata.retain(|key, _| !key.starts_with(meta::UPSTREAM));
        controller.write(&at.join("r/controller.safetensors")).unwrap();
        let error = dreamstep(at, "pack --run r --out other.safetensors").unwrap_err();
        assert!(error.contains(message) && error.trim_end().lines().count() == 1, "{said:?}: {error}");
        assert!(!at.join("other.safetensors").exists());
    }
}

#[test]
fn an_unknown_memory_is_refused_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let error = dreamstep(folder.path(), "collect --run r --set env=CartPole-v1 --set mdnrnn.cell=elman").unwrap_err();
    assert!(error.contains("elman") && error.contains("gru") && error.trim_end().lines().count() == 1, "{error}");
    assert!(!folder.path().join("r").exists());
}
