//! When are two states the same? When their digests are: FNV-1a (Fowler, Noll, Vo; 64 bits) over the little-endian bytes of the
//! values, in order. Not cryptographic: it tells a drifted bit from none, not a forger from an owner.

/// A running digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// The digest of `values`' bits.
    #[must_use]
    pub fn of(values: &[f32]) -> u64 {
        Self::default().update(values).value()
    }

    /// Takes in the bits of `values`.
    #[must_use]
    pub fn update(self, values: &[f32]) -> Self {
        values.iter().fold(self, |digest, value| digest.update_bytes(&value.to_bits().to_le_bytes()))
    }

    /// Takes in `bytes`.
    #[must_use]
    pub fn update_bytes(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    /// The 64 bits.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the algorithm's authors.
    #[test]
    fn known_answers() {
        assert_eq!(Digest::default().update_bytes(b"").value(), 0xcbf2_9ce4_8422_2325);
        assert_eq!(Digest::default().update_bytes(b"a").value(), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(Digest::default().update_bytes(b"foobar").value(), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn tells_minus_zero_from_zero() {
        assert_ne!(Digest::of(&[0.0]), Digest::of(&[-0.0]));
    }
}
