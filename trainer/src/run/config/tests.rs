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
    let config = Preset::PAPER.config();
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
    let (humanoid, paper) = (Config::default(), Preset::PAPER.config());
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
        ("", vec!["controller.ars.top_directions=41"], "controller.ars.top_directions = 41"),
        ("", vec!["controller.cma.population=3"], "controller.cma.population = 3"),
        ("", vec!["controller.restarts=13"], "controller.cma.restarts = 13"),
        ("", vec!["controller.cma.population=1000", "controller.cma.restarts=11"], "controller.cma.population"),
        ("", vec!["controller.directions=2000000"], "controller.pgpe.directions = 2000000"),
        ("", vec!["controller.learning_rate=0"], "controller.ars.learning_rate"),
        ("", vec!["controller.openai_es.weight_decay=-1"], "controller.openai_es.weight_decay"),
        ("", vec!["controller.assist.force=-0.1"], "controller.assist.force"),
        ("", vec!["controller.assist.decay=1.0"], "controller.assist.decay"),
        ("", vec!["vae.block_weights=[1,-1]"], "vae.block_weights[1] = -1"),
        ("", vec!["vae.contrast_weight=-1"], "vae.contrast_weight = -1"),
        ("", vec!["vae.optimizer=sgd"], "sgd"),
        (
            "",
            vec!["controller.scored_on=dreams", "controller.precision=i8"],
            "controller.precision = \"i8\": must be \"f32\"",
        ),
        ("", vec!["dream.ends=sampled"], "sampled"),
        (
            "",
            vec!["controller.scored_on=dreams", "controller.action_change_cost=1"],
            "controller.action_change_cost = 1: must be 0",
        ),
        ("", vec!["mdnrnn.cell=rnn"], "rnn"),
        ("[vae", vec![], "test.toml"),
    ] {
        let error = error(text, &set);
        assert!(error.contains(part), "{error:?} should name {part:?}");
        assert!(!error.contains('\n'), "{error:?} should be one line");
    }
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
fn the_assistive_force_is_annealed_once_candidates_last() {
    let mut config = Config::default().controller;
    config.assist = AssistConfig { force: 1.0, decay: 0.5, min_length: 0.8, max_steps: 100 };
    assert_eq!(config.annealed(1.0, 79.0, 1000), 1.0);
    assert_eq!(config.annealed(1.0, 80.0, 1000), 0.5);
    assert_eq!(config.annealed(0.015, 80.0, 1000), 0.0, "what is left is none");
    assert_eq!([config.cut(0.5), config.cut(0.0)].map(|cut| cut.max_steps), [100, 0]);
    (config.assist.max_steps, config.max_episode_steps) = (0, 0);
    assert_eq!([config.annealed(1.0, 799.0, 1000), config.annealed(1.0, 800.0, 1000)], [1.0, 0.5]);
    assert_eq!(config.annealed(0.0, 80.0, 100), 0.0);
}

/// A slip in the text of a file: the line is named, and the text in it.
#[test]
fn a_slip_in_the_text_is_named() {
    for (text, part) in [
        ("[collect]\nsteps = 60\nsteps = 70\n", "test.toml: line 3: steps = 70: "),
        ("env = \"CartPole-v1\"\nseed = 18446744073709551615\n", "test.toml: line 2: seed = 18446744073709551615: "),
        ("[vae]\n\nlatent == 3\n", "test.toml: line 3: latent == 3: "),
        ("[vae]\n[vae]\n", "test.toml: line 2: [vae]: "),
        ("threads = 1\n[vae", "test.toml: line 2: [vae: "),
        ("env = \"Ant", "test.toml: line 1: env = \"Ant: "),
    ] {
        let found = error(text, &[]);
        assert!(found.starts_with(part) && found.len() > part.len() && !found.contains('\n'), "{found:?} for {text:?}");
    }
    let found = error("", &["seed=18446744073709551615"]);
    assert!(found.contains("seed = ") && !found.contains('\n'), "{found}");
}

/// Settings of the second round are checked before the first.
#[test]
fn what_later_rounds_change_is_checked_at_once() {
    let then = |item: &str| format!("rounds.then = [\"controller.sigma=0.1\", \"{item}\"]");
    Config::default().overlay("x", &then("controller.support=0"), &[]).unwrap();
    for (item, part) in [("controller.sgima=1", "unknown key `controller.sgima`"), ("vae.latent=0", "vae.latent = 0")] {
        let found = error(&then(item), &[]);
        assert!(found.contains("rounds.then") && found.contains(part) && !found.contains('\n'), "{found}");
    }
}

#[test]
fn an_environment_is_named_by_a_string_or_described_by_a_table() {
    let overlay = |text: &str, set: &[&str]| {
        let set: Vec<String> = set.iter().map(ToString::to_string).collect();
        Config::default().overlay("x.toml", text, &set).map(|config| config.env)
    };
    let named = overlay("env = \"CartPole-v1\"\n", &[]).unwrap();
    assert_eq!(named, EnvConfig::from("CartPole-v1"));
    assert_eq!(overlay("[env]\nid = \"CartPole-v1\"\n", &[]).unwrap(), named);
    assert_eq!(overlay("", &["env=CartPole-v1"]).unwrap(), named);
    // What is passed on is the user's own; it reads back as it was.
    let text = "[env]\nid = \"gym:X-v0\"\n[env.kwargs]\nwind = 2.5\nlayout = { size = [3, 4], kind = \"wide\" }\n";
    let env = overlay(text, &["env.kwargs.wind=3.5", "env.kwargs.layout.kind=narrow", "env.time_limit=7"]).unwrap();
    assert_eq!((env.time_limit, env.kwargs["wind"].as_float()), (7, Some(3.5)));
    assert_eq!(env.kwargs["layout"]["kind"].as_str(), Some("narrow"));
    let config = Config { env: env.clone(), ..Config::default() };
    assert_eq!(Config::default().overlay("x", &config.to_toml(), &[]).unwrap().env, env);
    for (text, part) in [
        ("[env]\ncolour = 1\n", "unknown key `env.colour`; known here: action_delay, "),
        ("[env]\naction_range = [1.0]\n", "env.action_range = [1.0]: must be empty, or [low, high]"),
        ("[env]\naction_range = [1.0, 1.0]\n", "env.action_range"),
        ("[env]\ntimeout_s = 0.0\n", "env.timeout_s = 0.0: must be a number from 0.001"),
        ("[env]\non_error = \"cry\"\n", "cry"),
    ] {
        let error = format!("{:#}", overlay(text, &[]).unwrap_err());
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn where_an_interpreter_lies_decides_nothing_and_what_it_is_given_does() {
    let plain = Config::default().overlay("x", "env = \"gym:X-v0\"\n", &[]).unwrap();
    let with = |set: &str| plain.overlay("x", "", &[set.to_string()]).unwrap();
    for set in ["env.python=/somewhere/python", "env.timeout_s=5", "env.on_error=worst"] {
        let other = with(set);
        assert_eq!((other.env.label(), other.provenance()), ("gym:X-v0".into(), plain.provenance()), "{set}");
        assert_eq!(plain.first_difference(&other.to_toml(), &[]).unwrap(), None, "{set}");
    }
    let windy = with("env.kwargs.wind=2");
    assert_ne!(windy.env.label(), with("env.kwargs.wind=3").env.label());
    assert!(windy.env.label().starts_with("gym:X-v0 (settings "), "{}", windy.env.label());
    for (now, then) in [(&plain, &windy), (&windy, &plain)] {
        let (key, ..) = now.first_difference(&then.to_toml(), &[]).unwrap().unwrap();
        assert_eq!(key, "env.kwargs");
    }
}

#[test]
fn a_task_is_written_where_there_is_one_and_reads_back() {
    assert!(!Config::default().to_toml().contains("env.task"), "a task that is built in has other values");
    let text = "[env]\nid = 'Own'\nmjcf = 'own.xml'\n[env.task]\nframe_skip = 3\nobserve = ['qpos[1:]', { of = 'qvel', clip = 10, minus = 1 }]\n\
                reward = [{ of = 'com[0]', rate = true, weight = -1, limit = 2, inside = [0, inf] }]\n\
                reset = [{ of = 'qpos', uniform = [0, 1] }, { of = 'qpos[:2]', box = [[-1, 1], [0, 1]], nearer_than = 1 }]\n";
    let own = Config::default().overlay("x", text, &["env.task.camera.body=hull".into()]).unwrap();
    let QuantityConfig { of, clip, minus, .. } = &own.env.task.observe[1];
    assert_eq!((of.as_str(), *clip, minus), ("qvel", Some(Span::Half(10.0)), &Minus::Numbers(Numbers::One(1.0))));
    assert_eq!((own.env.task.observe[0].of.as_str(), own.env.task.camera.body.as_str()), ("qpos[1:]", "hull"));
    let written = own.to_toml();
    assert_eq!(Config::default().overlay("x", &written, &[]).unwrap(), own);
    assert_eq!(own.first_difference(&written, &[]).unwrap(), None);
    // What is not written is the default, and another than what is.
    for (now, then) in [(&own, &Config::default()), (&Config::default(), &own)] {
        let now = Config { env: EnvConfig { task: now.env.task.clone(), ..then.env.clone() }, ..then.clone() };
        let (key, ..) = now.first_difference(&then.to_toml(), &[]).unwrap().unwrap();
        assert!(key.starts_with("env.task."), "{key}");
    }
}

/// Folders say labels: those of today's settings stay what they are.
#[test]
fn a_label_is_of_what_is_not_as_usual() {
    let label = |text: &str| Config::default().overlay("x", text, &[]).unwrap().env.label();
    let delayed = "env = { id = \"Hopper-v5\", action_delay = 1 }\n";
    assert_eq!(label(delayed), "Hopper-v5 (settings 9f45ae40616c6c2b)");
    assert_eq!(
        label("env = { id = \"Hopper-v5\", action_delay = 1, observation_delay = 0, time_limit = 0 }\n"),
        label(delayed)
    );
    assert_eq!(label("[env]\nid = \"gym:X-v0\"\nkwargs = { wind = 2 }\n"), "gym:X-v0 (settings c4ecd7adcd536495)");
}
