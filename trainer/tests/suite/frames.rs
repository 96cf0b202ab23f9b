//! Pictures from end to end: what a bridged environment draws is prepared as Pillow would, recorded as bytes, and goes to other programs and
//! comes from them unchanged; whatever does not fit is refused in one line.

use super::bridge::{gym, own};
use crate::common::{python, refused, refused_naming, succeed};
use dreamstep::data::collect::{Request, collect};
use dreamstep::data::rollouts::{self, Episode, file_name};
use dreamstep::env::{AnyEnv, Env, EnvConfig, spec};
use dreamstep::run::config::{ColourName, Config, FilterName, ImageConfig};
use dreamstep::run::progress::Progress;
use ndarray::{Array1, Array2, Array4};
use std::path::Path;

/// Collects `steps` steps of `env` in `folder`, on as many threads as are asked for.
fn record(env: &EnvConfig, folder: &Path, steps: u64, threads: usize) -> Vec<Episode> {
    let mut config = Config { env: env.clone(), threads, seed: 3, ..Config::default() };
    config.collect.steps = steps;
    collect(&config, folder, &Request::default(), &Progress::hidden()).unwrap();
    rollouts::read_dir(&folder.join("rollouts")).unwrap()
}

fn frames(episode: &Episode) -> Vec<u8> {
    episode.observations.frames().unwrap().iter().copied().collect()
}

/// The car's own frames, cut and resized by Pillow in Python: the same bytes, whoever works beside it.
#[test]
fn what_is_recorded_is_what_pillow_makes_of_the_frames() {
    let folder = tempfile::tempdir().unwrap();
    let image = ImageConfig { crop: vec![0, 0, 84, 96], size: vec![64, 64], ..ImageConfig::default() };
    let env = EnvConfig { image, time_limit: 12, ..gym("CarRacing-v3", "") };
    let found = spec(&env).unwrap();
    assert_eq!((found.frame(), found.obs), (Some([64, 64, 3]), 64 * 64 * 3));
    let [one, two] = [1, 2].map(|threads| record(&env, &folder.path().join(threads.to_string()), 30, threads));
    assert_eq!(one, two, "whatever the workers");
    assert_eq!(one.len(), 3);
    // Frames that are prepared otherwise are another environment's: they do not mix.
    let other = ImageConfig { size: vec![64, 64], ..ImageConfig::default() };
    let mut config = Config { env: EnvConfig { image: other, ..env }, seed: 3, ..Config::default() };
    config.collect.steps = 60;
    let mixed = collect(&config, &folder.path().join("1"), &Request::default(), &Progress::hidden()).unwrap_err();
    assert!(format!("{mixed:#}").contains("expected") && format!("{mixed:#}").contains("settings"), "{mixed:#}");
    let program = "
import sys, numpy as np, gymnasium
from PIL import Image
env = gymnasium.make('CarRacing-v3')
for path in sys.argv[1:]:
    e = np.load(path)
    seen = [env.reset(seed=int(e['seed']))[0]] + [env.step(a)[0] for a in e['actions']]
    expected = np.array([np.asarray(Image.fromarray(o[:84]).resize((64, 64), Image.BILINEAR)) for o in seen])
    assert e['observations'].dtype == np.uint8 and e['observations'].shape == (13, 64, 64, 3), e['observations'].shape
    assert (e['observations'] == expected).all(), path
    print(int(expected.astype(np.int64).sum()))
";
    let paths: Vec<String> =
        (0..3).map(|i| folder.path().join("1/rollouts").join(file_name(i)).display().to_string()).collect();
    let said =
        python::run_as_bridged(&[&["-c", program][..], &paths.iter().map(String::as_str).collect::<Vec<_>>()].concat());
    let sums: Vec<u64> = String::from_utf8(said).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(sums, one.iter().map(|e| frames(e).iter().map(|&byte| u64::from(byte)).sum::<u64>()).collect::<Vec<_>>());
}

/// Every key of `[env.image]`, of frames of one, three and four channels, of a matrix, and of one in a Dict.
#[test]
fn every_kind_of_picture_is_prepared_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let plain = ImageConfig::default;
    let cases = [
        ("rgb", plain(), [6, 4, 3], "o"),
        ("rgba", plain(), [6, 4, 4], "o"),
        ("grey", plain(), [6, 4, 1], "o[..., None]"),
        ("grey-1", ImageConfig { inverted: true, ..plain() }, [6, 4, 1], "255 - o"),
        ("single-key", plain(), [4, 4, 3], "o['image']"),
        ("rgb", ImageConfig { colour: ColourName::Bgr, crop: vec![1, 0, 5, 3], ..plain() }, [5, 3, 3], "o[1:, :3, ::-1]"),
        (
            "rgb",
            ImageConfig { colour: ColourName::Grey, ..plain() },
            [6, 4, 1],
            "np.asarray(Image.fromarray(o).convert('L'))[..., None]",
        ),
        (
            "rgb",
            ImageConfig { size: vec![3, 2], filter: FilterName::Area, ..plain() },
            [3, 2, 3],
            "r(r(o.reshape(6, 2, 2, 3).mean(2)).reshape(3, 2, 2, 3).mean(1))",
        ),
    ];
    for (number, (name, image, shape, made)) in cases.into_iter().enumerate() {
        let env = EnvConfig { image, ..own("Spaces", &format!("observation = {name:?}")) };
        assert_eq!(spec(&env).unwrap().frame(), Some(shape), "{name}");
        let run = folder.path().join(number.to_string());
        let episodes = record(&env, &run, 20, 2);
        assert_eq!(episodes[0].observations.frame(), Some(shape));
        let program = format!(
            "
import sys, numpy as np, gymnasium, bridge_envs
from PIL import Image
r = lambda x: np.floor(x + 0.5) # columns and then rows, each in whole numbers
env = gymnasium.make('Spaces-v0', observation={name:?})
e = np.load(sys.argv[1])
seen = [env.reset(seed=int(e['seed']))[0]] + [env.step(0)[0] for _ in e['actions']]
expected = np.array([{made} for o in seen])
error = np.abs(e['observations'].astype(int) - expected)
print(e['observations'].shape == expected.shape, int(error.max()))
"
        );
        let path = run.join("rollouts").join(file_name(0)).display().to_string();
        let said = String::from_utf8(python::run_as_bridged(&["-c", &program, &path])).unwrap();
        assert_eq!(said.trim(), "True 0", "{name}: {made}");
    }
}

/// Late frames are earlier frames; what has no place is refused by name.
#[test]
fn pictures_come_late_and_without_noise() {
    let plain = own("Spaces", "observation = \"rgb\"");
    let play = |env: &EnvConfig| {
        let mut env = AnyEnv::make(env).unwrap();
        let mut obs = vec![0.0; env.spec().obs];
        env.reset(7, &mut obs).unwrap();
        let mut seen = vec![obs.clone()];
        for _ in 0..5 {
            env.step(&[0.0], &mut obs).unwrap();
            seen.push(obs.clone());
        }
        seen
    };
    let (now, late) = (play(&plain), play(&EnvConfig { observation_delay: 2, ..plain.clone() }));
    assert!(now[0] != now[1] && now.iter().flatten().all(|&x| x.fract() == 0.0 && (0.0..=255.0).contains(&x)));
    (0..6).for_each(|t: usize| assert_eq!(late[t], now[t.saturating_sub(2)], "step {t}"));
    let error = |env: &EnvConfig| format!("{:#}", spec(env).unwrap_err());
    let noisy = error(&EnvConfig { observation_noise: vec![1.0], ..plain.clone() });
    assert!(noisy.contains("env.observation_noise") && noisy.contains("a picture") && !noisy.contains('\n'), "{noisy}");
    let asked = ImageConfig { inverted: true, ..ImageConfig::default() };
    for env in [EnvConfig::from("CartPole-v1"), EnvConfig::from("Hopper-v5"), own("Spaces", "observation = \"dict\"")] {
        let found = error(&EnvConfig { image: asked.clone(), ..env });
        assert!(found.contains("env.image: ") && found.contains("no picture (one array of bytes"), "{found}");
    }
    let found = error(&EnvConfig { image: ImageConfig { crop: vec![0, 0, 7, 4], ..asked }, ..plain });
    assert!(
        found.ends_with(
            "env.image.crop = [0, 0, 7, 4]: expected [top, left, height, width] of a part of a frame of 6 x 4 x 3"
        ),
        "{found}"
    );
}

/// Files as ctallec's and TorchWM's generators write them (`np.savez` of lists), of frames as CarRacing draws them, or patched to 64.
const ROLLOUTS: &str = "
import sys, os, numpy as np
os.chdir(sys.argv[1])
def frame(t, size): return np.fromfunction(lambda y, x, c: (y * 3 + x * 5 + c * 7 + t * 11) % 256, (size, size, 3)).astype(np.uint8)
for size in (96, 64):
    os.makedirs('ctallec%d/thread_0' % size); os.makedirs('torchwm%d' % size)
    for e, n in enumerate((20, 14)):
        g = np.random.default_rng(e)
        a_rollout = [a for a in g.uniform([-1, 0, 0], 1, (20, 3)).astype(np.float32)]
        s, r, d = [frame(e + t, size) for t in range(n + 1)], [float(t) / 4 for t in range(n)], [t == n - 1 for t in range(n)]
        np.savez('ctallec%d/thread_0/rollout_%d' % (size, e), observations=np.array(s[1:]), rewards=np.array(r), actions=np.array(a_rollout), terminals=np.array(d))
        np.savez('torchwm%d/rollout_%d.npz' % (size, e * 7919), observations=np.array(s[:-1], dtype=np.uint8), rewards=np.array(r, dtype=np.float32),
                 actions=np.array(a_rollout[:n], dtype=np.float32), terminals=np.array([t == n - 1 and n < 20 for t in range(n)], dtype=np.float32))
";

const RECORDED: &str = "--set env=recorded --set env.period_s=0.02 --set env.time_limit=20 --set env.recorded.action=[{size=1,low=-1,high=1},{size=2,low=0,high=1}]";

#[test]
fn rollouts_of_ctallec_and_torchwm_come_in_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    python::run(&["-c", ROLLOUTS, &folder.display().to_string()]);
    let camera = format!("{RECORDED} --set env.recorded.image=[96,96,3] --set env.image.size=[64,64]");
    let read = |run: &str| rollouts::read_dir(&folder.join(run).join("rollouts")).unwrap();

    // TorchWM's: an observation is what the action was taken in; where the last one led is not on record.
    let said = succeed(folder, &format!("import --run t --repeat-final {camera} torchwm96"));
    assert!(said.contains("2 episodes, 34 steps") && said.contains("frames of 96 x 96 x 3 became 64 x 64 x 3"), "{said}");
    let torchwm = read("t");
    assert_eq!(torchwm.iter().map(Episode::steps).collect::<Vec<_>>(), [20, 14]);
    assert_eq!([torchwm[0].terminals[19], torchwm[1].terminals[13]], [false, true]);
    // ctallec's: an observation is where the action led, terminals are Gym's `done`, and actions drawn for 1000 steps stay in the file.
    let said = succeed(folder, &format!("import --run c --observations after {camera} ctallec96/thread_0"));
    assert!(said.contains("2 episodes, 32 steps") && said.contains("6 actions after the last step"), "{said}");
    let ctallec = read("c");
    assert_eq!([ctallec[0].truncations[18], ctallec[0].terminals[18], ctallec[1].terminals[12]], [true, false, true]);
    // The same steps, the first of which ctallec's form has no observation for.
    for (t, c) in torchwm.iter().zip(&ctallec) {
        assert_eq!(c.rewards.to_vec(), t.rewards.to_vec()[1..]);
        assert_eq!(c.actions.row(0), t.actions.row(1));
        (0..c.steps()).for_each(|i| assert_eq!(c.observations.row(i), t.observations.row(i + 1), "step {i}"));
    }
    // And they are what Pillow makes of the files' frames.
    let program = "
import sys, numpy as np
from PIL import Image
theirs, ours = np.load(sys.argv[1]), np.load(sys.argv[2])
made = np.array([np.asarray(Image.fromarray(o).resize((64, 64), Image.BILINEAR)) for o in theirs['observations']])
assert (made == ours['observations'][:-1]).all() and ours['observations'].dtype == np.uint8
assert (theirs['actions'] == ours['actions']).all()
";
    let [theirs, ours] = ["torchwm96/rollout_0.npz", "t/rollouts/episode_0000000.npz"].map(|path| folder.join(path));
    python::run(&["-c", program, &theirs.display().to_string(), &ours.display().to_string()]);

    // Frames that another program has made as small are taken for prepared.
    let said = succeed(folder, &format!("import --run s --repeat-final {camera} torchwm64"));
    assert!(said.contains("2 episodes, 34 steps") && !said.contains("became 64"), "{said}");
    assert_eq!(read("s")[0].observations.row(1)[..3], [11.0, 18.0, 25.0]);
}

/// What goes out is what their loaders read, and comes in again to the byte.
#[test]
fn frames_go_out_as_torchwm_and_ctallec_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    python::run(&["-c", ROLLOUTS, &folder.display().to_string()]);
    let camera = format!("{RECORDED} --set env.recorded.image=[64,64,3] --set env.image.inverted=true");
    succeed(folder, &format!("import --run a --repeat-final {camera} torchwm64"));
    let read = |run: &str| rollouts::read_dir(&folder.join(run).join("rollouts")).unwrap();
    succeed(folder, "export --run a --out torchwm --format torchwm");
    succeed(folder, "export --run a --out ctallec/thread_0 --format ctallec");
    succeed(folder, &format!("import --run b {camera} torchwm"));
    assert_eq!(read("a"), read("b"), "prepared once, and not again");
    // As the loaders do: TorchWM's of single samples, ctallec's of sequences, where an action led to the observation in its row.
    let program = "
import sys, glob, numpy as np
for e, path in enumerate(sorted(glob.glob('torchwm/*.npz'))):
    with np.load(path, allow_pickle=False) as data:
        ours = np.load('a/rollouts/episode_%07d.npz' % e)
        n = len(data['observations'])
        assert data['observations'].dtype == np.uint8 and data['observations'].shape == (n, 64, 64, 3)
        assert [data[k].dtype.name for k in ('actions', 'rewards', 'terminals')] == ['float32'] * 3
        assert data['actions'].shape == (n, 3) and data['rewards'].shape == data['terminals'].shape == (n,)
        assert (data['observations'] == ours['observations'][:-1]).all() and (data['final_observation'] == ours['observations'][-1]).all()
for e, path in enumerate(sorted(glob.glob('ctallec/*/*.npz'))):
    with np.load(path) as data:
        buffer = {k: np.copy(v) for k, v in data.items()}
        ours = np.load('a/rollouts/episode_%07d.npz' % e)
        n = buffer['rewards'].shape[0]
        assert sorted(buffer) == ['actions', 'observations', 'rewards', 'terminals'] and buffer['terminals'].dtype == bool
        obs, action, reward = buffer['observations'][0:9], buffer['actions'][1:9], buffer['rewards'][1:9]
        assert (obs == ours['observations'][1:10]).all() and (action == ours['actions'][1:9]).all() and (reward == ours['rewards'][1:9]).all()
        assert buffer['terminals'].tolist() == (ours['terminals'] | ours['truncations']).tolist() and len(buffer['observations']) == n
";
    let run = format!("import os; os.chdir({:?})\n{program}", folder.display().to_string());
    python::run(&["-c", &run]);
    refused(
        folder,
        "export --run a --out t --format triplet",
        "--format triplet: observations: expected vectors of numbers, found frames of 64 x 64 x 3 bytes",
    );
}

/// An episode of `steps` steps, seen in frames of `[h, w, c]`.
fn filmed(steps: usize, (h, w, c): (usize, usize, usize)) -> Episode {
    Episode {
        seed: 1,
        observations: Array4::from_shape_fn((steps + 1, h, w, c), |(t, y, x, c)| (t * 31 + y * 5 + x * 3 + c) as u8).into(),
        actions: Array2::zeros((steps, 3)),
        rewards: Array1::zeros(steps),
        terminals: Array1::from_elem(steps, false),
        truncations: Array1::from_shape_fn(steps, |t| t + 1 == steps),
    }
}

#[test]
fn what_is_no_frame_of_the_environment_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let program = "
import sys, os, numpy as np
os.chdir(sys.argv[1])
def save(name, o, n=6): np.savez(name, observations=o, actions=np.zeros((n, 3), np.float32), rewards=np.zeros(n), terminals=np.arange(n) == n - 1)
z = lambda *shape: np.zeros(shape, np.uint8)
save('floats', z(6, 8, 8, 3) / 255.0)
save('signed', z(6, 8, 8, 3).astype(np.int8))
save('small', z(6, 7, 8, 3))
save('first', z(6, 3, 8, 8))
save('flat', z(6, 192))
save('grey', z(6, 8, 8))
save('many', z(2, 6, 8, 8, 3))
save('short', z(4, 8, 8, 3))
save('whole', z(6, 8, 8, 3))
np.savez('final.npz', observations=z(6, 8, 8, 3), final_observation=z(8, 7, 3), actions=np.zeros((6, 3)), rewards=np.zeros(6), terminals=np.arange(6) == 5)
open('cut.npz', 'wb').write(open('whole.npz', 'rb').read()[:900])
";
    python::run(&["-c", program, &folder.display().to_string()]);
    let camera = format!("{RECORDED} --set env.recorded.image=[8,8,3] --set env.image.size=[4,4]");
    for (name, parts) in [
        ("floats", &["observations: recorded shows pictures", "expected frames of uint8, found float64"][..]),
        ("signed", &["expected frames of uint8, found int8"]),
        (
            "small",
            &["observations: expected frames of 8 x 8 x 3 for recorded, or prepared ones of 4 x 4 x 3, found 7 x 8 x 3"],
        ),
        ("first", &["found 3 x 8 x 8"]),
        ("flat", &["expected 4 dimensions, found shape [6, 192]"]),
        ("grey", &["found 8 x 8 x 1"]),
        ("many", &["expected 4 dimensions, found shape [2, 6, 8, 8, 3]"]),
        ("short", &["observations: expected 6 rows beside 6 rewards", "found 4"]),
        ("final", &["final observations: expected frames of 8 x 8 x 3", "found 8 x 7 x 3"]),
        ("cut", &["expected a whole .npz file"]),
    ] {
        let parts: Vec<&str> = [&[name][..], parts].concat();
        refused_naming(folder, &format!("import --run r {camera} {name}.npz"), &parts);
    }
    succeed(folder, &format!("import --run r {camera} whole.npz"));
    // Another picture than the one that was recorded, and a vector where there are pictures.
    refused(
        folder,
        &format!("import --run r --append {camera} --set env.image.size=[8,4] whole.npz"),
        "expected an empty folder",
    );
    let vectors = format!("{RECORDED} --set env.recorded.observation=[{{size=192}}]");
    refused(
        folder,
        &format!("import --run v {vectors} whole.npz"),
        "images are read where the environment shows pictures (env.recorded.image)",
    );
    refused(folder, &format!("import --run v {RECORDED} whole.npz"), "--set env.recorded.image=[8,8,3]");
    let both = format!("{vectors} --set env.recorded.image=[8,8,3]");
    refused(
        folder,
        &format!("import --run v {both} whole.npz"),
        "env.recorded.image = [8, 8, 3]: must be [] where env.recorded.observation",
    );
}

/// Frames of another size than the configuration's, in a run's own folder.
#[test]
fn frames_of_another_environment_are_refused_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (i, steps) in [20, 21, 22].into_iter().enumerate() {
        filmed(steps, (8, 8, 3)).write(&folder.join("r/rollouts").join(file_name(i as u64))).unwrap();
    }
    let pictures = |size: &str| {
        format!("train --stage vae --run r {RECORDED} --set env.recorded.image=[{size},3] --set collect.steps=20")
    };
    refused(
        folder,
        &pictures("8,6"),
        "expected observations of 8 x 6 x 3 (frames) and actions of 3 for recorded, found 8 x 8 x 3 (frames) and 3",
    );
    let vectors =
        format!("train --stage vae --run r {RECORDED} --set env.recorded.observation=[{{size=192}}] --set collect.steps=20");
    refused(folder, &vectors, "expected observations of 192 and actions of 3 for recorded, found 8 x 8 x 3 (frames) and 3");
    let last = folder.join("r/rollouts").join(file_name(2));
    let whole = std::fs::read(&last).unwrap();
    std::fs::write(&last, &whole[..whole.len() / 2]).unwrap();
    refused(folder, &pictures("8,8"), "episode_0000002.npz");
    filmed(22, (8, 6, 3)).write(&last).unwrap();
    refused(
        folder,
        &pictures("8,8"),
        "episode_0000002.npz: expected observations of 8 x 8 x 3 (frames) and actions of 3 as in r/rollouts/episode_0000000.npz, found 8 x 6 x 3 (frames) and 3",
    );
}
