//! What V and M share as libtorch networks: layers, named initial weights and noise, tensors in and out.
//!
//! Variables carry the checkpoint's names ([`dreamstep_core::names::checkpoint`]). Initial weights and training noise are
//! named Philox draws, not libtorch's global generator: what a run draws does not depend on what else runs in the process.

use crate::agent::v::{BYTE_SCALE, Preprocessing};
use crate::data::dataset::Dataset;
use crate::data::rollouts::Episode;
use crate::run::checkpoint::{Array, Checkpoint};
use crate::stats::uniform_values;
use anyhow::{Result, anyhow};
use dreamstep_core::rng::{Philox, Stream};
use std::borrow::Cow;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor, nn};

/// `n` standard normals: draws `(stream, step, 0..)` of [`Philox::fill_normal`].
#[must_use]
pub fn normals(rng: Philox, stream: Stream, step: u64, n: usize) -> Vec<f32> {
    let mut values = vec![0.0; n];
    rng.fill_normal(stream, step, &mut values);
    values
}

/// A variable drawn as [`uniform_values`] draws it.
pub(crate) fn uniform(path: &nn::Path, name: &str, shape: &[i64], bound: f64, rng: Philox) -> Tensor {
    let full = path.components().chain([name]).collect::<Vec<_>>().join(".");
    let values = uniform_values(&full, shape.iter().product::<i64>() as usize, bound, rng);
    path.var_copy(name, &Tensor::from_slice(&values).reshape(shape))
}

/// A linear layer with PyTorch's initialisation, U(±1/√inputs) for weight and bias.
pub(crate) fn linear(path: &nn::Path, inputs: i64, outputs: i64, rng: Philox) -> nn::Linear {
    let bound = 1.0 / (inputs as f64).sqrt();
    let ws = uniform(path, "weight", &[outputs, inputs], bound, rng);
    let bs = uniform(path, "bias", &[outputs], bound, rng);
    nn::Linear { ws, bs: Some(bs) }
}

/// What layers compute in: bfloat16 in mixed precision, otherwise float32. bfloat16 has float32's range, so that gradients need no scaling
/// (as float16's do).
pub(crate) const fn layer_kind(amp: bool) -> Kind {
    if amp { Kind::BFloat16 } else { Kind::Float }
}

/// `layer` in numbers of `kind`, which `x` is of; the weights stay what they are.
pub(crate) fn forward(layer: &nn::Linear, kind: Kind, x: &Tensor) -> Tensor {
    x.linear(&layer.ws.to_kind(kind), layer.bs.as_ref().map(|bs| bs.to_kind(kind)).as_ref())
}

/// The variables of `vs` by name, copied to the host.
///
/// # Errors
/// libtorch cannot hand one over.
pub fn export(vs: &nn::VarStore) -> Result<BTreeMap<String, Array>> {
    vs.variables()
        .into_iter()
        .map(|(name, tensor)| {
            let shape = tensor.size().iter().map(|&s| s as usize).collect();
            Ok((name, Array { shape, data: to_vec(&tensor)? }))
        })
        .collect()
}

/// Fills every variable of `vs` from the checkpoint. Other tensors of the checkpoint are left alone.
///
/// # Errors
/// One line naming the file and the tensor that is missing or has another shape.
pub fn import(vs: &nn::VarStore, checkpoint: &Checkpoint) -> Result<()> {
    let variables: BTreeMap<_, _> = vs.variables().into_iter().collect();
    for (name, mut tensor) in variables {
        let size = tensor.size();
        let shape: Vec<usize> = size.iter().map(|&s| s as usize).collect();
        let data = checkpoint.tensor(&name, &shape)?;
        tch::no_grad(|| tensor.copy_(&Tensor::from_slice(data).reshape(&size)));
    }
    Ok(())
}

/// The values of a tensor, row-major, on the host.
///
/// # Errors
/// libtorch cannot hand them over.
pub fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view(-1);
    Vec::try_from(&flat).map_err(|e| anyhow!("cannot read a tensor of shape {:?}: {e}", tensor.size()))
}

/// A `[N, columns]` tensor of host values.
pub fn matrix(values: &[f32], columns: usize, device: Device) -> Tensor {
    Tensor::from_slice(values).reshape([-1, columns as i64]).to_device(device)
}

/// What V sees of the episodes `ids`, as [`rows_of`] has it.
///
/// # Errors
/// [`Dataset::read`]'s and [`rows_of`]'s.
pub fn rows(data: &Dataset, ids: &[usize], preprocessing: &Preprocessing, device: Device) -> Result<Tensor> {
    let sizes = [data.rows(ids), data.dims().0];
    rows_of(ids.iter().map(|&id| data.read(id)), sizes, preprocessing, device)
}

/// What V sees of `episodes`, `[N, O]` in all, one below the other: whitened vectors in float32, or frames in the bytes that they are, of
/// which [`inputs`] makes numbers where a batch is needed.
///
/// # Errors
/// An episode cannot be read, or holds frames where V takes vectors, or the other way round.
///
/// # Panics
/// Never: an array in the standard layout is a slice.
pub fn rows_of<'e>(
    episodes: impl Iterator<Item = Result<Cow<'e, Episode>>>,
    [rows, obs]: [usize; 2],
    preprocessing: &Preprocessing,
    device: Device,
) -> Result<Tensor> {
    let Preprocessing::Whiten { normalizer, clip } = preprocessing else {
        let all = Tensor::empty([rows as i64, obs as i64], (Kind::Uint8, device));
        let mut at = 0;
        for episode in episodes {
            let episode = episode?;
            let frames = episode.observations.frames()?;
            let frames = frames.as_standard_layout();
            let some = Tensor::from_slice(frames.as_slice().expect("the standard layout is a slice")).view([-1, obs as i64]);
            let count = some.size()[0];
            all.narrow(0, at, count).copy_(&some);
            at += count;
        }
        return Ok(all);
    };
    let mut values = vec![0.0; rows * obs];
    let mut out = values.chunks_exact_mut(obs);
    for episode in episodes {
        let episode = episode?;
        let observations = episode.observations.vectors()?;
        let observations = observations.as_standard_layout();
        let numbers = observations.as_slice().expect("the standard layout is a slice");
        for (row, out) in numbers.chunks_exact(obs).zip(&mut out) {
            normalizer.apply(row, *clip, out);
        }
    }
    Ok(matrix(&values, obs, device))
}

/// Whether `rows` are frames in bytes.
#[must_use]
pub fn are_frames(rows: &Tensor) -> bool {
    rows.kind() == Kind::Uint8
}

/// x `[N, O]` of `rows` `[N, O]`, as [`rows`] has them.
pub fn inputs(rows: &Tensor) -> Tensor {
    if are_frames(rows) { rows.to_kind(Kind::Float) * f64::from(BYTE_SCALE) } else { rows.shallow_clone() }
}

/// An index tensor.
pub fn indices(values: &[i64], device: Device) -> Tensor {
    Tensor::from_slice(values).to_device(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn import_names_what_is_wrong() {
        let vs = nn::VarStore::new(Device::Cpu);
        let _ = linear(&(vs.root() / "fc"), 2, 3, Philox::new(0));
        let mut c = Checkpoint { origin: "m.safetensors".into(), tensors: export(&vs).unwrap(), ..Default::default() };
        import(&vs, &c).unwrap();
        c.insert("fc.weight", &[2, 3], vec![0.0; 6]);
        let error = import(&vs, &c).unwrap_err().to_string();
        assert_eq!(error, "m.safetensors: tensor fc.weight: expected shape [3, 2], found [2, 3]");
        c.tensors.remove("fc.bias");
        let error = import(&vs, &c).unwrap_err().to_string();
        assert_eq!(error, "m.safetensors: tensor fc.bias: expected shape [3], found no such tensor");
    }
}
