//! Sixteen lanes in safe Rust: the specification of every other back end, and what runs where none of them does. Each lane is
//! `f32`'s own [`Lane`]; compilers turn the loops into whatever vectors the target has.

use super::F32x16;
use dreamstep_core::dims::LANES;
use dreamstep_core::maths::Lane;

/// Sixteen `f32`.
#[derive(Clone, Copy)]
pub(crate) struct Register([f32; LANES]);

/// Methods of [`Lane`] applied lane by lane. Zipped, not indexed: an index leaves a bounds check, and with it a panic, wherever the
/// compiler does not inline.
macro_rules! lanewise {
    (unary: $($name:ident),*) => {$(
        #[inline(always)]
        fn $name(mut self) -> Self {
            for lane in &mut self.0 {
                *lane = Lane::$name(*lane);
            }
            self
        }
    )*};
    (binary: $($name:ident),*) => {$(
        #[inline(always)]
        fn $name(mut self, rhs: Self) -> Self {
            for (lane, rhs) in self.0.iter_mut().zip(&rhs.0) {
                *lane = Lane::$name(*lane, *rhs);
            }
            self
        }
    )*};
}

impl Lane for Register {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }
    lanewise!(unary: abs, pow2_of_magic);
    lanewise!(binary: add, sub, mul, div, max, min, copysign, nan_where_nan);
    #[inline(always)]
    fn select_lt(mut a: Self, b: Self, yes: Self, no: Self) -> Self {
        for ((a, b), (yes, no)) in a.0.iter_mut().zip(&b.0).zip(yes.0.iter().zip(&no.0)) {
            *a = Lane::select_lt(*a, *b, *yes, *no);
        }
        a
    }
}

impl F32x16 for Register {
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        Self(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }
}
