//! What exactly are exp, tanh, sigmoid, ln and the normal quantile here? One polynomial each, written once over [`Lane`], made of
//! operations that IEEE 754 defines exactly. So every target computes the same bits, and `f32` (one lane, safe Rust) is the
//! specification that vector code is tested against.
//!
//! The coefficients are minimax fits (Lawson's iteration on Chebyshev nodes in extended precision, weighted for the error of
//! the final result), rounded to binary32. Products and sums are never fused.
//!
//! NaN in gives the one canonical NaN out: payloads differ between processors, and a digest must not.

/// The one NaN that leaves this module.
pub const CANONICAL_NAN: f32 = f32::from_bits(0x7fc0_0000);

/// A register's worth of binary32 values, or one of them. Each method is exact or correctly rounded, lane by lane.
pub trait Lane: Copy {
    /// `value` in every lane.
    fn splat(value: f32) -> Self;
    /// Sum.
    #[must_use]
    fn add(self, rhs: Self) -> Self;
    /// Difference.
    #[must_use]
    fn sub(self, rhs: Self) -> Self;
    /// Product.
    #[must_use]
    fn mul(self, rhs: Self) -> Self;
    /// Quotient.
    #[must_use]
    fn div(self, rhs: Self) -> Self;
    /// `if self > rhs { self } else { rhs }`: the second operand where they tie or either is NaN, as `maxps` has it.
    #[must_use]
    fn max(self, rhs: Self) -> Self;
    /// `if self < rhs { self } else { rhs }`, as `minps` has it.
    #[must_use]
    fn min(self, rhs: Self) -> Self;
    /// `if a < b { yes } else { no }`.
    #[must_use]
    fn select_lt(a: Self, b: Self, yes: Self, no: Self) -> Self;
    /// Clears the sign bit.
    #[must_use]
    fn abs(self) -> Self;
    /// The magnitude of `self` with the sign bit of `sign`.
    #[must_use]
    fn copysign(self, sign: Self) -> Self;
    /// [`CANONICAL_NAN`] where `of` is NaN, `self` elsewhere.
    #[must_use]
    fn nan_where_nan(self, of: Self) -> Self;
    /// `self`, any NaN replaced by the canonical one.
    #[inline(always)]
    #[must_use]
    fn nan_is_canonical(self) -> Self {
        self.nan_where_nan(self)
    }
    /// `2ⁿ` from `self = 1.5·2²³ + n`, -126 ≤ n ≤ 127: the bits shifted left by 23, plus those of 1.0.
    #[must_use]
    fn pow2_of_magic(self) -> Self;
    /// Square root, correctly rounded.
    #[must_use]
    fn sqrt(self) -> Self;
    /// `(e, m)` with `self = m·2ᵉ` and m in [√½, √2), for a positive normal number: `e` is the bits less those of √½, shifted right by
    /// 23 with their sign, as a float; `m` the bits less `e` shifted left by 23. Other numbers give what these operations give.
    #[must_use]
    fn split_at_sqrt_half(self) -> (Self, Self);
}

impl Lane for f32 {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        value
    }
    #[inline(always)]
    fn add(self, rhs: Self) -> Self {
        self + rhs
    }
    #[inline(always)]
    fn sub(self, rhs: Self) -> Self {
        self - rhs
    }
    #[inline(always)]
    fn mul(self, rhs: Self) -> Self {
        self * rhs
    }
    #[inline(always)]
    fn div(self, rhs: Self) -> Self {
        self / rhs
    }
    #[inline(always)]
    fn max(self, rhs: Self) -> Self {
        if self > rhs { self } else { rhs }
    }
    #[inline(always)]
    fn min(self, rhs: Self) -> Self {
        if self < rhs { self } else { rhs }
    }
    #[inline(always)]
    fn select_lt(a: Self, b: Self, yes: Self, no: Self) -> Self {
        if a < b { yes } else { no }
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Self::from_bits(self.to_bits() & 0x7fff_ffff)
    }
    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        Self::from_bits(self.to_bits() & 0x7fff_ffff | sign.to_bits() & 0x8000_0000)
    }
    #[inline(always)]
    fn nan_where_nan(self, of: Self) -> Self {
        if of.is_nan() { CANONICAL_NAN } else { self }
    }
    #[inline(always)]
    fn pow2_of_magic(self) -> Self {
        Self::from_bits((self.to_bits() << 23).wrapping_add(0x3f80_0000))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        libm::sqrtf(self)
    }
    #[inline(always)]
    fn split_at_sqrt_half(self) -> (Self, Self) {
        let e = self.to_bits().wrapping_sub(SQRT_HALF_BITS) as i32 >> 23;
        (e as Self, Self::from_bits(self.to_bits().wrapping_sub((e << 23) as u32)))
    }
}

/// 1.5·2²³: adding it rounds to an integer (to even) and leaves that integer in the low bits.
pub const MAGIC: f32 = 12_582_912.0;
const LOG2_E: f32 = core::f32::consts::LOG2_E;
/// ln 2 in two parts; the first has so few bits that its product with any exponent is exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `c[0] + c[1]·x + c[2]·x² + …`, from the highest power down.
#[inline(always)]
fn horner<L: Lane, const N: usize>(x: L, c: [f32; N]) -> L {
    let mut sum = L::splat(c[N - 1]);
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = sum.mul(x).add(L::splat(c[i]));
    }
    sum
}

/// eˣ. Gradual underflow below −87.3, infinity above 88.7.
#[inline(always)]
#[must_use]
pub fn exp<L: Lane>(x: L) -> L {
    // Beyond these ends the result is 0 or infinity whatever x.
    let clamped = x.max(L::splat(-105.0)).min(L::splat(90.0));
    let shifted = clamped.mul(L::splat(LOG2_E)).add(L::splat(MAGIC));
    let n = shifted.sub(L::splat(MAGIC));
    let r = clamped.sub(n.mul(L::splat(LN_2_HIGH))).sub(n.mul(L::splat(LN_2_LOW)));
    let q = horner(r, [0.5, 0.166_665_21, 0.041_668_39, 0.008_368_745, 0.001_381_453_8]);
    let p = r.mul(r).mul(q).add(r).add(L::splat(1.0));
    // 2ⁿ in two factors, so that n may leave the exponents of normal numbers: only the last product rounds.
    let half = n.mul(L::splat(0.5)).add(L::splat(MAGIC));
    let rest = n.sub(half.sub(L::splat(MAGIC))).add(L::splat(MAGIC));
    p.mul(half.pow2_of_magic()).mul(rest.pow2_of_magic()).nan_where_nan(x)
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
#[must_use]
pub fn sigmoid<L: Lane>(x: L) -> L {
    // e^-|x| cannot overflow, so the small side keeps its relative precision down to the subnormals.
    let e = exp(L::splat(0.0).sub(x.abs()));
    let one = L::splat(1.0);
    L::select_lt(x, L::splat(0.0), e, one).div(one.add(e)).nan_where_nan(x)
}

/// Hyperbolic tangent. Odd, bit for bit; −0 gives −0.
#[inline(always)]
#[must_use]
pub fn tanh<L: Lane>(x: L) -> L {
    let a = x.abs();
    let s = a.mul(a);
    let p = horner(s, [-0.333_332_8, 0.133_314_36, -0.053_739_116, 0.020_637_037, -0.005_702_602_7]);
    let small = a.add(a.mul(s.mul(p)));
    let one = L::splat(1.0);
    let large = one.sub(L::splat(2.0).div(exp(a.add(a)).add(one)));
    L::select_lt(a, L::splat(0.625), small, large).copysign(x).nan_where_nan(x)
}

/// Natural logarithm. 0 gives −∞, a negative number NaN.
#[inline(always)]
#[must_use]
pub fn ln<L: Lane>(x: L) -> L {
    let (zero, infinity) = (L::splat(0.0), L::splat(f32::INFINITY));
    // Subnormals are scaled into the normal range first.
    let smallest = L::splat(f32::MIN_POSITIVE);
    let scaled = L::select_lt(x, smallest, x.mul(L::splat(8_388_608.0)), x);
    let shift = L::select_lt(x, smallest, L::splat(-23.0), zero);
    let (e, m) = scaled.split_at_sqrt_half();
    let e = e.add(shift);
    // ln(1+f) = f − (f²/2 − s·(f²/2 + R)), s = f/(2+f): the correction is small against f.
    let f = m.sub(L::splat(1.0));
    let s = f.div(f.add(L::splat(2.0)));
    let z = s.mul(s);
    let r = z.mul(horner(z, [0.666_666_6, 0.400_003_37, 0.285_372_38, 0.235_835_72]));
    let half_f2 = f.mul(f).mul(L::splat(0.5));
    let low = s.mul(half_f2.add(r)).add(e.mul(L::splat(LN_2_LOW)));
    let y = e.mul(L::splat(LN_2_HIGH)).add(f.sub(half_f2.sub(low)));
    let y = L::select_lt(x, infinity, y, x);
    let not_positive = L::select_lt(x, zero, L::splat(CANONICAL_NAN), L::splat(f32::NEG_INFINITY));
    L::select_lt(zero, x, y, not_positive).nan_where_nan(x)
}

/// The bits of √½ rounded to binary32.
pub const SQRT_HALF_BITS: u32 = 0x3f35_04f3;

/// The standard normal deviate whose cumulative probability is `u`, for u in (0, 1): turns a uniform draw into a Gaussian one
/// without a loop. With t = 2u − 1 and w = −ln(1 − t²), the quotient z/t is smooth in w, and in √w for the tails (the
/// substitution of Giles, *Approximating the erfinv function*, GPU Computing Gems 2011; the fit is ours, to 2·10⁻⁷ relative).
#[inline(always)]
#[must_use]
pub fn normal_quantile<L: Lane>(u: L) -> L {
    let one = L::splat(1.0);
    let t = u.add(u).sub(one);
    let w = L::splat(-0.0).sub(ln(one.sub(t).mul(one.add(t))));
    let central = [
        2.123_313_7,
        0.348_802_66,
        -0.005_908_171,
        -0.001_773_010_1,
        3.091_502e-4,
        -6.217_988e-6,
        -4.990_561e-6,
        4.861_035e-7,
        4.035_428_7e-8,
    ];
    let tail = [
        4.006_434_4,
        1.416_581,
        0.013_347_464,
        -0.010_779_605,
        0.008_125_242,
        -0.005_193_656_3,
        0.001_889_175,
        1.401_030_3e-4,
        -2.696_212e-4,
    ];
    let central = horner(w.sub(L::splat(2.5)), central);
    let tail = horner(w.sqrt().sub(L::splat(3.0)), tail);
    t.mul(L::select_lt(w, L::splat(5.0), central, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// |got − want| in units of the last place of `want`.
    fn ulps(got: f32, want: f64) -> f64 {
        if got.is_infinite() && want.abs() > f64::from(f32::MAX) {
            return 0.0;
        }
        let exponent = want.abs().log2().floor().max(-126.0);
        (f64::from(got) - want).abs() / (exponent - 23.0).exp2()
    }

    /// Largest error over every 1,009th float (4.3 million of them: every exponent, both signs).
    fn worst(function: fn(f32) -> f32, reference: fn(f64) -> f64, domain: fn(f32) -> bool) -> f64 {
        (0..=u32::MAX)
            .step_by(1_009)
            .map(f32::from_bits)
            .filter(|&x| x.is_finite() && domain(x))
            .map(|x| ulps(function(x), reference(f64::from(x))))
            .fold(0.0, f64::max)
    }

    #[test]
    fn within_three_ulp_of_f64() {
        let everywhere = |_| true;
        for (name, error) in [
            ("exp", worst(exp, f64::exp, everywhere)),
            (
                "sigmoid",
                worst(sigmoid, |x| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }, everywhere),
            ),
            ("tanh", worst(tanh, f64::tanh, everywhere)),
            ("ln", worst(ln, f64::ln, |x| x > 0.0)),
        ] {
            std::println!("{name}: {error:.3} ulp");
            assert!(error <= 3.0, "{name}: {error} ulp");
        }
    }

    #[test]
    fn special_values() {
        for f in [exp::<f32>, tanh, sigmoid, ln] {
            for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff)] {
                assert_eq!(f(nan).to_bits(), CANONICAL_NAN.to_bits());
            }
        }
        assert_eq!((exp(f32::NEG_INFINITY), exp(f32::INFINITY), exp(0.0)), (0.0, f32::INFINITY, 1.0));
        assert_eq!((sigmoid(f32::NEG_INFINITY), sigmoid(f32::INFINITY), sigmoid(-0.0)), (0.0, 1.0, 0.5));
        assert_eq!((tanh(f32::NEG_INFINITY), tanh(f32::INFINITY)), (-1.0, 1.0));
        assert_eq!(tanh(-0.0_f32).to_bits(), (-0.0_f32).to_bits());
        assert_eq!((ln(0.0), ln(1.0), ln(f32::INFINITY)), (f32::NEG_INFINITY, 0.0, f32::INFINITY));
        assert_eq!(ln(-1.0_f32).to_bits(), CANONICAL_NAN.to_bits());
    }

    /// Against the definition: the cumulative normal of the quantile is u, by Simpson's rule in f64.
    #[test]
    fn the_quantile_inverts_the_cumulative_normal() {
        let cumulative = |z: f64| {
            let n = 4_000;
            let h = z / f64::from(n);
            let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * core::f64::consts::PI).sqrt();
            let inner: f64 = (1..n).map(|i| density(h * f64::from(i)) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
            0.5 + (density(0.0) + inner + density(z)) * h / 3.0
        };
        for k in [0_u32, 1, 17, 1 << 10, 1 << 15, 3 << 19, 1 << 22, (1 << 22) + 1, 5 << 20, (1 << 23) - 1] {
            let u = (k as f32 + 0.5) / 8_388_608.0;
            let z = normal_quantile(u);
            let u = f64::from(u);
            let error = (cumulative(f64::from(z)) - u).abs() / u.min(1.0 - u);
            assert!(error < 2e-5, "u = {u}: z = {z}, relative error of the tail {error}");
        }
    }
}
