//! Data without an environment: `env = "recorded"`. Everything that plays no episode works, and the rest says so in one line.

use crate::common::{json, python, refused, refused_naming, succeed};
use dreamstep::env::{ActionSpace, spec};
use dreamstep::run::config::Config;
use std::path::Path;

/// Logs of 12 numbers observed and 4 done, the last of them in [0, 2]; and of 3 choices.
const PROGRAM: &str = "
import sys, os, numpy as np
os.chdir(sys.argv[1])
for folder in ['logs', 'choices']: os.mkdir(folder)
for e in range(8):
    g, n = np.random.default_rng(e), 30 + e
    a = np.concatenate([g.uniform(-0.9, 0.9, (n, 3)), g.uniform(0.1, 1.9, (n, 1))], axis=1)
    x = np.cumsum(g.normal(size=(n + 1, 12)) * 0.1, axis=0)
    x[1:, :4] += a
    flags = dict(terminated=np.zeros(n, bool), truncated=np.arange(n) == n - 1)
    np.savez('logs/%d.npz' % e, observations=x, actions=a, rewards=-(x[1:] ** 2).sum(1), **flags)
    np.savez('choices/%d.npz' % e, observations=x, actions=g.integers(0, 3, n), rewards=-(x[1:] ** 2).sum(1), **flags)
";

const CONFIG: &str = "
[env]
id = \"recorded\"
period_s = 0.02
[env.recorded]
observation = [{ name = \"angle\", size = 4 }, { name = \"rest\", size = 8 }]
action = [{ size = 3, low = -1, high = 1 }, { size = 1, low = 0.0, high = 2.0 }]
[vae]
latent = 5
hidden = [16]
epochs = 2
[mdnrnn]
hidden = 8
mixtures = 2
epochs = 2
sequence_length = 16
[dream]
generations = 2
dreams = 2
validation_dreams = 4
horizon = 10
";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    python::run(&["-c", PROGRAM, &folder.path().display().to_string()]);
    std::fs::write(folder.path().join("robot.toml"), CONFIG).unwrap();
    folder
}

#[test]
fn logs_become_an_agent_without_an_environment() {
    let folder = folder();
    let folder = folder.path();
    let said = succeed(folder, "import --run r --config robot.toml logs");
    assert!(said.contains("8 episodes, 268 steps"), "{said}");
    let config = Config::default().overlay_file(&folder.join("r/config.toml"), &[]).unwrap();
    let found = spec(&config.env).unwrap();
    assert_eq!((found.obs, found.dt_s, found.blocks.len(), found.time_limit), (12, 0.02, 2, u32::MAX));
    let (low, high) = (vec![-1.0, -1.0, -1.0, 0.0], vec![1.0, 1.0, 1.0, 2.0]);
    assert_eq!(found.actions, ActionSpace::Continuous { low, high });

    // Before V and M are trained for nothing.
    let why = "where env = \"recorded\": there is no simulator to play episodes in";
    refused_naming(folder, "train --run r", &["controller.scored_on = \"episodes\": must be \"dreams\"", why]);
    for key in ["dream.validation_episodes", "dream.rerank_episodes"] {
        let train = format!("train --run r --set controller.scored_on=dreams --set {key}=3");
        refused_naming(folder, &train, &[&format!("{key} = 3: must be 0"), why]);
    }
    succeed(folder, "train --run r --set controller.scored_on=dreams");
    succeed(folder, "pack --run r");
    // A narrower precision is judged by its answers to the recorded observations.
    let narrow = json(folder, "pack --run r --precision i8 --json");
    let error = &narrow["action_error"];
    assert!(
        narrow["recorded_episodes"] == 8 && narrow["return_z"].is_null() && error["max"].as_f64() < Some(0.2),
        "{narrow}"
    );
    let said = succeed(folder, "pack --agent r/agent.safetensors --precision i8 --out x.safetensors");
    assert!(said.contains("not compared with f32: recorded data have no simulator, and only a run has them"), "{said}");
    let inspected = json(folder, "inspect r/agent.safetensors --json");
    let agent = &inspected["agent"];
    assert_eq!((&agent["environment"], &agent["period_s"]), (&"recorded".into(), &0.02.into()), "{inspected}");
    let report = json(folder, "report --run r --json");
    assert!(report["vae"].is_object() && report["mdnrnn"].is_object() && report["acting"].is_null(), "{report}");
    let parts: Vec<_> = report["vae"]["blocks"].as_array().unwrap().iter().map(|block| &block["name"]).collect();
    assert_eq!(parts, ["angle", "rest"], "{report}");
    let text = std::fs::read_to_string(folder.join("r/report.md")).unwrap();
    assert!(text.contains("Missing: returns of C: recorded data have no simulator to play episodes in."), "{text}");

    // ---- what plays episodes
    let agent = "--agent r/agent.safetensors";
    for command in [
        "collect --run new --config robot.toml".to_string(),
        "rounds --rounds 2 --run new --config robot.toml".into(),
        "ablation --run r".into(),
        "correlate --run r".into(),
        "render --run r --out x.gif".into(),
        format!("evaluate {agent}"),
        format!("run {agent}"),
    ] {
        refused_naming(folder, &command, &["environment recorded: there are recorded data and no simulator", "--env ID"]);
    }
    // Elsewhere it is an agent like another, of the same sizes and period.
    refused(
        folder,
        &format!("evaluate {agent} --env Hopper-v5"),
        "expected observations of 11 and actions of 3, found a model for 12 and 4",
    );
}

#[test]
fn choices_come_in_as_numbers() {
    let folder = folder();
    let folder = folder.path();
    let choices = "--config robot.toml --set env.recorded.action=[] --set env.recorded.choices";
    succeed(folder, &format!("import --run r {choices}=3 choices"));
    let config = Config::default().overlay_file(&folder.join("r/config.toml"), &[]).unwrap();
    assert_eq!(spec(&config.env).unwrap().actions, ActionSpace::Discrete { choices: 3 });
    refused(
        folder,
        &format!("import --run s {choices}=2 choices"),
        "choices/0.npz: actions[1]: expected a choice from 0 to 1 for recorded, found 2",
    );
    refused(
        folder,
        &format!("import --run s {choices}=3 logs"),
        "logs/0.npz: actions: expected one choice a step for recorded, or one-hot rows of 3",
    );
}

/// What is missing is named, with what the files say of it, ready to be pasted.
#[test]
fn what_no_file_says_is_asked_for_by_name() {
    let folder = folder();
    let folder = folder.path();
    let asked = "env.recorded.observation = [{ name = \"position\", size = 7 }] (or, of pictures, env.recorded.image = [96, 96, 3]) and env.recorded.action = ";
    let hint = "--set 'env.recorded.observation=[{ name = \"observation\", size = 12 }]' --set 'env.recorded.action=[{ size = 4, low = -0.89";
    refused_naming(folder, "import --run r --set env=recorded logs", &[asked, "env.period_s = 0.02; found none; ", hint]);
    refused(folder, "import --run r --set env=recorded choices", "--set env.recorded.choices=3");
    let hints = "--set env.recorded.observation=[{size=12}] --set env.recorded.action=[{size=4,low=-0.9,high=1.9}]";
    refused(
        folder,
        &format!("import --run r --set env=recorded {hints} logs"),
        "expected keys such as env.period_s = 0.02; found none",
    );
    succeed(folder, &format!("import --run r --set env=recorded --set env.period_s=0.1 {hints} logs"));

    let import = "import --run s --config robot.toml";
    for (set, part) in [
        (
            "env.recorded.observation=[{size=11}]",
            "logs/0.npz: observations: expected 11 numbers a step for recorded, found 12",
        ),
        (
            "env.recorded.action=[{size=5,low=-1,high=1}]",
            "logs/0.npz: actions: expected 5 numbers a step for recorded, found 4",
        ),
        ("env.time_limit=20", "expected at most 20 steps, the time limit of recorded, found 30"),
        (
            "env.recorded.action=[{size=4,low=1,high=1}]",
            "env.recorded.action[0]: low = 1.0, high = 1.0: must be finite, the first below",
        ),
        ("env.recorded.action=[{size=4,low=-1}]", "missing field `high` in `env.recorded.action`"),
        ("env.recorded.observation=[{size=0}]", "env.recorded.observation[0].size = 0: must be a whole number from 1 to"),
        ("env.recorded.observation=[{size=12,unit=1}]", "unknown field `unit`"),
        ("env.recorded.choices=2", "env.recorded.choices = 2: must be 0 where env.recorded.action says"),
        ("env.kwargs.wind=1", "expected no env.action_range and no env.kwargs"),
        ("env.id=Hopper-v5", "env.recorded: Hopper-v5 has sizes of its own"),
    ] {
        refused(folder, &format!("{import} --set {set} logs"), part);
    }
    assert!(!Path::new(&folder.join("s")).exists());
}
