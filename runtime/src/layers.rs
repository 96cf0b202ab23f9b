//! What does each layer compute? Written once, over a register of sixteen lanes; a back end (see [`crate::kernels`]) says what that
//! is. Every function is inlined into its back end's entry point, so that it is compiled with that back end's instructions.
//!
//! No path here panics, allocates or depends on the data: lengths were checked when the model was loaded, and where a slice
//! could still be too short for the type system, the loop ends.

use crate::agent::Work;
use crate::kernels::F32x16;
use crate::model::{Layer, Model};
use dreamstep_core::dims::LANES;
use dreamstep_core::maths::{sigmoid, tanh};
use dreamstep_core::schema::Squash;

/// Observation → latent: whitening, then the encoder's three layers. Ha & Schmidhuber (2018), V; z is the mean.
///
/// Reads `work.obs` `[O]`, writes `work.z` `[Z]`.
#[inline(always)]
pub(crate) fn encode<S: F32x16>(model: &Model<'_>, work: &mut Work<'_>) {
    normalise::<S>(model, work.obs);
    let relu = |s: S| s.max(S::splat(0.0));
    dense(&model.encoder_0, &[prefix(work.obs, model.settings.dims.obs)], work.e1, relu); // [E1]
    dense(&model.encoder_2, &[prefix(work.e1, model.settings.dims.encoder[0])], work.e2, relu); // [E2]
    dense(&model.encoder_mean, &[prefix(work.e2, model.settings.dims.encoder[1])], work.z, S::nan_is_canonical); // [Z]
}

/// `[z, h]` → action: the linear controller, its squashing, and the affine map to the environment's units. Ha & Schmidhuber
/// (2018), equation 1.
///
/// Reads `work.z`, `work.h`; writes `work.unit_action` (in [-1, 1]) and `work.action` (in the action range), both `[A]`.
#[inline(always)]
pub(crate) fn control<S: F32x16>(model: &Model<'_>, work: &mut Work<'_>) {
    let dims = &model.settings.dims;
    let inputs = [prefix(work.z, dims.latent), prefix(work.h, dims.hidden)];
    match model.settings.squash {
        Squash::Clamp => dense(&model.controller, &inputs, work.unit_action, |u: S| {
            u.max(S::splat(-1.0)).min(S::splat(1.0)).nan_where_nan(u)
        }),
        Squash::Tanh => {
            // Not passed to `dense`: a function this large becomes a call there, compiled without the instruction set's features.
            dense(&model.controller, &inputs, work.unit_action, |u: S| u);
            blocks_mut(work.unit_action).iter_mut().for_each(|u| tanh(S::load(u)).store(u));
        }
    }
    let map = blocks(model.action_mid).iter().zip(blocks(model.action_half));
    for ((u, action), (mid, half)) in blocks(work.unit_action).iter().zip(blocks_mut(work.action)).zip(map) {
        S::load(mid).add(S::load(half).mul(S::load(u))).store(action);
    }
}

/// `([a, z], h, c)` → `(h', c')`: the LSTM cell, gates i, f, g, o (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et
/// al. 2000, as PyTorch's `LSTMCell` has it).
///
/// Reads `work.unit_action`, `work.z`, `work.h`, `work.c`; writes `work.h`, `work.c`.
#[inline(always)]
pub(crate) fn remember<S: F32x16>(model: &Model<'_>, work: &mut Work<'_>) {
    let dims = &model.settings.dims;
    let inputs = [prefix(work.unit_action, dims.action), prefix(work.z, dims.latent), prefix(work.h, dims.hidden)];
    let units = blocks_mut(work.c).iter_mut().zip(blocks_mut(work.h_next));
    let mut panels = model.rnn.panels();
    for (c, h) in units {
        let [i, f, g, o] = panel::<S, 4>(panels.next().unwrap_or_default(), &inputs);
        let next = sigmoid(f).mul(S::load(c)).add(sigmoid(i).mul(tanh(g)));
        next.store(c);
        sigmoid(o).mul(tanh(next)).store(h);
    }
    for (h, next) in work.h.iter_mut().zip(work.h_next.iter()) {
        *h = *next;
    }
}

/// `h` → the mixture's parameters, reward and terminal logit, linear (Bishop 1994; Ha & Schmidhuber 2018, M).
///
/// Reads `work.h`, writes `work.head` `[(2Z+1)K+2]`.
#[inline(always)]
pub(crate) fn head<S: F32x16>(gmm: &Layer<'_>, work: &mut Work<'_>) {
    dense(gmm, &[prefix(work.h, gmm.inputs())], work.head, S::nan_is_canonical);
}

/// `clamp((obs − mean)·inv_std, ±clip)`, in place.
#[inline(always)]
fn normalise<S: F32x16>(model: &Model<'_>, obs: &mut [f32]) {
    let clip = model.settings.obs_clip;
    let statistics = blocks(model.observation_mean).iter().zip(blocks(model.observation_inv_std));
    for (x, (mean, inv_std)) in blocks_mut(obs).iter_mut().zip(statistics) {
        let white = S::load(x).sub(S::load(mean)).mul(S::load(inv_std));
        white.max(S::splat(-clip)).min(S::splat(clip)).store(x);
    }
}

/// `activate(W·inputs + b)`; the inputs are taken as if they stood in one row.
#[inline(always)]
fn dense<S: F32x16>(layer: &Layer<'_>, inputs: &[&[f32]], out: &mut [f32], activate: impl Fn(S) -> S + Copy) {
    match layer.width() / LANES {
        4 => panels::<S, 4>(layer, inputs, out, activate),
        3 => panels::<S, 3>(layer, inputs, out, activate),
        2 => panels::<S, 2>(layer, inputs, out, activate),
        _ => panels::<S, 1>(layer, inputs, out, activate),
    }
}

#[inline(always)]
fn panels<S: F32x16, const N: usize>(layer: &Layer<'_>, inputs: &[&[f32]], out: &mut [f32], activate: impl Fn(S) -> S) {
    for (out, weights) in blocks_mut(out).as_chunks_mut::<N>().0.iter_mut().zip(layer.panels()) {
        for (out, sum) in out.iter_mut().zip(panel::<S, N>(weights, inputs)) {
            activate(sum).store(out);
        }
    }
}

/// One panel: each output starts from its bias (row 0) and adds `w[k]·x[k]`, `k` ascending. This order is the contract.
#[inline(always)]
fn panel<S: F32x16, const N: usize>(weights: &[f32], inputs: &[&[f32]]) -> [S; N] {
    let rows = blocks(weights).as_chunks::<N>().0;
    let Some((bias, mut rows)) = rows.split_first() else { return [S::splat(0.0); N] };
    let mut sums = bias.each_ref().map(S::load);
    for input in inputs {
        let Some((here, rest)) = rows.split_at_checked(input.len()) else { return sums };
        for (row, &x) in here.iter().zip(*input) {
            let x = S::splat(x);
            for (sum, weight) in sums.iter_mut().zip(row) {
                *sum = sum.add(S::load(weight).mul(x));
            }
        }
        rows = rest;
    }
    sums
}

/// A padded vector as registers' worth.
#[inline(always)]
fn blocks(values: &[f32]) -> &[[f32; LANES]] {
    values.as_chunks().0
}

#[inline(always)]
fn blocks_mut(values: &mut [f32]) -> &mut [[f32; LANES]] {
    values.as_chunks_mut().0
}

/// The first `n` values of a padded vector.
#[inline(always)]
fn prefix(values: &[f32], n: usize) -> &[f32] {
    values.get(..n).unwrap_or_default()
}
