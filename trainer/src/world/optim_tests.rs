//! The oracle is libtorch's own optimiser, by tch.

use super::*;
use crate::world::nets::{linear, matrix, normals};
use dreamstep_core::rng::{Philox, Stream};
use tch::nn::{Module, OptimizerConfig};
use tch::{Device, Kind};

/// Two layers with a kink between them, and a weight that no loss depends on.
struct Network {
    vs: nn::VarStore,
    layers: [nn::Linear; 2],
}

impl Network {
    fn new() -> Self {
        tch::set_num_threads(1);
        let vs = nn::VarStore::new(Device::Cpu);
        let root = vs.root();
        let layers = [linear(&(&root / "a"), 7, 33, Philox::new(3)), linear(&(&root / "b"), 33, 5, Philox::new(3))];
        let _ = linear(&(&root / "idle"), 2, 2, Philox::new(3));
        Self { vs, layers }
    }

    /// Another batch in every step; `scale` makes gradients long.
    fn loss(&self, step: u64, scale: f64) -> Tensor {
        let draw = |stream, columns| matrix(&normals(Philox::new(4), stream, step, 16 * columns), columns, Device::Cpu);
        let y = self.layers[1].forward(&self.layers[0].forward(&draw(Stream::VaeNoise, 7)).relu());
        (y - draw(Stream::LatentNoise, 5) * scale).square().mean(Kind::Float)
    }

    fn weights(&self) -> Vec<f32> {
        let mut all: Vec<_> = self.vs.variables().into_iter().collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.iter().flat_map(|(_, weight)| to_vec(weight).unwrap()).collect()
    }
}

/// A learning rate for every step, as a schedule has it.
fn rate(step: u64) -> f64 {
    crate::world::schedule::cosine(3e-3, f64::from(step as u32) / 60.0)
}

/// 50 steps with libtorch and with ours: weights, of order 0.1, move by 0.03 and more and stay within 5e-7 of each other, absolutely
/// (6e-8 was seen). What differs is rounding.
fn agrees(rule: OptimizerRule, mut theirs: impl FnMut(&nn::VarStore) -> nn::Optimizer) {
    for (clip, scale) in [(None, 1.0), (Some(0.5), 20.0), (Some(1e6), 1.0)] {
        let (a, b) = (Network::new(), Network::new());
        let (start, mut reference) = (a.weights(), theirs(&b.vs));
        let mut ours = Optimizer::new(&a.vs, rule, 0.0);
        for step in 0..50 {
            ours.set_learning_rate(rate(step));
            ours.backward_step(&a.loss(step, scale), clip);
            reference.set_lr(rate(step));
            match clip {
                Some(max) => reference.backward_step_clip_norm(&b.loss(step, scale), max),
                None => reference.backward_step(&b.loss(step, scale)),
            }
        }
        let far = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
        let (difference, moved) = (far(&a.weights(), &b.weights()), far(&a.weights(), &start));
        assert!(
            difference <= 5e-7,
            "{rule:?}, clip {clip:?}: expected libtorch's weights, found {difference:e} between them"
        );
        assert!(moved > 0.03, "{rule:?}, clip {clip:?}: moved by {moved}");
    }
}

#[test]
fn adam_is_libtorchs() {
    agrees(OptimizerRule::Adam, |vs| nn::Adam::default().build(vs, 1.0).unwrap());
}

#[test]
fn rmsprop_is_libtorchs() {
    agrees(OptimizerRule::RmsProp, |vs| nn::RmsProp { alpha: 0.9, ..nn::RmsProp::default() }.build(vs, 1.0).unwrap());
}

/// One step from rest, by hand: Adam's is α against the gradient's sign, RMSprop's √10 times as long.
#[test]
fn the_first_step_is_known() {
    for (rule, expected) in [(OptimizerRule::Adam, 0.01), (OptimizerRule::RmsProp, 0.01 * 10.0_f64.sqrt())] {
        let vs = nn::VarStore::new(Device::Cpu);
        let w = vs.root().var_copy("w", &Tensor::from_slice(&[1.0_f32, -2.0]));
        let mut optimizer = Optimizer::new(&vs, rule, 0.01);
        optimizer.backward_step(&(&w * Tensor::from_slice(&[3.0_f32, -7.0])).sum(Kind::Float), None);
        let found = to_vec(&w).unwrap();
        for (found, wanted) in found.iter().zip([1.0 - expected, -2.0 + expected]) {
            assert!((f64::from(*found) - wanted).abs() < 1e-6, "{rule:?}: expected {wanted}, found {found}");
        }
    }
}

/// Autograd may hand out one gradient tensor for two weights, as it does here: cutting it in place would cut it twice.
#[test]
fn weights_that_share_a_gradient_are_cut_once() {
    let vs = nn::VarStore::new(Device::Cpu);
    let [a, b] = ["a", "b"].map(|name| vs.root().var_copy(name, &Tensor::from_slice(&[0.0_f32])));
    // By RMSprop from rest every step is as long; its memory shows the gradient: s = g².
    let mut optimizer = Optimizer::new(&vs, OptimizerRule::RmsProp, 0.01);
    optimizer.backward_step(&((&a + &b) * 30.0).sum(Kind::Float), Some(1.0));
    for (name, s) in optimizer.memory() {
        let s = s.double_value(&[0]);
        assert!((s - 0.5).abs() < 1e-6, "{name}: expected (1/√2)², found {s}");
    }
}

#[test]
fn a_saved_state_goes_on_bit_for_bit() {
    for rule in [OptimizerRule::Adam, OptimizerRule::RmsProp] {
        let (a, b) = (Network::new(), Network::new());
        let run = |network: &Network, optimizer: &mut Optimizer, steps: std::ops::Range<u64>| {
            for step in steps {
                optimizer.set_learning_rate(rate(step));
                optimizer.backward_step(&network.loss(step, 1.0), Some(1.0));
            }
        };
        let mut whole = Optimizer::new(&a.vs, rule, 1.0);
        run(&a, &mut whole, 0..7);
        let mut state = Checkpoint { tensors: crate::world::nets::export(&a.vs).unwrap(), ..Checkpoint::default() };
        whole.save(&mut state).unwrap();
        run(&a, &mut whole, 7..20);

        let state = Checkpoint::from_bytes("s", &state.to_bytes().unwrap()).unwrap();
        crate::world::nets::import(&b.vs, &state).unwrap();
        let mut resumed = Optimizer::new(&b.vs, rule, 1.0);
        resumed.load(&state).unwrap();
        assert_eq!(resumed.updates(), 7);
        run(&b, &mut resumed, 7..20);
        assert_eq!(a.weights(), b.weights(), "{rule:?}");
        // Without its memory it would not have.
        crate::world::nets::import(&b.vs, &state).unwrap();
        run(&b, &mut Optimizer::new(&b.vs, rule, 1.0), 7..20);
        assert_ne!(a.weights(), b.weights(), "{rule:?}");

        let other = if rule == OptimizerRule::Adam { OptimizerRule::RmsProp } else { OptimizerRule::Adam };
        let error = Optimizer::new(&b.vs, other, 1.0).load(&state).unwrap_err().to_string();
        assert_eq!(error, format!("s: metadata optimizer: expected {}, found {}", other.name(), rule.name()));
        let mut lacking = state.clone();
        lacking.tensors.remove("optimizer.squares.b.bias");
        let error = Optimizer::new(&b.vs, rule, 1.0).load(&lacking).unwrap_err().to_string();
        assert_eq!(error, "s: tensor optimizer.squares.b.bias: expected shape [5], found no such tensor");
    }
}
