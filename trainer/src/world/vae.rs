//! V: a variational autoencoder (Kingma & Welling 2014), of multi-layer perceptrons or of convolutions.
//!
//! ```text
//! x [O] ─256 ReLU─128 ReLU─▶ mean [Z], log-variance [Z] ─ z = mean + e^(log-variance/2)·ε ─▶ 128 ReLU─256 ReLU─▶ x̂ [O]
//! ```
//! `x` is a whitened vector, or a frame scaled into 0 to 1 ([`super::convolutions`]). Acting uses the mean. As the identity V has no
//! encoder: the mean is the first Z values of x, the log-variance the least that there is, and only the decoder learns, what else follows
//! from z.

use super::convolutions::Convolutions;
use super::epochs::Parts;
use super::nets::linear;
pub use crate::agent::v::{VaeLayers, VaeShape};
use anyhow::{Result, bail, ensure};
use dreamstep_core::rng::Philox;
use tch::{Kind, Tensor, nn};

/// Encoder and decoder.
#[derive(Debug)]
pub struct Vae {
    layers: Layers,
    shape: VaeShape,
    /// What an error in each dimension weighs `[O]`; none, 1.
    weights: Option<Tensor>,
    contrast: Option<Contrast>,
}

/// What an error weighs more in a pixel that is unlike the mean frame's.
#[derive(Debug)]
struct Contrast {
    /// `[O]`, channel by channel of each pixel.
    mean: Tensor,
    channels: i64,
    /// For a squared distance of 1.
    weight: f64,
}

impl Contrast {
    /// Weighs the squared errors `[N, O]` of the frames `x` `[N, O]`.
    fn weigh(&self, errors: &Tensor, x: &Tensor) -> Tensor {
        let pixels = |t: &Tensor| t.view([t.size()[0], -1, self.channels]);
        let distance = pixels(&(x - &self.mean).square()).sum_dim_intlist(2, true, Kind::Float);
        (pixels(errors) * (distance * self.weight + 1.0)).flatten(1, -1)
    }
}

#[derive(Debug)]
enum Layers {
    Dense {
        /// None as the identity.
        encoder: Option<Vec<nn::Linear>>,
        decoder: Vec<nn::Linear>,
    },
    Convolutional(Convolutions),
}

/// The parts of the loss, each the mean over the batch, in nats for a decoder of variance ½.
#[derive(Debug)]
pub struct VaeLoss {
    /// Squared error, weighed, summed over the observation.
    pub reconstruction: Tensor,
    /// KL divergence from the prior, summed over the latent.
    pub kl: Tensor,
    /// `reconstruction + kl_weight · max(kl, kl_tolerance·Z)`, the maximum taken per observation.
    pub total: Tensor,
}

impl VaeLoss {
    /// By name, as they are logged.
    pub fn parts(self) -> Parts<3> {
        [("loss", self.total), ("reconstruction", self.reconstruction), ("kl", self.kl)]
    }
}

impl Vae {
    /// A new network under `root`, with weights drawn from `rng`. A dimension of a vector that is not `alive` is not seen and is decoded as
    /// exactly 0, which is what it is whitened to: its weights start at 0 and get no gradient.
    #[must_use]
    pub fn new(root: &nn::Path, shape: VaeShape, alive: &[bool], rng: Philox) -> Self {
        let layers = match &shape.layers {
            VaeLayers::Identity(hidden) => dense(root, &shape, hidden, false, alive, rng),
            VaeLayers::Mlp(hidden) => dense(root, &shape, hidden, true, alive, rng),
            VaeLayers::Convolutional(chain) => Layers::Convolutional(Convolutions::new(root, chain, shape.latent, rng)),
        };
        Self { layers, shape, weights: None, contrast: None }
    }

    /// With the squared error of every dimension weighed by `weights` `[O]` in the loss.
    #[must_use]
    pub fn weighed(self, weights: Tensor) -> Self {
        Self { weights: Some(weights), ..self }
    }

    /// With the squared error of a pixel weighing `weight` times more for every 1 of its squared distance from that of the mean of the frames
    /// `x` `[N, O]`, of so many `channels`.
    #[must_use]
    pub fn contrasted(self, x: &Tensor, channels: usize, weight: f64) -> Self {
        let mean = x.mean_dim(&[0_i64][..], false, Kind::Float);
        Self { contrast: Some(Contrast { mean, channels: channels as i64, weight }), ..self }
    }

    /// Scales the weights of convolutions by what they make of the frames `x` `[N, O]` (`Convolutions::scale`); other layers stay as they are.
    pub fn scale(&self, x: &Tensor) {
        if let Layers::Convolutional(network) = &self.layers {
            network.scale(x);
        }
    }

    /// Makes the decoder begin by saying of the first Z values of x what z says, for whitened observations within ± `clip`: a unit's ReLU
    /// cuts nothing off that is `clip` above zero. The other units stay as they were drawn, and may learn what else there is.
    ///
    /// # Errors
    /// One line: there are more latents than observations, or fewer hidden units; or it is not made of dense layers.
    ///
    /// # Panics
    /// Never: every layer has biases.
    pub fn decode_as_it_is(&self, clip: f64) -> Result<()> {
        let VaeShape { obs, latent, .. } = self.shape;
        let (Layers::Dense { decoder, .. }, VaeLayers::Identity(hidden) | VaeLayers::Mlp(hidden)) =
            (&self.layers, &self.shape.layers)
        else {
            bail!("vae.start = \"identity\": expected observations that are vectors, found frames")
        };
        ensure!(
            latent <= obs && hidden.iter().all(|&units| units >= latent),
            "vae.start = \"identity\": expected vae.latent of at most {obs}, the observations, and as many units in each of vae.hidden, \
             found {latent} and {hidden:?}"
        );
        let n = latent as i64;
        let last = decoder.len() - 1;
        tch::no_grad(|| {
            for (i, layer) in decoder.iter().enumerate() {
                let rows = layer.ws.narrow(0, 0, n);
                let _ = rows.shallow_clone().zero_();
                let _ = rows.narrow(1, 0, n).fill_diagonal_(1.0, false);
                let bias = f64::from(u8::from(i == 0)) * clip - f64::from(u8::from(i == last)) * clip;
                let bs = layer.bs.as_ref().expect("every layer has biases");
                let _ = bs.narrow(0, 0, n).fill_(bias);
            }
        });
        Ok(())
    }

    /// x `[N, O]` → mean and log-variance, `[N, Z]` each.
    pub fn encode(&self, x: &Tensor) -> (Tensor, Tensor) {
        self.encode_in(Kind::Float, x)
    }

    fn encode_in(&self, kind: Kind, x: &Tensor) -> (Tensor, Tensor) {
        let z = self.shape.latent as i64;
        let [low, high] = self.shape.log_var_range;
        let (mean, log_var) = match &self.layers {
            Layers::Dense { encoder: None, .. } => {
                let mean = x.narrow(1, 0, z);
                let log_var = mean.full_like(low);
                return (mean, log_var);
            }
            Layers::Dense { encoder: Some(encoder), .. } => {
                let out = forward(encoder, kind, x); // [N, 2Z]
                (out.narrow(1, 0, z), out.narrow(1, z, z))
            }
            Layers::Convolutional(network) => {
                let (mean, log_sigma) = network.encode(kind, x);
                (mean, log_sigma * 2.0)
            }
        };
        (mean, log_var.clamp(low, high))
    }

    /// Latents `[N, Z]` → x `[N, O]`.
    pub fn decode(&self, z: &Tensor) -> Tensor {
        self.decode_in(Kind::Float, z)
    }

    fn decode_in(&self, kind: Kind, z: &Tensor) -> Tensor {
        match &self.layers {
            Layers::Dense { decoder, .. } => forward(decoder, kind, z),
            Layers::Convolutional(network) => network.decode(kind, z),
        }
    }

    /// The loss of `x` `[N, O]` with standard normal `noise` `[N, Z]`. With `amp` the layers compute in bfloat16
    /// and everything else in float32.
    #[must_use]
    pub fn loss(&self, x: &Tensor, noise: &Tensor, kl_weight: f64, kl_tolerance: f64, amp: bool) -> VaeLoss {
        let kind = super::nets::layer_kind(amp);
        let (mean, log_var) = self.encode_in(kind, x);
        let z = &mean + (&log_var * 0.5).exp() * noise;
        let per_obs = |t: Tensor| t.sum_dim_intlist(1, false, Kind::Float);
        let errors = (self.decode_in(kind, &z) - x).square();
        let errors = self.weights.as_ref().map_or_else(|| errors.shallow_clone(), |weights| &errors * weights);
        let errors = self.contrast.as_ref().map_or_else(|| errors.shallow_clone(), |contrast| contrast.weigh(&errors, x));
        let reconstruction = per_obs(errors).mean(Kind::Float);
        let kl = kl_divergence(&mean, &log_var); // [N]
        let free = kl_tolerance * self.shape.latent as f64;
        let total = &reconstruction + kl.clamp_min(free).mean(Kind::Float) * kl_weight;
        VaeLoss { reconstruction, kl: kl.mean(Kind::Float), total }
    }
}

/// KL(N(mean, e^log_var) ‖ N(0, 1)) = −½ Σ (1 + log σ² − µ² − σ²), `[N, Z]` → `[N]` (Kingma & Welling 2014, appendix B).
pub fn kl_divergence(mean: &Tensor, log_var: &Tensor) -> Tensor {
    (log_var + 1.0 - mean.square() - log_var.exp()).sum_dim_intlist(1, false, Kind::Float) * -0.5
}

/// Dense layers under `root`, with an encoder where it is `encoded`.
fn dense(root: &nn::Path, shape: &VaeShape, hidden: &[usize], encoded: bool, alive: &[bool], rng: Philox) -> Layers {
    let (e, d) = (root / "encoder", root / "decoder");
    // 0, 2, 4 …: PyTorch's nn.Sequential counts the ReLUs between them.
    let layers = |path: &nn::Path, sizes: &[usize]| -> Vec<nn::Linear> {
        let layer = |(i, ends): (usize, &[usize])| linear(&(path / (2 * i)), ends[0] as i64, ends[1] as i64, rng);
        sizes.windows(2).enumerate().map(layer).collect()
    };
    let sizes = [&[2 * shape.latent][..], &hidden.iter().rev().copied().collect::<Vec<_>>(), &[shape.obs]].concat();
    let encoder = encoded.then(|| layers(&e, &sizes.iter().rev().copied().collect::<Vec<_>>()));
    let decoder = layers(&d, &[&[shape.latent], &sizes[1..]].concat());
    let mask: Vec<f32> = alive.iter().map(|&a| f32::from(u8::from(a))).collect();
    let mask = Tensor::from_slice(&mask).to_device(root.device()); // [O]
    let last = &decoder[decoder.len() - 1];
    tch::no_grad(|| {
        if let Some(encoder) = &encoder {
            let _ = encoder[0].ws.shallow_clone().g_mul_(&mask);
        }
        let _ = last.ws.shallow_clone().g_mul_(&mask.unsqueeze(1));
        if let Some(bias) = &last.bs {
            let _ = bias.shallow_clone().g_mul_(&mask);
        }
    });
    Layers::Dense { encoder, decoder }
}

/// Linear, ReLU, linear …, ReLU, linear, in numbers of `kind`; the result is float32.
fn forward(layers: &[nn::Linear], kind: Kind, x: &Tensor) -> Tensor {
    let mut out = x.to_kind(kind);
    for (i, layer) in layers.iter().enumerate() {
        out = super::nets::forward(layer, kind, &if i == 0 { out } else { out.relu() });
    }
    out.to_kind(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::nets::{export, matrix, normals, to_vec};
    use dreamstep_core::names::checkpoint as names;
    use dreamstep_core::rng::Stream;
    use tch::Device;

    fn shape() -> VaeShape {
        VaeShape { obs: 6, layers: VaeLayers::Mlp(vec![5, 4]), latent: 3, log_var_range: [-10.0, 10.0] }
    }

    fn noise(step: u64, n: usize, columns: usize) -> Tensor {
        matrix(&normals(Philox::new(9), Stream::VaeNoise, step, n * columns), columns, Device::Cpu)
    }

    #[test]
    fn variables_have_the_checkpoints_names_and_shapes() {
        let vs = nn::VarStore::new(Device::Cpu);
        let _ = Vae::new(&vs.root(), shape(), &[true; 6], Philox::new(0));
        let found = export(&vs).unwrap();
        let of = |encoder: [&'static str; 5], decoder: [&'static str; 5]| [&encoder[..3], &decoder[..3]].concat();
        let weights = of(names::ENCODER_WEIGHT, names::DECODER_WEIGHT).into_iter();
        for (name, shape) in weights.zip([[5, 6], [4, 5], [6, 4], [4, 3], [5, 4], [6, 5]]) {
            assert_eq!(found[name].shape, shape, "{name}");
        }
        for (name, n) in of(names::ENCODER_BIAS, names::DECODER_BIAS).into_iter().zip([5, 4, 6, 4, 5, 6]) {
            assert_eq!(found[name].shape, [n], "{name}");
        }
        assert_eq!(found.len(), 12);
    }

    #[test]
    fn every_parameter_gets_a_gradient() {
        tch::set_num_threads(1);
        let vs = nn::VarStore::new(Device::Cpu);
        let vae = Vae::new(&vs.root(), shape(), &[true; 6], Philox::new(0));
        vae.loss(&noise(0, 32, 6), &noise(1, 32, 3), 1.0, 0.0, false).total.backward();
        for (name, v) in vs.variables() {
            assert!(v.grad().defined() && v.grad().abs().max().double_value(&[]) > 0.0, "{name} gets no gradient");
        }
    }

    #[test]
    fn dead_dimensions_do_not_count() {
        let vs = nn::VarStore::new(Device::Cpu);
        let alive = [true, false, true, true, false, true];
        let vae = Vae::new(&vs.root(), shape(), &alive, Philox::new(0));
        let x = noise(0, 8, 6) * Tensor::from_slice(&alive.map(|a| f32::from(u8::from(a))));
        let loss = vae.loss(&x, &noise(1, 8, 3), 1.0, 0.0, false);
        loss.total.backward();
        let decoded = vae.decode(&noise(2, 8, 3));
        let rows = vs.variables()["decoder.4.weight"].grad();
        for (k, alive) in alive.into_iter().enumerate() {
            let zero = |t: Tensor| t.abs().max().double_value(&[]) == 0.0;
            assert_eq!(zero(decoded.select(1, k as i64)), !alive, "dimension {k}");
            assert_eq!(zero(rows.select(0, k as i64)), !alive, "dimension {k}");
        }
    }

    #[test]
    fn what_weighs_nothing_is_not_learnt() {
        let vs = nn::VarStore::new(Device::Cpu);
        let vae = Vae::new(&vs.root(), shape(), &[true; 6], Philox::new(0));
        let (x, z) = (noise(0, 8, 6), noise(1, 8, 3));
        let plain = vae.loss(&x, &z, 1.0, 0.0, false).reconstruction.double_value(&[]);
        let twice = vae.weighed(Tensor::from_slice(&[2.0_f32; 6]));
        assert!((twice.loss(&x, &z, 1.0, 0.0, false).reconstruction.double_value(&[]) - 2.0 * plain).abs() < 1e-5);
        let vae = twice.weighed(Tensor::from_slice(&[1.0_f32, 1.0, 0.0, 1.0, 1.0, 1.0]));
        vae.loss(&x, &z, 1.0, 0.0, false).total.backward();
        let rows = vs.variables()["decoder.4.weight"].grad();
        for k in 0..6 {
            assert_eq!(rows.select(0, k).abs().max().double_value(&[]) == 0.0, k == 2, "dimension {k}");
        }
    }

    #[test]
    fn a_pixel_weighs_by_its_distance_from_the_mean_frame() {
        let vs = nn::VarStore::new(Device::Cpu);
        let vae = Vae::new(&vs.root(), shape(), &[true; 6], Philox::new(0));
        // Two pixels of three channels: the frames differ in the second one alone, by 0.5 either side of their mean.
        let x = Tensor::from_slice(&[0.2_f32, 0.4, 0.6, 0.0, 0.5, 0.0, 0.2, 0.4, 0.6, 1.0, 0.5, 1.0]).view([2, 6]);
        let z = noise(1, 2, 3);
        let (mean, log_var) = vae.encode(&x);
        let errors = (vae.decode(&(mean + (log_var * 0.5).exp() * &z)) - &x).square();
        let of = |pixel: i64| errors.narrow(1, 3 * pixel, 3).sum(Kind::Float).double_value(&[]) / 2.0;
        let expected = of(0) + of(1) * (1.0 + 4.0 * (0.25 + 0.25));
        let found = vae.contrasted(&x, 3, 4.0).loss(&x, &z, 1.0, 0.0, false).reconstruction.double_value(&[]);
        assert!((found - expected).abs() < 1e-5, "expected {expected}, found {found}");
    }

    #[test]
    fn as_identity_z_is_what_is_seen_and_z_is_decoded_as_it_is() {
        for hidden in [vec![9, 7], vec![8], vec![7, 8, 9, 7]] {
            let shape = VaeShape { layers: VaeLayers::Identity(hidden), latent: 6, ..shape() };
            let vs = nn::VarStore::new(Device::Cpu);
            let vae = Vae::new(&vs.root(), shape, &[true; 6], Philox::new(0));
            let x = (noise(0, 50, 6) * 3.0).clamp(-10.0, 10.0);
            let far = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
            let (mean, log_var) = vae.encode(&x);
            assert_eq!((far(&mean, &x), log_var.max().double_value(&[])), (0.0, -10.0));
            assert!(far(&vae.decode(&x), &x) > 0.1, "not before");
            vae.decode_as_it_is(10.0).unwrap();
            assert!(far(&vae.decode(&x), &x) < 1e-5);
            vae.loss(&x, &noise(1, 50, 6), 1.0, 0.0, false).total.backward();
            for (name, v) in vs.variables() {
                assert!(name.starts_with("decoder") && v.requires_grad() && v.grad().defined(), "{name}");
            }
        }
        // More latents than observations, too few units.
        for (latent, hidden) in [(7, vec![9, 7]), (6, vec![9, 5])] {
            let vs = nn::VarStore::new(Device::Cpu);
            let shape = VaeShape { layers: VaeLayers::Identity(hidden.clone()), latent, ..shape() };
            let vae = Vae::new(&vs.root(), shape, &[true; 6], Philox::new(0));
            let error = vae.decode_as_it_is(10.0).unwrap_err().to_string();
            assert!(error.contains("at most 6") && error.contains(&format!("{latent} and {hidden:?}")), "{error}");
        }
    }

    #[test]
    fn layers_are_as_many_as_there_are_widths() {
        for hidden in [vec![5], vec![5, 4], vec![5, 4, 7], vec![2, 3, 4, 5]] {
            let vs = nn::VarStore::new(Device::Cpu);
            let vae = Vae::new(
                &vs.root(),
                VaeShape { layers: VaeLayers::Mlp(hidden.clone()), ..shape() },
                &[true; 6],
                Philox::new(0),
            );
            let sizes = [&[6][..], &hidden, &[6]].concat();
            let found = export(&vs).unwrap();
            for (i, name) in names::ENCODER_WEIGHT.into_iter().enumerate().take(hidden.len() + 1) {
                assert_eq!(found[name].shape, [sizes[i + 1], sizes[i]], "{name}");
            }
            assert_eq!(found.len(), 4 * (hidden.len() + 1));
            assert_eq!(vae.decode(&vae.encode(&noise(0, 8, 6)).0).size(), [8, 6]);
        }
    }

    #[test]
    fn the_kl_formula_agrees_with_numerical_integration() {
        let cases = [(0.0_f32, 0.0_f32), (1.5, -2.0), (-0.3, 0.8)];
        for (mean, log_var) in cases {
            // ∫ q ln(q/p) by the midpoint rule over ± 12 standard deviations.
            let (m, s) = (f64::from(mean), (0.5 * f64::from(log_var)).exp());
            let density = |x: f64, m: f64, s: f64| (-0.5 * ((x - m) / s).powi(2)).exp() / (s * std::f64::consts::TAU.sqrt());
            let step = 24.0 * s / 1e5;
            let integral: f64 = (0..100_000)
                .map(|i| {
                    let x = m - 12.0 * s + (f64::from(i) + 0.5) * step;
                    let q = density(x, m, s);
                    if q > 0.0 { q * (q.ln() - density(x, 0.0, 1.0).ln()) * step } else { 0.0 }
                })
                .sum();
            let kl = kl_divergence(&matrix(&[mean, 0.0], 2, Device::Cpu), &matrix(&[log_var, 0.0], 2, Device::Cpu));
            let kl = f64::from(to_vec(&kl).unwrap()[0]);
            assert!((kl - integral).abs() < 1e-5, "KL({mean}, {log_var}): expected {integral}, found {kl}");
        }
    }

    #[test]
    fn free_nats_are_not_charged_and_their_gradient_is_0() {
        let vs = nn::VarStore::new(Device::Cpu);
        let vae = Vae::new(&vs.root(), shape(), &[true; 6], Philox::new(0));
        let loss = vae.loss(&noise(0, 8, 6), &noise(1, 8, 3), 2.0, 100.0, false);
        let [total, reconstruction] = [&loss.total, &loss.reconstruction].map(|t| t.double_value(&[]));
        assert!((total - reconstruction - 600.0).abs() < 1e-3);
    }

    #[test]
    fn layers_in_bfloat16_give_a_loss_and_gradients_near_those_in_float32() {
        tch::set_num_threads(1);
        let vs = nn::VarStore::new(Device::Cpu);
        let vae = Vae::new(&vs.root(), shape(), &[true; 6], Philox::new(0));
        let gradients = |amp: bool| {
            let loss = vae.loss(&noise(0, 64, 6), &noise(1, 64, 3), 1.0, 0.0, amp);
            assert_eq!(loss.total.kind(), Kind::Float);
            vs.variables().values_mut().for_each(Tensor::zero_grad);
            loss.total.backward();
            let weight = vs.variables()["encoder.0.weight"].grad().copy();
            (loss.total.double_value(&[]), weight)
        };
        let ((full, a), (half, b)) = (gradients(false), gradients(true));
        assert!(full != half, "bfloat16 rounds");
        assert!((full - half).abs() < 0.02 * full, "{full} {half}");
        assert_eq!(b.kind(), Kind::Float, "weights and what moves them stay float32");
        assert!((&a - &b).norm().double_value(&[]) < 0.05 * a.norm().double_value(&[]));
    }
}
