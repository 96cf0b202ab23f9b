//! Named starting points: the files in `configs/`, embedded.

use super::Config;
use clap::builder::PossibleValue;

/// A file of `configs/`, by its name without the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    name: &'static str,
    text: &'static str,
}

macro_rules! presets {
    ($($name:literal),*) => {
        /// All of them, the three that the documentation begins with first.
        const PRESETS: &[Preset] =
            &[$(Preset { name: $name, text: include_str!(concat!("../../../../configs/", $name, ".toml")) }),*];
    };
}

presets![
    "quick",
    "paper",
    "cartpole",
    "acrobot",
    "acrobot_dream",
    "car_racing",
    "car_racing_driver",
    "car_racing_taught",
    "half_cheetah",
    "half_cheetah_dream",
    "hopper",
    "humanoid",
    "inverted_pendulum_dream",
    "lunar_lander",
    "swimmer",
    "swimmer_dream",
    "take_cover"
];

impl Preset {
    /// Minutes on two cores: what `make demo` runs.
    pub const QUICK: Self = PRESETS[0];
    /// Ha & Schmidhuber's sizes: hours.
    pub const PAPER: Self = PRESETS[1];
    /// CartPole-v1, learnt in dreams alone: a minute on two cores.
    pub const CARTPOLE: Self = PRESETS[2];

    /// The preset's values.
    ///
    /// # Panics
    /// Never: a test loads every file.
    #[must_use]
    pub fn config(self) -> Config {
        Config::default().overlay(self.name, self.text, &[]).expect("a test loads every preset")
    }
}

impl clap::ValueEnum for Preset {
    fn value_variants<'a>() -> &'a [Self] {
        PRESETS
    }

    /// The help is the first line of the file.
    fn to_possible_value(&self) -> Option<PossibleValue> {
        let first = self.text.lines().next().unwrap_or_default();
        Some(PossibleValue::new(self.name).help(first.trim_start_matches(['#', ' ']).trim_end_matches(['.', ':'])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_the_folder_is_a_preset_that_loads() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
        // Folders hold what is no preset: tasks, a robot of one's own.
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
        let files: BTreeSet<String> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_string()).collect();
        assert_eq!(files, PRESETS.iter().map(|preset| preset.name.to_string()).collect());
        for preset in PRESETS {
            let config = preset.config();
            config.validate().unwrap();
            // Those of Gymnasium's are not known here.
            let known = config.env.id.starts_with("gym:") || crate::env::ids().any(|id| id == config.env.id);
            assert!(known, "{}: {}", preset.name, config.env.id);
            assert!(preset.text.starts_with("# "), "{}: the first line is the preset's help", preset.name);
            let mut table: toml::Table = preset.text.parse().unwrap();
            let written = table.clone();
            super::super::aliases::translate(&mut table).unwrap();
            assert_eq!(table, written, "{}: keys of an earlier version", preset.name);
        }
    }

    #[test]
    fn the_first_preset_is_what_a_run_begins_with() {
        assert_eq!(Preset::QUICK.config(), Config::default());
    }
}
