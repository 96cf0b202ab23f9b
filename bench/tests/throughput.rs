//! Does `throughput` do all that it says? Run as people run it, but hardly measuring: every table is there, every cell holds a number
//! that a measurement can have, and what is missing is missing for a reason that the table names. No time decides.
//!
//! That both sides of a comparison did the same is the program's own condition for printing it; that it refuses otherwise is shown by
//! its unit tests.

use serde_json::Value;
use std::process::{Command, Output};

fn throughput(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughput"));
    command.args(arguments).env("OMP_NUM_THREADS", "1").env("OMP_WAIT_POLICY", "passive");
    command.output().expect("the program starts")
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The table whose title begins with `title`.
fn table<'v>(result: &'v Value, title: &str) -> &'v Value {
    let tables = result["tables"].as_array().expect("tables");
    let found = tables.iter().find(|table| table["title"].as_str().is_some_and(|found| found.starts_with(title)));
    found.unwrap_or_else(|| panic!("no table `{title}` in {tables:?}"))
}

fn rows(table: &Value) -> &[Value] {
    table["rows"].as_array().expect("rows")
}

/// Every cell is a word or a number above 0 (from 0, where a column's name says `difference`); null only where `may_lack` says so.
fn check(table: &Value, count: usize, may_lack: impl Fn(&Value, &str) -> bool) {
    assert_eq!(rows(table).len(), count, "{table:#}");
    for row in rows(table) {
        for (column, cell) in row.as_object().expect("a row") {
            let sane = match cell {
                Value::String(text) => !text.is_empty(),
                Value::Number(number) => {
                    number.as_f64().is_some_and(|n| n > 0.0 || (n == 0.0 && column.contains("difference")))
                }
                Value::Null => may_lack(row, column),
                _ => false,
            };
            assert!(sane, "{column}: {cell} in {row:#}");
        }
    }
}

/// Whether `table` says that `what` was not measured.
fn not_measured(table: &Value, what: &str) -> bool {
    let notes = table["notes"].as_array().expect("notes");
    notes
        .iter()
        .any(|note| note.as_str().is_some_and(|note| note.contains(&format!("{what}: not measured: no Python with"))))
}

#[test]
fn everything_is_measured_and_told() {
    let file = std::env::temp_dir().join(format!("dreamstep-throughput-{}.json", std::process::id()));
    let output = throughput(&["--quick", "all", "--json", file.to_str().expect("a path in UTF-8")]);
    assert!(output.status.success(), "{}", error(&output));
    let result: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    std::fs::remove_file(file).unwrap();
    assert_eq!(result["program"], "throughput");
    assert_eq!(result["tables"].as_array().map(Vec::len), Some(8));
    let printed = String::from_utf8(output.stdout).unwrap();

    let simulator = table(&result, "Humanoid-v5, whole episodes");
    check(simulator, 5, |row, column| column == "time to replayed" && row["actions"] != "the agent's, chosen");
    for pair in [[0, 1], [2, 3], [3, 4]] {
        for column in ["steps", "sum of rewards"] {
            assert_eq!(rows(simulator)[pair[0]][column], rows(simulator)[pair[1]][column], "{simulator:#}");
        }
    }
    assert_ne!(rows(simulator)[1]["steps"], rows(simulator)[3]["steps"], "two kinds of episodes");

    let training = table(&result, "One optimiser step");
    let no_torch = not_measured(training, "PyTorch");
    check(training, 3, |_, column| no_torch && (column.contains("PyTorch") || column.contains("difference")));
    assert!(no_torch == printed.contains("PyTorch: not measured"));

    let generation = table(&result, "One generation of PGPE");
    assert!(rows(generation).len() >= 4, "two starts, one thread and two: {generation:#}");
    check(generation, rows(generation).len(), |_, _| false);
    for row in rows(generation) {
        assert!(row["optimiser's share, %"].as_f64().unwrap() < 100.0, "{row:#}");
    }

    let optimiser = table(&result, "The optimiser's own time");
    let no_cma = not_measured(optimiser, "pycma");
    check(optimiser, 3, |row, column| no_cma && (row["optimiser"] == "pycma, diagonal" || column == "time to pycma"));

    let dreams = table(&result, "Ticks of dreams");
    check(dreams, rows(dreams).len(), |_, _| false);
    for who in ["libtorch, cpu", "runtime, f32", "runtime, i8"] {
        for count in [1.0, 7.0, 64.0, 256.0, 1024.0] {
            let has = |row: &Value| row["who dreams"] == who && row["dreams a thread"] == count && row["threads"] == 1.0;
            assert!(rows(dreams).iter().any(has), "{who}, {count} dreams: {dreams:#}");
        }
    }

    check(table(&result, "Gymnasium "), 2, |_, _| false);
    check(table(&result, "CarRacing-v3"), 6, |_, _| false);
    check(table(&result, "A bridged environment"), 2, |row, column| column == "at least" && row["workers"] == 1.0);
}

#[test]
fn what_cannot_be_had_is_one_line() {
    let output = throughput(&["training", "--quick", "--python", "/nowhere/python"]);
    let error = error(&output);
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(error.starts_with("error: training: /nowhere/python: cannot start: "), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}
