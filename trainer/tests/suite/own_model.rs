//! A MuJoCo model of a user's own, from its file and a text to a packed agent and a film: the robot of `configs/own`, as its documentation
//! says to use it.

use crate::common::{command, copy, json, refused, refused_naming, same_results, set, succeed, text};
use dreamstep::env::{AnyEnv, Env, EnvConfig};
use dreamstep_fixtures::skip;
use std::fs;
use std::path::Path;

const TINY: [&str; 7] = [
    "collect.steps=400",
    "vae.epochs=1",
    "mdnrnn.epochs=1",
    "controller.steps=300",
    "controller.pgpe.directions=2",
    "controller.max_episode_steps=50",
    "threads=2",
];

fn robot(folder: &Path) {
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/own"), &folder.join("robot"));
}

#[test]
fn from_a_model_and_a_text_to_an_agent_and_a_film() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    robot(folder);
    succeed(folder, &format!("collect --config robot/beam.toml --run r{}", set(&TINY)));
    let written = fs::read_to_string(folder.join("r/config.toml")).unwrap();
    assert!(written.contains("mjcf = \"robot/beam.xml\""), "found beside the text that names it: {written}");
    let manifest = fs::read_to_string(folder.join("r/rollouts/collect.txt")).unwrap();
    assert!(manifest.starts_with("env = Beam (settings "), "{manifest}");
    succeed(folder, "train --run r");
    succeed(folder, "pack --run r");
    // The agent knows its world; a text that says the same names the same.
    let own = json(folder, "evaluate --agent r/agent.safetensors --episodes 2 --json");
    assert_eq!(own, json(folder, "evaluate --agent r/agent.safetensors --env robot/beam.toml --episodes 2 --json"));
    let other = "r/agent.safetensors: expected an agent made for InvertedPendulum-v5, found one made for Beam";
    refused(folder, "evaluate --agent r/agent.safetensors --env InvertedPendulum-v5 --episodes 2", other);
    let report = succeed(folder, "report --run r --episodes 1");
    assert!(["tilt", "rate", "ball", "speed", "mark"].iter().all(|block| report.contains(block)), "{report}");

    // Another motor is another robot.
    let model = fs::read_to_string(folder.join("robot/beam.xml")).unwrap();
    fs::write(folder.join("robot/beam.xml"), model.replace("gear=\"0.6\"", "gear=\"0.7\"")).unwrap();
    refused_naming(
        folder,
        "collect --run r",
        &["r/rollouts/collect.txt: expected `env = Beam (settings ", "name another run"],
    );
    for command in ["train --run r --force", "pack --run r --out other.safetensors"] {
        refused_naming(
            folder,
            command,
            &["r/rollouts/collect.txt: expected episodes of Beam (settings ", "found `env = Beam"],
        );
    }
    let warned = |args: &str| {
        let output = command(folder, args).output().unwrap();
        assert!(output.status.success(), "{args}: {}", text(&output.stderr));
        text(&output.stderr)
    };
    let evaluate = "evaluate --agent r/agent.safetensors --episodes 2";
    let warning = warned(evaluate);
    let parts = ["warning: r/agent.safetensors: made in Beam (settings ", "; played in Beam (settings "];
    assert!(parts.iter().all(|part| warning.contains(part)) && warning.lines().count() == 1, "{warning}");
    fs::write(folder.join("robot/beam.xml"), model).unwrap();
    // The same in another place is the same.
    copy(&folder.join("robot"), &folder.join("moved"));
    assert_eq!(warned(&format!("{evaluate} --env moved/beam.toml")), "");
    let late = fs::read_to_string(folder.join("robot/beam.toml")).unwrap().replace("[env]\n", "[env]\naction_delay = 1\n");
    fs::write(folder.join("moved/late.toml"), late).unwrap();
    assert!(warned(&format!("{evaluate} --env moved/late.toml")).contains("made in Beam"));

    let render = "render --run r --steps 5 --size 64x48 --out r/film.gif";
    let output = command(folder, render).output().unwrap();
    match text(&output.stderr) {
        error if error.contains("EGL") => return skip::not_installed(&error),
        error => assert!(output.status.success() && error.is_empty(), "{error}"),
    }
    let mut film = gif::Decoder::new(fs::File::open(folder.join("r/film.gif")).unwrap()).unwrap();
    assert_eq!((film.width(), film.height()), (4 * 64, 48), "the observation tells the state, so all four panels are there");
    assert!(film.read_next_frame().unwrap().is_some());
    // One that does not tell it is filmed as far as it goes.
    let blind = fs::read_to_string(folder.join("robot/beam.toml"))
        .unwrap()
        .replace("    { name = \"mark\", of = \"joint:mark\" },\n", "");
    fs::write(folder.join("robot/blind.toml"), blind).unwrap();
    let said =
        succeed(folder, "render --run no --env robot/blind.toml --policy random --steps 5 --size 64x48 --out blind.gif");
    assert!(said.contains("left out: an observation of Beam does not tell the state"), "{said}");
}

/// The example balances: what the text rewards can be learnt, and the ball leaves the beam where nobody acts.
#[test]
fn the_ball_rolls_and_the_beam_tilts() {
    let folder = tempfile::tempdir().unwrap();
    robot(folder.path());
    let config = EnvConfig::named(folder.path().join("robot/beam.toml").to_str().unwrap()).unwrap();
    let mut env = AnyEnv::make(&config).unwrap();
    let mut obs = vec![0.0; env.spec().obs];
    // Tilt, its rate, the ball, its speed, the mark.
    let mut play = |act: &dyn Fn(&[f64]) -> f64| {
        env.reset(11, &mut obs).unwrap();
        let mut earned = 0.0;
        for length in 1..=300 {
            let step = env.step(&[act(&obs) as f32], &mut obs).unwrap();
            earned += step.reward;
            if step.terminated || step.truncated {
                return (length, earned);
            }
        }
        panic!("an episode is cut at 300")
    };
    let (fallen, _) = play(&|_| 1.0);
    assert!(fallen < 100, "{fallen}");
    let (length, earned) = play(&|obs| {
        let wanted = (0.6 * (obs[4] - obs[2]) - 0.5 * obs[3]).clamp(-0.3, 0.3);
        3.0 * (wanted - obs[0]) - 0.4 * obs[1]
    });
    assert!(length == 300 && earned > 150.0, "{length} {earned}");
}

#[test]
fn what_is_randomised_does_not_depend_on_the_workers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let collect = |run: &str, threads: usize, more: &str| {
        let flags = "--set env=Hopper-v5 --set collect.steps=600";
        succeed(folder, &format!("collect --run {run} {flags} --set threads={threads} {more}"));
    };
    let on = "--set env.randomise.mass=[0.7,1.3] --set env.randomise.friction=[0.5,1.5] --set env.randomise.gain=[0.8,1.2]";
    collect("one", 1, on);
    collect("three", 3, on);
    same_results(&folder.join("one/rollouts"), &folder.join("three/rollouts"), "three workers");
    collect("off", 1, "");
    let bytes = |run: &str| {
        let mut files: Vec<_> =
            fs::read_dir(folder.join(run).join("rollouts")).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>()
    };
    assert_ne!(bytes("one"), bytes("off"));
    for (key, value) in [("mass", "[0,1]"), ("gain", "[1]"), ("friction", "[2,1]"), ("damping", "[-1,1]")] {
        let key = format!("env.randomise.{key}");
        refused(folder, &format!("collect --run no --set env=Hopper-v5 --set {key}={value}"), &key);
    }
}

#[test]
fn a_slip_is_one_line_and_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    robot(folder);
    let own = fs::read_to_string(folder.join("robot/beam.toml")).unwrap();
    for (word, other, part) in [
        (
            "sensor:gyro[1]",
            "sensor:giro[1]",
            "Beam: env.task.observe[1] (`rate`): of = \"sensor:giro[1]\": beam.xml has no sensor `giro`; it has tilt, gyro, ball, effort",
        ),
        ("weight = -0.1", "wieght = -0.1", "[1] (`effort`): unknown field `wieght`"),
        ("mjcf = \"beam.xml\"", "mjcf = \"bean.xml\"", "env.mjcf = \"bean.xml\": no such file beside the configuration"),
        ("id = \"Beam\"\n", "", "env.id = \"Humanoid-v5\": means another; give the task of env.mjcf a name of your own"),
        ("id = \"Beam\"", "id = \"gym:Beam-v0\"", "env.id = \"gym:Beam-v0\": means another"),
        ("mjcf = \"beam.xml\" # beside this file\n", "", "env.task: expected a model file, env.mjcf, beside it"),
    ] {
        assert!(own.contains(word), "{word}");
        fs::write(folder.join("robot/slip.toml"), own.replace(word, other)).unwrap();
        refused(folder, "collect --config robot/slip.toml --run no", part);
    }
}
