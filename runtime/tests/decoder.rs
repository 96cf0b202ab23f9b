//! From a latent back to a picture: against a naive transposed convolution in binary64, and the same bytes on every back end.

use dreamstep_core::names::checkpoint as names;
use dreamstep_core::obs::Image;
use dreamstep_core::pack::{Tensors, unpack};
use dreamstep_core::precision::Precision;
use dreamstep_core::schema::Settings;
use dreamstep_core::v::{Convolution, Convolutions, Decoder, Encoder};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Backend, DecodeError, Dims, Model};

fn settings(image: [usize; 3], decoder: Decoder, latent: usize) -> Settings {
    let chain = Convolutions::new(&[Convolution::new(5, 4, 3)]).unwrap();
    let dims = Dims::pictures(Image::plain(image), 2, chain, latent, 7, 2);
    synthetic::with(synthetic::settings(&dims), |s| s.decoder = Some(decoder))
}

/// Every form, and what can be odd about it.
fn all() -> Vec<Settings> {
    let of = |image, decoder: &str, latent| settings(image, Decoder::parse(decoder).unwrap(), latent);
    let paper = Dims::pictures(Image::plain([64, 64, 3]), 3, Convolutions::PAPER, 32, 64, 5);
    vec![
        of([6, 6, 1], "1x1x5,1:6:2:0", 3),
        of([9, 11, 3], "4x5x20,3:3:2:0", 3),
        of([8, 10, 2], "4x5x20,2:4:2:1", 3),
        of([10, 10, 1], "1x1x33,17:5:2:0,1:2:2:0", 5),
        of([13, 9, 3], "3x2x7,18:3:2:1,5:3:2:0,3:3:1:0", 4),
        of([15, 11, 3], "3x2x7,18:3:2:0,5:4:2:2,3:6:1:1", 4),
        of([21, 21, 4], "1x1x16,40:4:2:0,20:5:3:1,4:3:2:2", 6),
        synthetic::with(synthetic::settings(&paper), |s| s.decoder = Some(Decoder::paper(3))),
    ]
}

/// x in [0, 1], `[h, w, c]`: every input's taps added where they fall.
fn naive(decoder: &Decoder, tensors: &Tensors, latent: &[f32]) -> Vec<f64> {
    let affine = |weight: &str, bias: &str| -> Vec<f64> {
        let rows = tensors[weight].1.chunks(latent.len()).zip(&tensors[bias].1);
        let sum = |(row, &bias): (&[f32], &f32)| {
            row.iter().zip(latent).map(|(&w, &z)| f64::from(w) * f64::from(z)).sum::<f64>() + f64::from(bias)
        };
        rows.map(sum).map(|y| y.max(0.0)).collect()
    };
    // In PyTorch's order: channel, row, column.
    let mut x = affine(names::DECODER_FC[0], names::DECODER_FC[1]);
    for (i, layer) in decoder.chain.iter().enumerate() {
        let ([height, width, inputs], [rows, columns, outputs]) = (decoder.map(i), decoder.map(i + 1));
        let (w, b) = (&tensors[names::DECODER_DECONV_WEIGHT[i]].1, &tensors[names::DECODER_DECONV_BIAS[i]].1);
        let mut out: Vec<f64> = (0..outputs * rows * columns).map(|at| f64::from(b[at / (rows * columns)])).collect();
        let k = layer.kernel;
        for (at, &weight) in w.iter().enumerate() {
            let (from, to, ky, kx) = (at / (k * k * outputs), at / (k * k) % outputs, at / k % k, at % k);
            for (y, column) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let (row, line) = (y * layer.stride + ky, column * layer.stride + kx);
                let (row, line) = (row.wrapping_sub(layer.padding), line.wrapping_sub(layer.padding));
                if row < rows && line < columns {
                    out[(to * rows + row) * columns + line] += f64::from(weight) * x[(from * height + y) * width + column];
                }
            }
        }
        assert_eq!(inputs * height * width, x.len());
        let is_last = i + 1 == decoder.chain.len();
        x = out.into_iter().map(|y| if is_last { 1.0 / (1.0 + (-y).exp()) } else { y.max(0.0) }).collect();
    }
    let [rows, columns, channels] = decoder.map(decoder.chain.len());
    (0..x.len()).map(|at| x[(at % channels * rows + at / channels / columns) * columns + at / channels % columns]).collect()
}

fn latent(len: usize, t: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7 + t * 13) as f32 * 0.61).sin() * 2.0).collect()
}

#[test]
fn a_latent_becomes_the_picture_that_it_stands_for_the_same_everywhere() {
    for settings in all() {
        let (decoder, z) = (settings.decoder.unwrap(), settings.dims.latent_len());
        let tensors = synthetic::tensors_of(&settings, 3);
        for precision in Precision::ALL {
            let bytes = synthetic::agent_with(&synthetic::with(settings, |s| s.precision = precision), 3);
            for t in 0..3 {
                let (latent, expected) = (latent(z, t), naive(&decoder, &tensors, &latent(z, t)));
                let mut first: Option<Vec<u8>> = None;
                for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
                    let found = Model::load_with(&bytes, backend).unwrap().decoder().unwrap();
                    let mut memory = vec![f32::NAN; found.memory_len()];
                    let mut picture = vec![0; expected.len()];
                    found.decode(&latent, &mut memory, &mut picture).unwrap();
                    let limit = if matches!(precision, Precision::F32) { 0.501 } else { 2.0 };
                    for (at, (&byte, x)) in picture.iter().zip(&expected).enumerate() {
                        let error = (f64::from(byte) - 255.0 * x).abs();
                        assert!(error < limit, "{precision:?} {decoder} at {at}: {byte} for {}", 255.0 * x);
                    }
                    assert!(first.get_or_insert(picture.clone()) == &picture, "{precision:?} {decoder} {backend:?}");
                }
            }
        }
    }
}

#[test]
fn a_decoder_comes_back_from_a_file() {
    for settings in all() {
        let tensors = synthetic::tensors_of(&settings, 3);
        let found = unpack(&synthetic::agent_with(&settings, 3)).unwrap();
        assert_eq!(found.settings.decoder, settings.decoder);
        for (name, tensor) in &tensors {
            if !name.starts_with("rnn.bias") {
                assert_eq!(&found.tensors[name], tensor, "{name}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let settings = all().remove(1);
    let bytes = synthetic::agent_with(&settings, 3);
    let decoder = Model::load(&bytes).unwrap().decoder().unwrap();
    let (mut memory, mut picture) = (vec![0.0; decoder.memory_len()], vec![0; 9 * 11 * 3]);
    let error = |what, expected, found| Err(DecodeError::Length { what, expected, found });
    assert_eq!(decoder.decode(&[0.0; 2], &mut memory, &mut picture), error("latent", 3, 2));
    assert_eq!(decoder.decode(&[0.0; 3], &mut memory, &mut picture[1..]), error("picture", 297, 296));
    let short = decoder.decode(&[0.0; 3], &mut memory[1..], &mut picture);
    assert!(matches!(short, Err(DecodeError::Memory { expected, found }) if expected == found + 1));
    let paper = synthetic::agent_with(&all().remove(7), 3);
    let paper = Model::load(&paper).unwrap().decoder().unwrap().memory_len();
    assert_eq!(4 * paper / 1024, 293, "KiB");
    let without = synthetic::agent_with(&synthetic::with(settings, |s| s.decoder = None), 3);
    assert!(Model::load(&without).unwrap().decoder().is_none());
    for text in ["", "1x1x5", "1x1,3:3:2:0", "1x1x5x2,3:3:2:0", "1x1x5,3:3", "0x1x5,3:3:2:0", "1x1x5,3:2:3:0"] {
        assert_eq!(Decoder::parse(text), None, "{text}");
    }
    let Encoder::Conv { .. } = settings.dims.v else { panic!("a convolutional V") };
    for text in ["4x5x20,3:3:2:1", "4x5x20,2:3:2:0", "1x1x8,3:8:4:3"] {
        assert!(Decoder::parse(text).unwrap().check([9, 11, 3]).is_err(), "{text}");
    }
}
