//! What overrides win, what is refused, and by which name.

use super::OptimizerRule;
use super::*;
use dreamstep_core::m::MemoryCell;
use dreamstep_core::schema::Squash;

fn error(text: &str, overrides: &[&str]) -> String {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    format!("{:#}", Config::default().overlay("test.toml", text, &overrides).unwrap_err())
}

#[test]
fn what_is_written_reads_back() {
    let config = Preset::Paper.config();
    assert_eq!(Config::default().overlay("x", &config.to_toml(), &[]).unwrap(), config);
}

#[test]
fn overrides_win_and_leave_the_rest() {
    let set =
        ["vae.epochs=3", "controller.squash=tanh", "vae.learning_rate=1", "mdnrnn.optimizer=rmsprop", "mdnrnn.cell=gru"]
            .map(String::from);
    let config = Config::default().overlay("x", "[vae]\nlatent = 64\n", &set).unwrap();
    assert_eq!((config.vae.latent, config.vae.epochs), (64, 3));
    assert_eq!(config.controller.squash, Squash::Tanh);
    assert_eq!(
        config.mdnrnn,
        MdnrnnConfig { optimizer: OptimizerRule::RmsProp, cell: MemoryCell::Gru, ..MdnrnnConfig::default() }
    );
    assert_eq!(Config::default().overlay("x", &config.to_toml(), &[]).unwrap(), config);
}

#[test]
fn m_is_told_the_first_step_of_every_window() {
    let found = error("", &["mdnrnn.sequence_length=8", "mdnrnn.own_steps=8"]);
    assert_eq!(found, "mdnrnn.own_steps = 8: must be below mdnrnn.sequence_length = 8");
    Config::default().overlay("x", "", &["mdnrnn.sequence_length=8".into(), "mdnrnn.own_steps=7".into()]).unwrap();
}

#[test]
fn every_strategy_has_a_name_that_reads_back() {
    use StrategyName::{Ars, CmaEs, OpenAiEs, Pgpe, SepCmaEs};
    let names = [("pgpe", Pgpe), ("cma-es", CmaEs), ("sep-cma-es", SepCmaEs), ("ars", Ars), ("openai-es", OpenAiEs)];
    for (name, strategy) in names {
        let config = Config::default().overlay("x", "", &[format!("controller.strategy={name}")]).unwrap();
        assert_eq!(config.controller.strategy, strategy);
        assert_eq!(Config::default().overlay("x", &config.to_toml(), &[]).unwrap(), config);
    }
}

/// CartPole pays 1 a step: with Humanoid's 4 taken off, evolution would learn to drop the pole.
#[test]
fn another_environment_leaves_its_reward_whole_unless_told() {
    let offset = |base: &Config, text: &str, set: &[&str]| {
        let set: Vec<String> = set.iter().map(ToString::to_string).collect();
        base.overlay("x", text, &set).unwrap().controller.reward_offset
    };
    let (humanoid, paper) = (Config::default(), Preset::Paper.config());
    assert_eq!(offset(&humanoid, "", &["env=CartPole-v1"]), 0.0);
    assert_eq!(offset(&paper, "env = 'CartPole-v1'", &[]), 0.0);
    assert_eq!(offset(&humanoid, "", &["env=CartPole-v1", "controller.reward_offset=0.5"]), 0.5);
    assert_eq!(offset(&humanoid, "env = 'Ant-v5'\n[controller]\nreward_offset = 1", &[]), 1.0);
    assert_eq!(offset(&paper, "", &["env=Humanoid-v5"]), 5.0);
    let cart_pole = humanoid.overlay("x", "", &["env=CartPole-v1".into()]).unwrap();
    assert_eq!(offset(&humanoid, &cart_pole.to_toml(), &["vae.latent=4"]), 0.0, "what was written is read back");
    assert_eq!(offset(&cart_pole, "", &["env=Humanoid-v5"]), 4.0);
}

#[test]
fn a_difference_is_named_unless_its_section_does_not_count() {
    let mut then = Config { threads: 7, ..Config::default() };
    let differs = |then: &Config, ignored: &[&str]| Config::default().first_difference(&then.to_toml(), ignored).unwrap();
    assert_eq!(differs(&then, &[]), None);
    then.vae.latent = 64;
    assert_eq!(differs(&then, &["controller"]), Some(("vae.latent".into(), "64".into(), "32".into())));
    assert_eq!(differs(&then, &["vae"]), None);
}

#[test]
fn errors_name_the_key_on_one_line() {
    for (text, set, part) in [
        ("[vae]\nlatnet = 3", vec![], "vae.latnet"),
        ("[vae]\nlatent = \"big\"", vec![], "vae.latent"),
        ("[vae]\nlatent = 0", vec![], "vae.latent"),
        ("[vae]\nlatent = -1", vec![], "vae"),
        ("", vec!["mdnrnn.hiden=3"], "mdnrnn.hiden"),
        ("", vec!["mdnrnn.hidden"], "key=value"),
        ("", vec!["controller.squash=relu"], "relu"),
        ("", vec!["controller.strategy=cmaes"], "cmaes"),
        ("", vec!["controller.top_directions=41"], "controller.top_directions = 41"),
        ("", vec!["controller.population=3"], "controller.population = 3"),
        ("", vec!["controller.restarts=13"], "controller.restarts = 13"),
        ("", vec!["controller.population=1000", "controller.restarts=11"], "controller.population"),
        ("", vec!["controller.directions=2000000"], "controller.directions"),
        ("", vec!["controller.learning_rate=0"], "controller.learning_rate"),
        ("", vec!["controller.weight_decay=-1"], "controller.weight_decay"),
        ("", vec!["controller.support=-0.1"], "controller.support"),
        ("", vec!["controller.support_decay=1.0"], "controller.support_decay"),
        ("", vec!["vae.block_weights=[1,-1]"], "vae.block_weights[1] = -1"),
        ("", vec!["vae.optimizer=sgd"], "sgd"),
        ("", vec!["mdnrnn.cell=rnn"], "rnn"),
        ("[vae", vec![], "test.toml"),
    ] {
        let error = error(text, &set);
        assert!(error.contains(part), "{error:?} should name {part:?}");
        assert!(!error.contains('\n'), "{error:?} should be one line");
    }
}

/// The configurations that figures are reported from are read by the code that is there now.
#[test]
fn every_committed_configuration_is_one() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let mut read = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let config = Config::default().overlay_file(&file.unwrap().path(), &[]).unwrap();
        assert!(crate::env::ids().any(|id| id == config.env), "{}", config.env);
        read += 1;
    }
    assert!(read >= 3, "{read}");
}

#[test]
fn the_bonus_comes_back_as_the_schedule_says() {
    let mut config = Config::default().controller;
    (config.reward_offset, config.reward_offset_final, config.reward_offset_steps) = (5.0, 1.0, 100);
    assert_eq!([0, 25, 100, 1000].map(|steps| config.reward_offset_at(steps)), [5.0, 4.0, 1.0, 1.0]);
    config.reward_offset_steps = 0;
    assert_eq!(config.reward_offset_at(1000), 5.0);
}

#[test]
fn support_slackens_once_candidates_last_and_ends() {
    let mut config = Config::default().controller;
    (config.support, config.support_decay, config.support_length, config.support_steps) = (1.0, 0.5, 0.8, 100);
    assert_eq!(config.slackened(1.0, 79.0, 1000), 1.0);
    assert_eq!(config.slackened(1.0, 80.0, 1000), 0.5);
    assert_eq!(config.slackened(0.015, 80.0, 1000), 0.0, "what is left is let go");
    assert_eq!([config.cut(0.5), config.cut(0.0)], [100, 0]);
    (config.support_steps, config.max_episode_steps) = (0, 0);
    assert_eq!([config.slackened(1.0, 799.0, 1000), config.slackened(1.0, 800.0, 1000)], [1.0, 0.5]);
    assert_eq!(config.slackened(0.0, 80.0, 100), 0.0);
}
