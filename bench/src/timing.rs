//! How are times taken that a noisy machine cannot spoil? All contenders in turn, round after round; figures are medians over rounds
//! of ratios within a round, and the least time of any round.

use std::time::Instant;

/// Something to be timed beside others.
pub struct Contender<'a> {
    /// What the tables call it.
    pub name: String,
    /// Calls in a round.
    pub calls: usize,
    work: Box<dyn FnMut() + 'a>,
}

impl<'a> Contender<'a> {
    /// `work`, called `calls` times a round.
    pub fn new(name: impl Into<String>, calls: usize, work: impl FnMut() + 'a) -> Self {
        Self { name: name.into(), calls: calls.max(1), work: Box::new(work) }
    }
}

/// Microseconds of one call, a value for each round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    /// The least.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The median.
    #[must_use]
    pub fn p50(&self) -> f64 {
        quantile(&self.0, 0.5)
    }

    /// The median over rounds of this time over `other`'s in the same round.
    ///
    /// # Panics
    /// If the two are not of the same rounds.
    #[must_use]
    pub fn ratio_to(&self, other: &Self) -> f64 {
        assert_eq!(self.0.len(), other.0.len(), "rounds");
        quantile(&self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect::<Vec<_>>(), 0.5)
    }
}

/// Times every contender in each of `rounds` rounds, after one round that only warms caches and clocks. Results stand in the order of
/// `contenders`.
pub fn interleave(contenders: &mut [Contender<'_>], rounds: usize) -> Vec<Samples> {
    let mut samples = vec![Samples::default(); contenders.len()];
    for round in 0..=rounds {
        for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
            let start = Instant::now();
            for _ in 0..contender.calls {
                (contender.work)();
            }
            let one = start.elapsed().as_secs_f64() * 1e6 / contender.calls as f64;
            if round > 0 {
                samples.0.push(one);
            }
        }
    }
    samples
}

/// The `q`-quantile of `values`: the least one that at least a share of `q` of them does not exceed; NaN where there are none.
#[must_use]
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (q * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).or(sorted.last()).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=1000).rev().map(f64::from).collect();
        for (q, expected) in [(0.0, 1.0), (0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            assert_eq!(quantile(&values, q), expected, "{q}");
        }
        assert_eq!(quantile(&[3.0], 0.999), 3.0);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn every_contender_has_its_turn_in_every_round() {
        let order = std::cell::RefCell::new(Vec::new());
        let contender = |name: &'static str, calls| {
            let order = &order;
            Contender::new(name, calls, move || order.borrow_mut().push(name))
        };
        let mut contenders = [contender("a", 2), contender("b", 1)];
        let samples = interleave(&mut contenders, 2);
        drop(contenders);
        assert_eq!(*order.borrow(), ["a", "a", "b", "a", "a", "b", "a", "a", "b"]);
        assert!(samples.iter().all(|s| s.0.len() == 2 && s.min() <= s.p50()));
    }

    #[test]
    fn a_ratio_is_taken_within_rounds() {
        // The second round met a machine ten times as slow: the ratio does not see it.
        let (a, b) = (Samples(vec![2.0, 20.0, 2.0]), Samples(vec![1.0, 10.0, 1.0]));
        assert_eq!(a.ratio_to(&b), 2.0);
    }
}
