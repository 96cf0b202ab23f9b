//! The safetensors writer: the same tensors and metadata give the same bytes, and data begin on a multiple of 64 bytes.
//!
//! The `safetensors` crate keeps metadata in a hash map, so it is not the writer here but the judge in the tests.

use crate::reader::Tensor;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// A tensor of a safetensors file.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its dtype, as the format spells it.
    pub dtype: &'a str,
    /// Its axes, outermost first.
    pub shape: Vec<usize>,
    /// Its values, little-endian.
    pub data: Vec<u8>,
}

impl<'a> Entry<'a> {
    /// A tensor of a file, as it stands there.
    #[must_use]
    pub fn of(tensor: Tensor<'a>) -> Self {
        Self { name: tensor.name, dtype: tensor.dtype, shape: tensor.shape().to_vec(), data: tensor.data.to_vec() }
    }

    /// A tensor of binary32 values.
    #[must_use]
    pub fn f32(name: &'a str, shape: Vec<usize>, values: &[f32]) -> Self {
        Self { name, dtype: "F32", shape, data: values.iter().flat_map(|value| value.to_le_bytes()).collect() }
    }
}

/// A safetensors file: header in the given order, metadata sorted, data from a multiple of 64 bytes on.
#[must_use]
pub fn safetensors_bytes(tensors: &[Entry<'_>], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    // A string always serialises.
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    let pairs: Vec<String> = metadata.iter().map(|(key, value)| format!("{}:{}", quote(key), quote(value))).collect();
    let mut header = format!("{{\"__metadata__\":{{{}}}", pairs.join(","));
    let mut end = 0;
    for Entry { name, dtype, shape, data } in tensors {
        let begin = end;
        end += data.len();
        let axes: Vec<String> = shape.iter().map(ToString::to_string).collect();
        let (name, axes) = (quote(name), axes.join(","));
        header += &format!(",{name}:{{\"dtype\":\"{dtype}\",\"shape\":[{axes}],\"data_offsets\":[{begin},{end}]}}");
    }
    header.push('}');
    header.extend(core::iter::repeat_n(' ', (8 + header.len()).next_multiple_of(64) - 8 - header.len()));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    tensors.iter().for_each(|tensor| bytes.extend(&tensor.data));
    bytes
}
