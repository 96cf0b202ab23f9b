//! Does the program `peers` run from end to end, and say in one line what it lacks?

use serde_json::Value;
use std::process::{Command, Output};

fn peers(arguments: &[&str], library: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peers"));
    if let Some(library) = library {
        command.env("ORT_DYLIB_PATH", library);
    }
    command.args(arguments).output().unwrap()
}

#[test]
fn a_quick_run_gives_every_contestant_a_row() {
    let json = std::env::temp_dir().join(format!("dreamstep-peers-{}.json", std::process::id()));
    let output = peers(&["--quick", "--size", "small", "--json", json.to_str().unwrap()], None);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let value: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    std::fs::remove_file(json).unwrap();

    let [step, headline] = &value["tables"].as_array().unwrap()[..] else { panic!("tables: {value}") };
    let rows = step["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 5 + 12);
    let number = |row: &Value, column: &str| row[column].as_f64().unwrap_or_else(|| panic!("{column}: {row}"));
    for row in rows {
        let ours = row["who"].as_str().unwrap().starts_with("dreamstep ");
        assert!(number(row, "step µs min") > 0.0 && number(row, "fastest peer / this") > 0.0);
        assert!(number(row, "worst error, ppm of the range") > 0.0, "{row}");
        assert!(!ours || number(row, "allocations a step") == 0.0, "{row}");
    }
    assert_eq!(number(&rows[0], "to our f32"), 1.0);
    // The best peer in each kind of weights, and our four precisions against it.
    assert_eq!(headline["rows"].as_array().unwrap().len(), 2);
    for row in headline["rows"].as_array().unwrap() {
        assert!(["to f32", "to f16", "to bf16", "to i8"].iter().all(|column| number(row, column) > 0.0), "{row}");
    }
}

#[test]
fn an_encoder_of_pictures_meets_its_peers() {
    let json = std::env::temp_dir().join(format!("dreamstep-peers-pictures-{}.json", std::process::id()));
    let output = peers(&["--quick", "--size", "pictures", "--json", json.to_str().unwrap()], None);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let value: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    std::fs::remove_file(json).unwrap();
    let rows = value["tables"][0]["rows"].as_array().unwrap();
    let (ours, peers): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| row["who"].as_str().unwrap().starts_with("dreamstep "));
    assert!(ours.len() == 5 || ours.len() == 9, "the best back end, AVX2 beside a better one, the portable one: {rows:?}");
    assert_eq!(peers.len(), 7);
    assert!(ours.iter().all(|row| row["allocations a step"].as_f64() == Some(0.0)), "{ours:?}");
    assert_eq!(value["tables"][1]["rows"].as_array().unwrap().len(), 2);
}

#[test]
fn a_missing_library_is_one_line() {
    let output = peers(&["--quick"], Some("/nowhere/libonnxruntime.so"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("error: ORT_DYLIB_PATH=/nowhere/libonnxruntime.so: expected"), "{said}");
}
