//! Gymnasium's environments through the bridge are what they are in plain Python, bit for bit; every kind of space is flattened as Gymnasium
//! flattens it, and an action reaches the environment as a member of its own space.

use crate::common::{changes, python, results, succeed};
use dreamstep::env::{ActionSpace, AnyEnv, Env, EnvConfig, EnvSpec, spec};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `id` of Gymnasium's, in the Python that has the tests' environments.
pub(crate) fn gym(id: &str, kwargs: &str) -> EnvConfig {
    let python = python::script("python/interpreter.sh").display().to_string();
    EnvConfig { python, kwargs: kwargs.parse().unwrap(), ..EnvConfig::from(format!("gym:{id}").as_str()) }
}

/// One of the tests' own.
pub(crate) fn own(name: &str, kwargs: &str) -> EnvConfig {
    gym(&format!("bridge_envs:{name}-v0"), kwargs)
}

/// Reads the reference's records.
struct Records(Vec<u8>, usize);

impl Records {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let found = *self.0[self.1..].first_chunk().expect("the reference's output ends early");
        self.1 += N;
        found
    }
    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }
    fn f64s(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| f64::from_le_bytes(self.bytes())).collect()
    }
    fn f32s(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| f32::from_le_bytes(self.bytes())).collect()
    }
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Plays what the reference played, and finds what it found. How many steps.
#[track_caller]
fn agrees(env: &EnvConfig, records: &mut Records) -> usize {
    let mut bridge = AnyEnv::make(env).unwrap();
    let sizes = (bridge.spec().obs, bridge.spec().action());
    assert_eq!((records.u64() as usize, records.u64() as usize), sizes, "{}", env.id);
    let mut obs = vec![f64::NAN; sizes.0];
    let mut steps = 0;
    loop {
        match records.bytes::<1>()[0] {
            b'R' => {
                let seed = records.u64();
                bridge.reset(seed, &mut obs).unwrap();
                assert_eq!(bits(&obs), bits(&records.f64s(sizes.0)), "{}: reset({seed})", env.id);
            }
            b'S' => {
                let action = records.f32s(sizes.1);
                let step = bridge.step(&action, &mut obs).unwrap();
                assert_eq!(bits(&obs), bits(&records.f64s(sizes.0)), "{}: step {steps}", env.id);
                let reward = records.f64s(1)[0];
                let [terminated, truncated] = records.bytes().map(|flag: u8| flag == 1);
                assert_eq!(
                    (step.reward.to_bits(), step.terminated, step.truncated),
                    (reward.to_bits(), terminated, truncated),
                    "{}: step {steps}: {step:?}",
                    env.id
                );
                steps += 1;
            }
            _ => return steps,
        }
    }
}

/// All of `jobs` are the same here and there.
#[track_caller]
fn same_as_gymnasium(jobs: &[(EnvConfig, Vec<u64>, usize)]) {
    let ask = |(env, seeds, steps): &(EnvConfig, Vec<u64>, usize)| json!({ "id": env.id.strip_prefix("gym:"), "kwargs": serde_json::to_value(&env.kwargs).unwrap(), "seeds": seeds, "steps": steps });
    let asked = Value::Array(jobs.iter().map(ask).collect()).to_string();
    let script = python::script("python/bridge_reference.py").display().to_string();
    let mut records = Records(python::run_as_bridged(&[&script, &asked]), 0);
    for (env, seeds, steps) in jobs {
        let length = records.u64() as usize;
        let end = records.1 + length;
        assert_eq!(agrees(env, &mut records), seeds.len() * steps, "{}", env.id);
        assert_eq!(records.1, end, "{}", env.id);
    }
    assert_eq!(records.1, records.0.len());
}

#[test]
fn gymnasium_s_tasks_are_bit_for_bit_what_they_are_in_python() {
    let mujoco =
        ["Ant", "HalfCheetah", "Hopper", "Humanoid", "HumanoidStandup", "InvertedDoublePendulum", "InvertedPendulum"];
    let mujoco = mujoco.into_iter().chain(["Pusher", "Reacher", "Swimmer", "Walker2d"]).map(|name| format!("{name}-v5"));
    let others = ["CartPole-v1", "Acrobot-v1", "MountainCarContinuous-v0", "LunarLander-v3", "Taxi-v4", "Blackjack-v1"];
    let ids: Vec<String> = mujoco.chain(others.map(String::from)).collect();
    assert_eq!(ids.len(), 17);
    let seeds = [0, (1 << 40) + 17, u64::MAX - 300];
    let mut jobs: Vec<_> = ids.iter().map(|id| (timed(gym(id, "")), seeds.to_vec(), 200)).collect();
    jobs.push((gym("LunarLander-v3", "continuous = true"), seeds.to_vec(), 200));
    jobs.push((gym("Humanoid-v5", "include_cinert_in_observation = false\nhealthy_z_range = [0.5, 9.0]"), vec![3], 50));
    jobs.push((gym("CarRacing-v3", ""), vec![1], 30));
    same_as_gymnasium(&jobs);
}

/// Blackjack says no limit and no period.
fn timed(env: EnvConfig) -> EnvConfig {
    if env.id.contains("Blackjack") { EnvConfig { time_limit: 300, ..env } } else { env }
}

/// The spaces in `bridge_envs`, their dtype on the wire, and whether they are pictures.
const SPACES: [(&str, Option<[usize; 3]>); 20] = [
    ("box", None),
    ("box-f64", None),
    ("box-f16", None),
    ("box-i32", None),
    ("box-i64", None),
    ("bytes", None),
    ("grey", Some([6, 4, 1])),
    ("grey-1", Some([6, 4, 1])),
    ("rgb", Some([6, 4, 3])),
    ("rgba", Some([6, 4, 4])),
    ("planes", None),
    ("discrete", None),
    ("discrete-start", None),
    ("binary", None),
    ("binary-2d", None),
    ("choices", None),
    ("choices-2d", None),
    ("dict", None),
    ("tuple", None),
    ("single-key", Some([4, 4, 3])),
];

#[test]
fn every_observation_space_is_flattened_as_gymnasium_flattens_it() {
    let env = |name: &str| own("Spaces", &format!("observation = {name:?}"));
    for (name, image) in SPACES {
        let EnvSpec { obs, image: found, blocks, .. } = spec(&env(name)).unwrap();
        assert_eq!(found.map(|image| image.frame), image, "{name}");
        assert_eq!(blocks.iter().map(|(_, length)| length).sum::<usize>(), obs, "{name}");
    }
    let named = |name: &str| spec(&env(name)).unwrap().blocks;
    let blocks = |blocks: &[(&str, usize)]| blocks.iter().map(|&(name, len)| (name.to_owned(), len)).collect::<Vec<_>>();
    assert_eq!(named("box-f64"), blocks(&[("observation", 6)]));
    // Gymnasium orders keys.
    assert_eq!(named("dict"), blocks(&[("arm.angle", 1), ("arm.on", 2), ("velocity", 2)]));
    assert_eq!(named("tuple"), blocks(&[("0", 2), ("1.a", 4), ("1.b", 3), ("2", 4)]));
    assert_eq!(named("single-key"), blocks(&[("image", 48)]));
    let jobs: Vec<_> = SPACES.map(|(name, _)| (env(name), vec![0, 5, u64::MAX - 3], 12)).into();
    same_as_gymnasium(&jobs);
}

/// What the environment saw of `action`, as Gymnasium flattens it. It checks by itself that it is a member of its space.
#[track_caller]
fn seen(env: &EnvConfig, action: &[f32]) -> Vec<f64> {
    let mut bridge = AnyEnv::make(env).unwrap();
    let mut obs = vec![0.0; bridge.spec().obs];
    bridge.reset(1, &mut obs).unwrap();
    bridge.step(action, &mut obs).unwrap();
    let first = obs.clone();
    // The environment has kept the first action, and would find it changed by the second.
    bridge.step(&vec![0.0; action.len()], &mut obs).unwrap();
    first
}

#[test]
fn an_action_reaches_the_environment_as_a_member_of_its_space() {
    let env = |name: &str| own("Echo", &format!("action = {name:?}"));
    let continuous = |name: &str| match spec(&env(name)).unwrap().actions {
        ActionSpace::Continuous { low, high } => (low, high),
        ActionSpace::Discrete { .. } => panic!("{name}"),
    };
    assert_eq!(continuous("box"), (vec![-2.0, 0.0], vec![1.0, 3.0]));
    assert_eq!(seen(&env("box"), &[-1.5, 2.25]), [-1.5, 2.25]);
    // Bounds that binary32 has not are moved inwards, so that its ends are members.
    let (low, high) = continuous("box-f64");
    assert!(low.iter().all(|&low| f64::from(low) >= -0.1 && low < -0.099_999), "{low:?}");
    assert!(high.iter().all(|&high| f64::from(high) <= 0.3 && high > 0.299_999), "{high:?}");
    assert_eq!(seen(&env("box-f64"), &[low[0], high[1], 0.125, 0.25]), [low[0].into(), high[1].into(), 0.125, 0.25]);
    // To the nearest whole number, and to the range before it wraps around.
    assert_eq!(continuous("box-i8"), (vec![-3.0; 2], vec![4.0; 2]));
    assert_eq!(seen(&env("box-i8"), &[-2.6, 1.4]), [-3.0, 1.0]);
    assert_eq!(seen(&env("box-u8"), &[-3.0, 300.0]), [0.0, 255.0]);

    assert_eq!(spec(&env("discrete")).unwrap().actions, ActionSpace::Discrete { choices: 3 });
    assert_eq!(seen(&env("discrete"), &[2.0]), [0.0, 0.0, 1.0]);
    assert_eq!(spec(&env("discrete-start")).unwrap().actions, ActionSpace::Discrete { choices: 3 });
    assert_eq!(seen(&env("discrete-start"), &[1.0]), [0.0, 1.0, 0.0]);

    for (name, len) in [("binary", 3), ("binary-2d", 4), ("choices", 5), ("choices-2d", 9)] {
        assert_eq!(continuous(name), (vec![-1.0; len], vec![1.0; len]), "{name}");
    }
    assert_eq!(seen(&env("binary"), &[-0.5, 0.0, 0.1]), [0.0, 0.0, 1.0]);
    assert_eq!(seen(&env("binary-2d"), &[1.0, -1.0, -1.0, 0.5]), [1.0, 0.0, 0.0, 1.0]);
    // The greatest score of each block, the first of equals.
    assert_eq!(seen(&env("choices"), &[-0.9, -0.5, 0.3, 0.3, -1.0]), [0.0, 1.0, 1.0, 0.0, 0.0]);
    let scores = [0.0, 1.0, 0.1, 0.2, 0.3, 1.0, -1.0, -1.0, -0.5];
    assert_eq!(seen(&env("choices-2d"), &scores), [0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);

    assert_eq!(continuous("dict"), (vec![-1.0, -1.0, -1.0, -1.0], vec![2.0, 2.0, 1.0, 1.0]));
    assert_eq!(seen(&env("dict"), &[0.5, 1.5, -0.2, 0.2]), [0.5, 1.5, 0.0, 1.0]);
    assert_eq!(continuous("tuple").1, [1.0, 1.0, 1.0, 1.0, 1.0, 9.0]);
    assert_eq!(seen(&env("tuple"), &[0.3, -1.0, 0.0, 0.5, -0.5, 6.6]), [1.0, 0.0, 1.0, 1.0, 0.0, 7.0]);
}

#[test]
fn bounds_that_are_infinite_are_the_ones_that_the_configuration_says() {
    for name in ["unbounded", "half", "huge", "any-integer"] {
        let env = own("Echo", &format!("action = {name:?}"));
        let error = format!("{:#}", spec(&env).unwrap_err());
        assert!(error.contains("finite bounds") && error.contains("env.action_range = [low, high]"), "{error}");
        assert!(error.contains("RescaleAction") && !error.contains('\n'), "{error}");
        let env = EnvConfig { action_range: vec![-3.0, 5.0], ..env };
        let expected: (&[f32], &[f32]) = match name {
            "half" => (&[0.0, -3.0], &[5.0, 1.0]),
            "unbounded" => (&[-3.0; 2], &[5.0; 2]),
            _ => (&[-3.0], &[5.0]),
        };
        let expected = ActionSpace::Continuous { low: expected.0.to_vec(), high: expected.1.to_vec() };
        assert_eq!(spec(&env).unwrap().actions, expected, "{name}");
    }
    let none = EnvConfig { action_range: vec![-3.0, -2.0], ..own("Echo", "action = \"half\"") };
    let error = format!("{:#}", spec(&none).unwrap_err());
    assert!(error.contains("expected a range, found [0.0, -3.0] to [-2.0, 1.0]"), "{error}");
}

#[test]
fn what_has_no_numbers_is_refused_by_name() {
    let known = "expected Box, Discrete, MultiBinary, MultiDiscrete, and Dict and Tuple of these, found";
    let spaces =
        [("text", "", "Text"), ("graph", "", "Graph"), ("sequence", " `seen`", "Sequence"), ("one-of", " `0`", "OneOf")];
    for (name, place, found) in spaces {
        let error = format!("{:#}", spec(&own("Spaces", &format!("observation = {name:?}"))).unwrap_err());
        assert_eq!(error, format!("gym:bridge_envs:Spaces-v0: observation space{place}: {known} {found}"));
    }
    for (name, place, found) in [("text", "", "Text"), ("sequence", " `0`", "Sequence"), ("one-of", " `how`", "OneOf")] {
        let error = format!("{:#}", spec(&own("Echo", &format!("action = {name:?}"))).unwrap_err());
        assert_eq!(error, format!("gym:bridge_envs:Echo-v0: action space{place}: {known} {found}"));
    }
    let error = format!("{:#}", spec(&own("Spaces", "observation = \"empty\"")).unwrap_err());
    assert!(error.contains("expected at least one number, found none") && !error.contains('\n'), "{error}");
}

/// What is recorded is the same to the byte, whoever steps the simulator and however many do.
#[test]
fn native_and_bridged_humanoids_are_recorded_to_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let python = python::script("python/interpreter.sh");
    for (run, id, threads) in [("native", "Humanoid-v5", 2), ("one", "gym:Humanoid-v5", 1), ("two", "gym:Humanoid-v5", 2)] {
        let python = if run == "native" { String::new() } else { format!("--set env.python={}", python.display()) };
        let settings = format!("--set env={id} --set threads={threads} --set collect.steps=400 --set seed=7");
        succeed(folder.path(), &format!("collect --run {run} {settings} {python}"));
    }
    let episodes = |run: &str| -> BTreeMap<String, Vec<u8>> {
        results(&folder.path().join(run)).into_iter().filter(|(name, _)| name.ends_with(".npz")).collect()
    };
    let native = episodes("native");
    assert!(native.len() > 5, "{} episodes", native.len());
    for run in ["one", "two"] {
        let different = changes(&native, &episodes(run));
        assert!(different.is_empty(), "{run}: {different:?}");
    }
}
