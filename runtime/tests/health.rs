//! What does a running agent tell of itself? Clipped observations and saturated actions, counted once a tick; and how surprised M is,
//! against the density of the mixture that it predicted, in binary64. Asking changes nothing else.

#[path = "common/kinds.rs"]
mod kinds;

use dreamstep_core::names::checkpoint;
use dreamstep_core::pack::{AlignedBytes, Parts, pack};
use dreamstep_core::schema::{Settings, Target};
use dreamstep_fixtures::synthetic::{self, ODD, TWO_BLOCKS};
use dreamstep_runtime::{
    Agent, Backend, Dims, Health, MemoryCell, Mixture, Model, Precision, Prediction, memory_len, state_len,
};
use kinds::kinds;
use std::collections::BTreeMap;

/// Runs `test` with a fresh agent of `file` on every back end.
fn on_every_back_end(file: &[u8], test: impl Fn(&mut Agent<'_, '_>)) {
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        let model = Model::load_with(file, backend).unwrap();
        let mut memory = vec![f32::NAN; memory_len(model.dims())];
        test(&mut Agent::new(model, &mut memory).unwrap());
    }
}

fn saved(agent: &Agent<'_, '_>) -> Vec<u8> {
    let mut state = vec![0; state_len(agent.model().dims())];
    agent.save_state(&mut state).unwrap();
    state
}

fn counts(health: &Health) -> [u64; 4] {
    [health.ticks, health.clipped, health.saturated, health.surprises]
}

/// What an agent has that has just begun.
#[track_caller]
fn assert_new(health: &Health) {
    assert_eq!(counts(health), [0; 4]);
    assert_eq!((health.surprise, health.surprise_mean, health.surprise_max), (0.0, 0.0, f32::NEG_INFINITY));
}

/// An agent of three actions that whitens nothing away (mean 0, deviation 1, clip 2), and whose action is what is observed first.
fn reflex(precision: Precision) -> AlignedBytes {
    let dims = Dims::reactive(5, 3);
    let mut tensors = synthetic::tensors(&dims, 1);
    tensors.get_mut(checkpoint::NORMALIZER_MEAN).unwrap().1.fill(0.0);
    tensors.get_mut(checkpoint::NORMALIZER_INV_STD).unwrap().1.fill(1.0);
    tensors.get_mut(checkpoint::FC_BIAS).unwrap().1.fill(0.0);
    let weight = &mut tensors.get_mut(checkpoint::FC_WEIGHT).unwrap().1;
    weight.fill(0.0);
    (0..3).for_each(|action| weight[action * 5 + action] = 1.0);
    let settings = synthetic::with(synthetic::settings(&dims), |s| (s.precision, s.obs_clip) = (precision, 2.0));
    let (action_mid, action_half, provenance) = ([0.0; 3], [0.5; 3], &BTreeMap::new());
    let parts = Parts {
        tensors: &tensors,
        settings,
        action_mid: &action_mid,
        action_half: &action_half,
        selftest: None,
        frames: &[],
        provenance,
    };
    AlignedBytes::new(&pack(&parts).unwrap())
}

/// Observations of [`reflex`], and how many of their values are clipped and of its actions at an end.
const SEEN: [([f32; 5], u64, u64); 6] = [
    ([0.0, 0.5, -0.5, 1.0, 1.5], 0, 0),
    ([1.0, -1.0, 0.5, 1.5, 0.0], 0, 2),
    ([2.0, -2.0, 0.0, 0.0, 0.0], 2, 2),
    ([1.75, 0.0, -3.0, 9.0, f32::MAX], 3, 2),
    ([0.0, 0.0, 0.0, -2.5, 0.0], 1, 0),
    ([f32::MIN, f32::MAX, 2.0, -2.0, 2.5], 5, 3),
];

#[test]
fn clipped_and_saturated_values_are_counted_once_a_tick() {
    for precision in Precision::ALL {
        on_every_back_end(&reflex(precision), |agent| {
            assert_new(agent.health());
            let (mut action, mut expected) = ([0.0; 3], [0; 4]);
            for (observation, clipped, saturated) in SEEN {
                // A look, an act that another one follows, a refused one: not counted.
                agent.peek(&[9.0; 5], &mut action).unwrap();
                agent.act(&[9.0; 5], &mut action).unwrap();
                agent.act(&observation, &mut action).unwrap();
                agent.peek(&[9.0; 5], &mut action).unwrap();
                agent.act(&[f32::NAN; 5], &mut action).unwrap_err();
                assert_eq!(counts(agent.health()), expected, "nothing is counted before advance");
                agent.advance().unwrap();
                agent.advance().unwrap_err();
                agent.peek(&[9.0; 5], &mut action).unwrap();
                expected = [expected[0] + 1, expected[1] + clipped, expected[2] + saturated, 0];
                assert_eq!(counts(agent.health()), expected, "{observation:?}, {precision:?}");
            }
            agent.reset();
            assert_new(agent.health());
        });
    }
}

#[test]
fn an_action_is_saturated_as_it_was_taken() {
    on_every_back_end(&reflex(Precision::F32), |agent| {
        let mut after = |applied: [f32; 3]| {
            agent.reset();
            agent.act_in_place(&[1.0; 5]).unwrap();
            agent.override_action(&applied).unwrap();
            agent.advance().unwrap();
            agent.health().saturated
        };
        assert_eq!(after([0.25, 0.0, -0.25]), 0, "within the range of ± 0.5");
        assert_eq!(after([0.25, 0.5, -0.25]), 1);
        assert_eq!(after([7.0, 0.5, -0.5]), 3);
    });
}

#[test]
fn a_state_taken_over_starts_the_counts_anew() {
    on_every_back_end(&reflex(Precision::F32), |agent| {
        agent.step(&[9.0; 5], &mut [0.0; 3]).unwrap();
        let between = saved(agent);
        agent.act_in_place(&[0.0; 5]).unwrap();
        let acted = saved(agent);
        for state in [&between, &acted] {
            // In an agent whose own tick had values clipped, which are not the state's.
            agent.act_in_place(&[9.0; 5]).unwrap();
            agent.load_state(state).unwrap();
            assert_new(agent.health());
            if agent.has_acted() {
                agent.advance().unwrap();
                assert_eq!(counts(agent.health()), [1, 0, 0, 0], "a state does not hold what was observed: none is clipped");
            }
            agent.step(&[9.0; 5], &mut [0.0; 3]).unwrap();
            assert_eq!(agent.health().clipped, 5);
            agent.adopt_state(state).unwrap();
            assert_new(agent.health());
        }
    });
}

/// The negative log-likelihood of `z` for each dimension under `prediction`'s components, from their densities, in binary64.
fn negative_log_likelihood(prediction: &Prediction<'_>, dims: &Dims, z: &[f32]) -> f64 {
    let density = |k: usize, i: usize| {
        let (mean, sigma) = (f64::from(prediction.mean(k, i)), f64::from(prediction.sigma(k, i)));
        let distance = (f64::from(z[i]) - mean) / sigma;
        (-0.5 * distance * distance).exp() / (sigma * (2.0 * std::f64::consts::PI).sqrt())
    };
    let sum = |i: usize, of: &dyn Fn(usize) -> f64| -> f64 {
        (0..dims.mixtures()).map(|k| f64::from(prediction.weight(k, i)) * of(k)).sum()
    };
    let log_likelihood: f64 = match dims.mixture().unwrap() {
        Mixture::Joint => sum(0, &|k| (0..z.len()).map(|i| density(k, i)).product()).ln(),
        Mixture::PerDimension => (0..z.len()).map(|i| sum(i, &|k| density(k, i)).ln()).sum(),
    };
    -log_likelihood / z.len() as f64
}

/// Every mixture, target and memory.
fn modes() -> impl Iterator<Item = Settings> {
    let kinds = [ODD, TWO_BLOCKS].into_iter().flat_map(|dims| MemoryCell::ALL.map(|cell| dims.with_cell(cell)));
    let kinds = kinds.flat_map(|dims| Mixture::ALL.map(|mixture| dims.with_mixture(mixture)));
    kinds.flat_map(|dims| Target::ALL.map(|target| synthetic::with(synthetic::settings(&dims), |s| s.target = target)))
}

#[test]
fn surprise_is_the_negative_log_likelihood_of_what_came() {
    for settings in modes() {
        let dims = settings.dims;
        on_every_back_end(&synthetic::agent_with(&settings, 1), |agent| {
            let (mut sum, mut greatest) = (0.0, f32::NEG_INFINITY);
            let model = *agent.model();
            let mut memory = vec![0.0; memory_len(&dims)];
            let mut ahead = Agent::new(model, &mut memory).unwrap();
            for t in 0..20 {
                // What was expected is asked before the observation comes; its latent is V's, of an agent beside it.
                let observation = synthetic::observation(&dims, 5, t);
                ahead.act_in_place(&observation).unwrap();
                let z = ahead.latent().to_vec();
                let expected = negative_log_likelihood(&agent.predict().unwrap(), &dims, &z);
                agent.act_in_place(&observation).unwrap();
                let found = agent.surprise();
                if t == 0 {
                    assert_eq!(found, None, "nothing was expected of the first");
                } else {
                    let found = found.unwrap();
                    let error = (f64::from(found) - expected).abs() / expected.abs().max(1.0);
                    assert!(error < 1e-5, "{found}, not {expected}: {settings:?}");
                    (sum, greatest) = (sum + f64::from(found), greatest.max(found));
                    let health = *agent.health();
                    assert_eq!((health.surprises, health.surprise, health.surprise_max), (t, found, greatest));
                    assert!((f64::from(health.surprise_mean) - sum / t as f64).abs() < 1e-5);
                }
                agent.advance().unwrap();
            }
        });
    }
}

/// Far from all that was expected, the densities leave the range of any number, and their logarithms do not.
#[test]
fn the_greatest_surprises_are_numbers() {
    for mixture in Mixture::ALL {
        let dims = ODD.with_mixture(mixture).with_encoder(dreamstep_runtime::Encoder::Identity { latent: 3 });
        let settings = synthetic::with(synthetic::settings(&dims), |s| {
            (s.obs_clip, s.log_sigma_min) = (1e30, -5.0);
        });
        on_every_back_end(&synthetic::agent_with(&settings, 1), |agent| {
            agent.step(&[0.0; 5], &mut [0.0]).unwrap();
            agent.act_in_place(&[1e4; 5]).unwrap();
            let surprise = agent.surprise().unwrap();
            assert!(surprise.is_finite() && surprise > 1e6, "{surprise}");
            agent.act_in_place(&[1e30; 5]).unwrap();
            assert_eq!(agent.surprise(), Some(f32::MAX), "beyond binary32");
            agent.advance().unwrap();
            // The newest was the first of its tick; and a mean that one of them went into is a number still.
            for _ in 0..3 {
                agent.act_in_place(&[1e30; 5]).unwrap();
                assert_eq!(agent.surprise(), Some(f32::MAX));
                agent.advance().unwrap();
            }
            agent.act_in_place(&[0.0; 5]).unwrap();
            assert!(agent.surprise().unwrap() < 1e30);
            let health = agent.health();
            assert!(health.surprise_mean.is_finite() && health.surprise_mean > 1e37, "{health:?}");
            assert_eq!((health.surprises, health.surprise_max), (5, f32::MAX));
        });
    }
}

#[test]
fn surprise_is_none_where_there_is_nothing_to_compare() {
    for cell in MemoryCell::ALL {
        let dims = ODD.with_cell(cell);
        on_every_back_end(&synthetic::agent(&dims, 1), |agent| {
            let observation = |t| synthetic::observation(&dims, 5, t);
            assert_eq!(agent.surprise(), None, "no act");
            agent.act_in_place(&observation(0)).unwrap();
            assert_eq!(agent.surprise(), None, "no step before");
            agent.advance().unwrap();
            assert_eq!(agent.surprise(), None, "no act since the advance");
            agent.peek(&observation(1), &mut [0.0]).unwrap();
            assert_eq!(agent.surprise(), None, "a look is no act");
            agent.act_in_place(&observation(1)).unwrap();
            assert!(agent.surprise().is_some());
            agent.reset();
            agent.act_in_place(&observation(1)).unwrap();
            assert_eq!(agent.surprise(), None, "another episode");
            assert_new(agent.health());
        });
        // A file without the head; an agent without M is `kinds.rs`'s.
        let mut tensors = synthetic::tensors(&dims, 1);
        tensors.remove(checkpoint::GMM_WEIGHT);
        let parts = Parts {
            tensors: &tensors,
            settings: synthetic::settings(&dims),
            action_mid: &[0.0],
            action_half: &[1.0],
            selftest: None,
            frames: &[],
            provenance: &BTreeMap::new(),
        };
        on_every_back_end(&AlignedBytes::new(&pack(&parts).unwrap()), |agent| {
            agent.step(&[0.5; 5], &mut [0.0]).unwrap();
            agent.act_in_place(&[0.5; 5]).unwrap();
            assert_eq!((agent.surprise(), agent.health().surprises), (None, 0));
        });
    }
}

#[test]
fn surprise_is_counted_once_a_tick_and_asking_changes_nothing_else() {
    for settings in kinds().filter(|settings| settings.dims.hidden_len() > 0) {
        let dims = settings.dims;
        on_every_back_end(&synthetic::agent_with(&settings, 1), |agent| {
            let episode = |agent: &mut Agent<'_, '_>, asks: usize| {
                agent.reset();
                let mut states = Vec::new();
                for t in 0..8 {
                    agent.act_in_place(&synthetic::observation(&dims, 5, t)).unwrap();
                    let asked: Vec<_> = (0..asks).map(|_| agent.surprise().map(f32::to_bits)).collect();
                    assert!(asked.windows(2).all(|pair| pair[0] == pair[1]), "the same answer");
                    states.push(saved(agent));
                    agent.advance().unwrap();
                    states.push(saved(agent));
                    states.push(agent.self_test_digest().to_le_bytes().to_vec());
                }
                (states, agent.health().surprises)
            };
            let (quiet, none) = episode(agent, 0);
            let (once, seven) = episode(agent, 1);
            let (thrice, also_seven) = episode(agent, 3);
            assert!(once == quiet && thrice == quiet, "{settings:?}");
            assert_eq!([none, seven, also_seven], [0, 7, 7], "the first tick has none");
        });
    }
}

/// What M took in last is part of the state: a target that is a change is added to it.
#[test]
fn a_state_taken_over_between_act_and_advance_is_as_surprised() {
    for settings in modes() {
        let dims = settings.dims;
        let file = synthetic::agent_with(&settings, 1);
        on_every_back_end(&file, |agent| {
            for t in 0..4 {
                agent.step(&synthetic::observation(&dims, 5, t), &mut vec![0.0; dims.action_len()]).unwrap();
            }
            agent.act_in_place(&synthetic::observation(&dims, 5, 4)).unwrap();
            let state = saved(agent);
            let expected = agent.surprise().unwrap();
            // In a fresh agent, and in one that lived another life.
            on_every_back_end(&file, |other| {
                for _ in 0..2 {
                    other.load_state(&state).unwrap();
                    assert_eq!(other.surprise().map(f32::to_bits), Some(expected.to_bits()), "{settings:?}");
                    assert_eq!((other.health().surprises, other.health().surprise_max), (1, expected));
                    other.advance().unwrap();
                    other.act_in_place(&synthetic::observation(&dims, 6, 9)).unwrap();
                    other.surprise().unwrap();
                }
            });
        });
    }
}
