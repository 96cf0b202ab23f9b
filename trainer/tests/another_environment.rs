//! An agent meets only the environment that it was made for. Several tasks observe and do as many numbers as another; an agent of the one
//! acts in the other without complaint, and badly.

mod common;

use common::{command, dreamstep, refused, text};
use dreamstep_core::pack::{Parts, pack, unpack};
use dreamstep_fixtures::CARTPOLE;
use std::fs;
use std::path::Path;

/// HalfCheetah-v5 and Walker2d-v5: 17 observations, 6 actions.
const SMALL: &str = "--set collect.steps=1500 --set vae.epochs=1 --set mdnrnn.epochs=1 --set vae.latent=4 --set mdnrnn.hidden=8 \
                     --set vae.hidden=[8,8] --set controller.steps=100 --set controller.directions=1 \
                     --set controller.max_episode_steps=10";

#[test]
fn an_agent_of_another_environment_of_equal_sizes_is_refused_wherever_one_acts() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    dreamstep(at, &format!("collect --run a --set env=HalfCheetah-v5 {SMALL}")).unwrap();
    dreamstep(at, "train --run a").unwrap();
    dreamstep(at, "pack --run a").unwrap();
    let agent = "a/agent.safetensors";
    let message = format!("{agent}: expected an agent made for Walker2d-v5, found one made for HalfCheetah-v5");
    let walker = format!("--set env=Walker2d-v5 {SMALL}");
    refused(at, &format!("collect --run b {walker} --agent {agent}"), &message);
    assert!(!at.join("b").exists(), "a refusal makes no folder");
    for command in ["evaluate", "run"] {
        refused(at, &format!("{command} --agent {agent} --env Walker2d-v5 --episodes 1"), &message);
    }
    refused(at, &format!("render --run a --agent {agent} --env Walker2d-v5 --steps 1 --out x.gif"), &message);
    dreamstep(at, &format!("collect --run b {walker}")).unwrap();
    refused(at, &format!("train --run b --teacher {agent}"), &message);
    assert!(!at.join("b/vae.safetensors").exists() && !at.join("b/teacher.safetensors").exists());
    // Its own run's, by another's name.
    fs::copy(at.join(agent), at.join("b/agent.safetensors")).unwrap();
    for stage in ["vae", "mdnrnn"] {
        dreamstep(at, &format!("train --run b --stage {stage}")).unwrap();
    }
    let message = message.replace(agent, "b/agent.safetensors");
    refused(at, "report --run b --episodes 1", &message);
    // At home it is welcome, without a word of ours.
    let (welcome, text) = said(at, &format!("evaluate --agent {agent} --episodes 1"));
    assert!(welcome && !text.contains("warning: "), "{text}");
}

#[test]
fn an_agent_of_another_period_is_refused_and_one_that_does_not_say_is_used_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let with = |name: &str, env: Option<&str>, period_s: Option<f64>| {
        let mut agent = unpack(CARTPOLE).unwrap();
        agent.settings.period_s = period_s;
        agent.settings.selftest_digest = None;
        agent.provenance.remove("env");
        agent.provenance.extend(env.map(|env| ("env".to_string(), env.to_string())));
        let parts = Parts {
            tensors: &agent.tensors,
            settings: agent.settings,
            action_mid: &agent.action_mid,
            action_half: &agent.action_half,
            selftest: None,
            frames: &[],
            provenance: &agent.provenance,
        };
        fs::write(at.join(name), pack(&parts).unwrap()).unwrap();
    };
    with("slow", Some("CartPole-v1"), Some(0.04));
    with("as-it-is", Some("CartPole-v1"), Some(0.02));
    with("no-period", Some("CartPole-v1"), None);
    with("nothing", None, None);
    let message = "slow: expected an agent made for the control period of CartPole-v1, 0.02 s, found one made for 0.04 s";
    for command in ["evaluate", "run"] {
        let play = |file: &str| said(at, &format!("{command} --agent {file} --env CartPole-v1 --episodes 1"));
        refused(at, &format!("{command} --agent slow --episodes 1"), message);
        assert_eq!(play("as-it-is"), (true, String::new()));
        for (file, what) in [("no-period", "control period"), ("nothing", "environment and control period")] {
            let warning =
                format!("warning: {file}: does not say for which {what} the agent was made; used in CartPole-v1\n");
            assert_eq!(play(file), (true, warning));
        }
    }
    refused(at, "collect --run r --set env=CartPole-v1 --set collect.steps=10 --agent slow", message);
    assert!(dreamstep(at, "collect --run r --set env=CartPole-v1 --set collect.steps=10 --agent as-it-is").is_ok());
}

/// Whether it went well, and what it said on standard error.
fn said(folder: &Path, args: &str) -> (bool, String) {
    let output = command(folder, args).output().unwrap();
    (output.status.success(), text(&output.stderr))
}
