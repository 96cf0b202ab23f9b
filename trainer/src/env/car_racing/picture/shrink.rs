//! pygame's `smoothscale` in numbers: 1000 pixels of a row, then 800 of a column, become 96.
//!
//! A result covers 1000/96 (800/96) pixels, counted in 1/16384 and truncated. What it has of its first and last pixel is truncated to whole grey levels, and so is
//! the mean: a uniform 102 comes out 100.

use super::SIDE;
use super::view::{HEIGHT, WIDTH};

/// A pixel or a sum of pixels: red, green and blue in 16 bits each, from the lowest.
pub(super) type Lanes = u64;

pub(super) const fn lanes([r, g, b]: [u8; 3]) -> Lanes {
    r as u64 | (g as u64) << 16 | (b as u64) << 32
}

/// What every lane becomes.
pub(super) fn each(lanes: Lanes, f: impl Fn(u32) -> u32) -> Lanes {
    let at = |shift: u32| u64::from(f((lanes >> shift) as u32 & 0xFFFF)) << shift;
    at(0) | at(16) | at(32)
}

pub(super) fn bytes(lanes: Lanes) -> [u8; 3] {
    [0, 16, 32].map(|shift| (lanes >> shift) as u8)
}

/// The pixels under one result: `part`/16384 of the `first`, all that follow it, and `rest`/16384 of the `last`.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    pub(super) first: usize,
    pub(super) part: u32,
    pub(super) last: usize,
    pub(super) rest: u32,
}

/// The cells of a row and of a column.
pub(super) const COLUMNS: [Cell; SIDE] = cells(WIDTH as u32);
pub(super) const ROWS: [Cell; SIDE] = cells(HEIGHT as u32);

/// Pixels in a cell, and one over their number.
const fn step(length: u32) -> u32 {
    16384 * length / SIDE as u32
}

pub(super) const ACROSS: u32 = (1 << 30) / step(WIDTH as u32);
pub(super) const DOWN: u32 = (1 << 30) / step(HEIGHT as u32);

const fn cells(length: u32) -> [Cell; SIDE] {
    let mut cells = [Cell { first: 0, part: 0, last: 0, rest: 0 }; SIDE];
    let mut k = 0;
    while k < SIDE {
        let (start, end) = (k as u32 * step(length), (k as u32 + 1) * step(length));
        cells[k] = Cell {
            first: (start / 16384) as usize,
            part: 16384 - start % 16384,
            last: (end / 16384) as usize,
            rest: end % 16384,
        };
        k += 1;
    }
    cells
}

impl Cell {
    /// The pixels it has whole, besides the first.
    pub(super) const fn whole(&self) -> u32 {
        (self.last - self.first - 1) as u32
    }

    /// The result where all its pixels are `value`.
    pub(super) fn uniform(&self, value: u32, scale: u32) -> u32 {
        mean(portion(value, self.part) + self.whole() * value + portion(value, self.rest), scale)
    }
}

/// `part`/16384 of a value.
pub(super) fn portion(value: u32, part: u32) -> u32 {
    (4 * value * part) >> 16
}

/// A sum by the number of its pixels.
pub(super) fn mean(sum: u32, scale: u32) -> u32 {
    (sum * scale) >> 16
}
