//! What the checkpoints of M and C say of the action: its kind, and the range of a continuous one.
//!
//! | key | of a continuous action | of a discrete one |
//! |---|---|---|
//! | `action.kind` | `continuous`; a file of before there were choices does not say | `discrete` |
//! | `action.mid`, `action.half` | `[A]` middle and half of each value's range | – |

use crate::env::ActionSpace;
use crate::run::checkpoint::{Checkpoint, meta};
use anyhow::{Result, bail, ensure};
use dreamstep_core::action::Action;
use dreamstep_core::names::metadata;
use serde::Serialize;

/// Says in `checkpoint` that it is of these `actions`.
pub fn say(checkpoint: &mut Checkpoint, actions: &ActionSpace) {
    entries(actions).into_iter().for_each(|(key, value)| checkpoint.set_meta(key, value));
}

fn entries(actions: &ActionSpace) -> Vec<(&'static str, String)> {
    let mut entries = vec![(metadata::ACTION_KIND, actions.kind().kind().to_string())];
    if let ActionSpace::Continuous { .. } = actions {
        let (mid, half) = actions.map();
        entries.extend([(meta::ACTION_MID, list(&mid)), (meta::ACTION_HALF, list(&half))]);
    }
    entries
}

fn list(values: &[f32]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Whether the network in `checkpoint` is of choices.
#[must_use]
pub fn is_discrete(checkpoint: &Checkpoint) -> bool {
    checkpoint.metadata.get(metadata::ACTION_KIND).is_some_and(|kind| kind == "discrete")
}

/// The action of the network in `checkpoint`, `unit_len` (U) values as M hears it.
///
/// # Errors
/// One line naming the file, and what was found.
pub fn said(checkpoint: &Checkpoint, unit_len: usize) -> Result<Action> {
    let kinds = [Action::Continuous { len: unit_len }, Action::Discrete { choices: unit_len }];
    let found = checkpoint.metadata.get(metadata::ACTION_KIND).map_or(kinds[0].kind(), String::as_str);
    match kinds.into_iter().find(|kind| kind.kind() == found) {
        Some(action) => Ok(action),
        None => bail!("{}: {}: expected continuous or discrete, found {found}", checkpoint.origin, metadata::ACTION_KIND),
    }
}

/// That the network in `checkpoint`, as far as it says, was trained for these `actions`.
///
/// # Errors
/// One line: the key, then and now.
pub fn check(checkpoint: &Checkpoint, actions: &ActionSpace) -> Result<()> {
    for (key, now) in entries(actions) {
        let then = checkpoint.metadata.get(key).unwrap_or(&now);
        ensure!(*then == now, "{}: trained with {key} = {then}, expected the environment's {now}", checkpoint.origin);
    }
    Ok(())
}

/// How many choices are others than they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Choices {
    /// So many.
    pub changed: usize,
    /// Of so many.
    pub of: usize,
}

impl Choices {
    /// Whether each `is_another`.
    pub fn changed(is_another: impl Iterator<Item = bool>) -> Self {
        is_another.fold(Self { changed: 0, of: 0 }, |sum, is_another| Self {
            changed: sum.changed + usize::from(is_another),
            of: sum.of + 1,
        })
    }
}

impl std::fmt::Display for Choices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { changed, of } = *self;
        write!(f, "{changed} of {of} choices ({:.3} %)", 100.0 * changed as f64 / of.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_says_what_its_action_is() {
        let continuous = ActionSpace::Continuous { low: vec![-1.0, 0.0], high: vec![1.0, 3.0] };
        let discrete = ActionSpace::Discrete { choices: 2 };
        let of = |actions: &ActionSpace| {
            let mut checkpoint = Checkpoint::default();
            say(&mut checkpoint, actions);
            checkpoint
        };
        for actions in [&continuous, &discrete] {
            assert_eq!(said(&of(actions), 2).unwrap(), actions.kind());
            check(&of(actions), actions).unwrap();
        }
        assert!(is_discrete(&of(&discrete)) && !is_discrete(&of(&continuous)));
        // Of before there were choices, or imported.
        let silent = Checkpoint::default();
        assert_eq!(said(&silent, 2).unwrap(), continuous.kind());
        check(&silent, &discrete).unwrap();
        for (then, now, expected) in [
            (&continuous, &discrete, "trained with action.kind = continuous, expected the environment's discrete"),
            (&discrete, &continuous, "trained with action.kind = discrete, expected the environment's continuous"),
            (
                &continuous,
                &ActionSpace::symmetric(2, 1.0),
                "trained with action.mid = 0,1.5, expected the environment's 0,0",
            ),
        ] {
            let error = check(&of(then), now).unwrap_err().to_string();
            assert!(error.ends_with(expected), "{error}");
        }
        let mut odd = of(&discrete);
        odd.set_meta("action.kind", "box");
        assert!(said(&odd, 2).unwrap_err().to_string().ends_with("action.kind: expected continuous or discrete, found box"));
    }
}
