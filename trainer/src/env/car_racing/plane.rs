//! The plane in binary32, as Box2D has it: vectors, rotations, and the sine and cosine they are made with.
//!
//! The order of the operations decides the bits. Nothing is fused.
//!
//! Derived from the design of Box2D 2.3 (Copyright (c) 2006-2013 Erin Catto, zlib licence; the notice is in [`super::world`]); altered.

use super::scene::Pose;
use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};

/// A vector of the plane.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Vector {
    pub(super) x: f32,
    pub(super) y: f32,
}

/// The vector (x, y).
pub(super) const fn vector(x: f32, y: f32) -> Vector {
    Vector { x, y }
}

impl Vector {
    pub(super) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }

    /// The third component of the cross product in space.
    pub(super) fn cross(self, other: Self) -> f32 {
        self.x * other.y - self.y * other.x
    }

    /// The cross product of a rotation rate about the third axis with it: the velocity of a point at `self` in what turns at `rate`.
    pub(super) fn turned_at(self, rate: f32) -> Self {
        vector(-rate * self.y, rate * self.x)
    }

    pub(super) fn length_squared(self) -> f32 {
        self.dot(self)
    }

    pub(super) fn length(self) -> f32 {
        self.length_squared().sqrt()
    }
}

impl Add for Vector {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        vector(self.x + other.x, self.y + other.y)
    }
}

impl Sub for Vector {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        vector(self.x - other.x, self.y - other.y)
    }
}

impl Neg for Vector {
    type Output = Self;
    fn neg(self) -> Self {
        vector(-self.x, -self.y)
    }
}

impl Mul<Vector> for f32 {
    type Output = Vector;
    fn mul(self, v: Vector) -> Vector {
        vector(self * v.x, self * v.y)
    }
}

impl AddAssign for Vector {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Vector {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

/// A rotation by an angle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rotation {
    pub(super) sin: f32,
    pub(super) cos: f32,
}

impl Rotation {
    /// By `angle` radians.
    pub(super) fn by(angle: f32) -> Self {
        let (sin, cos) = sin_cos(angle);
        Self { sin, cos }
    }

    pub(super) fn apply(self, v: Vector) -> Vector {
        vector(self.cos * v.x - self.sin * v.y, self.sin * v.x + self.cos * v.y)
    }

    /// The way back.
    pub(super) fn undo(self, v: Vector) -> Vector {
        vector(self.cos * v.x + self.sin * v.y, -self.sin * v.x + self.cos * v.y)
    }
}

impl Pose {
    pub(super) fn new(position: Vector, Rotation { sin, cos }: Rotation) -> Self {
        Self { position: [position.x, position.y], sin, cos }
    }

    pub(super) fn rotation(&self) -> Rotation {
        Rotation { sin: self.sin, cos: self.cos }
    }

    pub(super) fn place(&self, v: Vector) -> Vector {
        let [x, y] = self.apply([v.x, v.y]);
        vector(x, y)
    }
}

/// Sine and cosine of `angle` in radians, rounded to binary32 from a polynomial in binary64: the method of glibc's `sinf` and `cosf` (since
/// 2.28) without fused operations, and so the same on every machine. glibc's own variant for machines with FMA differs from it for 6
/// (sine) and 11 (cosine) of the 1.12·10⁹ floats below 120.
///
/// Coefficients: minimax on ±π/4, as published in Arm's optimized routines (`math/sincosf.h`, MIT).
pub(super) fn sin_cos(angle: f32) -> (f32, f32) {
    let magnitude = angle.abs();
    let (quadrant, x) = if magnitude < SMALL {
        if magnitude < TINY {
            return (angle, 1.0);
        }
        (0, f64::from(angle))
    } else if magnitude < MODERATE {
        reduced(f64::from(angle))
    } else {
        reduced_exactly(angle)
    };
    let (sin, cos) = (odd(x), even(x));
    match quadrant & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// Below it nothing is taken off: of π/4 the exponent and the first three bits.
const SMALL: f32 = 0.75;
const TINY: f32 = 1.0 / 4096.0;
const MODERATE: f32 = 120.0;

/// The quadrant, and the angle less that many right angles.
fn reduced(x: f64) -> (i32, f64) {
    const RIGHT_ANGLES: f64 = f64::from_bits(0x4164_5f30_6dc9_c883); // 2/π · 2²⁴
    let quadrant = ((x * RIGHT_ANGLES) as i32 + 0x80_0000) >> 24;
    (quadrant, x - f64::from(quadrant) * std::f64::consts::FRAC_PI_2)
}

/// As [`reduced`], of an angle of any size: times 2/π, of which as many bits are taken as matter.
fn reduced_exactly(angle: f32) -> (i32, f64) {
    /// The bits of 2/π, from 2³¹ on downwards, in words of 32 bits that begin every 8 bits.
    const TWO_OVER_PI: [u32; 24] = [
        0xa2,
        0xa2f9,
        0xa2_f983,
        0xa2f9_836e,
        0xf983_6e4e,
        0x836e_4e44,
        0x6e4e_4415,
        0x4e44_1529,
        0x4415_29fc,
        0x1529_fc27,
        0x29fc_2757,
        0xfc27_57d1,
        0x2757_d1f5,
        0x57d1_f534,
        0xd1f5_34dd,
        0xf534_ddc0,
        0x34dd_c0db,
        0xddc0_db62,
        0xc0db_6295,
        0xdb62_9599,
        0x6295_993c,
        0x9599_3c43,
        0x993c_4390,
        0x3c43_9041,
    ];
    let bits = angle.to_bits();
    let words = &TWO_OVER_PI[(bits >> 26 & 15) as usize..];
    let mantissa = (bits & 0xff_ffff | 0x80_0000) << (bits >> 23 & 7);
    let times = |word: u32| u64::from(mantissa) * u64::from(word);
    let product = (u64::from(mantissa.wrapping_mul(words[0])) << 32 | times(words[8]) >> 32).wrapping_add(times(words[4]));
    let quadrant = product.wrapping_add(1 << 61) >> 62;
    let rest = product.wrapping_sub(quadrant << 62) as i64 as f64;
    let x = rest * f64::from_bits(0x3c19_21fb_5444_2d18); // π/2 · 2⁻⁶²
    if angle < 0.0 { (-(quadrant as i32), -x) } else { (quadrant as i32, x) }
}

/// The sine near zero.
fn odd(x: f64) -> f32 {
    const S: [f64; 3] = [
        f64::from_bits(0xbfc5_5554_5995_a603),
        f64::from_bits(0x3f81_1076_0523_0bc4),
        f64::from_bits(0xbf29_94eb_3774_cf24),
    ];
    let square = x * x;
    let cube = x * square;
    let tail = S[1] + square * S[2];
    let fifth = cube * square;
    let head = x + cube * S[0];
    (head + fifth * tail) as f32
}

/// The cosine near zero.
fn even(x: f64) -> f32 {
    const C: [f64; 5] = [
        1.0,
        f64::from_bits(0xbfdf_ffff_fd0c_621c),
        f64::from_bits(0x3fa5_5553_e106_8f19),
        f64::from_bits(0xbf56_c087_e89a_359d),
        f64::from_bits(0x3ef9_9343_027b_f8c3),
    ];
    let square = x * x;
    let fourth = square * square;
    let tail = C[3] + square * C[4];
    let middle = C[0] + square * C[1];
    let sixth = fourth * square;
    (middle + fourth * C[2] + sixth * tail) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Within a unit in the last place of the true values, in every quadrant, for angles of any size, and odd and even to the bit. That the bits are
    /// glibc's is for `tests/car_racing_parity.rs` to say.
    #[test]
    fn sines_and_cosines_are_right() {
        let mut worst = 0.0_f64;
        for i in 0..200_000 {
            // Magnitudes from 2⁻¹⁶ to 2⁴⁰.
            let angle = (f64::from(i) / 200_000.0 * 56.0 - 16.0).exp2() as f32;
            let (sin, cos) = sin_cos(angle);
            let (true_sin, true_cos) = f64::from(angle).sin_cos();
            for (found, expected) in [(sin, true_sin), (cos, true_cos)] {
                let place = f64::from((expected as f32).abs().next_up()) - f64::from((expected as f32).abs());
                worst = worst.max((f64::from(found) - expected).abs() / place);
            }
            let (back, same) = sin_cos(-angle);
            assert_eq!((back.to_bits(), same.to_bits()), ((-sin).to_bits(), cos.to_bits()), "{angle}");
        }
        assert!((0.4..0.6).contains(&worst), "{worst} units in the last place");
    }
}
