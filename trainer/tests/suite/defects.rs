//! What went wrong in the systems before this one cannot here: each test fails on a defect that one of them had. `trainer/README.md` lists
//! the defects, these tests, and those that stand with the code they guard.

use crate::common::succeed;
use dreamstep::agent::pack::{Ingredients, base_agent};
use dreamstep::data::collect::{Request, collect, reset_seed};
use dreamstep::data::rollouts::{self, Episode, file_name};
use dreamstep::env::pool::{Cut, Player, Policy};
use dreamstep::env::{AnyEnv, Env};
use dreamstep::run::checkpoint::Checkpoint;
use dreamstep::run::config::{CollectPolicy, Config, EnvConfig, Observation};
use dreamstep::run::folder::RunDir;
use dreamstep::run::progress::Progress;
use dreamstep_core::dims::Dims;
use dreamstep_core::names::checkpoint as names;
use dreamstep_core::pack::AlignedBytes;
use dreamstep_fixtures::{HUMANOID, synthetic};
use dreamstep_runtime::{Agent, Model, memory_len};
use std::collections::BTreeSet;
use std::path::Path;

fn recorded(env: &str, policy: CollectPolicy, steps: u64) -> (Config, Vec<Episode>) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config { env: env.into(), threads: 2, seed: 3, ..Config::default() };
    (config.collect.steps, config.collect.policy) = (steps, policy);
    collect(&config, folder.path(), &Request::default(), &Progress::hidden()).unwrap();
    (config, rollouts::read_dir(&folder.path().join("rollouts")).unwrap())
}

/// The first observation was the last episode's (reset's answer went into a variable that nobody read); rewards and dones stood one step
/// too late; the environment was never seeded; a step's answer was unpacked as four values, so that falling and running out of time were
/// one; the last observation was missing. All of it shows when an episode is played again: from its seed, by its actions.
#[test]
fn an_episode_played_again_is_the_same_step_by_step() {
    for (id, policy, steps) in [
        ("Hopper-v5", CollectPolicy::Random, 400),
        ("CartPole-v1", CollectPolicy::Noise, 200),
        ("Reacher-v5", CollectPolicy::Random, 120),
    ] {
        let (config, episodes) = recorded(id, policy, steps);
        let mut env = AnyEnv::make(&EnvConfig::from(id)).unwrap();
        let mut obs = vec![0.0; env.spec().obs];
        let single = |obs: &[f64]| obs.iter().map(|&x| x as f32).collect::<Vec<_>>();
        for (index, episode) in (0..).zip(&episodes) {
            assert_eq!(episode.seed, reset_seed(config.seed, index), "every episode has a seed of its own, and says it");
            env.reset(episode.seed, &mut obs).unwrap();
            assert_eq!(episode.observations.row(0), single(&obs), "{id}: it begins where reset put it");
            for t in 0..episode.steps() {
                let step = env.step(&episode.actions.row(t).to_vec(), &mut obs).unwrap();
                assert_eq!(episode.observations.row(t + 1), single(&obs), "{id}: where step {t} led");
                assert_eq!(
                    episode.rewards[t], step.reward as f32,
                    "{id}: what step {t} earned, not the one before or after"
                );
                assert_eq!(
                    (episode.terminals[t], episode.truncations[t]),
                    (step.terminated, step.truncated),
                    "{id}: step {t}"
                );
            }
        }
        let limit = env.spec().time_limit as usize;
        let cut = |e: &&Episode| e.truncations[e.steps() - 1] && !e.terminals[e.steps() - 1];
        if id == "Reacher-v5" {
            assert!(episodes.iter().all(|e| cut(&e) && e.steps() == limit), "running out of time is no fall");
        } else {
            assert!(episodes.iter().all(|e| e.terminals[e.steps() - 1]), "a fall is an end");
        }
        let seeds: BTreeSet<u64> = episodes.iter().map(|e| e.seed).collect();
        assert_eq!(seeds.len(), episodes.len());
    }
}

/// A network was trained on raw observations though normalised ones had been computed: a dimension in thousands was 94 % of its loss. Scaled by
/// powers of two, which lose no bit, observations train V to the same figures, to the bit.
#[test]
fn units_of_observations_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (_, episodes) = recorded("Hopper-v5", CollectPolicy::Random, 500);
    let mut losses = Vec::new();
    for (run, scales) in
        [("metres", [1.0; 11]), ("mixed", [1024.0, 0.125, 1.0, 4096.0, 2.0, 0.5, 64.0, 1.0, 0.0625, 8.0, 16.0])]
    {
        for (i, episode) in (0..).zip(&episodes) {
            let mut scaled = episode.clone();
            let rows = &episode.observations.vectors().unwrap();
            scaled.observations = (rows * &ndarray::arr1(&scales)).into();
            scaled.write(&folder.join(run).join("rollouts").join(file_name(i))).unwrap();
        }
        let settings =
            "--set env=Hopper-v5 --set collect.steps=500 --set vae.epochs=3 --set vae.hidden=[32,16] --set vae.latent=4";
        succeed(folder, &format!("train --stage vae --run {run} {settings}"));
        let log = std::fs::read_to_string(folder.join(run).join("metrics.jsonl")).unwrap();
        let figures = |line: &str| -> Vec<serde_json::Value> {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            vec![record["train"].clone(), record["validation"].clone()]
        };
        losses.push(log.lines().filter(|line| line.contains("\"epoch\"")).map(figures).collect::<Vec<_>>());

        // And the statistics lie with the weights that need them, not beside them or nowhere.
        let vae = Checkpoint::read(&RunDir::new(&folder.join(run)).vae()).unwrap();
        let [mean, inv_std] = [names::NORMALIZER_MEAN, names::NORMALIZER_INV_STD].map(|name| &vae.tensors[name].data);
        let of = |i: usize| {
            let values: Vec<f64> = episodes
                .iter()
                .flat_map(|e| e.observations.vectors().unwrap().column(i).to_vec())
                .map(|v| f64::from(v * scales[i]))
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt())
        };
        for i in 0..11 {
            // Of the training episodes: nine of ten.
            let (expected, std) = of(i);
            assert!(
                (f64::from(mean[i]) - expected).abs() < 0.2 * std && (f64::from(inv_std[i]) * std - 1.0).abs() < 0.3,
                "{run} {i}"
            );
        }
    }
    assert!(losses[0].len() == 3 && losses[0] == losses[1], "{losses:#?}");
}

/// `total_loss` was overwritten inside the loop, so an epoch's average was its last batch's. Averages of parts must add up to the average of
/// the whole, and not be any batch's: three batches of very different sizes and contents.
#[test]
fn an_epochs_loss_is_the_mean_over_all_of_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (_, episodes) = recorded("Hopper-v5", CollectPolicy::Random, 300);
    (0..).zip(&episodes).for_each(|(i, e)| e.write(&folder.join("r/rollouts").join(file_name(i))).unwrap());
    let rows: usize = episodes.iter().map(|e| e.steps() + 1).sum();
    // A learning rate of next to nothing: the network stays as it is, and an epoch's loss is a property of the data.
    let train = |batch: usize| -> f64 {
        let settings = "--set env=Hopper-v5 --set collect.steps=300 --set vae.epochs=1 --set vae.learning_rate=1e-12 --set vae.kl_tolerance=0";
        succeed(folder, &format!("train --force --stage vae --run r {settings} --set vae.batch_size={batch}"));
        let log = std::fs::read_to_string(folder.join("r/metrics.jsonl")).unwrap();
        let record: serde_json::Value =
            serde_json::from_str(log.lines().rfind(|line| line.contains("\"epoch\"")).unwrap()).unwrap();
        let part = |key: &str| record["train"][key].as_f64().unwrap();
        let weight = Config::default().vae.kl_weight;
        let sum = part("reconstruction") + weight * part("kl");
        assert!((part("loss") - sum).abs() < 1e-4 * sum, "the parts add up: {record}");
        part("loss")
    };
    let whole = train(rows);
    // The last batch has a single row or a few.
    for batch in [rows / 2 - 1, 7, 64] {
        let found = train(batch);
        assert!((found - whole).abs() < 1e-3 * whole, "in batches of {batch}: {found}, at once: {whole}");
    }
}

/// The recurrent state was never reset between episodes, nor moved within them; and list comprehensions shared it between environments.
#[test]
fn memory_moves_with_every_step_and_ends_with_its_episode() {
    let bytes = AlignedBytes::new(HUMANOID);
    let model = Model::load(&bytes).unwrap();
    let play = |player: &mut Player, seed: u64| player.episode(Policy::Agent(&model), seed, Cut::default()).unwrap();
    let mut player = Player::new(&EnvConfig::from("Humanoid-v5")).unwrap();
    let one_after_the_other: Vec<_> = (40..44).map(|seed| play(&mut player, seed)).collect();
    for (seed, outcome) in (40..).zip(&one_after_the_other) {
        assert_eq!(
            *outcome,
            play(&mut Player::new(&EnvConfig::from("Humanoid-v5")).unwrap(), seed),
            "episode {seed} knows of none before it"
        );
    }

    let memory = || vec![0.0; memory_len(model.dims())];
    let (mut mine, mut yours) = (memory(), memory());
    let (mut agent, mut other) = (Agent::new(model, &mut mine).unwrap(), Agent::new(model, &mut yours).unwrap());
    let observation = synthetic::observation(model.dims(), 1, 0);
    let (mut first, mut second) = ([0.0; 17], [0.0; 17]);
    agent.step(&observation, &mut first).unwrap();
    let hidden = agent.hidden().to_vec();
    assert!(hidden.iter().any(|&h| h != 0.0), "h moves with the first step");
    agent.step(&observation, &mut second).unwrap();
    assert!(agent.hidden() != hidden && first != second, "h moves on, and the action with it: the observation was the same");
    assert!(other.hidden().iter().all(|&h| h == 0.0), "another agent's memory is its own");
    other.step(&observation, &mut second).unwrap();
    assert_eq!(first, second);
    agent.reset();
    agent.step(&observation, &mut second).unwrap();
    assert_eq!(first, second, "reset forgets everything");
}

/// tanh's ±1 went to actuators that obey ±0.4, so that most of a policy was clipped off while the cost of control was charged for all of it.
/// The most that a controller can ask for is what the actuator can do, in every environment.
#[test]
fn a_saturated_controller_asks_for_the_range_and_no_more() {
    for id in dreamstep::env::ids() {
        // Of a picture, V would be of another kind: C is the same.
        let observation = if id == "CarRacing-v3" { Observation::State } else { Observation::Own };
        let env = EnvConfig { observation, ..EnvConfig::from(id) };
        let spec = AnyEnv::make(&env).unwrap().spec().clone();
        let dims = Dims::vector(spec.obs, spec.action(), &[16, 16], 3, 16, 2);
        let all = synthetic::tensors(&dims, 5);
        let part = |prefixes: &[&str]| {
            let mut file = Checkpoint::default();
            let ours = all.iter().filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)));
            ours.for_each(|(name, (shape, data))| file.insert(name, shape, data.clone()));
            file
        };
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(&folder.path().join("r"));
        let options = dreamstep::agent::weights::Options {
            actions: Some(dreamstep::agent::weights::Actions::Unit),
            ..Default::default()
        };
        let config = Config { env, ..Config::default() };
        let path = folder.path().join("all");
        for prefixes in [&["encoder", "decoder", "normalizer"][..], &["rnn", "gmm"]] {
            part(prefixes).write(&path).unwrap();
            dreamstep::agent::weights::import(&config, &run, &path, &options).unwrap();
        }
        let bytes = base_agent(&Ingredients::read(&run).unwrap(), &config).unwrap();
        let model = Model::load(&bytes).unwrap();
        for sign in [-1.0, 1.0] {
            let mut values = vec![0.0; dims.action_len() * dims.controller_inputs()];
            values.extend(vec![sign * 1e6; dims.action_len()]);
            let panels = dreamstep_core::pack::controller_panels(&dims, &values);
            let saturated = model.with_controller(&panels).unwrap();
            let mut memory = vec![0.0; memory_len(&dims)];
            let mut action = vec![0.0; dims.action_len()];
            let mut agent = Agent::new(saturated, &mut memory).unwrap();
            agent.act(&vec![0.0; spec.obs], &mut action).unwrap();
            let ends = (0..spec.action()).map(|i| spec.actions.range(i));
            assert!(
                action.iter().copied().eq(ends.map(|(low, high)| if sign < 0.0 { low } else { high })),
                "{id}: {action:?}"
            );
        }
    }
}

/// `files[:-0]` is the empty list: a split without test files left nothing to train on. And a split that counts steps or sequences tests on
/// neighbours of what was trained on.
#[test]
fn a_split_holds_out_whole_episodes_and_leaves_some() {
    for episodes in [2, 3, 10, 997] {
        for fraction in [0.0, 0.1, 0.5, 0.999] {
            let split = dreamstep::data::split::Split::new(1, episodes, fraction).unwrap();
            assert!(!split.train.is_empty() && !split.validation.is_empty(), "{episodes} {fraction}");
            let all: BTreeSet<usize> = split.train.iter().chain(&split.validation).copied().collect();
            assert_eq!(
                (all.len(), split.train.len() + split.validation.len()),
                (episodes, episodes),
                "each in one of the two"
            );
        }
    }
}

/// The documents name these tests and others: each is there, so that a defect is not called covered by a test that has gone.
#[test]
fn the_tests_that_the_documents_name_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let documents =
        std::fs::read_dir(root.join("docs")).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let mut named = 0;
    for document in documents {
        for (file, test) in document.split('`').filter_map(|word| word.split_once(".rs::")) {
            let text = std::fs::read_to_string(root.join(format!("{file}.rs"))).unwrap_or_else(|e| panic!("{file}.rs: {e}"));
            assert!(text.contains(&format!("fn {test}(")), "{file}.rs has no test {test}");
            named += 1;
        }
    }
    assert!(named > 30, "{named}");
}
