//! The action at run time: from C's scores to what M hears, and from there to what the environment takes (see
//! [`dreamstep_core::action`]).

use crate::kernels::{Isa, dispatch};
use crate::layer::vector;
use dreamstep_core::action::{Action, greatest};
use dreamstep_core::error::LoadError;
use dreamstep_core::names::packed;
use dreamstep_core::reader::File;
use dreamstep_core::schema::{Settings, Squash, vectors};

/// From scores to actions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actuator<'f> {
    /// Middle and half of the range, `[A]` padded.
    Continuous {
        mid: &'f [f32],
        half: &'f [f32],
        squash: Squash,
    },
    Discrete {
        choices: usize,
    },
}

impl<'f> Actuator<'f> {
    pub(crate) fn read(file: &File<'f>, settings: &Settings) -> Result<Self, LoadError> {
        let of = |name: &'static str| match vectors(settings).find(|spec| spec.name == name) {
            Some(spec) => vector(file, &spec),
            None => Err(LoadError::MissingTensor { name }),
        };
        match settings.dims.action {
            Action::Continuous { .. } => Ok(Self::Continuous {
                mid: of(packed::ACTION_MID)?,
                half: of(packed::ACTION_HALF)?,
                squash: settings.squash,
            }),
            Action::Discrete { choices } => Ok(Self::Discrete { choices }),
            _ => Err(LoadError::BadParts { what: "action.kind", expected: "continuous or discrete" }),
        }
    }

    /// Scores → what M hears, in place, `[U]` padded: squashed into [-1, 1], or one-hot.
    #[inline(always)]
    pub(crate) fn decide(&self, isa: Isa, u: &mut [f32]) {
        match *self {
            Self::Continuous { squash, .. } => dispatch!(isa, squash(squash, u)),
            Self::Discrete { choices } => one_hot(greatest(u.get(..choices).unwrap_or_default()), u),
        }
    }

    /// What M hears `[U]` → what the environment takes `[A]`, both padded.
    #[inline(always)]
    pub(crate) fn actuate(&self, isa: Isa, u: &[f32], action: &mut [f32]) {
        match *self {
            Self::Continuous { mid, half, .. } => dispatch!(isa, actuate(mid, half, u, action)),
            Self::Discrete { choices } => {
                let choice = greatest(u.get(..choices).unwrap_or_default());
                action.iter_mut().take(1).for_each(|slot| *slot = choice as f32);
            }
        }
    }

    /// What the environment was given `[A]` → what M hears `[U]`; the index of the first value that is no action where one is none.
    pub(crate) fn hear(&self, applied: &[f32], u: &mut [f32]) -> Result<(), usize> {
        match *self {
            Self::Continuous { mid, half, .. } => {
                for ((unit, &action), (&mid, &half)) in u.iter_mut().zip(applied).zip(mid.iter().zip(half)) {
                    // An actuator without range has one action, whatever the controller asked for.
                    if half != 0.0 {
                        *unit = ((action - mid) / half).clamp(-1.0, 1.0);
                    }
                }
                Ok(())
            }
            Self::Discrete { choices } => {
                let choice = applied.first().copied().unwrap_or_default();
                let index = (0..choices).find(|&index| index as f32 == choice).ok_or(0_usize)?;
                one_hot(index, u);
                Ok(())
            }
        }
    }

    /// How many values of a continuous action `[U]` stand at an end of their range.
    pub(crate) fn saturated(&self, u: &[f32]) -> u32 {
        match self {
            Self::Continuous { .. } => u.iter().fold(0, |count, value| count + u32::from(value.abs() >= 1.0)),
            Self::Discrete { .. } => 0,
        }
    }
}

/// 1 at `index`, 0 elsewhere.
#[inline(always)]
fn one_hot(index: usize, u: &mut [f32]) {
    u.iter_mut().enumerate().for_each(|(i, slot)| *slot = if i == index { 1.0 } else { 0.0 });
}
