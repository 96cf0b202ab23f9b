//! Whatever a bridged environment does wrong is one line that says what, where, in which episode and step; nothing hangs, and the next reset
//! has an environment that works.

use crate::bridge::{gym, own};
use crate::common::python;
use dreamstep::env::{AnyEnv, Env, EnvConfig, Fault, OnError, spec};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const ID: &str = "gym:bridge_envs:Slide-v0";

/// Faults in a step, and what is said of them.
const IN_STEP: [(&str, &[&str]); 31] = [
    ("raise", &["step raised ValueError: the arm is broken (at ", " in happen, ", "environments.py:", " in step"]),
    ("sysexit", &["step raised SystemExit: tired (at ", " in happen"]),
    ("exit", &["step: the process exited with status 3; the last that it printed: going home"]),
    ("kill", &["step: the process died: signal: 9 (SIGKILL)"]),
    (
        "crash",
        &["step: the process died: signal: 11 (SIGSEGV)", "Fatal Python error: Segmentation fault (at ", " in happen, "],
    ),
    ("hang", &["step: no answer within 1 s (it was at ", " in happen, ", "environments.py:"]),
    ("hang-in-c", &["step: no answer within 1 s (it was at ", " in happen, "]),
    ("deaf", &["step: no answer within 1 s"]),
    ("garbage", &["step: expected an answer on the socket, found 40 bytes that are none ("]),
    ("half", &["step: expected an answer on the socket, found 24 bytes that are none ("]),
    ("close", &["step: the process closed its socket"]),
    ("four", &["step: expected 5 values (observation, reward, terminated, truncated, info), found 4"]),
    ("list", &["step: expected 5 values (observation, reward, terminated, truncated, info), found list ["]),
    ("none", &["step: expected 5 values (observation, reward, terminated, truncated, info), found NoneType None"]),
    ("reward-text", &["step: reward: expected a number, found str 'much'"]),
    ("reward-array", &["step: reward: expected a number, found ndarray [2] of float64"]),
    ("reward-none", &["step: reward: expected a number, found NoneType None"]),
    ("reward-nan", &["step: expected a finite reward, found NaN"]),
    ("flag-int", &["step: terminated: expected True or False, found int 0"]),
    ("flag-none", &["step: truncated: expected True or False, found NoneType None"]),
    ("info-none", &["step: info: expected a dict, found NoneType None"]),
    ("shape", &["step: observation `observation`: expected the shape [3], found ndarray [3, 1] of float64"]),
    ("short", &["step: observation `observation`: expected the shape [3], found ndarray [2] of float64"]),
    ("nan", &["step: expected observation `observation`[1] to be finite, found NaN"]),
    ("text", &["step: observation `observation`: expected numbers of the shape [3], found list ['x', 'x', 'x']"]),
    ("ragged", &["step: observation `observation`: expected numbers of the shape [3], found list [[1.0], [1.0, 2.0]]"]),
    ("object", &["step: observation `observation`: expected numbers of float64, found ndarray [3] of object"]),
    ("nothing", &["step: observation `observation`: expected numbers of the shape [3], found NoneType None"]),
    ("slow", &[]),
    ("flood", &[]),
    ("read", &[]),
];

/// The same of a reset.
const IN_RESET: [(&str, &[&str]); 7] = [
    ("raise", &["reset raised ValueError: the arm is broken (at ", " in reset"]),
    ("exit", &["reset: the process exited with status 3; the last that it printed: going home"]),
    ("hang-in-c", &["reset: no answer within 1 s (it was at "]),
    ("one", &["reset: expected 2 values (observation, info), found ndarray [3] of float64"]),
    ("three", &["reset: expected 2 values (observation, info), found 3"]),
    ("no-info", &["reset: info: expected a dict, found NoneType None"]),
    ("nan", &["reset: expected observation `observation`[1] to be finite, found NaN"]),
];

/// Does all of `work`, a few at a time: most of it waits.
fn share<T: Send>(work: Vec<T>, each: impl Fn(T) + Sync) {
    let work = Mutex::new(work);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(one) = work.lock().unwrap().pop() else { break };
                    each(one);
                }
            });
        }
    });
}

/// The first fault in an episode, `obs` being whatever it is.
fn played(env: &mut AnyEnv) -> Result<(), anyhow::Error> {
    let mut obs = [0.0; 3];
    env.reset(7, &mut obs)?;
    (0..5).try_for_each(|_| env.step(&[0.25], &mut obs).map(drop))
}

#[test]
fn every_fault_is_told_in_one_line_and_the_next_reset_works() {
    let faults = IN_STEP.map(|(fault, said)| (fault, "step", 3, said)).into_iter();
    let faults: Vec<_> = faults.chain(IN_RESET.map(|(fault, said)| (fault, "reset", 1, said))).collect();
    share(faults, |(fault, place, at, said)| {
        let kwargs = format!("fault = {fault:?}\nwhere = {place:?}\nat = {at}");
        let env = EnvConfig { timeout_s: if said.is_empty() { 60.0 } else { 1.0 }, ..own("Slide", &kwargs) };
        let mut env = AnyEnv::make(&env).unwrap();
        let start = Instant::now();
        let result = played(&mut env);
        assert!(start.elapsed() < Duration::from_secs(30), "{fault}: {:?}", start.elapsed());
        if said.is_empty() {
            return result.unwrap_or_else(|error| panic!("{fault}: {error:#}"));
        }
        let error = result.unwrap_err();
        let line = format!("{error:#}");
        assert!(error.is::<Fault>(), "{fault}: {line}");
        let whole =
            line.starts_with(&format!("{ID}: ")) && !line.contains('\n') && said.iter().all(|part| line.contains(part));
        assert!(whole && line.len() < 1000, "{fault} in {place}: expected {said:?} in {line}");
        // Nothing more of that episode; a fresh child has the same fault ahead of it in its third step, or first reset.
        let mut obs = [0.0; 3];
        let error = env.step(&[0.0], &mut obs).unwrap_err();
        assert_eq!(error.to_string(), format!("{ID}: step: expected a reset after the fault"));
        assert!(error.is::<Fault>());
        match place {
            "step" => {
                env.reset(7, &mut obs).unwrap();
                let sound = AnyEnv::make(&own("Slide", "")).and_then(|mut env| {
                    let mut obs = [0.0; 3];
                    env.reset(7, &mut obs).map(|()| obs)
                });
                assert_eq!(obs, sound.unwrap(), "{fault}");
            }
            _ => assert!(env.reset(7, &mut obs).unwrap_err().is::<Fault>(), "{fault}"),
        }
    });
}

#[test]
fn what_is_missing_is_one_line_each() {
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    };
    let bare = Path::new(env!("CARGO_MANIFEST_DIR")).join("../third_party/venv/bin/python").display().to_string();
    let with = |package: &str, text: &str| {
        let packages = folder.path().join(package).join(package);
        std::fs::create_dir_all(&packages).unwrap();
        std::fs::write(packages.join("__init__.py"), text).unwrap();
        let [interpreter, path] = [python::script("python/interpreter.sh"), packages.parent().unwrap().to_path_buf()];
        let [interpreter, path] = [interpreter, path].map(|path| path.display().to_string());
        // In front of what is installed.
        script(
            &format!("{package}.sh"),
            &format!(
                "#!/bin/sh\nexec {interpreter} -c \"import sys; sys.path.insert(0, '{path}'); exec(sys.argv.pop())\" \"$2\"\n"
            ),
        )
    };
    let refused = |python: &str, id: &str, said: &[&str]| {
        let env = EnvConfig { python: python.into(), ..gym(id, "") };
        let error = spec(&env).unwrap_err();
        let line = format!("{error:#}");
        let whole =
            line.starts_with(&format!("gym:{id}: ")) && !line.contains('\n') && said.iter().all(|part| line.contains(part));
        assert!(whole && !error.is::<Fault>(), "expected {said:?} in {line}");
        assert_eq!(AnyEnv::make(&env).err().map(|error| format!("{error:#}")), Some(line));
    };
    let python = python::script("python/interpreter.sh").display().to_string();
    refused("python9.9", "CartPole-v1", &["cannot start python9.9: No such file", "env.python"]);
    refused(
        &script("bad.sh", "#!/bin/sh\necho not a snake >&2\nexit 7\n"),
        "CartPole-v1",
        &["the process exited with status 7", "not a snake"],
    );
    refused(&script("empty", ""), "CartPole-v1", &["cannot start", "env.python"]);
    refused(&bare, "CartPole-v1", &["cannot import numpy (No module named 'numpy'): pip install numpy"]);
    let none = with("gymnasium", "raise ImportError('shadowed')");
    refused(&none, "CartPole-v1", &["cannot import gymnasium (shadowed): pip install 'gymnasium>=1,<2'"]);
    let old = with("gymnasium", "__version__ = '0.29.1'");
    refused(&old, "CartPole-v1", &["expected gymnasium 1.x, found 0.29.1: pip install"]);
    refused(&python, "Nowhere-v0", &["gymnasium.make raised", "NameNotFound: Environment `Nowhere` doesn't exist"]);
    refused(&python, "CartPole-v9", &["gymnasium.make raised", "VersionNotFound"]);
    refused(&python, "no_such_module:X-v0", &["gymnasium.make raised", "No module named 'no_such_module'"]);
    let env = own("Slide", "colour = \"red\"");
    let line = format!("{:#}", spec(&env).unwrap_err());
    assert!(line.contains("gymnasium.make raised TypeError") && line.contains("'colour'") && !line.contains('\n'), "{line}");
}

#[test]
fn what_an_environment_does_not_say_the_configuration_has_to() {
    let env = own("Endless", "");
    let line = |env: &EnvConfig| format!("{:#}", spec(env).unwrap_err());
    assert_eq!(line(&env), "gym:bridge_envs:Endless-v0: has no limit of steps: expected env.time_limit, found 0");
    let env = EnvConfig { time_limit: 5, ..env };
    assert_eq!(line(&env), "gym:bridge_envs:Endless-v0: says no seconds of a step: expected env.period_s, found 0");
    let env = EnvConfig { period_s: 0.5, ..env };
    let mut made = AnyEnv::make(&env).unwrap();
    assert_eq!((made.spec().dt_s, made.spec().time_limit, made.spec()), (0.5, 5, &spec(&env).unwrap()));
    let mut obs = vec![0.0; made.spec().obs];
    made.reset(0, &mut obs).unwrap();
    let ends: Vec<bool> = (0..5).map(|_| made.step(&[0.0; 3], &mut obs).unwrap().truncated).collect();
    assert_eq!(ends, [false, false, false, false, true]);
    // What it says counts where nothing else is said.
    let slide = spec(&own("Slide", "")).unwrap();
    assert_eq!((slide.dt_s, slide.time_limit), (0.05, 20));
    let faster = EnvConfig { period_s: 0.01, time_limit: 7, on_error: OnError::Worst, ..own("Slide", "") };
    let faster = spec(&faster).unwrap();
    assert_eq!((faster.dt_s, faster.time_limit), (0.01, 7));
}

/// What is asked of an environment is checked before it is sent.
#[test]
fn what_the_caller_got_wrong_is_an_error_and_the_child_stays() {
    let mut env = AnyEnv::make(&own("Slide", "")).unwrap();
    let (mut obs, mut again) = ([0.0; 3], [0.0; 3]);
    env.reset(1, &mut obs).unwrap();
    for (action, said) in
        [(&[f32::NAN][..], "action[0]: expected a finite number, found NaN"), (&[0.0; 2], "expected 1 actions, found 2")]
    {
        let error = env.step(action, &mut obs).unwrap_err();
        assert_eq!(error.to_string(), format!("{ID}: {said}"));
        assert!(!error.is::<Fault>());
    }
    assert_eq!(
        env.step(&[0.0], &mut obs[1..]).unwrap_err().to_string(),
        format!("{ID}: expected an observation buffer of 3, found 2")
    );
    env.step(&[0.5], &mut obs).unwrap();
    env.reset(1, &mut again).unwrap();
    env.step(&[0.5], &mut again).unwrap();
    assert_eq!(obs, again);
}
