//! Prepared pictures against Pillow's, and against what areas come to.

use super::*;
use crate::digest::Digest;
use std::vec;
use std::vec::Vec;

/// Bytes from a counter.
fn noise(len: usize) -> Vec<u8> {
    let mut word = 1_u32;
    let next = |_| {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (word >> 24) as u8
    };
    (0..len).map(next).collect()
}

fn prepared(image: Image, frame: &[u8]) -> Vec<u8> {
    let mut out = vec![0; image.len()];
    Preparer::new(image).unwrap().prepare(frame, image.frame[1] * image.frame[2], &mut out);
    out
}

/// Digests of `Image.fromarray(noise).resize((width, height), Image.BILINEAR)`, channel by channel, of Pillow 12.0.0.
#[test]
fn bilinear_is_pillows_to_the_bit() {
    let cases = [
        ([84, 96, 3], [64, 64], 0xb55e_a91b_e139_0aca_u64),
        ([96, 96, 3], [64, 64], 0x629d_ce79_4cd5_c9b2),
        ([30, 40, 1], [48, 64], 0xdc1b_8e9b_be8c_86d4),
        ([37, 53, 4], [11, 90], 0x0b36_26b5_c70b_d53a),
        ([120, 160, 3], [9, 7], 0x149f_4cc7_f90c_b0f7),
        ([64, 64, 2], [64, 32], 0xc80f_bad6_5911_8d0e),
        ([50, 20, 3], [31, 20], 0x8ce1_757a_8e8a_76d4),
    ];
    for (frame, size, expected) in cases {
        let image = Image::plain(frame).resized(size, Filter::Bilinear);
        let found = prepared(image, &noise(image.frame_len()));
        assert_eq!(Digest::default().update_bytes(&found).value(), expected, "{frame:?} to {size:?}");
    }
}

/// The digest of `Image.fromarray(noise).convert("L")` of Pillow 12.0.0.
#[test]
fn grey_is_pillows_to_the_bit() {
    let found = prepared(Image::plain([20, 30, 3]).coloured(Colour::Grey), &noise(20 * 30 * 3));
    assert_eq!(Digest::default().update_bytes(&found).value(), 0xd4c5_3e6b_35b1_33a4);
}

#[test]
fn an_area_is_its_mean() {
    for (frame, size) in [([12, 8, 3], [4, 2]), ([9, 10, 1], [3, 5]), ([7, 5, 2], [3, 4]), ([5, 3, 3], [10, 7])] {
        let image = Image::plain(frame).resized(size, Filter::Area);
        let [height, width, channels] = frame;
        let (pixels, found) = (noise(image.frame_len()), prepared(image, &noise(image.frame_len())));
        let overlap = |from: usize, to: usize, output: usize, source: usize| {
            let (scale, source) = (from as f64 / to as f64, source as f64);
            let (begin, end) = (output as f64 * scale, (output + 1) as f64 * scale);
            (end.min(source + 1.0) - begin.max(source)).max(0.0) / scale
        };
        for (at, &found) in found.iter().enumerate() {
            let (y, x, c) = (at / channels / size[1], at / channels % size[1], at % channels);
            let mut mean = 0.0;
            for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
                let weight = overlap(height, size[0], y, row) * overlap(width, size[1], x, column);
                mean += weight * f64::from(pixels[(row * width + column) * channels + c]);
            }
            // Rounded twice, in width and in height.
            assert!((f64::from(found) - mean).abs() < 1.01, "{frame:?} to {size:?}, {at}: {mean} and {found}");
        }
    }
}

#[test]
fn a_uniform_picture_stays_what_it_is() {
    for filter in [Filter::Bilinear, Filter::Area] {
        for (from, to) in [(96, 64), (84, 64), (64, 96), (97, 13), (128, 1), (1, 5), (640, 64)] {
            for value in [0, 1, 102, 254, 255] {
                let image = Image::plain([from, from, 1]).resized([to, to], filter);
                assert!(prepared(image, &vec![value; from * from]).iter().all(|&v| v == value), "{filter:?} {from} to {to}");
            }
        }
    }
}

#[test]
fn a_part_its_colours_and_its_inverse() {
    let (frame, stride) = ([6, 5, 3], 5 * 3 + 7);
    let pixels = noise(6 * stride);
    let at = |y: usize, x: usize, c: usize| pixels[y * stride + x * 3 + c];
    let of = |image: Image| {
        let mut out = vec![0; image.len()];
        // Not a byte beyond the last row's end is needed.
        Preparer::new(image).unwrap().prepare(&pixels[..5 * stride + 15], stride, &mut out);
        out
    };
    let part = Image::plain(frame).cropped([1, 2, 4, 3]);
    let expected = |value: &dyn Fn(usize, usize, usize) -> u8| -> Vec<u8> {
        (0..4 * 3 * 3).map(|i| value(1 + i / 9, 2 + i / 3 % 3, i % 3)).collect()
    };
    assert_eq!(of(part), expected(&at));
    assert_eq!(of(part.coloured(Colour::Reversed)), expected(&|y, x, c| at(y, x, 2 - c)));
    assert_eq!(of(part.coloured(Colour::Reversed).inverted()), expected(&|y, x, c| 255 - at(y, x, 2 - c)));
    assert_eq!(part.coloured(Colour::Grey).prepared(), [4, 3, 1]);
    // A part resized is what the part alone, resized, is.
    let (small, alone) = (part.resized([2, 7], Filter::Bilinear), Image::plain([4, 3, 3]).resized([2, 7], Filter::Bilinear));
    assert_eq!(of(small), prepared(alone, &expected(&at)));
}

#[test]
fn what_does_not_fit_is_named() {
    let of = |image: Image| match image.check() {
        Ok(()) => "",
        Err(LoadError::BadParts { what, .. }) => what,
        Err(_) => "another",
    };
    let good = Image::plain([96, 96, 3]);
    assert_eq!(of(good), "");
    assert_eq!(of(Image::plain([0, 96, 3])), "observation.frame");
    assert_eq!(of(Image::plain([96, 96, 5])), "observation.frame");
    assert_eq!(of(Image::plain([1 << 16, 1 << 16, 1])), "observation.frame");
    assert_eq!(of(Image::plain([usize::MAX, 2, 1])), "observation.frame");
    assert_eq!(of(good.cropped([90, 0, 7, 96])), "observation.crop");
    assert_eq!(of(good.cropped([usize::MAX, 0, 7, 96])), "observation.crop");
    assert_eq!(of(good.cropped([0, 0, 0, 96])), "observation.crop");
    assert_eq!(of(good.resized([64, 0], Filter::Area)), "observation.height");
    assert_eq!(of(Image::plain([300, 300, 1]).resized([2, 300], Filter::Area)), "observation.height");
    assert_eq!(of(Image::plain([96, 96, 1]).coloured(Colour::Grey)), "observation.colour");
}

/// Whatever a table says, no byte is read that is not there.
#[test]
fn a_table_that_reads_beyond_the_source_is_found() {
    let image = Image::plain([96, 84, 3]).resized([64, 64], Filter::Bilinear);
    let [columns, rows] = resample::tables(&image);
    let entries = image.tables().map(|shape| shape.unwrap()[1]);
    let check = |table: &[i32]| resample::check(table, entries[0], 84);
    assert_eq!((check(&columns), resample::check(&rows, entries[1], 96)), (Ok(()), Ok(())));
    for (at, value) in [(0, -1), (entries[0] * 63, 84), (entries[0] * 10, 0), (1, -5), (2, 1 << 24)] {
        let mut spoilt = columns.clone();
        spoilt[at] = value;
        assert_eq!(check(&spoilt), Err(at / entries[0]), "{value} at {at}");
    }
}
