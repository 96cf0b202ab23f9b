//! What a wrong cut, pack or shift would break.

use super::table::{pack, windows};
use super::*;
use crate::data::rollouts::Episode;
use crate::env::{ActionSpace, EnvSpec};
use crate::judge::report::errors::Block;
use crate::judge::report::mdnrnn::{Fit, MdnrnnFigures, Measure};
use crate::judge::report::recorded::Chunk;
use crate::run::checkpoint::Checkpoint;
use crate::run::folder::RunDir;
use crate::world::nets::to_vec;
use crate::world::stage::EpochRecord;
use crate::world::train_vae::train_vae;
use crate::world::trained::TrainedMdnRnn;
use dreamstep_core::m::MemoryCell;
use dreamstep_core::m::Mixture;
use dreamstep_core::schema::Target;
use ndarray::{Array1, Array2};
use std::collections::BTreeMap;
use tch::Kind;

/// A world whose rules are known, so that only an M trained on the right pairs can predict it. The state `(p, q)` moves by the
/// action, `p' = 0.5 p + a₀`, `q' = −0.5 q + a₁`; the step's reward is `3 + a₀ − a₁`, both of that same step; and it is terminal
/// where `a₁ > 0.8`. Actions are independent, so a target shifted by one step is noise to M.
fn episodes(n: usize) -> Vec<Episode> {
    let rng = Philox::new(11);
    (0..n)
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
                observations: Array2::from_shape_vec((t + 1, 3), observations).unwrap().into(),
                actions: Array2::from_shape_vec((t, 2), actions).unwrap(),
                rewards: rewards.into(),
                terminals: terminals.into(),
                truncations: Array1::from_elem(t, false),
            }
        })
        .collect()
}

fn world(n: usize) -> Dataset {
    Dataset::from_episodes(episodes(n)).unwrap()
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

static ACTIONS: std::sync::LazyLock<ActionSpace> =
    std::sync::LazyLock::new(|| ActionSpace::Continuous { low: vec![-0.3; 2], high: vec![0.5; 2] });

fn input<'a>(config: &'a Config, data: &'a Dataset, run: &'a RunDir) -> StageInput<'a> {
    StageInput {
        config,
        data,
        actions: &ACTIONS,
        run,
        device: crate::world::device::Device::Cpu,
        force: false,
        forces_later: false,
        progress: &|_| {},
    }
}

/// The log's lines about epochs: all but what the stages cost, of which each has one.
fn epochs_logged(run: &RunDir) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.metrics()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let (costs, epochs): (Vec<_>, Vec<_>) = lines.partition(|line| line["cost"].is_object());
    for cost in &costs {
        let own: Vec<_> = epochs.iter().filter(|line| line["stage"] == cost["stage"]).collect();
        let items: u64 = own.iter().map(|line| line["items"].as_u64().unwrap()).sum();
        assert_eq!(cost["cost"]["steps"].as_u64().unwrap(), items, "{cost}");
    }
    epochs
}

fn train(config: &Config, data: &Dataset, run: &RunDir) -> Trained {
    let input = input(config, data, run);
    train_vae(&input).unwrap();
    train_mdnrnn(&input).unwrap()
}

fn spec() -> EnvSpec {
    EnvSpec {
        id: "known".into(),
        obs: 3,
        actions: ACTIONS.clone(),
        dt_s: 0.01,
        time_limit: 1000,
        blocks: crate::env::blocks(&[("state", 3)]),
        image: None,
        healthy_bonus: 0.0,
    }
}

/// The episodes `ids` of `data` through the run's V.
fn chunk(data: &Dataset, ids: &[usize], run: &RunDir) -> Chunk {
    let vae = TrainedVae::read(&run.vae(), Device::Cpu).unwrap();
    Chunk::new(ids.iter().map(|&id| data.read(id).unwrap().into_owned()).collect(), &vae, &spec()).unwrap()
}

/// What the report says of the run's M.
fn measured(config: &Config, data: &Dataset, run: &RunDir) -> MdnrnnFigures {
    let (m, vae) = (TrainedMdnRnn::read(run).unwrap(), TrainedVae::read(&run.vae(), Device::Cpu).unwrap());
    let split = Split::new(config.seed, data.len(), config.vae.validation).unwrap();
    let mut fit = Fit::new(&m, &spec(), false);
    fit.add(&chunk(data, &split.train, run), 0, 0).unwrap();
    let mut measure = Measure::new(&m, &spec(), &fit, 0, data.steps(&split.validation)).unwrap();
    measure.add(&vae, &m, &chunk(data, &split.validation, run), 1).unwrap();
    measure.finish(&m, &Block::all(&spec().blocks, &vae.preprocessing.alive(vae.shape.obs)))
}

/// Trains in a folder of its own, and measures.
fn trained(config: &Config, data: &Dataset) -> MdnrnnFigures {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::new(folder.path());
    train(config, data, &run);
    measured(config, data, &run)
}

/// That next latent, reward and end are predicted, but for these shares.
fn knows_the_world(f: &MdnrnnFigures, error: f64, reward: f64) {
    let found = (f.latent.mdnrnn, f.reward_r2.unwrap(), f.terminal.auroc.unwrap());
    assert!(found.0 < error && found.1 > reward && found.2 > 0.95, "error, R², AUROC: {found:?}");
}

#[test]
fn a_known_world_is_learned_to_near_zero() {
    MemoryCell::ALL.into_iter().for_each(learns_a_known_world);
}

fn learns_a_known_world(cell: MemoryCell) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.mdnrnn.cell = cell;
    let run = RunDir::new(folder.path());
    let result = train(&config, &world(200), &run);
    let f = measured(&config, &world(200), &run);
    knows_the_world(&f, 0.02, 0.98);
    assert!(f.latent.ridge < 0.1 && f.latent.persistence > 0.5, "baselines: {f:?}");
    let epochs = epochs_logged(&run);
    // The result is the epoch of the least validation loss, and says what that epoch's line says.
    let least = epochs[15..].iter().min_by(|a, b| {
        let loss = |line: &serde_json::Value| line["validation"]["loss"].as_f64().unwrap();
        loss(a).total_cmp(&loss(b))
    });
    let least = least.unwrap();
    assert_eq!((least["epoch"].as_u64().unwrap() as usize, 30), (result.best_epoch, result.epochs));
    assert_eq!(serde_json::to_value(&result.validation).unwrap(), least["validation"]);
    assert!(result.to_string().starts_with("validation loss ") && result.to_string().contains("nll_per_dim"), "{result}");
    assert_eq!(epochs.len(), 45);
    let last = epochs.last().unwrap();
    assert!(last["stage"] == "mdnrnn" && last["validation"]["nll_per_dim"].is_number(), "{last}");
    let file = Checkpoint::read(&RunDir::new(folder.path()).mdnrnn()).unwrap();
    let order = if cell == MemoryCell::Lstm { "i,f,g,o" } else { "r,z,n" };
    assert_eq!([&file.metadata[meta::RNN_CELL], &file.metadata[meta::GATES]], [cell.name(), order]);
    let offset: f32 = file.meta(metadata::REWARD_OFFSET).unwrap();
    assert!((offset - 3.0).abs() < 0.3, "the reward's constant is 3, or a little more since a₁ > 0.8 ends: {offset}");
}

/// Fed its own expectation, M learns the same world: what comes next follows from what came before. From other losses, though.
#[test]
fn what_is_trained_on_its_own_latents_is_true_to_the_world() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    let (run, data) = (RunDir::new(folder.path()), world(200));
    let told = train(&config, &data, &run);
    config.mdnrnn.own_steps = 5;
    let own = train_mdnrnn(&StageInput { force: true, ..input(&config, &data, &run) }).unwrap();
    assert_ne!(own.validation, told.validation);
    knows_the_world(&measured(&config, &data, &run), 0.02, 0.98);
}

#[test]
fn one_seed_gives_the_same_bytes_and_another_does_not() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let mut config = config();
    (config.vae.epochs, config.mdnrnn.epochs, config.mdnrnn.sample_latents) = (2, 2, true);
    for (i, folder) in folders.iter().enumerate() {
        config.seed = i as u64 / 2;
        train(&config, &world(40), &RunDir::new(folder.path()));
    }
    for file in ["vae.safetensors", "mdnrnn.safetensors"] {
        let [a, b, c] = [0, 1, 2].map(|i: usize| std::fs::read(folders[i].path().join(file)).unwrap());
        assert!(a == b, "{file}: two runs of one seed differ");
        assert!(Checkpoint::from_bytes("a", &a).unwrap().tensors != Checkpoint::from_bytes("c", &c).unwrap().tensors);
    }
}

/// Stops wherever an epoch has been reported, then resumes: V and M end in the bytes of a training that was not stopped, no epoch is done
/// twice, and the log has one line of each.
#[test]
fn a_training_that_is_stopped_after_every_epoch_goes_on_to_the_same_bytes() {
    goes_on_to_the_same_bytes(&[]);
}

/// The same where the data is read in several pools, the learning rate falls on a plateau, V encodes whenever it is asked, and M is a GRU.
#[test]
fn a_stopped_training_on_pools_goes_on_to_the_same_bytes() {
    goes_on_to_the_same_bytes(&[
        "vae.pool=300",
        "mdnrnn.pool=200",
        "mdnrnn.latents=on-the-fly",
        "mdnrnn.cell=gru",
        "vae.schedule.rule=plateau",
        "vae.schedule.patience=0",
        "mdnrnn.schedule.rule=plateau",
        "mdnrnn.schedule.patience=1",
    ]);
}

fn goes_on_to_the_same_bytes(set: &[&str]) {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [whole, stopped] = [0, 1].map(|i: usize| RunDir::new(folders[i].path()));
    let set: Vec<String> = set.iter().map(ToString::to_string).collect();
    let (mut config, episodes) = (config().overlay("test", "", &set).unwrap(), world(40));
    (config.vae.epochs, config.mdnrnn.epochs, config.mdnrnn.sample_latents) = (3, 4, true);
    config.vae.optimizer = crate::run::config::OptimizerRule::RmsProp;
    train(&config, &episodes, &whole);

    let reported = std::cell::RefCell::new(Vec::new());
    let report = |record: &EpochRecord| {
        reported.borrow_mut().push((record.stage, record.epoch));
        // As a kill would, at this place.
        std::panic::resume_unwind(Box::new("killed"));
    };
    let input = StageInput { run: &stopped, progress: &report, ..input(&config, &episodes, &whole) };
    let end = |train: &dyn Fn()| {
        let once = || std::panic::catch_unwind(std::panic::AssertUnwindSafe(train)).is_err();
        while once() {}
    };
    end(&|| {
        train_vae(&input).unwrap();
    });
    end(&|| {
        train_mdnrnn(&input).unwrap();
    });

    let epochs = [("vae", 3), ("mdnrnn", 4)];
    let expected: Vec<_> = epochs.iter().flat_map(|&(stage, n)| (1..=n).map(move |epoch| (stage, epoch))).collect();
    assert_eq!(*reported.borrow(), expected);
    let logged = epochs_logged(&stopped);
    assert!(logged.iter().map(|r| (r["stage"].as_str().unwrap(), r["epoch"].as_u64().unwrap() as usize)).eq(expected));
    for file in ["vae.safetensors", "mdnrnn.safetensors", "vae.last.safetensors", "mdnrnn.last.safetensors"] {
        let [a, b] = [&whole, &stopped].map(|run| std::fs::read(run.root().join(file)).unwrap());
        assert!(a == b, "{file}: resumed, it differs");
        let state = stopped.training(file.split('.').next().unwrap());
        assert!(!state.exists(), "{}: the training is finished", state.display());
    }
}

/// Data larger than a pool is learned from as well, whether V encodes it once or whenever it is read; pools that are a little larger than
/// asked for hold every step once an epoch.
#[test]
fn a_world_in_pools_is_learned_too() {
    let data = world(200);
    let figures = |latents: &str| {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(folder.path());
        let set = ["vae.pool=500", "mdnrnn.pool=700", &format!("mdnrnn.latents={latents}")].map(String::from);
        let config = config().overlay("test", "", &set).unwrap();
        train(&config, &data, &run);
        assert_eq!(run.latents().exists(), latents == "precomputed");
        measured(&config, &data, &run)
    };
    let (stored, encoded) = (figures("precomputed"), figures("on-the-fly"));
    [&stored, &encoded].into_iter().for_each(|f| knows_the_world(f, 0.02, 0.98));
    assert!((stored.latent.mdnrnn - encoded.latent.mdnrnn).abs() < 0.01, "{stored:?} {encoded:?}");
}

/// Layers in bfloat16 learn as well, nearly.
#[test]
fn mixed_precision_learns() {
    let config = config().overlay("test", "", &["vae.amp=true", "mdnrnn.amp=true"].map(String::from)).unwrap();
    knows_the_world(&trained(&config, &world(200)), 0.04, 0.95);
}

/// A mixture for each dimension, of the change of the latent, and a weight for the rare class, which must not stay in the logit.
#[test]
fn every_option_of_the_head_learns_the_same_world() {
    let data = world(400);
    let (mut ends, mut steps) = (0_u32, 0);
    for id in 0..data.len() {
        ends += data.read(id).unwrap().terminals.iter().filter(|&&end| end).count() as u32;
        steps += data.entries()[id].steps;
    }
    for set in [
        ["mdnrnn.mixture=per-dimension", "mdnrnn.target=z"],
        ["mdnrnn.mixture=per-dimension", "mdnrnn.target=delta"],
        ["mdnrnn.terminal_positive_weight=4", "mdnrnn.target=delta"],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(folder.path());
        let config = config().overlay("test", "", &set.map(String::from)).unwrap();
        train(&config, &data, &run);
        knows_the_world(&measured(&config, &data, &run), 0.02, 0.98);
        // The head says how often episodes end, whatever weighed how much.
        let all = chunk(&data, &(0..data.len()).collect::<Vec<_>>(), &run);
        let prediction = TrainedMdnRnn::read(&run).unwrap().predict(&all.mean, &all.action, &all.lengths());
        let said = prediction.terminal_logit.sigmoid().sum(Kind::Double).double_value(&[]);
        let (said, found) = (said / steps as f64, f64::from(ends) / steps as f64);
        assert!((said - found).abs() < 0.25 * found, "{set:?}: {said} of steps said to end, {found} do");
    }
}

#[test]
fn latents_are_what_v_encodes_and_are_made_anew_for_another_v() {
    let folder = tempfile::tempdir().unwrap();
    let (run, data) = (RunDir::new(folder.path()), world(70));
    let mut config = config();
    config.vae.epochs = 1;
    let check = |config: &Config| {
        train_vae(&StageInput { force: true, ..input(config, &data, &run) }).unwrap();
        let vae = TrainedVae::read(&run.vae(), Device::Cpu).unwrap();
        let latents = Latents::open(&run, &data, &vae, Device::Cpu).unwrap();
        let ids = [69, 3, 64];
        let [stored, encoded] = [latents.read(&data, &ids, Device::Cpu), vae.encode(&data, &ids, Device::Cpu)];
        let ((a, b), (c, d)) = (stored.unwrap(), encoded.unwrap());
        // Without libtorch, the same but for the order of the sums.
        let codec = crate::agent::v::Codec::read(&run.vae()).unwrap();
        let rows = ids.iter().flat_map(|&id| {
            let episode = data.read(id).unwrap();
            codec.encode(episode.observations.iter()).unwrap()
        });
        let (means, log_vars): (Vec<_>, Vec<_>) = rows.map(|[mean, log_var]| (mean, log_var)).unzip();
        for (host, torch) in [(means.concat(), &c), (log_vars.concat(), &d)] {
            let torch = to_vec(torch).unwrap();
            assert_eq!(host.len(), torch.len());
            assert!(host.iter().zip(&torch).all(|(a, b)| (a - b).abs() < 1e-5 * b.abs().max(1.0)), "{host:?} {torch:?}");
        }
        assert!((a - c).abs().max().double_value(&[]) < 1e-5 && (b - d).abs().max().double_value(&[]) < 1e-5);
        std::fs::read(run.latents()).unwrap()
    };
    let one = check(&config);
    let rows = data.rows(&(0..70).collect::<Vec<_>>());
    let array: Array2<f32> = ndarray_npy::read_npy(run.latents()).unwrap();
    assert_eq!(array.dim(), (rows, 4));
    config.seed = 5;
    assert!(one != check(&config), "another V sees another thing");
    // A file that was cut is made anew.
    let whole = std::fs::read(run.latents()).unwrap();
    std::fs::write(run.latents(), &whole[..whole.len() / 2]).unwrap();
    assert!(whole == check(&config));
}

#[test]
fn training_ends_early_where_nothing_is_gained() {
    let folder = tempfile::tempdir().unwrap();
    let (run, data) = (RunDir::new(folder.path()), world(20));
    let set = ["vae.learning_rate=1e-9", "vae.schedule.rule=constant", "vae.schedule.stop_after=2", "vae.epochs=9"];
    let config = config().overlay("test", "", &set.map(String::from)).unwrap();
    train_vae(&input(&config, &data, &run)).unwrap();
    let epochs = epochs_logged(&run).len();
    assert!((3..9).contains(&epochs), "{epochs}");
    let last = Checkpoint::read(&run.last("vae")).unwrap();
    assert_eq!(last.meta::<usize>(meta::EPOCH).unwrap(), epochs);
    assert!(last.tensors.keys().eq(Checkpoint::read(&run.vae()).unwrap().tensors.keys()));
}

/// What cannot be resumed is refused in one line, and `force` starts anew.
#[test]
fn a_foreign_or_damaged_state_is_refused_until_forced() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::new(folder.path());
    let (mut config, episodes) = (config(), world(8));
    config.vae.epochs = 2;
    let stop = |_: &EpochRecord| std::panic::resume_unwind(Box::new("killed"));
    let begun = StageInput { progress: &stop, ..input(&config, &episodes, &run) };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| train_vae(&begun))).is_err());
    let path = run.training("vae");
    let state = std::fs::read(&path).unwrap();

    let refuse = |config: &Config, episodes: &Dataset, parts: &[&str]| {
        let before = std::fs::read(&path).unwrap();
        let looked = crate::world::resume::under_way(Network::Vae, config, &run, episodes).unwrap_err();
        let trained = train_vae(&input(config, episodes, &run)).unwrap_err();
        for error in [looked, trained].map(|error| format!("{error:#}")) {
            let all = ["vae.training.safetensors", "--force starts anew"].iter().chain(parts);
            assert!(all.clone().all(|part| error.contains(part)) && !error.contains('\n'), "{parts:?}: {error}");
        }
        assert!(before == std::fs::read(&path).unwrap(), "a refusal changes nothing");
    };
    let with = |setting: &str| config.overlay("test", "", &[setting.into()]).unwrap();
    refuse(&with("vae.epochs=3"), &episodes, &["vae.epochs = 2, expected 3"]);
    refuse(&with("vae.optimizer=rmsprop"), &episodes, &["vae.optimizer", "adam", "rmsprop"]);
    let mut others = self::episodes(8);
    others[3].rewards[0] += 1.0;
    refuse(&config, &Dataset::from_episodes(others).unwrap(), &["these episodes"]);
    for (at, what) in [(state.len() - 5, "expected contents"), (20, "")] {
        let mut flipped = state.clone();
        flipped[at] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        refuse(&config, &episodes, &["damaged", what]);
    }
    for bytes in [&state[..state.len() - 1], &state[..4], b"text"] {
        std::fs::write(&path, bytes).unwrap();
        refuse(&config, &episodes, &["damaged"]);
    }
    // What V does not read may change.
    std::fs::write(&path, &state).unwrap();
    let under_way =
        crate::world::resume::under_way(Network::Vae, &with("mdnrnn.hidden=8"), &run, &episodes).unwrap().unwrap();
    assert_eq!((under_way.epoch, under_way.forces_later), (1, false));
    let other = with("vae.learning_rate=0.01");
    train_vae(&StageInput { force: true, ..input(&other, &episodes, &run) }).unwrap();
    assert!(run.vae().exists() && !path.exists());
}

/// A loss that is not finite ends a training; it does not stand in the way of the next.
#[test]
fn a_training_that_diverged_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::new(folder.path());
    let (mut config, episodes) = (config(), world(8));
    config.vae.learning_rate = 1e30;
    let error = train_vae(&input(&config, &episodes, &run)).unwrap_err().to_string();
    assert!(error.contains("expected a finite loss") && error.contains("lower vae.learning_rate"), "{error}");
    assert!(!run.training("vae").exists());
    config.vae.learning_rate = 1e-3;
    config.vae.epochs = 1;
    train_vae(&input(&config, &episodes, &run)).unwrap();
}

/// What an actuator cannot do was not done: M learns from, and the report feeds M, the ends of the range, as the runtime does.
#[test]
fn actions_outside_the_range_count_as_its_ends() {
    let mut config = config();
    (config.vae.epochs, config.mdnrnn.epochs) = (1, 2);
    let weights = |past: [f32; 2]| {
        let mut all = episodes(12);
        for episode in &mut all {
            episode.actions.column_mut(0).iter_mut().step_by(3).for_each(|a| *a = past[0]);
            episode.actions.column_mut(1).iter_mut().step_by(4).for_each(|a| *a = past[1]);
        }
        let (folder, data) = (tempfile::tempdir().unwrap(), Dataset::from_episodes(all).unwrap());
        let run = RunDir::new(folder.path());
        train(&config, &data, &run);
        let seen = to_vec(&chunk(&data, &[0, 1], &run).action).unwrap();
        (Checkpoint::read(&run.mdnrnn()).unwrap().tensors, seen)
    };
    let at_the_ends = weights([0.5, -0.3]);
    assert!(at_the_ends == weights([7.0, -1e30]));
    assert!(at_the_ends.1.iter().all(|a| a.abs() <= 1.0));
    assert!(at_the_ends.0 != weights([0.4, -0.3]).0, "an action within the range matters");
}

/// Rewards that binary32 cannot square are refused before anything is trained, whoever has them; what it can is trained on, constant or not.
#[test]
fn rewards_too_large_for_the_loss_are_named() {
    let mut config = config();
    (config.vae.epochs, config.mdnrnn.epochs) = (1, 1);
    let train_on = |change: &dyn Fn(usize, &mut f32)| {
        let mut all = episodes(12);
        all.iter_mut().enumerate().for_each(|(e, episode)| episode.rewards.iter_mut().for_each(|r| change(e, r)));
        let (folder, data) = (tempfile::tempdir().unwrap(), Dataset::from_episodes(all).unwrap());
        let run = RunDir::new(folder.path());
        train_vae(&input(&config, &data, &run)).unwrap();
        let result = train_mdnrnn(&input(&config, &data, &run));
        assert!(!run.training("mdnrnn").exists(), "no state is left");
        result
    };
    let held_out = Split::new(config.seed, 12, config.vae.validation).unwrap().validation[0];
    for factor in [1e20_f32, -1e30, 1e37] {
        for error in [
            train_on(&|_, r| *r *= factor).unwrap_err(),
            train_on(&|e, r| *r *= if e == held_out { factor } else { 1.0 }).unwrap_err(),
        ] {
            let error = error.to_string();
            assert!(error.contains("recorded rewards") && error.contains("scale") && !error.contains('\n'), "{error}");
        }
    }
    train_on(&|_, r| *r *= 1e15).unwrap();
    for constant in [0.0, 0.1, -3.0, 1e12, 1e30] {
        let trained = train_on(&|_, r| *r = constant).unwrap();
        assert!(trained.validation["reward"] < 10.0, "{constant}: {trained}");
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
    MemoryCell::ALL.into_iter().for_each(cutting);
}

fn cutting(cell: MemoryCell) {
    let vs = nn::VarStore::new(Device::Cpu);
    let shape = MdnRnnShape {
        action: 2,
        latent: 3,
        hidden: 9,
        cell,
        mixture: Mixture::Joint,
        target: Target::Next,
        mixtures: 2,
        log_sigma_min: -5.0,
    };
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
        let mut by_row = BTreeMap::new();
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
    let run = RunDir::new(folder.path());
    let (config, episodes) = (config(), world(4));
    let input = input(&config, &episodes, &run);
    let error = format!("{:#}", train_mdnrnn(&input).unwrap_err());
    assert!(error.contains("vae.safetensors"), "{error}");
    let mut file = Checkpoint::default();
    file.set_meta(meta::LOG_VAR_MIN, -10);
    file.set_meta(meta::LOG_VAR_MAX, 10);
    file.write(&run.vae()).unwrap();
    let error = format!("{:#}", train_mdnrnn(&input).unwrap_err());
    assert!(error.contains("normalizer.mean") && !error.contains('\n'), "{error}");
}
