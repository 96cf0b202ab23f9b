//! How many steps of Humanoid-v5 does one thread make in a second, in Rust and in Gymnasium, on the same libmujoco?
//!
//! Episodes are recorded once: a seed, and every action to the end of the episode. All sides then play the recording from `reset` on,
//! and must come to the same number of steps and the same bits of the sum of all rewards. That is the proof that they did the same
//! physics; where it fails there is no figure.
//!
//! The agent's row chooses the very actions that the row before it is given, so that the difference is the agent alone.

use super::python::{Child, Python, Started};
use super::{Options, Turn, take_turns, thread_s};
use crate::report::{Cell, Table};
use anyhow::{Context, Result, anyhow, bail, ensure};
use dreamstep::env::{AnyEnv, Env, EnvConfig};
use dreamstep_core::rng::Philox;
use dreamstep_fixtures::HUMANOID;
use dreamstep_runtime::{Agent, Model, memory_len};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;

const ENV: &str = "Humanoid-v5";

/// An episode, given by what decides it.
#[derive(Debug, Serialize)]
pub(super) struct Episode {
    pub(super) seed: u64,
    pub(super) actions: Vec<Vec<f32>>, // [T][A]
}

/// What playing a recording came to.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) steps: u64,
    /// Of the sum of all rewards, an f64, added up in order.
    reward_bits: u64,
}

/// What Gymnasium says.
#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) seconds: f64,
    #[serde(flatten)]
    pub(super) total: Total,
}

impl Total {
    fn of(steps: u64, reward: f64) -> Self {
        Self { steps, reward_bits: reward.to_bits() }
    }

    pub(super) fn reward(self) -> f64 {
        f64::from_bits(self.reward_bits)
    }

    /// That `who` found this too.
    pub(super) fn expect(self, who: &str, found: Self) -> Result<()> {
        ensure!(
            self == found,
            "{who}: expected {} steps and rewards of {:?} (bits {:#018x}), found {} and {:?} ({:#018x}): not the same trajectories, so \
             their times do not compare",
            self.steps,
            self.reward(),
            self.reward_bits,
            found.steps,
            found.reward(),
            found.reward_bits
        );
        Ok(())
    }
}

/// One thread's simulator, with the agent that may act in it.
struct Bench<'m> {
    env: AnyEnv,
    observation: Vec<f64>,
    single: Vec<f32>,
    action: Vec<f32>,
    agent: Agent<'m, 'm>,
}

impl<'m> Bench<'m> {
    fn new(model: &'m Model<'m>, memory: &'m mut [f32]) -> Result<Self> {
        let env = AnyEnv::make(&EnvConfig::from(ENV))?;
        dreamstep::env::pool::check_fit(model, env.spec())?;
        let (obs, action) = (env.spec().obs, env.spec().action());
        let agent = Agent::new(*model, memory)?;
        Ok(Self { env, observation: vec![0.0; obs], single: vec![0.0; obs], action: vec![0.0; action], agent })
    }

    /// An episode from `reset(seed)`, with uniform actions or the agent's.
    fn record(&mut self, seed: u64, agent_acts: bool) -> Result<Episode> {
        self.env.reset(seed, &mut self.observation)?;
        self.agent.reset();
        let mut actions = Vec::new();
        loop {
            if agent_acts {
                self.choose()?;
            } else {
                self.env.spec().actions.uniform(Philox::new(seed), actions.len() as u64, &mut self.action);
            }
            actions.push(self.action.clone());
            let step = self.env.step(&self.action, &mut self.observation)?;
            if step.terminated || step.truncated {
                return Ok(Episode { seed, actions });
            }
        }
    }

    fn choose(&mut self) -> Result<()> {
        self.single.iter_mut().zip(&self.observation).for_each(|(single, &value)| *single = value as f32);
        Ok(self.agent.step(&self.single, &mut self.action)?)
    }

    /// Plays the recorded actions.
    fn replay(&mut self, episodes: &[Episode]) -> Result<Total> {
        replay(&mut self.env, &mut self.observation, episodes, |_, _, _| Ok(()))
    }

    /// Plays episodes from the same starts, acted by the agent.
    fn act(&mut self, episodes: &[Episode]) -> Result<Total> {
        let (mut steps, mut reward) = (0, 0.0);
        for Episode { seed, .. } in episodes {
            self.env.reset(*seed, &mut self.observation)?;
            self.agent.reset();
            loop {
                self.choose()?;
                let step = self.env.step(&self.action, &mut self.observation)?;
                reward += step.reward;
                steps += 1;
                if step.terminated || step.truncated {
                    break;
                }
            }
        }
        Ok(Total::of(steps, reward))
    }
}

/// Plays the recorded actions in `env`, whose observations go into `observation`. Before each of them `on_step` gets its number in the episode, the
/// observation, and it.
pub(super) fn replay(
    env: &mut AnyEnv,
    observation: &mut [f64],
    episodes: &[Episode],
    mut on_step: impl FnMut(usize, &[f64], &[f32]) -> Result<()>,
) -> Result<Total> {
    let (mut steps, mut reward) = (0, 0.0);
    for Episode { seed, actions } in episodes {
        env.reset(*seed, observation)?;
        let mut over = false;
        for (index, action) in actions.iter().enumerate() {
            on_step(index, observation, action)?;
            let step = env.step(action, observation)?;
            reward += step.reward;
            steps += 1;
            over = step.terminated || step.truncated;
            if over {
                break;
            }
        }
        if !over {
            bail!("seed {seed}: expected an episode of {} steps, found one that goes on", actions.len());
        }
    }
    Ok(Total::of(steps, reward))
}

/// Starts Gymnasium with the recordings.
pub(super) fn gymnasium(arguments: &[&str], recordings: &BTreeMap<&str, Vec<Episode>>) -> Result<(Child, String)> {
    let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
    let (mut child, version) = match Python::of_setup()?.start("simulator.py", &arguments)? {
        Started::Ready(child, version) => (child, version),
        Started::Missing(what) => return Err(anyhow!("{what}; run `make setup`")),
    };
    let expected: usize = recordings.values().map(Vec::len).sum();
    let found: usize = child.ask(recordings)?;
    ensure!(expected == found, "simulator.py: expected to hand over {expected} episodes, found {found}");
    Ok((child, version))
}

/// Measures.
///
/// # Errors
/// Gymnasium is not installed, or played other trajectories than we did.
pub fn tables(options: &Options) -> Result<Vec<Table>> {
    let rounds = options.common.effort(15, 1);
    let (uniform, acted) = options.common.effort((40, 8), (4, 2));
    let model = Model::load(HUMANOID).map_err(|error| anyhow!("the shipped agent: {error}"))?;
    let mut memory = vec![0.0; memory_len(model.dims())];
    let mut bench = Bench::new(&model, &mut memory)?;
    let mut record = |count, agent| (0..count).map(|seed| bench.record(seed, agent)).collect::<Result<Vec<_>>>();
    let recordings = BTreeMap::from([("uniform", record(uniform, false)?), ("agent", record(acted, true)?)]);
    let (child, version) = gymnasium(&["--env", ENV], &recordings)?;

    let (bench, child) = (RefCell::new(bench), RefCell::new(child));
    let mut expected = BTreeMap::new();
    for (&name, episodes) in &recordings {
        let total = bench.borrow_mut().replay(episodes)?;
        ensure!(total.steps == episodes.iter().map(|e| e.actions.len() as u64).sum::<u64>(), "{name}: lost steps");
        expected.insert(name, total);
    }
    // A contender answers with microseconds per step, if it came to the recording's total.
    let per_step = |who: &str, name: &str, seconds: f64, found: Total| {
        expected[name].expect(who, found)?;
        Ok(seconds * 1e6 / found.steps as f64)
    };
    let python = |name: &'static str| -> Turn<'_> {
        let (child, per_step) = (&child, &per_step);
        Box::new(move || {
            let Answer { seconds, total } = child.borrow_mut().ask(&name)?;
            per_step("Gymnasium", name, seconds, total)
        })
    };
    let ours = |name: &'static str, agent: bool| -> Turn<'_> {
        let (bench, per_step, episodes) = (&bench, &per_step, &recordings[name]);
        Box::new(move || {
            let start = thread_s();
            let total = if agent { bench.borrow_mut().act(episodes) } else { bench.borrow_mut().replay(episodes) };
            per_step("dreamstep", name, thread_s() - start, total.context(name)?)
        })
    };
    let mut turns = [python("uniform"), ours("uniform", false), python("agent"), ours("agent", false), ours("agent", true)];
    let times = take_turns(&mut turns, rounds)?;
    drop(turns);

    let columns = [
        "who steps",
        "actions",
        "steps",
        "sum of rewards",
        "steps / CPU-s, p50",
        "speed to Gymnasium",
        "min / min",
        "time to replayed",
    ];
    let mut table = Table::new("Humanoid-v5, whole episodes with resets, one thread", &columns);
    let rows = [
        ("Gymnasium", "uniform", "uniform", 0, None),
        ("dreamstep", "uniform", "uniform", 0, None),
        ("Gymnasium", "agent", "the agent's, replayed", 2, None),
        ("dreamstep", "agent", "the agent's, replayed", 2, None),
        ("dreamstep", "agent", "the agent's, chosen", 2, Some(3)),
    ];
    for ((who, name, actions, peer, bare), time) in rows.into_iter().zip(&times) {
        let total = expected[name];
        let to_bare = bare.map_or(Cell::Missing, |bare: usize| Cell::Number(time.ratio_to(&times[bare]), 3));
        table.row([
            who.into(),
            actions.into(),
            Cell::Number(total.steps as f64, 0),
            Cell::Number(total.reward(), 2),
            Cell::Number(1e6 / time.p50(), 0),
            Cell::Number(times[peer].ratio_to(time), 2),
            Cell::Number(times[peer].min() / time.min(), 2),
            to_bare,
        ]);
    }
    table.note(format!(
        "{version}. {rounds} interleaved rounds; ratios are medians of a round's. Processor time; in every round each side came to these very \
         steps and, bit for bit, to this sum of rewards."
    ));
    Ok(vec![table])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What plays a recording here, in Gymnasium, and by choosing the actions anew comes to the same bits; one action changed by one bit
    /// is noticed, and so is a reward.
    #[test]
    fn all_sides_play_the_same_and_a_difference_is_refused() {
        let model = Model::load(HUMANOID).unwrap();
        let mut memory = vec![0.0; memory_len(model.dims())];
        let mut bench = Bench::new(&model, &mut memory).unwrap();
        let episodes = vec![bench.record(5, true).unwrap()];
        let total = bench.replay(&episodes).unwrap();
        total.expect("the agent", bench.act(&episodes).unwrap()).unwrap();

        let mut changed = Episode { seed: 5, actions: episodes[0].actions.clone() };
        let first = &mut changed.actions[0][3];
        *first = f32::from_bits(first.to_bits() ^ 1);
        let recordings = BTreeMap::from([("right", episodes), ("wrong", vec![changed])]);
        let mut gymnasium = gymnasium(&["--env", ENV], &recordings).unwrap().0;
        let answer: Answer = gymnasium.ask(&"right").unwrap();
        total.expect("Gymnasium", answer.total).unwrap();
        assert!(answer.seconds > 0.0);
        // The changed action may end the episode at another step; either way it is no figure.
        let wrong = gymnasium.ask::<Answer>(&"wrong").and_then(|answer| total.expect("Gymnasium", answer.total));
        assert!(wrong.is_err());

        let next = Total { reward_bits: total.reward_bits + 1, ..total };
        let error = total.expect("Gymnasium", next).unwrap_err().to_string();
        assert!(error.contains("not the same trajectories") && !error.contains('\n'), "{error}");
        assert!(total.expect("Gymnasium", Total { steps: total.steps + 1, ..total }).is_err());
    }
}
