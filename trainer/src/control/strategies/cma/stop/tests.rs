//! Every stop condition holds where it should, and not before.

use super::*;

const MEAN: [f64; 2] = [1.0, -2.0];
const PATH: [f64; 2] = [0.1, 0.2];

/// A run of 30 generations that gets on well.
fn healthy() -> History {
    let mut history = History::new(vec![0.0; 2]);
    (0..30).for_each(|g| generation(&mut history, f64::from(g)));
    history
}

/// Six scores, the best of which is `best`, and a mean that moves on.
fn generation(history: &mut History, best: f64) {
    let moved = history.generations as f64;
    history.tell(&[best, best - 1.0, best - 2.0, best - 3.0, best - 4.0, f64::NEG_INFINITY], &[moved, moved]);
}

fn distribution() -> Distribution<'static> {
    Distribution {
        mean: &MEAN,
        sigma: 0.5,
        start_sigma: 1.0,
        population: 6,
        deviations: vec![0.5, 0.4],
        path: &PATH,
        axes: [0.8, 1.0],
    }
}

#[test]
fn a_healthy_run_goes_on() {
    assert_eq!(History::new(vec![0.0; 2]).stop(&distribution()), None);
    assert_eq!(healthy().stop(&distribution()), None);
}

#[test]
fn what_the_distribution_has_come_to_stops_it() {
    let stop = |change: &dyn Fn(&mut Distribution<'static>)| {
        let mut now = distribution();
        change(&mut now);
        healthy().stop(&now)
    };
    assert_eq!(stop(&|now| now.deviations = vec![0.4, 1001.0]), Some(Stop::TolFacUpX));
    assert_eq!(stop(&|now| (now.sigma, now.deviations) = (1e-12, vec![1e-12; 2])), Some(Stop::TolX));
    assert_eq!(stop(&|now| now.sigma = 1.1e20), Some(Stop::TolUpSigma));
    assert_eq!(stop(&|now| now.axes = [1.0, 1.1e7]), Some(Stop::Condition));
    assert_eq!(stop(&|now| now.axes = [1.0, 0.9e7]), None);
    // The spacing of f32 is 1.2e-7 above 1 and 2.4e-7 above 2.
    assert_eq!(stop(&|now| now.deviations = vec![2e-7, 2e-7]), Some(Stop::NoEffectCoordinate));
    assert_eq!(stop(&|now| now.deviations = vec![2e-7, 1e-6]), None, "one coordinate still moves");
}

#[test]
fn what_the_scores_have_come_to_stops_it() {
    let told = |generations: u32, score: &dyn Fn(u32) -> [f64; 4]| {
        let mut history = healthy();
        (0..generations).for_each(|g| history.tell(&score(g), &[f64::from(g), 0.0]));
        history.stop(&distribution())
    };
    // The recent history of two parameters and four candidates is 25 generations.
    assert_eq!(told(26, &|_| [40.0, 40.0 - 1e-12, 40.0 - 2e-12, 40.0 - 3e-12]), Some(Stop::TolFun));
    assert_eq!(told(24, &|_| [40.0, 40.0 - 1e-12, 40.0 - 2e-12, 40.0 - 3e-12]), None);
    assert_eq!(told(26, &|_| [40.0, 30.0, 20.0, 10.0]), Some(Stop::TolFunHist));
    assert_eq!(told(1, &|_| [40.0, 40.0, 40.0, 40.0 - 1e-3]), None);
    let flat = |g: u32| [40.0 + f64::from(g); 4];
    assert_eq!((told(1, &flat), told(2, &flat)), (None, Some(Stop::FlatFitness)));
    let mut history = healthy();
    history.all_equal();
    assert_eq!(history.stop(&distribution()), None);
    history.all_equal();
    assert_eq!(history.stop(&distribution()), Some(Stop::FlatFitness));
    // 100 + 150 · 5² / √6 generations.
    let mut history = healthy();
    let last = 100 + (150.0 * 25.0 / 6.0_f64.sqrt()) as u64;
    while history.stop(&distribution()).is_none() {
        let next = history.generations as f64;
        generation(&mut history, next);
    }
    assert_eq!((history.generations, history.stop(&distribution())), (last, Some(Stop::MaxGenerations)));
}

#[test]
fn what_leads_nowhere_for_long_stops_it() {
    // The mean stays where it is, though scores rise: 20 generations and a tenth of all.
    let mut history = healthy();
    let mut spent = 0;
    while history.stop(&distribution()).is_none() {
        spent += 1;
        history.tell(&[100.0 + f64::from(spent), 90.0, 80.0, 70.0], &[7.0, 7.0]);
    }
    assert_eq!(history.stop(&distribution()), Some(Stop::XStagnation));
    assert!((24..=27).contains(&spent), "{spent}");
    // The mean wanders, but scores get no better.
    let mut history = healthy();
    while history.stop(&distribution()).is_none() {
        let wander = (history.generations * 37 % 11) as f64;
        generation(&mut history, wander);
    }
    assert_eq!(history.stop(&distribution()), Some(Stop::Stagnation));
    assert!(history.generations > 500, "a hundred entries, one in five generations: {}", history.generations);
}
