//! The floating-point mode of the calling thread: whether it rounds to nearest even and keeps subnormals, as the arithmetic contract
//! assumes. Found by computing, so the answer holds on every target, whatever its control registers are called.
//!
//! A program, or a shared library made with `-ffast-math`, may change the mode of a thread, and each thread has its own. On x86 scalar and
//! vector instructions obey one register (MXCSR: FTZ, DAZ and the rounding control), and so they do on aarch64 (FPCR: FZ and RMode;
//! FZ flushes operands and results alike). On 32-bit Arm FPSCR rules the scalar unit alone: NEON always flushes both and rounds to
//! nearest. There is no back end for it; where a compiler turns the portable one's loops into NEON all the same, the loop here, which is
//! like them, is meant to tell.

use core::fmt;
use core::hint::black_box;
use dreamstep_core::dims::LANES;

/// How a thread rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rounding {
    /// To nearest, ties to even: IEEE 754's default, and the contract's.
    NearestEven,
    /// To nearest, ties away from zero.
    NearestAway,
    /// Towards +∞.
    Up,
    /// Towards -∞.
    Down,
    /// Towards zero.
    TowardsZero,
    /// In no way that IEEE 754 knows.
    Unknown,
}

/// The floating-point mode of a thread, as far as results depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FloatEnvironment {
    /// How results are rounded.
    pub rounding: Rounding,
    /// Subnormal results become zero (x86's FTZ, Arm's FZ).
    pub flush_to_zero: bool,
    /// Subnormal operands are read as zero (x86's DAZ, Arm's FZ).
    pub denormals_are_zero: bool,
}

/// Does an operation on two values.
trait Unit {
    fn compute(operation: impl Fn(f32, f32) -> f32, a: f32, b: f32) -> f32;
}

/// One value alone.
struct Scalar;

impl Unit for Scalar {
    #[inline(always)]
    fn compute(operation: impl Fn(f32, f32) -> f32, a: f32, b: f32) -> f32 {
        // The compiler knows neither operand, so it cannot compute the result in its own mode.
        black_box(operation(black_box(a), black_box(b)))
    }
}

/// Sixteen in a loop, as the portable back end has them.
struct Lanes;

impl Unit for Lanes {
    #[inline(always)]
    fn compute(operation: impl Fn(f32, f32) -> f32, a: f32, b: f32) -> f32 {
        let (mut a, b) = (black_box([a; LANES]), black_box([b; LANES]));
        a.iter_mut().zip(b).for_each(|(a, b)| *a = operation(*a, b));
        let [first, ..] = black_box(a);
        first
    }
}

impl FloatEnvironment {
    /// What the arithmetic contract assumes, and what a thread has unless something changed it.
    pub const DEFAULT: Self = Self { rounding: Rounding::NearestEven, flush_to_zero: false, denormals_are_zero: false };

    /// That of the calling thread, now.
    #[must_use]
    pub fn observe() -> Self {
        let (scalar, lanes) = (Self::of::<Scalar>(), Self::of::<Lanes>());
        Self {
            rounding: if scalar.rounding == Rounding::NearestEven { lanes.rounding } else { scalar.rounding },
            flush_to_zero: scalar.flush_to_zero || lanes.flush_to_zero,
            denormals_are_zero: scalar.denormals_are_zero || lanes.denormals_are_zero,
        }
    }

    #[inline(never)]
    fn of<U: Unit>() -> Self {
        const ULP: f32 = f32::EPSILON; // of numbers from 1 to 2
        let sum = |a, b| U::compute(|a, b| a + b, a, b);
        let product = |a, b| U::compute(|a, b| a * b, a, b);
        // Half way between two numbers: above an even one, above an odd one, and below an even one. In ulps away from 1 and from -1.
        let ties = [sum(1.0, ULP / 2.0), sum(1.0 + ULP, ULP / 2.0), sum(-1.0, -ULP / 2.0)];
        let rounding = match ties.map(|found| found.to_bits() & 0x7fff_ffff).map(|bits| bits.wrapping_sub(1.0_f32.to_bits()))
        {
            [0, 2, 0] => Rounding::NearestEven,
            [1, 2, 1] => Rounding::NearestAway,
            [1, 2, 0] => Rounding::Up,
            [0, 1, 1] => Rounding::Down,
            [0, 1, 0] => Rounding::TowardsZero,
            _ => Rounding::Unknown,
        };
        // Exact in every mode of rounding. By their bits, and by bits that the compiler does not know to be a number's: a comparison of
        // numbers, into which it would turn this one, may read a subnormal as zero too.
        let is_zero = |value: f32| black_box(value.to_bits()) << 1 == 0;
        let subnormal = f32::from_bits(1 << 22); // half the least normal number
        Self {
            rounding,
            flush_to_zero: is_zero(product(f32::MIN_POSITIVE, 0.5))
                || is_zero(sum(1.5 * f32::MIN_POSITIVE, -f32::MIN_POSITIVE)),
            denormals_are_zero: is_zero(product(subnormal, 1024.0))
                || sum(subnormal, f32::MIN_POSITIVE).to_bits() == f32::MIN_POSITIVE.to_bits(),
        }
    }
}

impl fmt::Display for FloatEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.rounding {
            Rounding::NearestEven => "rounding to nearest even",
            Rounding::NearestAway => "rounding to nearest, ties away from zero",
            Rounding::Up => "rounding up",
            Rounding::Down => "rounding down",
            Rounding::TowardsZero => "rounding towards zero",
            Rounding::Unknown => "no known rounding",
        })?;
        f.write_str(match (self.flush_to_zero, self.denormals_are_zero) {
            (false, false) => ", subnormals kept",
            (true, false) => ", flush-to-zero",
            (false, true) => ", denormals-are-zero",
            (true, true) => ", flush-to-zero, denormals-are-zero",
        })
    }
}
