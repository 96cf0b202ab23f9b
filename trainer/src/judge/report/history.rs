//! The training history, from `metrics.jsonl`: one JSON object a line, as several processes may have left it. A line that was cut short is
//! passed over and named; an epoch that was trained again replaces the earlier ones.

use crate::run::folder::RunDir;
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Everything that was logged.
#[derive(Clone, Debug, Default, Serialize)]
pub struct History {
    /// By stage (`vae`, `mdnrnn`): every epoch.
    pub epochs: BTreeMap<String, BTreeMap<u64, Epoch>>,
    /// Every look at the validation episodes.
    pub evolution: Vec<Generation>,
    /// By stage: what it cost, by the names that the stage gives, all its processes added up.
    pub costs: BTreeMap<String, BTreeMap<String, f64>>,
    /// What was odd about the file.
    pub notes: Vec<String>,
}

/// Mean losses of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Epoch {
    /// On the training episodes.
    pub train: f64,
    /// On the held-out episodes.
    pub validation: f64,
    /// Wall time, s.
    pub seconds: f64,
}

/// What evolution had reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Generation {
    /// Counted from 1.
    pub generation: u64,
    /// Environment steps spent.
    pub steps: f64,
    /// Mean return on the validation episodes.
    pub validation_return: f64,
    /// The best so far.
    pub best_return: f64,
}

impl History {
    /// Reads the run's `metrics.jsonl`; nothing, where there is none.
    ///
    /// # Errors
    /// One line: the file cannot be read.
    pub fn read(run: &RunDir) -> Result<Self> {
        let path = run.metrics();
        if !path.exists() {
            return Ok(Self::default());
        }
        let bytes = std::fs::read(&path).with_context(|| format!("{}: cannot read", path.display()))?;
        Ok(Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    fn parse(text: &str) -> Self {
        let mut history = Self::default();
        let lines = text.lines().count();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let parsed = serde_json::from_str::<Value>(line).ok().filter(Value::is_object);
            let cut = if number == lines && !text.ends_with('\n') { "cut short" } else { "not a JSON object" };
            match parsed {
                Some(value) => history.add(&value),
                None => history.notes.push(format!("metrics.jsonl, line {number}: {cut}; passed over")),
            }
        }
        history
    }

    fn add(&mut self, line: &Value) {
        let Some(stage) = line["stage"].as_str() else { return };
        if let Some(cost) = line["cost"].as_object() {
            let costs = self.costs.entry(stage.to_string()).or_default();
            for (name, value) in cost.iter().filter_map(|(name, value)| Some((name, value.as_f64()?))) {
                *costs.entry(name.clone()).or_default() += value;
            }
        }
        let number = |value: &Value| value.as_f64();
        if let (Some(epoch), Some(train), Some(validation)) =
            (line["epoch"].as_u64(), number(&line["train"]["loss"]), number(&line["validation"]["loss"]))
        {
            let epochs = self.epochs.entry(stage.to_string()).or_default();
            // What comes after the same epoch was of a training that this one replaces.
            let _ = epochs.split_off(&epoch);
            epochs.insert(epoch, Epoch { train, validation, seconds: number(&line["seconds"]).unwrap_or(f64::NAN) });
        }
        if let (Some(generation), Some(steps), Some(validation_return), Some(best_return)) = (
            line["generation"].as_u64(),
            number(&line["steps"]),
            number(&line["validation_return"]),
            number(&line["best_return"]),
        ) {
            self.evolution.retain(|earlier| earlier.generation < generation);
            self.evolution.push(Generation { generation, steps, validation_return, best_return });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAE: &str =
        r#"{"stage":"vae","epoch":EPOCH,"epochs":3,"train":{"loss":LOSS},"validation":{"loss":9.5},"seconds":2.0}"#;

    fn vae(epoch: u64, loss: f64) -> String {
        VAE.replace("EPOCH", &epoch.to_string()).replace("LOSS", &loss.to_string()) + "\n"
    }

    #[test]
    fn a_training_begun_anew_replaces_the_one_before() {
        let text = vae(1, 10.0) + &vae(2, 9.0) + &vae(3, 8.0) + &vae(1, 7.0) + &vae(2, 6.0);
        let history = History::parse(&text);
        let losses: Vec<_> = history.epochs["vae"].iter().map(|(epoch, e)| (*epoch, e.train)).collect();
        assert_eq!((losses, history.notes), (vec![(1, 7.0), (2, 6.0)], vec![]));
    }

    #[test]
    fn a_cut_line_is_named_and_costs_nothing_else() {
        let whole = vae(1, 10.0) + &vae(2, 9.0);
        let history = History::parse(&whole[..whole.len() - 20]);
        assert_eq!((history.epochs["vae"].len(), history.notes.len()), (1, 1));
        assert!(history.notes[0].contains("line 2") && history.notes[0].contains("cut short"), "{:?}", history.notes);
        // Another process went on in the same line.
        let history = History::parse(&(whole[..40].to_string() + &whole));
        assert!(history.notes[0].contains("line 1") && history.notes[0].contains("not a JSON"), "{:?}", history.notes);
        assert_eq!(history.epochs["vae"].len(), 1);
        assert!(History::parse("[1]\n7\n\n").notes.len() == 2);
    }

    #[test]
    fn generations_are_the_last_ones_and_costs_add_up() {
        let line = |generation: u64, best: f64| {
            format!(
                r#"{{"stage":"controller","generation":{generation},"steps":{},"validation_return":1.0,"best_return":{best}}}"#,
                100 * generation
            ) + "\n"
        };
        let cost = "{\"stage\":\"vae\",\"cost\":{\"seconds\":3.5,\"steps\":20,\"of\":\"words\"}}\n";
        let history = History::parse(&(line(10, 1.0) + &line(20, 2.0) + &line(10, 3.0) + cost + cost));
        assert_eq!(history.evolution.len(), 1);
        assert_eq!((history.evolution[0].best_return, history.evolution[0].steps), (3.0, 1000.0));
        assert_eq!(history.costs["vae"], [("seconds".to_string(), 7.0), ("steps".to_string(), 40.0)].into());
        assert!(history.epochs.is_empty() && history.notes.is_empty());
    }
}
