//! pygame's `smoothscale` in numbers: 1000 pixels of a row, then 800 of a column, become 96.
//!
//! A result covers 1000/96 (800/96) pixels, counted in 1/16384 and truncated. What it has of its first and last pixel is truncated to whole grey levels, and so is
//! the mean: a uniform 102 comes out 100.

use super::SIDE;
use super::view::{HEIGHT, WIDTH};
use std::ops::Add;

/// A pixel or a sum of pixels: red, green, blue and nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lanes(pub(super) [u16; 4]);

impl Lanes {
    pub(super) fn new([r, g, b]: [u8; 3]) -> Self {
        Self([r, g, b, 0].map(u16::from))
    }

    pub(super) fn bytes(self) -> [u8; 3] {
        let [r, g, b, _] = self.0.map(|v| v as u8);
        [r, g, b]
    }

    /// `factor`/65536 of each, truncated.
    fn high_product(self, factor: u16) -> Self {
        Self(self.0.map(|v| ((u32::from(v) * u32::from(factor)) >> 16) as u16))
    }

    /// `part`/16384 of a pixel.
    pub(super) fn portion(self, part: u16) -> Self {
        Self(self.0.map(|v| 4 * v)).high_product(part)
    }

    /// `alpha`/256 of the way to another pixel.
    pub(super) fn towards(self, to: Self, alpha: u16) -> Self {
        Self(std::array::from_fn(|i| (self.0[i] * (256 - alpha) + to.0[i] * alpha) >> 8))
    }
}

impl Add for Lanes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
}

/// The pixels under one result: `part`/16384 of the one before `start`, those from `start` to before `last`, and `rest`/16384 of the `last`.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    pub(super) part: u16,
    pub(super) start: usize,
    pub(super) last: usize,
    pub(super) rest: u16,
}

/// An axis that is shrunk.
pub(super) struct Axis {
    pub(super) cells: [Cell; SIDE],
    /// 65536 over the pixels in a cell.
    scale: u16,
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
                part: if k == 0 { 0 } else { (16384 - from % 16384) as u16 },
                start: if k == 0 { 0 } else { (from / 16384 + 1) as usize },
                last: (to / 16384) as usize,
                rest: (to % 16384) as u16,
            };
            k += 1;
        }
        Self { cells, scale: ((1 << 30) / step) as u16 }
    }

    /// A result, of the pixel before its cell, the sum of the whole ones and the last.
    pub(super) fn result(&self, cell: &Cell, before: Lanes, whole: Lanes, last: Lanes) -> Lanes {
        (before.portion(cell.part) + whole + last.portion(cell.rest)).high_product(self.scale)
    }

    /// A result where all pixels are one colour.
    pub(super) fn uniform(&self, cell: &Cell, pixel: Lanes) -> Lanes {
        let whole = Lanes(pixel.0.map(|v| v * (cell.last - cell.start) as u16));
        self.result(cell, pixel, whole, pixel)
    }
}
