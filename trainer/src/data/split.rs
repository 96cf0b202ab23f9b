//! Which recorded episodes train, and which are held out: by whole episodes, fixed by the seed.

use anyhow::{Result, ensure};
use dreamstep_core::rng::{Philox, Stream};

/// Which episodes train and which are held out, by index, each ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Episodes to learn from.
    pub train: Vec<usize>,
    /// Episodes held out.
    pub validation: Vec<usize>,
}

impl Split {
    /// Holds out about `fraction` of `episodes` episodes, at least one and never all. Whole episodes: neighbouring steps are nearly
    /// copies, so that a split by step would test on what was trained on. Each episode has a draw of its own, so that one that is held out
    /// stays so when more are recorded.
    ///
    /// # Errors
    /// There are fewer than two episodes.
    pub fn new(seed: u64, episodes: usize, fraction: f64) -> Result<Self> {
        ensure!(episodes >= 2, "training: expected at least 2 episodes (one is held out), found {episodes}");
        let draw = |episode: usize| Philox::new(seed).uniform(Stream::Split, episode as u64, 0);
        let (mut train, mut validation): (Vec<_>, Vec<_>) = (0..episodes).partition(|&id| f64::from(draw(id)) >= fraction);
        let by_draw = |a: &usize, b: &usize| draw(*a).total_cmp(&draw(*b));
        if validation.is_empty() {
            validation.extend(train.iter().copied().min_by(by_draw));
            train.retain(|id| !validation.contains(id));
        } else if train.is_empty() {
            train.extend(validation.iter().copied().max_by(by_draw));
            validation.retain(|id| !train.contains(id));
        }
        Ok(Self { train, validation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_is_a_partition_by_episode_that_the_seed_fixes() {
        let split = Split::new(3, 100, 0.1).unwrap();
        assert!((4..=18).contains(&split.validation.len()), "{}", split.validation.len());
        let mut all = [split.train.clone(), split.validation.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(split, Split::new(3, 100, 0.1).unwrap());
        assert_ne!(split, Split::new(4, 100, 0.1).unwrap());
        let smallest = Split::new(0, 2, 0.0).unwrap();
        assert_eq!((smallest.train.len(), smallest.validation.len()), (1, 1));
        assert!(Split::new(0, 1, 0.5).is_err());
    }

    #[test]
    fn what_is_held_out_stays_so_when_more_is_recorded() {
        let (before, after) = (Split::new(3, 100, 0.1).unwrap(), Split::new(3, 300, 0.1).unwrap());
        let old: Vec<usize> = after.validation.iter().copied().filter(|&id| id < 100).collect();
        assert_eq!(old, before.validation);
        assert!(after.validation.len() > old.len());
    }
}
