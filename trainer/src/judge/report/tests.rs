//! The report against closed forms, on a linear-Gaussian system of two latents that each follow
//!
//! ```text
//! z' = ρ·z + β·a + σ·e        a, e standard normal, ρ² + β² + σ² = 1: z stays standard normal
//! ```
//! seen by an M that says "as now, give or take 1".

use super::errors::Block;
use super::gates::{Verdict, gates};
use super::mdnrnn::{Fit, MdnrnnFigures};
use super::recorded::Chunk;
use super::vae::VaeFigures;
use super::*;
use crate::agent::v::Preprocessing;
use crate::data::rollouts::Episode;
use crate::stats::Normalizer;
use crate::world::mdnrnn::{MdnRnn, MdnRnnShape};
use crate::world::nets::{indices, matrix, normals};
use crate::world::vae::{Vae, VaeLayers, VaeShape, kl_divergence};
use dreamstep_core::m::{MemoryCell, Mixture};
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_core::schema::Target;
use ndarray::{Array1, Array2, s};
use std::sync::LazyLock;
use tch::{Kind, Tensor, nn};

const RHO: f64 = 0.8;
const BETA: f64 = 0.3;
const EPISODES: usize = 1500;
const STEPS: usize = 70;
/// What M adds to its reward; with a chance of ½ for an end it cancels half of the healthy bonus.
const OFFSET: f64 = 2.5;

fn sigma_squared() -> f64 {
    1.0 - RHO * RHO - BETA * BETA
}

fn spec() -> EnvSpec {
    EnvSpec {
        id: "linear".into(),
        obs: 2,
        actions: crate::env::ActionSpace::symmetric(1, 1.0),
        dt_s: 0.01,
        time_limit: 1000,
        blocks: crate::env::blocks(&[("qpos", 1), ("qvel", 1)]),
        image: None,
        healthy_bonus: 5.0,
    }
}

/// Episodes whose observations are their latents, exactly. The reward is z₀ + a, and 5 more but in the last step.
fn chunk(seed: u64) -> Chunk {
    let draw = |name, n| normals(Philox::new(seed), Stream::LatentNoise, name, n);
    let mut episodes = Vec::new();
    for number in 0..EPISODES {
        let (start, noise, actions) =
            (draw(3 * number as u64, 2), draw(3 * number as u64 + 1, 2 * STEPS), draw(3 * number as u64 + 2, STEPS));
        let mut z = Array2::zeros((STEPS + 1, 2));
        z.row_mut(0).assign(&Array1::from(start));
        for t in 0..STEPS {
            for j in 0..2 {
                let drift = RHO * f64::from(z[[t, j]]) + BETA * f64::from(actions[t]);
                z[[t + 1, j]] = (drift + sigma_squared().sqrt() * f64::from(noise[2 * t + j])) as f32;
            }
        }
        let terminals = Array1::from_shape_fn(STEPS, |t| t + 1 == STEPS);
        let rewards = Array1::from_shape_fn(STEPS, |t| z[[t, 0]] + actions[t] + if terminals[t] { 0.0 } else { 5.0 });
        let truncations = Array1::from_elem(STEPS, false);
        let actions = Array2::from_shape_vec((STEPS, 1), actions).unwrap();
        episodes.push(Episode { seed: number as u64, observations: z.into(), actions, rewards, terminals, truncations });
    }
    let rows: Vec<f32> = episodes.iter().flat_map(|e| e.observations.iter().flatten()).collect();
    let actions: Vec<f32> = episodes.iter().flat_map(|e| e.actions.iter().copied().chain([0.0])).collect();
    let steps: Vec<i64> = (0..(EPISODES * (STEPS + 1)) as i64).filter(|row| (row + 1) % (STEPS as i64 + 1) != 0).collect();
    let z = matrix(&rows, 2, Device::Cpu);
    Chunk {
        episodes,
        x: z.shallow_clone(),
        mean: z.shallow_clone(),
        log_var: z.zeros_like(),
        action: matrix(&actions, 1, Device::Cpu),
        steps: indices(&steps, Device::Cpu),
    }
}

/// All weights 0, about the change: the next latent is as this one, with a standard deviation of 1.
fn network() -> TrainedMdnRnn {
    let shape = MdnRnnShape {
        action: 1,
        latent: 2,
        hidden: 3,
        cell: MemoryCell::Lstm,
        mixture: Mixture::Joint,
        target: Target::Delta,
        mixtures: 2,
        log_sigma_min: -5.0,
    };
    let vs = nn::VarStore::new(Device::Cpu);
    let model = MdnRnn::new(&vs.root(), shape, Philox::new(0));
    tch::no_grad(|| vs.trainable_variables().iter_mut().for_each(|v| drop(v.zero_())));
    TrainedMdnRnn { model, latent: 2, reward_offset: OFFSET, on_samples: false }
}

fn vae() -> TrainedVae {
    let shape = VaeShape { obs: 2, layers: VaeLayers::Mlp(vec![8, 8]), latent: 2, log_var_range: [-10.0, 10.0] };
    let vae = Vae::new(&nn::VarStore::new(Device::Cpu).root(), shape.clone(), &[true; 2], Philox::new(0));
    let normalizer = Normalizer { mean: Array1::zeros(2), inv_std: Array1::ones(2) };
    TrainedVae { preprocessing: Preprocessing::Whiten { normalizer, clip: 2.5 }, vae, shape }
}

static MEASURED: LazyLock<MdnrnnFigures> = LazyLock::new(|| {
    tch::set_num_threads(1);
    let (m, spec, vae) = (network(), spec(), vae());
    let mut fit = Fit::new(&m, &spec, false);
    fit.add(&chunk(1), 0, 0).unwrap();
    let mut measure = mdnrnn::Measure::new(&m, &spec, &fit, 0, EPISODES * STEPS).unwrap();
    measure.add(&vae, &m, &chunk(2), HELD_OUT_DRAWS).unwrap();
    measure.finish(&m, &Block::all(&spec.blocks, &[true; 2]))
});

/// `found` is `expected` but for what 105,000 steps leave to chance.
fn close(what: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() < 0.04 * expected.abs().max(0.2), "{what}: expected {expected}, found {found}");
}

#[test]
fn one_step_figures_of_a_linear_gaussian_system_are_the_closed_forms() {
    let found = &*MEASURED;
    let ln_tau = std::f64::consts::TAU.ln();
    close("ridge", found.latent.ridge, sigma_squared());
    close("persistence", found.latent.persistence, 2.0 * (1.0 - RHO));
    close("velocity", found.latent.velocity, 6.0 - 8.0 * RHO + 2.0 * RHO * RHO);
    assert_eq!(found.latent.mdnrnn, found.latent.persistence, "M says: as now");
    close("ridge without V", found.observation.direct_ridge.unwrap(), sigma_squared());
    close("Gaussian NLL", found.gaussian_nll_per_dim, 0.5 * (ln_tau + sigma_squared().ln() + 1.0));
    // The noises of the two latents are independent: a covariance has nothing to add.
    close("joint NLL", found.joint_gaussian_nll_per_dim.unwrap(), found.gaussian_nll_per_dim);
    close("M's NLL", found.nll_per_dim, 0.5 * (ln_tau + 2.0 * (1.0 - RHO)));
    for row in &found.coverage {
        assert!((row.gaussian - row.level).abs() < 0.015, "{row:?}");
    }
    // M's intervals are for a standard deviation of 1, the change's is √(2(1 − ρ)) = 0.632: 90 % reaches ±1.645, which holds 99.1 %.
    let ninety = found.coverage.iter().find(|row| (row.level - 0.9).abs() < 1e-9).unwrap();
    close("M's coverage", ninety.mdnrnn, 0.9907);
    assert_eq!((found.terminal.ends, found.terminal.steps), (EPISODES, EPISODES * STEPS));
    assert_eq!(found.terminal.auroc, Some(0.5), "every step is as likely");
}

#[test]
fn the_healthy_bonus_is_left_out_of_the_reward() {
    let found = &*MEASURED;
    assert!(found.ridge_reward_r2.unwrap() > 0.999, "the rest is linear: {:?}", found.ridge_reward_r2);
    // The rest's mean is 0 and M predicts 2.5 − 5·½ = 0.
    assert!(found.reward_r2.unwrap().abs() < 0.01, "{:?}", found.reward_r2);
    // What the ends take from the whole, no line sees: variance 5²·p(1 − p) beside the rest's 2.
    let p = 1.0 / STEPS as f64;
    close("ridge on the whole", found.whole_reward_r2[1].unwrap(), 2.0 / (2.0 + 25.0 * p * (1.0 - p)));
}

#[test]
fn open_loops_of_a_linear_system_are_the_closed_forms() {
    let found = &MEASURED.open_loop;
    assert_eq!(found.horizons.len(), open_loop::STEPS);
    for h in found.horizons.iter().filter(|h| [1, 2, 5, 10, 50].contains(&h.k)) {
        let (k, decay) = (h.k as f64, RHO.powi(h.k as i32));
        close("ridge", h.ridge, sigma_squared() * (1.0 - decay * decay) / (1.0 - RHO * RHO));
        let persistence = 2.0 * (1.0 - decay);
        close("persistence", h.persistence, persistence);
        assert_eq!(h.mdnrnn, h.persistence);
        close("a sample walks at random", h.mdnrnn_sampled, persistence + k);
        let velocity = 1.0 + (1.0 + k) * (1.0 + k) + k * k - 2.0 * (1.0 + k) * decay + 2.0 * k * decay * RHO
            - 2.0 * k * (1.0 + k) * RHO;
        close("velocity", h.velocity, velocity);
    }
    assert_eq!(found.crossover, Some(1), "M is never better than persistence");
}

#[test]
fn gates_say_what_is_missed_and_what_was_not_measured() {
    let m = &*MEASURED;
    let verdicts = |gates: Vec<Gate>| gates.iter().map(|gate| gate.verdict).collect::<Vec<_>>();
    assert_eq!(verdicts(gates(None, Some(m))), [Verdict::NotMeasured, Verdict::Miss, Verdict::Miss, Verdict::Miss]);
    let mut good = m.clone();
    good.latent.mdnrnn = 0.85 * good.latent.ridge;
    good.nll_per_dim = good.gaussian_nll_per_dim.min(good.joint_gaussian_nll_per_dim.unwrap()) - 0.01;
    good.open_loop.horizons.iter_mut().for_each(|h| h.mdnrnn = if h.k <= 10 { 0.5 * h.persistence } else { 9.0 });
    assert_eq!(verdicts(gates(None, Some(&good)))[1..], [Verdict::Pass; 3]);
    good.latent.mdnrnn *= 1.001;
    good.open_loop.horizons[9].mdnrnn = good.open_loop.horizons[9].persistence;
    assert_eq!(verdicts(gates(None, Some(&good)))[1..], [Verdict::Miss, Verdict::Pass, Verdict::Miss]);
    good.open_loop.horizons.clear();
    assert_eq!(verdicts(gates(None, Some(&good)))[3], Verdict::NotApplicable);
    // A share of nothing cannot be beaten.
    let vae = |nmse: f64, pca_nmse: f64| {
        let blocks = Vec::new();
        VaeFigures {
            latent: 2,
            pca_components: 2,
            rows: 1,
            blocks,
            nmse,
            pca_nmse,
            clipped_rows: 0.0,
            active_latents: 2,
            kl_per_latent: vec![0.0; 2],
            pictures: None,
            grid: None,
        }
    };
    for (nmse, pca, verdict) in
        [(0.17, 0.2, Verdict::Pass), (0.19, 0.2, Verdict::Miss), (0.01, 1e-12, Verdict::NotApplicable)]
    {
        assert_eq!(verdicts(gates(Some(&vae(nmse, pca)), None))[0], verdict);
    }
}

#[test]
fn v_is_measured_beside_the_axes_of_most_variance() {
    let (vae, chunk) = (vae(), chunk(3));
    // The second observation is shrunk: one component keeps the first, and loses the second but for what the actions give both.
    let x = &chunk.x * Tensor::from_slice(&[1.0_f32, 0.5]);
    let values = errors::host(&x).unwrap();
    let mut moments = Moments::new(2);
    moments.add(values.view());
    let mut measure = super::vae::Measure::new(Pca::fit(&moments, 1).unwrap(), 1, None);
    let (mean, log_var) = (chunk.mean.narrow(1, 0, 1), chunk.log_var.narrow(1, 0, 1) - 1.0);
    // A latent of one number for a V of two: decoded beside a zero.
    let one = Chunk { x, mean, log_var, ..chunk };
    let shape = VaeShape { latent: 1, ..vae.shape.clone() };
    let vae = TrainedVae {
        vae: Vae::new(&nn::VarStore::new(Device::Cpu).root(), shape.clone(), &[true; 2], Philox::new(0)),
        shape,
        ..vae
    };
    measure.add(&vae, &one).unwrap();
    let found = measure.finish(&Block::all(&spec().blocks, &[true; 2])).unwrap();

    let covariance = moments.covariance();
    let trace = covariance[[0, 0]] + covariance[[1, 1]];
    let radius = ((covariance[[0, 0]] - covariance[[1, 1]]) / 2.0).hypot(covariance[[0, 1]]);
    assert!((found.pca_nmse - (trace / 2.0 - radius) / trace).abs() < 1e-5, "{}", found.pca_nmse);
    // V as it stands, counted by hand.
    let decoded = errors::host(&tch::no_grad(|| vae.vae.decode(&one.mean))).unwrap();
    let difference = (&decoded - &values).mapv(|d| f64::from(d).powi(2));
    let second: f64 = difference.slice(s![.., 1]).sum() / (values.nrows() as f64 * covariance[[1, 1]]);
    assert!((found.nmse - difference.sum() / (values.nrows() as f64 * trace)).abs() < 1e-5);
    assert!((found.blocks[1].vae.unwrap() - second).abs() < 1e-5);
    let clipped = values.rows().into_iter().filter(|row| row.iter().any(|v| v.abs() >= 2.5)).count();
    assert!(clipped > 0 && found.clipped_rows == clipped as f64 / values.nrows() as f64);
    let kl = kl_divergence(&one.mean, &one.log_var).mean(Kind::Double).double_value(&[]);
    assert!((found.kl_per_latent[0] - kl).abs() < 1e-5, "expected {kl}, found {:?}", found.kl_per_latent);
    assert_eq!(found.active_latents, 1);
}

#[test]
fn observations_that_never_vary_are_reported_without_a_picture_of_them() {
    let chunk = chunk(4);
    let dead = Chunk { x: chunk.x.zeros_like(), ..chunk };
    let shown = Shown::of(&dead, &vae(), None, &Block::all(&spec().blocks, &[false; 2])).unwrap();
    let report = Report {
        env: "linear".into(),
        data: None,
        gates: Vec::new(),
        missing: Vec::new(),
        vae: None,
        mdnrnn: None,
        acting: None,
        history: History::default(),
        figures: Vec::new(),
    };
    let files: Vec<_> = figures::draw(&report, Some(&shown)).unwrap().iter().map(|figure| figure.file).collect();
    assert_eq!(files, ["latents.svg"]);
}
