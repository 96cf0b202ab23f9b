//! What would one pick instead for the eye alone? The paper's convolutional encoder, from one prepared picture 64 × 64 × 3 to the mean
//! latent, in this runtime and in four libraries.
//!
//! Peers are given the picture as they want it, binary32 planes that were scaled beforehand, and have only to copy it; this runtime is
//! given the bytes, and its time holds what it makes of them.

mod contestants;
mod graph;

use super::weights::Layer;
use super::{Contestant, Side, Step, Trace, torch::one_thread};
use anyhow::{Context, Result, anyhow, bail};
use contestants::{Candle, OnnxRuntime, Torch, Tract};
use dreamstep_core::names::checkpoint as names;
use dreamstep_core::obs::Image;
use dreamstep_core::pack::{Unpacked, unpack};
use dreamstep_core::v::Encoder as Kind;
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::Agent;
use graph::Numbers;

/// A prepared picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// `[h, w, c]`
    pub bytes: Vec<u8>,
    /// `[c, h, w]`, byte / 255
    pub planes: Vec<f32>,
}

/// A convolution, ReLU behind it.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// `[O, C, k, k]`; its inputs are C·k·k.
    pub layer: Layer,
    /// k
    pub kernel: usize,
    /// In both directions.
    pub stride: usize,
    /// Zeros on every side.
    pub padding: usize,
}

/// The encoder's weights, as a checkpoint has them.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// The picture: h, w, c.
    pub image: [usize; 3],
    /// In order.
    pub convolutions: Vec<Convolution>,
    /// The last map `[c, h, w]` → the latent's mean `[Z]`.
    pub mean: Layer,
}

/// The picture, prepared already.
pub const IMAGE: Image = Image::plain([64, 64, 3]);

impl Encoder {
    /// Of a packed f32 agent.
    ///
    /// # Errors
    /// One line: no packed f32 agent, or one that does not see pictures.
    pub fn of(file: &[u8]) -> Result<Self> {
        let Unpacked { tensors, settings, .. } = unpack(file).map_err(|error| anyhow!(error))?;
        let (image, v) = (settings.dims.obs.image(), settings.dims.v);
        let (Some(image), Kind::Conv { convolutions, .. }) = (image, v) else {
            bail!("v.kind: expected conv (what contenders have), found {}", v.kind())
        };
        let layer = |weight: &str, bias: &str| -> Result<Layer> {
            let get = |name: &str| {
                let (_, values) = tensors.get(name).with_context(|| format!("tensor `{name}`: expected, not found"))?;
                anyhow::Ok(values.clone())
            };
            let (weight, bias) = (get(weight)?, get(bias)?);
            Ok(Layer { inputs: weight.len() / bias.len(), weight, bias })
        };
        let convolution = |(index, of): (usize, dreamstep_core::v::Convolution)| -> Result<Convolution> {
            let layer = layer(names::ENCODER_CONV_WEIGHT[index], names::ENCODER_CONV_BIAS[index])?;
            Ok(Convolution { layer, kernel: of.kernel, stride: of.stride, padding: of.padding })
        };
        Ok(Self {
            image: image.prepared(),
            convolutions: convolutions.iter().enumerate().map(convolution).collect::<Result<_>>()?,
            mean: layer(names::FC_MU[0], names::FC_MU[1])?,
        })
    }

    /// Every map `[c, h, w]` after its ReLU, from the picture on, and the mean at the end: the right answer, in f64.
    fn maps(&self, picture: &Picture) -> Vec<Vec<f64>> {
        let mut maps = vec![picture.planes.iter().map(|&x| f64::from(x)).collect::<Vec<_>>()];
        let [mut height, mut width, mut channels] = self.image;
        for Convolution { layer, kernel, stride, padding } in &self.convolutions {
            let x = &maps[maps.len() - 1];
            let size = |from: usize| (from + 2 * padding - kernel) / stride + 1;
            let (rows, columns) = (size(height), size(width));
            let mut map = Vec::with_capacity(layer.outputs() * rows * columns);
            for (weight, &bias) in layer.weight.chunks_exact(layer.inputs).zip(&layer.bias) {
                for (y, column) in (0..rows).flat_map(|y| (0..columns).map(move |column| (y, column))) {
                    let mut sum = f64::from(bias);
                    for (plane, weight) in weight.chunks_exact(kernel * kernel).enumerate() {
                        for (at, &weight) in weight.iter().enumerate() {
                            let (row, column) = (y * stride + at / kernel, column * stride + at % kernel);
                            let inside =
                                (*padding..height + padding).contains(&row) && (*padding..width + padding).contains(&column);
                            if inside {
                                sum += f64::from(weight) * x[(plane * height + row - padding) * width + column - padding];
                            }
                        }
                    }
                    map.push(sum.max(0.0));
                }
            }
            (height, width, channels) = (rows, columns, layer.outputs());
            maps.push(map);
        }
        let x = &maps[maps.len() - 1];
        assert_eq!(x.len(), height * width * channels, "the last map");
        let row = |(row, &bias): (&[f32], &f32)| {
            f64::from(bias) + row.iter().zip(x).map(|(&weight, x)| f64::from(weight) * x).sum::<f64>()
        };
        let mean = self.mean.weight.chunks_exact(self.mean.inputs).zip(&self.mean.bias).map(row).collect();
        maps.push(mean);
        maps
    }

    /// The largest value of every map that a convolution reads or writes, over some pictures: what a quantiser learns of them. The
    /// picture's own is 1.
    fn ranges(&self, pictures: impl Iterator<Item = Picture>) -> Vec<f32> {
        let mut ranges = vec![0.0; self.convolutions.len() + 1];
        for picture in pictures {
            for (range, map) in ranges.iter_mut().zip(self.maps(&picture)) {
                *range = map.iter().fold(*range, |most: f64, &value| most.max(value));
            }
        }
        ranges[0] = 1.0;
        ranges.into_iter().map(|range| range as f32).collect()
    }

    fn picture(&self, t: u64) -> Picture {
        let [height, width, channels] = self.image;
        let bytes = synthetic::picture(7, t, height * width * channels);
        let plane = |c| bytes.iter().skip(c).step_by(channels).map(|&byte| f32::from(byte) / 255.0);
        Picture { planes: (0..channels).flat_map(plane).collect(), bytes }
    }
}

impl Trace<Picture> {
    /// `count` pictures of noise and their latents. The range that errors are shares of is that of all latents together.
    #[must_use]
    pub fn pictures(encoder: &Encoder, count: usize) -> Self {
        let observations: Vec<_> = (0..count as u64).map(|t| Box::new(encoder.picture(t))).collect();
        let latent = |picture: &Picture| encoder.maps(picture).pop().unwrap_or_default();
        let actions: Vec<_> = observations.iter().map(|picture| latent(picture)).collect();
        let half = actions.iter().flatten().fold(0.0, |most: f64, z| most.max(z.abs()));
        Self { observations, actions, range: vec![(0.0, half); encoder.mean.outputs()] }
    }
}

impl Step<Picture> for Agent<'_, '_> {
    fn reset(&mut self) -> Result<()> {
        Agent::reset(self);
        Ok(())
    }

    fn step(&mut self, picture: &Picture, latent: &mut [f32]) -> Result<()> {
        self.act_prepared(&picture.bytes).map_err(|error| anyhow!("{error}"))?;
        latent.copy_from_slice(self.latent());
        Ok(())
    }
}

/// Everybody else's.
///
/// # Errors
/// One cannot be loaded, or refuses the model: the line begins with its name.
pub fn peers(encoder: &Encoder) -> Result<Vec<Contestant<'_, Picture>>> {
    one_thread();
    let mut peers = Vec::new();
    for (name, channels_last) in [("libtorch, eager", false), ("libtorch, eager, channels last", true)] {
        peers.push(Contestant::new(name, Side::Float32, Torch::new(encoder, channels_last)));
    }
    // Other pictures than those that are timed.
    let ranges = encoder.ranges((1000..1004).map(|t| encoder.picture(t)));
    let graphs = [
        ("ONNX Runtime", Numbers::Float32, Side::Float32),
        ("ONNX Runtime int8, weights u8", Numbers::Unsigned, Side::Int8),
        ("ONNX Runtime int8, weights s8 of 7 bits", Numbers::Signed, Side::Int8),
    ];
    for (name, numbers, side) in graphs {
        peers.push(Contestant::new(name, side, OnnxRuntime::new(encoder, numbers, &ranges).context(name)?));
    }
    peers.push(Contestant::new("tract", Side::Float32, Tract::new(encoder).context("tract")?));
    peers.push(Contestant::new("candle", Side::Float32, Candle::new(encoder).context("candle")?));
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents;
    use crate::peers::Ours;

    #[test]
    fn a_map_worked_out_by_hand() {
        let layer = |weight: &[f32], bias: &[f32]| Layer {
            weight: weight.to_vec(),
            bias: bias.to_vec(),
            inputs: weight.len() / bias.len(),
        };
        // A picture 2 × 2 of one channel, zeros around it; kernels of 2 × 2, a step of 2: each meets one pixel, in another corner.
        let convolution = Convolution { layer: layer(&[1.0, 2.0, 3.0, 4.0], &[-1.0]), kernel: 2, stride: 2, padding: 1 };
        let encoder =
            Encoder { image: [2, 2, 1], convolutions: vec![convolution], mean: layer(&[1.0, 10.0, 100.0, 1000.0], &[0.5]) };
        let picture = Picture { bytes: vec![255, 0, 51, 255], planes: vec![1.0, 0.0, 0.2, 1.0] };
        let maps = encoder.maps(&picture);
        // 4·1 − 1, 3·0 − 1 → 0, 2·0.2 − 1 → 0, 1·1 − 1.
        assert_eq!(maps[1], [3.0, 0.0, 0.0, 0.0]);
        assert_eq!(maps[2], [3.5]);
        assert_eq!(encoder.ranges([picture].into_iter()), [1.0, 3.0]);
    }

    #[test]
    fn everybody_agrees_with_the_reference_and_one_wrong_weight_is_found() {
        let files = agents::pictures(IMAGE);
        let mut encoder = Encoder::of(&files[0]).unwrap();
        let trace = Trace::pictures(&encoder, 3);
        let mut ours = Ours::load(&files).unwrap();
        let mut all = ours.contestants().unwrap();
        all.extend(peers(&encoder).unwrap());
        assert_eq!(all.len(), 5 + 7);
        for contestant in &mut all {
            trace.check(contestant).unwrap();
        }
        drop(all);
        encoder.convolutions[2].layer.weight[1] += 0.1;
        let mut wrong = Contestant::new("one off", Side::Float32, Torch::new(&encoder, false));
        let error = trace.check(&mut wrong).unwrap_err().to_string();
        assert!(error.starts_with("one off: step 0"), "{error}");
    }
}
