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

use super::integers::Integers;
use super::{Parts, Weights};
use crate::obs::Observation;
use crate::v::conv::stored;
use crate::v::{Convolutions, Encoder};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// Pictures that ranges are taken from, at most: evenly spread over those given.
const FRAMES: usize = 128;

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
    let scale = parts.settings.obs_scale;
    let ranges = ranges(&layers, chain, image.prepared(), scale, parts.frames);
    let mut out = Vec::new();
    for (i, Weights { weight, bias }) in layers.iter().enumerate() {
        let channels = chain.map(image.prepared(), i)[2];
        let (run, k) = (chain.run(i, image.prepared()[2]), chain.inputs(i, image.prepared()[2]));
        // What one unit of input k is worth.
        let worth: Vec<f32> = (0..k)
            .map(|k| {
                let channel = k % run % stored(i, channels);
                match i {
                    0 => 2.0 * scale,
                    _ => ranges[i - 1].get(channel).map_or(0.0, |range| range / LARGEST),
                }
            })
            .collect();
        let mut integers = Integers { weights: Vec::new(), scales: Vec::new(), inputs: Vec::new(), sums: Vec::new() };
        let mut biases = Vec::new();
        for (n, (row, &bias)) in weight.chunks(k).zip(bias.iter()).enumerate() {
            let scaled: Vec<f32> = row.iter().zip(&worth).map(|(w, worth)| w * worth).collect();
            let largest = scaled.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let step = largest / LARGEST;
            let q =
                |value: &f32| if step > 0.0 { (value / step).round_ties_even().clamp(-LARGEST, LARGEST) as i8 } else { 0 };
            let row_start = integers.weights.len();
            integers.weights.extend(scaled.iter().map(q));
            let sum: i32 = integers.weights[row_start..].iter().map(|&q| i32::from(q)).sum();
            integers.sums.push(sum);
            let half = if i == 0 { 0.5 * scale * row.iter().sum::<f32>() } else { 0.0 };
            // The last convolution's outputs are numbers, the others' are of the next one's units.
            let unit = if i + 1 == chain.len() { 1.0 } else { ranges[i][n] / LARGEST };
            integers.scales.push(step / unit);
            biases.push((bias + half) / unit);
        }
        out.push((integers, biases));
    }
    Ok(out.into_iter())
}

/// The most that each channel of each map comes to, on some of the pictures; never 0.
fn ranges(layers: &[Weights<'_>], chain: Convolutions, image: [usize; 3], scale: f32, frames: &[Vec<u8>]) -> Vec<Vec<f32>> {
    let mut most: Vec<Vec<f32>> = (0..chain.len()).map(|i| vec![0.0; chain.at(i).channels]).collect();
    let step = frames.len().div_ceil(FRAMES);
    for frame in frames.iter().step_by(step) {
        let mut x: Vec<f32> = frame.iter().map(|&byte| f32::from(byte) * scale).collect();
        for (i, (layer, most)) in layers.iter().zip(&mut most).enumerate() {
            x = convolve(layer, chain, image, i, &x);
            for pixel in x.chunks(stored(i + 1, most.len())) {
                most.iter_mut().zip(pixel).for_each(|(most, &value)| *most = most.max(value));
            }
        }
    }
    for most in &mut most {
        let greatest = most.iter().fold(f32::MIN_POSITIVE, |greatest, &value| greatest.max(value));
        most.iter_mut().for_each(|value| *value = value.max(LEAST_SHARE * greatest));
    }
    most
}

/// Convolution `index` with ReLU: maps as they lie in memory, without padding around them.
fn convolve(layer: &Weights<'_>, chain: Convolutions, image: [usize; 3], index: usize, x: &[f32]) -> Vec<f32> {
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
        for ((out, row), bias) in out.iter_mut().zip(layer.weight.chunks(k)).zip(layer.bias.iter()) {
            // In eight sums, which is vectors' work: these numbers are for ranges.
            let mut sums = [0.0; 8];
            for (w, x) in row.chunks(8).zip(patch.chunks(8)) {
                sums.iter_mut().zip(w.iter().zip(x)).for_each(|(sum, (w, x))| *sum += w * x);
            }
            *out = (bias + sums.iter().sum::<f32>()).max(0.0);
        }
    }
    out
}
