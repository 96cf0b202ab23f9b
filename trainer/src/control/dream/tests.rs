//! What wrong starts, a wrong score or an unfair share of threads would break. On a tiny CartPole run with V and M of its own.

use super::recorded::Recorded;
use super::runtime::RuntimeDreams;
use super::*;
use crate::agent::v::Codec;
use crate::control::search::fingerprint;
use crate::control::{State, Summary, Validation, check, is_finished};
use crate::data::collect::{Request, collect};
use crate::data::dataset::Dataset;
use crate::env::pool::Estimate;
use crate::env::{self, EnvSpec};
use crate::run::checkpoint::Checkpoint;
use crate::run::config::{DreamConfig, ScoredOn};
use crate::run::folder::{RunDir, digest};
use crate::run::progress::Progress;
use crate::world::ensemble::agents;
use crate::world::stage::StageInput;
use crate::world::train_mdnrnn::train_mdnrnn;
use crate::world::train_vae::train_vae;
use dreamstep_core::layout::Panels;
use dreamstep_core::names::checkpoint;
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::precision::Precision;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::{Agent, DreamBatch, DreamOptions, Termination, dreams_memory_len, memory_len};

/// Three choices instead of one number.
pub(in crate::control) const CHOICES: &str = "env=CartPole-choices";

const SETTINGS: &str = r#"
    env = "CartPole-v1"
    threads = 1
    [collect]
    steps = 300
    [vae]
    latent = 3
    hidden = [8, 8]
    epochs = 10
    learning_rate = 0.01
    kl_weight = 0.01
    [mdnrnn]
    hidden = 8
    mixtures = 2
    target = "delta"
    epochs = 20
    batch_size = 4
    learning_rate = 0.01
    terminal_positive_weight = 4.0
    [controller]
    arena = "dream"
    directions = 3
    sigma = 1.0
    [dream]
    generations = 6
    validate_every = 2
    validation_dreams = 9
    dreams = 5
    horizon = 40
    bound = 0.5
"#;

pub(in crate::control) struct Small {
    _folder: tempfile::TempDir,
    pub(in crate::control) run: RunDir,
    pub(in crate::control) config: Config,
    pub(in crate::control) data: Dataset,
    spec: EnvSpec,
}

/// A run with V and M, and `set` over the settings.
pub(in crate::control) fn small(set: &[&str]) -> Small {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let set: Vec<String> = set.iter().map(ToString::to_string).collect();
    let config = Config::default().overlay("test", SETTINGS, &set).unwrap();
    let run = RunDir::new(folder.path());
    collect(&config, run.root(), &Request::default(), &Progress::hidden()).unwrap();
    let data = Dataset::open(&run.rollouts(), 1).unwrap();
    let spec = env::spec(&config.env).unwrap();
    let input = StageInput {
        config: &config,
        data: &data,
        actions: &spec.actions,
        run: &run,
        device: Device::Cpu,
        force: false,
        forces_later: false,
        progress: &|_| (),
    };
    train_vae(&input).unwrap();
    train_mdnrnn(&input).unwrap();
    Small { _folder: folder, run, config, data, spec }
}

impl Small {
    pub(in crate::control) fn agents(&self) -> Vec<AlignedBytes> {
        agents(&self.config, &self.run, &self.data, &self.spec, false).unwrap()
    }

    pub(in crate::control) fn recorded(&self, models: &[Model<'_>]) -> Recorded {
        self.recorded_in(&self.data, models)
    }

    fn recorded_in(&self, data: &Dataset, models: &[Model<'_>]) -> Recorded {
        let vae = Codec::read(&self.run.vae()).unwrap();
        Recorded::gather(models, &vae, data, self.spec.healthy_bonus, Philox::new(self.config.seed)).unwrap()
    }

    /// Evolves C as `config` has it.
    pub(in crate::control) fn train(&self, config: &Config, force: bool) -> Result<Summary> {
        crate::control::train(config, &self.run, &self.data, force, Device::Cpu, &Progress::hidden())
    }

    pub(in crate::control) fn with(&self, set: &[&str]) -> Config {
        let set: Vec<String> = set.iter().map(ToString::to_string).collect();
        self.config.overlay("test", "", &set).unwrap()
    }
}

/// Panels and biases of candidates of very different skill.
fn controllers(model: &Model<'_>, count: usize) -> Vec<Vec<f32>> {
    let dims = model.dims();
    let shape = Panels::dense(dims.unit_len(), dims.controller_inputs());
    let draw = |name: usize, n: usize| {
        let mut values = vec![0.0; n];
        Philox::new(3).fill_normal(Stream::Evolution, name as u64, &mut values);
        values
    };
    (0..count).map(|k| [draw(2 * k, shape.len(Precision::F32)), draw(2 * k + 1, shape.outputs())].concat()).collect()
}

/// One candidate's mean score and all its steps, one dream after the other, each alone in its batch. `pay` says what a step earns whose
/// reward M predicts, and which ends the task or does not.
fn by_hand(
    model: &Model<'_>,
    recorded: &Recorded,
    config: &Config,
    first: u32,
    count: u32,
    pay: impl Fn(f64, bool) -> f64,
) -> (f64, u64) {
    let (rng, dream) = (Philox::new(config.seed), &config.dream);
    let options =
        DreamOptions { seed: config.seed, temperature: dream.temperature as f32, termination: Termination::Sampled };
    let (mut score, mut steps) = (0.0, 0);
    for number in first..first + count {
        let mut memory = vec![0.0; dreams_memory_len(model.dims(), 1)];
        let mut dreams = DreamBatch::new(*model, &mut memory, 1, options).unwrap();
        let mut latent = vec![0.0; model.dims().latent_len()];
        dreams.start(0, number, recorded.start(rng, number, dream.recorded_starts, 0, &mut latent)).unwrap();
        for _ in 0..dream.horizon {
            steps += 1;
            let ended = dreams.step() == 0;
            if !ended && recorded.is_left(dreams.latent(0), dream.bound as f32) {
                break;
            }
            score += pay(f64::from(dreams.reward(0)), ended);
            if ended {
                break;
            }
        }
    }
    (score / f64::from(count), steps)
}

/// Episodes of another world: their rewards are what `reward` makes of an episode's step, and of whether that ends the task.
fn rewarded(data: &Dataset, reward: impl Fn(usize, bool) -> f32) -> Dataset {
    let episode = |id| {
        let mut episode = data.read(id).unwrap().into_owned();
        let ends = episode.terminals.clone();
        episode.rewards.iter_mut().zip(ends).enumerate().for_each(|(t, (r, ends))| *r = reward(t, ends));
        episode
    };
    Dataset::from_episodes((0..data.len()).map(episode).collect()).unwrap()
}

/// Where all ends pay or cost the same, they are counted; where rewards differ, M predicts that of the last step too.
#[test]
fn the_step_that_ends_the_task_earns_what_it_earns() {
    let small = small(&["dream.bound=0", "dream.horizon=30", "mdnrnn.reward_weight=1"]);
    let agents = small.agents();
    let models = [Model::load(&agents[0]).unwrap()];
    let values = (0..5).map(|k| {
        let mut values = vec![0.0; crate::agent::controller::len(models[0].dims())];
        Philox::new(3).fill_normal(Stream::Evolution, k, &mut values);
        values
    });
    let values: Vec<Vec<f32>> = values.collect();
    for (on, end) in [(1.0, 1.0), (1.0, -50.0), (0.0, 100.0), (-1.0, 0.0)] {
        let varied = [false, true].map(|varied| {
            let data = rewarded(&small.data, |t, ends| if ends { end } else { on + f32::from(u8::from(varied && t == 1)) });
            let recorded = small.recorded_in(&data, &models);
            assert_eq!(recorded.rewards.counted, (!varied).then_some([on, end].map(f64::from)));
            for engine in ["dream.engine=runtime", "dream.engine=torch"] {
                let config = small.with(&[engine]);
                let engine = Engine::new(&config, &agents, &models, &recorded, Device::Cpu).unwrap();
                for (values, score) in values.iter().zip(engine.score(&values, 50, 23).unwrap()) {
                    let made = crate::control::Controller::new(models[0].dims(), values).unwrap();
                    let model = made.model(&models[0]).unwrap();
                    let pay = |predicted, ended| match (varied, ended) {
                        (true, _) => predicted,
                        (_, false) => f64::from(on),
                        (_, true) => f64::from(end),
                    };
                    let (expected, steps) = by_hand(&model, &recorded, &config, 50, 23, pay);
                    let size = expected.abs().max(1.0);
                    assert!((score.value - expected).abs() < 1e-3 * size && score.steps == steps, "{score:?}: {expected}");
                }
            }
            recorded.ends
        });
        assert_eq!(varied, [true, true]);
    }
}

#[test]
fn scores_are_those_of_dreams_alone_whatever_the_threads_and_the_neighbours() {
    for set in [&[][..], &[CHOICES]] {
        scores_are_those_of_dreams_alone(&small(set));
    }
}

fn scores_are_those_of_dreams_alone(small: &Small) {
    let agents = small.agents();
    let models = [Model::load(&agents[0]).unwrap()];
    let recorded = small.recorded(&models);
    assert!(recorded.ends && recorded.rewards.counted == Some([1.0, 1.0]));
    let controllers = controllers(&models[0], 12);
    let candidates: Vec<_> = controllers.iter().map(|values| models[0].with_controller(values).unwrap()).collect();
    let pay = |_, _| 1.0; // CartPole's, whatever M says, and at the end too
    let expected: Vec<_> =
        candidates.iter().map(|candidate| by_hand(candidate, &recorded, &small.config, 50, 23, pay)).collect();
    let distinct: std::collections::BTreeSet<_> = expected.iter().map(|(score, _)| score.to_bits()).collect();
    assert!(distinct.len() > 4, "candidates differ: {expected:?}");
    for threads in ["threads=1", "threads=2", "threads=5"] {
        let config = small.with(&[threads]);
        let arena = RuntimeDreams::new(&models, &recorded, &config).unwrap();
        let scores = arena.score(&candidates, 50, 23).unwrap();
        let found: Vec<_> = scores.iter().map(|score| (score.value, score.steps)).collect();
        assert_eq!(found, expected, "{threads}");
        // Alone, and in another order.
        assert_eq!(arena.score(&candidates[3..4], 50, 23).unwrap()[0], scores[3]);
        let backwards: Vec<_> = candidates.iter().rev().copied().collect();
        assert!(arena.score(&backwards, 50, 23).unwrap().iter().rev().eq(&scores));
        assert_ne!(arena.score(&candidates, 73, 23).unwrap(), scores, "other numbers are other dreams");
    }
}

/// Over dreams that share no draw.
#[test]
fn expected_ends_come_to_what_drawn_ones_come_to_on_average_and_differ_less() {
    // Where steps are counted, and where M predicts what they earn.
    for set in [&["dream.horizon=12"][..], &["env=Hopper-v5", "vae.hidden=[16,16]", "collect.steps=600", "dream.horizon=8"]]
    {
        let small = small(set);
        let agents = small.agents();
        let models = [Model::load(&agents[0]).unwrap()];
        let recorded = small.recorded(&models);
        assert!(recorded.ends);
        let blocks = |ends: &str, first: u32| {
            let config = small.with(&[ends, "dream.bound=0"]);
            let dreams = RuntimeDreams::new(&models, &recorded, &config).unwrap();
            let blocks: Vec<f64> = (0..40).map(|i| dreams.score(&models, first + 50 * i, 50).unwrap()[0].value).collect();
            Estimate::of(&blocks)
        };
        let [drawn, expected] = [blocks("dream.ends=drawn", 0), blocks("dream.ends=expected", 100_000)];
        let error = drawn.standard_error.hypot(expected.standard_error);
        assert!((drawn.mean - expected.mean).abs() < 4.0 * error, "{set:?}: {drawn:?} {expected:?}");
        assert!(expected.standard_error < 0.9 * drawn.standard_error, "{set:?}: {drawn:?} {expected:?}");
    }
}

#[test]
fn the_horizon_and_the_bound_end_dreams() {
    let small = small(&[]);
    let agents = small.agents();
    let models = [Model::load(&agents[0]).unwrap()];
    let recorded = small.recorded(&models);
    let score = |set: &[&str]| {
        let config = small.with(set);
        RuntimeDreams::new(&models, &recorded, &config).unwrap().score(&models, 0, 64).unwrap()[0]
    };
    let free = score(&["dream.bound=0", "dream.horizon=30"]);
    assert!(score(&["dream.bound=0", "dream.horizon=3"]).steps <= 3 * 64);
    assert!(free.steps > 3 * 64);
    let tight = score(&["dream.bound=0.001", "dream.horizon=30"]);
    assert!(tight.steps < free.steps && tight.value < free.value, "{tight:?} of {free:?}");
    assert_eq!(score(&["dream.bound=1000", "dream.horizon=30"]), free, "as far as nobody goes");
    // What was recorded is within it, to the last latent.
    let latents: Vec<f32> = (0..models[0].dims().latent_len()).map(|_| f32::NAN).collect();
    assert!(recorded.is_left(&latents, 0.05) && !recorded.is_left(&latents, 0.0));
}

#[test]
fn dreams_begin_at_recorded_latents_with_the_memory_that_acting_had() {
    for set in [&[][..], &[CHOICES]] {
        dreams_begin_at_recorded_latents(&small(set));
    }
}

fn dreams_begin_at_recorded_latents(small: &Small) {
    let agents = small.agents();
    let models = [Model::load(&agents[0]).unwrap()];
    let recorded = small.recorded(&models);
    let (model, rng) = (&models[0], Philox::new(small.config.seed));
    let (z, n) = (model.dims().latent_len(), 4000);
    // Every place that there is, by replaying: (h, c) before it, and V's mean there.
    let mut places = Vec::new();
    for id in 0..small.data.len() {
        let episode = small.data.read(id).unwrap();
        let mut memory = vec![0.0; memory_len(model.dims())];
        let mut agent = Agent::new(*model, &mut memory).unwrap();
        for (t, (observation, action)) in episode.observations.iter().zip(episode.actions.rows()).enumerate() {
            let state = (agent.hidden().to_vec(), agent.cell().to_vec());
            agent.act_in_place(&observation).unwrap();
            places.push((t, state, agent.latent().to_vec()));
            agent.override_action(&action.to_vec()).unwrap();
            agent.advance().unwrap();
        }
    }
    let mut met = std::collections::BTreeSet::new();
    let (mut in_the_middle, mut errors) = (0, Vec::new());
    for number in 0..n {
        let mut latent = vec![0.0; z];
        let start = recorded.start(rng, number, 0.25, 0, &mut latent);
        let state = start.state.map(|(h, c)| (h.to_vec(), c.to_vec()));
        in_the_middle += u32::from(state.is_some());
        if let Some(state) = state {
            let at = places.iter().position(|(_, other, _)| *other == state);
            let at = at.expect("a memory that acting had");
            assert!(places[at].0 > 0);
            met.insert(at);
            errors.extend(latent.iter().zip(&places[at].2).map(|(a, b)| f64::from((a - b).abs())));
        } else {
            let first = |place: &&(usize, _, Vec<f32>)| place.0 == 0;
            let distance = |mean: &[f32]| latent.iter().zip(mean).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let nearest = places.iter().filter(first).map(|place| distance(&place.2)).fold(f32::INFINITY, f32::min);
            assert!(nearest < 4.0, "dream {number}");
        }
    }
    assert!((900..1100).contains(&in_the_middle), "a quarter of {n}: {in_the_middle}");
    assert!(met.len() > places.len() / 2, "all over the episodes: {} of {}", met.len(), places.len());
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    assert!(mean > 1e-3 && mean < 1.0, "sampled around V's mean, not at it: {mean}");
}

#[test]
fn other_ms_tell_the_dream_and_the_agents_own_remembers_it() {
    for env in ["env=CartPole-v1", CHOICES] {
        other_ms_tell_the_dream(&small(&["dream.ensemble=2", "dream.pessimism=0.5", env]));
    }
}

fn other_ms_tell_the_dream(small: &Small) {
    let agents = small.agents();
    let [own, other] = [0, 1].map(|i| Model::load(&agents[i]).unwrap());
    let controllers = controllers(&own, 3);
    let candidates: Vec<_> = controllers.iter().map(|values| own.with_controller(values).unwrap()).collect();
    let scores = |models: &[Model<'_>]| {
        let recorded = small.recorded(models);
        RuntimeDreams::new(models, &recorded, &small.config).unwrap().score(&candidates, 0, 30).unwrap()
    };
    let alone = scores(&[own]);
    // Told by itself, the dream is the same.
    let twice = scores(&[own, own]);
    for (twice, alone) in twice.iter().zip(&alone) {
        assert_eq!((twice.value, twice.steps), (alone.value, 2 * alone.steps));
    }
    // By hand: M 1 dreams, and what it says is played to M 0, which acts.
    let models = [own, other];
    let recorded = small.recorded(&models);
    let (rng, dream) = (Philox::new(small.config.seed), &small.config.dream);
    for (candidate, (both, alone)) in candidates.iter().zip(scores(&models).iter().zip(&alone)) {
        let mut score = 0.0;
        for number in 0..30 {
            let options = |termination| DreamOptions { seed: small.config.seed, temperature: 1.0, termination };
            let mut memory = vec![0.0; dreams_memory_len(own.dims(), 1)];
            let mut acting = DreamBatch::new(*candidate, &mut memory, 1, options(Termination::Never)).unwrap();
            let mut memory = vec![0.0; dreams_memory_len(own.dims(), 1)];
            let mut telling = DreamBatch::new(other, &mut memory, 1, options(Termination::Sampled)).unwrap();
            let mut latent = vec![0.0; own.dims().latent_len()];
            acting.start(0, number, recorded.start(rng, number, dream.recorded_starts, 0, &mut latent)).unwrap();
            telling.start(0, number, recorded.start(rng, number, dream.recorded_starts, 1, &mut latent)).unwrap();
            for _ in 0..dream.horizon {
                acting.act();
                telling.set_action(0, acting.unit_action(0)).unwrap();
                acting.imagine().unwrap();
                telling.imagine().unwrap();
                if !telling.is_done(0) && recorded.is_left(telling.latent(0), dream.bound as f32) {
                    break;
                }
                score += 1.0 / 30.0;
                if telling.is_done(0) {
                    break;
                }
                acting.set_latent(0, telling.latent(0)).unwrap();
            }
        }
        let (mean, half) = ((alone.value + score) / 2.0, (alone.value - score).abs() / 2.0);
        assert!(
            (both.value - (mean - 0.5 * half)).abs() < 1e-9,
            "{both:?}: expected {} of {mean} ± {half}",
            mean - 0.5 * half
        );
    }
}

#[test]
fn evolution_stops_where_dreams_promise_more_and_real_episodes_give_less() {
    let mut config = Config::default();
    config.controller.scored_on = ScoredOn::Dreams;
    config.dream = DreamConfig { patience: 2, generations: 100, ..DreamConfig::default() };
    let validations = |figures: &[(f64, f64)]| {
        let mut state = State::default();
        for (i, &(dream, real)) in figures.iter().enumerate() {
            state.record(Validation { generation: i as u64, dream: Some(dream), real: Some(real) }, 2);
        }
        state
    };
    let state = validations(&[(1.0, 10.0), (2.0, 30.0), (3.0, 20.0), (4.0, 15.0)]);
    assert!(state.has_drifted(&config.dream) && state.is_done(&config));
    assert_eq!(state.best.iter().map(|best| best.generation).collect::<Vec<_>>(), [1, 2], "real episodes decide");
    // Both worse, or both better, in between: no drift.
    assert!(!validations(&[(1.0, 10.0), (2.0, 9.0), (1.5, 8.0), (3.0, 7.0)]).has_drifted(&config.dream));
    assert!(!validations(&[(1.0, 10.0), (2.0, 9.0), (3.0, 11.0), (4.0, 10.0)]).has_drifted(&config.dream));
    assert!(!state.has_drifted(&DreamConfig { patience: 0, ..config.dream.clone() }), "never");
    // Without real episodes, dreams decide.
    let mut state = State::default();
    let kept =
        [3.0, 5.0, 4.0, 5.0].map(|dream| state.record(Validation { generation: 0, dream: Some(dream), real: None }, 2));
    assert_eq!(kept, [Some(0), Some(0), Some(1), Some(1)]);
    assert_eq!(state.drifting, 0);
}

/// Without a generation's worth of change C is what it began as.
#[test]
fn c_begins_as_the_teacher_on_the_recorded_episodes_and_reads_what_it_is_told_to() {
    let small = small(&["controller.input=z", "dream.generations=2", "dream.validate_every=2"]);
    let controller = |set: &[&str]| {
        let config = small.with(set);
        small.train(&config, true).unwrap();
        let result = Checkpoint::read(&small.run.controller()).unwrap();
        let bytes = crate::agent::pack::pack(&config, &small.run).unwrap();
        assert_eq!(Model::load(&bytes).unwrap().dims().input(), dreamstep_core::c::ControllerInput::Latent);
        (result.tensor(checkpoint::FC_WEIGHT, &[1, 3]).unwrap().to_vec(), bytes)
    };
    let far = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let still = ["controller.sigma=1e-6", "controller.max_speed=1e-6"];
    let (learnt, agent) = controller(&["controller.sigma=0.2"]);
    assert!(far(&learnt, &[0.0; 3]) > 0.02, "something was learnt: {learnt:?}");
    std::fs::write(small.run.teacher(), &agent[..]).unwrap();
    let state = |config: &Config| fingerprint(config, &small.run).unwrap();
    let with = state(&small.config);
    assert!(far(&controller(&still).0, &learnt) < 1e-3, "handed over");
    assert!(far(&controller(&[&still[..], &["dream.teacher=false"]].concat()).0, &[0.0; 3]) < 1e-3, "asked not to");
    // Another memory: what C reads is the same, so that what it does can be learnt to the last digit.
    let spec = &small.spec;
    let config = small.with(&["seed=9"]);
    let input = StageInput {
        config: &config,
        data: &small.data,
        actions: &spec.actions,
        run: &small.run,
        device: Device::Cpu,
        force: true,
        forces_later: false,
        progress: &|_| (),
    };
    let memory = digest(&small.run.mdnrnn()).unwrap();
    train_mdnrnn(&input).unwrap();
    assert_ne!(digest(&small.run.mdnrnn()).unwrap(), memory);
    // Learnt anew, since it packs: a C of the M before would not. Where dreams promise the beginning most, it may be the very same.
    let recalled = controller(&still).0;
    assert!(far(&recalled, &learnt) < 0.02, "{recalled:?} of {learnt:?}");
    let other = state(&small.config);
    std::fs::remove_file(small.run.teacher()).unwrap();
    assert!(with != other && state(&small.config) != other, "a state is of its teacher");
    assert!(far(&controller(&still).0, &[0.0; 3]) < 1e-3, "no teacher");
}

#[test]
fn a_run_that_is_gone_on_with_ends_in_the_bytes_of_one_that_was_not_whatever_the_threads() {
    let plays = ["dream.validation_episodes=2", "dream.rerank=2", "dream.rerank_episodes=3", "dream.patience=0"];
    for set in [&[][..], &[CHOICES]] {
        a_run_is_gone_on_with(&small(&[&plays, set].concat()));
    }
}

fn a_run_is_gone_on_with(small: &Small) {
    let whole = small.train(&small.config, false).unwrap();
    let bytes = || std::fs::read(small.run.controller()).unwrap();
    let (expected, state) = (bytes(), std::fs::read(small.run.evolution()).unwrap());
    assert!(is_finished(&small.config, &small.run).unwrap());
    assert!(
        whole.state.generation == 6 && whole.state.steps > 0 && whole.state.dream_steps > 0 && whole.best.real.is_some()
    );
    for threads in ["threads=1", "threads=3"] {
        let half = small.with(&["dream.generations=3", threads]);
        small.train(&half, true).unwrap();
        assert_ne!(bytes(), expected);
        assert!(!is_finished(&small.config, &small.run).unwrap(), "a budget raised is gone on with");
        // To where the state of the whole run was, by way of a look that it did not take: so from the look before.
        let half = small.with(&["dream.generations=2", threads]);
        small.train(&half, true).unwrap();
        small.train(&small.with(&[threads]), false).unwrap();
        assert!(bytes() == expected && std::fs::read(small.run.evolution()).unwrap() == state, "{threads}");
    }
    let other = small.with(&["dream.temperature=1.15"]);
    let error = format!("{:#}", small.train(&other, false).unwrap_err());
    assert!(error.contains("evolution.safetensors") && error.contains("--force") && !error.contains('\n'), "{error}");
    assert!(check(&other, &small.run, false, true, None).is_err() && check(&other, &small.run, true, true, None).is_ok());
}
