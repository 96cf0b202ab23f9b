//! How are the times of a run spread? Quantiles that were observed, the share of ticks that took at least so long, and a histogram for
//! a terminal. All three are of sorted times in microseconds.

use crate::timing::quantile;
use std::fmt::Write;

/// Observed quantiles, in microseconds. The last one is the largest of this run, not the worst case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// Nine of ten ticks took no longer.
    pub p90: f64,
    /// 99 of a hundred.
    pub p99: f64,
    /// 999 of a thousand.
    pub p999: f64,
    /// The largest.
    pub max: f64,
}

impl Quantiles {
    /// Of times in any order.
    #[must_use]
    pub fn of(times_us: &[f64]) -> Self {
        let at = |q| quantile(times_us, q);
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }

    /// In rising order.
    #[must_use]
    pub fn all(&self) -> [f64; 5] {
        [self.p50, self.p90, self.p99, self.p999, self.max]
    }
}

/// The share of ticks that took at least so long, as points (µs, share), slowest first: every one of the slowest, then ever fewer, so
/// that a run of any length makes some hundred points.
#[must_use]
pub fn slower_than(sorted_us: &[f64]) -> Vec<(f64, f64)> {
    let total = sorted_us.len();
    let mut points = Vec::new();
    let mut rank = 1;
    while rank <= total {
        points.push((sorted_us[total - rank], rank as f64 / total as f64));
        rank = if rank == total { total + 1 } else { (rank + 1).max((rank as f64 * 1.02) as usize).min(total) };
    }
    points
}

/// Bins of a decade.
const BINS: i32 = 10;
/// Characters of the longest bar.
const BAR: f64 = 60.0;

/// Ticks by time, in bins of equal ratio; bars grow with the logarithm of the count, since a tail of one tick in 60,000 has to be seen.
/// A run of more than two empty bins is one line.
#[must_use]
pub fn histogram(sorted_us: &[f64]) -> String {
    // The clock has nanoseconds: nothing is faster.
    let bin = |us: f64| (us.max(1e-3).log10() * f64::from(BINS)).floor() as i32;
    let edge = |bin: i32| 10_f64.powf(f64::from(bin) / f64::from(BINS));
    let (Some(&first), Some(&last)) = (sorted_us.first(), sorted_us.last()) else { return String::new() };
    let (first, last) = (bin(first), bin(last));
    let mut counts = vec![0_usize; (last - first + 1) as usize];
    for &us in sorted_us {
        counts[(bin(us) - first) as usize] += 1;
    }
    let longest = counts.iter().copied().max().unwrap_or(0);
    let mut out = String::new();
    let mut at = 0;
    while at < counts.len() {
        let empty = counts[at..].iter().take_while(|&&count| count == 0).count();
        if empty > 2 {
            out += "          …\n";
            at += empty;
            continue;
        }
        let count = counts[at];
        let length = (((count + 1) as f64).ln() / ((longest + 1) as f64).ln() * BAR).round() as usize;
        let (from, to) = (edge(first + at as i32), edge(first + at as i32 + 1));
        let line = format!("{from:9.2} – {to:9.2} µs {count:>8} {}", "█".repeat(length));
        let _ = writeln!(out, "{}", line.trim_end());
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_rise() {
        let times: Vec<f64> = (1..=10_000).rev().map(f64::from).collect();
        assert_eq!(Quantiles::of(&times).all(), [5000.0, 9000.0, 9900.0, 9990.0, 10_000.0]);
    }

    #[test]
    fn the_curve_has_both_ends_and_few_points() {
        let sorted: Vec<f64> = (1..=60_000).map(f64::from).collect();
        let points = slower_than(&sorted);
        assert_eq!((points[0], *points.last().unwrap()), ((60_000.0, 1.0 / 60_000.0), (1.0, 1.0)));
        assert_eq!(points[9], (59_991.0, 10.0 / 60_000.0), "the slowest are all there");
        assert!(points.len() < 600, "{}", points.len());
        for &(us, share) in &points {
            let at_least = sorted.iter().filter(|&&other| other >= us).count();
            assert_eq!(share, at_least as f64 / 60_000.0, "{us}");
        }
        assert_eq!(slower_than(&[2.0, 3.0]), [(3.0, 0.5), (2.0, 1.0)]);
        assert!(slower_than(&[]).is_empty());
    }

    #[test]
    fn the_histogram_counts_every_tick_once() {
        let sorted = [0.0, 10.0, 10.1, 12.5, 12.7, 12.8, 16.0, 1000.0, 1100.0];
        let text = histogram(&sorted);
        let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        let counts: Vec<usize> =
            lines.iter().filter(|words| words.len() > 1).map(|words| words[4].parse().unwrap()).collect();
        // 10.00–12.59, 12.59–15.85, 15.85–19.95 stand together; the gaps before and after are one line each.
        assert_eq!(counts, [1, 3, 2, 1, 2]);
        assert_eq!(lines.iter().filter(|words| ***words == ["…"]).count(), 2);
        assert_eq!(lines[2], ["10.00", "–", "12.59", "µs", "3", &"█".repeat(60)]);
        // Logarithmic: 1 of 3 is ln 2 / ln 4, half.
        assert_eq!(lines[0][5].chars().count(), 30);
        assert_eq!(histogram(&[]), "");
        assert_eq!(histogram(&[5.0, 5.0]).lines().count(), 1);
    }
}
