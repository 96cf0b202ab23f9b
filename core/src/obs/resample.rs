//! Resizing by tables of whole numbers: each output row or column is a weighted sum of neighbouring source ones.
//!
//! A table is `[n, 1 + taps]`: for each of the `n` outputs the first source index, then the weights of it and of those that follow, in units
//! of 2⁻²²; those that reach beyond the source take no part. Columns come first, then rows, rounded to bytes in between:
//! `(2²¹ + Σ weight·value) >> 22`. That is Pillow's way of resizing pictures of bytes (its `Resample.c`), and with its weights its results.
//! The tables are made once, where an agent is packed, so that a processor without binary64 needs none.

/// Weights are in units of 2 to the power of less this.
const SHIFT: u32 = 22;

/// Most source rows or columns for one of the output.
pub const MAX_RATIO: usize = 128;

/// The most that weights add up to: no sum with bytes leaves 32 bits.
const MOST: i64 = 1 << 23;

/// Weights of one output where `from` become `to`.
#[must_use]
pub const fn taps(from: usize, to: usize) -> usize {
    // (Into nothing, nothing: a division that could be by zero would be a panic in the control loop.)
    let ratio = if to == 0 { 0 } else { from.div_ceil(to) };
    2 * ratio + 1
}

/// That a table from a file reads nothing beyond a source of `from` rows or columns, in order, and overflows nothing. Where it does, the number of
/// the first such output.
///
/// # Errors
/// That number.
pub fn check(table: &[i32], entries: usize, from: usize) -> Result<(), usize> {
    let mut before = 0;
    for (index, entry) in table.chunks(entries).enumerate() {
        let Some((&first, weights)) = entry.split_first() else { return Err(index) };
        let in_order = first >= before && (first.unsigned_abs() as usize) < from;
        let sum = weights.iter().map(|&weight| i64::from(weight)).sum::<i64>();
        if !in_order || sum > MOST || weights.iter().any(|&weight| weight < 0) {
            return Err(index);
        }
        before = first;
    }
    Ok(())
}

/// The first source index of an output, and the weights that lie in a source of `from`.
#[inline(always)]
pub(super) fn entry(table: &[i32], output: usize, entries: usize, from: usize) -> (usize, &[i32]) {
    let entry = table.get(output * entries..).and_then(|rest| rest.get(..entries)).unwrap_or_default();
    let (&first, weights) = entry.split_first().unwrap_or((&0, &[]));
    let first = first.unsigned_abs() as usize;
    let there = from.saturating_sub(first);
    (first, weights.get(..there).unwrap_or(weights))
}

/// A row resized in width.
#[inline(always)]
pub(super) fn row<const C: usize>(table: &[i32], entries: usize, pixels: &[[u8; C]], out: &mut [[u8; C]]) {
    // Of the common ratios, up to 1 and up to 2, the loop over weights is written out.
    match entries {
        4 => row_of::<C, 4>(table, pixels, out),
        6 => row_of::<C, 6>(table, pixels, out),
        _ => {
            for (output, out) in out.iter_mut().enumerate() {
                *out = pixel(table, output, entries, pixels);
            }
        }
    }
}

#[inline(always)]
fn row_of<const C: usize, const ENTRIES: usize>(table: &[i32], pixels: &[[u8; C]], out: &mut [[u8; C]]) {
    for ((output, out), entry) in out.iter_mut().enumerate().zip(table.as_chunks::<ENTRIES>().0) {
        let [first, weights @ ..] = &entry[..] else { return };
        let there = pixels.get(first.unsigned_abs() as usize..).and_then(|rest| rest.get(..ENTRIES - 1));
        *out = match there {
            Some(there) => sum(weights, there),
            None => pixel(table, output, ENTRIES, pixels),
        };
    }
}

#[inline(always)]
fn pixel<const C: usize>(table: &[i32], output: usize, entries: usize, pixels: &[[u8; C]]) -> [u8; C] {
    let (first, weights) = entry(table, output, entries, pixels.len());
    sum(weights, pixels.get(first..).unwrap_or_default())
}

#[inline(always)]
fn sum<const C: usize>(weights: &[i32], pixels: &[[u8; C]]) -> [u8; C] {
    let mut sums = [1 << (SHIFT - 1); C];
    for (pixel, &weight) in pixels.iter().zip(weights) {
        sums.iter_mut().zip(pixel).for_each(|(sum, &value)| add(sum, weight, value));
    }
    sums.map(rounded)
}

/// An output row: the weighted sum of rows, by their number among the weights.
#[inline(always)]
pub(super) fn column<'r>(weights: &[i32], row: impl Fn(usize) -> &'r [u8], out: &mut [u8]) {
    // Some values at a time, of a known number: their sums stay in registers.
    const BLOCK: usize = 16;
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    let done = blocks.len() * BLOCK;
    for (block, out) in blocks.iter_mut().enumerate() {
        let mut sums = [1 << (SHIFT - 1); BLOCK];
        for (tap, &weight) in weights.iter().enumerate().filter(|&(_, &weight)| weight != 0) {
            let values = row(tap).get(block * BLOCK..).and_then(<[u8]>::first_chunk::<BLOCK>);
            sums.iter_mut().zip(values.into_iter().flatten()).for_each(|(sum, &value)| add(sum, weight, value));
        }
        *out = sums.map(rounded);
    }
    for (at, out) in rest.iter_mut().enumerate() {
        let value = |tap| row(tap).get(done + at).copied().unwrap_or(0);
        let add_tap = |mut sum, (tap, &weight)| {
            add(&mut sum, weight, value(tap));
            sum
        };
        *out = rounded(weights.iter().enumerate().fold(1 << (SHIFT - 1), add_tap));
    }
}

/// No sum leaves 32 bits, [`check`] sees to it. Wrapping, because then nothing can panic.
#[inline(always)]
fn add(sum: &mut i32, weight: i32, value: u8) {
    *sum = sum.wrapping_add(weight.wrapping_mul(i32::from(value)));
}

#[inline(always)]
fn rounded(sum: i32) -> u8 {
    (sum >> SHIFT).clamp(0, 255) as u8
}

/// The tables of an image, columns', then rows'; empty where there is none.
#[cfg(feature = "host")]
#[must_use]
pub fn tables(image: &super::Image) -> [std::vec::Vec<i32>; 2] {
    let [_, _, height, width] = image.crop;
    let [rows, columns] = image.size;
    [(width, columns), (height, rows)].map(|(from, to)| match from == to {
        true => std::vec::Vec::new(),
        false => table(image.filter, from, to),
    })
}

#[cfg(feature = "host")]
fn table(filter: super::Filter, from: usize, to: usize) -> std::vec::Vec<i32> {
    let taps = taps(from, to);
    let mut table = std::vec::Vec::with_capacity(to * (1 + taps));
    for output in 0..to {
        let (first, weights) = match filter {
            super::Filter::Bilinear => triangle(from, to, output),
            super::Filter::Area => overlap(from, to, output),
        };
        table.push(first as i32);
        table.extend(weights.iter().chain(core::iter::repeat(&0)).take(taps));
    }
    table
}

/// Weights of a triangle around the output's centre, as wide as two source pixels, or two output pixels where those are wider. In binary64 and in
/// this order of operations as Pillow computes them (`precompute_coeffs`, `normalize_coeffs_8bpc`).
#[cfg(feature = "host")]
fn triangle(from: usize, to: usize, output: usize) -> (usize, std::vec::Vec<i32>) {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    let center = (output as f64 + 0.5) * scale;
    let first = (center - support + 0.5).max(0.0) as usize;
    let end = ((center + support + 0.5) as usize).min(from);
    let narrowing = 1.0 / support;
    let weight = |source: usize| {
        let distance = ((source as f64 - center + 0.5) * narrowing).abs();
        if distance < 1.0 { 1.0 - distance } else { 0.0 }
    };
    let weights: std::vec::Vec<f64> = (first..end).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    let whole = |weight: &f64| (0.5 + weight / sum * f64::from(1 << SHIFT)) as i32;
    (first, weights.iter().map(whole).collect())
}

/// Weights by how much of the output pixel each source pixel covers.
#[cfg(feature = "host")]
fn overlap(from: usize, to: usize, output: usize) -> (usize, std::vec::Vec<i32>) {
    // In units of which a source pixel is `to` wide and an output pixel `from`.
    let (begin, end) = (output * from, (output + 1) * from);
    let (first, last) = (begin / to, end.div_ceil(to));
    let covered = |source: usize| (end.min((source + 1) * to) - begin.max(source * to)) as u64;
    let whole = |source: usize| (((covered(source) << SHIFT) + from as u64 / 2) / from as u64) as i32;
    (first, (first..last).map(whole).collect())
}
