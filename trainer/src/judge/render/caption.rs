//! A frame's caption, as pixels: capital letters, digits and a few signs, five by seven, of our own drawing.

use super::scene::Image;

/// Glyphs: seven rows from the top, five bits each, the left one highest.
#[rustfmt::skip]
const GLYPHS: [(char, [u8; 7]); 43] = [
    ('A', [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001]),
    ('B', [0b11110, 0b10001, 0b10001, 0b11110, 0b10001, 0b10001, 0b11110]),
    ('C', [0b01110, 0b10001, 0b10000, 0b10000, 0b10000, 0b10001, 0b01110]),
    ('D', [0b11100, 0b10010, 0b10001, 0b10001, 0b10001, 0b10010, 0b11100]),
    ('E', [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111]),
    ('F', [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000]),
    ('G', [0b01110, 0b10001, 0b10000, 0b10111, 0b10001, 0b10001, 0b01111]),
    ('H', [0b10001, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001]),
    ('I', [0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110]),
    ('J', [0b00111, 0b00010, 0b00010, 0b00010, 0b00010, 0b10010, 0b01100]),
    ('K', [0b10001, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010, 0b10001]),
    ('L', [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111]),
    ('M', [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001]),
    ('N', [0b10001, 0b11001, 0b11001, 0b10101, 0b10011, 0b10011, 0b10001]),
    ('O', [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110]),
    ('P', [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000]),
    ('Q', [0b01110, 0b10001, 0b10001, 0b10001, 0b10101, 0b10010, 0b01101]),
    ('R', [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001]),
    ('S', [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110]),
    ('T', [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100]),
    ('U', [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110]),
    ('V', [0b10001, 0b10001, 0b10001, 0b10001, 0b01010, 0b01010, 0b00100]),
    ('W', [0b10001, 0b10001, 0b10001, 0b10101, 0b10101, 0b11011, 0b10001]),
    ('X', [0b10001, 0b10001, 0b01010, 0b00100, 0b01010, 0b10001, 0b10001]),
    ('Y', [0b10001, 0b10001, 0b01010, 0b00100, 0b00100, 0b00100, 0b00100]),
    ('Z', [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b10000, 0b11111]),
    ('0', [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110]),
    ('1', [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110]),
    ('2', [0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0b01000, 0b11111]),
    ('3', [0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110]),
    ('4', [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010]),
    ('5', [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110]),
    ('6', [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110]),
    ('7', [0b11111, 0b00001, 0b00010, 0b00100, 0b00100, 0b01000, 0b01000]),
    ('8', [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110]),
    ('9', [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100]),
    ('.', [0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b01100, 0b01100]),
    (',', [0b00000, 0b00000, 0b00000, 0b00000, 0b01100, 0b00100, 0b01000]),
    (':', [0b00000, 0b01100, 0b01100, 0b00000, 0b01100, 0b01100, 0b00000]),
    ('-', [0b00000, 0b00000, 0b00000, 0b01110, 0b00000, 0b00000, 0b00000]),
    ('+', [0b00000, 0b00100, 0b00100, 0b11111, 0b00100, 0b00100, 0b00000]),
    ('/', [0b00001, 0b00001, 0b00010, 0b00100, 0b01000, 0b10000, 0b10000]),
    ('=', [0b00000, 0b00000, 0b11111, 0b00000, 0b11111, 0b00000, 0b00000]),
];

/// From one character to the next, and from one line to the next, in the glyphs' own pixels.
const ADVANCE: [usize; 2] = [6, 9];

/// Bright on dark, whatever lies below.
const INK: [u8; 3] = [255, 255, 255];
const GROUND: [u8; 3] = [24, 24, 32];

/// Writes `lines` into the top left corner of `image`, small letters as capitals, each pixel of a glyph `scale` pixels wide. What does not
/// fit is cut; a character without a glyph is a blank.
pub fn write(image: &mut Image, lines: &[&str], scale: usize) {
    let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    image.fill([0, 0], [(longest * ADVANCE[0] + 2) * scale, (lines.len() * ADVANCE[1] + 1) * scale], GROUND);
    for (row, line) in lines.iter().enumerate() {
        let top = row * ADVANCE[1] * scale;
        for (column, character) in line.chars().enumerate() {
            let left = (column * ADVANCE[0] + 1) * scale;
            let wanted = character.to_ascii_uppercase();
            let Some((_, rows)) = GLYPHS.iter().find(|(known, _)| *known == wanted) else { continue };
            for (y, bits) in rows.iter().enumerate() {
                for x in (0..5).filter(|x| bits >> (4 - x) & 1 == 1) {
                    image.fill([left + x * scale, top + (y + 1) * scale], [scale, scale], INK);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ink of `image`, read back as rows of dots.
    fn dots(image: &Image) -> Vec<String> {
        let dot = |pixel: &[u8]| if pixel == INK { '#' } else { '.' };
        image.rgb.chunks(3 * image.width).map(|row| row.chunks(3).map(dot).collect()).collect()
    }

    #[test]
    fn text_is_legible_and_stays_inside() {
        let mut image = Image::new(13, 9);
        write(&mut image, &["Lt"], 1);
        let rows = dots(&image);
        assert_eq!(
            rows[1..8].iter().map(|row| &row[1..6]).collect::<Vec<_>>().join("|"),
            "#....|#....|#....|#....|#....|#....|#####"
        );
        assert_eq!(
            rows[1..8].iter().map(|row| &row[7..12]).collect::<Vec<_>>().join("|"),
            "#####|..#..|..#..|..#..|..#..|..#..|..#.."
        );
        // Far too long, twice too large, and with a character that has no glyph.
        write(&mut image, &["a long line é", "another", "and one below"], 3);
    }

    #[test]
    fn no_two_characters_look_alike() {
        for (i, (a, glyph)) in GLYPHS.iter().enumerate() {
            assert!(GLYPHS[i + 1..].iter().all(|(b, other)| a != b && glyph != other), "{a}");
            assert!(glyph.iter().all(|row| *row < 32) && glyph.iter().any(|row| *row != 0), "{a}");
        }
    }
}
