//! Minari's datasets, made by Minari itself, come in as its own package and Gymnasium's flattening have them.

use crate::common::{check_refusal, command, python, refused_command};
use dreamstep::data::rollouts::{self, Episode};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Datasets of every kind of space, and beside each what `gymnasium.spaces.flatten` makes of it, as plain files.
const PROGRAM: &str = "
import sys, os, numpy as np, warnings
warnings.simplefilter('ignore')
os.chdir(sys.argv[1])
os.environ['MINARI_DATASETS_PATH'] = os.path.join(os.getcwd(), 'datasets')
import minari
from minari.data_collector import EpisodeBuffer
from gymnasium import spaces
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple
from gymnasium.vector.utils import batch_space

def stacked(space, values):
    if isinstance(space, Dict): return {k: stacked(s, [v[k] for v in values]) for k, s in space.spaces.items()}
    if isinstance(space, Tuple): return tuple(stacked(s, [v[i] for v in values]) for i, s in enumerate(space.spaces))
    return values if isinstance(space, Text) else np.array(values)

# A picture alone stays one.
def pictured(space, o): return o['eye'] if isinstance(space, Dict) and 'eye' in space.spaces else spaces.flatten(space, o)

def make(name, observation, action, plain, ends=(True, False, True)):
    buffers = []
    for e, end in enumerate(ends):
        n = 5 + e
        observation.seed(e); action.seed(e)
        seen, done = [observation.sample() for _ in range(n + 1)], [action.sample() for _ in range(n)]
        rewards, last = np.linspace(-1, 1, n), np.arange(n) == n - 1
        seed = 2**40 + e if e else None
        buffers.append(EpisodeBuffer(id=e, seed=seed, observations=stacked(observation, seen), actions=stacked(action, done),
            rewards=list(rewards), terminations=list(last & end), truncations=list(last & (not end)), infos={}))
        os.makedirs('plain-' + name, exist_ok=True)
        np.savez('plain-%s/%d.npz' % (name, e), observations=np.stack([pictured(observation, o) for o in seen]),
            actions=np.stack([plain(a) for a in done]), rewards=rewards, terminated=last & end, truncated=last & (not end),
            **({'seed': np.int64(seed)} if seed else {}))
    minari.create_dataset_from_buffers('robots/' + name + '-v0', buffers, observation_space=observation, action_space=action,
        algorithm_name='none', code_permalink='none', author='none', author_email='none', description='none', data_format='hdf5')

box = lambda *shape: Box(-0.5, 2.0, shape, np.float64)
everything = Dict({'z': box(2, 2), 'a': Discrete(3, start=1), 'm': MultiDiscrete([2, 3]), 'b': MultiBinary(2), 't': Tuple([box(1), Discrete(2)])})
make('arm', box(3), Box(np.array([-1, 0], 'f4'), np.array([1, 3], 'f4')), lambda a: a)
make('everything', everything, Discrete(4, start=-1), lambda a: int(a) + 1)
sign = lambda hot: 2.0 * hot - 1.0
make('hand', box(1), Dict({'grip': Discrete(2), 'arm': Box(-2, 2, (2,)), 'lamps': MultiBinary(3)}),
    lambda a: np.concatenate([a['arm'], sign(np.eye(2)[int(a['grip'])]), sign(a['lamps'])]))
make('speech', Dict({'word': Text(4), 'x': box(1)}), Discrete(2), lambda a: a)
import gymnasium
cart = gymnasium.make('CartPole-v1')
make('cart', cart.observation_space, cart.action_space, lambda a: a)
make('seen', Dict({'eye': Box(0, 255, (4, 5, 3), np.uint8)}), Discrete(2), lambda a: int(a))
make('unbounded', box(1), Box(-np.inf, np.inf, (1,)), lambda a: a)
";

/// Sizes of each.
const SIZES: [(&str, &str); 5] = [
    (
        "arm",
        "--set env.recorded.observation=[{size=3}] --set env.recorded.action=[{size=1,low=-1,high=1},{size=1,low=0,high=3}]",
    ),
    ("everything", "--set env.recorded.observation=[{size=17}] --set env.recorded.choices=4"),
    (
        "hand",
        "--set env.recorded.observation=[{size=1}] --set env.recorded.action=[{size=2,low=-2,high=2},{size=5,low=-1,high=1}]",
    ),
    ("seen", "--set env.recorded.image=[4,5,3] --set env.recorded.choices=2"),
    ("unbounded", "--set env.recorded.observation=[{size=1}] --set env.recorded.action=[{size=1,low=-9,high=9}]"),
];

fn installed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../third_party").join(path)
}

/// `import` of data without an environment, whose Python is the one that set-up installed, with `packages` to import.
fn import(folder: &Path, args: &str, packages: &Path) -> Command {
    let interpreter = installed("venv/bin/python");
    let fixed = format!("--set env=recorded --set env.period_s=0.02 --set env.python={}", interpreter.display());
    let mut command = command(folder, &format!("import {fixed} {args}"));
    command.env("PYTHONPATH", packages).env("MINARI_DATASETS_PATH", folder.join("datasets"));
    // Set-up compiles no modules.
    command.env("PYTHONPYCACHEPREFIX", Path::new(env!("CARGO_TARGET_TMPDIR")).join("pycache"));
    command.env_remove("VIRTUAL_ENV").env_remove("PYTHONDONTWRITEBYTECODE");
    command
}

#[track_caller]
fn succeed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn episodes(folder: &Path, run: &str) -> Vec<Episode> {
    rollouts::read_dir(&folder.join(run).join("rollouts")).unwrap()
}

#[test]
fn a_dataset_comes_in_as_gymnasium_flattens_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    python::run(&["-c", PROGRAM, &folder.display().to_string()]);
    let packages = installed("python");
    for (name, sizes) in SIZES {
        succeed(import(folder, &format!("--run plain-run-{name} {sizes} plain-{name}"), &packages));
        let expected = episodes(folder, &format!("plain-run-{name}"));
        // By its id, by its folder, by the folder in it, and by the file.
        let place = format!("datasets/robots/{name}-v0");
        let forms = [
            format!("minari:robots/{name}-v0"),
            place.clone(),
            format!("{place}/data"),
            format!("{place}/data/main_data.hdf5"),
        ];
        // Starting Python takes longer than all else.
        let forms = if name == "arm" { &forms[..] } else { &forms[..1] };
        for (i, form) in forms.iter().enumerate() {
            let said = succeed(import(folder, &format!("--run {name}-{i} {sizes} {form}"), &packages));
            assert!(said.contains("3 episodes, 18 steps"), "{said}");
            let found = episodes(folder, &format!("{name}-{i}"));
            assert_eq!(found, expected, "{form}");
        }
        let first = &expected[1];
        assert_eq!((first.seed, first.steps()), ((1 << 40) + 1, 6), "a seed on record is kept");
        assert!(first.truncations[5] && !first.terminals[5] && expected[0].terminals[4]);
    }
    assert_eq!(episodes(folder, "seen-0")[0].observations.frame(), Some([4, 5, 3]));
    let everything = episodes(folder, "everything-0");
    assert!(everything.iter().flat_map(|e| &e.actions).all(|a| (0.0..4.0).contains(a) && a.fract() == 0.0));

    // Data of one of Gymnasium's environments, as data of it: [env.recorded] has nothing to say then.
    let import_of = |run: &str, what: &str| {
        let interpreter = python::script("python/interpreter.sh");
        let args = format!("import --run {run} --set env=gym:CartPole-v1 --set env.python={} {what}", interpreter.display());
        let mut command = command(folder, &args);
        command.env("MINARI_DATASETS_PATH", folder.join("datasets")).env_remove("PYTHONDONTWRITEBYTECODE");
        succeed(command);
        episodes(folder, run)
    };
    assert_eq!(import_of("cart", "minari:robots/cart-v0"), import_of("plain-run-cart", "plain-cart"));

    // ---- refused in one line, which says what to do
    let refuse = |args: &str, parts: &[&str]| refused_command(&mut import(folder, args, &packages), folder, parts);
    refuse(
        "--run n minari:robots/arm-v0",
        &[
            "env.recorded.observation=[{ name = \"observation\", size = 3 }]",
            "env.recorded.action=[{ size = 1, low = -1.0, high = 1.0 }, { size = 1, low = 0.0, high = 3.0 }]",
        ],
    );
    refuse(
        "--run n minari:robots/everything-v0",
        &[
            "{ name = \"a\", size = 3 }, { name = \"b\", size = 2 }, { name = \"m\", size = 5 }, { name = \"t.0\", size = 1 }",
            "--set env.recorded.choices=4",
        ],
    );
    refuse("--run n minari:robots/seen-v0", &["--set env.recorded.image=[4,5,3] --set env.recorded.choices=2"]);
    refuse("--run n minari:robots/unbounded-v0", &["low = ?, high = ?"]);
    refuse(
        "--run n --set env=CartPole-v1 --set env.period_s=0 minari:robots/speech-v0",
        &["observation space `word`: expected Box, ", "found Text"],
    );
    let (arm, choices) = (SIZES[0].1, SIZES[1].1);
    refuse(
        &format!("--run n {arm} minari:robots/leg-v0"),
        &["minari:robots/leg-v0: expected a dataset in", "minari download robots/leg-v0"],
    );
    refuse(
        &format!("--run n {choices} minari:robots/arm-v0"),
        &["expected one of 4 choices for recorded, found numbers in a range"],
    );
    let fewer = choices.replace("choices=4", "choices=3");
    refuse(
        &format!("--run n {fewer} minari:robots/everything-v0"),
        &["expected one of 3 choices for recorded, found one of 4 choices"],
    );
    refuse(
        &format!("--run n {} minari:robots/arm-v0", arm.replace("size=3", "size=5")),
        &["minari:robots/arm-v0: episode 0: observations: expected 5 numbers a step for recorded, found 3"],
    );
    let nothing = folder.join("nothing");
    refused_command(
        &mut import(folder, &format!("--run n {arm} minari:robots/arm-v0"), &nothing),
        folder,
        &["minari:robots/arm-v0: ", "No module named 'minari'; ", "python -m pip install 'minari[hdf5]'"],
    );
    let mut missing =
        import(folder, &format!("--run n {arm} --set env.python=/nowhere/python minari:robots/arm-v0"), &packages);
    refused_command(&mut missing, folder, &["cannot start /nowhere/python: ", "env.python names another"]);
    // A dataset that was cut off.
    let broken = folder.join("datasets/robots/arm-v0/data/main_data.hdf5");
    std::fs::write(&broken, &std::fs::read(&broken).unwrap()[..1000]).unwrap();
    let output = import(folder, &format!("--run n {arm} minari:robots/arm-v0"), &packages).output().unwrap();
    check_refusal(&output, "a damaged file", &["minari:robots/arm-v0: OSError: ", "truncated file"]);
}
