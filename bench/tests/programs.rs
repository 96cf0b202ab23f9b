//! Do the programs do from end to end what they say? Each is run with `--quick --json`, and its JSON has to be whole: every row, every
//! number finite and in order. How long anything took is not looked at: this also holds on a machine that is busy with other things.

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

const ROOFLINE: &str = env!("CARGO_BIN_EXE_roofline");
const TAIL: &str = env!("CARGO_BIN_EXE_tail");

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// A file of this test's own.
fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("dreamstep-programs-{}-{name}", std::process::id()))
}

/// What the program wrote as JSON and printed, with these arguments beside `--quick --json`.
fn result(program: &str, name: &str, arguments: &[&str]) -> (Value, String) {
    let path = file(&format!("{name}.json"));
    let output = run(program, &[&["--quick", "--json", path.to_str().unwrap()], arguments].concat());
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    (serde_json::from_str(&text).unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn rows(result: &Value, table: usize) -> &[Value] {
    result["tables"][table]["rows"].as_array().unwrap_or_else(|| panic!("table {table}: {result}"))
}

fn number(row: &Value, column: &str) -> f64 {
    row[column].as_f64().filter(|value| value.is_finite()).unwrap_or_else(|| panic!("`{column}`: {row}"))
}

/// `what`'s columns rise from p50 to the maximum.
#[cfg(target_os = "linux")]
fn rising(row: &Value, what: &str, quantiles: &[&str]) {
    let values: Vec<_> = quantiles.iter().map(|quantile| number(row, &format!("{what} µs {quantile}"))).collect();
    assert!(values[0] >= 0.0 && values.is_sorted(), "{what}: {row}");
}

/// The error of a run that has to fail, without its prefix.
fn error(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty() && text.lines().count() == 1, "{arguments:?}: {text}");
    text.trim_end().strip_prefix("error: ").unwrap_or_else(|| panic!("{text}")).to_string()
}

#[test]
fn roofline_times_every_precision_on_every_back_end() {
    let (result, text) = result(ROOFLINE, "roofline", &["--size", "small"]);
    assert_eq!(result["program"], "roofline");
    let backends = result["machine"]["backends"].as_array().unwrap().len();
    for table in [0, 1] {
        assert_eq!(rows(&result, table).len(), 4 * backends);
    }
    for row in rows(&result, 0) {
        for column in ["step µs p50", "step µs min", "load µs p50", "load µs min", "step / load", "min / min", "to f32"]
        {
            assert!(number(row, column) > 0.0, "{column}: {row}");
        }
        assert!(number(row, "step µs min") <= number(row, "step µs p50"), "{row}");
        let itself = row["precision"] == "f32";
        assert!(!itself || number(row, "to f32") == 1.0, "{row}");
    }
    for row in rows(&result, 1) {
        assert!(number(row, "N = 1, µs min") <= number(row, "N = 1, µs p50") && number(row, "64 to 1") > 0.0, "{row}");
    }
    assert!(text.contains("## Whole step over a load of its weights, small (64)\n"), "{text}");
}

#[test]
fn roofline_times_the_walker_without_its_mlp() {
    let (result, text) = result(ROOFLINE, "roofline-humanoid", &[]);
    let backends = result["machine"]["backends"].as_array().unwrap().len();
    assert_eq!(rows(&result, 2).len(), backends);
    for row in rows(&result, 2) {
        for column in ["MLP µs p50", "MLP µs min", "identity µs p50", "identity µs min", "MLP / identity", "min / min"] {
            assert!(number(row, column) > 0.0, "{column}: {row}");
        }
    }
    assert!(text.contains("## A step of the shipped walker in f32, its V an MLP or the identity\n"), "{text}");
}

#[test]
fn roofline_times_an_encoder_of_pictures() {
    let (result, text) = result(ROOFLINE, "roofline-pictures", &["--pictures"]);
    let backends = result["machine"]["backends"].as_array().unwrap();
    let timed = backends.iter().filter(|name| name.as_str().is_some_and(|name| name.starts_with("avx"))).count();
    assert_eq!(rows(&result, 0).len(), 4 * timed);
    for row in rows(&result, 0) {
        for column in ["picture µs p50", "limit µs p50", "picture / limit", "min / min", "to f32", "frame / picture"] {
            assert!(number(row, column) > 0.0, "{column}: {row}");
        }
    }
    assert!(text.contains("## A look at a picture over its multiply-adds alone, 64 x 64 x 3\n"), "{text}");
}

#[test]
fn roofline_times_a_gru_too() {
    let (result, text) = result(ROOFLINE, "roofline-gru", &["--size", "small", "--cell", "gru"]);
    let backends = result["machine"]["backends"].as_array().unwrap().len();
    assert_eq!(rows(&result, 0).len(), 4 * backends);
    assert!(rows(&result, 0).iter().all(|row| number(row, "step / load") > 0.0));
    assert!(text.contains("## Whole step over a load of its weights, small (64), GRU\n"), "{text}");
    assert!(text.contains("Encoder + controller + GRU; "), "{text}");
    let output = run(ROOFLINE, &["--cell", "elman"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("expected lstm or gru, found elman"), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn tail_measures_the_whole_matrix_or_says_why_not() {
    let svg = file("tail.svg");
    let (result, text) = result(TAIL, "tail", &["--svg", svg.to_str().unwrap()]);
    let picture = std::fs::read_to_string(&svg).unwrap();
    std::fs::remove_file(svg).unwrap();
    assert_eq!(result["program"], "tail");
    let names: Vec<_> = ["idle", "hogs"].map(|c| ["plain", "pinned", "realtime"].map(|s| (c, s))).concat();
    for table in 0..3 {
        let found: Vec<_> = rows(&result, table).iter().map(|row| (&row["condition"], &row["set-up"])).collect();
        assert!(found.iter().zip(&names).all(|(row, name)| row.0 == name.0 && row.1 == name.1), "{found:?}");
        assert_eq!(found.len(), names.len());
    }
    for (at, (condition, setup)) in names.iter().enumerate() {
        let [code, ticks, deadlines] = [0, 1, 2].map(|table| &rows(&result, table)[at]);
        assert!(text.contains(&format!("### act, {condition}, {setup}\n")), "{text}");
        let words = deadlines["in force"].as_str().unwrap();
        if code["act µs p50"].is_null() {
            // Plain asks for nothing that could be refused.
            assert!(*setup != "plain" && words.starts_with("not measured: "), "{deadlines}");
            assert!(ticks["tick µs max"].is_null() && deadlines["ticks run"].is_null(), "{ticks} {deadlines}");
            continue;
        }
        assert!(!words.starts_with("not measured") && picture.contains(&format!("{condition}, {setup}")), "{words}");
        let quantiles = ["p50", "p90", "p99", "p99.9", "max"];
        for (row, what) in [(code, "act"), (code, "advance"), (ticks, "late"), (ticks, "tick")] {
            rising(row, what, &quantiles);
        }
        rising(deadlines, "own CPU", &["p50", "p99.9", "max"]);
        let ratio = number(code, "act µs p99.9") / number(code, "act µs p50");
        // Numbers read from JSON may be off by their last bit.
        assert!((number(code, "act p99.9 / p50") / ratio - 1.0).abs() < 1e-12, "{code}");
        // A tick holds its lateness and its act.
        assert!(number(ticks, "tick µs max") >= number(ticks, "late µs max").max(number(code, "act µs max")));
        // --quick: a tenth of a second at 1 kHz.
        assert_eq!(number(deadlines, "ticks due"), 100.0);
        assert_eq!(number(deadlines, "ticks run") + number(deadlines, "skipped"), 100.0);
        let missed = ["own code", "woken late", "preempted"].map(|cause| number(deadlines, &format!("missed: {cause}")));
        let missed: f64 = missed.iter().sum();
        assert!(
            missed <= number(deadlines, "ticks run") && (missed > 0.0 || number(deadlines, "skipped") == 0.0),
            "{deadlines}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn tail_runs_the_row_that_was_asked_for() {
    let arguments = ["--condition", "hogs", "--setup", "plain", "--hogs", "1", "--rate-hz", "200", "--seconds", "0.05"];
    let more = ["--precision", "i8", "--size", "small", "--wait", "hybrid"];
    let (result, text) = result(TAIL, "one-row", &[&arguments[..], &more].concat());
    assert_eq!(rows(&result, 2).len(), 1);
    let row = &rows(&result, 2)[0];
    assert_eq!((&row["condition"], &row["set-up"], number(row, "ticks due")), (&"hogs".into(), &"plain".into(), 10.0));
    assert!(text.contains("200 Hz, 10 ticks, small (64), i8, ") && text.contains("until 100 µs before"), "{text}");
}

#[test]
fn tail_refuses_what_makes_no_sense_in_one_line() {
    assert_eq!(error(TAIL, &["--rate-hz", "0"]), "--rate-hz: expected 1 to 100000 (a period of at least 10 µs), found 0");
    assert_eq!(
        error(TAIL, &["--rate-hz", "100001"]),
        "--rate-hz: expected 1 to 100000 (a period of at least 10 µs), found 100001"
    );
    assert_eq!(error(TAIL, &["--seconds", "0"]), "--seconds: expected more than 0, found 0");
    assert!(error(TAIL, &["--seconds", "86400"]).ends_with("ticks (240 MB of samples), found 86400000"));
    if cfg!(target_os = "linux") {
        assert!(error(TAIL, &["--quick", "--core", "99999"]).starts_with("--core: expected one of ["));
    } else {
        assert!(error(TAIL, &["--quick"]).starts_with("tail: expected Linux"));
    }
}
