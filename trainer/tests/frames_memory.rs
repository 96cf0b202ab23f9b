//! Frames of more episodes than a pool holds: read as training reads them, in bounded memory, and faster than any V trains. A program of its
//! own: what is measured is the most that the process ever held.

use dreamstep::data::dataset::{Dataset, Pools, Reading};
use dreamstep::data::rollouts::{Episode, file_name};
use dreamstep_core::rng::{Philox, Stream};
use ndarray::{Array1, Array2, Array4};
use rayon::prelude::*;
use std::thread::scope;
use std::time::Instant;

const EPISODES: u64 = 40;
const STEPS: usize = 999;
/// Of 64 x 64 x 3.
const FRAME: usize = 12_288;
/// Frames in a pool: 4 episodes, 50 MB.
const POOL: usize = 4000;

/// What a road looks like to a codec: flat, with an edge that moves and a few odd pixels.
fn episode(number: u64) -> Episode {
    let mut frames = vec![105; (STEPS + 1) * FRAME];
    for (row, bytes) in frames.chunks_exact_mut(64 * 3).enumerate() {
        let (t, y) = (row / 64, row % 64);
        let edge = 20 + (t / 5 + y / 3 + 7 * number as usize) % 24;
        bytes[..3 * edge].copy_from_slice(&[100, 204, 100].repeat(edge));
        bytes[(t * 31 + y * 17) % 192] = t as u8;
    }
    let frames = Array4::from_shape_vec((STEPS + 1, 64, 64, 3), frames).unwrap();
    Episode {
        seed: number,
        observations: frames.into(),
        actions: Array2::zeros((STEPS, 3)),
        rewards: Array1::zeros(STEPS),
        terminals: Array1::from_elem(STEPS, false),
        truncations: Array1::from_shape_fn(STEPS, |t| t + 1 == STEPS),
    }
}

/// A line of `/proc/self/status`, in bytes.
fn status(key: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn frames_are_trained_on_within_bounded_memory_and_at_speed() {
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    (0..EPISODES).into_par_iter().for_each(|number| {
        episode(number).write(&folder.path().join(file_name(number))).unwrap();
    });
    let frames = EPISODES as usize * (STEPS + 1);
    let on_disk: u64 = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    println!("{frames} frames written in {:.2?}, {} bytes each", start.elapsed(), on_disk / frames as u64);
    assert!(on_disk < (frames * FRAME / 4) as u64, "{on_disk} bytes");

    // What writing took is not what is measured.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS");
    let start = Instant::now();
    let data = Dataset::open(folder.path(), 2).unwrap();
    println!("opened at {:.0} frames/s", frames as f64 / start.elapsed().as_secs_f64());
    let all: Vec<usize> = (0..data.len()).collect();
    let (held_out, train) = all.split_at(4);
    let pools = |ids: &[usize]| Pools::new(&data, ids, POOL, Philox::new(1), Stream::VaeOrder);
    let reading = Reading { train: pools(train), validation: pools(held_out) };
    let (start, mut seen, mut sum) = (Instant::now(), 0, 0_u64);
    scope(|s| {
        let stream =
            reading.stream(&data, 1..=2, |ids| data.frames(ids).map(std::sync::Arc::new), Clone::clone, |pool, _, _| pool);
        for pool in dreamstep::data::prefetch::prefetch(s, stream) {
            let pool = pool.unwrap();
            seen += pool.len() / FRAME;
            sum += pool.iter().step_by(997).map(|&byte| u64::from(byte)).sum::<u64>();
        }
    });
    let speed = seen as f64 / start.elapsed().as_secs_f64();
    let peak = status("VmHWM") - before;
    let pool = POOL * FRAME;
    println!(
        "read at {speed:.0} frames/s; held at most {} MB more, {:.1} pools of {} MB",
        peak >> 20,
        peak as f64 / pool as f64,
        pool >> 20
    );
    assert_eq!(seen, 2 * frames);
    assert!(sum > 0);
    // The pool in use, the next, the held-out one; and an episode on each of a few threads while it is read.
    assert!(peak < 3 * pool + 8 * (STEPS + 1) * FRAME, "{peak} bytes for pools of {pool}");
    assert!(speed > 4300.0, "ten times what V trains at: {speed}");
}
