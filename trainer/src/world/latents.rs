//! V's latents of every recorded observation, on disk: `RUN/latents.npy`, float32 `[R, 2Z]`: the mean and the log-variance of each observation,
//! the episodes one below the other in the order of their files, an episode of `T` steps taking `T + 1` rows. `numpy.load` opens it,
//! memory-mapped if asked to. `RUN/latents.json` says which V and which episodes it was made from; where these are others by now, it is
//! made anew.

use crate::data::dataset::Dataset;
use crate::run::folder::{PARTIAL, RunDir, digest, write_atomic};
use crate::run::interrupt;
use crate::world::nets::to_vec;
use crate::world::trained::TrainedVae;
use anyhow::{Context, Result, ensure};
use ndarray_npy::write_zeroed_npy;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};

/// Episodes encoded at a time.
const CHUNK: usize = 64;

/// The file of a run's latents, open.
#[derive(Debug)]
pub struct Latents {
    file: File,
    path: PathBuf,
    /// Bytes before the first row.
    start: u64,
    latent: usize,
    /// First row of each episode.
    rows: Vec<u64>,
}

/// `latents.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    /// Digest of `vae.safetensors`.
    vae: String,
    /// Fingerprint of the episodes.
    data: String,
    rows: u64,
    latent: usize,
}

impl Latents {
    /// Opens the run's latents, after making them where they are not of this V and these episodes.
    ///
    /// # Errors
    /// One line naming the file: it cannot be written or read. [`interrupt::Interrupted`].
    pub fn open(run: &RunDir, data: &Dataset, vae: &TrainedVae, device: Device) -> Result<Self> {
        let all: Vec<usize> = (0..data.len()).collect();
        let mut rows = Vec::with_capacity(data.len());
        let mut next = 0;
        for &id in &all {
            rows.push(next);
            next += data.rows(&[id]) as u64;
        }
        let latent = vae.shape.latent;
        let origin = Origin { vae: digest(&run.vae())?, data: format!("{:016x}", data.fingerprint()), rows: next, latent };
        let path = run.latents();
        let bytes = next * 2 * latent as u64 * 4;
        let found = std::fs::read(run.latents_origin()).ok().and_then(|text| serde_json::from_slice::<Origin>(&text).ok());
        let is_whole = || std::fs::metadata(&path).is_ok_and(|file| file.len() > bytes);
        if found.as_ref() != Some(&origin) || !is_whole() {
            if found.is_some() {
                // In this order: what says it is of this V must never stand beside another's numbers.
                std::fs::remove_file(run.latents_origin())
                    .with_context(|| format!("{}: cannot remove", run.latents_origin().display()))?;
            }
            write(&path, data, vae, &all, device).with_context(|| format!("{}: cannot write", path.display()))?;
            write_atomic(&run.latents_origin(), (serde_json::to_string_pretty(&origin)? + "\n").as_bytes())?;
        }
        let open = || -> Result<Self> {
            let file = File::open(&path)?;
            let length = file.metadata()?.len();
            ensure!(length > bytes, "expected {bytes} bytes and a header, found {length}");
            Ok(Self { file, path: path.clone(), start: length - bytes, latent, rows })
        };
        open().with_context(|| path.display().to_string())
    }

    /// Mean and log-variance of every observation of the episodes `ids`, one below the other, `[Σ(T+1), Z]` each.
    ///
    /// # Errors
    /// One line naming the file: it cannot be read, or holds what is no number.
    pub fn read(&self, data: &Dataset, ids: &[usize], device: Device) -> Result<(Tensor, Tensor)> {
        let width = 2 * self.latent;
        let mut values = vec![0.0_f32; data.rows(ids) * width];
        let mut rest = values.as_mut_slice();
        for &id in ids {
            let (some, others) = rest.split_at_mut(data.rows(&[id]) * width);
            let at = self.start + self.rows[id] * width as u64 * 4;
            self.file
                .read_exact_at(bytemuck::cast_slice_mut(some), at)
                .with_context(|| format!("{}: cannot read the latents of episode {id}", self.path.display()))?;
            rest = others;
        }
        if cfg!(target_endian = "big") {
            values.iter_mut().for_each(|v| *v = f32::from_bits(v.to_bits().swap_bytes()));
        }
        let bad = values.iter().position(|v| !v.is_finite());
        ensure!(bad.is_none(), "{}: expected numbers, found {}", self.path.display(), values[bad.unwrap_or(0)]);
        let both = crate::world::nets::matrix(&values, width, device); // [R, 2Z]
        let z = self.latent as i64;
        Ok((both.narrow(1, 0, z), both.narrow(1, z, z)))
    }
}

/// Encodes all episodes into a new file at `path`.
fn write(path: &Path, data: &Dataset, vae: &TrainedVae, all: &[usize], device: Device) -> Result<()> {
    let folder = path.parent().context("expected a file in a folder")?;
    let mut partial = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(folder)?;
    let file = partial.as_file_mut();
    write_zeroed_npy::<f32, _>(file, (data.rows(all), 2 * vae.shape.latent))?;
    let bytes = data.rows(all) as u64 * 2 * vae.shape.latent as u64 * 4;
    file.seek(SeekFrom::End(-i64::try_from(bytes)?))?;
    let mut out = std::io::BufWriter::new(file);
    for ids in all.chunks(CHUNK) {
        interrupt::check()?;
        let (mean, log_var) = vae.encode(data, ids, device)?;
        for value in to_vec(&Tensor::cat(&[mean, log_var], 1))? {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    out.flush()?;
    drop(out);
    partial.as_file().sync_all()?;
    #[cfg(unix)]
    std::fs::set_permissions(partial.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    partial.persist(path)?;
    Ok(())
}
