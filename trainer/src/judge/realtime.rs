//! `run`: the control loop as a robot has it, timed: observation in, `act`, command out, `advance`, then the environment's step; with `--realtime` in step with the wall clock.

use crate::env::pool::{Outcome, check_fit};
use crate::env::{AnyEnv, Env, EnvConfig};
use crate::stats::Quantiles;
use anyhow::{Context, Result};
use dreamstep_runtime::{Agent, Model, memory_len};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Observed times of one call, in microseconds. Observed, not worst case: the next one may be longer.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Median.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// Longest seen.
    pub max_us: f64,
}

impl Latency {
    fn of(samples: &[Duration]) -> Self {
        let Quantiles { p50, p99, max } = Quantiles::of(samples.iter().map(|d| d.as_secs_f64() * 1e6).collect());
        Self { p50_us: p50, p99_us: p99, max_us: max }
    }
}

/// What `run` reports.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Environment id.
    pub env: String,
    /// What the episodes are under: delays, noise, randomised physics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<String>,
    /// Back end.
    pub backend: &'static str,
    /// Whether the loop kept to the wall clock.
    pub realtime: bool,
    /// The tick's length, which is also its deadline.
    pub dt_s: f64,
    /// Every episode, in the order of the seeds.
    pub outcomes: Vec<Outcome>,
    /// Ticks.
    pub ticks: u64,
    /// Observation to action.
    pub act: Latency,
    /// Taking the step into memory.
    pub advance: Latency,
    /// Ticks whose `act` and `advance` together took longer than `dt_s`.
    pub missed_by_agent: u64,
    /// With the clock: ticks that ended after the next should have begun, for any reason (simulator and scheduler included).
    pub missed_by_loop: Option<u64>,
    /// Wall time over simulated time.
    pub wall_over_simulated: f64,
}

/// Plays `reset(seed)`, `reset(seed + 1)`, …, one episode each, in one thread.
///
/// # Errors
/// The agent does not fit the environment, or the simulator gave a non-finite observation.
pub fn run(model: &Model<'_>, env: &EnvConfig, seed: u64, episodes: u64, realtime: bool) -> Result<Report> {
    let conditions = env.conditions();
    let mut env = AnyEnv::make(env)?;
    check_fit(model, env.spec())?;
    let spec = env.spec().clone();
    let dt = Duration::from_secs_f64(spec.dt_s);
    let mut memory = vec![0.0; memory_len(model.dims())];
    let mut agent = Agent::new(*model, &mut memory)?;
    let (mut wide, mut observation, mut action) =
        (vec![0.0_f64; spec.obs], vec![0.0_f32; spec.obs], vec![0.0_f32; spec.action()]);
    // Room for every tick, so that the loop itself never allocates.
    let capacity = episodes as usize * spec.time_limit as usize;
    let (mut act_times, mut advance_times) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
    let (mut outcomes, mut late, mut missed_by_agent) = (Vec::with_capacity(episodes as usize), 0, 0);
    let mut wall = Duration::ZERO;

    for seed in seed..seed + episodes {
        agent.reset();
        agent.set_seed(seed);
        env.reset(seed, &mut wide).with_context(|| format!("seed {seed}"))?;
        let start_x = env.position_x();
        let mut outcome = Outcome::default();
        let begin = Instant::now();
        let mut tick = begin;
        loop {
            observation.iter_mut().zip(&wide).for_each(|(single, &value)| *single = value as f32);
            let before = Instant::now();
            agent.act(&observation, &mut action).with_context(|| format!("seed {seed}, step {}", outcome.length))?;
            let acted = Instant::now();
            agent.advance()?;
            let advanced = Instant::now();
            act_times.push(acted - before);
            advance_times.push(advanced - acted);
            missed_by_agent += u64::from(advanced - before > dt);

            let step = env.step(&action, &mut wide).with_context(|| format!("seed {seed}, step {}", outcome.length))?;
            outcome.episode_return += step.reward;
            outcome.length += 1;
            tick += dt;
            if realtime {
                match tick.checked_duration_since(Instant::now()) {
                    Some(left) => std::thread::sleep(left),
                    None => {
                        // Late: the next tick starts now, so that one late tick is counted once.
                        late += 1;
                        tick = Instant::now();
                    }
                }
            }
            if step.terminated || step.truncated {
                outcome.terminated = step.terminated;
                break;
            }
        }
        wall += begin.elapsed();
        outcome.distance_m = env.position_x().zip(start_x).map(|(end, start)| end - start);
        outcomes.push(outcome);
    }
    let ticks = outcomes.iter().map(|outcome| outcome.length).sum::<u64>();
    Ok(Report {
        env: spec.id,
        conditions,
        backend: model.backend().name(),
        realtime,
        dt_s: spec.dt_s,
        outcomes,
        ticks,
        act: Latency::of(&act_times),
        advance: Latency::of(&advance_times),
        missed_by_agent,
        missed_by_loop: realtime.then_some(late),
        wall_over_simulated: wall.as_secs_f64() / (ticks as f64 * spec.dt_s),
    })
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} on back end {}, {}",
            self.env,
            self.backend,
            if self.realtime { "wall clock" } else { "as fast as it goes" }
        )?;
        if let Some(conditions) = &self.conditions {
            writeln!(f, "with {conditions}")?;
        }
        for outcome in &self.outcomes {
            let Outcome { episode_return, length, distance_m, terminated, .. } = *outcome;
            let end = if terminated { "terminated" } else { "time limit" };
            let distance = distance_m.map_or(String::new(), |distance_m| format!(", distance {distance_m:.2} m"));
            writeln!(f, "return {episode_return:.1}, length {length} steps ({end}){distance}")?;
        }
        writeln!(f, "{:<10} {:>10} {:>10} {:>10}", "observed", "p50 µs", "p99 µs", "max µs")?;
        for (name, latency) in [("act", self.act), ("advance", self.advance)] {
            writeln!(f, "{name:<10} {:>10.1} {:>10.1} {:>10.1}", latency.p50_us, latency.p99_us, latency.max_us)?;
        }
        let Self { ticks, missed_by_agent, .. } = self;
        write!(f, "{ticks} ticks of {:.0} ms: {missed_by_agent} missed by act + advance", self.dt_s * 1e3)?;
        if let Some(late) = self.missed_by_loop {
            write!(f, ", {late} late for any reason (simulator and scheduler included)")?;
        }
        writeln!(f, "; wall time / simulated time {:.3}", self.wall_over_simulated)
    }
}
