//! `export`: episodes as other programs read them. TorchWM's and ctallec's `.npz`, one a rollout, or the triplet of `.npy` files of the
//! notebooks, all episodes one below the other. Either has one observation a step; where an episode's last step led stands beside them,
//! so that nothing is lost and [`super::import`] reads it back:
//!
//! | form | files |
//! |---|---|
//! | `torchwm` | `rollout_0000000.npz`: `observations [T,O]`, `actions [T,A]`, `rewards [T]`, `terminals [T]`, all float32; ours: `final_observation [O]`, `truncations [T]`, `seed` |
//! | `triplet` | `{env}_{N}_rollout_{observations,actions,rewards}.npy`, float32; ours: `…_dones` (an episode's last step), `…_terminals` (the task ended), `…_truncations` `[N]` bool, `…_final_observations [E,O]` |
//!
//! A triplet has no place for seeds: read back, episodes have their numbers for seeds.

use super::NewFiles;
use super::rollouts::{Episode, files, npz_writer, read_dir};
use anyhow::{Context, Result, ensure};
use ndarray::{Array1, Array2, Axis, concatenate, s};
use ndarray_npy::WriteNpyExt;
use std::path::Path;

/// A form of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// One `.npz` a rollout, under TorchWM's keys.
    Torchwm,
    /// Three `.npy` files, and what they lack.
    Triplet,
}

/// Writes the episodes in `rollouts`, of environment `env`, into the empty or missing folder `out`. Returns how many episodes and steps.
///
/// # Errors
/// One line: no episodes, a file that cannot be read or written, or a folder that is not empty. [`crate::run::interrupt::Interrupted`] on Ctrl-C. The
/// folder is then as it was.
pub fn export(env: &str, rollouts: &Path, out: &Path, form: Form) -> Result<(u64, u64)> {
    let files = files(rollouts)?;
    let taken = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    ensure!(!taken, "{}: expected an empty folder or none, found files in it", out.display());
    let mut new = NewFiles::below(&[out]);
    let count = match form {
        Form::Torchwm => {
            let mut steps = 0;
            for (i, file) in files.iter().enumerate() {
                let episode = Episode::read(file)?;
                new.write(out.join(format!("rollout_{i:07}.npz")), &torchwm(&episode)?)?;
                steps += episode.steps() as u64;
            }
            (files.len() as u64, steps)
        }
        Form::Triplet => triplet(env, &read_dir(rollouts)?, out, &mut new)?,
    };
    new.keep();
    Ok(count)
}

fn torchwm(episode: &Episode) -> Result<Vec<u8>> {
    let t = episode.steps();
    let number = |flags: &Array1<bool>| flags.mapv(|flag| f32::from(u8::from(flag)));
    let mut npz = npz_writer();
    npz.add_array("observations", &episode.observations.slice(s![..t, ..]))?;
    npz.add_array("actions", &episode.actions)?;
    npz.add_array("rewards", &episode.rewards)?;
    npz.add_array("terminals", &number(&episode.terminals))?;
    npz.add_array("truncations", &number(&episode.truncations))?;
    npz.add_array("final_observation", &episode.observations.row(t))?;
    npz.add_array("seed", &ndarray::arr0(episode.seed))?;
    Ok(npz.finish()?.into_inner())
}

fn triplet(env: &str, episodes: &[Episode], out: &Path, new: &mut NewFiles) -> Result<(u64, u64)> {
    fn tables<'a>(episodes: &'a [Episode], of: impl Fn(&'a Episode) -> ndarray::ArrayView2<'a, f32>) -> Result<Array2<f32>> {
        Ok(concatenate(Axis(0), &episodes.iter().map(of).collect::<Vec<_>>())?)
    }
    let observations = tables(episodes, |e| e.observations.slice(s![..e.steps(), ..]))?;
    let finals = tables(episodes, |e| e.observations.slice(s![e.steps().., ..]))?;
    let actions = tables(episodes, |e| e.actions.view())?;
    let rewards: Array1<f32> = episodes.iter().flat_map(|e| e.rewards.iter().copied()).collect();
    let terminals: Array1<bool> = episodes.iter().flat_map(|e| e.terminals.iter().copied()).collect();
    let truncations: Array1<bool> = episodes.iter().flat_map(|e| e.truncations.iter().copied()).collect();
    let dones: Array1<bool> = episodes.iter().flat_map(|e| (1..=e.steps()).map(|t| t == e.steps())).collect();
    let n = rewards.len();
    let mut write = |kind: &str, array: &dyn Fn(&mut Vec<u8>) -> Result<(), ndarray_npy::WriteNpyError>| -> Result<()> {
        let (path, mut bytes) = (out.join(format!("{env}_{n}_rollout_{kind}.npy")), Vec::new());
        array(&mut bytes).with_context(|| path.display().to_string())?;
        new.write(path, &bytes)
    };
    write("observations", &|bytes| observations.write_npy(bytes))?;
    write("actions", &|bytes| actions.write_npy(bytes))?;
    write("rewards", &|bytes| rewards.write_npy(bytes))?;
    write("dones", &|bytes| dones.write_npy(bytes))?;
    write("terminals", &|bytes| terminals.write_npy(bytes))?;
    write("truncations", &|bytes| truncations.write_npy(bytes))?;
    write("final_observations", &|bytes| finals.write_npy(bytes))?;
    Ok((episodes.len() as u64, n as u64))
}
