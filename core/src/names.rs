//! What is each tensor and each metadata key called? The only home of these strings.
//!
//! Checkpoints use PyTorch's names and row-major shapes (the TorchWM / ctallec family), so that they open in PyTorch. The packed
//! file holds the same weights in panels (see [`crate::layout`]) under names of its own, so that neither is taken for the other.

/// Checkpoint tensors, row-major, under PyTorch's names.
pub mod checkpoint {
    /// `[O]` mean of the training observations.
    pub const NORMALIZER_MEAN: &str = "normalizer.mean";
    /// `[O]` 1/std of the training observations; 0 where the dimension is dead (constant).
    pub const NORMALIZER_INV_STD: &str = "normalizer.inv_std";
    /// `[E1,O]`, `[E2,E1]`, `[2Z,E2]` (mean rows, then log-variance rows).
    pub const ENCODER_WEIGHT: [&str; 3] = ["encoder.0.weight", "encoder.2.weight", "encoder.4.weight"];
    /// `[E1]`, `[E2]`, `[2Z]`.
    pub const ENCODER_BIAS: [&str; 3] = ["encoder.0.bias", "encoder.2.bias", "encoder.4.bias"];
    /// `[E2,Z]`, `[E1,E2]`, `[O,E1]`.
    pub const DECODER_WEIGHT: [&str; 3] = ["decoder.0.weight", "decoder.2.weight", "decoder.4.weight"];
    /// `[E2]`, `[E1]`, `[O]`.
    pub const DECODER_BIAS: [&str; 3] = ["decoder.0.bias", "decoder.2.bias", "decoder.4.bias"];
    /// `[4H, A+Z]`, gates i, f, g, o; input `[action, z]`.
    pub const RNN_WEIGHT_IH: &str = "rnn.weight_ih_l0";
    /// `[4H, H]`.
    pub const RNN_WEIGHT_HH: &str = "rnn.weight_hh_l0";
    /// `[4H]`.
    pub const RNN_BIAS_IH: &str = "rnn.bias_ih_l0";
    /// `[4H]`.
    pub const RNN_BIAS_HH: &str = "rnn.bias_hh_l0";
    /// `[(2Z+1)K+2, H]`: means `[K,Z]`, log-sigmas `[K,Z]`, mixture logits `[K]`, reward, terminal logit.
    pub const GMM_WEIGHT: &str = "gmm_linear.weight";
    /// `[(2Z+1)K+2]`.
    pub const GMM_BIAS: &str = "gmm_linear.bias";
    /// `[A, Z+H]`, input `[z, h]`.
    pub const FC_WEIGHT: &str = "fc.weight";
    /// `[A]`.
    pub const FC_BIAS: &str = "fc.bias";
}
