//! V's convolutional kind (Ha & Schmidhuber 2018 §A.1, as TorchWM and ctallec have it): its shape, and its two halves on the host.
//!
//! ```text
//! x [h, w, c] ─conv ReLU─ … ─▶ flattened (c, y, x) [F] ─ fc_mu ─▶ mean [Z],  ─ fc_logsigma ─▶ log σ [Z]
//! z [Z] ─fc1 ReLU─▶ start map [h, w, c] ─transposed conv ReLU─ … ─transposed conv sigmoid─▶ x̂ [h, w, c]
//! ```
//! In metadata the encoder is `32:4:2:0,64:4:2:0,…`, channels:kernel:stride:padding of each convolution; the decoder is its start map,
//! then its transposed convolutions: `1x1x1024,128:5:2:0,…`.
//!
//! On the host a convolution is one product of matrices, its windows' rows by its weights; sums are taken in `f64`.

use crate::run::checkpoint::Checkpoint;
use anyhow::{Context, Result, bail, ensure};
use dreamstep_core::v::conv::{Convolution, MAX_CONVOLUTIONS, MAX_KERNEL};
use ndarray::{Array1, Array2, ArrayView2};

/// Height, width and channels.
pub type Map = [usize; 3];

/// The map that `layer` makes of one of `[h, w, c]`; none where its kernel does not fit in.
fn convolved(layer: Convolution, [h, w, _]: Map) -> Option<Map> {
    let map = [layer.output(h), layer.output(w), layer.channels];
    map.iter().all(|&size| size > 0).then_some(map)
}

/// The map that `layer` makes transposed; none where nothing is left of it.
fn transposed(layer: Convolution, [h, w, _]: Map) -> Option<Map> {
    let side = |n: usize| {
        let side = ((n.checked_sub(1)?) * layer.stride + layer.kernel).checked_sub(2 * layer.padding)?;
        (side > 0).then_some(side)
    };
    Some([side(h)?, side(w)?, layer.channels])
}

fn layer_text(layer: Convolution) -> String {
    let Convolution { channels, kernel, stride, padding } = layer;
    format!("{channels}:{kernel}:{stride}:{padding}")
}

fn parse_layer(text: &str) -> Option<Convolution> {
    let numbers: Vec<usize> = text.split(':').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let [channels, kernel, stride, padding] = numbers.try_into().ok()?;
    Some(Convolution { channels, kernel, stride, padding })
}

/// Sizes of a convolutional V: every map is as its layers make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// What V sees.
    pub frame: Map,
    /// Of the encoder, each followed by ReLU.
    pub encoder: Vec<Convolution>,
    /// What the decoder's transposed convolutions begin with; nothing in it where there is no decoder.
    pub start: Map,
    /// The decoder's transposed convolutions: ReLU after each, after the last one a sigmoid.
    pub decoder: Vec<Convolution>,
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
        let mut chain = Self::parse(frame, encoder, None)?;
        (chain.start, chain.decoder) = chain.mirror(&chain.maps()?)?;
        chain.check_decoder()?;
        Ok(chain)
    }

    /// Of the metadata's texts; without `decoder` there is none. A last layer of no channels has those of the frame.
    ///
    /// # Errors
    /// One line: what was expected of the layers, and what was found.
    pub fn parse(frame: Map, encoder: &str, decoder: Option<&str>) -> Result<Self> {
        let mut chain = Self { frame, encoder: parse_encoder(encoder)?, start: [0; 3], decoder: Vec::new() };
        chain.maps()?;
        let Some(decoder) = decoder else { return Ok(chain) };
        (chain.start, chain.decoder) = parse_decoder(decoder)?;
        if let Some(last) = chain.decoder.last_mut().filter(|last| last.channels == 0) {
            last.channels = frame[2];
        }
        chain.check_decoder()?;
        Ok(chain)
    }

    /// The encoder in metadata.
    #[must_use]
    pub fn encoder_text(&self) -> String {
        self.encoder.iter().copied().map(layer_text).collect::<Vec<_>>().join(",")
    }

    /// The decoder in metadata; none where there is no decoder.
    #[must_use]
    pub fn decoder_text(&self) -> Option<String> {
        let [h, w, c] = self.start;
        let layers = self.decoder.iter().copied().map(layer_text);
        let all = std::iter::once(format!("{h}x{w}x{c}")).chain(layers).collect::<Vec<_>>().join(",");
        (!self.decoder.is_empty()).then_some(all)
    }

    /// The frame, and the map that each of the encoder's layers makes.
    ///
    /// # Errors
    /// One line: too many layers, an empty one, or one whose kernel is larger than its map.
    pub fn maps(&self) -> Result<Vec<Map>> {
        check(&self.encoder, "encoder")?;
        let mut maps = vec![self.frame];
        for (i, layer) in self.encoder.iter().enumerate() {
            let map = maps[i];
            let next = convolved(*layer, map);
            maps.push(next.with_context(|| {
                let number = i + 1;
                format!(
                    "convolution {number}, {}: expected a kernel that fits into {}, found {}",
                    layer_text(*layer),
                    text(map),
                    layer.kernel
                )
            })?);
        }
        Ok(maps)
    }

    /// `F`: numbers that the encoder's heads read.
    #[must_use]
    pub fn features(&self) -> usize {
        self.maps().map_or(0, |maps| maps[maps.len() - 1].iter().product())
    }

    /// Weights of both halves, biases left out.
    #[must_use]
    pub fn weights(&self, latent: usize) -> usize {
        let chain = |first: usize, layers: &[Convolution]| -> usize {
            let inputs = std::iter::once(first).chain(layers.iter().map(|layer| layer.channels));
            inputs.zip(layers).map(|(inputs, layer)| inputs * layer.channels * layer.kernel * layer.kernel).sum()
        };
        let heads = 2 * self.features() + self.start.iter().product::<usize>();
        let chains = chain(self.frame[2], &self.encoder) + chain(self.start[2], &self.decoder);
        chains.saturating_add(heads.saturating_mul(latent))
    }

    fn check_decoder(&self) -> Result<()> {
        check(&self.decoder, "decoder")?;
        ensure!(
            self.start.iter().all(|&size| size > 0),
            "decoder: expected a start map of sizes above 0, found {}",
            text(self.start)
        );
        let mut map = self.start;
        for (i, layer) in self.decoder.iter().enumerate() {
            let number = i + 1;
            let none = || {
                format!(
                    "transposed convolution {number}, {}: expected to make a map of {}, found none",
                    layer_text(*layer),
                    text(map)
                )
            };
            map = transposed(*layer, map).with_context(none)?;
        }
        ensure!(
            map == self.frame,
            "decoder: expected layers that make the frame, {}, found {} from {}",
            text(self.frame),
            text(map),
            text(self.start)
        );
        Ok(())
    }

    /// The decoder that goes the encoder's way back.
    fn mirror(&self, maps: &[Map]) -> Result<(Map, Vec<Convolution>)> {
        let mut layers = Vec::new();
        for (i, layer) in self.encoder.iter().enumerate().rev() {
            let (small, large) = (maps[i + 1], maps[i]);
            // (n − 1)·stride + kernel − 2·padding = N
            let kernel = |axis: usize| (large[axis] + 2 * layer.padding).saturating_sub((small[axis] - 1) * layer.stride);
            ensure!(
                kernel(0) == kernel(1),
                "decoder: expected one kernel that makes {} of {} at stride {}, found {} by height and {} by width; name the layers of the \
                 decoder",
                text(large),
                text(small),
                layer.stride,
                kernel(0),
                kernel(1)
            );
            layers.push(Convolution { channels: large[2], kernel: kernel(0), ..*layer });
        }
        Ok((maps[maps.len() - 1], layers))
    }
}

fn check(layers: &[Convolution], what: &str) -> Result<()> {
    ensure!(
        (1..=MAX_CONVOLUTIONS).contains(&layers.len()),
        "{what}: expected one to {MAX_CONVOLUTIONS} layers, found {}",
        layers.len()
    );
    for layer in layers {
        let Convolution { channels, kernel, stride, padding } = *layer;
        let kernels = 1..=MAX_KERNEL;
        if channels == 0 || !kernels.contains(&kernel) || !(1..=kernel).contains(&stride) || padding >= kernel {
            bail!(
                "{what}: expected channels above 0, a kernel of at most {MAX_KERNEL}, a stride no larger and padding below the kernel, found {} \
                 (channels:kernel:stride:padding)",
                layer_text(*layer)
            );
        }
    }
    Ok(())
}

/// The encoder's layers.
///
/// # Errors
/// One line: what was expected, and what was found.
pub fn parse_encoder(text: &str) -> Result<Vec<Convolution>> {
    layers(text).with_context(|| format!("expected channels:kernel:stride:padding of each layer, found {text:?}"))
}

/// The decoder's start map and layers.
///
/// # Errors
/// One line: what was expected, and what was found.
pub fn parse_decoder(text: &str) -> Result<(Map, Vec<Convolution>)> {
    let parsed = || {
        let (start, rest) = text.split_once(',')?;
        let start: Vec<usize> = start.split('x').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        Some((start.try_into().ok()?, layers(rest)?))
    };
    let expected =
        || format!("expected a map such as 1x1x1024, then channels:kernel:stride:padding of each layer, found {text:?}");
    parsed().with_context(expected)
}

fn layers(text: &str) -> Option<Vec<Convolution>> {
    text.split(',').map(parse_layer).collect()
}

/// `64x64x3`
fn text([h, w, c]: Map) -> String {
    format!("{h}x{w}x{c}")
}

/// Weight and bias of a layer.
#[derive(Clone, Debug)]
struct Layer {
    /// `[K, N]`
    weight: Array2<f64>,
    /// `[N]`
    bias: Array1<f64>,
}

impl Layer {
    /// `file`'s tensor `name`, whose `shape` `[N, …]` becomes columns, one an output; with `transposed` a `[K, N, …]` that stays as it is.
    fn read(file: &Checkpoint, name: &str, shape: &[usize], outputs: usize, transposed: bool) -> Result<Self> {
        let weight = file.tensor(&format!("{name}.weight"), shape)?.iter().map(|&w| f64::from(w)).collect();
        let bias = file.tensor(&format!("{name}.bias"), &[outputs])?.iter().map(|&b| f64::from(b)).collect();
        let rest = shape[1..].iter().product();
        let weight = Array2::from_shape_vec((shape[0], rest), weight)?;
        Ok(Self { weight: if transposed { weight } else { weight.reversed_axes() }, bias })
    }

    fn apply(&self, x: ArrayView2<f64>) -> Array2<f64> {
        x.dot(&self.weight) + &self.bias
    }
}

/// The encoder on the host.
#[derive(Clone, Debug)]
pub struct HostEncoder {
    chain: Chain,
    maps: Vec<Map>,
    layers: Vec<Layer>,
    /// Mean and log σ.
    heads: [Layer; 2],
}

impl HostEncoder {
    /// Reads it from V's checkpoint.
    ///
    /// # Errors
    /// One line naming the file and the tensor that is missing or wrong.
    pub fn read(file: &Checkpoint, chain: &Chain, latent: usize) -> Result<Self> {
        let maps = chain.maps()?;
        let layer = |(i, layer): (usize, &Convolution)| {
            let shape = [layer.channels, maps[i][2], layer.kernel, layer.kernel];
            Layer::read(file, &format!("encoder.conv{}", i + 1), &shape, layer.channels, false)
        };
        let layers = chain.encoder.iter().enumerate().map(layer).collect::<Result<_>>()?;
        let head = |name: &str| Layer::read(file, name, &[latent, chain.features()], latent, false);
        let heads = [head("encoder.fc_mu")?, head("encoder.fc_logsigma")?];
        Ok(Self { chain: chain.clone(), maps, layers, heads })
    }

    /// x `[h, w, c]` → mean and log σ `[Z]`.
    #[must_use]
    pub fn forward(&self, x: &[f64]) -> [Vec<f64>; 2] {
        let mut map = x.to_vec();
        for ((layer, shape), sizes) in self.layers.iter().zip(&self.chain.encoder).zip(self.maps.windows(2)) {
            let out = layer.apply(windows(&map, sizes[0], *shape, sizes[1]).view());
            map = out.into_iter().map(|v| v.max(0.0)).collect();
        }
        let [h, w, c] = self.maps[self.maps.len() - 1];
        // As PyTorch flattens: channel by channel.
        let flat = Array2::from_shape_fn((1, map.len()), |(_, i)| map[(i % (h * w)) * c + i / (h * w)]);
        self.heads.each_ref().map(|head| head.apply(flat.view()).into_iter().collect())
    }
}

/// Every window of `layer` over `x` `[h, w, c]`, a row each, `[pixels of out, c·kernel²]`: the inputs of one output, channel by channel.
fn windows(x: &[f64], [h, w, c]: Map, layer: Convolution, [rows, columns, _]: Map) -> Array2<f64> {
    let Convolution { kernel, stride, padding, .. } = layer;
    let mut all = Array2::zeros((rows * columns, c * kernel * kernel));
    for (pixel, mut window) in all.rows_mut().into_iter().enumerate() {
        let (y, x0) = (pixel / columns * stride, pixel % columns * stride);
        for ky in 0..kernel {
            let Some(iy) = (y + ky).checked_sub(padding).filter(|&iy| iy < h) else { continue };
            for kx in 0..kernel {
                let Some(ix) = (x0 + kx).checked_sub(padding).filter(|&ix| ix < w) else { continue };
                for channel in 0..c {
                    window[(channel * kernel + ky) * kernel + kx] = x[(iy * w + ix) * c + channel];
                }
            }
        }
    }
    all
}

/// The decoder on the host.
#[derive(Clone, Debug)]
pub struct HostDecoder {
    chain: Chain,
    start: Layer,
    layers: Vec<Layer>,
}

impl HostDecoder {
    /// Reads it from V's checkpoint.
    ///
    /// # Errors
    /// One line naming the file and the tensor that is missing or wrong.
    pub fn read(file: &Checkpoint, chain: &Chain, latent: usize) -> Result<Self> {
        let first: usize = chain.start.iter().product();
        let start = Layer::read(file, "decoder.fc1", &[first, latent], first, false)?;
        let mut channels = chain.start[2];
        let mut layers = Vec::new();
        for (i, layer) in chain.decoder.iter().enumerate() {
            let shape = [channels, layer.channels, layer.kernel, layer.kernel];
            layers.push(Layer::read(file, &format!("decoder.deconv{}", i + 1), &shape, layer.channels, true)?);
            channels = layer.channels;
        }
        Ok(Self { chain: chain.clone(), start, layers })
    }

    /// z `[Z]` → x `[h, w, c]`, between 0 and 1.
    ///
    /// # Errors
    /// The latent has another length.
    pub fn forward(&self, z: &[f64]) -> Result<Vec<f64>> {
        let expected = self.start.weight.nrows();
        ensure!(z.len() == expected, "V: expected a latent of {expected}, found {}", z.len());
        let flat = self.start.apply(ArrayView2::from_shape((1, z.len()), z)?);
        let mut sizes = self.chain.start;
        let [h, w, c] = sizes;
        let mut map: Vec<f64> = (0..h * w * c).map(|i| flat[[0, i % c * (h * w) + i / c]].max(0.0)).collect();
        for (i, (layer, shape)) in self.layers.iter().zip(&self.chain.decoder).enumerate() {
            let next = transposed(*shape, sizes).context("decoder: a layer makes no map")?;
            map = spread(&map, sizes, layer, *shape, next);
            sizes = next;
            match i + 1 == self.layers.len() {
                true => map.iter_mut().for_each(|v| *v = 1.0 / (1.0 + (-*v).exp())),
                false => map.iter_mut().for_each(|v| *v = v.max(0.0)),
            }
        }
        Ok(map)
    }
}

/// A transposed convolution: every input, times the kernel, is added where its window lies.
fn spread(x: &[f64], [h, w, c]: Map, layer: &Layer, shape: Convolution, [rows, columns, out]: Map) -> Vec<f64> {
    let Convolution { kernel, stride, padding, .. } = shape;
    let x = ArrayView2::from_shape((h * w, c), x).expect("a map is as large as its sizes say");
    let products = x.dot(&layer.weight); // [h·w, out·kernel²]
    let mut map: Vec<f64> = (0..rows * columns).flat_map(|_| layer.bias.iter().copied()).collect();
    for (pixel, window) in products.rows().into_iter().enumerate() {
        let (y, x0) = (pixel / w * stride, pixel % w * stride);
        for ky in 0..kernel {
            let Some(oy) = (y + ky).checked_sub(padding).filter(|&oy| oy < rows) else { continue };
            for kx in 0..kernel {
                let Some(ox) = (x0 + kx).checked_sub(padding).filter(|&ox| ox < columns) else { continue };
                for channel in 0..out {
                    map[(oy * columns + ox) * out + channel] += window[(channel * kernel + ky) * kernel + kx];
                }
            }
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::uniform_values;
    use dreamstep_core::rng::Philox;

    const PRESET: &str = "32:4:2:0,64:4:2:0,128:4:2:0,256:4:2:0";
    const DECODER: &str = "1x1x1024,128:5:2:0,64:5:2:0,32:6:2:0,0:6:2:0";

    #[test]
    fn the_papers_network_is_written_and_read_back() {
        let chain = Chain::new([64, 64, 3], PRESET, DECODER).unwrap();
        let maps = [[64, 64, 3], [31, 31, 32], [14, 14, 64], [6, 6, 128], [2, 2, 256]];
        assert_eq!((chain.maps().unwrap(), chain.features()), (maps.to_vec(), 1024));
        assert_eq!(chain.encoder_text(), PRESET);
        let decoder = chain.decoder_text().unwrap();
        assert_eq!(decoder, "1x1x1024,128:5:2:0,64:5:2:0,32:6:2:0,3:6:2:0");
        assert_eq!(Chain::parse([64, 64, 3], &chain.encoder_text(), Some(&decoder)).unwrap(), chain);
        // The paper has 4,348,547 with its biases.
        let biases = 32 + 64 + 128 + 256 + 32 + 32 + 1024 + 128 + 64 + 32 + 3;
        assert_eq!(chain.weights(32) + biases, 4_348_547);
        let blind = Chain::parse([64, 64, 3], &chain.encoder_text(), None).unwrap();
        assert_eq!((blind.decoder_text(), blind.encoder), (None, chain.encoder));
    }

    #[test]
    fn a_decoder_that_is_not_named_makes_the_same_maps_backwards() {
        for (frame, layers) in [([64, 64, 1], PRESET), ([33, 33, 3], "8:5:2:1,16:3:2:1")] {
            let chain = Chain::new(frame, layers, "").unwrap();
            let maps = chain.maps().unwrap();
            let mut map = chain.start;
            for (layer, expected) in chain.decoder.iter().zip(maps.iter().rev().skip(1)) {
                map = transposed(*layer, map).unwrap();
                assert_eq!(map, *expected);
            }
        }
        let error = Chain::new([33, 64, 3], "32:4:2:0", "").unwrap_err().to_string();
        assert!(error.contains("found 5 by height and 4 by width"), "{error}");
    }

    #[test]
    fn layers_that_do_not_fit_are_refused_in_one_line() {
        for (frame, encoder, decoder, part) in [
            ([32, 32, 3], PRESET, DECODER, "convolution 4, 256:4:2:0: expected a kernel that fits into 2x2x128, found 4"),
            ([64, 64, 3], PRESET, "1x1x64,3:6:2:0", "expected layers that make the frame, 64x64x3, found 6x6x3 from 1x1x64"),
            (
                [64, 64, 3],
                "1:1:1:0,1:1:1:0,1:1:1:0,1:1:1:0,1:1:1:0,1:1:1:0,1:1:1:0",
                "",
                "expected one to 6 layers, found 7",
            ),
            ([64, 64, 3], "8:3:0:0", DECODER, "found 8:3:0:0"),
            ([64, 64, 3], "8:3:1:3", DECODER, "padding below the kernel, found 8:3:1:3"),
        ] {
            let error = Chain::new(frame, encoder, decoder).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
        for text in ["", "32:4:2", "32:4:2:x", "32:4:2:0,"] {
            assert!(Chain::parse([64, 64, 3], text, None).is_err(), "{text:?}");
        }
        assert!(Chain::parse([64, 64, 3], "8:4:2:0", Some("31x31,3:4:2:0")).is_err());
    }

    /// By the definition, output by output, as PyTorch's documentation has it: the oracle of both halves.
    fn convolve(x: &[f64], map: Map, w: &[f32], b: &[f32], layer: Convolution) -> Vec<f64> {
        let [rows, columns, n] = convolved(layer, map).unwrap();
        let (k, at) = (layer.kernel as isize, |v: usize, k: isize| (v * layer.stride) as isize + k - layer.padding as isize);
        let mut out = Vec::new();
        for (y, x0, o) in (0..rows * columns * n).map(|i| (i / (columns * n), i / n % columns, i % n)) {
            let mut sum = f64::from(b[o]);
            for (c, ky, kx) in (0..map[2] as isize * k * k).map(|i| (i / (k * k), i / k % k, i % k)) {
                let (iy, ix) = (at(y, ky), at(x0, kx));
                if (0..map[0] as isize).contains(&iy) && (0..map[1] as isize).contains(&ix) {
                    let weight = w[((o as isize * map[2] as isize + c) * k * k + ky * k + kx) as usize];
                    sum += f64::from(weight) * x[((iy * map[1] as isize + ix) * map[2] as isize + c) as usize];
                }
            }
            out.push(sum);
        }
        out
    }

    /// A transposed convolution in gather form: which inputs reach an output.
    fn gather(x: &[f64], map: Map, w: &[f32], b: &[f32], layer: Convolution) -> Vec<f64> {
        let [rows, columns, n] = transposed(layer, map).unwrap();
        let reach = |o: usize, k: usize, size: usize| {
            let far = (o + layer.padding).checked_sub(k)?;
            (far.is_multiple_of(layer.stride) && far / layer.stride < size).then_some(far / layer.stride)
        };
        let mut out = Vec::new();
        for (y, x0, o) in (0..rows * columns * n).map(|i| (i / (columns * n), i / n % columns, i % n)) {
            let mut sum = f64::from(b[o]);
            for (ky, kx) in (0..layer.kernel * layer.kernel).map(|i| (i / layer.kernel, i % layer.kernel)) {
                let (Some(iy), Some(ix)) = (reach(y, ky, map[0]), reach(x0, kx, map[1])) else { continue };
                for c in 0..map[2] {
                    let weight = w[((c * n + o) * layer.kernel + ky) * layer.kernel + kx];
                    sum += f64::from(weight) * x[(iy * map[1] + ix) * map[2] + c];
                }
            }
            out.push(sum);
        }
        out
    }

    fn draw(name: &str, n: usize) -> Vec<f32> {
        uniform_values(name, n, 0.5, Philox::new(3))
    }

    #[test]
    fn both_halves_agree_with_their_definitions() {
        let chain = Chain::new([9, 13, 2], "3:4:2:1,5:3:1:0", "2x3x4,3:3:2:0,0:3:2:1").unwrap();
        let latent = 3;
        let mut file = Checkpoint::default();
        let mut put = |name: &str, shape: &[usize], outputs: usize| {
            file.insert(&format!("{name}.weight"), shape, draw(name, shape.iter().product()));
            file.insert(&format!("{name}.bias"), &[outputs], draw(&format!("{name}b"), outputs));
        };
        put("encoder.conv1", &[3, 2, 4, 4], 3);
        put("encoder.conv2", &[5, 3, 3, 3], 5);
        let features = chain.features();
        put("encoder.fc_mu", &[3, features], 3);
        put("encoder.fc_logsigma", &[3, features], 3);
        put("decoder.fc1", &[24, 3], 24);
        put("decoder.deconv1", &[4, 3, 3, 3], 3);
        put("decoder.deconv2", &[3, 2, 3, 3], 2);
        let get = |name: &str| file.tensors[name].data.clone();
        let x: Vec<f64> = draw("x", 9 * 13 * 2).into_iter().map(f64::from).collect();

        let relu = |x: Vec<f64>| x.into_iter().map(|v| v.max(0.0)).collect::<Vec<_>>();
        let maps = chain.maps().unwrap();
        let mut seen = x.clone();
        for (i, layer) in chain.encoder.iter().enumerate() {
            let [w, b] = ["weight", "bias"].map(|kind| get(&format!("encoder.conv{}.{kind}", i + 1)));
            seen = relu(convolve(&seen, maps[i], &w, &b, *layer));
        }
        let [h, w, c] = maps[2];
        let found = HostEncoder::read(&file, &chain, latent).unwrap().forward(&x);
        for (head, found) in ["encoder.fc_mu", "encoder.fc_logsigma"].into_iter().zip(found) {
            let (weight, bias) = (get(&format!("{head}.weight")), get(&format!("{head}.bias")));
            for z in 0..latent {
                let mut sum = f64::from(bias[z]);
                for (channel, y, x) in (0..features).map(|i| (i / (h * w), i / w % h, i % w)) {
                    let flat = (channel * h + y) * w + x;
                    sum += f64::from(weight[z * features + flat]) * seen[(y * w + x) * c + channel];
                }
                assert!((found[z] - sum).abs() < 1e-12, "{head}[{z}]: expected {sum}, found {}", found[z]);
            }
        }

        let z = [0.3, -0.7, 1.1];
        let (weight, bias) = (get("decoder.fc1.weight"), get("decoder.fc1.bias"));
        let flat: Vec<f64> =
            (0..24).map(|i| f64::from(bias[i]) + (0..3).map(|k| f64::from(weight[i * 3 + k]) * z[k]).sum::<f64>()).collect();
        // [c, y, x] to [y, x, c]
        let mut map = relu((0..24).map(|i| flat[(i % 4) * 6 + i / 4]).collect());
        let mut sizes = chain.start;
        for (i, layer) in chain.decoder.iter().enumerate() {
            let [w, b] = ["weight", "bias"].map(|kind| get(&format!("decoder.deconv{}.{kind}", i + 1)));
            map = gather(&map, sizes, &w, &b, *layer);
            sizes = transposed(*layer, sizes).unwrap();
            if i == 0 {
                map = relu(map);
            }
        }
        let found = HostDecoder::read(&file, &chain, latent).unwrap().forward(&z).unwrap();
        assert_eq!((sizes, found.len()), ([9, 13, 2], map.len()));
        for (found, expected) in found.into_iter().zip(map) {
            let expected = 1.0 / (1.0 + (-expected).exp());
            assert!((found - expected).abs() < 1e-12, "expected {expected}, found {found}");
        }
    }
}
