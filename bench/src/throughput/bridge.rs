//! What does a step of one of Gymnasium's environments cost beside the environment's own time in Python, and do two workers do twice as much?
//!
//! The environment does nothing, so that what is measured is the bridge: the same steps in Python alone and through the bridge, in turn; and
//! beside them bytes of the same number to and from a Python program that does nothing but answer. The clock is the wall's: two processes
//! take turns, and waking one is part of the cost.

use super::python::{Child, Python, Started};
use super::{Options, Turn, take_turns};
use crate::report::{Cell, Table};
use anyhow::{Context, Result, anyhow, ensure};
use dreamstep::env::pool::{EnvPool, Policy};
use dreamstep::env::{AnyEnv, Env, EnvConfig};
use serde_json::json;
use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What an overhead may be, in microseconds: of a small vector, and of a picture.
const MOST_US: [f64; 2] = [25.0, 40.0];
/// How much faster two workers have to be.
const LEAST: f64 = 1.85;

fn tests_python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../trainer/tests/python")
}

/// One of the tests' environments through the bridge.
fn env(name: &str, kwargs: &str) -> Result<EnvConfig> {
    let python = tests_python().join("interpreter.sh").display().to_string();
    let id = format!("gym:bridge_envs:{name}-v0");
    Ok(EnvConfig { python, kwargs: kwargs.parse().context("kwargs")?, ..EnvConfig::from(id.as_str()) })
}

/// A Python program that answers `bytes` with as many of its own.
struct PingPong {
    process: std::process::Child,
    wire: UnixStream,
    room: Vec<u8>,
}

impl PingPong {
    fn new(answer: usize) -> Result<Self> {
        let (wire, far) = UnixStream::pair()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/bridge.py");
        let mut command = Command::new(tests_python().join("interpreter.sh"));
        command.arg(script).args(["pingpong", &answer.to_string()]).stdin(OwnedFd::from(far)).stdout(Stdio::null());
        let process = command.spawn().context("the Python of set-up: cannot start")?;
        Ok(Self { process, wire, room: vec![0; answer] })
    }

    fn exchange(&mut self, question: &[u8]) -> Result<()> {
        self.wire.write_all(question)?;
        Ok(self.wire.read_exact(&mut self.room)?)
    }
}

impl Drop for PingPong {
    fn drop(&mut self) {
        let _ = self.wire.shutdown(std::net::Shutdown::Both);
        let _ = self.process.wait();
    }
}

/// Measures.
///
/// # Errors
/// Gymnasium is not installed, or an environment failed.
pub fn tables(options: &Options) -> Result<Vec<Table>> {
    Ok(vec![overhead(options)?, scaling(options)?])
}

fn overhead(options: &Options) -> Result<Table> {
    let (steps, rounds) = options.common.effort((500, 200), (100, 2));
    // Where the tests' environments lie.
    let (child, version) = match Python::at(&tests_python().join("interpreter.sh")).start("bridge.py", &[])? {
        Started::Ready(child, version) => (child, version),
        Started::Missing(what) => return Err(anyhow!("{what}; run `make setup`")),
    };
    let child = RefCell::new(child);
    let columns = [
        "observation",
        "in Python, µs p50",
        "bridged, µs p50",
        "overhead, µs p50",
        "overhead, µs min",
        "at most, µs",
        "bare exchange, µs p50",
        "µs min",
    ];
    let title = format!("{version}: a step of an environment that does nothing, alone and through the bridge");
    let mut table = Table::new(&title, &columns);
    for (image, most) in [false, true].into_iter().zip(MOST_US) {
        let config = env("Nothing", &format!("image = {image}"))?;
        let mut bridge = AnyEnv::make(&config)?;
        let mut obs = vec![0.0; bridge.spec().obs];
        bridge.reset(0, &mut obs)?;
        let (name, bytes) = if image { ("96 × 96 × 3 bytes", 96 * 96 * 3) } else { ("8 numbers of binary32", 32) };
        let mut pingpong = PingPong::new(24 + bytes)?;
        let question = [0; 24];
        let each = |start: Instant| start.elapsed().as_secs_f64() * 1e6 / steps as f64;
        let alone: Turn<'_> = Box::new(|| {
            let job = json!({ "id": "bridge_envs:Nothing-v0", "kwargs": { "image": image }, "steps": steps });
            let seconds: f64 = Child::ask(&mut child.borrow_mut(), &job)?;
            Ok(seconds * 1e6 / steps as f64)
        });
        let bridged: Turn<'_> = Box::new(|| {
            let start = Instant::now();
            (0..steps).try_for_each(|_| bridge.step(&[0.0; 3], &mut obs).map(drop))?;
            Ok(each(start))
        });
        let bare: Turn<'_> = Box::new(|| {
            let start = Instant::now();
            (0..steps).try_for_each(|_| pingpong.exchange(&question))?;
            Ok(each(start))
        });
        let times = take_turns(&mut [alone, bridged, bare], rounds)?;
        let [alone, bridged, bare] = [0, 1, 2].map(|i| &times[i]);
        let number = |value: f64| Cell::Number(value, 1);
        table.row([
            name.into(),
            number(alone.p50()),
            number(bridged.p50()),
            number(bridged.p50() - alone.p50()),
            number(bridged.min() - alone.min()),
            number(most),
            number(bare.p50()),
            number(bare.min()),
        ]);
    }
    Ok(table)
}

fn scaling(options: &Options) -> Result<Table> {
    let (episodes, rounds, us) = options.common.effort((12, 7, 500.0), (2, 1, 50.0));
    let steps = 100;
    let config = EnvConfig { time_limit: steps, ..env("Busy", &format!("us = {us:?}"))? };
    let mut table = Table::new(
        &format!("A bridged environment that computes {us} µs in every step: workers"),
        &["workers", "steps / s, p50", "speed to one", "at least"],
    );
    let pools = [1, 2].map(|threads| EnvPool::new(&config, threads));
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for pool in &pools {
        let pool = pool.as_ref().map_err(|error| anyhow!("{error:#}"))?;
        turns.push(Box::new(move || {
            let start = Instant::now();
            let outcomes = pool.episodes(Policy::Zero, 0, episodes, || ())?;
            let played: u64 = outcomes.iter().map(|outcome| outcome.length).sum();
            ensure!(
                played == episodes as u64 * u64::from(steps),
                "expected {episodes} whole episodes, found {played} steps"
            );
            Ok(start.elapsed().as_secs_f64() * 1e6 / played as f64)
        }));
    }
    let times = take_turns(&mut turns, rounds)?;
    for (workers, time) in [1, 2].into_iter().zip(&times) {
        let least = if workers == 2 { Cell::Number(LEAST, 2) } else { Cell::Missing };
        let speed = Cell::Number(times[0].ratio_to(time), 2);
        table.row([Cell::Number(f64::from(workers), 0), Cell::Number(1e6 / time.p50(), 0), speed, least]);
    }
    Ok(table)
}
