//! TensorBoard events: `RUN/tensorboard` has every number in `metrics.jsonl` as a scalar, `vae/validation/loss` over epochs,
//! `controller/best_return` over generations. The log is the truth; the events are made from it. A process that logs a stage writes them
//! anew first, so that what a kill cut off, or what was done twice, is not in them; then each line of the log adds its events. The pictures
//! of V's training in `figures/` are in them as `vae/samples`.
//!
//! Format: TFRecord (length, its masked CRC-32C, data, its masked CRC-32C) of `tensorflow.Event` protocol buffers, fields as in
//! TensorFlow's `event.proto` and `summary.proto`.

use crate::run::folder::{RunDir, write_atomic};
use anyhow::{Context, Result};
use prost::Message;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What the names of event files begin with, so that TensorBoard finds them.
const PREFIX: &str = "events.out.tfevents.";
/// The first event of a file.
const VERSION: &str = "brain.Event:2";

/// `tensorflow.Event`, the fields in use.
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Entry>,
}

/// `tensorflow.Summary.Value`, the fields in use: a scalar or an image.
#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    tag: String,
    // In a oneof, which is written even where it is 0.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
}

/// `tensorflow.Summary.Image`.
#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    /// 1 is grey, 3 is RGB.
    #[prost(int32, tag = "3")]
    colorspace: i32,
    /// The bytes of a PNG.
    #[prost(bytes, tag = "4")]
    encoded_image_string: Vec<u8>,
}

/// The stage whose training draws pictures.
const VAE: &str = "vae";

/// The newest step of each stage that this process wrote events of.
static WRITTEN: Mutex<BTreeMap<(PathBuf, String), i64>> = Mutex::new(BTreeMap::new());

/// Makes the run's events anew from its log, each step of a stage once: the newest training's. Under a new name: TensorBoard keeps reading
/// a file that was replaced.
///
/// # Errors
/// One line naming the file that cannot be read or written.
pub fn rebuild(run: &RunDir) -> Result<()> {
    let log = match std::fs::read_to_string(run.metrics()) {
        Ok(log) => log,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("{}: cannot read", run.metrics().display())),
    };
    let mut events: Vec<(String, Event)> = Vec::new();
    for (stage, event) in log.lines().filter_map(event) {
        // A training that was forced anew, or resumed from before it was killed, replaces what it does again.
        if events.iter().rev().find(|(of, _)| *of == stage).is_some_and(|(_, newest)| newest.step >= event.step) {
            events.retain(|(of, before)| *of != stage || before.step < event.step);
        }
        events.push((stage, event));
    }
    // None of an epoch that is not in the log: it will be trained again.
    let newest = events.iter().rev().find(|(of, _)| of == VAE).map_or(0, |(_, newest)| newest.step);
    for (epoch, path) in run.samples().into_iter().filter(|&(epoch, _)| epoch as i64 <= newest) {
        events.push((VAE.to_string(), sample(epoch, &path)?));
    }
    let old = files(run);
    let mut bytes = record(&Event { wall_time: now(), file_version: Some(VERSION.into()), ..Event::default() });
    events.iter().for_each(|(_, event)| bytes.extend(record(event)));
    // Ten digits for three centuries: names sort as times do. Two in one second must not be one file.
    let mut second = now() as u64;
    let path = |second: u64| run.tensorboard().join(format!("{PREFIX}{second:010}.dreamstep"));
    while path(second).exists() {
        second += 1;
    }
    write_atomic(&path(second), &bytes)?;
    for file in old {
        std::fs::remove_file(&file).with_context(|| format!("{}: cannot remove", file.display()))?;
    }
    Ok(())
}

/// Adds the numbers of `line`, which was added to the log, to the run's events.
///
/// # Errors
/// One line naming the file that cannot be written.
pub fn append(run: &RunDir, line: &str) -> Result<()> {
    let Some((stage, event)) = event(line) else { return Ok(()) };
    let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    let before = written.insert((run.root().to_path_buf(), stage), event.step);
    match files(run).pop() {
        Some(path) if before.is_some_and(|before| before < event.step) => {
            let write = || std::fs::OpenOptions::new().append(true).open(&path)?.write_all(&record(&event));
            write().with_context(|| format!("{}: cannot append", path.display()))
        }
        // The line is in the log already: what is made from the log has it.
        _ => rebuild(run),
    }
}

/// Adds the picture of V's training after `epoch`, which was drawn, to the run's events.
///
/// # Errors
/// One line naming the file that cannot be read or written.
pub fn append_sample(run: &RunDir, epoch: usize) -> Result<()> {
    let Some(path) = files(run).pop() else { return rebuild(run) };
    let event = sample(epoch, &run.sample(epoch))?;
    let write = || std::fs::OpenOptions::new().append(true).open(&path)?.write_all(&record(&event));
    write().with_context(|| format!("{}: cannot append", path.display()))
}

/// The picture at `path`, a PNG, as an event.
fn sample(epoch: usize, path: &Path) -> Result<Event> {
    let bytes = std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))?;
    let written = std::fs::metadata(path).and_then(|file| file.modified()).ok();
    let wall_time =
        written.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).map_or(0.0, |t| t.as_secs_f64());
    let reader = png::Decoder::new(Cursor::new(&bytes)).read_info();
    let reader = reader.with_context(|| format!("{}: expected a PNG", path.display()))?;
    let info = reader.info();
    let image = Image {
        height: info.height as i32,
        width: info.width as i32,
        colorspace: info.color_type.samples() as i32,
        encoded_image_string: bytes.clone(),
    };
    let value = vec![Entry { tag: format!("{VAE}/samples"), simple_value: None, image: Some(image) }];
    Ok(Event { wall_time, step: epoch as i64, summary: Some(Summary { value }), ..Event::default() })
}

/// The run's event files, oldest first.
fn files(run: &RunDir) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(run.tensorboard()).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))).collect();
    files.sort();
    files
}

/// What a line of the log says in scalars, if anything, and of which stage: the step is its epoch or its generation.
fn event(line: &str) -> Option<(String, Event)> {
    let record: Value = serde_json::from_str(line).ok()?;
    let object = record.as_object()?;
    let stage = object.get("stage")?.as_str()?;
    let step = ["epoch", "generation"].iter().find_map(|key| object.get(*key)?.as_i64())?;
    let mut value = Vec::new();
    for (key, entry) in
        object.iter().filter(|(key, _)| !["epoch", "epochs", "generation", "unix_time"].contains(&key.as_str()))
    {
        scalars(&format!("{stage}/{key}"), entry, &mut value);
    }
    let wall_time = object.get("unix_time").and_then(Value::as_f64).unwrap_or(0.0);
    Some((stage.to_string(), Event { wall_time, step, summary: Some(Summary { value }), ..Event::default() }))
}

fn scalars(tag: &str, value: &Value, out: &mut Vec<Entry>) {
    match value {
        Value::Number(number) => {
            let simple_value = number.as_f64().map(|value| value as f32);
            out.push(Entry { tag: tag.to_owned(), simple_value, image: None });
        }
        Value::Object(object) => object.iter().for_each(|(key, value)| scalars(&format!("{tag}/{key}"), value, out)),
        _ => {}
    }
}

/// `event` as a TFRecord.
fn record(event: &Event) -> Vec<u8> {
    let data = event.encode_to_vec();
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes(), &data, &masked_crc(&data).to_le_bytes()].concat()
}

/// TFRecord's masked CRC-32C, so that a checksum of data that holds checksums is no accident.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events in a file, by the definition of TFRecord.
    fn read(path: &std::path::Path) -> Vec<Event> {
        let bytes = std::fs::read(path).unwrap();
        let mut rest = bytes.as_slice();
        let mut events = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked_crc(&rest[..8]).to_le_bytes());
            let data = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], masked_crc(data).to_le_bytes());
            events.push(Event::decode(data).unwrap());
            rest = &rest[16 + length..];
        }
        events
    }

    /// The record that TensorFlow's own writer begins every file with, less its time.
    #[test]
    fn a_known_record() {
        let event = Event { wall_time: 0.0, file_version: Some(VERSION.into()), ..Event::default() };
        assert_eq!(event.encode_to_vec(), b"\x1a\x0dbrain.Event:2");
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283, "the check value of CRC-32C");
    }

    #[test]
    fn events_follow_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(folder.path());
        let line = |epoch: u32| {
            format!(
                "{{\"stage\":\"vae\",\"epoch\":{epoch},\"epochs\":9,\"train\":{{\"loss\":0.0,\"kl\":{epoch}.5}},\"best\":true,\"unix_time\":77.5}}\n"
            )
        };
        let log = |lines: &str| std::fs::write(run.metrics(), lines).unwrap();
        log(&line(1));
        append(&run, &line(1)).unwrap();
        log(&(line(1) + &line(2)));
        append(&run, &line(2)).unwrap();
        append(&run, "{\"stage\":\"vae\",\"cost\":{\"seconds\":1}}\n").unwrap();
        let [file] = files(&run).try_into().unwrap();
        let events = read(&file);
        assert_eq!(events.len(), 3, "a cost has no step");
        assert_eq!((events[0].file_version.as_deref(), events[2].step, events[2].wall_time), (Some(VERSION), 2, 77.5));
        let scalars = &events[2].summary.as_ref().unwrap().value;
        let found: Vec<_> = scalars.iter().map(|s| (s.tag.as_str(), s.simple_value)).collect();
        assert_eq!(found, [("vae/train/kl", Some(2.5)), ("vae/train/loss", Some(0.0))]);
        // What the log has not, the next stage's events have not.
        log(&(line(1) + "{\"stage\":\"va"));
        rebuild(&run).unwrap();
        let [anew] = files(&run).try_into().unwrap();
        assert!(anew > file);
        assert_eq!(read(&anew).len(), 2);
    }

    #[test]
    fn pictures_are_events_as_long_as_their_epoch_is_in_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(folder.path());
        std::fs::create_dir_all(run.figures()).unwrap();
        let mut grid = crate::run::picture::Grid::new([2, 3, 3]);
        grid.add(&[7; 36]);
        let png = grid.png().unwrap();
        for epoch in [2, 4] {
            std::fs::write(run.sample(epoch), &png).unwrap();
        }
        let line = |epoch: usize| format!("{{\"stage\":\"vae\",\"epoch\":{epoch},\"loss\":1.0}}\n");
        std::fs::write(run.metrics(), line(1) + &line(2)).unwrap();
        rebuild(&run).unwrap();
        append_sample(&run, 4).unwrap();
        let [file] = files(&run).try_into().unwrap();
        let of =
            |event: &Event| event.summary.as_ref().and_then(|summary| Some((event.step, summary.value[0].image.clone()?)));
        let images: Vec<(i64, Image)> = read(&file).iter().filter_map(of).collect();
        assert_eq!(images.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [2, 4], "4 was appended, not rebuilt");
        for (_, image) in images {
            assert_eq!((image.height, image.width, image.colorspace), (2, 8, 3));
            assert_eq!(image.encoded_image_string, png);
        }
    }

    /// A training that is made anew, shorter than the one before; another stage's events stay.
    #[test]
    fn a_step_that_is_done_again_is_in_the_events_once() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(folder.path());
        let line = |stage: &str, key: &str, step: i64| format!("{{\"stage\":\"{stage}\",\"{key}\":{step},\"loss\":1.0}}\n");
        let mut log = String::new();
        let mut add = |stage: &str, key: &str, step: i64| {
            log += &line(stage, key, step);
            std::fs::write(run.metrics(), &log).unwrap();
            append(&run, &line(stage, key, step)).unwrap();
        };
        (1..=3).for_each(|epoch| add("vae", "epoch", epoch));
        [10, 20, 30].into_iter().for_each(|generation| add("controller", "generation", generation));
        (1..=2).for_each(|epoch| add("vae", "epoch", epoch));
        // Resumed from generation 10.
        [20, 30, 40].into_iter().for_each(|generation| add("controller", "generation", generation));
        let steps = |stage: &str| -> Vec<i64> {
            let [file] = files(&run).try_into().unwrap();
            let tag = format!("{stage}/loss");
            let of = |event: &Event| event.summary.as_ref().is_some_and(|summary| summary.value[0].tag == tag);
            read(&file).into_iter().filter(of).map(|event| event.step).collect()
        };
        assert_eq!((steps("vae"), steps("controller")), (vec![1, 2], vec![10, 20, 30, 40]));
        rebuild(&run).unwrap();
        assert_eq!((steps("vae"), steps("controller")), (vec![1, 2], vec![10, 20, 30, 40]));
    }
}
