//! What a wrong cut, pack or shift would break.

use super::*;
use crate::config::Config;
use crate::train_vae::train_vae;
use std::path::Path;

/// A world whose rules are known, so that only an M trained on the right pairs can predict it. The state `(p, q)` moves by the
/// action, `p' = 0.5 p + a₀`, `q' = −0.5 q + a₁`; the step's reward is `3 + a₀ − a₁`, both of that same step; and it is terminal
/// where `a₁ > 0.8`. Actions are independent, so a target shifted by one step is noise to M.
fn world(episodes: usize) -> Vec<Episode> {
    let rng = Philox::new(11);
    (0..episodes)
        .map(|e| {
            let mut state = [0.0_f32; 2];
            let (mut observations, mut actions, mut rewards, mut terminals) =
                (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            observations.extend([state[0], state[1], 7.0]); // the third dimension is dead
            for t in 0..40 {
                let a = [0, 1].map(|k| 2.0 * rng.uniform(Stream::CollectAction, e as u64, 2 * t + k) - 1.0);
                state = [0.5 * state[0] + a[0], -0.5 * state[1] + a[1]];
                observations.extend([state[0], state[1], 7.0]);
                actions.extend(a.map(|a| 0.4 * a + 0.1)); // the environment's units
                rewards.push(3.0 + a[0] - a[1]);
                terminals.push(a[1] > 0.8);
                if a[1] > 0.8 {
                    break;
                }
            }
            let t = rewards.len();
            Episode {
                seed: e as u64,
                observations: Array2::from_shape_vec((t + 1, 3), observations).unwrap(),
                actions: Array2::from_shape_vec((t, 2), actions).unwrap(),
                rewards: rewards.into(),
                terminals: terminals.into(),
                truncations: Array1::from_elem(t, false),
            }
        })
        .collect()
}

fn config() -> Config {
    let set = [
        "vae.latent=2",
        "vae.hidden=[32, 32]",
        "vae.epochs=15",
        "vae.batch_size=32",
        "vae.learning_rate=0.005",
        "vae.kl_weight=0.001",
        "vae.kl_tolerance=0",
        "mdnrnn.hidden=32",
        "mdnrnn.mixtures=2",
        "mdnrnn.epochs=30",
        "mdnrnn.batch_size=16",
        "mdnrnn.sequence_length=8",
        "mdnrnn.learning_rate=0.01",
        "mdnrnn.reward_weight=1",
        "mdnrnn.terminal_weight=1",
        "mdnrnn.sample_latents=false",
    ];
    Config::default().overlay("test", "", &set.map(String::from)).unwrap()
}

fn train(config: &Config, episodes: &[Episode], run: &Path) -> MdnrnnFigures {
    let input = StageInput {
        config,
        episodes,
        action_mid: &[0.1, 0.1],
        action_half: &[0.4, 0.4],
        run,
        device: Device::Cpu,
        progress: &|_| {},
    };
    train_vae(&input).unwrap();
    train_mdnrnn(&input).unwrap()
}

#[test]
fn a_known_world_is_learned_to_near_zero() {
    let folder = tempfile::tempdir().unwrap();
    let f = train(&config(), &world(200), folder.path());
    assert!(f.nmse < 0.02, "next z: {f:?}");
    assert!(f.reward_r2 > 0.98, "reward: {f:?}");
    assert!(f.terminal_auroc > 0.95, "terminal: {f:?}");
    assert!(f.ridge_nmse < 0.1 && f.persistence_nmse > 0.5, "baselines: {f:?}");
    let lines = std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 45);
    let file = Checkpoint::read(&folder.path().join(FILE)).unwrap();
    let offset: f32 = file.meta(meta::REWARD_OFFSET).unwrap();
    assert!((offset - 3.0).abs() < 0.3, "the reward's constant is 3, or a little more since a₁ > 0.8 ends: {offset}");
}

#[test]
fn one_seed_gives_the_same_bytes_and_another_does_not() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let mut config = config();
    (config.vae.epochs, config.mdnrnn.epochs, config.mdnrnn.sample_latents) = (2, 2, true);
    for (i, folder) in folders.iter().enumerate() {
        config.seed = i as u64 / 2;
        train(&config, &world(40), folder.path());
    }
    for file in [train_vae::FILE, FILE] {
        let [a, b, c] = [0, 1, 2].map(|i: usize| std::fs::read(folders[i].path().join(file)).unwrap());
        assert!(a == b, "{file}: two runs of one seed differ");
        assert!(Checkpoint::from_bytes("a", &a).unwrap().tensors != Checkpoint::from_bytes("c", &c).unwrap().tensors);
    }
}

#[test]
fn windows_cover_every_step_once_and_cross_no_end() {
    let lengths = [5, 1, 8, 16, 17];
    let windows = windows(lengths.into_iter(), 8);
    // The episode and the step that each row stands for; an episode's last observation starts no step.
    let owner: Vec<(usize, Option<usize>)> =
        lengths.iter().enumerate().flat_map(|(e, &t)| (0..=t).map(move |s| (e, (s < t).then_some(s)))).collect();
    let mut seen = vec![0; owner.len()];
    for w in &windows {
        let rows = &owner[w.row..w.row + w.len];
        assert!(rows.iter().all(|r| r.0 == rows[0].0), "{w:?} crosses an episode's end");
        assert_eq!(rows[0].1, Some(8 * w.number), "{w:?} is not the window that its number says");
        (w.row..w.row + w.len).for_each(|r| seen[r] += 1);
    }
    for (row, &(_, step)) in owner.iter().enumerate() {
        assert_eq!(seen[row], usize::from(step.is_some()), "row {row}");
    }
    assert_eq!(windows.iter().map(|w| w.len).collect::<Vec<_>>(), [5, 1, 8, 8, 8, 8, 8, 1]);
}

#[test]
fn a_packed_batch_holds_each_windows_steps_in_order() {
    let windows = windows([5, 1, 8, 3].into_iter(), 8);
    let (order, rows, sizes) = pack(&windows, &[3, 0, 1, 2]);
    assert_eq!(order, [2, 0, 3, 1]);
    assert_eq!(sizes, [4, 3, 3, 2, 2, 1, 1, 1]);
    assert_eq!(rows[..7], [8, 0, 17, 6, 9, 1, 18]); // first steps of windows 2, 0, 3, 1, then second steps of 2, 0, 3
    assert_eq!(rows.len(), 17);
}

/// The prediction at a row does not depend on how its episode was cut, nor on what shares its batch: the stored states carry
/// an episode's past across windows, and nothing of another episode.
#[test]
fn cutting_an_episode_into_windows_changes_no_prediction() {
    tch::set_num_threads(1);
    let vs = nn::VarStore::new(Device::Cpu);
    let shape = MdnRnnShape { action: 2, latent: 3, hidden: 9, mixtures: 2, log_sigma_min: -5.0 };
    let model = MdnRnn::new(&vs.root(), shape, Philox::new(1));
    let lengths = [23_usize, 4, 40];
    let rows = lengths.iter().map(|t| t + 1).sum::<usize>();
    let draw =
        |step, columns| matrix(&normals(Philox::new(2), Stream::LatentNoise, step, rows * columns), columns, Device::Cpu);
    let table = |sequence_length| Table {
        mean: draw(0, 3),
        std: draw(1, 3).abs(),
        action: draw(2, 2),
        reward: Tensor::zeros([rows as i64], (Kind::Float, Device::Cpu)),
        terminal: Tensor::zeros([rows as i64], (Kind::Float, Device::Cpu)),
        windows: windows(lengths.into_iter(), sequence_length),
        device: Device::Cpu,
    };
    let reward_of = |sequence_length| {
        let table = table(sequence_length);
        let mut by_row = std::collections::BTreeMap::new();
        tch::no_grad(|| {
            table.evaluate(&model, &table.mean, |p, batch| {
                by_row.extend(batch.rows.iter().copied().zip(to_vec(&p.reward).unwrap()));
            });
        });
        by_row
    };
    let whole = reward_of(64);
    let cut = reward_of(8);
    assert_eq!(whole.len(), lengths.iter().sum::<usize>());
    for (row, value) in &whole {
        assert!((value - cut[row]).abs() < 1e-6, "row {row}: {value} in one piece, {} in windows of 8", cut[row]);
    }
}

#[test]
fn a_missing_or_foreign_vae_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (config, episodes) = (config(), world(4));
    let input = StageInput {
        config: &config,
        episodes: &episodes,
        action_mid: &[0.1, 0.1],
        action_half: &[0.4, 0.4],
        run: folder.path(),
        device: Device::Cpu,
        progress: &|_| {},
    };
    let error = format!("{:#}", train_mdnrnn(&input).unwrap_err());
    assert!(error.contains(train_vae::FILE), "{error}");
    let mut file = Checkpoint::default();
    file.set_meta(meta::LOG_VAR_MIN, -10);
    file.set_meta(meta::LOG_VAR_MAX, 10);
    file.write(&train_vae::path(folder.path())).unwrap();
    let error = format!("{:#}", train_mdnrnn(&input).unwrap_err());
    assert!(error.contains("normalizer.mean") && !error.contains('\n'), "{error}");
}
