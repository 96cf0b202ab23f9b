//! The loop of a robot: wait for the tick's due time, `act`, command out, `advance`. What does each part take, and does the loop itself
//! stay out of the way? It allocates nothing, and its clocks are read where they delay neither `act` nor `advance`.

use crate::tail::Wait;
use crate::tail::pace::{Pace, Tick};
use dreamstep_runtime::{Agent, StepError};
use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};
use std::hint::{black_box, spin_loop};

/// How long before a tick is due `hybrid` stops sleeping.
const SPIN_NS: u64 = 100_000;

/// What a tick does.
pub trait Body {
    /// From the observation to the command, which is out when this returns.
    ///
    /// # Errors
    /// The tick cannot be run; the loop ends with this.
    fn act(&mut self, tick: usize) -> Result<(), StepError>;

    /// What can wait until the command is out.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    fn advance(&mut self) -> Result<(), StepError>;
}

/// An agent, the observations it is given in turn, and where its command goes.
pub struct Robot<'r, 'm, 'f> {
    /// The agent.
    pub agent: Agent<'m, 'f>,
    /// At least one.
    pub observations: &'r [Vec<f32>],
    /// The command.
    pub action: &'r mut [f32],
}

impl Body for Robot<'_, '_, '_> {
    #[inline(always)]
    fn act(&mut self, tick: usize) -> Result<(), StepError> {
        let observation = &self.observations[tick % self.observations.len()];
        self.agent.act(black_box(observation), self.action)?;
        black_box(&mut *self.action);
        Ok(())
    }

    #[inline(always)]
    fn advance(&mut self) -> Result<(), StepError> {
        self.agent.advance()
    }
}

/// Work of a constant length that needs nothing but a core: additions, each of which waits for the one before. It runs after each tick;
/// where it takes longer than it can, something took the core from it, and what did that does it to the tick's own code too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Yardstick {
    additions: u64,
}

impl Yardstick {
    /// About `ns` nanoseconds long on an undisturbed core.
    #[must_use]
    pub fn new(ns: u64) -> Self {
        let trial = Self { additions: 100_000 };
        let shortest = (0..20).map(|_| {
            let start = monotonic_ns();
            trial.run();
            monotonic_ns() - start
        });
        Self { additions: trial.additions * ns / shortest.min().unwrap_or(1).max(1) }
    }

    #[inline(always)]
    fn run(self) {
        let mut sum = 0_u64;
        for addition in 0..self.additions {
            sum = black_box(sum.wrapping_add(addition));
        }
    }
}

/// Runs every tick of `pace` that can be run ([`Pace::after`] says which are skipped) and writes what each took to the front of
/// `samples`; returns how many ticks were run. Allocates nothing.
///
/// # Errors
/// The body's.
///
/// # Panics
/// If `samples` is shorter than the number of ticks, or the kernel lacks a clock that every Linux has.
pub fn control_loop(
    pace: &Pace,
    wait: Wait,
    body: &mut impl Body,
    yardstick: Yardstick,
    samples: &mut [Tick],
) -> Result<usize, StepError> {
    assert!(samples.len() >= pace.ticks, "samples: expected room for {} ticks, found {}", pace.ticks, samples.len());
    let start = monotonic_ns() + pace.period_ns;
    let (mut tick, mut run) = (0, 0);
    while tick < pace.ticks {
        let due = start + pace.due_ns(tick);
        wait_until(wait, due);
        let woke = monotonic_ns();
        // The clock of CPU time is a system call: it stays outside of what is timed as `act` and `advance`. One reading is part of the
        // whole tick, two halves are part of the CPU time.
        let cpu = thread_cpu_ns();
        let begin = monotonic_ns();
        body.act(tick)?;
        let acted = monotonic_ns();
        body.advance()?;
        let end = monotonic_ns();
        let measured = thread_cpu_ns();
        yardstick.run();
        let yardstick_ns = thread_cpu_ns() - measured;
        samples[run] = Tick {
            late_ns: ns(woke - due),
            act_ns: ns(acted - begin),
            advance_ns: ns(end - acted),
            whole_ns: ns(end - due),
            own_ns: ns(measured - cpu),
            yardstick_ns: ns(yardstick_ns),
        };
        run += 1;
        tick = pace.after(tick, end - start);
    }
    Ok(run)
}

/// As many as 32 bits hold.
fn ns(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Returns at `due_ns` of the monotonic clock or later, never earlier.
fn wait_until(wait: Wait, due_ns: u64) {
    match wait {
        Wait::Sleep => sleep_until(due_ns),
        Wait::Spin => spin_until(due_ns),
        Wait::Hybrid => {
            sleep_until(due_ns.saturating_sub(SPIN_NS));
            spin_until(due_ns);
        }
    }
}

fn sleep_until(due_ns: u64) {
    let due = TimeSpec::new((due_ns / 1_000_000_000) as _, (due_ns % 1_000_000_000) as _);
    loop {
        match clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &due) {
            Ok(_) => break,
            // A signal; the due time is absolute, so that nothing has to be computed anew.
            Err(Errno::EINTR) => {}
            Err(error) => panic!("clock_nanosleep until {due_ns} ns: {error}"),
        }
    }
}

fn spin_until(due_ns: u64) {
    while monotonic_ns() < due_ns {
        spin_loop();
    }
}

/// The monotonic clock; without a system call where the kernel's clock source allows.
#[must_use]
pub fn monotonic_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// CPU time of this thread.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

#[inline(always)]
fn read(clock: ClockId) -> u64 {
    let time = clock.now().expect("a clock that every Linux has");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// What the kernel counted for this thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How often the core was taken from it.
    pub involuntary_switches: usize,
    /// How often memory that it touched was not mapped.
    pub page_faults: usize,
}

impl Usage {
    /// Since the thread began.
    ///
    /// # Panics
    /// If the kernel does not know its own call.
    #[must_use]
    pub fn of_this_thread() -> Self {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("Linux 2.6.26 or later");
        Self {
            involuntary_switches: usage.involuntary_context_switches() as usize,
            page_faults: (usage.minor_page_faults() + usage.major_page_faults()) as usize,
        }
    }

    /// Since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            involuntary_switches: self.involuntary_switches - earlier.involuntary_switches,
            page_faults: self.page_faults - earlier.page_faults,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::pace::Miss;
    use std::time::Duration;

    /// Does `act` and remembers for which ticks.
    struct Slow {
        act: fn(),
        ran: Vec<usize>,
    }

    impl Body for Slow {
        fn act(&mut self, tick: usize) -> Result<(), StepError> {
            self.ran.push(tick);
            (self.act)();
            Ok(())
        }

        fn advance(&mut self) -> Result<(), StepError> {
            Ok(())
        }
    }

    /// Holds on however loaded the machine is: work is counted in CPU time, and a sleep takes hardly any.
    #[test]
    fn work_is_our_own_fault_and_waiting_is_not() {
        fn work() {
            let start = thread_cpu_ns();
            while thread_cpu_ns() - start < 25_000_000 {}
        }
        fn doze() {
            std::thread::sleep(Duration::from_millis(25));
        }
        let pace = Pace { period_ns: 10_000_000, ticks: 12 };
        for (act, own) in [(work as fn(), true), (doze, false)] {
            let mut samples = vec![Tick::default(); pace.ticks];
            let mut body = Slow { act, ran: Vec::new() };
            let run = control_loop(&pace, Wait::Sleep, &mut body, Yardstick::default(), &mut samples).unwrap();
            assert_eq!(run, body.ran.len());
            // Each tick lasts into the third period, so that at least two are skipped.
            assert!(
                run <= 4 && body.ran[0] == 0 && body.ran.windows(2).all(|pair| pair[1] >= pair[0] + 3),
                "{:?}",
                body.ran
            );
            for tick in &samples[..run] {
                assert_eq!(tick.miss(pace.period_ns) == Some(Miss::OwnCode), own, "{tick:?}");
                // The clock of CPU time is not the monotonic one: they may differ by a little.
                assert!(tick.miss(pace.period_ns).is_some() && tick.act_ns > 24_000_000 && tick.whole_ns > tick.act_ns);
            }
        }
    }

    #[test]
    fn the_yardstick_has_the_length_asked_for() {
        let shortest = |ns| {
            let yardstick = Yardstick::new(ns);
            let times = (0..20).map(|_| {
                let start = monotonic_ns();
                yardstick.run();
                monotonic_ns() - start
            });
            times.min().unwrap()
        };
        let [short, long] = [50_000, 500_000].map(shortest);
        // Wide, since a busy machine's clock varies; the two differ tenfold.
        assert!((20_000..200_000).contains(&short) && long > 3 * short, "{short} {long}");
    }

    #[test]
    fn no_way_of_waiting_returns_early() {
        for wait in [Wait::Sleep, Wait::Spin, Wait::Hybrid] {
            for ahead_ns in [0, 50_000, 300_000] {
                let due = monotonic_ns() + ahead_ns;
                wait_until(wait, due);
                assert!(monotonic_ns() >= due, "{wait:?}, {ahead_ns}");
            }
            // Long past.
            wait_until(wait, 0);
        }
    }

    #[test]
    fn every_tick_is_run_where_none_is_late() {
        let pace = Pace { period_ns: 20_000_000, ticks: 5 };
        let mut samples = vec![Tick::default(); pace.ticks];
        let mut body = Slow { act: || (), ran: Vec::new() };
        let run = control_loop(&pace, Wait::Sleep, &mut body, Yardstick::default(), &mut samples).unwrap();
        let missed = samples[..run].iter().any(|tick| tick.miss(pace.period_ns).is_some());
        // A machine that is busy with other things may be late.
        assert!(missed || body.ran == [0, 1, 2, 3, 4], "{:?}", body.ran);
        assert!(samples.iter().all(|tick| tick.whole_ns >= tick.late_ns + tick.act_ns + tick.advance_ns));
    }
}
