//! What may be wrong with an agent that sees pictures? Faults of its own: of the frame and what is made of it, of the tables by which it is
//! resized, of the convolutions, of the self-test's pictures.

use super::Damage;
use crate::common::agent_with_selftest;
use crate::pieces::{Loose, Pieces};
use dreamstep_core::obs::{Filter, Image};
use dreamstep_core::v::{Convolution, Convolutions};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Dims, Precision};

/// As small as it gets with two convolutions, padding, and tables of both kinds: a frame of 6 × 5 pixels becomes 4 × 4, then a map of
/// 3 × 3 and one of 1 × 1.
fn dims() -> Dims {
    let image = Image::plain([6, 5, 3]).resized([4, 4], Filter::Bilinear);
    let chain = [Convolution { channels: 2, kernel: 2, stride: 2, padding: 1 }, Convolution::new(2, 2, 2)];
    Dims::pictures(image, 1, Convolutions::new(&chain).expect("a chain"), 2, 2, 1)
}

pub(super) fn files() -> Vec<(&'static str, Vec<u8>)> {
    let agent = |precision| {
        let settings = synthetic::with(synthetic::settings(&dims()), |s| s.precision = precision);
        Pieces::of(&agent_with_selftest(&settings, &synthetic::tensors(&dims(), 1)))
    };
    let [sound, half, upper, bytes] = Precision::ALL.map(agent);
    let of = |pieces: &Pieces, damage: fn(&mut Pieces)| {
        let mut pieces = pieces.clone();
        damage(&mut pieces);
        pieces.bytes(0)
    };
    let mut files = vec![("sound-of-pictures", sound.bytes(0)), ("sound-of-pictures-i8", bytes.bytes(0))];
    files.extend(SETTINGS.map(|(name, key, value)| {
        let mut pieces = sound.clone();
        pieces.set(key, value);
        (name, pieces.bytes(0))
    }));
    files.extend(DAMAGES.map(|(name, damage)| (name, of(&sound, damage))));
    files.extend(F16_DAMAGES.map(|(name, damage)| (name, of(&half, damage))));
    files.extend(BF16_DAMAGES.map(|(name, damage)| (name, of(&upper, damage))));
    files.extend(I8_DAMAGES.map(|(name, damage)| (name, of(&bytes, damage))));
    files
}

/// One metadata value replaced.
const SETTINGS: [(&str, &str, &str); 31] = [
    ("frame-of-two-numbers", "observation.frame", "6,5"),
    ("frame-of-2-to-the-32-rows", "observation.frame", "4294967296,5,3"),
    ("frame-of-2-to-the-32-pixels", "observation.frame", "65536,65536,3"),
    ("frame-by-an-x", "observation.frame", "6x5x3"),
    ("picture-without-rows", "observation.height", "0"),
    ("picture-wider-than-any", "observation.width", "65537"),
    ("crop-outside-the-frame", "observation.crop", "1,0,6,5"),
    ("crop-negative", "observation.crop", "0,-1,6,5"),
    ("colour-unknown", "observation.colour", "bgr"),
    ("colour-that-keeps-one-channel", "observation.colour", "grey"),
    ("filter-unknown", "observation.filter", "bicubic"),
    ("inverted-yes", "observation.inverted", "yes"),
    ("scale-zero", "observation.scale", "0"),
    ("scale-nan", "observation.scale", "NaN"),
    ("scale-negative", "observation.scale", "-0.01"),
    ("scale-infinite", "observation.scale", "inf"),
    ("picture-whitened", "observation.normalizer", "mean-std"),
    ("picture-for-an-unknown-input", "controller.input", "pixels"),
    ("picture-that-the-controller-reads", "controller.input", "obs"),
    ("convolutions-none", "v.convolutions", ""),
    ("convolutions-without-a-padding", "v.convolutions", "2:2:2:1,2:2:2"),
    ("convolutions-with-a-number-more", "v.convolutions", "2:2:2:1:1,2:2:2:0"),
    ("convolutions-of-seven", "v.convolutions", "2:1:1:0,2:1:1:0,2:1:1:0,2:1:1:0,2:1:1:0,2:1:1:0,2:1:1:0"),
    ("convolution-without-channels", "v.convolutions", "0:2:2:1,2:2:2:0"),
    ("convolution-of-too-many-channels", "v.convolutions", "4097:2:2:1,2:2:2:0"),
    ("convolution-without-a-kernel", "v.convolutions", "2:0:2:0,2:2:2:0"),
    ("convolution-of-17-pixels", "v.convolutions", "2:17:2:1,2:2:2:0"),
    ("convolution-with-a-stride-of-0", "v.convolutions", "2:2:0:1,2:2:2:0"),
    ("convolution-that-leaves-pixels-out", "v.convolutions", "2:2:3:1,2:2:2:0"),
    ("convolution-padded-by-a-kernel", "v.convolutions", "2:2:2:2,2:2:2:0"),
    ("convolution-larger-than-the-map", "v.convolutions", "2:2:2:1,2:4:2:0"),
];

/// One change to a tensor, to which there are, or to settings that go together.
const DAMAGES: [Damage; 25] = [
    ("scale-missing", |file| drop(file.metadata.remove("observation.scale"))),
    ("colour-of-one-channel", |file| {
        file.set("observation.frame", "6,5,1");
        file.set("observation.colour", "reversed");
    }),
    ("picture-a-hundredth-of-the-frame", |file| {
        file.set("observation.frame", "600,5,3");
        file.set("observation.crop", "0,0,600,5");
    }),
    ("picture-for-an-mlp", |file| {
        file.set("v.kind", "mlp");
        file.metadata.insert("v.hidden".into(), "2".into());
    }),
    ("vector-for-convolutions", |file| {
        file.set("observation.kind", "vector");
        file.metadata.insert("dims.obs".into(), "48".into());
    }),
    ("map-too-large", |file| {
        file.sized(2048, 2048);
        file.set("v.convolutions", "4096:2:1:1,2:2:2:0");
    }),
    ("output-of-too-many-inputs", |file| {
        file.sized(16, 16);
        file.set("v.convolutions", "4096:1:1:0,2:16:1:0");
    }),
    // On 32 bits their number is 0 where it wraps.
    ("heads-of-2-to-the-32-inputs", |file| {
        file.sized(1024, 1024);
        file.set("v.convolutions", "4096:1:1:0");
    }),
    ("table-missing", |file| file.remove("observation.rows")),
    ("table-of-floats", |file| file.tensor("observation.columns").dtype = "F32".into()),
    ("table-an-entry-short", |file| file.tensor("observation.columns").reshape(&[3, 6])),
    ("table-of-narrower-entries", |file| file.tensor("observation.rows").reshape(&[4, 5])),
    ("table-where-nothing-is-resized", |file| file.set("observation.crop", "1,0,4,5")),
    ("table-begins-before-the-picture", |file| file.tensor("observation.columns").put_integer(0, -1)),
    ("table-goes-back", |file| file.tensor("observation.columns").put_integer(2 * 6, 0)),
    ("table-reads-beyond-the-picture", |file| file.tensor("observation.columns").put_integer(3 * 6, 5)),
    ("table-with-a-negative-weight", |file| file.tensor("observation.rows").put_integer(1, -1)),
    ("table-that-weighs-too-much", |file| file.tensor("observation.rows").put_integer(6 + 2, 1 << 23)),
    ("table-that-weighs-2-to-the-33", |file| {
        (1..6).for_each(|at| file.tensor("observation.rows").put_integer(18 + at, i32::MAX))
    }),
    ("convolution-missing", |file| file.remove("encoder.conv2.panels")),
    ("convolution-in-pytorchs-order", |file| file.tensor("encoder.conv1.panels").reshape(&[2, 3, 2, 2])),
    ("convolution-with-a-nan", |file| file.tensor("encoder.conv1.panels").put(21, f32::NAN)),
    ("selftest-of-smaller-pictures", |file| {
        let tensor = file.tensor("selftest.observations");
        tensor.shape = vec![4, 47];
        tensor.data.truncate(4 * 47);
    }),
    ("selftest-of-numbers", |file| {
        let tensor = file.tensor("selftest.observations");
        tensor.dtype = "F32".into();
        tensor.reshape(&[4, 48]);
    }),
    // Loads, and fails its self-test.
    ("selftest-of-another-picture", |file| file.tensor("selftest.observations").data[30] ^= 0x80),
];

const F16_DAMAGES: [Damage; 1] =
    [("f16-convolution-infinite", |file| file.tensor("encoder.conv2.panels").put_half(9, 0x7c00))];

const BF16_DAMAGES: [Damage; 1] =
    [("bf16-convolution-of-1e30", |file| file.tensor("encoder.conv1.panels").put_half(3, 0x7149))];

const I8_DAMAGES: [Damage; 5] = [
    ("i8-convolution-sum-wrong", |file| file.tensor("encoder.conv2.sum").data[4] ^= 1),
    ("i8-convolution-weight-with-one-bit-flipped", |file| file.tensor("encoder.conv1.panels").data[5] ^= 0x40),
    ("i8-convolution-scale-nan", |file| file.tensor("encoder.conv2.scale").put(1, f32::NAN)),
    ("i8-convolution-scale-missing", |file| file.remove("encoder.conv1.scale")),
    // A convolution reads bytes: there is nothing to bring its inputs to a range with.
    ("i8-convolution-with-input-factors", |file| {
        let other = Loose { name: "encoder.conv1.input".into(), ..file.tensor("encoder.conv1.scale").clone() };
        file.tensors.push(other);
    }),
];

impl Loose {
    fn put_integer(&mut self, index: usize, value: i32) {
        self.data[4 * index..][..4].copy_from_slice(&value.to_le_bytes());
    }
}

impl Pieces {
    /// A frame, and a picture, of so many pixels.
    fn sized(&mut self, height: usize, width: usize) {
        self.set("observation.frame", &format!("{height},{width},3"));
        self.set("observation.crop", &format!("0,0,{height},{width}"));
        self.set("observation.height", &height.to_string());
        self.set("observation.width", &width.to_string());
    }
}
