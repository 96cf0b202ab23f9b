//! `[env.image]`: what is made of a picture before V sees it, where an observation is one. Empty, as it is by default: nothing.

use anyhow::{Result, ensure};
use dreamstep_core::obs::{Colour, Filter, Image};
use serde::{Deserialize, Serialize};

/// Crop, then colours, then size, then inversion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageConfig {
    /// Empty, or `[top, left, height, width]` of the part of the frame that is kept, in pixels.
    pub crop: Vec<usize>,
    /// Empty, or `[height, width]` that it is resized to.
    pub size: Vec<usize>,
    /// How it is resized.
    pub filter: FilterName,
    /// Which channels are kept.
    pub colour: ColourName,
    /// Whether each value becomes 255 less it.
    pub inverted: bool,
}

/// How a picture is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilterName {
    /// Pillow's antialiased bilinear rule in 8 bits, to the bit: what torchvision's resize gives of a PIL image.
    Bilinear,
    /// The mean over the area that a pixel covers.
    Area,
}

/// What a frame's channels are and become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColourName {
    /// All of them, in the order that they have.
    Rgb,
    /// Of red, green and blue their luminance.
    Grey,
    /// The frame has blue first: it becomes red, green, blue.
    Bgr,
}

impl Default for ImageConfig {
    fn default() -> Self {
        let (crop, size) = (Vec::new(), Vec::new());
        Self { crop, size, filter: FilterName::Bilinear, colour: ColourName::Rgb, inverted: false }
    }
}

impl ImageConfig {
    /// What becomes of a frame of this height, width and channels.
    ///
    /// # Errors
    /// One line naming the key: what it says does not fit the frame.
    pub fn of(&self, frame: [usize; 3]) -> Result<Image> {
        let Self { crop, size, filter, colour, inverted } = self;
        let [height, width, channels] = frame;
        let shown = || format!("a frame of {height} x {width} x {channels}");
        let mut image = Image::plain(frame);
        if let Ok(crop @ [top, left, rows, columns]) = <[usize; 4]>::try_from(crop.as_slice()) {
            let inside = |from: usize, length: usize, all| from.checked_add(length).is_some_and(|end| end <= all);
            ensure!(
                rows > 0 && columns > 0 && inside(top, rows, height) && inside(left, columns, width),
                "env.image.crop = {crop:?}: expected [top, left, height, width] of a part of {}",
                shown()
            );
            image = image.cropped(crop);
        }
        if let Ok(size) = <[usize; 2]>::try_from(size.as_slice()) {
            image = image.resized(size, filter.into());
        }
        ensure!(
            *colour == ColourName::Rgb || channels == 3,
            "env.image.colour = {:?}: expected three channels, found {}",
            if *colour == ColourName::Grey { "grey" } else { "bgr" },
            shown()
        );
        image = image.coloured(match colour {
            ColourName::Rgb => Colour::AsIs,
            ColourName::Grey => Colour::Grey,
            ColourName::Bgr => Colour::Reversed,
        });
        if *inverted {
            image = image.inverted();
        }
        image.check().map_err(|error| anyhow::anyhow!("env.image: {}: {error}", shown()))?;
        Ok(image)
    }

    pub(super) fn validate(&self) -> Result<()> {
        let Self { crop, size, .. } = self;
        ensure!(
            matches!(crop.len(), 0 | 4),
            "env.image.crop = {crop:?}: must be empty, or [top, left, height, width] in pixels"
        );
        ensure!(matches!(size.len(), 0 | 2), "env.image.size = {size:?}: must be empty, or [height, width] in pixels");
        Ok(())
    }
}

impl From<&FilterName> for Filter {
    fn from(name: &FilterName) -> Self {
        match name {
            FilterName::Bilinear => Self::Bilinear,
            FilterName::Area => Self::Area,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [usize; 3] = [96, 96, 3];

    #[test]
    fn left_as_it_is_a_frame_stays_as_it_is() {
        assert_eq!(ImageConfig::default().of(FRAME).unwrap(), Image::plain(FRAME));
    }

    #[test]
    fn every_key_does_its_part() {
        let text = "crop = [0, 2, 84, 90]\nsize = [64, 48]\nfilter = \"area\"\ncolour = \"grey\"\ninverted = true";
        let config: ImageConfig = toml::from_str(text).unwrap();
        let image = config.of(FRAME).unwrap();
        let expected = Image::plain(FRAME).cropped([0, 2, 84, 90]).resized([64, 48], Filter::Area);
        assert_eq!(image, expected.coloured(Colour::Grey).inverted());
        assert_eq!(image.prepared(), [64, 48, 1]);
        let bgr = ImageConfig { colour: ColourName::Bgr, ..ImageConfig::default() };
        assert_eq!(bgr.of(FRAME).unwrap(), Image::plain(FRAME).coloured(Colour::Reversed));
    }

    #[test]
    fn what_does_not_fit_the_frame_is_named() {
        let error = |config: &ImageConfig, frame| {
            let error = config.of(frame).unwrap_err().to_string();
            assert!(!error.contains('\n'), "{error}");
            error
        };
        let plain = ImageConfig::default();
        for crop in [[0, 0, 97, 96], [90, 0, 7, 96], [0, 0, 0, 96], [usize::MAX, 0, 1, 1]] {
            let found = error(&ImageConfig { crop: crop.to_vec(), ..plain.clone() }, FRAME);
            assert!(found.starts_with("env.image.crop = [") && found.ends_with("a frame of 96 x 96 x 3"), "{found}");
        }
        let found = error(&ImageConfig { colour: ColourName::Grey, ..plain.clone() }, [8, 8, 1]);
        assert_eq!(found, "env.image.colour = \"grey\": expected three channels, found a frame of 8 x 8 x 1");
        let found = error(&ImageConfig { size: vec![1, 1], ..plain.clone() }, [1000, 1000, 3]);
        assert!(found.starts_with("env.image: a frame of 1000 x 1000 x 3: "), "{found}");
        let odd = ImageConfig { crop: vec![1, 2], size: vec![64], ..plain };
        assert!(odd.validate().unwrap_err().to_string().contains("env.image.crop = [1, 2]: must be empty, or [top"));
        let odd = ImageConfig { crop: vec![], ..odd };
        assert!(odd.validate().unwrap_err().to_string().contains("env.image.size = [64]: must be empty, or [height"));
    }
}
