//! Our environments are Gymnasium's, bit for bit. The reference runs live, in `gymnasium_reference.py`, once for all tests; every
//! observation, reward, flag and position is compared as bits.
//!
//! Contract: same MuJoCo version, same machine, numpy's dot products unfused (`gymnasium_reference.py` says why that needs saying).
//! It holds for finite actions, inside and outside the action range, before and after the end of an episode.

mod common;

use common::python;
use dreamstep::env::numpy_random::NumpyRandom;
use dreamstep::env::{ActionSpace, AnyEnv, Env, EnvConfig, ids};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

/// What the reference is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    id: &'static str,
    steps: u64,
    /// Actions are uniform in so many times the action range.
    scale: u64,
    /// A new episode when one ends; else it is stepped on.
    reset: bool,
    seeds: Vec<u64>,
}

impl Job {
    /// Episodes as anybody would play them.
    fn episodes(id: &'static str) -> Self {
        let humanoid: &[u64] = &[0, 1, 12_345, (1 << 40) + 17, u64::MAX - 100];
        let seeds = if id == "Humanoid-v5" { humanoid } else { &[0, 12_345, (1 << 40) + 17] };
        Self { id, steps: 200, scale: 1, reset: true, seeds: seeds.to_vec() }
    }

    /// Actions that actuators cannot follow.
    fn beyond(id: &'static str) -> Self {
        Self { scale: 5, seeds: vec![2, 3], ..Self::episodes(id) }
    }

    /// Past the end of the task, on to the time limit and over it.
    fn past_the_end(id: &'static str, time_limit: u64) -> Self {
        let seeds = if id == "Humanoid-v5" { vec![4, 5] } else { vec![4] };
        Self { id, steps: time_limit + 10, scale: 1, reset: false, seeds }
    }

    /// Many first observations.
    fn starts(id: &'static str) -> Self {
        Self { id, steps: 1, scale: 1, reset: false, seeds: (100..150).collect() }
    }

    /// Draws that are normal.
    fn normals() -> Self {
        Self { id: "normals", steps: 100_000, scale: 1, reset: false, seeds: vec![0, 7] }
    }

    fn args(&self) -> [String; 5] {
        let seeds = self.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        [self.id.into(), self.steps.to_string(), self.scale.to_string(), u8::from(self.reset).to_string(), seeds]
    }
}

/// The answers to all jobs, from one process: importing Gymnasium takes longer than most of them.
static REFERENCE: LazyLock<BTreeMap<Job, Vec<u8>>> = LazyLock::new(|| {
    let mut jobs = vec![Job::normals()];
    for &(id, time_limit) in ENVIRONMENTS {
        jobs.extend([Job::episodes(id), Job::beyond(id), Job::past_the_end(id, time_limit), Job::starts(id)]);
    }
    let mut args = vec![python::script("gymnasium_reference.py").display().to_string()];
    args.extend(jobs.iter().flat_map(Job::args));
    let output = python::run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let mut records = Records(&output);
    jobs.into_iter()
        .map(|job| {
            let length = records.u64() as usize;
            let (answer, rest) = records.0.split_at(length);
            records.0 = rest;
            (job, answer.to_vec())
        })
        .collect()
});

/// Reads the reference's records.
struct Records<'a>(&'a [u8]);

impl Records<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().expect("the reference's output ends early");
        self.0 = rest;
        *head
    }
    fn tag(&mut self) -> u8 {
        self.bytes::<1>()[0]
    }
    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }
    fn f64(&mut self) -> f64 {
        f64::from_le_bytes(self.bytes())
    }
    fn f32s(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| f32::from_le_bytes(self.bytes())).collect()
    }
    fn f64s(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.f64()).collect()
    }
}

/// What was compared, so that a test can prove that it met what it is about.
#[derive(Debug, Default)]
struct Seen {
    resets: usize,
    steps: usize,
    terminated: usize,
    truncated: usize,
    after_the_end: usize,
}

/// Follows the reference step by step.
fn compare(job: &Job) -> Seen {
    compare_with(job, &mut AnyEnv::make(&EnvConfig::from(job.id)).unwrap())
}

/// As [`compare`], by an environment that should be that one.
fn compare_with(job: &Job, env: &mut AnyEnv) -> Seen {
    let mut records = Records(&REFERENCE[job]);
    let id = job.id;
    let spec = env.spec().clone();
    assert_eq!((spec.obs as u64, spec.action() as u64), (records.u64(), records.u64()), "{id}: sizes");
    assert_eq!((spec.dt_s.to_bits(), u64::from(spec.time_limit)), (records.f64().to_bits(), records.u64()), "{id}: times");
    let range = ActionSpace::Continuous { low: records.f32s(spec.action()), high: records.f32s(spec.action()) };
    assert_eq!(spec.actions, range, "{id}: action range");

    let mut seen = Seen::default();
    let mut obs = vec![f64::NAN; spec.obs];
    let (mut seed, mut t, mut over) = (0, 0, false);
    loop {
        match records.tag() {
            b'R' => {
                (seed, t, over) = (records.u64(), 0, false);
                env.reset(seed, &mut obs).unwrap();
                seen.resets += 1;
            }
            b'S' => {
                let action = records.f32s(spec.action());
                let step = env.step(&action, &mut obs).unwrap();
                t += 1;
                seen.steps += 1;
                seen.after_the_end += usize::from(over);
                let expected = records.f64s(spec.obs);
                assert_bits(&format!("{id}, seed {seed}, step {t}"), &expected, &obs);
                let (reward, terminated, truncated) = (records.f64(), records.tag() == 1, records.tag() == 1);
                assert_eq!(reward.to_bits(), step.reward.to_bits(), "{id}, seed {seed}, step {t}: {reward} {}", step.reward);
                assert_eq!((terminated, truncated), (step.terminated, step.truncated), "{id}, seed {seed}, step {t}");
                assert_eq!(records.f64().to_bits(), env.position_x().unwrap().to_bits(), "{id}, seed {seed}, step {t}: x");
                seen.terminated += usize::from(terminated);
                seen.truncated += usize::from(truncated);
                over |= terminated || truncated;
                continue;
            }
            b'E' => break,
            tag => panic!("unknown record {tag}"),
        }
        assert_bits(&format!("{id}, seed {seed}, reset"), &records.f64s(spec.obs), &obs);
    }
    assert!(records.0.is_empty(), "{} bytes left over", records.0.len());
    assert_eq!(seen.steps as u64, job.steps * job.seeds.len() as u64, "{id}: {seen:?}");
    seen
}

fn assert_bits(place: &str, expected: &[f64], found: &[f64]) {
    let differs = |(e, f): (&f64, &f64)| e.to_bits() != f.to_bits();
    if let Some(i) = expected.iter().zip(found).position(differs) {
        panic!("{place}: [{i}] expected {:e}, found {:e}", expected[i], found[i]);
    }
}

/// Four tests for each environment: its id, its time limit, and whether random actions end it soon.
macro_rules! environments {
    ($($name:ident: $id:literal, $time_limit:literal, $ends:literal;)+) => {
        const ENVIRONMENTS: &[(&str, u64)] = &[$(($id, $time_limit)),+];

        $(mod $name {
            use super::{Job, compare};

            #[test]
            fn episodes_of_random_actions() {
                let job = Job::episodes($id);
                let seen = compare(&job);
                assert_eq!(seen.terminated > job.seeds.len(), $ends, "{seen:?}");
                // What is left of the last episode of each seed is cut.
                assert!(seen.terminated.max(seen.truncated) + job.seeds.len() >= seen.resets, "{seen:?}");
            }

            /// The simulator clamps what it is asked for, the control cost does not.
            #[test]
            fn actions_beyond_the_range() {
                compare(&Job::beyond($id));
            }

            /// Gymnasium's limit does not ask whether the robot stands.
            #[test]
            fn stepping_past_the_end_and_the_time_limit() {
                let job = Job::past_the_end($id, $time_limit);
                let seen = compare(&job);
                assert_eq!(seen.truncated, 11 * job.seeds.len(), "the limit and ten steps over it: {seen:?}");
                let most = if $ends { $time_limit / 2 } else { 10 };
                assert!(seen.after_the_end >= most * job.seeds.len(), "{seen:?}");
            }

            #[test]
            fn starts() {
                assert_eq!(compare(&Job::starts($id)).resets, 50);
            }
        })+
    };
}

environments! {
    ant: "Ant-v5", 1000, true;
    cart_pole: "CartPole-v1", 500, true;
    half_cheetah: "HalfCheetah-v5", 1000, false;
    hopper: "Hopper-v5", 1000, true;
    humanoid: "Humanoid-v5", 1000, true;
    humanoid_standup: "HumanoidStandup-v5", 1000, false;
    inverted_double_pendulum: "InvertedDoublePendulum-v5", 1000, true;
    inverted_pendulum: "InvertedPendulum-v5", 1000, true;
    pusher: "Pusher-v5", 100, false;
    reacher: "Reacher-v5", 50, false;
    swimmer: "Swimmer-v5", 1000, false;
    walker2d: "Walker2d-v5", 1000, true;
}

#[test]
fn every_environment_is_compared() {
    // CarRacing-v3's comparison is car_racing_parity.rs.
    let mut known: Vec<_> = ids().filter(|id| *id != "CarRacing-v3").collect();
    known.sort_unstable();
    assert_eq!(known, ENVIRONMENTS.iter().map(|(id, _)| *id).collect::<Vec<_>>());
}

/// A user's own task on a user's own model is the same mechanism: each file of `configs/tasks`, under another name, as `--env FILE` reads it.
#[test]
fn a_users_task_is_gymnasiums_where_it_says_the_same() {
    let tasks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/tasks");
    let folder = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for entry in std::fs::read_dir(tasks).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let (id, time_limit) = ENVIRONMENTS.iter().find(|(id, _)| text.contains(&format!("id = \"{id}\""))).unwrap();
        let path = folder.path().join("own.toml");
        std::fs::write(&path, text.replace(&format!("id = \"{id}\""), &format!("id = \"My-{id}\""))).unwrap();
        let config = EnvConfig::named(path.to_str().unwrap()).unwrap();
        let mut env = AnyEnv::make(&config).unwrap();
        assert_eq!(env.spec().id, format!("My-{id}"));
        for job in [Job::episodes(id), Job::beyond(id), Job::past_the_end(id, *time_limit), Job::starts(id)] {
            compare_with(&job, &mut env);
        }
        compared += 1;
    }
    assert_eq!(compared, ENVIRONMENTS.len() - 1, "all but CartPole");
}

/// Enough draws for the rare branches too: one in 150 leaves the first, one in 4,000 comes from the tail.
#[test]
fn normal_draws_are_numpys() {
    let job = Job::normals();
    let mut records = Records(&REFERENCE[&job]);
    let mut tail = 0;
    for &seed in &job.seeds {
        let expected = records.f64s(job.steps as usize);
        let mut rng = NumpyRandom::new(seed);
        let found: Vec<f64> = expected.iter().map(|_| rng.standard_normal()).collect();
        assert_bits(&format!("normal draws, seed {seed}"), &expected, &found);
        tail += found.iter().filter(|x| x.abs() > 3.654_152_885_361_009).count();
    }
    assert!(tail > 10 && records.0.is_empty(), "{tail} draws from the tail");
}
