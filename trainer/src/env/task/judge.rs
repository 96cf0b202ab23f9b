//! The reward of a step, and whether the task is over: what the terms and ranges of a task come to.
//!
//! ```text
//! term     weight · measure, kept within ± limit
//! reward   (term + term + …) + (term + …) + …      the terms of a group first, groups and terms in the order in which they were written
//! over     any of the conditions
//! ```
//! The order of the additions is part of a task's definition: it decides the bits. A cost is a negative weight: a − b and a + (−b) are
//! the same number.

use super::super::numpy_math::sum;
use super::place::{Read, World};
use super::quantity::{Measure, finite};
use crate::run::config::QuantityConfig;
use anyhow::{Context, Result, ensure};

/// Terms and conditions.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    groups: Vec<Vec<Term>>,
    ends: Vec<Measure>,
    /// Seconds of a step, over which rates are taken.
    dt_s: f64,
}

#[derive(Clone, Debug)]
struct Term {
    what: What,
    weight: f64,
    limit: Option<f64>,
}

#[derive(Clone, Debug)]
enum What {
    /// 1 in a step that does not end the task.
    Alive,
    /// `weight · Σ a²` in binary32: numpy stays in the precision of the action, the weight included.
    ActionCost(Measure),
    Measure(Measure),
}

/// What judging needs room for, from step to step.
#[derive(Clone, Debug, Default)]
pub(in crate::env) struct Memory {
    /// What each rate is taken of, before the step.
    before: Vec<f64>,
    scratch: Vec<f64>,
    squares: Vec<f32>,
}

impl Judge {
    /// # Errors
    /// One line that names the term.
    pub(super) fn compile(read: Read<'_>, reward: &[QuantityConfig], ends: &[QuantityConfig], dt_s: f64) -> Result<Self> {
        ensure!(!reward.is_empty(), "env.task.reward: expected at least one term, found none");
        let (mut names, mut groups) = (Vec::new(), Vec::<Vec<Term>>::new());
        for (i, config) in reward.iter().enumerate() {
            let term = Term::compile(read, config).with_context(|| named("reward", i, config))?;
            match names.iter().position(|name| *name == &config.group) {
                Some(group) => groups[group].push(term),
                None => {
                    names.push(&config.group);
                    groups.push(vec![term]);
                }
            }
        }
        let end = |(i, config): (usize, &QuantityConfig)| {
            let compiled = || {
                unused(
                    config,
                    &[
                        ("weight", config.weight != 1.0),
                        ("limit", config.limit.is_some()),
                        ("group", !config.group.is_empty()),
                    ],
                )?;
                let end = Measure::compile(read, config)?;
                ensure!(end.is_condition(), "expected inside or outside, found neither");
                Ok(end)
            };
            compiled().with_context(|| named("terminate", i, config))
        };
        let ends = ends.iter().enumerate().map(end).collect::<Result<_>>()?;
        Ok(Self { groups, ends, dt_s })
    }

    /// What the reward holds of a constant in every step that does not end the task.
    pub(super) fn healthy_bonus(&self) -> f64 {
        let alive = self.groups.iter().flatten().filter(|term| matches!(term.what, What::Alive));
        alive.map(|term| term.weighted(1.0)).fold(0.0, |sum, bonus| sum + bonus)
    }

    fn measures(&self) -> impl Iterator<Item = &Measure> {
        let of_terms = self.groups.iter().flatten().filter_map(|term| match &term.what {
            What::Measure(measure) => Some(measure),
            _ => None,
        });
        self.ends.iter().chain(of_terms)
    }

    /// Room for what this judge keeps.
    pub(super) fn memory(&self) -> Memory {
        let actions = self.groups.iter().flatten().map(|term| match &term.what {
            What::ActionCost(cost) => cost.quantity.len(),
            _ => 0,
        });
        Memory {
            before: vec![0.0; self.measures().filter(|measure| measure.rate).count()],
            scratch: vec![0.0; self.measures().map(|measure| measure.quantity.len()).max().unwrap_or(0)],
            squares: vec![0.0; actions.max().unwrap_or(0)],
        }
    }

    /// Before a step: notes what rates are taken of.
    pub(super) fn mark(&self, world: &World, memory: &mut Memory) {
        let Memory { before, scratch, .. } = memory;
        let rates = self.measures().filter(|measure| measure.rate);
        before.iter_mut().zip(rates).for_each(|(before, measure)| *before = measure.now(world, scratch));
    }

    /// After it: the reward, and whether the task is over.
    pub(super) fn judge(&self, world: &World, memory: &mut Memory) -> (f64, bool) {
        let Memory { before, scratch, squares } = memory;
        // In the order of `measures`.
        let mut before = before.iter();
        let mut value = |measure: &Measure| {
            let before = if measure.rate { before.next().copied().unwrap_or(0.0) } else { 0.0 };
            measure.value(world, before, self.dt_s, scratch)
        };
        // All of them, so that rates find theirs.
        let over = self.ends.iter().fold(false, |over, end| over | (value(end) != 0.0));
        let mut term = |term: &Term| match &term.what {
            What::Alive => term.weighted(if over { 0.0 } else { 1.0 }),
            What::ActionCost(cost) => {
                let actions = &world.action[cost.quantity.place.range.clone()];
                let squares = &mut squares[..actions.len()];
                squares.iter_mut().zip(actions).for_each(|(square, a)| *square = a * a);
                term.limited(f64::from(term.weight as f32 * sum(squares)))
            }
            What::Measure(measure) => term.weighted(value(measure)),
        };
        let group = |terms: &Vec<Term>| terms.iter().map(&mut term).reduce(|sum, x| sum + x);
        let reward = self.groups.iter().filter_map(group).reduce(|sum, x| sum + x);
        (reward.unwrap_or(0.0), over)
    }
}

impl Term {
    fn compile(read: Read<'_>, config: &QuantityConfig) -> Result<Self> {
        finite("weight", config.weight)?;
        let limit = config.limit;
        if let Some(limit) = limit {
            ensure!(limit >= 0.0, "limit = {limit}: expected at least 0");
        }
        let what = if config.of == "alive" {
            let QuantityConfig { name, of, weight, limit, group, .. } = config.clone();
            let alone = QuantityConfig { name, of, weight, limit, group, ..QuantityConfig::default() };
            ensure!(*config == alone, "of = \"alive\": expected nothing beside it but name, weight, limit and group");
            What::Alive
        } else {
            let measure = Measure::compile(read, config)?;
            ensure!(
                measure.is_one_number(),
                "of = {:?}: {} numbers: expected one; choose with [i], or make one with take = \"sum\", \"squares\", \"norm\", \"min\" or \"max\"",
                config.of,
                measure.quantity.len()
            );
            if measure.is_action_cost() { What::ActionCost(measure) } else { What::Measure(measure) }
        };
        Ok(Self { what, weight: config.weight, limit })
    }

    fn weighted(&self, value: f64) -> f64 {
        self.limited(self.weight * value)
    }

    fn limited(&self, value: f64) -> f64 {
        self.limit.map_or(value, |limit| value.clamp(-limit, limit))
    }
}

/// How an error calls element `i` of a list.
pub(super) fn named(list: &str, i: usize, config: &QuantityConfig) -> String {
    let name = if config.name.is_empty() { &config.of } else { &config.name };
    format!("env.task.{list}[{i}] (`{name}`)")
}

/// That no key is given that has no use here.
///
/// # Errors
/// One line with the first.
pub(super) fn unused(config: &QuantityConfig, keys: &[(&str, bool)]) -> Result<()> {
    let found = keys.iter().find(|(_, given)| *given);
    ensure!(found.is_none(), "{}: has no use here", found.map_or("", |(key, _)| key));
    ensure!(!config.of.is_empty(), "of: expected the name of a quantity, found none");
    Ok(())
}
