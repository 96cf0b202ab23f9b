//! An arm of `ablation` is what plain training and evaluation make. The same controller, the same episodes; kept when finished, gone on
//! with when not, refused when of something else; and another method's result a row beside them.

mod common;

use common::{dreamstep, json, refused};
use dreamstep::run::checkpoint::Checkpoint;
use dreamstep::run::folder::PARTIAL;
use dreamstep_core::names::checkpoint as names;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every file below `folder`, with its bytes and when it was written.
fn files(folder: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            all.extend(files(&entry));
        } else {
            let written = entry.metadata().unwrap().modified().unwrap();
            all.insert(entry.display().to_string(), (fs::read(&entry).unwrap(), written));
        }
    }
    all
}

const SETTINGS: &str = "--set env=CartPole-v1 --set vae.latent=3 --set vae.kl_weight=0.1 --set collect.steps=600 --set vae.epochs=1 \
                        --set mdnrnn.epochs=1 --set mdnrnn.hidden=20 --set controller.steps=300 --set controller.directions=3 \
                        --set dream.generations=3 --set dream.horizon=30";

#[test]
fn arms_are_what_plain_training_makes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    dreamstep(at, &format!("collect --run r {SETTINGS}")).unwrap();
    refused(at, "ablation --run r", "dreamstep train --stage vae");
    assert!(!at.join("r/ablation").exists(), "a refusal changes nothing");
    dreamstep(at, "train --run r --stage all").unwrap();

    let report = json(at, "ablation --run r --episodes 6 --json");
    assert_eq!((&report["episodes"], &report["seed"], &report["env"]), (&6.into(), &1000.into(), &"CartPole-v1".into()));
    assert!(report["recorded_steps"].as_u64() >= Some(600) && report["network_cpu_hours"].as_f64() > Some(0.0));
    let rows = report["rows"].as_array().unwrap();
    let arms: Vec<_> = rows.iter().map(|row| row["arm"].as_str().unwrap()).collect();
    assert_eq!(arms, ["random", "zero", "obs", "z", "z+h-untrained", "z+h", "dream", "dream+real"]);
    for row in rows {
        let arm = row["arm"].as_str().unwrap();
        let evolved = !["random", "zero"].contains(&arm);
        assert_eq!(row["real_steps"].as_u64() >= Some(300), evolved && arm != "dream", "{row}");
        assert_eq!(row["dream_steps"].as_u64() > Some(0), arm.starts_with("dream"), "{row}");
        assert_eq!(row["cpu_hours"].as_f64() > Some(0.0), evolved, "{row}");
        assert!(row["outcomes"].as_array().unwrap().len() == 6);
    }
    // Evolution in reality begins as the agent that dreams made: of the same V and M, so to the bit.
    assert_eq!(
        fs::read(at.join("r/ablation/dream+real/teacher.safetensors")).unwrap(),
        fs::read(at.join("r/ablation/dream/agent.safetensors")).unwrap()
    );
    // V and M: what `train` made of the same configuration, and what `evaluate` says of it and of the policies that know nothing.
    let tensors = |path: &str| Checkpoint::read(&at.join(path)).unwrap().tensors;
    assert_eq!(tensors("r/ablation/z+h/controller.safetensors"), tensors("r/controller.safetensors"));
    let evaluated = json(at, "evaluate --agent r/ablation/z+h/agent.safetensors --episodes 6 --baselines --json");
    for (row, arm) in [(0, "random"), (1, "zero"), (2, "z+h")] {
        let (found, expected) = (rows.iter().find(|row| row["arm"] == arm).unwrap(), &evaluated["rows"][row]);
        assert_eq!((&found["return"], &found["length"]), (&expected["return"], &expected["length"]), "{arm}");
    }
    // The same V everywhere; an M that was never trained has nothing of the trained one's but its sizes.
    for arm in ["obs", "z", "z+h-untrained", "z+h"] {
        assert_eq!(tensors(&format!("r/ablation/{arm}/vae.safetensors")), tensors("r/vae.safetensors"));
        let (own, trained) = (tensors(&format!("r/ablation/{arm}/mdnrnn.safetensors")), tensors("r/mdnrnn.safetensors"));
        assert_eq!(own[names::RNN_WEIGHT_HH].shape, trained[names::RNN_WEIGHT_HH].shape);
        assert_eq!(own == trained, arm != "z+h-untrained");
    }
    for (arm, input) in [("obs", "obs"), ("z", "z"), ("z+h-untrained", "z+h")] {
        assert_eq!(json(at, &format!("inspect r/ablation/{arm}/agent.safetensors --json"))["input"], input);
    }
    let markdown = fs::read_to_string(at.join("r/ablation.md")).unwrap();
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let untrained = ["", "z+h-untrained", "V and an untrained M"];
    assert!(markdown.lines().any(|line| cells(line).starts_with(&untrained.map(String::from))), "{markdown}");

    // What is finished is kept; one whose result is missing is judged again, its controller kept, what a kill left swept out.
    let before = files(&at.join("r/ablation"));
    fs::remove_file(at.join("r/ablation/obs/result.json")).unwrap();
    fs::write(at.join("r/ablation/obs").join(format!("{PARTIAL}a1b2")), "half").unwrap();
    assert_eq!(json(at, "ablation --run r --episodes 6 --json"), report);
    let after = files(&at.join("r/ablation"));
    assert!(after.keys().eq(before.keys()));
    let changed = |name: &&String| before[*name].1 != after[*name].1;
    let changed: Vec<_> = before.keys().filter(changed).map(|name| name.rsplit('/').next().unwrap()).collect();
    assert_eq!(changed, ["agent.safetensors", "config.toml", "result.json"], "of the arm `obs`");
    assert!(before.iter().all(|(name, (bytes, _))| after[name].0 == *bytes));
    // Another protocol: judged anew, evolved no further. A larger budget: gone on with.
    let other = json(at, "ablation --run r --episodes 4 --seed 7 --arms obs,zero --json");
    assert_eq!(other["rows"].as_array().unwrap().len(), 2);
    assert_eq!(other["rows"][1]["real_steps"], rows[2]["real_steps"]);
    let more = json(at, "ablation --run r --episodes 4 --seed 7 --arms obs --set controller.steps=700 --json");
    assert!(more["rows"][0]["real_steps"].as_u64() >= Some(700), "{more}");

    // Another configuration, finished or begun: nothing is lost.
    for gone in ["z/result.json", "z+h/result.json"] {
        fs::remove_file(at.join("r/ablation").join(gone)).unwrap();
    }
    let before = files(&at.join("r/ablation"));
    for arms in ["obs", "z", "z+h-untrained,z+h"] {
        refused(at, &format!("ablation --run r --arms {arms} --episodes 4 --seed 7 --set controller.sigma=0.5"), "--force");
    }
    assert_eq!(files(&at.join("r/ablation")), before);

    // Another method's result, of this protocol or not.
    let outcomes: Vec<Value> = (1..5).map(|i| json!({ "return": 10.0 * f64::from(i), "length": i })).collect();
    let mut result = json!({ "env": "CartPole-v1", "seed": 7, "what": "PPO", "real_steps": 5000, "dream_steps": 0,
                             "cpu_hours": 0.25, "outcomes": outcomes, "versions": { "torch": "2" } });
    fs::create_dir(at.join("r/ablation/ppo")).unwrap();
    let file = at.join("r/ablation/ppo/result.json");
    fs::write(&file, result.to_string()).unwrap();
    let report = json(at, "ablation --run r --episodes 4 --seed 7 --arms zero --json");
    let row = &report["rows"][1];
    assert_eq!((&row["arm"], &row["return"]["iqm"], &row["length"]["mean"]), (&"ppo".into(), &25.0.into(), &2.5.into()));
    result["seed"] = 8.into();
    fs::write(&file, result.to_string()).unwrap();
    let message = "r/ablation/ppo/result.json: expected 4 episodes of CartPole-v1 from seed 7 on, found 4 of CartPole-v1 from seed 8 on";
    refused(at, "ablation --run r --episodes 4 --seed 7 --arms zero", message);
    fs::write(&file, "{}").unwrap();
    refused(
        at,
        "ablation --run r --episodes 4 --seed 7 --arms zero",
        "r/ablation/ppo/result.json: expected an arm's result",
    );
}
