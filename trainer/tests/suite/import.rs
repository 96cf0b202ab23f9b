//! Recorded data as public programs write it, read or refused by name. numpy writes the files of each table in one go.

use crate::common::{command, python, signal, snapshot, succeed};
use dreamstep::data::import::{Options, Report, Rows, import};
use dreamstep::data::rollouts::{self, Episode};
use dreamstep::run::config::Config;
use dreamstep::run::folder::RunDir;
use std::path::Path;
use std::process::Stdio;

const PRELUDE: &str = "
import sys, os, numpy as np
os.chdir(sys.argv[1])
n = 6
x = np.arange(7 * 4).reshape(7, 4).astype('f4') / 8
flag = lambda *at: np.isin(np.arange(n), at)
a, r = np.arange(n) % 2, np.arange(n) * 1.0
base = dict(observations=x[:n], actions=a, rewards=r)
long = dict(base, observations=x)
save = lambda name, **arrays: np.savez(name, **{k: v for k, v in arrays.items() if v is not None})
";

/// A folder with what `program` wrote into it.
fn written(program: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    python::run(&["-c", &format!("{PRELUDE}{program}"), &folder.path().display().to_string()]);
    folder
}

/// `name` of `folder`, imported into a run of its own as episodes of CartPole-v1 (4 observed, one action, 500 steps).
fn taken(folder: &Path, name: &str, options: Options) -> Result<(Vec<Episode>, Report), String> {
    let config = Config { env: "CartPole-v1".into(), ..Config::default() };
    let run = RunDir::new(&folder.join(format!("run-{name}")));
    match import(&config, &run, &[folder.join(name)], &options) {
        Ok(report) => Ok((rollouts::read_dir(&run.rollouts()).unwrap(), report)),
        Err(error) => {
            let error = format!("{error:#}");
            assert!(error.contains(name) && !error.contains('\n'), "{name}: {error}");
            assert!(!run.root().exists(), "{name}: a refusal must leave nothing");
            Err(error)
        }
    }
}

/// Steps of each episode, and how it ends: `T` terminal, `L` time limit, `-` neither.
fn shape(episodes: &[Episode]) -> String {
    let one = |e: &Episode| {
        let last = e.steps() - 1;
        let [t, l] = [(e.terminals[last], "T"), (e.truncations[last], "L")].map(|(is, name)| if is { name } else { "" });
        format!("{}{}", e.steps(), if t.is_empty() && l.is_empty() { "-".into() } else { format!("{t}{l}") })
    };
    episodes.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_usual_mark_of_an_end_is_read_or_refused_by_name() {
    let folder = written(
        "
end, no = flag(5), flag()
# T+1 observations, one episode
save('minari.npz', **long, terminations=end, truncations=no)
save('minari_cut.npz', **long, terminations=no, truncations=end)
save('gymnasium.npz', **long, terminated=end, truncated=no)
save('dones.npz', **long, dones=end)
save('done.npz', **long, done=end.astype('f4')[:, None])
save('d4rl_long.npz', **long, terminals=no, timeouts=end)
save('imitation.npz', obs=x, acts=a, rews=r, dones=end, infos=np.array([{}] * n))
save('open.npz', **long)
# one more row in each of two episodes
two = np.concatenate([x[:3], x[2:3] + 100, x[3:6], x[6:]])
save('rows_of_two.npz', **dict(base, observations=two), terminals=flag(2), timeouts=flag(5))
# one observation a step
save('d4rl.npz', **base, terminals=flag(2), timeouts=flag(5))
save('d4rl_q.npz', **base, terminals=flag(2), timeouts=flag(5), next_observations=x[1:])
save('next_obs.npz', **base, dones=flag(2, 5), next_obs=x[1:])
jump = x[1:].copy(); jump[3] += 100
save('jump.npz', **base, terminals=flag(5), next_observations=jump)
save('finals.npz', **base, terminals=flag(2), truncations=flag(5), final_observations=x[[3, 6]])
save('step.npz', **base, terminated=flag(2), truncated=flag(5))
save('all_three.npz', **base, dones=flag(2, 5), terminated=flag(2), truncated=flag())
save('agreeing.npz', **base, terminals=flag(2), terminated=flag(2))
# refused
save('two_in_one.npz', **long, dones=flag(2, 5))
save('contradiction.npz', **base, dones=flag(5), terminals=flag(2, 5))
save('contradiction_cut.npz', **base, dones=flag(2), timeouts=flag(4))
save('disagreeing.npz', **base, terminals=flag(2), terminated=flag(3))
save('both.npz', **base, terminals=flag(2), obs=x[:n] + 1)
save('shuffled.npz', **base, terminals=no, next_observations=x[1:][::-1])
save('next_short.npz', **base, terminals=no, next_observations=x[1:n])
save('next_long.npz', **long, terminals=no, next_observations=x[1:])
save('finals_short.npz', **base, terminals=flag(2), final_observation=x[6])
for other in ['is_last', 'is_terminal', 'discount', 'masks', 'episode_ends', 'not_dones']:
    save(other + '.npz', **long, **{other: end})
save('flags_long.npz', **long, dones=np.zeros(n + 1, bool))
save('flags_short.npz', **base, dones=np.zeros(n - 1, bool))
save('flag_alone.npz', **base, terminal=np.array(True))
save('halves.npz', **base, dones=np.full(n, 0.5))
save('twos.npz', **base, terminals=np.full(n, 2))
save('nans.npz', **base, timeouts=np.full(n, np.nan))
save('nothing.npz', **base)
",
    );
    // The episodes, and what a note must say.
    for (name, expected, notes) in [
        ("minari", "6T", ""),
        ("minari_cut", "6L", ""),
        ("gymnasium", "6T", ""),
        ("dones", "6T", ""),
        ("done", "6T", ""),
        ("d4rl_long", "6L", ""),
        ("imitation", "6T", "not read: infos"),
        ("open", "6-", "1 episodes stop without a terminal or a truncation"),
        ("rows_of_two", "3T 3L", ""),
        ("d4rl", "2- 2-", "2 steps dropped; 2 ends dropped with their steps (--repeat-final"),
        ("d4rl_q", "3T 3L", ""),
        ("next_obs", "3T 3T", ""),
        ("jump", "4- 2T", "1 ends without a flag; 1 episodes stop without"),
        ("finals", "3T 3L", ""),
        ("step", "2- 2-", "2 steps dropped"),
        ("all_three", "2- 2-", "1 episodes stop without"),
        ("agreeing", "2- 2-", "2 steps dropped"),
    ] {
        let (episodes, report) = taken(folder.path(), &format!("{name}.npz"), Options::default()).unwrap();
        assert_eq!(shape(&episodes), expected, "{name}");
        let said = report.notes.join("; ");
        assert!(notes.split("; ").all(|note| said.contains(note)), "{name}: {said}");
        let last = episodes.last().unwrap();
        let lost = usize::from(said.contains("steps dropped"));
        assert_eq!(last.observations.row(last.steps())[3], (27 - 4 * lost) as f32 / 8.0, "{name}: where its last step led");
    }
    for (name, parts) in [
        ("two_in_one", "expected 6 rows beside 6 rewards, or 8; 2 by the flags; found 7"),
        ("contradiction", "dones[2]: expected true, as terminals[2] is, found false"),
        ("contradiction_cut", "dones[4]: expected true, as truncations[4] is, found false"),
        ("disagreeing", "terminals and terminated: expected one of them, or the same numbers in both"),
        ("both", "observations and obs: expected one of them"),
        ("shuffled", "next observations: expected the steps of an episode one after another, found 5 of 6; shuffled"),
        ("next_short", "next observations: expected 6 rows; found 5"),
        ("next_long", "observations: expected 6 rows beside next observations, found 7"),
        ("finals_short", "final observations: expected 2, one an episode, found 1"),
        ("is_last", "`dones` or `terminals`; found actions, is_last, observations, rewards"),
        ("is_terminal", "is_terminal"),
        ("discount", "discount"),
        ("masks", "masks"),
        ("episode_ends", "episode_ends"),
        ("not_dones", "not_dones"),
        ("flags_long", "dones: expected 6 flags beside 6 rewards, found 7"),
        ("flags_short", "dones: expected 6 flags beside 6 rewards, found 5"),
        ("flag_alone", "terminals: expected 6 flags beside 6 rewards, found 1"),
        ("halves", "dones[0]: expected 0 or 1, found 0.5"),
        ("twos", "terminals[0]: expected 0 or 1, found 2"),
        ("nans", "truncations[0]: expected 0 or 1, found NaN"),
        ("nothing", "`dones` or `terminals`, found actions, observations, rewards; --episode-length"),
    ] {
        let error = taken(folder.path(), &format!("{name}.npz"), Options::default()).expect_err(name);
        assert!(parts.split("; ").all(|part| error.contains(part)), "{name}: {error}");
    }
    let cut = Options { episode_length: Some(2), repeat_final: true, ..Options::default() };
    let folder = written(
        "
save('nothing.npz', **base)
save('some.npz', **base, terminals=flag(2))
save('next.npz', **base, terminals=flag(2), next_obs=x[1:])
",
    );
    let (episodes, _) = taken(folder.path(), "nothing.npz", cut).unwrap();
    assert_eq!(shape(&episodes), "2L 2L 2L");
    let (episodes, report) = taken(folder.path(), "some.npz", cut).unwrap();
    assert_eq!(shape(&episodes), "2L 1T 2L 1-");
    let after = Options { rows: Rows::After, ..Options::default() };
    let error = taken(folder.path(), "next.npz", after).unwrap_err();
    assert!(error.contains("--observations after: expected no final or next observations"), "{error}");
    assert!(report.notes.join("; ").contains("2 episodes cut by --episode-length"), "{:?}", report.notes);
}

/// 501 steps of a task of 500: two episodes that were glued, unless the recording had another limit.
#[test]
fn an_episode_longer_than_the_time_limit_is_refused() {
    let folder = written(
        "
n = 501
many = dict(observations=np.ones((n, 4)), actions=np.arange(n) % 2, rewards=np.ones(n), terminals=np.arange(n) == n - 1)
save('glued.npz', **many)
save('glued_long.npz', **dict(many, observations=np.ones((n + 1, 4))))
",
    );
    for name in ["glued.npz", "glued_long.npz"] {
        let error = taken(folder.path(), name, Options::default()).unwrap_err();
        for part in ["episode 0, steps 0 to 500", "at most 500 steps", "CartPole-v1", "found 501", "--episode-length"] {
            assert!(error.contains(part), "{error}");
        }
        let options = Options { episode_length: Some(600), repeat_final: true, ..Options::default() };
        assert_eq!(shape(&taken(folder.path(), name, options).unwrap().0), "501T");
    }
}

/// Shapes of none, one and two rows in every combination: read, or refused in one line; never a panic.
#[test]
fn no_number_of_rows_panics() {
    let folder = written(
        "
for o in range(4):
    for k in range(3):
        for m in range(3):
            for f, flags in enumerate([None, np.zeros(m, bool), np.ones(m, bool)]):
                save('rows_%d%d%d%d.npz' % (o, k, m, f), observations=x[:o], actions=a[:k], rewards=r[:m], dones=flags)
save('scalars.npz', observations=np.array(1.0), actions=np.array(1.0), rewards=np.array(1.0), dones=np.array(True))
save('flat.npz', observations=x[0], actions=a[:1], rewards=r[:1], dones=np.ones(1))
save('one.npz', observations=x[:2], actions=a[:1], rewards=np.array(1.0), dones=np.array(True))
",
    );
    let mut read = 0;
    for o in 0..4 {
        for (k, m) in (0..3).flat_map(|k| (0..3).map(move |m| (k, m))) {
            for f in 0..3 {
                let name = format!("rows_{o}{k}{m}{f}.npz");
                match taken(folder.path(), &name, Options { repeat_final: true, ..Options::default() }) {
                    Ok((episodes, _)) => {
                        assert!(k == m && m > 0 && o >= m, "{name}: {}", shape(&episodes));
                        assert_eq!(episodes.iter().map(Episode::steps).sum::<usize>(), m, "{name}");
                        read += 1;
                    }
                    Err(error) => assert!(error.contains("expected"), "{name}: {error}"),
                }
            }
        }
    }
    assert_eq!(read, 9);
    for (name, part) in [
        ("scalars.npz", "actions: expected one vector a step, found a single number"),
        ("flat.npz", "expected 4 numbers a step"),
    ] {
        assert!(taken(folder.path(), name, Options::default()).unwrap_err().contains(part));
    }
    assert_eq!(shape(&taken(folder.path(), "one.npz", Options::default()).unwrap().0), "1T");
}

#[test]
fn every_dtype_order_and_archive_is_read_or_named() {
    let folder = written(
        "
import zipfile
good = dict(long, dones=flag(5))
types = ['f2', 'f4', 'f8', '>f2', '>f4', '>f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', '>i2', '>i4', '>u8']
for t in types:
    save('as_' + t.replace('>', 'big_') + '.npz', **dict(good, observations=(x * 8).astype(t), rewards=r.astype(t)))
save('fortran.npz', **dict(good, observations=np.asfortranarray(x * 8)))
save('fortran_big.npz', **dict(good, observations=np.asfortranarray((x * 8).astype('>f8'))))
np.savez_compressed('deflated.npz', **dict(good, observations=x * 8))
def version(name, v):
    with zipfile.ZipFile(name, 'w') as z:
        z.writestr('a_folder/', b'')
        for k, a in dict(good, observations=x * 8).items():
            with z.open(k + '.npy', 'w') as f: np.lib.format.write_array(f, a, version=v)
version('version_2.npz', (2, 0)); version('version_3.npz', (3, 0))
save('objects.npz', **dict(good, observations=np.array([None] * 7, dtype=object)))
save('complexes.npz', **dict(good, observations=x.astype('c8')))
save('longs.npz', **dict(good, observations=x.astype('g')))
save('texts.npz', **dict(good, rewards=np.array(['a'] * n)))
save('bytes.npz', **dict(good, rewards=np.array([b'a'] * n)))
save('dates.npz', **dict(good, rewards=np.zeros(n, 'M8[s]')))
save('records.npz', **dict(good, rewards=np.zeros(n, [('a', 'f4')])))
save('images.npz', **dict(good, observations=np.zeros((7, 64, 64, 3), np.uint8)))
whole = open('as_f4.npz', 'rb').read()
for cut in [0, 1, 100, len(whole) // 2, len(whole) - 1]: open('cut_%d.npz' % cut, 'wb').write(whole[:cut])
np.savez('nested.npz', **{'episode/' + k: v for k, v in good.items()})
with zipfile.ZipFile('raw.npz', 'w') as z: z.writestr('observations', b'1234')
with zipfile.ZipFile('junk.npz', 'w') as z: z.writestr('rewards.npy', b'1234'); z.writestr('observations.npy', b''); z.writestr('actions.npy', b'\\x93NUMPY\\1\\0\\xff\\xff{')
np.save('rewards.npy', r)
os.mkdir('a_dir.npz')
",
    );
    let mut found: Vec<String> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.retain(|name| ["as_", "fortran", "deflated", "version"].iter().any(|start| name.starts_with(start)));
    assert_eq!(found.len(), 17 + 5);
    for name in found {
        let (episodes, _) = taken(folder.path(), &name, Options::default()).unwrap();
        assert!(episodes[0].observations.iter().flatten().zip(0..).all(|(v, i)| v == i as f32), "{name}");
        assert!(episodes[0].rewards.iter().zip(0..).all(|(&v, i)| v == i as f32), "{name}");
    }
    for (name, parts) in [
        ("objects.npz", "observations: expected an array of floats; found object"),
        ("complexes.npz", "observations: ; found complex64"),
        ("longs.npz", "observations: ; found float128"),
        ("texts.npz", "rewards: ; found text (<U1)"),
        ("bytes.npz", "rewards: ; found text (|S1)"),
        ("dates.npz", "rewards: ; found datetime64"),
        ("records.npz", "rewards: ; found a record"),
        ("images.npz", "observations: ; [7, 64, 64, 3]; images"),
        ("cut_0.npz", "expected a whole .npz"),
        ("cut_1.npz", "expected a whole .npz"),
        ("cut_100.npz", "expected a whole .npz"),
        ("nested.npz", "expected an array `observations`, found episode/actions"),
        ("raw.npz", "expected an array `observations`"),
        ("junk.npz", "observations: expected a whole numpy array"),
        ("rewards.npy", "expected rollouts as .npz, or the *observations.npy of a triplet"),
        ("a_dir.npz", "expected .npz files or *observations.npy in it, found none"),
    ] {
        let error = taken(folder.path(), name, Options::default()).expect_err(name);
        assert!(parts.split("; ").all(|part| error.contains(part)), "{name}: {error}");
    }
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with("cut_") {
            taken(folder.path(), &name, Options::default()).expect_err(&name);
        }
    }
}

#[test]
fn discrete_actions_are_choices_whatever_stands_in_dropped_rows() {
    let folder = written(
        "
last = lambda t, v: np.append(a[:-1], v).astype(t)
none = dict(base, dones=flag(5))
save('i8.npz', **dict(none, actions=a)); save('f4.npz', **dict(none, actions=a.astype('f4'))); save('flags.npz', **dict(none, actions=a == 1))
save('column.npz', **dict(none, actions=a[:, None]))
save('filled_i8.npz', **dict(none, actions=last('i8', -7))); save('filled_f4.npz', **dict(none, actions=last('f4', np.nan)))
save('pushes.npz', **dict(none, actions=a - 0.5)); save('signs.npz', **dict(none, actions=2 * a - 1))
save('ours.npz', **dict(long, actions=a.astype('f4'), terminals=flag(5), truncations=flag()), seed=np.uint64(3))
save('seeded.npz', **dict(long, actions=a.astype('f4'), terminals=flag(5), truncations=flag()), seed=3)
for kind, array in dict(long, actions=a.astype('f4'), terminations=flag(5), timeouts=flag()).items(): np.save('X_%s.npy' % kind, array)
np.save('Y_observations.npy', x[:n]); np.save('Y_next_obs.npy', x[1:]); np.save('Y_actions.npy', a); np.save('Y_rews.npy', r); np.save('Y_truncated.npy', flag(5)); np.save('Y_lengths.npy', flag(5))
save('three.npz', **dict(none, actions=a + 1)); save('one_hot.npz', **dict(none, actions=np.eye(2)[a]))
os.mkdir('mixed'); save('mixed/a.npz', **dict(none, actions=a.astype('f4'))); save('mixed/b.npz', **dict(none, actions=a / 2))
",
    );
    let signs = [-1.0, 1.0, -1.0, 1.0, -1.0];
    for (name, expected, count) in [
        ("i8.npz", signs, 5),
        ("f4.npz", signs, 5),
        ("flags.npz", signs, 5),
        ("column.npz", signs, 5),
        ("filled_i8.npz", signs, 5),
        ("filled_f4.npz", signs, 5),
        ("pushes.npz", [-0.5, 0.5, -0.5, 0.5, -0.5], 0),
        ("signs.npz", signs, 0),
        ("ours.npz", [0.0, 1.0, 0.0, 1.0, 0.0], 0),
        ("seeded.npz", signs, 6),
        ("X_observations.npy", signs, 6),
        ("Y_observations.npy", signs, 6),
        ("mixed", [0.0, 1.0, 0.0, 1.0, 0.0], 0),
    ] {
        let (episodes, report) = taken(folder.path(), name, Options::default()).unwrap();
        assert_eq!(episodes[0].actions.iter().copied().take(5).collect::<Vec<_>>(), expected, "{name}");
        let note = format!("{count} actions: Gymnasium's 0 and 1 became −1 and 1");
        assert_eq!(report.notes.contains(&note), count > 0, "{name}: {:?}", report.notes);
        assert_eq!(report.notes.iter().any(|note| note.contains("not read: lengths")), name.starts_with('Y'), "{name}");
        assert_eq!(episodes[0].seed, if ["ours.npz", "seeded.npz"].contains(&name) { 3 } else { 0 });
    }
    for (name, part) in [
        ("three.npz", "actions: expected choices of 0 or 1, found 2"),
        ("one_hot.npz", "actions: expected 1 numbers a step for CartPole-v1, found 2"),
    ] {
        let error = taken(folder.path(), name, Options::default()).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

/// Ctrl-C while files are read or written: the folders are as they were.
#[test]
#[cfg(unix)]
fn an_interrupted_import_or_export_leaves_nothing() {
    let folder = written(
        "
os.mkdir('many')
for i in range(500): save('many/%03d.npz' % i, **long, terminals=flag(5))
os.mkdir('few')
for i in range(3): save('few/%d.npz' % i, **long, terminals=flag(5))
",
    );
    let path = |name: &str| folder.path().join(name);
    let interrupted = |args: &str, begun: &Path| {
        let child = command(folder.path(), args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !begun.exists() {
            assert!(std::time::Instant::now() < deadline, "{args}: never began");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        signal(&child, "-INT");
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.as_str()), (Some(130), "interrupted; nothing was written\n"), "{args}");
    };
    interrupted("import --run new --set env=CartPole-v1 many", &path("new/rollouts/episode_0000001.npz"));
    assert!(!path("new").exists());
    succeed(folder.path(), "import --run old --set env=CartPole-v1 few");
    let before = snapshot(&path("old"));
    interrupted("import --run old --append many", &path("old/rollouts/episode_0000004.npz"));
    assert!(snapshot(&path("old")) == before);
    succeed(folder.path(), "import --run old --append many");
    interrupted("export --run old --out out", &path("out/rollout_0000001.npz"));
    assert!(!path("out").exists());
}
