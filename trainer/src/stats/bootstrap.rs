//! The interquartile mean (IQM), the mean of the middle half, with a 95 % percentile-bootstrap interval (Agarwal et al., *Deep Reinforcement Learning at
//! the Edge of the Statistical Precipice*, NeurIPS 2021; rliable's definitions). One task is one stratum, so that its stratified bootstrap
//! is the plain one: episodes are drawn with replacement.
//!
//! Every draw is named ([`Stream::Bootstrap`]), so that the same episodes give the same interval.

use dreamstep_core::rng::{Philox, Stream};

/// Bootstrap resamples.
pub const RESAMPLES: u64 = 2000;
/// The share of resamples that the interval holds.
const LEVEL: f64 = 0.95;
const SEED: u64 = 0;

/// The mean of what is left without the lowest and the highest quarter, ⌊n/4⌋ values each: SciPy's `trim_mean(values, 0.25)`. NaN of none.
#[must_use]
pub fn interquartile_mean(values: &[f64]) -> f64 {
    middle_mean(&mut values.to_vec())
}

/// Ends of the IQM's 95 % interval.
#[must_use]
pub fn interquartile_interval(values: &[f64]) -> [f64; 2] {
    let resampled = |draw| middle_mean(&mut indices(draw, values.len()).map(|index| values[index]).collect::<Vec<_>>());
    let mut found: Vec<f64> = (0..RESAMPLES).map(resampled).filter(|value| !value.is_nan()).collect();
    found.sort_unstable_by(f64::total_cmp);
    [0.5 - 0.5 * LEVEL, 0.5 + 0.5 * LEVEL].map(|q| quantile(&found, q))
}

/// What resample `draw` holds, of `n`: the upper 32 bits of a random word times n.
fn indices(draw: u64, n: usize) -> impl Iterator<Item = usize> {
    let words = (0_u32..).flat_map(move |index| Philox::new(SEED).words(Stream::Bootstrap, draw, index));
    words.take(n).map(move |word| ((u64::from(word) * n as u64) >> 32) as usize)
}

/// Orders `values`.
fn middle_mean(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let cut = values.len() / 4;
    let middle = &values[cut..values.len() - cut];
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// NumPy's default quantile of ordered values: linear between the two nearest. NaN of none.
fn quantile(ordered: &[f64], q: f64) -> f64 {
    let at = q * ordered.len().saturating_sub(1) as f64;
    let (below, above) = (at.floor() as usize, at.ceil() as usize);
    match (ordered.get(below), ordered.get(above)) {
        (Some(&low), Some(&high)) => low + (high - low) * (at - below as f64),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_half_is_scipys() {
        // scipy.stats.trim_mean(x, 0.25) of SciPy 1.17.1.
        for (values, expected) in [
            (&[3.0][..], 3.0),
            (&[1.0, 2.0], 1.5),
            (&[1.0, 2.0, 100.0], 103.0 / 3.0),
            (&[100.0, 1.0, 2.0, 3.0], 2.5),
            (&[9.0, 1.0, 2.0, 3.0, 4.0], 3.0),
            (&[1.0, -50.0, 2.0, 7.0, 3.0, 60.0, 4.0, 5.0], 3.5),
        ] {
            assert_eq!(interquartile_mean(values), expected, "{values:?}");
        }
        assert!(interquartile_mean(&[]).is_nan() && interquartile_interval(&[]).iter().all(|v| v.is_nan()));
    }

    #[test]
    fn equal_values_leave_no_doubt() {
        assert_eq!(interquartile_interval(&[4.5; 20]), [4.5; 2]);
        assert_eq!(interquartile_interval(&[-1.0]), [-1.0; 2]);
    }

    #[test]
    fn neither_order_nor_one_outlier_moves_it() {
        let mut values: Vec<f64> = (0..100).map(f64::from).collect();
        let (mean, plain) = (interquartile_mean(&values), interquartile_interval(&values));
        values[99] = 1e12;
        assert_eq!(interquartile_mean(&values), mean);
        let [low, high] = interquartile_interval(&values);
        assert!(low == plain[0] && high == plain[1] && low < mean && mean < high, "{plain:?} {low} {high}");
        values.reverse();
        assert_eq!(interquartile_mean(&values), mean);
    }

    /// The interval of 100 normal values holds their mean about as often as it says, and is about as wide as theory has it: the IQM of
    /// normal values has variance 1.19/n (its influence function is linear to the quartiles, ±0.674, and flat beyond).
    #[test]
    fn it_holds_the_truth_nineteen_times_of_twenty() {
        let (mut held, mut width) = (0, 0.0);
        for sample in 0..300 {
            let mut values = [0.0_f32; 100];
            Philox::new(5).fill_normal(Stream::Report, sample, &mut values);
            let [low, high] = interquartile_interval(&values.map(f64::from));
            held += usize::from((low..=high).contains(&0.0));
            width += (high - low) / 300.0;
        }
        assert!((270..=294).contains(&held), "{held} of 300");
        let theory = 2.0 * 1.96 * (1.19_f64 / 100.0).sqrt();
        assert!((width / theory - 1.0).abs() < 0.08, "{width}, in theory {theory}");
    }
}
