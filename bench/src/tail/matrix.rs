//! One row after the other: who else runs is started, a fresh thread sets itself up and runs the loop, and everything ends before the
//! next row begins.

use super::control::{Robot, Usage, Yardstick, control_loop, thread_cpu_ns};
use super::distribution::{Quantiles, histogram, slower_than};
use super::hogs::Hogs;
use super::pace::{Miss, Pace, Tick};
use super::setup::{apply, choose_core};
use super::{Condition, Measured, Plan, Row, Setup, Times};
use anyhow::{Context, Result, anyhow};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Agent, Model, memory_len};
use nix::unistd::{SysconfVar, sysconf};
use std::hint::black_box;

/// Observations that an agent is given in turn.
const OBSERVATIONS: u64 = 16;
/// Ticks before the first, as a self-test at start-up would make; they say how long the yardstick is.
const WARM_UP: usize = 50;

pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let options = &plan.options;
    let core = choose_core(options.core)?;
    let file = synthetic::in_precision(&options.size.agent(), options.precision);
    let model = Model::load(&file).map_err(|error| anyhow!("{error}"))?;
    // Written, not only reserved: a page that is first touched in the loop would be a page fault there.
    let mut samples = vec![Tick { late_ns: u32::MAX, ..Tick::default() }; plan.pace.ticks];
    let mut rows = Vec::new();
    for &condition in options.condition {
        for &setup in options.setup {
            let hogs = match condition {
                Condition::Idle => None,
                Condition::Hogs => Some(Hogs::start(options.hogs)?),
            };
            let outcome = row(plan, &model, setup, core, &mut samples);
            drop(hogs);
            rows.push(Row { condition, setup, outcome: outcome? });
        }
    }
    Ok(rows)
}

/// What a fresh thread measures under `setup`, or, inside, why it may not have that set-up.
fn row(plan: &Plan, model: &Model<'_>, setup: Setup, core: usize, samples: &mut [Tick]) -> Result<Result<Measured, String>> {
    let dims = model.dims();
    let mut memory = vec![0.0; memory_len(dims)];
    let mut action = vec![0.0; dims.action_len()];
    let observations: Vec<_> = (0..OBSERVATIONS).map(|t| synthetic::observation(dims, 0, t)).collect();
    let mut robot = Robot {
        agent: Agent::new(*model, &mut memory).map_err(|error| anyhow!("{error}"))?,
        observations: &observations,
        action: &mut action,
    };
    let control = || -> Result<Result<Measured, String>> {
        let in_force = match apply(setup, core) {
            Ok(in_force) => in_force,
            Err(words) => return Ok(Err(words)),
        };
        let wait = plan.options.wait;
        let warm_up = Pace { ticks: WARM_UP.min(plan.pace.ticks), ..plan.pace };
        let run =
            control_loop(&warm_up, wait, &mut robot, Yardstick::default(), samples).map_err(|error| anyhow!("{error}"))?;
        let usual_us = Quantiles::of(&sorted_us(&samples[..run], |tick| tick.own_ns)).p50;
        let yardstick = Yardstick::new((usual_us * 1e3) as u64);
        let cpu_clock_us = cpu_clock_us();
        let (stolen, usage) = (stolen_ms(), Usage::of_this_thread());
        let run = control_loop(&plan.pace, wait, &mut robot, yardstick, samples).map_err(|error| anyhow!("{error}"))?;
        let usage = Usage::of_this_thread().since(usage);
        let stolen_ms = stolen.zip(stolen_ms()).map(|(before, after)| after - before);
        let words = in_force.words.clone();
        // What follows allocates: it need not lock memory.
        drop(in_force);
        let ticks = &samples[..run];
        let misses = |cause| ticks.iter().filter(|tick| tick.miss(plan.pace.period_ns) == Some(cause)).count();
        let quantiles = |ns: fn(&Tick) -> u32| Quantiles::of(&sorted_us(ticks, ns));
        let act = sorted_us(ticks, |tick| tick.act_ns);
        Ok(Ok(Measured {
            in_force: words,
            run,
            histogram: histogram(&act),
            act: times(&act),
            advance: quantiles(|tick| tick.advance_ns),
            whole: times(&sorted_us(ticks, |tick| tick.whole_ns)),
            late: quantiles(|tick| tick.late_ns),
            own: quantiles(|tick| tick.own_ns),
            missed_own: misses(Miss::OwnCode),
            yardstick_over: ticks.iter().filter(|tick| u64::from(tick.yardstick_ns) > plan.pace.period_ns).count(),
            yardstick: quantiles(|tick| tick.yardstick_ns),
            missed_late: misses(Miss::LateWake),
            missed_preempted: misses(Miss::Preempted),
            involuntary_switches: usage.involuntary_switches,
            page_faults: usage.page_faults,
            stolen_ms,
            cpu_clock_us,
        }))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("control".to_string()).spawn_scoped(scope, control);
        let thread = thread.context("cannot start the control thread")?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn sorted_us(ticks: &[Tick], ns: fn(&Tick) -> u32) -> Vec<f64> {
    let mut times: Vec<f64> = ticks.iter().map(|tick| f64::from(ns(tick)) / 1e3).collect();
    times.sort_by(f64::total_cmp);
    times
}

fn times(sorted_us: &[f64]) -> Times {
    Times { quantiles: Quantiles::of(sorted_us), slower_than: slower_than(sorted_us) }
}

/// The median time of one reading of the clock of CPU time, which the whole tick contains.
fn cpu_clock_us() -> f64 {
    let mut times: Vec<f64> = Vec::with_capacity(101);
    for _ in 0..101 {
        let before = super::control::monotonic_ns();
        black_box(thread_cpu_ns());
        times.push((super::control::monotonic_ns() - before) as f64 / 1e3);
    }
    Quantiles::of(&times).p50
}

/// Time stolen from all cores since the machine started, in steps of the kernel's tick of accounting.
fn stolen_ms() -> Option<f64> {
    let ticks_per_s = sysconf(SysconfVar::CLK_TCK).ok()?? as f64;
    Some(stolen_ticks(&std::fs::read_to_string("/proc/stat").ok()?)? * 1e3 / ticks_per_s)
}

/// `cpu  user nice system idle iowait irq softirq steal …`, proc(5).
fn stolen_ticks(stat: &str) -> Option<f64> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    all.split_whitespace().nth(7)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Common;
    use crate::tail::Options;
    use clap::Parser;

    #[test]
    fn steal_is_the_eighth_field_of_all_cores() {
        assert_eq!(stolen_ticks("cpu  1 2 3 4 5 6 7 46518 0 0\ncpu0 1 1 1 1 1 1 1 9 0 0\n"), Some(46518.0));
        assert_eq!(stolen_ticks("cpu  1 2 3 4\n"), None, "a kernel that does not say");
        assert_eq!(stolen_ticks(""), None);
    }

    #[test]
    fn every_pair_is_a_row_and_accounts_for_every_tick() {
        #[derive(Parser)]
        struct Cli {
            #[command(flatten)]
            options: Options,
        }
        let Cli { options } = Cli::parse_from(["tail", "--seconds", "0.02", "--size", "small", "--hogs", "1"]);
        let plan = Plan::new(&Common::default(), options).unwrap();
        let rows = plan.measure().unwrap();
        let pairs: Vec<_> = rows.iter().map(|row| (row.condition, row.setup)).collect();
        assert_eq!(pairs, Condition::ALL.map(|condition| Setup::ALL.map(|setup| (condition, setup))).concat());
        for row in &rows {
            let Ok(measured) = &row.outcome else {
                assert_ne!(row.setup, Setup::Plain, "asks for nothing that could be refused");
                continue;
            };
            let missed = measured.missed_own + measured.missed_late + measured.missed_preempted;
            assert!((1..=20).contains(&measured.run) && missed <= measured.run, "{measured:?}");
            assert!(missed > 0 || measured.run == 20, "a tick is skipped only after a miss: {measured:?}");
            assert!(measured.whole.quantiles.max >= measured.act.quantiles.max && measured.own.p50 > 0.0);
            assert_eq!(measured.act.slower_than.len(), measured.run);
        }
    }
}
