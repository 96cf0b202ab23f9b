//! What is painted on: 800 rows of 1000 pixels, from the top, kept as what the shrinking needs.
//!
//! Nearly all of a picture is plain colour. So a row is 96 cells, the pixels that become one; a cell is the number of its colour, and has
//! pixels of its own only from when two colours meet in it. A fill then writes a byte where it would have written ten pixels, and a
//! result whose cells all have one colour is known beforehand.

use super::SIDE;
use super::shrink::{ACROSS, DOWN, Lanes};
use super::view::{HEIGHT, WIDTH};

/// Colours that are numbered. With more colours in one scene, the others are painted pixel by pixel.
const COLOURS: usize = 64;
/// A cell with pixels of its own.
const MIXED: u8 = u8::MAX;
/// Pixels of a cell's own, the last at the end. The cell before the first has 10 or 11; what it lacks is black.
const OWN: usize = 12;

/// Where a pixel lies. Where two cells share one, it belongs to the left one.
#[derive(Clone, Copy)]
struct Spot {
    /// Its cell.
    cell: u8,
    /// Its place among the cell's own pixels, and that of the cell's first.
    place: u8,
    first: u8,
    /// The first cell that begins here or later, and the first that ends later.
    next: u8,
    open: u8,
}

static SPOTS: [Spot; WIDTH as usize] = {
    let mut spots = [Spot { cell: 0, place: 0, first: 0, next: 0, open: 0 }; WIDTH as usize];
    let mut k = 0;
    while k < SIDE {
        let cell = ACROSS.cells[k];
        let mut x = cell.start;
        while x <= cell.last {
            spots[x] = Spot {
                cell: k as u8,
                place: (OWN - 1 + x - cell.last) as u8,
                first: (OWN - 1 + cell.start - cell.last) as u8,
                next: if x == cell.start { k as u8 } else { k as u8 + 1 },
                open: if x == cell.last { k as u8 + 1 } else { k as u8 },
            };
            x += 1;
        }
        k += 1;
    }
    spots
};
/// All bits from the middle on.
static STEP: [u64; 2 * OWN] = {
    let mut step = [0; 2 * OWN];
    let mut i = OWN;
    while i < step.len() {
        step[i] = u64::MAX;
        i += 1;
    }
    step
};

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
        let pixel = Lanes::new(rgb);
        let row = ACROSS.cells.map(|cell| ACROSS.uniform(&cell, pixel));
        let picture = DOWN.cells.iter().flat_map(|cell| row.map(|pixel| DOWN.uniform(cell, pixel).bytes())).collect();
        Self { rgb, pixel, row, picture }
    }
}

pub(super) struct Canvas {
    cells: Vec<[u8; SIDE]>,
    /// Which pixels are a mixed cell's.
    places: Vec<[u32; SIDE]>,
    pixels: Vec<[Lanes; OWN]>,
    /// Kept from picture to picture.
    colours: Vec<Colour>,
}

impl Canvas {
    pub(super) fn new() -> Self {
        let rows = HEIGHT as usize;
        let (cells, places, pixels) = (vec![[0; SIDE]; rows], vec![[0; SIDE]; rows], Vec::with_capacity(rows * SIDE / 4));
        Self { cells, places, pixels, colours: Vec::with_capacity(COLOURS) }
    }

    /// A new black picture.
    pub(super) fn clear(&mut self) {
        // Room for a scene's own colours beside those of scenes before it.
        if self.colours.len() > COLOURS / 2 {
            self.colours.clear();
        }
        let black = self.ink([0; 3]);
        self.cells.fill([black.number; SIDE]);
        self.pixels.clear();
    }

    /// A colour to paint with. With a scene's first colours numbered, later ones are not.
    pub(super) fn ink(&mut self, rgb: [u8; 3]) -> Ink {
        let known = self.colours.iter().position(|colour| colour.rgb == rgb);
        let number = match known.unwrap_or(self.colours.len()) {
            COLOURS => MIXED,
            number => number as u8,
        };
        if known.is_none() && number != MIXED {
            self.colours.push(Colour::new(rgb));
        }
        Ink { number, pixel: Lanes::new(rgb) }
    }

    /// Paints pixels `left` to `right` of a row.
    #[inline]
    pub(super) fn span(&mut self, row: usize, left: usize, right: usize, ink: Ink) {
        let (left, right) = (SPOTS[left], SPOTS[right]);
        if left.cell == right.cell && left.next > right.open {
            return self.part(row, left.cell, left.place, right.place, ink);
        }
        if left.cell < left.next {
            self.part(row, left.cell, left.place, OWN as u8 - 1, ink);
        }
        if right.open <= right.cell {
            self.part(row, right.cell, right.first, right.place, ink);
        }
        // Cells that are covered whole.
        if ink.number != MIXED {
            self.cells[row][left.next as usize..right.open as usize].fill(ink.number);
        } else {
            for cell in left.next..right.open {
                self.part(row, cell, SPOTS[ACROSS.cells[cell as usize].start].first, OWN as u8 - 1, ink);
            }
        }
    }

    /// Paints a cell's own pixels from one place to another.
    fn part(&mut self, row: usize, cell: u8, from: u8, to: u8, ink: Ink) {
        if let Some(own) = self.own(row, cell as usize, ink) {
            // Without a loop of so many steps, whose number no processor foretells.
            let (from, to) = (&STEP[OWN - from as usize..][..OWN], &STEP[OWN - 1 - to as usize..][..OWN]);
            for ((pixel, from), to) in own.iter_mut().zip(from).zip(to) {
                *pixel = pixel.replaced(ink.pixel, from & !to);
            }
        }
    }

    /// Moves a pixel `alpha`/256 of the way to a colour.
    #[inline]
    pub(super) fn blend(&mut self, row: usize, x: usize, ink: Ink, alpha: u32) {
        let spot = SPOTS[x];
        if let Some(own) = self.own(row, spot.cell as usize, ink) {
            let pixel = &mut own[spot.place as usize];
            *pixel = pixel.towards(ink.pixel, alpha);
        }
    }

    /// A cell's own pixels, which it is given here if it had none; none if it is all of the ink's colour.
    #[inline]
    fn own(&mut self, row: usize, k: usize, ink: Ink) -> Option<&mut [Lanes; OWN]> {
        let (cell, place) = (&mut self.cells[row][k], &mut self.places[row][k]);
        if *cell != MIXED {
            if *cell == ink.number {
                return None;
            }
            *place = self.pixels.len() as u32;
            let mut own = [self.colours[*cell as usize].pixel; OWN];
            own[0] = Lanes::default();
            if ACROSS.cells[k].last - ACROSS.cells[k].start < OWN - 2 {
                own[1] = Lanes::default();
            }
            *cell = MIXED;
            self.pixels.push(own);
        }
        self.pixels.get_mut(*place as usize)
    }

    /// Shrinks to a picture [96, 96, 3].
    pub(super) fn shrink(&self, out: &mut [[u8; 3]]) {
        for (r, (rows, out)) in DOWN.cells.iter().zip(out.chunks_exact_mut(SIDE)).enumerate() {
            // With the row before it, of which it has a part.
            let before = rows.start.saturating_sub(1);
            let top = &self.cells[before];
            let mut other = [0; SIDE];
            for row in &self.cells[before + 1..=rows.last] {
                for ((other, a), b) in other.iter_mut().zip(top).zip(row) {
                    *other |= a ^ b;
                }
            }
            // A result is plain where its cells, and the left ones, whose last pixel it has a part of, are of one colour.
            let plain = |k: usize| other[k] == 0 && top[k] != MIXED;
            let mut k = 0;
            while k < SIDE {
                let left = k.saturating_sub(1);
                if plain(k) && plain(left) && top[left] == top[k] {
                    let run = 1 + (k + 1..SIDE).take_while(|&next| other[next] == 0 && top[next] == top[k]).count();
                    let picture = &self.colours[top[k] as usize].picture[r * SIDE..];
                    out[k..k + run].copy_from_slice(&picture[k..k + run]);
                    k += run;
                } else {
                    let whole = (rows.start..rows.last).fold(Lanes::default(), |sum, row| sum + self.cell(row, k));
                    out[k] = DOWN.result(rows, self.cell(before, k), whole, self.cell(rows.last, k)).bytes();
                    k += 1;
                }
            }
        }
    }

    /// One cell of a row, shrunk.
    #[inline]
    fn cell(&self, row: usize, k: usize) -> Lanes {
        let (cells, places, left) = (&self.cells[row], &self.places[row], k.saturating_sub(1));
        let cell = &ACROSS.cells[k];
        let before = match cells[left] {
            MIXED => self.pixels[places[left] as usize][OWN - 1],
            number => self.colours[number as usize].pixel,
        };
        if cells[k] == MIXED {
            let own = &self.pixels[places[k] as usize];
            let whole = own[..OWN - 1].iter().fold(Lanes::default(), |sum, &pixel| sum + pixel);
            return ACROSS.result(cell, before, whole, own[OWN - 1]);
        }
        let colour = &self.colours[cells[k] as usize];
        if before == colour.pixel {
            return colour.row[k];
        }
        ACROSS.result(cell, before, colour.pixel.times(cell.last - cell.start), colour.pixel)
    }
}
