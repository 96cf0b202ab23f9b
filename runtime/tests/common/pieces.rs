//! What does it take to damage an agent in one place and leave the rest a valid safetensors file? The file taken apart into
//! its metadata and tensors, and put together again.

use dreamstep_core::reader::File;
use std::collections::BTreeMap;

/// One tensor, taken out of its file.
#[derive(Clone, Debug)]
pub(crate) struct Loose {
    pub(crate) name: String,
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<u8>,
}

/// A file in pieces.
#[derive(Clone, Debug)]
pub(crate) struct Pieces {
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) tensors: Vec<Loose>,
}

impl Pieces {
    /// Of a valid file.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let file = File::parse(bytes).expect("a valid file");
        let owned = |(key, value): (&str, &str)| (key.to_string(), value.to_string());
        let tensors = file.tensors().map(|t| Loose {
            name: t.name.to_string(),
            dtype: t.dtype.to_string(),
            shape: t.shape().to_vec(),
            data: t.data.to_vec(),
        });
        Self { metadata: file.metadata_entries().map(owned).collect(), tensors: tensors.collect() }
    }

    /// The file's bytes, its data `shift` bytes after a multiple of 64. Names and values are written as they are: what would
    /// need an escape makes a file that is not valid.
    pub(crate) fn bytes(&self, shift: usize) -> Vec<u8> {
        let pairs: Vec<_> = self.metadata.iter().map(|(key, value)| format!(r#""{key}":"{value}""#)).collect();
        let mut entries = vec![format!(r#""__metadata__":{{{}}}"#, pairs.join(","))];
        let mut data = Vec::new();
        for Loose { name, dtype, shape, data: own } in &self.tensors {
            let begin = data.len();
            data.extend(own);
            let axes: Vec<_> = shape.iter().map(ToString::to_string).collect();
            let (axes, end) = (axes.join(","), data.len());
            entries.push(format!(r#""{name}":{{"dtype":"{dtype}","shape":[{axes}],"data_offsets":[{begin},{end}]}}"#));
        }
        let mut header = format!("{{{}}}", entries.join(","));
        let padding = (8 + header.len()).next_multiple_of(64) - 8 - header.len() + shift;
        header.extend(std::iter::repeat_n(' ', padding));
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
    }
}
