//! Film files: mp4 through the `ffmpeg` program, or GIF without any; by the file's extension, whole or not at all.
//!
//! Equal frames give equal GIF bytes. An mp4 is H.264 in yuv420p, which browsers play; its bytes are ffmpeg's affair.

use super::scene::Image;
use crate::run::folder::write_atomic;
use anyhow::{Context, Result, anyhow, bail, ensure};
use gif::{DisposalMethod, Encoder, Frame, Repeat};
use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The largest side of a picture, in pixels: a GIF's own limit.
const MAX_SIDE: usize = u16::MAX as usize;

/// What a film is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// H.264, by ffmpeg.
    Mp4,
    /// GIF.
    Gif,
}

impl Format {
    /// By the extension of `path`; that it can be written here.
    ///
    /// # Errors
    /// One line: another extension, or an mp4 without ffmpeg.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().map(|found| found.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("gif") => Ok(Self::Gif),
            Some("mp4") if has_ffmpeg() => Ok(Self::Mp4),
            Some("mp4") => bail!(
                "{}: expected the program ffmpeg for an mp4, found none in PATH; install it, or name a .gif",
                path.display()
            ),
            _ => bail!("{}: expected a file named .mp4 or .gif", path.display()),
        }
    }

    /// The better one that can be written here.
    #[must_use]
    pub fn best() -> Self {
        if has_ffmpeg() { Self::Mp4 } else { Self::Gif }
    }

    /// The extension.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Gif => "gif",
        }
    }
}

/// Whether the program `ffmpeg` runs here.
#[must_use]
pub fn has_ffmpeg() -> bool {
    let mut command = Command::new("ffmpeg");
    command.arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Frames to be drawn one after the other, some of them twice.
pub struct Film<'a> {
    /// Width and height.
    pub size: [usize; 2],
    /// Frames a second.
    pub fps: u32,
    /// How many.
    pub frames: usize,
    /// Draws one, by its number.
    pub draw: &'a mut dyn FnMut(usize, &mut Image) -> Result<()>,
}

impl Film<'_> {
    /// Writes it to `path`.
    ///
    /// # Errors
    /// One line: a frame that cannot be drawn, what ffmpeg says, or a file that cannot be written; nothing is written then.
    pub fn write(&mut self, path: &Path, format: Format) -> Result<()> {
        let [width, height] = self.size;
        ensure!(
            self.frames > 0 && (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height),
            "{}: expected at least one frame and sides of 1 to {MAX_SIDE} pixels, found {} frames of {width}x{height}",
            path.display(),
            self.frames
        );
        let bytes = match format {
            Format::Mp4 => self.mp4().with_context(|| path.display().to_string())?,
            Format::Gif => self.gif().with_context(|| path.display().to_string())?,
        };
        write_atomic(path, &bytes)
    }

    /// ffmpeg reads raw pixels and writes into a folder of its own: an mp4's table of contents, put in front, needs a file.
    fn mp4(&mut self) -> Result<Vec<u8>> {
        let [width, height] = self.size;
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let (film, messages) = (folder.path().join("film.mp4"), folder.path().join("messages"));
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"]);
        command.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", &format!("{width}x{height}")]);
        command.args(["-r", &self.fps.to_string(), "-i", "pipe:0", "-an"]);
        // Colours of half the resolution need even sides.
        command.args(["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264", "-preset", "veryfast", "-crf", "20"]);
        command.args(["-pix_fmt", "yuv420p", "-movflags", "+faststart"]).arg(&film);
        // Into a file: a pipe that is not read could fill up.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(File::create(&messages)?);
        let mut ffmpeg = command.spawn().context("cannot start ffmpeg")?;
        let mut pipe = ffmpeg.stdin.take().context("ffmpeg: expected a pipe, found none")?;
        let mut image = Image::new(width, height);
        let mut drawn = Ok(());
        for number in 0..self.frames {
            drawn = (self.draw)(number, &mut image);
            // Where it reads no more, its own message says why.
            if drawn.is_err() || pipe.write_all(&image.rgb).is_err() {
                break;
            }
        }
        drop(pipe); // the end of the film
        let status = ffmpeg.wait().context("ffmpeg: cannot wait for its end")?;
        drawn?;
        if !status.success() {
            let said = std::fs::read(&messages).unwrap_or_default();
            let said = String::from_utf8_lossy(&said).split_whitespace().collect::<Vec<_>>().join(" ");
            bail!("ffmpeg: {status}: {said}; a .gif needs no ffmpeg");
        }
        std::fs::read(&film).context("ffmpeg: expected a film, found none")
    }

    /// One palette for all frames, and of each frame what differs from the one before: colours do not flicker, and what stands still
    /// costs nothing.
    fn gif(&mut self) -> Result<Vec<u8>> {
        let [width, height] = self.size.map(|side| side as u16);
        let mut palette = self.palette()?;
        let colours: Vec<u8> = palette.colours.as_flattened().to_vec();
        let wrong = |error| anyhow!("GIF: {error}");
        let mut encoder = Encoder::new(Vec::new(), width, height, &colours).map_err(wrong)?;
        encoder.set_repeat(Repeat::Infinite).map_err(wrong)?;
        let mut image = Image::new(self.size[0], self.size[1]);
        let mut before: Vec<u8> = Vec::new();
        // Hundredths of a second, that add up to the frame rate's.
        let time = |frame: usize| (frame * 100 + self.fps as usize / 2) / self.fps as usize;
        let delays: Vec<u16> = (0..self.frames).map(|frame| (time(frame + 1) - time(frame)) as u16).collect();
        for (number, &delay) in delays.iter().enumerate() {
            (self.draw)(number, &mut image)?;
            let (pixels, _) = image.rgb.as_chunks::<3>();
            let now: Vec<u8> = pixels.iter().map(|&pixel| palette.nearest(pixel)).collect();
            let unchanged = |(&now, &before): (&u8, &u8)| if now == before { palette.transparent() } else { now };
            let shown = if before.is_empty() { now.clone() } else { now.iter().zip(&before).map(unchanged).collect() };
            let transparent = Some(palette.transparent());
            let dispose = DisposalMethod::Keep;
            let frame = Frame { width, height, delay, transparent, dispose, buffer: Cow::Owned(shown), ..Frame::default() };
            encoder.write_frame(&frame).map_err(wrong)?;
            before = now;
        }
        encoder.into_inner().context("GIF: cannot end it")
    }

    /// The colours of a few frames from all over the film.
    fn palette(&mut self) -> Result<Palette> {
        const SAMPLES: usize = 5;
        let mut sample = Vec::new();
        let mut image = Image::new(self.size[0], self.size[1]);
        let mut numbers: Vec<usize> = (0..SAMPLES).map(|i| i * (self.frames - 1) / (SAMPLES - 1)).collect();
        numbers.dedup();
        for number in numbers {
            (self.draw)(number, &mut image)?;
            sample.extend_from_slice(&image.rgb);
        }
        Palette::of(&sample)
    }
}

/// Up to 255 colours, and one number that means none.
struct Palette {
    colours: Vec<[u8; 3]>,
    /// The nearest colour of each cube of 4 × 4 × 4 that was asked for.
    known: Vec<Option<u8>>,
}

impl Palette {
    /// Of the pixels in `rgb`.
    fn of(rgb: &[u8]) -> Result<Self> {
        // The crate's quantiser looks at one long row as well as at pictures. An odd step, so that no column is left out for ever.
        let (pixels, _) = rgb.as_chunks::<3>();
        let step = pixels.len().div_ceil(MAX_SIDE) | 1;
        let row: Vec<[u8; 3]> = pixels.iter().step_by(step).copied().collect();
        let frame = Frame::from_rgb_speed(row.len() as u16, 1, row.as_flattened(), 3);
        let colours = frame.palette.context("GIF: expected a palette, found none")?;
        let mut colours = colours.as_chunks::<3>().0.to_vec();
        if colours.len() > 255 {
            let mut uses = [0_usize; 256];
            frame.buffer.iter().for_each(|&index| uses[usize::from(index)] += 1);
            let rarest = (0..colours.len()).min_by_key(|&i| uses[i]).unwrap_or(0);
            colours.remove(rarest);
        }
        Ok(Self { colours, known: vec![None; 1 << 18] })
    }

    fn transparent(&self) -> u8 {
        self.colours.len() as u8
    }

    /// The number of the colour nearest to the middle of the cube that `pixel` lies in.
    fn nearest(&mut self, pixel: [u8; 3]) -> u8 {
        let cube = pixel.map(|channel| usize::from(channel >> 2));
        let at = cube[0] << 12 | cube[1] << 6 | cube[2];
        if let Some(index) = self.known[at] {
            return index;
        }
        let distance = |colour: &[u8; 3]| -> i32 {
            let difference = |i: usize| i32::from(colour[i]) - (cube[i] as i32 * 4 + 2);
            (0..3).map(|i| difference(i) * difference(i)).sum()
        };
        let index = (0..self.colours.len()).min_by_key(|&i| distance(&self.colours[i])).unwrap_or(0) as u8;
        self.known[at] = Some(index);
        index
    }
}
