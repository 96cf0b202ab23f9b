//! TensorBoard sees what the log says. Its own reader (the wheel that set-up installs) opens the events of a run.

use crate::common::python;
use dreamstep::run::folder::RunDir;
use dreamstep::run::metrics::append_metrics;
use dreamstep::run::tensorboard;
use serde_json::{Value, json};

const READER: &str = "
import json, sys
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
for event in EventFileLoader(sys.argv[1]).Load():
    values = {value.tag: value.tensor.float_val[0] for value in event.summary.value}
    print(json.dumps([event.step, event.wall_time, values]))
";

#[test]
fn tensorboards_reader_finds_every_number_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::new(folder.path());
    for epoch in 1..=3 {
        let losses = json!({ "loss": 0.5 / f64::from(epoch), "kl": epoch });
        let record =
            json!({ "stage": "vae", "epoch": epoch, "epochs": 3, "train": losses, "validation": losses, "best": true });
        append_metrics(&run, &record).unwrap();
    }
    append_metrics(&run, &json!({ "stage": "controller", "generation": 10, "best_return": -3.25 })).unwrap();
    append_metrics(&run, &json!({ "stage": "controller", "cost": { "steps": 1 } })).unwrap();
    let read = || -> Vec<Value> {
        let file = std::fs::read_dir(run.tensorboard()).unwrap().next().unwrap().unwrap().path();
        let output = python::run(&["-c", READER, file.to_str().unwrap()]);
        String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let appended = read();
    tensorboard::rebuild(&run).unwrap();
    let rebuilt = read();
    // The first event is the file's version, with the time at which it was begun.
    assert_eq!(appended[1..], rebuilt[1..]);
    let log = std::fs::read_to_string(run.metrics()).unwrap();
    let time: Value = serde_json::from_str::<Value>(log.lines().nth(2).unwrap()).unwrap()["unix_time"].clone();
    let third = 0.5_f32 / 3.0;
    let values =
        json!({ "vae/train/kl": 3.0, "vae/train/loss": third, "vae/validation/kl": 3.0, "vae/validation/loss": third });
    assert_eq!(appended[3][0], 3);
    assert_eq!(appended[3][1], time);
    for (tag, value) in values.as_object().unwrap() {
        assert!((appended[3][2][tag].as_f64().unwrap() - value.as_f64().unwrap()).abs() < 1e-7, "{tag}");
    }
    assert_eq!((&appended[4][0], &appended[4][2]), (&json!(10), &json!({ "controller/best_return": -3.25 })));
    assert_eq!(appended.len(), 5);
}
