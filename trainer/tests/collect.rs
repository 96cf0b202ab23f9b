//! Is a collection a function of its configuration alone? Not of the threads, not of a kill on the way; and does numpy read it?

mod python;

use dreamstep::collect::{Summary, collect};
use dreamstep::config::Config;
use dreamstep::progress::Progress;
use dreamstep::rollouts;
use std::collections::BTreeMap;
use std::path::Path;

fn config(threads: usize, steps: u64) -> Config {
    let mut config = Config { threads, seed: 11, ..Config::default() };
    config.collect.steps = steps;
    config
}

fn run(config: &Config, folder: &Path) -> anyhow::Result<Summary> {
    collect(config, folder, &Progress::hidden())
}

/// Every file of the rollouts: name → bytes.
fn contents(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(run.join("rollouts")).unwrap().map(|entry| entry.unwrap());
    files.map(|f| (f.file_name().into_string().unwrap(), std::fs::read(f.path()).unwrap())).collect()
}

#[test]
fn threads_change_no_byte_and_no_episode_too_many_is_kept() {
    let [one, two, five] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let summary = run(&config(1, 1500), one.path()).unwrap();
    assert_eq!(run(&config(2, 1500), two.path()).unwrap(), summary);
    assert_eq!(run(&config(5, 1500), five.path()).unwrap(), summary);
    assert!(contents(one.path()) == contents(two.path()) && contents(one.path()) == contents(five.path()));

    let episodes = rollouts::read_dir(&one.path().join("rollouts")).unwrap();
    let lengths: Vec<u64> = episodes.iter().map(|e| e.steps() as u64).collect();
    let total: u64 = lengths.iter().sum();
    assert_eq!((summary.episodes, summary.steps), (lengths.len() as u64, total));
    assert!(total >= 1500 && total - lengths[lengths.len() - 1] < 1500, "the shortest prefix: {lengths:?}");
    assert_eq!(summary.mean_length, total as f64 / lengths.len() as f64);
    assert!(episodes.iter().all(|e| e.terminals[e.steps() - 1]), "random actions fall");
    assert!((60.0..180.0).contains(&summary.mean_return), "uniform random actions earn about 112: {summary:?}");
    // Every episode has its own seed and its own actions, inside the range and spread over it.
    assert_ne!(episodes[0].actions.row(0), episodes[1].actions.row(0));
    assert_ne!(episodes[0].actions.row(0), episodes[0].actions.row(1));
    let (mut low, mut high) = (f32::MAX, f32::MIN);
    for &a in episodes.iter().flat_map(|e| &e.actions) {
        (low, high) = (low.min(a), high.max(a));
    }
    assert!((-0.4..-0.399).contains(&low) && (0.399..=0.4).contains(&high), "{low} {high}");
}

#[test]
fn what_was_killed_and_resumed_equals_what_was_not() {
    let [whole, broken] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    run(&config(2, 800), whole.path()).unwrap();
    let summary = run(&config(2, 300), broken.path()).unwrap();
    // A kill leaves gaps, and a file without its name; a full disk or a bad copy leaves half a file.
    let folder = broken.path().join("rollouts");
    std::fs::remove_file(folder.join(rollouts::file_name(3))).unwrap();
    std::fs::write(folder.join(".partial-abc"), "half").unwrap();
    let half = folder.join(rollouts::file_name(1));
    std::fs::write(&half, &std::fs::read(&half).unwrap()[..1000]).unwrap();
    let untouched = std::fs::metadata(folder.join(rollouts::file_name(0))).unwrap().modified().unwrap();
    let resumed = run(&config(1, 800), broken.path()).unwrap();
    assert!(resumed.episodes > summary.episodes);
    assert!(contents(whole.path()) == contents(broken.path()));
    assert_eq!(std::fs::metadata(folder.join(rollouts::file_name(0))).unwrap().modified().unwrap(), untouched);
    // And once more, with nothing left to do.
    assert_eq!(run(&config(1, 800), broken.path()).unwrap(), resumed);
}

#[test]
fn a_folder_with_other_contents_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |config: &Config, parts: &[&str]| {
        let before = contents(folder.path());
        let error = format!("{:#}", run(config, folder.path()).unwrap_err());
        assert!(
            !error.contains('\n') && parts.iter().all(|part| error.contains(part)),
            "{error:?} should contain {parts:?}"
        );
        assert!(before == contents(folder.path()), "a refusal must change nothing");
    };
    std::fs::create_dir_all(folder.path().join("rollouts")).unwrap();
    std::fs::write(folder.path().join("rollouts/mine.npz"), "precious").unwrap();
    refusal(&config(1, 100), &["rollouts", "expected an empty folder"]);

    std::fs::remove_file(folder.path().join("rollouts/mine.npz")).unwrap();
    run(&config(1, 100), folder.path()).unwrap();
    refusal(&Config { seed: 12, ..config(1, 100) }, &["expected `env = Humanoid-v5", "seed = 12", "found", "seed = 11"]);
    refusal(&config(1, 10), &["collect.steps = 10", "found", "or ask for more steps"]);
    refusal(&Config { env: "Nowhere-v0".into(), ..config(1, 100) }, &["Nowhere-v0", "Humanoid-v5"]);
}

/// numpy, reading the same files, must come to the same shapes, dtypes and sums, and its own files must be readable here.
#[test]
fn numpy_reads_what_is_written_and_writes_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    run(&config(2, 100), folder.path()).unwrap();
    let path = folder.path().join("rollouts").join(rollouts::file_name(1));
    let copy = folder.path().join("copy.npz");
    let program = "
import sys, numpy as np
e = np.load(sys.argv[1], allow_pickle=False)
assert sorted(e.files) == sorted('observations actions rewards terminals truncations seed'.split()), e.files
for key in sorted(e.files): print(key, e[key].dtype, e[key].shape, int(e[key].view(np.uint8).astype(np.uint64).sum()) if e[key].ndim else int(e[key]))
np.savez_compressed(sys.argv[2], **{**e, 'observations': np.asfortranarray(e['observations'])})
";
    let output = python::run(&["-c", program, &path.display().to_string(), &copy.display().to_string()]);
    let episode = rollouts::Episode::read(&path).unwrap();
    let bytes = |values: &mut dyn Iterator<Item = f32>| values.flat_map(f32::to_le_bytes).map(u64::from).sum::<u64>();
    let flags = |flags: &ndarray::Array1<bool>| flags.iter().filter(|&&flag| flag).count();
    let t = episode.steps();
    let expected = format!(
        "actions float32 ({t}, 17) {}\nobservations float32 ({}, 348) {}\nrewards float32 ({t},) {}\nseed uint64 () {}\n\
         terminals bool ({t},) {}\ntruncations bool ({t},) {}\n",
        bytes(&mut episode.actions.iter().copied()),
        t + 1,
        bytes(&mut episode.observations.iter().copied()),
        bytes(&mut episode.rewards.iter().copied()),
        episode.seed,
        flags(&episode.terminals),
        flags(&episode.truncations),
    );
    assert_eq!(String::from_utf8(output).unwrap(), expected);
    assert_eq!(rollouts::Episode::read(&copy).unwrap(), episode, "deflated and in Fortran order, but the same episode");
}
