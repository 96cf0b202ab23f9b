//! How many steps of CarRacing-v3 does one thread make in a second, in Rust and in Gymnasium, with its picture and without, and with an agent in the loop?
//!
//! Laps are recorded once, driven by a simple rule. All sides play the recording from `reset` on, and must come to the same number of steps and the same
//! bits of the sum of all rewards, as in [`super::simulator`]. In Gymnasium without a picture, drawing is replaced by nothing; what is left is Box2D and Python.
//! The agent sees every picture, answers, and is overruled by the recording.

use super::python::Child;
use super::simulator::{Answer, Episode, gymnasium, replay};
use super::{Options, Turn, take_turns, thread_s};
use crate::report::{Cell, Table};
use anyhow::{Result, anyhow};
use dreamstep::env::{AnyEnv, Env, EnvConfig};
use dreamstep::run::config::{ImageConfig, Observation};
use dreamstep_fixtures::CAR_RACING;
use dreamstep_runtime::{Agent, Model, memory_len};
use std::cell::RefCell;
use std::collections::BTreeMap;

const ENV: &str = "CarRacing-v3";

/// Steers to the third of the points ahead, at no more than 45 units a second.
fn rule(road: &[f64], forward: f64) -> [f32; 3] {
    let steer = 1.2 * road[4].atan2(road[5]);
    [steer as f32, if forward < 45.0 { 0.4 } else { 0.0 }, 0.0]
}

fn record(seed: u64) -> Result<Episode> {
    let mut env = AnyEnv::make(&EnvConfig { observation: Observation::State, ..EnvConfig::from(ENV) })?;
    let mut state = vec![0.0; env.spec().obs];
    let blocks = env.spec().blocks.clone();
    let before = |name: &str| blocks.iter().take_while(|(known, _)| known != name).map(|(_, len)| len).sum::<usize>();
    let (forward, road) = (before("velocity") + 1, before("road"));
    env.reset(seed, &mut state)?;
    let mut actions = Vec::new();
    loop {
        let action = rule(&state[road..], state[forward]);
        actions.push(action.to_vec());
        let step = env.step(&action, &mut state)?;
        if step.terminated || step.truncated {
            return Ok(Episode { seed, actions });
        }
    }
}

/// Measures.
///
/// # Errors
/// Gymnasium is not installed, or played other trajectories than we did.
pub fn tables(options: &Options) -> Result<Vec<Table>> {
    let (rounds, laps) = options.common.effort((7, 3), (1, 1));
    let laps = (0..laps).map(record).collect::<Result<Vec<_>>>()?;
    let recordings = BTreeMap::from([("laps", laps)]);
    let (blind, _) = gymnasium(&["--env", ENV, "--blind"], &recordings)?;
    let (seeing, version) = gymnasium(&["--env", ENV], &recordings)?;

    let road = ImageConfig { crop: vec![0, 0, 84, 96], size: vec![64, 64], ..ImageConfig::default() };
    let plain = EnvConfig::from(ENV);
    let configs =
        [EnvConfig { observation: Observation::State, ..plain.clone() }, plain.clone(), EnvConfig { image: road, ..plain }];
    let laps = &recordings["laps"];
    let play = |config: &EnvConfig| -> Result<_> {
        let mut env = AnyEnv::make(config)?;
        let mut observation = vec![0.0; env.spec().obs];
        Ok(move || {
            let start = thread_s();
            let total = replay(&mut env, &mut observation, laps, |_, _, _| Ok(()))?;
            Ok::<_, anyhow::Error>((thread_s() - start, total))
        })
    };
    let (_, expected) = play(&configs[0])?()?;
    let python = |child: Child| -> Turn<'_> {
        let child = RefCell::new(child);
        Box::new(move || {
            let Answer { seconds, total } = child.borrow_mut().ask(&"laps")?;
            expected.expect("Gymnasium", total)?;
            Ok(seconds * 1e6 / total.steps as f64)
        })
    };
    let model = Model::load(CAR_RACING).map_err(|error| anyhow!("the shipped agent: {error}"))?;
    let mut memory = vec![0.0; memory_len(model.dims())];
    let mut turns = vec![python(blind), python(seeing)];
    for config in &configs {
        let mut play = play(config)?;
        turns.push(Box::new(move || {
            let (seconds, total) = play()?;
            expected.expect("dreamstep", total)?;
            Ok(seconds * 1e6 / total.steps as f64)
        }));
    }
    let (mut driver, mut env) = (Agent::new(model, &mut memory)?, AnyEnv::make(&configs[2])?);
    let (mut observation, mut single) = (vec![0.0; env.spec().obs], vec![0.0; env.spec().obs]);
    turns.push(Box::new(move || {
        let start = thread_s();
        let total = replay(&mut env, &mut observation, laps, |index, observation, action| {
            if index == 0 {
                driver.reset();
            }
            single.iter_mut().zip(observation).for_each(|(single, &value)| *single = value as f32);
            driver.act_in_place(&single)?;
            driver.override_action(action)?;
            Ok(driver.advance()?)
        })?;
        expected.expect("dreamstep", total)?;
        Ok((thread_s() - start) * 1e6 / total.steps as f64)
    }));
    let times = take_turns(&mut turns, rounds)?;
    drop(turns);

    let columns = ["who steps", "what is seen", "µs / step, p50", "steps / CPU-s, p50", "speed to Gymnasium"];
    let title = format!("{ENV}, {} steps of {} laps with resets, one thread", expected.steps, laps.len());
    let mut table = Table::new(&title, &columns);
    let rows = [
        ("Gymnasium", "nothing", 0),
        ("dreamstep", "the state behind the picture", 0),
        ("Gymnasium", "the picture, 96 × 96", 1),
        ("dreamstep", "the picture, 96 × 96", 1),
        ("dreamstep", "the road, resized to 64 × 64", 1),
        ("dreamstep", "the road, and the shipped agent (i8) in the loop", 1),
    ];
    for ((who, what, peer), time) in rows.into_iter().zip([0, 2, 1, 3, 4, 5]).map(|(row, at)| (row, &times[at])) {
        table.row([
            who.into(),
            what.into(),
            Cell::Number(time.p50(), 2),
            Cell::Number(1e6 / time.p50(), 0),
            Cell::Number(times[peer].ratio_to(time), 1),
        ]);
    }
    table.note(format!(
        "{version}. {rounds} interleaved rounds; ratios are medians of a round's. Processor time; in every round each side came to these very \
         steps and, bit for bit, to rewards of {:.2}.",
        expected.reward()
    ));
    Ok(vec![table])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is measured is driving: a lap, or most of one.
    #[test]
    fn the_rule_drives() {
        let lap = [record(0).unwrap()];
        let mut env = AnyEnv::make(&EnvConfig { observation: Observation::State, ..EnvConfig::from(ENV) }).unwrap();
        let mut state = vec![0.0; env.spec().obs];
        let total = replay(&mut env, &mut state, &lap, |_, _, _| Ok(())).unwrap();
        assert!(total.reward() > 700.0, "{} in {} steps", total.reward(), total.steps);
    }
}
