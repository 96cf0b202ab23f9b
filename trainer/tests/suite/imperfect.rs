//! Delays and noise go with a run and its agent through every command, and with no number of threads.

use crate::common::{json, python, refused_naming, same_results, succeed};
use dreamstep::data::rollouts::{self, file_name};
use std::fs;

const SETTINGS: &str = "--set env.id=CartPole-v1 --set env.action_delay=1 --set env.observation_delay=2 --set env.observation_noise=[0.01]
    --set collect.steps=300 --set vae.latent=4 --set vae.hidden=[8] --set vae.epochs=1 --set mdnrnn.hidden=8 --set mdnrnn.epochs=1
    --set controller.steps=300 --set controller.directions=2";

#[test]
fn an_agent_meets_the_delays_and_the_noise_that_it_was_made_with() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for threads in [1, 2] {
        // `threads` is in config.toml.
        succeed(folder, &format!("collect --run {threads} --set threads={threads} {SETTINGS}"));
        succeed(folder, &format!("train --run {threads} --set threads={threads}"));
        succeed(folder, &format!("pack --run {threads}"));
        fs::remove_file(folder.join(format!("{threads}/config.toml"))).unwrap();
    }
    same_results(&folder.join("1"), &folder.join("2"), "two threads");
    succeed(folder, "collect --run clean --set env=CartPole-v1 --set collect.steps=300");
    let first = |run: &str| fs::read(folder.join(run).join("rollouts").join(file_name(0))).unwrap();
    assert_ne!(first("clean"), first("1"));

    // ---- as it was made, unless another environment is named
    let said = "actions 1 step late, observations 2 steps late, observations with noise of standard deviation 0.01";
    let evaluate = "--agent 1/agent.safetensors --episodes 6 --json";
    let own = json(folder, &format!("evaluate {evaluate} --baselines --threads 2"));
    assert_eq!(own["conditions"], said);
    assert_eq!(own, json(folder, &format!("evaluate {evaluate} --baselines --threads 1")));
    let clean = json(folder, &format!("evaluate {evaluate} --env CartPole-v1"));
    assert!(clean.get("conditions").is_none(), "{clean}");
    // The random policy takes no notice of what it sees, so that only the actions' delay tells.
    fs::write(folder.join("late.toml"), "[env]\nid = \"CartPole-v1\"\naction_delay = 1\n").unwrap();
    let late = json(folder, &format!("evaluate {evaluate} --baselines --env late.toml"));
    assert_eq!(late["conditions"], "actions 1 step late");
    assert_eq!(late["rows"][0], own["rows"][0], "random");
    assert_ne!(late["rows"][2], own["rows"][2], "the agent");
    let text = succeed(folder, "evaluate --agent 1/agent.safetensors --episodes 2");
    assert!(text.contains(&format!("\nwith {said}\n")), "{text}");
    let run = json(folder, "run --agent 1/agent.safetensors --seed 1000 --json");
    assert_eq!((&run["conditions"], &run["outcomes"][0]), (&said.into(), &own["rows"][2]["outcomes"][0]));
    let report = succeed(folder, &format!("report --run 1 --episodes 2 --set threads=1 {SETTINGS}"));
    assert!(report.contains(&format!("\nWith {said}.\n")), "{report}");

    // ---- what was recorded otherwise is not added to
    let other = SETTINGS.replace("action_delay=1", "action_delay=2").replace("steps=300", "steps=600");
    refused_naming(
        folder,
        &format!("collect --run 1 {other}"),
        &["expected `env = CartPole-v1 (settings ", "found `env = CartPole-v1 (settings "],
    );
    refused_naming(
        folder,
        "collect --run n --set env.observation_delay=1001",
        &["env.observation_delay = 1001: must be a whole number from 0 to 1000"],
    );
    refused_naming(
        folder,
        "collect --run n --set env.observation_noise=[0.1,-0.1]",
        &["env.observation_noise[1] = -0.1: must be"],
    );
    refused_naming(
        folder,
        "collect --run n --set env=Hopper-v5 --set env.observation_noise=[1,2,3]",
        &["env.observation_noise: Hopper-v5: expected one number, 2 (one each for qpos, qvel) or 11, found 3"],
    );
}

/// The wrapper is one for all: the same late and noisy episodes of a task that is simulated here and in Python.
#[test]
fn a_bridged_environment_is_late_and_noisy_in_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let settings =
        "--set collect.steps=60 --set env.action_delay=2 --set env.observation_delay=1 --set env.observation_noise=[0.05]";
    let interpreter = python::script("python/interpreter.sh");
    succeed(folder, &format!("collect --run native {settings} --set env.id=InvertedPendulum-v5"));
    let bridged = format!("--set env.id=gym:InvertedPendulum-v5 --set env.python={}", interpreter.display());
    succeed(folder, &format!("collect --run bridged {settings} {bridged}"));
    let episodes = |run: &str| rollouts::read_dir(&folder.join(run).join("rollouts")).unwrap();
    assert_eq!(episodes("bridged"), episodes("native"));
    assert!(episodes("native").len() > 2);
}
