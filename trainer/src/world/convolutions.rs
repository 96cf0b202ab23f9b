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
