//! Every key of the configuration, tried with every kind of bad value.

use super::super::Config;
use super::*;

/// Every leaf of `table` by its full name.
fn leaves(table: &Table, prefix: &str) -> Vec<(String, Value)> {
    let of = |(key, value): (&String, &Value)| match value {
        Value::Table(inner) => leaves(inner, &format!("{prefix}{key}.")),
        value => vec![(format!("{prefix}{key}"), value.clone())],
    };
    table.iter().flat_map(of).collect()
}

fn defaults() -> Vec<(String, Value)> {
    leaves(&Config::default().table().unwrap(), "")
}

fn range_of(key: &str) -> Option<Range> {
    RANGES.iter().find(|(known, _)| *known == key).map(|(_, range)| *range)
}

/// Lists of something else than numbers.
const LISTS: [&str; 7] = [
    "rounds.then",
    "env.recorded.observation",
    "env.recorded.action",
    "env.task.reset",
    "env.task.observe",
    "env.task.reward",
    "env.task.terminate",
];

/// Words of the user's own.
const FREE: [&str; 6] =
    ["env.id", "env.python", "env.mjcf", "env.task.keyframe", "env.task.distance", "env.task.camera.body"];

#[test]
fn every_number_has_a_range_and_every_range_a_number() {
    let mut numbers = 0;
    for (key, value) in defaults() {
        let is_list = value.is_array() && !LISTS.contains(&key.as_str());
        let is_number = value.is_integer() || value.is_float() || is_list;
        assert_eq!(is_number, range_of(&key).is_some(), "{key}");
        numbers += usize::from(is_number);
    }
    assert_eq!(numbers, RANGES.len(), "each once");
}

/// Whether the range of `key` has `value`.
fn is_allowed(key: &str, value: f64) -> bool {
    match range_of(key).unwrap() {
        Whole(least, greatest) => value.fract() == 0.0 && (least as f64..=greatest as f64).contains(&value),
        Real(least, greatest) => (least..=greatest).contains(&value),
        BelowOne => (0.0..1.0).contains(&value),
    }
}

#[test]
fn a_bad_number_is_refused_in_one_line_that_names_the_key() {
    let texts = [
        "0",
        "-1",
        "1",
        "0.5",
        "1e-60",
        "-1e-60",
        "9223372036854775807",
        "1e39",
        "3.5e38",
        "1e308",
        "-1e300",
        "nan",
        "-nan",
        "inf",
        "-inf",
    ];
    for (key, value) in defaults() {
        if range_of(&key).is_none() {
            continue;
        }
        for text in texts {
            let number: f64 = text.parse().unwrap();
            let set = if value.is_array() { format!("{key}=[{text}, {text}]") } else { format!("{key}={text}") };
            match Config::default().overlay("command line", "", std::slice::from_ref(&set)) {
                // What is in the range may still contradict another key.
                Ok(_) => assert!(is_allowed(&key, number), "{set}: was taken"),
                Err(error) => {
                    let error = format!("{error:#}");
                    assert!(error.contains(&key) && !error.contains('\n'), "{set}: {error}");
                    let fits = is_allowed(&key, number) && (text.parse::<i64>().is_ok() || value.is_float());
                    assert!(!fits || error.contains("must be"), "{set}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_value_of_the_wrong_type_is_refused_in_one_line_that_names_the_key() {
    for (key, value) in defaults() {
        for text in ["true", "word", "[[1]]", "[true]", "[\"word\"]", "{ a = 1 }", "1979-05-27", "7"] {
            let set = format!("{key}={text}");
            let is_right = match &value {
                Value::String(_) => FREE.contains(&key.as_str()) && text == "word",
                // A word stands for a table with that `of`.
                Value::Array(_) => key.starts_with("env.task.") && LISTS.contains(&key.as_str()) && text == "[\"word\"]",
                Value::Boolean(_) => text == "true",
                Value::Integer(_) | Value::Float(_) => text == "7",
                _ => false,
            };
            match Config::default().overlay("command line", "", std::slice::from_ref(&set)) {
                Ok(_) => assert!(is_right, "{set}: was taken"),
                Err(error) => {
                    let error = format!("{error:#}");
                    assert!(error.contains(&key) && !error.contains('\n'), "{set}: {error}");
                }
            }
        }
    }
}
