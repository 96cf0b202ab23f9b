//! `export`: episodes as other programs read them. TorchWM's and ctallec's `.npz`, one a rollout, or the triplet of `.npy` files of the
//! notebooks, all episodes one below the other. Either has one observation a step; where an episode's last step led stands beside them,
//! so that nothing is lost and [`super::import`] reads it back:
//!
//! | form | files |
//! |---|---|
//! | `torchwm` | `rollout_0000000.npz`: `observations [T,O]`, `actions [T,A]`, `rewards [T]`, `terminals [T]`, all float32; ours: `final_observation [O]`, `truncations [T]`, `seed`. Actions that are choices are one-hot `[T,U]`, as networks read them |
//! | `ctallec` | `rollout_0000000.npz` as ctallec's generator writes it: `observations [T,…]` that the actions led *to*, `rewards [T]` float64, `actions [T,A]` float32, `terminals [T]` bool, where an episode ends for whatever reason. Its first observation and its seed are left out |
//! | `triplet` | `{env}_{N}_rollout_{observations,actions,rewards}.npy`, float32; ours: `…_dones` (an episode's last step), `…_terminals` (the task ended), `…_truncations` `[N]` bool, `…_final_observations [E,O]`. Of choices, actions are their numbers |
//!
//! Frames go out as the bytes that they are, `[T,h,w,c]` uint8: prepared ones ([`crate::data::observations`]). A triplet has none.
//!
//! A triplet has no place for seeds: read back, episodes have their numbers for seeds.

use super::NewFiles;
use super::observations::Observations;
use super::rollouts::{Episode, compression, files, npz_writer, read_dir};
use crate::env::{self, ActionSpace, EnvConfig};
use anyhow::{Context, Result, ensure};
use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate, s};
use ndarray_npy::WriteNpyExt;
use std::borrow::Cow;
use std::path::Path;

/// A form of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// One `.npz` a rollout, under TorchWM's keys.
    Torchwm,
    /// One `.npz` a rollout, as ctallec's world-models lays it out: a row's observation is where its action led.
    Ctallec,
    /// Three `.npy` files, and what they lack.
    Triplet,
}

/// Writes the episodes in `rollouts`, of environment `env`, into the empty or missing folder `out`. Returns how many episodes and steps.
///
/// # Errors
/// One line: no episodes, a file that cannot be read or written, an unknown environment, or a folder that is not empty. [`crate::run::interrupt::Interrupted`] on Ctrl-C. The
/// folder is then as it was.
pub fn export(env: &EnvConfig, rollouts: &Path, out: &Path, form: Form) -> Result<(u64, u64)> {
    let files = files(rollouts)?;
    let taken = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    ensure!(!taken, "{}: expected an empty folder or none, found files in it", out.display());
    let mut new = NewFiles::below(&[out]);
    let count = match form {
        Form::Torchwm | Form::Ctallec => {
            let of = if form == Form::Torchwm { torchwm } else { ctallec };
            let actions = env::spec(env)?.actions;
            let mut steps = 0;
            for (i, file) in files.iter().enumerate() {
                let episode = Episode::read(file)?;
                new.write(
                    out.join(format!("rollout_{i:07}.npz")),
                    &of(&episode, &actions).with_context(|| file.display().to_string())?,
                )?;
                steps += episode.steps() as u64;
            }
            (files.len() as u64, steps)
        }
        // Of an id in Gymnasium's long form, what a file's name may have.
        Form::Triplet => {
            // Before all of them are read.
            let first = Episode::read(&files[0])?;
            first.observations.vectors().context("--format triplet")?;
            triplet(&env.id.replace([':', '/'], "-"), &read_dir(rollouts)?, out, &mut new)?
        }
    };
    new.keep();
    Ok(count)
}

fn torchwm(episode: &Episode, actions: &ActionSpace) -> Result<Vec<u8>> {
    let t = episode.steps();
    let number = |flags: &Array1<bool>| flags.mapv(|flag| f32::from(u8::from(flag)));
    let mut npz = npz_writer(compression(&episode.observations));
    match &episode.observations {
        Observations::Vectors(rows) => npz.add_array("observations", &rows.slice(s![..t, ..]))?,
        Observations::Frames(frames) => npz.add_array("observations", &frames.slice(s![..t, .., .., ..]))?,
    }
    npz.add_array("actions", &*as_heard(episode, actions)?)?;
    npz.add_array("rewards", &episode.rewards)?;
    npz.add_array("terminals", &number(&episode.terminals))?;
    npz.add_array("truncations", &number(&episode.truncations))?;
    match &episode.observations {
        Observations::Vectors(rows) => npz.add_array("final_observation", &rows.row(t))?,
        Observations::Frames(frames) => npz.add_array("final_observation", &frames.index_axis(Axis(0), t))?,
    }
    npz.add_array("seed", &ndarray::arr0(episode.seed))?;
    Ok(npz.finish()?.into_inner())
}

fn ctallec(episode: &Episode, actions: &ActionSpace) -> Result<Vec<u8>> {
    let mut npz = npz_writer(compression(&episode.observations));
    match &episode.observations {
        Observations::Vectors(rows) => npz.add_array("observations", &rows.slice(s![1.., ..]))?,
        Observations::Frames(frames) => npz.add_array("observations", &frames.slice(s![1.., .., .., ..]))?,
    }
    npz.add_array("rewards", &episode.rewards.mapv(f64::from))?;
    npz.add_array("actions", &*as_heard(episode, actions)?)?;
    npz.add_array("terminals", &(&episode.terminals | &episode.truncations))?;
    Ok(npz.finish()?.into_inner())
}

/// Actions as networks read them, `[T, A]`, or one-hot `[T, U]`.
fn as_heard<'e>(episode: &'e Episode, actions: &ActionSpace) -> Result<Cow<'e, Array2<f32>>> {
    Ok(match actions {
        ActionSpace::Continuous { .. } => Cow::Borrowed(&episode.actions),
        ActionSpace::Discrete { choices } => {
            let (ear, mut heard) = (actions.ear(), Vec::new());
            episode.actions.rows().into_iter().try_for_each(|row| ear.hear(row, &mut heard))?;
            Cow::Owned(Array2::from_shape_vec((episode.steps(), *choices), heard)?)
        }
    })
}

fn triplet(env: &str, episodes: &[Episode], out: &Path, new: &mut NewFiles) -> Result<(u64, u64)> {
    fn tables<'a>(episodes: &'a [Episode], of: impl Fn(&'a Episode) -> Result<ArrayView2<'a, f32>>) -> Result<Array2<f32>> {
        Ok(concatenate(Axis(0), &episodes.iter().map(of).collect::<Result<Vec<_>>>()?)?)
    }
    let observations = tables(episodes, |e| Ok(e.observations.vectors()?.slice_move(s![..e.steps(), ..])))?;
    let finals = tables(episodes, |e| Ok(e.observations.vectors()?.slice_move(s![e.steps().., ..])))?;
    let actions = tables(episodes, |e| Ok(e.actions.view()))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::collect::{Request, collect};
    use crate::data::import::{Options, import};
    use crate::data::npy::Npz;
    use crate::env::CHOICES;
    use crate::run::config::Config;
    use crate::run::folder::RunDir;
    use crate::run::progress::Progress;
    use ndarray::Ix2;

    /// One-hot where networks read them, numbers elsewhere.
    #[test]
    fn choices_go_out_and_come_in_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { env: CHOICES.into(), ..Config::default() };
        config.collect.steps = 200;
        let run = RunDir::new(&folder.path().join("run"));
        collect(&config, run.root(), &Request::default(), &Progress::hidden()).unwrap();
        let recorded = read_dir(&run.rollouts()).unwrap();
        for (form, out) in [(Form::Torchwm, "torchwm"), (Form::Triplet, "triplet")] {
            let out = folder.path().join(out);
            export(&config.env, &run.rollouts(), &out, form).unwrap();
            let back = RunDir::new(&out.with_extension("back"));
            import(&config, &back, &[out], &Options::default()).unwrap();
            for (found, recorded) in read_dir(&back.rollouts()).unwrap().iter().zip(&recorded) {
                assert_eq!((&found.actions, &found.observations), (&recorded.actions, &recorded.observations), "{form:?}");
            }
        }
        let bytes = std::fs::read(folder.path().join("torchwm/rollout_0000000.npz")).unwrap();
        let actions = Npz::new(&bytes).unwrap().exact::<f32, Ix2>("actions", "float32").unwrap();
        for (row, choice) in actions.rows().into_iter().zip(&recorded[0].actions) {
            assert_eq!(row.to_vec(), [0.0, 1.0, 2.0].map(|other| f32::from(u8::from(other == *choice))));
        }
        let numbers = std::fs::read_dir(folder.path().join("triplet")).unwrap().map(|entry| entry.unwrap().file_name());
        let steps: usize = recorded.iter().map(Episode::steps).sum();
        let name = format!("{CHOICES}_{steps}_rollout_actions.npy");
        assert!(numbers.into_iter().any(|found| found.to_string_lossy() == name), "{name}");
    }
}
