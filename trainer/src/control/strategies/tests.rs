//! What holds of every strategy: it climbs, resumes from a saved state, and neither flat nor broken scores harm it.

use super::*;

const SEED: u64 = 3;

/// One of each, with what suits a start three away from the goal.
fn all() -> [(&'static str, Settings); 5] {
    let pgpe = pgpe::Settings {
        seed: SEED,
        directions: 10,
        sigma_learning_rate: 0.1,
        sigma_max_change: 0.2,
        max_speed: 0.2,
        momentum: 0.9,
    };
    let cma = cma::Settings { seed: SEED, population: 0, sigma: 0.5, restarts: 2 };
    let ars = ars::Settings { seed: SEED, directions: 10, top_directions: 5, learning_rate: 0.1, sigma: 0.1 };
    let openai = openai::Settings { seed: SEED, directions: 10, learning_rate: 0.05, sigma: 0.1, weight_decay: 0.001 };
    [
        ("pgpe", Settings::Pgpe(pgpe, 0.3)),
        ("cma-es", Settings::CmaEs(cma)),
        ("sep-cma-es", Settings::SepCmaEs(cma)),
        ("ars", Settings::Ars(ars)),
        ("openai-es", Settings::OpenAiEs(openai)),
    ]
}

fn sphere(x: &[f32]) -> f64 {
    -x.iter().enumerate().map(|(i, &v)| (f64::from(v) - i as f64 / 10.0).powi(2)).sum::<f64>()
}

fn tell(strategy: &mut Strategy, score: impl Fn(usize, &[f32]) -> f64) {
    let (generation, mut x) = (strategy.ask(), Vec::new());
    let scores: Vec<f64> = (0..strategy.candidates())
        .map(|i| {
            strategy.candidate(&generation, i, &mut x);
            score(i, &x)
        })
        .collect();
    strategy.tell(&generation, &scores);
}

fn run(mut strategy: Strategy, generations: usize, score: impl Fn(usize, &[f32]) -> f64) -> Strategy {
    (0..generations).for_each(|_| tell(&mut strategy, &score));
    strategy
}

/// As the trainer keeps it: through a file.
fn saved(strategy: &Strategy) -> Checkpoint {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evolution.safetensors");
    let mut state = Checkpoint::default();
    strategy.save(&mut state);
    state.write(&path).unwrap();
    Checkpoint { origin: "evolution".into(), ..Checkpoint::read_state(&path).unwrap() }
}

#[test]
fn climbs_a_sphere() {
    for (name, settings) in all() {
        for n in [1, 2, 20] {
            let start = Strategy::new(settings, vec![3.0; n]);
            let (before, end) = (sphere(&start.mean()), run(start, 300, |_, x| sphere(x)));
            assert!(sphere(&end.mean()) > before / 100.0, "{name}, n = {n}: from {before} to {}", sphere(&end.mean()));
            assert_eq!(end.generation(), 300, "{name}");
            assert!(end.mean_sigma() > 0.0 && end.mean().iter().all(|v| v.is_finite()), "{name}");
        }
    }
}

#[test]
fn a_search_that_was_put_elsewhere_goes_on_there() {
    for (name, mut settings) in all() {
        // A pull towards zero would know the difference.
        if let Settings::OpenAiEs(settings) = &mut settings {
            settings.weight_decay = 0.0;
        }
        let begun = run(Strategy::new(settings, vec![3.0; 7]), 20, |_, x| sphere(x));
        let mut moved = begun.clone();
        moved.convert(|point| point.iter_mut().for_each(|value| *value += 8.0));
        let here = run(begun, 10, |_, x| sphere(x)).mean();
        let there = run(moved, 10, |_, x| sphere(&x.iter().map(|value| value - 8.0).collect::<Vec<_>>())).mean();
        for (here, there) in here.iter().zip(&there) {
            assert!((there - 8.0 - here).abs() < 1e-4, "{name}: {here} {there}");
        }
        let mut restarting = Strategy::new(settings, vec![3.0; 7]);
        restarting.convert(|point| point.iter_mut().for_each(|value| *value += 8.0));
        let restarted = run(restarting, 3, |_, _| 1.0);
        assert_eq!(restarted.restarts() > 0, name.contains("cma"), "{name}: flat scores end a run");
        assert!(restarted.mean().iter().all(|&value| (value - 11.0).abs() < 1e-4), "{name}: {:?}", restarted.mean());
    }
}

#[test]
fn a_saved_state_goes_on_as_if_never_stopped() {
    for (name, settings) in all() {
        for (n, half) in [(7, 13), (1, 5), (3, 150)] {
            let whole = run(Strategy::new(settings, vec![1.0; n]), 2 * half, |_, x| sphere(x));
            let first = run(Strategy::new(settings, vec![1.0; n]), half, |_, x| sphere(x));
            let resumed = Strategy::resume(settings, n, &saved(&first)).unwrap();
            assert_eq!(resumed, first, "{name}");
            assert_eq!(run(resumed, half, |_, x| sphere(x)), whole, "{name}, n = {n}");
        }
    }
}

#[test]
fn asking_twice_draws_the_same_and_every_generation_draws_anew() {
    for (name, settings) in all() {
        let mut strategy = Strategy::new(settings, vec![1.0; 4]);
        let first = strategy.ask();
        assert_eq!(first, strategy.ask(), "{name}");
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for i in 0..strategy.candidates() {
            strategy.candidate(&first, i, &mut a);
            strategy.candidate(&first, (i + 1) % strategy.candidates(), &mut b);
            assert!(a.len() == 4 && a != b, "{name}");
        }
        tell(&mut strategy, |_, x| sphere(x));
        assert_ne!(strategy.ask(), first, "{name}");
    }
}

#[test]
fn equal_scores_move_nothing() {
    for (name, settings) in all() {
        for equal in [7.0, 0.0, -1e300, f64::NAN, f64::NEG_INFINITY, f64::INFINITY] {
            let before = run(Strategy::new(settings, vec![1.0; 5]), 5, |_, x| sphere(x));
            let mut after = before.clone();
            tell(&mut after, |_, _| equal);
            assert_eq!((after.mean(), after.mean_sigma()), (before.mean(), before.mean_sigma()), "{name}: {equal}");
            assert_eq!(after.generation(), before.generation() + 1, "{name}");
        }
    }
}

/// Every third episode breaks, in any way: the search still climbs, and nothing that is not finite gets into the state.
#[test]
fn broken_scores_do_not_poison_the_state() {
    let broken = [f64::NAN, f64::NEG_INFINITY, f64::INFINITY, -f64::NAN];
    for (name, settings) in all() {
        let start = Strategy::new(settings, vec![3.0; 5]);
        let before = sphere(&start.mean());
        let score = |i: usize, x: &[f32]| if i % 3 == 1 { broken[i / 3 % 4] } else { sphere(x) };
        let end = run(start, 300, score);
        assert!(sphere(&end.mean()) > before / 10.0, "{name}: from {before} to {}", sphere(&end.mean()));
        assert_eq!(Strategy::resume(settings, 5, &saved(&end)).unwrap(), end, "{name}: what is saved is finite");
    }
}

/// All but ARS, whose step is a difference of returns, see ranks alone; ARS sees differences over their deviation.
#[test]
fn scores_count_by_rank() {
    for (name, settings) in all() {
        let start = || Strategy::new(settings, vec![3.0; 5]);
        let plain = run(start(), 20, |_, x| sphere(x));
        let shifted = run(start(), 20, |_, x| 1024.0 * sphere(x));
        let cubed = run(start(), 20, |_, x| sphere(x).powi(3));
        assert_eq!(shifted.mean(), plain.mean(), "{name}");
        assert_eq!(cubed.mean() == plain.mean(), name != "ars", "{name}");
    }
}

#[test]
fn a_state_that_does_not_fit_is_one_line() {
    for (name, settings) in all() {
        let state = saved(&run(Strategy::new(settings, vec![1.0; 4]), 7, |_, x| sphere(x)));
        let error = |state: &Checkpoint, n| {
            let error = format!("{:#}", Strategy::resume(settings, n, state).unwrap_err());
            assert!(error.starts_with("evolution: ") && !error.contains('\n'), "{name}: {error}");
            error
        };
        assert!(error(&state, 5).contains("expected shape [5], found [4]"), "{name}");
        for missing in state.tensors.keys().chain(state.doubles.keys()) {
            let mut state = state.clone();
            state.tensors.remove(missing);
            state.doubles.remove(missing);
            assert!(error(&state, 4).contains(&format!("tensor {missing}: expected shape")), "{name}");
        }
        for missing in state.metadata.keys().filter(|key| *key != "history.best") {
            let mut state = state.clone();
            state.metadata.remove(missing);
            assert!(error(&state, 4).contains(&format!("metadata {missing}: not found")), "{name}");
        }
        for (other, foreign) in all().iter().filter(|(other, _)| *other != name && !other.contains("cma")) {
            // ARS needs the mean alone, which all have that keep it in f32.
            if *other != "ars" || name.contains("cma") {
                let error = Strategy::resume(*foreign, 4, &state).unwrap_err().to_string();
                assert!(error.contains("found no such tensor"), "{other} from {name}: {error}");
            }
        }
    }
}
