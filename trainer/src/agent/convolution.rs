//! V's convolutional kind (Ha & Schmidhuber 2018 §A.1, as TorchWM and ctallec have it): its shape, and its two halves on the host, which are
//! the runtime's.
//!
//! ```text
//! x [h, w, c] ─conv ReLU─ … ─▶ flattened (c, y, x) [F] ─ fc_mu ─▶ mean [Z],  ─ fc_logsigma ─▶ log σ [Z]
//! z [Z] ─fc1 ReLU─▶ start map [h, w, c] ─transposed conv ReLU─ … ─transposed conv sigmoid─▶ x̂ [h, w, c]
//! ```
//! In metadata the encoder is `32:4:2:0,64:4:2:0,…`, channels:kernel:stride:padding of each convolution; the decoder is its start map,
//! then its transposed convolutions: `1x1x1024,128:5:2:0,…`.

use super::controller;
use crate::run::checkpoint::Checkpoint;
use anyhow::{Context, Result, anyhow, ensure};
use dreamstep_core::action::Action;
use dreamstep_core::c::{Controller, ControllerInput};
use dreamstep_core::dims::Dims;
use dreamstep_core::m::Memory;
use dreamstep_core::names::checkpoint as names;
use dreamstep_core::obs::{Image, Observation};
use dreamstep_core::pack::{AlignedBytes, Parts, Tensors, pack};
use dreamstep_core::schema::Settings;
use dreamstep_core::v::{Convolution, Convolutions, Decoder, Encoder};
use dreamstep_runtime::{Agent, Model, memory_len};
use std::collections::BTreeMap;

/// Height, width and channels.
pub type Map = [usize; 3];

/// Sizes of a convolutional V, all within the runtime's limits: every map is as its layers make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// What V sees.
    pub frame: Map,
    /// Of the encoder, each followed by ReLU.
    pub encoder: Convolutions,
    /// Its transposed convolutions have ReLU after each, after the last one a sigmoid. None where there is only the encoder.
    pub decoder: Option<Decoder>,
}

impl Chain {
    /// A V of frames `frame`, of the texts that metadata have. Where `decoder` is empty it is the encoder backwards, with kernels by which
    /// each map becomes as large as the one it stands for.
    ///
    /// # Errors
    /// One line: what was expected of the layers, and what was found.
    pub fn new(frame: Map, encoder: &str, decoder: &str) -> Result<Self> {
        if !decoder.is_empty() {
            return Self::parse(frame, encoder, Some(decoder));
        }
        let backwards = mirror(frame, Self::parse(frame, encoder, None)?.encoder)?;
        Self::parse(frame, encoder, Some(&backwards))
    }

    /// Of the metadata's texts; without `decoder` there is none. A last layer of no channels has those of the frame.
    ///
    /// # Errors
    /// One line: what was expected of the layers, and what was found.
    pub fn parse(frame: Map, encoder: &str, decoder: Option<&str>) -> Result<Self> {
        let chain = parse_encoder(encoder)?;
        chain.check(frame).with_context(|| format!("{encoder} on {}", text(frame)))?;
        let decoder = decoder.map(|layers| {
            let decoder = parse_decoder(layers, frame[2])?;
            let made = decoder.map(decoder.chain.len());
            decoder.check(frame).with_context(|| format!("{layers}: expected {}, found {}", text(frame), text(made)))?;
            Ok::<_, anyhow::Error>(decoder)
        });
        Ok(Self { frame, encoder: chain, decoder: decoder.transpose()? })
    }

    /// `F`: numbers that the encoder's heads read.
    #[must_use]
    pub fn features(&self) -> usize {
        self.encoder.map(self.frame, self.encoder.len()).iter().product()
    }

    /// The layers of both halves by their names in a checkpoint, and the shapes of their weights.
    #[must_use]
    pub fn layers(&self, latent: usize) -> Vec<(String, Vec<usize>)> {
        let mut all = Vec::new();
        for (i, layer) in self.encoder.iter().enumerate() {
            let [_, _, inputs] = self.encoder.map(self.frame, i);
            all.push((format!("encoder.conv{}", i + 1), vec![layer.channels, inputs, layer.kernel, layer.kernel]));
        }
        all.extend(HEADS.map(|head| (head.to_string(), vec![latent, self.features()])));
        let Some(decoder) = self.decoder else { return all };
        all.push(("decoder.fc1".into(), vec![decoder.start().iter().product(), latent]));
        for (i, layer) in decoder.chain.iter().enumerate() {
            let [_, _, inputs] = decoder.map(i);
            all.push((format!("decoder.deconv{}", i + 1), vec![inputs, layer.channels, layer.kernel, layer.kernel]));
        }
        all
    }
}

/// Names of the encoder's heads: mean and log σ.
pub const HEADS: [&str; 2] = ["encoder.fc_mu", "encoder.fc_logsigma"];

/// The decoder that goes the way of `encoder` on `frame` back.
fn mirror(frame: Map, encoder: Convolutions) -> Result<String> {
    let [h, w, c] = encoder.map(frame, encoder.len());
    let mut all = format!("{h}x{w}x{c}");
    for (i, Convolution { stride, padding, .. }) in encoder.iter().enumerate().collect::<Vec<_>>().into_iter().rev() {
        let (small, large) = (encoder.map(frame, i + 1), encoder.map(frame, i));
        // (n − 1)·stride + kernel − 2·padding = N
        let kernel = |axis: usize| (large[axis] + 2 * padding).saturating_sub((small[axis] - 1) * stride);
        ensure!(
            kernel(0) == kernel(1),
            "decoder: expected one kernel that makes {} of {} at stride {stride}, found {} by height and {} by width; name the layers of the \
             decoder",
            text(large),
            text(small),
            kernel(0),
            kernel(1)
        );
        all += &format!(",{}:{}:{stride}:{padding}", large[2], kernel(0));
    }
    Ok(all)
}

/// The encoder's layers.
///
/// # Errors
/// One line: what was expected, and what was found.
pub fn parse_encoder(text: &str) -> Result<Convolutions> {
    Convolutions::parse(text).with_context(|| format!("expected {LAYERS}, found {text:?}"))
}

/// The decoder's start map and layers, the last of which has as many channels as a frame where it says 0.
///
/// # Errors
/// One line: what was expected, and what was found.
pub fn parse_decoder(text: &str, channels: usize) -> Result<Decoder> {
    let (others, last) = text.rsplit_once(',').unwrap_or(("", text));
    let said = last.strip_prefix("0:").map(|rest| format!("{others},{channels}:{rest}"));
    let decoder = Decoder::parse(said.as_deref().unwrap_or(text));
    decoder.with_context(|| format!("expected a map such as 1x1x1024, then {LAYERS}, found {text:?}"))
}

/// What is expected of layers.
const LAYERS: &str = "channels:kernel:stride:padding of one to six convolutions, channels of 1 to 4096, a kernel of at most 16, a stride no \
                      larger, less padding than that";

/// `64x64x3`
fn text([h, w, c]: Map) -> String {
    format!("{h}x{w}x{c}")
}

/// V's two halves as a packed file, which the runtime computes: an agent of nothing but V, whose latent has the log-variances behind the
/// means, `[2Z]`. Its decoder reads the means.
#[derive(Debug)]
pub struct Halves {
    bytes: AlignedBytes,
    latent: usize,
}

impl Halves {
    /// Packs V's checkpoint.
    ///
    /// # Errors
    /// One line naming the file and the tensor that is missing or wrong.
    pub fn read(file: &Checkpoint, chain: &Chain, latent: usize) -> Result<Self> {
        let mut tensors = Tensors::new();
        for (name, shape) in chain.layers(latent) {
            let outputs = if name.starts_with("decoder.deconv") { shape[1] } else { shape[0] };
            for (name, shape) in [(format!("{name}.weight"), shape), (format!("{name}.bias"), vec![outputs])] {
                let values = file.tensor(&name, &shape)?.to_vec();
                tensors.insert(name, (shape, values));
            }
        }
        for kind in ["weight", "bias"] {
            let [mean, log_sigma] = HEADS.map(|head| format!("{head}.{kind}"));
            let log_sigma = tensors.remove(&log_sigma).unwrap_or_default().1;
            let (shape, values) = tensors.entry(mean).or_default();
            shape[0] = 2 * latent;
            values.extend(log_sigma.into_iter().map(|v| 2.0 * v));
        }
        if let Some((shape, values)) = tensors.get_mut(names::DECODER_FC[0]) {
            shape[1] = 2 * latent;
            *values = values.chunks(latent).flat_map(|row| [row, &vec![0.0; latent]].concat()).collect();
        }
        let dims = Dims::new(
            Observation::Image(Image::plain(chain.frame)),
            Encoder::Conv { convolutions: chain.encoder, latent: 2 * latent },
            Memory::None,
            Controller::linear(ControllerInput::Latent),
            Action::Continuous { len: 1 },
        );
        let zeros = vec![0.0; controller::len(&dims)];
        for (name, shape, values) in controller::tensors(&dims, &zeros) {
            tensors.insert(name.into(), (shape, values.to_vec()));
        }
        let mut settings = Settings::new(dims);
        settings.decoder = chain.decoder;
        let provenance = BTreeMap::new();
        let (action_mid, action_half): (&[f32], &[f32]) = (&[0.0], &[1.0]);
        let tensors = &tensors;
        let parts =
            Parts { tensors, settings, action_mid, action_half, selftest: None, frames: &[], provenance: &provenance };
        let packed = pack(&parts).map_err(|error| anyhow!("{}: {error}", file.origin))?;
        Ok(Self { bytes: AlignedBytes::new(&packed), latent })
    }

    fn model(&self) -> Result<Model<'_>> {
        Model::load(&self.bytes).map_err(|error| anyhow!("V: {error}"))
    }

    /// Frames `[h, w, c]`, in numbers from 0 to 255 → mean and log-variance `[Z]` of each.
    ///
    /// # Errors
    /// A frame has another length, or numbers that no byte is.
    pub fn encode(&self, frames: impl IntoIterator<Item = impl AsRef<[f32]>>) -> Result<Vec<[Vec<f32>; 2]>> {
        let model = self.model()?;
        let mut memory = vec![0.0; memory_len(model.dims())];
        let mut agent = Agent::new(model, &mut memory)?;
        let mut one = |frame: &[f32]| {
            agent.act_in_place(frame)?;
            let (mean, log_var) = agent.latent().split_at(self.latent);
            Ok([mean.to_vec(), log_var.to_vec()])
        };
        frames.into_iter().map(|frame| one(frame.as_ref())).collect()
    }

    /// Latents `[Z]` → the frame `[h, w, c]` that each stands for, in bytes.
    ///
    /// # Errors
    /// A latent has another length, or V has no decoder.
    pub fn decode(&self, latents: &[Vec<f32>]) -> Result<Vec<Vec<u8>>> {
        let model = self.model()?;
        let decoder = model.decoder().context("V: expected a decoder, found none")?;
        let mut memory = vec![0.0; decoder.memory_len()];
        let one = |latent: &Vec<f32>| {
            ensure!(latent.len() == self.latent, "V: expected a latent of {}, found {}", self.latent, latent.len());
            let mut picture = vec![0; model.dims().obs_len()];
            decoder.decode(&[&latent[..], &vec![0.0; self.latent]].concat(), &mut memory, &mut picture)?;
            Ok(picture)
        };
        latents.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESET: &str = "32:4:2:0,64:4:2:0,128:4:2:0,256:4:2:0";
    const DECODER: &str = "1x1x1024,128:5:2:0,64:5:2:0,32:6:2:0,0:6:2:0";

    #[test]
    fn the_papers_network_is_written_and_read_back() {
        let chain = Chain::new([64, 64, 3], PRESET, DECODER).unwrap();
        assert_eq!((chain.encoder, chain.decoder, chain.features()), (Convolutions::PAPER, Some(Decoder::paper(3)), 1024));
        let decoder = chain.decoder.unwrap().to_string();
        assert_eq!(decoder, "1x1x1024,128:5:2:0,64:5:2:0,32:6:2:0,3:6:2:0");
        assert_eq!(Chain::parse([64, 64, 3], &chain.encoder.to_string(), Some(&decoder)).unwrap(), chain);
        // The paper has 4,348,547 with its biases.
        let weights: usize = chain.layers(32).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        let biases = 32 + 64 + 128 + 256 + 32 + 32 + 1024 + 128 + 64 + 32 + 3;
        assert_eq!(weights + biases, 4_348_547);
        let blind = Chain::parse([64, 64, 3], PRESET, None).unwrap();
        assert_eq!((blind.decoder, blind.encoder, blind.layers(32).len()), (None, chain.encoder, 6));
    }

    #[test]
    fn a_decoder_that_is_not_named_makes_the_same_maps_backwards() {
        for (frame, layers) in [([64, 64, 1], PRESET), ([33, 33, 3], "8:5:2:1,16:3:2:1")] {
            let chain = Chain::new(frame, layers, "").unwrap();
            let (decoder, n) = (chain.decoder.unwrap(), chain.encoder.len());
            assert_eq!(decoder.chain.len(), n);
            for i in 0..=n {
                assert_eq!(decoder.map(i), chain.encoder.map(frame, n - i));
            }
        }
        let error = Chain::new([33, 64, 3], "32:4:2:0", "").unwrap_err().to_string();
        assert!(error.contains("found 5 by height and 4 by width"), "{error}");
    }

    #[test]
    fn layers_that_do_not_fit_are_refused_in_one_line() {
        let seven = ["1:1:1:0"; 7].join(",");
        for (frame, encoder, decoder, part) in [
            ([32, 32, 3], PRESET, DECODER, "on 32x32x3: metadata `v.convolutions`: expected kernels no larger than"),
            ([64, 64, 3], PRESET, "1x1x64,3:6:2:0", "1x1x64,3:6:2:0: expected 64x64x3, found 6x6x3"),
            ([64, 64, 3], PRESET, "1x1x64,3:2:1:1", "paddings smaller than what is made"),
            ([64, 64, 3], &seven, "", "one to six convolutions"),
            ([64, 64, 3], "8:3:0:0", DECODER, "a stride no larger, less padding than that, found \"8:3:0:0\""),
            ([64, 64, 3], "8:3:1:3", DECODER, "found \"8:3:1:3\""),
            ([64, 64, 3], "8:17:2:0", DECODER, "a kernel of at most 16"),
            ([64, 64, 3], "", DECODER, "channels:kernel:stride:padding"),
            ([64, 64, 3], "32:4:2:x", DECODER, "channels:kernel:stride:padding"),
            ([64, 64, 3], PRESET, "31x31,3:4:2:0", "a map such as 1x1x1024"),
        ] {
            let error = format!("{:#}", Chain::new(frame, encoder, decoder).unwrap_err());
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
    }
}
