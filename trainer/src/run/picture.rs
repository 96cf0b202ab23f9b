//! Frames side by side, as PNG.

use anyhow::{Context, Result, ensure};

/// Pixels between two frames.
const GAP: usize = 2;

/// Rows of frames of one size, each `[h, w, c]` bytes: one channel is grey, the first three of more are red, green and blue.
#[derive(Clone, Debug)]
pub struct Grid {
    frame: [usize; 3],
    rows: Vec<Vec<Vec<u8>>>,
}

impl Grid {
    /// Of no rows yet.
    #[must_use]
    pub const fn new(frame: [usize; 3]) -> Self {
        Self { frame, rows: Vec::new() }
    }

    /// Adds a row below: frames one after the other, `[N, h, w, c]`.
    ///
    /// # Panics
    /// If it is not of whole frames.
    pub fn add(&mut self, frames: &[u8]) {
        let len = self.frame.iter().product::<usize>();
        assert!(frames.len().is_multiple_of(len), "grid: expected frames of {len} bytes, found {}", frames.len());
        self.rows.push(frames.chunks(len).map(<[u8]>::to_vec).collect());
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let [h, w, _] = self.frame;
        [columns * (w + GAP), self.rows.len() * (h + GAP)].map(|size| size.saturating_sub(GAP))
    }

    /// The file.
    ///
    /// # Errors
    /// There is no frame, or too many.
    pub fn png(&self) -> Result<Vec<u8>> {
        let [width, height] = self.size();
        ensure!(width > 0 && height > 0, "grid: expected frames, found none");
        let [h, w, c] = self.frame;
        let shown = if c < 3 { 1 } else { 3 };
        let mut pixels = vec![255; width * height * shown];
        for (row, frames) in self.rows.iter().enumerate() {
            for (column, frame) in frames.iter().enumerate() {
                let (top, left) = (row * (h + GAP), column * (w + GAP));
                for (i, pixel) in frame.chunks(c).enumerate() {
                    let at = ((top + i / w) * width + left + i % w) * shown;
                    pixels[at..at + shown].copy_from_slice(&pixel[..shown]);
                }
            }
        }
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width.try_into()?, height.try_into()?);
        encoder.set_color(if shown == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb });
        let mut writer = encoder.write_header().context("PNG")?;
        writer.write_image_data(&pixels).context("PNG")?;
        writer.finish().context("PNG")?;
        Ok(file)
    }
}

/// A byte of a value between 0 and 1.
#[must_use]
pub fn byte(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_side_by_side_in_a_file_that_reads_back() {
        for (c, shown) in [(1, 1), (2, 1), (3, 3), (4, 3)] {
            let frame = |first: u8| (0..3 * 2 * c).map(|i| first + i as u8).collect::<Vec<u8>>();
            let mut grid = Grid::new([3, 2, c]);
            grid.add(&[frame(0), frame(100)].concat());
            grid.add(&frame(200));
            assert_eq!(grid.size(), [6, 8]);
            let file = grid.png().unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            assert_eq!((info.width, info.height, pixels.len()), (6, 8, 6 * 8 * shown));
            let pixel = |x: usize, y: usize| &pixels[(y * 6 + x) * shown..][..shown];
            assert_eq!(pixel(1, 2), &frame(0)[5 * c..][..shown]);
            assert_eq!(pixel(4, 0), &frame(100)[..shown]);
            assert_eq!(pixel(0, 7), &frame(200)[4 * c..][..shown]);
            assert!([(2, 0), (0, 3), (5, 7)].iter().all(|&(x, y)| pixel(x, y).iter().all(|&v| v == 255)), "white between");
        }
        assert!(Grid::new([3, 2, 1]).png().is_err());
        assert_eq!([-0.5, 0.0, 0.5, 1.0, 7.0].map(byte), [0, 0, 128, 255, 255]);
    }
}
