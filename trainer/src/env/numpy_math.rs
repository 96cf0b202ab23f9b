//! numpy's sums and powers, to the last bit: the few that rewards are made of, in its order and precision.

use std::ops::{Add, AddAssign};

/// `numpy.sum` of a contiguous array: pairwise, with eight interleaved partial sums in blocks of up to 128. (Inputs here are
/// masses and squares, so the sign of an empty or zero sum does not come up.)
pub(super) fn sum<T: Copy + Default + Add<Output = T> + AddAssign>(values: &[T]) -> T {
    let n = values.len();
    if n < 8 {
        return values.iter().fold(T::default(), |sum, &x| sum + x);
    }
    if n <= 128 {
        let (blocks, rest) = values.as_chunks::<8>();
        let mut r = blocks[0];
        for block in &blocks[1..] {
            for (sum, &x) in r.iter_mut().zip(block) {
                *sum += x;
            }
        }
        let sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        return rest.iter().fold(sum, |sum, &x| sum + x);
    }
    let (left, right) = values.split_at(n / 2 - n / 2 % 8);
    sum(left) + sum(right)
}

/// `numpy.linalg.norm` of a short vector: its dot product with itself, added up one by one, and the root of that. numpy leaves the
/// product to OpenBLAS, which fuses multiply and add where it finds AVX-512 and nowhere else; here they are never fused.
pub(super) fn norm(vector: &[f64]) -> f64 {
    vector.iter().fold(0.0, |sum, x| sum + x * x).sqrt()
}

/// `base ** exponent` of a numpy scalar: the C library's `pow`, whose square differs from a multiplication's once in a thousand.
pub(super) fn power(base: f64, exponent: f64) -> f64 {
    // Seen by the compiler, an exponent of 2 becomes a multiplication.
    base.powf(std::hint::black_box(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits of numpy 2.3.5's `sum` of `1 / (i + 1)` for `i < n`; a plain loop gives other bits from 8 on.
    #[test]
    fn sums_have_the_bits_of_numpy() {
        for (n, bits) in SUMS {
            let values: Vec<f64> = (0..n).map(|i| 1.0 / (i as f64 + 1.0)).collect();
            assert_eq!(sum(&values).to_bits(), bits, "n = {n}");
        }
        let values: Vec<f64> = (0..300).map(|i| 1.0 / (f64::from(i) + 1.0)).collect();
        assert_ne!(values.iter().sum::<f64>().to_bits(), sum(&values).to_bits(), "the order must matter here");
    }

    #[rustfmt::skip]
    const SUMS: [(usize, u64); 9] = [
        (1, 0x3ff0_0000_0000_0000),
        (7, 0x4004_be2b_e2be_2be2),
        (8, 0x4005_be2b_e2be_2be2),
        (17, 0x400b_8434_1cec_ee4c),
        (84, 0x4014_0e4e_f27a_45c7),
        (128, 0x4015_bb8a_e954_1ca7),
        (129, 0x4015_c37b_0914_9ba9),
        (300, 0x4019_2172_a3e6_965a),
        (1000, 0x401d_f11f_45f4_e61a),
    ];

    /// Both round well, but not always alike: were there no difference, the compiler would have made a multiplication of it.
    #[test]
    fn a_power_is_not_a_multiplication() {
        let values = (1..10_000).map(|i| f64::from(i) / 777.0);
        let others: Vec<f64> = values.filter(|&x| power(x, 2.0).to_bits() != (x * x).to_bits()).collect();
        assert!((1..100).contains(&others.len()), "{} of 10,000 squares differ", others.len());
        assert!(others.iter().all(|&x| (power(x, 2.0) / (x * x) - 1.0).abs() <= f64::EPSILON));
    }
}
