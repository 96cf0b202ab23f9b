//! What would break an evolution: a budget that is spent before anything was validated, a candidate that cannot be scored, a controller that
//! is packed as another than was trained. On a tiny CartPole run with V and M of its own.

use super::dream::Imagined;
use super::dream::tests::{CHOICES, Small, small};
use super::real::RealEpisodes;
use super::*;
use crate::agent::pack::pack;
use crate::run::checkpoint::Checkpoint;
use crate::run::config::{Config, ScoredOn};
use crate::world::device::Device;
use dreamstep_runtime::{Action, Model, Squash};

const ON: [&str; 2] = ["controller.scored_on=episodes", "controller.scored_on=dreams"];

/// A search of `config` in `small`, from its beginning, and what scores its candidates.
fn with_search<T>(small: &Small, config: &Config, act: impl FnOnce(Search, &Scorer<'_>) -> T) -> T {
    let agents = small.agents();
    let models = [Model::load(&agents[0]).unwrap()];
    let recorded = small.recorded(&models);
    let scorer = match config.controller.scored_on {
        ScoredOn::Episodes => Scorer::Real(RealEpisodes::new(config, &models[0]).unwrap()),
        ScoredOn::Dreams => Scorer::Dream(Imagined::new(config, &agents, &models, &recorded, Device::Cpu).unwrap()),
    };
    act(Search::new(config, models[0].dims(), Whitening::none(models[0].dims()), None).unwrap(), &scorer)
}

/// As after Ctrl-C before the first validation, and then with a budget that is spent already.
#[test]
fn a_result_has_always_been_validated() {
    for (on, env) in [(ON[0], "env=CartPole-v1"), (ON[1], "env=CartPole-v1"), (ON[0], CHOICES)] {
        let small = small(&[on, env, "dream.generations=1000", "controller.steps=1000000", "dream.validate_every=50"]);
        for generations in [0, 1, 3] {
            let dims = *Model::load(&small.agents()[0]).unwrap().dims();
            with_search(&small, &small.config, |mut search, scorer| {
                for _ in 0..generations {
                    search.generation(&small.config, scorer).unwrap();
                }
                assert!(search.result(&small.config, &small.run, &dims).is_err(), "nothing is validated");
                search.save(&small.config, &small.run).unwrap();
            });
            let lower = small.with(&["dream.generations=1", "controller.steps=1"]);
            let summary = small.train(&lower, false).unwrap();
            let (generation, best) = (summary.state.generation, summary.best);
            assert_eq!((generation, best.generation), (generations.max(1), generations.max(1)), "{on}");
            let figure = best.real.or(best.dream).unwrap();
            assert!(figure.is_finite() && figure >= 1.0 && is_finished(&lower, &small.run).unwrap(), "{on}: {best:?}");
        }
    }
}

/// Weights that overflow are one way to fail; none of them ends the evolution, unless all do.
#[test]
fn candidates_that_fail_rank_last_and_only_all_of_them_end_an_evolution() {
    for on in ON {
        for strategy in ["cma-es", "sep-cma-es", "ars"] {
            let small = small(&[
                on,
                "controller.cma.population=16",
                "controller.ars.directions=40",
                &format!("controller.strategy={strategy}"),
            ]);
            let with_sigma = |sigma| {
                let mut config = small.config.clone();
                config.controller.sigma = sigma;
                with_search(&small, &config, |mut search, scorer| {
                    let spent = search.generation(&config, scorer).map_err(|error| format!("{error:#}"))?;
                    let mean = search.strategy.mean();
                    assert_eq!(search.state.failed, spent.failed as u64);
                    Ok::<_, String>((spent, mean.iter().all(|value| value.is_finite())))
                })
            };
            let (spent, finite) = with_sigma(1.5e38).unwrap();
            assert!(spent.failed > 0 && spent.mean_return.is_finite() && finite, "{on} {strategy}: {spent:?}");
            assert_eq!(with_sigma(0.1).unwrap().0.failed, 0);
            let error = with_sigma(1e300).unwrap_err();
            assert!(error.contains("generation 1: expected a candidate that can be scored, found none: "), "{error}");
            assert!(error.contains("finite") && !error.contains('\n'), "{error}");
        }
    }
}

/// A mean that fails its validation is never the result.
#[test]
fn a_mean_that_fails_is_not_kept() {
    let mut state = State::default();
    let validation = |real| Validation { generation: 1, dream: None, real: Some(real) };
    assert_eq!(state.record(validation(f64::NEG_INFINITY), 1), None);
    assert_eq!(state.record(validation(-7.0), 1), Some(0));
    assert_eq!(state.record(validation(f64::NEG_INFINITY), 1), None);
    assert_eq!(state.best, [validation(-7.0)]);
    // Read back from a file it is the same, to the last bit.
    state.assistance = 0.1 + 0.2;
    let text = toml::to_string(&state).unwrap();
    assert_eq!(toml::from_str::<State>(&text).unwrap(), state, "{text}");
}

#[test]
fn an_agent_is_packed_as_it_was_trained() {
    let small = small(&["dream.generations=2", "controller.squash=tanh", "controller.hidden=[4]"]);
    small.train(&small.config, false).unwrap();
    let squash = |config: &Config| {
        let bytes = pack(config, &small.run).map_err(|error| format!("{error:#}"))?;
        Ok::<_, String>(Model::load(&bytes).unwrap().settings().squash)
    };
    assert_eq!(squash(&small.config), Ok(Squash::Tanh));
    for (set, key, then, now) in [
        ("controller.squash=clamp", "controller.squash", "\"tanh\"", "\"clamp\""),
        ("controller.hidden=[5]", "controller.hidden", "[4]", "[5]"),
        ("controller.activation=relu", "controller.activation", "\"tanh\"", "\"relu\""),
        ("controller.input=z", "controller.input", "\"z+h\"", "\"z\""),
        ("env=InvertedPendulum-v5", "env", "\"CartPole-v1\"", "\"InvertedPendulum-v5\""),
    ] {
        let error = squash(&small.with(&[set])).unwrap_err();
        let expected = format!("trained with {key} = {then}, expected {now}");
        assert!(error.contains(&expected) && error.contains(".safetensors") && !error.contains('\n'), "{set}: {error}");
    }
    // Of a budget, or of how candidates were scored, it is the same agent.
    assert_eq!(squash(&small.with(&["dream.generations=9", "controller.scored_on=episodes"])), Ok(Squash::Tanh));
    // An older file says it in its configuration alone; one that was imported says nothing, and is believed.
    let path = small.run.controller();
    let mut result = Checkpoint::read(&path).unwrap();
    result.metadata.remove("action.squash");
    result.write(&path).unwrap();
    assert!(squash(&small.with(&["controller.squash=clamp"])).unwrap_err().contains("controller.squash"));
    result.metadata.remove("config");
    result.write(&path).unwrap();
    assert_eq!(squash(&small.with(&["controller.squash=clamp"])), Ok(Squash::Clamp));
    // Another range of actions is another agent.
    result.set_meta("action.half", "2");
    result.write(&path).unwrap();
    assert!(squash(&small.config).unwrap_err().contains("trained with action.half = 2, expected the environment's"));
}

/// Of choices nothing is squashed; and a number is another action than a choice, whatever the sizes.
#[test]
fn an_agent_of_choices_is_packed_as_it_was_trained() {
    let small = small(&[CHOICES, "dream.generations=2"]);
    small.train(&small.config, false).unwrap();
    let action = |config: &Config| {
        let bytes = pack(config, &small.run).map_err(|error| format!("{error:#}"))?;
        Ok::<_, String>(Model::load(&bytes).unwrap().dims().action)
    };
    assert_eq!(action(&small.config), Ok(Action::Discrete { choices: 3 }));
    let squashed = small.with(&["controller.squash=tanh"]);
    assert_eq!(action(&squashed), action(&small.config), "it makes no difference");
    let [mdnrnn, controller] = [small.run.mdnrnn(), small.run.controller()];
    for (path, message) in [
        (&controller, "trained with action.kind = continuous, expected the environment's discrete"),
        (&mdnrnn, "expected networks for observations of 4 and actions of 1 of 3 choices, found 4 and 3"),
    ] {
        let mut changed = Checkpoint::read(path).unwrap();
        assert_eq!(changed.metadata["action.kind"], "discrete");
        assert!(!changed.metadata.contains_key("action.half") && !changed.metadata.contains_key("action.squash"));
        changed.set_meta("action.kind", "continuous");
        changed.write(path).unwrap();
        if path == &mdnrnn {
            // C is of that M.
            let mut c = Checkpoint::read(&controller).unwrap();
            c.metadata.retain(|key, _| !key.starts_with("upstream."));
            c.write(&controller).unwrap();
        }
        let error = action(&small.config).unwrap_err();
        assert!(error.contains(message) && !error.contains('\n'), "{error}");
    }
}
