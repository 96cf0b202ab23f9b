//! A layer's weights rounded to 8-bit integers, with the factors for which the expected error is least.

use std::vec;
use std::vec::Vec;

/// A layer's weights as integers, see [`crate::precision`].
pub(super) struct Integers {
    pub(super) weights: Vec<i8>,
    pub(super) scales: Vec<f32>,
    pub(super) inputs: Vec<f32>,
    pub(super) sums: Vec<i32>,
}

impl Integers {
    /// Rounds `[N, K]` weights with the factors for which the expected error is least.
    pub(super) fn round(weight: &[f32], k: usize) -> Self {
        let candidates = (0..=10).map(|tenths| Self::with_exponent(weight, k, tenths));
        let error = |candidate: &Self| {
            let squares = |values: &[f32]| values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
            squares(&candidate.scales) * squares(&candidate.inputs)
        };
        let best = candidates.min_by(|a, b| error(a).total_cmp(&error(b)));
        best.unwrap_or_else(|| Self::with_exponent(weight, k, 0))
    }

    /// Rounds them with `c[k] = max|w[·,k]|^(tenths/10)`.
    fn with_exponent(weight: &[f32], k: usize, tenths: i32) -> Self {
        let mut largest = vec![0.0_f32; k];
        for row in weight.chunks(k) {
            largest.iter_mut().zip(row).for_each(|(largest, value)| *largest = largest.max(value.abs()));
        }
        // A column of zeros takes no part. The power is `libm`'s in binary64, rounded once: the platform's own differs from host to host,
        // and the file's bytes with it.
        let exponent = f64::from(tenths as f32 / 10.0);
        let factor = |&largest: &f32| if largest > 0.0 { libm::pow(largest.into(), exponent) as f32 } else { 0.0 };
        let inputs: Vec<f32> = largest.iter().map(factor).collect();
        let mut all = Self { weights: Vec::with_capacity(weight.len()), scales: Vec::new(), inputs, sums: Vec::new() };
        for row in weight.chunks(k) {
            let scaled = |(&value, &factor): (&f32, &f32)| if factor > 0.0 { value / factor } else { 0.0 };
            let row: Vec<f32> = row.iter().zip(&all.inputs).map(scaled).collect();
            let scale = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())) / 127.0;
            // A row so small that its scale underflows is a row of zeros.
            let integer =
                |&value: &f32| if scale > 0.0 { (value / scale).round_ties_even().clamp(-127.0, 127.0) as i8 } else { 0 };
            let start = all.weights.len();
            all.weights.extend(row.iter().map(integer));
            all.scales.push(scale);
            all.sums.push(all.weights[start..].iter().map(|&q| i32::from(q)).sum());
        }
        all
    }
}
