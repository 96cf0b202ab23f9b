//! What is painted on: 800 rows of 1000 pixels, from the top, kept as what the shrinking needs.
//!
//! Nearly all of a picture is plain colour. So a row is 96 cells, the pixels that become one; a cell holds the number of its colour, and pixels of its own only from
//! when two colours meet in it. A fill then writes a byte where it would have written ten pixels, and a result whose cells all have one colour is known beforehand.

use super::SIDE;
use super::shrink::{ACROSS, COLUMNS, DOWN, Lanes, ROWS, bytes, each, lanes, mean, portion};
use super::view::{HEIGHT, WIDTH};

/// A cell that has pixels of its own.
const MIXED: u8 = u8::MAX;
/// Colours that are numbered. With more of them in one scene, the others are painted pixel by pixel.
const COLOURS: usize = 64;
/// The cell of a pixel. Where two cells share one, it belongs to the left one.
const CELL_OF: [u8; WIDTH as usize] = cell_of();

const fn cell_of() -> [u8; WIDTH as usize] {
    let mut of = [0; WIDTH as usize];
    let (mut x, mut k) = (0, 0);
    while x < of.len() {
        if x > COLUMNS[k].last {
            k += 1;
        }
        of[x] = k as u8;
        x += 1;
    }
    of
}

/// First and last pixel that belong to a cell.
fn owned(k: usize) -> (usize, usize) {
    let cell = &COLUMNS[k];
    (if k == 0 { 0 } else { cell.first + 1 }, if k + 1 == SIDE { WIDTH as usize - 1 } else { cell.last })
}

/// A colour to paint with.
#[derive(Clone, Copy)]
pub(super) struct Ink {
    number: u8,
    pixel: Lanes,
}

/// A numbered colour, and what becomes of it.
struct Colour {
    rgb: [u8; 3],
    pixel: Lanes,
    /// A row of it, shrunk.
    row: [Lanes; SIDE],
    /// A picture of it.
    picture: Vec<[u8; 3]>,
}

impl Colour {
    fn new(rgb: [u8; 3]) -> Self {
        let pixel = lanes(rgb);
        let row = std::array::from_fn(|k| each(pixel, |p| COLUMNS[k].uniform(p, ACROSS)));
        let picture = ROWS.iter().flat_map(|cell| row.map(|pixel| bytes(each(pixel, |p| cell.uniform(p, DOWN))))).collect();
        Self { rgb, pixel, row, picture }
    }
}

pub(super) struct Canvas {
    cells: Vec<[u8; SIDE]>,
    /// Of mixed cells only.
    pixels: Vec<[Lanes; WIDTH as usize]>,
    /// Kept from picture to picture.
    colours: Vec<Colour>,
}

impl Canvas {
    pub(super) fn new() -> Self {
        let rows = HEIGHT as usize;
        Self { cells: vec![[0; SIDE]; rows], pixels: vec![[0; WIDTH as usize]; rows], colours: Vec::with_capacity(COLOURS) }
    }

    /// A new black picture.
    pub(super) fn clear(&mut self) {
        // Room for a scene's own colours beside those of scenes before it.
        if self.colours.len() > COLOURS / 2 {
            self.colours.clear();
        }
        let black = self.ink([0; 3]);
        self.cells.fill([black.number; SIDE]);
    }

    pub(super) fn ink(&mut self, rgb: [u8; 3]) -> Ink {
        let known = self.colours.iter().position(|colour| colour.rgb == rgb);
        let number = known.unwrap_or(self.colours.len());
        if number == COLOURS {
            return Ink { number: MIXED, pixel: lanes(rgb) };
        }
        if known.is_none() {
            self.colours.push(Colour::new(rgb));
        }
        Ink { number: number as u8, pixel: lanes(rgb) }
    }

    /// Paints pixels `left` to `right` of a row.
    pub(super) fn span(&mut self, row: usize, left: usize, right: usize, ink: Ink) {
        let (first, last) = (CELL_OF[left] as usize, CELL_OF[right] as usize);
        let (start, end) = (owned(first).0, owned(last).1);
        // Cells that are covered whole.
        let from = if left == start { first } else { first + 1 };
        let to = if right == end { last + 1 } else { last };
        if from < to {
            self.cells[row][from..to].fill(ink.number);
            if ink.number == MIXED {
                self.pixels[row][owned(from).0..=owned(to - 1).1].fill(ink.pixel);
            }
        }
        if from > first {
            self.part(row, first, left, right.min(owned(first).1), ink);
        }
        if to <= last && (last > first || from == first) {
            self.part(row, last, left.max(owned(last).0), right, ink);
        }
    }

    fn part(&mut self, row: usize, k: usize, left: usize, right: usize, ink: Ink) {
        if self.cells[row][k] != ink.number || ink.number == MIXED {
            self.mix(row, k);
            self.pixels[row][left..=right].fill(ink.pixel);
        }
    }

    /// Gives a cell pixels of its own.
    fn mix(&mut self, row: usize, k: usize) {
        let cell = &mut self.cells[row][k];
        if *cell != MIXED {
            let pixel = self.colours[*cell as usize].pixel;
            *cell = MIXED;
            let (left, right) = owned(k);
            self.pixels[row][left..=right].fill(pixel);
        }
    }

    /// Moves a pixel `alpha`/256 of the way to a colour.
    pub(super) fn blend(&mut self, row: usize, x: usize, ink: Ink, alpha: u32) {
        let k = CELL_OF[x] as usize;
        if self.cells[row][k] == ink.number && ink.number != MIXED {
            return;
        }
        self.mix(row, k);
        let pixel = &mut self.pixels[row][x];
        let alpha = u64::from(alpha);
        *pixel = ((*pixel * (256 - alpha) + ink.pixel * alpha) >> 8) & 0x00FF_00FF_00FF;
    }

    /// Shrinks to a picture [96, 96, 3].
    pub(super) fn shrink(&self, out: &mut [[u8; 3]]) {
        for (r, (rows, out)) in ROWS.iter().zip(out.chunks_exact_mut(SIDE)).enumerate() {
            let top = &self.cells[rows.first];
            // What differs from the cell above it, or from the left one, whose last pixel it shares.
            let mut other = [0; SIDE];
            for row in &self.cells[rows.first + 1..=rows.last] {
                for ((other, a), b) in other.iter_mut().zip(top).zip(row) {
                    *other |= a ^ b;
                }
            }
            let mut k = 0;
            while k < SIDE {
                let colour = top[k];
                if other[k] == 0 && colour != MIXED && (k == 0 || other[k - 1] == 0 && top[k - 1] == colour) {
                    let run = 1 + (k + 1..SIDE).take_while(|&k| other[k] == 0 && top[k] == colour).count();
                    let plain = &self.colours[colour as usize].picture[r * SIDE..];
                    out[k..k + run].copy_from_slice(&plain[k..k + run]);
                    k += run;
                } else {
                    let cell = |row| self.cell(row, k);
                    let ends = each(cell(rows.first), |p| portion(p, rows.part)) + each(cell(rows.last), |p| portion(p, rows.rest));
                    let sum = (rows.first + 1..rows.last).map(cell).sum::<Lanes>() + ends;
                    out[k] = bytes(each(sum, |sum| mean(sum, DOWN)));
                    k += 1;
                }
            }
        }
    }

    /// One cell of a row, shrunk.
    fn cell(&self, row: usize, k: usize) -> Lanes {
        let (cells, pixels, cell) = (&self.cells[row], &self.pixels[row], &COLUMNS[k]);
        let (own, left) = (cells[k], cells[k.saturating_sub(1)]);
        if own != MIXED && own == left {
            return self.colours[own as usize].row[k];
        }
        let first = if left == MIXED { pixels[cell.first] } else { self.colours[left as usize].pixel };
        let (whole, last) = if own == MIXED {
            (pixels[cell.first + 1..cell.last].iter().sum(), pixels[cell.last])
        } else {
            let pixel = self.colours[own as usize].pixel;
            (pixel * u64::from(cell.whole()), pixel)
        };
        let sum: Lanes = each(first, |p| portion(p, cell.part)) + whole + each(last, |p| portion(p, cell.rest));
        each(sum, |sum| mean(sum, ACROSS))
    }
}
