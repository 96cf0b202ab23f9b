//! A binary that was built without libtorch (`--no-default-features`): what it does, what it refuses, and that it is linked to none.

#![cfg(not(feature = "torch"))]

mod common;

use common::{json, refused, succeed};
use dreamstep::run::checkpoint::Checkpoint;
use dreamstep_core::dims::Dims;
use dreamstep_core::names::checkpoint as names;
use dreamstep_fixtures::synthetic;
use std::path::Path;
use std::process::Command;

/// V and M of random weights for CartPole-v1, as PyTorch would save them.
fn networks(path: &Path) {
    let dims = Dims::vector(4, 1, &[8], 3, 8, 2);
    let mut file = Checkpoint::default();
    for (name, (shape, data)) in synthetic::tensors(&dims, 3) {
        if !name.starts_with("fc.") {
            file.insert(&name, &shape, data);
        }
    }
    for (layer, [rows, columns]) in [[8, 3], [4, 8]].into_iter().enumerate() {
        file.insert(names::DECODER_WEIGHT[layer], &[rows, columns], vec![0.1; rows * columns]);
        file.insert(names::DECODER_BIAS[layer], &[rows], vec![0.0; rows]);
    }
    file.write(path).unwrap();
}

#[test]
fn it_does_all_but_train_networks() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let small = "--set controller.directions=2 --set controller.steps=3000 --set dream.generations=2 --set dream.dreams=2 \
                 --set dream.check_dreams=2 --set dream.horizon=20 --set dream.check_every=1";
    succeed(folder, "collect --run r --set env=CartPole-v1 --set collect.steps=200");
    networks(&folder.join("torch.safetensors"));
    succeed(folder, "import-weights --run r torch.safetensors");
    for arena in ["dream", "real"] {
        let trained =
            succeed(folder, &format!("train --run r --stage controller --force --set controller.arena={arena} {small}"));
        assert!(trained.contains("controller: "), "{trained}");
        succeed(folder, "pack --run r");
        assert_eq!(json(folder, "evaluate --agent r/agent.safetensors --episodes 2 --json")["episodes"], 2);
    }
    succeed(folder, "run --agent r/agent.safetensors");
    assert_eq!(json(folder, "inspect r/agent.safetensors --json")["self_test_passed"], true);
    succeed(folder, "export --run r --out theirs");
    succeed(folder, "import --run again --set env=CartPole-v1 theirs");
    succeed(folder, "correlate --run r --episodes 1 --draws 1 --temperatures 1");
    succeed(folder, &format!("ablation --run r --arms random,z --episodes 1 {small} --set controller.arena=real"));

    let lacks = "expected a binary with libtorch, found one built without it";
    let before = std::fs::read(folder.join("r/config.toml")).unwrap();
    for (args, what) in [
        ("train --run r --force", "train --stage vae: "),
        ("train --run r --stage mdnrnn --force", "train --stage mdnrnn: "),
        ("train --run again", "train --stage vae: "),
        ("train --run r --stage controller --device cuda", "--device cuda:0: "),
        (
            "train --run r --stage controller --force --set controller.arena=dream --set dream.engine=torch",
            "dream.engine = \"torch\": ",
        ),
        (
            "train --run r --stage controller --force --set controller.arena=dream --set dream.ensemble=2",
            "dream.ensemble = 2: ",
        ),
        ("rounds --run r --rounds 1", "rounds: "),
        ("report --run r", "report: "),
        ("ablation --run r --arms z+h-untrained", "ablation --arms z+h-untrained: "),
    ] {
        refused(folder, args, &format!("error: {what}{lacks}"));
    }
    assert_eq!(std::fs::read(folder.join("r/config.toml")).unwrap(), before, "a refusal changes nothing");
}

#[test]
fn it_is_linked_to_no_libtorch() {
    let libraries = Command::new("ldd").arg(env!("CARGO_BIN_EXE_dreamstep")).output().expect("ldd runs");
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    assert!(libraries.contains("libmujoco"), "{libraries}");
    assert!(!libraries.contains("torch") && !libraries.contains("c10"), "{libraries}");
}
