//! `inspect`: the contents of a packed agent or a checkpoint: sizes, tensors, where it comes from, and whether this machine computes what
//! the packer's did.

use crate::agent::file::{self, unescape};
use crate::run::checkpoint::meta;
use anyhow::{Result, anyhow};
use dreamstep_core::c::ControllerInput;
use dreamstep_core::m::MemoryCell;
use dreamstep_core::names::{checkpoint, metadata};
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::reader::File;
use dreamstep_runtime::{
    Action, Backend, ControllerKind, Encoder, LoadError, Model, Observation, SelfTestError, memory_len,
};
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

/// What a packed agent is, and what it was made for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agent {
    /// Environment id, where the file says.
    pub environment: Option<String>,
    /// Seconds from one tick to the next, where the file says.
    pub period_s: Option<f64>,
    /// Kind and size of what it observes.
    pub observation: String,
    /// V's kind and size.
    pub v: String,
    /// M's.
    pub m: String,
    /// C's, and what it reads.
    pub c: String,
    /// Kind and size of what it does.
    pub action: String,
    /// Lower and upper end of each value of a continuous action, in the environment's units.
    pub action_range: Vec<[f32; 2]>,
    /// Nats per dimension that M's surprise seldom exceeds on held-out data, where the file says.
    pub surprise_limit: Option<f32>,
}

impl Agent {
    fn of(model: &Model<'_>) -> Self {
        let dims = model.dims();
        let list = |widths: &[usize]| widths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Self {
            environment: model.environment().map(unescape),
            period_s: model.period_s(),
            observation: match dims.obs {
                Observation::Vector { len } => format!("vector of {len}"),
                Observation::Image(image) => {
                    let sizes = |[height, width, channels]: [usize; 3]| format!("{height} × {width} × {channels}");
                    let from = if image.prepared() == image.frame {
                        String::new()
                    } else {
                        format!(" of frames of {}", sizes(image.frame))
                    };
                    format!("image of {}{from}", sizes(image.prepared()))
                }
                other => other.kind().to_string(),
            },
            v: match dims.v {
                Encoder::Mlp { hidden, latent } => {
                    format!("mlp of {} hidden units, {latent} latents", list(hidden.as_slice()))
                }
                Encoder::Identity { latent } => format!("identity, {latent} latents"),
                Encoder::Conv { convolutions, latent } => {
                    let channels: Vec<usize> = convolutions.iter().map(|convolution| convolution.channels).collect();
                    let decoder = if model.settings().decoder.is_some() { ", with a decoder" } else { "" };
                    format!("convolutions of {} channels, {latent} latents{decoder}", list(&channels))
                }
                other => other.kind().to_string(),
            },
            m: match dims.m.recurrent() {
                Some(m) => {
                    let head = if model.has_mdn() { "" } else { " (head left out)" };
                    format!("{} of {} units, {} {} mixtures{head}", dims.m.kind(), m.hidden, m.mixtures, m.mixture.name())
                }
                None => dims.m.kind().to_string(),
            },
            c: match dims.c.kind {
                ControllerKind::Mlp { hidden, activation } => {
                    format!(
                        "mlp of {} hidden units, {}, reads {}",
                        list(hidden.as_slice()),
                        activation.name(),
                        dims.c.input.name()
                    )
                }
                _ => format!("{}, reads {}", dims.c.kind_name(), dims.c.input.name()),
            },
            action: match dims.action {
                Action::Continuous { len: 1 } => "continuous, 1 value".to_string(),
                Action::Continuous { len } => format!("continuous, {len} values"),
                Action::Discrete { choices } => format!("discrete, {choices} choices"),
                other => other.kind().to_string(),
            },
            action_range: (0..dims.action_len()).map_while(|index| model.action_range(index)).collect(),
            surprise_limit: model.settings().surprise_limit,
        }
    }
}

impl std::fmt::Display for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let period = self.period_s.map_or("not said".to_string(), |s| format!("{s} s"));
        writeln!(f, "environment: {}, control period: {period}", self.environment.as_deref().unwrap_or("not said"))?;
        writeln!(f, "observation: {}", self.observation)?;
        writeln!(f, "V: {}", self.v)?;
        writeln!(f, "M: {}", self.m)?;
        writeln!(f, "C: {}", self.c)?;
        write!(f, "action: {}", self.action)?;
        match self.action_range.first() {
            Some([low, high]) if self.action_range.iter().all(|range| range == &[*low, *high]) => {
                writeln!(f, ", each from {low} to {high}")?;
            }
            Some(_) => {
                let ranges: Vec<_> = self.action_range.iter().map(|[low, high]| format!("{low} to {high}")).collect();
                writeln!(f, ", from {}", ranges.join(", "))?;
            }
            None => writeln!(f)?,
        }
        let limit = self.surprise_limit.map_or("not said".to_string(), |limit| format!("{limit} nats per dimension"));
        writeln!(f, "surprise limit: {limit}")
    }
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
    /// Packed agents: what it is, and what it was made for.
    pub agent: Option<Agent>,
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
        agent: None,
        cell: file.tensor(checkpoint::RNN_WEIGHT_HH).map(|_| said(&file, meta::RNN_CELL, MemoryCell::Lstm.name())),
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
    for backend in Backend::ALL {
        let verdict = match Model::load_with(bytes, backend) {
            Ok(model) => {
                report.cell = model.dims().cell().map(|cell| cell.name().to_string());
                report.input = Some(model.dims().input().name().to_string());
                report.agent = Some(Agent::of(&model));
                let mut memory = vec![0.0; memory_len(model.dims())];
                report.memory_bytes = Some(size_of_val(memory.as_slice()));
                let result = model.self_test(&mut memory);
                if result != Err(SelfTestError::Absent) {
                    report.self_test_passed = Some(report.self_test_passed.unwrap_or(true) && result.is_ok());
                }
                result.map_or_else(|error| error.to_string(), |()| "passed".to_string())
            }
            Err(LoadError::Backend { .. }) => "not on this processor".to_string(),
            Err(error) => return Err(file::refused(path, &error)),
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

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}: {}, {} bytes", self.file, self.kind, self.bytes)?;
        match &self.agent {
            Some(agent) => write!(f, "{agent}")?,
            None => {
                self.cell.iter().try_for_each(|cell| writeln!(f, "M's memory: {cell}"))?;
                self.input.iter().try_for_each(|input| writeln!(f, "controller reads: {input}"))?;
            }
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
