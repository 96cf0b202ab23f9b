//! How alike two pictures are: their squared error, PSNR, and structural similarity (SSIM; Wang, Bovik, Sheikh & Simoncelli 2004).
//!
//! SSIM is taken over windows of 7 x 7 pixels of equal weight, channel by channel, with populations' moments, as scikit-image's default
//! has them but for their sample covariance; its constants are those of the paper for values between 0 and 1.

use crate::agent::convolution::Map;
use serde::Serialize;
use tch::{Kind, Tensor};

/// Side of SSIM's windows; of a smaller picture, its own.
const WINDOW: i64 = 7;
/// (0.01)², (0.03)²: the paper's, for values between 0 and 1.
const C1: f64 = 1e-4;
const C2: f64 = 9e-4;
/// Squared error of the quietest picture that a logarithm is taken of.
const LEAST: f64 = 1e-10;

/// Means over frames.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Likeness {
    /// Squared error of values between 0 and 1, summed over a frame.
    pub squared_error: f64,
    /// Peak signal-to-noise ratio, dB: 10·log₁₀ of 1 over the mean squared error, frame by frame.
    pub psnr_db: f64,
    /// 1 where they are the same.
    pub ssim: f64,
}

/// A measurement under way.
#[derive(Debug)]
pub struct Measure {
    frame: Map,
    frames: f64,
    sums: [f64; 3],
}

impl Measure {
    /// Of no frames yet.
    #[must_use]
    pub const fn new(frame: Map) -> Self {
        Self { frame, frames: 0.0, sums: [0.0; 3] }
    }

    /// Adds frames `[N, O]` of values between 0 and 1, and what is taken for them.
    pub fn add(&mut self, truth: &Tensor, found: &Tensor) {
        let errors = (found - truth).square().sum_dim_intlist(1, false, Kind::Double); // [N]
        let mean = (&errors / truth.size()[1] as f64).clamp_min(LEAST);
        let psnr = mean.log10() * -10.0;
        for (sum, values) in self.sums.iter_mut().zip([errors, psnr, ssim(self.frame, truth, found)]) {
            *sum += values.sum(Kind::Double).double_value(&[]);
        }
        self.frames += truth.size()[0] as f64;
    }

    /// What it comes to.
    #[must_use]
    pub fn finish(&self) -> Likeness {
        let [squared_error, psnr_db, ssim] = self.sums.map(|sum| sum / self.frames);
        Likeness { squared_error, psnr_db, ssim }
    }
}

/// SSIM of frames `[N, O]`, `[N]`.
fn ssim(frame: Map, a: &Tensor, b: &Tensor) -> Tensor {
    let [h, w, c] = frame.map(|size| size as i64);
    let side = WINDOW.min(h).min(w);
    let map = |x: &Tensor| x.to_kind(Kind::Double).view([-1, h, w, c]).permute([0, 3, 1, 2]);
    let mean = |x: Tensor| x.avg_pool2d([side; 2], [1; 2], [0; 2], false, true, None);
    let (a, b) = (map(a), map(b));
    let (mean_a, mean_b) = (mean(a.shallow_clone()), mean(b.shallow_clone()));
    let variance = mean(a.square()) + mean(b.square()) - mean_a.square() - mean_b.square();
    let covariance = mean(&a * &b) - &mean_a * &mean_b;
    let luminance = (&mean_a * &mean_b * 2.0 + C1) / (mean_a.square() + mean_b.square() + C1);
    let structure = (covariance * 2.0 + C2) / (variance + C2);
    (luminance * structure).flatten(1, -1).mean_dim(1, false, Kind::Double)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::uniform_values;
    use dreamstep_core::rng::Philox;

    fn frames(name: &str) -> Vec<f32> {
        uniform_values(name, 2 * 9 * 8 * 3, 0.5, Philox::new(1)).into_iter().map(|v| v + 0.5).collect()
    }

    /// Window by window, from the paper's formula.
    fn naive(a: &[f32], b: &[f32]) -> f64 {
        let at = |x: &[f32], y: usize, column: usize, c: usize| f64::from(x[(y * 8 + column) * 3 + c]);
        let (mut sum, mut windows) = (0.0, 0.0);
        for c in 0..3 {
            for (top, left) in (0..3).flat_map(|top| (0..2).map(move |left| (top, left))) {
                let pixels: Vec<[f64; 2]> =
                    (0..49).map(|i| (top + i / 7, left + i % 7)).map(|(y, x)| [at(a, y, x, c), at(b, y, x, c)]).collect();
                let mean = |f: &dyn Fn(&[f64; 2]) -> f64| pixels.iter().map(f).sum::<f64>() / 49.0;
                let [ma, mb] = [mean(&|p| p[0]), mean(&|p| p[1])];
                let va = mean(&|p| (p[0] - ma).powi(2));
                let vb = mean(&|p| (p[1] - mb).powi(2));
                let cov = mean(&|p| (p[0] - ma) * (p[1] - mb));
                sum += (2.0 * ma * mb + 1e-4) * (2.0 * cov + 9e-4) / ((ma * ma + mb * mb + 1e-4) * (va + vb + 9e-4));
                windows += 1.0;
            }
        }
        sum / windows
    }

    #[test]
    fn likeness_is_what_the_formulas_say() {
        let (a, b) = (frames("a"), frames("b"));
        let tensor = |x: &[f32]| Tensor::from_slice(x).view([2, -1]);
        let mut measure = Measure::new([9, 8, 3]);
        measure.add(&tensor(&a).narrow(0, 0, 1), &tensor(&b).narrow(0, 0, 1));
        measure.add(&tensor(&a).narrow(0, 1, 1), &tensor(&b).narrow(0, 1, 1));
        let found = measure.finish();
        let n = 9 * 8 * 3;
        let errors: Vec<f64> = a
            .chunks(n)
            .zip(b.chunks(n))
            .map(|(a, b)| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum())
            .collect();
        let expected = (errors[0] + errors[1]) / 2.0;
        assert!((found.squared_error - expected).abs() < 1e-5, "{found:?}");
        let psnr = errors.iter().map(|e| 10.0 * (n as f64 / e).log10()).sum::<f64>() / 2.0;
        assert!((found.psnr_db - psnr).abs() < 1e-6, "{found:?}, expected {psnr}");
        let ssim = (naive(&a[..n], &b[..n]) + naive(&a[n..], &b[n..])) / 2.0;
        assert!((found.ssim - ssim).abs() < 1e-9, "{found:?}, expected {ssim}");
        let mut same = Measure::new([9, 8, 3]);
        same.add(&tensor(&a), &tensor(&a));
        assert_eq!(same.finish(), Likeness { squared_error: 0.0, psnr_db: 100.0, ssim: 1.0 });
    }
}
