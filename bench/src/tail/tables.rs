//! What is said of the rows: `act` and `advance`, the tick from its due time, deadlines. A row without a measurement says why.

use crate::report::{Cell, Table};
use crate::tail::distribution::Quantiles;
use crate::tail::{Condition, Measured, Plan, Row, Setup, Wait};
use dreamstep_runtime::Backend;

const QUANTILES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

impl Plan {
    /// What was run, in a line.
    #[must_use]
    pub fn title(&self) -> String {
        let options = &self.options;
        let names = [options.size.name(), options.precision.name(), Backend::detect().name()].join(", ");
        format!("{} Hz, {} ticks, {names}", options.rate_hz, self.pace.ticks)
    }
}

/// The tables of a run, in the order in which they are read.
#[must_use]
pub fn tables(plan: &Plan, rows: &[Row]) -> Vec<Table> {
    vec![code(plan, rows), ticks(plan, rows), deadlines(plan, rows)]
}

/// A table whose rows begin with their names; `columns` of them follow, missing where nothing was measured.
fn table(title: &str, columns: &[String], rows: &[Row], cells: impl Fn(&Measured) -> Vec<Cell>) -> Table {
    let names: Vec<&str> = ["condition", "set-up"].into_iter().chain(columns.iter().map(String::as_str)).collect();
    let mut table = Table::new(title, &names);
    for row in rows {
        let values = match &row.outcome {
            Ok(measured) => cells(measured),
            Err(_) => vec![Cell::Missing; columns.len()],
        };
        table.row([row.condition.name().into(), row.setup.name().into()].into_iter().chain(values));
    }
    table
}

fn named(what: &str) -> impl Iterator<Item = String> {
    QUANTILES.map(|quantile| format!("{what} µs {quantile}")).into_iter()
}

fn us(quantiles: &Quantiles) -> impl Iterator<Item = Cell> {
    quantiles.all().map(|value| Cell::Number(value, 1)).into_iter()
}

fn code(plan: &Plan, rows: &[Row]) -> Table {
    let columns: Vec<_> = named("act").chain(["act p99.9 / p50".to_string()]).chain(named("advance")).collect();
    let mut table = table(&format!("Observed times of act and advance, {}", plan.title()), &columns, rows, |measured| {
        let act = &measured.act.quantiles;
        us(act).chain([Cell::Number(act.p999 / act.p50, 2)]).chain(us(&measured.advance)).collect()
    });
    table.note(
        "Observed in this run: a maximum is the largest that was met, not a worst case. Wall-clock times: what interrupts and other \
         threads took in between is in them.",
    );
    table
}

fn ticks(plan: &Plan, rows: &[Row]) -> Table {
    let columns: Vec<_> = named("late").chain(named("tick")).collect();
    let mut table =
        table(&format!("Observed times of a tick from its due time, {}", plan.title()), &columns, rows, |measured| {
            us(&measured.late).chain(us(&measured.whole.quantiles)).collect()
        });
    let wait = match plan.options.wait {
        Wait::Sleep => "clock_nanosleep until the due time",
        Wait::Spin => {
            "reading the clock until the due time, which under SCHED_FIFO keeps the core for the loop alone, so that the kernel may stop it"
        }
        Wait::Hybrid => "clock_nanosleep until 100 µs before the due time, then reading the clock",
    };
    table.note(format!(
        "Late: from the due time to the time the loop woke; tick: from the due time to the end of advance. The loop waits by {wait}."
    ));
    if let Some(measured) = rows.iter().find_map(|row| row.outcome.as_ref().ok()) {
        table.note(format!("A tick contains one reading of the clock of CPU time, {:.2} µs here.", measured.cpu_clock_us));
    }
    table
}

fn deadlines(plan: &Plan, rows: &[Row]) -> Table {
    let columns = [
        "ticks due",
        "ticks run",
        "skipped",
        "missed: own code",
        "missed: woken late",
        "missed: preempted",
        "own CPU µs p50",
        "own CPU µs p99.9",
        "own CPU µs max",
        "yardstick: over the period",
        "yardstick µs p50",
        "yardstick µs p99.9",
        "yardstick µs max",
        "involuntary switches",
        "page faults",
        "stolen ms",
    ];
    let due = plan.pace.ticks;
    // Not by `table`: the last column has words where nothing was measured.
    let names: Vec<&str> = ["condition", "set-up"].into_iter().chain(columns).chain(["in force"]).collect();
    let mut table = Table::new(&format!("Deadlines, {}", plan.title()), &names);
    for row in rows {
        let mut cells = vec![Cell::from(row.condition.name()), row.setup.name().into()];
        match &row.outcome {
            Ok(m) => {
                cells.extend([due, m.run, due - m.run, m.missed_own, m.missed_late, m.missed_preempted].map(Cell::from));
                cells.extend([m.own.p50, m.own.p999, m.own.max].map(|value| Cell::Number(value, 1)));
                cells.push(m.yardstick_over.into());
                cells.extend([m.yardstick.p50, m.yardstick.p999, m.yardstick.max].map(|value| Cell::Number(value, 1)));
                cells.extend([m.involuntary_switches, m.page_faults].map(Cell::from));
                cells.push(m.stolen_ms.map_or(Cell::Missing, |ms| Cell::Number(ms, 0)));
                cells.push(m.in_force.as_str().into());
            }
            Err(words) => {
                cells.extend(columns.map(|_| Cell::Missing));
                cells.push(format!("not measured: {words}").into());
            }
        }
        table.row(cells);
    }
    table.note(
        "A tick has missed its deadline where it ended after the next one was due. Own code: the CPU time of act and advance is more than \
         the period. Woken late: what was left of the period did not hold that CPU time. Preempted: it did, and the core was away between \
         wake-up and end. The last two are the scheduler's or the host's. Skipped: ticks that were past by the time one had missed its \
         deadline; due, never run.",
    );
    table.note(
        "CPU time is the kernel's: on many, time in interrupts, and stolen time that the host does not report, counts as the thread's, so \
         that own code is an upper bound. The yardstick shows by how much: after each tick, additions that need nothing but a core, as \
         long as act and advance usually are; what takes the core from them takes it from act and advance as often. Stolen: from all cores, in steps of the kernel's accounting (10 ms on most).",
    );
    if rows.iter().any(|row| row.condition == Condition::Hogs) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        table.note(format!(
            "Hogs: {} threads at normal priority, each writing over 16 MiB, on any of {cores} cores, the control thread's too.",
            plan.options.hogs
        ));
    }
    if rows.iter().any(|row| row.setup == Setup::Realtime) {
        table.note("A set-up that is not permitted as a whole is not measured; the latency request alone may be missing from realtime.");
    }
    table
}

/// For a terminal: `act` of every row by time.
#[must_use]
pub fn histograms(rows: &[Row]) -> String {
    let one = |row: &Row| {
        let text = match &row.outcome {
            Ok(measured) => format!("```text\n{}```\n", measured.histogram),
            Err(words) => format!("Not measured: {words}.\n"),
        };
        format!("### act, {}\n\n{text}", row.name())
    };
    let texts: Vec<_> = rows.iter().map(one).collect();
    format!("## Ticks by time of act, bars logarithmic\n\n{}", texts.join("\n"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::Common;
    use crate::tail::{Options, Times};
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    /// One that was measured, one that was refused.
    pub(in crate::tail) fn rows() -> (Plan, [Row; 2]) {
        let Cli { options } = Cli::parse_from(["tail", "--seconds", "0.01", "--rate-hz", "500"]);
        let plan = Plan::new(&Common::default(), options).unwrap();
        let quantiles = Quantiles { p50: 10.0, p90: 11.0, p99: 12.0, p999: 25.0, max: 30.0 };
        let times = || Times { quantiles, slower_than: vec![(30.0, 1.0)] };
        let measured = Measured {
            in_force: "core 1".to_string(),
            run: 3,
            act: times(),
            advance: quantiles,
            whole: times(),
            late: quantiles,
            own: quantiles,
            missed_own: 0,
            yardstick_over: 0,
            yardstick: quantiles,
            missed_late: 1,
            missed_preempted: 0,
            involuntary_switches: 7,
            page_faults: 0,
            stolen_ms: None,
            cpu_clock_us: 0.25,
            histogram: "a histogram\n".to_string(),
        };
        let row = |setup, outcome| Row { condition: Condition::Idle, setup, outcome };
        let refused = Err("SCHED_FIFO: not permitted (EPERM)".to_string());
        (plan, [row(Setup::Pinned, Ok(measured)), row(Setup::Realtime, refused)])
    }

    #[test]
    fn a_refused_row_has_no_numbers_and_says_why() {
        let (plan, rows) = rows();
        let texts: Vec<_> = tables(&plan, &rows).iter().map(Table::markdown).collect();
        for text in &texts {
            let refused = text.lines().find(|line| line.contains("| realtime")).unwrap();
            assert!(!refused.chars().any(|c| c.is_ascii_digit()), "{refused}");
        }
        assert!(texts[2].contains("not measured: SCHED_FIFO: not permitted (EPERM)"), "{}", texts[2]);
        assert!(histograms(&rows).contains("### act, idle, realtime\n\nNot measured: SCHED_FIFO: not permitted (EPERM).\n"));
        assert!(histograms(&rows).contains("### act, idle, pinned\n\n```text\na histogram\n```\n"));
    }

    #[test]
    fn a_measured_row_has_all_of_its_numbers() {
        let (plan, rows) = rows();
        let texts: Vec<_> = tables(&plan, &rows).iter().map(Table::markdown).collect();
        let cells = |text: &str| {
            let line = text.lines().find(|line| line.starts_with("| idle      | pinned")).unwrap();
            line.split('|').map(|cell| cell.trim().to_string()).collect::<Vec<_>>()
        };
        // act's quantiles, p99.9 over p50, advance's.
        assert_eq!(cells(&texts[0])[3..9], ["10.0", "11.0", "12.0", "25.0", "30.0", "2.50"]);
        // Five ticks due, three run, two skipped after one that was woken late.
        assert_eq!(cells(&texts[2])[3..9], ["5", "3", "2", "0", "1", "0"]);
        assert!(texts[0].starts_with("## Observed times of act and advance, 500 Hz, 5 ticks, humanoid (256), f32, "));
    }
}
