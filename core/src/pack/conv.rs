//! A convolutional V in bytes: which ranges its activations have, and so what its integer weights and scales are.
//!
//! The runtime's rule for a convolution of an i8 file ([`crate::precision`]) knows weights, scales and biases, not what they come from:
//!
//! ```text
//! a[k] = byte/2 of the picture, or what the convolution before wrote: whole, 0 to 127
//! y[n] = b[n] + s[n]·Σ q[n,k]·a[k]
//! ```
//!
//! A picture's a stands for the two bytes 2a and 2a + 1, so for x = (2a + ½)·scale; the half goes into the bias. A map's channel has the range that it takes
//! on the pictures at hand: 127 stands for the most that was seen. So y is in such units, and a 127th of the next layer's input
//! channel's range goes into its weights before they are rounded.
//!
//! What rounding adds to an output on the average, where it or the exact one is above 0, is taken off its bias again: layer after layer, each
//! on what the rounded ones before it make of the pictures. (Nagel et al., *Data-Free Quantization Through Weight Equalization and Bias
//! Correction*, 2019, section 4.2, with pictures instead of assumptions about them.)

use super::integers::Integers;
use super::{Parts, Weights};
use crate::obs::Observation;
use crate::sizes::LANES;
use crate::v::conv::stored;
use crate::v::{Convolutions, Encoder};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// Pictures that ranges are taken from, at most: evenly spread over those given. (Of 128 of them held-out pictures exceed the ranges of some
/// channels enough to double a latent's error.)
const FRAMES: usize = 1024;

/// Values of the largest map of all these pictures, at most: of larger ones there are fewer.
const VALUES: usize = 1 << 25;

/// The largest integer of a weight and of an activation.
const LARGEST: f32 = 127.0;

/// A channel's range is at least this share of its layer's greatest: one that was never seen active may be yet.
const LEAST_SHARE: f32 = 0.01;

/// Integer weights and biases of each convolution, in order.
pub(super) fn calibrate(parts: &Parts<'_>) -> Result<std::vec::IntoIter<(Integers, Vec<f32>)>, String> {
    let dims = parts.settings.dims;
    let (Encoder::Conv { convolutions: chain, .. }, Observation::Image(image)) = (dims.v, dims.obs) else {
        return Ok(Vec::new().into_iter());
    };
    if let Some(frame) = parts.frames.iter().find(|frame| frame.len() != image.len()) {
        return Err(format!("calibration: expected prepared pictures of {} bytes, found {}", image.len(), frame.len()));
    }
    if parts.frames.is_empty() {
        return Err(
            "calibration: expected prepared pictures, by which the ranges of an i8 file are chosen, found none".into()
        );
    }
    let mut layers = Vec::new();
    for spec in dims.v.layers(&dims.obs).iter().take(chain.len()) {
        layers.push(spec.source.read(parts.tensors, spec)?);
    }
    let (scale, image) = (parts.settings.obs_scale, image.prepared());
    let mut maps = Maps::of(parts.frames, scale, chain, image);
    // What a unit of each input channel is worth.
    let mut worth = vec![2.0 * scale; image[2]];
    let mut out = Vec::new();
    for (i, Weights { weight, bias }) in layers.iter().enumerate() {
        let channels = stored(i, worth.len());
        let (run, k) = (chain.run(i, image[2]), chain.inputs(i, image[2]));
        let mut integers = Integers { weights: Vec::new(), scales: Vec::new(), inputs: Vec::new(), sums: Vec::new() };
        for row in weight.chunks(k) {
            let scaled: Vec<f32> =
                row.iter().enumerate().map(|(k, w)| w * worth.get(k % run % channels).unwrap_or(&0.0)).collect();
            let largest = scaled.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let step = largest / LARGEST;
            let q =
                |value: &f32| if step > 0.0 { (value / step).round_ties_even().clamp(-LARGEST, LARGEST) as i8 } else { 0 };
            let row_start = integers.weights.len();
            integers.weights.extend(scaled.iter().map(q));
            integers.sums.push(integers.weights[row_start..].iter().map(|&q| i32::from(q)).sum());
            integers.scales.push(step);
        }
        let mut biases: Vec<f32> = bias.to_vec();
        if i == 0 {
            biases.iter_mut().zip(weight.chunks(k)).for_each(|(b, row)| *b += 0.5 * scale * row.iter().sum::<f32>());
        }
        maps.convolve(chain, image, i, [weight, bias], &integers);
        let errors = maps.errors(&integers.scales, &biases);
        biases.iter_mut().zip(errors).for_each(|(bias, error)| *bias -= error);
        // The last convolution's outputs are numbers, the others' are of the next one's units.
        worth = match i + 1 == chain.len() {
            true => vec![1.0; biases.len()],
            false => maps.ranges(biases.len()).iter().map(|range| range / LARGEST).collect(),
        };
        for ((scale, bias), unit) in integers.scales.iter_mut().zip(&mut biases).zip(&worth) {
            *scale /= unit;
            *bias /= unit;
        }
        maps.activate(&integers.scales, &biases);
        out.push((integers, biases));
    }
    Ok(out.into_iter())
}

/// What the layers so far make of each picture.
struct Maps {
    /// With the weights as they are.
    exact: Vec<Vec<f32>>,
    /// With integers: in a layer's units, or, before its scales and biases, its sums.
    rounded: Vec<Vec<f32>>,
}

impl Maps {
    /// The pictures themselves.
    fn of(frames: &[Vec<u8>], scale: f32, chain: Convolutions, image: [usize; 3]) -> Self {
        let values = |i| chain.map(image, i).iter().product::<usize>();
        let largest = (0..=chain.len()).map(values).max().unwrap_or(1);
        let most = (VALUES / largest.max(1)).clamp(1, FRAMES);
        let some = || frames.iter().step_by(frames.len().div_ceil(most));
        Self {
            exact: some().map(|frame| frame.iter().map(|&byte| f32::from(byte) * scale).collect()).collect(),
            rounded: some().map(|frame| frame.iter().map(|&byte| f32::from(byte >> 1)).collect()).collect(),
        }
    }

    /// Convolution `index` of both, not yet activated: the exact outputs, and the integers' sums.
    fn convolve(
        &mut self,
        chain: Convolutions,
        image: [usize; 3],
        index: usize,
        [weight, bias]: [&[f32]; 2],
        integers: &Integers,
    ) {
        let whole: Vec<f32> = integers.weights.iter().map(|&q| f32::from(q)).collect();
        let none = vec![0.0; bias.len()];
        for (exact, rounded) in self.exact.iter_mut().zip(&mut self.rounded) {
            *exact = convolve([weight, bias], chain, image, index, exact);
            *rounded = convolve([&whole, &none], chain, image, index, rounded);
        }
    }

    /// How far each channel's outputs are above the exact ones, on the average over pixels where one of the two is above 0.
    fn errors(&self, scales: &[f32], biases: &[f32]) -> Vec<f32> {
        let mut sums = vec![(0.0_f64, 0_u32); scales.len()];
        let pixel = scales.len().next_multiple_of(LANES);
        for (exact, rounded) in self.exact.iter().zip(&self.rounded) {
            for (exact, rounded) in exact.chunks(pixel).zip(rounded.chunks(pixel)) {
                for (n, (sum, count)) in sums.iter_mut().enumerate() {
                    let (exact, rounded) = (exact[n].max(0.0), (biases[n] + scales[n] * rounded[n]).max(0.0));
                    if exact > 0.0 || rounded > 0.0 {
                        *sum += f64::from(rounded) - f64::from(exact);
                        *count += 1;
                    }
                }
            }
        }
        sums.into_iter().map(|(sum, count)| (sum / f64::from(count.max(1))) as f32).collect()
    }

    /// The most that each channel comes to; never 0.
    fn ranges(&self, channels: usize) -> Vec<f32> {
        let mut most = vec![0.0_f32; channels];
        for pixel in self.exact.iter().flat_map(|map| map.chunks(channels.next_multiple_of(LANES))) {
            most.iter_mut().zip(pixel).for_each(|(most, &value)| *most = most.max(value));
        }
        let greatest = most.iter().fold(f32::MIN_POSITIVE, |greatest, &value| greatest.max(value));
        most.iter().map(|value| value.max(LEAST_SHARE * greatest)).collect()
    }

    /// ReLU of both; the integers' outputs in the units of the next layer.
    fn activate(&mut self, scales: &[f32], biases: &[f32]) {
        let channels = scales.len().next_multiple_of(LANES);
        self.exact.iter_mut().flatten().for_each(|value| *value = value.max(0.0));
        for pixel in self.rounded.iter_mut().flat_map(|map| map.chunks_mut(channels)) {
            for ((sum, scale), bias) in pixel.iter_mut().zip(scales).zip(biases) {
                *sum = (bias + scale * *sum).clamp(0.0, LARGEST).round_ties_even();
            }
        }
    }
}

/// Convolution `index` before its ReLU: maps as they lie in memory, without padding around them.
fn convolve([weight, bias]: [&[f32]; 2], chain: Convolutions, image: [usize; 3], index: usize, x: &[f32]) -> Vec<f32> {
    let convolution = chain.at(index);
    let ([height, width, channels], [rows, columns, outputs]) = (chain.map(image, index), chain.map(image, index + 1));
    let (from, to) = (stored(index, channels), stored(index + 1, outputs));
    let (run, k) = (chain.run(index, image[2]), chain.inputs(index, image[2]));
    let mut out = vec![0.0; rows * columns * to];
    let mut patch = vec![0.0; k];
    for (pixel, out) in out.chunks_mut(to).enumerate() {
        patch.fill(0.0);
        let start = |at: usize| (at * convolution.stride) as isize - convolution.padding as isize;
        let (top, left) = (start(pixel / columns), start(pixel % columns));
        for (ky, kx) in (0..convolution.kernel).flat_map(|ky| (0..convolution.kernel).map(move |kx| (ky, kx))) {
            let (y, x_) = (top + ky as isize, left + kx as isize);
            if (0..height as isize).contains(&y) && (0..width as isize).contains(&x_) {
                let at = (y as usize * width + x_ as usize) * from;
                patch[ky * run + kx * from..][..from].copy_from_slice(&x[at..at + from]);
            }
        }
        for ((out, row), bias) in out.iter_mut().zip(weight.chunks(k)).zip(bias) {
            // In eight sums, which is vectors' work: these numbers are for ranges.
            let mut sums = [0.0; 8];
            for (w, x) in row.chunks(8).zip(patch.chunks(8)) {
                sums.iter_mut().zip(w.iter().zip(x)).for_each(|(sum, (w, x))| *sum += w * x);
            }
            *out = bias + sums.iter().sum::<f32>();
        }
    }
    out
}
