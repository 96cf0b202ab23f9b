//! When is a tick due, what was measured of it, and whose fault is a missed deadline?
//!
//! Tick `i` is due at `start + i · period` and has to end by the time tick `i + 1` is due. One that ends later has missed its deadline;
//! the loop then goes on with the next tick that is due in the future, and those in between are *skipped*: due, never run. A robot does
//! the same, since a command for a moment that is past helps nobody, and running late ticks in a burst would delay the next one too.

use anyhow::{Result, ensure};

/// The shortest period: below it, reading clocks is a large part of a tick.
const MIN_PERIOD_NS: u64 = 10_000;
const MAX_RATE_HZ: u32 = (1_000_000_000 / MIN_PERIOD_NS) as u32;

/// Ticks of one run, at most: their samples are kept, [`size_of::<Tick>()`](Tick) bytes each.
pub const MAX_TICKS: usize = 10_000_000;

/// A period and a number of ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Nanoseconds from tick to tick.
    pub period_ns: u64,
    /// Ticks that fall due in a run.
    pub ticks: usize,
}

impl Pace {
    /// `rate_hz` ticks a second for `seconds`.
    ///
    /// # Errors
    /// A rate of 0 or of a period below 10 µs, a time that is not above 0, less than one tick, or more than [`MAX_TICKS`].
    pub fn new(rate_hz: u32, seconds: f64) -> Result<Self> {
        ensure!(
            (1..=MAX_RATE_HZ).contains(&rate_hz),
            "--rate-hz: expected 1 to {MAX_RATE_HZ} (a period of at least {} µs), found {rate_hz}",
            MIN_PERIOD_NS / 1000
        );
        ensure!(seconds.is_finite() && seconds > 0.0, "--seconds: expected more than 0, found {seconds}");
        let ticks = (f64::from(rate_hz) * seconds).round();
        ensure!(
            (1.0..=MAX_TICKS as f64).contains(&ticks),
            "--rate-hz times --seconds: expected 1 to {MAX_TICKS} ticks ({} MB of samples), found {ticks}",
            MAX_TICKS * size_of::<Tick>() / 1_000_000
        );
        let period_ns = (1e9 / f64::from(rate_hz)).round() as u64;
        Ok(Self { period_ns, ticks: ticks as usize })
    }

    /// When `tick` is due, in nanoseconds from the first.
    #[must_use]
    pub fn due_ns(&self, tick: usize) -> u64 {
        tick as u64 * self.period_ns
    }

    /// The tick to run after `tick`, which ended at `end_ns`: the next one, or the first that is due in the future.
    #[must_use]
    pub fn after(&self, tick: usize, end_ns: u64) -> usize {
        let future = end_ns.div_ceil(self.period_ns) as usize;
        future.max(tick + 1)
    }
}

/// What was measured of one tick, in nanoseconds; what took longer than 4.29 s reads as that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// From the time it was due to the time the loop woke.
    pub late_ns: u32,
    /// `act`, until the command is out.
    pub act_ns: u32,
    /// `advance`.
    pub advance_ns: u32,
    /// From the time it was due to the end of `advance`.
    pub whole_ns: u32,
    /// CPU time of the thread over `act` and `advance`: what the code itself took, whoever else ran in between.
    pub own_ns: u32,
    /// CPU time of the yardstick after them.
    pub yardstick_ns: u32,
}

/// Whose fault a missed deadline is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// `act` and `advance` took more CPU time than the period has: no scheduler could have helped.
    OwnCode,
    /// The loop woke so late that the CPU time of its code did not fit any more.
    LateWake,
    /// It woke in time, and its code would have fitted: the core was given to something else, or taken from the virtual machine.
    Preempted,
}

impl Tick {
    /// Whether and why it missed its deadline.
    #[must_use]
    pub fn miss(&self, period_ns: u64) -> Option<Miss> {
        let [late, whole, own] = [self.late_ns, self.whole_ns, self.own_ns].map(u64::from);
        match () {
            () if whole <= period_ns => None,
            () if own > period_ns => Some(Miss::OwnCode),
            () if late + own > period_ns => Some(Miss::LateWake),
            () => Some(Miss::Preempted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_rate_times_seconds() {
        for (rate, seconds, period_ns, ticks) in [
            (1000, 60.0, 1_000_000, 60_000),
            (3, 1.0, 333_333_333, 3),
            (100_000, 0.1, 10_000, 10_000),
            (1, 1.4, 1_000_000_000, 1),
        ] {
            assert_eq!(Pace::new(rate, seconds).unwrap(), Pace { period_ns, ticks });
        }
    }

    #[test]
    fn silly_paces_are_refused_in_one_line() {
        for (rate, seconds, expected) in [
            (0, 1.0, "--rate-hz: expected 1 to 100000 (a period of at least 10 µs), found 0"),
            (100_001, 1.0, "--rate-hz: expected 1 to 100000 (a period of at least 10 µs), found 100001"),
            (1000, 0.0, "--seconds: expected more than 0, found 0"),
            (1000, -1.0, "--seconds: expected more than 0, found -1"),
            (1000, f64::NAN, "--seconds: expected more than 0, found NaN"),
            (1000, f64::INFINITY, "--seconds: expected more than 0, found inf"),
            (1000, 0.0004, "--rate-hz times --seconds: expected 1 to 10000000 ticks (240 MB of samples), found 0"),
            (1000, 86400.0, "--rate-hz times --seconds: expected 1 to 10000000 ticks (240 MB of samples), found 86400000"),
        ] {
            assert_eq!(Pace::new(rate, seconds).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn after_an_overrun_comes_the_first_tick_of_the_future() {
        let pace = Pace { period_ns: 1000, ticks: 100 };
        // (tick, its end, the next): in time, exactly in time, late by a nanosecond, by a tick, by many.
        for (tick, end_ns, next) in [
            (0, 50, 1),
            (5, 5999, 6),
            (5, 6000, 6),
            (5, 6001, 7),
            (5, 7000, 7),
            (5, 7001, 8),
            (5, 99_500, 100),
            (5, 1 << 40, 1_099_511_628),
        ] {
            assert_eq!(pace.after(tick, end_ns), next, "{tick} ended at {end_ns}");
            assert!(pace.due_ns(next) >= end_ns);
        }
    }

    #[test]
    fn a_missed_deadline_has_one_cause() {
        let tick = |late_ns, own_ns, whole_ns| Tick { late_ns, own_ns, whole_ns, ..Tick::default() };
        for (tick, expected) in [
            (tick(10, 50, 70), None),
            // Exactly in time is in time, even where it woke late or was interrupted.
            (tick(950, 50, 1000), None),
            (tick(10, 50, 1000), None),
            // A clock that says the code took more than the whole tick blames nobody while the deadline holds.
            (tick(0, 1001, 1000), None),
            (tick(10, 1001, 1020), Some(Miss::OwnCode)),
            // Late and slow: the code alone would have missed it.
            (tick(900, 1200, 2100), Some(Miss::OwnCode)),
            (tick(10, 1000, 1011), Some(Miss::LateWake)),
            (tick(951, 50, 1001), Some(Miss::LateWake)),
            (tick(5000, 50, 5050), Some(Miss::LateWake)),
            (tick(950, 50, 1001), Some(Miss::Preempted)),
            (tick(10, 50, 4060), Some(Miss::Preempted)),
            // Saturated values do not wrap.
            (tick(u32::MAX, u32::MAX, u32::MAX), Some(Miss::OwnCode)),
            (tick(u32::MAX, 50, u32::MAX), Some(Miss::LateWake)),
        ] {
            assert_eq!(tick.miss(1000), expected, "{tick:?}");
        }
    }
}
