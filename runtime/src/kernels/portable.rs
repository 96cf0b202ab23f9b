//! Sixteen lanes in safe Rust: the specification of every other back end, and what runs where none of them does. Each lane is
//! `f32`'s own [`Lane`]; compilers turn the loops into whatever vectors the target has.

use super::F32x16;
use core::array::from_fn;
use dreamstep_core::dims::LANES;
use dreamstep_core::maths::Lane;

/// Sixteen `f32`.
#[derive(Clone, Copy)]
pub(crate) struct Register([f32; LANES]);

/// A method of [`Lane`] applied lane by lane.
macro_rules! lanewise {
    ($($name:ident($($argument:ident),*);)*) => {$(
        #[inline(always)]
        fn $name(self $(, $argument: Self)*) -> Self {
            Self(from_fn(|i| Lane::$name(self.0[i] $(, $argument.0[i])*)))
        }
    )*};
}

impl Lane for Register {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }
    lanewise! {
        add(rhs);
        sub(rhs);
        mul(rhs);
        div(rhs);
        max(rhs);
        min(rhs);
        abs();
        copysign(sign);
        nan_where_nan(of);
        pow2_of_magic();
    }
    #[inline(always)]
    fn select_lt(a: Self, b: Self, yes: Self, no: Self) -> Self {
        Self(from_fn(|i| Lane::select_lt(a.0[i], b.0[i], yes.0[i], no.0[i])))
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
