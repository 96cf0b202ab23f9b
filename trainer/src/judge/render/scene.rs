//! Pictures of a state: MuJoCo's renderer in an offscreen OpenGL context (EGL: no GPU, no window system), or, for a cart and its
//! pole, four lines of geometry.
//!
//! The model drawn is a copy: shadows, multisampling and mirrors, which are nine tenths of the time without a GPU, are switched off in
//! it, and the model that is simulated stays as it is.

use crate::env::{AnyEnv, Env, Mujoco, Picture, Pose, View, cart_pole_geometry};
use anyhow::{Context, Result, anyhow};
use mujoco_rs::renderer::MjRenderer;
use mujoco_rs::wrappers::{MjData, MjModel, MjvCamera};

/// A picture, three bytes a pixel (red, green, blue), rows from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Pixels from left to right.
    pub width: usize,
    /// Pixels from top to bottom.
    pub height: usize,
    /// `[height, width, 3]`
    pub rgb: Vec<u8>,
}

impl Image {
    /// A black one.
    #[must_use]
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, rgb: vec![0; width * height * 3] }
    }

    /// Fills a rectangle, as far as it lies inside: `[x, y]` of its top left corner, `[width, height]`.
    pub fn fill(&mut self, [x, y]: [usize; 2], [width, height]: [usize; 2], colour: [u8; 3]) {
        let (right, bottom) = (self.width.min(x.saturating_add(width)), self.height.min(y.saturating_add(height)));
        for row in y..bottom {
            for column in x..right {
                let at = 3 * (row * self.width + column);
                self.rgb[at..at + 3].copy_from_slice(&colour);
            }
        }
    }

    /// `picture`, as large as fits into `width` × `height`, in the middle of black: each pixel is the mean of those that it stands for.
    #[must_use]
    pub fn fitting(picture: &Picture, width: usize, height: usize) -> Self {
        let mut image = Self::new(width, height);
        let (from_width, from_height) = (picture.width, picture.height);
        if from_width == 0 || from_height == 0 {
            return image;
        }
        let scale = (width as f64 / from_width as f64).min(height as f64 / from_height as f64);
        let side = |from: usize, most: usize| ((from as f64 * scale).round() as usize).clamp(1, most);
        let (w, h) = (side(from_width, width), side(from_height, height));
        let (left, top) = ((width - w) / 2, (height - h) / 2);
        let range = |at: usize, to: usize, from: usize| {
            let start = at * from / to;
            start..((at + 1) * from).div_ceil(to).max(start + 1)
        };
        for y in 0..h {
            for x in 0..w {
                let (mut sum, mut count) = ([0_u32; 3], 0);
                for row in range(y, h, from_height) {
                    for column in range(x, w, from_width) {
                        let at = 3 * (row * from_width + column);
                        sum.iter_mut().zip(&picture.rgb[at..at + 3]).for_each(|(sum, &value)| *sum += u32::from(value));
                        count += 1;
                    }
                }
                let at = 3 * ((top + y) * width + left + x);
                image.rgb[at..at + 3].iter_mut().zip(sum).for_each(|(to, sum)| *to = ((sum + count / 2) / count) as u8);
            }
        }
        image
    }

    /// Copies `other` into this picture with its left edge at `x`.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn put(&mut self, other: &Self, x: usize) {
        assert!(x + other.width <= self.width && other.height <= self.height, "the picture does not fit");
        for (row, pixels) in other.rgb.chunks_exact(3 * other.width).enumerate() {
            let at = 3 * (row * self.width + x);
            self.rgb[at..at + pixels.len()].copy_from_slice(pixels);
        }
    }
}

/// What draws an environment's states.
pub enum Scene {
    /// A MuJoCo task.
    Mujoco(Box<Stage>),
    /// CartPole-v1.
    CartPole,
    /// An environment that draws itself: its states are its own.
    Own,
}

impl Scene {
    /// For pictures of `width` × `height`.
    ///
    /// # Errors
    /// One line: there is no offscreen OpenGL on this machine, and what to install.
    pub fn new(env: &AnyEnv, width: usize, height: usize) -> Result<Self> {
        match env {
            AnyEnv::Mujoco(env) => Ok(Self::Mujoco(Box::new(Stage::new(env, width, height)?))),
            AnyEnv::CartPole(_) => Ok(Self::CartPole),
            AnyEnv::Imperfect(env) => Self::new(env.inner(), width, height),
            AnyEnv::CarRacing(_) | AnyEnv::Bridge(_) => Ok(Self::Own),
        }
    }

    /// Draws `pose` into `image`.
    ///
    /// # Errors
    /// OpenGL failed.
    pub fn draw(&mut self, pose: &Pose, image: &mut Image) -> Result<()> {
        match self {
            Self::Mujoco(stage) => stage.draw(pose, image),
            Self::CartPole => {
                draw_cart_pole(pose, image);
                Ok(())
            }
            Self::Own => Ok(()),
        }
    }
}

/// A model to be posed, a camera and an OpenGL context. It stays on the thread that made it.
pub struct Stage {
    data: MjData<Box<MjModel>>,
    renderer: MjRenderer,
    view: View,
}

impl Stage {
    fn new(env: &Mujoco, width: usize, height: usize) -> Result<Self> {
        let mut model = env.model().clone();
        let visual = model.vis_mut();
        (visual.quality.offsamples, visual.quality.shadowsize) = (0, 0);
        (visual.global.offwidth, visual.global.offheight) = (i32::try_from(width)?, i32::try_from(height)?);
        model.mat_reflectance_mut().fill(0.0);
        let renderer = MjRenderer::new(&model, width, height, 0).map_err(|error| {
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            anyhow!(
                "{}: cannot draw offscreen through EGL: {cause}; install Mesa's (Debian: libegl1 libgl1-mesa-dri)",
                env.spec().id
            )
        })?;
        let data =
            MjData::try_new(Box::new(model)).map_err(|e| anyhow!("{}: no memory for a picture: {e}", env.spec().id))?;
        Ok(Self { data, renderer, view: env.view() })
    }

    fn draw(&mut self, pose: &Pose, image: &mut Image) -> Result<()> {
        self.data.qpos_mut().copy_from_slice(&pose.positions);
        // Where things are, and nothing else: forces and contacts are not drawn, and a decoded state may be impossible.
        self.data.kinematics();
        self.data.com_pos();
        self.data.camlight();
        let [x, y, _] = self.data.xpos()[self.view.body];
        let [right, forward, height] = self.view.look_at;
        self.renderer.set_camera(MjvCamera {
            lookat: [x + right, y + forward, height],
            distance: self.view.distance_m,
            azimuth: self.view.azimuth_deg,
            elevation: self.view.elevation_deg,
            ..MjvCamera::default()
        });
        let drawn = self.renderer.sync_data(&mut self.data).and_then(|()| self.renderer.render());
        drawn.context("OpenGL: cannot draw a frame")?;
        image.rgb.copy_from_slice(self.renderer.rgb_flat().context("OpenGL: expected a picture, found none")?);
        Ok(())
    }
}

/// A track as wide as the cart may go, the cart, the pole. Whoever is nearer than a line's half width is in its colour.
fn draw_cart_pole(pose: &Pose, image: &mut Image) {
    let (max_x, pole) = cart_pole_geometry();
    let (x, (sin, cos)) = (pose.positions[0], pose.positions[1].sin_cos());
    let (width, height) = (image.width as f64, image.height as f64);
    let scale = (0.6 * height / (pole + 0.2)).min(width / (2.0 * (max_x + 0.3))); // pixels a metre
    for (at, pixel) in image.rgb.chunks_exact_mut(3).enumerate() {
        let across = ((at % image.width) as f64 + 0.5 - width / 2.0) / scale;
        let up = (0.7 * height - (at / image.width) as f64 - 0.5) / scale;
        let along = ((across - x) * sin + up * cos).clamp(0.0, pole);
        let from_pole = (across - x - along * sin).hypot(up - along * cos);
        let colour: [u8; 3] = if from_pole < 0.04 {
            [204, 136, 68]
        } else if (across - x).abs() < 0.25 && up.abs() < 0.12 {
            [40, 44, 60]
        } else if across.abs() < max_x && (up + 0.13).abs() < 0.01 {
            [120, 120, 130]
        } else {
            [236, 238, 242]
        };
        pixel.copy_from_slice(&colour);
    }
}
