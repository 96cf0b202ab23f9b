//! How does a fuzzer's input become choices? Byte by byte; where it ends, zeros follow, so that every prefix is an input
//! too.

/// What is left of an input.
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl Script<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// In `0..n`; 0 where `n` is 0. One byte where that is enough.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        let low = usize::from(self.byte());
        let value = if n > 256 { low | usize::from(self.byte()) << 8 } else { low };
        value % n.max(1)
    }

    pub(crate) fn pick<'b, T>(&mut self, from: &'b [T]) -> &'b T {
        &from[self.below(from.len())]
    }

    /// Up to `most` bytes, behind a byte that says how many.
    pub(crate) fn bytes(&mut self, most: usize) -> &[u8] {
        let length = self.below(most + 1).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    /// Any binary32, NaN and infinity included.
    pub(crate) fn float(&mut self) -> f32 {
        f32::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// One that a robot could have measured: within ±4.
    pub(crate) fn small(&mut self) -> f32 {
        f32::from(self.byte() as i8) / 32.0
    }
}

/// Where binary32 arithmetic is apt to go wrong. The last three are not finite.
pub(crate) const ODD: [f32; 16] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-45,
    -1e-45,
    f32::MIN_POSITIVE,
    1e-20,
    88.8,
    -104.0,
    1e20,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// Weights of 16 bits, as binary16 and as the upper half of a binary32, where either is apt to go wrong: zeros, the least,
/// ones, the largest, infinities, NaN.
pub(crate) const ODD_HALVES: [u16; 16] = [
    0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x0400, 0x3c00, 0x3f80, 0x7bff, 0xfbff, 0x7f7f, 0xff7f, 0x7c00, 0xff80, 0x7e00,
    0x7fc0,
];

/// Integer weights at the ends of their range, and about zero.
pub(crate) const ODD_INTEGERS: [i8; 16] = [0, 1, -1, 127, -127, -128, 126, 2, -2, 64, -64, 63, 16, -16, 85, -86];

/// Equal bits, or both NaN: what is not part of the state may differ in a NaN's payload.
pub(crate) fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
}

/// Equal bits.
pub(crate) fn identical(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
