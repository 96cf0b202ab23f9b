//! numpy's `Generator.standard_normal()`, a ziggurat: 256 layers of equal area under the bell curve, each a box that holds nearly all
//! of its draws. The curve itself decides what falls outside of a box, and the tail what lies past the lowest one's edge.
//!
//! Source: G. Marsaglia & W. W. Tsang, *The Ziggurat Method for Generating Random Variables* (2000); the layout of a draw is
//! numpy's.

use super::numpy_random::NumpyRandom;
use std::sync::LazyLock;

/// Where the tail begins: the edge of the lowest box.
const TAIL: f64 = EDGES[255];
const TAIL_INVERSE: f64 = 1.0 / TAIL;
/// A draw's magnitude is a whole number of these: 2⁻⁵².
const ULP: f64 = f64::EPSILON;

/// What follows from [`EDGES`]. numpy ships these as tables, some of whose entries differ from these in the last place: one draw
/// in about 2⁵² could take another branch.
struct Layers {
    /// Magnitudes below this are inside the box above, hence under the curve.
    inside: [u64; 256],
    /// The curve at the box's edge.
    height: [f64; 256],
}

static LAYERS: LazyLock<Layers> = LazyLock::new(|| {
    let ratio = |i: usize| match i {
        0 => TAIL / EDGES[0],
        1 => 0.0,
        _ => EDGES[i - 1] / EDGES[i],
    };
    Layers {
        inside: std::array::from_fn(|i| (ratio(i) / ULP) as u64),
        height: std::array::from_fn(|i| if i == 0 { 1.0 } else { curve(EDGES[i]) }),
    }
});

fn curve(x: f64) -> f64 {
    (-0.5 * x * x).exp()
}

impl NumpyRandom {
    /// `Generator.standard_normal()`.
    pub fn standard_normal(&mut self) -> f64 {
        let Layers { inside, height } = &*LAYERS;
        loop {
            let bits = self.next_u64();
            let (layer, is_negative, magnitude) = ((bits & 0xff) as usize, bits >> 8 & 1 == 1, bits >> 9 & ((1 << 52) - 1));
            let x = magnitude as f64 * (EDGES[layer] * ULP);
            let x = if is_negative { -x } else { x };
            if magnitude < inside[layer] {
                return x;
            }
            if layer == 0 {
                return self.tail(magnitude >> 8 & 1 == 1);
            }
            if (height[layer - 1] - height[layer]) * self.random() + height[layer] < curve(x) {
                return x;
            }
        }
    }

    fn tail(&mut self, is_negative: bool) -> f64 {
        loop {
            let x = -TAIL_INVERSE * (-self.random()).ln_1p();
            let y = -(-self.random()).ln_1p();
            if y + y > x * x {
                return if is_negative { -(TAIL + x) } else { TAIL + x };
            }
        }
    }
}

/// Right edges of the layers from the top down, as bits. Below layer 0's box lies the tail: its edge is that of a box of the
/// same area.
const EDGES: [f64; 256] = {
    let mut edges = [0.0; 256];
    let mut i = 0;
    while i < 256 {
        edges[i] = f64::from_bits(EDGE_BITS[i]);
        i += 1;
    }
    edges
};

#[rustfmt::skip]
const EDGE_BITS: [u64; 256] = [
    0x400f_493b_7815_d979, 0x3fcb_8d0b_e3fd_f6c6, 0x3fd2_50af_3c2c_5bb4, 0x3fd5_7cb9_3844_3b61, 0x3fd8_01fc_e82f_a70c,
    0x3fda_230c_2e4c_d0bc, 0x3fdc_004d_2f38_61f7, 0x3fdd_ac2f_5a74_7274, 0x3fdf_3248_2d4c_d5c3, 0x3fe0_4d32_278e_bbad,
    0x3fe0_f505_3b02_5d43, 0x3fe1_92a6_9741_3677, 0x3fe2_27a2_8f7a_1af5, 0x3fe2_b52e_3863_d880, 0x3fe3_3c3f_c057_91f5,
    0x3fe3_bd9e_c1a2_b12f, 0x3fe4_39ef_8dff_9b55, 0x3fe4_b1bb_363d_fea7, 0x3fe5_2575_621a_d374, 0x3fe5_9580_a707_ce96,
    0x3fe6_0231_cfd9_7eea, 0x3fe6_6bd2_61a3_7c3d, 0x3fe6_d2a2_9200_0570, 0x3fe7_36da_d346_f8a6, 0x3fe7_98ad_10b3_2a77,
    0x3fe7_f845_ad46_f543, 0x3fe8_55cc_5343_0a77, 0x3fe8_b164_9e7b_769a, 0x3fe9_0b2e_a94e_cf98, 0x3fe9_6347_822c_1eea,
    0x3fe9_b9c9_8e38_c546, 0x3fea_0ecc_dca4_a72c, 0x3fea_6267_6d77_cd59, 0x3fea_b4ad_6e10_1630, 0x3feb_05b1_6d13_6c9c,
    0x3feb_5584_8742_7a29, 0x3feb_a436_8e52_9f3a, 0x3feb_f1d6_2abf_8232, 0x3fec_3e70_f959_4ef3, 0x3fec_8a13_a532_3b61,
    0x3fec_d4c9_fe72_268b, 0x3fed_1e9f_0e80_b748, 0x3fed_679d_29e4_1f10, 0x3fed_afce_0023_b8c3, 0x3fed_f73a_a9f1_7653,
    0x3fee_3deb_b5d2_edfe, 0x3fee_83e9_337a_6f00, 0x3fee_c93a_bdf9_82ce, 0x3fef_0de7_84f0_6226, 0x3fef_51f6_54d8_f688,
    0x3fef_956d_9e87_d7ae, 0x3fef_d853_7dfa_2eac, 0x3ff0_0d56_e042_34ec, 0x3ff0_2e40_f539_8f9a, 0x3ff0_4eea_9e16_a5fc,
    0x3ff0_6f56_5b72_a010, 0x3ff0_8f86_9071_f40b, 0x3ff0_af7d_84bc_6113, 0x3ff0_cf3d_664b_cc7f, 0x3ff0_eec8_4b16_086b,
    0x3ff1_0e20_3295_15ee, 0x3ff1_2d47_0731_0fbe, 0x3ff1_4c3e_9f8e_9141, 0x3ff1_6b08_bfc4_201e, 0x3ff1_89a7_1a78_da34,
    0x3ff1_a81b_51ee_6d88, 0x3ff1_c666_f8f8_2acb, 0x3ff1_e48b_93e0_d42e, 0x3ff2_028a_9940_a09f, 0x3ff2_2065_72c4_c6e9,
    0x3ff2_3e1d_7de9_c31f, 0x3ff2_5bb4_0ca9_6bfb, 0x3ff2_792a_661d_d37f, 0x3ff2_9681_c719_d71b, 0x3ff2_b3bb_62b8_2eda,
    0x3ff2_d0d8_62e1_b853, 0x3ff2_edd9_e8cb_a98e, 0x3ff3_0ac1_0d6e_48d7, 0x3ff3_278e_e1f4_b930, 0x3ff3_4444_7026_5ea1,
    0x3ff3_60e2_baca_52d5, 0x3ff3_7d6a_be05_586a, 0x3ff3_99dd_6fb2_b264, 0x3ff3_b63b_bfb8_3d03, 0x3ff3_d286_9856_1de0,
    0x3ff3_eebe_de72_5a83, 0x3ff4_0ae5_71e0_9e74, 0x3ff4_26fb_2da6_745d, 0x3ff4_4300_e83c_30a4, 0x3ff4_5ef7_73ca_c75d,
    0x3ff4_7adf_9e66_c336, 0x3ff4_96ba_3248_8f2f, 0x3ff4_b287_f602_415d, 0x3ff4_ce49_acb3_11dc, 0x3ff4_ea00_1638_a605,
    0x3ff5_05ab_ef5e_5562, 0x3ff5_214d_f20a_8b5a, 0x3ff5_3ce6_d56a_664f, 0x3ff5_5877_4e1b_b2c8, 0x3ff5_7400_0e55_5f78,
    0x3ff5_8f81_c60e_8514, 0x3ff5_aafd_2324_1b59, 0x3ff5_c672_d17d_733d, 0x3ff5_e1e3_7b2f_8cd3, 0x3ff5_fd4f_c89f_5e38,
    0x3ff6_18b8_60a3_1fc3, 0x3ff6_341d_e8a2_b0a2, 0x3ff6_4f81_04b7_260b, 0x3ff6_6ae2_57c9_9672, 0x3ff6_8642_83b1_3137,
    0x3ff6_a1a2_2950_b2b1, 0x3ff6_bd01_e8b3_43bb, 0x3ff6_d862_6128_d352, 0x3ff6_f3c4_3161_f854, 0x3ff7_0f27_f78b_68eb,
    0x3ff7_2a8e_5169_14c6, 0x3ff7_45f7_dc70_eedc, 0x3ff7_6165_35e5_731f, 0x3ff7_7cd6_faef_f449, 0x3ff7_984d_c8ba_bd93,
    0x3ff7_b3ca_3c8b_1409, 0x3ff7_cf4c_f3db_22fb, 0x3ff7_ead6_8c73_dee7, 0x3ff8_0667_a486_ea1f, 0x3ff8_2200_dac8_8676,
    0x3ff8_3da2_ce89_9f15, 0x3ff8_594e_1fd1_f5bd, 0x3ff8_7503_6f7a_7ec5, 0x3ff8_90c3_5f47_f72d, 0x3ff8_ac8e_9205_c043,
    0x3ff8_c865_aba1_0c9c, 0x3ff8_e449_5144_6a27, 0x3ff9_003a_2973_b58f, 0x3ff9_1c38_dc28_8347, 0x3ff9_3846_12ef_0afc,
    0x3ff9_5462_7903_a28a, 0x3ff9_708e_bb70_d5ee, 0x3ff9_8ccb_892e_2a31, 0x3ff9_a919_933f_99bf, 0x3ff9_c579_8cd5_d92c,
    0x3ff9_e1ec_2b6f_7411, 0x3ff9_fe72_26fa_d24a, 0x3ffa_1b0c_39f9_3692, 0x3ffa_37bb_21a2_c85b, 0x3ffa_547f_9e0b_bb88,
    0x3ffa_715a_724a_a9a4, 0x3ffa_8e4c_64a0_313d, 0x3ffa_ab56_3e9f_f108, 0x3ffa_c878_cd5a_f5ce, 0x3ffa_e5b4_e18b_b336,
    0x3ffb_030b_4fc3_a11a, 0x3ffb_207c_f09a_985b, 0x3ffb_3e0a_a0e0_0c00, 0x3ffb_5bb5_41ce_3d03, 0x3ffb_797d_b93f_8927,
    0x3ffb_9764_f1e5_f73c, 0x3ffb_b56b_db85_256e, 0x3ffb_d393_6b2e_c0a2, 0x3ffb_f1dc_9b81_ae83, 0x3ffc_1048_6cec_16a0,
    0x3ffc_2ed7_e5f0_7a2d, 0x3ffc_4d8c_136e_0d1c, 0x3ffc_6c66_08ec_8705, 0x3ffc_8b66_e0eb_a617, 0x3ffc_aa8f_bd36_a2ab,
    0x3ffc_c9e1_c73b_d690, 0x3ffc_e95e_3068_e037, 0x3ffd_0906_328b_8f6e, 0x3ffd_28db_1037_ef20, 0x3ffd_48de_1533_c647,
    0x3ffd_6910_96e7_f123, 0x3ffd_8973_f4d7_fba5, 0x3ffd_aa09_9920_6e70, 0x3ffd_cad2_f8fc_490e, 0x3ffd_ebd1_9552_2e37,
    0x3ffe_0d06_fb49_d21c, 0x3ffe_2e74_c4ea_46f6, 0x3ffe_501c_99c1_d188, 0x3ffe_7200_2f97_fe25, 0x3ffe_9421_4b2a_bf0a,
    0x3ffe_b681_c0f7_6f08, 0x3ffe_d923_7610_a73a, 0x3ffe_fc08_6101_eca9, 0x3fff_1f32_8ac2_5321, 0x3fff_42a4_0fb7_4d6d,
    0x3fff_665f_20c9_0168, 0x3fff_8a66_0489_9782, 0x3fff_aebb_1871_22bf, 0x3fff_d360_d22f_e785, 0x3fff_f859_c118_f60b,
    0x4000_0ed4_47d3_a075, 0x4000_21a8_028f_c947, 0x4000_34a9_83a9_02ab, 0x4000_47da_4e3e_f5c7, 0x4000_5b3b_f6ad_b37e,
    0x4000_6ed0_23a7_2668, 0x4000_8298_8f63_2e17, 0x4000_9697_08e8_a254, 0x4000_aacd_7571_c0c4, 0x4000_bf3d_d1ee_d448,
    0x4000_d3ea_34aa_3d30, 0x4000_e8d4_cf11_6593, 0x4000_fdff_efa6_9fb6, 0x4001_136e_0420_7041, 0x4001_2921_9bbb_5d35,
    0x4001_3f1d_69c4_096d, 0x4001_5564_4860_2e3b, 0x4001_6bf9_3b9d_eef3, 0x4001_82df_74d2_1261, 0x4001_9a1a_564e_ebac,
    0x4001_b1ad_777f_2f8e, 0x4001_c99c_a971_a694, 0x4001_e1eb_fbe4_ae39, 0x4001_fa9f_c2e2_d901, 0x4002_13bc_9d04_cc81,
    0x4002_2d47_7a6f_d3ee, 0x4002_4745_a4ac_9c24, 0x4002_61bc_c776_58e0, 0x4002_7cb2_faa8_592e, 0x4002_982e_cd77_0e78,
    0x4002_b437_532a_0a52, 0x4002_d0d4_3196_db97, 0x4002_ee0d_b1a9_78f5, 0x4003_0bec_d256_aeee, 0x4003_2a7b_5e68_a4a3,
    0x4003_49c4_05ae_12a3, 0x4003_69d2_7a33_a840, 0x4003_8ab3_9256_410a, 0x4003_ac75_70ae_88fa, 0x4003_cf27_b317_04a6,
    0x4003_f2db_aa60_f475, 0x4004_17a4_9cb9_e5da, 0x4004_3d98_1554_5e94, 0x4004_64ce_44a7_3a15, 0x4004_8d62_759c_43bc,
    0x4004_b773_9d6b_5a27, 0x4004_e325_0dcd_8902, 0x4005_109f_53e9_ac41, 0x4005_4011_523a_7e42, 0x4005_71b1_a94a_e41b,
    0x4005_a5c0_8b71_8dd9, 0x4005_dc8a_243a_d0fe, 0x4006_1669_cf86_1e4c, 0x4006_53ce_7b00_6aea, 0x4006_9540_be9f_e5c3,
    0x4006_db6b_8d09_e232, 0x4007_2728_f05f_7a34, 0x4007_7995_5609_0673, 0x4007_d42d_f4d6_ce8c, 0x4008_3903_0529_f234,
    0x4008_ab0f_bfaa_7c14, 0x4009_2ee0_946f_4496, 0x4009_cbee_0140_57ab, 0x400a_8fdc_7894_775a, 0x400b_981f_3878_fdb1,
    0x400d_3bb4_8209_ad33,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The area of a layer, of which the edges are made.
    const AREA: f64 = 0.004_928_673_233_974_652;

    /// The table is what it says it is: every layer has the same area, and the lowest has it with the tail. (A slip of the pen moves
    /// an area by far more than the rounding of its edges does.)
    #[test]
    fn layers_have_equal_areas() {
        assert!((EDGES[0] * curve(TAIL) - AREA).abs() < 1e-17);
        for i in 1..256 {
            let above = if i == 1 { 1.0 } else { curve(EDGES[i - 1]) };
            let area = EDGES[i] * (above - curve(EDGES[i]));
            assert!((area - AREA).abs() < 2e-15, "layer {i}: {area:e}");
        }
    }

    /// numpy 2.3.5: `default_rng(seed).standard_normal(n).view(uint64).sum()`, which every branch has a part in.
    #[test]
    fn known_answers_of_numpy() {
        for (seed, n, sum) in NUMPY {
            let mut rng = NumpyRandom::new(seed);
            let found = (0..n).fold(0_u64, |sum, _| sum.wrapping_add(rng.standard_normal().to_bits()));
            assert_eq!(found, sum, "seed {seed}, {n} draws");
        }
    }

    const NUMPY: [(u64, u32, u64); 4] = [
        (0, 1, 0x3fc0_17ed_89db_8441),
        (1, 10, 0x7ec1_e1e5_df90_2ee2),
        (42, 1_000, 0x826d_54a3_972c_3e48),
        (7, 100_000, 0xa5a2_096f_d36b_785b),
    ];
}
