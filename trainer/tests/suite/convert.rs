//! Rollouts come in from other programs, and go out to them, without losing a value that the form can carry. numpy writes and reads the
//! files; what is damaged or foreign is refused in one line, and the run stays as it was.

use crate::common::{python, snapshot};
use dreamstep::data::export::{Form, export};
use dreamstep::data::import::{Options, Report, Rows, import};
use dreamstep::data::rollouts::{self, Episode, file_name};
use dreamstep::run::config::Config;
use dreamstep::run::folder::RunDir;
use dreamstep_core::rng::{Philox, Stream};
use ndarray::{Array1, Array2};
use std::path::{Path, PathBuf};
use std::process::Command;

const ENV: &str = "Hopper-v5"; // 11 observed, 3 actuators, 1000 steps at most

fn config() -> Config {
    Config { env: ENV.into(), ..Config::default() }
}

/// An episode of `steps` steps with every kind of bits, whose last step ends it as `flags` say: terminal, truncated.
fn episode(number: u64, steps: usize, flags: [bool; 2]) -> Episode {
    let draw = |array: u64, i: usize| {
        let value = Philox::new(number).uniform(Stream::SyntheticObservation, array, i as u32);
        [value, -value * 1e30, value * 1e-40, -0.0][i % 4]
    };
    Episode {
        seed: u64::MAX - 1 - number,
        observations: Array2::from_shape_fn((steps + 1, 11), |(t, i)| draw(0, t * 11 + i)).into(),
        actions: Array2::from_shape_fn((steps, 3), |(t, i)| draw(1, t * 3 + i)),
        rewards: Array1::from_shape_fn(steps, |t| draw(2, t)),
        terminals: Array1::from_shape_fn(steps, |t| flags[0] && t + 1 == steps),
        truncations: Array1::from_shape_fn(steps, |t| flags[1] && t + 1 == steps),
    }
}

/// Every way that an episode can end, one of a single step, and one of the time limit's length.
fn episodes() -> Vec<Episode> {
    let ends = [[true, false], [false, true], [true, true], [false, false]];
    let some = [(7, 0), (1, 0), (5, 1), (1000, 1), (3, 2), (4, 3), (2, 0)];
    (0..).zip(some).map(|(number, (steps, end))| episode(number, steps, ends[end])).collect()
}

/// A run that holds `episodes`.
fn run_with(folder: &Path, episodes: &[Episode]) -> RunDir {
    let run = RunDir::new(folder);
    (0..).zip(episodes).for_each(|(i, e)| e.write(&run.rollouts().join(file_name(i))).unwrap());
    run
}

fn bits(episodes: &[Episode]) -> Vec<Vec<u32>> {
    let of = |e: &Episode| {
        e.observations.iter().flatten().chain(e.actions.iter().chain(&e.rewards).copied()).map(f32::to_bits).collect()
    };
    episodes.iter().map(of).collect()
}

fn read(run: &RunDir) -> Vec<Episode> {
    rollouts::read_dir(&run.rollouts()).unwrap()
}

fn import_with(folder: &Path, from: &[PathBuf], options: Options) -> anyhow::Result<Report> {
    import(&config(), &RunDir::new(folder), from, &options)
}

#[test]
fn what_goes_out_comes_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let original = episodes();
    let run = run_with(&path("run"), &original);
    for (form, out) in [(Form::Torchwm, "torchwm"), (Form::Triplet, "triplet")] {
        let (count, steps) = export(&ENV.into(), &run.rollouts(), &path(out), form).unwrap();
        assert_eq!((count, steps), (7, original.iter().map(|e| e.steps() as u64).sum()));
        let back = format!("{out}-back");
        let report = import_with(&path(&back), &[path(out)], Options::default()).unwrap();
        assert_eq!((report.episodes, report.steps, report.steps_in_folder), (7, steps, steps));
        assert!(report.notes.iter().all(|note| !note.contains("dropped")), "{:?}", report.notes);
        let found = read(&RunDir::new(&path(&back)));
        assert_eq!(bits(&found), bits(&original), "{out}");
        for (index, (found, original)) in (0..).zip(found.iter().zip(&original)) {
            assert_eq!((&found.terminals, &found.truncations), (&original.terminals, &original.truncations), "{out}");
            let seed = if form == Form::Torchwm { original.seed } else { index };
            assert_eq!(found.seed, seed, "{out}: a triplet has no place for seeds");
        }
        let error = export(&ENV.into(), &run.rollouts(), &path(out), form).unwrap_err().to_string();
        assert!(error.contains("expected an empty folder"), "{error}");
    }
    // Our own form, too: how two runs' data are put together.
    import_with(&path("same"), &[run.rollouts()], Options::default()).unwrap();
    assert_eq!(read(&RunDir::new(&path("same"))), original);
}

#[test]
fn numpy_reads_what_goes_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let original = episodes();
    let run = run_with(&folder.path().join("run"), &original);
    export(&ENV.into(), &run.rollouts(), Path::new(&path("t")), Form::Torchwm).unwrap();
    export(&ENV.into(), &run.rollouts(), Path::new(&path("n")), Form::Triplet).unwrap();
    let program = "
import sys, glob, numpy as np
ours = [np.load(f) for f in sorted(glob.glob(sys.argv[1] + '/rollouts/*.npz'))]
theirs = [np.load(f) for f in sorted(glob.glob(sys.argv[2] + '/*.npz'))]
assert len(ours) == len(theirs) == 7
same = lambda a, b: a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
for o, t in zip(ours, theirs):
    n = len(o['rewards'])
    assert t['observations'].shape == (n, 11) and t['terminals'].dtype == t['observations'].dtype == np.float32
    assert same(o['observations'][:-1], t['observations']) and same(o['observations'][-1], t['final_observation'])
    assert same(o['actions'], t['actions']) and same(o['rewards'], t['rewards'])
    assert (o['terminals'] == t['terminals'].astype(bool)).all() and (o['truncations'] == t['truncations'].astype(bool)).all()
kind = lambda k: np.load(sys.argv[3] + '/Hopper-v5_1022_rollout_%s.npy' % k)
assert same(kind('observations'), np.concatenate([o['observations'][:-1] for o in ours]))
assert same(kind('actions'), np.concatenate([o['actions'] for o in ours]))
assert same(kind('rewards'), np.concatenate([o['rewards'] for o in ours]))
assert same(kind('terminals'), np.concatenate([o['terminals'] for o in ours]))
assert same(kind('final_observations'), np.stack([o['observations'][-1] for o in ours]))
assert list(np.flatnonzero(kind('dones'))) == list(np.cumsum([len(o['rewards']) for o in ours]) - 1)
print('same')
";
    let output = python::run(&["-c", program, &path("run"), &path("t"), &path("n")]);
    assert_eq!(output, b"same\n");
}

/// What a notebook or TorchWM wrote: one observation a step, many episodes in one file, any dtype, deflated.
#[test]
fn rollouts_of_other_programs_are_cut_at_their_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let program = "
import sys, os, numpy as np
os.chdir(sys.argv[1])
n = 12
obs = np.arange(n * 11, dtype=np.float64).reshape(n, 11) / 3
act = np.arange(n * 3).reshape(n, 3).astype(np.float32)
rew = np.arange(n, dtype=np.float64)
end = np.isin(np.arange(n), [4, 5, 9])
for stem in ['Hopper-v5_12_rollout_', 'bare_', '']:
    np.save(stem + 'observations.npy', obs); np.save(stem + 'actions.npy', act); np.save(stem + 'rewards.npy', rew[:, None] if stem else rew)
np.save('Hopper-v5_12_rollout_dones.npy', end)
np.save('done.npy', end.astype(np.float64))
np.savez_compressed('torchwm.npz', observations=np.asfortranarray(obs), actions=act, rewards=rew, terminals=end.astype(np.float32))
np.savez('u8.npz', observations=obs.astype(np.uint8), actions=act, rewards=rew, terminals=end)
";
    python::run(&["-c", program, &folder.path().display().to_string()]);
    // Episodes end after rows 4, 5 and 9; each loses one step, so the one of one step loses itself.
    let expected = [(0, 4), (6, 9), (10, 11)];
    let check = |run: &str, expected: &[(usize, usize)]| {
        let found = read(&RunDir::new(&path(run)));
        assert_eq!(found.len(), expected.len(), "{run}");
        for (e, &(first, last)) in found.iter().zip(expected) {
            assert_eq!(e.steps(), last - first, "{run}");
            for t in 0..e.steps() {
                assert_eq!(e.rewards[t], (first + t) as f32, "{run}");
                assert_eq!(e.actions[[t, 1]], ((first + t) * 3 + 1) as f32, "{run}");
                assert_eq!(e.observations.row(t)[0], ((first + t) as f64 * 11.0 / 3.0) as f32, "{run}");
                assert_eq!(e.observations.row(t + 1)[2], (((first + t + 1) * 11 + 2) as f64 / 3.0) as f32, "{run}");
            }
            assert!(!e.terminals.iter().chain(&e.truncations).any(|&flag| flag), "{run}: the step that ended it is gone");
        }
    };
    for (run, file) in [("a", "Hopper-v5_12_rollout_observations.npy"), ("b", "observations.npy"), ("c", "torchwm.npz")] {
        let report = import_with(&path(run), &[path(file)], Options::default()).unwrap();
        check(run, &expected);
        let notes = report.notes.join("; ");
        for part in
            ["observations: float64 became float32", "4 steps dropped", "3 ends", "--repeat-final", "1 episodes had no step"]
        {
            assert!(notes.contains(part), "{file}: {notes}");
        }
        assert_eq!(Config::default().overlay_file(&path(run).join("config.toml"), &[]).unwrap().collect.steps, 8, "{file}");
    }
    import_with(&path("d"), &[path("u8.npz")], Options::default()).unwrap();
    assert_eq!(read(&RunDir::new(&path("d")))[1].observations.row(0)[0], 22.0);

    // Ends kept, at the price of an invented observation.
    import_with(&path("e"), &[path("torchwm.npz")], Options { repeat_final: true, ..Options::default() }).unwrap();
    let kept = read(&RunDir::new(&path("e")));
    assert_eq!(kept.iter().map(Episode::steps).collect::<Vec<_>>(), [5, 1, 4, 2]);
    assert_eq!(kept.iter().map(|e| e.terminals[e.steps() - 1]).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!(kept[2].observations.row(4), kept[2].observations.row(3));

    // Rows that hold where the action led: the first step of an episode has nothing to start from, and the end is kept.
    import_with(&path("f"), &[path("torchwm.npz")], Options { rows: Rows::After, ..Options::default() }).unwrap();
    let after = read(&RunDir::new(&path("f")));
    assert_eq!(after.iter().map(Episode::steps).collect::<Vec<_>>(), [4, 3, 1]);
    assert_eq!((after[0].rewards[0], after[0].observations.row(1)[0]), (1.0, (11.0_f64 / 3.0) as f32));
    assert_eq!(after.iter().map(|e| e.terminals[e.steps() - 1]).collect::<Vec<_>>(), [true, true, false]);

    // Without a word on ends there are none to cut at, unless they are all of one length.
    let error = format!("{:#}", import_with(&path("g"), &[path("bare_observations.npy")], Options::default()).unwrap_err());
    assert!(
        error.contains("bare_observations.npy")
            && error.contains("`dones` or `terminals`")
            && error.contains("--episode-length")
    );
    assert!(!path("g").exists(), "a refusal makes no folder");
    let options = Options { episode_length: Some(5), repeat_final: true, ..Options::default() };
    import_with(&path("h"), &[path("bare_observations.npy")], options).unwrap();
    let cut = read(&RunDir::new(&path("h")));
    assert_eq!(
        cut.iter().map(|e| (e.steps(), e.truncations[e.steps() - 1])).collect::<Vec<_>>(),
        [(5, true), (5, true), (2, false)]
    );
}

/// A `done` in the time limit is a truncation: the task went on. And Gymnasium's choice of 0 or 1 is our −1 or 1: as plain numbers both
/// would push the cart to the right.
#[test]
fn dones_in_the_time_limit_and_discrete_actions() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let program = "
import sys, os, numpy as np
os.chdir(sys.argv[1])
n = 520
end = np.isin(np.arange(n), [499, 519])
np.savez('cart.npz', observations=np.ones((n, 4), np.float32), actions=(np.arange(n) % 2), rewards=np.ones(n), dones=end)
";
    python::run(&["-c", program, &folder.path().display().to_string()]);
    let config = Config { env: "CartPole-v1".into(), ..Config::default() };
    let options = Options { repeat_final: true, ..Options::default() };
    let report = import(&config, &RunDir::new(&path("r")), &[path("cart.npz")], &options).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("−1 and 1")), "{:?}", report.notes);
    let found = read(&RunDir::new(&path("r")));
    assert_eq!(
        found.iter().map(|e| (e.steps(), e.truncations[e.steps() - 1], e.terminals[e.steps() - 1])).collect::<Vec<_>>(),
        [(500, true, false), (20, false, true)]
    );
    assert_eq!(found[0].actions.column(0).iter().take(3).copied().collect::<Vec<_>>(), [-1.0, 1.0, -1.0]);
}

#[test]
fn what_cannot_be_imported_is_refused_in_one_line_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let program = "
import sys, os, numpy as np
os.chdir(sys.argv[1])
n = 6
good = dict(observations=np.ones((n, 11), np.float32), actions=np.ones((n, 3), np.float32), rewards=np.ones(n, np.float32), terminals=np.zeros(n))
def save(name, **change):
    arrays = {**good, **change}
    np.savez(name, **{k: v for k, v in arrays.items() if v is not None})
save('good')
save('images', observations=np.zeros((n, 64, 64, 3), np.uint8))
save('other', observations=np.ones((n, 17), np.float32))
save('hands', actions=np.ones((n, 4), np.float32))
save('short', actions=np.ones((n - 1, 3), np.float32))
save('long', observations=np.ones((n + 2, 11), np.float32))
save('nothing', terminals=None)
save('norewards', rewards=None)
save('half', terminals=np.full(n, 0.5))
save('nan', observations=np.where(np.arange(n * 11).reshape(n, 11) == 40, np.nan, 1).astype(np.float32))
save('huge', rewards=np.full(n, 1e300))
save('words', rewards=np.array(['a'] * n))
save('empty', observations=np.ones((0, 11)), actions=np.ones((0, 3)), rewards=np.ones(0), terminals=np.ones(0))
bytes_ = open('good.npz', 'rb').read()
open('cut.npz', 'wb').write(bytes_[:len(bytes_) // 2])
open('text.npz', 'w').write('not an archive')
open('notes.txt', 'w').write('hello')
np.save('lonely_observations.npy', good['observations'])
os.mkdir('void')
";
    python::run(&["-c", program, &folder.path().display().to_string()]);
    let before = snapshot(folder.path());
    let cases: [(&str, &[&str]); 16] = [
        ("images.npz", &["observations", "[6, 64, 64, 3]", "images", "no"]),
        ("other.npz", &["observations", "expected 11 numbers", "Hopper-v5", "found 17"]),
        ("hands.npz", &["actions", "expected 3", "found 4"]),
        ("short.npz", &["actions", "expected 6 rows", "found 5"]),
        ("long.npz", &["observations", "expected 6 rows", "found 8"]),
        ("nothing.npz", &["`dones` or `terminals`", "--episode-length"]),
        ("norewards.npz", &["`rewards`", "found actions, observations, terminals"]),
        ("half.npz", &["terminals[0]", "expected 0 or 1", "0.5"]),
        ("nan.npz", &["observations", "expected finite", "NaN"]),
        ("huge.npz", &["rewards", "expected finite", "inf"]),
        ("words.npz", &["rewards", "expected an array of floats", "found text (<U1)"]),
        ("empty.npz", &["rewards", "expected at least one step"]),
        ("cut.npz", &["expected a whole .npz"]),
        ("text.npz", &["expected a whole .npz"]),
        ("notes.txt", &["expected rollouts as .npz"]),
        ("void", &["expected .npz files", "found none"]),
    ];
    for (file, parts) in cases {
        // The good one first: all or none.
        let error = import_with(&path("run"), &[path("good.npz"), path(file)], Options::default()).unwrap_err();
        let error = format!("{error:#}");
        assert!(parts.iter().all(|part| error.contains(part)) && error.contains(file), "{error} should name {parts:?}");
        assert!(!error.contains('\n'), "{error}");
    }
    for (file, part) in [("missing.npz", "missing.npz"), ("lonely_observations.npy", "lonely_actions.npy")] {
        let error = format!("{:#}", import_with(&path("run"), &[path(file)], Options::default()).unwrap_err());
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    }
    assert!(before == snapshot(folder.path()) && !path("run").exists(), "a refusal must change nothing");

    // What is there stays, and is added to only on request; the same import twice is one.
    import_with(&path("run"), &[path("good.npz")], Options::default()).unwrap();
    let before = snapshot(folder.path());
    import_with(&path("run"), &[path("good.npz")], Options::default()).unwrap();
    assert!(before == snapshot(folder.path()), "again");
    let twice = [path("good.npz"), path("good.npz")];
    let error = format!("{:#}", import_with(&path("run"), &twice, Options::default()).unwrap_err());
    assert!(error.contains("policy = imported") && error.contains("--append"), "{error}");
    assert!(before == snapshot(folder.path()), "a refusal must change nothing");
    let report = import_with(&path("run"), &twice, Options { append: true, ..Options::default() }).unwrap();
    assert_eq!((report.episodes, report.steps, report.steps_in_folder), (2, 10, 15));
    // An import that was cut short is completed by the same command.
    let whole = snapshot(&path("run"));
    std::fs::remove_file(path("run").join("rollouts").join(file_name(2))).unwrap();
    std::fs::remove_file(path("run").join("config.toml")).unwrap();
    import_with(&path("run"), &twice, Options { append: true, ..Options::default() }).unwrap();
    assert!(whole == snapshot(&path("run")));

    // And collected data joins it.
    let output = Command::new(env!("CARGO_BIN_EXE_dreamstep"))
        .args(["collect", "--append", "--set", "collect.steps=60", "--run"])
        .arg(path("run"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let claim = std::fs::read_to_string(path("run").join("rollouts/collect.txt")).unwrap();
    let policies: Vec<&str> = claim.lines().map(|line| line.split(", ").nth(1).unwrap()).collect();
    assert_eq!(policies, ["policy = imported", "policy = imported", "policy = uniform"], "{claim}");
    assert_eq!(read(&RunDir::new(&path("run")))[0].steps(), 5);
}
