//! What `evaluate` says of its episodes is what numpy finds; by default they are the protocol's: 100, on seeds 1000 to 1099.

mod common;

use common::python;
use serde_json::Value;
use std::process::Command;

fn evaluate(args: &[&str]) -> String {
    let agent = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/data/humanoid.safetensors");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dreamstep"));
    let output = command.args(["evaluate", "--env", "Humanoid-v5", "--agent", agent]).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_statistics_are_numpys() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let text = evaluate(&["--baselines", "--json"]);
    std::fs::write(&file, &text).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&report["episodes"], &report["seed"]), (&100.into(), &1000.into()));
    let script = python::script("evaluate_reference.py");
    let found = python::run(&[script.to_str().unwrap(), file.to_str().unwrap()]);
    let expected: Value = serde_json::from_slice(&found).unwrap();
    let rows = expected.as_array().unwrap();
    assert_eq!(rows.len(), 3);
    let close = |found: &Value, expected: &Value, what: &str| {
        let [found, expected] = [found, expected].map(|v| v.as_f64().unwrap());
        assert!((found - expected).abs() <= 1e-11 * expected.abs(), "{what}: {found}, numpy {expected}");
    };
    for (row, expected) in report["rows"].as_array().unwrap().iter().zip(rows) {
        assert_eq!((&row["policy"], row["outcomes"].as_array().unwrap().len()), (&expected["policy"], 100));
        for quantity in ["return", "length", "distance_m"] {
            let (found, expected) = (&row[quantity], &expected[quantity]);
            for figure in ["mean", "standard_error", "iqm"] {
                close(&found[figure], &expected[figure], &format!("{} {quantity} {figure}", row["policy"]));
            }
            let [low, high] = [0, 1].map(|end| found["iqm_interval"][end].as_f64().unwrap());
            assert!(low < found["iqm"].as_f64().unwrap() && found["iqm"].as_f64().unwrap() < high, "{found}");
            for end in 0..2 {
                close(&found["iqm_interval"][end], &expected["iqm_interval"][end], &format!("{} {quantity}", row["policy"]));
            }
        }
    }
    // The table has the same figures.
    let table = evaluate(&[]);
    let summary = &report["rows"][2]["return"];
    let [mean, error, iqm] = ["mean", "standard_error", "iqm"].map(|figure| summary[figure].as_f64().unwrap());
    let [low, high] = [0, 1].map(|end| summary["iqm_interval"][end].as_f64().unwrap());
    let line = table.lines().find(|line| line.starts_with("agent")).unwrap();
    let words = format!("agent return {mean:.1} ± {error:.1} {iqm:.1} [{low:.1}, {high:.1}]");
    assert_eq!(line.split_whitespace().collect::<Vec<_>>().join(" "), words);
}
