//! Spearman's rank correlation (Pearson's, of the ranks; equal values share the mean of theirs), and nearest-rank quantiles.

/// Spearman's ρ of pairs; none where it is not defined: fewer than two, one side all the same, or a value that is not a number.
///
/// # Panics
/// If the sides differ in length.
#[must_use]
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    assert_eq!(a.len(), b.len(), "spearman: one value of each for every pair");
    if a.iter().chain(b).any(|value| value.is_nan()) {
        return None;
    }
    let (a, b) = (ranks(a), ranks(b));
    // The ranks 1 to n have this mean, ties or not.
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    (scale > 0.0).then(|| (product(&a, &b) / scale).clamp(-1.0, 1.0))
}

/// The rank of each value, from 1; of equals the mean of the ranks that they take up.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equals in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let rank = before as f64 + (equals.len() as f64 + 1.0) / 2.0;
        equals.iter().for_each(|&i| ranks[i] = rank);
        before += equals.len();
    }
    ranks
}

/// The `q`-quantile of `values` by the nearest rank: the least of them that a share `q` does not exceed. Sorts them; none of none.
pub fn nearest_rank(values: &mut [f64], q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(((values.len() as f64 * q).ceil() as usize).max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_share_the_mean_of_their_ranks() {
        assert_eq!(ranks(&[10.0, 20.0, 20.0, 5.0, 20.0]), [2.0, 4.0, 4.0, 1.0, 4.0]);
        assert_eq!(ranks(&[-0.0, 0.0, f64::NEG_INFINITY]), [2.5, 2.5, 1.0]);
    }

    #[test]
    fn correlations_are_those_found_by_hand() {
        // Without ties 1 − 6 Σd² / (n (n² − 1)): d = 1, 1, 1, 1, 0, thus 1 − 24 / 120.
        assert!((spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[20.0, 10.0, 40.0, 30.0, 99.0]).unwrap() - 0.8).abs() < 1e-15);
        // Ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4: Σ = 2.25 + 0 + 0 + 2.25 = 4.5, squares 4.5 and 5.
        let tied = spearman(&[1.0, 7.0, 7.0, 9.0], &[-1.0, 3.0, 2.0, 1e9]).unwrap();
        assert!((tied - 4.5 / 22.5_f64.sqrt()).abs() < 1e-15, "{tied}");
        // Ties on both sides, ranks 1.5, 1.5, 3.5, 3.5 and 2, 2, 2, 4: Σ = 0.5 + 0.5 − 0.5 + 1.5 = 2, squares 4 and 3.
        let both = spearman(&[0.0, 0.0, 1.0, 1.0], &[5.0, 5.0, 5.0, 6.0]).unwrap();
        assert!((both - 2.0 / 12.0_f64.sqrt()).abs() < 1e-15, "{both}");
    }

    #[test]
    fn only_the_order_counts() {
        let values: Vec<f64> = (0..20).map(|i| f64::from((i * 7) % 20)).collect();
        let grown: Vec<f64> = values.iter().map(|v| v.exp()).collect();
        let turned: Vec<f64> = values.iter().map(|v| -v).collect();
        assert_eq!((spearman(&values, &grown), spearman(&values, &turned)), (Some(1.0), Some(-1.0)));
    }

    #[test]
    fn what_cannot_be_ordered_has_none() {
        assert_eq!(spearman(&[], &[]), None);
        assert_eq!(spearman(&[1.0], &[2.0]), None);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[4.0; 3]), None);
        assert_eq!(spearman(&[1.0, f64::NAN, 3.0], &[1.0, 2.0, 3.0]), None);
    }
}
