//! What number is a weight? The four precisions of a packed file and what each means to the last bit.
//!
//! | precision | a weight is | a layer computes, for each output `n` |
//! |---|---|---|
//! | f32 | binary32 | `b[n] + w[n,0]·x[0] + w[n,1]·x[1] + …`, binary32, in this order, never fused |
//! | f16 | binary16, widened exactly | the same, of inputs rounded to 13 bits |
//! | bf16 | the upper half of a binary32, widened exactly | the same, of inputs rounded to 16 bits |
//! | i8 | an integer `q` in [-127, 127] times the output's scale `s[n]` | see below |
//!
//! Biases, scales, the normaliser and the action map are binary32 in every precision, and so is all that is not a product of a
//! weight and an input. Each precision is a determinism domain of its own: other bits than another precision's, the same bits on
//! every target.
//!
//! # f16 and bf16: exact products
//!
//! In a file of one of these two precisions, every layer rounds its inputs first ([`round_input`]): to the nearest number of 13
//! significant bits (f16) or 16 (bf16), ties to even; then a magnitude below 2⁻⁶⁰ becomes a zero of the same sign, and one above 2⁶⁰,
//! infinity too, becomes 2⁶⁰. NaN stays NaN. Weights of bf16 are 0 or have magnitudes from 2⁻⁶⁰ to 2⁶⁰ ([`is_exact_weight`]): the
//! packer makes smaller ones 0 and refuses larger ones, and so does the loader refuse a file with either.
//!
//! **Then every product is exact in binary32**, so `sum + w·x` comes to the same bits whether a processor multiplies, then adds, or
//! fuses the two. Back ends do what is fastest; nobody can tell which. The proof: where w or x is 0 (or x is NaN, which makes either
//! form NaN), the product is. Otherwise write `w = m·2ᵉ` and `x = n·2ᶠ` with integers m and n.
//!
//! | | m below | w at least | so e at least | w below | n below | x at least | so f at least | x at most |
//! |---|---|---|---|---|---|---|---|---|
//! | f16, subnormals too | 2¹¹ | 2⁻²⁴ | −24 | 2¹⁶ | 2¹³ | 2⁻⁶⁰ | −72 | 2⁶⁰ |
//! | bf16 | 2⁸ | 2⁻⁶⁰ | −67 | 2⁶¹ | 2¹⁶ | 2⁻⁶⁰ | −75 | 2⁶⁰ |
//!
//! `w·x = m·n·2ᵉ⁺ᶠ` with |m·n| < 2²⁴: at most 24 significant bits. Its last place, 2ᵉ⁺ᶠ, is at least 2⁻¹⁴² (f16: 2⁻⁹⁶), above
//! binary32's 2⁻¹⁴⁹, so nothing underflows; its magnitude is below 2¹²¹ (f16: 2⁷⁶), so nothing overflows. (A zero's sign is the product
//! of the signs in either form.) The sum is then rounded once, in either form. Sums are binary32's own: they may overflow, and give the
//! same infinity.
//!
//! An input below 2⁻⁶⁰ or above 2⁶⁰ means nothing beside weights of 11 or 8 bits. Rounding changes an input by 2⁻¹³ of it at most
//! (f16), or 2⁻¹⁶ (bf16): a quarter, and a 256th, of what the weights' own rounding changes.
//!
//! The rule is the file's, not the dtype's: the f16 layers of an i8 file keep their inputs whole, and multiply, then add. So does a
//! controller in f32 that is tried in an f16 agent.
//!
//! # i8
//!
//! Weights have a scale for each output and a factor for each input, `w[n,k] ≈ q[n,k]·s[n]·c[k]`. A layer's inputs become integers anew
//! at each step, with one scale for the whole vector:
//!
//! ```text
//! v[k] = x[k]·c[k]
//! m    = max(max|v[k]|, 1e-30)           R = levels(K)
//! a[k] = round(v[k] · (R / m))            ties to even, a[k] in [-R, R]
//! t[n] = Σ q[n,k]·a[k]                    exact: |t| < 2³¹ whatever the weights, by the choice of R
//! y[n] = b[n] + binary32(t[n]) · (s[n] · (m / R))
//! ```
//!
//! `R` is 32767 up to 512 inputs and falls with their number beyond ([`levels`]), so that a 32-bit sum cannot overflow: the sum is
//! exact and its order does not matter. Sixteen bits for the inputs cost nothing where weights stream from memory, and leave the
//! weights' rounding as the only error that counts. Where an input is infinite or NaN, the whole layer's outputs are NaN.
//!
//! The packer chooses `c[k] = max|w[·,k]|^p`, `s[n] = max_k|w[n,k]/c[k]| / 127` and `q` the nearest integer, ties to even; `p` in
//! {0, 0.1, …, 1} is the one for which `Σ s[n]² · Σ c[k]²`, the outputs' error variance for independent inputs of equal variance, is
//! least. (The idea of moving range from weights to activations: Xiao et al., *SmoothQuant*, ICML 2023.) Without `c`, an output's one
//! strong input decides how coarsely all its others are rounded.
//!
//! A GRU's two layers, over `[a, z]` and over h, are rounded each by itself, inputs too.
//!
//! # Convolutions
//!
//! A convolution ([`crate::v::conv`]) of an f16 or bf16 file obeys the rule of exact products. Its inputs are rounded once, where they are
//! written (the picture's `byte · scale`, then each layer's `max(y, 0)`), since many windows read each of them; that gives what rounding where
//! they are read would give. So the heads read rounded inputs too, as they would anyway.
//!
//! In an i8 file a convolution's inputs are bytes from 0 to 127, on scales that the packer chose:
//!
//! ```text
//! a[k] = byte >> 1 of the picture, or what the convolution before wrote
//! t[n] = Σ q[n,k]·a[k]                    exact: |t| ≤ 128·127·65536 < 2³¹
//! y[n] = b[n] + binary32(t[n]) · s[n]
//! a'[n] = round(min(max(y[n], 0), 127))   ties to even: what the next convolution reads
//! x[n]  = max(y[n], 0)                    of the last convolution: what the heads read
//! ```
//!
//! Nothing is negative after ReLU, and with 7 bits two neighbouring products add up to 2·128·127 < 2¹⁵ at most: instructions that add pairs of
//! products into 16 bits, saturating, never do, so every instruction set gives the same integers. There are no factors `c`, and no scale is
//! computed at run time.
//!
//! `s` and `b` hold the ranges. The packer runs the f32 chain over prepared pictures (128 at most) and takes, of each channel of each map, the
//! most that it comes to, but at least a hundredth of the map's greatest: 127 stands for that (a channel that goes further on another picture
//! stays at 127). A 127th of an input channel's range is multiplied into the weights before they are rounded, with one scale for each output:
//! `q = round(w·range/127 / step)`, where `step` is a 127th of the output's largest; `s = step / (range' / 127)` and
//! `b = bias / (range' / 127)` with the output channel's own range' (of the last convolution 1 in place of `range' / 127`). A picture's `a`
//! stands for two bytes, 2a and 2a + 1, so for `(2a + ½)·scale`: the half goes into the first bias.
//!
//! # f16 in an i8 file
//!
//! The encoder's last layer and the controller are f16 in an i8 file ([`crate::schema::LayerSpec::precision`]): two hundredths of the
//! weights, through which every error goes straight into the action.

/// The precision that an agent's weights are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// The upper 16 bits of a binary32.
    Bf16,
    /// 8-bit integers, one scale per output.
    I8,
}

impl Precision {
    /// All of them, the exact one first.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::I8];

    /// Its name in metadata and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I8 => "i8",
        }
    }

    /// The dtype of its weights, as safetensors spells it.
    #[must_use]
    pub const fn dtype(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::I8 => "I8",
        }
    }

    /// Bytes of one weight.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::I8 => 1,
        }
    }

    /// Inputs whose weights stand together for one output: a group fills a 32-bit lane where it is more than one.
    #[must_use]
    pub const fn group(self) -> usize {
        match self {
            Self::F32 | Self::F16 => 1,
            Self::Bf16 => 2,
            Self::I8 => 4,
        }
    }
}

/// Place of a group's input in memory, for i8: inputs 0, 2, 1, 3. The even bytes are then inputs (0, 1) and the odd ones (2, 3), and two
/// shifts make of sixteen bytes what a multiply-add of 16-bit pairs wants, without a shuffle.
pub const I8_ORDER: [usize; 4] = [0, 2, 1, 3];

/// `R`: the largest integer that an input of an i8 layer of `inputs` inputs becomes. No sum of `inputs` products with 8-bit
/// weights (±128 at most) leaves 32 bits.
#[must_use]
pub const fn levels(inputs: usize) -> i32 {
    // Without inputs there is no sum; and a division that could be by zero would be a panic in the control loop.
    match (i32::MAX as usize / (128 * 4)).checked_div(inputs.div_ceil(4)) {
        Some(bound) if bound < 32_767 => bound as i32,
        _ => 32_767,
    }
}

/// Significant bits that an input keeps in an f16 file: 24 less those of a binary16.
pub const F16_INPUT_BITS: u32 = 13;
/// Significant bits that an input keeps in a bf16 file: 24 less those of a bf16.
pub const BF16_INPUT_BITS: u32 = 16;
/// 2⁻⁶⁰ and 2⁶⁰: the least and the largest magnitude, beside 0, of a factor of an exact product.
pub const EXACT_RANGE: [f32; 2] = [f32::from_bits((127 - 60) << 23), f32::from_bits((127 + 60) << 23)];

/// A layer's input where products are to be exact: the nearest number of `BITS` significant bits (2 to 23), ties to even; a zero of its
/// sign where that is below 2⁻⁶⁰, and ±2⁶⁰ where it is above (infinity too). NaN is returned as it is.
#[inline(always)]
#[must_use]
pub const fn round_input<const BITS: u32>(x: f32) -> f32 {
    let [least, largest] = [EXACT_RANGE[0].to_bits(), EXACT_RANGE[1].to_bits()];
    let dropped = 24 - BITS;
    let magnitude = x.to_bits() & 0x7fff_ffff;
    // As integers, magnitudes compare like numbers; and a carry out of the fraction is the next exponent.
    let nearest = (magnitude + (1 << (dropped - 1)) - 1 + (magnitude >> dropped & 1)) >> dropped << dropped;
    let at_most = if nearest > largest { largest } else { nearest };
    let bounded = if nearest < least { 0 } else { at_most };
    let kept = if magnitude > f32::INFINITY.to_bits() { magnitude } else { bounded };
    f32::from_bits(x.to_bits() & 0x8000_0000 | kept)
}

/// Whether products of a bf16 weight with [rounded inputs](round_input) are exact: its magnitude is 0, or from 2⁻⁶⁰ to 2⁶⁰. (That of
/// every finite binary16 is.)
#[inline]
#[must_use]
pub const fn is_exact_weight(weight: f32) -> bool {
    let magnitude = weight.abs();
    magnitude == 0.0 || EXACT_RANGE[0] <= magnitude && magnitude <= EXACT_RANGE[1]
}

/// The value of a binary16, exactly. Every finite one, subnormals included, is a normal binary32.
#[must_use]
pub const fn f16_to_f32(bits: u16) -> f32 {
    // Exponent and fraction moved into place, then the exponent's bias put right by a power of two: exact, subnormals too.
    let sign = (bits as u32 & 0x8000) << 16;
    let magnitude = f32::from_bits((bits as u32 & 0x7fff) << 13) * F16_BIAS;
    f32::from_bits(sign | magnitude.to_bits())
}

/// 2¹¹²: the exponent bias of binary32 over that of binary16.
pub const F16_BIAS: f32 = f32::from_bits((127 + 112) << 23);

/// The value of a bf16.
#[must_use]
pub const fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits((bits as u32) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sum_of_products_leaves_32_bits() {
        for inputs in [1, 4, 17, 305, 348, 512, 513, 2048, 65_536, 3 * 65_536] {
            let groups = inputs_up(inputs);
            let (most, r) = (128 * groups as i64 * i64::from(levels(inputs)), levels(inputs));
            assert!(most <= i64::from(i32::MAX), "{inputs} inputs: {most}");
            assert!(r >= 64, "{inputs} inputs: {r} levels");
        }
        assert_eq!((levels(305), levels(512)), (32_767, 32_767));
    }

    fn inputs_up(inputs: usize) -> usize {
        inputs.div_ceil(4) * 4
    }

    #[test]
    fn every_finite_half_widens_to_its_value() {
        for bits in 0..=u16::MAX {
            let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
            if exponent == 31 {
                continue;
            }
            let magnitude = match exponent {
                0 => fraction * (-24_f64).exp2(),
                _ => (1024.0 + fraction) * f64::from(exponent - 25).exp2(),
            };
            let expected = if bits >> 15 == 1 { -magnitude } else { magnitude };
            let found = f16_to_f32(bits);
            assert_eq!(f64::from(found), expected, "{bits:04x}");
            assert_eq!(found.is_sign_negative(), bits >> 15 == 1, "{bits:04x}");
        }
    }

    /// Inputs at the ends of what one can be, next to them, and anywhere: as bits, from a counter.
    fn inputs() -> impl Iterator<Item = f32> {
        let [least, largest] = EXACT_RANGE.map(f32::to_bits);
        let mut word = 1_u32;
        let anywhere = (0..600).map(move |_| {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            word >> 1
        });
        let edges =
            [0, 1, 0x007f_ffff, 0x0080_0000, 0x3f80_0000, 0x3fff_ffff, 0x3fff_f800, 0x3fff_ff00, 0x7f7f_ffff, 0x7f80_0000];
        let ends = [least, largest].into_iter().flat_map(|end| (0..8).map(move |n| end - 4 + n));
        let ends = ends.chain([least, largest].into_iter().flat_map(|end| (8..24).map(move |n| end - (1 << n))));
        let bits = edges.into_iter().chain(ends).chain(anywhere);
        bits.flat_map(|bits| [bits, bits | 0x8000_0000]).map(f32::from_bits).filter(|x| !x.is_nan())
    }

    /// Every weight that a file of either precision may hold.
    fn weights(precision: Precision) -> impl Iterator<Item = f32> {
        let widen = if precision == Precision::F16 { f16_to_f32 } else { bf16_to_f32 };
        let infinite = if precision == Precision::F16 { 65_536.0 } else { f32::INFINITY };
        let finite = (0..=u16::MAX).map(widen).filter(move |weight| weight.abs() < infinite);
        finite.filter(|&weight| is_exact_weight(weight))
    }

    fn rounded(precision: Precision, x: f32) -> f32 {
        match precision {
            Precision::F16 => round_input::<F16_INPUT_BITS>(x),
            _ => round_input::<BF16_INPUT_BITS>(x),
        }
    }

    /// In binary64, in which every product of two binary32 is exact.
    #[test]
    fn every_product_is_exact() {
        assert_eq!(weights(Precision::F16).count(), 2 * 31 * 1024, "every finite binary16");
        assert_eq!(weights(Precision::Bf16).count(), 2 * (1 + 120 * 128 + 1), "zeros, 120 exponents, and 2⁶⁰");
        for precision in [Precision::F16, Precision::Bf16] {
            let inexact = |w: f32, x: f32| f64::from(w * x) != f64::from(w) * f64::from(x);
            let (mut exact, mut without) = (0_u64, 0_u64);
            for x in inputs() {
                let short = rounded(precision, x);
                for w in weights(precision) {
                    assert!(!inexact(w, short), "{precision:?}: {w:e} times {x:e}, rounded to {short:e}");
                    exact += 1;
                    without += u64::from(x.is_finite() && inexact(w, x));
                }
            }
            // The negative control: inputs as they are.
            assert!(without > exact / 2, "{precision:?}: {without} of {exact} products with unrounded inputs are inexact");
        }
    }

    /// `mul_add` is fused.
    #[test]
    fn fused_and_unfused_agree() {
        for precision in [Precision::F16, Precision::Bf16] {
            let inputs: std::vec::Vec<f32> = inputs().collect();
            let (mut sum, mut without, mut compared) = (0.3_f32, 0, 0);
            for (n, w) in weights(precision).enumerate() {
                for step in 0..9 {
                    let (x, short) =
                        (inputs[(31 * n + step) % inputs.len()], rounded(precision, inputs[(31 * n + step) % inputs.len()]));
                    let fused = w.mul_add(short, sum);
                    assert_eq!(fused.to_bits(), (sum + w * short).to_bits(), "{precision:?}: {sum:e} + {w:e}·{short:e}");
                    without += u32::from(x.is_finite() && w.mul_add(x, sum).to_bits() != (sum + w * x).to_bits());
                    compared += 1;
                    // Sums of every magnitude, zeros of both signs with them.
                    sum = match step % 3 {
                        0 => fused,
                        1 => -(w * short),
                        _ => inputs[(17 * n + step) % inputs.len()] * w,
                    };
                    sum = if sum.is_finite() { sum } else { -0.0 };
                }
            }
            assert!(without > compared / 100, "{precision:?}: {without} of {compared} unrounded ones differ");
        }
    }

    /// Against binary64's own rounding: scaled so that the last digit kept is the unit.
    #[test]
    fn inputs_are_rounded_to_nearest_even_within_bounds() {
        fn expected(x: f32, bits: i32) -> f64 {
            let magnitude = f64::from(x).abs();
            let rounded = if magnitude == 0.0 || magnitude.is_infinite() {
                magnitude
            } else {
                let unit = f64::from(magnitude.log2().floor() as i32 - bits + 1).exp2();
                (magnitude / unit).round_ties_even() * unit
            };
            let [least, largest] = EXACT_RANGE.map(f64::from);
            let bounded = if rounded < least { 0.0 } else { rounded.min(largest) };
            if x.is_sign_negative() { -bounded } else { bounded }
        }
        let ties = (0..64_u32).flat_map(|n| [0x3f80_0400 + (n << 10), 0x3f80_0080 + (n << 7), 0xbf80_0001 + (n << 10)]);
        for x in inputs().chain(ties.map(f32::from_bits)) {
            let found = [(round_input::<F16_INPUT_BITS>(x), 13), (round_input::<BF16_INPUT_BITS>(x), 16)];
            for (found, bits) in found {
                assert_eq!(f64::from(found).to_bits(), expected(x, bits).to_bits(), "{x:e} to {bits} bits: {found:e}");
            }
        }
        for nan in [0x7f80_0001, 0x7fff_ffff, 0xffc0_0000, 0xff80_0001].map(f32::from_bits) {
            assert!(round_input::<F16_INPUT_BITS>(nan).is_nan() && round_input::<BF16_INPUT_BITS>(nan).is_nan());
        }
    }
}
