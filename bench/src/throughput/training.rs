//! What does one optimiser step of V and of M take in the trainer, and in PyTorch from Python?
//!
//! The step is the trainer's own function ([`train_vae::update`], [`Objective::update`]) on a batch that is there already: loss, gradient,
//! clipping where the trainer clips, Adam, and reading the loss. Both sides start from the same weights and take the same batch, which
//! travel in an npz file; before anything is timed their losses must agree, the first to 1e-4 and those after one, two and three updates
//! to 1e-3, so that optimiser and clipping are known to be the same too.

use super::python::{Child, Python, Started};
use super::{Device, Options, Turn, take_turns};
use crate::report::{Cell, Table};
use anyhow::{Context, Result, bail, ensure};
use dreamstep::agent::convolution::Chain;
use dreamstep::run::config::OptimizerRule;
use dreamstep::run::config::{Config, MdnrnnConfig, Preset, VaeConfig};
use dreamstep::world::mdnrnn::{MdnRnn, MdnRnnShape};
use dreamstep::world::nets::{inputs, matrix, normals};
use dreamstep::world::optim::Optimizer;
use dreamstep::world::train_mdnrnn::{Batch, Objective};
use dreamstep::world::train_vae;
use dreamstep::world::vae::{Vae, VaeLayers, VaeShape};
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::Dims;
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::ffi::OsStr;
use std::hint::black_box;
use std::path::Path;
use tch::Tensor;
use tch::nn;

/// Values of an observation.
const OBS: usize = Dims::HUMANOID.obs_len();
/// Height, width and channels of a frame.
const FRAME: [usize; 3] = [64, 64, 3];
/// Mean and variance of the invented rewards.
const REWARD: (f64, f64) = (4.7, 0.25);
/// Standard deviation of the invented next latents.
const SPREAD: f64 = 4.0;
/// One in so many steps ends an episode; about what random episodes of Humanoid-v5 come to.
const EPISODE: usize = 24;

/// A network with its optimiser and a batch.
struct Trainee<'c> {
    /// As the script calls it.
    network: &'static str,
    /// What a batch is, in words.
    batch: String,
    /// What the script has to know.
    settings: Value,
    /// The weights it began with, and the batch.
    tensors: Vec<(String, Tensor)>,
    /// One update; the loss before it.
    step: Box<dyn FnMut() -> f64 + 'c>,
}

/// `n` rows of standard normals, named by `name`.
fn draw(name: u64, rows: usize, columns: usize, device: tch::Device) -> Tensor {
    matrix(&normals(Philox::new(11), Stream::LatentNoise, name, rows * columns), columns, device)
}

/// The variables of `vs` as they are now, and the batch; on the host.
fn snapshot(vs: &nn::VarStore, batch: &[(&str, &Tensor)]) -> Vec<(String, Tensor)> {
    let weights = vs.variables().into_iter();
    let all = weights.chain(batch.iter().map(|(name, tensor)| ((*name).to_string(), tensor.shallow_clone())));
    all.map(|(name, tensor)| (name, tensor.detach().to_device(tch::Device::Cpu).copy())).collect()
}

/// V as the trainer makes it, and `scale` of its batches in one.
fn vae(config: &VaeConfig, scale: usize, device: tch::Device) -> Result<Trainee<'_>> {
    let vs = nn::VarStore::new(device);
    let VaeConfig { latent, hidden, log_var_range, .. } = config.clone();
    let shape = VaeShape { obs: OBS, layers: VaeLayers::Mlp(hidden.clone()), latent, log_var_range };
    let model = Vae::new(&vs.root(), shape, &[true; OBS], Philox::new(1));
    let mut adam = Optimizer::new(&vs, OptimizerRule::Adam, config.learning_rate);
    let rows = scale * config.batch_size;
    let (x, noise) = (draw(0, rows, OBS, device), draw(1, rows, latent, device));
    Ok(Trainee {
        network: "vae",
        batch: rows.to_string(),
        settings: json!({
            "obs": OBS, "hidden": hidden, "latent": latent, "log_var_range": log_var_range, "kl_weight": config.kl_weight,
            "kl_tolerance": config.kl_tolerance, "learning_rate": config.learning_rate,
        }),
        tensors: snapshot(&vs, &[("x", &x), ("noise", &noise)]),
        step: Box::new(move || train_vae::update(&model, &mut adam, config, &x, &noise).total.double_value(&[])),
    })
}

/// V of pictures as the trainer makes it, and a batch of its frames in bytes, which become numbers in the step.
fn pictures(config: &VaeConfig, frames: usize, device: tch::Device) -> Result<Trainee<'_>> {
    let vs = nn::VarStore::new(device);
    let VaeConfig { latent, log_var_range, ref convolution, .. } = *config;
    let obs = FRAME.iter().product();
    let chain = Chain::new(FRAME, &convolution.encoder, &convolution.decoder)?;
    let shape = VaeShape { obs, layers: VaeLayers::Convolutional(chain), latent, log_var_range };
    let model = Vae::new(&vs.root(), shape, &[], Philox::new(3));
    let mut adam = Optimizer::new(&vs, OptimizerRule::Adam, config.learning_rate);
    // Smooth from left to right, as pictures are, and never twice the same.
    let drawn = (draw(6, frames * FRAME[0], FRAME[2], tch::Device::Cpu) * 40.0 + 128.0).clamp(0.0, 255.0);
    let x = drawn.view([frames as i64, FRAME[0] as i64, 1, FRAME[2] as i64]).repeat([1, 1, FRAME[1] as i64, 1]);
    let x = x.to_kind(tch::Kind::Uint8).flatten(1, -1).to_device(device);
    let noise = draw(7, frames, latent, device);
    Ok(Trainee {
        network: "pictures",
        batch: frames.to_string(),
        settings: json!({
            "latent": latent, "log_var_range": log_var_range, "kl_weight": config.kl_weight,
            "kl_tolerance": config.kl_tolerance, "learning_rate": config.learning_rate,
        }),
        tensors: snapshot(&vs, &[("x", &x), ("noise", &noise)]),
        step: Box::new(move || train_vae::update(&model, &mut adam, config, &inputs(&x), &noise).total.double_value(&[])),
    })
}

/// M as the trainer makes it, and a batch of `scale` times as many windows, all of full length.
fn mdnrnn<'c>(config: &'c MdnrnnConfig, latent: usize, scale: usize, device: tch::Device) -> Result<Trainee<'c>> {
    let vs = nn::VarStore::new(device);
    let MdnrnnConfig { hidden, cell, mixture, target, mixtures, log_sigma_min, sequence_length, .. } = *config;
    let action = Dims::HUMANOID.action_len();
    let shape = MdnRnnShape { action, latent, hidden, cell, mixture, target, mixtures, log_sigma_min };
    let model = MdnRnn::new(&vs.root(), shape, Philox::new(2));
    let mut adam = Optimizer::new(&vs, OptimizerRule::Adam, config.learning_rate);
    let windows = scale * config.batch_size;
    let rows = windows * sequence_length;
    let terminal: Vec<f32> = (0..rows).map(|row| f32::from(u8::from(row % EPISODE == 0))).collect();
    let batch = Batch {
        rows: (0..rows as i64).collect(),
        sizes: Tensor::from_slice(&vec![windows as i64; sequence_length]),
        order: (0..windows).collect(),
        z: draw(2, rows, latent, device),
        action: draw(3, rows, action, device).clamp(-1.0, 1.0),
        // Far from what a new M expects, so that the gradient is long enough to be clipped.
        next: draw(4, rows, latent, device) * SPREAD,
        reward: draw(5, rows, 1, device).squeeze_dim(1) * REWARD.1.sqrt() + REWARD.0,
        terminal: Tensor::from_slice(&terminal).to_device(device),
        state: model.zero_state(windows),
    };
    let objective = Objective::new(config, REWARD);
    let named = [
        ("sizes", &batch.sizes),
        ("z", &batch.z),
        ("action", &batch.action),
        ("next", &batch.next),
        ("reward", &batch.reward),
        ("terminal", &batch.terminal),
        ("h", &batch.state.h),
        ("c", batch.state.c.as_ref().context("mdnrnn.cell: expected lstm, the peer's memory, found gru")?),
    ];
    Ok(Trainee {
        network: "mdnrnn",
        batch: format!("{windows} × {sequence_length}"),
        settings: json!({
            "action": action, "latent": latent, "hidden": hidden, "mixtures": mixtures, "log_sigma_min": log_sigma_min,
            "reward_offset": REWARD.0, "reward_variance": REWARD.1, "reward_weight": config.reward_weight,
            "terminal_weight": config.terminal_weight, "learning_rate": config.learning_rate, "grad_clip": config.grad_clip,
        }),
        tensors: snapshot(&vs, &named),
        step: Box::new(move || objective.update(&model, &mut adam, &batch).total.double_value(&[])),
    })
}

/// What the script answers.
#[derive(Deserialize)]
struct Answer {
    seconds: f64,
    losses: Vec<f64>,
}

/// Starts PyTorch on what `trainee` started on.
fn pytorch(python: &Python, trainee: &Trainee<'_>, device: Device, folder: &Path) -> Result<Started> {
    let file = folder.join(format!("{}.npz", trainee.network));
    Tensor::write_npz(&trainee.tensors, &file).with_context(|| format!("cannot write {}", file.display()))?;
    let settings = trainee.settings.to_string();
    let arguments = [OsStr::new(trainee.network), file.as_os_str(), OsStr::new(device.name()), OsStr::new(&settings)];
    python.start("training.py", &arguments)
}

/// The largest relative difference of the first losses, which must not be more than rounding.
fn agreement(network: &str, ours: &[f64], theirs: &[f64]) -> Result<f64> {
    ensure!(ours.len() == theirs.len(), "{network}: expected {} losses, found {}", ours.len(), theirs.len());
    let mut worst = 0.0_f64;
    for (step, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let (difference, allowed) = ((a - b).abs() / a.abs().max(1e-6), if step == 0 { 1e-4 } else { 1e-3 });
        let same = difference <= allowed; // NaN is not
        if !same {
            bail!(
                "{network}: loss after {step} updates: expected {a} to {allowed:e}, found {b} in PyTorch: not the same step, so their times \
                 do not compare"
            );
        }
        worst = worst.max(difference);
    }
    Ok(worst)
}

/// Measures.
///
/// # Errors
/// The named Python cannot be started, or PyTorch's losses are not ours.
pub fn tables(options: &Options, device: tch::Device) -> Result<Vec<Table>> {
    let Config { vae: v, mdnrnn: m, .. } = Preset::QUICK.config();
    let rounds = options.common.effort(15, 1);
    let scales = match options.device {
        Device::Cpu => options.common.effort(vec![1, 8], vec![1]),
        Device::Cuda => vec![1, 8, 64],
    };
    let python = options.python.as_deref().map_or_else(Python::with_torch, |path| Ok(Python::at(path)))?;
    let folder = tempfile::tempdir().context("a folder for weights and batches")?;

    let columns = [
        "network",
        "batch",
        "device",
        "first loss",
        "step ms, p50",
        "step ms, min",
        "PyTorch ms, p50",
        "PyTorch ms, min",
        "time to PyTorch",
        "losses' difference",
    ];
    let mut table = Table::new("One optimiser step of V and of M", &columns);
    let mut peer = String::new();
    for &scale in &scales {
        // Steps in a round: enough for the clock, and alike for both.
        let frames = if options.common.quick { 2 } else { 32 * scale.min(3) };
        let trainees =
            [(vae(&v, scale, device)?, 16), (pictures(&v, frames, device)?, 1), (mdnrnn(&m, v.latent, scale, device)?, 2)];
        for (mut trainee, steps) in trainees {
            let steps = options.common.effort(steps_of(steps, scale), 1);
            let started = pytorch(&python, &trainee, options.device, folder.path())?;
            let losses: Vec<f64> = (0..4).map(|_| (trainee.step)()).collect();
            let Trainee { network, batch, mut step, .. } = trainee;
            let child: RefCell<Child>;
            let mut turns: Vec<Turn<'_>> = vec![Box::new(|| {
                let start = options.device.now_s();
                (0..steps).for_each(|_| {
                    black_box(step());
                });
                Ok((options.device.now_s() - start) * 1e6 / steps as f64)
            })];
            let mut difference = f64::NAN;
            match started {
                Started::Ready(mut ready, version) => {
                    difference = agreement(network, &losses, &ready.ask::<Answer>(&losses.len())?.losses)?;
                    peer = format!("{version}, torch.optim.adam. ");
                    child = RefCell::new(ready);
                    turns.push(Box::new(|| Ok(child.borrow_mut().ask::<Answer>(&steps)?.seconds * 1e6 / steps as f64)));
                }
                Started::Missing(what) => {
                    peer = format!("PyTorch: not measured: no Python with torch ({what}); --python names one. ");
                }
            }
            let times = take_turns(&mut turns, rounds)?;
            let ms = |value: f64| Cell::Number(value / 1e3, 3);
            let theirs = times.get(1);
            table.row([
                network.into(),
                batch.into(),
                options.device.name().into(),
                Cell::Number(losses[0], 4),
                ms(times[0].p50()),
                ms(times[0].min()),
                theirs.map_or(Cell::Missing, |t| ms(t.p50())),
                theirs.map_or(Cell::Missing, |t| ms(t.min())),
                theirs.map_or(Cell::Missing, |t| Cell::Number(times[0].ratio_to(t), 3)),
                Cell::Number(difference, 8),
            ]);
        }
    }
    table.note(format!(
        "{peer}{rounds} interleaved rounds, one thread, {} time. `pictures` is V of 64 x 64 x 3 bytes. Smallest batches are those of both presets; the last column is the largest \
         relative difference of the two sides' first four losses.",
        if options.device == Device::Cpu { "processor" } else { "wall" }
    ));
    Ok(vec![table])
}

fn steps_of(steps: usize, scale: usize) -> usize {
    (steps / scale).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_losses_are_no_comparison() {
        assert_eq!(agreement("vae", &[2.0, 1.0], &[2.0, 1.0005]).unwrap(), 0.000_499_999_999_999_944_9);
        for (ours, theirs) in [([2.0, 1.0], [2.001, 1.0]), ([2.0, 1.0], [2.0, 1.01]), ([2.0, 1.0], [2.0, f64::NAN])] {
            let error = agreement("vae", &ours, &theirs).unwrap_err().to_string();
            assert!(error.contains("not the same step") && !error.contains('\n'), "{error}");
        }
        assert!(agreement("vae", &[2.0], &[]).is_err());
    }

    /// What is timed does train: the loss of a batch that is met again and again falls.
    #[test]
    fn steps_descend() {
        tch::set_num_threads(1);
        let config = Preset::QUICK.config();
        let v = vae(&config.vae, 1, tch::Device::Cpu).unwrap();
        let p = pictures(&config.vae, 2, tch::Device::Cpu).unwrap();
        let m = mdnrnn(&config.mdnrnn, config.vae.latent, 1, tch::Device::Cpu).unwrap();
        for mut trainee in [v, p, m] {
            let losses: Vec<f64> = (0..8).map(|_| (trainee.step)()).collect();
            assert!(losses[7] < losses[0] && losses[7].is_finite(), "{}: {losses:?}", trainee.network);
        }
    }
}
