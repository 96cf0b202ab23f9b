//! What follows a layer's product of a matrix and a vector ([`crate::matvec`]), value by value. Written once over a chunk of lanes; a
//! back end (see [`crate::kernels`]) says what that is. Every function is inlined into its back end's entry point, so that it is
//! compiled with that back end's instructions.
//!
//! All vectors are padded to sixteen values; what the padding holds does not matter to any value that counts.

use crate::kernels::{Chunk, Vectors};
use crate::matvec::piece;

use dreamstep_core::dims::LANES;
use dreamstep_core::maths::{Lane, exp, sigmoid, tanh};
use dreamstep_core::schema::Squash;

/// `clamp((obs − mean)·inv_std, ±clip)`, in place, `[O]`.
#[inline(always)]
pub(crate) fn whiten<V: Vectors>(mean: &[f32], inv_std: &[f32], clip: f32, obs: &mut [f32]) {
    let statistics = chunks::<V>(mean).zip(chunks::<V>(inv_std));
    for (x, (mean, inv_std)) in chunks_mut::<V>(obs).zip(statistics) {
        let white = V::Chunk::read(x).sub(V::Chunk::read(mean)).mul(V::Chunk::read(inv_std));
        white.max(Lane::splat(-clip)).min(Lane::splat(clip)).write(x);
    }
}

/// `max(x, 0)`, in place.
#[inline(always)]
pub(crate) fn relu<V: Vectors>(x: &mut [f32]) {
    each::<V>(x, |x| x.max(Lane::splat(0.0)));
}

/// `1/(1 + e⁻ˣ)`, in place.
#[inline(always)]
pub(crate) fn logistic<V: Vectors>(x: &mut [f32]) {
    each::<V>(x, sigmoid);
}

/// Any NaN becomes the canonical one, in place: payloads differ between processors.
#[inline(always)]
pub(crate) fn no_nan<V: Vectors>(x: &mut [f32]) {
    each::<V>(x, Lane::nan_is_canonical);
}

/// From the controller's output to an action in [-1, 1], in place, `[A]`.
#[inline(always)]
pub(crate) fn squash<V: Vectors>(squash: Squash, u: &mut [f32]) {
    match squash {
        Squash::Clamp => each::<V>(u, |u| u.max(Lane::splat(-1.0)).min(Lane::splat(1.0)).nan_where_nan(u)),
        Squash::Tanh => each::<V>(u, tanh),
    }
}

/// `mid + half·u`: an action in [-1, 1] in the environment's units, `[A]`.
#[inline(always)]
pub(crate) fn actuate<V: Vectors>(mid: &[f32], half: &[f32], u: &[f32], action: &mut [f32]) {
    let map = chunks::<V>(mid).zip(chunks::<V>(half));
    for ((u, action), (mid, half)) in chunks::<V>(u).zip(chunks_mut::<V>(action)).zip(map) {
        V::Chunk::read(mid).add(V::Chunk::read(half).mul(V::Chunk::read(u))).write(action);
    }
}

/// `(gates, c)` → `(h', c')`: the LSTM cell after its gates' sums, i, f, g, o (Hochreiter & Schmidhuber 1997, with the forget gate of
/// Gers et al. 2000, as PyTorch's `LSTMCell` has it). `gates` `[H/16, 4, 16]`, `c` and `h` `[H]`.
#[inline(always)]
pub(crate) fn lstm_cell<V: Vectors>(gates: &[f32], c: &mut [f32], h: &mut [f32]) {
    let units = c.as_chunks_mut::<LANES>().0.iter_mut().zip(h.as_chunks_mut::<LANES>().0);
    let gates = gates.as_chunks::<LANES>().0.as_chunks::<4>().0;
    for ([i, f, g, o], (c, h)) in gates.iter().zip(units) {
        let ifgo = chunks::<V>(i).zip(chunks::<V>(f)).zip(chunks::<V>(g).zip(chunks::<V>(o)));
        for (((i, f), (g, o)), (c, h)) in ifgo.zip(chunks_mut::<V>(c).zip(chunks_mut::<V>(h))) {
            let [i, f, g, o] = [i, f, g, o].map(V::Chunk::read);
            let next = sigmoid(f).mul(V::Chunk::read(c)).add(sigmoid(i).mul(tanh(g)));
            next.write(c);
            sigmoid(o).mul(tanh(next)).write(h);
        }
    }
}

/// `(u, v, h)` → `h'`: the GRU cell after its gates' sums (Cho et al. 2014, as PyTorch's `GRUCell` has it: the reset gate scales what
/// the candidate takes from h after the product with the weights). `input`, over `[a, z]`, and `hidden`, over h, are `[3, H]`: r, z, n,
/// each padded. `h` `[H]`, in place.
#[inline(always)]
pub(crate) fn gru_cell<V: Vectors>(input: &[f32], hidden: &[f32], h: &mut [f32]) {
    let units = h.len();
    let gate = |sums, gate: usize| chunks::<V>(piece(sums, gate, units));
    let reset = gate(input, 0).zip(gate(hidden, 0));
    let update = gate(input, 1).zip(gate(hidden, 1));
    let candidate = gate(input, 2).zip(gate(hidden, 2));
    for (((r, z), (u, v)), h) in reset.zip(update).zip(candidate).zip(chunks_mut::<V>(h)) {
        let sum = |(u, v): (&_, &_)| V::Chunk::read(u).add(V::Chunk::read(v));
        let (r, z) = (sigmoid(sum(r)), sigmoid(sum(z)));
        let n = tanh(V::Chunk::read(u).add(r.mul(V::Chunk::read(v))));
        let one: V::Chunk = Lane::splat(1.0);
        one.sub(z).mul(n).add(z.mul(V::Chunk::read(h))).write(h);
    }
}

/// `z += e^(clamp(log_var)/2)·noise`: a draw from the encoder's Gaussian (Kingma & Welling 2014), `[Z]`.
#[inline(always)]
pub(crate) fn draw<V: Vectors>([low, high]: [f32; 2], log_var: &[f32], noise: &[f32], z: &mut [f32]) {
    let inputs = chunks::<V>(log_var).zip(chunks::<V>(noise));
    for (z, (log_var, noise)) in chunks_mut::<V>(z).zip(inputs) {
        let log_var = V::Chunk::read(log_var).max(Lane::splat(low)).min(Lane::splat(high));
        let std = exp(log_var.mul(Lane::splat(0.5)));
        V::Chunk::read(z).add(std.mul(V::Chunk::read(noise))).nan_is_canonical().write(z);
    }
}

#[inline(always)]
fn each<V: Vectors>(x: &mut [f32], function: impl Fn(V::Chunk) -> V::Chunk) {
    chunks_mut::<V>(x).for_each(|x| function(V::Chunk::read(x)).write(x));
}

/// A padded vector's chunks. (As cells: zipping `chunks_exact` divides by their size, and a division may panic where it is not known.)
#[inline(always)]
pub(crate) fn chunks<V: Vectors>(values: &[f32]) -> core::slice::Iter<'_, <V::Chunk as Chunk>::Cell> {
    V::Chunk::cells(values).iter()
}

/// The same, to write to.
#[inline(always)]
pub(crate) fn chunks_mut<V: Vectors>(values: &mut [f32]) -> core::slice::IterMut<'_, <V::Chunk as Chunk>::Cell> {
    V::Chunk::cells_mut(values).iter_mut()
}
