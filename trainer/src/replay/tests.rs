//! The ring against a queue that remembers, of every step, its episode and its time: what may be a window is decided by looking.

use super::*;
use std::collections::{BTreeMap, VecDeque};

/// A step by name: its number is its observation, its successor's is where it led.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Named {
    number: u64,
    episode: u64,
}

/// A ring and its model, fed the same episodes of pseudo-random lengths, ended in every way.
struct Pair {
    ring: Replay,
    model: VecDeque<Named>,
    episode: u64,
    left: u64,
}

impl Pair {
    fn new(capacity: usize) -> Self {
        Self { ring: Replay::new(capacity, 2, 1).unwrap(), model: VecDeque::new(), episode: 0, left: 4 }
    }

    fn push(&mut self, seed: u64) {
        let number = self.ring.pushed();
        self.left -= 1;
        let last = self.left == 0;
        let kind = Philox::new(seed).below(Stream::SyntheticObservation, self.episode, 1, 3);
        let x = number as f32;
        let step = Step {
            observation: &[x, -x],
            action: &[x + 0.25],
            reward: x + 0.5,
            terminal: last && kind == 0,
            truncation: last && kind == 1,
            next: &[x + 1.0, -x - 1.0],
        };
        self.ring.push(&step).unwrap();
        self.model.push_back(Named { number, episode: self.episode });
        if self.model.len() > self.ring.capacity {
            self.model.pop_front();
        }
        if last {
            if kind == 2 {
                self.ring.cut();
            }
            self.episode += 1;
            self.left = 1 + Philox::new(seed).below(Stream::SyntheticObservation, self.episode, 0, 9);
        }
    }

    /// First numbers of all windows of `length`, by looking at every run of the queue.
    fn windows(&self, length: usize) -> Vec<u64> {
        let steps: Vec<Named> = self.model.iter().copied().collect();
        steps.windows(length).filter(|w| w.iter().all(|s| s.episode == w[0].episode)).map(|w| w[0].number).collect()
    }
}

#[test]
fn windows_are_those_of_a_naive_queue_whatever_was_overwritten() {
    for (capacity, seed) in [(1, 0), (2, 1), (5, 2), (16, 3), (17, 4), (64, 5), (1000, 6)] {
        let mut pair = Pair::new(capacity);
        for push in 0..300 {
            pair.push(seed);
            assert_eq!(pair.ring.len(), pair.model.len());
            for length in [1, 2, 3, 7] {
                let expected = pair.windows(length);
                let found: Vec<u64> = pair.ring.window_ends(length).iter().map(|end| end + 1 - length as u64).collect();
                assert_eq!(found, expected, "seed {seed}, capacity {capacity}, push {push}, length {length}");
            }
        }
        assert_eq!(pair.ring.windows(0), 0);
    }
}

#[test]
fn every_window_is_drawn_as_often_and_holds_what_was_pushed() {
    let mut pair = Pair::new(40);
    (0..171).for_each(|_| pair.push(7));
    let length = 3;
    let expected = pair.windows(length);
    let rows = 64;
    let (mut counts, batches) = (BTreeMap::<u64, u32>::new(), 500);
    for batch in 0..batches {
        let w = pair.ring.sample(Philox::new(1), batch, rows, length).unwrap();
        assert_eq!((w.observations.dim(), w.actions.dim(), w.rewards.dim()), ((rows, 3, 2), (rows, 3, 1), (rows, 3)));
        for row in 0..rows {
            let first = w.observations[[row, 0, 0]];
            *counts.entry(first as u64).or_default() += 1;
            for t in 0..length {
                let x = first + t as f32;
                let found =
                    [w.observations[[row, t, 0]], w.observations[[row, t, 1]], w.actions[[row, t, 0]], w.rewards[[row, t]]];
                assert_eq!(found, [x, -x, x + 0.25, x + 0.5], "in the order of time");
                assert_eq!(w.next[[row, t, 0]], x + 1.0, "where it led, not where it was");
                let ends = w.terminals[[row, t]] || w.truncations[[row, t]];
                assert!(!ends || t + 1 == length, "a window never goes past an end");
            }
        }
    }
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), expected);
    let mean = f64::from(batches as u32) * rows as f64 / expected.len() as f64;
    let chi: f64 = counts.values().map(|&n| (f64::from(n) - mean).powi(2) / mean).sum();
    let freedom = expected.len() as f64 - 1.0;
    assert!((chi - freedom).abs() < 5.0 * (2.0 * freedom).sqrt(), "χ² {chi} of {freedom} degrees of freedom");
}

#[test]
fn a_buffer_that_was_saved_goes_on_as_if_nothing_had_been() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replay.safetensors");
    // Before and after the wrap, in the middle of an episode.
    for pushes in [0, 13, 16, 17, 45] {
        let mut whole = Pair::new(16);
        (0..pushes).for_each(|_| whole.push(3));
        whole.ring.save(&path).unwrap();
        let loaded = Replay::load(&path).unwrap();
        assert_eq!(loaded, whole.ring, "{pushes}");
        let mut resumed = Pair { ring: loaded, model: whole.model.clone(), ..whole };
        for batch in 0..20 {
            whole.push(3);
            resumed.push(3);
            let sample = |pair: &Pair| pair.ring.sample(Philox::new(2), batch, 5, 1).unwrap();
            assert_eq!(sample(&whole), sample(&resumed));
        }
        assert_ne!(whole.ring.sample(Philox::new(2), 0, 5, 1).unwrap(), whole.ring.sample(Philox::new(2), 1, 5, 1).unwrap());
    }
}

#[test]
fn what_does_not_fit_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replay.safetensors");
    let mut ring = Replay::new(4, 2, 1).unwrap();
    let good =
        Step { observation: &[0.0, 1.0], action: &[0.0], reward: 0.0, terminal: true, truncation: false, next: &[0.0, 2.0] };
    let error = |result: Result<()>| format!("{:#}", result.unwrap_err());
    for (step, part) in [
        (Step { observation: &[0.0], ..good }, "observation: expected 2 numbers, found 1"),
        (Step { action: &[0.0, 0.0], ..good }, "action: expected 1 numbers, found 2"),
        (Step { next: &[], ..good }, "next: expected 2 numbers, found 0"),
        (Step { next: &[0.0, f32::NAN], ..good }, "step 0: expected finite numbers, found NaN"),
        (Step { reward: f32::INFINITY, ..good }, "found inf"),
    ] {
        let error = error(ring.push(&step));
        assert!(error.contains(part) && ring.is_empty(), "{error}");
    }
    let empty = error(ring.sample(Philox::new(0), 0, 1, 2).map(drop));
    assert!(empty.contains("2 consecutive steps among the 0"), "{empty}");
    (0..9).for_each(|_| ring.push(&good).unwrap());
    let short = error(ring.sample(Philox::new(0), 0, 1, 2).map(drop));
    assert!(
        short.contains("2 consecutive steps among the 4 that are held, found none"),
        "every episode has one step: {short}"
    );
    assert!(error(Replay::new(0, 1, 1).map(drop)).contains("above 0"));

    ring.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(error(Replay::load(&path).map(drop)).contains("replay.safetensors"));
    let mut other = Checkpoint::from_bytes("x", &bytes).unwrap();
    other.set_meta("pushed", 3);
    other.write(&path).unwrap();
    assert!(error(Replay::load(&path).map(drop)).contains("expected shape [3"));
    other.set_meta(metadata::FORMAT, "checkpoint-1");
    other.write(&path).unwrap();
    assert!(error(Replay::load(&path).map(drop)).contains("expected a replay buffer"));
}
