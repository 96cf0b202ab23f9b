//! What may be done in an environment: continuous actions in a range, or one of a few choices.
//!
//! | kind | what the environment takes `[A]` | what M hears `[U]` |
//! |---|---|---|
//! | continuous | in the environment's units | in [-1, 1] over the range |
//! | discrete, n choices | one number, 0 to n − 1 | one-hot |

use anyhow::{Result, ensure};
use dreamstep_core::action::Action;
use dreamstep_core::pack::action_map;
use dreamstep_core::rng::{Philox, Stream};

/// The size of an action in a message: `17`, or `1 of 3 choices`.
#[must_use]
pub fn size_text(action: &Action) -> String {
    match action {
        Action::Discrete { choices } => format!("1 of {choices} choices"),
        other => other.len().to_string(),
    }
}

/// An environment's actions.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionSpace {
    /// `[A]` values, each in its range.
    Continuous {
        /// `[A]`: the least that each actuator obeys.
        low: Vec<f32>,
        /// `[A]`: the most that each actuator obeys.
        high: Vec<f32>,
    },
    /// One of so many choices.
    Discrete {
        /// From 1.
        choices: usize,
    },
}

impl ActionSpace {
    /// `len` values, each in ± `bound`.
    #[must_use]
    pub fn symmetric(len: usize, bound: f32) -> Self {
        Self::Continuous { low: vec![-bound; len], high: vec![bound; len] }
    }

    /// As the runtime and its files call it.
    #[must_use]
    pub fn kind(&self) -> Action {
        match self {
            Self::Continuous { low, .. } => Action::Continuous { len: low.len() },
            Self::Discrete { choices } => Action::Discrete { choices: *choices },
        }
    }

    /// `A`: values of an action as the environment takes it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kind().len()
    }

    /// Whether it is of no value: never of an environment that can be made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `U`: values of an action as C scores it and M hears it.
    #[must_use]
    pub fn unit_len(&self) -> usize {
        self.kind().unit_len()
    }

    /// Middle and half of each value's range `[A]`, with which a continuous action is packed; of choices, none.
    #[must_use]
    pub fn map(&self) -> (Vec<f32>, Vec<f32>) {
        match self {
            Self::Continuous { low, high } => action_map(low, high),
            Self::Discrete { .. } => (Vec::new(), Vec::new()),
        }
    }

    /// The least and the greatest of value `i`.
    #[must_use]
    pub fn range(&self, i: usize) -> (f32, f32) {
        match self {
            Self::Continuous { low, high } => (low[i], high[i]),
            Self::Discrete { choices } => (0.0, (choices - 1) as f32),
        }
    }

    /// Whether value `i` of an action may be `value`.
    #[must_use]
    pub fn allows(&self, i: usize, value: f32) -> bool {
        let (low, high) = self.range(i);
        (low..=high).contains(&value) && (matches!(self, Self::Continuous { .. }) || value.fract() == 0.0)
    }

    /// The uniform policy: an `action [A]` within its range, a draw of its own for each of `step` and value.
    pub fn uniform(&self, rng: Philox, step: u64, action: &mut [f32]) {
        for (i, a) in (0..).zip(action.iter_mut()) {
            let draw = rng.uniform(Stream::CollectAction, step, i);
            *a = match self {
                Self::Continuous { low, high } => low[i as usize] + (high[i as usize] - low[i as usize]) * draw,
                Self::Discrete { choices } => (draw * *choices as f32).floor().min((choices - 1) as f32),
            };
        }
    }

    /// How M hears actions.
    #[must_use]
    pub fn ear(&self) -> Ear {
        match self {
            Self::Continuous { .. } => {
                let (mid, half) = self.map();
                Ear::Continuous { mid, half }
            }
            Self::Discrete { choices } => Ear::Discrete { choices: *choices },
        }
    }
}

/// From what an environment takes to what M hears, as the runtime does it.
#[derive(Clone, Debug)]
pub enum Ear {
    /// In [-1, 1] over a range of middle `mid` and half width `half`, 0 where that has no width. What lies outside is clamped: an actuator
    /// does no more.
    Continuous {
        /// `[A]`
        mid: Vec<f32>,
        /// `[A]`
        half: Vec<f32>,
    },
    /// One-hot.
    Discrete {
        /// From 1.
        choices: usize,
    },
}

impl Ear {
    /// `U`.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Continuous { mid, .. } => mid.len(),
            Self::Discrete { choices } => *choices,
        }
    }

    /// Never: M hears at least one value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends what M hears `[U]` of the `action [A]`.
    ///
    /// # Errors
    /// One line: there is no such choice.
    pub fn hear<'a>(&self, action: impl IntoIterator<Item = &'a f32>, unit: &mut Vec<f32>) -> Result<()> {
        match self {
            Self::Continuous { mid, half } => {
                let one = |(a, (mid, half)): (&f32, (&f32, &f32))| {
                    if *half == 0.0 { 0.0 } else { ((a - mid) / half).clamp(-1.0, 1.0) }
                };
                unit.extend(action.into_iter().zip(mid.iter().zip(half)).map(one));
            }
            Self::Discrete { choices } => {
                let choice = action.into_iter().next().copied().unwrap_or_default();
                let heard = (0..*choices).map(|i| f32::from(u8::from(i as f32 == choice)));
                ensure!(
                    heard.clone().any(|heard| heard == 1.0),
                    "action: expected a choice from 0 to {}, found {choice}",
                    choices - 1
                );
                unit.extend(heard);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_m_hears_is_what_was_done() {
        let heard = |space: &ActionSpace, action: &[f32]| {
            let mut unit = Vec::new();
            space.ear().hear(action, &mut unit).unwrap();
            assert_eq!(unit.len(), space.unit_len());
            unit
        };
        let space = ActionSpace::Continuous { low: vec![2.0, 0.0, -1.0], high: vec![4.0, 0.0, 1.0] };
        assert_eq!(heard(&space, &[3.5, 0.0, -7.0]), [0.5, 0.0, -1.0]);
        assert_eq!(heard(&ActionSpace::Discrete { choices: 3 }, &[2.0]), [0.0, 0.0, 1.0]);
        assert_eq!(ActionSpace::symmetric(2, 0.4).len(), 2);
        for none in [3.0, -1.0, 0.5, f32::NAN] {
            let error = ActionSpace::Discrete { choices: 3 }.ear().hear(&[none], &mut Vec::new()).unwrap_err().to_string();
            assert_eq!(error, format!("action: expected a choice from 0 to 2, found {none}"));
        }
    }

    #[test]
    fn a_uniform_choice_is_any_of_them_equally_often() {
        let space = ActionSpace::Discrete { choices: 3 };
        let mut counts = [0; 3];
        for step in 0..3000 {
            let mut action = [f32::NAN];
            space.uniform(Philox::new(5), step, &mut action);
            assert!(space.allows(0, action[0]) && !space.allows(0, action[0] + 0.5) && !space.allows(0, 3.0));
            counts[action[0] as usize] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }
}
