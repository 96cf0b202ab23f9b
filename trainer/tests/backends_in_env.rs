//! Whole episodes do not depend on the back end that steps the agent, nor on the number of threads: the shipped agent
//! plays whole Humanoid-v5 episodes on every back end that this processor runs, and on one, two and three threads.
//!
//! Contract: same file, same seed, same machine. An action that differed in one bit would leave a different world behind
//! it, so a whole episode is a stricter judge than any tolerance.

use dreamstep::env::pool::EnvPool;
use dreamstep::env::{AnyEnv, Env};
use dreamstep::judge::evaluate::{Report, evaluate};
use dreamstep::run::config::EnvConfig;
use dreamstep::run::progress::Progress;
use dreamstep_core::dims::Dims;
use dreamstep_core::pack::AlignedBytes;
use dreamstep_fixtures::HUMANOID;
use dreamstep_runtime::{Agent, Backend, Model, memory_len};

const ENV: &str = "Humanoid-v5";
const SEEDS: std::ops::Range<u64> = 500..506;

/// One tick as bits.
#[derive(Debug, PartialEq, Eq)]
struct Tick {
    observation: Vec<u64>,
    action: Vec<u32>,
    digest: u64,
    reward: u64,
    end: (bool, bool),
}

/// `reset(seed)`, played to its end.
fn episode(model: &Model<'_>, seed: u64) -> Vec<Tick> {
    let mut env = AnyEnv::make(&EnvConfig::from(ENV)).unwrap();
    // Memory that was in use: nothing of it may shine through.
    let mut memory = vec![f32::NAN; memory_len(model.dims())];
    let mut agent = Agent::new(*model, &mut memory).unwrap();
    let (mut wide, mut action) = (vec![0.0; env.spec().obs], vec![0.0; env.spec().action()]);
    let mut ticks = Vec::new();
    env.reset(seed, &mut wide).unwrap();
    loop {
        let observation: Vec<f32> = wide.iter().map(|&value| value as f32).collect();
        let bits = wide.iter().map(|value| value.to_bits()).collect();
        agent.act(&observation, &mut action).unwrap();
        agent.advance().unwrap();
        let step = env.step(&action, &mut wide).unwrap();
        ticks.push(Tick {
            observation: bits,
            action: action.iter().map(|value| value.to_bits()).collect(),
            digest: agent.digest(),
            reward: step.reward.to_bits(),
            end: (step.terminated, step.truncated),
        });
        if step.terminated || step.truncated {
            return ticks;
        }
    }
}

fn available() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

fn load(bytes: &[u8], backend: Backend) -> Model<'_> {
    let model = Model::load_with(bytes, backend).unwrap();
    assert_eq!(model.backend(), backend, "the back end that was asked for is the one that runs");
    model
}

/// Names the first difference; a whole episode is too long to print.
fn assert_same(what: &str, expected: &[Tick], found: &[Tick]) {
    if let Some(t) = expected.iter().zip(found).position(|(a, b)| a != b) {
        let (a, b) = (&expected[t], &found[t]);
        let at = |same: bool| if same { "same" } else { "DIFFERENT" };
        panic!(
            "{what}, step {t}: observation {}, action {}, state {}, reward {}, end {}",
            at(a.observation == b.observation),
            at(a.action == b.action),
            at(a.digest == b.digest),
            at(a.reward == b.reward),
            at(a.end == b.end)
        );
    }
    assert_eq!(expected.len(), found.len(), "{what}: steps");
}

#[test]
fn whole_episodes_are_the_same_bits_on_every_back_end() {
    println!("back ends: {:?}", available().map(Backend::name).collect::<Vec<_>>());
    // The shipped agent, and one whose random weights throw it about.
    let thrown = dreamstep_fixtures::synthetic::agent(&Dims::HUMANOID, 7);
    for (name, bytes) in [("shipped", HUMANOID), ("random", &*thrown)] {
        let mut first_actions = Vec::new();
        for seed in SEEDS {
            let expected = episode(&load(bytes, Backend::Portable), seed);
            for backend in available() {
                let found = episode(&load(bytes, backend), seed);
                assert_same(&format!("{name} agent, {}, seed {seed}", backend.name()), &expected, &found);
            }
            // The comparison is about something: the agent moves, and remembers.
            assert!(expected.len() > 10 && expected[0].action != expected[5].action, "{name}, seed {seed}");
            assert!(expected.windows(2).all(|pair| pair[0].digest != pair[1].digest), "{name}, seed {seed}");
            first_actions.push(expected[0].action.clone());
        }
        first_actions.dedup();
        assert_eq!(first_actions.len(), SEEDS.count(), "{name} agent: every seed starts another episode");
    }
}

/// The judge judges: the last bits of one input's weights to 16 of the LSTM's 256 units make another trajectory.
#[test]
fn last_bits_of_a_few_weights_are_seen() {
    let mut bytes = AlignedBytes::new(HUMANOID).to_vec();
    let file = dreamstep_core::reader::File::parse(HUMANOID).unwrap();
    let rnn = file.tensor(dreamstep_core::names::packed::RNN.panels).unwrap();
    let at = rnn.data.as_ptr() as usize - HUMANOID.as_ptr() as usize;
    // Panel 0 is [K+1, 64], row 0 the bias; inputs are [a, z, h], so that row 18 belongs to the first latent.
    (0..64).for_each(|lane| bytes[at + 4 * (64 * 18 + lane)] ^= 1);
    let spoilt = AlignedBytes::new(&bytes);
    let seed = SEEDS.start;
    let [good, bad] = [HUMANOID, &spoilt].map(|bytes| episode(&load(bytes, Backend::detect()), seed));
    assert!(good != bad, "seed {seed}: the trajectories are equal");
}

fn report(threads: usize, backend: Backend) -> Report {
    let arena = EnvPool::new(&EnvConfig::from(ENV), threads).unwrap();
    let model = load(HUMANOID, backend);
    evaluate(&arena, ENV, Some(&model), true, SEEDS.start, 2 * SEEDS.count(), &Progress::hidden()).unwrap()
}

#[test]
fn evaluation_does_not_depend_on_threads_or_back_end() {
    // Floats print as the shortest text that reads back as the same bits.
    let rows = |report: &Report| serde_json::to_string(&report.rows).unwrap();
    let expected = report(1, Backend::Portable);
    for threads in 1..=3 {
        for backend in available() {
            let found = report(threads, backend);
            assert_eq!(rows(&found), rows(&expected), "{threads} threads, {}", backend.name());
        }
    }
    // And it is what this file's own loop comes to.
    let agent = expected.rows.iter().find(|row| row.policy == "agent").unwrap();
    for (seed, outcome) in SEEDS.zip(&agent.outcomes) {
        let ticks = episode(&load(HUMANOID, Backend::Portable), seed);
        let sum = ticks.iter().fold(0.0, |sum, tick| sum + f64::from_bits(tick.reward));
        assert_eq!((outcome.length, outcome.episode_return), (ticks.len() as u64, sum), "seed {seed}");
        assert_eq!(outcome.terminated, ticks[ticks.len() - 1].end.0, "seed {seed}");
    }
}
