//! Gymnasium's MuJoCo tasks, version 5, as Gymnasium 1.4.0 defines them with default arguments: the files in `configs/tasks`, embedded.

use super::EnvConfig;
use anyhow::{Context, Result};
use serde::Deserialize;

macro_rules! tasks {
    ($($id:literal: $name:literal),* $(,)?) => {
        /// The name in Gymnasium, and the text.
        const TASKS: &[(&str, &str)] =
            &[$(($id, include_str!(concat!("../../../configs/tasks/", $name, ".toml")))),*];
    };
}

tasks! {
    "Ant-v5": "ant",
    "HalfCheetah-v5": "half_cheetah",
    "Hopper-v5": "hopper",
    "Humanoid-v5": "humanoid",
    "HumanoidStandup-v5": "humanoid_standup",
    "InvertedDoublePendulum-v5": "inverted_double_pendulum",
    "InvertedPendulum-v5": "inverted_pendulum",
    "Pusher-v5": "pusher",
    "Reacher-v5": "reacher",
    "Swimmer-v5": "swimmer",
    "Walker2d-v5": "walker2d",
}

/// A file of `configs/tasks`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    env: EnvConfig,
}

/// Their names.
pub(super) fn ids() -> impl Iterator<Item = &'static str> {
    TASKS.iter().map(|(id, _)| *id)
}

/// The task called `id`, if there is one.
///
/// # Errors
/// Never: a test reads every file.
pub(super) fn task(id: &str) -> Option<Result<EnvConfig>> {
    let (id, text) = TASKS.iter().find(|(known, _)| *known == id)?;
    Some(toml::from_str::<File>(text).map(|file| file.env).with_context(|| (*id).to_owned()))
}

/// The task called `id`, `word` of whose text is `other`.
#[cfg(test)]
pub(super) fn altered(id: &str, word: &str, other: &str) -> EnvConfig {
    let (_, text) = TASKS.iter().find(|(known, _)| *known == id).unwrap();
    assert!(text.contains(word), "{id}: {word}");
    toml::from_str::<File>(&text.replace(word, other)).unwrap().env
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_the_folder_is_a_task_of_that_name() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/tasks");
        let files: BTreeSet<_> =
            std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
        assert_eq!(files, TASKS.iter().map(|(_, text)| (*text).to_owned()).collect());
        for id in ids() {
            assert_eq!(task(id).unwrap().unwrap().id, id);
        }
        assert!(task("Hopper-v4").is_none());
    }
}
