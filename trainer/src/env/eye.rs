//! What an environment that shows pictures shows of them: each frame that it draws, prepared as `[env.image]` says, by the code that an
//! agent's runtime prepares a camera's with.
//!
//! ```text
//! frame [h, w, c] bytes ─ crop, colours, size, inversion (dreamstep_core::obs) ─▶ prepared [h', w', c'] ─▶ obs [O] numbers 0..255
//! ```

use super::EnvConfig;
use anyhow::{Context, Result, ensure};
use dreamstep_core::obs::{Image, Preparer};

/// Prepares the frames of one environment.
pub(crate) struct Eye {
    preparer: Preparer,
    prepared: Vec<u8>,
}

/// What `env` makes of the frames of an environment; of one that shows none, nothing.
///
/// # Errors
/// One line: `[env.image]` does not fit the frame, or there is none.
pub(super) fn image(env: &EnvConfig, frame: Option<[usize; 3]>) -> Result<Option<Image>> {
    let Some(frame) = frame else {
        ensure!(
            env.image == crate::run::config::ImageConfig::default(),
            "env.image: {}: expected none of its keys where an observation is no picture (one array of bytes, [h, w] or [h, w, c] of 1 to 4 \
             channels)",
            env.id
        );
        return Ok(None);
    };
    env.image.of(frame).map(Some).with_context(|| env.id.clone())
}

impl Eye {
    /// For frames of `image`.
    ///
    /// # Errors
    /// `image` does not fit together.
    pub(crate) fn new(image: Image) -> Result<Self> {
        Ok(Self { preparer: Preparer::new(image)?, prepared: vec![0; image.len()] })
    }

    /// What of `frame`, its rows one after another, is seen: `[h', w', c']` bytes.
    ///
    /// # Panics
    /// If `frame` is of another length than the image's.
    pub(crate) fn prepared(&mut self, frame: &[u8]) -> &[u8] {
        let Self { preparer, prepared } = self;
        let [_, width, channels] = preparer.image().frame;
        preparer.prepare(frame, width * channels, prepared);
        prepared
    }

    /// As [`Self::prepared`], as the numbers of an observation `[O]`. Whether the frame has the image's length.
    pub(super) fn see(&mut self, frame: &[u8], obs: &mut [f64]) -> bool {
        if frame.len() != self.preparer.image().frame_len() {
            return false;
        }
        obs.iter_mut().zip(self.prepared(frame)).for_each(|(o, &byte)| *o = f64::from(byte));
        true
    }
}
