//! What is the step as an ONNX model? The graph that ONNX Runtime and tract are both given, byte for byte the same, made of the agent's
//! weights without a detour through Python. The recurrent part comes as the `LSTM` operator and written out with `Gemm`; in int8 as
//! ONNX Runtime's own quantiser would leave it, with operators that only ONNX Runtime has.

use super::weights::{Layer, Weights};
use dreamstep_core::schema::Squash;
use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{self, Tensor as TensorType};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
};

/// How the recurrent part is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// The `LSTM` operator over a sequence of one; h and c are `[1, 1, H]`.
    Lstm,
    /// One `Gemm` over `[a, z, h]`, then element by element; h and c are `[1, H]`.
    Gemm,
}

/// What number a weight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Binary32.
    Float32,
    /// 8-bit integers with a scale for each output; inputs are quantised at run time, all of a layer's alike (`com.microsoft`).
    Int8,
}

/// Inputs, in order.
pub const INPUTS: [&str; 3] = ["observation", "h", "c"];
/// Outputs, in order.
pub const OUTPUTS: [&str; 3] = ["action", "h_next", "c_next"];

/// What an integer weight of 0 is stored as. Unsigned, as ONNX Runtime's guide tells for x86 without VNNI, where its kernels for signed
/// weights add two products in 16 bits, saturating; to spare a bit of each weight instead measured as fast and 2.5 times as wrong.
pub(super) const ZERO: u8 = 128;

/// The model file.
#[must_use]
pub fn model(weights: &Weights, cell: Cell, numbers: Numbers) -> Vec<u8> {
    let dims = &weights.dims;
    let (o, a, z, hidden) = (dims.obs_len(), dims.action_len(), dims.latent_len(), dims.hidden_len());
    let mut graph = Graph { numbers, ..Graph::default() };
    graph.floats("mean", &[1, o], &weights.mean);
    graph.floats("inv_std", &[1, o], &weights.inv_std);
    graph.floats("clip_low", &[], &[-weights.obs_clip]);
    graph.floats("clip_high", &[], &[weights.obs_clip]);
    graph.node("Sub", &["observation", "mean"], &["centred"], []);
    graph.node("Mul", &["centred", "inv_std"], &["white"], []);
    graph.node("Clip", &["white", "clip_low", "clip_high"], &["x"], []);

    let [l0, l1, l2] = &weights.encoder;
    graph.affine(l0, "x", "s1");
    graph.node("Relu", &["s1"], &["e1"], []);
    graph.affine(l1, "e1", "s2");
    graph.node("Relu", &["s2"], &["e2"], []);
    graph.affine(l2, "e2", "z");

    let h = if cell == Cell::Lstm {
        graph.integers("first", &[0]);
        graph.node("Squeeze", &["h", "first"], &["h_row"], []);
        "h_row"
    } else {
        "h"
    };
    graph.node("Concat", &["z", h], &["zh"], [int("axis", 1)]);
    graph.affine(&weights.controller, "zh", "s3");
    match weights.squash {
        Squash::Clamp => {
            graph.floats("low", &[], &[-1.0]);
            graph.floats("high", &[], &[1.0]);
            graph.node("Clip", &["s3", "low", "high"], &["u"], []);
        }
        Squash::Tanh => graph.node("Tanh", &["s3"], &["u"], []),
    }
    graph.floats("action_mid", &[1, a], &weights.action_mid);
    graph.floats("action_half", &[1, a], &weights.action_half);
    graph.node("Mul", &["u", "action_half"], &["scaled"], []);
    graph.node("Add", &["scaled", "action_mid"], &["action"], []);

    match cell {
        Cell::Lstm => graph.lstm(weights),
        Cell::Gemm => {
            graph.node("Concat", &["u", "zh"], &["azh"], [int("axis", 1)]);
            // i, f, o, g: one Sigmoid for the first three.
            graph.affine(&weights.rnn.with_blocks(hidden, &[0, 1, 3, 2]), "azh", "gates");
            graph.integers("ifo_g", &[3 * hidden as i64, hidden as i64]);
            graph.integers("i_f_o", &[hidden as i64; 3]);
            graph.node("Split", &["gates", "ifo_g"], &["ifo_sum", "g_sum"], [int("axis", 1)]);
            graph.node("Sigmoid", &["ifo_sum"], &["ifo"], []);
            graph.node("Tanh", &["g_sum"], &["g"], []);
            graph.node("Split", &["ifo", "i_f_o"], &["i", "f", "o"], [int("axis", 1)]);
            graph.node("Mul", &["f", "c"], &["kept"], []);
            graph.node("Mul", &["i", "g"], &["new"], []);
            graph.node("Add", &["kept", "new"], &["c_next"], []);
            graph.node("Tanh", &["c_next"], &["c_tanh"], []);
            graph.node("Mul", &["o", "c_tanh"], &["h_next"], []);
        }
    }
    debug_assert_eq!(weights.rnn.inputs, a + z + hidden);
    let shapes = |first: usize| [vec![1, first], state_shape(cell, hidden), state_shape(cell, hidden)];
    let values = |names: [&str; 3], shapes: [Vec<usize>; 3]| names.iter().zip(shapes).map(|(n, s)| value(n, &s)).collect();
    graph.proto.name = "step".into();
    graph.proto.input = values(INPUTS, shapes(o));
    graph.proto.output = values(OUTPUTS, shapes(a));
    graph.encode()
}

/// Of h and c.
#[must_use]
pub fn state_shape(cell: Cell, hidden: usize) -> Vec<usize> {
    match cell {
        Cell::Lstm => vec![1, 1, hidden],
        Cell::Gemm => vec![1, hidden],
    }
}

const MICROSOFT: &str = "com.microsoft";

pub(super) struct Graph {
    numbers: Numbers,
    pub(super) proto: GraphProto,
}

impl Default for Graph {
    fn default() -> Self {
        Self { numbers: Numbers::Float32, proto: GraphProto::default() }
    }
}

impl Graph {
    /// The model file.
    pub(super) fn encode(self) -> Vec<u8> {
        let mut opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
        if self.proto.node.iter().any(|node| node.domain == MICROSOFT) {
            opset_import.push(OperatorSetIdProto { domain: MICROSOFT.into(), version: 1 });
        }
        let graph = Some(self.proto);
        ModelProto { ir_version: 8, opset_import, producer_name: "dreamstep".into(), graph, ..ModelProto::default() }
            .encode_to_vec()
    }

    pub(super) fn node<const N: usize>(
        &mut self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attribute: [AttributeProto; N],
    ) {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let domain = if op.starts_with("DynamicQuantize") || op == "QGemm" { MICROSOFT } else { "" };
        self.proto.node.push(NodeProto {
            input: names(inputs),
            output: names(outputs),
            name: outputs[0].into(),
            op_type: op.into(),
            domain: domain.into(),
            attribute: attribute.into(),
            ..NodeProto::default()
        });
    }

    pub(super) fn constant(&mut self, name: &str, shape: &[usize], data_type: DataType, raw_data: Vec<u8>) {
        let dims = shape.iter().map(|&axis| axis as i64).collect();
        let tensor =
            TensorProto { dims, data_type: data_type as i32, name: name.into(), raw_data, ..TensorProto::default() };
        self.proto.initializer.push(tensor);
    }

    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, shape, DataType::Float, bytes);
    }

    fn integers(&mut self, name: &str, values: &[i64]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, &[values.len()], DataType::Int64, bytes);
    }

    /// `output = input · weightᵀ + bias`.
    pub(super) fn affine(&mut self, layer: &Layer, input: &str, output: &str) {
        let (n, k) = (layer.outputs(), layer.inputs);
        let [weight, bias, scale, zero] = ["weight", "bias", "scale", "zero"].map(|part| format!("{output}.{part}"));
        self.floats(&bias, &[n], &layer.bias);
        match self.numbers {
            Numbers::Float32 => {
                self.floats(&weight, &[k, n], &layer.transposed());
                self.node("Gemm", &[input, &weight, &bias], &[output], []);
            }
            Numbers::Int8 => {
                let (integers, scales) = quantised(&layer.weight, k, 127.0);
                self.constant(&weight, &[k, n], DataType::Uint8, transposed(&integers, k));
                self.constant(&zero, &[n], DataType::Uint8, vec![ZERO; n]);
                self.floats(&scale, &[n], &scales);
                self.node("DynamicQuantizeMatMul", &[input, &weight, &scale, &zero, &bias], &[output], []);
            }
        }
    }

    /// `(u, z, h, c)` → `(h_next, c_next)` by the operator, whose gates stand in the order i, o, f, g.
    fn lstm(&mut self, weights: &Weights) {
        let dims = &weights.dims;
        let (hidden, inputs) = (dims.hidden_len(), dims.action_len() + dims.latent_len());
        let rnn = weights.rnn.with_blocks(hidden, &[0, 3, 1, 2]);
        let (w, r) = (rnn.columns(0, inputs), rnn.columns(inputs, rnn.inputs));
        let bias = [&rnn.bias[..], &vec![0.0; 4 * hidden]].concat();
        self.floats("rnn.b", &[1, 8 * hidden], &bias);
        self.node("Concat", &["u", "z"], &["az"], [int("axis", 1)]);
        self.node("Unsqueeze", &["az", "first"], &["sequence"], []);
        let size = int("hidden_size", hidden as i64);
        let outputs = ["", "h_next", "c_next"];
        match self.numbers {
            Numbers::Float32 => {
                self.floats("rnn.w", &[1, 4 * hidden, inputs], &w);
                self.floats("rnn.r", &[1, 4 * hidden, hidden], &r);
                self.node("LSTM", &["sequence", "rnn.w", "rnn.r", "rnn.b", "", "h", "c"], &outputs, [size]);
            }
            Numbers::Int8 => {
                for (name, values, k) in [("w", w, inputs), ("r", r, hidden)] {
                    let (integers, scales) = quantised(&values, k, 127.0);
                    let integers = transposed(&integers, k);
                    self.constant(&format!("rnn.{name}"), &[1, k, 4 * hidden], DataType::Uint8, integers);
                    self.floats(&format!("rnn.{name}.scale"), &[1, 4 * hidden], &scales);
                    self.constant(&format!("rnn.{name}.zero"), &[1, 4 * hidden], DataType::Uint8, vec![ZERO; 4 * hidden]);
                }
                let inputs = ["sequence", "rnn.w", "rnn.r", "rnn.b", "", "h", "c", ""];
                let scales = ["rnn.w.scale", "rnn.w.zero", "rnn.r.scale", "rnn.r.zero"];
                self.node("DynamicQuantizeLSTM", &[&inputs[..], &scales].concat(), &outputs, [size]);
            }
        }
    }
}

/// Rows of `k` weights as integers about [`ZERO`], `most` at most away from it, and what an integer of each row is worth.
pub(super) fn quantised(weight: &[f32], k: usize, most: f32) -> (Vec<u8>, Vec<f32>) {
    let scale = |row: &[f32]| match row.iter().fold(0.0_f32, |max, weight| max.max(weight.abs())) {
        0.0 => 1.0,
        max => max / most,
    };
    let scales: Vec<f32> = weight.chunks_exact(k).map(scale).collect();
    let rows = weight.chunks_exact(k).zip(&scales);
    let integers = rows.flat_map(|(row, scale)| row.iter().map(move |weight| (weight / scale).round() as i8 as u8 ^ ZERO));
    (integers.collect(), scales)
}

/// `[N, K]` → `[K, N]`.
pub(super) fn transposed(bytes: &[u8], k: usize) -> Vec<u8> {
    (0..k).flat_map(|column| bytes.iter().skip(column).step_by(k).copied()).collect()
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i: value, ..AttributeProto::default() }
}

pub(super) fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    AttributeProto { name: name.into(), r#type: AttributeType::Ints as i32, ints, ..AttributeProto::default() }
}

pub(super) fn value(name: &str, shape: &[usize]) -> ValueInfoProto {
    let axis = |&axis: &usize| Dimension { value: Some(dimension::Value::DimValue(axis as i64)), ..Dimension::default() };
    let shape = Some(TensorShapeProto { dim: shape.iter().map(axis).collect() });
    let tensor = type_proto::Value::TensorType(TensorType { elem_type: DataType::Float as i32, shape });
    let r#type = Some(TypeProto { value: Some(tensor), ..TypeProto::default() });
    ValueInfoProto { name: name.into(), r#type, ..ValueInfoProto::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_worth_their_weights() {
        let weight = [0.5, -1.0, 0.25, 0.0, 0.0, 0.0, 6.3, 0.1, -0.1];
        let (integers, scales) = quantised(&weight, 3, 127.0);
        for (index, &weight) in weight.iter().enumerate() {
            let scale = scales[index / 3];
            let found = (f32::from(integers[index]) - f32::from(ZERO)) * scale;
            assert!((found - weight).abs() <= 0.5 * scale, "{index}: expected {weight}, found {found}");
        }
        assert_eq!(integers[1], 1);
        assert_eq!(transposed(&[1, 2, 3, 4, 5, 6], 3), [1, 4, 2, 5, 3, 6]);
    }
}
