//! What number is a weight? The four precisions of a packed file and what each means to the last bit.
//!
//! | precision | a weight is | a layer computes, for each output `n` |
//! |---|---|---|
//! | f32 | binary32 | `b[n] + w[n,0]·x[0] + w[n,1]·x[1] + …`, binary32, in this order, never fused |
//! | f16 | binary16, widened exactly | the same |
//! | bf16 | the upper half of a binary32, widened exactly | the same |
//! | i8 | an integer `q` in [-127, 127] times the output's scale `s[n]` | see below |
//!
//! Biases, scales, the normaliser and the action map are binary32 in every precision, and so is all that is not a product of a
//! weight and an input. Each precision is a determinism domain of its own: other bits than another precision's, the same bits on
//! every target.
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
}
