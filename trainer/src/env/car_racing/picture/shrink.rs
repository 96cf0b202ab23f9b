//! pygame's `smoothscale` in numbers: 1000 pixels of a row, then 800 of a column, become 96.
//!
//! A result covers 1000/96 (800/96) pixels, counted in 1/16384 and truncated. What it has of its first and last pixel is truncated to
//! whole grey levels, and so is the mean: a uniform 102 comes out 100. This is what pygame computes with SSE2 or NEON; where it has neither,
//! it rounds otherwise.

use super::SIDE;
use super::view::{HEIGHT, WIDTH};
use std::ops::Add;

/// A pixel or a sum of pixels: red, green and blue, 16 bits each from the lowest, so that one addition adds all three. A product needs
/// 32 bits: red and blue are multiplied together, green beside them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lanes(u64);

/// Where red and blue are.
const RED_BLUE: u64 = 0x0000_FFFF_0000_FFFF;

impl Lanes {
    pub(super) fn new([r, g, b]: [u8; 3]) -> Self {
        Self(u64::from(r) | u64::from(g) << 16 | u64::from(b) << 32)
    }

    pub(super) fn bytes(self) -> [u8; 3] {
        [self.0 as u8, (self.0 >> 16) as u8, (self.0 >> 32) as u8]
    }

    /// `factor`/2^`bits` of each, truncated; below 2¹⁶, with products below 2³².
    fn fraction(self, factor: u32, bits: u32) -> Self {
        let factor = u64::from(factor);
        let (red_blue, green) = ((self.0 & RED_BLUE) * factor, ((self.0 >> 16) & 0xFFFF) * factor);
        Self((red_blue >> bits) & RED_BLUE | (green >> bits) << 16)
    }

    /// `alpha`/256 of the way from a pixel to another.
    pub(super) fn towards(self, to: Self, alpha: u32) -> Self {
        let alpha = u64::from(alpha);
        Self(((self.0 * (256 - alpha) + to.0 * alpha) >> 8) & 0x00FF_00FF_00FF)
    }

    /// Another pixel, in the bits that are set.
    pub(super) fn replaced(self, by: Self, bits: u64) -> Self {
        Self(self.0 & !bits | by.0 & bits)
    }

    /// So many of the same pixel, at most 257.
    pub(super) fn times(self, count: usize) -> Self {
        Self(self.0 * count as u64)
    }
}

impl Add for Lanes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

/// The pixels under one result: `part`/16384 of the one before `start`, those from `start` to before `last`, and `rest`/16384 of the
/// `last`.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    pub(super) part: u32,
    pub(super) start: usize,
    pub(super) last: usize,
    pub(super) rest: u32,
}

/// An axis that is shrunk.
pub(super) struct Axis {
    pub(super) cells: [Cell; SIDE],
    /// 65536 over the pixels in a cell.
    scale: u32,
}

pub(super) const ACROSS: Axis = Axis::new(WIDTH as u32);
pub(super) const DOWN: Axis = Axis::new(HEIGHT as u32);

impl Axis {
    const fn new(length: u32) -> Self {
        let step = 16384 * length / SIDE as u32;
        let mut cells = [Cell { part: 0, start: 0, last: 0, rest: 0 }; SIDE];
        let mut k = 0;
        while k < SIDE {
            let (from, to) = (k as u32 * step, (k as u32 + 1) * step);
            cells[k] = Cell {
                part: if k == 0 { 0 } else { 16384 - from % 16384 },
                start: if k == 0 { 0 } else { (from / 16384 + 1) as usize },
                last: (to / 16384) as usize,
                rest: to % 16384,
            };
            k += 1;
        }
        Self { cells, scale: (1 << 30) / step }
    }

    /// A result, of the pixel before its cell, the sum of the whole ones and the last.
    #[inline]
    pub(super) fn result(&self, cell: &Cell, before: Lanes, whole: Lanes, last: Lanes) -> Lanes {
        (before.fraction(cell.part, 14) + whole + last.fraction(cell.rest, 14)).fraction(self.scale, 16)
    }

    /// A result where all pixels are one colour.
    pub(super) fn uniform(&self, cell: &Cell, pixel: Lanes) -> Lanes {
        self.result(cell, pixel, pixel.times(cell.last - cell.start), pixel)
    }
}
