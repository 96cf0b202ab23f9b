//! What is made of numbers: what an observation is made of, and the one number that a reward or an end looks at.
//!
//! ```text
//! Quantity [n]   ((of − minus) · scale / divide) → map → clip
//! Measure        take: n numbers → 1 | rate: (now − before) / seconds | power: xᵖ | exp: e^(k·x) | inside, outside: 1 or 0
//! ```
//! A step that is not asked for is not done: it costs nothing, and changes no bit.

use super::super::numpy_math::{norm, power, sum};
use super::place::{Place, Read, Source, World};
use crate::run::config::{Map, Minus, Numbers, QuantityConfig, Take};
use anyhow::{Context, Result, bail, ensure};

/// Numbers made of the simulation's.
#[derive(Clone, Debug)]
pub(super) struct Quantity {
    pub(super) place: Place,
    minus: Operand,
    scale: f64,
    divide: f64,
    map: Option<Map>,
    clip: Option<[f64; 2]>,
}

#[derive(Clone, Debug)]
enum Operand {
    Nothing,
    Place(Place),
    Numbers(Vec<f64>),
}

/// One number made of a quantity.
#[derive(Clone, Debug)]
pub(super) struct Measure {
    pub(super) quantity: Quantity,
    take: Option<Take>,
    pub(super) rate: bool,
    power: Option<f64>,
    exp: Option<f64>,
    range: Option<Range>,
}

/// A range, and on which side of it something holds.
#[derive(Clone, Copy, Debug)]
struct Range {
    low: f64,
    high: f64,
    strict: bool,
    outside: bool,
}

impl Quantity {
    /// # Errors
    /// One line: what is not in the model, or contradicts itself.
    pub(super) fn compile(read: Read<'_>, config: &QuantityConfig) -> Result<Self> {
        let place = read.place(&config.of).with_context(|| format!("of = {:?}", config.of))?;
        let n = place.len();
        let minus = match &config.minus {
            Minus::Nothing => Operand::Nothing,
            Minus::Numbers(Numbers::One(number)) => Operand::Numbers(vec![*number; n]),
            Minus::Numbers(Numbers::Each(numbers)) => Operand::Numbers(numbers.clone()),
            Minus::Quantity(of) => Operand::Place(read.place(of).with_context(|| format!("minus = {of:?}"))?),
        };
        let found = match &minus {
            Operand::Nothing => n,
            Operand::Place(place) => place.len(),
            Operand::Numbers(numbers) => numbers.len(),
        };
        ensure!(found == n, "minus: expected as many numbers as of = {:?} has, {n}, found {found}", config.of);
        if let Operand::Numbers(numbers) = &minus {
            numbers.iter().try_for_each(|number| finite("minus", *number))?;
        }
        finite("scale", config.scale)?;
        finite("divide", config.divide)?;
        ensure!(config.divide != 0.0, "divide = 0: expected another number");
        let clip = config.clip.map(|span| ordered("clip", span.range())).transpose()?;
        let Source::Alive = place.source else {
            return Ok(Self { place, minus, scale: config.scale, divide: config.divide, map: config.map, clip });
        };
        bail!("of = \"alive\": a reward's alone, and nothing is made of it but its weight")
    }

    /// Whether it is the numbers as they stand.
    pub(super) fn is_bare(&self) -> bool {
        let Self { minus, scale, divide, map, clip, .. } = self;
        matches!(minus, Operand::Nothing) && (*scale, *divide) == (1.0, 1.0) && map.is_none() && clip.is_none()
    }

    /// How many numbers.
    pub(super) const fn len(&self) -> usize {
        self.place.len()
    }

    /// What turns a number that was read back into the one that it was made of, as far as that is a factor; and the function in between.
    pub(super) fn inverse(&self) -> Option<(f64, Option<Map>)> {
        let plain = matches!(self.minus, Operand::Nothing) && self.scale != 0.0;
        (plain && (self.map.is_none() || self.scale == self.divide)).then(|| (self.divide / self.scale, self.map))
    }

    /// Writes the numbers into `out [n]`.
    #[inline]
    pub(super) fn read(&self, world: &World, out: &mut [f64]) {
        self.place.each(world, out, |out, x| *out = x);
        match &self.minus {
            Operand::Nothing => {}
            Operand::Place(place) => place.each(world, out, |out, x| *out -= x),
            Operand::Numbers(numbers) => out.iter_mut().zip(numbers).for_each(|(out, x)| *out -= x),
        }
        if self.scale != 1.0 {
            out.iter_mut().for_each(|x| *x *= self.scale);
        }
        if self.divide != 1.0 {
            out.iter_mut().for_each(|x| *x /= self.divide);
        }
        match self.map {
            None => {}
            Some(Map::Sin) => out.iter_mut().for_each(|x| *x = x.sin()),
            Some(Map::Cos) => out.iter_mut().for_each(|x| *x = x.cos()),
            Some(Map::Abs) => out.iter_mut().for_each(|x| *x = x.abs()),
            Some(Map::Tanh) => out.iter_mut().for_each(|x| *x = x.tanh()),
        }
        if let Some([low, high]) = self.clip {
            out.iter_mut().for_each(|x| *x = x.clamp(low, high));
        }
    }
}

impl Measure {
    /// # Errors
    /// As [`Quantity::compile`].
    pub(super) fn compile(read: Read<'_>, config: &QuantityConfig) -> Result<Self> {
        let quantity = Quantity::compile(read, config)?;
        let range = match (config.inside, config.outside) {
            (Some(_), Some(_)) => bail!("expected one of inside and outside, found both"),
            (Some(range), None) => Some(("inside", range)),
            (None, Some(range)) => Some(("outside", range)),
            (None, None) => None,
        };
        ensure!(range.is_some() || !config.strict, "strict: expected inside or outside beside it, found neither");
        let range = range.map(|(key, range)| {
            let [low, high] = ordered(key, range)?;
            anyhow::Ok(Range { low, high, strict: config.strict, outside: key == "outside" })
        });
        let &QuantityConfig { take, rate, power, exp, .. } = config;
        power.iter().try_for_each(|number| finite("power", *number))?;
        exp.iter().try_for_each(|number| finite("exp", *number))?;
        let n = quantity.len();
        ensure!(
            n == 1 || take.is_some() || !rate && power.is_none() && exp.is_none(),
            "of = {:?}: {n} numbers: expected one, or `take`, beside rate, power or exp",
            config.of
        );
        Ok(Self { quantity, take, rate, power, exp, range: range.transpose()? })
    }

    /// Whether it comes to one number.
    pub(super) fn is_one_number(&self) -> bool {
        self.quantity.len() == 1 || self.take.is_some() || self.range.is_some()
    }

    /// Whether it is a condition.
    pub(super) const fn is_condition(&self) -> bool {
        self.range.is_some()
    }

    /// Of `action` as it was asked for, squared and added up: as numpy does it, in binary32.
    pub(super) fn is_action_cost(&self) -> bool {
        let Self { quantity, take, rate, power, exp, range } = self;
        quantity.place.source == Source::Action
            && quantity.is_bare()
            && *take == Some(Take::Squares)
            && (!rate && power.is_none() && exp.is_none() && range.is_none())
    }

    /// What [`Self::value`] takes the rate of: now, before anything moves.
    pub(super) fn now(&self, world: &World, scratch: &mut [f64]) -> f64 {
        let values = &mut scratch[..self.quantity.len()];
        self.quantity.read(world, values);
        self.taken(values).unwrap_or(values[0])
    }

    /// The number; a condition's is 1 or 0. `before` is what [`Self::now`] was before the step, of so many seconds.
    pub(super) fn value(&self, world: &World, before: f64, dt_s: f64, scratch: &mut [f64]) -> f64 {
        let values = &mut scratch[..self.quantity.len()];
        self.quantity.read(world, values);
        if let Some(one) = self.taken(values) {
            values[0] = one;
        }
        if self.rate {
            values[0] = (values[0] - before) / dt_s;
        }
        if let Some(exponent) = self.power {
            values[0] = power(values[0], exponent);
        }
        if let Some(factor) = self.exp {
            values[0] = (factor * values[0]).exp();
        }
        let count = if self.take.is_some() { 1 } else { values.len() };
        match self.range {
            None => values[0],
            Some(range) => f64::from(u8::from(range.holds(&values[..count]))),
        }
    }

    fn taken(&self, values: &mut [f64]) -> Option<f64> {
        Some(match self.take? {
            Take::Sum => sum(values),
            Take::Squares => {
                values.iter_mut().for_each(|x| *x *= *x);
                sum(values)
            }
            Take::Norm => norm(values),
            Take::Min => values.iter().copied().fold(f64::INFINITY, least),
            Take::Max => -values.iter().map(|x| -x).fold(f64::INFINITY, least),
        })
    }
}

/// What is no number is passed on.
fn least(a: f64, b: f64) -> f64 {
    if a <= b || a.is_nan() { a } else { b }
}

impl Range {
    /// What is no number is in no range.
    fn holds(self, values: &[f64]) -> bool {
        let is_in = |x: &f64| match self.strict {
            true => self.low < *x && *x < self.high,
            false => self.low <= *x && *x <= self.high,
        };
        values.iter().all(is_in) != self.outside
    }
}

/// # Errors
/// One line that names `key`.
pub(super) fn finite(key: &str, number: f64) -> Result<()> {
    ensure!(number.is_finite(), "{key} = {number}: expected a finite number");
    Ok(())
}

/// That a range is one; its bounds may be infinite.
///
/// # Errors
/// One line that names `key`.
pub(super) fn ordered(key: &str, range: [f64; 2]) -> Result<[f64; 2]> {
    let [low, high] = range;
    ensure!(low <= high, "{key} = [{low}, {high}]: expected the least first, then the greatest");
    Ok(range)
}
