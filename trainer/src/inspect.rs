//! `inspect`: what is in this file? A packed agent or a checkpoint: sizes, tensors, where it comes from, and whether this machine
//! computes what the packer's did.

use anyhow::{Context, Result, anyhow};
use dreamstep_core::dims::{ControllerInput, MemoryCell};
use dreamstep_core::names::{checkpoint, metadata};
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::reader::File;
use dreamstep_runtime::{Backend, LoadError, Model, SelfTestError, memory_len};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// One tensor.
#[derive(Clone, Debug, Serialize)]
pub struct TensorEntry {
    /// Name.
    pub name: String,
    /// dtype.
    pub dtype: String,
    /// Axes.
    pub shape: Vec<usize>,
    /// Bytes.
    pub bytes: usize,
}

/// What `inspect` reports.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The file.
    pub file: String,
    /// Its size.
    pub bytes: usize,
    /// `packed agent` or `checkpoint`.
    pub kind: &'static str,
    /// What M remembers with, `lstm` or `gru`; none where there is no M in the file.
    pub cell: Option<String>,
    /// What the controller reads: `z+h`, `z`, `h`, `obs` or `obs+h`; none where there is no C in the file.
    pub input: Option<String>,
    /// Packed agents: bytes of memory that one agent works in.
    pub memory_bytes: Option<usize>,
    /// Packed agents: the self-test's answer by back end.
    pub self_test: BTreeMap<&'static str, String>,
    /// Whether none of them failed; none where there are no vectors to replay.
    pub self_test_passed: Option<bool>,
    /// Tensors, in the file's order.
    pub tensors: Vec<TensorEntry>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
}

/// Looks into `bytes`, read from `path`.
///
/// # Errors
/// One line: not a safetensors file, or a packed agent with something wrong.
pub fn inspect(path: &Path, bytes: &AlignedBytes) -> Result<Report> {
    let file = File::parse(bytes).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    let tensor = |tensor: dreamstep_core::reader::Tensor<'_>| TensorEntry {
        name: tensor.name.to_string(),
        dtype: tensor.dtype.to_string(),
        shape: tensor.shape().to_vec(),
        bytes: tensor.data.len(),
    };
    let mut report = Report {
        file: path.display().to_string(),
        bytes: bytes.len(),
        kind: "checkpoint",
        cell: file.tensor(checkpoint::RNN_WEIGHT_HH).map(|_| said(&file, metadata::RNN_CELL, MemoryCell::Lstm.name())),
        input: file.tensor(checkpoint::FC_WEIGHT).map(|_| reads(&file)),
        memory_bytes: None,
        self_test: BTreeMap::new(),
        self_test_passed: None,
        tensors: file.tensors().map(tensor).collect(),
        metadata: file.metadata_entries().map(|(key, value)| (key.to_string(), unescape(value))).collect(),
    };
    if file.metadata(metadata::FORMAT).is_none_or(|format| format == metadata::FORMAT_CHECKPOINT) {
        return Ok(report);
    }
    report.kind = "packed agent";
    report.cell = Some(said(&file, metadata::RNN_CELL, MemoryCell::Lstm.name()));
    report.input = Some(reads(&file));
    for backend in Backend::ALL {
        let verdict = match Model::load_with(bytes, backend) {
            Ok(model) => {
                let mut memory = vec![0.0; memory_len(model.dims())];
                report.memory_bytes = Some(size_of_val(memory.as_slice()));
                let result = model.self_test(&mut memory);
                if result != Err(SelfTestError::Absent) {
                    report.self_test_passed = Some(report.self_test_passed.unwrap_or(true) && result.is_ok());
                }
                result.map_or_else(|error| error.to_string(), |()| "passed".to_string())
            }
            Err(LoadError::Backend { .. }) => "not on this processor".to_string(),
            Err(error) => return Err(anyhow!("{error}")).with_context(|| path.display().to_string()),
        };
        report.self_test.insert(backend.name(), verdict);
    }
    Ok(report)
}

/// What a file says under `key`; one that says nothing has the `usual`.
fn said(file: &File<'_>, key: &str, usual: &str) -> String {
    unescape(file.metadata(key).unwrap_or(usual))
}

/// What the controller of a file with C reads.
fn reads(file: &File<'_>) -> String {
    said(file, metadata::CONTROLLER_INPUT, ControllerInput::LatentHidden.name())
}

/// Resolves JSON's escapes, which the reader leaves as they stand.
fn unescape(value: &str) -> String {
    serde_json::from_str(&format!("\"{value}\"")).unwrap_or_else(|_| value.to_string())
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}: {}, {} bytes", self.file, self.kind, self.bytes)?;
        if let Some(cell) = &self.cell {
            writeln!(f, "M's memory: {cell}")?;
        }
        if let Some(input) = &self.input {
            writeln!(f, "controller reads: {input}")?;
        }
        if let Some(memory) = self.memory_bytes {
            writeln!(f, "working memory of one agent: {memory} bytes")?;
        }
        for (backend, verdict) in &self.self_test {
            writeln!(f, "self-test on {backend}: {verdict}")?;
        }
        writeln!(f, "\n{:<28} {:<6} {:<20} {:>10}", "tensor", "dtype", "shape", "bytes")?;
        for TensorEntry { name, dtype, shape, bytes } in &self.tensors {
            writeln!(f, "{name:<28} {dtype:<6} {:<20} {bytes:>10}", format!("{shape:?}"))?;
        }
        writeln!(f, "\nmetadata")?;
        for (key, value) in &self.metadata {
            match value.contains('\n') {
                true => writeln!(f, "  {key}:\n    {}", value.trim_end().replace('\n', "\n    "))?,
                false => writeln!(f, "  {key}: {value}")?,
            }
        }
        Ok(())
    }
}
