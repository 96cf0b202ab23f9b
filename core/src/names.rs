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
    /// The encoder's layers: `[E1,O]`, `[E2,E1]` … and after the last hidden one `[2Z,E]` (mean rows, then log-variance rows).
    pub const ENCODER_WEIGHT: [&str; 5] =
        ["encoder.0.weight", "encoder.2.weight", "encoder.4.weight", "encoder.6.weight", "encoder.8.weight"];
    /// `[E1]`, `[E2]` …, `[2Z]`.
    pub const ENCODER_BIAS: [&str; 5] =
        ["encoder.0.bias", "encoder.2.bias", "encoder.4.bias", "encoder.6.bias", "encoder.8.bias"];
    /// The decoder's layers, the encoder's sizes backwards: `[E,Z]` …, `[O,E1]`.
    pub const DECODER_WEIGHT: [&str; 5] =
        ["decoder.0.weight", "decoder.2.weight", "decoder.4.weight", "decoder.6.weight", "decoder.8.weight"];
    /// `[E]` …, `[O]`.
    pub const DECODER_BIAS: [&str; 5] =
        ["decoder.0.bias", "decoder.2.bias", "decoder.4.bias", "decoder.6.bias", "decoder.8.bias"];
    /// A convolutional V's: `[out, in, row, column]` of each convolution.
    pub const ENCODER_CONV_WEIGHT: [&str; 6] = [
        "encoder.conv1.weight",
        "encoder.conv2.weight",
        "encoder.conv3.weight",
        "encoder.conv4.weight",
        "encoder.conv5.weight",
        "encoder.conv6.weight",
    ];
    /// `[out]`.
    pub const ENCODER_CONV_BIAS: [&str; 6] = [
        "encoder.conv1.bias",
        "encoder.conv2.bias",
        "encoder.conv3.bias",
        "encoder.conv4.bias",
        "encoder.conv5.bias",
        "encoder.conv6.bias",
    ];
    /// Its mean: `[Z, channels · height · width]` over the last map, and `[Z]`.
    pub const FC_MU: [&str; 2] = ["encoder.fc_mu.weight", "encoder.fc_mu.bias"];
    /// The logarithm of its standard deviation, likewise.
    pub const FC_LOG_SIGMA: [&str; 2] = ["encoder.fc_logsigma.weight", "encoder.fc_logsigma.bias"];
    /// A convolutional V's decoder: `[channels · height · width, Z]` and as many biases.
    pub const DECODER_FC: [&str; 2] = ["decoder.fc1.weight", "decoder.fc1.bias"];
    /// `[in, out, row, column]` of each transposed convolution.
    pub const DECODER_DECONV_WEIGHT: [&str; 6] = [
        "decoder.deconv1.weight",
        "decoder.deconv2.weight",
        "decoder.deconv3.weight",
        "decoder.deconv4.weight",
        "decoder.deconv5.weight",
        "decoder.deconv6.weight",
    ];
    /// `[out]`.
    pub const DECODER_DECONV_BIAS: [&str; 6] = [
        "decoder.deconv1.bias",
        "decoder.deconv2.bias",
        "decoder.deconv3.bias",
        "decoder.deconv4.bias",
        "decoder.deconv5.bias",
        "decoder.deconv6.bias",
    ];
    /// `[4H, A+Z]`, gates i, f, g, o; a GRU's `[3H, A+Z]`, gates r, z, n; input `[action, z]`.
    pub const RNN_WEIGHT_IH: &str = "rnn.weight_ih_l0";
    /// `[4H, H]`; a GRU's `[3H, H]`.
    pub const RNN_WEIGHT_HH: &str = "rnn.weight_hh_l0";
    /// `[4H]`; a GRU's `[3H]`.
    pub const RNN_BIAS_IH: &str = "rnn.bias_ih_l0";
    /// `[4H]`; a GRU's `[3H]`.
    pub const RNN_BIAS_HH: &str = "rnn.bias_hh_l0";
    /// `[(2Z+1)K+2, H]`: means `[K,Z]`, log-sigmas `[K,Z]`, mixture logits `[K]`, reward, terminal logit.
    pub const GMM_WEIGHT: &str = "gmm_linear.weight";
    /// `[(2Z+1)K+2]`.
    pub const GMM_BIAS: &str = "gmm_linear.bias";
    /// `[A, Z+H]`, input `[z, h]`; other inputs (see [`crate::c::ControllerInput`]) are as wide as they are.
    pub const FC_WEIGHT: &str = "fc.weight";
    /// `[A]`.
    pub const FC_BIAS: &str = "fc.bias";
    /// An MLP controller's layers: `[C1, I]`, `[C2, C1]`, and after the last hidden one `[U, C]`.
    pub const FC_WEIGHTS: [&str; 3] = ["fc.0.weight", "fc.2.weight", "fc.4.weight"];
    /// `[C1]`, `[C2]`, `[U]`.
    pub const FC_BIASES: [&str; 3] = ["fc.0.bias", "fc.2.bias", "fc.4.bias"];
}

/// Tensors of the packed file, little-endian; vectors are F32 and padded with zeros to a multiple of 16.
pub mod packed {
    /// One layer's tensors.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct LayerNames {
        /// `[P, ⌈K/g⌉, W, g]` weights in the file's precision, see [`crate::layout`].
        pub panels: &'static str,
        /// `[P·W]` F32.
        pub bias: &'static str,
        /// `[P·W]` F32, precision i8 only: what an integer weight of this output is worth.
        pub scale: &'static str,
        /// `[K]` F32, precision i8 only: what an input is multiplied by before it is rounded.
        pub input: &'static str,
        /// `[P·W]` I32, precision i8 only: the sum of this output's integer weights, which kernels that multiply unsigned by
        /// signed bytes need. The loader checks it, which makes it a checksum of the weights too.
        pub sum: &'static str,
    }

    macro_rules! layer {
        ($name:literal) => {
            LayerNames {
                panels: concat!($name, ".panels"),
                bias: concat!($name, ".bias"),
                scale: concat!($name, ".scale"),
                input: concat!($name, ".input"),
                sum: concat!($name, ".sum"),
            }
        };
    }

    /// `[O]` (padded) mean of the training observations.
    pub const OBSERVATION_MEAN: &str = "observation.mean";
    /// `[O]` (padded) 1/std of the training observations; 0 where the dimension is dead.
    pub const OBSERVATION_INV_STD: &str = "observation.inv_std";
    /// `[w, 1 + taps]` I32: how a picture's columns are resized, see [`crate::obs::resample`].
    pub const OBSERVATION_COLUMNS: &str = "observation.columns";
    /// `[h, 1 + taps]` I32: how its rows are.
    pub const OBSERVATION_ROWS: &str = "observation.rows";
    /// The encoder's hidden layers, O → E1, E1 → E2 …, ReLU.
    pub const ENCODER_HIDDEN: [LayerNames; 4] =
        [layer!("encoder.0"), layer!("encoder.2"), layer!("encoder.4"), layer!("encoder.6")];
    /// A convolutional encoder's chain, ReLU.
    pub const ENCODER_CONV: [LayerNames; 6] = [
        layer!("encoder.conv1"),
        layer!("encoder.conv2"),
        layer!("encoder.conv3"),
        layer!("encoder.conv4"),
        layer!("encoder.conv5"),
        layer!("encoder.conv6"),
    ];
    /// The encoder's mean, E → Z.
    pub const ENCODER_MEAN: LayerNames = layer!("encoder.mean");
    /// The encoder's log-variance, E → Z.
    pub const ENCODER_LOG_VAR: LayerNames = layer!("encoder.log_var");
    /// A convolutional decoder's first layer, ReLU.
    pub const DECODER_FC: LayerNames = layer!("decoder.fc1");
    /// Its transposed convolutions, ReLU, the last one sigmoid.
    pub const DECODER_DECONV: [LayerNames; 6] = [
        layer!("decoder.deconv1"),
        layer!("decoder.deconv2"),
        layer!("decoder.deconv3"),
        layer!("decoder.deconv4"),
        layer!("decoder.deconv5"),
        layer!("decoder.deconv6"),
    ];
    /// An LSTM's gates; inputs `[a, z, h]`; the two biases of PyTorch added.
    pub const RNN: LayerNames = layer!("rnn");
    /// What a GRU's gates take from the inputs `[a, z]`, with PyTorch's `bias_ih`.
    pub const RNN_IH: LayerNames = layer!("rnn.ih");
    /// What they take from h, with PyTorch's `bias_hh`. Apart, because the reset gate scales the candidate's share of this alone.
    pub const RNN_HH: LayerNames = layer!("rnn.hh");
    /// The MDN head, H → means, log-sigmas, logits, reward, terminal logit.
    pub const GMM: LayerNames = layer!("gmm_linear");
    /// The controller, `[z, h]` (or another [`crate::c::ControllerInput`]) → A.
    pub const FC: LayerNames = layer!("fc");
    /// An MLP controller's layers, one or two hidden ones and the last.
    pub const FC_LAYERS: [LayerNames; 3] = [layer!("fc.0"), layer!("fc.2"), layer!("fc.4")];
    /// `[A]` (padded) middle of the action range, in the environment's units.
    pub const ACTION_MID: &str = "action.mid";
    /// `[A]` (padded) half of the action range.
    pub const ACTION_HALF: &str = "action.half";
    /// `[T, O]` (rows padded) observations of the self-test.
    pub const SELFTEST_OBSERVATIONS: &str = "selftest.observations";
    /// `[T, A]` (rows padded) the actions that they must give.
    pub const SELFTEST_ACTIONS: &str = "selftest.actions";
}

/// Keys of `__metadata__`. All values are strings.
pub mod metadata {
    /// What the file is: [`FORMAT_PACKED`] or [`FORMAT_CHECKPOINT`].
    pub const FORMAT: &str = "dreamstep.format";
    /// Value of [`FORMAT`] in packed files. The number changes with the layout.
    pub const FORMAT_PACKED: &str = "packed-3";
    /// Value of [`FORMAT`] in checkpoints.
    pub const FORMAT_CHECKPOINT: &str = "checkpoint-1";
    /// `O`.
    pub const DIM_OBS: &str = "dims.obs";
    /// `A`.
    pub const DIM_ACTION: &str = "dims.action";
    /// `Z`.
    pub const DIM_LATENT: &str = "dims.latent";
    /// `H`.
    pub const DIM_HIDDEN: &str = "dims.hidden";
    /// `K`.
    pub const DIM_MIXTURES: &str = "dims.mixtures";
    /// What is observed: `vector` or `image`.
    pub const OBS_KIND: &str = "observation.kind";
    /// A picture's height, width and channels as V sees it.
    pub const OBS_IMAGE: [&str; 3] = ["observation.height", "observation.width", "observation.channels"];
    /// A picture's frame as the camera has it: height, width and channels, comma-separated.
    pub const OBS_FRAME: &str = "observation.frame";
    /// The part of it that is kept: top, left, height and width, comma-separated.
    pub const OBS_CROP: &str = "observation.crop";
    /// Which channels are kept: `as-is`, `grey` or `reversed`.
    pub const OBS_COLOUR: &str = "observation.colour";
    /// How it is resized: `bilinear` or `area`.
    pub const OBS_FILTER: &str = "observation.filter";
    /// Whether each value becomes 255 less it: `true` or `false`.
    pub const OBS_INVERTED: &str = "observation.inverted";
    /// What a picture's values are multiplied by: 1/255, say.
    pub const OBS_SCALE: &str = "observation.scale";
    /// What makes x of an observation: `mean-std` or `none`; of a picture `scale`.
    pub const OBS_NORMALIZER: &str = "observation.normalizer";
    /// V: `none`, `identity`, `mlp` or `conv`.
    pub const V_KIND: &str = "v.kind";
    /// Widths of V's hidden layers, comma-separated: `256,128`.
    pub const V_HIDDEN: &str = "v.hidden";
    /// V's convolutions: `channels:kernel:stride:padding` of each, comma-separated.
    pub const V_CONVOLUTIONS: &str = "v.convolutions";
    /// V's decoder, where the file holds one: the first map's height, width and channels, `HxWxC`, then `channels:kernel:stride:padding` of each
    /// transposed convolution, comma-separated.
    pub const V_DECODER: &str = "v.decoder";
    /// M: `none`, `lstm` or `gru`.
    pub const M_KIND: &str = "m.kind";
    /// C: `linear` or `mlp`.
    pub const C_KIND: &str = "c.kind";
    /// Widths of an MLP controller's hidden layers, comma-separated.
    pub const C_HIDDEN: &str = "c.hidden";
    /// What follows each of them: `tanh` or `relu`.
    pub const C_ACTIVATION: &str = "c.activation";
    /// What is done: `continuous` or `discrete`.
    pub const ACTION_KIND: &str = "action.kind";
    /// Seconds of simulated or real time from one tick to the next.
    pub const CONTROL_PERIOD_S: &str = "control.period_s";
    /// Weight precision: `f32`, `f16`, `bf16` or `i8`.
    pub const PRECISION: &str = "precision";
    /// Whitened observations are clipped to ± this.
    pub const OBS_CLIP: &str = "observation.clip";
    /// How the controller's output becomes an action in [-1, 1]: `clamp` or `tanh`.
    pub const ACTION_SQUASH: &str = "action.squash";
    /// Which z acts: `mean`, or `sampled` from the encoder's Gaussian.
    pub const ACTION_LATENT: &str = "action.latent";
    /// The encoder's log-variance is clamped into this range: lower and upper end.
    pub const LOG_VAR_RANGE: [&str; 2] = ["encoder.log_var_min", "encoder.log_var_max"];
    /// Order of the memory's input: `action,z` (the action normalised to [-1, 1]).
    pub const RNN_INPUT: &str = "rnn.input";
    /// `joint`: one mixture over the whole latent vector; `per-dimension`: one for each of its dimensions.
    pub const GMM_MIXTURE: &str = "gmm.mixture";
    /// What the mixture predicts: `z` (the next latent) or `delta` (its change).
    pub const GMM_TARGET: &str = "gmm.target";
    /// Parametrisation of sigma: `exp`.
    pub const GMM_SIGMA: &str = "gmm.sigma";
    /// Floor of log sigma.
    pub const GMM_LOG_SIGMA_MIN: &str = "gmm.log_sigma_min";
    /// Added to the reward head's output.
    pub const REWARD_OFFSET: &str = "reward.offset";
    /// Nats per dimension that M's surprise seldom exceeds on held-out data: a threshold for what is unusual.
    pub const SURPRISE_LIMIT: &str = "surprise.limit";
    /// Digest of h, c and the MDN head's outputs (where the file has the head) after the self-test, 16 hexadecimal digits.
    pub const SELFTEST_DIGEST: &str = "selftest.digest";
    /// What the controller reads: `z+h`, `z`, `h`, `obs` or `obs+h`.
    pub const CONTROLLER_INPUT: &str = "controller.input";
    /// Environment id.
    pub const ENV: &str = "env";
}
