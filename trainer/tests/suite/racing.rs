//! CarRacing-v3 in pictures, taught by a driver that sees the state behind them.

use crate::common::{command, json, python, refused, refused_naming, results, set, succeed, text};
use dreamstep::env::EnvConfig;
use dreamstep::env::pool::{Cut, Player, Policy};
use dreamstep::run::config::Observation;
use dreamstep::run::folder::RunDir;
use serde_json::Value;
use std::path::Path;

/// A driver: what it sees it reads, V and M are next to nothing.
const DRIVER: [&str; 14] = [
    "env=CarRacing-v3",
    "env.observation=state",
    "threads=2",
    "collect.steps=1500",
    "vae.start=identity",
    "vae.latent=33",
    "vae.hidden=[33,33]",
    "vae.epochs=1",
    "mdnrnn.hidden=1",
    "mdnrnn.mixtures=1",
    "mdnrnn.epochs=1",
    "controller.input=obs",
    "controller.steps=20000",
    "controller.max_episode_steps=120",
];

/// One that is to drive as it does, by pictures of 16 x 16.
const PUPIL: [&str; 18] = [
    "env=CarRacing-v3",
    "env.image.crop=[0,0,84,96]",
    "env.image.size=[16,16]",
    "threads=2",
    "collect.steps=1500",
    "collect.policy=noise",
    "vae.latent=8",
    "vae.convolution.encoder=8:4:2:0,16:4:2:1",
    "vae.convolution.decoder=",
    "vae.epochs=2",
    "mdnrnn.hidden=32",
    "mdnrnn.mixtures=2",
    "mdnrnn.epochs=1",
    "controller.steps=1",
    "controller.episodes=1",
    "controller.max_episode_steps=40",
    "controller.validation_episodes=2",
    "rounds.steps=200",
];

fn driver(at: &Path) {
    succeed(at, &format!("collect --run driver {}", set(&DRIVER)));
    succeed(at, "train --run driver");
    succeed(at, "pack --run driver");
}

#[test]
fn a_driver_that_sees_the_state_teaches_one_of_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    driver(at);
    let teacher = "--teacher driver/agent.safetensors";
    succeed(at, &format!("collect --run pupil {}", set(&PUPIL)));
    succeed(at, "train --run pupil --stage vae");
    succeed(at, "train --run pupil --stage mdnrnn");
    // In dreams there is no state.
    refused(
        at,
        &format!("train --run pupil --stage controller {teacher} --set controller.scored_on=dreams"),
        "teacher: one that sees what is behind the picture plays real episodes: expected controller.scored_on = \"episodes\"",
    );

    let said = succeed(at, &format!("train --run pupil --stage controller {teacher}"));
    // The driver's own lesson and four of the pupil's, 64 episodes of 40 steps each; then two whole ones of each of the four C's, and once more of
    // the best.
    assert!(said.contains("0 generations, 22800 steps"), "{said}");
    let run = RunDir::new(&at.join("pupil"));
    assert!(run.controller().exists() && run.teacher().exists());
    succeed(at, "pack --run pupil");
    // It drives: who stands still comes to -93.
    let evaluated = json(at, "evaluate --agent pupil/agent.safetensors --episodes 4 --json");
    let returns = evaluated["rows"][0]["return"]["mean"].as_f64().unwrap_or(f64::NAN);
    assert!(returns > -93.0, "{evaluated}");

    // By its name the environment is the same, seen as the agent sees it; for the driver, its state.
    let named = json(at, "evaluate --agent pupil/agent.safetensors --env CarRacing-v3 --episodes 4 --json");
    assert_eq!(named["rows"][0]["outcomes"], evaluated["rows"][0]["outcomes"]);
    succeed(at, "evaluate --agent driver/agent.safetensors --env CarRacing-v3 --episodes 1");

    // In Gymnasium's own environment it comes to the same, frame by frame.
    let judge = "evaluate --agent pupil/agent.safetensors --env gym:CarRacing-v3 --episodes 1 --json";
    let judged = command(at, judge).env("DREAMSTEP_PYTHON", python::script("python/interpreter.sh")).output().unwrap();
    assert!(judged.status.success(), "{}", text(&judged.stderr));
    let judged: Value = serde_json::from_slice(&judged.stdout).unwrap();
    assert_eq!(judged["rows"][0]["outcomes"][0], evaluated["rows"][0]["outcomes"][0]);

    // What each part is worth, taught by the same driver.
    succeed(at, "ablation --run pupil --arms z,z+h-untrained --taught --episodes 2 --set controller.precision=i8");
    for arm in ["z", "z+h-untrained"] {
        let arm = RunDir::new(&at.join("pupil/ablation").join(arm));
        assert!(std::fs::read(arm.teacher()).unwrap() == std::fs::read(run.teacher()).unwrap(), "{}", arm.root().display());
    }
    std::fs::remove_file(run.teacher()).unwrap();
    refused_naming(at, "ablation --run pupil --arms z --taught --force", &["teacher.safetensors", "--taught", "found none"]);
}

#[test]
fn who_is_paid_no_more_is_not_watched_to_the_end() {
    let env = EnvConfig { observation: Observation::State, ..EnvConfig::from("CarRacing-v3") };
    let mut player = Player::new(&env).unwrap();
    let mut steps = |cut| player.episode(Policy::Zero, 3, cut).unwrap().length;
    // Of who stands still every step costs, but for the first.
    let first = steps(Cut { max_steps: 0, patience: 30 }) - 30;
    assert!(first <= 1, "{first}");
    assert_eq!(steps(Cut { max_steps: 0, patience: 100 }), first + 100);
    assert_eq!(steps(Cut { max_steps: 25, patience: 30 }), 25);
    assert_eq!(steps(Cut::default()), 1000);
}

#[test]
fn how_much_the_actuators_were_thrown_about_is_counted_in_halves_of_their_ranges() {
    let env = EnvConfig { observation: Observation::State, ..EnvConfig::from("CarRacing-v3") };
    let mut player = Player::new(&env).unwrap();
    let mut actions: Vec<Vec<f32>> = Vec::new();
    let cut = Cut { max_steps: 25, patience: 0 };
    let random = player.watch(Policy::Random, 3, cut, |tick| {
        actions.push(tick.action.to_vec());
        Ok(())
    });
    // Steering is from -1 to 1, gas and brake from 0 to 1.
    let squares = |pair: &[Vec<f32>]| {
        (0..3).map(|i| [1.0, 2.0, 2.0][i] * f64::from(pair[1][i] - pair[0][i])).map(|c| c * c).sum::<f64>()
    };
    let expected: f64 = actions.windows(2).map(squares).sum();
    let found = random.unwrap().action_change;
    assert!(expected > 1.0 && (found - expected).abs() < 1e-5 * expected, "{found}, {expected}");
    assert_eq!(player.episode(Policy::Zero, 3, cut).unwrap().action_change, 0.0);
}

#[test]
fn every_round_has_the_teacher_that_the_first_had() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    driver(at);
    let rounds = "rounds --run r --rounds 2 --episodes 2";
    // The teacher drives from the first round on, and a C with a hidden layer learns from it.
    let others =
        ["collect.policy=agent", "collect.exploration=0.3", "controller.hidden=[24]", "controller.lesson_episodes=8"];
    succeed(at, &format!("{rounds} --teacher driver/agent.safetensors {} {}", set(&PUPIL), set(&others)));
    let recorded = std::fs::read_to_string(at.join("r/round-1/rollouts/collect.txt")).unwrap();
    assert!(recorded.contains("policy = agent") && recorded.contains("noise_scale = 0.3"), "{recorded}");
    let whole = results(&at.join("r"));
    let driver = std::fs::read(at.join("driver/agent.safetensors")).unwrap();
    for name in ["teacher.safetensors", "round-1/teacher.safetensors", "round-2/teacher.safetensors"] {
        assert!(whole[name] == driver, "{name}");
    }
    let table: Value = serde_json::from_slice(&whole["rounds.json"]).unwrap();
    assert_eq!(table["rounds"].as_array().unwrap().len(), 2);
    // On record: the same command without it goes on, and comes to the same.
    std::fs::remove_file(at.join("r/round-2/controller.safetensors")).unwrap();
    std::fs::remove_file(at.join("r/round-2/evolution.safetensors")).ok();
    succeed(at, rounds);
    assert!(results(&at.join("r")) == whole);
    // Another one would be of no effect.
    succeed(at, "train --run driver --stage controller --force --set controller.sigma=0.2 --set controller.steps=9000");
    succeed(at, "pack --run driver");
    refused_naming(at, &format!("{rounds} --teacher driver/agent.safetensors"), &["expected", "began"]);
}
