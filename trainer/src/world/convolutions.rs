//! The convolutional V as libtorch networks: [`crate::agent::convolution`]'s two halves, in batches and with gradients.
//!
//! Outside, a batch of frames is `[N, O]`, each frame `[h, w, c]` with its channels innermost, as it was recorded: what PyTorch calls
//! channels-last memory. Inside it is the same memory seen as `[N, c, h, w]`.

use super::nets::{forward, linear, uniform};
use crate::agent::convolution::{Chain, Map};
use dreamstep_core::rng::Philox;
use dreamstep_core::v::{self, Convolution};
use tch::{Kind, Tensor, nn};

/// A convolution's weights, `[out, in, k, k]`; of a transposed one `[in, out, k, k]`.
#[derive(Debug)]
struct Layer {
    weight: Tensor,
    bias: Tensor, // [out]
    shape: Convolution,
}

impl Layer {
    /// With PyTorch's initialisation, U(±1/√fan) for weight and bias; the fan is what its second axis and its kernel make.
    fn new(path: &nn::Path, [first, second]: [usize; 2], shape: Convolution, rng: Philox) -> Self {
        let side = shape.kernel as i64;
        let bound = 1.0 / ((second * shape.kernel * shape.kernel) as f64).sqrt();
        let weight = uniform(path, "weight", &[first as i64, second as i64, side, side], bound, rng);
        let bias = uniform(path, "bias", &[shape.channels as i64], bound, rng);
        Self { weight, bias, shape }
    }

    fn convolve(&self, kind: Kind, x: &Tensor) -> Tensor {
        let [stride, padding] = self.sizes();
        x.conv2d(&self.weight.to_kind(kind), Some(self.bias.to_kind(kind)), [stride; 2], [padding; 2], [1; 2], 1)
    }

    fn transpose(&self, kind: Kind, x: &Tensor) -> Tensor {
        let [stride, padding] = self.sizes();
        let (weight, bias) = (self.weight.to_kind(kind), Some(self.bias.to_kind(kind)));
        x.conv_transpose2d(&weight, bias, [stride; 2], [padding; 2], [0; 2], 1, [1; 2])
    }

    fn sizes(&self) -> [i64; 2] {
        [self.shape.stride as i64, self.shape.padding as i64]
    }
}

/// Standard deviation of the decoder's output before the sigmoid, at first: pictures near the mean one.
const FIRST_CONTRAST: f64 = 0.3;
/// Of log σ at first, and its mean: a latent is then drawn more narrowly than latents lie apart.
const FIRST_LOG_SIGMA: [f64; 2] = [0.1, -1.0];
/// An output that varies less is the same of every frame, and is not made to vary.
const LEAST_DEVIATION: f64 = 1e-6;

/// Scales and shifts a layer whose outputs are `y` `[N, outputs, …]`, of its `weight`, with the outputs on axis `axis`, and its `bias`
/// `[outputs]`, so that each output has the mean 0 and the standard deviation `deviation` over the others; what `y` becomes.
fn scaled([weight, bias]: [&Tensor; 2], axis: usize, y: &Tensor, deviation: f64) -> Tensor {
    let over: Vec<i64> = (0..y.dim() as i64).filter(|&axis| axis != 1).collect();
    let mean = y.mean_dim(&over[..], true, Kind::Float);
    let spread = y.std_dim(&over[..], false, true);
    let scale =
        spread.clamp_min(LEAST_DEVIATION).reciprocal().where_scalarother(&spread.gt(LEAST_DEVIATION), 1.0) * deviation;
    let mut shape = vec![1; weight.dim()];
    shape[axis] = -1;
    let _ = weight.shallow_clone().g_mul_(&scale.reshape(&shape[..]));
    bias.shallow_clone().copy_(&((bias - mean.flatten(0, -1)) * scale.flatten(0, -1)));
    (y - mean) * scale
}

/// Encoder and decoder.
#[derive(Debug)]
pub struct Convolutions {
    frame: Map,
    start_map: Map,
    encoder: Vec<Layer>,
    mean: nn::Linear,
    log_sigma: nn::Linear,
    start: nn::Linear,
    decoder: Vec<Layer>,
}

impl Convolutions {
    /// A new network under `root`, with weights drawn from `rng`, under the names that TorchWM's and ctallec's have.
    ///
    /// # Panics
    /// If `chain` has no decoder.
    pub(super) fn new(root: &nn::Path, chain: &Chain, latent: usize, rng: Philox) -> Self {
        let (e, d) = (root / "encoder", root / "decoder");
        let (z, features) = (latent as i64, chain.features() as i64);
        let layers = |path: &nn::Path, name: &str, first: usize, shapes: v::Convolutions, transposed: bool| -> Vec<Layer> {
            let inputs = std::iter::once(first).chain(shapes.iter().map(|shape| shape.channels));
            let layer = |(i, (inputs, shape)): (usize, (usize, Convolution))| {
                let axes = if transposed { [inputs, shape.channels] } else { [shape.channels, inputs] };
                Layer::new(&(path / format!("{name}{}", i + 1)), axes, shape, rng)
            };
            inputs.zip(shapes.iter()).enumerate().map(layer).collect()
        };
        let decoder = chain.decoder.expect("a V that is trained or measured has a decoder");
        let start_map = decoder.start();
        Self {
            frame: chain.frame,
            start_map,
            encoder: layers(&e, "conv", chain.frame[2], chain.encoder, false),
            mean: linear(&(&e / "fc_mu"), features, z, rng),
            log_sigma: linear(&(&e / "fc_logsigma"), features, z, rng),
            start: linear(&(&d / "fc1"), z, start_map.iter().product::<usize>() as i64, rng),
            decoder: layers(&d, "deconv", start_map[2], decoder.chain, true),
        }
    }

    /// Scales the weights, as they were drawn, layer by layer, so that on the frames `x` `[N, O]` every output but the last layer's has a mean of 0
    /// and a standard deviation of 1 before its ReLU, and frames are decoded to about the mean one (Salimans & Kingma 2016, §3). Drawn alone
    /// they let what differs between frames fade from layer to layer: then V first learns to do without its latents.
    pub(super) fn scale(&self, x: &Tensor) {
        let kind = Kind::Float;
        let dense = |layer: &nn::Linear, x: &Tensor, deviation| {
            let bias = layer.bs.as_ref().expect("every layer has biases");
            scaled([&layer.ws, bias], 0, &forward(layer, kind, x), deviation)
        };
        tch::no_grad(|| {
            let [h, w, c] = self.frame.map(|size| size as i64);
            let frames = x.view([-1, h, w, c]).permute([0, 3, 1, 2]);
            let mut map = frames.shallow_clone();
            for layer in &self.encoder {
                map = scaled([&layer.weight, &layer.bias], 0, &layer.convolve(kind, &map), 1.0).relu();
            }
            let flat = map.flatten(1, -1);
            let mean = dense(&self.mean, &flat, 1.0);
            let [deviation, shift] = FIRST_LOG_SIGMA;
            let _ = dense(&self.log_sigma, &flat, deviation);
            let _ = self.log_sigma.bs.as_ref().map(|bias| bias.shallow_clone().g_add_scalar_(shift));

            let [h, w, c] = self.start_map.map(|size| size as i64);
            map = dense(&self.start, &mean, 1.0).relu().view([-1, c, h, w]);
            for (i, layer) in self.decoder.iter().enumerate() {
                let is_last = i + 1 == self.decoder.len();
                let deviation = if is_last { FIRST_CONTRAST } else { 1.0 };
                map = scaled([&layer.weight, &layer.bias], 1, &layer.transpose(kind, &map), deviation).relu();
                if is_last {
                    let mean = frames.mean_dim(&[0_i64, 2, 3][..], false, kind).clamp(0.01, 0.99);
                    let _ = layer.bias.shallow_clone().g_add_(&mean.logit(None::<f64>));
                }
            }
        });
    }

    /// x `[N, O]` → mean and log σ, `[N, Z]` each, in numbers of `kind`; the results are float32.
    pub(super) fn encode(&self, kind: Kind, x: &Tensor) -> (Tensor, Tensor) {
        let [h, w, c] = self.frame.map(|size| size as i64);
        let mut map = x.to_kind(kind).view([-1, h, w, c]).permute([0, 3, 1, 2]);
        for layer in &self.encoder {
            map = layer.convolve(kind, &map).relu();
        }
        let flat = map.flatten(1, -1); // [N, F], channel by channel
        let head = |layer| forward(layer, kind, &flat).to_kind(Kind::Float);
        (head(&self.mean), head(&self.log_sigma))
    }

    /// Latents `[N, Z]` → x `[N, O]`, as [`Self::encode`].
    pub(super) fn decode(&self, kind: Kind, z: &Tensor) -> Tensor {
        let [h, w, c] = self.start_map.map(|size| size as i64);
        let mut map = forward(&self.start, kind, &z.to_kind(kind)).relu().view([-1, c, h, w]);
        for (i, layer) in self.decoder.iter().enumerate() {
            map = layer.transpose(kind, &map);
            map = if i + 1 == self.decoder.len() { map.to_kind(Kind::Float).sigmoid() } else { map.relu() };
        }
        map.permute([0, 2, 3, 1]).flatten(1, -1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::v::{Codec, VaeLayers, VaeShape};
    use crate::run::checkpoint::Checkpoint;
    use crate::world::nets::{export, inputs, matrix, normals, to_vec};
    use crate::world::vae::Vae;
    use dreamstep_core::rng::Stream;
    use std::collections::BTreeMap;
    use tch::Device;

    const FRAME: Map = [20, 16, 3];

    fn shape() -> VaeShape {
        // Two sides, two strides, padding: no two axes could change places unseen.
        let chain = Chain::new(FRAME, "6:4:2:1,5:3:2:0", "4x3x7,6:4:2:1,4:5:2:1,0:4:1:0").unwrap();
        VaeShape { obs: 20 * 16 * 3, layers: VaeLayers::Convolutional(chain), latent: 4, log_var_range: [-10.0, 10.0] }
    }

    fn network() -> (nn::VarStore, Vae) {
        tch::set_num_threads(1);
        let vs = nn::VarStore::new(Device::Cpu);
        let vae = Vae::new(&vs.root(), shape(), &[], Philox::new(5));
        (vs, vae)
    }

    fn frames(n: usize) -> Vec<u8> {
        let drawn = |i: usize| (Philox::new(2).uniform(Stream::SyntheticObservation, 0, i as u32) * 256.0) as u8;
        (0..n * 20 * 16 * 3).map(drawn).collect()
    }

    #[test]
    fn variables_have_the_names_and_shapes_of_pytorchs_networks() {
        let found: BTreeMap<_, _> = export(&network().0).unwrap().into_iter().map(|(name, a)| (name, a.shape)).collect();
        let weights: &[(&str, &[usize])] = &[
            ("encoder.conv1", &[6, 3, 4, 4]),
            ("encoder.conv2", &[5, 6, 3, 3]),
            ("encoder.fc_mu", &[4, 60]),
            ("encoder.fc_logsigma", &[4, 60]),
            ("decoder.fc1", &[84, 4]),
            ("decoder.deconv1", &[7, 6, 4, 4]),
            ("decoder.deconv2", &[6, 4, 5, 5]),
            ("decoder.deconv3", &[4, 3, 4, 4]),
        ];
        for (name, shape) in weights {
            assert_eq!(found[&format!("{name}.weight")], *shape, "{name}");
            let outputs = if name.contains("deconv") { shape[1] } else { shape[0] };
            assert_eq!(found[&format!("{name}.bias")], [outputs], "{name}");
        }
        assert_eq!(found.len(), 2 * weights.len());
    }

    /// [`Codec`] is the runtime, which is itself held to the definitions.
    #[test]
    fn libtorch_and_the_runtime_agree_on_frames() {
        let (vs, vae) = network();
        let mut file = Checkpoint { tensors: export(&vs).unwrap(), ..Checkpoint::default() };
        shape().say(&mut file);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vae.safetensors");
        file.write(&path).unwrap();
        let codec = Codec::read(&path).unwrap();
        assert_eq!(codec.shape, shape());

        let bytes = frames(5);
        let rows = Tensor::from_slice(&bytes).view([5, -1]);
        let (mean, log_var) = tch::no_grad(|| vae.encode(&inputs(&rows)));
        let decoded = tch::no_grad(|| vae.decode(&mean));
        let [mean, log_var, decoded] = [mean, log_var, decoded].map(|t| to_vec(&t).unwrap());
        let near =
            |found: f32, expected: f32, allowed: f32| assert!((found - expected).abs() < allowed, "{found}, {expected}");
        let numbers: Vec<Vec<f32>> =
            bytes.chunks(960).map(|frame| frame.iter().map(|&byte| f32::from(byte)).collect()).collect();
        let encoded = codec.encode(&numbers).unwrap();
        let latents: Vec<Vec<f32>> = encoded.iter().map(|[z, _]| z.clone()).collect();
        let pictures = codec.decode(&latents).unwrap();
        for (i, ([z, spread], picture)) in encoded.iter().zip(pictures).enumerate() {
            for k in 0..4 {
                near(mean[i * 4 + k], z[k], 1e-5);
                near(log_var[i * 4 + k], spread[k], 1e-5);
            }
            for (x, found) in decoded[i * 960..].iter().zip(picture) {
                near(x * 255.0, found as f32, 0.5 + 1e-2);
            }
        }
        let error = codec.encode([[0.0; 7]]).unwrap_err().to_string();
        assert!(error.contains("expected 960") && error.contains("found 7"), "{error}");
        let error = codec.decode(&[vec![0.0; 3]]).unwrap_err().to_string();
        assert_eq!(error, "V: expected a latent of 4, found 3");
    }

    #[test]
    fn scaled_by_frames_weights_let_through_what_differs_between_them() {
        let (_vs, vae) = network();
        // A dot that goes from place to place on a grey of its own, and a channel that never changes.
        let dot = |n: usize, i: usize| match i % 3 {
            2 => 77,
            _ if (i / 48 + n) % 20 < 4 && (i / 3 % 16 + n / 3) % 16 < 4 => 250,
            _ => 90 + n as u8,
        };
        let bytes: Vec<u8> = (0..60).flat_map(|n| (0..960).map(move |i| dot(n, i))).collect();
        let x = inputs(&Tensor::from_slice(&bytes).view([60, -1]));
        let seen = || {
            let (mean, log_var) = vae.encode(&x);
            let decoded = vae.decode(&mean);
            let spread = |t: &Tensor| to_vec(&t.std_dim(&[0_i64][..], false, false)).unwrap();
            let colours = |t: &Tensor| to_vec(&t.view([-1, 3]).mean_dim(&[0_i64][..], false, Kind::Float)).unwrap();
            let level = (log_var.mean(Kind::Float) * 0.5).double_value(&[]);
            (
                spread(&mean),
                to_vec(&mean.mean_dim(&[0_i64][..], false, Kind::Float)).unwrap(),
                level,
                spread(&decoded),
                colours(&decoded),
            )
        };
        let most = |values: &[f32]| values.iter().fold(0.0_f32, |most, &v| most.max(v));
        let before = tch::no_grad(seen);
        assert!(most(&before.0) < 0.1 && most(&before.3) < 0.01, "drawn weights let little through: {before:?}");
        vae.scale(&x);
        let (spread, mean, level, decoded, colours) = tch::no_grad(seen);
        assert!(spread.iter().all(|v| (v - 1.0).abs() < 1e-3) && mean.iter().all(|v| v.abs() < 1e-3), "{spread:?} {mean:?}");
        assert!((level + 1.0).abs() < 1e-3 && most(&decoded) > 0.03, "{level} {decoded:?}");
        let of_frames = to_vec(&x.view([-1, 3]).mean_dim(&[0_i64][..], false, Kind::Float)).unwrap();
        assert!(colours.iter().zip(&of_frames).all(|(a, b)| (a - b).abs() < 0.03), "{colours:?} {of_frames:?}");
        // Frames that are all the same leave it finite.
        vae.scale(&x.narrow(0, 0, 1).repeat([8, 1]));
        assert!(tch::no_grad(|| vae.decode(&vae.encode(&x).0)).isfinite().all().double_value(&[]) == 1.0);
    }

    #[test]
    fn every_parameter_gets_a_gradient_and_a_step_down_it_is_better() {
        let (vs, vae) = network();
        let x = inputs(&Tensor::from_slice(&frames(6)).view([6, -1]));
        let noise = matrix(&normals(Philox::new(1), Stream::VaeNoise, 0, 24), 4, Device::Cpu);
        let loss = || vae.loss(&x, &noise, 1.0, 0.0, false).total;
        let before = loss();
        before.backward();
        for (name, v) in vs.variables() {
            assert!(v.grad().abs().max().double_value(&[]) > 0.0, "{name} gets no gradient");
            tch::no_grad(|| drop(v.shallow_clone().g_sub_(&(v.grad() * 1e-5))));
        }
        assert!(loss().double_value(&[]) < before.double_value(&[]));
        let half = vae.loss(&x, &noise, 1.0, 0.0, true).total.double_value(&[]);
        let full = loss().double_value(&[]);
        assert!(half != full && (half - full).abs() < 0.02 * full, "bfloat16 rounds: {half} {full}");
    }
}
