//! CMA-ES is pycma's algorithm: its constants, its stops, and a restart that doubles the population.

use super::constants::default_population;
use super::diagonal::Diagonal;
use super::full::Full;
use super::*;

fn settings(sigma: f64, restarts: u32) -> Settings {
    Settings { seed: 1, population: 0, sigma, restarts }
}

/// A generation scored by `score`.
fn tell<C: Covariance>(es: &mut Cma<C>, score: impl Fn(&[f32]) -> f64) {
    let (generation, mut x) = (es.ask(), Vec::new());
    let scores: Vec<f64> = (0..es.candidates())
        .map(|i| {
            es.candidate(&generation, i, &mut x);
            score(&x)
        })
        .collect();
    es.tell(&generation, &scores);
}

fn sphere(x: &[f32]) -> f64 {
    -x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>()
}

/// As `CMAEvolutionStrategy(n * [0.1], 0.1)` of pycma 4.5.0 has them: `sp`, `sm.parameters()`, `adapt_sigma`.
#[test]
fn constants_are_pycmas() {
    let near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-12, "{found}, {expected}");
    let k = Full::constants(10, default_population(10));
    assert_eq!((k.weights.len(), k.parents), (10, 5));
    near(k.mu_eff, 3.1672992814107017);
    near(k.c_c, 0.29499038303562225);
    near(k.c_1, 0.015283824524751714);
    near(k.c_mu, 0.02355177665041747);
    near(k.c_sigma, 0.3196142529106334);
    near(k.d_sigma, 1.3196142529106334);
    near(k.weights[0], 0.45627264690340597);
    near(k.weights[4], 0.025509591835974777);
    near(k.weights[5], -0.08001260758087224);
    near(k.weights[9], -0.5497499176973853);
    let k = Full::constants(40, default_population(40));
    assert_eq!((k.weights.len(), k.parents, k.weights[7]), (15, 7, 0.0));
    near(k.mu_eff, 4.5409152090759575);
    near(k.c_mu, 0.0034052196437063466);
    near(k.weights[8], -0.057779082988114405);
    near(k.weights[14], -0.3083672593205417);
}

/// The covariance comes to the inverse of the Hessian, up to a factor: the longest axis is that of the flattest direction.
#[test]
fn the_covariance_learns_the_scales() {
    fn learn<C: Covariance>() -> f64 {
        let mut es = Cma::<C>::new(settings(1.0, 0), &[1.0, 1.0]);
        (0..80).for_each(|_| tell(&mut es, |x| -1e4 * f64::from(x[0]).powi(2) - f64::from(x[1]).powi(2)));
        es.covariance.deviation(1) / es.covariance.deviation(0)
    }
    for ratio in [learn::<Full>(), learn::<Diagonal>()] {
        assert!((30.0..300.0).contains(&ratio), "expected about 100, found {ratio}");
    }
}

#[test]
fn each_restart_doubles_the_population_and_starts_where_the_first_did() {
    let mut es = Cma::<Full>::new(settings(0.5, 2), &[1.0, -2.0]);
    let mut runs = Vec::new();
    while es.stopped().is_none() {
        let (before, drawn) = (es.candidates(), es.ask());
        tell(&mut es, sphere);
        assert_ne!(es.ask().draws[0], drawn.draws[0], "no draw is used twice");
        if es.history.generations == 0 {
            runs.push((before, es.candidates()));
            assert_eq!((es.mean(), es.mean_sigma()), (vec![1.0, -2.0], 0.5));
        }
    }
    assert_eq!(runs, [(6, 12), (12, 24)]);
    assert_eq!((es.restarts(), es.candidates()), (2, 24));
    assert!(sphere(&es.mean()) > -1e-8, "the last run came to the goal: {:?}", es.mean());
    let over = es.clone();
    tell(&mut es, sphere);
    assert_eq!(Cma { generation: over.generation, ..es.clone() }, over, "what is over stays as it is");
    assert_eq!(es.generation, over.generation + 1);
}

/// A state between two restarts, and one that has stopped, come back whole.
#[test]
fn restarts_are_part_of_the_state() {
    let (settings, mut stops) = (settings(0.5, 1), 0);
    let mut es = Cma::<Full>::new(settings, &[1.0, -2.0]);
    while stops < 5 {
        tell(&mut es, sphere);
        let mut state = Checkpoint::default();
        es.save(&mut state);
        assert_eq!(Cma::resume(settings, 2, es.generation, &state).unwrap(), es);
        stops += u32::from(es.stopped().is_some());
    }
    let mut state = Checkpoint { origin: "s".into(), ..Checkpoint::default() };
    es.save(&mut state);
    let error = Cma::<Full>::resume(Settings { restarts: 0, ..settings }, 2, 9, &state).unwrap_err().to_string();
    assert_eq!(error, "s: metadata cma.restarts: expected at most 0, found 1");
    state.set_meta("cma.stopped", "boredom");
    let error = Cma::<Full>::resume(settings, 2, 9, &state).unwrap_err().to_string();
    assert_eq!(error, "s: metadata cma.stopped: expected a stop condition, found \"boredom\"");
}
