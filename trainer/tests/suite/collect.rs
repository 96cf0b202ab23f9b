//! A collection is a function of its configuration alone: not of the threads, not of a kill on the way. numpy reads it.

use crate::common::python;
use dreamstep::data::collect::{Request, Summary, collect};
use dreamstep::data::rollouts;
use dreamstep::run::config::{CollectPolicy, Config};
use dreamstep::run::progress::Progress;
use dreamstep_core::digest::Digest;
use dreamstep_core::pack::AlignedBytes;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_fixtures::HUMANOID;
use dreamstep_runtime::{Agent, Model, memory_len};
use std::collections::BTreeMap;
use std::path::Path;

fn config(threads: usize, steps: u64) -> Config {
    let mut config = Config { threads, seed: 11, ..Config::default() };
    config.collect.steps = steps;
    config
}

fn run(config: &Config, folder: &Path) -> anyhow::Result<Summary> {
    collect(config, folder, &Request::default(), &Progress::hidden())
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

/// A config of `policy` in CartPole, whose episodes are short.
fn policy(policy: CollectPolicy, steps: u64) -> Config {
    let mut config = Config { env: "CartPole-v1".into(), ..config(2, steps) };
    config.collect.policy = policy;
    config
}

#[test]
fn noise_is_as_wide_and_remembers_as_long_as_it_is_told() {
    // Pendulums fall soon; HalfCheetah runs to its time limit: 1000 steps of six actuators.
    let measure = |scale: f64, correlation: f64| {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { env: "HalfCheetah-v5".into(), ..policy(CollectPolicy::Noise, 3000) };
        (config.collect.noise_scale, config.collect.noise_correlation) = (scale, correlation);
        run(&config, folder.path()).unwrap();
        let claim = std::fs::read_to_string(folder.path().join("rollouts/collect.txt")).unwrap();
        assert_eq!(
            claim,
            format!(
                "env = HalfCheetah-v5, policy = noise, noise_scale = {scale}, noise_correlation = {correlation}, seed = 11\n"
            )
        );
        let episodes = rollouts::read_dir(&folder.path().join("rollouts")).unwrap();
        let actions: Vec<_> = episodes.iter().map(|e| &e.actions).collect();
        let all = || actions.iter().flat_map(|a| a.iter()).map(|&a| f64::from(a));
        let n = all().count() as f64;
        let (mean, square) = (all().sum::<f64>() / n, all().map(|a| a * a).sum::<f64>() / n);
        let pairs =
            actions.iter().flat_map(|a| (1..a.nrows()).flat_map(move |t| (0..6).map(move |i| (a[[t - 1, i]], a[[t, i]]))));
        let lag = pairs.map(|(a, b)| f64::from(a) * f64::from(b)).sum::<f64>() / n;
        assert!(all().all(|a| a.abs() <= 1.0) && episodes[0].actions.row(0) != episodes[1].actions.row(0));
        (mean, square.sqrt(), lag / square)
    };
    let (mean, std, lag) = measure(0.3, 10.0);
    assert!(mean.abs() < 0.03 && (std - 0.3).abs() < 0.02, "{mean} {std}");
    assert!((lag - (-0.1_f64).exp()).abs() < 0.02, "one step keeps e^(-1/10), found {lag}");
    let (_, std, lag) = measure(0.2, 0.0);
    assert!((std - 0.2).abs() < 0.01 && lag.abs() < 0.03, "white: {std} {lag}");
}

#[test]
fn the_zero_policy_acts_zero() {
    let folder = tempfile::tempdir().unwrap();
    run(&policy(CollectPolicy::Zero, 100), folder.path()).unwrap();
    let episodes = rollouts::read_dir(&folder.path().join("rollouts")).unwrap();
    assert!(episodes.iter().all(|e| e.actions.iter().all(|&a| a == 0.0)));
    assert_ne!(episodes[0].observations.row(0), episodes[1].observations.row(0), "each from its own reset");
    let claim = std::fs::read_to_string(folder.path().join("rollouts/collect.txt")).unwrap();
    assert_eq!(claim, "env = CartPole-v1, policy = zero, seed = 11\n");
}

/// What the agent does is what the runtime does, told what was really applied where noise is added.
#[test]
fn an_agent_records_as_it_runs_and_remembers_what_was_applied() {
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("agent.safetensors");
    std::fs::write(&path, HUMANOID).unwrap();
    let request = Request { append: false, agent: Some(&path) };
    let bytes = AlignedBytes::new(HUMANOID);
    let model = Model::load(&bytes).unwrap();
    for exploration in [0.0, 0.2] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(2, 300);
        (config.collect.policy, config.collect.exploration) = (CollectPolicy::Agent, exploration);
        collect(&config, folder.path(), &request, &Progress::hidden()).unwrap();
        let claim = std::fs::read_to_string(folder.path().join("rollouts/collect.txt")).unwrap();
        let digest = format!("{:016x}", Digest::default().update_bytes(HUMANOID).value());
        assert!(claim.starts_with(&format!("env = Humanoid-v5, policy = agent, agent = {digest}, ")), "{claim}");
        assert_eq!(claim.contains("noise_scale = 0.2, noise_correlation = 10"), exploration > 0.0, "{claim}");

        let episode = &rollouts::read_dir(&folder.path().join("rollouts")).unwrap()[1];
        let mut memory = vec![0.0; memory_len(model.dims())];
        let mut agent = Agent::new(model, &mut memory).unwrap();
        let (mut action, mut noise, mut fresh) = ([0.0_f32; 17], [0.0_f32; 17], [0.0_f32; 17]);
        let (keep, mut error) = ((-0.1_f64).exp(), 0.0);
        for (t, (observation, applied)) in (0_u64..).zip(episode.observations.iter().zip(episode.actions.rows())) {
            agent.act(&observation, &mut action).unwrap();
            let applied = applied.to_vec();
            if exploration > 0.0 {
                // The noise of episode 1, step t, as its draws are named; clipped to Humanoid's range with what it was added to.
                Philox::new(11).fill_normal(Stream::CollectNoise, 1 << 32 | t, &mut fresh);
                let (keep, renew) = if t == 0 { (0.0, 1.0) } else { (keep as f32, (1.0 - keep * keep).sqrt() as f32) };
                noise.iter_mut().zip(fresh).for_each(|(n, fresh)| *n = keep * *n + renew * fresh);
                action.iter_mut().zip(noise).for_each(|(a, n)| *a = (*a + 0.4 * 0.2 * n).clamp(-0.4, 0.4));
                agent.override_action(&applied).unwrap();
            }
            agent.advance().unwrap();
            error = action.iter().zip(&applied).map(|(a, b)| (a - b).abs()).fold(error, f32::max);
        }
        // Without noise bit for bit; with it to the last bits: had the agent remembered what it asked for, it would soon ask for something else.
        let most = if exploration > 0.0 { 1e-6 } else { 0.0 };
        assert!(episode.steps() > 20 && error <= most, "exploration {exploration}: {error} in {} steps", episode.steps());
    }
}

/// Rounds: random data, then noise, then an agent's, in one folder; each part completed exactly, whatever was killed or lost.
#[test]
fn parts_are_added_on_purpose_only_and_resume_exactly() {
    let [whole, broken] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let agent = whole.path().join("a.safetensors");
    std::fs::write(&agent, HUMANOID).unwrap();
    let append = Request { append: true, agent: None };
    let with_agent = Request { append: true, agent: Some(&agent) };
    let of = |policy, steps| {
        let mut config = config(2, steps);
        config.collect.policy = policy;
        config
    };
    let go = |config: &Config, folder: &Path, request: &Request<'_>| collect(config, folder, request, &Progress::hidden());
    let refused = |config: &Config, folder: &Path, request: &Request<'_>, parts: &[&str]| {
        let before = contents(folder);
        let error = format!("{:#}", go(config, folder, request).unwrap_err());
        assert!(!error.contains('\n') && parts.iter().all(|part| error.contains(part)), "{error} should name {parts:?}");
        assert!(before == contents(folder), "a refusal must change nothing: {error}");
    };
    run(&of(CollectPolicy::Random, 200), whole.path()).unwrap();
    refused(
        &of(CollectPolicy::Noise, 400),
        whole.path(),
        &Request::default(),
        &["policy = noise", "found", "policy = uniform", "--append"],
    );
    refused(&of(CollectPolicy::Noise, 200), whole.path(), &append, &["collect.steps above", "found 200"]);
    refused(&of(CollectPolicy::Agent, 400), whole.path(), &append, &["collect.policy = agent", "--agent"]);
    refused(
        &Config { env: "Ant-v5".into(), ..of(CollectPolicy::Zero, 400) },
        whole.path(),
        &append,
        &["Ant-v5", "Humanoid-v5"],
    );
    go(&of(CollectPolicy::Noise, 400), whole.path(), &append).unwrap();
    go(&of(CollectPolicy::Agent, 900), whole.path(), &with_agent).unwrap();
    let summary = go(&of(CollectPolicy::Agent, 900), whole.path(), &Request::default()).unwrap();
    let claim = std::fs::read_to_string(whole.path().join("rollouts/collect.txt")).unwrap();
    let lines: Vec<&str> = claim.lines().collect();
    assert!(
        lines.len() == 3 && lines[0].contains("uniform") && lines[1].contains("noise") && lines[2].contains("agent"),
        "{claim}"
    );
    assert!(
        lines[0].ends_with(&format!(
            "episodes = 0..{}",
            lines[1].split_once("episodes = ").unwrap().1.split_once("..").unwrap().0
        ))
    );
    assert!(lines[2].ends_with(".."), "{claim}");

    // No start and no draw is repeated: all parts have the same seed.
    let episodes = rollouts::read_dir(&whole.path().join("rollouts")).unwrap();
    let seeds: std::collections::BTreeSet<u64> = episodes.iter().map(|e| e.seed).collect();
    assert_eq!((seeds.len(), summary.episodes), (episodes.len(), episodes.len() as u64));

    // The same with a loss in every part, and without the agent's file at hand.
    go(&of(CollectPolicy::Random, 200), broken.path(), &append).unwrap();
    go(&of(CollectPolicy::Noise, 400), broken.path(), &append).unwrap();
    go(&of(CollectPolicy::Agent, 600), broken.path(), &with_agent).unwrap();
    let folder = broken.path().join("rollouts");
    let last = rollouts::list(&folder).unwrap().len() as u64 - 1;
    for index in [1, last / 2, last] {
        std::fs::remove_file(folder.join(rollouts::file_name(index))).unwrap();
    }
    refused(&of(CollectPolicy::Zero, 9000), broken.path(), &append, &["without a gap", "complete"]);
    assert_eq!(go(&of(CollectPolicy::Agent, 900), broken.path(), &Request::default()).unwrap(), summary);
    assert!(contents(whole.path()) == contents(broken.path()));

    // The agent's file is part of the data: another in its place is no agent of this part.
    let kept = folder.join(format!("agent-{:016x}.safetensors", Digest::default().update_bytes(HUMANOID).value()));
    std::fs::write(&kept, &HUMANOID[..1000]).unwrap();
    refused(&of(CollectPolicy::Agent, 1000), broken.path(), &Request::default(), &["agent-", "expected digest", "found"]);
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
        bytes(&mut episode.observations.iter().flatten()),
        bytes(&mut episode.rewards.iter().copied()),
        episode.seed,
        flags(&episode.terminals),
        flags(&episode.truncations),
    );
    assert_eq!(String::from_utf8(output).unwrap(), expected);
    assert_eq!(rollouts::Episode::read(&copy).unwrap(), episode, "deflated and in Fortran order, but the same episode");
}
