//! What is the encoder as an ONNX model? In binary32 for whoever reads ONNX; in int8 as ONNX Runtime's static quantiser leaves it: maps
//! of unsigned bytes whose ranges were seen on some pictures, weights with a scale for each channel, the ReLU in the rounding.

use super::{Convolution, Encoder};
use crate::peers::onnx::{Graph, ZERO, ints, quantised, transposed, value};
use tract_onnx::pb::tensor_proto::DataType;

/// What number a weight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Binary32.
    Float32,
    /// Unsigned bytes about 128, as the guide tells for x86 without VNNI.
    Unsigned,
    /// Signed bytes within ±64, the other way that the guide tells: where two products are added in 16 bits, they fit.
    Signed,
}

/// Its input, `[1, c, h, w]`.
pub(super) const PICTURE: &str = "picture";
/// Its output, `[1, Z]`.
pub(super) const LATENT: &str = "latent";

/// The model file. `ranges` are the largest values of the picture and of the maps behind it.
#[must_use]
pub(super) fn model(encoder: &Encoder, numbers: Numbers, ranges: &[f32]) -> Vec<u8> {
    let mut graph = Graph::default();
    let [height, width, channels] = encoder.image;
    let scales: Vec<f32> = ranges.iter().map(|range| range / 255.0).collect();
    let mut x = PICTURE.to_string();
    if numbers != Numbers::Float32 {
        graph.constant("zero", &[], DataType::Uint8, vec![0]);
        for (index, &scale) in scales.iter().enumerate() {
            graph.floats(&format!("scale{index}"), &[], &[scale]);
        }
        graph.node("QuantizeLinear", &[&x, "scale0", "zero"], &["bytes"], []);
        x = "bytes".into();
    }
    let mut inputs = channels;
    for (index, Convolution { layer, kernel, stride, padding }) in encoder.convolutions.iter().enumerate() {
        let shape = [layer.outputs(), inputs, *kernel, *kernel];
        let attributes = [ints("kernel_shape", &[*kernel; 2]), ints("strides", &[*stride; 2]), ints("pads", &[*padding; 4])];
        let [weight, bias, sums, map] = ["weight", "bias", "sums", "map"].map(|part| format!("{part}{index}"));
        if numbers == Numbers::Float32 {
            graph.floats(&weight, &shape, &layer.weight);
            graph.floats(&bias, &[layer.outputs()], &layer.bias);
            graph.node("Conv", &[&x, &weight, &bias], &[&sums], attributes);
            graph.node("Relu", &[&sums], &[&map], []);
        } else {
            let [scale, zero] = ["weight_scale", "weight_zero"].map(|part| format!("{part}{index}"));
            let (integers, worth) = quantised(&layer.weight, layer.inputs, most(numbers));
            weights(&mut graph, numbers, [&weight, &scale, &zero, &bias], &shape, integers, &worth);
            biases(&mut graph, &bias, &layer.bias, scales[index], &worth);
            let [from, to] = [index, index + 1].map(|index| format!("scale{index}"));
            let inputs: [&str; 9] = [&x, &from, "zero", &weight, &scale, &zero, &to, "zero", &bias];
            graph.node("QLinearConv", &inputs, &[&map], attributes);
        }
        (x, inputs) = (map, layer.outputs());
    }
    graph.node("Flatten", &[&x], &["flat"], []);
    if numbers == Numbers::Float32 {
        graph.affine(&encoder.mean, "flat", LATENT);
    } else {
        let (k, n) = (encoder.mean.inputs, encoder.mean.outputs());
        let (integers, worth) = quantised(&encoder.mean.weight, k, most(numbers));
        let names = ["mean", "mean_scale", "mean_zero", "mean_bias"];
        weights(&mut graph, numbers, names, &[k, n], transposed(&integers, k), &worth);
        let last = encoder.convolutions.len();
        biases(&mut graph, "mean_bias", &encoder.mean.bias, scales[last], &worth);
        let scale = format!("scale{last}");
        let inputs = ["flat", &scale, "zero", "mean", "mean_scale", "mean_zero", "mean_bias"];
        graph.node("QGemm", &inputs, &[LATENT], []);
    }
    graph.proto.name = "encoder".into();
    graph.proto.input = vec![value(PICTURE, &[1, channels, height, width])];
    graph.proto.output = vec![value(LATENT, &[1, encoder.mean.outputs()])];
    graph.encode()
}

const fn most(numbers: Numbers) -> f32 {
    match numbers {
        Numbers::Signed => 64.0,
        Numbers::Float32 | Numbers::Unsigned => 127.0,
    }
}

/// Integers about [`ZERO`], with what they are worth and their zero.
fn weights(graph: &mut Graph, numbers: Numbers, names: [&str; 4], shape: &[usize], integers: Vec<u8>, worth: &[f32]) {
    let [weight, scale, zero, _] = names;
    let (kind, integers, about) = match numbers {
        Numbers::Signed => (DataType::Int8, integers.into_iter().map(|byte| byte ^ ZERO).collect(), 0),
        Numbers::Float32 | Numbers::Unsigned => (DataType::Uint8, integers, ZERO),
    };
    graph.constant(weight, shape, kind, integers);
    graph.constant(zero, &[worth.len()], kind, vec![about; worth.len()]);
    graph.floats(scale, &[worth.len()], worth);
}

/// Biases in units of the sums.
fn biases(graph: &mut Graph, name: &str, biases: &[f32], scale: f32, worth: &[f32]) {
    let whole = biases.iter().zip(worth).map(|(bias, worth)| (bias / (scale * worth)).round() as i32);
    graph.constant(name, &[biases.len()], DataType::Int32, whole.flat_map(i32::to_le_bytes).collect());
}
