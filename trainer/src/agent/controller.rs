//! C on the host: its weights as one vector, and the only place where such a vector becomes tensors or an acting model.
//!
//! ```text
//! values: of each of C's layers, in order, weights [N, K] row-major, then biases [N]
//!   evolution's parameters ─fold→ values ─┬─ tensors of a checkpoint ([`insert`], [`read`])
//!                                         └─ panels ─→ the model that acts ([`panels`], the runtime's `Model::with_controller`)
//! ```
//! What C is (which layers, of what sizes) says [`Dims::c`] alone; nothing here knows how many layers there are.

use crate::agent::action;
use crate::agent::mlp::Mlp;
use crate::env::ActionSpace;
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::config::{Config, controller_of};
use crate::stats::uniform_values;
use anyhow::{Context, Result, ensure};
use dreamstep_core::c::{Activation, Controller, ControllerKind};
use dreamstep_core::dims::Dims;
use dreamstep_core::maths::{ln, tanh};
use dreamstep_core::names::metadata;
use dreamstep_core::pack::controller_panels;
use dreamstep_core::rng::Philox;
use dreamstep_core::schema::{LayerSpec, Source, Squash};

/// The C that a checkpoint says it holds; one that does not say is linear and reads z and h.
///
/// # Errors
/// One line naming the file, the key, and what was found.
pub fn said(checkpoint: &Checkpoint) -> Result<Controller> {
    let input = checkpoint.input()?;
    let said = |key: &str| checkpoint.metadata.get(key).map(String::as_str);
    let bad = |key: &str, expected: &str| {
        format!("{}: {key}: expected {expected}, found {}", checkpoint.origin, said(key).unwrap_or("none"))
    };
    match said(metadata::C_KIND) {
        None | Some("linear") => Ok(Controller::linear(input)),
        Some("mlp") => {
            let widths: Option<Vec<usize>> =
                said(metadata::C_HIDDEN).and_then(|text| text.split(',').map(|width| width.parse().ok()).collect());
            let known = |activation: &Activation| Some(activation.name()) == said(metadata::C_ACTIVATION);
            let activation = Activation::ALL.into_iter().find(known);
            let activation = activation.with_context(|| bad(metadata::C_ACTIVATION, "tanh or relu"))?;
            let widths = widths.filter(|widths| !widths.is_empty());
            let controller = widths.and_then(|widths| controller_of(input, &widths, activation));
            controller.with_context(|| bad(metadata::C_HIDDEN, "one or two widths, separated by a comma"))
        }
        Some(_) => anyhow::bail!(bad(metadata::C_KIND, "linear or mlp")),
    }
}

/// How the C in `checkpoint` squashes; none where it does not say (one that was imported).
///
/// # Errors
/// One line naming the file, the key, and what was found.
pub fn said_squash(checkpoint: &Checkpoint) -> Result<Option<Squash>> {
    let Some(found) = checkpoint.metadata.get(metadata::ACTION_SQUASH) else { return Ok(None) };
    let known = Squash::ALL.into_iter().find(|squash| squash.name() == found);
    let bad = || format!("{}: {}: expected clamp or tanh, found {found}", checkpoint.origin, metadata::ACTION_SQUASH);
    known.with_context(bad).map(Some)
}

/// The keys of the configuration that make C another controller. What it was trained with belongs to it.
const TRAINED_WITH: [&str; 4] = ["controller.squash", "controller.input", "controller.hidden", "controller.activation"];

/// That `config` asks for what the C in `checkpoint` was trained with. One that does not say (it was imported) is believed.
///
/// # Errors
/// One line: the first key that differs, then and now.
pub fn check_trained(checkpoint: &Checkpoint, config: &Config) -> Result<()> {
    let Some(recorded) = checkpoint.metadata.get(meta::CONFIG) else { return Ok(()) };
    let table = |text: &str| text.parse::<toml::Table>().with_context(|| format!("{}: {}", checkpoint.origin, meta::CONFIG));
    let (then, now) = (table(recorded)?, table(&config.provenance())?);
    let is_discrete = action::is_discrete(checkpoint);
    fn at<'t>(table: &'t toml::Table, key: &str) -> Option<&'t toml::Value> {
        match key.split_once('.') {
            Some((section, key)) => at(table.get(section)?.as_table()?, key),
            None => table.get(key),
        }
    }
    // Nothing follows the layer of a linear C, and nothing squashes choices.
    let is_linear = config.controller.hidden.is_empty();
    let unread = |key: &str| is_linear && key.ends_with("activation") || is_discrete && key.ends_with("squash");
    for key in TRAINED_WITH.into_iter().filter(|key| !unread(key)) {
        if let (Some(then), Some(now)) = (at(&then, key), at(&now, key)) {
            ensure!(
                then == now,
                "{}: trained with {key} = {then}, expected {now} as asked for; train --stage controller --force evolves it anew",
                checkpoint.origin
            );
        }
    }
    Ok(())
}

/// Values of C.
#[must_use]
pub fn len(dims: &Dims) -> usize {
    dims.controller_layers().iter().map(|layer| layer.rows.count() * (layer.inputs + 1)).sum()
}

/// Outputs of the layer that reads the features: those of C, where that is its only one.
#[must_use]
pub fn units(dims: &Dims) -> usize {
    dims.controller_layers().at(0).rows.count()
}

/// The score that is enough for a limit of the range: its tanh is 0.96.
const MOST_TANH: f32 = 2.0;

/// What evolution begins with, on whitened features: a last layer of zeros, whose biases ask for the action nearest to 0, and before it hidden layers
/// drawn as PyTorch draws a layer's weights, since zeros there would leave every unit like every other. Where a range is no symmetric one,
/// its middle is no rest: a car's would brake.
#[must_use]
pub fn start(dims: &Dims, rng: Philox, squash: Squash, actions: &ActionSpace) -> Vec<f32> {
    let layers = dims.controller_layers();
    let mut values = Vec::with_capacity(len(dims));
    for (index, layer) in layers.iter().enumerate() {
        let (n, k) = (layer.rows.count(), layer.inputs);
        match index + 1 < layers.len() {
            true => values.extend(uniform_values(names(layer).0, n * k, 1.0 / (k as f64).sqrt(), rng)),
            false => values.extend(std::iter::repeat_n(0.0, n * k)),
        }
        values.extend(std::iter::repeat_n(0.0, n));
    }
    if let ActionSpace::Continuous { low, .. } = actions {
        let mut rest = Vec::new();
        // Numbers are always heard.
        let _ = actions.ear().hear(&vec![0.0; low.len()], &mut rest);
        let scores = rest.iter().map(|&unit| match squash {
            Squash::Clamp => unit,
            Squash::Tanh => before_tanh(unit, MOST_TANH),
        });
        let biases = values.len() - rest.len();
        values[biases..].iter_mut().zip(scores).for_each(|(bias, score)| *bias = score);
    }
    values
}

/// What tanh makes `unit` of, or `most` of its sign where that would be more.
#[must_use]
pub fn before_tanh(unit: f32, most: f32) -> f32 {
    let within = unit.clamp(-tanh(most), tanh(most));
    0.5 * ln((1.0 + within) / (1.0 - within))
}

/// Writes C of `dims` with these `values`, and what it is, into `checkpoint`.
pub fn insert(checkpoint: &mut Checkpoint, dims: &Dims, values: &[f32]) {
    for (name, shape, part) in tensors(dims, values) {
        checkpoint.insert(name, &shape, part.to_vec());
    }
    say(checkpoint, &dims.c);
}

/// Says in `checkpoint` to what actions C's outputs come, and how continuous ones are squashed.
pub fn say_acting(checkpoint: &mut Checkpoint, squash: Squash, actions: &ActionSpace) {
    if let ActionSpace::Continuous { .. } = actions {
        checkpoint.set_meta(metadata::ACTION_SQUASH, squash.name());
    }
    action::say(checkpoint, actions);
}

/// Says in `checkpoint` what C is; the usual goes without saying.
pub fn say(checkpoint: &mut Checkpoint, c: &Controller) {
    checkpoint.set_input(c.input);
    if let ControllerKind::Mlp { hidden, activation } = c.kind {
        let widths: Vec<_> = hidden.as_slice().iter().map(ToString::to_string).collect();
        checkpoint.set_meta(metadata::C_KIND, c.kind_name());
        checkpoint.set_meta(metadata::C_HIDDEN, widths.join(","));
        checkpoint.set_meta(metadata::C_ACTIVATION, activation.name());
    }
}

/// The values of C of `dims` in `checkpoint`.
///
/// # Errors
/// One line naming the file and the tensor that is missing or has another shape.
pub fn read(checkpoint: &Checkpoint, dims: &Dims) -> Result<Vec<f32>> {
    let mut values = Vec::with_capacity(len(dims));
    for (name, shape, _) in tensors(dims, &vec![0.0; len(dims)]) {
        values.extend(checkpoint.tensor(name, &shape)?);
    }
    Ok(values)
}

/// Names, shapes and parts of C's tensors.
///
/// # Panics
/// If `values` are fewer than [`len`].
pub fn tensors<'v>(dims: &Dims, values: &'v [f32]) -> Vec<(&'static str, Vec<usize>, &'v [f32])> {
    let (mut all, mut rest) = (Vec::new(), values);
    for layer in &dims.controller_layers() {
        let (n, k) = (layer.rows.count(), layer.inputs);
        let (weight, bias) = names(layer);
        for (name, shape) in [(weight, vec![n, k]), (bias, vec![n])] {
            let (part, after) = rest.split_at(shape.iter().product());
            all.push((name, shape, part));
            rest = after;
        }
    }
    all
}

/// What a checkpoint calls the weights and biases of one of C's layers.
fn names(layer: &LayerSpec) -> (&'static str, &'static str) {
    match layer.source {
        Source::Whole { weight, bias } => (weight, bias),
        _ => unreachable!("each of C's layers has two tensors of its own"),
    }
}

/// That `values` are those of a C of `dims`.
///
/// # Errors
/// One line: too few values or too many, or one that is not finite.
pub fn check(dims: &Dims, values: &[f32]) -> Result<()> {
    let expected = len(dims);
    ensure!(values.len() == expected, "expected {expected} weights and biases of C, found {}", values.len());
    ensure!(values.iter().all(|value| value.is_finite()), "expected finite weights and biases, found one that is not");
    Ok(())
}

/// `values` as `Model::with_controller` takes them.
///
/// # Errors
/// As [`check`]'s.
pub fn panels(dims: &Dims, values: &[f32]) -> Result<Vec<f32>> {
    check(dims, values)?;
    Ok(controller_panels(dims, values))
}

/// C with these `values`, without its squashing: in double precision, to learn from.
#[must_use]
pub fn mlp(dims: &Dims, values: &[f32]) -> Mlp {
    let mut rest = values;
    let mut layers = Vec::new();
    for layer in &dims.controller_layers() {
        let (weight, after) = rest.split_at(layer.rows.count() * layer.inputs);
        let (bias, after) = after.split_at(layer.rows.count());
        layers.push((weight, bias));
        rest = after;
    }
    // A single layer has nothing to apply one to.
    let ControllerKind::Mlp { activation, .. } = dims.c.kind else { return Mlp::new(layers, Activation::Tanh) };
    Mlp::new(layers, activation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evolution_begins_with_the_action_nearest_to_zero() {
        let biases = |squash, actions: &ActionSpace| {
            let values = start(&Dims::reactive(5, actions.len()), Philox::new(1), squash, actions);
            let (weights, biases) = values.split_at(values.len() - actions.len());
            assert!(weights.iter().all(|&weight| weight == 0.0));
            biases.to_vec()
        };
        // CarRacing's steering, gas and brake; and one that cannot be 0.
        let car = ActionSpace::Continuous { low: vec![-1.0, 0.0, 0.0, 2.0], high: vec![1.0, 1.0, 1.0, 6.0] };
        assert_eq!(biases(Squash::Clamp, &car), [0.0, -1.0, -1.0, -1.0]);
        let asked = biases(Squash::Tanh, &car);
        assert!(asked[0] == 0.0 && asked[1..].iter().all(|&score| (score + 2.0).abs() < 1e-5), "{asked:?}");
        assert_eq!(biases(Squash::Tanh, &ActionSpace::symmetric(3, 0.4)), [0.0; 3]);
    }
}
