//! How an episode starts: what is drawn and set, in the order in which it was written. The order of the draws is part of a task's
//! definition; they are numpy's (`numpy_random.rs`).

use super::super::numpy_math::norm;
use super::super::numpy_random::NumpyRandom;
use super::place::{Read, Source};
use super::quantity::{finite, ordered};
use crate::run::config::{Numbers, StartConfig};
use anyhow::{Context, Result, bail, ensure};
use mujoco_rs::wrappers::mj_model::MjtObjBase;
use mujoco_rs::wrappers::{MjData, MjModel};
use std::ops::Range;
use std::sync::Arc;

/// A pose, and what is done to it.
#[derive(Clone, Debug)]
pub(super) struct Start {
    keyframe: Option<usize>,
    acts: Vec<Act>,
}

#[derive(Clone, Debug)]
struct Act {
    target: Target,
    range: Range<usize>,
    draw: Draw,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Qpos,
    Qvel,
}

#[derive(Clone, Debug)]
enum Draw {
    /// Adds a uniform draw to each.
    Uniform([f64; 2]),
    /// Adds a normal draw to each.
    Normal(f64),
    /// One for each.
    Set(Vec<f64>),
    /// From the box, as often as it takes to be farther from the origin than the one and nearer than the other.
    Box(Vec<[f64; 2]>, f64, f64),
}

/// A box that holds too little of what is asked for is given up.
const ATTEMPTS: usize = 100_000;

impl Start {
    /// # Errors
    /// One line that names the element.
    pub(super) fn compile(read: Read<'_>, keyframe: &str, config: &[StartConfig]) -> Result<Self> {
        let keyframe = match keyframe {
            "" => None,
            name => Some(read.find(MjtObjBase::mjOBJ_KEY, "keyframe", name).context("env.task.keyframe")?),
        };
        let act = |(i, config): (usize, &StartConfig)| {
            Act::compile(read, config).with_context(|| format!("env.task.reset[{i}] (`{}`)", config.of))
        };
        Ok(Self { keyframe, acts: config.iter().enumerate().map(act).collect::<Result<_>>()? })
    }

    /// Puts `data` there.
    ///
    /// # Errors
    /// One line: a box in which there is next to nothing of what is asked for.
    pub(super) fn start(&self, rng: &mut NumpyRandom, data: &mut MjData<Arc<MjModel>>) -> Result<()> {
        match self.keyframe {
            None => data.reset(),
            Some(key) => data.reset_keyframe(key).context("env.task.keyframe")?,
        }
        for (i, Act { target, range, draw }) in self.acts.iter().enumerate() {
            let values = match target {
                Target::Qpos => data.qpos_mut(),
                Target::Qvel => data.qvel_mut(),
            };
            draw.put(rng, &mut values[range.clone()]).with_context(|| format!("env.task.reset[{i}]"))?;
        }
        Ok(())
    }
}

impl Act {
    fn compile(read: Read<'_>, config: &StartConfig) -> Result<Self> {
        let (target, range) = target(read, &config.of).with_context(|| format!("of = {:?}", config.of))?;
        let n = range.len();
        let StartConfig { uniform, normal, set, within, farther_than, nearer_than, .. } = config;
        let given = [uniform.is_some(), normal.is_some(), set.is_some(), !within.is_empty()];
        let found = given.iter().filter(|given| **given).count();
        ensure!(found == 1, "expected one of uniform, normal, set and box, found {found}");
        ensure!(
            !within.is_empty() || farther_than.is_none() && nearer_than.is_none(),
            "farther_than and nearer_than: expected a box beside them, found none"
        );
        let draw = if let Some(span) = uniform {
            let range = ordered("uniform", span.range())?;
            range.into_iter().try_for_each(|bound| finite("uniform", bound))?;
            Draw::Uniform(range)
        } else if let Some(deviation) = normal {
            finite("normal", *deviation)?;
            ensure!(*deviation >= 0.0, "normal = {deviation}: expected at least 0");
            Draw::Normal(*deviation)
        } else if let Some(numbers) = set {
            let numbers = match numbers {
                Numbers::One(number) => vec![*number; n],
                Numbers::Each(numbers) => numbers.clone(),
            };
            ensure!(numbers.len() == n, "set: expected one number or {n}, found {}", numbers.len());
            numbers.iter().try_for_each(|number| finite("set", *number))?;
            Draw::Set(numbers)
        } else {
            let (far, near) = (farther_than.unwrap_or(-1.0), nearer_than.unwrap_or(f64::INFINITY));
            ensure!(within.len() == n, "box: expected a range for each of {n} numbers, found {}", within.len());
            for range in within {
                ordered("box", *range)?;
                range.iter().try_for_each(|bound| finite("box", *bound))?;
            }
            let nearest: Vec<f64> = within.iter().map(|[low, high]| 0.0_f64.clamp(*low, *high)).collect();
            let farthest: Vec<f64> = within.iter().map(|[low, high]| low.abs().max(high.abs())).collect();
            ensure!(
                far < near && norm(&nearest) < near && norm(&farthest) > far,
                "box: expected something in it farther than {far} and nearer than {near}, found it {} to {} from the origin",
                norm(&nearest),
                norm(&farthest)
            );
            Draw::Box(within.clone(), far, near)
        };
        Ok(Self { target, range, draw })
    }
}

fn target(read: Read<'_>, of: &str) -> Result<(Target, Range<usize>)> {
    let place = read.place(of)?;
    match place.source {
        Source::Qpos => Ok((Target::Qpos, place.range)),
        Source::Qvel => Ok((Target::Qvel, place.range)),
        _ => bail!("expected qpos, qvel, joint:NAME or joint_velocity:NAME"),
    }
}

impl Draw {
    fn put(&self, rng: &mut NumpyRandom, values: &mut [f64]) -> Result<()> {
        match self {
            Self::Uniform([low, high]) => values.iter_mut().for_each(|x| *x += rng.uniform(*low, *high)),
            Self::Normal(deviation) => values.iter_mut().for_each(|x| *x += deviation * rng.standard_normal()),
            Self::Set(numbers) => values.copy_from_slice(numbers),
            Self::Box(ranges, far, near) => {
                for _ in 0..ATTEMPTS {
                    values.iter_mut().zip(ranges).for_each(|(x, [low, high])| *x = rng.uniform(*low, *high));
                    let distance = norm(values);
                    if *far < distance && distance < *near {
                        return Ok(());
                    }
                }
                bail!("box: expected draws farther than {far} and nearer than {near}, found none of {ATTEMPTS}");
            }
        }
        Ok(())
    }
}
