//! Sizes: the lanes that vectors are padded to, the largest dimension, and lists of layer widths.

/// Lanes that every stored vector is padded to: 16 × binary32 = 64 bytes, one cache line and one AVX-512 register.
pub const LANES: usize = 16;

/// The largest value any single dimension may have. Caps the memory that a model file can ask for.
pub const MAX_DIM: usize = 1 << 16;

/// A few layer widths, in order; none of them 0. (Unused places are 0, so that equal lists are equal values.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Widths<const N: usize>([usize; N]);

impl<const N: usize> Widths<N> {
    /// No layer.
    pub const NONE: Self = Self([0; N]);

    /// These widths, or none where there are more than `N`, or one of them is 0.
    #[must_use]
    pub const fn new(widths: &[usize]) -> Option<Self> {
        if widths.len() > N {
            return None;
        }
        let (mut all, mut i) = ([0; N], 0);
        while i < widths.len() {
            if widths[i] == 0 {
                return None;
            }
            all[i] = widths[i];
            i += 1;
        }
        Some(Self(all))
    }

    /// How many layers.
    #[must_use]
    pub const fn len(&self) -> usize {
        let mut len = 0;
        while len < N && self.0[len] > 0 {
            len += 1;
        }
        len
    }

    /// Whether there is no layer.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The width of layer `index`; 0 where there is none.
    #[must_use]
    pub const fn at(&self, index: usize) -> usize {
        if index < N { self.0[index] } else { 0 }
    }

    /// The widths.
    #[must_use]
    pub fn as_slice(&self) -> &[usize] {
        self.0.get(..self.len()).unwrap_or_default()
    }
}

/// `n` rounded up to a whole number of [`LANES`].
#[must_use]
pub const fn padded(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_at_most_so_many_and_none_is_zero() {
        let some = Widths::<2>::new(&[3, 1]).unwrap();
        assert_eq!((some.len(), some.as_slice(), some.at(1), some.at(2)), (2, &[3, 1][..], 1, 0));
        assert!(Widths::<2>::NONE.is_empty());
        assert_eq!(Widths::<2>::new(&[]), Some(Widths::NONE));
        assert_eq!((Widths::<2>::new(&[1, 2, 3]), Widths::<2>::new(&[1, 0])), (None, None));
    }
}
